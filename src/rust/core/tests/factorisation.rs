//! Identities and recoveries of the factorisations.

use rand::Rng;
use unalloy_core::base::parallel::{unmonitored, with_threads};
use unalloy_core::base::rng::{stream, Purpose};
use unalloy_core::factorisation::init::Init;
use unalloy_core::factorisation::penalty::{Constraint, Graph};
use unalloy_core::factorisation::{fit, Algorithm, Fit, Pair, Settings, Side, Weights};
use unalloy_core::matrix::{CscBuf, Matrix};

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

fn run(x: Matrix<'_>, settings: &Settings) -> Fit {
    run_weighted(x, Weights::Equal, settings)
}

fn run_weighted(x: Matrix<'_>, weights: Weights<'_>, settings: &Settings) -> Fit {
    unmonitored(|monitor| {
        with_threads(settings.threads, || fit(x, weights, settings, monitor)).unwrap().unwrap()
    })
}

fn dense(x: &[f64], shape: (usize, usize)) -> Matrix<'_> {
    Matrix::dense(x, shape).unwrap()
}

fn uniform(seed: u64, n: usize) -> Vec<f64> {
    let mut rng = stream(seed, Purpose::Genes, 0);
    (0..n).map(|_| rng.random()).collect()
}

/// features × samples of a planted rank with zeros in its factors, plus noise.
fn planted(seed: u64, (m, n): (usize, usize), rank: usize, noise: f64) -> Vec<f64> {
    let sparse = |v: &f64| if *v < 0.4 { 0.0 } else { *v };
    let basis: Vec<f64> = uniform(seed, m * rank).iter().map(sparse).collect();
    let coef: Vec<f64> = uniform(seed + 1000, n * rank).iter().map(sparse).collect();
    let mut x = uniform(seed + 2000, m * n);
    for j in 0..n {
        for i in 0..m {
            let fit: f64 = (0..rank).map(|r| basis[i * rank + r] * coef[j * rank + r]).sum();
            x[j * m + i] = fit + noise * x[j * m + i];
        }
    }
    x
}

/// The stored entries of a dense matrix.
fn compressed(x: &[f64], m: usize) -> CscBuf {
    let mut out = CscBuf::new(m);
    for column in x.chunks_exact(m) {
        let stored = column.iter().enumerate().filter(|(_, &v)| v != 0.0);
        stored.for_each(|(i, &v)| out.push(i, v));
        out.end_column().unwrap();
    }
    out
}

fn fitted(pair: &Pair, i: usize, j: usize) -> f64 {
    let k = pair.rank;
    let (w, h) = (&pair.side(Side::Basis)[i * k..], &pair.side(Side::Coef)[j * k..]);
    (0..k).map(|r| w[r] * h[r]).sum()
}

fn frobenius(x: &[f64], pair: &Pair, m: usize) -> f64 {
    let square = |at: usize| (x[at] - fitted(pair, at % m, at / m)).powi(2);
    0.5 * (0..x.len()).map(square).sum::<f64>()
}

fn divergence(x: &[f64], pair: &Pair, m: usize) -> f64 {
    let part = |at: usize| {
        let mu = fitted(pair, at % m, at / m);
        if x[at] > 0.0 {
            x[at] * (x[at] / mu).ln() - x[at] + mu
        } else {
            mu
        }
    };
    (0..x.len()).map(part).sum()
}

#[test]
fn objectives_never_rise_and_are_what_they_say() {
    let x = planted(1, (60, 40), 4, 0.2);
    let data = dense(&x, (60, 40));
    for algorithm in ALL {
        let fit = run(data, &settings(algorithm, 4));
        for pair in fit.trace.windows(2) {
            // rounding in sums of 2,400 entries
            assert!(pair[1].1 <= pair[0].1 * (1.0 + 1e-12), "{algorithm:?}: {pair:?}");
        }
        let loss = match algorithm {
            Algorithm::KullbackLeibler | Algorithm::Brunet => divergence(&x, &fit.pair, 60),
            Algorithm::Hals | Algorithm::Anls | Algorithm::Gradient | Algorithm::Lee => {
                frobenius(&x, &fit.pair, 60)
            }
            _ => continue,
        };
        assert!((fit.objective / loss - 1.0).abs() < 1e-10, "{algorithm:?}: {loss}");
    }
}

