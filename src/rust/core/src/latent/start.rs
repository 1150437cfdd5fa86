//! Where the alternation starts: singular vectors of clipped Pearson residuals.
//!
//! Under independence the mean of gene g in cell i is m_g s_i; the residual
//! (y − m s)/√(m s), clipped at ±√cells, is −√m √s wherever y = 0: a product of two
//! vectors plus a matrix as sparse as the counts.  Subspace iteration never sees
//! more than those.

use super::counts::Counts;
use super::predictor::Side;
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg::{left_singular, svd};
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2};
use pulp::Arch;
use rand_distr::{Distribution, StandardNormal};

/// Extra directions and rounds of the subspace iteration: a start needs no digits.
const OVERSAMPLING: usize = 8;
const ROUNDS: usize = 2;

/// Scores of the cells on `rank` directions (cells × rank), the largest of standard
/// deviation 1.
pub fn scores(counts: &Counts, rank: usize, seed: u64) -> Array2<f64> {
    let residuals = Residuals::new(counts);
    let (n, genes) = (counts.count(Side::Cells), counts.count(Side::Genes));
    let width = (rank + OVERSAMPLING).min(n).min(genes);
    let mut rng = stream(seed, Purpose::Factors, 0);
    let mut left = from_fn((genes, width), |_, _| StandardNormal.sample(&mut rng));
    for _ in 0..ROUNDS {
        let right = residuals.product(Side::Cells, &orthonormal(left));
        left = residuals.product(Side::Genes, &orthonormal(right));
    }
    let right = residuals.product(Side::Cells, &orthonormal(left));
    let mut out = zeros((n, rank));
    let Some(found) = svd(&right) else { return out };
    let first = found.values[0].max(f64::MIN_POSITIVE);
    for k in 0..rank.min(width) {
        let scale = found.values[k] / first * (n as f64).sqrt();
        for i in 0..n {
            out[(i, k)] = scale * found.left[(i, k)];
        }
    }
    out
}

fn orthonormal(x: Array2<f64>) -> Array2<f64> {
    left_singular(&x).map_or(x, |(left, _)| left)
}

/// Clipped residuals: sparse plus −√m √sᵀ.
struct Residuals<'a> {
    counts: &'a Counts,
    /// √s of cells and √m of genes.
    roots: [Vec<f64>; 2],
    clip: f64,
}

impl<'a> Residuals<'a> {
    fn new(counts: &'a Counts) -> Self {
        let (cells, genes) = (counts.totals(Side::Cells), counts.totals(Side::Genes));
        let total: f64 = cells.iter().sum();
        let roots = [
            cells.iter().map(|v| v.sqrt()).collect(),
            genes.iter().map(|v| (v / total).sqrt()).collect(),
        ];
        Residuals { counts, roots, clip: (cells.len() as f64).sqrt() }
    }

    /// R' times genes × width, or R times cells × width.
    fn product(&self, side: Side, other: &ArrayRef2<f64>) -> Array2<f64> {
        let lines = self.counts.by(side);
        let (own, across) = match side {
            Side::Cells => (&self.roots[0], &self.roots[1]),
            Side::Genes => (&self.roots[1], &self.roots[0]),
        };
        let width = other.ncols();
        let rows: Vec<f64> =
            (0..other.nrows()).flat_map(|i| (0..width).map(move |k| other[(i, k)])).collect();
        let common: Vec<f64> = (0..width)
            .map(|k| across.iter().enumerate().map(|(i, root)| root * rows[i * width + k]).sum())
            .collect();
        let mut out = zeros((own.len(), width));
        let mut line = vec![0.0; width];
        let mut add = |item: usize, root: f64| {
            line.iter_mut().zip(&common).for_each(|(o, c)| *o = -root * c);
            let (genes, counts) = lines.column(item);
            for (&row, &y) in genes.iter().zip(counts) {
                let expected = root * across[row as usize];
                let residual = (y / expected - expected).min(self.clip);
                let value = residual + expected;
                let row = &rows[row as usize * width..][..width];
                line.iter_mut().zip(row).for_each(|(o, v)| *o += value * v);
            }
            line.iter().enumerate().for_each(|(k, v)| out[(item, k)] = *v);
        };
        Arch::new().dispatch(|| own.iter().enumerate().for_each(|(item, &root)| add(item, root)));
        out
    }
}
