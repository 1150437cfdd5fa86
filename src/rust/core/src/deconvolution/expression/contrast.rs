//! A gene's response to a covariate of the samples, beside its mixed model.

use super::gene::Posterior;
use super::{Cohort, CohortFit, Loaded};
use crate::base::numbers::dot;

/// See `deconvolution::extract_program::test_genes`.
pub struct Contrast {
    pub difference: f64,
    pub std_error: f64,
    pub average: f64,
    pub scale: f64,
    pub freedom: f64,
}

impl Cohort<'_> {
    /// Generalised least squares of the counts of `g` on `covariate` (per
    /// sample), with the sources as random effects.
    pub fn contrast(
        &self,
        g: usize,
        fit: &CohortFit,
        covariate: &[f64],
        composition: &[f64],
    ) -> Contrast {
        let n_sources = self.n_sources();
        let exposures = self.sized_exposures(fit);
        let between: Vec<f64> = (0..n_sources).map(|j| fit.between[(g, j)]).collect();
        let mut loaded = Loaded::default();
        let mut posterior = Posterior::default();
        self.load(g, fit, &between, &mut loaded);
        let scaled: Vec<f64> = between.iter().map(|v| v * loaded.scale * loaded.scale).collect();
        posterior.update(&loaded.gene(self.counts(g), &exposures, fit.tau2), &scaled);
        let sized: Vec<f64> = covariate.iter().zip(&fit.sizes).map(|(l, c)| l * c).collect();
        // l̃ = l − F V Fᵀ T⁻¹ l, so that Ω⁻¹ l = T⁻¹ l̃
        let mut pulled = vec![0.0; n_sources];
        for (s, own) in exposures.chunks_exact(n_sources).enumerate() {
            for (p, e) in pulled.iter_mut().zip(own) {
                *p += e * sized[s] / posterior.total[s];
            }
        }
        let slopes: Vec<f64> = posterior
            .covariance
            .chunks_exact(n_sources)
            .map(|column| dot(column, &pulled))
            .collect();
        let cleared: Vec<f64> = exposures
            .chunks_exact(n_sources)
            .zip(&sized)
            .map(|(own, l)| l - dot(own, &slopes))
            .collect();
        let (mut score, mut information) = (0.0, 0.0);
        for s in 0..sized.len() {
            score += sized[s] * posterior.residual[s] / posterior.total[s];
            information += sized[s] * cleared[s] / posterior.total[s];
        }
        let average = dot(&posterior.mean, composition);
        if information <= 0.0 {
            let none = f64::INFINITY;
            return Contrast {
                difference: 0.0,
                std_error: none,
                average,
                scale: 0.0,
                freedom: 0.0,
            };
        }
        let difference = score / information;
        let (mut squares, mut freedom) = (0.0, -1.0);
        for (s, clear) in cleared.iter().enumerate() {
            let left = posterior.residual[s] - difference * clear;
            squares += left * left / posterior.total[s];
            freedom += 1.0 - posterior.fitted_variance[s] / posterior.total[s];
        }
        Contrast {
            difference,
            std_error: 1.0 / information.sqrt(),
            average: average - difference * dot(&slopes, composition),
            scale: if freedom > 0.0 { squares / freedom } else { 0.0 },
            freedom: freedom.max(0.0),
        }
    }
}
