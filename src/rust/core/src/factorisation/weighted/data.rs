//! A matrix and the weights of its entries, laid out for per-line Gram
//! matrices: the lines are the columns of X when H is solved for, its rows when
//! W is.
//!
//! Ω is a_i b_j plus a deviation that is sparse, or plain and dense.  The Gram
//! matrix of a line is then b_j Σ_i a_i w_i w_iᵀ, shared by all lines up to the
//! factor, plus a few rank-one terms; with a = b = 1 and the deviation −1 at
//! missing entries it is the common Gram matrix, down-dated.

use super::lists::Compressed;
use crate::error::{check_length, check_value, CoreError};
use faer::{Mat, MatRef};

/// Compressed sparse columns as R's `dgCMatrix` has them, rows ascending.
#[derive(Clone, Copy)]
pub struct Csc<'a> {
    pub n_rows: usize,
    pub starts: &'a [i32],
    pub rows: &'a [i32],
    pub values: &'a [f64],
}

impl<'a> Csc<'a> {
    fn n_columns(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn column(&self, j: usize) -> impl Iterator<Item = (usize, f64)> + 'a {
        let range = self.starts[j] as usize..self.starts[j + 1] as usize;
        let rows = self.rows[range.clone()].iter();
        rows.zip(&self.values[range]).map(|(&row, &value)| (row as usize, value))
    }
}

/// A borrowed matrix, features × samples.
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    Dense(MatRef<'a, f64>),
    Sparse(Csc<'a>),
}

impl Matrix<'_> {
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Matrix::Dense(x) => x.shape(),
            Matrix::Sparse(x) => (x.n_rows, x.n_columns()),
        }
    }
}

/// Weights of the entries of X.  Where X is NaN the weight is 0.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// All 1.
    Equal,
    /// Any non-negative matrix; entries that a sparse one does not store are 0.
    Entries(Matrix<'a>),
    /// Ω_ij = rows_i columns_j.
    Outer { rows: &'a [f64], columns: &'a [f64] },
}

/// Entries of all lines: lists, or index × lines.
#[derive(Clone, Copy)]
pub(super) enum Entries<'a> {
    Lists(&'a Compressed),
    Dense(MatRef<'a, f64>),
}

/// What a half-step needs of one side.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub n_index: usize,
    /// Factor of the shared Gram matrix per line, and its weights per index.
    pub shared: (&'a [f64], &'a [f64]),
    pub deviation: Entries<'a>,
    /// Ω ∘ X.
    pub target: Entries<'a>,
}

/// One orientation of the sparse parts.
#[derive(Default)]
struct Side {
    shared: Vec<f64>,
    deviation: Compressed,
    target: Compressed,
}

