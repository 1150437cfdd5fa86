//! One pass over the genes for a few samples at once: everything that the
//! solvers ask of a likelihood.
//!
//! Matrix products do the work.  The Hessians of all samples of a block come
//! from one product as well: H_ij = Σ_g (a_gi a_gj) h_g, where the products
//! a_gi a_gj of a gene block are formed once and serve every sample.

use super::model::{SampleBlock, GENE_BLOCK};
use crate::base::simd::poisson_terms;
use crate::matrix::linalg::{add_product, multiply};
use crate::matrix::{zeros, Array2, ArrayRef2, ArrayView2, Columns};
use ndarray::s;
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
    design: &'m Array2<f64>,
    mu: Array2<f64>,
    ratio: Array2<f64>,
    curvature: Array2<f64>,
    pairs: Pairs,
}

impl<'m> Evaluator<'m> {
    /// `design` is genes × sources; its rows are a multiple of
    /// [`crate::base::simd::LANES`].
    pub fn new(design: &'m Array2<f64>, n_samples: usize) -> Self {
        let rows = GENE_BLOCK.min(design.nrows());
        let zeros = || zeros((rows, n_samples));
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
        points: &ArrayRef2<f64>,
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
        points: &ArrayRef2<f64>,
        with_hessian: bool,
        mut terms: impl FnMut(usize, Range<usize>, &[f64], &mut [f64], &mut [f64]) -> f64,
    ) -> Vec<Terms> {
        let (n_sources, n_active) = points.dim();
        let mut log_sums = vec![0.0; n_active];
        let mut pull = zeros((n_sources, n_active));
        let n_pairs = if with_hessian { Pairs::count(n_sources) } else { 0 };
        let mut pair_sums = zeros((n_pairs, n_active));
        for start in (0..self.design.nrows()).step_by(GENE_BLOCK) {
            let rows = GENE_BLOCK.min(self.design.nrows() - start);
            let design = self.design.slice(s![start..start + rows, ..]);
            multiply(&mut self.mu.slice_mut(s![..rows, ..n_active]), &design, points);
            for (column, log_sum) in log_sums.iter_mut().enumerate() {
                let curvature = if with_hessian {
                    &mut self.curvature.col_mut(column)[..rows]
                } else {
                    &mut []
                };
                *log_sum += terms(
                    column,
                    start..start + rows,
                    &self.mu.col(column)[..rows],
                    &mut self.ratio.col_mut(column)[..rows],
                    curvature,
                );
            }
            let ratio = self.ratio.slice(s![..rows, ..n_active]);
            add_product(&mut pull, 1.0, &design.t(), &ratio);
            if with_hessian {
                let curvature = self.curvature.slice(s![..rows, ..n_active]);
                self.pairs.add_products(&design, &curvature, &mut pair_sums);
            }
        }
        (0..n_active)
            .map(|column| Terms {
                log_sum: log_sums[column],
                pull: pull.col(column).to_vec(),
                hessian: if with_hessian {
                    Pairs::to_matrix(pair_sums.col(column), n_sources)
                } else {
                    Vec::new()
                },
            })
            .collect()
    }
}

/// The products a_gi a_gj, i ≤ j, of a block of genes.
pub struct Pairs {
    products: Array2<f64>,
}

impl Pairs {
    pub fn new(design: &Array2<f64>) -> Self {
        let rows = GENE_BLOCK.min(design.nrows());
        Pairs { products: zeros((rows, Self::count(design.ncols()))) }
    }

    pub fn count(n_sources: usize) -> usize {
        n_sources * (n_sources + 1) / 2
    }

    /// Adds Σ_g a_gi a_gj v_g to `sums` (pairs × samples) for each column v of
    /// `values` (genes of the block × samples).
    pub fn add_products(
        &mut self,
        design: &ArrayRef2<f64>,
        values: &ArrayRef2<f64>,
        sums: &mut ArrayRef2<f64>,
    ) {
        add_product(sums, 1.0, &self.form(design).t(), values);
    }

    /// The quadratic forms a_gᵀ M a_g of the genes of the block, a column for each
    /// column of `coefficients` (from [`Pairs::coefficients`]).
    pub fn forms(
        &mut self,
        design: &ArrayRef2<f64>,
        coefficients: &ArrayRef2<f64>,
        forms: &mut ArrayRef2<f64>,
    ) {
        multiply(forms, &self.form(design), coefficients);
    }

    fn form(&mut self, design: &ArrayRef2<f64>) -> ArrayView2<'_, f64> {
        let rows = design.nrows();
        let mut pair = 0;
        for j in 0..design.ncols() {
            for i in 0..=j {
                let product = &mut self.products.col_mut(pair)[..rows];
                for ((p, a), b) in product.iter_mut().zip(design.col(i)).zip(design.col(j)) {
                    *p = a * b;
                }
                pair += 1;
            }
        }
        self.products.slice(s![..rows, ..])
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
