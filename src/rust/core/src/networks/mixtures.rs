//! Bulk samples mixed of single cells, whose composition and expression per type are known:
//! what networks for bulk learn from.  Each is drawn when it is needed, from a stream that
//! its number names, and never stored.

use super::elementwise::{add_scaled, sum_inline};
use super::tensor::{reserve, Scalar};
use crate::base::error::{check_length, check_memory, check_value};
use crate::base::parallel::{over_blocks, Monitor};
use crate::base::rng::{stream, Purpose};
use crate::matrix::{zeros, Array2, Columns, CscBuf, Matrix};
use crate::CoreError;
use pulp::Arch;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, Gamma, Poisson, StandardNormal};
use rayon::prelude::*;
use std::ops::Range;

/// Standard deviation of the log factor of a gene *and type*, in units of that of the gene.
const OF_TYPE: f64 = 0.4;
/// Mixtures of which some types are left out, and the part of the types that is.
const SPARSE: f64 = 0.5;
/// Mixtures whose cells are all of one donor.
const ONE_DONOR: f64 = 0.5;
/// Cells of a type below which a donor's are not taken alone: a handful of cells, drawn over
/// and over, is no type.
const LEAST_CELLS: usize = 10;
/// Genes that the network does not read enter through their sum alone: it is known for so
/// many drawn platforms.
const PLATFORMS: usize = 64;
/// Cells whose sums over those genes are worked out together.
const CELL_BLOCK: usize = 64;
/// Streams of platforms, beyond those of mixtures.
const PLATFORM_STREAM: usize = 1 << 44;

/// Per cell, counted from 0.  Donors and states may be empty: none are known.
#[derive(Clone, Copy)]
pub struct Labels<'a> {
    pub types: &'a [usize],
    pub donors: &'a [usize],
    /// Conditions, whose shares differ from mixture to mixture, type by type.
    pub states: &'a [usize],
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub n_types: usize,
    /// Cells per mixture, drawn with replacement.
    pub n_cells: usize,
    /// Of the Dirichlet distribution of shares.
    pub concentration: f64,
    /// Of the log factor per gene between cells and bulk, fresh for every mixture.
    pub platform_sd: f64,
    /// Expected reads of a mixture; `None` for no noise of counting.
    pub depth: Option<f64>,
    pub seed: u64,
}

/// The cells of a type (and donor), by state.
type Pool = Vec<Vec<u32>>;

/// What mixtures are drawn from.
pub struct Cells {
    settings: Settings,
    /// The network's genes × cells, times the cell's weight.
    genes: CscBuf<f32>,
    /// What the other genes of a cell add up to on each platform: platforms × cells.
    rest: Array2<f32>,
    /// All mRNA of a cell, times its weight.
    total: Vec<f32>,
    pools: Vec<Pool>,
    /// Of a donor and type, the pool to draw from; those of all donors come last.
    pool_of: Vec<usize>,
    n_donors: usize,
}

/// Some mixtures, a column each.
pub struct Mixtures {
    /// Copies per million as the bulk sees them, genes × mixtures.
    pub bulk: Array2<f32>,
    /// Of the cells that were drawn, types × mixtures.
    pub shares: Array2<f32>,
    /// Copies per million of the type's own mRNA as the cells have them, (genes of the first
    /// type, then of the second, ...) × mixtures; 0 where the type was not drawn.  Without
    /// rows unless they are asked for.
    pub levels: Array2<f32>,
}

impl Default for Mixtures {
    fn default() -> Self {
        let none = || zeros((0, 0));
        Mixtures { bulk: none(), shares: none(), levels: none() }
    }
}

struct Scratch {
    by_type: Array2<f32>,
    factor: Vec<f32>,
    shares: Vec<f64>,
    number: Vec<usize>,
    total: Vec<f64>,
    states: Vec<Vec<f64>>,
}

