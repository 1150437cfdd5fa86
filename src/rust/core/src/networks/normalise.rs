//! Normalisation of signals: over the batch, or over the features of a sample.

use super::layer::{Layer, Parameter, Pass};
use super::tensor::Scalar;
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2, Columns};
use pulp::Arch;

/// Added to variances.
const EPSILON: f64 = 1e-3;
/// Weight of a batch in the running moments, once there were as many as its inverse; before,
/// they are the plain mean of the batches that were seen.
const MOMENTUM: f64 = 0.05;

/// y = γ (x − mean) / √(variance + 0.001) + β per feature (Ioffe and Szegedy 2015), with
/// the moments of the batch in training, and running ones in prediction.
pub struct BatchNorm<T> {
    scale: Parameter<T>,
    shift: Parameter<T>,
    /// Features × 3: running mean and variance, and how many batches they are of.
    running: Parameter<T>,
    /// 1/√(variance + ε) of the last training batch, and (x − mean) times it.
    inverse: Vec<T>,
    centred: Array2<T>,
}

impl<T: Scalar> BatchNorm<T> {
    pub fn new(size: usize) -> Self {
        let running = from_fn((size, 3), |_, j| T::of(if j == 1 { 1.0 } else { 0.0 }));
        BatchNorm {
            scale: Parameter::bias("scale", ones(size)),
            shift: Parameter::bias("shift", zeros((size, 1))),
            running: Parameter::fixed("running", running),
            inverse: vec![T::of(0.0); size],
            centred: zeros((size, 0)),
        }
    }

    fn update(&mut self, mean: &[f64], variance: &[f64], n: usize) {
        let unbiased = n as f64 / (n.max(2) - 1) as f64;
        let running = &mut self.running.value;
        for i in 0..mean.len() {
            let seen = running[(i, 2)].double() + 1.0;
            let weight = (1.0 / seen).max(MOMENTUM);
            let mut toward = |j: usize, new: f64| {
                let old = running[(i, j)].double();
                running[(i, j)] = T::of(old + weight * (new - old));
            };
            toward(0, mean[i]);
            toward(1, variance[i] * unbiased);
            running[(i, 2)] = T::of(seen.min(1.0 / MOMENTUM));
        }
    }
}

fn ones<T: Scalar>(size: usize) -> Array2<T> {
    from_fn((size, 1), |_, _| T::of(1.0))
}

impl<T: Scalar> Layer<T> for BatchNorm<T> {
    fn n_outputs(&self) -> usize {
        self.inverse.len()
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, pass: &Pass) {
        let (size, n) = x.dim();
        let mut centre = vec![T::of(0.0); size];
        if pass.training {
            let (mut mean, mut variance) = (vec![0.0; size], vec![0.0; size]);
            for j in 0..n {
                mean.iter_mut().zip(x.col(j)).for_each(|(m, x)| *m += x.double());
            }
            mean.iter_mut().for_each(|m| *m /= n as f64);
            for j in 0..n {
                for ((v, x), m) in variance.iter_mut().zip(x.col(j)).zip(&mean) {
                    *v += (x.double() - m) * (x.double() - m);
                }
            }
            variance.iter_mut().for_each(|v| *v /= n as f64);
            for i in 0..size {
                centre[i] = T::of(mean[i]);
                self.inverse[i] = T::of(1.0 / (variance[i] + EPSILON).sqrt());
            }
            self.update(&mean, &variance, n);
        } else {
            for (i, centre) in centre.iter_mut().enumerate() {
                *centre = self.running.value[(i, 0)];
                let variance = self.running.value[(i, 1)].double();
                self.inverse[i] = T::of(1.0 / (variance + EPSILON).sqrt());
            }
        }
        super::tensor::reserve(&mut self.centred, size, n);
        let (scale, shift) = (self.scale.entries(), self.shift.entries());
        let (inverse, centred) = (&self.inverse, &mut self.centred);
        Arch::new().dispatch(|| {
            for j in 0..n {
                let (x, y, c) = (x.col(j), y.col_mut(j), centred.col_mut(j));
                for i in 0..size {
                    c[i] = (x[i] - centre[i]) * inverse[i];
                    y[i] = scale[i] * c[i] + shift[i];
                }
            }
        });
    }

    /// With c the normalised x: dx = γ/sd (dy − mean(dy) − c mean(dy c)).
    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let (size, n) = x.dim();
        let (shift, scale) = (self.shift.gradient.col_mut(0), self.scale.gradient.col_mut(0));
        shift.fill(T::of(0.0));
        scale.fill(T::of(0.0));
        let factor = self.scale.value.as_slice_memory_order().expect("contiguous");
        let (inverse, centred) = (&self.inverse, &self.centred);
        Arch::new().dispatch(|| {
            for j in 0..n {
                let (dy, c) = (dy.col(j), centred.col(j));
                for i in 0..size {
                    shift[i] += dy[i];
                    scale[i] += dy[i] * c[i];
                }
            }
            let Some(dx) = dx else { return };
            let share = T::of(1.0 / n as f64);
            for j in 0..n {
                let (dy, c, dx) = (dy.col(j), centred.col(j), dx.col_mut(j));
                for i in 0..size {
                    let rest = dy[i] - share * shift[i] - share * c[i] * scale[i];
                    dx[i] = factor[i] * inverse[i] * rest;
                }
            }
        });
    }

    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        vec![&mut self.scale, &mut self.shift, &mut self.running]
    }
}

