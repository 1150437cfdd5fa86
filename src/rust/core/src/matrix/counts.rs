//! Count matrices, genes × samples, one column at a time.

use super::Matrix;
use crate::base::error::{check_length, CoreError};

/// A count matrix and the gene that each of its rows stands for.  Nothing is
/// copied but one column at a time, already summed over the rows of one gene.
#[derive(Clone, Copy)]
pub struct Counts<'a> {
    matrix: Matrix<'a>,
    /// Target gene of each row; negative for a row that is left out.
    gene_of_row: &'a [i32],
    n_genes: usize,
}

impl<'a> Counts<'a> {
    /// # Errors
    /// `Shape` when there is not one gene per row, `Argument` when a row points to
    /// a gene that is not there.
    pub fn new<'m: 'a>(
        matrix: Matrix<'m>,
        gene_of_row: &'a [i32],
        n_genes: usize,
    ) -> Result<Self, CoreError> {
        check_length("gene_of_row", matrix.n_rows(), gene_of_row.len())?;
        if let Some(&bad) = gene_of_row.iter().find(|&&g| g >= 0 && g as usize >= n_genes) {
            let expected = "an index below the number of genes";
            return Err(CoreError::Argument { name: "gene_of_row", found: bad.into(), expected });
        }
        Ok(Counts { matrix: matrix.reborrow(), gene_of_row, n_genes })
    }

    pub fn n_samples(&self) -> usize {
        self.matrix.n_columns()
    }

    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Writes a column into `out` (length: genes), rows of one gene summed.
    pub fn column_into(&self, column: usize, out: &mut [f64]) {
        out.fill(0.0);
        self.matrix.for_each(column, |row, value| {
            let gene = self.gene_of_row[row];
            if gene >= 0 {
                out[gene as usize] += value;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENSE: [f64; 6] = [1.0, 0.0, 2.0, 0.0, 5.0, 0.0];

    #[test]
    fn rows_of_one_gene_are_summed_and_others_left_out() {
        let matrix = Matrix::dense(&DENSE, (3, 2)).unwrap();
        let counts = Counts::new(matrix, &[1, -1, 1], 2).unwrap();
        let mut column = [9.0; 2];
        counts.column_into(0, &mut column);
        assert_eq!(column, [0.0, 3.0]);
        counts.column_into(1, &mut column);
        assert_eq!(column, [0.0, 0.0]);
    }

    #[test]
    fn rows_and_genes_that_do_not_belong_together_are_refused() {
        let text = |genes: &[i32]| {
            let matrix = Matrix::dense(&DENSE, (3, 2)).unwrap();
            Counts::new(matrix, genes, 2).err().unwrap().to_string()
        };
        assert_eq!(text(&[0; 4]), "`gene_of_row` has 4 entries, not 3");
        assert_eq!(
            text(&[0, 1, 2]),
            "`gene_of_row` must be an index below the number of genes, not 2"
        );
    }
}
