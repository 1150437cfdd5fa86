//! Consensus of the spectra of many factorisations.

use crate::bridge::{answer, guard, integers, supervise};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::factorisation::choose::consensus_programs::{
    cluster_spectra, program_spectra, Clustering,
};
use unalloy_core::factorisation::Data;

/// `program` counts from 1, with 0 for a spectrum that is left out.
/// @noRd
#[extendr]
fn rs_cluster_spectra(given: List) -> Robj {
    guard(&given, |given| {
        let (spectra, threads) = (given.array2("spectra")?, given.count("threads")?);
        let settings = Clustering {
            rank: given.count("rank")?,
            neighbours: given.count("neighbours")?,
            threshold: given.number("threshold")?,
            starts: 10,
            seed: given.seed("seed")?,
        };
        let found = supervise(&given, |monitor| {
            with_threads(threads, || cluster_spectra(spectra, &settings, monitor))?
        })?;
        Ok(answer!(
            density = found.density,
            program = integers(found.program.iter().map(|p| p.map_or(0, |p| p + 1)))?,
            silhouette = found.silhouette,
            medians = found.medians,
            cosines = found.cosines
        ))
    })
}

/// Levels and scores of the features of `x` in programs with a `usage` (programs ×
/// samples); `mean` and `sd` are those of the features.
/// @noRd
#[extendr]
fn rs_program_spectra(given: List) -> Robj {
    guard(&given, |given| {
        let (data, usage) = (Data::new(given.matrix("x")?)?, given.array2("usage")?);
        let (rank, usage) = (usage.nrows(), given.numbers("usage")?);
        let (mean, sd) = (given.numbers("mean")?, given.numbers("sd")?);
        let threads = given.count("threads")?;
        let found = supervise(&given, |monitor| {
            with_threads(threads, || program_spectra(&data, usage, rank, (mean, sd), monitor))?
        })?;
        Ok(answer!(levels = found.levels, scores = found.scores))
    })
}

extendr_module! {
    mod consensus_programs;
    fn rs_cluster_spectra;
    fn rs_program_spectra;
}
