use super::data::Batch;
use super::*;
use crate::base::parallel::{unmonitored, with_threads};
use crate::matrix::linalg::{Cholesky, Spectrum};
use crate::matrix::{Columns, Matrix};
use crate::networks::differences::TRAINING;
use crate::networks::layer::restore;
use crate::networks::train::{self, Learner, Progress, Split};
use ndarray::s;

fn architecture(likelihood: Likelihood) -> Architecture {
    Architecture {
        likelihood,
        genes: 12,
        batches: 2,
        latent: 2,
        hidden: vec![6],
        linear_decoder: false,
        variational: true,
        encode_batch: true,
        dropout: 0.2,
        dispersions: Dispersions::GeneBatch,
    }
}

fn counts(n: usize) -> Array2<f64> {
    from_fn((12, n), |i, j| match (i * 5 + j * 3 + (i * j) % 4) % 6 {
        0 | 1 | 4 => 0.0,
        k => (k * (1 + (i + j / 3) % 3)) as f64,
    })
}

struct Cells {
    x: Array2<f64>,
    size: Vec<f64>,
    batch: Vec<usize>,
}

fn cells(n: usize) -> Cells {
    let x = counts(n);
    let size = (0..n).map(|j| x.column(j).sum().ln()).collect();
    Cells { x, size, batch: (0..n).map(|j| j % 2).collect() }
}

impl Cells {
    fn data<'a>(&'a self, architecture: &Architecture) -> Data<'a> {
        const ZERO: [f64; 12] = [0.5; 12];
        const ONE: [f64; 12] = [2.0; 12];
        let gaussian = architecture.likelihood == Likelihood::Gaussian;
        let scaling = gaussian.then_some(Scaling { centre: &ZERO, scale: &ONE });
        let x = Matrix::Dense(self.x.view());
        let batch = if architecture.batches > 0 { &self.batch[..] } else { &[] };
        Data::new(x, &self.size, batch, scaling, architecture).unwrap()
    }
}

const KINDS: [Likelihood; 4] = [
    Likelihood::Counts(Family::Poisson),
    Likelihood::Counts(Family::NegativeBinomial),
    Likelihood::Counts(Family::ZeroInflated),
    Likelihood::Gaussian,
];

#[test]
fn gradients_of_the_whole_are_differences() {
    let cells = cells(11);
    let all: Vec<usize> = (0..11).collect();
    for likelihood in KINDS {
        for (linear, variational) in [(false, true), (true, true), (false, false)] {
            for hidden in [vec![6], vec![5, 4], vec![]] {
                let mut a = architecture(likelihood);
                (a.linear_decoder, a.variational, a.hidden) = (linear, variational, hidden);
                let mut net = Autoencoder::<f64>::new(&a, 3);
                net.start_from(&cells.data(&a));
                let mut batch = Batch::new(&a);
                batch.gather(&cells.data(&a), &all, &a).unwrap();
                let loss = |net: &mut Autoencoder<f64>| {
                    let noise = |j: usize, out: &mut [f64]| {
                        out.iter_mut()
                            .enumerate()
                            .for_each(|(i, v)| *v = (i as f64 + j as f64).sin())
                    };
                    let value = net.learn(&batch, &TRAINING, 0.7, noise);
                    value.misfit + 0.7 * value.prior
                };
                loss(&mut net);
                let slopes: Vec<_> =
                    net.parameters().iter().map(|(_, p)| p.gradient.clone()).collect();
                for (k, slope) in slopes.iter().enumerate() {
                    // a few entries of each parameter
                    for (e, at) in ndarray::indices(slope.dim()).into_iter().enumerate() {
                        if e % 7 != k % 7 {
                            continue;
                        }
                        let mut with = |step: f64| {
                            net.parameters()[k].1.value[at] += step;
                            let value = loss(&mut net);
                            net.parameters()[k].1.value[at] -= step;
                            value
                        };
                        let found = (with(1e-5) - with(-1e-5)) / 2e-5;
                        let error = (found - slope[at]).abs() / slope[at].abs().max(1.0);
                        let name = &net.parameters()[k].0;
                        assert!(error < 1e-5, "{likelihood:?} {name}: {found} {}", slope[at]);
                    }
                }
            }
        }
    }
}

