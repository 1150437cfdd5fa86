//! The matrix to factorise, features × samples, dense or compressed sparse
//! columns, and its products with factors.
//!
//! Factors are held rank × features and rank × samples, so that the
//! coefficients of one feature or sample are contiguous, and both factors are
//! treated alike: `Side::Coef` works on the columns of X, `Side::Basis` on its
//! rows.  Work is cut into blocks whose size depends on the shape only, and
//! sums over blocks are taken in order: the bits do not depend on the threads.

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::numbers::dot;
use crate::base::simd::lines::add_scaled;
use crate::matrix::{from_columns, from_columns_mut, linalg};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
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

/// Entries in column-major order.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    Dense(&'a [f64]),
    /// `starts` has a length of columns + 1, `rows` are counted from 0.
    Sparse {
        starts: &'a [i32],
        rows: &'a [i32],
        values: &'a [f64],
    },
}

/// The rows of X, stored one after the other.
enum Transposed {
    Dense(Vec<f64>),
    Sparse { starts: Vec<usize>, columns: Vec<i32>, values: Vec<f64> },
}

/// The entries of one row or column.
#[derive(Clone, Copy)]
pub enum Line<'a> {
    Dense(&'a [f64]),
    Sparse { at: &'a [i32], values: &'a [f64] },
}

#[derive(Clone)]
pub struct Data<'a> {
    values: Values<'a>,
    features: usize,
    samples: usize,
    transposed: Option<Arc<Transposed>>,
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
    /// `Shape` when lengths do not belong together, `Argument` for a row that is
    /// not there and for a value that is negative or not finite.
    pub fn new(values: Values<'a>, (features, samples): (usize, usize)) -> Result<Self, CoreError> {
        let entries = match values {
            Values::Dense(x) => {
                check_length("x", features * samples, x.len())?;
                x
            }
            Values::Sparse { starts, rows, values } => {
                check_length("starts", samples + 1, starts.len())?;
                check_length("rows", values.len(), rows.len())?;
                check_length("starts", values.len(), starts[samples].max(0) as usize)?;
                let rising = starts[0] == 0 && starts.windows(2).all(|w| w[0] <= w[1]);
                let inside = rows.iter().all(|&r| r >= 0 && (r as usize) < features);
                if !rising || !inside {
                    let expected = "a valid sparse matrix";
                    return Err(CoreError::Argument { name: "x", found: f64::NAN, expected });
                }
                values
            }
        };
        for &value in entries {
            check_value("x", value, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        }
        let nonzeros = entries.iter().filter(|v| **v != 0.0).count();
        let mut data =
            Data { values, features, samples, transposed: None, parallel: true, nonzeros };
        if let Values::Sparse { .. } = values {
            data.transposed = Some(Arc::new(data.transpose()));
        }
        Ok(data)
    }

    /// The same matrix with its rows at hand in one piece, as
    /// [`line`](Self::line) of `Side::Basis` needs them.
    pub fn with_lines(mut self) -> Self {
        if self.transposed.is_none() {
            self.transposed = Some(Arc::new(self.transpose()));
        }
        self
    }

    /// The same matrix, worked on by the calling thread alone: for runs that
    /// are themselves in parallel.
    pub fn sequential(&self) -> Self {
        Data { parallel: false, ..self.clone() }
    }

    pub fn is_sparse(&self) -> bool {
        matches!(self.values, Values::Sparse { .. })
    }

    /// Lines of a side: features or samples.
    pub fn count(&self, side: Side) -> usize {
        match side {
            Side::Basis => self.features,
            Side::Coef => self.samples,
        }
    }

    /// Entries that are stored.
    pub fn entries(&self) -> &'a [f64] {
        match self.values {
            Values::Dense(x) => x,
            Values::Sparse { values, .. } => values,
        }
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

    fn transpose(&self) -> Transposed {
        let (m, n) = (self.features, self.samples);
        match self.values {
            Values::Dense(x) => {
                let mut turned = vec![0.0; m * n];
                // tiles, so that reads and writes both stay in cache
                const TILE: usize = 32;
                for (tile, out) in turned.chunks_mut((TILE * n).max(1)).enumerate() {
                    for (j, column) in x.chunks_exact(m).enumerate() {
                        for (r, row) in out.chunks_exact_mut(n).enumerate() {
                            row[j] = column[tile * TILE + r];
                        }
                    }
                }
                Transposed::Dense(turned)
            }
            Values::Sparse { starts, rows, values } => {
                let mut row_starts = vec![0usize; m + 1];
                for &row in rows {
                    row_starts[row as usize + 1] += 1;
                }
                for row in 0..m {
                    row_starts[row + 1] += row_starts[row];
                }
                let mut next = row_starts.clone();
                let mut columns = vec![0i32; values.len()];
                let mut turned = vec![0.0; values.len()];
                for j in 0..n {
                    for at in starts[j] as usize..starts[j + 1] as usize {
                        let to = &mut next[rows[at] as usize];
                        columns[*to] = j as i32;
                        turned[*to] = values[at];
                        *to += 1;
                    }
                }
                Transposed::Sparse { starts: row_starts, columns, values: turned }
            }
        }
    }

    /// Column `index` of X (`Side::Coef`) or row `index` (`Side::Basis`; dense
    /// data need [`with_lines`](Self::with_lines) first).
    pub fn line(&self, side: Side, index: usize) -> Line<'_> {
        match (side, self.values, self.transposed.as_deref()) {
            (Side::Coef, Values::Dense(x), _) => {
                Line::Dense(&x[index * self.features..(index + 1) * self.features])
            }
            (Side::Coef, Values::Sparse { starts, rows, values }, _) => {
                let range = starts[index] as usize..starts[index + 1] as usize;
                Line::Sparse { at: &rows[range.clone()], values: &values[range] }
            }
            (Side::Basis, _, Some(Transposed::Dense(x))) => {
                Line::Dense(&x[index * self.samples..(index + 1) * self.samples])
            }
            (Side::Basis, _, Some(Transposed::Sparse { starts, columns, values })) => {
                let range = starts[index]..starts[index + 1];
                Line::Sparse { at: &columns[range.clone()], values: &values[range] }
            }
            (Side::Basis, _, None) => panic!("rows are asked for without `with_lines`"),
        }
    }

    /// Dense data with the lines of a side next to each other in memory, and the
    /// distance between two entries of a line (needs
    /// [`with_lines`](Self::with_lines) for `Side::Coef`).
    pub fn side_by_side(&self, side: Side) -> Option<(&[f64], usize)> {
        match (side, self.values, self.transposed.as_deref()) {
            (Side::Basis, Values::Dense(x), _) => Some((x, self.features)),
            (Side::Coef, Values::Dense(_), Some(Transposed::Dense(x))) => Some((x, self.samples)),
            _ => None,
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
        if let Values::Dense(x) = self.values {
            let x = MatRef::from_column_major_slice(x, self.features, self.samples);
            let x = match side {
                Side::Coef => x.subcols(first, lines),
                Side::Basis => x.subrows(first, lines).transpose(),
            };
            let fixed = MatRef::from_column_major_slice(fixed, rank, x.nrows());
            let out = MatMut::from_column_major_slice_mut(out, rank, lines);
            matmul(out, Accum::Replace, fixed, x, 1.0, Par::Seq);
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
