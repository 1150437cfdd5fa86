//! Integrative factorisation of data sets that share features but not samples
//! (iNMF: Yang and Michailidis 2016, Bioinformatics 32:1; with features of one data
//! set alone, UINMF: Kriebel and Welch 2022, Nature Communications 13:780):
//!
//! minimise Σ_i ‖E_i − (W + V_i) H_i‖² + ‖P_i − U_i H_i‖²
//!          + λ (‖V_i H_i‖² + ‖U_i H_i‖²)  over non-negative W, V_i, U_i, H_i,
//!
//! with E_i shared features × samples, and P_i the data set's own features.
//! Block coordinate descent: each block is a non-negative least squares problem
//! on a rank × rank Gram matrix and is solved exactly, so the objective never
//! rises.  The data are met in two products per iteration.

use super::data::{Data, Side};
use crate::base::convergence::Stop;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::nnls::Pivoting;
use rand::Rng;
use rayon::prelude::*;

/// One data set.
pub struct Dataset<'a> {
    pub shared: Data<'a>,
    pub own: Option<Data<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct IntegrativeSettings {
    pub rank: usize,
    pub lambda: f64,
    pub max_iterations: usize,
    /// Stop when the objective falls by less than this part of itself per
    /// iteration, on average over ten.
    pub tolerance: f64,
    pub seed: u64,
}

/// Factors of one data set, rank × lines.
#[derive(Clone, Debug)]
pub struct Part {
    /// V over the shared features.
    pub specific: Vec<f64>,
    /// U over the data set's own features; empty without.
    pub own: Vec<f64>,
    /// H over the samples.
    pub coef: Vec<f64>,
}

#[derive(Clone, Debug)]
pub struct IntegrativeFit {
    /// W, rank × shared features.
    pub shared: Vec<f64>,
    pub parts: Vec<Part>,
    /// The objective after every iteration; it does not rise but by rounding.
    pub trace: Vec<f64>,
    /// √(Σ G_rr δ² / Σ X²), where δ is the step that coordinate-wise Newton would make:
    /// the largest over the blocks.
    pub kkt: f64,
    pub iterations: usize,
    pub stop: Stop,
}

impl IntegrativeFit {
    pub fn objective(&self) -> f64 {
        self.trace.last().copied().unwrap_or(f64::INFINITY)
    }
}

/// Iterations over which a decrease is averaged.
const WINDOW: usize = 10;
/// Lines that are solved together.
const BLOCK: usize = 256;

