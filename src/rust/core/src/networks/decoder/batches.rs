//! What goes into the network of a decoder, and what should come out of it.

use super::{Architecture, Inputs, Params, Start};
use crate::base::error::check_length;
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg;
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, Columns};
use crate::networks::layer::{Named, Pass};
use crate::networks::loss::Loss;
use crate::networks::sequential::Sequential;
use crate::networks::tensor::{add_product_into, first, first_mut, product_into, reserve};
use crate::networks::train::{Learner, Step, Value};
use crate::sensing::decoder::{leverage, Learned, Training};
use crate::CoreError;
use rand_distr::{Distribution, StandardNormal};

/// Samples that are predicted together.
const SAMPLES: usize = 128;
/// Held-out samples are measured anew, each with other noise, until there are so many
/// readings, at most so many times.
const ENOUGH_READINGS: usize = 256;
const MOST_DRAWS: usize = 8;

/// Training samples in the coordinates z of ridge, in which readings are z + ε with the
/// noise ε of one variance in all directions.
pub(super) struct Task<'a> {
    profiles: ArrayView2<'a, f64>,
    ridge: &'a Learned,
    /// 1 / (1 − h) of ridge, or of the mean for a network without it.
    growth: Vec<f64>,
    /// The same of ridge alone.
    doubt_growth: Vec<f64>,
    z: Array2<f32>,
    /// −B / s on z; without columns where B is 0.
    line: Array2<f32>,
    /// P on z; without columns where inputs are given.
    map: Array2<f32>,
    given: Option<Given>,
    noise: f64,
    /// P, inputs × measurements.
    pub(super) coordinates: Array2<f64>,
    pub(super) scale: f64,
    loss: Loss,
    seed: u64,
}

struct Given {
    values: Array2<f32>,
    /// ε of the readings, directions × samples.
    noise: Array2<f32>,
}

impl<'a> Task<'a> {
    /// # Errors
    /// `Shape` for inputs of other samples or measurements.
    pub(super) fn new(
        training: &'a Training<'_>,
        ridge: &'a Learned,
        inputs: Option<&Inputs<'_>>,
        params: &Params,
    ) -> Result<Self, CoreError> {
        let own = &ridge.ridge;
        let (genes, n) = training.profiles.dim();
        let k = own.z.nrows();
        let doubt_growth: Vec<f64> = own.freedoms().iter().map(|free| 1.0 / free).collect();
        let spread = || {
            let square = |g: usize| {
                let row = training.profiles.row(g);
                row.iter().map(|x| (x - own.mean[g]).powi(2)).sum::<f64>()
            };
            (0..genes).map(square).sum::<f64>() / (genes * n) as f64
        };
        let (growth, variance) = match params.start {
            Start::Ridge => (doubt_growth.clone(), own.error / genes as f64),
            Start::Zero => (vec![n as f64 / (n as f64 - 1.0); n], spread()),
        };
        // profiles that ridge tells to the last digit leave nothing to scale by
        let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let line = match params.start {
            Start::Ridge => from_fn((genes, k), |g, i| (-own.weights[(g, i)] / scale) as f32),
            Start::Zero => zeros((genes, 0)),
        };
        let given = inputs.map(|inputs| given(inputs, training, ridge)).transpose()?;
        let (map, coordinates) = match (&given, params.start) {
            (Some(_), _) => (zeros((0, 0)), zeros((0, training.weights.ncols()))),
            (None, Start::Ridge) => {
                let size = |i: usize| (n as f64 / own.scale[i]).sqrt();
                let map = from_fn((k, k), |i, j| if i == j { size(i) as f32 } else { 0.0 });
                (map, from_fn(own.turn.dim(), |i, j| size(i) * own.turn[(i, j)]))
            }
            (None, Start::Zero) => standardised(ridge),
        };
        let z = from_fn((k, n), |i, j| own.z[(i, j)] as f32);
        Ok(Task {
            profiles: training.profiles.view(),
            ridge,
            growth,
            doubt_growth,
            z,
            line,
            map,
            given,
            noise: ridge.noise.sqrt(),
            coordinates,
            scale,
            loss: params.loss,
            seed: params.seed,
        })
    }

    #[cfg(test)]
    pub(super) fn samples(&self) -> usize {
        self.profiles.ncols()
    }

    pub(super) fn architecture(&self, params: &Params) -> Architecture {
        let inputs = match &self.given {
            Some(given) => given.values.nrows(),
            None => self.map.nrows(),
        };
        let (hidden, dropout) = (params.hidden.clone(), params.dropout);
        let genes = self.profiles.nrows();
        Architecture { inputs, hidden, genes, dropout, start: params.start }
    }

    /// By what mean losses are multiplied to be those of a sample.
    fn unit(&self) -> f64 {
        match self.loss {
            Loss::Correlation => 1.0,
            _ => self.profiles.nrows() as f64 * self.scale.powi(2),
        }
    }

