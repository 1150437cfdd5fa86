//! Weights and missing values of a factorisation, and what each loss makes of
//! them.

use super::data::{Data, Side, Values};
use crate::error::{check_length, check_value, CoreError};

/// Weights Ω of the entries of X; where X is NaN the weight is 0.
#[derive(Clone, Copy)]
pub enum Weighting<'a> {
    Equal,
    /// Ω_ij = features_i samples_j.
    Outer {
        features: &'a [f64],
        samples: &'a [f64],
    },
    Entries(Values<'a>),
}

/// Σ Ω over the standing factor, for the Kullback-Leibler divergence: u_j of
/// line j is Σ_i Ω_ij f_i.
pub enum Totals<'a> {
    Outer {
        features: Vec<f64>,
        samples: Vec<f64>,
    },
    Entries(Data<'a>),
    /// Ω is 1 but at these entries, where it is 0.
    Except(Data<'a>),
}

impl Totals<'_> {
    /// u of every line of `side`, rank × lines.
    pub fn of(&self, side: Side, fixed: &[f64], rank: usize) -> Vec<f64> {
        let sum = |weights: Option<&[f64]>| {
            let mut sum = vec![0.0; rank];
            for (at, line) in fixed.chunks_exact(rank).enumerate() {
                let weight = weights.map_or(1.0, |w| w[at]);
                sum.iter_mut().zip(line).for_each(|(sum, v)| *sum += weight * v);
            }
            sum
        };
        match self {
            Totals::Outer { features, samples } => {
                let (across, along) = match side {
                    Side::Coef => (features, samples),
                    Side::Basis => (samples, features),
                };
                let sum = sum(Some(across));
                along.iter().flat_map(|w| sum.iter().map(move |s| w * s)).collect()
            }
            Totals::Entries(weights) => {
                let mut out = vec![0.0; rank * weights.count(side)];
                weights.product(side, fixed, rank, &mut out);
                out
            }
            Totals::Except(missing) => {
                let sum = sum(None);
                let mut out = vec![0.0; rank * missing.count(side)];
                missing.product(side, fixed, rank, &mut out);
                for line in out.chunks_exact_mut(rank) {
                    for (v, total) in line.iter_mut().zip(&sum) {
                        // rounding must not leave less than nothing
                        *v = (total - *v).max(0.0);
                    }
                }
                out
            }
        }
    }

    /// Σ Ω of a matrix of this many entries.
    pub fn sum(&self, entries: usize) -> f64 {
        match self {
            Totals::Outer { features, samples } => {
                features.iter().sum::<f64>() * samples.iter().sum::<f64>()
            }
            Totals::Entries(weights) => weights.sum(),
            Totals::Except(missing) => entries as f64 - missing.sum(),
        }
    }

    pub fn sequential(self) -> Self {
        match self {
            Totals::Entries(data) => Totals::Entries(data.sequential()),
            Totals::Except(data) => Totals::Except(data.sequential()),
            outer => outer,
        }
    }
}

/// Entries of a matrix that this crate made.
pub enum Held {
    Dense(Vec<f64>),
    Sparse { starts: Vec<i32>, rows: Vec<i32>, values: Vec<f64> },
}

impl Held {
    pub fn values(&self) -> Values<'_> {
        match self {
            Held::Dense(x) => Values::Dense(x),
            Held::Sparse { starts, rows, values } => Values::Sparse { starts, rows, values },
        }
    }
}

/// What the Kullback-Leibler divergence needs of X and Ω.
pub struct Prepared {
    /// Ω ∘ X, with 0 for missing values.
    pub weighted: Held,
    /// Σ ω (x log x − x).
    pub constant: f64,
    weights: HeldWeights,
}

enum HeldWeights {
    Outer { features: Vec<f64>, samples: Vec<f64> },
    Entries(Held),
    Except(Held),
}

