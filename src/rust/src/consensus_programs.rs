//! Consensus of the spectra of many factorisations.

use crate::arguments::{r_array2, values, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::factorisation::choose::consensus_programs::{
    cluster_spectra, program_spectra, Clustering,
};
use unalloy_core::factorisation::Data;
use unalloy_core::parallel::with_threads;

/// @noRd
#[extendr]
fn rs_cluster_spectra(
    spectra: RMatrix<f64>,
    rank: i32,
    neighbours: i32,
    threshold: f64,
    seed: f64,
    threads: i32,
) -> Robj {
    guard(|| {
        let spectra = view(&spectra);
        let settings = Clustering {
            rank: rank.max(0) as usize,
            neighbours: neighbours.max(0) as usize,
            threshold,
            starts: 10,
            seed: seed as i64 as u64,
        };
        let found = with_threads(threads as usize, || cluster_spectra(spectra, &settings))??;
        let program = found.program.iter().map(|p| p.map_or(0, |p| p as i32 + 1));
        Ok(list!(
            density = found.density,
            program = program.collect::<Vec<_>>(),
            silhouette = found.silhouette,
            medians = r_array2(&found.medians),
            cosines = r_array2(&found.cosines)
        ))
    })
}

/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)]
fn rs_program_spectra(
    x: Robj,
    n_columns: i32,
    usage: RMatrix<f64>,
    mean: &[f64],
    sd: &[f64],
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let shape = (mean.len(), n_columns.max(0) as usize);
        let data = Data::new(values(&x)?.of_shape(shape)?)?;
        let (rank, usage) = (usage.nrows(), usage.data());
        let found = supervise(&progress, |monitor| {
            with_threads(threads as usize, || {
                program_spectra(&data, usage, rank, (mean, sd), monitor)
            })?
        })?;
        Ok(list!(levels = r_array2(&found.levels), scores = r_array2(&found.scores)))
    })
}

extendr_module! {
    mod consensus_programs;
    fn rs_cluster_spectra;
    fn rs_program_spectra;
}
