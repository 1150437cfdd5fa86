//! Passes forward and back, and training.

use super::data::{Batch, Data};
use super::{Autoencoder, Dispersions, Likelihood, Signals};
use crate::base::rng::{stream, Purpose};
use crate::matrix::{ArrayRef2, ArrayView2, Columns};
use crate::networks::counts::{Cells, Outputs};
use crate::networks::layer::{Layer, Named, Pass};
use crate::networks::loss::{divergence, gaussian, LOG_VARIANCE};
use crate::networks::tensor::{first, first_mut, reserve, Scalar};
use crate::networks::train::{Learner, Step, Value};
use crate::CoreError;
use rand_distr::{Distribution, StandardNormal};

/// Cells that are decoded together in evaluation.
pub(super) const CELLS: usize = 128;

impl<T: Scalar> Autoencoder<T> {
    /// m and v (or the code alone) of a batch: (2) codes × cells.
    pub(super) fn encode(&mut self, batch: &Batch<T>, pass: &Pass) -> ArrayView2<'_, T> {
        let n = batch.len();
        let size = self.input.0.n_outputs();
        reserve(&mut self.signals.first, size, n);
        self.input.forward(batch.inputs.view(), &mut first_mut(&mut self.signals.first, n));
        if self.encoder.is_empty() {
            return first(&self.signals.first, n);
        }
        self.encoder.forward(&first(&self.signals.first, n), pass)
    }

    /// m, v and z of a batch; draws are those of `noise`.  v is kept within its bounds.
    pub(super) fn sample(
        &mut self,
        batch: &Batch<T>,
        pass: &Pass,
        mut noise: impl FnMut(usize, &mut [T]),
    ) -> f64 {
        let (k, n) = (self.architecture.latent, batch.len());
        let (rows, variational) = (k + self.architecture.batches, self.architecture.variational);
        let mut code = std::mem::take(&mut self.signals.code);
        let mut draws = std::mem::take(&mut self.signals.noise);
        reserve(&mut code, rows, n);
        reserve(&mut draws, k, n);
        let codes = self.encode(batch, pass);
        let mut prior = 0.0;
        for j in 0..n {
            let (codes, z) = (codes.column(j), code.col_mut(j));
            z[k..].fill(T::of(0.0));
            if rows > k {
                z[k + batch.group[j]] = T::of(1.0);
            }
            if variational {
                noise(j, draws.col_mut(j));
            }
            for i in 0..k {
                z[i] = codes[i];
                if variational {
                    let v = codes[k + i].double().clamp(LOG_VARIANCE.0, LOG_VARIANCE.1);
                    prior += divergence(codes[i].double(), v);
                    z[i] += T::of((0.5 * v).exp()) * draws[(i, j)];
                }
            }
        }
        self.signals.code = code;
        self.signals.noise = draws;
        prior
    }

    /// η (and a) for the code in `signals`.
    pub(super) fn decode(&mut self, n: usize, pass: &Pass) {
        let signals = &mut self.signals;
        reserve(&mut signals.output, self.architecture.genes, n);
        let code = first(&signals.code, n);
        let hidden = if self.decoder.is_empty() { code } else { self.decoder.forward(&code, pass) };
        self.output.forward(&hidden, &mut first_mut(&mut signals.output, n), pass);
        if let Some(odds) = &mut self.odds {
            reserve(&mut signals.odds, self.architecture.genes, n);
            odds.forward(&hidden, &mut first_mut(&mut signals.odds, n), pass);
        }
    }

    /// −ln p(x | z) of each cell, in `signals.losses`.  With `scale`, gradients of `scale`
    /// times their sum take the place of the outputs.
    pub(super) fn misfit(&mut self, batch: &Batch<T>, scale: Option<f64>) -> f64 {
        let n = batch.len();
        self.signals.losses.resize(n, 0.0);
        let losses = &mut self.signals.losses[..n];
        let mut logits = first_mut(&mut self.signals.output, n);
        let r = &self.spread.value;
        let slope = &mut self.spread.gradient;
        if self.architecture.likelihood == Likelihood::Gaussian {
            slope.fill(T::of(0.0));
            let by_group = self.architecture.dispersions == Dispersions::GeneBatch;
            for (j, loss) in losses.iter_mut().enumerate() {
                let (eta, x) = (logits.col_mut(j), batch.values.view().column(j).1);
                let group = if by_group { batch.group[j] } else { 0 };
                *loss = 0.0;
                for (g, eta) in eta.iter_mut().enumerate() {
                    let row = if r.nrows() == 1 { 0 } else { g };
                    let (value, by_mean, by_r) = gaussian(x[g], *eta, r[(row, group)]);
                    *loss += value.double();
                    if let Some(scale) = scale {
                        *eta = by_mean * T::of(scale);
                        slope[(row, group)] += by_r * T::of(scale);
                    }
                }
            }
        } else {
            let mut odds = self.odds.is_some().then(|| first_mut(&mut self.signals.odds, n));
            let odds: Option<&mut ArrayRef2<T>> = odds.as_deref_mut();
            let cells = Cells {
                counts: batch.values.view(),
                log_size: &batch.log_size,
                group: &batch.group,
            };
            let outputs = Outputs { logits: &mut logits, odds };
            self.loss.evaluate(cells, outputs, r, scale.map(|scale| (slope, scale)), losses);
        }
        losses.iter().sum()
    }

    /// Gradients by all parameters, after `misfit` with a scale.
    fn backward(&mut self, batch: &Batch<T>, weight: f64) {
        let (k, n) = (self.architecture.latent, batch.len());
        let variational = self.architecture.variational;
        let Signals {
            first: h,
            noise,
            code,
            output,
            odds,
            by_first,
            by_codes,
            by_code,
            by_hidden,
            by_hidden_too: too,
            ..
        } = &mut self.signals;
        let code = first(code, n);
        let hidden = if self.decoder.is_empty() { code } else { self.decoder.output(n) };
        let width = hidden.nrows();
        reserve(by_hidden, width, n);
        let dy = first(output, n);
        self.output.backward(&hidden, &dy, &dy, Some(&mut first_mut(by_hidden, n)));
        if let Some(layer) = &mut self.odds {
            reserve(too, width, n);
            let dy = first(odds, n);
            layer.backward(&hidden, &dy, &dy, Some(&mut first_mut(too, n)));
            first_mut(by_hidden, n).zip_mut_with(&first(too, n), |d, e| *d += *e);
        }
        reserve(by_code, code.nrows(), n);
        if self.decoder.is_empty() {
            first_mut(by_code, n).assign(&first(by_hidden, n));
        } else {
            let dx = &mut first_mut(by_code, n);
            self.decoder.backward(&code, &first(by_hidden, n), Some(dx));
        }
        let codes = if self.encoder.is_empty() { first(h, n) } else { self.encoder.output(n) };
        reserve(by_codes, codes.nrows(), n);
        for j in 0..n {
            let (codes, dz, d) = (codes.column(j), by_code.col(j), by_codes.col_mut(j));
            for i in 0..k {
                d[i] = dz[i];
                if variational {
                    let (m, v) = (codes[i].double(), codes[k + i].double());
                    d[i] += T::of(weight * m);
                    let inside = v > LOG_VARIANCE.0 && v < LOG_VARIANCE.1;
                    let by_noise = (dz[i] * noise[(i, j)]).double() * 0.5 * (0.5 * v).exp();
                    let by_prior = 0.5 * weight * (v.exp() - 1.0);
                    d[k + i] = T::of(if inside { by_noise + by_prior } else { 0.0 });
                }
            }
        }
        let by_codes = first(by_codes, n);
        if self.encoder.is_empty() {
            self.input.backward(batch.inputs.view(), &by_codes);
        } else {
            reserve(by_first, h.nrows(), n);
            self.encoder.backward(&first(h, n), &by_codes, Some(&mut first_mut(by_first, n)));
            self.input.backward(batch.inputs.view(), &first(by_first, n));
        }
    }

    /// The loss of a batch and its gradients: means over cells, the divergence weighed by
    /// `warmth`.
    pub(super) fn learn(
        &mut self,
        batch: &Batch<T>,
        pass: &Pass,
        warmth: f64,
        noise: impl FnMut(usize, &mut [T]),
    ) -> Value {
        let share = 1.0 / batch.len() as f64;
        let prior = self.sample(batch, pass, noise);
        self.decode(batch.len(), pass);
        let misfit = self.misfit(batch, Some(share));
        self.backward(batch, warmth * share);
        Value { misfit: misfit * share, prior: prior * share }
    }
}

