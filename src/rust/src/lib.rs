//! The R face of `unalloy-core`: thin functions that borrow R's memory, call
//! the core and hand results back.  One file per verb; no numerics here.

mod arguments;
mod consensus;
mod consensus_programs;
mod deconvolve_bulk;
mod estimate_rank;
mod factorise_integrative;
mod factorise_variants;
mod guard;
mod interrupt;
mod nmf;
mod nmf_fit;
mod scan_counts;
mod simulate_bulk;

use extendr_api::prelude::*;

extendr_module! {
    mod unalloy;
    use consensus;
    use consensus_programs;
    use deconvolve_bulk;
    use estimate_rank;
    use factorise_integrative;
    use factorise_variants;
    use nmf;
    use nmf_fit;
    use scan_counts;
    use simulate_bulk;
}
