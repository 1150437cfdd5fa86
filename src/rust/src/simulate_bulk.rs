//! Simulated references and bulk samples.

use crate::arguments::{number, r_array2};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::simulation::{simulate, Simulation};

/// @noRd
#[extendr]
fn rs_simulate_bulk(
    settings: List,
    in_reference: &[i32],
    proportions: &[f64],
    progress: Function,
) -> Robj {
    guard(|| {
        let get = |name| number(&settings, name);
        let count = |name| number(&settings, name).map(|v| v as usize);
        let simulation = Simulation {
            n_genes: count("n_genes")?,
            n_types: count("n_types")?,
            in_reference: in_reference.iter().map(|&k| k != 0).collect(),
            n_donors: count("n_donors")?,
            cells_per_type: count("cells_per_type")?,
            umi_per_cell: get("umi_per_cell")?,
            n_samples: count("n_samples")?,
            cells_per_sample: count("cells_per_sample")?,
            depth: get("depth")?,
            proportions: proportions.to_vec(),
            marker_fraction: get("marker_fraction")?,
            marker_log_fold: get("marker_log_fold")?,
            type_sd: get("type_sd")?,
            cell_size_sd: get("cell_size_sd")?,
            donor_sd: get("donor_sd")?,
            platform_sd: get("platform_sd")?,
            overdispersion: get("overdispersion")?,
            length_exponent: get("length_exponent")?,
            seed: get("seed")? as i64 as u64,
        };
        let made = supervise(&progress, |monitor| simulate(&simulation, monitor))?;
        let from_one = |of: &[usize]| of.iter().map(|&v| v as i32 + 1).collect::<Vec<_>>();
        let reference = made.reference.view();
        Ok(list!(
            p = reference.starts(),
            i = reference.rows(),
            x = reference.values(),
            cell_type = from_one(&made.cell_type),
            donor = from_one(&made.donor),
            bulk = r_array2(&made.bulk),
            lengths = made.lengths,
            profiles = r_array2(&made.profiles),
            cell_sizes = made.cell_sizes,
            cell_shares = r_array2(&made.cell_shares),
            mrna_shares = r_array2(&made.mrna_shares),
            platform = made.platform
        ))
    })
}

extendr_module! {
    mod simulate_bulk;
    fn rs_simulate_bulk;
}
