//! Expression of each type in each sample.

use crate::bridge::{answer, guard, supervise, Given, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::deconvolution::expression::{
    allocate, prior, start_programs, Asked, Cohort, CohortFit, CohortParams, Data, DonorProfiles,
    Expression, Fields, FoundMeans, KnownPrograms, Means, Origin, Prior, Programs, Reference,
};

/// Reads `data`: `counts`, `sources`, `lengths` and `exposures`.
pub fn cohort_data<'a>(given: &Given<'a>) -> Result<Data<'a>> {
    let data = given.list("data")?;
    Ok(Data {
        counts: data.array2("counts")?,
        sources: data.array2("sources")?,
        lengths: data.numbers("lengths")?,
        exposures: data.array2("exposures")?,
    })
}

/// Reads `reference`: `variance`, `donors`, `totals` and `assumed`.
pub fn reference_prior(given: &Given<'_>, data: &Data<'_>) -> Result<Prior> {
    let reference = given.list("reference")?;
    Ok(prior(&Reference {
        profiles: data.sources,
        variance: reference.array2("variance")?,
        donors: reference.numbers("donors")?,
        totals: reference.numbers("totals")?,
        assumed: reference.number("assumed")?,
    })?)
}

fn expression(found: Expression) -> Value<'static> {
    let (mean, of_sample) = found.level.map(|level| (level.mean, level.variance)).unzip();
    answer!(
        value = found.value,
        variance = found.variance,
        reliability = found.reliability,
        level = mean,
        level_variance = of_sample
    )
}

/// `sources` and `samples` are the ones asked for.
/// @noRd
#[extendr]
fn rs_allocate(given: List) -> Robj {
    guard(&given, |given| {
        let data = cohort_data(&given)?;
        let (sources, samples) = (given.positions("sources")?, given.positions("samples")?);
        Ok(expression(supervise(&given, |monitor| allocate(&data, &sources, &samples, monitor))?))
    })
}

/// `noise` is the start of φ, `least_noise` the least that it may be; `means` says whether
/// those of the sources are wanted.
/// @noRd
#[extendr]
fn rs_fit_expression(given: List) -> Robj {
    guard(&given, |given| {
        let data = cohort_data(&given)?;
        let known = reference_prior(&given, &data)?;
        let params = CohortParams {
            learn: given.choice("learn")?,
            noise: given.number("noise")?,
            least_noise: given.number("least_noise")?,
            threads: given.count("threads")?,
        };
        let cohort = Cohort::new(data, &known)?;
        let of_means = given.flag("means")?;
        let (fit, means) = supervise(&given, |monitor| {
            let fit = cohort.fit(&params, monitor)?;
            let means = if of_means {
                Some(cohort.means(&fit, params.threads, &monitor.silent())?)
            } else {
                None
            };
            Ok((fit, means))
        })?;
        let (level, mean, covariance) = means
            .map(|FoundMeans { level, mean, covariance }| (level, mean, covariance))
            .map_or((None, None, None), |(l, m, c)| (Some(l), Some(m), Some(c)));
        Ok(answer!(
            level = level,
            mean = mean,
            covariance = covariance,
            size_level = fit.size_level,
            between = fit.between,
            counting = known.counting,
            donors = known.donors,
            trend = known.trend,
            log_factor = fit.log_factor,
            tau2 = fit.tau2,
            sizes = fit.sizes,
            noise = fit.noise,
            factors = fit.factors,
            prior_freedom = fit.prior_freedom
        ))
    })
}

/// Reads `fit`, what `rs_fit_expression()` returned, for the genes of the data.
fn learnt(fit: &Given<'_>) -> Result<(Prior, CohortFit)> {
    let doubles = |name| fit.numbers(name).map(<[f64]>::to_vec);
    let between = fit.array2("between")?.to_owned();
    let known = Prior {
        between: between.clone(),
        counting: fit.array2("counting")?.to_owned(),
        donors: doubles("donors")?,
        trend: doubles("trend")?,
    };
    let learnt = CohortFit {
        between,
        log_factor: doubles("log_factor")?,
        tau2: fit.number("tau2")?,
        sizes: doubles("sizes")?,
        size_level: fit.number("size_level")?,
        noise: fit.number("noise")?,
        factors: doubles("factors")?,
        prior_freedom: fit.number("prior_freedom")?,
    };
    Ok((known, learnt))
}

