//! The problems of [`super::line_problem`] for dense data, eight lines side by side: they
//! share the standing factor, so that every operation is on whole vectors.

use super::lane_sums::{lane_of, product, Group, Lane, Sums};
use super::line_problem::{self, LineProblem};
use super::step_length::{is_safe, shrinkage, Pace};
use crate::base::simd::{fma, ln, LANES};
use pulp::{Arch, Simd, WithSimd};

/// The largest rank whose Hessians are held in this way.
pub const MAX_RANK: usize = 6;

/// True when there is a kernel for the rank.
pub fn has_rank(rank: usize) -> bool {
    (1..=MAX_RANK).contains(&rank)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Newton,
    Multiplicative,
    /// Changes nothing: returns Σ h δ² of the coordinate-wise Newton steps δ.
    Residual,
}

/// Improves the coefficients (rank × lines) of a group.  The sum of the values,
/// or `None` when the fit of some line vanishes where X does not: nothing has
/// then been done.
pub fn improve(group: &Group<'_>, c: &mut [f64], kind: Kind, value: bool) -> Option<f64> {
    Arch::new().dispatch(Job { group, c, kind, value })
}

struct Job<'a, 'b> {
    group: &'a Group<'b>,
    c: &'a mut [f64],
    kind: Kind,
    value: bool,
}

impl WithSimd for Job<'_, '_> {
    type Output = Option<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<f64> {
        let rank = self.c.len() / self.group.problems.len();
        match rank {
            1 => run::<1, _>(simd, self),
            2 => run::<2, _>(simd, self),
            3 => run::<3, _>(simd, self),
            4 => run::<4, _>(simd, self),
            5 => run::<5, _>(simd, self),
            6 => run::<6, _>(simd, self),
            _ => None,
        }
    }
}

#[inline(always)]
fn run<const K: usize, S: Simd>(_: S, job: Job<'_, '_>) -> Option<f64> {
    let Job { group, c: coefficients, kind, value } = job;
    let problems = group.problems;
    let lines = problems.len();
    let mut c = [[0.0; LANES]; K];
    let mut totals = [[1.0; LANES]; K];
    for (lane, problem) in problems.iter().enumerate() {
        for r in 0..K {
            c[r][lane] = coefficients[lane * K + r];
            totals[r][lane] = problem.totals[r];
        }
    }
    let first = &problems[0];
    let mut sums = Sums::<K>::new();
    let vanishes = match kind {
        Kind::Newton | Kind::Residual => sums.gather::<S, true>(group, first.factor, &c),
        Kind::Multiplicative => sums.gather::<S, false>(group, first.factor, &c),
    };
    if vanishes {
        return None;
    }
    match kind {
        Kind::Multiplicative => {
            for r in 0..K {
                for lane in 0..lines {
                    if totals[r][lane] > 0.0 && first.is_free(r) {
                        c[r][lane] *= sums.pull[r][lane] / totals[r][lane];
                    }
                }
            }
        }
        Kind::Residual => {
            let slope = sums.complete(problems, &totals, &c);
            let mut sum = 0.0;
            for lane in 0..lines {
                for r in (0..K).filter(|&r| first.is_free(r)) {
                    let (slope, h) = (slope[r][lane], sums.hessian[r][r][lane]);
                    sum += line_problem::step_size(slope, h, c[r][lane], first.upper);
                }
            }
            return Some(sum);
        }
        Kind::Newton => {
            let slope = sums.complete(problems, &totals, &c);
            let step = model_step(&sums.hessian, &slope, &c, first);
            search::<K, S>(group, &totals, (&sums.hessian, &slope), &step, &mut c);
        }
    }
    for (lane, problem) in problems.iter().enumerate() {
        let line = &mut coefficients[lane * K..(lane + 1) * K];
        line.iter_mut().zip(&c).for_each(|(to, c)| *to = c[lane]);
        if kind == Kind::Newton && sums.largest[lane] <= 0.0 {
            line_problem::settle_empty(problem, line);
            (0..K).for_each(|r| c[r][lane] = line[r]);
        }
    }
    if !value {
        return Some(f64::NAN);
    }
    let mut logs = [0.0; LANES];
    for (a, x) in first.factor.chunks_exact(K).zip(group.entries.chunks(group.stride)) {
        let x = lane_of(x);
        let mu = product::<K, S>(a, &c);
        for lane in 0..LANES {
            let counted = if x[lane] > 0.0 { mu[lane] } else { 1.0 };
            logs[lane] = fma::<S>(x[lane], ln(counted), logs[lane]);
        }
    }
    let parts = problems.iter().enumerate().map(|(lane, problem)| {
        line_problem::smooth_value(problem, &coefficients[lane * K..(lane + 1) * K]) - logs[lane]
    });
    Some(parts.sum())
}

