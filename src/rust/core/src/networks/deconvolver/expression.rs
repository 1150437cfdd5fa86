//! Expression per type: what is predicted of it, and how far off that is.

use crate::base::error::check_length;
use crate::base::parallel::Monitor;
use crate::matrix::linalg::{gram, product, spectrum};
use crate::matrix::{zeros, Array2, ArrayRef2, ArrayView2, Columns};
use crate::networks::elementwise::add_scaled;
use crate::networks::mixtures::{Cells, Mixtures};
use crate::networks::tensor::{add_product_into, first, product_into, reserve};
use crate::CoreError;
use rayon::prelude::*;

/// Added to copies per million before logarithms: what a bulk sees, and what a type has.
const SEEN: f32 = 10.0;
const OWN: f32 = 20.0;
/// Cells of a type below which a mixture says nothing of its expression.
const LEAST_CELLS: usize = 10;
/// Mixtures that moments are taken over, drawn so many at a time.
const MOMENT_MIXTURES: usize = 1024;
const CHUNK: usize = 128;
/// Of these mixtures, beyond those of any training.
const MOMENT_STREAM: usize = 1 << 42;

/// ln(CPM + 10), standardised.
pub(super) fn standardise(
    bulk: &ArrayRef2<f32>,
    centre: &[f64],
    scale: &[f64],
    x: &mut ArrayRef2<f32>,
) {
    let genes = bulk.nrows();
    let centre: Vec<f32> = centre.iter().map(|v| *v as f32).collect();
    let inverse: Vec<f32> = scale.iter().map(|v| (1.0 / v) as f32).collect();
    let columns = x.axis_chunks_iter_mut(ndarray::Axis(1), 1);
    let columns: Vec<_> = columns.zip(bulk.axis_chunks_iter(ndarray::Axis(1), 1)).collect();
    columns.into_par_iter().for_each(|(mut x, bulk)| {
        let (x, bulk) = (x.col_mut(0), bulk.col(0));
        for g in 0..genes {
            x[g] = ((bulk[g] + SEEN).ln() - centre[g]) * inverse[g];
        }
    });
}

/// What a training starts from, taken over mixtures.
pub struct Moments {
    /// Of ln(CPM + 10) of the bulk, per gene.
    pub centre: Vec<f64>,
    pub scale: Vec<f64>,
    /// Mean of log2(CPM + 20) of each type, genes × types; without columns unless asked for.
    pub level: Array2<f64>,
    /// Leading directions of the deviations from it, genes × (programs of the first type,
    /// then of the second, ...).
    pub basis: Array2<f64>,
}

impl Moments {
    /// `programs` per type; expression is left out where it is not asked for.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn of(
        cells: &Cells,
        seed: u64,
        expression: bool,
        programs: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Moments, CoreError> {
        let (genes, types) = (cells.n_genes(), cells.n_types());
        let (mut sum, mut squares) = (vec![0.0; genes], vec![0.0; genes]);
        let mut own: Vec<Vec<f32>> = vec![Vec::new(); types];
        let mut mixtures = Mixtures::default();
        for from in (0..MOMENT_MIXTURES).step_by(CHUNK) {
            monitor.check()?;
            let numbers = MOMENT_STREAM | from..MOMENT_STREAM | (from + CHUNK);
            cells.mix(seed, numbers, expression, &mut mixtures);
            for j in 0..CHUNK {
                for (g, y) in mixtures.bulk.col(j).iter().enumerate() {
                    let value = f64::from(y + SEEN).ln();
                    sum[g] += value;
                    squares[g] += value * value;
                }
                let enough = |k: &usize| expression && enough(mixtures.shares[(*k, j)], cells);
                for k in (0..types).filter(enough) {
                    let level = &mixtures.levels.col(j)[k * genes..(k + 1) * genes];
                    own[k].extend(level.iter().map(|y| (y + OWN).log2()));
                }
            }
        }
        let n = MOMENT_MIXTURES as f64;
        let centre: Vec<f64> = sum.iter().map(|s| s / n).collect();
        let scale = squares.iter().zip(&centre).map(|(s, m)| {
            let variance = s / n - m * m;
            // a gene that no cell has says nothing, and is divided by 1
            if variance > 1e-8 {
                variance.sqrt()
            } else {
                1.0
            }
        });
        let scale = scale.collect();
        let columns = if expression { types } else { 0 };
        let mut level = zeros((genes, columns));
        let mut basis = zeros((genes, columns * programs));
        for (k, values) in own.iter().enumerate().take(columns) {
            monitor.check()?;
            let samples = values.len() / genes.max(1);
            for values in values.chunks_exact(genes) {
                let share = 1.0 / samples as f64;
                for (m, v) in level.col_mut(k).iter_mut().zip(values) {
                    *m += share * f64::from(*v);
                }
            }
            leading(values, level.col(k), programs, |r, direction| {
                basis.col_mut(k * programs + r).copy_from_slice(direction);
            });
        }
        Ok(Moments { centre, scale, level, basis })
    }
}

