//! Inner loops, dispatched at run time to the widest vectors of the machine (a
//! shipped build targets baseline x86-64).
//!
//! Sums run over [`LANES`] lanes in a fixed order, so the bits do not depend on
//! the vector width.

mod elementary;
pub mod lines;
mod poisson;
pub mod vectors;

pub(crate) use elementary::{exp, ln};
pub use lines::fma;
pub use poisson::poisson_terms;

pub const LANES: usize = 8;
