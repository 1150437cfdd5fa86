//! Best linear unbiased prediction, gene by gene.

use super::gene::Posterior;
use super::{check_requested, Cohort, CohortFit, Expression, Level, Loaded, GENE_BLOCK};
use crate::base::error::{check_length, CoreError};
use crate::base::numbers::dot;
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::{zeros, Array3, Columns};
use ndarray::{s, ArrayView3, Axis, ShapeBuilder};
use std::ops::Range;

/// What is to be predicted, and from what.
struct Asked<'a> {
    sources: &'a [usize],
    samples: &'a [usize],
    covariance: Option<ArrayView3<'a, f64>>,
    /// Of all sources and samples, sources first.
    exposures: Vec<f64>,
}

impl Cohort<'_> {
    /// Best linear unbiased prediction of the counts of `sources` in `samples`.
    /// `covariance` holds the covariance of the exposures of the first types of
    /// each of these samples (types × types × samples); `None` takes exposures as
    /// known.
    ///
    /// # Errors
    /// `Shape`, `Argument`, `Threads`, `Interrupted`.
    pub fn predict(
        &self,
        fit: &CohortFit,
        sources: &[usize],
        samples: &[usize],
        covariance: Option<ArrayView3<'_, f64>>,
        threads: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Expression, CoreError> {
        check_requested(&self.data, sources, samples)?;
        if let Some(covariance) = covariance {
            let (rows, columns, n_samples) = covariance.dim();
            check_length("covariance", rows, columns)?;
            check_length("covariance", samples.len(), n_samples)?;
        }
        let asked = Asked { sources, samples, covariance, exposures: self.sized_exposures(fit) };
        let array = |n| Array3::zeros((n, sources.len(), samples.len()).f());
        let work = |genes: Range<usize>| {
            let part = || array(genes.len());
            let mut part = [part(), part(), part()];
            let mut level =
                [zeros((genes.len(), sources.len())), zeros((genes.len(), sources.len()))];
            let mut loaded = Loaded::default();
            let mut posterior = Posterior::default();
            for (row, g) in genes.clone().enumerate() {
                self.predict_gene(g, fit, &asked, &mut loaded, &mut posterior, |cell, found| {
                    for (values, value) in part.iter_mut().zip(found) {
                        values[(row, cell.0, cell.1)] = value;
                    }
                });
                for (place, &j) in sources.iter().enumerate() {
                    let between = fit.between[(g, j)] * loaded.scale * loaded.scale;
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
        asked: &Asked<'_>,
        loaded: &mut Loaded,
        posterior: &mut Posterior,
        mut set: impl FnMut((usize, usize), [f64; 3]),
    ) {
        let n_sources = self.n_sources();
        let between: Vec<f64> = (0..n_sources).map(|j| fit.between[(g, j)]).collect();
        self.load(g, fit, &between, loaded);
        let scaled: Vec<f64> = between.iter().map(|v| v * loaded.scale * loaded.scale).collect();
        let gene = loaded.gene(self.counts(g), &asked.exposures, fit.tau2);
        posterior.update(&gene, &scaled);
        let mut with_exposures = vec![0.0; n_sources];
        let mut with_mean = Vec::new();
        for (at, &s) in asked.samples.iter().enumerate() {
            let own = &asked.exposures[s * n_sources..(s + 1) * n_sources];
            let total = posterior.total[s];
            // What the quadratic forms of all types share, for type j in O(1) each: with
            // w = 1_j − c e, w'Cw = C_jj − 2c (Ce)_j + c² e'Ce.
            for (value, column) in with_exposures.iter_mut().zip(posterior.columns()) {
                *value = dot(column, own);
            }
            let fitted_variance = posterior.fitted_variance[s];
            let errors = asked.covariance.as_ref().map(|all| all.index_axis(Axis(2), at));
            let mean_variance = errors.map_or(0.0, |errors| {
                let n = errors.nrows();
                with_mean.clear();
                with_mean.extend((0..n).map(|l| dot(errors.col(l), &posterior.mean[..n])));
                dot(&with_mean, &posterior.mean[..n])
            });
            for (place, &j) in asked.sources.iter().enumerate() {
                if own[j] == 0.0 {
                    continue;
                }
                // z = x_j + c (k − e'x): its posterior is that of (1_j − c e)'x,
                // and what d_j has left given x
                let gain = own[j] * scaled[j] / total;
                let share = own[j] * gain;
                let value = own[j] * (posterior.mean[j] + gain * posterior.residual[s]);
                let of_mean = posterior.covariance[j * n_sources + j]
                    - 2.0 * gain * with_exposures[j]
                    + gain * gain * fitted_variance;
                let left = scaled[j] * (1.0 - share) + of_mean;
                let mut variance = own[j] * own[j] * left;
                if let Some(errors) = errors.filter(|errors| j < errors.nrows()) {
                    // ∂Z_j/∂e_l = x_l (1[l = j] − share), in the same way
                    let x = posterior.mean[j];
                    let of_exposures = x * x * errors[(j, j)] - 2.0 * share * x * with_mean[j]
                        + share * share * mean_variance;
                    variance += fit.sizes[s] * fit.sizes[s] * of_exposures;
                } else {
                    // a background: no exposure of its own has an error
                    variance += (fit.sizes[s] * share).powi(2) * mean_variance;
                }
                let known = 1.0 - fitted_variance / total;
                let reliability = (share * known).clamp(0.0, 1.0);
                set((place, at), [value.max(0.0), variance.max(0.0), reliability]);
            }
        }
    }
}
