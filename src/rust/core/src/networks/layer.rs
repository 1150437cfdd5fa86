//! What a layer is, and how its weights become plain arrays and come back.

use super::tensor::Scalar;
use crate::base::error::check_length;
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2, ArrayView2};
use crate::CoreError;

/// An array of weights and the gradient of the loss by it.
pub struct Parameter<T> {
    pub name: &'static str,
    pub value: Array2<T>,
    /// Of the shape of `value`; without columns for what is not trained, such as running
    /// means.
    pub gradient: Array2<T>,
    /// Is it shrunk by weight decay?
    pub decays: bool,
}

impl<T: Scalar> Parameter<T> {
    /// Weights that decay.
    pub fn weight(name: &'static str, value: Array2<T>) -> Self {
        Parameter { name, gradient: zeros(value.dim()), value, decays: true }
    }

    /// Biases, scales: trained, without decay.
    pub fn bias(name: &'static str, value: Array2<T>) -> Self {
        Parameter { name, gradient: zeros(value.dim()), value, decays: false }
    }

    /// Kept with the weights, but not trained.
    pub fn fixed(name: &'static str, value: Array2<T>) -> Self {
        Parameter { name, gradient: zeros((value.nrows(), 0)), value, decays: false }
    }

    pub fn is_trained(&self) -> bool {
        self.gradient.ncols() == self.value.ncols()
    }

    /// The values in their order in memory.
    pub fn entries(&self) -> &[T] {
        self.value.as_slice_memory_order().expect("parameters are contiguous")
    }

    /// The values to be changed, and the gradients.
    pub fn entries_mut(&mut self) -> (&mut [T], &[T]) {
        let values = self.value.as_slice_memory_order_mut().expect("parameters are contiguous");
        let slopes = self.gradient.as_slice_memory_order().expect("gradients are contiguous");
        (values, slopes)
    }
}

/// A parameter and its name in the network it belongs to.
pub type Named<'a, T> = (String, &'a mut Parameter<T>);

/// Named as a part of a larger network: "decoder.2.weight".
pub fn within<'a, T>(part: &str, all: Vec<Named<'a, T>>) -> Vec<Named<'a, T>> {
    all.into_iter().map(|(name, p)| (format!("{part}.{name}"), p)).collect()
}

/// What a pass through a network is for.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Training: dropout, and batch norm by the batch's own moments.
    pub training: bool,
    pub seed: u64,
    /// Of the training: names the random streams.
    pub step: usize,
}

impl Pass {
    pub const PREDICTION: Pass = Pass { training: false, seed: 0, step: 0 };
}

/// A function of a batch with weights of its own.  Tensors are features × samples.
pub trait Layer<T: Scalar>: Send {
    fn n_outputs(&self) -> usize;

    /// Writes y for x.
    fn forward(&mut self, x: &ArrayRef2<T>, y: &mut ArrayRef2<T>, pass: &Pass);

    /// For the same x and y as in the last `forward`, and the gradient of the loss by y:
    /// the gradients by the parameters, and by x where it is asked for.
    fn backward(
        &mut self,
        x: &ArrayRef2<T>,
        y: &ArrayRef2<T>,
        dy: &ArrayRef2<T>,
        dx: Option<&mut ArrayRef2<T>>,
    );

    /// In a fixed order.
    fn parameters(&mut self) -> Vec<&mut Parameter<T>> {
        Vec::new()
    }
}

/// Parameters by name, as doubles.
pub fn arrays<T: Scalar>(parameters: Vec<Named<'_, T>>) -> Vec<(String, Array2<f64>)> {
    let double = |p: &Parameter<T>| from_fn(p.value.dim(), |i, j| p.value[(i, j)].double());
    parameters.into_iter().map(|(name, parameter)| (name, double(parameter))).collect()
}

/// The inverse of [`arrays`], in the same order.
///
/// # Errors
/// `Shape` when there is another number of arrays, or one of another shape.
pub fn restore<T: Scalar>(
    parameters: Vec<Named<'_, T>>,
    arrays: &[ArrayView2<'_, f64>],
) -> Result<(), CoreError> {
    check_length("weights", parameters.len(), arrays.len())?;
    for ((_, parameter), array) in parameters.into_iter().zip(arrays) {
        check_length("rows of weights", parameter.value.nrows(), array.nrows())?;
        check_length("columns of weights", parameter.value.ncols(), array.ncols())?;
        parameter.value.zip_mut_with(array, |value, new| *value = T::of(*new));
    }
    Ok(())
}
