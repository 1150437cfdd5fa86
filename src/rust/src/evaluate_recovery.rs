//! Recovered profiles beside the truth.

use crate::arguments::view;
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::sensing::evaluation::{evaluate, EvaluationParams, SCORES};

/// @noRd
#[extendr]
fn rs_evaluate_recovery(
    truth: RMatrix<f64>,
    recovered: RMatrix<f64>,
    groups: i32,
    most_distances: i32,
    threads: i32,
    progress: Function,
) -> Robj {
    guard(|| {
        let params = EvaluationParams {
            groups: groups.max(0) as usize,
            most_distances: most_distances.max(1) as usize,
            threads: threads.max(0) as usize,
        };
        let (truth, recovered) = (view(&truth), view(&recovered));
        let found = supervise(&progress, |monitor| evaluate(truth, recovered, &params, monitor))?;
        let without = &found.without_group;
        Ok(list!(
            metrics = SCORES.to_vec(),
            scores = found.scores.to_vec(),
            without_group = RMatrix::new_matrix(SCORES.len(), without.len(), |i, j| without[j][i]),
            gene_pearson = found.gene_pearson,
            gene_spearman = found.gene_spearman,
            sample_pearson = found.sample_pearson,
            sample_spearman = found.sample_spearman
        ))
    })
}

extendr_module! {
    mod evaluate_recovery;
    fn rs_evaluate_recovery;
}
