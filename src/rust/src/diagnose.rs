//! Diagnosis of a deconvolution.

use crate::arguments::{counts, entries, number, r_array2, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use crate::problem::Problem;
use extendr_api::prelude::*;
use unalloy_core::deconvolution::infer::{
    diagnose, residual_patterns, Diagnosis, PatternParams, SampleDiagnosis,
};
use unalloy_core::deconvolution::Model;
use unalloy_core::matrix::Array2;

/// @noRd
#[extendr]
fn rs_diagnose(problem: List, exposures: RMatrix<f64>, threads: i32, progress: Function) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let points = view(&exposures);
        let threads = threads.max(0) as usize;
        let found = problem.supervise(&progress, |likelihood, bulk, monitor| {
            diagnose(likelihood, bulk, points, threads, monitor)
        })?;
        Ok(answer(found, &problem.model))
    })
}

fn answer(found: Diagnosis, model: &Model) -> List {
    let samples = &found.samples;
    let column = |f: fn(&SampleDiagnosis) -> f64| samples.iter().map(f).collect::<Vec<f64>>();
    // genes of the caller: 0 where the fit does not use them
    let by_gene = |sums: &Array2<f64>| {
        let rows = model.row_of_gene();
        RMatrix::new_matrix(rows.len(), sums.ncols(), |g, t| match usize::try_from(rows[g]) {
            Ok(row) => sums[(row, t)],
            Err(_) => 0.0,
        })
    };
    list!(
        condition = column(|s| s.condition),
        inflation = r_array2(&found.inflation),
        lone_error = r_array2(&found.lone_error),
        correlation = entries(found.correlation),
        covariance = entries(found.covariance),
        dispersion = column(|s| s.dispersion),
        excess = column(|s| s.excess),
        deficit = column(|s| s.deficit),
        log_error = column(|s| s.log_error),
        influence = by_gene(&found.influence),
        sensitivity = by_gene(&found.sensitivity)
    )
}

/// `gene_of_row` and `signatures` are over the genes to look at.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)]
fn rs_residual_programs(
    values: Robj,
    n_rows: i32,
    n_columns: i32,
    gene_of_row: &[i32],
    signatures: RMatrix<f64>,
    lengths: &[f64],
    exposures: RMatrix<f64>,
    floors: &[f64],
    basis: RMatrix<f64>,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let bulk = counts(&values, n_rows, n_columns, gene_of_row, signatures.nrows())?;
        let params = PatternParams {
            n_patterns: number(&settings, "n_programs")? as usize,
            draws: number(&settings, "draws")? as usize,
            seed: number(&settings, "seed")? as i64 as u64,
            threads: number(&settings, "threads")? as usize,
        };
        let (signatures, exposures, basis) = (view(&signatures), view(&exposures), view(&basis));
        let found = supervise(&progress, |monitor| {
            residual_patterns(
                &bulk, signatures, lengths, exposures, floors, basis, &params, monitor,
            )
        })?;
        Ok(list!(
            offsets = found.offsets,
            squares = found.squares.to_vec(),
            shares = found.shares,
            null_shares = r_array2(&found.null_shares),
            genes = r_array2(&found.genes),
            samples = r_array2(&found.samples)
        ))
    })
}

extendr_module! {
    mod diagnose;
    fn rs_diagnose;
    fn rs_residual_programs;
}
