//! Deconvolution when reference and bulk come from different platforms: every
//! gene has a multiplicative error of its own.
//!
//! k_g ~ Poisson(μ_g exp(b_g)), b_g ~ N(0, s²_g), s²_g = τ² D_g + v_g.  τ² is
//! the variance between the platforms, estimated from the cohort; D_g ≥ 1
//! discounts genes whose errors go together (the caller says how much); v_g is
//! what is not known of the reference.  In units of a floor φ per sample,
//! y = k/φ and m = μ/φ, the objective profiles the errors out:
//!
//! > F(e) = Σ_g w_g min_b { m e^b − y − y (log m + b − log y) + b²/(2 s²) }
//!
//! s² → 0 gives the Poisson fit, s² m → ∞ weighted least squares of log counts.
//! F is convex in log μ but not in e: what is certified is a stationary point,
//! by the decrease that the quadratic model still promises.

mod profile;

use self::profile::{logs, Errors};
use super::fit::{fit, Params, SAMPLE_BLOCK};
use super::likelihood::{GeneTerms, Likelihood};
use super::metrics::{fitted_means, GeneMoments, SampleMetrics};
use super::model::Model;
use super::scoring::{minimise, Task};
use super::solver::Stop;
use crate::counts::Counts;
use crate::error::{check_length, check_value, CoreError};
use crate::parallel::{with_threads, Monitor};
use faer::{Mat, MatRef};
use rayon::prelude::*;
use std::ops::Range;

/// Share of all exposures below which a type still counts for the uncertainty
/// of the reference: a type at zero would otherwise make its genes certain.
const LEAST_SHARE: f64 = 1e-4;
/// Samples that τ² is estimated from, spread over the cohort.
const TAU_SAMPLES: usize = 16;
/// Range of log τ².
const LOG_TAU2: (f64, f64) = (-14.0, 3.0);

/// A model with errors per gene; all per-gene arguments are over the genes that
/// `model` was built from.
pub struct PlatformModel<'m> {
    model: &'m Model,
    /// Variance of a_gj, design rows × types.
    variance: Mat<f64>,
    /// D_g per design row; 1 in the padding.
    discount: Vec<f64>,
}

impl<'m> PlatformModel<'m> {
    /// `variance` (genes × types) is the variance of the signatures, before
    /// scaling by length.
    ///
    /// # Errors
    /// `Shape`, or `Argument` for a negative variance or a discount below 1.
    pub fn new(
        model: &'m Model,
        variance: MatRef<'_, f64>,
        discount: &[f64],
    ) -> Result<Self, CoreError> {
        let genes = model.row_of_gene().len();
        check_length("variance", genes * model.n_sources(), variance.nrows() * variance.ncols())?;
        check_length("discount", genes, discount.len())?;
        let mut scaled = Mat::zeros(model.n_rows(), model.n_sources());
        let mut discounts = vec![1.0; model.n_rows()];
        for (gene, &row) in model.row_of_gene().iter().enumerate() {
            let Ok(row) = usize::try_from(row) else { continue };
            check_value("discount", discount[gene], "at least 1", |d| d >= 1.0)?;
            discounts[row] = discount[gene];
            for j in 0..model.n_sources() {
                let valid = |v: f64| v >= 0.0 && v.is_finite();
                check_value("variance", variance[(gene, j)], "non-negative", valid)?;
                scaled[(row, j)] = model.lengths()[row].powi(2) * variance[(gene, j)];
            }
        }
        Ok(PlatformModel { model, variance: scaled, discount: discounts })
    }

    /// s²_g = τ² D_g + v_g at the given exposures.
    fn error_variance(&self, exposures: &[f64], fitted: &[f64], tau2: f64) -> Vec<f64> {
        let mut variance = self.reference_variance(exposures, fitted);
        variance.iter_mut().zip(&self.discount).for_each(|(v, d)| *v += tau2 * d);
        variance
    }

