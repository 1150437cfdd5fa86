//! Answers on their way to R.
//!
//! An answer is described first and allocated last, in one call that R may jump
//! out of: it holds nothing of Rust, so that R's "cannot allocate vector" is a
//! failure like every other and leaks nothing.  Numbers are written where R
//! holds them, without a copy in between.

use super::guard::{caught, Jump};
use super::{r, Failure, Result};
use extendr_api::prelude::*;
use extendr_api::SEXP;
use extendr_ffi as ffi;
use ffi::SEXPTYPE;
use std::borrow::Cow;
use std::os::raw::c_int;
use unalloy_core::base::convergence::Stop;
use unalloy_core::matrix::{from_columns_mut, Array2, Array3, CscBuf};
use unalloy_core::CoreError;

type Fill<'a> = Box<dyn FnOnce(&mut [f64]) -> Result<()> + 'a>;

/// An R object to be made; an empty `dim` is a plain vector.
pub enum Value<'a> {
    Null,
    Flags { dim: Vec<usize>, values: Vec<bool> },
    Integers { dim: Vec<usize>, values: Vec<i32> },
    Numbers { dim: Vec<usize>, length: usize, fill: Fill<'a> },
    Texts(Vec<Cow<'static, str>>),
    List(Vec<(&'static str, Value<'a>)>),
}

/// A named list.
macro_rules! answer {
    ($($name:ident = $value:expr),+ $(,)?) => {
        $crate::bridge::Value::List(vec![
            $((stringify!($name), $crate::bridge::Value::from($value))),+
        ])
    };
}
pub(crate) use answer;

/// A matrix by its entries.
pub fn array2<'a>(
    (rows, columns): (usize, usize),
    entry: impl Fn(usize, usize) -> f64 + 'a,
) -> Value<'a> {
    Value::filled(vec![rows, columns], move |out| {
        for (j, column) in out.chunks_exact_mut(rows.max(1)).enumerate() {
            column.iter_mut().enumerate().for_each(|(i, x)| *x = entry(i, j));
        }
        Ok(())
    })
}

/// The slots p, i and x of a `dgCMatrix`.
pub fn csc(matrix: CscBuf) -> Value<'static> {
    let (starts, rows, values) = matrix.into_slots();
    answer!(p = starts, i = rows, x = values)
}

/// Why a run of a factorisation stopped, as `runs$reason` tells it.
pub fn stop(stop: Stop) -> &'static str {
    match stop {
        Stop::Converged => "tolerance",
        Stop::MaxIterations => "iterations",
        other => other.name(),
    }
}

/// Whole numbers as R's integers.
pub fn integers(of: impl IntoIterator<Item = usize>) -> Result<Value<'static>> {
    let values = of.into_iter().map(|value| {
        i32::try_from(value).map_err(|_| CoreError::Argument {
            name: "an integer of the answer",
            found: value as f64,
            expected: "below 2^31",
        })
    });
    Ok(values.collect::<std::result::Result<Vec<_>, _>>()?.into())
}

/// Indices as R counts them, from 1.
pub fn positions(of: impl IntoIterator<Item = usize>) -> Result<Value<'static>> {
    integers(of.into_iter().map(|index| index + 1))
}

impl<'a> Value<'a> {
    /// Numbers that `fill` writes, column by column.
    pub fn filled(dim: Vec<usize>, fill: impl FnOnce(&mut [f64]) -> Result<()> + 'a) -> Self {
        let length = dim.iter().product();
        Value::Numbers { dim, length, fill: Box::new(fill) }
    }

    /// The same values with other dimensions.
    pub fn shaped(mut self, to: &[usize]) -> Self {
        match &mut self {
            Value::Flags { dim, .. } | Value::Integers { dim, .. } | Value::Numbers { dim, .. } => {
                *dim = to.to_vec();
            }
            Value::Null | Value::Texts(_) | Value::List(_) => {}
        }
        self
    }

    pub fn write(self) -> Result<Robj> {
        // SAFETY: the main thread; `allocated` and the frames it calls own
        // nothing.  R protects what it returns once an `Robj` holds it, and
        // allocates nothing before that.
        let object = match unsafe { caught(&mut || allocated(&self)) } {
            Ok(object) => unsafe { Robj::from_sexp(object) },
            Err(Jump::Error(message)) => return Err(Failure::Memory(message)),
            Err(Jump::Interrupt) => return Err(CoreError::Interrupted.into()),
        };
        self.fill(unsafe { object.get() })?;
        Ok(object)
    }

    /// Writes the numbers, outside of anything that R could jump out of.
    fn fill(self, object: SEXP) -> Result<()> {
        match self {
            // SAFETY: a vector of this length that nobody else knows of.
            Value::Numbers { length, fill, .. } if length > 0 => {
                fill(unsafe { std::slice::from_raw_parts_mut(ffi::REAL(object), length) })
            }
            Value::List(entries) => entries
                .into_iter()
                .enumerate()
                .try_for_each(|(at, (_, value))| value.fill(unsafe { element(object, at) })),
            _ => Ok(()),
        }
    }
}

unsafe fn element(list: SEXP, at: usize) -> SEXP {
    ffi::VECTOR_ELT(list, at as ffi::R_xlen_t)
}

