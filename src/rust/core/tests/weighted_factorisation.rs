//! Weighted factorisation against plain sums, closed forms and itself.

use faer::{Mat, MatRef};
use rand::Rng;
use rand_chacha::{rand_core::SeedableRng, ChaCha8Rng};
use unalloy_core::factorisation::weighted::*;
use unalloy_core::factorisation::{Outcome, Pair, Reason, Rules, Side};
use unalloy_core::nnls::solve_nonnegative;
use unalloy_core::parallel::{unmonitored, with_threads};

fn random(n_rows: usize, n_columns: usize, seed: u64) -> Mat<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Mat::from_fn(n_rows, n_columns, |_, _| rng.random::<f64>())
}

fn product(w: &Mat<f64>, h: &Mat<f64>) -> Mat<f64> {
    Mat::from_fn(w.nrows(), h.ncols(), |i, j| {
        (0..w.ncols()).map(|r| w[(i, r)] * h[(r, j)]).sum::<f64>()
    })
}

/// The objective by its definition.
fn objective(x: &Mat<f64>, omega: &Mat<f64>, fit: &Found, settings: &Settings) -> f64 {
    let fitted = product(&fit.basis, &fit.coef);
    let mut sum = 0.0;
    for j in 0..x.ncols() {
        for i in (0..x.nrows()).filter(|&i| omega[(i, j)] > 0.0) {
            sum += 0.5 * omega[(i, j)] * (x[(i, j)] - fitted[(i, j)]).powi(2);
        }
    }
    let penalty = |r: &Restraint, y: Vec<f64>| {
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
#[derive(Clone, Copy)]
struct Settings {
    basis: Restraint,
    coef: Restraint,
    known: usize,
    max_iter: usize,
    tolerance: f64,
    extrapolate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let free = Restraint::default();
        let (max_iter, tolerance) = (1000, 1e-10);
        Settings { basis: free, coef: free, known: 0, max_iter, tolerance, extrapolate: true }
    }
}

struct Found {
    basis: Mat<f64>,
    coef: Mat<f64>,
    trace: Vec<f64>,
    outcome: Outcome,
}

fn fit(data: WeightedMatrix, rank: usize, settings: &Settings) -> Found {
    run(data, rank, None, settings)
}

fn from_start(data: WeightedMatrix, w: &Mat<f64>, h: &Mat<f64>, settings: &Settings) -> Found {
    let lines = |x: MatRef<'_, f64>| -> Vec<f64> {
        (0..x.ncols()).flat_map(|j| (0..x.nrows()).map(move |i| x[(i, j)])).collect()
    };
    let factors = [lines(w.transpose()), lines(h.as_ref())];
    run(data, w.ncols(), Some(Pair { rank: w.ncols(), factors }), settings)
}

fn run(data: WeightedMatrix, rank: usize, start: Option<Pair>, settings: &Settings) -> Found {
    let Settings { basis, coef, known, max_iter, tolerance, extrapolate } = *settings;
    let model = WeightedModel { data, rank, restraints: [basis, coef], known };
    let rules = Rules { max_iter, tolerance, extrapolate, unchanged: None, every: 1 };
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    let start = start.unwrap_or_else(|| random_start(&model, &mut rng));
    let outcome = unmonitored(|m| factorise_weighted(&model, start, &rules, m)).unwrap();
    let (w, h) = (outcome.pair.side(Side::Basis), outcome.pair.side(Side::Coef));
    Found {
        basis: Mat::from_fn(w.len() / rank, rank, |i, r| w[i * rank + r]),
        coef: Mat::from_fn(rank, h.len() / rank, |r, j| h[j * rank + r]),
        trace: outcome.trace.iter().map(|&(_, objective)| objective).collect(),
        outcome,
    }
}

fn dense<'a>(x: &'a Mat<f64>) -> Matrix<'a> {
    Matrix::Dense(x.as_ref())
}

/// Compressed columns of the entries that `keep` accepts.
struct Owned {
    n_rows: usize,
    starts: Vec<i32>,
    rows: Vec<i32>,
    values: Vec<f64>,
}

impl Owned {
    fn new(x: MatRef<'_, f64>, keep: impl Fn(f64) -> bool) -> Self {
        let mut out = Owned { n_rows: x.nrows(), starts: vec![0], rows: vec![], values: vec![] };
        for j in 0..x.ncols() {
            for i in (0..x.nrows()).filter(|&i| keep(x[(i, j)])) {
                out.rows.push(i as i32);
                out.values.push(x[(i, j)]);
            }
            out.starts.push(out.rows.len() as i32);
        }
        out
    }

