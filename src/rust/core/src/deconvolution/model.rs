//! The model of one cohort: k_g ~ Poisson(μ_g), μ_g = Σ_j a_gj e_j,
//! a_gj = ℓ_g S_gj, with a weight w_g per gene (power likelihood).

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::base::simd::LANES;
use crate::matrix::counts::Counts;
use crate::matrix::linalg::multiply;
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, ArrayViewMut2, Columns};
use ndarray::s;
use std::ops::Range;

/// Genes per block: what a block needs (signatures, μ and its pairs of
/// sources) stays in the second-level cache.
pub const GENE_BLOCK: usize = 256;

/// Signatures scaled by length, over the genes that carry weight and that some
/// source expresses.  Shared by all samples.
pub struct Model {
    /// Genes × sources, a_gj; rows padded with zeros to a multiple of [`LANES`].
    design: Array2<f64>,
    /// w_g per row of `design`; 0 in the padding.
    weights: Vec<f64>,
    /// c_j = Σ_g w_g a_gj.
    cost: Vec<f64>,
    /// ℓ_g per row of `design`; 1 in the padding.
    lengths: Vec<f64>,
    log_lengths: Vec<f64>,
    /// Row of `design` for each gene of the caller, or -1.
    row_of_gene: Vec<i32>,
    n_used: usize,
    n_types: usize,
}

impl Model {
    /// `signatures` is genes × sources (S, background columns last), `lengths`
    /// holds ℓ_g > 0 and `weights` w_g in [0, 1] per gene.  The first `n_types`
    /// sources are cell types, the rest background (free of penalties).
    ///
    /// # Errors
    /// `Shape`, `Argument`, and `EmptySource` when a source has no expression
    /// in the genes that carry weight.
    pub fn new(
        signatures: ArrayView2<'_, f64>,
        lengths: &[f64],
        weights: &[f64],
        n_types: usize,
    ) -> Result<Self, CoreError> {
        let (n_genes, n_sources) = signatures.dim();
        check_length("lengths", n_genes, lengths.len())?;
        check_length("weights", n_genes, weights.len())?;
        check_value("n_types", n_types as f64, "between 1 and the number of sources", |n| {
            n >= 1.0 && n <= n_sources as f64
        })?;
        for g in 0..n_genes {
            check_value("lengths", lengths[g], "positive", |l| l > 0.0 && l.is_finite())?;
            check_value("weights", weights[g], "in [0, 1]", |w| (0.0..=1.0).contains(&w))?;
            for j in 0..n_sources {
                let valid = |s: f64| s >= 0.0 && s.is_finite();
                check_value("signatures", signatures[(g, j)], "non-negative", valid)?;
            }
        }
        let used: Vec<usize> = (0..n_genes)
            .filter(|&g| weights[g] > 0.0 && (0..n_sources).any(|j| signatures[(g, j)] > 0.0))
            .collect();
        let n_rows = used.len().next_multiple_of(LANES);
        let mut row_of_gene = vec![-1; n_genes];
        for (row, &g) in used.iter().enumerate() {
            row_of_gene[g] = row as i32;
        }
        let padded = |values: &[f64], filler: f64| -> Vec<f64> {
            let mut rows: Vec<f64> = used.iter().map(|&g| values[g]).collect();
            rows.resize(n_rows, filler);
            rows
        };
        let (lengths, weights) = (padded(lengths, 1.0), padded(weights, 0.0));
        let design = from_fn((n_rows, n_sources), |row, j| {
            used.get(row).map_or(0.0, |&g| lengths[row] * signatures[(g, j)])
        });
        let cost: Vec<f64> = (0..n_sources)
            .map(|j| design.col(j).iter().zip(&weights).map(|(a, w)| a * w).sum())
            .collect();
        if let Some(source) = cost.iter().position(|&c| c <= 0.0) {
            return Err(CoreError::EmptySource { source });
        }
        let log_lengths = lengths.iter().map(|l| l.ln()).collect();
        Ok(Model {
            design,
            weights,
            cost,
            lengths,
            log_lengths,
            row_of_gene,
            n_used: used.len(),
            n_types,
        })
    }

    /// Rows of the design, padding included.
    pub fn n_rows(&self) -> usize {
        self.design.nrows()
    }

