//! Profiles from composite measurements.

use crate::arguments::{element, matrix, number, r_matrix, values, Values};
use crate::guard::guard;
use crate::interrupt::supervise;
use crate::learn_dictionary::sparse;
use extendr_api::prelude::*;
use unalloy_core::sensing::codes::Codes;
use unalloy_core::sensing::recovery::{recover, Decoder, Params, Problem};
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
        let params = Params {
            decoder: decoder(&settings)?,
            sparsity: number(&settings, "sparsity")? as usize,
            standard_errors: number(&settings, "standard_errors")? != 0.0,
            threads: number(&settings, "threads")? as usize,
        };
        let size = modules.ncols();
        let examples = if examples.is_null() { None } else { Some(codes(&examples, size)?) };
        let problem = Problem {
            readings: matrix(&readings),
            weights: matrix(&weights),
            atoms: matrix(&modules),
            residual_variance,
            examples: examples.as_ref(),
        };
        let found = supervise(&progress, |monitor| recover(&problem, &params, monitor))?;
        let errors: Robj = if params.standard_errors {
            r_matrix(&found.standard_errors).into()
        } else {
            ().into()
        };
        Ok(list!(
            profiles = r_matrix(&found.profiles),
            standard_errors = errors,
            activities = sparse(&found.codes),
            residual = found.residual,
            variance = found.variance,
            inflation = found.inflation
        ))
    })
}

/// Activities from the slots of a `dgCMatrix`.
fn codes(slots: &Robj, size: usize) -> std::result::Result<Codes, CoreError> {
    let wrong = CoreError::Shape { what: "activities (p, i, x)", expected: 3, found: slots.len() };
    let Values::Sparse { starts, rows, values } = values(slots)? else {
        return Err(wrong);
    };
    let from = |x: &[i32]| x.iter().map(|&v| v.max(0) as usize).collect::<Vec<_>>();
    Codes::from_columns(from(starts), from(rows), values.to_vec(), size).ok_or(wrong)
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
