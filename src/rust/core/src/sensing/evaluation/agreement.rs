//! Correlations, ranks and distances over the entries that are kept.

use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::base::simd::vectors::squared_distance;
use rayon::prelude::*;

/// Pearson's correlation and Spearman's; `all` is true everywhere.
pub fn both_correlations(
    a: &[f64],
    b: &[f64],
    all: &[bool],
    monitor: &Monitor<'_>,
) -> Result<(f64, f64), CoreError> {
    let x = ranks(a, &order_of(a, monitor)?, all, monitor)?;
    let y = ranks(b, &order_of(b, monitor)?, all, monitor)?;
    Ok((correlation(a, b, all), correlation(&x, &y, all)))
}

/// `most` of 0..n, evenly spread.
pub fn spread(n: usize, most: usize) -> Vec<usize> {
    let taken = n.min(most.max(1));
    (0..taken).map(|k| k * n / taken).collect()
}

/// Euclidean distances of all pairs (i, j), i < j, ordered by j.
pub fn distances<'a>(
    n: usize,
    vector: impl Fn(usize) -> &'a [f64] + Sync,
    monitor: &Monitor<'_>,
) -> Result<Vec<f64>, CoreError> {
    let columns: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|j| {
            monitor.check()?;
            let own = vector(j);
            Ok((0..j).map(|i| squared_distance(vector(i), own).sqrt()).collect())
        })
        .collect::<Result<_, CoreError>>()?;
    Ok(columns.concat())
}

/// Entries that are sorted or ranked between two looks at the monitor.
const LOOK: usize = 1 << 16;

/// Indices by rising value.  Parts are sorted, then merged two by two: a single sort
/// of all entries could not be stopped.
pub fn order_of(values: &[f64], monitor: &Monitor<'_>) -> Result<Vec<u32>, CoreError> {
    let below = |a: u32, b: u32| values[a as usize].total_cmp(&values[b as usize]);
    let n = u32::try_from(values.len()).map_err(|_| CoreError::Argument {
        name: "entries to be ranked",
        found: values.len() as f64,
        expected: "at most 4294967295",
    })?;
    let mut order: Vec<u32> = (0..n).collect();
    for part in order.chunks_mut(LOOK) {
        monitor.check()?;
        part.sort_unstable_by(|&a, &b| below(a, b));
    }
    let mut size = LOOK;
    while size < order.len() {
        let mut merged = Vec::with_capacity(order.len());
        for pair in order.chunks(2 * size) {
            let (mut left, mut right) = pair.split_at(size.min(pair.len()));
            while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
                if merged.len() % LOOK == 0 {
                    monitor.check()?;
                }
                if below(b, a).is_lt() {
                    merged.push(b);
                    right = &right[1..];
                } else {
                    merged.push(a);
                    left = &left[1..];
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        order = merged;
        size *= 2;
    }
    Ok(order)
}

/// Mean ranks among the entries that are kept, from the order of all.
pub fn ranks(
    values: &[f64],
    order: &[u32],
    kept: &[bool],
    monitor: &Monitor<'_>,
) -> Result<Vec<f64>, CoreError> {
    let mut out = vec![0.0; values.len()];
    let mut seen = 0usize;
    let mut at = 0;
    let mut look = 0;
    while at < order.len() {
        if at >= look {
            monitor.check()?;
            look = at + LOOK;
        }
        let value = values[order[at] as usize];
        let mut end = at;
        let mut tied = 0usize;
        while end < order.len() && values[order[end] as usize] == value {
            tied += usize::from(kept[order[end] as usize]);
            end += 1;
        }
        let rank = seen as f64 + (tied as f64 + 1.0) / 2.0;
        order[at..end].iter().for_each(|&i| out[i as usize] = rank);
        seen += tied;
        at = end;
    }
    Ok(out)
}

/// Pearson correlation of the entries that are kept.  NaN when `truth` does not
/// vary; 0 when only the recovered values do not, for then nothing of the truth
/// is in them.
pub fn correlation(truth: &[f64], recovered: &[f64], kept: &[bool]) -> f64 {
    let pairs = || truth.iter().zip(recovered).zip(kept).filter(|(_, &k)| k).map(|(p, _)| p);
    let (mut n, mut sum_a, mut sum_b) = (0.0, 0.0, 0.0);
    pairs().for_each(|(a, b)| {
        n += 1.0;
        sum_a += a;
        sum_b += b;
    });
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    pairs().for_each(|(a, b)| {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    });
    // A sum of squares at rounding level is a constant.
    let constant = |squares: f64, mean: f64| squares <= n * (1e-14 * mean).powi(2);
    if n < 2.0 || constant(aa, mean_a) {
        f64::NAN
    } else if constant(bb, mean_b) {
        0.0
    } else {
        (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0)
    }
}

pub fn mean_of_finite(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut sum) = (0.0, 0.0);
    values.filter(|v| v.is_finite()).for_each(|v| {
        n += 1.0;
        sum += v;
    });
    if n > 0.0 {
        sum / n
    } else {
        f64::NAN
    }
}