    fn draws(&self, items: usize) -> usize {
        match self.noise > 0.0 && self.given.is_none() {
            true => ENOUGH_READINGS.div_ceil(items.max(1)).min(MOST_DRAWS),
            false => 1,
        }
    }
}

/// Standard normal numbers of a held-out sample, the same at every pass.
fn fixed_noise(seed: u64, draw: usize, item: usize, out: &mut [f32]) {
    // beyond the steps of any training
    let mut rng = stream(seed, Purpose::DecoderNoise, 1 << 47 | draw << 40 | item);
    fill(&mut rng, out);
}

fn fill(rng: &mut impl rand::Rng, out: &mut [f32]) {
    for value in out {
        let normal: f64 = StandardNormal.sample(rng);
        *value = normal as f32;
    }
}

fn given(
    inputs: &Inputs<'_>,
    training: &Training<'_>,
    ridge: &Learned,
) -> Result<Given, CoreError> {
    let own = &ridge.ridge;
    let n = training.profiles.ncols();
    check_length("inputs (samples)", n, inputs.values.ncols())?;
    check_length("readings (samples)", n, inputs.readings.ncols())?;
    check_length("readings (measurements)", own.centre.len(), inputs.readings.nrows())?;
    let shifted = from_fn(inputs.readings.dim(), |i, j| inputs.readings[(i, j)] - own.centre[i]);
    let seen = linalg::product(&own.turn, &shifted);
    Ok(Given {
        values: from_fn(inputs.values.dim(), |i, j| inputs.values[(i, j)] as f32),
        noise: from_fn(seen.dim(), |i, j| (seen[(i, j)] - own.z[(i, j)]) as f32),
    })
}

/// Readings over their standard deviations, noise included: as a map of z, and of y − ȳ.
fn standardised(ridge: &Learned) -> (Array2<f32>, Array2<f64>) {
    let own = &ridge.ridge;
    let (k, n) = own.z.dim();
    let m = own.centre.len();
    // y − ȳ = T⁺ z, as z = T (y − ȳ) and readings have no other part
    let turn = linalg::svd(&own.turn).expect("ridge's coordinates are finite");
    let back = from_fn((m, k), |i, j| {
        (0..k).map(|l| turn.right[(i, l)] * turn.left[(j, l)] / turn.values[l]).sum::<f64>()
    });
    let variance = |j: usize| own.z.row(j).iter().map(|z| z * z).sum::<f64>() / n as f64;
    let of_direction: Vec<f64> = (0..k).map(|j| variance(j) + ridge.noise).collect();
    let size: Vec<f64> = (0..m)
        .map(|i| {
            let square: f64 = (0..k).map(|j| back[(i, j)].powi(2) * of_direction[j]).sum();
            if square > 0.0 {
                1.0 / square.sqrt()
            } else {
                0.0
            }
        })
        .collect();
    let map = from_fn((m, k), |i, j| (size[i] * back[(i, j)]) as f32);
    (map, from_fn((m, m), |i, j| if i == j { size[i] } else { 0.0 }))
}

/// A network, its task, and room for a batch.
pub(super) struct Trainer<'t, 'a> {
    pub(super) net: Sequential<f32>,
    task: &'t Task<'a>,
    noise: Array2<f32>,
    seen: Array2<f32>,
    pulled: Array2<f32>,
    input: Array2<f32>,
    target: Array2<f32>,
    whole: Array2<f32>,
    predicted: Array2<f32>,
    slope: Array2<f32>,
}

impl<'t, 'a> Trainer<'t, 'a> {
    pub(super) fn new(net: Sequential<f32>, task: &'t Task<'a>) -> Self {
        let none = || zeros((0, 0));
        Trainer {
            net,
            task,
            noise: none(),
            seen: none(),
            pulled: none(),
            input: none(),
            target: none(),
            whole: none(),
            predicted: none(),
            slope: none(),
        }
    }

    #[cfg(test)]
    pub(super) fn input(&self) -> &Array2<f32> {
        &self.input
    }

