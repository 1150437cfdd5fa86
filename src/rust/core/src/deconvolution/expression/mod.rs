//! Expression of each cell type in each sample.
//!
//! [`allocate`] splits every count in the ratio of the fitted means.
//! [`Cohort::fit`] learns, gene by gene, how much each type varies between
//! samples, and [`Cohort::predict`] gives the best linear unbiased prediction
//! with its variance and its reliability.  Nothing of the size genes × types ×
//! samples is formed unless it is asked for.

mod block;
mod contrast;
mod lanes;
mod learn;
mod predict;
mod prior;
mod programs;

pub use contrast::Contrast;
pub use learn::{prior_law, VarianceLaw};
pub use predict::{Asked, Fields};
pub use prior::{prior, Prior, Reference};
pub use programs::{
    start_programs, Activities, DonorProfiles, KnownPrograms, Origin, Programs, Start,
};

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::numbers::median;
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::linalg::product;
use crate::matrix::{from_fn, zeros, Array2, Array3, ArrayView2, Columns};
use block::{Block, Exposures};
use ndarray::ShapeBuilder;
use std::ops::Range;

/// Genes of one block of work.  Fixed, so that sums over genes do not depend on
/// the number of threads.
const GENE_BLOCK: usize = 128;
/// Samples below which variances can't be learnt from the cohort.
pub const LEAST_SAMPLES: usize = 4;
/// Genes with at least this many counts per sample tell sizes and platform
/// errors.
const WELL_MEASURED: f64 = 10.0;

/// Counts, fitted sources and exposures of a cohort.
pub struct Data<'a> {
    /// Genes × samples.
    pub counts: ArrayView2<'a, f64>,
    /// S, genes × sources.
    pub sources: ArrayView2<'a, f64>,
    /// ℓ per gene.
    pub lengths: &'a [f64],
    /// Sources × samples.
    pub exposures: ArrayView2<'a, f64>,
}

impl Data<'_> {
    pub(super) fn check(&self) -> Result<(), CoreError> {
        let (n_genes, n_samples) = self.counts.dim();
        check_length("sources", n_genes, self.sources.nrows())?;
        check_length("lengths", n_genes, self.lengths.len())?;
        check_length("exposures", n_samples, self.exposures.ncols())?;
        check_length("exposures", self.sources.ncols(), self.exposures.nrows())?;
        Ok(())
    }
}

/// Values of a few sources in a few samples, each genes × sources × samples; `None` for
/// what was not asked for.
pub struct Expression {
    /// Z, in counts; NaN where no active source expresses a gene that has
    /// counts.
    pub value: Option<Array3<f64>>,
    pub variance: Option<Array3<f64>>,
    /// Squared correlation of predicted and true deviation of a sample from the
    /// mean of its type; `None` for an allocation, which predicts none.
    pub reliability: Option<Array3<f64>>,
    /// What a sample that does not tell would have; `None` for an allocation.
    pub level: Option<Level>,
}

/// Counts per unit of exposure of a source, genes × sources.
pub struct Level {
    /// Its mean in the cohort.
    pub mean: Array2<f64>,
    /// Of one sample around that: between samples, and of the mean.
    pub variance: Array2<f64>,
}

/// Z_gj = k_g a_gj e_j / μ_g, the expected counts of each source given the
/// signatures, with their binomial variance.
///
/// # Errors
/// `Shape`, `Argument`.
pub fn allocate(
    data: &Data<'_>,
    sources: &[usize],
    samples: &[usize],
    monitor: &Monitor<'_>,
) -> Result<Expression, CoreError> {
    data.check()?;
    check_requested(data, sources, samples)?;
    let (n_genes, n_sources) = data.sources.dim();
    let zeros = || Array3::zeros((n_genes, sources.len(), samples.len()).f());
    let (mut value, mut variance) = (zeros(), zeros());
    for (at, &s) in samples.iter().enumerate() {
        monitor.check()?;
        let mut fitted = vec![0.0; n_genes];
        for j in 0..n_sources {
            let exposure = data.exposures[(j, s)];
            for (mu, p) in fitted.iter_mut().zip(data.sources.col(j)) {
                *mu += p * exposure;
            }
        }
        for (place, &j) in sources.iter().enumerate() {
            let exposure = data.exposures[(j, s)];
            for (g, mean) in fitted.iter().enumerate() {
                let count = data.counts[(g, s)];
                if count > 0.0 {
                    let share = data.sources[(g, j)] * exposure / mean;
                    value[(g, place, at)] = count * share;
                    variance[(g, place, at)] = count * share * (1.0 - share).max(0.0);
                }
            }
        }
    }
    Ok(Expression { value: Some(value), variance: Some(variance), reliability: None, level: None })
}

