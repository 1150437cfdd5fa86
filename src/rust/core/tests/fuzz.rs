//! Random problems, easy and hostile: every answer must be made of numbers and keep its
//! invariants, or be an error of the core.  Nothing may panic.
//!
//! Takes a second per part, or `UNALLOY_FUZZ_SECONDS`; begins at problem 0, or
//! `UNALLOY_FUZZ_FIRST`.  A failure names its problem.  For overflow checks and debug
//! assertions run it with `--profile fuzz`.

use ndarray::ArrayView1;
use rand::seq::IndexedRandom;
use rand::Rng;
use rand_chacha::{rand_core::SeedableRng, ChaCha8Rng};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};
use unalloy_core::base::parallel::{unmonitored, with_threads, Monitor};
use unalloy_core::deconvolution::infer::{infer, Variance};
use unalloy_core::deconvolution::likelihood::{FittedPlatform, PlatformModel, Poisson};
use unalloy_core::deconvolution::{
    fit as fit_poisson, fit_platform, Method as Solver, Model, Params, PlatformParams,
};
use unalloy_core::factorisation::init::Init;
use unalloy_core::factorisation::penalty::{Constraint, Penalty};
use unalloy_core::factorisation::{fit as factorise, Algorithm, Settings, Side, Weights};
use unalloy_core::latent::counts::Counts as LatentCounts;
use unalloy_core::latent::counts_model::{
    fit as fit_factors, Covariates, Dispersions, Settings as FactorSettings,
};
use unalloy_core::latent::counts_newton::{Family, Stop};
use unalloy_core::latent::ppca::closed_form;
use unalloy_core::latent::values::Values;
use unalloy_core::matrix::counts::Counts;
use unalloy_core::matrix::{from_fn, zeros, Array2, CscBuf, Matrix};
use unalloy_core::nnls::solve_nonnegative;
use unalloy_core::sensing::decoder::{learn as learn_decoder, DecoderParams, Training};
use unalloy_core::sensing::dictionary::{
    learn as learn_dictionary, DictionaryParams, HeldOut, KsvdParams, Method, SmafParams,
    SnmfParams,
};
use unalloy_core::sensing::evaluation::{evaluate, EvaluationParams};
use unalloy_core::sensing::recovery::{recover, Decoder, Measured, RecoveryParams};
use unalloy_core::simulation::{simulate, Simulation};
use unalloy_core::CoreError;

type Outcome = Result<(), CoreError>;

