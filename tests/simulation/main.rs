//! Deterministic simulation: seeded random histories of one project's life, lived by the real router through the real SDK clients on
//! tokio's paused clock, with the invariants of ARCHITECTURE.md checked all along and at the end.
//!
//! `HISTORIES=n` sets how many histories each mode lives; `SEED=n` lives one, and prints its trace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod history;
mod life;
mod wire;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::history::{History, Lambda};
use crate::life::{Violation, live};
use crate::wire::Defect;

fn histories() -> u64 {
    std::env::var("HISTORIES").map_or(1000, |n| n.parse().expect("HISTORIES is a number"))
}

/// The first of the histories, by seed, that violates an invariant.
fn first_violation(lambda: Lambda, seeds: std::ops::Range<u64>, defect: Option<Defect>) -> Option<(u64, Violation)> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<BTreeMap<u64, Violation>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    if let Err(violation) = live(&History::new(seed, lambda), defect) {
                        next.store(seeds.end, Ordering::Relaxed);
                        found.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, violation);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first()
}

/// Drops steps, and what makes AWS misbehave, while the history still fails.
fn shrink(mut history: History, defect: Option<Defect>) -> (History, Violation) {
    let mut violation = live(&history, defect).expect_err("the history fails");
    loop {
        let mut smaller: Vec<History> = Vec::new();
        for drop in 0..history.happenings.len() {
            let mut candidate = history.clone();
            candidate.happenings.remove(drop);
            smaller.push(candidate);
        }
        for drop in 0..history.bursts.len() {
            let mut candidate = history.clone();
            candidate.bursts.remove(drop);
            smaller.push(candidate);
        }
        smaller.push(History { heartbeat: history.lossy, ..history.clone() });
        smaller.push(History { list_lag: Default::default(), describe_lag: Default::default(), ..history.clone() });
        let size = |h: &History| (h.happenings.len(), h.bursts.len(), h.heartbeat, h.lags());
        let failing = smaller.into_iter().filter(|h| size(h) < size(&history)).find_map(|candidate| {
            let violation = live(&candidate, defect).err()?;
            Some((candidate, violation))
        });
        match failing {
            Some(found) => (history, violation) = found,
            None => return (history, violation),
        }
    }
}

#[track_caller]
fn assert_none(lambda: Lambda, found: Option<(u64, Violation)>) {
    let Some((seed, _)) = found else { return };
    let (history, violation) = shrink(History::new(seed, lambda), None);
    let mut report = format!("{}\nSEED={seed}, {lambda:?}, shrunk to {history:#?}\n", violation.what);
    for line in violation.trace.iter().rev().take(150).rev() {
        let _ = writeln!(report, "{line}");
    }
    panic!("{report}");
}

#[test]
fn one_invocation_at_a_time_killed_at_any_await() {
    assert_none(Lambda::Killed, first_violation(Lambda::Killed, 0..histories(), None));
}

#[test]
fn up_to_four_invocations_at_once() {
    assert_none(Lambda::Concurrent, first_violation(Lambda::Concurrent, 0..histories(), None));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let history = History::new(seed, Lambda::Both);
        let traces = [(); 2].map(|()| live(&history, None).unwrap_or_else(|violation| violation.trace).join("\n"));
        assert!(!traces[0].is_empty());
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

#[test]
fn the_history_of_a_seed() {
    let Ok(seed) = std::env::var("SEED") else { return };
    let seed = seed.parse().expect("SEED is a number");
    for lambda in [Lambda::Killed, Lambda::Concurrent] {
        let history = History::new(seed, lambda);
        println!("{history:#?}");
        match live(&history, None) {
            Ok(trace) => println!("{}", trace.join("\n")),
            Err(_) => assert_none(lambda, Some((seed, live(&history, None).unwrap_err()))),
        }
    }
}

/// Every defect is caught by one of the two modes within the default count.
#[test]
fn every_defect_is_caught() {
    let mut missed = Vec::new();
    for defect in Defect::ALL {
        let caught = [Lambda::Killed, Lambda::Concurrent]
            .into_iter()
            .filter_map(|lambda| Some((first_violation(lambda, 0..1000, Some(defect))?, lambda)))
            .min_by_key(|((seed, _), _)| *seed);
        match caught {
            Some(((seed, violation), lambda)) => {
                println!("{defect:?}: after {} histories ({lambda:?}): {}", seed + 1, violation.what)
            }
            None => missed.push(defect),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
