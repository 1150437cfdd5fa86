//! Best linear unbiased prediction, a block of genes at a time.

use super::block::{Block, Exposures};
use super::programs::KnownPrograms;
use super::{check_requested, Cohort, CohortFit, Expression, Level, GENE_BLOCK};
use crate::base::error::{check_length, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::matrix::linalg::multiply;
use crate::matrix::{from_fn, zeros, Array2, Array3, ArrayView2, Columns};
use ndarray::{s, ArrayView3, Axis, ShapeBuilder};
use std::ops::Range;

/// What is to be predicted, and from what.
pub struct Asked<'a> {
    pub sources: &'a [usize],
    pub samples: &'a [usize],
    pub fields: Fields,
    /// Of the exposures of the first types of each of these samples, types × types ×
    /// samples; `None` takes exposures as known.
    pub covariance: Option<ArrayView3<'a, f64>>,
    /// Programs with their [`activities`](Cohort::activities) in these samples.
    pub programs: Option<KnownPrograms<'a>>,
}

/// Which arrays are made: each is as large as all counts times types.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub value: bool,
    pub variance: bool,
    pub reliability: bool,
}

impl Fields {
    pub const ALL: Fields = Fields { value: true, variance: true, reliability: true };
}

/// Parts of the arrays that were asked for, genes × sources × samples.
struct Part {
    value: Option<Array3<f64>>,
    variance: Option<Array3<f64>>,
    reliability: Option<Array3<f64>>,
    mean: Array2<f64>,
    of_sample: Array2<f64>,
}

impl Part {
    fn new(n_genes: usize, asked: &Asked<'_>) -> Self {
        let (n_sources, n_samples) = (asked.sources.len(), asked.samples.len());
        let array =
            |wanted: bool| wanted.then(|| Array3::zeros((n_genes, n_sources, n_samples).f()));
        Part {
            value: array(asked.fields.value),
            variance: array(asked.fields.variance),
            reliability: array(asked.fields.reliability),
            mean: zeros((n_genes, n_sources)),
            of_sample: zeros((n_genes, n_sources)),
        }
    }

    fn set(&mut self, genes: Range<usize>, part: &Part) {
        let pairs = [
            (&mut self.value, &part.value),
            (&mut self.variance, &part.variance),
            (&mut self.reliability, &part.reliability),
        ];
        let n = genes.len();
        for (whole, part) in pairs {
            if let (Some(whole), Some(part)) = (whole, part) {
                whole.slice_mut(s![genes.clone(), .., ..]).assign(&part.slice(s![..n, .., ..]));
            }
        }
        self.mean.slice_mut(s![genes.clone(), ..]).assign(&part.mean.slice(s![..n, ..]));
        self.of_sample.slice_mut(s![genes, ..]).assign(&part.of_sample.slice(s![..n, ..]));
    }
}

impl Cohort<'_> {
    /// Best linear unbiased prediction of the counts of some sources in some samples.
    ///
    /// # Errors
    /// `Shape`, `Argument`, `Threads`, `Interrupted`.
    pub fn predict(
        &self,
        fit: &CohortFit,
        asked: &Asked<'_>,
        threads: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Expression, CoreError> {
        check_requested(&self.data, asked.sources, asked.samples)?;
        if let Some(covariance) = &asked.covariance {
            let (rows, columns, n_samples) = covariance.dim();
            check_length("covariance", rows, columns)?;
            check_length("covariance", asked.samples.len(), n_samples)?;
        }
        if let Some(programs) = &asked.programs {
            programs.check(self, asked.samples.len())?;
        }
        let exposures = self.exposures(fit);
        let work = |genes: Range<usize>| {
            let part = self.predict_genes(genes.clone(), fit, asked, &exposures);
            monitor.advance(genes.len());
            Ok(part)
        };
        let mut out = Part::new(self.n_genes(), asked);
        with_threads(threads, || {
            over_blocks(self.n_genes(), GENE_BLOCK, monitor, work, |genes, part| {
                out.set(genes, &part);
            })
        })??;
        Ok(Expression {
            value: out.value,
            variance: out.variance,
            reliability: out.reliability,
            level: Some(Level { mean: out.mean, variance: out.of_sample }),
        })
    }

    fn predict_genes(
        &self,
        genes: Range<usize>,
        fit: &CohortFit,
        asked: &Asked<'_>,
        exposures: &Exposures,
    ) -> Part {
        let (block, between) = self.updated(genes, fit, exposures);
        let mut part = Part::new(block.len(), asked);
        for (place, &j) in asked.sources.iter().enumerate() {
            let mut deviation = between.col(j).to_vec();
            if let Some(programs) = &asked.programs {
                programs.add_prior_variance(&block, j, &mut deviation);
            }
            let rows = block.mean.col(j).iter().zip(block.covariances(j, j)).zip(deviation);
            for (row, ((mean, of_mean), deviation)) in rows.enumerate() {
                part.mean[(row, place)] = mean.max(0.0);
                part.of_sample[(row, place)] = deviation + of_mean;
            }
        }
        let known = Known {
            block: &block,
            between: &between,
            with_exposures: if asked.fields.variance {
                asked.sources.iter().map(|&j| with_exposures(&block, exposures, j)).collect()
            } else {
                Vec::new()
            },
        };
        for at in 0..asked.samples.len() {
            known.predict_sample(at, fit, asked, exposures, &mut part);
        }
        part
    }
}

