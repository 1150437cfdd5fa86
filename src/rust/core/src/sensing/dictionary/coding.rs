//! Activities of all training samples, and what they leave.

use super::norm2;
use crate::base::error::CoreError;
use crate::base::parallel::{over_blocks, Monitor};
use crate::base::simd::vectors::squared_norm;
use crate::matrix::linalg::product;
use crate::matrix::{column, zeros, Array2, ArrayView2, Columns, Csc, CscBuf};
use crate::sensing::codes::{append, expand, push, use_of_atoms};
use crate::sensing::pursuit::{Gram, Orthogonal};
use ndarray::s;
use std::ops::Range;

/// Samples that are coded together.
const SAMPLE_BLOCK: usize = 64;

/// The training profiles (genes × samples) and ‖X‖².
pub struct Coding<'a> {
    pub profiles: ArrayView2<'a, f64>,
    pub norm: f64,
    pub monitor: &'a Monitor<'a>,
}

impl<'a> Coding<'a> {
    pub fn new(profiles: ArrayView2<'a, f64>, monitor: &'a Monitor<'a>) -> Self {
        let norm = (0..profiles.ncols()).map(|j| norm2(profiles, j)).sum();
        Coding { profiles, norm, monitor }
    }
}

impl Coding<'_> {
    /// Orthogonal matching pursuit of all samples.  Where `previous` activities
    /// leave less, they are kept.
    pub fn code(
        &self,
        atoms: ArrayView2<'_, f64>,
        sparsity: usize,
        previous: Option<Csc<'_>>,
    ) -> Result<CscBuf, CoreError> {
        let gram = Gram::of(atoms);
        let code = |range: Range<usize>| {
            let correlations = self.correlations(atoms, range.clone());
            let mut pursuit = Orthogonal::new(&gram);
            let entries = range.len() * sparsity;
            let mut codes = CscBuf::with_capacity(atoms.ncols(), range.len(), entries);
            let mut residual = vec![0.0; atoms.nrows()];
            for (j, sample) in range.enumerate() {
                pursuit.run(correlations.col(j), sparsity);
                let left = norm2(self.profiles, sample) - pursuit.explained.iter().sum::<f64>();
                match previous {
                    Some(previous) if self.left(previous, sample, atoms, &mut residual) < left => {
                        codes.push_column(previous.entries(sample))?;
                    }
                    _ => push(&mut codes, &pursuit.atoms, &pursuit.values)?,
                }
            }
            Ok(codes)
        };
        let samples = self.profiles.ncols();
        let mut parts = Vec::new();
        over_blocks(samples, SAMPLE_BLOCK, self.monitor, code, |_, part| parts.push(part))?;
        let mut codes = CscBuf::with_capacity(atoms.ncols(), samples, 0);
        parts.iter().try_for_each(|part| append(&mut codes, part.view()))?;
        Ok(codes)
    }

    /// ‖X − U W‖² after each step of the pursuit, from one atom per sample to
    /// `sparsity`.
    pub fn left_by_sparsity(
        &self,
        atoms: ArrayView2<'_, f64>,
        sparsity: usize,
    ) -> Result<Vec<f64>, CoreError> {
        let gram = Gram::of(atoms);
        let explained = |range: Range<usize>| {
            let correlations = self.correlations(atoms, range.clone());
            let mut pursuit = Orthogonal::new(&gram);
            let mut explained = vec![0.0; sparsity];
            for j in 0..range.len() {
                pursuit.run(correlations.col(j), sparsity);
                explained.iter_mut().zip(&pursuit.explained).for_each(|(sum, e)| *sum += e);
            }
            Ok(explained)
        };
        let mut total = vec![0.0; sparsity];
        over_blocks(self.profiles.ncols(), SAMPLE_BLOCK, self.monitor, explained, |_, part| {
            total.iter_mut().zip(&part).for_each(|(sum, e)| *sum += e);
        })?;
        let mut left = self.norm;
        let steps = total.iter().map(|explained| {
            left -= explained;
            left
        });
        Ok(steps.collect())
    }

    fn correlations(&self, atoms: ArrayView2<'_, f64>, range: Range<usize>) -> Array2<f64> {
        product(&atoms.t(), &self.profiles.slice(s![.., range]))
    }

    /// Writes x − U w of a sample to `residual`; returns its squared norm.
    fn left(
        &self,
        codes: Csc<'_>,
        sample: usize,
        atoms: ArrayView2<'_, f64>,
        residual: &mut [f64],
    ) -> f64 {
        expand(codes, sample, atoms, residual);
        let own = column(self.profiles, sample);
        residual.iter_mut().zip(own).for_each(|(r, x)| *r = x - *r);
        squared_norm(residual)
    }

    /// X − U W.
    pub fn residual_matrix(&self, atoms: ArrayView2<'_, f64>, codes: Csc<'_>) -> Array2<f64> {
        let mut out = zeros(self.profiles.dim());
        for sample in 0..self.profiles.ncols() {
            self.left(codes, sample, atoms, out.col_mut(sample));
        }
        out
    }

    /// Variance of each gene around U w, and ‖X − U W‖² / ‖X‖².
    pub fn residuals(&self, atoms: ArrayView2<'_, f64>, codes: Csc<'_>) -> (Vec<f64>, f64) {
        let (genes, samples) = self.profiles.dim();
        let mut squares = vec![0.0; genes];
        let mut residual = vec![0.0; genes];
        let mut total = 0.0;
        for sample in 0..samples {
            total += self.left(codes, sample, atoms, &mut residual);
            squares.iter_mut().zip(&residual).for_each(|(s, r)| *s += r * r);
        }
        // Each activity takes a degree of freedom from the genes of its sample.
        let entries = (genes * samples) as f64;
        let free = (entries - codes.n_stored() as f64).max(samples as f64) / genes as f64;
        squares.iter_mut().for_each(|s| *s /= free);
        (squares, total / self.norm)
    }

    /// Gives each of the `dead` modules the direction of what is left of one of
    /// the samples that are represented worst (its positive part when modules
    /// are non-negative); returns how many got one.
    pub fn replace(
        &self,
        atoms: &mut Array2<f64>,
        dead: &[usize],
        codes: Csc<'_>,
        nonnegative: bool,
    ) -> usize {
        if dead.is_empty() {
            return 0;
        }
        let mut residual = vec![0.0; atoms.nrows()];
        let mut worst: Vec<(f64, usize)> = (0..codes.n_columns())
            .map(|sample| (self.left(codes, sample, atoms.view(), &mut residual), sample))
            .collect();
        worst.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut given = 0;
        for (&atom, &(left, sample)) in dead.iter().zip(&worst) {
            if left <= 1e-20 * norm2(self.profiles, sample) {
                break;
            }
            // No code uses a dead module, so its change leaves all others.
            self.left(codes, sample, atoms.view(), &mut residual);
            if nonnegative {
                residual.iter_mut().for_each(|r| *r = r.max(0.0));
            }
            let norm = squared_norm(&residual).sqrt();
            if norm > 0.0 {
                let own = atoms.col_mut(atom).iter_mut();
                own.zip(&residual).for_each(|(a, r)| *a = r / norm);
                given += 1;
            }
        }
        given
    }
}

/// Modules that are zero or that no sample uses.
pub fn dead(atoms: ArrayView2<'_, f64>, codes: Csc<'_>) -> Vec<usize> {
    let uses = use_of_atoms(codes);
    (0..atoms.ncols()).filter(|&j| uses[j] == 0 || norm2(atoms, j) == 0.0).collect()
}