#[test]
fn the_residual_of_the_optimality_conditions_goes_to_zero() {
    let x = planted(1, (60, 40), 4, 0.2);
    let data = dense(&x, (60, 40));
    use Algorithm::{Anls, Gradient, Hals, KullbackLeibler};
    for algorithm in [Hals, Anls, Gradient, KullbackLeibler] {
        let strict = Settings { tolerance: 1e-15, max_iter: 20_000, ..settings(algorithm, 4) };
        let kkt = run(data, &strict).runs[0].kkt;
        // the square root of a decrease at rounding level
        assert!(kkt < 1e-7, "{algorithm:?}: {kkt}");
    }
}

#[test]
fn methods_of_one_loss_find_the_same_minimum() {
    let x = planted(3, (50, 30), 3, 0.1);
    let data = dense(&x, (50, 30));
    let best = |algorithm| {
        run(data, &Settings { runs: 5, max_iter: 20_000, ..settings(algorithm, 3) }).objective
    };
    let hals = best(Algorithm::Hals);
    for other in [Algorithm::Anls, Algorithm::Gradient, Algorithm::Lee] {
        assert!((best(other) / hals - 1.0).abs() < 1e-3, "{other:?}: {} {hals}", best(other));
    }
    let (kl, brunet) = (best(Algorithm::KullbackLeibler), best(Algorithm::Brunet));
    assert!((brunet / kl - 1.0).abs() < 1e-3, "{brunet} {kl}");
}

#[test]
fn rank_one_has_closed_forms() {
    let x = planted(2, (50, 30), 3, 0.3);
    let data = dense(&x, (50, 30));
    let total: f64 = x.iter().sum();
    let row = |i: usize| (0..30).map(|j| x[j * 50 + i]).sum::<f64>();
    let column = |j: usize| x[j * 50..(j + 1) * 50].iter().sum::<f64>();
    for algorithm in [Algorithm::KullbackLeibler, Algorithm::Brunet] {
        let fit = run(data, &settings(algorithm, 1));
        for j in 0..30 {
            for i in 0..50 {
                let expected = row(i) * column(j) / total;
                assert!((fitted(&fit.pair, i, j) / expected - 1.0).abs() < 1e-9, "{algorithm:?}");
            }
        }
    }
    // The leading singular pair, by the power method.
    let mut v = vec![1.0; 30];
    let mut u = vec![0.0; 50];
    for _ in 0..500 {
        (0..50).for_each(|i| u[i] = (0..30).map(|j| x[j * 50 + i] * v[j]).sum());
        (0..30).for_each(|j| v[j] = (0..50).map(|i| x[j * 50 + i] * u[i]).sum());
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
    }
    (0..50).for_each(|i| u[i] = (0..30).map(|j| x[j * 50 + i] * v[j]).sum());
    for algorithm in [Algorithm::Hals, Algorithm::Anls, Algorithm::Gradient, Algorithm::Lee] {
        let strict = Settings { tolerance: 1e-15, ..settings(algorithm, 1) };
        let fit = run(data, &strict);
        for (j, v) in v.iter().enumerate() {
            for (i, u) in u.iter().enumerate() {
                let error = (fitted(&fit.pair, i, j) - u * v).abs();
                assert!(error < 1e-6, "{algorithm:?}: {error}");
            }
        }
    }
}

#[test]
fn sparse_and_dense_agree() {
    let mut x = planted(4, (70, 45), 3, 0.0);
    x.iter_mut().filter(|v| **v < 0.3).for_each(|v| *v = 0.0);
    let sparse = compressed(&x, 70);
    let (dense, sparse) = (dense(&x, (70, 45)), Matrix::Sparse(sparse.view()));
    for algorithm in ALL {
        for rank in [3, 11] {
            // A few iterations: rounding grows along the way to a minimum.
            let short = Settings { max_iter: 10, ..settings(algorithm, rank) };
            let (a, b) = (run(dense, &short).objective, run(sparse, &short).objective);
            assert!((a / b - 1.0).abs() < 1e-12, "{algorithm:?} {rank}: {a} {b}");
        }
    }
}

