//! Likelihoods of counts given linear predictors: losses, gradients, curvatures.
//!
//! Dense work is done as if every count were 0, in loops that become vector code;
//! entries above 0 are then put right one by one.  With θ the dispersion of the
//! gene (variance μ + μ²/θ), t = 1 + μ/θ, q = μ/t:
//!
//! ```text
//! Poisson   loss μ − y η,                            ∂η  μ − y,     ∂²η  μ
//! NB        (y + θ) ln t − y η − Σ_{j<y} ln(1+j/θ),  ∂η  q − y/t,   ∂²η  (y/θ + 1) q/t
//! ```
//!
//! Terms in the counts alone (Σ ln y!) are left out.
use super::predictor::Side;
use super::special::count_terms;
use super::vector::{exp, ln};
use pulp::{Arch, Simd, WithSimd};

/// Which entries a column of a tile holds: an item, and others from `first` on.
#[derive(Clone, Copy)]
pub struct Place {
    pub side: Side,
    pub item: usize,
    pub first: usize,
}

/// The counts above 0 of a column of a tile; `at` counts from the place's `first`.
#[derive(Clone, Copy)]
pub struct Entries<'a> {
    pub first: usize,
    pub rows: &'a [i32],
    pub y: &'a [f64],
}

impl Entries<'_> {
    pub fn each(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.rows.iter().zip(self.y).map(|(&row, &y)| (row as usize - self.first, y))
    }
}

/// A column of a tile, by linear predictor: η in, the gradient by η out; and room for
/// curvatures.
pub struct Column<'a> {
    pub eta: [&'a mut [f64]; 2],
    pub curvature: [&'a mut [f64]; 2],
    /// Room for [`PARTS`] columns.
    pub scratch: &'a mut [f64],
}

/// Columns of scratch that a likelihood may need.
pub const PARTS: usize = 6;

/// Sums over a column: the loss and its first two derivatives by ln θ.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sums {
    pub loss: f64,
    pub slope: f64,
    pub bend: f64,
}

impl Sums {
    pub fn add(&mut self, other: Sums) {
        self.loss += other.loss;
        self.slope += other.slope;
        self.bend += other.bend;
    }
}

pub trait Likelihood: Sync {
    /// Is the curvature the mean μ, and the gradient μ − y?  The column is then left with
    /// μ, and no curvature.
    const CANONICAL: bool;

    fn column(&self, place: Place, column: Column<'_>, entries: Entries<'_>) -> Sums;
}

/// Dispersions of the column's entries: of the item, or of the others.
pub fn dispersions(theta: &[f64], place: Place, out: &mut [f64]) {
    match place.side {
        Side::Genes => out.fill(theta[place.item]),
        Side::Cells => out.copy_from_slice(&theta[place.first..place.first + out.len()]),
    }
}

/// Sum in eight lanes: fixed order, whatever the width of vectors.
#[inline(always)]
pub fn sum(x: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let chunks = x.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

pub struct Poisson;

impl Likelihood for Poisson {
    const CANONICAL: bool = true;

    fn column(&self, _: Place, column: Column<'_>, entries: Entries<'_>) -> Sums {
        let [eta, _] = column.eta;
        let counted: f64 = entries.each().map(|(row, y)| y * eta[row]).sum();
        let total = Arch::new().dispatch(Exponential(eta));
        Sums { loss: total - counted, ..Sums::default() }
    }
}

/// η to e^η; returns their sum.
struct Exponential<'a>(&'a mut [f64]);

impl WithSimd for Exponential<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (vectors, rest) = S::as_mut_simd_f64s(self.0);
        for v in vectors {
            *v = exp(simd, *v);
        }
        let last = exp(simd, simd.partial_load_f64s(rest));
        simd.partial_store_f64s(rest, last);
        sum(self.0)
    }
}

/// Variance μ + μ²/θ.
pub struct NegativeBinomial<'t> {
    /// Per gene.
    pub theta: &'t [f64],
}

