//! Is a cell type there at all?  Likelihood ratios of fits without it; and fits
//! that start from another fit.
//!
//! T_j = 2 (min F with e_j = 0 − min F).  Under e_j = 0, T_j in units of its
//! scale (see [`super::sandwich`]) is 0 with probability ½ and else χ²₁ (the
//! null lies on the boundary: Self and Liang 1987).

use super::sandwich::{ActiveInverse, LARGEST_LEVERAGE};
use super::{check_shape, columns, over_samples, side_by_side};
use crate::base::error::CoreError;
use crate::base::numbers::quadratic;
use crate::base::parallel::{Monitor, SAMPLE_BLOCK};
use crate::deconvolution::evaluate::Evaluator;
use crate::deconvolution::likelihood::{Block, Likelihood};
use crate::deconvolution::model::GENE_BLOCK;
use crate::deconvolution::solve::scoring::{minimise, Minimum, Task};
use crate::matrix::counts::Counts;
use crate::matrix::linalg::product;
use crate::matrix::{from_fn, Array2, ArrayView2, Columns};
use std::ops::Range;

/// Decrease of F that may be missing from a fit without a type, in units of its
/// scale; what the quadratic model says of it is added.
const TEST_TOLERANCE: f64 = 1e-2;
/// The same for other fits, in units of F.
const TOLERANCE: f64 = 1e-3;
const MAX_ITER: usize = 200;
/// Largest ratio of the scale without the type to that with it.  Far from the
/// null hypothesis the residuals without the type are mostly the type itself, and
/// a test by them has no power.
const LARGEST_RATIO: f64 = 2.0;
/// Share of all exposures that free sources start from at least, so that no gene
/// is without a source at the start.
const START_SHARE: f64 = 1e-6;

/// How the scale of T_j is found; see [`super::sandwich`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As given.
    Given,
    /// As given to tell which types are clear; for the others from the residuals
    /// of the fit without the type, where an absent type has not yet adapted to
    /// them.
    Null,
}

/// What tests start from: exposures and scales (sources × samples) of a fit.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub exposures: ArrayView2<'a, f64>,
    pub scales: ArrayView2<'a, f64>,
    /// What scales are multiplied by, those of the null too (sources × samples): the
    /// variance of an exposure in units of that which residuals show.
    pub inflation: ArrayView2<'a, f64>,
    pub scale: Scale,
    /// Sources at zero stay there in every fit.
    pub only_active: bool,
}

/// T_j in units of its scale, types × samples: 0 for types at zero, infinite where
/// counts have no other source, and the value of the quadratic model at the fit
/// where that is beyond `clear`.
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn presence(
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    start: Start<'_>,
    clear: f64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    over_fits(likelihood, counts, start, threads, monitor, |fits| {
        let held = fits.absent(start.only_active);
        let full = fits.fit(&held, monitor)?;
        let each: Vec<usize> = (0..full.len()).collect();
        let without = fits.without_each(&each, &full, &held, clear, monitor)?;
        let mut statistics = vec![vec![0.0; likelihood.model().n_types()]; full.len()];
        for fit in without {
            statistics[fit.sample][fit.source] = fit.ratio();
        }
        Ok(statistics)
    })
}

