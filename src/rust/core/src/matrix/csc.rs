//! Compressed sparse columns: one borrowed type, one owned, and the only
//! transpose.

use crate::base::error::{check_length, CoreError};

/// Borrowed compressed sparse columns, laid out as R's `dgCMatrix` has them: the
/// entries of column j are those from `starts[j]` to `starts[j + 1]`, rows counted
/// from 0.  Checked when made: whatever is asked of it afterwards stays inside.
///
/// `Csc<()>` is a pattern: places without values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Csc<'a, T = f64> {
    n_rows: usize,
    starts: &'a [i32],
    rows: &'a [i32],
    values: &'a [T],
}

impl<'a, T: Copy> Csc<'a, T> {
    /// `n_rows` × (length of `starts` − 1).
    ///
    /// # Errors
    /// `Shape` when lengths do not belong together; `Argument` for starts that
    /// fall or do not begin at 0, and for rows that are not there or do not
    /// ascend within a column.
    pub fn new(
        n_rows: usize,
        starts: &'a [i32],
        rows: &'a [i32],
        values: &'a [T],
    ) -> Result<Self, CoreError> {
        let refuse = |name, found: i32, expected| {
            Err(CoreError::Argument { name, found: found.into(), expected })
        };
        check_length("rows", values.len(), rows.len())?;
        let Some(&first) = starts.first() else {
            return Err(CoreError::Shape { what: "starts", expected: 1, found: 0 });
        };
        if first != 0 {
            return refuse("starts", first, "0 at the first column");
        }
        if let Some(pair) = starts.windows(2).find(|pair| pair[0] > pair[1]) {
            return refuse("starts", pair[1], "ascending from column to column");
        }
        check_length("starts", values.len(), starts[starts.len() - 1] as usize)?;
        for pair in starts.windows(2) {
            let mut last = -1;
            for &row in &rows[pair[0] as usize..pair[1] as usize] {
                if row <= last {
                    return refuse("rows", row, "ascending within a column");
                }
                last = row;
            }
            if last as i64 >= n_rows as i64 {
                return refuse("rows", last, "below the number of rows");
            }
        }
        Ok(Csc { n_rows, starts, rows, values })
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub fn n_columns(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn shape(&self) -> (usize, usize) {
        (self.n_rows(), self.n_columns())
    }

    /// Entries that are stored.
    pub fn n_stored(&self) -> usize {
        self.rows.len()
    }

    pub fn starts(&self) -> &'a [i32] {
        self.starts
    }

    pub fn rows(&self) -> &'a [i32] {
        self.rows
    }

    pub fn values(&self) -> &'a [T] {
        self.values
    }

    /// Rows and values of a column.
    #[inline]
    pub fn column(&self, column: usize) -> (&'a [i32], &'a [T]) {
        let range = self.starts[column] as usize..self.starts[column + 1] as usize;
        (&self.rows[range.clone()], &self.values[range])
    }

    /// The entries (row, value) of a column.
    #[inline]
    pub fn entries(&self, column: usize) -> impl ExactSizeIterator<Item = (usize, T)> + 'a {
        let (rows, values) = self.column(column);
        rows.iter().zip(values).map(|(&row, &value)| (row as usize, value))
    }

    /// Rows and columns exchanged, in each column ascending.
    pub fn transpose(&self) -> CscBuf<T>
    where
        T: Default,
    {
        let mut starts = vec![0i32; self.n_rows + 1];
        self.rows.iter().for_each(|&row| starts[row as usize + 1] += 1);
        for row in 0..self.n_rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; self.n_stored()];
        let mut values = vec![T::default(); self.n_stored()];
        for column in 0..self.n_columns() {
            for (row, value) in self.entries(column) {
                let at = next[row] as usize;
                (rows[at], values[at]) = (column as i32, value);
                next[row] += 1;
            }
        }
        CscBuf { n_rows: self.n_columns(), starts, rows, values }
    }

    /// The same entries, owned.
    pub fn to_owned(&self) -> CscBuf<T> {
        self.with_values(self.values.to_vec())
    }

    /// The same places with other values, one per stored entry.
    pub fn with_values<U>(&self, values: Vec<U>) -> CscBuf<U> {
        assert_eq!(values.len(), self.n_stored(), "a value per stored entry");
        CscBuf {
            n_rows: self.n_rows,
            starts: self.starts.to_vec(),
            rows: self.rows.to_vec(),
            values,
        }
    }
}

/// Owned compressed sparse columns, built column by column.  Rows of a column
/// stand in the order in which they were pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct CscBuf<T = f64> {
    n_rows: usize,
    starts: Vec<i32>,
    rows: Vec<i32>,
    values: Vec<T>,
}

impl<T: Copy> CscBuf<T> {
    /// `n_rows` × 0.
    pub fn new(n_rows: usize) -> Self {
        CscBuf { n_rows, starts: vec![0], rows: Vec::new(), values: Vec::new() }
    }

