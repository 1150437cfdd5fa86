//! Programs: genes of a type that vary together.
//!
//! The deviation of a sample from the mean of type j is d_j = L_j z_j + δ_j, with
//! activities z of variance s² and δ_gj ~ (0, σ²_gj) gene by gene.  With x̂ the means
//! of the cohort, r = k − Σ_j e_j x̂_j, A = [e_1 L_1 … e_C L_C] and T_g the variance of a
//! count without programs,
//!
//! > V = (Aᵀ T⁻¹ A + diag(s²)⁻¹)⁻¹,  ẑ = V Aᵀ T⁻¹ r.
//!
//! s² comes from the cohort by EM, s² ← mean(ẑ² + V), which never lowers the
//! likelihood: a program that the samples do not show shrinks to nothing.

use super::block::Block;
use super::{Cohort, CohortFit, GENE_BLOCK, LEAST_SAMPLES};
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::linalg::{add_product, multiply, product, spectrum, Cholesky};
use crate::matrix::{from_fn, zeros, Array2, Array3, ArrayView2, Columns};
use ndarray::{s, ArrayView3, Axis, ShapeBuilder};
use std::ops::Range;

/// Rounds of EM for the sizes at most, and the relative change of all of them at which it
/// ends.  A size that goes to 0 does so like one over the rounds.
const ROUNDS: usize = 100;
const TOLERANCE: f64 = 1e-3;
/// A profile is not known below one in a million molecules.
const LEAST_LEVEL: f64 = 1e-6;

/// Profiles of donors (of conditions), several for a type.
pub struct DonorProfiles<'a> {
    /// Genes × profiles.
    pub counts: ArrayView2<'a, f64>,
    /// Molecules of each, over all genes of the reference.
    pub totals: &'a [f64],
    /// The type of each.
    pub of: &'a [usize],
}

/// Where the program of a type comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The type's own profiles.
    Own,
    /// The other types' programs, relative to their profiles.
    Borrowed,
}

/// One program per type: genes × types, in molecules per molecule of the type where
/// the activity is 1.
pub struct Start {
    pub loadings: Array2<f64>,
    pub origins: Vec<Origin>,
}

/// The programs that the reference shows.  Of each type with profiles the first principal
/// component, profiles weighted by their totals, genes by the precision of their counts,
/// less what counting explains; for the other types the mean relative program of these,
/// times the type's profile.  `None` where no type has profiles that differ by more than
/// counting.
///
/// # Errors
/// `Shape`, `Argument`.
pub fn start_programs(
    sources: &ArrayView2<'_, f64>,
    profiles: &DonorProfiles<'_>,
) -> Result<Option<Start>, CoreError> {
    let (n_genes, n_types) = sources.dim();
    check_length("counts", n_genes, profiles.counts.nrows())?;
    check_length("totals", profiles.counts.ncols(), profiles.totals.len())?;
    check_length("of", profiles.totals.len(), profiles.of.len())?;
    for &j in profiles.of {
        check_value("of", j as f64, "a type", |j| j < n_types as f64)?;
    }
    let mut loadings = zeros((n_genes, n_types));
    let mut own = Vec::new();
    let mut directions = Vec::new();
    for j in 0..n_types {
        let mine: Vec<usize> = (0..profiles.of.len()).filter(|&p| profiles.of[p] == j).collect();
        if let Some((loading, direction)) = first_component(profiles, &mine) {
            loadings.col_mut(j).copy_from_slice(&loading);
            directions.extend(direction);
            own.push(j);
        }
    }
    if own.is_empty() {
        return Ok(None);
    }
    // one sign for all: that in which most of them agree
    let directions = from_fn((n_genes, own.len()), |g, p| directions[p * n_genes + g]);
    let agreement = spectrum(&product(&directions.t(), &directions)).vectors;
    let mut relative = vec![0.0; n_genes];
    let mut level = vec![own.len() as f64 * LEAST_LEVEL; n_genes];
    for (p, &j) in own.iter().enumerate() {
        let sign = if agreement[(p, 0)] < 0.0 { -1.0 } else { 1.0 };
        loadings.col_mut(j).iter_mut().for_each(|l| *l *= sign);
        relative.iter_mut().zip(loadings.col(j)).for_each(|(sum, l)| *sum += l);
        level.iter_mut().zip(sources.column(j)).for_each(|(sum, l)| *sum += l);
    }
    let largest = relative.iter().fold(0.0f64, |a, &b| if b.abs() > a.abs() { b } else { a });
    if largest < 0.0 {
        loadings.iter_mut().chain(&mut relative).for_each(|l| *l = -*l);
    }
    let mut origins = vec![Origin::Own; n_types];
    for j in (0..n_types).filter(|j| !own.contains(j)) {
        origins[j] = Origin::Borrowed;
        for g in 0..n_genes {
            loadings[(g, j)] = relative[g] / level[g] * sources[(g, j)];
        }
    }
    Ok(Some(Start { loadings, origins }))
}

