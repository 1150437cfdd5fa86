//! Expression programs of a cohort that no signature holds: low-rank Poisson
//! factors beside fixed signatures.
//!
//! k_gs ~ Poisson(μ_gs), μ_gs = ℓ_g (b_g Σ_j S_gj e_js + Σ_r P_gr l_rs), with
//! P, l, e ≥ 0 and columns of P that sum to 1.  The factor b_g per gene takes
//! what is off in all samples alike; its gamma prior with mean 1 and variance τ²
//! adds (b_g − log b_g)/τ² to the objective
//!
//! > F = Σ_gs w_g (μ_gs − k_gs log μ_gs) + Σ_g (b_g − log b_g)/τ².
//!
//! F is convex in (e, l) for given (b, P), sample by sample, and in (b, P) for
//! given (e, l), gene by gene.  Both blocks are solved by Newton's method under
//! bounds, so F never rises.

mod alternation;
mod genes;
mod starts;
mod test;

pub use test::{test_genes, GeneTests};

use self::alternation::Problem;
use super::expression::Data;
use crate::base::convergence::Stop;
use crate::base::error::{check_length, check_memory, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::matrix::Array2;
use ndarray::s;

/// Iterations after which the best start is chosen.
const TRIAL: usize = 8;

/// Settings of [`fit_program`].
#[derive(Clone, Debug)]
pub struct ProgramParams {
    pub n_programs: usize,
    /// Starting points; the first come from the residuals, others at random.
    pub n_starts: usize,
    pub max_iter: usize,
    /// Decrease of the objective, per unit of Σ w k, at which the fit stops.
    pub tolerance: f64,
    pub seed: u64,
    pub threads: usize,
}

pub struct ProgramFit {
    /// Genes × programs, columns sum to 1.
    pub programs: Array2<f64>,
    /// Programs × samples.
    pub loadings: Array2<f64>,
    /// Sources × samples.
    pub exposures: Array2<f64>,
    /// b_g.
    pub factors: Vec<f64>,
    /// F after each iteration, of the best start.
    pub trace: Vec<f64>,
    /// F without any program.
    pub null_objective: f64,
    /// F of every start after the trial.
    pub starts: Vec<f64>,
    pub stop: Stop,
}

/// Fits programs beside the sources of `data`; its exposures are where the
/// search starts.  `weights` are w_g > 0, the reciprocals of the dispersion; `tau2` holds
/// τ²_g, the variance of the factor between reference and bulk.
///
/// # Errors
/// `Shape`, `Argument`, `EmptySample`, `Threads`, `Interrupted`.
pub fn fit_program(
    data: &Data<'_>,
    weights: &[f64],
    tau2: &[f64],
    params: &ProgramParams,
    monitor: &Monitor<'_>,
) -> Result<ProgramFit, CoreError> {
    data.check()?;
    let n_genes = data.counts.nrows();
    check_length("weights", n_genes, weights.len())?;
    let at_least_one = |v: f64| v >= 1.0;
    check_value("n_programs", params.n_programs as f64, "at least 1", at_least_one)?;
    check_value("n_starts", params.n_starts as f64, "at least 1", at_least_one)?;
    check_value("max_iter", params.max_iter as f64, "at least 1", at_least_one)?;
    check_memory("n_starts", &[params.n_programs, data.counts.ncols(), params.n_starts])?;
    check_length("tau2", n_genes, tau2.len())?;
    for &t in tau2 {
        check_value("tau2", t, "positive", |t| t > 0.0 && t.is_finite())?;
    }
    let problem = Problem::new(data, weights, tau2, params.threads);
    let null = problem.null(params.max_iter, monitor)?;
    let starts = problem.starts(&null, params);
    let n_starts = starts.len();
    let mut tried = Vec::with_capacity(n_starts);
    for loadings in starts {
        let mut state = problem.begin(&null, &loadings);
        let trace = problem.descend(&mut state, TRIAL.min(params.max_iter), params, monitor)?.0;
        monitor.advance(1);
        tried.push((state, trace));
    }
    let objectives: Vec<f64> = tried.iter().map(|t| t.0.objective).collect();
    let best = (0..n_starts).min_by(|&a, &b| objectives[a].total_cmp(&objectives[b]));
    let (mut state, mut trace) = tried.swap_remove(best.unwrap_or(0));
    let left = params.max_iter.saturating_sub(trace.len());
    let (more, stop) = problem.descend(&mut state, left, params, monitor)?;
    trace.extend(more);
    let n_sources = data.sources.ncols();
    Ok(ProgramFit {
        loadings: state.exposures.slice(s![n_sources.., ..]).to_owned(),
        exposures: state.exposures.slice(s![..n_sources, ..]).to_owned(),
        programs: state.programs,
        factors: state.factors,
        trace,
        null_objective: null.objective,
        starts: objectives,
        stop,
    })
}
