//! Scenarios: each test sends events to the router, and checks the answers and the state of AWS after them.
//!
//! The router and the SDK clients are the real ones. AWS is the simulator, and the clock is tokio's paused one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod catch_up;
mod events;
mod faults;
mod interlock;
mod job;
mod metrics;
mod modes;
mod page;
mod request;
mod start;
mod status;
mod waiting;
