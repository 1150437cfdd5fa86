//! Projected gradient steps for many right-hand sides of one Gram matrix.

/// Improves every column of `x` (rank × columns) by `steps` steps
/// x ← max(0, x − (Gx − b) / L).  With L at least the largest eigenvalue of G,
/// here its largest row sum, ½ xᵀGx − bᵀx never rises.
pub fn project(gram: &[f64], linear: &[f64], x: &mut [f64], steps: usize) {
    let rank = (gram.len() as f64).sqrt().round() as usize;
    if rank == 0 {
        return;
    }
    let row_sum = |row: &[f64]| row.iter().map(|g| g.abs()).sum::<f64>();
    let bound = gram.chunks_exact(rank).map(row_sum).fold(0.0, f64::max);
    if bound <= 0.0 {
        return;
    }
    let mut gradient = vec![0.0; rank];
    for (x, b) in x.chunks_exact_mut(rank).zip(linear.chunks_exact(rank)) {
        for _ in 0..steps {
            for (r, g) in gradient.iter_mut().enumerate() {
                let column = &gram[r * rank..(r + 1) * rank];
                *g = column.iter().zip(x.iter()).map(|(g, x)| g * x).sum::<f64>() - b[r];
            }
            x.iter_mut().zip(&gradient).for_each(|(x, g)| *x = (*x - g / bound).max(0.0));
        }
    }
}
