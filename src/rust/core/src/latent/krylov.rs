//! Leading eigenvectors of R Rᵀ from products with R alone.
//!
//! Block Krylov iteration with full orthogonalisation and Rayleigh-Ritz steps: the basis
//! grows until the wanted residuals are at rounding level, or it spans the whole space.

use super::predictor::Side;
use super::values::Values;
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg::{add_product, product, spectrum};
use crate::matrix::{from_fn, zeros, Array2, Columns};
use ndarray::s;
use rand_distr::{Distribution, StandardNormal};

/// Directions beyond those wanted.
const OVERSAMPLING: usize = 6;
/// Residual ‖R Rᵀ u − λ u‖ relative to the largest eigenvalue.
const TOLERANCE: f64 = 1e-11;
/// Columns of the basis at which it starts again from its best part.
const LARGEST: usize = 400;
const RESTARTS: usize = 20;

/// The `wanted` largest eigenvalues of R Rᵀ, largest first, and their vectors.
///
/// # Errors
/// `Argument` for values that do not vary, `Interrupted`.
pub fn leading(
    values: &Values<'_>,
    wanted: usize,
    seed: u64,
    monitor: &Monitor<'_>,
) -> Result<(Vec<f64>, Array2<f64>), CoreError> {
    let genes = values.genes();
    let room = (genes - values.taken(Side::Genes)).min(values.cells() - values.taken(Side::Cells));
    let wanted = wanted.min(room);
    let block = (wanted + OVERSAMPLING).min(room);
    let mut rng = stream(seed, Purpose::Projection, 0);
    let start = from_fn((values.cells(), block), |_, _| StandardNormal.sample(&mut rng));
    let mut next = values.product(Side::Genes, start);
    let mut restarts = 0;
    loop {
        let mut basis: Array2<f64> = zeros((genes, 0));
        let mut images: Array2<f64> = zeros((genes, 0));
        loop {
            monitor.check()?;
            let fresh = orthogonalised(&basis, next);
            if fresh.ncols() > 0 {
                let rows = values.product(Side::Cells, fresh.clone());
                let image = values.product(Side::Genes, rows);
                basis = beside(&basis, &fresh);
                images = beside(&images, &image);
                next = image;
            } else {
                next = zeros((genes, 0));
            }
            // nothing is left of the values beside what X and V take, or it is no number
            check_value(
                "dimensions in which the values vary",
                basis.ncols() as f64,
                "above 0",
                |v| v > 0.0,
            )?;
            let projected = product(&basis.t(), &images);
            let ritz = spectrum(&projected);
            let top = ritz.vectors.slice(s![.., ..wanted.min(basis.ncols())]);
            let (vectors, moved) = (product(&basis, &top), product(&images, &top));
            let worst = (0..vectors.ncols())
                .map(|k| {
                    let (u, m) = (vectors.col(k), moved.col(k));
                    let square = |(u, m): (&f64, &f64)| (m - ritz.values[k] * u).powi(2);
                    u.iter().zip(m).map(square).sum::<f64>().sqrt()
                })
                .fold(0.0, f64::max);
            let done = worst <= TOLERANCE * ritz.values[0].abs();
            if done || next.ncols() == 0 || restarts == RESTARTS {
                let found = ritz.values[..vectors.ncols()].iter().map(|v| v.max(0.0)).collect();
                return Ok((found, vectors));
            }
            if basis.ncols() + block > LARGEST.max(4 * block) {
                let kept = ritz.vectors.slice(s![.., ..block.min(basis.ncols())]);
                next = product(&images, &kept);
                restarts += 1;
                break;
            }
        }
    }
}

fn beside(left: &Array2<f64>, right: &Array2<f64>) -> Array2<f64> {
    let mut out = zeros((left.nrows(), left.ncols() + right.ncols()));
    out.slice_mut(s![.., ..left.ncols()]).assign(left);
    out.slice_mut(s![.., left.ncols()..]).assign(right);
    out
}

/// Orthonormal columns that span what `x` adds to `basis`: directions at rounding level
/// are left out.
fn orthogonalised(basis: &Array2<f64>, mut x: Array2<f64>) -> Array2<f64> {
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let sizes: Vec<f64> = (0..x.ncols()).map(|k| norm(x.col(k))).collect();
    let mut kept: Array2<f64> = zeros((x.nrows(), 0));
    for _ in 0..2 {
        let along = product(&basis.t(), &x);
        add_product(&mut x, -1.0, basis, &along);
    }
    for k in 0..x.ncols() {
        let mut column = from_fn((x.nrows(), 1), |row, _| x[(row, k)]);
        for _ in 0..2 {
            let along = product(&kept.t(), &column);
            add_product(&mut column, -1.0, &kept, &along);
        }
        let left = norm(column.col(0));
        if left > 1e-13 * sizes[k].max(f64::MIN_POSITIVE) {
            column.col_mut(0).iter_mut().for_each(|v| *v /= left);
            // once more against everything: what is left may be mostly rounding
            let along = product(&basis.t(), &column);
            add_product(&mut column, -1.0, basis, &along);
            let left = norm(column.col(0));
            if left > 0.5 {
                column.col_mut(0).iter_mut().for_each(|v| *v /= left);
                kept = beside(&kept, &column);
            }
        }
    }
    kept
}
