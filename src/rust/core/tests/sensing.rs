//! Dictionaries and recovery on data with a planted truth.

use ndarray::s;
use rand::seq::index::sample;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use unalloy_core::base::convergence::Stop;
use unalloy_core::base::parallel::unmonitored;
use unalloy_core::base::rng::{stream, Purpose};
use unalloy_core::matrix::counts::Counts;
use unalloy_core::matrix::{from_fn, zeros, Array2, ArrayView2, Columns, Matrix};
use unalloy_core::sensing::codes::use_of_atoms;
use unalloy_core::sensing::dictionary::{
    learn, Dictionary, DictionaryParams, HeldOut, KsvdParams, Method, SmafParams, SnmfParams,
};
use unalloy_core::sensing::measurement::{Design, Kind};
use unalloy_core::sensing::recovery::{recover, Decoder, Measured, Recovered, RecoveryParams};
use unalloy_core::CoreError;

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn unit_columns(mut matrix: Array2<f64>) -> Array2<f64> {
    for j in 0..matrix.ncols() {
        let own = matrix.col_mut(j);
        let size = norm(own);
        own.iter_mut().for_each(|v| *v /= size);
    }
    matrix
}

/// A random dictionary and samples that are exactly `sparsity`-sparse in it,
/// with noise of the given signal-to-noise ratio in decibels.
fn planted(
    seed: u64,
    (genes, size, samples): (usize, usize, usize),
    sparsity: usize,
    decibels: f64,
) -> (Array2<f64>, Array2<f64>) {
    let mut rng = stream(seed, Purpose::Start, 0);
    let atoms = unit_columns(from_fn((genes, size), |_, _| normal(&mut rng)));
    let mut x = zeros::<f64>((genes, samples));
    for i in 0..samples {
        for j in sample(&mut rng, size, sparsity) {
            let value = normal(&mut rng);
            for g in 0..genes {
                x[(g, i)] += value * atoms[(g, j)];
            }
        }
        let scale = norm(x.col(i)) * 10f64.powf(-decibels / 20.0) / (genes as f64).sqrt();
        x.col_mut(i).iter_mut().for_each(|v| *v += scale * normal(&mut rng));
    }
    (atoms, x)
}

fn identity(n: usize) -> Array2<f64> {
    from_fn((n, n), |i, j| f64::from(u8::from(i == j)))
}

fn params(method: Method, size: usize, sparsity: usize) -> DictionaryParams {
    DictionaryParams { method, size, sparsity, held_out: HeldOut::default(), seed: 1, threads: 2 }
}

fn smaf(genes: usize) -> SmafParams {
    SmafParams {
        max_iter: 10,
        tolerance: 1e-4,
        error_bound: 0.1,
        min_sparsity: 5,
        module_lower: (genes as f64 / 20.0).min(20.0),
        activity_lower: 0.0,
    }
}

fn fit(x: ArrayView2<'_, f64>, params: &DictionaryParams) -> Dictionary {
    unmonitored(|monitor| learn(x, params, monitor)).unwrap()
}

fn draw(kind: Kind, measurements: usize, genes: usize) -> Array2<f64> {
    let design = Design { measurements, genes, kind, max_correlation: 0.35, seed: 11 };
    unmonitored(|monitor| design.draw(monitor)).unwrap().unwrap()
}

fn read(weights: &Array2<f64>, x: &Array2<f64>, snr: f64) -> Array2<f64> {
    let values: Vec<f64> = (0..x.ncols()).flat_map(|j| x.col(j).iter().copied()).collect();
    let gene_of_row: Vec<i32> = (0..x.nrows() as i32).collect();
    let counts =
        Counts::new(Matrix::dense(&values, x.dim()).unwrap(), &gene_of_row, x.nrows()).unwrap();
    let measure = unalloy_core::sensing::measurement::measure;
    unmonitored(|m| measure(weights.view(), &counts, snr, 2, 1, m)).unwrap()
}

