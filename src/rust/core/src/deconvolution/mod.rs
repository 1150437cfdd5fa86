//! Poisson deconvolution of bulk counts into the sources that made them.
//!
//! [`Model`] holds what all samples share, [`fit`] finds the optimum of every
//! sample with one of three solvers that minimise the same objective, and
//! [`inference`] says how sure the answer is.

pub mod adam;
pub mod certificate;
pub mod diagnosis;
pub mod em;
pub mod evaluate;
pub mod expression;
mod fit;
pub mod inference;
pub mod likelihood;
pub mod metrics;
pub mod model;
pub mod newton;
pub mod platform;
pub mod presence;
pub mod program;
pub mod programs;
pub mod scoring;
pub mod solver;

pub use fit::{fit, Fit, Method, Params, SampleFit, SAMPLE_BLOCK};
pub use model::Model;
