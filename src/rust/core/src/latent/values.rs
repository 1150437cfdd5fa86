//! Values whose rows and columns are freed of what covariates explain.
//!
//! R = P_V D X P_X: X are the values (genes × cells), D divides genes by their scale, P_X takes
//! out what the covariates of cells explain (least squares within each gene; an intercept
//! centres), P_V what those of genes explain within each cell.  R is never formed when X
//! is sparse: products with it are those with X, corrected.

use super::predictor::Side;
use crate::matrix::linalg::{add_product, left_singular, multiply, product, svd};
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2, Columns, Matrix};

pub struct Values<'a> {
    x: Matrix<'a>,
    /// 1 / scale per gene.
    inverse_scale: Vec<f64>,
    /// Orthonormal bases of the covariates' spans: of cells, of genes.
    bases: [Array2<f64>; 2],
}

/// An orthonormal basis of the columns' span; linearly dependent ones are a caller's error.
pub fn orthonormal(x: &ArrayRef2<f64>) -> Array2<f64> {
    match left_singular(x) {
        Some((left, _)) if x.ncols() > 0 => left,
        _ => zeros((x.nrows(), 0)),
    }
}

impl<'a> Values<'a> {
    /// `of_cells` is cells × covariates, `of_genes` genes × covariates, both of full rank.
    pub fn new(
        x: Matrix<'a>,
        scale: &[f64],
        of_cells: &ArrayRef2<f64>,
        of_genes: &ArrayRef2<f64>,
    ) -> Self {
        let inverse_scale = scale.iter().map(|s| 1.0 / s).collect();
        Values { x, inverse_scale, bases: [orthonormal(of_cells), orthonormal(of_genes)] }
    }

    pub fn genes(&self) -> usize {
        self.x.shape().0
    }

    pub fn cells(&self) -> usize {
        self.x.shape().1
    }

    /// Dimensions that the covariates of a side take.
    pub fn taken(&self, side: Side) -> usize {
        self.bases[side as usize].ncols()
    }

    /// D X times cells × k, or its transpose times genes × k.
    pub fn raw(&self, side: Side, other: &ArrayRef2<f64>) -> Array2<f64> {
        let (genes, cells) = self.x.shape();
        let scaled = |x: &ArrayRef2<f64>| {
            from_fn((x.nrows(), x.ncols()), |i, k| self.inverse_scale[i] * x[(i, k)])
        };
        match (&self.x, side) {
            (Matrix::Dense(x), Side::Genes) => scaled(&product(x, other)),
            (Matrix::Dense(x), Side::Cells) => product(&x.t(), &scaled(other)),
            (x, Side::Genes) => {
                let mut out: Array2<f64> = zeros((genes, other.ncols()));
                for k in 0..other.ncols() {
                    let out = out.col_mut(k);
                    for cell in 0..cells {
                        let weight = other[(cell, k)];
                        x.for_each(cell, |gene, value| out[gene] += weight * value);
                    }
                }
                scaled(&out)
            }
            (x, Side::Cells) => {
                let other = scaled(other);
                from_fn((cells, other.ncols()), |cell, k| {
                    let column = other.col(k);
                    let mut sum = 0.0;
                    x.for_each(cell, |gene, value| sum += value * column[gene]);
                    sum
                })
            }
        }
    }

    /// R times cells × k (`Genes`), or R' times genes × k (`Cells`).
    pub fn product(&self, side: Side, other: Array2<f64>) -> Array2<f64> {
        let freed = self.freed(side.other(), other);
        self.freed(side, self.raw(side, &freed))
    }

    /// Takes out of each column what the covariates of a side explain.
    pub fn freed(&self, side: Side, mut x: Array2<f64>) -> Array2<f64> {
        let basis = &self.bases[side as usize];
        if basis.ncols() > 0 {
            // twice: the first pass leaves rounding of the size of what it took
            for _ in 0..2 {
                let along = product(&basis.t(), &x);
                add_product(&mut x, -1.0, basis, &along);
            }
        }
        x
    }

    /// Σ R².
    pub fn square(&self) -> f64 {
        let (genes, cells) = self.x.shape();
        let mut column = vec![0.0; genes];
        let raw = |column: &mut Vec<f64>, cell: usize| {
            self.x.column_into(cell, column);
            column.iter_mut().zip(&self.inverse_scale).for_each(|(v, s)| *v *= s);
        };
        if self.taken(Side::Cells) == 0 && self.taken(Side::Genes) == 0 {
            return (0..cells)
                .map(|cell| {
                    raw(&mut column, cell);
                    column.iter().map(|v| v * v).sum::<f64>()
                })
                .sum();
        }
        // means first: a difference of squares would lose digits
        let explained = self.raw(Side::Genes, &self.bases[0]);
        let mut sum = 0.0;
        for cell in 0..cells {
            raw(&mut column, cell);
            for k in 0..explained.ncols() {
                let weight = self.bases[0][(cell, k)];
                let part = explained.col(k);
                column.iter_mut().zip(part).for_each(|(v, e)| *v -= weight * e);
            }
            let whole: f64 = column.iter().map(|v| v * v).sum();
            let basis = &self.bases[1];
            let along: f64 = (0..basis.ncols())
                .map(|k| {
                    let part = basis.col(k).iter().zip(&column);
                    part.map(|(b, v)| b * v).sum::<f64>().powi(2)
                })
                .sum();
            sum += whole - along;
        }
        sum
    }

    /// Least-squares coefficients of the genes on the covariates of cells as they were
    /// given: genes × covariates, in scaled units.
    pub fn coefficients(&self, of_cells: &ArrayRef2<f64>) -> Array2<f64> {
        let inverse = pseudo_inverse(of_cells);
        self.raw(Side::Genes, &inverse.t())
    }
}

/// x⁺, columns × rows, for x of full column rank.
pub fn pseudo_inverse(x: &ArrayRef2<f64>) -> Array2<f64> {
    let found = if x.ncols() > 0 { svd(x) } else { None };
    let Some(found) = found else { return zeros((x.ncols(), x.nrows())) };
    let mut right = found.right;
    for (k, &value) in found.values.iter().enumerate() {
        right.col_mut(k).iter_mut().for_each(|v| *v /= value);
    }
    product(&right, &found.left.t())
}

/// The coefficients of columns of `y` on those of `x`: `None` for an x without columns.
pub fn least_squares(x: &ArrayRef2<f64>, y: &ArrayRef2<f64>) -> Option<Array2<f64>> {
    (x.ncols() > 0).then(|| {
        let mut out = zeros((x.ncols(), y.ncols()));
        multiply(&mut out, &pseudo_inverse(x), y);
        out
    })
}
