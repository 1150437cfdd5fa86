//! What minimisation and inference ask of a likelihood: terms per gene, at the
//! counts of one sample.

mod platform;
mod platform_profile;
mod poisson;

pub use platform::{FittedPlatform, PlatformModel};
pub use poisson::Poisson;

use super::model::Model;
use crate::matrix::counts::Counts;
use std::ops::Range;

/// What each gene adds to the estimating equations of a sample, over design
/// rows.
pub struct GeneTerms {
    /// The score is Σ_g score_g a_g.
    pub score: Vec<f64>,
    /// J is Σ_g information_g a_g a_gᵀ.
    pub information: Vec<f64>,
    /// Σ_g expected_g a_g a_gᵀ is the variance of the score under the model.
    pub expected: Vec<f64>,
    /// Expected information: the leverage of a gene is
    /// hat_g a_gᵀ (Σ_g hat_g a_g a_gᵀ)⁻¹ a_g ≤ 1.
    pub hat: Vec<f64>,
    /// Squared residuals in units of the model's variance.
    pub pearson: Vec<f64>,
    /// What the model expects of the sum of `pearson` when nothing is fitted.
    pub freedom: f64,
    /// The dispersion is never taken to be below this.
    pub least_dispersion: f64,
}

impl GeneTerms {
    /// φ, the Pearson dispersion: the squared residuals in units of what the model
    /// expects of them, `n_fitted` exposures having been fitted.
    pub fn dispersion(&self, n_fitted: usize) -> f64 {
        let freedom = (self.freedom - n_fitted as f64).max(1.0);
        (self.pearson.iter().sum::<f64>() / freedom).max(self.least_dispersion)
    }
}

/// A likelihood that is a sum over genes of terms in μ, whose uncertainty can
/// be told.
pub trait Likelihood: Sync {
    fn model(&self) -> &Model;

    /// `counts` of the sample number `index`, over design rows.  What the
    /// likelihood holds constant near a fit is taken at `exposures`.
    fn sample<'s>(
        &'s self,
        index: usize,
        counts: &[f64],
        exposures: &[f64],
    ) -> Box<dyn SampleTerms + 's>;
}

/// The likelihood at the counts of one sample.
pub trait SampleTerms: Send + Sync {
    /// The objective's terms of a range of genes at means `mu`: writes ∂F/∂μ and,
    /// unless it is empty, the curvature in μ; returns their part of F.
    /// `memory` is empty at first, and the likelihood's own between evaluations.
    fn terms(
        &self,
        genes: Range<usize>,
        mu: &[f64],
        memory: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64;

    /// `fitted` runs over design rows.
    fn gene_terms(&self, fitted: &[f64]) -> GeneTerms;
}

/// The samples of a block, each at given exposures.
pub struct Block<'l> {
    pub model: &'l Model,
    pub samples: Vec<Box<dyn SampleTerms + 'l>>,
    /// Exposures, per sample.
    pub points: Vec<Vec<f64>>,
}

impl<'l> Block<'l> {
    /// Reads the samples `range` of `counts`, whose genes are the rows of the
    /// model's design.
    pub fn read(
        likelihood: &'l dyn Likelihood,
        counts: &Counts<'_>,
        range: Range<usize>,
        points: Vec<Vec<f64>>,
    ) -> Self {
        let model = likelihood.model();
        let mut column = vec![0.0; model.n_rows()];
        let samples = range.zip(&points).map(|(index, point)| {
            counts.column_into(index, &mut column);
            likelihood.sample(index, &column, point)
        });
        Block { model, samples: samples.collect(), points }
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}
