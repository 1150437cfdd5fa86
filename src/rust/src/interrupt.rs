//! Ctrl-C and progress for long computations.
//!
//! The R API may be touched by the main thread only.  The computation runs on
//! a worker; the main thread polls R, shows progress, and passes the wish to
//! stop through the monitor.

use extendr_api::prelude::*;
use std::os::raw::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;
use unalloy_core::parallel::Monitor;
use unalloy_core::CoreError;

const POLL: Duration = Duration::from_millis(50);

extern "C" {
    fn R_CheckUserInterrupt();
    // `Rboolean` is an `int` in R 4.x and may be a C `bool` later: only the
    // low byte is read.  Zero means that the call jumped.
    fn R_ToplevelExec(fun: extern "C" fn(*mut c_void), data: *mut c_void) -> c_int;
}

extern "C" fn check(_: *mut c_void) {
    unsafe { R_CheckUserInterrupt() }
}

/// True when the user asked to stop.  Never long-jumps through Rust frames.
fn interrupted() -> bool {
    unsafe { (R_ToplevelExec(check, std::ptr::null_mut()) & 0xff) == 0 }
}

/// Runs `work` on a thread of its own.  `progress` is an R function of the
/// number of units done.
pub fn supervise<T: Send>(
    progress: &Function,
    work: impl FnOnce(&Monitor<'_>) -> std::result::Result<T, CoreError> + Send,
) -> std::result::Result<T, CoreError> {
    let stop = AtomicBool::new(false);
    let (sender, receiver) = channel::<usize>();
    std::thread::scope(|scope| {
        let stop_flag = &stop;
        let worker = scope.spawn(move || {
            let report = |done| {
                // The receiver outlives the worker; a lost message is no loss.
                let _ = sender.send(done);
            };
            work(&Monitor::new(stop_flag, &report))
        });
        loop {
            match receiver.recv_timeout(POLL) {
                Ok(done) => {
                    let latest = receiver.try_iter().last().unwrap_or(done);
                    // An error in the R function can only be an interrupt.
                    if progress.call(pairlist!(latest as f64)).is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if interrupted() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        match worker.join() {
            Ok(_) if stop.load(Ordering::Relaxed) => Err(CoreError::Interrupted),
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
