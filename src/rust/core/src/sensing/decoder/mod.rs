//! Decoders learned from whole profiles x and the measurements y = A (x + e) that
//! they would give: x̂ = f(y) for all genes at once, without modules.
//!
//! * [`ridge`]: the best linear answer, its penalty by leave-one-out error in closed
//!   form.
//! * [`kernel`]: what ridge leaves, by kernel ridge regression with Gaussian
//!   bells ([`bells`]) around landmarks.
//! * [`recover`]: profiles and standard errors of new readings.
//!
//! The noise e of a measurement is never drawn: every sum over training samples is
//! replaced by its expectation over e, which is in closed form for both.  For ridge
//! this is the well-known equality of training with noise and a penalty (Bishop,
//! Neural Computation 7:108, 1995).

mod bells;
mod checked;
mod folds;
mod kernel;
mod recover;
mod ridge;
mod sums;
#[cfg(test)]
mod tests;

pub(crate) use checked::spread_weight;
pub use kernel::KernelParams;
pub use recover::{recover, Recovered};
pub(crate) use ridge::leverage;

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::{linalg, zeros, Array2, ArrayRef2, ArrayView2};
use ndarray::s;

/// Lines of a product that are worked on together.
const BLOCK: usize = 128;

/// What a decoder is learned from.
pub struct Training<'a> {
    /// Whole profiles, genes × samples.
    pub profiles: ArrayView2<'a, f64>,
    /// Aᵀ, genes × measurements; a row of zeros for a gene that is not measured.
    pub weights: ArrayView2<'a, f64>,
    /// ‖x‖ / ‖e‖ over the measured genes of all samples; infinite for no noise.
    pub snr: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct DecoderParams {
    /// Ridge alone without.
    pub kernel: Option<KernelParams>,
    pub threads: usize,
}

/// A decoder, in the coordinates of readings.
pub struct Decoder<'a> {
    pub linear: Linear<'a>,
    pub kernel: Option<Bells<'a>>,
    /// Per gene: variance of the true value around x̂ where the decoder itself is
    /// certain.
    pub error_variance: &'a [f64],
    /// How far errors grow with the leverage and with the bells' variance.
    pub spread_weight: f64,
}

/// x̄ + B (y − ȳ).
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// x̄, per gene.
    pub mean: &'a [f64],
    /// ȳ, per measurement.
    pub centre: &'a [f64],
    /// B, genes × measurements.
    pub slope: ArrayView2<'a, f64>,
    /// R with ‖R (y − ȳ)‖² + 1/n the leverage of y, directions × measurements.
    pub spread: ArrayView2<'a, f64>,
    /// Mean of ‖R (y − ȳ)‖² over training samples that are left out.
    pub usual_distance: f64,
    /// n.
    pub samples: usize,
}

/// W φ(y), φ_l = exp(−‖P (y − ȳ) − q_l‖²), whose variance over that of a gene is
/// `prior` − φᵀ V φ.
#[derive(Clone, Copy)]
pub struct Bells<'a> {
    /// P, coordinates × measurements.
    pub coordinates: ArrayView2<'a, f64>,
    /// q, coordinates × landmarks.
    pub landmarks: ArrayView2<'a, f64>,
    /// W, genes × landmarks.
    pub coefficients: ArrayView2<'a, f64>,
    /// V, landmarks × landmarks.
    pub certainty: ArrayView2<'a, f64>,
    pub prior: f64,
}

/// A decoder as it is learned.
pub struct Learned {
    pub ridge: ridge::Ridge,
    pub kernel: Option<kernel::Kernel>,
    /// Held-out squared error of what was tried, ridge first.
    pub trials: Vec<Trial>,
    /// Per gene: expected squared error of a sample that was not seen.
    pub gene_error: Vec<f64>,
    pub error_variance: Vec<f64>,
    pub spread_weight: f64,
    /// Variance of e.
    pub noise: f64,
}

/// One setting and its expected squared error per sample, summed over genes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Of the bells, in units of one over the variance of training samples;
    /// `None` for ridge.
    pub sharpness: Option<f64>,
    pub penalty: f64,
    pub error: f64,
}

impl Learned {
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder {
            linear: self.ridge.linear(),
            kernel: self.kernel.as_ref().map(kernel::Kernel::bells),
            error_variance: &self.error_variance,
            spread_weight: self.spread_weight,
        }
    }
}

/// Learns a decoder.
///
/// # Errors
/// `Shape`, `Argument` (fewer than three samples, profiles or weights that do not
/// vary, `snr` not positive), `Threads`, `Interrupted`.
pub fn learn(
    training: &Training<'_>,
    params: &DecoderParams,
    monitor: &Monitor<'_>,
) -> Result<Learned, CoreError> {
    let (genes, samples) = training.profiles.dim();
    check_length("weights (genes)", genes, training.weights.nrows())?;
    check_value("samples", samples as f64, "at least 3", |v| v >= 3.0)?;
    check_value("snr", training.snr, "positive", |v| v > 0.0)?;
    with_threads(params.threads, || {
        let noise = noise_variance(training);
        let ridge = ridge::learn(training, noise, monitor)?;
        monitor.advance(1);
        let mut trials =
            vec![Trial { sharpness: None, penalty: ridge.penalty, error: ridge.error }];
        let found = match &params.kernel {
            Some(params) => kernel::learn(training, noise, &ridge, params, &mut trials, monitor)?,
            None => None,
        };
        let (kernel, gene_error, usual, spread_weight) = match found {
            Some(found) => {
                let weight = found.kernel.spread_weight;
                (Some(found.kernel), found.gene_error, found.usual_spread, weight)
            }
            None => (None, ridge.gene_error.clone(), 1.0 + ridge.usual_leverage(), 1.0),
        };
        // The mean of the stated variance over held-out samples is their mean
        // squared error.
        let error_variance = gene_error.iter().map(|e| e / usual).collect();
        Ok(Learned { ridge, kernel, trials, gene_error, error_variance, spread_weight, noise })
    })?
}

/// Variance of e: over measured genes, as `measure` adds it.
fn noise_variance(training: &Training<'_>) -> f64 {
    if training.snr.is_infinite() {
        return 0.0;
    }
    let measured = |&gene: &usize| training.weights.row(gene).iter().any(|&w| w != 0.0);
    let rows: Vec<usize> = (0..training.weights.nrows()).filter(measured).collect();
    let square = |&gene: &usize| training.profiles.row(gene).iter().map(|x| x * x).sum::<f64>();
    let total: f64 = rows.iter().map(square).sum();
    total / (rows.len() * training.profiles.ncols()).max(1) as f64 / training.snr.powi(2)
}

/// a b, the longer side of the answer in blocks, in parallel.
fn product(
    a: &ArrayRef2<f64>,
    b: &ArrayRef2<f64>,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let mut out = zeros((a.nrows(), b.ncols()));
    if a.nrows() > b.ncols() {
        let work = |rows: std::ops::Range<usize>| Ok(linalg::product(&a.slice(s![rows, ..]), b));
        over_blocks(a.nrows(), BLOCK, monitor, work, |rows, part| {
            out.slice_mut(s![rows, ..]).assign(&part);
        })?;
    } else {
        let work =
            |columns: std::ops::Range<usize>| Ok(linalg::product(a, &b.slice(s![.., columns])));
        over_blocks(b.ncols(), BLOCK, monitor, work, |columns, part| {
            out.slice_mut(s![.., columns]).assign(&part);
        })?;
    }
    Ok(out)
}
