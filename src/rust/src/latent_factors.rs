//! Latent factors of counts and of values.

use crate::bridge::{answer, guard, supervise, Failure, Given, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::factorisation::choose::held_out::Mask;
use unalloy_core::latent::choose::{choose, held_out, noise_level, thinned, Candidates, SHARE};
use unalloy_core::latent::counts::Counts;
use unalloy_core::latent::counts_model::{fit, project, Covariates, Dispersions, Settings};
use unalloy_core::latent::counts_newton::{Family, State, Stop};
use unalloy_core::latent::dispersion::Dispersion;
use unalloy_core::latent::draw::{draw, Noise};
use unalloy_core::latent::ppca::closed_form;
use unalloy_core::latent::ppca_em::{self, Model, Observed};
use unalloy_core::latent::predictor::{Predictor, Side};
use unalloy_core::latent::values::{orthonormal, Values};
use unalloy_core::matrix::{from_fn, Array2, Columns};

/// Factors of counts.
/// @noRd
#[extendr]
fn rs_fit_factors(given: List) -> Robj {
    guard(&given, |given| {
        let counts = Counts::new(given.matrix("x")?)?;
        let (covariates, settings) = (covariates(&given)?, settings(&given)?);
        let threads = given.count("threads")?;
        let found = supervise(&given, |monitor| {
            with_threads(threads, || fit(&counts, &covariates, &settings, monitor))?
        })?;
        let parts = parts(&found.state);
        Ok(answer!(
            parts = parts,
            theta = found.state.dispersion.theta().to_vec(),
            trace = found.trace,
            log_likelihood = found.log_likelihood,
            converged = found.converged,
        ))
    })
}

/// Held-out molecules for each rank and penalty, which is in units of `noise`.
/// @noRd
#[extendr]
fn rs_choose_factors(given: List) -> Robj {
    guard(&given, |given| {
        let counts = Counts::new(given.matrix("x")?)?;
        let (covariates, settings) = (covariates(&given)?, settings(&given)?);
        let threads = given.count("threads")?;
        let noise = noise_level(&counts);
        let candidates = Candidates {
            ranks: given.whole_numbers("ranks")?,
            penalties: given.numbers("penalties")?.iter().map(|v| v * noise).collect(),
        };
        let scores = supervise(&given, |monitor| {
            with_threads(threads, || choose(&counts, &covariates, &settings, &candidates, monitor))?
        })?;
        Ok(answer!(
            rank = scores.iter().map(|s| s.rank as i32).collect::<Vec<_>>(),
            penalty = scores.iter().map(|s| s.penalty / noise).collect::<Vec<_>>(),
            score = scores.iter().map(|s| s.value).collect::<Vec<_>>(),
            error = scores.iter().map(|s| s.error).collect::<Vec<_>>(),
        ))
    })
}

/// What the largest singular value of noise is about: the unit of penalties.
/// @noRd
#[extendr]
fn rs_noise_level(given: List) -> Robj {
    guard(&given, |given| Ok(noise_level(&Counts::new(given.matrix("x")?)?).into()))
}

/// Factors of new cells on given loadings.
/// @noRd
#[extendr]
fn rs_project_factors(given: List) -> Robj {
    guard(&given, |given| {
        let counts = Counts::new(given.matrix("x")?)?;
        let (covariates, settings) = (covariates(&given)?, settings(&given)?);
        let state = state(&given, &covariates, settings.rank)?;
        let threads = given.count("threads")?;
        let found = supervise(&given, |monitor| {
            with_threads(threads, || {
                project(&counts, &covariates, &settings, &state, settings.stop, monitor)
            })?
        })?;
        Ok(parts(&found))
    })
}

/// New cells' held-out molecules: their factors from part of each cell's, and the mean
/// log-probability of the rest.
/// @noRd
#[extendr]
fn rs_held_out_molecules(given: List) -> Robj {
    guard(&given, |given| {
        let counts = Counts::new(given.matrix("x")?)?;
        let (mut covariates, settings) = (covariates(&given)?, settings(&given)?);
        let state = state(&given, &covariates, settings.rank)?;
        let threads = given.count("threads")?;
        covariates.offset.iter_mut().for_each(|o| *o += SHARE.ln());
        let score = supervise(&given, |monitor| {
            with_threads(threads, || {
                let [train, test] = thinned(&counts, SHARE, settings.seed)?;
                let stop = settings.stop;
                let found = project(&train, &covariates, &settings, &state, stop, monitor)?;
                held_out(&found, &test, monitor)
            })?
        })?;
        Ok(score.into())
    })
}

/// Draws about means (genes x cells); `structural` holds probabilities of zeros on top.
/// @noRd
#[extendr]
fn rs_draw_factors(given: List) -> Robj {
    guard(&given, |given| {
        let means = given.array2("means")?;
        let spread = given.numbers("spread")?;
        let noise = match given.text("noise")? {
            "poisson" => Noise::Poisson,
            "negative_binomial" => Noise::NegativeBinomial(spread),
            "normal" => Noise::Normal(spread),
            other => return Err(Failure::Internal(format!("`noise` is \"{other}\""))),
        };
        let structural = match given.has("structural") {
            true => Some(given.array2("structural")?),
            false => None,
        };
        let (seed, first) = (given.seed("seed")?, given.count("first")?);
        let mut out = owned(&given, "means")?;
        let mut column = vec![0.0; means.nrows()];
        for j in 0..means.ncols() {
            column.iter_mut().zip(means.column(j)).for_each(|(c, v)| *c = *v);
            let chances = structural.as_ref().map(|s| s.column(j).to_vec()).unwrap_or_default();
            draw(&mut column, &noise, &chances, seed, first + j);
            out.column_mut(j).iter_mut().zip(&column).for_each(|(o, v)| *o = *v);
        }
        Ok(out.into())
    })
}

/// Probabilistic principal components of complete values.
/// @noRd
#[extendr]
fn rs_ppca(given: List) -> Robj {
    guard(&given, |given| {
        let x = given.matrix("x")?;
        let (of_cells, of_genes) = (given.array2("of_cells")?, given.array2("of_genes")?);
        let values = Values::new(x, given.numbers("scale")?, &of_cells, &of_genes);
        let (rank, seed) = (given.count("rank")?, given.seed("seed")?);
        let found = supervise(&given, |monitor| {
            closed_form(&values, (&of_cells, &of_genes), rank, seed, monitor)
        })?;
        Ok(answer!(
            loadings = found.loadings,
            scores = found.scores,
            of_cells = found.of_cells,
            of_genes = found.of_genes,
            variance = found.variance,
            total = found.total,
            log_likelihood = found.log_likelihood,
        ))
    })
}

/// The same by expectation-maximisation; `x` is dense, NaN where missing.
/// @noRd
#[extendr]
fn rs_ppca_em(given: List) -> Robj {
    guard(&given, |given| {
        let basis = orthonormal(&given.array2("of_genes")?);
        let observed = observed(&given, &basis)?;
        let start = model(&given)?;
        let stop = ppca_em::Stop {
            max_iter: given.count("max_iter")?,
            tolerance: given.number("tolerance")?,
        };
        let threads = given.count("threads")?;
        let found = supervise(&given, |monitor| {
            with_threads(threads, || observed.fit(start, stop, monitor))?
        })?;
        Ok(answer!(
            loadings = found.model.loadings,
            scores = found.scores,
            of_cells = found.model.of_cells,
            of_genes = found.of_genes,
            basis = basis,
            variance = found.model.variance,
            trace = found.trace,
            converged = found.converged,
        ))
    })
}

/// Posterior means of cells, whose values may be missing, under a model.
/// @noRd
#[extendr]
fn rs_ppca_scores(given: List) -> Robj {
    guard(&given, |given| {
        let basis = orthonormal(&given.array2("of_genes")?);
        let observed = observed(&given, &basis)?;
        let (model, threads) = (model(&given)?, given.count("threads")?);
        let (scores, of_genes) = supervise(&given, |monitor| {
            with_threads(threads, || observed.scores(&model, monitor))?
        })?;
        Ok(answer!(scores = scores, of_genes = of_genes, basis = basis,))
    })
}

/// Entries of one fold of a speckled hold-out, as positions in a column-major matrix.
/// @noRd
#[extendr]
fn rs_held_out_entries(given: List) -> Robj {
    guard(&given, |given| {
        let (rows, columns) = (given.count("rows")?, given.count("columns")?);
        let mask = Mask::new(given.seed("seed")?, given.number("fraction")?, given.count("fold")?)?;
        let held = (0..rows * columns).filter(|at| mask.holds(at % rows, at / rows));
        Ok(held.map(|at| at as f64 + 1.0).collect::<Vec<f64>>().into())
    })
}

fn covariates(given: &Given<'_>) -> Result<Covariates> {
    Ok(Covariates {
        offset: given.numbers("offset")?.to_vec(),
        of_cells: owned(given, "of_cells")?,
        of_genes: owned(given, "of_genes")?,
    })
}

fn settings(given: &Given<'_>) -> Result<Settings> {
    let family: Family = given.choice("model")?;
    let dispersions = match given.text("dispersion")? {
        "trend" => Dispersions::Trend,
        "gene" => Dispersions::Gene,
        "common" => Dispersions::Common,
        "fixed" => Dispersions::Fixed(given.numbers("theta")?.to_vec()),
        other => return Err(Failure::Internal(format!("`dispersion` is \"{other}\""))),
    };
    Ok(Settings {
        family,
        rank: given.count("rank")?,
        penalty: given.number("penalty")?,
        covariate_penalty: given.number("covariate_penalty")?,
        dispersions,
        stop: Stop { max_rounds: given.count("max_iter")?, tolerance: given.number("tolerance")? },
        seed: given.seed("seed")?,
    })
}

/// The genes of a fit, for cells to come.
fn state(given: &Given<'_>, covariates: &Covariates, rank: usize) -> Result<State> {
    let parts = given.lists("parts")?;
    let mut predictors = Vec::with_capacity(parts.len());
    for part in parts {
        let (x, v) = (&covariates.of_cells, &covariates.of_genes);
        let mut predictor = Predictor::new(&covariates.offset, x, v, rank);
        let (loadings, coefficients) = (part.array2("loadings")?, part.array2("of_cells")?);
        let shape = predictor.shape;
        for (k, column) in (shape.factors()..shape.width()).enumerate() {
            predictor
                .genes
                .col_mut(column)
                .iter_mut()
                .zip(loadings.column(k))
                .for_each(|(a, b)| *a = *b);
        }
        for (k, column) in shape.coefficients(Side::Genes).enumerate() {
            predictor
                .genes
                .col_mut(column)
                .iter_mut()
                .zip(coefficients.column(k))
                .for_each(|(a, b)| *a = *b);
        }
        predictors.push(predictor);
    }
    Ok(State { predictors, dispersion: Dispersion::fixed(given.numbers("theta")?.to_vec()) })
}

/// Loadings, scores and coefficients of every predictor.
fn parts(state: &State) -> Value<'static> {
    let part = |predictor: &Predictor| {
        let shape = predictor.shape;
        let columns = |x: &Array2<f64>, range: std::ops::Range<usize>| {
            from_fn((x.nrows(), range.len()), |i, k| x[(i, range.start + k)])
        };
        let factors = shape.factors()..shape.width();
        answer!(
            scores = columns(&predictor.cells, factors.clone()),
            loadings = columns(&predictor.genes, factors),
            of_cells = columns(&predictor.genes, shape.coefficients(Side::Genes)),
            of_genes = columns(&predictor.cells, shape.coefficients(Side::Cells)),
        )
    };
    state.predictors.iter().map(part).collect::<Vec<_>>().into()
}

fn model(given: &Given<'_>) -> Result<Model> {
    Ok(Model {
        loadings: owned(given, "loadings")?,
        of_cells: owned(given, "coefficients")?,
        variance: given.number("variance")?,
    })
}

fn observed<'a>(given: &Given<'a>, basis: &'a Array2<f64>) -> Result<Observed<'a>> {
    Ok(Observed {
        x: given.array2("x")?,
        of_cells: given.array2("of_cells")?,
        of_genes: basis.view(),
    })
}

fn owned(given: &Given<'_>, name: &'static str) -> Result<Array2<f64>> {
    let x = given.array2(name)?;
    Ok(from_fn(x.dim(), |i, j| x[(i, j)]))
}

extendr_module! {
    mod latent_factors;
    fn rs_fit_factors;
    fn rs_choose_factors;
    fn rs_noise_level;
    fn rs_project_factors;
    fn rs_held_out_molecules;
    fn rs_draw_factors;
    fn rs_ppca;
    fn rs_ppca_em;
    fn rs_ppca_scores;
    fn rs_held_out_entries;
}
