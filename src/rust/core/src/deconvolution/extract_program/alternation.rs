//! The alternation between the samples and the genes.

use super::genes::GeneBlock;
use super::ProgramParams;
use crate::base::convergence::Stop;
use crate::base::error::CoreError;
use crate::base::parallel::{over_blocks, with_threads, Monitor};
use crate::deconvolution::expression::Data;
use crate::deconvolution::{fit, Model, Params};
use crate::matrix::counts::Counts;
use crate::matrix::{from_fn, zeros, Array2, Columns, Matrix};

/// Genes that are worked on together.
const GENES: usize = 64;
/// Decrease of F, per unit of Σ w k, at which the model without programs is done.
const NULL_TOLERANCE: f64 = 1e-6;

/// One point of the search.
#[derive(Clone)]
pub struct State {
    pub programs: Array2<f64>,
    /// Sources, then programs, × samples.
    pub exposures: Array2<f64>,
    pub factors: Vec<f64>,
    pub objective: f64,
}

/// The fixed parts of the problem.
pub struct Problem<'a, 'd> {
    pub data: &'a Data<'d>,
    pub weights: &'a [f64],
    /// Counts, samples × genes.
    by_gene: Array2<f64>,
    /// Σ w k.
    total: f64,
    /// 1/τ²_g.
    prior: Vec<f64>,
    threads: usize,
}

impl<'a, 'd> Problem<'a, 'd> {
    pub fn new(data: &'a Data<'d>, weights: &'a [f64], tau2: &[f64], threads: usize) -> Self {
        let (n_genes, n_samples) = data.counts.dim();
        let total = (0..n_samples).flat_map(|s| data.counts.col(s).iter().zip(weights));
        Problem {
            data,
            weights,
            by_gene: from_fn((n_samples, n_genes), |s, g| data.counts[(g, s)]),
            total: total.map(|(k, w)| k * w).sum(),
            prior: tau2.iter().map(|t| 1.0 / t).collect(),
            threads,
        }
    }

    pub fn n_genes(&self) -> usize {
        self.data.counts.nrows()
    }

    pub fn n_samples(&self) -> usize {
        self.data.counts.ncols()
    }

    pub fn n_sources(&self) -> usize {
        self.data.sources.ncols()
    }

    /// Molecules of gene `g` in sample `s` that the sources hold.
    pub fn of_sources(&self, state: &State, g: usize, s: usize) -> f64 {
        let each = |j| self.data.sources[(g, j)] * state.exposures[(j, s)];
        (0..self.n_sources()).map(each).sum()
    }

    /// The optimum without programs.
    pub fn null(&self, max_iter: usize, monitor: &Monitor<'_>) -> Result<State, CoreError> {
        let mut null = State {
            programs: zeros((self.n_genes(), 0)),
            exposures: self.data.exposures.to_owned(),
            factors: vec![1.0; self.n_genes()],
            objective: f64::INFINITY,
        };
        self.update_genes(&mut null, monitor)?;
        for _ in 0..max_iter {
            let before = null.objective;
            self.update_samples(&mut null, monitor)?;
            self.update_genes(&mut null, monitor)?;
            if before - null.objective <= NULL_TOLERANCE * self.total {
                break;
            }
        }
        Ok(null)
    }

    /// Alternates until the decrease is small; returns F after each iteration.
    pub fn descend(
        &self,
        state: &mut State,
        max_iter: usize,
        params: &ProgramParams,
        monitor: &Monitor<'_>,
    ) -> Result<(Vec<f64>, Stop), CoreError> {
        let mut trace = Vec::new();
        for _ in 0..max_iter {
            monitor.check()?;
            let before = state.objective;
            self.update_genes(state, monitor)?;
            self.update_samples(state, monitor)?;
            trace.push(state.objective);
            if before - state.objective <= params.tolerance * self.total {
                return Ok((trace, Stop::Converged));
            }
        }
        Ok((trace, Stop::MaxIterations))
    }

