//! ½‖X − W H‖² with penalties and bounds, on Gram matrices: each half-step
//! touches X once, in the product of X with the factor that stands.

use super::alternate::{Model, Pair};
use super::data::{Data, Side};
use super::penalty::Constraint;
use crate::nnls::{descend, project, Descent, Pivoting, Sweeps};

/// How the quadratic problem of a half-step is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Solver {
    /// Sweeps of coordinate descent (accelerated HALS, Gillis and Glineur 2012).
    CoordinateDescent,
    /// Exactly (alternating non-negative least squares).
    Pivoting,
    /// Projected gradient steps of length 1 / L, L the largest row sum of the Gram
    /// matrix (compare Lin 2007).
    Gradient,
}

pub struct Frobenius<'a> {
    data: Data<'a>,
    rank: usize,
    solver: Solver,
    constraints: [Constraint; 2],
    half_squares: f64,
}

/// Below this part of ½‖X‖² the objective is computed from residuals: the
/// difference of sums would have lost too many digits.
const CANCELLATION: f64 = 1e-6;

impl<'a> Frobenius<'a> {
    pub fn new(data: Data<'a>, rank: usize, solver: Solver, constraints: [Constraint; 2]) -> Self {
        let half_squares = 0.5 * data.squares();
        Frobenius { data, rank, solver, constraints, half_squares }
    }

    /// Sweeps per half-step: as many as cost half of the product with X.
    fn sweeps(&self, side: Side) -> Sweeps {
        let (lines, across) = (self.data.count(side), self.data.count(side.other()));
        let product = self.data.nonzeros() + across * self.rank;
        let sweep = lines * (self.rank + 1);
        let max = 1 + (0.5 * (1.0 + product as f64 / sweep.max(1) as f64)) as usize;
        Sweeps { max, tolerance: 0.01 }
    }

    fn gram(&self, side: Side, fixed: &[f64]) -> Vec<f64> {
        let mut gram = self.data.gram(side.other(), fixed, self.rank);
        self.constraints[side.index()].penalty.add_to_gram(&mut gram, self.rank);
        gram
    }

    /// Right-hand sides of the lines `first..` without the graph's.
    fn linear(&self, side: Side, fixed: &[f64], first: usize, out: &mut [f64]) {
        self.data.product_block(side, fixed, self.rank, first, out);
        let l1 = self.constraints[side.index()].penalty.l1;
        if l1 != 0.0 {
            out.iter_mut().for_each(|b| *b -= l1);
        }
    }
}

/// ‖x_j − W h_j‖² per sample.
pub fn squared_residuals(data: &Data<'_>, rank: usize, basis: &[f64], coef: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; data.count(Side::Coef)];
    let residuals = |first: usize, out: &mut [f64]| {
        let mut fit = vec![0.0; data.count(Side::Basis)];
        for (offset, out) in out.iter_mut().enumerate() {
            let j = first + offset;
            data.residual(j, basis, &coef[j * rank..(j + 1) * rank], &mut fit);
            *out = fit.iter().map(|v| v * v).sum();
        }
    };
    data.over_blocks(Side::Coef, 1, &mut out, residuals);
    out
}

