//! The mixed models of genes, a block at a time.
//!
//! Of one gene: k_s = Σ_j e_js (x_j + d_js) + ε_s, where x_j is the mean of source j in
//! the cohort, x ~ N(m, τ² p pᵀ + diag(ν)), d_js ~ N(0, σ²_j) the deviation of one
//! sample, and Var(ε_s) = φ μ_s.  Given the variances, x and d have normal
//! posteriors; d̂ is the best linear unbiased predictor.
//!
//! Genes lie next to each other, so that a loop over the samples of a gene is a product
//! of matrices for all, and factors are found in the lanes of vectors.  What a gene gets
//! does not depend on the others of its block.

use super::lanes::{self, Systems};
use super::{Cohort, CohortFit};
use crate::matrix::linalg::{add_product, multiply};
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, Columns};
use ndarray::s;

/// Exposures of all samples, and what is made of them once.
pub(super) struct Exposures {
    /// e, sources × samples.
    pub own: Array2<f64>,
    /// e².
    pub squares: Array2<f64>,
    /// e_i e_j for j ≤ i, row by row of the triangle: pairs × samples.
    pairs: Array2<f64>,
    /// The same with those off the diagonal twice, for quadratic forms.
    doubled: Array2<f64>,
}

impl Exposures {
    pub fn new(own: Array2<f64>) -> Self {
        let (n_sources, n_samples) = own.dim();
        let places: Vec<(usize, usize)> =
            (0..n_sources).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
        let pair = |at: usize, s: usize| own[(places[at].0, s)] * own[(places[at].1, s)];
        let twice = |at: usize| if places[at].0 == places[at].1 { 1.0 } else { 2.0 };
        let shape = (places.len(), n_samples);
        Exposures {
            squares: own.mapv(|e| e * e),
            pairs: from_fn(shape, pair),
            doubled: from_fn(shape, |at, s| twice(at) * pair(at, s)),
            own,
        }
    }
}

/// Genes of a block, and their posteriors.  Matrices have a row per gene; those past
/// [`len`](Block::len) are not in use.
pub(super) struct Block {
    pub genes: Vec<usize>,
    /// ℓ_g exp(b̂_g).
    pub scale: Vec<f64>,
    /// Mean count.
    pub level: Vec<f64>,
    /// x̂ is known from other samples.
    known: bool,
    /// Genes × samples.
    counts: Array2<f64>,
    /// φ μ_s.
    pub noise: Array2<f64>,
    /// p, in reads per molecule, genes × sources.
    profile: Array2<f64>,
    /// m: x = p exp(b − b̂) is linear in b at b̂, and b has mean 0.
    centre: Array2<f64>,
    /// The part of ν that counts of the reference make.
    counting: Array2<f64>,
    /// x̂, genes × sources.
    pub mean: Array2<f64>,
    /// Of x̂: genes × pairs of sources (see [`Exposures`]).
    pub covariance: Array2<f64>,
    /// T_s = φ μ_s + Σ_j e_js² σ²_j, genes × samples.
    pub total: Array2<f64>,
    /// 1 / T_s.
    pub weight: Array2<f64>,
    /// r_s = k_s − Σ_j e_js x̂_j.
    pub residual: Array2<f64>,
    /// Variance of Σ_j e_js x̂_j.
    pub fitted_variance: Array2<f64>,
    pull: Array2<f64>,
    precision: Array2<f64>,
}

impl Cohort<'_> {
    pub(super) fn exposures(&self, fit: &CohortFit) -> Exposures {
        let exposures = self.data.exposures;
        Exposures::new(from_fn(exposures.dim(), |j, s| exposures[(j, s)] * fit.sizes[s]))
    }

    /// σ² of the genes of a block in reads, genes × sources.
    pub(super) fn between(&self, block: &Block, fit: &CohortFit) -> Array2<f64> {
        from_fn((block.len(), self.n_sources()), |row, j| {
            fit.between[(block.genes[row], j)] * block.scale[row].powi(2)
        })
    }

    /// A block of `genes`, ready to be given variances.
    pub(super) fn block(&self, genes: impl Iterator<Item = usize>, fit: &CohortFit) -> Block {
        let genes: Vec<usize> = genes.collect();
        let (n, n_sources, n_samples) = (genes.len(), self.n_sources(), self.n_samples());
        let ratio: Vec<f64> = genes.iter().map(|&g| fit.log_factor[g].exp()).collect();
        let scale: Vec<f64> =
            genes.iter().zip(&ratio).map(|(&g, ratio)| self.data.lengths[g] * ratio).collect();
        let by_source = |f: &dyn Fn(usize, usize) -> f64| from_fn((n, n_sources), f);
        let profile = by_source(&|row, j| scale[row] * self.data.sources[(genes[row], j)]);
        let centre = by_source(&|row, j| profile[(row, j)] * (1.0 - fit.log_factor[genes[row]]));
        let counting =
            by_source(&|row, j| scale[row] * scale[row] * self.prior.counting[(genes[row], j)]);
        let counts = from_fn((n, n_samples), |row, s| self.data.counts[(genes[row], s)]);
        let level: Vec<f64> = match &self.known {
            Some(known) => genes.iter().map(|&g| known.level[g]).collect(),
            None => counts.rows().into_iter().map(|k| k.sum() / n_samples as f64).collect(),
        };
        // A gene that no signature explains still has the noise of its counts.
        let noise = from_fn((n, n_samples), |row, s| {
            let explained = ratio[row] * fit.sizes[s] * self.fitted[(genes[row], s)];
            let mean = level[row];
            let least = if explained > 0.01 * mean { 0.0 } else { mean };
            fit.noise * explained.max(least).max(1e-9)
        });
        let of_samples = || zeros((n, n_samples));
        let of_sources = || zeros((n, n_sources));
        let of_pairs = || zeros((n, n_sources * (n_sources + 1) / 2));
        let (mut mean, mut covariance) = (of_sources(), of_pairs());
        if let Some(known) = &self.known {
            for (row, &gene) in genes.iter().enumerate() {
                mean.row_mut(row).assign(&known.mean.row(gene));
                covariance.row_mut(row).assign(&known.covariance.row(gene));
            }
        }
        Block {
            genes,
            scale,
            level,
            known: self.known.is_some(),
            counts,
            noise,
            profile,
            centre,
            counting,
            mean,
            covariance,
            total: of_samples(),
            weight: of_samples(),
            residual: of_samples(),
            fitted_variance: of_samples(),
            pull: of_sources(),
            precision: of_pairs(),
        }
    }
}

