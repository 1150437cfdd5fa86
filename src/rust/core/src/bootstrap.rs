//! Random weights of the Bayesian bootstrap.

use crate::error::{check_value, CoreError};
use crate::rng::{stream, Purpose};
use faer::Mat;
use rand_distr::{Distribution, Gamma};

/// Weights n × replicates, columns with mean 1: Dirichlet with parameter `shape`
/// for each of the n units, times n.  Each replicate has a stream of its own.
/// Shape 1 is the Bayesian bootstrap (Rubin 1981).  Shape 0 gives all weight to
/// one unit.
///
/// # Errors
/// `Argument` for a negative shape or no units.
pub fn dirichlet_weights(
    seed: u64,
    n: usize,
    replicates: usize,
    shape: f64,
) -> Result<Mat<f64>, CoreError> {
    check_value("shape", shape, "non-negative", |s| s >= 0.0 && s.is_finite())?;
    check_value("n", n as f64, "at least 1", |n| n >= 1.0)?;
    let mut weights = Mat::zeros(n, replicates);
    for replicate in 0..replicates {
        let mut rng = stream(seed, Purpose::Bootstrap, replicate);
        let column = weights.col_as_slice_mut(replicate);
        if shape > 0.0 {
            let gamma = Gamma::new(shape, 1.0).expect("the shape is positive and finite");
            column.iter_mut().for_each(|w| *w = gamma.sample(&mut rng));
        }
        let total: f64 = column.iter().sum();
        if total > 0.0 {
            column.iter_mut().for_each(|w| *w *= n as f64 / total);
        } else {
            // The limit of small shapes.
            column.fill(0.0);
            column[rand::Rng::random_range(&mut rng, 0..n)] = n as f64;
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_variance_of_their_shape() {
        // Var(w_i / n) = (n − 1) / (n² (n shape + 1))
        for (n, shape) in [(4, 0.5), (10, 1.0), (3, 1.0 / 3.0)] {
            let replicates = 20_000;
            let weights = dirichlet_weights(7, n, replicates, shape).unwrap();
            let first: Vec<f64> = (0..replicates).map(|r| weights[(0, r)] / n as f64).collect();
            let mean = first.iter().sum::<f64>() / replicates as f64;
            let variance =
                first.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / replicates as f64;
            let (size, n) = (n as f64 * shape + 1.0, n as f64);
            let expected = (n - 1.0) / (n * n * size);
            // 20,000 draws: about 1 % for mean and variance
            assert!((mean * n - 1.0).abs() < 0.05, "{n} {shape}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{n} {shape}: {variance}");
        }
    }

    #[test]
    fn shape_zero_picks_one_unit() {
        let weights = dirichlet_weights(1, 2, 50, 0.0).unwrap();
        for r in 0..50 {
            assert_eq!(weights[(0, r)] + weights[(1, r)], 2.0);
            assert!(weights[(0, r)] == 0.0 || weights[(0, r)] == 2.0);
        }
    }
}
