//! Non-negative matrix factorisation.

use crate::arguments::{element, number, numbers, values};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::base::convergence::Stop;
use unalloy_core::factorisation::init::Init;
use unalloy_core::factorisation::penalty::{Constraint, Graph, Penalty};
use unalloy_core::factorisation::{fit, Algorithm, Fit, Pair, Settings, Side, Weights};
use unalloy_core::matrix::Matrix;
use unalloy_core::parallel::with_threads;
use unalloy_core::CoreError;

type Outcome<T> = std::result::Result<T, CoreError>;

/// `weights` is NULL, a matrix (or its slots) like `x`, or a list of `features`
/// and `samples`; missing values of `x` are NaN.
/// @noRd
#[extendr]
fn rs_nmf(
    x: Robj,
    n_rows: i32,
    n_columns: i32,
    weights: Robj,
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let shape = (n_rows.max(0) as usize, n_columns.max(0) as usize);
        let chosen = nmf_settings(&settings, shape)?;
        let list = weights.as_list().unwrap_or_default();
        let (features, samples) = (element(&list, "features"), element(&list, "samples"));
        let given = if weights.is_null() {
            Weights::Equal
        } else if !features.is_null() {
            let features = numbers(&features, "weights")?;
            Weights::Outer { features, samples: numbers(&samples, "weights")? }
        } else {
            Weights::Entries(values(&weights)?.of_shape(shape)?)
        };
        let x = values(&x)?.of_shape(shape)?;
        let fitted = supervise(&progress, |monitor| {
            with_threads(chosen.threads, || fit(x, given, &chosen, monitor))?
        })?;
        Ok(fit_list(&fitted, shape))
    })
}

fn nmf_settings(settings: &List, (m, n): (usize, usize)) -> Outcome<Settings> {
    let count = |name| number(settings, name).map(|v| v as usize);
    let text = |name: &str| element(settings, name).as_str().unwrap_or_default().to_string();
    let unknown = |name| CoreError::Argument { name, found: f64::NAN, expected: "a known name" };
    let algorithm = match text("algorithm").as_str() {
        "hals" => Algorithm::Hals,
        "anls" => Algorithm::Anls,
        "gradient" => Algorithm::Gradient,
        "lee" => Algorithm::Lee,
        "offset" => Algorithm::Offset,
        "nonsmooth" => Algorithm::NonSmooth { theta: number(settings, "theta")? },
        "kl" => Algorithm::KullbackLeibler,
        "brunet" => Algorithm::Brunet,
        _ => return Err(unknown("algorithm")),
    };
    let init = match text("init").as_str() {
        "random" => Init::Random,
        "nndsvd" => Init::Nndsvd,
        "nndsvda" => Init::NndsvdMean,
        "nndsvdar" => Init::NndsvdRandom,
        _ => return Err(unknown("init")),
    };
    let rank = count("rank")?;
    let unchanged = count("unchanged")?;
    let (basis, coef) = (element(settings, "start_basis"), element(settings, "start_coef"));
    let start = match (basis.as_real_slice(), coef.as_real_slice()) {
        (Some(basis), Some(coef)) => {
            let lengths = [(m * rank, basis.len()), (n * rank, coef.len())];
            for (expected, found) in lengths {
                if expected != found {
                    return Err(CoreError::Shape { what: "start", expected, found });
                }
            }
            Some(Pair { rank, factors: [transposed(basis, m), coef.to_vec()] })
        }
        _ => None,
    };
    Ok(Settings {
        algorithm,
        rank,
        runs: count("nrun")?,
        seed: number(settings, "seed")? as i64 as u64,
        init,
        start,
        max_iter: count("max_iter")?,
        tolerance: number(settings, "tolerance")?,
        unchanged: (unchanged > 0).then_some(unchanged),
        constraints: [constraint(settings, 0, m)?, constraint(settings, 1, n)?],
        known: element(settings, "known").as_real_slice().unwrap_or_default().to_vec(),
        keep_all: count("keep_all")? > 0,
        threads: count("threads")?,
    })
}

/// What the basis (`side` 0) or the coefficients (1) have to obey.
fn constraint(settings: &List, side: usize, lines: usize) -> Outcome<Constraint> {
    let of = |name: &'static str| -> Outcome<f64> {
        let both = element(settings, name);
        let both = numbers(&both, name)?;
        both.get(side).copied().ok_or(CoreError::Shape {
            what: name,
            expected: 2,
            found: both.len(),
        })
    };
    let adjacency = element(settings, ["feature_graph", "sample_graph"][side]);
    let graph = if adjacency.is_null() {
        None
    } else {
        let Matrix::Sparse(graph) = values(&adjacency)?.of_shape((lines, lines))? else {
            return Err(CoreError::Shape { what: "graph (p, i, x)", expected: 3, found: 1 });
        };
        Some(Graph::new(graph, lines, of("smoothness")?)?)
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

/// rows × columns, column-major, to columns × rows.
fn transposed(x: &[f64], rows: usize) -> Vec<f64> {
    (0..x.len()).map(|at| x[at % (x.len() / rows) * rows + at / (x.len() / rows)]).collect()
}

fn factor_list(pair: &Pair, (m, n): (usize, usize)) -> List {
    let (rank, basis, coef) = (pair.rank, pair.side(Side::Basis), pair.side(Side::Coef));
    list!(
        basis = RMatrix::new_matrix(m, rank, |i, r| basis[i * rank + r]),
        coef = RMatrix::new_matrix(rank, n, |r, j| coef[j * rank + r])
    )
}

/// Why a run of a factorisation stopped, as `runs$reason` tells it.
pub fn reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Converged => "tolerance",
        Stop::MaxIterations => "iterations",
        other => other.name(),
    }
}

fn fit_list(fitted: &Fit, shape: (usize, usize)) -> List {
    let runs = &fitted.runs;
    let from = |f: &dyn Fn(usize) -> f64| (0..runs.len()).map(f).collect::<Vec<f64>>();
    let fits: Vec<Robj> = runs
        .iter()
        .filter_map(|run| run.pair.as_ref().map(|pair| factor_list(pair, shape).into()))
        .collect();
    list!(
        factors = factor_list(&fitted.pair, shape),
        offset = fitted.offset.clone().unwrap_or_default(),
        objective = fitted.objective,
        best = fitted.best as i32 + 1,
        iteration = fitted.trace.iter().map(|t| t.0 as i32).collect::<Vec<_>>(),
        trace = fitted.trace.iter().map(|t| t.1).collect::<Vec<_>>(),
        objectives = from(&|r| runs[r].objective),
        kkt = from(&|r| runs[r].kkt),
        iterations = from(&|r| runs[r].iterations as f64),
        exhausted = from(&|r| runs[r].dead as f64),
        seconds = from(&|r| runs[r].seconds),
        reasons = runs.iter().map(|run| reason(run.stop)).collect::<Vec<_>>(),
        membership =
            RMatrix::new_matrix(shape.1, runs.len(), |j, r| runs[r].membership[j] as i32 + 1),
        fits = List::from_values(fits)
    )
}

extendr_module! {
    mod nmf;
    fn rs_nmf;
}
