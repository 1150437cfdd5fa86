//! Weighted factorisation against plain sums, closed forms and itself.

use rand::Rng;
use rand_chacha::{rand_core::SeedableRng, ChaCha8Rng};
use unalloy_core::base::convergence::Stop;
use unalloy_core::base::parallel::{unmonitored, with_threads};
use unalloy_core::factorisation::penalty::{Constraint, Penalty};
use unalloy_core::factorisation::weighted::*;
use unalloy_core::factorisation::{Outcome, Pair, Rules, Side, Weights};
use unalloy_core::matrix::linalg::{norm, svd, Svd};
use unalloy_core::matrix::{from_fn, zeros, Array2, Columns, CscBuf, Matrix};
use unalloy_core::nnls::solve_nonnegative;

fn random(n_rows: usize, n_columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    from_fn((n_rows, n_columns), |_, _| rng.random::<f64>())
}

fn product(w: &Array2<f64>, h: &Array2<f64>) -> Array2<f64> {
    from_fn((w.nrows(), h.ncols()), |i, j| {
        (0..w.ncols()).map(|r| w[(i, r)] * h[(r, j)]).sum::<f64>()
    })
}

/// The objective by its definition.
fn objective(x: &Array2<f64>, omega: &Array2<f64>, fit: &Found, settings: &Settings) -> f64 {
    let fitted = product(&fit.basis, &fit.coef);
    let mut sum = 0.0;
    for j in 0..x.ncols() {
        for i in (0..x.nrows()).filter(|&i| omega[(i, j)] > 0.0) {
            sum += 0.5 * omega[(i, j)] * (x[(i, j)] - fitted[(i, j)]).powi(2);
        }
    }
    let penalty = |c: &Constraint, y: Vec<f64>| {
        let r = &c.penalty;
        let (s, q) = (y.iter().sum::<f64>(), y.iter().map(|v| v * v).sum::<f64>());
        r.l1 * s + 0.5 * r.l2 * q + 0.5 * r.angle * (s * s - q)
    };
    let rank = fit.basis.ncols();
    for i in 0..x.nrows() {
        sum += penalty(&settings.basis, (0..rank).map(|r| fit.basis[(i, r)]).collect());
    }
    for j in 0..x.ncols() {
        sum += penalty(&settings.coef, (0..rank).map(|r| fit.coef[(r, j)]).collect());
    }
    sum
}

/// How a test factorises.
#[derive(Clone)]
struct Settings {
    basis: Constraint,
    coef: Constraint,
    known: usize,
    max_iter: usize,
    tolerance: f64,
    extrapolate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let (basis, coef) = (Constraint::default(), Constraint::default());
        let (max_iter, tolerance) = (1000, 1e-10);
        Settings { basis, coef, known: 0, max_iter, tolerance, extrapolate: true }
    }
}

struct Found {
    basis: Array2<f64>,
    coef: Array2<f64>,
    trace: Vec<f64>,
    outcome: Outcome,
}

fn fit(data: WeightedMatrix, rank: usize, settings: &Settings) -> Found {
    run(data, rank, None, settings)
}

fn from_start(
    data: WeightedMatrix,
    w: &Array2<f64>,
    h: &Array2<f64>,
    settings: &Settings,
) -> Found {
    let lines = |x: &Array2<f64>| x.t().iter().copied().collect();
    let factors = [lines(&w.t().to_owned()), lines(h)];
    run(data, w.ncols(), Some(Pair { rank: w.ncols(), factors }), settings)
}

fn run(data: WeightedMatrix, rank: usize, start: Option<Pair>, settings: &Settings) -> Found {
    let Settings { mut basis, coef, known, max_iter, tolerance, extrapolate } = settings.clone();
    if known > 0 {
        basis.fixed = (0..rank).map(|r| r < known).collect();
    }
    let model = WeightedModel::new(data, rank, [basis, coef]).unwrap();
    let rules = Rules { max_iter, tolerance, extrapolate, unchanged: None, every: 1 };
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    let start = start.unwrap_or_else(|| random_start(&model, &mut rng));
    let outcome = unmonitored(|m| factorise_weighted(&model, start, &rules, m)).unwrap();
    let (w, h) = (outcome.pair.side(Side::Basis), outcome.pair.side(Side::Coef));
    Found {
        basis: from_fn((w.len() / rank, rank), |i, r| w[i * rank + r]),
        coef: from_fn((rank, h.len() / rank), |r, j| h[j * rank + r]),
        trace: outcome.trace.iter().map(|&(_, objective)| objective).collect(),
        outcome,
    }
}

