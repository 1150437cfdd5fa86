//! Networks for bulk samples: mixtures of cells, training, prediction.

use crate::bridge::{answer, guard, supervise, supervise_in_part, Given, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::{with_threads, Monitor};
use unalloy_core::matrix::Array2;
use unalloy_core::networks::deconvolver::{
    validation_mixtures, Architecture, Deconvolver, Expression, Moments, Scaling, Targets, Trainer,
};
use unalloy_core::networks::layer::{arrays, restore};
use unalloy_core::networks::mixtures::{Cells, Labels, Settings};
use unalloy_core::networks::optimiser;
use unalloy_core::networks::train::{self, Epoch, Progress, Split};
use unalloy_core::networks::unet::Size;
use unalloy_core::CoreError;

/// What a training starts from: scaling of the genes, levels and programs of the types.
/// @noRd
#[extendr]
fn rs_mixture_moments(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let (threads, seed) = (given.count("threads")?, given.seed("mixture_seed")?);
        let (cells, known) = (Reading::of(&given)?, given.matrix("x")?);
        let expression = architecture.expression != Expression::None;
        let programs = architecture.expression.programs();
        let moments = supervise(&given, |monitor| {
            with_threads(threads, || {
                let cells = cells.cells(known, monitor)?;
                Moments::of(&cells, seed, expression, programs, monitor)
            })?
        })?;
        Ok(answer!(
            centre = moments.centre,
            scale = moments.scale,
            level = moments.level,
            basis = moments.basis,
        ))
    })
}

/// The mixtures that trainings under a seed validate on: copies per million, and shares.
/// @noRd
#[extendr]
fn rs_validation_mixtures(given: List) -> Robj {
    guard(&given, |given| {
        let (threads, seed) = (given.count("threads")?, given.seed("mixture_seed")?);
        let (cells, known, n) =
            (Reading::of(&given)?, given.matrix("x")?, given.count("n_mixtures")?);
        let (bulk, shares) = supervise(&given, |monitor| {
            with_threads(threads, || {
                let cells = cells.cells(known, monitor)?;
                Ok(validation_mixtures(&cells, seed, n))
            })?
        })?;
        Ok(answer!(bulk = bulk, shares = shares))
    })
}

/// Trains one network.
/// @noRd
#[extendr]
fn rs_train_deconvolver(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let (threads, seed) = (given.count("threads")?, given.seed("mixture_seed")?);
        let (reading, x) = (Reading::of(&given)?, given.matrix("x")?);
        let epochs = given.count("epochs")?;
        let settings = train::Settings {
            epochs,
            batch_size: given.count("batch_size")?,
            patience: epochs,
            warm_up: 1,
            step: optimiser::Settings {
                learning_rate: given.number("learning_rate")?,
                ..optimiser::Settings::default()
            },
            seed: given.seed("seed")?,
        };
        let items = given.count("steps_per_epoch")? * settings.batch_size;
        let validation = given.count("n_validation")?;
        let split = Split { training: (0..items).collect(), validation: (0..validation).collect() };
        let (scaling, targets) = (scaling(&given)?, targets(&given, &architecture)?);
        let weight = given.number("share_weight")?;
        let mut progress = Progress::default();
        let (reason, weights) = supervise_in_part(&given, |monitor| {
            with_threads(threads, || {
                let cells = reading.cells(x, &monitor.silent())?;
                let net = Deconvolver::new(&architecture, settings.seed);
                let mut trainer = Trainer::new(net, &cells, scaling, targets, weight, seed)?;
                let reason = train::train(&mut trainer, &split, &settings, &mut progress, monitor)?;
                train::use_best(&mut trainer, &progress)?;
                Ok((reason, arrays(trainer.net.parameters())))
            })?
        })?;
        let names = weights.iter().map(|(name, _)| name.clone().into()).collect();
        let best = progress.best.as_ref().map(|best| best.epoch as f64 + 1.0);
        Ok(answer!(
            weights = bare(weights),
            names = Value::Texts(names),
            trace = trace(&progress.trace),
            best = best,
            reason = reason.name(),
            skipped = progress.skipped.0 as f64,
        ))
    })
}

