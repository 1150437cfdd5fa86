//! One side's Newton step, the other side standing still.
//!
//! Given R, the coefficients of each cell are a problem of their own, with few
//! unknowns (given L, those of each gene).  The gradients and Hessians of a block of
//! items come from matrix products over tiles of the other side,
//!
//! ```text
//!   η = R_tile L_blockᵀ,   gradients = R_tileᵀ G,   Hessians = (R ∘ R)_tileᵀ C
//! ```
//!
//! with R ∘ R the products of all pairs of columns, G and C the likelihood's gradient
//! and curvature at every entry of the tile.  Nothing of size cells × genes is formed.
//! A block is one thread's work from start to end: bits do not depend on threads.

use super::likelihood::{Column, Entries, Likelihood, Place, Sums, PARTS};
use super::predictor::{Predictor, Side};
use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::matrix::linalg::{add_product, multiply};
use crate::matrix::{from_columns, from_columns_mut, zeros, Array2, Columns, Csc};
use crate::nnls::{cholesky, solve_with_cholesky};
use ndarray::s;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Items of a block and others of a tile: η of a tile is 270 kB, and with the products
/// of pairs it stays in a core's cache.  Products of matrices work on 48 rows at a time.
const BLOCK: usize = 144;
const TILE: usize = 240;
/// Halvings of a step before an item is left where it is.
const HALVINGS: usize = 30;
/// Relative increase of a Hessian's diagonal, against rounding.
const JITTER: f64 = 1e-11;

/// The problem of all items of a side.
pub struct Half<'a> {
    pub side: Side,
    /// One column per item, rows are the other side's.
    pub counts: Csc<'a>,
    views: Vec<View<'a>>,
    /// ½ Σ ridge c² is added to an item's loss, for the unknowns c in the joint order.
    ridge: &'a [f64],
}

/// One linear predictor as a side sees it.
struct View<'a> {
    own: &'a Array2<f64>,
    other: &'a Array2<f64>,
    /// Columns that are sought.
    free: Vec<usize>,
    /// Where each of them stands among an item's unknowns.
    slot: Vec<usize>,
}

/// What became of the items.
pub struct Step {
    /// Unknowns × items: the change that is proposed, or that was made sure of.
    pub change: Array2<f64>,
    /// Loss and penalty at the point where the step starts, per item.
    pub losses: Vec<Sums>,
}

impl Step {
    /// Loss and penalties of this side, added in the order of the items.
    pub fn loss(&self) -> f64 {
        self.losses.iter().map(|sums| sums.loss).sum()
    }
}

/// The unknowns of an item: the free columns of the first predictor, then those of the
/// second, in which a cell's factors are those of the first.
pub fn slots(predictors: &[Predictor], side: Side) -> Vec<Vec<usize>> {
    let first = predictors[0].shape.free(side).len();
    let rank = predictors[0].shape.rank;
    let mut out = vec![(0..first).collect::<Vec<usize>>()];
    if let Some(second) = predictors.get(1) {
        let own = second.shape.coefficients(side).len();
        let factors = match side {
            Side::Cells => first - rank,
            Side::Genes => first + own,
        };
        out.push((first..first + own).chain(factors..factors + rank).collect());
    }
    out
}

impl<'a> Half<'a> {
    pub fn new(side: Side, counts: Csc<'a>, predictors: &'a [Predictor], ridge: &'a [f64]) -> Self {
        let views = predictors
            .iter()
            .zip(slots(predictors, side))
            .map(|(predictor, slot)| {
                let own = predictor.rows(side);
                let other = predictor.rows(side.other());
                View { own, other, free: predictor.shape.free(side), slot }
            })
            .collect();
        Half { side, counts, views, ridge }
    }

    fn items(&self) -> usize {
        self.views[0].own.nrows()
    }

    /// Newton's step of every item, and the loss where it starts.  With `careful`, a
    /// step is halved until the item's loss falls, and left out if it never does.
    ///
    /// # Errors
    /// `Interrupted`.
    pub fn step<L: Likelihood>(
        &self,
        likelihood: &L,
        careful: bool,
        monitor: &Monitor<'_>,
    ) -> Result<Step, CoreError> {
        let blocks: Vec<Block> = (0..self.items().div_ceil(BLOCK))
            .into_par_iter()
            .map_init(
                || Work::new(self),
                |work, block| {
                    monitor.check()?;
                    let items = block * BLOCK..((block + 1) * BLOCK).min(self.items());
                    Ok(self.block(likelihood, items, careful, work))
                },
            )
            .collect::<Result<_, CoreError>>()?;
        let mut change = zeros((self.ridge.len(), self.items()));
        let mut losses = Vec::with_capacity(self.items());
        for (at, block) in blocks.into_iter().enumerate() {
            let place = at * BLOCK..at * BLOCK + block.change.ncols();
            change.slice_mut(s![.., place]).assign(&block.change);
            losses.extend(block.losses);
        }
        Ok(Step { change, losses })
    }

