//! Losses of values and shares, and the divergence of a Gaussian from the prior.

use super::elementwise::exponentials;
use super::tensor::Scalar;
use crate::base::error::named;
use crate::matrix::{ArrayRef2, Columns};

/// What is made small.  Predictions and targets are features × samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Mean over entries of (y − t)².
    Squared,
    /// Mean over entries of |y − t|.
    Absolute,
    /// Mean over samples of −Σ t ln softmax(y): y are logits, t shares that sum to 1.
    CrossEntropy,
    /// Mean over samples of 1 − r, the correlation over features.
    Correlation,
}
named!(
    Loss, "loss",
    "mse" => Loss::Squared,
    "l1" => Loss::Absolute,
    "cross_entropy" => Loss::CrossEntropy,
    "correlation" => Loss::Correlation,
);

/// Added to sums of squares about the mean, so that a constant prediction has a gradient.
const EPSILON: f64 = 1e-8;

impl Loss {
    /// The loss, and its gradient by the prediction.
    pub fn slope<T: Scalar>(
        self,
        predicted: &ArrayRef2<T>,
        target: &ArrayRef2<T>,
        slope: &mut ArrayRef2<T>,
    ) -> f64 {
        let (features, n) = predicted.dim();
        let share = match self {
            Loss::Squared | Loss::Absolute => 1.0 / (features * n) as f64,
            Loss::CrossEntropy | Loss::Correlation => 1.0 / n as f64,
        };
        let mut sum = 0.0;
        for j in 0..n {
            let (y, t, d) = (predicted.col(j), target.col(j), slope.col_mut(j));
            sum += match self {
                Loss::Squared => entries(y, t, d, share, |e| (e * e, 2.0 * e)),
                Loss::Absolute => {
                    entries(y, t, d, share, |e| (e.abs(), if e == 0.0 { 0.0 } else { e.signum() }))
                }
                Loss::CrossEntropy => cross_entropy(y, t, d, share),
                Loss::Correlation => one_minus_correlation(y, t, d, share),
            };
        }
        sum * share
    }

    /// The loss alone.
    pub fn value<T: Scalar>(self, predicted: &ArrayRef2<T>, target: &ArrayRef2<T>) -> f64 {
        let mut unused = predicted.to_owned();
        self.slope(predicted, target, &mut unused)
    }
}

fn entries<T: Scalar>(
    y: &[T],
    t: &[T],
    d: &mut [T],
    share: f64,
    f: impl Fn(f64) -> (f64, f64),
) -> f64 {
    let mut sum = 0.0;
    for ((y, t), d) in y.iter().zip(t).zip(d) {
        let (value, slope) = f(y.double() - t.double());
        sum += value;
        *d = T::of(share * slope);
    }
    sum
}

fn cross_entropy<T: Scalar>(y: &[T], t: &[T], d: &mut [T], share: f64) -> f64 {
    d.copy_from_slice(y);
    let (total, top) = exponentials(d);
    let log_total = total.ln() + top.double();
    let whole: f64 = t.iter().map(|t| t.double()).sum();
    let mut sum = 0.0;
    for ((y, t), d) in y.iter().zip(t).zip(d) {
        sum += t.double() * (log_total - y.double());
        *d = T::of(share * (whole * d.double() / total - t.double()));
    }
    sum
}

fn one_minus_correlation<T: Scalar>(y: &[T], t: &[T], d: &mut [T], share: f64) -> f64 {
    let n = y.len() as f64;
    let mean = |x: &[T]| x.iter().map(|v| v.double()).sum::<f64>() / n;
    let (my, mt) = (mean(y), mean(t));
    let (mut yy, mut tt, mut yt) = (EPSILON, EPSILON, 0.0);
    for (y, t) in y.iter().zip(t) {
        let (a, b) = (y.double() - my, t.double() - mt);
        yy += a * a;
        tt += b * b;
        yt += a * b;
    }
    let norm = (yy * tt).sqrt();
    let r = yt / norm;
    for ((y, t), d) in y.iter().zip(t).zip(d) {
        let (a, b) = (y.double() - my, t.double() - mt);
        *d = T::of(-share * (b / norm - r * a / yy));
    }
    1.0 - r
}

/// Log-variances beyond these are taken for the nearest.
pub const LOG_VARIANCE: (f64, f64) = (-10.0, 4.0);

/// KL(N(m, e^v) ‖ N(0, 1)) = ½ (m² + e^v − 1 − v).
pub fn divergence(mean: f64, log_variance: f64) -> f64 {
    0.5 * (mean * mean + log_variance.exp() - 1.0 - log_variance)
}

