//! Expression programs of a cohort that no signature holds: low-rank Poisson
//! factors beside fixed signatures.
//!
//! k_gs ~ Poisson(μ_gs), μ_gs = ℓ_g (b_g Σ_j S_gj e_js + Σ_r P_gr l_rs), with
//! P, l, e ≥ 0 and columns of P that sum to 1.  The factor b_g per gene takes
//! what is off in all samples alike; its gamma prior with mean 1 and variance τ²
//! adds (b_g − log b_g)/τ² to the objective
//!
//! > F = Σ_gs w_g (μ_gs − k_gs log μ_gs) + Σ_g (b_g − log b_g)/τ².
//!
//! F is convex in (e, l) for given (b, P), sample by sample, and in (b, P) for
//! given (e, l), gene by gene.  Both blocks are solved by Newton's method under
//! bounds, so F never rises.

mod genes;
mod test;

pub use test::{test_genes, GeneTests};

use self::genes::GeneBlock;
use super::expression::Data;
use super::{fit, Model, Params};
use crate::counts::Counts;
use crate::error::{check_length, check_value, CoreError};
use crate::matrix::Matrix;
use crate::parallel::{with_threads, Monitor};
use crate::rng::{stream, Purpose};
use faer::Mat;
use rand_distr::{Distribution, Exp1};
use rayon::prelude::*;

/// Share of a sample's molecules that a program starts with.
const FIRST_SHARE: f64 = 0.1;
/// Iterations after which the best start is chosen.
const TRIAL: usize = 8;

/// Settings of [`fit_program`].
#[derive(Clone, Debug)]
pub struct ProgramParams {
    pub n_programs: usize,
    /// Starting points; the first come from the residuals, others at random.
    pub n_starts: usize,
    pub max_iter: usize,
    /// Decrease of the objective, per unit of Σ w k, at which the fit stops.
    pub tolerance: f64,
    pub seed: u64,
    pub threads: usize,
}

/// Why a fit stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramStop {
    Converged,
    MaxIterations,
}

pub struct ProgramFit {
    /// Genes × programs, columns sum to 1.
    pub programs: Mat<f64>,
    /// Programs × samples.
    pub loadings: Mat<f64>,
    /// Sources × samples.
    pub exposures: Mat<f64>,
    /// b_g.
    pub factors: Vec<f64>,
    /// F after each iteration, of the best start.
    pub trace: Vec<f64>,
    /// F without any program.
    pub null_objective: f64,
    /// F of every start after the trial.
    pub starts: Vec<f64>,
    pub stop: ProgramStop,
}

/// One point of the search.
#[derive(Clone)]
struct State {
    programs: Mat<f64>,
    /// Sources, then programs, × samples.
    exposures: Mat<f64>,
    factors: Vec<f64>,
    objective: f64,
}

/// The fixed parts of the problem.
struct Problem<'a> {
    data: &'a Data<'a>,
    weights: &'a [f64],
    counts: Vec<f64>,
    by_gene: Vec<f64>,
    /// Σ w k.
    total: f64,
    /// 1/τ²_g.
    prior: Vec<f64>,
    threads: usize,
}

