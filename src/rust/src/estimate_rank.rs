//! Choice of the number of components.

use crate::bridge::{answer, csc, guard, integers, positions, supervise};
use extendr_api::prelude::*;
use unalloy_core::factorisation::choose::estimate_rank::{
    cross_validate, permuted, CrossValidation,
};
use unalloy_core::factorisation::choose::matching::best_assignment;
use unalloy_core::matrix::MatrixBuf;

/// Errors over held-out entries of `x` at each of `ranks`: a row per fold and rank.
/// Missing entries are NaN.
/// @noRd
#[extendr]
fn rs_cross_validate(given: List) -> Robj {
    guard(&given, |given| {
        let x = given.matrix("x")?;
        let settings = CrossValidation {
            ranks: given.whole_numbers("ranks")?,
            loss: given.choice("loss")?,
            fraction: given.number("fraction")?,
            folds: given.count("folds")?,
            starts: given.count("starts")?,
            seed: given.seed("seed")?,
            max_iter: given.count("max_iter")?,
            tolerance: given.number("tolerance")?,
            threads: given.count("threads")?,
        };
        let scores = supervise(&given, |monitor| cross_validate(x, &settings, monitor))?;
        Ok(answer!(
            fold = positions(scores.iter().map(|s| s.fold))?,
            rank = integers(scores.iter().map(|s| s.rank))?,
            error = scores.iter().map(|s| s.error).collect::<Vec<_>>(),
            entries = scores.iter().map(|s| s.count as f64).collect::<Vec<_>>()
        ))
    })
}

/// Values of `x` permuted within columns: a matrix, or the slots of a `dgCMatrix`.
/// @noRd
#[extendr]
fn rs_permute_columns(given: List) -> Robj {
    guard(&given, |given| {
        let (x, seed) = (given.matrix("x")?, given.seed("seed")?);
        Ok(match supervise(&given, |_| permuted(x, seed))? {
            MatrixBuf::Dense(x) => x.into(),
            MatrixBuf::Sparse(x) => csc(x),
        })
    })
}

/// For each row of a square `similarity`, the column that it is matched with.
/// @noRd
#[extendr]
fn rs_best_assignment(given: List) -> Robj {
    guard(&given, |given| {
        let n = given.array2("similarity")?.nrows();
        positions(best_assignment(given.numbers("similarity")?, n)?)
    })
}

extendr_module! {
    mod estimate_rank;
    fn rs_cross_validate;
    fn rs_permute_columns;
    fn rs_best_assignment;
}
