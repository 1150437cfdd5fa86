//! Minimisation of any likelihood by scoring under bounds, with exposures held
//! where the caller says so.

use super::Stop;
use crate::deconvolution::evaluate::{Evaluator, Terms};
use crate::deconvolution::likelihood::Likelihood;
use crate::deconvolution::SAMPLE_BLOCK;
use crate::error::CoreError;
use crate::nnls::solve_nonnegative;
use crate::numbers::dot;
use crate::parallel::Monitor;
use faer::Mat;

/// Fraction of the predicted decrease that a step must achieve.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Proximal term of the quadratic program, see [`solve_nonnegative`].
const RIDGE: f64 = 1e-10;

/// One minimisation: a sample (its place in the block), where to start, and
/// which exposures stay at their start.
#[derive(Clone, Debug)]
pub struct Task {
    pub sample: usize,
    pub start: Vec<f64>,
    pub held: Vec<bool>,
    /// A Hessian to go by all the way, from near the minimum; `None` forms it anew
    /// at every point.  Points without Hessian cost a third, and a few more
    /// are needed.
    pub hessian: Option<Vec<f64>>,
    /// Decrease promised by the quadratic model at which the task is done, in
    /// units of F.
    pub tolerance: f64,
}

/// Where a minimisation ended.
#[derive(Clone, Debug)]
pub struct Minimum {
    pub exposures: Vec<f64>,
    /// F; infinite where no point with the held exposures explains the counts.
    pub value: f64,
    /// Decrease of F that the quadratic model promises beyond this point.
    pub decrement: f64,
    /// Gradient and Hessian (column-major) of F there.
    pub gradient: Vec<f64>,
    pub hessian: Vec<f64>,
    pub iterations: usize,
    pub stop: Stop,
}

impl Minimum {
    /// Rise of the quadratic model from here to `target`.
    pub fn predicted_rise(&self, target: &[f64]) -> f64 {
        let n = target.len();
        let step: Vec<f64> = target.iter().zip(&self.exposures).map(|(t, e)| t - e).collect();
        let bend: f64 =
            (0..n).map(|j| step[j] * dot(&self.hessian[j * n..(j + 1) * n], &step)).sum();
        dot(&self.gradient, &step) + 0.5 * bend
    }

    /// Where the quadratic model at this minimum is least over e ≥ 0, `held`
    /// exposures staying as they are in `at`.
    pub fn least_with(&self, at: &[f64], held: &[bool]) -> Vec<f64> {
        let n = at.len();
        let free = |j: usize| !held[j];
        let mut program = vec![0.0; n * n];
        let mut linear = vec![0.0; n];
        for j in (0..n).filter(|&j| free(j)) {
            for i in 0..n {
                let h = self.hessian[j * n + i];
                if free(i) {
                    program[j * n + i] = h;
                    linear[j] += h * self.exposures[i];
                } else {
                    linear[j] -= h * (at[i] - self.exposures[i]);
                }
            }
            linear[j] -= self.gradient[j];
        }
        let mut target: Vec<f64> =
            (0..n).map(|j| if free(j) { self.exposures[j] } else { 0.0 }).collect();
        solve_nonnegative(&program, &linear, RIDGE, &mut target);
        for j in (0..n).filter(|&j| held[j]) {
            target[j] = at[j];
        }
        target
    }
}

