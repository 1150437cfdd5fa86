//! Factors of counts: covariates, starts and stages around the alternation.

use super::counts::Counts;
use super::counts_newton::{
    fit as alternate, one_step, settle_cells, Family, Fit, Penalty, State, Stop,
};
use super::dispersion::{Dispersion, Own};
use super::predictor::{Predictor, Side};
use super::start::scores;
use crate::base::error::{check_length, check_value, CoreError};
use crate::base::parallel::Monitor;
use crate::matrix::{Array2, Columns};
use std::str::FromStr;

/// Ridge of the intercepts of the log odds of a structural zero, which have no finite
/// optimum for a gene without zeros (zinbwave's convention).
const ODDS_RIDGE: f64 = 1e-3;
/// The rounds that Poisson factors get before others start from them, and that
/// dispersions get before they are shrunk.
const STAGE: Stop = Stop { max_rounds: 8, tolerance: 1e-4 };
/// ln θ where nothing is known.
const LN_THETA: f64 = 1.0;

/// What is known beside the counts.
#[derive(Clone)]
pub struct Covariates {
    /// Per cell, added to ln μ.
    pub offset: Vec<f64>,
    /// Cells × covariates.
    pub of_cells: Array2<f64>,
    /// Genes × covariates.
    pub of_genes: Array2<f64>,
}

/// How dispersions are found.
#[derive(Clone, Debug, PartialEq)]
pub enum Dispersions {
    /// Per gene, shrunk to a trend over mean expression.
    Trend,
    /// Per gene, maximum likelihood.
    Gene,
    Common,
    Fixed(Vec<f64>),
}

#[derive(Clone)]
pub struct Settings {
    pub family: Family,
    pub rank: usize,
    /// λ of ½ λ (‖W‖² + ‖α‖²).
    pub penalty: f64,
    /// κ of ½ κ c², for coefficients of covariates that vary.
    pub covariate_penalty: f64,
    pub dispersions: Dispersions,
    pub stop: Stop,
    pub seed: u64,
}

impl FromStr for Family {
    type Err = CoreError;

    fn from_str(name: &str) -> Result<Self, CoreError> {
        match name {
            "poisson" => Ok(Family::Poisson),
            "negative_binomial" => Ok(Family::NegativeBinomial),
            "zinb" => Ok(Family::ZeroInflated),
            _ => {
                let expected = "poisson, negative_binomial or zinb";
                Err(CoreError::Argument { name: "model", found: f64::NAN, expected })
            }
        }
    }
}

impl Covariates {
    fn check(&self, counts: &Counts) -> Result<(), CoreError> {
        let (cells, genes) = (counts.count(Side::Cells), counts.count(Side::Genes));
        check_length("offset", cells, self.offset.len())?;
        check_length("covariates of cells (rows)", cells, self.of_cells.nrows())?;
        check_length("covariates of genes (rows)", genes, self.of_genes.nrows())
    }
}

/// Is a column an intercept?
fn constant(x: &Array2<f64>, column: usize) -> bool {
    let column = x.col(column);
    column.iter().all(|&v| v == column[0] && v != 0.0)
}

impl Settings {
    /// Ridges by predictor: intercepts of ln μ bear none.
    pub fn penalties(&self, covariates: &Covariates) -> Penalty {
        let ridges = |x: &Array2<f64>, intercept: f64| -> Vec<f64> {
            (0..x.ncols())
                .map(|j| if constant(x, j) { intercept } else { self.covariate_penalty })
                .collect()
        };
        let both = |x: &Array2<f64>| match self.family {
            Family::ZeroInflated => vec![ridges(x, 0.0), ridges(x, ODDS_RIDGE)],
            _ => vec![ridges(x, 0.0)],
        };
        Penalty {
            factors: self.penalty,
            of_cells: both(&covariates.of_cells),
            of_genes: both(&covariates.of_genes),
        }
    }

    fn check(&self, counts: &Counts) -> Result<(), CoreError> {
        let limit = counts.count(Side::Cells).min(counts.count(Side::Genes)) as f64;
        check_value("rank", self.rank as f64, "at most cells and genes", |r| r <= limit)?;
        let ridge = |v: f64| v >= 0.0 && v.is_finite();
        check_value("penalty", self.penalty, "non-negative", ridge)?;
        check_value("covariate_penalty", self.covariate_penalty, "non-negative", ridge)?;
        if let Dispersions::Fixed(theta) = &self.dispersions {
            check_length("dispersion", counts.count(Side::Genes), theta.len())?;
        }
        Ok(())
    }
}

