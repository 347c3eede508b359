//! drift-router: one AWS Lambda that starts SageMaker retraining on drift, deployment or schedule, and blocks the CodePipeline build
//! stage while it runs.
//!
//! An event only wakes the router. It reads the current state from AWS, decides, applies the difference and reads again. So
//! repeated, late or lost events are safe. All state is in SageMaker, CodePipeline, EventBridge and CloudWatch.
//!
//! The map. `main.rs` only wires these together:
//!
//! - `handler`: one invocation: payload → event → flow → outcome. The only place that logs and counts. Start reading here.
//! - `event`: reads the payload: wire shapes in, one `Event` out. It decides nothing.
//! - `policy`: pure decisions: is the event relevant, is an occurrence owed, does it start an execution, what should each guard be;
//!   names and tokens.
//! - `parameters`: the pipeline parameters of a start.
//! - `reconcile`, `retrain`, `heartbeat`, `job`: the flows. They observe, carry out decisions, and verify.
//! - `aws`: the only code that calls AWS, one adapter for each service.
//! - `model`: the types of the domain.
//! - `outcome`, `metrics`: what an invocation did, for the answer, the log and CloudWatch.
//! - `config`: the only reader of the environment.
//!
//! To follow a drift alarm: `handler::Router::handle` → `event::Event::parse` → `policy::alarm_relevance` → `retrain::retrain` →
//! `policy::decide_start` → `aws::Pipeline::start` → `reconcile::converge`.

mod aws;
mod config;
mod event;
mod handler;
mod heartbeat;
mod job;
mod metrics;
mod model;
mod outcome;
mod parameters;
mod policy;
mod reconcile;
mod retrain;

pub use crate::aws::{ClientError, Preconnect, sdk_config, timeouts};
pub use crate::config::{Config, ConfigError, Logging, SdkSettings};
pub use crate::handler::Router;
pub use crate::outcome::Outcome;