/// L and its direction, of length 1 where genes have the same error.
fn first_component(profiles: &DonorProfiles<'_>, mine: &[usize]) -> Option<(Vec<f64>, Vec<f64>)> {
    let n_genes = profiles.counts.nrows();
    let total: f64 = mine.iter().map(|&p| profiles.totals[p]).sum();
    let shares: Vec<f64> = mine.iter().map(|&p| profiles.totals[p] / total).collect();
    let mut scaled = from_fn((n_genes, mine.len()), |g, p| {
        profiles.counts[(g, mine[p])] / profiles.totals[mine[p]]
    });
    let mut error = vec![0.0; n_genes];
    for g in 0..n_genes {
        let mean: f64 = shares.iter().enumerate().map(|(p, w)| w * scaled[(g, p)]).sum();
        error[g] = (mean + 1.0 / total).sqrt();
        for (p, w) in shares.iter().enumerate() {
            scaled[(g, p)] = (scaled[(g, p)] - mean) / error[g] * w.sqrt();
        }
    }
    let found = spectrum(&product(&scaled.t(), &scaled));
    let square = *found.values.first()?;
    let counting: f64 = mine.len() as f64 / total;
    if square <= counting || square.is_nan() {
        return None;
    }
    let direction: Vec<f64> = scaled
        .rows()
        .into_iter()
        .map(|row| {
            let along: f64 = row.iter().zip(found.vectors.col(0)).map(|(x, v)| x * v).sum();
            along / square.sqrt()
        })
        .collect();
    let size = (square - counting).sqrt();
    let loading = direction.iter().zip(&error).map(|(u, e)| size * u * e).collect();
    Some((loading, direction))
}

/// Programs of a cohort.
pub struct Programs<'a> {
    /// L, genes × programs.
    pub loadings: ArrayView2<'a, f64>,
    /// The source of each.
    pub of: &'a [usize],
    /// s².
    pub sizes: &'a [f64],
}

/// What the samples show of the programs.
pub struct Activities {
    /// ẑ, programs × samples.
    pub mean: Array2<f64>,
    /// V, programs × programs × samples.
    pub covariance: Array3<f64>,
    /// s² per program: the variance of the activities in the cohort over that in the
    /// reference.
    pub sizes: Vec<f64>,
    /// The likelihood's logarithm, up to a constant, before every round of EM and at the
    /// end.
    pub trace: Vec<f64>,
}

