//! Penalties and bounds of one factor.

use crate::base::error::{check_length, check_value, CoreError};
use crate::matrix::{Csc, CscBuf};

fn not_negative(v: f64) -> bool {
    v >= 0.0 && v.is_finite()
}

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
    adjacency: CscBuf,
}

impl Graph {
    /// From a symmetric sparse matrix; its diagonal counts nothing.
    ///
    /// # Errors
    /// `Shape` or `Argument` for a matrix that is not of so many lines, or has
    /// negative or infinite entries.
    pub fn new(adjacency: Csc<'_>, lines: usize, weight: f64) -> Result<Self, CoreError> {
        check_length("graph", lines, adjacency.n_rows())?;
        check_length("graph", lines, adjacency.n_columns())?;
        for &value in adjacency.values().iter().chain([&weight]) {
            check_value("graph", value, "finite and non-negative", not_negative)?;
        }
        Ok(Graph { weight, adjacency: adjacency.to_owned() })
    }

    fn edges(&self, line: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.adjacency.view().entries(line).filter(move |&(other, _)| other != line)
    }

    /// Value of the graph's term.
    pub fn value(&self, factor: &[f64], rank: usize) -> f64 {
        let line = |j: usize| &factor[j * rank..(j + 1) * rank];
        let mut sum = 0.0;
        for j in 0..self.adjacency.view().n_columns() {
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
        let lines = self.adjacency.view().n_columns();
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

    /// # Errors
    /// `Argument` with the first number that is out of range.
    pub fn check(&self) -> Result<(), CoreError> {
        let Penalty { l1, l2, l1_squared, angle, .. } = self.penalty;
        check_value("upper", self.upper, "above 0", |v| v > 0.0)?;
        let penalties = [("l1", l1), ("l2", l2), ("l1_squared", l1_squared), ("angle", angle)];
        penalties.into_iter().try_for_each(|(name, value)| {
            check_value(name, value, "finite and non-negative", not_negative)
        })
    }

    /// Brings the components of a factor that are not fixed below the bound.
    pub fn confine(&self, rank: usize, factor: &mut [f64]) {
        for line in factor.chunks_exact_mut(rank) {
            for (_, v) in line.iter_mut().enumerate().filter(|(r, _)| self.is_free(*r)) {
                *v = v.min(self.upper);
            }
        }
    }

    /// True when a component that is not fixed can be rescaled at will.
    pub fn is_scalable(&self) -> bool {
        self.penalty.is_none() && self.upper.is_infinite()
    }
}
