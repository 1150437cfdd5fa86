//! Expression per type and programs, on small cohorts with known truth.

use rand::Rng;
use rand_distr::{Distribution, Poisson};
use unalloy_core::base::convergence::Stop;
use unalloy_core::base::parallel::unmonitored;
use unalloy_core::base::rng::{stream, Purpose};
use unalloy_core::deconvolution::expression::{
    allocate, prior, Asked, Cohort, CohortParams, Data, Fields, Learn, Prior, Reference,
};
use unalloy_core::deconvolution::extract_program::{fit_program, ProgramParams};
use unalloy_core::matrix::{from_fn, zeros, Array2, Columns};
use unalloy_core::CoreError;

/// Counts of two types and a program that only some samples have.
struct Made {
    counts: Array2<f64>,
    sources: Array2<f64>,
    lengths: Vec<f64>,
    exposures: Array2<f64>,
    program: Vec<f64>,
    loading: Vec<f64>,
}

fn made(n_genes: usize, n_samples: usize, with_program: bool) -> Made {
    let mut rng = stream(9, Purpose::Genes, 0);
    let mut profile = || -> Vec<f64> {
        let raw: Vec<f64> = (0..n_genes).map(|_| (3.0 * rng.random::<f64>()).exp()).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|p| p / sum).collect()
    };
    let (first, second, program) = (profile(), profile(), profile());
    let lengths: Vec<f64> = (0..n_genes).map(|g| 0.5 + (g % 5) as f64).collect();
    let mut exposures = zeros((2, n_samples));
    let mut loading = vec![0.0; n_samples];
    let mut counts = zeros((n_genes, n_samples));
    for s in 0..n_samples {
        exposures[(0, s)] = 2e4 * (1.0 + (s % 3) as f64);
        exposures[(1, s)] = 3e4 * (1.0 + (s % 4) as f64);
        loading[s] = if with_program { 1e4 * (s % 5) as f64 } else { 0.0 };
        for g in 0..n_genes {
            let molecules = first[g] * exposures[(0, s)]
                + second[g] * exposures[(1, s)]
                + program[g] * loading[s];
            counts[(g, s)] = Poisson::new(lengths[g] * molecules).unwrap().sample(&mut rng);
        }
    }
    let sources = from_fn((n_genes, 2), |g, j| if j == 0 { first[g] } else { second[g] });
    Made { counts, sources, lengths, exposures, program, loading }
}

impl Made {
    fn data(&self) -> Data<'_> {
        Data {
            counts: self.counts.view(),
            sources: self.sources.view(),
            lengths: &self.lengths,
            exposures: self.exposures.view(),
        }
    }

    fn prior(&self) -> Prior {
        let unknown = from_fn((self.sources.nrows(), 2), |_, _| f64::NAN);
        prior(&Reference {
            profiles: self.sources.view(),
            variance: unknown.view(),
            donors: &[f64::NAN; 2],
            totals: &[1e7; 2],
            assumed: 0.16,
        })
        .unwrap()
    }
}

#[test]
fn an_allocation_sums_to_the_counts() {
    let made = made(60, 5, false);
    let allocate = |sources: &[usize], samples: &[usize]| {
        unmonitored(|monitor| allocate(&made.data(), sources, samples, monitor))
    };
    let found = allocate(&[0, 1], &[3, 0]).unwrap().value.unwrap();
    for (place, &s) in [3, 0].iter().enumerate() {
        for g in 0..60 {
            let sum = found[(g, 0, place)] + found[(g, 1, place)];
            assert!((sum - made.counts[(g, s)]).abs() <= 1e-13 * sum, "{sum}");
        }
    }
    let wrong = allocate(&[2], &[0]).err().unwrap();
    assert_eq!(wrong.to_string(), "`sources` must be a source, not 2");
}

