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

use super::sandwich::{means, ActiveInverse, Equations};
use super::{over_samples, side_by_side, stacked};
use crate::base::error::CoreError;
use crate::base::numbers::median;
use crate::base::parallel::Monitor;
use crate::deconvolution::likelihood::{Block, Likelihood};
use crate::deconvolution::model::GENE_BLOCK;
use crate::matrix::counts::Counts;
use crate::matrix::linalg::{multiply, product, spectrum, Spectrum};
use crate::matrix::{from_columns, from_fn, zeros, Array2, Array3, ArrayView2, Columns};
use ndarray::s;
use std::ops::Range;

/// Fitted count from which the Poisson error of a log ratio is at most 0.22.
const WELL_MEASURED: f64 = 20.0;
/// Fewer genes have no median worth the name.
const FEWEST_GENES: usize = 10;
/// Median of the absolute value to standard deviation, for a normal variable.
const NORMAL_MEDIAN: f64 = 1.482_602_218_505_602;

/// One sample.
#[derive(Clone, Debug)]
pub struct SampleDiagnosis {
    /// Condition number of the scaled design.
    pub condition: f64,
    /// Pearson dispersion ([`GeneTerms::dispersion`]).
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
    /// Variance inflation, sources × samples; up to 1/ε for a source that others
    /// replace.
    pub inflation: Array2<f64>,
    /// Standard error of each exposure with all others known, under the model's
    /// own variance, sources × samples; 0 for a source that no gene can see.
    pub lone_error: Array2<f64>,
    /// Correlation of the estimates that the design alone implies, sources ×
    /// sources × samples.
    pub correlation: Array3<f64>,
    /// Robust covariance of the exposures (see [`super::infer`]), sources × sources
    /// × samples; 0 for sources at zero.
    pub covariance: Array3<f64>,
    /// Design rows × types: what a gene adds to the share of a type, summed over
    /// samples.
    pub influence: Array2<f64>,
    /// Design rows × types: change of the share per change of the log count,
    /// summed over samples.
    pub sensitivity: Array2<f64>,
}

/// Diagnoses every sample at its fitted exposures (sources × samples).
///
/// # Errors
/// `Shape`, `Threads`, `Interrupted`.
pub fn diagnose(
    likelihood: &dyn Likelihood,
    counts: &Counts<'_>,
    exposures: ArrayView2<'_, f64>,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Diagnosis, CoreError> {
    let model = likelihood.model();
    let n = model.n_sources();
    let work = |block: Block<'_>, range| Ok(Part::of(&block, counts, range));
    let zeros = || zeros((model.n_rows(), model.n_types()));
    let (mut influence, mut sensitivity) = (zeros(), zeros());
    let (mut samples, mut designs, mut covariance) = (Vec::new(), Vec::new(), Vec::new());
    let take = |part: Part| {
        samples.extend(part.samples);
        designs.extend(part.designs);
        covariance.extend(part.covariance);
        influence += &part.influence;
        sensitivity += &part.sensitivity;
    };
    over_samples(likelihood, counts, exposures, threads, monitor, work, take)?;
    Ok(Diagnosis {
        samples,
        inflation: side_by_side(designs.iter().map(|d| d.inflation.clone()), n),
        lone_error: side_by_side(designs.iter().map(|d| d.lone_error.clone()), n),
        correlation: stacked(designs.into_iter().map(|d| d.correlation), n),
        covariance: stacked(covariance.into_iter(), n),
        influence,
        sensitivity,
    })
}

/// What a block of samples adds to the diagnosis.
struct Part {
    samples: Vec<SampleDiagnosis>,
    designs: Vec<Design>,
    covariance: Vec<Vec<f64>>,
    influence: Array2<f64>,
    sensitivity: Array2<f64>,
}

impl Part {
    fn of(block: &Block<'_>, counts: &Counts<'_>, range: Range<usize>) -> Self {
        let model = block.model;
        let means = means(block);
        let equations = Equations::at(block, &means);
        let hats = equations.hats();
        let scores = equations.robust_scores(&hats);
        let middles = equations.robust_middles(&scores);
        let (mut samples, mut covariance) = (Vec::new(), Vec::new());
        let designs: Vec<Design> =
            hats.iter().map(|hat| Design::new(hat, model.n_sources())).collect();
        let mut observed = vec![0.0; model.n_rows()];
        for (i, sample) in range.enumerate() {
            counts.column_into(sample, &mut observed);
            let (excess, deficit) = unexplained(&observed, &means[i], model.weights());
            covariance.push(equations.information[i].sandwich(&middles[i]));
            samples.push(SampleDiagnosis {
                condition: designs[i].condition,
                dispersion: equations.dispersion(i),
                excess,
                deficit,
                log_error: log_error(&observed, &means[i], model.weights()),
            });
        }
        let (influence, sensitivity) = influences(block, &equations, &scores, &means);
        Part { samples, designs, covariance, influence, sensitivity }
    }
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
    let errors: Vec<f64> = genes
        .filter(|((_, &mu), &w)| w > 0.0 && mu >= WELL_MEASURED)
        .map(|((k, mu), _)| ((k + 0.5) / (mu + 0.5)).ln().abs())
        .collect();
    if errors.len() < FEWEST_GENES {
        return f64::NAN;
    }
    NORMAL_MEDIAN * median(errors)
}

