//! Order and scale of the components of a finished factorisation.

use super::alternate::Pair;
use super::data::Side;
use super::penalty::Constraint;

/// Components in decreasing order of Σ W_k · Σ H_k, each with the same mean in W
/// and in H.  Components with a fixed part keep their place and, like those
/// whose scale matters to the model, their scale.
pub fn arrange(pair: &mut Pair, constraints: &[Constraint; 2], scalable: bool) {
    let rank = pair.rank;
    let free = |r: usize| constraints.iter().all(|c| c.is_free(r));
    let scalable = scalable && constraints.iter().all(Constraint::is_scalable);
    let (basis, coef) = (pair.sums(Side::Basis), pair.sums(Side::Coef));
    let lines = |side: Side| (pair.side(side).len() / rank).max(1) as f64;
    let scale: Vec<f64> = (0..rank)
        .map(|r| {
            let ratio = (coef[r] / lines(Side::Coef)) / (basis[r] / lines(Side::Basis));
            if scalable && free(r) && ratio > 0.0 && ratio.is_finite() {
                ratio.sqrt()
            } else {
                1.0
            }
        })
        .collect();
    let mut sorted: Vec<usize> = (0..rank).filter(|&r| free(r)).collect();
    sorted.sort_by(|&a, &b| (basis[b] * coef[b]).total_cmp(&(basis[a] * coef[a])));
    let mut next = sorted.into_iter();
    let order: Vec<usize> =
        (0..rank).map(|r| if free(r) { next.next().expect("one for each") } else { r }).collect();
    let mut old = vec![0.0; rank];
    for side in [Side::Basis, Side::Coef] {
        for line in pair.side_mut(side).chunks_exact_mut(rank) {
            old.copy_from_slice(line);
            for (to, &from) in line.iter_mut().zip(&order) {
                *to = match side {
                    Side::Basis => old[from] * scale[from],
                    Side::Coef => old[from] / scale[from],
                };
            }
        }
    }
}

/// The pair without its last component, and that component of the basis.
pub fn split_last(pair: Pair) -> (Pair, Vec<f64>) {
    let rank = pair.rank;
    let last = pair.side(Side::Basis).iter().skip(rank - 1).step_by(rank).copied().collect();
    let without = |side: Side| -> Vec<f64> {
        pair.side(side).chunks_exact(rank).flat_map(|line| &line[..rank - 1]).copied().collect()
    };
    let factors = [without(Side::Basis), without(Side::Coef)];
    (Pair { rank: rank - 1, factors }, last)
}
