//! Many runs of one factorisation: the best is kept, of the others only what
//! measures of stability need.

use super::alternate::{alternate, Outcome, Pair, Reason, Rules};
use super::arrange::{arrange, split_last};
use super::data::{Data, Side};
use super::init::{mean, nndsvd, random, Init};
use super::kl::Weighted;
use super::model::build;
use super::penalty::Constraint;
use super::weighted::WeightedMatrix;
use super::weights::Totals;
use crate::error::{check_length, check_value, CoreError};
use crate::parallel::Monitor;
use rayon::prelude::*;
use std::sync::Mutex;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Algorithm {
    /// Frobenius, accelerated HALS.
    Hals,
    /// Frobenius, exact half-steps.
    Anls,
    /// Frobenius, projected gradient.
    Gradient,
    /// Frobenius, multiplicative.
    Lee,
    /// Frobenius with a constant per feature: X ≈ W H + b 1ᵀ.
    Offset,
    /// Kullback-Leibler, second order.
    KullbackLeibler,
    /// Kullback-Leibler, multiplicative.
    Brunet,
    /// X ≈ W S H with S = (1 − θ) I + θ/k 11ᵀ, Kullback-Leibler.
    NonSmooth { theta: f64 },
}

impl Algorithm {
    fn is_multiplicative(self) -> bool {
        matches!(self, Algorithm::Brunet | Algorithm::Lee | Algorithm::NonSmooth { .. })
    }

    pub(super) fn is_divergence(self) -> bool {
        use Algorithm::{Brunet, KullbackLeibler, NonSmooth};
        matches!(self, KullbackLeibler | Brunet | NonSmooth { .. })
    }

    fn rules(self, settings: &Settings) -> Rules {
        let multiplicative = self.is_multiplicative();
        Rules {
            max_iter: settings.max_iter,
            tolerance: settings.tolerance,
            extrapolate: !multiplicative,
            unchanged: if multiplicative { settings.unchanged } else { None },
            every: if multiplicative { 10 } else { 1 },
        }
    }
}

/// The matrix to factorise.
pub struct Input<'a> {
    /// X, with zeros for missing values and for those without weight.
    pub data: Data<'a>,
    pub weights: Weights<'a>,
}

/// Weights and missing values, in the form that the loss needs; one per call.
#[allow(clippy::large_enum_variant)]
pub enum Weights<'a> {
    None,
    Frobenius(Box<WeightedMatrix>),
    /// Ω ∘ X and what belongs to it.
    Divergence(Data<'a>, Weighted<'a>),
}

