//! Best linear unbiased prediction, gene by gene.

use super::gene::{quadratic, Posterior};
use super::{check_requested, Cohort, CohortFit, Expression, Loaded, GENE_BLOCK};
use crate::error::{check_length, CoreError};
use crate::parallel::{with_threads, Monitor};
use rayon::prelude::*;

impl Cohort<'_> {
    /// Best linear unbiased prediction of the counts of `sources` in `samples`.
    /// `covariance` holds the covariance of the exposures of the first types of
    /// each of these samples (types × types × samples); empty to take exposures
    /// as known.
    ///
    /// # Errors
    /// `Shape`, `Argument`, `Threads`, `Interrupted`.
    pub fn predict(
        &self,
        fit: &CohortFit,
        sources: &[usize],
        samples: &[usize],
        covariance: &[f64],
        threads: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Expression, CoreError> {
        check_requested(&self.data, sources, samples)?;
        let n_types = ((covariance.len() / samples.len().max(1)) as f64).sqrt() as usize;
        check_length("covariance", n_types * n_types * samples.len(), covariance.len())?;
        let n_genes = self.n_genes();
        let exposures = self.sized_exposures(fit);
        let starts: Vec<usize> = (0..n_genes).step_by(GENE_BLOCK).collect();
        let width = sources.len() * samples.len();
        let blocks: Vec<Vec<[f64; 3]>> = with_threads(threads, || {
            starts
                .par_iter()
                .map(|&start| {
                    monitor.check()?;
                    let end = (start + GENE_BLOCK).min(n_genes);
                    let mut found = Vec::with_capacity((end - start) * width);
                    let mut loaded = Loaded::default();
                    let mut posterior = Posterior::default();
                    for g in start..end {
                        self.predict_gene(
                            g,
                            fit,
                            &exposures,
                            (sources, samples),
                            (covariance, n_types),
                            &mut loaded,
                            &mut posterior,
                            &mut found,
                        );
                    }
                    monitor.advance(end - start);
                    Ok(found)
                })
                .collect::<Result<_, CoreError>>()
        })??;
        let mut out = Expression {
            value: vec![0.0; n_genes * width],
            variance: vec![0.0; n_genes * width],
            reliability: vec![0.0; n_genes * width],
        };
        for (start, block) in starts.iter().zip(blocks) {
            for (gene, cells) in block.chunks_exact(width.max(1)).enumerate() {
                for (cell, [value, variance, reliability]) in cells.iter().enumerate() {
                    let at = cell * n_genes + start + gene;
                    out.value[at] = *value;
                    out.variance[at] = *variance;
                    out.reliability[at] = *reliability;
                }
            }
        }
        Ok(out)
    }

    #[allow(clippy::too_many_arguments)]
    fn predict_gene(
        &self,
        g: usize,
        fit: &CohortFit,
        exposures: &[f64],
        (sources, samples): (&[usize], &[usize]),
        (covariance, n_types): (&[f64], usize),
        loaded: &mut Loaded,
        posterior: &mut Posterior,
        found: &mut Vec<[f64; 3]>,
    ) {
        let n_sources = self.n_sources();
        let between: Vec<f64> = (0..n_sources).map(|j| fit.between[(g, j)]).collect();
        self.load(g, fit, &between, loaded);
        let scaled: Vec<f64> = between.iter().map(|v| v * loaded.scale * loaded.scale).collect();
        posterior.update(&loaded.gene(self.counts(g), exposures, fit.tau2), &scaled);
        let mut weights = vec![0.0; n_sources];
        let mut slope = vec![0.0; n_types];
        for (place, &s) in samples.iter().enumerate() {
            let own = &exposures[s * n_sources..(s + 1) * n_sources];
            let total = posterior.total[s];
            for &j in sources {
                if own[j] == 0.0 {
                    found.push([0.0; 3]);
                    continue;
                }
                // z = x_j + c (k − e'x): its posterior is that of (1_j − c e)'x,
                // and what d_j has left given x
                let gain = own[j] * scaled[j] / total;
                let share = own[j] * gain;
                let value = own[j] * (posterior.mean[j] + gain * posterior.residual[s]);
                for (w, e) in weights.iter_mut().zip(own) {
                    *w = -gain * e;
                }
                weights[j] += 1.0;
                let left = scaled[j] * (1.0 - share) + quadratic(&posterior.covariance, &weights);
                let mut variance = own[j] * own[j] * left;
                if n_types > 0 {
                    // ∂Z_j/∂e_l = x_l (1[l = j] − share)
                    for (l, d) in slope.iter_mut().enumerate() {
                        let kept = if l == j { 1.0 - share } else { -share };
                        *d = fit.sizes[s] * posterior.mean[l] * kept;
                    }
                    let size = n_types * n_types;
                    variance += quadratic(&covariance[place * size..(place + 1) * size], &slope);
                }
                let known = 1.0 - posterior.fitted_variance[s] / total;
                found.push([value.max(0.0), variance.max(0.0), (share * known).clamp(0.0, 1.0)]);
            }
        }
    }
}
