//! Equivalent factors: the same fitted values with the smallest penalty.
//!
//! W αᵀ = (W T)(α T⁻ᵀ)ᵀ for every invertible T, and among them ½ λ (‖W‖² + ‖α‖²) is
//! least for W = U S^½, α = V S^½ with U S Vᵀ the singular value decomposition of W αᵀ
//! (Srebro, Rennie and Jaakkola 2005).  What of W lies in the span of covariates whose
//! coefficients bear no penalty is theirs, and taken from W for nothing; so with α.

use super::predictor::{Predictor, Side};
use super::values::least_squares;
use crate::matrix::linalg::{product, svd, Svd};
use crate::matrix::{from_fn, Array2, ArrayRef2, Columns};

/// Balances the factors of all predictors, which share W; columns come in order of their
/// size, and the largest loading of each is positive.  `free` marks the columns of X and
/// of V whose coefficients bear no penalty in any predictor.
pub fn balance(predictors: &mut [Predictor], free: [&[bool]; 2]) {
    let shape = predictors[0].shape;
    if shape.rank == 0 {
        return;
    }
    absorb_cells(predictors, free[0]);
    absorb_genes(predictors, free[1]);
    let loadings = stacked(predictors);
    let (Some(left), Some(right)) = (svd(&predictors[0].factors(Side::Cells)), svd(&loadings))
    else {
        return;
    };
    let Some(core) = svd(&product(&triangle(&left), &triangle(&right).t())) else { return };
    let root: Vec<f64> = core.values.iter().map(|s| s.max(0.0).sqrt()).collect();
    let turned = |q: &ArrayRef2<f64>, u: &ArrayRef2<f64>| {
        let mut out = product(q, u);
        for (k, root) in root.iter().enumerate() {
            out.col_mut(k).iter_mut().for_each(|v| *v *= root);
        }
        out
    };
    let mut cells = turned(&left.left, &core.left);
    let mut genes = turned(&right.left, &core.right);
    for k in 0..root.len() {
        let largest =
            genes.col(k).iter().fold(0.0, |m: f64, &v| if v.abs() > m.abs() { v } else { m });
        if largest < 0.0 {
            genes.col_mut(k).iter_mut().for_each(|v| *v = -*v);
            cells.col_mut(k).iter_mut().for_each(|v| *v = -*v);
        }
    }
    // fewer cells or genes than factors: the last ones are empty
    let filled = root.len();
    let mut first = 0;
    for predictor in predictors.iter_mut() {
        let (at, n) = (predictor.shape.factors(), predictor.genes.nrows());
        for k in 0..shape.rank {
            let (w, a) = (predictor.cells.col_mut(at + k), predictor.genes.col_mut(at + k));
            if k < filled {
                w.copy_from_slice(cells.col(k));
                a.copy_from_slice(&genes.col(k)[first..first + n]);
            } else {
                w.fill(0.0);
                a.fill(0.0);
            }
        }
        first += n;
    }
}

/// The loadings of all predictors, one below the other.
fn stacked(predictors: &[Predictor]) -> Array2<f64> {
    let n = predictors[0].genes.nrows();
    from_fn((n * predictors.len(), predictors[0].shape.rank), |row, k| {
        predictors[row / n].factors(Side::Genes)[(row % n, k)]
    })
}

/// diag(values) Vᵀ: what the left vectors leave of a matrix.
fn triangle(x: &Svd) -> Array2<f64> {
    from_fn((x.values.len(), x.right.nrows()), |i, j| x.values[i] * x.right[(j, i)])
}

/// Moves W's part in the free columns of X to their coefficients.
fn absorb_cells(predictors: &mut [Predictor], free: &[bool]) {
    let columns: Vec<usize> = (0..free.len()).filter(|&j| free[j]).collect();
    let Some(part) = projection(&predictors[0], Side::Cells, 1, &columns) else { return };
    for predictor in predictors {
        move_part(predictor, Side::Cells, 1, &columns, &part);
    }
}

/// Moves α's part in the free columns of V to their coefficients.
fn absorb_genes(predictors: &mut [Predictor], free: &[bool]) {
    let columns: Vec<usize> = (0..free.len()).filter(|&j| free[j]).collect();
    for predictor in predictors {
        let first = 1 + predictor.shape.of_cells;
        if let Some(part) = projection(predictor, Side::Genes, first, &columns) {
            move_part(predictor, Side::Genes, first, &columns, &part);
        }
    }
}

/// Least-squares coefficients of a side's factors on covariates of that side.
fn projection(
    predictor: &Predictor,
    side: Side,
    first: usize,
    columns: &[usize],
) -> Option<Array2<f64>> {
    let rows = predictor.rows(side);
    if columns.is_empty() || rows.nrows() < columns.len() {
        return None;
    }
    let covariates = from_fn((rows.nrows(), columns.len()), |i, j| rows[(i, first + columns[j])]);
    least_squares(&covariates, &predictor.factors(side))
}

fn move_part(
    predictor: &mut Predictor,
    side: Side,
    first: usize,
    columns: &[usize],
    part: &Array2<f64>,
) {
    let at = predictor.shape.factors();
    for (c, &column) in columns.iter().enumerate() {
        for k in 0..predictor.shape.rank {
            let along = part[(c, k)];
            let own = predictor.rows_mut(side);
            for i in 0..own.nrows() {
                own[(i, at + k)] -= along * own[(i, first + column)];
            }
            let other = predictor.rows_mut(side.other());
            for i in 0..other.nrows() {
                other[(i, first + column)] += along * other[(i, at + k)];
            }
        }
    }
}
