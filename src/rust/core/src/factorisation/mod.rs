//! Non-negative matrix factorisation X ≈ W H: features × samples into a basis
//! (features × rank) and coefficients (rank × samples).
//!
//! * [`fit`] factorises from many starts; [`settings`] says how, [`model`] which
//!   loss stands behind a setting.
//! * [`alternate`] is the outer loop of every factorisation; [`frobenius`], [`kl`],
//!   [`multiplicative`] and [`weighted`] are the losses that it minimises, under the
//!   penalties and bounds of [`penalty`].
//! * [`project`] finds coefficients on a basis that is given.
//! * [`choose`] compares runs and ranks.
//! * [`integrative`] and [`variants`] are models of their own.

pub mod alternate;
mod arrange;
pub mod data;
pub mod init;
pub mod penalty;
pub mod weights;

pub mod frobenius;
pub mod kl;
pub mod multiplicative;
pub mod weighted;

pub mod fit;
mod model;
pub mod settings;

pub mod choose;
pub mod integrative;
pub mod project;
pub mod variants;

pub use alternate::{Model, Outcome, Pair, Rules};
pub use data::{Data, Side};
pub use fit::{fit, Fit};
pub use settings::{Algorithm, Settings};
pub use weights::Weights;
