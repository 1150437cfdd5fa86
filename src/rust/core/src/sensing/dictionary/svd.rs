//! The truncated singular value decomposition.

use super::coding::Coding;
use super::Draft;
use crate::base::convergence::Stop;
use crate::base::error::CoreError;
use crate::matrix::linalg::left_singular;
use crate::matrix::{from_fn, Columns};

/// The left singular vectors of the `size` largest singular values; fewer when
/// the rank is lower.
pub fn learn(coding: &Coding<'_>, size: usize) -> Result<Draft, CoreError> {
    coding.monitor.check()?;
    let (vectors, values) = left_singular(&coding.profiles).ok_or(CoreError::Argument {
        name: "profiles",
        found: f64::NAN,
        expected: "a matrix whose singular values converge",
    })?;
    let most = values[0];
    let floor = most * f64::EPSILON * coding.profiles.nrows().max(coding.profiles.ncols()) as f64;
    let rank = values.iter().take_while(|&&s| s > floor).count();
    let size = size.min(rank);
    let mut atoms = from_fn((vectors.nrows(), size), |g, j| vectors[(g, j)]);
    for j in 0..size {
        fix_sign(atoms.col_mut(j));
    }
    let left: f64 = values[size..].iter().map(|s| s * s).sum();
    Ok(Draft {
        atoms,
        codes: None,
        trace: vec![left / coding.norm],
        stop: Stop::Direct,
        replaced: 0,
        nonnegative: false,
        smaf: None,
    })
}

/// Singular vectors have no sign of their own: the entry of largest size is
/// made positive.
fn fix_sign(vector: &mut [f64]) {
    let largest = vector.iter().fold(0.0f64, |m, v| if v.abs() > m.abs() { *v } else { m });
    if largest < 0.0 {
        vector.iter_mut().for_each(|v| *v = -*v);
    }
}
