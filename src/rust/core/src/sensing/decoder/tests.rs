//! Decoders as wholes: against refits by hand, and on profiles with known structure.

use super::*;
use crate::base::parallel::unmonitored;
use crate::base::rng::{stream, Purpose};
use crate::matrix::from_fn;
use crate::matrix::linalg::Cholesky;
use rand_distr::{Distribution, StandardNormal};

fn normal(shape: (usize, usize), seed: u64) -> Array2<f64> {
    let mut rng = stream(seed, Purpose::MeasurementNoise, 0);
    from_fn(shape, |_, _| StandardNormal.sample(&mut rng))
}

/// Genes that follow `factors` of a sample, linearly or not, with deviations of
/// their own.
fn profiles(genes: usize, samples: usize, curved: bool, seed: u64) -> Array2<f64> {
    let loadings = normal((genes, 3), 1);
    let factors = normal((3, samples), seed);
    let own = normal((genes, samples), seed + 1000);
    let linear = linalg::product(&loadings, &factors);
    from_fn((genes, samples), |g, i| {
        let bend = if curved { (0.8 * linear[(g, i)]).sin() } else { linear[(g, i)] };
        2.0 + bend + 0.05 * own[(g, i)]
    })
}

fn weights(genes: usize, measurements: usize) -> Array2<f64> {
    normal((genes, measurements), 7) / (genes as f64).sqrt()
}

fn learn_on(x: &Array2<f64>, weights: &Array2<f64>, snr: f64, landmarks: usize) -> Learned {
    learn_with(x, weights, snr, landmarks, 1)
}

fn learn_with(
    x: &Array2<f64>,
    weights: &Array2<f64>,
    snr: f64,
    landmarks: usize,
    threads: usize,
) -> Learned {
    let training = Training { profiles: x.view(), weights: weights.view(), snr };
    let kernel = (landmarks > 0).then_some(KernelParams { landmarks, seed: 3 });
    unmonitored(|m| learn(&training, &DecoderParams { kernel, threads }, m)).unwrap()
}

fn recovered(learned: &Learned, y: &Array2<f64>) -> Recovered {
    unmonitored(|m| recover(&learned.decoder(), y.view(), true, 1, m)).unwrap()
}

