//! Networks: layers, losses, an optimiser and a training loop, and what is built of them.
//!
//! From the ground up; each file uses only those before it.  [`tensor`] is the kind of
//! number (single precision; double for the tests of gradients) and products in fixed
//! blocks, [`elementwise`] the loops, [`layer`] what a layer is, [`init`] where weights
//! start; [`dense`], [`activation`], [`normalise`], [`regularise`] and [`convolve`] have layers,
//! [`sequential`] is a chain of them, [`unet`] a net with branches.  [`loss`] has losses of
//! values and shares, [`counts`] of counts; [`optimiser`] makes a step, [`train`] the passes.
//! [`autoencoder`] is the first network built of it; [`decoder`] takes readings of compressed
//! sensing to profiles, and [`deconvolver`] learns from [`mixtures`] of cells.
//!
//! # Building, training, predicting
//!
//! Tensors are features × samples: a batch is columns.
//!
//! ```text
//! let mut net = Sequential::new(vec![
//!     Box::new(Dense::new(genes, 256, seed, 0)),       // layer numbers name random streams
//!     Box::new(Activation::new(256, Shape::Relu)),
//!     Box::new(Dropout::new(256, 0.1, 2)),
//!     Box::new(Dense::new(256, types, seed, 3)),
//! ]);
//! let y = net.forward(&x, &Pass::PREDICTION);          // a view of the net's own buffer
//! ```
//!
//! Training asks a [`train::Learner`] for the loss and the gradients of a batch of items:
//! it calls `net.forward(&x, &step.pass())`, [`loss::Loss::slope`] for the loss and its
//! gradient by the output, `net.backward(&x, &dy, None)`, and hands out
//! `net.parameters()`.  [`train::train`] does the rest: order of items, schedule, clipping,
//! validation, early stopping, best weights, interruption and resumption.
//!
//! Weights go out as named arrays of doubles by [`layer::arrays`] and come back by
//! [`layer::restore`]: a network is its sizes and these arrays.
//!
//! # Same bits
//!
//! No sum crosses threads: products are cut into blocks of rows of the result, sums over
//! cells run over fixed blocks in their order, random numbers come from streams that are
//! named by step and layer.  Bits depend on the machine's vectors, not on the number of
//! threads.

pub mod tensor;

pub mod elementwise;

pub mod init;
pub mod layer;

pub mod activation;
pub mod convolve;
pub mod dense;
pub mod normalise;
pub mod regularise;
pub mod sequential;
pub mod unet;

pub mod counts;
pub mod loss;

pub mod optimiser;
pub mod train;

pub mod autoencoder;
pub mod decoder;

pub mod mixtures;

pub mod deconvolver;

#[cfg(test)]
mod differences;
