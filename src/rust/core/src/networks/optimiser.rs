//! AdamW (Loshchilov and Hutter 2019): Adam with decay that is no part of the gradient.

use super::elementwise::sum_of_squares;
use super::layer::Named;
use super::tensor::Scalar;
use pulp::Arch;
use rayon::prelude::*;

/// Numbers that are updated, or summed, together.
const BLOCK: usize = 1 << 14;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the first step, before the schedule.
    pub learning_rate: f64,
    /// Weights are multiplied by 1 − rate · decay.
    pub decay: f64,
    /// Gradients longer than this are shortened to it.
    pub clip: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { learning_rate: 1e-3, decay: 1e-6, clip: 10.0 }
    }
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// Moments of the gradients, in the order of the parameters.
#[derive(Clone, Default)]
pub struct Adam<T> {
    pub first: Vec<Vec<T>>,
    pub second: Vec<Vec<T>>,
    /// Steps that were made.
    pub steps: usize,
}

/// Length of all gradients together.
pub fn gradient_norm<T: Scalar>(parameters: &[Named<'_, T>]) -> f64 {
    let squares = parameters.iter().filter(|(_, p)| p.is_trained()).map(|(_, p)| {
        let entries = p.gradient.as_slice_memory_order().expect("gradients are contiguous");
        let blocks: Vec<f64> = entries.par_chunks(BLOCK).map(sum_of_squares).collect();
        blocks.iter().sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}

impl<T: Scalar> Adam<T> {
    /// One step at `rate`; false, and nothing is done, where the gradient is no number.
    pub fn step(
        &mut self,
        mut parameters: Vec<Named<'_, T>>,
        settings: &Settings,
        rate: f64,
    ) -> bool {
        let norm = gradient_norm(&parameters);
        if !norm.is_finite() {
            return false;
        }
        if self.first.is_empty() {
            let none = |(_, p): &Named<'_, T>| {
                vec![T::of(0.0); if p.is_trained() { p.value.len() } else { 0 }]
            };
            self.first = parameters.iter().map(none).collect();
            self.second = self.first.clone();
        }
        self.steps += 1;
        let steps = self.steps as i32;
        let update = Update {
            shorten: T::of(if norm > settings.clip { settings.clip / norm } else { 1.0 }),
            beta: (T::of(BETA.0), T::of(BETA.1)),
            rest: (T::of(1.0 - BETA.0), T::of(1.0 - BETA.1)),
            rate: T::of(rate / (1.0 - BETA.0.powi(steps))),
            correction: T::of(1.0 / (1.0 - BETA.1.powi(steps))),
        };
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((_, parameter), (first, second)) in parameters.iter_mut().zip(moments) {
            if !parameter.is_trained() {
                continue;
            }
            let kept = T::of(if parameter.decays { 1.0 - rate * settings.decay } else { 1.0 });
            let (values, slopes) = parameter.entries_mut();
            let moments = first.par_chunks_mut(BLOCK).zip(second.par_chunks_mut(BLOCK));
            values
                .par_chunks_mut(BLOCK)
                .zip(slopes.par_chunks(BLOCK))
                .zip(moments)
                .for_each(|((values, slopes), (m, v))| update.apply(values, slopes, m, v, kept));
        }
        true
    }
}

struct Update<T> {
    shorten: T,
    beta: (T, T),
    rest: (T, T),
    rate: T,
    correction: T,
}

impl<T: Scalar> Update<T> {
    fn apply(&self, values: &mut [T], slopes: &[T], m: &mut [T], v: &mut [T], kept: T) {
        let epsilon = T::of(EPSILON);
        Arch::new().dispatch(|| {
            for (((x, g), m), v) in values.iter_mut().zip(slopes).zip(m).zip(v) {
                let g = *g * self.shorten;
                *m = self.beta.0 * *m + self.rest.0 * g;
                *v = self.beta.1 * *v + self.rest.1 * g * g;
                let size = Scalar::sqrt(*v * self.correction) + epsilon;
                *x = kept * *x - self.rate * *m / size;
            }
        });
    }
}

/// The share of the rate at a step of so many: half a cosine, from 1 to 0.
pub fn cosine(step: usize, steps: usize) -> f64 {
    let at = step as f64 / steps.max(1) as f64;
    0.5 * (1.0 + (std::f64::consts::PI * at.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::parallel::with_threads;
    use crate::matrix::from_fn;
    use crate::networks::layer::Parameter;

    fn settings(decay: f64, clip: f64) -> Settings {
        Settings { learning_rate: 0.1, decay, clip }
    }

    /// Three steps on ½ x² from x = 1, by hand: m̂ = and v̂ of the gradients 1, x₁, x₂.
    #[test]
    fn steps_on_a_parabola_are_those_by_hand() {
        let mut x = Parameter::weight("x", from_fn((1, 1), |_, _| 1f64));
        let mut adam = Adam::default();
        let (mut by_hand, mut m, mut v) = (1f64, 0.0, 0.0);
        for t in 1..=3 {
            x.gradient[(0, 0)] = x.value[(0, 0)];
            assert!(adam.step(vec![("x".into(), &mut x)], &settings(0.0, 10.0), 0.1));
            m = 0.9 * m + 0.1 * by_hand;
            v = 0.999 * v + 0.001 * by_hand * by_hand;
            let (mh, vh) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            by_hand -= 0.1 * mh / (vh.sqrt() + 1e-8);
            assert!((x.value[(0, 0)] - by_hand).abs() < 1e-12);
            // the first step has the length of the rate
            assert!(t > 1 || (by_hand - 0.9).abs() < 1e-8);
        }
    }

    #[test]
    fn decay_is_no_part_of_the_gradient_and_spares_biases() {
        let one = |decays| {
            let value = from_fn((2, 1), |_, _| 1f64);
            let mut p =
                if decays { Parameter::weight("x", value) } else { Parameter::bias("x", value) };
            Adam::default().step(vec![("x".into(), &mut p)], &settings(0.5, 10.0), 0.1);
            p.value[(0, 0)]
        };
        // without a gradient only decay moves: 1 − 0.1 · 0.5
        assert!((one(true) - 0.95).abs() < 1e-15);
        assert_eq!(one(false), 1.0);
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_left() {
        let moment = |size: f64, clip: f64| {
            let mut p = Parameter::weight("x", from_fn((3, 1), |_, _| 0f64));
            p.gradient.fill(size);
            let mut adam = Adam::default();
            adam.step(vec![("x".into(), &mut p)], &settings(0.0, clip), 0.1);
            adam.first[0][0] / 0.1
        };
        assert!((moment(0.5, 1.0) - 0.5).abs() < 1e-15);
        assert!((moment(5.0, 1.0) - 1.0 / 3f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn a_gradient_that_is_no_number_changes_nothing() {
        let mut p = Parameter::weight("x", from_fn((3, 1), |_, _| 1f32));
        p.gradient[(1, 0)] = f32::NAN;
        let mut adam = Adam::default();
        assert!(!adam.step(vec![("x".into(), &mut p)], &settings(0.1, 1.0), 0.1));
        assert_eq!((p.value[(0, 0)], adam.steps), (1.0, 0));
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let run = |threads| {
            with_threads(threads, || {
                let mut p = Parameter::weight("x", from_fn((50_000, 1), |i, _| (i as f32).sin()));
                p.gradient = from_fn((50_000, 1), |i, _| (i as f32).cos());
                Adam::default().step(vec![("x".into(), &mut p)], &settings(0.1, 1.0), 0.1);
                p.value
            })
            .unwrap()
        };
        assert!(run(1) == run(3));
    }
}
