//! The one error type of the crate.
//!
//! R checks what users give and speaks their words; these errors guard the
//! core's own contracts, so their texts name the argument and the value.

use std::fmt;

#[derive(Debug, Clone, PartialEq)]
pub enum CoreError {
    /// An array has another length than the ones it belongs to.
    Shape { what: &'static str, expected: usize, found: usize },
    /// A value lies outside the range that the argument has.
    Argument { name: &'static str, found: f64, expected: &'static str },
    /// No gene of the sample that carries weight has a count above zero.
    EmptySample { sample: usize },
    /// A source that has no expression in any gene that carries weight.
    EmptySource { source: usize },
    /// The thread pool could not be built.
    Threads(String),
    /// The caller asked to stop.
    Interrupted,
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoreError::Shape { what, expected, found } => {
                write!(f, "`{what}` has {found} entries, not {expected}")
            }
            CoreError::Argument { name, found, expected } => {
                write!(f, "`{name}` must be {expected}, not {found}")
            }
            CoreError::EmptySample { sample } => {
                write!(f, "sample {} has no counts in genes that carry weight", sample + 1)
            }
            CoreError::EmptySource { source } => {
                write!(f, "source {} is not expressed in any gene that carries weight", source + 1)
            }
            CoreError::Threads(text) => write!(f, "the thread pool could not be built: {text}"),
            CoreError::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl std::error::Error for CoreError {}

impl CoreError {
    /// The sample that the error is about, counted from 0.
    pub fn sample(&self) -> Option<usize> {
        match self {
            CoreError::EmptySample { sample } => Some(*sample),
            _ => None,
        }
    }

    /// Short machine-readable name: the last part of the R condition's class.
    pub fn kind(&self) -> &'static str {
        match self {
            CoreError::Shape { .. } => "shape",
            CoreError::Argument { .. } => "argument",
            CoreError::EmptySample { .. } => "empty_sample",
            CoreError::EmptySource { .. } => "empty_type",
            CoreError::Threads(_) => "threads",
            CoreError::Interrupted => "interrupted",
        }
    }
}

/// `Err` unless `found == expected`.
pub(crate) fn check_length(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), CoreError> {
    if found == expected {
        Ok(())
    } else {
        Err(CoreError::Shape { what, expected, found })
    }
}

/// `Err` unless the value lies in the range that `accepts` draws.
pub(crate) fn check_value(
    name: &'static str,
    found: f64,
    expected: &'static str,
    accepts: impl Fn(f64) -> bool,
) -> Result<(), CoreError> {
    if accepts(found) {
        Ok(())
    } else {
        Err(CoreError::Argument { name, found, expected })
    }
}
