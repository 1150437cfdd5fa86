//! Borrows what R hands over, without copies.

use extendr_api::prelude::*;
use unalloy_core::counts::Counts;
use unalloy_core::matrix::{
    from_columns, from_layers, Array2, Array3, ArrayView2, ArrayView3, Csc, Matrix,
};
use unalloy_core::CoreError;

/// Values of a matrix in column-major order, as R holds them.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    Double(&'a [f64]),
    Integer(&'a [i32]),
    /// The slots of a `dgCMatrix`.
    Sparse {
        starts: &'a [i32],
        rows: &'a [i32],
        values: &'a [f64],
    },
}

impl<'a> Values<'a> {
    pub fn of_shape(self, shape: (usize, usize)) -> std::result::Result<Matrix<'a>, CoreError> {
        match self {
            Values::Double(x) => Matrix::dense(x, shape),
            Values::Integer(x) => Matrix::whole(x, shape),
            Values::Sparse { starts, rows, values } => {
                let sparse = Csc::new(shape.0, starts, rows, values)?;
                match sparse.n_columns() == shape.1 {
                    true => Ok(Matrix::Sparse(sparse)),
                    false => Err(CoreError::Shape {
                        what: "starts",
                        expected: shape.1 + 1,
                        found: starts.len(),
                    }),
                }
            }
        }
    }
}

/// The values of a count matrix: doubles, integers, or the slots of a
/// `dgCMatrix` as `list(p, i, x)`.
pub fn values(counts: &Robj) -> std::result::Result<Values<'_>, CoreError> {
    if let Some(x) = counts.as_real_slice() {
        return Ok(Values::Double(x));
    }
    if let Some(x) = counts.as_integer_slice() {
        return Ok(Values::Integer(x));
    }
    let wrong = CoreError::Shape { what: "counts (p, i, x)", expected: 3, found: counts.len() };
    let slots = counts.as_list().ok_or(wrong.clone())?;
    if slots.len() != 3 {
        return Err(wrong);
    }
    // The list is kept alive by `counts`, and so are its slots.
    let slot = |at: usize| -> Robj { slots.elt(at).expect("the list has three slots") };
    let (starts, rows, x) = (slot(0), slot(1), slot(2));
    let integers = |robj: &Robj| robj.as_integer_slice().map(|s| (s.as_ptr(), s.len()));
    let (Some(starts), Some(rows), Some(x)) =
        (integers(&starts), integers(&rows), x.as_real_slice().map(|s| (s.as_ptr(), s.len())))
    else {
        return Err(wrong);
    };
    // SAFETY: the three vectors are elements of `counts`, which R protects for
    // the length of the call and which nobody changes.
    unsafe {
        Ok(Values::Sparse {
            starts: std::slice::from_raw_parts(starts.0, starts.1),
            rows: std::slice::from_raw_parts(rows.0, rows.1),
            values: std::slice::from_raw_parts(x.0, x.1),
        })
    }
}

/// A count matrix whose row `r` stands for gene `gene_of_row[r]`.
pub fn counts<'a>(
    robj: &'a Robj,
    n_rows: i32,
    n_columns: i32,
    gene_of_row: &'a [i32],
    n_genes: usize,
) -> std::result::Result<Counts<'a>, CoreError> {
    let shape = (n_rows.max(0) as usize, n_columns.max(0) as usize);
    Counts::new(values(robj)?.of_shape(shape)?, gene_of_row, n_genes)
}

pub fn view<'a>(x: &'a RMatrix<f64>) -> ArrayView2<'a, f64> {
    from_columns(x.data(), (x.nrows(), x.ncols()))
}

pub fn r_array2(x: &Array2<f64>) -> RMatrix<f64> {
    RMatrix::new_matrix(x.nrows(), x.ncols(), |i, j| x[(i, j)])
}

/// An array with three axes; `None` for NULL.
pub fn array3(x: &Robj) -> std::result::Result<Option<ArrayView3<'_, f64>>, CoreError> {
    if x.is_null() {
        return Ok(None);
    }
    let values = numbers(x, "array")?;
    let dim = x.get_attrib("dim");
    let dim = dim.as_ref().and_then(Robj::as_integer_slice).unwrap_or_default();
    let wrong = CoreError::Shape { what: "array", expected: 3, found: dim.len() };
    let [a, b, c] = dim.iter().map(|&n| n.max(0) as usize).collect::<Vec<_>>()[..] else {
        return Err(wrong);
    };
    Ok(Some(from_layers(values, (a, b, c))))
}

/// The entries of an array, first axis first.
pub fn entries(x: Array3<f64>) -> Vec<f64> {
    x.into_raw_vec_and_offset().0
}

/// A list element; NULL when there is none of that name.
pub fn element(list: &List, name: &str) -> Robj {
    list.iter().find(|(key, _)| *key == name).map_or_else(|| ().into(), |(_, value)| value)
}

/// A number that the R side always sends.
pub fn number(settings: &List, name: &str) -> std::result::Result<f64, CoreError> {
    let value = element(settings, name);
    value.as_real().or_else(|| value.as_integer().map(f64::from)).ok_or(CoreError::Shape {
        what: "settings",
        expected: 1,
        found: value.len(),
    })
}

/// Doubles that the R side always sends.
pub fn numbers<'a>(
    value: &'a Robj,
    what: &'static str,
) -> std::result::Result<&'a [f64], CoreError> {
    value.as_real_slice().ok_or(CoreError::Shape { what, expected: 1, found: 0 })
}

/// Row and column of a matrix entry, counted from 1; empty for none.
pub fn position(at: Option<(usize, usize)>) -> Vec<i32> {
    at.map_or(Vec::new(), |(row, column)| vec![row as i32 + 1, column as i32 + 1])
}
