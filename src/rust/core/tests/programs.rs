//! Consensus of spectra, and factorisations of several data sets.

use rand::Rng;
use rand_chacha::{rand_core::SeedableRng, ChaCha8Rng};
use unalloy_core::base::parallel::{unmonitored, with_threads};
use unalloy_core::factorisation::choose::consensus_programs::*;
use unalloy_core::factorisation::integrative::*;
use unalloy_core::factorisation::variants::*;
use unalloy_core::factorisation::Data;
use unalloy_core::matrix::linalg::norm;
use unalloy_core::matrix::{from_fn, zeros, Array2, Columns, Matrix};
use unalloy_core::CoreError;

fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.random::<f64>()).collect()
}

/// Three directions with small deviations, in turn, and two outliers.
fn spectra() -> Array2<f64> {
    let (noise, scale) = (numbers(30 * 32, 1), numbers(32, 2));
    from_fn((30, 32), |i, s| {
        let outlier = s >= 30;
        let base = f64::from(u8::from(i % 3 == s % 3 && !outlier));
        let spread = if outlier { 1.0 } else { 0.05 };
        (base + spread * noise[s * 30 + i]) * (0.5 + scale[s])
    })
}

fn clustered(spectra: &Array2<f64>, settings: &Clustering) -> Result<Clustered, CoreError> {
    unmonitored(|monitor| cluster_spectra(spectra.view(), settings, monitor))
}

const CLUSTERING: Clustering =
    Clustering { rank: 3, neighbours: 4, threshold: 0.3, starts: 10, seed: 5 };

