//! Composite measurements: which genes are pooled with which weight, and what
//! the pools read.

use super::codes::column;
use crate::base::simd::vectors::{add_scaled, dot, squared_norm};
use crate::counts::Counts;
use crate::error::{check_length, check_value, CoreError};
use crate::parallel::{with_threads, Monitor};
use crate::rng::{stream, Purpose};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Draws of a row before the bound on the correlation is called impossible.
const MOST_DRAWS: usize = 2000;
/// Samples that are measured together.
const SAMPLE_BLOCK: usize = 64;
/// Genes whose columns are multiplied at a time.
const GENE_BLOCK: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Independent normal weights.
    Gaussian,
    /// Equal weights on `genes_per_pool` genes; genes are used about equally
    /// often.
    Sparse { genes_per_pool: usize },
}

/// Settings of [`Design::draw`].
#[derive(Clone, Debug)]
pub struct Design {
    pub measurements: usize,
    pub genes: usize,
    pub kind: Kind,
    /// Largest absolute Pearson correlation between two rows.
    pub max_correlation: f64,
    pub seed: u64,
}

/// Why no matrix was found: the row at which the draws ended, and the lowest
/// correlation of any of its draws.
#[derive(Clone, Debug, PartialEq)]
pub struct Crowded {
    pub row: usize,
    pub correlation: f64,
}

impl Design {
    fn check(&self) -> Result<(), CoreError> {
        check_value("measurements", self.measurements as f64, "at least 1", |v| v >= 1.0)?;
        check_value("genes", self.genes as f64, "at least 2", |v| v >= 2.0)?;
        check_value("max_correlation", self.max_correlation, "in (0, 1]", |v| v > 0.0 && v <= 1.0)?;
        if let Kind::Sparse { genes_per_pool } = self.kind {
            let genes = self.genes as f64;
            check_value("genes_per_pool", genes_per_pool as f64, "from 1 to below `genes`", |v| {
                v >= 1.0 && v < genes
            })?;
        }
        Ok(())
    }

    /// Draws rows of unit norm one after another, each anew until its Pearson
    /// correlation with all rows before it is within the bound.  The matrix is
    /// returned transposed, genes × measurements.
    ///
    /// # Errors
    /// `Argument` for settings out of range, `Interrupted`.
    pub fn draw(&self, monitor: &Monitor<'_>) -> Result<Result<Mat<f64>, Crowded>, CoreError> {
        self.check()?;
        let (genes, rows) = (self.genes, self.measurements);
        let mut weights = Mat::<f64>::zeros(genes, rows);
        // centred and scaled, so that their products are correlations
        let mut standard = Mat::<f64>::zeros(genes, rows);
        let mut uses = vec![0.0; genes];
        let mut candidate = vec![0.0; genes];
        let mut centred = vec![0.0; genes];
        for row in 0..rows {
            let mut rng = stream(self.seed, Purpose::Measurement, row);
            let mut lowest = f64::INFINITY;
            let mut draws = 0;
            loop {
                monitor.check()?;
                self.draw_row(&uses, draws, &mut rng, &mut candidate);
                standardise(&candidate, &mut centred);
                let correlation = (0..row)
                    .map(|earlier| dot(&centred, column(standard.as_ref(), earlier)).abs())
                    .fold(0.0, f64::max);
                if correlation <= self.max_correlation {
                    break;
                }
                lowest = lowest.min(correlation);
                draws += 1;
                if draws == MOST_DRAWS {
                    return Ok(Err(Crowded { row, correlation: lowest }));
                }
            }
            weights.col_as_slice_mut(row).copy_from_slice(&candidate);
            standard.col_as_slice_mut(row).copy_from_slice(&centred);
            for (count, &weight) in uses.iter_mut().zip(&candidate) {
                *count += f64::from(weight != 0.0);
            }
            monitor.advance(1);
        }
        Ok(Ok(weights))
    }

    fn draw_row(&self, uses: &[f64], draws: usize, rng: &mut impl Rng, row: &mut [f64]) {
        match self.kind {
            Kind::Gaussian => {
                row.iter_mut().for_each(|w| *w = StandardNormal.sample(rng));
                let norm = dot(row, row).sqrt();
                row.iter_mut().for_each(|w| *w /= norm);
            }
            Kind::Sparse { genes_per_pool } => {
                // Genes used least come first; ties, and more the more draws
                // have failed, are left to chance.
                let spread = 1.0 + 0.1 * draws as f64;
                let mut order: Vec<(f64, usize)> = uses
                    .iter()
                    .enumerate()
                    .map(|(gene, count)| (count + spread * rng.random::<f64>(), gene))
                    .collect();
                order.sort_by(|a, b| a.0.total_cmp(&b.0));
                row.fill(0.0);
                for &(_, gene) in &order[..genes_per_pool] {
                    row[gene] = 1.0 / (genes_per_pool as f64).sqrt();
                }
            }
        }
    }
}