#[test]
fn threads_and_company_of_runs_do_not_change_a_bit() {
    let x = planted(5, (300, 200), 4, 0.3);
    let data = dense(&x, (300, 200));
    for algorithm in ALL {
        let short = |threads, runs| {
            let short = Settings { max_iter: 15, ..settings(algorithm, 4) };
            run(data, &Settings { threads, runs, keep_all: true, ..short })
        };
        let (one, two) = (short(1, 1), short(2, 1));
        assert_eq!(one.pair, two.pair, "{algorithm:?}");
        assert_eq!(one.objective.to_bits(), two.objective.to_bits());
        let (several, again) = (short(2, 5), short(3, 5));
        assert_eq!(several.pair, again.pair, "{algorithm:?}");
        assert_eq!(several.runs[0].pair.as_ref(), Some(&one.pair), "{algorithm:?}");
    }
}

#[test]
fn multiplicative_methods_make_as_many_updates_as_they_say() {
    let (m, n, k) = (12, 9, 2);
    let x = planted(7, (m, n), k, 0.3);
    let data = dense(&x, (m, n));
    let start = Pair { rank: k, factors: [uniform(8, m * k), uniform(9, n * k)] };
    // W ← W ∘ (R Hᵀ) / (S Hᵀ) and so for H, with R = X, S = W H (Lee) or
    // R = X / W H, S = 1 (Brunet)
    let parts = |algorithm, pair: &Pair, i: usize, j: usize| match algorithm {
        Algorithm::Lee => (x[j * m + i], fitted(pair, i, j)),
        _ => (x[j * m + i] / fitted(pair, i, j), 1.0),
    };
    let update = |algorithm, pair: &mut Pair| {
        for side in [Side::Basis, Side::Coef] {
            let old = pair.clone();
            let (lines, across) = if side == Side::Basis { (m, n) } else { (n, m) };
            for line in 0..lines {
                for r in 0..k {
                    let (mut above, mut below) = (0.0, 0.0);
                    for p in 0..across {
                        let (i, j) = if side == Side::Basis { (line, p) } else { (p, line) };
                        let (up, down) = parts(algorithm, &old, i, j);
                        above += up * old.side(side.other())[p * k + r];
                        below += down * old.side(side.other())[p * k + r];
                    }
                    pair.side_mut(side)[line * k + r] *= above / below;
                }
            }
        }
    };
    for algorithm in [Algorithm::Lee, Algorithm::Brunet] {
        let mut expected = start.clone();
        for max_iter in 1..=3 {
            update(algorithm, &mut expected);
            let few = Settings { start: Some(start.clone()), max_iter, ..settings(algorithm, k) };
            let fit = run(data, &few);
            assert_eq!(fit.runs[0].iterations, max_iter);
            assert_eq!(fit.trace.last().unwrap().0, max_iter);
            for at in 0..m * n {
                let (a, b) = (fitted(&fit.pair, at % m, at / m), fitted(&expected, at % m, at / m));
                assert!((a / b - 1.0).abs() < 1e-12, "{algorithm:?}, {max_iter}: {a} {b}");
            }
        }
    }
}

#[test]
fn planted_factors_are_recovered() {
    // Each component has features and samples of its own: the answer is unique.
    let (m, n, k) = (40, 36, 4);
    let mut basis = uniform(6, m * k);
    let mut coef = uniform(7, n * k);
    for i in 0..m {
        (0..k).filter(|r| i < 12 && i % 4 != *r).for_each(|r| basis[i * k + r] = 0.0);
    }
    for j in 0..n {
        (0..k).filter(|r| j < 12 && j % 4 != *r).for_each(|r| coef[j * k + r] = 0.0);
    }
    let planted = Pair { rank: k, factors: [basis, coef] };
    let x: Vec<f64> = (0..m * n).map(|at| fitted(&planted, at % m, at / m)).collect();
    let data = dense(&x, (m, n));
    for algorithm in [Algorithm::Hals, Algorithm::Anls, Algorithm::KullbackLeibler] {
        let strict =
            Settings { runs: 10, tolerance: 1e-12, max_iter: 20_000, ..settings(algorithm, k) };
        let found = run(data, &strict).pair;
        for r in 0..k {
            let column = |pair: &Pair, r: usize| -> Vec<f64> {
                pair.side(Side::Basis).iter().skip(r).step_by(k).copied().collect()
            };
            let cosine = |a: &[f64], b: &[f64]| {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
                dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
            };
            let truth = column(&planted, r);
            let best = (0..k).map(|s| cosine(&truth, &column(&found, s))).fold(0.0, f64::max);
            assert!(best > 0.9999, "{algorithm:?}, component {r}: {best}");
        }
    }
}

