//! Kernel ridge regression of what ridge leaves, with Gaussian bells.
//!
//! Samples are as far apart as the profiles that ridge recovers for them, so the
//! bells live in coordinates p = (BᵀB)^{½} z: directions that say nothing about the
//! genes do not count.  With landmarks q (Nyström; all samples where they are few)
//! and K = φ(q), the coefficients W minimise
//!
//!   E Σ_i ‖x_i − ridge(y_i) − W φ(y_i)‖² + λ tr(W K Wᵀ)
//!
//! over the noise of the readings.  The width of the bells and λ are those with the
//! least expected squared error over five folds, in each of which ridge, too, is
//! fitted without the fold; W = 0, so ridge alone, is among the candidates.  All of it
//! comes from sums over folds: with M = K^{−½} E[ΦΦᵀ] K^{−½} of the training folds and
//! one eigendecomposition of it, the error on the held-out fold is a quadratic
//! function of 1 / (d + λ).
//!
//! Variance of the answer, over that of a gene: v = [1 − φᵀK⁻¹φ] / λ + φᵀ K^{−½}(M +
//! λ)⁻¹K^{−½} φ, as for a Gaussian process whose variance is 1/λ of the residual's.
//! How far errors really grow with it and with the leverage of ridge, 1 + ω (h + v), is
//! learned from held-out samples ([`spread_weight`]).
//!
//! Source: Rasmussen and Williams, Gaussian Processes for Machine Learning,
//! sections 2.2 and 8.3.

use super::checked::{spread_weight, Checked};
use super::folds::{FoldedRidge, Folds};
use super::ridge::Ridge;
use super::sums::{Line, Place, Sums};
use super::{product, Bells, Training, Trial};
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::{over_blocks, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::dot;
use crate::matrix::linalg::{self, Cholesky};
use crate::matrix::{from_fn, zeros, Array2, Columns};
use ndarray::s;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// Sharpness of the bells that is tried, times the variance of samples: at 1 a
/// bell falls to 1/e between a sample and the mean.
const SHARPNESS: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// More genes than this are replaced by as many random combinations while width and
/// penalty are chosen: the error is a sum over genes, which they estimate without bias.
const MOST_TARGETS: usize = 1000;

#[derive(Clone, Copy, Debug)]
pub struct KernelParams {
    /// At most.
    pub landmarks: usize,
    pub seed: u64,
}

/// As [`Bells`], with the weight of their variance.
pub struct Kernel {
    pub coordinates: Array2<f64>,
    pub landmarks: Array2<f64>,
    pub coefficients: Array2<f64>,
    pub certainty: Array2<f64>,
    pub prior: f64,
    pub spread_weight: f64,
}

impl Kernel {
    pub(super) fn bells(&self) -> Bells<'_> {
        Bells {
            coordinates: self.coordinates.view(),
            landmarks: self.landmarks.view(),
            coefficients: self.coefficients.view(),
            certainty: self.certainty.view(),
            prior: self.prior,
        }
    }
}

pub(super) struct Found {
    pub(super) kernel: Kernel,
    /// Per gene: expected squared error of ridge and kernel on held-out samples.
    pub(super) gene_error: Vec<f64>,
    /// Mean spread of held-out samples.
    pub(super) usual_spread: f64,
}

/// `None` if nothing is better than ridge alone.  What was tried is added to
/// `trials`, and ridge's error becomes that over the same folds.
pub(super) fn learn(
    training: &Training<'_>,
    noise: f64,
    ridge: &Ridge,
    params: &KernelParams,
    trials: &mut Vec<Trial>,
    monitor: &Monitor<'_>,
) -> Result<Option<Found>, CoreError> {
    check_value("landmarks", params.landmarks as f64, "at least 1", |v| v >= 1.0)?;
    let folds = Folds::draw(training.profiles.ncols(), params.seed);
    let Some(folded) = FoldedRidge::new(ridge, noise, folds) else { return Ok(None) };
    let folds = &folded.folds;
    let targets = match targets(training, folds, params.seed, monitor)? {
        Some(targets) => targets,
        None => folds.arrange(&training.profiles),
    };
    let fits = folded.fit(&targets);
    let n = folds.order.len() as f64;
    let alone = fits.iter().map(|fit| fit.error.iter().sum::<f64>()).sum::<f64>() / n;
    trials[0].error = alone;
    let place = Place::new(ridge, noise, folds, params.landmarks);
    if place.landmarks.is_empty() {
        return Ok(None);
    }
    let mut best: Option<(Sums, Trial)> = None;
    let mut errors = [None; SHARPNESS.len()];
    while let Some(next) = next_to_try(&errors) {
        let sums = Sums::new(&place, &folded, SHARPNESS[next], monitor)?;
        let (penalty, error) = sums.choose(&targets, &fits, folds, monitor)?;
        let trial = Trial { sharpness: Some(SHARPNESS[next]), penalty, error };
        errors[next] = Some(error);
        trials.push(trial);
        if error < best.as_ref().map_or(alone, |(_, best)| best.error) {
            best = Some((sums, trial));
        }
        monitor.advance(1);
    }
    let Some((sums, trial)) = best else { return Ok(None) };
    let checked = Checked::draw(&folded, ridge, &sums, noise, params.seed, monitor)?;
    let found = finish(sums, training, ridge, &folded, checked, trial.penalty, monitor)?;
    monitor.advance(1);
    Ok(Some(found))
}

