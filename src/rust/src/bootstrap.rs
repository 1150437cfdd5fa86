//! Random numbers of the bootstrap, and seeds of parts.

use crate::arguments::r_array2;
use crate::guard::guard;
use extendr_api::prelude::*;
use unalloy_core::bootstrap::{donor_uniforms, gene_weights};
use unalloy_core::rng::derived_seeds;

/// Weights of genes, n × replicates, columns with mean 1.
/// @noRd
#[extendr]
fn rs_gene_weights(seed: f64, n: i32, replicates: i32) -> Robj {
    guard(|| {
        let (n, replicates) = (n.max(0) as usize, replicates.max(0) as usize);
        Ok(r_array2(&gene_weights(seed as i64 as u64, n, replicates)?))
    })
}

/// Uniform numbers for the weights of donors, n × replicates.
/// @noRd
#[extendr]
fn rs_donor_uniforms(seed: f64, n: i32, replicates: i32) -> Robj {
    guard(|| {
        let (n, replicates) = (n.max(0) as usize, replicates.max(0) as usize);
        Ok(r_array2(&donor_uniforms(seed as i64 as u64, n, replicates)?))
    })
}

/// Seeds for n independent parts of one computation.
/// @noRd
#[extendr]
fn rs_derived_seeds(seed: f64, n: i32) -> Robj {
    guard(|| {
        let seeds = derived_seeds(seed as i64 as u64, n.max(0) as usize);
        Ok(seeds.into_iter().map(f64::from).collect::<Vec<_>>())
    })
}

extendr_module! {
    mod bootstrap;
    fn rs_gene_weights;
    fn rs_donor_uniforms;
    fn rs_derived_seeds;
}
