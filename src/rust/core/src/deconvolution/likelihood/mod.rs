//! What minimisation and inference ask of a likelihood: terms per gene, at the
//! counts of one sample.

mod platform;
mod platform_profile;
mod poisson;

pub use platform::{FittedPlatform, PlatformModel, PlatformSampleCounts};
pub use poisson::PoissonSample;

use super::model::Model;
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
}

/// A likelihood that is a sum over genes of terms in μ, whose uncertainty can
/// be told.
pub trait Likelihood: Sync {
    /// The counts of one sample, in the form that the terms read.
    type Sample: Send + Sync;

    fn model(&self) -> &Model;

    /// The dispersion is never taken to be below this.
    fn least_dispersion(&self) -> f64 {
        0.0
    }

    /// `counts` of the sample number `index`, over design rows.  What the
    /// likelihood holds constant near a fit is taken at `exposures`.
    fn sample(&self, index: usize, counts: &[f64], exposures: &[f64]) -> Self::Sample;

    /// The objective's terms of a range of genes at means `mu`: writes ∂F/∂μ and,
    /// unless it is empty, the curvature in μ; returns their part of F.
    /// `memory` is empty at first, and the likelihood's own between evaluations.
    fn terms(
        &self,
        sample: &Self::Sample,
        genes: Range<usize>,
        mu: &[f64],
        memory: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64;

    /// `fitted` runs over design rows.
    fn gene_terms(&self, sample: &Self::Sample, fitted: &[f64]) -> GeneTerms;
}
