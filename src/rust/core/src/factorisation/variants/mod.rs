//! Clones from allele counts of single cells: genotype calls, their weights, and
//! a weighted factorisation in the unit box (the model of CCLONE, Marot-Lassauzaie
//! et al. 2024, bioRxiv 2024.02.21.581377).
//!
//! Calls M (variants × cells) are V C plus noise with variance σ_i² / Ω_ij, V and C
//! in [0, 1]: the minimum over V, C and σ² of
//!
//! ½ Σ_ij [Ω_ij (M_ij − (V C)_ij)² / σ_i² + log σ_i²] + ½ λ Σ C²,
//!
//! where the sum is over entries with a call.  With σ = 1 and λ = 0 it is CCLONE's
//! objective.  A variant whose calls scatter for reasons of its own (few reads of
//! a heterozygous site show one allele only) then gets a large σ_i instead of a
//! component, as in factor analysis.

mod calls;
mod components;
mod intervals;

pub use calls::{call_genotypes, CallWeight, Calls};
pub use intervals::{largest, Intervals};

use super::alternate::{Outcome, Pair, Rules};
use super::choose::matching::best_assignment;
use super::data::Side;
use super::penalty::{Constraint, Penalty};
use super::weighted::{factorise_weighted, random_start, WeightedMatrix, WeightedModel};
use super::weights::Weights;
use crate::base::convergence::Stop;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::{from_fn, zeros, Array2, Csc, Matrix};
use components::{by_total, cosine, normalised, shares};
use intervals::intervals;
use rand::Rng;
use rayon::prelude::*;

/// Settings of [`factorise_variants`].
#[derive(Clone, Copy, Debug)]
pub struct VariantSettings {
    pub rank: usize,
    /// Random starts; the one with the lowest objective is kept.
    pub runs: usize,
    /// Resamples of the variants, with replacement.
    pub resamples: usize,
    /// Coverage of the intervals.
    pub level: f64,
    pub max_iterations: usize,
    pub tolerance: f64,
    pub noise: Noise,
    /// λ.  A uniform C on [0, 1] has a mean square of 1/3, which a Gaussian prior
    /// with λ = 3 has too.
    pub ridge: f64,
    pub seed: u64,
}

/// Whose noise variance is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// σ = 1 for all variants.
    Common,
    /// One σ_i per variant.
    Variant,
}

crate::base::error::named!(Noise, "noise",
    "common" => Noise::Common,
    "variant" => Noise::Variant,
);

/// Residual variance of a variant is at least this part of its variance: a
/// component must not be bought by explaining one variant without any error
/// (a Heywood case).
const NOISE_FLOOR: f64 = 0.25;
/// Alternations between factors and noise.
const MAX_ROUNDS: usize = 50;

/// Factors and noise of one start.
#[derive(Clone)]
pub struct NoisyFit {
    /// V and C, rank × variants and rank × cells.
    pub factors: Pair,
    /// Optimality measure of the factors at this noise.
    pub kkt: f64,
    /// Of the last factors, or that the rounds were used up.
    pub stop: Stop,
    /// σ² per variant.
    pub noise: Vec<f64>,
    /// The objective after every round; it does not rise but by rounding.
    pub trace: Vec<f64>,
    pub iterations: usize,
}

/// What [`factorise_variants`] finds.  Components are in the order of their part
/// of the fitted total, scaled so that the largest coefficient of each is 1.
pub struct VariantFit {
    pub best: NoisyFit,
    pub best_run: usize,
    pub runs: Vec<VariantRun>,
    /// Share of each component in the fitted alleles of a cell, rank × cells.
    pub shares: Array2<f64>,
    /// From the resamples; empty without them.
    pub intervals: Option<Intervals>,
    /// Σ Ω (M − VC)² / Σ Ω M², and the same with squared weights; NaN when every call
    /// is 0.
    pub residuals: (f64, f64),
}

/// How one run ended.
#[derive(Clone, Debug)]
pub struct VariantRun {
    pub objective: f64,
    pub kkt: f64,
    pub iterations: usize,
    pub stop: Stop,
}

