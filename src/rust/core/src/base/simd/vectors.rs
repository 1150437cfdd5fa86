//! Loops over long vectors, dispatched at run time to the widest registers.
//!
//! Sums run over [`LANES`] lanes in a fixed order, so the bits do not depend on
//! the machine's vector width.

use super::LANES;
use pulp::{Arch, Simd, WithSimd};

/// Σ a_i b_i.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    Arch::new().dispatch(Dot { a, b })
}

/// target += scale · source.
pub fn add_scaled(target: &mut [f64], scale: f64, source: &[f64]) {
    assert_eq!(target.len(), source.len());
    Arch::new().dispatch(AddScaled { target, scale, source })
}

/// out += Σ_i weights_i columns(of_i), where column j of `columns` is
/// `columns[j * out.len()..]`.
pub fn combine(out: &mut [f64], columns: &[f64], of: &[usize], weights: &[f64]) {
    assert_eq!(of.len(), weights.len());
    Arch::new().dispatch(Combine { out, columns, of, weights });
}

pub fn squared_norm(a: &[f64]) -> f64 {
    dot(a, a)
}

/// Σ (a_i − b_i)².
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    Arch::new().dispatch(SquaredDistance { a, b })
}

struct Dot<'a> {
    a: &'a [f64],
    b: &'a [f64],
}

impl WithSimd for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0; LANES];
        let (a, b) = (self.a.chunks_exact(LANES), self.b.chunks_exact(LANES));
        let tail: f64 = a.remainder().iter().zip(b.remainder()).map(|(p, q)| p * q).sum();
        for (a, b) in a.zip(b) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        sums.iter().sum::<f64>() + tail
    }
}

struct SquaredDistance<'a> {
    a: &'a [f64],
    b: &'a [f64],
}

impl WithSimd for SquaredDistance<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0; LANES];
        let (a, b) = (self.a.chunks_exact(LANES), self.b.chunks_exact(LANES));
        let tail = a.remainder().iter().zip(b.remainder());
        let tail: f64 = tail.map(|(p, q)| (p - q) * (p - q)).sum();
        for (a, b) in a.zip(b) {
            for lane in 0..LANES {
                sums[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
            }
        }
        sums.iter().sum::<f64>() + tail
    }
}

struct AddScaled<'a> {
    target: &'a mut [f64],
    scale: f64,
    source: &'a [f64],
}

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        add_scaled_inline(self.target, self.scale, self.source);
    }
}

struct Combine<'a> {
    out: &'a mut [f64],
    columns: &'a [f64],
    of: &'a [usize],
    weights: &'a [f64],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let n = self.out.len();
        let column = |j: usize| &self.columns[j * n..(j + 1) * n];
        let pairs = self.of.chunks_exact(2).zip(self.weights.chunks_exact(2));
        for (of, weights) in pairs {
            let (first, second) = (column(of[0]), column(of[1]));
            for ((out, a), b) in self.out.iter_mut().zip(first).zip(second) {
                *out += weights[0] * a + weights[1] * b;
            }
        }
        if self.of.len() % 2 == 1 {
            let last = self.of.len() - 1;
            add_scaled_inline(self.out, self.weights[last], column(self.of[last]));
        }
    }
}

#[inline(always)]
fn add_scaled_inline(target: &mut [f64], scale: f64, source: &[f64]) {
    for (t, s) in target.iter_mut().zip(source) {
        *t += scale * s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_agree_with_their_definitions_at_any_length() {
        for n in 0..20 {
            let a: Vec<f64> = (0..n).map(|i| (i as f64 * 0.7).sin()).collect();
            let b: Vec<f64> = (0..n).map(|i| (i as f64 * 0.3).cos()).collect();
            let plain: f64 = a.iter().zip(&b).map(|(p, q)| p * q).sum();
            assert!((dot(&a, &b) - plain).abs() < 1e-14);
            let apart: f64 = a.iter().zip(&b).map(|(p, q)| (p - q).powi(2)).sum();
            assert!((squared_distance(&a, &b) - apart).abs() < 1e-14);
            let columns = [a.clone(), b.clone(), a.clone()].concat();
            for of in [vec![], vec![1], vec![1, 0], vec![2, 1, 0]] {
                let weights: Vec<f64> = of.iter().map(|&j| j as f64 + 0.5).collect();
                let mut out = b.clone();
                combine(&mut out, &columns, &of, &weights);
                for i in 0..n {
                    let sum: f64 = of.iter().map(|&j| (j as f64 + 0.5) * columns[j * n + i]).sum();
                    assert!((out[i] - b[i] - sum).abs() < 1e-14);
                }
            }
        }
    }
}
