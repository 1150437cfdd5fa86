//! Inner loops over contiguous coefficient vectors, dispatched at run time to
//! the widest vectors of the machine.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};

/// Calls `$f::<K>` for a rank that is known at compile time, `$f::<0>` else.
macro_rules! with_rank {
    ($rank:expr, $f:ident $args:tt) => {
        match $rank {
            1 => $f::<1> $args,
            2 => $f::<2> $args,
            3 => $f::<3> $args,
            4 => $f::<4> $args,
            5 => $f::<5> $args,
            6 => $f::<6> $args,
            7 => $f::<7> $args,
            8 => $f::<8> $args,
            9 => $f::<9> $args,
            10 => $f::<10> $args,
            12 => $f::<12> $args,
            15 => $f::<15> $args,
            16 => $f::<16> $args,
            20 => $f::<20> $args,
            _ => $f::<0> $args,
        }
    };
}
pub(crate) use with_rank;

/// out = Σ_p values[p] · factor[:, at[p]], for a factor of out.len() rows.
pub fn add_scaled(factor: &[f64], at: &[i32], values: &[f64], out: &mut [f64]) {
    Arch::new().dispatch(AddScaled { factor, at, values, out })
}

struct AddScaled<'a> {
    factor: &'a [f64],
    at: &'a [i32],
    values: &'a [f64],
    out: &'a mut [f64],
}

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        with_rank!(self.out.len(), sum_scaled(self))
    }
}

#[inline(always)]
fn sum_scaled<const K: usize>(job: AddScaled<'_>) {
    let AddScaled { factor, at, values, out } = job;
    let k = if K > 0 { K } else { out.len() };
    if K > 0 {
        let mut sum = [0.0; K];
        for (&at, &value) in at.iter().zip(values) {
            let from = &factor[at as usize * K..at as usize * K + K];
            for r in 0..K {
                sum[r] += value * from[r];
            }
        }
        out.copy_from_slice(&sum);
    } else {
        out.fill(0.0);
        for (&at, &value) in at.iter().zip(values) {
            let from = &factor[at as usize * k..at as usize * k + k];
            for (sum, &f) in out.iter_mut().zip(from) {
                *sum += value * f;
            }
        }
    }
}

/// F Fᵀ of a rank × lines block.
pub fn gram_into(factor: &[f64], rank: usize, gram: &mut [f64]) {
    let factor = MatRef::from_column_major_slice(factor, rank, factor.len() / rank);
    let gram = MatMut::from_column_major_slice_mut(gram, rank, rank);
    matmul(gram, Accum::Replace, factor, factor.transpose(), 1.0, Par::Seq);
}

#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
