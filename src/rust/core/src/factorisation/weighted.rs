//! Weighted factorisation under the Frobenius loss, with missing values, boxes
//! and penalties:
//!
//! minimise ½ Σ Ω_ij (X_ij − (W H)_ij)² + P(W) + P(H),  0 ≤ W ≤ u, 0 ≤ H ≤ u',
//!
//! with P(H) = Σ_j λ₁ 1ᵀh_j + ½ λ₂ ‖h_j‖² + ½ α Σ_{a≠b} h_aj h_bj and the same
//! over the rows of W.  Every column of H is a quadratic program of its own with
//! the Gram matrix Wᵀ diag(Ω_j) W, every row of W likewise: each half-step
//! solves them by cyclic coordinate descent from the last point, so the
//! objective never rises.

mod data;
mod gram;
mod line;
mod lists;
mod model;

pub use data::{Csc, Matrix, WeightedMatrix, Weights};
pub use model::WeightedModel;

use super::alternate::{alternate, Outcome, Pair, Rules};
use super::data::Side;
use crate::error::{check_length, check_value, CoreError};
use crate::parallel::Monitor;
use faer::{Mat, MatRef};
use gram::for_each_line;
use line::{descend, EXACT};
use rand::Rng;

/// Bounds and penalties of one factor.
#[derive(Clone, Copy, Debug)]
pub struct Restraint {
    /// Upper bound of every entry; infinite for none.
    pub upper: f64,
    /// λ₁ Σ entries.
    pub l1: f64,
    /// ½ λ₂ Σ entries².
    pub l2: f64,
    /// ½ α Σ_{a≠b} of products of two components: pushes them apart.
    pub angle: f64,
}

impl Default for Restraint {
    fn default() -> Self {
        Restraint { upper: f64::INFINITY, l1: 0.0, l2: 0.0, angle: 0.0 }
    }
}

impl Restraint {
    fn check(&self) -> Result<(), CoreError> {
        check_value("upper", self.upper, "above 0", |v| v > 0.0)?;
        for (name, value) in [("l1", self.l1), ("l2", self.l2), ("angle", self.angle)] {
            check_value(name, value, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        }
        Ok(())
    }

    /// Adds the penalty to a line's program.
    fn add_to(&self, gram: &mut [f64], right: &mut [f64]) {
        let rank = right.len();
        gram.iter_mut().for_each(|g| *g += self.angle);
        for r in 0..rank {
            gram[r * rank + r] += self.l2 - self.angle;
            right[r] -= self.l1;
        }
    }

    /// P of all lines.
    fn penalty(&self, factor: &[f64], rank: usize) -> f64 {
        if self.l1 == 0.0 && self.l2 == 0.0 && self.angle == 0.0 {
            return 0.0;
        }
        let of_line = |y: &[f64]| {
            let sum: f64 = y.iter().sum();
            let squares: f64 = y.iter().map(|v| v * v).sum();
            self.l1 * sum + 0.5 * self.l2 * squares + 0.5 * self.angle * (sum * sum - squares)
        };
        factor.chunks_exact(rank).map(of_line).sum()
    }
}

/// A start with entries uniform on (0, s], s such that W H has the mean of X.
pub fn random_start(model: &WeightedModel, rng: &mut impl Rng) -> Pair {
    let (rank, (n_rows, n_columns)) = (model.rank, model.data.shape());
    let size = 2.0 * (model.data.mean().max(f64::MIN_POSITIVE) / rank as f64).sqrt();
    let [basis, coef] = [model.restraints[0].upper, model.restraints[1].upper];
    let (basis, coef) = if size > basis {
        (basis, (size * size / basis).min(coef))
    } else if size > coef {
        ((size * size / coef).min(basis), coef)
    } else {
        (size, size)
    };
    let mut draw = |lines: usize, top: f64| -> Vec<f64> {
        (0..rank * lines).map(|_| top * (1.0 - rng.random::<f64>())).collect()
    };
    let basis = draw(n_rows, basis);
    let coef = draw(n_columns, coef);
    Pair { rank, factors: [basis, coef] }
}

/// Factorises from a start, which is first brought into the box; known columns of
/// the basis stay as they start.
///
/// # Errors
/// `Shape` or `Argument` for starts and settings that do not fit; `Interrupted`.
pub fn factorise_weighted(
    model: &WeightedModel,
    mut start: Pair,
    rules: &Rules,
    monitor: &Monitor<'_>,
) -> Result<Outcome, CoreError> {
    let rank = model.rank;
    check_value("rank", rank as f64, "at least 1", |v| v >= 1.0)?;
    check_value("known", model.known as f64, "at most the rank", |v| v <= rank as f64)?;
    let (n_rows, n_columns) = model.data.shape();
    check_length("basis", rank * n_rows, start.side(Side::Basis).len())?;
    check_length("coef", rank * n_columns, start.side(Side::Coef).len())?;
    for (side, known) in [(Side::Basis, model.known), (Side::Coef, 0)] {
        let restraint = &model.restraints[side.index()];
        restraint.check()?;
        for (at, value) in start.side_mut(side).iter_mut().enumerate() {
            check_value("start", *value, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
            if at % rank >= known {
                *value = value.min(restraint.upper);
            }
        }
    }
    alternate(model, start, rules, monitor)
}

/// The columns of H for a fixed W: one bounded quadratic program each.
///
/// # Errors
/// `Shape` when W does not belong to X.
pub fn weighted_coefficients(
    data: &WeightedMatrix,
    basis: MatRef<'_, f64>,
    restraint: &Restraint,
) -> Result<Mat<f64>, CoreError> {
    let rank = basis.ncols();
    check_length("basis", data.shape().0, basis.nrows())?;
    restraint.check()?;
    let fixed: Vec<f64> =
        (0..basis.nrows()).flat_map(|i| (0..rank).map(move |r| basis[(i, r)])).collect();
    let mut coef = vec![0.0; rank * data.shape().1];
    for_each_line(data.columns(), &fixed, rank, &mut coef, |gram, right, y| {
        restraint.add_to(gram, right);
        descend(gram, right, restraint.upper, 0, EXACT, y);
        0.0
    });
    Ok(Mat::from_fn(rank, data.shape().1, |r, j| coef[j * rank + r]))
}
