//! Patterns that the residuals of many samples share.
//!
//! Residuals are log ratios r = log((k + φ)/(μ + φ)), less the median of their
//! sample: an error of a gene between platforms is then one constant, which the
//! mean over samples takes away, whatever the gene's level.  What follows the
//! composition of the samples (errors of a gene that differ between types) lies
//! in the span of a given basis and is taken away as well.  The patterns are the
//! leading singular vectors of the rest.
//!
//! What chance makes of residuals of the same sizes is told by random signs
//! (Hong, Sheng and Dobriban 2020): they keep the size of every entry, so of
//! noisy genes and samples, and destroy what entries have in common.

use crate::base::error::{check_length, CoreError};
use crate::base::numbers::median;
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::matrix::counts::Counts;
use crate::matrix::linalg::{add_product, product, spectrum, Spectrum};
use crate::matrix::{zeros, Array2, ArrayRef2, ArrayView2, Columns};
use ndarray::s;
use rand::Rng;
use std::ops::Range;

/// Genes whose products are summed together.
const BLOCK: usize = 1024;

/// Part of a sample's residuals that the basis leaves, at least.
const LEAST_FREEDOM: f64 = 0.05;

/// Settings of [`residual_patterns`].
#[derive(Clone, Debug)]
pub struct PatternParams {
    /// Patterns to return at most.
    pub n_patterns: usize,
    /// Draws of random signs.
    pub draws: usize,
    pub seed: u64,
    pub threads: usize,
}

/// Residuals and what they share.
pub struct Patterns {
    /// Mean log ratio of each gene over samples.
    pub offsets: Vec<f64>,
    /// Sums of squares: of the offsets, of what follows the basis, of the rest.
    pub squares: [f64; 3],
    /// Share of the rest's squares that each pattern holds, largest first.
    pub shares: Vec<f64>,
    /// The same under random signs, patterns × draws.
    pub null_shares: Array2<f64>,
    /// Genes × patterns: log ratio at a loading of 1.
    pub genes: Array2<f64>,
    /// Samples × patterns: loadings, of length 1.
    pub samples: Array2<f64>,
}

/// Patterns of the residuals at the given exposures (sources × samples).
/// `counts` and `signatures` (genes × sources) are over the genes to look at,
/// `lengths` holds ℓ_g, `floors` φ per sample.  The columns of `basis` (samples ×
/// any) are orthonormal; the first must be the constant.
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
#[allow(clippy::too_many_arguments)]
pub fn residual_patterns(
    counts: &Counts<'_>,
    signatures: ArrayView2<'_, f64>,
    lengths: &[f64],
    exposures: ArrayView2<'_, f64>,
    floors: &[f64],
    basis: ArrayView2<'_, f64>,
    params: &PatternParams,
    monitor: &Monitor<'_>,
) -> Result<Patterns, CoreError> {
    let (n_genes, n_samples) = (counts.n_genes(), counts.n_samples());
    check_length("signatures", n_genes, signatures.nrows())?;
    check_length("lengths", n_genes, lengths.len())?;
    check_length("exposures", signatures.ncols(), exposures.nrows())?;
    check_length("exposures", n_samples, exposures.ncols())?;
    check_length("floors", n_samples, floors.len())?;
    check_length("basis", n_samples, basis.nrows())?;
    with_threads(params.threads, || {
        let mut residuals = log_ratios(counts, signatures, lengths, exposures, floors, monitor)?;
        let offsets: Vec<f64> = (0..n_genes)
            .map(|g| (0..n_samples).map(|s| residuals[(g, s)]).sum::<f64>() / n_samples as f64)
            .collect();
        let constant = n_samples as f64 * offsets.iter().map(|m| m * m).sum::<f64>();
        let total = squares(&residuals);
        // R − R B Bᵀ
        let along = product(&residuals, &basis);
        add_product(&mut residuals, -1.0, &along, &basis.t());
        let rest = squares(&residuals);
        let n_patterns = params.n_patterns.min(n_samples.saturating_sub(basis.ncols()));
        let Spectrum { values, vectors } = spectrum(&signed_gram(&residuals, None));
        let shares: Vec<f64> = (0..n_patterns).map(|k| share(values[k], &values)).collect();
        let samples = vectors.slice_move(s![.., ..n_patterns]);
        let genes = product(&residuals, &samples);
        // Residuals of samples that the basis fits closely are too small.
        for s in 0..n_samples {
            let leverage: f64 = (0..basis.ncols()).map(|b| basis[(s, b)].powi(2)).sum();
            let scale = (1.0 - leverage).max(LEAST_FREEDOM).sqrt().recip();
            residuals.col_mut(s).iter_mut().for_each(|r| *r *= scale);
        }
        let mut null_shares = zeros((n_patterns, params.draws));
        let draw = |draws: Range<usize>| {
            let gram = signed_gram(&residuals, Some((params.seed, draws.start)));
            let values = spectrum(&project(&gram, &basis)).values;
            monitor.advance(1);
            Ok(values)
        };
        over_blocks(params.draws, 1, monitor, draw, |draws, values| {
            for (k, null) in null_shares.col_mut(draws.start).iter_mut().enumerate() {
                *null = share(values[k], &values);
            }
        })?;
        let squares = [constant, (total - constant - rest).max(0.0), rest];
        Ok(Patterns { offsets, squares, shares, null_shares, genes, samples })
    })?
}