#[test]
fn samples_without_deviations_teach_small_variances() {
    let made = made(300, 12, false);
    let known = made.prior();
    let cohort = Cohort::new(made.data(), &known).unwrap();
    let fit = |learn| {
        let params = CohortParams { learn, noise: 1.0, least_noise: 1.0, threads: 2 };
        unmonitored(|monitor| cohort.fit(&params, monitor)).unwrap()
    };
    let (taught, kept) = (fit(Learn::Genes), fit(Learn::Nothing));
    assert!(taught.factors.iter().all(|&f| f < 0.1), "{:?}", taught.factors);
    assert!(taught.noise < 1.2, "{}", taught.noise);
    assert_eq!(kept.factors, [1.0, 1.0]);
    assert!(taught.sizes.iter().all(|c| (c - 1.0).abs() < 0.05), "{:?}", taught.sizes);
    // predictions then are the fitted means, which the counts meet to their noise
    let predict = |threads| {
        let asked = Asked {
            sources: &[0, 1],
            samples: &[4],
            fields: Fields::ALL,
            covariance: None,
            programs: None,
        };
        unmonitored(|monitor| cohort.predict(&taught, &asked, threads, monitor)).unwrap()
    };
    let found = predict(1);
    let value = found.value.unwrap();
    let chi_square: f64 = (0..300)
        .map(|g| {
            let mean = made.lengths[g]
                * (0..2).map(|j| made.sources[(g, j)] * made.exposures[(j, 4)]).sum::<f64>();
            (value[(g, 0, 0)] + value[(g, 1, 0)] - mean).powi(2) / mean
        })
        .sum();
    // far less than the 300 of the counts themselves
    assert!(chi_square < 100.0, "{chi_square}");
    assert_eq!(Some(value), predict(3).value);
    assert!(found.reliability.unwrap().iter().all(|r| (0.0..=1.0).contains(r)));
}

fn params() -> ProgramParams {
    ProgramParams {
        n_programs: 1,
        n_starts: 3,
        max_iter: 200,
        tolerance: 1e-8,
        seed: 1,
        threads: 2,
    }
}

#[test]
fn a_planted_program_is_found_and_the_objective_never_rises() {
    let made = made(300, 10, true);
    let weights = vec![1.0; 300];
    let tau2 = vec![1e-3; 300];
    let found = unmonitored(|m| fit_program(&made.data(), &weights, &tau2, &params(), m)).unwrap();
    assert!(found.trace.windows(2).all(|w| w[1] <= w[0]));
    assert_eq!(found.stop, Stop::Converged);
    assert!(*found.trace.last().unwrap() < found.null_objective - 100.0);
    let correlation = |x: Vec<f64>, y: &[f64]| {
        let n = x.len() as f64;
        let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum()
        };
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    };
    let loading = (0..10).map(|s| found.loadings[(0, s)]).collect();
    let profile = (0..300).map(|g| found.programs[(g, 0)]).collect();
    assert!(correlation(loading, &made.loading) > 0.98);
    assert!(correlation(profile, &made.program) > 0.9);
    assert!((found.programs.col(0).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let single = ProgramParams { threads: 1, ..params() };
    let again = unmonitored(|m| fit_program(&made.data(), &weights, &tau2, &single, m)).unwrap();
    assert_eq!(found.trace, again.trace);
}

#[test]
fn settings_out_of_range_are_refused() {
    let made = made(60, 8, true);
    let (weights, tau2) = (vec![1.0; 60], vec![0.0; 60]);
    let refused = |weights: &[f64], tau2: &[f64], params: &ProgramParams| -> CoreError {
        unmonitored(|m| fit_program(&made.data(), weights, tau2, params, m)).err().unwrap()
    };
    assert_eq!(refused(&weights, &tau2, &params()).kind(), "argument");
    assert_eq!(refused(&weights[1..], &weights, &params()).kind(), "shape");
    let none = ProgramParams { n_programs: 0, ..params() };
    assert_eq!(refused(&weights, &weights, &none).kind(), "argument");
}
