//! Inner loops over contiguous coefficient vectors, dispatched at run time to
//! the widest vectors of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Calls `$f::<K, _>` for a rank that is known at compile time, `$f::<0, _>` else.
macro_rules! with_rank {
    ($rank:expr, $f:ident $args:tt) => {
        match $rank {
            1 => $f::<1, _> $args,
            2 => $f::<2, _> $args,
            3 => $f::<3, _> $args,
            4 => $f::<4, _> $args,
            5 => $f::<5, _> $args,
            6 => $f::<6, _> $args,
            7 => $f::<7, _> $args,
            8 => $f::<8, _> $args,
            9 => $f::<9, _> $args,
            10 => $f::<10, _> $args,
            12 => $f::<12, _> $args,
            15 => $f::<15, _> $args,
            16 => $f::<16, _> $args,
            20 => $f::<20, _> $args,
            _ => $f::<0, _> $args,
        }
    };
}

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
    fn with_simd<S: Simd>(self, simd: S) {
        with_rank!(self.out.len(), sum_scaled(simd, self))
    }
}

#[inline(always)]
fn sum_scaled<const K: usize, S: Simd>(_: S, job: AddScaled<'_>) {
    let AddScaled { factor, at, values, out } = job;
    let k = if K > 0 { K } else { out.len() };
    if K > 0 {
        let mut sum = [0.0; K];
        for (&at, &value) in at.iter().zip(values) {
            let from = &factor[at as usize * K..at as usize * K + K];
            for r in 0..K {
                sum[r] = fma::<S>(value, from[r], sum[r]);
            }
        }
        out.copy_from_slice(&sum);
    } else {
        out.fill(0.0);
        for (&at, &value) in at.iter().zip(values) {
            let from = &factor[at as usize * k..at as usize * k + k];
            for (sum, f) in out.iter_mut().zip(from) {
                *sum = fma::<S>(value, *f, *sum);
            }
        }
    }
}

/// a b + c, rounded once where the vectors of the machine can do that.
#[inline(always)]
pub fn fma<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if S::IS_SCALAR {
        a * b + c
    } else {
        a.mul_add(b, c)
    }
}
