//! A matrix and the weights of its entries, laid out for per-line Gram
//! matrices: the lines are the columns of X when H is solved for, its rows when
//! W is.
//!
//! Ω is a_i b_j plus a deviation that is sparse, or plain and dense.  The Gram
//! matrix of a line is then b_j Σ_i a_i w_i w_iᵀ, shared by all lines up to the
//! factor, plus a few rank-one terms; with a = b = 1 and the deviation −1 at
//! missing entries it is the common Gram matrix, down-dated.

use crate::base::error::{check_value, CoreError};
use crate::factorisation::weights::Weights;
use crate::matrix::{zeros, Array2, Columns, Csc, CscBuf, Matrix};

/// What a half-step needs of one side.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub n_index: usize,
    /// Factor of the shared Gram matrix per line, and its weights per index.
    pub shared: (&'a [f64], &'a [f64]),
    pub deviation: Matrix<'a>,
    /// Ω ∘ X.
    pub target: Matrix<'a>,
}

/// One orientation of the sparse parts.
struct Side {
    shared: Vec<f64>,
    deviation: CscBuf,
    target: CscBuf,
}

impl Side {
    /// Nothing is shared between so many lines, and nothing listed.
    fn empty(lines: usize) -> Self {
        Side { shared: vec![0.0; lines], deviation: CscBuf::new(0), target: CscBuf::new(0) }
    }
}

/// A matrix with weights.
pub struct WeightedMatrix {
    n_rows: usize,
    n_columns: usize,
    outer: (Vec<f64>, Vec<f64>),
    columns: Side,
    rows: Side,
    dense_target: Option<Array2<f64>>,
    dense_weights: Option<Array2<f64>>,
    /// Σ Ω X².
    sum_of_squares: f64,
    /// Σ Ω X and Σ Ω.
    totals: (f64, f64),
    /// Entries with a weight above 0 per row and column.
    observed: (Vec<usize>, Vec<usize>),
}

impl WeightedMatrix {
    /// # Errors
    /// `Shape` when X and Ω do not belong together; `Argument` for a negative or
    /// infinite weight, an infinite entry of X, or an X without any weight.
    pub fn new(x: Matrix<'_>, weights: Weights<'_>) -> Result<Self, CoreError> {
        let (n_rows, n_columns) = x.shape();
        weights.check((n_rows, n_columns))?;
        let outer = match weights {
            Weights::Outer { features, samples } => (features.to_vec(), samples.to_vec()),
            _ => (vec![1.0; n_rows], vec![1.0; n_columns]),
        };
        let mut data = WeightedMatrix {
            n_rows,
            n_columns,
            outer,
            columns: Side::empty(n_columns),
            rows: Side::empty(n_rows),
            dense_target: None,
            dense_weights: None,
            sum_of_squares: 0.0,
            totals: (0.0, 0.0),
            observed: (vec![0; n_rows], vec![0; n_columns]),
        };
        match weights {
            Weights::Entries(Matrix::Sparse(weights)) => data.set_listed(x, weights)?,
            _ => data.set_from_outer(x, weights)?,
        }
        check_value("weights", data.totals.1, "above 0 somewhere", |v| v > 0.0)?;
        Ok(data)
    }

    pub fn shape(&self) -> (usize, usize) {
        (self.n_rows, self.n_columns)
    }

    /// Σ Ω X².
    pub fn sum_of_squares(&self) -> f64 {
        self.sum_of_squares
    }

    /// Σ Ω X / Σ Ω.
    pub fn mean(&self) -> f64 {
        self.totals.0 / self.totals.1
    }

    /// Entries with a weight above 0, per row and per column.
    pub fn observed(&self) -> (&[usize], &[usize]) {
        (&self.observed.0, &self.observed.1)
    }

