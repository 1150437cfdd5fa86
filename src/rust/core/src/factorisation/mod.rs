//! Non-negative matrix factorisation X ≈ W H.

pub mod weighted;
