//! Layers on signals along a line: convolution, transposed convolution, pooling, and
//! normalisation per channel.
//!
//! A sample is channels × positions, the positions of a channel lying together: the feature
//! of channel c and position p is c · positions + p.

use super::init::he;
use super::layer::{Layer, Parameter, Pass};
use super::normalise::BatchNorm;
use super::tensor::{first, first_mut, reserve, Scalar};
use crate::matrix::linalg::{add_product, multiply};
use crate::matrix::{from_columns, from_columns_mut, zeros, Array2, ArrayRef2, Columns};
use rayon::prelude::*;

/// Samples whose gradients of weights are summed together.  Fixed: the bits do not depend on
/// the number of threads.
const SAMPLES: usize = 8;
/// Width of the kernel.
const KERNEL: usize = 3;

fn entries<T>(x: &mut ArrayRef2<T>) -> Vec<&mut [T]> {
    let (rows, n) = x.dim();
    let mut left = x.as_slice_memory_order_mut().expect("buffers are contiguous");
    let mut out = Vec::with_capacity(n);
    for _ in 0..n {
        let (column, rest) = std::mem::take(&mut left).split_at_mut(rows);
        out.push(column);
        left = rest;
    }
    out
}

/// The sum over samples of what each adds to a matrix: within blocks of samples, then over
/// the blocks in their order.
fn summed<T: Scalar>(
    samples: usize,
    out: &mut Array2<T>,
    add: impl Fn(usize, &mut Array2<T>, &mut Array2<T>) + Sync,
) {
    let shape = out.dim();
    let firsts: Vec<usize> = (0..samples).step_by(SAMPLES).collect();
    let parts: Vec<Array2<T>> = firsts
        .into_par_iter()
        .map(|first| {
            let (mut sum, mut room) = (zeros(shape), zeros((0, 0)));
            (first..(first + SAMPLES).min(samples)).for_each(|j| add(j, &mut sum, &mut room));
            sum
        })
        .collect();
    out.fill(T::of(0.0));
    parts.iter().for_each(|part| out.zip_mut_with(part, |out, v| *out += *v));
}

/// Sums per channel over positions and samples.
fn sum_channels<T: Scalar>(dy: &ArrayRef2<T>, positions: usize, out: &mut [T]) {
    for (c, out) in out.iter_mut().enumerate() {
        let at = c * positions..(c + 1) * positions;
        let sums = (0..dy.ncols()).map(|j| super::elementwise::sum(&dy.col(j)[at.clone()]));
        *out = T::of(sums.sum());
    }
}

/// y_c(p) = b_c + Σ w_c,d,k x_d(p + k − 1), zeros beyond the ends.
pub struct Convolve<T> {
    positions: usize,
    channels: (usize, usize),
    /// Channels out × (kernel · channels in).
    weight: Parameter<T>,
    bias: Parameter<T>,
}

impl<T: Scalar> Convolve<T> {
    pub fn new(positions: usize, inputs: usize, outputs: usize, seed: u64, layer: usize) -> Self {
        Convolve {
            positions,
            channels: (inputs, outputs),
            weight: Parameter::weight("weight", he(outputs, KERNEL * inputs, seed, layer)),
            bias: Parameter::bias("bias", zeros((outputs, 1))),
        }
    }

    /// Positions × (kernel · channels): each channel moved by one, as it is, moved by one.
    fn neighbours(&self, x: &[T], out: &mut Array2<T>) {
        let p = self.positions;
        reserve(out, p, KERNEL * self.channels.0);
        for d in 0..self.channels.0 {
            let x = &x[d * p..(d + 1) * p];
            let before = out.col_mut(KERNEL * d);
            before[0] = T::of(0.0);
            before[1..].copy_from_slice(&x[..p - 1]);
            out.col_mut(KERNEL * d + 1).copy_from_slice(x);
            let after = out.col_mut(KERNEL * d + 2);
            after[..p - 1].copy_from_slice(&x[1..]);
            after[p - 1] = T::of(0.0);
        }
    }
}

