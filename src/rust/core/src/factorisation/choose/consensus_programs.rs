//! Consensus of the spectra of many factorisations (cNMF, Kotliar et al. 2019,
//! eLife 8:e43803): spectra that no others resemble are dropped, the others
//! clustered, and the clusters' medians refitted to the data.
//!
//! All that clustering needs of the spectra is the Gram matrix of their
//! directions.

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::numbers::median;
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::factorisation::data::{Data, Side};
use crate::matrix::linalg::{norm, product};
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, Columns};
use crate::nnls::{cholesky, solve_nonnegative, solve_with_cholesky};
use ndarray::s;
use rand::Rng;
use rayon::prelude::*;

/// Settings of [`cluster_spectra`].
#[derive(Clone, Copy, Debug)]
pub struct Clustering {
    pub rank: usize,
    /// Nearest other spectra whose mean distance is the local density.
    pub neighbours: usize,
    /// Spectra with a larger mean distance are dropped.
    pub threshold: f64,
    /// Starts of the k-means.
    pub starts: usize,
    pub seed: u64,
}

/// Spectra, sorted into programs.
pub struct Clustered {
    /// Mean Euclidean distance to the nearest others; infinite for a spectrum
    /// that is zero.
    pub density: Vec<f64>,
    /// The program of each spectrum, `None` for dropped ones.
    pub program: Vec<Option<usize>>,
    /// Silhouette width of each spectrum; NaN for dropped ones.
    pub silhouette: Vec<f64>,
    /// Median of the spectra of a program (features × rank), scaled to sum 1.
    pub medians: Array2<f64>,
    /// Cosines between spectra.
    pub cosines: Array2<f64>,
}

/// Clusters the columns of `spectra` (features × spectra).
///
/// # Errors
/// `Argument` when fewer spectra than programs are left; `Interrupted`.
pub fn cluster_spectra(
    spectra: ArrayView2<'_, f64>,
    settings: &Clustering,
    monitor: &Monitor<'_>,
) -> Result<Clustered, CoreError> {
    let (n_features, n) = spectra.dim();
    check_value("rank", settings.rank as f64, "at least 1", |v| v >= 1.0)?;
    let mut directions = zeros((n_features, n));
    for s in 0..n {
        let size = norm(spectra.col(s));
        if size > 0.0 {
            (0..n_features).for_each(|i| directions[(i, s)] = spectra[(i, s)] / size);
        }
    }
    let cosines = gram(directions.view(), monitor)?;
    let density = local_density(&cosines, settings.neighbours, monitor)?;
    let kept: Vec<usize> = (0..n).filter(|&s| density[s] <= settings.threshold).collect();
    let enough = |left: f64| left >= settings.rank as f64;
    check_value("spectra", kept.len() as f64, "at least as many as programs", enough)?;
    let distance = |a: usize, b: usize| (2.0 - 2.0 * cosines[(kept[a], kept[b])]).max(0.0).sqrt();
    let cosine = |a: usize, b: usize| cosines[(kept[a], kept[b])];
    let cluster = kmeans(kept.len(), settings, &cosine, monitor)?;
    let widths = silhouettes(&cluster, settings.rank, &distance, monitor)?;
    let (mut program, mut silhouette) = (vec![None; n], vec![f64::NAN; n]);
    for (at, &s) in kept.iter().enumerate() {
        program[s] = Some(cluster[at]);
        silhouette[s] = widths[at];
    }
    let medians = medians(directions.view(), &program, settings.rank, monitor)?;
    Ok(Clustered { density, program, silhouette, medians, cosines })
}

/// XᵀX by blocks of columns.
fn gram(x: ArrayView2<'_, f64>, monitor: &Monitor<'_>) -> Result<Array2<f64>, CoreError> {
    const BLOCK: usize = 64;
    let n = x.ncols();
    let blocks: Vec<Array2<f64>> = (0..n.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            monitor.check()?;
            let first = block * BLOCK;
            Ok(product(&x.t(), &x.slice(s![.., first..(first + BLOCK).min(n)])))
        })
        .collect::<Result<_, CoreError>>()?;
    Ok(from_fn((n, n), |i, j| blocks[j / BLOCK][(i, j % BLOCK)]))
}

