//! Element-wise kernels of the Poisson likelihood, dispatched at run time to
//! the widest vectors of the machine (a shipped build targets baseline x86-64).
//!
//! Sums run over [`LANES`] lanes in a fixed order, so the bits do not depend on
//! the vector width.  Lengths are multiples of [`LANES`]; callers pad with y = 0.

use super::elementary::ln;
use super::LANES;
use pulp::{Arch, Simd, WithSimd};

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

#[cfg(test)]
mod tests {
    use super::*;

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
