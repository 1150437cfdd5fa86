//! Sparse activities of many samples.

use crate::base::simd::vectors::add_scaled;
use faer::MatRef;

/// Activities of samples, few non-zero per sample: compressed sparse columns
/// (atoms × samples), atoms in the order in which they were chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Codes {
    starts: Vec<usize>,
    pub atoms: Vec<usize>,
    pub values: Vec<f64>,
}

impl Codes {
    pub fn with_capacity(samples: usize, entries: usize) -> Self {
        let mut starts = Vec::with_capacity(samples + 1);
        starts.push(0);
        Codes { starts, atoms: Vec::with_capacity(entries), values: Vec::with_capacity(entries) }
    }

    /// From compressed sparse columns; `None` when they do not belong together
    /// or name an atom that is not among `size`.
    pub fn from_columns(
        starts: Vec<usize>,
        atoms: Vec<usize>,
        values: Vec<f64>,
        size: usize,
    ) -> Option<Self> {
        let ordered = starts.windows(2).all(|pair| pair[0] <= pair[1]);
        let whole = starts.first() == Some(&0) && starts.last() == Some(&atoms.len());
        let known = atoms.iter().all(|&atom| atom < size) && atoms.len() == values.len();
        (ordered && whole && known).then_some(Codes { starts, atoms, values })
    }

    pub fn samples(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn push(&mut self, atoms: &[usize], values: &[f64]) {
        assert_eq!(atoms.len(), values.len(), "an activity per atom");
        self.atoms.extend_from_slice(atoms);
        self.values.extend_from_slice(values);
        self.starts.push(self.atoms.len());
    }

    pub fn append(&mut self, other: &Codes) {
        for sample in 0..other.samples() {
            let (atoms, values) = other.sample(sample);
            self.push(atoms, values);
        }
    }

    /// Atoms and activities of a sample.
    pub fn sample(&self, sample: usize) -> (&[usize], &[f64]) {
        let entries = self.starts[sample]..self.starts[sample + 1];
        (&self.atoms[entries.clone()], &self.values[entries])
    }

    /// Where the entries of a sample are in [`Codes::atoms`].
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// How many samples use each of `size` atoms.
    pub fn use_of_atoms(&self, size: usize) -> Vec<usize> {
        let mut uses = vec![0; size];
        for (&atom, &value) in self.atoms.iter().zip(&self.values) {
            uses[atom] += usize::from(value != 0.0);
        }
        uses
    }

    /// The same activities of atoms with other numbers; entries of atoms without
    /// a new number (`usize::MAX`), which must be zero, are left out.
    pub fn renamed(&self, place: &[usize]) -> Codes {
        let mut out = Codes::with_capacity(self.samples(), self.atoms.len());
        for sample in 0..self.samples() {
            let (atoms, values) = self.sample(sample);
            let kept = atoms.iter().zip(values).filter(|(&atom, _)| place[atom] != usize::MAX);
            let (atoms, values): (Vec<usize>, Vec<f64>) =
                kept.map(|(&atom, &value)| (place[atom], value)).unzip();
            out.push(&atoms, &values);
        }
        out
    }

    /// out = U w for a sample; columns of `atoms` are contiguous.
    pub fn expand(&self, sample: usize, atoms: MatRef<'_, f64>, out: &mut [f64]) {
        out.fill(0.0);
        let (chosen, values) = self.sample(sample);
        for (&atom, &value) in chosen.iter().zip(values) {
            add_scaled(out, value, column(atoms, atom));
        }
    }
}

/// A column of a column-major matrix.
pub fn column(matrix: MatRef<'_, f64>, j: usize) -> &[f64] {
    matrix.col(j).try_as_col_major().expect("columns are contiguous").as_slice()
}
