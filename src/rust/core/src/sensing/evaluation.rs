//! How like the truth recovered profiles are.
//!
//! Intervals come from a jackknife over groups of samples: each score is
//! computed anew without each group in turn, so that whatever samples have in
//! common with one another within a score is in its standard error.

use super::codes::column;
use crate::base::simd::vectors::squared_distance;
use crate::error::{check_length, check_value, CoreError};
use crate::parallel::{with_threads, Monitor};
use faer::{Mat, MatRef};
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
pub struct Params {
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
    truth: MatRef<'_, f64>,
    recovered: MatRef<'_, f64>,
    params: &Params,
    monitor: &Monitor<'_>,
) -> Result<Evaluation, CoreError> {
    let (genes, samples) = truth.shape();
    check_length("recovered (genes)", genes, recovered.nrows())?;
    check_length("recovered (samples)", samples, recovered.ncols())?;
    check_value("genes", genes as f64, "at least 1", |v| v >= 1.0)?;
    check_value("samples", samples as f64, "at least 1", |v| v >= 1.0)?;
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
    recovered: MatRef<'a, f64>,
    truth: MatRef<'a, f64>,
    /// samples × genes
    truth_by_gene: Mat<f64>,
    recovered_by_gene: Mat<f64>,
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
        truth: MatRef<'a, f64>,
        recovered: MatRef<'a, f64>,
        most: usize,
        monitor: &Monitor<'_>,
    ) -> Result<Self, CoreError> {
        let (genes, samples) = truth.shape();
        let both = [truth, recovered];
        let by_gene = both.map(|x| x.transpose().to_owned());
        let order: Vec<Vec<u32>> = both
            .par_iter()
            .map(|x| {
                let values: Vec<f64> =
                    (0..samples).flat_map(|j| column(*x, j).iter().copied()).collect();
                order_of(&values)
            })
            .collect();
        let order: [Vec<u32>; 2] = order.try_into().expect("two matrices");
        monitor.check()?;
        let gene_order = [0, 1].map(|which: usize| -> Vec<Vec<u32>> {
            let by_gene = &by_gene[which];
            (0..genes).into_par_iter().map(|g| order_of(by_gene.col_as_slice(g))).collect()
        });
        monitor.check()?;
        let all = vec![true; genes];
        let of_samples: Vec<(f64, f64)> = (0..samples)
            .into_par_iter()
            .map(|j| {
                let (a, b) = (column(truth, j), column(recovered, j));
                let ranks = (ranks(a, &order_of(a), &all), ranks(b, &order_of(b), &all));
                (correlation(a, b, &all), correlation(&ranks.0, &ranks.1, &all))
            })
            .collect();
        let distant_samples = spread(samples, most);
        let sample_distances =
            both.map(|x| distances(distant_samples.len(), |k| column(x, distant_samples[k])));
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
                let a = self.truth_by_gene.col_as_slice(g);
                let b = self.recovered_by_gene.col_as_slice(g);
                let ranked = (
                    ranks(a, &self.gene_order[0][g], kept),
                    ranks(b, &self.gene_order[1][g], kept),
                );
                (correlation(a, b, kept), correlation(&ranked.0, &ranked.1, kept))
            })
            .collect();
        monitor.check()?;
        let (gene_pearson, gene_spearman): (Vec<f64>, Vec<f64>) = of_genes.into_iter().unzip();
        let overall = self.overall(kept);
        let own = |values: &[f64]| {
            let kept = values.iter().zip(kept).filter(|(_, &k)| k).map(|(v, _)| *v);
            mean_of_finite(kept)
        };
        let between_samples = self.between_samples(kept);
        let between_genes = self.between_genes(kept);
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

    fn overall(&self, kept: &[bool]) -> (f64, f64) {
        let flat = |x: MatRef<'_, f64>| -> Vec<f64> {
            (0..self.samples).flat_map(|j| column(x, j).iter().copied()).collect()
        };
        let kept: Vec<bool> = kept.iter().flat_map(|&k| (0..self.genes).map(move |_| k)).collect();
        let (a, b) = (flat(self.truth), flat(self.recovered));
        let pearson = correlation(&a, &b, &kept);
        let (a, b) = (ranks(&a, &self.order[0], &kept), ranks(&b, &self.order[1], &kept));
        (pearson, correlation(&a, &b, &kept))
    }

    fn between_samples(&self, kept: &[bool]) -> (f64, f64) {
        let kept: Vec<bool> = self.distant_samples.iter().map(|&i| kept[i]).collect();
        let pairs: Vec<bool> = (0..kept.len())
            .flat_map(|j| (0..j).map(move |i| (i, j)))
            .map(|(i, j)| kept[i] && kept[j])
            .collect();
        let part = |of: &[f64]| -> Vec<f64> {
            of.iter().zip(&pairs).filter(|(_, &k)| k).map(|(v, _)| *v).collect()
        };
        both_correlations(&part(&self.sample_distances[0]), &part(&self.sample_distances[1]))
    }

    fn between_genes(&self, kept: &[bool]) -> (f64, f64) {
        let between = |x: &Mat<f64>| {
            let part: Vec<Vec<f64>> = self
                .distant_genes
                .iter()
                .map(|&g| {
                    let own = x.col_as_slice(g).iter().zip(kept);
                    own.filter(|(_, &k)| k).map(|(v, _)| *v).collect()
                })
                .collect();
            distances(part.len(), |k| &part[k])
        };
        both_correlations(&between(&self.truth_by_gene), &between(&self.recovered_by_gene))
    }
}

