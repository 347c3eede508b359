//! The function under test: the real router, active or set to drain. An invocation may be killed at any `await`.

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use simulator::{Project, Simulator, Time};

use crate::defect::Defect;
use crate::history::History;
use crate::names::LISTED_ALARMS;
use crate::wire::{INVOCATION, Invocation, Wire};

/// The router, in the two modes that a history uses.
pub struct Function {
    active: Arc<Router>,
    draining: Arc<Router>,
    context: Context,
    region: String,
    /// Whether events lose their account and Region, so that the router takes every event for its own.
    believes_foreign_events: bool,
    /// The time that an invocation may take. The router learns it as its deadline.
    timeout: Option<Duration>,
    simulator: Simulator,
    /// The operations other than reads that a status called.
    pub status_writes: Arc<Mutex<Vec<String>>>,
    /// The metrics since they were last taken.
    pub metrics: Metrics,
    /// Whether the router is set to drain.
    pub drains: bool,
    /// When it was last set to drain.
    pub drained_at: Option<Time>,
}

impl Function {
    pub fn new(history: &History, project: &Project, simulator: &Simulator, wire: Wire) -> Self {
        let cooldown = history.cooldown.map(|cooldown| format!("{}s", cooldown.as_secs())).unwrap_or_default();
        let alarms = if history.lists_alarms { LISTED_ALARMS.join(",") } else { String::new() };
        let per_day = history.catch_up_per_day.map(|number| number.to_string()).unwrap_or_default();
        let parameters = if history.has_parameters { r#"{"Why": "{trigger} {key} {time}"}"# } else { "" };
        let believes_foreign_events = wire.defect() == Some(Defect::BelievesForeignEvents);
        let ignores_the_deadline = wire.defect() == Some(Defect::IgnoresTheDeadline);
        let status_writes = wire.status_writes.clone();
        let aws = simulator.sdk_config().timeout_config(timeouts()).http_client(wire.http_client()).build();
        let metrics = Metrics::default();
        let router = |mode| {
            let config = Config::from_lookup(project.lookup(&[
                ("MODE", mode),
                ("DRIFT_COOLDOWN", &cooldown),
                ("DRIFT_ALARM_NAMES", &alarms),
                ("CATCH_UP_PER_DAY", &per_day),
                ("DEPLOYMENT_TRIGGER", if history.has_actions { "action" } else { "event" }),
                ("DEPLOYMENT_WHILE_RUNNING", if history.deployments_wait { "wait" } else { "start" }),
                ("PIPELINE_PARAMETERS", parameters),
            ]));
            Arc::new(Router::new(config.unwrap().0, &aws, metrics.clone()))
        };
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        Self {
            active: router("active"),
            draining: router("drain"),
            context,
            region: project.region.clone(),
            believes_foreign_events,
            timeout: history.timeout.filter(|_| !ignores_the_deadline),
            simulator: simulator.clone(),
            status_writes,
            metrics,
            drains: false,
            drained_at: None,
        }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn set_draining(&mut self, drains: bool, now: Time) {
        self.drains = drains;
        if drains {
            self.drained_at = Some(now);
        }
    }

    /// One invocation. It is killed after this number of polls, and then returns nothing.
    pub fn invoke(&self, event: &Value, polls: usize) -> impl Future<Output = Option<Result<Value, String>>> + use<> {
        let router = if self.drains { self.draining.clone() } else { self.active.clone() };
        let invocation = Mutex::new(Invocation::new(event.clone(), self.drains));
        let mut event = event.clone();
        if let Some(fields) = event.as_object_mut().filter(|_| self.believes_foreign_events) {
            fields.retain(|name, _| name != "account" && name != "region");
        }
        let mut context = self.context.clone();
        let (timeout, simulator) = (self.timeout, self.simulator.clone());
        let handled = async move {
            if let Some(timeout) = timeout {
                let deadline = simulator.world().client_time() + timeout;
                context.deadline = u64::try_from(deadline.as_millis()).unwrap();
            }
            match router.handle(LambdaEvent::new(event, context)).await {
                Ok(outcome) => Ok(serde_json::to_value(outcome).unwrap()),
                Err(error) => Err(error.error_message),
            }
        };
        CancelAfterPolls { run: Box::pin(INVOCATION.scope(invocation, handled)), polls }
    }
}

/// Collects the lines of metrics that the router writes.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Value>>>);

impl Metrics {
    /// Takes the last line, if there is one.
    pub fn take(&self) -> Option<Value> {
        std::mem::take(&mut *self.0.lock().unwrap()).pop()
    }
}

impl Write for Metrics {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(serde_json::from_slice(line)?);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Drops a future after this number of polls, as Lambda kills an invocation.
struct CancelAfterPolls<F> {
    run: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for CancelAfterPolls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.run.as_mut().poll(context).map(Some)
    }
}
