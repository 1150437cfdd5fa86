//! How well the fitted means describe the counts, over the genes that carry
//! weight: sums from which every metric follows, gathered while a sample is at
//! hand, so that no fitted matrix is ever stored.

use super::model::Model;
use crate::matrix::linalg::multiply;
use crate::matrix::{from_columns, from_columns_mut};

/// Means and centred second moments of paired values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    pub n: f64,
    pub mean_x: f64,
    pub mean_y: f64,
    pub xx: f64,
    pub yy: f64,
    pub xy: f64,
}

impl Moments {
    /// Moments of two slices of one length, in two passes.
    pub fn of(x: &[f64], y: &[f64]) -> Self {
        let n = x.len() as f64;
        let mean_x = x.iter().sum::<f64>() / n;
        let mean_y = y.iter().sum::<f64>() / n;
        let mut moments = Moments { n, mean_x, mean_y, ..Moments::default() };
        for (x, y) in x.iter().zip(y) {
            let (dx, dy) = (x - mean_x, y - mean_y);
            moments.xx += dx * dx;
            moments.yy += dy * dy;
            moments.xy += dx * dy;
        }
        moments
    }

    /// Moments of both sets of pairs together (Chan, Golub and LeVeque 1979).
    pub fn merge(&mut self, other: &Moments) {
        let n = self.n + other.n;
        if n == 0.0 {
            return;
        }
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let shared = self.n * other.n / n;
        self.xx += other.xx + dx * dx * shared;
        self.yy += other.yy + dy * dy * shared;
        self.xy += other.xy + dx * dy * shared;
        self.mean_x += dx * other.n / n;
        self.mean_y += dy * other.n / n;
        self.n = n;
    }

    /// Pearson's correlation; NaN when a side does not vary.
    pub fn correlation(&self) -> f64 {
        self.xy / (self.xx * self.yy).sqrt()
    }
}

/// Fit of one sample; x is observed, y is fitted.
#[derive(Clone, Debug, Default)]
pub struct SampleMetrics {
    pub moments: Moments,
    /// Σ (k − μ)².
    pub squared_error: f64,
    /// Σ |k − μ| / (k + 1).
    pub relative_error: f64,
    /// Σ w (k log μ − μ): the log-likelihood without its term in k alone.
    pub log_likelihood: f64,
    /// 2 Σ w (k log(k/μ) − k + μ).
    pub deviance: f64,
    /// The same at the best fit of the uniform background alone.
    pub null_deviance: f64,
}

impl SampleMetrics {
    /// `counts` are the unweighted counts over the design's rows; what is found
    /// per gene is added to `genes`.
    pub fn new(model: &Model, counts: &[f64], exposures: &[f64], genes: &mut GeneMoments) -> Self {
        let fitted = fitted_means(model, exposures);
        let n = model.n_used();
        let (k, mu) = (&counts[..n], &fitted[..n]);
        let mut metrics = SampleMetrics { moments: Moments::of(k, mu), ..Self::default() };
        let (mut reads, mut room) = (0.0, 0.0);
        // Σ w k log k, Σ w k log μ, Σ w μ and Σ w k log ℓ.
        let (mut own, mut at_fit, mut mean, mut at_null) = (0.0, 0.0, 0.0, 0.0);
        for g in 0..n {
            let (k, mu, w) = (k[g], mu[g], model.weights()[g]);
            metrics.squared_error += (k - mu) * (k - mu);
            metrics.relative_error += (k - mu).abs() / (k + 1.0);
            if k > 0.0 {
                own += w * k * k.ln();
                at_fit += w * k * mu.ln();
                at_null += w * k * model.log_lengths()[g];
            }
            mean += w * mu;
            reads += w * k;
            room += w * model.lengths()[g];
        }
        metrics.log_likelihood = at_fit - mean;
        metrics.deviance = 2.0 * (own - at_fit - reads + mean);
        metrics.null_deviance = 2.0 * (own - at_null - reads * (reads / room).ln());
        genes.push(k, mu);
        metrics
    }
}

/// μ over the rows of the design.
pub fn fitted_means(model: &Model, exposures: &[f64]) -> Vec<f64> {
    let mut fitted = vec![0.0; model.n_rows()];
    let mut column = from_columns_mut(&mut fitted, (model.n_rows(), 1));
    multiply(&mut column, model.design(), &from_columns(exposures, (exposures.len(), 1)));
    fitted
}

