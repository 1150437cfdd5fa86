//! How far to go along a Newton step of the Kullback-Leibler divergence, which
//! is convex along it: never past the minimum, so that it never rises.

use crate::base::simd::LANES;

/// c ← c + t step, without going below zero by rounding.
#[inline(always)]
pub fn add_step(c: &mut [f64], step: &[f64], t: f64) {
    for (c, step) in c.iter_mut().zip(step) {
        let to = *c + t * step;
        *c = if to > 0.0 { to } else { 0.0 };
    }
}

/// The larger of `so_far` and the part of itself that a coordinate loses.
#[inline(always)]
pub fn shrinkage(c: f64, step: f64, so_far: f64) -> f64 {
    let part = if step < 0.0 { -step / c } else { 0.0 };
    if part > so_far {
        part
    } else {
        so_far
    }
}

/// True when the whole step is known to lower the objective without a look at
/// it.  Along c + t s every μ keeps at least the part 1 − tρ of itself, ρ the
/// largest part that a coordinate loses, so the second derivative is at most
/// h / (1 − tρ)², h = sᵀHs, and the objective at 1 at most
/// g + h (−ρ − log(1 − ρ)) / ρ² above that at 0, with g its slope there.
pub fn is_safe(slope: f64, curvature: f64, shrinkage: f64) -> bool {
    if shrinkage >= 0.95 {
        return false;
    }
    // the integral of (1 − t) / (1 − tρ)² is ½ + ρ/3 + ρ²/4 + … ≤ its value here
    let growth = if shrinkage < 0.05 {
        0.5 + 0.35 * shrinkage
    } else {
        (-shrinkage - (-shrinkage).ln_1p()) / (shrinkage * shrinkage)
    };
    slope + curvature * growth <= 0.0
}

/// The search for a step length along a convex function.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Where to look next.
    pub t: f64,
    /// The longest step known not to go past the minimum.
    pub low: f64,
    high: f64,
    looks: usize,
    pub done: bool,
}

impl Pace {
    pub fn new() -> Self {
        Pace { t: 1.0, low: 0.0, high: f64::INFINITY, looks: 0, done: false }
    }

    /// Takes the whole step.
    pub fn accept(&mut self) {
        (self.low, self.done) = (1.0, true);
    }

    /// Takes slope and curvature at `t`, and the slope at 0, below zero.  The
    /// slope is infinite beyond the domain of the logarithm.
    pub fn look(&mut self, slope: f64, curvature: f64, start: f64) {
        self.looks += 1;
        if slope <= 0.0 {
            self.low = self.t;
            // as far as the bounds allow, or close enough
            if self.t == 1.0 || slope >= 0.25 * start {
                self.done = true;
            }
        } else {
            self.high = self.t;
        }
        // Close to the bound of its domain the logarithm is so steep that Newton's
        // steps creep away from it: from above, never less than half way down.
        let middle = 0.5 * (self.low + self.high.min(1.0));
        let newton = self.t - slope / curvature;
        let inside = newton > self.low && newton < self.high && newton <= 1.0;
        let creeps = slope > 0.0 && newton > middle;
        self.t = if inside && !creeps { newton } else { middle };
        self.done |= self.looks >= 30;
    }
}

/// Σ x s / (μ + t s) and Σ x s² / (μ + t s)²; the first infinite when some μ + t s
/// with x > 0 is not positive.
#[inline(always)]
pub fn log_terms(mu: &[f64], along: &[f64], x: &[f64], t: f64) -> (f64, f64) {
    let (mut first, mut second, mut least) = ([0.0; LANES], [0.0; LANES], [1.0f64; LANES]);
    let chunks = mu.chunks_exact(LANES).zip(along.chunks_exact(LANES)).zip(x.chunks_exact(LANES));
    for ((mu, along), x) in chunks {
        for lane in 0..LANES {
            let there = mu[lane] + t * along[lane];
            let part = along[lane] / there;
            first[lane] += x[lane] * part;
            second[lane] += x[lane] * part * part;
            least[lane] = if there < least[lane] { there } else { least[lane] };
        }
    }
    if least.iter().any(|&v| v <= 0.0) {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    (first.iter().sum(), second.iter().sum())
}