/// Minimises F for every task, `max_iter` evaluations each at most.
///
/// # Errors
/// `Interrupted`.
pub fn minimise<L: Likelihood>(
    likelihood: &L,
    samples: &[L::Sample],
    tasks: &[Task],
    max_iter: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<Minimum>, CoreError> {
    let width = SAMPLE_BLOCK.min(tasks.len());
    let mut evaluator = Evaluator::new(likelihood.model().design(), width);
    let mut minima = Vec::with_capacity(tasks.len());
    for chunk in tasks.chunks(SAMPLE_BLOCK) {
        minima.extend(minimise_chunk(
            likelihood,
            samples,
            chunk,
            max_iter,
            &mut evaluator,
            monitor,
        )?);
    }
    Ok(minima)
}

fn minimise_chunk<L: Likelihood>(
    likelihood: &L,
    samples: &[L::Sample],
    tasks: &[Task],
    max_iter: usize,
    evaluator: &mut Evaluator<'_>,
    monitor: &Monitor<'_>,
) -> Result<Vec<Minimum>, CoreError> {
    let mut solvers: Vec<Scoring> = tasks.iter().map(Scoring::new).collect();
    let mut memories: Vec<Vec<f64>> = vec![Vec::new(); tasks.len()];
    let mut done = vec![false; tasks.len()];
    let mut active: Vec<usize> = (0..tasks.len()).collect();
    let mut iteration = 0;
    while !active.is_empty() {
        monitor.check()?;
        iteration += 1;
        let points = Mat::from_fn(likelihood.model().n_sources(), active.len(), |j, column| {
            solvers[active[column]].proposal[j]
        });
        let anew = active.iter().any(|&i| tasks[i].hessian.is_none());
        let found =
            evaluator.evaluate(points.as_ref(), anew, |column, genes, mu, slope, curvature| {
                let task = active[column];
                let sample = &samples[tasks[task].sample];
                likelihood.terms(sample, genes, mu, &mut memories[task], slope, curvature)
            });
        for (&i, terms) in active.iter().zip(found) {
            let stop = solvers[i].advance(terms);
            done[i] = stop.is_some() || iteration >= max_iter;
            solvers[i].best.iterations = iteration;
            solvers[i].best.stop = stop.unwrap_or(Stop::MaxIterations);
        }
        active.retain(|&i| !done[i]);
    }
    Ok(solvers.into_iter().map(|solver| solver.best).collect())
}

/// Scoring under bounds, with backtracking.
struct Scoring<'t> {
    task: &'t Task,
    /// The point to evaluate next.
    proposal: Vec<f64>,
    /// The best point so far.
    best: Minimum,
    target: Vec<f64>,
    slope: f64,
    fraction: f64,
}

impl<'t> Scoring<'t> {
    fn new(task: &'t Task) -> Self {
        let best = Minimum {
            exposures: task.start.clone(),
            value: f64::INFINITY,
            decrement: f64::INFINITY,
            gradient: Vec::new(),
            hessian: Vec::new(),
            iterations: 0,
            stop: Stop::MaxIterations,
        };
        let (proposal, target) = (task.start.clone(), Vec::new());
        Scoring { task, proposal, best, target, slope: 0.0, fraction: 1.0 }
    }

    /// Takes what was found at the proposal; says when the task is done.
    fn advance(&mut self, found: Terms) -> Option<Stop> {
        let first = self.target.is_empty();
        let value = found.log_sum;
        if first && !value.is_finite() {
            return Some(Stop::Stalled);
        }
        // Near the optimum the decrease drowns in the rounding of F.
        let rounding = 1e-13 * value.abs();
        let enough = self.best.value + SUFFICIENT_DECREASE * self.fraction * self.slope + rounding;
        if value.is_finite() && (first || value <= enough) {
            self.best.exposures.clone_from(&self.proposal);
            self.best.value = value;
            self.best.gradient = found.pull;
            self.best.hessian = self.task.hessian.clone().unwrap_or(found.hessian);
            self.aim();
            return (self.best.decrement <= self.task.tolerance).then_some(Stop::Stationary);
        }
        if self.fraction < 1e-10 {
            return Some(Stop::Stalled);
        }
        self.fraction *= 0.25;
        let ends = self.best.exposures.iter().zip(&self.target);
        self.proposal = ends.map(|(e, t)| e + self.fraction * (t - e)).collect();
        None
    }

    /// Minimises the quadratic model over e ≥ 0 and the exposures that may move.
    fn aim(&mut self) {
        let best = &self.best;
        self.target = best.least_with(&best.exposures, &self.task.held);
        let steps = self.target.iter().zip(&best.exposures).zip(&best.gradient);
        self.slope = steps.map(|((t, e), g)| (t - e) * g).sum();
        self.best.decrement = -best.predicted_rise(&self.target);
        self.fraction = 1.0;
        self.proposal.clone_from(&self.target);
    }
}
