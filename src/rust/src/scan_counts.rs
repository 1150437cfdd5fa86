//! What R must know of a count matrix before it is used.

use crate::bridge::{answer, guard, positions, supervise};
use extendr_api::prelude::*;

/// The first entries of `counts` (row and column) that no count matrix may hold,
/// totals of the columns, the largest entry, and whether all are whole numbers.
/// @noRd
#[extendr]
fn rs_scan_counts(given: List) -> Robj {
    guard(&given, |given| {
        let counts = given.matrix("counts")?;
        let scan = supervise(&given, |monitor| counts.scan(monitor))?;
        let place = |at: Option<(usize, usize)>| {
            positions(at.into_iter().flat_map(|(row, column)| [row, column]))
        };
        Ok(answer!(
            missing = place(scan.missing)?,
            infinite = place(scan.infinite)?,
            negative = place(scan.negative)?,
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