#[test]
fn missing_is_masked_is_weight_zero() {
    let x = planted(8, (40, 30), 3, 0.2);
    let hidden: Vec<bool> = uniform(9, 1200).iter().map(|u| *u < 0.1).collect();
    let weights: Vec<f64> = hidden.iter().map(|h| if *h { 0.0 } else { 1.0 }).collect();
    let holes: Vec<f64> =
        x.iter().zip(&hidden).map(|(x, h)| if *h { f64::NAN } else { *x }).collect();
    let mut other = x.clone();
    other.iter_mut().zip(&hidden).filter(|(_, h)| **h).for_each(|(x, _)| *x = 1e4);
    for algorithm in [Algorithm::KullbackLeibler, Algorithm::Brunet] {
        let short = Settings { max_iter: 20, ..settings(algorithm, 3) };
        let from = |x: &[f64], weights| run_weighted(dense(x, (40, 30)), weights, &short);
        let missing = from(&holes, Weights::Equal);
        // What a masked entry holds does not matter: the start is made without it.
        let masked = from(&other, Weights::Entries(dense(&weights, (40, 30))));
        assert_eq!(missing.pair, masked.pair, "{algorithm:?}");
        let dropped = from(&holes, Weights::Entries(dense(&weights, (40, 30))));
        assert_eq!(masked.pair, dropped.pair, "{algorithm:?}");
        let both = uniform(10, 70);
        let (features, samples) = both.split_at(40);
        let outer = from(&x, Weights::Outer { features, samples });
        let full: Vec<f64> = (0..1200).map(|at| features[at % 40] * samples[at / 40]).collect();
        let entries = from(&x, Weights::Entries(dense(&full, (40, 30))));
        assert!((outer.objective / entries.objective - 1.0).abs() < 1e-10, "{algorithm:?}");
    }
}

#[test]
fn mostly_missing_is_the_loss_over_the_entries_that_are_there() {
    let x = planted(8, (40, 30), 3, 0.2);
    let weights: Vec<f64> =
        uniform(9, 1200).iter().map(|u| f64::from(u8::from(*u >= 0.6))).collect();
    let holes: Vec<f64> =
        x.iter().zip(&weights).map(|(x, w)| if *w > 0.0 { *x } else { f64::NAN }).collect();
    let zeroed: Vec<f64> = x.iter().zip(&weights).map(|(x, w)| w * x).collect();
    for algorithm in [Algorithm::KullbackLeibler, Algorithm::Brunet] {
        let short = Settings { max_iter: 50, ..settings(algorithm, 3) };
        let missing = run_weighted(dense(&holes, (40, 30)), Weights::Equal, &short);
        let entries = Weights::Entries(dense(&weights, (40, 30)));
        let masked = run_weighted(dense(&zeroed, (40, 30)), entries, &short);
        assert_eq!(missing.pair, masked.pair, "{algorithm:?}");
        let loss: f64 = (0..1200)
            .filter(|&at| weights[at] > 0.0)
            .map(|at| {
                let mu = fitted(&missing.pair, at % 40, at / 40);
                let log = if x[at] > 0.0 { x[at] * (x[at] / mu).ln() } else { 0.0 };
                log - x[at] + mu
            })
            .sum();
        // sums of 480 terms in other orders
        assert!((missing.objective / loss - 1.0).abs() < 1e-9, "{algorithm:?}: {loss}");
    }
}