fn log_ratios(
    counts: &Counts<'_>,
    signatures: ArrayView2<'_, f64>,
    lengths: &[f64],
    exposures: ArrayView2<'_, f64>,
    floors: &[f64],
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let (n_genes, n_samples) = (counts.n_genes(), counts.n_samples());
    let mut ratios = zeros((n_genes, n_samples));
    let of = |samples: Range<usize>| {
        let sample = samples.start;
        let mean = product(&signatures, &exposures.slice(s![.., samples]));
        let mut column = vec![0.0; n_genes];
        counts.column_into(sample, &mut column);
        let floor = floors[sample];
        for ((k, mu), length) in column.iter_mut().zip(mean.col(0)).zip(lengths) {
            *k = ((*k + floor) / (mu * length + floor)).ln();
        }
        let middle = median(column.clone());
        column.iter_mut().for_each(|r| *r -= middle);
        Ok(column)
    };
    over_blocks(n_samples, 1, monitor, of, |samples, column| {
        ratios.col_mut(samples.start).copy_from_slice(&column);
    })?;
    Ok(ratios)
}

fn squares(matrix: &Array2<f64>) -> f64 {
    (0..matrix.ncols()).map(|j| matrix.col(j).iter().map(|v| v * v).sum::<f64>()).sum()
}

/// Share of the trace that an eigenvalue holds.
fn share(value: f64, values: &[f64]) -> f64 {
    let trace: f64 = values.iter().map(|v| v.max(0.0)).sum();
    if trace > 0.0 {
        value.max(0.0) / trace
    } else {
        0.0
    }
}

/// RᵀR, with random signs of the entries of R where a seed and a number are given.
fn signed_gram(residuals: &Array2<f64>, signs: Option<(u64, usize)>) -> Array2<f64> {
    let (n_genes, n_samples) = residuals.dim();
    let mut gram = zeros((n_samples, n_samples));
    let mut rng = signs.map(|(seed, draw)| stream(seed, Purpose::Signs, draw));
    let mut block = zeros((BLOCK.min(n_genes), n_samples));
    for start in (0..n_genes).step_by(BLOCK) {
        let rows = BLOCK.min(n_genes - start);
        let mut part = residuals.slice(s![start..start + rows, ..]);
        if let Some(rng) = rng.as_mut() {
            for s in 0..n_samples {
                let from = &residuals.col(s)[start..start + rows];
                let to = &mut block.col_mut(s)[..rows];
                for (to, from) in to.chunks_mut(64).zip(from.chunks(64)) {
                    let mut bits: u64 = rng.random();
                    for (to, from) in to.iter_mut().zip(from) {
                        // the sign is the highest bit
                        *to = f64::from_bits(from.to_bits() ^ (bits << 63));
                        bits >>= 1;
                    }
                }
            }
            part = block.slice(s![..rows, ..]);
        }
        add_product(&mut gram, 1.0, &part.t(), &part);
    }
    gram
}

