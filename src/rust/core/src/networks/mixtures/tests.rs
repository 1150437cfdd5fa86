use super::*;
use crate::base::parallel::{unmonitored, with_threads};
use crate::matrix::{from_fn, owned_columns};

/// Three types of 20 cells, each with genes of its own, among two donors and two states;
/// 12 genes, the last three of which the network does not read.
fn counts() -> Array2<f64> {
    from_fn((12, 60), |g, c| {
        let own = if g % 3 == c / 20 { 20.0 } else { 2.0 };
        own + ((g * 7 + c * 5) % 4) as f64
    })
}

const PLACE: [i32; 12] = [8, 0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1];

fn settings() -> Settings {
    Settings {
        n_types: 3,
        n_cells: 200,
        concentration: 1.0,
        platform_sd: 0.7,
        depth: None,
        seed: 3,
    }
}

fn cells(counts: &Array2<f64>, settings: Settings, states: &[usize]) -> Cells {
    let entries = counts.as_slice_memory_order().unwrap();
    let matrix = Matrix::dense(entries, counts.dim()).unwrap();
    let types: Vec<usize> = (0..60).map(|c| c / 20).collect();
    let donors: Vec<usize> = (0..60).map(|c| c % 2).collect();
    let labels = Labels { types: &types, donors: &donors, states };
    let total: Vec<f64> = (0..60).map(|c| counts.column(c).sum()).collect();
    let weight: Vec<f64> = total.iter().map(|t| 100.0 / t).collect();
    unmonitored(|m| Cells::new(matrix, &PLACE, &weight, &total, labels, settings, m)).unwrap()
}

#[test]
fn without_platform_and_noise_a_mixture_is_the_sum_of_its_types() {
    let counts = counts();
    let cells = cells(&counts, Settings { platform_sd: 0.0, ..settings() }, &[]);
    let mut out = Mixtures::default();
    cells.mix(1, 0..40, true, &mut out);
    for j in 0..40 {
        let shares = out.shares.column(j);
        assert!((shares.sum() - 1.0).abs() < 1e-6 && shares.iter().all(|&s| s >= 0.0));
        for g in 0..9 {
            // every cell has the same total, so that shares of cells are those of mRNA
            let sum: f32 = (0..3).map(|k| shares[k] * out.levels[(k * 9 + g, j)]).sum();
            let bulk = out.bulk[(g, j)];
            assert!((sum / bulk - 1.0).abs() < 1e-5, "{sum} {bulk}");
        }
    }
    // half of the types are left out of about half of the mixtures
    let sparse = (0..40).filter(|&j| out.shares.column(j).iter().any(|&s| s == 0.0)).count();
    assert!((10..30).contains(&sparse), "{sparse}");
}

#[test]
fn the_total_is_taken_over_all_genes() {
    let counts = counts();
    let cells = cells(&counts, Settings { platform_sd: 0.0, ..settings() }, &[]);
    let mut out = Mixtures::default();
    cells.mix(1, 0..1, true, &mut out);
    // the levels of the first type: the network's genes over all twelve
    let k = (0..3).find(|&k| out.shares[(k, 0)] > 0.0).unwrap();
    let level: f32 = (0..9).map(|g| out.levels[(k * 9 + g, 0)]).sum();
    let column = counts.column(k * 20);
    let read: f64 = (0..9).map(|g| column[g]).sum();
    // genes differ by at most three counts between cells of a type
    assert!((f64::from(level) / (1e6 * read / column.sum()) - 1.0).abs() < 0.1);
}

#[test]
fn mixtures_are_named_by_their_number_whatever_the_threads() {
    let counts = counts();
    let run = |threads, numbers: Range<usize>| {
        with_threads(threads, || {
            let mut out = Mixtures::default();
            cells(&counts, settings(), &[]).mix(5, numbers, true, &mut out);
            out
        })
        .unwrap()
    };
    let one = run(1, 0..20);
    let three = run(3, 0..20);
    assert!(one.bulk == three.bulk && one.shares == three.shares && one.levels == three.levels);
    let later = run(2, 7..9);
    assert_eq!(later.bulk.column(0), one.bulk.column(7));
    assert_ne!(one.bulk.column(0), one.bulk.column(1));
}

