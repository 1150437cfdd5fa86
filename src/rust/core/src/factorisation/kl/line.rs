//! Updates of one line's problem: a safeguarded Newton step, or a multiplicative
//! update.

use super::line_problem::{
    settle_empty, smooth_value, step_size, LineProblem, SWEEPS, SWEEP_TOLERANCE,
};
use super::step_length::{add_step, is_safe, log_terms, shrinkage, Pace};
use crate::base::numbers::dot;
use crate::base::simd::{ln, LANES};
use crate::factorisation::data::{gram_into, Line};
use pulp::{Arch, Simd, WithSimd};

/// Scratch of one thread.
pub struct Work {
    mu: Vec<f64>,
    x: Vec<f64>,
    along: Vec<f64>,
    scaled: Vec<f64>,
    pull: Vec<f64>,
    hessian: Vec<f64>,
    slope: Vec<f64>,
    step: Vec<f64>,
}

/// From this rank on Hessians come from matrix products.
const PRODUCT_RANK: usize = 9;

impl Work {
    pub fn new(rank: usize) -> Self {
        let zeros = || vec![0.0; rank];
        Work {
            mu: Vec::new(),
            x: Vec::new(),
            along: Vec::new(),
            scaled: Vec::new(),
            pull: zeros(),
            hessian: vec![0.0; rank * rank],
            slope: zeros(),
            step: zeros(),
        }
    }
}

/// One safeguarded Newton step.  Returns the value at the new point (when
/// asked), without the majoriser's part.
pub fn newton(problem: &LineProblem<'_>, c: &mut [f64], work: &mut Work, value: bool) -> f64 {
    Arch::new().dispatch(Job { problem, c, work, kind: Kind::Newton { value } })
}

/// One multiplicative update.
pub fn multiplicative(
    problem: &LineProblem<'_>,
    c: &mut [f64],
    work: &mut Work,
    value: bool,
) -> f64 {
    Arch::new().dispatch(Job { problem, c, work, kind: Kind::Multiplicative { value } })
}

/// Σ h δ² of the coordinate-wise Newton steps δ with curvatures h.
pub fn residual(problem: &LineProblem<'_>, c: &[f64], work: &mut Work) -> f64 {
    let mut copy = c.to_vec();
    Arch::new().dispatch(Job { problem, c: &mut copy, work, kind: Kind::Residual })
}

enum Kind {
    Newton { value: bool },
    Multiplicative { value: bool },
    Residual,
}

struct Job<'a, 'b> {
    problem: &'a LineProblem<'b>,
    c: &'a mut [f64],
    work: &'a mut Work,
    kind: Kind,
}

impl WithSimd for Job<'_, '_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // ranks that are common for cells; dense data of low rank go through `lanes`
        match self.c.len() {
            3 => run::<3, _>(simd, self),
            4 => run::<4, _>(simd, self),
            5 => run::<5, _>(simd, self),
            6 => run::<6, _>(simd, self),
            8 => run::<8, _>(simd, self),
            10 => run::<10, _>(simd, self),
            _ => run::<0, _>(simd, self),
        }
    }
}

#[inline(always)]
fn run<const K: usize, S: Simd>(_: S, job: Job<'_, '_>) -> f64 {
    let Job { problem, c, work, kind } = job;
    let entries = match problem.entries {
        Line::Dense(values) => Entries { at: None, values },
        Line::Sparse { at, values } => Entries { at: Some(at), values },
    };
    act::<K>(problem, &entries, c, work, kind)
}

struct Entries<'a> {
    /// `None` when every entry is stored.
    at: Option<&'a [i32]>,
    values: &'a [f64],
}

impl Entries<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.values.len()
    }
    #[inline(always)]
    fn at(&self, p: usize) -> usize {
        self.at.map_or(p, |at| at[p] as usize)
    }
    #[inline(always)]
    fn x(&self, p: usize) -> f64 {
        self.values[p]
    }
}