fn dense<'a>(x: &'a Array2<f64>) -> Matrix<'a> {
    Matrix::Dense(x.view())
}

/// Compressed columns of the entries that are not 0.
fn compressed(x: &Array2<f64>) -> CscBuf {
    let mut out = CscBuf::new(x.nrows());
    for j in 0..x.ncols() {
        let stored = x.col(j).iter().enumerate().filter(|(_, &v)| v != 0.0);
        stored.for_each(|(i, &v)| out.push(i, v));
        out.end_column().unwrap();
    }
    out
}

/// A 0/1 mask with the given share of zeros, and one column and one row that
/// have few entries left.
fn mask(n_rows: usize, n_columns: usize, missing: f64, seed: u64) -> Array2<f64> {
    let draws = random(n_rows, n_columns, seed);
    from_fn((n_rows, n_columns), |i, j| {
        let share = if i == 3 || j == 5 { 0.8 } else { missing };
        f64::from(u8::from(draws[(i, j)] >= share))
    })
}

fn below(upper: f64) -> Constraint {
    Constraint { upper, ..Constraint::default() }
}

fn penalised() -> Constraint {
    let penalty = Penalty { l1: 0.05, l2: 0.1, angle: 0.02, ..Penalty::default() };
    Constraint { penalty, ..below(0.9) }
}

#[test]
fn the_objective_is_the_stated_sum_never_rises_and_ends_at_a_stationary_point() {
    let (x, omega) = (random(30, 40, 1), random(30, 40, 2));
    for (basis, coef) in [
        (Constraint::default(), Constraint::default()),
        (below(1.0), penalised()),
        (penalised(), below(0.3)),
    ] {
        for extrapolate in [true, false] {
            let data = WeightedMatrix::new(dense(&x), Weights::Entries(dense(&omega))).unwrap();
            let settings = Settings {
                basis: basis.clone(),
                coef: coef.clone(),
                extrapolate,
                max_iter: 20_000,
                tolerance: 1e-13,
                ..Settings::default()
            };
            let fit = fit(data, 4, &settings);
            let own = objective(&x, &omega, &fit, &settings);
            let found = fit.outcome.objective;
            assert!((found - own).abs() < 1e-11 * own, "{found} {own}");
            // but by rounding in the sums of products
            assert!(fit.trace.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)));
            // the objective is flat to 1e-13, its gradient to the square root of that
            assert!(fit.outcome.kkt <= 1e-5, "{}", fit.outcome.kkt);
            assert_eq!(fit.outcome.stop, Stop::Converged);
            for (factor, constraint) in [(&fit.basis, &basis), (&fit.coef, &coef)] {
                for value in factor {
                    assert!((0.0..=constraint.upper).contains(value));
                }
            }
        }
    }
}

#[test]
fn missing_and_weightless_entries_give_the_same_bits() {
    for missing in [0.02, 0.3, 0.7] {
        let (x, omega) = (random(25, 31, 3), mask(25, 31, missing, 4));
        let holes =
            from_fn((25, 31), |i, j| if omega[(i, j)] > 0.0 { x[(i, j)] } else { f64::NAN });
        let masked = WeightedMatrix::new(dense(&x), Weights::Entries(dense(&omega))).unwrap();
        let missing = WeightedMatrix::new(dense(&holes), Weights::Equal).unwrap();
        let settings = Settings { max_iter: 60, ..Default::default() };
        let (a, b) = (fit(masked, 3, &settings), fit(missing, 3, &settings));
        assert_eq!((&a.basis, &a.coef, &a.trace), (&b.basis, &b.coef, &b.trace));
    }
}

