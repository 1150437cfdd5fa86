//! Where the search for programs starts.

use super::alternation::{Problem, State};
use super::ProgramParams;
use crate::base::rng::{stream, Purpose};
use crate::matrix::linalg::{product, spectrum};
use crate::matrix::{from_fn, Array2, Columns};
use rand_distr::{Distribution, Exp1};

/// Share of a sample's molecules that a program starts with.
const FIRST_SHARE: f64 = 0.1;
/// What a sample starts with at least, as a part of the largest loading: a few
/// samples alone would write their own noise into the program's first profile.
const LEAST_LOADING: f64 = 0.05;

impl Problem<'_, '_> {
    /// The null model with programs that have the given loadings (programs ×
    /// samples) and the mean profile.
    pub fn begin(&self, null: &State, loadings: &Array2<f64>) -> State {
        let (n_sources, n_programs) = (self.n_sources(), loadings.nrows());
        let means: Vec<f64> = (0..self.n_genes())
            .map(|g| {
                let of_samples = (0..self.n_samples()).map(|s| self.data.counts[(g, s)]);
                (of_samples.sum::<f64>() + 1e-3) / self.data.lengths[g]
            })
            .collect();
        let sum: f64 = means.iter().sum();
        let programs = from_fn((self.n_genes(), n_programs), |g, _| means[g] / sum);
        let exposures = from_fn((n_sources + n_programs, self.n_samples()), |j, s| {
            if j < n_sources {
                null.exposures[(j, s)]
            } else {
                loadings[(j - n_sources, s)]
            }
        });
        State { programs, exposures, factors: null.factors.clone(), objective: f64::INFINITY }
    }

    /// Loadings to start from: both signs of the leading directions of the
    /// Pearson residuals over samples, then random ones.
    pub fn starts(&self, null: &State, params: &ProgramParams) -> Vec<Array2<f64>> {
        let shape = (params.n_programs, self.n_samples());
        let residuals = self.pearson_residuals(null);
        // largest eigenvalue first
        let directions = spectrum(&product(&residuals, &residuals.t())).vectors;
        let sizes: Vec<f64> = (0..self.n_samples())
            .map(|s| {
                let total = (0..self.n_sources()).map(|j| null.exposures[(j, s)]).sum::<f64>();
                FIRST_SHARE * total
            })
            .collect();
        let mut starts = Vec::new();
        if directions.iter().all(|d| d.is_finite()) {
            for sign in [1.0, -1.0] {
                starts.push(from_fn(shape, |r, s| {
                    let column = directions.col(r % self.n_samples());
                    let largest = column.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                    // programs beyond the first take their other sign in turn
                    let sign = if r % 2 == 0 { sign } else { -sign };
                    let part = (sign * column[s] / largest.max(1e-300)).max(0.0);
                    sizes[s] * (LEAST_LOADING + part)
                }));
            }
        }
        starts.truncate(params.n_starts);
        for start in starts.len()..params.n_starts {
            let mut rng = stream(params.seed, Purpose::Start, start);
            starts.push(from_fn(shape, |_, s| {
                let share: f64 = Exp1.sample(&mut rng);
                sizes[s] * share
            }));
        }
        starts
    }

    /// Samples × genes, weighted.
    fn pearson_residuals(&self, null: &State) -> Array2<f64> {
        from_fn((self.n_samples(), self.n_genes()), |s, g| {
            let own = self.of_sources(null, g, s);
            let mean = self.data.lengths[g] * null.factors[g] * own;
            if mean > 0.0 {
                let raw = self.data.counts[(g, s)] - mean;
                self.weights[g].sqrt() * raw / mean.sqrt()
            } else {
                0.0
            }
        })
    }
}