fn standardise(row: &[f64], out: &mut [f64]) {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    out.iter_mut().zip(row).for_each(|(o, w)| *o = w - mean);
    let norm = dot(out, out).sqrt();
    out.iter_mut().for_each(|o| *o /= norm);
}

/// How alike rows and columns of a measurement matrix are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coherence {
    /// Largest absolute Pearson correlation between two rows.
    pub rows: f64,
    /// Largest and root-mean-square absolute cosine between the columns of two
    /// genes; genes in no measurement are left out.
    pub genes: f64,
    pub genes_rms: f64,
}

/// `weights` is genes × measurements.
pub fn coherence(
    weights: MatRef<'_, f64>,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Coherence, CoreError> {
    let (genes, rows) = weights.shape();
    let mut standard = Mat::<f64>::zeros(genes, rows);
    for row in 0..rows {
        standardise(column(weights, row), standard.col_as_slice_mut(row));
    }
    let mut products = Mat::<f64>::zeros(rows, rows);
    let factor = standard.as_ref();
    matmul(products.as_mut(), Accum::Replace, factor.transpose(), factor, 1.0, Par::Seq);
    let largest = (0..rows).flat_map(|j| (0..j).map(move |i| (i, j))).map(|at| products[at].abs());
    let rows_largest = largest.fold(0.0, f64::max);

    let used: Vec<usize> =
        (0..genes).filter(|&g| (0..rows).any(|r| weights[(g, r)] != 0.0)).collect();
    let mut unit = Mat::<f64>::from_fn(rows, used.len(), |r, g| weights[(used[g], r)]);
    for g in 0..used.len() {
        let own = unit.col_as_slice_mut(g);
        let norm = dot(own, own).sqrt();
        own.iter_mut().for_each(|w| *w /= norm);
    }
    let blocks: Vec<(usize, usize)> = (0..used.len())
        .step_by(GENE_BLOCK)
        .flat_map(|j| (0..=j).step_by(GENE_BLOCK).map(move |i| (i, j)))
        .collect();
    let unit = unit.as_ref();
    let parts: Result<Vec<(f64, f64)>, CoreError> = with_threads(threads, || {
        blocks
            .par_iter()
            .map(|&(i, j)| {
                monitor.check()?;
                let span = |start: usize| GENE_BLOCK.min(used.len() - start);
                let left = unit.subcols(i, span(i));
                let right = unit.subcols(j, span(j));
                let mut cosines = Mat::<f64>::zeros(span(i), span(j));
                matmul(cosines.as_mut(), Accum::Replace, left.transpose(), right, 1.0, Par::Seq);
                let (mut most, mut squares) = (0.0f64, 0.0);
                for b in 0..span(j) {
                    for a in 0..if i == j { b } else { span(i) } {
                        most = most.max(cosines[(a, b)].abs());
                        squares += cosines[(a, b)].powi(2);
                    }
                }
                Ok((most, squares))
            })
            .collect()
    })?;
    let parts = parts?;
    let pairs = (used.len() * used.len().saturating_sub(1) / 2).max(1) as f64;
    Ok(Coherence {
        rows: rows_largest,
        genes: parts.iter().map(|p| p.0).fold(0.0, f64::max),
        genes_rms: (parts.iter().map(|p| p.1).sum::<f64>() / pairs).sqrt(),
    })
}

