//! Matrices: what the package is given, borrowed as it comes, and what it makes of
//! them.  [`dense`] ones are `ndarray`'s, sparse ones those of [`csc`]; linear
//! algebra is in [`linalg`] alone.

pub mod counts;
pub mod csc;
pub mod dense;
pub mod linalg;

pub use csc::{Csc, CscBuf};
pub use dense::{
    column, from_columns, from_columns_mut, from_fn, from_layers, owned_columns, turned, zeros,
    Columns,
};
pub use ndarray::{Array2, Array3, ArrayRef2, ArrayView2, ArrayView3, ArrayViewMut2};

use crate::base::error::{check_length, CoreError};
use crate::base::parallel::Monitor;

/// R's missing integer.
pub const NA_INTEGER: i32 = i32::MIN;

/// A borrowed matrix.  A missing whole number reads as NaN.
#[derive(Debug, Clone, Copy)]
pub enum Matrix<'a> {
    Dense(ArrayView2<'a, f64>),
    Whole(ArrayView2<'a, i32>),
    Sparse(Csc<'a>),
}

impl<'a> Matrix<'a> {
    /// Of entries in column-major order.
    ///
    /// # Errors
    /// `Shape` when the number of entries is not that of the shape.
    pub fn dense(entries: &'a [f64], shape: (usize, usize)) -> Result<Self, CoreError> {
        check_length("matrix", shape.0 * shape.1, entries.len())?;
        Ok(Matrix::Dense(from_columns(entries, shape)))
    }

    /// Of whole numbers in column-major order.
    ///
    /// # Errors
    /// `Shape` when the number of entries is not that of the shape.
    pub fn whole(entries: &'a [i32], shape: (usize, usize)) -> Result<Self, CoreError> {
        check_length("matrix", shape.0 * shape.1, entries.len())?;
        Ok(Matrix::Whole(from_columns(entries, shape)))
    }

    /// The same matrix for a shorter time, which views do not become by themselves.
    pub fn reborrow<'b>(self) -> Matrix<'b>
    where
        'a: 'b,
    {
        match self {
            Matrix::Dense(x) => Matrix::Dense(x.reborrow()),
            Matrix::Whole(x) => Matrix::Whole(x.reborrow()),
            Matrix::Sparse(x) => Matrix::Sparse(x),
        }
    }

    pub fn shape(&self) -> (usize, usize) {
        match self {
            Matrix::Dense(x) => x.dim(),
            Matrix::Whole(x) => x.dim(),
            Matrix::Sparse(x) => x.shape(),
        }
    }

    pub fn n_rows(&self) -> usize {
        self.shape().0
    }

    pub fn n_columns(&self) -> usize {
        self.shape().1
    }

    /// Entries that are stored: all but those that a sparse matrix leaves out.
    pub fn n_stored(&self) -> usize {
        match self {
            Matrix::Sparse(x) => x.n_stored(),
            _ => self.n_rows() * self.n_columns(),
        }
    }

    /// The stored values, column by column, as they lie in memory; `None` for whole
    /// numbers and for views in another order.
    pub fn stored(&self) -> Option<&'a [f64]> {
        match self {
            Matrix::Dense(x) => x.reversed_axes().to_slice(),
            Matrix::Whole(_) => None,
            Matrix::Sparse(x) => Some(x.values()),
        }
    }

    /// True when some stored value is NaN.
    pub fn has_missing(&self) -> bool {
        let mut missing = false;
        for column in 0..self.n_columns() {
            self.for_each(column, |_, value| missing |= value.is_nan());
        }
        missing
    }

    /// An entry, stored or not.
    pub fn get(&self, row: usize, column: usize) -> f64 {
        match self {
            Matrix::Dense(x) => x[(row, column)],
            Matrix::Whole(x) => whole(x[(row, column)]),
            Matrix::Sparse(x) => {
                let (rows, values) = x.column(column);
                rows.binary_search(&(row as i32)).map_or(0.0, |at| values[at])
            }
        }
    }

    /// Other values, one per stored entry and in their order, at the same places.
    pub fn with_stored(&self, values: Vec<f64>) -> MatrixBuf {
        match self {
            Matrix::Sparse(x) => MatrixBuf::Sparse(x.with_values(values)),
            _ => MatrixBuf::Dense(owned_columns(values, self.shape())),
        }
    }

    /// Rows and columns exchanged.
    pub fn transpose(&self) -> MatrixBuf {
        match self {
            Matrix::Dense(x) => MatrixBuf::Dense(turned(*x, |value| value)),
            Matrix::Whole(x) => MatrixBuf::Dense(turned(*x, whole)),
            Matrix::Sparse(x) => MatrixBuf::Sparse(x.transpose()),
        }
    }

    /// Calls `f(row, value)` for the stored entries of a column.
    pub fn for_each(&self, column: usize, mut f: impl FnMut(usize, f64)) {
        match self {
            Matrix::Dense(x) => {
                x.column(column).iter().enumerate().for_each(|(row, &value)| f(row, value))
            }
            Matrix::Whole(x) => {
                x.column(column).iter().enumerate().for_each(|(row, &value)| f(row, whole(value)))
            }
            Matrix::Sparse(x) => x.entries(column).for_each(|(row, value)| f(row, value)),
        }
    }

    /// Writes a column, zeros included, into `out`.
    pub fn column_into(&self, column: usize, out: &mut [f64]) {
        if let Matrix::Sparse(_) = self {
            out.fill(0.0);
        }
        self.for_each(column, |row, value| out[row] = value);
    }

    /// What a caller must know of a count matrix before it is used.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn scan(&self, monitor: &Monitor<'_>) -> Result<Scan, CoreError> {
        let mut scan = Scan::default();
        for column in 0..self.n_columns() {
            monitor.check()?;
            let mut total = 0.0;
            self.for_each(column, |row, value| {
                if !value.is_finite() {
                    let flag = if value.is_nan() { &mut scan.missing } else { &mut scan.infinite };
                    flag.get_or_insert((row, column));
                } else if value < 0.0 {
                    scan.negative.get_or_insert((row, column));
                }
                scan.max = scan.max.max(value);
                scan.integer &= value.fract() == 0.0;
                total += value;
            });
            scan.totals.push(total);
        }
        Ok(scan)
    }
}

