//! Identities and recoveries of the factorisations.

use rand::Rng;
use unalloy_core::factorisation::fit::{fit, Algorithm, Fit, Input, Settings, Weights};
use unalloy_core::factorisation::init::Init;
use unalloy_core::factorisation::penalty::Constraint;
use unalloy_core::factorisation::{Data, Side, Values};
use unalloy_core::parallel::{unmonitored, with_threads};
use unalloy_core::rng::{stream, Purpose};

fn settings(algorithm: Algorithm, rank: usize) -> Settings {
    Settings {
        algorithm,
        rank,
        runs: 1,
        seed: 1,
        init: Init::Random,
        start: None,
        max_iter: 2000,
        tolerance: 1e-9,
        unchanged: None,
        constraints: [Constraint::default(), Constraint::default()],
        known: Vec::new(),
        keep_all: false,
        threads: 1,
    }
}

fn run(data: &Data<'_>, settings: &Settings) -> Fit {
    let input = Input { data: data.clone(), weights: Weights::None };
    unmonitored(|monitor| {
        with_threads(settings.threads, || fit(input, settings, monitor)).unwrap().unwrap()
    })
}

fn uniform(seed: u64, n: usize) -> Vec<f64> {
    let mut rng = stream(seed, Purpose::Genes, 0);
    (0..n).map(|_| rng.random()).collect()
}

/// features × samples of a planted rank, with some noise.
fn planted(seed: u64, (m, n): (usize, usize), rank: usize, noise: f64) -> Vec<f64> {
    let basis = uniform(seed, m * rank);
    let coef = uniform(seed + 1000, n * rank);
    let extra = uniform(seed + 2000, m * n);
    let mut x = vec![0.0; m * n];
    for j in 0..n {
        for i in 0..m {
            let fit: f64 = (0..rank)
                .map(|r| {
                    let sparse = |v: f64| if v < 0.4 { 0.0 } else { v };
                    sparse(basis[i * rank + r]) * sparse(coef[j * rank + r])
                })
                .sum();
            x[j * m + i] = fit + noise * extra[j * m + i];
        }
    }
    x
}

const ALL: [Algorithm; 8] = [
    Algorithm::Hals,
    Algorithm::Anls,
    Algorithm::Gradient,
    Algorithm::Lee,
    Algorithm::Offset,
    Algorithm::KullbackLeibler,
    Algorithm::Brunet,
    Algorithm::NonSmooth { theta: 0.5 },
];

#[test]
fn objectives_never_rise() {
    let x = planted(1, (60, 40), 4, 0.2);
    let data = Data::new(Values::Dense(&x), (60, 40)).unwrap();
    for algorithm in ALL {
        let fit = run(&data, &settings(algorithm, 4));
        for pair in fit.trace.windows(2) {
            assert!(pair[1].1 <= pair[0].1 * (1.0 + 1e-12), "{algorithm:?}: {pair:?}");
        }
        println!(
            "{algorithm:?} {} {} {:e}",
            fit.objective, fit.runs[0].iterations, fit.runs[0].kkt
        );
    }
}

#[test]
fn rank_one_has_closed_forms() {
    let x = planted(2, (50, 30), 3, 0.3);
    let data = Data::new(Values::Dense(&x), (50, 30)).unwrap();
    let total: f64 = x.iter().sum();
    let row = |i: usize| (0..30).map(|j| x[j * 50 + i]).sum::<f64>();
    let column = |j: usize| x[j * 50..(j + 1) * 50].iter().sum::<f64>();
    for algorithm in [Algorithm::KullbackLeibler, Algorithm::Brunet] {
        let fit = run(&data, &settings(algorithm, 1));
        for j in 0..30 {
            for i in 0..50 {
                let fitted = fit.pair.side(Side::Basis)[i] * fit.pair.side(Side::Coef)[j];
                let expected = row(i) * column(j) / total;
                assert!((fitted / expected - 1.0).abs() < 1e-9, "{algorithm:?}");
            }
        }
    }
}
