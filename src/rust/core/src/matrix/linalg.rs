//! Linear algebra of dense matrices.  The only file that names the library behind
//! it.
//!
//! Everything runs on the calling thread: parallel work is cut into blocks one
//! floor up, so that the bits do not depend on the number of threads.

use super::{zeros, Array2, ArrayRef2};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::evd::{self_adjoint_evd, self_adjoint_evd_scratch, ComputeEigenvectors};
use faer::linalg::matmul;
use faer::linalg::svd::{self as singular, svd_scratch, ComputeSvdVectors};
use faer::{Accum, ColRef, MatMut, MatRef, Par};

/// Single and double precision.
pub trait Real: faer::traits::RealField + Copy + Default + From<f32> + Into<f64> {}
impl Real for f32 {}
impl Real for f64 {}

fn seen<T>(x: &ArrayRef2<T>) -> MatRef<'_, T> {
    let ((rows, columns), strides) = (x.dim(), x.strides());
    // SAFETY: `x` lives and is not written to while the view is; its entries are
    // where its strides say.
    unsafe { MatRef::from_raw_parts(x.as_ptr(), rows, columns, strides[0], strides[1]) }
}

fn seen_mut<T>(x: &mut ArrayRef2<T>) -> MatMut<'_, T> {
    let (rows, columns) = x.dim();
    let strides = [x.strides()[0], x.strides()[1]];
    // SAFETY: as above, and `x` is borrowed by the view alone; no two entries of a
    // matrix that can be written to share a place.
    unsafe { MatMut::from_raw_parts_mut(x.as_mut_ptr(), rows, columns, strides[0], strides[1]) }
}

/// out = a b, whatever `out` held.
///
/// # Panics
/// When the shapes do not fit, as everywhere in this file.
pub fn multiply<T: Real>(out: &mut ArrayRef2<T>, a: &ArrayRef2<T>, b: &ArrayRef2<T>) {
    matmul::matmul(seen_mut(out), Accum::Replace, seen(a), seen(b), T::one(), Par::Seq);
}

/// out += scale · a b.
pub fn add_product<T: Real>(out: &mut ArrayRef2<T>, scale: T, a: &ArrayRef2<T>, b: &ArrayRef2<T>) {
    matmul::matmul(seen_mut(out), Accum::Add, seen(a), seen(b), scale, Par::Seq);
}

/// out = a aᵀ.
pub fn gram<T: Real>(out: &mut ArrayRef2<T>, a: &ArrayRef2<T>) {
    multiply(out, a, &a.t());
}

/// √Σ x².
pub fn norm<T: Real>(x: &[T]) -> T {
    ColRef::from_slice(x).norm_l2()
}

/// a b.
pub fn product<T: Real>(a: &ArrayRef2<T>, b: &ArrayRef2<T>) -> Array2<T> {
    let mut out = zeros((a.nrows(), b.ncols()));
    multiply(&mut out, a, b);
    out
}

/// Eigenvalues and eigenvectors of a symmetric matrix: largest eigenvalue first,
/// vectors in columns.
pub struct Spectrum<T = f64> {
    pub values: Vec<T>,
    pub vectors: Array2<T>,
}

/// The spectrum of a symmetric matrix, of which the lower triangle is read.
/// All NaN where the matrix holds a value that is no number.
pub fn spectrum<T: Real>(symmetric: &ArrayRef2<T>) -> Spectrum<T> {
    let n = symmetric.nrows();
    let mut values = Diag::<T>::zeros(n);
    let mut vectors = zeros((n, n));
    let yes = ComputeEigenvectors::Yes;
    let scratch = self_adjoint_evd_scratch::<T>(n, yes, Par::Seq, Default::default());
    let done = self_adjoint_evd(
        seen(symmetric),
        values.as_mut(),
        Some(seen_mut(&mut vectors)),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    );
    if done.is_err() {
        vectors.fill(T::from(f32::NAN));
        return Spectrum { values: vec![T::from(f32::NAN); n], vectors };
    }
    let values = values.column_vector();
    Spectrum {
        values: (0..n).rev().map(|k| values[k]).collect(),
        vectors: super::from_fn((n, n), |i, k| vectors[(i, n - 1 - k)]),
    }
}

