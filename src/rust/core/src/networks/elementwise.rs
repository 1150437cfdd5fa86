//! Loops over vectors, dispatched at run time to the widest registers of the machine.

use super::tensor::Scalar;
use pulp::Arch;

const LANES: usize = 8;

/// Σ x in eight lanes and double precision: a fixed order, whatever the registers.
#[inline(always)]
pub fn sum_inline<T: Scalar>(x: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|v| v.double()).sum();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v.double();
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Σ x.
pub fn sum<T: Scalar>(x: &[T]) -> f64 {
    Arch::new().dispatch(|| sum_inline(x))
}

/// Σ x² in eight lanes and double precision.
pub fn sum_of_squares<T: Scalar>(x: &[T]) -> f64 {
    Arch::new().dispatch(|| {
        let mut lanes = [0.0; LANES];
        let chunks = x.chunks_exact(LANES);
        let rest: f64 = chunks.remainder().iter().map(|v| v.double() * v.double()).sum();
        for chunk in chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += v.double() * v.double();
            }
        }
        lanes.iter().sum::<f64>() + rest
    })
}

/// target += scale · source.
#[inline(always)]
pub fn add_scaled<T: Scalar>(target: &mut [T], scale: T, source: &[T]) {
    let n = target.len();
    let source = &source[..n];
    for i in 0..n {
        target[i] += scale * source[i];
    }
}

/// The largest of some numbers.
#[inline(always)]
pub fn largest<T: Scalar>(x: &[T]) -> T {
    let mut lanes = [x[0]; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = Scalar::max(*lane, *v);
        }
    }
    lanes.iter().chain(rest).fold(x[0], |a, b| Scalar::max(a, *b))
}

/// ln(1 + u) for u ≥ 0, as right for small u as for large ones (Kahan: the error of 1 + u
/// is taken out by the factor u / ((1 + u) − 1)).
#[inline(always)]
pub fn ln_1p<T: Scalar>(u: T) -> T {
    let one = T::of(1.0);
    let whole = one + u;
    let seen = whole - one;
    let none = seen == T::of(0.0);
    let ratio = u / if none { one } else { seen };
    if none {
        u
    } else {
        whole.ln() * ratio
    }
}

/// ln(1 + e^x).
#[inline(always)]
pub fn softplus<T: Scalar>(x: T) -> T {
    Scalar::max(x, T::of(0.0)) + ln_1p((-x.abs()).exp())
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub fn sigmoid<T: Scalar>(x: T) -> T {
    let one = T::of(1.0);
    let small = (-x.abs()).exp();
    let whole = one / (one + small);
    if x >= T::of(0.0) {
        whole
    } else {
        small * whole
    }
}

/// A column to e^(x − largest), with their sum and the largest.
#[inline(always)]
pub fn exponentials<T: Scalar>(x: &mut [T]) -> (f64, T) {
    let top = largest(x);
    for v in x.iter_mut() {
        *v = (*v - top).exp();
    }
    (sum_inline(x), top)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_largest_are_those_of_their_definitions_at_any_length() {
        for n in 1..40 {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).sin()).collect();
            let exact: f64 = x.iter().map(|v| f64::from(*v)).sum();
            assert!((sum(&x) - exact).abs() < 1e-12);
            let squares: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((sum_of_squares(&x) - squares).abs() < 1e-12);
            let top = x.iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(largest(&x), top);
        }
    }

    #[test]
    fn logarithms_near_one_keep_their_digits() {
        for exponent in -30..12 {
            let u = 10f64.powi(exponent);
            let single = f64::from(ln_1p(u as f32));
            assert!((single / f64::from(u as f32).ln_1p() - 1.0).abs() < 3e-7, "{u}");
            assert!((ln_1p(u) / u.ln_1p() - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn the_logistic_function_and_its_integral_bear_any_argument() {
        for x in [-1e4f64, -30.0, -1.0, 0.0, 0.3, 30.0, 1e4] {
            let value = 1.0 / (1.0 + (-x).exp());
            // beyond e^-700 all is 0
            assert!((sigmoid(x) - value).abs() <= 1e-15);
            assert!((softplus(x) - (x.max(0.0) + (-x.abs()).exp().ln_1p())).abs() <= 1e-13);
        }
    }
}
