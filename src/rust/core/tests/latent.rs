//! Latent factors: identities, closed forms, and what must not change.

use rand::Rng;
use rand_distr::{Distribution, Gamma, Poisson, StandardNormal};
use unalloy_core::base::parallel::{unmonitored, with_threads};
use unalloy_core::base::rng::{stream, Purpose};
use unalloy_core::latent::choose::{choose, thinned, Candidates};
use unalloy_core::latent::counts::Counts;
use unalloy_core::latent::counts_model::{fit, project, Covariates, Dispersions, Settings};
use unalloy_core::latent::counts_newton::{Family, Fit, Stop};
use unalloy_core::latent::ppca::closed_form;
use unalloy_core::latent::ppca_em::{self, Model, Observed};
use unalloy_core::latent::predictor::Side;
use unalloy_core::latent::values::Values;
use unalloy_core::matrix::linalg::{product, spectrum, Cholesky};
use unalloy_core::matrix::{from_fn, zeros, Array2, Columns, Matrix};

const GENES: usize = 40;
const CELLS: usize = 300;

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Counts with two planted factors; `theta` for negative binomial ones.
fn planted(theta: Option<f64>) -> Counts {
    let mut rng = stream(7, Purpose::Genes, 0);
    let level: Vec<f64> = (0..GENES).map(|_| 0.5 + normal(&mut rng)).collect();
    let loadings = from_fn((GENES, 2), |_, _| 0.6 * normal(&mut rng));
    let scores = from_fn((CELLS, 2), |_, _| normal(&mut rng));
    let x = from_fn((GENES, CELLS), |g, i| {
        let eta: f64 = level[g] + (0..2).map(|k| loadings[(g, k)] * scores[(i, k)]).sum::<f64>();
        let rate = theta.map_or(1.0, |t| Gamma::new(t, 1.0 / t).unwrap().sample(&mut rng));
        let rate: f64 = eta.exp() * rate;
        Poisson::new(rate.max(1e-9)).unwrap().sample(&mut rng)
    });
    Counts::new(Matrix::Dense(x.view())).unwrap()
}

fn with_totals(counts: &Counts) -> Covariates {
    Covariates {
        offset: counts.totals(Side::Cells).iter().map(|t| t.ln()).collect(),
        of_cells: from_fn((counts.count(Side::Cells), 1), |_, _| 1.0),
        of_genes: zeros((counts.count(Side::Genes), 0)),
    }
}

fn settings(family: Family, rank: usize) -> Settings {
    Settings {
        family,
        rank,
        penalty: 1.0,
        covariate_penalty: 1.0,
        dispersions: Dispersions::Trend,
        stop: Stop { max_rounds: 60, tolerance: 1e-8 },
        seed: 1,
    }
}

fn run(counts: &Counts, settings: &Settings, threads: usize) -> Fit {
    let covariates = with_totals(counts);
    with_threads(threads, || unmonitored(|m| fit(counts, &covariates, settings, m)))
        .unwrap()
        .unwrap()
}