/// Mean distance of each unit vector to its nearest others.
fn local_density(
    cosines: &Array2<f64>,
    neighbours: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<f64>, CoreError> {
    let n = cosines.nrows();
    let neighbours = neighbours.clamp(1, (n - 1).max(1));
    (0..n)
        .into_par_iter()
        .map(|s| {
            monitor.check()?;
            if cosines[(s, s)] == 0.0 {
                return Ok(f64::INFINITY);
            }
            let others = (0..n).filter(|&t| t != s && cosines[(t, t)] > 0.0);
            let mut distances: Vec<f64> =
                others.map(|t| (2.0 - 2.0 * cosines[(s, t)]).max(0.0).sqrt()).collect();
            distances.sort_by(f64::total_cmp);
            let nearest = &distances[..neighbours.min(distances.len())];
            Ok(nearest.iter().sum::<f64>() / nearest.len().max(1) as f64)
        })
        .collect()
}

/// Lloyd's k-means of unit vectors from k-means++ starts (Arthur and Vassilvitskii
/// 2007); the lowest sum of squares wins, the first of equals.
fn kmeans(
    n: usize,
    settings: &Clustering,
    cosine: &(dyn Fn(usize, usize) -> f64 + Sync),
    monitor: &Monitor<'_>,
) -> Result<Vec<usize>, CoreError> {
    let runs: Vec<(f64, Vec<usize>)> = (0..settings.starts.max(1))
        .into_par_iter()
        .map(|start| {
            let mut rng = stream(settings.seed, Purpose::Resample, start);
            let first = first_clusters(n, settings.rank, cosine, &mut rng);
            lloyd(first, settings.rank, cosine, monitor)
        })
        .collect::<Result<_, CoreError>>()?;
    let best = runs.into_iter().reduce(|best, next| if next.0 < best.0 { next } else { best });
    Ok(best.map_or(Vec::new(), |(_, cluster)| cluster))
}

/// Clusters around points that are drawn far from one another.
fn first_clusters(
    n: usize,
    rank: usize,
    cosine: &(dyn Fn(usize, usize) -> f64 + Sync),
    rng: &mut impl Rng,
) -> Vec<usize> {
    let mut cluster = vec![0; n];
    let mut nearest = vec![f64::INFINITY; n];
    let mut centre = rng.random_range(0..n);
    for c in 0..rank {
        for point in 0..n {
            let square = (2.0 - 2.0 * cosine(point, centre)).max(0.0);
            if square < nearest[point] {
                (nearest[point], cluster[point]) = (square, c);
            }
        }
        let mut left = rng.random::<f64>() * nearest.iter().sum::<f64>();
        let hit = nearest.iter().position(|square| {
            left -= square;
            left < 0.0
        });
        centre = hit.unwrap_or_else(|| rng.random_range(0..n));
    }
    cluster
}

const MAX_LLOYD: usize = 300;

/// Squared distances to centres come from sums over the Gram matrix:
/// ‖x − m_c‖² = 1 − 2 mean_c(cos) + mean_cc(cos).
fn lloyd(
    mut cluster: Vec<usize>,
    rank: usize,
    cosine: &(dyn Fn(usize, usize) -> f64 + Sync),
    monitor: &Monitor<'_>,
) -> Result<(f64, Vec<usize>), CoreError> {
    let n = cluster.len();
    let mut inertia = f64::INFINITY;
    for _ in 0..MAX_LLOYD {
        let mut size = vec![0.0; rank];
        cluster.iter().for_each(|&c| size[c] += 1.0);
        // mean cosine of each point with each cluster, point by point
        let mut mean = vec![0.0; n * rank];
        for (a, mean) in mean.chunks_exact_mut(rank).enumerate() {
            monitor.check()?;
            (0..n).for_each(|b| mean[cluster[b]] += cosine(a, b));
            mean.iter_mut().zip(&size).for_each(|(m, s)| *m /= f64::max(*s, 1.0));
        }
        let mut within = vec![0.0; rank];
        for a in 0..n {
            within[cluster[a]] += mean[a * rank + cluster[a]] / size[cluster[a]];
        }
        let square = |a: usize, c: usize| (1.0 - 2.0 * mean[a * rank + c] + within[c]).max(0.0);
        let nearest = |a: usize| {
            let filled = (0..rank).filter(|&c| size[c] > 0.0).map(|c| (square(a, c), c));
            filled.fold((f64::INFINITY, 0), |best, next| if next.0 < best.0 { next } else { best })
        };
        let (squares, mut next): (Vec<f64>, Vec<usize>) = (0..n).map(nearest).unzip();
        let total: f64 = squares.iter().sum();
        // an empty cluster takes the point that is farthest from its centre
        for c in 0..rank {
            if next.contains(&c) {
                continue;
            }
            let alone = |a: usize| next.iter().filter(|&&other| other == next[a]).count() == 1;
            let movable = (0..n).filter(|&a| !alone(a));
            let farthest = movable.max_by(|&a, &b| {
                square(a, next[a]).max(0.0).total_cmp(&square(b, next[b]).max(0.0))
            });
            if let Some(a) = farthest {
                next[a] = c;
            }
        }
        let settled = next == cluster || total >= inertia;
        inertia = f64::min(inertia, total);
        cluster = next;
        if settled {
            break;
        }
    }
    Ok((inertia, cluster))
}

/// Silhouette widths (Rousseeuw 1987); 0 for a cluster of one.
fn silhouettes(
    cluster: &[usize],
    rank: usize,
    distance: &(dyn Fn(usize, usize) -> f64 + Sync),
    monitor: &Monitor<'_>,
) -> Result<Vec<f64>, CoreError> {
    let mut size = vec![0usize; rank];
    cluster.iter().for_each(|&c| size[c] += 1);
    (0..cluster.len())
        .into_par_iter()
        .map(|a| {
            monitor.check()?;
            let mut sums = vec![0.0; rank];
            (0..cluster.len()).for_each(|b| sums[cluster[b]] += distance(a, b));
            let own = cluster[a];
            let others = (0..rank).filter(|&c| c != own && size[c] > 0);
            let between = others.map(|c| sums[c] / size[c] as f64).fold(f64::INFINITY, f64::min);
            if size[own] < 2 || between.is_infinite() {
                return Ok(0.0);
            }
            let within = sums[own] / (size[own] - 1) as f64;
            let larger = within.max(between);
            Ok(if larger > 0.0 { (between - within) / larger } else { 0.0 })
        })
        .collect()
}

/// Feature by feature, the median over the spectra of each program.
fn medians(
    directions: ArrayView2<'_, f64>,
    program: &[Option<usize>],
    rank: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let n_features = directions.nrows();
    let mut out = zeros((n_features, rank));
    for r in 0..rank {
        let own: Vec<usize> = (0..program.len()).filter(|&s| program[s] == Some(r)).collect();
        if own.is_empty() {
            continue;
        }
        for i in 0..n_features {
            monitor.check()?;
            out[(i, r)] = median(own.iter().map(|&s| directions[(i, s)]).collect());
        }
        let column = out.col_mut(r);
        let total: f64 = column.iter().sum();
        if total > 0.0 {
            column.iter_mut().for_each(|v| *v /= total);
        }
    }
    Ok(out)
}

/// Spectra of programs over all features, from their usages.
pub struct ProgramSpectra {
    /// Non-negative least squares of the data on the usages, features × rank.
    pub levels: Array2<f64>,
    /// Ordinary least squares of the standardised data on the usages.
    pub scores: Array2<f64>,
}

/// Refits spectra to `data` for given usages (rank × samples, column-major).
/// `mean` and `sd` standardise a feature for the scores; a feature with sd 0 has
/// the score 0.  Only the product of the data with the usages is formed.
///
/// # Errors
/// `Shape` for lengths that do not fit; `Interrupted`.
pub fn program_spectra(
    data: &Data<'_>,
    usage: &[f64],
    rank: usize,
    (mean, sd): (&[f64], &[f64]),
    monitor: &Monitor<'_>,
) -> Result<ProgramSpectra, CoreError> {
    let n_features = data.count(Side::Basis);
    check_length("usage", rank * data.count(Side::Coef), usage.len())?;
    check_length("mean", n_features, mean.len())?;
    check_length("sd", n_features, sd.len())?;
    let mut product = vec![0.0; rank * n_features];
    data.product(Side::Basis, usage, rank, &mut product);
    monitor.check()?;
    let gram = data.gram(Side::Coef, usage, rank);
    let mut factor = gram.clone();
    cholesky(&mut factor, rank);
    let mut sums = vec![0.0; rank];
    for column in usage.chunks_exact(rank) {
        sums.iter_mut().zip(column).for_each(|(s, u)| *s += u);
    }
    let lines: Vec<(Vec<f64>, Vec<f64>)> = product
        .par_chunks_exact(rank)
        .enumerate()
        .map(|(i, right)| {
            let mut level = vec![0.0; rank];
            solve_nonnegative(&gram, right, 0.0, &mut level);
            let mut score = vec![0.0; rank];
            if sd[i] > 0.0 {
                for (s, (b, total)) in score.iter_mut().zip(right.iter().zip(&sums)) {
                    *s = (b - mean[i] * total) / sd[i];
                }
                solve_with_cholesky(&factor, &mut score);
            }
            (level, score)
        })
        .collect();
    Ok(ProgramSpectra {
        levels: from_fn((n_features, rank), |i, r| lines[i].0[r]),
        scores: from_fn((n_features, rank), |i, r| lines[i].1[r]),
    })
}