/// The object, with every number still to be written.  May jump.
fn allocated(value: &Value<'_>) -> SEXP {
    unsafe {
        let vector = |kind, length: usize| {
            ffi::Rf_protect(ffi::Rf_allocVector(kind, length as ffi::R_xlen_t))
        };
        let object = match value {
            Value::Null => return ffi::R_NilValue,
            Value::Flags { dim, values } => {
                let object = vector(SEXPTYPE::LGLSXP, values.len());
                for (at, &flag) in values.iter().enumerate() {
                    *ffi::LOGICAL(object).add(at) = c_int::from(flag);
                }
                set_dim(object, dim);
                object
            }
            Value::Integers { dim, values } => {
                let object = vector(SEXPTYPE::INTSXP, values.len());
                ffi::INTEGER(object).copy_from_nonoverlapping(values.as_ptr(), values.len());
                set_dim(object, dim);
                object
            }
            Value::Numbers { dim, length, .. } => {
                let object = vector(SEXPTYPE::REALSXP, *length);
                set_dim(object, dim);
                object
            }
            Value::Texts(texts) => {
                let object = vector(SEXPTYPE::STRSXP, texts.len());
                for (at, text) in texts.iter().enumerate() {
                    ffi::SET_STRING_ELT(object, at as ffi::R_xlen_t, characters(text));
                }
                object
            }
            Value::List(entries) => {
                let object = vector(SEXPTYPE::VECSXP, entries.len());
                for (at, (_, value)) in entries.iter().enumerate() {
                    ffi::SET_VECTOR_ELT(object, at as ffi::R_xlen_t, allocated(value));
                }
                if entries.iter().any(|(name, _)| !name.is_empty()) {
                    let names = vector(SEXPTYPE::STRSXP, entries.len());
                    for (at, (name, _)) in entries.iter().enumerate() {
                        ffi::SET_STRING_ELT(names, at as ffi::R_xlen_t, characters(name));
                    }
                    ffi::Rf_setAttrib(object, ffi::R_NamesSymbol, names);
                    ffi::Rf_unprotect(1);
                }
                object
            }
        };
        ffi::Rf_unprotect(1);
        object
    }
}

unsafe fn characters(text: &str) -> SEXP {
    r::Rf_mkCharLenCE(text.as_ptr().cast(), text.len() as c_int, r::CE_UTF8)
}

/// R refuses, by a jump, dimensions that do not fit the length.
unsafe fn set_dim(object: SEXP, dim: &[usize]) {
    if dim.is_empty() {
        return;
    }
    let sizes = ffi::Rf_protect(ffi::Rf_allocVector(SEXPTYPE::INTSXP, dim.len() as ffi::R_xlen_t));
    for (at, &size) in dim.iter().enumerate() {
        *ffi::INTEGER(sizes).add(at) = i32::try_from(size).unwrap_or(-1);
    }
    ffi::Rf_setAttrib(object, ffi::R_DimSymbol, sizes);
    ffi::Rf_unprotect(1);
}

impl From<Vec<f64>> for Value<'_> {
    fn from(values: Vec<f64>) -> Self {
        let length = values.len();
        let fill = Box::new(move |out: &mut [f64]| {
            out.copy_from_slice(&values);
            Ok(())
        });
        Value::Numbers { dim: Vec::new(), length, fill }
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        vec![value].into()
    }
}

impl From<Array2<f64>> for Value<'_> {
    fn from(x: Array2<f64>) -> Self {
        let shape = x.dim();
        Value::filled(vec![shape.0, shape.1], move |out| {
            from_columns_mut(out, shape).assign(&x);
            Ok(())
        })
    }
}

impl From<Array3<f64>> for Value<'_> {
    fn from(x: Array3<f64>) -> Self {
        let dim = x.shape().to_vec();
        Value::filled(dim, move |out| {
            // the first axis runs first
            out.iter_mut().zip(x.t()).for_each(|(out, &x)| *out = x);
            Ok(())
        })
    }
}

impl From<Array2<bool>> for Value<'_> {
    fn from(x: Array2<bool>) -> Self {
        let dim = x.shape().to_vec();
        Value::Flags { dim, values: x.t().iter().copied().collect() }
    }
}

impl From<Vec<i32>> for Value<'_> {
    fn from(values: Vec<i32>) -> Self {
        Value::Integers { dim: Vec::new(), values }
    }
}

impl From<Vec<bool>> for Value<'_> {
    fn from(flags: Vec<bool>) -> Self {
        Value::Flags { dim: Vec::new(), values: flags }
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        vec![flag].into()
    }
}

impl From<Vec<&'static str>> for Value<'_> {
    fn from(texts: Vec<&'static str>) -> Self {
        Value::Texts(texts.into_iter().map(Cow::Borrowed).collect())
    }
}

impl From<&'static str> for Value<'_> {
    fn from(text: &'static str) -> Self {
        vec![text].into()
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::Texts(vec![text.into()])
    }
}

/// A list without names.
impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(values: Vec<Value<'a>>) -> Self {
        Value::List(values.into_iter().map(|value| ("", value)).collect())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
