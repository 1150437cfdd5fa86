//! Expression of each cell type in each sample.
//!
//! [`allocate`] splits every count in the ratio of the fitted means.
//! [`Cohort::fit`] learns, gene by gene, how much each type varies between
//! samples, and [`Cohort::predict`] gives the best linear unbiased prediction
//! with its variance and its reliability.  Nothing of the size genes × types ×
//! samples is formed unless it is asked for.

mod contrast;
mod gene;
mod learn;
mod predict;
mod prior;
mod programs;

pub use contrast::Contrast;
pub use learn::{prior_law, VarianceLaw};
pub use predict::Asked;
pub use prior::{prior, Prior, Reference};
pub use programs::{
    start_programs, Activities, DonorProfiles, KnownPrograms, Origin, Programs, Start,
};

use self::gene::Gene;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::numbers::median;
use crate::base::parallel::{with_threads, Monitor};
use crate::matrix::{from_fn, Array2, Array3, ArrayView2, Columns};
use ndarray::ShapeBuilder;

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

/// Values of a few sources in a few samples, each genes × sources × samples.
pub struct Expression {
    /// Z, in counts; NaN where no active source expresses a gene that has
    /// counts.
    pub value: Array3<f64>,
    pub variance: Array3<f64>,
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
    let mut out = Expression { value: zeros(), variance: zeros(), reliability: None, level: None };
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
                    out.value[(g, place, at)] = count * share;
                    out.variance[(g, place, at)] = count * share * (1.0 - share).max(0.0);
                }
            }
        }
    }
    Ok(out)
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

/// A cohort ready for work gene by gene.
pub struct Cohort<'a> {
    data: Data<'a>,
    prior: &'a Prior,
    /// Counts, samples × genes.
    by_gene: Array2<f64>,
    /// Σ_j S_gj ℓ_g e_js, samples × genes.
    fitted: Array2<f64>,
}

impl<'a> Cohort<'a> {
    /// # Errors
    /// `Shape`.
    pub fn new(data: Data<'a>, prior: &'a Prior) -> Result<Self, CoreError> {
        data.check()?;
        let (n_genes, n_samples) = data.counts.dim();
        let n_sources = data.sources.ncols();
        check_length("between", n_genes, prior.between.nrows())?;
        check_length("between", n_sources, prior.between.ncols())?;
        check_length("donors", n_sources, prior.donors.len())?;
        let by_gene = from_fn((n_samples, n_genes), |s, g| data.counts[(g, s)]);
        let fitted = from_fn((n_samples, n_genes), |s, g| {
            let own = data.exposures.col(s).iter().enumerate();
            data.lengths[g] * own.map(|(j, e)| e * data.sources[(g, j)]).sum::<f64>()
        });
        Ok(Cohort { data, prior, by_gene, fitted })
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

    fn counts(&self, g: usize) -> &[f64] {
        self.by_gene.col(g)
    }

    fn fitted(&self, g: usize) -> &[f64] {
        self.fitted.col(g)
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
    /// counts to fitted means, over genes measured well, is 1.
    fn sizes(&self, noise: f64) -> Vec<f64> {
        (0..self.n_samples())
            .map(|s| {
                let ratios = (0..self.n_genes()).filter_map(|g| {
                    let mean = self.fitted(g)[s];
                    (mean >= WELL_MEASURED * noise).then(|| self.counts(g)[s] / mean)
                });
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
        let found: Vec<(f64, f64, bool)> = (0..self.n_genes())
            .map(|g| {
                let mean: f64 = self.fitted(g).iter().zip(&fit.sizes).map(|(m, c)| m * c).sum();
                let seen: f64 = self.counts(g).iter().sum();
                let length2 = self.data.lengths[g].powi(2);
                let mut spread = fit.noise * mean.max(few);
                for s in 0..self.n_samples() {
                    for j in 0..self.n_sources() {
                        let exposure = fit.sizes[s] * self.data.exposures[(j, s)];
                        spread += exposure * exposure * length2 * self.prior.between[(g, j)];
                    }
                }
                // the reference's own error is shared by all samples
                for j in 0..self.n_sources() {
                    let exposure: f64 = (0..self.n_samples())
                        .map(|s| fit.sizes[s] * self.data.exposures[(j, s)])
                        .sum();
                    let own = self.prior.counting[(g, j)]
                        + self.prior.between[(g, j)] / self.prior.donors[j];
                    spread += exposure * exposure * length2 * own;
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
        fit.sizes.iter_mut().for_each(|c| *c *= middle.exp());
    }

    /// What the mixed model needs of gene `g`, at the variances `between`.
    fn load(&self, g: usize, fit: &CohortFit, between: &[f64], into: &mut Loaded) {
        let scale = self.data.lengths[g] * fit.log_factor[g].exp();
        let (n_sources, n_samples) = (self.n_sources(), self.n_samples());
        into.scale = scale;
        into.profile.clear();
        into.profile.extend((0..n_sources).map(|j| scale * self.data.sources[(g, j)]));
        // x = p exp(b - b̂) is linear in b at b̂, and b has mean 0
        into.centre.clear();
        into.centre.extend(into.profile.iter().map(|p| p * (1.0 - fit.log_factor[g])));
        into.mean_variance.clear();
        into.mean_variance.extend((0..n_sources).map(|j| {
            let own = self.prior.counting[(g, j)] + between[j] / self.prior.donors[j];
            scale * scale * own
        }));
        // A gene that no signature explains still has the noise of its counts.
        let (fitted, counts) = (self.fitted(g), self.counts(g));
        let ratio = fit.log_factor[g].exp();
        let mean = counts.iter().sum::<f64>() / n_samples as f64;
        into.noise.clear();
        into.noise.extend((0..n_samples).map(|s| {
            let explained = ratio * fit.sizes[s] * fitted[s];
            fit.noise * explained.max(if explained > 0.01 * mean { 0.0 } else { mean }).max(1e-9)
        }));
    }

    /// Exposures times sizes, sources first.
    fn sized_exposures(&self, fit: &CohortFit) -> Vec<f64> {
        let exposures = self.data.exposures;
        let sample = |s: usize| exposures.col(s).iter().map(move |e| e * fit.sizes[s]);
        (0..self.n_samples()).flat_map(sample).collect()
    }
}

/// Vectors of one gene.
#[derive(Default)]
struct Loaded {
    /// ℓ_g exp(b̂_g).
    scale: f64,
    profile: Vec<f64>,
    centre: Vec<f64>,
    mean_variance: Vec<f64>,
    noise: Vec<f64>,
}

impl Loaded {
    fn gene<'a>(&'a self, counts: &'a [f64], exposures: &'a [f64], tau2: f64) -> Gene<'a> {
        Gene {
            counts,
            exposures,
            noise: &self.noise,
            centre: &self.centre,
            profile: &self.profile,
            mean_variance: &self.mean_variance,
            tau2,
        }
    }
}
