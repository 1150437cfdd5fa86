//! How many components, and which of them last: agreement of runs, consensus of
//! their spectra, and what a fit says of entries that it has not seen.

pub mod consensus;
pub mod consensus_programs;
pub mod estimate_rank;
pub mod held_out;
pub mod matching;
