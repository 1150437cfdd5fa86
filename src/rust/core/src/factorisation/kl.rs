//! Generalised Kullback-Leibler divergence Σ x log(x / μ) − x + μ, μ = W H.
//!
//! Given one factor the divergence falls apart into one small convex program
//! per line of the other, min_c uᵀc − Σ_p x_p log(a_pᵀ c), in which only the
//! entries with x_p > 0 take part: `u` holds the sums of the standing factor.

use super::alternate::{Model, Pair};
use super::data::{Data, Side};
use super::frobenius::revive_from_residual;
use super::line::{self, Work};
use super::penalty::Constraint;

/// How a line's program is improved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Second order: the quadratic model of the line by coordinate descent, then
    /// a line search that never goes past the minimum along the step.
    Newton,
    /// Multiplicative (Lee and Seung 2001; Brunet 2004).
    Multiplicative,
}

pub struct KullbackLeibler<'a> {
    data: Data<'a>,
    rank: usize,
    step: Step,
    constraints: [Constraint; 2],
    /// Σ x log x − x.
    constant: f64,
    total: f64,
}

impl<'a> KullbackLeibler<'a> {
    pub fn new(data: Data<'a>, rank: usize, step: Step, constraints: [Constraint; 2]) -> Self {
        let data = data.with_lines();
        let constant = data.sum_of(|x| if x > 0.0 { x * x.ln() - x } else { 0.0 });
        let total = data.sum();
        KullbackLeibler { data, rank, step, constraints, constant, total }
    }

    /// Σ of the standing factor over its lines, plus the L1 penalty of the other.
    fn totals(&self, side: Side, fixed: &[f64]) -> Vec<f64> {
        let mut totals = vec![0.0; self.rank];
        for line in fixed.chunks_exact(self.rank) {
            totals.iter_mut().zip(line).for_each(|(sum, v)| *sum += v);
        }
        let l1 = self.constraints[side.index()].penalty.l1;
        totals.iter_mut().for_each(|u| *u += l1);
        totals
    }
}

impl Model for KullbackLeibler<'_> {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64 {
        let rank = self.rank;
        let constraint = &self.constraints[side.index()];
        let totals = self.totals(side, fixed);
        let mut quadratic = vec![0.0; rank * rank];
        constraint.penalty.add_to_gram(&mut quadratic, rank);
        let graph = constraint.penalty.graph.as_ref().map(|g| g.majoriser(current, rank));
        let sums = self.data.over_blocks(side, rank, current, |first, out| {
            let mut work = Work::new(rank);
            let mut sum = 0.0;
            for (offset, c) in out.chunks_exact_mut(rank).enumerate() {
                let index = first + offset;
                let problem = line::Problem {
                    factor: fixed,
                    entries: self.data.line(side, index),
                    totals: &totals,
                    quadratic: &quadratic,
                    majoriser: graph
                        .as_ref()
                        .map(|(d, b)| (d[index], &b[index * rank..(index + 1) * rank])),
                    upper: constraint.upper,
                    fixed: &constraint.fixed,
                };
                sum += match self.step {
                    Step::Newton => line::newton(&problem, c, &mut work, value),
                    Step::Multiplicative => line::multiplicative(&problem, c, &mut work, value),
                };
            }
            sum
        });
        if !value {
            return f64::NAN;
        }
        let graph = constraint.penalty.graph.as_ref().map_or(0.0, |g| g.value(current, rank));
        self.constant + sums.iter().sum::<f64>() + graph
    }

    fn penalty(&self, side: Side, factor: &[f64]) -> f64 {
        self.constraints[side.index()].penalty.value(factor, self.rank)
    }

    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        let rank = self.rank;
        let constraint = &self.constraints[side.index()];
        let totals = self.totals(side, fixed);
        let mut quadratic = vec![0.0; rank * rank];
        constraint.penalty.add_to_gram(&mut quadratic, rank);
        let graph = constraint.penalty.graph.as_ref().map(|g| g.majoriser(current, rank));
        let mut copy = current.to_vec();
        let sums = self.data.over_blocks(side, rank, &mut copy, |first, out| {
            let mut work = Work::new(rank);
            let mut sum = 0.0;
            for (offset, c) in out.chunks_exact(rank).enumerate() {
                let index = first + offset;
                let problem = line::Problem {
                    factor: fixed,
                    entries: self.data.line(side, index),
                    totals: &totals,
                    quadratic: &quadratic,
                    majoriser: graph
                        .as_ref()
                        .map(|(d, b)| (d[index], &b[index * rank..(index + 1) * rank])),
                    upper: constraint.upper,
                    fixed: &constraint.fixed,
                };
                sum += line::residual(&problem, c, &mut work);
            }
            sum
        });
        if self.total > 0.0 {
            (sums.iter().sum::<f64>() / self.total).sqrt()
        } else {
            0.0
        }
    }

    fn kept_part(&self) -> f64 {
        0.1
    }

    fn revive(&self, pair: &mut Pair, component: usize) -> bool {
        let free = |side: Side| self.constraints[side.index()].is_free(component);
        self.step == Step::Newton
            && free(Side::Basis)
            && free(Side::Coef)
            && self.constraints.iter().all(|c| c.penalty.is_none())
            && revive_from_residual(&self.data, pair, component)
    }
}
