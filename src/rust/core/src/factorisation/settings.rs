//! What a factorisation is asked for.

use super::alternate::{Pair, Rules};
use super::arrange::split_last;
use super::data::{Data, Side};
use super::init::{nndsvd, random, Init};
use super::penalty::Constraint;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::Monitor;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Algorithm {
    /// Frobenius, accelerated HALS.
    Hals,
    /// Frobenius, exact half-steps.
    Anls,
    /// Frobenius, projected gradient.
    Gradient,
    /// Frobenius, multiplicative.
    Lee,
    /// Frobenius with a constant per feature: X ≈ W H + b 1ᵀ.
    Offset,
    /// Kullback-Leibler, second order.
    KullbackLeibler,
    /// Kullback-Leibler, multiplicative.
    Brunet,
    /// X ≈ W S H with S = (1 − θ) I + θ/k 11ᵀ, Kullback-Leibler.
    NonSmooth { theta: f64 },
}

crate::base::error::named!(Algorithm, "algorithm",
    "hals" => Algorithm::Hals,
    "anls" => Algorithm::Anls,
    "gradient" => Algorithm::Gradient,
    "lee" => Algorithm::Lee,
    "offset" => Algorithm::Offset,
    "kl" => Algorithm::KullbackLeibler,
    "brunet" => Algorithm::Brunet,
    "nonsmooth" => Algorithm::NonSmooth { theta: 0.5 },
);

impl Algorithm {
    fn is_multiplicative(self) -> bool {
        matches!(self, Algorithm::Brunet | Algorithm::Lee | Algorithm::NonSmooth { .. })
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub algorithm: Algorithm,
    pub rank: usize,
    pub runs: usize,
    pub seed: u64,
    pub init: Init,
    /// A start given by the user; replaces `init`.
    pub start: Option<Pair>,
    pub max_iter: usize,
    pub tolerance: f64,
    /// Iterations without a change of clusters after which multiplicative
    /// methods stop; `None` for the tolerance.
    pub unchanged: Option<usize>,
    /// Of the basis and of the coefficients.
    pub constraints: [Constraint; 2],
    /// First columns of the basis that are known, features × known; they stay.
    pub known: Vec<f64>,
    pub keep_all: bool,
    pub threads: usize,
}

impl Settings {
    /// # Errors
    /// `Argument` or `Shape` for what is out of range or does not belong to a matrix
    /// of this shape.
    pub(super) fn check(&self, (features, samples): (usize, usize)) -> Result<(), CoreError> {
        check_value("rank", self.rank as f64, "at least 1", |v| v >= 1.0)?;
        check_value("runs", self.runs as f64, "at least 1", |v| v >= 1.0)?;
        check_value("max_iter", self.max_iter as f64, "at least 1", |v| v >= 1.0)?;
        check_value("tolerance", self.tolerance, "non-negative", |v| v >= 0.0)?;
        self.constraints.iter().try_for_each(Constraint::check)?;
        if let Algorithm::NonSmooth { theta } = self.algorithm {
            check_value("theta", theta, "in [0, 1]", |v| (0.0..=1.0).contains(&v))?;
        }
        let known = self.known.len() / features.max(1);
        check_length("known", known * features, self.known.len())?;
        check_value("known", known as f64, "at most the rank", |v| v <= self.rank as f64)?;
        let check_all = |name, values: &[f64]| {
            let valid = |v: f64| v >= 0.0 && v.is_finite();
            values.iter().try_for_each(|&v| check_value(name, v, "finite and non-negative", valid))
        };
        check_all("known", &self.known)?;
        if let Some(start) = &self.start {
            check_length("start", self.rank, start.rank)?;
            for (side, lines) in [(Side::Basis, features), (Side::Coef, samples)] {
                check_length("start", self.rank * lines, start.side(side).len())?;
                check_all("start", start.side(side))?;
            }
        }
        Ok(())
    }

    pub(super) fn rules(&self) -> Rules {
        let multiplicative = self.algorithm.is_multiplicative();
        Rules {
            max_iter: self.max_iter,
            tolerance: self.tolerance,
            extrapolate: !multiplicative,
            unchanged: if multiplicative { self.unchanged } else { None },
            every: if multiplicative { 10 } else { 1 },
        }
    }

    /// The start within the bounds of `constraints`, those of the model: fixed
    /// components keep their values whatever the bound.  `mean` is that of X.
    pub(super) fn start(
        &self,
        (data, mean): (&Data<'_>, f64),
        run: usize,
        constraints: &[Constraint; 2],
        monitor: &Monitor<'_>,
    ) -> Result<Pair, CoreError> {
        let mut pair = match (&self.start, self.init) {
            (Some(start), _) => start.clone(),
            (None, Init::Random) => random(data, mean, self.rank, self.seed, run),
            (None, kind) => nndsvd((data, mean), self.rank, kind, self.seed, monitor)?,
        };
        let features = data.count(Side::Basis);
        for (component, known) in self.known.chunks_exact(features.max(1)).enumerate() {
            for (line, v) in pair.side_mut(Side::Basis).chunks_exact_mut(self.rank).zip(known) {
                line[component] = *v;
            }
        }
        if self.algorithm == Algorithm::Offset {
            pair = with_offset(pair, data);
        }
        for (side, constraint) in [Side::Basis, Side::Coef].into_iter().zip(constraints) {
            constraint.confine(pair.rank, pair.side_mut(side));
        }
        Ok(pair)
    }

    /// Constraints as the model sees them: known columns and the offset's
    /// coefficients are fixed.
    pub(super) fn model_constraints(&self, features: usize) -> [Constraint; 2] {
        let mut constraints = self.constraints.clone();
        let known = self.known.len() / features.max(1);
        let rank = self.rank + usize::from(self.algorithm == Algorithm::Offset);
        if known > 0 {
            constraints[0].fixed = (0..rank).map(|r| r < known).collect();
        }
        if self.algorithm == Algorithm::Offset {
            constraints[1].fixed = (0..rank).map(|r| r == rank - 1).collect();
        }
        constraints
    }

    /// The factors, and b of `Algorithm::Offset`.
    pub(super) fn without_offset(&self, pair: &Pair) -> (Pair, Option<Vec<f64>>) {
        if self.algorithm != Algorithm::Offset {
            return (pair.clone(), None);
        }
        let (bare, offset) = split_last(pair.clone());
        (bare, Some(offset))
    }
}

/// One more component: half of each feature's mean, with coefficients of 1.
fn with_offset(pair: Pair, data: &Data<'_>) -> Pair {
    let samples = data.count(Side::Coef);
    let mut sums = vec![0.0; data.count(Side::Basis)];
    data.product(Side::Basis, &vec![1.0; samples], 1, &mut sums);
    let append = |side: Side, of: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let lines = pair.side(side).chunks_exact(pair.rank).enumerate();
        lines.flat_map(|(at, line)| line.iter().copied().chain([of(at)])).collect()
    };
    let basis = append(Side::Basis, &|i| 0.5 * sums[i] / samples.max(1) as f64);
    let coef = append(Side::Coef, &|_| 1.0);
    Pair { rank: pair.rank + 1, factors: [basis, coef] }
}