/// Factorises calls with weights (of one sparsity pattern, variants × cells).
///
/// # Errors
/// `Shape` and `Argument` for data and settings that do not fit, `Interrupted`.
pub fn factorise_variants(
    calls: Csc<'_>,
    weights: &[f64],
    settings: &VariantSettings,
    monitor: &Monitor<'_>,
) -> Result<VariantFit, CoreError> {
    check_length("weights", calls.n_stored(), weights.len())?;
    check_value("runs", settings.runs as f64, "at least 1", |v| v >= 1.0)?;
    check_value("level", settings.level, "between 0 and 1", |v| v > 0.0 && v < 1.0)?;
    check_value("ridge", settings.ridge, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
    let noisy = NoisyCalls::new(calls, weights, settings);
    let fits: Vec<NoisyFit> = (0..settings.runs)
        .into_par_iter()
        .map(|run| {
            let fit = noisy.run(run, monitor)?;
            monitor.advance(1);
            Ok(fit)
        })
        .collect::<Result<_, CoreError>>()?;
    let objective = |fit: &NoisyFit| *fit.trace.last().expect("there is a round");
    let runs: Vec<VariantRun> = fits
        .iter()
        .map(|one| VariantRun {
            objective: objective(one),
            kkt: one.kkt,
            iterations: one.iterations,
            stop: one.stop,
        })
        .collect();
    let order = runs.iter().enumerate().min_by(|a, b| a.1.objective.total_cmp(&b.1.objective));
    let best_run = order.map_or(0, |(run, _)| run);
    let best = &fits[best_run];
    let resampled: Vec<Array2<f64>> = (0..settings.resamples)
        .into_par_iter()
        .map(|resample| {
            let shares = noisy.resample(best, resample, monitor)?;
            monitor.advance(1);
            Ok(shares)
        })
        .collect::<Result<_, CoreError>>()?;
    let order = by_total(&best.factors);
    let ordered = |x: &Array2<f64>| from_fn(x.dim(), |r, j| x[(order[r], j)]);
    let resampled: Vec<Array2<f64>> = resampled.iter().map(ordered).collect();
    let best = NoisyFit { factors: normalised(&best.factors, &order), ..best.clone() };
    Ok(VariantFit {
        best_run,
        runs,
        shares: shares(&best.factors),
        intervals: (!resampled.is_empty()).then(|| intervals(&resampled, settings.level)),
        residuals: noisy.residuals(&best.factors),
        best,
    })
}

struct NoisyCalls<'a> {
    calls: Csc<'a>,
    weights: &'a [f64],
    settings: &'a VariantSettings,
    /// Calls per variant.
    observed: Vec<f64>,
    /// Mean of Ω (M − mean)² over the calls of each variant.
    variance: Vec<f64>,
}