#[test]
fn layouts_of_data_and_weights_agree() {
    // X is half zeros, so that a sparse X stores half of it.
    let x = random(28, 33, 5);
    let x = from_fn((28, 33), |i, j| if x[(i, j)] < 0.5 { 0.0 } else { x[(i, j)] });
    let sparse_x = compressed(&x);
    let (a, b) = (random(28, 1, 6), random(33, 1, 7));
    let outer = from_fn((28, 33), |i, j| a[(i, 0)] * b[(j, 0)]);
    let (w, h) = (random(28, 4, 8), random(4, 33, 25));
    let few = mask(28, 33, 0.1, 9);
    let cases: Vec<Array2<f64>> = vec![
        from_fn((28, 33), |_, _| 1.0),
        outer,
        few.clone(),
        mask(28, 33, 0.8, 10),
        from_fn((28, 33), |i, j| few[(i, j)] * (1.0 + x[(i, j)])),
    ];
    for (case, omega) in cases.iter().enumerate() {
        let sparse_omega = compressed(omega);
        let reference = by_definition(&x, omega, &w);
        let listed = Weights::Entries(Matrix::Sparse(sparse_omega.view()));
        let mut weights = vec![listed, Weights::Entries(dense(omega))];
        match case {
            0 => weights.push(Weights::Equal),
            1 => weights.push(Weights::Outer { features: a.col(0), samples: b.col(0) }),
            _ => {}
        }
        let layouts = weights.iter().flat_map(|&weights| {
            [(dense(&x), weights), (Matrix::Sparse(sparse_x.view()), weights)]
        });
        let settings = Settings { max_iter: 5, ..Default::default() };
        // with W known the columns of H are what is left
        let known = Settings { known: 4, max_iter: 200, tolerance: 0.0, ..Default::default() };
        let mut first: Option<Array2<f64>> = None;
        for (x, weights) in layouts {
            let data = || WeightedMatrix::new(x, weights).unwrap();
            let coef = from_start(data(), &w, &h, &known).coef;
            // the reference solves to 1e-9, ill-conditioned columns included
            assert!(distance(&coef, &reference) < 1e-7, "case {case}");
            // five half-steps repeat rounding errors, no more
            let fit = fit(data(), 4, &settings);
            let first = first.get_or_insert_with(|| fit.basis.clone());
            assert!(distance(&fit.basis, first) < 1e-9, "case {case}");
        }
    }
}

/// Column by column with the active-set solver.
fn by_definition(x: &Array2<f64>, omega: &Array2<f64>, w: &Array2<f64>) -> Array2<f64> {
    let rank = w.ncols();
    let mut out = zeros((rank, x.ncols()));
    for j in 0..x.ncols() {
        let sum = |f: &dyn Fn(usize) -> f64| (0..x.nrows()).map(|i| omega[(i, j)] * f(i)).sum();
        let mut gram = vec![0.0; rank * rank];
        let mut right: Vec<f64> = vec![0.0; rank];
        for r in 0..rank {
            right[r] = sum(&|i| x[(i, j)] * w[(i, r)]);
            for s in 0..rank {
                gram[r * rank + s] = sum(&|i| w[(i, s)] * w[(i, r)]);
            }
        }
        solve_nonnegative(&gram, &right, 0.0, out.col_mut(j));
    }
    out
}

fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    (0..a.ncols())
        .flat_map(|j| (0..a.nrows()).map(move |i| (i, j)))
        .map(|at| (a[at] - b[at]).abs())
        .fold(0.0, f64::max)
}

#[test]
fn planted_factors_with_a_third_missing_are_found_again() {
    // Zeros in both factors make the factorisation essentially unique.
    let sparse = |n_rows, n_columns, seed| {
        let draw = random(n_rows, n_columns, seed);
        from_fn((n_rows, n_columns), |i, j| (draw[(i, j)] - 0.5).max(0.0))
    };
    let (w, h) = (sparse(60, 3, 11), sparse(3, 70, 12));
    let (x, omega) = (product(&w, &h), mask(60, 70, 0.33, 13));
    let data = WeightedMatrix::new(dense(&x), Weights::Entries(dense(&omega))).unwrap();
    let settings = Settings { max_iter: 5000, tolerance: 1e-9, ..Default::default() };
    let fit = fit(data, 3, &settings);
    let relative = distance(&product(&fit.basis, &fit.coef), &x);
    // held-out entries too
    assert!(relative < 1e-4, "{relative}");
    for r in 0..3 {
        let cosine = |s: usize| {
            let (a, b) = (w.col(r), fit.basis.col(s));
            let dot: f64 = a.iter().zip(b.iter()).map(|(a, b)| a * b).sum();
            dot / (norm(a) * norm(b))
        };
        assert!((0..3).map(cosine).fold(0.0, f64::max) > 0.9999);
    }
}

#[test]
fn one_component_without_weights_is_the_leading_singular_pair() {
    let x = random(20, 15, 14);
    let data = WeightedMatrix::new(dense(&x), Weights::Equal).unwrap();
    let settings = Settings { tolerance: 1e-15, ..Default::default() };
    let fit = fit(data, 1, &settings);
    let Svd { left, values, right } = svd(&x).unwrap();
    let fitted = product(&fit.basis, &fit.coef);
    let pair = from_fn((20, 15), |i, j| values[0] * left[(i, 0)] * right[(j, 0)]);
    assert!(distance(&fitted, &pair) < 1e-8);
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let (x, omega) = (random(150, 300, 15), random(150, 300, 16));
    let settings = Settings { max_iter: 15, ..Default::default() };
    let run = |threads| {
        let data = WeightedMatrix::new(dense(&x), Weights::Entries(dense(&omega))).unwrap();
        with_threads(threads, || fit(data, 5, &settings)).unwrap()
    };
    let (one, three) = (run(1), run(3));
    assert_eq!((one.basis, one.coef, one.trace), (three.basis, three.coef, three.trace));
}

