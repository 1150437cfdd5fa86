//! Which component of one run is which of another: the assignment with the
//! largest total similarity.

use crate::base::error::{check_length, CoreError};

/// For each row of the n × n `similarity` (column-major), the column that the
/// assignment with the largest sum gives it.
///
/// Shortest augmenting paths with potentials (Kuhn 1955; Jonker and Volgenant
/// 1987), in time n³.
///
/// # Errors
/// `Shape` when the matrix is not square, `Argument` for an entry that is not
/// finite.
pub fn best_assignment(similarity: &[f64], n: usize) -> Result<Vec<usize>, CoreError> {
    check_length("similarity", n * n, similarity.len())?;
    if let Some(&found) = similarity.iter().find(|s| !s.is_finite()) {
        return Err(CoreError::Argument { name: "similarity", found, expected: "finite" });
    }
    let cost = |row: usize, column: usize| -similarity[column * n + row];
    let mut row_price = vec![0.0; n];
    let mut column_price = vec![0.0; n];
    // the row that holds each column; usize::MAX for a free one
    let mut holder = vec![usize::MAX; n];
    for start in 0..n {
        let mut reduced = vec![f64::INFINITY; n];
        let mut previous = vec![usize::MAX; n];
        let mut visited = vec![false; n];
        let mut row = start;
        let mut last = usize::MAX;
        loop {
            let (mut step, mut next) = (f64::INFINITY, usize::MAX);
            for column in (0..n).filter(|&c| !visited[c]) {
                let slack = cost(row, column) - row_price[row] - column_price[column];
                if slack < reduced[column] {
                    reduced[column] = slack;
                    previous[column] = last;
                }
                if reduced[column] < step {
                    (step, next) = (reduced[column], column);
                }
            }
            row_price[start] += step;
            for column in 0..n {
                if visited[column] {
                    row_price[holder[column]] += step;
                    column_price[column] -= step;
                } else {
                    reduced[column] -= step;
                }
            }
            visited[next] = true;
            last = next;
            if holder[next] == usize::MAX {
                break;
            }
            row = holder[next];
        }
        // shift the holders along the path
        while previous[last] != usize::MAX {
            holder[last] = holder[previous[last]];
            last = previous[last];
        }
        holder[last] = start;
    }
    let mut column_of = vec![0; n];
    for (column, &row) in holder.iter().enumerate() {
        column_of[row] = column;
    }
    Ok(column_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use rand::Rng;

    fn total(similarity: &[f64], n: usize, columns: &[usize]) -> f64 {
        columns.iter().enumerate().map(|(row, &column)| similarity[column * n + row]).sum()
    }

    /// All orders of 0..n.
    fn orders(n: usize) -> Vec<Vec<usize>> {
        if n == 0 {
            return vec![vec![]];
        }
        let mut out = Vec::new();
        for shorter in orders(n - 1) {
            for at in 0..n {
                let mut order = shorter.clone();
                order.insert(at, n - 1);
                out.push(order);
            }
        }
        out
    }

    #[test]
    fn no_other_assignment_is_better() {
        for seed in 0..60 {
            let n = 1 + seed % 6;
            let mut rng = stream(seed as u64, Purpose::Start, 0);
            let similarity: Vec<f64> =
                (0..n * n).map(|_| (rng.random::<f64>() * 8.0).floor()).collect();
            let found = best_assignment(&similarity, n).unwrap();
            let mut taken = found.clone();
            taken.sort_unstable();
            assert_eq!(taken, (0..n).collect::<Vec<_>>());
            let best = orders(n)
                .iter()
                .map(|o| total(&similarity, n, o))
                .fold(f64::NEG_INFINITY, f64::max);
            assert!((total(&similarity, n, &found) - best).abs() < 1e-12, "seed {seed}");
        }
    }

    #[test]
    fn a_similarity_that_is_not_finite_is_refused() {
        assert_eq!(best_assignment(&[f64::NAN], 1).err().unwrap().kind(), "argument");
    }
}
