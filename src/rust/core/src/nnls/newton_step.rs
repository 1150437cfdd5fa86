//! One step of Newton's method under bounds: towards the minimum of the quadratic
//! model over x ≥ 0, shortened until the objective falls far enough (Armijo).

use super::solve_nonnegative;
use crate::base::numbers::{dot, quadratic};

/// Proximal term of the quadratic program per unit of its scaled diagonal, see
/// [`solve_nonnegative`].  It keeps collinear variables in the ratio that they
/// have, and only slows the last digits of directions whose curvature is below it.
pub const RIDGE: f64 = 1e-10;
/// Fraction of the decrease that the slope promises which a step must achieve.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Fraction of a step that would end where the objective is infinite.
const NEARLY: f64 = 0.95;

/// An objective near a point, to second order; `hessian` is symmetric,
/// column-major.
#[derive(Clone, Copy)]
pub struct QuadraticModel<'a> {
    pub point: &'a [f64],
    pub gradient: &'a [f64],
    pub hessian: &'a [f64],
}

impl QuadraticModel<'_> {
    /// Rise from the point to `target`.
    pub fn rise(&self, target: &[f64]) -> f64 {
        let step: Vec<f64> = target.iter().zip(self.point).map(|(t, e)| t - e).collect();
        dot(self.gradient, &step) + 0.5 * quadratic(self.hessian, &step)
    }

    /// Where the model is least over x ≥ 0, `held` variables staying as they are
    /// in `at`.
    pub fn least_with(&self, at: &[f64], held: &[bool]) -> Vec<f64> {
        let n = at.len();
        let free = |j: usize| !held[j];
        let mut program = vec![0.0; n * n];
        let mut linear = vec![0.0; n];
        for j in (0..n).filter(|&j| free(j)) {
            for i in 0..n {
                let h = self.hessian[j * n + i];
                if free(i) {
                    program[j * n + i] = h;
                    linear[j] += h * self.point[i];
                } else {
                    linear[j] -= h * (at[i] - self.point[i]);
                }
            }
            linear[j] -= self.gradient[j];
        }
        let mut target: Vec<f64> =
            (0..n).map(|j| if free(j) { self.point[j] } else { 0.0 }).collect();
        solve_nonnegative(&program, &linear, RIDGE, &mut target);
        for j in (0..n).filter(|&j| held[j]) {
            target[j] = at[j];
        }
        target
    }
}

/// The step that is being tried.
#[derive(Clone, Debug, Default)]
pub struct NewtonStep {
    target: Vec<f64>,
    /// Derivative of the objective along the whole step.
    slope: f64,
    /// Part of the way to the target that is tried.
    fraction: f64,
}

impl NewtonStep {
    /// The whole step from `point` to `target`.
    pub fn towards(target: Vec<f64>, point: &[f64], gradient: impl Fn(usize) -> f64) -> Self {
        let slope = (0..target.len()).map(|j| gradient(j) * (target[j] - point[j])).sum();
        NewtonStep { target, slope, fraction: 1.0 }
    }

    /// Where the step ends that starts at `point`.
    pub fn end(&self, point: &[f64]) -> Vec<f64> {
        if self.fraction == 1.0 {
            return self.target.clone();
        }
        point.iter().zip(&self.target).map(|(x, t)| x + self.fraction * (t - x)).collect()
    }

    /// Decrease that the slope promises of the part that is tried.
    pub fn promise(&self) -> f64 {
        -self.fraction * self.slope
    }

    /// Whether a change of the objective is decrease enough.
    pub fn suffices(&self, change: f64) -> bool {
        change <= -SUFFICIENT_DECREASE * self.promise()
    }

    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// Tries a shorter step than the one that changed the objective by `change`.
    pub fn back_off(&mut self, change: f64) {
        self.fraction *= if change.is_finite() {
            // The minimum of the parabola through what is known.
            let slope = self.fraction * self.slope;
            (-0.5 * slope / (change - slope)).clamp(0.1, 0.5)
        } else if self.fraction == 1.0 {
            // Infinite at a bound: go almost there.
            NEARLY
        } else {
            0.5
        };
    }
}
