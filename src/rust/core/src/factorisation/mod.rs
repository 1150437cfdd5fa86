//! Non-negative matrix factorisation X ≈ WH: what is read off its results.

pub mod coefficients;
pub mod consensus;
pub mod matching;