    pub(super) fn columns(&self) -> Lines<'_> {
        Lines {
            n_index: self.n_rows,
            shared: (&self.columns.shared, &self.outer.0),
            deviation: laid_out(&self.columns.deviation, &self.dense_weights, false),
            target: laid_out(&self.columns.target, &self.dense_target, false),
        }
    }

    pub(super) fn rows(&self) -> Lines<'_> {
        Lines {
            n_index: self.n_columns,
            shared: (&self.rows.shared, &self.outer.1),
            deviation: laid_out(&self.rows.deviation, &self.dense_weights, true),
            target: laid_out(&self.rows.target, &self.dense_target, true),
        }
    }

    /// Ω ∘ (X − W H) of a column; the factors are rank × lines.
    pub(super) fn residual(&self, j: usize, basis: &[f64], coef: &[f64], rank: usize) -> Vec<f64> {
        let lines = self.columns();
        let column = |of: Matrix<'_>| {
            let mut out = vec![0.0; self.n_rows];
            of.column_into(j, &mut out);
            out
        };
        let (target, deviation) = (column(lines.target), column(lines.deviation));
        let use_of = &coef[j * rank..(j + 1) * rank];
        let mut out = target;
        for (i, row) in basis.chunks_exact(rank).enumerate() {
            let weight = lines.shared.0[j] * lines.shared.1[i] + deviation[i];
            out[i] -= weight * row.iter().zip(use_of).map(|(w, h)| w * h).sum::<f64>();
        }
        out
    }

    /// Counts an entry and gives its part of Ω ∘ X.
    fn add(&mut self, i: usize, j: usize, weight: f64, x: f64) -> Result<f64, CoreError> {
        if weight == 0.0 {
            return Ok(0.0);
        }
        check_value("x", x, "finite", f64::is_finite)?;
        self.observed.0[i] += 1;
        self.observed.1[j] += 1;
        self.totals.0 += weight * x;
        self.totals.1 += weight;
        self.sum_of_squares += weight * x * x;
        Ok(weight * x)
    }

    /// Ω as lists: nothing is shared between lines.
    fn set_listed(&mut self, x: Matrix<'_>, weights: Csc<'_>) -> Result<(), CoreError> {
        let (mut listed, mut target) = (CscBuf::new(self.n_rows), CscBuf::new(self.n_rows));
        let mut column = vec![0.0; self.n_rows];
        for j in 0..self.n_columns {
            x.column_into(j, &mut column);
            for (i, weight) in weights.entries(j) {
                let weight = if column[i].is_nan() { 0.0 } else { weight };
                let value = self.add(i, j, weight, column[i])?;
                if weight > 0.0 {
                    listed.push(i, weight);
                }
                if value != 0.0 {
                    target.push(i, value);
                }
            }
            listed.end_column()?;
            target.end_column()?;
        }
        self.rows.deviation = listed.view().transpose();
        self.rows.target = target.view().transpose();
        self.columns.deviation = listed;
        self.columns.target = target;
        Ok(())
    }

    /// Ω as a_i b_j and the entries that differ from it.
    fn set_from_outer(&mut self, x: Matrix<'_>, weights: Weights<'_>) -> Result<(), CoreError> {
        let (n_rows, n_columns) = self.shape();
        let mut differing = CscBuf::new(n_rows);
        let mut sparse_target = CscBuf::new(n_rows);
        let is_sparse = matches!(x, Matrix::Sparse(_));
        let mut dense_target = (!is_sparse).then(|| zeros((n_rows, n_columns)));
        let (mut weight, mut column) = (vec![0.0; n_rows], vec![0.0; n_rows]);
        for j in 0..n_columns {
            weights.column_into(j, &mut weight);
            x.column_into(j, &mut column);
            for (i, value) in column.iter_mut().enumerate() {
                if value.is_nan() {
                    weight[i] = 0.0;
                }
                *value = self.add(i, j, weight[i], *value)?;
            }
            match &mut dense_target {
                Some(target) => target.col_mut(j).copy_from_slice(&column),
                None => push_nonzero(&mut sparse_target, &column)?,
            }
            for (i, &weight) in weight.iter().enumerate() {
                if weight != self.outer.0[i] * self.outer.1[j] {
                    differing.push(i, weight);
                }
            }
            differing.end_column()?;
        }
        let by_row = differing.view().transpose();
        self.columns = self.side(differing.view(), &self.outer.1, &self.outer.0)?;
        self.rows = self.side(by_row.view(), &self.outer.0, &self.outer.1)?;
        // Products with a dense Ω cost a tenth per entry of those with lists.
        let listed = |side: &Side| side.deviation.view().n_stored();
        if listed(&self.columns).min(listed(&self.rows)) > n_rows * n_columns / 10 {
            let mut dense = zeros((n_rows, n_columns));
            for j in 0..n_columns {
                let column = dense.col_mut(j);
                let base = column.iter_mut().zip(&self.outer.0);
                base.for_each(|(weight, a)| *weight = a * self.outer.1[j]);
                differing.view().entries(j).for_each(|(i, weight)| column[i] = weight);
            }
            self.dense_weights = Some(dense);
            self.columns = Side::empty(n_columns);
            self.rows = Side::empty(n_rows);
        }
        if is_sparse {
            self.rows.target = sparse_target.view().transpose();
            self.columns.target = sparse_target;
        }
        self.dense_target = dense_target;
        Ok(())
    }

    /// The lists of one orientation.  A line that differs in more than half of
    /// its entries has its weights listed instead: down-dating the shared Gram
    /// matrix by most of itself would leave rounding errors.
    fn side(
        &self,
        differing: Csc<'_>,
        line_base: &[f64],
        index_base: &[f64],
    ) -> Result<Side, CoreError> {
        let n_index = index_base.len();
        let mut shared = line_base.to_vec();
        let mut deviation = CscBuf::new(n_index);
        let mut weights = vec![0.0; n_index];
        for (line, &line_base) in line_base.iter().enumerate() {
            let own = differing.entries(line);
            if 2 * own.len() > n_index {
                shared[line] = 0.0;
                for (weight, base) in weights.iter_mut().zip(index_base) {
                    *weight = base * line_base;
                }
                own.for_each(|(at, weight)| weights[at] = weight);
                for (at, &weight) in weights.iter().enumerate().filter(|(_, &w)| w > 0.0) {
                    deviation.push(at, weight);
                }
            } else {
                own.for_each(|(at, w)| deviation.push(at, w - index_base[at] * line_base));
            }
            deviation.end_column()?;
        }
        Ok(Side { shared, deviation, target: CscBuf::new(0) })
    }
}

/// One more column of what is not zero.
fn push_nonzero(out: &mut CscBuf, column: &[f64]) -> Result<(), CoreError> {
    let nonzero = column.iter().enumerate().filter(|(_, &value)| value != 0.0);
    nonzero.for_each(|(i, &value)| out.push(i, value));
    out.end_column()
}

/// What is listed, or dense where that is there: turned for the lines of W.
fn laid_out<'a>(listed: &'a CscBuf, dense: &'a Option<Array2<f64>>, turn: bool) -> Matrix<'a> {
    match dense {
        Some(dense) if turn => Matrix::Dense(dense.t()),
        Some(dense) => Matrix::Dense(dense.view()),
        None => Matrix::Sparse(listed.view()),
    }
}
