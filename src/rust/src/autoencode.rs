//! Autoencoders: training, codes, rates, bounds.

use crate::bridge::{answer, guard, supervise, supervise_in_part, Given, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::matrix::{owned_columns, Array2};
use unalloy_core::networks::autoencoder::{Architecture, Autoencoder, Data, Scaling, Trainer};
use unalloy_core::networks::layer::{arrays, restore};
use unalloy_core::networks::optimiser::{self, Adam};
use unalloy_core::networks::train::Value as Loss;
use unalloy_core::networks::train::{self, Best, Epoch, Progress, Reason, Split};

type Net = Autoencoder<f32>;

/// Trains, from the start or from where an interrupted training stopped.
/// @noRd
#[extendr]
fn rs_train_autoencoder(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let batch = batches(&given)?;
        let data = data(&given, &architecture, &batch)?;
        let settings = train::Settings {
            epochs: given.count("epochs")?,
            batch_size: given.count("batch_size")?,
            patience: given.count("patience")?,
            warm_up: given.count("warm_up")?,
            step: optimiser::Settings {
                learning_rate: given.number("learning_rate")?,
                ..optimiser::Settings::default()
            },
            seed: given.seed("seed")?,
        };
        let split = Split::random(data.n_cells(), given.number("validation")?, settings.seed);
        let threads = given.count("threads")?;
        let (mut net, mut progress) = (Net::new(&architecture, settings.seed), Progress::default());
        if given.has("training") {
            let training = given.list("training")?;
            restore(net.parameters(), &training.arrays("weights")?)?;
            progress = progress_of(&training)?;
        } else {
            net.start_from(&data);
        }
        let mut trainer = Trainer::new(net, data, settings.seed);
        let (reason, last) = supervise_in_part(&given, |monitor| {
            with_threads(threads, || {
                let reason = train::train(&mut trainer, &split, &settings, &mut progress, monitor);
                if let Some(failure) = trainer.failure() {
                    return Err(failure);
                }
                let reason = reason?;
                let last = arrays(trainer.net.parameters());
                train::use_best(&mut trainer, &progress)?;
                Ok((reason, last))
            })?
        })?;
        let weights = arrays(trainer.net.parameters());
        let names = weights.iter().map(|(name, _)| name.clone().into()).collect();
        let best = progress.best.as_ref().map(|best| best.epoch as f64 + 1.0);
        let (trace, skipped) = (trace(&progress), progress.skipped.0 as f64);
        let training = (reason == Reason::Interrupted).then(|| progress_list(progress, bare(last)));
        Ok(answer!(
            weights = bare(weights),
            names = Value::Texts(names),
            spread = trainer.net.spread(),
            loadings = trainer.net.loadings(),
            trace = trace,
            best = best,
            reason = reason.name(),
            skipped = skipped,
            validation = crate::bridge::positions(split.validation)?,
            training = training,
        ))
    })
}

/// Posterior means and standard deviations, codes x cells.
/// @noRd
#[extendr]
fn rs_autoencoder_codes(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let (batch, mut net) = (batches(&given)?, trained(&given, &architecture)?);
        let (data, threads) = (data(&given, &architecture, &batch)?, given.count("threads")?);
        let (mean, sd) =
            supervise(&given, |monitor| with_threads(threads, || net.codes(&data, monitor))?)?;
        Ok(answer!(mean = mean, sd = sd))
    })
}

/// What codes stand for, genes x cells.
/// @noRd
#[extendr]
fn rs_autoencoder_rates(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let (batch, mut net) = (batches(&given)?, trained(&given, &architecture)?);
        let codes = given.array2("codes")?;
        let (size, threads) = (given.numbers("log_size")?, given.count("threads")?);
        let rates = supervise(&given, |monitor| {
            with_threads(threads, || net.rates(&codes, &batch, size, monitor))?
        })?;
        Ok(answer!(mean = rates.mean, structural = rates.structural))
    })
}

