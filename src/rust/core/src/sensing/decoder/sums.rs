//! Sums over folds, from which bells are fitted and judged.

use super::bells::{bells, Blurred};
use super::folds::{FoldFit, FoldedRidge, Folds};
use super::product;
use super::ridge::Ridge;
use crate::base::error::CoreError;
use crate::base::parallel::{over_blocks, Monitor};
use crate::base::simd::vectors::dot;
use crate::matrix::linalg::{self, Cholesky};
use crate::matrix::{from_fn, zeros, Array2, ArrayRef2, Columns};
use ndarray::s;
use std::ops::Range;

/// Four penalties in each power of ten between these.
const PENALTIES: (i32, i32) = (-6, 2);
/// Added to the diagonal of K, which is 1: keeps it positive definite, for
/// landmarks may be near one another.
const NUGGET: f64 = 1e-8;
/// Directions whose part in the recovered profiles is less, relative to the largest.
const RANK_TOLERANCE: f64 = 1e-12;

/// Samples and landmarks in coordinates of recovered profiles.
pub(super) struct Place {
    /// F with p = F z, coordinates × directions.
    turn: Array2<f64>,
    /// p of the training samples, in the order of the folds.
    points: Array2<f64>,
    pub(super) landmarks: Array2<f64>,
    /// Variance of the noise per coordinate.
    noise: Vec<f64>,
    /// σ².
    of_expression: f64,
    /// Of p with its noise, summed over coordinates.
    variance: f64,
    /// T.
    of_readings: Array2<f64>,
}

impl Place {
    pub(super) fn new(ridge: &Ridge, noise: f64, folds: &Folds, most: usize) -> Self {
        let spectrum = linalg::spectrum(&linalg::product(&ridge.weights.t(), &ridge.weights));
        let strong = |&&v: &&f64| v > RANK_TOLERANCE * spectrum.values[0];
        let kept = spectrum.values.iter().take_while(strong).count();
        let turn = from_fn((kept, ridge.weights.ncols()), |i, j| {
            spectrum.values[i].sqrt() * spectrum.vectors[(j, i)]
        });
        let points = linalg::product(&turn, &folds.arrange(&ridge.z));
        let n = points.ncols();
        let count = if kept == 0 { 0 } else { most.min(n) };
        // evenly over the folds, whose order is random
        let landmarks = from_fn((kept, count), |i, l| points[(i, l * n / count)]);
        // F Fᵀ is diagonal
        let noise_of_points: Vec<f64> = spectrum.values[..kept].iter().map(|v| noise * v).collect();
        let variance = points.iter().map(|p| p * p).sum::<f64>() / n as f64
            + noise_of_points.iter().sum::<f64>();
        Place {
            of_readings: linalg::product(&turn, &ridge.turn),
            turn,
            points,
            landmarks,
            noise: noise_of_points,
            of_expression: noise,
            variance,
        }
    }
}

/// Sums over each fold for bells of one width.
pub(super) struct Sums {
    blurred: Blurred,
    /// L⁻¹ of K = L Lᵀ.
    pub(super) whiten: Array2<f64>,
    /// L⁻¹ E[ΦΦᵀ] L⁻ᵀ.
    pub(super) grams: Vec<Array2<f64>>,
    /// Σ φ.
    bells: Vec<Vec<f64>>,
    /// Σ E z φᵀ, directions × landmarks.
    cross: Vec<Array2<f64>>,
    /// F, stretched.
    pub(super) turn: Array2<f64>,
    pub(super) coordinates: Array2<f64>,
    pub(super) landmarks: Array2<f64>,
}

impl Sums {
    pub(super) fn new(
        place: &Place,
        folded: &FoldedRidge,
        sharpness: f64,
        monitor: &Monitor<'_>,
    ) -> Result<Self, CoreError> {
        let stretch = (sharpness / place.variance).sqrt();
        let points = &place.points * stretch;
        let landmarks = &place.landmarks * stretch;
        let noise: Vec<f64> = place.noise.iter().map(|e| e * stretch * stretch).collect();
        let blurred = Blurred::new(&points, &landmarks, &noise, monitor)?;
        let mut kernel = bells(&landmarks, &landmarks, monitor)?;
        kernel.diag_mut().iter_mut().for_each(|d| *d += NUGGET);
        let size = kernel.nrows();
        let not_definite =
            CoreError::Argument { name: "landmarks", found: size as f64, expected: "different" };
        let factor = Cholesky::new(kernel).ok_or(not_definite)?;
        let mut whiten = zeros((size, size));
        whiten.diag_mut().fill(1.0);
        factor.solve_lower_in_place(&mut whiten);
        let mut sums = Sums {
            whiten,
            grams: Vec::new(),
            bells: Vec::new(),
            cross: Vec::new(),
            coordinates: &place.of_readings * stretch,
            turn: &place.turn * stretch,
            landmarks,
            blurred,
        };
        for range in &folded.folds.ranges {
            let gram = sums.blurred.gram(range.clone(), monitor)?;
            let half = product(&sums.whiten, &gram, monitor)?;
            sums.grams.push(product(&half, &sums.whiten.t(), monitor)?);
            let mean = sums.blurred.mean.slice(s![.., range.clone()]);
            sums.bells.push(mean.rows().into_iter().map(|row| row.sum()).collect());
            let z = folded.z.slice(s![.., range.clone()]);
            let mut cross = product(&z, &mean.t(), monitor)?;
            if place.of_expression > 0.0 {
                let own = sums.blurred.noise_with_bells(
                    &points,
                    &sums.landmarks,
                    range.clone(),
                    monitor,
                )?;
                linalg::add_product(&mut cross, place.of_expression, &sums.turn.t(), &own);
            }
            sums.cross.push(cross);
        }
        Ok(sums)
    }