/// Moments of observed and fitted counts per gene, over samples.
pub struct GeneMoments {
    genes: Vec<Moments>,
}

impl GeneMoments {
    pub fn new(n_genes: usize) -> Self {
        GeneMoments { genes: vec![Moments::default(); n_genes] }
    }

    fn push(&mut self, observed: &[f64], fitted: &[f64]) {
        for (gene, (&mean_x, &mean_y)) in self.genes.iter_mut().zip(observed.iter().zip(fitted)) {
            gene.merge(&Moments { n: 1.0, mean_x, mean_y, ..Moments::default() });
        }
    }

    pub fn merge(&mut self, other: &GeneMoments) {
        for (gene, more) in self.genes.iter_mut().zip(&other.genes) {
            gene.merge(more);
        }
    }

    /// Moments of each gene, in the order of the design's rows.
    pub fn as_slice(&self) -> &[Moments] {
        &self.genes
    }
}

/// Moments of genes over a part of a cohort, as the nodes of a binary tree over its
/// blocks of samples: node i of level l covers the blocks i 2^l to (i + 1) 2^l - 1.
///
/// Parts of a cohort know only the nodes that lie within them; whoever joins the parts
/// merges neighbours as [`push`](Self::push) does.  The sums have the same order, and the
/// same bits, however the cohort was cut.
#[derive(Default)]
pub struct MomentTree {
    nodes: Vec<MomentNode>,
}

pub struct MomentNode {
    pub level: usize,
    pub index: usize,
    pub genes: GeneMoments,
}

impl MomentTree {
    /// Adds block number `index`, the one after that added before.
    pub fn push(&mut self, index: usize, genes: GeneMoments) {
        let mut node = MomentNode { level: 0, index, genes };
        while node.index % 2 == 1 && self.nodes.last().is_some_and(|left| left.level == node.level)
        {
            let mut left = self.nodes.pop().expect("there is a last one");
            left.genes.merge(&node.genes);
            node = MomentNode { level: left.level + 1, index: left.index / 2, genes: left.genes };
        }
        self.nodes.push(node);
    }

    /// From the first block to the last.
    pub fn nodes(&self) -> &[MomentNode] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_parts_merge_into_moments_of_the_whole() {
        let x: Vec<f64> = (0..40).map(|i| (i as f64 * 0.7).sin() + 1e6).collect();
        let y: Vec<f64> = (0..40).map(|i| (i as f64 * 0.7 + 0.3).sin()).collect();
        let whole = Moments::of(&x, &y);
        let mut merged = Moments::default();
        for (x, y) in x.chunks(7).zip(y.chunks(7)) {
            merged.merge(&Moments::of(x, y));
        }
        assert!((whole.correlation() - merged.correlation()).abs() < 1e-9);
        assert!((whole.correlation() - 0.3f64.cos()).abs() < 0.02);
    }

    #[test]
    fn parts_of_a_cohort_know_nodes_of_one_tree() {
        let block = |index: usize| {
            let mut genes = GeneMoments::new(1);
            genes.push(&[(index as f64).sin()], &[1.0 / (1.0 + index as f64)]);
            genes
        };
        let tree = |blocks: std::ops::Range<usize>| {
            let mut tree = MomentTree::default();
            blocks.for_each(|index| tree.push(index, block(index)));
            tree
        };
        let places = |tree: &MomentTree| -> Vec<(usize, usize)> {
            tree.nodes().iter().map(|node| (node.level, node.index)).collect()
        };
        let whole = tree(0..11);
        assert_eq!(places(&whole), [(3, 0), (1, 4), (0, 10)]);
        let parts = [tree(0..3), tree(3..8)];
        assert_eq!(places(&parts[0]), [(1, 0), (0, 2)]);
        assert_eq!(places(&parts[1]), [(0, 3), (2, 1)]);
        // (0, 2) and (0, 3) are (1, 1), that and (1, 0) are (2, 0), that and (2, 1) (3, 0)
        let of = |part: usize, node: usize| parts[part].nodes()[node].genes.as_slice()[0];
        let mut first = of(0, 1);
        first.merge(&of(1, 0));
        let mut joined = of(0, 0);
        joined.merge(&first);
        joined.merge(&of(1, 1));
        assert_eq!(joined, whole.nodes()[0].genes.as_slice()[0]);
    }
}
