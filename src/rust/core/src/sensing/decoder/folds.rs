//! Cross-validation of ridge and what follows it, from sums over folds: no fit
//! is ever made from the samples themselves.

use super::ridge::Ridge;
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg::{self, Cholesky};
use crate::matrix::{from_fn, Array2, ArrayRef2};
use ndarray::s;
use rand::seq::SliceRandom;
use std::ops::Range;

const FOLDS: usize = 5;

/// Samples in random order, cut into folds.
pub(super) struct Folds {
    pub(super) order: Vec<usize>,
    pub(super) ranges: Vec<Range<usize>>,
}

impl Folds {
    pub(super) fn draw(n: usize, seed: u64) -> Self {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut stream(seed, Purpose::Splits, 0));
        let count = FOLDS.min(n);
        let ranges = (0..count).map(|f| f * n / count..(f + 1) * n / count).collect();
        Folds { order, ranges }
    }

    /// Columns in the order of the folds.
    pub(super) fn arrange(&self, x: &ArrayRef2<f64>) -> Array2<f64> {
        from_fn(x.dim(), |i, j| x[(i, self.order[j])])
    }
}

/// Ridge without each fold in turn, at the penalty of the whole.
pub(super) struct FoldedRidge {
    noise: f64,
    pub(super) folds: Folds,
    /// z, directions × samples in the order of the folds.
    pub(super) z: Array2<f64>,
    without: Vec<Without>,
}

struct Without {
    range: Range<usize>,
    z_mean: Vec<f64>,
    factor: Cholesky,
}

/// Some genes' ridge without a fold, and its expected squared error on it per
/// gene.
pub(super) struct FoldFit {
    pub(super) mean: Vec<f64>,
    /// Genes × directions.
    pub(super) weights: Array2<f64>,
    pub(super) z_mean: Vec<f64>,
    pub(super) error: Vec<f64>,
}

impl FoldedRidge {
    /// `None` if a fold leaves nothing to learn from.
    pub(super) fn new(ridge: &Ridge, noise: f64, folds: Folds) -> Option<Self> {
        let z = folds.arrange(&ridge.z);
        let (k, n) = z.dim();
        let without = |range: &Range<usize>| {
            let held = z.slice(s![.., range.clone()]);
            let rest = (n - range.len()) as f64;
            // z has mean 0 over all samples
            let z_mean: Vec<f64> = held.rows().into_iter().map(|row| -row.sum() / rest).collect();
            let own = linalg::product(&held, &held.t());
            let n_noise = n as f64 * noise;
            let gram = from_fn((k, k), |i, j| {
                let all = if i == j { ridge.scale[i] - n_noise + rest * noise } else { 0.0 };
                all - own[(i, j)] - rest * z_mean[i] * z_mean[j]
            });
            Some(Without { range: range.clone(), z_mean, factor: Cholesky::new(gram)? })
        };
        let without = folds.ranges.iter().map(without).collect::<Option<Vec<_>>>()?;
        Some(FoldedRidge { noise, folds, z, without })
    }

    /// Of genes × samples in the order of the folds.
    pub(super) fn fit(&self, x: &ArrayRef2<f64>) -> Vec<FoldFit> {
        let (genes, n) = x.dim();
        let sums: Vec<f64> = x.rows().into_iter().map(|row| row.sum()).collect();
        let cross = linalg::product(&self.z, &x.t());
        let fit = |own: &Without| {
            let held_x = x.slice(s![.., own.range.clone()]);
            let held_z = self.z.slice(s![.., own.range.clone()]);
            let rest = (n - own.range.len()) as f64;
            let mean: Vec<f64> =
                (0..genes).map(|g| (sums[g] - held_x.row(g).sum()) / rest).collect();
            let held_cross = linalg::product(&held_z, &held_x.t());
            let mut weights = from_fn(cross.dim(), |i, g| {
                cross[(i, g)] - held_cross[(i, g)] - rest * own.z_mean[i] * mean[g]
            });
            own.factor.solve_in_place(&mut weights);
            let weights = weights.reversed_axes();
            let fitted = linalg::product(&weights, &held_z);
            let at_mean: Vec<f64> = weights
                .rows()
                .into_iter()
                .map(|row| row.iter().zip(&own.z_mean).map(|(b, z)| b * z).sum())
                .collect();
            let error = |g: usize| {
                let level = mean[g] - at_mean[g];
                let residuals = held_x.row(g);
                let residuals = residuals.iter().zip(fitted.row(g)).map(|(x, fit)| x - level - fit);
                let row = weights.row(g);
                residuals.map(|r| r * r).sum::<f64>()
                    + own.range.len() as f64 * self.noise * row.dot(&row)
            };
            let error = (0..genes).map(error).collect();
            FoldFit { mean, weights, z_mean: own.z_mean.clone(), error }
        };
        self.without.iter().map(fit).collect()
    }
}