impl Cells {
    /// `counts` genes × cells, of all genes that the bulk's total is taken over; `place` says
    /// for each of them its number in the network, or −1; `weight` is what a cell is
    /// multiplied by, `total` its mRNA over all genes there are.
    ///
    /// # Errors
    /// `Shape`, `Argument` or `Memory` for parts that do not fit; `Interrupted`.
    pub fn new(
        counts: Matrix<'_>,
        place: &[i32],
        weight: &[f64],
        total: &[f64],
        labels: Labels<'_>,
        settings: Settings,
        monitor: &Monitor<'_>,
    ) -> Result<Self, CoreError> {
        let (n_genes, n_cells) = counts.shape();
        check_length("place", n_genes, place.len())?;
        check_length("weight", n_cells, weight.len())?;
        check_length("total", n_cells, total.len())?;
        check_length("types", n_cells, labels.types.len())?;
        for (name, given) in [("donors", labels.donors), ("states", labels.states)] {
            check_length(name, if given.is_empty() { 0 } else { n_cells }, given.len())?;
        }
        check_value("n_cells", settings.n_cells as f64, "at least 1", |v| v >= 1.0)?;
        let positive = |v: f64| v > 0.0 && v.is_finite();
        check_value("concentration", settings.concentration, "positive", positive)?;
        check_value("platform_sd", settings.platform_sd, "non-negative", |v| {
            (0.0..=10.0).contains(&v)
        })?;
        let largest = labels.types.iter().copied().max().unwrap_or(0) as f64;
        check_value("types", largest, "below the number of types", |v| {
            v < settings.n_types as f64
        })?;
        let known = place.iter().filter(|&&at| at >= 0).count();
        let mut read: Vec<i32> = place.iter().copied().filter(|&at| at >= 0).collect();
        read.sort_unstable();
        if read.iter().enumerate().any(|(k, &at)| at != k as i32) {
            let expected = "each number of the network's genes once";
            return Err(CoreError::Argument { name: "place", found: known as f64, expected });
        }
        let platforms = if settings.platform_sd > 0.0 { PLATFORMS } else { 1 };
        check_memory("cells x platforms", &[n_cells, platforms])?;
        let mut genes = CscBuf::new(known);
        for (cell, &weight) in weight.iter().enumerate() {
            let mut entries: Vec<(usize, f32)> = Vec::new();
            counts.for_each(cell, |g, y| {
                if place[g] >= 0 && y != 0.0 {
                    entries.push((place[g] as usize, (y * weight) as f32));
                }
            });
            entries.sort_unstable_by_key(|&(g, _)| g);
            genes.push_column(entries)?;
        }
        let rest = other_genes(counts, place, weight, platforms, &settings, monitor)?;
        let total = total.iter().zip(weight).map(|(t, w)| (t * w) as f32).collect();
        let (pools, pool_of, n_donors) = pools(&labels, settings.n_types)?;
        Ok(Cells { settings, genes, rest, total, pools, pool_of, n_donors })
    }

    pub fn n_genes(&self) -> usize {
        self.genes.view().n_rows()
    }

    pub fn n_types(&self) -> usize {
        self.settings.n_types
    }

    /// Of a mixture.
    pub fn n_cells(&self) -> usize {
        self.settings.n_cells
    }

    /// The mixtures of these numbers under a seed.
    pub fn mix(&self, seed: u64, numbers: Range<usize>, levels: bool, out: &mut Mixtures) {
        let (genes, types, n) = (self.n_genes(), self.n_types(), numbers.len());
        reserve(&mut out.bulk, genes, n);
        reserve(&mut out.shares, types, n);
        let rows = if levels { genes * types } else { 0 };
        reserve(&mut out.levels, rows, n);
        let bulk = columns(&mut out.bulk, genes);
        let shares = columns(&mut out.shares, types);
        let mut none: Vec<&mut [f32]> = (0..n).map(|_| Default::default()).collect();
        let mut levels = if levels { columns(&mut out.levels, rows) } else { Vec::new() };
        let levels = if levels.is_empty() { &mut none } else { &mut levels };
        let items: Vec<_> = bulk.into_iter().zip(shares).zip(levels).zip(numbers).collect();
        items.into_par_iter().for_each_init(
            || self.scratch(),
            |scratch, (((bulk, shares), levels), number)| {
                let mut rng = stream(seed, Purpose::Mixtures, number);
                self.one(&mut rng, scratch, bulk, shares, levels);
            },
        );
    }

    fn scratch(&self) -> Scratch {
        let (genes, types) = (self.n_genes(), self.n_types());
        Scratch {
            by_type: zeros((genes, types)),
            factor: vec![0.0; genes],
            shares: vec![0.0; types],
            number: vec![0; types],
            total: vec![0.0; types],
            states: vec![Vec::new(); types],
        }
    }

