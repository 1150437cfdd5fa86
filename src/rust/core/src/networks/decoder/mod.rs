//! Decoders from readings to profiles that a network bends:
//!
//! ```text
//! x̂ = x̄ + B (y − ȳ) + s f(u),    u = P (y − ȳ)
//! ```
//!
//! B is ridge's ([`sensing::decoder`](crate::sensing::decoder)) and f a chain of dense
//! layers with ReLU and dropout between them.
//!
//! * [`Start::Ridge`]: P takes readings to coordinates in which those of training samples
//!   have the covariance I, shrunk by ridge's penalty.  The last layer starts at zero, so
//!   the answer starts at ridge's.  What f learns is what ridge leaves of a sample that it
//!   has not seen, r / (1 − h) with residual r and leverage h: ridge without the sample,
//!   in closed form.
//! * [`Start::Zero`]: B = 0 and P divides readings by their standard deviations.
//!
//! Noise of the readings is drawn anew at every step; targets follow it, as ridge's answer
//! does.  The weights of the pass with the least loss on held-out samples are kept, the
//! start being the first candidate.  Several members hold out other samples, and their
//! mean is the answer; what they leave of the samples that they did not see gives standard
//! errors.
//!
//! The input of f may be something else that is known of a sample ([`Inputs`]), such as
//! the profile that modules recover.

mod batches;
mod learn;
mod recover;
#[cfg(test)]
mod tests;

pub use learn::{learn, Resume, Unfinished};
pub use recover::{recover, Bend};

use super::activation::{Activation, Shape};
use super::dense::Dense;
use super::init::glorot;
use super::layer::Layer;
use super::loss::Loss;
use super::regularise::Dropout;
use super::sequential::Sequential;
use super::tensor::Scalar;
use super::train::{Epoch, Reason};
use crate::base::error::named;
use crate::matrix::{zeros, Array2, ArrayView2};
use crate::sensing::decoder::Learned;

/// What the network is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Ridge,
    /// The mean profile.
    Zero,
}
named!(Start, "start", "ridge" => Start::Ridge, "zero" => Start::Zero);

/// f: inputs → hidden layers → genes.
#[derive(Clone, Debug)]
pub struct Architecture {
    pub inputs: usize,
    pub hidden: Vec<usize>,
    pub genes: usize,
    pub dropout: f64,
    pub start: Start,
}

impl Architecture {
    /// Weights at their start; `seed` names them.
    pub fn network<T: Scalar>(&self, seed: u64) -> Sequential<T> {
        let mut layers: Vec<Box<dyn Layer<T>>> = Vec::new();
        let mut width = self.inputs;
        for &size in &self.hidden {
            let stream = layers.len();
            layers.push(Box::new(Dense::new(width, size, seed, stream)));
            layers.push(Box::new(Activation::new(size, Shape::Relu)));
            layers.push(Box::new(Dropout::new(size, self.dropout, stream + 2)));
            width = size;
        }
        let weight = match self.start {
            Start::Ridge => zeros((self.genes, width)),
            Start::Zero => glorot(self.genes, width, seed, layers.len()),
        };
        layers.push(Box::new(Dense::with(weight, zeros((self.genes, 1)))));
        Sequential::new(layers)
    }
}

/// What is known of training samples beside their profiles, where the input of the network
/// is not their readings.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Features × samples, of the size of 1.
    pub values: ArrayView2<'a, f64>,
    /// What was measured of the same samples, measurements × samples: ridge's part of the
    /// answer follows its noise.
    pub readings: ArrayView2<'a, f64>,
}

#[derive(Clone, Debug)]
pub struct Params {
    pub start: Start,
    /// `Squared` or `Correlation`.
    pub loss: Loss,
    pub hidden: Vec<usize>,
    pub dropout: f64,
    pub members: usize,
    /// Share of the samples that a member holds out.
    pub validation: f64,
    pub epochs: usize,
    pub batch_size: usize,
    pub patience: usize,
    pub learning_rate: f64,
    pub decay: f64,
    pub seed: u64,
    pub threads: usize,
}

/// A network that was trained.
#[derive(Clone)]
pub struct Member {
    pub weights: Vec<Array2<f64>>,
    /// Losses are mean squared errors per sample, summed over genes, or means of 1 − r.
    pub trace: Vec<Epoch>,
    /// Loss on the held-out samples before the first step.
    pub start: f64,
    /// The pass whose weights these are, from 1; 0 for the start.
    pub best: usize,
    pub reason: Reason,
    pub skipped: usize,
}

/// A decoder as it is learned.
pub struct Bent {
    pub ridge: Learned,
    pub architecture: Architecture,
    /// P, inputs × measurements; without rows where the input is not the readings.
    pub coordinates: Array2<f64>,
    /// s.
    pub scale: f64,
    /// Names of the weights.
    pub names: Vec<String>,
    pub members: Vec<Member>,
    /// Squared error per held-out sample, summed over genes.
    pub error: f64,
    /// Per gene.
    pub gene_error: Vec<f64>,
    pub error_variance: Vec<f64>,
    pub spread_weight: f64,
    /// Of a training that was interrupted: what it needs to go on.
    pub unfinished: Option<Unfinished>,
}