#[test]
fn fixed_components_keep_their_values_above_the_bound() {
    let x = planted(15, (40, 30), 3, 0.1);
    let data = dense(&x, (40, 30));
    let known: Vec<f64> = uniform(16, 40).iter().map(|v| 2.0 * v).collect();
    let bounded = |algorithm, known: &[f64]| {
        let mut bounded = Settings { known: known.to_vec(), ..settings(algorithm, 3) };
        bounded.constraints.iter_mut().for_each(|c| c.upper = 0.5);
        let fit = run(data, &bounded);
        let free = |side: Side| {
            let fixed = if side == Side::Basis { usize::from(!known.is_empty()) } else { 0 };
            fit.pair.side(side).iter().enumerate().filter(move |(at, _)| at % 3 >= fixed)
        };
        for side in [Side::Basis, Side::Coef] {
            assert!(free(side).all(|(_, v)| *v <= 0.5), "{algorithm:?}, {side:?}");
        }
        fit
    };
    for algorithm in [Algorithm::Hals, Algorithm::KullbackLeibler, Algorithm::Offset] {
        let fit = bounded(algorithm, &known);
        let first: Vec<f64> = fit.pair.side(Side::Basis).iter().step_by(3).copied().collect();
        assert_eq!(first, known, "{algorithm:?}");
    }
    // the objective is that of W H + b 1ᵀ with what is handed back
    let fit = bounded(Algorithm::Offset, &[]);
    let offset = fit.offset.as_ref().unwrap();
    let loss: f64 = (0..1200)
        .map(|at| 0.5 * (x[at] - fitted(&fit.pair, at % 40, at / 40) - offset[at % 40]).powi(2))
        .sum();
    assert!((fit.objective / loss - 1.0).abs() < 1e-9, "{} {loss}", fit.objective);
}

#[test]
fn zero_lines_stay_and_nothing_is_nan() {
    let mut x = planted(11, (30, 20), 2, 0.1);
    x[5 * 30..6 * 30].fill(0.0);
    (0..20).for_each(|j| x[j * 30 + 7] = 0.0);
    let data = dense(&x, (30, 20));
    for algorithm in ALL {
        // more components than the data have
        let fit = run(data, &Settings { max_iter: 300, ..settings(algorithm, 6) });
        assert!(fit.objective.is_finite() && fit.runs[0].kkt.is_finite(), "{algorithm:?}");
        assert!(fit.pair.factors.iter().flatten().all(|v| v.is_finite() && *v >= 0.0));
        if algorithm != (Algorithm::NonSmooth { theta: 0.5 }) {
            assert!((0..20).all(|j| fitted(&fit.pair, 7, j) < 1e-9), "{algorithm:?}");
            assert!((0..30).all(|i| fitted(&fit.pair, i, 5) < 1e-9), "{algorithm:?}");
        }
    }
}

/// A chain of n lines as compressed columns.
fn chain(n: usize) -> CscBuf {
    let mut out = CscBuf::new(n);
    for j in 0..n {
        let neighbours = [j.wrapping_sub(1), j + 1].into_iter().filter(|&i| i < n);
        neighbours.for_each(|i| out.push(i, 1.0));
        out.end_column().unwrap();
    }
    out
}

#[test]
fn zero_lines_are_at_the_minimum_of_their_penalties() {
    let (m, n, empty) = (30, 20, 5);
    let mut x = planted(11, (m, n), 2, 0.1);
    x.iter_mut().for_each(|v| *v *= 30.0);
    x[empty * m..(empty + 1) * m].fill(0.0);
    let neighbours = chain(n);
    let sparse = compressed(&x, m);
    let (dense, sparse) = (dense(&x, (m, n)), Matrix::Sparse(sparse.view()));
    // with and without kernels for eight lines and for Hessians by products
    for (data, rank) in [(dense, 3), (sparse, 3), (sparse, 11)] {
        for (l2, angle, weight) in [(100.0, 0.0, 100.0), (4.0, 3.0, 100.0), (100.0, 20.0, 0.0)] {
            let mut held = Settings {
                max_iter: 5000,
                tolerance: 1e-13,
                ..settings(Algorithm::KullbackLeibler, rank)
            };
            held.constraints[0].upper = 1.0;
            let graph = Graph::new(neighbours.view(), n, weight).unwrap();
            held.constraints[1].penalty.graph = Some(graph);
            held.constraints[1].penalty.l2 = l2;
            held.constraints[1].penalty.angle = angle;
            let fit = run(data, &held);
            for pair in fit.trace.windows(2) {
                assert!(pair[1].1 <= pair[0].1 * (1.0 + 1e-12), "rank {rank}, {l2}: {pair:?}");
            }
            let h = fit.pair.side(Side::Coef);
            let line = |j: usize| &h[j * rank..(j + 1) * rank];
            let sum: f64 = line(empty).iter().sum();
            let totals = fit.pair.sums(Side::Basis);
            for (r, total) in totals.iter().enumerate() {
                let here = line(empty)[r];
                let apart = 2.0 * here - line(empty - 1)[r] - line(empty + 1)[r];
                let slope = total + l2 * here + angle * (sum - here) + weight * apart;
                let curvature = l2 + 2.0 * weight;
                let step = here - (here - slope / curvature).max(0.0);
                // the objective is flat to 1e-13 of itself: a step of its square root
                assert!(step.abs() < 1e-5, "rank {rank}, {l2}, component {r}: {here} + {step}");
            }
        }
    }
}

