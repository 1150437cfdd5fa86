//! R's values on their way in: borrowed, never copied, and checked when read.

use super::guard::caught;
use super::{Failure, Result};
use extendr_api::prelude::*;
use extendr_api::SEXP;
use extendr_ffi as ffi;
use ffi::SEXPTYPE;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::str::FromStr;
use unalloy_core::base::numbers::whole;
use unalloy_core::base::rng::seed;
use unalloy_core::matrix::counts::Counts;
use unalloy_core::matrix::{from_columns, from_layers, ArrayView2, ArrayView3, Csc, Matrix};
use unalloy_core::CoreError;

/// A named list of R and everything in it, which R protects for the length of a
/// call and nobody writes to.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    list: SEXP,
    borrowed: PhantomData<&'a List>,
}

impl<'a> Given<'a> {
    pub fn new(list: &'a List) -> Self {
        Given { list: unsafe { list.get() }, borrowed: PhantomData }
    }

    /// The entry of this name, unless there is none or it is NULL.
    fn entry(&self, name: &str) -> Option<Entry<'a>> {
        let mut entries =
            (0..length(self.list)).map(|at| unsafe { ffi::VECTOR_ELT(self.list, at as _) });
        let names = unsafe { ffi::Rf_getAttrib(self.list, ffi::R_NamesSymbol) };
        let at = (0..length(names)).find(|&at| text(names, at) == Some(name))?;
        let object = entries.nth(at)?;
        (kind(object) != SEXPTYPE::NILSXP).then_some(Entry { object, borrowed: PhantomData })
    }

    fn need(&self, name: &'static str) -> Result<Entry<'a>> {
        self.entry(name).ok_or_else(|| Failure::Internal(format!("`{name}` was not handed over")))
    }

    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    pub fn function(&self, name: &str) -> Result<Option<SEXP>> {
        Ok(self.entry(name).map(|entry| entry.object))
    }

    pub fn list(&self, name: &'static str) -> Result<Given<'a>> {
        self.need(name)?.list().ok_or_else(|| unlike(name, "a list"))
    }

    /// The lists in a list.
    pub fn lists(&self, name: &'static str) -> Result<Vec<Given<'a>>> {
        let list = self.list(name)?.list;
        (0..length(list))
            .map(|at| {
                let object = unsafe { ffi::VECTOR_ELT(list, at as _) };
                let entry = Entry { object, borrowed: PhantomData };
                entry.list().ok_or_else(|| unlike(name, "a list of lists"))
            })
            .collect()
    }

    /// The matrices in a list.
    pub fn arrays(&self, name: &'static str) -> Result<Vec<ArrayView2<'a, f64>>> {
        let list = self.list(name)?.list;
        let array = |at| {
            let object = unsafe { ffi::VECTOR_ELT(list, at as _) };
            let entry = Entry { object, borrowed: PhantomData };
            match (entry.slice(SEXPTYPE::REALSXP)?, entry.dim(c"dim")?) {
                (Some(values), Some(&[rows, columns])) => {
                    Ok(from_columns(values, (rows as usize, columns as usize)))
                }
                _ => Err(unlike(name, "a list of matrices")),
            }
        };
        (0..length(list)).map(array).collect()
    }

    pub fn text(&self, name: &'static str) -> Result<&'a str> {
        text(self.need(name)?.object, 0).ok_or_else(|| unlike(name, "a text"))
    }

    /// One of the names that `T` knows.
    pub fn choice<T: FromStr<Err = CoreError>>(&self, name: &'static str) -> Result<T> {
        Ok(self.text(name)?.parse()?)
    }

    pub fn flag(&self, name: &'static str) -> Result<bool> {
        match self.need(name)?.slice::<c_int>(SEXPTYPE::LGLSXP)? {
            Some(&[0]) => Ok(false),
            Some(&[1]) => Ok(true),
            _ => Err(unlike(name, "TRUE or FALSE")),
        }
    }

    pub fn number(&self, name: &'static str) -> Result<f64> {
        let value = self.need(name)?.number()?.ok_or_else(|| unlike(name, "one number"))?;
        if value.is_nan() {
            let expected = "a number";
            return Err(CoreError::Argument { name, found: value, expected }.into());
        }
        Ok(value)
    }

    /// A number; NULL and NA stand for none.
    pub fn optional(&self, name: &'static str) -> Result<Option<f64>> {
        let Some(entry) = self.entry(name) else { return Ok(None) };
        let value = entry.number()?.ok_or_else(|| unlike(name, "one number"))?;
        Ok((!value.is_nan()).then_some(value))
    }

    pub fn count(&self, name: &'static str) -> Result<usize> {
        Ok(whole(name, self.number(name)?)?)
    }

    pub fn seed(&self, name: &'static str) -> Result<u64> {
        Ok(seed(name, self.number(name)?)?)
    }

    /// A seed; NULL and NA stand for none.
    pub fn optional_seed(&self, name: &'static str) -> Result<Option<u64>> {
        Ok(self.optional(name)?.map(|value| seed(name, value)).transpose()?)
    }

    pub fn numbers(&self, name: &'static str) -> Result<&'a [f64]> {
        let entry = self.need(name)?;
        entry.slice(SEXPTYPE::REALSXP)?.ok_or_else(|| unlike(name, "a vector of doubles"))
    }

    pub fn integers(&self, name: &'static str) -> Result<&'a [i32]> {
        let entry = self.need(name)?;
        entry.slice(SEXPTYPE::INTSXP)?.ok_or_else(|| unlike(name, "a vector of integers"))
    }

    pub fn flags(&self, name: &'static str) -> Result<Vec<bool>> {
        let flags = self.need(name)?.slice::<c_int>(SEXPTYPE::LGLSXP)?;
        let flags = flags.ok_or_else(|| unlike(name, "a vector of TRUE and FALSE"))?;
        Ok(flags.iter().map(|&flag| flag == 1).collect())
    }

    pub fn whole_numbers(&self, name: &'static str) -> Result<Vec<usize>> {
        self.integers(name)?.iter().map(|&n| Ok(whole(name, n.into())?)).collect()
    }

    /// Indices that R counts from 1.
    pub fn positions(&self, name: &'static str) -> Result<Vec<usize>> {
        let from_one = |&at: &i32| Ok(whole(name, f64::from(at) - 1.0)?);
        self.integers(name)?.iter().map(from_one).collect()
    }

    pub fn array2(&self, name: &'static str) -> Result<ArrayView2<'a, f64>> {
        let (values, shape) = (self.numbers(name)?, self.shape(name)?);
        Ok(from_columns(values, shape))
    }

    pub fn array3(&self, name: &'static str) -> Result<ArrayView3<'a, f64>> {
        match self.need(name)?.dim(c"dim")? {
            Some(&[a, b, c]) => {
                let size = |n: i32| usize::try_from(n).unwrap_or(0);
                Ok(from_layers(self.numbers(name)?, (size(a), size(b), size(c))))
            }
            _ => Err(unlike(name, "an array with three axes")),
        }
    }

    /// Integers of a matrix, column-major, and its number of rows.
    pub fn integer_matrix(&self, name: &'static str) -> Result<(&'a [i32], usize)> {
        Ok((self.integers(name)?, self.shape(name)?.0))
    }

    /// A matrix of doubles or integers, or a `dgCMatrix`.
    pub fn matrix(&self, name: &'static str) -> Result<Matrix<'a>> {
        let shape = self.shape(name)?;
        Ok(match kind(self.need(name)?.object) {
            SEXPTYPE::REALSXP => Matrix::dense(self.numbers(name)?, shape)?,
            SEXPTYPE::INTSXP => Matrix::whole(self.integers(name)?, shape)?,
            _ => Matrix::Sparse(self.sparse(name)?),
        })
    }

    /// A `dgCMatrix`, which R does not check when slots are set by hand.
    pub fn sparse(&self, name: &'static str) -> Result<Csc<'a>> {
        let (entry, (rows, columns)) = (self.need(name)?, self.shape(name)?);
        let wrong = || Failure::Malformed("a slot is of another type".into());
        let starts = entry.slot(c"p").slice(SEXPTYPE::INTSXP)?.ok_or_else(wrong)?;
        let places = entry.slot(c"i").slice(SEXPTYPE::INTSXP)?.ok_or_else(wrong)?;
        let values = entry.slot(c"x").slice(SEXPTYPE::REALSXP)?.ok_or_else(wrong)?;
        let sparse = Csc::new(rows, starts, places, values)
            .map_err(|error| Failure::Malformed(error.to_string()))?;
        match sparse.n_columns() == columns {
            true => Ok(sparse),
            false => Err(Failure::Malformed("the number of columns is another one".into())),
        }
    }

    fn shape(&self, name: &'static str) -> Result<(usize, usize)> {
        let entry = self.need(name)?;
        // 25, an S4 object, has two names, of which older R knows one
        let dim = if kind(entry.object) as u32 == 25 { c"Dim" } else { c"dim" };
        match entry.dim(dim)? {
            Some(&[rows, columns]) if rows >= 0 && columns >= 0 => {
                Ok((rows as usize, columns as usize))
            }
            _ => Err(unlike(name, "a matrix")),
        }
    }

    /// Counts whose row `r` stands for gene `gene_of_row[r]`.
    pub fn counts<'b>(
        &self,
        name: &'static str,
        gene_of_row: &'b [i32],
        n_genes: usize,
    ) -> Result<Counts<'b>>
    where
        'a: 'b,
    {
        Ok(Counts::new(self.matrix(name)?, gene_of_row, n_genes)?)
    }
}

/// What the R side of the package never sends.
fn unlike(name: &str, expected: &str) -> Failure {
    Failure::Internal(format!("`{name}` is not {expected}"))
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    object: SEXP,
    borrowed: PhantomData<&'a List>,
}

/// Types whose vectors R lays out as ours.
trait Element {}
impl Element for f64 {}
impl Element for i32 {}

impl<'a> Entry<'a> {
    fn list(self) -> Option<Given<'a>> {
        (kind(self.object) == SEXPTYPE::VECSXP)
            .then_some(Given { list: self.object, borrowed: PhantomData })
    }

    /// An attribute, or a slot of an S4 object.
    fn slot(self, name: &CStr) -> Entry<'a> {
        let object = unsafe { ffi::Rf_getAttrib(self.object, ffi::Rf_install(name.as_ptr())) };
        Entry { object, ..self }
    }

    fn dim(self, attribute: &CStr) -> Result<Option<&'a [i32]>> {
        self.slot(attribute).slice(SEXPTYPE::INTSXP)
    }

    fn number(self) -> Result<Option<f64>> {
        Ok(match kind(self.object) {
            SEXPTYPE::REALSXP => match self.slice::<f64>(SEXPTYPE::REALSXP)? {
                Some(&[value]) => Some(value),
                _ => None,
            },
            SEXPTYPE::INTSXP => match self.slice::<i32>(SEXPTYPE::INTSXP)? {
                Some(&[i32::MIN]) => Some(f64::NAN),
                Some(&[value]) => Some(value.into()),
                _ => None,
            },
            SEXPTYPE::LGLSXP if length(self.object) == 1 => Some(f64::NAN),
            _ => None,
        })
    }

    /// The elements of a vector of this kind, `None` for another.
    ///
    /// Some vectors of R exist as a rule only (`1:n`): R then makes their
    /// elements, which may fail.
    fn slice<T: Element>(self, expected: SEXPTYPE) -> Result<Option<&'a [T]>> {
        if kind(self.object) != expected {
            return Ok(None);
        }
        if length(self.object) == 0 {
            return Ok(Some(&[]));
        }
        let mut at: *const c_void = unsafe { ffi::DATAPTR_OR_NULL(self.object) };
        if at.is_null() {
            let mut made = || unsafe {
                at = ffi::DATAPTR_RO(self.object);
                ffi::R_NilValue
            };
            // SAFETY: the main thread, and the body owns nothing.
            unsafe { caught(&mut made) }
                .map_err(|_| Failure::Memory("a vector was not to be had".into()))?;
        }
        // SAFETY: R protects the vector for the length of the call, and the kind
        // says how its elements are laid out.
        Ok(Some(unsafe { std::slice::from_raw_parts(at.cast(), length(self.object)) }))
    }
}

fn kind(object: SEXP) -> SEXPTYPE {
    unsafe { ffi::TYPEOF(object) }
}

fn length(object: SEXP) -> usize {
    unsafe { ffi::Rf_xlength(object) as usize }
}

/// An element of a character vector; R's names are UTF-8 or ASCII here.
fn text<'a>(texts: SEXP, at: usize) -> Option<&'a str> {
    if kind(texts) != SEXPTYPE::STRSXP || at >= length(texts) {
        return None;
    }
    unsafe { CStr::from_ptr(ffi::R_CHAR(ffi::STRING_ELT(texts, at as _))) }.to_str().ok()
}
