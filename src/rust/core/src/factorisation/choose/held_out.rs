//! Factorisations that do not see some entries, and what they make of them.
//!
//! Speckled cross-validation (Wold 1978): entries anywhere in X are held out.
//! With X̃ the matrix in which they are zero, the products with X̃ are those of
//! the observed part, and only the standing factor's Gram matrix (or sums)
//! needs a correction per line, for the entries that the line lacks:
//! Σ_observed a aᵀ = A Aᵀ − Σ_held a aᵀ.

use crate::base::error::{check_value, CoreError};
use crate::factorisation::alternate::{Model, Pair};
use crate::factorisation::data::{Data, Side};
use crate::factorisation::kl::line::{self, Work};
use crate::factorisation::kl::line_problem::LineProblem;
use crate::matrix::CscBuf;
use crate::nnls::solve_nonnegative;

/// Which loss is minimised, and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// ½ (x − μ)².
    Squares,
    /// x log(x / μ) − x + μ.
    KullbackLeibler,
}

crate::base::error::named!(Loss, "loss",
    "frobenius" => Loss::Squares,
    "kl" => Loss::KullbackLeibler,
);

/// Entries of one fold: those whose position has a hash in the fold's part of
/// the range of 64-bit numbers.  Folds of one seed are disjoint, and each holds the
/// asked fraction of positions up to chance.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    seed: u64,
    first: u64,
    width: u64,
}

impl Mask {
    /// Fold `fold` of folds that hold `fraction` of the entries each.
    ///
    /// # Errors
    /// `Argument` when the fraction is not inside (0, 1), or when there is no
    /// room for so many folds.
    pub fn new(seed: u64, fraction: f64, fold: usize) -> Result<Self, CoreError> {
        check_value("fraction", fraction, "above 0 and below 1", |f| f > 0.0 && f < 1.0)?;
        let end = fraction * (fold + 1) as f64;
        check_value("fold", fold as f64, "below 1 / fraction", |_| end <= 1.0 + 1e-12)?;
        let width = (fraction * 2f64.powi(64)) as u64;
        Ok(Mask { seed, first: width.wrapping_mul(fold as u64), width })
    }

    pub fn holds(&self, row: usize, column: usize) -> bool {
        let position = ((column as u64) << 32) ^ row as u64;
        mix(position ^ mix(self.seed)).wrapping_sub(self.first) < self.width
    }
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The entries of each line that are held out, in both directions.
pub struct HeldOut {
    by_side: [CscBuf<()>; 2],
}

impl HeldOut {
    /// Entries for which `holds(row, column)`.
    ///
    /// # Errors
    /// `Argument` for more of them than a sparse matrix holds.
    pub fn new(
        (rows, columns): (usize, usize),
        holds: impl Fn(usize, usize) -> bool,
    ) -> Result<Self, CoreError> {
        let mut by_column = CscBuf::new(rows);
        for j in 0..columns {
            (0..rows).filter(|&i| holds(i, j)).for_each(|i| by_column.push(i, ()));
            by_column.end_column()?;
        }
        Ok(HeldOut { by_side: [by_column.view().transpose(), by_column] })
    }

    pub fn line(&self, side: Side, index: usize) -> &[i32] {
        self.by_side[side.index()].view().column(index).0
    }

    /// Entries that are held out.
    pub fn count(&self) -> usize {
        self.by_side[Side::Coef.index()].view().n_stored()
    }
}

/// The loss over the entries that are not held out.  `data` has zeros at those
/// that are.
pub struct Observed<'a, 'h> {
    data: Data<'a>,
    held: &'h HeldOut,
    rank: usize,
    loss: Loss,
    /// The part of the loss that no factor changes.
    constant: f64,
    scale: f64,
}

impl<'a, 'h> Observed<'a, 'h> {
    pub fn new(data: Data<'a>, held: &'h HeldOut, rank: usize, loss: Loss) -> Self {
        let data = data.with_lines();
        let (constant, scale) = match loss {
            Loss::Squares => (0.5 * data.squares(), data.squares()),
            Loss::KullbackLeibler => {
                (data.sum_of(|x| if x > 0.0 { x * x.ln() - x } else { 0.0 }), data.sum())
            }
        };
        Observed { data, held, rank, loss, constant, scale }
    }

