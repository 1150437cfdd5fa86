//! Upper limits of sources at zero: how far each can go until the objective has
//! risen by a given amount, the other sources following to second order.

use super::sandwich::ActiveInverse;
use crate::deconvolution::evaluate::Evaluator;
use crate::deconvolution::likelihood::Likelihood;
use crate::deconvolution::SAMPLE_BLOCK;
use crate::numbers::dot;
use faer::Mat;

/// The way of source j away from zero, the others following to second order.
pub(super) struct Path {
    pub(super) sample: usize,
    pub(super) source: usize,
    /// d over sources, d_j = 1.
    direction: Vec<f64>,
    slope: f64,
    curvature: f64,
    /// Rise of F that marks the limit.
    rise: f64,
    /// The limit, as far as it is known.
    pub(super) end: f64,
}

impl Path {
    fn point(&self, start: &[f64]) -> Vec<f64> {
        start.iter().zip(&self.direction).map(|(e, d)| (e + self.end * d).max(0.0)).collect()
    }

    /// The next end, where F has risen by `found` at this one: F rises like a
    /// power of the distance, the one that the quadratic model has there.
    fn correct(&mut self, found: f64) {
        let linear = self.slope * self.end;
        let square = 0.5 * self.curvature * self.end * self.end;
        let power = if linear + square > 0.0 {
            ((linear + 2.0 * square) / (linear + square)).clamp(1.0, 2.0)
        } else {
            2.0
        };
        let factor = if found > 0.0 { (self.rise / found).powf(1.0 / power) } else { 2.0 };
        self.end *= factor.clamp(0.25, 4.0);
    }
}

/// Evaluations per limit at most, and the relative error of the rise after which
/// the correction that it gives is the last.
const PATH_STEPS: usize = 6;
const PATH_TOLERANCE: f64 = 0.05;

/// Moves the ends of `paths` to where F has risen as far as it should.
pub(super) fn follow<L: Likelihood>(
    likelihood: &L,
    samples: &[L::Sample],
    points: &[Vec<f64>],
    paths: &mut [Path],
) {
    let model = likelihood.model();
    let mut evaluator = Evaluator::new(model.design(), SAMPLE_BLOCK);
    let mut values = |columns: &[(usize, Vec<f64>)]| -> Vec<f64> {
        let mut sums = Vec::with_capacity(columns.len());
        for chunk in columns.chunks(SAMPLE_BLOCK) {
            let at = Mat::from_fn(model.n_sources(), chunk.len(), |j, i| chunk[i].1[j]);
            let mut memories = vec![Vec::new(); chunk.len()];
            let found = evaluator.evaluate(at.as_ref(), false, |i, genes, mu, slope, curvature| {
                let sample = &samples[chunk[i].0];
                likelihood.terms(sample, genes, mu, &mut memories[i], slope, curvature)
            });
            sums.extend(found.into_iter().map(|terms| terms.log_sum));
        }
        sums
    };
    let starts: Vec<(usize, Vec<f64>)> = points.iter().cloned().enumerate().collect();
    let origin = values(&starts);
    let mut open: Vec<usize> = (0..paths.len()).filter(|&p| paths[p].end.is_finite()).collect();
    for _ in 0..PATH_STEPS {
        let columns: Vec<(usize, Vec<f64>)> = open
            .iter()
            .map(|&p| (paths[p].sample, paths[p].point(&points[paths[p].sample])))
            .collect();
        let found = values(&columns);
        open = open
            .into_iter()
            .zip(found)
            .filter_map(|(p, value)| {
                let rise = value - origin[paths[p].sample];
                paths[p].correct(rise);
                let met = (rise / paths[p].rise - 1.0).abs() <= PATH_TOLERANCE;
                (!met).then_some(p)
            })
            .collect();
    }
}

impl ActiveInverse {
    /// The path of a source at zero, ending where the quadratic model has risen
    /// by `rise` above its minimum on it.
    pub(super) fn path(&self, sample: usize, j: usize, slope: f64, rise: f64) -> Path {
        let n = self.n_sources;
        let direction = self.direction(j);
        let curvature = dot(&self.hessian[j * n..(j + 1) * n], &direction).max(0.0);
        let slope = slope.max(0.0);
        let end = 2.0 * rise / (slope + (slope * slope + 2.0 * curvature * rise).sqrt());
        Path { sample, source: j, direction, slope, curvature, rise, end }
    }
}
