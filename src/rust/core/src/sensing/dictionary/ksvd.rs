//! K-SVD (Aharon, Elad and Bruckstein 2006): orthogonal matching pursuit of
//! all samples, then each atom with its activities becomes the leading singular
//! pair of what the other atoms leave of the samples that use it.

use super::coding::{dead, Coding};
use super::{DictionaryParams, Draft};
use crate::base::convergence::Stop;
use crate::base::error::{check_value, CoreError};
use crate::base::rng::{stream, Purpose};
use crate::base::simd::vectors::{add_scaled, dot, squared_norm};
use crate::matrix::linalg::product;
use crate::matrix::{column, zeros, Array2, Columns, CscBuf};
use rand::seq::SliceRandom;

/// Two atoms with a larger cosine than this are one.
const TWINS: f64 = 0.99;
/// Power iterations per atom and round; they start from the atom as it was.
const POWER_ITERATIONS: usize = 20;
const POWER_TOLERANCE: f64 = 1e-12;

#[derive(Clone, Debug)]
pub struct KsvdParams {
    pub max_iter: usize,
    /// Relative decrease of the objective below which the fit ends.
    pub tolerance: f64,
    /// Fits from different random samples, of which the best is kept: the
    /// objective has many local minima.
    pub starts: usize,
}

impl Default for KsvdParams {
    fn default() -> Self {
        KsvdParams { max_iter: 50, tolerance: 1e-3, starts: 1 }
    }
}

pub fn learn(
    coding: &Coding<'_>,
    params: &DictionaryParams,
    own: &KsvdParams,
) -> Result<Draft, CoreError> {
    check_value("max_iter", own.max_iter as f64, "at least 1", |v| v >= 1.0)?;
    check_value("tolerance", own.tolerance, "non-negative", |v| v >= 0.0)?;
    check_value("starts", own.starts as f64, "at least 1", |v| v >= 1.0)?;
    let mut best: Option<(f64, Draft)> = None;
    for index in 0..own.starts {
        let (objective, draft) = fit(coding, params, own, index)?;
        if best.as_ref().is_none_or(|(least, _)| objective < *least) {
            best = Some((objective, draft));
        }
    }
    Ok(best.expect("there is at least one start").1)
}

fn fit(
    coding: &Coding<'_>,
    params: &DictionaryParams,
    own: &KsvdParams,
    index: usize,
) -> Result<(f64, Draft), CoreError> {
    let mut atoms = start(coding, params, index);
    let mut codes: Option<CscBuf> = None;
    let mut best: Option<(f64, Array2<f64>, CscBuf)> = None;
    let (mut trace, mut replaced, mut stop) = (Vec::new(), 0, Stop::MaxIterations);
    for _ in 0..own.max_iter {
        let mut coded =
            coding.code(atoms.view(), params.sparsity, codes.as_ref().map(CscBuf::view))?;
        let mut residual = coding.residual_matrix(atoms.view(), coded.view());
        update_atoms(&mut atoms, &mut coded, &mut residual, coding)?;
        let left = (0..residual.ncols()).map(|j| squared_norm(residual.col(j)));
        let objective = left.sum::<f64>() / coding.norm;
        let last = trace.last().copied();
        trace.push(objective);
        coding.monitor.advance(1);
        if best.as_ref().is_none_or(|(least, ..)| objective < *least) {
            best = Some((objective, atoms.clone(), coded.clone()));
        }
        let twins = drop_twins(&atoms, &mut coded);
        let unused = dead(atoms.view(), coded.view());
        replaced += coding.replace(&mut atoms, &unused, coded.view(), false);
        codes = Some(coded);
        let settled =
            last.is_some_and(|last: f64| (last - objective).abs() <= own.tolerance * last);
        if (settled && twins == 0) || objective == 0.0 {
            stop = Stop::Converged;
            break;
        }
    }
    let (objective, atoms, codes) = best.expect("there is at least one iteration");
    let draft =
        Draft { atoms, codes: Some(codes), trace, stop, replaced, nonnegative: false, smaf: None };
    Ok((objective, draft))
}

