//! Stability of partitions under splits of the samples.

use super::kmeans::{assign, centres, Points};
use crate::base::error::CoreError;
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use ndarray::{Array3, ArrayView2};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// What is tried, and how often.
pub struct Stability {
    /// Dimensions of one data set.
    pub dimensions: usize,
    /// Numbers of clusters to try.
    pub clusters: Vec<usize>,
    /// Random splits of the samples into halves.
    pub splits: usize,
    /// Starts of each k-means.
    pub starts: usize,
    pub seed: u64,
}

/// How well two halves of the samples agree about all of them: clusters × splits ×
/// data sets.
///
/// `x` holds data sets side by side, samples × (dimensions · sets).  Each half is
/// clustered alone; its centres then sort all samples, and the two partitions are
/// compared by the adjusted Rand index (Hubert and Arabie 1985).
///
/// # Errors
/// `Argument` where a half has fewer samples than clusters, `Shape` where dimensions do
/// not fit, and `Interrupted`.
pub fn split_stability(
    x: ArrayView2<'_, f64>,
    settings: &Stability,
    monitor: &Monitor<'_>,
) -> Result<Array3<f64>, CoreError> {
    let (n, d) = (x.nrows(), settings.dimensions);
    let most = settings.clusters.iter().copied().max().unwrap_or(1);
    if d == 0 || x.ncols() % d != 0 {
        return Err(CoreError::Shape { what: "data sets", expected: d, found: x.ncols() });
    }
    if n / 2 < most || settings.clusters.contains(&0) {
        let expected = "from 1 to half of the samples";
        return Err(CoreError::Argument { name: "clusters", found: most as f64, expected });
    }
    let sets = x.ncols() / d;
    let rows: Vec<Vec<f64>> = (0..sets)
        .map(|set| {
            (0..n).flat_map(|i| (0..d).map(move |j| (i, set * d + j))).map(|at| x[at]).collect()
        })
        .collect();
    let parts: Vec<Vec<f64>> = (0..sets * settings.splits)
        .into_par_iter()
        .map(|task| {
            monitor.check()?;
            let (set, split) = (task / settings.splits, task % settings.splits);
            let points = Points { values: &rows[set], dimensions: d };
            let mut rng = stream(settings.seed, Purpose::Splits, task);
            let mut order: Vec<usize> = (0..n).collect();
            order.shuffle(&mut rng);
            let (one, two) = order.split_at(n / 2);
            let agreement = settings.clusters.iter().map(|&k| {
                let [a, b] = [one, two].map(|half| {
                    assign(points, n, &centres(points, half, k, settings.starts, &mut rng))
                });
                adjusted_rand(&a, &b, k)
            });
            let out = agreement.collect();
            if split + 1 == settings.splits {
                monitor.advance(1);
            }
            Ok(out)
        })
        .collect::<Result<_, CoreError>>()?;
    let shape = (settings.clusters.len(), settings.splits, sets);
    Ok(Array3::from_shape_fn(shape, |(k, split, set)| parts[set * settings.splits + split][k]))
}

/// 1 for the same partition, about 0 for unrelated ones; 1 where neither divides anything.
fn adjusted_rand(a: &[usize], b: &[usize], k: usize) -> f64 {
    let mut both = vec![0.0; k * k];
    a.iter().zip(b).for_each(|(&i, &j)| both[i * k + j] += 1.0);
    let pairs = |x: f64| x * (x - 1.0) / 2.0;
    let rows = |i: usize| (0..k).map(|j| both[i * k + j]).sum::<f64>();
    let columns = |j: usize| (0..k).map(|i| both[i * k + j]).sum::<f64>();
    let together: f64 = both.iter().map(|&x| pairs(x)).sum();
    let of_a: f64 = (0..k).map(|i| pairs(rows(i))).sum();
    let of_b: f64 = (0..k).map(|j| pairs(columns(j))).sum();
    let expected = of_a * of_b / pairs(a.len() as f64);
    let most = (of_a + of_b) / 2.0;
    if most - expected <= 0.0 {
        return 1.0;
    }
    (together - expected) / (most - expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::{unmonitored, with_threads};
    use ndarray::Array2;
    use rand::Rng;

    fn cloud(n: usize, groups: usize, apart: f64) -> Array2<f64> {
        let mut rng = stream(3, Purpose::Cells, 0);
        Array2::from_shape_fn((n, 2), |(i, j)| {
            let noise: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            noise + if j == 0 { apart * (i % groups) as f64 } else { 0.0 }
        })
    }

    fn settings(clusters: Vec<usize>) -> Stability {
        Stability { dimensions: 2, clusters, splits: 8, starts: 4, seed: 1 }
    }

    #[test]
    fn the_number_of_far_groups_is_the_stable_one() {
        let x = cloud(60, 3, 15.0);
        let found =
            unmonitored(|monitor| split_stability(x.view(), &settings(vec![2, 3, 4]), monitor))
                .unwrap();
        let mean = found.mean_axis(ndarray::Axis(1)).unwrap();
        assert_eq!(mean[(1, 0)], 1.0);
        assert!(mean[(0, 0)] < 0.9 && mean[(2, 0)] < 0.9);
    }

    #[test]
    fn threads_and_company_do_not_matter() {
        let x = cloud(40, 2, 1.0);
        let twice = ndarray::concatenate![ndarray::Axis(1), x.view(), cloud(40, 3, 1.0).view()];
        let run = |x: ArrayView2<'_, f64>, threads| {
            let run = || unmonitored(|m| split_stability(x, &settings(vec![2, 3]), m));
            with_threads(threads, run).unwrap().unwrap()
        };
        let one = run(twice.view(), 1);
        assert_eq!(one, run(twice.view(), 3));
        let alone = run(x.view(), 1);
        assert_eq!(alone.index_axis(ndarray::Axis(2), 0), one.index_axis(ndarray::Axis(2), 0));
    }

    #[test]
    fn the_index_is_that_of_hubert_and_arabie() {
        // by hand: 2 pairs together, 6 in a, 3 in b, 15 in all
        let (a, b) = ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]);
        let expected = 6.0 * 3.0 / 15.0;
        let index = (2.0 - expected) / ((6.0 + 3.0) / 2.0 - expected);
        assert!((adjusted_rand(&a, &b, 3) - index).abs() < 1e-12);
        assert_eq!(adjusted_rand(&a, &a, 3), 1.0);
        assert_eq!(adjusted_rand(&[0; 4], &[0; 4], 2), 1.0);
    }

    #[test]
    fn too_few_samples_are_refused() {
        let x = cloud(6, 2, 1.0);
        let found = unmonitored(|m| split_stability(x.view(), &settings(vec![4]), m));
        assert!(found.is_err());
    }
}
