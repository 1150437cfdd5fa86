//! Probabilistic principal components by expectation-maximisation, for values of which
//! some are missing.
//!
//! With A = [V W] and latent t_i = (γ_i, z_i), of which γ has a flat prior:
//!
//! ```text
//!   E   P_i = Σ_observed a_g a_gᵀ / σ² + diag(0, I),  t̂_i = P_i⁻¹ Σ a_g (x_gi − b_g c_i) / σ²
//!   M   (b_g, w_g): least squares of x_gi − v_g γ_i on (c_i, z_i) under the posterior moments
//!       σ²: the mean of the expected squared residuals
//! ```
//!
//! After each M-step what the posterior of z has of a covariance other than I is moved into
//! W, and of a mean other than 0 into b (parameter expansion, Liu, Rubin and Wu 1998).  The likelihood of the observed values never falls.

use super::values::least_squares;
use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::matrix::linalg::{add_product, product, svd};
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2, ArrayView2, Columns};
use crate::nnls::{cholesky, solve_with_cholesky};
use rayon::prelude::*;

const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;

/// When to end.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub max_iter: usize,
    /// Relative increase of the log-likelihood in an iteration.
    pub tolerance: f64,
}

/// A model, in the units of the values.
#[derive(Clone)]
pub struct Model {
    /// Genes × rank.
    pub loadings: Array2<f64>,
    /// Genes × covariates of cells.
    pub of_cells: Array2<f64>,
    pub variance: f64,
}

pub struct Fit {
    pub model: Model,
    /// Posterior means: cells × rank, and cells × covariates of genes (in an orthonormal
    /// basis of their span).
    pub scores: Array2<f64>,
    pub of_genes: Array2<f64>,
    /// Log-likelihood of the observed values, by iteration.
    pub trace: Vec<f64>,
    pub converged: bool,
}

/// Values, genes × cells; NaN where missing.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub x: ArrayView2<'a, f64>,
    pub of_cells: ArrayView2<'a, f64>,
    /// Orthonormal columns.
    pub of_genes: ArrayView2<'a, f64>,
}

/// The posterior of one cell.
struct Posterior {
    mean: Vec<f64>,
    /// Column-major.
    covariance: Vec<f64>,
    log_likelihood: f64,
    observed: usize,
}