impl Cohort<'_> {
    /// Activities of programs in all samples.  With `learn`, sizes begin at those given
    /// and are learnt where there are samples enough.
    ///
    /// # Errors
    /// `Shape`, `Argument`, `Threads`, `Interrupted`.
    pub fn activities(
        &self,
        fit: &CohortFit,
        programs: &Programs<'_>,
        learn: bool,
        threads: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Activities, CoreError> {
        self.check_programs(programs)?;
        let (precision, pull) =
            with_threads(threads, || self.program_products(fit, programs, monitor))??;
        let n_samples = self.n_samples();
        let mut sizes = programs.sizes.to_vec();
        let mut found = posterior(&precision, &pull, &sizes)?;
        if learn && n_samples >= LEAST_SAMPLES {
            for _ in 0..ROUNDS {
                let mut change = 0.0f64;
                for (p, size) in sizes.iter_mut().enumerate() {
                    let squares = |s| found.mean[(p, s)].powi(2) + found.covariance[(p, p, s)];
                    let new = (0..n_samples).map(squares).sum::<f64>() / n_samples as f64;
                    change = change.max((new - *size).abs() / size.max(f64::MIN_POSITIVE));
                    *size = new;
                }
                let mut trace = std::mem::take(&mut found.trace);
                found = posterior(&precision, &pull, &sizes)?;
                trace.append(&mut found.trace);
                found.trace = trace;
                if change < TOLERANCE {
                    break;
                }
            }
        }
        Ok(found)
    }

    pub(super) fn check_programs(&self, programs: &Programs<'_>) -> Result<(), CoreError> {
        let (n_genes, n_programs) = programs.loadings.dim();
        check_length("loadings", self.n_genes(), n_genes)?;
        check_length("of", n_programs, programs.of.len())?;
        check_length("sizes", n_programs, programs.sizes.len())?;
        for &j in programs.of {
            check_value("of", j as f64, "a source", |j| j < self.n_sources() as f64)?;
        }
        for &size in programs.sizes {
            check_value("sizes", size, "0 or more", |v| v >= 0.0 && v.is_finite())?;
        }
        Ok(())
    }

    /// Aᵀ T⁻¹ A (programs × programs × samples) and Aᵀ T⁻¹ r (programs × samples).
    fn program_products(
        &self,
        fit: &CohortFit,
        programs: &Programs<'_>,
        monitor: &Monitor<'_>,
    ) -> Result<(Array3<f64>, Array2<f64>), CoreError> {
        let (n_programs, n_samples) = (programs.of.len(), self.n_samples());
        let pairs: Vec<(usize, usize)> =
            (0..n_programs).flat_map(|q| (q..n_programs).map(move |p| (p, q))).collect();
        let exposures = self.exposures(fit);
        let work = |genes: Range<usize>| {
            let mut block = self.block(genes.clone(), fit);
            let between = self.between(&block, fit);
            block.update(&exposures, between.view(), &self.prior.donors, fit.tau2);
            let residuals = &block.residual * &block.weight;
            let scaled = from_fn((genes.len(), n_programs), |row, p| {
                block.scale[row] * programs.loadings[(block.genes[row], p)]
            });
            let products = from_fn((genes.len(), pairs.len()), |row, at| {
                scaled[(row, pairs[at].0)] * scaled[(row, pairs[at].1)]
            });
            Ok((product(&products.t(), &block.weight), product(&scaled.t(), &residuals)))
        };
        let mut sums = zeros((pairs.len(), n_samples));
        let mut pull = zeros((n_programs, n_samples));
        over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |_, (block, own)| {
            sums += &block;
            pull += &own;
        })?;
        let mut precision = Array3::zeros((n_programs, n_programs, n_samples).f());
        for s in 0..n_samples {
            let exposure = |p: usize| exposures.own[(programs.of[p], s)];
            for (at, &(p, q)) in pairs.iter().enumerate() {
                let value = exposure(p) * exposure(q) * sums[(at, s)];
                precision[(p, q, s)] = value;
                precision[(q, p, s)] = value;
            }
            for p in 0..n_programs {
                pull[(p, s)] *= exposure(p);
            }
        }
        Ok((precision, pull))
    }
}

/// ẑ and V of every sample, with z = S u, S² the sizes: V = S (I + S M S)⁻¹ S holds for
/// sizes of 0, too.
fn posterior(
    precision: &Array3<f64>,
    pull: &Array2<f64>,
    sizes: &[f64],
) -> Result<Activities, CoreError> {
    let (n, n_samples) = pull.dim();
    let root: Vec<f64> = sizes.iter().map(|s| s.sqrt()).collect();
    let mut mean = zeros((n, n_samples));
    let mut covariance = Array3::zeros((n, n, n_samples).f());
    let mut likelihood = 0.0;
    for s in 0..n_samples {
        let scaled = from_fn((n, n), |p, q| {
            root[p] * root[q] * precision[(p, q, s)] + if p == q { 1.0 } else { 0.0 }
        });
        // I plus a matrix without negative eigenvalues has a factor, unless it has NaN
        let factor = Cholesky::new(scaled).ok_or(CoreError::Argument {
            name: "exposures",
            found: f64::NAN,
            expected: "finite",
        })?;
        let mut inverse = factor.inverse();
        for ((p, q), value) in inverse.indexed_iter_mut() {
            *value *= root[p] * root[q];
        }
        let own = pull.slice(s![.., s..s + 1]);
        let mut part = zeros((n, 1));
        add_product(&mut part, 1.0, &inverse, &own);
        likelihood += 0.5 * part.iter().zip(own).map(|(z, b)| z * b).sum::<f64>();
        likelihood -= factor.half_log_determinant();
        mean.col_mut(s).copy_from_slice(part.col(0));
        covariance.index_axis_mut(Axis(2), s).assign(&inverse);
    }
    Ok(Activities { mean, covariance, sizes: sizes.to_vec(), trace: vec![likelihood] })
}

