//! What the tests of the router share: [`Lab`], the router with a simulated AWS that has the project of the sample events.
//!
//! **The router handles every event twice**: `Lab::send` gives it to a router with `MODE=dry-run` first, on a copy of the simulator,
//! and then to the router under test. `dry_run.rs` tells what every scenario so tests besides its own subject.

mod dry_run;
mod instance;
mod lab;

pub use lab::{DRIFT, Lab, PIPELINE_ARN, SCHEDULE};