impl Block {
    pub fn len(&self) -> usize {
        self.genes.len()
    }

    /// Cov(x̂_i, x̂_j) of the gene in a row.
    pub fn covariance(&self, row: usize, i: usize, j: usize) -> f64 {
        self.covariance[(row, lanes::at(i.max(j), i.min(j)))]
    }

    /// Cov(x̂_i, x̂_j) of all genes.
    pub fn covariances(&self, i: usize, j: usize) -> &[f64] {
        self.covariance.col(lanes::at(i.max(j), i.min(j)))
    }

    /// Finds x̂, unless it is known, and all that follows for the variances `between` (σ²_j,
    /// genes × sources), with as many `donors` behind the mean of each source.
    pub fn update(
        &mut self,
        exposures: &Exposures,
        between: ArrayView2<'_, f64>,
        donors: &[f64],
        tau2: f64,
    ) {
        let n = self.len();
        self.weigh(exposures, between);
        if !self.known {
            self.find_means(exposures, between, donors, tau2);
        }
        let mean = self.mean.slice(s![..n, ..]);
        let mut residual = self.residual.slice_mut(s![..n, ..]);
        residual.assign(&self.counts.slice(s![..n, ..]));
        add_product(&mut residual, -1.0, &mean, &exposures.own);
        multiply(
            &mut self.fitted_variance.slice_mut(s![..n, ..]),
            &self.covariance.slice(s![..n, ..]),
            &exposures.doubled,
        );
    }

    /// x̂ and its covariance, from the weights of the samples.
    fn find_means(
        &mut self,
        exposures: &Exposures,
        between: ArrayView2<'_, f64>,
        donors: &[f64],
        tau2: f64,
    ) {
        let n = self.len();
        let weight = self.weight.slice(s![..n, ..]);
        let mut residual = self.residual.slice_mut(s![..n, ..]);
        residual.assign(&self.counts.slice(s![..n, ..]));
        add_product(&mut residual, -1.0, &self.centre.slice(s![..n, ..]), &exposures.own);
        residual *= &weight;
        multiply(&mut self.pull.slice_mut(s![..n, ..]), &residual, &exposures.own.t());
        let mut precision = self.precision.slice_mut(s![..n, ..]);
        multiply(&mut precision, &weight, &exposures.pairs.t());
        let mut systems = Systems {
            n_genes: n,
            n_sources: donors.len(),
            rows: self.mean.nrows(),
            precision: lanes::entries(&self.precision),
            pull: lanes::entries(&self.pull),
            profile: lanes::entries(&self.profile),
            centre: lanes::entries(&self.centre),
            counting: lanes::entries(&self.counting),
            between,
            donors,
            tau2,
            mean: lanes::entries_mut(&mut self.mean),
            covariance: lanes::entries_mut(&mut self.covariance),
        };
        systems.solve();
    }

    /// T and 1 / T for the variances `between`.
    pub fn weigh(&mut self, exposures: &Exposures, between: ArrayView2<'_, f64>) {
        let n = self.len();
        let mut total = self.total.slice_mut(s![..n, ..]);
        total.assign(&self.noise.slice(s![..n, ..]));
        add_product(&mut total, 1.0, &between, &exposures.squares);
        for s in 0..self.total.ncols() {
            let total = &self.total.col(s)[..n];
            for (weight, total) in self.weight.col_mut(s)[..n].iter_mut().zip(total) {
                *weight = 1.0 / total;
            }
        }
    }

