//! Autoencoders: a code of few numbers per cell, and the model of the cell's expression
//! given it (Kingma and Welling 2014; of counts Lopez et al. 2018).
//!
//! ```text
//! x → log1p → [Dense → batch norm → ReLU → dropout]ⁿ → Dense → m, v        q(z) = N(m, e^v)
//! z, batch → [Dense → batch norm → ReLU]ⁿ → Dense → η → softmax → μ = ℓ ρ   p(x | z)
//! ```
//!
//! What is made small is, per cell, the expected −ln p(x | z) under q plus KL(q ‖ N(0, I)),
//! the negative evidence lower bound.  Without the variational part v and the divergence
//! are left out and z = m.  For values instead of counts the means are η themselves, and
//! the errors Gaussian.

mod data;
mod evaluate;
mod learn;

pub use data::{Data, Scaling};
pub use evaluate::{Bounds, Rates};
pub use learn::Trainer;

use super::activation::{Activation, Shape};
use super::counts::{CountLoss, Family};
use super::dense::{Dense, SparseDense};
use super::layer::{within, Layer, Named, Parameter};
use super::normalise::BatchNorm;
use super::regularise::Dropout;
use super::sequential::Sequential;
use super::tensor::Scalar;
use crate::base::error::named;
use crate::matrix::{from_fn, zeros, Array2};
use crate::CoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likelihood {
    Counts(Family),
    Gaussian,
}

impl std::str::FromStr for Likelihood {
    type Err = CoreError;

    fn from_str(name: &str) -> Result<Self, CoreError> {
        match name {
            "gaussian" => Ok(Likelihood::Gaussian),
            other => other.parse().map(Likelihood::Counts),
        }
    }
}

/// Of which there is a dispersion, or a variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispersions {
    Common,
    Gene,
    GeneBatch,
}
named!(
    Dispersions, "dispersion",
    "common" => Dispersions::Common,
    "gene" => Dispersions::Gene,
    "gene-batch" => Dispersions::GeneBatch,
);

#[derive(Clone, Debug)]
pub struct Architecture {
    pub likelihood: Likelihood,
    pub genes: usize,
    /// 0 for none.
    pub batches: usize,
    /// Numbers of the code.
    pub latent: usize,
    /// Sizes of the encoder's hidden layers, from the input on; the decoder has the same
    /// in reverse.
    pub hidden: Vec<usize>,
    /// The decoder without hidden layers: loadings.
    pub linear_decoder: bool,
    pub variational: bool,
    /// Does the encoder see the batch?
    pub encode_batch: bool,
    pub dropout: f64,
    pub dispersions: Dispersions,
}

pub struct Autoencoder<T> {
    architecture: Architecture,
    input: SparseDense<T>,
    /// From the first hidden layer's signal to m and v; empty without hidden layers.
    encoder: Sequential<T>,
    /// Empty for a linear decoder.
    decoder: Sequential<T>,
    output: Dense<T>,
    /// Log odds of zeros on top.
    odds: Option<Dense<T>>,
    /// ln θ, or ln σ²: genes or 1 × batches or 1.
    spread: Parameter<T>,
    loss: CountLoss<T>,
    signals: Signals<T>,
}

/// Room for the signals between the parts, and their gradients.
struct Signals<T> {
    first: Array2<T>,
    noise: Array2<T>,
    /// Code and indicators of the batch.
    code: Array2<T>,
    output: Array2<T>,
    odds: Array2<T>,
    by_first: Array2<T>,
    by_codes: Array2<T>,
    by_code: Array2<T>,
    by_hidden: Array2<T>,
    by_hidden_too: Array2<T>,
    losses: Vec<f64>,
}

fn plain<T>(all: Vec<&mut Parameter<T>>) -> Vec<Named<'_, T>> {
    all.into_iter().map(|p| (p.name.to_string(), p)).collect()
}

/// Streams of the weights; dropout has those of its layer.
const DECODER_STREAM: usize = 1000;
const OUTPUT_STREAM: usize = 2000;
const ODDS_STREAM: usize = 2001;
/// Log odds of zeros on top that a training starts from.
const ODDS_START: f64 = -2.0;

