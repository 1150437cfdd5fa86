//! New data from a model.

use crate::base::rng::{stream, Purpose};
use rand::Rng;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal};

/// Noise about a mean.
pub enum Noise<'a> {
    Poisson,
    /// Dispersion per gene.
    NegativeBinomial(&'a [f64]),
    /// Standard deviation per gene.
    Normal(&'a [f64]),
}

/// Replaces the means of a cell by draws; `structural` holds probabilities of zeros that
/// come on top (empty for none).  `index` names the cell's stream.
pub fn draw(values: &mut [f64], noise: &Noise<'_>, structural: &[f64], seed: u64, index: usize) {
    let mut rng = stream(seed, Purpose::LatentDraws, index);
    for (gene, value) in values.iter_mut().enumerate() {
        let mean = *value;
        let rate = match noise {
            Noise::Normal(sd) => {
                let error: f64 = StandardNormal.sample(&mut rng);
                *value = mean + sd[gene] * error;
                continue;
            }
            Noise::Poisson => mean,
            Noise::NegativeBinomial(theta) => {
                Gamma::new(theta[gene], mean / theta[gene]).map_or(0.0, |law| law.sample(&mut rng))
            }
        };
        *value = Poisson::new(rate).map_or(0.0, |law| law.sample(&mut rng));
        if structural.get(gene).is_some_and(|&chance| rng.random::<f64>() < chance) {
            *value = 0.0;
        }
    }
}
