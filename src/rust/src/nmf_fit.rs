//! What is computed from a finished factorisation.

use crate::bridge::{guard, supervise};
use extendr_api::prelude::*;
use unalloy_core::factorisation::choose::held_out::Loss;
use unalloy_core::factorisation::project::{kullback_leibler, least_squares};

/// Coefficients of the columns of `data` on a fixed `basis`, components x samples.
/// @noRd
#[extendr]
fn rs_nmf_coefficients(given: List) -> Robj {
    guard(&given, |given| {
        let (basis, data) = (given.array2("basis")?, given.matrix("data")?);
        let (offset, threads) = (given.numbers("offset")?, given.count("threads")?);
        let loss = given.choice("loss")?;
        let coef = supervise(&given, |monitor| match loss {
            Loss::KullbackLeibler => kullback_leibler(basis, data, threads, monitor),
            Loss::Squares => least_squares(basis, offset, data, threads, monitor),
        })?;
        Ok(coef.into())
    })
}

extendr_module! {
    mod nmf_fit;
    fn rs_nmf_coefficients;
}
