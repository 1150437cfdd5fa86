//! What weights and missing values make of the Kullback-Leibler divergence.

use crate::base::error::CoreError;
use crate::factorisation::data::{Data, Side};
use crate::factorisation::weights::Weights;
use crate::matrix::{zeros, Columns, CscBuf, Matrix, MatrixBuf};

/// Σ Ω over the standing factor: u_j of line j is Σ_i Ω_ij f_i.
pub enum Totals<'a> {
    Outer {
        features: Vec<f64>,
        samples: Vec<f64>,
    },
    Entries(Data<'a>),
    /// Ω is 1 but at these entries, where it is 0.
    Except(Data<'a>),
}

impl Totals<'_> {
    /// u of every line of `side`, rank × lines.
    pub fn of(&self, side: Side, fixed: &[f64], rank: usize) -> Vec<f64> {
        let sum = |weights: Option<&[f64]>| {
            let mut sum = vec![0.0; rank];
            for (at, line) in fixed.chunks_exact(rank).enumerate() {
                let weight = weights.map_or(1.0, |w| w[at]);
                sum.iter_mut().zip(line).for_each(|(sum, v)| *sum += weight * v);
            }
            sum
        };
        match self {
            Totals::Outer { features, samples } => {
                let (across, along) = match side {
                    Side::Coef => (features, samples),
                    Side::Basis => (samples, features),
                };
                let sum = sum(Some(across));
                along.iter().flat_map(|w| sum.iter().map(move |s| w * s)).collect()
            }
            Totals::Entries(weights) => {
                let mut out = vec![0.0; rank * weights.count(side)];
                weights.product(side, fixed, rank, &mut out);
                out
            }
            Totals::Except(missing) => {
                let sum = sum(None);
                let mut out = vec![0.0; rank * missing.count(side)];
                missing.product(side, fixed, rank, &mut out);
                for line in out.chunks_exact_mut(rank) {
                    for (v, total) in line.iter_mut().zip(&sum) {
                        // rounding must not leave less than nothing
                        *v = (total - *v).max(0.0);
                    }
                }
                out
            }
        }
    }

    /// Σ Ω of a matrix of this many entries.
    pub fn sum(&self, entries: usize) -> f64 {
        match self {
            Totals::Outer { features, samples } => {
                features.iter().sum::<f64>() * samples.iter().sum::<f64>()
            }
            Totals::Entries(weights) => weights.sum(),
            Totals::Except(missing) => entries as f64 - missing.sum(),
        }
    }

    pub fn sequential(self) -> Self {
        match self {
            Totals::Entries(data) => Totals::Entries(data.sequential()),
            Totals::Except(data) => Totals::Except(data.sequential()),
            outer => outer,
        }
    }
}

/// Ω ∘ X, with 0 for missing values, and what the divergence needs beside it.
pub struct WeightedKl<'a> {
    pub data: Data<'a>,
    pub totals: Totals<'a>,
    /// Σ ω (x log x − x).
    pub constant: f64,
}

impl WeightedKl<'_> {
    /// # Errors
    /// `Shape` when X and Ω do not belong together; `Argument` for a weight that
    /// is negative or not finite, and for entries beyond what a sparse matrix holds.
    pub fn new(x: Matrix<'_>, weights: Weights<'_>) -> Result<Self, CoreError> {
        let (m, n) = x.shape();
        weights.check((m, n))?;
        let mut missing = CscBuf::new(m);
        let mut given = CscBuf::new(m);
        let mut constant = 0.0;
        let mut weight = vec![1.0; m];
        // weights of 0 and 1 are a mask, the same as missing values
        let mut is_mask = !matches!(weights, Weights::Outer { .. });
        let mut gone = Vec::new();
        let mut any_gone = false;
        let mut weighted = Vec::with_capacity(x.n_stored());
        for j in 0..n {
            weights.column_into(j, &mut weight);
            gone.clear();
            x.for_each(j, |i, x| {
                if x.is_nan() {
                    gone.push(i);
                    weighted.push(0.0);
                    return;
                }
                if x > 0.0 && weight[i] > 0.0 {
                    constant += weight[i] * (x * x.ln() - x);
                }
                weighted.push(weight[i] * x);
            });
            gone.iter().for_each(|&i| weight[i] = 0.0);
            for (i, &weight) in weight.iter().enumerate().filter(|(_, &w)| w != 1.0) {
                is_mask &= weight == 0.0;
                if is_mask {
                    missing.push(i, 1.0);
                }
            }
            any_gone |= !gone.is_empty();
            missing.end_column()?;
            // of a mask they are those that are not missing
            if !matches!(weights, Weights::Equal) {
                let present = weight.iter().enumerate().filter(|(_, &w)| w > 0.0);
                present.for_each(|(i, &w)| given.push(i, w));
            }
            given.end_column()?;
        }
        let few_missing = 2 * missing.view().n_stored() <= m * n;
        let totals = match weights {
            Weights::Outer { features, samples } if !any_gone => {
                Totals::Outer { features: features.to_vec(), samples: samples.to_vec() }
            }
            _ if is_mask && few_missing => Totals::Except(Data::made(MatrixBuf::Sparse(missing))?),
            _ if is_mask => Totals::Entries(Data::made(compact(complement(&missing)?))?),
            _ => Totals::Entries(Data::made(compact(given))?),
        };
        Ok(WeightedKl { data: Data::made(x.with_stored(weighted))?, totals, constant })
    }

    /// The same, worked on by the calling thread alone.
    pub fn sequential(self) -> Self {
        let totals = self.totals.sequential();
        WeightedKl { data: self.data.sequential(), totals, constant: self.constant }
    }

    /// Σ Ω X / Σ Ω.
    pub fn mean(&self) -> f64 {
        let entries = self.data.count(Side::Basis) * self.data.count(Side::Coef);
        self.data.sum() / self.totals.sum(entries)
    }
}

/// The entries that are not in `listed`, each 1.
fn complement(listed: &CscBuf) -> Result<CscBuf, CoreError> {
    let listed = listed.view();
    let mut out = CscBuf::new(listed.n_rows());
    for j in 0..listed.n_columns() {
        let mut here = listed.column(j).0.iter().peekable();
        for i in 0..listed.n_rows() {
            if here.next_if(|&&row| row as usize == i).is_none() {
                out.push(i, 1.0);
            }
        }
        out.end_column()?;
    }
    Ok(out)
}

/// Dense when a fifth of the entries is there: products are then several times
/// faster.
fn compact(listed: CscBuf) -> MatrixBuf {
    let x = listed.view();
    if x.n_stored() * 5 < x.n_rows() * x.n_columns() {
        return MatrixBuf::Sparse(listed);
    }
    let mut dense = zeros(x.shape());
    for j in 0..x.n_columns() {
        let column = dense.col_mut(j);
        x.entries(j).for_each(|(i, value)| column[i] = value);
    }
    MatrixBuf::Dense(dense)
}