#[test]
fn spectra_are_sorted_by_direction_and_outliers_are_dropped() {
    let found = clustered(&spectra(), &CLUSTERING).unwrap();
    for s in 0..30 {
        assert_eq!(found.program[s], found.program[s % 3], "spectrum {s}");
        assert!(found.silhouette[s] > 0.8);
    }
    assert!(found.program[30].is_none() && found.program[31].is_none());
    assert!(found.density[30] > 0.3 && found.silhouette[30].is_nan());
    for r in 0..3 {
        assert!((found.medians.col(r).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    // an even number of spectra per program: the mean of the middle two
    let own: Vec<usize> = (0..30).filter(|&s| found.program[s] == Some(0)).collect();
    let size = |s: usize| norm(spectra().col(s));
    let median = |i: usize| {
        let mut values: Vec<f64> = own.iter().map(|&s| spectra()[(i, s)] / size(s)).collect();
        values.sort_by(f64::total_cmp);
        0.5 * (values[4] + values[5])
    };
    let ratio = found.medians[(0, 0)] / median(0);
    assert!((0..30).all(|i| (found.medians[(i, 0)] - ratio * median(i)).abs() < 1e-12));
}

#[test]
fn zero_spectra_are_dropped_and_too_few_left_are_refused() {
    let mut zero = spectra();
    (0..30).for_each(|i| zero[(i, 4)] = 0.0);
    let found = clustered(&zero, &CLUSTERING).unwrap();
    assert!(found.program[4].is_none() && found.density[4].is_infinite());
    let strict = Clustering { threshold: 1e-6, ..CLUSTERING };
    assert_eq!(clustered(&zero, &strict).err().unwrap().kind(), "argument");
}

#[test]
fn as_many_clusters_as_points_leave_each_point_alone() {
    let all = Clustering { rank: 32, threshold: f64::INFINITY, ..CLUSTERING };
    let found = clustered(&spectra(), &all).unwrap();
    let mut programs: Vec<usize> = found.program.iter().map(|p| p.unwrap()).collect();
    programs.sort_unstable();
    assert_eq!(programs, (0..32).collect::<Vec<_>>());
}

#[test]
fn scores_are_a_regression_and_levels_a_non_negative_one() {
    let (x, usage) = (numbers(8 * 40, 3), numbers(2 * 40, 4));
    let data = Data::new(Matrix::dense(&x, (8, 40)).unwrap()).unwrap();
    let row = |i: usize| (0..40).map(|j| x[j * 8 + i]).collect::<Vec<f64>>();
    let mean: Vec<f64> = (0..8).map(|i| row(i).iter().sum::<f64>() / 40.0).collect();
    let sd = vec![0.5; 8];
    let found = unmonitored(|m| program_spectra(&data, &usage, 2, (&mean, &sd), m)).unwrap();
    for (i, &mean) in mean.iter().enumerate() {
        // residuals are orthogonal to the usages
        for r in 0..2 {
            let slope: f64 = (0..40)
                .map(|j| {
                    let fitted: f64 = (0..2).map(|s| found.scores[(i, s)] * usage[j * 2 + s]).sum();
                    usage[j * 2 + r] * ((row(i)[j] - mean) / 0.5 - fitted)
                })
                .sum();
            assert!(slope.abs() < 1e-10, "{slope}");
            let slope: f64 = (0..40)
                .map(|j| {
                    let fitted: f64 = (0..2).map(|s| found.levels[(i, s)] * usage[j * 2 + s]).sum();
                    usage[j * 2 + r] * (row(i)[j] - fitted)
                })
                .sum();
            let level = found.levels[(i, r)];
            assert!(level >= 0.0 && slope < 1e-9 && (level == 0.0 || slope > -1e-9));
        }
    }
}

fn integrate(threads: usize, lambda: f64) -> (IntegrativeFit, f64) {
    let (a, b, own) = (numbers(20 * 300, 6), numbers(20 * 280, 7), numbers(5 * 280, 8));
    let data = |x, shape| Data::new(Matrix::dense(x, shape).unwrap()).unwrap();
    let sets = [
        Dataset { shared: data(&a, (20, 300)), own: None },
        Dataset { shared: data(&b, (20, 280)), own: Some(data(&own, (5, 280))) },
    ];
    let settings =
        IntegrativeSettings { rank: 4, lambda, max_iterations: 40, tolerance: 0.0, seed: 9 };
    let fit = with_threads(threads, || {
        unmonitored(|m| factorise_integrative(&sets, &settings, 0, m)).unwrap()
    })
    .unwrap();
    let column = |factor: &[f64], at: usize| factor[at * 4..(at + 1) * 4].to_vec();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut objective = 0.0;
    for (part, (x, n)) in fit.parts.iter().zip([(&a, 300), (&b, 280)]) {
        for j in 0..n {
            let h = column(&part.coef, j);
            for i in 0..20 {
                let specific = dot(&column(&part.specific, i), &h);
                let fitted = dot(&column(&fit.shared, i), &h) + specific;
                objective += (x[j * 20 + i] - fitted).powi(2) + lambda * specific * specific;
            }
            for i in 0..part.own.len() / 4 {
                let fitted = dot(&column(&part.own, i), &h);
                objective += (own[j * 5 + i] - fitted).powi(2) + lambda * fitted * fitted;
            }
        }
    }
    (fit, objective)
}

#[test]
fn the_integrative_objective_is_the_stated_sum_and_falls_the_same_on_any_threads() {
    let (one, objective) = integrate(1, 3.0);
    assert!((one.objective() - objective).abs() < 1e-10 * objective);
    assert!(one.trace.windows(2).all(|pair| pair[1] <= pair[0]));
    assert!(one.kkt < 0.02, "{}", one.kkt);
    let (three, _) = integrate(3, 3.0);
    assert_eq!((one.shared, one.trace), (three.shared, three.trace));
    let (free, _) = integrate(2, 0.0);
    assert!(free.objective() < objective);
}

#[test]
fn genotypes_are_called_and_the_objective_of_noisy_clones_never_rises() {
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let (n_rows, n_columns) = (16, 90);
    let mut read = |share: f64| f64::from(u8::from(rng.random::<f64>() < share));
    let mut alleles = [zeros::<f64>((n_rows, n_columns)), zeros((n_rows, n_columns))];
    for j in 0..n_columns {
        for i in 0..n_rows {
            // the first half of the variants is heterozygous in even cells alone
            let frequency = if i < 8 && j % 2 == 1 { 0.0 } else { 0.5 };
            for _ in 0..4 {
                let alternative = read(frequency);
                alleles[1][(i, j)] += alternative;
                alleles[0][(i, j)] += 1.0 - alternative;
            }
        }
    }
    let [own, other] = &alleles;
    let views = (Matrix::Dense(own.view()), Matrix::Dense(other.view()));
    let called = |least, weight| {
        unmonitored(|monitor| call_genotypes(views.0, views.1, least, weight, monitor)).unwrap()
    };
    let made = called((2.0, 1.0), CallWeight::Coverage);
    let calls = made.calls.view();
    assert_eq!(calls.n_stored(), n_rows * n_columns);
    assert!(made
        .weights
        .iter()
        .zip(calls.values())
        .all(|(&w, &c)| { w == if c == 0.5 { 1.0 } else { 1.0 - 1.0 / 16.0 } }));
    let none = called((5.0, 1.0), CallWeight::Binary);
    assert_eq!(none.calls.view().n_stored(), 0);
    let mut settings = VariantSettings {
        rank: 2,
        runs: 3,
        resamples: 4,
        level: 0.9,
        max_iterations: 500,
        tolerance: 1e-5,
        noise: Noise::Variant,
        ridge: 3.0,
        seed: 11,
    };
    let fit = |settings: &VariantSettings, threads| {
        with_threads(threads, || {
            unmonitored(|m| factorise_variants(calls, &made.weights, settings, m)).unwrap()
        })
        .unwrap()
    };
    let found = fit(&settings, 1);
    assert!(found.best.trace.windows(2).all(|pair| pair[1] <= pair[0]));
    let healthy = largest(&found.shares, 0);
    assert!((0..n_columns).all(|j| (largest(&found.shares, j) == healthy) == (j % 2 == 0)));
    let again = fit(&settings, 3);
    assert_eq!(found.shares, again.shares);
    assert_eq!(found.intervals.unwrap().chosen, again.intervals.unwrap().chosen);
    settings.noise = Noise::Common;
    assert!(fit(&settings, 2).best.noise.iter().all(|&v| v == 1.0));
}
