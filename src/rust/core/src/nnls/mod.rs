//! Non-negative least squares on Gram matrices: min ½ xᵀGx − bᵀx over x ≥ 0.
//!
//! Three methods for three uses: the active set for one hard problem, block
//! principal pivoting for exact answers to many right-hand sides, coordinate
//! descent for cheap improvements of a good start, with upper bounds.  Projected
//! gradient steps are there to compare with.  [`NewtonStep`] makes steps of
//! Newton's method under bounds from such problems.

mod active_set;
mod coordinate;
mod gradient;
mod newton_step;
mod pivoting;

pub use active_set::{cholesky, solve_nonnegative, solve_with_cholesky};
pub use coordinate::{descend, Descent, Sweeps};
pub use gradient::project;
pub use newton_step::{NewtonStep, QuadraticModel, RIDGE};
pub use pivoting::Pivoting;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use rand::Rng;

    /// G = AᵀA, b = Aᵀy and A for a random A; every third is rank deficient.
    fn random_problem(seed: u64) -> (usize, Vec<f64>, Vec<f64>) {
        let n = 1 + (seed as usize * 7) % 12;
        let rows = if seed % 3 == 0 { n.div_ceil(2) } else { 2 * n + 3 };
        let mut rng = stream(seed, Purpose::Genes, 1);
        let a: Vec<f64> = (0..n * rows).map(|_| rng.random::<f64>() - 0.2).collect();
        let y: Vec<f64> = (0..rows).map(|_| rng.random::<f64>() - 0.3).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
        let column = |j: usize| &a[j * rows..(j + 1) * rows];
        let gram = (0..n * n).map(|at| dot(column(at % n), column(at / n))).collect();
        (n, gram, (0..n).map(|j| dot(column(j), &y)).collect())
    }

    fn objective(gram: &[f64], linear: &[f64], x: &[f64]) -> f64 {
        let n = x.len();
        let gx = |j: usize| (0..n).map(|i| gram[j * n + i] * x[i]).sum::<f64>();
        (0..n).map(|j| x[j] * (0.5 * gx(j) - linear[j])).sum()
    }

    #[test]
    fn all_methods_agree_on_a_thousand_problems() {
        for seed in 0..1000 {
            let (n, gram, linear) = random_problem(seed);
            let mut exact = vec![0.0; n];
            solve_nonnegative(&gram, &linear, 0.0, &mut exact);
            let mut pivoted = vec![0.0; n];
            Pivoting::new(&gram, n).solve(&linear, &mut pivoted);
            let mut descended = vec![0.0; n];
            let problem = Descent {
                gram: &gram,
                linear: &linear,
                diagonal: &[],
                upper: f64::INFINITY,
                fixed: &[],
                sweeps: Sweeps { max: 200_000, tolerance: 1e-30 },
            };
            let value = descend(&problem, &mut descended);
            let best = objective(&gram, &linear, &exact);
            assert!((value - objective(&gram, &linear, &descended)).abs() < 1e-12);
            let size = 1.0 + best.abs();
            for (name, x) in [("pivoting", &pivoted), ("descent", &descended)] {
                assert!(x.iter().all(|v| *v >= 0.0), "seed {seed}, {name}: {x:?}");
                let gap = objective(&gram, &linear, x) - best;
                // The minimum is unique even where its place is not.
                assert!(gap.abs() < 1e-9 * size, "seed {seed}, {name}: {gap}");
            }
            if seed % 3 != 0 {
                for (a, b) in exact.iter().zip(&pivoted) {
                    assert!((a - b).abs() < 1e-8, "seed {seed}: {exact:?} {pivoted:?}");
                }
            }
        }
    }

    #[test]
    fn descent_keeps_to_bounds_and_fixed_coordinates() {
        let gram = [2.0, 1.0, 1.0, 2.0];
        let bounded = |upper, fixed: &[bool]| {
            let mut x = [0.25, 0.25];
            let sweeps = Sweeps { max: 1000, tolerance: 0.0 };
            let linear = [3.0, 3.0];
            let diagonal = &[];
            descend(
                &Descent { gram: &gram, linear: &linear, diagonal, upper, fixed, sweeps },
                &mut x,
            );
            x
        };
        let near = |x: [f64; 2], y: [f64; 2]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-12);
        assert!(near(bounded(f64::INFINITY, &[]), [1.0, 1.0]));
        assert!(near(bounded(0.5, &[]), [0.5, 0.5]));
        assert!(near(bounded(f64::INFINITY, &[false, true]), [1.375, 0.25]));
    }

    #[test]
    fn gradient_steps_only_improve() {
        for seed in 1..50 {
            let (n, gram, linear) = random_problem(seed);
            let mut x = vec![1.0; n];
            let mut last = objective(&gram, &linear, &x);
            for _ in 0..20 {
                project(&gram, &linear, &mut x, 1);
                let now = objective(&gram, &linear, &x);
                assert!(now <= last + 1e-12 * last.abs(), "seed {seed}");
                last = now;
            }
        }
    }
}
