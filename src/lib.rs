//! drift-router: one AWS Lambda that starts SageMaker retraining on drift, deployment or schedule, and blocks the CodePipeline build
//! stage while it runs.
//!
//! An event only invokes the router. It reads the current state from AWS, decides, applies the difference and reads again. So events
//! may come twice and late, and a heartbeat finds listed drift and new code whose event was lost. All state is in SageMaker,
//! CodePipeline, EventBridge and CloudWatch.
//!
//! The map. `main.rs` only wires these together:
//!
//! - `handler`: one invocation: payload → event → flow → answer. The only place that logs and counts. Start reading here.
//! - `event`: what arrives: wire shapes in, one `Event` out. It decides nothing.
//! - `flow`: what is done: `observation`, `interlock`, `retrain`, `heartbeat`, `job` and `status`. A flow observes, carries out
//!   decisions, and verifies.
//! - `policy`: pure decisions: is an event relevant (`trigger`), is an occurrence owed (`verdict`), what does a heartbeat start
//!   (`plan`), with which request (`start`, `parameters`), what does an action ask (`action`), what should each guard be
//!   (`interlock`), do the retrainings fail (`training`).
//! - `aws`: the only code that calls AWS, one file for one thing.
//! - `model`: the words of the domain.
//! - `outcome`, `metrics`: what an invocation did, for the answer, the log and CloudWatch.
//! - `page`: the status as HTML, for a widget of a CloudWatch dashboard.
//! - `config`: the only reader of the environment.
//!
//! To follow a drift alarm: `handler::Router::handle` → `event::Event::parse` → `policy::trigger::of_alarm` →
//! `flow::retrain::retrain` → `policy::verdict::of_event` → `aws::Pipeline::start` → `flow::interlock::converge`.

mod aws;
mod config;
mod event;
mod flow;
mod handler;
mod metrics;
mod model;
mod outcome;
mod page;
mod policy;

pub use crate::aws::{ClientError, Preconnect, sdk_config, timeouts};
pub use crate::config::sdk::{Logging, SdkSettings};
pub use crate::config::{Config, ConfigError};
pub use crate::handler::{Answer, Router};
pub use crate::outcome::Outcome;
pub use crate::outcome::status::Status;
