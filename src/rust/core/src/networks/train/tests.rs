use super::*;
use crate::base::parallel::{unmonitored, with_threads};
use crate::matrix::{from_fn, zeros, Columns};
use crate::networks::activation::{Activation, Shape};
use crate::networks::dense::Dense;
use crate::networks::loss::Loss;
use crate::networks::regularise::Dropout;
use crate::networks::sequential::Sequential;
use std::sync::atomic::{AtomicBool, Ordering};

/// A small network that learns y = sin of sums of x, with noise.
struct Waves {
    net: Sequential<f32>,
    x: Array2<f32>,
    y: Array2<f32>,
    poison: bool,
}

const N: usize = 150;

fn waves() -> Waves {
    let x = from_fn((3, N), |i, j| ((i * 17 + j * 29) % 23) as f32 / 11.0 - 1.0);
    let noise = |j: usize| ((j * 37 % 19) as f32 - 9.0) / 20.0;
    let y = from_fn((2, N), |i, j| (2.0 * x[(i, j)] + x[(i + 1, j)]).sin() + noise(j));
    let net = Sequential::new(vec![
        Box::new(Dense::new(3, 40, 1, 0)),
        Box::new(Activation::new(40, Shape::Relu)),
        Box::new(Dropout::new(40, 0.1, 2)),
        Box::new(Dense::new(40, 2, 1, 3)),
    ]);
    Waves { net, x, y, poison: false }
}

fn columns(x: &Array2<f32>, items: &[usize]) -> Array2<f32> {
    from_fn((x.nrows(), items.len()), |i, j| x[(i, items[j])])
}

impl Learner for Waves {
    type Number = f32;

    fn parameters(&mut self) -> Vec<Named<'_, f32>> {
        self.net.parameters()
    }

    fn learn(&mut self, items: &[usize], step: &Step) -> Value {
        let (mut x, y) = (columns(&self.x, items), columns(&self.y, items));
        if self.poison {
            x[(0, 0)] = f32::NAN;
        }
        let predicted = self.net.forward(&x, &step.pass()).to_owned();
        let mut dy = zeros(y.dim());
        let misfit = Loss::Squared.slope(&predicted, &y, &mut dy);
        self.net.backward(&x, &dy, None);
        Value { misfit, prior: 0.0 }
    }

    fn validate(&mut self, items: &[usize]) -> Value {
        let (x, y) = (columns(&self.x, items), columns(&self.y, items));
        let predicted = self.net.forward(&x, &Pass::PREDICTION).to_owned();
        Value { misfit: Loss::Squared.value(&predicted, &y), prior: 0.0 }
    }
}

fn settings(epochs: usize) -> Settings {
    let step = StepSettings { learning_rate: 0.01, ..StepSettings::default() };
    Settings { epochs, batch_size: 32, patience: 10, warm_up: 2, step, seed: 7 }
}

fn weights(learner: &mut Waves) -> Vec<f32> {
    let parameters = learner.parameters();
    parameters.iter().flat_map(|(_, p)| p.entries().to_vec()).collect()
}

#[test]
fn a_training_returns_the_weights_of_its_best_pass() {
    let mut learner = waves();
    let split = Split::random(N, 0.2, 3);
    assert_eq!((split.training.len(), split.validation.len()), (120, 30));
    let mut progress = Progress::default();
    let reason = unmonitored(|m| train(&mut learner, &split, &settings(400), &mut progress, m));
    assert_eq!(reason, Ok(Reason::Patience));
    use_best(&mut learner, &progress).unwrap();
    let best = progress.best.as_ref().unwrap();
    let values: Vec<f64> = progress.trace.iter().map(|e| e.validation.total()).collect();
    let least = values[1..].iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(best.value, least);
    assert_eq!(values.len() - 1 - best.epoch, 10);
    assert_eq!(learner.validate(&split.validation).total(), least);
    // the sine is learned, up to the noise of variance 0.075
    assert!(least < 0.2 && values[0] > 2.0 * least, "{least} {}", values[0]);
}

#[test]
fn bits_do_not_depend_on_threads_or_interruptions() {
    let split = Split::random(N, 0.2, 3);
    let whole = |threads| {
        with_threads(threads, || {
            let (mut learner, mut progress) = (waves(), Progress::default());
            let ended =
                unmonitored(|m| train(&mut learner, &split, &settings(6), &mut progress, m));
            assert_eq!(ended, Ok(Reason::MaxEpochs));
            weights(&mut learner)
        })
        .unwrap()
    };
    let one = whole(1);
    assert!(one == whole(2) && one == whole(3));
    // stopped after three passes, and gone on with in a new learner
    let (mut learner, mut progress) = (waves(), Progress::default());
    let stop = AtomicBool::new(false);
    let report = |done| stop.store(done == 3, Ordering::Relaxed);
    let monitor = Monitor::new(&stop, &report);
    let ended = train(&mut learner, &split, &settings(6), &mut progress, &monitor);
    assert_eq!((ended, progress.trace.len()), (Ok(Reason::Interrupted), 3));
    let mut other = waves();
    let out = arrays(learner.parameters());
    let views: Vec<_> = out.iter().map(|(_, array)| array.view()).collect();
    restore(other.parameters(), &views).unwrap();
    let ended = unmonitored(|m| train(&mut other, &split, &settings(6), &mut progress, m));
    assert_eq!(ended, Ok(Reason::MaxEpochs));
    assert!(weights(&mut other) == one);
}

#[test]
fn another_seed_is_another_training() {
    let split = Split::random(N, 0.2, 3);
    let run = |seed| {
        let (mut learner, mut progress) = (waves(), Progress::default());
        let settings = Settings { seed, ..settings(2) };
        unmonitored(|m| train(&mut learner, &split, &settings, &mut progress, m)).unwrap();
        weights(&mut learner)
    };
    assert!(run(1) == run(1) && run(1) != run(2));
}

#[test]
fn a_training_without_numbers_has_diverged() {
    let mut learner = Waves { poison: true, ..waves() };
    let (split, mut progress) = (Split::random(N, 0.2, 3), Progress::default());
    let ended = unmonitored(|m| train(&mut learner, &split, &settings(6), &mut progress, m));
    assert_eq!(ended, Err(CoreError::Diverged { rate: 0.01 }));
    assert_eq!(progress.skipped, (5, 5));
    assert_eq!(learner.x.col(0).len(), 3);
}
