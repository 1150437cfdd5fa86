//! Profiles and standard errors of new readings.

use super::bells::bells;
use super::Decoder;
use crate::base::error::{check_length, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::{from_fn, linalg, zeros, Array2, ArrayView2, Columns};
use ndarray::s;

/// Samples that are decoded together.
const BLOCK: usize = 64;

pub struct Recovered {
    /// Genes × samples.
    pub profiles: Array2<f64>,
    /// Of each gene's true value around `profiles`; without columns if not asked
    /// for.
    pub standard_errors: Array2<f64>,
    /// Per sample: the squared distance of its readings from those of the training
    /// samples, in units of what a training sample that is left out has on average.
    pub distance: Vec<f64>,
    /// Per sample: the squared standard error over that of a sample about which the
    /// decoder is certain.
    pub spread: Vec<f64>,
}

/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn recover(
    decoder: &Decoder<'_>,
    readings: ArrayView2<'_, f64>,
    standard_errors: bool,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Recovered, CoreError> {
    let linear = &decoder.linear;
    let (genes, samples) = (linear.mean.len(), readings.ncols());
    check_length("readings (measurements)", linear.centre.len(), readings.nrows())?;
    check_length("error_variance", genes, decoder.error_variance.len())?;
    let mut out = Recovered {
        profiles: zeros((genes, samples)),
        standard_errors: zeros((genes, if standard_errors { samples } else { 0 })),
        distance: Vec::with_capacity(samples),
        spread: Vec::with_capacity(samples),
    };
    let work = |range: std::ops::Range<usize>| {
        let part = block(decoder, readings.slice(s![.., range.clone()]), monitor);
        monitor.advance(range.len());
        part
    };
    let take = |range: std::ops::Range<usize>, (profiles, distance, spread): Part| {
        out.profiles.slice_mut(s![.., range.clone()]).assign(&profiles);
        if standard_errors {
            for (j, by) in range.zip(&spread) {
                let variances = decoder.error_variance.iter();
                let errors = out.standard_errors.col_mut(j).iter_mut();
                errors.zip(variances).for_each(|(error, v)| *error = (v * by).sqrt());
            }
        }
        out.distance.extend(distance);
        out.spread.extend(spread);
    };
    with_threads(threads, || over_blocks(samples, BLOCK, monitor, work, take))??;
    Ok(out)
}

/// Profiles, distances and spreads.
type Part = (Array2<f64>, Vec<f64>, Vec<f64>);

fn block(
    decoder: &Decoder<'_>,
    readings: ArrayView2<'_, f64>,
    monitor: &Monitor<'_>,
) -> Result<Part, CoreError> {
    let linear = &decoder.linear;
    let y = from_fn(readings.dim(), |i, j| readings[(i, j)] - linear.centre[i]);
    let mut profiles = from_fn((linear.mean.len(), y.ncols()), |g, _| linear.mean[g]);
    linalg::add_product(&mut profiles, 1.0, &linear.slope, &y);
    let leverage: Vec<f64> = linalg::product(&linear.spread, &y)
        .columns()
        .into_iter()
        .map(|column| column.iter().map(|v| v * v).sum())
        .collect();
    let mut doubt: Vec<f64> = leverage.iter().map(|h| h + 1.0 / linear.samples as f64).collect();
    if let Some(kernel) = &decoder.kernel {
        let bells = bells(&linalg::product(&kernel.coordinates, &y), &kernel.landmarks, monitor)?;
        linalg::add_product(&mut profiles, 1.0, &kernel.coefficients, &bells);
        let known = linalg::product(&kernel.certainty, &bells);
        for (j, doubt) in doubt.iter_mut().enumerate() {
            let known: f64 = bells.col(j).iter().zip(known.col(j)).map(|(a, b)| a * b).sum();
            *doubt += (kernel.prior - known).max(0.0);
        }
    }
    let spread = doubt.iter().map(|doubt| 1.0 + decoder.spread_weight * doubt).collect();
    let distance = leverage.iter().map(|h| h / linear.usual_distance).collect();
    Ok((profiles, distance, spread))
}