impl Weights<'_> {
    /// Σ Ω X / Σ Ω.
    fn mean(&self, data: &Data<'_>) -> f64 {
        match self {
            Weights::None => mean(data),
            Weights::Frobenius(weighted) => weighted.mean(),
            Weights::Divergence(product, weighted) => {
                let entries = data.count(Side::Basis) * data.count(Side::Coef);
                product.sum() / weighted.totals.sum(entries)
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub algorithm: Algorithm,
    pub rank: usize,
    pub runs: usize,
    pub seed: u64,
    pub init: Init,
    /// A start given by the user; replaces `init`.
    pub start: Option<Pair>,
    pub max_iter: usize,
    pub tolerance: f64,
    /// Iterations without a change of clusters after which multiplicative
    /// methods stop; `None` for the tolerance.
    pub unchanged: Option<usize>,
    /// Of the basis and of the coefficients.
    pub constraints: [Constraint; 2],
    /// First columns of the basis that are known, features × known; they stay.
    pub known: Vec<f64>,
    pub keep_all: bool,
    pub threads: usize,
}

/// One run without its factors.
#[derive(Debug, Clone)]
pub struct Run {
    pub objective: f64,
    pub kkt: f64,
    pub iterations: usize,
    pub reason: Reason,
    pub dead: usize,
    pub seconds: f64,
    /// Component of each sample with the largest coefficient.
    pub membership: Vec<u32>,
    /// With `keep_all`.
    pub pair: Option<Pair>,
}

#[derive(Debug, Clone)]
pub struct Fit {
    pub pair: Pair,
    /// b of `Algorithm::Offset`, per feature.
    pub offset: Option<Vec<f64>>,
    pub objective: f64,
    pub trace: Vec<(usize, f64)>,
    /// Which run was the best.
    pub best: usize,
    pub runs: Vec<Run>,
}

impl Settings {
    fn check(&self, data: &Data<'_>) -> Result<(), CoreError> {
        check_value("rank", self.rank as f64, "at least 1", |v| v >= 1.0)?;
        check_value("runs", self.runs as f64, "at least 1", |v| v >= 1.0)?;
        check_value("max_iter", self.max_iter as f64, "at least 1", |v| v >= 1.0)?;
        check_value("tolerance", self.tolerance, "non-negative", |v| v >= 0.0)?;
        if let Algorithm::NonSmooth { theta } = self.algorithm {
            check_value("theta", theta, "in [0, 1]", |v| (0.0..=1.0).contains(&v))?;
        }
        let features = data.count(Side::Basis);
        let known = self.known.len() / features.max(1);
        check_length("known", known * features, self.known.len())?;
        check_value("known", known as f64, "at most the rank", |v| v <= self.rank as f64)?;
        for &v in &self.known {
            check_value("known", v, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        }
        if let Some(start) = &self.start {
            check_length("start", self.rank, start.rank)?;
            for side in [Side::Basis, Side::Coef] {
                check_length("start", self.rank * data.count(side), start.side(side).len())?;
                for &v in start.side(side) {
                    check_value("start", v, "finite and non-negative", |v| {
                        v >= 0.0 && v.is_finite()
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The start within the bounds of `constraints`, those of the model: fixed
    /// components keep their values whatever the bound.
    fn start(
        &self,
        (data, mean): (&Data<'_>, f64),
        run: usize,
        constraints: &[Constraint; 2],
    ) -> Pair {
        let mut pair = match (&self.start, self.init) {
            (Some(start), _) => start.clone(),
            (None, Init::Random) => random(data, mean, self.rank, self.seed, run),
            (None, kind) => nndsvd(data, mean, self.rank, kind, self.seed),
        };
        let features = data.count(Side::Basis);
        for (component, known) in self.known.chunks_exact(features.max(1)).enumerate() {
            for (line, v) in pair.side_mut(Side::Basis).chunks_exact_mut(self.rank).zip(known) {
                line[component] = *v;
            }
        }
        if self.algorithm == Algorithm::Offset {
            pair = with_offset(pair, data);
        }
        let rank = pair.rank;
        for (side, constraint) in [Side::Basis, Side::Coef].into_iter().zip(constraints) {
            for line in pair.side_mut(side).chunks_exact_mut(rank) {
                for (_, v) in line.iter_mut().enumerate().filter(|(r, _)| constraint.is_free(*r)) {
                    *v = v.min(constraint.upper);
                }
            }
        }
        pair
    }

    /// Constraints as the model sees them: known columns and the offset's
    /// coefficients are fixed.
    fn model_constraints(&self, known: usize) -> [Constraint; 2] {
        let mut constraints = self.constraints.clone();
        let rank = self.rank + usize::from(self.algorithm == Algorithm::Offset);
        if known > 0 {
            constraints[0].fixed = (0..rank).map(|r| r < known).collect();
        }
        if self.algorithm == Algorithm::Offset {
            constraints[1].fixed = (0..rank).map(|r| r == rank - 1).collect();
        }
        constraints
    }
}

/// One more component: half of each feature's mean, with coefficients of 1.
fn with_offset(pair: Pair, data: &Data<'_>) -> Pair {
    let samples = data.count(Side::Coef);
    let mut sums = vec![0.0; data.count(Side::Basis)];
    data.product(Side::Basis, &vec![1.0; samples], 1, &mut sums);
    let append = |side: Side, of: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let lines = pair.side(side).chunks_exact(pair.rank).enumerate();
        lines.flat_map(|(at, line)| line.iter().copied().chain([of(at)])).collect()
    };
    let basis = append(Side::Basis, &|i| 0.5 * sums[i] / samples.max(1) as f64);
    let coef = append(Side::Coef, &|_| 1.0);
    Pair { rank: pair.rank + 1, factors: [basis, coef] }
}

/// Factorises; runs are in parallel when there are enough of them, the lines
/// within a run otherwise.  The answer is the same to the bit.
///
/// # Errors
/// `Argument` or `Shape` for settings out of range or that do not go together,
/// `Interrupted`.
pub fn fit(input: Input<'_>, settings: &Settings, monitor: &Monitor<'_>) -> Result<Fit, CoreError> {
    let Input { data, weights } = input;
    settings.check(&data)?;
    let apart = settings.runs >= settings.threads;
    let (data, weights) = if apart {
        let weights = match weights {
            Weights::Divergence(data, Weighted { totals, constant }) => {
                let totals = Totals::sequential(totals);
                Weights::Divergence(data.sequential(), Weighted { totals, constant })
            }
            other => other,
        };
        (data.sequential(), weights)
    } else {
        (data, weights)
    };
    let known = settings.known.len() / data.count(Side::Basis).max(1);
    let constraints = settings.model_constraints(known);
    let scalable = !matches!(settings.algorithm, Algorithm::NonSmooth { .. });
    let mean = weights.mean(&data);
    let model = build(settings, data.clone(), weights, &constraints)?;
    let rules = settings.algorithm.rules(settings);
    let best: Mutex<Option<(usize, Outcome)>> = Mutex::new(None);
    let one = |run: usize| -> Result<Run, CoreError> {
        let began = Instant::now();
        let start = settings.start((&data, mean), run, &constraints);
        let mut outcome = alternate(&*model, start, &rules, monitor)?;
        arrange(&mut outcome.pair, &constraints, scalable);
        let bare = settings.without_offset(&outcome.pair);
        let summary = Run {
            objective: outcome.objective,
            kkt: outcome.kkt,
            iterations: outcome.iterations,
            reason: outcome.reason,
            dead: outcome.dead,
            seconds: began.elapsed().as_secs_f64(),
            membership: bare.0.membership(),
            pair: settings.keep_all.then_some(bare.0),
        };
        let mut best = best.lock().expect("no run panics while it holds the lock");
        let better =
            best.as_ref().is_none_or(|(at, held)| (outcome.objective, run) < (held.objective, *at));
        if better {
            *best = Some((run, outcome));
        }
        monitor.advance(1);
        Ok(summary)
    };
    let runs: Vec<Run> = if apart && settings.threads > 1 {
        (0..settings.runs).into_par_iter().map(one).collect::<Result<_, _>>()?
    } else {
        (0..settings.runs).map(one).collect::<Result<_, _>>()?
    };
    let (at, outcome) = best.into_inner().expect("no run panicked").expect("there is a run");
    let (pair, offset) = settings.without_offset(&outcome.pair);
    let Outcome { objective, trace, .. } = outcome;
    Ok(Fit { pair, offset, objective, trace, best: at, runs })
}

impl Settings {
    fn without_offset(&self, pair: &Pair) -> (Pair, Option<Vec<f64>>) {
        if self.algorithm != Algorithm::Offset {
            return (pair.clone(), None);
        }
        let (bare, offset) = split_last(pair.clone());
        (bare, Some(offset))
    }
}