/// Runs one part of the core on problem after problem until the time is up.
fn fuzz(part: &str, problem: impl Fn(&mut ChaCha8Rng, &Monitor<'_>) -> Outcome + Sync) {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let until = Instant::now() + Duration::from_secs(number("UNALLOY_FUZZ_SECONDS", 1));
    let first = number("UNALLOY_FUZZ_FIRST", 0);
    let (mut seed, mut refused) = (first, 0);
    while Instant::now() < until {
        let run = || {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            unmonitored(|monitor| with_threads(1, || problem(&mut rng, monitor))).unwrap()
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => refused += 1,
            Err(_) => panic!("{part}: problem {seed}"),
        }
        seed += 1;
    }
    println!("{part}: {} problems, {refused} refused", seed - first);
}

fn any<T: Clone>(rng: &mut ChaCha8Rng, of: &[T]) -> T {
    of.choose(rng).unwrap().clone()
}

/// A size of data, from 1 on.
fn size(rng: &mut ChaCha8Rng, most: usize) -> usize {
    if rng.random_bool(0.1) {
        1
    } else {
        rng.random_range(1..=most)
    }
}

/// Non-negative data as they come and as they should not: counts, shares, few values,
/// lines of zeros, lines alike, huge and tiny.
fn data(rng: &mut ChaCha8Rng, (m, n): (usize, usize)) -> Array2<f64> {
    let zero = any(rng, &[0.0, 0.3, 0.9]);
    // the caller refuses values beyond 1e60 and below 1e-60
    let scale = any(rng, &[1.0, 1.0, 1.0, 1e6, 1e-6, 1e56, 1e-56]);
    let kind = rng.random_range(0..4);
    let mut x = from_fn((m, n), |_, _| {
        let v = match kind {
            0 => rng.random::<f64>(),
            1 => rng.random_range(0..50) as f64,
            2 => (8.0 * rng.random::<f64>()).exp(),
            _ => 1.0,
        };
        if rng.random_bool(zero) {
            0.0
        } else {
            scale * v
        }
    });
    if rng.random_bool(0.2) {
        let at = rng.random_range(0..m);
        x.row_mut(at).fill(0.0);
    }
    if rng.random_bool(0.2) {
        let at = rng.random_range(0..n);
        x.column_mut(at).fill(0.0);
    }
    if n > 1 && rng.random_bool(0.2) {
        let first = x.column(0).to_owned();
        x.column_mut(n - 1).assign(&first);
    }
    x
}

fn compressed(x: &Array2<f64>) -> CscBuf {
    let mut out = CscBuf::new(x.nrows());
    for column in x.columns() {
        let stored = column.iter().enumerate().filter(|(_, &v)| v != 0.0);
        stored.for_each(|(i, &v)| out.push(i, v));
        out.end_column().unwrap();
    }
    out
}

fn positive(name: &str, values: &[f64]) {
    assert!(values.iter().all(|v| v.is_finite() && *v >= 0.0), "{name}");
}

fn finite<'a>(name: &str, values: impl IntoIterator<Item = &'a f64>) {
    assert!(values.into_iter().all(|v| v.is_finite()), "{name}");
}

#[test]
#[ignore = "by hand: make fuzz"]
fn factorisations() {
    fuzz("factorisation", |rng, monitor| {
        let shape = (size(rng, 25), size(rng, 15));
        let x = data(rng, shape);
        let sparse = compressed(&x);
        // the caller refuses data without a value above zero
        if x.iter().all(|&v| v == 0.0) {
            return Ok(());
        }
        let rank = rng.random_range(1..=shape.0.min(shape.1).min(5));
        let penalty = |rng: &mut ChaCha8Rng| {
            let value = |rng: &mut ChaCha8Rng| any(rng, &[0.0, 0.0, 0.0, 1.0, 1e-3, 1e9]);
            let (l1, l2, angle) = (value(rng), value(rng), value(rng));
            let upper = any(rng, &[f64::INFINITY, f64::INFINITY, 1.0, 1e-3]);
            Constraint {
                penalty: Penalty { l1, l2, angle, ..Default::default() },
                upper,
                fixed: vec![],
            }
        };
        let plain = rng.random_bool(0.5);
        let constraints = if plain { Default::default() } else { [penalty(rng), penalty(rng)] };
        let settings = Settings {
            algorithm: any(
                rng,
                &[
                    Algorithm::Hals,
                    Algorithm::Anls,
                    Algorithm::Gradient,
                    Algorithm::Lee,
                    Algorithm::Offset,
                    Algorithm::KullbackLeibler,
                    Algorithm::Brunet,
                    Algorithm::NonSmooth { theta: 0.7 },
                ],
            ),
            rank,
            runs: rng.random_range(1..4),
            seed: rng.random(),
            init: any(rng, &[Init::Random, Init::Random, Init::NndsvdMean, Init::NndsvdRandom]),
            start: None,
            max_iter: rng.random_range(1..60),
            tolerance: any(rng, &[0.0, 1e-6, 1e-2]),
            unchanged: any(rng, &[None, Some(10)]),
            constraints,
            known: Vec::new(),
            keep_all: rng.random(),
            threads: 1,
        };
        let weight = from_fn(shape, |_, _| any(rng, &[0.0, 1.0, 3.0, 1e-9]));
        let weights = if rng.random_bool(0.3) {
            Weights::Entries(Matrix::Dense(weight.view()))
        } else {
            Weights::Equal
        };
        let matrix =
            if rng.random() { Matrix::Dense(x.view()) } else { Matrix::Sparse(sparse.view()) };
        let found = factorise(matrix, weights, &settings, monitor)?;
        let largest = x.iter().copied().fold(0.0, f64::max);
        let what = format!("{shape:?}, largest {largest:e}, {settings:?}");
        positive(&what, found.pair.side(Side::Basis));
        positive(&what, found.pair.side(Side::Coef));
        for run in &found.runs {
            assert!(run.objective.is_finite(), "{} {what}", run.objective);
        }
        Ok(())
    });
}

