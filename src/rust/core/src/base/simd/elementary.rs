//! Exponential function and logarithm without branches, so that loops over them
//! become vector code.

/// 2^52 + 2^51: adding a small integer to its bits adds it to its value.
const SHIFTER: f64 = 6_755_399_441_055_744.0;
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Exponential function for |x| <= 700 (beyond, that of the nearest end), without
/// branches like [`ln`]: x = k log 2 + r, |r| <= log(2)/2, and the Taylor series
/// of e^r, whose rest beyond r^13/13! is below 1e-17.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let shifted = x * std::f64::consts::LOG2_E + SHIFTER;
    let k = shifted - SHIFTER;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let mut series = 1.0 / 6_227_020_800.0;
    for coefficient in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ] {
        series = series * r + coefficient;
    }
    let value = 1.0 + (r + r * r * series);
    value * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
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
    fn the_exponential_is_right_to_the_last_digits() {
        let mut x = -699.0;
        while x < 699.0 {
            // argument reduction loses half a unit per unit of k in the last place
            assert!((exp(x) / x.exp() - 1.0).abs() <= 1e-15, "exp({x}) = {}", exp(x));
            x += 0.037_1;
        }
        assert_eq!(exp(0.0), 1.0);
    }
}
