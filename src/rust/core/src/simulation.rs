//! Simulated references and bulk samples whose truth is known.
//!
//! Genes have a log-normal base level; types differ in all genes a little and
//! in their markers a lot; donors shift every gene of every type; cells differ
//! in size and, gene by gene, by a gamma factor.  The cells of a bulk sample
//! come from a donor of its own and are never those of the reference; its reads
//! see lengths, and a factor per gene that the two platforms do not share.

use crate::base::error::{check_length, check_memory, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::base::rng::{stream, Purpose};
use crate::matrix::{zeros, Array2, Columns, CscBuf};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, Gamma, Poisson, StandardNormal};

/// Standard deviation of the log base level of a gene.
const BASE_SD: f64 = 1.5;
/// Standard deviation of the log size of a cell within its type.
const CELL_SIZE_SD: f64 = 0.3;
/// Log length of a gene: mean (2 kb) and standard deviation.
const LOG_LENGTH: (f64, f64) = (7.6, 0.7);
const SHORTEST: f64 = 200.0;

/// Settings of [`simulate`].
#[derive(Clone, Debug)]
pub struct Simulation {
    pub n_genes: usize,
    pub n_types: usize,
    /// Types that the reference has cells of; others are only in the bulk.
    pub in_reference: Vec<bool>,
    pub n_donors: usize,
    /// Reference cells per type and donor.
    pub cells_per_type: usize,
    /// Mean UMI per cell of a type of average size.
    pub umi_per_cell: f64,
    pub n_samples: usize,
    pub cells_per_sample: usize,
    /// Expected reads per bulk sample.
    pub depth: f64,
    /// Cell shares (types × samples, column-major, columns sum to 1); empty to
    /// draw them uniformly from the simplex.
    pub proportions: Vec<f64>,
    /// Fraction of genes that are a marker of some type, and their log fold
    /// change.
    pub marker_fraction: f64,
    pub marker_log_fold: f64,
    /// Standard deviation of the log level between types, over all genes.
    pub type_sd: f64,
    /// Standard deviation of the log mRNA content between types.
    pub cell_size_sd: f64,
    /// Standard deviation of the log level between donors.
    pub donor_sd: f64,
    /// Standard deviation of the log factor between platforms, per gene.
    pub platform_sd: f64,
    /// Squared coefficient of variation of a gene between cells of a type.
    pub overdispersion: f64,
    /// Reads of a gene grow with length to this power (0: UMI counts).
    pub length_exponent: f64,
    pub seed: u64,
}

/// What [`simulate`] made.
pub struct Simulated {
    /// Reference counts, genes × cells.
    pub reference: CscBuf,
    pub cell_type: Vec<usize>,
    pub donor: Vec<usize>,
    /// Genes × samples.
    pub bulk: Array2<f64>,
    pub lengths: Vec<f64>,
    /// Mean profile of each type (columns sum to 1), before donor effects.
    pub profiles: Array2<f64>,
    /// Mean mRNA content of a cell of each type, relative.
    pub cell_sizes: Vec<f64>,
    /// Types × samples: shares of cells, and of mRNA.
    pub cell_shares: Array2<f64>,
    pub mrna_shares: Array2<f64>,
    /// Log factor of each gene between the platforms.
    pub platform: Vec<f64>,
}

