//! Order and scale of the components of a finished factorisation.

use super::alternate::Pair;
use super::data::Side;
use super::penalty::Constraint;

/// Components in decreasing order of Σ W_k · Σ H_k.  Columns of W get equal sums,
/// such that W and H have the same mean: coefficients of a sample then compare as
/// parts of its fitted total, whatever scale the run ended with.  Components with a
/// fixed part keep their place and, like those whose scale matters to the model,
/// their scale.
pub fn arrange(pair: &mut Pair, constraints: &[Constraint; 2], scalable: bool) {
    let rank = pair.rank;
    let free = |r: usize| constraints.iter().all(|c| c.is_free(r));
    let scalable = scalable && constraints.iter().all(Constraint::is_scalable);
    let (basis, coef) = (pair.sums(Side::Basis), pair.sums(Side::Coef));
    let alive = |r: usize| scalable && free(r) && basis[r] > 0.0 && coef[r] > 0.0;
    let parts: Vec<f64> = (0..rank).filter(|&r| alive(r)).map(|r| basis[r] * coef[r]).collect();
    let lines = |side: Side| (pair.side(side).len() / rank).max(1) as f64;
    let part = parts.iter().sum::<f64>() / parts.len().max(1) as f64;
    let common = (part * lines(Side::Basis) / lines(Side::Coef)).sqrt();
    let scale: Vec<f64> =
        (0..rank).map(|r| if alive(r) { common / basis[r] } else { 1.0 }).collect();
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
