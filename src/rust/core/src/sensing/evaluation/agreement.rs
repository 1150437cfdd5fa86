//! Correlations, ranks and distances over the entries that are kept.

use crate::base::simd::vectors::squared_distance;
use rayon::prelude::*;

pub fn both_correlations(a: &[f64], b: &[f64]) -> (f64, f64) {
    let all = vec![true; a.len()];
    let (x, y) = (ranks(a, &order_of(a), &all), ranks(b, &order_of(b), &all));
    (correlation(a, b, &all), correlation(&x, &y, &all))
}

/// `most` of 0..n, evenly spread.
pub fn spread(n: usize, most: usize) -> Vec<usize> {
    let taken = n.min(most.max(1));
    (0..taken).map(|k| k * n / taken).collect()
}

/// Euclidean distances of all pairs (i, j), i < j, ordered by j.
pub fn distances<'a>(n: usize, vector: impl Fn(usize) -> &'a [f64] + Sync) -> Vec<f64> {
    let columns: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|j| {
            let own = vector(j);
            (0..j).map(|i| squared_distance(vector(i), own).sqrt()).collect()
        })
        .collect();
    columns.concat()
}

pub fn order_of(values: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    order
}

/// Mean ranks among the entries that are kept, from the order of all.
pub fn ranks(values: &[f64], order: &[u32], kept: &[bool]) -> Vec<f64> {
    let mut out = vec![0.0; values.len()];
    let mut seen = 0usize;
    let mut at = 0;
    while at < order.len() {
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
    out
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
