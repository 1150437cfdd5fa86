//! Networks as decoders: training, and what they make of readings.

use crate::bridge::{answer, guard, supervise, supervise_in_part, Given, Result, Value};
use crate::learn_decoder::{decoder, training};
use crate::training::{bare, progress_list, progress_of, trace, trace_of};
use extendr_api::prelude::*;
use unalloy_core::networks::decoder::{
    learn, recover, Architecture, Bend, Inputs, Member, Params, Resume, Start, Unfinished,
};
use unalloy_core::networks::train::Reason;

/// Trains, from the start or from where an interrupted training stopped.
/// @noRd
#[extendr]
fn rs_train_decoder(given: List) -> Robj {
    guard(&given, |given| {
        let training = training(&given)?;
        let inputs = match given.has("inputs") {
            true => {
                let (values, readings) = (given.array2("inputs")?, given.array2("readings")?);
                Some(Inputs { values, readings })
            }
            false => None,
        };
        let params = Params {
            start: given.choice("start")?,
            loss: given.choice("loss")?,
            hidden: given.whole_numbers("hidden")?,
            dropout: given.number("dropout")?,
            members: given.count("ensemble")?,
            validation: given.number("validation")?,
            epochs: given.count("epochs")?,
            batch_size: given.count("batch_size")?,
            patience: given.count("patience")?,
            learning_rate: given.number("learning_rate")?,
            decay: given.number("decay")?,
            seed: given.seed("seed")?,
            threads: given.count("threads")?,
        };
        let resume = match given.has("unfinished") {
            true => Some(resume(&given)?),
            false => None,
        };
        let found = supervise_in_part(&given, |monitor| {
            learn(&training, inputs.as_ref(), &params, resume, monitor)
        })?;
        let architecture = &found.architecture;
        let hidden = architecture.hidden.iter().map(|&size| size as f64).collect::<Vec<_>>();
        let shape = answer!(
            inputs = architecture.inputs as f64,
            hidden = hidden,
            genes = architecture.genes as f64,
            dropout = architecture.dropout,
        );
        let unfinished = found.unfinished.map(|left| {
            let progress = progress_list(left.progress, bare(left.weights));
            answer!(progress = progress, start = left.start)
        });
        let members: Vec<Value<'static>> = found.members.into_iter().map(member_list).collect();
        let ridge = found.ridge.ridge;
        Ok(answer!(
            mean = ridge.mean,
            centre = ridge.centre,
            slope = ridge.slope,
            spread = ridge.spread,
            usual_distance = ridge.usual_distance,
            penalty = ridge.penalty,
            ridge_error = ridge.error,
            architecture = shape,
            coordinates = found.coordinates,
            scale = found.scale,
            names = Value::Texts(found.names.into_iter().map(Into::into).collect()),
            members = members,
            error = found.error,
            gene_error = found.gene_error,
            error_variance = found.error_variance,
            spread_weight = found.spread_weight,
            unfinished = unfinished,
        ))
    })
}

fn member_list(member: Member) -> Value<'static> {
    answer!(
        trace = trace(&member.trace),
        weights = bare(member.weights),
        start = member.start,
        best = member.best as f64,
        reason = member.reason.name(),
        skipped = member.skipped as f64,
    )
}

fn resume(given: &Given<'_>) -> Result<Resume> {
    let member = |given: &Given<'_>| {
        let reason = match given.text("reason")? {
            "patience" => Reason::Patience,
            _ => Reason::MaxEpochs,
        };
        Ok(Member {
            weights: given.arrays("weights")?.iter().map(|array| array.to_owned()).collect(),
            trace: trace_of(&given.list("trace")?)?,
            start: given.number("start")?,
            best: given.count("best")?,
            reason,
            skipped: given.count("skipped")?,
        })
    };
    let unfinished = given.list("unfinished")?;
    let before = unfinished.list("progress")?;
    Ok(Resume {
        finished: given.lists("finished")?.iter().map(member).collect::<Result<Vec<_>>>()?,
        unfinished: Unfinished {
            weights: before.arrays("weights")?.iter().map(|array| array.to_owned()).collect(),
            progress: progress_of(&before)?,
            start: unfinished.number("start")?,
        },
    })
}

/// Profiles by ridge and the networks.
/// @noRd
#[extendr]
fn rs_decode_network(given: List) -> Robj {
    guard(&given, |given| {
        let base = decoder(&given)?;
        let shape = given.list("architecture")?;
        let hidden = shape.numbers("hidden")?.iter().map(|&size| size as usize).collect();
        let mut members = Vec::new();
        for member in given.lists("members")? {
            members.push(member.arrays("weights")?);
        }
        let inputs = if given.has("inputs") { Some(given.array2("inputs")?) } else { None };
        let bend = Bend {
            architecture: Architecture {
                inputs: shape.count("inputs")?,
                hidden,
                genes: shape.count("genes")?,
                dropout: shape.number("dropout")?,
                start: Start::Ridge,
            },
            members,
            coordinates: given.array2("coordinates")?,
            inputs,
            scale: given.number("scale")?,
        };
        let readings = given.array2("readings")?;
        let errors = given.flag("standard_errors")?;
        let threads = given.count("threads")?;
        let found =
            supervise(&given, |monitor| recover(&base, &bend, readings, errors, threads, monitor))?;
        Ok(answer!(
            profiles = found.profiles,
            standard_errors = errors.then_some(found.standard_errors),
            distance = found.distance,
            spread = found.spread
        ))
    })
}

extendr_module! {
    mod decoder_network;
    fn rs_train_decoder;
    fn rs_decode_network;
}
