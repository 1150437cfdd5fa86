//! Eigenvalues and eigenvectors of symmetric matrices.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{self_adjoint_evd, self_adjoint_evd_scratch, ComputeEigenvectors};
use faer::{Mat, MatRef, Par};

/// Largest eigenvalue first, vectors in columns.
pub struct Spectrum {
    pub values: Vec<f64>,
    pub vectors: Mat<f64>,
}

/// The spectrum of a symmetric matrix, of which the lower triangle is read.
/// All NaN where the matrix holds a value that is no number.
pub fn spectrum(symmetric: MatRef<'_, f64>) -> Spectrum {
    let n = symmetric.nrows();
    let mut values = Diag::<f64>::zeros(n);
    let mut vectors = Mat::<f64>::zeros(n, n);
    let yes = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<f64>(n, yes, Par::Seq, Default::default());
    let done = self_adjoint_evd(
        symmetric,
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    );
    if done.is_err() {
        return Spectrum { values: vec![f64::NAN; n], vectors: Mat::full(n, n, f64::NAN) };
    }
    let values = values.column_vector();
    Spectrum {
        values: (0..n).rev().map(|k| values[k]).collect(),
        vectors: Mat::from_fn(n, n, |i, k| vectors[(i, n - 1 - k)]),
    }
}
