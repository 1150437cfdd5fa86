//! Integrative factorisation of several data sets.

use crate::bridge::{answer, guard, positions, supervise, Result, Value};
use extendr_api::prelude::*;
use unalloy_core::base::convergence::Stop;
use unalloy_core::base::parallel::with_threads;
use unalloy_core::factorisation::integrative::{
    factorise_runs, Dataset, IntegrativeFit, IntegrativeSettings,
};
use unalloy_core::factorisation::Data;

/// Each of `datasets` is `list(shared =, own = or NULL)`.
/// @noRd
#[extendr]
fn rs_factorise_integrative(given: List) -> Robj {
    guard(&given, |given| {
        let settings = given.list("settings")?;
        let chosen = IntegrativeSettings {
            rank: settings.count("rank")?,
            lambda: settings.number("lambda")?,
            max_iterations: settings.count("max_iter")?,
            tolerance: settings.number("tolerance")?,
            seed: settings.seed("seed")?,
        };
        let (runs, threads) = (settings.count("nrun")?, settings.count("threads")?);
        let mut sets = Vec::new();
        for set in given.lists("datasets")? {
            let data = |name| -> Result<Data<'_>> { Ok(Data::new(set.matrix(name)?)?) };
            let own = if set.has("own") { Some(data("own")?) } else { None };
            sets.push(Dataset { shared: data("shared")?, own });
        }
        let (fits, best) = supervise(&given, |monitor| {
            with_threads(threads, || factorise_runs(&sets, &chosen, runs, monitor))?
        })?;
        let of = |f: fn(&IntegrativeFit) -> f64| fits.iter().map(f).collect::<Vec<f64>>();
        let factor =
            |x: &[f64]| Value::from(x.to_vec()).shaped(&[chosen.rank, x.len() / chosen.rank]);
        let parts = fits[best].parts.iter().map(|part| {
            answer!(
                specific = factor(&part.specific),
                own = factor(&part.own),
                coef = factor(&part.coef)
            )
        });
        Ok(answer!(
            shared = factor(&fits[best].shared),
            parts = parts.collect::<Vec<_>>(),
            trace = fits[best].trace.clone(),
            best = positions([best])?,
            objective = of(IntegrativeFit::objective),
            kkt = of(|fit| fit.kkt),
            iterations = of(|fit| fit.iterations as f64),
            converged = fits.iter().map(|fit| fit.stop == Stop::Converged).collect::<Vec<_>>()
        ))
    })
}

extendr_module! {
    mod factorise_integrative;
    fn rs_factorise_integrative;
}
