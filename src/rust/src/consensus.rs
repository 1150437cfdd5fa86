//! Agreement between runs of a factorisation.

use crate::bridge::{guard, supervise};
use extendr_api::prelude::*;
use unalloy_core::factorisation::choose::consensus::Labels;

/// 1 - consensus below the diagonal, as `dist` holds it, of `labels` (samples ×
/// runs).
/// @noRd
#[extendr]
fn rs_consensus_distances(given: List) -> Robj {
    guard(&given, |given| {
        let (labels, n_samples) = given.integer_matrix("labels")?;
        let (labels, threads) = (Labels::new(labels, n_samples)?, given.count("threads")?);
        Ok(supervise(&given, |monitor| labels.distances(threads, monitor))?.into())
    })
}

/// Sums of the consensus and of its square over all ordered pairs.
/// @noRd
#[extendr]
fn rs_consensus_moments(given: List) -> Robj {
    guard(&given, |given| {
        let (labels, n_samples) = given.integer_matrix("labels")?;
        let (labels, threads) = (Labels::new(labels, n_samples)?, given.count("threads")?);
        let (first, second) = supervise(&given, |monitor| labels.moments(threads, monitor))?;
        Ok(vec![first, second].into())
    })
}

extendr_module! {
    mod consensus;
    fn rs_consensus_distances;
    fn rs_consensus_moments;
}