#[test]
#[ignore = "by hand: make fuzz"]
fn deconvolutions() {
    fuzz("deconvolution", |rng, monitor| {
        let (genes, types, samples) = (4 + size(rng, 60), size(rng, 6), size(rng, 5));
        let mut profiles = data(rng, (genes, types));
        // all but a few types are expressed
        if rng.random_bool(0.9) {
            profiles.mapv_inplace(|v| v.min(1e6) + 1e-3 * rng.random::<f64>());
        }
        for mut column in profiles.columns_mut() {
            let total: f64 = column.sum();
            if total > 0.0 {
                column.mapv_inplace(|v| v / total);
            }
        }
        let lengths: Vec<f64> = (0..genes).map(|_| 0.1 + rng.random::<f64>()).collect();
        let weights: Vec<f64> = (0..genes).map(|_| any(rng, &[0.0, 0.5, 1.0, 1.0])).collect();
        // the caller refuses types that no gene with weight expresses
        let seen =
            |column: ArrayView1<'_, f64>| column.iter().zip(&weights).any(|(v, w)| v * w > 0.0);
        if !profiles.columns().into_iter().all(seen) {
            return Ok(());
        }
        let model = Model::new(profiles.view(), &lengths, &weights, types)?;
        let routes = model.row_of_gene().to_vec();
        let mut bulk = data(rng, (genes, samples));
        if rng.random_bool(0.9) {
            let largest = bulk.iter().copied().fold(1.0, f64::max);
            bulk.row_mut(0).fill(largest);
        }
        let counts = Counts::new(Matrix::Dense(bulk.view()), &routes, model.n_rows())?;
        let params = Params {
            method: any(
                rng,
                &[Solver::Newton, Solver::Em, Solver::Gradient { learning_rate: 0.5, start: None }],
            ),
            l1_lambda: any(rng, &[0.0, 0.0, 0.1, 10.0]),
            l2_lambda: any(rng, &[0.0, 0.0, 1.0]),
            max_iter: rng.random_range(1..500),
            seed: any(rng, &[None, Some(1)]),
            ..Params::default()
        };
        let found = fit_poisson(&model, &counts, &params, monitor)?;
        for sample in &found.samples {
            positive("exposures", &sample.exposures);
        }
        let variance = any(rng, &[Variance::Robust, Variance::Quasi, Variance::Poisson]);
        // intervals are for fits without penalties
        if params.l1_lambda + params.l2_lambda == 0.0 {
            let exposures = from_fn((types, samples), |j, i| found.samples[i].exposures[j]);
            let poisson = Poisson(&model);
            let errors = infer(&poisson, &counts, exposures.view(), variance, 2.71, 1, monitor)?;
            let largest = bulk.iter().copied().fold(0.0, f64::max);
            let what = format!(
                "covariance: {genes} genes, {types} types, largest {largest:e}, {variance:?}, \
                 {exposures:?}, {params:?}"
            );
            finite(&what, &errors.covariance);
        }
        let spread = profiles.mapv(|v| v * v * 0.04);
        let discount: Vec<f64> = (0..genes).map(|_| any(rng, &[1.0, 2.0, 100.0])).collect();
        let platform = PlatformModel::new(&model, spread.view(), &discount)?;
        let floors = vec![any(rng, &[1.0, 1e-3, 1e3]); samples];
        let settings = PlatformParams {
            tau2: any(rng, &[None, Some(0.0), Some(0.1), Some(10.0)]),
            ..PlatformParams::default()
        };
        let found = fit_platform(&platform, &counts, &floors, &settings, monitor)?;
        for sample in &found.samples {
            positive("exposures", &sample.exposures);
        }
        let likelihood = FittedPlatform { platform: &platform, tau2: found.tau2, floors: &floors };
        let exposures = from_fn((types, samples), |j, i| found.samples[i].exposures[j]);
        let errors = infer(&likelihood, &counts, exposures.view(), variance, 2.71, 1, monitor)?;
        finite("covariance of the platform model", &errors.covariance);
        Ok(())
    });
}

