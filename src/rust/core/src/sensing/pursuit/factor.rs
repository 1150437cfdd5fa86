//! Cholesky factor of the Gram matrix of the chosen atoms, grown and shrunk
//! one atom at a time.

use super::{Gram, INDEPENDENT};
use crate::base::simd::vectors::{add_scaled, dot};

/// L with G_SS = L Lᵀ; row i has i + 1 entries.
#[derive(Default)]
pub struct Factor {
    rows: Vec<Vec<f64>>,
    size: usize,
}

impl Factor {
    pub fn clear(&mut self) {
        self.size = 0;
    }

    pub fn row(&self, i: usize) -> &[f64] {
        &self.rows[i][..=i]
    }

    /// Adds an atom to those of `chosen` (which the factor stands for); `false`
    /// when it lies in their span to working precision.
    pub fn append(&mut self, gram: &Gram, chosen: &[usize], atom: usize) -> bool {
        let n = self.size;
        if self.rows.len() == n {
            self.rows.push(Vec::new());
        }
        let mut row = std::mem::take(&mut self.rows[n]);
        row.clear();
        let products = gram.column(atom);
        for (i, &other) in chosen[..n].iter().enumerate() {
            let own = &self.rows[i];
            let value = (products[other] - dot(&own[..i], &row)) / own[i];
            row.push(value);
        }
        let pivot = products[atom] - dot(&row, &row);
        let independent = pivot > INDEPENDENT * products[atom];
        if independent {
            row.push(pivot.sqrt());
            self.size += 1;
        }
        self.rows[n] = row;
        independent
    }

    /// Drops the atom at `place`; `chosen` are the atoms without it.
    pub fn remove(&mut self, gram: &Gram, chosen: &[usize], place: usize) {
        self.size = place;
        for i in place..chosen.len() {
            // A subset of independent atoms is independent; only rounding at
            // the threshold can say otherwise, and then the pivot serves.
            if !self.append(gram, chosen, chosen[i]) {
                let tiny = (INDEPENDENT * gram.column(chosen[i])[chosen[i]]).sqrt();
                self.rows[i].push(tiny);
                self.size += 1;
            }
        }
    }

    /// The new entry of L⁻¹b for the last row, and its place in `z`.
    pub fn extend(&self, right: f64, z: &mut Vec<f64>) {
        let row = self.row(self.size - 1);
        let n = z.len();
        z.push((right - dot(&row[..n], z)) / row[n]);
    }

    /// z ← L⁻ᵀ z.
    pub fn solve_transposed(&self, z: &mut [f64]) {
        for i in (0..z.len()).rev() {
            let row = self.row(i);
            z[i] /= row[i];
            let value = z[i];
            add_scaled(&mut z[..i], -value, &row[..i]);
        }
    }

    /// z ← (L Lᵀ)⁻¹ z.
    pub fn solve(&self, z: &mut [f64]) {
        for i in 0..z.len() {
            let row = self.row(i);
            z[i] = (z[i] - dot(&row[..i], &z[..i])) / row[i];
        }
        self.solve_transposed(z);
    }
}
