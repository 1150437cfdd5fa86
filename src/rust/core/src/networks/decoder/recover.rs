//! Profiles and standard errors of new readings, by ridge and networks.

use super::{Architecture, Start};
use crate::base::error::check_length;
use crate::base::parallel::{with_threads, Monitor};
use crate::matrix::linalg;
use crate::matrix::{from_fn, ArrayView2, Columns};
use crate::networks::layer::{restore, Pass};
use crate::networks::sequential::Sequential;
use crate::sensing::decoder::{self, Decoder, Recovered};
use crate::CoreError;
use ndarray::s;

/// Samples that are decoded together.
const SAMPLES: usize = 128;

/// s · mean of f over the members, and what f reads.
pub struct Bend<'a> {
    pub architecture: Architecture,
    /// Weights of each member.
    pub members: Vec<Vec<ArrayView2<'a, f64>>>,
    /// P, inputs × measurements.
    pub coordinates: ArrayView2<'a, f64>,
    /// Instead of P (y − ȳ), features × samples.
    pub inputs: Option<ArrayView2<'a, f64>>,
    pub scale: f64,
}

/// What [`decoder::recover`] gives for `base`, and the members' mean on top of it.
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn recover(
    base: &Decoder<'_>,
    bend: &Bend<'_>,
    readings: ArrayView2<'_, f64>,
    standard_errors: bool,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Recovered, CoreError> {
    let a = &bend.architecture;
    check_length("genes", base.linear.mean.len(), a.genes)?;
    match &bend.inputs {
        Some(inputs) => {
            check_length("inputs (features)", a.inputs, inputs.nrows())?;
            check_length("inputs (samples)", readings.ncols(), inputs.ncols())?;
        }
        None => {
            check_length("coordinates (inputs)", a.inputs, bend.coordinates.nrows())?;
            check_length("coordinates", readings.nrows(), bend.coordinates.ncols())?;
        }
    }
    let mut networks = Vec::new();
    for weights in &bend.members {
        // weights come from outside: where they start does not matter
        let mut network: Sequential<f32> =
            Architecture { start: Start::Ridge, ..a.clone() }.network(0);
        restore(network.parameters(), weights)?;
        networks.push(network);
    }
    let silent = monitor.silent();
    let mut out = decoder::recover(base, readings, standard_errors, threads, &silent)?;
    let share = bend.scale / networks.len().max(1) as f64;
    let n = readings.ncols();
    with_threads(threads, || {
        for first in (0..n).step_by(SAMPLES) {
            monitor.check()?;
            let range = first..(first + SAMPLES).min(n);
            let input = match &bend.inputs {
                Some(inputs) => {
                    from_fn((a.inputs, range.len()), |i, j| inputs[(i, range.start + j)] as f32)
                }
                None => {
                    let y = readings.slice(s![.., range.clone()]);
                    let y = from_fn(y.dim(), |i, j| y[(i, j)] - base.linear.centre[i]);
                    let u = linalg::product(&bend.coordinates, &y);
                    from_fn(u.dim(), |i, j| u[(i, j)] as f32)
                }
            };
            for network in &mut networks {
                let bent = network.forward(&input, &Pass::PREDICTION);
                for (j, sample) in range.clone().enumerate() {
                    let profile = out.profiles.col_mut(sample);
                    for (x, by) in profile.iter_mut().zip(bent.column(j)) {
                        *x += share * f64::from(*by);
                    }
                }
            }
            monitor.advance(range.len());
        }
        Ok(())
    })??;
    Ok(out)
}
