//! drift-router: one AWS Lambda that keeps a SageMaker model fresh and its build line safe.
//!
//! Events are hints, AWS is the truth: an event says *look now*; the router looks at the pipeline's executions and at the
//! guards, decides, acts, and looks again. All state lives in SageMaker, CodePipeline and EventBridge.
//!
//! The map, in the direction in which data flows:
//!
//! - [`router`]: [`router::Router::handle`], one invocation: observe, decide, act, verify. Start reading here.
//! - [`event`]: what may arrive: the wire's shapes in, one [`event::Event`] out.
//! - [`decision`]: pure: an occurrence and the executions seen, in; what to do, out.
//! - [`executions`]: the SageMaker pipeline's executions: list, describe, start.
//! - [`interlock`]: the guards that are disabled while an execution runs: the stage's transition and the rules.
//! - [`job`]: the answers to a CodePipeline action that waits for the retraining.
//! - [`metrics`]: what an invocation did, for CloudWatch.
//! - [`aws`]: the SDK's configuration, for a quick cold start.
//! - [`config`]: the only place that reads the environment.
//!
//! `main.rs` only wires these together and hands over to `lambda_runtime`.

pub mod aws;
pub mod config;
pub mod decision;
pub mod event;
pub mod executions;
pub mod interlock;
pub mod job;
pub mod metrics;
pub mod router;

/// Whatever an AWS client said, kept as the source of a typed error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
