//! Non-negative matrix factorisation X ≈ W H: features × samples into a basis
//! (features × rank) and coefficients (rank × samples).

pub mod alternate;
mod arrange;
pub mod coefficients;
pub mod consensus;
pub mod data;
pub mod fit;
pub mod frobenius;
pub mod held_out;
pub mod init;
pub mod integrative;
pub mod kl;
mod lanes;
mod line;
pub mod matching;
mod model;
pub mod multiplicative;
pub mod penalty;
mod program;
pub mod programs;
pub mod rank;
mod step_length;
pub mod variants;
pub mod weighted;
pub mod weights;

pub use alternate::{Model, Outcome, Pair, Reason, Rules};
pub use data::{Data, Side, Values};
