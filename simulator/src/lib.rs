//! SageMaker pipelines, CodePipeline executions and stage transitions, EventBridge rules and CloudWatch alarms as one in-process
//! state machine.
//!
//! A test tool. It implements the services' protocols, keeps state, and honours idempotency tokens. It refuses the requests that
//! the services refuse, with their error codes. It emits the events that AWS emits, and simulates faults on request. It depends
//! only on the requests that the router makes, not on how the router works.
//!
//! Modules, from the highest to the lowest. None uses one above it:
//!
//! - [`lambda`], [`samples`]: what tests share: a harness that runs the function's binary, and the sample events.
//! - [`client`]: an HTTP client for the AWS SDK that calls a [`Simulator`]: without a socket, and with any clock.
//! - [`server`]: a [`Simulator`] on a port, for `AWS_ENDPOINT_URL`; [`tls`]: with TLS.
//! - `simulator`: [`Simulator`], the handle on a world.
//! - [`world`]: [`World`], the state of one project, and its changes by people and by AWS. Start reading here.
//! - [`sagemaker`], [`codepipeline`], [`eventbridge`], [`cloudwatch`]: one service each, with its state and its operations.
//! - [`protocol`]: requests and answers as they are on the wire.
//! - [`fault`]: the simulated faults of calls.
//! - [`shape`]: the documented patterns and lengths of the services' inputs.
//! - [`record`]: what the function does, for the tests of the template.
//! - `project`: [`Project`], the names of one project, and its router's environment variables; [`nyctaxi`]: the names of the
//!   project of the sample events.
//! - `call`, `emitted`, `place`, [`time`]: the words that the services share: a call, an event, Region and account, a moment.

mod call;
pub mod client;
pub mod cloudwatch;
pub mod codepipeline;
mod emitted;
pub mod eventbridge;
pub mod fault;
pub mod lambda;
pub mod nyctaxi;
mod place;
mod project;
pub mod protocol;
pub mod record;
pub mod sagemaker;
pub mod samples;
pub mod server;
pub mod shape;
mod simulator;
pub mod time;
pub mod tls;
pub mod world;

pub use crate::call::{Call, Observer, only_reads};
pub use crate::fault::{Called, Fault};
pub use crate::project::Project;
pub use crate::simulator::Simulator;
pub use crate::time::Time;
pub use crate::world::World;
