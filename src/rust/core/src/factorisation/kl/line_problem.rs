//! The convex problem of one line (feature or sample) under the
//! Kullback-Leibler divergence:
//! min over 0 ≤ c ≤ upper of uᵀc − Σ_p x_p log(a_pᵀ c) + ½ cᵀQc.

use crate::base::numbers::dot;
use crate::factorisation::data::Line;

pub struct LineProblem<'a> {
    /// The standing factor: a_p is its column p.
    pub factor: &'a [f64],
    /// x.
    pub entries: Line<'a>,
    /// u, of length rank.
    pub totals: &'a [f64],
    /// Q.
    pub quadratic: &'a [f64],
    /// A further ½ d ‖c‖² − bᵀc (of a graph).
    pub majoriser: Option<(f64, &'a [f64])>,
    pub upper: f64,
    pub fixed: &'a [bool],
}

impl LineProblem<'_> {
    #[inline(always)]
    pub fn is_free(&self, component: usize) -> bool {
        self.fixed.is_empty() || !self.fixed[component]
    }
}

/// Sweeps over the quadratic model at most, and what part of the first sweep's
/// move may be left.
pub const SWEEPS: usize = 20;
pub const SWEEP_TOLERANCE: f64 = 1e-4;

/// h δ² of a coordinate's Newton step δ; without curvature, what its fall to zero
/// would bring.
#[inline(always)]
pub fn step_size(slope: f64, h: f64, c: f64, upper: f64) -> f64 {
    if h > 0.0 {
        let to = (c - slope / h).clamp(0.0, upper);
        h * (to - c) * (to - c)
    } else {
        (slope * c).max(0.0)
    }
}

/// A line without entries above zero is a quadratic problem, which the sweeps of
/// a Newton step minimise where there is curvature: the same for every component.
/// Where there is none the slope is `totals`, and what it pulls down falls to zero.
pub fn settle_empty(problem: &LineProblem<'_>, c: &mut [f64]) {
    let graph = problem.majoriser.map_or(0.0, |(d, _)| d);
    let k = c.len();
    for (r, c) in c.iter_mut().enumerate() {
        let flat = problem.quadratic[r * k + r] + graph <= 0.0;
        if flat && problem.is_free(r) && problem.totals[r] > 0.0 {
            *c = 0.0;
        }
    }
}

/// uᵀc + ½ cᵀQc.
#[inline(always)]
pub fn smooth_value(problem: &LineProblem<'_>, c: &[f64]) -> f64 {
    let k = c.len();
    let mut value = dot(problem.totals, c);
    for r in 0..k {
        value += 0.5 * c[r] * dot(&problem.quadratic[r * k..(r + 1) * k], c);
    }
    value
}
