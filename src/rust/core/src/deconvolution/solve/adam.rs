//! Gradient descent on θ = log e with Adam's adaptive steps (Kingma and Ba
//! 2015) and Nesterov momentum, started from the data.
//!
//! The gradient c_j e_j (1 − u_j) is measured per read allocated to the source,
//! g_j = 1 − u_j, so that rare and abundant types move alike.  Far from the
//! optimum a step has the size of the learning rate, as Adam's have; near it
//! the damping dominates the second moment and the iteration becomes momentum
//! descent.  Momentum grows with the age of the run and is started anew when it
//! points uphill (O'Donoghue and Candès 2015); the learning rate is halved when
//! a step without momentum raises the objective.

use super::certificate::{Objective, Point};
use super::{rounding, Rule, Solver, Support};
use crate::base::convergence::Stop;

/// Decay of the second moment per step.
const SECOND_MOMENT_DECAY: f64 = 0.9;
/// Root mean square gradient below which steps shrink with the gradient.  With
/// the default learning rate a step then equals one of EM.
const DAMPING: f64 = 0.5;

pub struct Adam<'m> {
    objective: Objective<'m>,
    rule: Rule,
    learning_rate: f64,
    support: Support,
    /// The extrapolated point, as exposures.
    proposal: Vec<f64>,
    /// θ before extrapolation.
    iterate: Vec<f64>,
    second_moment: Vec<f64>,
    /// Steps since the momentum was last started anew.
    age: usize,
    last_value: f64,
    evaluations: usize,
    best: Option<Point>,
}

impl<'m> Adam<'m> {
    pub fn new(
        objective: Objective<'m>,
        start: Vec<f64>,
        rule: Rule,
        learning_rate: f64,
        sparsity_tolerance: f64,
    ) -> Self {
        Adam {
            objective,
            rule,
            learning_rate,
            support: Support::new(sparsity_tolerance),
            iterate: start.iter().map(|e| e.ln()).collect(),
            second_moment: Vec::new(),
            proposal: start,
            age: 0,
            last_value: f64::INFINITY,
            evaluations: 0,
            best: None,
        }
    }

    /// θ after one step from `found` without momentum.
    fn step(&mut self, found: &Point) -> Vec<f64> {
        let gradient: Vec<f64> = found.multipliers.iter().map(|u| 1.0 - u).collect();
        if self.second_moment.is_empty() {
            self.second_moment = gradient.iter().map(|g| g * g).collect();
        }
        for (moment, g) in self.second_moment.iter_mut().zip(&gradient) {
            *moment += (1.0 - SECOND_MOMENT_DECAY) * (g * g - *moment);
        }
        let position = found.exposures.iter().map(|e| e.ln());
        position
            .zip(gradient.iter().zip(&self.second_moment))
            .map(|(theta, (g, moment))| theta - self.learning_rate * g / (moment.sqrt() + DAMPING))
            .collect()
    }

    /// True when the move from the last iterate goes against the gradient.
    fn points_uphill(&self, found: &Point, next: &[f64], shift: f64) -> bool {
        let slopes = found.exposures.iter().zip(&found.multipliers).enumerate();
        let product: f64 = slopes
            .filter(|(j, (&e, _))| e > 0.0 && self.iterate[*j].is_finite())
            .map(|(j, (&e, &u))| {
                let gradient = self.objective.slope(j, e) * e * (1.0 - u);
                gradient * (next[j] - self.iterate[j] - shift)
            })
            .sum();
        product > 0.0
    }
}

impl Solver for Adam<'_> {
    fn proposal(&self) -> &[f64] {
        &self.proposal
    }

    fn advance(&mut self, found: Point) -> Option<Stop> {
        self.evaluations += 1;
        let polled = self.evaluations % self.rule.poll_interval == 0;
        if polled && self.rule.is_met(&found, self.objective.total) {
            self.best = Some(found);
            return Some(Stop::Certified);
        }
        let rose = found.value > self.last_value + rounding(&found);
        if rose && self.age == 0 {
            self.learning_rate *= 0.5;
        }
        self.last_value = found.value;
        let next = self.step(&found);
        // Certifying moved the whole point along its ray; the last iterate
        // moves with it.
        let moved = found.exposures.iter().zip(&self.proposal).find(|(_, &p)| p > 0.0);
        let shift = moved.map_or(0.0, |(e, p)| (e / p).ln());
        self.age = if rose || self.points_uphill(&found, &next, shift) { 0 } else { self.age + 1 };
        let momentum = self.age as f64 / (self.age + 3) as f64;
        for (j, &theta) in next.iter().enumerate() {
            let change = theta - self.iterate[j] - shift;
            let change = if change.is_finite() { change } else { 0.0 };
            self.proposal[j] = (theta + momentum * change).exp();
        }
        let (objective, total) = (&self.objective, self.objective.total);
        let revision = self
            .support
            .revise(&mut self.proposal, &found, total, |j| objective.slope(j, found.exposures[j]));
        if revision.came {
            self.support.tighten();
        }
        self.iterate = next;
        if self.best.as_ref().is_none_or(|best| found.value < best.value) {
            self.best = Some(found);
        }
        None
    }

    fn best(&self) -> &Point {
        self.best.as_ref().expect("a solver has seen a point before it is asked for the best")
    }
}
