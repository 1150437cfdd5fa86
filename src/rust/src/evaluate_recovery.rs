//! Recovered profiles beside the truth.

use crate::bridge::{answer, guard, supervise, Value};
use extendr_api::prelude::*;
use unalloy_core::sensing::evaluation::{evaluate, EvaluationParams, SCORES};

/// @noRd
#[extendr]
fn rs_evaluate_recovery(given: List) -> Robj {
    guard(&given, |given| {
        let params = EvaluationParams {
            groups: given.count("groups")?,
            most_distances: given.count("most_distances")?,
            threads: given.count("threads")?,
        };
        let (truth, recovered) = (given.array2("truth")?, given.array2("recovered")?);
        let found = supervise(&given, |monitor| evaluate(truth, recovered, &params, monitor))?;
        let groups = [SCORES.len(), found.without_group.len()];
        Ok(answer!(
            metrics = SCORES.to_vec(),
            scores = found.scores.to_vec(),
            without_group = Value::from(found.without_group.concat()).shaped(&groups),
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
