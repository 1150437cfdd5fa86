//! Expression of each type in each sample.

use crate::arguments::{array3, element, entries, number, numbers, r_array2, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::deconvolution::expression::{
    allocate, prior, Cohort, CohortFit, CohortParams, Data, Expression, Learn, Prior, Reference,
};
use unalloy_core::matrix::Array2;
use unalloy_core::CoreError;

/// `data` holds `counts`, `sources`, `lengths` and `exposures`.
pub struct Held {
    counts: RMatrix<f64>,
    sources: RMatrix<f64>,
    lengths: Robj,
    exposures: RMatrix<f64>,
}

impl Held {
    pub fn new(data: &List) -> std::result::Result<Self, CoreError> {
        Ok(Held {
            counts: r_matrix_of(data, "counts")?,
            sources: r_matrix_of(data, "sources")?,
            lengths: element(data, "lengths"),
            exposures: r_matrix_of(data, "exposures")?,
        })
    }

    pub fn borrow(&self) -> std::result::Result<Data<'_>, CoreError> {
        Ok(Data {
            counts: view(&self.counts),
            sources: view(&self.sources),
            lengths: numbers(&self.lengths, "lengths")?,
            exposures: view(&self.exposures),
        })
    }
}

fn r_matrix_of(list: &List, name: &'static str) -> std::result::Result<RMatrix<f64>, CoreError> {
    let value = element(list, name);
    RMatrix::try_from(&value).map_err(|_| CoreError::Shape { what: name, expected: 1, found: 0 })
}

fn owned(of: &RMatrix<f64>) -> Array2<f64> {
    view(of).to_owned()
}

/// `reference` holds `variance`, `donors`, `totals` and `assumed`.
pub fn reference_prior(held: &Held, reference: &List) -> std::result::Result<Prior, CoreError> {
    let variance = r_matrix_of(reference, "variance")?;
    let [donors, totals] = ["donors", "totals"].map(|name| element(reference, name));
    prior(&Reference {
        profiles: view(&held.sources),
        variance: view(&variance),
        donors: numbers(&donors, "donors")?,
        totals: numbers(&totals, "totals")?,
        assumed: number(reference, "assumed")?,
    })
}

/// Indices that R counts from 1.
fn indices(of: &[i32]) -> Vec<usize> {
    of.iter().map(|&i| i.max(1) as usize - 1).collect()
}

fn expression(found: Expression) -> List {
    list!(
        value = entries(found.value),
        variance = entries(found.variance),
        reliability = found.reliability.map(entries).unwrap_or_default()
    )
}

/// @noRd
#[extendr]
fn rs_allocate(data: List, sources: &[i32], samples: &[i32]) -> Robj {
    guard(|| {
        let held = Held::new(&data)?;
        Ok(expression(allocate(&held.borrow()?, &indices(sources), &indices(samples))?))
    })
}

/// `noise` is the start and the least of φ.
/// @noRd
#[extendr]
fn rs_fit_expression(
    data: List,
    reference: List,
    learn: &str,
    noise: &[f64],
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let held = Held::new(&data)?;
        let known = reference_prior(&held, &reference)?;
        let learn = match learn {
            "nothing" => Learn::Nothing,
            "shared" => Learn::Shared,
            _ => Learn::Genes,
        };
        let [noise, least_noise] = *noise else {
            return Err(CoreError::Shape { what: "noise", expected: 2, found: noise.len() });
        };
        let threads = threads.max(0) as usize;
        let params = CohortParams { learn, noise, least_noise, threads };
        let cohort = Cohort::new(held.borrow()?, &known)?;
        let fit = supervise(&progress, |monitor| cohort.fit(&params, monitor))?;
        Ok(list!(
            between = r_array2(&fit.between),
            counting = r_array2(&known.counting),
            donors = known.donors.clone(),
            trend = known.trend.clone(),
            log_factor = fit.log_factor,
            tau2 = fit.tau2,
            sizes = fit.sizes,
            noise = fit.noise,
            factors = fit.factors,
            prior_freedom = fit.prior_freedom
        ))
    })
}

/// `fit` is what `rs_fit_expression()` returned, for the genes of `data`;
/// `covariance` that of the exposures (types × types × asked samples), or NULL.
/// @noRd
#[extendr]
fn rs_predict_expression(
    data: List,
    fit: List,
    sources: &[i32],
    samples: &[i32],
    covariance: Robj,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let held = Held::new(&data)?;
        let doubles = |name: &'static str| -> std::result::Result<Vec<f64>, CoreError> {
            Ok(numbers(&element(&fit, name), name)?.to_vec())
        };
        let between = owned(&r_matrix_of(&fit, "between")?);
        let known = Prior {
            between: between.clone(),
            counting: owned(&r_matrix_of(&fit, "counting")?),
            donors: doubles("donors")?,
            trend: doubles("trend")?,
        };
        let learnt = CohortFit {
            between,
            log_factor: doubles("log_factor")?,
            tau2: number(&fit, "tau2")?,
            sizes: doubles("sizes")?,
            noise: number(&fit, "noise")?,
            factors: doubles("factors")?,
            prior_freedom: number(&fit, "prior_freedom")?,
        };
        let cohort = Cohort::new(held.borrow()?, &known)?;
        let (sources, samples) = (indices(sources), indices(samples));
        let covariance = array3(&covariance)?;
        let found = supervise(&progress, |monitor| {
            cohort.predict(
                &learnt,
                &sources,
                &samples,
                covariance,
                threads.max(0) as usize,
                monitor,
            )
        })?;
        Ok(expression(found))
    })
}

extendr_module! {
    mod cell_type_expression;
    fn rs_allocate;
    fn rs_fit_expression;
    fn rs_predict_expression;
}
