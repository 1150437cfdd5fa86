//! What can be said of a fit beyond its exposures: how sure they are, which types
//! are there at all, and what the fit hangs on.

mod diagnosis;
mod limits;
mod presence;
mod residual_patterns;
mod sandwich;

pub use diagnosis::{diagnose, Diagnosis, SampleDiagnosis};
pub use presence::{eliminate, presence, refit, Scale, Start};
pub use residual_patterns::{residual_patterns, PatternParams, Patterns};
pub use sandwich::{infer, Inference, Variance};

use super::likelihood::{Block, Likelihood};
use super::model::Model;
use crate::base::error::{check_length, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor, SAMPLE_BLOCK};
use crate::matrix::counts::Counts;
use crate::matrix::{Array2, Array3, ArrayView2, Columns};
use ndarray::ShapeBuilder;
use std::ops::Range;

/// Calls `work` for blocks of samples at `exposures` (sources × samples), in
/// parallel, and takes the answers in the order of the samples.
fn over_samples<T: Send>(
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    exposures: ArrayView2<'_, f64>,
    threads: usize,
    monitor: &Monitor<'_>,
    work: impl Fn(Block<'_>, Range<usize>) -> Result<T, CoreError> + Sync,
    mut take: impl FnMut(T) + Send,
) -> Result<(), CoreError> {
    check_shape("exposures", exposures, likelihood.model(), counts)?;
    let read = |range: Range<usize>| {
        let points = columns(exposures, range.clone());
        let answer = work(Block::read(likelihood, counts, range.clone(), points), range.clone())?;
        monitor.advance(range.len());
        Ok(answer)
    };
    with_threads(threads, || {
        over_blocks(counts.n_samples(), SAMPLE_BLOCK, monitor, read, |_, answer| take(answer))
    })?
}

/// `Err` unless `matrix` is sources × samples.
fn check_shape(
    what: &'static str,
    matrix: ArrayView2<'_, f64>,
    model: &Model,
    counts: &Counts<'_>,
) -> Result<(), CoreError> {
    check_length(what, model.n_sources(), matrix.nrows())?;
    check_length(what, counts.n_samples(), matrix.ncols())
}

fn columns(matrix: ArrayView2<'_, f64>, range: Range<usize>) -> Vec<Vec<f64>> {
    range.map(|i| matrix.col(i).to_vec()).collect()
}

/// Columns of `n` entries side by side.
fn side_by_side<T>(columns: impl Iterator<Item = Vec<T>>, n: usize) -> Array2<T> {
    let entries: Vec<T> = columns.flatten().collect();
    let shape = (n, entries.len() / n);
    Array2::from_shape_vec(shape.f(), entries).expect("columns of n entries")
}

/// n × n matrices (column-major) one behind the other.
fn stacked(matrices: impl Iterator<Item = Vec<f64>>, n: usize) -> Array3<f64> {
    let entries: Vec<f64> = matrices.flatten().collect();
    let shape = (n, n, entries.len() / (n * n));
    Array3::from_shape_vec(shape.f(), entries).expect("matrices of n × n entries")
}