/// Lower bounds of the log-likelihood of each cell.
/// @noRd
#[extendr]
fn rs_autoencoder_bounds(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let (batch, mut net) = (batches(&given)?, trained(&given, &architecture)?);
        let (data, threads) = (data(&given, &architecture, &batch)?, given.count("threads")?);
        let (samples, seed) = (given.count("samples")?, given.seed("seed")?);
        let bounds = supervise(&given, |monitor| {
            with_threads(threads, || net.bounds(&data, samples, seed, monitor))?
        })?;
        Ok(answer!(
            elbo = bounds.iter().map(|b| b.elbo).collect::<Vec<_>>(),
            weighted = bounds.iter().map(|b| b.weighted).collect::<Vec<_>>(),
        ))
    })
}

fn architecture(given: &Given<'_>) -> Result<Architecture> {
    let given = given.list("architecture")?;
    Ok(Architecture {
        likelihood: given.choice("likelihood")?,
        genes: given.count("genes")?,
        batches: given.count("batches")?,
        latent: given.count("latent")?,
        hidden: given.whole_numbers("hidden")?,
        linear_decoder: given.flag("linear_decoder")?,
        variational: given.flag("variational")?,
        encode_batch: given.flag("encode_batch")?,
        dropout: given.number("dropout")?,
        dispersions: given.choice("dispersion")?,
    })
}

fn batches(given: &Given<'_>) -> Result<Vec<usize>> {
    given.positions("batch")
}

fn data<'a>(
    given: &Given<'a>,
    architecture: &Architecture,
    batch: &'a [usize],
) -> Result<Data<'a>> {
    let scaling = match given.has("centre") {
        true => Some(Scaling { centre: given.numbers("centre")?, scale: given.numbers("scale")? }),
        false => None,
    };
    let (x, size) = (given.matrix("x")?, given.numbers("log_size")?);
    Ok(Data::new(x, size, batch, scaling, architecture)?)
}

fn trained(given: &Given<'_>, architecture: &Architecture) -> Result<Net> {
    let mut net = Net::new(architecture, 0);
    restore(net.parameters(), &given.arrays("weights")?)?;
    Ok(net)
}

fn bare(weights: Vec<(String, Array2<f64>)>) -> Value<'static> {
    weights.into_iter().map(|(_, array)| Value::from(array)).collect::<Vec<Value<'static>>>().into()
}

fn column(trace: &[Epoch], of: impl Fn(&Epoch) -> f64) -> Vec<f64> {
    trace.iter().map(of).collect()
}

fn trace(progress: &Progress<f32>) -> Value<'static> {
    let trace = &progress.trace;
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
fn progress_list(progress: Progress<f32>, weights: Value<'static>) -> Value<'static> {
    let trace = trace(&progress);
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
        let weights: Vec<Value<'static>> = best.weights.into_iter().map(Value::from).collect();
        answer!(epoch = best.epoch as f64, value = best.value, weights = weights)
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

fn progress_of(given: &Given<'_>) -> Result<Progress<f32>> {
    let moments = |name| -> Result<Vec<Vec<f32>>> {
        let arrays = given.arrays(name)?;
        Ok(arrays.iter().map(|array| array.iter().map(|x| *x as f32).collect()).collect())
    };
    let count = |value: f64| value as usize;
    let &[step, steps, misfit, prior, items, skipped, in_a_row] = given.numbers("numbers")? else {
        return Err(crate::bridge::Failure::Internal("`numbers` are not seven".into()));
    };
    let table = given.list("trace")?;
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
        trace: (0..columns[0].len()).map(epoch).collect(),
        best,
        sums: (Loss { misfit, prior }, count(items)),
        skipped: (count(skipped), count(in_a_row)),
    })
}

extendr_module! {
    mod autoencode;
    fn rs_train_autoencoder;
    fn rs_autoencoder_codes;
    fn rs_autoencoder_rates;
    fn rs_autoencoder_bounds;
}