    /// Calls `f` with each line's problem: Gram matrix and right-hand side, for
    /// squares.
    fn squares(
        &self,
        side: Side,
        fixed: &[f64],
        current: &mut [f64],
        f: impl Fn(&[f64], &[f64], &mut [f64]) -> f64 + Sync,
    ) -> f64 {
        let rank = self.rank;
        let full = self.data.gram(side.other(), fixed, rank);
        let sums = self.data.over_blocks(side, rank, current, |first, out| {
            let mut linear = vec![0.0; out.len()];
            self.data.product_block(side, fixed, rank, first, &mut linear);
            let mut gram = vec![0.0; rank * rank];
            let mut sum = 0.0;
            let lines = out.chunks_exact_mut(rank).zip(linear.chunks_exact(rank)).enumerate();
            for (offset, (x, b)) in lines {
                gram.copy_from_slice(&full);
                for &at in self.held.line(side, first + offset) {
                    let a = &fixed[at as usize * rank..(at as usize + 1) * rank];
                    for (c, &v) in a.iter().enumerate() {
                        let column = &mut gram[c * rank..(c + 1) * rank];
                        column.iter_mut().zip(a).for_each(|(g, &w)| *g -= v * w);
                    }
                }
                for r in 0..rank {
                    // what is left of a column that only held-out entries had
                    if gram[r * rank + r] < 1e-12 * full[r * rank + r] {
                        (0..rank).for_each(|s| {
                            gram[r * rank + s] = 0.0;
                            gram[s * rank + r] = 0.0;
                        });
                    }
                }
                sum += f(&gram, b, x);
            }
            sum
        });
        sums.iter().sum()
    }

    /// Calls `f` with each line's problem for the divergence.
    fn divergence(
        &self,
        side: Side,
        fixed: &[f64],
        current: &mut [f64],
        f: impl Fn(&LineProblem<'_>, &mut [f64], &mut Work) -> f64 + Sync,
    ) -> f64 {
        let rank = self.rank;
        let mut full = vec![0.0; rank];
        for line in fixed.chunks_exact(rank) {
            full.iter_mut().zip(line).for_each(|(sum, v)| *sum += v);
        }
        let quadratic = vec![0.0; rank * rank];
        let sums = self.data.over_blocks(side, rank, current, |first, out| {
            let mut work = Work::new(rank);
            let mut totals = vec![0.0; rank];
            let mut sum = 0.0;
            for (offset, c) in out.chunks_exact_mut(rank).enumerate() {
                totals.copy_from_slice(&full);
                for &at in self.held.line(side, first + offset) {
                    let a = &fixed[at as usize * rank..(at as usize + 1) * rank];
                    totals.iter_mut().zip(a).for_each(|(t, v)| *t -= v);
                }
                // rounding must not make a component cost less than nothing
                totals.iter_mut().zip(&full).for_each(|(t, f)| *t = t.max(1e-12 * f));
                let problem = LineProblem {
                    factor: fixed,
                    entries: self.data.line(side, first + offset),
                    totals: &totals,
                    quadratic: &quadratic,
                    majoriser: None,
                    upper: f64::INFINITY,
                    fixed: &[],
                };
                sum += f(&problem, c, &mut work);
            }
            sum
        });
        sums.iter().sum()
    }
}

impl Model for Observed<'_, '_> {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64 {
        let sum = match self.loss {
            Loss::Squares => self.squares(side, fixed, current, |gram, b, x| {
                solve_nonnegative(gram, b, 0.0, x);
                half_quadratic(gram, b, x)
            }),
            Loss::KullbackLeibler => self.divergence(side, fixed, current, |problem, c, work| {
                line::newton(problem, c, work, value)
            }),
        };
        self.constant + sum
    }

    fn penalty(&self, _side: Side, _factor: &[f64]) -> f64 {
        0.0
    }

    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        let mut copy = current.to_vec();
        let sum = match self.loss {
            Loss::Squares => self.squares(side, fixed, &mut copy, |gram, b, x| {
                let rank = b.len();
                (0..rank)
                    .map(|r| {
                        let column = &gram[r * rank..(r + 1) * rank];
                        let slope: f64 = column.iter().zip(&*x).map(|(g, x)| g * x).sum();
                        let step = if column[r] > 0.0 { (b[r] - slope) / column[r] } else { 0.0 };
                        column[r] * step.max(-x[r]).powi(2)
                    })
                    .sum()
            }),
            Loss::KullbackLeibler => self.divergence(side, fixed, &mut copy, |problem, c, work| {
                line::residual(problem, c, work)
            }),
        };
        if self.scale > 0.0 {
            (sum / self.scale).sqrt()
        } else {
            0.0
        }
    }

