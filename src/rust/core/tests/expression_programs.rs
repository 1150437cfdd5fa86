//! Programs of types: against conditioning of the joint normal law, and planted ones.

use rand::Rng;
use rand_distr::{Distribution, Normal, Poisson};
use unalloy_core::base::parallel::unmonitored;
use unalloy_core::base::rng::{stream, Purpose};
use unalloy_core::deconvolution::expression::{
    prior, start_programs, Activities, Asked, Cohort, CohortFit, CohortParams, Data, DonorProfiles,
    Expression, Fields, KnownPrograms, Learn, Origin, Prior, Programs, Reference,
};
use unalloy_core::matrix::linalg::{product, Cholesky};
use unalloy_core::matrix::{from_fn, zeros, Array2, Array3, Columns};

/// Three types, of which the first has a program that samples and donors show.
struct Made {
    counts: Array2<f64>,
    sources: Array2<f64>,
    lengths: Vec<f64>,
    exposures: Array2<f64>,
    /// Relative to the profile, where the activity is 1.
    program: Vec<f64>,
    /// Of the first type in each sample.
    activity: Vec<f64>,
    donors: Array2<f64>,
    totals: Vec<f64>,
}

const N_TYPES: usize = 3;
const N_DONORS: usize = 6;

fn made(n_genes: usize, n_samples: usize) -> Made {
    let mut rng = stream(4, Purpose::Genes, 0);
    let normal = Normal::new(0.0, 1.0).unwrap();
    let raw = from_fn((n_genes, N_TYPES), |_, _| (2.0 * rng.random::<f64>()).exp());
    let sources = from_fn(raw.dim(), |g, j| raw[(g, j)] / raw.col(j).iter().sum::<f64>());
    let lengths: Vec<f64> = (0..n_genes).map(|g| 0.5 + (g % 5) as f64).collect();
    // as many genes rise as fall, so that totals stay
    let change = |g: usize| [0.6, -0.6][g / 10 % 2];
    let program: Vec<f64> =
        (0..n_genes).map(|g| if g % 10 == 0 { change(g) } else { 0.0 }).collect();
    let mut activities = |n: usize| -> Vec<f64> {
        (0..n).map(|_| f64::clamp(normal.sample(&mut rng), -1.5, 1.5)).collect()
    };
    let (activity, of_donors) = (activities(n_samples), activities(N_DONORS));
    let exposures =
        from_fn((N_TYPES, n_samples), |j, s| 4e4 * (1.0 + ((s * (j + 2) + j) % 5) as f64));
    let mut draw = |mean: f64| -> f64 { Poisson::new(mean).unwrap().sample(&mut rng) };
    let counts = from_fn((n_genes, n_samples), |g, s| {
        let molecules: f64 = (0..N_TYPES)
            .map(|j| {
                let own = if j == 0 { 1.0 + program[g] * activity[s] } else { 1.0 };
                sources[(g, j)] * own * exposures[(j, s)]
            })
            .sum();
        draw(lengths[g] * molecules)
    });
    let donors = from_fn((n_genes, N_DONORS), |g, d| {
        draw(3e5 * sources[(g, 0)] * (1.0 + program[g] * of_donors[d]))
    });
    let totals = (0..N_DONORS).map(|d| donors.col(d).iter().sum()).collect();
    Made { counts, sources, lengths, exposures, program, activity, donors, totals }
}

impl Made {
    fn data(&self) -> Data<'_> {
        Data {
            counts: self.counts.view(),
            sources: self.sources.view(),
            lengths: &self.lengths,
            exposures: self.exposures.view(),
        }
    }

    fn prior(&self) -> Prior {
        let unknown = from_fn(self.sources.dim(), |_, _| f64::NAN);
        prior(&Reference {
            profiles: self.sources.view(),
            variance: unknown.view(),
            donors: &[f64::NAN; N_TYPES],
            totals: &[1e7; N_TYPES],
            assumed: 0.01,
        })
        .unwrap()
    }
}

