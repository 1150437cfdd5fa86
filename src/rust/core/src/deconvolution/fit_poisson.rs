//! Fits all samples of a cohort: blocks of samples in parallel, one pass over
//! the genes per iteration for all samples of a block.

use super::evaluate::Evaluator;
use super::metrics::{GeneMoments, MomentTree, SampleMetrics};
use super::model::{Model, SampleBlock};
use super::solve::adam::Adam;
use super::solve::certificate::Objective;
use super::solve::em::Em;
use super::solve::newton::Newton;
use super::solve::{Rule, Solver};
use crate::base::convergence::Stop;
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::{over_blocks, with_threads, Monitor, SAMPLE_BLOCK};
use crate::base::rng::{stream, Purpose};
use crate::matrix::counts::Counts;
use crate::matrix::{from_fn, Columns};
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// How the optimum is sought.  All methods find the same one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    Newton,
    Em,
    /// Adam; `start` is the log exposure that every type starts from, while the
    /// background explains the reads; `None` for a start from the data.
    Gradient {
        learning_rate: f64,
        start: Option<f64>,
    },
}

crate::base::error::named!(Method, "method",
    "newton" => Method::Newton,
    "em" => Method::Em,
    "gd" => Method::Gradient { learning_rate: 0.5, start: None },
);

/// Settings of [`fit`]; [`Params::check`] is called there.
#[derive(Clone, Debug)]
pub struct Params {
    pub method: Method,
    /// λ₁ per unit of W/Σe of the unpenalised optimum.
    pub l1_lambda: f64,
    /// λ₂ per unit of W/(Σe)² of the unpenalised optimum.
    pub l2_lambda: f64,
    /// Evaluations of the likelihood per sample at most.
    pub max_iter: usize,
    /// Evaluations between two looks at the certificate (EM, gradient).
    pub poll_interval: usize,
    /// Certified distance to the optimum, per unit of W, at which a fit stops.
    pub tolerance: f64,
    /// Share of the reads below which EM and gradient descent drop a type that
    /// the certificate does not want.
    pub sparsity_tolerance: f64,
    /// Scatters the starting points when given.
    pub seed: Option<u64>,
    /// Place of the first sample in its cohort, a multiple of [`SAMPLE_BLOCK`]: what is
    /// drawn and summed is that of the cohort.
    pub first_sample: usize,
    pub threads: usize,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            method: Method::Newton,
            l1_lambda: 0.0,
            l2_lambda: 0.0,
            max_iter: 10_000,
            poll_interval: 1,
            tolerance: 1e-8,
            sparsity_tolerance: 1e-4,
            seed: None,
            first_sample: 0,
            threads: 1,
        }
    }
}

impl Params {
    /// # Errors
    /// `Argument` with the first setting that is out of range.
    pub fn check(&self) -> Result<(), CoreError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        check_value("l1_lambda", self.l1_lambda, "non-negative", not_negative)?;
        check_value("l2_lambda", self.l2_lambda, "non-negative", not_negative)?;
        check_value("max_iter", self.max_iter as f64, "at least 1", |v| v >= 1.0)?;
        check_value("poll_interval", self.poll_interval as f64, "at least 1", |v| v >= 1.0)?;
        check_value("ll_tolerance", self.tolerance, "positive", positive)?;
        let share = |v: f64| (0.0..1.0).contains(&v);
        check_value("sparsity_tolerance", self.sparsity_tolerance, "in [0, 1)", share)?;
        check_first_sample(self.first_sample)?;
        if let Method::Gradient { learning_rate, start } = self.method {
            check_value("learning_rate", learning_rate, "positive", positive)?;
            check_value("init_log_exp", start.unwrap_or(0.0), "finite", |v| v.is_finite())?;
        }
        Ok(())
    }

    fn is_penalised(&self) -> bool {
        self.l1_lambda > 0.0 || self.l2_lambda > 0.0
    }
}