fn decode(
    readings: &Array2<f64>,
    weights: &Array2<f64>,
    atoms: &Array2<f64>,
    variance: &[f64],
    (decoder, sparsity, threads): (Decoder, usize, usize),
) -> Result<Recovered, CoreError> {
    let measured = Measured {
        readings: readings.view(),
        weights: weights.view(),
        atoms: atoms.view(),
        residual_variance: variance,
        examples: None,
    };
    let params = RecoveryParams { decoder, sparsity, standard_errors: true, noise: None, threads };
    unmonitored(|monitor| recover(&measured, &params, monitor))
}

fn largest_difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    (0..a.ncols())
        .flat_map(|j| (0..a.nrows()).map(move |i| (i, j)))
        .map(|at| (a[at] - b[at]).abs())
        .fold(0.0, f64::max)
}

#[test]
fn sparse_profiles_come_back_from_few_measurements() {
    // m >= 3 k log(n / k): 3 * 5 * log(500 / 5) = 69
    let (genes, size, k) = (500, 500, 5);
    let (atoms, x) = planted(3, (genes, size, 40), k, f64::INFINITY);
    for kind in [Kind::Gaussian, Kind::Sparse { genes_per_pool: 50 }] {
        let weights = draw(kind, 90, genes);
        let readings = read(&weights, &x, f64::INFINITY);
        let found =
            decode(&readings, &weights, &atoms, &vec![0.0; genes], (Decoder::Orthogonal, 15, 2));
        let found = found.unwrap();
        let error = largest_difference(&found.profiles, &x);
        assert!(error < 1e-8, "{kind:?}: {error}");
    }
}

#[test]
fn identity_measurements_and_modules_give_the_profile_itself() {
    let x = from_fn((20, 7), |i, j| ((i * 7 + j) % 5) as f64 + 0.5);
    let identity = identity(20);
    for decoder in [Decoder::Orthogonal, Decoder::Nonnegative, Decoder::LeastSquares] {
        let found = decode(&x, &identity, &identity, &[0.0; 20], (decoder, 20, 1)).unwrap();
        // least squares carries a relative ridge of 1e-12
        assert!(largest_difference(&found.profiles, &x) < 1e-10, "{decoder:?}");
    }
}

#[test]
fn ksvd_finds_a_planted_dictionary() {
    let (atoms, x) = planted(5, (20, 50, 1500), 3, 20.0);
    let own = KsvdParams { max_iter: 80, tolerance: 0.0, starts: 5 };
    let found = fit(x.view(), &params(Method::Ksvd(own), 50, 3));
    let best = |j: usize| {
        let cosine =
            |l: usize| (0..20).map(|g| atoms[(g, j)] * found.atoms[(g, l)]).sum::<f64>().abs();
        (0..found.atoms.ncols()).map(cosine).fold(0.0, f64::max)
    };
    let recovered = (0..50).filter(|&j| best(j) > 0.99).count();
    assert!(recovered >= 45, "{recovered} of 50");
}

#[test]
fn ksvd_never_loses_and_modules_are_unit_and_used() {
    let (_, x) = planted(6, (40, 60, 300), 4, 10.0);
    let own = KsvdParams { max_iter: 15, tolerance: 0.0, starts: 1 };
    let found = fit(x.view(), &params(Method::Ksvd(own), 50, 4));
    for pair in found.trace.windows(2) {
        assert!(pair[1] <= pair[0] * (1.0 + 1e-10), "{:?}", found.trace);
    }
    let last = found.trace[found.trace.len() - 1];
    assert!(found.residual <= last * (1.0 + 1e-10), "{} {last}", found.residual);
    check_modules(&found);
}

fn check_modules(found: &Dictionary) {
    let uses = use_of_atoms(found.codes.view());
    assert!(uses.iter().all(|&n| n > 0), "{uses:?}");
    for j in 0..found.atoms.ncols() {
        assert!((norm(found.atoms.col(j)) - 1.0).abs() < 1e-12);
    }
}