/// Has a mixture so many cells of a type that they are a profile?
fn enough(share: f32, cells: &Cells) -> bool {
    let n = cells.n_cells();
    let least = LEAST_CELLS.min(n / cells.n_types()).max(1);
    (share * n as f32).round() as usize >= least
}

/// The first left singular vectors of columns about their mean; those that are not there
/// stay 0.
fn leading(values: &[f32], mean: &[f64], wanted: usize, mut take: impl FnMut(usize, &[f64])) {
    let genes = mean.len();
    let samples = values.len() / genes.max(1);
    if wanted == 0 || samples < 2 {
        return;
    }
    let mut turned = zeros::<f64>((samples, genes));
    for (j, values) in values.chunks_exact(genes).enumerate() {
        for g in 0..genes {
            turned[(j, g)] = f64::from(values[g]) - mean[g];
        }
    }
    let mut products = zeros((samples, samples));
    gram(&mut products, &turned);
    let found = spectrum(&products);
    let wanted = wanted.min(samples - 1);
    let rotated = product(&turned.t(), &found.vectors.slice(ndarray::s![.., ..wanted]));
    for r in 0..wanted {
        let length = found.values[r].max(0.0).sqrt();
        if length > 1e-6 * found.values[0].max(0.0).sqrt() {
            let direction: Vec<f64> = rotated.column(r).iter().map(|v| v / length).collect();
            take(r, &direction);
        }
    }
}

/// What is to be predicted, from mixtures.
pub struct Targets {
    genes: usize,
    types: usize,
    /// Genes × types.
    level: Array2<f32>,
    /// Of each type, programs × genes; none for the deviations themselves.
    basis: Vec<Array2<f32>>,
    /// Deviations of one type.
    own: Array2<f32>,
    coefficients: Array2<f32>,
    values: Array2<f32>,
}

impl Targets {
    /// # Errors
    /// `Shape` for a basis that does not fit the levels.
    pub fn new(
        level: ArrayView2<'_, f64>,
        basis: ArrayView2<'_, f64>,
        programs: usize,
    ) -> Result<Self, CoreError> {
        let (genes, types) = level.dim();
        check_length("basis", types * programs, basis.ncols())?;
        check_length("genes of the basis", genes, basis.nrows())?;
        let turned = |k: usize| {
            let at = |r: usize, g: usize| basis[(g, k * programs + r)] as f32;
            crate::matrix::from_fn((programs, genes), at)
        };
        let none = || zeros((0, 0));
        Ok(Targets {
            genes,
            types,
            level: crate::matrix::from_fn((genes, types), |g, k| level[(g, k)] as f32),
            basis: if programs > 0 { (0..types).map(turned).collect() } else { Vec::new() },
            own: none(),
            coefficients: none(),
            values: none(),
        })
    }