    /// The convex problem of every sample, to its certified optimum.
    fn update_samples(&self, state: &mut State, monitor: &Monitor<'_>) -> Result<(), CoreError> {
        let n_sources = self.n_sources();
        // a program that has no mRNA anywhere stays as it is
        let silent: Vec<bool> = (0..state.programs.ncols())
            .map(|r| state.programs.col(r).iter().zip(self.weights).all(|(p, w)| p * w == 0.0))
            .collect();
        let kept: Vec<usize> = (0..silent.len()).filter(|&r| !silent[r]).collect();
        let sources = from_fn((self.n_genes(), n_sources + kept.len()), |g, j| {
            if j < n_sources {
                state.factors[g] * self.data.sources[(g, j)]
            } else {
                state.programs[(g, kept[j - n_sources])]
            }
        });
        let model = Model::new(sources.view(), self.data.lengths, self.weights, n_sources)?;
        let counts = Matrix::Dense(self.data.counts);
        let counts = Counts::new(counts, model.row_of_gene(), model.n_rows())?;
        let params = Params { threads: self.threads, max_iter: 200, ..Params::default() };
        let found = fit(&model, &counts, &params, &monitor.silent())?;
        let mut exposures = zeros((n_sources + silent.len(), self.n_samples()));
        for (s, sample) in found.samples.iter().enumerate() {
            for (j, value) in sample.exposures.iter().enumerate() {
                let row = if j < n_sources { j } else { n_sources + kept[j - n_sources] };
                exposures[(row, s)] = *value;
            }
        }
        let proposal = State { exposures, ..state.clone() };
        self.take_if_lower(state, proposal, monitor)
    }

    /// The convex problem of every gene.
    fn update_genes(&self, state: &mut State, monitor: &Monitor<'_>) -> Result<(), CoreError> {
        let n_programs = state.programs.ncols();
        let mut proposal = state.clone();
        let State { programs, factors, .. } = &mut proposal;
        self.over_genes(
            monitor,
            |g| self.best_of_gene(state, g),
            |g, point| {
                factors[g] = point[0];
                for r in 0..n_programs {
                    programs[(g, r)] = point[1 + r];
                }
            },
        )?;
        for r in 0..n_programs {
            let sum: f64 = proposal.programs.col(r).iter().sum();
            if sum > 0.0 {
                proposal.programs.col_mut(r).iter_mut().for_each(|p| *p /= sum);
                for s in 0..self.n_samples() {
                    proposal.exposures[(self.n_sources() + r, s)] *= sum;
                }
            }
        }
        self.take_if_lower(state, proposal, monitor)
    }

    /// b_g and the programs of gene `g` that suit the exposures.
    fn best_of_gene(&self, state: &State, g: usize) -> Vec<f64> {
        let (n_samples, n_programs) = (self.n_samples(), state.programs.ncols());
        let length = self.data.lengths[g];
        let mut block = GeneBlock {
            counts: self.by_gene.col(g),
            design: Vec::with_capacity(n_samples * (1 + n_programs)),
            weight: self.weights[g],
            prior: self.prior[g],
        };
        for s in 0..n_samples {
            block.design.push(length * self.of_sources(state, g, s));
            for r in 0..n_programs {
                block.design.push(length * state.exposures[(self.n_sources() + r, s)]);
            }
        }
        let mut point = vec![state.factors[g]];
        point.extend((0..n_programs).map(|r| state.programs[(g, r)]));
        block.minimise(&mut point);
        point
    }

    fn take_if_lower(
        &self,
        state: &mut State,
        mut proposal: State,
        monitor: &Monitor<'_>,
    ) -> Result<(), CoreError> {
        proposal.objective = self.objective(&proposal, monitor)?;
        if proposal.objective <= state.objective {
            *state = proposal;
        }
        Ok(())
    }

    fn objective(&self, state: &State, monitor: &Monitor<'_>) -> Result<f64, CoreError> {
        let (n_sources, n_programs) = (self.n_sources(), state.programs.ncols());
        let of_gene = |g: usize| {
            let mut sum = 0.0;
            for s in 0..self.n_samples() {
                let program: f64 = (0..n_programs)
                    .map(|r| state.programs[(g, r)] * state.exposures[(n_sources + r, s)])
                    .sum();
                let own = self.of_sources(state, g, s);
                let mean = self.data.lengths[g] * (state.factors[g] * own + program);
                sum += mean;
                let count = self.data.counts[(g, s)];
                if count > 0.0 && mean > 0.0 {
                    sum -= count * mean.ln();
                }
            }
            let factor = state.factors[g];
            self.weights[g] * sum + self.prior[g] * (factor - factor.ln())
        };
        let mut total = 0.0;
        self.over_genes(monitor, of_gene, |_, part| total += part)?;
        Ok(total)
    }

    /// Calls `work` for every gene and takes the answers in the order of genes.
    fn over_genes<T: Send>(
        &self,
        monitor: &Monitor<'_>,
        work: impl Fn(usize) -> T + Sync,
        mut take: impl FnMut(usize, T) + Send,
    ) -> Result<(), CoreError> {
        with_threads(self.threads, || {
            let block = |genes: std::ops::Range<usize>| Ok(genes.map(&work).collect::<Vec<T>>());
            over_blocks(self.n_genes(), GENES, monitor, block, |genes, answers| {
                genes.zip(answers).for_each(|(g, answer)| take(g, answer));
            })
        })?
    }
}