impl Model for Frobenius<'_> {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64 {
        let rank = self.rank;
        let constraint = &self.constraints[side.index()];
        let gram = self.gram(side, fixed);
        let sweeps = self.sweeps(side);
        let graph = constraint.penalty.graph.as_ref().map(|g| g.majoriser(current, rank));
        let exact = self.solver == Solver::Pivoting;
        let sums = self.data.over_blocks(side, rank, current, |first, out| {
            let mut linear = vec![0.0; out.len()];
            self.linear(side, fixed, first, &mut linear);
            let pull: &[f64] =
                graph.as_ref().map_or(&[], |(_, b)| &b[first * rank..first * rank + out.len()]);
            linear.iter_mut().zip(pull).for_each(|(b, pull)| *b += pull);
            let diagonal: &[f64] =
                graph.as_ref().map_or(&[], |(d, _)| &d[first..first + out.len() / rank]);
            if exact {
                let mut pivoting = Pivoting::new(&gram, rank);
                for (b, x) in linear.chunks_exact(rank).zip(out.chunks_exact_mut(rank)) {
                    pivoting.solve(b, x);
                }
            }
            if self.solver == Solver::Gradient {
                project(&gram, &linear, out, 2 * sweeps.max);
            }
            let descending = self.solver == Solver::CoordinateDescent;
            let sweeps = if descending { sweeps } else { Sweeps { max: 0, ..sweeps } };
            let problem = Descent {
                gram: &gram,
                linear: &linear,
                diagonal,
                upper: constraint.upper,
                fixed: &constraint.fixed,
                sweeps,
            };
            let value = descend(&problem, out);
            value + pull.iter().zip(out.iter()).map(|(b, x)| b * x).sum::<f64>()
        });
        if !value {
            return f64::NAN;
        }
        let mut total = self.half_squares + sums.iter().sum::<f64>();
        if let Some(graph) = &constraint.penalty.graph {
            total += graph.value(current, rank);
        }
        let penalty = constraint.penalty.value(current, rank);
        if total - penalty < CANCELLATION * self.half_squares {
            let (basis, coef) = match side {
                Side::Basis => (&*current, fixed),
                Side::Coef => (fixed, &*current),
            };
            let squares = squared_residuals(&self.data, rank, basis, coef);
            return 0.5 * squares.iter().sum::<f64>() + penalty;
        }
        total
    }

    fn penalty(&self, side: Side, factor: &[f64]) -> f64 {
        self.constraints[side.index()].penalty.value(factor, self.rank)
    }

    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        let rank = self.rank;
        let constraint = &self.constraints[side.index()];
        let gram = self.gram(side, fixed);
        let graph = constraint.penalty.graph.as_ref().map(|g| g.majoriser(current, rank));
        let mut linear = vec![0.0; current.len()];
        let sums = self.data.over_blocks(side, rank, &mut linear, |first, linear| {
            self.linear(side, fixed, first, linear);
            let mut sum = 0.0;
            for (offset, b) in linear.chunks_exact(rank).enumerate() {
                let line = first + offset;
                let x = &current[line * rank..(line + 1) * rank];
                for r in (0..rank).filter(|&r| constraint.is_free(r)) {
                    let column = &gram[r * rank..(r + 1) * rank];
                    let mut curvature = column[r];
                    let mut slope: f64 = column.iter().zip(x).map(|(g, x)| g * x).sum();
                    slope -= b[r];
                    if let Some((d, pull)) = &graph {
                        curvature += d[line];
                        slope += d[line] * x[r] - pull[line * rank + r];
                    }
                    if curvature > 0.0 {
                        let to = (x[r] - slope / curvature).clamp(0.0, constraint.upper);
                        sum += curvature * (to - x[r]) * (to - x[r]);
                    }
                }
            }
            sum
        });
        let scale = 2.0 * self.half_squares;
        if scale > 0.0 {
            (sums.iter().sum::<f64>() / scale).sqrt()
        } else {
            0.0
        }
    }

    fn upper(&self, side: Side) -> f64 {
        self.constraints[side.index()].upper
    }

    fn revive(&self, pair: &mut Pair, component: usize) -> bool {
        let free = |side: Side| self.constraints[side.index()].is_free(component);
        free(Side::Basis)
            && free(Side::Coef)
            && self.constraints.iter().all(|c| c.penalty.is_none())
            && revive_from_residual(&self.data, pair, component)
    }
}

/// Sets a component of the basis to the positive part of the largest residual
/// of a sample, and its coefficients to zero: the fit stays as it is, and the
/// next update of the coefficients takes what helps.
pub fn revive_from_residual(data: &Data<'_>, pair: &mut Pair, component: usize) -> bool {
    let rank = pair.rank;
    let squares = squared_residuals(data, rank, pair.side(Side::Basis), pair.side(Side::Coef));
    let Some(worst) = (0..squares.len()).max_by(|&a, &b| squares[a].total_cmp(&squares[b])) else {
        return false;
    };
    let mut residual = vec![0.0; data.count(Side::Basis)];
    let coef: Vec<f64> = pair.side(Side::Coef)[worst * rank..(worst + 1) * rank].to_vec();
    data.residual(worst, pair.side(Side::Basis), &coef, &mut residual);
    let size: f64 = residual.iter().map(|v| v.max(0.0)).sum();
    if size <= 1e-12 * data.sum() / data.count(Side::Coef).max(1) as f64 {
        return false;
    }
    for (line, v) in pair.side_mut(Side::Basis).chunks_exact_mut(rank).zip(&residual) {
        line[component] = v.max(0.0) / size;
    }
    pair.side_mut(Side::Coef).chunks_exact_mut(rank).for_each(|line| line[component] = 0.0);
    true
}
