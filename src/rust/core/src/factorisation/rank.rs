//! How many components: cross-validation, and matrices without structure to
//! compare with.

use super::alternate::{alternate, Rules};
use super::data::{Data, Line, Side, Values};
use super::held_out::{entry, judge, Held, Loss, Mask, Observed, Reference};
use super::init::{mean, random};
use crate::error::{check_value, CoreError};
use crate::parallel::{with_threads, Monitor};
use crate::rng::{stream, Purpose};
use rand::seq::SliceRandom;
use rayon::prelude::*;

#[derive(Debug, Clone)]
pub struct Settings {
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
/// Scores are in the order of folds, then ranks.  Entries of `missing` (row and
/// column, where `values` must hold zeros) are neither seen nor judged.
///
/// # Errors
/// `Argument` for settings out of range, `Threads`, `Interrupted`.
pub fn cross_validate(
    values: Values<'_>,
    (rows, columns): (usize, usize),
    missing: impl Fn(usize, usize) -> bool + Sync,
    settings: &Settings,
    monitor: &Monitor<'_>,
) -> Result<Vec<Score>, CoreError> {
    check_value("folds", settings.folds as f64, "at least 1", |f| f >= 1.0)?;
    check_value("starts", settings.starts as f64, "at least 1", |s| s >= 1.0)?;
    let whole = Data::new(values, (rows, columns))?;
    let mut scores = Vec::new();
    for fold in 0..settings.folds {
        let mask = Mask::new(settings.seed, settings.fraction, fold)?;
        let held = Held::new(rows, columns, |i, j| mask.holds(i, j) || missing(i, j));
        let zeroed = without(values, rows, &held, columns);
        let entries = match values {
            Values::Dense(_) => Values::Dense(&zeroed),
            Values::Sparse { starts, rows, .. } => Values::Sparse { starts, rows, values: &zeroed },
        };
        let data = Data::new(entries, (rows, columns))?.with_lines();
        let judged =
            |i: usize, j: usize| (!missing(i, j)).then(|| entry(whole.line(Side::Coef, j), i));
        let of_column = |j: usize| held.line(Side::Coef, j).iter().map(move |&i| (i as usize, j));
        let n_judged = (0..columns).flat_map(of_column).filter(|&(i, j)| !missing(i, j)).count();
        check_value("entries held out", n_judged as f64, "at least 1 in every fold", |n| n >= 1.0)?;
        let n_held: usize = (0..columns).map(|j| held.line(Side::Coef, j).len()).sum();
        let level = data.sum() / (rows * columns - n_held).max(1) as f64;
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
    held: &Held,
    rank: usize,
    start: usize,
    settings: &Settings,
    monitor: &Monitor<'_>,
) -> Result<super::alternate::Outcome, CoreError> {
    let model = Observed::new(data.sequential(), held, rank, settings.loss);
    let rules = Rules {
        max_iter: settings.max_iter,
        tolerance: settings.tolerance,
        extrapolate: true,
        unchanged: None,
        every: 1,
    };
    let start = random(data, mean(data), rank, settings.seed, start);
    alternate(&model, start, &rules, monitor)
}

/// The stored values with zeros at the entries that are held out.
fn without(values: Values<'_>, rows: usize, held: &Held, columns: usize) -> Vec<f64> {
    match values {
        Values::Dense(x) => {
            let mut out = x.to_vec();
            for j in 0..columns {
                for &i in held.line(Side::Coef, j) {
                    out[j * rows + i as usize] = 0.0;
                }
            }
            out
        }
        Values::Sparse { starts, rows: at, values } => {
            let mut out = values.to_vec();
            for j in 0..columns {
                let absent = held.line(Side::Coef, j);
                for place in starts[j] as usize..starts[j + 1] as usize {
                    if absent.binary_search(&(at[place] as u32)).is_ok() {
                        out[place] = 0.0;
                    }
                }
            }
            out
        }
    }
}

/// Entries of `x` permuted within each column of `rows` entries: columns keep their
/// values, rows lose what they have in common.
pub fn permuted_dense(x: &[f64], rows: usize, seed: u64) -> Vec<f64> {
    let mut out = x.to_vec();
    for (j, column) in out.chunks_exact_mut(rows.max(1)).enumerate() {
        column.shuffle(&mut stream(seed, Purpose::Permutation, j));
    }
    out
}

/// The same for compressed sparse columns: new row numbers (rising within a column)
/// and values.
pub fn permuted_sparse(
    starts: &[i32],
    values: &[f64],
    rows: usize,
    seed: u64,
) -> (Vec<i32>, Vec<f64>) {
    let mut out_rows = Vec::with_capacity(values.len());
    let mut out = values.to_vec();
    for (j, range) in starts.windows(2).enumerate() {
        let (from, to) = (range[0] as usize, range[1] as usize);
        let mut rng = stream(seed, Purpose::Permutation, j);
        let mut chosen = rand::seq::index::sample(&mut rng, rows, to - from).into_vec();
        chosen.sort_unstable();
        out_rows.extend(chosen.iter().map(|&row| row as i32));
        out[from..to].shuffle(&mut rng);
    }
    (out_rows, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::unmonitored;
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

    fn settings(loss: Loss, ranks: &[usize]) -> Settings {
        Settings {
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

    fn sparse(x: &[f64], rows: usize) -> (Vec<i32>, Vec<i32>, Vec<f64>) {
        let (mut starts, mut at, mut values) = (vec![0], Vec::new(), Vec::new());
        for column in x.chunks_exact(rows) {
            for (i, &v) in column.iter().enumerate().filter(|(_, &v)| v > 0.0) {
                at.push(i as i32);
                values.push(v);
            }
            starts.push(at.len() as i32);
        }
        (starts, at, values)
    }

    #[test]
    fn held_out_error_is_least_at_the_planted_rank() {
        let shape = (120, 60);
        let x = planted(shape.0, shape.1, 3, 40.0);
        for loss in [Loss::Squares, Loss::KullbackLeibler] {
            let chosen = settings(loss, &[1, 2, 3, 4, 5]);
            let run = |values: Values<'_>, chosen: &Settings| {
                unmonitored(|m| cross_validate(values, shape, |_, _| false, chosen, m)).unwrap()
            };
            let scores = run(Values::Dense(&x), &chosen);
            let mean = |rank: usize| {
                scores.iter().filter(|s| s.rank == rank).map(|s| s.error).sum::<f64>() / 3.0
            };
            let best = (1..=5).min_by(|&a, &b| mean(a).total_cmp(&mean(b))).unwrap();
            assert_eq!(best, 3, "{loss:?} {:?}", (1..=5).map(mean).collect::<Vec<_>>());
            assert!(mean(1) > 1.3 * mean(3) && mean(3) < 0.5);
            let one = Settings { threads: 1, ..chosen.clone() };
            assert_eq!(scores, run(Values::Dense(&x), &one));
            let (starts, rows, values) = sparse(&x, shape.0);
            let values = Values::Sparse { starts: &starts, rows: &rows, values: &values };
            for (a, b) in scores.iter().zip(run(values, &chosen)) {
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
            let held = Held::new(shape.0, shape.1, |i, j| mask.holds(i, j));
            let fits: Vec<_> = [&x, &other]
                .iter()
                .map(|x| {
                    let zeroed = without(Values::Dense(x), shape.0, &held, shape.1);
                    let data = Data::new(Values::Dense(&zeroed), shape).unwrap().with_lines();
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
        let missing = |i: usize, j: usize| (i + j) % 7 == 0;
        let zeroed: Vec<f64> = x
            .iter()
            .enumerate()
            .map(|(at, &v)| if missing(at % shape.0, at / shape.0) { 0.0 } else { v })
            .collect();
        let chosen = settings(Loss::Squares, &[2]);
        let scores =
            unmonitored(|m| cross_validate(Values::Dense(&zeroed), shape, missing, &chosen, m))
                .unwrap();
        let all =
            unmonitored(|m| cross_validate(Values::Dense(&x), shape, |_, _| false, &chosen, m))
                .unwrap();
        for (some, all) in scores.iter().zip(&all) {
            assert!(some.count < all.count && some.count > all.count / 2);
            assert!(some.error < 0.6, "{some:?}");
        }
    }

    #[test]
    fn a_fold_without_entries_to_judge_is_refused() {
        let x = planted(4, 3, 1, 30.0);
        let chosen = Settings { fraction: 1e-6, ..settings(Loss::Squares, &[1]) };
        let run = |x: &[f64], chosen: &Settings| {
            let none = |_: usize, _: usize| false;
            unmonitored(|m| cross_validate(Values::Dense(x), (4, 3), none, chosen, m))
        };
        let empty = run(&x, &chosen).unwrap_err().to_string();
        assert_eq!(empty, "`entries held out` must be at least 1 in every fold, not 0");
        // no error to compare with: every entry is the mean of the others
        let chosen = Settings { fraction: 0.3, ..chosen };
        let constant = run(&[1.0; 12], &chosen).unwrap_err().to_string();
        assert!(constant.starts_with("`held-out loss of the mean` must be above zero"));
    }

    #[test]
    fn a_permutation_keeps_the_values_of_each_column() {
        let x = planted(25, 8, 2, 3.0);
        let permuted = permuted_dense(&x, 25, 9);
        assert_ne!(x, permuted);
        let sorted = |column: &[f64]| {
            let mut values = column.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        for (a, b) in x.chunks(25).zip(permuted.chunks(25)) {
            assert_eq!(sorted(a), sorted(b));
        }
        let (starts, _, values) = sparse(&x, 25);
        let (rows, shuffled) = permuted_sparse(&starts, &values, 25, 9);
        for range in starts.windows(2) {
            let range = range[0] as usize..range[1] as usize;
            assert!(rows[range.clone()].windows(2).all(|w| w[0] < w[1]));
            assert_eq!(sorted(&values[range.clone()]), sorted(&shuffled[range]));
        }
    }
}
