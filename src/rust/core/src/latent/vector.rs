//! e^x and ln x on the machine's vectors.
//!
//! The reductions and polynomials are those of `base::simd`, with
//! fused products where the machine has them.  The exponents of doubles are moved by
//! shifts of their upper 32 bits, the widest shifts that all machines have.

use crate::base::simd as kernels;
use pulp::{bytemuck, Simd};

const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// 2^52 + 2^51: adding and subtracting it rounds to a whole number.
const SHIFTER: f64 = 6_755_399_441_055_744.0;
/// 2^20 + 2^19 + 1023: a whole number added to it stands at bit 32, in the lower bits of
/// the upper half.
const UPPER: f64 = 1_573_887.0;

/// e^x for |x| <= 700 (beyond, that of the nearest end).
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
    if S::IS_SCALAR {
        return bytemuck::cast(kernels::exp(bytemuck::cast(x)));
    }
    let constant = |v: f64| simd.splat_f64s(v);
    let x = simd.max_f64s(simd.min_f64s(x, constant(700.0)), constant(-700.0));
    let shifted = simd.mul_add_e_f64s(x, constant(std::f64::consts::LOG2_E), constant(SHIFTER));
    let k = simd.sub_f64s(shifted, constant(SHIFTER));
    let r = simd.mul_add_e_f64s(k, constant(-LN2_HIGH), x);
    let r = simd.mul_add_e_f64s(k, constant(-LN2_LOW), r);
    // Estrin's order: a chain of few products, of which the machine has several in hand
    let (r2, pair) = (simd.mul_f64s(r, r), |low: f64, high: f64| {
        simd.mul_add_e_f64s(r, constant(high), constant(low))
    });
    let r4 = simd.mul_f64s(r2, r2);
    let four = |low, high| simd.mul_add_e_f64s(r2, high, low);
    let low = four(pair(0.5, 1.0 / 6.0), pair(1.0 / 24.0, 1.0 / 120.0));
    let middle = four(pair(1.0 / 720.0, 1.0 / 5_040.0), pair(1.0 / 40_320.0, 1.0 / 362_880.0));
    let high = four(
        pair(1.0 / 3_628_800.0, 1.0 / 39_916_800.0),
        pair(1.0 / 479_001_600.0, 1.0 / 6_227_020_800.0),
    );
    let series = simd.mul_add_e_f64s(r4, simd.mul_add_e_f64s(r4, high, middle), low);
    let value = simd.add_f64s(constant(1.0), simd.mul_add_e_f64s(r2, series, r));
    let upper: S::u32s = bytemuck::cast(simd.add_f64s(k, constant(UPPER)));
    let power = simd.wrapping_dyn_shl_u32s(upper, simd.splat_u32s(20));
    simd.mul_f64s(value, bytemuck::cast(power))
}

/// ln x of a positive normal number.
#[inline(always)]
pub fn ln<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
    if S::IS_SCALAR {
        return bytemuck::cast(kernels::ln(bytemuck::cast(x)));
    }
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    /// Bits of 2^20: a whole number or-ed in at bit 32 is added to it.
    const UNIT: u64 = 0x4130_0000_0000_0000;
    let bits = |v: u64| simd.splat_u64s(v);
    let constant = |v: f64| simd.splat_f64s(v);
    let shifted = simd.add_u64s(bytemuck::cast(x), bits(ONE - SQRT_HALF));
    // sign and exponent moved to the lower bits of the upper half
    let high: S::u32s = bytemuck::cast(simd.and_u64s(shifted, bits(!MANTISSA)));
    let exponent = simd.wrapping_dyn_shr_u32s(high, simd.splat_u32s(20));
    let k: S::f64s = bytemuck::cast(simd.or_u64s(bytemuck::cast(exponent), bits(UNIT)));
    let k = simd.sub_f64s(k, constant(1_048_576.0 + 1023.0));
    let mantissa = simd.add_u64s(simd.and_u64s(shifted, bits(MANTISSA)), bits(SQRT_HALF));
    let f = simd.sub_f64s(bytemuck::cast(mantissa), constant(1.0));
    let s = simd.div_f64s(f, simd.add_f64s(constant(2.0), f));
    let z = simd.mul_f64s(s, s);
    let mut polynomial = constant(1.479_819_860_511_658_6e-1);
    for coefficient in [
        1.531_383_769_920_937_3e-1,
        1.818_357_216_161_805e-1,
        2.222_219_843_214_978_4e-1,
        2.857_142_874_366_239e-1,
        3.999_999_999_940_942e-1,
        6.666_666_666_666_735e-1,
    ] {
        polynomial = simd.mul_add_e_f64s(polynomial, z, constant(coefficient));
    }
    polynomial = simd.mul_f64s(polynomial, z);
    let half = simd.mul_f64s(simd.mul_f64s(constant(0.5), f), f);
    let low = simd.mul_add_e_f64s(
        s,
        simd.add_f64s(half, polynomial),
        simd.mul_f64s(k, constant(LN2_LOW)),
    );
    let rest = simd.sub_f64s(simd.sub_f64s(half, low), f);
    simd.mul_add_e_f64s(k, constant(LN2_HIGH), simd.neg_f64s(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Each<'a>(&'a mut [f64], bool);

    impl WithSimd for Each<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f64s(self.0);
            assert!(rest.is_empty());
            for v in vectors {
                *v = if self.1 { exp(simd, *v) } else { ln(simd, *v) };
            }
        }
    }

    #[test]
    fn exponentials_and_logarithms_are_right_to_the_last_digits() {
        let mut x = -699.0;
        while x < 699.0 {
            let mut values = [x, x + 0.01, -x, 0.0, x / 7.0, 1e-9 * x, 1.0, -1.0];
            let expected = values.map(f64::exp);
            Arch::new().dispatch(Each(&mut values, true));
            for (value, expected) in values.iter().zip(&expected) {
                assert!((value / expected - 1.0).abs() <= 1e-15, "{value} {expected}");
            }
            let expected = values.map(f64::ln);
            Arch::new().dispatch(Each(&mut values, false));
            for (value, expected) in values.iter().zip(&expected) {
                let size = expected.abs().max(1.0);
                assert!(
                    (value - expected).abs() <= 2.0 * f64::EPSILON * size,
                    "{value} {expected}"
                );
            }
            x += 0.37;
        }
    }
}
