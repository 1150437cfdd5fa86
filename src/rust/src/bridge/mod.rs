//! What every binding stands on: R's values come in through [`Given`], answers
//! go out as a [`Value`], and nothing is thrown in between.

mod guard;
mod interrupt;
mod problem;
mod r;
mod read;
mod write;

pub use guard::guard;
pub use interrupt::{supervise, supervise_in_part};
pub use problem::Problem;
pub use read::Given;
pub(crate) use write::answer;
pub use write::{array2, csc, integers, positions, stop, Value};

use unalloy_core::CoreError;

/// Why a binding has no answer.
#[derive(Debug)]
pub enum Failure {
    Core(CoreError),
    /// A sparse matrix whose slots contradict each other.
    Malformed(String),
    /// R had no memory left for the answer.
    Memory(String),
    /// R raised an error while the core worked: a time limit.
    Stopped(String),
    /// A defect of the package.
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Failure>;

impl From<CoreError> for Failure {
    fn from(error: CoreError) -> Self {
        Failure::Core(error)
    }
}
