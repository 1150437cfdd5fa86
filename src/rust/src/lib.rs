//! The R face of `unalloy-core`: thin functions that borrow R's memory, call
//! the core and hand results back.  One file per verb; no numerics here.  What
//! they share is in `bridge`.
//!
//! Every function takes one named list, in which `progress` may be an R function
//! of the number of units done.

mod bridge;

mod autoencode;
mod bootstrap;
mod cell_type_expression;
mod consensus;
mod consensus_programs;
mod decoder_network;
mod deconvolve_bulk;
mod diagnose;
mod estimate_rank;
mod evaluate_recovery;
mod extract_program;
mod factorise_integrative;
mod factorise_variants;
mod find_subtypes;
mod inference;
mod latent_factors;
mod learn_decoder;
mod learn_dictionary;
mod measurement_matrix;
mod nmf;
mod nmf_fit;
mod recover;
mod scan_counts;
mod simulate_bulk;
mod threads;
mod train_deconvolver;
mod training;

use extendr_api::prelude::*;

extendr_module! {
    mod unalloy;
    use autoencode;
    use bootstrap;
    use cell_type_expression;
    use consensus;
    use consensus_programs;
    use decoder_network;
    use deconvolve_bulk;
    use diagnose;
    use estimate_rank;
    use evaluate_recovery;
    use extract_program;
    use factorise_integrative;
    use factorise_variants;
    use find_subtypes;
    use inference;
    use latent_factors;
    use learn_decoder;
    use learn_dictionary;
    use measurement_matrix;
    use nmf;
    use nmf_fit;
    use recover;
    use scan_counts;
    use simulate_bulk;
    use threads;
    use train_deconvolver;
}