    /// Rows of what is predicted of a type.
    fn rows(&self) -> usize {
        self.basis.first().map_or(self.genes, Array2::nrows)
    }

    /// Of each mixture, (rows of the first type, then of the second, ...) × mixtures.
    fn of(&mut self, mixtures: &Mixtures, n: usize) {
        let (genes, rows) = (self.genes, self.rows());
        reserve(&mut self.values, rows * self.types, n);
        reserve(&mut self.own, genes, n);
        reserve(&mut self.coefficients, rows, n);
        for k in 0..self.types {
            let level = self.level.col(k);
            for j in 0..n {
                let own = &mixtures.levels.col(j)[k * genes..(k + 1) * genes];
                let to = match self.basis.is_empty() {
                    true => &mut self.values.col_mut(j)[k * genes..(k + 1) * genes],
                    false => self.own.col_mut(j),
                };
                pulp::Arch::new().dispatch(|| {
                    for g in 0..genes {
                        let log = crate::networks::tensor::Scalar::ln(own[g] + OWN);
                        to[g] = log * std::f32::consts::LOG2_E - level[g];
                    }
                });
            }
            if let Some(basis) = self.basis.get(k) {
                let mut found = crate::networks::tensor::first_mut(&mut self.coefficients, n);
                product_into(&mut found, basis, &first(&self.own, n));
                for j in 0..n {
                    let to = &mut self.values.col_mut(j)[k * rows..(k + 1) * rows];
                    to.copy_from_slice(found.col(j));
                }
            }
        }
    }

    /// The sum over types of the mean squared error of a gene, means over the mixtures that
    /// have the type; leaves the gradient, where it is asked for.  Coefficients on an
    /// orthonormal basis err as the profiles do that they stand for.
    pub(super) fn loss(
        &mut self,
        cells: &Cells,
        mixtures: &Mixtures,
        predicted: &ArrayRef2<f32>,
        mut slope: Option<&mut ArrayRef2<f32>>,
    ) -> f64 {
        let n = predicted.ncols();
        self.of(mixtures, n);
        let rows = self.rows();
        if let Some(slope) = slope.as_deref_mut() {
            slope.fill(0.0);
        }
        let mut loss = 0.0;
        for k in 0..self.types {
            let here: Vec<usize> =
                (0..n).filter(|&j| enough(mixtures.shares[(k, j)], cells)).collect();
            let share = 1.0 / (here.len().max(1) * self.genes) as f64;
            for j in here {
                let at = k * rows..(k + 1) * rows;
                let (y, t) = (&predicted.col(j)[at.clone()], &self.values.col(j)[at.clone()]);
                let squares: f64 = y.iter().zip(t).map(|(y, t)| f64::from(y - t).powi(2)).sum();
                loss += share * squares;
                if let Some(slope) = slope.as_deref_mut() {
                    let d = &mut slope.col_mut(j)[at];
                    let twice = (2.0 * share) as f32;
                    d.iter_mut().zip(y).zip(t).for_each(|((d, y), t)| *d = twice * (y - t));
                }
            }
        }
        loss
    }
}

/// log2(CPM + 20) of what was predicted of one sample, (genes of the first type, ...) × 1.
pub(super) fn profiles(targets: &Targets, predicted: &[f32], out: &mut [f32]) {
    let (genes, rows) = (targets.genes, targets.rows());
    for k in 0..targets.types {
        let (to, own) =
            (&mut out[k * genes..(k + 1) * genes], &predicted[k * rows..(k + 1) * rows]);
        to.copy_from_slice(targets.level.col(k));
        match targets.basis.get(k) {
            Some(basis) => {
                let mut to = crate::matrix::from_columns_mut(to, (genes, 1));
                add_product_into(&mut to, &basis.t(), &crate::matrix::from_columns(own, (rows, 1)));
            }
            None => add_scaled(to, 1.0, own),
        }
    }
}
