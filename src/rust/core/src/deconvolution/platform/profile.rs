//! The objective of the platform model, gene by gene, with the errors profiled
//! out.

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
    /// in μ; returns the sum.  `levels` holds log(m e^b), in and out.
    pub fn terms(
        &self,
        mu: &[f64],
        levels: &mut [f64],
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        let mut sum = 0.0;
        for g in 0..mu.len() {
            let (y, w) = (self.scaled[g], self.weights[g]);
            if w == 0.0 {
                slope[g] = 0.0;
                if !curvature.is_empty() {
                    curvature[g] = 0.0;
                }
                continue;
            }
            if mu[g] <= 0.0 {
                return f64::INFINITY;
            }
            let s2 = self.variance[g].max(1e-14);
            let eta = (mu[g] / self.floor).ln();
            let log_y = self.log_scaled[g];
            let (level, mean) = profiled_level(y, log_y, eta, s2, levels[g]);
            levels[g] = level;
            let b = level - eta;
            sum += w * (mean - y - y * (level - log_y) + b * b / (2.0 * s2));
            slope[g] = w * (mean - y) / mu[g];
            if !curvature.is_empty() {
                curvature[g] = w / ((s2 + 1.0 / mean) * mu[g] * mu[g]);
            }
        }
        sum
    }
}

/// The θ = η + b at which e^θ − yθ + (θ − η)²/(2 s²) is least, and e^θ.
///
/// f(θ) = s²(e^θ − y) + θ − η is increasing and convex: Newton's method from a
/// point at or right of the root falls to it without overshooting.  The root
/// lies left of max(η, log y).
fn profiled_level(y: f64, log_y: f64, eta: f64, s2: f64, start: f64) -> (f64, f64) {
    let right = if y > 0.0 { eta.max(log_y) } else { eta };
    let mut theta = if start.is_finite() { start.min(right) } else { right };
    let mut mean = theta.exp();
    for _ in 0..100 {
        let step = (s2 * (mean - y) + theta - eta) / (s2 * mean + 1.0);
        theta = (theta - step).min(right);
        mean = theta.exp();
        if step.abs() <= 1e-9 {
            break; // the error after this step is its square
        }
    }
    (theta, mean)
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
                        let (theta, mean) = profiled_level(y, y.ln(), eta, s2, start);
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
