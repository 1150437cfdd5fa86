//! The weighted loss as a model of the common outer loop.

use super::gram::for_each_line;
use super::line::{descend, projected_gradient, value};
use super::matrix::{Lines, WeightedMatrix};
use crate::base::error::{check_value, CoreError};
use crate::factorisation::alternate::{Model, Pair};
use crate::factorisation::data::Side;
use crate::factorisation::penalty::Constraint;

pub struct WeightedModel {
    pub data: WeightedMatrix,
    pub rank: usize,
    /// Of the basis and of the coefficients.
    constraints: [Constraint; 2],
}

impl WeightedModel {
    /// # Errors
    /// `Argument` for a constraint that is out of range or has a graph.
    pub fn new(
        data: WeightedMatrix,
        rank: usize,
        constraints: [Constraint; 2],
    ) -> Result<Self, CoreError> {
        for constraint in &constraints {
            constraint.check()?;
            let graph = f64::from(u8::from(constraint.penalty.graph.is_some()));
            let expected = "without a graph when entries have weights";
            check_value("penalty", graph, expected, |graph| graph == 0.0)?;
        }
        Ok(WeightedModel { data, rank, constraints })
    }

    pub fn constraint(&self, side: Side) -> &Constraint {
        &self.constraints[side.index()]
    }

    fn lines(&self, side: Side) -> Lines<'_> {
        match side {
            Side::Basis => self.data.rows(),
            Side::Coef => self.data.columns(),
        }
    }
}

/// Adds the penalty to a line's problem.
fn penalise(constraint: &Constraint, gram: &mut [f64], right: &mut [f64]) {
    constraint.penalty.add_to_gram(gram, right.len());
    right.iter_mut().for_each(|b| *b -= constraint.penalty.l1);
}

impl Model for WeightedModel {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], _: bool) -> f64 {
        let constraint = self.constraint(side);
        let sum = for_each_line(self.lines(side), fixed, self.rank, current, |gram, right, y| {
            penalise(constraint, gram, right);
            descend(gram, right, constraint, y);
            value(gram, right, y)
        });
        (0.5 * self.data.sum_of_squares() + sum).max(0.0)
    }

    fn penalty(&self, side: Side, factor: &[f64]) -> f64 {
        self.constraint(side).penalty.value(factor, self.rank)
    }

    /// ‖projected gradient‖ / ‖right-hand side‖.
    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        let constraint = self.constraint(side);
        let mut scratch = current.to_vec();
        // a line's y is not needed after its gradient: it takes the size
        let gradient =
            for_each_line(self.lines(side), fixed, self.rank, &mut scratch, |gram, right, y| {
                penalise(constraint, gram, right);
                let gradient = projected_gradient(gram, right, constraint, y);
                let free = right.iter().enumerate().filter(|(r, _)| constraint.is_free(*r));
                y[0] = free.map(|(_, b)| b * b).sum();
                gradient
            });
        let size: f64 = scratch.iter().step_by(self.rank).sum();
        if gradient > 0.0 {
            (gradient / size.max(f64::MIN_POSITIVE)).sqrt()
        } else {
            0.0
        }
    }

    fn upper(&self, side: Side) -> f64 {
        self.constraint(side).upper
    }

    /// The positive residual of the column that is fitted worst, and no use of it:
    /// the objective stays as it is.  With a penalty, vanishing is meant.
    fn revive(&self, pair: &mut Pair, component: usize) -> bool {
        let movable = |c: &Constraint| c.is_free(component) && c.penalty.is_none();
        if !self.constraints.iter().all(movable) {
            return false;
        }
        let (basis, coef) = (pair.side(Side::Basis), pair.side(Side::Coef));
        let residual = |j: usize| self.data.residual(j, basis, coef, self.rank);
        let size = |j: usize| residual(j).iter().map(|v| v.max(0.0)).sum::<f64>();
        let sizes = (0..self.data.shape().1).map(|j| (j, size(j)));
        let Some((worst, size)) = sizes.max_by(|a, b| a.1.total_cmp(&b.1)) else {
            return false;
        };
        // a residual at rounding level explains nothing
        if size * size <= 1e-20 * self.data.sum_of_squares() {
            return false;
        }
        let residual = residual(worst);
        let largest = residual.iter().fold(0.0, |a: f64, &b| a.max(b));
        let top = self.constraint(Side::Basis).upper.min(largest);
        let rank = self.rank;
        for (line, v) in pair.side_mut(Side::Basis).chunks_exact_mut(rank).zip(&residual) {
            line[component] = top * v.max(0.0) / largest;
        }
        pair.side_mut(Side::Coef).chunks_exact_mut(rank).for_each(|line| line[component] = 0.0);
        true
    }
}
