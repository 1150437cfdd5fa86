//! Sparse activities w with y ≈ B w, from the Gram matrix BᵀB and the
//! correlations Bᵀy alone: the cost per sample does not depend on the length
//! of y.

mod factor;
mod lasso;
mod orthogonal;

pub use factor::Factor;
pub use lasso::{LassoPath, Target};
pub use orthogonal::{Nonnegative, Orthogonal};

use crate::matrix::linalg::product;
use crate::matrix::ArrayView2;

/// Share of its squared norm that an atom must keep, outside the span of those
/// already chosen, to be told apart from them.
const INDEPENDENT: f64 = 1e-10;

/// BᵀB and the norms of its columns.
pub struct Gram {
    size: usize,
    /// Column-major, without gaps.
    products: Vec<f64>,
    inverse_norms: Vec<f64>,
}

impl Gram {
    /// BᵀB for B with atoms in columns.
    pub fn of(atoms: ArrayView2<'_, f64>) -> Self {
        let products = product(&atoms.t(), &atoms).into_raw_vec_and_offset().0;
        Gram::from_products(atoms.ncols(), products)
    }

    /// From BᵀB itself, column-major.
    pub fn from_products(size: usize, products: Vec<f64>) -> Self {
        assert_eq!(products.len(), size * size, "the Gram matrix is square");
        // Atoms of norm 0 are never chosen.
        let inverse = |j: usize| {
            let square: f64 = products[j * size + j];
            if square > 0.0 {
                1.0 / square.sqrt()
            } else {
                0.0
            }
        };
        let inverse_norms = (0..size).map(inverse).collect();
        Gram { size, products, inverse_norms }
    }

    pub fn products(&self) -> &[f64] {
        &self.products
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn column(&self, j: usize) -> &[f64] {
        &self.products[j * self.size..(j + 1) * self.size]
    }
}