fn settings(epochs: usize) -> train::Settings {
    let step = crate::networks::optimiser::Settings { learning_rate: 0.01, ..Default::default() };
    train::Settings { epochs, batch_size: 16, patience: epochs, warm_up: 3, step, seed: 5 }
}

fn trained(a: &Architecture, cells: &Cells, epochs: usize) -> Autoencoder<f32> {
    let data = cells.data(a);
    let mut net = Autoencoder::new(a, 5);
    net.start_from(&data);
    let mut trainer = Trainer::new(net, data, 5);
    let split = Split::random(data.n_cells(), 0.2, 5);
    let mut progress = Progress::default();
    unmonitored(|m| train::train(&mut trainer, &split, &settings(epochs), &mut progress, m))
        .unwrap();
    train::use_best(&mut trainer, &progress).unwrap();
    assert_eq!(trainer.failure(), None);
    trainer.net
}

#[test]
fn bits_do_not_depend_on_threads_nor_on_how_counts_are_stored() {
    let cells = cells(70);
    for likelihood in KINDS {
        let a = architecture(likelihood);
        let run = |threads| {
            with_threads(threads, || {
                let mut net = trained(&a, &cells, 4);
                let data = cells.data(&a);
                unmonitored(|m| net.codes(&data, m)).unwrap().0
            })
            .unwrap()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(3));
    }
}