impl<T: Scalar> Layer<T> for Convolve<T> {
    fn n_outputs(&self) -> usize {
        self.positions * self.channels.1
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        let (p, outputs) = (self.positions, self.channels.1);
        let this = &*self;
        let columns: Vec<_> = entries(y).into_iter().enumerate().collect();
        columns.into_par_iter().for_each_init(
            || zeros((0, 0)),
            |room, (j, y)| {
                this.neighbours(x.col(j), room);
                let biases = this.bias.entries();
                y.chunks_exact_mut(p).zip(biases).for_each(|(y, b)| y.fill(*b));
                let mut y = from_columns_mut(y, (p, outputs));
                add_product(&mut y, T::of(1.0), room, &this.weight.value.t());
            },
        );
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let (p, (inputs, outputs)) = (self.positions, self.channels);
        let mut gradient = std::mem::replace(&mut self.weight.gradient, zeros((0, 0)));
        summed(x.ncols(), &mut gradient, |j, sum, room| {
            self.neighbours(x.col(j), room);
            add_product(sum, T::of(1.0), &from_columns(dy.col(j), (p, outputs)).t(), room);
        });
        self.weight.gradient = gradient;
        sum_channels(dy, p, self.bias.gradient.col_mut(0));
        let Some(dx) = dx else { return };
        let weight = &self.weight.value;
        let columns: Vec<_> = entries(dx).into_iter().enumerate().collect();
        columns.into_par_iter().for_each_init(
            || zeros((p, KERNEL * inputs)),
            |room: &mut Array2<T>, (j, dx)| {
                multiply(room, &from_columns(dy.col(j), (p, outputs)), weight);
                for (d, dx) in dx.chunks_exact_mut(p).enumerate() {
                    dx.copy_from_slice(room.col(KERNEL * d + 1));
                    let before = &room.col(KERNEL * d)[1..];
                    dx[..p - 1].iter_mut().zip(before).for_each(|(dx, v)| *dx += *v);
                    let after = &room.col(KERNEL * d + 2)[..p - 1];
                    dx[1..].iter_mut().zip(after).for_each(|(dx, v)| *dx += *v);
                }
            },
        );
    }

    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        vec![&mut self.weight, &mut self.bias]
    }
}

/// Twice the positions: y_c(2p + k) = b_c + Σ w_c,d,k x_d(p), k = 0, 1.
pub struct Widen<T> {
    positions: usize,
    channels: (usize, usize),
    /// Channels in × (2 · channels out): of each channel out both k.
    weight: Parameter<T>,
    bias: Parameter<T>,
}

impl<T: Scalar> Widen<T> {
    /// `positions` of the input.
    pub fn new(positions: usize, inputs: usize, outputs: usize, seed: u64, layer: usize) -> Self {
        let weight: Array2<T> = he(2 * outputs, inputs, seed, layer);
        let turned = crate::matrix::from_fn((inputs, 2 * outputs), |i, j| weight[(j, i)]);
        Widen {
            positions,
            channels: (inputs, outputs),
            weight: Parameter::weight("weight", turned),
            bias: Parameter::bias("bias", zeros((outputs, 1))),
        }
    }

    /// dy of both k side by side, positions × (2 · channels out).
    fn apart(&self, dy: &[T], out: &mut Array2<T>) {
        let p = self.positions;
        reserve(out, p, 2 * self.channels.1);
        for (c, dy) in dy.chunks_exact(2 * p).enumerate() {
            for k in 0..2 {
                let to = out.col_mut(2 * c + k);
                to.iter_mut().zip(dy[k..].iter().step_by(2)).for_each(|(to, v)| *to = *v);
            }
        }
    }
}