/// Shares of samples, and expression of the types where the network was trained for it.
/// @noRd
#[extendr]
fn rs_predict_deconvolver(given: List) -> Robj {
    guard(&given, |given| {
        let architecture = architecture(&given)?;
        let (bulk, threads) = (given.array2("bulk")?, given.count("threads")?);
        let (scaling, targets) = (scaling(&given)?, targets(&given, &architecture)?);
        let mut net = Deconvolver::<f32>::new(&architecture, 0);
        restore(net.parameters(), &given.arrays("weights")?)?;
        let (shares, levels) = supervise(&given, |monitor| {
            with_threads(threads, || net.predict(bulk, scaling, targets.as_ref(), monitor))?
        })?;
        Ok(answer!(shares = shares, levels = levels))
    })
}

fn architecture(given: &Given<'_>) -> Result<Architecture> {
    let given = given.list("architecture")?;
    let expression = match given.text("expression")? {
        "none" => Expression::None,
        "programs" => Expression::Programs(given.count("programs")?),
        "unet" => {
            let (width, channels) = (given.count("width")?, given.whole_numbers("channels")?);
            let size = Size { width, channels };
            size.check()?;
            Expression::UNet(size)
        }
        other => {
            let (what, found) = ("expression", other.to_string());
            let known = &["none", "programs", "unet"];
            return Err(CoreError::Name { what, found, known }.into());
        }
    };
    Ok(Architecture {
        genes: given.count("genes")?,
        marks: given.count("marks")?,
        types: given.count("types")?,
        hidden: given.whole_numbers("hidden")?,
        dropout: given.number("dropout")?,
        loss: given.choice("loss")?,
        expression,
    })
}

/// All of the cells but their counts.
struct Reading<'a> {
    place: &'a [i32],
    weight: &'a [f64],
    total: &'a [f64],
    types: Vec<usize>,
    donors: Vec<usize>,
    states: Vec<usize>,
    settings: Settings,
}

impl<'a> Reading<'a> {
    fn of(given: &Given<'a>) -> Result<Self> {
        Ok(Reading {
            place: given.integers("place")?,
            weight: given.numbers("weight")?,
            total: given.numbers("total")?,
            types: given.positions("types")?,
            donors: given.positions("donors")?,
            states: given.positions("states")?,
            settings: Settings {
                n_types: given.list("architecture")?.count("types")?,
                n_cells: given.count("n_cells")?,
                concentration: given.number("concentration")?,
                platform_sd: given.number("platform_sd")?,
                depth: given.optional("depth")?,
                seed: given.seed("mixture_seed")?,
            },
        })
    }

    fn cells(
        &self,
        counts: unalloy_core::matrix::Matrix<'_>,
        monitor: &Monitor<'_>,
    ) -> std::result::Result<Cells, CoreError> {
        let labels = Labels { types: &self.types, donors: &self.donors, states: &self.states };
        let settings = self.settings.clone();
        Cells::new(counts, self.place, self.weight, self.total, labels, settings, monitor)
    }
}

fn scaling<'a>(given: &Given<'a>) -> Result<Scaling<'a>> {
    Ok(Scaling { centre: given.numbers("centre")?, scale: given.numbers("scale")? })
}

fn targets(given: &Given<'_>, architecture: &Architecture) -> Result<Option<Targets>> {
    if architecture.expression == Expression::None {
        return Ok(None);
    }
    let (level, basis) = (given.array2("level")?, given.array2("basis")?);
    Ok(Some(Targets::new(level, basis, architecture.expression.programs())?))
}

fn bare(weights: Vec<(String, Array2<f64>)>) -> Value<'static> {
    weights.into_iter().map(|(_, array)| Value::from(array)).collect::<Vec<Value<'static>>>().into()
}

fn trace(trace: &[Epoch]) -> Value<'static> {
    let column = |of: &dyn Fn(&Epoch) -> f64| trace.iter().map(of).collect::<Vec<f64>>();
    answer!(
        train_shares = column(&|e| e.training.misfit),
        train_expression = column(&|e| e.training.prior),
        shares = column(&|e| e.validation.misfit),
        expression = column(&|e| e.validation.prior),
        seconds = column(&|e| e.seconds),
    )
}

extendr_module! {
    mod train_deconvolver;
    fn rs_mixture_moments;
    fn rs_validation_mixtures;
    fn rs_train_deconvolver;
    fn rs_predict_deconvolver;
}
