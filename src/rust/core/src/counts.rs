//! Borrowed views of a genes × samples count matrix: dense doubles, dense
//! integers, or compressed sparse columns.  Nothing is copied but one column
//! at a time, already summed over the rows that stand for one gene.

use crate::error::{check_length, CoreError};

/// R's missing integer.
pub const NA_INTEGER: i32 = i32::MIN;

/// Values of a genes × samples matrix in column-major order.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    Double(&'a [f64]),
    Integer(&'a [i32]),
    /// Compressed sparse columns (`dgCMatrix`): `starts` has a length of
    /// columns + 1, `rows` are 0-based.
    Sparse {
        starts: &'a [i32],
        rows: &'a [i32],
        values: &'a [f64],
    },
}

/// A count matrix and the gene that each of its rows stands for.
#[derive(Clone, Copy)]
pub struct Counts<'a> {
    values: Values<'a>,
    n_rows: usize,
    n_columns: usize,
    /// Target gene of each row; negative for a row that is left out.
    gene_of_row: &'a [i32],
    n_genes: usize,
}

impl<'a> Counts<'a> {
    /// # Errors
    /// `Shape` when the lengths do not belong together, `Argument` when a row
    /// points to a gene that is not there.
    pub fn new(
        values: Values<'a>,
        (n_rows, n_columns): (usize, usize),
        gene_of_row: &'a [i32],
        n_genes: usize,
    ) -> Result<Self, CoreError> {
        match values {
            Values::Double(x) => check_length("counts", n_rows * n_columns, x.len())?,
            Values::Integer(x) => check_length("counts", n_rows * n_columns, x.len())?,
            Values::Sparse { starts, rows, values } => {
                check_length("starts", n_columns + 1, starts.len())?;
                check_length("rows", values.len(), rows.len())?;
            }
        }
        check_length("gene_of_row", n_rows, gene_of_row.len())?;
        if let Some(&bad) = gene_of_row.iter().find(|&&g| g >= n_genes as i32) {
            let expected = "an index below the number of genes";
            return Err(CoreError::Argument { name: "gene_of_row", found: bad.into(), expected });
        }
        Ok(Counts { values, n_rows, n_columns, gene_of_row, n_genes })
    }

    pub fn n_samples(&self) -> usize {
        self.n_columns
    }

    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Calls `f(row, value)` for the stored entries of a column.
    pub fn for_each(&self, column: usize, mut f: impl FnMut(usize, f64)) {
        let range = column * self.n_rows..(column + 1) * self.n_rows;
        match self.values {
            Values::Double(x) => {
                x[range].iter().enumerate().for_each(|(row, &value)| f(row, value))
            }
            Values::Integer(x) => {
                for (row, &value) in x[range].iter().enumerate() {
                    f(row, if value == NA_INTEGER { f64::NAN } else { value.into() });
                }
            }
            Values::Sparse { starts, rows, values } => {
                for at in starts[column] as usize..starts[column + 1] as usize {
                    f(rows[at] as usize, values[at]);
                }
            }
        }
    }

    /// Writes a column into `out` (length: genes), rows of one gene summed.
    pub fn column_into(&self, column: usize, out: &mut [f64]) {
        out.fill(0.0);
        self.for_each(column, |row, value| {
            let gene = self.gene_of_row[row];
            if gene >= 0 {
                out[gene as usize] += value;
            }
        });
    }

    /// What a caller must know of a matrix before it is used.
    pub fn scan(&self) -> Scan {
        let mut scan = Scan::default();
        for column in 0..self.n_columns {
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
        scan
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

    const DENSE: [f64; 6] = [1.0, 0.0, 2.0, 0.0, 5.0, 0.0];

    #[test]
    fn dense_integer_and_sparse_give_the_same_columns() {
        let integer = DENSE.map(|v| v as i32);
        let sparse =
            Values::Sparse { starts: &[0, 2, 3], rows: &[0, 2, 1], values: &[1.0, 2.0, 5.0] };
        let genes = [1, -1, 1];
        for values in [Values::Double(&DENSE), Values::Integer(&integer), sparse] {
            let counts = Counts::new(values, (3, 2), &genes, 2).unwrap();
            let mut column = [9.0; 2];
            counts.column_into(0, &mut column);
            assert_eq!(column, [0.0, 3.0]);
            let scan = counts.scan();
            assert_eq!(
                (scan.totals, scan.max, scan.integer, scan.missing),
                (vec![3.0, 5.0], 5.0, true, None)
            );
        }
    }

    #[test]
    fn a_scan_finds_the_first_bad_entry_of_each_kind() {
        let bad = [1.5, f64::NAN, -1.0, f64::INFINITY, f64::NAN, 0.0];
        let scan = Counts::new(Values::Double(&bad), (3, 2), &[0, 1, 2], 3).unwrap().scan();
        assert_eq!(scan.missing, Some((1, 0)));
        assert_eq!(scan.negative, Some((2, 0)));
        assert_eq!(scan.infinite, Some((0, 1)));
        assert!(!scan.integer);
        let missing = [1, NA_INTEGER];
        let scan = Counts::new(Values::Integer(&missing), (2, 1), &[0, 1], 2).unwrap().scan();
        assert_eq!(scan.missing, Some((1, 0)));
    }

    #[test]
    fn shapes_that_do_not_belong_together_are_refused() {
        let error = Counts::new(Values::Double(&DENSE), (4, 2), &[0; 4], 2).err().unwrap();
        assert_eq!(error.to_string(), "`counts` has 6 entries, not 8");
    }
}
