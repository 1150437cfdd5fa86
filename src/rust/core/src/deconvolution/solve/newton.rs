//! Newton's method under bounds: sequential quadratic programming with the
//! exact Hessian.
//!
//! A few EM steps bring the start close; then each iteration minimises the
//! quadratic model over e ≥ 0 exactly (active-set method, exact zeros) and
//! backtracks until the objective falls.  Convergence is quadratic.

use super::certificate::{Objective, Point};
use super::{rounding, Rule, Solver};
use crate::base::convergence::Stop;
use crate::nnls::{solve_nonnegative, NewtonStep, RIDGE};

/// EM steps before the first Newton step.
const WARM_UP: usize = 3;
/// The bound that is aimed at beyond the tolerance, in log-likelihood units:
/// the last, quadratic steps cost little.
const TARGET_GAP: f64 = 1e-6;
/// Steps that may fail to halve the bound, once it meets the tolerance.
const PATIENCE: usize = 2;

pub struct Newton<'m> {
    objective: Objective<'m>,
    rule: Rule,
    proposal: Vec<f64>,
    best: Option<Point>,
    /// From `best` towards the minimum of the quadratic model there.
    step: NewtonStep,
    evaluations: usize,
    idle: usize,
}

impl<'m> Newton<'m> {
    pub fn new(objective: Objective<'m>, start: Vec<f64>, rule: Rule) -> Self {
        Newton {
            objective,
            rule,
            proposal: start,
            best: None,
            step: NewtonStep::default(),
            evaluations: 0,
            idle: 0,
        }
    }

    /// Solves the quadratic model at `point`; the proposal becomes its minimum.
    fn aim(&mut self, point: &Point) {
        let n = point.exposures.len();
        let mut hessian = point.terms.hessian.clone();
        // With H e = Aᵀ(y/μ), the model's linear term g − He is d − 2 Aᵀ(y/μ),
        // and a quadratic penalty adds to H what it takes from d.
        for j in 0..self.objective.n_types {
            hessian[j * n + j] += 2.0 * self.objective.l2;
        }
        let linear: Vec<f64> =
            (0..n).map(|j| 2.0 * point.terms.pull[j] - self.objective.slope(j, 0.0)).collect();
        let mut target = point.exposures.clone();
        solve_nonnegative(&hessian, &linear, RIDGE, &mut target);
        let gradient = |j: usize| self.objective.slope(j, point.exposures[j]) - point.terms.pull[j];
        self.step = NewtonStep::towards(target, &point.exposures, gradient);
        self.proposal = self.step.end(&point.exposures);
    }

    /// `found` lies lower than the best point, or, where the objective is flat
    /// to rounding, has the better certificate.
    fn improves(&self, found: &Point, best: &Point) -> bool {
        let change = found.value - best.value;
        let rounding = 10.0 * rounding(best);
        self.step.suffices(change) && change < -rounding
            || change.abs() <= rounding && found.gap < best.gap
    }

    /// Takes `found` as the best point; stops or aims at the next.
    fn accept(&mut self, found: Point) -> Option<Stop> {
        let met = self.rule.is_met(&found, self.objective.total);
        let halved = self.best.as_ref().is_none_or(|best| found.gap < 0.5 * best.gap);
        self.idle = if halved { 0 } else { self.idle + 1 };
        self.aim(&found);
        let reached = met && (found.gap <= TARGET_GAP || self.idle >= PATIENCE);
        self.best = Some(found);
        reached.then_some(Stop::Certified)
    }
}

impl Solver for Newton<'_> {
    fn proposal(&self) -> &[f64] {
        &self.proposal
    }

    fn wants_hessian(&self) -> bool {
        self.evaluations >= WARM_UP
    }

    fn advance(&mut self, found: Point) -> Option<Stop> {
        self.evaluations += 1;
        if self.evaluations <= WARM_UP {
            self.proposal = self.objective.em_step(&found);
            self.best = Some(found);
            return None;
        }
        let first = self.evaluations == WARM_UP + 1;
        let best = self.best.as_ref().expect("the warm-up left a point");
        if first || self.improves(&found, best) {
            return self.accept(found);
        }
        if self.step.promise().abs() <= 1e-15 * best.value.abs() || self.step.fraction() < 1e-12 {
            let met = self.rule.is_met(best, self.objective.total);
            return Some(if met { Stop::Certified } else { Stop::Stalled });
        }
        self.step.back_off(found.value - best.value);
        self.proposal = self.step.end(&best.exposures);
        None
    }

    fn best(&self) -> &Point {
        self.best.as_ref().expect("a solver has seen a point before it is asked for the best")
    }
}
