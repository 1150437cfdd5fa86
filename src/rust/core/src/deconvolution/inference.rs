//! How sure the exposures of a sample are.
//!
//! On the active set F (sources with e_j > 0) the estimating equations
//! Σ_g w_g a_g (k_g/μ_g − 1) = 0 give the sandwich Var(e_F) = J⁻¹ V J⁻¹ with
//! J = A_Fᵀ diag(w k/μ²) A_F and V = A_Fᵀ diag(w² v/μ²) A_F.  A source at zero
//! has no standard error but an upper limit: where the profile log-likelihood,
//! expanded to second order at the optimum, has fallen by a given amount.

use super::evaluate::Pairs;
use super::metrics::fitted_means;
use super::model::{Model, GENE_BLOCK};
use super::SAMPLE_BLOCK;
use crate::counts::Counts;
use crate::error::{check_length, CoreError};
use crate::nnls::{cholesky, solve_with_cholesky};
use crate::parallel::{with_threads, Monitor};
use faer::linalg::matmul::matmul;
use faer::{Accum, ColRef, Mat, MatRef, Par};
use rayon::prelude::*;

/// What is assumed of the variance v_g of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variance {
    /// v = (k − μ)² / (1 − h)², h the leverage: nothing is assumed.
    Robust,
    /// v = φ μ with φ = Σ w (k − μ)²/μ / (n − |F|).
    Quasi,
    /// v = μ.
    Poisson,
}

/// Uncertainty of one sample.
#[derive(Clone, Debug)]
pub struct SampleInference {
    /// Covariance of the exposures, sources × sources, column-major; 0 for
    /// sources at zero.
    pub covariance: Vec<f64>,
    /// φ, the Pearson dispersion.
    pub dispersion: f64,
    /// Upper limits of the sources at zero; NaN for active ones.
    pub limits: Vec<f64>,
}

/// A gene that alone determines a type has leverage 1 and no residual to tell
/// its variance.
const LARGEST_LEVERAGE: f64 = 0.9;

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

/// A likelihood whose uncertainty can be told.
pub trait Likelihood: Sync {
    fn model(&self) -> &Model;

    /// The dispersion is never taken to be below this.
    fn least_dispersion(&self) -> f64 {
        0.0
    }

    /// `counts` and `fitted` run over design rows.
    fn gene_terms(
        &self,
        sample: usize,
        counts: &[f64],
        exposures: &[f64],
        fitted: &[f64],
    ) -> GeneTerms;
}

impl Likelihood for Model {
    fn model(&self) -> &Model {
        self
    }

