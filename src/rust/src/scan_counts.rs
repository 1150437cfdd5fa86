//! What R must know of a count matrix before it is used.

use crate::arguments;
use crate::guard::guard;
use extendr_api::prelude::*;

/// @noRd
#[extendr]
fn rs_scan_counts(counts: Robj, n_rows: i32, n_columns: i32) -> Robj {
    guard(|| {
        let genes = vec![-1; n_rows.max(0) as usize];
        let scan = arguments::counts(&counts, n_rows, n_columns, &genes, 0)?.scan();
        Ok(list!(
            missing = arguments::position(scan.missing),
            infinite = arguments::position(scan.infinite),
            negative = arguments::position(scan.negative),
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
