//! Measurement matrices, and readings with them.

use crate::arguments::{counts, number, r_array2, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::sensing::measurement::{coherence, measure, Design, Kind};

/// @noRd
#[extendr]
fn rs_measurement_matrix(settings: List, progress: Function) -> Robj {
    guard(|| {
        let get = |name| number(&settings, name);
        let genes_per_pool = get("genes_per_pool")? as usize;
        let design = Design {
            measurements: get("measurements")? as usize,
            genes: get("genes")? as usize,
            kind: if genes_per_pool == 0 {
                Kind::Gaussian
            } else {
                Kind::Sparse { genes_per_pool }
            },
            max_correlation: get("max_correlation")?,
            seed: get("seed")? as u64,
        };
        match supervise(&progress, |monitor| design.draw(monitor))? {
            Ok(weights) => Ok(list!(weights = r_array2(&weights))),
            Err(crowded) => {
                Ok(list!(row = crowded.row as i32 + 1, correlation = crowded.correlation))
            }
        }
    })
}

/// @noRd
#[extendr]
fn rs_coherence(weights: RMatrix<f64>, threads: i32, progress: Function) -> Robj {
    guard(|| {
        let weights = view(&weights);
        let threads = threads.max(0) as usize;
        let found = supervise(&progress, |monitor| coherence(weights, threads, monitor))?;
        Ok(list!(rows = found.rows, genes = found.genes, genes_rms = found.genes_rms))
    })
}

/// @noRd
#[extendr]
fn rs_measure(
    weights: RMatrix<f64>,
    profiles: Robj,
    n_samples: i32,
    gene_of_row: &[i32],
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let weights = view(&weights);
        let n_rows = gene_of_row.len() as i32;
        let profiles = counts(&profiles, n_rows, n_samples, gene_of_row, weights.nrows())?;
        let (snr, seed) = (number(&settings, "snr")?, number(&settings, "seed")? as u64);
        let threads = number(&settings, "threads")? as usize;
        let readings = supervise(&progress, |monitor| {
            measure(weights, &profiles, snr, seed, threads, monitor)
        })?;
        Ok(r_array2(&readings))
    })
}

extendr_module! {
    mod measurement_matrix;
    fn rs_measurement_matrix;
    fn rs_coherence;
    fn rs_measure;
}
