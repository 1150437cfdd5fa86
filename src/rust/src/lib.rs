//! The R face of `unalloy-core`: thin functions that borrow R's memory, call
//! the core and hand results back.  One file per verb; no numerics here.

mod arguments;
mod bootstrap;
mod cell_type_expression;
mod deconvolve_bulk;
mod diagnose;
mod extract_program;
mod guard;
mod inference;
mod interrupt;
mod nmf;
mod problem;
mod scan_counts;
mod simulate_bulk;

use extendr_api::prelude::*;

extendr_module! {
    mod unalloy;
    use bootstrap;
    use cell_type_expression;
    use deconvolve_bulk;
    use diagnose;
    use extract_program;
    use inference;
    use nmf;
    use scan_counts;
    use simulate_bulk;
}
