//! Probabilistic principal components in closed form.
//!
//! x_i ~ N(B c_i + V γ_i + W z_i, σ² I), z_i ~ N(0, I), with covariates c of cells and V of
//! genes.  With S = R Rᵀ / n of the values freed of what covariates explain, eigenvalues
//! λ and vectors U, the maximum of the likelihood is (Tipping and Bishop 1999, eq. 7-8)
//!
//! ```text
//!   σ² = (tr S − Σ_{k≤K} λ_k) / (d − K),   W = U_K (Λ_K − σ² I)^½,   d = genes − rank(V)
//! ```
//!
//! B is least squares, because all cells share one covariance; γ_i has a flat prior: the
//! likelihood is that of the values projected on the complement of V.

use super::krylov::leading;
use super::predictor::Side;
use super::values::{pseudo_inverse, Values};
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::matrix::linalg::{add_product, product};
use crate::matrix::{zeros, Array2, ArrayRef2, Columns};

const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;

/// A fitted model; everything in scaled units.
pub struct Ppca {
    /// Genes × rank.
    pub loadings: Array2<f64>,
    /// Posterior means, cells × rank.
    pub scores: Array2<f64>,
    /// Genes × covariates of cells.
    pub of_cells: Array2<f64>,
    /// Cells × covariates of genes.
    pub of_genes: Array2<f64>,
    pub variance: f64,
    pub log_likelihood: f64,
    /// tr S: the variance of a cell about its expectation without factors.
    pub total: f64,
}

/// # Errors
/// `Argument` for a rank that leaves no dimension to the noise, `Interrupted`.
pub fn closed_form(
    values: &Values<'_>,
    (of_cells, of_genes): (&ArrayRef2<f64>, &ArrayRef2<f64>),
    rank: usize,
    seed: u64,
    monitor: &Monitor<'_>,
) -> Result<Ppca, CoreError> {
    let n = values.cells();
    let dimensions = values.genes() - values.taken(Side::Genes);
    let limit = dimensions.min(n - values.taken(Side::Cells));
    let below = |rank: f64| rank < limit as f64;
    check_value("rank", rank as f64, "below the rank of the data", below)?;
    let (found, vectors) = leading(values, rank, seed, monitor)?;
    let lambda: Vec<f64> = found.iter().map(|v| v / n as f64).collect();
    let total = values.square() / n as f64;
    let rest = (dimensions - rank) as f64;
    let variance = ((total - lambda.iter().sum::<f64>()) / rest).max(0.0);
    let mut loadings = zeros((values.genes(), rank));
    let projected = values.product(Side::Cells, vectors.clone());
    let mut scores = zeros((n, rank));
    for k in 0..rank.min(vectors.ncols()) {
        let size = (lambda[k] - variance).max(0.0).sqrt();
        let column = vectors.col(k);
        let largest = column.iter().fold(0.0, |m: f64, &v| if v.abs() > m.abs() { v } else { m });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        for g in 0..values.genes() {
            loadings[(g, k)] = sign * size * column[g];
        }
        if lambda[k] > 0.0 {
            for i in 0..n {
                scores[(i, k)] = sign * size / lambda[k] * projected[(i, k)];
            }
        }
    }
    let log_determinant = lambda.iter().map(|v| v.ln()).sum::<f64>() + rest * variance.ln();
    let log_likelihood =
        -0.5 * n as f64 * (dimensions as f64 * (1.0 + LN_TWO_PI) + log_determinant);
    let coefficients = values.coefficients(of_cells);
    // γ of what the cells' covariates leave
    let inverse = pseudo_inverse(of_genes);
    let mut own = values.raw(Side::Cells, &inverse.t());
    add_product(&mut own, -1.0, of_cells, &product(&coefficients.t(), &inverse.t()));
    Ok(Ppca {
        loadings,
        scores,
        of_cells: coefficients,
        of_genes: own,
        variance,
        log_likelihood,
        total,
    })
}
