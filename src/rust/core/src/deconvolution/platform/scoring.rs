//! Fisher scoring under bounds.

use super::super::solver::Stop;
use crate::nnls::solve_nonnegative;

/// Fraction of the predicted decrease that a step must achieve.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Proximal term of the quadratic program, see [`solve_nonnegative`].
const RIDGE: f64 = 1e-10;

/// Fisher scoring under bounds, with backtracking.
pub struct Scoring {
    /// The point to evaluate next.
    pub proposal: Vec<f64>,
    /// The best point so far, its value, and the decrease still promised there.
    pub exposures: Vec<f64>,
    pub value: f64,
    pub decrement: f64,
    target: Vec<f64>,
    slope: f64,
    fraction: f64,
}

impl Scoring {
    pub fn new(start: &[f64]) -> Self {
        Scoring {
            proposal: start.to_vec(),
            exposures: Vec::new(),
            value: f64::INFINITY,
            decrement: f64::INFINITY,
            target: Vec::new(),
            slope: 0.0,
            fraction: 1.0,
        }
    }

    /// Takes value, gradient and Hessian at the proposal.
    pub fn advance(
        &mut self,
        value: f64,
        gradient: Vec<f64>,
        hessian: Vec<f64>,
        tolerance: f64,
    ) -> Option<Stop> {
        // Near the optimum the decrease drowns in the rounding of F.
        let rounding = 1e-13 * value.abs();
        let enough = self.value + SUFFICIENT_DECREASE * self.fraction * self.slope + rounding;
        if value.is_finite() && (self.exposures.is_empty() || value <= enough) {
            self.exposures.clone_from(&self.proposal);
            self.value = value;
            self.aim(&gradient, &hessian);
            return (self.decrement <= tolerance).then_some(Stop::Stationary);
        }
        if self.fraction < 1e-10 {
            return Some(Stop::Stalled);
        }
        self.fraction *= 0.25;
        let ends = self.exposures.iter().zip(&self.target);
        self.proposal = ends.map(|(e, t)| e + self.fraction * (t - e)).collect();
        None
    }

    /// Minimises the quadratic model over e ≥ 0.
    fn aim(&mut self, gradient: &[f64], hessian: &[f64]) {
        let n = self.exposures.len();
        let times = |x: &[f64], j: usize| -> f64 {
            hessian[j * n..(j + 1) * n].iter().zip(x).map(|(h, x)| h * x).sum()
        };
        let linear: Vec<f64> = (0..n).map(|j| times(&self.exposures, j) - gradient[j]).collect();
        self.target.clone_from(&self.exposures);
        solve_nonnegative(hessian, &linear, RIDGE, &mut self.target);
        let move_: Vec<f64> = self.target.iter().zip(&self.exposures).map(|(t, e)| t - e).collect();
        self.slope = move_.iter().zip(gradient).map(|(d, g)| d * g).sum();
        let bend: f64 = (0..n).map(|j| move_[j] * times(&move_, j)).sum();
        self.decrement = -(self.slope + 0.5 * bend);
        self.fraction = 1.0;
        self.proposal.clone_from(&self.target);
    }
}
