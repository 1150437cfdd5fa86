//! Nothing is thrown across the border: a panic of Rust becomes a value that
//! `call_rs()` turns into a classed error, and a long jump of R ends in
//! [`caught`], so that no destructor of Rust is passed over.
//!
//! Messages never reach `Rf_error`, whose first argument is a format string
//! (extendr 0.9.0 passes messages there unescaped: a `%s` in one aborts R).

use super::{answer, positions, r, Failure, Given, Result, Value};
use extendr_api::prelude::*;
use extendr_api::SEXP;
use extendr_ffi as ffi;
use std::ffi::CStr;
use std::os::raw::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Runs a binding on what it was given.  Where even the failure finds no memory R
/// gets NULL, which no binding answers.
pub fn guard<'a>(given: &'a List, binding: impl FnOnce(Given<'a>) -> Result<Value<'a>>) -> Robj {
    let run = || binding(Given::new(given))?.write();
    let failure = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(object)) => return object,
        Ok(Err(failure)) => failure,
        Err(payload) => Failure::Internal(
            payload
                .downcast_ref::<&str>()
                .map(|text| text.to_string())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "unknown panic".into()),
        ),
    };
    handed_over(failure).and_then(Value::write).unwrap_or_else(|_| ().into())
}

fn handed_over(failure: Failure) -> Result<Value<'static>> {
    let (kind, message, sample) = match failure {
        Failure::Core(error) => (error.kind(), error.to_string(), error.sample()),
        Failure::Malformed(message) => ("malformed_matrix", message, None),
        Failure::Memory(message) => ("memory", message, None),
        Failure::Stopped(message) => ("stopped", message, None),
        Failure::Internal(message) => ("internal", message, None),
    };
    Ok(answer!(failure = kind, message = message, sample = positions(sample)?))
}

/// How R left what it was asked to do.
pub enum Jump {
    Error(String),
    Interrupt,
}

struct Call<'a> {
    body: &'a mut dyn FnMut() -> SEXP,
    value: SEXP,
    jump: Option<Jump>,
}

/// Runs `body`.  Errors and interrupts are caught by R itself, in silence; what
/// jumps for another reason (the debugger's Q) ends at R's own top level.
///
/// # Safety
/// Main thread only.  A jump passes over the frames of `body` without running
/// destructors, so they must own nothing while they call R.  The value is not
/// protected.
pub unsafe fn caught(body: &mut dyn FnMut() -> SEXP) -> std::result::Result<SEXP, Jump> {
    let mut call = Call { body, value: ffi::R_NilValue, jump: None };
    // zero means that it jumped
    let ended = r::R_ToplevelExec(under_handlers, (&raw mut call).cast()) & 0xff != 0;
    match call.jump {
        None if ended => Ok(call.value),
        None => Err(Jump::Interrupt),
        Some(jump) => Err(jump),
    }
}

unsafe extern "C-unwind" fn under_handlers(data: *mut c_void) {
    let classes = ffi::Rf_protect(ffi::Rf_allocVector(ffi::SEXPTYPE::STRSXP, 2));
    ffi::SET_STRING_ELT(classes, 0, r::Rf_mkChar(c"error".as_ptr()));
    ffi::SET_STRING_ELT(classes, 1, r::Rf_mkChar(c"interrupt".as_ptr()));
    let value = r::R_tryCatch(run, data, classes, handle, data, None, std::ptr::null_mut());
    (*data.cast::<Call>()).value = value;
    ffi::Rf_unprotect(1);
}

unsafe extern "C-unwind" fn run(data: *mut c_void) -> SEXP {
    ((*data.cast::<Call>()).body)()
}

unsafe extern "C-unwind" fn handle(condition: SEXP, data: *mut c_void) -> SEXP {
    let jump = if r::Rf_inherits(condition, c"interrupt".as_ptr()) & 0xff != 0 {
        Jump::Interrupt
    } else {
        Jump::Error(message_of(condition))
    };
    (*data.cast::<Call>()).jump = Some(jump);
    ffi::R_NilValue
}

/// A condition is a list whose first element is its message.
unsafe fn message_of(condition: SEXP) -> String {
    let message = match ffi::TYPEOF(condition) {
        ffi::SEXPTYPE::VECSXP if ffi::Rf_xlength(condition) > 0 => ffi::VECTOR_ELT(condition, 0),
        _ => ffi::R_NilValue,
    };
    match ffi::TYPEOF(message) {
        ffi::SEXPTYPE::STRSXP if ffi::Rf_xlength(message) > 0 => {
            let text = CStr::from_ptr(ffi::R_CHAR(ffi::STRING_ELT(message, 0)));
            text.to_string_lossy().into_owned()
        }
        _ => "an error without a message".into(),
    }
}