#[test]
#[ignore = "by hand: make fuzz"]
fn latent_factors() {
    fuzz("latent factors", |rng, monitor| {
        let (genes, cells) = (1 + size(rng, 20), 1 + size(rng, 25));
        let x = data(rng, (genes, cells));
        let (ones, none) = (from_fn((cells, 1), |_, _| 1.0), zeros((genes, 0)));
        let values = Values::new(Matrix::Dense(x.view()), &vec![1.0; genes], &ones, &none);
        let rank = size(rng, 4);
        let found = closed_form(&values, (&ones, &none), rank, 1, monitor);
        if let Ok(found) = found {
            finite("loadings", &found.loadings);
            assert!(found.variance >= 0.0);
        }
        let whole = x.mapv(|v| v.min(1e6).round());
        // the caller leaves out genes and cells without counts
        if whole.rows().into_iter().chain(whole.columns()).any(|line| line.sum() == 0.0) {
            return Ok(());
        }
        let counts = LatentCounts::new(Matrix::Dense(whole.view()))?;
        let covariates = Covariates {
            offset: counts
                .totals(unalloy_core::latent::predictor::Side::Cells)
                .iter()
                .map(|t| t.ln())
                .collect(),
            of_cells: ones.clone(),
            of_genes: none,
        };
        let settings = FactorSettings {
            family: any(rng, &[Family::Poisson, Family::NegativeBinomial, Family::ZeroInflated]),
            rank: rng.random_range(0..=3.min(genes.min(cells) - 1)),
            penalty: any(rng, &[1.0, 1e-3, 100.0]),
            covariate_penalty: 1.0,
            dispersions: Dispersions::Trend,
            stop: Stop { max_rounds: rng.random_range(1..15), tolerance: 1e-6 },
            seed: rng.random(),
        };
        let found = fit_factors(&counts, &covariates, &settings, monitor)?;
        finite("trace", &found.trace);
        for predictor in &found.state.predictors {
            finite("genes", &predictor.genes);
            finite("cells", &predictor.cells);
        }
        Ok(())
    });
}

