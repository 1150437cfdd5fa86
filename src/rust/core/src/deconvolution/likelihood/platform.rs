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
use super::{GeneTerms, Likelihood, SampleTerms};
use crate::base::error::{check_length, check_value, CoreError};
use crate::deconvolution::metrics::fitted_means;
use crate::deconvolution::model::Model;
use crate::matrix::{zeros, Array2, ArrayView2, Columns};
use std::ops::Range;

/// Share of all exposures below which a type still counts for the uncertainty
/// of the reference: a type at zero would otherwise make its genes certain.
const LEAST_SHARE: f64 = 1e-4;

/// A model with errors per gene; all per-gene arguments are over the genes that
/// `model` was built from.
pub struct PlatformModel<'m> {
    pub(in crate::deconvolution) model: &'m Model,
    /// Variance of a_gj, design rows × types.
    variance: Array2<f64>,
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
        variance: ArrayView2<'_, f64>,
        discount: &[f64],
    ) -> Result<Self, CoreError> {
        let genes = model.row_of_gene().len();
        check_length("variance", genes, variance.nrows())?;
        check_length("variance", model.n_sources(), variance.ncols())?;
        check_length("discount", genes, discount.len())?;
        let mut scaled = zeros((model.n_rows(), model.n_sources()));
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
            for (v, own) in variance.iter_mut().zip(self.variance.col(j)) {
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
struct Sample<'m> {
    platform: &'m PlatformModel<'m>,
    tau2: f64,
    floor: f64,
    /// y, log y and s².
    scaled: Vec<f64>,
    log_scaled: Vec<f64>,
    error: Vec<f64>,
}

impl Likelihood for FittedPlatform<'_> {
    fn model(&self) -> &Model {
        self.platform.model
    }

    fn sample<'s>(
        &'s self,
        index: usize,
        counts: &[f64],
        exposures: &[f64],
    ) -> Box<dyn SampleTerms + 's> {
        let (platform, tau2, floor) = (self.platform, self.tau2, self.floors[index]);
        let scaled: Vec<f64> = counts.iter().map(|k| k / floor).collect();
        let log_scaled = logs(&scaled);
        let fitted = fitted_means(platform.model, exposures);
        let error = platform.error_variance(exposures, &fitted, tau2);
        Box::new(Sample { platform, tau2, floor, scaled, log_scaled, error })
    }
}

impl Sample<'_> {
    fn errors(&self, genes: Range<usize>) -> Errors<'_> {
        Errors {
            scaled: &self.scaled[genes.clone()],
            log_scaled: &self.log_scaled[genes.clone()],
            variance: &self.error[genes.clone()],
            weights: &self.platform.model.weights()[genes],
            floor: self.floor,
        }
    }
}

impl SampleTerms for Sample<'_> {
    /// `memory` holds log(m e^b), a start for the next evaluation.
    fn terms(
        &self,
        genes: Range<usize>,
        mu: &[f64],
        memory: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        memory.resize(self.scaled.len(), f64::NAN);
        self.errors(genes.clone()).terms(mu, &mut memory[genes], slope, curvature)
    }

    fn gene_terms(&self, fitted: &[f64]) -> GeneTerms {
        let n = fitted.len();
        let (mut slope, mut information) = (vec![0.0; n], vec![0.0; n]);
        self.errors(0..n).terms(fitted, &mut vec![f64::NAN; n], &mut slope, &mut information);
        let score: Vec<f64> = slope.iter().map(|s| -s).collect();
        let squares = score.iter().zip(&information);
        // The discount is for what genes err together.  Alone a gene errs by
        // τ² + v, so that it is expected to add less than 1: the objective's
        // variance of log μ is s² + 1/(m e^b) = w/(information μ²).
        let model = self.platform.model;
        let beyond = |g: usize| {
            let excess = self.tau2 * (self.platform.discount[g] - 1.0);
            excess * information[g] * fitted[g] * fitted[g] / model.weights()[g]
        };
        GeneTerms {
            pearson: squares.map(|(s, i)| if *i > 0.0 { s * s / i } else { 0.0 }).collect(),
            freedom: model.n_used() as f64 - (0..model.n_used()).map(beyond).sum::<f64>(),
            // The floor makes much of the noise of weak genes, which says nothing of
            // the errors of the others.
            least_dispersion: 1.0,
            score,
            expected: information.clone(),
            hat: information.clone(),
            information,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use crate::matrix::from_fn;
    use rand_distr::{Distribution, Normal, Poisson};

    #[test]
    fn errors_as_large_as_the_model_has_them_are_expected_whatever_the_discount() {
        let n = 4000;
        let (level, tau2): (f64, f64) = (1e5, 0.04);
        let ones = vec![1.0; n];
        let model = Model::new(from_fn((n, 1), |_, _| 1.0).view(), &ones, &ones, 1).unwrap();
        let discount: Vec<f64> = (0..n).map(|g| if g % 2 == 0 { 1.0 } else { 9.0 }).collect();
        let known = zeros((n, 1));
        let platform = PlatformModel::new(&model, known.view(), &discount).unwrap();
        let fitted = FittedPlatform { platform: &platform, tau2, floors: &[1.0] };
        let mut rng = stream(6, Purpose::Bulk, 0);
        let errors = Normal::new(0.0, tau2.sqrt()).unwrap();
        let mut draw = || -> f64 {
            let mean = level * f64::exp(errors.sample(&mut rng));
            Poisson::new(mean).unwrap().sample(&mut rng)
        };
        let counts: Vec<f64> = (0..n).map(|_| draw()).collect();
        let terms = fitted.sample(0, &counts, &[level]).gene_terms(&vec![level; n]);
        let found: f64 = terms.pearson.iter().sum();
        // the half with discount 9 adds a ninth
        assert!((terms.freedom / (n as f64 * 5.0 / 9.0) - 1.0).abs() < 0.01, "{}", terms.freedom);
        // a mean of squares of some 2000 normal variables: 0.03 is one standard error
        assert!((found / terms.freedom - 1.0).abs() < 0.1, "{}", found / terms.freedom);
    }
}
