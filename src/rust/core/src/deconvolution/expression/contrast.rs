//! A gene's response to a covariate of the samples, beside its mixed model.

use super::block::{Block, Exposures};
use super::{Cohort, CohortFit, GENE_BLOCK};
use crate::base::numbers::dot;
use crate::matrix::Columns;

/// See `deconvolution::extract_program::test_genes`.
pub struct Contrast {
    pub difference: f64,
    pub std_error: f64,
    pub average: f64,
    pub scale: f64,
    pub freedom: f64,
}

impl Cohort<'_> {
    /// Generalised least squares of the counts of `genes` on `covariate` (per
    /// sample), with the sources as random effects.
    pub fn contrasts(
        &self,
        genes: &[usize],
        fit: &CohortFit,
        covariate: &[f64],
        composition: &[f64],
    ) -> Vec<Contrast> {
        let exposures = self.exposures(fit);
        let sized: Vec<f64> = covariate.iter().zip(&fit.sizes).map(|(l, c)| l * c).collect();
        let mut found = Vec::with_capacity(genes.len());
        for part in genes.chunks(GENE_BLOCK) {
            let mut block = self.block(part.iter().copied(), fit);
            let between = self.between(&block, fit);
            block.update(&exposures, between.view(), &self.prior.donors, fit.tau2);
            let one = |row| contrast(&block, row, &exposures, &sized, composition);
            found.extend((0..part.len()).map(one));
        }
        found
    }
}

fn contrast(
    block: &Block,
    row: usize,
    exposures: &Exposures,
    sized: &[f64],
    composition: &[f64],
) -> Contrast {
    let n_sources = composition.len();
    // l̃ = l − F V Fᵀ T⁻¹ l, so that Ω⁻¹ l = T⁻¹ l̃
    let mut pulled = vec![0.0; n_sources];
    for (s, l) in sized.iter().enumerate() {
        for (p, e) in pulled.iter_mut().zip(exposures.own.col(s)) {
            *p += e * l / block.total[(row, s)];
        }
    }
    let slopes: Vec<f64> = (0..n_sources)
        .map(|j| (0..n_sources).map(|i| block.covariance(row, i, j) * pulled[i]).sum())
        .collect();
    let clear = |s: usize| sized[s] - dot(exposures.own.col(s), &slopes);
    let cleared: Vec<f64> = (0..sized.len()).map(clear).collect();
    let (mut score, mut information) = (0.0, 0.0);
    for s in 0..sized.len() {
        score += sized[s] * block.residual[(row, s)] / block.total[(row, s)];
        information += sized[s] * cleared[s] / block.total[(row, s)];
    }
    let average: f64 = composition.iter().enumerate().map(|(j, c)| c * block.mean[(row, j)]).sum();
    if information <= 0.0 {
        let none = f64::INFINITY;
        return Contrast { difference: 0.0, std_error: none, average, scale: 0.0, freedom: 0.0 };
    }
    let difference = score / information;
    let (mut squares, mut freedom) = (0.0, -1.0);
    for (s, clear) in cleared.iter().enumerate() {
        let left = block.residual[(row, s)] - difference * clear;
        squares += left * left / block.total[(row, s)];
        freedom += 1.0 - block.fitted_variance[(row, s)] / block.total[(row, s)];
    }
    Contrast {
        difference,
        std_error: 1.0 / information.sqrt(),
        average: average - difference * dot(&slopes, composition),
        scale: if freedom > 0.0 { squares / freedom } else { 0.0 },
        freedom: freedom.max(0.0),
    }
}
