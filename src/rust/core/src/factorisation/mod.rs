//! Non-negative matrix factorisation X ≈ W H.

pub mod matching;
pub mod variants;
pub mod weighted;
