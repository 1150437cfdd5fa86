//! Latent factors of counts and of values: principal components with a likelihood.
//!
//! From the ground up; each uses only those before it.  Counts: [`counts`] and
//! [`predictor`] are the data and what is sought; `likelihood` (with `zinb`) gives losses
//! and derivatives of a column, `half_step` the Newton step of one side, `rotate` the
//! equivalent factors of least penalty, [`dispersion`] the negative binomial's θ;
//! [`counts_newton`] alternates, [`counts_model`] starts and stages it, [`choose`] holds
//! molecules out.  Values: [`values`] frees them of covariates, `krylov` finds leading
//! eigenvectors, [`ppca`] is the closed form and [`ppca_em`] fits what is not missing.

pub mod counts;
pub mod predictor;
pub mod special;
mod vector;

mod likelihood;
mod zinb;

mod half_step;
pub mod values;

pub mod dispersion;
mod rotate;

pub mod counts_newton;
pub mod start;

pub mod choose;
pub mod counts_model;
pub mod draw;

mod krylov;
pub mod ppca;
pub mod ppca_em;
