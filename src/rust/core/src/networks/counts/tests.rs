use super::*;
use crate::base::parallel::with_threads;
use crate::matrix::{from_fn, CscBuf};
use crate::networks::differences::check_function;

const FAMILIES: [Family; 3] = [Family::Poisson, Family::NegativeBinomial, Family::ZeroInflated];

fn stored<T: Scalar>(x: &Array2<f64>) -> CscBuf<T> {
    let mut out = CscBuf::new(x.nrows());
    for j in 0..x.ncols() {
        let entries = x.col(j).iter().enumerate().filter(|(_, v)| **v > 0.0);
        out.push_column(entries.map(|(i, v)| (i, T::of(*v)))).unwrap();
    }
    out
}

/// Losses of cells, and the gradients of half their sum by logits, odds and r.
fn run<T: Scalar>(
    family: Family,
    x: &Array2<f64>,
    log_size: &[f64],
    logits: &Array2<T>,
    odds: &Array2<T>,
    r: &Array2<T>,
) -> (Vec<f64>, [Array2<T>; 3]) {
    let counts = stored::<T>(x);
    let group: Vec<usize> = (0..x.ncols()).map(|j| j % r.ncols()).collect();
    let (mut logits, mut odds, mut slope) = (logits.clone(), odds.clone(), r.clone());
    let mut losses = vec![0.0; x.ncols()];
    CountLoss::new(family, x.nrows()).evaluate(
        Cells { counts: counts.view(), log_size, group: &group },
        Outputs { logits: &mut logits, odds: Some(&mut odds) },
        r,
        Some((&mut slope, 0.5)),
        &mut losses,
    );
    (losses, [logits, odds, slope])
}

fn example() -> (Array2<f64>, Vec<f64>, [Array2<f64>; 3]) {
    let x = from_fn((7, 18), |i, j| match (i * 5 + j * 3) % 7 {
        0 | 1 | 3 => 0.0,
        k => (k * k * (1 + j % 3)) as f64,
    });
    let log_size = (0..18).map(|j| (x.column(j).sum() + 1.0).ln()).collect();
    let wave = |scale: f64| from_fn((7, 18), move |i, j| scale * ((i * 3 + j) as f64 * 0.8).sin());
    (x, log_size, [wave(1.5), wave(2.0), from_fn((7, 2), |i, k| 0.3 * i as f64 - 0.5 - k as f64)])
}

#[test]
fn gradients_are_differences() {
    let (x, size, [logits, odds, r]) = example();
    for family in FAMILIES {
        let half =
            |(losses, slopes): (Vec<f64>, [Array2<f64>; 3]), k: usize, d: &mut Array2<f64>| {
                d.assign(&slopes[k]);
                0.5 * losses.iter().sum::<f64>()
            };
        check_function(&logits, 1e-6, |v, d| half(run(family, &x, &size, v, &odds, &r), 0, d));
        if family == Family::ZeroInflated {
            check_function(&odds, 1e-6, |v, d| half(run(family, &x, &size, &logits, v, &r), 1, d));
        }
        if family != Family::Poisson {
            check_function(&r, 1e-6, |v, d| half(run(family, &x, &size, &logits, &odds, v), 2, d));
            let common = from_fn((1, 1), |_, _| 0.4);
            check_function(&common, 1e-6, |v, d| {
                half(run(family, &x, &size, &logits, &odds, v), 2, d)
            });
        }
    }
}

/// ln Γ(y + θ) − ln Γ(θ) − ln y! as a sum of logarithms.
fn log_choose(y: f64, theta: f64) -> f64 {
    (0..y as usize).map(|j| ((theta + j as f64) / (1.0 + j as f64)).ln()).sum()
}

fn log_nb(y: f64, mu: f64, theta: f64) -> f64 {
    log_choose(y, theta) - theta * (mu / theta).ln_1p() - y * (theta / mu).ln_1p()
}