/// Samples that mix non-negative modules of about `module` genes.
fn modular(seed: u64, genes: usize, modules: usize, samples: usize) -> Array2<f64> {
    let mut rng = stream(seed, Purpose::Start, 1);
    let module = genes / 10;
    let mut atoms = zeros::<f64>((genes, modules));
    for j in 0..modules {
        for g in sample(&mut rng, genes, module) {
            atoms[(g, j)] = rng.random::<f64>() + 0.2;
        }
    }
    let mut x = zeros::<f64>((genes, samples));
    for i in 0..samples {
        for j in sample(&mut rng, modules, 4) {
            let value = rng.random::<f64>() + 0.5;
            for g in 0..genes {
                x[(g, i)] += value * atoms[(g, j)];
            }
        }
        for g in 0..genes {
            x[(g, i)] = (x[(g, i)] + 0.05 * normal(&mut rng)).max(0.0);
        }
    }
    x
}

#[test]
fn smaf_modules_are_sparse_nonnegative_and_used() {
    let x = modular(1, 100, 20, 200);
    let found = fit(x.view(), &params(Method::Smaf(smaf(100)), 40, 8));
    check_modules(&found);
    let entries: Vec<f64> =
        (0..found.atoms.ncols()).flat_map(|j| found.atoms.col(j).to_vec()).collect();
    assert!(entries.iter().all(|&v| v >= 0.0));
    let zeros = entries.iter().filter(|&&v| v == 0.0).count() as f64 / entries.len() as f64;
    assert!(zeros > 0.5, "{zeros}");
    let outcome = found.smaf.unwrap();
    assert!(found.residual < 0.1, "{} {outcome:?} {:?}", found.residual, found.trace);
}

#[test]
fn snmf_modules_are_nonnegative_and_used() {
    let x = modular(1, 100, 20, 200);
    let own = SnmfParams { max_iter: 200, tolerance: 1e-5, penalty: 0.01 };
    let found = fit(x.view(), &params(Method::Snmf(own), 30, 8));
    check_modules(&found);
    assert!((0..30.min(found.atoms.ncols())).all(|j| found.atoms.col(j).iter().all(|&v| v >= 0.0)));
    assert!(found.residual < 0.1, "{}", found.residual);
    for pair in found.trace.windows(2) {
        assert!(pair[1] <= pair[0] * (1.0 + 1e-9), "{:?}", found.trace);
    }
}

#[test]
fn svd_is_the_best_of_its_rank_and_svd_k_is_its_beginning() {
    let x = modular(2, 60, 10, 90);
    let whole = fit(x.view(), &params(Method::Svd, 25, 6));
    let short = fit(x.view(), &params(Method::SvdK, 25, 6));
    assert_eq!(short.atoms.ncols(), 6);
    assert_eq!(
        largest_difference(&from_fn((60, 6), |g, j| whole.atoms[(g, j)]), &short.atoms),
        0.0
    );
    assert_eq!(whole.stop, Stop::Direct);
    // with all its modules in use, a sample's code is the projection
    assert!((short.residual - short.trace[0]).abs() < 1e-10);
    // choosing 6 of 25 can't be worse than the first 6 by much, nor better than 25
    assert!(whole.residual >= whole.trace[0] - 1e-12);
    let ksvd = Method::Ksvd(KsvdParams { max_iter: 20, tolerance: 0.0, starts: 1 });
    assert!(fit(x.view(), &params(ksvd, 6, 6)).residual >= short.residual - 1e-10);
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let x = modular(3, 60, 10, 150);
    for method in [
        Method::Ksvd(KsvdParams { max_iter: 3, tolerance: 0.0, starts: 1 }),
        Method::Smaf(SmafParams { max_iter: 3, ..smaf(60) }),
    ] {
        let one = fit(x.view(), &DictionaryParams { threads: 1, ..params(method.clone(), 30, 5) });
        let three =
            fit(x.view(), &DictionaryParams { threads: 3, ..params(method.clone(), 30, 5) });
        assert!(one.atoms == three.atoms && one.codes == three.codes);
        let other = fit(x.view(), &DictionaryParams { seed: 2, ..params(method, 30, 5) });
        assert!(other.atoms != one.atoms);
        let weights = draw(Kind::Gaussian, 30, 60);
        let readings = read(&weights, &x, 5.0);
        let decode = |threads| {
            let how = (Decoder::Lasso { nonnegative: false, penalty: None }, 5, threads);
            decode(&readings, &weights, &one.atoms, &one.residual_variance, how).unwrap()
        };
        assert!(decode(1).standard_errors == decode(3).standard_errors);
    }
}

