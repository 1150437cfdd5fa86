//! Latent factors of counts and of values: principal components with a likelihood.

pub mod choose;
pub mod counts;
pub mod counts_model;
pub mod counts_newton;
pub mod dispersion;
pub mod draw;
mod half_step;
mod krylov;
mod likelihood;
pub mod ppca;
pub mod ppca_em;
pub mod predictor;
mod rotate;
mod special;
pub mod start;
pub mod values;
mod vector;
