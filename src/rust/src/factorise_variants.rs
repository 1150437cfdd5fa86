//! Genotype calls of single cells and their weighted factorisation.

use crate::arguments::{number, numbers, r_array2, values};
use crate::guard::guard;
use crate::interrupt::supervise;
use crate::nmf::reason;
use extendr_api::prelude::*;
use unalloy_core::factorisation::variants::{
    call_genotypes, factorise_variants, CallWeight, Calls, Intervals, Noise, VariantFit,
    VariantSettings,
};
use unalloy_core::factorisation::Side;
use unalloy_core::matrix::Matrix;
use unalloy_core::parallel::with_threads;
use unalloy_core::CoreError;

/// @noRd
#[extendr]
fn rs_call_genotypes(
    reference: Robj,
    alternative: Robj,
    n_rows: i32,
    n_columns: i32,
    min_coverage: f64,
    min_allele: f64,
    weight: i32,
) -> Robj {
    guard(|| {
        let weight = match weight {
            1 => CallWeight::Constant,
            2 => CallWeight::Coverage,
            _ => CallWeight::Binary,
        };
        let shape = (n_rows as usize, n_columns as usize);
        let reference = values(&reference)?.of_shape(shape)?;
        let alternative = values(&alternative)?.of_shape(shape)?;
        let Calls { calls, weights } =
            call_genotypes(reference, alternative, (min_coverage, min_allele), weight)?;
        let calls = calls.view();
        Ok(list!(p = calls.starts(), i = calls.rows(), calls = calls.values(), weights = weights))
    })
}

/// @noRd
#[extendr]
fn rs_factorise_variants(
    calls: Robj,
    weights: Robj,
    n_rows: i32,
    n_columns: i32,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let shape = (n_rows as usize, n_columns as usize);
        let Matrix::Sparse(calls) = values(&calls)?.of_shape(shape)? else {
            return Err(CoreError::Shape { what: "calls", expected: 3, found: 1 });
        };
        let weights = numbers(&weights, "weights")?;
        let count = |name| number(&settings, name).map(|v| v as usize);
        let threads = count("threads")?;
        let settings = VariantSettings {
            rank: count("rank")?,
            runs: count("nrun")?,
            resamples: count("bootstrap")?,
            level: number(&settings, "level")?,
            max_iterations: count("max_iter")?,
            tolerance: number(&settings, "tolerance")?,
            noise: if count("noise")? == 1 { Noise::Variant } else { Noise::Common },
            ridge: number(&settings, "ridge")?,
            seed: number(&settings, "seed")? as i64 as u64,
        };
        let fit = supervise(&progress, |monitor| {
            with_threads(threads, || factorise_variants(calls, weights, &settings, monitor))?
        })?;
        Ok(handed_back(fit))
    })
}

fn handed_back(fit: VariantFit) -> List {
    let of_runs = |f: &dyn Fn(usize) -> f64| (0..fit.runs.len()).map(f).collect::<Vec<f64>>();
    let intervals: Robj = match &fit.intervals {
        None => ().into(),
        Some(Intervals { mean, sd, lower, upper, chosen }) => list!(
            mean = r_array2(mean),
            sd = r_array2(sd),
            lower = r_array2(lower),
            upper = r_array2(upper),
            chosen = r_array2(chosen)
        )
        .into(),
    };
    let factors = &fit.best.factors;
    let rank = factors.rank;
    let (basis, coef) = (factors.side(Side::Basis), factors.side(Side::Coef));
    list!(
        basis = RMatrix::new_matrix(basis.len() / rank, rank, |i, r| basis[i * rank + r]),
        coef = RMatrix::new_matrix(rank, coef.len() / rank, |r, j| coef[j * rank + r]),
        shares = r_array2(&fit.shares),
        intervals = intervals,
        residuals = [fit.residuals.0, fit.residuals.1],
        best_run = fit.best_run as i32 + 1,
        objective = of_runs(&|run| fit.runs[run].objective),
        kkt = of_runs(&|run| fit.runs[run].kkt),
        iterations = of_runs(&|run| fit.runs[run].iterations as f64),
        reason = fit.runs.iter().map(|run| reason(run.stop)).collect::<Vec<_>>(),
        trace = fit.best.trace,
        noise = fit.best.noise,
        exhausted = factors.dead().iter().map(|&r| r as i32 + 1).collect::<Vec<_>>()
    )
}

extendr_module! {
    mod factorise_variants;
    fn rs_call_genotypes;
    fn rs_factorise_variants;
}
