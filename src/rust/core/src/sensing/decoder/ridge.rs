//! Ridge regression of profiles on readings, x̂ = x̄ + B (y − ȳ).
//!
//! Noise belongs to expression, so readings have its covariance σ² A Aᵀ.  In the
//! coordinates z = Aᵀ's left singular vectors' (y = A x gives z = Uᵀ x) it is
//! σ² I, and the penalty λ ‖B‖² means the same whatever the units of the
//! measurements: recombining measurements changes nothing.  With Z = V diag(d) Vᵀ
//! of the centred z,
//!
//!   B = X Zᵀ V diag(1 / (d + nσ² + λ)) Vᵀ,
//!
//! and the residual of sample i without it is r_i / (1 − h_i), h_i = z_iᵀ V
//! diag(1 / (d + nσ² + λ)) Vᵀ z_i + 1/n, so that its square, summed over genes and
//! samples, is a function of λ at the cost of k² n for k measurements.  λ minimises it.
//!
//! Source: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning,
//! section 7.10; Golub, Heath and Wahba, Technometrics 21:215 (1979).

use super::{product, Linear, Training};
use crate::base::error::CoreError;
use crate::base::numbers::{dot, golden_section};
use crate::base::parallel::{over_blocks, Monitor};
use crate::matrix::{from_fn, linalg, Array2, Columns};
use ndarray::s;
use std::cell::RefCell;

/// Directions of A weaker than this, relative to the strongest, are not measured.
const RANK_TOLERANCE: f64 = 1e-10;
/// Powers of ten, relative to the largest eigenvalue, among which the penalty is
/// looked for.
const PENALTIES: (i32, i32) = (-10, 1);
/// In powers of ten: the error is flat where it is least.
const PENALTY_TOLERANCE: f64 = 0.02;
/// Samples that are worked on together.
const BLOCK: usize = 256;
/// A sample that alone carries a direction cannot be foretold without it.
const LEAST_FREEDOM: f64 = 1e-8;

/// All in the coordinates z, rotated so that their covariance is diagonal.
pub struct Ridge {
    pub penalty: f64,
    /// Expected squared error of a sample that is left out, summed over genes.
    pub error: f64,
    /// The same per gene.
    pub(crate) gene_error: Vec<f64>,
    /// T with z = T (y − ȳ), directions × measurements.
    pub(crate) turn: Array2<f64>,
    /// B, genes × directions.
    pub(crate) weights: Array2<f64>,
    /// Centred z of the training samples, directions × samples.
    pub(crate) z: Array2<f64>,
    /// d + nσ² + λ.
    pub(crate) scale: Vec<f64>,
    /// As in [`Linear`].
    pub mean: Vec<f64>,
    pub centre: Vec<f64>,
    pub slope: Array2<f64>,
    pub spread: Array2<f64>,
    pub usual_distance: f64,
}

impl Ridge {
    pub(super) fn linear(&self) -> Linear<'_> {
        Linear {
            mean: &self.mean,
            centre: &self.centre,
            slope: self.slope.view(),
            spread: self.spread.view(),
            usual_distance: self.usual_distance,
            samples: self.z.ncols(),
        }
    }

    /// 1 − h of each training sample, h its leverage with the mean's share: its residual
    /// without it is its residual over this.
    pub(crate) fn freedoms(&self) -> Vec<f64> {
        let n = self.z.ncols();
        (0..n).map(|i| freedom(leverage(self.z.col(i), &self.scale), n)).collect()
    }

    /// Mean leverage of a sample that was not seen.
    pub(super) fn usual_leverage(&self) -> f64 {
        self.usual_distance + 1.0 / self.z.ncols() as f64
    }
}

