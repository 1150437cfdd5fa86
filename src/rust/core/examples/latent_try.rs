use std::time::Instant;
use unalloy_core::base::parallel::{unmonitored, with_threads};
use unalloy_core::latent::{choose::*, counts::Counts, counts_model::*, counts_newton::*, predictor::*};
use unalloy_core::matrix::{from_fn, zeros, Csc, Matrix};

fn read(path: &str) -> Counts {
    let bytes = std::fs::read(path).unwrap();
    let int = |k: usize| i32::from_le_bytes(bytes[4 * k..4 * k + 4].try_into().unwrap());
    let (g, n, nnz) = (int(0) as usize, int(1) as usize, int(2) as usize);
    let p: Vec<i32> = (0..n + 1).map(|k| int(3 + k)).collect();
    let i: Vec<i32> = (0..nnz).map(|k| int(3 + n + 1 + k)).collect();
    let base = 4 * (3 + n + 1 + nnz);
    let x: Vec<f64> = (0..nnz)
        .map(|k| f64::from_le_bytes(bytes[base + 8 * k..base + 8 * k + 8].try_into().unwrap()))
        .collect();
    Counts::new(Matrix::Sparse(Csc::new(g, &p, &i, &x).unwrap())).unwrap()
}
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    s.split_whitespace().nth(13).unwrap().parse::<f64>().unwrap() / 100.0
}
fn cov(c: &Counts, zinb: bool) -> Covariates {
    let (n, g) = (c.count(Side::Cells), c.count(Side::Genes));
    let offset = if zinb { vec![0.0; n] } else { c.totals(Side::Cells).iter().map(|v| v.ln()).collect() };
    Covariates { offset, of_cells: from_fn((n, 1), |_, _| 1.0), of_genes: if zinb { from_fn((g, 1), |_, _| 1.0) } else { zeros((g, 0)) } }
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let counts = read(&format!("/tmp/work/latent-data/{}_train.bin", args[1]));
    let rank: usize = args[2].parse().unwrap();
    let lambda: f64 = args[3].parse().unwrap();
    let rounds: usize = args[4].parse().unwrap();
    let threads: usize = args[5].parse().unwrap();
    let family: Family = args[6].parse().unwrap();
    let zi = family == Family::ZeroInflated;
    let settings = Settings { family, rank, penalty: lambda, covariate_penalty: 1.0, dispersions: Dispersions::Trend, stop: Stop { max_rounds: rounds, tolerance: 1e-6 }, seed: 1 };
    println!("noise {} nnz {}", noise_level(&counts), counts.by(Side::Cells).n_stored());
    let c = cov(&counts, zi);
    let (t, u) = (Instant::now(), cpu());
    if lambda == 0.0 {
        let unit = noise_level(&counts);
        let pens = [0.0125, 0.025, 0.05, 0.1, 0.2, 0.4].iter().map(|k| k * unit).collect();
        let s = with_threads(threads, || unmonitored(|mo| choose(&counts, &c, &settings, &Candidates { ranks: vec![rank], penalties: pens }, mo))).unwrap().unwrap();
        for s in s { println!("{} {:.3} {:.5} {:.5}", s.rank, s.penalty, s.value, s.error); }
        println!("choose {:?} cpu {}", t.elapsed(), cpu() - u);
        return;
    }
    let f = with_threads(threads, || unmonitored(|mo| fit(&counts, &c, &settings, mo))).unwrap().unwrap();
    println!("fit {:?} cpu {}", t.elapsed(), cpu() - u);
    for (k, v) in f.trace.iter().enumerate().filter(|(k, _)| k % 5 == 0 || *k + 1 == f.trace.len()) { println!("{k} {v:.2}"); }
    println!("ll {} {}", f.log_likelihood, f.converged);
    if args.len() > 7 { return; }
    let test = read(&format!("/tmp/work/latent-data/{}_test.bin", args[1]));
    let [a, b] = thinned(&test, 0.8, 5).unwrap();
    let u = cpu();
    let st = with_threads(threads, || unmonitored(|mo| project(&a, &cov(&a, zi), &settings, &f.state, Stop { max_rounds: 50, tolerance: 1e-9 }, mo))).unwrap().unwrap();
    println!("held-out {:.4} project cpu {}", unmonitored(|mo| held_out(&st, &b, mo)).unwrap(), cpu() - u);
}
