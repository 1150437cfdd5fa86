//! The part of the objective that belongs to one gene: a Poisson regression on
//! non-negative coefficients.

use crate::nnls::{NewtonStep, QuadraticModel};

/// Steps per gene: the genes are visited again after the samples, from closer by.
const MAX_STEPS: usize = 12;
/// Shorter steps that are tried where a whole one does not make F fall.
const MAX_BACKWARD: usize = 30;

/// F_g(b, P) = w Σ_s (μ_s − k_s log μ_s) + c (b − log b), μ = D (b, P).
pub struct GeneBlock<'a> {
    pub counts: &'a [f64],
    /// Samples × (1 + programs), by rows: the fitted mean of the fixed sources,
    /// then the loadings.
    pub design: Vec<f64>,
    pub weight: f64,
    /// c = 1/τ².
    pub prior: f64,
}

impl GeneBlock<'_> {
    /// Newton's method under bounds, from `point`, which the answer replaces.
    pub fn minimise(&self, point: &mut Vec<f64>) {
        let held = vec![false; point.len()];
        let mut value = self.value(point);
        for _ in 0..MAX_STEPS {
            let (gradient, hessian) = self.derivatives(point);
            let model = QuadraticModel { point, gradient: &gradient, hessian: &hessian };
            let target = model.least_with(point, &held);
            let mut step = NewtonStep::towards(target, point, |j| gradient[j]);
            if step.promise() <= 1e-10 * (1.0 + value.abs()) {
                return;
            }
            let lower = (0..MAX_BACKWARD).find_map(|_| {
                let trial = step.end(point);
                let found = self.value(&trial);
                let enough = step.suffices(found - value);
                if !enough {
                    step.back_off(found - value);
                }
                enough.then_some((trial, found))
            });
            let Some(lower) = lower else { return };
            (*point, value) = lower;
        }
    }

    fn mean(&self, row: &[f64], point: &[f64]) -> f64 {
        row.iter().zip(point).map(|(d, x)| d * x).sum()
    }

    /// Infinite where a count has no mean.
    fn value(&self, point: &[f64]) -> f64 {
        if point[0] <= 0.0 {
            return f64::INFINITY;
        }
        let mut sum = 0.0;
        for (row, count) in self.design.chunks_exact(point.len()).zip(self.counts) {
            let mean = self.mean(row, point);
            sum += mean;
            if *count > 0.0 {
                // where nothing can explain a count it is no reason to move
                if mean > 0.0 {
                    sum -= count * mean.ln();
                } else if row.iter().any(|d| *d > 0.0) {
                    return f64::INFINITY;
                }
            }
        }
        self.weight * sum + self.prior * (point[0] - point[0].ln())
    }

    fn derivatives(&self, point: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = point.len();
        let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
        for (row, count) in self.design.chunks_exact(n).zip(self.counts) {
            let mean = self.mean(row, point);
            let ratio = if mean > 0.0 { count / mean } else { 0.0 };
            let curvature = if mean > 0.0 { self.weight * ratio / mean } else { 0.0 };
            for i in 0..n {
                gradient[i] += self.weight * row[i] * (1.0 - ratio);
                for j in 0..n {
                    hessian[j * n + i] += curvature * row[i] * row[j];
                }
            }
        }
        gradient[0] += self.prior * (1.0 - 1.0 / point[0]);
        hessian[0] += self.prior / (point[0] * point[0]);
        (gradient, hessian)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_satisfies_kkt() {
        let design: Vec<f64> = (0..20)
            .flat_map(|s| [5.0 + (s as f64).sin(), if s % 3 == 0 { 2.0 } else { 0.3 }])
            .collect();
        for (program, own) in [(0.0, 1.0), (4.0, 0.7), (0.5, 3.0)] {
            let counts: Vec<f64> =
                design.chunks_exact(2).map(|d| (own * d[0] + program * d[1]).round()).collect();
            let block =
                GeneBlock { counts: &counts, design: design.clone(), weight: 0.5, prior: 4.0 };
            let mut point = vec![1.0, 1.0];
            block.minimise(&mut point);
            let (gradient, _) = block.derivatives(&point);
            assert!(gradient[0].abs() < 1e-3, "{point:?} {gradient:?}");
            assert!(gradient[1] > -1e-3 && (point[1] == 0.0 || gradient[1].abs() < 1e-3));
        }
    }
}
