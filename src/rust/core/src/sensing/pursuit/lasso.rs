//! The lasso by homotopy: the whole path min ½‖y − Bw‖² + λ‖w‖₁, from the λ
//! that makes all activities zero down to where a target is met (Osborne,
//! Presnell and Turlach 2000; Efron, Hastie, Johnstone and Tibshirani 2004).
//!
//! The path is piecewise linear in λ, and ‖y − Bw‖ falls along it, so a bound
//! on the residual, min ‖w‖₁ subject to ‖y − Bw‖² ≤ ε, is met exactly as well.

use super::factor::Factor;
use super::Gram;
use crate::base::simd::vectors::{add_scaled, combine, dot};

/// Steps of the path whose gradient is carried along before it is computed
/// anew.
const REFRESH: usize = 40;
const TINY: f64 = 1e-12;

/// Where on the path to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Before one more atom than this would be active.
    Atoms(usize),
    /// At this λ.
    Penalty(f64),
    /// At the largest λ with ‖y − Bw‖² at or below this bound.
    Residual(f64),
}

/// What ends or bends a piece of the path.
enum Event {
    Enter(usize),
    Leave(usize),
    Met,
    /// λ = 0: least squares over the active atoms.
    End,
}

/// A walk along the path, with room that is used again for the next sample.
pub struct LassoPath<'a> {
    gram: &'a Gram,
    nonnegative: bool,
    factor: Factor,
    state: Vec<State>,
    pull: Vec<f64>,
    slope: Vec<f64>,
    signs: Vec<f64>,
    direction: Vec<f64>,
    pub atoms: Vec<usize>,
    pub values: Vec<f64>,
    /// λ at the end.
    pub penalty: f64,
    /// ‖y − Bw‖².
    pub residual: f64,
    /// Was the target met?  `false` for a residual below that of least squares.
    pub met: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Out,
    /// Left in the step before: its correlation is λ still.
    JustLeft,
    In,
    /// In the span of active atoms.
    Barred,
}

impl<'a> LassoPath<'a> {
    pub fn new(gram: &'a Gram, nonnegative: bool) -> Self {
        let size = gram.size();
        LassoPath {
            gram,
            nonnegative,
            factor: Factor::default(),
            state: vec![State::Out; size],
            pull: vec![0.0; size],
            slope: vec![0.0; size],
            signs: Vec::new(),
            direction: Vec::new(),
            atoms: Vec::new(),
            values: Vec::new(),
            penalty: 0.0,
            residual: 0.0,
            met: false,
        }
    }

    /// Walks the path of the sample with `correlations` Bᵀy and
    /// `squared_norm` ‖y‖².
    pub fn run(&mut self, correlations: &[f64], squared_norm: f64, target: Target) {
        self.factor.clear();
        self.state.fill(State::Out);
        self.pull.copy_from_slice(correlations);
        self.atoms.clear();
        self.values.clear();
        self.signs.clear();
        self.residual = squared_norm;
        let Some((first, size)) = self.largest() else {
            self.penalty = 0.0;
            self.met = !matches!(target, Target::Residual(bound) if squared_norm > bound);
            return;
        };
        self.penalty = size;
        let done = match target {
            Target::Atoms(most) => most == 0,
            Target::Penalty(least) => least >= size,
            Target::Residual(bound) => squared_norm <= bound,
        };
        if let Target::Penalty(least) = target {
            self.penalty = size.max(least);
        }
        self.met = done;
        if done || !self.enter(first) {
            return;
        }
        // Each piece ends with an atom that enters or leaves; the bound only
        // guards against a cycle of ties.
        for step in 1..=20 * self.gram.size() + 100 {
            if step % REFRESH == 0 {
                self.refresh(correlations);
            }
            let event = self.advance(target);
            match event {
                Event::Enter(atom) => {
                    if matches!(target, Target::Atoms(most) if self.atoms.len() >= most) {
                        self.met = true;
                        break;
                    }
                    self.free_just_left();
                    self.enter(atom);
                }
                Event::Leave(place) => {
                    self.free_just_left();
                    self.leave(place);
                }
                Event::Met => {
                    self.met = true;
                    break;
                }
                Event::End => {
                    self.met = !matches!(target, Target::Residual(_));
                    break;
                }
            }
        }
        self.polish(correlations, squared_norm, target);
    }

