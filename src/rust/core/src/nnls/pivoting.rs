//! Block principal pivoting (Kim and Park 2011, SIAM J. Sci. Comput. 33:3261):
//! exact non-negative least squares for many right-hand sides of one Gram
//! matrix.  Columns with the same passive set share one Cholesky factor.

use super::active_set::{cholesky, solve_nonnegative, solve_with_cholesky};
use std::collections::HashMap;

/// Exchanges of all infeasible variables that may fail to reduce their number
/// before the backup rule takes over.
const FULL_EXCHANGES: usize = 3;

/// A Gram matrix and the Cholesky factors of its passive blocks met so far.
pub struct Pivoting<'a> {
    rank: usize,
    gram: &'a [f64],
    factors: HashMap<Vec<bool>, Vec<f64>>,
}

impl<'a> Pivoting<'a> {
    /// `gram` is rank × rank, symmetric positive semi-definite, column-major.
    pub fn new(gram: &'a [f64], rank: usize) -> Self {
        assert_eq!(gram.len(), rank * rank, "the Gram matrix is square");
        Pivoting { rank, gram, factors: HashMap::new() }
    }

    /// Minimises ½ xᵀGx − bᵀx over x ≥ 0.  The support of `x` is the first guess
    /// of the passive set; variables without curvature keep their value.  When the exchanges do not settle, as in singular
    /// problems, the active-set method takes over.
    pub fn solve(&mut self, linear: &[f64], x: &mut [f64]) {
        let k = self.rank;
        let mut passive: Vec<bool> =
            (0..k).map(|j| x[j] > 0.0 && self.gram[j * k + j] > 0.0).collect();
        let mut trial = vec![0.0; k];
        let (mut fewest, mut left) = (k + 1, FULL_EXCHANGES);
        for _ in 0..5 * k + 5 {
            self.solve_passive(&passive, linear, &mut trial);
            let wrong = self.infeasible(&passive, linear, &trial);
            if wrong.is_empty() {
                for j in (0..k).filter(|&j| self.gram[j * k + j] > 0.0) {
                    x[j] = trial[j];
                }
                return;
            }
            if wrong.len() < fewest {
                fewest = wrong.len();
                left = FULL_EXCHANGES;
            } else {
                left = left.saturating_sub(1);
            }
            let exchanged = if left > 0 { &wrong[..] } else { &wrong[wrong.len() - 1..] };
            for &j in exchanged {
                passive[j] = !passive[j];
            }
        }
        solve_nonnegative(self.gram, linear, 0.0, x);
    }

    /// Variables below zero on the passive set, or with a descent outside it.
    fn infeasible(&self, passive: &[bool], linear: &[f64], x: &[f64]) -> Vec<usize> {
        let k = self.rank;
        (0..k)
            .filter(|&j| {
                if passive[j] {
                    return x[j] < 0.0;
                }
                let column = &self.gram[j * k..(j + 1) * k];
                if column[j] <= 0.0 {
                    return false;
                }
                let products = column.iter().zip(x).map(|(g, x)| g * x);
                let gradient = products.clone().sum::<f64>() - linear[j];
                let size = products.map(f64::abs).sum::<f64>() + linear[j].abs();
                gradient < -16.0 * f64::EPSILON * size
            })
            .collect()
    }

    fn solve_passive(&mut self, passive: &[bool], linear: &[f64], x: &mut [f64]) {
        let k = self.rank;
        let members: Vec<usize> = (0..k).filter(|&j| passive[j]).collect();
        if !self.factors.contains_key(passive) {
            let m = members.len();
            let mut factor = vec![0.0; m * m];
            for (b, &j) in members.iter().enumerate() {
                for (a, &i) in members.iter().enumerate() {
                    factor[b * m + a] = self.gram[j * k + i];
                }
            }
            cholesky(&mut factor, m);
            self.factors.insert(passive.to_vec(), factor);
        }
        let mut z: Vec<f64> = members.iter().map(|&j| linear[j]).collect();
        solve_with_cholesky(&self.factors[passive], &mut z);
        x.fill(0.0);
        for (&j, &z) in members.iter().zip(&z) {
            // Rounding around zero must not cycle in and out of the set.
            x[j] = if z.abs() < 1e-13 * linear[j].abs() / self.gram[j * k + j] { 0.0 } else { z };
        }
    }
}
