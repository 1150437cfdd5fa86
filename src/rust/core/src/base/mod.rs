//! The ground floor: what every wing stands on and that knows of no matrix.

pub mod convergence;
pub mod error;
pub mod numbers;
pub mod parallel;
pub mod rng;
pub mod simd;