impl Simulation {
    fn check(&self) -> Result<(), CoreError> {
        let at_least_one = |v: f64| v >= 1.0;
        for (name, value) in [
            ("n_genes", self.n_genes),
            ("n_types", self.n_types),
            ("n_donors", self.n_donors),
            ("cells_per_type", self.cells_per_type),
            ("n_samples", self.n_samples),
            ("cells_per_sample", self.cells_per_sample),
        ] {
            check_value(name, value as f64, "at least 1", at_least_one)?;
        }
        let positive = |v: f64| v > 0.0 && v.is_finite();
        check_value("umi_per_cell", self.umi_per_cell, "positive", positive)?;
        check_value("depth", self.depth, "positive", positive)?;
        for (name, value) in [
            ("marker_log_fold", self.marker_log_fold),
            ("type_sd", self.type_sd),
            ("cell_size_sd", self.cell_size_sd),
            ("donor_sd", self.donor_sd),
            ("platform_sd", self.platform_sd),
            ("overdispersion", self.overdispersion),
            ("length_exponent", self.length_exponent),
        ] {
            check_value(name, value, "non-negative", |v| v >= 0.0 && v.is_finite())?;
        }
        check_value("marker_fraction", self.marker_fraction, "in [0, 1]", |v| {
            (0.0..=1.0).contains(&v)
        })?;
        check_memory("n_genes x n_types", &[self.n_genes, self.n_types])?;
        check_memory("n_genes x n_samples", &[self.n_genes, self.n_samples])?;
        check_memory("n_types x n_samples", &[2, self.n_types, self.n_samples])?;
        check_memory("cells_per_sample", &[self.cells_per_sample])?;
        check_length("in_reference", self.n_types, self.in_reference.len())?;
        if !self.proportions.is_empty() {
            check_length("proportions", self.n_types * self.n_samples, self.proportions.len())?;
        }
        Ok(())
    }

    /// Mean profiles and mRNA content of the types.
    fn types(&self) -> (Array2<f64>, Vec<f64>) {
        let mut rng = stream(self.seed, Purpose::Genes, 0);
        let mut profiles = zeros((self.n_genes, self.n_types));
        for g in 0..self.n_genes {
            let base = BASE_SD * normal(&mut rng);
            let marks = rng.random_bool(self.marker_fraction);
            let marked = rng.random_range(0..self.n_types);
            for k in 0..self.n_types {
                let own = self.type_sd * normal(&mut rng);
                let marker = if marks && k == marked { self.marker_log_fold } else { 0.0 };
                profiles[(g, k)] = (base + own + marker).exp();
            }
        }
        for k in 0..self.n_types {
            scale_to_one(profiles.col_mut(k));
        }
        let sizes = (0..self.n_types).map(|_| (self.cell_size_sd * normal(&mut rng)).exp());
        (profiles, sizes.collect())
    }

    /// The profile of a type in a donor (donors of bulk samples follow those of
    /// the reference).
    fn donor_profile(&self, profile: &[f64], donor: usize, cell_type: usize) -> Vec<f64> {
        let mut rng = stream(self.seed, Purpose::Donors, donor * self.n_types + cell_type);
        let mut shifted: Vec<f64> =
            profile.iter().map(|p| p * (self.donor_sd * normal(&mut rng)).exp()).collect();
        scale_to_one(&mut shifted);
        shifted
    }

    /// A gamma factor with mean 1 and the variance of a mean over `cells`.
    fn gene_factor(&self, cells: f64, rng: &mut ChaCha8Rng) -> f64 {
        if self.overdispersion == 0.0 {
            return 1.0;
        }
        let shape = cells / self.overdispersion;
        Gamma::new(shape, 1.0 / shape).expect("shape and scale are positive").sample(rng)
    }
}

