//! Multiplicative updates: of the Frobenius loss (Lee and Seung 2001), and of
//! the non-smooth model under the Kullback-Leibler divergence (Pascual-Montano
//! 2006).  Those of the divergence itself are in [`super::kl`].

use super::alternate::Model;
use super::data::{Data, Side};
use super::frobenius::{Frobenius, Solver};
use super::kl::{KullbackLeibler, Step};
use super::penalty::Constraint;

/// C ← C ∘ (F X) / (F Fᵀ C).
pub struct Lee<'a> {
    data: Data<'a>,
    rank: usize,
    half_squares: f64,
    exact: Frobenius<'a>,
}

impl<'a> Lee<'a> {
    pub fn new(data: Data<'a>, rank: usize) -> Self {
        let none = [Constraint::default(), Constraint::default()];
        let exact = Frobenius::new(data.clone(), rank, Solver::CoordinateDescent, none);
        Lee { half_squares: 0.5 * data.squares(), data, rank, exact }
    }
}

impl Model for Lee<'_> {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64 {
        let rank = self.rank;
        let gram = self.data.gram(side.other(), fixed, rank);
        let times = |line: &[f64], r: usize| -> f64 {
            gram[r * rank..(r + 1) * rank].iter().zip(line).map(|(g, v)| g * v).sum()
        };
        let sums = self.data.over_blocks(side, rank, current, |first, out| {
            let mut linear = vec![0.0; out.len()];
            self.data.product_block(side, fixed, rank, first, &mut linear);
            let mut below = vec![0.0; rank];
            let mut sum = 0.0;
            for (line, b) in out.chunks_exact_mut(rank).zip(linear.chunks_exact(rank)) {
                below.iter_mut().enumerate().for_each(|(r, v)| *v = times(line, r));
                for r in 0..rank {
                    // 0 / 0 where neither factor nor data reach: nothing to do
                    line[r] *= if below[r] > 0.0 { b[r] / below[r] } else { 1.0 };
                }
                if value {
                    let half = |r: usize| line[r] * (0.5 * times(line, r) - b[r]);
                    sum += (0..rank).map(half).sum::<f64>();
                }
            }
            sum
        });
        if value {
            (self.half_squares + sums.iter().sum::<f64>()).max(0.0)
        } else {
            f64::NAN
        }
    }

    fn penalty(&self, _: Side, _: &[f64]) -> f64 {
        0.0
    }

    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        self.exact.residual(side, fixed, current)
    }
}

/// X ≈ W S H with S = (1 − θ) I + θ/k 11ᵀ and columns of W that sum to 1.
///
/// With these sums the divergence depends on W through Σ x log μ alone, and the
/// multiplicative update followed by normalisation is the EM step of a
/// multinomial mixture: the objective never rises.
pub struct NonSmooth<'a> {
    inner: KullbackLeibler<'a>,
    rank: usize,
    theta: f64,
}

impl<'a> NonSmooth<'a> {
    pub fn new(data: Data<'a>, rank: usize, theta: f64) -> Self {
        let none = [Constraint::default(), Constraint::default()];
        let inner = KullbackLeibler::new(data, rank, Step::Multiplicative, none);
        NonSmooth { inner, rank, theta }
    }

    fn smooth(&self, factor: &[f64]) -> Vec<f64> {
        let mut out = factor.to_vec();
        for line in out.chunks_exact_mut(self.rank) {
            let part = self.theta * line.iter().sum::<f64>() / self.rank as f64;
            line.iter_mut().for_each(|v| *v = (1.0 - self.theta) * *v + part);
        }
        out
    }
}

impl Model for NonSmooth<'_> {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64 {
        let value = self.inner.update(side, &self.smooth(fixed), current, value);
        if side == Side::Basis {
            let mut sums = vec![0.0; self.rank];
            for line in current.chunks_exact(self.rank) {
                sums.iter_mut().zip(line).for_each(|(sum, v)| *sum += v);
            }
            for line in current.chunks_exact_mut(self.rank) {
                for (v, &sum) in line.iter_mut().zip(&sums) {
                    *v = if sum > 0.0 { *v / sum } else { 0.0 };
                }
            }
        }
        value
    }

    fn penalty(&self, _: Side, _: &[f64]) -> f64 {
        0.0
    }

    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        if side == Side::Coef {
            return self.inner.residual(side, &self.smooth(fixed), current);
        }
        // stationarity under the sums: how far one EM step still moves W
        let mut next = current.to_vec();
        self.update(side, fixed, &mut next, false);
        let totals: Vec<f64> = {
            let mut totals = vec![0.0; self.rank];
            for line in fixed.chunks_exact(self.rank) {
                totals.iter_mut().zip(line).for_each(|(sum, v)| *sum += v);
            }
            totals
        };
        let all: f64 = totals.iter().sum();
        let mut sum = 0.0;
        for (now, next) in current.chunks_exact(self.rank).zip(next.chunks_exact(self.rank)) {
            for r in 0..self.rank {
                if now[r] > 0.0 {
                    sum += totals[r] * (next[r] - now[r]) * (next[r] - now[r]) / now[r];
                }
            }
        }
        if all > 0.0 {
            (sum / all).sqrt()
        } else {
            0.0
        }
    }
}
