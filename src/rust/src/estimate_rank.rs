//! Choice of the number of components.

use crate::arguments::{element, number, values, Values};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::factorisation::choose::estimate_rank::{
    cross_validate, permuted, CrossValidation,
};
use unalloy_core::factorisation::choose::held_out::Loss;
use unalloy_core::factorisation::choose::matching::best_assignment;
use unalloy_core::matrix::MatrixBuf;

/// Errors over held-out entries: a row per fold and rank.  Missing entries are NaN
/// in `x`.
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
        let chosen = CrossValidation {
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
        let x = values(&x)?.of_shape(shape)?;
        let scores = supervise(&progress, |monitor| cross_validate(x, &chosen, monitor))?;
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
        let (shape, entries) = match values(&x)? {
            sparse @ Values::Sparse { starts, .. } => ((rows, starts.len() - 1), sparse),
            dense => ((rows, x.len() / rows.max(1)), dense),
        };
        Ok(match permuted(entries.of_shape(shape)?, seed)? {
            MatrixBuf::Dense(x) => Robj::from(x.into_raw_vec_and_offset().0),
            MatrixBuf::Sparse(x) => {
                list!(rows = x.view().rows(), values = x.view().values()).into()
            }
        })
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
