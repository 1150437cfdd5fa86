//! Non-negative matrix factorisation X ≈ W H: features × samples into a basis
//! (features × rank) and coefficients (rank × samples).

pub mod alternate;
mod arrange;
pub mod data;
pub mod fit;
pub mod frobenius;
pub mod init;
mod kernels;
pub mod kl;
mod lanes;
mod line;
mod model;
pub mod multiplicative;
pub mod penalty;
mod program;
mod step_length;
pub mod weighted;
pub mod weights;

pub use alternate::{Model, Outcome, Pair, Reason, Rules};
pub use data::{Data, Side, Values};