#[test]
fn the_order_of_genes_is_the_order_of_the_answer() {
    let x = modular(4, 50, 10, 80);
    let turned = from_fn((50, 80), |g, i| x[(49 - g, i)]);
    let method = Method::Smaf(SmafParams { max_iter: 4, ..smaf(50) });
    let a = fit(x.view(), &params(method.clone(), 20, 5));
    let b = fit(turned.view(), &params(method, 20, 5));
    let back = from_fn((50, b.atoms.ncols()), |g, j| b.atoms[(49 - g, j)]);
    assert!(largest_difference(&a.atoms, &back) < 1e-8);
}

#[test]
fn standard_errors_cover_what_they_say() {
    // x = U w + e with e of known variance per gene; readings with noise.
    let (genes, size, k) = (200, 60, 4);
    let (atoms, clean) = planted(8, (genes, size, 400), k, f64::INFINITY);
    let mut rng = stream(9, Purpose::Start, 2);
    let deviation: Vec<f64> = (0..genes).map(|g| 0.02 + 0.02 * (g % 5) as f64 / 4.0).collect();
    let x = from_fn((genes, 400), |g, i| clean[(g, i)] + deviation[g] * normal(&mut rng));
    let variance: Vec<f64> = deviation.iter().map(|d| d * d).collect();
    let weights = draw(Kind::Gaussian, 80, genes);
    for snr in [f64::INFINITY, 5.0] {
        let readings = read(&weights, &x, snr);
        let how = (Decoder::Orthogonal, k, 2);
        let found = decode(&readings, &weights, &atoms, &variance, how).unwrap();
        let mut inside = 0;
        for i in 0..400 {
            for g in 0..genes {
                let z = (x[(g, i)] - found.profiles[(g, i)]) / found.standard_errors[(g, i)];
                inside += usize::from(z.abs() < 1.96);
            }
        }
        let coverage = inside as f64 / (400 * genes) as f64;
        // Nominal 0.95; a wrong module now and then costs some.
        assert!((0.90..0.98).contains(&coverage), "snr {snr}: {coverage}");
    }
}

/// Share of the truth in 95 % intervals.
fn coverage(found: &Recovered, truth: &Array2<f64>) -> f64 {
    let (genes, samples) = truth.dim();
    let inside = |i: usize, g: usize| {
        let error = (truth[(g, i)] - found.profiles[(g, i)]).abs();
        usize::from(error <= 1.96 * found.standard_errors[(g, i)])
    };
    let all: usize = (0..samples).map(|i| (0..genes).map(|g| inside(i, g)).sum::<usize>()).sum();
    all as f64 / (genes * samples) as f64
}

#[test]
fn intervals_hold_the_noise_of_the_readings() {
    // modules learned from 250 samples, 150 others measured with noise
    let (genes, k) = (100, 4);
    let all = modular(7, genes, 20, 400);
    let train = all.slice(s![.., ..250]);
    let test = from_fn((genes, 150), |g, i| all[(g, 250 + i)]);
    let weights = draw(Kind::Gaussian, 50, genes);
    let ksvd = KsvdParams { max_iter: 15, tolerance: 0.0, starts: 1 };
    for method in [Method::Ksvd(ksvd), Method::Svd] {
        let held_out = HeldOut { samples: 50, folds: 1 };
        let seen = params(method.clone(), 80, k);
        let modules = fit(train, &DictionaryParams { held_out, ..seen.clone() });
        if let Method::Ksvd(_) = method {
            // far more modules than there are fit the samples that they saw
            let sum = |variance: &[f64]| variance.iter().sum::<f64>();
            let in_sample = sum(&fit(train, &seen).residual_variance);
            assert!(sum(&modules.residual_variance) > 1.2 * in_sample);
        }
        for snr in [f64::INFINITY, 5.0, 2.0, 1.0] {
            let readings = read(&weights, &test, snr);
            let clean = read(&weights, &test, f64::INFINITY);
            let noise = (norm2(&readings, &clean) / (50.0 * 150.0)).sqrt();
            let measured = Measured {
                readings: readings.view(),
                weights: weights.view(),
                atoms: modules.atoms.view(),
                residual_variance: &modules.residual_variance,
                examples: Some(modules.codes.view()),
            };
            for given in [None, Some(noise)] {
                let params = RecoveryParams {
                    decoder: Decoder::Orthogonal,
                    sparsity: k,
                    standard_errors: true,
                    noise: given,
                    threads: 2,
                };
                let found = unmonitored(|monitor| recover(&measured, &params, monitor)).unwrap();
                let inside = coverage(&found, &test);
                // nominal .95; errors of wrong modules have longer tails than normal ones
                assert!((0.90..0.97).contains(&inside), "snr {snr}, {given:?}: {inside}");
            }
        }
    }
}

