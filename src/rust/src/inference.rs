//! Uncertainty of a fit, and tests and elimination of types.

use crate::arguments::{matrix, number};
use crate::guard::guard;
use crate::problem::Problem;
use extendr_api::prelude::*;
use unalloy_core::deconvolution::infer::presence::{eliminate, presence, refit, Scale, Start};
use unalloy_core::deconvolution::infer::sandwich::{infer, SampleInference, Variance};

/// @noRd
#[extendr]
fn rs_infer(
    problem: List,
    exposures: RMatrix<f64>,
    variance: &str,
    fall: f64,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let points = matrix(&exposures);
        let variance = match variance {
            "quasi" => Variance::Quasi,
            "poisson" => Variance::Poisson,
            _ => Variance::Robust,
        };
        let threads = threads.max(0) as usize;
        let samples = problem.supervise(&progress, |likelihood, bulk, monitor| {
            infer(likelihood, bulk, points, variance, fall, threads, monitor)
        })?;
        let n_sources = problem.model.n_sources();
        let by_source = |of: fn(&SampleInference) -> &[f64]| {
            RMatrix::new_matrix(n_sources, samples.len(), |j, i| of(&samples[i])[j])
        };
        Ok(list!(
            covariance = samples.iter().flat_map(|s| s.covariance.clone()).collect::<Vec<_>>(),
            dispersion = samples.iter().map(|s| s.dispersion).collect::<Vec<_>>(),
            limits = by_source(|s| &s.limits),
            scales = by_source(|s| &s.scales)
        ))
    })
}

/// Likelihood ratio statistics in units of their scales, types × samples.
/// `settings`: `null_scale` and `only_active` (0 or 1), `clear` and `threads`.
/// @noRd
#[extendr]
fn rs_test_presence(
    problem: List,
    exposures: RMatrix<f64>,
    scales: RMatrix<f64>,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let flag = |name| number(&settings, name).map(|value| value != 0.0);
        let start = Start {
            exposures: matrix(&exposures),
            scales: matrix(&scales),
            scale: if flag("null_scale")? { Scale::Null } else { Scale::Given },
            only_active: flag("only_active")?,
        };
        let clear = number(&settings, "clear")?;
        let threads = number(&settings, "threads")? as usize;
        let samples = problem.supervise(&progress, |likelihood, bulk, monitor| {
            presence(likelihood, bulk, start, clear, threads, monitor)
        })?;
        let n_types = problem.model.n_types();
        Ok(RMatrix::new_matrix(n_types, samples.len(), |j, i| samples[i][j]))
    })
}

/// Which types backward elimination keeps, types × samples.
/// @noRd
#[extendr]
fn rs_eliminate(
    problem: List,
    exposures: RMatrix<f64>,
    scales: RMatrix<f64>,
    threshold: f64,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let start = Start {
            exposures: matrix(&exposures),
            scales: matrix(&scales),
            scale: Scale::Null,
            only_active: true,
        };
        let threads = threads.max(0) as usize;
        let samples = problem.supervise(&progress, |likelihood, bulk, monitor| {
            eliminate(likelihood, bulk, start, threshold, threads, monitor)
        })?;
        let n_types = problem.model.n_types();
        Ok(RMatrix::new_matrix(n_types, samples.len(), |j, i| i32::from(samples[i][j])))
    })
}

/// Exposures (sources × samples) sought from `starts`.
/// @noRd
#[extendr]
fn rs_refit(
    problem: List,
    starts: RMatrix<f64>,
    only_active: bool,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let starts = matrix(&starts);
        let threads = threads.max(0) as usize;
        let samples = problem.supervise(&progress, |likelihood, bulk, monitor| {
            refit(likelihood, bulk, starts, only_active, threads, monitor)
        })?;
        let n_sources = problem.model.n_sources();
        Ok(RMatrix::new_matrix(n_sources, samples.len(), |j, i| samples[i][j]))
    })
}

extendr_module! {
    mod inference;
    fn rs_infer;
    fn rs_test_presence;
    fn rs_eliminate;
    fn rs_refit;
}
