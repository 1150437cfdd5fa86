//! Agreement of the clusterings that the runs of a factorisation imply.
//!
//! Run r puts sample j into cluster c_r(j), its largest coefficient; the
//! consensus is C_ij = mean over r of [c_r(i) = c_r(j)] (Monti et al. 2003;
//! Brunet et al. 2004).  Only the labels are kept, samples × runs, and nothing
//! of the size of C is made unless the caller asks for its triangle.

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{with_threads, Monitor};
use rayon::prelude::*;

/// Labels of items × runs, column-major, counted from 1.
pub struct Labels<'a> {
    labels: &'a [i32],
    n_items: usize,
    n_labels: usize,
}

impl<'a> Labels<'a> {
    /// # Errors
    /// `Shape` when there are not `n_items` labels per run, `Argument` for no
    /// run and for a label below 1.
    pub fn new(labels: &'a [i32], n_items: usize) -> Result<Self, CoreError> {
        let n_runs = labels.len().checked_div(n_items).unwrap_or(0);
        check_value("runs", n_runs as f64, "at least 1", |n| n >= 1.0)?;
        check_length("labels", n_items * n_runs, labels.len())?;
        let least = labels.iter().copied().min().unwrap_or(1);
        check_value("labels", least.into(), "at least 1", |l| l >= 1.0)?;
        let n_labels = labels.iter().copied().max().unwrap_or(1) as usize;
        Ok(Labels { labels, n_items, n_labels })
    }

    fn n_runs(&self) -> usize {
        self.labels.len() / self.n_items
    }

    fn run(&self, r: usize) -> &'a [i32] {
        &self.labels[r * self.n_items..(r + 1) * self.n_items]
    }

    /// 1 − C below the diagonal, column by column, as R's `dist` holds it.
    ///
    /// # Errors
    /// `Threads`, and `Interrupted` when the monitor says so.
    pub fn distances(&self, threads: usize, monitor: &Monitor<'_>) -> Result<Vec<f64>, CoreError> {
        let n = self.n_items;
        let n_runs = self.n_runs();
        // the labels of an item side by side
        let mut by_item = vec![0; self.labels.len()];
        for r in 0..n_runs {
            for (i, &label) in self.run(r).iter().enumerate() {
                by_item[i * n_runs + r] = label;
            }
        }
        let item = |i: usize| &by_item[i * n_runs..(i + 1) * n_runs];
        let mut out = vec![0.0; n * (n - 1) / 2];
        let mut columns = Vec::with_capacity(n - 1);
        let mut rest = out.as_mut_slice();
        for j in 0..n - 1 {
            let (column, others) = rest.split_at_mut(n - 1 - j);
            columns.push((j, column));
            rest = others;
        }
        with_threads(threads, || {
            columns.into_par_iter().try_for_each(|(j, column)| {
                monitor.check()?;
                for (below, distance) in column.iter_mut().enumerate() {
                    let other = item(j + 1 + below);
                    let differing = item(j).iter().zip(other).filter(|(a, b)| a != b).count();
                    *distance = differing as f64 / n_runs as f64;
                }
                Ok(())
            })
        })??;
        Ok(out)
    }

    /// Σ_ij C_ij and Σ_ij C_ij² over all ordered pairs, the diagonal included.
    ///
    /// With n_rs(a, b) items that have label a in run r and b in run s,
    /// R² Σ_ij C_ij² = Σ_rs Σ_ab n_rs(a, b)²: exact in time items × runs²,
    /// whatever the number of items.
    ///
    /// # Errors
    /// `Threads`, and `Interrupted` when the monitor says so.
    pub fn moments(&self, threads: usize, monitor: &Monitor<'_>) -> Result<(f64, f64), CoreError> {
        let n_runs = self.n_runs();
        let pairs: Vec<(usize, usize)> =
            (0..n_runs).flat_map(|r| (0..=r).map(move |s| (r, s))).collect();
        let sums: Vec<f64> = with_threads(threads, || {
            pairs
                .par_iter()
                .map(|&(r, s)| {
                    monitor.check()?;
                    let mut table = vec![0_u64; self.n_labels * self.n_labels];
                    for (&a, &b) in self.run(r).iter().zip(self.run(s)) {
                        table[(a as usize - 1) * self.n_labels + b as usize - 1] += 1;
                    }
                    Ok(table.iter().map(|&count| (count as f64).powi(2)).sum())
                })
                .collect::<Result<_, CoreError>>()
        })??;
        let (mut first, mut second) = (0.0, 0.0);
        for (&(r, s), &sum) in pairs.iter().zip(&sums) {
            if r == s {
                first += sum;
                second += sum;
            } else {
                second += 2.0 * sum;
            }
        }
        let runs = n_runs as f64;
        Ok((first / runs, second / (runs * runs)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::base::rng::{stream, Purpose};
    use rand::Rng;

    fn random_labels(n_items: usize, n_runs: usize, k: i32) -> Vec<i32> {
        let mut rng = stream(3, Purpose::Start, n_items);
        (0..n_items * n_runs).map(|_| rng.random_range(1..=k)).collect()
    }

    #[test]
    fn moments_are_those_of_the_consensus_matrix() {
        let (n, runs) = (23, 7);
        let labels = random_labels(n, runs, 4);
        let view = Labels::new(&labels, n).unwrap();
        let (mut first, mut second) = (0.0, 0.0);
        for i in 0..n {
            for j in 0..n {
                let agreeing = (0..runs).filter(|r| labels[r * n + i] == labels[r * n + j]).count();
                let c = agreeing as f64 / runs as f64;
                first += c;
                second += c * c;
            }
        }
        let found = unmonitored(|monitor| view.moments(2, monitor)).unwrap();
        assert!((found.0 - first).abs() < 1e-10, "{found:?} {first}");
        assert!((found.1 - second).abs() < 1e-10, "{found:?} {second}");
        let distances = unmonitored(|monitor| view.distances(1, monitor)).unwrap();
        let below: f64 = distances.iter().map(|d| 1.0 - d).sum();
        assert!((2.0 * below + n as f64 - first).abs() < 1e-10);
        let again = unmonitored(|monitor| view.distances(3, monitor)).unwrap();
        assert_eq!(distances, again);
    }

    #[test]
    fn distances_are_ordered_as_r_orders_them() {
        // items 1 and 3 always agree, item 2 with them in one run of two
        let labels = [1, 1, 1, 2, 1, 2];
        let view = Labels::new(&labels, 3).unwrap();
        let distances = unmonitored(|monitor| view.distances(1, monitor)).unwrap();
        assert_eq!(distances, [0.5, 0.0, 0.5]);
    }

    #[test]
    fn labels_that_are_none_are_refused() {
        assert_eq!(Labels::new(&[1, 2, 1], 2).err().unwrap().kind(), "shape");
        assert_eq!(Labels::new(&[1, 0], 2).err().unwrap().kind(), "argument");
        assert_eq!(Labels::new(&[], 2).err().unwrap().kind(), "argument");
    }
}