fn check_requested(data: &Data<'_>, sources: &[usize], samples: &[usize]) -> Result<(), CoreError> {
    let (n_sources, n_samples) = data.exposures.dim();
    for &j in sources {
        check_value("sources", j as f64, "a source", |j| j < n_sources as f64)?;
    }
    for &s in samples {
        check_value("samples", s as f64, "a sample", |s| s < n_samples as f64)?;
    }
    Ok(())
}

/// Which variances are learnt from the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learn {
    /// None: those of the reference stand.
    Nothing,
    /// The noise, and a factor per source that all genes share.
    Shared,
    /// These, and the variance of each gene in each source.
    Genes,
}

crate::base::error::named!(Learn, "learn",
    "nothing" => Learn::Nothing,
    "shared" => Learn::Shared,
    "genes" => Learn::Genes,
);

/// Settings of [`Cohort::fit`].
#[derive(Clone, Debug)]
pub struct CohortParams {
    pub learn: Learn,
    /// φ where it is not learnt, and where learning starts: 1 for counts, one
    /// count in the unit of the values for others.
    pub noise: f64,
    /// φ is never below this.
    pub least_noise: f64,
    pub threads: usize,
}

/// What is common to all samples.
#[derive(Clone, Debug)]
pub struct CohortFit {
    /// σ²_gj, genes × sources, in units of the profiles.
    pub between: Array2<f64>,
    /// Logarithm of the factor between reference and bulk per gene, b̂_g.
    pub log_factor: Vec<f64>,
    /// Variance of these factors, τ².
    pub tau2: f64,
    /// Scale of the exposures of each sample.
    pub sizes: Vec<f64>,
    /// φ.
    pub noise: f64,
    /// What the ratios of counts to fitted means have in common: part of all `sizes`.
    pub size_level: f64,
    /// How many times the reference's variance each source has in the cohort.
    pub factors: Vec<f64>,
    /// Degrees of freedom that the prior of a variance is worth; infinite when
    /// nothing was learnt per gene.
    pub prior_freedom: f64,
}

impl CohortFit {
    /// Multiplies the variances of each source by its factor.
    ///
    /// # Errors
    /// `Shape` unless there is a factor per source.
    pub fn scale_between(&mut self, factors: &[f64]) -> Result<(), CoreError> {
        check_length("factors", self.between.ncols(), factors.len())?;
        for (j, factor) in factors.iter().enumerate() {
            self.between.col_mut(j).iter_mut().for_each(|v| *v *= factor);
        }
        Ok(())
    }
}

/// The means of the sources in a cohort, as far as its samples tell them: what other
/// samples of the cohort are predicted from.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Mean count per gene.
    pub level: &'a [f64],
    /// x̂, in reads, genes × sources.
    pub mean: ArrayView2<'a, f64>,
    /// Of x̂: genes × pairs j ≤ i of sources, row by row of the triangle.
    pub covariance: ArrayView2<'a, f64>,
}

/// [`Means`] of its own.
pub struct FoundMeans {
    pub level: Vec<f64>,
    pub mean: Array2<f64>,
    pub covariance: Array2<f64>,
}