impl Prepared {
    /// # Errors
    /// `Shape` when lengths do not belong together; `Argument` for a weight that
    /// is negative or not finite.
    pub fn new(
        x: Values<'_>,
        (m, n): (usize, usize),
        weighting: Weighting<'_>,
    ) -> Result<Self, CoreError> {
        check_weighting(weighting, (m, n))?;
        let mut missing = Lists::new();
        let mut given = Lists::new();
        let mut constant = 0.0;
        let mut weight = vec![1.0; m];
        // weights of 0 and 1 are a mask, the same as missing values
        let mut is_mask = !matches!(weighting, Weighting::Outer { .. });
        let mut gone = Vec::new();
        let mut any_gone = false;
        let mut weighted = match x {
            Values::Dense(x) => {
                check_length("x", m * n, x.len())?;
                Held::Dense(vec![0.0; m * n])
            }
            Values::Sparse { starts, rows, values } => Held::Sparse {
                starts: starts.to_vec(),
                rows: rows.to_vec(),
                values: vec![0.0; values.len()],
            },
        };
        for j in 0..n {
            column_weights(weighting, j, m, &mut weight);
            gone.clear();
            let mut take = |i: usize, x: f64| {
                if x.is_nan() {
                    gone.push(i);
                    return 0.0;
                }
                if x > 0.0 && weight[i] > 0.0 {
                    constant += weight[i] * (x * x.ln() - x);
                }
                weight[i] * x
            };
            match (x, &mut weighted) {
                (Values::Dense(x), Held::Dense(out)) => {
                    let range = j * m..(j + 1) * m;
                    for (i, (x, out)) in x[range.clone()].iter().zip(&mut out[range]).enumerate() {
                        *out = take(i, *x);
                    }
                }
                (Values::Sparse { starts, rows, values }, Held::Sparse { values: out, .. }) => {
                    for at in starts[j] as usize..starts[j + 1] as usize {
                        out[at] = take(rows[at] as usize, values[at]);
                    }
                }
                _ => unreachable!("both were made alike"),
            }
            gone.iter().for_each(|&i| weight[i] = 0.0);
            for (i, &weight) in weight.iter().enumerate().filter(|(_, &w)| w != 1.0) {
                is_mask &= weight == 0.0;
                if is_mask {
                    missing.push(i, 1.0);
                }
            }
            any_gone |= !gone.is_empty();
            missing.end();
            // of a mask they are those that are not missing
            if !matches!(weighting, Weighting::Equal) {
                weight
                    .iter()
                    .enumerate()
                    .filter(|(_, &w)| w > 0.0)
                    .for_each(|(i, &w)| given.push(i, w));
            }
            given.end();
        }
        let few_missing = 2 * missing.values.len() <= m * n;
        let weights = match weighting {
            Weighting::Outer { features, samples } if !any_gone => {
                HeldWeights::Outer { features: features.to_vec(), samples: samples.to_vec() }
            }
            _ if is_mask && few_missing => HeldWeights::Except(missing.held()),
            _ if is_mask => HeldWeights::Entries(missing.complement(m).held_in(m, n)),
            _ => HeldWeights::Entries(given.held_in(m, n)),
        };
        Ok(Prepared { weighted, constant, weights })
    }

    /// # Errors
    /// `Argument` for values that the weighted matrix must not have.
    pub fn totals(&self, shape: (usize, usize)) -> Result<Totals<'_>, CoreError> {
        Ok(match &self.weights {
            HeldWeights::Outer { features, samples } => {
                Totals::Outer { features: features.clone(), samples: samples.clone() }
            }
            HeldWeights::Entries(held) => Totals::Entries(Data::new(held.values(), shape)?),
            HeldWeights::Except(held) => Totals::Except(Data::new(held.values(), shape)?),
        })
    }
}

