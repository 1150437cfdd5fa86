//! Profiles from composite measurements.

use crate::bridge::{answer, csc, guard, supervise};
use extendr_api::prelude::*;
use unalloy_core::sensing::recovery::{recover, Decoder, Measured, RecoveryParams};

/// `examples` are activities of the training samples, or NULL.
/// @noRd
#[extendr]
fn rs_recover(given: List) -> Robj {
    guard(&given, |given| {
        let mut decoder = given.choice("method")?;
        if let Decoder::Lasso { penalty, .. } = &mut decoder {
            *penalty = given.optional("penalty")?;
        }
        let params = RecoveryParams {
            decoder,
            sparsity: given.count("sparsity")?,
            standard_errors: given.flag("standard_errors")?,
            noise: given.optional("noise")?,
            threads: given.count("threads")?,
        };
        let examples = if given.has("examples") { Some(given.sparse("examples")?) } else { None };
        let measured = Measured {
            readings: given.array2("readings")?,
            weights: given.array2("weights")?,
            atoms: given.array2("modules")?,
            residual_variance: given.numbers("residual_variance")?,
            examples,
        };
        let found = supervise(&given, |monitor| recover(&measured, &params, monitor))?;
        Ok(answer!(
            profiles = found.profiles,
            standard_errors = params.standard_errors.then_some(found.standard_errors),
            activities = csc(found.codes),
            residual = found.residual,
            variance = found.variance,
            noise = found.noise,
            inflation = found.inflation
        ))
    })
}

extendr_module! {
    mod recover;
    fn rs_recover;
}
