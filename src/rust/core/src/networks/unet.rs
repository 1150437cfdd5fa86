//! A U-Net on a line (Ronneberger, Fischer and Brox 2015), between dense layers from and to
//! genes: the expression branch of BLUE.
//!
//! ```text
//! genes → Dense → width positions → [double convolution → pool]ⁿ → double convolution
//!       → [widen, joined with what the pool was given → double convolution]ⁿ
//!       → convolution to a channel per type → Dense, the same for all types → genes
//! ```
//!
//! A double convolution is twice a convolution, batch norm per channel and ReLU.  The dense
//! layer in front takes up any order of the genes.

use super::activation::{Activation, Shape};
use super::convolve::{ChannelNorm, Convolve, Pool, Widen};
use super::dense::Dense;
use super::layer::{within, Layer, Named, Parameter, Pass};
use super::sequential::Sequential;
use super::tensor::{first, first_mut, reserve, Scalar};
use crate::base::error::check_value;
use crate::matrix::{
    from_columns, from_columns_mut, zeros, Array2, ArrayRef2, ArrayView2, Columns,
};
use crate::CoreError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Positions on the line.
    pub width: usize,
    /// Of the double convolutions, from the widest level down.
    pub channels: Vec<usize>,
}

pub struct UNet<T> {
    genes: usize,
    types: usize,
    width: usize,
    channels: Vec<usize>,
    front: Dense<T>,
    down: Vec<Sequential<T>>,
    pools: Vec<Pool>,
    widen: Vec<Widen<T>>,
    up: Vec<Sequential<T>>,
    head: Convolve<T>,
    back: Dense<T>,
    signals: Signals<T>,
}

/// Room between the parts.
struct Signals<T> {
    front: Array2<T>,
    pooled: Vec<Array2<T>>,
    widened: Array2<T>,
    joined: Vec<Array2<T>>,
    head: Array2<T>,
    out: Array2<T>,
    by_head: Array2<T>,
    /// By the output of the level that is worked on, and by its input.
    by_output: Array2<T>,
    by_input: Array2<T>,
    by_skips: Vec<Array2<T>>,
}

fn plain<'a, T>(part: &str, layer: Vec<&'a mut Parameter<T>>) -> Vec<Named<'a, T>> {
    layer.into_iter().map(|p| (format!("{part}.{}", p.name), p)).collect()
}

fn double<T: Scalar>(
    positions: usize,
    inputs: usize,
    outputs: usize,
    seed: u64,
    stream: usize,
) -> Sequential<T> {
    let size = positions * outputs;
    Sequential::new(vec![
        Box::new(Convolve::new(positions, inputs, outputs, seed, stream)),
        Box::new(ChannelNorm::new(positions, outputs)),
        Box::new(Activation::new(size, Shape::Relu)),
        Box::new(Convolve::new(positions, outputs, outputs, seed, stream + 1)),
        Box::new(ChannelNorm::new(positions, outputs)),
        Box::new(Activation::new(size, Shape::Relu)),
    ])
}

impl Size {
    /// # Errors
    /// `Argument` for a width that cannot be halved so often, or no channels.
    pub fn check(&self) -> Result<(), CoreError> {
        let levels = self.channels.len();
        check_value("channels", levels as f64, "1 to 16 sizes", |v| (1.0..=16.0).contains(&v))?;
        let least = self.channels.iter().copied().min().unwrap_or(0);
        check_value("channels", least as f64, "at least 1", |v| v >= 1.0)?;
        let part = 1usize << (levels - 1);
        let halved = |v: f64| v >= 2.0 * part as f64 && (v as usize) % part == 0;
        check_value("width", self.width as f64, "a multiple of 2 for every level", halved)
    }
}

