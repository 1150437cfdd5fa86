//! Trainings of networks on their way to R and back: curves, weights, and what an
//! interrupted one needs to go on.

use crate::bridge::{answer, Given, Result, Value};
use unalloy_core::matrix::{owned_columns, Array2};
use unalloy_core::networks::optimiser::Adam;
use unalloy_core::networks::train::Value as Loss;
use unalloy_core::networks::train::{Best, Epoch, Progress};

/// Weights as R keeps them: their names go beside them.
pub fn named(weights: Vec<(String, Array2<f64>)>) -> Value<'static> {
    bare(weights.into_iter().map(|(_, array)| array).collect())
}

pub fn bare(weights: Vec<Array2<f64>>) -> Value<'static> {
    weights.into_iter().map(Value::from).collect::<Vec<Value<'static>>>().into()
}

fn column(trace: &[Epoch], of: impl Fn(&Epoch) -> f64) -> Vec<f64> {
    trace.iter().map(of).collect()
}

pub fn trace(trace: &[Epoch]) -> Value<'static> {
    answer!(
        train_misfit = column(trace, |e| e.training.misfit),
        train_prior = column(trace, |e| e.training.prior),
        misfit = column(trace, |e| e.validation.misfit),
        prior = column(trace, |e| e.validation.prior),
        seconds = column(trace, |e| e.seconds),
    )
}

fn moments(of: &[Vec<f32>]) -> Value<'static> {
    let double =
        |v: &Vec<f32>| owned_columns(v.iter().map(|x| f64::from(*x)).collect(), (v.len(), 1));
    of.iter().map(|v| Value::from(double(v))).collect::<Vec<_>>().into()
}

/// What an interrupted training needs to go on.
pub fn progress_list(progress: Progress<f32>, weights: Value<'static>) -> Value<'static> {
    let trace = trace(&progress.trace);
    let Progress { adam, step, best, sums, skipped, .. } = progress;
    let numbers = vec![
        step as f64,
        adam.steps as f64,
        sums.0.misfit,
        sums.0.prior,
        sums.1 as f64,
        skipped.0 as f64,
        skipped.1 as f64,
    ];
    let best = best.map(|best| {
        answer!(epoch = best.epoch as f64, value = best.value, weights = bare(best.weights))
    });
    answer!(
        weights = weights,
        first = moments(&adam.first),
        second = moments(&adam.second),
        numbers = numbers,
        trace = trace,
        best = best,
    )
}

/// The inverse of [`progress_list`].
pub fn progress_of(given: &Given<'_>) -> Result<Progress<f32>> {
    let moments = |name| -> Result<Vec<Vec<f32>>> {
        let arrays = given.arrays(name)?;
        Ok(arrays.iter().map(|array| array.iter().map(|x| *x as f32).collect()).collect())
    };
    let count = |value: f64| value as usize;
    let &[step, steps, misfit, prior, items, skipped, in_a_row] = given.numbers("numbers")? else {
        return Err(crate::bridge::Failure::Internal("`numbers` are not seven".into()));
    };
    let trace = trace_of(&given.list("trace")?)?;
    let best = match given.has("best") {
        true => {
            let best = given.list("best")?;
            let weights = best.arrays("weights")?.iter().map(|array| array.to_owned()).collect();
            Some(Best { epoch: best.count("epoch")?, value: best.number("value")?, weights })
        }
        false => None,
    };
    Ok(Progress {
        adam: Adam { first: moments("first")?, second: moments("second")?, steps: count(steps) },
        step: count(step),
        trace,
        best,
        sums: (Loss { misfit, prior }, count(items)),
        skipped: (count(skipped), count(in_a_row)),
    })
}

/// The inverse of [`trace`].
pub fn trace_of(table: &Given<'_>) -> Result<Vec<Epoch>> {
    let columns = [
        table.numbers("train_misfit")?,
        table.numbers("train_prior")?,
        table.numbers("misfit")?,
        table.numbers("prior")?,
        table.numbers("seconds")?,
    ];
    let epoch = |k: usize| Epoch {
        training: Loss { misfit: columns[0][k], prior: columns[1][k] },
        validation: Loss { misfit: columns[2][k], prior: columns[3][k] },
        seconds: columns[4][k],
    };
    Ok((0..columns[0].len()).map(epoch).collect())
}
