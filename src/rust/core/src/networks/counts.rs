//! Losses of counts: Poisson, negative binomial, and the latter with zeros on top.
//!
//! The mean of gene g in a cell is μ_g = ℓ ρ_g, with ℓ the cell's size and ρ the softmax of
//! the network's logits η; θ_g = e^r_g.  With t = 1 + μ/θ, q = μ/t and, for the zeros on
//! top, a the log odds, s = a + θ ln t, π = σ(a), u = σ(s):
//!
//! ```text
//!            loss                                              d = μ ∂μ        ∂r                     ∂a
//!  Poisson   μ − x ln μ + ln x!                                μ − x
//!  NB        (x+θ) ln t − x ln μ − Σ_{j<x} ln(1+j/θ) + ln x!   (μ − x)/t       θ ln t − q + Σ j/(θ+j) − x μ/(θ+μ)
//!  ZINB x=0  softplus(a) + θ ln t − softplus(s)                (1 − u) q       (1 − u)(θ ln t − q)    π − u
//!       x>0  NB + softplus(a)                                  as NB           as NB                  π
//! ```
//!
//! and ∂η_g = d_g − ρ_g Σ_h d_h.  What has no closed form for all counts (sums over j,
//! ln x!) is computed at counts above 0 alone; the rest, as if every count were 0, in loops
//! that become vector code.

use super::elementwise::{add_scaled, exponentials, ln_1p, sigmoid, softplus, sum_inline};
use super::tensor::Scalar;
use crate::base::error::named;
use crate::latent::special::{count_terms, log_factorial};
use crate::matrix::{Array2, ArrayRef2, Columns, Csc};
use ndarray::Axis;
use pulp::Arch;
use rayon::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Poisson,
    NegativeBinomial,
    ZeroInflated,
}
named!(
    Family, "likelihood",
    "poisson" => Family::Poisson,
    "nb" => Family::NegativeBinomial,
    "zinb" => Family::ZeroInflated,
);

/// ln θ beyond these is taken for the nearest.
pub const LOG_DISPERSION: (f64, f64) = (-6.0, 8.0);
/// Cells whose sums are taken together: fixed, for the bits.
const CELLS: usize = 16;

/// Cells with their counts.
#[derive(Clone, Copy)]
pub struct Cells<'a, T> {
    /// Genes × cells; zeros are not stored.
    pub counts: Csc<'a, T>,
    /// ln ℓ per cell.
    pub log_size: &'a [f64],
    /// The group of each cell, for dispersions by group.
    pub group: &'a [usize],
}

/// The likelihood of counts, with room to work in.
pub struct CountLoss<T> {
    pub family: Family,
    genes: usize,
    /// Genes × groups.
    theta: Vec<T>,
    rooms: Vec<Room<T>>,
}

#[derive(Clone)]
struct Room<T> {
    mean: Vec<T>,
    loss: Vec<T>,
    slope: Vec<T>,
    /// u of zeros.
    structural: Vec<T>,
    /// Of the counts above 0: the logit, then d and the derivative by r.
    terms: Vec<[f64; 2]>,
    /// Σ over cells of the derivatives by r: genes × groups.
    slopes: Vec<T>,
}

/// The network's output for a batch.  Where gradients are asked for they take its place.
pub struct Outputs<'a, T> {
    /// η, genes × cells.
    pub logits: &'a mut ArrayRef2<T>,
    /// a, for zeros on top.
    pub odds: Option<&'a mut ArrayRef2<T>>,
}

impl<T: Scalar> CountLoss<T> {
    pub fn new(family: Family, genes: usize) -> Self {
        CountLoss { family, genes, theta: Vec::new(), rooms: Vec::new() }
    }