/// X = U diag(values) Vᵀ, thin: U is rows × s, V is columns × s, s the smaller
/// side.
pub struct Svd<T = f64> {
    pub left: Array2<T>,
    /// Largest first.
    pub values: Vec<T>,
    pub right: Array2<T>,
}

/// The singular value decomposition; `None` where the iteration does not
/// converge, as on values that are no numbers.
pub fn svd<T: Real>(x: &ArrayRef2<T>) -> Option<Svd<T>> {
    let size = x.nrows().min(x.ncols());
    let mut right = zeros((x.ncols(), size));
    let (left, values) = decompose(x, Some(&mut right))?;
    Some(Svd { left, values, right })
}

/// U and the values of [`svd`].
pub fn left_singular<T: Real>(x: &ArrayRef2<T>) -> Option<(Array2<T>, Vec<T>)> {
    decompose(x, None)
}

fn decompose<T: Real>(
    x: &ArrayRef2<T>,
    right: Option<&mut Array2<T>>,
) -> Option<(Array2<T>, Vec<T>)> {
    let (rows, columns) = x.dim();
    let size = rows.min(columns);
    let mut left = zeros((rows, size));
    let mut values = Diag::<T>::zeros(size);
    let thin = ComputeSvdVectors::Thin;
    let with_right = if right.is_some() { thin } else { ComputeSvdVectors::No };
    let settings = Default::default();
    let scratch = svd_scratch::<T>(rows, columns, thin, with_right, Par::Seq, settings);
    singular::svd(
        seen(x),
        values.as_mut(),
        Some(seen_mut(&mut left)),
        right.map(|right| seen_mut(right)),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        settings,
    )
    .ok()?;
    Some((left, values.column_vector().iter().copied().collect()))
}

/// The factor L of a positive definite matrix A = L Lᵀ.  For matrices beyond some
/// thirty rows; [`nnls::cholesky`](crate::nnls::cholesky) is for small ones and
/// bears singular ones.
pub struct Cholesky<T = f64> {
    factor: Array2<T>,
}

impl<T: Real> Cholesky<T> {
    /// Reads the lower triangle; `None` when the matrix is not positive definite.
    pub fn new(mut symmetric: Array2<T>) -> Option<Self> {
        let n = symmetric.nrows();
        let settings = Default::default();
        let scratch = llt::factor::cholesky_in_place_scratch::<T>(n, Par::Seq, settings);
        llt::factor::cholesky_in_place(
            seen_mut(&mut symmetric),
            Default::default(),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(scratch)),
            settings,
        )
        .ok()?;
        Some(Cholesky { factor: symmetric })
    }

    /// Columns of `right` become A⁻¹ times themselves.
    pub fn solve_in_place(&self, right: &mut ArrayRef2<T>) {
        let scratch =
            llt::solve::solve_in_place_scratch::<T>(self.factor.nrows(), right.ncols(), Par::Seq);
        llt::solve::solve_in_place(
            seen(&self.factor),
            seen_mut(right),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(scratch)),
        );
    }

    /// Columns of `right` become L⁻¹ times themselves.
    pub fn solve_lower_in_place(&self, right: &mut ArrayRef2<T>) {
        faer::linalg::triangular_solve::solve_lower_triangular_in_place(
            seen(&self.factor),
            seen_mut(right),
            Par::Seq,
        );
    }

    /// ½ log det A.
    pub fn half_log_determinant(&self) -> f64 {
        (0..self.factor.nrows()).map(|i| self.factor[(i, i)].into().ln()).sum()
    }

    /// A⁻¹.
    pub fn inverse(&self) -> Array2<T> {
        let n = self.factor.nrows();
        let mut inverse = zeros((n, n));
        inverse.diag_mut().fill(T::one());
        self.solve_in_place(&mut inverse);
        inverse
    }
}

#[cfg(test)]
mod tests {
    use super::super::{from_columns, from_fn};
    use super::*;

    fn wave<T: Real>(shape: (usize, usize)) -> Array2<T> {
        from_fn(shape, |i, j| T::from_f64_impl(((i * 7 + j * j * 3) as f64 * 0.37).sin()))
    }

