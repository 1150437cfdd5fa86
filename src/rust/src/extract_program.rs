//! Expression programs that no signature holds.

use crate::bridge::{answer, guard, supervise};
use crate::cell_type_expression::{cohort_data, reference_prior};
use extendr_api::prelude::*;
use unalloy_core::deconvolution::expression::{Cohort, CohortParams, Learn};
use unalloy_core::deconvolution::extract_program::{fit_program, test_genes, ProgramParams};

/// @noRd
#[extendr]
fn rs_fit_program(given: List) -> Robj {
    guard(&given, |given| {
        let data = cohort_data(&given)?;
        let (weights, tau2) = (given.numbers("weights")?, given.numbers("tau2")?);
        let settings = given.list("settings")?;
        let params = ProgramParams {
            n_programs: settings.count("n_programs")?,
            n_starts: settings.count("n_starts")?,
            max_iter: settings.count("max_iter")?,
            tolerance: settings.number("tolerance")?,
            seed: settings.seed("seed")?,
            threads: settings.count("threads")?,
        };
        let fit = supervise(&given, |monitor| fit_program(&data, weights, tau2, &params, monitor))?;
        Ok(answer!(
            programs = fit.programs,
            loadings = fit.loadings,
            exposures = fit.exposures,
            factors = fit.factors,
            trace = fit.trace,
            null_objective = fit.null_objective,
            starts = fit.starts,
            reason = fit.stop.name()
        ))
    })
}

/// `noise` is that of the counts, `factors` those of the sources' variances.
/// @noRd
#[extendr]
fn rs_test_program(given: List) -> Robj {
    guard(&given, |given| {
        let data = cohort_data(&given)?;
        let known = reference_prior(&given, &data)?;
        let (noise, factors) = (given.number("noise")?, given.numbers("factors")?);
        let (loading, composition) = (given.numbers("loading")?, given.numbers("composition")?);
        let cohort = Cohort::new(data, &known)?;
        let params = CohortParams { learn: Learn::Nothing, noise, least_noise: noise, threads: 1 };
        let tests = supervise(&given, |monitor| {
            let mut fit = cohort.fit(&params, monitor)?;
            fit.scale_between(factors)?;
            let genes: Vec<usize> = (0..fit.log_factor.len()).collect();
            test_genes(&cohort, &fit, loading, composition, &genes)
        })?;
        Ok(answer!(
            difference = tests.difference,
            std_error = tests.std_error,
            average = tests.average,
            scale = tests.scale,
            freedom = tests.freedom,
            prior_freedom = tests.law.freedom,
            prior_scale = tests.law.scale
        ))
    })
}

extendr_module! {
    mod extract_program;
    fn rs_fit_program;
    fn rs_test_program;
}
