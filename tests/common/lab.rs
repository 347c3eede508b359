//! [`Lab`]: the router, with a simulated AWS that has the project of the sample events.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use simulator::nyctaxi::{DRIFT_RULE, SCHEDULE_RULE, STAGE};
use simulator::samples::sample_event;
use simulator::{Project, Simulator, only_reads};

use super::dry_run::DryRun;
use super::instance::Instance;
use super::marks::{MARK, TAG};
use super::shown::Shown;

/// Deployments come by an action of the CodePipeline, not by event.
pub const DEPLOYED_BY_ACTION: (&str, &str) = ("DEPLOYMENT_TRIGGER", "action");

/// A router and the simulator that it calls.
///
/// A status and a dry run come before every event that a test sends: [`Shown`] and [`DryRun`] tell what they check. A test that sets
/// `MODE` itself has no dry run.
#[derive(Clone)]
pub struct Lab {
    pub simulator: Simulator,
    instance: Instance,
    /// How many invocations began and ended.
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Lab {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A lab whose deployments come by an action of the CodePipeline.
    pub fn with_actions() -> Self {
        Self::with(&[DEPLOYED_BY_ACTION])
    }

    /// A lab whose router has some environment variables changed.
    pub fn with(changed: &[(&str, &str)]) -> Self {
        Self::on(Simulator::new(&Project::nyctaxi()), changed)
    }

    /// A lab with this simulator.
    fn on(simulator: Simulator, changed: &[(&str, &str)]) -> Self {
        let instance = Instance::new(simulator.clone(), changed);
        Self { simulator, instance, begun: Arc::default(), ended: Arc::default() }
    }

    /// The router of another SageMaker pipeline, with the same stage, rules and simulator.
    pub fn router_of(&self, pipeline: &str) -> Self {
        self.with_variables(&[("SAGEMAKER_PIPELINE_NAME", pipeline)])
    }

    /// A router with some environment variables changed, and the same simulator.
    pub fn with_variables(&self, changed: &[(&str, &str)]) -> Self {
        Self::on(self.simulator.clone(), changed)
    }

    /// Invokes the router under another function ARN. An emulator gives an ARN of another account.
    pub fn with_function_arn(mut self, arn: &str) -> Self {
        self.instance.context.invoked_function_arn = arn.to_owned();
        self
    }

    /// Lambda ends every invocation of this lab after the time `left`, from now.
    pub fn with_deadline(mut self, left: Duration) -> Self {
        let deadline = self.simulator.world().now() + left;
        self.instance.context.deadline = u64::try_from(deadline.as_millis()).unwrap();
        self
    }

    /// Invokes the router with `event`, after its dry run, and returns the answer.
    pub async fn send(&self, event: Value) -> Value {
        self.try_send(event).await.unwrap()
    }

    /// Invokes the router with `event`, after its dry run, and returns the answer or the error.
    pub async fn try_send(&self, event: Value) -> Result<Value, Diagnostic> {
        let dry_run = match self.instance.changes("MODE") {
            true => None,
            false => DryRun::before(&event, &self.instance),
        };
        let shown = Shown::before(&self.instance);
        let (answer, is_comparable) = self.handle(event.clone()).await;
        let answer = answer?;
        // An answer to a widget is not compared.
        if is_comparable && event.get("widgetContext").is_none() {
            shown.assert_done(&event, &answer);
            if let Some(dry_run) = dry_run {
                dry_run.assert_reported(&answer);
            }
        }
        Ok(answer)
    }

    /// Invokes the router under test. Also returns whether nothing else can have changed the world since before the invocation.
    async fn handle(&self, event: Value) -> (Result<Value, Diagnostic>, bool) {
        // While calls take time, others may change something between them.
        let is_calm = {
            let world = self.simulator.world();
            !world.has_faults() && world.latency.is_zero()
        };
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        let was_alone = self.ended.load(Ordering::Relaxed) == before;
        let answer = self.instance.handle(event).await;
        let is_alone = was_alone && self.begun.load(Ordering::Relaxed) == before + 1;
        self.ended.fetch_add(1, Ordering::Relaxed);
        (answer, is_alone && is_calm)
    }

    /// Invokes the router with an event that it must refuse, and returns the error as Lambda reports it.
    pub async fn refused(&self, event: Value) -> String {
        self.try_send(event).await.unwrap_err().error_message
    }

    /// Sets the simulator's state to what the sample event reports, then sends the event.
    pub async fn deliver(&self, sample: &str) -> Value {
        let event = sample_event(sample);
        self.simulator.world().force_state(&event);
        self.send(event).await
    }

    /// The states of the stage's transition and of the two rules.
    pub fn guards(&self) -> Value {
        let state = self.simulator.world().state();
        let rule = |name: &str| {
            let rule = &state["rules"][name];
            match (rule["enabled"].as_bool().unwrap(), &rule["tags"][TAG]) {
                (true, Value::Null) => "enabled".to_owned(),
                (true, id) => format!("enabled, but tagged {id}"),
                (false, Value::Null) => "disabled, no tag".to_owned(),
                (false, _) => "paused".to_owned(),
            }
        };
        json!({ "stage": state["stages"][STAGE]["reason"], "schedule": rule(SCHEDULE_RULE), "drift": rule(DRIFT_RULE) })
    }

    #[track_caller]
    pub fn assert_engaged(&self) {
        let guards = self.guards();
        assert!(guards["stage"].as_str().is_some_and(|r| r.starts_with(MARK)), "{guards}");
        assert_eq!((&guards["schedule"], &guards["drift"]), (&json!("paused"), &json!("paused")));
    }

    #[track_caller]
    pub fn assert_released(&self) {
        assert_eq!(self.guards(), json!({ "stage": null, "schedule": "enabled", "drift": "enabled" }));
    }

    /// The display names of all executions, oldest first.
    pub fn executions(&self) -> Vec<String> {
        let world = self.simulator.world();
        let executions = world.sagemaker.executions.iter();
        executions.map(|e| e.display_name.clone().unwrap_or_default()).collect()
    }

    /// Takes the metrics of the last invocation that wrote some, as `Name Value`.
    pub fn take_metrics(&self) -> Vec<String> {
        self.instance.take_metrics()
    }

    /// The operations that the router called since the last call of this function, in order.
    pub fn take_calls(&self) -> Vec<String> {
        self.instance.take_calls()
    }

    /// The same without the operations that only read.
    pub fn take_writes(&self) -> Vec<String> {
        self.take_calls().into_iter().filter(|operation| !only_reads(operation)).collect()
    }
}
