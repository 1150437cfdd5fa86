//! Trains the members of a decoder, and checks them on samples that they did not see.

use super::batches::{Task, Trainer};
use super::{Bent, Inputs, Member, Params};
use crate::base::error::check_value;
use crate::base::parallel::{with_threads, Monitor};
use crate::base::rng::{derived_seeds, stream, Purpose};
use crate::matrix::Array2;
use crate::networks::layer::{arrays, restore};
use crate::networks::optimiser;
use crate::networks::train::{self, Best, Learner, Progress, Reason, Settings, Split};
use crate::sensing::decoder::{self, spread_weight, DecoderParams, Training};
use crate::CoreError;
use rand::seq::SliceRandom;

/// A member whose training was interrupted.
pub struct Unfinished {
    /// The last weights, not the best.
    pub weights: Vec<Array2<f64>>,
    pub progress: Progress<f32>,
    pub start: f64,
}

/// From where a training goes on.
pub struct Resume {
    pub finished: Vec<Member>,
    pub unfinished: Unfinished,
}

/// Learns ridge and the networks on it.  An interruption while they are trained is no
/// error: what was learned so far is returned.
///
/// # Errors
/// Those of [`decoder::learn`]; `Argument` for fewer than ten samples; `Diverged`;
/// `Shape` for inputs, or weights of `resume`, of another size.
pub fn learn(
    training: &Training<'_>,
    inputs: Option<&Inputs<'_>>,
    params: &Params,
    resume: Option<Resume>,
    monitor: &Monitor<'_>,
) -> Result<Bent, CoreError> {
    let n = training.profiles.ncols();
    check_value("samples", n as f64, "at least 10", |v| v >= 10.0)?;
    check_value("members", params.members as f64, "at least 1", |v| v >= 1.0)?;
    let alone = DecoderParams { kernel: None, threads: params.threads };
    let ridge = decoder::learn(training, &alone, &monitor.silent())?;
    let (task_parts, members, checked, unfinished) = with_threads(params.threads, || {
        let task = Task::new(training, &ridge, inputs, params)?;
        let (members, unfinished) = train_members(&task, params, n, resume, monitor)?;
        let checked = check(&task, params, n, &members)?;
        let parts = (task.architecture(params), task.coordinates, task.scale);
        Ok::<_, CoreError>((parts, members, checked, unfinished))
    })??;
    let (architecture, coordinates, scale) = task_parts;
    let mut network = architecture.network::<f32>(0);
    let names = network.parameters().into_iter().map(|(name, _)| name).collect();
    Ok(Bent {
        names,
        ridge,
        architecture,
        coordinates,
        scale,
        members,
        error: checked.gene_error.iter().sum(),
        gene_error: checked.gene_error,
        error_variance: checked.error_variance,
        spread_weight: checked.spread_weight,
        unfinished,
    })
}

/// Samples in random order, of which each member holds out the next ones.
pub(super) fn held_out(n: usize, member: usize, params: &Params) -> Split {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut stream(params.seed, Purpose::Splits, 0));
    let size = ((params.validation * n as f64).round() as usize).clamp(1, n - 2);
    let mut validation: Vec<usize> = (0..size).map(|j| order[(member * size + j) % n]).collect();
    validation.sort_unstable();
    let is_held = |item: &usize| validation.binary_search(item).is_ok();
    Split { training: (0..n).filter(|item| !is_held(item)).collect(), validation }
}

type Trained = (Vec<Member>, Option<Unfinished>);

