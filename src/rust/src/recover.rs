//! Profiles from composite measurements.

use crate::arguments::{element, number, r_array2, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use crate::learn_dictionary::{activities, sparse};
use extendr_api::prelude::*;
use unalloy_core::matrix::CscBuf;
use unalloy_core::sensing::recovery::{recover, Decoder, Measured, RecoveryParams};
use unalloy_core::CoreError;

/// @noRd
#[extendr]
fn rs_recover(
    readings: RMatrix<f64>,
    weights: RMatrix<f64>,
    modules: RMatrix<f64>,
    residual_variance: &[f64],
    examples: Robj,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let params = RecoveryParams {
            decoder: decoder(&settings)?,
            sparsity: number(&settings, "sparsity")? as usize,
            standard_errors: number(&settings, "standard_errors")? != 0.0,
            // a negative number stands for none
            noise: Some(number(&settings, "noise")?).filter(|&noise| noise >= 0.0),
            threads: number(&settings, "threads")? as usize,
        };
        let size = modules.ncols();
        let examples = if examples.is_null() { None } else { Some(activities(&examples, size)?) };
        let measured = Measured {
            readings: view(&readings),
            weights: view(&weights),
            atoms: view(&modules),
            residual_variance,
            examples: examples.as_ref().map(CscBuf::view),
        };
        let found = supervise(&progress, |monitor| recover(&measured, &params, monitor))?;
        let errors: Robj = if params.standard_errors {
            r_array2(&found.standard_errors).into()
        } else {
            ().into()
        };
        Ok(list!(
            profiles = r_array2(&found.profiles),
            standard_errors = errors,
            activities = sparse(found.codes.view()),
            residual = found.residual,
            variance = found.variance,
            noise = found.noise,
            inflation = found.inflation
        ))
    })
}

fn decoder(settings: &List) -> std::result::Result<Decoder, CoreError> {
    // A penalty of 0 stands for none.
    let penalty = Some(number(settings, "penalty")?).filter(|&penalty| penalty > 0.0);
    match element(settings, "method").as_str().unwrap_or("") {
        "omp" => Ok(Decoder::Orthogonal),
        "nn_omp" => Ok(Decoder::Nonnegative),
        "lasso" => Ok(Decoder::Lasso { nonnegative: false, penalty }),
        "nn_lasso" => Ok(Decoder::Lasso { nonnegative: true, penalty }),
        "nnls" => Ok(Decoder::LeastSquares),
        _ => Err(CoreError::Argument {
            name: "method",
            found: f64::NAN,
            expected: "the name of a method",
        }),
    }
}

extendr_module! {
    mod recover;
    fn rs_recover;
}
