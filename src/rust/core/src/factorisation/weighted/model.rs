//! The weighted loss as a model of the common outer loop.

use super::data::WeightedMatrix;
use super::gram::for_each_line;
use super::line::{descend, projected_gradient, value, HALF_STEP};
use super::Restraint;
use crate::factorisation::alternate::{Model, Pair};
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
        let mut scratch = current.to_vec();
        // a line's y is not needed after its gradient: it takes the size
        let gradient =
            for_each_line(self.lines(side), fixed, self.rank, &mut scratch, |gram, right, y| {
                restraint.add_to(gram, right);
                let gradient = projected_gradient(gram, right, restraint.upper, known, y);
                y[0] = right[known..].iter().map(|b| b * b).sum();
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
        self.restraints[side.index()].upper
    }

    /// The positive residual of the column that is fitted worst, and no use of it:
    /// the objective stays as it is.  With a penalty, vanishing is meant.
    fn revive(&self, pair: &mut Pair, component: usize) -> bool {
        let penalised = |r: &Restraint| r.l1 > 0.0 || r.l2 > 0.0 || r.angle > 0.0;
        if component < self.known || self.restraints.iter().any(penalised) {
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
        let top = self.restraints[0].upper.min(largest);
        let rank = self.rank;
        for (line, v) in pair.side_mut(Side::Basis).chunks_exact_mut(rank).zip(&residual) {
            line[component] = top * v.max(0.0) / largest;
        }
        pair.side_mut(Side::Coef).chunks_exact_mut(rank).for_each(|line| line[component] = 0.0);
        true
    }
}
