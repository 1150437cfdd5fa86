//! Activities of all training samples, and what they leave.

use super::norm2;
use crate::base::simd::vectors::squared_norm;
use crate::error::CoreError;
use crate::parallel::Monitor;
use crate::sensing::codes::{column, Codes};
use crate::sensing::pursuit::{Gram, Orthogonal};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

/// Samples that are coded together.
const SAMPLE_BLOCK: usize = 64;

/// The training profiles (genes × samples) and ‖X‖².
pub struct Coding<'a> {
    pub profiles: MatRef<'a, f64>,
    pub norm: f64,
    pub monitor: &'a Monitor<'a>,
}

impl Coding<'_> {
    /// Orthogonal matching pursuit of all samples.  Where `previous` activities
    /// leave less, they are kept.
    pub fn code(
        &self,
        atoms: MatRef<'_, f64>,
        sparsity: usize,
        previous: Option<&Codes>,
    ) -> Result<Codes, CoreError> {
        let gram = Gram::of(atoms);
        let parts = self.over_blocks(|first, count| {
            let correlations = self.correlations(atoms, first, count);
            let mut pursuit = Orthogonal::new(&gram);
            let mut codes = Codes::with_capacity(count, count * sparsity);
            let mut residual = vec![0.0; atoms.nrows()];
            for j in 0..count {
                let sample = first + j;
                pursuit.run(correlations.col_as_slice(j), sparsity);
                let left = norm2(self.profiles, sample) - pursuit.explained.iter().sum::<f64>();
                match previous {
                    Some(previous) if self.left(previous, sample, atoms, &mut residual) < left => {
                        let (atoms, values) = previous.sample(sample);
                        codes.push(atoms, values);
                    }
                    _ => codes.push(&pursuit.atoms, &pursuit.values),
                }
            }
            codes
        })?;
        let mut codes = Codes::with_capacity(self.profiles.ncols(), 0);
        parts.iter().for_each(|part| codes.append(part));
        Ok(codes)
    }

    /// ‖X − U W‖² after each step of the pursuit, from one atom per sample to
    /// `sparsity`.
    pub fn left_by_sparsity(
        &self,
        atoms: MatRef<'_, f64>,
        sparsity: usize,
    ) -> Result<Vec<f64>, CoreError> {
        let gram = Gram::of(atoms);
        let parts = self.over_blocks(|first, count| {
            let correlations = self.correlations(atoms, first, count);
            let mut pursuit = Orthogonal::new(&gram);
            let mut explained = vec![0.0; sparsity];
            for j in 0..count {
                pursuit.run(correlations.col_as_slice(j), sparsity);
                explained.iter_mut().zip(&pursuit.explained).for_each(|(sum, e)| *sum += e);
            }
            explained
        })?;
        let mut left = self.norm;
        let steps = (0..sparsity).map(|step| {
            left -= parts.iter().map(|part| part[step]).sum::<f64>();
            left
        });
        Ok(steps.collect())
    }

    fn over_blocks<T: Send>(
        &self,
        work: impl Fn(usize, usize) -> T + Sync,
    ) -> Result<Vec<T>, CoreError> {
        let samples = self.profiles.ncols();
        let blocks: Vec<usize> = (0..samples).step_by(SAMPLE_BLOCK).collect();
        let parts = blocks.par_iter().map(|&first| {
            self.monitor.check()?;
            Ok(work(first, SAMPLE_BLOCK.min(samples - first)))
        });
        parts.collect()
    }

    fn correlations(&self, atoms: MatRef<'_, f64>, first: usize, count: usize) -> Mat<f64> {
        let mut out = Mat::zeros(atoms.ncols(), count);
        let block = self.profiles.subcols(first, count);
        matmul(out.as_mut(), Accum::Replace, atoms.transpose(), block, 1.0, Par::Seq);
        out
    }

    /// Writes x − U w of a sample to `residual`; returns its squared norm.
    fn left(
        &self,
        codes: &Codes,
        sample: usize,
        atoms: MatRef<'_, f64>,
        residual: &mut [f64],
    ) -> f64 {
        codes.expand(sample, atoms, residual);
        let own = column(self.profiles, sample);
        residual.iter_mut().zip(own).for_each(|(r, x)| *r = x - *r);
        squared_norm(residual)
    }

    /// X − U W.
    pub fn residual_matrix(&self, atoms: MatRef<'_, f64>, codes: &Codes) -> Mat<f64> {
        let mut out = Mat::zeros(self.profiles.nrows(), self.profiles.ncols());
        for sample in 0..self.profiles.ncols() {
            self.left(codes, sample, atoms, out.col_as_slice_mut(sample));
        }
        out
    }

    /// Variance of each gene around U w, and ‖X − U W‖² / ‖X‖².
    pub fn residuals(&self, atoms: MatRef<'_, f64>, codes: &Codes) -> (Vec<f64>, f64) {
        let (genes, samples) = self.profiles.shape();
        let mut squares = vec![0.0; genes];
        let mut residual = vec![0.0; genes];
        let mut total = 0.0;
        for sample in 0..samples {
            total += self.left(codes, sample, atoms, &mut residual);
            squares.iter_mut().zip(&residual).for_each(|(s, r)| *s += r * r);
        }
        // Each activity takes a degree of freedom from the genes of its sample.
        let entries = (genes * samples) as f64;
        let free = (entries - codes.values.len() as f64).max(samples as f64) / genes as f64;
        squares.iter_mut().for_each(|s| *s /= free);
        (squares, total / self.norm)
    }

    /// Gives each of the `dead` modules the direction of what is left of one of
    /// the samples that are represented worst (its positive part when modules
    /// are non-negative); returns how many got one.
    pub fn replace(
        &self,
        atoms: &mut Mat<f64>,
        dead: &[usize],
        codes: &Codes,
        nonnegative: bool,
    ) -> usize {
        if dead.is_empty() {
            return 0;
        }
        let mut residual = vec![0.0; atoms.nrows()];
        let mut worst: Vec<(f64, usize)> = (0..codes.samples())
            .map(|sample| (self.left(codes, sample, atoms.as_ref(), &mut residual), sample))
            .collect();
        worst.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut given = 0;
        for (&atom, &(left, sample)) in dead.iter().zip(&worst) {
            if left <= 1e-20 * norm2(self.profiles, sample) {
                break;
            }
            // No code uses a dead module, so its change leaves all others.
            self.left(codes, sample, atoms.as_ref(), &mut residual);
            if nonnegative {
                residual.iter_mut().for_each(|r| *r = r.max(0.0));
            }
            let norm = squared_norm(&residual).sqrt();
            if norm > 0.0 {
                let own = atoms.col_as_slice_mut(atom).iter_mut();
                own.zip(&residual).for_each(|(a, r)| *a = r / norm);
                given += 1;
            }
        }
        given
    }
}

/// Modules that are zero or that no sample uses.
pub fn dead(atoms: MatRef<'_, f64>, codes: &Codes) -> Vec<usize> {
    let uses = codes.use_of_atoms(atoms.ncols());
    (0..atoms.ncols()).filter(|&j| uses[j] == 0 || norm2(atoms, j) == 0.0).collect()
}
