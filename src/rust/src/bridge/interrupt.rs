//! Ctrl-C, time limits and progress for long computations.
//!
//! The R API may be touched by the main thread only.  The computation runs on
//! a worker; the main thread polls R, shows progress, and passes the wish to
//! stop through the monitor.

use super::guard::{caught, Jump};
use super::{r, Failure, Given, Result};
use extendr_api::SEXP;
use extendr_ffi as ffi;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use unalloy_core::base::parallel::Monitor;
use unalloy_core::CoreError;

const POLL: Duration = Duration::from_millis(50);

/// Runs `work` on a thread of its own.  `progress`, if given, is an R function of
/// the number of units done.
pub fn supervise<T: Send>(
    given: &Given<'_>,
    work: impl FnOnce(&Monitor<'_>) -> std::result::Result<T, CoreError> + Send,
) -> Result<T> {
    match watched(given, work)? {
        (_, Some(Jump::Interrupt)) => Err(CoreError::Interrupted.into()),
        (_, Some(Jump::Error(message))) => Err(Failure::Stopped(message)),
        (outcome, None) => Ok(outcome?),
    }
}

/// The same for work that has something to show when it is interrupted.
pub fn supervise_in_part<T: Send>(
    given: &Given<'_>,
    work: impl FnOnce(&Monitor<'_>) -> std::result::Result<T, CoreError> + Send,
) -> Result<T> {
    match watched(given, work)? {
        (_, Some(Jump::Error(message))) => Err(Failure::Stopped(message)),
        (outcome, _) => Ok(outcome?),
    }
}

type Outcome<T> = (std::result::Result<T, CoreError>, Option<Jump>);

fn watched<T: Send>(
    given: &Given<'_>,
    work: impl FnOnce(&Monitor<'_>) -> std::result::Result<T, CoreError> + Send,
) -> Result<Outcome<T>> {
    let progress = given.function("progress")?;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let report = |units| {
        done.fetch_max(units, Ordering::Relaxed);
    };
    let (running, ended) = channel::<()>();
    thread::scope(|scope| {
        let monitor = Monitor::new(&stop, &report);
        let worker = thread::Builder::new()
            .spawn_scoped(scope, move || {
                let _running = running;
                work(&monitor)
            })
            .map_err(|error| CoreError::Threads(error.to_string()))?;
        let (mut shown, mut jump) = (0, None);
        while ended.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            // one jump is enough: then the worker is waited for
            if jump.is_none() {
                jump = poll(progress, done.load(Ordering::Relaxed), &mut shown);
                stop.store(jump.is_some(), Ordering::Relaxed);
            }
        }
        let outcome = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let jump = jump.or_else(|| poll(progress, done.load(Ordering::Relaxed), &mut shown));
        Ok((outcome, jump))
    })
}

/// Shows what is new, and asks R whether to go on.
fn poll(progress: Option<SEXP>, done: usize, shown: &mut usize) -> Option<Jump> {
    let news = progress.filter(|_| done > std::mem::replace(shown, done));
    let mut body = || unsafe {
        if let Some(function) = news {
            let argument = ffi::Rf_protect(r::Rf_ScalarReal(done as f64));
            let call = ffi::Rf_protect(r::Rf_lang2(function, argument));
            r::Rf_eval(call, ffi::R_GlobalEnv);
            ffi::Rf_unprotect(2);
        }
        r::R_CheckUserInterrupt();
        ffi::R_NilValue
    };
    // SAFETY: the main thread, and nothing in the body has a destructor.
    unsafe { caught(&mut body) }.err()
}
