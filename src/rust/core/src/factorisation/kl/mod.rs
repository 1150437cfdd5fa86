//! Generalised Kullback-Leibler divergence Σ x log(x / μ) − x + μ, μ = W H.
//!
//! Given one factor the divergence falls apart into one small convex problem
//! per line of the other, min_c uᵀc − Σ_p x_p log(a_pᵀ c), in which only the
//! entries with x_p > 0 take part: `u` holds the sums of the standing factor.

mod lane_sums;
mod lanes;
pub(super) mod line;
pub(super) mod line_problem;
mod step_length;
mod weighted_kl;

pub use weighted_kl::WeightedKl;

use super::alternate::{Model, Pair};
use super::data::{Data, Side};
use super::frobenius::revive_from_residual;
use super::penalty::Constraint;
use crate::base::simd::LANES;
use lane_sums::Group;
use line::Work;
use line_problem::LineProblem;
use weighted_kl::Totals;

/// How a line's problem is improved.
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
    weights: Option<Totals<'a>>,
    /// Σ ω (x log x − x).
    constant: f64,
    total: f64,
}

impl<'a> KullbackLeibler<'a> {
    pub fn new(data: Data<'a>, rank: usize, step: Step, constraints: [Constraint; 2]) -> Self {
        let constant = data.sum_of(|x| if x > 0.0 { x * x.ln() - x } else { 0.0 });
        KullbackLeibler::of(data, rank, step, constraints, None, constant)
    }

    pub fn weighted(
        weighted: WeightedKl<'a>,
        rank: usize,
        step: Step,
        constraints: [Constraint; 2],
    ) -> Self {
        let WeightedKl { data, totals, constant } = weighted;
        KullbackLeibler::of(data, rank, step, constraints, Some(totals), constant)
    }

    fn of(
        data: Data<'a>,
        rank: usize,
        step: Step,
        constraints: [Constraint; 2],
        weights: Option<Totals<'a>>,
        constant: f64,
    ) -> Self {
        let data = data.with_lines();
        let total = data.sum();
        KullbackLeibler { data, rank, step, constraints, weights, constant, total }
    }

