//! Non-negative matrix factorisation.

use crate::bridge::{
    answer, array2, guard, integers, positions, stop, supervise, Given, Result, Value,
};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::factorisation::penalty::{Constraint, Graph, Penalty};
use unalloy_core::factorisation::{fit, Algorithm, Fit, Pair, Settings, Side, Weights};
use unalloy_core::CoreError;

/// `weights` is NULL, a matrix like `x`, or a list of `features` and `samples`;
/// missing values of `x` are NaN.
/// @noRd
#[extendr]
fn rs_nmf(given: List) -> Robj {
    guard(&given, |given| {
        let x = given.matrix("x")?;
        let chosen = settings(&given, x.shape())?;
        let weights = if !given.has("weights") {
            Weights::Equal
        } else if let Ok(parts) = given.list("weights") {
            let (features, samples) = (parts.numbers("features")?, parts.numbers("samples")?);
            Weights::Outer { features, samples }
        } else {
            Weights::Entries(given.matrix("weights")?)
        };
        let fitted = supervise(&given, |monitor| {
            with_threads(chosen.threads, || fit(x, weights, &chosen, monitor))?
        })?;
        fit_answer(fitted, x.n_columns())
    })
}

fn settings(given: &Given<'_>, (m, n): (usize, usize)) -> Result<Settings> {
    let mut algorithm = given.choice("algorithm")?;
    if let Algorithm::NonSmooth { theta } = &mut algorithm {
        *theta = given.number("theta")?;
    }
    let start = match given.has("start_basis") {
        true => Some(Pair::new(given.array2("start_basis")?, given.array2("start_coef")?)?),
        false => None,
    };
    let unchanged = match given.has("unchanged") {
        true => Some(given.count("unchanged")?),
        false => None,
    };
    Ok(Settings {
        algorithm,
        rank: given.count("rank")?,
        runs: given.count("nrun")?,
        seed: given.seed("seed")?,
        init: given.choice("init")?,
        start,
        max_iter: given.count("max_iter")?,
        tolerance: given.number("tolerance")?,
        unchanged,
        constraints: [constraint(given, 0, m)?, constraint(given, 1, n)?],
        known: given.numbers("known")?.to_vec(),
        keep_all: given.flag("keep_all")?,
        threads: given.count("threads")?,
    })
}

/// What the basis (`side` 0) or the coefficients (1) have to obey.
fn constraint(given: &Given<'_>, side: usize, lines: usize) -> Result<Constraint> {
    let of = |name: &'static str| -> Result<f64> {
        let both = given.numbers(name)?;
        let wrong = CoreError::Shape { what: name, expected: 2, found: both.len() };
        Ok(*both.get(side).ok_or(wrong)?)
    };
    let adjacency = ["feature_graph", "sample_graph"][side];
    let graph = match given.has(adjacency) {
        false => None,
        true => Some(Graph::new(given.sparse(adjacency)?, lines, of("smoothness")?)?),
    };
    Ok(Constraint {
        penalty: Penalty {
            l1: of("l1")?,
            l2: of("l2")?,
            l1_squared: of("l1_squared")?,
            angle: of("angle")?,
            graph,
        },
        upper: of("upper")?,
        fixed: Vec::new(),
    })
}

fn factors(pair: &Pair) -> Value<'static> {
    let rank = pair.rank;
    let (basis, coef) = (pair.side(Side::Basis).to_vec(), pair.side(Side::Coef).to_vec());
    let samples = coef.len() / rank;
    answer!(
        basis = array2((basis.len() / rank, rank), move |i, r| basis[i * rank + r]),
        coef = Value::from(coef).shaped(&[rank, samples])
    )
}

fn fit_answer(fitted: Fit, n: usize) -> Result<Value<'static>> {
    let runs = &fitted.runs;
    let from = |f: &dyn Fn(usize) -> f64| (0..runs.len()).map(f).collect::<Vec<f64>>();
    let membership = runs.iter().flat_map(|run| run.membership.iter().map(|&k| k as usize));
    let kept = runs.iter().filter_map(|run| run.pair.as_ref()).map(factors);
    Ok(answer!(
        factors = factors(&fitted.pair),
        offset = fitted.offset.unwrap_or_default(),
        objective = fitted.objective,
        best = positions([fitted.best])?,
        iteration = integers(fitted.trace.iter().map(|t| t.0))?,
        trace = fitted.trace.iter().map(|t| t.1).collect::<Vec<_>>(),
        objectives = from(&|r| runs[r].objective),
        kkt = from(&|r| runs[r].kkt),
        iterations = from(&|r| runs[r].iterations as f64),
        exhausted = from(&|r| runs[r].dead as f64),
        seconds = from(&|r| runs[r].seconds),
        reasons = runs.iter().map(|run| stop(run.stop)).collect::<Vec<_>>(),
        membership = positions(membership)?.shaped(&[n, runs.len()]),
        fits = kept.collect::<Vec<_>>()
    ))
}

extendr_module! {
    mod nmf;
    fn rs_nmf;
}
