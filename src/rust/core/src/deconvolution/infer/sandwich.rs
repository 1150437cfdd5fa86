//! How sure the exposures of a sample are.
//!
//! On the active set F (sources with e_j > 0) the estimating equations
//! Σ_g w_g a_g (k_g/μ_g − 1) = 0 give the sandwich Var(e_F) = J⁻¹ V J⁻¹ with
//! J = A_Fᵀ diag(w k/μ²) A_F and V = A_Fᵀ diag(w² v/μ²) A_F.  A source at zero
//! has no standard error but an upper limit: where the log-likelihood has fallen
//! by a given amount on the path that profiles it to second order.
//!
//! A likelihood that is wrong about the variance of counts is wrong about its
//! own falls by the factor scale_j = dᵀVd / dᵀJd, d = (−J_FF⁻¹ J_Fj, 1) the
//! direction in which source j moves the others: falls are measured in units of
//! it (the adjusted likelihood ratio of a misspecified model, Kent 1982).

use super::limits::follow;
use crate::counts::Counts;
use crate::deconvolution::evaluate::Pairs;
use crate::deconvolution::likelihood::Likelihood;
use crate::deconvolution::metrics::fitted_means;
use crate::deconvolution::model::{Model, GENE_BLOCK};
use crate::deconvolution::SAMPLE_BLOCK;
use crate::error::{check_length, CoreError};
use crate::nnls::{cholesky, solve_with_cholesky};
use crate::numbers::dot;
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
    /// Fall of twice the log-likelihood per unit of χ²₁, per source.
    pub scales: Vec<f64>,
}

/// A gene that alone determines a type has leverage 1 and no residual to tell
/// its variance.
pub(super) const LARGEST_LEVERAGE: f64 = 0.9;

/// Uncertainty of every sample at its fitted exposures (sources × samples).
/// `fall` is the fall of twice the log-likelihood, in units of its scale, that
/// marks an upper limit: 2.71 for 95 %.
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
    let mut samples = Vec::with_capacity(range.len());
    let mut count = vec![0.0; model.n_rows()];
    for index in range {
        counts.column_into(index, &mut count);
        let point: Vec<f64> = (0..model.n_sources()).map(|j| exposures[(j, index)]).collect();
        let sample = likelihood.sample(index, &count, &point);
        terms.push(likelihood.gene_terms(&sample, &fitted_means(model, &point)));
        samples.push(sample);
        points.push(point);
    }
    let active = |point: &[f64]| -> Vec<bool> { point.iter().map(|&e| e > 0.0).collect() };
    let information = weighted_grams(model, terms.iter().map(|t| &t.information[..]));
    let inverses: Vec<ActiveInverse> = information
        .into_iter()
        .zip(&points)
        .map(|(hessian, point)| ActiveInverse::new(hessian, &active(point)))
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
    let leverages = match variance {
        Variance::Robust => {
            let hats = weighted_grams(model, terms.iter().map(|t| &t.hat[..]));
            let inverses = hats
                .into_iter()
                .zip(&points)
                .map(|(hat, point)| ActiveInverse::new(hat, &active(point)).inverse());
            quadratic_forms(model, inverses)
        }
        _ => Mat::new(),
    };
    let spreads: Vec<Vec<f64>> = terms
        .iter()
        .enumerate()
        .map(|(i, t)| match variance {
            Variance::Robust => {
                let genes = t.score.iter().zip(&t.hat).zip(leverages.col_as_slice(i));
                genes
                    .map(|((score, hat), form)| {
                        (score / (1.0 - (hat * form).min(LARGEST_LEVERAGE))).powi(2)
                    })
                    .collect()
            }
            Variance::Quasi => t.expected.iter().map(|v| dispersions[i] * v).collect(),
            Variance::Poisson => t.expected.clone(),
        })
        .collect();
    let middles = weighted_grams(model, spreads.iter().map(|s| &s[..]));
    let mut answers: Vec<SampleInference> = (0..points.len())
        .map(|i| SampleInference {
            covariance: inverses[i].sandwich(&middles[i]),
            dispersion: dispersions[i],
            limits: vec![f64::NAN; model.n_sources()],
            scales: match variance {
                Variance::Robust => inverses[i].scales(&middles[i]),
                Variance::Quasi => vec![dispersions[i]; model.n_sources()],
                Variance::Poisson => vec![1.0; model.n_sources()],
            },
        })
        .collect();
    let mut paths = Vec::new();
    for (i, answer) in answers.iter().enumerate() {
        let slopes = negative_scores(model, &terms[i].score);
        for j in (0..model.n_sources()).filter(|&j| points[i][j] == 0.0) {
            let rise = 0.5 * fall * answer.scales[j];
            paths.push(inverses[i].path(i, j, slopes[j], rise));
        }
    }
    follow(likelihood, &samples, &points, &mut paths);
    for path in paths {
        answers[path.sample].limits[path.source] = path.end;
    }
    answers
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
pub(super) fn weighted_grams<'a>(
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

