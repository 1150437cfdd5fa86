//! Dictionaries of gene modules.

use crate::bridge::{answer, csc, guard, integers, supervise, Given, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::sensing::dictionary::{learn, DictionaryParams, HeldOut, Method};

/// @noRd
#[extendr]
fn rs_learn_dictionary(given: List) -> Robj {
    guard(&given, |given| {
        let (profiles, settings) = (given.array2("profiles")?, given.list("settings")?);
        let params = DictionaryParams {
            method: method(&settings)?,
            size: settings.count("size")?,
            sparsity: settings.count("sparsity")?,
            held_out: HeldOut {
                samples: settings.count("held_out_samples")?,
                folds: settings.count("held_out_folds")?,
            },
            seed: settings.seed("seed")?,
            threads: settings.count("threads")?,
        };
        let found = supervise(&given, |monitor| learn(profiles, &params, monitor))?;
        let smaf = match found.smaf {
            None => Value::Null,
            Some(end) => answer!(
                error_bound = end.error_bound,
                sparsity = integers([end.sparsity])?,
                module_size = end.module_size,
                activity_size = end.activity_size,
                genes_beyond_bound = integers([end.genes_beyond_bound])?
            ),
        };
        Ok(answer!(
            activities = csc(found.codes),
            modules = found.atoms,
            residual_variance = found.residual_variance,
            residual = found.residual,
            objective = found.trace,
            stop = found.stop.name(),
            replaced = integers([found.replaced])?,
            dropped = integers([found.dropped])?,
            smaf = smaf
        ))
    })
}

/// The method with what it alone reads.
fn method(settings: &Given<'_>) -> Result<Method> {
    let mut method = settings.choice("method")?;
    match &mut method {
        Method::Svd | Method::SvdK => {}
        Method::Ksvd(own) => {
            own.max_iter = settings.count("max_iter")?;
            own.tolerance = settings.number("tolerance")?;
            own.starts = settings.count("starts")?;
        }
        Method::Smaf(own) => {
            own.max_iter = settings.count("max_iter")?;
            own.tolerance = settings.number("tolerance")?;
            own.error_bound = settings.number("error_bound")?;
            own.min_sparsity = settings.count("min_sparsity")?;
            own.module_lower = settings.number("module_lower")?;
            own.activity_lower = settings.number("activity_lower")?;
        }
        Method::Snmf(own) => {
            own.max_iter = settings.count("max_iter")?;
            own.tolerance = settings.number("tolerance")?;
            own.penalty = settings.number("penalty")?;
        }
    }
    Ok(method)
}

extendr_module! {
    mod learn_dictionary;
    fn rs_learn_dictionary;
}
