//! The R face of `unalloy-core`: thin functions that borrow R's memory, call
//! the core and hand results back.  One file per verb; no numerics here.

mod arguments;
mod deconvolve_bulk;
mod factorise_variants;
mod guard;
mod interrupt;
mod scan_counts;
mod simulate_bulk;

use extendr_api::prelude::*;

extendr_module! {
    mod unalloy;
    use deconvolve_bulk;
    use factorise_variants;
    use scan_counts;
    use simulate_bulk;
}
