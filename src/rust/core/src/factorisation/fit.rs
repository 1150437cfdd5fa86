//! Many runs of one factorisation: the best is kept, of the others only what
//! measures of stability need.

use super::alternate::{alternate, Model, Outcome, Pair, Reason, Rules};
use super::data::{Data, Side};
use super::frobenius::{Frobenius, Solver};
use super::init::{nndsvd, random, Init};
use super::kl::{KullbackLeibler, Step};
use super::penalty::Constraint;
use crate::error::{check_length, check_value, CoreError};
use crate::parallel::Monitor;
use rayon::prelude::*;
use std::sync::Mutex;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Frobenius, accelerated HALS.
    Hals,
    /// Frobenius, exact half-steps.
    Anls,
    /// Kullback-Leibler, second order.
    KullbackLeibler,
    /// Kullback-Leibler, multiplicative.
    Brunet,
}

impl Algorithm {
    fn rules(self, settings: &Settings) -> Rules {
        let multiplicative = matches!(self, Algorithm::Brunet);
        Rules {
            max_iter: settings.max_iter,
            tolerance: settings.tolerance,
            extrapolate: !multiplicative,
            unchanged: if multiplicative { settings.unchanged } else { None },
            every: if multiplicative { 10 } else { 1 },
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

    fn start(&self, data: &Data<'_>, run: usize) -> Pair {
        match (&self.start, self.init) {
            (Some(start), _) => start.clone(),
            (None, Init::Random) => random(data, self.rank, self.seed, run),
            (None, kind) => nndsvd(data, self.rank, kind, self.seed),
        }
    }

    fn model<'a>(&self, data: Data<'a>) -> Box<dyn Model + 'a> {
        let constraints = self.constraints.clone();
        match self.algorithm {
            Algorithm::Hals => {
                Box::new(Frobenius::new(data, self.rank, Solver::CoordinateDescent, constraints))
            }
            Algorithm::Anls => {
                Box::new(Frobenius::new(data, self.rank, Solver::Pivoting, constraints))
            }
            Algorithm::KullbackLeibler => {
                Box::new(KullbackLeibler::new(data, self.rank, Step::Newton, constraints))
            }
            Algorithm::Brunet => {
                Box::new(KullbackLeibler::new(data, self.rank, Step::Multiplicative, constraints))
            }
        }
    }
}

/// Factorises `data`; runs are in parallel when there are enough of them, the
/// lines within a run otherwise.  The answer is the same to the bit.
///
/// # Errors
/// `Argument` or `Shape` for settings out of range, `Interrupted`.
pub fn fit(data: &Data<'_>, settings: &Settings, monitor: &Monitor<'_>) -> Result<Fit, CoreError> {
    settings.check(data)?;
    let apart = settings.runs >= settings.threads;
    let data = if apart { data.sequential() } else { data.clone() };
    let data = match settings.algorithm {
        Algorithm::KullbackLeibler | Algorithm::Brunet => data.with_lines(),
        _ => data,
    };
    let model = settings.model(data.clone());
    let rules = settings.algorithm.rules(settings);
    let best: Mutex<Option<(usize, Outcome)>> = Mutex::new(None);
    let one = |run: usize| -> Result<Run, CoreError> {
        let began = Instant::now();
        let start = settings.start(&data, run);
        let mut outcome = alternate(&*model, start, &rules, monitor)?;
        arrange(&mut outcome.pair, settings.constraints.iter().all(Constraint::is_scalable));
        let summary = Run {
            objective: outcome.objective,
            kkt: outcome.kkt,
            iterations: outcome.iterations,
            reason: outcome.reason,
            dead: outcome.dead,
            seconds: began.elapsed().as_secs_f64(),
            membership: outcome.pair.membership(),
            pair: settings.keep_all.then(|| outcome.pair.clone()),
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
    Ok(Fit {
        pair: outcome.pair,
        objective: outcome.objective,
        trace: outcome.trace,
        best: at,
        runs,
    })
}

/// Components in decreasing order of Σ W_k · Σ H_k, each with the same mean in W
/// and in H; scaled only where scale means nothing to the model.
fn arrange(pair: &mut Pair, scalable: bool) {
    let rank = pair.rank;
    let (basis, coef) = (pair.sums(Side::Basis), pair.sums(Side::Coef));
    let lines = |side: Side| (pair.side(side).len() / rank).max(1) as f64;
    let scale: Vec<f64> = (0..rank)
        .map(|r| {
            let ratio = (coef[r] / lines(Side::Coef)) / (basis[r] / lines(Side::Basis));
            if scalable && ratio > 0.0 && ratio.is_finite() {
                ratio.sqrt()
            } else {
                1.0
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..rank).collect();
    order.sort_by(|&a, &b| (basis[b] * coef[b]).total_cmp(&(basis[a] * coef[a])));
    let mut old = vec![0.0; rank];
    for side in [Side::Basis, Side::Coef] {
        for line in pair.side_mut(side).chunks_exact_mut(rank) {
            old.copy_from_slice(line);
            for (to, &from) in line.iter_mut().zip(&order) {
                *to = match side {
                    Side::Basis => old[from] * scale[from],
                    Side::Coef => old[from] / scale[from],
                };
            }
        }
    }
}
