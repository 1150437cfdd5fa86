//! Factors of counts by alternating Newton steps.
//!
//! minimise −log p(Y | η, θ) + ½ λ (‖W‖² + ‖α‖²) + ½ Σ κ (β² and γ²) − log p(θ)
//!
//! Given one side, each row of the other is a concave problem with few unknowns
//! (Poisson; negative binomial with θ fixed), whose Newton step costs one product of
//! matrices.  A round steps with all genes, then with all cells, and balances the
//! factors; the loss at the end of a step is the one at the start of the next, so a
//! round looks at every entry twice.  Where the objective has risen, the step is taken
//! back and made again with every row's own decrease made sure of: it never rises.

use super::counts::Counts;
use super::dispersion::Dispersion;
use super::half_step::{slots, Half, Step};
use super::likelihood::{NegativeBinomial, Poisson};
use super::predictor::{Predictor, Side};
use super::rotate::balance;
use super::special::log_factorial;
use super::zinb::ZeroInflated;
use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::matrix::Columns;

/// Distribution of a count given its mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Poisson,
    NegativeBinomial,
    /// With a second predictor: the log odds of a structural zero.
    ZeroInflated,
}

/// Penalties: ½ factors (‖W‖² + ‖α‖²), and ½ κ c² of the coefficients of each column of
/// X (one per gene) and V (one per cell), for each predictor.
#[derive(Clone, Debug)]
pub struct Penalty {
    pub factors: f64,
    pub of_cells: Vec<Vec<f64>>,
    pub of_genes: Vec<Vec<f64>>,
}

/// When to end.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub max_rounds: usize,
    /// Relative decrease of the objective that two rounds running stay below.
    pub tolerance: f64,
}

/// What is sought.
#[derive(Clone)]
pub struct State {
    pub predictors: Vec<Predictor>,
    pub dispersion: Dispersion,
}

/// A finished fit.
pub struct Fit {
    pub state: State,
    /// Objective by round, from the start on; never rises.
    pub trace: Vec<f64>,
    /// Log-likelihood at the end.
    pub log_likelihood: f64,
    pub converged: bool,
}

/// Steps are stretched, as in over-relaxation: up to this, by this factor a step.
const STRETCH: f64 = 1.8;
const GROWTH: f64 = 1.1;
/// Rounds whose steps are made sure of from the outset: the start is far away.
const CAREFUL: usize = 1;

/// The unknowns' ridges in the joint order of a side.
fn ridges(predictors: &[Predictor], penalty: &Penalty, side: Side) -> Vec<f64> {
    let of = match side {
        Side::Cells => &penalty.of_genes,
        Side::Genes => &penalty.of_cells,
    };
    let slots = slots(predictors, side);
    let count = slots.iter().flatten().max().map_or(0, |last| last + 1);
    let mut out = vec![penalty.factors; count];
    for (slots, ridges) in slots.iter().zip(of) {
        slots.iter().zip(ridges).for_each(|(&slot, &ridge)| out[slot] = ridge);
    }
    out
}