#[test]
fn a_dead_component_is_started_again() {
    let x = planted(12, (40, 30), 3, 0.1);
    let data = dense(&x, (40, 30));
    for algorithm in [Algorithm::Hals, Algorithm::Anls, Algorithm::KullbackLeibler] {
        let mut start = Pair { rank: 3, factors: [uniform(13, 120), uniform(14, 90)] };
        start.side_mut(Side::Basis).iter_mut().skip(1).step_by(3).for_each(|v| *v = 0.0);
        start.side_mut(Side::Coef).iter_mut().skip(1).step_by(3).for_each(|v| *v = 0.0);
        let begun = Settings { start: Some(start), ..settings(algorithm, 3) };
        let (dead, fresh) = (run(data, &begun), run(data, &settings(algorithm, 3)));
        assert_eq!(dead.runs[0].dead, 0, "{algorithm:?}");
        assert!(dead.objective < 1.1 * fresh.objective, "{algorithm:?}");
    }
}

#[test]
fn bounds_known_columns_and_graphs_hold() {
    let x = planted(15, (40, 30), 3, 0.1);
    let data = dense(&x, (40, 30));
    let neighbours = chain(30);
    for algorithm in [Algorithm::Hals, Algorithm::KullbackLeibler] {
        let mut bounded = settings(algorithm, 3);
        bounded.constraints.iter_mut().for_each(|c| c.upper = 0.5);
        let fit = run(data, &bounded);
        // entries of X reach beyond 3 · 0.5²: the bounds are met
        assert!(fit.pair.factors.iter().flatten().all(|v| *v <= 0.5), "{algorithm:?}");
        assert!(fit.pair.factors.iter().flatten().any(|v| *v == 0.5), "{algorithm:?}");

        let known = uniform(16, 40);
        let guided = Settings { known: known.clone(), ..settings(algorithm, 3) };
        let fit = run(data, &guided);
        let first: Vec<f64> = fit.pair.side(Side::Basis).iter().step_by(3).copied().collect();
        assert_eq!(first, known, "{algorithm:?}");

        let rough = |weight: f64| {
            let mut smooth = settings(algorithm, 3);
            smooth.constraints[0].penalty.l2 = 1.0;
            let graph = Graph::new(neighbours.view(), 30, weight).unwrap();
            smooth.constraints[1].penalty.graph = Some(graph);
            let fit = run(data, &smooth);
            for pair in fit.trace.windows(2) {
                assert!(pair[1].1 <= pair[0].1 * (1.0 + 1e-12), "{algorithm:?}: {pair:?}");
            }
            let h = fit.pair.side(Side::Coef);
            let jumps: f64 = (3..90).map(|at| (h[at] - h[at - 3]).powi(2)).sum();
            jumps / h.iter().map(|v| v * v).sum::<f64>()
        };
        assert!(rough(100.0) < 0.2 * rough(0.0), "{algorithm:?}: {} {}", rough(100.0), rough(0.0));
    }
}

#[test]
fn an_svd_start_beats_the_mean_and_follows_no_seed() {
    let x = planted(17, (60, 40), 4, 0.05);
    let data = dense(&x, (60, 40));
    for init in [Init::Nndsvd, Init::NndsvdMean, Init::NndsvdRandom] {
        let one = |seed| Settings { init, seed, max_iter: 1, ..settings(Algorithm::Hals, 4) };
        let (a, b) = (run(data, &one(1)), run(data, &one(2)));
        let random = run(data, &Settings { init: Init::Random, ..one(1) });
        assert!(a.objective < random.objective, "{init:?}: {} {}", a.objective, random.objective);
        if init != Init::NndsvdRandom {
            assert!((a.objective / b.objective - 1.0).abs() < 1e-6, "{init:?}");
        }
    }
}
