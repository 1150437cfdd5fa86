//! Random numbers of the bootstrap, and seeds of parts.

use crate::bridge::{guard, supervise};
use extendr_api::prelude::*;
use unalloy_core::base::rng::derived_seeds;
use unalloy_core::bootstrap::{donor_uniforms, gene_weights};

/// Weights of genes, n × replicates, columns with mean 1.
/// @noRd
#[extendr]
fn rs_gene_weights(given: List) -> Robj {
    guard(&given, |given| {
        let (n, replicates, seed) =
            (given.count("n")?, given.count("replicates")?, given.seed("seed")?);
        Ok(supervise(&given, |monitor| gene_weights(seed, n, replicates, monitor))?.into())
    })
}

/// Uniform numbers for the weights of donors, n × replicates.
/// @noRd
#[extendr]
fn rs_donor_uniforms(given: List) -> Robj {
    guard(&given, |given| {
        let (n, replicates, seed) =
            (given.count("n")?, given.count("replicates")?, given.seed("seed")?);
        Ok(supervise(&given, |monitor| donor_uniforms(seed, n, replicates, monitor))?.into())
    })
}

/// Seeds for n independent parts of one computation.
/// @noRd
#[extendr]
fn rs_derived_seeds(given: List) -> Robj {
    guard(&given, |given| {
        let seeds = derived_seeds(given.seed("seed")?, given.count("n")?);
        Ok(seeds.into_iter().map(f64::from).collect::<Vec<_>>().into())
    })
}

extendr_module! {
    mod bootstrap;
    fn rs_gene_weights;
    fn rs_donor_uniforms;
    fn rs_derived_seeds;
}
