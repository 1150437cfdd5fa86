//! How many threads are of use.

use crate::bridge::{guard, integers};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::most_threads;

/// @noRd
#[extendr]
fn rs_most_threads(given: List) -> Robj {
    guard(&given, |_| integers([most_threads()]))
}

extendr_module! {
    mod threads;
    fn rs_most_threads;
}