    fn block<L: Likelihood>(
        &self,
        likelihood: &L,
        items: std::ops::Range<usize>,
        careful: bool,
        work: &mut Work,
    ) -> Block {
        let n = items.len();
        let mut change = zeros((self.ridge.len(), n));
        let losses = self.evaluate(likelihood, items.clone(), &change, true, work);
        for j in 0..n {
            self.newton(j, work, change.col_mut(j));
        }
        if careful {
            let mut open: Vec<usize> = (0..n).collect();
            for halving in 0..=HALVINGS {
                let trial = self.evaluate(likelihood, items.clone(), &change, false, work);
                // a loss that is no number is no gain
                open.retain(|&j| trial[j].loss.is_nan() || trial[j].loss > losses[j].loss);
                if open.is_empty() {
                    break;
                }
                let scale = if halving == HALVINGS { 0.0 } else { 0.5 };
                for &j in &open {
                    change.col_mut(j).iter_mut().for_each(|v| *v *= scale);
                }
            }
        }
        Block { change, losses }
    }

    /// Losses of a block's items at their coefficients plus `change`; with
    /// `derivatives`, also leaves Hessians and gradients in `work`.
    fn evaluate<L: Likelihood>(
        &self,
        likelihood: &L,
        items: std::ops::Range<usize>,
        change: &Array2<f64>,
        derivatives: bool,
        work: &mut Work,
    ) -> Vec<Sums> {
        let n = items.len();
        let others = self.views[0].other.nrows();
        let mut sums = vec![Sums::default(); n];
        for (view, part) in self.views.iter().zip(&mut work.parts) {
            part.own.slice_mut(s![..n, ..]).assign(&view.own.slice(s![items.clone(), ..]));
            for (&column, &slot) in view.free.iter().zip(&view.slot) {
                for j in 0..n {
                    part.own[(j, column)] += change[(slot, j)];
                }
            }
            part.hessians.fill(0.0);
            part.gradients.fill(0.0);
        }
        // each item's entries in the tile
        let mut run: Vec<std::ops::Range<usize>> =
            items.clone().map(|item| 0..self.counts.starts()[item] as usize).collect();
        for first in (0..others).step_by(TILE) {
            let rows = TILE.min(others - first);
            for (view, part) in self.views.iter().zip(&mut work.parts) {
                let mut eta = from_columns_mut(&mut part.eta[..rows * n], (rows, n));
                let tile = view.other.slice(s![first..first + rows, ..]);
                multiply(&mut eta, &tile, &part.own.slice(s![..n, ..]).t());
            }
            for (j, run) in run.iter_mut().enumerate() {
                let item = items.start + j;
                let end = self.counts.starts()[item + 1] as usize;
                let left = run.end..end.min(run.end + rows);
                let until = (first + rows) as i32;
                let length = self.counts.rows()[left].partition_point(|&row| row < until);
                *run = run.end..run.end + length;
                let place = Place { side: self.side, item, first };
                let entries = self.entries(first, run.clone());
                sums[j].add(likelihood.column(place, work.column(j, rows), entries));
            }
            if derivatives {
                for (view, part) in self.views.iter().zip(&mut work.parts) {
                    part.multiply_columns(view, first..first + rows);
                    part.add_hessians(rows, n, L::CANONICAL);
                }
                if L::CANONICAL {
                    for (j, run) in run.iter().enumerate() {
                        let eta = &mut work.parts[0].eta[j * rows..(j + 1) * rows];
                        self.entries(first, run.clone()).each().for_each(|(row, y)| eta[row] -= y);
                    }
                }
                work.parts.iter_mut().for_each(|part| part.add_gradients(rows, n));
            }
        }
        for (j, sums) in sums.iter_mut().enumerate() {
            sums.loss += self.penalty(j, &work.parts);
        }
        sums
    }

    fn entries(&self, first: usize, run: std::ops::Range<usize>) -> Entries<'_> {
        Entries { first, rows: &self.counts.rows()[run.clone()], y: &self.counts.values()[run] }
    }

    /// ½ Σ ridge c² of a block's item.
    fn penalty(&self, j: usize, parts: &[Part]) -> f64 {
        let mut sum = 0.0;
        let mut counted = 0;
        for (view, part) in self.views.iter().zip(parts) {
            for (&column, &slot) in view.free.iter().zip(&view.slot) {
                // factors that two predictors share count once
                if slot >= counted {
                    sum += 0.5 * self.ridge[slot] * part.own[(j, column)].powi(2);
                }
            }
            counted = view.slot.len();
        }
        sum
    }

    /// −H⁻¹ g of the `j`th item of the block that `work` holds.
    fn newton(&self, j: usize, work: &Work, step: &mut [f64]) {
        let m = self.ridge.len();
        let mut hessian = vec![0.0; m * m];
        step.fill(0.0);
        for (view, part) in self.views.iter().zip(&work.parts) {
            let f = view.free.len();
            let mut pair = part.hessians.col(j).iter();
            let gradient = part.gradients.col(j);
            for a in 0..f {
                for b in a..f {
                    let value = pair.next().expect("all pairs");
                    let (low, high) =
                        (view.slot[a].min(view.slot[b]), view.slot[a].max(view.slot[b]));
                    hessian[low * m + high] += value;
                }
                step[view.slot[a]] -= gradient[a];
            }
            for (&column, &slot) in view.free.iter().zip(&view.slot) {
                hessian[slot * m + slot] =
                    hessian[slot * m + slot] * (1.0 + JITTER) + f64::MIN_POSITIVE;
                if part.leads || slot >= self.views[0].slot.len() {
                    step[slot] -= self.ridge[slot] * part.own[(j, column)];
                    hessian[slot * m + slot] += self.ridge[slot];
                }
            }
        }
        cholesky(&mut hessian, m);
        solve_with_cholesky(&hessian, step);
    }
}

