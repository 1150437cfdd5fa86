//! Functions of a few numbers.

use super::error::{check_value, CoreError};

/// Σ a_i b_i in the order of the entries, for vectors too short to be worth a
/// dispatch ([`vectors::dot`](super::simd::vectors::dot) is for long ones).
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// vᵀ M v for a symmetric M.
pub fn quadratic(matrix: &[f64], v: &[f64]) -> f64 {
    matrix.chunks_exact(v.len()).zip(v).map(|(column, v_j)| v_j * dot(column, v)).sum()
}

/// The median, 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n => 0.5 * (values[(n - 1) / 2] + values[n / 2]),
    }
}

/// Where a unimodal function is least within `low` and `high`, to half the
/// tolerance.
pub fn golden_section(
    f: impl Fn(f64) -> f64,
    (mut low, mut high): (f64, f64),
    tolerance: f64,
) -> f64 {
    const RATIO: f64 = 0.618_033_988_749_894_8;
    let (mut a, mut b) = (high - RATIO * (high - low), low + RATIO * (high - low));
    let (mut fa, mut fb) = (f(a), f(b));
    while high - low > tolerance {
        if fa < fb {
            (high, b, fb) = (b, a, fa);
            a = high - RATIO * (high - low);
            fa = f(a);
        } else {
            (low, a, fa) = (a, b, fb);
            b = low + RATIO * (high - low);
            fb = f(b);
        }
    }
    0.5 * (low + high)
}

/// ψ(x) for x > 0: the recurrence to x ≥ 8, then the asymptotic series
/// (Abramowitz and Stegun 6.3.18).
pub fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 8.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    sum + x.ln() - 0.5 / x - y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y / 240.0)))
}

/// ψ'(x) for x > 0: the recurrence to x ≥ 8, then the asymptotic series
/// (Abramowitz and Stegun 6.4.12).
pub fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 8.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    sum + 1.0 / x + 0.5 * y + y / x * (1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y / 30.0)))
}

/// A count that came as a double: a whole number from 0 to 2^53, up to which doubles
/// tell whole numbers apart.
pub fn whole(name: &'static str, value: f64) -> Result<usize, CoreError> {
    let expected = "a whole number from 0 to 2^53";
    check_value(name, value, expected, |v| (0.0..=2f64.powi(53)).contains(&v) && v.fract() == 0.0)?;
    Ok(value as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn golden_section_finds_the_minimum() {
        let at = golden_section(|x| (x - 1.3).powi(2), (-14.0, 3.0), 1e-6);
        assert!((at - 1.3).abs() < 1e-6);
    }

    #[test]
    fn the_polygamma_functions_have_their_known_values() {
        let sixth = std::f64::consts::PI.powi(2) / 6.0;
        assert!((trigamma(1.0) - sixth).abs() < 1e-10);
        assert!((trigamma(0.5) - 3.0 * sixth).abs() < 1e-10);
        // ψ(1) = −γ
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-10);
        assert!((trigamma(2.5) - trigamma(3.5) - 0.16).abs() < 1e-12);
    }

    #[test]
    fn counts_are_whole_and_neither_negative_nor_missing_nor_huge() {
        assert_eq!(whole("n", 0.0), Ok(0));
        assert_eq!(whole("n", -0.0), Ok(0));
        assert_eq!(whole("n", 2f64.powi(53)), Ok(1 << 53));
        let beyond = 2f64.powi(53) + 2.0;
        for value in [-1.0, 0.5, beyond, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = whole("n", value).unwrap_err();
            let text = format!("`n` must be a whole number from 0 to 2^53, not {value}");
            assert_eq!(error.to_string(), text);
        }
    }
}