/// Draws a reference and a bulk cohort.
///
/// # Errors
/// `Argument` or `Shape` for the first setting that is out of range,
/// `Interrupted`.
pub fn simulate(settings: &Simulation, monitor: &Monitor<'_>) -> Result<Simulated, CoreError> {
    settings.check()?;
    let (n_genes, n_types, n_samples) = (settings.n_genes, settings.n_types, settings.n_samples);
    let (profiles, cell_sizes) = settings.types();
    let mut rng = stream(settings.seed, Purpose::Platform, 0);
    let lengths: Vec<f64> = (0..n_genes)
        .map(|_| (LOG_LENGTH.0 + LOG_LENGTH.1 * normal(&mut rng)).exp().max(SHORTEST).round())
        .collect();
    let platform: Vec<f64> =
        (0..n_genes).map(|_| settings.platform_sd * normal(&mut rng)).collect();
    let mut made = Simulated {
        reference: CscBuf::new(n_genes),
        cell_type: Vec::new(),
        donor: Vec::new(),
        bulk: zeros((n_genes, n_samples)),
        lengths,
        profiles,
        cell_sizes,
        cell_shares: zeros((n_types, n_samples)),
        mrna_shares: zeros((n_types, n_samples)),
        platform,
    };
    for donor in 0..settings.n_donors {
        for cell_type in (0..n_types).filter(|&k| settings.in_reference[k]) {
            add_reference_cells(settings, donor, cell_type, &mut made, monitor)?;
        }
    }
    for sample in 0..n_samples {
        monitor.check()?;
        add_bulk_sample(settings, sample, &mut made, monitor)?;
        monitor.advance(1);
    }
    Ok(made)
}

fn add_reference_cells(
    settings: &Simulation,
    donor: usize,
    cell_type: usize,
    made: &mut Simulated,
    monitor: &Monitor<'_>,
) -> Result<(), CoreError> {
    let profile = settings.donor_profile(made.profiles.col(cell_type), donor, cell_type);
    for _ in 0..settings.cells_per_type {
        monitor.check()?;
        let mut rng = stream(settings.seed, Purpose::Cells, made.cell_type.len());
        let size = settings.umi_per_cell
            * made.cell_sizes[cell_type]
            * (CELL_SIZE_SD * normal(&mut rng)).exp();
        for (g, p) in profile.iter().enumerate() {
            let count = poisson(size * p * settings.gene_factor(1.0, &mut rng), &mut rng);
            if count > 0.0 {
                made.reference.push(g, count);
            }
        }
        made.reference.end_column()?;
        made.cell_type.push(cell_type);
        made.donor.push(donor);
    }
    Ok(())
}