impl<T: Scalar> Layer<T> for Widen<T> {
    fn n_outputs(&self) -> usize {
        2 * self.positions * self.channels.1
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        let (p, (inputs, outputs)) = (self.positions, self.channels);
        let (weight, bias) = (&self.weight.value, self.bias.entries());
        let columns: Vec<_> = entries(y).into_iter().enumerate().collect();
        columns.into_par_iter().for_each_init(
            || zeros((p, 2 * outputs)),
            |room: &mut Array2<T>, (j, y)| {
                multiply(room, &from_columns(x.col(j), (p, inputs)), weight);
                for (c, y) in y.chunks_exact_mut(2 * p).enumerate() {
                    for k in 0..2 {
                        let from = room.col(2 * c + k);
                        let to = y[k..].iter_mut().step_by(2);
                        to.zip(from).for_each(|(y, v)| *y = *v + bias[c]);
                    }
                }
            },
        );
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let (p, (inputs, _)) = (self.positions, self.channels);
        let mut gradient = std::mem::replace(&mut self.weight.gradient, zeros((0, 0)));
        summed(x.ncols(), &mut gradient, |j, sum, room| {
            self.apart(dy.col(j), room);
            add_product(sum, T::of(1.0), &from_columns(x.col(j), (p, inputs)).t(), room);
        });
        self.weight.gradient = gradient;
        sum_channels(dy, 2 * p, self.bias.gradient.col_mut(0));
        let Some(dx) = dx else { return };
        let this = &*self;
        let columns: Vec<_> = entries(dx).into_iter().enumerate().collect();
        columns.into_par_iter().for_each_init(
            || zeros((0, 0)),
            |room, (j, dx)| {
                this.apart(dy.col(j), room);
                multiply(&mut from_columns_mut(dx, (p, inputs)), room, &this.weight.value.t());
            },
        );
    }

    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        vec![&mut self.weight, &mut self.bias]
    }
}

/// The larger of two neighbours, of which half of the positions are left.
pub struct Pool {
    size: usize,
}

impl Pool {
    /// `size` of the input, channels × positions, an even number of them.
    pub fn new(size: usize) -> Self {
        Pool { size }
    }
}

impl<T: Scalar> Layer<T> for Pool {
    fn n_outputs(&self) -> usize {
        self.size / 2
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        for j in 0..x.ncols() {
            let pairs = x.col(j).chunks_exact(2);
            y.col_mut(j).iter_mut().zip(pairs).for_each(|(y, x)| *y = Scalar::max(x[0], x[1]));
        }
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let Some(dx) = dx else { return };
        let zero = T::of(0.0);
        for j in 0..x.ncols() {
            let pairs = x.col(j).chunks_exact(2).zip(dx.col_mut(j).chunks_exact_mut(2));
            for ((x, dx), dy) in pairs.zip(dy.col(j)) {
                // of equals the first
                let left = x[0] >= x[1];
                dx[0] = if left { *dy } else { zero };
                dx[1] = if left { zero } else { *dy };
            }
        }
    }
}

/// Batch norm with moments per channel, over positions and samples.
pub struct ChannelNorm<T> {
    positions: usize,
    norm: BatchNorm<T>,
    /// Channels × (positions · samples).
    x: Array2<T>,
    y: Array2<T>,
}

impl<T: Scalar> ChannelNorm<T> {
    pub fn new(positions: usize, channels: usize) -> Self {
        let none = || zeros((channels, 0));
        ChannelNorm { positions, norm: BatchNorm::new(channels), x: none(), y: none() }
    }

    fn channels(&self) -> usize {
        self.norm.n_outputs()
    }
}

fn by_channel<T: Scalar>(from: &ArrayRef2<T>, positions: usize, to: &mut Array2<T>) {
    let channels = from.nrows() / positions;
    reserve(to, channels, positions * from.ncols());
    for j in 0..from.ncols() {
        let column = from.col(j);
        for p in 0..positions {
            let to = to.col_mut(j * positions + p);
            (0..channels).for_each(|c| to[c] = column[c * positions + p]);
        }
    }
}

fn by_position<T: Scalar>(from: &Array2<T>, positions: usize, to: &mut ArrayRef2<T>) {
    let channels = from.nrows();
    for j in 0..to.ncols() {
        let column = to.col_mut(j);
        for p in 0..positions {
            let from = from.col(j * positions + p);
            (0..channels).for_each(|c| column[c * positions + p] = from[c]);
        }
    }
}

