//! Penalty and rank by held-out molecules.
//!
//! Every molecule is held out with probability 1 − share (binomial thinning: for Poisson
//! counts the two parts are independent).  Factors are fitted to one part; the score is the
//! mean log-probability per molecule of the other under the predicted shares of genes in its
//! cell.  Molecules of genes that the first part lacks are left out of all scores.

use super::counts::Counts;
use super::counts_model::{fit_from, start, Covariates, Settings};
use super::counts_newton::{State, Stop};
use super::predictor::Side;
use crate::base::error::CoreError;
use crate::base::parallel::{over_blocks, Monitor, SAMPLE_BLOCK};
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg::product;
use crate::matrix::{Array2, Columns};
use ndarray::s;
use rand_distr::{Binomial, Distribution};

/// The share of molecules that are fitted.
pub const SHARE: f64 = 0.8;

/// A candidate and how it did.
#[derive(Clone, Debug)]
pub struct Score {
    pub rank: usize,
    pub penalty: f64,
    /// Mean log-probability per held-out molecule, in nats.
    pub value: f64,
    /// Standard error of the difference to the best candidate, over cells.
    pub error: f64,
}

/// Noise level: what the largest singular value of pure noise is about, from the mean
/// total of cells and of genes.  Penalties are measured in it.
pub fn noise_level(counts: &Counts) -> f64 {
    let (cells, genes) = (counts.count(Side::Cells) as f64, counts.count(Side::Genes) as f64);
    let total: f64 = counts.totals(Side::Cells).iter().sum();
    (total / cells).sqrt() + (total / genes).sqrt()
}

/// Two parts of all counts.
///
/// # Errors
/// `Argument` beyond 2³¹ − 1 entries.
pub fn thinned(counts: &Counts, share: f64, seed: u64) -> Result<[Counts; 2], CoreError> {
    let lines = counts.by(Side::Cells);
    let (genes, cells) = lines.shape();
    let part = |kept: bool| {
        Counts::of(genes, cells, |cell, push| {
            let mut rng = stream(seed, Purpose::Splits, cell);
            for (gene, y) in lines.entries(cell) {
                let drawn = Binomial::new(y as u64, share).map_or(0, |law| law.sample(&mut rng));
                push(gene, if kept { drawn as f64 } else { y - drawn as f64 });
            }
        })
    };
    Ok([part(true)?, part(false)?])
}

/// Shares of genes in the counts that cells `from..` are expected to have: genes × cells.
pub fn shares(state: &State, cells: std::ops::Range<usize>) -> Array2<f64> {
    let eta = |k: usize| {
        let predictor = &state.predictors[k];
        product(&predictor.genes, &predictor.cells.slice(s![cells.clone(), ..]).t())
    };
    let mut out = eta(0);
    let odds = (state.predictors.len() > 1).then(|| eta(1));
    for j in 0..out.ncols() {
        let column = out.col_mut(j);
        let largest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        column.iter_mut().for_each(|v| *v = (*v - largest).exp());
        if let Some(odds) = &odds {
            // μ (1 − π)
            column.iter_mut().zip(odds.col(j)).for_each(|(v, a)| *v /= 1.0 + a.exp());
        }
        let sum: f64 = column.iter().sum();
        column.iter_mut().for_each(|v| *v /= sum);
    }
    out
}

/// Log-probability and number of the molecules of each cell of `test`.
///
/// # Errors
/// `Interrupted`.
pub fn log_probability(
    state: &State,
    test: &Counts,
    counted: &[bool],
    monitor: &Monitor<'_>,
) -> Result<Vec<(f64, f64)>, CoreError> {
    let lines = test.by(Side::Cells);
    let mut out = Vec::with_capacity(lines.n_columns());
    over_blocks(
        lines.n_columns(),
        SAMPLE_BLOCK,
        monitor,
        |cells| {
            let shares = shares(state, cells.clone());
            Ok(cells
                .enumerate()
                .map(|(j, cell)| {
                    let entries = lines.entries(cell).filter(|&(gene, _)| counted[gene]);
                    entries.fold((0.0, 0.0), |(sum, count), (gene, y)| {
                        (sum + y * shares[(gene, j)].max(f64::MIN_POSITIVE).ln(), count + y)
                    })
                })
                .collect::<Vec<_>>())
        },
        |_, scores| out.extend(scores),
    )?;
    Ok(out)
}