/// Blocks of a part of a cohort are blocks of the cohort.
pub(super) fn check_first_sample(first: usize) -> Result<(), CoreError> {
    let expected = "a multiple of the samples that are worked on together";
    let whole = |v: f64| v % SAMPLE_BLOCK as f64 == 0.0;
    check_value("first_sample", first as f64, expected, whole)
}

/// The answer for one sample.
#[derive(Clone, Debug)]
pub struct SampleFit {
    pub exposures: Vec<f64>,
    /// Certified bound on the distance of the (penalised) log-likelihood to
    /// its maximum.
    pub gap: f64,
    pub iterations: usize,
    pub stop: Stop,
    /// Iteration, minus the objective, and the bound, each time that was polled.
    pub trace: Vec<(usize, f64, f64)>,
    pub metrics: SampleMetrics,
}

/// The answer for a cohort.
pub struct Fit {
    pub samples: Vec<SampleFit>,
    /// Per used gene, over the samples.
    pub genes: MomentTree,
}

/// Fits every sample of `counts`, whose genes are the model's design rows.
///
/// # Errors
/// `Argument` for settings out of range, `EmptySample`, `Threads`, and
/// `Interrupted` when the monitor says so.
pub fn fit(
    model: &Model,
    counts: &Counts<'_>,
    params: &Params,
    monitor: &Monitor<'_>,
) -> Result<Fit, CoreError> {
    params.check()?;
    let mut samples = Vec::with_capacity(counts.n_samples());
    let mut genes = MomentTree::default();
    with_threads(params.threads, || {
        let work = |range| fit_block(model, counts, range, params, monitor);
        over_blocks(counts.n_samples(), SAMPLE_BLOCK, monitor, work, |range, (fits, moments)| {
            samples.extend(fits);
            genes.push((params.first_sample + range.start) / SAMPLE_BLOCK, moments);
        })
    })??;
    Ok(Fit { samples, genes })
}

fn fit_block(
    model: &Model,
    counts: &Counts<'_>,
    range: Range<usize>,
    params: &Params,
    monitor: &Monitor<'_>,
) -> Result<(Vec<SampleFit>, GeneMoments), CoreError> {
    let block = SampleBlock::read(model, counts, range.clone())?;
    let first = params.first_sample + range.start;
    let mut evaluator = Evaluator::new(model.design(), block.len());
    let mut objectives: Vec<Objective<'_>> = block
        .totals()
        .iter()
        .map(|&total| Objective {
            cost: model.cost(),
            n_types: model.n_types(),
            l1: 0.0,
            l2: 0.0,
            total,
        })
        .collect();
    if params.is_penalised() {
        // The penalties are stated in units of the unpenalised optimum.
        let free = Params { method: Method::Newton, ..params.clone() };
        let solvers = solvers_for(model, &objectives, &free, first);
        let fits = iterate(&mut evaluator, &block, &objectives, solvers, &free, monitor)?;
        for (objective, fit) in objectives.iter_mut().zip(&fits) {
            let size: f64 = fit.exposures[..model.n_types()].iter().sum();
            if size > 0.0 {
                objective.l1 = params.l1_lambda * objective.total / size;
                objective.l2 = params.l2_lambda * objective.total / (size * size);
            }
        }
    }
    let solvers = solvers_for(model, &objectives, params, first);
    let mut fits = iterate(&mut evaluator, &block, &objectives, solvers, params, monitor)?;
    let mut genes = GeneMoments::new(model.n_rows());
    let mut column = vec![0.0; model.n_rows()];
    for (fit, sample) in fits.iter_mut().zip(range.clone()) {
        counts.column_into(sample, &mut column);
        fit.metrics = SampleMetrics::new(model, &column, &fit.exposures, &mut genes);
    }
    monitor.advance(block.len());
    Ok((fits, genes))
}

