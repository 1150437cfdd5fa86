//! How many components: cross-validation, and matrices without structure to
//! compare with.

use super::held_out::{judge, HeldOut, Loss, Mask, Observed, Reference};
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::{with_threads, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::factorisation::alternate::{alternate, Outcome, Rules};
use crate::factorisation::data::{Data, Line, Side};
use crate::factorisation::init::random;
use crate::matrix::{CscBuf, Matrix, MatrixBuf};
use rand::seq::SliceRandom;
use rayon::prelude::*;

#[derive(Debug, Clone)]
pub struct CrossValidation {
    pub ranks: Vec<usize>,
    pub loss: Loss,
    /// Part of the entries in each fold.
    pub fraction: f64,
    pub folds: usize,
    /// Random starts per fold and rank; the one with the lowest training loss is
    /// judged.
    pub starts: usize,
    pub seed: u64,
    pub max_iter: usize,
    pub tolerance: f64,
    pub threads: usize,
}

/// One fold at one rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    pub fold: usize,
    pub rank: usize,
    /// Loss over the held-out entries, as a part of that of the mean of the
    /// observed ones.
    pub error: f64,
    /// Entries held out.
    pub count: usize,
}

/// Fits every rank to every fold's observed entries and judges it by the others.
/// Scores are in the order of folds, then ranks.  Missing entries (NaN) are neither
/// seen nor judged.
///
/// # Errors
/// `Argument` for settings out of range, `Threads`, `Interrupted`.
pub fn cross_validate(
    x: Matrix<'_>,
    settings: &CrossValidation,
    monitor: &Monitor<'_>,
) -> Result<Vec<Score>, CoreError> {
    check_value("folds", settings.folds as f64, "at least 1", |f| f >= 1.0)?;
    check_value("starts", settings.starts as f64, "at least 1", |s| s >= 1.0)?;
    let (rows, columns) = x.shape();
    let some_missing = x.has_missing();
    let missing = |i: usize, j: usize| some_missing && x.get(i, j).is_nan();
    let judged = |i: usize, j: usize| Some(x.get(i, j)).filter(|x| !x.is_nan());
    let mut scores = Vec::new();
    for fold in 0..settings.folds {
        let mask = Mask::new(settings.seed, settings.fraction, fold)?;
        let held = HeldOut::new((rows, columns), |i, j| mask.holds(i, j) || missing(i, j))?;
        let data = Data::made(without(x, &held))?.with_lines();
        let of_column = |j: usize| held.line(Side::Coef, j).iter().map(move |&i| (i as usize, j));
        let n_judged = (0..columns).flat_map(of_column).filter(|&(i, j)| !missing(i, j)).count();
        check_value("entries held out", n_judged as f64, "at least 1 in every fold", |n| n >= 1.0)?;
        let level = data.sum() / (rows * columns - held.count()).max(1) as f64;
        check_value("x", level, "above zero in some entry of every fold", |l| l > 0.0)?;
        let row_mean = |i: usize| {
            let sum: f64 = match data.line(Side::Basis, i) {
                Line::Dense(x) => x.iter().sum(),
                Line::Sparse { values, .. } => values.iter().sum(),
            };
            sum / (columns - held.line(Side::Basis, i).len()).max(1) as f64
        };
        let reference = Reference { level, row_means: (0..rows).map(row_mean).collect() };
        let tasks: Vec<(usize, usize)> = (0..settings.ranks.len())
            .flat_map(|at| (0..settings.starts).map(move |start| (at, start)))
            .collect();
        let fitted = with_threads(settings.threads, || {
            tasks
                .par_iter()
                .map(|&(at, start)| {
                    let outcome =
                        trained(&data, &held, settings.ranks[at], start, settings, monitor);
                    monitor.advance(1);
                    outcome
                })
                .collect::<Result<Vec<_>, CoreError>>()
        })??;
        for (&rank, outcomes) in settings.ranks.iter().zip(fitted.chunks(settings.starts)) {
            let best = outcomes
                .iter()
                .min_by(|a, b| a.objective.total_cmp(&b.objective))
                .expect("there is a start");
            let (fitted, constant, count) =
                judge(&best.pair, &held, settings.loss, &reference, judged);
            check_value("held-out loss of the mean", constant, "above zero in every fold", |c| {
                c > 0.0
            })?;
            scores.push(Score { fold, rank, error: fitted / constant, count });
        }
    }
    Ok(scores)
}

fn trained(
    data: &Data<'_>,
    held: &HeldOut,
    rank: usize,
    start: usize,
    settings: &CrossValidation,
    monitor: &Monitor<'_>,
) -> Result<Outcome, CoreError> {
    let model = Observed::new(data.sequential(), held, rank, settings.loss);
    let rules = Rules {
        max_iter: settings.max_iter,
        tolerance: settings.tolerance,
        extrapolate: true,
        unchanged: None,
        every: 1,
    };
    let start = random(data, data.mean(), rank, settings.seed, start);
    alternate(&model, start, &rules, monitor)
}

