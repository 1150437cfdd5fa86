//! Stability of subtypes.

use crate::bridge::{answer, guard, supervise};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::subtypes::{split_stability, Stability};

/// Agreement of halves of the samples: clusters × splits × sets of `x`.
/// @noRd
#[extendr]
fn rs_split_stability(given: List) -> Robj {
    guard(&given, |given| {
        let (x, threads) = (given.array2("x")?, given.count("threads")?);
        let settings = Stability {
            dimensions: given.count("dimensions")?,
            clusters: given.numbers("clusters")?.iter().map(|&k| k as usize).collect(),
            splits: given.count("splits")?,
            starts: given.count("starts")?,
            seed: given.seed("seed")?,
        };
        let found = supervise(&given, |monitor| {
            with_threads(threads, || split_stability(x, &settings, monitor))?
        })?;
        Ok(answer!(agreement = found))
    })
}

extendr_module! {
    mod find_subtypes;
    fn rs_split_stability;
}
