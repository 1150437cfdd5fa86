//! Hands failures to R as values; `call_rs()` turns them into classed errors.
//!
//! Nothing is thrown across Rust frames, destructors run, and messages never
//! reach `Rf_error`, whose first argument is a format string (extendr 0.9.0
//! passes messages there unescaped: a `%s` in one aborts R).

use extendr_api::prelude::*;
use std::panic::{catch_unwind, AssertUnwindSafe};
use unalloy_core::CoreError;

pub fn guard<T: Into<Robj>>(f: impl FnOnce() -> std::result::Result<T, CoreError>) -> Robj {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => value.into(),
        Ok(Err(error)) => failure(error.kind(), &error.to_string(), error.sample()),
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .map(|s| s.to_string())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "unknown panic".into());
            failure("internal", &text, None)
        }
    }
}

fn failure(kind: &str, message: &str, sample: Option<usize>) -> Robj {
    let sample = sample.map_or(Vec::new(), |at| vec![at as i32 + 1]);
    let mut out = list!(kind = kind, message = message, sample = sample);
    out.set_class(&["unalloy_failure"]).expect("a list takes a class");
    out.into()
}
