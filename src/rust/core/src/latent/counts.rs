//! Counts above 0 of every cell, and of every gene.

use super::predictor::Side;
use crate::counts::Counts as Matrix;
use crate::factorisation::weighted::Csc;

/// The same counts twice: genes × cells by columns, and by rows.
pub struct Counts {
    n: [usize; 2],
    lines: [Lines; 2],
}

struct Lines {
    starts: Vec<i32>,
    at: Vec<i32>,
    values: Vec<f64>,
}

fn index(side: Side) -> usize {
    match side {
        Side::Cells => 0,
        Side::Genes => 1,
    }
}

impl Counts {
    /// Zeros that a sparse matrix stores are left out.
    pub fn new(x: &Matrix<'_>) -> Self {
        let n = [x.n_samples(), x.n_genes()];
        let mut cells = Lines { starts: vec![0], at: Vec::new(), values: Vec::new() };
        for cell in 0..n[0] {
            x.for_each(cell, |gene, value| {
                if value > 0.0 {
                    cells.at.push(gene as i32);
                    cells.values.push(value);
                }
            });
            cells.starts.push(cells.at.len() as i32);
        }
        Counts { n, lines: [cells.transposed(n[1]), cells] }.swapped()
    }

    fn swapped(mut self) -> Self {
        self.lines.swap(0, 1);
        self
    }

    pub fn count(&self, side: Side) -> usize {
        self.n[index(side)]
    }

    /// A column per cell, or per gene.
    pub fn by(&self, side: Side) -> Csc<'_> {
        let Lines { starts, at, values } = &self.lines[index(side)];
        Csc { n_rows: self.n[index(side.other())], starts, rows: at, values }
    }

    /// Σ of the counts of each cell, or gene.
    pub fn totals(&self, side: Side) -> Vec<f64> {
        let lines = self.by(side);
        let sum = |w: &[i32]| lines.values[w[0] as usize..w[1] as usize].iter().sum();
        lines.starts.windows(2).map(sum).collect()
    }

    /// All counts above 0, cell by cell.
    pub fn values(&self) -> &[f64] {
        &self.lines[0].values
    }
}

impl Lines {
    fn transposed(&self, n: usize) -> Lines {
        let mut starts = vec![0i32; n + 1];
        self.at.iter().for_each(|&at| starts[at as usize + 1] += 1);
        for k in 0..n {
            starts[k + 1] += starts[k];
        }
        let mut next = starts.clone();
        let (mut at, mut values) = (vec![0; self.at.len()], vec![0.0; self.at.len()]);
        for line in 0..self.starts.len() - 1 {
            for k in self.starts[line] as usize..self.starts[line + 1] as usize {
                let place = &mut next[self.at[k] as usize];
                at[*place as usize] = line as i32;
                values[*place as usize] = self.values[k];
                *place += 1;
            }
        }
        Lines { starts, at, values }
    }
}
