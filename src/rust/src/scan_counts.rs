//! What R must know of a count matrix before it is used.

use crate::arguments::{position, values};
use crate::guard::guard;
use extendr_api::prelude::*;

/// @noRd
#[extendr]
fn rs_scan_counts(counts: Robj, n_rows: i32, n_columns: i32) -> Robj {
    guard(|| {
        let shape = (n_rows.max(0) as usize, n_columns.max(0) as usize);
        let scan = values(&counts)?.of_shape(shape)?.scan();
        Ok(list!(
            missing = position(scan.missing),
            infinite = position(scan.infinite),
            negative = position(scan.negative),
            totals = scan.totals,
            max = scan.max,
            integer = scan.integer
        ))
    })
}

extendr_module! {
    mod scan_counts;
    fn rs_scan_counts;
}
