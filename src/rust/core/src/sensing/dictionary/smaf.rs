//! Sparse module activity factorisation (Cleary et al. 2017): modules U ≥ 0
//! with the least L1 norm under a bound on each gene's error, activities W by
//! orthogonal matching pursuit, alternately.

use super::coding::{dead, Coding};
use super::{Draft, Params, Stop};
use crate::base::simd::vectors::{add_scaled, squared_norm};
use crate::error::{check_value, CoreError};
use crate::rng::{stream, Purpose};
use crate::sensing::codes::{column, Codes};
use crate::sensing::pursuit::{Gram, LassoPath, Target};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rand::Rng;
use rayon::prelude::*;

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

pub fn learn(coding: &Coding<'_>, params: &Params, own: &SmafParams) -> Result<Draft, CoreError> {
    check(own)?;
    let mut bound = own.error_bound;
    let spread = spread_around_means(coding.profiles);
    let (mut trace, mut replaced, mut stop) = (Vec::<f64>::new(), 0, Stop::MaxIterations);
    let mut state: Option<(Mat<f64>, Codes)> = None;
    let mut outcome = None;
    for iteration in 0..own.max_iter {
        let (gram, correlations) = match &state {
            None => from_random(coding, params),
            Some((_, codes)) => from_codes(coding, codes, params.size),
        };
        let (mut atoms, beyond) = modules(coding, &gram, &correlations, bound * spread)?;
        let sparsity =
            choose_sparsity(coding, atoms.as_ref(), params.sparsity, own, bound * spread)?;
        let mut codes = coding.code(atoms.as_ref(), sparsity, None)?;
        let unused = dead(atoms.as_ref(), &codes);
        let given = coding.replace(&mut atoms, &unused, &codes, true);
        if given > 0 {
            replaced += given;
            codes = coding.code(atoms.as_ref(), sparsity, None)?;
        }
        let objective = coding.residuals(atoms.as_ref(), &codes).1;
        let found = Outcome {
            error_bound: bound,
            sparsity,
            module_size: mean_effective_size((0..atoms.ncols()).map(|j| column(atoms.as_ref(), j))),
            activity_size: mean_effective_size((0..codes.samples()).map(|i| codes.sample(i).1)),
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
fn spread_around_means(x: MatRef<'_, f64>) -> f64 {
    let (genes, samples) = x.shape();
    let mut mean = vec![0.0; genes];
    (0..samples).for_each(|j| add_scaled(&mut mean, 1.0 / samples as f64, column(x, j)));
    let own = |j: usize| column(x, j).iter().zip(&mean).map(|(v, m)| (v - m).powi(2)).sum::<f64>();
    (0..samples).map(own).sum()
}

/// W Wᵀ and W Xᵀ for activities drawn uniformly from (0, 1).
fn from_random(coding: &Coding<'_>, params: &Params) -> (Gram, Mat<f64>) {
    let x = coding.profiles;
    let mut transposed = Mat::<f64>::zeros(x.ncols(), params.size);
    for atom in 0..params.size {
        let mut rng = stream(params.seed, Purpose::Dictionary, atom);
        transposed.col_as_slice_mut(atom).iter_mut().for_each(|w| *w = rng.random());
    }
    let mut correlations = Mat::zeros(params.size, x.nrows());
    let (left, right) = (transposed.transpose(), x.transpose());
    matmul(correlations.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    (Gram::of(transposed.as_ref()), correlations)
}

/// W Wᵀ and W Xᵀ for sparse activities.
fn from_codes(coding: &Coding<'_>, codes: &Codes, size: usize) -> (Gram, Mat<f64>) {
    let genes = coding.profiles.nrows();
    let mut products = vec![0.0; size * size];
    let mut pulls = Mat::<f64>::zeros(genes, size);
    for sample in 0..codes.samples() {
        let (atoms, values) = codes.sample(sample);
        for (&j, &v) in atoms.iter().zip(values) {
            add_scaled(pulls.col_as_slice_mut(j), v, column(coding.profiles, sample));
            for (&i, &u) in atoms.iter().zip(values) {
                products[j * size + i] += u * v;
            }
        }
    }
    (Gram::from_products(size, products), pulls.transpose().to_owned())
}

/// The rows of U, with columns scaled to unit norm; and for how many genes the
/// bound is out of reach.
fn modules(
    coding: &Coding<'_>,
    gram: &Gram,
    correlations: &Mat<f64>,
    bound: f64,
) -> Result<(Mat<f64>, usize), CoreError> {
    let x = coding.profiles;
    let (genes, size) = (x.nrows(), gram.size());
    let most = bound / genes as f64;
    let mut norms = vec![0.0; genes];
    for sample in 0..x.ncols() {
        norms.iter_mut().zip(column(x, sample)).for_each(|(sum, v)| *sum += v * v);
    }
    let blocks: Vec<usize> = (0..genes).step_by(GENE_BLOCK).collect();
    let parts: Result<Vec<(Codes, usize)>, CoreError> = blocks
        .par_iter()
        .map(|&first| {
            coding.monitor.check()?;
            let count = GENE_BLOCK.min(genes - first);
            let mut path = LassoPath::new(gram, true);
            let mut rows = Codes::with_capacity(count, 0);
            let mut beyond = 0;
            for (k, &norm) in norms[first..first + count].iter().enumerate() {
                path.run(correlations.col_as_slice(first + k), norm, Target::Residual(most));
                rows.push(&path.atoms, &path.values);
                beyond += usize::from(!path.met);
            }
            Ok((rows, beyond))
        })
        .collect();
    let parts = parts?;
    let mut atoms = Mat::<f64>::zeros(genes, size);
    for ((rows, _), &first) in parts.iter().zip(&blocks) {
        for k in 0..rows.samples() {
            let (chosen, values) = rows.sample(k);
            chosen.iter().zip(values).for_each(|(&j, &v)| atoms[(first + k, j)] = v);
        }
    }
    for j in 0..size {
        let atom = atoms.col_as_slice_mut(j);
        let norm = squared_norm(atom).sqrt();
        if norm > 0.0 {
            atom.iter_mut().for_each(|v| *v /= norm);
        }
    }
    Ok((atoms, parts.iter().map(|part| part.1).sum()))
}

/// Published rule: from `most` modules per sample downwards while W leaves no
/// more than `bound`; the first number that leaves more, or the last above
/// `min_sparsity`.
fn choose_sparsity(
    coding: &Coding<'_>,
    atoms: MatRef<'_, f64>,
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