fn fit(cohort: &Cohort<'_>, learn: Learn) -> CohortFit {
    let params = CohortParams { learn, noise: 1.0, least_noise: 1.0, threads: 2 };
    unmonitored(|monitor| cohort.fit(&params, monitor)).unwrap()
}

fn activities(cohort: &Cohort<'_>, fit: &CohortFit, programs: &Programs<'_>) -> Activities {
    unmonitored(|monitor| cohort.activities(fit, programs, true, 1, monitor)).unwrap()
}

fn predict(
    cohort: &Cohort<'_>,
    fit: &CohortFit,
    programs: Option<(&Array2<f64>, &[usize], &Activities)>,
) -> Expression {
    let samples: Vec<usize> = (0..fit.sizes.len()).collect();
    let programs = programs.map(|(loadings, of, found)| KnownPrograms {
        programs: Programs { loadings: loadings.view(), of, sizes: &found.sizes },
        mean: found.mean.view(),
        covariance: found.covariance.view(),
    });
    let asked = Asked {
        sources: &[0, 1, 2],
        samples: &samples,
        fields: Fields::ALL,
        covariance: None,
        programs,
    };
    unmonitored(|monitor| cohort.predict(fit, &asked, 2, monitor)).unwrap()
}

#[test]
fn programs_of_nothing_change_nothing() {
    let made = made(200, 8);
    let law = made.prior();
    let cohort = Cohort::new(made.data(), &law).unwrap();
    let fit = fit(&cohort, Learn::Genes);
    let plain = predict(&cohort, &fit, None);
    let loadings = zeros((200, N_TYPES));
    let of = [0, 1, 2];
    let nothing = Programs { loadings: loadings.view(), of: &of, sizes: &[1.0; 3] };
    let found = activities(&cohort, &fit, &nothing);
    assert!(found.mean.iter().all(|&z| z == 0.0));
    let zero = predict(&cohort, &fit, Some((&loadings, &of, &found)));
    let near = |a: &[f64], b: &[f64]| {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-10 * (1.0 + b.abs()))
    };
    let flat = |x: Option<Array3<f64>>| x.unwrap().iter().copied().collect::<Vec<_>>();
    assert!(near(&flat(zero.value), &flat(plain.value)));
    assert!(near(&flat(zero.variance), &flat(plain.variance)));
    assert!(near(&flat(zero.reliability), &flat(plain.reliability)));
}