    /// Calls `f` with blocks of problems, the number of their first line and their
    /// coefficients; the sum of what it returns, in a fixed order.
    fn over_lines(
        &self,
        side: Side,
        fixed: &[f64],
        current: &mut [f64],
        f: impl Fn(&[LineProblem<'_>], usize, &mut [f64]) -> f64 + Sync,
    ) -> f64 {
        let rank = self.rank;
        let constraint = &self.constraints[side.index()];
        let l1 = constraint.penalty.l1;
        // per line with weights, else one for all
        let mut totals = match &self.weights {
            Some(weights) => weights.of(side, fixed, rank),
            None => {
                let mut sums = vec![0.0; rank];
                for line in fixed.chunks_exact(rank) {
                    sums.iter_mut().zip(line).for_each(|(sum, v)| *sum += v);
                }
                sums
            }
        };
        totals.iter_mut().for_each(|u| *u += l1);
        let mut quadratic = vec![0.0; rank * rank];
        constraint.penalty.add_to_gram(&mut quadratic, rank);
        let graph = constraint.penalty.graph.as_ref().map(|g| g.majoriser(current, rank));
        let problem = |index: usize| {
            let own = if self.weights.is_some() { index * rank } else { 0 };
            LineProblem {
                factor: fixed,
                entries: self.data.line(side, index),
                totals: &totals[own..own + rank],
                quadratic: &quadratic,
                majoriser: graph
                    .as_ref()
                    .map(|(d, b)| (d[index], &b[index * rank..(index + 1) * rank])),
                upper: constraint.upper,
                fixed: &constraint.fixed,
            }
        };
        let sums = self.data.over_blocks(side, rank, current, |first, out| {
            let problems: Vec<_> = (first..first + out.len() / rank).map(problem).collect();
            f(&problems, first, out)
        });
        sums.iter().sum()
    }

    /// One line after the other.
    fn improve_lines(
        &self,
        problems: &[LineProblem<'_>],
        work: &mut Work,
        out: &mut [f64],
        value: bool,
    ) -> f64 {
        let each = problems.iter().zip(out.chunks_exact_mut(self.rank));
        each.map(|(problem, c)| match self.step {
            Step::Newton => line::newton(problem, c, work, value),
            Step::Multiplicative => line::multiplicative(problem, c, work, value),
        })
        .sum()
    }

    fn residual_lines(
        &self,
        problems: &[LineProblem<'_>],
        work: &mut Work,
        current: &[f64],
    ) -> f64 {
        let each = problems.iter().zip(current.chunks_exact(self.rank));
        each.map(|(problem, c)| line::residual(problem, c, work)).sum()
    }

    /// The data of a side as groups want them.
    fn dense(&self, side: Side) -> Option<(&[f64], usize)> {
        self.data.side_by_side(side).filter(|_| lanes::has_rank(self.rank))
    }

    /// Dense lines in groups, where there is a kernel for the rank.
    fn improve_groups(
        &self,
        (entries, stride): (&[f64], usize),
        first: usize,
        problems: &[LineProblem<'_>],
        out: &mut [f64],
        (kind, value): (lanes::Kind, bool),
    ) -> f64 {
        let mut work = Work::new(self.rank);
        let mut padded = Vec::new();
        let mut sum = 0.0;
        let groups = problems.chunks(LANES).zip(out.chunks_mut(LANES * self.rank));
        for (at, (problems, out)) in groups.enumerate() {
            let first = first + at * LANES;
            let whole = problems.len() == LANES;
            if !whole {
                padded.clear();
                for row in entries.chunks_exact(stride) {
                    padded.extend_from_slice(&row[first..first + problems.len()]);
                    padded.resize(padded.len().next_multiple_of(LANES), 0.0);
                }
            }
            let group = Group {
                entries: if whole { &entries[first..] } else { &padded },
                stride: if whole { stride } else { LANES },
                problems,
            };
            sum += match lanes::improve(&group, out, kind, value) {
                Some(value) => value,
                None if kind == lanes::Kind::Residual => {
                    self.residual_lines(problems, &mut work, out)
                }
                None => self.improve_lines(problems, &mut work, out, value),
            };
        }
        sum
    }
}

impl Model for KullbackLeibler<'_> {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64 {
        let kind = match self.step {
            Step::Newton => lanes::Kind::Newton,
            Step::Multiplicative => lanes::Kind::Multiplicative,
        };
        let dense = self.dense(side);
        let sum = self.over_lines(side, fixed, current, |problems, first, out| match dense {
            Some(entries) => self.improve_groups(entries, first, problems, out, (kind, value)),
            None => self.improve_lines(problems, &mut Work::new(self.rank), out, value),
        });
        if !value {
            return f64::NAN;
        }
        let graph = &self.constraints[side.index()].penalty.graph;
        self.constant + sum + graph.as_ref().map_or(0.0, |g| g.value(current, self.rank))
    }

    fn penalty(&self, side: Side, factor: &[f64]) -> f64 {
        self.constraints[side.index()].penalty.value(factor, self.rank)
    }

    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        let mut copy = current.to_vec();
        let kind = (lanes::Kind::Residual, false);
        let dense = self.dense(side);
        let sum = self.over_lines(side, fixed, &mut copy, |problems, first, out| match dense {
            Some(entries) => self.improve_groups(entries, first, problems, out, kind),
            None => self.residual_lines(problems, &mut Work::new(self.rank), out),
        });
        if self.total > 0.0 {
            (sum / self.total).sqrt()
        } else {
            0.0
        }
    }

    fn upper(&self, side: Side) -> f64 {
        self.constraints[side.index()].upper
    }

    fn kept_part(&self) -> f64 {
        0.1
    }

    fn revive(&self, pair: &mut Pair, component: usize) -> bool {
        let free = |side: Side| self.constraints[side.index()].is_free(component);
        self.step == Step::Newton
            && self.weights.is_none()
            && free(Side::Basis)
            && free(Side::Coef)
            && self.constraints.iter().all(|c| c.penalty.is_none())
            && revive_from_residual(&self.data, pair, component)
    }
}
