//! Weighted factorisation under the Frobenius loss, with missing values, boxes
//! and penalties:
//!
//! minimise ½ Σ Ω_ij (X_ij − (W H)_ij)² + P(W) + P(H),  0 ≤ W ≤ u, 0 ≤ H ≤ u',
//!
//! with P(H) = Σ_j λ₁ 1ᵀh_j + ½ λ₂ ‖h_j‖² + ½ α Σ_{a≠b} h_aj h_bj and the same
//! over the rows of W.  Every column of H is a quadratic program of its own with
//! the Gram matrix Wᵀ diag(Ω_j) W, every row of W likewise: each half-step
//! solves them by cyclic coordinate descent from the last point, so the
//! objective never rises.  Steps are extrapolated, and taken back to the best
//! point when that did not lower the objective (Ang and Gillis 2019, Neural
//! Computation 31:417).

mod data;
mod gram;
mod line;
mod lists;
mod model;

pub use data::{Csc, Matrix, WeightedMatrix, Weights};
pub use model::WeightedModel;

use crate::error::{check_length, check_value, CoreError};
use crate::parallel::Monitor;
use faer::{Mat, MatRef};
use gram::for_each_line;
use line::{descend, projected_gradient, value, EXACT, HALF_STEP};
use rand::Rng;

/// Iterations between two evaluations of the optimality measure.
const CHECK_EVERY: usize = 5;
/// The objective has stalled when ten iterations lower it by less than this
/// part of Σ Ω X².
const STALLED: f64 = 1e-14;
/// A component that vanishes is started anew this often.
const MAX_RESEEDS: usize = 3;

/// Bounds and penalties of one factor.
#[derive(Clone, Copy, Debug)]
pub struct Restraint {
    /// Upper bound of every entry; infinite for none.
    pub upper: f64,
    /// λ₁ Σ entries.
    pub l1: f64,
    /// ½ λ₂ Σ entries².
    pub l2: f64,
    /// ½ α Σ_{a≠b} of products of two components: pushes them apart.
    pub angle: f64,
}

impl Default for Restraint {
    fn default() -> Self {
        Restraint { upper: f64::INFINITY, l1: 0.0, l2: 0.0, angle: 0.0 }
    }
}

impl Restraint {
    fn check(&self) -> Result<(), CoreError> {
        check_value("upper", self.upper, "above 0", |v| v > 0.0)?;
        for (name, value) in [("l1", self.l1), ("l2", self.l2), ("angle", self.angle)] {
            check_value(name, value, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        }
        Ok(())
    }

    /// Adds the penalty to a line's program.
    fn add_to(&self, gram: &mut [f64], right: &mut [f64]) {
        let rank = right.len();
        gram.iter_mut().for_each(|g| *g += self.angle);
        for r in 0..rank {
            gram[r * rank + r] += self.l2 - self.angle;
            right[r] -= self.l1;
        }
    }

    /// P of all lines.
    fn penalty(&self, factor: &[f64], rank: usize) -> f64 {
        if self.l1 == 0.0 && self.l2 == 0.0 && self.angle == 0.0 {
            return 0.0;
        }
        let of_line = |y: &[f64]| {
            let sum: f64 = y.iter().sum();
            let squares: f64 = y.iter().map(|v| v * v).sum();
            self.l1 * sum + 0.5 * self.l2 * squares + 0.5 * self.angle * (sum * sum - squares)
        };
        factor.chunks_exact(rank).map(of_line).sum()
    }
}

/// Settings of [`factorise_weighted`].
#[derive(Clone, Copy, Debug)]
pub struct WeightedSettings {
    pub basis: Restraint,
    pub coef: Restraint,
    /// So many first columns of W stay as they start.
    pub known: usize,
    pub max_iterations: usize,
    /// Stop when the optimality measure falls to this.
    pub tolerance: f64,
    pub extrapolate: bool,
}

impl Default for WeightedSettings {
    fn default() -> Self {
        WeightedSettings {
            basis: Restraint::default(),
            coef: Restraint::default(),
            known: 0,
            max_iterations: 1000,
            tolerance: 1e-6,
            extrapolate: true,
        }
    }
}

/// Why a factorisation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The optimality measure is below the tolerance.
    Optimal,
    /// The objective no longer moves in double precision.
    Stalled,
    /// The iterations were used up.
    Iterations,
}

