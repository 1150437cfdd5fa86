//! What a fit hangs on: how well its design tells the sources apart, how far
//! the counts are from their means, and which genes move which type.
//!
//! With X = diag(√h) A, h the expected information of a gene, and Z the columns
//! of X scaled to length 1, the condition number is that of Z (Belsley, Kuh and
//! Welsch 1980) and (ZᵀZ)⁻¹_jj the variance inflation of source j: the variance
//! of its exposure beside that with all others known.  All sources take part,
//! those at zero too: a twin at zero is what makes an estimate doubtful.
//!
//! Deleting gene g moves the active exposures, to first order, by
//! −J⁻¹ a_g score_g / (1 − leverage_g) (Pregibon 1981), and d e / d log k_g is
//! J⁻¹ a_g information_g μ_g.  Both are passed on to the shares of the types,
//! p = e / Σ e, by D = (I − p 1ᵀ) / Σ e.

use super::sandwich::{weighted_grams, LARGEST_LEVERAGE};
use crate::counts::Counts;
use crate::deconvolution::likelihood::{GeneTerms, Likelihood};
use crate::deconvolution::metrics::fitted_means;
use crate::deconvolution::model::{Model, GENE_BLOCK};
use crate::deconvolution::SAMPLE_BLOCK;
use crate::error::{check_length, CoreError};
use crate::nnls::{cholesky, solve_with_cholesky};
use crate::parallel::{with_threads, Monitor};
use crate::spectrum::{spectrum, Spectrum};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use std::ops::Range;

/// Fitted count from which the Poisson error of a log ratio is at most 0.22.
const WELL_MEASURED: f64 = 20.0;
/// Fewer genes have no median worth the name.
const FEWEST_GENES: usize = 10;
/// Median of the absolute value to standard deviation, for a normal variable.
const NORMAL_MEDIAN: f64 = 1.482_602_218_505_602;
/// Sums over genes × types that are held at a time, so that memory is bounded
/// for any number of samples.
const WAVE: usize = 8;

/// One sample.
#[derive(Clone, Debug)]
pub struct SampleDiagnosis {
    /// Condition number of the scaled design.
    pub condition: f64,
    /// Variance inflation per source; up to 1/ε for a source that others replace.
    pub inflation: Vec<f64>,
    /// Standard error of each exposure with all others known, under the model's
    /// own variance; 0 for a source that no gene can see.
    pub lone_error: Vec<f64>,
    /// Correlation of the estimates that the design alone implies, sources ×
    /// sources, column-major.
    pub correlation: Vec<f64>,
    /// Robust covariance of the exposures (see [`super::sandwich`]), sources ×
    /// sources, column-major; 0 for sources at zero.
    pub covariance: Vec<f64>,
    /// Pearson dispersion: mean squared residual in units of the model's variance.
    pub dispersion: f64,
    /// Reads above and below their fitted means, as shares of all reads.
    pub excess: f64,
    pub deficit: f64,
    /// Median |log(k/μ)| of the genes with a fitted mean of [`WELL_MEASURED`], as
    /// the standard deviation of a normal error; NaN where there are few.
    pub log_error: f64,
}

/// All samples.
pub struct Diagnosis {
    pub samples: Vec<SampleDiagnosis>,
    /// Design rows × types: what a gene adds to the share of a type, summed over
    /// samples.
    pub influence: Mat<f64>,
    /// Design rows × types: change of the share per change of the log count,
    /// summed over samples.
    pub sensitivity: Mat<f64>,
}

