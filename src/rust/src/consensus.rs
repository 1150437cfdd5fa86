//! Agreement between runs of a factorisation.

use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::factorisation::choose::consensus::Labels;

/// 1 - consensus below the diagonal, as `dist` holds it.
/// @noRd
#[extendr]
fn rs_consensus_distances(labels: RMatrix<i32>, threads: i32, progress: Function) -> Robj {
    guard(|| {
        let labels = Labels::new(labels.data(), labels.nrows())?;
        supervise(&progress, |monitor| labels.distances(threads.max(0) as usize, monitor))
    })
}

/// Sums of the consensus and of its square over all ordered pairs.
/// @noRd
#[extendr]
fn rs_consensus_moments(labels: RMatrix<i32>, threads: i32, progress: Function) -> Robj {
    guard(|| {
        let labels = Labels::new(labels.data(), labels.nrows())?;
        let (first, second) =
            supervise(&progress, |monitor| labels.moments(threads.max(0) as usize, monitor))?;
        Ok(vec![first, second])
    })
}

extendr_module! {
    mod consensus;
    fn rs_consensus_distances;
    fn rs_consensus_moments;
}
