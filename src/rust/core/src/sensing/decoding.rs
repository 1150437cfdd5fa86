//! Few activities from composite measurements: y ≈ A U w.

use super::codes::{append, expand, push};
use super::pursuit::{Gram, LassoPath, Nonnegative, Orthogonal, Target};
use crate::base::error::CoreError;
use crate::base::parallel::{over_blocks, Monitor};
use crate::base::simd::vectors::squared_norm;
use crate::matrix::linalg::product;
use crate::matrix::{column, Array2, ArrayView2, Columns, CscBuf};
use crate::nnls::solve_nonnegative;
use ndarray::s;
use std::ops::Range;

/// Samples that are decoded together.
pub const SAMPLE_BLOCK: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decoder {
    /// Orthogonal matching pursuit.
    Orthogonal,
    /// Orthogonal matching pursuit under w ≥ 0.
    Nonnegative,
    /// min ½‖y − A U w‖² + λ‖w‖₁ (under w ≥ 0): at the `penalty` λ or, without
    /// one, at the smallest λ with as many active modules as allowed.
    Lasso { nonnegative: bool, penalty: Option<f64> },
    /// Non-negative least squares over all modules.
    LeastSquares,
}

crate::base::error::named!(Decoder, "method",
    "omp" => Decoder::Orthogonal,
    "nn_omp" => Decoder::Nonnegative,
    "lasso" => Decoder::Lasso { nonnegative: false, penalty: None },
    "nn_lasso" => Decoder::Lasso { nonnegative: true, penalty: None },
    "nnls" => Decoder::LeastSquares,
);

/// Activities of samples, and ‖y − A U w‖² of each.
pub struct Decoded {
    /// Modules × samples.
    pub codes: CscBuf,
    pub residual: Vec<f64>,
}

impl Decoded {
    pub fn mean_residual(&self) -> f64 {
        self.residual.iter().sum::<f64>() / self.residual.len().max(1) as f64
    }
}

/// A decoder and the modules as they are measured.
pub struct Decoding {
    decoder: Decoder,
    sparsity: usize,
    /// A U.
    projected: Array2<f64>,
    pub gram: Gram,
}

impl Decoding {
    /// Takes A U, and how many modules a sample may use.
    pub fn new(projected: Array2<f64>, decoder: Decoder, sparsity: usize) -> Self {
        Decoding { decoder, sparsity, gram: Gram::of(projected.view()), projected }
    }

    /// # Errors
    /// `Interrupted`, and `Argument` for more activities than a sparse matrix holds.
    pub fn run(
        &self,
        readings: ArrayView2<'_, f64>,
        monitor: &Monitor<'_>,
    ) -> Result<Decoded, CoreError> {
        let samples = readings.ncols();
        let mut codes = CscBuf::with_capacity(self.gram.size(), samples, 0);
        let mut residual = Vec::with_capacity(samples);
        let mut parts = Vec::new();
        let block = |range: Range<usize>| self.block(readings.slice(s![.., range]));
        over_blocks(samples, SAMPLE_BLOCK, monitor, block, |range, part| {
            monitor.advance(range.len());
            residual.extend(part.residual);
            parts.push(part.codes);
        })?;
        parts.iter().try_for_each(|part| append(&mut codes, part.view()))?;
        Ok(Decoded { codes, residual })
    }

    fn block(&self, readings: ArrayView2<'_, f64>) -> Result<Decoded, CoreError> {
        let correlations = product(&self.projected.t(), &readings);
        let codes = self.decode(&correlations, readings)?;
        let mut left = vec![0.0; readings.nrows()];
        let residual = (0..readings.ncols()).map(|j| {
            expand(codes.view(), j, self.projected.view(), &mut left);
            left.iter_mut().zip(column(readings, j)).for_each(|(l, y)| *l = y - *l);
            squared_norm(&left)
        });
        let residual = residual.collect();
        Ok(Decoded { codes, residual })
    }

    fn decode(
        &self,
        correlations: &Array2<f64>,
        readings: ArrayView2<'_, f64>,
    ) -> Result<CscBuf, CoreError> {
        let count = correlations.ncols();
        let sparsity = self.sparsity;
        let mut codes = CscBuf::with_capacity(self.gram.size(), count, count * sparsity);
        match self.decoder {
            Decoder::Orthogonal => {
                let mut pursuit = Orthogonal::new(&self.gram);
                for j in 0..count {
                    pursuit.run(correlations.col(j), sparsity);
                    push(&mut codes, &pursuit.atoms, &pursuit.values)?;
                }
            }
            Decoder::Nonnegative => {
                let mut pursuit = Nonnegative::new(&self.gram);
                for j in 0..count {
                    pursuit.run(correlations.col(j), sparsity);
                    push(&mut codes, &pursuit.atoms, &pursuit.values)?;
                }
            }
            Decoder::Lasso { nonnegative, penalty } => {
                let mut path = LassoPath::new(&self.gram, nonnegative);
                let target = penalty.map_or(Target::Atoms(sparsity), Target::Penalty);
                for j in 0..count {
                    let norm = squared_norm(column(readings, j));
                    path.run(correlations.col(j), norm, target);
                    push_nonzero(&mut codes, &path.atoms, &path.values)?;
                }
            }
            Decoder::LeastSquares => {
                let all: Vec<usize> = (0..self.gram.size()).collect();
                let mut values = vec![0.0; all.len()];
                for j in 0..count {
                    values.fill(0.0);
                    let pull = correlations.col(j);
                    solve_nonnegative(self.gram.products(), pull, 0.0, &mut values);
                    push_nonzero(&mut codes, &all, &values)?;
                }
            }
        }
        Ok(codes)
    }
}

fn push_nonzero(codes: &mut CscBuf, atoms: &[usize], values: &[f64]) -> Result<(), CoreError> {
    let entries = atoms.iter().copied().zip(values.iter().copied());
    codes.push_column(entries.filter(|&(_, value)| value != 0.0))
}