/// Diagnoses every sample at its fitted exposures (sources × samples).
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn diagnose(
    likelihood: &impl Likelihood,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Diagnosis, CoreError> {
    let model = likelihood.model();
    let n_samples = counts.n_samples();
    let expected = model.n_sources() * n_samples;
    check_length("exposures", expected, exposures.nrows() * exposures.ncols())?;
    let zeros = || Mat::zeros(model.n_rows(), model.n_types());
    let mut all = Diagnosis { samples: Vec::new(), influence: zeros(), sensitivity: zeros() };
    let starts: Vec<usize> = (0..n_samples).step_by(SAMPLE_BLOCK).collect();
    with_threads(threads, || {
        for wave in starts.chunks(WAVE) {
            let parts: Vec<Diagnosis> = wave
                .par_iter()
                .map(|&start| {
                    monitor.check()?;
                    let range = start..(start + SAMPLE_BLOCK).min(n_samples);
                    let part = diagnose_block(likelihood, counts, exposures, range.clone());
                    monitor.advance(range.len());
                    Ok(part)
                })
                .collect::<Result<_, CoreError>>()?;
            for part in parts {
                all.samples.extend(part.samples);
                all.influence += &part.influence;
                all.sensitivity += &part.sensitivity;
            }
        }
        Ok(all)
    })?
}

fn diagnose_block(
    likelihood: &impl Likelihood,
    counts: &Counts<'_>,
    exposures: MatRef<'_, f64>,
    range: Range<usize>,
) -> Diagnosis {
    let model = likelihood.model();
    let mut points = Vec::with_capacity(range.len());
    let mut means = Vec::with_capacity(range.len());
    let mut observed = Vec::with_capacity(range.len());
    let mut terms: Vec<GeneTerms> = Vec::with_capacity(range.len());
    for sample in range {
        let mut count = vec![0.0; model.n_rows()];
        counts.column_into(sample, &mut count);
        let point: Vec<f64> = (0..model.n_sources()).map(|j| exposures[(j, sample)]).collect();
        let fitted = fitted_means(model, &point);
        let own = likelihood.sample(sample, &count, &point);
        terms.push(likelihood.gene_terms(&own, &fitted));
        points.push(point);
        means.push(fitted);
        observed.push(count);
    }
    let information = weighted_grams(model, terms.iter().map(|t| &t.information[..]));
    let hats = weighted_grams(model, terms.iter().map(|t| &t.hat[..]));
    let zeros = || Mat::zeros(model.n_rows(), model.n_types());
    let (mut influence, mut sensitivity) = (zeros(), zeros());
    let mut work = Work::new(model);
    let maps: Vec<Maps> = (0..points.len())
        .map(|i| Maps::new(&points[i], &information[i], &hats[i], model.n_types()))
        .collect();
    let mut spreads = vec![vec![0.0; model.n_rows()]; points.len()];
    // block by block, so that the sums of a block stay at hand
    for start in (0..model.n_rows()).step_by(GENE_BLOCK) {
        let genes = start..(start + GENE_BLOCK).min(model.n_rows());
        for i in 0..points.len() {
            let square = &mut spreads[i][genes.clone()];
            let sums = (&mut influence, &mut sensitivity);
            work.add_influence(genes.clone(), &maps[i], &terms[i], &means[i], square, sums);
        }
    }
    let middles = weighted_grams(model, spreads.iter().map(|s| &s[..]));
    let samples = (0..points.len())
        .map(|i| {
            let n_active = points[i].iter().filter(|&&e| e > 0.0).count();
            let freedom = model.n_used().saturating_sub(n_active).max(1);
            let (excess, deficit) = unexplained(&observed[i], &means[i], model.weights());
            let design = Design::new(&hats[i], model.n_sources());
            SampleDiagnosis {
                condition: design.condition,
                inflation: design.inflation,
                lone_error: design.lone_error,
                correlation: design.correlation,
                covariance: maps[i].sandwich(&middles[i]),
                dispersion: terms[i].pearson.iter().sum::<f64>() / freedom as f64,
                excess,
                deficit,
                log_error: log_error(&observed[i], &means[i], model.weights()),
            }
        })
        .collect();
    Diagnosis { samples, influence, sensitivity }
}

/// Σ w (k − μ)₊ / Σ w k and Σ w (μ − k)₊ / Σ w k.
fn unexplained(counts: &[f64], means: &[f64], weights: &[f64]) -> (f64, f64) {
    let (mut above, mut below, mut total) = (0.0, 0.0, 0.0);
    for ((k, mu), w) in counts.iter().zip(means).zip(weights) {
        above += w * (k - mu).max(0.0);
        below += w * (mu - k).max(0.0);
        total += w * k;
    }
    (above / total, below / total)
}

fn log_error(counts: &[f64], means: &[f64], weights: &[f64]) -> f64 {
    let genes = counts.iter().zip(means).zip(weights);
    let mut errors: Vec<f64> = genes
        .filter(|((_, &mu), &w)| w > 0.0 && mu >= WELL_MEASURED)
        .map(|((k, mu), _)| ((k + 0.5) / (mu + 0.5)).ln().abs())
        .collect();
    if errors.len() < FEWEST_GENES {
        return f64::NAN;
    }
    let middle = errors.len() / 2;
    NORMAL_MEDIAN * *errors.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// What the scaled design says of its sources.
struct Design {
    condition: f64,
    inflation: Vec<f64>,
    lone_error: Vec<f64>,
    correlation: Vec<f64>,
}

impl Design {
    /// `gram` is XᵀX.  A source that no gene of the sample can see stands alone.
    fn new(gram: &[f64], n: usize) -> Self {
        let scale: Vec<f64> = (0..n)
            .map(|j| if gram[j * n + j] > 0.0 { gram[j * n + j].sqrt().recip() } else { 0.0 })
            .collect();
        let scaled =
            Mat::from_fn(
                n,
                n,
                |i, j| {
                    if i == j {
                        1.0
                    } else {
                        gram[j * n + i] * scale[i] * scale[j]
                    }
                },
            );
        let Spectrum { values, vectors } = spectrum(scaled.as_ref());
        let least = f64::EPSILON * n as f64;
        let inverse = |i: usize, j: usize| -> f64 {
            (0..n).map(|k| vectors[(i, k)] * vectors[(j, k)] / values[k].max(least)).sum()
        };
        let inflation: Vec<f64> = (0..n).map(|j| inverse(j, j).max(1.0)).collect();
        let correlation = (0..n * n)
            .map(|at| {
                let (i, j) = (at % n, at / n);
                let unit = inverse(i, j) / (inverse(i, i) * inverse(j, j)).sqrt();
                if i == j {
                    1.0
                } else {
                    unit.clamp(-1.0, 1.0)
                }
            })
            .collect();
        Design {
            condition: (values[0] / values[n - 1].max(least)).sqrt(),
            inflation,
            lone_error: scale,
            correlation,
        }
    }
}

/// The linear maps from what a gene says to the exposures and shares of a sample;
/// 0 for inactive sources.
struct Maps {
    /// J⁻¹.
    inverse: Mat<f64>,
    /// Inverse of the expected information.
    hat_inverse: Mat<f64>,
    /// J⁻¹ Dᵀ, sources × types.
    to_shares: Mat<f64>,
}

impl Maps {
    fn new(point: &[f64], information: &[f64], hat: &[f64], n_types: usize) -> Self {
        let n = point.len();
        let active: Vec<usize> = (0..n).filter(|&j| point[j] > 0.0).collect();
        let inverse = inverse_on(&active, information, n);
        let total: f64 = point[..n_types].iter().sum();
        let slopes = Mat::from_fn(n, n_types, |j, t| {
            if point[t] <= 0.0 || j >= n_types {
                0.0
            } else {
                (f64::from(j == t) - point[t] / total) / total
            }
        });
        let mut to_shares = Mat::zeros(n, n_types);
        let (left, right) = (inverse.as_ref(), slopes.as_ref());
        matmul(to_shares.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
        Maps { inverse, hat_inverse: inverse_on(&active, hat, n), to_shares }
    }

    /// J⁻¹ V J⁻¹.
    fn sandwich(&self, middle: &[f64]) -> Vec<f64> {
        let n = self.inverse.nrows();
        let middle = MatRef::from_column_major_slice(middle, n, n);
        let (mut half, mut whole) = (Mat::<f64>::zeros(n, n), Mat::<f64>::zeros(n, n));
        let inverse = self.inverse.as_ref();
        matmul(half.as_mut(), Accum::Replace, inverse, middle, 1.0, Par::Seq);
        matmul(whole.as_mut(), Accum::Replace, half.as_ref(), inverse, 1.0, Par::Seq);
        (0..n * n).map(|at| whole[(at % n, at / n)]).collect()
    }
}

/// The inverse of the rows and columns `active` of an n × n matrix, in their
/// places.
fn inverse_on(active: &[usize], matrix: &[f64], n: usize) -> Mat<f64> {
    let mut factor: Vec<f64> = active
        .iter()
        .flat_map(|&j| active.iter().map(move |&i| (i, j)))
        .map(|(i, j)| matrix[j * n + i])
        .collect();
    cholesky(&mut factor, active.len());
    let mut inverse = Mat::zeros(n, n);
    for (place, &j) in active.iter().enumerate() {
        let mut unit = vec![0.0; active.len()];
        unit[place] = 1.0;
        solve_with_cholesky(&factor, &mut unit);
        for (&i, value) in active.iter().zip(unit) {
            inverse[(i, j)] = value;
        }
    }
    inverse
}

/// Work space of one thread.
struct Work<'m> {
    design: MatRef<'m, f64>,
    moves: Mat<f64>,
    hats: Mat<f64>,
}

impl<'m> Work<'m> {
    fn new(model: &'m Model) -> Self {
        let rows = GENE_BLOCK.min(model.n_rows());
        Work {
            design: model.design(),
            moves: Mat::zeros(rows, model.n_types()),
            hats: Mat::zeros(rows, model.n_sources()),
        }
    }

    /// Adds what these genes do to the shares of a sample, and writes the squared
    /// scores of the robust variance.
    fn add_influence(
        &mut self,
        genes: Range<usize>,
        maps: &Maps,
        terms: &GeneTerms,
        means: &[f64],
        squares: &mut [f64],
        (influence, sensitivity): (&mut Mat<f64>, &mut Mat<f64>),
    ) {
        let (start, rows) = (genes.start, genes.len());
        let design = self.design.subrows(start, rows);
        let product = |out: &mut Mat<f64>, right: MatRef<'_, f64>| {
            let out = out.as_mut().submatrix_mut(0, 0, rows, right.ncols());
            matmul(out, Accum::Replace, design, right, 1.0, Par::Seq);
        };
        product(&mut self.moves, maps.to_shares.as_ref());
        product(&mut self.hats, maps.hat_inverse.as_ref());
        let mut leverage = vec![0.0; rows];
        for j in 0..design.ncols() {
            let own = design.col(j).try_as_col_major().expect("a design column is contiguous");
            let hat = &self.hats.col_as_slice(j)[..rows];
            for ((h, a), b) in leverage.iter_mut().zip(own.as_slice()).zip(hat) {
                *h += a * b;
            }
        }
        let pull: Vec<f64> = (0..rows)
            .map(|g| {
                let h = (leverage[g] * terms.hat[start + g]).min(LARGEST_LEVERAGE);
                terms.score[start + g] / (1.0 - h)
            })
            .collect();
        for (square, p) in squares.iter_mut().zip(&pull) {
            *square = p * p;
        }
        let gain: Vec<f64> = genes.clone().map(|g| terms.information[g] * means[g]).collect();
        for t in 0..self.moves.ncols() {
            let moves = &self.moves.col_as_slice(t)[..rows];
            let sums = &mut influence.col_as_slice_mut(t)[genes.clone()];
            for ((sum, m), p) in sums.iter_mut().zip(moves).zip(&pull) {
                *sum += m * p;
            }
            let sums = &mut sensitivity.col_as_slice_mut(t)[genes.clone()];
            for ((sum, m), s) in sums.iter_mut().zip(moves).zip(&gain) {
                *sum += m * s;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deconvolution::{fit, Params};
    use crate::matrix::Matrix;
    use crate::parallel::unmonitored;
    use crate::rng::{stream, Purpose};
    use rand::Rng;

    const GENES: usize = 40;

    fn signatures(seed: u64) -> Mat<f64> {
        let mut rng = stream(seed, Purpose::Genes, 0);
        Mat::from_fn(GENES, 3, |_, _| 0.01 + rng.random::<f64>())
    }

    fn bulk(signatures: &Mat<f64>, seed: u64) -> Vec<f64> {
        let mut rng = stream(seed, Purpose::Bulk, 0);
        let mixed = |g: usize| {
            300.0 * signatures[(g, 0)] + 500.0 * signatures[(g, 1)] + 200.0 * signatures[(g, 2)]
        };
        (0..GENES).map(|g| (mixed(g) * (0.9 + 0.2 * rng.random::<f64>())).round()).collect()
    }

    fn fitted(model: &Model, counts: &[f64]) -> Vec<f64> {
        let genes: Vec<i32> = (0..GENES as i32).collect();
        let counts =
            Counts::new(Matrix::dense(counts, (GENES, 1)).unwrap(), &genes, model.n_rows());
        let params = Params { tolerance: 1e-14, ..Params::default() };
        unmonitored(|m| fit(model, &counts.unwrap(), &params, m)).unwrap().samples[0]
            .exposures
            .clone()
    }

    fn shares(exposures: &[f64]) -> Vec<f64> {
        exposures.iter().map(|e| e / exposures.iter().sum::<f64>()).collect()
    }

    #[test]
    fn influence_and_sensitivity_are_what_refits_say() {
        let signatures = signatures(3);
        let counts = bulk(&signatures, 4);
        let model = Model::new(signatures.as_ref(), &[1.0; GENES], &[1.0; GENES], 3).unwrap();
        let exposures = fitted(&model, &counts);
        let point = Mat::from_fn(3, 1, |j, _| exposures[j]);
        let genes: Vec<i32> = (0..GENES as i32).collect();
        let view = Counts::new(Matrix::dense(&counts, (GENES, 1)).unwrap(), &genes, model.n_rows())
            .unwrap();
        let found = unmonitored(|m| diagnose(&model, &view, point.as_ref(), 1, m)).unwrap();
        for g in [0, 7, 23] {
            let mut weights = [1.0; GENES];
            weights[g] = 0.0;
            let without = Model::new(signatures.as_ref(), &[1.0; GENES], &weights, 3).unwrap();
            let genes: Vec<i32> = without.row_of_gene().to_vec();
            let left =
                Counts::new(Matrix::dense(&counts, (GENES, 1)).unwrap(), &genes, without.n_rows());
            let params = Params { tolerance: 1e-14, ..Params::default() };
            let refit = unmonitored(|m| fit(&without, &left.unwrap(), &params, m)).unwrap();
            let mut more = counts.clone();
            more[g] *= 1.001;
            let raised = shares(&fitted(&model, &more));
            for (t, raised) in raised.into_iter().enumerate() {
                let exact = shares(&exposures)[t] - shares(&refit.samples[0].exposures)[t];
                // one step of Newton's method: right to second order
                let step = found.influence[(g, t)];
                assert!((step - exact).abs() < 0.1 * exact.abs() + 2e-5, "{step} {exact}");
                let slope = (raised - shares(&exposures)[t]) / 1.001f64.ln();
                let told = found.sensitivity[(g, t)];
                assert!((told - slope).abs() < 0.01 * slope.abs() + 1e-6, "{told} {slope}");
            }
        }
    }

    #[test]
    fn inflation_and_condition_have_their_closed_form_for_two_sources() {
        // unit columns with cosine c: eigenvalues 1 ± c, inflation 1/(1 − c²)
        for c in [0.0, 0.5, 0.99] {
            let design = Design::new(&[4.0, 6.0 * c, 6.0 * c, 9.0], 2);
            let inflation = 1.0 / (1.0 - c * c);
            assert!((design.inflation[0] / inflation - 1.0).abs() < 1e-10);
            assert!((design.condition / ((1.0 + c) / (1.0 - c)).sqrt() - 1.0).abs() < 1e-10);
            assert!((design.correlation[1] + c).abs() < 1e-10);
        }
        let twins = Design::new(&[1.0, 1.0, 1.0, 1.0], 2);
        assert!(twins.condition > 1e7 && twins.inflation[0] > 1e14);
        let unseen = Design::new(&[1.0, 0.0, 0.0, 0.0], 2);
        assert_eq!(unseen.inflation, vec![1.0, 1.0]);
    }

    #[test]
    fn the_typical_error_is_that_of_well_measured_genes() {
        let means: Vec<f64> = (0..21).map(|g| if g < 9 { 1.0 } else { 1e6 }).collect();
        let counts: Vec<f64> = means.iter().map(|m| m * 2.0).collect();
        let error = log_error(&counts, &means, &[1.0; 21]);
        assert!((error / NORMAL_MEDIAN - 2f64.ln()).abs() < 1e-6);
        assert!(log_error(&counts[..15], &means[..15], &[1.0; 15]).is_nan());
    }

    #[test]
    fn reads_above_and_below_are_shares_of_all_reads() {
        let (above, below) = unexplained(&[10.0, 5.0, 5.0], &[8.0, 6.0, 5.0], &[1.0, 1.0, 0.0]);
        assert!((above - 2.0 / 15.0).abs() < 1e-15 && (below - 1.0 / 15.0).abs() < 1e-15);
    }
}