    fn gene_terms(&self, _: usize, counts: &[f64], _: &[f64], fitted: &[f64]) -> GeneTerms {
        // μ = 0 only where every active source is silent: such genes say nothing
        let each = |f: fn(f64, f64, f64) -> f64| -> Vec<f64> {
            let genes = counts.iter().zip(fitted).zip(self.weights());
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

/// Uncertainty of every sample at its fitted exposures (sources × samples).
/// `fall` is the fall of twice the log-likelihood, in units of the dispersion
/// (of 1 for `Variance::Poisson`), that marks an upper limit: 2.71 for 95 %.
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn infer(
    likelihood: &impl Likelihood,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    variance: Variance,
    fall: f64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<SampleInference>, CoreError> {
    let expected = likelihood.model().n_sources() * counts.n_samples();
    check_length("exposures", expected, exposures.nrows() * exposures.ncols())?;
    let starts: Vec<usize> = (0..counts.n_samples()).step_by(SAMPLE_BLOCK).collect();
    let blocks: Vec<Vec<SampleInference>> = with_threads(threads, || {
        starts
            .par_iter()
            .map(|&start| {
                monitor.check()?;
                let range = start..(start + SAMPLE_BLOCK).min(counts.n_samples());
                let answers =
                    infer_block(likelihood, counts, exposures, range.clone(), variance, fall);
                monitor.advance(range.len());
                Ok(answers)
            })
            .collect::<Result<_, CoreError>>()
    })??;
    Ok(blocks.into_iter().flatten().collect())
}

fn infer_block(
    likelihood: &impl Likelihood,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    range: std::ops::Range<usize>,
    variance: Variance,
    fall: f64,
) -> Vec<SampleInference> {
    let model = likelihood.model();
    let mut points = Vec::with_capacity(range.len());
    let mut terms = Vec::with_capacity(range.len());
    let mut count = vec![0.0; model.n_rows()];
    for sample in range {
        counts.column_into(sample, &mut count);
        let point: Vec<f64> = (0..model.n_sources()).map(|j| exposures[(j, sample)]).collect();
        let fitted = fitted_means(model, &point);
        terms.push(likelihood.gene_terms(sample, &count, &point, &fitted));
        points.push(point);
    }
    let information = weighted_grams(model, terms.iter().map(|t| &t.information[..]));
    let inverses: Vec<ActiveInverse> = information
        .into_iter()
        .zip(&points)
        .map(|(hessian, point)| ActiveInverse::new(hessian, point))
        .collect();
    let dispersions: Vec<f64> = terms
        .iter()
        .zip(&inverses)
        .map(|(t, inverse)| {
            let freedom = model.n_used().saturating_sub(inverse.active.len()).max(1);
            let dispersion = t.pearson.iter().sum::<f64>() / freedom as f64;
            dispersion.max(likelihood.least_dispersion())
        })
        .collect();
    let hats = match variance {
        Variance::Robust => weighted_grams(model, terms.iter().map(|t| &t.hat[..])),
        _ => vec![Vec::new(); terms.len()],
    };
    let spreads: Vec<Vec<f64>> = terms
        .iter()
        .zip(&points)
        .zip(hats.into_iter().zip(&dispersions))
        .map(|((t, point), (hat, dispersion))| match variance {
            Variance::Robust => {
                let leverage = ActiveInverse::new(hat, point).leverages(model, &t.hat);
                let scores = t.score.iter().zip(leverage);
                scores.map(|(s, h)| (s / (1.0 - h.min(LARGEST_LEVERAGE))).powi(2)).collect()
            }
            Variance::Quasi => t.expected.iter().map(|v| dispersion * v).collect(),
            Variance::Poisson => t.expected.clone(),
        })
        .collect();
    let middles = weighted_grams(model, spreads.iter().map(|s| &s[..]));
    (0..points.len())
        .map(|i| {
            let scale = if variance == Variance::Poisson { 1.0 } else { dispersions[i] };
            let slopes = negative_scores(model, &terms[i].score);
            let rise = 0.5 * fall * scale;
            let limits = (0..model.n_sources())
                .map(|j| inverses[i].upper_limit(j, slopes[j], rise))
                .collect();
            let covariance = inverses[i].sandwich(&middles[i]);
            SampleInference { covariance, dispersion: dispersions[i], limits }
        })
        .collect()
}

/// ∂F/∂e_j = −Σ_g score_g a_gj.
fn negative_scores(model: &Model, score: &[f64]) -> Vec<f64> {
    let mut slopes = Mat::<f64>::zeros(model.n_sources(), 1);
    let score = ColRef::from_slice(score);
    let design = model.design().transpose();
    matmul(slopes.as_mut(), Accum::Replace, design, score.as_mat(), -1.0, Par::Seq);
    slopes.col_as_slice(0).to_vec()
}

/// Aᵀ diag(v) A for each v (over design rows).
fn weighted_grams<'a>(
    model: &Model,
    values: impl ExactSizeIterator<Item = &'a [f64]>,
) -> Vec<Vec<f64>> {
    let n_samples = values.len();
    let mut columns = Mat::zeros(model.n_rows(), n_samples);
    for (i, column) in values.enumerate() {
        columns.col_as_slice_mut(i).copy_from_slice(column);
    }
    let mut pairs = Pairs::new(model.design());
    let mut sums = Mat::zeros(Pairs::count(model.n_sources()), n_samples);
    for start in (0..model.n_rows()).step_by(GENE_BLOCK) {
        let rows = GENE_BLOCK.min(model.n_rows() - start);
        let design = model.design().subrows(start, rows);
        pairs.add_products(design, columns.as_ref().subrows(start, rows), sums.as_mut());
    }
    (0..n_samples)
        .map(|column| Pairs::to_matrix(sums.col_as_slice(column), model.n_sources()))
        .collect()
}

/// The Cholesky factor of J on the active set.
struct ActiveInverse {
    n_sources: usize,
    active: Vec<usize>,
    hessian: Vec<f64>,
    factor: Vec<f64>,
}

impl ActiveInverse {
    fn new(hessian: Vec<f64>, point: &[f64]) -> Self {
        let n_sources = point.len();
        let active: Vec<usize> = (0..n_sources).filter(|&j| point[j] > 0.0).collect();
        let entry = |i: usize, j: usize| hessian[j * n_sources + i];
        let mut factor: Vec<f64> =
            active.iter().flat_map(|&j| active.iter().map(move |&i| entry(i, j))).collect();
        cholesky(&mut factor, active.len());
        ActiveInverse { n_sources, active, hessian, factor }
    }

    /// h_g = hat_g a_gᵀ J⁻¹ a_g: the share of count g in its own fit.
    fn leverages(&self, model: &Model, hat: &[f64]) -> Vec<f64> {
        let m = self.active.len();
        let mut row = vec![0.0; m];
        hat.iter()
            .enumerate()
            .map(|(g, hat)| {
                for (entry, &j) in row.iter_mut().zip(&self.active) {
                    *entry = model.design()[(g, j)];
                }
                // L z = a, then aᵀ J⁻¹ a = ‖z‖²
                let mut norm = 0.0;
                for j in 0..m {
                    row[j] /= self.factor[j * m + j];
                    norm += row[j] * row[j];
                    for i in j + 1..m {
                        row[i] -= self.factor[j * m + i] * row[j];
                    }
                }
                hat * norm
            })
            .collect()
    }

    /// J⁻¹ V J⁻¹ on the active set, 0 elsewhere.
    fn sandwich(&self, middle: &[f64]) -> Vec<f64> {
        let (n, m) = (self.n_sources, self.active.len());
        let mut left: Vec<Vec<f64>> = self
            .active
            .iter()
            .map(|&j| self.active.iter().map(|&i| middle[j * n + i]).collect())
            .collect();
        // Columns of J⁻¹ V, then rows of it (V is symmetric).
        left.iter_mut().for_each(|column| solve_with_cholesky(&self.factor, column));
        let mut covariance = vec![0.0; n * n];
        for (i, &source) in self.active.iter().enumerate() {
            let mut row: Vec<f64> = (0..m).map(|j| left[j][i]).collect();
            solve_with_cholesky(&self.factor, &mut row);
            for (value, &other) in row.iter().zip(&self.active) {
                covariance[other * n + source] = *value;
            }
        }
        covariance
    }

    /// e_j at which F, minimised over the active sources to second order, has
    /// risen by `rise`.
    fn upper_limit(&self, j: usize, slope: f64, rise: f64) -> f64 {
        if self.active.contains(&j) {
            return f64::NAN;
        }
        let column = |i: usize| self.hessian[j * self.n_sources + i];
        let mut solved: Vec<f64> = self.active.iter().map(|&i| column(i)).collect();
        solve_with_cholesky(&self.factor, &mut solved);
        let shared: f64 = self.active.iter().zip(&solved).map(|(&i, s)| column(i) * s).sum();
        let curvature = (column(j) - shared).max(0.0);
        let slope = slope.max(0.0);
        // slope x + curvature x²/2 = rise
        2.0 * rise / (slope + (slope * slope + 2.0 * curvature * rise).sqrt())
    }
}