/// Fits programs beside the sources of `data`; its exposures are where the
/// search starts.  `weights` are w_g > 0, the reciprocals of the dispersion; `tau2` holds
/// τ²_g, the variance of the factor between reference and bulk.
///
/// # Errors
/// `Shape`, `Argument`, `EmptySample`, `Threads`, `Interrupted`.
pub fn fit_program(
    data: &Data<'_>,
    weights: &[f64],
    tau2: &[f64],
    params: &ProgramParams,
    monitor: &Monitor<'_>,
) -> Result<ProgramFit, CoreError> {
    let (n_genes, n_samples) = data.counts.shape();
    check_length("weights", n_genes, weights.len())?;
    let at_least_one = |v: f64| v >= 1.0;
    check_value("n_programs", params.n_programs as f64, "at least 1", at_least_one)?;
    check_value("n_starts", params.n_starts as f64, "at least 1", at_least_one)?;
    check_value("max_iter", params.max_iter as f64, "at least 1", at_least_one)?;
    check_length("tau2", n_genes, tau2.len())?;
    for &t in tau2 {
        check_value("tau2", t, "positive", |t| t > 0.0 && t.is_finite())?;
    }
    let counts: Vec<f64> =
        (0..n_samples).flat_map(|s| data.counts.col(s).iter().copied()).collect();
    let by_gene: Vec<f64> =
        (0..n_genes).flat_map(|g| (0..n_samples).map(move |s| data.counts[(g, s)])).collect();
    let total = (0..n_samples).flat_map(|s| data.counts.col(s).iter().zip(weights));
    let problem = Problem {
        data,
        weights,
        total: total.map(|(k, w)| k * w).sum(),
        counts,
        by_gene,
        prior: tau2.iter().map(|t| 1.0 / t).collect(),
        threads: params.threads,
    };
    let mut null = State {
        programs: Mat::zeros(n_genes, 0),
        exposures: data.exposures.to_owned(),
        factors: vec![1.0; n_genes],
        objective: f64::INFINITY,
    };
    problem.update_genes(&mut null)?;
    for _ in 0..params.max_iter {
        let before = null.objective;
        problem.update_samples(&mut null, monitor)?;
        problem.update_genes(&mut null)?;
        if before - null.objective <= 1e-6 * problem.total {
            break;
        }
    }
    let starts = problem.starts(&null, params);
    let n_starts = starts.len();
    let mut tried = Vec::with_capacity(n_starts);
    for loadings in starts {
        let mut state = problem.begin(&null, &loadings);
        let trace = problem.descend(&mut state, TRIAL.min(params.max_iter), params, monitor)?.0;
        monitor.advance(1);
        tried.push((state, trace));
    }
    let objectives: Vec<f64> = tried.iter().map(|t| t.0.objective).collect();
    let best = (0..n_starts).min_by(|&a, &b| objectives[a].total_cmp(&objectives[b]));
    let (mut state, mut trace) = tried.swap_remove(best.unwrap_or(0));
    let left = params.max_iter.saturating_sub(trace.len());
    let (more, stop) = problem.descend(&mut state, left, params, monitor)?;
    trace.extend(more);
    let n_sources = data.sources.ncols();
    Ok(ProgramFit {
        loadings: state.exposures.as_ref().subrows(n_sources, params.n_programs).to_owned(),
        exposures: state.exposures.as_ref().subrows(0, n_sources).to_owned(),
        programs: state.programs,
        factors: state.factors,
        trace,
        null_objective: null.objective,
        starts: objectives,
        stop,
    })
}

