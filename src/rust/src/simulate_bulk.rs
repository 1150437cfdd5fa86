//! Simulated references and bulk samples.

use crate::bridge::{answer, csc, guard, positions, supervise};
use extendr_api::prelude::*;
use unalloy_core::simulation::{simulate, Simulation};

/// @noRd
#[extendr]
fn rs_simulate_bulk(given: List) -> Robj {
    guard(&given, |given| {
        let simulation = Simulation {
            n_genes: given.count("n_genes")?,
            n_types: given.count("n_types")?,
            in_reference: given.flags("in_reference")?,
            n_donors: given.count("n_donors")?,
            cells_per_type: given.count("cells_per_type")?,
            umi_per_cell: given.number("umi_per_cell")?,
            n_samples: given.count("n_samples")?,
            cells_per_sample: given.count("cells_per_sample")?,
            depth: given.number("depth")?,
            proportions: given.numbers("proportions")?.to_vec(),
            marker_fraction: given.number("marker_fraction")?,
            marker_log_fold: given.number("marker_log_fold")?,
            type_sd: given.number("type_sd")?,
            cell_size_sd: given.number("cell_size_sd")?,
            donor_sd: given.number("donor_sd")?,
            platform_sd: given.number("platform_sd")?,
            overdispersion: given.number("overdispersion")?,
            length_exponent: given.number("length_exponent")?,
            seed: given.seed("seed")?,
        };
        let made = supervise(&given, |monitor| simulate(&simulation, monitor))?;
        Ok(answer!(
            reference = csc(made.reference),
            cell_type = positions(made.cell_type)?,
            donor = positions(made.donor)?,
            bulk = made.bulk,
            lengths = made.lengths,
            profiles = made.profiles,
            cell_sizes = made.cell_sizes,
            cell_shares = made.cell_shares,
            mrna_shares = made.mrna_shares,
            platform = made.platform
        ))
    })
}

extendr_module! {
    mod simulate_bulk;
    fn rs_simulate_bulk;
}
