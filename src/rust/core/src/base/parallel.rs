//! Threads, blocks of work, the wish to stop, and progress.

use super::error::CoreError;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs `f` on a pool of its own with exactly `threads` workers.
///
/// A pool per call costs 0.1 ms, never changes anything process-wide, and is
/// safe after `fork` (as R's `parallel::mclapply` does it).
pub fn with_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> Result<T, CoreError> {
    if threads == 0 {
        return Err(CoreError::Argument { name: "threads", found: 0.0, expected: "at least 1" });
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map(|pool| pool.install(f))
        .map_err(|e| CoreError::Threads(e.to_string()))
}

/// Threads beyond which more gain nothing.  Answers do not depend on their number, so
/// a few more than there are processors do no harm.
pub fn most_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).max(16)
}

/// Samples that are worked on together.  Fixed, so that the answer does not
/// depend on the number of threads.
pub const SAMPLE_BLOCK: usize = 16;
/// Blocks per thread between two rounds of taking answers.
const WAVE: usize = 4;

/// Works on 0..n in blocks of `size`, in parallel on the present pool, and takes
/// the answers in the order of the blocks.
///
/// Answers wait for at most a few blocks per thread, so what `take` adds up over
/// samples never exists once per block.  As long as `work` sees its block alone,
/// the bits do not depend on the number of threads.
///
/// # Errors
/// The first one of `work` in the order of the blocks of a round, and
/// `Interrupted` when the monitor says so before a block.
pub fn over_blocks<T: Send>(
    n: usize,
    size: usize,
    monitor: &Monitor<'_>,
    work: impl Fn(Range<usize>) -> Result<T, CoreError> + Sync,
    mut take: impl FnMut(Range<usize>, T),
) -> Result<(), CoreError> {
    let range = |first: usize| first..(first + size).min(n);
    let firsts: Vec<usize> = (0..n).step_by(size).collect();
    for wave in firsts.chunks(WAVE * rayon::current_num_threads()) {
        let run = |&first: &usize| monitor.check().and_then(|()| work(range(first)));
        let answers: Vec<Result<T, CoreError>> = wave.par_iter().map(run).collect();
        for (&first, answer) in wave.iter().zip(answers) {
            take(range(first), answer?);
        }
    }
    Ok(())
}

/// What a long computation and its caller tell each other: units done go out,
/// the wish to stop comes in.
pub struct Monitor<'a> {
    stop: &'a AtomicBool,
    report: &'a (dyn Fn(usize) + Sync),
    done: AtomicUsize,
}

impl<'a> Monitor<'a> {
    /// `report` is called with the number of units done so far, from any
    /// worker thread.
    pub fn new(stop: &'a AtomicBool, report: &'a (dyn Fn(usize) + Sync)) -> Self {
        Monitor { stop, report, done: AtomicUsize::new(0) }
    }

    /// The same wish to stop, without reports.
    pub fn silent(&self) -> Monitor<'a> {
        Monitor::new(self.stop, &|_| {})
    }

    /// `Err(Interrupted)` when the caller wants the work to end.
    pub fn check(&self) -> Result<(), CoreError> {
        if self.stop.load(Ordering::Relaxed) {
            Err(CoreError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Says that `units` more are done.
    pub fn advance(&self, units: usize) {
        let done = self.done.fetch_add(units, Ordering::Relaxed) + units;
        (self.report)(done);
    }
}

/// Runs `f` with a monitor that nobody listens to.
pub fn unmonitored<T>(f: impl FnOnce(&Monitor<'_>) -> T) -> T {
    f(&Monitor::new(&AtomicBool::new(false), &|_| {}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_threads_is_an_error_that_names_the_argument() {
        let error = with_threads(0, || ()).unwrap_err();
        assert_eq!(error.to_string(), "`threads` must be at least 1, not 0");
    }

    #[test]
    fn blocks_cover_everything_once_and_come_back_in_order() {
        for threads in [1, 3] {
            for n in [0, 1, 16, 100] {
                let mut seen = Vec::new();
                let done = with_threads(threads, || {
                    unmonitored(|monitor| {
                        over_blocks(
                            n,
                            7,
                            monitor,
                            |range| Ok(range.clone()),
                            |range, answer| {
                                assert_eq!(range, answer);
                                seen.extend(range);
                            },
                        )
                    })
                });
                assert_eq!(done, Ok(Ok(())));
                assert_eq!(seen, (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_error_of_a_block_is_told() {
        let work = |range: Range<usize>| {
            let bad = range.clone().find(|i| i % 10 == 9);
            bad.map_or(Ok(()), |sample| Err(CoreError::EmptySample { sample }))
        };
        let found = unmonitored(|monitor| over_blocks(50, 4, monitor, work, |_, ()| ()));
        assert_eq!(found, Err(CoreError::EmptySample { sample: 9 }));
    }

    #[test]
    fn a_monitor_counts_units_and_passes_the_wish_to_stop() {
        let stop = AtomicBool::new(false);
        let seen = AtomicUsize::new(0);
        let report = |done| seen.store(done, Ordering::Relaxed);
        let monitor = Monitor::new(&stop, &report);
        monitor.advance(3);
        monitor.advance(4);
        assert_eq!(seen.load(Ordering::Relaxed), 7);
        assert_eq!(monitor.check(), Ok(()));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(monitor.check(), Err(CoreError::Interrupted));
    }
}
