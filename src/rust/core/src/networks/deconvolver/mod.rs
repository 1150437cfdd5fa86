//! Networks for bulk samples: which types are in them (Scaden: Menden et al. 2020), and what
//! each of them expresses (BLUE), learned from mixtures of single cells.
//!
//! ```text
//! CPM → ln(CPM + 10), standardised → [Dense → ReLU → dropout]ⁿ → Dense → softmax     shares
//!                                  → [Dense → ReLU → dropout]ⁿ → Dense               programs
//!                                  → U-Net                                          profiles
//! ```
//!
//! Shares are read from the first genes of the network, expression from all.  What is
//! predicted of expression is the deviation of log2(CPM + 20) of a type from its mean over
//! mixtures: as coefficients of fixed programs, an orthonormal basis per type, or gene by gene.

mod expression;
mod learn;

pub use expression::{Moments, Targets};
pub use learn::{validation_mixtures, Scaling, Trainer};

use super::activation::{Activation, Shape, Softmax};
use super::dense::Dense;
use super::layer::{within, Layer, Named, Pass};
use super::loss::Loss;
use super::regularise::Dropout;
use super::sequential::Sequential;
use super::tensor::{first, first_mut, reserve, Scalar};
use super::unet::{Size, UNet};
use crate::matrix::{zeros, Array2, ArrayRef2, ArrayView2};

#[derive(Clone, Debug)]
pub struct Architecture {
    pub genes: usize,
    /// The first so many genes are those that shares are read from.
    pub marks: usize,
    pub types: usize,
    /// Sizes of the hidden layers, from the input on.
    pub hidden: Vec<usize>,
    pub dropout: f64,
    /// Of shares.
    pub loss: Loss,
    pub expression: Expression,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    None,
    /// Of so many per type the coefficients.
    Programs(usize),
    UNet(Size),
}

impl Expression {
    /// Per type.
    pub fn programs(&self) -> usize {
        match self {
            Expression::Programs(n) => *n,
            Expression::None | Expression::UNet(_) => 0,
        }
    }
}

/// Streams of the weights of the second branch.
const EXPRESSION_STREAM: usize = 1000;

pub struct Deconvolver<T> {
    architecture: Architecture,
    /// To the logits of shares.
    shares: Sequential<T>,
    expression: Option<Branch<T>>,
    softmax: Softmax,
    /// Shares, and the gradient by them and by the logits.
    found: Array2<T>,
    by_shares: Array2<T>,
    by_logits: Array2<T>,
}

/// What reads expression.
enum Branch<T> {
    Programs(Sequential<T>),
    UNet(Box<UNet<T>>),
}

impl<T: Scalar> Branch<T> {
    fn new(architecture: &Architecture, seed: u64) -> Option<Self> {
        let a = architecture;
        match &a.expression {
            Expression::None => None,
            Expression::Programs(n) => {
                Some(Branch::Programs(chain(a.genes, n * a.types, a, seed, EXPRESSION_STREAM)))
            }
            Expression::UNet(size) => {
                let net = UNet::new(a.genes, a.types, size, seed, EXPRESSION_STREAM);
                Some(Branch::UNet(Box::new(net)))
            }
        }
    }

    /// (Rows of the first type, then of the second, ...) × samples.
    fn forward(&mut self, x: &ArrayRef2<T>, pass: &Pass) -> ArrayView2<'_, T> {
        match self {
            Branch::Programs(net) => net.forward(x, pass),
            Branch::UNet(net) => net.forward(x, pass),
        }
    }

    fn output(&self, n: usize) -> ArrayView2<'_, T> {
        match self {
            Branch::Programs(net) => net.output(n),
            Branch::UNet(net) => net.output(n),
        }
    }

    fn backward(&mut self, x: &ArrayRef2<T>, dy: &ArrayRef2<T>) {
        match self {
            Branch::Programs(net) => net.backward(x, dy, None),
            Branch::UNet(net) => net.backward(x, dy),
        }
    }

    fn parameters(&mut self) -> Vec<Named<'_, T>> {
        match self {
            Branch::Programs(net) => net.parameters(),
            Branch::UNet(net) => net.parameters(),
        }
    }
}

fn chain<T: Scalar>(
    inputs: usize,
    outputs: usize,
    architecture: &Architecture,
    seed: u64,
    first: usize,
) -> Sequential<T> {
    let mut layers: Vec<Box<dyn Layer<T>>> = Vec::new();
    let mut width = inputs;
    for (k, &size) in architecture.hidden.iter().enumerate() {
        layers.push(Box::new(Dense::new(width, size, seed, first + k)));
        layers.push(Box::new(Activation::new(size, Shape::Relu)));
        layers.push(Box::new(Dropout::new(size, architecture.dropout, first + k)));
        width = size;
    }
    layers.push(Box::new(Dense::new(width, outputs, seed, first + architecture.hidden.len())));
    Sequential::new(layers)
}

impl<T: Scalar> Deconvolver<T> {
    pub fn new(architecture: &Architecture, seed: u64) -> Self {
        let a = architecture;
        let none = || zeros((a.types, 0));
        Deconvolver {
            shares: chain(a.marks, a.types, a, seed, 0),
            expression: Branch::new(a, seed),
            softmax: Softmax::new(a.types),
            found: none(),
            by_shares: none(),
            by_logits: none(),
            architecture: a.clone(),
        }
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    pub fn parameters(&mut self) -> Vec<Named<'_, T>> {
        let mut out = within("shares", self.shares.parameters());
        if let Some(expression) = &mut self.expression {
            out.extend(within("expression", expression.parameters()));
        }
        out
    }

    /// Shares of a batch of standardised genes, types × samples.
    fn shares_of(&mut self, x: &ArrayRef2<T>, pass: &Pass) {
        let n = x.ncols();
        let logits = self.shares.forward(x, pass);
        reserve(&mut self.found, self.architecture.types, n);
        self.softmax.forward(&logits, &mut first_mut(&mut self.found, n), pass);
    }

    /// The loss of the shares of a batch, whose truth has columns that sum to 1, with the
    /// gradients of `weight` times it.
    fn learn_shares(
        &mut self,
        x: &ArrayRef2<T>,
        truth: &ArrayRef2<T>,
        pass: &Pass,
        weight: f64,
    ) -> f64 {
        let n = x.ncols();
        self.shares_of(x, pass);
        let types = self.architecture.types;
        reserve(&mut self.by_shares, types, n);
        reserve(&mut self.by_logits, types, n);
        let logits = self.shares.output(n);
        let mut by_logits = first_mut(&mut self.by_logits, n);
        let loss = match self.architecture.loss {
            Loss::CrossEntropy => Loss::CrossEntropy.slope(&logits, truth, &mut by_logits),
            loss => {
                let found = first(&self.found, n);
                let mut by_shares = first_mut(&mut self.by_shares, n);
                let value = loss.slope(&found, truth, &mut by_shares);
                self.softmax.backward(&logits, &found, &by_shares, Some(&mut by_logits));
                value
            }
        };
        by_logits.mapv_inplace(|v| v * T::of(weight));
        self.shares.backward(x, &by_logits, None);
        loss
    }

    /// The loss of the shares of a batch in prediction.
    fn value_of_shares(&mut self, x: &ArrayRef2<T>, truth: &ArrayRef2<T>) -> f64 {
        self.shares_of(x, &Pass::PREDICTION);
        let n = x.ncols();
        match self.architecture.loss {
            Loss::CrossEntropy => Loss::CrossEntropy.value(&self.shares.output(n), truth),
            loss => loss.value(&first(&self.found, n), truth),
        }
    }
}

#[cfg(test)]
mod tests;
