//! The matrix to factorise, features × samples, dense or sparse, and its products
//! with factors.
//!
//! Factors are held rank × features and rank × samples, so that the
//! coefficients of one feature or sample are contiguous, and both factors are
//! treated alike: `Side::Coef` works on the columns of X, `Side::Basis` on its
//! rows.  Work is cut into blocks whose size depends on the shape only, and
//! sums over blocks are taken in order: the bits do not depend on the threads.

use crate::base::error::{check_value, CoreError};
use crate::base::numbers::dot;
use crate::base::simd::lines::add_scaled;
use crate::matrix::{from_columns, from_columns_mut, linalg, Csc, Matrix, MatrixBuf};
use ndarray::s;
use rayon::prelude::*;
use std::sync::Arc;

/// Which factor is meant: W (features) or H (samples).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Basis,
    Coef,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Basis => Side::Coef,
            Side::Coef => Side::Basis,
        }
    }

    pub fn index(self) -> usize {
        self as usize
    }
}

/// The entries of one row or column.
#[derive(Clone, Copy)]
pub enum Line<'a> {
    Dense(&'a [f64]),
    Sparse { at: &'a [i32], values: &'a [f64] },
}

#[derive(Clone)]
enum Source<'a> {
    Given(Matrix<'a>),
    Made(Arc<MatrixBuf>),
}

#[derive(Clone)]
pub struct Data<'a> {
    source: Source<'a>,
    /// The rows of X, stored one after the other.
    turned: Option<Arc<MatrixBuf>>,
    features: usize,
    samples: usize,
    parallel: bool,
    nonzeros: usize,
}

/// Multiplications worth a block of their own.
const BLOCK_WORK: usize = 1 << 18;

/// Lines per block when each costs `work` multiplications.
fn block_size(work: usize) -> usize {
    (BLOCK_WORK / work.max(1)).clamp(1, 512).next_multiple_of(8)
}

impl<'a> Data<'a> {
    /// # Errors
    /// `Argument` for a value that is negative or not finite, and for whole
    /// numbers: products are of doubles.
    pub fn new(matrix: Matrix<'a>) -> Result<Self, CoreError> {
        Data::from_source(Source::Given(matrix))
    }

    /// A matrix that nobody else holds.
    ///
    /// # Errors
    /// As [`Data::new`].
    pub fn made(matrix: MatrixBuf) -> Result<Self, CoreError> {
        Data::from_source(Source::Made(Arc::new(matrix)))
    }

    fn from_source(source: Source<'a>) -> Result<Self, CoreError> {
        let turned = None;
        let mut data =
            Data { source, turned, features: 0, samples: 0, parallel: true, nonzeros: 0 };
        (data.features, data.samples) = data.matrix().shape();
        let Some(entries) = data.matrix().stored() else {
            let expected = "a column-major matrix of doubles";
            return Err(CoreError::Argument { name: "x", found: f64::NAN, expected });
        };
        let valid = |v: f64| v >= 0.0 && v.is_finite();
        let mut nonzeros = 0;
        for &value in entries {
            check_value("x", value, "finite and non-negative", valid)?;
            nonzeros += usize::from(value != 0.0);
        }
        data.nonzeros = nonzeros;
        if data.sparse().is_some() {
            data = data.with_lines();
        }
        Ok(data)
    }

