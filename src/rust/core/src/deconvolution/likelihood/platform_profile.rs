//! The objective of the platform model, gene by gene, with the errors profiled
//! out.

use crate::base::simd::{exp, ln, LANES};
use pulp::{Arch, Simd, WithSimd};

/// Counts and error variances of a range of genes of one sample.
pub struct Errors<'a> {
    /// y = k/φ.
    pub scaled: &'a [f64],
    /// log y, 0 where y = 0.
    pub log_scaled: &'a [f64],
    /// s².
    pub variance: &'a [f64],
    pub weights: &'a [f64],
    /// φ.
    pub floor: f64,
}

/// log y with 0 for 0.
pub fn logs(scaled: &[f64]) -> Vec<f64> {
    scaled.iter().map(|&y| if y > 0.0 { y.ln() } else { 0.0 }).collect()
}

impl Errors<'_> {
    /// Terms of F: writes ∂F/∂μ and, unless it is empty, the expected curvature
    /// in μ; returns the sum, infinite where a weighted gene has μ = 0.  `levels`
    /// holds log(m e^b), in and out (NaN at first).  Lengths are multiples of
    /// [`LANES`].
    pub fn terms(
        &self,
        mu: &[f64],
        levels: &mut [f64],
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        assert!(mu.len() % LANES == 0 && levels.len() == mu.len() && slope.len() == mu.len());
        assert!(curvature.is_empty() || curvature.len() == mu.len());
        Arch::new().dispatch(Terms { errors: self, mu, levels, slope, curvature })
    }
}

struct Terms<'a> {
    errors: &'a Errors<'a>,
    mu: &'a [f64],
    levels: &'a mut [f64],
    slope: &'a mut [f64],
    curvature: &'a mut [f64],
}

impl WithSimd for Terms<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Terms { errors, mu, levels, slope, curvature } = self;
        let mut sums = [0.0; LANES];
        let mut silent = false;
        for start in (0..mu.len()).step_by(LANES) {
            let at = start..start + LANES;
            let lanes = |x: &[f64]| -> [f64; LANES] { x[at.clone()].try_into().expect("LANES") };
            let (mean, weight) = (lanes(mu), lanes(errors.weights));
            let (y, log_y, s2) =
                (lanes(errors.scaled), lanes(errors.log_scaled), lanes(errors.variance));
            let mut level = lanes(levels);
            let (mut eta, mut expected, mut floored) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            for i in 0..LANES {
                silent |= weight[i] > 0.0 && mean[i] <= 0.0;
                // padding and silent genes: any positive number does
                let m = if mean[i] > 0.0 { mean[i] } else { errors.floor };
                eta[i] = ln(m / errors.floor);
                floored[i] = s2[i].max(LEAST_VARIANCE);
            }
            profile_levels(&y, &log_y, &eta, &floored, &mut level, &mut expected);
            levels[at.clone()].copy_from_slice(&level);
            for i in 0..LANES {
                let b = level[i] - eta[i];
                let term =
                    expected[i] - y[i] - y[i] * (level[i] - log_y[i]) + b * b / (2.0 * floored[i]);
                let used = weight[i] > 0.0;
                sums[i] += if used { weight[i] * term } else { 0.0 };
                slope[start + i] =
                    if used { weight[i] * (expected[i] - y[i]) / mean[i] } else { 0.0 };
            }
            if !curvature.is_empty() {
                for i in 0..LANES {
                    let spread = (floored[i] + 1.0 / expected[i]) * mean[i] * mean[i];
                    curvature[start + i] = if weight[i] > 0.0 { weight[i] / spread } else { 0.0 };
                }
            }
        }
        if silent {
            return f64::INFINITY;
        }
        sums.iter().sum()
    }
}

/// s² is never taken to be below this.
const LEAST_VARIANCE: f64 = 1e-14;
/// Sweeps for the levels at most.  Far right of its root a step of f is about 1, so
/// that log(s² e^η) of them, at most some 50, lead to where convergence is
/// quadratic.
const MOST_SWEEPS: usize = 100;

/// The θ = η + b at which e^θ − yθ + (θ − η)²/(2 s²) is least, and e^θ; `level`
/// is where to start (NaN for nowhere in particular), and the answer.
///
/// f(θ) = s²(e^θ − y) + θ − η is increasing and convex: Newton's method from a
/// point at or right of the root falls to it without overshooting.  The root
/// lies left of max(η, log y).
#[inline(always)]
fn profile_levels(
    y: &[f64; LANES],
    log_y: &[f64; LANES],
    eta: &[f64; LANES],
    s2: &[f64; LANES],
    level: &mut [f64; LANES],
    mean: &mut [f64; LANES],
) {
    let mut right = [0.0; LANES];
    for i in 0..LANES {
        right[i] = if y[i] > 0.0 && log_y[i] > eta[i] { log_y[i] } else { eta[i] };
        // also for NaN
        level[i] = if level[i] < right[i] { level[i] } else { right[i] };
        mean[i] = exp(level[i]);
    }
    for _ in 0..MOST_SWEEPS {
        let mut largest = 0.0;
        for i in 0..LANES {
            let step = (s2[i] * (mean[i] - y[i]) + level[i] - eta[i]) / (s2[i] * mean[i] + 1.0);
            let next = level[i] - step;
            level[i] = if next < right[i] { next } else { right[i] };
            mean[i] = exp(level[i]);
            let size = step.abs();
            largest = if size > largest { size } else { largest };
        }
        if largest <= 1e-9 {
            break; // the error after this step is its square
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiled_error_is_stationary_from_any_start() {
        for y in [0.0, 1e-3, 0.7, 40.0, 1e6] {
            for eta in [-12.0, -1.0, 0.0, 3.0, 14.0] {
                for s2 in [1e-10, 1e-3, 0.5, 20.0, 1e5] {
                    for start in [f64::NAN, eta - 3.0, eta, eta + 50.0] {
                        let mut theta = [start; LANES];
                        let mut mean = [0.0; LANES];
                        let lanes = |x| [x; LANES];
                        profile_levels(
                            &lanes(y),
                            &lanes(y.ln()),
                            &lanes(eta),
                            &lanes(s2),
                            &mut theta,
                            &mut mean,
                        );
                        let (theta, mean) = (theta[0], mean[0]);
                        let residual: f64 = s2 * (mean - y) + theta - eta;
                        let size = s2 * (mean + y) + theta.abs() + eta.abs() + 1.0;
                        assert!(
                            residual.abs() <= 1e-12 * size,
                            "{y} {eta} {s2} {start}: {residual}"
                        );
                    }
                }
            }
        }
    }
}
