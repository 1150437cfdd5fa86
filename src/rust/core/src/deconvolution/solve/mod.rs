//! What the three solvers share: each proposes a point, is told what was found
//! there, and says when it is done.  The driver evaluates the proposals of many
//! samples in one pass.

pub mod adam;
pub mod certificate;
pub mod em;
pub mod newton;
pub mod scoring;

use self::certificate::Point;
use crate::base::convergence::Stop;

/// One sample's way to the optimum.
pub trait Solver: Send {
    /// The point to evaluate next.
    fn proposal(&self) -> &[f64];

    /// True when the next evaluation needs the Hessian.
    fn wants_hessian(&self) -> bool {
        false
    }

    /// Takes what was found at the proposal and moves on, or stops.
    fn advance(&mut self, found: Point) -> Option<Stop>;

    /// The best point so far.
    fn best(&self) -> &Point;
}

/// When a solver stops.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Certified bound per unit of W at which a fit counts as converged.
    pub tolerance: f64,
    /// Evaluations between two looks at the certificate.
    pub poll_interval: usize,
}

impl Rule {
    pub fn is_met(&self, point: &Point, total: f64) -> bool {
        point.gap <= self.tolerance * total
    }
}

/// Which types EM and gradient descent leave at zero.
///
/// Both approach zero without ever reaching it.  A type whose share of the
/// reads is below the threshold and which the certificate does not want (u < 1)
/// leaves; one that has left and is wanted again (u > 1) comes back with that
/// share.  A revision that proves wrong lowers the threshold, so that types do
/// not come and go for ever.
#[derive(Clone, Debug)]
pub struct Support {
    threshold: f64,
}

impl Support {
    pub fn new(threshold: f64) -> Self {
        Support { threshold }
    }

    /// Revises `exposures`, proposed after `point`; returns whether a type came
    /// or left.  `slope` gives d_j.
    pub fn revise(
        &self,
        exposures: &mut [f64],
        point: &Point,
        total: f64,
        slope: impl Fn(usize) -> f64,
    ) -> Revision {
        let mut revision = Revision::default();
        for (j, exposure) in exposures.iter_mut().enumerate() {
            let share = slope(j) * *exposure / total;
            if *exposure == 0.0 {
                if point.multipliers[j] > 1.0 {
                    *exposure = self.threshold * total / slope(j);
                    revision.came = true;
                }
            } else if point.multipliers[j] < 1.0 && share < self.threshold {
                *exposure = 0.0;
                revision.left = true;
            }
        }
        revision
    }

    /// Makes the next revisions smaller.
    pub fn tighten(&mut self) {
        self.threshold *= 0.1;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    pub came: bool,
    pub left: bool,
}

/// Size of the rounding errors in the objective at `point`.
pub fn rounding(point: &Point) -> f64 {
    1e-14 * (point.value.abs() + point.terms.log_sum.abs())
}