/// Rank, penalty, and log-probability and count of the test molecules of each cell.
type Tried = (usize, f64, Vec<(f64, f64)>);

/// Candidates: each rank with each penalty.
pub struct Candidates {
    /// At least one.
    pub ranks: Vec<usize>,
    /// Ascending.
    pub penalties: Vec<f64>,
}

/// Scores of the candidates.  With several ranks and penalties, the penalties are tried
/// at the largest rank, and the ranks at the best of them.
///
/// # Errors
/// `Interrupted`.
pub fn choose(
    counts: &Counts,
    covariates: &Covariates,
    settings: &Settings,
    candidates: &Candidates,
    monitor: &Monitor<'_>,
) -> Result<Vec<Score>, CoreError> {
    let [train, test] = thinned(counts, SHARE, settings.seed)?;
    let counted: Vec<bool> = train.totals(Side::Genes).iter().map(|&total| total > 0.0).collect();
    let mut covariates = covariates.clone();
    covariates.offset.iter_mut().for_each(|o| *o += SHARE.ln());
    let silent = monitor.silent();
    let mut found: Vec<Tried> = Vec::new();
    let mean = |cells: &[(f64, f64)]| {
        let (sum, count) = cells.iter().fold((0.0, 0.0), |(s, c), (a, b)| (s + a, c + b));
        sum / count
    };
    let largest = candidates.ranks.iter().copied().max().unwrap_or(0);
    let at = |rank: usize, penalty: f64| Settings {
        rank,
        penalty,
        stop: Stop { max_rounds: 20, tolerance: 1e-5 },
        ..settings.clone()
    };
    // from the smallest penalty up: factors that a large one empties do not come back
    let mut state = start(&train, &covariates, &at(largest, candidates.penalties[0]));
    let mut falls = 0;
    let mut best = (f64::NEG_INFINITY, candidates.penalties[0]);
    for &penalty in &candidates.penalties {
        let settings = at(largest, penalty);
        state = fit_from(&train, &covariates, &settings, state, &silent)?.state;
        let cells = log_probability(&state, &test, &counted, monitor)?;
        let score = mean(&cells);
        found.push((largest, penalty, cells));
        monitor.advance(1);
        falls = if score < best.0 { falls + 1 } else { 0 };
        if score > best.0 {
            best = (score, penalty);
        }
        if falls == 2 {
            break;
        }
    }
    for &rank in candidates.ranks.iter().filter(|&&rank| rank != largest) {
        let settings = at(rank, best.1);
        let state = start(&train, &covariates, &settings);
        let state = fit_from(&train, &covariates, &settings, state, &silent)?.state;
        found.push((rank, best.1, log_probability(&state, &test, &counted, monitor)?));
        monitor.advance(1);
    }
    let top = (0..found.len()).max_by(|&a, &b| mean(&found[a].2).total_cmp(&mean(&found[b].2)));
    let top = found[top.unwrap_or(0)].2.clone();
    let count: f64 = top.iter().map(|cell| cell.1).sum();
    let score = |(rank, penalty, cells): Tried| {
        let differences = cells.iter().zip(&top).map(|(a, b)| (a.0 - b.0).powi(2));
        Score { rank, penalty, value: mean(&cells), error: differences.sum::<f64>().sqrt() / count }
    };
    Ok(found.into_iter().map(score).collect())
}

/// The mean log-probability per molecule of `test` for cells of a state.
///
/// # Errors
/// `Interrupted`.
pub fn held_out(state: &State, test: &Counts, monitor: &Monitor<'_>) -> Result<f64, CoreError> {
    let counted = vec![true; test.count(Side::Genes)];
    let cells = log_probability(state, test, &counted, monitor)?;
    let (sum, count) = cells.iter().fold((0.0, 0.0), |(s, c), (a, b)| (s + a, c + b));
    Ok(sum / count)
}
