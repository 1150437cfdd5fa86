//! Whole profiles from composite measurements: y = A x + noise with x ≈ U w
//! gives w from y and A U, and x̂ = U ŵ with standard errors.

use super::codes::expand;
use super::decoding::{Decoded, Decoding, SAMPLE_BLOCK};
use super::pursuit::Factor;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::add_scaled;
use crate::matrix::linalg::product;
use crate::matrix::{column, zeros, Array2, ArrayView2, Columns, Csc, CscBuf};
use ndarray::s;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

pub use super::decoding::Decoder;

/// Samples on which standard errors are checked.
const MOST_EXAMPLES: usize = 300;
const EXAMPLE_SEED: u64 = 0;

/// What [`recover`] works from.
pub struct Measured<'a> {
    /// Measurements × samples.
    pub readings: ArrayView2<'a, f64>,
    /// Aᵀ, genes × measurements.
    pub weights: ArrayView2<'a, f64>,
    /// Genes × modules.
    pub atoms: ArrayView2<'a, f64>,
    /// Variance of each gene around U w.
    pub residual_variance: &'a [f64],
    /// Activities of samples such as those to be recovered: standard errors are
    /// checked on them.
    pub examples: Option<Csc<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct RecoveryParams {
    pub decoder: Decoder,
    /// Modules per sample; not used by least squares, nor by the lasso with a
    /// penalty.
    pub sparsity: usize,
    pub standard_errors: bool,
    /// Standard deviation of a reading's noise, for standard errors; `None` takes
    /// the one that the readings tell, see `Intervals::noise_variance`.
    pub noise: Option<f64>,
    pub threads: usize,
}

pub struct Recovered {
    /// U w, genes × samples.
    pub profiles: Array2<f64>,
    /// Of each gene's true value around `profiles`; without columns if not
    /// asked for.
    pub standard_errors: Array2<f64>,
    /// Modules × samples.
    pub codes: CscBuf,
    /// Per sample: ‖y − A U w‖².
    pub residual: Vec<f64>,
    /// Per sample: the variance of a reading that standard errors rest on.
    pub variance: Vec<f64>,
    /// The standard deviation of a reading's noise, given or estimated; `None`
    /// without standard errors, or without examples to estimate it from.
    pub noise: Option<f64>,
    /// Per gene: what standard errors were multiplied by; see `Intervals::inflation`.
    pub inflation: Vec<f64>,
}

/// # Errors
/// `Shape`, `Argument` (fewer measurements than modules per sample), `Threads`,
/// `Interrupted`.
pub fn recover(
    measured: &Measured<'_>,
    params: &RecoveryParams,
    monitor: &Monitor<'_>,
) -> Result<Recovered, CoreError> {
    let (measurements, samples) = measured.readings.dim();
    let genes = measured.atoms.nrows();
    check_length("weights (genes)", genes, measured.weights.nrows())?;
    check_length("weights (measurements)", measurements, measured.weights.ncols())?;
    check_length("residual_variance", genes, measured.residual_variance.len())?;
    if let Decoder::Lasso { penalty: Some(penalty), .. } = params.decoder {
        check_value("penalty", penalty, "positive", |v| v > 0.0 && v.is_finite())?;
    } else if params.decoder != Decoder::LeastSquares {
        let most = measurements as f64;
        let expected = "from 1 to the number of measurements";
        check_value("sparsity", params.sparsity as f64, expected, |v| v >= 1.0 && v <= most)?;
    }
    if let Some(noise) = params.noise {
        check_value("noise", noise, "finite and non-negative", |v| v >= 0.0 && v.is_finite())?;
    }
    let projected = product(&measured.weights.t(), &measured.atoms);
    let intervals = Intervals {
        measured,
        standard_errors: params.standard_errors,
        decoding: Decoding::new(projected, params.decoder, params.sparsity),
        misfit: misfit_variance(measured),
    };
    with_threads(params.threads, || {
        let decoded = intervals.decoding.run(measured.readings, monitor)?;
        let examples = match measured.examples {
            Some(examples) if params.standard_errors => Examples::new(measured, examples),
            _ => {
                let noise = params.noise.unwrap_or(0.0);
                let variance = intervals.misfit + noise * noise;
                let stated = Stated { variance, per_residual: None };
                let found = intervals.finish(decoded, &stated, monitor)?;
                return Ok(Recovered { noise: params.noise, ..found });
            }
        };
        let quiet = monitor.silent();
        let noise = match params.noise {
            Some(noise) => noise * noise,
            None => intervals.noise_variance(&examples, decoded.mean_residual(), &quiet)?,
        };
        let of_examples = intervals.decoding.run(examples.readings(noise).view(), &quiet)?;
        let variance = intervals.misfit + noise;
        let level = of_examples.mean_residual();
        let stated = Stated { variance, per_residual: (level > 0.0).then(|| variance / level) };
        let inflation = intervals.inflation(&examples, of_examples, &stated, &quiet)?;
        let mut found = intervals.finish(decoded, &stated, monitor)?;
        for j in 0..samples {
            let errors = found.standard_errors.col_mut(j).iter_mut();
            errors.zip(&inflation).for_each(|(error, by)| *error *= by);
        }
        Ok(Recovered { noise: Some(noise.sqrt()), inflation, ..found })
    })?
}