/// Y = A (X + N), measurements × samples.  N is normal noise, scaled so that
/// ‖N‖_F = ‖X‖_F / `snr`; no noise when `snr` is infinite.
///
/// `weights` is Aᵀ, genes × measurements; `profiles` are X over the same genes.
///
/// # Errors
/// `Shape`, `Argument` (snr not positive), `Threads`, `Interrupted`.
pub fn measure(
    weights: MatRef<'_, f64>,
    profiles: &Counts<'_>,
    snr: f64,
    seed: u64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Mat<f64>, CoreError> {
    let samples = profiles.n_samples();
    check_length("profiles", weights.nrows(), profiles.n_genes())?;
    check_value("snr", snr, "positive", |v| v > 0.0)?;
    let blocks: Vec<usize> = (0..samples).step_by(SAMPLE_BLOCK).collect();
    let parts: Result<Vec<Part>, CoreError> = with_threads(threads, || {
        let parts = blocks.par_iter().map(|&first| {
            monitor.check()?;
            let count = SAMPLE_BLOCK.min(samples - first);
            let seed = snr.is_finite().then_some(seed);
            let part = measure_block(weights, profiles, first, count, seed);
            monitor.advance(count);
            Ok(part)
        });
        parts.collect()
    })?;
    let parts = parts?;
    let signal: f64 = parts.iter().map(|p| p.signal).sum();
    let noise: f64 = parts.iter().map(|p| p.noise).sum();
    let scale = if noise > 0.0 { (signal / noise).sqrt() / snr } else { 0.0 };
    let mut out = Mat::zeros(weights.ncols(), samples);
    for (part, &first) in parts.iter().zip(&blocks) {
        for j in 0..part.read.ncols() {
            let out = out.col_as_slice_mut(first + j);
            out.copy_from_slice(column(part.read.as_ref(), j));
            if scale > 0.0 {
                add_scaled(out, scale, column(part.read_noise.as_ref(), j));
            }
        }
    }
    Ok(out)
}

/// A X and A N of a block of samples, and the squared norms of X and N.
struct Part {
    read: Mat<f64>,
    read_noise: Mat<f64>,
    signal: f64,
    noise: f64,
}

fn measure_block(
    weights: MatRef<'_, f64>,
    profiles: &Counts<'_>,
    first: usize,
    count: usize,
    noise_seed: Option<u64>,
) -> Part {
    let (genes, measurements) = weights.shape();
    let mut block = Mat::<f64>::zeros(genes, count);
    for j in 0..count {
        profiles.column_into(first + j, block.col_as_slice_mut(j));
    }
    let project = |of: &Mat<f64>| {
        let mut read = Mat::<f64>::zeros(measurements, count);
        matmul(read.as_mut(), Accum::Replace, weights.transpose(), of, 1.0, Par::Seq);
        read
    };
    let squares = |of: &Mat<f64>| (0..count).map(|j| squared_norm(column(of.as_ref(), j))).sum();
    let (read, signal) = (project(&block), squares(&block));
    let Some(seed) = noise_seed else {
        return Part { read, read_noise: Mat::zeros(measurements, 0), signal, noise: 0.0 };
    };
    for j in 0..count {
        let mut rng = stream(seed, Purpose::MeasurementNoise, first + j);
        let own = block.col_as_slice_mut(j);
        own.iter_mut().for_each(|v| *v = StandardNormal.sample(&mut rng));
    }
    Part { read, read_noise: project(&block), signal, noise: squares(&block) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::parallel::unmonitored;

    fn design(kind: Kind) -> Design {
        Design { measurements: 40, genes: 200, kind, max_correlation: 0.2, seed: 3 }
    }

    fn draw(design: &Design) -> Result<Mat<f64>, Crowded> {
        unmonitored(|monitor| design.draw(monitor)).unwrap()
    }

    #[test]
    fn rows_have_unit_norm_and_bounded_correlation() {
        for kind in [Kind::Gaussian, Kind::Sparse { genes_per_pool: 15 }] {
            let weights = draw(&design(kind)).unwrap();
            for row in 0..40 {
                assert!((squared_norm(column(weights.as_ref(), row)) - 1.0).abs() < 1e-14);
            }
            let found = unmonitored(|m| coherence(weights.as_ref(), 1, m)).unwrap();
            assert!(found.rows <= 0.2 + 1e-12, "{found:?}");
            assert!(found.genes <= 1.0 + 1e-12 && found.genes_rms <= found.genes);
            let more = unmonitored(|m| coherence(weights.as_ref(), 3, m)).unwrap();
            assert_eq!(found, more);
        }
    }

    #[test]
    fn pools_use_genes_about_equally_often() {
        let weights = draw(&design(Kind::Sparse { genes_per_pool: 15 })).unwrap();
        let uses: Vec<usize> =
            (0..200).map(|g| (0..40).filter(|&r| weights[(g, r)] != 0.0).count()).collect();
        // 40 pools of 15 are 3 uses per gene
        assert_eq!(uses.iter().sum::<usize>(), 600);
        assert!(uses.iter().all(|&n| (2..=4).contains(&n)), "{uses:?}");
    }

    #[test]
    fn an_impossible_bound_ends_with_the_row_and_its_correlation() {
        let crowded = Design { genes: 5, measurements: 30, ..design(Kind::Gaussian) };
        let found = draw(&crowded).unwrap_err();
        assert!(found.row > 0 && found.correlation > 0.2, "{found:?}");
    }

    #[test]
    fn noise_has_the_stated_norm_and_is_that_of_the_profile_not_of_the_reading() {
        let genes = 60;
        let identity = Mat::<f64>::identity(genes, genes);
        let values: Vec<f64> = (0..genes * 100).map(|i| (i % 7) as f64).collect();
        let gene_of_row: Vec<i32> = (0..genes as i32).collect();
        let profiles =
            Counts::new(Matrix::dense(&values, (genes, 100)).unwrap(), &gene_of_row, genes)
                .unwrap();
        let read = |snr, threads| {
            unmonitored(|m| measure(identity.as_ref(), &profiles, snr, 5, threads, m)).unwrap()
        };
        let exact = read(f64::INFINITY, 1);
        assert!((0..values.len()).all(|i| exact[(i % genes, i / genes)] == values[i]));
        let noisy = read(2.0, 1);
        let (mut signal, mut noise) = (0.0, 0.0);
        for (i, v) in values.iter().enumerate() {
            signal += v * v;
            noise += (noisy[(i % genes, i / genes)] - v).powi(2);
        }
        assert!(((signal / noise).sqrt() - 2.0).abs() < 1e-12);
        assert_eq!(noisy, read(2.0, 2));
    }
}
