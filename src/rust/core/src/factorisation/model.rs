//! The model that settings ask for.

use super::alternate::Model;
use super::data::Data;
use super::fit::{Algorithm, Settings, Weights};
use super::frobenius::{Frobenius, Solver};
use super::kl::{KullbackLeibler, Step};
use super::multiplicative::{Lee, NonSmooth};
use super::penalty::{Constraint, Penalty};
use super::weighted::{Restraint, WeightedModel};
use crate::error::{check_value, CoreError};

/// The model, which takes the weights with it.
///
/// # Errors
/// `Argument` for weights or penalties that the algorithm cannot take.
pub fn build<'a>(
    settings: &Settings,
    data: Data<'a>,
    weights: Weights<'a>,
    constraints: &[Constraint; 2],
) -> Result<Box<dyn Model + 'a>, CoreError> {
    let refuse = |found| {
        let expected = "absent for this algorithm";
        Err(CoreError::Argument { name: "weights", found, expected })
    };
    let frobenius = |data, rank, solver| -> Result<Box<dyn Model + 'a>, CoreError> {
        Ok(Box::new(Frobenius::new(data, rank, solver, constraints.clone())))
    };
    let rank = settings.rank;
    match (settings.algorithm, weights) {
        (Algorithm::Hals, Weights::Frobenius(weighted)) => {
            let known = constraints[0].fixed.iter().filter(|&&f| f).count();
            let restraints = [restraint(&constraints[0])?, restraint(&constraints[1])?];
            Ok(Box::new(WeightedModel { data: *weighted, rank, restraints, known }))
        }
        (algorithm, weights) if algorithm.is_divergence() => {
            let (data, weighted) = match weights {
                Weights::None => (data, None),
                Weights::Divergence(data, weighted) => (data, Some(weighted)),
                Weights::Frobenius(_) => return refuse(1.0),
            };
            let step = match algorithm {
                Algorithm::KullbackLeibler => Step::Newton,
                _ => Step::Multiplicative,
            };
            if let Algorithm::NonSmooth { theta } = algorithm {
                return if weighted.is_some() {
                    refuse(1.0)
                } else {
                    Ok(Box::new(NonSmooth::new(data, rank, theta)))
                };
            }
            let constraints = constraints.clone();
            Ok(Box::new(KullbackLeibler::new(data, rank, step, constraints, weighted)))
        }
        (Algorithm::Hals, Weights::None) => frobenius(data, rank, Solver::CoordinateDescent),
        (Algorithm::Anls, Weights::None) => frobenius(data, rank, Solver::Pivoting),
        (Algorithm::Gradient, Weights::None) => frobenius(data, rank, Solver::Gradient),
        (Algorithm::Offset, Weights::None) => frobenius(data, rank + 1, Solver::CoordinateDescent),
        (Algorithm::Lee, Weights::None) => Ok(Box::new(Lee::new(data, rank))),
        _ => refuse(1.0),
    }
}

/// What the weighted solver knows of constraints.
fn restraint(constraint: &Constraint) -> Result<Restraint, CoreError> {
    let Penalty { l1, l2, l1_squared, angle, ref graph } = constraint.penalty;
    let extra = l1_squared + f64::from(graph.is_some());
    check_value("penalty", extra, "without graph and squared L1 when entries have weights", |v| {
        v == 0.0
    })?;
    Ok(Restraint { upper: constraint.upper, l1, l2, angle })
}