/// Programs and their activities as prediction takes them, in the samples asked for.
pub struct KnownPrograms<'a> {
    pub programs: Programs<'a>,
    /// ẑ, programs × asked samples.
    pub mean: ArrayView2<'a, f64>,
    /// V, programs × programs × asked samples.
    pub covariance: ArrayView3<'a, f64>,
}

/// What the programs add to the genes of a block in one sample.
pub(super) struct Effect {
    /// Reads where the activity is 1, genes × programs.
    pub along: Array2<f64>,
    /// That times V.
    pub spread: Array2<f64>,
    /// Reads of all programs together, and the variance of that.
    pub sum: Vec<f64>,
    pub variance: Vec<f64>,
}

/// What the programs of one type add, per gene.
pub(super) struct OfType {
    /// Reads, and the variance that they had before the counts.
    pub sum: Vec<f64>,
    pub prior: Vec<f64>,
    /// Variance of the reads, and covariance with those of all programs.
    pub variance: Vec<f64>,
    pub covariance: Vec<f64>,
}

impl KnownPrograms<'_> {
    pub(super) fn check(&self, cohort: &Cohort<'_>, n_samples: usize) -> Result<(), CoreError> {
        cohort.check_programs(&self.programs)?;
        let n = self.programs.of.len();
        check_length("mean", n, self.mean.nrows())?;
        check_length("mean", n_samples, self.mean.ncols())?;
        let (rows, columns, layers) = self.covariance.dim();
        check_length("covariance", n, rows)?;
        check_length("covariance", n, columns)?;
        check_length("covariance", n_samples, layers)
    }

    fn of_source(&self, j: usize) -> Vec<usize> {
        (0..self.programs.of.len()).filter(|&p| self.programs.of[p] == j).collect()
    }

    /// Of the genes of a block in the asked sample `at`, whose exposures are `own`.
    pub(super) fn effect(&self, block: &Block, at: usize, own: &[f64]) -> Effect {
        let of = self.programs.of;
        let along = from_fn((block.len(), of.len()), |row, p| {
            block.scale[row] * own[of[p]] * self.programs.loadings[(block.genes[row], p)]
        });
        let mut spread = zeros(along.dim());
        multiply(&mut spread, &along, &self.covariance.index_axis(Axis(2), at));
        let (mut sum, mut variance) = (vec![0.0; block.len()], vec![0.0; block.len()]);
        for p in 0..of.len() {
            for row in 0..block.len() {
                sum[row] += along[(row, p)] * self.mean[(p, at)];
                variance[row] += along[(row, p)] * spread[(row, p)];
            }
        }
        Effect { along, spread, sum, variance }
    }

    pub(super) fn of_type(&self, j: usize, at: usize, effect: &Effect) -> OfType {
        let n = effect.sum.len();
        let none = || vec![0.0; n];
        let mut found = OfType { sum: none(), prior: none(), variance: none(), covariance: none() };
        for p in self.of_source(j) {
            for row in 0..n {
                let own = effect.along[(row, p)];
                found.sum[row] += own * self.mean[(p, at)];
                found.prior[row] += own * own * self.programs.sizes[p];
                found.covariance[row] += own * effect.spread[(row, p)];
            }
            for q in self.of_source(j) {
                let shared = self.covariance[(q, p, at)];
                for row in 0..n {
                    found.variance[row] += effect.along[(row, p)] * shared * effect.along[(row, q)];
                }
            }
        }
        found
    }

    /// Adds L ẑ to the means of the types of a sample, genes × types.
    pub(super) fn add_deviations(&self, block: &Block, at: usize, means: &mut Array2<f64>) {
        for (p, &j) in self.programs.of.iter().enumerate() {
            for row in 0..block.len() {
                let loading = block.scale[row] * self.programs.loadings[(block.genes[row], p)];
                means[(row, j)] += loading * self.mean[(p, at)];
            }
        }
    }

    /// Adds the variance of a sample's deviation that the programs of `j` make.
    pub(super) fn add_prior_variance(&self, block: &Block, j: usize, variance: &mut [f64]) {
        for p in self.of_source(j) {
            for (row, variance) in variance.iter_mut().enumerate() {
                let loading = block.scale[row] * self.programs.loadings[(block.genes[row], p)];
                *variance += loading * loading * self.programs.sizes[p];
            }
        }
    }
}