    fn view(&self) -> Matrix<'_> {
        let Owned { n_rows, starts, rows, values } = self;
        Matrix::Sparse(Csc { n_rows: *n_rows, starts, rows, values })
    }
}

/// A 0/1 mask with the given share of zeros, and one column and one row that
/// have few entries left.
fn mask(n_rows: usize, n_columns: usize, missing: f64, seed: u64) -> Mat<f64> {
    let draws = random(n_rows, n_columns, seed);
    Mat::from_fn(n_rows, n_columns, |i, j| {
        let share = if i == 3 || j == 5 { 0.8 } else { missing };
        f64::from(u8::from(draws[(i, j)] >= share))
    })
}

const PENALISED: Restraint = Restraint { upper: 0.9, l1: 0.05, l2: 0.1, angle: 0.02 };

#[test]
fn the_objective_is_the_stated_sum_never_rises_and_ends_at_a_stationary_point() {
    let (x, omega) = (random(30, 40, 1), random(30, 40, 2));
    for (basis, coef) in [
        (Restraint::default(), Restraint::default()),
        (Restraint { upper: 1.0, ..Restraint::default() }, PENALISED),
        (PENALISED, Restraint { upper: 0.3, ..Restraint::default() }),
    ] {
        for extrapolate in [true, false] {
            let data = WeightedMatrix::new(dense(&x), Weights::Entries(dense(&omega))).unwrap();
            let settings = Settings {
                basis,
                coef,
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
            assert_eq!(fit.outcome.reason, Reason::Tolerance);
            for (factor, restraint) in [(&fit.basis, &basis), (&fit.coef, &coef)] {
                for value in (0..factor.ncols()).flat_map(|j| factor.col(j).iter()) {
                    assert!((0.0..=restraint.upper).contains(value));
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
            Mat::from_fn(25, 31, |i, j| if omega[(i, j)] > 0.0 { x[(i, j)] } else { f64::NAN });
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
    let x = Mat::from_fn(28, 33, |i, j| if x[(i, j)] < 0.5 { 0.0 } else { x[(i, j)] });
    let sparse_x = Owned::new(x.as_ref(), |v| v != 0.0);
    let (a, b) = (random(28, 1, 6), random(33, 1, 7));
    let outer = Mat::from_fn(28, 33, |i, j| a[(i, 0)] * b[(j, 0)]);
    let w = random(28, 4, 8);
    let few = mask(28, 33, 0.1, 9);
    let cases: Vec<Mat<f64>> = vec![
        Mat::from_fn(28, 33, |_, _| 1.0),
        outer,
        few.clone(),
        mask(28, 33, 0.8, 10),
        Mat::from_fn(28, 33, |i, j| few[(i, j)] * (1.0 + x[(i, j)])),
    ];
    for (case, omega) in cases.iter().enumerate() {
        let sparse_omega = Owned::new(omega.as_ref(), |v| v != 0.0);
        let reference = by_definition(&x, omega, &w);
        let listed = |x| WeightedMatrix::new(x, Weights::Entries(sparse_omega.view())).unwrap();
        let given = |x| WeightedMatrix::new(x, Weights::Entries(dense(omega))).unwrap();
        let mut layouts = vec![
            listed(dense(&x)),
            listed(sparse_x.view()),
            given(dense(&x)),
            given(sparse_x.view()),
        ];
        let (rows, columns) = (a.col_as_slice(0), b.col_as_slice(0));
        for x in [dense(&x), sparse_x.view()] {
            match case {
                0 => layouts.push(WeightedMatrix::new(x, Weights::Equal).unwrap()),
                1 => {
                    layouts.push(WeightedMatrix::new(x, Weights::Outer { rows, columns }).unwrap())
                }
                _ => {}
            }
        }
        let settings = Settings { max_iter: 5, ..Default::default() };
        let mut first: Option<Mat<f64>> = None;
        for data in layouts {
            let coef = weighted_coefficients(&data, w.as_ref(), &Restraint::default()).unwrap();
            // the reference solves to 1e-9, ill-conditioned columns included
            assert!(distance(&coef, &reference) < 1e-7, "case {case}");
            // five half-steps repeat rounding errors, no more
            let fit = fit(data, 4, &settings);
            let first = first.get_or_insert_with(|| fit.basis.clone());
            assert!(distance(&fit.basis, first) < 1e-9, "case {case}");
        }
    }
}

/// Column by column with the active-set solver.
fn by_definition(x: &Mat<f64>, omega: &Mat<f64>, w: &Mat<f64>) -> Mat<f64> {
    let rank = w.ncols();
    let mut out = Mat::zeros(rank, x.ncols());
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
        solve_nonnegative(&gram, &right, 0.0, out.col_as_slice_mut(j));
    }
    out
}

fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
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
        Mat::from_fn(n_rows, n_columns, |i, j| (draw[(i, j)] - 0.5).max(0.0))
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
            dot / (a.norm_l2() * b.norm_l2())
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
    let svd = x.thin_svd().unwrap();
    let sigma = svd.S()[0];
    let fitted = product(&fit.basis, &fit.coef);
    let pair = Mat::from_fn(20, 15, |i, j| sigma * svd.U()[(i, 0)] * svd.V()[(j, 0)]);
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
    let start = Mat::from_fn(40, 3, |i, r| if r < 2 { w[(i, r)] } else { 0.5 });
    let squares = data.sum_of_squares();
    let settings = Settings { known: 2, ..Default::default() };
    let fit = from_start(data, &start, &random(3, 50, 19), &settings);
    for r in 0..2 {
        assert_eq!(fit.basis.col_as_slice(r), w.col_as_slice(r));
    }
    assert!(fit.outcome.objective < 1e-6 * squares, "{}", fit.outcome.objective);
}

#[test]
fn empty_lines_stay_in_place_and_vanished_components_start_anew() {
    let x = random(12, 14, 20);
    let holes = Mat::from_fn(12, 14, |i, j| if i == 2 || j == 7 { f64::NAN } else { x[(i, j)] });
    let data = WeightedMatrix::new(dense(&holes), Weights::Equal).unwrap();
    let mut start = random(12, 3, 21);
    (0..12).for_each(|i| start[(i, 1)] = 0.0);
    let fit = from_start(data, &start, &random(3, 14, 22), &Settings::default());
    assert!((0..3).all(|r| fit.basis[(2, r)] == 0.0 && fit.coef[(r, 7)] == 0.0));
    assert!(fit.outcome.dead == 0 && fit.outcome.objective.is_finite());
    assert!(fit.trace.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)));
    // X of rank one has nothing for a second component.
    let one = Mat::from_fn(6, 5, |i, j| ((i + 1) * (j + 1)) as f64);
    let data = WeightedMatrix::new(dense(&one), Weights::Equal).unwrap();
    let start = Mat::from_fn(6, 2, |i, r| if r == 0 { (i + 1) as f64 } else { 0.0 });
    let squares = data.sum_of_squares();
    let fit = from_start(data, &start, &random(2, 5, 23), &Settings::default());
    assert!(fit.outcome.objective < 1e-12 * squares);
    assert!((0..2).all(|r| fit.basis.col(r).iter().all(|v| v.is_finite())));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let x = random(4, 5, 24);
    let refused = |x: &Mat<f64>, weights: Weights<'_>| {
        WeightedMatrix::new(dense(x), weights).err().unwrap().to_string()
    };
    let negative = Mat::from_fn(4, 5, |i, j| if (i, j) == (1, 2) { -2.0 } else { 1.0 });
    assert_eq!(
        refused(&x, Weights::Entries(dense(&negative))),
        "`weights` must be finite and non-negative, not -2"
    );
    assert_eq!(
        refused(&x, Weights::Entries(dense(&random(4, 6, 1)))),
        "`weights` has 6 entries, not 5"
    );
    assert_eq!(
        refused(&x, Weights::Outer { rows: &[0.0; 4], columns: &[1.0; 5] }),
        "`weights` must be above 0 somewhere, not 0"
    );
    let infinite = Mat::from_fn(4, 5, |_, _| f64::INFINITY);
    assert_eq!(refused(&infinite, Weights::Equal), "`x` must be finite, not inf");
    let data = WeightedMatrix::new(dense(&x), Weights::Equal).unwrap();
    let restraints = [Restraint::default(); 2];
    let model = WeightedModel { data, rank: 2, restraints, known: 0 };
    let rules = Rules { max_iter: 5, tolerance: 0.0, extrapolate: true, unchanged: None, every: 1 };
    let refused = |start: Pair| {
        unmonitored(|m| factorise_weighted(&model, start, &rules, m)).unwrap_err().to_string()
    };
    let start = Pair { rank: 2, factors: [vec![1.0; 8], vec![1.0; 15]] };
    assert_eq!(refused(start), "`coef` has 15 entries, not 10");
    let start = Pair { rank: 2, factors: [vec![-1.0; 8], vec![1.0; 10]] };
    assert_eq!(refused(start), "`start` must be finite and non-negative, not -1");
}
