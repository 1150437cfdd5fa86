//! Components of clones: which is which, their order, scale and shares.

use crate::factorisation::alternate::Pair;
use crate::factorisation::data::Side;
use crate::matrix::{from_fn, Array2, Columns};

/// Cosine over the cells of component `r` of `a` and `s` of `b`; 0 when one of
/// them is zero.
pub fn cosine(a: &Pair, r: usize, b: &Pair, s: usize) -> f64 {
    let mut sums = [0.0; 3];
    let cells =
        a.side(Side::Coef).chunks_exact(a.rank).zip(b.side(Side::Coef).chunks_exact(b.rank));
    for (a, b) in cells {
        sums[0] += a[r] * b[s];
        sums[1] += a[r] * a[r];
        sums[2] += b[s] * b[s];
    }
    let size = (sums[1] * sums[2]).sqrt();
    if size > 0.0 {
        sums[0] / size
    } else {
        0.0
    }
}

/// Components by their part of the fitted total, the largest first.
pub fn by_total(fit: &Pair) -> Vec<usize> {
    let (basis, coef) = (fit.sums(Side::Basis), fit.sums(Side::Coef));
    let mut order: Vec<usize> = (0..fit.rank).collect();
    order.sort_by(|&a, &b| (basis[b] * coef[b]).total_cmp(&(basis[a] * coef[a])));
    order
}

/// Components in the given order, each scaled so that its largest coefficient is
/// 1: V shrinks by that, so both stay in the box.
pub fn normalised(fit: &Pair, order: &[usize]) -> Pair {
    let rank = fit.rank;
    let top = |&r: &usize| {
        let largest =
            fit.side(Side::Coef)[r..].iter().step_by(rank).fold(0.0, |a: f64, &b| a.max(b));
        if largest > 0.0 {
            largest
        } else {
            1.0
        }
    };
    let scale: Vec<f64> = order.iter().map(top).collect();
    let arranged = |side: Side, by: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let lines = fit.side(side).chunks_exact(rank);
        lines
            .flat_map(|line| (0..rank).map(|r| line[order[r]] * by(r)).collect::<Vec<_>>())
            .collect()
    };
    let basis = arranged(Side::Basis, &|r| scale[r]);
    let coef = arranged(Side::Coef, &|r| 1.0 / scale[r]);
    Pair { rank, factors: [basis, coef] }
}

/// Part of each component in Σ_i (V C)_ij; zeros for a cell without any.  Does
/// not depend on how the components are scaled.
pub fn shares(fit: &Pair) -> Array2<f64> {
    let (rank, coef) = (fit.rank, fit.side(Side::Coef));
    let size = fit.sums(Side::Basis);
    let mut shares = from_fn((rank, coef.len() / rank), |r, j| size[r] * coef[j * rank + r]);
    for j in 0..shares.ncols() {
        let column = shares.col_mut(j);
        let total: f64 = column.iter().sum();
        if total > 0.0 {
            column.iter_mut().for_each(|v| *v /= total);
        }
    }
    shares
}