/// C_j e_s, the covariance of x̂_j with what all sources make, genes × samples.
fn with_exposures(block: &Block, exposures: &Exposures, j: usize) -> Array2<f64> {
    let n_sources = exposures.own.nrows();
    let rows = from_fn((block.len(), n_sources), |row, i| block.covariances(i, j)[row]);
    let mut out = zeros((block.len(), exposures.own.ncols()));
    multiply(&mut out, &rows, &exposures.own);
    out
}

/// A block with what its samples share.
struct Known<'a> {
    block: &'a Block,
    /// σ², genes × sources.
    between: &'a Array2<f64>,
    /// Per asked source, where variances are asked for.
    with_exposures: Vec<Array2<f64>>,
}

/// Means of the types of a sample times the covariance of its exposures.
struct ExposureErrors<'a> {
    errors: ArrayView2<'a, f64>,
    /// Genes × types.
    with_mean: Array2<f64>,
    /// Variance of Σ_j e_j x_j by the errors of e, per gene.
    variance: Vec<f64>,
}

impl Known<'_> {
    fn predict_sample(
        &self,
        at: usize,
        fit: &CohortFit,
        asked: &Asked<'_>,
        exposures: &Exposures,
        part: &mut Part,
    ) {
        let (block, s) = (self.block, asked.samples[at]);
        let n = block.len();
        let own = exposures.own.col(s);
        let weight = block.weight.col(s);
        let fitted_variance = block.fitted_variance.col(s);
        // what the means of this sample's types leave of its counts
        let mut residual = block.residual.col(s).to_vec();
        let effect = asked.programs.as_ref().map(|programs| programs.effect(block, at, own));
        if let Some(effect) = &effect {
            residual.iter_mut().zip(&effect.sum).for_each(|(r, sum)| *r -= sum);
        }
        let errors = asked.covariance.as_ref().filter(|_| asked.fields.variance).map(|all| {
            let errors = all.index_axis(Axis(2), at);
            let n_types = errors.nrows();
            let mut means = from_fn((n, n_types), |row, j| block.mean[(row, j)]);
            if let Some(programs) = &asked.programs {
                programs.add_deviations(block, at, &mut means);
            }
            let mut with_mean = zeros((n, n_types));
            multiply(&mut with_mean, &means, &errors);
            let mut variance = vec![0.0; n];
            for j in 0..n_types {
                let products = with_mean.col(j).iter().zip(means.col(j));
                variance.iter_mut().zip(products).for_each(|(sum, (w, x))| *sum += w * x);
            }
            (ExposureErrors { errors, with_mean, variance }, means)
        });
        for (place, &j) in asked.sources.iter().enumerate() {
            let e = own[j];
            if e == 0.0 {
                continue;
            }
            let of_type = match (&asked.programs, &effect) {
                (Some(programs), Some(effect)) => Some(programs.of_type(j, at, effect)),
                _ => None,
            };
            let (mean, between) = (block.mean.col(j), self.between.col(j));
            // z = e x_j + share (k − e'x), and what the programs add
            let share = |row: usize| e * e * between[row] * weight[row];
            if let Some(value) = &mut part.value {
                let mut column = value.slice_mut(s![.., place, at]);
                for row in 0..n {
                    let shared = of_type.as_ref().map_or(0.0, |of_type| of_type.sum[row]);
                    let value = e * mean[row] + share(row) * residual[row] + shared;
                    column[row] = value.max(0.0);
                }
            }
            // of the programs' reads, with w = 1_j − share·1 over the types
            let of_programs = |row: usize| match (&of_type, &effect) {
                (Some(of_type), Some(effect)) => {
                    of_type.variance[row] - 2.0 * share(row) * of_type.covariance[row]
                        + share(row) * share(row) * effect.variance[row]
                }
                _ => 0.0,
            };
            if let Some(variance) = &mut part.variance {
                let mut column = variance.slice_mut(s![.., place, at]);
                let with_exposures = self.with_exposures[place].col(s);
                let own_error = block.covariances(j, j);
                for row in 0..n {
                    let share = share(row);
                    // of x: that of (1_j − c e)'x with c = share / e, what the quadratic
                    // forms of all types share in O(1) each; and what d_j has left
                    let of_mean = e * e * own_error[row] - 2.0 * share * e * with_exposures[row]
                        + share * share * fitted_variance[row];
                    let left = e * e * between[row] * (1.0 - share);
                    column[row] = left + of_mean + of_programs(row);
                }
                if let Some((known, means)) = &errors {
                    let size = fit.sizes[s] * fit.sizes[s];
                    for row in 0..n {
                        // ∂Z_j/∂e_l = x_l (1[l = j] − share); the exposure of a background
                        // has no error
                        let share = share(row);
                        let mut of_exposures = share * share * known.variance[row];
                        if j < known.errors.nrows() {
                            let x = means[(row, j)];
                            of_exposures += x * x * known.errors[(j, j)]
                                - 2.0 * share * x * known.with_mean[(row, j)];
                        }
                        column[row] += size * of_exposures;
                    }
                }
                column.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            if let Some(reliability) = &mut part.reliability {
                let mut column = reliability.slice_mut(s![.., place, at]);
                for row in 0..n {
                    let gene_wise = e * e * between[row];
                    let shared = of_type.as_ref().map_or(0.0, |of_type| of_type.prior[row]);
                    let explained = if shared > 0.0 {
                        let explained = gene_wise * share(row) + shared - of_programs(row);
                        explained / (gene_wise + shared)
                    } else {
                        share(row)
                    };
                    let known = 1.0 - fitted_variance[row] * weight[row];
                    column[row] = (explained * known).clamp(0.0, 1.0);
                }
            }
        }
    }
}