/// Mean variance of a reading that the genes' deviation from U w makes:
/// tr(A diag(s²) Aᵀ) / m.
fn misfit_variance(measured: &Measured<'_>) -> f64 {
    let of_row = |row: usize| {
        let weights = column(measured.weights, row).iter();
        weights.zip(measured.residual_variance).map(|(w, v)| w * w * v).sum::<f64>()
    };
    let rows = measured.weights.ncols();
    (0..rows).map(of_row).sum::<f64>() / rows as f64
}

/// What a reading's variance is said to be.
struct Stated {
    /// Of lack of fit and noise.
    variance: f64,
    /// Over the mean residual that it leaves; `None` where examples do not tell.
    per_residual: Option<f64>,
}

/// Samples of known profiles: x = U w with activities of training samples, and
/// normal deviations of the stated variance.
struct Examples {
    truth: Array2<f64>,
    /// A x.
    clean: Array2<f64>,
    /// Standard normal, in the shape of `clean`.
    noise: Array2<f64>,
}

impl Examples {
    fn new(measured: &Measured<'_>, activities: Csc<'_>) -> Self {
        let (genes, measurements) = measured.weights.dim();
        let samples = activities.n_columns();
        let taken = samples.min(MOST_EXAMPLES);
        let mut truth = zeros((genes, taken));
        let mut noise = zeros((measurements, taken));
        for k in 0..taken {
            let own = truth.col_mut(k);
            expand(activities, k * samples / taken, measured.atoms, own);
            let mut rng = stream(EXAMPLE_SEED, Purpose::MeasurementNoise, k);
            for (value, variance) in own.iter_mut().zip(measured.residual_variance) {
                let normal: f64 = StandardNormal.sample(&mut rng);
                *value += variance.sqrt() * normal;
            }
            let own = noise.col_mut(k).iter_mut();
            own.for_each(|v: &mut f64| *v = StandardNormal.sample(&mut rng));
        }
        let clean = product(&measured.weights.t(), &truth);
        Examples { truth, clean, noise }
    }

    /// With noise of this variance in every reading.
    fn readings(&self, noise: f64) -> Array2<f64> {
        let mut out = self.clean.clone();
        out.scaled_add(noise.sqrt(), &self.noise);
        out
    }
}

/// Looks at the noise, and how close the residuals have to be.
const NOISE_LOOKS: usize = 30;
const NOISE_TOLERANCE: f64 = 1e-3;

struct Intervals<'a, 'm> {
    measured: &'a Measured<'m>,
    standard_errors: bool,
    decoding: Decoding,
    /// Variance of a reading by lack of fit.
    misfit: f64,
}

impl Intervals<'_, '_> {
    /// The noise with which examples leave as much of their readings as the samples
    /// do, on average: a pursuit fits noise with modules that it chooses for
    /// that, so a residual over its degrees of freedom would be too small.  Zero
    /// where lack of fit alone leaves more.
    fn noise_variance(
        &self,
        examples: &Examples,
        target: f64,
        monitor: &Monitor<'_>,
    ) -> Result<f64, CoreError> {
        let excess = |noise: f64| -> Result<f64, CoreError> {
            let decoded = self.decoding.run(examples.readings(noise).view(), monitor)?;
            Ok(decoded.mean_residual() - target)
        };
        let mut low = (0.0, excess(0.0)?);
        if low.1 >= 0.0 {
            return Ok(0.0);
        }
        // twice what it would be if no module fitted noise, until that is enough
        let mut high = (-2.0 * low.1 / examples.clean.nrows() as f64, 0.0);
        for _ in 0..NOISE_LOOKS {
            high.1 = excess(high.0)?;
            if high.1 >= 0.0 {
                break;
            }
            low = high;
            high.0 *= 2.0;
        }
        // the residual is close to a line in the variance: secants, kept from
        // creeping by halves
        for look in 0..NOISE_LOOKS {
            let secant = low.0 - low.1 * (high.0 - low.0) / (high.1 - low.1);
            let at = if look % 3 == 2 { 0.5 * (low.0 + high.0) } else { secant };
            let here = (at, excess(at)?);
            if here.1.abs() <= NOISE_TOLERANCE * target {
                return Ok(at);
            }
            if here.1 < 0.0 {
                low = here;
            } else {
                high = here;
            }
        }
        Ok(0.5 * (low.0 + high.0))
    }

