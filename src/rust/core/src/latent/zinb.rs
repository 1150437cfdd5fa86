//! Zero-inflated negative binomial counts (ZINB-WaVE's likelihood, Risso et al. 2018).
//!
//! With a = logit π, s = a + θ ln t and u = σ(s) = P(structural zero | y = 0):
//!
//! ```text
//!   y = 0   softplus(a) + θ ln t − softplus(s),    ∂η (1−u) q,   ∂a π − u
//!   y > 0   the negative binomial's loss + softplus(a)
//! ```
//!
//! Curvatures are those of the expected complete data, (1−u) q/t and π(1−π) (EM, Dempster,
//! Laird and Rubin 1977): the quadratic model of a step bounds the loss from above.

use super::likelihood::{dispersions, sum, zero, Column, Entries, Likelihood, Place, Sums, PARTS};
use super::special::count_terms;
use super::vector::{exp, ln};
use pulp::{Arch, Simd, WithSimd};

/// A negative binomial count, or 0 with the probability of the second predictor.
pub struct ZeroInflated<'t> {
    /// Per gene.
    pub theta: &'t [f64],
}

impl Likelihood for ZeroInflated<'_> {
    const CANONICAL: bool = false;

    fn column(&self, place: Place, column: Column<'_>, entries: Entries<'_>) -> Sums {
        let [eta, odds] = column.eta;
        let [curvature, odds_curvature] = column.curvature;
        let n = eta.len();
        let mut parts = column.scratch.chunks_exact_mut(n);
        let mut part = || parts.next().expect("room for PARTS");
        let [theta, losses, slope, bend, old_eta, old_odds] = [(); PARTS].map(|()| part());
        dispersions(self.theta, place, theta);
        for (k, (row, _)) in entries.each().enumerate() {
            (old_eta[k], old_odds[k]) = (eta[row], odds[row]);
        }
        Arch::new().dispatch(InflatedZeros {
            theta,
            eta,
            odds,
            curvature,
            odds_curvature,
            losses,
            slope,
            bend,
        });
        for (k, (row, y)) in entries.each().enumerate() {
            // certainly no structural zero
            let (theta, pi) = (theta[row], 1.0 / (1.0 + (-old_odds[k]).exp()));
            let mu = old_eta[k].exp();
            let (share, r, log) = (mu / (theta + mu), theta / (theta + mu), (mu / theta).ln_1p());
            let (logs, q) = (theta * log, theta * share);
            let extra = count_terms(y, theta);
            losses[row] = logs + y * (log - old_eta[k]) - extra.value + softplus(old_odds[k]);
            slope[row] = logs - q + extra.slope - y * share;
            bend[row] = logs - 2.0 * q + q * r + y * share * r - extra.bend;
            curvature[row] = q * r * (1.0 + y / theta);
            eta[row] = q - y * r;
            odds[row] = pi;
        }
        Sums { loss: sum(losses), slope: sum(slope), bend: sum(bend) }
    }
}

/// ln(1 + e^x).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// At y = 0: the gradients and curvatures by η and by the log odds, the loss and its
/// derivatives by ln θ.
struct InflatedZeros<'a> {
    theta: &'a [f64],
    eta: &'a mut [f64],
    odds: &'a mut [f64],
    curvature: &'a mut [f64],
    odds_curvature: &'a mut [f64],
    losses: &'a mut [f64],
    slope: &'a mut [f64],
    bend: &'a mut [f64],
}

impl WithSimd for InflatedZeros<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (theta, last_theta) = S::as_simd_f64s(self.theta);
        let (eta, last_eta) = S::as_mut_simd_f64s(self.eta);
        let (odds, last_odds) = S::as_mut_simd_f64s(self.odds);
        let (curvature, last_curvature) = S::as_mut_simd_f64s(self.curvature);
        let (odds_curvature, last_odds_curvature) = S::as_mut_simd_f64s(self.odds_curvature);
        let (losses, last_losses) = S::as_mut_simd_f64s(self.losses);
        let (slope, last_slope) = S::as_mut_simd_f64s(self.slope);
        let (bend, last_bend) = S::as_mut_simd_f64s(self.bend);
        for j in 0..theta.len() {
            let zero = inflated_zero(simd, theta[j], eta[j], odds[j]);
            (eta[j], curvature[j]) = zero.mean;
            (odds[j], odds_curvature[j]) = zero.odds;
            (losses[j], slope[j], bend[j]) = zero.theta;
        }
        if !last_theta.is_empty() {
            let theta = simd.partial_load_f64s(last_theta);
            let (eta, odds) = (simd.partial_load_f64s(last_eta), simd.partial_load_f64s(last_odds));
            let zero = inflated_zero(simd, theta, eta, odds);
            simd.partial_store_f64s(last_eta, zero.mean.0);
            simd.partial_store_f64s(last_curvature, zero.mean.1);
            simd.partial_store_f64s(last_odds, zero.odds.0);
            simd.partial_store_f64s(last_odds_curvature, zero.odds.1);
            simd.partial_store_f64s(last_losses, zero.theta.0);
            simd.partial_store_f64s(last_slope, zero.theta.1);
            simd.partial_store_f64s(last_bend, zero.theta.2);
        }
    }
}

/// A zero count: gradient and curvature by η and by the log odds; the loss and its first
/// two derivatives by ln θ.
struct InflatedZero<V> {
    mean: (V, V),
    odds: (V, V),
    theta: (V, V, V),
}

#[inline(always)]
fn inflated_zero<S: Simd>(
    simd: S,
    theta: S::f64s,
    eta: S::f64s,
    a: S::f64s,
) -> InflatedZero<S::f64s> {
    let one = simd.splat_f64s(1.0);
    let none = simd.splat_f64s(0.0);
    let (q, bend, logs) = zero(simd, theta, eta);
    let s = simd.add_f64s(a, logs);
    // e^-|x| keeps both the logistic function and ln(1 + e^x) in range
    let logistic = |x: S::f64s| {
        let small = exp(simd, simd.neg_f64s(simd.abs_f64s(x)));
        let whole = simd.div_f64s(one, simd.add_f64s(one, small));
        let rest = simd.mul_f64s(small, whole);
        let positive = simd.greater_than_or_equal_f64s(x, none);
        let value = simd.select_f64s(positive, whole, rest);
        (value, simd.select_f64s(positive, rest, whole), simd.add_f64s(one, small))
    };
    let ((pi, not_pi, one_a), (structural, sampled, one_s)) = (logistic(a), logistic(s));
    // softplus(a) − softplus(s)
    let positive = simd.sub_f64s(simd.max_f64s(a, none), simd.max_f64s(s, none));
    let difference = simd.add_f64s(positive, ln(simd, simd.div_f64s(one_a, one_s)));
    let slope = simd.sub_f64s(logs, q);
    let second = simd.add_f64s(simd.sub_f64s(slope, q), bend);
    InflatedZero {
        mean: (simd.mul_f64s(sampled, q), simd.mul_f64s(sampled, bend)),
        odds: (simd.sub_f64s(pi, structural), simd.mul_f64s(pi, not_pi)),
        theta: (
            simd.add_f64s(difference, logs),
            simd.mul_f64s(sampled, slope),
            simd.mul_f64s(sampled, second),
        ),
    }
}
