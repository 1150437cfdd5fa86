//! Sparse module activity factorisation (Cleary et al. 2017): modules U ≥ 0
//! with the least L1 norm under a bound on each gene's error, activities W by
//! orthogonal matching pursuit, alternately.

use super::coding::{dead, Coding};
use super::{DictionaryParams, Draft};
use crate::base::convergence::Stop;
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::over_blocks;
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::{add_scaled, squared_norm};
use crate::matrix::linalg::product;
use crate::matrix::{column, turned, zeros, Array2, ArrayView2, Columns, Csc, CscBuf};
use crate::sensing::pursuit::{Gram, LassoPath, Target};
use rand::Rng;
use std::ops::Range;

/// Genes whose rows of U are found together.
const GENE_BLOCK: usize = 16;

#[derive(Clone, Debug)]
pub struct SmafParams {
    pub max_iter: usize,
    /// Change of the objective, relative, below which the fit ends once the
    /// entropy rules are content.
    pub tolerance: f64,
    /// Bound ε on the squared error of a gene, per unit of the mean sum of squares
    /// of a gene around its mean: ‖x_g − Wᵀu‖² ≤ ε ‖X − X̄‖² / genes.
    pub error_bound: f64,
    /// The pursuit uses fewer modules, but not fewer than this, while it leaves
    /// less than ε of ‖X − X̄‖².
    pub min_sparsity: usize,
    /// Mean effective number of genes of a module, and of modules of a sample,
    /// below which ε is halved.
    pub module_lower: f64,
    pub activity_lower: f64,
}

impl Default for SmafParams {
    fn default() -> Self {
        SmafParams {
            max_iter: 10,
            tolerance: 1e-3,
            error_bound: 0.1,
            min_sparsity: 5,
            module_lower: 0.0,
            activity_lower: 0.0,
        }
    }
}

/// How the fit ended, beside its modules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub error_bound: f64,
    pub sparsity: usize,
    pub module_size: f64,
    pub activity_size: f64,
    /// Genes whose bound no non-negative modules can meet; they get least
    /// squares.
    pub genes_beyond_bound: usize,
}

pub fn learn(
    coding: &Coding<'_>,
    params: &DictionaryParams,
    own: &SmafParams,
) -> Result<Draft, CoreError> {
    check(own)?;
    let mut bound = own.error_bound;
    let samples = coding.profiles.ncols();
    let spread = spread_around_means(coding.profiles);
    let (mut trace, mut replaced, mut stop) = (Vec::<f64>::new(), 0, Stop::MaxIterations);
    let mut state: Option<(Array2<f64>, CscBuf)> = None;
    let mut outcome = None;
    for iteration in 0..own.max_iter {
        let (gram, correlations) = match &state {
            None => from_random(coding, params),
            Some((_, codes)) => from_codes(coding, codes.view()),
        };
        let (mut atoms, beyond) = modules(coding, &gram, &correlations, bound * spread)?;
        let sparsity = choose_sparsity(coding, atoms.view(), params.sparsity, own, bound * spread)?;
        let mut codes = coding.code(atoms.view(), sparsity, None)?;
        let unused = dead(atoms.view(), codes.view());
        let given = coding.replace(&mut atoms, &unused, codes.view(), true);
        if given > 0 {
            replaced += given;
            codes = coding.code(atoms.view(), sparsity, None)?;
        }
        let objective = coding.residuals(atoms.view(), codes.view()).1;
        let found = Outcome {
            error_bound: bound,
            sparsity,
            module_size: mean_effective_size((0..atoms.ncols()).map(|j| atoms.col(j))),
            activity_size: mean_effective_size((0..samples).map(|i| codes.view().column(i).1)),
            genes_beyond_bound: beyond,
        };
        let last = trace.last().copied();
        trace.push(objective);
        state = Some((atoms, codes));
        outcome = Some(found);
        coding.monitor.advance(1);
        let too_sparse =
            found.module_size < own.module_lower || found.activity_size < own.activity_lower;
        let settled = last.is_some_and(|last| (last - objective).abs() <= own.tolerance * last);
        if settled && !too_sparse {
            stop = Stop::Converged;
            break;
        }
        if too_sparse && iteration + 1 < own.max_iter {
            bound /= 2.0;
        }
    }
    let (atoms, _) = state.expect("there is at least one iteration");
    Ok(Draft { atoms, codes: None, trace, stop, replaced, nonnegative: true, smaf: outcome })
}

fn check(own: &SmafParams) -> Result<(), CoreError> {
    check_value("max_iter", own.max_iter as f64, "at least 1", |v| v >= 1.0)?;
    check_value("min_sparsity", own.min_sparsity as f64, "at least 1", |v| v >= 1.0)?;
    check_value("error_bound", own.error_bound, "between 0 and 1", |v| v > 0.0 && v < 1.0)?;
    for (name, value) in [
        ("tolerance", own.tolerance),
        ("module_lower", own.module_lower),
        ("activity_lower", own.activity_lower),
    ] {
        check_value(name, value, "non-negative", |v| v >= 0.0 && v.is_finite())?;
    }
    Ok(())
}