#[test]
fn the_objective_never_rises() {
    for (family, theta) in [
        (Family::Poisson, None),
        (Family::NegativeBinomial, Some(2.0)),
        (Family::ZeroInflated, Some(2.0)),
    ] {
        let found = run(&planted(theta), &settings(family, 3), 1);
        assert!(found.trace.len() > 3);
        for pair in found.trace.windows(2) {
            assert!(pair[1] <= pair[0] * (1.0 + 1e-12), "{family:?} {pair:?}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let counts = planted(Some(2.0));
    for family in [Family::Poisson, Family::NegativeBinomial, Family::ZeroInflated] {
        let chosen =
            Settings { stop: Stop { max_rounds: 6, tolerance: 1e-8 }, ..settings(family, 2) };
        let first = run(&counts, &chosen, 1);
        for threads in [2, 3] {
            let other = run(&counts, &chosen, threads);
            assert_eq!(first.trace, other.trace);
            assert_eq!(first.state.predictors[0].genes, other.state.predictors[0].genes);
            assert_eq!(first.state.predictors[0].cells, other.state.predictors[0].cells);
            assert_eq!(first.state.dispersion.theta(), other.state.dispersion.theta());
        }
    }
}

#[test]
fn without_factors_the_fit_is_that_of_independence() {
    let counts = planted(None);
    let found = run(&counts, &settings(Family::Poisson, 0), 1);
    let total: f64 = counts.totals(Side::Cells).iter().sum();
    for (gene, own) in counts.totals(Side::Genes).iter().enumerate() {
        let level = found.state.predictors[0].genes[(gene, 1)];
        assert!((level - (own / total).ln()).abs() < 1e-10);
    }
}

#[test]
fn factors_are_balanced_and_gradients_vanish() {
    let counts = planted(None);
    let far = Stop { max_rounds: 500, tolerance: 1e-14 };
    let found = run(&counts, &Settings { stop: far, ..settings(Family::Poisson, 2) }, 1);
    let predictor = &found.state.predictors[0];
    let (w, a) = (predictor.factors(Side::Cells), predictor.factors(Side::Genes));
    let (ww, aa) = (product(&w.t(), &w), product(&a.t(), &a));
    for k in 0..2 {
        for l in 0..2 {
            let expected = if k == l { ww[(k, k)] } else { 0.0 };
            assert!((ww[(k, l)] - expected).abs() < 1e-8 * ww[(0, 0)]);
            assert!((aa[(k, l)] - expected).abs() < 1e-8 * ww[(0, 0)]);
        }
    }
    // ∂/∂w of cell i: Σ (μ − y) α + λ w; W has no part along the intercept
    let eta = product(&predictor.genes, &predictor.cells.t());
    let lines = counts.by(Side::Cells);
    for cell in 0..CELLS {
        let mut left: Vec<f64> = eta.col(cell).iter().map(|e| e.exp()).collect();
        lines.entries(cell).for_each(|(gene, y)| left[gene] -= y);
        for k in 0..2 {
            let slope: f64 = (0..GENES).map(|g| left[g] * a[(g, k)]).sum::<f64>() + w[(cell, k)];
            // gradients are square roots of what the objective can show
            assert!(slope.abs() < 1e-3, "{cell} {slope}");
        }
    }
    for k in 0..2 {
        assert!((0..CELLS).map(|i| w[(i, k)]).sum::<f64>().abs() < 1e-8 * CELLS as f64);
    }
}

#[test]
fn planted_dispersions_are_recovered() {
    let counts = planted(Some(2.0));
    let common =
        Settings { dispersions: Dispersions::Common, ..settings(Family::NegativeBinomial, 2) };
    let found = run(&counts, &common, 1);
    let theta = found.state.dispersion.theta();
    assert!(theta.iter().all(|&t| t == theta[0]));
    // two factors take a little of the noise: θ is overestimated by the degrees of freedom
    assert!(theta[0] > 1.6 && theta[0] < 2.8, "{}", theta[0]);
    let poisson = run(&counts, &settings(Family::Poisson, 2), 1);
    assert!(found.log_likelihood > poisson.log_likelihood);
    // shrunk estimates vary less between genes than those that stand alone
    let spread = |dispersions| {
        let chosen = Settings { dispersions, ..settings(Family::NegativeBinomial, 2) };
        let found = run(&counts, &chosen, 1);
        let logs: Vec<f64> = found.state.dispersion.theta().iter().map(|t| t.ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        logs.iter().map(|r| (r - mean).powi(2)).sum::<f64>()
    };
    assert!(spread(Dispersions::Trend) < spread(Dispersions::Gene));
}

#[test]
fn cells_that_were_fitted_are_found_where_they_were() {
    let counts = planted(None);
    let chosen = Settings {
        stop: Stop { max_rounds: 200, tolerance: 1e-12 },
        ..settings(Family::Poisson, 2)
    };
    let found = run(&counts, &chosen, 2);
    let again = unmonitored(|m| {
        let stop = Stop { max_rounds: 100, tolerance: 1e-14 };
        project(&counts, &with_totals(&counts), &chosen, &found.state, stop, m)
    })
    .unwrap();
    let (old, new) =
        (found.state.predictors[0].factors(Side::Cells), again.predictors[0].factors(Side::Cells));
    for (a, b) in old.iter().zip(new.iter()) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn thinned_molecules_add_up_and_the_planted_rank_predicts_best() {
    let counts = planted(None);
    let [kept, held] = thinned(&counts, 0.8, 3).unwrap();
    let sum = |a: &Counts, b: &Counts, side| -> Vec<f64> {
        a.totals(side).iter().zip(b.totals(side)).map(|(a, b)| a + b).collect()
    };
    assert_eq!(sum(&kept, &held, Side::Cells), counts.totals(Side::Cells));
    assert_eq!(sum(&kept, &held, Side::Genes), counts.totals(Side::Genes));
    let share = kept.totals(Side::Cells).iter().sum::<f64>()
        / counts.totals(Side::Cells).iter().sum::<f64>();
    assert!((share - 0.8).abs() < 0.01);
    let candidates = Candidates { ranks: vec![0, 1, 2], penalties: vec![2.0] };
    let scores = unmonitored(|m| {
        choose(&counts, &with_totals(&counts), &settings(Family::Poisson, 2), &candidates, m)
    })
    .unwrap();
    let of = |rank| scores.iter().find(|s| s.rank == rank).unwrap().value;
    assert!(of(2) > of(1) && of(1) > of(0), "{scores:?}");
}

/// Genes × cells of a linear Gaussian model of rank 3.
fn gaussian(genes: usize, cells: usize) -> Array2<f64> {
    let mut rng = stream(3, Purpose::Cells, 0);
    let loadings = from_fn((genes, 3), |_, k| normal(&mut rng) * (3 - k) as f64);
    let scores = from_fn((cells, 3), |_, _| normal(&mut rng));
    from_fn((genes, cells), |g, i| {
        g as f64 * 0.1
            + (0..3).map(|k| loadings[(g, k)] * scores[(i, k)]).sum::<f64>()
            + 0.5 * normal(&mut rng)
    })
}

fn ones(n: usize) -> Array2<f64> {
    from_fn((n, 1), |_, _| 1.0)
}

/// log N(x; mean, W Wᵀ + σ² I) over the columns of x, by its definition.
fn density(x: &Array2<f64>, means: &Array2<f64>, loadings: &Array2<f64>, variance: f64) -> f64 {
    let genes = x.nrows();
    let mut covariance = product(loadings, &loadings.t());
    (0..genes).for_each(|g| covariance[(g, g)] += variance);
    let log_determinant: f64 = spectrum(&covariance).values.iter().map(|v| v.ln()).sum();
    let factor = Cholesky::new(covariance).unwrap();
    let mut left = x - means;
    let centred = left.clone();
    factor.solve_in_place(&mut left);
    let square: f64 = left.iter().zip(centred.iter()).map(|(a, b)| a * b).sum();
    -0.5 * (x.ncols() as f64 * (genes as f64 * (2.0 * std::f64::consts::PI).ln() + log_determinant)
        + square)
}

#[test]
fn the_closed_form_is_the_gaussian_maximum() {
    let x = gaussian(12, 80);
    let (of_cells, of_genes) = (ones(80), zeros((12, 0)));
    let values = Values::new(Matrix::Dense(x.view()), &[1.0; 12], &of_cells, &of_genes);
    let found = unmonitored(|m| closed_form(&values, (&of_cells, &of_genes), 3, 1, m)).unwrap();
    let means = product(&found.of_cells, &of_cells.t());
    let value = density(&x, &means, &found.loadings, found.variance);
    assert!((value - found.log_likelihood).abs() < 1e-8 * value.abs());
    // no small move of the parameters does better
    for step in [0.99, 1.01] {
        assert!(density(&x, &means, &found.loadings, found.variance * step) < value);
        let loadings = found.loadings.mapv(|v| v * step);
        assert!(density(&x, &means, &loadings, found.variance) < value);
    }
    // eigenvalues by the whole decomposition
    let centred = &x - &means;
    let whole = spectrum(&product(&centred, &centred.t()));
    for k in 0..3 {
        let own: f64 = found.loadings.col(k).iter().map(|v| v * v).sum::<f64>() + found.variance;
        assert!((own - whole.values[k] / 80.0).abs() < 1e-9 * own);
    }
}

fn holes(x: &Array2<f64>) -> Array2<f64> {
    let mut rng = stream(5, Purpose::Splits, 0);
    from_fn(x.dim(), |g, i| if rng.random::<f64>() < 0.15 { f64::NAN } else { x[(g, i)] })
}

fn rough(genes: usize) -> Model {
    let mut rng = stream(9, Purpose::Start, 0);
    Model {
        loadings: from_fn((genes, 3), |_, _| normal(&mut rng)),
        of_cells: zeros((genes, 1)),
        variance: 1.0,
    }
}

#[test]
fn expectation_maximisation_reaches_the_closed_form() {
    let x = gaussian(12, 80);
    let of_cells = ones(80);
    // one covariate of genes, whose coefficients have a flat prior
    for columns in [0, 1] {
        let of_genes = from_fn((12, columns), |g, _| (g as f64 * 0.7).sin() / 2.5);
        let values = Values::new(Matrix::Dense(x.view()), &[1.0; 12], &of_cells, &of_genes);
        let closed =
            unmonitored(|m| closed_form(&values, (&of_cells, &of_genes), 3, 1, m)).unwrap();
        let basis = unalloy_core::latent::values::orthonormal(&of_genes);
        let observed = Observed { x: x.view(), of_cells: of_cells.view(), of_genes: basis.view() };
        let stop = ppca_em::Stop { max_iter: 5000, tolerance: 1e-15 };
        let found = unmonitored(|m| observed.fit(rough(12), stop, m)).unwrap();
        for pair in found.trace.windows(2) {
            assert!(pair[1] >= pair[0] - 1e-9 * pair[0].abs());
        }
        let last = *found.trace.last().unwrap();
        assert!(
            (last - closed.log_likelihood).abs() < 1e-8 * last.abs(),
            "{last} {}",
            closed.log_likelihood
        );
        assert!((found.model.variance - closed.variance).abs() < 1e-5);
        for (a, b) in found.model.loadings.iter().zip(closed.loadings.iter()) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
    }
}

#[test]
fn missing_values_keep_the_likelihood_rising_and_that_of_what_is_observed() {
    let whole = gaussian(12, 80);
    let x = holes(&whole);
    let (of_cells, of_genes) = (ones(80), zeros((12, 0)));
    let observed = Observed { x: x.view(), of_cells: of_cells.view(), of_genes: of_genes.view() };
    let stop = ppca_em::Stop { max_iter: 300, tolerance: 1e-12 };
    let found = unmonitored(|m| observed.fit(rough(12), stop, m)).unwrap();
    for pair in found.trace.windows(2) {
        assert!(pair[1] >= pair[0] - 1e-9 * pair[0].abs());
    }
    // each cell's density over the genes that it has
    let model = &found.model;
    let mut sum = 0.0;
    for cell in 0..80 {
        let seen: Vec<usize> = (0..12).filter(|&g| !x[(g, cell)].is_nan()).collect();
        let part = |m: &Array2<f64>, j: usize| from_fn((seen.len(), 1), |g, _| m[(seen[g], j)]);
        let loadings = from_fn((seen.len(), 3), |g, k| model.loadings[(seen[g], k)]);
        sum += density(&part(&x, cell), &part(&model.of_cells, 0), &loadings, model.variance);
    }
    assert!((sum - found.trace.last().unwrap()).abs() < 1e-6 * sum.abs());
    // held-out values are predicted far better than by their gene's mean
    let fitted = product(&model.loadings, &found.scores.t());
    let (mut factors, mut means) = (0.0, 0.0);
    for cell in 0..80 {
        for g in (0..12).filter(|&g| x[(g, cell)].is_nan()) {
            let left = whole[(g, cell)] - model.of_cells[(g, 0)];
            factors += (left - fitted[(g, cell)]).powi(2);
            means += left.powi(2);
        }
    }
    assert!(factors < 0.3 * means, "{factors} {means}");
}

#[test]
fn sparse_and_dense_values_have_the_same_components() {
    let mut rng = stream(11, Purpose::Cells, 0);
    let x = from_fn(
        (15, 60),
        |_, _| if rng.random::<f64>() < 0.6 { 0.0 } else { normal(&mut rng).abs() },
    );
    let mut built = unalloy_core::matrix::CscBuf::new(15);
    for cell in 0..60 {
        (0..15).filter(|&g| x[(g, cell)] != 0.0).for_each(|g| built.push(g, x[(g, cell)]));
        built.end_column().unwrap();
    }
    let (of_cells, of_genes) = (ones(60), zeros((15, 0)));
    let by = |x: Matrix<'_>| {
        let values = Values::new(x, &[2.0; 15], &of_cells, &of_genes);
        unmonitored(|m| closed_form(&values, (&of_cells, &of_genes), 2, 1, m)).unwrap()
    };
    let (dense, sparse) = (by(Matrix::Dense(x.view())), by(Matrix::Sparse(built.view())));
    assert!(
        (dense.log_likelihood - sparse.log_likelihood).abs() < 1e-9 * dense.log_likelihood.abs()
    );
    for (a, b) in dense.scores.iter().zip(sparse.scores.iter()) {
        assert!((a - b).abs() < 1e-8);
    }
}
