//! SageMaker pipelines, CodePipeline executions and stage transitions, EventBridge rules and CloudWatch alarms as one in-process
//! state machine.
//!
//! A test tool. It implements the services' protocols, keeps state, and honours idempotency tokens. It refuses the requests that
//! the services refuse, with their error codes. It emits the events that AWS emits, and simulates faults on request. It depends
//! only on the requests that the router makes, not on how the router works.
//!
//! Modules:
//!
//! - [`world`]: [`World`], the state of one project, and its changes by people and by AWS. Start reading here.
//! - [`sagemaker`], [`codepipeline`], [`eventbridge`], [`cloudwatch`]: one service each, with its state and its operations.
//! - [`protocol`]: requests and answers as they are on the wire.
//! - [`shape`]: the documented patterns and lengths of the services' inputs.
//! - [`fault`]: the simulated faults of calls.
//! - [`client`]: an HTTP client for the AWS SDK that calls a [`Simulator`]: without a socket, and with any clock.
//! - [`server`]: a [`Simulator`] on a port, for `AWS_ENDPOINT_URL`; [`tls`]: with TLS.
//! - [`samples`], [`lambda`], and [`Project::lookup`], which tests share: the sample events, a harness that runs the function's
//!   binary, and the environment variables.

pub mod client;
pub mod cloudwatch;
pub mod codepipeline;
mod environment;
pub mod eventbridge;
pub mod fault;
pub mod lambda;
pub mod protocol;
pub mod record;
pub mod sagemaker;
pub mod samples;
pub mod server;
pub mod shape;
pub mod tls;
pub mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::fault::{Called, Fault};
pub use crate::world::{Call, Project, World};

/// A handle on a [`World`] that clients, servers and tests share.
#[derive(Clone, Debug)]
pub struct Simulator {
    world: Arc<Mutex<World>>,
}

impl Simulator {
    /// A new world with `project` in it, and nothing running.
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(project))) }
    }

    /// An independent simulator with a [copy](World::copy) of the world.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { world: Arc::new(Mutex::new(self.world().copy())) }
    }

    /// The world, to read or to change. It must not be kept across an `await`.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