impl<T: Scalar> Autoencoder<T> {
    pub fn new(architecture: &Architecture, seed: u64) -> Self {
        let a = architecture;
        let codes = if a.variational { 2 * a.latent } else { a.latent };
        let inputs = a.genes + if a.encode_batch { a.batches } else { 0 };
        let sizes: Vec<usize> = a.hidden.iter().copied().chain([codes]).collect();
        let mut encoder: Vec<Box<dyn Layer<T>>> = Vec::new();
        for (k, pair) in sizes.windows(2).enumerate() {
            encoder.push(Box::new(BatchNorm::new(pair[0])));
            encoder.push(Box::new(Activation::new(pair[0], Shape::Relu)));
            encoder.push(Box::new(Dropout::new(pair[0], a.dropout, k)));
            encoder.push(Box::new(Dense::new(pair[0], pair[1], seed, k + 1)));
        }
        let mut width = a.latent + a.batches;
        let mut decoder: Vec<Box<dyn Layer<T>>> = Vec::new();
        if !a.linear_decoder {
            for (k, &size) in a.hidden.iter().rev().enumerate() {
                decoder.push(Box::new(Dense::new(width, size, seed, DECODER_STREAM + k)));
                decoder.push(Box::new(BatchNorm::new(size)));
                decoder.push(Box::new(Activation::new(size, Shape::Relu)));
                width = size;
            }
        }
        // small weights: at the start every cell has the mean profile
        let small = |stream: usize, bias: f64| {
            let mut dense = Dense::new(width, a.genes, seed, stream);
            dense.weight.value.mapv_inplace(|w| w * T::of(0.1));
            dense.bias.value.fill(T::of(bias));
            dense
        };
        let rows = if a.dispersions == Dispersions::Common { 1 } else { a.genes };
        let columns = if a.dispersions == Dispersions::GeneBatch { a.batches.max(1) } else { 1 };
        let family = match a.likelihood {
            Likelihood::Counts(family) => family,
            Likelihood::Gaussian => Family::Poisson,
        };
        let zero_inflated = a.likelihood == Likelihood::Counts(Family::ZeroInflated);
        Autoencoder {
            input: SparseDense(Dense::new(inputs, sizes[0], seed, 0)),
            encoder: Sequential::new(encoder),
            decoder: Sequential::new(decoder),
            output: small(OUTPUT_STREAM, 0.0),
            odds: zero_inflated.then(|| small(ODDS_STREAM, ODDS_START)),
            spread: Parameter::bias("spread", zeros((rows, columns))),
            loss: CountLoss::new(family, a.genes),
            signals: Signals::new(),
            architecture: a.clone(),
        }
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Output biases and spreads from the moments of the genes over all cells: a mean
    /// profile, and what is spread about it.
    pub fn start_from(&mut self, data: &Data<'_>) {
        let moments = data.moments(&self.architecture);
        let bias = self.output.bias.value.iter_mut();
        bias.zip(&moments.bias).for_each(|(b, m)| *b = T::of(*m));
        let common = moments.spread.iter().sum::<f64>() / moments.spread.len() as f64;
        let rows = self.spread.value.nrows();
        for ((g, _), r) in self.spread.value.indexed_iter_mut() {
            *r = T::of(if rows == 1 { common } else { moments.spread[g] });
        }
    }

    pub fn parameters(&mut self) -> Vec<Named<'_, T>> {
        let mut out = within("input", plain(self.input.parameters()));
        out.extend(within("encoder", self.encoder.parameters()));
        out.extend(within("decoder", self.decoder.parameters()));
        out.extend(within("output", plain(self.output.parameters())));
        if let Some(odds) = &mut self.odds {
            out.extend(within("odds", plain(odds.parameters())));
        }
        if self.architecture.likelihood != Likelihood::Counts(Family::Poisson) {
            out.push(("spread".into(), &mut self.spread));
        }
        out
    }

    /// Loadings of a linear decoder: genes × codes, then batches.
    pub fn loadings(&self) -> Array2<f64> {
        let w = &self.output.weight.value;
        from_fn(w.dim(), |i, j| w[(i, j)].double())
    }
}

impl<T: Scalar> Signals<T> {
    fn new() -> Self {
        let none = || zeros((0, 0));
        Signals {
            first: none(),
            noise: none(),
            code: none(),
            output: none(),
            odds: none(),
            by_first: none(),
            by_codes: none(),
            by_code: none(),
            by_hidden: none(),
            by_hidden_too: none(),
            losses: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
