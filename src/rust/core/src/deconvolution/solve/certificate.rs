//! The objective of one sample and the proof of how far a point is from its
//! minimum.
//!
//! F(e) = Σ_j c_j e_j − Σ_g y_g log μ_g + λ₁ Σ_types e_j + λ₂ Σ_types e_j².
//! With the slope d_j = c_j + λ₁ + 2 λ₂ e_j and u_j = (1/d_j) Σ_g a_gj y_g/μ_g,
//! a point with Σ d_j e_j = W has
//!
//! > F(e) − F* ≤ W log max_j u_j
//!
//! (the penalty is bounded below by its tangent; then concavity of the mixture
//! log-likelihood on the simplex and Jensen's inequality).  At the minimum
//! u_j = 1 where e_j > 0 and u_j ≤ 1 where e_j = 0.

use crate::deconvolution::evaluate::Terms;

/// What makes the objective of one sample, apart from the likelihood terms.
#[derive(Clone, Debug)]
pub struct Objective<'m> {
    /// c_j per source.
    pub cost: &'m [f64],
    /// The first so many sources are penalised.
    pub n_types: usize,
    /// λ₁, in units of the objective per unit of exposure.
    pub l1: f64,
    /// λ₂, in units of the objective per squared unit of exposure.
    pub l2: f64,
    /// W = Σ y.
    pub total: f64,
}

/// A point with Σ d_j e_j = W and all that is known there.
#[derive(Clone, Debug)]
pub struct Point {
    pub exposures: Vec<f64>,
    /// F.
    pub value: f64,
    /// u_j per source.
    pub multipliers: Vec<f64>,
    /// Bound on F(e) − F*.
    pub gap: f64,
    pub terms: Terms,
}

impl Objective<'_> {
    /// d_j = ∂(linear and penalty part)/∂e_j.
    pub fn slope(&self, j: usize, exposure: f64) -> f64 {
        if j < self.n_types {
            self.cost[j] + self.l1 + 2.0 * self.l2 * exposure
        } else {
            self.cost[j]
        }
    }

    /// Moves `exposures` along its ray to the best point there (Σ d_j e_j = W),
    /// and certifies it.  `terms` belong to `exposures`.
    pub fn certify(&self, mut exposures: Vec<f64>, mut terms: Terms) -> Point {
        let infinity = f64::INFINITY;
        let nowhere = |exposures: Vec<f64>, terms| {
            let multipliers = vec![f64::NAN; exposures.len()];
            Point { exposures, value: infinity, multipliers, gap: infinity, terms }
        };
        if !terms.log_sum.is_finite() || !terms.pull.iter().all(|v| v.is_finite()) {
            return nowhere(exposures, terms);
        }
        let types = &exposures[..self.n_types];
        let linear = self.cost.iter().zip(&exposures).map(|(c, e)| c * e).sum::<f64>()
            + self.l1 * types.iter().sum::<f64>();
        let square = self.l2 * types.iter().map(|e| e * e).sum::<f64>();
        // The positive root of 2 square t² + linear t − W = 0.
        let factor =
            2.0 * self.total / (linear + (linear * linear + 8.0 * square * self.total).sqrt());
        if !(factor > 0.0 && factor.is_finite()) {
            return nowhere(exposures, terms);
        }
        exposures.iter_mut().for_each(|e| *e *= factor);
        terms.log_sum += self.total * factor.ln();
        terms.pull.iter_mut().for_each(|p| *p /= factor);
        terms.hessian.iter_mut().for_each(|h| *h /= factor * factor);
        let value = factor * linear + factor * factor * square - terms.log_sum;
        let multipliers: Vec<f64> = terms
            .pull
            .iter()
            .enumerate()
            .map(|(j, pull)| pull / self.slope(j, exposures[j]))
            .collect();
        let largest = multipliers.iter().copied().fold(1.0, f64::max);
        Point { exposures, value, multipliers, gap: self.total * largest.ln(), terms }
    }

    /// One EM step: the minimum of the surrogate Σ d_j e_j − Σ_j n_j log e_j
    /// with n_j = e_j Σ_g a_gj y_g/μ_g the reads allocated to source j.
    pub fn em_step(&self, point: &Point) -> Vec<f64> {
        let allocated = point.exposures.iter().zip(&point.terms.pull).map(|(e, p)| e * p);
        allocated.enumerate().map(|(j, reads)| self.exposure_for(j, reads)).collect()
    }

    /// The exposure at which e ↦ (c + λ₁) e + λ₂ e² − reads log e is least.
    pub fn exposure_for(&self, j: usize, reads: f64) -> f64 {
        let slope = self.slope(j, 0.0);
        let quadratic = if j < self.n_types { self.l2 } else { 0.0 };
        2.0 * reads / (slope + (slope * slope + 8.0 * quadratic * reads).sqrt())
    }
}
