//! Values whose rows and columns are freed of what covariates explain.
//!
//! R = P_V D X P_X: X are the values (genes × cells), D divides genes by their scale, P_X takes
//! out what the covariates of cells explain (least squares within each gene; an intercept
//! centres), P_V what those of genes explain within each cell.  R is never formed when X
//! is sparse: products with it are those with X, corrected.

use super::predictor::Side;
use crate::factorisation::weighted::Matrix;
use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef, Side as Triangle};

pub struct Values<'a> {
    x: Matrix<'a>,
    /// 1 / scale per gene.
    inverse_scale: Vec<f64>,
    /// Orthonormal bases of the covariates' spans: of cells, of genes.
    bases: [Mat<f64>; 2],
}

/// An orthonormal basis of the columns' span; linearly dependent ones are a caller's error.
pub fn orthonormal(x: MatRef<'_, f64>) -> Mat<f64> {
    if x.ncols() == 0 {
        return Mat::zeros(x.nrows(), 0);
    }
    x.qr().compute_thin_Q()
}

impl<'a> Values<'a> {
    /// `of_cells` is cells × covariates, `of_genes` genes × covariates, both of full rank.
    pub fn new(
        x: Matrix<'a>,
        scale: &[f64],
        of_cells: MatRef<'_, f64>,
        of_genes: MatRef<'_, f64>,
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
    pub fn raw(&self, side: Side, other: MatRef<'_, f64>) -> Mat<f64> {
        let (genes, cells) = self.x.shape();
        let scaled = |x: MatRef<'_, f64>| {
            Mat::from_fn(x.nrows(), x.ncols(), |i, k| self.inverse_scale[i] * x[(i, k)])
        };
        match (self.x, side) {
            (Matrix::Dense(x), Side::Genes) => scaled((x * other).as_ref()),
            (Matrix::Dense(x), Side::Cells) => x.transpose() * scaled(other),
            (Matrix::Sparse(x), Side::Genes) => {
                let mut out = Mat::zeros(genes, other.ncols());
                for k in 0..other.ncols() {
                    let (column, out) = (other.col(k), out.col_as_slice_mut(k));
                    for cell in 0..cells {
                        let value = column[cell];
                        for at in x.starts[cell] as usize..x.starts[cell + 1] as usize {
                            out[x.rows[at] as usize] += value * x.values[at];
                        }
                    }
                }
                scaled(out.as_ref())
            }
            (Matrix::Sparse(x), Side::Cells) => {
                let other = scaled(other);
                Mat::from_fn(cells, other.ncols(), |cell, k| {
                    let column = other.col_as_slice(k);
                    (x.starts[cell] as usize..x.starts[cell + 1] as usize)
                        .map(|at| x.values[at] * column[x.rows[at] as usize])
                        .sum()
                })
            }
        }
    }

    /// R times cells × k (`Genes`), or R' times genes × k (`Cells`).
    pub fn product(&self, side: Side, other: MatRef<'_, f64>) -> Mat<f64> {
        let freed = self.freed(side.other(), other.to_owned());
        self.freed(side, self.raw(side, freed.as_ref()))
    }

    /// Takes out of each column what the covariates of a side explain.
    pub fn freed(&self, side: Side, mut x: Mat<f64>) -> Mat<f64> {
        let basis = &self.bases[side as usize];
        if basis.ncols() > 0 {
            // twice: the first pass leaves rounding of the size of what it took
            for _ in 0..2 {
                let along = basis.transpose() * &x;
                x -= basis * along;
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
        let explained = self.raw(Side::Genes, self.bases[0].as_ref());
        let mut sum = 0.0;
        for cell in 0..cells {
            raw(&mut column, cell);
            for k in 0..explained.ncols() {
                let weight = self.bases[0][(cell, k)];
                let part = explained.col_as_slice(k);
                column.iter_mut().zip(part).for_each(|(v, e)| *v -= weight * e);
            }
            let whole: f64 = column.iter().map(|v| v * v).sum();
            let basis = &self.bases[1];
            let along: f64 = (0..basis.ncols())
                .map(|k| {
                    let part = basis.col_as_slice(k).iter().zip(&column);
                    part.map(|(b, v)| b * v).sum::<f64>().powi(2)
                })
                .sum();
            sum += whole - along;
        }
        sum
    }

    /// Least-squares coefficients of the genes on the covariates of cells as they were
    /// given: genes × covariates, in scaled units.
    pub fn coefficients(&self, of_cells: MatRef<'_, f64>) -> Mat<f64> {
        let product = self.raw(Side::Genes, of_cells);
        solve_gram(of_cells, product)
    }
}

/// y (XᵀX)⁻¹ for rows × columns y.
pub fn solve_gram(x: MatRef<'_, f64>, y: Mat<f64>) -> Mat<f64> {
    if x.ncols() == 0 {
        return y;
    }
    let gram = x.transpose() * x;
    match gram.llt(Triangle::Lower) {
        Ok(factor) => factor.solve(y.transpose()).transpose().to_owned(),
        Err(_) => Mat::full(y.nrows(), y.ncols(), f64::NAN),
    }
}
