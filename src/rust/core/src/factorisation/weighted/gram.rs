//! Gram matrix and right-hand side of every line, block by block:
//! G_l = Σ_i Ω_il f_i f_iᵀ and b_l = Σ_i Ω_il x_il f_i, where f_i are the
//! columns of the fixed factor.

use super::matrix::Lines;
use crate::matrix::linalg::{add_product, multiply};
use crate::matrix::{from_columns, zeros, Array2, ArrayView2, Columns, Matrix};
use ndarray::s;
use rayon::prelude::*;

/// Lines of a block: fixed, so that sums do not depend on the threads.
const LINE_BLOCK: usize = 64;
/// Columns of the fixed factor whose products of pairs are formed at a time.
const INDEX_BLOCK: usize = 256;

/// Calls `work(line, G, b, y)` for every line, where G is rank × rank
/// (column-major), b and y have length rank and y is the line's column of
/// `free`; returns the sum of what `work` returns.
pub(super) fn for_each_line(
    lines: Lines<'_>,
    fixed: &[f64],
    rank: usize,
    free: &mut [f64],
    work: impl Fn(&mut [f64], &mut [f64], &mut [f64]) -> f64 + Sync,
) -> f64 {
    let fixed = from_columns(fixed, (rank, lines.n_index));
    let shared = shared_gram(lines, fixed);
    let sums: Vec<f64> = free
        .par_chunks_mut(LINE_BLOCK * rank)
        .enumerate()
        .map(|(block, free)| {
            let first = block * LINE_BLOCK;
            let n = free.len() / rank;
            let mut right = right_sides(lines, fixed, first, n);
            let mut pairs = deviations(lines, fixed, first, n);
            let mut gram = vec![0.0; rank * rank];
            let mut sum = 0.0;
            for (line, y) in free.chunks_exact_mut(rank).enumerate() {
                let factor = lines.shared.0[first + line];
                let pairs = pairs.col_mut(line);
                if factor != 0.0 {
                    pairs.iter_mut().zip(&shared).for_each(|(p, s)| *p += factor * s);
                }
                unpack(pairs, rank, &mut gram);
                sum += work(&mut gram, right.col_mut(line), y);
            }
            sum
        })
        .collect();
    sums.iter().sum()
}

pub(super) fn n_pairs(rank: usize) -> usize {
    rank * (rank + 1) / 2
}

/// Products f_a f_b, b ≤ a, in a fixed order.
fn add_pairs(f: &[f64], weight: f64, out: &mut [f64]) {
    let mut at = 0;
    for (a, &fa) in f.iter().enumerate() {
        let scaled = weight * fa;
        for (out, &fb) in out[at..at + a + 1].iter_mut().zip(f) {
            *out += scaled * fb;
        }
        at += a + 1;
    }
}

fn unpack(pairs: &[f64], rank: usize, gram: &mut [f64]) {
    let mut at = 0;
    for a in 0..rank {
        for b in 0..=a {
            gram[a * rank + b] = pairs[at];
            gram[b * rank + a] = pairs[at];
            at += 1;
        }
    }
}

/// Σ_i a_i f_i f_iᵀ, packed; empty when no line uses it.
fn shared_gram(lines: Lines<'_>, fixed: ArrayView2<'_, f64>) -> Vec<f64> {
    let rank = fixed.nrows();
    if lines.shared.0.iter().all(|&factor| factor == 0.0) {
        return Vec::new();
    }
    let blocks: Vec<Vec<f64>> = (0..lines.n_index.div_ceil(INDEX_BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut sum = vec![0.0; n_pairs(rank)];
            let first = block * INDEX_BLOCK;
            for i in first..(first + INDEX_BLOCK).min(lines.n_index) {
                add_pairs(fixed.col(i), lines.shared.1[i], &mut sum);
            }
            sum
        })
        .collect();
    let mut total = vec![0.0; n_pairs(rank)];
    for block in blocks {
        total.iter_mut().zip(&block).for_each(|(t, b)| *t += b);
    }
    total
}

fn right_sides(
    lines: Lines<'_>,
    fixed: ArrayView2<'_, f64>,
    first: usize,
    n: usize,
) -> Array2<f64> {
    let mut right = zeros((fixed.nrows(), n));
    if let Matrix::Dense(target) = lines.target {
        multiply(&mut right, &fixed, &target.slice(s![.., first..first + n]));
        return right;
    }
    for line in 0..n {
        let right = right.col_mut(line);
        lines.target.for_each(first + line, |i, value| {
            right.iter_mut().zip(fixed.col(i)).for_each(|(r, f)| *r += value * f);
        });
    }
    right
}

/// Σ_i D_il f_i f_iᵀ per line, packed, for the deviation D.
fn deviations(lines: Lines<'_>, fixed: ArrayView2<'_, f64>, first: usize, n: usize) -> Array2<f64> {
    let pairs = n_pairs(fixed.nrows());
    let mut sums = zeros((pairs, n));
    let Matrix::Dense(weights) = lines.deviation else {
        for line in 0..n {
            let sums = sums.col_mut(line);
            lines.deviation.for_each(first + line, |i, weight| {
                add_pairs(fixed.col(i), weight, sums);
            });
        }
        return sums;
    };
    for start in (0..lines.n_index).step_by(INDEX_BLOCK) {
        let end = (start + INDEX_BLOCK).min(lines.n_index);
        let mut products = zeros((pairs, end - start));
        for i in start..end {
            add_pairs(fixed.col(i), 1.0, products.col_mut(i - start));
        }
        let weights = weights.slice(s![start..end, first..first + n]);
        add_product(&mut sums, 1.0, &products, &weights);
    }
    sums
}
