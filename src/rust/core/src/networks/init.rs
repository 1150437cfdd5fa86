//! Where weights start.

use super::tensor::Scalar;
use crate::base::rng::{stream, Purpose};
use crate::matrix::{from_fn, Array2};
use rand::Rng;

/// Uniform with the variance 2 / inputs that keeps the size of signals through layers
/// with ReLU (He et al. 2015).
pub fn he<T: Scalar>(outputs: usize, inputs: usize, seed: u64, layer: usize) -> Array2<T> {
    uniform(outputs, inputs, (6.0 / inputs as f64).sqrt(), seed, layer)
}

/// Uniform with the variance 2 / (inputs + outputs), for linear and saturating layers
/// (Glorot and Bengio 2010).
pub fn glorot<T: Scalar>(outputs: usize, inputs: usize, seed: u64, layer: usize) -> Array2<T> {
    uniform(outputs, inputs, (6.0 / (inputs + outputs) as f64).sqrt(), seed, layer)
}

fn uniform<T: Scalar>(
    outputs: usize,
    inputs: usize,
    bound: f64,
    seed: u64,
    layer: usize,
) -> Array2<T> {
    let mut rng = stream(seed, Purpose::Weights, layer);
    from_fn((outputs, inputs), |_, _| T::of(bound * (2.0 * rng.random::<f64>() - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_variance_that_keeps_signals() {
        let weights: Array2<f64> = he(300, 200, 1, 0);
        let variance = weights.iter().map(|w| w * w).sum::<f64>() / 60_000.0;
        // of 60,000 squares with relative spread √(4/5): within five standard errors
        assert!((variance * 200.0 / 2.0 - 1.0).abs() < 5.0 * 0.9 / 60_000f64.sqrt());
        let weights: Array2<f64> = glorot(300, 200, 1, 0);
        let variance = weights.iter().map(|w| w * w).sum::<f64>() / 60_000.0;
        assert!((variance * 500.0 / 2.0 - 1.0).abs() < 5.0 * 0.9 / 60_000f64.sqrt());
        assert_ne!(he::<f64>(3, 2, 1, 0), he::<f64>(3, 2, 1, 1));
        assert_ne!(he::<f64>(3, 2, 1, 0), he::<f64>(3, 2, 2, 0));
    }
}
