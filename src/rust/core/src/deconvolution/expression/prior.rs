//! What the reference says of the variance of a type's expression between
//! people, before the bulk has been looked at.
//!
//! The moment estimates of a handful of donors are noisy, so they are shrunk
//! gene by gene towards a trend: the squared coefficient of variation as a
//! function of the level of the gene (as in Robinson and Smyth 2007; Smyth
//! 2004), with the degrees of freedom that the donors have for it.

use crate::base::error::{check_length, CoreError};
use crate::base::numbers::median;
use crate::matrix::{zeros, Array2, ArrayView2, Columns};

/// Counts per donor from which on an estimate takes part in the trend; the second
/// where the first leaves too few genes.  Below, estimates that were cut off at 0
/// are too high on average.
const WELL_MEASURED: [f64; 2] = [30.0, 5.0];
/// Well-measured genes without which there is no trend.
const ENOUGH_GENES: usize = 30;
const GENES_PER_BIN: usize = 50;
const MOST_BINS: usize = 10;
/// Range of squared coefficients of variation of a trend.
const TREND_RANGE: (f64, f64) = (1e-4, 10.0);
/// Totals of a reference that does not tell them, in UMI.
const UNKNOWN_TOTAL: f64 = 1e6;
const MOST_PRIOR_DF: f64 = 100.0;

/// What is known of how the profiles were measured, per source; NaN for what
/// is not known.
pub struct Reference<'a> {
    /// Genes × sources, columns sum to 1 over all genes of the reference.
    pub profiles: ArrayView2<'a, f64>,
    /// Genes × sources, moment estimates of the variance between donors; a NaN
    /// column for a source without.
    pub variance: ArrayView2<'a, f64>,
    /// Donors behind the profile and the variance.
    pub donors: &'a [f64],
    /// UMI in all cells of the type.
    pub totals: &'a [f64],
    /// Squared coefficient of variation that stands in for the trend of a type
    /// without donors.
    pub assumed: f64,
}

/// Variances of a profile, genes × sources.
pub struct Prior {
    /// Between people.
    pub between: Array2<f64>,
    /// Of the mean profile itself, by the counts of the reference.
    pub counting: Array2<f64>,
    /// Donors per source; 1 where they are not known.
    pub donors: Vec<f64>,
    /// Median squared coefficient of variation per source.
    pub trend: Vec<f64>,
}

/// # Errors
/// `Shape`.
pub fn prior(reference: &Reference<'_>) -> Result<Prior, CoreError> {
    let (n_genes, n_sources) = reference.profiles.dim();
    check_length("variance", n_genes, reference.variance.nrows())?;
    check_length("variance", n_sources, reference.variance.ncols())?;
    check_length("donors", n_sources, reference.donors.len())?;
    check_length("totals", n_sources, reference.totals.len())?;
    let mut between = zeros((n_genes, n_sources));
    let mut counting = zeros((n_genes, n_sources));
    let mut trends = Vec::with_capacity(n_sources);
    let mut donors = Vec::with_capacity(n_sources);
    for j in 0..n_sources {
        let (level, found) = (reference.profiles.col(j), reference.variance.col(j));
        let known = |value: f64, other: f64| if value >= 1.0 { value } else { other };
        let total = known(reference.totals[j], UNKNOWN_TOTAL);
        let people = known(reference.donors[j], 1.0);
        let squares = squared_variation(level, found, people, total, reference.assumed);
        for g in 0..n_genes {
            // a profile is not known below one count of the reference
            between[(g, j)] = squares[g] * (level[g] + 1.0 / total).powi(2);
            counting[(g, j)] = (level[g] + 1.0 / total) / total;
        }
        trends.push(median(squares));
        donors.push(people);
    }
    Ok(Prior { between, counting, donors, trend: trends })
}