/// a_gᵀ M a_g per design row, a column for each M (sources × sources).
fn quadratic_forms(model: &Model, matrices: impl ExactSizeIterator<Item = Vec<f64>>) -> Mat<f64> {
    let n_pairs = Pairs::count(model.n_sources());
    let mut coefficients = Mat::zeros(n_pairs, matrices.len());
    for (i, matrix) in matrices.enumerate() {
        Pairs::coefficients(&matrix, model.n_sources(), coefficients.col_as_slice_mut(i));
    }
    let mut pairs = Pairs::new(model.design());
    let mut forms = Mat::zeros(model.n_rows(), coefficients.ncols());
    for start in (0..model.n_rows()).step_by(GENE_BLOCK) {
        let rows = GENE_BLOCK.min(model.n_rows() - start);
        let design = model.design().subrows(start, rows);
        pairs.forms(design, coefficients.as_ref(), forms.as_mut().subrows_mut(start, rows));
    }
    forms
}

/// The Cholesky factor of J on the active set.
pub(super) struct ActiveInverse {
    pub(super) n_sources: usize,
    active: Vec<usize>,
    pub(super) hessian: Vec<f64>,
    factor: Vec<f64>,
}

impl ActiveInverse {
    pub(super) fn new(hessian: Vec<f64>, active: &[bool]) -> Self {
        let n_sources = active.len();
        let active: Vec<usize> = (0..n_sources).filter(|&j| active[j]).collect();
        let entry = |i: usize, j: usize| hessian[j * n_sources + i];
        let mut factor: Vec<f64> =
            active.iter().flat_map(|&j| active.iter().map(move |&i| entry(i, j))).collect();
        cholesky(&mut factor, active.len());
        ActiveInverse { n_sources, active, hessian, factor }
    }

    /// J⁻¹ on the active set, 0 elsewhere: the leverage of gene g, the share of its
    /// count in its own fit, is hat_g a_gᵀ J⁻¹ a_g.
    fn inverse(&self) -> Vec<f64> {
        let (n, m) = (self.n_sources, self.active.len());
        let mut inverse = vec![0.0; n * n];
        for (at, &j) in self.active.iter().enumerate() {
            let mut column = vec![0.0; m];
            column[at] = 1.0;
            solve_with_cholesky(&self.factor, &mut column);
            for (value, &i) in column.iter().zip(&self.active) {
                inverse[j * n + i] = *value;
            }
        }
        inverse
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

    /// d = (−J_FF⁻¹ J_Fj, 1): how the active sources other than j follow it.
    pub(super) fn direction(&self, j: usize) -> Vec<f64> {
        let n = self.n_sources;
        let mut direction = vec![0.0; n];
        direction[j] = 1.0;
        if self.active.contains(&j) {
            // Column j of J⁻¹ is d (J⁻¹)_jj.
            let mut column: Vec<f64> =
                self.active.iter().map(|&i| if i == j { 1.0 } else { 0.0 }).collect();
            solve_with_cholesky(&self.factor, &mut column);
            let at = self.active.iter().position(|&i| i == j).expect("j is active");
            let scale = column[at];
            for (&i, value) in self.active.iter().zip(&column) {
                direction[i] = value / scale;
            }
        } else {
            let mut solved: Vec<f64> =
                self.active.iter().map(|&i| self.hessian[j * n + i]).collect();
            solve_with_cholesky(&self.factor, &mut solved);
            for (&i, value) in self.active.iter().zip(&solved) {
                direction[i] = -value;
            }
        }
        direction
    }

    /// dᵀVd / dᵀJd per source.
    fn scales(&self, middle: &[f64]) -> Vec<f64> {
        let n = self.n_sources;
        let form = |matrix: &[f64], d: &[f64]| -> f64 {
            (0..n).map(|j| d[j] * dot(&matrix[j * n..(j + 1) * n], d)).sum()
        };
        (0..n)
            .map(|j| {
                let direction = self.direction(j);
                let ratio = form(middle, &direction) / form(&self.hessian, &direction);
                // A source that no count tells apart from the others.
                if ratio > 0.0 && ratio.is_finite() {
                    ratio
                } else {
                    1.0
                }
            })
            .collect()
    }
}