#[test]
#[ignore = "by hand: make fuzz"]
fn sensing() {
    fuzz("sensing", |rng, monitor| {
        let (genes, samples, readings) = (2 + size(rng, 20), 2 + size(rng, 20), size(rng, 12));
        let x = data(rng, (genes, samples));
        let x = &x - rng.random::<f64>() * x.sum() / x.len() as f64;
        let size_of = rng.random_range(1..=genes.min(samples));
        let params = DictionaryParams {
            method: any(
                rng,
                &[
                    Method::Svd,
                    Method::SvdK,
                    Method::Ksvd(KsvdParams::default()),
                    Method::Smaf(SmafParams { max_iter: 5, ..Default::default() }),
                    Method::Snmf(SnmfParams { max_iter: 5, ..Default::default() }),
                ],
            ),
            size: size_of,
            sparsity: rng.random_range(1..=size_of),
            held_out: HeldOut::default(),
            seed: rng.random(),
            threads: 1,
        };
        let dictionary = learn_dictionary(x.view(), &params, monitor)?;
        finite("atoms", &dictionary.atoms);
        let weights = from_fn((genes, readings), |_, _| rng.random::<f64>() - 0.5);
        let read = |j: usize, i: usize| (0..genes).map(|g| weights[(g, j)] * x[(g, i)]).sum();
        let y: Array2<f64> = from_fn((readings, samples), read);
        let measured = Measured {
            readings: y.view(),
            weights: weights.view(),
            atoms: dictionary.atoms.view(),
            residual_variance: &dictionary.residual_variance,
            examples: any(rng, &[None, Some(dictionary.codes.view())]),
        };
        let lasso =
            Decoder::Lasso { nonnegative: rng.random(), penalty: any(rng, &[None, Some(0.1)]) };
        let how = RecoveryParams {
            decoder: any(
                rng,
                &[Decoder::Orthogonal, Decoder::Nonnegative, lasso, Decoder::LeastSquares],
            ),
            sparsity: rng.random_range(1..=readings),
            standard_errors: rng.random(),
            noise: any(rng, &[None, Some(0.0), Some(1.0)]),
            threads: 1,
        };
        let found = recover(&measured, &how, monitor)?;
        finite("profiles", &found.profiles);
        finite("standard errors", &found.standard_errors);
        let evaluation = EvaluationParams { groups: 0, most_distances: 10, threads: 1 };
        evaluate(x.view(), found.profiles.view(), &evaluation, monitor)?;
        let training = Training {
            profiles: x.view(),
            weights: weights.view(),
            snr: any(rng, &[10.0, f64::INFINITY]),
        };
        let learned =
            learn_decoder(&training, &DecoderParams { kernel: None, threads: 1 }, monitor)?;
        finite("slope", learned.decoder().linear.slope.iter());
        Ok(())
    });
}

#[test]
#[ignore = "by hand: make fuzz"]
fn nonnegative_least_squares() {
    fuzz("nnls", |rng, _| {
        let (m, n) = (size(rng, 10), size(rng, 6));
        let a = data(rng, (m, n));
        let b: Vec<f64> = (0..m).map(|_| rng.random::<f64>() - 0.3).collect();
        let product = |i: usize, j: usize| (0..m).map(|k| a[(k, i)] * a[(k, j)]).sum();
        let gram: Vec<f64> = (0..n * n).map(|at| product(at % n, at / n)).collect();
        let linear: Vec<f64> = (0..n).map(|j| (0..m).map(|i| a[(i, j)] * b[i]).sum()).collect();
        let mut x = vec![0.0; n];
        solve_nonnegative(&gram, &linear, 0.0, &mut x);
        positive("x", &x);
        Ok(())
    });
}

#[test]
#[ignore = "by hand: make fuzz"]
fn simulations() {
    fuzz("simulation", |rng, monitor| {
        let types = size(rng, 5);
        let extent = |rng: &mut ChaCha8Rng| any(rng, &[0.0, 0.3, 2.0, 10.0]);
        let settings = Simulation {
            n_genes: size(rng, 40),
            n_types: types,
            in_reference: (0..types).map(|_| rng.random()).collect(),
            n_donors: size(rng, 3),
            cells_per_type: size(rng, 5),
            umi_per_cell: any(rng, &[1.0, 1e3, 1e6]),
            n_samples: size(rng, 4),
            cells_per_sample: size(rng, 40),
            depth: any(rng, &[1.0, 1e3, 1e8]),
            proportions: Vec::new(),
            marker_fraction: any(rng, &[0.0, 0.2, 1.0]),
            marker_log_fold: extent(rng),
            type_sd: extent(rng),
            cell_size_sd: extent(rng),
            donor_sd: extent(rng),
            platform_sd: extent(rng),
            overdispersion: extent(rng),
            length_exponent: any(rng, &[0.0, 1.0, 1.5]),
            seed: rng.random(),
        };
        let made = simulate(&settings, monitor)?;
        positive("bulk", made.bulk.as_slice_memory_order().unwrap());
        for shares in made.mrna_shares.columns() {
            assert!((shares.sum() - 1.0).abs() < 1e-9);
        }
        Ok(())
    });
}
