//! The outer loop of every factorisation: one factor after the other, with
//! extrapolation and restart, a stopping rule, and care for dead components.

use super::data::Side;
use crate::base::convergence::Stop;
use crate::base::error::{check_length, CoreError};
use crate::base::parallel::Monitor;
use crate::matrix::ArrayView2;

/// Both factors, indexed by [`Side::index`]: rank × features, rank × samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub rank: usize,
    pub factors: [Vec<f64>; 2],
}

impl Pair {
    /// From features × components and components × samples.
    ///
    /// # Errors
    /// `Shape` when the factors have different numbers of components.
    pub fn new(basis: ArrayView2<'_, f64>, coef: ArrayView2<'_, f64>) -> Result<Self, CoreError> {
        let rank = basis.ncols();
        check_length("components of the start", rank, coef.nrows())?;
        // rows of the basis, columns of the coefficients
        let lines = |x: ArrayView2<'_, f64>| x.iter().copied().collect();
        Ok(Pair { rank, factors: [lines(basis), lines(coef.t())] })
    }

    pub fn side(&self, side: Side) -> &[f64] {
        &self.factors[side.index()]
    }

    pub fn side_mut(&mut self, side: Side) -> &mut [f64] {
        &mut self.factors[side.index()]
    }

    /// Σ over the lines of each component.
    pub fn sums(&self, side: Side) -> Vec<f64> {
        let mut sums = vec![0.0; self.rank];
        for line in self.side(side).chunks_exact(self.rank) {
            sums.iter_mut().zip(line).for_each(|(sum, v)| *sum += v);
        }
        sums
    }

    /// Components that are zero in either factor.
    pub fn dead(&self) -> Vec<usize> {
        let (basis, coef) = (self.sums(Side::Basis), self.sums(Side::Coef));
        (0..self.rank).filter(|&r| basis[r] <= 0.0 || coef[r] <= 0.0).collect()
    }

    /// Per sample, the component that contributes most to its fitted total,
    /// H_kj Σ_i W_ik: coefficients alone compare only up to the scale of the
    /// components.
    pub fn membership(&self) -> Vec<u32> {
        let sizes = self.sums(Side::Basis);
        let largest = |column: &[f64]| {
            let mut best = 0;
            for (r, (v, size)) in column.iter().zip(&sizes).enumerate() {
                if v * size > column[best] * sizes[best] {
                    best = r;
                }
            }
            best as u32
        };
        self.side(Side::Coef).chunks_exact(self.rank).map(largest).collect()
    }
}

/// A loss with a way to improve one factor while the other stands.
pub trait Model: Sync {
    /// Improves `current`, the factor of `side`.  Returns the loss plus the
    /// penalty of `side` at the new point, which must not be above that at the old
    /// one; NaN when `value` is false and the number does not come for free.
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], value: bool) -> f64;

    /// Penalty of one factor.
    fn penalty(&self, side: Side, factor: &[f64]) -> f64;

    /// How far one factor is from its optimum: the length of the step that
    /// coordinate-wise Newton would make, in the metric of the loss and relative
    /// to the data.  Zero where the Karush-Kuhn-Tucker conditions hold, and the
    /// same whatever the scale of X or of the components.
    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64;

    /// Part of its value that an entry keeps at least when it is extrapolated:
    /// above zero for losses that are infinite where the fit vanishes.
    fn kept_part(&self) -> f64 {
        0.0
    }

    /// Largest value of an entry.
    fn upper(&self, _side: Side) -> f64 {
        f64::INFINITY
    }

    /// Gives a dead component a new start from what is explained worst, without
    /// raising the loss.  False when nothing is left to explain.
    fn revive(&self, _pair: &mut Pair, _component: usize) -> bool {
        false
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub max_iter: usize,
    /// Stop when the objective falls by less than this part of itself per
    /// iteration, on average over [`WINDOW`] iterations.
    pub tolerance: f64,
    pub extrapolate: bool,
    /// Brunet's rule instead: stop when the component with the largest
    /// coefficient has stayed the same for each sample over so many iterations.
    pub unchanged: Option<usize>,
    /// Iterations between two looks at the objective.
    pub every: usize,
}

/// Iterations over which a decrease is averaged.
pub const WINDOW: usize = 10;

/// Times that a component may be given a new start.
const REVIVALS: usize = 3;

#[derive(Debug, Clone)]
pub struct Outcome {
    pub pair: Pair,
    pub objective: f64,
    /// Iteration and objective.
    pub trace: Vec<(usize, f64)>,
    /// [`Model::residual`], the larger of the two sides.
    pub kkt: f64,
    pub iterations: usize,
    pub stop: Stop,
    /// Components that ended at zero.
    pub dead: usize,
}

/// Weight of the extrapolation and how it adapts (Ang and Gillis 2019,
/// algorithm 3).
struct Extrapolation {
    beta: f64,
    bound: f64,
    accepted: f64,
    /// The next step is plain: it cannot fail.
    plain: bool,
}

impl Extrapolation {
    fn new() -> Self {
        Extrapolation { beta: 0.5, bound: 0.99, accepted: 0.5, plain: true }
    }

    fn weight(&self) -> f64 {
        if self.plain {
            0.0
        } else {
            self.beta
        }
    }

    fn succeed(&mut self) {
        if !self.plain {
            self.accepted = self.beta;
            self.beta = self.bound.min(1.1 * self.beta);
            self.bound = 0.99f64.min(1.05 * self.bound);
        }
        self.plain = false;
    }

    fn fail(&mut self) {
        self.bound = self.accepted;
        self.beta *= 0.75;
        self.plain = true;
    }
}

