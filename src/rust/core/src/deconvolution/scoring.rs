//! Minimisation of any likelihood by scoring under bounds, with exposures held
//! where the caller says so.

use super::evaluate::Evaluator;
use super::likelihood::Likelihood;
use super::solver::Stop;
use super::SAMPLE_BLOCK;
use crate::error::CoreError;
use crate::nnls::solve_nonnegative;
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
    pub iterations: usize,
    pub stop: Stop,
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
    let mut ends: Vec<Option<(Stop, usize)>> = vec![None; tasks.len()];
    let mut active: Vec<usize> = (0..tasks.len()).collect();
    let mut iteration = 0;
    while !active.is_empty() {
        monitor.check()?;
        iteration += 1;
        let points = Mat::from_fn(likelihood.model().n_sources(), active.len(), |j, column| {
            solvers[active[column]].proposal[j]
        });
        let found =
            evaluator.evaluate(points.as_ref(), true, |column, genes, mu, slope, curvature| {
                let task = active[column];
                let sample = &samples[tasks[task].sample];
                likelihood.terms(sample, genes, mu, &mut memories[task], slope, curvature)
            });
        for (&i, terms) in active.iter().zip(found) {
            let mut stop =
                solvers[i].advance(terms.log_sum, terms.pull, terms.hessian, tasks[i].tolerance);
            if stop.is_none() && iteration >= max_iter {
                stop = Some(Stop::MaxIterations);
            }
            ends[i] = stop.map(|reason| (reason, iteration));
        }
        active.retain(|&i| ends[i].is_none());
    }
    let answers = solvers.into_iter().zip(ends);
    Ok(answers
        .map(|(solver, end)| {
            let (stop, iterations) = end.expect("every solver has stopped");
            Minimum {
                exposures: solver.exposures,
                value: solver.value,
                decrement: solver.decrement,
                iterations,
                stop,
            }
        })
        .collect())
}

/// Scoring under bounds, with backtracking.
struct Scoring<'t> {
    task: &'t Task,
    /// The point to evaluate next.
    proposal: Vec<f64>,
    /// The best point so far, its value, and the decrease still promised there.
    exposures: Vec<f64>,
    value: f64,
    decrement: f64,
    target: Vec<f64>,
    slope: f64,
    fraction: f64,
}

impl<'t> Scoring<'t> {
    fn new(task: &'t Task) -> Self {
        Scoring {
            task,
            proposal: task.start.clone(),
            exposures: task.start.clone(),
            value: f64::INFINITY,
            decrement: f64::INFINITY,
            target: Vec::new(),
            slope: 0.0,
            fraction: 1.0,
        }
    }

    /// Takes value, gradient and Hessian at the proposal.
    fn advance(
        &mut self,
        value: f64,
        gradient: Vec<f64>,
        hessian: Vec<f64>,
        tolerance: f64,
    ) -> Option<Stop> {
        let first = self.target.is_empty();
        if first && !value.is_finite() {
            return Some(Stop::Stalled);
        }
        // Near the optimum the decrease drowns in the rounding of F.
        let rounding = 1e-13 * value.abs();
        let enough = self.value + SUFFICIENT_DECREASE * self.fraction * self.slope + rounding;
        if value.is_finite() && (first || value <= enough) {
            self.exposures.clone_from(&self.proposal);
            self.value = value;
            self.aim(&gradient, &hessian);
            return (self.decrement <= tolerance).then_some(Stop::Stationary);
        }
        if self.fraction < 1e-10 {
            return Some(Stop::Stalled);
        }
        self.fraction *= 0.25;
        let ends = self.exposures.iter().zip(&self.target);
        self.proposal = ends.map(|(e, t)| e + self.fraction * (t - e)).collect();
        None
    }

    /// Minimises the quadratic model over e ≥ 0 and the exposures that may move.
    fn aim(&mut self, gradient: &[f64], hessian: &[f64]) {
        let n = self.exposures.len();
        let held = &self.task.held;
        let mut program = hessian.to_vec();
        for j in 0..n {
            for i in 0..n {
                if held[i] || held[j] {
                    program[j * n + i] = 0.0;
                }
            }
        }
        let times = |x: &[f64], j: usize| -> f64 {
            program[j * n..(j + 1) * n].iter().zip(x).map(|(h, x)| h * x).sum()
        };
        let linear: Vec<f64> = (0..n)
            .map(|j| if held[j] { 0.0 } else { times(&self.exposures, j) - gradient[j] })
            .collect();
        self.target.clone_from(&self.exposures);
        solve_nonnegative(&program, &linear, RIDGE, &mut self.target);
        for j in (0..n).filter(|&j| held[j]) {
            self.target[j] = self.exposures[j];
        }
        let move_: Vec<f64> = self.target.iter().zip(&self.exposures).map(|(t, e)| t - e).collect();
        self.slope = move_.iter().zip(gradient).map(|(d, g)| d * g).sum();
        let bend: f64 = (0..n).map(|j| move_[j] * times(&move_, j)).sum();
        self.decrement = -(self.slope + 0.5 * bend);
        self.fraction = 1.0;
        self.proposal.clone_from(&self.target);
    }
}