/// Squared coefficient of variation between people of every gene of one type.
fn squared_variation(
    level: &[f64],
    variance: &[f64],
    donors: f64,
    total: f64,
    assumed: f64,
) -> Vec<f64> {
    let per_donor = total / donors;
    let usable = donors >= 2.0 && variance.iter().all(|v| v.is_finite());
    let measured = |least: f64| -> Vec<usize> {
        (0..level.len()).filter(|&g| usable && level[g] * per_donor >= least).collect()
    };
    let Some(mut seen) =
        WELL_MEASURED.into_iter().map(measured).find(|genes| genes.len() >= ENOUGH_GENES)
    else {
        return vec![assumed; level.len()];
    };
    seen.sort_by(|&a, &b| level[a].total_cmp(&level[b]));
    let ratio = |g: usize| variance[g] / (level[g] * level[g]);
    // share of what is between people in the spread of the donors' profiles
    let share = |g: usize, square: f64| {
        let own = square * level[g];
        own / (own + 1.0 / per_donor)
    };
    let n_bins = (seen.len() / GENES_PER_BIN).clamp(1, MOST_BINS);
    let bins: Vec<(f64, f64)> = (0..n_bins)
        .map(|b| {
            let genes = &seen[b * seen.len() / n_bins..(b + 1) * seen.len() / n_bins];
            let mut square = genes.iter().map(|&g| ratio(g)).sum::<f64>() / genes.len() as f64;
            for _ in 0..3 {
                square = square.clamp(TREND_RANGE.0, TREND_RANGE.1);
                // the estimate of a gene has a variance in 1 / share^2
                let weights = genes.iter().map(|&g| share(g, square).powi(2));
                let (sum, of) = weights
                    .zip(genes)
                    .fold((0.0, 0.0), |(sum, of), (w, &g)| (sum + w * ratio(g), of + w));
                square = sum / of;
            }
            let middle = level[genes[genes.len() / 2]].ln();
            (middle, square.clamp(TREND_RANGE.0, TREND_RANGE.1))
        })
        .collect();
    let trend: Vec<f64> = level.iter().map(|&l| interpolate(&bins, l.ln())).collect();
    let freedom = |g: usize| (donors - 1.0) * share(g, trend[g]).powi(2);
    let relative: Vec<(f64, f64)> =
        seen.iter().map(|&g| (ratio(g) / trend[g], freedom(g))).collect();
    let prior_freedom = prior_freedom(&relative);
    (0..level.len())
        .map(|g| {
            let own = if level[g] > 0.0 { freedom(g) } else { 0.0 };
            let found = if own > 0.0 { ratio(g) } else { 0.0 };
            (prior_freedom * trend[g] + own * found) / (prior_freedom + own)
        })
        .collect()
}

/// Degrees of freedom of the inverse-χ² law of variances around their trend, by
/// moments.  `relative` holds estimates over the trend, and the degrees of
/// freedom of each: the squared coefficient of variation of an estimate is
/// (1 + c²)(1 + 2/d) − 1, that of the variances c² = 2 / (d₀ − 4).
fn prior_freedom(relative: &[(f64, f64)]) -> f64 {
    let n = relative.len() as f64;
    let mean = relative.iter().map(|r| r.0).sum::<f64>() / n;
    let spread = relative.iter().map(|r| (r.0 - mean).powi(2)).sum::<f64>() / (mean * mean * n);
    let chance = relative.iter().map(|r| 1.0 + 2.0 / r.1.max(1e-3)).sum::<f64>() / n;
    let variation = (1.0 + spread) / chance - 1.0;
    if variation > 0.0 {
        (4.0 + 2.0 / variation).min(MOST_PRIOR_DF)
    } else {
        MOST_PRIOR_DF
    }
}

/// Linear between the points, constant beyond them.
fn interpolate(points: &[(f64, f64)], x: f64) -> f64 {
    let after = points.partition_point(|p| p.0 < x);
    if after == 0 {
        return points[0].1;
    }
    if after == points.len() {
        return points[after - 1].1;
    }
    let ((x0, y0), (x1, y1)) = (points[after - 1], points[after]);
    y0 + (y1 - y0) * (x - x0) / (x1 - x0).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use rand_distr::{ChiSquared, Distribution};

    /// Estimates of donors whose true squared variation falls with the level.
    fn estimates(donors: f64, total: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut rng = stream(3, Purpose::Donors, 0);
        let chi = ChiSquared::new(donors - 1.0).unwrap();
        let level: Vec<f64> = (0..2000).map(|g| 10f64.powf(-3.0 - 2.0 * g as f64 / 2e3)).collect();
        let truth: Vec<f64> = level.iter().map(|l| 0.05 + 1e-5 / l * 0.1).collect();
        let found = level.iter().zip(&truth).map(|(l, t)| {
            let spread = (t * l * l + l * donors / total) * chi.sample(&mut rng) / (donors - 1.0);
            (spread - l * donors / total).max(0.0)
        });
        (level.clone(), found.collect(), truth)
    }

    #[test]
    fn shrinkage_beats_the_raw_estimates_and_finds_the_trend() {
        let (level, found, truth) = estimates(4.0, 4e6);
        let shrunk = squared_variation(&level, &found, 4.0, 4e6, 0.16);
        let error = |of: &dyn Fn(usize) -> f64| {
            (0..2000).map(|g| (of(g) / truth[g] - 1.0).powi(2)).sum::<f64>() / 2000.0
        };
        let raw = error(&|g| found[g] / (level[g] * level[g]));
        let own = error(&|g| shrunk[g]);
        // three degrees of freedom have a relative variance of 2/3
        assert!(raw > 0.5 && own < 0.05, "{raw} {own}");
    }

    #[test]
    fn without_donors_the_assumption_stands() {
        let (level, found, _) = estimates(4.0, 4e6);
        assert_eq!(squared_variation(&level, &found, 1.0, 4e6, 0.16), vec![0.16; 2000]);
        let unknown = vec![f64::NAN; 2000];
        assert_eq!(squared_variation(&level, &unknown, 4.0, 4e6, 0.16), vec![0.16; 2000]);
    }
}
