//! The R face of `unalloy-core`: thin functions that borrow R's memory, call
//! the core and hand results back.  One file per verb; no numerics here.

mod arguments;
mod deconvolve_bulk;
mod evaluate_recovery;
mod guard;
mod interrupt;
mod learn_dictionary;
mod measurement_matrix;
mod nmf;
mod recover;
mod scan_counts;
mod simulate_bulk;

use extendr_api::prelude::*;

extendr_module! {
    mod unalloy;
    use deconvolve_bulk;
    use evaluate_recovery;
    use learn_dictionary;
    use measurement_matrix;
    use recover;
    use nmf;
    use scan_counts;
    use simulate_bulk;
}
