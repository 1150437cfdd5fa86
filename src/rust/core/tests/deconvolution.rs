//! The solvers against each other, against closed forms, and against planted
//! truth.

use rand::Rng;
use rand_distr::Distribution;
use unalloy_core::base::parallel::unmonitored;
use unalloy_core::base::rng::{stream, Purpose};
use unalloy_core::deconvolution::infer::{infer, Variance};
use unalloy_core::deconvolution::likelihood::Poisson;
use unalloy_core::deconvolution::{fit, Fit, Method, Model, Params, SampleFit};
use unalloy_core::matrix::counts::Counts;
use unalloy_core::matrix::{from_fn, Array2, ArrayView2, Columns, Matrix};
use unalloy_core::CoreError;

/// A cohort whose truth is known.
struct Problem {
    signatures: Array2<f64>,
    lengths: Vec<f64>,
    weights: Vec<f64>,
    counts: Vec<f64>,
    n_samples: usize,
}

struct Shape {
    genes: usize,
    types: usize,
    samples: usize,
    depth: f64,
    /// 0: types have nothing in common; towards 1: nearly the same profile.
    likeness: f64,
    weighted: bool,
    long: bool,
}

impl Problem {
    fn random(seed: u64, shape: Shape) -> Self {
        let Shape { genes, types, samples, depth, likeness, weighted, long } = shape;
        let mut rng = stream(seed, Purpose::Genes, 0);
        let shared: Vec<f64> = (0..genes).map(|_| (4.0 * rng.random::<f64>()).exp()).collect();
        let mut signatures = from_fn((genes, types), |g, _| {
            let own = if rng.random_bool(0.3) { 0.0 } else { (4.0 * rng.random::<f64>()).exp() };
            likeness * shared[g] + (1.0 - likeness) * own
        });
        for j in 0..types {
            let total: f64 = signatures.col(j).iter().sum();
            signatures.col_mut(j).iter_mut().for_each(|s| *s /= total);
        }
        let draw = |rng: &mut rand_chacha::ChaCha8Rng, on: bool| -> Vec<f64> {
            (0..genes).map(|_| if on { rng.random::<f64>() } else { 1.0 }).collect()
        };
        let mut weights = draw(&mut rng, weighted);
        if weighted {
            weights.iter_mut().filter(|w| **w < 0.2).for_each(|w| *w = 0.0);
        }
        let lengths = draw(&mut rng, long).iter().map(|l| 0.2 + 5.0 * l).collect::<Vec<_>>();
        let mut counts = Vec::with_capacity(genes * samples);
        for _ in 0..samples {
            let shares: Vec<f64> = (0..types)
                .map(|_| if rng.random_bool(0.4) { 0.0 } else { rng.random::<f64>() })
                .collect();
            let size = shares.iter().sum::<f64>().max(0.1);
            for g in 0..genes {
                let mean: f64 =
                    (0..types).map(|j| signatures[(g, j)] * (shares[j] + 0.01) / size).sum();
                let mean = depth * lengths[g] * mean;
                counts.push(if mean > 0.0 {
                    rand_distr::Poisson::new(mean).unwrap().sample(&mut rng)
                } else {
                    0.0
                });
            }
        }
        Problem { signatures, lengths, weights, counts, n_samples: samples }
    }

    /// The seeded mix of easy and hard problems that the solvers must agree on.
    fn varied(seed: u64) -> Self {
        let pick = seed as usize;
        Self::random(
            seed,
            Shape {
                genes: [60, 200, 500][pick % 3],
                types: [2, 5, 8, 12][pick % 4],
                samples: 1 + pick % 3,
                depth: [1e3, 1e5, 1e6][pick % 3],
                likeness: [0.0, 0.5, 0.9, 0.97, 0.0][pick % 5],
                weighted: pick % 2 == 1,
                long: pick % 7 < 4,
            },
        )
    }

    fn model(&self) -> Model {
        let n_types = self.signatures.ncols();
        let genes = self.signatures.nrows() as f64;
        let with_intercept = from_fn((self.signatures.nrows(), n_types + 1), |g, j| {
            if j < n_types {
                self.signatures[(g, j)]
            } else {
                1.0 / genes
            }
        });
        Model::new(with_intercept.view(), &self.lengths, &self.weights, n_types).unwrap()
    }

