//! Runs much work on all cores. The progress is drawn only where standard error is a terminal.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// Does the work of each number. Returns the sum of the results, or the failure of the lowest number that fails.
pub fn on_all_cores<E: Send>(
    what: &str,
    numbers: Range<u64>,
    work: impl Fn(u64) -> Result<usize, E> + Sync,
) -> Result<usize, E> {
    let (next, sum) = (AtomicU64::new(numbers.start), AtomicUsize::new(0));
    let failures: Mutex<BTreeMap<u64, E>> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let progress = bar(what, numbers.end - numbers.start);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        break;
                    }
                    progress.inc(1);
                    match work(number) {
                        Ok(more) => {
                            sum.fetch_add(more, Ordering::Relaxed);
                        }
                        Err(failure) => {
                            // No later number begins. An earlier number that still runs may fail too. Then its failure is the first.
                            next.store(numbers.end, Ordering::Relaxed);
                            failures.lock().unwrap().insert(number, failure);
                        }
                    }
                }
            });
        }
    });
    progress.finish_and_clear();
    match failures.into_inner().unwrap().pop_first() {
        None => Ok(sum.into_inner()),
        Some((_, first)) => Err(first),
    }
}

/// A bar for `length` pieces of work.
fn bar(what: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, another {eta}");
    ProgressBar::new(length).with_style(style.unwrap()).with_message(what.to_owned())
}