/// A cohort ready for work gene by gene.
pub struct Cohort<'a> {
    data: Data<'a>,
    prior: &'a Prior,
    /// Where other samples have told them.
    known: Option<Means<'a>>,
    /// Σ_j S_gj ℓ_g e_js, genes × samples.
    fitted: Array2<f64>,
}

impl<'a> Cohort<'a> {
    /// # Errors
    /// `Shape`.
    pub fn new(data: Data<'a>, prior: &'a Prior) -> Result<Self, CoreError> {
        data.check()?;
        let n_genes = data.counts.nrows();
        let n_sources = data.sources.ncols();
        check_length("between", n_genes, prior.between.nrows())?;
        check_length("between", n_sources, prior.between.ncols())?;
        check_length("donors", n_sources, prior.donors.len())?;
        let molecules =
            from_fn((n_genes, n_sources), |g, j| data.lengths[g] * data.sources[(g, j)]);
        let fitted = product(&molecules, &data.exposures);
        Ok(Cohort { data, prior, known: None, fitted })
    }

    /// Samples of a cohort whose means are known: what is found of a sample then does not
    /// depend on the others.
    ///
    /// # Errors
    /// `Shape`.
    pub fn with_means(mut self, means: Means<'a>) -> Result<Self, CoreError> {
        let n = self.n_sources();
        check_length("level", self.n_genes(), means.level.len())?;
        check_length("mean", self.n_genes(), means.mean.nrows())?;
        check_length("mean", n, means.mean.ncols())?;
        check_length("covariance", self.n_genes(), means.covariance.nrows())?;
        check_length("covariance", n * (n + 1) / 2, means.covariance.ncols())?;
        self.known = Some(means);
        Ok(self)
    }