impl<T: Scalar> UNet<T> {
    /// `size` as [`Size::check`] allows it; `stream` is the first of the weights' streams.
    pub fn new(genes: usize, types: usize, size: &Size, seed: u64, stream: usize) -> Self {
        let Size { width, channels } = size.clone();
        let levels = channels.len();
        let at = |level: usize| width >> level;
        let down = (0..levels).map(|l| {
            let inputs = if l == 0 { 1 } else { channels[l - 1] };
            double(at(l), inputs, channels[l], seed, stream + 10 + 2 * l)
        });
        let up = (0..levels - 1)
            .map(|l| double(at(l), 2 * channels[l], channels[l], seed, stream + 100 + 2 * l));
        let widen = (0..levels - 1)
            .map(|l| Widen::new(at(l + 1), channels[l + 1], channels[l], seed, stream + 200 + l));
        let none = || zeros((0, 0));
        let many = || (0..levels).map(|_| none()).collect();
        let mut back = Dense::new(width, genes, seed, stream + 1);
        // at the start every type has its mean
        back.weight.value.mapv_inplace(|w| w * T::of(0.1));
        UNet {
            genes,
            types,
            width,
            front: Dense::new(genes, width, seed, stream),
            down: down.collect(),
            pools: (0..levels - 1).map(|l| Pool::new(at(l) * channels[l])).collect(),
            widen: widen.collect(),
            up: up.collect(),
            head: Convolve::new(width, channels[0], types, seed, stream + 2),
            back,
            signals: Signals {
                front: none(),
                pooled: many(),
                widened: none(),
                joined: many(),
                head: none(),
                out: none(),
                by_head: none(),
                by_output: none(),
                by_input: none(),
                by_skips: many(),
            },
            channels,
        }
    }

