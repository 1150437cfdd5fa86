//! Layers in a chain.

use super::layer::{Layer, Named, Parameter, Pass};
use super::tensor::{first, first_mut, reserve, Scalar};
use crate::matrix::{zeros, Array2, ArrayRef2, ArrayView2};

/// A chain of layers, which owns its signals and their gradients: after the first batch of
/// the largest size nothing of their size is allocated.
pub struct Sequential<T> {
    layers: Vec<Box<dyn Layer<T>>>,
    outputs: Vec<Array2<T>>,
    slopes: Vec<Array2<T>>,
}

impl<T: Scalar> Sequential<T> {
    /// The output size of each layer is the input size of the next.  A chain of none is
    /// nothing to pass through, and is not asked to.
    pub fn new(layers: Vec<Box<dyn Layer<T>>>) -> Self {
        let empty = || layers.iter().map(|layer| zeros((layer.n_outputs(), 0))).collect();
        Sequential { outputs: empty(), slopes: empty(), layers }
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The output for a batch, which stays valid until the next pass.
    pub fn forward(&mut self, x: &ArrayRef2<T>, pass: &Pass) -> ArrayView2<'_, T> {
        let n = x.ncols();
        for (k, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.outputs.split_at_mut(k);
            reserve(&mut after[0], layer.n_outputs(), n);
            let mut y = first_mut(&mut after[0], n);
            match before.last() {
                Some(x) => layer.forward(&first(x, n), &mut y, pass),
                None => layer.forward(x, &mut y, pass),
            }
        }
        self.output(n)
    }

    /// The output of the last pass, of n samples.
    ///
    /// # Panics
    /// For a chain of no layers.
    pub fn output(&self, n: usize) -> ArrayView2<'_, T> {
        first(self.outputs.last().expect("a layer"), n)
    }

    /// The gradients by the parameters, for the input of the last pass and the gradient by
    /// the output; by the input where it is asked for.
    pub fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        mut dx: Option<&mut ArrayRef2<T>>,
    ) {
        let n = x.ncols();
        for k in (0..self.layers.len()).rev() {
            let (before, after) = self.slopes.split_at_mut(k);
            let y = first(&self.outputs[k], n);
            // the last layer's gradient comes from outside
            let own = if k + 1 < self.layers.len() { first(&after[0], n) } else { dy.view() };
            match before.last_mut() {
                Some(slope) => {
                    let x = first(&self.outputs[k - 1], n);
                    reserve(slope, x.nrows(), n);
                    self.layers[k].backward(&x, &y, &own, Some(&mut first_mut(slope, n)));
                }
                None => self.layers[k].backward(x, &y, &own, dx.as_deref_mut()),
            }
        }
    }

    /// Named by the layer's number, from 1: "2.weight".
    pub fn parameters(&mut self) -> Vec<Named<'_, T>> {
        let mut out: Vec<Named<'_, T>> = Vec::new();
        for (k, layer) in self.layers.iter_mut().enumerate() {
            let own: Vec<&mut Parameter<T>> = layer.parameters();
            out.extend(own.into_iter().map(|p| (format!("{}.{}", k + 1, p.name), p)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::from_fn;
    use crate::networks::activation::{Activation, Shape};
    use crate::networks::dense::Dense;
    use crate::networks::differences::{check_layer, TRAINING};
    use crate::networks::layer::{arrays, restore};
    use crate::networks::normalise::{BatchNorm, LayerNorm};
    use crate::networks::regularise::Dropout;

    fn net(seed: u64) -> Sequential<f64> {
        Sequential::new(vec![
            Box::new(Dense::new(5, 8, seed, 0)),
            Box::new(BatchNorm::new(8)),
            Box::new(Activation::new(8, Shape::Silu)),
            Box::new(Dropout::new(8, 0.2, 3)),
            Box::new(Dense::new(8, 4, seed, 4)),
            Box::new(LayerNorm::new(4)),
        ])
    }

    fn data(n: usize) -> Array2<f64> {
        from_fn((5, n), |i, j| ((i * 3 + j * 5) as f64 * 0.7).sin())
    }

    /// A chain is a layer.
    impl Layer<f64> for Sequential<f64> {
        fn n_outputs(&self) -> usize {
            self.layers.last().unwrap().n_outputs()
        }
        fn forward(&mut self, x: &ArrayRef2<f64>, y: &mut ArrayRef2<f64>, pass: &Pass) {
            y.assign(&Sequential::forward(self, x, pass));
        }
        fn backward(
            &mut self,
            x: &ArrayRef2<f64>,
            _: &ArrayRef2<f64>,
            dy: &ArrayRef2<f64>,
            dx: Option<&mut ArrayRef2<f64>>,
        ) {
            Sequential::backward(self, x, dy, dx);
        }
        fn parameters(&mut self) -> Vec<&mut Parameter<f64>> {
            Sequential::parameters(self).into_iter().map(|(_, p)| p).collect()
        }
    }

    #[test]
    fn gradients_of_a_composed_net_are_differences() {
        check_layer(&mut net(1), &data(9), 1e-5);
    }

    #[test]
    fn weights_go_out_and_come_back() {
        let (mut one, mut other) = (net(1), net(2));
        Sequential::forward(&mut one, &data(9), &TRAINING);
        let out = arrays(Sequential::parameters(&mut one));
        assert_eq!(out[0].0, "1.weight");
        let views: Vec<_> = out.iter().map(|(_, array)| array.view()).collect();
        restore(Sequential::parameters(&mut other), &views).unwrap();
        let x = data(4);
        let expected = Sequential::forward(&mut one, &x, &Pass::PREDICTION).to_owned();
        assert_eq!(Sequential::forward(&mut other, &x, &Pass::PREDICTION), expected);
        assert!(restore(Sequential::parameters(&mut other), &views[1..]).is_err());
    }

    #[test]
    fn a_smaller_batch_after_a_larger_one_is_itself() {
        let mut net = net(1);
        Sequential::forward(&mut net, &data(9), &Pass::PREDICTION);
        let small = Sequential::forward(&mut net, &data(3), &Pass::PREDICTION).to_owned();
        let large = Sequential::forward(&mut net, &data(9), &Pass::PREDICTION);
        let large = large.slice(ndarray::s![.., ..3]);
        assert!(small.iter().zip(large).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
