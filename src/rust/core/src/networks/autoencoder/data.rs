//! Cells as the network reads them, a batch at a time.

use super::{Architecture, Likelihood};
use crate::base::error::check_length;
use crate::matrix::{CscBuf, Matrix};
use crate::networks::counts::LOG_DISPERSION;
use crate::networks::tensor::Scalar;
use crate::CoreError;
use std::sync::LazyLock;

/// Per gene: what is taken from values, and what they are divided by.
#[derive(Clone, Copy)]
pub struct Scaling<'a> {
    pub centre: &'a [f64],
    pub scale: &'a [f64],
}

/// Genes × cells, borrowed as they come.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    x: Matrix<'a>,
    /// ln ℓ per cell; of no meaning for values.
    log_size: &'a [f64],
    /// Of each cell, below the number of batches; empty without batches.
    batch: &'a [usize],
    /// Of values.
    scaling: Option<Scaling<'a>>,
}

/// What a training starts from.
pub struct Moments {
    pub bias: Vec<f64>,
    pub spread: Vec<f64>,
}

impl<'a> Data<'a> {
    /// # Errors
    /// `Shape` when there is not a size and a batch per cell, or a scale per gene;
    /// `Argument` for a batch beyond their number.
    pub fn new(
        x: Matrix<'a>,
        log_size: &'a [f64],
        batch: &'a [usize],
        scaling: Option<Scaling<'a>>,
        architecture: &Architecture,
    ) -> Result<Self, CoreError> {
        check_length("genes", architecture.genes, x.n_rows())?;
        check_length("size", x.n_columns(), log_size.len())?;
        check_length(
            "batch",
            if architecture.batches > 0 { x.n_columns() } else { 0 },
            batch.len(),
        )?;
        if let Some(&found) = batch.iter().find(|&&b| b >= architecture.batches) {
            let expected = "below the number of batches";
            return Err(CoreError::Argument { name: "batch", found: found as f64, expected });
        }
        if let Some(scaling) = &scaling {
            check_length("centre", x.n_rows(), scaling.centre.len())?;
            check_length("scale", x.n_rows(), scaling.scale.len())?;
        }
        Ok(Data { x, log_size, batch, scaling })
    }

    pub fn n_cells(&self) -> usize {
        self.x.n_columns()
    }

    /// Mean proportions and dispersions by moments: with p the gene's share of all counts,
    /// E (x − ℓp)² = ℓp + ℓ²p²/θ.  Standardised values have mean 0 and variance 1.
    pub fn moments(&self, architecture: &Architecture) -> Moments {
        let genes = self.x.n_rows();
        if architecture.likelihood == Likelihood::Gaussian {
            return Moments { bias: vec![0.0; genes], spread: vec![0.0; genes] };
        }
        let (mut sum, mut squares, mut with_size) =
            (vec![0.0; genes], vec![0.0; genes], vec![0.0; genes]);
        let (mut sizes, mut sizes_squared) = (0.0, 0.0);
        for cell in 0..self.n_cells() {
            let size = self.log_size[cell].exp();
            sizes += size;
            sizes_squared += size * size;
            self.x.for_each(cell, |g, y| {
                sum[g] += y;
                squares[g] += y * y;
                with_size[g] += y * size;
            });
        }
        let total: f64 = sum.iter().sum();
        // a gene without a count in these cells has half a molecule
        let bias = sum.iter().map(|s| (s.max(0.5) / total).ln()).collect();
        let spread = (0..genes).map(|g| {
            let p = sum[g] / sizes;
            let excess = squares[g] - 2.0 * p * with_size[g] + p * p * sizes_squared - p * sizes;
            let theta = p * p * sizes_squared / excess;
            let log = if theta > 0.0 { theta.ln() } else { 0.0 };
            // room to move on both sides
            log.clamp(LOG_DISPERSION.0 + 2.0, LOG_DISPERSION.1 - 4.0)
        });
        Moments { bias, spread: spread.collect() }
    }
}

/// ln(1 + y) of a count; most are small.
fn log_1p(y: f64) -> f64 {
    static FIRST: LazyLock<[f64; 64]> =
        LazyLock::new(|| std::array::from_fn(|y| (y as f64).ln_1p()));
    if y < 64.0 && y.fract() == 0.0 {
        FIRST[y as usize]
    } else {
        y.ln_1p()
    }
}

/// Some cells, as the likelihood and the encoder see them.
pub struct Batch<T> {
    /// Counts above 0; of values all, standardised.
    pub values: CscBuf<T>,
    /// ln(1 + x) of counts, the same of values; then indicators of the batch.
    pub inputs: CscBuf<T>,
    pub log_size: Vec<f64>,
    pub group: Vec<usize>,
    column: Vec<f64>,
}

impl<T: Scalar> Batch<T> {
    pub fn new(architecture: &Architecture) -> Self {
        let a = architecture;
        Batch {
            values: CscBuf::new(a.genes),
            inputs: CscBuf::new(a.genes + if a.encode_batch { a.batches } else { 0 }),
            log_size: Vec::new(),
            group: Vec::new(),
            column: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.log_size.len()
    }

    /// Takes other cells.
    ///
    /// # Errors
    /// `Argument` beyond 2³¹ − 1 entries.
    pub fn gather(
        &mut self,
        data: &Data<'_>,
        cells: &[usize],
        architecture: &Architecture,
    ) -> Result<(), CoreError> {
        self.values.clear();
        self.inputs.clear();
        self.log_size.clear();
        self.group.clear();
        for &cell in cells {
            match data.scaling {
                Some(Scaling { centre, scale }) => {
                    self.column.resize(architecture.genes, 0.0);
                    data.x.column_into(cell, &mut self.column);
                    for (g, value) in self.column.iter().enumerate() {
                        let value = T::of((value - centre[g]) / scale[g]);
                        self.values.push(g, value);
                        self.inputs.push(g, value);
                    }
                }
                None => data.x.for_each(cell, |g, y| {
                    if y > 0.0 {
                        self.values.push(g, T::of(y));
                        self.inputs.push(g, T::of(log_1p(y)));
                    }
                }),
            }
            let group = data.batch.get(cell).copied().unwrap_or(0);
            if architecture.encode_batch && architecture.batches > 0 {
                self.inputs.push(architecture.genes + group, T::of(1.0));
            }
            self.values.end_column()?;
            self.inputs.end_column()?;
            self.log_size.push(data.log_size[cell]);
            self.group.push(group);
        }
        Ok(())
    }
}