/// Standard normal draws of a cell, the same at every pass.
pub(super) fn cell_noise<T: Scalar>(seed: u64, cell: usize) -> impl FnMut(&mut [T]) {
    // beyond the steps of any training
    let mut rng = stream(seed, Purpose::LatentNoise, 1 << 40 | cell);
    move |out: &mut [T]| {
        for v in out {
            let draw: f64 = StandardNormal.sample(&mut rng);
            *v = T::of(draw);
        }
    }
}

/// An autoencoder and its cells.
pub struct Trainer<'d, T> {
    pub net: Autoencoder<T>,
    data: Data<'d>,
    batch: Batch<T>,
    seed: u64,
    failed: Option<CoreError>,
}

impl<'d, T: Scalar> Trainer<'d, T> {
    pub fn new(net: Autoencoder<T>, data: Data<'d>, seed: u64) -> Self {
        Trainer { batch: Batch::new(&net.architecture), net, data, seed, failed: None }
    }

    fn gather(&mut self, items: &[usize]) -> bool {
        let gathered = self.batch.gather(&self.data, items, &self.net.architecture);
        self.failed = gathered.err().or(self.failed.take());
        self.failed.is_none()
    }

    /// Why cells could not be read.
    pub fn failure(&self) -> Option<CoreError> {
        self.failed.clone()
    }
}

impl<T: Scalar> Learner for Trainer<'_, T> {
    type Number = T;

    fn parameters(&mut self) -> Vec<Named<'_, T>> {
        self.net.parameters()
    }

    fn learn(&mut self, items: &[usize], step: &Step) -> Value {
        if !self.gather(items) {
            return Value { misfit: f64::NAN, prior: 0.0 };
        }
        let mut rng = stream(step.seed, Purpose::LatentNoise, step.number);
        self.net.learn(&self.batch, &step.pass(), step.warmth, |_, out| {
            for v in out {
                let draw: f64 = StandardNormal.sample(&mut rng);
                *v = T::of(draw);
            }
        })
    }

    fn validate(&mut self, items: &[usize]) -> Value {
        let mut value = Value::default();
        for cells in items.chunks(CELLS) {
            if !self.gather(cells) {
                return Value { misfit: f64::NAN, prior: 0.0 };
            }
            let seed = self.seed;
            let noise = |j: usize, out: &mut [T]| cell_noise(seed, cells[j])(out);
            value.prior += self.net.sample(&self.batch, &Pass::PREDICTION, noise);
            self.net.decode(cells.len(), &Pass::PREDICTION);
            value.misfit += self.net.misfit(&self.batch, None);
        }
        let n = items.len() as f64;
        Value { misfit: value.misfit / n, prior: value.prior / n }
    }
}
