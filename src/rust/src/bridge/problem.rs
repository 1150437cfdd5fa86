//! The deconvolution of a block of samples as R hands it over: one list for
//! every binding that fits, tests or infers.

use super::{supervise, Given, Result};
use unalloy_core::base::parallel::Monitor;
use unalloy_core::deconvolution::likelihood::{FittedPlatform, Likelihood, PlatformModel, Poisson};
use unalloy_core::deconvolution::Model;
use unalloy_core::matrix::counts::Counts;
use unalloy_core::CoreError;

/// `values` (rows × samples), `gene_of_row`, `sources` (genes × sources), `lengths`,
/// `weights`, `n_types`; for the platform error also `variance` (genes × types),
/// `discount` (per gene), `floors` (per sample) and `tau2`.
pub struct Problem<'a> {
    pub model: Model,
    routes: Vec<i32>,
    given: Given<'a>,
}

/// A platform model, the floors of the samples, and τ² unless it is to be estimated.
pub struct Platform<'p> {
    pub model: PlatformModel<'p>,
    pub floors: &'p [f64],
    pub tau2: Option<f64>,
}

impl<'a> Problem<'a> {
    /// Reads the list `problem`.
    pub fn read(given: &Given<'a>) -> Result<Self> {
        let given = given.list("problem")?;
        let model = Model::new(
            given.array2("sources")?,
            given.numbers("lengths")?,
            given.numbers("weights")?,
            given.count("n_types")?,
        )?;
        let routes = model.route(given.integers("gene_of_row")?);
        Ok(Problem { model, routes, given })
    }

    pub fn counts(&self) -> Result<Counts<'_>> {
        self.given.counts("values", &self.routes, self.model.n_rows())
    }

    pub fn platform(&self) -> Result<Platform<'_>> {
        let (variance, discount) =
            (self.given.array2("variance")?, self.given.numbers("discount")?);
        Ok(Platform {
            model: PlatformModel::new(&self.model, variance, discount)?,
            floors: self.given.numbers("floors")?,
            tau2: self.given.optional("tau2")?,
        })
    }

    /// Runs `work` under supervision with the likelihood of the problem, τ² known,
    /// and its counts.
    pub fn supervise<T: Send>(
        &self,
        given: &Given<'_>,
        work: impl FnOnce(&dyn Likelihood, &Counts<'_>, &Monitor<'_>) -> std::result::Result<T, CoreError>
            + Send,
    ) -> Result<T> {
        let counts = self.counts()?;
        let run = |likelihood: &dyn Likelihood| {
            supervise(given, |monitor| work(likelihood, &counts, monitor))
        };
        if !self.given.has("variance") {
            return run(&Poisson(&self.model));
        }
        let Platform { model, floors, .. } = self.platform()?;
        let tau2 = self.given.number("tau2")?;
        run(&FittedPlatform { platform: &model, tau2, floors })
    }
}
