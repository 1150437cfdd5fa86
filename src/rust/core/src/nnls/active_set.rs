//! Non-negative quadratic programs on small Gram matrices.

/// Minimises ½ xᵀHx − bᵀx over x ≥ 0 by an active-set method (Lawson and
/// Hanson 1974, ch. 23, on the normal equations), started from the feasible
/// point in `x`; the answer replaces it, with exact zeros.
///
/// `hessian` is n × n, symmetric positive semi-definite, column-major.  It is
/// scaled to a unit diagonal, and `ridge` (relative to that diagonal) is added
/// as a proximal term ½ ridge Σ H_jj (x_j − start_j)²: collinear columns then
/// keep the ratio that they start with instead of making the problem singular.
/// A ridge below 1e-12 counts as 1e-12: the least that keeps the Cholesky factor
/// of a singular program finite.
/// Variables with H_jj = 0 and b_j ≤ 0 become 0; with b_j > 0 they keep their
/// start (the program has no minimum in them).
pub fn solve_nonnegative(hessian: &[f64], linear: &[f64], ridge: f64, x: &mut [f64]) {
    let n = linear.len();
    assert_eq!(hessian.len(), n * n, "the Hessian is square");
    assert_eq!(x.len(), n, "a start has an entry per variable");
    let scale: Vec<f64> = (0..n)
        .map(|j| if hessian[j * n + j] > 0.0 { hessian[j * n + j].sqrt() } else { 0.0 })
        .collect();
    let usable: Vec<bool> = scale.iter().map(|&s| s > 0.0).collect();
    for j in 0..n {
        if !usable[j] && linear[j] <= 0.0 {
            x[j] = 0.0;
        }
    }
    let ridge = ridge.max(1e-12);
    // z_j = s_j x_j has the Hessian H_ij / (s_i s_j) + ridge I.
    let mut program = Program::new(n);
    for j in 0..n {
        if usable[j] {
            for i in (0..n).filter(|&i| usable[i]) {
                program.hessian[j * n + i] = hessian[j * n + i] / (scale[i] * scale[j]);
            }
            program.hessian[j * n + j] += ridge;
            let start = x[j].max(0.0) * scale[j];
            program.linear[j] = linear[j] / scale[j] + ridge * start;
            program.x[j] = start;
        }
    }
    program.solve(&usable);
    for j in (0..n).filter(|&j| usable[j]) {
        x[j] = program.x[j] / scale[j];
    }
}

/// The scaled program and its iterate.
struct Program {
    n: usize,
    hessian: Vec<f64>,
    linear: Vec<f64>,
    x: Vec<f64>,
}

impl Program {
    fn new(n: usize) -> Self {
        Program { n, hessian: vec![0.0; n * n], linear: vec![0.0; n], x: vec![0.0; n] }
    }

