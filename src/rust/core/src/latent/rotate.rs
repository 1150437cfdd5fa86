//! Equivalent factors: the same fitted values with the smallest penalty.
//!
//! W αᵀ = (W T)(α T⁻ᵀ)ᵀ for every invertible T, and among them ½ λ (‖W‖² + ‖α‖²) is
//! least for W = U S^½, α = V S^½ with U S Vᵀ the singular value decomposition of W αᵀ
//! (Srebro, Rennie and Jaakkola 2005).  What of W lies in the span of covariates whose
//! coefficients bear no penalty is theirs, and taken from W for nothing; so with α.

use super::predictor::{Predictor, Side};
use faer::{Mat, MatRef};

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
    let (left, right) = (predictors[0].factors(Side::Cells).qr(), loadings.as_ref().qr());
    let core = left.thin_R() * right.thin_R().transpose();
    let Ok(svd) = core.thin_svd() else { return };
    let root: Vec<f64> = svd.S().column_vector().iter().map(|s| s.max(0.0).sqrt()).collect();
    let turned = |q: Mat<f64>, u: MatRef<'_, f64>| {
        let mut out = q * u;
        for (k, root) in root.iter().enumerate() {
            out.col_as_slice_mut(k).iter_mut().for_each(|v| *v *= root);
        }
        out
    };
    let mut cells = turned(left.compute_thin_Q(), svd.U());
    let mut genes = turned(right.compute_thin_Q(), svd.V());
    for k in 0..root.len() {
        let largest = genes.col_as_slice(k).iter().fold(0.0, |m: f64, &v| {
            if v.abs() > m.abs() { v } else { m }
        });
        if largest < 0.0 {
            genes.col_as_slice_mut(k).iter_mut().for_each(|v| *v = -*v);
            cells.col_as_slice_mut(k).iter_mut().for_each(|v| *v = -*v);
        }
    }
    // fewer cells or genes than factors: the last ones are empty
    let filled = root.len();
    let mut first = 0;
    for predictor in predictors.iter_mut() {
        let (at, n) = (predictor.shape.factors(), predictor.genes.nrows());
        for k in 0..shape.rank {
            let (w, a) = (predictor.cells.col_as_slice_mut(at + k), predictor.genes.col_as_slice_mut(at + k));
            if k < filled {
                w.copy_from_slice(cells.col_as_slice(k));
                a.copy_from_slice(&genes.col_as_slice(k)[first..first + n]);
            } else {
                w.fill(0.0);
                a.fill(0.0);
            }
        }
        first += n;
    }
}

/// The loadings of all predictors, one below the other.
fn stacked(predictors: &[Predictor]) -> Mat<f64> {
    let n = predictors[0].genes.nrows();
    Mat::from_fn(n * predictors.len(), predictors[0].shape.rank, |row, k| {
        predictors[row / n].factors(Side::Genes)[(row % n, k)]
    })
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
) -> Option<Mat<f64>> {
    let rows = predictor.rows(side);
    if columns.is_empty() || rows.nrows() < columns.len() {
        return None;
    }
    let covariates = Mat::from_fn(rows.nrows(), columns.len(), |i, j| rows[(i, first + columns[j])]);
    use faer::linalg::solvers::SolveLstsq;
    Some(covariates.qr().solve_lstsq(predictor.factors(side).to_owned()).as_ref().subrows(0, columns.len()).to_owned())
}

fn move_part(predictor: &mut Predictor, side: Side, first: usize, columns: &[usize], part: &Mat<f64>) {
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
