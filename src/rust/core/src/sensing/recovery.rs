//! Whole profiles from composite measurements: y = A x + noise with x ≈ U w
//! gives w from y and A U, and x̂ = U ŵ.

use super::codes::{append, expand, push};
use super::pursuit::{Factor, Gram, LassoPath, Nonnegative, Orthogonal, Target};
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::{add_scaled, squared_norm};
use crate::matrix::linalg::product;
use crate::matrix::{column, zeros, Array2, ArrayView2, Columns, Csc, CscBuf};
use crate::nnls::solve_nonnegative;
use ndarray::s;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// Samples that are decoded together.
const SAMPLE_BLOCK: usize = 32;
/// Samples on which standard errors are checked.
const MOST_EXAMPLES: usize = 300;
const EXAMPLE_SEED: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decoder {
    /// Orthogonal matching pursuit.
    Orthogonal,
    /// Orthogonal matching pursuit under w ≥ 0.
    Nonnegative,
    /// min ½‖y − A U w‖² + λ‖w‖₁ (under w ≥ 0): at the `penalty` λ or, without
    /// one, at the smallest λ with as many active modules as allowed.
    Lasso { nonnegative: bool, penalty: Option<f64> },
    /// Non-negative least squares over all modules.
    LeastSquares,
}

crate::base::error::named!(Decoder, "method",
    "omp" => Decoder::Orthogonal,
    "nn_omp" => Decoder::Nonnegative,
    "lasso" => Decoder::Lasso { nonnegative: false, penalty: None },
    "nn_lasso" => Decoder::Lasso { nonnegative: true, penalty: None },
    "nnls" => Decoder::LeastSquares,
);

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
    /// Per gene: what standard errors were multiplied by; see `Decoding::inflation`.
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
    let projected = product(&measured.weights.t(), &measured.atoms);
    let decoding = Decoding {
        measured,
        params,
        gram: Gram::of(projected.view()),
        projected,
        misfit: misfit_variance(measured),
    };
    with_threads(params.threads, || {
        let mut found = decoding.all(measured.readings, monitor)?;
        if let (Some(examples), true) = (measured.examples, params.standard_errors) {
            found.inflation = decoding.inflation(examples, &monitor.silent())?;
            for j in 0..samples {
                let errors = found.standard_errors.col_mut(j).iter_mut();
                errors.zip(&found.inflation).for_each(|(error, by)| *error *= by);
            }
        }
        Ok(found)
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

struct Decoding<'a, 'm> {
    measured: &'a Measured<'m>,
    params: &'a RecoveryParams,
    /// A U.
    projected: Array2<f64>,
    gram: Gram,
    misfit: f64,
}

impl Decoding<'_, '_> {
    fn all(
        &self,
        readings: ArrayView2<'_, f64>,
        monitor: &Monitor<'_>,
    ) -> Result<Recovered, CoreError> {
        let (genes, samples) = (self.measured.atoms.nrows(), readings.ncols());
        let errors = if self.params.standard_errors { samples } else { 0 };
        let mut out = Recovered {
            profiles: zeros((genes, samples)),
            standard_errors: zeros((genes, errors)),
            codes: CscBuf::with_capacity(self.gram.size(), samples, 0),
            residual: Vec::with_capacity(samples),
            variance: Vec::with_capacity(samples),
            inflation: vec![1.0; genes],
        };
        let mut codes = Vec::new();
        let block = |range: Range<usize>| self.block(readings.slice(s![.., range]));
        over_blocks(samples, SAMPLE_BLOCK, monitor, block, |range, part| {
            monitor.advance(range.len());
            out.profiles.slice_mut(s![.., range.clone()]).assign(&part.profiles);
            if self.params.standard_errors {
                out.standard_errors.slice_mut(s![.., range]).assign(&part.standard_errors);
            }
            out.residual.extend(part.residual);
            out.variance.extend(part.variance);
            codes.push(part.codes);
        })?;
        codes.iter().try_for_each(|part| append(&mut out.codes, part.view()))?;
        Ok(out)
    }

    /// Standard errors hold for the modules that were chosen, but these may be
    /// wrong.  So samples are made from known activities, x = U w + e with e of
    /// the stated variance, measured and recovered: per gene, the root mean
    /// square of error over standard error, at least 1.
    fn inflation(&self, examples: Csc<'_>, monitor: &Monitor<'_>) -> Result<Vec<f64>, CoreError> {
        let genes = self.measured.atoms.nrows();
        let samples = examples.n_columns();
        let taken = samples.min(MOST_EXAMPLES);
        let mut truth = zeros((genes, taken));
        for k in 0..taken {
            let own = truth.col_mut(k);
            expand(examples, k * samples / taken, self.measured.atoms, own);
            let mut rng = stream(EXAMPLE_SEED, Purpose::MeasurementNoise, k);
            for (value, variance) in own.iter_mut().zip(self.measured.residual_variance) {
                let normal: f64 = StandardNormal.sample(&mut rng);
                *value += variance.sqrt() * normal;
            }
        }
        let readings = product(&self.measured.weights.t(), &truth);
        let found = self.all(readings.view(), monitor)?;
        let mut squares = vec![0.0; genes];
        for k in 0..taken {
            for (g, sum) in squares.iter_mut().enumerate() {
                let (error, stated) =
                    (truth[(g, k)] - found.profiles[(g, k)], found.standard_errors[(g, k)]);
                if stated > 0.0 {
                    *sum += (error / stated).powi(2);
                }
            }
        }
        Ok(squares.iter().map(|sum| (sum / taken.max(1) as f64).sqrt().max(1.0)).collect())
    }

    fn block(&self, readings: ArrayView2<'_, f64>) -> Result<Recovered, CoreError> {
        let genes = self.measured.atoms.nrows();
        let count = readings.ncols();
        let correlations = product(&self.projected.t(), &readings);
        let mut out = Recovered {
            profiles: zeros((genes, count)),
            standard_errors: zeros((genes, if self.params.standard_errors { count } else { 0 })),
            codes: self.decode(&correlations, readings)?,
            residual: Vec::with_capacity(count),
            variance: Vec::with_capacity(count),
            inflation: Vec::new(),
        };
        let mut left = vec![0.0; readings.nrows()];
        for j in 0..count {
            expand(out.codes.view(), j, self.projected.view(), &mut left);
            left.iter_mut().zip(column(readings, j)).for_each(|(l, y)| *l = y - *l);
            let residual = squared_norm(&left);
            let atoms = out.codes.view().column(j).0;
            let free = readings.nrows().saturating_sub(atoms.len());
            // The readings can't be less certain than the dictionary says; with
            // few measurements left, a small residual proves nothing.
            let own = if free > 0 { residual / free as f64 } else { 0.0 };
            let variance = own.max(self.misfit);
            expand(out.codes.view(), j, self.measured.atoms, out.profiles.col_mut(j));
            if self.params.standard_errors {
                self.standard_errors(atoms, variance, out.standard_errors.col_mut(j));
            }
            out.residual.push(residual);
            out.variance.push(variance);
        }
        Ok(out)
    }

    fn decode(
        &self,
        correlations: &Array2<f64>,
        readings: ArrayView2<'_, f64>,
    ) -> Result<CscBuf, CoreError> {
        let count = correlations.ncols();
        let sparsity = self.params.sparsity;
        let mut codes = CscBuf::with_capacity(self.gram.size(), count, count * sparsity);
        match self.params.decoder {
            Decoder::Orthogonal => {
                let mut pursuit = Orthogonal::new(&self.gram);
                for j in 0..count {
                    pursuit.run(correlations.col(j), sparsity);
                    push(&mut codes, &pursuit.atoms, &pursuit.values)?;
                }
            }
            Decoder::Nonnegative => {
                let mut pursuit = Nonnegative::new(&self.gram);
                for j in 0..count {
                    pursuit.run(correlations.col(j), sparsity);
                    push(&mut codes, &pursuit.atoms, &pursuit.values)?;
                }
            }
            Decoder::Lasso { nonnegative, penalty } => {
                let mut path = LassoPath::new(&self.gram, nonnegative);
                let target = penalty.map_or(Target::Atoms(sparsity), Target::Penalty);
                for j in 0..count {
                    let norm = squared_norm(column(readings, j));
                    path.run(correlations.col(j), norm, target);
                    push_nonzero(&mut codes, &path.atoms, &path.values)?;
                }
            }
            Decoder::LeastSquares => {
                let all: Vec<usize> = (0..self.gram.size()).collect();
                let mut values = vec![0.0; all.len()];
                for j in 0..count {
                    values.fill(0.0);
                    let pull = correlations.col(j);
                    solve_nonnegative(self.gram.products(), pull, 0.0, &mut values);
                    push_nonzero(&mut codes, &all, &values)?;
                }
            }
        }
        Ok(codes)
    }

    /// √(σ² u_gᵀ (B_SᵀB_S)⁻¹ u_g + s_g²): the variance of U_S ŵ_S for the chosen
    /// modules S with B = A U, and the gene's own variance around U w.
    fn standard_errors(&self, atoms: &[i32], variance: f64, out: &mut [f64]) {
        let mut factor = Factor::default();
        let mut independent = Vec::with_capacity(atoms.len());
        for atom in atoms.iter().map(|&atom| atom as usize) {
            if factor.append(&self.gram, &independent, atom) {
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

fn push_nonzero(codes: &mut CscBuf, atoms: &[usize], values: &[f64]) -> Result<(), CoreError> {
    let entries = atoms.iter().copied().zip(values.iter().copied());
    codes.push_column(entries.filter(|&(_, value)| value != 0.0))
}