/// X with zeros at the entries that are held out.
fn without(x: Matrix<'_>, held: &HeldOut) -> MatrixBuf {
    let mut values = Vec::with_capacity(x.n_stored());
    for j in 0..x.n_columns() {
        let mut absent = held.line(Side::Coef, j).iter().peekable();
        x.for_each(j, |i, x| {
            while absent.next_if(|&&row| (row as usize) < i).is_some() {}
            let is_absent = absent.peek().is_some_and(|&&row| row as usize == i);
            values.push(if is_absent { 0.0 } else { x });
        });
    }
    x.with_stored(values)
}

/// Entries of `x` permuted within each column: columns keep their values, rows lose
/// what they have in common.  In a sparse matrix the places of zeros are drawn anew
/// too.
///
/// # Errors
/// `Argument` for more entries than a sparse matrix holds.
pub fn permuted(x: Matrix<'_>, seed: u64) -> Result<MatrixBuf, CoreError> {
    let order = |j: usize| stream(seed, Purpose::Permutation, j);
    let Matrix::Sparse(x) = x else {
        let mut values = Vec::with_capacity(x.n_stored());
        for j in 0..x.n_columns() {
            let first = values.len();
            x.for_each(j, |_, value| values.push(value));
            values[first..].shuffle(&mut order(j));
        }
        return Ok(x.with_stored(values));
    };
    let mut out = CscBuf::with_capacity(x.n_rows(), x.n_columns(), x.n_stored());
    for j in 0..x.n_columns() {
        let mut rng = order(j);
        let mut values = x.column(j).1.to_vec();
        let mut rows = rand::seq::index::sample(&mut rng, x.n_rows(), values.len()).into_vec();
        rows.sort_unstable();
        values.shuffle(&mut rng);
        rows.iter().zip(&values).for_each(|(&row, &value)| out.push(row, value));
        out.end_column()?;
    }
    Ok(MatrixBuf::Sparse(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use rand::Rng;
    use rand_distr::{Distribution, Poisson};

    /// Counts of rank `rank`.
    fn planted(rows: usize, columns: usize, rank: usize, size: f64) -> Vec<f64> {
        let mut rng = stream(5, Purpose::Start, rank);
        let basis: Vec<f64> = (0..rows * rank).map(|_| rng.random::<f64>().powi(3)).collect();
        let coef: Vec<f64> = (0..columns * rank).map(|_| rng.random::<f64>().powi(2)).collect();
        (0..rows * columns)
            .map(|at| {
                let (i, j) = (at % rows, at / rows);
                let mu: f64 = (0..rank).map(|k| basis[i * rank + k] * coef[j * rank + k]).sum();
                Poisson::new(size * mu + 1e-9).unwrap().sample(&mut rng)
            })
            .collect()
    }

    fn settings(loss: Loss, ranks: &[usize]) -> CrossValidation {
        CrossValidation {
            ranks: ranks.to_vec(),
            loss,
            fraction: 0.1,
            folds: 3,
            starts: 2,
            seed: 1,
            max_iter: 300,
            tolerance: 1e-5,
            threads: 2,
        }
    }

    fn dense(x: &[f64], rows: usize) -> Matrix<'_> {
        Matrix::dense(x, (rows, x.len() / rows)).unwrap()
    }

    fn sparse(x: &[f64], rows: usize) -> CscBuf {
        let mut out = CscBuf::new(rows);
        for column in x.chunks_exact(rows) {
            let stored = column.iter().enumerate().filter(|(_, &v)| v > 0.0);
            stored.for_each(|(i, &v)| out.push(i, v));
            out.end_column().unwrap();
        }
        out
    }

    fn scores(x: Matrix<'_>, chosen: &CrossValidation) -> Vec<Score> {
        unmonitored(|m| cross_validate(x, chosen, m)).unwrap()
    }

    #[test]
    fn held_out_error_is_least_at_the_planted_rank() {
        let shape = (120, 60);
        let x = planted(shape.0, shape.1, 3, 40.0);
        for loss in [Loss::Squares, Loss::KullbackLeibler] {
            let chosen = settings(loss, &[1, 2, 3, 4, 5]);
            let found = scores(dense(&x, shape.0), &chosen);
            let mean = |rank: usize| {
                found.iter().filter(|s| s.rank == rank).map(|s| s.error).sum::<f64>() / 3.0
            };
            let best = (1..=5).min_by(|&a, &b| mean(a).total_cmp(&mean(b))).unwrap();
            assert_eq!(best, 3, "{loss:?} {:?}", (1..=5).map(mean).collect::<Vec<_>>());
            assert!(mean(1) > 1.3 * mean(3) && mean(3) < 0.5);
            let one = CrossValidation { threads: 1, ..chosen.clone() };
            assert_eq!(found, scores(dense(&x, shape.0), &one));
            let sparse = sparse(&x, shape.0);
            for (a, b) in found.iter().zip(scores(Matrix::Sparse(sparse.view()), &chosen)) {
                // sums in another order, and stopping rules that see them
                assert!((a.error - b.error).abs() < 1e-3 * a.error, "{a:?} {b:?}");
                assert_eq!(a.count, b.count);
            }
        }
    }

    #[test]
    fn what_is_held_out_does_not_change_the_fit() {
        let shape = (40, 30);
        let x = planted(shape.0, shape.1, 2, 30.0);
        let mask = Mask::new(1, 0.1, 0).unwrap();
        let mut other = x.clone();
        for (at, v) in other.iter_mut().enumerate() {
            if mask.holds(at % shape.0, at / shape.0) {
                *v = 1e4;
            }
        }
        for loss in [Loss::Squares, Loss::KullbackLeibler] {
            let held = HeldOut::new(shape, |i, j| mask.holds(i, j)).unwrap();
            let fits: Vec<_> = [&x, &other]
                .iter()
                .map(|x| {
                    let seen = without(dense(x, shape.0), &held);
                    let data = Data::made(seen).unwrap().with_lines();
                    let chosen = settings(loss, &[2]);
                    let outcome = unmonitored(|m| trained(&data, &held, 2, 0, &chosen, m)).unwrap();
                    // monotone, and at an optimum
                    assert!(outcome.trace.windows(2).all(|w| w[1].1 <= w[0].1 + 1e-9 * w[0].1));
                    assert!(outcome.kkt < 0.02, "{loss:?} {}", outcome.kkt);
                    outcome.pair
                })
                .collect();
            assert_eq!(fits[0], fits[1]);
        }
    }

    #[test]
    fn missing_entries_are_neither_seen_nor_judged() {
        let shape = (40, 30);
        let x = planted(shape.0, shape.1, 2, 30.0);
        let missing = |at: usize| (at % shape.0 + at / shape.0) % 7 == 0;
        let hole = |(at, &v): (usize, &f64)| if missing(at) { f64::NAN } else { v };
        let holes: Vec<f64> = x.iter().enumerate().map(hole).collect();
        let chosen = settings(Loss::Squares, &[2]);
        let some = scores(dense(&holes, shape.0), &chosen);
        // a sparse matrix can miss entries too
        let listed = sparse(&x, shape.0);
        let mut values = Vec::new();
        (0..shape.1).for_each(|j| {
            let entries = listed.view().entries(j);
            entries.for_each(|(i, v)| values.push(hole((j * shape.0 + i, &v))));
        });
        let listed = listed.view().with_values(values);
        for (dense, sparse) in some.iter().zip(scores(Matrix::Sparse(listed.view()), &chosen)) {
            // zeros at the places of missing entries are known there
            assert!(sparse.count >= dense.count && sparse.error < 0.6);
        }
        let all = scores(dense(&x, shape.0), &chosen);
        for (some, all) in some.iter().zip(&all) {
            assert!(some.count < all.count && some.count > all.count / 2);
            assert!(some.error < 0.6, "{some:?}");
        }
    }

    #[test]
    fn a_fold_without_entries_to_judge_is_refused() {
        let x = planted(4, 3, 1, 30.0);
        let chosen = CrossValidation { fraction: 1e-6, ..settings(Loss::Squares, &[1]) };
        let run = |x: &[f64], chosen: &CrossValidation| {
            unmonitored(|m| cross_validate(dense(x, 4), chosen, m))
        };
        let empty = run(&x, &chosen).unwrap_err().to_string();
        assert_eq!(empty, "`entries held out` must be at least 1 in every fold, not 0");
        // no error to compare with: every entry is the mean of the others
        let chosen = CrossValidation { fraction: 0.3, ..chosen };
        let constant = run(&[1.0; 12], &chosen).unwrap_err().to_string();
        assert!(constant.starts_with("`held-out loss of the mean` must be above zero"));
    }

    #[test]
    fn a_permutation_keeps_the_values_of_each_column() {
        let x = planted(25, 8, 2, 3.0);
        let listed = sparse(&x, 25);
        let sorted = |matrix: Matrix<'_>, j: usize| {
            let mut values = Vec::new();
            matrix.for_each(j, |_, value| values.push(value));
            values.sort_by(f64::total_cmp);
            values
        };
        for x in [dense(&x, 25), Matrix::Sparse(listed.view())] {
            let other = permuted(x, 9).unwrap();
            assert!((0..25).any(|i| other.view().get(i, 0) != x.get(i, 0)));
            (0..8).for_each(|j| assert_eq!(sorted(x, j), sorted(other.view(), j)));
            if let MatrixBuf::Sparse(other) = &other {
                let (rows, _) = other.view().column(3);
                assert!(rows.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }
}