/// One type alone, 3,000 cells a mixture: what differs between mixtures is platform and reads.
fn single(counts: &Array2<f64>, platform_sd: f64, depth: Option<f64>) -> Mixtures {
    let matrix = Matrix::dense(counts.as_slice_memory_order().unwrap(), counts.dim()).unwrap();
    let labels = Labels { types: &[0; 60], donors: &[], states: &[] };
    let settings = Settings { n_types: 1, n_cells: 3000, platform_sd, depth, ..settings() };
    let ones = [1.0; 60];
    let made = |m: &Monitor<'_>| Cells::new(matrix, &PLACE, &ones, &ones, labels, settings, m);
    let mut out = Mixtures::default();
    unmonitored(made).unwrap().mix(1, 0..400, false, &mut out);
    out
}

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64
}

#[test]
fn the_platform_has_the_spread_that_was_asked_for() {
    let out = single(&counts(), 0.7, None);
    let log = |j: usize| f64::from(out.bulk[(0, j)] / out.bulk[(1, j)]).ln();
    let found = variance(&(0..400).map(log).collect::<Vec<_>>());
    // two genes, each with a factor of its own and one of gene and type; five standard errors
    // of a variance, of which drawing cells is a hundredth
    let expected = 2.0 * 0.49 * (1.0 + OF_TYPE * OF_TYPE);
    assert!((found / expected - 1.0).abs() < 5.0 * (2.0f64 / 400.0).sqrt(), "{found}");
}

#[test]
fn reads_vary_as_counts_of_the_depth() {
    let (counts, depth) = (counts(), 500.0);
    let out = single(&counts, 0.0, Some(depth));
    let share = counts.row(1).sum() / counts.sum();
    let of = |j: usize| f64::from(out.bulk[(0, j)]) / 1e6;
    let found = variance(&(0..400).map(of).collect::<Vec<_>>());
    let expected = share * (1.0 - share) / depth;
    // drawing cells adds a tenth at most
    assert!((found / expected - 1.0).abs() < 5.0 * (2.0f64 / 400.0).sqrt() + 0.1, "{found}");
}

#[test]
fn states_have_shares_of_their_own_in_every_type() {
    // cells of the second state have gene 0 ten times as high
    let mut counts = counts();
    let states: Vec<usize> = (0..60).map(|c| (c / 2) % 2).collect();
    for c in 0..60 {
        if states[c] == 1 {
            counts[(1, c)] *= 10.0;
        }
    }
    let settings = || Settings { platform_sd: 0.0, n_cells: 600, ..settings() };
    let spread = |states: &[usize]| {
        let mut out = Mixtures::default();
        cells(&counts, settings(), states).mix(1, 0..60, true, &mut out);
        let level = |k: usize| -> Vec<f64> {
            let found = (0..60).filter(|&j| out.shares[(k, j)] > 0.2);
            found.map(|j| f64::from(out.levels[(k * 9, j)])).collect()
        };
        let values = level(1);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| (v / mean - 1.0).powi(2)).sum::<f64>() / values.len() as f64
    };
    assert!(spread(&states) > 5.0 * spread(&[]), "{} {}", spread(&states), spread(&[]));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let x = owned_columns(vec![1.0; 6], (2, 3));
    let matrix = Matrix::dense(x.as_slice_memory_order().unwrap(), (2, 3)).unwrap();
    let make = |place: &[i32], types: &[usize], n_types| {
        let labels = Labels { types, donors: &[], states: &[] };
        let settings = Settings { n_types, ..settings() };
        unmonitored(|m| Cells::new(matrix, place, &[1.0; 3], &[2.0; 3], labels, settings, m))
            .err()
            .map(|e| e.kind())
    };
    assert_eq!(make(&[0, 1], &[0, 1, 1], 2), None);
    assert_eq!(make(&[0, 2], &[0, 1, 1], 2), Some("argument"));
    assert_eq!(make(&[0, 1], &[0, 1], 2), Some("shape"));
    assert_eq!(make(&[0, 1], &[0, 1, 2], 2), Some("argument"));
    // a type without cells
    assert_eq!(make(&[0, 1], &[0, 1, 1], 3), Some("argument"));
}
