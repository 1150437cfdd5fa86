//! Minimisation of any likelihood by scoring under bounds, with exposures held
//! where the caller says so.

use crate::base::convergence::Stop;
use crate::base::error::CoreError;
use crate::base::parallel::{Monitor, SAMPLE_BLOCK};
use crate::deconvolution::evaluate::{Evaluator, Terms};
use crate::deconvolution::likelihood::Block;
use crate::matrix::from_fn;
use crate::nnls::{NewtonStep, QuadraticModel};

/// Part of a step below which no shorter one is tried.
const LEAST_FRACTION: f64 = 1e-10;

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

impl Task {
    /// With a Hessian formed anew at every point.
    pub fn new(sample: usize, start: Vec<f64>, held: Vec<bool>, tolerance: f64) -> Self {
        Task { sample, start, held, hessian: None, tolerance }
    }
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
    /// F near here.
    pub fn model(&self) -> QuadraticModel<'_> {
        let Minimum { exposures: point, gradient, hessian, .. } = self;
        QuadraticModel { point, gradient, hessian }
    }
}

/// Minimises F for every task, `max_iter` evaluations each at most.
///
/// # Errors
/// `Interrupted`.
pub fn minimise(
    block: &Block<'_>,
    tasks: &[Task],
    max_iter: usize,
    monitor: &Monitor<'_>,
) -> Result<Vec<Minimum>, CoreError> {
    let mut evaluator = Evaluator::new(block.model.design(), SAMPLE_BLOCK.min(tasks.len()));
    let mut minima = Vec::with_capacity(tasks.len());
    for tasks in tasks.chunks(SAMPLE_BLOCK) {
        minima.extend(minimise_together(&mut evaluator, block, tasks, max_iter, monitor)?);
    }
    Ok(minima)
}

fn minimise_together(
    evaluator: &mut Evaluator<'_>,
    block: &Block<'_>,
    tasks: &[Task],
    max_iter: usize,
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
        let points = from_fn((tasks[0].start.len(), active.len()), |j, column| {
            solvers[active[column]].proposal[j]
        });
        let anew = active.iter().any(|&i| tasks[i].hessian.is_none());
        let found = evaluator.evaluate(&points, anew, |column, genes, mu, slope, curvature| {
            let task = active[column];
            let sample = &block.samples[tasks[task].sample];
            sample.terms(genes, mu, &mut memories[task], slope, curvature)
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
    /// From the best point; `None` before there is one.
    step: Option<NewtonStep>,
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
        Scoring { task, proposal: task.start.clone(), best, step: None }
    }

    /// Takes what was found at the proposal; says when the task is done.
    fn advance(&mut self, found: Terms) -> Option<Stop> {
        let value = found.log_sum;
        if let Some(step) = &mut self.step {
            // Near the optimum the decrease drowns in the rounding of F.
            let rounding = 1e-13 * value.abs();
            let change = value - self.best.value;
            if !(value.is_finite() && step.suffices(change - rounding)) {
                if step.fraction() < LEAST_FRACTION {
                    return Some(Stop::Stalled);
                }
                step.back_off(change);
                self.proposal = step.end(&self.best.exposures);
                return None;
            }
        } else if !value.is_finite() {
            return Some(Stop::Stalled);
        }
        self.best.exposures.clone_from(&self.proposal);
        self.best.value = value;
        self.best.gradient = found.pull;
        self.best.hessian = self.task.hessian.clone().unwrap_or(found.hessian);
        self.aim();
        (self.best.decrement <= self.task.tolerance).then_some(Stop::Stationary)
    }

    /// Minimises the quadratic model over e ≥ 0 and the exposures that may move.
    fn aim(&mut self) {
        let (point, model) = (&self.best.exposures, self.best.model());
        let target = model.least_with(point, &self.task.held);
        let decrement = -model.rise(&target);
        let step = NewtonStep::towards(target, point, |j| self.best.gradient[j]);
        self.proposal = step.end(point);
        self.step = Some(step);
        self.best.decrement = decrement;
    }
}