/// The middle first, then outwards from the best until both of its neighbours
/// are known.
fn next_to_try(errors: &[Option<f64>]) -> Option<usize> {
    let known = errors.iter().enumerate().filter_map(|(at, error)| Some((at, (*error)?)));
    let Some((best, _)) = known.min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Some(errors.len() / 2);
    };
    let below = best.checked_sub(1);
    below.into_iter().chain([best + 1]).find(|&at| errors.get(at).is_some_and(Option::is_none))
}

/// Random combinations of the genes, in the order of the folds, where genes are
/// many.
fn targets(
    training: &Training<'_>,
    folds: &Folds,
    seed: u64,
    monitor: &Monitor<'_>,
) -> Result<Option<Array2<f64>>, CoreError> {
    let genes = training.profiles.nrows();
    if genes <= MOST_TARGETS {
        return Ok(None);
    }
    let mut rng = stream(seed, Purpose::Splits, 1);
    let scale = (MOST_TARGETS as f64).sqrt().recip();
    let signs = from_fn((MOST_TARGETS, genes), |_, _| {
        let normal: f64 = StandardNormal.sample(&mut rng);
        scale * normal
    });
    Ok(Some(folds.arrange(&product(&signs, &training.profiles, monitor)?)))
}

/// Fits the bells to all samples, and says what to expect of new ones.
fn finish(
    sums: Sums,
    training: &Training<'_>,
    ridge: &Ridge,
    folded: &FoldedRidge,
    mut checked: Vec<Checked>,
    penalty: f64,
    monitor: &Monitor<'_>,
) -> Result<Found, CoreError> {
    let (genes, n) = training.profiles.dim();
    let size = sums.whiten.nrows();
    let not_definite =
        || CoreError::Argument { name: "penalty", found: penalty, expected: "larger" };
    let all = sums.gram();
    let solver = |mut gram: Array2<f64>| {
        gram.diag_mut().iter_mut().for_each(|d| *d += penalty);
        Cholesky::new(gram).ok_or_else(not_definite)
    };
    let whole = solver(all.clone())?;
    let mut without = Vec::new();
    for (gram, held) in sums.grams.iter().zip(&mut checked) {
        monitor.check()?;
        let rest = solver(&all - gram)?;
        held.doubt_bells(&sums.whiten, &rest, penalty);
        without.push(rest);
    }
    let mut coefficients = zeros((genes, size));
    let mut gene_error = vec![0.0; genes];
    let origin = vec![0.0; ridge.weights.ncols()];
    let work = |rows: Range<usize>| {
        let x = folded.folds.arrange(&training.profiles.slice(s![rows.clone(), ..]));
        let with_genes = sums.with_genes(&x, &folded.folds, monitor)?;
        let mut error = vec![0.0; rows.len()];
        let mut squares: Vec<Array2<f64>> = Vec::new();
        for (f, fit) in folded.fit(&x).iter().enumerate() {
            monitor.check()?;
            let mut w = sums.residuals(&with_genes, Line::of(fit), |other| other != f);
            without[f].solve_in_place(&mut w);
            let held = sums.residuals(&with_genes, Line::of(fit), |other| other == f);
            let spent = linalg::product(&sums.grams[f], &w);
            for (g, error) in error.iter_mut().enumerate() {
                let own = w.col(g);
                *error += fit.error[g] - 2.0 * dot(own, held.col(g)) + dot(own, spent.col(g));
            }
            squares.push(checked[f].squares(&x, Line::of(fit), &w, &sums.whiten));
        }
        error.iter_mut().for_each(|error| *error = error.max(0.0) / n as f64);
        // in units of a gene's own
        let surprise: Vec<Vec<f64>> = squares
            .iter()
            .map(|of| {
                let sum = |column: ndarray::ArrayView1<'_, f64>| {
                    let terms = column.iter().zip(&error).filter(|(_, error)| **error > 0.0);
                    terms.map(|(square, error)| square / error).sum::<f64>()
                };
                of.columns().into_iter().map(sum).collect()
            })
            .collect();
        let line = Line {
            mean: &ridge.mean[rows.clone()],
            weights: &ridge.weights.slice(s![rows, ..]).to_owned(),
            z_mean: &origin,
        };
        let mut w = sums.residuals(&with_genes, line, |_| true);
        whole.solve_in_place(&mut w);
        Ok((linalg::product(&w.t(), &sums.whiten), error, surprise))
    };
    let mut surprises: Vec<f64> = vec![0.0; checked.iter().map(|held| held.doubt.len()).sum()];
    over_blocks(genes, super::BLOCK, monitor, work, |rows, (part, error, surprise)| {
        coefficients.slice_mut(s![rows.clone(), ..]).assign(&part);
        gene_error[rows].copy_from_slice(&error);
        let own = surprise.iter().flatten();
        surprises.iter_mut().zip(own).for_each(|(sum, one)| *sum += one);
    })?;
    let doubts: Vec<f64> = checked.into_iter().flat_map(|held| held.doubt).collect();
    let spread_weight = spread_weight(&doubts, &surprises);
    let usual_spread = 1.0 + spread_weight * doubts.iter().sum::<f64>() / doubts.len() as f64;
    let mut certainty = whole.inverse();
    certainty.mapv_inplace(|v| -v);
    certainty.diag_mut().iter_mut().for_each(|d| *d += 1.0 / penalty);
    let half = product(&sums.whiten.t(), &certainty, monitor)?;
    let certainty = product(&half, &sums.whiten, monitor)?;
    let kernel = Kernel {
        coordinates: sums.coordinates,
        landmarks: sums.landmarks,
        coefficients,
        certainty,
        prior: 1.0 / penalty,
        spread_weight,
    };
    Ok(Found { kernel, gene_error, usual_spread })
}