#[test]
fn known_columns_stay_and_help_the_others() {
    let (w, h) = (random(40, 3, 17), random(3, 50, 18));
    let x = product(&w, &h);
    let data = WeightedMatrix::new(dense(&x), Weights::Equal).unwrap();
    let start = from_fn((40, 3), |i, r| if r < 2 { w[(i, r)] } else { 0.5 });
    let squares = data.sum_of_squares();
    let settings = Settings { known: 2, ..Default::default() };
    let fit = from_start(data, &start, &random(3, 50, 19), &settings);
    for r in 0..2 {
        assert_eq!(fit.basis.col(r), w.col(r));
    }
    assert!(fit.outcome.objective < 1e-6 * squares, "{}", fit.outcome.objective);
}

#[test]
fn empty_lines_stay_in_place_and_vanished_components_start_anew() {
    let x = random(12, 14, 20);
    let holes = from_fn((12, 14), |i, j| if i == 2 || j == 7 { f64::NAN } else { x[(i, j)] });
    let data = WeightedMatrix::new(dense(&holes), Weights::Equal).unwrap();
    let mut start = random(12, 3, 21);
    (0..12).for_each(|i| start[(i, 1)] = 0.0);
    let fit = from_start(data, &start, &random(3, 14, 22), &Settings::default());
    assert!((0..3).all(|r| fit.basis[(2, r)] == 0.0 && fit.coef[(r, 7)] == 0.0));
    assert!(fit.outcome.dead == 0 && fit.outcome.objective.is_finite());
    assert!(fit.trace.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)));
    // X of rank one has nothing for a second component.
    let one = from_fn((6, 5), |i, j| ((i + 1) * (j + 1)) as f64);
    let data = WeightedMatrix::new(dense(&one), Weights::Equal).unwrap();
    let start = from_fn((6, 2), |i, r| if r == 0 { (i + 1) as f64 } else { 0.0 });
    let squares = data.sum_of_squares();
    let fit = from_start(data, &start, &random(2, 5, 23), &Settings::default());
    assert!(fit.outcome.objective < 1e-12 * squares);
    assert!((0..2).all(|r| fit.basis.col(r).iter().all(|v| v.is_finite())));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let x = random(4, 5, 24);
    let refused = |x: &Array2<f64>, weights: Weights<'_>| {
        WeightedMatrix::new(dense(x), weights).err().unwrap().to_string()
    };
    let negative = from_fn((4, 5), |i, j| if (i, j) == (1, 2) { -2.0 } else { 1.0 });
    assert_eq!(
        refused(&x, Weights::Entries(dense(&negative))),
        "`weights` must be finite and non-negative, not -2"
    );
    assert_eq!(
        refused(&x, Weights::Entries(dense(&random(4, 6, 1)))),
        "`weights` has 6 entries, not 5"
    );
    assert_eq!(
        refused(&x, Weights::Outer { features: &[0.0; 4], samples: &[1.0; 5] }),
        "`weights` must be above 0 somewhere, not 0"
    );
    let infinite = from_fn((4, 5), |_, _| f64::INFINITY);
    assert_eq!(refused(&infinite, Weights::Equal), "`x` must be finite, not inf");
    let data = WeightedMatrix::new(dense(&x), Weights::Equal).unwrap();
    let constraints = [Constraint::default(), Constraint::default()];
    let model = WeightedModel::new(data, 2, constraints).unwrap();
    let rules = Rules { max_iter: 5, tolerance: 0.0, extrapolate: true, unchanged: None, every: 1 };
    let refused = |start: Pair| {
        unmonitored(|m| factorise_weighted(&model, start, &rules, m)).unwrap_err().to_string()
    };
    let start = Pair { rank: 2, factors: [vec![1.0; 8], vec![1.0; 15]] };
    assert_eq!(refused(start), "`coef` has 15 entries, not 10");
    let start = Pair { rank: 2, factors: [vec![-1.0; 8], vec![1.0; 10]] };
    assert_eq!(refused(start), "`start` must be finite and non-negative, not -1");
}