pub(super) fn learn(
    training: &Training<'_>,
    noise: f64,
    monitor: &Monitor<'_>,
) -> Result<Ridge, CoreError> {
    let x = &training.profiles;
    let (genes, n) = x.dim();
    let nothing = |name| CoreError::Argument { name, found: 0.0, expected: "a matrix that varies" };
    let directions = linalg::svd(&training.weights).ok_or_else(|| nothing("weights"))?;
    let strong = |&&v: &&f64| v > RANK_TOLERANCE * directions.values[0];
    let k = directions.values.iter().take_while(strong).count();
    if k == 0 {
        return Err(nothing("weights"));
    }
    // z = Uᵀ x = diag(1/s) Vᵀ y
    let mut z = product(&directions.left.slice(s![.., ..k]).t(), x, monitor)?;
    let z_mean: Vec<f64> = z.rows().into_iter().map(|row| row.sum() / n as f64).collect();
    for mut column in z.columns_mut() {
        column.iter_mut().zip(&z_mean).for_each(|(z, mean)| *z -= mean);
    }
    let spectrum = linalg::spectrum(&product(&z, &z.t(), monitor)?);
    let values: Vec<f64> = spectrum.values.iter().map(|d| d.max(0.0)).collect();
    // beyond rounding; also when it is no number
    let level: f64 = z_mean.iter().map(|mean| mean * mean).sum();
    if values[0].is_nan() || values[0] <= 1e-24 * n as f64 * level {
        return Err(nothing("profiles"));
    }
    let z = product(&spectrum.vectors.t(), &z, monitor)?;
    let unit = from_fn((k, training.weights.ncols()), |i, j| {
        directions.right[(j, i)] / directions.values[i]
    });
    let turn = linalg::product(&spectrum.vectors.t(), &unit);

    let mean: Vec<f64> = x.rows().into_iter().map(|row| row.sum() / n as f64).collect();
    let centre: Vec<f64> =
        training.weights.columns().into_iter().map(|w| dot_any(w, &mean)).collect();
    let cross = product(x, &z.t(), monitor)?;
    let problem = Problem {
        // Cᵀ (X − x̄)
        pull: {
            let mut pull = product(&cross.t(), x, monitor)?;
            let level: Vec<f64> = (0..k).map(|i| dot(cross.col(i), &mean)).collect();
            for mut column in pull.columns_mut() {
                column.iter_mut().zip(&level).for_each(|(p, level)| *p -= level);
            }
            pull
        },
        gram: product(&cross.t(), &cross, monitor)?,
        norms: (0..n)
            .map(|i| x.column(i).iter().zip(&mean).map(|(x, mean)| (x - mean).powi(2)).sum())
            .collect(),
        z,
        values,
        noise,
    };
    let (penalty, error) = problem.best(monitor)?;

    let scale = problem.scale(penalty);
    let Problem { z, .. } = problem;
    let weights = from_fn((genes, k), |g, i| cross[(g, i)] / scale[i]);
    let leverage: Vec<f64> = (0..n).map(|i| leverage(z.col(i), &scale)).collect();
    let mut gene_error = vec![0.0; genes];
    let work = |rows: std::ops::Range<usize>| {
        let fit = linalg::product(&weights.slice(s![rows.clone(), ..]), &z);
        let error = |g: usize| {
            let own = weights.row(g);
            let squares = (0..n).map(|i| {
                let residual = x[(g, i)] - mean[g] - fit[(g - rows.start, i)];
                (residual / freedom(leverage[i], n)).powi(2)
            });
            squares.sum::<f64>() / n as f64 + noise * own.dot(&own)
        };
        Ok(rows.clone().map(error).collect::<Vec<f64>>())
    };
    over_blocks(genes, super::BLOCK, monitor, work, |rows, part| {
        gene_error[rows].copy_from_slice(&part);
    })?;
    let left_out: f64 = leverage.iter().map(|h| h / freedom(*h, n)).sum::<f64>() / n as f64;
    let usual_distance = left_out + noise * scale.iter().map(|d| 1.0 / d).sum::<f64>();
    let slope = product(&weights, &turn, monitor)?;
    let spread = from_fn(turn.dim(), |i, j| turn[(i, j)] / scale[i].sqrt());
    Ok(Ridge {
        penalty,
        error,
        gene_error,
        turn,
        weights,
        z,
        scale,
        mean,
        centre,
        slope,
        spread,
        usual_distance,
    })
}

fn dot_any(a: ndarray::ArrayView1<'_, f64>, b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// z' diag(1/scale) z: without the share 1/n of the mean.
pub(crate) fn leverage(z: &[f64], scale: &[f64]) -> f64 {
    z.iter().zip(scale).map(|(z, d)| z * z / d).sum()
}

/// 1 − h with the mean's share.
fn freedom(leverage: f64, n: usize) -> f64 {
    (1.0 - leverage - 1.0 / n as f64).max(LEAST_FREEDOM)
}

struct Problem {
    /// Directions × samples.
    z: Array2<f64>,
    pull: Array2<f64>,
    gram: Array2<f64>,
    /// ‖x_i − x̄‖².
    norms: Vec<f64>,
    values: Vec<f64>,
    noise: f64,
}

impl Problem {
    fn scale(&self, penalty: f64) -> Vec<f64> {
        let n = self.norms.len() as f64;
        self.values.iter().map(|d| d + n * self.noise + penalty).collect()
    }

    /// The penalty and its error: the best power of ten, then between its
    /// neighbours.
    fn best(&self, monitor: &Monitor<'_>) -> Result<(f64, f64), CoreError> {
        let at = |power: f64| self.values[0] * 10f64.powf(power);
        let mut best = (f64::INFINITY, 0);
        for power in PENALTIES.0..=PENALTIES.1 {
            let error = self.error(at(power.into()), monitor)?;
            if error < best.0 {
                best = (error, power);
            }
        }
        let failure = RefCell::new(None);
        let error = |power: f64| {
            self.error(at(power), monitor).unwrap_or_else(|why| {
                failure.borrow_mut().get_or_insert(why);
                f64::NAN
            })
        };
        let middle = f64::from(best.1);
        let power = golden_section(error, (middle - 1.0, middle + 1.0), PENALTY_TOLERANCE);
        match failure.into_inner() {
            Some(why) => Err(why),
            None => Ok((at(power), self.error(at(power), monitor)?)),
        }
    }

    /// Expected squared error of a sample that is left out.
    fn error(&self, penalty: f64, monitor: &Monitor<'_>) -> Result<f64, CoreError> {
        let scale = self.scale(penalty);
        let (k, n) = self.z.dim();
        let mut total = 0.0;
        let work = |samples: std::ops::Range<usize>| {
            let shrunk =
                from_fn((k, samples.len()), |i, j| self.z[(i, samples.start + j)] / scale[i]);
            let fitted = linalg::product(&self.gram, &shrunk);
            let error = |(j, i): (usize, usize)| {
                let own = shrunk.col(j);
                let square =
                    self.norms[i] - 2.0 * dot(own, self.pull.col(i)) + dot(own, fitted.col(j));
                square.max(0.0) / freedom(leverage(self.z.col(i), &scale), n).powi(2)
            };
            Ok(samples.clone().enumerate().map(error).sum::<f64>())
        };
        over_blocks(n, BLOCK, monitor, work, |_, part| total += part)?;
        let of_noise: f64 = (0..k).map(|i| self.gram[(i, i)] / scale[i].powi(2)).sum();
        Ok(total / n as f64 + self.noise * of_noise)
    }
}
