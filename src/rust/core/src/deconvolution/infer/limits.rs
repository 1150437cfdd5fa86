//! Upper limits of sources at zero: how far each can go until the objective has
//! risen by a given amount, the other sources following to second order.

use super::sandwich::{ActiveInverse, Equations};
use crate::base::numbers::dot;
use crate::base::parallel::SAMPLE_BLOCK;
use crate::deconvolution::evaluate::Evaluator;
use crate::deconvolution::likelihood::Block;
use crate::deconvolution::model::Model;
use crate::matrix::linalg::add_product;
use crate::matrix::{from_columns, from_columns_mut, from_fn};

/// Upper limits of the sources at zero, where F has risen by half of `fall` times
/// the scale of the source; NaN for active ones.  Per sample.
pub(super) fn limits(
    block: &Block<'_>,
    equations: &Equations<'_>,
    scales: &[Vec<f64>],
    fall: f64,
) -> Vec<Vec<f64>> {
    let mut paths = Vec::new();
    for (sample, point) in block.points.iter().enumerate() {
        let slopes = negative_scores(block.model, &equations.terms[sample].score);
        for source in (0..point.len()).filter(|&j| point[j] == 0.0) {
            let rise = 0.5 * fall * scales[sample][source];
            let information = &equations.information[sample];
            paths.push(Path::new(information, sample, source, slopes[source], rise));
        }
    }
    follow(block, &mut paths);
    let mut limits = vec![vec![f64::NAN; block.model.n_sources()]; block.len()];
    for path in paths {
        limits[path.sample][path.source] = path.end;
    }
    limits
}

/// ∂F/∂e_j = −Σ_g score_g a_gj.
fn negative_scores(model: &Model, score: &[f64]) -> Vec<f64> {
    let mut slopes = vec![0.0; model.n_sources()];
    let mut column = from_columns_mut(&mut slopes, (model.n_sources(), 1));
    add_product(&mut column, -1.0, &model.design().t(), &from_columns(score, (score.len(), 1)));
    slopes
}

/// The way of source j away from zero, the others following to second order.
struct Path {
    sample: usize,
    source: usize,
    /// d over sources, d_j = 1.
    direction: Vec<f64>,
    slope: f64,
    curvature: f64,
    /// Rise of F that marks the limit.
    rise: f64,
    /// The limit, as far as it is known.
    end: f64,
}

impl Path {
    /// Ends where the quadratic model with Hessian J has risen by `rise` above its
    /// minimum on the path.
    fn new(
        information: &ActiveInverse,
        sample: usize,
        source: usize,
        slope: f64,
        rise: f64,
    ) -> Self {
        let direction = information.direction(source);
        let n = direction.len();
        let own = &information.matrix[source * n..(source + 1) * n];
        let curvature = dot(own, &direction).max(0.0);
        let slope = slope.max(0.0);
        let end = 2.0 * rise / (slope + (slope * slope + 2.0 * curvature * rise).sqrt());
        Path { sample, source, direction, slope, curvature, rise, end }
    }

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
fn follow(block: &Block<'_>, paths: &mut [Path]) {
    let Block { model, samples, points } = block;
    let mut evaluator = Evaluator::new(model.design(), SAMPLE_BLOCK);
    let mut values = |columns: &[(usize, Vec<f64>)]| -> Vec<f64> {
        let mut sums = Vec::with_capacity(columns.len());
        for chunk in columns.chunks(SAMPLE_BLOCK) {
            let at = from_fn((model.n_sources(), chunk.len()), |j, i| chunk[i].1[j]);
            let mut memories = vec![Vec::new(); chunk.len()];
            let found = evaluator.evaluate(&at, false, |i, genes, mu, slope, curvature| {
                let sample = &samples[chunk[i].0];
                sample.terms(genes, mu, &mut memories[i], slope, curvature)
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
