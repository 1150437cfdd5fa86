//! Sparse activities of many samples: compressed columns, atoms × samples, atoms in
//! the order in which they were chosen.

use crate::base::error::CoreError;
use crate::base::simd::vectors::add_scaled;
use crate::matrix::{column, ArrayView2, Csc, CscBuf};

/// Adds a sample.
///
/// # Errors
/// `Argument` for more activities than a sparse matrix holds.
pub fn push(codes: &mut CscBuf, atoms: &[usize], values: &[f64]) -> Result<(), CoreError> {
    assert_eq!(atoms.len(), values.len(), "an activity per atom");
    codes.push_column(atoms.iter().copied().zip(values.iter().copied()))
}

/// Adds all samples of `other`.
///
/// # Errors
/// As [`push`].
pub fn append(codes: &mut CscBuf, other: Csc<'_>) -> Result<(), CoreError> {
    (0..other.n_columns()).try_for_each(|sample| codes.push_column(other.entries(sample)))
}

/// How many samples use each atom.
pub fn use_of_atoms(codes: Csc<'_>) -> Vec<usize> {
    let mut uses = vec![0; codes.n_rows()];
    for (&atom, &value) in codes.rows().iter().zip(codes.values()) {
        uses[atom as usize] += usize::from(value != 0.0);
    }
    uses
}

/// The same activities over the atoms `kept` alone; those of others, which must be
/// zero, are left out.
///
/// # Errors
/// As [`push`].
pub fn restricted(codes: Csc<'_>, kept: &[usize]) -> Result<CscBuf, CoreError> {
    let mut place = vec![usize::MAX; codes.n_rows()];
    kept.iter().enumerate().for_each(|(new, &old)| place[old] = new);
    let mut out = CscBuf::with_capacity(kept.len(), codes.n_columns(), codes.n_stored());
    for sample in 0..codes.n_columns() {
        let entries = codes.entries(sample).map(|(atom, value)| (place[atom], value));
        out.push_column(entries.filter(|&(atom, _)| atom != usize::MAX))?;
    }
    Ok(out)
}

/// out = U w for a sample.
pub fn expand(codes: Csc<'_>, sample: usize, atoms: ArrayView2<'_, f64>, out: &mut [f64]) {
    out.fill(0.0);
    for (atom, value) in codes.entries(sample) {
        add_scaled(out, value, column(atoms, atom));
    }
}
