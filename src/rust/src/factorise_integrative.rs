//! Integrative factorisation of several data sets.

use crate::arguments::{element, number, values};
use crate::guard::guard;
use crate::interrupt::supervise;
use extendr_api::prelude::*;
use unalloy_core::base::convergence::Stop;
use unalloy_core::factorisation::integrative::{
    factorise_integrative, Dataset, IntegrativeFit, IntegrativeSettings,
};
use unalloy_core::factorisation::Data;
use unalloy_core::parallel::with_threads;
use unalloy_core::CoreError;

/// Each data set is `list(shared =, own = or NULL, rows =, own_rows =, samples =)`.
/// @noRd
#[extendr]
fn rs_factorise_integrative(datasets: List, settings: List, progress: Function) -> Robj {
    guard(|| {
        let count = |name| number(&settings, name).map(|v| v as usize);
        let chosen = IntegrativeSettings {
            rank: count("rank")?,
            lambda: number(&settings, "lambda")?,
            max_iterations: count("max_iter")?,
            tolerance: number(&settings, "tolerance")?,
            seed: number(&settings, "seed")? as i64 as u64,
        };
        let (runs, threads) = (count("nrun")?, count("threads")?);
        let lists: Vec<List> = datasets.values().filter_map(|set| set.as_list()).collect();
        let slots: Vec<(Robj, Robj)> =
            lists.iter().map(|set| (element(set, "shared"), element(set, "own"))).collect();
        let mut sets = Vec::new();
        for (list, (shared, own)) in lists.iter().zip(&slots) {
            let size = |name| number(list, name).map(|v| v as usize);
            let samples = size("samples")?;
            sets.push(Dataset {
                shared: Data::new(values(shared)?.of_shape((size("rows")?, samples))?)?,
                own: match own.is_null() {
                    true => None,
                    false => Some(Data::new(values(own)?.of_shape((size("own_rows")?, samples))?)?),
                },
            });
        }
        let fits = supervise(&progress, |monitor| {
            with_threads(threads, || {
                let mut fits = Vec::with_capacity(runs);
                for run in 0..runs {
                    fits.push(factorise_integrative(&sets, &chosen, run, monitor)?);
                    monitor.advance(1);
                    forget_worse(&mut fits);
                }
                Ok::<_, CoreError>(fits)
            })?
        })?;
        Ok(handed_back(&fits, chosen.rank))
    })
}

/// Of all runs but the best only how they ended is kept.
fn forget_worse(fits: &mut [IntegrativeFit]) {
    let best = best_of(fits);
    for (run, fit) in fits.iter_mut().enumerate() {
        if run != best {
            fit.shared = Vec::new();
            fit.parts = Vec::new();
        }
    }
}

fn best_of(fits: &[IntegrativeFit]) -> usize {
    let objectives = fits.iter().map(IntegrativeFit::objective).enumerate();
    objectives.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(run, _)| run)
}

fn handed_back(fits: &[IntegrativeFit], rank: usize) -> List {
    let lines = |x: &[f64]| RMatrix::new_matrix(rank, x.len() / rank, |r, at| x[at * rank + r]);
    let best = best_of(fits);
    let fit = &fits[best];
    let parts = fit.parts.iter().map(|part| {
        Robj::from(list!(
            specific = lines(&part.specific),
            own = lines(&part.own),
            coef = lines(&part.coef)
        ))
    });
    let of = |f: &dyn Fn(&IntegrativeFit) -> f64| fits.iter().map(f).collect::<Vec<f64>>();
    list!(
        shared = lines(&fit.shared),
        parts = List::from_values(parts.collect::<Vec<_>>()),
        trace = fit.trace.clone(),
        best = best as i32 + 1,
        objective = of(&|fit| fit.objective()),
        kkt = of(&|fit| fit.kkt),
        iterations = of(&|fit| fit.iterations as f64),
        converged = fits.iter().map(|fit| fit.stop == Stop::Converged).collect::<Vec<_>>()
    )
}

extendr_module! {
    mod factorise_integrative;
    fn rs_factorise_integrative;
}