    fn matrix(&self) -> Matrix<'_> {
        match &self.source {
            Source::Given(matrix) => matrix.reborrow(),
            Source::Made(matrix) => matrix.view(),
        }
    }

    fn sparse(&self) -> Option<Csc<'_>> {
        match self.matrix() {
            Matrix::Sparse(x) => Some(x),
            _ => None,
        }
    }

    /// The same matrix with its rows at hand in one piece, as
    /// [`line`](Self::line) of `Side::Basis` needs them.
    pub fn with_lines(mut self) -> Self {
        if self.turned.is_none() {
            self.turned = Some(Arc::new(self.matrix().transpose()));
        }
        self
    }

    /// The same matrix, worked on by the calling thread alone: for runs that
    /// are themselves in parallel.
    pub fn sequential(&self) -> Self {
        Data { parallel: false, ..self.clone() }
    }

    /// Lines of a side: features or samples.
    pub fn count(&self, side: Side) -> usize {
        match side {
            Side::Basis => self.features,
            Side::Coef => self.samples,
        }
    }

    /// Entries that are stored.
    pub fn entries(&self) -> &[f64] {
        stored(self.matrix())
    }

    /// Entries that are not zero, however they are stored.
    pub fn nonzeros(&self) -> usize {
        self.nonzeros
    }

    pub fn sum(&self) -> f64 {
        self.sum_of(|v| v)
    }

    pub fn squares(&self) -> f64 {
        self.sum_of(|v| v * v)
    }

    /// Σ X / (features × samples).
    pub fn mean(&self) -> f64 {
        self.sum() / (self.features * self.samples).max(1) as f64
    }

    /// Σ f(x) over the stored entries.
    pub fn sum_of(&self, f: impl Fn(f64) -> f64 + Sync) -> f64 {
        let part = |chunk: &[f64]| chunk.iter().map(|&v| f(v)).sum::<f64>();
        let sums: Vec<f64> = if self.parallel {
            self.entries().par_chunks(1 << 14).map(part).collect()
        } else {
            self.entries().chunks(1 << 14).map(part).collect()
        };
        sums.iter().sum()
    }

    /// Column `index` of X (`Side::Coef`) or row `index` (`Side::Basis`; dense
    /// data need [`with_lines`](Self::with_lines) first).
    pub fn line(&self, side: Side, index: usize) -> Line<'_> {
        let matrix = match side {
            Side::Coef => self.matrix(),
            Side::Basis => self.turned.as_ref().expect("`with_lines` went before").view(),
        };
        match matrix {
            Matrix::Sparse(x) => {
                let (at, values) = x.column(index);
                Line::Sparse { at, values }
            }
            dense => {
                let length = dense.n_rows();
                Line::Dense(&stored(dense)[index * length..(index + 1) * length])
            }
        }
    }

    /// Dense data with the lines of a side next to each other in memory, and the
    /// distance between two entries of a line (needs
    /// [`with_lines`](Self::with_lines) for `Side::Coef`).
    pub fn side_by_side(&self, side: Side) -> Option<(&[f64], usize)> {
        if self.sparse().is_some() {
            return None;
        }
        match (side, &self.turned) {
            (Side::Basis, _) => Some((self.entries(), self.features)),
            (Side::Coef, Some(turned)) => Some((stored(turned.view()), self.samples)),
            (Side::Coef, None) => None,
        }
    }

    /// Calls `f(first line, block)` for blocks of a rank × lines matrix and
    /// returns the answers in order.
    pub fn over_blocks<R: Send>(
        &self,
        side: Side,
        rank: usize,
        out: &mut [f64],
        f: impl Fn(usize, &mut [f64]) -> R + Sync,
    ) -> Vec<R> {
        let lines = self.count(side);
        assert_eq!(out.len(), rank * lines, "a factor has an entry per component and line");
        if rank == 0 || lines == 0 {
            return Vec::new();
        }
        let width = self.entries().len() / lines + rank;
        let size = block_size(width * rank);
        let run = |(block, out): (usize, &mut [f64])| f(block * size, out);
        if self.parallel && lines > size {
            out.par_chunks_mut(size * rank).enumerate().map(run).collect()
        } else {
            out.chunks_mut(size * rank).enumerate().map(run).collect()
        }
    }

    /// F X (`Side::Coef`, F rank × features) or F Xᵀ (`Side::Basis`, F rank ×
    /// samples) into `out`.
    pub fn product(&self, side: Side, fixed: &[f64], rank: usize, out: &mut [f64]) {
        self.over_blocks(side, rank, out, |first, out| {
            self.product_block(side, fixed, rank, first, out)
        });
    }

    /// Lines `first..` of [`product`](Self::product), as many as `out` holds.
    pub fn product_block(
        &self,
        side: Side,
        fixed: &[f64],
        rank: usize,
        first: usize,
        out: &mut [f64],
    ) {
        let lines = out.len() / rank;
        if let Matrix::Dense(x) = self.matrix() {
            let x = match side {
                Side::Coef => x.slice_move(s![.., first..first + lines]),
                Side::Basis => x.slice_move(s![first..first + lines, ..]).reversed_axes(),
            };
            let fixed = from_columns(fixed, (rank, x.nrows()));
            linalg::multiply(&mut from_columns_mut(out, (rank, lines)), &fixed, &x);
            return;
        }
        for (offset, out) in out.chunks_exact_mut(rank).enumerate() {
            if let Line::Sparse { at, values } = self.line(side, first + offset) {
                add_scaled(fixed, at, values, out);
            }
        }
    }

    /// x_j − W h_j into `out`.
    pub fn residual(&self, sample: usize, basis: &[f64], coef: &[f64], out: &mut [f64]) {
        let rank = coef.len();
        for (out, line) in out.iter_mut().zip(basis.chunks_exact(rank)) {
            *out = -dot(line, coef);
        }
        match self.line(Side::Coef, sample) {
            Line::Dense(x) => out.iter_mut().zip(x).for_each(|(out, x)| *out += x),
            Line::Sparse { at, values } => {
                for (&at, x) in at.iter().zip(values) {
                    out[at as usize] += x;
                }
            }
        }
    }

    /// F Fᵀ of a factor of `side`, rank × rank.
    pub fn gram(&self, side: Side, factor: &[f64], rank: usize) -> Vec<f64> {
        let mut gram = vec![0.0; rank * rank];
        if rank == 0 {
            return gram;
        }
        debug_assert_eq!(factor.len(), rank * self.count(side));
        let chunk = rank * block_size(rank * rank).max(64);
        let part = |chunk: &[f64]| {
            let mut gram = vec![0.0; rank * rank];
            gram_into(chunk, rank, &mut gram);
            gram
        };
        let parts: Vec<Vec<f64>> = if self.parallel && factor.len() > 4 * chunk {
            factor.par_chunks(chunk).map(part).collect()
        } else {
            factor.chunks(chunk).map(part).collect()
        };
        for part in parts {
            gram.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        }
        gram
    }
}

/// F Fᵀ of a rank × lines block.
pub fn gram_into(factor: &[f64], rank: usize, gram: &mut [f64]) {
    let lines = from_columns(factor, (rank, factor.len() / rank));
    linalg::gram(&mut from_columns_mut(gram, (rank, rank)), &lines);
}

/// The values of a matrix that was checked when its [`Data`] was made.
fn stored(matrix: Matrix<'_>) -> &[f64] {
    matrix.stored().expect("the data are column-major doubles")
}
