//! Passes over the data: order, schedule, validation, early stopping, best weights.

use super::layer::{arrays, restore, Named, Pass};
use super::optimiser::{cosine, Adam, Settings as StepSettings};
use super::tensor::Scalar;
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::Array2;
use crate::CoreError;
use rand::seq::SliceRandom;
use std::time::Instant;

/// What is made small: the misfit, and what a prior adds to it (0 where there is none).
#[derive(Clone, Copy, Default, Debug)]
pub struct Value {
    pub misfit: f64,
    pub prior: f64,
}

impl Value {
    pub fn total(&self) -> f64 {
        self.misfit + self.prior
    }
}

/// Where the training stands.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// From 0, over all passes: names random streams.
    pub number: usize,
    pub seed: u64,
    /// Weight of the prior.
    pub warmth: f64,
}

impl Step {
    pub fn pass(&self) -> Pass {
        Pass { training: true, seed: self.seed, step: self.number }
    }
}

/// A network and its data.
pub trait Learner {
    type Number: Scalar;

    /// In a fixed order; what is fixed among them (running means) too.
    fn parameters(&mut self) -> Vec<Named<'_, Self::Number>>;

    /// Means over the items; leaves in the parameters the gradients of
    /// misfit + warmth · prior.
    fn learn(&mut self, items: &[usize], step: &Step) -> Value;

    /// Means over the items, in prediction; the same for the same weights.
    fn validate(&mut self, items: &[usize]) -> Value;
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Passes at most.
    pub epochs: usize,
    pub batch_size: usize,
    /// Passes without a better validation before the end.
    pub patience: usize,
    /// Passes over which the weight of the prior rises to 1; no pass among them is the best.
    pub warm_up: usize,
    pub step: StepSettings,
    pub seed: u64,
}

/// Items to learn from, and items to see how well.
#[derive(Clone, Debug)]
pub struct Split {
    pub training: Vec<usize>,
    pub validation: Vec<usize>,
}

impl Split {
    /// A share of n items held out, rounded to the nearest number.
    pub fn random(n: usize, share: f64, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut stream(seed, Purpose::Batches, 0));
        let mut validation = order.split_off(n - (share * n as f64).round() as usize);
        order.sort_unstable();
        validation.sort_unstable();
        Split { training: order, validation }
    }
}

/// A pass.  Validation is NaN where there are no items for it.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    pub training: Value,
    pub validation: Value,
    pub seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Patience,
    MaxEpochs,
    Interrupted,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Patience => "patience",
            Reason::MaxEpochs => "max_epochs",
            Reason::Interrupted => "interrupted",
        }
    }
}

/// Weights of the best pass.
#[derive(Clone)]
pub struct Best {
    /// From 0.
    pub epoch: usize,
    pub value: f64,
    pub weights: Vec<Array2<f64>>,
}

/// All that a training needs to go on, beside the learner's weights.
#[derive(Clone)]
pub struct Progress<T> {
    pub adam: Adam<T>,
    /// Steps that were tried, over all passes.
    pub step: usize,
    pub trace: Vec<Epoch>,
    pub best: Option<Best>,
    /// Sums over the items of the pass that is not complete, and their number.
    pub sums: (Value, usize),
    /// Steps whose gradient was no number: in all, and in a row.
    pub skipped: (usize, usize),
}

impl<T> Default for Progress<T> {
    fn default() -> Self {
        let adam = Adam { first: Vec::new(), second: Vec::new(), steps: 0 };
        let (sums, skipped) = ((Value::default(), 0), (0, 0));
        Progress { adam, step: 0, trace: Vec::new(), best: None, sums, skipped }
    }
}

/// Steps in a row without a number, after which the training has diverged.
const DIVERGED: usize = 5;

