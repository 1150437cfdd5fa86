//! Non-negative least squares on Gram matrices: min ½ xᵀGx − bᵀx over x ≥ 0.
//!
//! Three methods for three uses: the active set for one hard problem, block
//! principal pivoting for exact answers to many right-hand sides, coordinate
//! descent for cheap improvements of a good start, with upper bounds.  Projected
//! gradient steps are there to compare with.

mod active_set;
mod coordinate;
mod gradient;
mod pivoting;

pub use active_set::{cholesky, solve_nonnegative, solve_with_cholesky};
pub use coordinate::{descend, Descent, Sweeps};
pub use gradient::project;
pub use pivoting::Pivoting;