    /// The negative log-likelihood of each cell goes to `losses`.  `r`: ln θ, a row per gene
    /// or one, a column per group or one.  With `scale`, gradients of `scale` times their
    /// sum take the place of the outputs, and go to the second of `r`; without, what the
    /// outputs hold is of no use afterwards.
    pub fn evaluate(
        &mut self,
        cells: Cells<'_, T>,
        outputs: Outputs<'_, T>,
        r: &Array2<T>,
        r_slope: Option<(&mut Array2<T>, f64)>,
        losses: &mut [f64],
    ) {
        let (genes, groups) = (self.genes, r.ncols());
        self.set_theta(r);
        let n = cells.counts.n_columns();
        let room = || {
            let line = || vec![T::of(0.0); genes];
            let [mean, loss, slope, structural] = [(); 4].map(|()| line());
            let slopes = vec![T::of(0.0); genes * groups];
            Room { mean, loss, slope, structural, terms: Vec::new(), slopes }
        };
        self.rooms.resize_with(self.rooms.len().max(n.div_ceil(CELLS)), room);
        let scale = r_slope.as_ref().map(|(_, scale)| *scale);
        let logits = outputs.logits.axis_chunks_iter_mut(Axis(1), CELLS);
        let odds: Vec<_> = match outputs.odds {
            Some(odds) => odds.axis_chunks_iter_mut(Axis(1), CELLS).map(Some).collect(),
            None => (0..n.div_ceil(CELLS)).map(|_| None).collect(),
        };
        let blocks: Vec<_> =
            logits.zip(odds).zip(&mut self.rooms).zip(losses.chunks_mut(CELLS)).collect();
        let (family, theta) = (self.family, &self.theta);
        blocks.into_par_iter().enumerate().for_each(
            |(b, (((mut logits, mut odds), room), out))| {
                room.slopes.fill(T::of(0.0));
                for (j, loss) in out.iter_mut().enumerate() {
                    let cell = b * CELLS + j;
                    let group = if groups > 1 { cells.group[cell] } else { 0 };
                    let column = Column {
                        counts: cells.counts.column(cell),
                        log_size: cells.log_size[cell],
                        theta: &theta[group * genes..(group + 1) * genes],
                        eta: logits.col_mut(j),
                        scale,
                    };
                    let odds = odds.as_mut().map(|odds| odds.col_mut(j));
                    *loss = Arch::new().dispatch(|| match (family, odds) {
                        (Family::Poisson, _) => poisson(column),
                        (Family::NegativeBinomial, _) => negative_binomial(column, room),
                        (Family::ZeroInflated, Some(odds)) => zero_inflated(column, odds, room),
                        (Family::ZeroInflated, None) => f64::NAN,
                    });
                    if scale.is_some() && family != Family::Poisson {
                        let Room { slope, slopes, .. } = &mut *room;
                        let slopes = &mut slopes[group * genes..(group + 1) * genes];
                        Arch::new().dispatch(|| add_scaled(slopes, T::of(1.0), slope));
                    }
                }
            },
        );
        if let Some((slope, scale)) = r_slope {
            self.collect_slopes(r, slope, scale, n.div_ceil(CELLS));
        }
    }

    fn set_theta(&mut self, r: &Array2<T>) {
        let (low, high) = (T::of(LOG_DISPERSION.0), T::of(LOG_DISPERSION.1));
        self.theta.clear();
        for k in 0..r.ncols() {
            let one = r.nrows() == 1;
            let theta = |g: usize| {
                Scalar::min(Scalar::max(r[(if one { 0 } else { g }, k)], low), high).exp()
            };
            self.theta.extend((0..self.genes).map(theta));
        }
    }

    /// Sums of blocks in their order; 0 beyond the bounds.
    fn collect_slopes(&self, r: &Array2<T>, slope: &mut Array2<T>, scale: f64, blocks: usize) {
        slope.fill(T::of(0.0));
        if self.family == Family::Poisson {
            return;
        }
        for room in &self.rooms[..blocks] {
            for (at, value) in room.slopes.iter().enumerate() {
                let gene = if r.nrows() == 1 { 0 } else { at % self.genes };
                slope[(gene, at / self.genes)] += *value;
            }
        }
        for (slope, r) in slope.iter_mut().zip(r) {
            let inside = r.double() > LOG_DISPERSION.0 && r.double() < LOG_DISPERSION.1;
            *slope *= T::of(if inside { scale } else { 0.0 });
        }
    }
}

/// A cell.
struct Column<'a, T> {
    counts: (&'a [i32], &'a [T]),
    log_size: f64,
    theta: &'a [T],
    /// Logits in, gradient out.
    eta: &'a mut [T],
    scale: Option<f64>,
}

impl<T: Scalar> Column<'_, T> {
    /// The logits become e^(η − top); returns what is added to η for ln μ.
    #[inline(always)]
    fn exponentiate(&mut self) -> (f64, f64) {
        let (total, top) = exponentials(self.eta);
        (total, self.log_size - total.ln() - top.double())
    }

    /// Gene and count at a place.
    #[inline(always)]
    fn entry(&self, at: usize) -> (usize, f64) {
        (self.counts.0[at] as usize, self.counts.1[at].double())
    }
}

/// ∂η from d in `eta` and μ.
#[inline(always)]
fn through_softmax<T: Scalar>(eta: &mut [T], mean: &[T], log_size: f64, scale: f64) {
    let share = T::of(sum_inline(eta) / log_size.exp());
    let scale = T::of(scale);
    for (eta, mean) in eta.iter_mut().zip(mean) {
        *eta = scale * (*eta - *mean * share);
    }
}

#[inline(always)]
fn poisson<T: Scalar>(mut column: Column<'_, T>) -> f64 {
    let size = column.log_size.exp();
    let (mut total, mut linear, mut factorials) = (0.0, 0.0, 0.0);
    for at in 0..column.counts.0.len() {
        let (g, y) = column.entry(at);
        total += y;
        linear += y * column.eta[g].double();
        factorials += log_factorial(y);
    }
    let (sum, shift) = column.exponentiate();
    if let Some(scale) = column.scale {
        // Σ d = ℓ − Σ x, so that ∂η = ρ Σ x − x
        let factor = T::of(scale * total / sum);
        column.eta.iter_mut().for_each(|v| *v *= factor);
        for (&g, y) in column.counts.0.iter().zip(column.counts.1) {
            column.eta[g as usize] -= T::of(scale) * *y;
        }
    }
    size - linear - total * shift + factorials
}

