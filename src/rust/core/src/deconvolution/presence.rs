//! Is a cell type there at all?  Likelihood ratios of fits without it.
//!
//! T_j = 2 (min F with e_j = 0 − min F).  Under e_j = 0, T_j in units of its
//! scale (see [`super::inference`]) is 0 with probability ½ and else χ²₁ (the
//! null lies on the boundary: Self and Liang 1987).

use super::likelihood::Likelihood;
use super::model::Model;
use super::scoring::{minimise, Minimum, Task};
use crate::counts::Counts;
use crate::error::{check_length, CoreError};
use crate::parallel::{with_threads, Monitor};
use faer::MatRef;
use rayon::prelude::*;

/// Error of T_j in units of its scale.
const TOLERANCE: f64 = 1e-4;
const MAX_ITER: usize = 200;
/// Share of all exposures that free sources at zero start from, so that genes
/// of the source that leaves are not without any source.
const START_SHARE: f64 = 1e-6;

/// T_j of every type of a sample: 0 for types at zero, infinite where counts
/// have no other source.
#[derive(Clone, Debug)]
pub struct SamplePresence {
    pub statistics: Vec<f64>,
}

/// The types of a sample that elimination leaves.
#[derive(Clone, Debug)]
pub struct SampleSupport {
    pub kept: Vec<bool>,
}

/// Tests every type of every sample.  `exposures` and `scales` are sources ×
/// samples.  With `only_active`, sources at zero stay there in every fit.
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn presence(
    likelihood: &impl Likelihood,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    scales: MatRef<'_, f64>,
    only_active: bool,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<SamplePresence>, CoreError> {
    over_samples(likelihood, counts, exposures, scales, threads, monitor, |sample| {
        let held: Vec<bool> = sample.exposures.iter().map(|&e| only_active && e == 0.0).collect();
        let full = sample.minimise_from(&sample.exposures, &held, monitor)?;
        let mut statistics = vec![0.0; likelihood.model().n_types()];
        for (j, without) in sample.without_each(&full.exposures, &held, monitor)? {
            statistics[j] = 2.0 * (without.value - full.value).max(0.0);
        }
        Ok(SamplePresence { statistics })
    })
}

/// Backward elimination: while the least T_j, in units of its scale, is below
/// `threshold`, its type leaves.
///
/// # Errors
/// As [`presence`].
pub fn eliminate(
    likelihood: &impl Likelihood,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    scales: MatRef<'_, f64>,
    threshold: f64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<SampleSupport>, CoreError> {
    over_samples(likelihood, counts, exposures, scales, threads, monitor, |sample| {
        let n_types = likelihood.model().n_types();
        let mut held: Vec<bool> = sample.exposures.iter().map(|&e| e == 0.0).collect();
        let mut current = sample.minimise_from(&sample.exposures, &held, monitor)?;
        while current.exposures[..n_types].iter().filter(|&&e| e > 0.0).count() > 1 {
            let fits = sample.without_each(&current.exposures, &held, monitor)?;
            let ratio =
                |(j, fit): &(usize, Minimum)| 2.0 * (fit.value - current.value) / sample.scales[*j];
            let least = fits.into_iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b)));
            match least {
                Some((j, fit))
                    if 2.0 * (fit.value - current.value) < threshold * sample.scales[j] =>
                {
                    held[j] = true;
                    current = fit;
                }
                _ => break,
            }
        }
        let kept = (0..n_types).map(|j| current.exposures[j] > 0.0).collect();
        Ok(SampleSupport { kept })
    })
}

/// One sample at its fit.
struct Fitted<'l, L: Likelihood> {
    likelihood: &'l L,
    sample: [L::Sample; 1],
    exposures: Vec<f64>,
    scales: Vec<f64>,
}

impl<L: Likelihood> Fitted<'_, L> {
    fn minimise_from(
        &self,
        start: &[f64],
        held: &[bool],
        monitor: &Monitor<'_>,
    ) -> Result<Minimum, CoreError> {
        let least = self.scales.iter().copied().fold(f64::INFINITY, f64::min);
        let task = Task {
            sample: 0,
            start: start.to_vec(),
            held: held.to_vec(),
            tolerance: TOLERANCE * least,
        };
        let mut minima = minimise(self.likelihood, &self.sample, &[task], MAX_ITER, monitor)?;
        Ok(minima.pop().expect("a minimum per task"))
    }

    /// The fits without each of the types that `point` has.
    fn without_each(
        &self,
        point: &[f64],
        held: &[bool],
        monitor: &Monitor<'_>,
    ) -> Result<Vec<(usize, Minimum)>, CoreError> {
        let model = self.likelihood.model();
        let present: Vec<usize> = (0..model.n_types()).filter(|&j| point[j] > 0.0).collect();
        let tasks: Vec<Task> = present
            .iter()
            .map(|&j| {
                let mut held = held.to_vec();
                held[j] = true;
                Task {
                    sample: 0,
                    start: start_without(model, point, j, &held),
                    held,
                    tolerance: TOLERANCE * self.scales[j],
                }
            })
            .collect();
        let minima = minimise(self.likelihood, &self.sample, &tasks, MAX_ITER, monitor)?;
        Ok(present.into_iter().zip(minima).collect())
    }
}

/// `point` without source j, its reads given to the others.
fn start_without(model: &Model, point: &[f64], j: usize, held: &[bool]) -> Vec<f64> {
    let reads = |e: &[f64]| -> f64 { model.cost().iter().zip(e).map(|(c, e)| c * e).sum() };
    let least = START_SHARE * point.iter().sum::<f64>();
    let mut start: Vec<f64> =
        point.iter().zip(held).map(|(&e, &held)| if held { 0.0 } else { e.max(least) }).collect();
    start[j] = 0.0;
    let factor = reads(point) / reads(&start);
    if factor.is_finite() {
        start.iter_mut().for_each(|e| *e *= factor);
    }
    start
}

fn over_samples<L: Likelihood, T: Send>(
    likelihood: &L,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    scales: MatRef<'_, f64>,
    threads: usize,
    monitor: &Monitor<'_>,
    each: impl Fn(Fitted<'_, L>) -> Result<T, CoreError> + Sync,
) -> Result<Vec<T>, CoreError> {
    let model = likelihood.model();
    let size = model.n_sources() * counts.n_samples();
    check_length("exposures", size, exposures.nrows() * exposures.ncols())?;
    check_length("scales", size, scales.nrows() * scales.ncols())?;
    with_threads(threads, || {
        (0..counts.n_samples())
            .into_par_iter()
            .map(|index| {
                monitor.check()?;
                let mut column = vec![0.0; model.n_rows()];
                counts.column_into(index, &mut column);
                let of = |x: MatRef<'_, f64>| x.col(index).iter().copied().collect::<Vec<f64>>();
                let exposures = of(exposures);
                let sample = [likelihood.sample(index, &column, &exposures)];
                let answer = each(Fitted { likelihood, sample, exposures, scales: of(scales) })?;
                monitor.advance(1);
                Ok(answer)
            })
            .collect()
    })?
}
