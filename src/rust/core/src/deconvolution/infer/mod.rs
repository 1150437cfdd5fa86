//! What can be said of a fit beyond its exposures: how sure they are, which types
//! are there at all, and what the fit hangs on.

pub mod diagnosis;
mod limits;
pub mod presence;
pub mod residual_patterns;
pub mod sandwich;
