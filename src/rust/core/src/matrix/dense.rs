//! Dense matrices: `ndarray`'s, column-major, so that they come from R and go back
//! without turning them, and so that a column is a slice.

use super::{Array2, ArrayRef2, ArrayView2, ArrayView3, ArrayViewMut2};
use ndarray::{Axis, ShapeBuilder};

/// Entries in column-major order, seen as a matrix.
///
/// # Panics
/// When the number of entries is not that of the shape.
pub fn from_columns<T>(entries: &[T], shape: (usize, usize)) -> ArrayView2<'_, T> {
    ArrayView2::from_shape(shape.f(), entries).expect("an entry per row and column")
}

/// Entries in column-major order, seen as a matrix to write to.
///
/// # Panics
/// When the number of entries is not that of the shape.
pub fn from_columns_mut<T>(entries: &mut [T], shape: (usize, usize)) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape(shape.f(), entries).expect("an entry per row and column")
}

/// Matrices in column-major order, one behind the other, seen as an array.
///
/// # Panics
/// When the number of entries is not that of the shape.
pub fn from_layers<T>(entries: &[T], shape: (usize, usize, usize)) -> ArrayView3<'_, T> {
    ArrayView3::from_shape(shape.f(), entries).expect("an entry per row, column and layer")
}

/// A column-major matrix of zeros.
pub fn zeros<T: Clone + Default>(shape: (usize, usize)) -> Array2<T> {
    Array2::from_elem(shape.f(), T::default())
}

/// A column-major matrix of f(row, column), called column by column.
pub fn from_fn<T>(
    (n_rows, n_columns): (usize, usize),
    mut f: impl FnMut(usize, usize) -> T,
) -> Array2<T> {
    let mut entries = Vec::with_capacity(n_rows * n_columns);
    for column in 0..n_columns {
        entries.extend((0..n_rows).map(|row| f(row, column)));
    }
    owned_columns(entries, (n_rows, n_columns))
}

/// Entries in column-major order as a matrix.
///
/// # Panics
/// When the number of entries is not that of the shape.
pub fn owned_columns<T>(entries: Vec<T>, shape: (usize, usize)) -> Array2<T> {
    Array2::from_shape_vec(shape.f(), entries).expect("an entry per row and column")
}

/// A column of a column-major view, for as long as the entries live.
///
/// # Panics
/// When columns are not contiguous, or there is no such column.
#[inline]
pub fn column<T>(x: ArrayView2<'_, T>, column: usize) -> &[T] {
    x.index_axis_move(Axis(1), column).to_slice().expect("columns are contiguous")
}

/// Columns of a column-major matrix as slices.
pub trait Columns<T> {
    /// # Panics
    /// When columns are not contiguous, or there is no such column.
    fn col(&self, column: usize) -> &[T];
    /// # Panics
    /// As [`col`](Columns::col).
    fn col_mut(&mut self, column: usize) -> &mut [T];
}

impl<T> Columns<T> for ArrayRef2<T> {
    #[inline]
    fn col(&self, column: usize) -> &[T] {
        self.column(column).to_slice().expect("columns are contiguous")
    }

    #[inline]
    fn col_mut(&mut self, column: usize) -> &mut [T] {
        self.column_mut(column).into_slice().expect("columns are contiguous")
    }
}

/// f of the entries, rows and columns exchanged, column-major.
pub fn turned<T: Copy>(x: ArrayView2<'_, T>, f: impl Fn(T) -> f64) -> Array2<f64> {
    let (m, n) = x.dim();
    let mut out = vec![0.0; m * n];
    // tiles, so that reads and writes both stay in cache
    const TILE: usize = 32;
    for (tile, out) in out.chunks_mut((TILE * n).max(1)).enumerate() {
        for j in 0..n {
            for (r, row) in out.chunks_exact_mut(n).enumerate() {
                row[j] = f(x[(tile * TILE + r, j)]);
            }
        }
    }
    owned_columns(out, (n, m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_what_is_made_are_slices() {
        let mut made = from_fn((3, 2), |i, j| 10 * j + i);
        assert_eq!(made.col(1), [10, 11, 12]);
        made.col_mut(0)[2] = 7;
        assert_eq!(made[(2, 0)], 7);
        assert_eq!(zeros::<f64>((3, 2)).col(1), [0.0; 3]);
        assert_eq!(from_columns(&[1.0, 0.0, 2.0, 5.0], (2, 2)).col(1), [2.0, 5.0]);
        assert_eq!(from_columns(&[1.0, 0.0, 2.0], (1, 3)).col(2), [2.0]);
    }
}