impl Problem<'_> {
    fn n_genes(&self) -> usize {
        self.data.counts.nrows()
    }

    fn n_samples(&self) -> usize {
        self.data.counts.ncols()
    }

    fn n_sources(&self) -> usize {
        self.data.sources.ncols()
    }

    /// Alternates until the decrease is small; returns F after each iteration.
    fn descend(
        &self,
        state: &mut State,
        max_iter: usize,
        params: &ProgramParams,
        monitor: &Monitor<'_>,
    ) -> Result<(Vec<f64>, ProgramStop), CoreError> {
        let mut trace = Vec::new();
        for _ in 0..max_iter {
            monitor.check()?;
            let before = state.objective;
            self.update_genes(state)?;
            self.update_samples(state, monitor)?;
            trace.push(state.objective);
            if before - state.objective <= params.tolerance * self.total {
                return Ok((trace, ProgramStop::Converged));
            }
        }
        Ok((trace, ProgramStop::MaxIterations))
    }

    /// The convex problem of every sample, to its certified optimum.
    fn update_samples(&self, state: &mut State, monitor: &Monitor<'_>) -> Result<(), CoreError> {
        let n_sources = self.n_sources();
        // a program that has no mRNA anywhere stays as it is
        let silent: Vec<bool> = (0..state.programs.ncols())
            .map(|r| state.programs.col(r).iter().zip(self.weights).all(|(p, w)| p * w == 0.0))
            .collect();
        let kept: Vec<usize> = (0..silent.len()).filter(|&r| !silent[r]).collect();
        let sources = Mat::from_fn(self.n_genes(), n_sources + kept.len(), |g, j| {
            if j < n_sources {
                state.factors[g] * self.data.sources[(g, j)]
            } else {
                state.programs[(g, kept[j - n_sources])]
            }
        });
        let model = Model::new(sources.as_ref(), self.data.lengths, self.weights, n_sources)?;
        let every_gene: Vec<i32> = model.row_of_gene().to_vec();
        let shape = (self.n_genes(), self.n_samples());
        let counts = Counts::new(Matrix::dense(&self.counts, shape)?, &every_gene, model.n_rows())?;
        let params = Params { threads: self.threads, max_iter: 200, ..Params::default() };
        let found = fit(&model, &counts, &params, &monitor.silent())?;
        let mut exposures = Mat::zeros(n_sources + silent.len(), self.n_samples());
        for (s, sample) in found.samples.iter().enumerate() {
            for (j, value) in sample.exposures.iter().enumerate() {
                let row = if j < n_sources { j } else { n_sources + kept[j - n_sources] };
                exposures[(row, s)] = *value;
            }
        }
        let proposal = State { exposures, ..state.clone() };
        self.take_if_lower(state, proposal)
    }

    /// The convex problem of every gene.
    fn update_genes(&self, state: &mut State) -> Result<(), CoreError> {
        let (n_samples, n_programs) = (self.n_samples(), state.programs.ncols());
        let n_sources = self.n_sources();
        let found: Vec<Vec<f64>> = with_threads(self.threads, || {
            (0..self.n_genes())
                .into_par_iter()
                .with_min_len(64)
                .map(|g| {
                    let length = self.data.lengths[g];
                    let mut block = GeneBlock {
                        counts: &self.by_gene[g * n_samples..(g + 1) * n_samples],
                        design: Vec::with_capacity(n_samples * (1 + n_programs)),
                        weight: self.weights[g],
                        prior: self.prior[g],
                    };
                    for s in 0..n_samples {
                        let own: f64 = (0..n_sources)
                            .map(|j| self.data.sources[(g, j)] * state.exposures[(j, s)])
                            .sum();
                        block.design.push(length * own);
                        for r in 0..n_programs {
                            block.design.push(length * state.exposures[(n_sources + r, s)]);
                        }
                    }
                    let mut point = vec![state.factors[g]];
                    point.extend((0..n_programs).map(|r| state.programs[(g, r)]));
                    block.minimise(&mut point);
                    point
                })
                .collect()
        })?;
        let mut proposal = state.clone();
        for (g, point) in found.iter().enumerate() {
            proposal.factors[g] = point[0];
            for r in 0..n_programs {
                proposal.programs[(g, r)] = point[1 + r];
            }
        }
        for r in 0..n_programs {
            let sum: f64 = proposal.programs.col(r).iter().sum();
            if sum > 0.0 {
                proposal.programs.col_mut(r).iter_mut().for_each(|p| *p /= sum);
                for s in 0..n_samples {
                    proposal.exposures[(n_sources + r, s)] *= sum;
                }
            }
        }
        self.take_if_lower(state, proposal)
    }

    fn take_if_lower(&self, state: &mut State, mut proposal: State) -> Result<(), CoreError> {
        proposal.objective = self.objective(&proposal)?;
        if proposal.objective <= state.objective {
            *state = proposal;
        }
        Ok(())
    }

    fn objective(&self, state: &State) -> Result<f64, CoreError> {
        let (n_sources, n_programs) = (self.n_sources(), state.programs.ncols());
        let parts: Vec<f64> = with_threads(self.threads, || {
            (0..self.n_genes())
                .into_par_iter()
                .with_min_len(64)
                .map(|g| {
                    let mut sum = 0.0;
                    for s in 0..self.n_samples() {
                        let own: f64 = (0..n_sources)
                            .map(|j| self.data.sources[(g, j)] * state.exposures[(j, s)])
                            .sum();
                        let program: f64 = (0..n_programs)
                            .map(|r| state.programs[(g, r)] * state.exposures[(n_sources + r, s)])
                            .sum();
                        let mean = self.data.lengths[g] * (state.factors[g] * own + program);
                        sum += mean;
                        let count = self.data.counts[(g, s)];
                        if count > 0.0 && mean > 0.0 {
                            sum -= count * mean.ln();
                        }
                    }
                    let factor = state.factors[g];
                    self.weights[g] * sum + self.prior[g] * (factor - factor.ln())
                })
                .collect()
        })?;
        Ok(parts.iter().sum())
    }

    /// The null model with programs that have the given loadings (programs ×
    /// samples) and the mean profile.
    fn begin(&self, null: &State, loadings: &Mat<f64>) -> State {
        let (n_sources, n_programs) = (self.n_sources(), loadings.nrows());
        let means: Vec<f64> = (0..self.n_genes())
            .map(|g| {
                let of_samples = (0..self.n_samples()).map(|s| self.data.counts[(g, s)]);
                (of_samples.sum::<f64>() + 1e-3) / self.data.lengths[g]
            })
            .collect();
        let sum: f64 = means.iter().sum();
        let programs = Mat::from_fn(self.n_genes(), n_programs, |g, _| means[g] / sum);
        let exposures = Mat::from_fn(n_sources + n_programs, self.n_samples(), |j, s| {
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
    fn starts(&self, null: &State, params: &ProgramParams) -> Vec<Mat<f64>> {
        let n_samples = self.n_samples();
        let n_sources = self.n_sources();
        let mut residuals: Mat<f64> = Mat::zeros(n_samples, self.n_genes());
        for g in 0..self.n_genes() {
            for s in 0..n_samples {
                let own: f64 = (0..n_sources)
                    .map(|j| self.data.sources[(g, j)] * null.exposures[(j, s)])
                    .sum();
                let mean = self.data.lengths[g] * null.factors[g] * own;
                if mean > 0.0 {
                    let raw = self.data.counts[(g, s)] - mean;
                    residuals[(s, g)] = self.weights[g].sqrt() * raw / mean.sqrt();
                }
            }
        }
        let gram = &residuals * residuals.transpose();
        let directions = gram.self_adjoint_eigen(faer::Side::Lower);
        let sizes: Vec<f64> = (0..n_samples)
            .map(|s| FIRST_SHARE * (0..n_sources).map(|j| null.exposures[(j, s)]).sum::<f64>())
            .collect();
        let mut starts = Vec::new();
        if let Ok(found) = directions {
            for sign in [1.0, -1.0] {
                starts.push(Mat::from_fn(params.n_programs, n_samples, |r, s| {
                    // eigenvalues rise
                    let column = found.U().col(n_samples - 1 - r % n_samples);
                    let largest = column.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                    // programs beyond the first take their other sign in turn
                    let sign = if r % 2 == 0 { sign } else { -sign };
                    sizes[s] * (0.05 + (sign * column[s] / largest.max(1e-300)).max(0.0))
                }));
            }
        }
        starts.truncate(params.n_starts);
        for start in starts.len()..params.n_starts {
            let mut rng = stream(params.seed, Purpose::Start, start);
            let mut drawn = Mat::zeros(params.n_programs, n_samples);
            for s in 0..n_samples {
                for r in 0..params.n_programs {
                    let share: f64 = Exp1.sample(&mut rng);
                    drawn[(r, s)] = sizes[s] * share;
                }
            }
            starts.push(drawn);
        }
        starts
    }
}