    fn largest(&self) -> Option<(usize, f64)> {
        let size = |c: f64| if self.nonnegative { c } else { c.abs() };
        let sizes = self.pull.iter().map(|&c| size(c)).enumerate();
        sizes.filter(|&(_, c)| c > 0.0).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn enter(&mut self, atom: usize) -> bool {
        if !self.factor.append(self.gram, &self.atoms, atom) {
            self.state[atom] = State::Barred;
            return false;
        }
        self.state[atom] = State::In;
        self.atoms.push(atom);
        self.values.push(0.0);
        self.signs.push(self.pull[atom].signum());
        true
    }

    fn leave(&mut self, place: usize) {
        let atom = self.atoms.remove(place);
        self.values.remove(place);
        self.signs.remove(place);
        self.state[atom] = State::JustLeft;
        self.factor.remove(self.gram, &self.atoms, place);
        // With one atom less, others may be independent again.
        self.state.iter_mut().filter(|s| **s == State::Barred).for_each(|s| *s = State::Out);
    }

    fn free_just_left(&mut self) {
        self.state.iter_mut().filter(|s| **s == State::JustLeft).for_each(|s| *s = State::Out);
    }

    /// Goes down the current piece to its end.
    fn advance(&mut self, target: Target) -> Event {
        // Active correlations stay at λ s: dw/d(−λ) = G_SS⁻¹ s.
        self.direction.clone_from(&self.signs);
        self.factor.solve(&mut self.direction);
        self.slope.fill(0.0);
        combine(&mut self.slope, &self.gram.products, &self.atoms, &self.direction);
        let bend = dot(&self.signs, &self.direction);

        let mut step = self.penalty;
        let mut event = Event::End;
        match target {
            Target::Penalty(least) if least > 0.0 => {
                step = self.penalty - least;
                event = Event::Met;
            }
            Target::Residual(bound) => {
                // ‖r‖² − 2 γ λ sᵀd + γ² sᵀd = bound
                let root = self.penalty.powi(2) - (self.residual - bound) / bend;
                if root >= 0.0 {
                    step = (self.penalty - root.sqrt()).max(0.0);
                    event = Event::Met;
                }
            }
            _ => {}
        }
        for (place, (&value, &d)) in self.values.iter().zip(&self.direction).enumerate() {
            if d * self.signs[place] < 0.0 {
                let meets_zero = -value / d;
                if meets_zero < step {
                    step = meets_zero.max(0.0);
                    event = Event::Leave(place);
                }
            }
        }
        for (atom, &state) in self.state.iter().enumerate() {
            if state == State::In || state == State::Barred {
                continue;
            }
            let (pull, slope) = (self.pull[atom], self.slope[atom]);
            let mut try_entry = |gap: f64, closing: f64| {
                if closing > TINY {
                    let meets = (gap / closing).max(0.0);
                    let stale = state == State::JustLeft && gap < 1e-9 * self.penalty;
                    if meets < step && !stale {
                        step = meets;
                        event = Event::Enter(atom);
                    }
                }
            };
            try_entry(self.penalty - pull, 1.0 - slope);
            if !self.nonnegative {
                try_entry(self.penalty + pull, 1.0 + slope);
            }
        }
        add_scaled(&mut self.values, step, &self.direction);
        add_scaled(&mut self.pull, -step, &self.slope);
        self.residual += step * bend * (step - 2.0 * self.penalty);
        self.penalty -= step;
        event
    }

    fn refresh(&mut self, correlations: &[f64]) {
        let negative: Vec<f64> = self.values.iter().map(|v| -v).collect();
        self.pull.copy_from_slice(correlations);
        combine(&mut self.pull, &self.gram.products, &self.atoms, &negative);
    }

    /// The answer from its active atoms and signs alone, free of what the steps
    /// have gathered in rounding.
    fn polish(&mut self, correlations: &[f64], squared_norm: f64, target: Target) {
        // w = u − λ d with G u = Bᵀy and G d = s; ‖r(λ)‖² = ‖r(0)‖² + λ² sᵀd.
        let own: Vec<f64> = self.atoms.iter().map(|&j| correlations[j]).collect();
        let mut least_squares = own.clone();
        self.factor.solve(&mut least_squares);
        self.direction.clone_from(&self.signs);
        self.factor.solve(&mut self.direction);
        let bend = dot(&self.signs, &self.direction);
        let floor = squared_norm - dot(&own, &least_squares);
        if let (Target::Residual(bound), true) = (target, self.met && bend > 0.0) {
            self.penalty = ((bound - floor) / bend).max(0.0).sqrt();
        }
        self.residual = floor + self.penalty.powi(2) * bend;
        let polished = least_squares.iter().zip(&self.direction);
        let polished: Vec<f64> = polished.map(|(u, d)| u - self.penalty * d).collect();
        // An atom at a knot is zero up to rounding, on either side.
        for ((value, new), sign) in self.values.iter_mut().zip(polished).zip(&self.signs) {
            *value = if new * sign > 0.0 { new } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use crate::base::simd::vectors::squared_norm;
    use crate::matrix::{from_fn, Array2, Columns};
    use rand_distr::{Distribution, StandardNormal};

    struct Problem {
        atoms: Array2<f64>,
        y: Vec<f64>,
        correlations: Vec<f64>,
    }

    fn problem(seed: u64, rows: usize, columns: usize, mean: f64) -> Problem {
        let mut rng = stream(seed, Purpose::Start, 0);
        let mut draw = || mean + Distribution::<f64>::sample(&StandardNormal, &mut rng);
        let atoms = from_fn((rows, columns), |_, _| draw());
        let y: Vec<f64> = (0..rows).map(|_| draw()).collect();
        let correlations = (0..columns).map(|j| dot(atoms.col(j), &y)).collect();
        Problem { atoms, y, correlations }
    }

    fn residual_of(problem: &Problem, path: &LassoPath<'_>) -> f64 {
        let mut residual = problem.y.clone();
        for (&j, &v) in path.atoms.iter().zip(&path.values) {
            add_scaled(&mut residual, -v, problem.atoms.col(j));
        }
        squared_norm(&residual)
    }

    /// Largest violation of the optimality conditions at λ, per unit of the
    /// largest |Bᵀy|.
    fn violation(path: &LassoPath<'_>, correlations: &[f64]) -> f64 {
        let mut pull = correlations.to_vec();
        let negative: Vec<f64> = path.values.iter().map(|v| -v).collect();
        combine(&mut pull, path.gram.products(), &path.atoms, &negative);
        let size = |c: f64| if path.nonnegative { c } else { c.abs() };
        let beyond = pull.iter().map(|&c| size(c) - path.penalty).fold(0.0, f64::max);
        let active = path.atoms.iter().zip(&path.values).filter(|(_, &value)| value != 0.0);
        let off = active.map(|(&atom, value)| (pull[atom] - path.penalty * value.signum()).abs());
        let scale = correlations.iter().fold(f64::MIN_POSITIVE, |m, c| m.max(c.abs()));
        off.fold(beyond, f64::max) / scale
    }

    #[test]
    fn every_stop_on_the_path_is_optimal() {
        for seed in 0..60 {
            // correlated atoms (mean 1) make atoms leave
            let mean = if seed % 2 == 0 { 0.0 } else { 1.0 };
            let problem = problem(seed, 30, 10 + 4 * (seed as usize % 20), mean);
            let gram = Gram::of(problem.atoms.view());
            let norm = squared_norm(&problem.y);
            for nonnegative in [false, true] {
                let mut path = LassoPath::new(&gram, nonnegative);
                for share in [0.9, 0.5, 0.1, 0.01] {
                    let top = problem.correlations.iter().fold(0.0f64, |m, c| m.max(c.abs()));
                    path.run(&problem.correlations, norm, Target::Penalty(share * top));
                    assert!(path.met);
                    let violation = violation(&path, &problem.correlations);
                    assert!(violation < 1e-9, "seed {seed} {nonnegative} {share}: {violation}");
                    assert!(!nonnegative || path.values.iter().all(|&v| v >= 0.0));
                    let residual = residual_of(&problem, &path);
                    assert!((residual - path.residual).abs() < 1e-9 * norm);
                }
            }
        }
    }

    #[test]
    fn a_bound_on_the_residual_is_met_exactly_or_said_to_be_out_of_reach() {
        for seed in 0..40 {
            let problem = problem(seed, 30, 50, 0.3);
            let gram = Gram::of(problem.atoms.view());
            let norm = squared_norm(&problem.y);
            let mut path = LassoPath::new(&gram, true);
            for share in [2.0, 0.9, 0.5, 0.2] {
                path.run(&problem.correlations, norm, Target::Residual(share * norm));
                let residual = residual_of(&problem, &path);
                if share >= 1.0 {
                    assert!(path.met && path.atoms.is_empty());
                } else if path.met {
                    assert!((residual - share * norm).abs() < 1e-9 * norm, "seed {seed}");
                    assert!(path.penalty > 0.0);
                } else {
                    // non-negative least squares itself misses the bound
                    assert!(path.penalty < 1e-12 && residual > share * norm);
                }
                assert!(violation(&path, &problem.correlations) < 1e-9);
            }
        }
    }

    #[test]
    fn the_number_of_atoms_is_bounded() {
        for seed in 0..20 {
            let problem = problem(seed, 30, 80, 0.0);
            let gram = Gram::of(problem.atoms.view());
            let mut path = LassoPath::new(&gram, false);
            for most in [0, 1, 7, 25] {
                let norm = squared_norm(&problem.y);
                path.run(&problem.correlations, norm, Target::Atoms(most));
                assert!(path.atoms.len() <= most && path.met);
                assert!(most < 7 || path.atoms.len() + 3 > most);
                assert!(violation(&path, &problem.correlations) < 1e-9);
            }
        }
    }

    #[test]
    fn twin_atoms_and_a_zero_sample_end_well() {
        let mut twins = problem(9, 20, 10, 0.2);
        for i in 0..20 {
            twins.atoms[(i, 7)] = twins.atoms[(i, 2)];
        }
        twins.correlations[7] = twins.correlations[2];
        let gram = Gram::of(twins.atoms.view());
        let mut path = LassoPath::new(&gram, true);
        path.run(&twins.correlations, squared_norm(&twins.y), Target::Penalty(0.01));
        assert!(violation(&path, &twins.correlations) < 1e-9);
        path.run(&[0.0; 10], 0.0, Target::Atoms(3));
        assert!(path.atoms.is_empty() && path.met);
    }
}