/// Minimises the quadratic models over the bounds, all lanes by the same sweeps.
#[inline(always)]
fn model_step<const K: usize>(
    hessian: &[[Lane; K]; K],
    slope: &[Lane; K],
    c: &[Lane; K],
    problem: &LineProblem<'_>,
) -> [Lane; K] {
    let mut inverse = [[0.0; LANES]; K];
    for r in 0..K {
        for lane in 0..LANES {
            let h = hessian[r][r][lane];
            inverse[r][lane] = if h > 0.0 { 1.0 / h } else { 0.0 };
        }
    }
    let mut gradient = *slope;
    let mut there = *c;
    let mut first = [0.0; LANES];
    let mut active = [true; LANES];
    for sweep in 0..line_problem::SWEEPS {
        let mut moved = [0.0; LANES];
        for r in (0..K).filter(|&r| problem.is_free(r)) {
            let mut delta = [0.0; LANES];
            for lane in 0..LANES {
                let to = there[r][lane] - gradient[r][lane] * inverse[r][lane];
                let to = if to > 0.0 { to } else { 0.0 };
                let to = if to < problem.upper { to } else { problem.upper };
                // a lane ends as it would alone
                let to = if active[lane] { to } else { there[r][lane] };
                delta[lane] = to - there[r][lane];
                there[r][lane] = to;
                moved[lane] += hessian[r][r][lane] * delta[lane] * delta[lane];
            }
            for s in 0..K {
                for lane in 0..LANES {
                    gradient[s][lane] += hessian[r][s][lane] * delta[lane];
                }
            }
        }
        if sweep == 0 {
            first = moved;
        }
        for lane in 0..LANES {
            active[lane] &= moved[lane] > line_problem::SWEEP_TOLERANCE * first[lane];
        }
        if !active.contains(&true) {
            break;
        }
    }
    for r in 0..K {
        for lane in 0..LANES {
            there[r][lane] -= c[r][lane];
        }
    }
    there
}

/// Goes along the steps as [`super::line`] does, every lane at its own pace.
#[inline(always)]
fn search<const K: usize, S: Simd>(
    group: &Group<'_>,
    totals: &[Lane; K],
    (hessian, slope): (&[[Lane; K]; K], &[Lane; K]),
    step: &[Lane; K],
    c: &mut [Lane; K],
) {
    let problems = group.problems;
    let zero = [0.0; LANES];
    let (mut linear, mut bend, mut start) = (zero, zero, zero);
    for r in 0..K {
        for lane in 0..LANES {
            start[lane] += slope[r][lane] * step[r][lane];
            linear[lane] += totals[r][lane] * step[r][lane];
        }
        for s in 0..K {
            let entry = problems[0].quadratic[r * K + s];
            if entry != 0.0 {
                for lane in 0..LANES {
                    linear[lane] += entry * step[r][lane] * c[s][lane];
                    bend[lane] += entry * step[r][lane] * step[s][lane];
                }
            }
        }
    }
    for (lane, problem) in problems.iter().enumerate() {
        if let Some((d, b)) = problem.majoriser {
            for r in 0..K {
                linear[lane] += step[r][lane] * (d * c[r][lane] - b[r]);
                bend[lane] += d * step[r][lane] * step[r][lane];
            }
        }
    }
    let mut curvature = zero;
    let mut shrink = zero;
    for r in 0..K {
        for s in 0..K {
            for lane in 0..LANES {
                curvature[lane] += hessian[r][s][lane] * step[r][lane] * step[s][lane];
            }
        }
        for lane in 0..LANES {
            shrink[lane] = shrinkage(c[r][lane], step[r][lane], shrink[lane]);
        }
    }
    let mut pace = [Pace::new(); LANES];
    for lane in 0..LANES {
        // lanes without a line, or at their optimum, are done
        pace[lane].done = lane >= problems.len() || start[lane] >= 0.0;
        if !pace[lane].done && is_safe(start[lane], curvature[lane], shrink[lane]) {
            pace[lane].accept();
        }
    }
    while pace.iter().any(|p| !p.done) {
        let mut there = *c;
        for r in 0..K {
            for lane in 0..LANES {
                there[r][lane] += pace[lane].t * step[r][lane];
            }
        }
        let (mut first, mut second, mut least) = (zero, zero, [1.0; LANES]);
        let factor = problems[0].factor;
        for (a, x) in factor.chunks_exact(K).zip(group.entries.chunks(group.stride)) {
            let x = lane_of(x);
            let mu = product::<K, S>(a, &there);
            let along = product::<K, S>(a, step);
            for lane in 0..LANES {
                let counted = if x[lane] > 0.0 { mu[lane] } else { 1.0 };
                least[lane] = if counted < least[lane] { counted } else { least[lane] };
                let part = along[lane] / counted;
                let pulled = x[lane] * part;
                first[lane] += pulled;
                second[lane] = fma::<S>(pulled, part, second[lane]);
            }
        }
        for lane in (0..LANES).filter(|&lane| !pace[lane].done).collect::<Vec<_>>() {
            let t = pace[lane].t;
            let inside = least[lane] > 0.0;
            let slope =
                if inside { linear[lane] + bend[lane] * t - first[lane] } else { f64::INFINITY };
            pace[lane].look(slope, bend[lane] + second[lane], start[lane]);
        }
    }
    for r in 0..K {
        for lane in 0..LANES {
            let to = c[r][lane] + pace[lane].low * step[r][lane];
            c[r][lane] = if to > 0.0 { to } else { 0.0 };
        }
    }
}
