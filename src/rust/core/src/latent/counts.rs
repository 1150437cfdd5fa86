//! Counts above 0 of every cell, and of every gene.

use super::predictor::Side;
use crate::base::error::CoreError;
use crate::matrix::{Csc, CscBuf, Matrix};

/// The same counts twice: a column per cell, and a column per gene.
pub struct Counts {
    cells: CscBuf,
    genes: CscBuf,
}

impl Counts {
    /// Of a genes × cells matrix.  Zeros that a sparse one stores are left out.
    ///
    /// # Errors
    /// `Argument` beyond 2³¹ − 1 entries.
    pub fn new(x: Matrix<'_>) -> Result<Self, CoreError> {
        Counts::of(x.n_rows(), x.n_columns(), |cell, push| x.for_each(cell, push))
    }

    /// Of `cells` columns whose entries `column` pushes, genes ascending.
    ///
    /// # Errors
    /// As [`new`](Counts::new).
    pub fn of(
        genes: usize,
        cells: usize,
        mut column: impl FnMut(usize, &mut dyn FnMut(usize, f64)),
    ) -> Result<Self, CoreError> {
        let mut built = CscBuf::new(genes);
        for cell in 0..cells {
            column(cell, &mut |gene, y| {
                if y > 0.0 {
                    built.push(gene, y);
                }
            });
            built.end_column()?;
        }
        Ok(Counts { genes: built.view().transpose(), cells: built })
    }

    pub fn count(&self, side: Side) -> usize {
        self.by(side).n_columns()
    }

    /// A column per cell, or per gene.
    pub fn by(&self, side: Side) -> Csc<'_> {
        match side {
            Side::Cells => self.cells.view(),
            Side::Genes => self.genes.view(),
        }
    }

    /// Σ of the counts of each cell, or gene.
    pub fn totals(&self, side: Side) -> Vec<f64> {
        let lines = self.by(side);
        (0..lines.n_columns()).map(|line| lines.column(line).1.iter().sum()).collect()
    }
}