/// y = γ (x − mean) / √(variance + 0.001) + β, moments over the features of each sample
/// (Ba, Kiros and Hinton 2016): the same in training and prediction.
pub struct LayerNorm<T> {
    scale: Parameter<T>,
    shift: Parameter<T>,
    inverse: Vec<T>,
    centred: Array2<T>,
}

impl<T: Scalar> LayerNorm<T> {
    pub fn new(size: usize) -> Self {
        LayerNorm {
            scale: Parameter::bias("scale", ones(size)),
            shift: Parameter::bias("shift", zeros((size, 1))),
            inverse: Vec::new(),
            centred: zeros((size, 0)),
        }
    }
}

impl<T: Scalar> Layer<T> for LayerNorm<T> {
    fn n_outputs(&self) -> usize {
        self.scale.value.nrows()
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        let (size, n) = x.dim();
        super::tensor::reserve(&mut self.centred, size, n);
        self.inverse.resize(n, T::of(0.0));
        let (scale, shift) = (self.scale.entries(), self.shift.entries());
        for j in 0..n {
            let (x, y, c) = (x.col(j), y.col_mut(j), self.centred.col_mut(j));
            let mean = x.iter().map(|v| v.double()).sum::<f64>() / size as f64;
            let squares: f64 = x.iter().map(|v| (v.double() - mean).powi(2)).sum();
            self.inverse[j] = T::of(1.0 / (squares / size as f64 + EPSILON).sqrt());
            for i in 0..size {
                c[i] = (x[i] - T::of(mean)) * self.inverse[j];
                y[i] = scale[i] * c[i] + shift[i];
            }
        }
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        mut dx: Option<&mut ArrayRef2<T>>,
    ) {
        let (size, n) = x.dim();
        let (shift, scale) = (self.shift.gradient.col_mut(0), self.scale.gradient.col_mut(0));
        shift.fill(T::of(0.0));
        scale.fill(T::of(0.0));
        let factor = self.scale.value.as_slice_memory_order().expect("contiguous");
        for j in 0..n {
            let (dy, c) = (dy.col(j), self.centred.col(j));
            let (mut mean, mut along) = (0.0, 0.0);
            for i in 0..size {
                shift[i] += dy[i];
                scale[i] += dy[i] * c[i];
                let d = dy[i] * factor[i];
                mean += d.double();
                along += (d * c[i]).double();
            }
            let (mean, along) = (T::of(mean / size as f64), T::of(along / size as f64));
            if let Some(dx) = dx.as_deref_mut() {
                let dx = dx.col_mut(j);
                for i in 0..size {
                    dx[i] = self.inverse[j] * (dy[i] * factor[i] - mean - c[i] * along);
                }
            }
        }
    }

    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        vec![&mut self.scale, &mut self.shift]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::differences::{check_layer, TRAINING};

    fn wave(size: usize, n: usize) -> Array2<f64> {
        from_fn((size, n), |i, j| ((i * 3 + j * j) as f64 * 0.7).sin() * (i + 1) as f64 + i as f64)
    }

    #[test]
    fn gradients_are_differences() {
        let x = wave(4, 9);
        let mut batch = BatchNorm::new(4);
        let mut layer = LayerNorm::new(4);
        for (k, parameter) in batch.parameters().into_iter().take(2).enumerate() {
            parameter.value.iter_mut().enumerate().for_each(|(i, v)| *v += (i + k) as f64 * 0.3);
        }
        for (k, parameter) in layer.parameters().into_iter().enumerate() {
            parameter.value.iter_mut().enumerate().for_each(|(i, v)| *v += (i + k) as f64 * 0.3);
        }
        check_layer(&mut batch, &x, 1e-6);
        check_layer(&mut layer, &x, 1e-6);
    }

    #[test]
    fn a_batch_in_training_has_mean_zero_and_variance_one() {
        let x = wave(3, 50);
        let mut norm = BatchNorm::new(3);
        let mut y = zeros((3, 50));
        norm.forward(&x, &mut y, &TRAINING);
        for i in 0..3 {
            let row = y.row(i);
            let mean = row.sum() / 50.0;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 50.0;
            // less by ε over the variance
            assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-2, "{mean} {variance}");
        }
    }

    #[test]
    fn prediction_uses_the_moments_of_the_batches_that_were_seen() {
        let x = wave(3, 40);
        let mut norm = BatchNorm::new(3);
        let mut y = zeros((3, 40));
        for _ in 0..3 {
            norm.forward(&x, &mut y, &TRAINING);
        }
        let mut predicted = zeros((3, 40));
        norm.forward(&x, &mut predicted, &Pass::PREDICTION);
        // the running variance is the unbiased one
        for (a, b) in y.iter().zip(&predicted) {
            assert!((a - b).abs() < 0.02 * a.abs().max(1.0), "{a} {b}");
        }
        // and a sample's prediction does not depend on others
        let mut alone = zeros((3, 1));
        norm.forward(&x.slice(ndarray::s![.., 5..6]), &mut alone, &Pass::PREDICTION);
        assert_eq!(alone.col(0), predicted.col(5));
    }
}
