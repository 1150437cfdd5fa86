//! Orthogonal matching pursuit, with signs free or non-negative.

use super::factor::Factor;
use super::Gram;
use crate::base::simd::vectors::combine;
use crate::nnls::solve_nonnegative;

/// Correlations below this share of the first are rounding.
const NOTHING_LEFT: f64 = 1e-12;

/// Orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993) in its
/// batch form (Rubinstein, Zibulevsky and Elad 2008): the correlations with the
/// residual are Bᵀy − G_S w_S, and the Cholesky factor of G_SS grows with the
/// support.
pub struct Orthogonal<'a> {
    gram: &'a Gram,
    factor: Factor,
    barred: Vec<bool>,
    pull: Vec<f64>,
    forward: Vec<f64>,
    pub atoms: Vec<usize>,
    pub values: Vec<f64>,
    /// What each atom in turn takes from ‖residual‖².
    pub explained: Vec<f64>,
}

impl<'a> Orthogonal<'a> {
    pub fn new(gram: &'a Gram) -> Self {
        let size = gram.size();
        Orthogonal {
            gram,
            factor: Factor::default(),
            barred: vec![false; size],
            pull: vec![0.0; size],
            forward: Vec::new(),
            atoms: Vec::new(),
            values: Vec::new(),
            explained: Vec::new(),
        }
    }

    /// At most `sparsity` atoms for the sample with `correlations` Bᵀy; the
    /// answer is in `atoms` and `values`.
    pub fn run(&mut self, correlations: &[f64], sparsity: usize) {
        self.factor.clear();
        self.barred.fill(false);
        self.forward.clear();
        self.atoms.clear();
        self.values.clear();
        self.explained.clear();
        self.pull.copy_from_slice(correlations);
        let mut first = None;
        while self.atoms.len() < sparsity {
            let (atom, size) = self.strongest(f64::abs);
            let least = NOTHING_LEFT * *first.get_or_insert(size);
            if size <= least {
                break;
            }
            self.barred[atom] = true;
            if !self.factor.append(self.gram, &self.atoms, atom) {
                continue;
            }
            self.atoms.push(atom);
            self.factor.extend(correlations[atom], &mut self.forward);
            self.explained.push(self.forward[self.forward.len() - 1].powi(2));
            if self.atoms.len() == sparsity {
                break;
            }
            self.solve();
            self.values.iter_mut().for_each(|v| *v = -*v);
            let columns = &self.gram.products;
            self.pull.copy_from_slice(correlations);
            combine(&mut self.pull, columns, &self.atoms, &self.values);
        }
        self.solve();
    }

    fn solve(&mut self) {
        self.values.clone_from(&self.forward);
        self.factor.solve_transposed(&mut self.values);
    }

    fn strongest(&self, size: impl Fn(f64) -> f64) -> (usize, f64) {
        strongest(&self.pull, &self.gram.inverse_norms, &self.barred, size)
    }
}

/// The atom that correlates most with the residual, per unit of its norm.
fn strongest(
    pull: &[f64],
    inverse_norms: &[f64],
    barred: &[bool],
    size: impl Fn(f64) -> f64,
) -> (usize, f64) {
    let mut best = (0, 0.0);
    for (j, ((&pull, &inverse), &barred)) in pull.iter().zip(inverse_norms).zip(barred).enumerate()
    {
        let strength = size(pull) * inverse;
        if strength > best.1 && !barred {
            best = (j, strength);
        }
    }
    best
}

/// Orthogonal matching pursuit under w ≥ 0 (Bruckstein, Elad and Zibulevsky
/// 2008): the atom with the largest positive correlation enters, then
/// non-negative least squares over the support, whose zeros leave it.
pub struct Nonnegative<'a> {
    gram: &'a Gram,
    barred: Vec<bool>,
    pull: Vec<f64>,
    pub atoms: Vec<usize>,
    pub values: Vec<f64>,
}

impl<'a> Nonnegative<'a> {
    pub fn new(gram: &'a Gram) -> Self {
        let size = gram.size();
        Nonnegative {
            gram,
            barred: vec![false; size],
            pull: vec![0.0; size],
            atoms: Vec::new(),
            values: Vec::new(),
        }
    }