    /// v_g: relative variance of μ_g from the reference, at the given exposures.
    fn reference_variance(&self, exposures: &[f64], fitted: &[f64]) -> Vec<f64> {
        let least = LEAST_SHARE * exposures.iter().sum::<f64>();
        let mut variance = vec![0.0; fitted.len()];
        for (j, exposure) in exposures.iter().enumerate() {
            let square = exposure.max(least).powi(2);
            for (v, own) in variance.iter_mut().zip(self.variance.col_as_slice(j)) {
                *v += square * own;
            }
        }
        for (v, mu) in variance.iter_mut().zip(fitted) {
            *v = if *mu > 0.0 { *v / (mu * mu) } else { 0.0 };
        }
        variance
    }
}

/// A platform model with its τ² and the floors of its samples: what tells the
/// uncertainty of a fit.
pub struct FittedPlatform<'m> {
    pub platform: &'m PlatformModel<'m>,
    pub tau2: f64,
    pub floors: &'m [f64],
}

/// Counts and error variances of one sample, over design rows.
pub struct PlatformSampleCounts {
    /// y, log y and s².
    scaled: Vec<f64>,
    log_scaled: Vec<f64>,
    error: Vec<f64>,
    floor: f64,
}

impl FittedPlatform<'_> {
    fn errors<'a>(&'a self, sample: &'a PlatformSampleCounts, genes: Range<usize>) -> Errors<'a> {
        Errors {
            scaled: &sample.scaled[genes.clone()],
            log_scaled: &sample.log_scaled[genes.clone()],
            variance: &sample.error[genes.clone()],
            weights: &self.platform.model.weights()[genes],
            floor: sample.floor,
        }
    }
}

impl Likelihood for FittedPlatform<'_> {
    type Sample = PlatformSampleCounts;

    fn model(&self) -> &Model {
        self.platform.model
    }

    /// Discounted genes have variances far above their residuals, and would
    /// make a sample look better than its model.
    fn least_dispersion(&self) -> f64 {
        1.0
    }

    fn sample(&self, index: usize, counts: &[f64], exposures: &[f64]) -> PlatformSampleCounts {
        let floor = self.floors[index];
        let scaled: Vec<f64> = counts.iter().map(|k| k / floor).collect();
        let fitted = fitted_means(self.platform.model, exposures);
        PlatformSampleCounts {
            log_scaled: logs(&scaled),
            scaled,
            error: self.platform.error_variance(exposures, &fitted, self.tau2),
            floor,
        }
    }

    /// `memory` holds log(m e^b), a start for the next evaluation.
    fn terms(
        &self,
        sample: &PlatformSampleCounts,
        genes: Range<usize>,
        mu: &[f64],
        memory: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        memory.resize(sample.scaled.len(), f64::NAN);
        self.errors(sample, genes.clone()).terms(mu, &mut memory[genes], slope, curvature)
    }

    fn gene_terms(&self, sample: &PlatformSampleCounts, fitted: &[f64]) -> GeneTerms {
        let n = fitted.len();
        let (mut slope, mut information) = (vec![0.0; n], vec![0.0; n]);
        let errors = self.errors(sample, 0..n);
        errors.terms(fitted, &mut vec![f64::NAN; n], &mut slope, &mut information);
        let score: Vec<f64> = slope.iter().map(|s| -s).collect();
        let squares = score.iter().zip(&information);
        GeneTerms {
            pearson: squares.map(|(s, i)| if *i > 0.0 { s * s / i } else { 0.0 }).collect(),
            score,
            expected: information.clone(),
            hat: information.clone(),
            information,
        }
    }
}

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

/// Where a unimodal function is least.
fn golden_section(f: impl Fn(f64) -> f64, (mut low, mut high): (f64, f64), tolerance: f64) -> f64 {
    const RATIO: f64 = 0.618_033_988_749_894_8;
    let (mut a, mut b) = (high - RATIO * (high - low), low + RATIO * (high - low));
    let (mut fa, mut fb) = (f(a), f(b));
    while high - low > tolerance {
        if fa < fb {
            (high, b, fb) = (b, a, fa);
            a = high - RATIO * (high - low);
            fa = f(a);
        } else {
            (low, a, fa) = (a, b, fb);
            b = low + RATIO * (high - low);
            fb = f(b);
        }
    }
    0.5 * (low + high)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_section_finds_the_minimum() {
        let at = golden_section(|x| (x - 1.3).powi(2), (-14.0, 3.0), 1e-6);
        assert!((at - 1.3).abs() < 1e-5);
    }
}
