//! What extendr-ffi lacks of R's interface.

// R's objects are only ever handled by their address.
#![allow(improper_ctypes)]

use extendr_api::SEXP;
use std::os::raw::{c_char, c_int, c_void};

pub type Body = unsafe extern "C-unwind" fn(*mut c_void) -> SEXP;
pub type Handler = unsafe extern "C-unwind" fn(SEXP, *mut c_void) -> SEXP;
pub type Action = unsafe extern "C-unwind" fn(*mut c_void);

// `Rboolean` is an `int` in R 4.x and may be a C `bool` later: of the ones that
// are handed back only the low byte is read.
extern "C-unwind" {
    pub fn R_CheckUserInterrupt();
    pub fn R_ToplevelExec(body: Action, data: *mut c_void) -> c_int;
    pub fn R_tryCatch(
        body: Body,
        body_data: *mut c_void,
        classes: SEXP,
        handler: Handler,
        handler_data: *mut c_void,
        finally: Option<Action>,
        finally_data: *mut c_void,
    ) -> SEXP;
    pub fn Rf_eval(expression: SEXP, environment: SEXP) -> SEXP;
    pub fn Rf_inherits(object: SEXP, class: *const c_char) -> c_int;
    pub fn Rf_lang2(function: SEXP, argument: SEXP) -> SEXP;
    pub fn Rf_mkChar(text: *const c_char) -> SEXP;
    pub fn Rf_mkCharLenCE(text: *const c_char, length: c_int, encoding: c_int) -> SEXP;
    pub fn Rf_ScalarReal(value: f64) -> SEXP;
}

/// The encoding of Rust's text.
pub const CE_UTF8: c_int = 1;
