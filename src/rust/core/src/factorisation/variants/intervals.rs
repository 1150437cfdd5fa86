//! Shares of clones over resamples of the variants.

use crate::matrix::{zeros, Array2, ArrayRef2};

/// Shares over resamples of the variants, rank × cells.
pub struct Intervals {
    pub mean: Array2<f64>,
    pub sd: Array2<f64>,
    pub lower: Array2<f64>,
    pub upper: Array2<f64>,
    /// Part of the resamples in which a component has the largest share.
    pub chosen: Array2<f64>,
}

/// Quantiles at both ends of `level`, and who is the largest how often.
pub fn intervals(resampled: &[Array2<f64>], level: f64) -> Intervals {
    let (rank, n_columns) = resampled[0].dim();
    let zeros = || zeros((rank, n_columns));
    let mut out =
        Intervals { mean: zeros(), sd: zeros(), lower: zeros(), upper: zeros(), chosen: zeros() };
    let n = resampled.len() as f64;
    for j in 0..n_columns {
        for r in 0..rank {
            let mut values: Vec<f64> = resampled.iter().map(|shares| shares[(r, j)]).collect();
            values.sort_by(f64::total_cmp);
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            out.mean[(r, j)] = mean;
            out.sd[(r, j)] = (squares / (n - 1.0).max(1.0)).sqrt();
            out.lower[(r, j)] = quantile(&values, (1.0 - level) / 2.0);
            out.upper[(r, j)] = quantile(&values, (1.0 + level) / 2.0);
        }
        for shares in resampled {
            if let Some(r) = largest(shares, j) {
                out.chosen[(r, j)] += 1.0 / n;
            }
        }
    }
    out
}

/// The component with the largest share of a cell; the first of equals, none
/// for a cell without any.
pub fn largest(shares: &ArrayRef2<f64>, cell: usize) -> Option<usize> {
    let mut best = None;
    for r in 0..shares.nrows() {
        let value = shares[(r, cell)];
        if value > best.map_or(0.0, |b: usize| shares[(b, cell)]) {
            best = Some(r);
        }
    }
    best
}

/// Linear interpolation between order statistics.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = probability * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}
