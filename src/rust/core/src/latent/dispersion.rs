//! Dispersions of negative binomial counts: variance μ + μ²/θ.

use super::likelihood::Sums;

/// ln θ stays in this range: variances from 400 μ² to all but μ.
const RANGE: (f64, f64) = (-6.0, 10.0);
/// Largest change of ln θ in a step.
const LONGEST: f64 = 2.0;

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
    /// Each gene's own; ln θ has a normal prior about `trend` (none: infinite variance).
    Own { trend: Vec<f64>, precision: f64 },
}

impl Dispersion {
    pub fn fixed(theta: Vec<f64>) -> Self {
        Dispersion { theta, kind: Kind::Fixed }
    }

    pub fn common(theta: f64, genes: usize) -> Self {
        Dispersion { theta: vec![theta; genes], kind: Kind::Common }
    }

    /// Starts at exp(trend).
    pub fn own(trend: Vec<f64>, precision: f64) -> Self {
        let theta = trend.iter().map(|r| r.clamp(RANGE.0, RANGE.1).exp()).collect();
        Dispersion { theta, kind: Kind::Own { trend, precision } }
    }

    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// −log of the prior, up to a constant.
    pub fn penalty(&self) -> f64 {
        match &self.kind {
            Kind::Own { trend, precision } if *precision > 0.0 => {
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
            Kind::Own { trend, precision } => {
                for ((theta, sums), trend) in self.theta.iter_mut().zip(sums).zip(trend) {
                    let slope = sums.slope + precision * (theta.ln() - trend);
                    *theta = step(*theta, slope, sums.bend + precision);
                }
            }
        }
    }
}