/// Fits from `state`, whose W must not be 0 where α is.
///
/// # Errors
/// `Interrupted`.
pub fn fit(
    counts: &Counts,
    family: Family,
    mut state: State,
    penalty: &Penalty,
    stop: Stop,
    monitor: &Monitor<'_>,
) -> Result<Fit, CoreError> {
    let constant: f64 = counts.by(Side::Cells).values().iter().map(|&y| log_factorial(y)).sum();
    let unpenalised = |of: &[Vec<f64>]| -> Vec<bool> {
        (0..of[0].len()).map(|j| of.iter().all(|of| of[j] == 0.0)).collect()
    };
    let free = [unpenalised(&penalty.of_cells), unpenalised(&penalty.of_genes)];
    let mut trace: Vec<f64> = Vec::new();
    let mut last: Option<Last> = None;
    let (mut side, mut half_steps, mut small, mut careful) = (Side::Genes, 0, 0, false);
    // over-relaxation is for sides that wait for each other: alone, Newton's steps end sooner
    let alone = [Side::Cells, Side::Genes].iter().any(|&side| {
        state.predictors.iter().all(|predictor| predictor.shape.free(side).is_empty())
    });
    let furthest: f64 = if alone { 1.0 } else { STRETCH };
    let (mut pace, mut stretch, mut longest) = (1.0, 1.0, furthest);
    loop {
        let sure = careful || half_steps < 2 * CAREFUL;
        let step = one_step(counts, family, &state, side, penalty, sure, monitor)?;
        let other = standing_penalty(&state.predictors, penalty, side.other());
        let objective = step.loss() + other + state.dispersion.penalty() + constant;
        if let Some(before) = &mut last {
            let no_worse = objective <= before.objective + 1e-12 * before.objective.abs();
            if !no_worse && !before.sure {
                state = before.state.clone();
                side = before.side;
                half_steps -= 1;
                pace *= 0.5;
                longest = furthest.min(0.5 * (1.0 + stretch));
                stretch = 1.0;
                careful = true;
                last = None;
                if side == Side::Genes {
                    trace.pop();
                }
                continue;
            }
        }
        careful = false;
        if side == Side::Genes {
            if let Some(&before) = trace.last() {
                let gain = before - objective;
                small = if gain <= stop.tolerance * objective.abs() { small + 1 } else { 0 };
                monitor.advance(1);
            }
            trace.push(objective);
            let rounds = trace.len() - 1;
            if small == 2 || rounds >= stop.max_rounds {
                let penalties = other
                    + state.dispersion.penalty()
                    + standing_penalty(&state.predictors, penalty, side);
                return Ok(Fit {
                    state,
                    log_likelihood: penalties - objective,
                    converged: small == 2,
                    trace,
                });
            }
        }
        last = Some(Last { state: state.clone(), objective, side, sure });
        apply(&mut state.predictors, side, &step, if sure { 1.0 } else { stretch });
        if !sure {
            stretch = (GROWTH * stretch).min(longest);
            longest = (1.02 * longest).min(furthest);
        }
        if side == Side::Genes && !sure {
            state.dispersion.update(&step.losses, pace);
            pace = (1.5 * pace).min(1.0);
        }
        if side == Side::Cells {
            balance(&mut state.predictors, [&free[0], &free[1]]);
        }
        side = side.other();
        half_steps += 1;
    }
}

/// The point before the last step.
struct Last {
    state: State,
    objective: f64,
    side: Side,
    sure: bool,
}

/// Newton's steps of all rows of a side.
///
/// # Errors
/// `Interrupted`.
pub fn one_step(
    counts: &Counts,
    family: Family,
    state: &State,
    side: Side,
    penalty: &Penalty,
    careful: bool,
    monitor: &Monitor<'_>,
) -> Result<Step, CoreError> {
    let ridge = ridges(&state.predictors, penalty, side);
    let half = Half::new(side, counts.by(side), &state.predictors, &ridge);
    let theta = state.dispersion.theta();
    match family {
        Family::Poisson => half.step(&Poisson, careful, monitor),
        Family::NegativeBinomial => half.step(&NegativeBinomial { theta }, careful, monitor),
        Family::ZeroInflated => half.step(&ZeroInflated { theta }, careful, monitor),
    }
}

/// The cells' optimum for the genes as they are.
///
/// # Errors
/// `Interrupted`.
pub fn settle_cells(
    counts: &Counts,
    family: Family,
    state: &mut State,
    penalty: &Penalty,
    stop: Stop,
    monitor: &Monitor<'_>,
) -> Result<(), CoreError> {
    let mut last = f64::INFINITY;
    for _ in 0..stop.max_rounds {
        let step = one_step(counts, family, state, Side::Cells, penalty, true, monitor)?;
        let loss = step.loss();
        apply(&mut state.predictors, Side::Cells, &step, 1.0);
        if last - loss <= stop.tolerance * loss.abs() {
            break;
        }
        last = loss;
    }
    Ok(())
}

fn apply(predictors: &mut [Predictor], side: Side, step: &Step, stretch: f64) {
    let slots = slots(predictors, side);
    for (predictor, slots) in predictors.iter_mut().zip(slots) {
        let free = predictor.shape.free(side);
        let rows = predictor.rows_mut(side);
        for (&column, &slot) in free.iter().zip(&slots) {
            let values = rows.col_mut(column);
            values.iter_mut().enumerate().for_each(|(i, v)| *v += stretch * step.change[(slot, i)]);
        }
    }
}

/// Penalties of the side that stands still.
fn standing_penalty(predictors: &[Predictor], penalty: &Penalty, side: Side) -> f64 {
    let square = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>();
    let mut sum = 0.0;
    for (k, predictor) in predictors.iter().enumerate() {
        let rows = predictor.rows(side);
        let of = match side {
            Side::Cells => &penalty.of_genes[k],
            Side::Genes => &penalty.of_cells[k],
        };
        for (column, ridge) in predictor.shape.coefficients(side).zip(of) {
            sum += 0.5 * ridge * square(rows.col(column));
        }
        if k == 0 || side == Side::Genes {
            for column in predictor.shape.factors()..predictor.shape.width() {
                sum += 0.5 * penalty.factors * square(rows.col(column));
            }
        }
    }
    sum
}