/// A factorisation X ≈ W H.
#[derive(Clone, Debug)]
pub struct WeightedFit {
    /// W, features × rank.
    pub basis: Mat<f64>,
    /// H, rank × samples.
    pub coef: Mat<f64>,
    /// The objective at the start and after every iteration; never rises.
    pub trace: Vec<f64>,
    /// The larger of ‖projected gradient‖ / ‖right-hand side‖ over both factors.
    pub optimality: f64,
    pub iterations: usize,
    pub stop: Stop,
    /// Components that are zero although they were started anew.
    pub exhausted: Vec<usize>,
}

impl WeightedFit {
    pub fn objective(&self) -> f64 {
        *self.trace.last().expect("a trace begins with the start")
    }
}

/// Both factors as rank × lines, column-major.
#[derive(Clone)]
struct Point {
    basis: Vec<f64>,
    coef: Vec<f64>,
}

/// A start with entries uniform on (0, s], s such that W H has the mean of X.
pub fn random_start(
    data: &WeightedMatrix,
    rank: usize,
    settings: &WeightedSettings,
    rng: &mut impl Rng,
) -> (Mat<f64>, Mat<f64>) {
    let (n_rows, n_columns) = data.shape();
    let size = 2.0 * (data.mean().max(f64::MIN_POSITIVE) / rank as f64).sqrt();
    let (top_basis, top_coef) = match (settings.basis.upper, settings.coef.upper) {
        (a, b) if size > a => (a, (size * size / a).min(b)),
        (a, b) if size > b => ((size * size / b).min(a), b),
        _ => (size, size),
    };
    let basis = Mat::from_fn(n_rows, rank, |_, _| top_basis * (1.0 - rng.random::<f64>()));
    let coef = Mat::from_fn(rank, n_columns, |_, _| top_coef * (1.0 - rng.random::<f64>()));
    (basis, coef)
}

/// Factorises from a start (W: features × rank, H: rank × samples), which is
/// first brought into the box.
///
/// # Errors
/// `Shape` or `Argument` for starts and settings that do not fit; `Interrupted`.
pub fn factorise_weighted(
    data: &WeightedMatrix,
    start: (MatRef<'_, f64>, MatRef<'_, f64>),
    settings: &WeightedSettings,
    monitor: &Monitor<'_>,
) -> Result<WeightedFit, CoreError> {
    let rank = start.0.ncols();
    check_value("rank", rank as f64, "at least 1", |v| v >= 1.0)?;
    check_length("basis", data.shape().0, start.0.nrows())?;
    check_length("coef", data.shape().1, start.1.ncols())?;
    check_length("coef", rank, start.1.nrows())?;
    check_value("known", settings.known as f64, "at most the rank", |v| v <= rank as f64)?;
    settings.basis.check()?;
    settings.coef.check()?;
    let boxed = |value: f64, upper: f64| {
        check_value("start", value, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
        Ok::<f64, CoreError>(value.min(upper))
    };
    let mut point = Point { basis: Vec::new(), coef: Vec::new() };
    for i in 0..start.0.nrows() {
        for r in 0..rank {
            let upper = if r < settings.known { f64::INFINITY } else { settings.basis.upper };
            point.basis.push(boxed(start.0[(i, r)], upper)?);
        }
    }
    for j in 0..start.1.ncols() {
        for r in 0..rank {
            point.coef.push(boxed(start.1[(r, j)], settings.coef.upper)?);
        }
    }
    Descent { data, rank, settings }.run(point, monitor)
}

/// The columns of H for a fixed W: one bounded quadratic program each.
///
/// # Errors
/// `Shape` when W does not belong to X.
pub fn weighted_coefficients(
    data: &WeightedMatrix,
    basis: MatRef<'_, f64>,
    restraint: &Restraint,
) -> Result<Mat<f64>, CoreError> {
    let rank = basis.ncols();
    check_length("basis", data.shape().0, basis.nrows())?;
    restraint.check()?;
    let fixed: Vec<f64> =
        (0..basis.nrows()).flat_map(|i| (0..rank).map(move |r| basis[(i, r)])).collect();
    let mut coef = vec![0.0; rank * data.shape().1];
    for_each_line(data.columns(), &fixed, rank, &mut coef, |gram, right, y| {
        restraint.add_to(gram, right);
        descend(gram, right, restraint.upper, 0, EXACT, y);
        0.0
    });
    Ok(Mat::from_fn(rank, data.shape().1, |r, j| coef[j * rank + r]))
}

struct Descent<'a> {
    data: &'a WeightedMatrix,
    rank: usize,
    settings: &'a WeightedSettings,
}

