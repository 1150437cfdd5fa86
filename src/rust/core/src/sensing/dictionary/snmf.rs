//! Sparse non-negative matrix factorisation (Kim and Park 2007):
//! min ½‖X − U W‖² + ½ η ‖U‖² + ½ β Σ_j ‖w_j‖₁² over U, W ≥ 0.

use super::coding::Coding;
use super::{DictionaryParams, Draft};
use crate::base::error::{check_value, CoreError};
use crate::base::simd::vectors::squared_norm;
use crate::factorisation::data::Side;
use crate::factorisation::init::Init;
use crate::factorisation::penalty::{Constraint, Penalty};
use crate::factorisation::{fit, Algorithm, Settings, Weights};
use crate::matrix::{column, from_fn, Columns, Matrix};

#[derive(Clone, Debug)]
pub struct SnmfParams {
    pub max_iter: usize,
    /// Relative decrease of the objective below which the fit ends.
    pub tolerance: f64,
    /// β for profiles whose mean squared norm is 1.
    pub penalty: f64,
}

impl Default for SnmfParams {
    fn default() -> Self {
        SnmfParams { max_iter: 100, tolerance: 1e-3, penalty: 0.01 }
    }
}

pub fn learn(
    coding: &Coding<'_>,
    params: &DictionaryParams,
    own: &SnmfParams,
) -> Result<Draft, CoreError> {
    check_value("max_iter", own.max_iter as f64, "at least 1", |v| v >= 1.0)?;
    check_value("tolerance", own.tolerance, "non-negative", |v| v >= 0.0)?;
    check_value("penalty", own.penalty, "non-negative", |v| v >= 0.0 && v.is_finite())?;
    let x = coding.profiles;
    let (genes, samples) = x.dim();
    let scale = (samples as f64 / coding.norm).sqrt();
    let values: Vec<f64> =
        (0..samples).flat_map(|j| column(x, j).iter().map(|v| v * scale)).collect();
    // U and W can trade their scales; with this η they do not at unit modules
    // and activities that sum to 1.
    let ridge = own.penalty * samples as f64 / params.size as f64;
    let penalised = |penalty| Constraint { penalty, ..Constraint::default() };
    let settings = Settings {
        algorithm: Algorithm::Hals,
        rank: params.size,
        runs: 1,
        seed: params.seed,
        init: Init::Random,
        start: None,
        max_iter: own.max_iter,
        tolerance: own.tolerance,
        unchanged: None,
        constraints: [
            penalised(Penalty { l2: ridge, ..Penalty::default() }),
            penalised(Penalty { l1_squared: own.penalty, ..Penalty::default() }),
        ],
        known: Vec::new(),
        keep_all: false,
        threads: params.threads,
    };
    let scaled = Matrix::dense(&values, (genes, samples))?;
    let found = fit(scaled, Weights::Equal, &settings, &coding.monitor.silent())?;
    let basis = found.pair.side(Side::Basis);
    let mut atoms = from_fn((genes, params.size), |g, j| basis[g * params.size + j]);
    for j in 0..params.size {
        let atom = atoms.col_mut(j);
        let norm = squared_norm(atom).sqrt();
        if norm > 0.0 {
            atom.iter_mut().for_each(|v| *v /= norm);
        }
    }
    Ok(Draft {
        atoms,
        codes: None,
        trace: found.trace.iter().map(|(_, value)| 2.0 * value / samples as f64).collect(),
        stop: found.runs[0].stop,
        replaced: 0,
        nonnegative: true,
        smaf: None,
    })
}