    /// `n_rows` × 0, with room for columns and entries to come.
    pub fn with_capacity(n_rows: usize, n_columns: usize, n_stored: usize) -> Self {
        let mut starts = Vec::with_capacity(n_columns + 1);
        starts.push(0);
        let (rows, values) = (Vec::with_capacity(n_stored), Vec::with_capacity(n_stored));
        CscBuf { n_rows, starts, rows, values }
    }

    /// No columns; the room stays.
    pub fn clear(&mut self) {
        self.starts.truncate(1);
        self.rows.clear();
        self.values.clear();
    }

    /// Adds an entry to the column that is being built.
    ///
    /// # Panics
    /// For a row that is not there.
    #[inline]
    pub fn push(&mut self, row: usize, value: T) {
        assert!(row < self.n_rows, "row {row} of {}", self.n_rows);
        self.rows.push(row as i32);
        self.values.push(value);
    }

    /// Ends the column that is being built.
    ///
    /// # Errors
    /// `Argument` beyond 2³¹ − 1 entries, which R's sparse matrices do not hold
    /// either.
    pub fn end_column(&mut self) -> Result<(), CoreError> {
        let stored = self.rows.len();
        let end = i32::try_from(stored).map_err(|_| CoreError::Argument {
            name: "sparse entries",
            found: stored as f64,
            expected: "at most 2147483647",
        })?;
        self.starts.push(end);
        Ok(())
    }

    /// Adds a whole column, its entries in their order.
    ///
    /// # Errors
    /// As [`end_column`](CscBuf::end_column).
    pub fn push_column(
        &mut self,
        entries: impl IntoIterator<Item = (usize, T)>,
    ) -> Result<(), CoreError> {
        entries.into_iter().for_each(|(row, value)| self.push(row, value));
        self.end_column()
    }

    /// Starts, rows and values of the columns that are built.
    pub fn into_slots(mut self) -> (Vec<i32>, Vec<i32>, Vec<T>) {
        let stored = self.starts[self.starts.len() - 1] as usize;
        self.rows.truncate(stored);
        self.values.truncate(stored);
        (self.starts, self.rows, self.values)
    }

    /// The columns that are built.
    pub fn view(&self) -> Csc<'_, T> {
        let stored = self.starts[self.starts.len() - 1] as usize;
        Csc {
            n_rows: self.n_rows,
            starts: &self.starts,
            rows: &self.rows[..stored],
            values: &self.values[..stored],
        }
    }

    /// Rows of the stored entries, and their values to be changed in place.
    pub fn entries_mut(&mut self) -> (&[i32], &mut [T]) {
        (&self.rows, &mut self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTS: [i32; 5] = [0, 2, 2, 3, 6];
    const ROWS: [i32; 6] = [0, 2, 1, 0, 1, 2];
    const VALUES: [f64; 6] = [1.0, 2.0, 5.0, 3.0, 4.0, 6.0];

    #[test]
    fn a_matrix_turned_twice_is_itself() {
        let matrix = Csc::new(3, &STARTS, &ROWS, &VALUES).unwrap();
        let turned = matrix.transpose();
        assert_eq!(turned.view().shape(), (4, 3));
        assert_eq!(turned.view().column(0), (&[0, 3][..], &[1.0, 3.0][..]));
        assert_eq!(turned.view().transpose().view(), matrix);
        let pattern = matrix.with_values(vec![(); 6]);
        let turned_pattern = pattern.view().transpose();
        assert_eq!(turned_pattern.view().rows(), turned.view().rows());
    }

    #[test]
    fn what_is_built_is_what_was_pushed() {
        let matrix = Csc::new(3, &STARTS, &ROWS, &VALUES).unwrap();
        let mut built = CscBuf::new(3);
        (0..4).for_each(|j| built.push_column(matrix.entries(j)).unwrap());
        assert_eq!(built.view(), matrix);
        let (rows, values) = built.entries_mut();
        rows.iter().zip(values).for_each(|(&row, value)| *value *= f64::from(row));
        assert_eq!(built.view().column(3).1, [0.0, 4.0, 12.0]);
    }

    #[test]
    fn layouts_that_are_none_are_refused() {
        let text = |n_rows, starts: &[i32], rows: &[i32]| {
            let values = vec![1.0; rows.len()];
            Csc::new(n_rows, starts, rows, &values).unwrap_err().to_string()
        };
        assert_eq!(text(3, &[], &[]), "`starts` has 0 entries, not 1");
        assert_eq!(text(3, &[1, 2], &[0, 1]), "`starts` must be 0 at the first column, not 1");
        assert_eq!(
            text(3, &[0, 2, 1], &[0, 1]),
            "`starts` must be ascending from column to column, not 1"
        );
        assert_eq!(text(3, &[0, 3], &[0, 1]), "`starts` has 3 entries, not 2");
        assert_eq!(text(3, &[0, 2], &[1, 1]), "`rows` must be ascending within a column, not 1");
        assert_eq!(text(3, &[0, 1], &[-1]), "`rows` must be ascending within a column, not -1");
        assert_eq!(text(3, &[0, 1], &[3]), "`rows` must be below the number of rows, not 3");
    }
}