/// A matrix with weights.
pub struct WeightedMatrix {
    n_rows: usize,
    n_columns: usize,
    outer: (Vec<f64>, Vec<f64>),
    columns: Side,
    rows: Side,
    dense_target: Option<Mat<f64>>,
    dense_weights: Option<Mat<f64>>,
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
        check_weights(weights, (n_rows, n_columns))?;
        let outer = match weights {
            Weights::Outer { rows, columns } => (rows.to_vec(), columns.to_vec()),
            _ => (vec![1.0; n_rows], vec![1.0; n_columns]),
        };
        let mut data = WeightedMatrix {
            n_rows,
            n_columns,
            outer,
            columns: Side::default(),
            rows: Side::default(),
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
            deviation: entries(&self.columns.deviation, self.dense_weights.as_ref(), false),
            target: entries(&self.columns.target, self.dense_target.as_ref(), false),
        }
    }

    pub(super) fn rows(&self) -> Lines<'_> {
        Lines {
            n_index: self.n_columns,
            shared: (&self.rows.shared, &self.outer.1),
            deviation: entries(&self.rows.deviation, self.dense_weights.as_ref(), true),
            target: entries(&self.rows.target, self.dense_target.as_ref(), true),
        }
    }

    /// Ω ∘ (X − W H) of a column; the factors are rank × lines.
    pub(super) fn residual(&self, j: usize, basis: &[f64], coef: &[f64], rank: usize) -> Vec<f64> {
        let lines = self.columns();
        let column = |of: Entries<'_>| {
            let mut out = vec![0.0; self.n_rows];
            match of {
                Entries::Dense(x) => out.iter_mut().enumerate().for_each(|(i, o)| *o = x[(i, j)]),
                Entries::Lists(lists) => lists.line(j).for_each(|(i, value)| out[i] = value),
            }
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
        let (mut listed, mut target) = (Compressed::new(), Compressed::new());
        let mut column = vec![0.0; self.n_rows];
        for j in 0..self.n_columns {
            match x {
                Matrix::Dense(x) => (0..self.n_rows).for_each(|i| column[i] = x[(i, j)]),
                Matrix::Sparse(x) => {
                    column.fill(0.0);
                    x.column(j).for_each(|(i, value)| column[i] = value);
                }
            }
            for (i, weight) in weights.column(j) {
                let weight = if column[i].is_nan() { 0.0 } else { weight };
                let value = self.add(i, j, weight, column[i])?;
                if weight > 0.0 {
                    listed.push(i, weight);
                }
                if value != 0.0 {
                    target.push(i, value);
                }
            }
            listed.end_line();
            target.end_line();
        }
        self.rows = Side {
            shared: vec![0.0; self.n_rows],
            deviation: listed.transpose(self.n_rows),
            target: target.transpose(self.n_rows),
        };
        self.columns = Side { shared: vec![0.0; self.n_columns], deviation: listed, target };
        Ok(())
    }

    /// Ω as a_i b_j and the entries that differ from it.
    fn set_from_outer(&mut self, x: Matrix<'_>, weights: Weights<'_>) -> Result<(), CoreError> {
        let (n_rows, n_columns) = self.shape();
        let mut differing = Compressed::new();
        let mut sparse_target = Compressed::new();
        let mut dense_target = matches!(x, Matrix::Dense(_)).then(|| Mat::zeros(n_rows, n_columns));
        let mut weight = vec![0.0; n_rows];
        for j in 0..n_columns {
            for (i, weight) in weight.iter_mut().enumerate() {
                *weight = match weights {
                    Weights::Entries(Matrix::Dense(given)) => given[(i, j)],
                    _ => self.outer.0[i] * self.outer.1[j],
                };
            }
            match x {
                Matrix::Dense(x) => {
                    let target = dense_target.as_mut().expect("X is dense").col_as_slice_mut(j);
                    for (i, weight) in weight.iter_mut().enumerate() {
                        let value = x[(i, j)];
                        *weight = if value.is_nan() { 0.0 } else { *weight };
                        target[i] = self.add(i, j, *weight, value)?;
                    }
                }
                Matrix::Sparse(x) => {
                    let mut stored = x.column(j).peekable();
                    for (i, weight) in weight.iter_mut().enumerate() {
                        let at = stored.next_if(|&(row, _)| row == i);
                        let value = at.map_or(0.0, |(_, value)| value);
                        *weight = if value.is_nan() { 0.0 } else { *weight };
                        let value = self.add(i, j, *weight, value)?;
                        if value != 0.0 {
                            sparse_target.push(i, value);
                        }
                    }
                }
            }
            for (i, &weight) in weight.iter().enumerate() {
                if weight != self.outer.0[i] * self.outer.1[j] {
                    differing.push(i, weight);
                }
            }
            differing.end_line();
            sparse_target.end_line();
        }
        let by_row = differing.transpose(n_rows);
        self.columns = self.side(&differing, &self.outer.1, &self.outer.0);
        self.rows = self.side(&by_row, &self.outer.0, &self.outer.1);
        // Products with a dense Ω cost a tenth per entry of those with lists.
        let listed = self.columns.deviation.len().min(self.rows.deviation.len());
        if listed > n_rows * n_columns / 10 {
            let mut dense =
                Mat::from_fn(n_rows, n_columns, |i, j| self.outer.0[i] * self.outer.1[j]);
            for j in 0..n_columns {
                differing.line(j).for_each(|(i, weight)| dense[(i, j)] = weight);
            }
            self.dense_weights = Some(dense);
            self.columns = Side { shared: vec![0.0; n_columns], ..Side::default() };
            self.rows = Side { shared: vec![0.0; n_rows], ..Side::default() };
        }
        if dense_target.is_none() {
            self.rows.target = sparse_target.transpose(n_rows);
            self.columns.target = sparse_target;
        }
        self.dense_target = dense_target;
        Ok(())
    }

    /// The lists of one orientation.  A line that differs in more than half of
    /// its entries has its weights listed instead: down-dating the shared Gram
    /// matrix by most of itself would leave rounding errors.
    fn side(&self, differing: &Compressed, line_base: &[f64], index_base: &[f64]) -> Side {
        let mut side =
            Side { shared: line_base.to_vec(), deviation: Compressed::new(), ..Side::default() };
        let n_index = index_base.len();
        let mut weights = vec![0.0; n_index];
        for (line, &line_base) in line_base.iter().enumerate() {
            if 2 * differing.line(line).len() > n_index {
                side.shared[line] = 0.0;
                for (weight, base) in weights.iter_mut().zip(index_base) {
                    *weight = base * line_base;
                }
                differing.line(line).for_each(|(at, weight)| weights[at] = weight);
                for (at, &weight) in weights.iter().enumerate().filter(|(_, &w)| w > 0.0) {
                    side.deviation.push(at, weight);
                }
            } else {
                for (at, weight) in differing.line(line) {
                    side.deviation.push(at, weight - index_base[at] * line_base);
                }
            }
            side.deviation.end_line();
        }
        side
    }
}

fn entries<'a>(lists: &'a Compressed, dense: Option<&'a Mat<f64>>, transpose: bool) -> Entries<'a> {
    match dense {
        Some(dense) if transpose => Entries::Dense(dense.as_ref().transpose()),
        Some(dense) => Entries::Dense(dense.as_ref()),
        None => Entries::Lists(lists),
    }
}

fn check_weights(weights: Weights<'_>, shape: (usize, usize)) -> Result<(), CoreError> {
    match weights {
        Weights::Equal => Ok(()),
        Weights::Outer { rows, columns } => {
            check_length("weights", shape.0, rows.len())?;
            check_length("weights", shape.1, columns.len())?;
            check_all(rows.iter().chain(columns).copied())
        }
        Weights::Entries(matrix) => {
            check_length("weights", shape.0, matrix.shape().0)?;
            check_length("weights", shape.1, matrix.shape().1)?;
            match matrix {
                Matrix::Sparse(w) => check_all(w.values.iter().copied()),
                Matrix::Dense(w) => {
                    check_all((0..shape.1).flat_map(|j| (0..shape.0).map(move |i| w[(i, j)])))
                }
            }
        }
    }
}

fn check_all(weights: impl IntoIterator<Item = f64>) -> Result<(), CoreError> {
    let usable = |v: f64| v.is_finite() && v >= 0.0;
    weights
        .into_iter()
        .try_for_each(|v| check_value("weights", v, "finite and non-negative", usable))
}
