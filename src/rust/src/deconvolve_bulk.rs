//! Fits, fitted values and uncertainty of bulk deconvolution.

use crate::arguments::{counts, element, matrix, number, numbers};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::deconvolution::inference::{infer, SampleInference, Variance};
use unalloy_core::deconvolution::metrics::{GeneMoments, Moments, SampleMetrics};
use unalloy_core::deconvolution::platform::{
    fit_platform, FittedPlatform, PlatformModel, PlatformParams,
};
use unalloy_core::deconvolution::solver::Stop;
use unalloy_core::deconvolution::{fit, Method, Model, Params};
use unalloy_core::faer::linalg::matmul::matmul;
use unalloy_core::faer::{Accum, MatMut, MatRef, Par};
use unalloy_core::CoreError;

/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)]
fn rs_deconvolve_bulk(
    values: Robj,
    n_rows: i32,
    n_columns: i32,
    gene_of_row: &[i32],
    signatures: RMatrix<f64>,
    lengths: &[f64],
    weights: &[f64],
    n_types: i32,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let model = Model::new(matrix(&signatures), lengths, weights, n_types.max(0) as usize)?;
        let routes = model.route(gene_of_row);
        let bulk = counts(&values, n_rows, n_columns, &routes, model.n_rows())?;
        let params = params(&settings)?;
        let fitted = supervise(&progress, |monitor| fit(&model, &bulk, &params, monitor))?;
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
        Ok(answer(&model, &samples, &fitted.genes))
    })
}

fn params(settings: &List) -> std::result::Result<Params, CoreError> {
    let get = |name| number(settings, name);
    let optional = |name| get(name).map(|v| if v.is_nan() { None } else { Some(v) });
    let method = match get("method")? as i32 {
        1 => Method::Newton,
        2 => Method::Em,
        _ => Method::Gradient {
            learning_rate: get("learning_rate")?,
            start: optional("init_log_exp")?,
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
        seed: optional("seed")?.map(|seed| seed as i64 as u64),
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
#[allow(clippy::too_many_arguments)]
fn rs_fit_platform(
    values: Robj,
    n_rows: i32,
    n_columns: i32,
    gene_of_row: &[i32],
    signatures: RMatrix<f64>,
    lengths: &[f64],
    weights: &[f64],
    variance: RMatrix<f64>,
    discount: &[f64],
    floors: &[f64],
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let model = Model::new(matrix(&signatures), lengths, weights, signatures.ncols())?;
        let platform = PlatformModel::new(&model, matrix(&variance), discount)?;
        let routes = model.route(gene_of_row);
        let bulk = counts(&values, n_rows, n_columns, &routes, model.n_rows())?;
        let optional =
            |name| number(&settings, name).map(|v| if v.is_nan() { None } else { Some(v) });
        let params = PlatformParams {
            tau2: optional("tau2")?,
            seed: optional("seed")?.map(|seed| seed as i64 as u64),
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
        let fit = answer(&model, &samples, &fitted.genes);
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
        let mut fitted = MatMut::from_column_major_slice_mut(out.data_mut(), n_genes, n_samples);
        matmul(
            fitted.as_mut(),
            Accum::Replace,
            matrix(&signatures),
            matrix(&exposures),
            1.0,
            Par::Seq,
        );
        for j in 0..n_samples {
            fitted.as_mut().col_mut(j).iter_mut().zip(lengths).for_each(|(m, l)| *m *= l);
        }
        Ok(out)
    })
}

/// `platform` is empty for the Poisson model, else it holds `variance` (genes ×
/// types), `discount` (per gene), `floors` (per sample) and `tau2`.
/// @noRd
#[extendr]
#[allow(clippy::too_many_arguments)]
fn rs_infer(
    values: Robj,
    n_rows: i32,
    n_columns: i32,
    gene_of_row: &[i32],
    signatures: RMatrix<f64>,
    lengths: &[f64],
    weights: &[f64],
    n_types: i32,
    platform: List,
    exposures: RMatrix<f64>,
    variance: &str,
    fall: f64,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let model = Model::new(matrix(&signatures), lengths, weights, n_types.max(0) as usize)?;
        let routes = model.route(gene_of_row);
        let bulk = counts(&values, n_rows, n_columns, &routes, model.n_rows())?;
        let threads = threads.max(0) as usize;
        let points = matrix(&exposures);
        let variance = match variance {
            "quasi" => Variance::Quasi,
            "poisson" => Variance::Poisson,
            _ => Variance::Robust,
        };
        let samples = if platform.is_empty() {
            supervise(&progress, |monitor| {
                infer(&model, &bulk, points, variance, fall, threads, monitor)
            })?
        } else {
            let [reference_variance, discount, floors] =
                ["variance", "discount", "floors"].map(|name| element(&platform, name));
            let reference_variance = MatRef::from_column_major_slice(
                numbers(&reference_variance, "variance")?,
                signatures.nrows(),
                signatures.ncols(),
            );
            let discount = numbers(&discount, "discount")?;
            let platform_model = PlatformModel::new(&model, reference_variance, discount)?;
            let fitted = FittedPlatform {
                platform: &platform_model,
                tau2: number(&platform, "tau2")?,
                floors: numbers(&floors, "floors")?,
            };
            supervise(&progress, |monitor| {
                infer(&fitted, &bulk, points, variance, fall, threads, monitor)
            })?
        };
        Ok(inferred(&samples, model.n_sources()))
    })
}

fn inferred(samples: &[SampleInference], n_sources: usize) -> List {
    list!(
        covariance = samples.iter().flat_map(|s| s.covariance.clone()).collect::<Vec<_>>(),
        dispersion = samples.iter().map(|s| s.dispersion).collect::<Vec<_>>(),
        limits = RMatrix::new_matrix(n_sources, samples.len(), |j, i| samples[i].limits[j])
    )
}

extendr_module! {
    mod deconvolve_bulk;
    fn rs_deconvolve_bulk;
    fn rs_fit_platform;
    fn rs_fitted;
    fn rs_infer;
}
