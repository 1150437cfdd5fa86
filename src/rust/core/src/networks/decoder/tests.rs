//! Decoders with networks: against ridge, and on profiles with known structure.

use super::batches::{Task, Trainer};
use super::*;
use crate::base::parallel::{unmonitored, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::matrix::from_fn;
use crate::matrix::linalg;
use crate::networks::layer::restore;
use crate::networks::train::{Learner, Step};
use crate::sensing::decoder::{self, Decoder, DecoderParams, Recovered, Training};
use crate::CoreError;
use rand_distr::{Distribution, StandardNormal};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn normal(shape: (usize, usize), seed: u64) -> Array2<f64> {
    let mut rng = stream(seed, Purpose::MeasurementNoise, 0);
    from_fn(shape, |_, _| StandardNormal.sample(&mut rng))
}

const GENES: usize = 30;

/// Genes that follow three factors of a sample, in a line or bent.
fn profiles(samples: usize, curved: bool, seed: u64) -> Array2<f64> {
    let loadings = normal((GENES, 3), 1);
    let own = normal((GENES, samples), seed + 1000);
    let linear = linalg::product(&loadings, &normal((3, samples), seed));
    from_fn((GENES, samples), |g, i| {
        let line = linear[(g, i)];
        2.0 + if curved { line.max(-0.3) } else { line } + 0.05 * own[(g, i)]
    })
}

fn weights() -> Array2<f64> {
    normal((GENES, 6), 7) / (GENES as f64).sqrt()
}

fn read(a: &Array2<f64>, x: &Array2<f64>) -> Array2<f64> {
    linalg::product(&a.t(), x)
}

fn params(start: Start, epochs: usize) -> Params {
    Params {
        start,
        loss: Loss::Squared,
        hidden: vec![40],
        dropout: 0.1,
        members: 2,
        validation: 0.2,
        epochs,
        batch_size: 20,
        patience: epochs,
        learning_rate: 5e-3,
        decay: 1e-4,
        seed: 3,
        threads: 1,
    }
}

fn training<'a>(x: &'a Array2<f64>, a: &'a Array2<f64>, snr: f64) -> Training<'a> {
    Training { profiles: x.view(), weights: a.view(), snr }
}

fn fit(x: &Array2<f64>, a: &Array2<f64>, snr: f64, params: &Params) -> Bent {
    unmonitored(|m| learn(&training(x, a, snr), None, params, None, m)).unwrap()
}

fn decode(bent: &Bent, y: &Array2<f64>, threads: usize) -> Recovered {
    let mut base = Decoder {
        error_variance: &bent.error_variance,
        spread_weight: bent.spread_weight,
        ..bent.ridge.decoder()
    };
    let none = zeros(base.linear.slope.dim());
    if bent.architecture.start == Start::Zero {
        base.linear.slope = none.view();
    }
    let members = bent.members.iter().map(|m| m.weights.iter().map(|w| w.view()).collect());
    let bend = Bend {
        architecture: bent.architecture.clone(),
        members: members.collect(),
        coordinates: bent.coordinates.view(),
        inputs: None,
        scale: bent.scale,
    };
    unmonitored(|m| recover(&base, &bend, y.view(), true, threads, m)).unwrap()
}

fn ridge_of(x: &Array2<f64>, a: &Array2<f64>, snr: f64) -> Learned {
    let params = DecoderParams { kernel: None, threads: 1 };
    unmonitored(|m| decoder::learn(&training(x, a, snr), &params, m)).unwrap()
}

fn by_ridge(learned: &Learned, y: &Array2<f64>) -> Array2<f64> {
    let decoder = learned.decoder();
    unmonitored(|m| decoder::recover(&decoder, y.view(), false, 1, m)).unwrap().profiles
}

fn left(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.ncols() as f64
}

#[test]
fn before_the_first_step_the_answer_is_that_of_ridge_to_the_bit() {
    let (x, a) = (profiles(60, true, 2), weights());
    let y = read(&a, &profiles(9, true, 5));
    for loss in [Loss::Squared, Loss::Correlation] {
        let bent = fit(&x, &a, 4.0, &Params { loss, ..params(Start::Ridge, 0) });
        assert!(bent.members.iter().all(|member| member.best == 0 && member.trace.is_empty()));
        assert!(decode(&bent, &y, 1).profiles == by_ridge(&bent.ridge, &y));
    }
}

#[test]
fn targets_are_what_ridge_leaves_of_samples_that_it_has_not_seen() {
    let (x, a) = (profiles(40, true, 2), weights());
    let ridge = ridge_of(&x, &a, f64::INFINITY);
    let t = training(&x, &a, f64::INFINITY);
    let task = Task::new(&t, &ridge, None, &params(Start::Ridge, 1)).unwrap();
    let mut trainer = Trainer::new(task.architecture(&params(Start::Ridge, 1)).network(1), &task);
    let items: Vec<usize> = (0..40).collect();
    let mut found = Vec::new();
    trainer.errors(&items, |_, errors| found.push(errors.to_vec()));
    let penalty = ridge.ridge.penalty;
    for (i, errors) in found.iter().enumerate() {
        // by the normal equations without the sample, at the penalty of all
        let rest: Vec<usize> = (0..40).filter(|&j| j != i).collect();
        let x_rest = from_fn((GENES, 39), |g, j| x[(g, rest[j])]);
        let mean: Vec<f64> = x_rest.rows().into_iter().map(|row| row.sum() / 39.0).collect();
        let centred = from_fn(x_rest.dim(), |g, j| x_rest[(g, j)] - mean[g]);
        let y = read(&a, &centred);
        let mut gram = linalg::product(&y, &y.t());
        linalg::add_product(&mut gram, penalty, &a.t(), &a);
        let mut slope = linalg::product(&y, &centred.t());
        linalg::Cholesky::new(gram).unwrap().solve_in_place(&mut slope);
        let shift = from_fn((GENES, 1), |g, _| x[(g, i)] - mean[g]);
        let fitted = linalg::product(&slope.t(), &read(&a, &shift));
        for g in 0..GENES {
            // the network is 0 still; single precision of numbers of size 1
            let left = fitted[(g, 0)] - shift[(g, 0)];
            assert!((errors[g] - left).abs() < 1e-5, "{} {left}", errors[g]);
        }
    }
}

/// The loss of weights on the samples that a member held out.
fn loss_of(bent: &Bent, task: &Task<'_>, params: &Params, member: usize) -> f64 {
    let mut trainer = Trainer::new(bent.architecture.network(0), task);
    let weights: Vec<_> = bent.members[member].weights.iter().map(|w| w.view()).collect();
    restore(trainer.parameters(), &weights).unwrap();
    trainer.validate(&super::learn::held_out(task.samples(), member, params).validation).total()
}

#[test]
fn the_weights_are_those_of_the_least_held_out_loss() {
    let (x, a) = (profiles(200, true, 2), weights());
    for (start, snr) in [(Start::Ridge, 30.0), (Start::Zero, f64::INFINITY)] {
        for loss in [Loss::Squared, Loss::Correlation] {
            let params = Params { loss, learning_rate: 2e-3, ..params(start, 15) };
            let bent = fit(&x, &a, snr, &params);
            let t = training(&x, &a, snr);
            let task = Task::new(&t, &bent.ridge, None, &params).unwrap();
            for (k, member) in bent.members.iter().enumerate() {
                let losses = member.trace.iter().map(|e| e.validation.total());
                let least = losses.fold(member.start, f64::min);
                assert_eq!(loss_of(&bent, &task, &params, k), least);
                // from the mean profile there is much to gain
                assert!(start == Start::Ridge || member.best > 0 && least < member.start);
            }
        }
    }
}

#[test]
fn noise_has_the_covariance_of_what_measuring_adds() {
    let (x, a) = (profiles(50, true, 2), weights());
    let ridge = ridge_of(&x, &a, 2.0);
    let own = params(Start::Zero, 1);
    let t = training(&x, &a, 2.0);
    let task = Task::new(&t, &ridge, None, &own).unwrap();
    let mut trainer = Trainer::new(task.architecture(&own).network(1), &task);
    // what is read of one sample, many times
    let items = vec![7; 20_000];
    let pass = Step { number: 1, seed: 5, warmth: 1.0 };
    trainer.learn(&items, &pass);
    let input = trainer.input();
    let variance = ridge.noise;
    let clean = from_fn((GENES, 1), |g, _| x[(g, 7)] - ridge.ridge.mean[g]);
    let clean = linalg::product(&task.coordinates, &read(&a, &clean));
    let half = linalg::product(&task.coordinates, &a.t());
    for i in 0..6 {
        let mean = input.row(i).iter().map(|v| f64::from(*v)).sum::<f64>() / 2e4;
        let expected = variance * half.row(i).iter().map(|v| v * v).sum::<f64>();
        // five standard errors
        assert!((mean - clean[(i, 0)]).abs() < 5.0 * (expected / 2e4).sqrt());
        for j in 0..=i {
            let product = |c: usize| {
                let off = |i: usize| f64::from(input[(i, c)]) - clean[(i, 0)];
                off(i) * off(j)
            };
            let found = (0..20_000).map(product).sum::<f64>() / 2e4;
            let expected = variance * half.row(i).dot(&half.row(j));
            let of = |i: usize| variance * half.row(i).dot(&half.row(i));
            assert!((found - expected).abs() < 5.0 * (2.0 * of(i) * of(j) / 2e4).sqrt());
        }
    }
}

#[test]
fn networks_bend_where_ridge_cannot_and_stay_where_it_can() {
    let a = weights();
    let new = |curved| profiles(300, curved, 9);
    let run = |curved, snr| {
        let x = profiles(300, curved, 2);
        let bent = fit(&x, &a, snr, &params(Start::Ridge, 60));
        let y = read(&a, &new(curved));
        let own = left(&decode(&bent, &y, 1).profiles, &new(curved));
        (own, left(&by_ridge(&bent.ridge, &y), &new(curved)))
    };
    let (own, ridge) = run(true, f64::INFINITY);
    assert!(own < 0.8 * ridge, "{own} {ridge}");
    let (own, ridge) = run(false, 5.0);
    // nothing is left but noise: what the held-out samples let pass is small
    assert!(own < 1.02 * ridge, "{own} {ridge}");
}

#[test]
fn standard_errors_are_those_of_new_samples() {
    let (a, x) = (weights(), profiles(300, true, 2));
    let new = profiles(400, true, 9);
    for start in [Start::Ridge, Start::Zero] {
        let bent = fit(&x, &a, f64::INFINITY, &params(start, 40));
        let found = decode(&bent, &read(&a, &new), 1);
        let inside = found.profiles.iter().zip(&new).zip(&found.standard_errors);
        let inside = inside.filter(|((a, b), se)| (*a - *b).abs() <= 1.96 * **se).count();
        let share = inside as f64 / (400 * GENES) as f64;
        assert!((0.90..0.97).contains(&share), "{share}");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let (x, a) = (profiles(200, true, 2), weights());
    let y = read(&a, &profiles(9, true, 5));
    let run = |threads| {
        let bent =
            fit(&x, &a, 30.0, &Params { threads, learning_rate: 2e-3, ..params(Start::Ridge, 8) });
        let found = decode(&bent, &y, threads);
        let losses = bent.members.iter().flat_map(|m| m.trace.iter().map(|e| e.training.misfit));
        (found.profiles, found.standard_errors, losses.collect::<Vec<f64>>())
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
    let params = Params { seed: 4, learning_rate: 2e-3, ..params(Start::Ridge, 8) };
    let other = fit(&x, &a, 30.0, &params);
    assert!(other.members[0].trace[0].training.misfit != one.2[0]);
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bits() {
    let (x, a) = (profiles(60, true, 2), weights());
    let params = params(Start::Ridge, 6);
    let whole = fit(&x, &a, 3.0, &params);
    for after in [1, 4, 8] {
        let (stop, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
        let report = |done| {
            seen.store(done, Ordering::Relaxed);
            stop.store(done >= after, Ordering::Relaxed);
        };
        let monitor = Monitor::new(&stop, &report);
        let mut part = learn(&training(&x, &a, 3.0), None, &params, None, &monitor).unwrap();
        let unfinished = part.unfinished.take().unwrap();
        let mut finished = part.members;
        assert_eq!(finished.pop().map(|member| member.reason), Some(Reason::Interrupted));
        let resume = Some(Resume { finished, unfinished });
        let t = training(&x, &a, 3.0);
        let rest = unmonitored(|m| learn(&t, None, &params, resume, m)).unwrap();
        for (one, other) in whole.members.iter().zip(&rest.members) {
            assert!(one.weights == other.weights && one.best == other.best);
        }
        assert!(whole.gene_error == rest.gene_error);
    }
}

#[test]
fn given_inputs_that_are_the_readings_change_nothing() {
    let (x, a) = (profiles(60, true, 2), weights());
    let own = fit(&x, &a, f64::INFINITY, &params(Start::Ridge, 4));
    let readings = read(&a, &x);
    let y = from_fn(readings.dim(), |i, j| readings[(i, j)] - own.ridge.ridge.centre[i]);
    let values = linalg::product(&own.coordinates, &y);
    let inputs = Inputs { values: values.view(), readings: readings.view() };
    let t = training(&x, &a, f64::INFINITY);
    let other =
        unmonitored(|m| learn(&t, Some(&inputs), &params(Start::Ridge, 4), None, m)).unwrap();
    // single precision, over 4 passes
    assert!((other.error / own.error - 1.0).abs() < 1e-3);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (x, a) = (profiles(60, true, 2), weights());
    let few = from_fn((GENES, 9), |g, i| x[(g, i)]);
    let run = |x: &Array2<f64>, inputs: Option<&Inputs<'_>>| {
        let t = training(x, &a, 3.0);
        unmonitored(|m| learn(&t, inputs, &params(Start::Ridge, 1), None, m)).err()
    };
    assert!(matches!(run(&few, None), Some(CoreError::Argument { name: "samples", .. })));
    let readings = read(&a, &few);
    let inputs = Inputs { values: readings.view(), readings: readings.view() };
    assert!(matches!(run(&x, Some(&inputs)), Some(CoreError::Shape { .. })));
    let wild = Params { learning_rate: 1e30, ..params(Start::Ridge, 20) };
    let t = training(&x, &a, 3.0);
    let ended = unmonitored(|m| learn(&t, None, &wild, None, m)).err();
    assert_eq!(ended, Some(CoreError::Diverged { rate: 1e30 }));
}
