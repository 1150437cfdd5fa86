//! One gene over the samples of a cohort: a linear mixed model.
//!
//! k_s = Σ_j e_js (x_j + d_js) + ε_s, where x_j is the mean of source j in the
//! cohort, x ~ N(m, τ² p pᵀ + diag(ν)), d_js ~ N(0, σ²_j) the deviation of one
//! sample, and Var(ε_s) = φ μ_s.  Given the variances, x and d have normal
//! posteriors; d̂ is the best linear unbiased predictor.

use crate::base::numbers::{dot, quadratic};
use crate::nnls::{cholesky, solve_with_cholesky};

/// What is given for a gene; x, p and σ are in reads per molecule, so that
/// lengths are in them.
pub struct Gene<'a> {
    /// Per sample.
    pub counts: &'a [f64],
    /// Sources × samples, column-major, shared by all genes.
    pub exposures: &'a [f64],
    /// φ μ_s.
    pub noise: &'a [f64],
    /// m, p and ν per source; ν > 0.
    pub centre: &'a [f64],
    pub profile: &'a [f64],
    pub mean_variance: &'a [f64],
    pub tau2: f64,
}

/// The posterior of a gene; scratch space that is used again for the next.
#[derive(Default)]
pub struct Posterior {
    /// x̂ per source.
    pub mean: Vec<f64>,
    /// Covariance of x̂, sources × sources.
    pub covariance: Vec<f64>,
    /// T_s = φ μ_s + Σ_j e_js² σ²_j.
    pub total: Vec<f64>,
    /// r_s = k_s − Σ_j e_js x̂_j.
    pub residual: Vec<f64>,
    /// Variance of Σ_j e_js x̂_j.
    pub fitted_variance: Vec<f64>,
    precision: Vec<f64>,
    scale: Vec<f64>,
    column: Vec<f64>,
}

impl Posterior {
    /// Finds x̂ and all that follows for the variances `between` (σ²_j).
    pub fn update(&mut self, gene: &Gene<'_>, between: &[f64]) {
        let (n_sources, n_samples) = (between.len(), gene.counts.len());
        self.total.clear();
        for (exposures, noise) in gene.exposures.chunks_exact(n_sources).zip(gene.noise) {
            let own: f64 = exposures.iter().zip(between).map(|(e, v)| e * e * v).sum();
            self.total.push(noise + own);
        }
        // In units of sqrt(ν), P = I − w wᵀ τ²/(1 + τ² |w|²) + Σ_s u u'/T.
        self.scale.clear();
        self.scale.extend(gene.mean_variance.iter().map(|v| v.sqrt()));
        let w: Vec<f64> = gene.profile.iter().zip(&self.scale).map(|(p, s)| p / s).collect();
        let shared = gene.tau2 / (1.0 + gene.tau2 * w.iter().map(|w| w * w).sum::<f64>());
        self.precision.clear();
        self.precision.resize(n_sources * n_sources, 0.0);
        for j in 0..n_sources {
            for i in j..n_sources {
                let diagonal = if i == j { 1.0 } else { 0.0 };
                self.precision[j * n_sources + i] = diagonal - shared * w[i] * w[j];
            }
        }
        let mut pull = vec![0.0; n_sources];
        self.column.resize(n_sources, 0.0);
        for s in 0..n_samples {
            let exposures = &gene.exposures[s * n_sources..(s + 1) * n_sources];
            let centred: f64 = gene.counts[s] - dot(exposures, gene.centre);
            let weight = 1.0 / self.total[s];
            for ((u, e), scale) in self.column.iter_mut().zip(exposures).zip(&self.scale) {
                *u = e * scale;
            }
            for (j, pull) in pull.iter_mut().enumerate() {
                let own = weight * self.column[j];
                if own == 0.0 {
                    continue;
                }
                *pull += own * centred;
                let row = &mut self.precision[j * n_sources + j..(j + 1) * n_sources];
                for (p, u) in row.iter_mut().zip(&self.column[j..]) {
                    *p += own * u;
                }
            }
        }
        cholesky(&mut self.precision, n_sources);
        solve_with_cholesky(&self.precision, &mut pull);
        self.mean.clear();
        self.mean
            .extend(pull.iter().zip(&self.scale).zip(gene.centre).map(|((z, s), c)| c + z * s));
        self.invert(n_sources);
        self.residual.clear();
        self.fitted_variance.clear();
        for s in 0..n_samples {
            let exposures = &gene.exposures[s * n_sources..(s + 1) * n_sources];
            self.residual.push(gene.counts[s] - dot(exposures, &self.mean));
            self.fitted_variance.push(quadratic(&self.covariance, exposures));
        }
    }

