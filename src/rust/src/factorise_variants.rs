//! Genotype calls of single cells and their weighted factorisation.

use crate::bridge::{answer, array2, guard, positions, stop, supervise, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::factorisation::variants::{
    call_genotypes, factorise_variants, Intervals, VariantFit, VariantSettings,
};
use unalloy_core::factorisation::Side;

/// Calls from the numbers of `reference` and `alternative` reads.
/// @noRd
#[extendr]
fn rs_call_genotypes(given: List) -> Robj {
    guard(&given, |given| {
        let reference = given.matrix("reference")?;
        let alternative = given.matrix("alternative")?;
        let least = (given.number("min_coverage")?, given.number("min_allele")?);
        let weight = given.choice("weights")?;
        let calls = supervise(&given, |monitor| {
            call_genotypes(reference, alternative, least, weight, monitor)
        })?;
        let (starts, rows, values) = calls.calls.into_slots();
        Ok(answer!(p = starts, i = rows, calls = values, weights = calls.weights))
    })
}

/// `calls` is sparse; `weights` are those of its entries.
/// @noRd
#[extendr]
fn rs_factorise_variants(given: List) -> Robj {
    guard(&given, |given| {
        let calls = given.sparse("calls")?;
        let (weights, settings) = (given.numbers("weights")?, given.list("settings")?);
        let threads = settings.count("threads")?;
        let settings = VariantSettings {
            rank: settings.count("rank")?,
            runs: settings.count("nrun")?,
            resamples: settings.count("bootstrap")?,
            level: settings.number("level")?,
            max_iterations: settings.count("max_iter")?,
            tolerance: settings.number("tolerance")?,
            noise: settings.choice("noise")?,
            ridge: settings.number("ridge")?,
            seed: settings.seed("seed")?,
        };
        let fit = supervise(&given, |monitor| {
            with_threads(threads, || factorise_variants(calls, weights, &settings, monitor))?
        })?;
        handed_back(fit)
    })
}

fn handed_back(fit: VariantFit) -> Result<Value<'static>> {
    let of_runs = |f: &dyn Fn(usize) -> f64| (0..fit.runs.len()).map(f).collect::<Vec<f64>>();
    let intervals = fit.intervals.map(|Intervals { mean, sd, lower, upper, chosen }| {
        answer!(mean = mean, sd = sd, lower = lower, upper = upper, chosen = chosen)
    });
    let (factors, exhausted) = (&fit.best.factors, fit.best.factors.dead());
    let rank = factors.rank;
    let (basis, coef) = (factors.side(Side::Basis).to_vec(), factors.side(Side::Coef).to_vec());
    let samples = coef.len() / rank;
    Ok(answer!(
        basis = array2((basis.len() / rank, rank), move |i, r| basis[i * rank + r]),
        coef = Value::from(coef).shaped(&[rank, samples]),
        shares = fit.shares,
        intervals = intervals,
        residuals = vec![fit.residuals.0, fit.residuals.1],
        best_run = positions([fit.best_run])?,
        objective = of_runs(&|run| fit.runs[run].objective),
        kkt = of_runs(&|run| fit.runs[run].kkt),
        iterations = of_runs(&|run| fit.runs[run].iterations as f64),
        reason = fit.runs.iter().map(|run| stop(run.stop)).collect::<Vec<_>>(),
        trace = fit.best.trace,
        noise = fit.best.noise,
        exhausted = positions(exhausted)?
    ))
}

extendr_module! {
    mod factorise_variants;
    fn rs_call_genotypes;
    fn rs_factorise_variants;
}