    /// Over all folds.
    pub(super) fn gram(&self) -> Array2<f64> {
        let mut sum = self.grams[0].clone();
        self.grams[1..].iter().for_each(|gram| sum += gram);
        sum
    }

    /// Σ E φ xᵀ over each fold, landmarks × genes, for genes × samples in the order of
    /// the folds.
    pub(super) fn with_genes(
        &self,
        x: &ArrayRef2<f64>,
        folds: &Folds,
        monitor: &Monitor<'_>,
    ) -> Result<Vec<Array2<f64>>, CoreError> {
        let of_fold = |range: &Range<usize>| {
            let mean = self.blurred.mean.slice(s![.., range.clone()]);
            product(&mean, &x.slice(s![.., range.clone()]).t(), monitor)
        };
        folds.ranges.iter().map(of_fold).collect()
    }

    /// Σ E φ (x − ridge)ᵀ over some folds, whitened, from the sums with x.
    pub(super) fn residuals(
        &self,
        with_genes: &[Array2<f64>],
        fit: Line<'_>,
        held: impl Fn(usize) -> bool,
    ) -> Array2<f64> {
        let size = self.whiten.nrows();
        let mut out = zeros(with_genes[0].dim());
        let mut sum = vec![0.0; size];
        let mut cross = zeros((fit.weights.ncols(), size));
        for (f, own) in with_genes.iter().enumerate().filter(|(f, _)| held(*f)) {
            out += own;
            sum.iter_mut().zip(&self.bells[f]).for_each(|(sum, b)| *sum += b);
            cross += &self.cross[f];
        }
        linalg::add_product(&mut out, -1.0, &cross.t(), &fit.weights.t());
        for (g, mut column) in out.columns_mut().into_iter().enumerate() {
            let shift = fit.weights.row(g).iter().zip(fit.z_mean).map(|(b, z)| b * z).sum::<f64>();
            column.iter_mut().zip(&sum).for_each(|(c, s)| *c -= (fit.mean[g] - shift) * s);
        }
        linalg::product(&self.whiten, &out)
    }

    /// The penalty with the least held-out error, and that error per sample.
    pub(super) fn choose(
        &self,
        targets: &ArrayRef2<f64>,
        fits: &[FoldFit],
        folds: &Folds,
        monitor: &Monitor<'_>,
    ) -> Result<(f64, f64), CoreError> {
        let penalties: Vec<f64> = (4 * PENALTIES.0..=4 * PENALTIES.1)
            .map(|quarter| 10f64.powf(f64::from(quarter) / 4.0))
            .collect();
        let all = self.gram();
        let with_genes = self.with_genes(targets, folds, monitor)?;
        let work = |fold: Range<usize>| {
            let f = fold.start;
            let line = Line::of(&fits[f]);
            let learned = self.residuals(&with_genes, line, |other| other != f);
            let held = self.residuals(&with_genes, line, |other| other == f);
            monitor.check()?;
            let spectrum = linalg::spectrum(&(&all - &self.grams[f]));
            monitor.check()?;
            let turn = spectrum.vectors.t();
            let learned = linalg::product(&turn, &learned);
            let held = linalg::product(&turn, &held);
            let linear: Vec<f64> =
                learned.rows().into_iter().zip(held.rows()).map(|(a, b)| a.dot(&b)).collect();
            let gram = linalg::product(&turn, &self.grams[f]);
            let mut quadratic = linalg::product(&gram, &spectrum.vectors);
            quadratic *= &linalg::product(&learned, &learned.t());
            let own: f64 = fits[f].error.iter().sum();
            let error = |penalty: &f64| {
                let w: Vec<f64> =
                    spectrum.values.iter().map(|d| 1.0 / (d.max(0.0) + penalty)).collect();
                let pulled: f64 = w.iter().zip(&linear).map(|(w, c)| w * c).sum();
                let spent: f64 = (0..w.len()).map(|l| w[l] * dot(quadratic.col(l), &w)).sum();
                own - 2.0 * pulled + spent
            };
            Ok(penalties.iter().map(error).collect::<Vec<f64>>())
        };
        let mut errors = vec![0.0; penalties.len()];
        over_blocks(fits.len(), 1, monitor, work, |_, part| {
            errors.iter_mut().zip(part).for_each(|(sum, error)| *sum += error);
        })?;
        let n = folds.order.len() as f64;
        let best = (0..errors.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b]));
        let best = best.expect("there are penalties");
        Ok((penalties[best], errors[best] / n))
    }
}

/// Some genes' ridge: mean + weights (z − z_mean).
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) mean: &'a [f64],
    pub(super) weights: &'a Array2<f64>,
    pub(super) z_mean: &'a [f64],
}

impl<'a> Line<'a> {
    pub(super) fn of(fit: &'a FoldFit) -> Self {
        Line { mean: &fit.mean, weights: &fit.weights, z_mean: &fit.z_mean }
    }
}
