//! How sure the exposures of a sample are.
//!
//! On the active set F (sources with e_j > 0) the estimating equations
//! Σ_g w_g a_g (k_g/μ_g − 1) = 0 give the sandwich Var(e_F) = J⁻¹ V J⁻¹ with
//! J = A_Fᵀ diag(w k/μ²) A_F and V = A_Fᵀ diag(w² v/μ²) A_F.  A source at zero
//! has no standard error but an upper limit: where the profile log-likelihood,
//! expanded to second order at the optimum, has fallen by a given amount.

use super::certificate::Objective;
use super::evaluate::{Evaluator, Pairs};
use super::metrics::fitted_means;
use super::model::{Model, SampleBlock, GENE_BLOCK};
use super::SAMPLE_BLOCK;
use crate::counts::Counts;
use crate::error::{check_length, CoreError};
use crate::nnls::{cholesky, solve_with_cholesky};
use crate::parallel::{with_threads, Monitor};
use faer::{Mat, MatRef};
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

/// Uncertainty of every sample at its fitted exposures (sources × samples).
/// `fall` is the fall of twice the log-likelihood, in units of the dispersion
/// (of 1 for `Variance::Poisson`), that marks an upper limit: 2.71 for 95 %.
///
/// # Errors
/// `Shape`, `EmptySample`, `Threads`, `Interrupted`.
pub fn infer(
    model: &Model,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    variance: Variance,
    fall: f64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<SampleInference>, CoreError> {
    check_length(
        "exposures",
        model.n_sources() * counts.n_samples(),
        exposures.nrows() * exposures.ncols(),
    )?;
    let starts: Vec<usize> = (0..counts.n_samples()).step_by(SAMPLE_BLOCK).collect();
    let blocks: Vec<Vec<SampleInference>> = with_threads(threads, || {
        starts
            .par_iter()
            .map(|&start| {
                monitor.check()?;
                let range = start..(start + SAMPLE_BLOCK).min(counts.n_samples());
                let answers = infer_block(model, counts, exposures, range.clone(), variance, fall)?;
                monitor.advance(range.len());
                Ok(answers)
            })
            .collect::<Result<_, CoreError>>()
    })??;
    Ok(blocks.into_iter().flatten().collect())
}

fn infer_block(
    model: &Model,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    range: std::ops::Range<usize>,
    variance: Variance,
    fall: f64,
) -> Result<Vec<SampleInference>, CoreError> {
    let block = SampleBlock::read(model, counts, range.clone())?;
    let active: Vec<usize> = (0..block.len()).collect();
    let points = exposures.subcols(range.start, range.len());
    let terms = Evaluator::new(model.design(), block.len()).poisson(&block, &active, points, true);
    let mut information = Vec::with_capacity(block.len());
    let mut spread = Mat::<f64>::zeros(model.n_rows(), block.len());
    let mut count = vec![0.0; model.n_rows()];
    for (column, sample) in range.clone().enumerate() {
        counts.column_into(sample, &mut count);
        let point: Vec<f64> = (0..model.n_sources()).map(|j| points[(j, column)]).collect();
        let fitted = fitted_means(model, &point);
        let inverse = ActiveInverse::new(&terms[column].hessian, &point);
        let dispersion = dispersion(model, &count, &fitted, inverse.active.len());
        let leverage = match variance {
            Variance::Robust => inverse.leverages(model, &fitted),
            _ => Vec::new(),
        };
        for g in 0..model.n_used() {
            let (k, mu, w) = (count[g], fitted[g], model.weights()[g]);
            let v = match variance {
                Variance::Robust => ((k - mu) / (1.0 - leverage[g].min(0.99))).powi(2),
                Variance::Quasi => dispersion * mu,
                Variance::Poisson => mu,
            };
            // μ = 0 only where every active source is silent
            spread[(g, column)] = if mu > 0.0 { w * w * v / (mu * mu) } else { 0.0 };
        }
        information.push((inverse, dispersion));
    }
    let middles = weighted_grams(model, spread.as_ref());
    Ok(information
        .into_iter()
        .enumerate()
        .map(|(column, (inverse, dispersion))| {
            let scale = if variance == Variance::Poisson { 1.0 } else { dispersion };
            let objective = Objective {
                cost: model.cost(),
                n_types: model.n_types(),
                l1: 0.0,
                l2: 0.0,
                total: block.totals()[column],
            };
            let rise = 0.5 * fall * scale;
            let limits = (0..model.n_sources())
                .map(|j| inverse.upper_limit(j, &objective, &terms[column].pull, rise))
                .collect();
            let covariance = inverse.sandwich(&middles[column]);
            SampleInference { covariance, dispersion, limits }
        })
        .collect())
}

/// A ᵀdiag(v) A for each column v of `values` (design rows × samples).
fn weighted_grams(model: &Model, values: MatRef<'_, f64>) -> Vec<Vec<f64>> {
    let mut pairs = Pairs::new(model.design());
    let mut sums = Mat::zeros(Pairs::count(model.n_sources()), values.ncols());
    for start in (0..model.n_rows()).step_by(GENE_BLOCK) {
        let rows = GENE_BLOCK.min(model.n_rows() - start);
        let design = model.design().subrows(start, rows);
        pairs.add_products(design, values.subrows(start, rows), sums.as_mut());
    }
    (0..values.ncols())
        .map(|column| Pairs::to_matrix(sums.col_as_slice(column), model.n_sources()))
        .collect()
}

fn dispersion(model: &Model, counts: &[f64], fitted: &[f64], n_active: usize) -> f64 {
    let used = counts.iter().zip(fitted).zip(model.weights()).take(model.n_used());
    let pearson: f64 = used
        .filter(|((_, &mu), _)| mu > 0.0)
        .map(|((k, mu), w)| w * (k - mu) * (k - mu) / mu)
        .sum();
    pearson / (model.n_used().saturating_sub(n_active)).max(1) as f64
}

/// The Cholesky factor of J on the active set.
struct ActiveInverse {
    n_sources: usize,
    active: Vec<usize>,
    hessian: Vec<f64>,
    factor: Vec<f64>,
}

impl ActiveInverse {
    fn new(hessian: &[f64], point: &[f64]) -> Self {
        let n_sources = point.len();
        let active: Vec<usize> = (0..n_sources).filter(|&j| point[j] > 0.0).collect();
        let mut factor: Vec<f64> = active
            .iter()
            .flat_map(|&j| active.iter().map(move |&i| hessian[j * n_sources + i]))
            .collect();
        cholesky(&mut factor, active.len());
        ActiveInverse { n_sources, active, hessian: hessian.to_vec(), factor }
    }

    /// h_g = (w_g/μ_g) a_gᵀ J⁻¹ a_g: the share of count g in its own fit.
    fn leverages(&self, model: &Model, fitted: &[f64]) -> Vec<f64> {
        let m = self.active.len();
        let mut row = vec![0.0; m];
        (0..model.n_used())
            .map(|g| {
                if fitted[g] <= 0.0 {
                    return 0.0;
                }
                for (entry, &j) in row.iter_mut().zip(&self.active) {
                    *entry = model.design()[(g, j)];
                }
                // L z = a, then a' J⁻¹ a = ‖z‖²
                let mut norm = 0.0;
                for j in 0..m {
                    row[j] /= self.factor[j * m + j];
                    norm += row[j] * row[j];
                    for i in j + 1..m {
                        row[i] -= self.factor[j * m + i] * row[j];
                    }
                }
                model.weights()[g] * norm / fitted[g]
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
    fn upper_limit(&self, j: usize, objective: &Objective<'_>, pull: &[f64], rise: f64) -> f64 {
        if self.active.contains(&j) {
            return f64::NAN;
        }
        let column = |i: usize| self.hessian[j * self.n_sources + i];
        let mut solved: Vec<f64> = self.active.iter().map(|&i| column(i)).collect();
        solve_with_cholesky(&self.factor, &mut solved);
        let shared: f64 = self.active.iter().zip(&solved).map(|(&i, s)| column(i) * s).sum();
        let curvature = (column(j) - shared).max(0.0);
        let slope = (objective.slope(j, 0.0) - pull[j]).max(0.0);
        // slope x + curvature x²/2 = rise
        2.0 * rise / (slope + (slope * slope + 2.0 * curvature * rise).sqrt())
    }
}
