//! Variances between samples, learnt from the cohort itself.
//!
//! First what all genes share: the noise φ and, for every source, a factor f_j
//! on the reference's variance.  Then how heavy the tails of the genes around
//! that are (d₀ degrees of freedom), and then each gene's own σ²_gj, the mode of
//! its likelihood with an inverse-χ²(d₀) prior around f_j σ²_gj of the
//! reference.  All by the minorise-maximise step of Zhou, Hu, Qiao, Cho and Zhou
//! (2019, J. Comput. Graph. Stat. 28:350): σ² ← σ² sqrt(B / A), with
//! A = Σ_s e²/T and B = Σ_s e² r²/T², which never lowers the likelihood.

use super::gene::Posterior;
use super::{Cohort, CohortFit, CohortParams, Learn, Loaded, GENE_BLOCK};
use crate::base::error::CoreError;
use crate::base::numbers::{digamma, trigamma};
use crate::base::parallel::{over_blocks, Monitor};
use crate::matrix::zeros;
use std::ops::Range;

const SHARED_ROUNDS: usize = 12;
const GENE_ROUNDS: usize = 15;
/// Steps of a gene's variances between two updates of its means.
const INNER_STEPS: usize = 2;
/// Squared residuals count up to this many variances for what genes share.
const LARGEST_SQUARE: f64 = 16.0;
/// Range of the prior's degrees of freedom.
const FREEDOM: (f64, f64) = (2.0, 100.0);
/// Samples that the prior of one gene's variances is worth at most: the few genes
/// of one type that vary as no others do hardly show in the spread over all.
const MOST_WORTH: f64 = 6.0;
/// Genes that must vary beyond noise before their tails can be told.
const ENOUGH_GENES: usize = 30;
const TOLERANCE: f64 = 1e-3;

/// Sums over genes for what they share.
struct Sums {
    /// A and B of φ, then of every source.
    numerator: Vec<f64>,
    denominator: Vec<f64>,
    /// Log of the mean squared residual over its expectation, and its degrees
    /// of freedom, of genes that vary beyond noise.
    spreads: Vec<(f64, f64)>,
}

