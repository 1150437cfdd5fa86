//! What a trained autoencoder says of cells.

use super::data::{Batch, Data};
use super::learn::{cell_noise, CELLS};
use super::{Autoencoder, Likelihood};
use crate::base::parallel::Monitor;
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2, Columns};
use crate::networks::layer::Pass;
use crate::networks::loss::LOG_VARIANCE;
use crate::networks::tensor::{reserve, Scalar};
use crate::CoreError;

/// Expected counts, or standardised values, genes × cells.
pub struct Rates {
    /// μ; with zeros on top, of what is no such zero.
    pub mean: Array2<f64>,
    /// π, for zeros on top.
    pub structural: Option<Array2<f64>>,
}

/// Of a cell: lower bounds of ln p(x), by a draw of the code, and by several (importance
/// weights; Burda, Grosse and Salakhutdinov 2016), which is the nearer one.
pub struct Bounds {
    pub elbo: f64,
    pub weighted: f64,
}

impl<T: Scalar> Autoencoder<T> {
    /// Posterior means and standard deviations of the codes, codes × cells; without the
    /// variational part the latter are 0.
    ///
    /// # Errors
    /// `Interrupted`; `Argument` beyond 2³¹ − 1 entries.
    pub fn codes(
        &mut self,
        data: &Data<'_>,
        monitor: &Monitor<'_>,
    ) -> Result<(Array2<f64>, Array2<f64>), CoreError> {
        let (k, n) = (self.architecture.latent, data.n_cells());
        let (mut mean, mut sd) = (zeros((k, n)), zeros((k, n)));
        let mut batch = Batch::new(&self.architecture);
        let cells: Vec<usize> = (0..n).collect();
        for cells in cells.chunks(CELLS) {
            monitor.check()?;
            batch.gather(data, cells, &self.architecture)?;
            let codes = self.encode(&batch, &Pass::PREDICTION);
            for (j, &cell) in cells.iter().enumerate() {
                for i in 0..k {
                    mean[(i, cell)] = codes[(i, j)].double();
                    if codes.nrows() > k {
                        let v = codes[(k + i, j)].double();
                        sd[(i, cell)] = (0.5 * v.clamp(LOG_VARIANCE.0, LOG_VARIANCE.1)).exp();
                    }
                }
            }
        }
        Ok((mean, sd))
    }

    /// What codes (codes × cells) stand for, in cells of a batch and of a size.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn rates(
        &mut self,
        codes: &ArrayRef2<f64>,
        batch: &[usize],
        log_size: &[f64],
        monitor: &Monitor<'_>,
    ) -> Result<Rates, CoreError> {
        let (genes, n) = (self.architecture.genes, codes.ncols());
        let (k, rows) = (codes.nrows(), self.architecture.latent + self.architecture.batches);
        let mut mean = zeros((genes, n));
        let mut structural = self.odds.is_some().then(|| zeros((genes, n)));
        let all: Vec<usize> = (0..n).collect();
        for cells in all.chunks(CELLS) {
            monitor.check()?;
            reserve(&mut self.signals.code, rows, cells.len());
            for (j, &cell) in cells.iter().enumerate() {
                let z = self.signals.code.col_mut(j);
                z.fill(T::of(0.0));
                z.iter_mut().zip(codes.col(cell)).for_each(|(z, c)| *z = T::of(*c));
                if rows > k {
                    z[k + batch[cell]] = T::of(1.0);
                }
            }
            self.decode(cells.len(), &Pass::PREDICTION);
            for (j, &cell) in cells.iter().enumerate() {
                let (out, eta) = (mean.col_mut(cell), self.signals.output.col(j));
                out.iter_mut().zip(eta).for_each(|(o, v)| *o = v.double());
                if self.architecture.likelihood != Likelihood::Gaussian {
                    to_means(out, log_size[cell]);
                }
                if let Some(structural) = &mut structural {
                    let (out, a) = (structural.col_mut(cell), self.signals.odds.col(j));
                    out.iter_mut().zip(a).for_each(|(o, a)| *o = 1.0 / (1.0 + (-a.double()).exp()));
                }
            }
        }
        Ok(Rates { mean, structural })
    }

    /// Bounds of each cell.  Draws are named by the seed and the cell, so that more of them
    /// begin with the same; the first is that of the validation.
    ///
    /// # Errors
    /// `Interrupted`; `Argument` beyond 2³¹ − 1 entries.
    pub fn bounds(
        &mut self,
        data: &Data<'_>,
        samples: usize,
        seed: u64,
        monitor: &Monitor<'_>,
    ) -> Result<Vec<Bounds>, CoreError> {
        let k = self.architecture.latent;
        let mut batch = Batch::new(&self.architecture);
        let mut out = Vec::with_capacity(data.n_cells());
        for cell in 0..data.n_cells() {
            monitor.check()?;
            monitor.advance(1);
            let mut draw = cell_noise::<T>(seed, cell);
            let mut weights = Vec::with_capacity(samples);
            let mut elbo = f64::NAN;
            for done in (0..samples).step_by(CELLS) {
                let n = CELLS.min(samples - done);
                batch.gather(data, &vec![cell; n], &self.architecture)?;
                let prior = self.sample(&batch, &Pass::PREDICTION, |_, out| draw(out)) / n as f64;
                let codes = match self.encoder.is_empty() {
                    true => self.signals.first.column(0).to_owned(),
                    false => self.encoder.output(n).column(0).to_owned(),
                };
                self.decode(n, &Pass::PREDICTION);
                self.misfit(&batch, None);
                if done == 0 {
                    elbo = -self.signals.losses[0] - prior;
                }
                for j in 0..n {
                    let (z, noise) = (self.signals.code.col(j), self.signals.noise.col(j));
                    let mut log = -self.signals.losses[j];
                    if self.architecture.variational {
                        // ln p(z) − ln q(z)
                        for i in 0..k {
                            let v = codes[k + i].double().clamp(LOG_VARIANCE.0, LOG_VARIANCE.1);
                            let (z, e) = (z[i].double(), noise[i].double());
                            log += 0.5 * (e * e + v - z * z);
                        }
                    }
                    weights.push(log);
                }
            }
            out.push(Bounds { elbo, weighted: log_mean_exp(&weights) });
        }
        Ok(out)
    }

    /// ln θ or ln σ² of each gene, a column per group or one.
    pub fn spread(&self) -> Array2<f64> {
        let (rows, value) = (self.architecture.genes, &self.spread.value);
        from_fn((rows, value.ncols()), |g, k| {
            value[(if value.nrows() == 1 { 0 } else { g }, k)].double()
        })
    }
}

fn to_means(eta: &mut [f64], log_size: f64) {
    let top = eta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = eta.iter().map(|v| (v - top).exp()).sum();
    let shift = log_size - top - total.ln();
    eta.iter_mut().for_each(|v| *v = (*v + shift).exp());
}

fn log_mean_exp(x: &[f64]) -> f64 {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + (x.iter().map(|v| (v - top).exp()).sum::<f64>() / x.len() as f64).ln()
}
