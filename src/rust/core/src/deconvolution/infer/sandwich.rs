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

use super::limits::limits;
use super::{over_samples, side_by_side, stacked};
use crate::base::error::CoreError;
use crate::base::numbers::quadratic;
use crate::base::parallel::Monitor;
use crate::deconvolution::evaluate::Pairs;
use crate::deconvolution::likelihood::{Block, GeneTerms, Likelihood};
use crate::deconvolution::metrics::fitted_means;
use crate::deconvolution::model::Model;
use crate::matrix::counts::Counts;
use crate::matrix::{from_fn, zeros, Array2, Array3, ArrayView2, Columns};
use crate::nnls::{cholesky, solve_with_cholesky};
use ndarray::s;

/// What is assumed of the variance v_g of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variance {
    /// v = (k − μ)² / (1 − h)², h the leverage: nothing is assumed.
    Robust,
    /// v = φ μ, φ the Pearson dispersion ([`GeneTerms::dispersion`]).
    Quasi,
    /// v = μ.
    Poisson,
}

crate::base::error::named!(Variance, "variance",
    "robust" => Variance::Robust,
    "quasi" => Variance::Quasi,
    "poisson" => Variance::Poisson,
);

/// Uncertainty of all samples.
pub struct Inference {
    /// Of the exposures, sources × sources × samples; 0 for sources at zero.
    pub covariance: Array3<f64>,
    /// φ per sample.
    pub dispersion: Vec<f64>,
    /// Upper limits of the sources at zero, sources × samples; NaN for active ones.
    pub limits: Array2<f64>,
    /// Fall of twice the log-likelihood per unit of χ²₁, sources × samples.
    pub scales: Array2<f64>,
}

/// Uncertainty of one sample.
struct SampleInference {
    covariance: Vec<f64>,
    dispersion: f64,
    limits: Vec<f64>,
    scales: Vec<f64>,
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
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    exposures: ArrayView2<'_, f64>,
    variance: Variance,
    fall: f64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Inference, CoreError> {
    let n = likelihood.model().n_sources();
    let mut samples: Vec<SampleInference> = Vec::with_capacity(counts.n_samples());
    let work = |block: Block<'_>, _| Ok(infer_block(&block, variance, fall));
    let take = |block| samples.extend(block);
    over_samples(likelihood, counts, exposures, threads, monitor, work, take)?;
    Ok(Inference {
        dispersion: samples.iter().map(|s| s.dispersion).collect(),
        limits: side_by_side(samples.iter().map(|s| s.limits.clone()), n),
        scales: side_by_side(samples.iter().map(|s| s.scales.clone()), n),
        covariance: stacked(samples.into_iter().map(|s| s.covariance), n),
    })
}

fn infer_block(block: &Block<'_>, variance: Variance, fall: f64) -> Vec<SampleInference> {
    let equations = Equations::at(block, &means(block));
    let n_sources = block.model.n_sources();
    let phi: Vec<f64> = (0..block.len()).map(|i| equations.dispersion(i)).collect();
    let middles = match variance {
        Variance::Robust => equations.robust_middles(&equations.robust_scores(&equations.hats())),
        Variance::Quasi => equations.grams(|i, g| phi[i] * equations.terms[i].expected[g]),
        Variance::Poisson => equations.grams(|i, g| equations.terms[i].expected[g]),
    };
    let scales: Vec<Vec<f64>> = (0..block.len())
        .map(|i| match variance {
            Variance::Robust => equations.information[i].scales(&middles[i]),
            Variance::Quasi => vec![phi[i]; n_sources],
            Variance::Poisson => vec![1.0; n_sources],
        })
        .collect();
    let limits = limits(block, &equations, &scales, fall);
    let rest = scales.into_iter().zip(limits);
    rest.enumerate()
        .map(|(i, (scales, limits))| SampleInference {
            covariance: equations.information[i].sandwich(&middles[i]),
            dispersion: phi[i],
            limits,
            scales,
        })
        .collect()
}

/// Fitted means per sample, over design rows.
pub(super) fn means(block: &Block<'_>) -> Vec<Vec<f64>> {
    block.points.iter().map(|point| fitted_means(block.model, point)).collect()
}

/// The estimating equations of the samples of a block, at their fits.
pub(super) struct Equations<'b> {
    model: &'b Model,
    points: &'b [Vec<f64>],
    pub terms: Vec<GeneTerms>,
    /// J per sample.
    pub information: Vec<ActiveInverse>,
}

impl<'b> Equations<'b> {
    pub fn at(block: &'b Block<'_>, means: &[Vec<f64>]) -> Self {
        let samples = block.samples.iter().zip(means);
        let terms = samples.map(|(sample, mean)| sample.gene_terms(mean)).collect();
        let (model, points) = (block.model, &block.points[..]);
        let mut equations = Equations { model, points, terms, information: Vec::new() };
        let information = equations.grams(|i, g| equations.terms[i].information[g]);
        equations.information = equations.inverses(information);
        equations
    }