    /// At most `sparsity` atoms for the sample with `correlations` Bᵀy.
    pub fn run(&mut self, correlations: &[f64], sparsity: usize) {
        self.barred.fill(false);
        self.atoms.clear();
        self.values.clear();
        self.pull.copy_from_slice(correlations);
        let mut first = None;
        while self.atoms.len() < sparsity {
            let inverse_norms = &self.gram.inverse_norms;
            let (atom, size) = strongest(&self.pull, inverse_norms, &self.barred, |c| c);
            let least = NOTHING_LEFT * *first.get_or_insert(size);
            if size <= least {
                break;
            }
            // An atom that has left the support does not come back: each round
            // bars one more, so the search ends.
            self.barred[atom] = true;
            self.atoms.push(atom);
            self.values.push(0.0);
            self.solve(correlations);
            let negative: Vec<f64> = self.values.iter().map(|v| -v).collect();
            let columns = &self.gram.products;
            self.pull.copy_from_slice(correlations);
            combine(&mut self.pull, columns, &self.atoms, &negative);
        }
    }

    fn solve(&mut self, correlations: &[f64]) {
        let linear: Vec<f64> = self.atoms.iter().map(|&j| correlations[j]).collect();
        let (gram, atoms) = (self.gram, &self.atoms);
        let products = |&j: &usize| atoms.iter().map(move |&i| gram.column(j)[i]);
        let hessian: Vec<f64> = atoms.iter().flat_map(products).collect();
        solve_nonnegative(&hessian, &linear, 0.0, &mut self.values);
        let mut at = 0;
        self.atoms.retain(|_| {
            at += 1;
            self.values[at - 1] > 0.0
        });
        self.values.retain(|&v| v > 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::{stream, Purpose};
    use crate::base::simd::vectors::add_scaled;
    use crate::base::simd::vectors::{dot, squared_norm};
    use crate::matrix::linalg::{product, Cholesky};
    use crate::matrix::{from_fn, Array2, Columns};
    use rand_distr::{Distribution, StandardNormal};

    fn normal_matrix(seed: u64, rows: usize, columns: usize) -> Array2<f64> {
        let mut rng = stream(seed, Purpose::Start, 0);
        from_fn((rows, columns), |_, _| StandardNormal.sample(&mut rng))
    }

    fn correlations(atoms: &Array2<f64>, y: &[f64]) -> Vec<f64> {
        (0..atoms.ncols()).map(|j| dot(atoms.col(j), y)).collect()
    }

    /// Greedy least squares with the residual written out: the definition.
    fn by_definition(atoms: &Array2<f64>, y: &[f64], sparsity: usize) -> (Vec<usize>, Vec<f64>) {
        let (mut chosen, mut residual, mut values) = (Vec::new(), y.to_vec(), Vec::new());
        for _ in 0..sparsity {
            let strength = |j: usize| {
                let column = atoms.col(j);
                dot(column, &residual).abs() / squared_norm(column).sqrt()
            };
            let next = (0..atoms.ncols()).filter(|j| !chosen.contains(j));
            chosen.push(next.max_by(|&a, &b| strength(a).total_cmp(&strength(b))).unwrap());
            let part = from_fn((y.len(), chosen.len()), |i, k| atoms[(i, chosen[k])]);
            let mut solution = product(&part.t(), &from_fn((y.len(), 1), |i, _| y[i]));
            let normal = Cholesky::new(product(&part.t(), &part)).expect("random atoms");
            normal.solve_in_place(&mut solution);
            let fitted = product(&part, &solution);
            values = solution.col(0).to_vec();
            residual = y.iter().zip(fitted.col(0)).map(|(y, f)| y - f).collect();
        }
        (chosen, values)
    }

    #[test]
    fn batch_pursuit_is_pursuit() {
        for seed in 0..20 {
            let atoms = normal_matrix(seed, 30, 80);
            let y: Vec<f64> = normal_matrix(1000 + seed, 30, 1).col(0).to_vec();
            let gram = Gram::of(atoms.view());
            let mut pursuit = Orthogonal::new(&gram);
            pursuit.run(&correlations(&atoms, &y), 8);
            let (chosen, values) = by_definition(&atoms, &y, 8);
            assert_eq!(pursuit.atoms, chosen);
            for (a, b) in pursuit.values.iter().zip(&values) {
                assert!((a - b).abs() < 1e-11, "{a} {b}");
            }
            // what the atoms explain is what the residual lost
            let mut residual = y.clone();
            for (&j, &v) in chosen.iter().zip(&values) {
                add_scaled(&mut residual, -v, atoms.col(j));
            }
            let lost = squared_norm(&y) - squared_norm(&residual);
            let explained: f64 = pursuit.explained.iter().sum();
            assert!((lost - explained).abs() < 1e-11 * lost);
        }
    }

    #[test]
    fn sparse_vectors_come_back_and_the_search_ends_there() {
        let atoms = normal_matrix(3, 60, 200);
        let gram = Gram::of(atoms.view());
        let truth = [(5, 1.5), (77, -2.0), (180, 0.7), (9, 1.0)];
        let mut y = vec![0.0; 60];
        for (j, v) in truth {
            add_scaled(&mut y, v, atoms.col(j));
        }
        let mut pursuit = Orthogonal::new(&gram);
        pursuit.run(&correlations(&atoms, &y), 15);
        for (j, v) in truth {
            let at = pursuit.atoms.iter().position(|&a| a == j).unwrap();
            assert!((pursuit.values[at] - v).abs() < 1e-12);
        }
        assert_eq!(pursuit.atoms.len(), 4, "{:?} {:?}", pursuit.atoms, pursuit.values);
    }

    #[test]
    fn twin_and_empty_atoms_do_no_harm() {
        let mut atoms = normal_matrix(4, 20, 6);
        for i in 0..20 {
            atoms[(i, 3)] = 2.0 * atoms[(i, 1)];
            atoms[(i, 5)] = 0.0;
        }
        let y: Vec<f64> = normal_matrix(40, 20, 1).col(0).to_vec();
        let gram = Gram::of(atoms.view());
        let mut pursuit = Orthogonal::new(&gram);
        pursuit.run(&correlations(&atoms, &y), 6);
        assert_eq!(pursuit.atoms.len(), 4);
        assert!(pursuit.values.iter().all(|v| v.is_finite()));
        pursuit.run(&[0.0; 6], 6);
        assert!(pursuit.atoms.is_empty());
    }

    #[test]
    fn the_nonnegative_pursuit_solves_its_support_and_finds_planted_atoms() {
        for seed in 0..20 {
            let atoms = normal_matrix(seed, 40, 100);
            let mut y = vec![0.0; 40];
            for (j, v) in [(3, 1.0), (50, 2.0), (99, 0.5)] {
                add_scaled(&mut y, v, atoms.col(j));
            }
            let gram = Gram::of(atoms.view());
            let mut pursuit = Nonnegative::new(&gram);
            pursuit.run(&correlations(&atoms, &y), 10);
            let value = |j| pursuit.atoms.iter().position(|&a| a == j).map(|k| pursuit.values[k]);
            assert!((value(3).unwrap() - 1.0).abs() < 1e-9);
            assert!((value(99).unwrap() - 0.5).abs() < 1e-9);
            // noise: still non-negative, and optimal on the support
            let noise: Vec<f64> = normal_matrix(seed + 500, 40, 1).col(0).to_vec();
            pursuit.run(&correlations(&atoms, &noise), 10);
            assert!(pursuit.atoms.len() <= 10 && pursuit.values.iter().all(|&v| v > 0.0));
            let mut residual = noise.clone();
            for (&j, &v) in pursuit.atoms.iter().zip(&pursuit.values) {
                add_scaled(&mut residual, -v, atoms.col(j));
            }
            for &j in &pursuit.atoms {
                assert!(dot(atoms.col(j), &residual).abs() < 1e-8);
            }
        }
    }
}
