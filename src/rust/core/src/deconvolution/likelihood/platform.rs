//! Deconvolution when reference and bulk come from different platforms: every
//! gene has a multiplicative error of its own.
//!
//! k_g ~ Poisson(μ_g exp(b_g)), b_g ~ N(0, s²_g), s²_g = τ² D_g + v_g.  τ² is
//! the variance between the platforms, estimated from the cohort; D_g ≥ 1
//! discounts genes whose errors go together (the caller says how much); v_g is
//! what is not known of the reference.  In units of a floor φ per sample,
//! y = k/φ and m = μ/φ, the objective profiles the errors out:
//!
//! > F(e) = Σ_g w_g min_b { m e^b − y − y (log m + b − log y) + b²/(2 s²) }
//!
//! s² → 0 gives the Poisson fit, s² m → ∞ weighted least squares of log counts.
//! F is convex in log μ but not in e: what is certified is a stationary point,
//! by the decrease that the quadratic model still promises.

use super::platform_profile::{logs, Errors};
use super::{GeneTerms, Likelihood};
use crate::deconvolution::metrics::fitted_means;
use crate::deconvolution::model::Model;
use crate::error::{check_length, check_value, CoreError};
use faer::{Mat, MatRef};
use std::ops::Range;

/// Share of all exposures below which a type still counts for the uncertainty
/// of the reference: a type at zero would otherwise make its genes certain.
const LEAST_SHARE: f64 = 1e-4;

/// A model with errors per gene; all per-gene arguments are over the genes that
/// `model` was built from.
pub struct PlatformModel<'m> {
    pub(in crate::deconvolution) model: &'m Model,
    /// Variance of a_gj, design rows × types.
    variance: Mat<f64>,
    /// D_g per design row; 1 in the padding.
    pub(in crate::deconvolution) discount: Vec<f64>,
}

impl<'m> PlatformModel<'m> {
    /// `variance` (genes × types) is the variance of the signatures, before
    /// scaling by length.
    ///
    /// # Errors
    /// `Shape`, or `Argument` for a negative variance or a discount below 1.
    pub fn new(
        model: &'m Model,
        variance: MatRef<'_, f64>,
        discount: &[f64],
    ) -> Result<Self, CoreError> {
        let genes = model.row_of_gene().len();
        check_length("variance", genes * model.n_sources(), variance.nrows() * variance.ncols())?;
        check_length("discount", genes, discount.len())?;
        let mut scaled = Mat::zeros(model.n_rows(), model.n_sources());
        let mut discounts = vec![1.0; model.n_rows()];
        for (gene, &row) in model.row_of_gene().iter().enumerate() {
            let Ok(row) = usize::try_from(row) else { continue };
            check_value("discount", discount[gene], "at least 1", |d| d >= 1.0)?;
            discounts[row] = discount[gene];
            for j in 0..model.n_sources() {
                let valid = |v: f64| v >= 0.0 && v.is_finite();
                check_value("variance", variance[(gene, j)], "non-negative", valid)?;
                scaled[(row, j)] = model.lengths()[row].powi(2) * variance[(gene, j)];
            }
        }
        Ok(PlatformModel { model, variance: scaled, discount: discounts })
    }

    /// s²_g = τ² D_g + v_g at the given exposures.
    fn error_variance(&self, exposures: &[f64], fitted: &[f64], tau2: f64) -> Vec<f64> {
        let mut variance = self.reference_variance(exposures, fitted);
        variance.iter_mut().zip(&self.discount).for_each(|(v, d)| *v += tau2 * d);
        variance
    }

    /// v_g: relative variance of μ_g from the reference, at the given exposures.
    pub(in crate::deconvolution) fn reference_variance(
        &self,
        exposures: &[f64],
        fitted: &[f64],
    ) -> Vec<f64> {
        let least = LEAST_SHARE * exposures.iter().sum::<f64>();
        let mut variance = vec![0.0; fitted.len()];
        for (j, exposure) in exposures.iter().enumerate() {
            let square = exposure.max(least).powi(2);
            for (v, own) in variance.iter_mut().zip(self.variance.col_as_slice(j)) {
                *v += square * own;
            }
        }
        for (v, mu) in variance.iter_mut().zip(fitted) {
            *v = if *mu > 0.0 { *v / (mu * mu) } else { 0.0 };
        }
        variance
    }
}

/// A platform model with its τ² and the floors of its samples: what tells the
/// uncertainty of a fit.
pub struct FittedPlatform<'m> {
    pub platform: &'m PlatformModel<'m>,
    pub tau2: f64,
    pub floors: &'m [f64],
}

/// Counts and error variances of one sample, over design rows.
pub struct PlatformSampleCounts {
    /// y, log y and s².
    scaled: Vec<f64>,
    log_scaled: Vec<f64>,
    error: Vec<f64>,
    floor: f64,
}

impl FittedPlatform<'_> {
    fn errors<'a>(&'a self, sample: &'a PlatformSampleCounts, genes: Range<usize>) -> Errors<'a> {
        Errors {
            scaled: &sample.scaled[genes.clone()],
            log_scaled: &sample.log_scaled[genes.clone()],
            variance: &sample.error[genes.clone()],
            weights: &self.platform.model.weights()[genes],
            floor: sample.floor,
        }
    }
}

impl Likelihood for FittedPlatform<'_> {
    type Sample = PlatformSampleCounts;

    fn model(&self) -> &Model {
        self.platform.model
    }

    /// Discounted genes have variances far above their residuals, and would
    /// make a sample look better than its model.
    fn least_dispersion(&self) -> f64 {
        1.0
    }

    fn sample(&self, index: usize, counts: &[f64], exposures: &[f64]) -> PlatformSampleCounts {
        let floor = self.floors[index];
        let scaled: Vec<f64> = counts.iter().map(|k| k / floor).collect();
        let fitted = fitted_means(self.platform.model, exposures);
        PlatformSampleCounts {
            log_scaled: logs(&scaled),
            scaled,
            error: self.platform.error_variance(exposures, &fitted, self.tau2),
            floor,
        }
    }

    /// `memory` holds log(m e^b), a start for the next evaluation.
    fn terms(
        &self,
        sample: &PlatformSampleCounts,
        genes: Range<usize>,
        mu: &[f64],
        memory: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        memory.resize(sample.scaled.len(), f64::NAN);
        self.errors(sample, genes.clone()).terms(mu, &mut memory[genes], slope, curvature)
    }

    fn gene_terms(&self, sample: &PlatformSampleCounts, fitted: &[f64]) -> GeneTerms {
        let n = fitted.len();
        let (mut slope, mut information) = (vec![0.0; n], vec![0.0; n]);
        let errors = self.errors(sample, 0..n);
        errors.terms(fitted, &mut vec![f64::NAN; n], &mut slope, &mut information);
        let score: Vec<f64> = slope.iter().map(|s| -s).collect();
        let squares = score.iter().zip(&information);
        GeneTerms {
            pearson: squares.map(|(s, i)| if *i > 0.0 { s * s / i } else { 0.0 }).collect(),
            score,
            expected: information.clone(),
            hat: information.clone(),
            information,
        }
    }
}