    /// Takes samples, with standard normal noise.
    fn gather(&mut self, items: &[usize], mut noise: impl FnMut(usize, &mut [f32])) {
        let task = self.task;
        let (genes, n, k) = (task.profiles.nrows(), items.len(), task.z.nrows());
        for buffer in [&mut self.noise, &mut self.seen, &mut self.pulled] {
            reserve(buffer, k, n);
        }
        reserve(&mut self.target, genes, n);
        let sd = task.noise as f32;
        for (j, &item) in items.iter().enumerate() {
            let (e, seen) = (self.noise.col_mut(j), self.seen.col_mut(j));
            let pulled = self.pulled.col_mut(j);
            match &task.given {
                Some(given) => e.copy_from_slice(given.noise.col(item)),
                None if sd > 0.0 => {
                    noise(item, e);
                    e.iter_mut().for_each(|e| *e *= sd);
                }
                None => e.fill(0.0),
            }
            let growth = task.growth[item];
            for (i, z) in task.z.col(item).iter().enumerate() {
                seen[i] = z + e[i];
                pulled[i] = growth as f32 * z + e[i];
            }
            let (x, target) = (task.profiles.column(item), self.target.col_mut(j));
            let by = growth / task.scale;
            for (g, target) in target.iter_mut().enumerate() {
                *target = ((x[g] - task.ridge.ridge.mean[g]) * by) as f32;
            }
        }
        if task.line.ncols() > 0 {
            let pulled = first(&self.pulled, n);
            add_product_into(&mut first_mut(&mut self.target, n), &task.line, &pulled);
        }
        match &task.given {
            Some(given) => {
                reserve(&mut self.input, given.values.nrows(), n);
                for (j, &item) in items.iter().enumerate() {
                    self.input.col_mut(j).copy_from_slice(given.values.col(item));
                }
            }
            None => {
                reserve(&mut self.input, task.map.nrows(), n);
                let seen = first(&self.seen, n);
                product_into(&mut first_mut(&mut self.input, n), &task.map, &seen);
            }
        }
    }

    /// Loss of the batch and its gradient by the network's output.
    fn misfit(&mut self, items: &[usize], pass: &Pass) -> f64 {
        let (task, n) = (self.task, items.len());
        let genes = task.profiles.nrows();
        reserve(&mut self.predicted, genes, n);
        reserve(&mut self.slope, genes, n);
        let output = self.net.forward(&first(&self.input, n), pass);
        let mut predicted = first_mut(&mut self.predicted, n);
        predicted.assign(&output);
        let loss = match task.loss {
            Loss::Correlation => {
                // of whole profiles: what the network is added to is x / s − target
                reserve(&mut self.whole, genes, n);
                let mut whole = first_mut(&mut self.whole, n);
                for (j, &item) in items.iter().enumerate() {
                    let (x, target) = (task.profiles.column(item), self.target.col(j));
                    let (whole, y) = (whole.col_mut(j), predicted.col_mut(j));
                    for g in 0..genes {
                        whole[g] = (x[g] / task.scale) as f32;
                        y[g] += whole[g] - target[g];
                    }
                }
                task.loss.slope(&predicted, &whole, &mut first_mut(&mut self.slope, n))
            }
            loss => {
                let target = first(&self.target, n);
                loss.slope(&predicted, &target, &mut first_mut(&mut self.slope, n))
            }
        };
        loss * task.unit()
    }

    /// Hands to `take` each held-out reading's sample, its doubt, and errors of the genes.
    pub(super) fn errors(&mut self, items: &[usize], mut take: impl FnMut(f64, &mut [f64])) {
        let task = self.task;
        let own = &task.ridge.ridge;
        let share = 1.0 / own.z.ncols() as f64;
        let mut errors = vec![0.0; task.profiles.nrows()];
        let mut place = vec![0.0; own.z.nrows()];
        for draw in 0..task.draws(items.len()) {
            for part in items.chunks(SAMPLES) {
                self.gather(part, |item, out| fixed_noise(task.seed, draw, item, out));
                let output = self.net.forward(&first(&self.input, part.len()), &Pass::PREDICTION);
                for (j, &item) in part.iter().enumerate() {
                    let (y, t) = (output.column(j), self.target.col(j));
                    for (g, error) in errors.iter_mut().enumerate() {
                        *error = task.scale * f64::from(y[g] - t[g]);
                    }
                    place.iter_mut().zip(self.seen.col(j)).for_each(|(p, z)| *p = f64::from(*z));
                    let doubt = leverage(&place, &own.scale) * task.doubt_growth[item] + share;
                    take(doubt, &mut errors);
                }
            }
        }
    }
}

impl Learner for Trainer<'_, '_> {
    type Number = f32;

    fn parameters(&mut self) -> Vec<Named<'_, f32>> {
        self.net.parameters()
    }

    fn learn(&mut self, items: &[usize], step: &Step) -> Value {
        let mut rng = stream(step.seed, Purpose::DecoderNoise, step.number);
        self.gather(items, |_, out| fill(&mut rng, out));
        let misfit = self.misfit(items, &step.pass());
        let n = items.len();
        self.net.backward(&first(&self.input, n), &first(&self.slope, n), None);
        Value { misfit, prior: 0.0 }
    }

    fn validate(&mut self, items: &[usize]) -> Value {
        let task = self.task;
        let draws = task.draws(items.len());
        let mut sum = 0.0;
        for draw in 0..draws {
            for part in items.chunks(SAMPLES) {
                self.gather(part, |item, out| fixed_noise(task.seed, draw, item, out));
                sum += self.misfit(part, &Pass::PREDICTION) * part.len() as f64;
            }
        }
        Value { misfit: sum / (draws * items.len()) as f64, prior: 0.0 }
    }
}
