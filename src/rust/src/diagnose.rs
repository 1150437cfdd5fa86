//! Diagnosis of a deconvolution.

use crate::bridge::{answer, array2, guard, supervise, Problem, Value};
use extendr_api::prelude::*;
use unalloy_core::deconvolution::infer::{
    diagnose, residual_patterns, Diagnosis, PatternParams, SampleDiagnosis,
};
use unalloy_core::deconvolution::Model;
use unalloy_core::matrix::Array2;

/// @noRd
#[extendr]
fn rs_diagnose(given: List) -> Robj {
    guard(&given, |given| {
        let problem = Problem::read(&given)?;
        let (points, threads) = (given.array2("exposures")?, given.count("threads")?);
        let found = problem.supervise(&given, |likelihood, bulk, monitor| {
            diagnose(likelihood, bulk, points, threads, monitor)
        })?;
        Ok(handed_back(found, &problem.model))
    })
}

fn handed_back(found: Diagnosis, model: &Model) -> Value<'static> {
    let samples = &found.samples;
    let column = |f: fn(&SampleDiagnosis) -> f64| samples.iter().map(f).collect::<Vec<f64>>();
    answer!(
        condition = column(|s| s.condition),
        inflation = found.inflation,
        lone_error = found.lone_error,
        correlation = found.correlation,
        covariance = found.covariance,
        dispersion = column(|s| s.dispersion),
        excess = column(|s| s.excess),
        deficit = column(|s| s.deficit),
        log_error = column(|s| s.log_error),
        influence = by_gene(found.influence, model),
        sensitivity = by_gene(found.sensitivity, model)
    )
}

/// Rows for the genes of the caller: 0 for those that the fit does not use.
fn by_gene(sums: Array2<f64>, model: &Model) -> Value<'static> {
    let rows = model.row_of_gene().to_vec();
    let row = move |gene: usize| usize::try_from(rows[gene]).ok();
    array2((model.row_of_gene().len(), sums.ncols()), move |gene, j| {
        row(gene).map_or(0.0, |row| sums[(row, j)])
    })
}

/// `gene_of_row` and `signatures` are over the genes to look at.
/// @noRd
#[extendr]
fn rs_residual_programs(given: List) -> Robj {
    guard(&given, |given| {
        let signatures = given.array2("signatures")?;
        let bulk = given.counts("values", given.integers("gene_of_row")?, signatures.nrows())?;
        let (lengths, floors) = (given.numbers("lengths")?, given.numbers("floors")?);
        let (exposures, basis) = (given.array2("exposures")?, given.array2("basis")?);
        let params = PatternParams {
            n_patterns: given.count("n_programs")?,
            draws: given.count("draws")?,
            seed: given.seed("seed")?,
            threads: given.count("threads")?,
        };
        let found = supervise(&given, |monitor| {
            residual_patterns(
                &bulk, signatures, lengths, exposures, floors, basis, &params, monitor,
            )
        })?;
        Ok(answer!(
            offsets = found.offsets,
            squares = found.squares.to_vec(),
            shares = found.shares,
            null_shares = found.null_shares,
            genes = found.genes,
            samples = found.samples
        ))
    })
}

extendr_module! {
    mod diagnose;
    fn rs_diagnose;
    fn rs_residual_programs;
}