    fn solve(&mut self, usable: &[bool]) {
        let n = self.n;
        let mut passive: Vec<usize> = (0..n).filter(|&j| self.x[j] > 0.0).collect();
        // Each round strictly lowers the objective, so no passive set returns;
        // the bound only guards against rounding.
        for _ in 0..10 * n + 10 {
            self.descend(&mut passive);
            let entering = (0..n)
                .filter(|j| usable[*j] && !passive.contains(j))
                .map(|j| (j, self.descent(j)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            match entering {
                Some((j, descent)) if descent > self.rounding(j) => passive.push(j),
                _ => return,
            }
        }
    }

    /// −∂/∂x_j of the objective.
    fn descent(&self, j: usize) -> f64 {
        let column = &self.hessian[j * self.n..(j + 1) * self.n];
        self.linear[j] - column.iter().zip(&self.x).map(|(h, x)| h * x).sum::<f64>()
    }

    /// Size of the rounding error in `descent(j)`.
    fn rounding(&self, j: usize) -> f64 {
        let column = &self.hessian[j * self.n..(j + 1) * self.n];
        let size: f64 = column.iter().zip(&self.x).map(|(h, x)| (h * x).abs()).sum();
        8.0 * f64::EPSILON * (size + self.linear[j].abs())
    }

    /// Goes to the minimum over the passive variables, dropping those that
    /// meet their bound on the way.
    fn descend(&mut self, passive: &mut Vec<usize>) {
        while !passive.is_empty() {
            let target = self.minimum_over(passive);
            // The longest step towards the target that keeps x ≥ 0; a variable
            // that has just entered starts at 0 and must not block.
            let step = passive
                .iter()
                .zip(&target)
                .filter(|(&j, &z)| z <= 0.0 && self.x[j] > 0.0)
                .map(|(&j, &z)| self.x[j] / (self.x[j] - z))
                .fold(1.0, f64::min);
            for (&j, &z) in passive.iter().zip(&target) {
                let moved = self.x[j] + step * (z - self.x[j]);
                let blocked = z <= 0.0 && (moved <= 1e-14 * self.x[j] || self.x[j] == 0.0);
                self.x[j] = if blocked { 0.0 } else { moved };
            }
            let before = passive.len();
            passive.retain(|&j| self.x[j] > 0.0);
            if passive.len() == before {
                return;
            }
        }
    }

    /// Unconstrained minimum over the passive variables (Cholesky).
    fn minimum_over(&self, passive: &[usize]) -> Vec<f64> {
        let m = passive.len();
        let mut factor = vec![0.0; m * m];
        for (b, &j) in passive.iter().enumerate() {
            for (a, &i) in passive.iter().enumerate().skip(b) {
                factor[b * m + a] = self.hessian[j * self.n + i];
            }
        }
        cholesky(&mut factor, m);
        let mut z: Vec<f64> = passive.iter().map(|&j| self.linear[j]).collect();
        solve_with_cholesky(&factor, &mut z);
        z
    }
}

/// Overwrites the lower triangle of a symmetric m × m matrix (column-major)
/// with its Cholesky factor.  A pivot at rounding level, which only a matrix
/// singular to working precision has, is replaced by that level.
pub fn cholesky(a: &mut [f64], m: usize) {
    for j in 0..m {
        let floor = f64::EPSILON * m as f64 * a[j * m + j].max(f64::MIN_POSITIVE);
        for k in 0..j {
            let l = a[k * m + j];
            for i in j..m {
                a[j * m + i] -= l * a[k * m + i];
            }
        }
        let pivot = a[j * m + j].max(floor).sqrt();
        a[j * m + j] = pivot;
        for i in j + 1..m {
            a[j * m + i] /= pivot;
        }
    }
}

/// Solves L Lᵀ z = z in place, L as left by [`cholesky`].
pub fn solve_with_cholesky(factor: &[f64], z: &mut [f64]) {
    let m = z.len();
    for j in 0..m {
        z[j] /= factor[j * m + j];
        for i in j + 1..m {
            z[i] -= factor[j * m + i] * z[j];
        }
    }
    for j in (0..m).rev() {
        for i in j + 1..m {
            z[j] -= factor[j * m + i] * z[i];
        }
        z[j] /= factor[j * m + j];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use rand::Rng;

    /// A random H = XᵀX and b = Xᵀy.
    fn random_program(seed: u64, n: usize, rows: usize) -> (Vec<f64>, Vec<f64>) {
        let mut rng = stream(seed, Purpose::Genes, 0);
        let x: Vec<f64> = (0..n * rows).map(|_| rng.random::<f64>()).collect();
        let y: Vec<f64> = (0..rows).map(|_| rng.random::<f64>() - 0.3).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
        let column = |j: usize| &x[j * rows..(j + 1) * rows];
        let hessian = (0..n * n).map(|k| dot(column(k % n), column(k / n))).collect();
        (hessian, (0..n).map(|j| dot(column(j), &y)).collect())
    }

    #[test]
    fn the_answer_satisfies_kkt() {
        for seed in 0..300 {
            let n = 1 + (seed as usize * 7) % 30;
            // every third problem has fewer rows than variables: singular
            let rows = if seed % 3 == 0 { n.div_ceil(2) } else { 3 * n };
            let (hessian, linear) = random_program(seed, n, rows);
            let mut x = vec![if seed % 2 == 0 { 0.1 } else { 0.0 }; n];
            solve_nonnegative(&hessian, &linear, 0.0, &mut x);
            for j in 0..n {
                let h: f64 = (0..n).map(|i| hessian[j * n + i] * x[i]).sum();
                let size = hessian[j * n + j] + h.abs() + linear[j].abs();
                // singular systems lose digits in the Cholesky factor
                let tolerance = if rows < n { 1e-6 } else { 1e-10 } * size;
                assert!(x[j] >= 0.0, "seed {seed}: x[{j}] = {}", x[j]);
                let gradient = h - linear[j];
                assert!(gradient > -tolerance, "seed {seed}: gradient {gradient}");
                assert!(x[j] == 0.0 || gradient.abs() < tolerance, "seed {seed}: {gradient}");
            }
        }
    }

    #[test]
    fn the_start_does_not_matter_when_the_minimum_is_unique() {
        for seed in 0..50 {
            let (hessian, linear) = random_program(seed, 12, 40);
            let mut cold = vec![0.0; 12];
            let mut warm = vec![1.0; 12];
            solve_nonnegative(&hessian, &linear, 0.0, &mut cold);
            solve_nonnegative(&hessian, &linear, 0.0, &mut warm);
            for (a, b) in cold.iter().zip(&warm) {
                assert!((a - b).abs() < 1e-9, "{cold:?} {warm:?}");
            }
        }
    }

    #[test]
    fn a_proximal_ridge_splits_twin_columns_as_they_started() {
        let hessian = [1.0, 1.0, 1.0, 1.0];
        let mut x = [0.2, 0.4];
        solve_nonnegative(&hessian, &[1.0, 1.0], 1e-9, &mut x);
        assert!((x[0] + x[1] - 1.0).abs() < 1e-6, "{x:?}");
        assert!((x[1] - x[0] - 0.2).abs() < 1e-5, "{x:?}");
    }

    #[test]
    fn a_variable_without_curvature_and_without_use_is_zero() {
        let hessian = [1.0, 0.0, 0.0, 0.0];
        let mut x = [0.5, 0.5];
        solve_nonnegative(&hessian, &[2.0, -1.0], 0.0, &mut x);
        assert!((x[0] - 2.0).abs() < 1e-11 && x[1] == 0.0, "{x:?}");
    }
}
