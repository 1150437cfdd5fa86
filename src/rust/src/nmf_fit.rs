//! What is computed from a finished factorisation.

use crate::arguments::{r_array2, values, view};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::factorisation::project::{kullback_leibler, least_squares};

/// Coefficients of new samples on a fixed basis, components x samples.
/// @noRd
#[extendr]
fn rs_nmf_coefficients(
    basis: RMatrix<f64>,
    offset: &[f64],
    data: Robj,
    n_samples: i32,
    loss: &str,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let (n_samples, threads) = (n_samples.max(0) as usize, threads.max(0) as usize);
        let data = values(&data)?.of_shape((basis.nrows(), n_samples))?;
        let basis = view(&basis);
        let coef = supervise(&progress, |monitor| {
            if loss == "kl" {
                kullback_leibler(basis, data, threads, monitor)
            } else {
                least_squares(basis, offset, data, threads, monitor)
            }
        })?;
        Ok(r_array2(&coef))
    })
}

extendr_module! {
    mod nmf_fit;
    fn rs_nmf_coefficients;
}