impl Cohort<'_> {
    pub(super) fn learn(
        &self,
        fit: &mut CohortFit,
        params: &CohortParams,
        monitor: &Monitor<'_>,
    ) -> Result<(), CoreError> {
        let exposures = self.sized_exposures(fit);
        let mut spreads = Vec::new();
        for _ in 0..SHARED_ROUNDS {
            let sums = self.shared_sums(fit, &exposures, monitor)?;
            let step = |i: usize| {
                let (b, a) = (sums.numerator[i], sums.denominator[i]);
                if a > 0.0 {
                    (b / a).sqrt()
                } else {
                    1.0
                }
            };
            fit.noise = (fit.noise * step(0)).max(params.least_noise);
            for (j, factor) in fit.factors.iter_mut().enumerate() {
                *factor *= step(j + 1);
            }
            spreads = sums.spreads;
        }
        if params.learn == Learn::Shared {
            for g in 0..self.n_genes() {
                for (j, value) in self.prior_variance(g, fit).into_iter().enumerate() {
                    fit.between[(g, j)] = value;
                }
            }
            return Ok(());
        }
        fit.prior_freedom = prior_law(&spreads).freedom.min(MOST_WORTH);
        let mut learnt = zeros(fit.between.dim());
        let work = |genes: Range<usize>| {
            let mut loaded = Loaded::default();
            let mut posterior = Posterior::default();
            let learn = |g| self.learn_gene(g, fit, &exposures, &mut loaded, &mut posterior);
            let found: Vec<Vec<f64>> = genes.clone().map(learn).collect();
            monitor.advance(genes.len());
            Ok(found)
        };
        over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |genes, found| {
            for (g, variances) in genes.zip(found) {
                for (j, value) in variances.into_iter().enumerate() {
                    learnt[(g, j)] = value;
                }
            }
        })?;
        fit.between = learnt;
        Ok(())
    }

    fn prior_variance(&self, g: usize, fit: &CohortFit) -> Vec<f64> {
        (0..self.n_sources()).map(|j| fit.factors[j] * self.prior.between[(g, j)]).collect()
    }

    fn shared_sums(
        &self,
        fit: &CohortFit,
        exposures: &[f64],
        monitor: &Monitor<'_>,
    ) -> Result<Sums, CoreError> {
        let n_sources = self.n_sources();
        let empty = || Sums {
            numerator: vec![0.0; n_sources + 1],
            denominator: vec![0.0; n_sources + 1],
            spreads: Vec::new(),
        };
        let work = |genes: Range<usize>| {
            let mut sums = empty();
            let mut loaded = Loaded::default();
            let mut posterior = Posterior::default();
            for g in genes {
                let between = self.prior_variance(g, fit);
                self.load(g, fit, &between, &mut loaded);
                let square = loaded.scale * loaded.scale;
                let scaled: Vec<f64> = between.iter().map(|v| v * square).collect();
                let gene = loaded.gene(self.counts(g), exposures, fit.tau2);
                posterior.update(&gene, &scaled);
                add_gene(&mut sums, &posterior, &loaded.noise, exposures, &scaled);
            }
            Ok(sums)
        };
        let mut all = empty();
        over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |_, block| {
            let add = |sums: &mut [f64], own: &[f64]| {
                sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            };
            add(&mut all.numerator, &block.numerator);
            add(&mut all.denominator, &block.denominator);
            all.spreads.extend(block.spreads);
        })?;
        Ok(all)
    }

    /// σ²_gj of one gene.
    fn learn_gene(
        &self,
        g: usize,
        fit: &CohortFit,
        exposures: &[f64],
        loaded: &mut Loaded,
        posterior: &mut Posterior,
    ) -> Vec<f64> {
        let prior = self.prior_variance(g, fit);
        let mut between = prior.clone();
        let n_sources = self.n_sources();
        let freedom = fit.prior_freedom;
        for _ in 0..GENE_ROUNDS {
            self.load(g, fit, &between, loaded);
            let square = loaded.scale * loaded.scale;
            let mut scaled: Vec<f64> = between.iter().map(|v| v * square).collect();
            let gene = loaded.gene(self.counts(g), exposures, fit.tau2);
            posterior.update(&gene, &scaled);
            for inner in 0..INNER_STEPS {
                let mut a = vec![0.0; n_sources];
                let mut b = vec![0.0; n_sources];
                for (s, own) in exposures.chunks_exact(n_sources).enumerate() {
                    let total = if inner == 0 {
                        posterior.total[s]
                    } else {
                        let spread: f64 = own.iter().zip(&scaled).map(|(e, v)| e * e * v).sum();
                        loaded.noise[s] + spread
                    };
                    let residual = posterior.residual[s].powi(2) + posterior.fitted_variance[s];
                    for j in 0..n_sources {
                        let weight = own[j] * own[j] / total;
                        a[j] += weight;
                        b[j] += weight * residual / total;
                    }
                }
                for j in 0..n_sources {
                    let old = scaled[j];
                    let known = freedom * prior[j] * square;
                    if old > 0.0 {
                        scaled[j] = ((b[j] * old * old + known) / (a[j] + freedom / old)).sqrt();
                    }
                }
            }
            let mut change = 0.0f64;
            for (old, new) in between.iter_mut().zip(&scaled) {
                let new = new / square;
                change = change.max((new - *old).abs() / old.max(f64::MIN_POSITIVE));
                *old = new;
            }
            if change < TOLERANCE {
                break;
            }
        }
        between
    }
}

