//! Which genes a program expresses otherwise than any mixture of types does.
//!
//! Were the program the mixture π of types, its molecules would add π_j l_s to
//! the exposure of type j.  With these exposures the gene is the mixed model of
//! `expression`, and its deviation from that is δ_g = P_g − x̄_g, x̄ = Σ_j π_j x_j:
//!
//! > k = F x + l δ + noise,  Cov(k) = Ω = F Σ_x Fᵀ + T.
//!
//! The generalised least squares estimate is δ̂ = l'Ω⁻¹(k − Fm) / l'Ω⁻¹l, and
//! with Ω⁻¹(k − Fm) = T⁻¹(k − F x̂) neither needs a samples × samples matrix.
//! Variances of genes around the model are moderated by an inverse-χ² law.

use crate::base::error::{check_length, CoreError};
use crate::deconvolution::expression::{prior_law, Cohort, CohortFit, VarianceLaw};

/// Per gene that was tested.
pub struct GeneTests {
    /// δ̂, and its standard error with the variances of the model; in reads per
    /// molecule.
    pub difference: Vec<f64>,
    pub std_error: Vec<f64>,
    /// x̄, in the same unit.
    pub average: Vec<f64>,
    /// Mean squared residual over its expectation, and its degrees of freedom.
    pub scale: Vec<f64>,
    pub freedom: Vec<f64>,
    /// Law of the scales over genes.
    pub law: VarianceLaw,
}

/// Tests `genes` of a cohort whose exposures already hold the program's
/// molecules at the composition `composition` (per source, sum 1).  `loading`
/// must not have been estimated from these genes.
///
/// # Errors
/// `Shape`.
pub fn test_genes(
    cohort: &Cohort<'_>,
    fit: &CohortFit,
    loading: &[f64],
    composition: &[f64],
    genes: &[usize],
) -> Result<GeneTests, CoreError> {
    check_length("loading", fit.sizes.len(), loading.len())?;
    check_length("composition", fit.factors.len(), composition.len())?;
    let n = genes.len();
    let zeros = || Vec::with_capacity(n);
    let mut tests = GeneTests {
        difference: zeros(),
        std_error: zeros(),
        average: zeros(),
        scale: zeros(),
        freedom: zeros(),
        law: VarianceLaw { freedom: f64::INFINITY, scale: 1.0 },
    };
    let mut spreads = Vec::new();
    for found in cohort.contrasts(genes, fit, loading, composition) {
        if found.scale > 0.0 && found.freedom >= 0.5 && found.std_error.is_finite() {
            spreads.push((found.scale.ln(), found.freedom));
        }
        tests.difference.push(found.difference);
        tests.std_error.push(found.std_error);
        tests.average.push(found.average);
        tests.scale.push(found.scale);
        tests.freedom.push(found.freedom);
    }
    tests.law = prior_law(&spreads);
    Ok(tests)
}
