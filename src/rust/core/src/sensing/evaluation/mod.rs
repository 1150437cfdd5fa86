//! How like the truth recovered profiles are.
//!
//! Intervals come from a jackknife over groups of samples: each score is
//! computed anew without each group in turn, so that whatever samples have in
//! common with one another within a score is in its standard error.

mod agreement;

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{with_threads, Monitor};
use crate::matrix::{column, turned, Array2, ArrayView2, Columns};
use agreement::{
    both_correlations, correlation, distances, mean_of_finite, order_of, ranks, spread,
};
use rayon::prelude::*;

/// The scores of [`evaluate`], in this order.
pub const SCORES: [&str; 10] = [
    "overall_pearson",
    "overall_spearman",
    "gene_pearson",
    "gene_spearman",
    "sample_pearson",
    "sample_spearman",
    "sample_distance",
    "sample_distance_spearman",
    "gene_distance",
    "gene_distance_spearman",
];

#[derive(Clone, Copy, Debug)]
pub struct EvaluationParams {
    /// Groups of the jackknife; 0 for no standard errors.
    pub groups: usize,
    /// Samples and genes between which distances are taken, evenly spread over
    /// all of them.
    pub most_distances: usize,
    pub threads: usize,
}

#[derive(Clone, Debug)]
pub struct Evaluation {
    /// NaN for a score that these data do not have.
    pub scores: [f64; 10],
    /// Scores without each group of samples.
    pub without_group: Vec<[f64; 10]>,
    /// Per gene over samples and per sample over genes; NaN where the truth does
    /// not vary.
    pub gene_pearson: Vec<f64>,
    pub gene_spearman: Vec<f64>,
    pub sample_pearson: Vec<f64>,
    pub sample_spearman: Vec<f64>,
}

/// Compares two genes × samples matrices.
///
/// # Errors
/// `Shape`, `Argument`, `Threads`, `Interrupted`.
pub fn evaluate(
    truth: ArrayView2<'_, f64>,
    recovered: ArrayView2<'_, f64>,
    params: &EvaluationParams,
    monitor: &Monitor<'_>,
) -> Result<Evaluation, CoreError> {
    let (genes, samples) = truth.dim();
    check_length("recovered (genes)", genes, recovered.nrows())?;
    check_length("recovered (samples)", samples, recovered.ncols())?;
    check_value("genes", genes as f64, "at least 1", |v| v >= 1.0)?;
    check_value("samples", samples as f64, "at least 1", |v| v >= 1.0)?;
    let entries = genes as f64 * samples as f64;
    check_value("entries of truth", entries, "at most 2^32", |n| n <= 2f64.powi(32))?;
    with_threads(params.threads, || {
        let whole = Pairs::new(truth, recovered, params.most_distances, monitor)?;
        let all = vec![true; samples];
        let scores = whole.scores(&all, monitor)?;
        let groups = if params.groups < 2 || samples < 3 { 0 } else { params.groups.min(samples) };
        let without: Result<Vec<[f64; 10]>, CoreError> = (0..groups)
            .into_par_iter()
            .map(|group| {
                let kept: Vec<bool> = (0..samples).map(|i| i % groups != group).collect();
                let scores = whole.scores(&kept, monitor)?;
                monitor.advance(1);
                Ok(scores.0)
            })
            .collect();
        Ok(Evaluation {
            scores: scores.0,
            without_group: without?,
            gene_pearson: scores.1,
            gene_spearman: scores.2,
            sample_pearson: whole.sample_pearson,
            sample_spearman: whole.sample_spearman,
        })
    })?
}

type Scores = ([f64; 10], Vec<f64>, Vec<f64>);

/// What does not change when samples are left out.
struct Pairs<'a> {
    genes: usize,
    samples: usize,
    recovered: ArrayView2<'a, f64>,
    truth: ArrayView2<'a, f64>,
    /// samples × genes
    truth_by_gene: Array2<f64>,
    recovered_by_gene: Array2<f64>,
    /// Order of all entries, column-major, by value.
    order: [Vec<u32>; 2],
    /// Order of the samples within each gene.
    gene_order: [Vec<Vec<u32>>; 2],
    sample_pearson: Vec<f64>,
    sample_spearman: Vec<f64>,
    /// Samples and genes of the distances.
    distant_samples: Vec<usize>,
    distant_genes: Vec<usize>,
    /// Distances between these samples, by pairs.
    sample_distances: [Vec<f64>; 2],
}

