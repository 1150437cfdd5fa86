//! Lloyd's k-means of few points in few dimensions, from k-means++ starts (Arthur and
//! Vassilvitskii 2007).

use rand::Rng;

const MAX_LLOYD: usize = 100;

/// Points in rows, one after the other.
#[derive(Clone, Copy)]
pub struct Points<'a> {
    pub values: &'a [f64],
    pub dimensions: usize,
}

impl<'a> Points<'a> {
    pub fn row(&self, i: usize) -> &'a [f64] {
        &self.values[i * self.dimensions..(i + 1) * self.dimensions]
    }
}

/// Centres of `k` clusters of the points `among`, k × dimensions, row by row: those of
/// the lowest sum of squares over all starts, the first of equals.
pub fn centres(
    points: Points<'_>,
    among: &[usize],
    k: usize,
    starts: usize,
    rng: &mut impl Rng,
) -> Vec<f64> {
    let mut best = (f64::INFINITY, Vec::new());
    for _ in 0..starts.max(1) {
        let found = lloyd(points, among, first_centres(points, among, k, rng), k);
        if found.0 < best.0 {
            best = found;
        }
    }
    best.1
}

/// The nearest centre of every point among the first `n`.
pub fn assign(points: Points<'_>, n: usize, centres: &[f64]) -> Vec<usize> {
    (0..n).map(|i| nearest(points.row(i), centres, points.dimensions).1).collect()
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

fn nearest(point: &[f64], centres: &[f64], dimensions: usize) -> (f64, usize) {
    let squares = centres.chunks_exact(dimensions).map(|centre| square(point, centre));
    squares.enumerate().fold(
        (f64::INFINITY, 0),
        |best, (c, d)| {
            if d < best.0 {
                (d, c)
            } else {
                best
            }
        },
    )
}

fn first_centres(points: Points<'_>, among: &[usize], k: usize, rng: &mut impl Rng) -> Vec<f64> {
    let mut centres = Vec::with_capacity(k * points.dimensions);
    let mut left_over = vec![f64::INFINITY; among.len()];
    let mut next = rng.random_range(0..among.len());
    for _ in 0..k {
        let centre = points.row(among[next]);
        centres.extend_from_slice(centre);
        for (left, &i) in left_over.iter_mut().zip(among) {
            *left = left.min(square(points.row(i), centre));
        }
        let mut left = rng.random::<f64>() * left_over.iter().sum::<f64>();
        let hit = left_over.iter().position(|square| {
            left -= square;
            left < 0.0
        });
        next = hit.unwrap_or_else(|| rng.random_range(0..among.len()));
    }
    centres
}

fn lloyd(points: Points<'_>, among: &[usize], mut centres: Vec<f64>, k: usize) -> (f64, Vec<f64>) {
    let d = points.dimensions;
    let mut cluster = vec![usize::MAX; among.len()];
    let mut total = f64::INFINITY;
    for _ in 0..MAX_LLOYD {
        let mut moved = false;
        total = 0.0;
        for (at, &i) in among.iter().enumerate() {
            let (distance, c) = nearest(points.row(i), &centres, d);
            total += distance;
            moved |= cluster[at] != c;
            cluster[at] = c;
        }
        if !moved {
            break;
        }
        let mut sums = vec![0.0; k * d];
        let mut size = vec![0.0; k];
        for (&c, &i) in cluster.iter().zip(among) {
            size[c] += 1.0;
            sums[c * d..(c + 1) * d].iter_mut().zip(points.row(i)).for_each(|(s, x)| *s += x);
        }
        // a cluster that lost its points keeps its centre
        for c in (0..k).filter(|&c| size[c] > 0.0) {
            for j in 0..d {
                centres[c * d + j] = sums[c * d + j] / size[c];
            }
        }
    }
    (total, centres)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};

    #[test]
    fn far_clouds_are_found_and_the_sum_of_squares_is_least() {
        let mut rng = stream(1, Purpose::Splits, 0);
        let values: Vec<f64> = (0..60)
            .flat_map(|i| {
                let centre = (i % 3) as f64 * 10.0;
                [centre + rng.random::<f64>(), rng.random::<f64>()]
            })
            .collect();
        let points = Points { values: &values, dimensions: 2 };
        let among: Vec<usize> = (0..60).collect();
        let found = centres(points, &among, 3, 5, &mut rng);
        let cluster = assign(points, 60, &found);
        assert!((0..60).all(|i| cluster[i] == cluster[i % 3]));
        assert_ne!(cluster[0], cluster[1]);
        // each centre is the mean of its points
        for c in 0..3 {
            let own: Vec<usize> = (0..60).filter(|&i| cluster[i] == c).collect();
            let mean = own.iter().map(|&i| points.row(i)[0]).sum::<f64>() / own.len() as f64;
            assert!((mean - found[2 * c]).abs() < 1e-12);
        }
    }
}