/// What the scaled design says of its sources.
struct Design {
    condition: f64,
    inflation: Vec<f64>,
    lone_error: Vec<f64>,
    correlation: Vec<f64>,
}

impl Design {
    /// `gram` is XᵀX, n × n.  A source that no gene of the sample can see stands
    /// alone.
    fn new(gram: &[f64], n: usize) -> Self {
        let scale: Vec<f64> = (0..n)
            .map(|j| if gram[j * n + j] > 0.0 { gram[j * n + j].sqrt().recip() } else { 0.0 })
            .collect();
        let scaled = from_fn((n, n), |i, j| {
            let unit = gram[j * n + i] * scale[i] * scale[j];
            if i == j {
                1.0
            } else {
                unit
            }
        });
        let Spectrum { values, vectors } = spectrum(&scaled);
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

/// What each gene does to the shares of the types, design rows × types, summed over
/// the samples of a block: when it is there, and per change of its log count.
fn influences(
    block: &Block<'_>,
    equations: &Equations<'_>,
    scores: &Array2<f64>,
    means: &[Vec<f64>],
) -> (Array2<f64>, Array2<f64>) {
    let model = block.model;
    let shape = (model.n_rows(), model.n_types());
    let (mut influence, mut sensitivity) = (zeros(shape), zeros(shape));
    let maps = block.points.iter().zip(&equations.information);
    let maps: Vec<Array2<f64>> =
        maps.map(|(point, inverse)| to_shares(point, inverse, model.n_types())).collect();
    let mut moves = zeros((GENE_BLOCK.min(model.n_rows()), model.n_types()));
    // block by block, so that the sums of a block stay at hand
    for genes in model.gene_blocks() {
        let design = model.design().slice(s![genes.clone(), ..]);
        for (i, map) in maps.iter().enumerate() {
            multiply(&mut moves.slice_mut(s![..genes.len(), ..]), &design, map);
            let scores = &scores.col(i)[genes.clone()];
            let information = &equations.terms[i].information[genes.clone()];
            let gains = information.iter().zip(&means[i][genes.clone()]);
            let gains: Vec<f64> = gains.map(|(h, mu)| h * mu).collect();
            for t in 0..model.n_types() {
                let moves = moves.col(t);
                let add = |sums: &mut [f64], by: &[f64]| {
                    for ((sum, m), b) in sums.iter_mut().zip(moves).zip(by) {
                        *sum += m * b;
                    }
                };
                add(&mut influence.col_mut(t)[genes.clone()], scores);
                add(&mut sensitivity.col_mut(t)[genes.clone()], &gains);
            }
        }
    }
    (influence, sensitivity)
}

/// J⁻¹ Dᵀ, sources × types: from what a gene says to the shares of a sample; 0 for
/// inactive sources.
fn to_shares(point: &[f64], information: &ActiveInverse, n_types: usize) -> Array2<f64> {
    let n = point.len();
    let total: f64 = point[..n_types].iter().sum();
    let slopes = from_fn((n, n_types), |j, t| {
        if point[t] <= 0.0 || j >= n_types {
            0.0
        } else {
            (f64::from(j == t) - point[t] / total) / total
        }
    });
    product(&from_columns(&information.inverse(), (n, n)), &slopes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::base::rng::{stream, Purpose};
    use crate::deconvolution::likelihood::Poisson;
    use crate::deconvolution::{fit, Model, Params};
    use crate::matrix::Matrix;
    use rand::Rng;

    const GENES: usize = 40;

    fn signatures(seed: u64) -> Array2<f64> {
        let mut rng = stream(seed, Purpose::Genes, 0);
        from_fn((GENES, 3), |_, _| 0.01 + rng.random::<f64>())
    }

    fn bulk(signatures: &Array2<f64>, seed: u64) -> Vec<f64> {
        let mut rng = stream(seed, Purpose::Bulk, 0);
        let mixed = |g: usize| {
            300.0 * signatures[(g, 0)] + 500.0 * signatures[(g, 1)] + 200.0 * signatures[(g, 2)]
        };
        (0..GENES).map(|g| (mixed(g) * (0.9 + 0.2 * rng.random::<f64>())).round()).collect()
    }

    fn single(counts: &[f64]) -> Matrix<'_> {
        Matrix::dense(counts, (GENES, 1)).unwrap()
    }

    fn fitted(model: &Model, counts: &[f64]) -> Vec<f64> {
        let genes: Vec<i32> = (0..GENES as i32).collect();
        let counts = Counts::new(single(counts), &genes, model.n_rows());
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
        let model = Model::new(signatures.view(), &[1.0; GENES], &[1.0; GENES], 3).unwrap();
        let exposures = fitted(&model, &counts);
        let point = from_fn((3, 1), |j, _| exposures[j]);
        let genes: Vec<i32> = (0..GENES as i32).collect();
        let view = Counts::new(single(&counts), &genes, model.n_rows()).unwrap();
        let found = unmonitored(|m| diagnose(&Poisson(&model), &view, point.view(), 1, m)).unwrap();
        for g in [0, 7, 23] {
            let mut weights = [1.0; GENES];
            weights[g] = 0.0;
            let without = Model::new(signatures.view(), &[1.0; GENES], &weights, 3).unwrap();
            let genes: Vec<i32> = without.row_of_gene().to_vec();
            let left = Counts::new(single(&counts), &genes, without.n_rows());
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