/// The loss of gene 0, in a cell whose other gene has count 0 and next to no mean.
fn entry(family: Family, y: f64, mu: f64, r: f64, a: f64) -> f64 {
    let x = from_fn((2, 1), |i, _| if i == 0 { y } else { 0.0 });
    let logits = from_fn((2, 1), |i, _| if i == 0 { 0f32 } else { -87.0 });
    let odds = from_fn((2, 1), |i, _| if i == 0 { a as f32 } else { -87.0 });
    let r = from_fn((2, 1), |i, _| if i == 0 { r as f32 } else { 8.0 });
    run(family, &x, &[mu.ln()], &logits, &odds, &r).0[0]
}

#[test]
fn losses_are_those_of_the_distributions_in_single_precision() {
    for y in [0.0, 1.0, 2.0, 15.0, 16.0, 300.0, 1e5] {
        for mu in [1e-8, 1e-3, 1.0, 40.0, 1e6] {
            for r in [-6.0f64, -1.0, 0.0, 3.0, 8.0] {
                let theta = r.exp();
                let exact = -log_nb(y, mu, theta);
                // θ is e^r in single precision; sums of some thousand lose a digit
                let near = |found: f64, exact: f64| {
                    assert!(
                        (found - exact).abs() <= 1e-5 * exact.abs().max(1e-12),
                        "{y} {mu} {r}: {found} is not {exact}"
                    );
                };
                near(entry(Family::NegativeBinomial, y, mu, r, 0.0), exact);
                for a in [-20.0f64, -1.0, 2.0] {
                    let pi = 1.0 / (1.0 + (-a).exp());
                    let mixed = if y > 0.0 {
                        exact + (a.exp()).ln_1p()
                    } else {
                        -(pi * (exact.exp() - 1.0)).ln_1p() + exact
                    };
                    if mixed.is_finite() {
                        // near 1 the mixture is a difference of numbers of size π
                        let found = entry(Family::ZeroInflated, y, mu, r, a);
                        let size = mixed.abs().max(0.1 * pi).max(1e-12);
                        assert!((found - mixed).abs() <= 1e-5 * size, "{y} {mu} {r} {a}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_limits_are_the_simpler_models() {
    let (x, size, [logits, odds, r]) = example();
    let (poisson, by_poisson) = run(Family::Poisson, &x, &size, &logits, &odds, &r);
    let (nb, _) = run(Family::NegativeBinomial, &x, &size, &logits, &odds, &r);
    let none = odds.map(|_| -40.0);
    let (zinb, _) = run(Family::ZeroInflated, &x, &size, &logits, &none, &r);
    let exact: f64 = {
        let mean = |j: usize, i: usize| {
            let total: f64 = logits.column(j).iter().map(|v| v.exp()).sum();
            size[j].exp() * logits[(i, j)].exp() / total
        };
        let term = |j: usize, i: usize| {
            let mu = mean(j, i);
            mu - x[(i, j)] * mu.ln() + log_factorial(x[(i, j)])
        };
        (0..7).map(|i| term(4, i)).sum()
    };
    assert!((poisson[4] - exact).abs() < 1e-10);
    assert!(nb.iter().zip(&zinb).all(|(a, b)| (a - b).abs() < 1e-12));
    // at the largest dispersion the rest of the negative binomial is of size (x − μ)²/2θ
    let large = r.map(|_| 7.999_999);
    let (nb, by_nb) = run(Family::NegativeBinomial, &x, &size, &logits, &odds, &large);
    for (j, (a, b)) in poisson.iter().zip(&nb).enumerate() {
        let spread: f64 = x.column(j).iter().map(|v| (v + size[j].exp()).powi(2)).sum();
        assert!((a - b).abs() < 2.0 * spread / 2981.0, "{a} {b}");
    }
    // and its slopes are (x − μ) μ/θ away, in sums that weigh them by shares
    for (j, size) in size.iter().enumerate() {
        let most = (2.0 * size).exp() / 2981.0;
        let (a, b) = (by_poisson[0].col(j), by_nb[0].col(j));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < most));
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let (x, size, arrays) = example();
    let [logits, odds, r] = arrays.map(|array| array.map(|v| *v as f32));
    for family in FAMILIES {
        let on =
            |threads| with_threads(threads, || run(family, &x, &size, &logits, &odds, &r)).unwrap();
        let one = on(1);
        assert!(one == on(2) && one == on(3));
    }
}