/// Factorises from the random start `run`.
///
/// # Errors
/// `Shape` when data sets do not share their features, `Argument` for settings
/// out of range, `Interrupted`.
pub fn factorise_integrative(
    datasets: &[Dataset<'_>],
    settings: &IntegrativeSettings,
    run: usize,
    monitor: &Monitor<'_>,
) -> Result<IntegrativeFit, CoreError> {
    check_value("datasets", datasets.len() as f64, "at least 1", |v| v >= 1.0)?;
    check_value("rank", settings.rank as f64, "at least 1", |v| v >= 1.0)?;
    check_value("lambda", settings.lambda, "finite and non-negative", |v| {
        v >= 0.0 && v.is_finite()
    })?;
    let n_shared = datasets[0].shared.count(Side::Basis);
    for set in datasets {
        check_length("shared features", n_shared, set.shared.count(Side::Basis))?;
        if let Some(own) = &set.own {
            check_length("samples", set.shared.count(Side::Coef), own.count(Side::Coef))?;
        }
    }
    let mut blocks = Blocks::new(datasets, settings, run);
    let mut trace = Vec::new();
    let mut stop = Stop::MaxIterations;
    for iteration in 1..=settings.max_iterations {
        monitor.check()?;
        let objective = blocks.step();
        trace.push(objective);
        if iteration > WINDOW {
            let before = trace[iteration - 1 - WINDOW];
            let slope = (before - trace[iteration - 1]) / WINDOW as f64;
            if slope <= settings.tolerance * trace[iteration - 1] {
                stop = Stop::Converged;
                break;
            }
        }
    }
    Ok(IntegrativeFit {
        kkt: blocks.kkt(),
        shared: blocks.shared,
        parts: blocks.parts,
        iterations: trace.len(),
        trace,
        stop,
    })
}

/// Factorises from `runs` random starts.  Of all fits but the best, whose index
/// comes with them, only how they ended is kept.
///
/// # Errors
/// As [`factorise_integrative`], and `Argument` for no runs.
pub fn factorise_runs(
    datasets: &[Dataset<'_>],
    settings: &IntegrativeSettings,
    runs: usize,
    monitor: &Monitor<'_>,
) -> Result<(Vec<IntegrativeFit>, usize), CoreError> {
    check_value("runs", runs as f64, "at least 1", |v| v >= 1.0)?;
    let mut fits: Vec<IntegrativeFit> = Vec::new();
    let mut best = 0;
    for run in 0..runs {
        fits.push(factorise_integrative(datasets, settings, run, monitor)?);
        monitor.advance(1);
        let better = fits[run].objective().total_cmp(&fits[best].objective()).is_lt();
        let forgotten = if better { std::mem::replace(&mut best, run) } else { run };
        if forgotten != best {
            fits[forgotten].shared = Vec::new();
            fits[forgotten].parts = Vec::new();
        }
    }
    Ok((fits, best))
}

struct Blocks<'a, 'd> {
    datasets: &'a [Dataset<'d>],
    rank: usize,
    lambda: f64,
    squares: f64,
    shared: Vec<f64>,
    parts: Vec<Part>,
}

impl<'a, 'd> Blocks<'a, 'd> {
    fn new(datasets: &'a [Dataset<'d>], settings: &IntegrativeSettings, run: usize) -> Self {
        let rank = settings.rank;
        let mut rng = stream(settings.seed, Purpose::Factors, run);
        let mut uniform = |lines: usize, scale: f64| -> Vec<f64> {
            (0..rank * lines).map(|_| scale * rng.random::<f64>()).collect()
        };
        let n_shared = datasets[0].shared.count(Side::Basis);
        // H comes first and takes whatever scale these have
        let shared = uniform(n_shared, 1.0);
        let parts = datasets
            .iter()
            .map(|set| Part {
                specific: uniform(n_shared, 0.1),
                own: uniform(set.own.as_ref().map_or(0, |own| own.count(Side::Basis)), 1.0),
                coef: vec![0.0; rank * set.shared.count(Side::Coef)],
            })
            .collect();
        let of = |set: &Dataset<'_>| {
            set.shared.squares() + set.own.as_ref().map_or(0.0, |own| own.squares())
        };
        let squares = datasets.iter().map(of).sum();
        Blocks { datasets, rank, lambda: settings.lambda, squares, shared, parts }
    }

    /// W + V_i.
    fn basis(&self, part: &Part) -> Vec<f64> {
        self.shared.iter().zip(&part.specific).map(|(w, v)| w + v).collect()
    }

    /// The problem of H_i: Gram matrix and right-hand sides.
    fn coef_problem(&self, at: usize) -> (Vec<f64>, Vec<f64>) {
        let (set, part, rank) = (&self.datasets[at], &self.parts[at], self.rank);
        let basis = self.basis(part);
        let mut gram = set.shared.gram(Side::Basis, &basis, rank);
        let specific = set.shared.gram(Side::Basis, &part.specific, rank);
        gram.iter_mut().zip(&specific).for_each(|(g, v)| *g += self.lambda * v);
        let mut right = vec![0.0; part.coef.len()];
        set.shared.product(Side::Coef, &basis, rank, &mut right);
        if let Some(own) = &set.own {
            let own_gram = own.gram(Side::Basis, &part.own, rank);
            gram.iter_mut().zip(&own_gram).for_each(|(g, u)| *g += (1.0 + self.lambda) * u);
            let mut more = vec![0.0; right.len()];
            own.product(Side::Coef, &part.own, rank, &mut more);
            right.iter_mut().zip(&more).for_each(|(r, m)| *r += m);
        }
        (gram, right)
    }

    /// H Hᵀ and H Xᵀ of data set `at`: shared features, and its own.
    fn products(&self, at: usize) -> Products {
        let (set, part, rank) = (&self.datasets[at], &self.parts[at], self.rank);
        let product = |data: &Data<'_>| {
            let mut out = vec![0.0; rank * data.count(Side::Basis)];
            data.product(Side::Basis, &part.coef, rank, &mut out);
            out
        };
        Products {
            gram: set.shared.gram(Side::Coef, &part.coef, rank),
            shared: product(&set.shared),
            own: set.own.as_ref().map_or(Vec::new(), product),
        }
    }

    /// One sweep over all blocks; the objective after it.
    fn step(&mut self) -> f64 {
        for at in 0..self.parts.len() {
            let (gram, right) = self.coef_problem(at);
            solve(&gram, &right, &mut self.parts[at].coef, self.rank);
        }
        let products: Vec<Products> = (0..self.parts.len()).map(|at| self.products(at)).collect();
        for (part, products) in self.parts.iter_mut().zip(&products) {
            let gram = products.scaled_gram(1.0 + self.lambda);
            let right = without(&products.shared, &products.gram, &self.shared, self.rank);
            solve(&gram, &right, &mut part.specific, self.rank);
            solve(&gram, &products.own, &mut part.own, self.rank);
        }
        let (gram, right) = self.shared_problem(&products);
        solve(&gram, &right, &mut self.shared, self.rank);
        self.objective(&products)
    }

    /// The problem of W.
    fn shared_problem(&self, products: &[Products]) -> (Vec<f64>, Vec<f64>) {
        let mut gram = vec![0.0; self.rank * self.rank];
        let mut right = vec![0.0; self.shared.len()];
        for (part, products) in self.parts.iter().zip(products) {
            gram.iter_mut().zip(&products.gram).for_each(|(g, p)| *g += p);
            let own = without(&products.shared, &products.gram, &part.specific, self.rank);
            right.iter_mut().zip(&own).for_each(|(r, o)| *r += o);
        }
        (gram, right)
    }

    /// From Gram matrices, at the H of the products.
    fn objective(&self, products: &[Products]) -> f64 {
        let mut sum = self.squares;
        for ((part, products), set) in self.parts.iter().zip(products).zip(self.datasets) {
            let basis = self.basis(part);
            let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let gram_of =
                |factor: &[f64], data: &Data<'_>| data.gram(Side::Basis, factor, self.rank);
            sum -= 2.0 * (inner(&basis, &products.shared) + inner(&part.own, &products.own));
            let mut gram = gram_of(&basis, &set.shared);
            let specific = gram_of(&part.specific, &set.shared);
            gram.iter_mut().zip(&specific).for_each(|(g, v)| *g += self.lambda * v);
            if let Some(own) = &set.own {
                let own = gram_of(&part.own, own);
                gram.iter_mut().zip(&own).for_each(|(g, u)| *g += (1.0 + self.lambda) * u);
            }
            sum += inner(&gram, &products.gram);
        }
        sum.max(0.0)
    }

    fn kkt(&self) -> f64 {
        let scale = self.squares.max(f64::MIN_POSITIVE);
        let mut worst: f64 = 0.0;
        let products: Vec<Products> = (0..self.parts.len()).map(|at| self.products(at)).collect();
        for (at, (part, products)) in self.parts.iter().zip(&products).enumerate() {
            let (gram, right) = self.coef_problem(at);
            worst = worst.max(coordinate_steps(&gram, &right, &part.coef, self.rank));
            let gram = products.scaled_gram(1.0 + self.lambda);
            let right = without(&products.shared, &products.gram, &self.shared, self.rank);
            worst = worst.max(coordinate_steps(&gram, &right, &part.specific, self.rank));
            worst = worst.max(coordinate_steps(&gram, &products.own, &part.own, self.rank));
        }
        let (gram, right) = self.shared_problem(&products);
        worst = worst.max(coordinate_steps(&gram, &right, &self.shared, self.rank));
        (worst / scale).sqrt()
    }
}

