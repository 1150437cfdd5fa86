//! The deconvolution of a block of samples as R hands it over: one list for
//! every binding that fits, tests or infers.

use crate::arguments::{counts, element, number, numbers};
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::base::parallel::Monitor;
use unalloy_core::deconvolution::likelihood::{FittedPlatform, Likelihood, PlatformModel, Poisson};
use unalloy_core::deconvolution::Model;
use unalloy_core::matrix::counts::Counts;
use unalloy_core::matrix::{from_columns, ArrayView2};
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
        let sources = with_rows(entries, n_genes, "sources")?;
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
        let variance = with_rows(variance, n_genes, "variance")?;
        let discount = numbers(&platform.discount, "discount")?;
        let built = PlatformModel::new(&self.model, variance, discount)?;
        Ok((built, numbers(&platform.floors, "floors")?, platform.tau2))
    }

    /// Runs `work` under supervision with the likelihood of the problem, τ² known,
    /// and its counts.
    pub fn supervise<T: Send>(
        &self,
        progress: &Function,
        work: impl FnOnce(&dyn Likelihood, &Counts<'_>, &Monitor<'_>) -> std::result::Result<T, CoreError>
            + Send,
    ) -> std::result::Result<T, CoreError> {
        let counts = self.counts()?;
        let run = |likelihood: &dyn Likelihood| {
            supervise(progress, |monitor| work(likelihood, &counts, monitor))
        };
        if self.platform.is_none() {
            return run(&Poisson(&self.model));
        }
        let (platform, floors, tau2) = self.platform()?;
        run(&FittedPlatform { platform: &platform, tau2, floors })
    }
}

fn with_rows<'a>(
    entries: &'a [f64],
    n_rows: usize,
    what: &'static str,
) -> std::result::Result<ArrayView2<'a, f64>, CoreError> {
    let n_columns = entries.len() / n_rows.max(1);
    let expected = n_rows * n_columns;
    if entries.len() != expected {
        return Err(CoreError::Shape { what, expected, found: entries.len() });
    }
    Ok(from_columns(entries, (n_rows, n_columns)))
}
