//! Sparse activities w with y ≈ B w, from the Gram matrix BᵀB and the
//! correlations Bᵀy alone: the cost per sample does not depend on the length
//! of y.

mod factor;
mod lasso;
mod orthogonal;

pub use factor::Factor;
pub use lasso::{LassoPath, Target};
pub use orthogonal::{Nonnegative, Orthogonal};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

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
    pub fn of(atoms: MatRef<'_, f64>) -> Self {
        let size = atoms.ncols();
        let mut products = vec![0.0; size * size];
        let target = MatMut::from_column_major_slice_mut(&mut products, size, size);
        matmul(target, Accum::Replace, atoms.transpose(), atoms, 1.0, Par::Seq);
        Gram::from_products(size, products)
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
