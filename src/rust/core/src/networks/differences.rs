//! Gradients against central differences, for tests.

use super::layer::{Layer, Pass};
use crate::matrix::{from_fn, zeros, Array2};

pub const TRAINING: Pass = Pass { training: true, seed: 5, step: 3 };
const STEP: f64 = 1e-5;

/// A loss Σ r y with fixed weights r of its outputs.
fn weights(shape: (usize, usize)) -> Array2<f64> {
    from_fn(shape, |i, j| ((i * 13 + j * 29 + 7) as f64 * 0.61).cos())
}

fn near(found: f64, up: f64, down: f64, tolerance: f64, what: &str) {
    let slope = (up - down) / (2.0 * STEP);
    let size = found.abs().max(slope.abs()).max(1.0);
    assert!((found - slope).abs() <= tolerance * size, "{what}: {found} is not {slope}");
}

/// Asserts that the gradients of a layer, in training, by its input and its parameters
/// agree with central differences to a relative `tolerance`.
pub fn check_layer(layer: &mut dyn Layer<f64>, x: &Array2<f64>, tolerance: f64) {
    let shape = (layer.n_outputs(), x.ncols());
    let dy = weights(shape);
    let value = |layer: &mut dyn Layer<f64>, x: &Array2<f64>| {
        let mut y = zeros(shape);
        layer.forward(x, &mut y, &TRAINING);
        (&y * &dy).sum()
    };
    let mut y = zeros(shape);
    layer.forward(x, &mut y, &TRAINING);
    let mut dx = zeros(x.dim());
    layer.backward(x, &y, &dy, Some(&mut dx));
    let gradients: Vec<Array2<f64>> =
        layer.parameters().iter().map(|p| p.gradient.clone()).collect();
    let mut moved = x.clone();
    for (i, j) in ndarray::indices(x.dim()) {
        moved[(i, j)] = x[(i, j)] + STEP;
        let up = value(layer, &moved);
        moved[(i, j)] = x[(i, j)] - STEP;
        let down = value(layer, &moved);
        moved[(i, j)] = x[(i, j)];
        near(dx[(i, j)], up, down, tolerance, "input");
    }
    for (k, gradient) in gradients.iter().enumerate() {
        if !layer.parameters()[k].is_trained() {
            continue;
        }
        for at in ndarray::indices(gradient.dim()) {
            let mut with = |step: f64| {
                layer.parameters()[k].value[at] += step;
                let value = value(layer, x);
                layer.parameters()[k].value[at] -= step;
                value
            };
            let (up, down) = (with(STEP), with(-STEP));
            near(gradient[at], up, down, tolerance, layer.parameters()[k].name);
        }
    }
}

/// The same of a function of a matrix that writes its gradient.
pub fn check_function(
    x: &Array2<f64>,
    tolerance: f64,
    mut f: impl FnMut(&Array2<f64>, &mut Array2<f64>) -> f64,
) {
    let (mut dx, mut unused) = (zeros(x.dim()), zeros(x.dim()));
    f(x, &mut dx);
    let mut moved = x.clone();
    for at in ndarray::indices(x.dim()) {
        moved[at] = x[at] + STEP;
        let up = f(&moved, &mut unused);
        moved[at] = x[at] - STEP;
        let down = f(&moved, &mut unused);
        moved[at] = x[at];
        near(dx[at], up, down, tolerance, "gradient");
    }
}
