//! The linear predictors of all genes in all cells.
//!
//! η = offset + X βᵀ + γ Vᵀ + W αᵀ is one product L Rᵀ of a row per cell and a row
//! per gene:
//!
//! ```text
//!   L = [ offset | X | γ | W ]   cells × width
//!   R = [   1    | β | V | α ]   genes × width
//! ```
//!
//! X (covariates of cells) and V (of genes) are given; β, γ, W and α are sought.

use crate::matrix::{zeros, Array2, ArrayView2, Columns};
use ndarray::s;

/// Whose rows are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Cells,
    Genes,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Cells => Side::Genes,
            Side::Genes => Side::Cells,
        }
    }
}

/// Numbers of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Columns of X.
    pub of_cells: usize,
    /// Columns of V.
    pub of_genes: usize,
    /// Columns of W and α.
    pub rank: usize,
}

impl Shape {
    pub fn width(&self) -> usize {
        1 + self.of_cells + self.of_genes + self.rank
    }

    /// First column of the factors.
    pub fn factors(&self) -> usize {
        1 + self.of_cells + self.of_genes
    }

    /// Columns of a side that are covariates' coefficients: β of genes, γ of cells.
    pub fn coefficients(&self, side: Side) -> std::ops::Range<usize> {
        match side {
            Side::Cells => 1 + self.of_cells..self.factors(),
            Side::Genes => 1..1 + self.of_cells,
        }
    }

    /// Columns of a side that are sought: coefficients, then factors.
    pub fn free(&self, side: Side) -> Vec<usize> {
        self.coefficients(side).chain(self.factors()..self.width()).collect()
    }
}

/// L and R.
#[derive(Clone)]
pub struct Predictor {
    pub shape: Shape,
    pub cells: Array2<f64>,
    pub genes: Array2<f64>,
}

impl Predictor {
    /// All that is sought at 0.  `x` is cells × its columns, `v` genes × its own.
    pub fn new(offset: &[f64], x: &Array2<f64>, v: &Array2<f64>, rank: usize) -> Self {
        let shape = Shape { of_cells: x.ncols(), of_genes: v.ncols(), rank };
        let mut cells: Array2<f64> = zeros((offset.len(), shape.width()));
        let mut genes: Array2<f64> = zeros((v.nrows(), shape.width()));
        cells.col_mut(0).copy_from_slice(offset);
        genes.col_mut(0).fill(1.0);
        for j in 0..shape.of_cells {
            cells.col_mut(1 + j).copy_from_slice(x.col(j));
        }
        for j in 0..shape.of_genes {
            genes.col_mut(1 + shape.of_cells + j).copy_from_slice(v.col(j));
        }
        Predictor { shape, cells, genes }
    }

    pub fn rows(&self, side: Side) -> &Array2<f64> {
        match side {
            Side::Cells => &self.cells,
            Side::Genes => &self.genes,
        }
    }

    pub fn rows_mut(&mut self, side: Side) -> &mut Array2<f64> {
        match side {
            Side::Cells => &mut self.cells,
            Side::Genes => &mut self.genes,
        }
    }

    /// W or α.
    pub fn factors(&self, side: Side) -> ArrayView2<'_, f64> {
        self.rows(side).slice(s![.., self.shape.factors()..])
    }
}
