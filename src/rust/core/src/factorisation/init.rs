//! Starts: random, and non-negative double singular value decomposition.

use super::alternate::Pair;
use super::data::{Data, Side};
use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::from_columns;
use crate::matrix::linalg::{spectrum, Spectrum};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// How a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    Random,
    /// Boutsidis and Gallopoulos (2008), with zeros.
    Nndsvd,
    /// Zeros replaced by the mean of X.
    NndsvdMean,
    /// Zeros replaced by random numbers below mean(X) / 100.
    NndsvdRandom,
}

crate::base::error::named!(Init, "init",
    "random" => Init::Random,
    "nndsvd" => Init::Nndsvd,
    "nndsvda" => Init::NndsvdMean,
    "nndsvdar" => Init::NndsvdRandom,
);

/// Uniform entries, scaled so that W H has the mean `mean`, that of X.
pub fn random(data: &Data<'_>, mean: f64, rank: usize, seed: u64, run: usize) -> Pair {
    let mut rng = stream(seed, Purpose::Factors, run);
    // two uniform numbers have a product of mean 1/4
    let scale = (4.0 * mean / rank.max(1) as f64).sqrt();
    let mut draw = |lines: usize| -> Vec<f64> {
        (0..rank * lines).map(|_| scale * rng.random::<f64>()).collect()
    };
    let basis = draw(data.count(Side::Basis));
    let coef = draw(data.count(Side::Coef));
    Pair { rank, factors: [basis, coef] }
}

/// Extra directions and rounds of the subspace iteration.
const OVERSAMPLING: usize = 8;
const ROUNDS: usize = 6;

/// A start from the leading singular vectors, found by subspace iteration.
/// The signs of the vectors cancel: the positive or the negative parts are taken,
/// whichever pair is larger.  `mean` is that of X.
///
/// # Errors
/// `Interrupted`.
pub fn nndsvd(
    (data, mean): (&Data<'_>, f64),
    rank: usize,
    kind: Init,
    seed: u64,
    monitor: &Monitor<'_>,
) -> Result<Pair, CoreError> {
    let (m, n) = (data.count(Side::Basis), data.count(Side::Coef));
    let width = (rank + OVERSAMPLING).min(m).min(n);
    let (sigma, left, right) = singular(data, width, seed, monitor)?;
    let mut basis = vec![0.0; rank * m];
    let mut coef = vec![0.0; rank * n];
    for r in 0..rank.min(width) {
        let u: Vec<f64> = left.iter().skip(r).step_by(width).copied().collect();
        let v: Vec<f64> = right.iter().skip(r).step_by(width).copied().collect();
        let part = |x: &[f64], sign: f64| -> Vec<f64> {
            x.iter().map(|&x| if r == 0 { x.abs() } else { (sign * x).max(0.0) }).collect()
        };
        let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
        let sided = [1.0, -1.0].map(|sign| {
            let (u, v) = (part(&u, sign), part(&v, sign));
            let (nu, nv) = (norm(&u), norm(&v));
            (nu * nv, u, v, nu, nv)
        });
        let [plus, minus] = sided;
        let (size, u, v, nu, nv) = if plus.0 >= minus.0 { plus } else { minus };
        if size > 0.0 {
            let scale = (sigma[r] * size).sqrt();
            (0..m).for_each(|i| basis[i * rank + r] = scale * u[i] / nu);
            (0..n).for_each(|j| coef[j * rank + r] = scale * v[j] / nv);
        }
    }
    let mut rng = stream(seed, Purpose::Factors, 0);
    for value in basis.iter_mut().chain(&mut coef) {
        if *value < 1e-10 {
            *value = match kind {
                Init::NndsvdMean => mean,
                Init::NndsvdRandom => mean * 0.01 * rng.random::<f64>(),
                _ => 0.0,
            };
        }
    }
    Ok(Pair { rank, factors: [basis, coef] })
}

/// Singular values, and vectors (width × features, width × samples).
type Triplets = (Vec<f64>, Vec<f64>, Vec<f64>);

/// The leading ones.
fn singular(
    data: &Data<'_>,
    width: usize,
    seed: u64,
    monitor: &Monitor<'_>,
) -> Result<Triplets, CoreError> {
    let (m, n) = (data.count(Side::Basis), data.count(Side::Coef));
    let mut rng = stream(seed, Purpose::Projection, 0);
    let mut right: Vec<f64> = (0..width * n).map(|_| StandardNormal.sample(&mut rng)).collect();
    let mut left = vec![0.0; width * m];
    for _ in 0..ROUNDS {
        data.product(Side::Basis, &right, width, &mut left);
        orthonormalise(&mut left, width, monitor)?;
        data.product(Side::Coef, &left, width, &mut right);
        orthonormalise(&mut right, width, monitor)?;
    }
    data.product(Side::Basis, &right, width, &mut left);
    // X V = L'; L Lᵀ = Q Σ² Qᵀ, so X = (L' Q) (V Q)'
    let gram = data.gram(Side::Basis, &left, width);
    let Spectrum { values, vectors: turned } = spectrum(&from_columns(&gram, (width, width)));
    if values.iter().any(|v| v.is_nan()) {
        return Ok((vec![0.0; width], left, right));
    }
    let sigma: Vec<f64> = values.iter().map(|v| v.max(0.0).sqrt()).collect();
    let turn = |vectors: &[f64]| -> Vec<f64> {
        let mut out = Vec::with_capacity(vectors.len());
        for line in vectors.chunks_exact(width) {
            for r in 0..width {
                out.push((0..width).map(|i| turned[(i, r)] * line[i]).sum());
            }
        }
        out
    };
    let mut left = turn(&left);
    for line in left.chunks_exact_mut(width) {
        for (v, &s) in line.iter_mut().zip(&sigma) {
            *v = if s > 1e-12 * sigma[0] { *v / s } else { 0.0 };
        }
    }
    Ok((sigma, left, turn(&right)))
}

/// Gram-Schmidt, twice, on the rows of a width × lines matrix.
fn orthonormalise(
    vectors: &mut [f64],
    width: usize,
    monitor: &Monitor<'_>,
) -> Result<(), CoreError> {
    for _ in 0..2 {
        for r in 0..width {
            monitor.check()?;
            let mut along = vec![0.0; r + 1];
            for line in vectors.chunks_exact(width) {
                for (s, sum) in along.iter_mut().enumerate() {
                    *sum += line[s] * line[r];
                }
            }
            let square = along[r];
            let left = square - along[..r].iter().map(|v| v * v).sum::<f64>();
            let gone = left <= 1e-28 * square;
            let mut norm = 0.0;
            for line in vectors.chunks_exact_mut(width) {
                let taken: f64 = (0..r).map(|s| along[s] * line[s]).sum();
                line[r] = if gone { 0.0 } else { line[r] - taken };
                norm += line[r] * line[r];
            }
            if norm > 0.0 {
                let scale = 1.0 / norm.sqrt();
                vectors.chunks_exact_mut(width).for_each(|line| line[r] *= scale);
            }
        }
    }
    Ok(())
}
