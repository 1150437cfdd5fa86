//! Penalties and bounds of one factor.

use super::data::{Data, Values};
use crate::error::{check_value, CoreError};

/// A penalty on the factor C (rank × lines) of one side:
/// l1 Σ c + ½ l2 Σ c² + ½ l1_squared Σ_j (Σ_k c_kj)² + ½ angle Σ_j Σ_{k≠l} c_kj c_lj
/// + ½ graph Σ_{i<j} a_ij ‖c_i − c_j‖².
#[derive(Debug, Clone, Default)]
pub struct Penalty {
    pub l1: f64,
    pub l2: f64,
    /// Squared L1 norm of each line (Kim and Park 2007).
    pub l1_squared: f64,
    /// Keeps components apart (NNLM's "angle").
    pub angle: f64,
    pub graph: Option<Graph>,
}

/// A symmetric adjacency among the lines of a side, and how much it weighs.
#[derive(Debug, Clone)]
pub struct Graph {
    weight: f64,
    starts: Vec<usize>,
    neighbours: Vec<u32>,
    weights: Vec<f64>,
}

impl Graph {
    /// From the columns of a symmetric sparse matrix; its diagonal counts nothing.
    ///
    /// # Errors
    /// `Shape` or `Argument` for columns that are not those of such a matrix.
    pub fn new(
        (starts, rows, values): (&[i32], &[i32], &[f64]),
        lines: usize,
        weight: f64,
    ) -> Result<Self, CoreError> {
        // checks the layout and the values
        Data::new(Values::Sparse { starts, rows, values }, (lines, lines))?;
        check_value("graph", weight, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        let neighbours = rows.iter().map(|&r| r as u32).collect();
        let starts = starts.iter().map(|&s| s as usize).collect();
        Ok(Graph { weight, starts, neighbours, weights: values.to_vec() })
    }

    fn edges(&self, line: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.starts[line]..self.starts[line + 1];
        let edge = |at: usize| (self.neighbours[at] as usize, self.weights[at]);
        range.map(edge).filter(move |&(other, _)| other != line)
    }

    /// Value of the graph's term.
    pub fn value(&self, factor: &[f64], rank: usize) -> f64 {
        let line = |j: usize| &factor[j * rank..(j + 1) * rank];
        let mut sum = 0.0;
        for j in 0..self.starts.len() - 1 {
            for (i, weight) in self.edges(j) {
                let apart: f64 = line(i).iter().zip(line(j)).map(|(a, b)| (a - b) * (a - b)).sum();
                sum += weight * apart;
            }
        }
        // each edge was met from both ends
        0.25 * self.weight * sum
    }

    /// ½ a‖c_i − c_j‖² ≤ a (‖c_i − z‖² + ‖c_j − z‖²), with equality where z is the
    /// midpoint: a majoriser that lets all lines move at once.  Returns its
    /// curvature and linear term for each line at the present factor.
    pub fn majoriser(&self, factor: &[f64], rank: usize) -> (Vec<f64>, Vec<f64>) {
        let lines = self.starts.len() - 1;
        let mut curvature = vec![0.0; lines];
        let mut linear = vec![0.0; lines * rank];
        for j in 0..lines {
            let out = &mut linear[j * rank..(j + 1) * rank];
            for (i, weight) in self.edges(j) {
                let weight = self.weight * weight;
                curvature[j] += 2.0 * weight;
                for (r, out) in out.iter_mut().enumerate() {
                    *out += weight * (factor[i * rank + r] + factor[j * rank + r]);
                }
            }
        }
        (curvature, linear)
    }
}

impl Penalty {
    pub fn is_none(&self) -> bool {
        self.l1 == 0.0
            && self.l2 == 0.0
            && self.l1_squared == 0.0
            && self.angle == 0.0
            && self.graph.is_none()
    }

    /// Adds the quadratic terms, without the graph's, to a Gram matrix.
    pub fn add_to_gram(&self, gram: &mut [f64], rank: usize) {
        for i in 0..rank {
            for j in 0..rank {
                gram[j * rank + i] += self.l1_squared + if i == j { self.l2 } else { self.angle };
            }
        }
    }

    /// Value of the penalty.
    pub fn value(&self, factor: &[f64], rank: usize) -> f64 {
        if self.is_none() || rank == 0 {
            return 0.0;
        }
        let mut value = 0.0;
        for line in factor.chunks_exact(rank) {
            let sum: f64 = line.iter().sum();
            let squares: f64 = line.iter().map(|v| v * v).sum();
            value += self.l1 * sum
                + 0.5
                    * (self.l2 * squares
                        + self.l1_squared * sum * sum
                        + self.angle * (sum * sum - squares));
        }
        value + self.graph.as_ref().map_or(0.0, |g| g.value(factor, rank))
    }
}

/// What one factor has to obey.
#[derive(Debug, Clone)]
pub struct Constraint {
    pub penalty: Penalty,
    /// Largest value of an entry; infinite for none.
    pub upper: f64,
    /// Components that keep their values; empty for none.
    pub fixed: Vec<bool>,
}

impl Default for Constraint {
    fn default() -> Self {
        Constraint { penalty: Penalty::default(), upper: f64::INFINITY, fixed: Vec::new() }
    }
}

impl Constraint {
    pub fn is_free(&self, component: usize) -> bool {
        self.fixed.is_empty() || !self.fixed[component]
    }

    /// True when a component that is not fixed can be rescaled at will.
    pub fn is_scalable(&self) -> bool {
        self.penalty.is_none() && self.upper.is_infinite()
    }
}
