//! Small positive definite systems, one per gene, eight genes at a time in the lanes of
//! vectors.  Triangles are packed: j ≤ i at i (i + 1) / 2 + j.

use crate::base::simd::{fma, LANES};
use crate::matrix::{Array2, ArrayView2};
use pulp::{Arch, Simd, WithSimd};

type Lane = [f64; LANES];

/// The entries of a column-major matrix.
pub(super) fn entries(matrix: &Array2<f64>) -> &[f64] {
    matrix.as_slice_memory_order().expect("columns one behind the other")
}

pub(super) fn entries_mut(matrix: &mut Array2<f64>) -> &mut [f64] {
    matrix.as_slice_memory_order_mut().expect("columns one behind the other")
}

/// What a posterior is found from.  Matrices have `rows` rows, of which the first
/// `n_genes` are in use, and a column per source or per pair of sources.
pub(super) struct Systems<'a> {
    pub n_genes: usize,
    pub n_sources: usize,
    pub rows: usize,
    /// Σ_s e eᵀ / T_s.
    pub precision: &'a [f64],
    /// Σ_s e (k_s − eᵀm) / T_s.
    pub pull: &'a [f64],
    pub profile: &'a [f64],
    pub centre: &'a [f64],
    pub counting: &'a [f64],
    pub between: ArrayView2<'a, f64>,
    pub donors: &'a [f64],
    pub tau2: f64,
    pub mean: &'a mut [f64],
    pub covariance: &'a mut [f64],
}

impl Systems<'_> {
    pub fn solve(&mut self) {
        Arch::new().dispatch(Solve(self));
    }
}

struct Solve<'a, 'b>(&'a mut Systems<'b>);

impl WithSimd for Solve<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let systems = self.0;
        let m = systems.n_sources;
        let mut work = Work {
            triangle: vec![[0.0; LANES]; m * (m + 1) / 2],
            inverse: vec![[0.0; LANES]; m * (m + 1) / 2],
            scale: vec![[0.0; LANES]; m],
            vector: vec![[0.0; LANES]; m],
            reciprocal: vec![[0.0; LANES]; m],
        };
        for first in (0..systems.n_genes).step_by(LANES) {
            eight::<S>(systems, first, &mut work);
        }
    }
}

struct Work {
    /// P, then its factor.
    triangle: Vec<Lane>,
    /// The inverse of the factor.
    inverse: Vec<Lane>,
    /// √ν.
    scale: Vec<Lane>,
    vector: Vec<Lane>,
    /// 1 over the diagonal of the factor.
    reciprocal: Vec<Lane>,
}

/// Where a packed triangle has the entry j ≤ i.
#[inline(always)]
pub(super) fn at(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

#[inline(always)]
fn map(mut f: impl FnMut(usize) -> f64) -> Lane {
    let mut out = [0.0; LANES];
    for (lane, out) in out.iter_mut().enumerate() {
        *out = f(lane);
    }
    out
}

/// start − Σ_k a_k b_k.
#[inline(always)]
fn less_products<S: Simd>(start: Lane, a: &[Lane], b: &[Lane]) -> Lane {
    let mut sum = start;
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sum[lane] = fma::<S>(-a[lane], b[lane], sum[lane]);
        }
    }
    sum
}

/// x̂ and its covariance of genes `first`, `first + 1`, ...: in units of √ν,
/// P = I − w wᵀ τ²/(1 + τ² |w|²) + Σ_s u uᵀ/T, w = p/√ν, u = e √ν.
#[inline(always)]
fn eight<S: Simd>(systems: &mut Systems<'_>, first: usize, work: &mut Work) {
    let (m, rows) = (systems.n_sources, systems.rows);
    let used = (systems.n_genes - first).min(LANES);
    // lanes without a gene repeat the last
    let gene = |lane: usize| first + lane.min(used - 1);
    let load = |from: &[f64], column: usize| map(|lane| from[column * rows + gene(lane)]);
    let Work { triangle, inverse, scale, vector, reciprocal } = work;
    let mut length = [0.0; LANES];
    for j in 0..m {
        let counting = load(systems.counting, j);
        let donors = systems.donors[j];
        let between = map(|lane| systems.between[(gene(lane), j)]);
        scale[j] = map(|lane| (counting[lane] + between[lane] / donors).sqrt());
        let profile = load(systems.profile, j);
        vector[j] = map(|lane| profile[lane] / scale[j][lane]);
        length = map(|lane| fma::<S>(vector[j][lane], vector[j][lane], length[lane]));
    }
    let tau2 = systems.tau2;
    let shared = map(|lane| tau2 / (1.0 + tau2 * length[lane]));
    for i in 0..m {
        for j in 0..=i {
            let raw = load(systems.precision, at(i, j));
            let diagonal = if i == j { 1.0 } else { 0.0 };
            triangle[at(i, j)] = map(|lane| {
                let own = diagonal - shared[lane] * vector[i][lane] * vector[j][lane];
                fma::<S>(raw[lane], scale[i][lane] * scale[j][lane], own)
            });
        }
    }
    // Cholesky, row by row; a pivot is never below what rounding leaves of its entry
    let least = f64::EPSILON * m as f64;
    for i in 0..m {
        let (above, row) = triangle.split_at_mut(at(i, 0));
        for j in 0..i {
            let sum = less_products::<S>(row[j], &row[..j], &above[at(j, 0)..at(j, j)]);
            row[j] = map(|lane| sum[lane] * reciprocal[j][lane]);
        }
        let entry = row[i];
        let pivot = less_products::<S>(entry, &row[..i], &row[..i]);
        let pivot = map(|lane| {
            let floor = least * entry[lane].max(f64::MIN_POSITIVE);
            pivot[lane].max(floor).sqrt()
        });
        reciprocal[i] = map(|lane| 1.0 / pivot[lane]);
    }
    // L⁻¹, its columns one behind the other: column j has the entries k ≥ j
    let column = |j: usize| j * (2 * m + 1 - j) / 2;
    for j in 0..m {
        let from = column(j);
        inverse[from] = reciprocal[j];
        for i in j + 1..m {
            let known = &inverse[from..from + i - j];
            let sum = less_products::<S>([0.0; LANES], &triangle[at(i, j)..at(i, i)], known);
            inverse[from + i - j] = map(|lane| sum[lane] * reciprocal[i][lane]);
        }
    }
    // z = L⁻ᵀ L⁻¹ b; x̂ = m + z √ν
    for j in 0..m {
        let pull = load(systems.pull, j);
        vector[j] = map(|lane| pull[lane] * scale[j][lane]);
    }
    for i in 0..m {
        let sum = less_products::<S>(vector[i], &triangle[at(i, 0)..at(i, i)], &vector[..i]);
        vector[i] = map(|lane| sum[lane] * reciprocal[i][lane]);
    }
    for j in 0..m {
        let own = &inverse[column(j)..column(j) + m - j];
        let sum = less_products::<S>([0.0; LANES], own, &vector[j..]);
        let centre = load(systems.centre, j);
        for lane in 0..used {
            systems.mean[j * rows + first + lane] =
                fma::<S>(-sum[lane], scale[j][lane], centre[lane]);
        }
    }
    for i in 0..m {
        let of_row = &inverse[column(i)..column(i) + m - i];
        for j in 0..=i {
            let of_column = &inverse[column(j) + i - j..column(j) + m - j];
            let sum = less_products::<S>([0.0; LANES], of_row, of_column);
            for lane in 0..used {
                systems.covariance[at(i, j) * rows + first + lane] =
                    -sum[lane] * scale[i][lane] * scale[j][lane];
            }
        }
    }
}
