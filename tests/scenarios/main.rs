//! What a user sees, scenario by scenario: the answer to each event, and the state of AWS after it.
//!
//! The real router and the real SDK clients, on the simulator and tokio's paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod events;
mod faults;
mod interlock;
mod job;
mod metrics;
mod start;
