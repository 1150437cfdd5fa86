//! The R face of `unalloy-core`: thin functions that borrow R's memory, call
//! the core and hand results back.  One file per verb; no numerics here.

mod arguments;
mod bootstrap;
mod deconvolve_bulk;
mod guard;
mod inference;
mod interrupt;
mod problem;
mod scan_counts;
mod simulate_bulk;

use extendr_api::prelude::*;

extendr_module! {
    mod unalloy;
    use bootstrap;
    use deconvolve_bulk;
    use inference;
    use scan_counts;
    use simulate_bulk;
}