    fn one(
        &self,
        rng: &mut ChaCha8Rng,
        scratch: &mut Scratch,
        bulk: &mut [f32],
        shares: &mut [f32],
        levels: &mut [f32],
    ) {
        let types = self.n_types();
        draw_shares(&self.settings, rng, &mut scratch.shares);
        let alone = self.n_donors > 1 && rng.random_bool(ONE_DONOR);
        let donor = if alone { rng.random_range(0..self.n_donors) } else { self.n_donors };
        let platform = rng.random_range(0..self.rest.nrows());
        let rest = self.add_cells(rng, scratch, donor, platform);
        let n = self.settings.n_cells as f64;
        for (share, number) in shares.iter_mut().zip(&scratch.number) {
            *share = (*number as f64 / n) as f32;
        }
        if !levels.is_empty() {
            let genes = bulk.len();
            for k in 0..types {
                let level = &mut levels[k * genes..(k + 1) * genes];
                let scale = if scratch.number[k] > 0 { 1e6 / scratch.total[k] } else { 0.0 } as f32;
                let own = scratch.by_type.col(k);
                level.iter_mut().zip(own).for_each(|(level, y)| *level = scale * y);
            }
        }
        self.on_platform(rng, scratch, bulk);
        let total = self.count(rng, bulk, rest);
        let scale = (1e6 / total.max(f64::MIN_POSITIVE)) as f32;
        bulk.iter_mut().for_each(|y| *y *= scale);
    }

    /// Draws the cells: sums per type in `scratch`; what the genes that are not read add up to.
    fn add_cells(
        &self,
        rng: &mut ChaCha8Rng,
        scratch: &mut Scratch,
        donor: usize,
        platform: usize,
    ) -> f64 {
        let types = self.n_types();
        let Scratch { by_type, shares, number, total, states, .. } = scratch;
        by_type.fill(0.0);
        number.fill(0);
        total.fill(0.0);
        let pool = |k: usize| &self.pools[self.pool_of[donor * types + k]];
        for (k, states) in states.iter_mut().enumerate() {
            states.clear();
            let draws = pool(k).iter().map(|_| Exp1.sample(rng));
            states.extend::<Vec<f64>>(draws.collect());
            let sum: f64 = states.iter().sum();
            states.iter_mut().for_each(|share| *share /= sum);
        }
        let genes = self.genes.view();
        let mut rest = 0.0;
        for _ in 0..self.settings.n_cells {
            let k = pick(shares, rng.random());
            let pool = pool(k);
            let state = if pool.len() > 1 { pick(&states[k], rng.random()) } else { 0 };
            let members = &pool[state];
            let cell = members[rng.random_range(0..members.len())] as usize;
            let (rows, values) = genes.column(cell);
            let sum = by_type.col_mut(k);
            rows.iter().zip(values).for_each(|(&g, &y)| sum[g as usize] += y);
            number[k] += 1;
            total[k] += f64::from(self.total[cell]);
            rest += f64::from(self.rest[(platform, cell)]);
        }
        rest
    }

    /// The sum over types of what the platform makes of them.
    fn on_platform(&self, rng: &mut ChaCha8Rng, scratch: &mut Scratch, bulk: &mut [f32]) {
        let sd = self.settings.platform_sd;
        bulk.fill(0.0);
        for k in (0..self.n_types()).filter(|&k| scratch.number[k] > 0) {
            let own = scratch.by_type.col(k);
            if sd == 0.0 {
                add_scaled(bulk, 1.0, own);
                continue;
            }
            factors(rng, OF_TYPE * sd, &mut scratch.factor);
            bulk.iter_mut().zip(own).zip(&scratch.factor).for_each(|((b, y), f)| *b += y * f);
        }
        if sd > 0.0 {
            factors(rng, sd, &mut scratch.factor);
            bulk.iter_mut().zip(&scratch.factor).for_each(|(b, f)| *b *= f);
        }
    }

    /// Reads in place of expression, where there is a depth; the total over all genes.
    fn count(&self, rng: &mut ChaCha8Rng, bulk: &mut [f32], rest: f64) -> f64 {
        let total = rest + sum_inline(bulk);
        let Some(depth) = self.settings.depth else { return total };
        if total <= 0.0 {
            return total;
        }
        let mut read = |y: f64| Poisson::new(y * depth / total).map_or(0.0, |law| law.sample(rng));
        bulk.iter_mut().for_each(|y| *y = read(f64::from(*y)) as f32);
        sum_inline(bulk) + read(rest)
    }
}

fn columns<T>(x: &mut Array2<T>, rows: usize) -> Vec<&mut [T]> {
    let entries = x.as_slice_memory_order_mut().expect("buffers are contiguous");
    entries.chunks_exact_mut(rows.max(1)).collect()
}