impl<'a> NoisyCalls<'a> {
    fn new(calls: Csc<'a>, weights: &'a [f64], settings: &'a VariantSettings) -> Self {
        let mut sums = vec![[0.0; 4]; calls.n_rows()];
        for ((&row, &x), &w) in calls.rows().iter().zip(calls.values()).zip(weights) {
            if w > 0.0 {
                let sums = &mut sums[row as usize];
                let terms = [1.0, w, w * x, w * x * x];
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
        }
        let variance = |&[n, w, x, xx]: &[f64; 4]| {
            // Without any variation the variant says nothing: its weights stay.
            let variance = if w > 0.0 { (xx - x * x / w) / n } else { 0.0 };
            if variance > 1e-9 * xx {
                variance
            } else {
                1.0
            }
        };
        let observed = sums.iter().map(|s| s[0]).collect();
        let variance = sums.iter().map(variance).collect();
        NoisyCalls { calls, weights, settings, observed, variance }
    }

    /// The data, with the weights of each variant times a number.
    fn data(&self, times: &[f64]) -> Result<WeightedMatrix, CoreError> {
        let (n_rows, n_columns) = self.calls.shape();
        let weights = self.weights.iter().zip(self.calls.rows());
        let weights: Vec<f64> = weights.map(|(w, &row)| w * times[row as usize]).collect();
        // Products with dense matrices cost a tenth per entry.
        if 10 * self.calls.n_stored() < n_rows * n_columns {
            let weights = self.calls.with_values(weights);
            let weights = Weights::Entries(Matrix::Sparse(weights.view()));
            return WeightedMatrix::new(Matrix::Sparse(self.calls), weights);
        }
        let (mut x, mut omega) = (zeros((n_rows, n_columns)), zeros((n_rows, n_columns)));
        let mut weights = weights.into_iter();
        for j in 0..n_columns {
            for ((i, call), weight) in self.calls.entries(j).zip(&mut weights) {
                (x[(i, j)], omega[(i, j)]) = (call, weight);
            }
        }
        let weights = Weights::Entries(Matrix::Dense(omega.view()));
        WeightedMatrix::new(Matrix::Dense(x.view()), weights)
    }

    /// The factorisation for weights of variants times `times`.
    fn model(&self, times: &[f64]) -> Result<WeightedModel, CoreError> {
        let unit = Constraint { upper: 1.0, ..Constraint::default() };
        let penalty = Penalty { l2: self.settings.ridge, ..Penalty::default() };
        let constraints = [unit.clone(), Constraint { penalty, ..unit }];
        WeightedModel::new(self.data(times)?, self.settings.rank, constraints)
    }

    fn factorise(
        &self,
        model: &WeightedModel,
        start: Pair,
        monitor: &Monitor<'_>,
    ) -> Result<Outcome, CoreError> {
        let rules = Rules {
            max_iter: self.settings.max_iterations,
            tolerance: self.settings.tolerance,
            extrapolate: true,
            unchanged: None,
            every: 1,
        };
        factorise_weighted(model, start, &rules, monitor)
    }

    /// Alternates between the factors and the noise from a random start.
    fn run(&self, index: usize, monitor: &Monitor<'_>) -> Result<NoisyFit, CoreError> {
        let estimated = self.settings.noise == Noise::Variant;
        let mut noise =
            if estimated { self.variance.clone() } else { vec![1.0; self.observed.len()] };
        let model = self.model(&inverse(&noise))?;
        let mut rng = stream(self.settings.seed, Purpose::Start, index);
        let mut fit = self.factorise(&model, random_start(&model, &mut rng), monitor)?;
        let mut trace = vec![fit.objective + self.log_noise(&noise)];
        let mut iterations = fit.iterations;
        let mut settled = !estimated;
        while !settled && trace.len() <= MAX_ROUNDS {
            noise = self.noise(&fit.pair);
            let model = self.model(&inverse(&noise))?;
            fit = self.factorise(&model, fit.pair, monitor)?;
            iterations += fit.iterations;
            let last = trace[trace.len() - 1];
            let objective = fit.objective + self.log_noise(&noise);
            trace.push(objective);
            // the scale of a log-likelihood: changes below this mean nothing
            settled = last - objective < 1e-6 * self.observed.iter().sum::<f64>();
        }
        let Outcome { pair: factors, kkt, stop, .. } = fit;
        let stop = if settled { stop } else { Stop::MaxRounds };
        Ok(NoisyFit { factors, kkt, stop, noise, trace, iterations })
    }

    /// ½ Σ log σ².
    fn log_noise(&self, noise: &[f64]) -> f64 {
        0.5 * self.observed.iter().zip(noise).map(|(n, v)| n * v.ln()).sum::<f64>()
    }

    /// The σ² that minimise the objective above their floor.
    fn noise(&self, fit: &Pair) -> Vec<f64> {
        let mut sums = vec![0.0; self.observed.len()];
        self.for_each_error(fit, |i, weight, _, error| sums[i] += weight * error * error);
        let floored = |((sum, n), variance): ((&f64, &f64), &f64)| {
            if *n > 0.0 {
                (sum / n).max(NOISE_FLOOR * variance)
            } else {
                *variance
            }
        };
        sums.iter().zip(&self.observed).zip(&self.variance).map(floored).collect()
    }

    /// Shares from variants drawn with replacement, the noise as it is.
    fn resample(
        &self,
        best: &NoisyFit,
        resample: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Array2<f64>, CoreError> {
        let n_rows = self.calls.n_rows();
        let mut rng = stream(self.settings.seed, Purpose::Resample, resample);
        let mut times = vec![0.0; n_rows];
        (0..n_rows).for_each(|_| times[rng.random_range(0..n_rows)] += 1.0);
        times.iter_mut().zip(&best.noise).for_each(|(t, v)| *t /= v);
        let fit = self.factorise(&self.model(&times)?, best.factors.clone(), monitor)?.pair;
        let rank = self.settings.rank;
        let shares = shares(&fit);
        // which component of the resample is which: cosines over cells
        let mut similarity = vec![0.0; rank * rank];
        for r in 0..rank {
            for s in 0..rank {
                similarity[s * rank + r] = cosine(&best.factors, r, &fit, s);
            }
        }
        let partner = best_assignment(&similarity, rank)?;
        Ok(from_fn((rank, shares.ncols()), |r, j| shares[(partner[r], j)]))
    }

    /// Calls `f(variant, weight, call, error)` for every call.
    fn for_each_error(&self, fit: &Pair, mut f: impl FnMut(usize, f64, f64, f64)) {
        let line = |side: Side, at: usize| &fit.side(side)[at * fit.rank..(at + 1) * fit.rank];
        let mut weights = self.weights.iter();
        for j in 0..self.calls.n_columns() {
            for ((i, call), &weight) in self.calls.entries(j).zip(&mut weights) {
                let both = line(Side::Basis, i).iter().zip(line(Side::Coef, j));
                let fitted: f64 = both.map(|(v, c)| v * c).sum();
                f(i, weight, call, call - fitted);
            }
        }
    }

    /// Relative residuals with the weights and with their squares.  Of calls that are
    /// all 0 no part can be left unexplained: NaN, whatever rounding leaves.
    fn residuals(&self, fit: &Pair) -> (f64, f64) {
        let mut sums = [0.0; 4];
        self.for_each_error(fit, |_, w, call, error| {
            let terms = [w * error * error, w * call * call];
            sums[0] += terms[0];
            sums[1] += terms[1];
            sums[2] += w * terms[0];
            sums[3] += w * terms[1];
        });
        let part = |left: f64, all: f64| if all > 0.0 { left / all } else { f64::NAN };
        (part(sums[0], sums[1]), part(sums[2], sums[3]))
    }
}

fn inverse(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| 1.0 / v).collect()
}