/// The mean direction, then what is left of randomly chosen samples without it:
/// expression profiles are so alike that whole samples would be one atom.
fn start(coding: &Coding<'_>, params: &DictionaryParams, index: usize) -> Array2<f64> {
    let x = coding.profiles;
    let (genes, samples) = x.dim();
    let mut mean = vec![0.0; genes];
    (0..samples).for_each(|j| add_scaled(&mut mean, 1.0, column(x, j)));
    scale_to_unit(&mut mean);
    let mut order: Vec<usize> = (0..samples).collect();
    order.shuffle(&mut stream(params.seed, Purpose::Dictionary, index));
    let mut atoms = zeros((genes, params.size));
    atoms.col_mut(0).copy_from_slice(&mean);
    for (j, &sample) in (1..params.size).zip(&order) {
        let atom = atoms.col_mut(j);
        atom.copy_from_slice(column(x, sample));
        let along = dot(atom, &mean);
        add_scaled(atom, -along, &mean);
        scale_to_unit(atom);
    }
    atoms
}

/// A vector that is zero stays zero: it is dead, and replaced.
fn scale_to_unit(vector: &mut [f64]) {
    let norm = squared_norm(vector).sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|v| *v /= norm);
    }
}

/// One sweep over the atoms; `residual` is X − U W before and after.
fn update_atoms(
    atoms: &mut Array2<f64>,
    codes: &mut CscBuf,
    residual: &mut Array2<f64>,
    coding: &Coding<'_>,
) -> Result<(), CoreError> {
    let genes = atoms.nrows();
    // entries of each atom: sample and place in the codes
    let mut users = vec![Vec::new(); atoms.ncols()];
    let chosen = codes.view();
    for sample in 0..chosen.n_columns() {
        for entry in chosen.starts()[sample] as usize..chosen.starts()[sample + 1] as usize {
            users[chosen.rows()[entry] as usize].push((sample, entry));
        }
    }
    let (_, values) = codes.entries_mut();
    let (mut without, mut pull) = (Vec::new(), vec![0.0; genes]);
    for (j, users) in users.iter().enumerate().filter(|(_, users)| !users.is_empty()) {
        coding.monitor.check()?;
        let atom = atoms.col_mut(j);
        without.clear();
        for &(sample, entry) in users {
            let from = without.len();
            without.extend_from_slice(residual.col(sample));
            add_scaled(&mut without[from..], values[entry], atom);
        }
        leading_direction(&without, atom, &mut pull);
        for (&(sample, entry), own) in users.iter().zip(without.chunks_exact(genes)) {
            let value = dot(own, atom);
            values[entry] = value;
            let left = residual.col_mut(sample);
            left.copy_from_slice(own);
            add_scaled(left, -value, atom);
        }
    }
    Ok(())
}

/// Turns `direction` into the leading left singular vector of E, whose columns
/// follow one another, by power iterations on E Eᵀ.
fn leading_direction(e: &[f64], direction: &mut [f64], pull: &mut [f64]) {
    for _ in 0..POWER_ITERATIONS {
        pull.fill(0.0);
        for own in e.chunks_exact(direction.len()) {
            add_scaled(pull, dot(own, direction), own);
        }
        scale_to_unit(pull);
        if pull.iter().all(|&v| v == 0.0) {
            return;
        }
        let change: f64 = pull.iter().zip(direction.iter()).map(|(a, b)| (a - b).powi(2)).sum();
        direction.copy_from_slice(pull);
        if change < POWER_TOLERANCE {
            return;
        }
    }
}

/// Takes the activities from atoms that have a twin of a lower number; returns
/// how many.
fn drop_twins(atoms: &Array2<f64>, codes: &mut CscBuf) -> usize {
    let size = atoms.ncols();
    let cosines = product(&atoms.t(), atoms);
    let mut twin = vec![false; size];
    for j in 0..size {
        twin[j] = (0..j).any(|i| !twin[i] && cosines[(i, j)].abs() > TWINS);
    }
    let (atoms, values) = codes.entries_mut();
    for (value, &atom) in values.iter_mut().zip(atoms) {
        if twin[atom as usize] {
            *value = 0.0;
        }
    }
    twin.iter().filter(|&&t| t).count()
}