/// Trains from where `progress` stands, and leaves in it where it came to.  The learner
/// has the last weights afterwards: [`use_best`] puts the best ones in.  An interruption
/// is no error: the training can go on from it, to the same bits.
///
/// The monitor hears of every pass.
///
/// # Errors
/// `Diverged`.
pub fn train<L: Learner>(
    learner: &mut L,
    split: &Split,
    settings: &Settings,
    progress: &mut Progress<L::Number>,
    monitor: &Monitor<'_>,
) -> Result<Reason, CoreError> {
    let n = split.training.len();
    let batches = n.div_ceil(settings.batch_size).max(1);
    let steps = settings.epochs * batches;
    let mut begun = Instant::now();
    monitor.advance(progress.trace.len());
    while progress.trace.len() < settings.epochs {
        let epoch = progress.trace.len();
        let order = order_of(split, settings.seed, epoch);
        let warmth = ((epoch + 1) as f64 / settings.warm_up.max(1) as f64).min(1.0);
        while progress.step < (epoch + 1) * batches {
            if monitor.check().is_err() {
                return Ok(Reason::Interrupted);
            }
            let batch = progress.step - epoch * batches;
            // batches of nearly one size: none is too small for its moments
            let items = &order[batch * n / batches..(batch + 1) * n / batches];
            let step = Step { number: progress.step, seed: settings.seed, warmth };
            let value = learner.learn(items, &step);
            let rate = settings.step.learning_rate * cosine(progress.step, steps);
            let fine = value.total().is_finite()
                && progress.adam.step(learner.parameters(), &settings.step, rate);
            progress.step += 1;
            if fine {
                progress.skipped.1 = 0;
                let sums = &mut progress.sums;
                sums.0.misfit += value.misfit * items.len() as f64;
                sums.0.prior += value.prior * items.len() as f64;
                sums.1 += items.len();
            } else {
                progress.skipped = (progress.skipped.0 + 1, progress.skipped.1 + 1);
                if progress.skipped.1 == DIVERGED {
                    return Err(CoreError::Diverged { rate: settings.step.learning_rate });
                }
            }
        }
        end_of_pass(learner, split, settings, progress, begun);
        begun = Instant::now();
        monitor.advance(1);
        let best = progress.best.as_ref().map_or(epoch, |best| best.epoch);
        if progress.best.is_some() && epoch - best >= settings.patience {
            return Ok(Reason::Patience);
        }
    }
    Ok(Reason::MaxEpochs)
}

fn order_of(split: &Split, seed: u64, epoch: usize) -> Vec<usize> {
    let mut order = split.training.clone();
    order.shuffle(&mut stream(seed, Purpose::Batches, epoch + 1));
    order
}

fn end_of_pass<L: Learner>(
    learner: &mut L,
    split: &Split,
    settings: &Settings,
    progress: &mut Progress<L::Number>,
    begun: Instant,
) {
    let (sums, count) = std::mem::take(&mut progress.sums);
    let mean = |sum: f64| sum / count.max(1) as f64;
    let epoch = progress.trace.len();
    let validation = match split.validation.is_empty() {
        true => Value { misfit: f64::NAN, prior: f64::NAN },
        false => learner.validate(&split.validation),
    };
    progress.trace.push(Epoch {
        training: Value { misfit: mean(sums.misfit), prior: mean(sums.prior) },
        validation,
        seconds: begun.elapsed().as_secs_f64(),
    });
    let value = validation.total();
    let least = progress.best.as_ref().map_or(f64::INFINITY, |best| best.value);
    if epoch + 1 >= settings.warm_up && value < least {
        let weights = arrays(learner.parameters()).into_iter().map(|(_, array)| array).collect();
        progress.best = Some(Best { epoch, value, weights });
    }
}

/// Puts the weights of the best pass into the learner; the last ones stay where no pass
/// was validated after the warm-up.
///
/// # Errors
/// `Shape` for another network's progress.
pub fn use_best<L: Learner>(
    learner: &mut L,
    progress: &Progress<L::Number>,
) -> Result<(), CoreError> {
    let Some(best) = &progress.best else { return Ok(()) };
    let weights: Vec<_> = best.weights.iter().map(|array| array.view()).collect();
    restore(learner.parameters(), &weights)
}

#[cfg(test)]
mod tests;