/// ln μ under independence where an intercept can hold it, W at the leading directions
/// of the residuals, α at 0.
pub fn start(counts: &Counts, covariates: &Covariates, settings: &Settings) -> State {
    let (x, v) = (&covariates.of_cells, &covariates.of_genes);
    let mut predictor = Predictor::new(&covariates.offset, x, v, settings.rank);
    let intercept = |x: &Array2<f64>| (0..x.ncols()).find(|&j| constant(x, j));
    let (of_cells, of_genes) = (intercept(x), intercept(v));
    let (cells, genes) = (counts.totals(Side::Cells), counts.totals(Side::Genes));
    let total: f64 = cells.iter().sum();
    let exposure: Vec<f64> = covariates.offset.iter().map(|o| o.exp()).collect();
    if let Some(j) = of_genes {
        // each cell's own level: its total over what the offset says
        let column = 1 + x.ncols() + j;
        for (cell, value) in predictor.cells.col_mut(column).iter_mut().enumerate() {
            *value = (cells[cell] / (exposure[cell] * genes.len() as f64)).ln() / v[(0, j)];
        }
    }
    if let Some(j) = of_cells {
        let expected: f64 = match of_genes {
            Some(_) => total / genes.len() as f64,
            None => exposure.iter().sum(),
        };
        for (gene, value) in predictor.genes.col_mut(1 + j).iter_mut().enumerate() {
            *value = (genes[gene].max(0.5) / expected).ln() / x[(0, j)];
        }
    }
    let mut predictors = vec![predictor];
    if settings.family == Family::ZeroInflated {
        let nothing = vec![0.0; covariates.offset.len()];
        predictors.push(Predictor::new(&nothing, x, v, settings.rank));
        if let Some(j) = of_cells {
            let lines = counts.by(Side::Genes);
            let n = lines.n_rows() as f64;
            for gene in 0..genes.len() {
                // half of the zeros, at the outset
                let zeros = (n - lines.column(gene).0.len() as f64 + 0.5) / (n + 1.0);
                predictors[1].genes[(gene, 1 + j)] =
                    (0.5 * zeros / (1.0 - 0.5 * zeros)).ln() / x[(0, j)];
            }
        }
    }
    if settings.rank > 0 {
        let w = scores(counts, settings.rank, settings.seed);
        for predictor in &mut predictors {
            let first = predictor.shape.factors();
            for k in 0..settings.rank {
                predictor.cells.col_mut(first + k).copy_from_slice(w.col(k));
            }
        }
    }
    let dispersion = match &settings.dispersions {
        Dispersions::Fixed(theta) => Dispersion::fixed(theta.clone()),
        Dispersions::Common => Dispersion::common(LN_THETA.exp(), genes.len()),
        _ => Dispersion::own(Own::free(genes.len(), LN_THETA)),
    };
    State { predictors, dispersion }
}

/// Factors from a start of their own: other families than the Poisson start from its
/// factors.
///
/// # Errors
/// `Shape`, `Argument`, `Interrupted`.
pub fn fit(
    counts: &Counts,
    covariates: &Covariates,
    settings: &Settings,
    monitor: &Monitor<'_>,
) -> Result<Fit, CoreError> {
    covariates.check(counts)?;
    settings.check(counts)?;
    let state = start(counts, covariates, settings);
    fit_from(counts, covariates, settings, state, monitor)
}

/// Factors from a given start.
///
/// # Errors
/// `Interrupted`.
pub fn fit_from(
    counts: &Counts,
    covariates: &Covariates,
    settings: &Settings,
    mut state: State,
    monitor: &Monitor<'_>,
) -> Result<Fit, CoreError> {
    let penalty = settings.penalties(covariates);
    if settings.family != Family::Poisson {
        let silent = monitor.silent();
        state = staged(counts, settings, &penalty, state, &silent)?;
    }
    alternate(counts, settings.family, state, &penalty, settings.stop, monitor)
}

/// Poisson factors first; then dispersions, free until a trend over their means is known.
fn staged(
    counts: &Counts,
    settings: &Settings,
    penalty: &Penalty,
    mut state: State,
    monitor: &Monitor<'_>,
) -> Result<State, CoreError> {
    let second = state.predictors.split_off(1);
    let first = Penalty {
        factors: penalty.factors,
        of_cells: penalty.of_cells[..1].to_vec(),
        of_genes: penalty.of_genes[..1].to_vec(),
    };
    state = alternate(counts, Family::Poisson, state, &first, STAGE, monitor)?.state;
    for mut predictor in second {
        let from = predictor.shape.factors();
        for k in 0..settings.rank {
            predictor
                .cells
                .col_mut(from + k)
                .copy_from_slice(state.predictors[0].cells.col(from + k));
        }
        state.predictors.push(predictor);
    }
    if settings.dispersions != Dispersions::Trend {
        return Ok(state);
    }
    state = alternate(counts, settings.family, state, penalty, STAGE, monitor)?.state;
    let sums =
        one_step(counts, settings.family, &state, Side::Genes, penalty, false, monitor)?.losses;
    let n = counts.count(Side::Cells) as f64;
    let means: Vec<f64> = counts.totals(Side::Genes).iter().map(|t| t / n).collect();
    state.dispersion = state.dispersion.shrunk(&sums, &means);
    Ok(state)
}

/// Factors of other cells on the loadings of a fit: `state` with these cells.
///
/// # Errors
/// `Shape`, `Interrupted`.
pub fn project(
    counts: &Counts,
    covariates: &Covariates,
    settings: &Settings,
    state: &State,
    stop: Stop,
    monitor: &Monitor<'_>,
) -> Result<State, CoreError> {
    covariates.check(counts)?;
    let penalty = settings.penalties(covariates);
    let mut fresh = start(counts, covariates, &Settings { rank: 0, ..settings.clone() });
    let mut predictors = Vec::new();
    for (old, new) in state.predictors.iter().zip(fresh.predictors.drain(..)) {
        let mut predictor = Predictor::new(
            new.cells.col(0),
            &covariates.of_cells,
            &covariates.of_genes,
            settings.rank,
        );
        for column in old.shape.coefficients(Side::Cells) {
            predictor.cells.col_mut(column).copy_from_slice(new.cells.col(column));
        }
        predictor.genes = old.genes.clone();
        predictors.push(predictor);
    }
    let mut state = State { predictors, dispersion: state.dispersion.clone() };
    settle_cells(counts, settings.family, &mut state, &penalty, stop, monitor)?;
    Ok(state)
}
