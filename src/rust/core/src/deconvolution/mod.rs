//! Poisson deconvolution of bulk counts into the sources that made them.
//!
//! [`Model`] holds what all samples share, [`fit`] finds the optimum of every
//! sample with one of three solvers that minimise the same objective,
//! [`fit_platform()`] does so under errors of genes between platforms, and
//! [`infer`] says how sure the answer is.

pub mod evaluate;
pub mod expression;
pub mod extract_program;
mod fit_platform;
mod fit_poisson;
pub mod infer;
pub mod likelihood;
pub mod metrics;
pub mod model;
pub mod solve;

pub use fit_platform::{fit_platform, PlatformFit, PlatformParams, PlatformSample};
pub use fit_poisson::{fit, Fit, Method, Params, SampleFit};
pub use model::{expected_counts, Model};
