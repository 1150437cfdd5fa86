//! Fits all samples of a cohort under the platform model: τ², what is not known
//! of the reference, and the exposures in turn.

use super::fit_poisson::{fit, Params, SAMPLE_BLOCK};
use super::likelihood::{FittedPlatform, Likelihood, PlatformModel, PlatformSampleCounts};
use super::metrics::{fitted_means, GeneMoments, SampleMetrics};
use super::solve::scoring::{minimise, Task};
use super::solve::Stop;
use crate::counts::Counts;
use crate::error::{check_length, check_value, CoreError};
use crate::numbers::golden_section;
use crate::parallel::{with_threads, Monitor};
use rayon::prelude::*;
use std::ops::Range;

/// Samples that τ² is estimated from, spread over the cohort.
const TAU_SAMPLES: usize = 16;
/// Range of log τ².
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
    pub genes: GeneMoments,
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
    let start =
        Params { tolerance: 1e-6, seed: params.seed, threads: params.threads, ..Params::default() };
    let poisson = fit(model, counts, &start, &monitor.silent())?;
    let mut exposures: Vec<Vec<f64>> = poisson.samples.into_iter().map(|s| s.exposures).collect();
    let mut tau2 = params.tau2.unwrap_or(0.0);
    let mut samples = Vec::new();
    let rounds = params.rounds.max(1);
    for round in 1..=rounds {
        if params.tau2.is_none() {
            tau2 = estimate_tau2(platform, counts, floors, &exposures);
        }
        let blocks: Vec<Range<usize>> = (0..n_samples)
            .step_by(SAMPLE_BLOCK)
            .map(|first| first..(first + SAMPLE_BLOCK).min(n_samples))
            .collect();
        let likelihood = FittedPlatform { platform, tau2, floors };
        let fitted: Vec<Vec<PlatformSample>> = with_threads(params.threads, || {
            blocks
                .par_iter()
                .map(|range| {
                    let starts = &exposures[range.clone()];
                    let block =
                        solve_block(&likelihood, counts, range.clone(), starts, params, monitor);
                    if round == rounds {
                        monitor.advance(range.len());
                    }
                    block
                })
                .collect::<Result<_, CoreError>>()
        })??;
        samples = fitted.into_iter().flatten().collect();
        exposures = samples.iter().map(|s: &PlatformSample| s.exposures.clone()).collect();
    }
    let mut genes = GeneMoments::new(model.n_rows());
    let mut column = vec![0.0; model.n_rows()];
    for (index, sample) in samples.iter_mut().enumerate() {
        counts.column_into(index, &mut column);
        sample.metrics = SampleMetrics::new(model, &column, &sample.exposures, &mut genes);
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

fn solve_block(
    likelihood: &FittedPlatform<'_>,
    counts: &Counts<'_>,
    range: Range<usize>,
    starts: &[Vec<f64>],
    params: &PlatformParams,
    monitor: &Monitor<'_>,
) -> Result<Vec<PlatformSample>, CoreError> {
    let model = likelihood.platform.model;
    let mut column = vec![0.0; model.n_rows()];
    let samples: Vec<PlatformSampleCounts> = range
        .zip(starts)
        .map(|(sample, start)| {
            counts.column_into(sample, &mut column);
            likelihood.sample(sample, &column, start)
        })
        .collect();
    let tasks: Vec<Task> = starts
        .iter()
        .enumerate()
        .map(|(sample, start)| Task {
            sample,
            start: start.clone(),
            held: vec![false; start.len()],
            hessian: None,
            tolerance: params.tolerance,
        })
        .collect();
    let minima = minimise(likelihood, &samples, &tasks, params.max_iter, monitor)?;
    Ok(minima
        .into_iter()
        .map(|minimum| PlatformSample {
            exposures: minimum.exposures,
            value: minimum.value,
            decrement: minimum.decrement,
            iterations: minimum.iterations,
            stop: minimum.stop,
            metrics: SampleMetrics::default(),
        })
        .collect())
}
