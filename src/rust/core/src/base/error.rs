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
    /// A name that stands for nothing.
    Name { what: &'static str, found: String, known: &'static [&'static str] },
    /// More memory than there is.
    Memory { what: &'static str, bytes: f64 },
    /// No gene of the sample that carries weight has a count above zero.
    EmptySample { sample: usize },
    /// A source that has no expression in any gene that carries weight.
    EmptySource { source: usize },
    /// The thread pool could not be built.
    Threads(String),
    /// The caller asked to stop.
    Interrupted,
    /// Factors that left the range of numbers.
    Overflow,
    /// The gradients of a training are no numbers.
    Diverged { rate: f64 },
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
            CoreError::Name { what, found, known } => {
                write!(f, "`{what}` must be one of {}, not {found:?}", quoted(known))
            }
            CoreError::Memory { what, bytes } => {
                write!(f, "`{what}` takes {:.1} GB of memory, which is not there", bytes / 1e9)
            }
            CoreError::EmptySample { sample } => {
                write!(f, "sample {} has no counts in genes that carry weight", sample + 1)
            }
            CoreError::EmptySource { source } => {
                write!(f, "source {} is not expressed in any gene that carries weight", source + 1)
            }
            CoreError::Threads(text) => write!(f, "the thread pool could not be built: {text}"),
            CoreError::Interrupted => write!(f, "interrupted"),
            CoreError::Overflow => write!(
                f,
                "the factors left the range of numbers, as where a penalty on one of them lets the \
                 other grow"
            ),
            CoreError::Diverged { rate } => {
                write!(f, "five gradients in a row were no numbers, at a learning rate of {rate:e}")
            }
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
            CoreError::Argument { .. } | CoreError::Name { .. } => "argument",
            CoreError::Memory { .. } => "memory",
            CoreError::EmptySample { .. } => "empty_sample",
            CoreError::EmptySource { .. } => "empty_type",
            CoreError::Threads(_) => "threads",
            CoreError::Interrupted => "interrupted",
            CoreError::Overflow => "scale",
            CoreError::Diverged { .. } => "diverged",
        }
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// `FromStr` of an enum whose values have names: a caller that misspells one is told
/// which there are.
macro_rules! named {
    ($type:ty, $what:literal, $($name:literal => $value:expr),+ $(,)?) => {
        impl std::str::FromStr for $type {
            type Err = $crate::CoreError;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok($value),)+
                    _ => Err($crate::CoreError::Name {
                        what: $what,
                        found: name.into(),
                        known: &[$($name),+],
                    }),
                }
            }
        }
    };
}
pub(crate) use named;

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

/// `Err` unless there is memory for a product of sizes that settings chose: a vector
/// that finds none ends the process.
pub(crate) fn check_memory(what: &'static str, sizes: &[usize]) -> Result<(), CoreError> {
    let bytes = sizes.iter().fold(8.0, |bytes, &size| bytes * size as f64);
    let numbers = sizes.iter().try_fold(1usize, |numbers, &size| numbers.checked_mul(size));
    match numbers.map(|numbers| Vec::<f64>::new().try_reserve_exact(numbers)) {
        Some(Ok(())) => Ok(()),
        _ => Err(CoreError::Memory { what, bytes }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_an_error_that_names_what_asked() {
        assert_eq!(check_memory("n", &[1000, 1000]), Ok(()));
        let error = check_memory("n", &[1 << 40, 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), "memory");
        let text = error.to_string();
        assert_eq!(text, "`n` takes 9223372036.9 GB of memory, which is not there");
        // a product beyond any address
        let error = check_memory("n", &[1 << 40, 1 << 40]).unwrap_err();
        assert_eq!(error.kind(), "memory");
    }

    #[test]
    fn a_name_that_nobody_has_is_told_which_there_are() {
        #[derive(Debug, PartialEq)]
        enum Fruit {
            Apple,
            Pear,
        }
        named!(Fruit, "fruit", "apple" => Fruit::Apple, "pear" => Fruit::Pear);
        assert_eq!("pear".parse(), Ok(Fruit::Pear));
        assert_eq!("apple".parse(), Ok(Fruit::Apple));
        let error = "plum\n".parse::<Fruit>().unwrap_err();
        let text = "`fruit` must be one of \"apple\", \"pear\", not \"plum\\n\"";
        assert_eq!((error.kind(), error.to_string().as_str()), ("argument", text));
    }
}