/// Deviations of all genes and types given the counts of a sample, the long way.
#[test]
fn the_posterior_is_that_of_the_joint_normal_law() {
    let (n_genes, n_samples) = (30, 6);
    let made = made(n_genes, n_samples);
    let law = made.prior();
    let cohort = Cohort::new(made.data(), &law).unwrap();
    let fit = fit(&cohort, Learn::Nothing);
    // two programs of the first type, one of the second
    let of = [0, 0, 1];
    let mut rng = stream(5, Purpose::Genes, 0);
    let loadings =
        from_fn((n_genes, 3), |g, p| made.sources[(g, of[p])] * 0.3 * (rng.random::<f64>() - 0.3));
    let begin = Programs { loadings: loadings.view(), of: &of, sizes: &[1.0; 3] };
    let found = activities(&cohort, &fit, &begin);
    let together = predict(&cohort, &fit, Some((&loadings, &of, &found)));
    let plain = predict(&cohort, &fit, None);
    let means = plain.level.unwrap().mean;
    let (value, variance) = (together.value.unwrap(), together.variance.unwrap());
    let plain_variance = plain.variance.unwrap();
    for s in 0..n_samples {
        let scale = |g: usize| made.lengths[g] * fit.log_factor[g].exp();
        let exposure = |j: usize| fit.sizes[s] * made.exposures[(j, s)];
        let gene_wise = |g: usize, j: usize| (scale(g) * exposure(j)).powi(2) * fit.between[(g, j)];
        let along = |g: usize, p: usize| scale(g) * exposure(of[p]) * loadings[(g, p)];
        // Cov(D_gj, D_hj) of the deviation of a type
        let shared = |g: usize, h: usize, j: usize| -> f64 {
            let mine = (0..3).filter(|&p| of[p] == j);
            mine.map(|p| found.sizes[p] * along(g, p) * along(h, p)).sum()
        };
        let noise = |g: usize| -> f64 {
            (0..N_TYPES).map(|j| fit.noise * scale(g) * made.sources[(g, j)] * exposure(j)).sum()
        };
        let covariance = |g: usize, h: usize, j: usize| {
            shared(g, h, j) + if g == h { gene_wise(g, j) } else { 0.0 }
        };
        let marginal = from_fn((n_genes, n_genes), |g, h| {
            let types: f64 = (0..N_TYPES).map(|j| covariance(g, h, j)).sum();
            types + if g == h { noise(g) } else { 0.0 }
        });
        let residual = from_fn((n_genes, 1), |g, _| {
            let mean: f64 = (0..N_TYPES).map(|j| exposure(j) * means[(g, j)]).sum();
            made.counts[(g, s)] - mean
        });
        let factor = Cholesky::new(marginal).unwrap();
        let mut solved = residual.clone();
        factor.solve_in_place(&mut solved);
        let mut explained = vec![0.0; n_genes];
        for j in 0..N_TYPES {
            let cross = from_fn((n_genes, n_genes), |g, h| covariance(g, h, j));
            let shift = product(&cross, &solved);
            let mut gain = cross.clone();
            factor.solve_in_place(&mut gain);
            let removed = product(&cross, &gain);
            for g in 0..n_genes {
                let expected = exposure(j) * means[(g, j)] + shift[(g, 0)];
                assert!(expected > 0.0);
                let own = value[(g, j, s)];
                assert!((own - expected).abs() < 1e-8 * expected, "{own} {expected}");
                explained[g] += own;
                // what programs add to the variance; the error of the mean is in both
                let total: f64 = noise(g) + (0..N_TYPES).map(|l| gene_wise(g, l)).sum::<f64>();
                let alone = gene_wise(g, j) * (1.0 - gene_wise(g, j) / total);
                let left = covariance(g, g, j) - removed[(g, g)];
                let added = variance[(g, j, s)] - plain_variance[(g, j, s)];
                assert!((alone + added - left).abs() < 1e-8 * left, "{added} {left}");
            }
        }
        // types and what is left over make the counts
        for g in 0..n_genes {
            let over = noise(g) * solved[(g, 0)];
            let sum = explained[g] + over;
            assert!((sum - made.counts[(g, s)]).abs() < 1e-8 * sum);
        }
    }
}

