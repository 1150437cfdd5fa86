//! Sparse lines, owned: what a matrix holds per column or per row.

/// Lists of (index, value), one per line.
pub struct Compressed {
    starts: Vec<usize>,
    at: Vec<u32>,
    values: Vec<f64>,
}

impl Default for Compressed {
    fn default() -> Self {
        Compressed::new()
    }
}

impl Compressed {
    pub fn new() -> Self {
        Compressed { starts: vec![0], at: Vec::new(), values: Vec::new() }
    }

    pub fn push(&mut self, at: usize, value: f64) {
        self.at.push(at as u32);
        self.values.push(value);
    }

    pub fn end_line(&mut self) {
        self.starts.push(self.at.len());
    }

    pub fn n_lines(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn line(&self, line: usize) -> impl ExactSizeIterator<Item = (usize, f64)> + '_ {
        let range = self.starts[line]..self.starts[line + 1];
        let at = self.at[range.clone()].iter();
        at.zip(&self.values[range]).map(|(&at, &value)| (at as usize, value))
    }

    /// Entries of all lines.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// The same entries with lines and indices exchanged, indices ascending.
    pub fn transpose(&self, n_index: usize) -> Compressed {
        let mut starts = vec![0; n_index + 1];
        self.at.iter().for_each(|&at| starts[at as usize + 1] += 1);
        for at in 0..n_index {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut at = vec![0; self.at.len()];
        let mut values = vec![0.0; self.at.len()];
        for line in 0..self.n_lines() {
            for (index, value) in self.line(line) {
                at[next[index]] = line as u32;
                values[next[index]] = value;
                next[index] += 1;
            }
        }
        Compressed { starts, at, values }
    }
}
