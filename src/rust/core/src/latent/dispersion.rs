//! Dispersions of negative binomial counts: variance μ + μ²/θ.

use super::likelihood::Sums;
use crate::base::numbers::median;

/// ln θ stays in this range: variances from 400 μ² to all but μ.
const RANGE: (f64, f64) = (-6.0, 10.0);
/// Largest change of ln θ in a step.
const LONGEST: f64 = 2.0;
/// A gene's information on ln θ, and genes that have it, below which there is no trend.
const LEAST: f64 = 0.1;
const FEWEST: usize = 10;

/// One θ per gene.
#[derive(Clone)]
pub struct Dispersion {
    theta: Vec<f64>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// As given.
    Fixed,
    /// The same for all genes.
    Common,
    Own(Own),
}

/// Each gene's own; ln θ has a normal prior about `trend`.
#[derive(Clone)]
pub struct Own {
    trend: Vec<f64>,
    /// 0 for no prior.
    precision: f64,
}

impl Own {
    /// No prior; a start at `start`.
    pub fn free(genes: usize, start: f64) -> Self {
        Own { trend: vec![start; genes], precision: 0.0 }
    }
}

impl Dispersion {
    pub fn fixed(theta: Vec<f64>) -> Self {
        Dispersion { theta, kind: Kind::Fixed }
    }

    pub fn common(theta: f64, genes: usize) -> Self {
        Dispersion { theta: vec![theta; genes], kind: Kind::Common }
    }

    /// Starts at exp(trend).
    pub fn own(own: Own) -> Self {
        let theta = own.trend.iter().map(|r| r.clamp(RANGE.0, RANGE.1).exp()).collect();
        Dispersion { theta, kind: Kind::Own(own) }
    }

    /// With a prior about a line in ln θ over ln mean expression.
    ///
    /// The line is weighted least squares, by the information that a gene's counts hold
    /// (`sums`, at the maximum likelihood); the prior's variance is what residuals vary
    /// beyond their sampling variance, by medians.  Genes at the ends of the range know
    /// nothing of their θ and take no part.
    pub fn shrunk(mut self, sums: &[Sums], means: &[f64]) -> Self {
        let known: Vec<(f64, f64, f64)> = (self.theta.iter().zip(sums).zip(means))
            .map(|((theta, sums), mean)| (theta.ln(), sums.bend, mean.ln()))
            .filter(|&(r, bend, x)| {
                r > RANGE.0 + 0.1 && r < RANGE.1 - 0.1 && bend > LEAST && x.is_finite()
            })
            .collect();
        let weigh = |f: &dyn Fn(&(f64, f64, f64)) -> f64| -> f64 {
            known.iter().map(|known| known.1 * f(known)).sum()
        };
        let total = weigh(&|_| 1.0);
        let (slope, centre, level) = if known.len() >= FEWEST {
            let (x, r) = (weigh(&|k| k.2) / total, weigh(&|k| k.0) / total);
            let square = weigh(&|k| (k.2 - x).powi(2));
            let slope = weigh(&|k| (k.2 - x) * (k.0 - r)) / square.max(f64::MIN_POSITIVE);
            (slope, x, r)
        } else {
            (0.0, 0.0, median(self.theta.iter().map(|theta| theta.ln()).collect()))
        };
        let line = |x: f64| (level + slope * (x - centre)).clamp(RANGE.0, RANGE.1);
        // the median of a squared standard normal is 0.455
        let spread = median(known.iter().map(|k| (k.0 - line(k.2)).powi(2)).collect()) / 0.455;
        let sampling = median(known.iter().map(|k| 1.0 / k.1).collect());
        let variance = (spread - sampling).clamp(0.05, 4.0);
        let trend = means.iter().map(|mean| line(mean.max(1e-300).ln())).collect();
        self.kind = Kind::Own(Own { trend, precision: 1.0 / variance });
        self
    }

    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// −log of the prior, up to a constant.
    pub fn penalty(&self) -> f64 {
        match &self.kind {
            Kind::Own(Own { trend, precision }) if *precision > 0.0 => {
                let square = |(theta, trend): (&f64, &f64)| (theta.ln() - trend).powi(2);
                0.5 * precision * self.theta.iter().zip(trend).map(square).sum::<f64>()
            }
            _ => 0.0,
        }
    }

    /// A Newton step of ln θ, times `pace`, from the genes' sums.
    pub fn update(&mut self, sums: &[Sums], pace: f64) {
        let step = |theta: f64, slope: f64, bend: f64| {
            // far from the minimum the curvature may have the wrong sign
            let change = -slope / bend.max(0.5 * slope.abs()).max(f64::MIN_POSITIVE);
            let r = theta.ln() + pace * change.clamp(-LONGEST, LONGEST);
            r.clamp(RANGE.0, RANGE.1).exp()
        };
        match &self.kind {
            Kind::Fixed => {}
            Kind::Common => {
                let mut total = Sums::default();
                sums.iter().for_each(|s| total.add(*s));
                let theta = step(self.theta[0], total.slope, total.bend);
                self.theta.fill(theta);
            }
            Kind::Own(Own { trend, precision }) => {
                for ((theta, sums), trend) in self.theta.iter_mut().zip(sums).zip(trend) {
                    let slope = sums.slope + precision * (theta.ln() - trend);
                    *theta = step(*theta, slope, sums.bend + precision);
                }
            }
        }
    }
}
