//! Training on mixtures, and what a trained network says of samples.

use super::expression::{profiles, standardise, Targets};
use super::{Architecture, Deconvolver};
use crate::base::error::check_length;
use crate::base::parallel::Monitor;
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, Columns};
use crate::networks::layer::{Named, Pass};
use crate::networks::mixtures::{Cells, Mixtures};
use crate::networks::tensor::{first, first_mut, reserve};
use crate::networks::train::{Learner, Step, Value};
use crate::CoreError;
use ndarray::s;

/// Mixtures that are evaluated together.
const CHUNK: usize = 128;
/// Of mixtures that are validated on, beyond those of any training.
const VALIDATION_STREAM: usize = 1 << 41;
/// Room for the mixtures of a step in their numbers.
const STEP: usize = 1 << 20;

/// Per gene: what is taken from ln(CPM + 10), and what that is divided by.
#[derive(Clone, Copy)]
pub struct Scaling<'a> {
    pub centre: &'a [f64],
    pub scale: &'a [f64],
}

/// A network and the cells that it learns from.
pub struct Trainer<'d> {
    pub net: Deconvolver<f32>,
    cells: &'d Cells,
    scaling: Scaling<'d>,
    targets: Option<Targets>,
    /// Of the loss of shares, beside that of expression.
    weight: f64,
    /// Mixtures of validation are those of the whole training, whatever the network.
    validation_seed: u64,
    mixtures: Mixtures,
    x: Array2<f32>,
    slope: Array2<f32>,
}

impl<'d> Trainer<'d> {
    /// # Errors
    /// `Shape` for parts that do not fit.
    pub fn new(
        net: Deconvolver<f32>,
        cells: &'d Cells,
        scaling: Scaling<'d>,
        targets: Option<Targets>,
        weight: f64,
        validation_seed: u64,
    ) -> Result<Self, CoreError> {
        let a = net.architecture();
        check_length("genes", a.genes, cells.n_genes())?;
        check_length("types", a.types, cells.n_types())?;
        check_scaling(&scaling, a)?;
        let (mixtures, none) = (Mixtures::default(), || zeros((0, 0)));
        Ok(Trainer {
            net,
            cells,
            scaling,
            targets,
            weight,
            validation_seed,
            mixtures,
            x: none(),
            slope: none(),
        })
    }

    fn draw(&mut self, seed: u64, from: usize, n: usize) {
        let levels = self.targets.is_some();
        self.cells.mix(seed, from..from + n, levels, &mut self.mixtures);
        reserve(&mut self.x, self.cells.n_genes(), n);
        let bulk = first(&self.mixtures.bulk, n);
        standardise(&bulk, self.scaling.centre, self.scaling.scale, &mut first_mut(&mut self.x, n));
    }
}

fn check_scaling(scaling: &Scaling<'_>, architecture: &Architecture) -> Result<(), CoreError> {
    check_length("centre", architecture.genes, scaling.centre.len())?;
    check_length("scale", architecture.genes, scaling.scale.len())
}

impl Learner for Trainer<'_> {
    type Number = f32;

    fn parameters(&mut self) -> Vec<Named<'_, f32>> {
        self.net.parameters()
    }

    /// Every step has mixtures of its own: of the items only their number is taken.
    fn learn(&mut self, items: &[usize], step: &Step) -> Value {
        let n = items.len();
        self.draw(step.seed, step.number * STEP, n);
        let (x, pass) = (first(&self.x, n), step.pass());
        let marks = self.net.architecture().marks;
        let truth = first(&self.mixtures.shares, n);
        let read = x.slice(s![..marks, ..]);
        let misfit = self.weight * self.net.learn_shares(&read, &truth, &pass, self.weight);
        let (Some(branch), Some(targets)) = (&mut self.net.expression, &mut self.targets) else {
            return Value { misfit, prior: 0.0 };
        };
        let rows = branch.forward(&x, &pass).nrows();
        reserve(&mut self.slope, rows, n);
        let mut slope = first_mut(&mut self.slope, n);
        let found = branch.output(n);
        let prior = targets.loss(self.cells, &self.mixtures, &found, Some(&mut slope));
        branch.backward(&x, &slope);
        Value { misfit, prior }
    }

    fn validate(&mut self, items: &[usize]) -> Value {
        let mut value = Value::default();
        for from in (0..items.len()).step_by(CHUNK) {
            let n = CHUNK.min(items.len() - from);
            self.draw(self.validation_seed, VALIDATION_STREAM + from, n);
            let x = first(&self.x, n);
            let marks = self.net.architecture().marks;
            let truth = first(&self.mixtures.shares, n);
            let share = n as f64 / items.len() as f64;
            let read = x.slice(s![..marks, ..]);
            value.misfit += share * self.weight * self.net.value_of_shares(&read, &truth);
            if let (Some(branch), Some(targets)) = (&mut self.net.expression, &mut self.targets) {
                let found = branch.forward(&x, &Pass::PREDICTION);
                value.prior += share * targets.loss(self.cells, &self.mixtures, &found, None);
            }
        }
        value
    }
}

/// Mixtures that a training validates on, those that it validates on first.
pub fn validation_mixtures(cells: &Cells, seed: u64, n: usize) -> (Array2<f64>, Array2<f64>) {
    let mut out = Mixtures::default();
    cells.mix(seed, VALIDATION_STREAM..VALIDATION_STREAM + n, false, &mut out);
    let double = |x: &Array2<f32>| from_fn((x.nrows(), n), |i, j| f64::from(x[(i, j)]));
    (double(&out.bulk), double(&out.shares))
}

impl Deconvolver<f32> {
    /// Shares of samples (genes × samples, copies per million), types × samples; with targets
    /// also log2(CPM + 20) of each type, (genes of the first type, then of the second, ...) ×
    /// samples.
    ///
    /// # Errors
    /// `Shape` for other genes, `Interrupted`.
    pub fn predict(
        &mut self,
        bulk: ArrayView2<'_, f64>,
        scaling: Scaling<'_>,
        targets: Option<&Targets>,
        monitor: &Monitor<'_>,
    ) -> Result<(Array2<f64>, Option<Array2<f64>>), CoreError> {
        let a = self.architecture().clone();
        check_length("genes", a.genes, bulk.nrows())?;
        check_scaling(&scaling, &a)?;
        let samples = bulk.ncols();
        let mut shares = zeros((a.types, samples));
        let mut levels = targets.map(|_| zeros((a.genes * a.types, samples)));
        let mut own = vec![0.0; a.genes * a.types];
        for from in (0..samples).step_by(CHUNK) {
            monitor.check()?;
            let n = CHUNK.min(samples - from);
            let y = from_fn((a.genes, n), |g, j| bulk[(g, from + j)] as f32);
            let mut x = zeros((a.genes, n));
            standardise(&y, scaling.centre, scaling.scale, &mut x);
            self.shares_of(&x.slice(s![..a.marks, ..]), &Pass::PREDICTION);
            for j in 0..n {
                for k in 0..a.types {
                    shares[(k, from + j)] = f64::from(self.found[(k, j)]);
                }
            }
            if let (Some(branch), Some(targets), Some(levels)) =
                (&mut self.expression, targets, &mut levels)
            {
                let found = branch.forward(&x, &Pass::PREDICTION);
                for j in 0..n {
                    profiles(targets, found.col(j), &mut own);
                    let to = levels.col_mut(from + j);
                    to.iter_mut().zip(&own).for_each(|(to, v)| *to = f64::from(*v));
                }
            }
        }
        Ok((shares, levels))
    }
}