fn add_gene(
    sums: &mut Sums,
    posterior: &Posterior,
    noise: &[f64],
    exposures: &[f64],
    between: &[f64],
) {
    let n_sources = between.len();
    let (mut found, mut freedom, mut own_share) = (0.0, 0.0, 0.0);
    let n_samples = noise.len() as f64;
    for (s, own) in exposures.chunks_exact(n_sources).enumerate() {
        let total = posterior.total[s];
        let square = posterior.residual[s].powi(2) + posterior.fitted_variance[s];
        let relative = (square / total).min(LARGEST_SQUARE);
        let noise = noise[s] / total;
        sums.denominator[0] += noise;
        sums.numerator[0] += noise * relative;
        for j in 0..n_sources {
            let share = own[j] * own[j] * between[j] / total;
            sums.denominator[j + 1] += share;
            sums.numerator[j + 1] += share * relative;
        }
        let left = (1.0 - posterior.fitted_variance[s] / total).max(0.0);
        found += posterior.residual[s].powi(2) / total;
        freedom += left;
        own_share += (1.0 - noise) / n_samples;
    }
    if own_share > 0.5 && found > 0.0 && freedom >= 1.0 {
        sums.spreads.push(((found / freedom).ln(), freedom));
    }
}

/// The scaled inverse-χ² law that variances of genes have around their model.
#[derive(Clone, Copy, Debug)]
pub struct VarianceLaw {
    /// d₀.
    pub freedom: f64,
    /// s₀².
    pub scale: f64,
}

/// d₀ and s₀² from the logs of scaled-χ² variables and their degrees of freedom
/// (Smyth 2004): the logs have the mean log s₀² + ψ(d/2) − log(d/2) − ψ(d₀/2) +
/// log(d₀/2) and the variance ψ'(d/2) + ψ'(d₀/2).
pub fn prior_law(spreads: &[(f64, f64)]) -> VarianceLaw {
    if spreads.len() < ENOUGH_GENES {
        return VarianceLaw { freedom: FREEDOM.1, scale: 1.0 };
    }
    let n = spreads.len() as f64;
    let centred: Vec<f64> = spreads.iter().map(|s| s.0 - log_chi_mean(s.1)).collect();
    let mean = centred.iter().sum::<f64>() / n;
    let variance = centred.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let chance = spreads.iter().map(|s| trigamma(0.5 * s.1)).sum::<f64>() / n;
    let beyond = variance - chance;
    let freedom = if beyond <= trigamma(0.5 * FREEDOM.1) {
        FREEDOM.1
    } else {
        // ψ' falls; bisection on the logarithm
        let (mut low, mut high) = (FREEDOM.0.ln(), FREEDOM.1.ln());
        for _ in 0..60 {
            let middle: f64 = 0.5 * (low + high);
            if trigamma(0.5 * middle.exp()) > beyond {
                low = middle;
            } else {
                high = middle;
            }
        }
        low.exp()
    };
    VarianceLaw { freedom, scale: (mean + log_chi_mean(freedom)).exp() }
}

/// Mean of the log of a χ²(d)/d variable.
fn log_chi_mean(freedom: f64) -> f64 {
    digamma(0.5 * freedom) - (0.5 * freedom).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use rand_distr::{ChiSquared, Distribution};

    #[test]
    fn the_tails_of_variances_are_found() {
        let mut rng = stream(5, Purpose::Genes, 0);
        let (own, tails) = (ChiSquared::new(15.0).unwrap(), ChiSquared::new(6.0).unwrap());
        let spreads: Vec<(f64, f64)> = (0..5000)
            .map(|_| {
                let f: f64 = own.sample(&mut rng) / 15.0 / (tails.sample(&mut rng) / 6.0);
                (f.ln(), 15.0)
            })
            .collect();
        let found = prior_law(&spreads);
        assert!((found.freedom / 6.0 - 1.0).abs() < 0.15, "{found:?}");
        assert!((found.scale - 1.0).abs() < 0.05, "{found:?}");
        let plain: Vec<(f64, f64)> =
            (0..5000).map(|_| ((own.sample(&mut rng) / 15.0f64).ln(), 15.0)).collect();
        assert!(prior_law(&plain).freedom > 40.0);
    }
}