#[test]
fn a_planted_program_is_found_and_does_not_leak() {
    let (n_genes, n_samples) = (400, 24);
    let made = made(n_genes, n_samples);
    let of_donors = [0; N_DONORS];
    let profiles =
        DonorProfiles { counts: made.donors.view(), totals: &made.totals, of: &of_donors };
    let start = start_programs(&made.sources.view(), &profiles).unwrap().unwrap();
    assert_eq!(start.origins, [Origin::Own, Origin::Borrowed, Origin::Borrowed]);
    let cosine = |a: &[f64], b: &[f64]| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for j in 0..N_TYPES {
        let planted: Vec<f64> =
            (0..n_genes).map(|g| made.program[g] * made.sources[(g, j)]).collect();
        // of counts of 700 a donor, six donors
        let found = cosine(start.loadings.col(j), &planted).abs();
        assert!(found > 0.97, "{j} {found}");
    }
    let law = made.prior();
    let cohort = Cohort::new(made.data(), &law).unwrap();
    let fit = fit(&cohort, Learn::Genes);
    let of = [0, 1, 2];
    let begin = Programs { loadings: start.loadings.view(), of: &of, sizes: &[1.0; 3] };
    let found = activities(&cohort, &fit, &begin);
    assert!(found.trace.windows(2).all(|w| w[1] >= w[0] - 1e-9), "{:?}", found.trace);
    let centred = |x: &[f64]| -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter().map(|x| x - mean).collect()
    };
    let first: Vec<f64> = found.mean.row(0).to_vec();
    assert!(cosine(&centred(&first), &centred(&made.activity)).abs() > 0.97);
    // the sizes of the borrowed programs shrink
    assert!(found.sizes[0] > 5.0 * found.sizes[1].max(found.sizes[2]), "{:?}", found.sizes);
    let with = predict(&cohort, &fit, Some((&start.loadings, &of, &found)));
    let plain = predict(&cohort, &fit, None);
    // variation of what does not vary, over genes of the program
    let leak = |x: &Expression| -> f64 {
        let value = x.value.as_ref().unwrap();
        (0..n_genes)
            .step_by(10)
            .flat_map(|g| [1, 2].map(|j| (g, j)))
            .map(|(g, j)| {
                let level: Vec<f64> =
                    (0..n_samples).map(|s| value[(g, j, s)] / made.exposures[(j, s)]).collect();
                let mean = level.iter().sum::<f64>() / n_samples as f64;
                centred(&level).iter().map(|d| (d / mean).powi(2)).sum::<f64>()
            })
            .sum()
    };
    // a program of the type alone leaks less than gene-wise variances that were learnt;
    // with borrowed ones beside it, less than with variances that were not
    let only = start.loadings.slice(ndarray::s![.., ..1]).to_owned();
    let begin_only = Programs { loadings: only.view(), of: &of[..1], sizes: &[1.0] };
    let found_only = activities(&cohort, &fit, &begin_only);
    let less = leak(&predict(&cohort, &fit, Some((&only, &of[..1], &found_only))));
    assert!(less < 0.8 * leak(&plain), "{less} {}", leak(&plain));
    let kept = self::fit(&cohort, Learn::Nothing);
    let shared = activities(&cohort, &kept, &begin);
    let less = leak(&predict(&cohort, &kept, Some((&start.loadings, &of, &shared))));
    let more = leak(&predict(&cohort, &kept, None));
    assert!(less < 0.5 * more, "{less} {more}");
    // and what does is met better
    let error = |x: &Expression| -> f64 {
        let value = x.value.as_ref().unwrap();
        (0..n_genes)
            .flat_map(|g| (0..n_samples).map(move |s| (g, s)))
            .map(|(g, s)| {
                let truth = made.lengths[g]
                    * made.sources[(g, 0)]
                    * made.exposures[(0, s)]
                    * (1.0 + made.program[g] * made.activity[s]);
                ((value[(g, 0, s)] - truth) / truth).powi(2)
            })
            .sum()
    };
    assert!(error(&with) < 0.7 * error(&plain), "{} {}", error(&with), error(&plain));
    let again = unmonitored(|m| cohort.activities(&fit, &begin, true, 3, m)).unwrap();
    assert_eq!(again.mean, found.mean);
}

#[test]
fn what_does_not_fit_is_refused() {
    let made = made(40, 5);
    let law = made.prior();
    let cohort = Cohort::new(made.data(), &law).unwrap();
    let fit = fit(&cohort, Learn::Nothing);
    let loadings = zeros((40, 1));
    let refused = |of: &[usize], sizes: &[f64]| {
        let programs = Programs { loadings: loadings.view(), of, sizes };
        let found = unmonitored(|m| cohort.activities(&fit, &programs, true, 1, m));
        found.err().unwrap().kind().to_string()
    };
    assert_eq!(refused(&[3], &[1.0]), "argument");
    assert_eq!(refused(&[0], &[-1.0]), "argument");
    assert_eq!(refused(&[0, 1], &[1.0]), "shape");
    // profiles that differ by nothing but counting tell of no program
    let alike = from_fn((40, 4), |g, _| 1e6 * made.sources[(g, 0)]);
    let profiles = DonorProfiles { counts: alike.view(), totals: &[1e6; 4], of: &[0; 4] };
    assert!(start_programs(&made.sources.view(), &profiles).unwrap().is_none());
}
