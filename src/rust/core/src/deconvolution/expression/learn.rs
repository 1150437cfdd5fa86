//! Variances between samples, learnt from the cohort itself.
//!
//! First what all genes share: the noise φ and, for every source, a factor f_j
//! on the reference's variance.  Then how heavy the tails of the genes around
//! that are (d₀ degrees of freedom), and then each gene's own σ²_gj, the mode of
//! its likelihood with an inverse-χ²(d₀) prior around f_j σ²_gj of the
//! reference.  All by the minorise-maximise step of Zhou, Hu, Qiao, Cho and Zhou
//! (2019, J. Comput. Graph. Stat. 28:350): σ² ← σ² sqrt(B / A), with
//! A = Σ_s e²/T and B = Σ_s e² r²/T², which never lowers the likelihood.

use super::block::{compact, Block, Exposures};
use super::{Cohort, CohortFit, CohortParams, Learn, GENE_BLOCK};
use crate::base::error::CoreError;
use crate::base::numbers::{digamma, trigamma};
use crate::base::parallel::{over_blocks, Monitor};
use crate::matrix::linalg::multiply;
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, Columns};
use ndarray::s;
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
        let exposures = self.exposures(fit);
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
            for (j, factor) in fit.factors.iter().enumerate() {
                let known = self.prior.between.col(j);
                let scaled = fit.between.col_mut(j).iter_mut().zip(known);
                scaled.for_each(|(value, known)| *value = factor * known);
            }
            return Ok(());
        }
        fit.prior_freedom = prior_law(&spreads).freedom.min(MOST_WORTH);
        let mut learnt = zeros(fit.between.dim());
        let work = |genes: Range<usize>| {
            let found = self.learn_genes(genes.clone(), fit, &exposures);
            monitor.advance(genes.len());
            Ok(found)
        };
        over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |genes, found| {
            learnt.slice_mut(s![genes, ..]).assign(&found);
        })?;
        fit.between = learnt;
        Ok(())
    }

    /// f_j σ²_gj of the reference in reads, genes of the block × sources.
    fn prior_variance(&self, block: &Block, fit: &CohortFit) -> Array2<f64> {
        from_fn((block.len(), self.n_sources()), |row, j| {
            let known = self.prior.between[(block.genes[row], j)];
            fit.factors[j] * known * block.scale[row].powi(2)
        })
    }

    fn shared_sums(
        &self,
        fit: &CohortFit,
        exposures: &Exposures,
        monitor: &Monitor<'_>,
    ) -> Result<Sums, CoreError> {
        let work = |genes: Range<usize>| {
            let mut block = self.block(genes, fit);
            let between = self.prior_variance(&block, fit);
            block.update(exposures, between.view(), &self.prior.donors, fit.tau2);
            Ok(sums_of(&block, exposures, between.view()))
        };
        let n = self.n_sources() + 1;
        let mut all =
            Sums { numerator: vec![0.0; n], denominator: vec![0.0; n], spreads: Vec::new() };
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

    /// σ²_gj of some genes, genes × sources.  Genes whose variances stand are left out of
    /// the rounds that others need.
    fn learn_genes(
        &self,
        genes: Range<usize>,
        fit: &CohortFit,
        exposures: &Exposures,
    ) -> Array2<f64> {
        let first = genes.start;
        let mut block = self.block(genes, fit);
        let (n, n_sources) = (block.len(), self.n_sources());
        let mut prior = self.prior_variance(&block, fit);
        let mut between = prior.clone();
        let mut learnt = zeros((n, n_sources));
        let mut squares = zeros((n, self.n_samples()));
        let (mut a, mut b) = (zeros((n, n_sources)), zeros((n, n_sources)));
        for round in 0..GENE_ROUNDS {
            let n = block.len();
            let before = from_fn((n, n_sources), |row, j| between[(row, j)]);
            block.update(exposures, before.view(), &self.prior.donors, fit.tau2);
            for inner in 0..INNER_STEPS {
                if inner > 0 {
                    block.weigh(exposures, between.slice(s![..n, ..]));
                }
                for s in 0..self.n_samples() {
                    let weight = &block.weight.col(s)[..n];
                    let left = block.residual.col(s).iter().zip(block.fitted_variance.col(s));
                    for ((square, w), (r, v)) in squares.col_mut(s).iter_mut().zip(weight).zip(left)
                    {
                        *square = w * w * (r * r + v);
                    }
                }
                let (mut a, mut b) = (a.slice_mut(s![..n, ..]), b.slice_mut(s![..n, ..]));
                multiply(&mut a, &block.weight.slice(s![..n, ..]), &exposures.squares.t());
                multiply(&mut b, &squares.slice(s![..n, ..]), &exposures.squares.t());
                for j in 0..n_sources {
                    for row in 0..n {
                        let old = between[(row, j)];
                        if old > 0.0 {
                            let known = fit.prior_freedom * prior[(row, j)];
                            let precision = a[(row, j)] + fit.prior_freedom / old;
                            between[(row, j)] =
                                ((b[(row, j)] * old * old + known) / precision).sqrt();
                        }
                    }
                }
            }
            let mut change = vec![0.0f64; n];
            for j in 0..n_sources {
                let steps = before.col(j).iter().zip(between.col(j));
                for (change, (old, new)) in change.iter_mut().zip(steps) {
                    *change = change.max((new - old).abs() / old.max(f64::MIN_POSITIVE));
                }
            }
            let kept: Vec<bool> =
                change.iter().map(|&c| c >= TOLERANCE && round + 1 < GENE_ROUNDS).collect();
            for row in (0..n).filter(|&row| !kept[row]) {
                let square = block.scale[row].powi(2);
                for j in 0..n_sources {
                    learnt[(block.genes[row] - first, j)] = between[(row, j)] / square;
                }
            }
            let rows: Vec<usize> = (0..n).filter(|&row| kept[row]).collect();
            if rows.is_empty() {
                break;
            }
            if rows.len() < n {
                block.retain(&rows);
                compact(&mut between, &rows);
                compact(&mut prior, &rows);
            }
        }
        learnt
    }
}