/// Sums over the genes that the network does not read, platforms × cells.
fn other_genes(
    counts: Matrix<'_>,
    place: &[i32],
    weight: &[f64],
    platforms: usize,
    settings: &Settings,
    monitor: &Monitor<'_>,
) -> Result<Array2<f32>, CoreError> {
    let n_genes = place.len();
    let mut factor = zeros::<f32>((platforms, n_genes));
    let mut own = vec![0.0; n_genes];
    for platform in 0..platforms {
        let mut rng = stream(settings.seed, Purpose::Mixtures, PLATFORM_STREAM | platform);
        factors(&mut rng, settings.platform_sd, &mut own);
        (0..n_genes).for_each(|g| factor[(platform, g)] = own[g]);
    }
    let mut rest = zeros((platforms, counts.n_columns()));
    over_blocks(
        counts.n_columns(),
        CELL_BLOCK,
        monitor,
        |cells| {
            let mut sums = zeros::<f32>((platforms, cells.len()));
            for (j, cell) in cells.enumerate() {
                counts.for_each(cell, |g, y| {
                    if place[g] < 0 {
                        add_scaled(sums.col_mut(j), (y * weight[cell]) as f32, factor.col(g));
                    }
                });
            }
            Ok(sums)
        },
        |cells, sums| rest.slice_mut(ndarray::s![.., cells]).assign(&sums),
    )?;
    Ok(rest)
}

/// Pools of each donor and type, then of all donors; where they lie; the number of donors.
fn pools(labels: &Labels<'_>, n_types: usize) -> Result<(Vec<Pool>, Vec<usize>, usize), CoreError> {
    let n_donors = labels.donors.iter().max().map_or(0, |&last| last + 1);
    let n_states = labels.states.iter().max().map_or(1, |&last| last + 1);
    let slots = (n_donors + 1) * n_types;
    let mut all: Vec<Pool> = vec![vec![Vec::new(); n_states]; slots];
    for (cell, &k) in labels.types.iter().enumerate() {
        let state = labels.states.get(cell).copied().unwrap_or(0);
        all[n_donors * n_types + k][state].push(cell as u32);
        if let Some(&donor) = labels.donors.get(cell) {
            all[donor * n_types + k][state].push(cell as u32);
        }
    }
    let size = |pool: &Pool| pool.iter().map(Vec::len).sum::<usize>();
    let whole = n_donors * n_types;
    let pool_of = (0..slots).map(|at| {
        let few = at < whole && size(&all[at]) < LEAST_CELLS;
        if few {
            whole + at % n_types
        } else {
            at
        }
    });
    let pool_of = pool_of.collect();
    let least = all[whole..].iter().map(size).min().unwrap_or(0);
    check_value("cells of a type", least as f64, "at least 1", |v| v >= 1.0)?;
    // states that a type does not have take no share
    all.iter_mut().for_each(|pool| pool.retain(|cells| !cells.is_empty()));
    Ok((all, pool_of, n_donors))
}

/// Dirichlet; of some mixtures half of the types are left out.
fn draw_shares(settings: &Settings, rng: &mut ChaCha8Rng, shares: &mut [f64]) {
    let types = shares.len();
    if settings.concentration == 1.0 {
        shares.iter_mut().for_each(|share| *share = Exp1.sample(rng));
    } else {
        let law = Gamma::new(settings.concentration, 1.0).expect("concentration is positive");
        // rounded to 0, all of them could be
        shares.iter_mut().for_each(|share| *share = law.sample(rng).max(f64::MIN_POSITIVE));
    }
    if rng.random_bool(SPARSE) {
        let mut left = types / 2;
        for (k, share) in shares.iter_mut().enumerate() {
            // as many of those to come as are still to be left out
            if rng.random_range(0..types - k) < left {
                *share = 0.0;
                left -= 1;
            }
        }
    }
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
}

/// The entry that a number from 0 to 1 falls on.
fn pick(shares: &[f64], at: f64) -> usize {
    let mut left = at;
    let hit = shares.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    // rounding may leave a number beyond the last share
    let last = || shares.iter().rposition(|&share| share > 0.0);
    hit.or_else(last).unwrap_or(0)
}

/// e^(sd n), n standard normal.
fn factors(rng: &mut ChaCha8Rng, sd: f64, out: &mut [f32]) {
    for v in out.iter_mut() {
        let draw: f32 = StandardNormal.sample(rng);
        *v = sd as f32 * draw;
    }
    Arch::new().dispatch(|| out.iter_mut().for_each(|v| *v = Scalar::exp(*v)));
}

#[cfg(test)]
mod tests;