/// Backward elimination: while the least T_j, in units of its scale, is below
/// `threshold`, its type leaves.  Says which types stay, types × samples.
///
/// # Errors
/// As [`presence`].
pub fn eliminate(
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    start: Start<'_>,
    threshold: f64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<bool>, CoreError> {
    over_fits(likelihood, counts, start, threads, monitor, |fits| {
        let n_types = likelihood.model().n_types();
        let mut held = fits.absent(true);
        let mut current = fits.fit(&held, monitor)?;
        let present = |fit: &Minimum| fit.exposures[..n_types].iter().filter(|&&e| e > 0.0).count();
        let mut open: Vec<usize> = (0..current.len()).collect();
        let clear = 10.0 * threshold;
        loop {
            open.retain(|&sample| present(&current[sample]) > 1);
            let mut least: Vec<Option<Without>> = open.iter().map(|_| None).collect();
            for fit in fits.without_each(&open, &current, &held, clear, monitor)? {
                if fit.ratio().is_nan() {
                    continue;
                }
                let at = open.iter().position(|&s| s == fit.sample).expect("it was asked for");
                if least[at].as_ref().is_none_or(|other| fit.ratio() < other.ratio()) {
                    least[at] = Some(fit);
                }
            }
            open.clear();
            for without in least.into_iter().flatten() {
                if without.ratio() < threshold {
                    let Without { sample, source, fit, .. } = without;
                    held[sample][source] = true;
                    current[sample] = fit.expect("a small rise was fitted");
                    open.push(sample);
                }
            }
            if open.is_empty() {
                break;
            }
        }
        let kept = |fit: Minimum| fit.exposures[..n_types].iter().map(|&e| e > 0.0).collect();
        Ok(current.into_iter().map(kept).collect())
    })
}

/// The exposures of every sample, sought from `starts` (both sources × samples) to
/// the precision of a test.  With `only_active`, sources at zero stay there.
///
/// # Errors
/// As [`presence`].
pub fn refit(
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    starts: ArrayView2<'_, f64>,
    only_active: bool,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let work = |block: Block<'_>, _| {
        let points = block.points.iter().zip(absent(&block, only_active)).enumerate();
        let tasks: Vec<Task> = points
            .map(|(i, (point, held))| Task::new(i, lifted(point, &held), held, TOLERANCE))
            .collect();
        minimise(&block, &tasks, MAX_ITER, monitor)
    };
    let mut found: Vec<Vec<f64>> = Vec::with_capacity(counts.n_samples());
    let take = |minima: Vec<Minimum>| found.extend(minima.into_iter().map(|m| m.exposures));
    over_samples(likelihood, counts, starts, threads, monitor, work, take)?;
    Ok(side_by_side(found.into_iter(), likelihood.model().n_sources()))
}

/// `start` with free sources at no less than a trace.
fn lifted(start: &[f64], held: &[bool]) -> Vec<f64> {
    let least = START_SHARE * start.iter().sum::<f64>();
    start.iter().zip(held).map(|(&e, &held)| if held { e } else { e.max(least) }).collect()
}

/// Per sample, which sources stay at zero.
fn absent(block: &Block<'_>, only_active: bool) -> Vec<Vec<bool>> {
    let of = |point: &Vec<f64>| point.iter().map(|&e| only_active && e == 0.0).collect();
    block.points.iter().map(of).collect()
}

/// Samples at their fits, and the scales of their falls.
struct Fits<'l> {
    block: Block<'l>,
    /// With the inflation in them.
    scales: Vec<Vec<f64>>,
    inflation: Vec<Vec<f64>>,
    scale: Scale,
}

/// A fit of a sample without one of its types.
struct Without {
    sample: usize,
    source: usize,
    /// Of F, beyond the fit with the type.
    rise: f64,
    scale: f64,
    /// `None` where the quadratic model was enough.
    fit: Option<Minimum>,
}

impl Without {
    /// T_j in units of its scale.
    fn ratio(&self) -> f64 {
        2.0 * self.rise / self.scale
    }
}