impl<'a> Pairs<'a> {
    fn new(
        truth: ArrayView2<'a, f64>,
        recovered: ArrayView2<'a, f64>,
        most: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Self, CoreError> {
        let (genes, samples) = truth.dim();
        let both = [truth, recovered];
        let by_gene = both.map(|x| turned(x, |value| value));
        let order: Vec<Vec<u32>> = both
            .par_iter()
            .map(|x| {
                let values: Vec<f64> =
                    (0..samples).flat_map(|j| column(*x, j).iter().copied()).collect();
                order_of(&values, monitor)
            })
            .collect::<Result<_, CoreError>>()?;
        let order: [Vec<u32>; 2] = order.try_into().expect("two matrices");
        let of_genes = |by_gene: &Array2<f64>| -> Result<Vec<Vec<u32>>, CoreError> {
            let genes = (0..genes).into_par_iter();
            genes.map(|g| order_of(by_gene.col(g), monitor)).collect()
        };
        let gene_order = [of_genes(&by_gene[0])?, of_genes(&by_gene[1])?];
        let all = vec![true; genes];
        let of_samples: Vec<(f64, f64)> = (0..samples)
            .into_par_iter()
            .map(|j| both_correlations(column(truth, j), column(recovered, j), &all, monitor))
            .collect::<Result<_, CoreError>>()?;
        let distant_samples = spread(samples, most);
        let between = |x: ArrayView2<'_, f64>| {
            distances(distant_samples.len(), |k| column(x, distant_samples[k]), monitor)
        };
        let sample_distances = [between(truth)?, between(recovered)?];
        let [truth_by_gene, recovered_by_gene] = by_gene;
        Ok(Pairs {
            genes,
            samples,
            truth,
            recovered,
            truth_by_gene,
            recovered_by_gene,
            order,
            gene_order,
            sample_pearson: of_samples.iter().map(|s| s.0).collect(),
            sample_spearman: of_samples.iter().map(|s| s.1).collect(),
            distant_samples,
            distant_genes: spread(genes, most),
            sample_distances,
        })
    }

    /// All scores over the samples that are kept, and those of the genes.
    fn scores(&self, kept: &[bool], monitor: &Monitor<'_>) -> Result<Scores, CoreError> {
        monitor.check()?;
        let of_genes: Vec<(f64, f64)> = (0..self.genes)
            .into_par_iter()
            .map(|g| {
                let a = self.truth_by_gene.col(g);
                let b = self.recovered_by_gene.col(g);
                let ranked = (
                    ranks(a, &self.gene_order[0][g], kept, monitor)?,
                    ranks(b, &self.gene_order[1][g], kept, monitor)?,
                );
                Ok((correlation(a, b, kept), correlation(&ranked.0, &ranked.1, kept)))
            })
            .collect::<Result<_, CoreError>>()?;
        let (gene_pearson, gene_spearman): (Vec<f64>, Vec<f64>) = of_genes.into_iter().unzip();
        let overall = self.overall(kept, monitor)?;
        let own = |values: &[f64]| {
            let kept = values.iter().zip(kept).filter(|(_, &k)| k).map(|(v, _)| *v);
            mean_of_finite(kept)
        };
        let between_samples = self.between_samples(kept, monitor)?;
        let between_genes = self.between_genes(kept, monitor)?;
        let scores = [
            overall.0,
            overall.1,
            mean_of_finite(gene_pearson.iter().copied()),
            mean_of_finite(gene_spearman.iter().copied()),
            own(&self.sample_pearson),
            own(&self.sample_spearman),
            between_samples.0,
            between_samples.1,
            between_genes.0,
            between_genes.1,
        ];
        Ok((scores, gene_pearson, gene_spearman))
    }