/// What a count above 0 has: loss, d and the derivative by r.
#[inline(always)]
fn counted_terms(y: f64, theta: f64, log_mean: f64) -> (f64, f64, f64) {
    // without branches, and in line
    let mean = Scalar::exp(log_mean);
    let (ratio, extra) = (mean / theta, count_terms(y, theta));
    let log = ln_1p(ratio);
    let share = mean / (theta + mean);
    let loss = (y + theta) * log - y * log_mean - extra.value + log_factorial(y);
    let slope = theta * log - theta * share + extra.slope - y * share;
    (loss, (mean - y) / (1.0 + ratio), slope)
}

/// The logits of the counts above 0, before they are lost.
#[inline(always)]
fn keep_logits<T: Scalar>(column: &Column<'_, T>, terms: &mut Vec<[f64; 2]>) {
    terms.clear();
    terms.extend(column.counts.0.iter().map(|&g| [column.eta[g as usize].double(), 0.0]));
}

#[inline(always)]
fn negative_binomial<T: Scalar>(mut column: Column<'_, T>, room: &mut Room<T>) -> f64 {
    let Room { mean, loss, slope, terms, .. } = room;
    keep_logits(&column, terms);
    let (sum, shift) = column.exponentiate();
    let factor = T::of(column.log_size.exp() / sum);
    let mut counted = 0.0;
    for (at, term) in terms.iter_mut().enumerate() {
        let (g, y) = column.entry(at);
        let (loss, d, by_r) = counted_terms(y, column.theta[g].double(), term[0] + shift);
        counted += loss;
        *term = [d, by_r];
    }
    let genes = column.eta.len();
    let (eta, theta) = (&mut column.eta[..genes], &column.theta[..genes]);
    let (mean, loss, slope) = (&mut mean[..genes], &mut loss[..genes], &mut slope[..genes]);
    for g in 0..genes {
        let mu = eta[g] * factor;
        let ratio = mu / theta[g];
        let q = mu / (T::of(1.0) + ratio);
        mean[g] = mu;
        loss[g] = theta[g] * ln_1p(ratio);
        eta[g] = q;
        slope[g] = loss[g] - q;
    }
    for (&g, term) in column.counts.0.iter().zip(&*terms) {
        let g = g as usize;
        loss[g] = T::of(0.0);
        eta[g] = T::of(term[0]);
        slope[g] = T::of(term[1]);
    }
    if let Some(scale) = column.scale {
        through_softmax(eta, mean, column.log_size, scale);
    }
    sum_inline(loss) + counted
}

#[inline(always)]
fn zero_inflated<T: Scalar>(mut column: Column<'_, T>, odds: &mut [T], room: &mut Room<T>) -> f64 {
    let Room { mean, loss, slope, structural, terms, .. } = room;
    keep_logits(&column, terms);
    let (sum, shift) = column.exponentiate();
    let factor = T::of(column.log_size.exp() / sum);
    let mut counted = 0.0;
    for (at, term) in terms.iter_mut().enumerate() {
        let (g, y) = column.entry(at);
        let (loss, d, by_r) = counted_terms(y, column.theta[g].double(), term[0] + shift);
        counted += loss + softplus(odds[g].double());
        *term = [d, by_r];
    }
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let genes = column.eta.len();
    let (eta, theta, odds) = (&mut column.eta[..genes], &column.theta[..genes], &mut odds[..genes]);
    let (mean, loss, slope) = (&mut mean[..genes], &mut loss[..genes], &mut slope[..genes]);
    let structural = &mut structural[..genes];
    for g in 0..genes {
        let mu = eta[g] * factor;
        let ratio = mu / theta[g];
        let q = mu / (one + ratio);
        let logs = theta[g] * ln_1p(ratio);
        let a = odds[g];
        let s = a + logs;
        let sampled = sigmoid(-s);
        // softplus(a) + logs − softplus(s), without cancellation where s is large
        let base = if s > zero { softplus(-a) } else { softplus(a) + logs };
        mean[g] = mu;
        loss[g] = base - ln_1p((-s.abs()).exp());
        eta[g] = sampled * q;
        slope[g] = sampled * (logs - q);
        // u, which counts above 0 do not have, is taken off below
        odds[g] = sigmoid(a);
        structural[g] = one - sampled;
    }
    for (&g, term) in column.counts.0.iter().zip(&*terms) {
        let g = g as usize;
        loss[g] = zero;
        eta[g] = T::of(term[0]);
        slope[g] = T::of(term[1]);
        structural[g] = zero;
    }
    if let Some(scale) = column.scale {
        through_softmax(eta, mean, column.log_size, scale);
        let scale = T::of(scale);
        for g in 0..genes {
            odds[g] = scale * (odds[g] - structural[g]);
        }
    }
    sum_inline(loss) + counted
}

#[cfg(test)]
mod tests;