    /// Rows of the design in blocks.
    pub fn gene_blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let n_rows = self.n_rows();
        (0..n_rows).step_by(GENE_BLOCK).map(move |start| start..(start + GENE_BLOCK).min(n_rows))
    }

    /// Genes that the fit uses.
    pub fn n_used(&self) -> usize {
        self.n_used
    }

    pub fn n_sources(&self) -> usize {
        self.cost.len()
    }

    pub fn n_types(&self) -> usize {
        self.n_types
    }

    pub fn cost(&self) -> &[f64] {
        &self.cost
    }

    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    pub fn lengths(&self) -> &[f64] {
        &self.lengths
    }

    pub fn log_lengths(&self) -> &[f64] {
        &self.log_lengths
    }

    pub fn design(&self) -> &Array2<f64> {
        &self.design
    }

    /// Design row of each gene of the caller; -1 for genes that are not used.
    pub fn row_of_gene(&self) -> &[i32] {
        &self.row_of_gene
    }

    /// The rows of `gene_of_row` redirected to rows of the design.
    pub fn route(&self, gene_of_row: &[i32]) -> Vec<i32> {
        gene_of_row.iter().map(|&g| if g < 0 { -1 } else { self.row_of_gene[g as usize] }).collect()
    }
}

/// The counts of a few samples, weighted and padded: y_g = w_g k_g.
pub struct SampleBlock {
    weighted: Array2<f64>,
    totals: Vec<f64>,
}

impl SampleBlock {
    /// Reads the samples `range` of `counts`, whose genes are the rows of the
    /// model's design.
    ///
    /// # Errors
    /// `EmptySample` when a sample has W = Σ y = 0.
    pub fn read(
        model: &Model,
        counts: &Counts<'_>,
        range: Range<usize>,
    ) -> Result<Self, CoreError> {
        let mut weighted = zeros((model.n_rows(), range.len()));
        let mut totals = Vec::with_capacity(range.len());
        for (column, sample) in range.enumerate() {
            let y = weighted.col_mut(column);
            counts.column_into(sample, y);
            let mut total = 0.0;
            for (y, w) in y.iter_mut().zip(model.weights()) {
                *y *= w;
                total += *y;
            }
            if total <= 0.0 {
                return Err(CoreError::EmptySample { sample });
            }
            totals.push(total);
        }
        Ok(SampleBlock { weighted, totals })
    }

    pub fn len(&self) -> usize {
        self.totals.len()
    }

    pub fn is_empty(&self) -> bool {
        self.totals.is_empty()
    }

    /// W of each sample.
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// y of one sample, over the padded rows of the design.
    pub fn weighted(&self, sample: usize) -> &[f64] {
        self.weighted.col(sample)
    }
}

/// Samples whose expected counts are computed between two looks at the monitor.  Part of a
/// cohort has the same bits if it begins and ends with such blocks.
const EXPECTED_BLOCK: usize = 64;

/// Writes the expected counts ℓ_g Σ_j S_gj e_j, genes × samples, to `out`.
///
/// # Errors
/// `Shape`, and `Interrupted` when the monitor says so.
pub fn expected_counts(
    signatures: ArrayView2<'_, f64>,
    lengths: &[f64],
    exposures: ArrayView2<'_, f64>,
    mut out: ArrayViewMut2<'_, f64>,
    monitor: &Monitor<'_>,
) -> Result<(), CoreError> {
    check_length("lengths", signatures.nrows(), lengths.len())?;
    check_length("exposures", signatures.ncols(), exposures.nrows())?;
    check_length("out", signatures.nrows(), out.nrows())?;
    check_length("out", exposures.ncols(), out.ncols())?;
    // no last block is small: products of few columns round in another order
    let blocks = (exposures.ncols() / EXPECTED_BLOCK).max(1);
    for block in 0..blocks {
        monitor.check()?;
        let first = block * EXPECTED_BLOCK;
        let last = if block + 1 < blocks { first + EXPECTED_BLOCK } else { exposures.ncols() };
        let mut out = out.slice_mut(s![.., first..last]);
        multiply(&mut out, &signatures, &exposures.slice(s![.., first..last]));
        for sample in 0..last - first {
            out.col_mut(sample).iter_mut().zip(lengths).for_each(|(mean, l)| *mean *= l);
        }
    }
    Ok(())
}
