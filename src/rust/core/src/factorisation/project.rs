//! Coefficients of new samples on a basis that is held fixed: a convex problem
//! per sample, solved exactly.

use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::{with_threads, Monitor};
use crate::deconvolution::{fit, Model, Params};
use crate::matrix::counts::Counts;
use crate::matrix::linalg::product;
use crate::matrix::{from_fn, zeros, Array2, ArrayView2, CscBuf, Matrix};
use crate::nnls::solve_nonnegative;
use rayon::prelude::*;

/// Minimises ½‖x_j − offset − W h_j‖² over h_j ≥ 0 for every column j of `data`.
/// `basis` is features × components; `offset` is empty or has an entry per
/// feature.  Returns components × samples.
///
/// # Errors
/// `Shape`, `Threads`, and `Interrupted` when the monitor says so.
pub fn least_squares(
    basis: ArrayView2<'_, f64>,
    offset: &[f64],
    data: Matrix<'_>,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let (n_features, rank) = basis.dim();
    let n_samples = data.n_columns();
    check_length("data", n_features, data.n_rows())?;
    if !offset.is_empty() {
        check_length("offset", n_features, offset.len())?;
    }
    let gram = product(&basis.t(), &basis).into_raw_vec_and_offset().0;
    // rows of the basis side by side: a column of the data reads only some
    let by_row: Vec<f64> = (0..n_features * rank).map(|at| basis[(at / rank, at % rank)]).collect();
    let row = |i: usize| &by_row[i * rank..(i + 1) * rank];
    let mut constant = vec![0.0; rank];
    for (i, &o) in offset.iter().enumerate() {
        constant.iter_mut().zip(row(i)).for_each(|(c, w)| *c += w * o);
    }
    let columns: Vec<Vec<f64>> = with_threads(threads, || {
        (0..n_samples)
            .into_par_iter()
            .map(|j| {
                monitor.check()?;
                let mut linear: Vec<f64> = constant.iter().map(|c| -c).collect();
                data.for_each(j, |i, x| {
                    linear.iter_mut().zip(row(i)).for_each(|(b, w)| *b += w * x);
                });
                let mut h = vec![0.0; rank];
                solve_nonnegative(&gram, &linear, 0.0, &mut h);
                Ok(h)
            })
            .collect::<Result<_, CoreError>>()
    })??;
    Ok(from_fn((rank, n_samples), |k, j| columns[j][k]))
}

/// Minimises the generalised Kullback-Leibler divergence of W h_j from x_j over
/// h_j ≥ 0 for every column j of `data`: a Poisson model with W as signatures,
/// fitted by Newton's method with a certified bound.  Features that no
/// component has do not count; a sample that is zero in all others has the
/// coefficients zero, and so has a component without features.
///
/// # Errors
/// `Shape`, `Argument`, `Threads`, and `Interrupted` when the monitor says so.
pub fn kullback_leibler(
    basis: ArrayView2<'_, f64>,
    data: Matrix<'_>,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Array2<f64>, CoreError> {
    let ((n_features, rank), n_samples) = (basis.dim(), data.n_columns());
    let mut out = zeros((rank, n_samples));
    let used: Vec<usize> =
        (0..rank).filter(|&k| basis.column(k).iter().any(|&w| w > 0.0)).collect();
    if used.is_empty() || n_samples == 0 {
        return Ok(out);
    }
    let signatures = from_fn((n_features, used.len()), |i, k| basis[(i, used[k])]);
    let ones = vec![1.0; n_features];
    let model = Model::new(signatures.view(), &ones, &ones, used.len())?;
    let data = Counts::new(data, model.row_of_gene(), model.n_rows())?;
    let params = Params { threads, ..Params::default() };
    params.check()?;
    check_value("threads", threads as f64, "at least 1", |t| t >= 1.0)?;
    // Samples without a count that the basis could explain have no optimum to
    // look for; the others are handed over in one go.
    let mut column = vec![0.0; model.n_rows()];
    let mut present = Vec::new();
    let mut kept = CscBuf::new(model.n_rows());
    for j in 0..n_samples {
        data.column_into(j, &mut column);
        if column.iter().all(|&x| x == 0.0) {
            continue;
        }
        let counted = column.iter().enumerate().filter(|(_, &x)| x != 0.0);
        counted.for_each(|(i, &x)| kept.push(i, x));
        kept.end_column()?;
        present.push(j);
    }
    let every: Vec<i32> = (0..model.n_rows() as i32).collect();
    let kept = Counts::new(Matrix::Sparse(kept.view()), &every, model.n_rows())?;
    let fitted = fit(&model, &kept, &params, monitor)?;
    for (&j, sample) in present.iter().zip(&fitted.samples) {
        for (&k, &h) in used.iter().zip(&sample.exposures) {
            out[(k, j)] = h;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::unmonitored;
    use crate::base::rng::{stream, Purpose};
    use rand::Rng;

    fn planted() -> (Array2<f64>, Array2<f64>, Vec<f64>) {
        let mut rng = stream(1, Purpose::Start, 0);
        let basis = from_fn((30, 3), |_, _| rng.random::<f64>());
        let coef = from_fn((3, 4), |k, j| if j == 3 { 0.0 } else { (k + j) as f64 });
        let x = (0..30 * 4)
            .map(|at| (0..3).map(|k| basis[(at % 30, k)] * coef[(k, at / 30)]).sum())
            .collect();
        (basis, coef, x)
    }

    #[test]
    fn planted_coefficients_come_back_under_both_losses() {
        let (basis, coef, x) = planted();
        let data = Matrix::dense(&x, (30, 4)).unwrap();
        let squares = unmonitored(|m| least_squares(basis.view(), &[], data, 2, m)).unwrap();
        let divergence = unmonitored(|m| kullback_leibler(basis.view(), data, 2, m)).unwrap();
        for j in 0..4 {
            for k in 0..3 {
                assert!((squares[(k, j)] - coef[(k, j)]).abs() < 1e-9);
                // the certificate bounds the loss, so half the digits
                assert!((divergence[(k, j)] - coef[(k, j)]).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn an_offset_is_taken_from_the_data() {
        let (basis, coef, mut x) = planted();
        let offset: Vec<f64> = (0..30).map(|i| i as f64 / 10.0).collect();
        x.iter_mut().enumerate().for_each(|(at, v)| *v += offset[at % 30]);
        let data = Matrix::dense(&x, (30, 4)).unwrap();
        let found = unmonitored(|m| least_squares(basis.view(), &offset, data, 1, m)).unwrap();
        assert!((found[(1, 2)] - coef[(1, 2)]).abs() < 1e-9);
    }

    #[test]
    fn a_component_without_features_has_no_part() {
        let (basis, _, x) = planted();
        let data = Matrix::dense(&x, (30, 4)).unwrap();
        let empty = from_fn((30, 3), |i, k| if k == 1 { 0.0 } else { basis[(i, k)] });
        let found = unmonitored(|m| kullback_leibler(empty.view(), data, 1, m)).unwrap();
        assert_eq!(found[(1, 0)], 0.0);
        assert!(found[(0, 1)] > 0.0);
        let none = zeros((30, 2));
        let found = unmonitored(|m| kullback_leibler(none.view(), data, 1, m)).unwrap();
        assert_eq!(found.dim(), (2, 4));
    }
}