#[inline(always)]
fn act<const K: usize>(
    problem: &LineProblem<'_>,
    entries: &Entries<'_>,
    c: &mut [f64],
    work: &mut Work,
    kind: Kind,
) -> f64 {
    let k = if K > 0 { K } else { c.len() };
    match kind {
        Kind::Newton { value } => {
            fit::<K>(problem, entries, c, work);
            derivatives::<K>(problem, entries, c, work, true);
            model_step(problem, c, work, k);
            search::<K>(problem, entries, c, work, value);
            if work.x.is_empty() {
                settle_empty(problem, c);
            }
            if value {
                value_at(problem, c, work)
            } else {
                f64::NAN
            }
        }
        Kind::Multiplicative { value } => {
            fit::<K>(problem, entries, c, work);
            derivatives::<K>(problem, entries, c, work, false);
            for (r, c) in c.iter_mut().enumerate() {
                let u = problem.totals[r];
                if u > 0.0 && problem.is_free(r) {
                    *c *= work.pull[r] / u;
                }
            }
            if value {
                fit::<K>(problem, entries, c, work);
                value_at(problem, c, work)
            } else {
                f64::NAN
            }
        }
        Kind::Residual => {
            fit::<K>(problem, entries, c, work);
            derivatives::<K>(problem, entries, c, work, true);
            let mut sum = 0.0;
            for r in (0..k).filter(|&r| problem.is_free(r)) {
                sum += step_size(work.slope[r], work.hessian[r * k + r], c[r], problem.upper);
            }
            sum
        }
    }
}

/// μ at the entries above zero, into `work.mu` and `work.x` (padded to whole
/// lanes by x = 0, μ = 1).  Where the fit vanishes the line starts again from
/// equal parts of every component.
#[inline(always)]
fn fit<const K: usize>(
    problem: &LineProblem<'_>,
    entries: &Entries<'_>,
    c: &mut [f64],
    work: &mut Work,
) {
    let k = if K > 0 { K } else { c.len() };
    for attempt in 0..2 {
        work.mu.clear();
        work.x.clear();
        let mut vanishes = false;
        for p in 0..entries.len() {
            let x = entries.x(p);
            if x > 0.0 {
                let at = entries.at(p) * k;
                let mu = dot(&problem.factor[at..at + k], &c[..k]);
                vanishes |= mu <= 0.0;
                work.mu.push(mu);
                work.x.push(x);
            }
        }
        if !vanishes {
            break;
        }
        if attempt == 0 {
            let sum: f64 = work.x.iter().sum();
            let size: f64 = problem.totals.iter().sum();
            for r in (0..k).filter(|&r| problem.is_free(r)) {
                c[r] = (sum / size).min(problem.upper);
            }
        } else {
            // No component reaches the entry; its own line has to change.
            work.mu.iter_mut().for_each(|mu| *mu = mu.max(f64::MIN_POSITIVE.sqrt()));
        }
    }
    while work.mu.len() % LANES != 0 {
        work.mu.push(1.0);
        work.x.push(0.0);
    }
}

/// Σ (x/μ) a into `pull`; with `second` the Hessian and slope as well.
#[inline(always)]
fn derivatives<const K: usize>(
    problem: &LineProblem<'_>,
    entries: &Entries<'_>,
    c: &[f64],
    work: &mut Work,
    second: bool,
) {
    let k = if K > 0 { K } else { c.len() };
    let by_product = second && (K == 0 || K >= PRODUCT_RANK);
    work.pull.fill(0.0);
    work.hessian.fill(0.0);
    work.scaled.clear();
    let mut pull = [0.0; 32];
    let mut q = 0;
    for p in 0..entries.len() {
        let x = entries.x(p);
        if x > 0.0 {
            let at = entries.at(p) * k;
            let a = &problem.factor[at..at + k];
            let ratio = x / work.mu[q];
            if K > 0 {
                for r in 0..K {
                    pull[r] += ratio * a[r];
                }
            } else {
                work.pull.iter_mut().zip(a).for_each(|(sum, a)| *sum += ratio * a);
            }
            if by_product {
                let root = (ratio / work.mu[q]).sqrt();
                work.scaled.extend(a.iter().map(|a| root * a));
            } else if second {
                let curvature = ratio / work.mu[q];
                for i in 0..k {
                    let scaled = curvature * a[i];
                    let column = &mut work.hessian[i * k..i * k + k];
                    for j in 0..k {
                        column[j] += scaled * a[j];
                    }
                }
            }
            q += 1;
        }
    }
    if K > 0 {
        work.pull.copy_from_slice(&pull[..k]);
    }
    if !second {
        return;
    }
    if by_product {
        gram_into(&work.scaled, k, &mut work.hessian);
    }
    for r in 0..k {
        let column = &problem.quadratic[r * k..(r + 1) * k];
        work.slope[r] = problem.totals[r] - work.pull[r] + dot(column, c);
        work.hessian[r * k..(r + 1) * k].iter_mut().zip(column).for_each(|(h, q)| *h += q);
        if let Some((d, b)) = problem.majoriser {
            work.hessian[r * k + r] += d;
            work.slope[r] += d * c[r] - b[r];
        }
    }
}

