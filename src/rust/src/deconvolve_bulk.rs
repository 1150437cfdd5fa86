//! Fits, fitted values and uncertainty of bulk deconvolution.

use crate::arguments::{number, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use crate::problem::Problem;
use extendr_api::prelude::*;
use unalloy_core::base::convergence::Stop;
use unalloy_core::deconvolution::metrics::{GeneMoments, Moments, SampleMetrics};
use unalloy_core::deconvolution::{fit, Method, Model, Params};
use unalloy_core::deconvolution::{fit_platform, PlatformParams};
use unalloy_core::matrix::linalg::multiply;
use unalloy_core::matrix::{from_columns_mut, Columns};
use unalloy_core::CoreError;

/// @noRd
#[extendr]
fn rs_deconvolve_bulk(problem: List, settings: List, progress: Function) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let (model, bulk) = (&problem.model, problem.counts()?);
        let params = params(&settings)?;
        let fitted = supervise(&progress, |monitor| fit(model, &bulk, &params, monitor))?;
        let samples: Vec<Sample<'_>> = fitted
            .samples
            .iter()
            .map(|s| Sample {
                exposures: &s.exposures,
                iterations: s.iterations,
                gap: s.gap,
                stop: s.stop,
                trace: &s.trace,
                metrics: &s.metrics,
            })
            .collect();
        Ok(answer(model, &samples, &fitted.genes))
    })
}

/// A number that may be "not given" (NaN).
fn optional(settings: &List, name: &str) -> std::result::Result<Option<f64>, CoreError> {
    number(settings, name).map(|value| (!value.is_nan()).then_some(value))
}

fn params(settings: &List) -> std::result::Result<Params, CoreError> {
    let get = |name| number(settings, name);
    let method = match get("method")? as i32 {
        1 => Method::Newton,
        2 => Method::Em,
        _ => Method::Gradient {
            learning_rate: get("learning_rate")?,
            start: optional(settings, "init_log_exp")?,
        },
    };
    Ok(Params {
        method,
        l1_lambda: get("l1_lambda")?,
        l2_lambda: get("l2_lambda")?,
        max_iter: get("max_iter")? as usize,
        poll_interval: get("poll_interval")? as usize,
        tolerance: get("ll_tolerance")?,
        sparsity_tolerance: get("sparsity_tolerance")?,
        seed: optional(settings, "seed")?.map(|seed| seed as i64 as u64),
        threads: get("threads")? as usize,
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

fn answer(model: &Model, samples: &[Sample<'_>], genes: &GeneMoments) -> List {
    let exposures =
        RMatrix::new_matrix(model.n_sources(), samples.len(), |j, i| samples[i].exposures[j]);
    let column = |f: fn(&Sample<'_>) -> f64| -> Vec<f64> { samples.iter().map(f).collect() };
    let silent = Moments::default();
    let genes = model.row_of_gene().iter().map(|&row| match usize::try_from(row) {
        Ok(row) => &genes.as_slice()[row],
        Err(_) => &silent,
    });
    let trace = || samples.iter().flat_map(|s| s.trace);
    list!(
        exposures = exposures,
        iterations = samples.iter().map(|s| s.iterations as i32).collect::<Vec<_>>(),
        gap = column(|s| s.gap),
        reason = samples.iter().map(|s| s.stop.name()).collect::<Vec<_>>(),
        loglik = column(|s| s.metrics.log_likelihood),
        deviance = column(|s| s.metrics.deviance),
        null_deviance = column(|s| s.metrics.null_deviance),
        trace = list!(
            sample = samples
                .iter()
                .enumerate()
                .flat_map(|(i, s)| vec![i as i32 + 1; s.trace.len()])
                .collect::<Vec<_>>(),
            iteration = trace().map(|t| t.0 as i32).collect::<Vec<_>>(),
            objective = trace().map(|t| t.1).collect::<Vec<_>>(),
            gap = trace().map(|t| t.2).collect::<Vec<_>>()
        ),
        squared_error = column(|s| s.metrics.squared_error),
        relative_error = column(|s| s.metrics.relative_error),
        sample_moments = moments(samples.iter().map(|s| &s.metrics.moments)),
        gene_moments = moments(genes)
    )
}

/// @noRd
#[extendr]
fn rs_fit_platform(problem: List, settings: List, progress: Function) -> Robj {
    guard(|| {
        let problem = Problem::read(&problem)?;
        let (model, bulk) = (&problem.model, problem.counts()?);
        let (platform, floors, tau2) = problem.platform()?;
        let params = PlatformParams {
            tau2: (!tau2.is_nan()).then_some(tau2),
            seed: optional(&settings, "seed")?.map(|seed| seed as i64 as u64),
            max_iter: number(&settings, "max_iter")? as usize,
            tolerance: number(&settings, "ll_tolerance")?,
            threads: number(&settings, "threads")? as usize,
            ..PlatformParams::default()
        };
        let fitted = supervise(&progress, |monitor| {
            fit_platform(&platform, &bulk, floors, &params, monitor)
        })?;
        let samples: Vec<Sample<'_>> = fitted
            .samples
            .iter()
            .map(|s| Sample {
                exposures: &s.exposures,
                iterations: s.iterations,
                gap: s.decrement,
                stop: s.stop,
                trace: &[],
                metrics: &s.metrics,
            })
            .collect();
        let fit = answer(model, &samples, &fitted.genes);
        Ok(list!(fit = fit, tau2 = fitted.tau2))
    })
}

/// A matrix with a row per set of moments: n, means, and centred second
/// moments of observed (x) and fitted (y) counts.
fn moments<'a>(of: impl Iterator<Item = &'a Moments>) -> RMatrix<f64> {
    let rows: Vec<[f64; 6]> = of.map(|m| [m.n, m.mean_x, m.mean_y, m.xx, m.yy, m.xy]).collect();
    RMatrix::new_matrix(rows.len(), 6, |i, j| rows[i][j])
}

/// @noRd
#[extendr]
fn rs_fitted(signatures: RMatrix<f64>, lengths: &[f64], exposures: RMatrix<f64>) -> Robj {
    guard(|| {
        let (n_genes, n_samples) = (signatures.nrows(), exposures.ncols());
        let mut out = RMatrix::<f64>::new(n_genes, n_samples);
        let mut fitted = from_columns_mut(out.data_mut(), (n_genes, n_samples));
        multiply(&mut fitted, &view(&signatures), &view(&exposures));
        for j in 0..n_samples {
            fitted.col_mut(j).iter_mut().zip(lengths).for_each(|(m, l)| *m *= l);
        }
        Ok(out)
    })
}

extendr_module! {
    mod deconvolve_bulk;
    fn rs_deconvolve_bulk;
    fn rs_fit_platform;
    fn rs_fitted;
}
