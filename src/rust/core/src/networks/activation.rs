//! Functions of single entries, and the softmax of a column.

use super::elementwise::{exponentials, sigmoid, softplus};
use super::layer::{Layer, Pass};
use super::tensor::Scalar;
use crate::matrix::{ArrayRef2, Columns};
use pulp::Arch;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// max(x, 0).
    Relu,
    /// x, e^x − 1 below 0.
    Elu,
    /// x σ(x).
    Silu,
    /// ln(1 + e^x).
    Softplus,
}

pub struct Activation {
    size: usize,
    shape: Shape,
}

impl Activation {
    pub fn new(size: usize, shape: Shape) -> Self {
        Activation { size, shape }
    }
}

#[inline(always)]
fn map<T: Scalar>(x: &[T], y: &mut [T], f: impl Fn(T) -> T) {
    for (x, y) in x.iter().zip(y) {
        *y = f(*x);
    }
}

/// dx = dy f'(x), the derivative from x and y.
#[inline(always)]
fn chain<T: Scalar>(x: &[T], y: &[T], dy: &[T], dx: &mut [T], f: impl Fn(T, T) -> T) {
    for (((x, y), dy), dx) in x.iter().zip(y).zip(dy).zip(dx) {
        *dx = *dy * f(*x, *y);
    }
}

impl<T: Scalar> Layer<T> for Activation {
    fn n_outputs(&self) -> usize {
        self.size
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        let (zero, one) = (T::of(0.0), T::of(1.0));
        Arch::new().dispatch(|| {
            for j in 0..x.ncols() {
                let (x, y) = (x.col(j), y.col_mut(j));
                match self.shape {
                    Shape::Relu => map(x, y, |x| Scalar::max(x, zero)),
                    Shape::Elu => map(x, y, |x| if x > zero { x } else { x.exp() - one }),
                    Shape::Silu => map(x, y, |x| x * sigmoid(x)),
                    Shape::Softplus => map(x, y, softplus),
                }
            }
        });
    }

    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        y: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let Some(dx) = dx else { return };
        let (zero, one) = (T::of(0.0), T::of(1.0));
        Arch::new().dispatch(|| {
            for j in 0..x.ncols() {
                let (x, y, dy, dx) = (x.col(j), y.col(j), dy.col(j), dx.col_mut(j));
                match self.shape {
                    Shape::Relu => chain(x, y, dy, dx, |x, _| if x > zero { one } else { zero }),
                    Shape::Elu => chain(x, y, dy, dx, |x, y| if x > zero { one } else { y + one }),
                    Shape::Silu => chain(x, y, dy, dx, |x, y| {
                        let s = sigmoid(x);
                        s + y * (one - s)
                    }),
                    Shape::Softplus => chain(x, y, dy, dx, |x, _| sigmoid(x)),
                }
            }
        });
    }
}

/// y = e^x / Σ e^x, a column at a time: shares that sum to 1.
pub struct Softmax {
    size: usize,
}

impl Softmax {
    pub fn new(size: usize) -> Self {
        Softmax { size }
    }
}

impl<T: Scalar> Layer<T> for Softmax {
    fn n_outputs(&self) -> usize {
        self.size
    }

    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, _: &Pass) {
        Arch::new().dispatch(|| {
            for j in 0..x.ncols() {
                let y = y.col_mut(j);
                y.copy_from_slice(x.col(j));
                let (total, _) = exponentials(y);
                let scale = T::of(1.0 / total);
                y.iter_mut().for_each(|v| *v *= scale);
            }
        });
    }

    fn backward(
        &mut self,
        _: &ArrayRef2<T>,
        y: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    ) {
        let Some(dx) = dx else { return };
        for j in 0..y.ncols() {
            let (y, dy) = (y.col(j), dy.col(j));
            let mean: f64 = y.iter().zip(dy).map(|(y, dy)| (*y * *dy).double()).sum();
            for ((dx, y), dy) in dx.col_mut(j).iter_mut().zip(y).zip(dy) {
                *dx = *y * (*dy - T::of(mean));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{from_fn, zeros};
    use crate::networks::differences::check_layer;

    #[test]
    fn gradients_are_differences() {
        // no entry within 0.01 of 0, where ReLU has no derivative
        let x = from_fn((6, 5), |i, j| {
            let v = ((i * 3 + j * 7) as f64 * 0.9).sin() * 3.0;
            v + 0.02 * v.signum()
        });
        for shape in [Shape::Relu, Shape::Elu, Shape::Silu, Shape::Softplus] {
            check_layer(&mut Activation::new(6, shape), &x, 1e-7);
        }
        check_layer(&mut Softmax::new(6), &x, 1e-7);
    }

    #[test]
    fn shares_sum_to_one_and_bear_large_logits() {
        let x = from_fn((4, 2), |i, j| if j == 0 { i as f32 * 200.0 } else { -3.0 });
        let mut y = zeros((4, 2));
        Softmax::new(4).forward(&x, &mut y, &Pass::PREDICTION);
        assert!((y.column(0).sum() - 1.0).abs() < 1e-6 && y[(3, 0)] == 1.0);
        assert!(y.column(1).iter().all(|v| (v - 0.25).abs() < 1e-7));
    }
}
