//! Whole profiles from composite measurements: y = A x + noise with x ≈ U w
//! gives w from y and A U, and x̂ = U ŵ.

use super::codes::{column, Codes};
use super::pursuit::{Factor, Gram, LassoPath, Nonnegative, Orthogonal, Target};
use crate::base::simd::vectors::{add_scaled, squared_norm};
use crate::error::{check_length, check_value, CoreError};
use crate::nnls::solve_nonnegative;
use crate::parallel::{with_threads, Monitor};
use crate::rng::{stream, Purpose};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

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

/// What [`recover`] works from.
pub struct Problem<'a> {
    /// Measurements × samples.
    pub readings: MatRef<'a, f64>,
    /// Aᵀ, genes × measurements.
    pub weights: MatRef<'a, f64>,
    /// Genes × modules.
    pub atoms: MatRef<'a, f64>,
    /// Variance of each gene around U w.
    pub residual_variance: &'a [f64],
    /// Activities of samples such as those to be recovered: standard errors are
    /// checked on them.
    pub examples: Option<&'a Codes>,
}

#[derive(Clone, Copy, Debug)]
pub struct Params {
    pub decoder: Decoder,
    /// Modules per sample; not used by least squares, nor by the lasso with a
    /// penalty.
    pub sparsity: usize,
    pub standard_errors: bool,
    pub threads: usize,
}

pub struct Recovered {
    /// U w, genes × samples.
    pub profiles: Mat<f64>,
    /// Of each gene's true value around `profiles`; without columns if not
    /// asked for.
    pub standard_errors: Mat<f64>,
    pub codes: Codes,
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
    problem: &Problem<'_>,
    params: &Params,
    monitor: &Monitor<'_>,
) -> Result<Recovered, CoreError> {
    let (measurements, samples) = problem.readings.shape();
    let genes = problem.atoms.nrows();
    check_length("weights (genes)", genes, problem.weights.nrows())?;
    check_length("weights (measurements)", measurements, problem.weights.ncols())?;
    check_length("residual_variance", genes, problem.residual_variance.len())?;
    if let Decoder::Lasso { penalty: Some(penalty), .. } = params.decoder {
        check_value("penalty", penalty, "positive", |v| v > 0.0 && v.is_finite())?;
    } else if params.decoder != Decoder::LeastSquares {
        let most = measurements as f64;
        let expected = "from 1 to the number of measurements";
        check_value("sparsity", params.sparsity as f64, expected, |v| v >= 1.0 && v <= most)?;
    }
    let mut projected = Mat::zeros(measurements, problem.atoms.ncols());
    let weights = problem.weights.transpose();
    matmul(projected.as_mut(), Accum::Replace, weights, problem.atoms, 1.0, Par::Seq);
    let decoding = Decoding {
        problem,
        params,
        gram: Gram::of(projected.as_ref()),
        projected,
        misfit: misfit_variance(problem),
    };
    with_threads(params.threads, || {
        let mut found = decoding.all(problem.readings, monitor)?;
        if let (Some(examples), true) = (problem.examples, params.standard_errors) {
            found.inflation = decoding.inflation(examples, &monitor.silent())?;
            for j in 0..samples {
                let errors = found.standard_errors.col_as_slice_mut(j).iter_mut();
                errors.zip(&found.inflation).for_each(|(error, by)| *error *= by);
            }
        }
        Ok(found)
    })?
}

/// Mean variance of a reading that the genes' deviation from U w makes:
/// tr(A diag(s²) Aᵀ) / m.
fn misfit_variance(problem: &Problem<'_>) -> f64 {
    let of_row = |row: usize| {
        let weights = column(problem.weights, row).iter();
        weights.zip(problem.residual_variance).map(|(w, v)| w * w * v).sum::<f64>()
    };
    let rows = problem.weights.ncols();
    (0..rows).map(of_row).sum::<f64>() / rows as f64
}

