//! Best linear unbiased prediction, gene by gene.

use super::gene::Posterior;
use super::programs::{Effect, KnownPrograms};
use super::{check_requested, Cohort, CohortFit, Expression, Level, Loaded, GENE_BLOCK};
use crate::base::error::{check_length, CoreError};
use crate::base::numbers::dot;
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::{zeros, Array3, Columns};
use ndarray::{s, ArrayView3, Axis, ShapeBuilder};
use std::ops::Range;

/// What is to be predicted, and from what.
pub struct Asked<'a> {
    pub sources: &'a [usize],
    pub samples: &'a [usize],
    /// Of the exposures of the first types of each of these samples, types × types ×
    /// samples; `None` takes exposures as known.
    pub covariance: Option<ArrayView3<'a, f64>>,
    /// Programs with their [`activities`](Cohort::activities) in these samples.
    pub programs: Option<KnownPrograms<'a>>,
}

impl Cohort<'_> {
    /// Best linear unbiased prediction of the counts of some sources in some samples.
    ///
    /// # Errors
    /// `Shape`, `Argument`, `Threads`, `Interrupted`.
    pub fn predict(
        &self,
        fit: &CohortFit,
        asked: &Asked<'_>,
        threads: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Expression, CoreError> {
        let Asked { sources, samples, covariance, programs } = asked;
        check_requested(&self.data, sources, samples)?;
        if let Some(covariance) = covariance {
            let (rows, columns, n_samples) = covariance.dim();
            check_length("covariance", rows, columns)?;
            check_length("covariance", samples.len(), n_samples)?;
        }
        if let Some(programs) = programs {
            programs.check(self, samples.len())?;
        }
        let exposures = self.sized_exposures(fit);
        let array = |n| Array3::zeros((n, sources.len(), samples.len()).f());
        let work = |genes: Range<usize>| {
            let part = || array(genes.len());
            let mut part = [part(), part(), part()];
            let mut level =
                [zeros((genes.len(), sources.len())), zeros((genes.len(), sources.len()))];
            let mut loaded = Loaded::default();
            let mut posterior = Posterior::default();
            for (row, g) in genes.clone().enumerate() {
                self.predict_gene(
                    g,
                    fit,
                    (asked, &exposures),
                    &mut loaded,
                    &mut posterior,
                    |cell, found| {
                        for (values, value) in part.iter_mut().zip(found) {
                            values[(row, cell.0, cell.1)] = value;
                        }
                    },
                );
                for (place, &j) in sources.iter().enumerate() {
                    let of_programs = |p: &KnownPrograms<'_>| p.prior_variance(g, loaded.scale, j);
                    let shared = programs.as_ref().map_or(0.0, of_programs);
                    let between = fit.between[(g, j)] * loaded.scale * loaded.scale + shared;
                    let of_mean = posterior.covariance[j * self.n_sources() + j];
                    level[0][(row, place)] = posterior.mean[j].max(0.0);
                    level[1][(row, place)] = between + of_mean;
                }
            }
            monitor.advance(genes.len());
            Ok((part, level))
        };
        let whole = || array(self.n_genes());
        let mut out = [whole(), whole(), whole()];
        let whole = || zeros((self.n_genes(), sources.len()));
        let mut levels = [whole(), whole()];
        with_threads(threads, || {
            over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |genes, (part, level)| {
                for (out, part) in out.iter_mut().zip(&part) {
                    out.slice_mut(s![genes.clone(), .., ..]).assign(part);
                }
                for (out, part) in levels.iter_mut().zip(&level) {
                    out.slice_mut(s![genes.clone(), ..]).assign(part);
                }
            })
        })??;
        let [value, variance, reliability] = out;
        let [mean, of_sample] = levels;
        let level = Some(Level { mean, variance: of_sample });
        Ok(Expression { value, variance, reliability: Some(reliability), level })
    }

    /// Calls `set((source, sample), [value, variance, reliability])` for every place
    /// that was asked for.
    fn predict_gene(
        &self,
        g: usize,
        fit: &CohortFit,
        (asked, exposures): (&Asked<'_>, &[f64]),
        loaded: &mut Loaded,
        posterior: &mut Posterior,
        mut set: impl FnMut((usize, usize), [f64; 3]),
    ) {
        let n_sources = self.n_sources();
        let between: Vec<f64> = (0..n_sources).map(|j| fit.between[(g, j)]).collect();
        self.load(g, fit, &between, loaded);
        let scaled: Vec<f64> = between.iter().map(|v| v * loaded.scale * loaded.scale).collect();
        let gene = loaded.gene(self.counts(g), exposures, fit.tau2);
        posterior.update(&gene, &scaled);
        let mut with_exposures = vec![0.0; n_sources];
        let mut with_mean = Vec::new();
        let mut means = posterior.mean.clone();
        let mut effect = Effect::default();
        for (at, &s) in asked.samples.iter().enumerate() {
            let own = &exposures[s * n_sources..(s + 1) * n_sources];
            let total = posterior.total[s];
            // What the quadratic forms of all types share, for type j in O(1) each: with
            // w = 1_j − c e, w'Cw = C_jj − 2c (Ce)_j + c² e'Ce.
            for (value, column) in with_exposures.iter_mut().zip(posterior.columns()) {
                *value = dot(column, own);
            }
            let fitted_variance = posterior.fitted_variance[s];
            // means of this sample's types, and what they leave of its count
            let mut residual = posterior.residual[s];
            if let Some(programs) = &asked.programs {
                programs.effect(g, loaded.scale, at, own, &mut effect);
                residual -= effect.sum;
                for (j, mean) in means.iter_mut().enumerate() {
                    *mean = posterior.mean[j] + programs.deviation(g, loaded.scale, j, at);
                }
            }
            let errors = asked.covariance.as_ref().map(|all| all.index_axis(Axis(2), at));
            let mean_variance = errors.map_or(0.0, |errors| {
                let n = errors.nrows();
                with_mean.clear();
                with_mean.extend((0..n).map(|l| dot(errors.col(l), &means[..n])));
                dot(&with_mean, &means[..n])
            });
            for (place, &j) in asked.sources.iter().enumerate() {
                if own[j] == 0.0 {
                    continue;
                }
                // z = x_j + c (k − e'x): its posterior is that of (1_j − c e)'x,
                // and what d_j has left given x
                let gain = own[j] * scaled[j] / total;
                let share = own[j] * gain;
                let mut value = own[j] * (posterior.mean[j] + gain * residual);
                let of_mean = posterior.covariance[j * n_sources + j]
                    - 2.0 * gain * with_exposures[j]
                    + gain * gain * fitted_variance;
                let left = scaled[j] * (1.0 - share) + of_mean;
                let mut variance = own[j] * own[j] * left;
                let mut explained = share;
                if let Some(programs) = &asked.programs {
                    // the same with w = 1_j − share·1 for the programs
                    let of_type = programs.of_type(j, at, &effect);
                    let of_programs = of_type.variance - 2.0 * share * of_type.covariance
                        + share * share * effect.variance;
                    value += of_type.sum;
                    variance += of_programs;
                    let gene_wise = own[j] * own[j] * scaled[j];
                    let deviation = gene_wise + of_type.prior;
                    if of_type.prior > 0.0 {
                        explained = (gene_wise * share + of_type.prior - of_programs) / deviation;
                    }
                }
                if let Some(errors) = errors.filter(|errors| j < errors.nrows()) {
                    // ∂Z_j/∂e_l = x_l (1[l = j] − share), in the same way
                    let x = means[j];
                    let of_exposures = x * x * errors[(j, j)] - 2.0 * share * x * with_mean[j]
                        + share * share * mean_variance;
                    variance += fit.sizes[s] * fit.sizes[s] * of_exposures;
                } else {
                    // a background: no exposure of its own has an error
                    variance += (fit.sizes[s] * share).powi(2) * mean_variance;
                }
                let known = 1.0 - fitted_variance / total;
                let reliability = (explained * known).clamp(0.0, 1.0);
                set((place, at), [value.max(0.0), variance.max(0.0), reliability]);
            }
        }
    }
}