#[test]
fn permuted_cells_have_permuted_codes_and_batches_of_one_are_those_of_many() {
    let cells = cells(30);
    let a = architecture(Likelihood::Counts(Family::NegativeBinomial));
    let mut net = trained(&a, &cells, 3);
    let whole = unmonitored(|m| net.codes(&cells.data(&a), m)).unwrap().0;
    let turned = Cells {
        x: cells.x.slice(s![.., ..;-1]).t().as_standard_layout().t().to_owned(),
        size: cells.size.iter().rev().copied().collect(),
        batch: cells.batch.iter().rev().copied().collect(),
    };
    let back = unmonitored(|m| net.codes(&turned.data(&a), m)).unwrap().0;
    for j in 0..30 {
        assert!(whole.col(j).iter().zip(back.col(29 - j)).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn permuted_genes_with_their_weights_have_the_same_codes_and_bounds() {
    let cells = cells(20);
    let mut a = architecture(Likelihood::Counts(Family::ZeroInflated));
    a.encode_batch = false;
    let mut net = trained(&a, &cells, 3);
    let order: Vec<usize> = (0..12).map(|g| (g * 5 + 2) % 12).collect();
    let mut other = Autoencoder::<f32>::new(&a, 1);
    let arrays = crate::networks::layer::arrays(net.parameters());
    let moved: Vec<Array2<f64>> = arrays
        .iter()
        .map(|(name, array)| match name.as_str() {
            "input.weight" => from_fn(array.dim(), |i, j| array[(i, order[j])]),
            _ if array.nrows() == 12 => from_fn(array.dim(), |i, j| array[(order[i], j)]),
            _ => array.clone(),
        })
        .collect();
    let views: Vec<_> = moved.iter().map(|array| array.view()).collect();
    restore(other.parameters(), &views).unwrap();
    let x = from_fn((12, 20), |i, j| cells.x[(order[i], j)]);
    let turned = Cells { x, size: cells.size.clone(), batch: cells.batch.clone() };
    let bounds = |net: &mut Autoencoder<f32>, cells: &Cells| {
        let found = unmonitored(|m| net.bounds(&cells.data(&a), 3, 9, m)).unwrap();
        found.iter().map(|b| b.weighted).collect::<Vec<_>>()
    };
    let (one, two) = (bounds(&mut net, &cells), bounds(&mut other, &turned));
    // sums of twelve terms of size 10 in another order
    assert!(one.iter().zip(&two).all(|(a, b)| (a - b).abs() < 1e-4), "{one:?} {two:?}");
}

/// With the exact posterior of a linear Gaussian model every draw's importance weight is
/// the evidence.
#[test]
fn bounds_meet_the_evidence_at_the_exact_posterior_and_stay_below_elsewhere() {
    let mut a = architecture(Likelihood::Gaussian);
    (a.batches, a.hidden, a.dispersions) = (0, vec![], Dispersions::Common);
    let cells = cells(9);
    let loadings = from_fn((12, 2), |i, k| ((i * 3 + k * 7) as f64).sin());
    let log_variance = -0.3f64;
    let variance = log_variance.exp();
    // x̃ = W z + e: posterior covariance (W'W/σ² + I)⁻¹, mean its product with W'x̃/σ².
    // The encoder's variances are a diagonal: W is turned until W'W is one
    let Spectrum { vectors, .. } = crate::matrix::linalg::spectrum(&loadings.t().dot(&loadings));
    let w = loadings.dot(&vectors);
    let squares = [0, 1].map(|k| w.column(k).dot(&w.column(k)));
    let posterior = squares.map(|square| 1.0 / (square / variance + 1.0));
    let weight =
        from_fn((4, 12), |i, g| if i < 2 { posterior[i] * w[(g, i)] / variance } else { 0.0 });
    let bias = from_fn((4, 1), |i, _| if i < 2 { 0.0 } else { posterior[i - 2].ln() });
    let exact = [&weight, &bias, &w, &zeros((12, 1)), &from_fn((1, 1), |_, _| log_variance)];
    let mut net = Autoencoder::<f64>::new(&a, 1);
    let views: Vec<_> = exact.iter().map(|array| array.view()).collect();
    restore(net.parameters(), &views).unwrap();
    let data = cells.data(&a);
    let found = unmonitored(|m| net.bounds(&data, 3, 4, m)).unwrap();
    let covariance =
        from_fn((12, 12), |i, j| w.row(i).dot(&w.row(j)) + if i == j { variance } else { 0.0 });
    let factor = Cholesky::new(covariance.clone()).unwrap();
    let log_determinant: f64 =
        crate::matrix::linalg::spectrum(&covariance).values.iter().map(|v| v.ln()).sum();
    let evidence: Vec<f64> = (0..9)
        .map(|j| {
            let x = from_fn((12, 1), |g, _| (cells.x[(g, j)] - 0.5) / 2.0);
            let mut solved = x.clone();
            factor.solve_in_place(&mut solved);
            let square: f64 = x.iter().zip(&solved).map(|(a, b)| a * b).sum();
            -0.5 * (square + log_determinant + 12.0 * (2.0 * std::f64::consts::PI).ln())
        })
        .collect();
    for (bounds, evidence) in found.iter().zip(&evidence) {
        assert!((bounds.weighted - evidence).abs() < 1e-6 * evidence.abs());
    }
    // elsewhere the bounds are below on average, and rise with the number of draws
    let worse = bias.map(|b| b + 0.8);
    let mut views = views;
    views[1] = worse.view();
    restore(net.parameters(), &views).unwrap();
    let mut mean = |samples: usize| {
        let rounds = (0..30).map(|seed| {
            let found = unmonitored(|m| net.bounds(&data, samples, seed, m)).unwrap();
            found.iter().map(|b| b.weighted).sum::<f64>() / 9.0
        });
        rounds.sum::<f64>() / 30.0
    };
    let (one, few, many) = (mean(1), mean(5), mean(50));
    let top = evidence.iter().sum::<f64>() / 9.0;
    assert!(one < few && few < many && many < top + 0.02, "{one} {few} {many} {top}");
    assert!(top - many < 0.2 * (top - one));
}

#[test]
fn training_learns_and_the_mean_profile_is_its_start() {
    let cells = cells(60);
    let a = architecture(Likelihood::Counts(Family::Poisson));
    let data = cells.data(&a);
    let all: Vec<usize> = (0..60).collect();
    let mut net = Autoencoder::<f32>::new(&a, 5);
    net.start_from(&data);
    let totals = cells.x.sum_axis(ndarray::Axis(1));
    let rates = unmonitored(|m| net.rates(&zeros((2, 2)), &[0, 1], &[0.0, 0.0], m)).unwrap();
    for g in 0..12 {
        // six hidden signals of at most √(6/4), with weights of at most a tenth, on either side
        let share = totals[g].max(0.5) / totals.sum();
        assert!((rates.mean[(g, 0)] / share).ln().abs() < 1.5);
    }
    let mut before = Trainer::new(net, data, 5);
    let start = before.validate(&all).total();
    let mut after = Trainer::new(trained(&a, &cells, 40), data, 5);
    assert!(after.validate(&all).total() < start - 1.0);
}
