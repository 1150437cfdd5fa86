//! Eight lines side by side, and the sums over the entries that a step needs.

use super::line_problem::LineProblem;
use crate::base::simd::{fma, LANES};
use pulp::Simd;

pub type Lane = [f64; LANES];

/// Eight lines.
pub struct Group<'a> {
    /// X with the lines of this side one after the other in memory: entry p of
    /// line l is `entries[p * stride + l]`.
    pub entries: &'a [f64],
    pub stride: usize,
    /// Of each line that takes part, at most eight.
    pub problems: &'a [LineProblem<'a>],
}

/// The first eight numbers.
#[inline(always)]
pub fn lane_of(x: &[f64]) -> &Lane {
    x[..LANES].try_into().expect("a group has eight lanes")
}

/// aᵀc of each lane.
#[inline(always)]
pub fn product<const K: usize, S: Simd>(a: &[f64], c: &[Lane; K]) -> Lane {
    let mut out = [0.0; LANES];
    for r in 0..K {
        for lane in 0..LANES {
            out[lane] = fma::<S>(a[r], c[r][lane], out[lane]);
        }
    }
    out
}

/// Σ (x/μ) a and Σ (x/μ²) a aᵀ.
pub struct Sums<const K: usize> {
    pub pull: [Lane; K],
    pub hessian: [[Lane; K]; K],
    /// Largest entry.
    pub largest: Lane,
}

impl<const K: usize> Sums<K> {
    #[inline(always)]
    pub fn new() -> Self {
        let zero = [0.0; LANES];
        Sums { pull: [zero; K], hessian: [[zero; K]; K], largest: zero }
    }

    /// True when μ vanishes where x does not.
    #[inline(always)]
    pub fn gather<S: Simd, const SECOND: bool>(
        &mut self,
        group: &Group<'_>,
        factor: &[f64],
        c: &[Lane; K],
    ) -> bool {
        let mut pull = self.pull;
        let mut hessian = self.hessian;
        let mut largest = self.largest;
        let mut least = [1.0; LANES];
        for (a, x) in factor.chunks_exact(K).zip(group.entries.chunks(group.stride)) {
            let x = lane_of(x);
            let mu = product::<K, S>(a, c);
            let mut ratio = [0.0; LANES];
            let mut bend = [0.0; LANES];
            for lane in 0..LANES {
                let counted = if x[lane] > 0.0 { mu[lane] } else { 1.0 };
                least[lane] = if counted < least[lane] { counted } else { least[lane] };
                largest[lane] = if x[lane] > largest[lane] { x[lane] } else { largest[lane] };
                let inverse = 1.0 / counted;
                ratio[lane] = x[lane] * inverse;
                bend[lane] = ratio[lane] * inverse;
            }
            for i in 0..K {
                for lane in 0..LANES {
                    pull[i][lane] = fma::<S>(ratio[lane], a[i], pull[i][lane]);
                }
                if SECOND {
                    let mut scaled = [0.0; LANES];
                    for lane in 0..LANES {
                        scaled[lane] = bend[lane] * a[i];
                    }
                    for j in i..K {
                        for lane in 0..LANES {
                            hessian[i][j][lane] = fma::<S>(scaled[lane], a[j], hessian[i][j][lane]);
                        }
                    }
                }
            }
        }
        (self.pull, self.hessian, self.largest) = (pull, hessian, largest);
        least.iter().any(|&v| v <= 0.0)
    }

    /// Adds the penalties' part and fills in the lower triangle; the slope.
    #[inline(always)]
    pub fn complete(
        &mut self,
        problems: &[LineProblem<'_>],
        totals: &[Lane; K],
        c: &[Lane; K],
    ) -> [Lane; K] {
        let mut slope = [[0.0; LANES]; K];
        for r in 0..K {
            for lane in 0..LANES {
                slope[r][lane] = totals[r][lane] - self.pull[r][lane];
            }
        }
        for i in 0..K {
            for j in i..K {
                let entry = problems[0].quadratic[i * K + j];
                for lane in 0..LANES {
                    self.hessian[i][j][lane] += entry;
                    slope[i][lane] += entry * c[j][lane];
                    if j > i {
                        slope[j][lane] += entry * c[i][lane];
                    }
                }
                self.hessian[j][i] = self.hessian[i][j];
            }
        }
        for (lane, problem) in problems.iter().enumerate() {
            if let Some((d, b)) = problem.majoriser {
                for r in 0..K {
                    self.hessian[r][r][lane] += d;
                    slope[r][lane] += d * c[r][lane] - b[r];
                }
            }
        }
        slope
    }
}