    /// Leaves out all genes but those in the rows `kept` (rising); posteriors are to be
    /// found anew.
    pub fn retain(&mut self, kept: &[usize]) {
        let inputs = [
            &mut self.counts,
            &mut self.noise,
            &mut self.profile,
            &mut self.centre,
            &mut self.counting,
        ];
        for matrix in inputs {
            compact(matrix, kept);
        }
        self.genes = kept.iter().map(|&row| self.genes[row]).collect();
        self.scale = kept.iter().map(|&row| self.scale[row]).collect();
        self.level = kept.iter().map(|&row| self.level[row]).collect();
    }
}

/// Moves the rows `kept` (rising) to the top.
pub(super) fn compact(matrix: &mut Array2<f64>, kept: &[usize]) {
    for mut column in matrix.columns_mut() {
        for (row, &from) in kept.iter().enumerate() {
            column[row] = column[from];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Data, Prior};
    use super::*;
    use crate::matrix::from_columns;
    use crate::matrix::linalg::{product, Cholesky};

    /// The posterior by conditioning the joint normal law of x and k, of every gene of a
    /// block that has more of them than a vector has lanes.
    #[test]
    fn the_posterior_is_that_of_the_joint_normal_law() {
        let (n_genes, n_sources, n_samples, tau2) = (11, 3, 4, 0.7);
        let exposures = from_columns(
            &[2.0, 0.5, 0.0, 1.0, 1.0, 3.0, 0.2, 0.0, 4.0, 1.5, 2.5, 0.7],
            (n_sources, n_samples),
        )
        .to_owned();
        let wave = |g: usize, j: usize| 1.0 + 0.7 * ((g * 5 + j * 3) as f64).sin();
        let counts = from_fn((n_genes, n_samples), |g, s| (4.0 * wave(g, s + 3)).round());
        let sources = from_fn((n_genes, n_sources), wave);
        let lengths: Vec<f64> = (0..n_genes).map(|g| 0.5 + (g % 3) as f64).collect();
        let prior = Prior {
            between: from_fn((n_genes, n_sources), |g, j| 0.3 * wave(g + 1, j)),
            counting: from_fn((n_genes, n_sources), |g, j| 0.1 * wave(g, j + 1)),
            donors: vec![2.0, 3.0, 1.0],
            trend: vec![0.1; n_sources],
        };
        let data = Data {
            counts: counts.view(),
            sources: sources.view(),
            lengths: &lengths,
            exposures: exposures.view(),
        };
        let cohort = Cohort::new(data, &prior).unwrap();
        let fit = CohortFit {
            between: prior.between.clone(),
            log_factor: (0..n_genes).map(|g| 0.1 * (g as f64 - 4.0)).collect(),
            tau2,
            sizes: vec![1.0, 1.1, 0.9, 1.0],
            size_level: 1.0,
            noise: 1.3,
            factors: vec![1.0; n_sources],
            prior_freedom: f64::INFINITY,
        };
        let known = cohort.exposures(&fit);
        let mut block = cohort.block(0..n_genes, &fit);
        let between =
            from_fn((n_genes, n_sources), |g, j| block.scale[g].powi(2) * fit.between[(g, j)]);
        block.update(&known, between.view(), &prior.donors, tau2);
        let f = known.own.t().to_owned();
        for g in 0..n_genes {
            let scale = lengths[g] * fit.log_factor[g].exp();
            let p = |j: usize| scale * sources[(g, j)];
            let nu = |j: usize| {
                scale * scale * (prior.counting[(g, j)] + prior.between[(g, j)] / prior.donors[j])
            };
            let law = from_fn((n_sources, n_sources), |i, j| {
                tau2 * p(i) * p(j) + if i == j { nu(i) } else { 0.0 }
            });
            let total = |s: usize| -> f64 {
                let explained: f64 = (0..n_sources).map(|j| p(j) * f[(s, j)]).sum();
                fit.noise * explained
                    + (0..n_sources).map(|j| f[(s, j)].powi(2) * between[(g, j)]).sum::<f64>()
            };
            let gain = product(&f, &law);
            let mut marginal = product(&gain, &f.t());
            (0..n_samples).for_each(|s| marginal[(s, s)] += total(s));
            let centre = from_fn((n_sources, 1), |j, _| p(j) * (1.0 - fit.log_factor[g]));
            let expected = product(&f, &centre);
            let gap = from_fn((n_samples, 1), |s, _| counts[(g, s)] - expected[(s, 0)]);
            let factor = Cholesky::new(marginal).unwrap();
            let (mut solved_gain, mut solved_gap) = (gain.clone(), gap);
            factor.solve_in_place(&mut solved_gain);
            factor.solve_in_place(&mut solved_gap);
            let mean = centre + product(&gain.t(), &solved_gap);
            let covariance = &law - &product(&gain.t(), &solved_gain);
            let fitted = product(&product(&f, &covariance), &f.t());
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-11, "{g}: {a} {b}");
            for i in 0..n_sources {
                near(block.mean[(g, i)], mean[(i, 0)]);
                for j in 0..=i {
                    near(block.covariance(g, i, j), covariance[(i, j)]);
                }
            }
            for s in 0..n_samples {
                near(block.total[(g, s)], total(s));
                near(block.fitted_variance[(g, s)], fitted[(s, s)]);
            }
        }
    }
}
