//! Dropout.

use super::layer::{Layer, Pass};
use super::tensor::{reserve, Scalar};
use crate::base::rng::{stream, Purpose};
use crate::matrix::{zeros, Array2, ArrayRef2, Columns};
use rand::RngCore;

/// In training every entry is 0 with probability `rate`, and 1/(1 − rate) times itself
/// else (Srivastava et al. 2014); in prediction itself.
pub struct Dropout<T> {
    size: usize,
    rate: f64,
    /// Names the random stream.
    layer: usize,
    mask: Array2<T>,
    masked: bool,
}

impl<T: Scalar> Dropout<T> {
    /// `rate` below 1; `layer` below 2^16.
    pub fn new(size: usize, rate: f64, layer: usize) -> Self {
        Dropout { size, rate, layer, mask: zeros((size, 0)), masked: false }
    }
}

impl<T: Scalar> Layer<T> for Dropout<T> {
    fn n_outputs(&self) -> usize {
        self.size
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, pass: &Pass) {
        self.masked = pass.training && self.rate > 0.0;
        if !self.masked {
            y.assign(x);
            return;
        }
        let n = x.ncols();
        reserve(&mut self.mask, self.size, n);
        let mut rng = stream(pass.seed, Purpose::Dropout, pass.step << 16 | self.layer);
        let limit = (self.rate * 2f64.powi(32)) as u32;
        let kept = T::of(1.0 / (1.0 - self.rate));
        for j in 0..n {
            let (x, y, mask) = (x.col(j), y.col_mut(j), self.mask.col_mut(j));
            for i in 0..self.size {
                mask[i] = if rng.next_u32() < limit { T::of(0.0) } else { kept };
                y[i] = x[i] * mask[i];
            }
        }
    }

    fn backward(
        &mut self,
        _: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let Some(dx) = dx else { return };
        dx.assign(dy);
        if self.masked {
            for j in 0..dy.ncols() {
                dx.col_mut(j).iter_mut().zip(self.mask.col(j)).for_each(|(d, m)| *d *= *m);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::from_fn;
    use crate::networks::differences::{check_layer, TRAINING};

    #[test]
    fn gradients_are_differences() {
        let x = from_fn((6, 5), |i, j| (i + 2 * j) as f64 - 3.5);
        check_layer(&mut Dropout::new(6, 0.4, 1), &x, 1e-8);
    }

    #[test]
    fn means_stay_and_other_steps_drop_others() {
        let x = from_fn((100, 100), |_, _| 1f64);
        let mut dropout = Dropout::new(100, 0.3, 1);
        let (mut y, mut other) = (zeros((100, 100)), zeros((100, 100)));
        dropout.forward(&x, &mut y, &TRAINING);
        let zeros_share = y.iter().filter(|v| **v == 0.0).count() as f64 / 1e4;
        // of 10,000 draws: five standard errors
        assert!((zeros_share - 0.3).abs() < 5.0 * (0.21f64 / 1e4).sqrt());
        dropout.forward(&x, &mut other, &Pass { step: 4, ..TRAINING });
        assert_ne!(y, other);
        dropout.forward(&x, &mut other, &Pass::PREDICTION);
        assert_eq!(x, other);
    }
}