/// Minimises the model from `start`.
///
/// # Errors
/// `Interrupted`.
pub fn alternate(
    model: &dyn Model,
    start: Pair,
    rules: &Rules,
    monitor: &Monitor<'_>,
) -> Result<Outcome, CoreError> {
    let kept = model.kept_part();
    let mut extrapolation = Extrapolation::new();
    let mut best = start;
    // Of the last accepted iteration: solutions before extrapolation, and the
    // points that the next one starts from.
    let mut last = best.clone();
    let mut ahead = best.clone();
    let mut objective = f64::INFINITY;
    let mut trace: Vec<(usize, f64)> = Vec::new();
    let mut labels = Unchanged::new(rules);
    let mut revived = 0;
    let (mut stop, mut iterations) = (Stop::MaxIterations, rules.max_iter);
    for iteration in 1..=rules.max_iter {
        monitor.check()?;
        let look = rules.extrapolate || iteration % rules.every == 0 || iteration == rules.max_iter;
        let beta = if rules.extrapolate { extrapolation.weight() } else { 0.0 };
        let mut next = ahead.clone();
        let [basis, coef] = &mut next.factors;
        model.update(Side::Basis, coef, basis, false);
        monitor.check()?;
        let solved = basis.clone();
        extrapolate(basis, &last.factors[0], beta, kept, model.upper(Side::Basis));
        let value = model.update(Side::Coef, basis, coef, look) + model.penalty(Side::Basis, basis);
        if look {
            // Rounding in the objective must not look like a rise.
            let allowed = objective + 1e-13 * objective.abs();
            let rose = value > allowed || value.is_nan();
            if rules.extrapolate && rose && beta > 0.0 {
                extrapolation.fail();
                last.clone_from(&best);
                ahead.clone_from(&best);
                trace.push((iteration, objective));
                continue;
            }
            objective = value;
            trace.push((iteration, objective));
        }
        extrapolation.succeed();
        ahead.clone_from(&next);
        let upper = model.upper(Side::Coef);
        extrapolate(&mut ahead.factors[1], &last.factors[1], beta, kept, upper);
        last.factors[0] = solved;
        last.factors[1].clone_from(&next.factors[1]);
        best = next;
        if look && revived < REVIVALS * best.rank {
            let dead = best.dead();
            let fresh = dead.iter().filter(|&&r| model.revive(&mut best, r)).count();
            if fresh > 0 {
                revived += fresh;
                last.clone_from(&best);
                ahead.clone_from(&best);
                extrapolation = Extrapolation::new();
                continue;
            }
        }
        if !look {
            continue;
        }
        let ended = labels.look(iteration, &best).or_else(|| settled(&trace, rules));
        if let Some(why) = ended {
            (stop, iterations) = (why, iteration);
            break;
        }
    }
    if rules.extrapolate {
        objective = without_extrapolation(model, &mut best, objective);
        match trace.last_mut() {
            Some(end) if end.0 == iterations => end.1 = objective,
            _ => trace.push((iterations, objective)),
        }
    }
    let residual = |side: Side| model.residual(side, best.side(side.other()), best.side(side));
    let kkt = residual(Side::Basis).max(residual(Side::Coef));
    let dead = best.dead().len();
    Ok(Outcome { objective, trace, kkt, iterations, stop, dead, pair: best })
}

/// x ← x + β (x − last), between kept · x and the upper bound.  Entries above the
/// bound are those of fixed components, which do not move.
fn extrapolate(x: &mut [f64], last: &[f64], beta: f64, kept: f64, upper: f64) {
    if beta == 0.0 {
        return;
    }
    for (x, &last) in x.iter_mut().zip(last) {
        let moved = *x + beta * (*x - last);
        let floor = kept * *x;
        *x = if moved > floor { moved } else { floor }.min(upper.max(*x));
    }
}

/// The tolerance rule, on the objectives seen so far.
fn settled(trace: &[(usize, f64)], rules: &Rules) -> Option<Stop> {
    if rules.unchanged.is_some() {
        return None;
    }
    let &(now, objective) = trace.last()?;
    let before = trace.iter().rev().find(|(at, _)| at + WINDOW <= now)?;
    let slope = (before.1 - objective) / (now - before.0) as f64;
    (slope <= rules.tolerance * objective.abs()).then_some(Stop::Converged)
}

/// How long the clusters of samples have stayed as they are.
struct Unchanged {
    limit: Option<usize>,
    labels: Vec<u32>,
    since: usize,
}

impl Unchanged {
    const EVERY: usize = 10;

    fn new(rules: &Rules) -> Self {
        Unchanged { limit: rules.unchanged, labels: Vec::new(), since: 0 }
    }

    fn look(&mut self, iteration: usize, pair: &Pair) -> Option<Stop> {
        let limit = self.limit?;
        if iteration % Self::EVERY != 0 {
            return None;
        }
        let labels = pair.membership();
        if labels != self.labels {
            self.labels = labels;
            self.since = iteration;
        }
        (iteration - self.since >= limit).then_some(Stop::Connectivity)
    }
}

/// One more update of each factor, so that an extrapolated basis and its
/// coefficients belong together.  Returns the objective.
fn without_extrapolation(model: &dyn Model, pair: &mut Pair, objective: f64) -> f64 {
    let mut candidate = pair.clone();
    let [basis, coef] = &mut candidate.factors;
    model.update(Side::Basis, coef, basis, false);
    let value = model.update(Side::Coef, basis, coef, true) + model.penalty(Side::Basis, basis);
    if value <= objective {
        *pair = candidate;
        value
    } else {
        objective
    }
}
