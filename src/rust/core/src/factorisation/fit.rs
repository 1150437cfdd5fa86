//! Many runs of one factorisation: the best is kept, of the others only what
//! measures of stability need.

use super::alternate::{alternate, Outcome, Pair};
use super::arrange::arrange;
use super::data::Side;
use super::model::{build, Built};
use super::settings::{Algorithm, Settings};
use super::weights::Weights;
use crate::base::convergence::Stop;
use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::matrix::Matrix;
use rayon::prelude::*;
use std::sync::Mutex;
use std::time::Instant;

/// One run without its factors.
#[derive(Debug, Clone)]
pub struct Run {
    pub objective: f64,
    pub kkt: f64,
    pub iterations: usize,
    pub stop: Stop,
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

/// Factorises X, features × samples; NaN is a missing value.  Runs are in parallel
/// when there are enough of them, the lines within a run otherwise.  The answer is
/// the same to the bit.
///
/// # Errors
/// `Argument` or `Shape` for settings out of range or that do not go together,
/// `Overflow`, `Interrupted`.
pub fn fit(
    x: Matrix<'_>,
    weights: Weights<'_>,
    settings: &Settings,
    monitor: &Monitor<'_>,
) -> Result<Fit, CoreError> {
    settings.check(x.shape())?;
    let apart = settings.runs >= settings.threads;
    let constraints = settings.model_constraints(x.n_rows());
    let scalable = !matches!(settings.algorithm, Algorithm::NonSmooth { .. });
    let Built { data, mean, model } = build(x, weights, settings, &constraints, apart)?;
    let rules = settings.rules();
    let best: Mutex<Option<(usize, Outcome)>> = Mutex::new(None);
    let one = |run: usize| -> Result<Run, CoreError> {
        let began = Instant::now();
        let start = settings.start((&data, mean), run, &constraints, monitor)?;
        let mut outcome = alternate(&*model, start, &rules, monitor)?;
        let sides = [Side::Basis, Side::Coef];
        if !sides.iter().all(|&side| outcome.pair.side(side).iter().all(|v| v.is_finite())) {
            return Err(CoreError::Overflow);
        }
        arrange(&mut outcome.pair, &constraints, scalable);
        let bare = settings.without_offset(&outcome.pair);
        let summary = Run {
            objective: outcome.objective,
            kkt: outcome.kkt,
            iterations: outcome.iterations,
            stop: outcome.stop,
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