impl<T: Scalar> Layer<T> for ChannelNorm<T> {
    fn n_outputs(&self) -> usize {
        self.positions * self.channels()
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, pass: &Pass) {
        let n = self.positions * x.ncols();
        by_channel(x, self.positions, &mut self.x);
        reserve(&mut self.y, self.norm.n_outputs(), n);
        self.norm.forward(&first(&self.x, n), &mut first_mut(&mut self.y, n), pass);
        by_position(&self.y, self.positions, y);
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        _: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let n = self.positions * x.ncols();
        // the norm keeps what it needs of x; its room takes dy, and that of y takes dx
        by_channel(dy, self.positions, &mut self.x);
        let slope = first(&self.x, n);
        let Some(dx) = dx else {
            return self.norm.backward(&slope, &slope, &slope, None);
        };
        self.norm.backward(&slope, &slope, &slope, Some(&mut first_mut(&mut self.y, n)));
        by_position(&self.y, self.positions, dx);
    }

    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        self.norm.parameters()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::with_threads;
    use crate::matrix::from_fn;
    use crate::networks::differences::{check_layer, TRAINING};

    fn wave(rows: usize, n: usize) -> Array2<f64> {
        from_fn((rows, n), |i, j| ((i * 3 + j * 5) as f64 * 0.7).sin() + 0.1 * (i % 3) as f64)
    }

    #[test]
    fn gradients_are_differences() {
        check_layer(&mut Convolve::new(6, 3, 2, 1, 0), &wave(18, 10), 1e-7);
        check_layer(&mut Widen::new(4, 3, 2, 1, 0), &wave(12, 10), 1e-7);
        check_layer(&mut ChannelNorm::new(4, 3), &wave(12, 5), 1e-6);
        // no two neighbours within 0.01 of each other, where the larger one changes
        let x = wave(12, 5);
        for j in 0..5 {
            assert!(x.col(j).chunks(2).all(|pair| (pair[0] - pair[1]).abs() > 0.01));
        }
        check_layer(&mut Pool::new(12), &x, 1e-8);
    }

    #[test]
    fn a_convolution_is_its_sum() {
        let x = wave(10, 2);
        let mut layer = Convolve::<f64>::new(5, 2, 3, 4, 0);
        layer.bias.value.fill(0.3);
        let mut y = zeros((15, 2));
        layer.forward(&x, &mut y, &TRAINING);
        for (j, c, p) in [(0, 0, 0), (1, 2, 2), (0, 1, 4)] {
            let mut sum = 0.3;
            for d in 0..2 {
                for k in 0..3 {
                    let at = p as i32 + k as i32 - 1;
                    if (0..5).contains(&at) {
                        sum += layer.weight.value[(c, 3 * d + k)] * x[(d * 5 + at as usize, j)];
                    }
                }
            }
            assert!((y[(c * 5 + p, j)] - sum).abs() < 1e-12);
        }
    }

    #[test]
    fn widening_is_the_transpose_of_its_gradient() {
        // <W x, z> = <x, Wᵀ z> without bias
        let (x, z) = (wave(12, 3), wave(16, 3).mapv(|v| v * v));
        let mut layer = Widen::<f64>::new(4, 3, 2, 4, 0);
        let (mut y, mut dx) = (zeros((16, 3)), zeros((12, 3)));
        layer.forward(&x, &mut y, &TRAINING);
        layer.backward(&x, &y, &z, Some(&mut dx));
        assert!(((&y * &z).sum() - (&x * &dx).sum()).abs() < 1e-10);
    }

    #[test]
    fn a_channel_has_mean_zero_over_positions_and_samples() {
        let mut layer = ChannelNorm::<f64>::new(4, 3);
        let mut y = zeros((12, 6));
        layer.forward(&wave(12, 6), &mut y, &TRAINING);
        for c in 0..3 {
            let own = y.slice(ndarray::s![4 * c..4 * (c + 1), ..]);
            assert!(own.sum().abs() < 1e-10);
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let x = from_fn((512, 50), |i, j| ((i * 3 + j * 5) as f32 * 0.7).sin());
        let run = |threads| {
            with_threads(threads, || {
                let mut layer = Convolve::<f32>::new(64, 8, 8, 1, 0);
                let (mut y, mut dx) = (zeros((512, 50)), zeros((512, 50)));
                layer.forward(&x, &mut y, &TRAINING);
                layer.backward(&x, &y, &x, Some(&mut dx));
                (y, dx, layer.weight.gradient, layer.bias.gradient)
            })
            .unwrap()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}