fn solvers_for<'m>(
    model: &'m Model,
    objectives: &[Objective<'m>],
    params: &Params,
    first_sample: usize,
) -> Vec<Box<dyn Solver + 'm>> {
    let newton = params.method == Method::Newton;
    let rule = Rule {
        tolerance: params.tolerance,
        poll_interval: if newton { 1 } else { params.poll_interval },
    };
    objectives
        .iter()
        .enumerate()
        .map(|(i, objective)| -> Box<dyn Solver + 'm> {
            let objective = objective.clone();
            let start = start(model, objective.total, params, first_sample + i);
            match params.method {
                Method::Newton => Box::new(Newton::new(objective, start, rule)),
                Method::Em => Box::new(Em::new(objective, start, rule, params.sparsity_tolerance)),
                Method::Gradient { learning_rate, .. } => Box::new(Adam::new(
                    objective,
                    start,
                    rule,
                    learning_rate,
                    params.sparsity_tolerance,
                )),
            }
        })
        .collect()
}

/// Equal exposures that explain all reads together; or, where it is asked for,
/// the given exposure of types beside a background that explains all reads (the
/// null model).  Scattered log-normally (standard deviation 1) under a seed.
fn start(model: &Model, total: f64, params: &Params, sample: usize) -> Vec<f64> {
    let explaining = |cost: &[f64]| total / cost.iter().sum::<f64>();
    let mut exposures = vec![explaining(model.cost()); model.n_sources()];
    if let Method::Gradient { start: Some(log_exposure), .. } = params.method {
        let (types, background) = exposures.split_at_mut(model.n_types());
        types.fill(log_exposure.exp());
        background.fill(explaining(&model.cost()[model.n_types()..]));
    }
    if let Some(seed) = params.seed {
        let mut rng = stream(seed, Purpose::Start, sample);
        for exposure in &mut exposures {
            let scatter: f64 = StandardNormal.sample(&mut rng);
            *exposure *= scatter.exp();
        }
    }
    exposures
}

/// Runs the solvers of a block side by side until each has stopped.
fn iterate<'m>(
    evaluator: &mut Evaluator<'m>,
    block: &SampleBlock,
    objectives: &[Objective<'m>],
    mut solvers: Vec<Box<dyn Solver + 'm>>,
    params: &Params,
    monitor: &Monitor<'_>,
) -> Result<Vec<SampleFit>, CoreError> {
    let mut traces: Vec<Vec<(usize, f64, f64)>> = vec![Vec::new(); block.len()];
    let mut ends: Vec<Option<(Stop, usize)>> = vec![None; block.len()];
    let mut active: Vec<usize> = (0..block.len()).collect();
    let mut iteration = 0;
    while !active.is_empty() {
        monitor.check()?;
        iteration += 1;
        let with_hessian = active.iter().any(|&i| solvers[i].wants_hessian());
        let points = from_fn((objectives[0].cost.len(), active.len()), |j, column| {
            solvers[active[column]].proposal()[j]
        });
        let found = evaluator.poisson(block, &active, &points, with_hessian);
        for ((column, &i), terms) in active.iter().enumerate().zip(found) {
            let exposures = points.col(column).to_vec();
            let mut stop = solvers[i].advance(objectives[i].certify(exposures, terms));
            if stop.is_none() && iteration >= params.max_iter {
                stop = Some(Stop::MaxIterations);
            }
            if stop.is_some() || iteration % params.poll_interval == 0 {
                let best = solvers[i].best();
                traces[i].push((iteration, -best.value, best.gap));
            }
            ends[i] = stop.map(|reason| (reason, iteration));
        }
        active.retain(|&i| ends[i].is_none());
    }
    let answers = solvers.iter().zip(ends).zip(traces);
    Ok(answers
        .map(|((solver, end), trace)| {
            let (stop, iterations) = end.expect("every solver has stopped");
            let best = solver.best();
            SampleFit {
                exposures: without_traces(&best.exposures),
                gap: best.gap,
                iterations,
                stop,
                trace,
                metrics: SampleMetrics::default(),
            }
        })
        .collect())
}

/// Share of the exposures below which one is none: no sum of doubles shows it, and its
/// square is no number, of which information is made.
const TRACE: f64 = 1e-60;

fn without_traces(exposures: &[f64]) -> Vec<f64> {
    let least = TRACE * exposures.iter().sum::<f64>();
    exposures.iter().map(|&e| if e < least { 0.0 } else { e }).collect()
}
