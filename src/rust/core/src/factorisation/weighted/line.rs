//! The problem of one line: ½ yᵀGy − bᵀy over a box.

use crate::factorisation::penalty::Constraint;

/// Within an alternation the next half-step changes the problem anyway: so many
/// sweeps, or until one moves the line by less than this part of what the first one
/// moved it by.
const SWEEPS: usize = 30;
const TOLERANCE: f64 = 1e-2;

/// Cyclic coordinate descent on ½ yᵀGy − bᵀy over 0 ≤ y ≤ upper, from the y
/// given; components that are fixed stay.  A coordinate without curvature and
/// without use becomes 0.
pub fn descend(gram: &[f64], right: &[f64], constraint: &Constraint, y: &mut [f64]) {
    let rank = y.len();
    // g = G y − b, kept up to date
    let mut gradient: Vec<f64> = right.iter().map(|b| -b).collect();
    for (r, &value) in y.iter().enumerate().filter(|(_, &v)| v != 0.0) {
        add_column(gram, r, value, &mut gradient);
    }
    let mut first = 0.0;
    for sweep in 0..SWEEPS {
        let mut moved: f64 = 0.0;
        for r in (0..rank).filter(|&r| constraint.is_free(r)) {
            let curvature = gram[r * rank + r];
            let target = if curvature > 0.0 {
                (y[r] - gradient[r] / curvature).clamp(0.0, constraint.upper)
            } else if gradient[r] >= 0.0 {
                0.0
            } else {
                y[r]
            };
            let step = target - y[r];
            if step != 0.0 {
                y[r] = target;
                add_column(gram, r, step, &mut gradient);
                moved = moved.max(step * step * curvature);
            }
        }
        if sweep == 0 {
            first = moved;
        }
        if moved <= TOLERANCE * TOLERANCE * first {
            return;
        }
    }
}

fn add_column(gram: &[f64], r: usize, factor: f64, out: &mut [f64]) {
    let rank = out.len();
    let column = &gram[r * rank..(r + 1) * rank];
    out.iter_mut().zip(column).for_each(|(o, g)| *o += factor * g);
}

/// ½ yᵀGy − bᵀy.
pub fn value(gram: &[f64], right: &[f64], y: &[f64]) -> f64 {
    let rank = y.len();
    let mut sum = 0.0;
    for (r, &yr) in y.iter().enumerate().filter(|(_, &v)| v != 0.0) {
        let column = &gram[r * rank..(r + 1) * rank];
        let gy: f64 = column.iter().zip(y).map(|(g, v)| g * v).sum();
        sum += yr * (0.5 * gy - right[r]);
    }
    sum
}

/// Σ over free coordinates of the squared gradient, projected on the box.
pub fn projected_gradient(gram: &[f64], right: &[f64], constraint: &Constraint, y: &[f64]) -> f64 {
    let rank = y.len();
    let square = |r: usize| {
        let column = &gram[r * rank..(r + 1) * rank];
        let gradient = column.iter().zip(y).map(|(g, v)| g * v).sum::<f64>() - right[r];
        let projected = match y[r] {
            v if v <= 0.0 => gradient.min(0.0),
            v if v >= constraint.upper => gradient.max(0.0),
            _ => gradient,
        };
        projected * projected
    };
    (0..rank).filter(|&r| constraint.is_free(r)).map(square).sum()
}