fn train_members(
    task: &Task<'_>,
    params: &Params,
    n: usize,
    resume: Option<Resume>,
    monitor: &Monitor<'_>,
) -> Result<Trained, CoreError> {
    let architecture = task.architecture(params);
    let (mut members, mut unfinished) = match resume {
        Some(resume) => (resume.finished, Some(resume.unfinished)),
        None => (Vec::new(), None),
    };
    check_value("members", members.len() as f64, "fewer than all", |done| {
        done < params.members as f64
    })?;
    let seeds = derived_seeds(params.seed, params.members);
    monitor.advance(members.len() * params.epochs);
    for (member, &seed) in seeds.iter().enumerate().skip(members.len()) {
        let seed = u64::from(seed);
        let split = held_out(n, member, params);
        let mut trainer = Trainer::new(architecture.network(seed), task);
        let mut progress = Progress::default();
        let start = match unfinished.take() {
            Some(before) => {
                let weights: Vec<_> = before.weights.iter().map(|array| array.view()).collect();
                restore(trainer.parameters(), &weights)?;
                progress = before.progress;
                before.start
            }
            None => trainer.validate(&split.validation).total(),
        };
        if progress.best.is_none() {
            // no pass need be better than none
            let weights = arrays(trainer.parameters()).into_iter().map(|(_, array)| array);
            progress.best = Some(Best { epoch: 0, value: start, weights: weights.collect() });
        }
        let settings = Settings {
            epochs: params.epochs,
            batch_size: params.batch_size,
            patience: params.patience,
            warm_up: 1,
            step: optimiser::Settings {
                learning_rate: params.learning_rate,
                decay: params.decay,
                ..optimiser::Settings::default()
            },
            seed,
        };
        let reason = train::train(&mut trainer, &split, &settings, &mut progress, monitor)?;
        let last = arrays(trainer.parameters()).into_iter().map(|(_, array)| array).collect();
        monitor.advance(params.epochs - progress.trace.len());
        members.push(member_of(&progress, start, reason));
        if reason == Reason::Interrupted {
            return Ok((members, Some(Unfinished { weights: last, progress, start })));
        }
    }
    Ok((members, None))
}

fn member_of(progress: &Progress<f32>, start: f64, reason: Reason) -> Member {
    let best = progress.best.as_ref().expect("the start at least");
    let pass = progress.trace.iter().position(|epoch| epoch.validation.total() == best.value);
    Member {
        weights: best.weights.clone(),
        trace: progress.trace.clone(),
        start,
        best: if best.value < start { pass.map_or(0, |pass| pass + 1) } else { 0 },
        reason,
        skipped: progress.skipped.0,
    }
}

struct Checked {
    gene_error: Vec<f64>,
    error_variance: Vec<f64>,
    spread_weight: f64,
}

/// What members leave of the samples that they held out.
fn check(
    task: &Task<'_>,
    params: &Params,
    n: usize,
    members: &[Member],
) -> Result<Checked, CoreError> {
    let architecture = task.architecture(params);
    let each = |take: &mut dyn FnMut(f64, &mut [f64])| {
        for (k, member) in members.iter().enumerate() {
            let mut trainer = Trainer::new(architecture.network(0), task);
            let weights: Vec<_> = member.weights.iter().map(|array| array.view()).collect();
            restore(trainer.parameters(), &weights)?;
            trainer.errors(&held_out(n, k, params).validation, &mut *take);
        }
        Ok::<(), CoreError>(())
    };
    let mut gene_error = vec![0.0; architecture.genes];
    let mut doubts = Vec::new();
    each(&mut |doubt, errors| {
        gene_error.iter_mut().zip(&*errors).for_each(|(sum, error)| *sum += error * error);
        doubts.push(doubt);
    })?;
    let count = doubts.len() as f64;
    gene_error.iter_mut().for_each(|sum| *sum /= count);
    let mut surprises = Vec::with_capacity(doubts.len());
    each(&mut |_, errors| {
        let terms = errors.iter().zip(&gene_error).filter(|(_, size)| **size > 0.0);
        surprises.push(terms.map(|(error, size)| error * error / size).sum());
    })?;
    let spread_weight = spread_weight(&doubts, &surprises);
    let usual = 1.0 + spread_weight * doubts.iter().sum::<f64>() / count;
    let error_variance = gene_error.iter().map(|error| error / usual).collect();
    Ok(Checked { gene_error, error_variance, spread_weight })
}