fn whole(value: i32) -> f64 {
    if value == NA_INTEGER {
        f64::NAN
    } else {
        value.into()
    }
}

/// A matrix that this crate made.
#[derive(Debug, Clone)]
pub enum MatrixBuf {
    Dense(Array2<f64>),
    Sparse(CscBuf),
}

impl MatrixBuf {
    pub fn view(&self) -> Matrix<'_> {
        match self {
            MatrixBuf::Dense(x) => Matrix::Dense(x.view()),
            MatrixBuf::Sparse(x) => Matrix::Sparse(x.view()),
        }
    }
}

/// First entries (row, column) that no count matrix may have, the total of
/// each column, the largest entry, and whether all entries are whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    pub missing: Option<(usize, usize)>,
    pub infinite: Option<(usize, usize)>,
    pub negative: Option<(usize, usize)>,
    pub totals: Vec<f64>,
    pub max: f64,
    pub integer: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Scan {
            missing: None,
            infinite: None,
            negative: None,
            totals: Vec::new(),
            max: 0.0,
            integer: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;

    fn scanned(matrix: Matrix<'_>) -> Scan {
        unmonitored(|monitor| matrix.scan(monitor)).unwrap()
    }

    const DENSE: [f64; 6] = [1.0, 0.0, 2.0, 0.0, 5.0, 0.0];

    #[test]
    fn dense_whole_and_sparse_give_the_same_columns() {
        let whole = DENSE.map(|v| v as i32);
        let sparse = Csc::new(3, &[0, 2, 3], &[0, 2, 1], &[1.0, 2.0, 5.0]).unwrap();
        let shape = (3, 2);
        for matrix in [
            Matrix::dense(&DENSE, shape).unwrap(),
            Matrix::whole(&whole, shape).unwrap(),
            Matrix::Sparse(sparse),
        ] {
            assert_eq!(matrix.shape(), shape);
            let mut column = [9.0; 3];
            matrix.column_into(0, &mut column);
            assert_eq!(column, [1.0, 0.0, 2.0]);
            let scan = scanned(matrix);
            assert_eq!(
                (scan.totals, scan.max, scan.integer, scan.missing),
                (vec![3.0, 5.0], 5.0, true, None)
            );
        }
        assert_eq!(Matrix::Sparse(sparse).n_stored(), 3);
        assert_eq!(Matrix::dense(&DENSE, shape).unwrap().n_stored(), 6);
    }

    #[test]
    fn what_is_made_of_a_matrix_has_its_places() {
        let sparse = Csc::new(3, &[0, 2, 3], &[0, 2, 1], &[1.0, 2.0, 5.0]).unwrap();
        let whole = [1, 0, 2, 0, NA_INTEGER, 0];
        for matrix in [
            Matrix::dense(&DENSE, (3, 2)).unwrap(),
            Matrix::whole(&whole, (3, 2)).unwrap(),
            Matrix::Sparse(sparse),
        ] {
            let turned = matrix.transpose();
            assert_eq!(turned.view().shape(), (2, 3));
            let mut values = Vec::new();
            (0..2).for_each(|j| matrix.for_each(j, |_, value| values.push(2.0 * value)));
            let twice = matrix.with_stored(values);
            for (i, j) in (0..3).flat_map(|i| [(i, 0), (i, 1)]) {
                let value = matrix.get(i, j);
                assert_eq!(turned.view().get(j, i).to_bits(), value.to_bits());
                assert_eq!(twice.view().get(i, j).to_bits(), (2.0 * value).to_bits());
            }
            assert_eq!(matrix.has_missing(), matches!(matrix, Matrix::Whole(_)));
        }
        let dense = Matrix::dense(&DENSE, (3, 2)).unwrap();
        assert_eq!(dense.stored(), Some(&DENSE[..]));
        let turned = Matrix::Dense(from_columns(&DENSE, (3, 2)).reversed_axes());
        assert_eq!(turned.stored(), None);
    }

    #[test]
    fn a_scan_finds_the_first_bad_entry_of_each_kind() {
        let bad = [1.5, f64::NAN, -1.0, f64::INFINITY, f64::NAN, 0.0];
        let scan = scanned(Matrix::dense(&bad, (3, 2)).unwrap());
        assert_eq!(scan.missing, Some((1, 0)));
        assert_eq!(scan.negative, Some((2, 0)));
        assert_eq!(scan.infinite, Some((0, 1)));
        assert!(!scan.integer);
        let scan = scanned(Matrix::whole(&[1, NA_INTEGER], (2, 1)).unwrap());
        assert_eq!(scan.missing, Some((1, 0)));
    }

    #[test]
    fn entries_that_are_too_few_are_refused() {
        let error = Matrix::dense(&DENSE, (4, 2)).unwrap_err();
        assert_eq!(error.to_string(), "`matrix` has 6 entries, not 8");
    }
}
