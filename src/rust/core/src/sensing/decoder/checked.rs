//! Held-out samples on which standard errors are checked.

use super::bells::bells;
use super::folds::FoldedRidge;
use super::ridge::{leverage, Ridge};
use super::sums::{Line, Sums};
use crate::base::error::CoreError;
use crate::base::numbers::golden_section;
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg::{self, Cholesky};
use crate::matrix::{from_fn, Array2, ArrayRef2, Columns};
use rand_distr::{Distribution, StandardNormal};

/// Of all folds together, at most.
const MOST_CHECKED: usize = 2000;

/// Some samples of a fold, with noise of their own.
pub(super) struct Checked {
    /// Their columns, in the order of the folds.
    columns: Vec<usize>,
    /// Directions × samples.
    z: Array2<f64>,
    /// Landmarks × samples.
    bells: Array2<f64>,
    /// h, and h + v once the bells' is known.
    pub(super) doubt: Vec<f64>,
}

impl Checked {
    /// One per fold.
    pub(super) fn draw(
        folded: &FoldedRidge,
        ridge: &Ridge,
        sums: &Sums,
        noise: f64,
        seed: u64,
        monitor: &Monitor<'_>,
    ) -> Result<Vec<Self>, CoreError> {
        let folds = &folded.folds;
        let n = folds.order.len();
        let step = n.div_ceil(MOST_CHECKED);
        let of_fold = |range: &std::ops::Range<usize>| {
            let columns: Vec<usize> = range.clone().step_by(step).collect();
            let mut rng = stream(seed, Purpose::Splits, 2 + range.start);
            let z = from_fn((folded.z.nrows(), columns.len()), |i, j| {
                let normal: f64 = StandardNormal.sample(&mut rng);
                folded.z[(i, columns[j])] + noise.sqrt() * normal
            });
            let bells = bells(&linalg::product(&sums.turn, &z), &sums.landmarks, monitor)?;
            let doubt = (0..columns.len())
                .map(|j| leverage(z.col(j), &ridge.scale) + 1.0 / n as f64)
                .collect();
            Ok(Checked { columns, z, bells, doubt })
        };
        folds.ranges.iter().map(of_fold).collect()
    }

    /// Adds the bells' variance where they are fitted without the fold.
    pub(super) fn doubt_bells(&mut self, whiten: &Array2<f64>, rest: &Cholesky, penalty: f64) {
        let half = linalg::product(whiten, &self.bells);
        let mut solved = half.clone();
        rest.solve_in_place(&mut solved);
        for (j, doubt) in self.doubt.iter_mut().enumerate() {
            let (half, solved) = (half.col(j), solved.col(j));
            let known: f64 = half.iter().map(|v| v * v).sum();
            let learned: f64 = half.iter().zip(solved).map(|(a, b)| a * b).sum();
            *doubt += ((1.0 - known) / penalty + learned).max(0.0);
        }
    }

    /// Squared errors of ridge and bells, genes × samples; `x` has the samples of
    /// all folds, `w` is landmarks × genes for whitened bells `whiten` φ.
    pub(super) fn squares(
        &self,
        x: &ArrayRef2<f64>,
        line: Line<'_>,
        w: &Array2<f64>,
        whiten: &Array2<f64>,
    ) -> Array2<f64> {
        let shifted = from_fn(self.z.dim(), |i, j| self.z[(i, j)] - line.z_mean[i]);
        let mut fitted = linalg::product(line.weights, &shifted);
        let coefficients = linalg::product(&w.t(), whiten);
        linalg::add_product(&mut fitted, 1.0, &coefficients, &self.bells);
        from_fn(fitted.dim(), |g, j| {
            (x[(g, self.columns[j])] - line.mean[g] - fitted[(g, j)]).powi(2)
        })
    }
}

/// The weight ω from 0 to 1 with which variances 1 + ω doubt fit squared errors best, by
/// the normal likelihood with a scale of its own.
pub(crate) fn spread_weight(doubts: &[f64], squares: &[f64]) -> f64 {
    let n = doubts.len() as f64;
    let loss = |weight: f64| {
        let spread = || doubts.iter().map(|doubt| 1.0 + weight * doubt);
        let scale = squares.iter().zip(spread()).map(|(square, s)| square / s).sum::<f64>() / n;
        spread().map(f64::ln).sum::<f64>() / n + scale.max(f64::MIN_POSITIVE).ln()
    };
    golden_section(loss, (0.0, 1.0), 1e-3)
}