impl Descent<'_> {
    fn run(&self, start: Point, monitor: &Monitor<'_>) -> Result<WeightedFit, CoreError> {
        let settings = self.settings;
        let mut best = start;
        let mut trace = vec![self.objective(&best)];
        let mut ahead = best.clone();
        let (mut beta, mut beta_kept, mut beta_max) = (0.5, 0.5, 0.99);
        let mut plain = !settings.extrapolate;
        let mut reseeds = vec![0; self.rank];
        let mut optimality = self.optimality(&best);
        let mut stop = Stop::Iterations;
        let mut next_check = CHECK_EVERY;
        for iteration in 1..=settings.max_iterations {
            monitor.check()?;
            let step = if plain { 0.0 } else { beta };
            let mut next = ahead.clone();
            self.solve_coef(&ahead.basis, &mut next.coef);
            let coef_ahead = self.extrapolate(&next.coef, &best.coef, step, &settings.coef, 0);
            next.coef.clone_from(&coef_ahead);
            let objective = self.solve_basis(&coef_ahead, &mut next.basis);
            let last = trace[trace.len() - 1];
            if objective > last && !plain {
                // Back to the best point, with a step that cannot fail.
                ahead = best.clone();
                plain = true;
                (beta_max, beta) = (beta_kept, 0.75 * beta);
                trace.push(last);
                continue;
            }
            let basis_ahead =
                self.extrapolate(&next.basis, &best.basis, step, &settings.basis, settings.known);
            if !plain {
                (beta_kept, beta_max) = (beta, f64::min(0.99, 1.05 * beta_max));
                beta = f64::min(beta_max, 1.1 * beta);
            }
            plain = !settings.extrapolate;
            // A plain step can only rise by rounding.
            trace.push(objective.min(last));
            ahead = Point { basis: basis_ahead, coef: coef_ahead };
            best = next;
            if iteration >= next_check {
                next_check = iteration + CHECK_EVERY;
                if self.reseed(&mut best, &mut reseeds) {
                    ahead = best.clone();
                    plain = true;
                    continue;
                }
                optimality = self.optimality(&best);
                if optimality <= settings.tolerance {
                    stop = Stop::Optimal;
                    break;
                }
                let before = trace[trace.len().saturating_sub(11)];
                let gain = before - trace[trace.len() - 1];
                if iteration > 10 && gain <= STALLED * self.data.sum_of_squares() {
                    stop = Stop::Stalled;
                    break;
                }
            }
        }
        if stop == Stop::Iterations {
            optimality = self.optimality(&best);
        }
        let rank = self.rank;
        let (n_rows, n_columns) = self.data.shape();
        Ok(WeightedFit {
            basis: Mat::from_fn(n_rows, rank, |i, r| best.basis[i * rank + r]),
            coef: Mat::from_fn(rank, n_columns, |r, j| best.coef[j * rank + r]),
            iterations: trace.len() - 1,
            trace,
            optimality,
            stop,
            exhausted: (0..rank).filter(|&r| self.is_empty(&best, r)).collect(),
        })
    }

    fn solve_coef(&self, basis: &[f64], coef: &mut [f64]) {
        let restraint = &self.settings.coef;
        for_each_line(self.data.columns(), basis, self.rank, coef, |gram, right, y| {
            restraint.add_to(gram, right);
            descend(gram, right, restraint.upper, 0, HALF_STEP, y);
            0.0
        });
    }

    /// The objective after the step.
    fn solve_basis(&self, coef: &[f64], basis: &mut [f64]) -> f64 {
        let Restraint { upper, .. } = self.settings.basis;
        let sum = for_each_line(self.data.rows(), coef, self.rank, basis, |gram, right, y| {
            self.settings.basis.add_to(gram, right);
            descend(gram, right, upper, self.settings.known, HALF_STEP, y);
            value(gram, right, y)
        });
        self.total(sum, coef)
    }

    fn objective(&self, point: &Point) -> f64 {
        let mut basis = point.basis.clone();
        let sum = for_each_line(
            self.data.rows(),
            &point.coef,
            self.rank,
            &mut basis,
            |gram, right, y| {
                self.settings.basis.add_to(gram, right);
                value(gram, right, y)
            },
        );
        self.total(sum, &point.coef)
    }

    /// From the sum of the rows' programs: adds what does not depend on W.
    fn total(&self, rows: f64, coef: &[f64]) -> f64 {
        let penalty = self.settings.coef.penalty(coef, self.rank);
        (0.5 * self.data.sum_of_squares() + rows + penalty).max(0.0)
    }

    fn extrapolate(
        &self,
        next: &[f64],
        last: &[f64],
        step: f64,
        restraint: &Restraint,
        known: usize,
    ) -> Vec<f64> {
        let move_on = |(at, (&next, &last)): (usize, (&f64, &f64))| {
            if at % self.rank < known {
                next
            } else {
                (next + step * (next - last)).clamp(0.0, restraint.upper)
            }
        };
        next.iter().zip(last).enumerate().map(move_on).collect()
    }

    /// Scale-free measure of optimality: 0 at a stationary point.
    fn optimality(&self, point: &Point) -> f64 {
        let Point { basis, coef } = point;
        let mut measure = 0.0;
        let sides = [
            (self.data.columns(), basis, coef, &self.settings.coef, 0),
            (self.data.rows(), coef, basis, &self.settings.basis, self.settings.known),
        ];
        for (lines, fixed, free, restraint, known) in sides {
            let mut free = free.clone();
            // Two sums from one pass each: gradients, then right-hand sides.
            let gradient = for_each_line(lines, fixed, self.rank, &mut free, |gram, right, y| {
                restraint.add_to(gram, right);
                projected_gradient(gram, right, restraint.upper, known, y)
            });
            let size = for_each_line(lines, fixed, self.rank, &mut free, |_, right, _| {
                right[known..].iter().map(|b| b * b).sum()
            });
            if gradient > 0.0 {
                measure = f64::max(measure, (gradient / size.max(f64::MIN_POSITIVE)).sqrt());
            }
        }
        measure
    }

    fn is_empty(&self, point: &Point, component: usize) -> bool {
        let zero =
            |factor: &[f64]| factor[component..].iter().step_by(self.rank).all(|&v| v == 0.0);
        zero(&point.basis) || zero(&point.coef)
    }

    /// Gives a vanished component the positive residual of the column that is
    /// fitted worst, and no use of it: the objective stays as it is, and the
    /// next step can only lower it.  With a penalty, vanishing is meant.
    fn reseed(&self, point: &mut Point, reseeds: &mut [usize]) -> bool {
        let penalised = |r: &Restraint| r.l1 > 0.0 || r.l2 > 0.0 || r.angle > 0.0;
        if penalised(&self.settings.basis) || penalised(&self.settings.coef) {
            return false;
        }
        let mut changed = false;
        for r in self.settings.known..self.rank {
            if !self.is_empty(point, r) || reseeds[r] == MAX_RESEEDS {
                continue;
            }
            let worst = self.worst_residual(point);
            if worst.iter().all(|&v| v <= 0.0) {
                continue;
            }
            reseeds[r] += 1;
            changed = true;
            let largest = worst.iter().fold(0.0, |a: f64, &b| a.max(b));
            let bound = self.settings.basis.upper.min(largest);
            for (row, &residual) in point.basis.chunks_exact_mut(self.rank).zip(&worst) {
                row[r] = bound * residual.max(0.0) / largest;
            }
            point.coef[r..].iter_mut().step_by(self.rank).for_each(|v| *v = 0.0);
        }
        changed
    }

    /// Ω ∘ (X − W H) of the column with the largest weighted residual.
    fn worst_residual(&self, point: &Point) -> Vec<f64> {
        let residual = |j: usize| self.data.residual(j, &point.basis, &point.coef, self.rank);
        let (_, n_columns) = self.data.shape();
        let size = |j: usize| residual(j).iter().map(|v| v.max(0.0)).sum::<f64>();
        let worst = (0..n_columns).map(|j| (j, size(j))).max_by(|a, b| a.1.total_cmp(&b.1));
        worst.map_or(Vec::new(), |(j, _)| residual(j))
    }
}