    fn overall(&self, kept: &[bool], monitor: &Monitor<'_>) -> Result<(f64, f64), CoreError> {
        let flat = |x: ArrayView2<'_, f64>| -> Vec<f64> {
            (0..self.samples).flat_map(|j| column(x, j).iter().copied()).collect()
        };
        let kept: Vec<bool> = kept.iter().flat_map(|&k| (0..self.genes).map(move |_| k)).collect();
        let (a, b) = (flat(self.truth), flat(self.recovered));
        let pearson = correlation(&a, &b, &kept);
        monitor.check()?;
        let a = ranks(&a, &self.order[0], &kept, monitor)?;
        let b = ranks(&b, &self.order[1], &kept, monitor)?;
        Ok((pearson, correlation(&a, &b, &kept)))
    }

    fn between_samples(
        &self,
        kept: &[bool],
        monitor: &Monitor<'_>,
    ) -> Result<(f64, f64), CoreError> {
        let kept: Vec<bool> = self.distant_samples.iter().map(|&i| kept[i]).collect();
        let pairs: Vec<bool> = (0..kept.len())
            .flat_map(|j| (0..j).map(move |i| (i, j)))
            .map(|(i, j)| kept[i] && kept[j])
            .collect();
        let part = |of: &[f64]| -> Vec<f64> {
            of.iter().zip(&pairs).filter(|(_, &k)| k).map(|(v, _)| *v).collect()
        };
        let [a, b] = [part(&self.sample_distances[0]), part(&self.sample_distances[1])];
        both_correlations(&a, &b, &vec![true; a.len()], monitor)
    }

    fn between_genes(&self, kept: &[bool], monitor: &Monitor<'_>) -> Result<(f64, f64), CoreError> {
        let between = |x: &Array2<f64>| {
            let part: Vec<Vec<f64>> = self
                .distant_genes
                .iter()
                .map(|&g| {
                    let own = x.col(g).iter().zip(kept);
                    own.filter(|(_, &k)| k).map(|(v, _)| *v).collect()
                })
                .collect();
            distances(part.len(), |k| &part[k], monitor)
        };
        let (a, b) = (between(&self.truth_by_gene)?, between(&self.recovered_by_gene)?);
        both_correlations(&a, &b, &vec![true; a.len()], monitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::base::rng::{stream, Purpose};
    use crate::matrix::from_fn;
    use rand_distr::{Distribution, StandardNormal};

    fn run(
        truth: &Array2<f64>,
        recovered: &Array2<f64>,
        groups: usize,
        threads: usize,
    ) -> Evaluation {
        let params = EvaluationParams { groups, most_distances: 50, threads };
        unmonitored(|m| evaluate(truth.view(), recovered.view(), &params, m)).unwrap()
    }

    fn noisy(genes: usize, samples: usize, noise: f64) -> (Array2<f64>, Array2<f64>) {
        let mut rng = stream(4, Purpose::Start, 0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let truth = from_fn((genes, samples), |_, _| normal());
        let recovered = from_fn((genes, samples), |i, j| truth[(i, j)] + noise * normal());
        (truth, recovered)
    }

    #[test]
    fn a_scaled_copy_is_perfect_and_its_negative_is_the_opposite() {
        let (truth, _) = noisy(20, 12, 0.0);
        let copy = from_fn((20, 12), |i, j| 3.0 * truth[(i, j)] + 1.0);
        assert!(run(&truth, &copy, 4, 1).scores.iter().all(|s| (s - 1.0).abs() < 1e-12));
        let negative = from_fn((20, 12), |i, j| -truth[(i, j)]);
        let scores = run(&truth, &negative, 0, 1).scores;
        assert!(scores[..6].iter().all(|s| (s + 1.0).abs() < 1e-12));
        assert!(scores[6..].iter().all(|s| (s - 1.0).abs() < 1e-12));
    }

    #[test]
    fn leaving_a_group_out_is_evaluating_the_rest() {
        let (mut truth, mut recovered) = noisy(15, 20, 0.7);
        // ties
        for j in 0..20 {
            for i in 0..5 {
                truth[(i, j)] = truth[(i, j)].round();
                recovered[(i, j)] = recovered[(i, j)].round();
            }
        }
        let whole = run(&truth, &recovered, 4, 2);
        let rest: Vec<usize> = (0..20).filter(|i| i % 4 != 1).collect();
        let part = |x: &Array2<f64>| from_fn((15, rest.len()), |i, j| x[(i, rest[j])]);
        let alone = run(&part(&truth), &part(&recovered), 0, 1);
        for (a, b) in whole.without_group[1].iter().zip(&alone.scores) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn constant_genes_count_nothing_and_constant_answers_count_zero() {
        let (mut truth, mut recovered) = noisy(3, 30, 0.1);
        for j in 0..30 {
            truth[(0, j)] = 0.3;
            recovered[(1, j)] = 0.3;
        }
        let found = run(&truth, &recovered, 0, 1);
        assert!(found.gene_pearson[0].is_nan() && found.gene_pearson[1] == 0.0);
        assert!((found.scores[2] - found.gene_pearson[2] / 2.0).abs() < 1e-12);
    }
}
