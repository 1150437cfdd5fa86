//! Fits all samples of a cohort under the platform model: τ², what is not known
//! of the reference, and the exposures in turn.

use super::fit_poisson::{check_first_sample, fit, Params};
use super::likelihood::{Block, FittedPlatform, PlatformModel};
use super::metrics::{fitted_means, GeneMoments, MomentTree, SampleMetrics};
use super::solve::scoring::{minimise, Task};
use crate::base::convergence::Stop;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::numbers::golden_section;
use crate::base::parallel::{over_blocks, with_threads, Monitor, SAMPLE_BLOCK};
use crate::matrix::counts::Counts;
use std::ops::Range;

/// Samples that τ² is estimated from, spread over the cohort.
const TAU_SAMPLES: usize = 16;
/// Range of log τ²: errors of genes from 0.1 %, far below what counts tell, to a
/// typical factor of 90, at which a log ratio says nothing.
const LOG_TAU2: (f64, f64) = (-14.0, 3.0);

/// Settings of [`fit_platform`].
#[derive(Clone, Debug)]
pub struct PlatformParams {
    /// τ²; `None` to estimate it.
    pub tau2: Option<f64>,
    /// Alternations between τ², the uncertainty of the reference, and the fit.
    pub rounds: usize,
    /// Scatters the starting points when given.
    pub seed: Option<u64>,
    /// As in [`Params`].
    pub first_sample: usize,
    /// Evaluations per sample and round at most.
    pub max_iter: usize,
    /// Decrease promised by the quadratic model at which a fit stops, in units of
    /// F.
    pub tolerance: f64,
    pub threads: usize,
}

impl Default for PlatformParams {
    fn default() -> Self {
        PlatformParams {
            tau2: None,
            seed: None,
            first_sample: 0,
            rounds: 2,
            max_iter: 200,
            tolerance: 1e-8,
            threads: 1,
        }
    }
}

/// The answer for one sample.
#[derive(Clone, Debug)]
pub struct PlatformSample {
    pub exposures: Vec<f64>,
    /// F.
    pub value: f64,
    /// Decrease of F that the quadratic model promises beyond this point.
    pub decrement: f64,
    pub iterations: usize,
    pub stop: Stop,
    pub metrics: SampleMetrics,
}

pub struct PlatformFit {
    pub samples: Vec<PlatformSample>,
    pub genes: MomentTree,
    pub tau2: f64,
}

/// Fits every sample of `counts`, whose genes are the rows of the model's
/// design.  `floors` holds φ > 0 per sample, in counts.
///
/// # Errors
/// As [`fit`]; `Shape` and `Argument` for `floors`.
pub fn fit_platform(
    platform: &PlatformModel<'_>,
    counts: &Counts<'_>,
    floors: &[f64],
    params: &PlatformParams,
    monitor: &Monitor<'_>,
) -> Result<PlatformFit, CoreError> {
    let n_samples = counts.n_samples();
    check_length("floors", n_samples, floors.len())?;
    for &floor in floors {
        check_value("floors", floor, "positive", |f| f > 0.0 && f.is_finite())?;
    }
    let model = platform.model;
    check_first_sample(params.first_sample)?;
    let start = Params {
        tolerance: 1e-6,
        seed: params.seed,
        first_sample: params.first_sample,
        threads: params.threads,
        ..Params::default()
    };
    let poisson = fit(model, counts, &start, &monitor.silent())?;
    let mut exposures: Vec<Vec<f64>> = poisson.samples.into_iter().map(|s| s.exposures).collect();
    let mut tau2 = params.tau2.unwrap_or(0.0);
    let mut samples: Vec<PlatformSample> = Vec::new();
    let rounds = params.rounds.max(1);
    for round in 1..=rounds {
        if params.tau2.is_none() {
            tau2 = estimate_tau2(platform, counts, floors, &exposures);
        }
        let likelihood = FittedPlatform { platform, tau2, floors };
        let progress = if round == rounds { monitor } else { &monitor.silent() };
        samples.clear();
        with_threads(params.threads, || {
            let work = |range: Range<usize>| {
                let starts = exposures[range.clone()].to_vec();
                let block = Block::read(&likelihood, counts, range, starts);
                let fitted = fit_block(&block, params, monitor)?;
                progress.advance(block.len());
                Ok(fitted)
            };
            over_blocks(n_samples, SAMPLE_BLOCK, monitor, work, |_, block| samples.extend(block))
        })??;
        exposures = samples.iter().map(|sample| sample.exposures.clone()).collect();
    }
    let mut genes = MomentTree::default();
    let mut column = vec![0.0; model.n_rows()];
    let first_block = params.first_sample / SAMPLE_BLOCK;
    for (block, samples) in samples.chunks_mut(SAMPLE_BLOCK).enumerate() {
        let mut own = GeneMoments::new(model.n_rows());
        for (at, sample) in samples.iter_mut().enumerate() {
            counts.column_into(block * SAMPLE_BLOCK + at, &mut column);
            sample.metrics = SampleMetrics::new(model, &column, &sample.exposures, &mut own);
        }
        genes.push(first_block + block, own);
    }
    Ok(PlatformFit { samples, genes, tau2 })
}

