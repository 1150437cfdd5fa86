//! Weights of the entries of X.

use crate::base::error::{check_length, check_value, CoreError};
use crate::matrix::{Matrix, MatrixBuf};

/// Weights Ω, finite and non-negative.  Where X is missing the weight is 0.
#[derive(Debug, Clone, Copy)]
pub enum Weights<'a> {
    /// All 1.
    Equal,
    /// Ω_ij = features_i samples_j.
    Outer { features: &'a [f64], samples: &'a [f64] },
    /// Entries that a sparse matrix does not store are 0.
    Entries(Matrix<'a>),
}

impl Weights<'_> {
    /// # Errors
    /// `Shape` when there is not a weight per entry of a matrix of this shape,
    /// `Argument` for one that is negative or not finite.
    pub fn check(&self, (m, n): (usize, usize)) -> Result<(), CoreError> {
        let check = |weight: f64| {
            let valid = |w: f64| w >= 0.0 && w.is_finite();
            check_value("weights", weight, "finite and non-negative", valid)
        };
        match self {
            Weights::Equal => Ok(()),
            Weights::Outer { features, samples } => {
                check_length("weights", m, features.len())?;
                check_length("weights", n, samples.len())?;
                features.iter().chain(*samples).try_for_each(|&weight| check(weight))
            }
            Weights::Entries(entries) => {
                check_length("weights", m, entries.n_rows())?;
                check_length("weights", n, entries.n_columns())?;
                let mut outcome = Ok(());
                for j in 0..n {
                    entries.for_each(j, |_, weight| {
                        if outcome.is_ok() {
                            outcome = check(weight);
                        }
                    });
                }
                outcome
            }
        }
    }

    /// Writes the weights of a sample into `out`.
    pub fn column_into(&self, sample: usize, out: &mut [f64]) {
        match self {
            Weights::Equal => out.fill(1.0),
            Weights::Outer { features, samples } => {
                out.iter_mut().zip(*features).for_each(|(out, f)| *out = f * samples[sample])
            }
            Weights::Entries(entries) => entries.column_into(sample, out),
        }
    }
}

/// X with zeros for missing values and for those without weight: what starts are
/// made of.  The weights are checked.
pub fn observed(x: Matrix<'_>, weights: Weights<'_>) -> MatrixBuf {
    let mut weight = vec![1.0; x.n_rows()];
    let mut values = Vec::with_capacity(x.n_stored());
    for j in 0..x.n_columns() {
        weights.column_into(j, &mut weight);
        x.for_each(j, |i, x| {
            values.push(if x.is_nan() || weight[i] == 0.0 { 0.0 } else { x });
        });
    }
    x.with_stored(values)
}
