use super::*;
use crate::base::parallel::{unmonitored, with_threads};
use crate::matrix::{from_fn, Matrix};
use crate::networks::mixtures::{Cells, Labels, Settings};
use crate::networks::optimiser;
use crate::networks::train::{self, Learner, Progress, Reason, Split};

fn architecture(loss: Loss, expression: Expression) -> Architecture {
    Architecture {
        genes: 9,
        marks: 6,
        types: 3,
        hidden: vec![16, 8],
        dropout: 0.1,
        loss,
        expression,
    }
}

#[test]
fn gradients_of_the_loss_of_shares_are_differences() {
    let x = from_fn((6, 5), |i, j| ((i * 3 + j * 7) as f64 * 0.9).sin());
    let truth = from_fn((3, 5), |i, j| [0.2, 0.5, 0.3][(i + j) % 3]);
    let pass = Pass { training: true, seed: 4, step: 2 };
    for loss in [Loss::Absolute, Loss::Squared, Loss::CrossEntropy] {
        let mut net = Deconvolver::<f64>::new(&architecture(loss, Expression::None), 1);
        net.learn_shares(&x, &truth, &pass, 2.0);
        let gradients: Vec<Array2<f64>> =
            net.parameters().iter().map(|(_, p)| p.gradient.clone()).collect();
        for (k, gradient) in gradients.iter().enumerate() {
            for at in ndarray::indices(gradient.dim()) {
                let mut moved = |step: f64| {
                    net.parameters()[k].1.value[at] += step;
                    let value = net.learn_shares(&x, &truth, &pass, 2.0);
                    net.parameters()[k].1.value[at] -= step;
                    2.0 * value
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                // a ReLU within 1e-6 of 0 would show: there is none
                assert!((slope - gradient[at]).abs() < 1e-6, "{loss:?} {k} {at:?}");
            }
        }
    }
}

/// Three types of 30 cells with three genes each; of half of the cells of every type the
/// first of its genes is four times as high.
fn cells() -> Cells {
    let states: Vec<usize> = (0..90).map(|c| c % 2).collect();
    let counts = from_fn((9, 90), |g, c| {
        let own = if g / 3 == c / 30 { 30.0 } else { 3.0 };
        let moved = if g == 3 * (c / 30) && states[c] == 1 { 4.0 } else { 1.0 };
        own * moved + ((g * 7 + c * 5) % 4) as f64
    });
    let types: Vec<usize> = (0..90).map(|c| c / 30).collect();
    let place: Vec<i32> = (0..9).collect();
    let total: Vec<f64> = (0..90).map(|c| counts.column(c).sum()).collect();
    let weight: Vec<f64> = total.iter().map(|t| 100.0 / t).collect();
    let matrix = Matrix::dense(counts.as_slice_memory_order().unwrap(), (9, 90)).unwrap();
    let labels = Labels { types: &types, donors: &[], states: &states };
    let settings = Settings {
        n_types: 3,
        n_cells: 100,
        concentration: 1.0,
        platform_sd: 0.1,
        depth: None,
        seed: 1,
    };
    unmonitored(|m| Cells::new(matrix, &place, &weight, &total, labels, settings, m)).unwrap()
}

fn settings(epochs: usize) -> train::Settings {
    train::Settings {
        epochs,
        batch_size: 32,
        patience: epochs,
        warm_up: 1,
        step: optimiser::Settings { learning_rate: 5e-3, ..optimiser::Settings::default() },
        seed: 7,
    }
}

fn split() -> Split {
    Split { training: (0..320).collect(), validation: (0..64).collect() }
}

fn trained(expression: Expression, epochs: usize) -> (Vec<f64>, Array2<f64>, f64, f64) {
    let cells = cells();
    let programs = expression.programs();
    let told = expression != Expression::None;
    let moments = unmonitored(|m| Moments::of(&cells, 3, told, programs, m)).unwrap();
    let targets = || {
        told.then(|| Targets::new(moments.level.view(), moments.basis.view(), programs).unwrap())
    };
    let scaling = Scaling { centre: &moments.centre, scale: &moments.scale };
    let whole = Architecture { marks: 9, dropout: 0.0, ..architecture(Loss::Absolute, expression) };
    let net = Deconvolver::new(&whole, 7);
    let mut trainer = Trainer::new(net, &cells, scaling, targets(), 1.0, 3).unwrap();
    let before = trainer.validate(&[0; 64]);
    let mut progress = Progress::default();
    let ended =
        unmonitored(|m| train::train(&mut trainer, &split(), &settings(epochs), &mut progress, m));
    assert_eq!(ended, Ok(Reason::MaxEpochs));
    train::use_best(&mut trainer, &progress).unwrap();
    let after = trainer.validate(&[0; 64]);
    let (bulk, truth) = validation_mixtures(&cells, 3, 64);
    let (shares, levels) =
        unmonitored(|m| trainer.net.predict(bulk.view(), scaling, targets().as_ref(), m)).unwrap();
    // what is validated on is what validation_mixtures() gives
    let l1 = shares.iter().zip(&truth).map(|(p, t)| (p - t).abs()).sum::<f64>() / 192.0;
    assert!((l1 - after.misfit).abs() < 1e-6);
    assert!(after.total() < before.total());
    let parameters = trainer.net.parameters();
    let weights: Vec<f64> =
        parameters.iter().flat_map(|(_, p)| p.value.map(|v| f64::from(*v))).collect();
    (
        weights,
        levels.unwrap_or(shares),
        after.misfit,
        after.prior / before.prior.max(f64::MIN_POSITIVE),
    )
}

#[test]
fn a_training_learns_the_shares_and_its_bits_do_not_depend_on_threads() {
    let run = |threads| with_threads(threads, || trained(Expression::None, 60)).unwrap();
    let one = run(1);
    // shares that are all taken for 1/3 err by 0.25
    assert!(one.2 < 0.05, "{}", one.2);
    assert!(one.1.iter().all(|s| *s >= 0.0));
    for j in 0..64 {
        assert!((one.1.column(j).sum() - 1.0).abs() < 1e-6);
    }
    for threads in [2, 3] {
        let other = run(threads);
        assert!(one.0 == other.0 && one.1 == other.1);
    }
}

#[test]
fn programs_are_learned_beside_shares() {
    let run = |threads| with_threads(threads, || trained(Expression::Programs(1), 60)).unwrap();
    let one = run(1);
    // the state of three types from nine genes: most of what the program holds
    assert!(one.3 < 0.4, "{}", one.3);
    assert!(one.2 < 0.05, "{}", one.2);
    assert_eq!(one.1.dim(), (27, 64));
    let other = run(2);
    assert!(one.0 == other.0 && one.1 == other.1);
}

#[test]
fn profiles_are_learned_by_a_u_net() {
    let size = crate::networks::unet::Size { width: 8, channels: vec![4, 8] };
    let run =
        |threads| with_threads(threads, || trained(Expression::UNet(size.clone()), 60)).unwrap();
    let one = run(1);
    assert!(one.3 < 0.4, "{}", one.3);
    let other = run(3);
    assert!(one.0 == other.0 && one.1 == other.1);
}

#[test]
fn programs_that_are_all_there_are_have_the_loss_of_the_profiles() {
    let cells = cells();
    let moments = unmonitored(|m| Moments::of(&cells, 3, true, 9, m)).unwrap();
    let mut mixtures = crate::networks::mixtures::Mixtures::default();
    cells.mix(9, 0..20, true, &mut mixtures);
    let make = |programs: usize| {
        let basis = moments.basis.slice(ndarray::s![.., ..3 * programs]);
        Targets::new(moments.level.view(), basis, programs).unwrap()
    };
    // deviations that are taken for 0
    let (mut whole, mut parts) = (make(0), make(9));
    let zero = zeros::<f32>((27, 20));
    let one = whole.loss(&cells, &mixtures, &zero, None);
    let other = parts.loss(&cells, &mixtures, &zero, None);
    assert!((one / other - 1.0).abs() < 1e-4, "{one} {other}");
    // a parabola: central differences of any step are its slope
    let y = from_fn((27, 20), |i, j| ((i * 3 + j * 7) as f32 * 0.9).sin());
    let mut slope = zeros((27, 20));
    whole.loss(&cells, &mixtures, &y, Some(&mut slope));
    let mut up = y.clone();
    let mut down = y.clone();
    up.zip_mut_with(&slope, |u, s| *u += 100.0 * s);
    down.zip_mut_with(&slope, |d, s| *d -= 100.0 * s);
    let found =
        whole.loss(&cells, &mixtures, &up, None) - whole.loss(&cells, &mixtures, &down, None);
    let expected = 200.0 * slope.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
}

#[test]
fn moments_are_those_of_mixtures_and_bases_orthonormal() {
    let moments = unmonitored(|m| Moments::of(&cells(), 3, true, 2, m)).unwrap();
    assert_eq!((moments.level.dim(), moments.basis.dim()), ((9, 3), (9, 6)));
    for k in 0..3 {
        let own = moments.basis.slice(ndarray::s![.., 2 * k..2 * k + 2]);
        let products = own.t().dot(&own);
        for (at, v) in products.indexed_iter() {
            let expected = if at.0 == at.1 { 1.0 } else { 0.0 };
            assert!((v - expected).abs() < 1e-8, "{products}");
        }
        // the gene that states differ in rises where shares of all others fall
        let first = own.column(0);
        assert!((0..9).all(|g| (g == 3 * k) || first[g] * first[3 * k] < 0.0), "{first}");
    }
}
