//! Numbers of networks, and products of matrices in fixed blocks.

use crate::base::simd as kernels;
use crate::matrix::linalg::{add_product, multiply, Real};
use crate::matrix::{zeros, Array2, ArrayRef2, ArrayView2, ArrayViewMut2};
use ndarray::{s, Axis};
use rayon::prelude::*;

/// Single or double precision, with functions that have no branches, so that loops over
/// them become vector code.
pub trait Scalar: Real + Send + Sync + 'static {
    fn of(x: f64) -> Self;
    fn double(self) -> f64;
    /// e^x, for arguments beyond the range that of the nearest end.
    fn exp(self) -> Self;
    /// ln x of a positive normal number.
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// Neither infinite nor NaN?
    fn is_number(self) -> bool;
}

macro_rules! scalar {
    ($type:ty, $exp:expr, $ln:expr) => {
        impl Scalar for $type {
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $type
            }
            #[inline(always)]
            fn double(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$type>::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$type>::abs(self)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                <$type>::max(self, other)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                <$type>::min(self, other)
            }
            #[inline(always)]
            fn is_number(self) -> bool {
                self.is_finite()
            }
        }
    };
}
scalar!(f32, exp_single, ln_single);
scalar!(f64, kernels::exp, kernels::ln);

/// ln 2 in two parts, of which the first has few bits.
const LN2_HIGH: f32 = 6.931_381e-1;
const LN2_LOW: f32 = 9.058_001e-6;

/// e^x for |x| <= 87 (beyond, that of the nearest end): x = k ln 2 + r, and the Taylor
/// series of e^r, whose rest beyond r^7/7! is below 1e-8.
#[inline(always)]
fn exp_single(x: f32) -> f32 {
    /// 2^23 + 2^22: adding it rounds to a whole number.
    const SHIFTER: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + SHIFTER;
    let k = shifted - SHIFTER;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        series = series * r + coefficient;
    }
    let value = 1.0 + (r + r * r * series);
    value * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// ln x of a positive normal number: x = 2^k (1 + f) with √½ < 1 + f < √2, and the series
/// of 2 artanh(f / (2 + f)).
#[inline(always)]
fn ln_single(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    const ONE: u32 = 0x3f80_0000;
    const MANTISSA: u32 = 0x007f_ffff;
    let shifted = x.to_bits().wrapping_add(ONE - SQRT_HALF);
    let k = ((shifted >> 23) as i32 - 127) as f32;
    let f = f32::from_bits((shifted & MANTISSA).wrapping_add(SQRT_HALF)) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (2.0 / 3.0 + z * (0.4 + z * (2.0 / 7.0 + z * (2.0 / 9.0))));
    let half = 0.5 * f * f;
    k * LN2_HIGH - ((half - (s * (half + series) + k * LN2_LOW)) - f)
}

/// Rows of a product that are worked on together.  Fixed: the bits do not depend on the
/// number of threads.
const ROW_BLOCK: usize = 64;

/// out = a b, blocks of rows in parallel on the present pool.
///
/// # Panics
/// When the shapes do not fit, as below.
pub fn product_into<T: Scalar>(out: &mut ArrayRef2<T>, a: &ArrayRef2<T>, b: &ArrayRef2<T>) {
    over_rows(out, a, |out, a| multiply(out, a, b));
}

/// out += a b.
pub fn add_product_into<T: Scalar>(out: &mut ArrayRef2<T>, a: &ArrayRef2<T>, b: &ArrayRef2<T>) {
    over_rows(out, a, |out, a| add_product(out, T::of(1.0), a, b));
}

fn over_rows<T: Scalar>(
    out: &mut ArrayRef2<T>,
    a: &ArrayRef2<T>,
    work: impl Fn(&mut ArrayRef2<T>, &ArrayRef2<T>) + Sync,
) {
    assert_eq!(out.nrows(), a.nrows());
    let parts = out.axis_chunks_iter_mut(Axis(0), ROW_BLOCK);
    let parts: Vec<_> = parts.zip(a.axis_chunks_iter(Axis(0), ROW_BLOCK)).collect();
    parts.into_par_iter().for_each(|(mut out, a)| work(&mut out, &a));
}

/// Makes room for so many columns, of which what was there is lost.
pub fn reserve<T: Scalar>(buffer: &mut Array2<T>, rows: usize, columns: usize) {
    if buffer.ncols() < columns || buffer.nrows() != rows {
        *buffer = zeros((rows, columns));
    }
}

/// The first columns.
pub fn first<T>(buffer: &Array2<T>, columns: usize) -> ArrayView2<'_, T> {
    buffer.slice(s![.., ..columns])
}

/// The first columns, to be written to.
pub fn first_mut<T>(buffer: &mut Array2<T>, columns: usize) -> ArrayViewMut2<'_, T> {
    buffer.slice_mut(s![.., ..columns])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::with_threads;
    use crate::matrix::from_fn;

    #[test]
    fn exponentials_and_logarithms_in_single_precision_are_right_to_the_last_digits() {
        let mut x = -86.9f32;
        while x < 86.9 {
            let exact = f64::from(x).exp();
            // argument reduction and series: a unit in the last place each
            assert!((f64::from(exp_single(x)) / exact - 1.0).abs() <= 2.4e-7, "{x}");
            let y = exp_single(x);
            let exact = f64::from(y).ln();
            let error = (f64::from(ln_single(y)) - exact).abs();
            assert!(error <= 1.2e-7 * exact.abs().max(1.0), "{y}");
            x += 0.017_1;
        }
        assert_eq!((exp_single(0.0), ln_single(1.0)), (1.0, 0.0));
        assert!(exp_single(-1e9) > 0.0 && exp_single(1e9).is_finite());
    }

    #[test]
    fn products_in_blocks_have_the_same_bits_for_any_number_of_threads() {
        let a = from_fn((150, 40), |i, j| ((i * 7 + j * 3) as f32).sin());
        let b = from_fn((40, 30), |i, j| ((i + j * 5) as f32).cos());
        let run = |threads| {
            with_threads(threads, || {
                let mut out = from_fn((150, 30), |i, _| i as f32);
                add_product_into(&mut out, &a, &b);
                let mut turned = zeros((40, 30));
                product_into(&mut turned, &a.t(), &out);
                (out, turned)
            })
            .unwrap()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
        let exact: f32 = (0..40).map(|k| a[(99, k)] * b[(k, 7)]).sum();
        assert!((one.0[(99, 7)] - 99.0 - exact).abs() < 1e-4);
    }
}