fn both_correlations(a: &[f64], b: &[f64]) -> (f64, f64) {
    let all = vec![true; a.len()];
    let (x, y) = (ranks(a, &order_of(a), &all), ranks(b, &order_of(b), &all));
    (correlation(a, b, &all), correlation(&x, &y, &all))
}

/// `most` of 0..n, evenly spread.
fn spread(n: usize, most: usize) -> Vec<usize> {
    let taken = n.min(most.max(1));
    (0..taken).map(|k| k * n / taken).collect()
}

/// Euclidean distances of all pairs (i, j), i < j, ordered by j.
fn distances<'a>(n: usize, vector: impl Fn(usize) -> &'a [f64] + Sync) -> Vec<f64> {
    let columns: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map(|j| {
            let own = vector(j);
            (0..j).map(|i| squared_distance(vector(i), own).sqrt()).collect()
        })
        .collect();
    columns.concat()
}

fn order_of(values: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    order
}

/// Mean ranks among the entries that are kept, from the order of all.
fn ranks(values: &[f64], order: &[u32], kept: &[bool]) -> Vec<f64> {
    let mut out = vec![0.0; values.len()];
    let mut seen = 0usize;
    let mut at = 0;
    while at < order.len() {
        let value = values[order[at] as usize];
        let mut end = at;
        let mut tied = 0usize;
        while end < order.len() && values[order[end] as usize] == value {
            tied += usize::from(kept[order[end] as usize]);
            end += 1;
        }
        let rank = seen as f64 + (tied as f64 + 1.0) / 2.0;
        order[at..end].iter().for_each(|&i| out[i as usize] = rank);
        seen += tied;
        at = end;
    }
    out
}

/// Pearson correlation of the entries that are kept.  NaN when `truth` does not
/// vary; 0 when only the recovered values do not, for then nothing of the truth
/// is in them.
fn correlation(truth: &[f64], recovered: &[f64], kept: &[bool]) -> f64 {
    let pairs = || truth.iter().zip(recovered).zip(kept).filter(|(_, &k)| k).map(|(p, _)| p);
    let (mut n, mut sum_a, mut sum_b) = (0.0, 0.0, 0.0);
    pairs().for_each(|(a, b)| {
        n += 1.0;
        sum_a += a;
        sum_b += b;
    });
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    pairs().for_each(|(a, b)| {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    });
    // A sum of squares at rounding level is a constant.
    let constant = |squares: f64, mean: f64| squares <= n * (1e-14 * mean).powi(2);
    if n < 2.0 || constant(aa, mean_a) {
        f64::NAN
    } else if constant(bb, mean_b) {
        0.0
    } else {
        (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0)
    }
}

fn mean_of_finite(values: impl Iterator<Item = f64>) -> f64 {
    let (mut n, mut sum) = (0.0, 0.0);
    values.filter(|v| v.is_finite()).for_each(|v| {
        n += 1.0;
        sum += v;
    });
    if n > 0.0 {
        sum / n
    } else {
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::unmonitored;
    use crate::rng::{stream, Purpose};
    use rand_distr::{Distribution, StandardNormal};

    fn run(truth: &Mat<f64>, recovered: &Mat<f64>, groups: usize, threads: usize) -> Evaluation {
        let params = Params { groups, most_distances: 50, threads };
        unmonitored(|m| evaluate(truth.as_ref(), recovered.as_ref(), &params, m)).unwrap()
    }

    fn noisy(genes: usize, samples: usize, noise: f64) -> (Mat<f64>, Mat<f64>) {
        let mut rng = stream(4, Purpose::Start, 0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let truth = Mat::from_fn(genes, samples, |_, _| normal());
        let recovered = Mat::from_fn(genes, samples, |i, j| truth[(i, j)] + noise * normal());
        (truth, recovered)
    }

    #[test]
    fn a_scaled_copy_is_perfect_and_its_negative_is_the_opposite() {
        let (truth, _) = noisy(20, 12, 0.0);
        let copy = Mat::from_fn(20, 12, |i, j| 3.0 * truth[(i, j)] + 1.0);
        assert!(run(&truth, &copy, 4, 1).scores.iter().all(|s| (s - 1.0).abs() < 1e-12));
        let negative = Mat::from_fn(20, 12, |i, j| -truth[(i, j)]);
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
        let part = |x: &Mat<f64>| Mat::from_fn(15, rest.len(), |i, j| x[(i, rest[j])]);
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
