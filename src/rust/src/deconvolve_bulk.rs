//! Fits and fitted values of bulk deconvolution.

use crate::bridge::{
    answer, array2, guard, integers, positions, supervise, Given, Problem, Result, Value,
};
use extendr_api::prelude::*;
use unalloy_core::base::convergence::Stop;
use unalloy_core::deconvolution::metrics::{MomentTree, Moments, SampleMetrics};
use unalloy_core::deconvolution::{
    expected_counts, fit, fit_platform, Method, Model, Params, PlatformParams,
};
use unalloy_core::matrix::from_columns_mut;

/// `first_sample` is the place of the first sample in its cohort, from 0.
/// @noRd
#[extendr]
fn rs_deconvolve_bulk(given: List) -> Robj {
    guard(&given, |given| {
        let problem = Problem::read(&given)?;
        let (model, bulk) = (&problem.model, problem.counts()?);
        let mut params = params(&given.list("settings")?)?;
        params.first_sample = given.count("first_sample")?;
        let fitted = supervise(&given, |monitor| fit(model, &bulk, &params, monitor))?;
        let samples = fitted.samples.iter().map(|s| Sample {
            exposures: &s.exposures,
            iterations: s.iterations,
            gap: s.gap,
            stop: s.stop,
            trace: &s.trace,
            metrics: &s.metrics,
        });
        fit_answer(model, &samples.collect::<Vec<_>>(), &fitted.genes)
    })
}

fn params(settings: &Given<'_>) -> Result<Params> {
    let mut method = settings.choice("method")?;
    if let Method::Gradient { learning_rate, start } = &mut method {
        *learning_rate = settings.number("learning_rate")?;
        *start = settings.optional("init_log_exp")?;
    }
    Ok(Params {
        method,
        l1_lambda: settings.number("l1_lambda")?,
        l2_lambda: settings.number("l2_lambda")?,
        max_iter: settings.count("max_iter")?,
        poll_interval: settings.count("poll_interval")?,
        tolerance: settings.number("ll_tolerance")?,
        sparsity_tolerance: settings.number("sparsity_tolerance")?,
        seed: settings.optional_seed("seed")?,
        threads: settings.count("threads")?,
        ..Params::default()
    })
}

/// One fitted sample, whatever the likelihood.
struct Sample<'a> {
    exposures: &'a [f64],
    iterations: usize,
    gap: f64,
    stop: Stop,
    trace: &'a [(usize, f64, f64)],
    metrics: &'a SampleMetrics,
}

fn fit_answer(model: &Model, samples: &[Sample<'_>], genes: &MomentTree) -> Result<Value<'static>> {
    let column = |f: fn(&Sample<'_>) -> f64| -> Vec<f64> { samples.iter().map(f).collect() };
    let exposures: Vec<f64> = samples.iter().flat_map(|s| s.exposures).copied().collect();
    let silent = Moments::default();
    let nodes = genes.nodes();
    let of_genes = nodes.iter().flat_map(|node| {
        model.row_of_gene().iter().map(|&row| match usize::try_from(row) {
            Ok(row) => &node.genes.as_slice()[row],
            Err(_) => &silent,
        })
    });
    let of_sample = samples.iter().enumerate();
    let of_sample = of_sample.flat_map(|(at, s)| std::iter::repeat_n(at, s.trace.len()));
    let trace = || samples.iter().flat_map(|s| s.trace);
    Ok(answer!(
        exposures = Value::from(exposures).shaped(&[model.n_sources(), samples.len()]),
        iterations = integers(samples.iter().map(|s| s.iterations))?,
        gap = column(|s| s.gap),
        reason = samples.iter().map(|s| s.stop.name()).collect::<Vec<_>>(),
        loglik = column(|s| s.metrics.log_likelihood),
        deviance = column(|s| s.metrics.deviance),
        null_deviance = column(|s| s.metrics.null_deviance),
        trace = answer!(
            sample = positions(of_sample)?,
            iteration = integers(trace().map(|t| t.0))?,
            objective = trace().map(|t| t.1).collect::<Vec<_>>(),
            gap = trace().map(|t| t.2).collect::<Vec<_>>()
        ),
        squared_error = column(|s| s.metrics.squared_error),
        relative_error = column(|s| s.metrics.relative_error),
        sample_moments = moments(samples.iter().map(|s| &s.metrics.moments)),
        gene_moments = answer!(
            level = integers(nodes.iter().map(|node| node.level))?,
            index = integers(nodes.iter().map(|node| node.index))?,
            moments = moments(of_genes)
        )
    ))
}

/// A matrix with a row per set of moments: n, means, and centred second
/// moments of observed (x) and fitted (y) counts.
fn moments<'a>(of: impl Iterator<Item = &'a Moments>) -> Value<'static> {
    let rows: Vec<[f64; 6]> = of.map(|m| [m.n, m.mean_x, m.mean_y, m.xx, m.yy, m.xy]).collect();
    array2((rows.len(), 6), move |i, j| rows[i][j])
}

/// @noRd
#[extendr]
fn rs_fit_platform(given: List) -> Robj {
    guard(&given, |given| {
        let (problem, settings) = (Problem::read(&given)?, given.list("settings")?);
        let (model, bulk, platform) = (&problem.model, problem.counts()?, problem.platform()?);
        let params = PlatformParams {
            tau2: platform.tau2,
            seed: settings.optional_seed("seed")?,
            first_sample: given.count("first_sample")?,
            max_iter: settings.count("max_iter")?,
            tolerance: settings.number("ll_tolerance")?,
            threads: settings.count("threads")?,
            ..PlatformParams::default()
        };
        let fitted = supervise(&given, |monitor| {
            fit_platform(&platform.model, &bulk, platform.floors, &params, monitor)
        })?;
        let samples = fitted.samples.iter().map(|s| Sample {
            exposures: &s.exposures,
            iterations: s.iterations,
            gap: s.decrement,
            stop: s.stop,
            trace: &[],
            metrics: &s.metrics,
        });
        let fit = fit_answer(model, &samples.collect::<Vec<_>>(), &fitted.genes)?;
        Ok(answer!(fit = fit, tau2 = fitted.tau2))
    })
}

/// Expected counts from `signatures`, `lengths` and `exposures`.
/// @noRd
#[extendr]
fn rs_fitted(given: List) -> Robj {
    guard(&given, |given| {
        let (signatures, lengths) = (given.array2("signatures")?, given.numbers("lengths")?);
        let exposures = given.array2("exposures")?;
        let (n_genes, n_samples) = (signatures.nrows(), exposures.ncols());
        Ok(Value::filled(vec![n_genes, n_samples], move |out| {
            let out = from_columns_mut(out, (n_genes, n_samples));
            supervise(&given, |monitor| {
                expected_counts(signatures, lengths, exposures, out, monitor)
            })
        }))
    })
}

extendr_module! {
    mod deconvolve_bulk;
    fn rs_deconvolve_bulk;
    fn rs_fit_platform;
    fn rs_fitted;
}
