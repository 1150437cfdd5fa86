//! Numerics of the R package `unalloy`, without R: everything here runs under
//! plain `cargo test`.
//!
//! Matrices are column-major doubles, genes in rows.  Modules are listed from
//! the ground floor up; each uses only those before it.

pub mod base;
pub mod matrix;
pub mod nnls;

pub mod bootstrap;
pub mod deconvolution;
pub mod factorisation;
pub mod simulation;

pub mod latent;
pub mod sensing;

pub mod networks;
pub mod subtypes;

pub use base::error::CoreError;
