//! Genotype calls of single cells and their weighted factorisation.

use crate::arguments::{number, numbers, r_matrix, values, Values};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::factorisation::variants::{
    call_genotypes, factorise_variants, CallWeight, Intervals, Noise, VariantFit, VariantSettings,
};
use unalloy_core::factorisation::weighted::{Csc, Matrix};
use unalloy_core::factorisation::Side;
use unalloy_core::faer::MatRef;
use unalloy_core::parallel::with_threads;
use unalloy_core::CoreError;

/// A matrix of doubles or the slots of a `dgCMatrix`.
pub fn features_by_samples(
    robj: &Robj,
    n_rows: i32,
    n_columns: i32,
) -> std::result::Result<Matrix<'_>, CoreError> {
    let (n_rows, n_columns) = (n_rows as usize, n_columns as usize);
    match values(robj)? {
        Values::Double(x) if x.len() == n_rows * n_columns => {
            Ok(Matrix::Dense(MatRef::from_column_major_slice(x, n_rows, n_columns)))
        }
        Values::Sparse { starts, rows, values } if starts.len() == n_columns + 1 => {
            Ok(Matrix::Sparse(Csc { n_rows, starts, rows, values }))
        }
        _ => Err(CoreError::Shape { what: "x", expected: n_rows * n_columns, found: robj.len() }),
    }
}

/// @noRd
#[extendr]
fn rs_call_genotypes(
    reference: Robj,
    alternative: Robj,
    n_rows: i32,
    n_columns: i32,
    min_coverage: f64,
    min_allele: f64,
    weight: i32,
) -> Robj {
    guard(|| {
        let weight = match weight {
            1 => CallWeight::Constant,
            2 => CallWeight::Coverage,
            _ => CallWeight::Binary,
        };
        let reference = features_by_samples(&reference, n_rows, n_columns)?;
        let alternative = features_by_samples(&alternative, n_rows, n_columns)?;
        let calls = call_genotypes(reference, alternative, (min_coverage, min_allele), weight)?;
        Ok(list!(p = calls.starts, i = calls.rows, calls = calls.calls, weights = calls.weights))
    })
}

/// @noRd
#[extendr]
fn rs_factorise_variants(
    calls: Robj,
    weights: Robj,
    n_rows: i32,
    n_columns: i32,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let Matrix::Sparse(calls) = features_by_samples(&calls, n_rows, n_columns)? else {
            return Err(CoreError::Shape { what: "calls", expected: 3, found: 1 });
        };
        let weights = numbers(&weights, "weights")?;
        let count = |name| number(&settings, name).map(|v| v as usize);
        let threads = count("threads")?;
        let settings = VariantSettings {
            rank: count("rank")?,
            runs: count("nrun")?,
            resamples: count("bootstrap")?,
            level: number(&settings, "level")?,
            max_iterations: count("max_iter")?,
            tolerance: number(&settings, "tolerance")?,
            noise: if count("noise")? == 1 { Noise::Variant } else { Noise::Common },
            ridge: number(&settings, "ridge")?,
            seed: number(&settings, "seed")? as i64 as u64,
        };
        let fit = supervise(&progress, |monitor| {
            with_threads(threads, || factorise_variants(calls, weights, &settings, monitor))?
        })?;
        Ok(handed_back(fit))
    })
}

fn handed_back(fit: VariantFit) -> List {
    let of_runs = |f: &dyn Fn(usize) -> f64| (0..fit.runs.len()).map(f).collect::<Vec<f64>>();
    let intervals: Robj = match &fit.intervals {
        None => ().into(),
        Some(Intervals { mean, sd, lower, upper, chosen }) => list!(
            mean = r_matrix(mean),
            sd = r_matrix(sd),
            lower = r_matrix(lower),
            upper = r_matrix(upper),
            chosen = r_matrix(chosen)
        )
        .into(),
    };
    let factors = &fit.best.factors;
    let rank = factors.rank;
    let (basis, coef) = (factors.side(Side::Basis), factors.side(Side::Coef));
    list!(
        basis = RMatrix::new_matrix(basis.len() / rank, rank, |i, r| basis[i * rank + r]),
        coef = RMatrix::new_matrix(rank, coef.len() / rank, |r, j| coef[j * rank + r]),
        shares = r_matrix(&fit.shares),
        intervals = intervals,
        residuals = [fit.residuals.0, fit.residuals.1],
        best_run = fit.best_run as i32 + 1,
        objective = of_runs(&|run| fit.runs[run].objective),
        kkt = of_runs(&|run| fit.runs[run].kkt),
        iterations = of_runs(&|run| fit.runs[run].iterations as f64),
        reason = fit.runs.iter().map(|run| run.reason.name()).collect::<Vec<_>>(),
        trace = fit.best.trace,
        noise = fit.best.noise,
        exhausted = factors.dead().iter().map(|&r| r as i32 + 1).collect::<Vec<_>>()
    )
}

extendr_module! {
    mod factorise_variants;
    fn rs_call_genotypes;
    fn rs_factorise_variants;
}
