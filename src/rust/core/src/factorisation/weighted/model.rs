//! The weighted loss as a model of the common outer loop.

use super::data::WeightedMatrix;
use super::gram::for_each_line;
use super::line::{descend, projected_gradient, value, HALF_STEP};
use super::Restraint;
use crate::factorisation::alternate::Model;
use crate::factorisation::data::Side;

pub struct WeightedModel {
    pub data: WeightedMatrix,
    pub rank: usize,
    /// Of the basis and of the coefficients.
    pub restraints: [Restraint; 2],
    /// So many first columns of the basis are known.
    pub known: usize,
}

impl WeightedModel {
    fn lines(&self, side: Side) -> super::data::Lines<'_> {
        match side {
            Side::Basis => self.data.rows(),
            Side::Coef => self.data.columns(),
        }
    }

    fn known(&self, side: Side) -> usize {
        match side {
            Side::Basis => self.known,
            Side::Coef => 0,
        }
    }
}

impl Model for WeightedModel {
    fn update(&self, side: Side, fixed: &[f64], current: &mut [f64], _: bool) -> f64 {
        let restraint = &self.restraints[side.index()];
        let known = self.known(side);
        let sum = for_each_line(self.lines(side), fixed, self.rank, current, |gram, right, y| {
            restraint.add_to(gram, right);
            descend(gram, right, restraint.upper, known, HALF_STEP, y);
            value(gram, right, y)
        });
        (0.5 * self.data.sum_of_squares() + sum).max(0.0)
    }

    fn penalty(&self, side: Side, factor: &[f64]) -> f64 {
        self.restraints[side.index()].penalty(factor, self.rank)
    }

    /// ‖projected gradient‖ / ‖right-hand side‖.
    fn residual(&self, side: Side, fixed: &[f64], current: &[f64]) -> f64 {
        let restraint = &self.restraints[side.index()];
        let known = self.known(side);
        let mut copy = current.to_vec();
        let gradient =
            for_each_line(self.lines(side), fixed, self.rank, &mut copy, |gram, right, y| {
                restraint.add_to(gram, right);
                projected_gradient(gram, right, restraint.upper, known, y)
            });
        let size = for_each_line(self.lines(side), fixed, self.rank, &mut copy, |_, right, _| {
            right.iter().map(|b| b * b).sum()
        });
        if gradient > 0.0 {
            (gradient / size.max(f64::MIN_POSITIVE)).sqrt()
        } else {
            0.0
        }
    }
}
