//! Expectation-maximisation, accelerated by squared extrapolation.
//!
//! The plain step e_j ← e_j u_j (Shepp and Vardi 1982; Richardson and Lucy)
//! never lowers the likelihood, and slows down near the boundary.  SQUAREM
//! (Varadhan and Roland 2008, scheme S3) extrapolates two of its steps; an
//! extrapolated point is kept only if the objective falls there too, so the
//! sequence of objectives stays monotone.

use super::certificate::{Objective, Point};
use super::{rounding, Revision, Rule, Solver, Support};
use crate::base::convergence::Stop;

pub struct Em<'m> {
    objective: Objective<'m>,
    rule: Rule,
    support: Support,
    /// What the proposed leap changed in the support.
    revision: Revision,
    phase: Phase,
    proposal: Vec<f64>,
    /// Start of the current cycle.
    origin: Option<Point>,
    best: Option<Point>,
    evaluations: usize,
    /// Longest extrapolation at present, in EM steps.
    reach: f64,
}

/// Factor by which the reach grows when it is used up, and shrinks when a leap
/// fails.
const REACH_FACTOR: f64 = 4.0;

/// What the proposal under evaluation is.
enum Phase {
    /// The start of a cycle.
    Origin,
    /// One EM step from the origin.
    Step,
    /// The extrapolated point.
    Leap,
}

impl<'m> Em<'m> {
    pub fn new(
        objective: Objective<'m>,
        start: Vec<f64>,
        rule: Rule,
        sparsity_tolerance: f64,
    ) -> Self {
        Em {
            objective,
            rule,
            support: Support::new(sparsity_tolerance),
            revision: Revision::default(),
            phase: Phase::Origin,
            proposal: start,
            origin: None,
            best: None,
            evaluations: 0,
            reach: 1.0,
        }
    }

    /// e0 − 2αr + α²v with r = e1 − e0, v = e2 − e1 − r and α = −‖r‖/‖v‖,
    /// floored above zero.
    fn extrapolate(&mut self, e0: &[f64], point1: &Point, e2: &[f64]) -> Vec<f64> {
        let e1 = &point1.exposures;
        let change = |j: usize| (e1[j] - e0[j], e2[j] - 2.0 * e1[j] + e0[j]);
        // Exposures of one sample differ by orders of magnitude: lengths are
        // measured in shares of the reads.
        let cost = &self.objective.cost;
        let (mut r2, mut v2) = (0.0, 0.0);
        for j in 0..e0.len() {
            let (r, v) = change(j);
            r2 += (cost[j] * r).powi(2);
            v2 += (cost[j] * v).powi(2);
        }
        let wanted = if v2 > 0.0 { (r2 / v2).sqrt() } else { 1.0 };
        let length = wanted.clamp(1.0, self.reach);
        if wanted >= self.reach {
            self.reach *= REACH_FACTOR;
        }
        let mut leap: Vec<f64> = (0..e0.len())
            .map(|j| {
                let (r, v) = change(j);
                (e0[j] + 2.0 * length * r + length * length * v).max(0.1 * e2[j])
            })
            .collect();
        let objective = &self.objective;
        self.revision =
            self.support.revise(&mut leap, point1, objective.total, |j| objective.slope(j, e2[j]));
        leap
    }
}

impl Em<'_> {
    /// A leap is kept where the objective falls, or, where it is flat to
    /// rounding, the certificate does.
    fn improves(&self, found: &Point) -> bool {
        let best = self.best();
        let flat = 0.25 * rounding(best);
        found.value < best.value - flat || found.value <= best.value + flat && found.gap <= best.gap
    }
}

impl Solver for Em<'_> {
    fn proposal(&self) -> &[f64] {
        &self.proposal
    }

    fn advance(&mut self, found: Point) -> Option<Stop> {
        self.evaluations += 1;
        let polled = self.evaluations % self.rule.poll_interval == 0;
        let certified = polled && self.rule.is_met(&found, self.objective.total);
        let mut next = self.objective.em_step(&found);
        match self.phase {
            Phase::Origin => {
                self.phase = Phase::Step;
                self.origin = Some(found.clone());
                self.best = Some(found);
            }
            Phase::Step => {
                let e2 = next;
                let origin = self.origin.take().expect("a cycle has an origin");
                next = self.extrapolate(&origin.exposures, &found, &e2);
                self.phase = Phase::Leap;
                self.best = Some(found);
            }
            Phase::Leap => {
                self.phase = Phase::Origin;
                if self.improves(&found) {
                    self.best = Some(found);
                } else {
                    next = self.objective.em_step(self.best());
                    self.reach = (self.reach / REACH_FACTOR).max(1.0);
                    if self.revision != Revision::default() {
                        self.support.tighten();
                    }
                }
            }
        }
        self.proposal = next;
        let kept_is_certified = certified && self.rule.is_met(self.best(), self.objective.total);
        kept_is_certified.then_some(Stop::Certified)
    }

    fn best(&self) -> &Point {
        self.best.as_ref().expect("a solver has seen a point before it is asked for the best")
    }
}
