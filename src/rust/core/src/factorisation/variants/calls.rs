//! Genotype calls from reads, and how sure they are.

use crate::base::error::{check_length, CoreError};
use crate::base::parallel::Monitor;
use crate::matrix::{CscBuf, Matrix};

/// Certainty of a call as a function of the reads that cover it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallWeight {
    /// 1 for a heterozygous call, ½ for a homozygous one.
    Constant,
    /// 1 for a heterozygous call, 1 − 2^−n for a homozygous one from n reads.
    Coverage,
    /// 1 for every call.
    Binary,
}

crate::base::error::named!(CallWeight, "weights",
    "constant" => CallWeight::Constant,
    "coverage" => CallWeight::Coverage,
    "binary" => CallWeight::Binary,
);

/// Calls of the entries with enough reads, variants × cells, and their weights.
#[derive(Clone, Debug)]
pub struct Calls {
    pub calls: CscBuf,
    /// One per call, in their order.
    pub weights: Vec<f64>,
}

/// Genotype calls: ½ where both alleles are seen, 1 where only the alternative
/// is, 0 otherwise; an allele is seen with `min_allele` reads of it.  Entries
/// with fewer than `min_coverage` reads in all have no call.
///
/// # Errors
/// `Shape` when the two matrices do not belong together, `Argument` for more calls
/// than a sparse matrix holds.
pub fn call_genotypes(
    reference: Matrix<'_>,
    alternative: Matrix<'_>,
    (min_coverage, min_allele): (f64, f64),
    weight: CallWeight,
    monitor: &Monitor<'_>,
) -> Result<Calls, CoreError> {
    let (n_rows, n_columns) = reference.shape();
    check_length("alt", n_rows, alternative.shape().0)?;
    check_length("alt", n_columns, alternative.shape().1)?;
    let mut out = Calls { calls: CscBuf::new(n_rows), weights: Vec::new() };
    let (mut own, mut other) = (vec![0.0; n_rows], vec![0.0; n_rows]);
    for j in 0..n_columns {
        monitor.check()?;
        reference.column_into(j, &mut own);
        alternative.column_into(j, &mut other);
        for (i, (&own, &other)) in own.iter().zip(&other).enumerate() {
            let coverage = own + other;
            if coverage < min_coverage || coverage <= 0.0 {
                continue;
            }
            let call = match (own >= min_allele, other >= min_allele) {
                (true, true) => 0.5,
                (false, true) => 1.0,
                _ => 0.0,
            };
            out.calls.push(i, call);
            out.weights.push(match weight {
                _ if call == 0.5 => 1.0,
                CallWeight::Constant => 0.5,
                CallWeight::Coverage => 1.0 - 0.5f64.powf(coverage),
                CallWeight::Binary => 1.0,
            });
        }
        out.calls.end_column()?;
    }
    Ok(out)
}