/// ‖X − X̄‖², X̄ having the mean of each gene.
fn spread_around_means(x: ArrayView2<'_, f64>) -> f64 {
    let (genes, samples) = x.dim();
    let mut mean = vec![0.0; genes];
    (0..samples).for_each(|j| add_scaled(&mut mean, 1.0 / samples as f64, column(x, j)));
    let own = |j: usize| column(x, j).iter().zip(&mean).map(|(v, m)| (v - m).powi(2)).sum::<f64>();
    (0..samples).map(own).sum()
}

/// W Wᵀ and W Xᵀ for activities drawn uniformly from (0, 1).
fn from_random(coding: &Coding<'_>, params: &DictionaryParams) -> (Gram, Array2<f64>) {
    let x = coding.profiles;
    let mut transposed = zeros((x.ncols(), params.size));
    for atom in 0..params.size {
        let mut rng = stream(params.seed, Purpose::Dictionary, atom);
        transposed.col_mut(atom).iter_mut().for_each(|w| *w = rng.random());
    }
    (Gram::of(transposed.view()), product(&transposed.t(), &x.t()))
}

/// W Wᵀ and W Xᵀ for sparse activities.
fn from_codes(coding: &Coding<'_>, codes: Csc<'_>) -> (Gram, Array2<f64>) {
    let (genes, size) = (coding.profiles.nrows(), codes.n_rows());
    let mut products = vec![0.0; size * size];
    let mut pulls = zeros((genes, size));
    for sample in 0..codes.n_columns() {
        for (j, v) in codes.entries(sample) {
            add_scaled(pulls.col_mut(j), v, column(coding.profiles, sample));
            for (i, u) in codes.entries(sample) {
                products[j * size + i] += u * v;
            }
        }
    }
    (Gram::from_products(size, products), turned(pulls.view(), |pull| pull))
}

/// The rows of U, with columns scaled to unit norm; and for how many genes the
/// bound is out of reach.
fn modules(
    coding: &Coding<'_>,
    gram: &Gram,
    correlations: &Array2<f64>,
    bound: f64,
) -> Result<(Array2<f64>, usize), CoreError> {
    let x = coding.profiles;
    let (genes, size) = (x.nrows(), gram.size());
    let most = bound / genes as f64;
    let mut norms = vec![0.0; genes];
    for sample in 0..x.ncols() {
        norms.iter_mut().zip(column(x, sample)).for_each(|(sum, v)| *sum += v * v);
    }
    // activities of modules in genes, and for how many the bound is out of reach
    let rows = |range: Range<usize>| {
        let mut path = LassoPath::new(gram, true);
        let mut rows = Vec::with_capacity(range.len());
        let mut beyond = 0;
        for gene in range {
            path.run(correlations.col(gene), norms[gene], Target::Residual(most));
            rows.push((path.atoms.clone(), path.values.clone()));
            beyond += usize::from(!path.met);
        }
        Ok((rows, beyond))
    };
    let mut atoms = zeros((genes, size));
    let mut genes_beyond = 0;
    over_blocks(genes, GENE_BLOCK, coding.monitor, rows, |range, (rows, beyond)| {
        genes_beyond += beyond;
        for (gene, (chosen, values)) in range.zip(rows) {
            chosen.iter().zip(values).for_each(|(&j, value)| atoms[(gene, j)] = value);
        }
    })?;
    for j in 0..size {
        let atom = atoms.col_mut(j);
        let norm = squared_norm(atom).sqrt();
        if norm > 0.0 {
            atom.iter_mut().for_each(|v| *v /= norm);
        }
    }
    Ok((atoms, genes_beyond))
}

/// Published rule: from `most` modules per sample downwards while W leaves no
/// more than `bound`; the first number that leaves more, or the last above
/// `min_sparsity`.
fn choose_sparsity(
    coding: &Coding<'_>,
    atoms: ArrayView2<'_, f64>,
    most: usize,
    own: &SmafParams,
    bound: f64,
) -> Result<usize, CoreError> {
    let most = most.min(atoms.ncols());
    let left = coding.left_by_sparsity(atoms, most)?;
    let mut sparsity = most;
    while left[sparsity - 1] <= bound && sparsity > own.min_sparsity + 1 {
        sparsity -= 1;
    }
    Ok(sparsity)
}

/// Mean of exp(entropy) of the absolute values of vectors, scaled to sum 1: how
/// many entries count.  A vector of zeros has size 0.
fn mean_effective_size<'a>(vectors: impl ExactSizeIterator<Item = &'a [f64]>) -> f64 {
    let n = vectors.len() as f64;
    let size = |vector: &[f64]| {
        let total: f64 = vector.iter().map(|v| v.abs()).sum();
        let term =
            |v: &f64| if *v == 0.0 { 0.0 } else { (v.abs() / total) * (v.abs() / total).ln() };
        if total > 0.0 {
            (-vector.iter().map(term).sum::<f64>()).exp()
        } else {
            0.0
        }
    };
    vectors.map(size).sum::<f64>() / n
}