fn norm2(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (0..a.ncols())
        .map(|j| (0..a.nrows()).map(|i| (a[(i, j)] - b[(i, j)]).powi(2)).sum::<f64>())
        .sum()
}

#[test]
fn the_noise_of_the_readings_is_told_by_what_they_leave() {
    // modules, activities and deviations are known: what is left is the noise
    let (genes, size, k) = (100, 150, 4);
    let (atoms, clean) = planted(8, (genes, size, 300), k, f64::INFINITY);
    let how = (Decoder::Orthogonal, k, 2);
    let identity = identity(genes);
    let codes = decode(&clean, &identity, &atoms, &[0.0; 100], how).unwrap().codes;
    let mut rng = stream(9, Purpose::Start, 2);
    let x = from_fn((genes, 300), |g, i| clean[(g, i)] + 0.03 * normal(&mut rng));
    let weights = draw(Kind::Gaussian, 50, genes);
    let exact = read(&weights, &x, f64::INFINITY);
    for noise in [0.0, 0.1, 0.3] {
        let readings = from_fn((50, 300), |r, i| exact[(r, i)] + noise * normal(&mut rng));
        let measured = Measured {
            readings: readings.view(),
            weights: weights.view(),
            atoms: atoms.view(),
            residual_variance: &[0.03 * 0.03; 100],
            examples: Some(codes.view()),
        };
        let params = RecoveryParams {
            decoder: how.0,
            sparsity: k,
            standard_errors: true,
            noise: None,
            threads: 2,
        };
        let found = unmonitored(|monitor| recover(&measured, &params, monitor)).unwrap();
        // of 150 modules four fit more noise than their number: the residual over its
        // degrees of freedom is short of the variance
        let naive = (found.residual.iter().sum::<f64>() / (300.0 * 46.0)).sqrt();
        let told = found.noise.unwrap();
        let whole = (noise * noise + 0.03 * 0.03).sqrt();
        assert!(noise == 0.0 || naive < 0.95 * whole, "{noise}: {naive}");
        // 15,000 readings, and as many of the examples: their variances are known to 1 %
        let off = told.powi(2) - noise * noise;
        assert!(off.abs() < 0.03 * (noise * noise + 0.03 * 0.03), "{noise}: {told}");
        let inside = coverage(&found, &x);
        assert!((0.92..0.97).contains(&inside), "{noise}: {inside}");
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let x = modular(5, 30, 5, 20);
    let error = |params: &DictionaryParams| {
        unmonitored(|monitor| learn(x.view(), params, monitor)).err().unwrap().to_string()
    };
    assert!(error(&params(Method::Svd, 21, 5)).contains("`size`"));
    assert!(error(&params(Method::Svd, 2, 0)).contains("`sparsity`"));
    let bad = SmafParams { error_bound: 0.0, ..smaf(30) };
    assert!(error(&params(Method::Smaf(bad), 5, 5)).contains("`error_bound`"));
    let identity = identity(5);
    let how = (Decoder::Orthogonal, 6, 1);
    let refused = decode(&identity, &identity, &identity, &[0.0; 5], how).err().unwrap();
    assert!(refused.to_string().contains("number of measurements"));
}
