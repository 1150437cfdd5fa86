//! The loss that settings and weights ask for.

use super::alternate::Model;
use super::data::Data;
use super::frobenius::{Frobenius, Solver};
use super::kl::{KullbackLeibler, Step, WeightedKl};
use super::multiplicative::{Lee, NonSmooth};
use super::penalty::Constraint;
use super::settings::{Algorithm, Settings};
use super::weighted::{WeightedMatrix, WeightedModel};
use super::weights::{observed, Weights};
use crate::base::error::CoreError;
use crate::matrix::Matrix;

/// What runs start from and what they minimise.
pub struct Built<'a> {
    /// X, with zeros for missing values and for those without weight.
    pub data: Data<'a>,
    /// Σ Ω X / Σ Ω.
    pub mean: f64,
    pub model: Box<dyn Model + 'a>,
}

/// The model, worked on by the calling thread alone when runs are in parallel
/// (`apart`).
///
/// # Errors
/// `Shape` and `Argument` for data and weights that do not belong together, and for
/// weights or penalties that the algorithm cannot take.
pub fn build<'a>(
    x: Matrix<'a>,
    weights: Weights<'_>,
    settings: &Settings,
    constraints: &[Constraint; 2],
    apart: bool,
) -> Result<Built<'a>, CoreError> {
    let alone = |data: Data<'a>| if apart { data.sequential() } else { data };
    let rank = settings.rank;
    let constraints = constraints.clone();
    if matches!(weights, Weights::Equal) && !x.has_missing() {
        let data = alone(Data::new(x)?);
        let model = unweighted(data.clone(), settings.algorithm, rank, constraints);
        return Ok(Built { mean: data.mean(), data, model });
    }
    weights.check(x.shape())?;
    let data = alone(Data::made(observed(x, weights))?);
    let (mean, model): (f64, Box<dyn Model + 'a>) = match settings.algorithm {
        Algorithm::Hals => {
            let model = WeightedModel::new(WeightedMatrix::new(x, weights)?, rank, constraints)?;
            (model.data.mean(), Box::new(model))
        }
        Algorithm::KullbackLeibler | Algorithm::Brunet => {
            let weighted = WeightedKl::new(x, weights)?;
            let weighted = if apart { weighted.sequential() } else { weighted };
            let step = match settings.algorithm {
                Algorithm::Brunet => Step::Multiplicative,
                _ => Step::Newton,
            };
            let mean = weighted.mean();
            (mean, Box::new(KullbackLeibler::weighted(weighted, rank, step, constraints)))
        }
        _ => {
            let expected = "absent for this algorithm";
            return Err(CoreError::Argument { name: "weights", found: 1.0, expected });
        }
    };
    Ok(Built { data, mean, model })
}

fn unweighted<'a>(
    data: Data<'a>,
    algorithm: Algorithm,
    rank: usize,
    constraints: [Constraint; 2],
) -> Box<dyn Model + 'a> {
    use Solver::{CoordinateDescent, Gradient, Pivoting};
    match algorithm {
        Algorithm::Hals => Box::new(Frobenius::new(data, rank, CoordinateDescent, constraints)),
        Algorithm::Anls => Box::new(Frobenius::new(data, rank, Pivoting, constraints)),
        Algorithm::Gradient => Box::new(Frobenius::new(data, rank, Gradient, constraints)),
        Algorithm::Offset => {
            Box::new(Frobenius::new(data, rank + 1, CoordinateDescent, constraints))
        }
        Algorithm::Lee => Box::new(Lee::new(data, rank)),
        Algorithm::KullbackLeibler => {
            Box::new(KullbackLeibler::new(data, rank, Step::Newton, constraints))
        }
        Algorithm::Brunet => {
            Box::new(KullbackLeibler::new(data, rank, Step::Multiplicative, constraints))
        }
        Algorithm::NonSmooth { theta } => Box::new(NonSmooth::new(data, rank, theta)),
    }
}
