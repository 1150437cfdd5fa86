//! The deconvolution of a block of samples as R hands it over: one list for
//! every binding that fits, tests or infers.

use crate::arguments::{counts, element, number, numbers};
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use std::ops::Range;
use unalloy_core::counts::Counts;
use unalloy_core::deconvolution::likelihood::{
    FittedPlatform, PlatformModel, PlatformSampleCounts,
};
use unalloy_core::deconvolution::likelihood::{GeneTerms, Likelihood, PoissonSample};
use unalloy_core::deconvolution::Model;
use unalloy_core::faer::MatRef;
use unalloy_core::parallel::Monitor;
use unalloy_core::CoreError;

/// `values`, `n_rows`, `n_samples`, `gene_of_row`, `sources` (genes × sources),
/// `lengths`, `weights`, `n_types`; for the platform error also `variance` (genes
/// × types), `discount` (per gene), `floors` (per sample) and `tau2`.
pub struct Problem {
    pub model: Model,
    routes: Vec<i32>,
    values: Robj,
    n_rows: i32,
    n_samples: i32,
    platform: Option<Platform>,
}

struct Platform {
    variance: Robj,
    discount: Robj,
    floors: Robj,
    tau2: f64,
}

impl Problem {
    pub fn read(list: &List) -> std::result::Result<Self, CoreError> {
        let whole = |name| number(list, name).map(|n| n as i32);
        let (lengths, weights) = (element(list, "lengths"), element(list, "weights"));
        let sources = element(list, "sources");
        let lengths = numbers(&lengths, "lengths")?;
        let n_genes = lengths.len();
        let entries = numbers(&sources, "sources")?;
        let sources =
            MatRef::from_column_major_slice(entries, n_genes, entries.len() / n_genes.max(1));
        let n_types = whole("n_types")?.max(0) as usize;
        let model = Model::new(sources, lengths, numbers(&weights, "weights")?, n_types)?;
        let gene_of_row = element(list, "gene_of_row");
        let gene_of_row = gene_of_row.as_integer_slice().ok_or(CoreError::Shape {
            what: "gene_of_row",
            expected: whole("n_rows")?.max(0) as usize,
            found: 0,
        })?;
        let routes = model.route(gene_of_row);
        let variance = element(list, "variance");
        let platform = if variance.is_null() {
            None
        } else {
            let tau2 = number(list, "tau2")?;
            let [discount, floors] = ["discount", "floors"].map(|name| element(list, name));
            Some(Platform { variance, discount, floors, tau2 })
        };
        Ok(Problem {
            model,
            routes,
            values: element(list, "values"),
            n_rows: whole("n_rows")?,
            n_samples: whole("n_samples")?,
            platform,
        })
    }

    pub fn counts(&self) -> std::result::Result<Counts<'_>, CoreError> {
        counts(&self.values, self.n_rows, self.n_samples, &self.routes, self.model.n_rows())
    }

    /// The platform model, its floors, and τ² (NaN where it is to be estimated).
    pub fn platform(&self) -> std::result::Result<(PlatformModel<'_>, &[f64], f64), CoreError> {
        let absent = CoreError::Shape { what: "variance", expected: 1, found: 0 };
        let platform = self.platform.as_ref().ok_or(absent)?;
        let variance = numbers(&platform.variance, "variance")?;
        let n_genes = self.model.row_of_gene().len();
        let variance =
            MatRef::from_column_major_slice(variance, n_genes, variance.len() / n_genes.max(1));
        let discount = numbers(&platform.discount, "discount")?;
        let built = PlatformModel::new(&self.model, variance, discount)?;
        Ok((built, numbers(&platform.floors, "floors")?, platform.tau2))
    }

    /// Runs `work` under supervision with the likelihood of the problem, τ² known,
    /// and its counts.
    pub fn supervise<T: Send>(
        &self,
        progress: &Function,
        work: impl FnOnce(
                &AnyLikelihood<'_>,
                &Counts<'_>,
                &Monitor<'_>,
            ) -> std::result::Result<T, CoreError>
            + Send,
    ) -> std::result::Result<T, CoreError> {
        let counts = self.counts()?;
        let run = |likelihood: &AnyLikelihood<'_>| {
            supervise(progress, |monitor| work(likelihood, &counts, monitor))
        };
        if self.platform.is_none() {
            return run(&AnyLikelihood::Poisson(&self.model));
        }
        let (platform, floors, tau2) = self.platform()?;
        run(&AnyLikelihood::Platform(FittedPlatform { platform: &platform, tau2, floors }))
    }
}

/// Either likelihood.
pub enum AnyLikelihood<'m> {
    Poisson(&'m Model),
    Platform(FittedPlatform<'m>),
}

pub enum AnySample {
    Poisson(PoissonSample),
    Platform(PlatformSampleCounts),
}

impl Likelihood for AnyLikelihood<'_> {
    type Sample = AnySample;

    fn model(&self) -> &Model {
        match self {
            AnyLikelihood::Poisson(model) => model,
            AnyLikelihood::Platform(fitted) => fitted.model(),
        }
    }

    fn least_dispersion(&self) -> f64 {
        match self {
            AnyLikelihood::Poisson(model) => model.least_dispersion(),
            AnyLikelihood::Platform(fitted) => fitted.least_dispersion(),
        }
    }

    fn sample(&self, index: usize, counts: &[f64], exposures: &[f64]) -> AnySample {
        match self {
            AnyLikelihood::Poisson(model) => {
                AnySample::Poisson(model.sample(index, counts, exposures))
            }
            AnyLikelihood::Platform(fitted) => {
                AnySample::Platform(fitted.sample(index, counts, exposures))
            }
        }
    }

    fn terms(
        &self,
        sample: &AnySample,
        genes: Range<usize>,
        mu: &[f64],
        memory: &mut Vec<f64>,
        slope: &mut [f64],
        curvature: &mut [f64],
    ) -> f64 {
        match (self, sample) {
            (AnyLikelihood::Poisson(model), AnySample::Poisson(sample)) => {
                model.terms(sample, genes, mu, memory, slope, curvature)
            }
            (AnyLikelihood::Platform(fitted), AnySample::Platform(sample)) => {
                fitted.terms(sample, genes, mu, memory, slope, curvature)
            }
            _ => unreachable!("a sample is read by the likelihood that made it"),
        }
    }

    fn gene_terms(&self, sample: &AnySample, fitted_means: &[f64]) -> GeneTerms {
        match (self, sample) {
            (AnyLikelihood::Poisson(model), AnySample::Poisson(sample)) => {
                model.gene_terms(sample, fitted_means)
            }
            (AnyLikelihood::Platform(fitted), AnySample::Platform(sample)) => {
                fitted.gene_terms(sample, fitted_means)
            }
            _ => unreachable!("a sample is read by the likelihood that made it"),
        }
    }
}