    fn kept_part(&self) -> f64 {
        // a fit of zero would be infinitely bad where a count is above it
        if self.loss == Loss::Squares {
            0.0
        } else {
            0.1
        }
    }
}

/// ½ xᵀGx − bᵀx.
fn half_quadratic(gram: &[f64], b: &[f64], x: &[f64]) -> f64 {
    let rank = b.len();
    (0..rank)
        .map(|r| {
            let column = &gram[r * rank..(r + 1) * rank];
            let product: f64 = column.iter().zip(x).map(|(g, x)| g * x).sum();
            x[r] * (0.5 * product - b[r])
        })
        .sum()
}

/// What held-out entries are compared with.
pub struct Reference {
    /// Mean of the observed entries: the constant fit.
    pub level: f64,
    /// Mean of the observed entries of each row.
    pub row_means: Vec<f64>,
}

/// Share of the row's mean that a fit is mixed with under the divergence.
const MIXED: f64 = 1e-3;

/// Loss of the fit over the entries of `held` for which `judged(row, column)` gives
/// a value, then that of the constant fit, then their number.
///
/// Under the divergence the fit is mixed with a thousandth of the row's mean, and is
/// at least 1e-6 of the level: what is zero in training may be above it elsewhere,
/// and an infinite loss compares nothing.
pub fn judge(
    pair: &Pair,
    held: &HeldOut,
    loss: Loss,
    reference: &Reference,
    judged: impl Fn(usize, usize) -> Option<f64>,
) -> (f64, f64, usize) {
    let rank = pair.rank;
    let (basis, coef) = (pair.side(Side::Basis), pair.side(Side::Coef));
    let level = reference.level;
    let of = |x: f64, mu: f64| match loss {
        Loss::Squares => 0.5 * (x - mu) * (x - mu),
        Loss::KullbackLeibler => {
            let mu = mu.max(1e-6 * level);
            mu - x + if x > 0.0 { x * (x / mu).ln() } else { 0.0 }
        }
    };
    let (mut fitted, mut constant, mut count) = (0.0, 0.0, 0);
    for (j, h) in coef.chunks_exact(rank).enumerate() {
        for &i in held.line(Side::Coef, j) {
            let i = i as usize;
            if let Some(x) = judged(i, j) {
                let w = &basis[i * rank..(i + 1) * rank];
                let mut mu: f64 = w.iter().zip(h).map(|(w, h)| w * h).sum();
                if loss == Loss::KullbackLeibler {
                    mu += MIXED * (reference.row_means[i] - mu);
                }
                fitted += of(x, mu);
                constant += of(x, level);
                count += 1;
            }
        }
    }
    (fitted, constant, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_disjoint_and_hold_their_fraction() {
        let folds: Vec<Mask> = (0..4).map(|f| Mask::new(7, 0.25, f).unwrap()).collect();
        let mut counts = [0; 4];
        for i in 0..300 {
            for j in 0..200 {
                let holding: Vec<usize> = (0..4).filter(|&f| folds[f].holds(i, j)).collect();
                assert!(holding.len() <= 1);
                holding.iter().for_each(|&f| counts[f] += 1);
            }
        }
        // four standard deviations of a binomial of 60,000
        let off = counts.map(|c| (c as f64 / 60_000.0 - 0.25).abs());
        assert!(off.iter().all(|&o| o < 4.0 * (0.1875f64 / 60_000.0).sqrt()), "{counts:?}");
        assert!(counts.iter().sum::<i32>() >= 59_999);
        assert_eq!(Mask::new(7, 0.3, 3).err().unwrap().kind(), "argument");
        assert_eq!(Mask::new(7, 1.0, 0).err().unwrap().kind(), "argument");
    }

    #[test]
    fn both_directions_list_the_same_entries() {
        let mask = Mask::new(1, 0.2, 1).unwrap();
        let held = HeldOut::new((13, 9), |i, j| mask.holds(i, j)).unwrap();
        for i in 0..13 {
            for j in 0..9 {
                let by_row = held.line(Side::Basis, i).contains(&(j as i32));
                let by_column = held.line(Side::Coef, j).contains(&(i as i32));
                assert_eq!((by_row, by_column), (mask.holds(i, j), mask.holds(i, j)));
            }
        }
    }
}