/// Pseudo-likelihood of τ² from the log ratios of counts and fitted means,
/// r = log((k + φ)/(μ + φ)) with variance (φμ + (τ² + v) μ²)/(μ + φ)²; genes
/// weigh 1/D.
fn estimate_tau2(
    platform: &PlatformModel<'_>,
    counts: &Counts<'_>,
    floors: &[f64],
    exposures: &[Vec<f64>],
) -> f64 {
    let model = platform.model;
    let n_samples = counts.n_samples();
    let stride = n_samples.div_ceil(TAU_SAMPLES);
    let mut terms: Vec<[f64; 4]> = Vec::new();
    let mut column = vec![0.0; model.n_rows()];
    for sample in (0..n_samples).step_by(stride) {
        counts.column_into(sample, &mut column);
        let fitted = fitted_means(model, &exposures[sample]);
        let variance = platform.reference_variance(&exposures[sample], &fitted);
        let floor = floors[sample];
        for g in 0..model.n_used() {
            let (mu, shifted) = (fitted[g], fitted[g] + floor);
            let ratio = ((column[g] + floor) / shifted).ln();
            let slope = (mu / shifted).powi(2);
            let known = floor * mu / (shifted * shifted) + variance[g] * slope + 1e-12;
            terms.push([ratio * ratio, known, slope, model.weights()[g] / platform.discount[g]]);
        }
    }
    let deviance = |log_tau2: f64| -> f64 {
        let tau2 = log_tau2.exp();
        terms
            .iter()
            .map(|[square, known, slope, weight]| {
                let variance = known + tau2 * slope;
                weight * (square / variance + variance.ln())
            })
            .sum()
    };
    golden_section(deviance, LOG_TAU2, 1e-2).exp()
}

/// Fits each sample of a block from where it is.
fn fit_block(
    block: &Block<'_>,
    params: &PlatformParams,
    monitor: &Monitor<'_>,
) -> Result<Vec<PlatformSample>, CoreError> {
    let free = vec![false; block.model.n_sources()];
    let points = block.points.iter().enumerate();
    let tasks: Vec<Task> = points
        .map(|(i, point)| Task::new(i, point.clone(), free.clone(), params.tolerance))
        .collect();
    let minima = minimise(block, &tasks, params.max_iter, monitor)?.into_iter();
    let fitted = minima.map(|minimum| PlatformSample {
        exposures: minimum.exposures,
        value: minimum.value,
        decrement: minimum.decrement,
        iterations: minimum.iterations,
        stop: minimum.stop,
        metrics: SampleMetrics::default(),
    });
    Ok(fitted.collect())
}
