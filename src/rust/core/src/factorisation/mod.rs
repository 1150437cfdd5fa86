//! Non-negative matrix factorisation X ≈ W H: features × samples into a basis
//! (features × rank) and coefficients (rank × samples).

pub mod alternate;
pub mod data;
pub mod fit;
pub mod frobenius;
pub mod init;
mod kernels;
pub mod kl;
mod line;
pub mod penalty;

pub use alternate::{Model, Outcome, Pair, Reason, Rules};
pub use data::{Data, Side, Values};
