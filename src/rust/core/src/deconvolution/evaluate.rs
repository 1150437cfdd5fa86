//! One pass over the genes for a few samples at once: everything that the
//! solvers ask of a likelihood.
//!
//! Matrix products do the work.  The Hessians of all samples of a block come
//! from one product as well: H_ij = Σ_g (a_gi a_gj) h_g, where the products
//! a_gi a_gj of a gene block are formed once and serve every sample.

use super::model::{SampleBlock, GENE_BLOCK};
use crate::kernels::poisson_terms;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use std::ops::Range;

/// The likelihood at one point: its sum over genes, Aᵀr and Aᵀ diag(h) A.  For
/// the Poisson likelihood these are Σ y log μ, Aᵀ(y/μ) and Aᵀ diag(y/μ²) A.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub log_sum: f64,
    /// Aᵀr per source.
    pub pull: Vec<f64>,
    /// Column-major, sources × sources; empty when it was not asked for.
    pub hessian: Vec<f64>,
}

/// Work space of one block of samples; reused over iterations.
pub struct Evaluator<'m> {
    design: MatRef<'m, f64>,
    mu: Mat<f64>,
    ratio: Mat<f64>,
    curvature: Mat<f64>,
    pairs: Pairs,
}

impl<'m> Evaluator<'m> {
    /// `design` is genes × sources; its rows are a multiple of
    /// [`crate::kernels::LANES`].
    pub fn new(design: MatRef<'m, f64>, n_samples: usize) -> Self {
        let rows = GENE_BLOCK.min(design.nrows());
        let zeros = || Mat::zeros(rows, n_samples);
        Evaluator {
            design,
            mu: zeros(),
            ratio: zeros(),
            curvature: zeros(),
            pairs: Pairs::new(design),
        }
    }

    /// The Poisson likelihood of the samples `active` of `block` at the columns
    /// of `points` (sources × active samples).
    pub fn poisson(
        &mut self,
        block: &SampleBlock,
        active: &[usize],
        points: MatRef<'_, f64>,
        with_hessian: bool,
    ) -> Vec<Terms> {
        self.evaluate(points, with_hessian, |column, genes, mu, ratio, curvature| {
            poisson_terms(mu, &block.weighted(active[column])[genes], ratio, curvature)
        })
    }

    /// Any likelihood that is a sum over genes of terms in μ.  For a column of
    /// `points` and a range of genes, `terms(column, genes, mu, r, h)` writes r
    /// and, unless it is empty, h, and returns its part of the sum.
    pub fn evaluate(
        &mut self,
        points: MatRef<'_, f64>,
        with_hessian: bool,
        mut terms: impl FnMut(usize, Range<usize>, &[f64], &mut [f64], &mut [f64]) -> f64,
    ) -> Vec<Terms> {
        let (n_sources, n_active) = points.shape();
        let mut log_sums = vec![0.0; n_active];
        let mut pull = Mat::<f64>::zeros(n_sources, n_active);
        let n_pairs = if with_hessian { Pairs::count(n_sources) } else { 0 };
        let mut pair_sums = Mat::<f64>::zeros(n_pairs, n_active);
        for start in (0..self.design.nrows()).step_by(GENE_BLOCK) {
            let rows = GENE_BLOCK.min(self.design.nrows() - start);
            let design = self.design.subrows(start, rows);
            let mut mu = self.mu.as_mut().submatrix_mut(0, 0, rows, n_active);
            matmul(mu.as_mut(), Accum::Replace, design, points, 1.0, Par::Seq);
            for (column, log_sum) in log_sums.iter_mut().enumerate() {
                let curvature = if with_hessian {
                    &mut self.curvature.col_as_slice_mut(column)[..rows]
                } else {
                    &mut []
                };
                *log_sum += terms(
                    column,
                    start..start + rows,
                    &self.mu.col_as_slice(column)[..rows],
                    &mut self.ratio.col_as_slice_mut(column)[..rows],
                    curvature,
                );
            }
            let ratio = self.ratio.as_ref().submatrix(0, 0, rows, n_active);
            matmul(pull.as_mut(), Accum::Add, design.transpose(), ratio, 1.0, Par::Seq);
            if with_hessian {
                let curvature = self.curvature.as_ref().submatrix(0, 0, rows, n_active);
                self.pairs.add_products(design, curvature, pair_sums.as_mut());
            }
        }
        (0..n_active)
            .map(|column| Terms {
                log_sum: log_sums[column],
                pull: pull.col_as_slice(column).to_vec(),
                hessian: if with_hessian {
                    Pairs::to_matrix(pair_sums.col_as_slice(column), n_sources)
                } else {
                    Vec::new()
                },
            })
            .collect()
    }
}

/// The products a_gi a_gj, i ≤ j, of a block of genes.
pub struct Pairs {
    products: Mat<f64>,
}

impl Pairs {
    pub fn new(design: MatRef<'_, f64>) -> Self {
        let rows = GENE_BLOCK.min(design.nrows());
        Pairs { products: Mat::zeros(rows, Self::count(design.ncols())) }
    }

    pub fn count(n_sources: usize) -> usize {
        n_sources * (n_sources + 1) / 2
    }

    /// Adds Σ_g a_gi a_gj v_g to `sums` (pairs × samples) for each column v of
    /// `values` (genes of the block × samples).
    pub fn add_products(
        &mut self,
        design: MatRef<'_, f64>,
        values: MatRef<'_, f64>,
        sums: MatMut<'_, f64>,
    ) {
        let products = self.form(design);
        matmul(sums, Accum::Add, products.transpose(), values, 1.0, Par::Seq);
    }

    /// The quadratic forms a_gᵀ M a_g of the genes of the block, a column for each
    /// column of `coefficients` (from [`Pairs::coefficients`]).
    pub fn forms(
        &mut self,
        design: MatRef<'_, f64>,
        coefficients: MatRef<'_, f64>,
        forms: MatMut<'_, f64>,
    ) {
        matmul(forms, Accum::Replace, self.form(design), coefficients, 1.0, Par::Seq);
    }

    fn form(&mut self, design: MatRef<'_, f64>) -> MatRef<'_, f64> {
        let rows = design.nrows();
        let mut pair = 0;
        for j in 0..design.ncols() {
            let right = design.col(j).try_as_col_major().expect("a design column is contiguous");
            for i in 0..=j {
                let left = design.col(i).try_as_col_major().expect("a design column is contiguous");
                let product = &mut self.products.col_as_slice_mut(pair)[..rows];
                for ((p, a), b) in product.iter_mut().zip(left.as_slice()).zip(right.as_slice()) {
                    *p = a * b;
                }
                pair += 1;
            }
        }
        self.products.as_ref().subrows(0, rows)
    }

    /// What a symmetric matrix (column-major) weighs the pairs with in its
    /// quadratic form.
    pub fn coefficients(matrix: &[f64], n_sources: usize, out: &mut [f64]) {
        let mut pair = 0;
        for j in 0..n_sources {
            for i in 0..=j {
                let twice = if i < j { 2.0 } else { 1.0 };
                out[pair] = twice * matrix[j * n_sources + i];
                pair += 1;
            }
        }
    }

    /// The symmetric matrix (column-major) of a column of sums.
    pub fn to_matrix(sums: &[f64], n_sources: usize) -> Vec<f64> {
        let mut matrix = vec![0.0; n_sources * n_sources];
        let mut pair = 0;
        for j in 0..n_sources {
            for i in 0..=j {
                matrix[j * n_sources + i] = sums[pair];
                matrix[i * n_sources + j] = sums[pair];
                pair += 1;
            }
        }
        matrix
    }
}