/// −ln N(x; mean, e^v), and its derivatives by the mean and by v.
#[inline(always)]
pub fn gaussian<T: Scalar>(x: T, mean: T, log_variance: T) -> (T, T, T) {
    let half = T::of(0.5);
    let precision = (-log_variance).exp();
    let error = mean - x;
    let square = half * error * error * precision;
    let constant = T::of(0.5 * (2.0 * std::f64::consts::PI).ln());
    (square + half * log_variance + constant, error * precision, half - square)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::from_fn;
    use crate::networks::differences::check_function;

    #[test]
    fn gradients_are_differences() {
        let y = from_fn((6, 4), |i, j| ((i * 3 + j * 5) as f64 * 0.7).sin());
        // nowhere within 0.01 of y, where the absolute error has no derivative
        let t = y.map(|v| (v * 2.0 + 1.7).cos().abs() + 1.1);
        let shares = {
            let mut t = t.clone();
            for j in 0..4 {
                let sum: f64 = t.column(j).sum();
                t.column_mut(j).mapv_inplace(|v| v / sum);
            }
            t
        };
        for loss in [Loss::Squared, Loss::Absolute, Loss::CrossEntropy, Loss::Correlation] {
            let target = if loss == Loss::CrossEntropy { &shares } else { &t };
            check_function(&y, 1e-7, |y, slope| loss.slope(y, target, slope));
            let mut slope = y.clone();
            assert_eq!(loss.value(&y, target), loss.slope(&y, target, &mut slope));
        }
    }

    #[test]
    fn losses_have_their_known_values() {
        let y = from_fn((2, 2), |i, j| (i + 2 * j) as f64);
        let t = from_fn((2, 2), |_, _| 0.5);
        assert_eq!(Loss::Squared.value(&y, &t), (0.25 + 0.25 + 2.25 + 6.25) / 4.0);
        assert_eq!(Loss::Absolute.value(&y, &t), (0.5 + 0.5 + 1.5 + 2.5) / 4.0);
        // two features in line: r = 1 up to ε
        let line = from_fn((2, 2), |i, _| 3.0 * i as f64);
        assert!(Loss::Correlation.value(&y, &line).abs() < 1e-7);
        // the entropy, where the prediction is right
        let logits = y.map(|v| v * 0.3);
        let mut shares = logits.map(|v| v.exp());
        let mut entropy = 0.0;
        for j in 0..2 {
            let sum: f64 = shares.column(j).sum();
            shares.column_mut(j).mapv_inplace(|v| v / sum);
            entropy -= shares.column(j).iter().map(|p| p * p.ln()).sum::<f64>() / 2.0;
        }
        assert!((Loss::CrossEntropy.value(&logits, &shares) - entropy).abs() < 1e-14);
    }

    #[test]
    fn the_divergence_is_that_of_gaussians_and_zero_at_the_prior() {
        assert_eq!(divergence(0.0, 0.0), 0.0);
        // by numerical integration of q ln(q/p)
        let (m, v) = (0.7f64, -0.4f64);
        let sd = (0.5 * v).exp();
        let mut sum = 0.0;
        let h = 1e-3;
        for k in -12_000..12_000 {
            let x = m + k as f64 * h * sd;
            let q =
                (-0.5 * ((x - m) / sd).powi(2)).exp() / (sd * (2.0 * std::f64::consts::PI).sqrt());
            let log_ratio = -0.5 * ((x - m) / sd).powi(2) - 0.5 * v + 0.5 * x * x;
            sum += q * log_ratio * h * sd;
        }
        assert!((divergence(m, v) - sum).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn gaussian_derivatives_are_differences() {
        let h = 1e-6;
        for (x, m, v) in [(1.0, 0.3, -0.5), (-2.0, 0.0, 1.0)] {
            let (value, by_mean, by_variance) = gaussian::<f64>(x, m, v);
            let exact = 0.5 * (x - m) * (x - m) / v.exp()
                + 0.5 * (2.0 * std::f64::consts::PI).ln()
                + 0.5 * v;
            assert!((value - exact).abs() < 1e-14);
            let by = |dm: f64, dv: f64| gaussian::<f64>(x, m + dm, v + dv).0;
            assert!((by_mean - (by(h, 0.0) - by(-h, 0.0)) / (2.0 * h)).abs() < 1e-8);
            assert!((by_variance - (by(0.0, h) - by(0.0, -h)) / (2.0 * h)).abs() < 1e-8);
        }
    }
}
