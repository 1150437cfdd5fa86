//! Coordinate descent for many right-hand sides of one Gram matrix, several
//! columns side by side so that the processor's vectors are full for any rank.

use pulp::{Arch, Simd, WithSimd};

/// Columns that move together.
const LANES: usize = 8;

/// When the sweeps over a group of columns end.
#[derive(Debug, Clone, Copy)]
pub struct Sweeps {
    pub max: usize,
    /// Stop when a sweep moves less than this part of what the first one moved,
    /// both as Σ G_rr δ_r² (Gillis and Glineur 2012, with 0.1² by default).
    pub tolerance: f64,
}

/// min ½ xᵀ(G + d I)x − bᵀx over 0 ≤ x ≤ upper, for each column x of a
/// rank × columns matrix with a right-hand side b (and d ≥ 0) of its own.
pub struct Descent<'a> {
    /// rank × rank, symmetric, column-major.
    pub gram: &'a [f64],
    /// rank × columns.
    pub linear: &'a [f64],
    /// d of each column; empty for zeros.
    pub diagonal: &'a [f64],
    /// Infinite for none.
    pub upper: f64,
    /// Coordinates that keep their value; empty for none.
    pub fixed: &'a [bool],
    pub sweeps: Sweeps,
}

/// Improves `x` (rank × columns), which must be feasible.  Coordinates without
/// curvature keep their value.  Returns Σ ½ xᵀGx − bᵀx over the columns, without
/// the terms in d.
pub fn descend(problem: &Descent<'_>, x: &mut [f64]) -> f64 {
    assert_eq!(problem.linear.len(), x.len(), "a right-hand side has an entry per unknown");
    Arch::new().dispatch(Run { problem, x })
}

struct Run<'a, 'b> {
    problem: &'a Descent<'a>,
    x: &'b mut [f64],
}

impl WithSimd for Run<'_, '_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Run { problem, x } = self;
        let Descent { gram, linear, diagonal, upper, fixed, sweeps } = *problem;
        let k = (gram.len() as f64).sqrt().round() as usize;
        if k == 0 {
            return 0.0;
        }
        let mut value = vec![[0.0; LANES]; k];
        let mut gradient = vec![[0.0; LANES]; k];
        let mut total = 0.0;
        let groups = x.chunks_mut(k * LANES).zip(linear.chunks(k * LANES)).enumerate();
        for (group, (x, linear)) in groups {
            let columns = x.len() / k;
            let mut extra = [0.0; LANES];
            if !diagonal.is_empty() {
                let own = &diagonal[group * LANES..group * LANES + columns];
                extra[..columns].copy_from_slice(own);
            }
            for r in 0..k {
                value[r] = [0.0; LANES];
                gradient[r] = [0.0; LANES];
                for lane in 0..columns {
                    value[r][lane] = x[lane * k + r];
                    gradient[r][lane] = -linear[lane * k + r];
                }
            }
            for r in 0..k {
                let by = value[r];
                for (g, &entry) in gradient.iter_mut().zip(&gram[r * k..(r + 1) * k]) {
                    for lane in 0..LANES {
                        g[lane] += entry * by[lane];
                    }
                }
                for lane in 0..LANES {
                    gradient[r][lane] += extra[lane] * by[lane];
                }
            }
            let mut first = 0.0;
            for sweep in 0..sweeps.max {
                let mut moved = [0.0; LANES];
                for r in 0..k {
                    if !fixed.is_empty() && fixed[r] {
                        continue;
                    }
                    let mut step = [0.0; LANES];
                    for lane in 0..LANES {
                        let curvature = gram[r * k + r] + extra[lane];
                        let inverse = if curvature > 0.0 { 1.0 / curvature } else { 0.0 };
                        let next = value[r][lane] - gradient[r][lane] * inverse;
                        let next = if next > 0.0 { next } else { 0.0 };
                        let next = if next < upper { next } else { upper };
                        step[lane] = next - value[r][lane];
                        value[r][lane] = next;
                        moved[lane] += curvature * step[lane] * step[lane];
                    }
                    for (g, &entry) in gradient.iter_mut().zip(&gram[r * k..(r + 1) * k]) {
                        for lane in 0..LANES {
                            g[lane] += entry * step[lane];
                        }
                    }
                    for lane in 0..LANES {
                        gradient[r][lane] += extra[lane] * step[lane];
                    }
                }
                let moved: f64 = moved.iter().sum();
                if sweep == 0 {
                    first = moved;
                }
                if moved <= sweeps.tolerance * first {
                    break;
                }
            }
            // ½ x'Gx − b'x = ½ x'(g − b) with g = Gx − b
            let mut sums = [0.0; LANES];
            for r in 0..k {
                for lane in 0..columns {
                    let g = gradient[r][lane] - extra[lane] * value[r][lane];
                    sums[lane] += value[r][lane] * (g - linear[lane * k + r]);
                    x[lane * k + r] = value[r][lane];
                }
            }
            total += 0.5 * sums.iter().sum::<f64>();
        }
        total
    }
}