    /// Columns of the covariance.
    pub fn columns(&self) -> impl Iterator<Item = &[f64]> {
        self.covariance.chunks_exact(self.mean.len())
    }

    /// Covariance from the factor of the scaled precision.
    fn invert(&mut self, n: usize) {
        self.covariance.clear();
        self.covariance.resize(n * n, 0.0);
        for j in 0..n {
            let column = &mut self.covariance[j * n..(j + 1) * n];
            column[j] = 1.0;
            solve_with_cholesky(&self.precision, column);
            for (value, scale) in column.iter_mut().zip(&self.scale) {
                *value *= scale * self.scale[j];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::linalg::{product, Cholesky};
    use crate::matrix::{from_columns, from_fn};

    /// The posterior by conditioning the joint normal law of x and k.
    #[test]
    fn the_posterior_is_that_of_the_joint_normal_law() {
        let exposures = [2.0, 0.5, 0.0, 1.0, 1.0, 3.0, 0.2, 0.0, 4.0, 1.5, 2.5, 0.7];
        let (counts, noise) = ([9.0, 4.0, 7.0, 6.0], [3.0, 2.0, 4.0, 5.0]);
        let (centre, profile) = ([1.0, 2.0, 0.5], [1.5, 1.0, 0.4]);
        let (mean_variance, between, tau2) = ([0.2, 0.4, 0.1], [0.5, 0.3, 0.6], 0.7);
        let gene = Gene {
            counts: &counts,
            exposures: &exposures,
            noise: &noise,
            centre: &centre,
            profile: &profile,
            mean_variance: &mean_variance,
            tau2,
        };
        let mut posterior = Posterior::default();
        posterior.update(&gene, &between);
        let f = from_fn((4, 3), |s, j| exposures[s * 3 + j]);
        let prior = from_fn((3, 3), |i, j| {
            tau2 * profile[i] * profile[j] + if i == j { mean_variance[i] } else { 0.0 }
        });
        let total = |s: usize| -> f64 {
            noise[s] + (0..3).map(|j| f[(s, j)].powi(2) * between[j]).sum::<f64>()
        };
        let gain = product(&f, &prior);
        let mut marginal = product(&gain, &f.t());
        (0..4).for_each(|s| marginal[(s, s)] += total(s));
        let expected = product(&f, &from_columns(&centre, (3, 1)));
        let gap = from_fn((4, 1), |s, _| counts[s] - expected[(s, 0)]);
        // columns of Cov(k)⁻¹ (gain, gap)
        let factor = Cholesky::new(marginal).unwrap();
        let (mut solved_gain, mut solved_gap) = (gain.clone(), gap);
        factor.solve_in_place(&mut solved_gain);
        factor.solve_in_place(&mut solved_gap);
        let shift = product(&gain.t(), &solved_gap);
        let mean = from_fn((3, 1), |j, _| centre[j] + shift[(j, 0)]);
        let covariance = &prior - &product(&gain.t(), &solved_gain);
        for j in 0..3 {
            assert!((posterior.mean[j] - mean[(j, 0)]).abs() < 1e-12);
            for i in 0..3 {
                let own = posterior.covariance[j * 3 + i];
                assert!((own - covariance[(i, j)]).abs() < 1e-12, "{own} {}", covariance[(i, j)]);
            }
        }
    }
}
