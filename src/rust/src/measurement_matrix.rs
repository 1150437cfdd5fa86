//! Measurement matrices, and readings with them.

use crate::bridge::{answer, guard, positions, supervise};
use extendr_api::prelude::*;
use unalloy_core::sensing::measurement::{coherence, measure, Design, Kind};

/// Weights (genes × measurements), or where two measurements are too much alike.
/// @noRd
#[extendr]
fn rs_measurement_matrix(given: List) -> Robj {
    guard(&given, |given| {
        let kind = match given.has("genes_per_pool") {
            true => Kind::Sparse { genes_per_pool: given.count("genes_per_pool")? },
            false => Kind::Gaussian,
        };
        let design = Design {
            measurements: given.count("measurements")?,
            genes: given.count("genes")?,
            kind,
            max_correlation: given.number("max_correlation")?,
            seed: given.seed("seed")?,
        };
        Ok(match supervise(&given, |monitor| design.draw(monitor))? {
            Ok(weights) => answer!(weights = weights),
            Err(crowded) => {
                answer!(row = positions([crowded.row])?, correlation = crowded.correlation)
            }
        })
    })
}

/// @noRd
#[extendr]
fn rs_coherence(given: List) -> Robj {
    guard(&given, |given| {
        let (weights, threads) = (given.array2("weights")?, given.count("threads")?);
        let found = supervise(&given, |monitor| coherence(weights, threads, monitor))?;
        Ok(answer!(rows = found.rows, genes = found.genes, genes_rms = found.genes_rms))
    })
}

/// Readings of `profiles`, whose row `r` is gene `gene_of_row[r]` of `weights`.
/// @noRd
#[extendr]
fn rs_measure(given: List) -> Robj {
    guard(&given, |given| {
        let weights = given.array2("weights")?;
        let profiles = given.counts("profiles", given.integers("gene_of_row")?, weights.nrows())?;
        let (snr, seed) = (given.number("snr")?, given.seed("seed")?);
        let threads = given.count("threads")?;
        let readings =
            supervise(&given, |monitor| measure(weights, &profiles, snr, seed, threads, monitor))?;
        Ok(readings.into())
    })
}

extendr_module! {
    mod measurement_matrix;
    fn rs_measurement_matrix;
    fn rs_coherence;
    fn rs_measure;
}