struct Block {
    change: Array2<f64>,
    losses: Vec<Sums>,
}

/// What a thread works in.
struct Work {
    parts: Vec<Part>,
    scratch: Vec<f64>,
}

/// One linear predictor of a block of items.
struct Part {
    /// The block's rows, changed.
    own: Array2<f64>,
    eta: Vec<f64>,
    curvature: Vec<f64>,
    /// Products of pairs of the other side's free columns, and the columns, in a tile.
    products: Vec<f64>,
    /// Pairs a ≤ b × items, and free columns × items.
    hessians: Array2<f64>,
    gradients: Array2<f64>,
    /// Is it the first predictor?
    leads: bool,
}

impl Work {
    fn new(half: &Half<'_>) -> Self {
        let parts = half.views.iter().enumerate().map(|(k, view)| {
            let f = view.free.len();
            let pairs = f * (f + 1) / 2;
            Part {
                own: zeros((BLOCK, view.own.ncols())),
                eta: vec![0.0; BLOCK * TILE],
                curvature: vec![0.0; BLOCK * TILE],
                products: vec![0.0; TILE * (pairs + f)],
                hessians: zeros((pairs, BLOCK)),
                gradients: zeros((f, BLOCK)),
                leads: k == 0,
            }
        });
        Work { parts: parts.collect(), scratch: vec![0.0; PARTS * TILE] }
    }

    /// Column `j` of the tile of η.
    fn column(&mut self, j: usize, rows: usize) -> Column<'_> {
        let mut parts = self.parts.iter_mut();
        let range = j * rows..(j + 1) * rows;
        let mut next = || match parts.next() {
            Some(part) => (&mut part.eta[range.clone()], &mut part.curvature[range.clone()]),
            None => Default::default(),
        };
        let (first, second) = (next(), next());
        Column {
            eta: [first.0, second.0],
            curvature: [first.1, second.1],
            scratch: &mut self.scratch[..PARTS * rows],
        }
    }
}

impl Part {
    /// Products of all pairs of the tile's free columns, and these.
    fn multiply_columns(&mut self, view: &View<'_>, tile: std::ops::Range<usize>) {
        let columns: Vec<&[f64]> =
            view.free.iter().map(|&column| &view.other.col(column)[tile.clone()]).collect();
        Arch::new().dispatch(Products { columns: &columns, out: &mut self.products[..] });
    }

    /// Adds the tile's part of Hessians, from the curvatures; where `canonical`, from
    /// the means, which stand in η's place.
    fn add_hessians(&mut self, rows: usize, n: usize, canonical: bool) {
        let weights = if canonical { &self.eta } else { &self.curvature };
        let weights = from_columns(&weights[..rows * n], (rows, n));
        let pairs = self.hessians.nrows();
        let products = from_columns(&self.products[..pairs * rows], (rows, pairs));
        add_product(&mut self.hessians.slice_mut(s![.., ..n]), 1.0, &products.t(), &weights);
    }

    /// Adds the tile's part of gradients, which stand in η's place.
    fn add_gradients(&mut self, rows: usize, n: usize) {
        let (pairs, free) = (self.hessians.nrows(), self.gradients.nrows());
        let gradient = from_columns(&self.eta[..rows * n], (rows, n));
        let columns = &self.products[pairs * rows..(pairs + free) * rows];
        let columns = from_columns(columns, (rows, free));
        add_product(&mut self.gradients.slice_mut(s![.., ..n]), 1.0, &columns.t(), &gradient);
    }
}

struct Products<'a> {
    columns: &'a [&'a [f64]],
    out: &'a mut [f64],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Some(rows) = self.columns.first().map(|column| column.len()) else { return };
        let mut places = self.out.chunks_exact_mut(rows);
        for (a, left) in self.columns.iter().enumerate() {
            for right in &self.columns[a..] {
                let place = places.next().expect("room for all pairs");
                for ((out, l), r) in place.iter_mut().zip(*left).zip(*right) {
                    *out = l * r;
                }
            }
        }
        for column in self.columns {
            places.next().expect("room for all columns").copy_from_slice(column);
        }
    }
}
