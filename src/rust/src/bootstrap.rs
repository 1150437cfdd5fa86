//! Weights of the bootstrap.

use crate::arguments::r_matrix;
use crate::guard::guard;
use extendr_api::prelude::*;
use unalloy_core::bootstrap::dirichlet_weights;

/// Weights n × replicates, columns with mean 1.
/// @noRd
#[extendr]
fn rs_bootstrap_weights(seed: f64, n: i32, replicates: i32, shape: f64) -> Robj {
    guard(|| {
        let (n, replicates) = (n.max(0) as usize, replicates.max(0) as usize);
        Ok(r_matrix(&dirichlet_weights(seed as u64, n, replicates, shape)?))
    })
}

extendr_module! {
    mod bootstrap;
    fn rs_bootstrap_weights;
}
