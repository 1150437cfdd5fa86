//! Dictionaries of gene modules, learned from whole profiles X ≈ U W.

mod coding;
mod ksvd;
mod smaf;
mod snmf;
mod svd;

use super::codes::restricted;
use crate::base::convergence::Stop;
use crate::base::error::{check_value, CoreError};
use crate::base::parallel::{with_threads, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::squared_norm;
use crate::matrix::{column, from_fn, Array2, ArrayView2, CscBuf};
use coding::Coding;
use rand::seq::SliceRandom;

pub use ksvd::KsvdParams;
pub use smaf::SmafParams;
pub use snmf::SnmfParams;

#[derive(Clone, Debug)]
pub enum Method {
    /// Left singular vectors of X, as many as the dictionary has.
    Svd,
    /// Left singular vectors, no more than a sample may use.
    SvdK,
    Ksvd(KsvdParams),
    Smaf(SmafParams),
    Snmf(SnmfParams),
}

crate::base::error::named!(Method, "method",
    "svd" => Method::Svd,
    "svd_k" => Method::SvdK,
    "ksvd" => Method::Ksvd(KsvdParams::default()),
    "smaf" => Method::Smaf(SmafParams::default()),
    "snmf" => Method::Snmf(SnmfParams::default()),
);

/// Settings of [`learn`].
#[derive(Clone, Debug)]
pub struct DictionaryParams {
    pub method: Method,
    /// Modules.
    pub size: usize,
    /// Modules that a sample may use.
    pub sparsity: usize,
    pub held_out: HeldOut,
    pub seed: u64,
    pub threads: usize,
}

/// Samples that modules do not see, to measure what these leave of others than
/// their training samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeldOut {
    /// Samples of a fold.
    pub samples: usize,
    /// Folds, each with modules of its own; with none, training samples tell.
    pub folds: usize,
}

/// A dictionary and how it was found.
pub struct Dictionary {
    /// Genes × modules, columns of unit norm.
    pub atoms: Array2<f64>,
    /// Activities of the training samples, by orthogonal matching pursuit.
    /// Modules × samples.
    pub codes: CscBuf,
    /// Variance of each gene around U w, over held-out samples if there are folds,
    /// else over the training samples.
    pub residual_variance: Vec<f64>,
    /// ‖X − U W‖² / ‖X‖² with these activities.
    pub residual: f64,
    /// The same quantity after each iteration, with the method's own W; sparse NMF
    /// adds its penalties.
    pub trace: Vec<f64>,
    pub stop: Stop,
    /// Modules without use that were given another start.
    pub replaced: usize,
    /// Modules for which no use was found.
    pub dropped: usize,
    /// SMAF: the error bound, sparsity, and mean effective sizes of a module
    /// and of a sample's activities at the end.
    pub smaf: Option<smaf::Outcome>,
}

/// What a method hands over to be finished.
struct Draft {
    atoms: Array2<f64>,
    /// Activities to be kept where a pursuit finds worse ones.
    codes: Option<CscBuf>,
    trace: Vec<f64>,
    stop: Stop,
    replaced: usize,
    /// Must modules stay so when they are replaced?
    nonnegative: bool,
    smaf: Option<smaf::Outcome>,
}

/// Learns a dictionary from profiles, genes × samples.
///
/// # Errors
/// `Argument` for settings out of range, `Threads`, `Interrupted`.
pub fn learn(
    profiles: ArrayView2<'_, f64>,
    params: &DictionaryParams,
    monitor: &Monitor<'_>,
) -> Result<Dictionary, CoreError> {
    let samples = profiles.ncols() as f64;
    check_value("size", params.size as f64, "from 1 to the number of samples", |v| {
        v >= 1.0 && v <= samples
    })?;
    check_value("sparsity", params.sparsity as f64, "at least 1", |v| v >= 1.0)?;
    // no sample can use more modules than there are
    let params = &DictionaryParams { sparsity: params.sparsity.min(params.size), ..params.clone() };
    let HeldOut { samples: held, folds } = params.held_out;
    check_value("folds", (held * folds) as f64, "at most the samples, one kept", |v| {
        v <= samples && (held as f64) < samples
    })?;
    with_threads(params.threads, || {
        let mut found = train(profiles, params, monitor)?;
        if held * folds > 0 {
            found.residual_variance = held_out_variance(profiles, params, monitor)?;
        }
        Ok(found)
    })?
}