impl Likelihood for NegativeBinomial<'_> {
    const CANONICAL: bool = false;

    fn column(&self, place: Place, column: Column<'_>, entries: Entries<'_>) -> Sums {
        let [eta, _] = column.eta;
        let [curvature, _] = column.curvature;
        let n = eta.len();
        let (theta, rest) = column.scratch.split_at_mut(n);
        let logs = &mut rest[..n];
        dispersions(self.theta, place, theta);
        let counted: f64 = entries.each().map(|(row, y)| y * eta[row]).sum();
        Arch::new().dispatch(Zeros { theta, eta, curvature, logs });
        let (log, first, second) = (sum(logs), sum(eta), sum(curvature));
        let mut sums =
            Sums { loss: log - counted, slope: log - first, bend: log - 2.0 * first + second };
        for (row, y) in entries.each() {
            let theta = theta[row];
            let extra = count_terms(y, theta);
            let log = logs[row] / theta;
            let (share, r) = (eta[row] / theta, (-log).exp());
            sums.loss += y * log - extra.value;
            sums.slope += extra.slope - y * share;
            sums.bend += y * share * r - extra.bend;
            curvature[row] *= 1.0 + y / theta;
            eta[row] -= y * r;
        }
        sums
    }
}

/// At y = 0: η to q, with q/t and θ ln t.
struct Zeros<'a> {
    theta: &'a [f64],
    eta: &'a mut [f64],
    curvature: &'a mut [f64],
    logs: &'a mut [f64],
}

impl WithSimd for Zeros<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // vectors, then what is left of them
        let (theta, last_theta) = S::as_simd_f64s(self.theta);
        let (eta, last_eta) = S::as_mut_simd_f64s(self.eta);
        let (curvature, last_curvature) = S::as_mut_simd_f64s(self.curvature);
        let (logs, last_logs) = S::as_mut_simd_f64s(self.logs);
        for (((theta, eta), curvature), logs) in theta.iter().zip(eta).zip(curvature).zip(logs) {
            (*eta, *curvature, *logs) = zero(simd, *theta, *eta);
        }
        if !last_theta.is_empty() {
            // lanes beyond the end hold θ = 0: their values are not stored
            let theta = simd.partial_load_f64s(last_theta);
            let (q, bend, log) = zero(simd, theta, simd.partial_load_f64s(last_eta));
            simd.partial_store_f64s(last_eta, q);
            simd.partial_store_f64s(last_curvature, bend);
            simd.partial_store_f64s(last_logs, log);
        }
    }
}

