//! Decoders from readings to profiles, and what they recover.

use crate::bridge::{answer, guard, supervise, Given, Result};
use extendr_api::prelude::*;
use unalloy_core::sensing::decoder::{
    learn, recover, Bells, Decoder, DecoderParams, KernelParams, Linear, Training,
};

/// `landmarks` and `seed` are those of the kernel, or NULL for ridge alone.
/// @noRd
#[extendr]
fn rs_learn_decoder(given: List) -> Robj {
    guard(&given, |given| {
        let kernel = match given.has("landmarks") {
            true => {
                let (landmarks, seed) = (given.count("landmarks")?, given.seed("seed")?);
                Some(KernelParams { landmarks, seed })
            }
            false => None,
        };
        let training = training(&given)?;
        let params = DecoderParams { kernel, threads: given.count("threads")? };
        let found = supervise(&given, |monitor| learn(&training, &params, monitor))?;
        let trials = &found.trials;
        let sharpness: Vec<f64> =
            trials.iter().map(|trial| trial.sharpness.unwrap_or(f64::NAN)).collect();
        let penalty: Vec<f64> = trials.iter().map(|trial| trial.penalty).collect();
        let error: Vec<f64> = trials.iter().map(|trial| trial.error).collect();
        let bells = found.kernel.map(|bells| {
            answer!(
                coordinates = bells.coordinates,
                landmarks = bells.landmarks,
                coefficients = bells.coefficients,
                certainty = bells.certainty,
                prior = bells.prior
            )
        });
        Ok(answer!(
            mean = found.ridge.mean,
            centre = found.ridge.centre,
            slope = found.ridge.slope,
            spread = found.ridge.spread,
            usual_distance = found.ridge.usual_distance,
            bells = bells,
            spread_weight = found.spread_weight,
            error_variance = found.error_variance,
            gene_error = found.gene_error,
            sharpness = sharpness,
            penalty = penalty,
            error = error
        ))
    })
}

/// @noRd
#[extendr]
fn rs_decode(given: List) -> Robj {
    guard(&given, |given| {
        let decoder = decoder(&given)?;
        let readings = given.array2("readings")?;
        let errors = given.flag("standard_errors")?;
        let threads = given.count("threads")?;
        let found =
            supervise(&given, |monitor| recover(&decoder, readings, errors, threads, monitor))?;
        Ok(answer!(
            profiles = found.profiles,
            standard_errors = errors.then_some(found.standard_errors),
            distance = found.distance,
            spread = found.spread
        ))
    })
}

pub(crate) fn training<'a>(given: &Given<'a>) -> Result<Training<'a>> {
    Ok(Training {
        profiles: given.array2("profiles")?,
        weights: given.array2("weights")?,
        snr: given.number("snr")?,
    })
}

pub(crate) fn decoder<'a>(given: &Given<'a>) -> Result<Decoder<'a>> {
    let kernel = match given.has("bells") {
        true => {
            let bells = given.list("bells")?;
            Some(Bells {
                coordinates: bells.array2("coordinates")?,
                landmarks: bells.array2("landmarks")?,
                coefficients: bells.array2("coefficients")?,
                certainty: bells.array2("certainty")?,
                prior: bells.number("prior")?,
            })
        }
        false => None,
    };
    Ok(Decoder {
        linear: Linear {
            mean: given.numbers("mean")?,
            centre: given.numbers("centre")?,
            slope: given.array2("slope")?,
            spread: given.array2("spread")?,
            usual_distance: given.number("usual_distance")?,
            samples: given.count("samples")?,
        },
        kernel,
        error_variance: given.numbers("error_variance")?,
        spread_weight: given.number("spread_weight")?,
    })
}

extendr_module! {
    mod learn_decoder;
    fn rs_learn_decoder;
    fn rs_decode;
}
