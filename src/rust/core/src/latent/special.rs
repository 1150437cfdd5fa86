//! Sums that stand for ratios of gamma functions.
//!
//! Γ(y + θ) / (Γ(θ) θ^y) = Π_{j<y} (1 + j/θ): for the small counts of single
//! cells a short product, for large ones Stirling's series.

use std::sync::LazyLock;

/// Counts below this are summed term by term.
const FEW: f64 = 16.0;

/// Σ_{j<y} ln(1 + j/θ) and its first two derivatives by ln θ, of which the second
/// is −Σ_{j<y} j θ / (θ + j)² × −1: (value, −slope, curvature) of the log-likelihood's
/// part that a count adds beside μ.
pub struct CountTerms {
    /// Σ_{j<y} ln(1 + j/θ).
    pub value: f64,
    /// Σ_{j<y} j / (θ + j), minus the derivative by ln θ.
    pub slope: f64,
    /// Σ_{j<y} j θ / (θ + j)², minus the derivative of `slope` by ln θ.
    pub bend: f64,
}

pub fn count_terms(y: f64, theta: f64) -> CountTerms {
    if y < FEW {
        let mut terms = CountTerms { value: 0.0, slope: 0.0, bend: 0.0 };
        let mut product = 1.0;
        let mut j = 1.0;
        while j < y {
            let share = j / (theta + j);
            product *= 1.0 + j / theta;
            terms.slope += share;
            terms.bend += share * (1.0 - share);
            j += 1.0;
        }
        terms.value = if product == 1.0 { 0.0 } else { product.ln() };
        return terms;
    }
    // Σ j/(θ+j) = y − θ (ψ(y+θ) − ψ(θ)), Σ j θ/(θ+j)² = θ Σ 1/(θ+j) − θ² Σ 1/(θ+j)²
    let (high, low) = (polygamma(y + theta), polygamma(theta));
    let first = theta * (high.1 - low.1);
    let second = theta * theta * (low.2 - high.2);
    CountTerms { value: high.0 - low.0 - y * theta.ln(), slope: y - first, bend: first - second }
}

/// ln Γ(x + 1) of a whole number.
pub fn log_factorial(y: f64) -> f64 {
    static FIRST: LazyLock<[f64; FEW as usize]> =
        LazyLock::new(|| std::array::from_fn(|y| (2..=y).map(|j| j as f64).product::<f64>().ln()));
    if y < FEW {
        FIRST[y as usize]
    } else {
        polygamma(y + 1.0).0
    }
}

/// ln Γ, ψ and ψ′ at x > 0: the recurrence up to 12, then Stirling's series
/// (Abramowitz and Stegun 6.1.41, 6.3.18, 6.4.12).
fn polygamma(x: f64) -> (f64, f64, f64) {
    const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_8;
    let (mut product, mut digamma, mut trigamma) = (1.0, 0.0, 0.0);
    let mut z = x;
    while z < 12.0 {
        product *= z;
        digamma -= 1.0 / z;
        trigamma += 1.0 / (z * z);
        z += 1.0;
    }
    let i = 1.0 / z;
    let s = i * i;
    let log = z.ln();
    let gamma = (z - 0.5) * log - z
        + HALF_LN_TWO_PI
        + i * (1.0 / 12.0
            - s * (1.0 / 360.0
                - s * (1.0 / 1260.0
                    - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * 691.0 / 360_360.0)))));
    digamma += log
        - 0.5 * i
        - s * (1.0 / 12.0
            - s * (1.0 / 120.0
                - s * (1.0 / 252.0
                    - s * (1.0 / 240.0 - s * (1.0 / 132.0 - s * 691.0 / 32_760.0)))));
    trigamma += i
        + 0.5 * s
        + i * s
            * (1.0 / 6.0
                - s * (1.0 / 30.0
                    - s * (1.0 / 42.0 - s * (1.0 / 30.0 - s * (5.0 / 66.0 - s * 691.0 / 2730.0)))));
    (gamma - product.ln(), digamma, trigamma)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_and_stirlings_series_agree() {
        for theta in [0.002_5, 0.3, 1.0, 7.5, 400.0, 3000.0] {
            for y in [16.0, 17.0, 60.0, 400.0] {
                let series = count_terms(y, theta);
                let (mut value, mut slope, mut bend) = (0.0, 0.0, 0.0);
                for j in 1..y as usize {
                    let share = j as f64 / (theta + j as f64);
                    value += (j as f64 / theta).ln_1p();
                    slope += share;
                    bend += share * (1.0 - share);
                }
                // the series loses the digits of θ ln θ, which the sum does not have
                let scale = 1e-13 * (1.0 + (y + theta) * (y + theta).ln());
                assert!((series.value - value).abs() < scale, "{theta} {y}");
                assert!((series.slope - slope).abs() < scale, "{theta} {y}");
                assert!((series.bend - bend).abs() < 10.0 * scale, "{theta} {y}");
            }
        }
    }

    #[test]
    fn factorials_are_products() {
        let mut sum = 0.0;
        for y in 1..171 {
            sum += (y as f64).ln();
            assert!((log_factorial(y as f64) - sum).abs() <= 1e-14 * sum.max(1.0));
        }
    }

    #[test]
    fn one_molecule_has_no_terms_of_its_own() {
        let terms = count_terms(1.0, 0.1);
        assert_eq!((terms.value, terms.slope, terms.bend), (0.0, 0.0, 0.0));
    }
}
