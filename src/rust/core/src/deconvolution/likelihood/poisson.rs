//! Counts that are Poisson around their means, with a weight per gene.

use super::{GeneTerms, Likelihood, SampleTerms};
use crate::base::simd::poisson_terms;
use crate::deconvolution::model::Model;
use std::ops::Range;

pub struct Poisson<'m>(pub &'m Model);

/// k and w k over design rows.
struct Sample<'m> {
    model: &'m Model,
    counts: Vec<f64>,
    weighted: Vec<f64>,
}

impl Likelihood for Poisson<'_> {
    fn model(&self) -> &Model {
        self.0
    }

    fn sample<'s>(&'s self, _: usize, counts: &[f64], _: &[f64]) -> Box<dyn SampleTerms + 's> {
        let weighted = counts.iter().zip(self.0.weights()).map(|(k, w)| k * w).collect();
        Box::new(Sample { model: self.0, counts: counts.to_vec(), weighted })
    }
}

impl SampleTerms for Sample<'_> {
    fn terms(
        &self,
        genes: Range<usize>,
        mu: &[f64],
        _: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        let weights = &self.model.weights()[genes.clone()];
        let logs = poisson_terms(mu, &self.weighted[genes], slope, curvature);
        let mut mass = 0.0;
        for ((slope, weight), mu) in slope.iter_mut().zip(weights).zip(mu) {
            *slope = weight - *slope;
            mass += weight * mu;
        }
        mass - logs
    }

    fn gene_terms(&self, fitted: &[f64]) -> GeneTerms {
        // μ = 0 only where every active source is silent: such genes say nothing
        let each = |f: fn(f64, f64, f64) -> f64| -> Vec<f64> {
            let genes = self.counts.iter().zip(fitted).zip(self.model.weights());
            genes.map(|((&k, &mu), &w)| if mu > 0.0 { f(k, mu, w) } else { 0.0 }).collect()
        };
        GeneTerms {
            score: each(|k, mu, w| w * (k - mu) / mu),
            information: each(|k, mu, w| w * k / (mu * mu)),
            expected: each(|_, mu, w| w * w / mu),
            hat: each(|_, mu, w| w / mu),
            pearson: each(|k, mu, w| w * (k - mu) * (k - mu) / mu),
            freedom: self.model.n_used() as f64,
            least_dispersion: 0.0,
        }
    }
}
