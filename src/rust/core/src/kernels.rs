//! Element-wise kernels of the Poisson likelihood, dispatched at run time to
//! the widest vectors of the machine (a shipped build targets baseline x86-64).
//!
//! Sums run over [`LANES`] lanes in a fixed order, so the bits do not depend on
//! the vector width.  Lengths are multiples of [`LANES`]; callers pad with y = 0.

use pulp::{Arch, Simd, WithSimd};

pub const LANES: usize = 8;

/// For one sample and a block of genes: writes y/μ to `ratio` and, unless it is
/// empty, y/μ² to `curvature`; returns Σ y log μ.  Genes with y = 0 count
/// nothing, whatever their μ.
pub fn poisson_terms(mu: &[f64], y: &[f64], ratio: &mut [f64], curvature: &mut [f64]) -> f64 {
    assert!(mu.len() % LANES == 0 && y.len() == mu.len() && ratio.len() == mu.len());
    assert!(curvature.is_empty() || curvature.len() == mu.len());
    Arch::new().dispatch(PoissonTerms { mu, y, ratio, curvature })
}

struct PoissonTerms<'a> {
    mu: &'a [f64],
    y: &'a [f64],
    ratio: &'a mut [f64],
    curvature: &'a mut [f64],
}

impl WithSimd for PoissonTerms<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let PoissonTerms { mu, y, ratio, curvature } = self;
        let mut sums = [0.0; LANES];
        let columns = mu.chunks_exact(LANES).zip(y.chunks_exact(LANES));
        for ((mu, y), ratio) in columns.zip(ratio.chunks_exact_mut(LANES)) {
            for lane in 0..LANES {
                let counted = y[lane] > 0.0;
                ratio[lane] = if counted { y[lane] / mu[lane] } else { 0.0 };
                sums[lane] += if counted { y[lane] * ln(mu[lane]) } else { 0.0 };
            }
        }
        let columns = mu.chunks_exact(LANES).zip(ratio.chunks_exact(LANES));
        for ((mu, ratio), curvature) in columns.zip(curvature.chunks_exact_mut(LANES)) {
            for lane in 0..LANES {
                let counted = ratio[lane] > 0.0;
                curvature[lane] = if counted { ratio[lane] / mu[lane] } else { 0.0 };
            }
        }
        sums.iter().sum()
    }
}

/// Σ y log y over a slice of non-negative numbers (0 log 0 = 0).
pub fn sum_y_log_y(y: &[f64]) -> f64 {
    y.iter().map(|&v| if v > 0.0 { v * v.ln() } else { 0.0 }).sum()
}

/// Natural logarithm of a positive normal number, without branches so that
/// loops over it become vector code; within 1 unit in the last place (the
/// reduction x = 2^k (1 + f) with √½ < 1 + f < √2 and the minimax polynomial
/// of fdlibm's `e_log.c`).
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    // 2^52 + 2^51: adding a small integer to its bits adds it to its value.
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

    let shifted = x.to_bits().wrapping_add(ONE - SQRT_HALF);
    let exponent = (shifted >> 52).wrapping_sub(1023);
    let k = f64::from_bits(SHIFTER.to_bits().wrapping_add(exponent)) - SHIFTER;
    let f = f64::from_bits((shifted & MANTISSA).wrapping_add(SQRT_HALF)) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let mut polynomial = 1.479_819_860_511_658_6e-1;
    for coefficient in [
        1.531_383_769_920_937_3e-1,
        1.818_357_216_161_805e-1,
        2.222_219_843_214_978_4e-1,
        2.857_142_874_366_239e-1,
        3.999_999_999_940_942e-1,
        6.666_666_666_666_735e-1,
    ] {
        polynomial = polynomial * z + coefficient;
    }
    polynomial *= z;
    let half = 0.5 * f * f;
    k * LN2_HIGH - ((half - (s * (half + polynomial) + k * LN2_LOW)) - f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_right_to_the_last_digit() {
        let mut x = 1e-300;
        while x < 1e300 {
            let error = (ln(x) - x.ln()).abs();
            assert!(error <= 2.0 * f64::EPSILON * x.ln().abs().max(1.0), "ln({x}) = {}", ln(x));
            x *= 1.000_731;
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn genes_without_counts_count_nothing() {
        let mu = [0.0, 2.0, 4.0, 1.0, 0.0, 0.0, 0.5, 3.0];
        let y = [0.0, 6.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0];
        let (mut ratio, mut curvature) = ([9.0; 8], [9.0; 8]);
        let sum = poisson_terms(&mu, &y, &mut ratio, &mut curvature);
        assert_eq!(ratio, [0.0, 3.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0]);
        assert_eq!(curvature, [0.0, 1.5, 0.0, 1.0, 0.0, 0.0, 4.0, 0.0]);
        assert!((sum - (6.0 * 2f64.ln() + 0.5f64.ln())).abs() < 1e-14);
        assert_eq!(poisson_terms(&mu, &y, &mut ratio, &mut []), sum);
    }
}
