//! The truncated singular value decomposition.

use super::coding::Coding;
use super::{Draft, Stop};
use crate::error::CoreError;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{svd, svd_scratch, ComputeSvdVectors};
use faer::{Mat, MatRef, Par};

/// The left singular vectors of the `size` largest singular values; fewer when
/// the rank is lower.
pub fn learn(coding: &Coding<'_>, size: usize) -> Result<Draft, CoreError> {
    coding.monitor.check()?;
    let (vectors, values) = left_singular(coding.profiles)?;
    let most = values[0];
    let floor = most * f64::EPSILON * coding.profiles.nrows().max(coding.profiles.ncols()) as f64;
    let rank = values.iter().take_while(|&&s| s > floor).count();
    let size = size.min(rank);
    let mut atoms = vectors.subcols(0, size).to_owned();
    for j in 0..size {
        fix_sign(atoms.col_as_slice_mut(j));
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

fn left_singular(x: MatRef<'_, f64>) -> Result<(Mat<f64>, Vec<f64>), CoreError> {
    let (rows, columns) = x.shape();
    let size = rows.min(columns);
    let mut vectors = Mat::zeros(rows, size);
    let mut values = Diag::<f64>::zeros(size);
    let (thin, none) = (ComputeSvdVectors::Thin, ComputeSvdVectors::No);
    let settings = Default::default();
    let scratch = svd_scratch::<f64>(rows, columns, thin, none, Par::Seq, settings);
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let into = Some(vectors.as_mut());
    svd(x, values.as_mut(), into, None, Par::Seq, stack, Default::default()).map_err(|_| {
        CoreError::Argument {
            name: "profiles",
            found: f64::NAN,
            expected: "a matrix whose singular values converge",
        }
    })?;
    Ok((vectors, values.column_vector().iter().copied().collect()))
}