fn squares(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn without(x: &Array2<f64>, left: &[usize]) -> Array2<f64> {
    let kept: Vec<usize> = (0..x.ncols()).filter(|i| !left.contains(i)).collect();
    from_fn((x.nrows(), kept.len()), |g, j| x[(g, kept[j])])
}

fn only(x: &Array2<f64>, taken: &[usize]) -> Array2<f64> {
    from_fn((x.nrows(), taken.len()), |g, j| x[(g, taken[j])])
}

/// x̄ and B by the normal equations, (X Yᵀ) (Y Yᵀ + penalty A Aᵀ)⁻¹.
fn ridge_by_hand(x: &Array2<f64>, weights: &Array2<f64>, penalty: f64) -> (Vec<f64>, Array2<f64>) {
    let mean: Vec<f64> = x.rows().into_iter().map(|row| row.sum() / x.ncols() as f64).collect();
    let centred = from_fn(x.dim(), |g, i| x[(g, i)] - mean[g]);
    let y = linalg::product(&weights.t(), &centred);
    let mut gram = linalg::product(&y, &y.t());
    linalg::add_product(&mut gram, penalty, &weights.t(), weights);
    let mut slope = linalg::product(&y, &centred.t());
    Cholesky::new(gram).unwrap().solve_in_place(&mut slope);
    (mean, slope.t().to_owned())
}

#[test]
fn ridge_is_the_normal_equations_and_its_error_that_of_refits() {
    let (x, a) = (profiles(30, 25, true, 2), weights(30, 6));
    for snr in [f64::INFINITY, 2.0] {
        let learned = learn_on(&x, &a, snr, 0);
        let noise = if snr.is_finite() {
            x.iter().map(|v| v * v).sum::<f64>() / 750.0 / snr.powi(2)
        } else {
            0.0
        };
        let (mean, slope) = ridge_by_hand(&x, &a, 25.0 * noise + learned.ridge.penalty);
        let own = learned.decoder().linear;
        assert!(own.mean.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(squares(&own.slope.to_owned(), &slope).sqrt() < 1e-8);
        let y = linalg::product(&a.t(), &x);
        let mut error = 0.0;
        for i in 0..25 {
            let rest = without(&x, &[i]);
            // the penalty stays that of 25 samples
            let (mean, slope) = ridge_by_hand(&rest, &a, 25.0 * noise + learned.ridge.penalty);
            let centre = linalg::product(&a.t(), &from_fn((30, 1), |g, _| mean[g]));
            let shift = from_fn((6, 1), |j, _| y[(j, i)] - centre[(j, 0)]);
            let fit = linalg::product(&slope, &shift);
            error += (0..30).map(|g| (x[(g, i)] - mean[g] - fit[(g, 0)]).powi(2)).sum::<f64>();
        }
        let through = linalg::product(&slope, &a.t());
        let of_noise = noise * through.iter().map(|b| b * b).sum::<f64>();
        assert!((learned.ridge.error / (error / 25.0 + of_noise) - 1.0).abs() < 1e-8);
        let by_gene: f64 = learned.ridge.gene_error.iter().sum();
        assert!((by_gene / learned.ridge.error - 1.0).abs() < 1e-8);
    }
}

#[test]
fn recombined_measurements_give_the_same_answer() {
    let (x, a) = (profiles(30, 40, true, 2), weights(30, 6));
    let turn = normal((6, 6), 9);
    // one measurement twice tells nothing more
    let mixed = linalg::product(&a, &turn);
    let mixed = from_fn((30, 7), |g, j| mixed[(g, j.min(5))]);
    let new = profiles(30, 8, true, 5);
    for landmarks in [0, 40] {
        let plain = learn_on(&x, &a, 3.0, landmarks);
        let other = learn_on(&x, &mixed, 3.0, landmarks);
        let plain = recovered(&plain, &linalg::product(&a.t(), &new));
        let other = recovered(&other, &linalg::product(&mixed.t(), &new));
        let scale = squares(&plain.profiles, &zeros((30, 8)));
        assert!(squares(&plain.profiles, &other.profiles) < 1e-10 * scale);
        assert!(squares(&plain.standard_errors, &other.standard_errors) < 1e-10 * scale);
    }
}

#[test]
fn with_all_samples_as_landmarks_the_kernel_is_exact() {
    let (x, a) = (profiles(20, 40, true, 2), weights(20, 5));
    let learned = learn_on(&x, &a, f64::INFINITY, 40);
    let decoder = learned.decoder();
    let bells_of = decoder.kernel.as_ref().unwrap();
    let penalty = 1.0 / bells_of.prior;
    let y = linalg::product(&a.t(), &x);
    let new = linalg::product(&a.t(), &profiles(20, 6, true, 8));
    let coordinates = |y: &Array2<f64>| {
        let centred = from_fn(y.dim(), |i, j| y[(i, j)] - decoder.linear.centre[i]);
        linalg::product(&bells_of.coordinates, &centred)
    };
    let kernel = |p: &Array2<f64>, q: &Array2<f64>| {
        from_fn((p.ncols(), q.ncols()), |i, j| {
            let apart: f64 = (0..p.nrows()).map(|c| (p[(c, i)] - q[(c, j)]).powi(2)).sum();
            (-apart).exp()
        })
    };
    let (p, q) = (coordinates(&y), coordinates(&new));
    let mut gram = kernel(&p, &p);
    gram.diag_mut().iter_mut().for_each(|d| *d += penalty);
    let solver = Cholesky::new(gram).unwrap();
    let ridge = Decoder { kernel: None, ..learned.decoder() };
    let ridge =
        |y: &Array2<f64>| unmonitored(|m| recover(&ridge, y.view(), false, 1, m)).unwrap().profiles;
    let residual = &x - &ridge(&y);
    let cross = kernel(&p, &q);
    let mut solved = cross.clone();
    solver.solve_in_place(&mut solved);
    let by_hand = ridge(&new) + linalg::product(&residual, &solved);
    let found = recovered(&learned, &new);
    // the nugget of 1e-8, against a penalty of some 1e-2
    assert!(
        squares(&found.profiles, &by_hand).sqrt()
            < 1e-4 * squares(&by_hand, &zeros((20, 6))).sqrt()
    );
    for i in 0..6 {
        let explained: f64 = (0..40).map(|j| cross[(j, i)] * solved[(j, i)]).sum();
        let leverage = found.distance[i] * decoder.linear.usual_distance;
        let doubt = leverage + 1.0 / 40.0 + (1.0 - explained) / penalty;
        let expected = 1.0 + decoder.spread_weight * doubt;
        assert!((found.spread[i] / expected - 1.0).abs() < 1e-4);
    }
}

#[test]
fn held_out_error_is_that_of_refits_without_the_fold() {
    let (x, a) = (profiles(20, 40, true, 2), weights(20, 5));
    let learned = learn_on(&x, &a, f64::INFINITY, 40);
    let best = learned.trials.iter().min_by(|a, b| a.error.total_cmp(&b.error)).unwrap();
    let decoder = learned.decoder();
    let bells_of = decoder.kernel.as_ref().unwrap();
    let y = linalg::product(&a.t(), &x);
    let centred = from_fn(y.dim(), |i, j| y[(i, j)] - decoder.linear.centre[i]);
    let p = linalg::product(&bells_of.coordinates, &centred);
    let (mut error, mut of_ridge) = (0.0, 0.0);
    let folds = folds::Folds::draw(40, 3);
    for range in folds.ranges {
        let held = &folds.order[range];
        let rest: Vec<usize> = (0..40).filter(|i| !held.contains(i)).collect();
        let (mean, slope) = ridge_by_hand(&only(&x, &rest), &a, learned.ridge.penalty);
        let centre = linalg::product(&a.t(), &from_fn((20, 1), |g, _| mean[g]));
        let fit = linalg::product(&slope, &from_fn(y.dim(), |i, j| y[(i, j)] - centre[(i, 0)]));
        let residual = from_fn(x.dim(), |g, i| x[(g, i)] - mean[g] - fit[(g, i)]);
        let kernel = from_fn((40, 40), |i, j| {
            (-(0..p.nrows()).map(|c| (p[(c, i)] - p[(c, j)]).powi(2)).sum::<f64>()).exp()
        });
        let gram = from_fn((rest.len(), rest.len()), |i, j| {
            kernel[(rest[i], rest[j])] + if i == j { best.penalty } else { 0.0 }
        });
        let mut solved = from_fn((rest.len(), held.len()), |i, j| kernel[(rest[i], held[j])]);
        Cholesky::new(gram).unwrap().solve_in_place(&mut solved);
        let foretold = linalg::product(&only(&residual, &rest), &solved);
        of_ridge += squares(&only(&residual, held), &zeros((20, held.len())));
        error += squares(&only(&residual, held), &foretold);
    }
    assert!((learned.trials[0].error / (of_ridge / 40.0) - 1.0).abs() < 1e-9);
    // the nugget, as above
    assert!((best.error / (error / 40.0) - 1.0).abs() < 1e-4);
    // what the standard errors rest on is the same, by gene
    let by_gene: f64 = learned.gene_error.iter().sum();
    assert!((by_gene / best.error - 1.0).abs() < 1e-8);
}

#[test]
fn expected_noise_is_the_mean_of_drawn_noise() {
    // ridge and kernel fitted to very many noisy copies of the samples
    let (x, a) = (profiles(12, 30, true, 2), weights(12, 4));
    let learned = learn_on(&x, &a, 4.0, 30);
    let sd = (x.iter().map(|v| v * v).sum::<f64>() / 360.0).sqrt() / 4.0;
    let copies = 4000;
    let noise = normal((12, 30 * copies), 11);
    let many = from_fn((12, 30 * copies), |g, i| x[(g, i % 30)] + sd * noise[(g, i)]);
    let y = linalg::product(&a.t(), &many);
    let decoder = learned.decoder();
    let linear = decoder.linear;
    let bells_of = decoder.kernel.as_ref().unwrap();
    let centred = from_fn(y.dim(), |i, j| y[(i, j)] - linear.centre[i]);
    let p = linalg::product(&bells_of.coordinates, &centred);
    let phi = unmonitored(|m| bells::bells(&p, &bells_of.landmarks, m)).unwrap();
    let fitted = linalg::product(&linear.slope, &centred);
    let residual = from_fn(fitted.dim(), |g, i| x[(g, i % 30)] - linear.mean[g] - fitted[(g, i)]);
    let mut gram = linalg::product(&phi, &phi.t()) / copies as f64;
    let kernel =
        unmonitored(|m| bells::bells(&bells_of.landmarks, &bells_of.landmarks, m)).unwrap();
    gram += &(kernel / bells_of.prior);
    let mut by_hand = linalg::product(&phi, &residual.t()) / copies as f64;
    // K is all but singular in directions that carry nothing
    gram.diag_mut().iter_mut().for_each(|d| *d += 1e-8 / bells_of.prior);
    Cholesky::new(gram).unwrap().solve_in_place(&mut by_hand);
    let drawn = linalg::product(&by_hand.t(), &phi);
    let own = linalg::product(&bells_of.coefficients, &phi);
    // 120,000 draws of what the expectation replaces: a few hundredths of the fit
    assert!(squares(&drawn, &own).sqrt() < 0.05 * squares(&own, &zeros(own.dim())).sqrt());
}

#[test]
fn bells_find_what_lines_cannot() {
    let a = weights(60, 8);
    let x = profiles(60, 400, true, 2);
    let new = profiles(60, 200, true, 4);
    let y = linalg::product(&a.t(), &new);
    let error = |landmarks| {
        squares(&recovered(&learn_on(&x, &a, f64::INFINITY, landmarks), &y).profiles, &new)
    };
    assert!(error(400) < 0.5 * error(0));
    assert!(error(100) < 0.7 * error(0));
    // and do no harm where there is nothing to find
    let x = profiles(60, 100, false, 2);
    let new = profiles(60, 200, false, 4);
    let y = linalg::product(&a.t(), &new);
    let error =
        |landmarks| squares(&recovered(&learn_on(&x, &a, 5.0, landmarks), &y).profiles, &new);
    assert!(error(100) < 1.02 * error(0));
}

#[test]
fn intervals_cover_with_and_without_noise() {
    let a = weights(60, 8);
    let x = profiles(60, 300, true, 2);
    let new = profiles(60, 300, true, 4);
    for snr in [f64::INFINITY, 3.0] {
        let noise = if snr.is_finite() { normal(new.dim(), 5) } else { zeros(new.dim()) };
        let sd = (new.iter().map(|v| v * v).sum::<f64>() / new.len() as f64).sqrt() / snr;
        let y = linalg::product(&a.t(), &(&new + &(noise * sd)));
        for landmarks in [0, 300] {
            let found = recovered(&learn_on(&x, &a, snr, landmarks), &y);
            let within = new.iter().zip(&found.profiles).zip(&found.standard_errors);
            let within = within.filter(|((x, fit), se)| (*x - *fit).abs() <= 1.96 * *se).count();
            let share = within as f64 / new.len() as f64;
            // a sine is bounded, so that large errors are rarer than normal ones
            assert!((0.92..0.99).contains(&share), "{share} at {snr} with {landmarks}");
        }
    }
}

#[test]
fn many_genes_are_replaced_by_combinations_while_settings_are_chosen() {
    let (x, a) = (profiles(1100, 60, true, 2), weights(1100, 10));
    let learned = learn_on(&x, &a, f64::INFINITY, 60);
    let by_gene: f64 = learned.ridge.gene_error.iter().sum();
    // the folds' error, over combinations, against leave-one-out over genes
    assert!((learned.trials[0].error / by_gene - 1.0).abs() < 0.2);
    assert_eq!(learned.decoder().kernel.unwrap().coefficients.nrows(), 1100);
}

#[test]
fn the_bits_do_not_depend_on_threads() {
    let (x, a) = (profiles(140, 300, true, 2), weights(140, 8));
    let y = linalg::product(&a.t(), &profiles(140, 70, true, 4));
    let one = recovered(&learn_with(&x, &a, 3.0, 130, 1), &y);
    for threads in [2, 3] {
        let learned = learn_with(&x, &a, 3.0, 130, threads);
        let more =
            unmonitored(|m| recover(&learned.decoder(), y.view(), true, threads, m)).unwrap();
        assert_eq!(one.profiles, more.profiles);
        assert_eq!(one.standard_errors, more.standard_errors);
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let (x, a) = (profiles(10, 12, true, 2), weights(10, 3));
    let try_on = |x: &Array2<f64>, a: &Array2<f64>, snr: f64| {
        let training = Training { profiles: x.view(), weights: a.view(), snr };
        let params = DecoderParams { kernel: None, threads: 1 };
        unmonitored(|m| learn(&training, &params, m)).err().unwrap().kind()
    };
    assert_eq!(try_on(&only(&x, &[0, 1]), &a, 1.0), "argument");
    assert_eq!(try_on(&Array2::ones((10, 12)), &a, 1.0), "argument");
    assert_eq!(try_on(&x, &zeros((10, 3)), 1.0), "argument");
    assert_eq!(try_on(&x, &weights(11, 3), 1.0), "shape");
    assert_eq!(try_on(&x, &a, 0.0), "argument");
}
