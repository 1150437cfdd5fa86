//! Choice of the number of components.

use crate::arguments::{element, number, values, Values as CountValues};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::factorisation::held_out::Loss;
use unalloy_core::factorisation::matching::best_assignment;
use unalloy_core::factorisation::rank::{
    cross_validate, permuted_dense, permuted_sparse, Settings,
};
use unalloy_core::factorisation::Values;
use unalloy_core::CoreError;

/// Errors over held-out entries: a row per fold and rank.  Missing entries are NaN
/// in `x` when it is dense.
/// @noRd
#[extendr]
fn rs_cross_validate(
    x: Robj,
    n_rows: i32,
    n_columns: i32,
    ranks: &[i32],
    settings: List,
    progress: Function,
) -> Robj {
    guard(|| {
        let shape = (n_rows.max(0) as usize, n_columns.max(0) as usize);
        let count = |name| number(&settings, name).map(|v| v as usize);
        let squares = element(&settings, "loss").as_str() == Some("frobenius");
        let chosen = Settings {
            ranks: ranks.iter().map(|&k| k.max(0) as usize).collect(),
            loss: if squares { Loss::Squares } else { Loss::KullbackLeibler },
            fraction: number(&settings, "fraction")?,
            folds: count("folds")?,
            starts: count("starts")?,
            seed: number(&settings, "seed")? as i64 as u64,
            max_iter: count("max_iter")?,
            tolerance: number(&settings, "tolerance")?,
            threads: count("threads")?,
        };
        let scores = match values(&x)? {
            CountValues::Double(x) => {
                let known: Vec<f64> = x.iter().map(|&v| if v.is_nan() { 0.0 } else { v }).collect();
                let missing = |i: usize, j: usize| x[j * shape.0 + i].is_nan();
                supervise(&progress, |monitor| {
                    cross_validate(Values::Dense(&known), shape, missing, &chosen, monitor)
                })?
            }
            CountValues::Sparse { starts, rows, values } => supervise(&progress, |monitor| {
                let entries = Values::Sparse { starts, rows, values };
                cross_validate(entries, shape, |_, _| false, &chosen, monitor)
            })?,
            CountValues::Integer(_) => {
                return Err(CoreError::Shape { what: "x (doubles)", expected: 1, found: 0 })
            }
        };
        Ok(list!(
            fold = scores.iter().map(|s| s.fold as i32 + 1).collect::<Vec<_>>(),
            rank = scores.iter().map(|s| s.rank as i32).collect::<Vec<_>>(),
            error = scores.iter().map(|s| s.error).collect::<Vec<_>>(),
            entries = scores.iter().map(|s| s.count as f64).collect::<Vec<_>>()
        ))
    })
}

/// Values permuted within columns: a vector, or a list of rows and values for the
/// slots of a `dgCMatrix`.
/// @noRd
#[extendr]
fn rs_permute_columns(x: Robj, n_rows: i32, seed: f64) -> Robj {
    guard(|| {
        let (rows, seed) = (n_rows.max(0) as usize, seed as i64 as u64);
        match values(&x)? {
            CountValues::Double(x) => Ok(Robj::from(permuted_dense(x, rows, seed))),
            CountValues::Sparse { starts, values, .. } => {
                let (at, values) = permuted_sparse(starts, values, rows, seed);
                Ok(list!(rows = at, values = values).into())
            }
            CountValues::Integer(_) => {
                Err(CoreError::Shape { what: "x (doubles)", expected: 1, found: 0 })
            }
        }
    })
}

/// For each row of a square similarity, the column that it is matched with.
/// @noRd
#[extendr]
fn rs_best_assignment(similarity: RMatrix<f64>) -> Robj {
    guard(|| {
        let columns = best_assignment(similarity.data(), similarity.nrows())?;
        Ok(columns.into_iter().map(|c| c as i32 + 1).collect::<Vec<_>>())
    })
}

extendr_module! {
    mod estimate_rank;
    fn rs_cross_validate;
    fn rs_permute_columns;
    fn rs_best_assignment;
}