impl Fits<'_> {
    fn absent(&self, only_active: bool) -> Vec<Vec<bool>> {
        absent(&self.block, only_active)
    }

    fn fit(&self, held: &[Vec<bool>], monitor: &Monitor<'_>) -> Result<Vec<Minimum>, CoreError> {
        let tasks = self.block.points.iter().enumerate().map(|(sample, point)| {
            let least = self.scales[sample].iter().copied().fold(f64::INFINITY, f64::min);
            Task::new(sample, point.clone(), held[sample].clone(), TOLERANCE * least)
        });
        minimise(&self.block, &tasks.collect::<Vec<_>>(), MAX_ITER, monitor)
    }

    /// The fits of `samples` without each of the types that they have in `full`.
    /// Where the quadratic model says that T_j is beyond `clear` scales, its rise
    /// is the answer.
    fn without_each(
        &self,
        samples: &[usize],
        full: &[Minimum],
        held: &[Vec<bool>],
        clear: f64,
        monitor: &Monitor<'_>,
    ) -> Result<Vec<Without>, CoreError> {
        let mut found = Vec::new();
        let mut open = Vec::new();
        let mut tasks = Vec::new();
        for &sample in samples {
            let full = &full[sample];
            let n_types = self.block.model.n_types();
            for source in (0..n_types).filter(|&j| full.exposures[j] > 0.0) {
                let mut held = held[sample].clone();
                held[source] = true;
                let mut at = full.exposures.clone();
                at[source] = 0.0;
                let target = full.model().least_with(&at, &held);
                let rise = full.model().rise(&target);
                let scale = self.scales[sample][source];
                let without = Without { sample, source, rise, scale, fit: None };
                if without.ratio() <= clear {
                    let start = lifted(&target, &held);
                    let tolerance = TEST_TOLERANCE * self.scales[sample][source];
                    let hessian = Some(full.hessian.clone());
                    tasks.push(Task { sample, start, held, hessian, tolerance });
                    open.push(found.len());
                }
                found.push(without);
            }
        }
        let minima = minimise(&self.block, &tasks, MAX_ITER, monitor)?;
        for (at, fit) in open.into_iter().zip(minima) {
            let without: &mut Without = &mut found[at];
            without.rise = (fit.value - fit.decrement - full[without.sample].value).max(0.0);
            without.fit = Some(fit);
        }
        if self.scale == Scale::Null {
            let mut tested: Vec<&mut Without> =
                found.iter_mut().filter(|w| w.fit.is_some() && w.rise.is_finite()).collect();
            for chunk in tested.chunks_mut(SAMPLE_BLOCK) {
                self.take_null_scales(chunk);
            }
        }
        Ok(found)
    }

    /// dᵀVd / dᵀJd at the fits without a type, d the direction in which it would
    /// come: V from squared residuals, with the part of each leverage that lies
    /// along d.
    fn take_null_scales(&self, tested: &mut [&mut Without]) {
        let model = self.block.model;
        let fits: Vec<&Minimum> =
            tested.iter().map(|w| w.fit.as_ref().expect("a tested type was fitted")).collect();
        let directions: Vec<Vec<f64>> = tested
            .iter()
            .zip(&fits)
            .map(|(without, fit)| {
                ActiveInverse::new(fit.hessian.clone(), &fit.exposures).direction(without.source)
            })
            .collect();
        // dᵀJd by the Hessian of the fit, for the leverages.
        let expected: Vec<f64> =
            fits.iter().zip(&directions).map(|(fit, d)| quadratic(&fit.hessian, d)).collect();
        let shape = (model.n_sources(), fits.len());
        let points = from_fn(shape, |j, i| fits[i].exposures[j]);
        let along = product(model.design(), &from_fn(shape, |j, i| directions[i][j]));
        let (mut information, mut spread) = (vec![0.0; fits.len()], vec![0.0; fits.len()]);
        let mut memories = vec![Vec::new(); fits.len()];
        let mut curvature = vec![0.0; GENE_BLOCK];
        let mut evaluator = Evaluator::new(model.design(), fits.len());
        evaluator.evaluate(&points, false, |i, genes, mu, slope, _| {
            let along = &along.col(i)[genes.clone()];
            let curvature = &mut curvature[..mu.len()];
            let sample = &self.block.samples[tested[i].sample];
            sample.terms(genes, mu, &mut memories[i], slope, curvature);
            for ((slope, curvature), t) in slope.iter().zip(&*curvature).zip(along) {
                let own = curvature * t * t;
                let leverage = (own / expected[i]).min(LARGEST_LEVERAGE);
                information[i] += own;
                spread[i] += (slope * t / (1.0 - leverage)).powi(2);
            }
            0.0
        });
        for (i, without) in tested.iter_mut().enumerate() {
            let inflation = self.inflation[without.sample][without.source];
            let scale = inflation * spread[i] / information[i];
            if scale > 0.0 {
                without.scale = scale.min(LARGEST_RATIO * without.scale);
            }
        }
    }
}

/// Calls `each` for blocks of samples; it answers with a column for every sample.
fn over_fits<T: Send>(
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    start: Start<'_>,
    threads: usize,
    monitor: &Monitor<'_>,
    each: impl Fn(Fits<'_>) -> Result<Vec<Vec<T>>, CoreError> + Sync,
) -> Result<Array2<T>, CoreError> {
    let Start { exposures, scales, inflation, scale, .. } = start;
    check_shape("scales", scales, likelihood.model(), counts)?;
    check_shape("inflation", inflation, likelihood.model(), counts)?;
    let work = |block: Block<'_>, range: Range<usize>| {
        let inflation = columns(inflation, range.clone());
        let mut scales = columns(scales, range);
        for (scales, inflation) in scales.iter_mut().zip(&inflation) {
            scales.iter_mut().zip(inflation).for_each(|(scale, by)| *scale *= by);
        }
        each(Fits { block, scales, inflation, scale })
    };
    let mut answers: Vec<Vec<T>> = Vec::with_capacity(counts.n_samples());
    let take = |block| answers.extend(block);
    over_samples(likelihood, counts, exposures, threads, monitor, work, take)?;
    Ok(side_by_side(answers.into_iter(), likelihood.model().n_types()))
}