struct Decoding<'a> {
    problem: &'a Problem<'a>,
    params: &'a Params,
    /// A U.
    projected: Mat<f64>,
    gram: Gram,
    misfit: f64,
}

impl Decoding<'_> {
    fn all(
        &self,
        readings: MatRef<'_, f64>,
        monitor: &Monitor<'_>,
    ) -> Result<Recovered, CoreError> {
        let samples = readings.ncols();
        let blocks: Vec<usize> = (0..samples).step_by(SAMPLE_BLOCK).collect();
        let parts: Result<Vec<Recovered>, CoreError> = blocks
            .par_iter()
            .map(|&first| {
                monitor.check()?;
                let count = SAMPLE_BLOCK.min(samples - first);
                let part = self.block(readings.subcols(first, count));
                monitor.advance(count);
                Ok(part)
            })
            .collect();
        Ok(gather(&parts?, self.problem.atoms.nrows(), samples, self.params.standard_errors))
    }

    /// Standard errors hold for the modules that were chosen, but these may be
    /// wrong.  So samples are made from known activities, x = U w + e with e of
    /// the stated variance, measured and recovered: per gene, the root mean
    /// square of error over standard error, at least 1.
    fn inflation(&self, examples: &Codes, monitor: &Monitor<'_>) -> Result<Vec<f64>, CoreError> {
        let genes = self.problem.atoms.nrows();
        let taken = examples.samples().min(MOST_EXAMPLES);
        let mut truth = Mat::<f64>::zeros(genes, taken);
        for k in 0..taken {
            let own = truth.col_as_slice_mut(k);
            examples.expand(k * examples.samples() / taken, self.problem.atoms, own);
            let mut rng = stream(EXAMPLE_SEED, Purpose::MeasurementNoise, k);
            for (value, variance) in own.iter_mut().zip(self.problem.residual_variance) {
                let normal: f64 = StandardNormal.sample(&mut rng);
                *value += variance.sqrt() * normal;
            }
        }
        let mut readings = Mat::<f64>::zeros(self.problem.weights.ncols(), taken);
        let weights = self.problem.weights.transpose();
        matmul(readings.as_mut(), Accum::Replace, weights, &truth, 1.0, Par::Seq);
        let found = self.all(readings.as_ref(), monitor)?;
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

    fn block(&self, readings: MatRef<'_, f64>) -> Recovered {
        let genes = self.problem.atoms.nrows();
        let count = readings.ncols();
        let mut correlations = Mat::<f64>::zeros(self.gram.size(), count);
        let factor = self.projected.transpose();
        matmul(correlations.as_mut(), Accum::Replace, factor, readings, 1.0, Par::Seq);
        let mut out = Recovered {
            profiles: Mat::zeros(genes, count),
            standard_errors: Mat::zeros(genes, if self.params.standard_errors { count } else { 0 }),
            codes: self.decode(&correlations, readings),
            residual: Vec::with_capacity(count),
            variance: Vec::with_capacity(count),
            inflation: Vec::new(),
        };
        let mut left = vec![0.0; readings.nrows()];
        for j in 0..count {
            out.codes.expand(j, self.projected.as_ref(), &mut left);
            left.iter_mut().zip(column(readings, j)).for_each(|(l, y)| *l = y - *l);
            let residual = squared_norm(&left);
            let used = out.codes.sample(j).0.len();
            let free = readings.nrows().saturating_sub(used);
            // The readings can't be less certain than the dictionary says; with
            // few measurements left, a small residual proves nothing.
            let own = if free > 0 { residual / free as f64 } else { 0.0 };
            let variance = own.max(self.misfit);
            out.codes.expand(j, self.problem.atoms, out.profiles.col_as_slice_mut(j));
            if self.params.standard_errors {
                let atoms = out.codes.sample(j).0;
                self.standard_errors(atoms, variance, out.standard_errors.col_as_slice_mut(j));
            }
            out.residual.push(residual);
            out.variance.push(variance);
        }
        out
    }

    fn decode(&self, correlations: &Mat<f64>, readings: MatRef<'_, f64>) -> Codes {
        let count = correlations.ncols();
        let sparsity = self.params.sparsity;
        let mut codes = Codes::with_capacity(count, count * sparsity);
        match self.params.decoder {
            Decoder::Orthogonal => {
                let mut pursuit = Orthogonal::new(&self.gram);
                for j in 0..count {
                    pursuit.run(correlations.col_as_slice(j), sparsity);
                    codes.push(&pursuit.atoms, &pursuit.values);
                }
            }
            Decoder::Nonnegative => {
                let mut pursuit = Nonnegative::new(&self.gram);
                for j in 0..count {
                    pursuit.run(correlations.col_as_slice(j), sparsity);
                    codes.push(&pursuit.atoms, &pursuit.values);
                }
            }
            Decoder::Lasso { nonnegative, penalty } => {
                let mut path = LassoPath::new(&self.gram, nonnegative);
                let target = penalty.map_or(Target::Atoms(sparsity), Target::Penalty);
                for j in 0..count {
                    let norm = squared_norm(column(readings, j));
                    path.run(correlations.col_as_slice(j), norm, target);
                    push_nonzero(&mut codes, &path.atoms, &path.values);
                }
            }
            Decoder::LeastSquares => {
                let all: Vec<usize> = (0..self.gram.size()).collect();
                let mut values = vec![0.0; all.len()];
                for j in 0..count {
                    values.fill(0.0);
                    let pull = correlations.col_as_slice(j);
                    solve_nonnegative(self.gram.products(), pull, 0.0, &mut values);
                    push_nonzero(&mut codes, &all, &values);
                }
            }
        }
        codes
    }

    /// √(σ² u_gᵀ (B_SᵀB_S)⁻¹ u_g + s_g²): the variance of U_S ŵ_S for the chosen
    /// modules S with B = A U, and the gene's own variance around U w.
    fn standard_errors(&self, atoms: &[usize], variance: f64, out: &mut [f64]) {
        let mut factor = Factor::default();
        let mut independent = Vec::with_capacity(atoms.len());
        for &atom in atoms {
            if factor.append(&self.gram, &independent, atom) {
                independent.push(atom);
            }
        }
        out.copy_from_slice(self.problem.residual_variance);
        // Columns of U_S L⁻ᵀ, whose squares sum to the quadratic form.
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(independent.len());
        for (i, &atom) in independent.iter().enumerate() {
            let row = factor.row(i);
            let mut own = column(self.problem.atoms, atom).to_vec();
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

fn push_nonzero(codes: &mut Codes, atoms: &[usize], values: &[f64]) {
    let (atoms, values): (Vec<usize>, Vec<f64>) =
        atoms.iter().zip(values).filter(|(_, &v)| v != 0.0).unzip();
    codes.push(&atoms, &values);
}

fn gather(parts: &[Recovered], genes: usize, samples: usize, errors: bool) -> Recovered {
    let mut out = Recovered {
        profiles: Mat::zeros(genes, samples),
        standard_errors: Mat::zeros(genes, if errors { samples } else { 0 }),
        codes: Codes::with_capacity(samples, 0),
        residual: Vec::with_capacity(samples),
        variance: Vec::with_capacity(samples),
        inflation: vec![1.0; genes],
    };
    let mut at = 0;
    for part in parts {
        for j in 0..part.profiles.ncols() {
            let own = part.profiles.col_as_slice(j);
            out.profiles.col_as_slice_mut(at).copy_from_slice(own);
            if errors {
                let own = part.standard_errors.col_as_slice(j);
                out.standard_errors.col_as_slice_mut(at).copy_from_slice(own);
            }
            at += 1;
        }
        out.codes.append(&part.codes);
        out.residual.extend(&part.residual);
        out.variance.extend(&part.variance);
    }
    out
}