fn train(
    profiles: ArrayView2<'_, f64>,
    params: &DictionaryParams,
    monitor: &Monitor<'_>,
) -> Result<Dictionary, CoreError> {
    let coding = Coding::new(profiles, monitor);
    check_value("profiles", coding.norm, "finite, and not all zero", |v| v > 0.0 && v.is_finite())?;
    let draft = match &params.method {
        Method::Svd => svd::learn(&coding, params.size)?,
        Method::SvdK => svd::learn(&coding, params.size.min(params.sparsity))?,
        Method::Ksvd(own) => ksvd::learn(&coding, params, own)?,
        Method::Smaf(own) => smaf::learn(&coding, params, own)?,
        Method::Snmf(own) => snmf::learn(&coding, params, own)?,
    };
    finish(&coding, params, draft)
}

/// Mean over folds of the variance of each gene of samples around modules that
/// were learned without them.
fn held_out_variance(
    profiles: ArrayView2<'_, f64>,
    params: &DictionaryParams,
    monitor: &Monitor<'_>,
) -> Result<Vec<f64>, CoreError> {
    let HeldOut { samples, folds } = params.held_out;
    let mut order: Vec<usize> = (0..profiles.ncols()).collect();
    order.shuffle(&mut stream(params.seed, Purpose::HeldOut, 0));
    let chosen = |columns: &[usize]| {
        from_fn((profiles.nrows(), columns.len()), |g, j| profiles[(g, columns[j])])
    };
    let mut variance = vec![0.0; profiles.nrows()];
    for fold in 0..folds {
        let at = fold * samples..(fold + 1) * samples;
        let rest = [&order[..at.start], &order[at.end..]].concat();
        let own = DictionaryParams { size: params.size.min(rest.len()), ..params.clone() };
        let modules = train(chosen(&rest).view(), &own, monitor)?.atoms;
        let unseen = chosen(&order[at]);
        let coding = Coding::new(unseen.view(), monitor);
        let codes = coding.code(modules.view(), params.sparsity, None)?;
        let (of_fold, _) = coding.residuals(modules.view(), codes.view());
        variance.iter_mut().zip(&of_fold).for_each(|(sum, v)| *sum += v / folds as f64);
    }
    Ok(variance)
}

fn norm2(matrix: ArrayView2<'_, f64>, j: usize) -> f64 {
    squared_norm(column(matrix, j))
}

/// Codes the training samples, sees that every module is of use, and measures
/// what is left of each gene.
fn finish(
    coding: &Coding<'_>,
    params: &DictionaryParams,
    draft: Draft,
) -> Result<Dictionary, CoreError> {
    let Draft { mut atoms, codes, trace, stop, mut replaced, nonnegative, smaf } = draft;
    let found = stop == Stop::Direct;
    let mut codes = coding.code(atoms.view(), params.sparsity, codes.as_ref().map(CscBuf::view))?;
    // Singular vectors are as they are; other modules must be used.
    for _ in 0..if found { 0 } else { REPAIRS } {
        let dead = coding::dead(atoms.view(), codes.view());
        let given = coding.replace(&mut atoms, &dead, codes.view(), nonnegative);
        if given == 0 {
            break;
        }
        replaced += given;
        codes = coding.code(atoms.view(), params.sparsity, None)?;
    }
    let before = atoms.ncols();
    if !found {
        drop_dead(&mut atoms, &mut codes)?;
    }
    let (residual_variance, residual) = coding.residuals(atoms.view(), codes.view());
    Ok(Dictionary {
        dropped: before - atoms.ncols(),
        atoms,
        codes,
        residual_variance,
        residual,
        trace,
        stop,
        replaced,
        smaf,
    })
}

/// Rounds in which modules without use get another start at the end.
const REPAIRS: usize = 3;

fn drop_dead(atoms: &mut Array2<f64>, codes: &mut CscBuf) -> Result<(), CoreError> {
    let dead = coding::dead(atoms.view(), codes.view());
    if !dead.is_empty() {
        let kept: Vec<usize> = (0..atoms.ncols()).filter(|j| !dead.contains(j)).collect();
        *atoms = from_fn((atoms.nrows(), kept.len()), |i, j| atoms[(i, kept[j])]);
        *codes = restricted(codes.view(), &kept)?;
    }
    Ok(())
}