    /// φ of sample `i`.
    pub fn dispersion(&self, i: usize) -> f64 {
        self.terms[i].dispersion(self.information[i].active.len())
    }

    /// Expected information per sample.
    pub fn hats(&self) -> Vec<Vec<f64>> {
        self.grams(|i, g| self.terms[i].hat[g])
    }

    /// score / (1 − h), design rows × samples, with the leverages h from the
    /// expected information `hats`.
    pub fn robust_scores(&self, hats: &[Vec<f64>]) -> Array2<f64> {
        let inverses = self.inverses(hats.to_vec());
        let mut scores = quadratic_forms(self.model, inverses.iter().map(ActiveInverse::inverse));
        for (i, terms) in self.terms.iter().enumerate() {
            let genes = terms.score.iter().zip(&terms.hat);
            for (form, (score, hat)) in scores.col_mut(i).iter_mut().zip(genes) {
                *form = score / (1.0 - (hat * *form).min(LARGEST_LEVERAGE));
            }
        }
        scores
    }

    /// V per sample, from [`robust_scores`](Self::robust_scores).
    pub fn robust_middles(&self, scores: &Array2<f64>) -> Vec<Vec<f64>> {
        self.grams(|i, g| scores[(g, i)].powi(2))
    }

    /// Aᵀ diag(v) A per sample, v_g = value(sample, g).
    fn grams(&self, value: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
        let (n_rows, n_sources) = self.model.design().dim();
        let values = from_fn((n_rows, self.terms.len()), |g, i| value(i, g));
        let mut pairs = Pairs::new(self.model.design());
        let mut sums = zeros((Pairs::count(n_sources), self.terms.len()));
        for genes in self.model.gene_blocks() {
            let rows = s![genes, ..];
            let design = self.model.design().slice(rows);
            pairs.add_products(&design, &values.slice(rows), &mut sums);
        }
        (0..self.terms.len()).map(|i| Pairs::to_matrix(sums.col(i), n_sources)).collect()
    }

    fn inverses(&self, matrices: Vec<Vec<f64>>) -> Vec<ActiveInverse> {
        let pairs = matrices.into_iter().zip(self.points);
        pairs.map(|(matrix, point)| ActiveInverse::new(matrix, point)).collect()
    }
}

/// a_gᵀ M a_g per design row, a column for each M (sources × sources).
fn quadratic_forms(
    model: &Model,
    matrices: impl ExactSizeIterator<Item = Vec<f64>>,
) -> Array2<f64> {
    let n_pairs = Pairs::count(model.n_sources());
    let mut coefficients = zeros((n_pairs, matrices.len()));
    for (i, matrix) in matrices.enumerate() {
        Pairs::coefficients(&matrix, model.n_sources(), coefficients.col_mut(i));
    }
    let mut pairs = Pairs::new(model.design());
    let mut forms = zeros((model.n_rows(), coefficients.ncols()));
    for genes in model.gene_blocks() {
        let rows = s![genes, ..];
        let design = model.design().slice(rows);
        pairs.forms(&design, &coefficients, &mut forms.slice_mut(rows));
    }
    forms
}

/// The Cholesky factor of J on the active set.
pub(super) struct ActiveInverse {
    n_sources: usize,
    active: Vec<usize>,
    /// J, sources × sources.
    pub(super) matrix: Vec<f64>,
    factor: Vec<f64>,
}

impl ActiveInverse {
    /// On the sources that `point` does not have at zero and that counts tell of: a fit that
    /// ended early may have left one without a count above zero.
    pub(super) fn new(matrix: Vec<f64>, point: &[f64]) -> Self {
        let n_sources = point.len();
        let told = |&j: &usize| point[j] > 0.0 && matrix[j * n_sources + j] > 0.0;
        let active: Vec<usize> = (0..n_sources).filter(told).collect();
        let entry = |i: usize, j: usize| matrix[j * n_sources + i];
        let mut factor: Vec<f64> =
            active.iter().flat_map(|&j| active.iter().map(move |&i| entry(i, j))).collect();
        cholesky(&mut factor, active.len());
        ActiveInverse { n_sources, active, matrix, factor }
    }

    /// J⁻¹ on the active set, 0 elsewhere: the leverage of gene g, the share of its
    /// count in its own fit, is hat_g a_gᵀ J⁻¹ a_g.
    pub(super) fn inverse(&self) -> Vec<f64> {
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
    pub(super) fn sandwich(&self, middle: &[f64]) -> Vec<f64> {
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
                self.active.iter().map(|&i| self.matrix[j * n + i]).collect();
            solve_with_cholesky(&self.factor, &mut solved);
            for (&i, value) in self.active.iter().zip(&solved) {
                direction[i] = -value;
            }
        }
        direction
    }

    /// dᵀVd / dᵀJd per source.
    fn scales(&self, middle: &[f64]) -> Vec<f64> {
        (0..self.n_sources)
            .map(|j| {
                let direction = self.direction(j);
                let ratio = quadratic(middle, &direction) / quadratic(&self.matrix, &direction);
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