/// q, q/t and θ ln t at y = 0.
#[inline(always)]
pub fn zero<S: Simd>(simd: S, theta: S::f64s, eta: S::f64s) -> (S::f64s, S::f64s, S::f64s) {
    let one = simd.splat_f64s(1.0);
    let mu = exp(simd, eta);
    let t = simd.add_f64s(one, simd.div_f64s(mu, theta));
    let r = simd.div_f64s(one, t);
    let q = simd.mul_f64s(mu, r);
    (q, simd.mul_f64s(q, r), simd.mul_f64s(theta, ln(simd, t)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latent::special::log_factorial;
    use crate::latent::zinb::ZeroInflated;

    /// Loss and gradients of one entry by a likelihood, the count's constant taken in.
    fn entry<L: Likelihood>(likelihood: &L, y: f64, eta: f64, odds: f64) -> (Sums, [f64; 4]) {
        let (mut first, mut second) = ([eta], [odds]);
        let (mut bend, mut odds_bend) = ([0.0], [0.0]);
        let mut scratch = [0.0; PARTS];
        let column = Column {
            eta: [&mut first, &mut second],
            curvature: [&mut bend, &mut odds_bend],
            scratch: &mut scratch,
        };
        let (rows, counts) = ([0], [y]);
        let some = usize::from(y > 0.0);
        let entries = Entries { first: 0, rows: &rows[..some], y: &counts[..some] };
        let place = Place { side: Side::Genes, item: 0, first: 0 };
        let mut sums = likelihood.column(place, column, entries);
        sums.loss += log_factorial(y);
        (sums, [first[0], bend[0], second[0], odds_bend[0]])
    }

    const COUNTS: [f64; 6] = [0.0, 1.0, 2.0, 7.0, 40.0, 1000.0];
    const THETAS: [f64; 5] = [0.003, 0.4, 1.0, 20.0, 2000.0];

    /// ln Γ by Lanczos' series, in no way that of `special`.
    fn ln_gamma(x: f64) -> f64 {
        const SERIES: [f64; 9] = [
            0.999_999_999_999_809_9,
            676.520_368_121_885_1,
            -1_259.139_216_722_402_8,
            771.323_428_777_653_1,
            -176.615_029_162_140_6,
            12.507_343_278_686_905,
            -0.138_571_095_265_720_12,
            9.984_369_578_019_572e-6,
            1.505_632_735_149_311_6e-7,
        ];
        if x < 0.5 {
            return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln()
                - ln_gamma(1.0 - x);
        }
        let x = x - 1.0;
        let t = x + 7.5;
        let sum = SERIES[1..].iter().enumerate().map(|(k, c)| c / (x + k as f64 + 1.0));
        0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t
            + (SERIES[0] + sum.sum::<f64>()).ln()
    }

    fn log_nb(y: f64, mu: f64, theta: f64) -> f64 {
        ln_gamma(y + theta) - ln_gamma(theta) - ln_gamma(y + 1.0)
            + theta * (theta / (theta + mu)).ln()
            + y * (mu / (theta + mu)).ln()
    }

    #[test]
    fn losses_are_those_of_the_distributions() {
        for y in COUNTS {
            for eta in [-18.0, -3.0, 0.0, 4.0, 13.0] {
                let mu = f64::exp(eta);
                let (poisson, _) = entry(&Poisson, y, eta, 0.0);
                let expected = mu - y * eta + ln_gamma(y + 1.0);
                assert!((poisson.loss - expected).abs() <= 1e-11 * expected.abs().max(1.0));
                for theta in THETAS {
                    let (nb, _) = entry(&NegativeBinomial { theta: &[theta] }, y, eta, 0.0);
                    let expected = -log_nb(y, mu, theta);
                    // Lanczos' series and ln Γ(y + θ) − ln Γ(θ) lose digits at large θ
                    let size =
                        expected.abs() + theta * theta.ln().abs() + y * y.max(1.0).ln() + 1.0;
                    assert!((nb.loss - expected).abs() <= 1e-11 * size, "{y} {eta} {theta}");
                    for a in [-30.0, -1.0, 2.0] {
                        let (zinb, _) = entry(&ZeroInflated { theta: &[theta] }, y, eta, a);
                        let pi = 1.0 / (1.0 + f64::exp(-a));
                        let f = log_nb(y, mu, theta);
                        let inside = if y > 0.0 {
                            (1.0 - pi).ln() + f
                        } else {
                            (pi + (1.0 - pi) * f.exp()).ln()
                        };
                        assert!(
                            (zinb.loss + inside).abs() <= 1e-10 * size,
                            "{y} {eta} {theta} {a}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_differences_of_losses() {
        let h = 1e-5;
        for y in COUNTS {
            for eta in [-2.0, 0.5, 3.0] {
                for theta in [0.4_f64, 3.0, 60.0] {
                    for a in [-2.0, 1.0] {
                        let loss = |eta: f64, r: f64, a: f64| {
                            entry(&ZeroInflated { theta: &[r.exp()] }, y, eta, a).0.loss
                        };
                        let r = theta.ln();
                        let (sums, found) = entry(&ZeroInflated { theta: &[theta] }, y, eta, a);
                        let near = |value: f64, up: f64, down: f64| {
                            let slope = (up - down) / (2.0 * h);
                            assert!(
                                (value - slope).abs() < 1e-6 * (1.0 + y + slope.abs()),
                                "{value} {slope}"
                            );
                        };
                        near(found[0], loss(eta + h, r, a), loss(eta - h, r, a));
                        near(found[2], loss(eta, r, a + h), loss(eta, r, a - h));
                        near(sums.slope, loss(eta, r + h, a), loss(eta, r - h, a));
                        let (nb, slopes) =
                            entry(&NegativeBinomial { theta: &[theta] }, y, eta, 0.0);
                        let of = |eta: f64, r: f64| {
                            entry(&NegativeBinomial { theta: &[r.exp()] }, y, eta, 0.0)
                        };
                        near(slopes[0], of(eta + h, r).0.loss, of(eta - h, r).0.loss);
                        near(slopes[1], of(eta + h, r).1[0], of(eta - h, r).1[0]);
                        near(nb.slope, of(eta, r + h).0.loss, of(eta, r - h).0.loss);
                        near(nb.bend, of(eta, r + h).0.slope, of(eta, r - h).0.slope);
                    }
                }
            }
        }
    }

    #[test]
    fn the_limits_are_the_simpler_models() {
        for y in [0.0, 1.0, 5.0] {
            let (poisson, _) = entry(&Poisson, y, 0.7, 0.0);
            let (nb, _) = entry(&NegativeBinomial { theta: &[1e9] }, y, 0.7, 0.0);
            assert!((poisson.loss - nb.loss).abs() < 1e-6);
            let (nb, _) = entry(&NegativeBinomial { theta: &[2.0] }, y, 0.7, 0.0);
            let (zinb, _) = entry(&ZeroInflated { theta: &[2.0] }, y, 0.7, -40.0);
            assert!((nb.loss - zinb.loss).abs() < 1e-12);
        }
    }
}