/// Minimises the quadratic model over the bounds; leaves the step in `work.step`
/// and its slope in `work.slope` as they were at the start.
#[inline(always)]
fn model_step(problem: &LineProblem<'_>, c: &[f64], work: &mut Work, k: usize) {
    work.step.fill(0.0);
    let gradient = &mut work.pull;
    gradient.copy_from_slice(&work.slope);
    let mut first = 0.0;
    for sweep in 0..SWEEPS {
        let mut moved = 0.0;
        for r in 0..k {
            let h = work.hessian[r * k + r];
            if h <= 0.0 || !problem.is_free(r) {
                continue;
            }
            let now = c[r] + work.step[r];
            let to = now - gradient[r] / h;
            let to = if to > 0.0 { to } else { 0.0 };
            let to = if to < problem.upper { to } else { problem.upper };
            let delta = to - now;
            if delta != 0.0 {
                work.step[r] = to - c[r];
                moved += h * delta * delta;
                let column = &work.hessian[r * k..r * k + k];
                gradient.iter_mut().zip(column).for_each(|(g, h)| *g += delta * h);
            }
        }
        if sweep == 0 {
            first = moved;
        }
        if moved <= SWEEP_TOLERANCE * first {
            break;
        }
    }
}

/// Goes along the step as far as the objective falls.
///
/// Along c + t s the objective is convex, so any t whose derivative is not
/// positive lies before the minimum and cannot be worse than t = 0.
#[inline(always)]
fn search<const K: usize>(
    problem: &LineProblem<'_>,
    entries: &Entries<'_>,
    c: &mut [f64],
    work: &mut Work,
    value: bool,
) {
    let k = if K > 0 { K } else { c.len() };
    let start = dot(&work.slope, &work.step);
    if start >= 0.0 {
        return;
    }
    let (mut curvature, mut shrink) = (0.0, 0.0);
    for (r, &now) in c.iter().enumerate() {
        curvature += work.step[r] * dot(&work.hessian[r * k..(r + 1) * k], &work.step);
        shrink = shrinkage(now, work.step[r], shrink);
    }
    let safe = is_safe(start, curvature, shrink);
    if safe && !value {
        add_step(c, &work.step, 1.0);
        return;
    }
    work.along.clear();
    for p in 0..entries.len() {
        if entries.x(p) > 0.0 {
            let at = entries.at(p) * k;
            work.along.push(dot(&problem.factor[at..at + k], &work.step[..k]));
        }
    }
    work.along.resize(work.mu.len(), 0.0);
    let mut pace = Pace::new();
    if safe {
        pace.accept();
    }
    // the part of the objective that is linear or quadratic along the step
    let (mut linear, mut bend) = (0.0, 0.0);
    for r in 0..k {
        let column = &problem.quadratic[r * k..(r + 1) * k];
        linear += work.step[r] * (problem.totals[r] + dot(column, c));
        bend += work.step[r] * dot(column, &work.step);
        if let Some((d, b)) = problem.majoriser {
            linear += work.step[r] * (d * c[r] - b[r]);
            bend += d * work.step[r] * work.step[r];
        }
    }
    while !pace.done {
        let (slope, curvature) = log_terms(&work.mu, &work.along, &work.x, pace.t);
        pace.look(linear + bend * pace.t - slope, bend + curvature, start);
    }
    let low = pace.low;
    if low == 0.0 {
        return;
    }
    add_step(c, &work.step, low);
    for (mu, along) in work.mu.iter_mut().zip(&work.along) {
        *mu += low * along;
    }
}

/// uᵀc − Σ x log μ + ½ cᵀQc.
#[inline(always)]
fn value_at(problem: &LineProblem<'_>, c: &[f64], work: &Work) -> f64 {
    let mut logs = [0.0; LANES];
    for (mu, x) in work.mu.chunks_exact(LANES).zip(work.x.chunks_exact(LANES)) {
        for lane in 0..LANES {
            logs[lane] += x[lane] * ln(mu[lane]);
        }
    }
    smooth_value(problem, c) - logs.iter().sum::<f64>()
}
