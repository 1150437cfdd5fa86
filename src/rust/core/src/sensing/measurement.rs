//! Composite measurements: which genes are pooled with which weight, and what
//! the pools read.

use crate::base::error::{check_length, check_memory, check_value, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::{add_scaled, dot, squared_norm};
use crate::matrix::counts::Counts;
use crate::matrix::linalg::product;
use crate::matrix::{column, from_fn, zeros, Array2, ArrayView2, Columns};
use ndarray::s;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::ops::Range;

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
        check_memory("measurements", &[2, self.genes, self.measurements])?;
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
    pub fn draw(&self, monitor: &Monitor<'_>) -> Result<Result<Array2<f64>, Crowded>, CoreError> {
        self.check()?;
        let (genes, rows) = (self.genes, self.measurements);
        let mut weights = zeros((genes, rows));
        // centred and scaled, so that their products are correlations
        let mut standard = zeros((genes, rows));
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
                    .map(|earlier| dot(&centred, standard.col(earlier)).abs())
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
            weights.col_mut(row).copy_from_slice(&candidate);
            standard.col_mut(row).copy_from_slice(&centred);
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
    weights: ArrayView2<'_, f64>,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Coherence, CoreError> {
    let (genes, rows) = weights.dim();
    let mut standard = zeros((genes, rows));
    for row in 0..rows {
        standardise(column(weights, row), standard.col_mut(row));
    }
    let products = product(&standard.t(), &standard);
    let largest = (0..rows).flat_map(|j| (0..j).map(move |i| (i, j))).map(|at| products[at].abs());
    let rows_largest = largest.fold(0.0, f64::max);

    let used: Vec<usize> =
        (0..genes).filter(|&g| (0..rows).any(|r| weights[(g, r)] != 0.0)).collect();
    let mut unit = from_fn((rows, used.len()), |r, g| weights[(used[g], r)]);
    for g in 0..used.len() {
        let own = unit.col_mut(g);
        let norm = dot(own, own).sqrt();
        own.iter_mut().for_each(|w| *w /= norm);
    }
    let blocks: Vec<(usize, usize)> = (0..used.len())
        .step_by(GENE_BLOCK)
        .flat_map(|j| (0..=j).step_by(GENE_BLOCK).map(move |i| (i, j)))
        .collect();
    let unit = unit.view();
    let parts: Result<Vec<(f64, f64)>, CoreError> = with_threads(threads, || {
        blocks
            .par_iter()
            .map(|&(i, j)| {
                monitor.check()?;
                let span = |start: usize| GENE_BLOCK.min(used.len() - start);
                let left = unit.slice(s![.., i..i + span(i)]);
                let right = unit.slice(s![.., j..j + span(j)]);
                let cosines = product(&left.t(), &right);
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
    weights: ArrayView2<'_, f64>,
    profiles: &Counts<'_>,
    snr: f64,
    seed: u64,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let samples = profiles.n_samples();
    check_length("profiles", weights.nrows(), profiles.n_genes())?;
    check_value("snr", snr, "positive", |v| v > 0.0)?;
    let noise_seed = snr.is_finite().then_some(seed);
    let mut out = zeros((weights.ncols(), samples));
    let mut read_noise = zeros((weights.ncols(), if noise_seed.is_some() { samples } else { 0 }));
    let (mut signal, mut noise) = (0.0, 0.0);
    with_threads(threads, || {
        let block = |range: Range<usize>| Ok(measure_block(weights, profiles, range, noise_seed));
        over_blocks(samples, SAMPLE_BLOCK, monitor, block, |range, part| {
            monitor.advance(range.len());
            out.slice_mut(s![.., range.clone()]).assign(&part.read);
            signal += part.signal;
            if noise_seed.is_some() {
                read_noise.slice_mut(s![.., range]).assign(&part.read_noise);
                noise += part.noise;
            }
        })
    })??;
    if noise > 0.0 {
        let scale = (signal / noise).sqrt() / snr;
        (0..samples).for_each(|j| add_scaled(out.col_mut(j), scale, read_noise.col(j)));
    }
    Ok(out)
}

/// A X and A N of a block of samples, and the squared norms of X and N.
struct Part {
    read: Array2<f64>,
    read_noise: Array2<f64>,
    signal: f64,
    noise: f64,
}

fn measure_block(
    weights: ArrayView2<'_, f64>,
    profiles: &Counts<'_>,
    range: Range<usize>,
    noise_seed: Option<u64>,
) -> Part {
    let mut block = zeros((weights.nrows(), range.len()));
    let project = |of: &Array2<f64>| product(&weights.t(), of);
    let squares = |of: &Array2<f64>| (0..of.ncols()).map(|j| squared_norm(of.col(j))).sum();
    for (j, sample) in range.clone().enumerate() {
        profiles.column_into(sample, block.col_mut(j));
    }
    let (read, signal) = (project(&block), squares(&block));
    let Some(seed) = noise_seed else {
        return Part { read, read_noise: zeros((weights.ncols(), 0)), signal, noise: 0.0 };
    };
    for (j, sample) in range.enumerate() {
        let mut rng = stream(seed, Purpose::MeasurementNoise, sample);
        block.col_mut(j).iter_mut().for_each(|v| *v = StandardNormal.sample(&mut rng));
    }
    Part { read, read_noise: project(&block), signal, noise: squares(&block) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::matrix::Matrix;

    fn design(kind: Kind) -> Design {
        Design { measurements: 40, genes: 200, kind, max_correlation: 0.2, seed: 3 }
    }

    fn draw(design: &Design) -> Result<Array2<f64>, Crowded> {
        unmonitored(|monitor| design.draw(monitor)).unwrap()
    }

    #[test]
    fn rows_have_unit_norm_and_bounded_correlation() {
        for kind in [Kind::Gaussian, Kind::Sparse { genes_per_pool: 15 }] {
            let weights = draw(&design(kind)).unwrap();
            for row in 0..40 {
                assert!((squared_norm(weights.col(row)) - 1.0).abs() < 1e-14);
            }
            let found = unmonitored(|m| coherence(weights.view(), 1, m)).unwrap();
            assert!(found.rows <= 0.2 + 1e-12, "{found:?}");
            assert!(found.genes <= 1.0 + 1e-12 && found.genes_rms <= found.genes);
            let more = unmonitored(|m| coherence(weights.view(), 3, m)).unwrap();
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
        let identity = from_fn((genes, genes), |i, j| f64::from(u8::from(i == j)));
        let values: Vec<f64> = (0..genes * 100).map(|i| (i % 7) as f64).collect();
        let gene_of_row: Vec<i32> = (0..genes as i32).collect();
        let profiles =
            Counts::new(Matrix::dense(&values, (genes, 100)).unwrap(), &gene_of_row, genes)
                .unwrap();
        let read = |snr, threads| {
            unmonitored(|m| measure(identity.view(), &profiles, snr, 5, threads, m)).unwrap()
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