/// (I − B Bᵀ) G (I − B Bᵀ).
fn project(gram: &Array2<f64>, basis: &ArrayRef2<f64>) -> Array2<f64> {
    let mut projector = zeros(gram.dim());
    projector.diag_mut().fill(1.0);
    add_product(&mut projector, -1.0, basis, &basis.t());
    product(&product(&projector, gram), &projector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::matrix::Matrix;
    use rand_distr::{Distribution, StandardNormal};

    const GENES: usize = 600;
    const SAMPLES: usize = 20;

    /// Counts around 1000 with errors per gene, noise, and a program of the first
    /// 40 genes in the last 6 samples.
    fn counts(size: f64) -> Vec<f64> {
        let mut rng = stream(8, Purpose::Bulk, 0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let errors: Vec<f64> = (0..GENES).map(|_| 0.5 * normal()).collect();
        let mut out = Vec::new();
        for s in 0..SAMPLES {
            for (g, error) in errors.iter().enumerate() {
                let program = if g < 40 && s >= SAMPLES - 6 { size } else { 0.0 };
                out.push(1000.0 * (error + 0.1 * normal() + program).exp());
            }
        }
        out
    }

    fn patterns(counts: &[f64], threads: usize) -> Patterns {
        let genes: Vec<i32> = (0..GENES as i32).collect();
        let view =
            Counts::new(Matrix::dense(counts, (GENES, SAMPLES)).unwrap(), &genes, GENES).unwrap();
        let signatures = Array2::from_elem((GENES, 1), 1.0);
        let exposures = Array2::from_elem((1, SAMPLES), 1000.0);
        let basis = Array2::from_elem((SAMPLES, 1), (SAMPLES as f64).sqrt().recip());
        let params = PatternParams { n_patterns: 2, draws: 9, seed: 1, threads };
        unmonitored(|monitor| {
            residual_patterns(
                &view,
                signatures.view(),
                &[1.0; GENES],
                exposures.view(),
                &[1.0; SAMPLES],
                basis.view(),
                &params,
                monitor,
            )
        })
        .unwrap()
    }

    #[test]
    fn a_planted_program_stands_out_and_errors_of_genes_do_not() {
        let chance = |p: &Patterns| (0..9).map(|d| p.null_shares[(0, d)]).fold(0.0, f64::max);
        let none = patterns(&counts(0.0), 1);
        assert!(none.shares[0] < 1.1 * chance(&none), "{} {}", none.shares[0], chance(&none));
        let found = patterns(&counts(0.5), 1);
        assert!(found.shares[0] > 2.0 * chance(&found));
        let scores = found.genes.col(0);
        let sign = scores[0].signum();
        let least = scores[..40].iter().map(|s| sign * s).fold(f64::INFINITY, f64::min);
        let largest = scores[40..].iter().map(|s| s.abs()).fold(0.0, f64::max);
        assert!(least > largest);
        // a step of 6 in 20 samples, of length 1 and mean 0
        let step = (14.0 * 6.0 / 20.0f64).sqrt().recip();
        for s in 0..SAMPLES {
            let expected = if s < 14 { -6.0 / 20.0 * step } else { 14.0 / 20.0 * step };
            assert!((sign * found.samples[(s, 0)] - expected).abs() < 0.05);
        }
    }

    #[test]
    fn squares_add_up_and_threads_change_nothing() {
        let counts = counts(0.3);
        let (one, two) = (patterns(&counts, 1), patterns(&counts, 2));
        assert_eq!(one.shares, two.shares);
        assert_eq!(one.null_shares, two.null_shares);
        // the basis holds the constant alone
        assert!(one.squares[1] < 1e-9 * one.squares[0]);
        assert!(one.shares.iter().sum::<f64>() <= 1.0);
    }
}
