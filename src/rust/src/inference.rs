//! Uncertainty of a fit, and tests and elimination of types.

use crate::arguments::{entries, number, r_array2, view};
use crate::guard::guard;
use crate::problem::Problem;
use extendr_api::prelude::*;
use unalloy_core::deconvolution::infer::{
    eliminate, infer, presence, refit, Scale, Start, Variance,
};

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
        let points = view(&exposures);
        let variance = match variance {
            "quasi" => Variance::Quasi,
            "poisson" => Variance::Poisson,
            _ => Variance::Robust,
        };
        let threads = threads.max(0) as usize;
        let found = problem.supervise(&progress, |likelihood, bulk, monitor| {
            infer(likelihood, bulk, points, variance, fall, threads, monitor)
        })?;
        Ok(list!(
            covariance = entries(found.covariance),
            dispersion = found.dispersion,
            limits = r_array2(&found.limits),
            scales = r_array2(&found.scales)
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
            exposures: view(&exposures),
            scales: view(&scales),
            scale: if flag("null_scale")? { Scale::Null } else { Scale::Given },
            only_active: flag("only_active")?,
        };
        let clear = number(&settings, "clear")?;
        let threads = number(&settings, "threads")? as usize;
        let statistics = problem.supervise(&progress, |likelihood, bulk, monitor| {
            presence(likelihood, bulk, start, clear, threads, monitor)
        })?;
        Ok(r_array2(&statistics))
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
            exposures: view(&exposures),
            scales: view(&scales),
            scale: Scale::Null,
            only_active: true,
        };
        let threads = threads.max(0) as usize;
        let kept = problem.supervise(&progress, |likelihood, bulk, monitor| {
            eliminate(likelihood, bulk, start, threshold, threads, monitor)
        })?;
        Ok(RMatrix::new_matrix(kept.nrows(), kept.ncols(), |j, i| i32::from(kept[(j, i)])))
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
        let starts = view(&starts);
        let threads = threads.max(0) as usize;
        let found = problem.supervise(&progress, |likelihood, bulk, monitor| {
            refit(likelihood, bulk, starts, only_active, threads, monitor)
        })?;
        Ok(r_array2(&found))
    })
}

extendr_module! {
    mod inference;
    fn rs_infer;
    fn rs_test_presence;
    fn rs_eliminate;
    fn rs_refit;
}