struct Products {
    gram: Vec<f64>,
    shared: Vec<f64>,
    own: Vec<f64>,
}

impl Products {
    fn scaled_gram(&self, by: f64) -> Vec<f64> {
        self.gram.iter().map(|g| by * g).collect()
    }
}

/// b − G f per line: what a fixed summand leaves to be explained.
fn without(right: &[f64], gram: &[f64], fixed: &[f64], rank: usize) -> Vec<f64> {
    let mut out = right.to_vec();
    for (out, fixed) in out.chunks_exact_mut(rank).zip(fixed.chunks_exact(rank)) {
        for (r, &f) in fixed.iter().enumerate().filter(|(_, &f)| f != 0.0) {
            let column = &gram[r * rank..(r + 1) * rank];
            out.iter_mut().zip(column).for_each(|(o, g)| *o -= f * g);
        }
    }
    out
}

/// The exact optimum of every line.
fn solve(gram: &[f64], right: &[f64], x: &mut [f64], rank: usize) {
    let lines = x.par_chunks_mut(BLOCK * rank).zip(right.par_chunks(BLOCK * rank));
    lines.for_each(|(x, right)| {
        let mut pivoting = Pivoting::new(gram, rank);
        for (x, right) in x.chunks_exact_mut(rank).zip(right.chunks_exact(rank)) {
            pivoting.solve(right, x);
        }
    });
}

/// Σ G_rr δ² of the steps δ of coordinate-wise Newton.
fn coordinate_steps(gram: &[f64], right: &[f64], x: &[f64], rank: usize) -> f64 {
    let mut sum = 0.0;
    for (x, right) in x.chunks_exact(rank).zip(right.chunks_exact(rank)) {
        for r in (0..rank).filter(|&r| gram[r * rank + r] > 0.0) {
            let column = &gram[r * rank..(r + 1) * rank];
            let slope = column.iter().zip(x).map(|(g, v)| g * v).sum::<f64>() - right[r];
            let to = (x[r] - slope / column[r]).max(0.0);
            sum += column[r] * (to - x[r]) * (to - x[r]);
        }
    }
    sum
}
