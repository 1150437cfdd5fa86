//! Random numbers of the Bayesian bootstrap (Rubin 1981), in which units get
//! random weights instead of multiplicities.

use crate::base::error::{check_memory, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::{zeros, Array2, Columns};
use rand_distr::{Distribution, Open01};

/// Weights of genes, n × replicates, columns with mean 1: n times a draw from the
/// flat Dirichlet distribution.  Each replicate has a stream of its own.
///
/// # Errors
/// `Argument` for no genes; `Memory`, `Interrupted`.
pub fn gene_weights(
    seed: u64,
    n: usize,
    replicates: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let mut weights = uniforms((seed, Purpose::Bootstrap), n, replicates, monitor)?;
    for replicate in 0..replicates {
        let column = weights.col_mut(replicate);
        // exponential numbers over their sum
        column.iter_mut().for_each(|w| *w = -w.ln());
        let total: f64 = column.iter().sum();
        column.iter_mut().for_each(|w| *w *= n as f64 / total);
    }
    Ok(weights)
}

/// Uniform numbers between 0 and 1, n × replicates, of which the weights of donors
/// are quantiles; in streams that genes do not use.
///
/// # Errors
/// `Argument` for no donors; `Memory`, `Interrupted`.
pub fn donor_uniforms(
    seed: u64,
    n: usize,
    replicates: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    uniforms((seed, Purpose::BootstrapDonors), n, replicates, monitor)
}

fn uniforms(
    (seed, purpose): (u64, Purpose),
    n: usize,
    replicates: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    check_value("n", n as f64, "at least 1", |n| n >= 1.0)?;
    check_memory("replicates", &[n, replicates])?;
    let mut out = zeros((n, replicates));
    for replicate in 0..replicates {
        monitor.check()?;
        let mut rng = stream(seed, purpose, replicate);
        out.col_mut(replicate).iter_mut().for_each(|v| *v = Open01.sample(&mut rng));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;

    fn gene_weights(seed: u64, n: usize, replicates: usize) -> Array2<f64> {
        unmonitored(|monitor| super::gene_weights(seed, n, replicates, monitor)).unwrap()
    }

    fn donor_uniforms(seed: u64, n: usize, replicates: usize) -> Array2<f64> {
        unmonitored(|monitor| super::donor_uniforms(seed, n, replicates, monitor)).unwrap()
    }

    #[test]
    fn weights_have_the_variance_of_a_flat_dirichlet() {
        // Var(w_i / n) = (n − 1) / (n² (n + 1))
        for n in [3, 10] {
            let replicates = 20_000;
            let weights = gene_weights(7, n, replicates);
            let first: Vec<f64> = (0..replicates).map(|r| weights[(0, r)] / n as f64).collect();
            let mean = first.iter().sum::<f64>() / replicates as f64;
            let variance =
                first.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / replicates as f64;
            let n = n as f64;
            let expected = (n - 1.0) / (n * n * (n + 1.0));
            // 20,000 draws: about 1 % for mean and variance
            assert!((mean * n - 1.0).abs() < 0.05, "{n}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{n}: {variance}");
        }
    }

    #[test]
    fn donors_and_genes_share_no_stream() {
        // gene weights fall with the uniform numbers that they come from: were the
        // streams shared, their ranks would be opposite
        let (n, replicates) = (200, 5);
        let ranks = |values: &[f64]| -> Vec<f64> {
            let below = |v: f64| values.iter().filter(|&&other| other < v).count() as f64;
            values.iter().map(|&v| below(v)).collect()
        };
        for (donors_seed, genes_seed) in [(1, 1), (1, 2), (2, 1)] {
            let donors = donor_uniforms(donors_seed, n, replicates);
            let genes = gene_weights(genes_seed, n, replicates);
            for replicate in 0..replicates {
                let a = ranks(donors.col(replicate));
                let b = ranks(genes.col(replicate));
                let middle = (n - 1) as f64 / 2.0;
                let along: f64 = a.iter().zip(&b).map(|(a, b)| (a - middle) * (b - middle)).sum();
                let square: f64 = a.iter().map(|a| (a - middle).powi(2)).sum();
                // the correlation of independent ranks has a deviation of 0.07
                assert!((along / square).abs() < 0.35, "{donors_seed} {genes_seed}");
            }
        }
    }
}
