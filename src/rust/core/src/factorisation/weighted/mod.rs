//! Weighted factorisation under the Frobenius loss, with missing values, boxes
//! and penalties:
//!
//! minimise ½ Σ Ω_ij (X_ij − (W H)_ij)² + P(W) + P(H),  0 ≤ W ≤ u, 0 ≤ H ≤ u',
//!
//! with P(H) = Σ_j λ₁ 1ᵀh_j + ½ λ₂ ‖h_j‖² + ½ α Σ_{a≠b} h_aj h_bj and the same
//! over the rows of W.  Every column of H is a quadratic problem of its own with
//! the Gram matrix Wᵀ diag(Ω_j) W, every row of W likewise: each half-step
//! solves them by cyclic coordinate descent from the last point, so the
//! objective never rises.

mod gram;
mod line;
mod matrix;
mod model;

pub use matrix::WeightedMatrix;
pub use model::WeightedModel;

use super::alternate::{alternate, Outcome, Pair, Rules};
use super::data::Side;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::Monitor;
use rand::Rng;

/// A start with entries uniform on (0, s], s such that W H has the mean of X.
pub fn random_start(model: &WeightedModel, rng: &mut impl Rng) -> Pair {
    let (rank, (n_rows, n_columns)) = (model.rank, model.data.shape());
    let size = 2.0 * (model.data.mean().max(f64::MIN_POSITIVE) / rank as f64).sqrt();
    let [basis, coef] = [Side::Basis, Side::Coef].map(|side| model.constraint(side).upper);
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

/// Factorises from a start, which is first brought into the box; fixed components
/// stay as they start.
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
    let (n_rows, n_columns) = model.data.shape();
    check_length("basis", rank * n_rows, start.side(Side::Basis).len())?;
    check_length("coef", rank * n_columns, start.side(Side::Coef).len())?;
    for side in [Side::Basis, Side::Coef] {
        for &value in start.side(side) {
            check_value("start", value, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        }
        model.constraint(side).confine(rank, start.side_mut(side));
    }
    alternate(model, start, rules, monitor)
}