/// A cohort of which other samples have told the means.
fn known_cohort<'a>(data: Data<'a>, prior: &'a Prior, fit: &Given<'a>) -> Result<Cohort<'a>> {
    Ok(Cohort::new(data, prior)?.with_means(Means {
        level: fit.numbers("level")?,
        mean: fit.array2("mean")?,
        covariance: fit.array2("covariance")?,
    })?)
}

/// Sizes of samples of a cohort whose fit is known, from `data` and the start of φ.
/// @noRd
#[extendr]
fn rs_sample_sizes(given: List) -> Robj {
    guard(&given, |given| {
        let data = cohort_data(&given)?;
        let known = reference_prior(&given, &data)?;
        let cohort = Cohort::new(data, &known)?;
        let (noise, level) = (given.number("noise")?, given.number("size_level")?);
        let sizes = supervise(&given, |_| Ok(cohort.sizes(noise)))?;
        Ok(Value::from(sizes.into_iter().map(|size| size * level).collect::<Vec<f64>>()))
    })
}

/// `profiles` are the counts of donors (genes × profiles) with their `totals`, `of` the
/// type of each; `sources` the types' profiles.  Nothing where no type has a program.
/// @noRd
#[extendr]
fn rs_start_programs(given: List) -> Robj {
    guard(&given, |given| {
        let of = given.positions("of")?;
        let profiles = DonorProfiles {
            counts: given.array2("profiles")?,
            totals: given.numbers("totals")?,
            of: &of,
        };
        Ok(match start_programs(&given.array2("sources")?, &profiles)? {
            None => answer!(own = Vec::<bool>::new()),
            Some(start) => answer!(
                loadings = start.loadings,
                own = start.origins.iter().map(|&o| o == Origin::Own).collect::<Vec<bool>>()
            ),
        })
    })
}

/// `programs` has `loadings`, `of`, the source of each, and `sizes`; `learn` these or not.
/// @noRd
#[extendr]
fn rs_fit_programs(given: List) -> Robj {
    guard(&given, |given| {
        let (data, (known, learnt)) = (cohort_data(&given)?, learnt(&given.list("fit")?)?);
        let programs = given.list("programs")?;
        let of = programs.positions("of")?;
        let programs = Programs {
            loadings: programs.array2("loadings")?,
            of: &of,
            sizes: programs.numbers("sizes")?,
        };
        let (learn, threads) = (given.flag("learn")?, given.count("threads")?);
        let cohort = known_cohort(data, &known, &given.list("fit")?)?;
        let found = supervise(&given, |monitor| {
            cohort.activities(&learnt, &programs, learn, threads, monitor)
        })?;
        Ok(answer!(
            activities = found.mean,
            covariance = found.covariance,
            sizes = found.sizes,
            trace = found.trace
        ))
    })
}

/// `fit` is what `rs_fit_expression()` returned, for the genes of `data`;
/// `covariance` that of the exposures (types × types × asked samples), or NULL;
/// `programs` has `loadings`, `of`, `sizes`, and `activities` and `covariance` in the
/// asked samples, or is NULL; `value`, `variance` and `reliability` say which are made.
/// @noRd
#[extendr]
fn rs_predict_expression(given: List) -> Robj {
    guard(&given, |given| {
        let (data, (known, learnt)) = (cohort_data(&given)?, learnt(&given.list("fit")?)?);
        let cohort = known_cohort(data, &known, &given.list("fit")?)?;
        let (sources, samples) = (given.positions("sources")?, given.positions("samples")?);
        let threads = given.count("threads")?;
        let covariance = match given.has("covariance") {
            true => Some(given.array3("covariance")?),
            false => None,
        };
        let of;
        let programs = match given.has("programs") {
            true => {
                let programs = given.list("programs")?;
                of = programs.positions("of")?;
                Some(KnownPrograms {
                    programs: Programs {
                        loadings: programs.array2("loadings")?,
                        of: &of,
                        sizes: programs.numbers("sizes")?,
                    },
                    mean: programs.array2("activities")?,
                    covariance: programs.array3("covariance")?,
                })
            }
            false => None,
        };
        let fields = Fields {
            value: given.flag("value")?,
            variance: given.flag("variance")?,
            reliability: given.flag("reliability")?,
        };
        let asked = Asked { sources: &sources, samples: &samples, fields, covariance, programs };
        let found = supervise(&given, |monitor| cohort.predict(&learnt, &asked, threads, monitor))?;
        Ok(expression(found))
    })
}

extendr_module! {
    mod cell_type_expression;
    fn rs_allocate;
    fn rs_fit_expression;
    fn rs_sample_sizes;
    fn rs_start_programs;
    fn rs_fit_programs;
    fn rs_predict_expression;
}
