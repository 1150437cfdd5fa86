//! Gaussian bells φ_l(p) = exp(−‖p − q_l‖²) around landmarks q, and what is to be
//! expected of them when p carries normal noise of variances e per coordinate:
//!
//!   E φ_l(p + e)           = Π (1 + 2e)^{−½} exp(−Σ (p − q_l)² / (1 + 2e)),
//!   E φ_l(p + e) φ_m(p + e) = h_lm exp(−Σ [(p − q_l)² + (p − q_m)²] / (1 + 4e)),
//!   E e φ_l(p + e)         = −2e / (1 + 2e) (p − q_l) E φ_l(p + e)
//!
//! with h_lm = Π (1 + 4e)^{−½} exp(−½ Σ (q_l − q_m)² 4e / (1 + 4e)): moments of
//! products of normal densities.

use crate::base::error::CoreError;
use crate::base::parallel::{over_blocks, Monitor};
use crate::base::simd::exp;
use crate::matrix::{from_fn, linalg, zeros, Array2, ArrayRef2};
use ndarray::s;
use pulp::{Arch, Simd, WithSimd};

/// Points that are worked on together.
const BLOCK: usize = 128;

/// exp(−‖p − q‖²), landmarks × points, of coordinates × points and coordinates ×
/// landmarks.
pub(super) fn bells(
    points: &ArrayRef2<f64>,
    landmarks: &ArrayRef2<f64>,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let squares = norms(landmarks);
    let mut out = zeros((landmarks.ncols(), points.ncols()));
    let work = |columns: std::ops::Range<usize>| {
        let own = points.slice(s![.., columns]);
        let mut part = linalg::product(&landmarks.t(), &own);
        for (mut bell, square) in part.columns_mut().into_iter().zip(norms(&own)) {
            let bell = bell.as_slice_mut().expect("columns are contiguous");
            Arch::new().dispatch(Bell { products: bell, squares: &squares, square });
        }
        Ok(part)
    };
    over_blocks(points.ncols(), BLOCK, monitor, work, |columns, part| {
        out.slice_mut(s![.., columns]).assign(&part);
    })?;
    Ok(out)
}

/// Squared norms of columns.
fn norms(points: &ArrayRef2<f64>) -> Vec<f64> {
    points.columns().into_iter().map(|p| p.iter().map(|v| v * v).sum()).collect()
}

/// `products` p·q become exp(−‖p − q‖²).
struct Bell<'a> {
    products: &'a mut [f64],
    squares: &'a [f64],
    square: f64,
}

impl WithSimd for Bell<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (product, square) in self.products.iter_mut().zip(self.squares) {
            // rounding may leave a negative distance
            *product = exp((2.0 * *product - square - self.square).min(0.0));
        }
    }
}

/// Points and landmarks seen through noise of given variances.
pub(super) struct Blurred {
    /// E φ, landmarks × points.
    pub(super) mean: Array2<f64>,
    /// Without noise `mean` is its own factor.
    product: Option<Product>,
    pull: Vec<f64>,
}

struct Product {
    factor: Array2<f64>,
    weights: Array2<f64>,
}

impl Blurred {
    pub(super) fn new(
        points: &ArrayRef2<f64>,
        landmarks: &ArrayRef2<f64>,
        noise: &[f64],
        monitor: &Monitor<'_>,
    ) -> Result<Self, CoreError> {
        if noise.iter().all(|&e| e == 0.0) {
            let mean = bells(points, landmarks, monitor)?;
            return Ok(Blurred { mean, product: None, pull: vec![0.0; noise.len()] });
        }
        let by = |share: f64| -> Vec<f64> {
            noise.iter().map(|e| (1.0 + share * e).sqrt().recip()).collect()
        };
        let (once, twice) = (by(2.0), by(4.0));
        let mut mean = bells(&scaled(points, &once), &scaled(landmarks, &once), monitor)?;
        let height: f64 = once.iter().product();
        mean.mapv_inplace(|v| v * height);
        let near = scaled(landmarks, &twice);
        let factor = bells(&scaled(points, &twice), &near, monitor)?;
        let height: f64 = twice.iter().product();
        let lost: Vec<f64> = noise.iter().map(|e| (2.0 * e / (1.0 + 4.0 * e)).sqrt()).collect();
        let apart = scaled(landmarks, &lost);
        let mut weights = bells(&apart, &apart, monitor)?;
        weights.mapv_inplace(|v| v * height);
        let pull = noise.iter().map(|e| -2.0 / (1.0 + 2.0 * e)).collect();
        Ok(Blurred { mean, product: Some(Product { factor, weights }), pull })
    }