    /// (Genes of the first type, then of the second, ...) × samples; valid until the next pass.
    pub fn forward(&mut self, x: &ArrayRef2<T>, pass: &Pass) -> ArrayView2<'_, T> {
        let (n, s) = (x.ncols(), &mut self.signals);
        let levels = self.down.len();
        reserve(&mut s.front, self.width, n);
        self.front.forward(x, &mut first_mut(&mut s.front, n), pass);
        self.down[0].forward(&first(&s.front, n), pass);
        for l in 1..levels {
            let (above, below) = self.down.split_at_mut(l);
            let from = above[l - 1].output(n);
            reserve(&mut s.pooled[l], from.nrows() / 2, n);
            self.pools[l - 1].forward(&from, &mut first_mut(&mut s.pooled[l], n), pass);
            below[0].forward(&first(&s.pooled[l], n), pass);
        }
        for l in (0..levels - 1).rev() {
            let (this, below) = self.up.split_at_mut(l + 1);
            let from = match below.first() {
                Some(below) => below.output(n),
                None => self.down[levels - 1].output(n),
            };
            let skip = self.down[l].output(n);
            let rows = skip.nrows();
            reserve(&mut s.widened, rows, n);
            self.widen[l].forward(&from, &mut first_mut(&mut s.widened, n), pass);
            reserve(&mut s.joined[l], 2 * rows, n);
            for j in 0..n {
                let to = s.joined[l].col_mut(j);
                to[..rows].copy_from_slice(skip.col(j));
                to[rows..].copy_from_slice(s.widened.col(j));
            }
            this[l].forward(&first(&s.joined[l], n), pass);
        }
        let last = match self.up.first() {
            Some(up) => up.output(n),
            None => self.down[0].output(n),
        };
        reserve(&mut s.head, self.width * self.types, n);
        self.head.forward(&last, &mut first_mut(&mut s.head, n), pass);
        reserve(&mut s.out, self.genes * self.types, n);
        // the channels of all samples side by side
        let (width, genes, lines) = (self.width, self.genes, self.types * n);
        let from = &s.head.as_slice_memory_order().expect("contiguous")[..width * lines];
        let to = &mut s.out.as_slice_memory_order_mut().expect("contiguous")[..genes * lines];
        let mut to = from_columns_mut(to, (genes, lines));
        self.back.forward(&from_columns(from, (width, lines)), &mut to, pass);
        first(&s.out, n)
    }

    /// The output of the last pass, of n samples.
    pub fn output(&self, n: usize) -> ArrayView2<'_, T> {
        first(&self.signals.out, n)
    }

    /// The gradients by the parameters, for the input of the last pass and the gradient by its
    /// output.
    pub fn backward(&mut self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>) {
        let (n, s) = (x.ncols(), &mut self.signals);
        let levels = self.down.len();
        let (width, genes, lines) = (self.width, self.genes, self.types * n);
        reserve(&mut s.by_head, width * self.types, n);
        let from = &s.head.as_slice_memory_order().expect("contiguous")[..width * lines];
        let to = &mut s.by_head.as_slice_memory_order_mut().expect("contiguous")[..width * lines];
        let dy = dy.t();
        let dy = dy.as_slice().expect("gradients are contiguous");
        let dy = from_columns(dy, (genes, lines));
        let mut by = from_columns_mut(to, (width, lines));
        self.back.backward(&from_columns(from, (width, lines)), &dy, &dy, Some(&mut by));
        let last = match self.up.first() {
            Some(up) => up.output(n),
            None => self.down[0].output(n),
        };
        reserve(&mut s.by_output, last.nrows(), n);
        let (own, by) = (first(&s.head, n), first(&s.by_head, n));
        self.head.backward(&last, &own, &by, Some(&mut first_mut(&mut s.by_output, n)));
        for l in 0..levels - 1 {
            let joined = first(&s.joined[l], n);
            reserve(&mut s.by_input, joined.nrows(), n);
            let by = first(&s.by_output, n);
            self.up[l].backward(&joined, &by, Some(&mut first_mut(&mut s.by_input, n)));
            let rows = joined.nrows() / 2;
            reserve(&mut s.by_skips[l], rows, n);
            reserve(&mut s.widened, rows, n);
            for j in 0..n {
                let from = s.by_input.col(j);
                s.by_skips[l].col_mut(j).copy_from_slice(&from[..rows]);
                s.widened.col_mut(j).copy_from_slice(&from[rows..]);
            }
            let from = match self.up.get(l + 1) {
                Some(below) => below.output(n),
                None => self.down[levels - 1].output(n),
            };
            reserve(&mut s.by_output, from.nrows(), n);
            let by = first(&s.widened, n);
            self.widen[l].backward(&from, &by, &by, Some(&mut first_mut(&mut s.by_output, n)));
        }
        for l in (0..levels).rev() {
            let (above, this) = self.down.split_at_mut(l);
            let input = if l == 0 { first(&s.front, n) } else { first(&s.pooled[l], n) };
            reserve(&mut s.by_input, input.nrows(), n);
            let by = first(&s.by_output, n);
            this[0].backward(&input, &by, Some(&mut first_mut(&mut s.by_input, n)));
            let Some(above) = above.last() else { break };
            let from = above.output(n);
            reserve(&mut s.by_output, from.nrows(), n);
            let by = first(&s.by_input, n);
            let mut to = first_mut(&mut s.by_output, n);
            self.pools[l - 1].backward(&from, &by, &by, Some(&mut to));
            to.zip_mut_with(&first(&s.by_skips[l - 1], n), |d, skip| *d += *skip);
        }
        let by = first(&s.by_input, n);
        self.front.backward(x, &by, &by, None);
    }

    pub fn parameters(&mut self) -> Vec<Named<'_, T>> {
        let mut out = plain("front", self.front.parameters());
        for (l, level) in self.down.iter_mut().enumerate() {
            out.extend(within(&format!("down{}", l + 1), level.parameters()));
        }
        for (l, widen) in self.widen.iter_mut().enumerate() {
            out.extend(plain(&format!("widen{}", l + 1), widen.parameters()));
        }
        for (l, level) in self.up.iter_mut().enumerate() {
            out.extend(within(&format!("up{}", l + 1), level.parameters()));
        }
        out.extend(plain("head", self.head.parameters()));
        out.extend(plain("back", self.back.parameters()));
        out
    }

    /// Levels of the line.
    pub fn n_levels(&self) -> usize {
        self.channels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::with_threads;
    use crate::matrix::from_fn;
    use crate::networks::differences::TRAINING;

    fn size(channels: Vec<usize>) -> Size {
        Size { width: 8, channels }
    }

    fn wave(rows: usize, n: usize) -> Array2<f64> {
        from_fn((rows, n), |i, j| ((i * 3 + j * 5) as f64 * 0.7).sin() + 0.2 * (i % 4) as f64)
    }

    fn loss(net: &mut UNet<f64>, x: &Array2<f64>, dy: &Array2<f64>) -> f64 {
        (&net.forward(x, &TRAINING) * dy).sum()
    }

    #[test]
    fn gradients_of_the_whole_net_are_differences() {
        for channels in [vec![2], vec![2, 3, 4]] {
            let mut net = UNet::<f64>::new(6, 2, &size(channels), 1, 0);
            let (x, dy) = (wave(6, 5), wave(12, 5));
            loss(&mut net, &x, &dy);
            net.backward(&x, &dy);
            let gradients: Vec<Array2<f64>> =
                net.parameters().iter().map(|(_, p)| p.gradient.clone()).collect();
            let (mut off, mut all) = (0, 0);
            for (k, gradient) in gradients.iter().enumerate() {
                for at in ndarray::indices(gradient.dim()) {
                    let mut moved = |step: f64| {
                        net.parameters()[k].1.value[at] += step;
                        let value = loss(&mut net, &x, &dy);
                        net.parameters()[k].1.value[at] -= step;
                        value
                    };
                    let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    let size = slope.abs().max(gradient[at].abs()).max(1.0);
                    all += 1;
                    off += usize::from((slope - gradient[at]).abs() > 1e-5 * size);
                }
            }
            // a weight of the front moves every signal: some pair of neighbours, or some signal
            // and 0, may lie within 1e-6 of each other, where there is no derivative
            assert!(off * 100 <= all, "{off} of {all}");
        }
    }

    #[test]
    fn the_order_of_the_genes_does_not_matter() {
        let x = wave(6, 4);
        let order = [3, 0, 5, 1, 4, 2];
        let mut net = UNet::<f64>::new(6, 2, &size(vec![2, 3]), 1, 0);
        let y = net.forward(&x, &Pass::PREDICTION).to_owned();
        // genes in another order, and the weights from and to them with them
        let (front, back) = (net.front.weight.value.clone(), net.back.weight.value.clone());
        net.front.weight.value = from_fn(front.dim(), |i, g| front[(i, order[g])]);
        net.back.weight.value = from_fn(back.dim(), |g, i| back[(order[g], i)]);
        let moved = from_fn((6, 4), |g, j| x[(order[g], j)]);
        let other = net.forward(&moved, &Pass::PREDICTION);
        for j in 0..4 {
            for k in 0..2 {
                for g in 0..6 {
                    let difference = other[(6 * k + g, j)] - y[(6 * k + order[g], j)];
                    assert!(difference.abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_threads_and_weights_come_back() {
        let x = from_fn((6, 20), |i, j| ((i * 3 + j * 5) as f32 * 0.7).sin());
        let run = |threads| {
            with_threads(threads, || {
                let mut net = UNet::<f32>::new(6, 2, &size(vec![2, 3]), 1, 0);
                let y = net.forward(&x, &TRAINING).to_owned();
                net.backward(&x, &y);
                let gradients: Vec<Array2<f32>> =
                    net.parameters().into_iter().map(|(_, p)| p.gradient.clone()).collect();
                (y, gradients)
            })
            .unwrap()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
        let (mut net, mut other) = (
            UNet::<f32>::new(6, 2, &size(vec![2, 3]), 1, 0),
            UNet::<f32>::new(6, 2, &size(vec![2, 3]), 2, 0),
        );
        let out = crate::networks::layer::arrays(net.parameters());
        let views: Vec<_> = out.iter().map(|(_, array)| array.view()).collect();
        crate::networks::layer::restore(other.parameters(), &views).unwrap();
        let y = net.forward(&x, &Pass::PREDICTION).to_owned();
        assert_eq!(other.forward(&x, &Pass::PREDICTION), y);
    }

    #[test]
    fn a_line_that_cannot_be_halved_is_refused() {
        assert_eq!(size(vec![2, 3, 4]).check(), Ok(()));
        assert!(size(vec![2; 4]).check().is_err());
        assert!(Size { width: 6, channels: vec![2, 3, 4] }.check().is_err());
        assert!(size(vec![]).check().is_err());
        assert!(size(vec![2, 0]).check().is_err());
    }
}