impl Observed<'_> {
    fn posterior(&self, model: &Model, design: &Array2<f64>, cell: usize) -> Posterior {
        let (q, f) = (self.of_genes.ncols(), design.nrows());
        let inverse = 1.0 / model.variance;
        let mut precision = vec![0.0; f * f];
        let mut mean = vec![0.0; f];
        let (mut square, mut observed) = (0.0, 0);
        for (gene, value) in self.x.column(cell).iter().enumerate() {
            if value.is_nan() {
                continue;
            }
            let mut left = *value;
            for j in 0..self.of_cells.ncols() {
                left -= model.of_cells[(gene, j)] * self.of_cells[(cell, j)];
            }
            observed += 1;
            square += left * left;
            let line = design.col(gene);
            for (a, &value) in line.iter().enumerate() {
                mean[a] += value * left;
                for (p, &other) in precision[a * f + a..(a + 1) * f].iter_mut().zip(&line[a..]) {
                    *p += value * other;
                }
            }
        }
        precision.iter_mut().for_each(|v| *v *= inverse);
        let explained = mean.clone();
        mean.iter_mut().for_each(|v| *v *= inverse);
        for k in q..f {
            precision[k * f + k] += 1.0;
        }
        cholesky(&mut precision, f);
        let log_determinant: f64 = (0..f).map(|k| 2.0 * precision[k * f + k].ln()).sum();
        solve_with_cholesky(&precision, &mut mean);
        let mut covariance = vec![0.0; f * f];
        for k in 0..f {
            let column = &mut covariance[k * f..(k + 1) * f];
            column[k] = 1.0;
            solve_with_cholesky(&precision, column);
        }
        let along: f64 = explained.iter().zip(&mean).map(|(a, b)| a * b).sum();
        let dimensions = observed as f64 - q as f64;
        let log_likelihood = -0.5
            * (dimensions * LN_TWO_PI
                + observed as f64 * model.variance.ln()
                + log_determinant
                + (square - along) * inverse);
        Posterior { mean, covariance, log_likelihood, observed }
    }

    /// [V W], a column per gene.
    fn design(&self, model: &Model) -> Array2<f64> {
        let (q, k) = (self.of_genes.ncols(), model.loadings.ncols());
        from_fn((q + k, self.x.nrows()), |row, gene| {
            if row < q {
                self.of_genes[(gene, row)]
            } else {
                model.loadings[(gene, row - q)]
            }
        })
    }

    fn posteriors(
        &self,
        model: &Model,
        monitor: &Monitor<'_>,
    ) -> Result<Vec<Posterior>, CoreError> {
        let design = self.design(model);
        (0..self.x.ncols())
            .into_par_iter()
            .map(|cell| {
                monitor.check()?;
                Ok(self.posterior(model, &design, cell))
            })
            .collect()
    }

    /// Posterior means of cells under a model: cells × rank, cells × covariates of genes.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn scores(
        &self,
        model: &Model,
        monitor: &Monitor<'_>,
    ) -> Result<(Array2<f64>, Array2<f64>), CoreError> {
        Ok(self.split(&self.posteriors(model, monitor)?, model.loadings.ncols()))
    }

    fn split(&self, posteriors: &[Posterior], rank: usize) -> (Array2<f64>, Array2<f64>) {
        let (n, q) = (posteriors.len(), self.of_genes.ncols());
        (
            from_fn((n, rank), |i, k| posteriors[i].mean[q + k]),
            from_fn((n, q), |i, k| posteriors[i].mean[k]),
        )
    }

    /// The M-step of one gene: its coefficients, loadings and expected squared residuals.
    fn regression(&self, posteriors: &[Posterior], gene: usize, rank: usize) -> (Vec<f64>, f64) {
        let (p, q) = (self.of_cells.ncols(), self.of_genes.ncols());
        let (m, f) = (p + rank, q + rank);
        let mut gram = vec![0.0; m * m];
        let mut right = vec![0.0; m];
        let (mut square, mut design) = (0.0, vec![0.0; m]);
        for (cell, posterior) in posteriors.iter().enumerate() {
            let value = self.x[(gene, cell)];
            if value.is_nan() {
                continue;
            }
            let covariance = |a: usize, b: usize| posterior.covariance[b * f + a];
            let mut left = value;
            let mut spread = 0.0;
            for a in 0..q {
                let v = self.of_genes[(gene, a)];
                left -= v * posterior.mean[a];
                for b in 0..q {
                    spread += v * self.of_genes[(gene, b)] * covariance(a, b);
                }
            }
            for j in 0..p {
                design[j] = self.of_cells[(cell, j)];
            }
            design[p..].copy_from_slice(&posterior.mean[q..]);
            square += left * left + spread;
            for a in 0..m {
                right[a] += design[a] * left;
                for b in a..m {
                    gram[a * m + b] += design[a] * design[b];
                }
            }
            for k in 0..rank {
                // z and the flat part go together under the posterior
                for a in 0..q {
                    right[p + k] -= self.of_genes[(gene, a)] * covariance(q + k, a);
                }
                for l in k..rank {
                    gram[(p + k) * m + p + l] += covariance(q + k, q + l);
                }
            }
        }
        let explained = right.clone();
        cholesky(&mut gram, m);
        solve_with_cholesky(&gram, &mut right);
        let along: f64 = explained.iter().zip(&right).map(|(a, b)| a * b).sum();
        (right, square - along)
    }

    fn maximised(&self, posteriors: &[Posterior], rank: usize) -> Model {
        let (p, q) = (self.of_cells.ncols(), self.of_genes.ncols());
        let genes = self.x.nrows();
        let found: Vec<(Vec<f64>, f64)> = (0..genes)
            .into_par_iter()
            .map(|gene| self.regression(posteriors, gene, rank))
            .collect();
        let observed: usize = posteriors.iter().map(|posterior| posterior.observed).sum();
        let variance = found.iter().map(|(_, square)| square).sum::<f64>() / observed as f64;
        let loadings = from_fn((genes, rank), |g, k| found[g].0[p + k]);
        let f = q + rank;
        // z as N(c Γ, R) for the moment
        let scores = from_fn((posteriors.len(), rank), |i, k| posteriors[i].mean[q + k]);
        let along = least_squares(&self.of_cells, &scores).unwrap_or_else(|| zeros((0, rank)));
        let mut left = scores;
        add_product(&mut left, -1.0, &self.of_cells, &along);
        let mut spread: Array2<f64> = zeros((rank, rank));
        for (i, posterior) in posteriors.iter().enumerate() {
            for k in 0..rank {
                for l in 0..rank {
                    spread[(k, l)] +=
                        posterior.covariance[(q + l) * f + q + k] + left[(i, k)] * left[(i, l)];
                }
            }
        }
        let mut root: Vec<f64> = spread.iter().map(|v| v / posteriors.len() as f64).collect();
        cholesky(&mut root, rank);
        let root = from_fn((rank, rank), |i, j| if i >= j { root[j * rank + i] } else { 0.0 });
        let mut of_cells = from_fn((genes, p), |g, j| found[g].0[j]);
        add_product(&mut of_cells, 1.0, &loadings, &along.t());
        let loadings = product(&loadings, &root);
        Model { loadings, of_cells, variance: variance.max(f64::MIN_POSITIVE) }
    }

    /// From `start` to the maximum.  At the end loadings are turned to be orthogonal, the
    /// longest first, the largest entry of each positive.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn fit(&self, start: Model, stop: Stop, monitor: &Monitor<'_>) -> Result<Fit, CoreError> {
        let rank = start.loadings.ncols();
        let mut model = start;
        let mut trace: Vec<f64> = Vec::new();
        loop {
            let posteriors = self.posteriors(&model, monitor)?;
            let value: f64 = posteriors.iter().map(|p| p.log_likelihood).sum();
            let converged =
                trace.last().is_some_and(|last| value - last <= stop.tolerance * value.abs());
            trace.push(value);
            monitor.advance(1);
            if converged || trace.len() > stop.max_iter {
                model.loadings = principal(&self.clear_of_genes(model.loadings));
                let (scores, of_genes) = self.scores(&model, monitor)?;
                return Ok(Fit { model, scores, of_genes, trace, converged });
            }
            model = self.maximised(&posteriors, rank);
        }
    }

    /// W's part in the span of V says nothing: γ has a flat prior.
    fn clear_of_genes(&self, mut loadings: Array2<f64>) -> Array2<f64> {
        let along = product(&self.of_genes.t(), &loadings);
        add_product(&mut loadings, -1.0, &self.of_genes, &along);
        loadings
    }
}

/// W turned to U S of its singular value decomposition: the same W Wᵀ.
fn principal(loadings: &ArrayRef2<f64>) -> Array2<f64> {
    let Some(found) = svd(loadings) else { return loadings.to_owned() };
    let mut out = found.left;
    for k in 0..out.ncols() {
        let scale = found.values[k];
        let column = out.col_mut(k);
        let largest = column.iter().fold(0.0, |m: f64, &v| if v.abs() > m.abs() { v } else { m });
        let scale = if largest < 0.0 { -scale } else { scale };
        column.iter_mut().for_each(|v| *v *= scale);
    }
    out
}
