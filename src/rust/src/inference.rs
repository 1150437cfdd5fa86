//! Uncertainty of a fit, and tests and elimination of types.

use crate::bridge::{answer, guard, Problem};
use extendr_api::prelude::*;
use unalloy_core::deconvolution::infer::{eliminate, infer, presence, refit, Scale, Start};

/// @noRd
#[extendr]
fn rs_infer(given: List) -> Robj {
    guard(&given, |given| {
        let problem = Problem::read(&given)?;
        let (points, fall) = (given.array2("exposures")?, given.number("fall")?);
        let (variance, threads) = (given.choice("variance")?, given.count("threads")?);
        let found = problem.supervise(&given, |likelihood, bulk, monitor| {
            infer(likelihood, bulk, points, variance, fall, threads, monitor)
        })?;
        Ok(answer!(
            covariance = found.covariance,
            dispersion = found.dispersion,
            limits = found.limits,
            scales = found.scales
        ))
    })
}

/// Likelihood ratio statistics in units of their scales, types × samples.
/// @noRd
#[extendr]
fn rs_test_presence(given: List) -> Robj {
    guard(&given, |given| {
        let problem = Problem::read(&given)?;
        let start = Start {
            exposures: given.array2("exposures")?,
            scales: given.array2("scales")?,
            inflation: given.array2("inflation")?,
            scale: if given.flag("null_scale")? { Scale::Null } else { Scale::Given },
            only_active: given.flag("only_active")?,
        };
        let (clear, threads) = (given.number("clear")?, given.count("threads")?);
        let found = problem.supervise(&given, |likelihood, bulk, monitor| {
            presence(likelihood, bulk, start, clear, threads, monitor)
        })?;
        Ok(found.into())
    })
}

/// Which types backward elimination keeps, types × samples.
/// @noRd
#[extendr]
fn rs_eliminate(given: List) -> Robj {
    guard(&given, |given| {
        let problem = Problem::read(&given)?;
        let start = Start {
            exposures: given.array2("exposures")?,
            scales: given.array2("scales")?,
            inflation: given.array2("inflation")?,
            scale: Scale::Null,
            only_active: true,
        };
        let (threshold, threads) = (given.number("threshold")?, given.count("threads")?);
        let found = problem.supervise(&given, |likelihood, bulk, monitor| {
            eliminate(likelihood, bulk, start, threshold, threads, monitor)
        })?;
        Ok(found.into())
    })
}

/// Exposures (sources × samples) sought from `starts`.
/// @noRd
#[extendr]
fn rs_refit(given: List) -> Robj {
    guard(&given, |given| {
        let problem = Problem::read(&given)?;
        let (starts, threads) = (given.array2("starts")?, given.count("threads")?);
        let only_active = given.flag("only_active")?;
        let found = problem.supervise(&given, |likelihood, bulk, monitor| {
            refit(likelihood, bulk, starts, only_active, threads, monitor)
        })?;
        Ok(found.into())
    })
}

extendr_module! {
    mod inference;
    fn rs_infer;
    fn rs_test_presence;
    fn rs_eliminate;
    fn rs_refit;
}
