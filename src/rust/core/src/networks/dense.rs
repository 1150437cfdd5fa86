//! Y = W X + b, of dense and of sparse X.

use super::elementwise::add_scaled;
use super::init::he;
use super::layer::{Layer, Parameter, Pass};
use super::tensor::{add_product_into, product_into, Scalar};
use crate::matrix::{zeros, Array2, ArrayRef2, Columns, Csc};
use ndarray::Axis;
use pulp::Arch;
use rayon::prelude::*;

/// Inputs whose weights' gradients are summed together, and columns of Y.
const INPUTS: usize = 512;
const COLUMNS: usize = 16;

pub struct Dense<T> {
    pub weight: Parameter<T>,
    pub bias: Parameter<T>,
}

impl<T: Scalar> Dense<T> {
    /// He's start; `layer` names the random stream.
    pub fn new(inputs: usize, outputs: usize, seed: u64, layer: usize) -> Self {
        Dense::with(he(outputs, inputs, seed, layer), zeros((outputs, 1)))
    }

    /// Weights outputs × inputs, bias outputs × 1.
    pub fn with(weight: Array2<T>, bias: Array2<T>) -> Self {
        Dense { weight: Parameter::weight("weight", weight), bias: Parameter::bias("bias", bias) }
    }
}

impl<T: Scalar> Layer<T> for Dense<T> {
    fn n_outputs(&self) -> usize {
        self.weight.value.nrows()
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        for j in 0..y.ncols() {
            y.col_mut(j).copy_from_slice(self.bias.entries());
        }
        add_product_into(y, &self.weight.value, x);
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        product_into(&mut self.weight.gradient, dy, &x.t());
        sum_columns(dy, self.bias.gradient.col_mut(0));
        if let Some(dx) = dx {
            product_into(dx, &self.weight.value.t(), dy);
        }
    }

    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        vec![&mut self.weight, &mut self.bias]
    }
}

/// out = x 1.
pub fn sum_columns<T: Scalar>(x: &ArrayRef2<T>, out: &mut [T]) {
    out.fill(T::of(0.0));
    for j in 0..x.ncols() {
        add_scaled(out, T::of(1.0), x.col(j));
    }
}

/// The same of a batch in compressed sparse columns, inputs ascending: work in proportion to
/// what is stored.
/// The first layer of a network, so nobody asks for its dX.
pub struct SparseDense<T>(pub Dense<T>);

impl<T: Scalar> SparseDense<T> {
    pub fn forward(&self, x: Csc<'_, T>, y: &mut ArrayRef2<T>) {
        let (weight, bias) = (self.0.weight.entries(), self.0.bias.entries());
        let size = bias.len();
        let blocks: Vec<_> = y.axis_chunks_iter_mut(Axis(1), COLUMNS).collect();
        blocks.into_par_iter().enumerate().for_each(|(block, mut y)| {
            for j in 0..y.ncols() {
                let y = y.col_mut(j);
                y.copy_from_slice(bias);
                let (inputs, values) = x.column(block * COLUMNS + j);
                Arch::new().dispatch(|| {
                    for k in 0..inputs.len() {
                        let from = inputs[k] as usize * size;
                        add_scaled(y, values[k], &weight[from..from + size]);
                    }
                });
            }
        });
    }

    pub fn backward(&mut self, x: Csc<'_, T>, dy: &ArrayRef2<T>) {
        let size = dy.nrows();
        let gradient = self.0.weight.gradient.as_slice_memory_order_mut();
        let blocks = gradient.expect("gradients are contiguous").par_chunks_mut(INPUTS * size);
        blocks.enumerate().for_each(|(block, gradient)| {
            gradient.fill(T::of(0.0));
            let (first, last) = ((block * INPUTS) as i32, ((block + 1) * INPUTS) as i32);
            for j in 0..dy.ncols() {
                let (inputs, values) = x.column(j);
                let dy = dy.col(j);
                let at = inputs.partition_point(|&input| input < first);
                let end = inputs.partition_point(|&input| input < last);
                Arch::new().dispatch(|| {
                    for k in at..end {
                        let to = (inputs[k] - first) as usize * size;
                        add_scaled(&mut gradient[to..to + size], values[k], dy);
                    }
                });
            }
        });
        sum_columns(dy, self.0.bias.gradient.col_mut(0));
    }

    pub fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        self.0.parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::with_threads;
    use crate::matrix::{from_fn, CscBuf};
    use crate::networks::differences::check_layer;

    #[test]
    fn gradients_are_differences() {
        let x = from_fn((5, 7), |i, j| ((i * 3 + j * 5) as f64 * 0.7).sin());
        check_layer(&mut Dense::new(5, 4, 1, 0), &x, 1e-7);
    }

    #[test]
    fn sparse_and_dense_batches_have_the_same_answers() {
        let x = from_fn((40, 21), |i, j| {
            if (i * 5 + j * 3) % 4 == 0 {
                (1 + (i + j) % 5) as f32
            } else {
                0.0
            }
        });
        let mut stored = CscBuf::new(40);
        for j in 0..21 {
            let entries = x.col(j).iter().copied().enumerate().filter(|(_, v)| *v != 0.0);
            stored.push_column(entries).unwrap();
        }
        let run = |threads| {
            with_threads(threads, || {
                let mut sparse = SparseDense(Dense::<f32>::new(40, 100, 3, 0));
                let mut y = zeros((100, 21));
                sparse.forward(stored.view(), &mut y);
                sparse.backward(stored.view(), &y);
                (y, sparse.0.weight.gradient, sparse.0.bias.gradient)
            })
            .unwrap()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
        let mut dense = Dense::<f32>::new(40, 100, 3, 0);
        let mut y = zeros((100, 21));
        dense.forward(&x, &mut y, &Pass::PREDICTION);
        dense.backward(&x, &one.0, &one.0, None);
        let near = |a: &Array2<f32>, b: &Array2<f32>| {
            // sums of 40 terms of size 5, rounded to 2^-24 each
            a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-6 * a.abs().max(10.0))
        };
        assert!(near(&one.0, &y));
        assert!(near(&one.1, &dense.weight.gradient) && near(&one.2, &dense.bias.gradient));
    }

    #[test]
    fn a_batch_is_its_columns() {
        let x = from_fn((30, 9), |i, j| ((i + 2 * j) as f64).cos());
        let mut dense = Dense::<f64>::new(30, 20, 3, 0);
        let mut whole = zeros((20, 9));
        dense.forward(&x, &mut whole, &Pass::PREDICTION);
        for j in 0..9 {
            let mut one = zeros((20, 1));
            dense.forward(&x.slice(ndarray::s![.., j..j + 1]), &mut one, &Pass::PREDICTION);
            assert!(one.col(0).iter().zip(whole.col(j)).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }
}