/// What the genes of a block add, at the variances that they were given.
fn sums_of(block: &Block, exposures: &Exposures, between: ArrayView2<'_, f64>) -> Sums {
    let (n, n_sources) = between.dim();
    let n_samples = block.noise.ncols();
    let mut sums = Sums {
        numerator: vec![0.0; n_sources + 1],
        denominator: vec![0.0; n_sources + 1],
        spreads: Vec::new(),
    };
    let mut weighted = zeros((n, n_samples));
    let (mut found, mut freedom, mut own_share) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for s in 0..n_samples {
        let (weight, noise) = (block.weight.col(s), block.noise.col(s));
        let (residual, fitted) = (block.residual.col(s), block.fitted_variance.col(s));
        let relative_weight = weighted.col_mut(s);
        for row in 0..n {
            let square = residual[row] * residual[row];
            let relative = (weight[row] * (square + fitted[row])).min(LARGEST_SQUARE);
            let share = noise[row] * weight[row];
            sums.denominator[0] += share;
            sums.numerator[0] += share * relative;
            relative_weight[row] = weight[row] * relative;
            found[row] += square * weight[row];
            freedom[row] += (1.0 - fitted[row] * weight[row]).max(0.0);
            own_share[row] += (1.0 - share) / n_samples as f64;
        }
    }
    let (mut a, mut b) = (zeros((n, n_sources)), zeros((n, n_sources)));
    multiply(&mut a, &block.weight, &exposures.squares.t());
    multiply(&mut b, &weighted, &exposures.squares.t());
    for j in 0..n_sources {
        let of = |x: &Array2<f64>| -> f64 {
            x.col(j).iter().zip(between.column(j)).map(|(x, v)| x * v).sum()
        };
        sums.denominator[j + 1] = of(&a);
        sums.numerator[j + 1] = of(&b);
    }
    for row in 0..n {
        if own_share[row] > 0.5 && found[row] > 0.0 && freedom[row] >= 1.0 {
            sums.spreads.push(((found[row] / freedom[row]).ln(), freedom[row]));
        }
    }
    sums
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
