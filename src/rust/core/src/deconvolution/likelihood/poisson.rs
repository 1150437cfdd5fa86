//! Counts that are Poisson around their means, with a weight per gene.

use super::{GeneTerms, Likelihood};
use crate::deconvolution::model::Model;
use crate::kernels::poisson_terms;
use std::ops::Range;

/// Counts k and w k over design rows.
pub struct PoissonSample {
    counts: Vec<f64>,
    weighted: Vec<f64>,
}

impl Likelihood for Model {
    type Sample = PoissonSample;

    fn model(&self) -> &Model {
        self
    }

    fn sample(&self, _: usize, counts: &[f64], _: &[f64]) -> PoissonSample {
        let weighted = counts.iter().zip(self.weights()).map(|(k, w)| k * w).collect();
        PoissonSample { counts: counts.to_vec(), weighted }
    }

    fn terms(
        &self,
        sample: &PoissonSample,
        genes: Range<usize>,
        mu: &[f64],
        _: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        let weights = &self.weights()[genes.clone()];
        let logs = poisson_terms(mu, &sample.weighted[genes], slope, curvature);
        let mut mass = 0.0;
        for ((slope, weight), mu) in slope.iter_mut().zip(weights).zip(mu) {
            *slope = weight - *slope;
            mass += weight * mu;
        }
        mass - logs
    }

    fn gene_terms(&self, sample: &PoissonSample, fitted: &[f64]) -> GeneTerms {
        // μ = 0 only where every active source is silent: such genes say nothing
        let each = |f: fn(f64, f64, f64) -> f64| -> Vec<f64> {
            let genes = sample.counts.iter().zip(fitted).zip(self.weights());
            genes.map(|((&k, &mu), &w)| if mu > 0.0 { f(k, mu, w) } else { 0.0 }).collect()
        };
        GeneTerms {
            score: each(|k, mu, w| w * (k - mu) / mu),
            information: each(|k, mu, w| w * k / (mu * mu)),
            expected: each(|_, mu, w| w * w / mu),
            hat: each(|_, mu, w| w / mu),
            pearson: each(|k, mu, w| w * (k - mu) * (k - mu) / mu),
        }
    }
}