    /// What these samples tell of the means of the sources.
    ///
    /// # Errors
    /// `Threads`, `Interrupted`.
    pub fn means(
        &self,
        fit: &CohortFit,
        threads: usize,
        monitor: &Monitor<'_>,
    ) -> Result<FoundMeans, CoreError> {
        let n = self.n_sources();
        let exposures = self.exposures(fit);
        let mut out = FoundMeans {
            level: vec![0.0; self.n_genes()],
            mean: zeros((self.n_genes(), n)),
            covariance: zeros((self.n_genes(), n * (n + 1) / 2)),
        };
        let work = |genes: Range<usize>| Ok(self.updated(genes, fit, &exposures).0);
        with_threads(threads, || {
            over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |genes, block| {
                for (row, gene) in genes.enumerate() {
                    out.level[gene] = block.level[row];
                    out.mean.row_mut(gene).assign(&block.mean.row(row));
                    out.covariance.row_mut(gene).assign(&block.covariance.row(row));
                }
            })
        })??;
        Ok(out)
    }

    /// A block at the variances of the fit, and these.
    fn updated(
        &self,
        genes: Range<usize>,
        fit: &CohortFit,
        exposures: &Exposures,
    ) -> (Block, Array2<f64>) {
        // as many rows in every block, so that a gene has the same bits in any company
        let last = genes.end - 1;
        let mut block = self.block((0..GENE_BLOCK).map(|row| (genes.start + row).min(last)), fit);
        let between = self.between(&block, fit);
        block.update(exposures, between.view(), &self.prior.donors, fit.tau2);
        (block, between)
    }

    fn n_genes(&self) -> usize {
        self.data.counts.nrows()
    }

    fn n_samples(&self) -> usize {
        self.data.counts.ncols()
    }

    fn n_sources(&self) -> usize {
        self.data.sources.ncols()
    }

    /// Estimates everything that is common to the samples.
    ///
    /// # Errors
    /// `Argument`, `Threads`, `Interrupted`.
    pub fn fit(
        &self,
        params: &CohortParams,
        monitor: &Monitor<'_>,
    ) -> Result<CohortFit, CoreError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        check_value("noise", params.noise, "positive", positive)?;
        check_value("least_noise", params.least_noise, "positive", positive)?;
        let mut fit = CohortFit {
            between: self.prior.between.clone(),
            log_factor: vec![0.0; self.n_genes()],
            tau2: 0.0,
            sizes: self.sizes(params.noise),
            noise: params.noise,
            size_level: 1.0,
            factors: vec![1.0; self.n_sources()],
            prior_freedom: f64::INFINITY,
        };
        self.estimate_factors(&mut fit);
        if params.learn != Learn::Nothing && self.n_samples() >= LEAST_SAMPLES {
            with_threads(params.threads, || self.learn(&mut fit, params, monitor))??;
        }
        Ok(fit)
    }

    /// What multiplies the exposures of a sample so that the median ratio of
    /// counts to fitted means, over genes measured well, is 1.  Times the `size_level` of a
    /// cohort's fit it is the size of a sample of that cohort.
    pub fn sizes(&self, noise: f64) -> Vec<f64> {
        (0..self.n_samples())
            .map(|s| {
                let pairs = self.fitted.col(s).iter().zip(self.data.counts.col(s));
                let measured = pairs.filter(|&(&mean, _)| mean >= WELL_MEASURED * noise);
                let ratios = measured.map(|(mean, count)| count / mean);
                let size = median(ratios.collect());
                if size > 0.0 {
                    size
                } else {
                    1.0
                }
            })
            .collect()
    }

    /// b_g from the ratio of a gene's counts to its fitted means over the whole
    /// cohort, shrunk by its error; τ² is the variance of the log ratios that
    /// this error leaves unexplained (by the median absolute deviation).
    fn estimate_factors(&self, fit: &mut CohortFit) {
        let few = 0.5 * fit.noise;
        let (mut means, mut seen) = (vec![0.0; self.n_genes()], vec![0.0; self.n_genes()]);
        for s in 0..self.n_samples() {
            let columns = self.fitted.col(s).iter().zip(self.data.counts.col(s));
            for ((mean, seen), (fitted, count)) in means.iter_mut().zip(&mut seen).zip(columns) {
                *mean += fitted * fit.sizes[s];
                *seen += count;
            }
        }
        // Σ_s e² and (Σ_s e)² of every source
        let sums: Vec<(f64, f64)> = (0..self.n_sources())
            .map(|j| {
                let sized = |s: usize| fit.sizes[s] * self.data.exposures[(j, s)];
                let all = || (0..self.n_samples()).map(sized);
                (all().map(|e| e * e).sum(), all().sum::<f64>().powi(2))
            })
            .collect();
        let found: Vec<(f64, f64, bool)> = (0..self.n_genes())
            .map(|g| {
                let (mean, seen) = (means[g], seen[g]);
                let length2 = self.data.lengths[g].powi(2);
                let mut spread = fit.noise * mean.max(few);
                for (j, (squares, square)) in sums.iter().enumerate() {
                    let between = self.prior.between[(g, j)];
                    // the reference's own error is shared by all samples
                    let own = self.prior.counting[(g, j)] + between / self.prior.donors[j];
                    spread += length2 * (squares * between + square * own);
                }
                let square = (mean + few).powi(2);
                let known = mean >= WELL_MEASURED * fit.noise;
                (((seen + few) / (mean + few)).ln(), spread / square, known)
            })
            .collect();
        let mut measured: Vec<&(f64, f64, bool)> = found.iter().filter(|f| f.2).collect();
        if measured.is_empty() {
            measured = found.iter().collect();
        }
        let middle = median(measured.iter().map(|f| f.0).collect());
        let deviation = median(measured.iter().map(|f| (f.0 - middle).abs()).collect()) * 1.4826;
        let error = median(measured.iter().map(|f| f.1).collect());
        fit.tau2 = (deviation * deviation - error).max(0.0);
        for ((ratio, error, _), b) in found.iter().zip(&mut fit.log_factor) {
            let share = if fit.tau2 > 0.0 { fit.tau2 / (fit.tau2 + error) } else { 0.0 };
            *b = share * (ratio - middle);
        }
        fit.size_level = middle.exp();
        fit.sizes.iter_mut().for_each(|c| *c *= fit.size_level);
    }
}