    fn plain(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
        from_fn((a.nrows(), b.ncols()), |i, j| (0..a.ncols()).map(|k| a[(i, k)] * b[(k, j)]).sum())
    }

    fn near(a: &Array2<f64>, b: &Array2<f64>) -> bool {
        a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11)
    }

    #[test]
    fn products_are_those_of_any_layout() {
        let (a, b) = (wave::<f64>((13, 21)), wave::<f64>((21, 9)));
        let expected = plain(&a, &b);
        assert!(near(&product(&a, &b), &expected));
        let (turned_a, turned_b) = (a.t().to_owned(), b.t().to_owned());
        assert!(near(&product(&turned_a.t(), &turned_b.t()), &expected));
        let mut sum = expected.clone();
        add_product(&mut sum, -1.0, &a, &b);
        assert!(near(&sum, &zeros((13, 9))));
        // part of a larger matrix, written in place
        let mut large = zeros((20, 20));
        multiply(&mut large.slice_mut(ndarray::s![2..15, 4..13]), &a, &b);
        assert!(near(&large.slice(ndarray::s![2..15, 4..13]).to_owned(), &expected));
        assert_eq!(large.row(1).sum() + large.column(3).sum() + large.row(15).sum(), 0.0);
    }

    #[test]
    fn products_in_single_precision_are_near() {
        let single = product(&wave::<f32>((13, 21)), &wave::<f32>((21, 9)));
        let double = product(&wave::<f64>((13, 21)), &wave::<f64>((21, 9)));
        // 21 terms of size 1, each with an error of half a unit in 2^-24
        assert!(single.iter().zip(&double).all(|(s, d)| (f64::from(*s) - d).abs() < 21.0 * 6e-8));
    }

    #[test]
    fn a_symmetric_matrix_is_the_sum_of_its_parts() {
        let n = 30;
        let symmetric =
            from_fn((n, n), |i, j| ((i * j) as f64).sin() + if i == j { 3.0 } else { 0.0 });
        let Spectrum { values, vectors } = spectrum(&symmetric);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        let scaled = from_fn((n, n), |i, k| values[k] * vectors[(i, k)]);
        assert!(near(&plain(&scaled, &vectors.t().to_owned()), &symmetric));
        assert!(spectrum(&from_columns(&[f64::NAN], (1, 1))).values[0].is_nan());
    }

    #[test]
    fn a_matrix_is_the_sum_of_its_singular_parts() {
        for shape in [(12, 7), (7, 12)] {
            let x = wave::<f64>(shape);
            let Svd { left, values, right } = svd(&x).unwrap();
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]) && values[6] >= 0.0);
            let scaled = from_fn(left.dim(), |i, k| values[k] * left[(i, k)]);
            assert!(near(&plain(&scaled, &right.t().to_owned()), &x));
            let (alone, _) = left_singular(&x).unwrap();
            assert!(near(
                &product(&alone.t(), &alone),
                &from_fn((7, 7), |i, j| { f64::from(i == j) })
            ));
        }
        assert!(svd(&from_columns(&[f64::NAN; 4], (2, 2))).is_none());
    }

    #[test]
    fn a_factor_solves() {
        let x = wave::<f64>((50, 40));
        let mut matrix = product(&x.t(), &x);
        matrix.diag_mut().iter_mut().for_each(|d| *d += 1.0);
        let factor = Cholesky::new(matrix.clone()).unwrap();
        let right = wave::<f64>((40, 3));
        let mut solved = right.clone();
        factor.solve_in_place(&mut solved);
        assert!(near(&product(&matrix, &solved), &right));
        assert!(near(
            &product(&matrix, &factor.inverse()),
            &from_fn((40, 40), |i, j| f64::from(i == j))
        ));
        let log_determinant: f64 = spectrum(&matrix).values.iter().map(|v| v.ln()).sum();
        assert!((2.0 * factor.half_log_determinant() - log_determinant).abs() < 1e-10);
        // ‖L⁻¹ b‖² = bᵀ A⁻¹ b
        let mut half = right.clone();
        factor.solve_lower_in_place(&mut half);
        assert!(near(&product(&half.t(), &half), &product(&right.t(), &solved)));
        matrix[(0, 0)] = -1.0;
        assert!(Cholesky::new(matrix).is_none());
    }
}