    /// Standard errors hold for the modules that were chosen, but these may be
    /// wrong, and with noise they often are.  So examples, measured with that noise,
    /// are recovered: per gene, the root mean square of error over standard
    /// error, at least 1.
    fn inflation(
        &self,
        examples: &Examples,
        decoded: Decoded,
        stated: &Stated,
        monitor: &Monitor<'_>,
    ) -> Result<Vec<f64>, CoreError> {
        let found = self.finish(decoded, stated, monitor)?;
        let (genes, taken) = examples.truth.dim();
        let mut squares = vec![0.0; genes];
        for k in 0..taken {
            for (g, sum) in squares.iter_mut().enumerate() {
                let error = examples.truth[(g, k)] - found.profiles[(g, k)];
                let stated = found.standard_errors[(g, k)];
                if stated > 0.0 {
                    *sum += (error / stated).powi(2);
                }
            }
        }
        Ok(squares.iter().map(|sum| (sum / taken.max(1) as f64).sqrt().max(1.0)).collect())
    }

    /// Profiles, and standard errors if they are asked for.
    fn finish(
        &self,
        decoded: Decoded,
        stated: &Stated,
        monitor: &Monitor<'_>,
    ) -> Result<Recovered, CoreError> {
        let Decoded { codes, residual } = decoded;
        let (genes, measurements) = self.measured.weights.dim();
        let samples = residual.len();
        let variance_of = |j: usize| {
            let free = measurements.saturating_sub(codes.view().column(j).0.len());
            let own = match stated.per_residual {
                Some(part) => part * residual[j],
                None if free > 0 => residual[j] / free as f64,
                None => 0.0,
            };
            // The readings can't be less certain than what is stated; with few
            // measurements, a small residual proves nothing.
            own.max(stated.variance)
        };
        let variance: Vec<f64> = (0..samples).map(variance_of).collect();
        let errors = |samples: usize| if self.standard_errors { samples } else { 0 };
        let mut profiles = zeros((genes, samples));
        let mut standard_errors = zeros((genes, errors(samples)));
        let block = |range: Range<usize>| {
            let mut own = zeros((genes, range.len()));
            let mut errors = zeros((genes, errors(range.len())));
            for (at, j) in range.enumerate() {
                expand(codes.view(), j, self.measured.atoms, own.col_mut(at));
                if self.standard_errors {
                    let atoms = codes.view().column(j).0;
                    self.standard_errors(atoms, variance[j], errors.col_mut(at));
                }
            }
            Ok((own, errors))
        };
        over_blocks(samples, SAMPLE_BLOCK, monitor, block, |range, (own, errors)| {
            monitor.advance(range.len());
            profiles.slice_mut(s![.., range.clone()]).assign(&own);
            if self.standard_errors {
                standard_errors.slice_mut(s![.., range]).assign(&errors);
            }
        })?;
        let inflation = vec![1.0; genes];
        let noise = None;
        Ok(Recovered { profiles, standard_errors, codes, residual, variance, noise, inflation })
    }

    /// √(σ² u_gᵀ (B_SᵀB_S)⁻¹ u_g + s_g²): the variance of U_S ŵ_S for the chosen
    /// modules S with B = A U, and the gene's own variance around U w.
    fn standard_errors(&self, atoms: &[i32], variance: f64, out: &mut [f64]) {
        let mut factor = Factor::default();
        let mut independent = Vec::with_capacity(atoms.len());
        for atom in atoms.iter().map(|&atom| atom as usize) {
            if factor.append(&self.decoding.gram, &independent, atom) {
                independent.push(atom);
            }
        }
        out.copy_from_slice(self.measured.residual_variance);
        // Columns of U_S L⁻ᵀ, whose squares sum to the quadratic form.
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(independent.len());
        for (i, &atom) in independent.iter().enumerate() {
            let row = factor.row(i);
            let mut own = column(self.measured.atoms, atom).to_vec();
            for (earlier, &l) in columns.iter().zip(row) {
                add_scaled(&mut own, -l, earlier);
            }
            own.iter_mut().for_each(|v| *v /= row[i]);
            out.iter_mut().zip(&own).for_each(|(sum, v)| *sum += variance * v * v);
            columns.push(own);
        }
        out.iter_mut().for_each(|v| *v = v.sqrt());
    }
}