/// X with zeros for missing values and for those without weight: what starts are
/// made of.
///
/// # Errors
/// Those of [`Prepared::new`].
pub fn observed(
    x: Values<'_>,
    (m, n): (usize, usize),
    weighting: Weighting<'_>,
) -> Result<Held, CoreError> {
    check_weighting(weighting, (m, n))?;
    let mut weight = vec![1.0; m];
    let keep = |x: f64, weight: f64| if x.is_nan() || weight == 0.0 { 0.0 } else { x };
    match x {
        Values::Dense(x) => {
            check_length("x", m * n, x.len())?;
            let mut out = Vec::with_capacity(x.len());
            for j in 0..n {
                column_weights(weighting, j, m, &mut weight);
                let column = x[j * m..(j + 1) * m].iter().zip(&weight);
                out.extend(column.map(|(&x, &w)| keep(x, w)));
            }
            Ok(Held::Dense(out))
        }
        Values::Sparse { starts, rows, values } => {
            let mut out = Vec::with_capacity(values.len());
            for j in 0..n {
                column_weights(weighting, j, m, &mut weight);
                let range = starts[j] as usize..starts[j + 1] as usize;
                out.extend(range.map(|at| keep(values[at], weight[rows[at] as usize])));
            }
            Ok(Held::Sparse { starts: starts.to_vec(), rows: rows.to_vec(), values: out })
        }
    }
}

fn check_weighting(weighting: Weighting<'_>, (m, n): (usize, usize)) -> Result<(), CoreError> {
    let check = |weights: &[f64]| {
        weights.iter().try_for_each(|&v| {
            check_value("weights", v, "finite and non-negative", |v| v >= 0.0 && v.is_finite())
        })
    };
    match weighting {
        Weighting::Equal => Ok(()),
        Weighting::Outer { features, samples } => {
            check_length("weights", m, features.len())?;
            check_length("weights", n, samples.len())?;
            check(features)?;
            check(samples)
        }
        // also checks the values
        Weighting::Entries(values) => Data::new(values, (m, n)).map(|_| ()),
    }
}

fn column_weights(weighting: Weighting<'_>, j: usize, m: usize, out: &mut [f64]) {
    match weighting {
        Weighting::Equal => out.fill(1.0),
        Weighting::Outer { features, samples } => {
            out.iter_mut().zip(features).for_each(|(o, f)| *o = f * samples[j])
        }
        Weighting::Entries(Values::Dense(weights)) => {
            out.copy_from_slice(&weights[j * m..(j + 1) * m])
        }
        Weighting::Entries(Values::Sparse { starts, rows, values }) => {
            out.fill(0.0);
            for at in starts[j] as usize..starts[j + 1] as usize {
                out[rows[at] as usize] = values[at];
            }
        }
    }
}

/// Compressed columns in the making.
struct Lists {
    starts: Vec<i32>,
    rows: Vec<i32>,
    values: Vec<f64>,
}

impl Lists {
    fn new() -> Self {
        Lists { starts: vec![0], rows: Vec::new(), values: Vec::new() }
    }

    fn push(&mut self, row: usize, value: f64) {
        self.rows.push(row as i32);
        self.values.push(value);
    }

    fn end(&mut self) {
        self.starts.push(self.rows.len() as i32);
    }

    /// The entries of columns of `rows` entries that are not here, each 1.
    fn complement(&self, rows: usize) -> Self {
        let mut out = Lists::new();
        for range in self.starts.windows(2) {
            let mut here = self.rows[range[0] as usize..range[1] as usize].iter().peekable();
            for i in 0..rows {
                if here.next_if(|&&row| row as usize == i).is_none() {
                    out.push(i, 1.0);
                }
            }
            out.end();
        }
        out
    }

    fn held(self) -> Held {
        Held::Sparse { starts: self.starts, rows: self.rows, values: self.values }
    }

    /// Dense when most entries are there: products are then several times faster.
    fn held_in(self, m: usize, n: usize) -> Held {
        if self.values.len() * 5 < m * n {
            return self.held();
        }
        let mut dense = vec![0.0; m * n];
        for j in 0..n {
            for at in self.starts[j] as usize..self.starts[j + 1] as usize {
                dense[j * m + self.rows[at] as usize] = self.values[at];
            }
        }
        Held::Dense(dense)
    }
}