    fn fit(&self, params: &Params) -> Fit {
        let model = self.model();
        let routes = model.row_of_gene().to_vec();
        let counts = self.counts(&model, &routes);
        unmonitored(|monitor| fit(&model, &counts, params, monitor)).unwrap()
    }

    fn counts<'a>(&'a self, model: &Model, routes: &'a [i32]) -> Counts<'a> {
        let shape = (self.signatures.nrows(), self.n_samples);
        Counts::new(Matrix::dense(&self.counts, shape).unwrap(), routes, model.n_rows()).unwrap()
    }
}

fn shares(fit: &SampleFit) -> Vec<f64> {
    let total: f64 = fit.exposures.iter().sum();
    fit.exposures.iter().map(|e| e / total).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

const GRADIENT: Method = Method::Gradient { learning_rate: 0.5, start: None };

#[test]
fn three_solvers_find_one_optimum() {
    let mut worst = [0.0f64; 2];
    for seed in 0..240 {
        let problem = Problem::varied(seed);
        let newton = problem.fit(&Params::default());
        for sample in &newton.samples {
            assert!(sample.gap <= 1e-6, "seed {seed}: gap {}", sample.gap);
            assert_eq!(sample.stop.name(), "certified", "seed {seed}");
        }
        // Proportions along a collinear direction are much looser than the
        // likelihood, so the first-order methods are asked for more digits.
        for (which, method) in [Method::Em, GRADIENT].into_iter().enumerate() {
            let params =
                Params { method, tolerance: 1e-11, max_iter: 200_000, ..Params::default() };
            let other = problem.fit(&params);
            for (a, b) in newton.samples.iter().zip(&other.samples) {
                let difference = largest_difference(&shares(a), &shares(b));
                worst[which] = worst[which].max(difference);
                assert!(difference < 1e-4, "seed {seed}, {method:?}: {difference}");
            }
        }
    }
    println!("largest difference from newton: em {:.1e}, gd {:.1e}", worst[0], worst[1]);
}

#[test]
fn the_likelihood_never_falls_along_em() {
    for seed in 0..60 {
        let params = Params { method: Method::Em, tolerance: 1e-10, ..Params::default() };
        for sample in Problem::varied(seed).fit(&params).samples {
            for pair in sample.trace.windows(2) {
                let rounding = 1e-14 * pair[0].1.abs();
                assert!(pair[1].1 >= pair[0].1 - rounding, "seed {seed}: {pair:?}");
            }
        }
    }
}

#[test]
fn the_certificate_holds() {
    // Stopped early, the true distance to the optimum is below the bound.
    for seed in 0..60 {
        let problem = Problem::varied(seed);
        let best = problem.fit(&Params::default());
        for max_iter in [2, 5, 20] {
            let params = Params { method: Method::Em, max_iter, ..Params::default() };
            for (early, best) in problem.fit(&params).samples.iter().zip(&best.samples) {
                let objective = |fit: &SampleFit| fit.trace.last().unwrap().1;
                let distance = objective(best) - objective(early);
                let rounding = 1e-12 * objective(best).abs();
                assert!(distance <= early.gap + rounding, "{distance} > {}", early.gap);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let shape = Shape {
        genes: 700,
        types: 6,
        samples: 70,
        depth: 1e5,
        likeness: 0.5,
        weighted: true,
        long: true,
    };
    let problem = Problem::random(3, shape);
    for method in [Method::Newton, Method::Em, GRADIENT] {
        let run = |threads| {
            let params = Params { method, threads, seed: Some(9), ..Params::default() };
            let fit = problem.fit(&params);
            let exposures: Vec<_> = fit.samples.into_iter().map(|s| s.exposures).collect();
            let correlations: Vec<u64> = fit
                .genes
                .nodes()
                .iter()
                .flat_map(|n| n.genes.as_slice())
                .map(|m| m.xy.to_bits())
                .collect();
            (exposures, correlations)
        };
        assert_eq!(run(1), run(2), "{method:?}");
    }
}

#[test]
fn another_start_gives_the_same_answer() {
    let problem = Problem::varied(5);
    for method in [Method::Newton, Method::Em, GRADIENT] {
        let run = |seed| {
            let params = Params { method, seed, tolerance: 1e-12, ..Params::default() };
            problem.fit(&params).samples.into_iter().map(|s| shares(&s)).collect::<Vec<_>>()
        };
        for (a, b) in run(None).iter().zip(&run(Some(11))) {
            assert!(largest_difference(a, b) < 1e-6, "{method:?}");
        }
    }
}

#[test]
fn scaling_counts_scales_exposures_and_leaves_shares_even_with_penalties() {
    let mut problem = Problem::varied(9);
    let params = Params { l1_lambda: 0.3, l2_lambda: 0.5, tolerance: 1e-13, ..Params::default() };
    let before = problem.fit(&params);
    problem.counts.iter_mut().for_each(|k| *k *= 16.0);
    let after = problem.fit(&params);
    for (a, b) in before.samples.iter().zip(&after.samples) {
        assert!(largest_difference(&shares(a), &shares(b)) < 1e-9);
        let size = |fit: &SampleFit| fit.exposures.iter().sum::<f64>();
        assert!((size(b) / size(a) - 16.0).abs() < 1e-7);
    }
}

#[test]
fn penalised_methods_agree_and_shrink() {
    for seed in 0..40 {
        let problem = Problem::varied(seed);
        for (l1_lambda, l2_lambda) in [(1.0, 0.0), (0.0, 2.0), (0.5, 0.5)] {
            let run = |method| {
                let params = Params {
                    method,
                    l1_lambda,
                    l2_lambda,
                    tolerance: 1e-11,
                    max_iter: 100_000,
                    ..Params::default()
                };
                problem.fit(&params).samples
            };
            let newton = run(Method::Newton);
            for method in [Method::Em, GRADIENT] {
                for (a, b) in newton.iter().zip(&run(method)) {
                    let difference = largest_difference(&shares(a), &shares(b));
                    assert!(difference < 1e-4, "seed {seed}, {method:?}: {difference}");
                }
            }
            let free = problem.fit(&Params::default()).samples;
            for (a, b) in newton.iter().zip(&free) {
                let types =
                    |fit: &SampleFit| fit.exposures[..fit.exposures.len() - 1].iter().sum::<f64>();
                assert!(types(a) < types(b));
            }
        }
    }
}

#[test]
fn one_source_has_the_closed_form() {
    let signatures = from_fn((8, 1), |g, _| (g + 1) as f64 / 36.0);
    let lengths = [2.0; 8];
    let weights = [1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 0.2, 1.0];
    let model = Model::new(signatures.view(), &lengths, &weights, 1).unwrap();
    let counts: Vec<f64> = (0..8).map(|g| (3 * g + 1) as f64).collect();
    let routes = model.row_of_gene().to_vec();
    let view =
        Counts::new(Matrix::dense(&counts, (8, 1)).unwrap(), &routes, model.n_rows()).unwrap();
    let reads: f64 = counts.iter().zip(&weights).map(|(k, w)| k * w).sum();
    let cost: f64 = (0..8).map(|g| weights[g] * 2.0 * signatures[(g, 0)]).sum();
    for method in [Method::Newton, Method::Em, GRADIENT] {
        let params = Params { method, ..Params::default() };
        let fit = unmonitored(|monitor| fit(&model, &view, &params, monitor)).unwrap();
        assert!((fit.samples[0].exposures[0] - reads / cost).abs() < 1e-12 * reads / cost);
    }
}

#[test]
fn exact_mixtures_are_recovered_exactly() {
    // Counts equal to their means: the truth is the optimum.
    let mut problem = Problem::varied(6);
    let n_types = problem.signatures.ncols();
    let truth: Vec<f64> =
        (0..n_types).map(|j| if j % 3 == 0 { 0.0 } else { 1e5 * j as f64 }).collect();
    let genes = problem.signatures.nrows();
    problem.n_samples = 1;
    problem.counts = (0..genes)
        .map(|g| {
            let mean: f64 = (0..n_types).map(|j| problem.signatures[(g, j)] * truth[j]).sum();
            problem.lengths[g] * mean
        })
        .collect();
    let fit = problem.fit(&Params::default());
    let total: f64 = truth.iter().sum();
    for (found, planted) in fit.samples[0].exposures.iter().zip(&truth) {
        assert!((found - planted).abs() < 1e-6 * total, "{found} {planted}");
    }
}

#[test]
fn twin_types_share_what_they_explain() {
    let mut problem = Problem::varied(3);
    let genes = problem.signatures.nrows();
    for g in 0..genes {
        problem.signatures[(g, 1)] = problem.signatures[(g, 0)];
    }
    for method in [Method::Newton, Method::Em, GRADIENT] {
        for sample in problem.fit(&Params { method, ..Params::default() }).samples {
            let (a, b) = (sample.exposures[0], sample.exposures[1]);
            assert!((a - b).abs() <= 1e-6 * (a + b), "{method:?}: {a} {b}");
        }
    }
}

#[test]
fn a_fit_that_is_cut_short_says_so() {
    let params = Params { method: Method::Em, max_iter: 3, ..Params::default() };
    let fit = Problem::varied(2).fit(&params);
    assert_eq!(fit.samples[0].stop.name(), "max_iter");
    assert_eq!(fit.samples[0].iterations, 3);
}

#[test]
fn what_cannot_be_fitted_is_named() {
    let signatures = from_fn((4, 2), |g, j| if j == 1 && g > 1 { 0.0 } else { 0.25 });
    let ones = [1.0; 4];
    let build = |s: ArrayView2<'_, f64>, w: &[f64]| Model::new(s, &ones, w, 2).err();
    let empty = build(signatures.view(), &[0.0, 0.0, 1.0, 1.0]);
    assert_eq!(empty, Some(CoreError::EmptySource { source: 1 }));
    let weight = build(signatures.view(), &[0.0, 0.0, 1.5, 1.0]).unwrap();
    assert_eq!(weight.to_string(), "`weights` must be in [0, 1], not 1.5");
    let model = Model::new(signatures.view(), &ones, &ones, 2).unwrap();
    let counts = [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0];
    let routes = model.row_of_gene().to_vec();
    let view =
        Counts::new(Matrix::dense(&counts, (4, 2)).unwrap(), &routes, model.n_rows()).unwrap();
    let error = unmonitored(|monitor| fit(&model, &view, &Params::default(), monitor)).err();
    assert_eq!(error, Some(CoreError::EmptySample { sample: 1 }));
}

#[test]
fn poisson_covariance_is_the_spread_over_repeated_samples() {
    let shape = Shape {
        genes: 300,
        types: 3,
        samples: 1,
        depth: 1e4,
        likeness: 0.3,
        weighted: false,
        long: true,
    };
    let mut problem = Problem::random(4, shape);
    let genes = problem.signatures.nrows();
    let truth = [3e3, 5e3, 2e3];
    let mean: Vec<f64> = (0..genes)
        .map(|g| {
            let molecules: f64 = (0..3).map(|j| problem.signatures[(g, j)] * truth[j]).sum();
            problem.lengths[g] * (molecules + 2000.0 / genes as f64)
        })
        .collect();
    problem.n_samples = 400;
    let mut rng = stream(8, Purpose::Bulk, 0);
    problem.counts = (0..400)
        .flat_map(|_| mean.clone())
        .map(|m: f64| rand_distr::Poisson::new(m).unwrap().sample(&mut rng))
        .collect();
    let fit = problem.fit(&Params::default());
    let model = problem.model();
    let routes = model.row_of_gene().to_vec();
    let counts = problem.counts(&model, &routes);
    let exposures = from_fn((4, 400), |j, i| fit.samples[i].exposures[j]);
    for variance in [Variance::Poisson, Variance::Quasi, Variance::Robust] {
        let inferred = unmonitored(|monitor| {
            infer(&Poisson(&model), &counts, exposures.view(), variance, 2.71, 1, monitor)
        })
        .unwrap();
        for j in 0..4 {
            let row: Vec<f64> = (0..400).map(|i| exposures[(j, i)]).collect();
            let centre = row.iter().sum::<f64>() / 400.0;
            let spread = row.iter().map(|e| (e - centre).powi(2)).sum::<f64>() / 399.0;
            let own = (0..400).map(|i| inferred.covariance[(j, j, i)]);
            let stated: f64 = own.sum::<f64>() / 400.0;
            // 400 draws estimate a variance to 7 % (one standard error)
            assert!((stated / spread - 1.0).abs() < 0.25, "{variance:?} {j}: {stated} {spread}");
        }
        let dispersion = inferred.dispersion.iter().sum::<f64>() / 400.0;
        assert!((dispersion - 1.0).abs() < 0.02, "{dispersion}");
    }
}