    /// Σ E φ φᵀ over a range of points.
    pub(super) fn gram(
        &self,
        points: std::ops::Range<usize>,
        monitor: &Monitor<'_>,
    ) -> Result<Array2<f64>, CoreError> {
        let factor = self.product.as_ref().map_or(&self.mean, |product| &product.factor);
        let own = factor.slice(s![.., points]);
        let mut gram = super::product(&own, &own.t(), monitor)?;
        if let Some(Product { weights, .. }) = &self.product {
            gram *= weights;
        }
        Ok(gram)
    }

    /// Σ E (e/variance) φᵀ over a range of points, coordinates × landmarks: the
    /// noise in units of its variance.
    pub(super) fn noise_with_bells(
        &self,
        points: &ArrayRef2<f64>,
        landmarks: &ArrayRef2<f64>,
        range: std::ops::Range<usize>,
        monitor: &Monitor<'_>,
    ) -> Result<Array2<f64>, CoreError> {
        let mean = self.mean.slice(s![.., range.clone()]);
        let sums: Vec<f64> = mean.rows().into_iter().map(|row| row.sum()).collect();
        let cross = super::product(&points.slice(s![.., range]), &mean.t(), monitor)?;
        Ok(from_fn(cross.dim(), |i, l| {
            self.pull[i] * (cross[(i, l)] - landmarks[(i, l)] * sums[l])
        }))
    }
}

fn scaled(points: &ArrayRef2<f64>, by: &[f64]) -> Array2<f64> {
    from_fn(points.dim(), |i, j| points[(i, j)] * by[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::matrix::from_columns;

    /// ∫ f(e) N(e; 0, variance) de by the trapezoid rule, which for such functions
    /// errs below 1e-12 at this spacing.
    fn expected(variance: f64, f: impl Fn(f64) -> f64) -> f64 {
        let (sd, step) = (variance.sqrt(), 0.01);
        let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (-1000..=1000).map(|i| f64::from(i) * step).map(|t| step * density(t) * f(sd * t)).sum()
    }

    #[test]
    fn expectations_over_noise_are_integrals() {
        let (points, landmarks) = ([0.3, -1.1], [0.0, 0.8, -0.5]);
        let variance = 0.7;
        let p = from_columns(&points, (1, 2));
        let q = from_columns(&landmarks, (1, 3));
        let blurred = unmonitored(|m| Blurred::new(&p, &q, &[variance], m)).unwrap();
        let bell = |p: f64, q: f64| (-(p - q).powi(2)).exp();
        for (i, p) in points.iter().enumerate() {
            for (l, q) in landmarks.iter().enumerate() {
                let mean = expected(variance, |e| bell(p + e, *q));
                assert!((blurred.mean[(l, i)] - mean).abs() < 1e-12);
            }
        }
        let gram = unmonitored(|m| blurred.gram(0..2, m)).unwrap();
        let noise = unmonitored(|m| blurred.noise_with_bells(&p, &q, 0..2, m)).unwrap();
        for (l, a) in landmarks.iter().enumerate() {
            let own = |p: &f64| expected(variance, |e| e * bell(p + e, *a)) / variance;
            assert!((noise[(0, l)] - points.iter().map(own).sum::<f64>()).abs() < 1e-12);
            for (k, b) in landmarks.iter().enumerate() {
                let own = |p: &f64| expected(variance, |e| bell(p + e, *a) * bell(p + e, *b));
                assert!((gram[(l, k)] - points.iter().map(own).sum::<f64>()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn noise_of_many_coordinates_factorises() {
        let points = from_fn((3, 4), |i, j| ((i * 3 + j) as f64).sin());
        let landmarks = from_fn((3, 2), |i, j| ((i + 2 * j) as f64).cos());
        let noise = [0.2, 0.0, 1.5];
        let line = |x: &Array2<f64>, i: usize| from_fn((1, x.ncols()), |_, j| x[(i, j)]);
        let of = |p: &Array2<f64>, q: &Array2<f64>, noise: &[f64]| {
            let blurred = unmonitored(|m| Blurred::new(p, q, noise, m)).unwrap();
            let first = unmonitored(|m| blurred.gram(0..1, m)).unwrap();
            (blurred.mean, first)
        };
        let (mean, gram) = of(&points, &landmarks, &noise);
        let parts: Vec<_> =
            (0..3).map(|i| of(&line(&points, i), &line(&landmarks, i), &noise[i..=i])).collect();
        for l in 0..2 {
            for i in 0..4 {
                let product: f64 = parts.iter().map(|part| part.0[(l, i)]).product();
                assert!((mean[(l, i)] - product).abs() < 1e-14);
            }
            let product: f64 = parts.iter().map(|part| part.1[(l, 1)]).product();
            assert!((gram[(l, 1)] - product).abs() < 1e-14);
        }
    }
}
