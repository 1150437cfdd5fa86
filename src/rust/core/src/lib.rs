//! Numerics of the R package `unalloy`, without R: everything here runs under
//! plain `cargo test`.
//!
//! Matrices are column-major doubles, genes in rows.  Modules are listed from
//! the ground floor up; each uses only those before it.

pub mod error;
pub mod parallel;
pub mod rng;

pub mod bootstrap;
pub mod counts;
pub mod kernels;
pub mod nnls;
pub mod numbers;
pub mod spectrum;

pub mod deconvolution;
pub mod factorisation;
pub mod simulation;

pub mod sensing;

pub use error::CoreError;
pub use faer;
