//! Autoencoders: training, codes, rates, bounds.

use crate::bridge::{answer, guard, supervise, supervise_in_part, Given, Result, Value};
use crate::training::{named, progress_list, progress_of, trace};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::networks::autoencoder::{Architecture, Autoencoder, Data, Scaling, Trainer};
use unalloy_core::networks::layer::{arrays, restore};
use unalloy_core::networks::optimiser;
use unalloy_core::networks::train::{self, Progress, Reason, Split};

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
        let (trace, skipped) = (trace(&progress.trace), progress.skipped.0 as f64);
        let training =
            (reason == Reason::Interrupted).then(|| progress_list(progress, named(last)));
        Ok(answer!(
            weights = named(weights),
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

extendr_module! {
    mod autoencode;
    fn rs_train_autoencoder;
    fn rs_autoencoder_codes;
    fn rs_autoencoder_rates;
    fn rs_autoencoder_bounds;
}
