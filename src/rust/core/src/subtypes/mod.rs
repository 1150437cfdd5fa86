//! Do samples fall into groups?  How well partitions repeat.

mod kmeans;
mod stability;

pub use stability::{split_stability, Stability};