fn add_bulk_sample(
    settings: &Simulation,
    sample: usize,
    made: &mut Simulated,
    monitor: &Monitor<'_>,
) -> Result<(), CoreError> {
    let mut rng = stream(settings.seed, Purpose::Bulk, sample);
    let n_types = settings.n_types;
    let shares: Vec<f64> = if settings.proportions.is_empty() {
        let mut drawn: Vec<f64> = (0..n_types).map(|_| Exp1.sample(&mut rng)).collect();
        scale_to_one(&mut drawn);
        drawn
    } else {
        settings.proportions[sample * n_types..(sample + 1) * n_types].to_vec()
    };
    let cells = multinomial(settings.cells_per_sample, &shares, &mut rng, monitor)?;
    let mut molecules = vec![0.0; settings.n_genes];
    for k in (0..n_types).filter(|&k| cells[k] > 0) {
        monitor.check()?;
        let sizes: Vec<f64> = (0..cells[k])
            .map(|_| made.cell_sizes[k] * (CELL_SIZE_SD * normal(&mut rng)).exp())
            .collect();
        let content: f64 = sizes.iter().sum();
        // The factors of single cells add up to one of so many equal cells.
        let equal_cells = content * content / sizes.iter().map(|s| s * s).sum::<f64>();
        let donor = settings.n_donors + sample;
        let profile = settings.donor_profile(made.profiles.col(k), donor, k);
        for (molecules, p) in molecules.iter_mut().zip(&profile) {
            *molecules += content * p * settings.gene_factor(equal_cells, &mut rng);
        }
        made.cell_shares[(k, sample)] = cells[k] as f64 / settings.cells_per_sample as f64;
        made.mrna_shares[(k, sample)] = content;
    }
    scale_to_one(made.mrna_shares.col_mut(sample));
    let mut reads: Vec<f64> = molecules
        .iter()
        .zip(&made.lengths)
        .zip(&made.platform)
        .map(|((m, length), b)| m * length.powf(settings.length_exponent) * b.exp())
        .collect();
    scale_to_one(&mut reads);
    for (count, read) in made.bulk.col_mut(sample).iter_mut().zip(&reads) {
        *count = poisson(settings.depth * read, &mut rng);
    }
    Ok(())
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn poisson(mean: f64, rng: &mut ChaCha8Rng) -> f64 {
    Poisson::new(mean).map_or(0.0, |law| law.sample(rng))
}

fn multinomial(
    n: usize,
    shares: &[f64],
    rng: &mut ChaCha8Rng,
    monitor: &Monitor<'_>,
) -> Result<Vec<usize>, CoreError> {
    let mut counts = vec![0; shares.len()];
    for draw in 0..n {
        if draw % 65_536 == 0 {
            monitor.check()?;
        }
        let mut left: f64 = rng.random();
        let hit = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        // rounding may leave a draw beyond the last share
        counts[hit.unwrap_or(shares.len() - 1)] += 1;
    }
    Ok(counts)
}

fn scale_to_one(values: &mut [f64]) {
    let total: f64 = values.iter().sum();
    values.iter_mut().for_each(|v| *v /= total);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;

    fn simulate(settings: &Simulation) -> Result<Simulated, CoreError> {
        unmonitored(|monitor| super::simulate(settings, monitor))
    }

    fn settings() -> Simulation {
        Simulation {
            n_genes: 400,
            n_types: 3,
            in_reference: vec![true, true, false],
            n_donors: 2,
            cells_per_type: 20,
            umi_per_cell: 500.0,
            n_samples: 5,
            cells_per_sample: 200,
            depth: 1e5,
            proportions: Vec::new(),
            marker_fraction: 0.1,
            marker_log_fold: 2.0,
            type_sd: 0.3,
            cell_size_sd: 0.5,
            donor_sd: 0.1,
            platform_sd: 0.2,
            overdispersion: 0.3,
            length_exponent: 1.0,
            seed: 7,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_draw_and_a_missing_type_has_no_cells() {
        let (a, b) = (simulate(&settings()).unwrap(), simulate(&settings()).unwrap());
        assert_eq!((&a.bulk, &a.reference), (&b.bulk, &b.reference));
        let other = simulate(&Simulation { seed: 8, ..settings() }).unwrap();
        assert_ne!(a.bulk, other.bulk);
        assert_eq!(a.cell_type.len(), 2 * 2 * 20);
        assert!(a.cell_type.iter().all(|&k| k != 2));
    }

    #[test]
    fn more_samples_leave_the_first_ones_as_they_were() {
        let few = simulate(&settings()).unwrap();
        let many = simulate(&Simulation { n_samples: 9, ..settings() }).unwrap();
        (0..5).for_each(|j| assert_eq!(few.bulk.col(j), many.bulk.col(j)));
    }

    #[test]
    fn reads_follow_the_stated_mixture_without_noise_terms() {
        // One type, no donor, platform or cell effects: means are known.
        let plain = Simulation {
            n_types: 1,
            in_reference: vec![true],
            donor_sd: 0.0,
            platform_sd: 0.0,
            overdispersion: 0.0,
            depth: 1e7,
            ..settings()
        };
        let made = simulate(&plain).unwrap();
        let mut mean: Vec<f64> =
            (0..400).map(|g| made.profiles[(g, 0)] * made.lengths[g]).collect();
        scale_to_one(&mut mean);
        let chi_square: f64 =
            (0..400).map(|g| (made.bulk[(g, 0)] - 1e7 * mean[g]).powi(2) / (1e7 * mean[g])).sum();
        // 400 degrees of freedom: mean 400, standard deviation 28
        assert!((chi_square - 400.0).abs() < 150.0, "{chi_square}");
    }

    #[test]
    fn shares_are_shares() {
        let made = simulate(&settings()).unwrap();
        for sample in 0..5 {
            for shares in [&made.cell_shares, &made.mrna_shares] {
                assert!((shares.col(sample).iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
    }
}
