//! Expression programs that no signature holds.

use crate::arguments::{number, r_array2};
use crate::cell_type_expression::{reference_prior, Held};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::deconvolution::expression::{Cohort, CohortParams, Learn};
use unalloy_core::deconvolution::extract_program::{fit_program, test_genes, ProgramParams};

/// @noRd
#[extendr]
fn rs_fit_program(
    data: List,
    weights: &[f64],
    tau2: &[f64],
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let held = Held::new(&data)?;
        let get = |name| number(&settings, name);
        let params = ProgramParams {
            n_programs: get("n_programs")? as usize,
            n_starts: get("n_starts")? as usize,
            max_iter: get("max_iter")? as usize,
            tolerance: get("tolerance")?,
            seed: get("seed")? as i64 as u64,
            threads: get("threads")? as usize,
        };
        let borrowed = held.borrow()?;
        let fit = supervise(&progress, |monitor| {
            fit_program(&borrowed, weights, tau2, &params, monitor)
        })?;
        Ok(list!(
            programs = r_array2(&fit.programs),
            loadings = r_array2(&fit.loadings),
            exposures = r_array2(&fit.exposures),
            factors = fit.factors,
            trace = fit.trace,
            null_objective = fit.null_objective,
            starts = fit.starts,
            reason = fit.stop.name()
        ))
    })
}

/// `shared` holds the `noise` and the `factors` of the sources.
/// @noRd
#[extendr]
fn rs_test_program(
    data: List,
    reference: List,
    shared: List,
    loading: &[f64],
    composition: &[f64],
) -> Robj {
    guard(|| {
        let held = Held::new(&data)?;
        let known = reference_prior(&held, &reference)?;
        let factors = crate::arguments::element(&shared, "factors");
        let factors = crate::arguments::numbers(&factors, "factors")?;
        let noise = number(&shared, "noise")?;
        let cohort = Cohort::new(held.borrow()?, &known)?;
        let params = CohortParams { learn: Learn::Nothing, noise, least_noise: noise, threads: 1 };
        let mut fit = unalloy_core::parallel::unmonitored(|monitor| cohort.fit(&params, monitor))?;
        for (j, factor) in factors.iter().enumerate() {
            fit.between.column_mut(j).iter_mut().for_each(|v| *v *= factor);
        }
        let genes: Vec<usize> = (0..fit.log_factor.len()).collect();
        let tests = test_genes(&cohort, &fit, loading, composition, &genes)?;
        Ok(list!(
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
