//! Dictionaries of gene modules.

use crate::arguments::{element, number, r_array2, values, view, Values};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::matrix::{Csc, CscBuf};
use unalloy_core::sensing::dictionary::{
    learn, DictionaryParams, HeldOut, KsvdParams, Method, SmafParams, SnmfParams,
};
use unalloy_core::CoreError;

/// @noRd
#[extendr]
fn rs_learn_dictionary(profiles: RMatrix<f64>, settings: List, progress: Function) -> Robj {
    guard(|| {
        let get = |name| number(&settings, name);
        let params = DictionaryParams {
            method: method(&settings)?,
            size: get("size")? as usize,
            sparsity: get("sparsity")? as usize,
            held_out: HeldOut {
                samples: get("held_out_samples")? as usize,
                folds: get("held_out_folds")? as usize,
            },
            seed: get("seed")? as u64,
            threads: get("threads")? as usize,
        };
        let profiles = view(&profiles);
        let found = supervise(&progress, |monitor| learn(profiles, &params, monitor))?;
        let smaf: Robj = found.smaf.map_or_else(
            || ().into(),
            |end| {
                list!(
                    error_bound = end.error_bound,
                    sparsity = end.sparsity as i32,
                    module_size = end.module_size,
                    activity_size = end.activity_size,
                    genes_beyond_bound = end.genes_beyond_bound as i32
                )
                .into()
            },
        );
        Ok(list!(
            modules = r_array2(&found.atoms),
            activities = sparse(found.codes.view()),
            residual_variance = found.residual_variance,
            residual = found.residual,
            objective = found.trace,
            stop = found.stop.name(),
            replaced = found.replaced as i32,
            dropped = found.dropped as i32,
            smaf = smaf
        ))
    })
}

fn method(settings: &List) -> std::result::Result<Method, CoreError> {
    let get = |name| number(settings, name);
    let name = element(settings, "method");
    match name.as_str().unwrap_or("") {
        "svd" => Ok(Method::Svd),
        "svd_k" => Ok(Method::SvdK),
        "ksvd" => Ok(Method::Ksvd(KsvdParams {
            max_iter: get("max_iter")? as usize,
            tolerance: get("tolerance")?,
            starts: get("starts")? as usize,
        })),
        "smaf" => Ok(Method::Smaf(SmafParams {
            max_iter: get("max_iter")? as usize,
            tolerance: get("tolerance")?,
            error_bound: get("error_bound")?,
            min_sparsity: get("min_sparsity")? as usize,
            module_lower: get("module_lower")?,
            activity_lower: get("activity_lower")?,
        })),
        "snmf" => Ok(Method::Snmf(SnmfParams {
            max_iter: get("max_iter")? as usize,
            tolerance: get("tolerance")?,
            penalty: get("penalty")?,
        })),
        _ => Err(CoreError::Argument {
            name: "method",
            found: f64::NAN,
            expected: "the name of a method",
        }),
    }
}

/// Activities as p, i and x of a sparse matrix; rows are not in order.
pub fn sparse(codes: Csc<'_>) -> List {
    list!(p = codes.starts(), i = codes.rows(), x = codes.values())
}

/// Activities of `size` modules from the slots of a `dgCMatrix`.
pub fn activities(slots: &Robj, size: usize) -> std::result::Result<CscBuf, CoreError> {
    match values(slots)? {
        Values::Sparse { starts, rows, values } => {
            Ok(Csc::new(size, starts, rows, values)?.to_owned())
        }
        _ => Err(CoreError::Shape { what: "activities (p, i, x)", expected: 3, found: 1 }),
    }
}

extendr_module! {
    mod learn_dictionary;
    fn rs_learn_dictionary;
}
