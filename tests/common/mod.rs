//! What every scenario starts from: the project of the sample events on a simulator, and the real router before it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test support")]

pub mod runtime_api;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use drift_router::aws::timeouts;
use drift_router::config::Config;
use drift_router::metrics;
use drift_router::router::{Error, Router};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use simulator::{Project, Simulator};

pub const SCHEDULE: &str = "sagemaker-nyctaxi-schedule-build";
pub const DRIFT: &str = "sagemaker-nyctaxi-drift-build";
pub const PIPELINE_ARN: &str = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline";

/// The router and its world.
#[derive(Clone)]
pub struct Lab {
    pub simulator: Simulator,
    pub router: Router,
    context: Context,
    metrics: Arc<Mutex<Vec<Value>>>,
}

impl Lab {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With some of the function's variables changed.
    pub fn with(changed: &[(&str, &str)]) -> Self {
        let project = Project::nyctaxi();
        let environment = project.environment();
        let config = Config::from_lookup(|name| {
            simulator::record::note("variables", &json!(name));
            let value = |(n, value): &(&str, &str)| (*n == name).then(|| (*value).to_owned());
            changed.iter().find_map(value).or_else(|| environment.iter().find_map(value))
        });
        let simulator = Simulator::new(&project);
        let aws = simulator.sdk_config().timeout_config(timeouts()).build();
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        Self { simulator, router: Router::new(config.unwrap(), &aws), context, metrics: Arc::default() }
    }

    /// As with an emulator that gives no real ARN of the function.
    pub fn with_function_arn(mut self, arn: &str) -> Self {
        self.context.invoked_function_arn = arn.to_owned();
        self
    }

    /// Invokes the router with `event` and gives its answer.
    pub async fn send(&self, event: Value) -> Value {
        serde_json::to_value(self.try_send(event).await.unwrap()).unwrap()
    }

    pub async fn try_send(&self, event: Value) -> Result<Value, Error> {
        let event = LambdaEvent::new(event, self.context.clone());
        let outcome = self.router.handle(event).await?;
        let line = metrics::line(&outcome, "drift-router-nyctaxi", SystemTime::UNIX_EPOCH).unwrap();
        if let Some(line) = line {
            let line: Value = serde_json::from_slice(&line).unwrap();
            simulator::record::note("metrics", &line);
            self.metrics.lock().unwrap().push(line);
        }
        Ok(serde_json::to_value(outcome).unwrap())
    }

    /// The metrics of the last invocation that had any, as `Name Value`.
    pub fn take_metrics(&self) -> Vec<String> {
        let Some(line) = self.metrics.lock().unwrap().pop() else { return vec![] };
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        let name = |metric: &Value| metric["Name"].as_str().unwrap().to_owned();
        metrics.iter().map(name).map(|name| format!("{name} {}", line[&name])).collect()
    }

    /// Invokes the router with an event that it must refuse, and gives the error as Lambda reports it.
    pub async fn refused(&self, event: Value) -> String {
        let error = self.try_send(event).await.unwrap_err();
        lambda_runtime::Diagnostic::from(error).error_message
    }

    /// Makes the sample status event true, then sends it.
    pub async fn happens(&self, sample: &str) -> Value {
        let event = sample_event(sample);
        self.simulator.world().make_true(&event);
        self.send(event).await
    }

    /// The states of the three guards, as a person would see them.
    pub fn guards(&self) -> Value {
        let state = self.simulator.world().state();
        let rule = |name: &str| {
            let rule = &state["rules"][name];
            match (rule["enabled"].as_bool().unwrap(), &rule["tags"]["drift-router:paused-by"]) {
                (true, Value::Null) => "enabled".to_owned(),
                (true, id) => format!("enabled, but tagged {id}"),
                (false, Value::Null) => "disabled, no tag".to_owned(),
                (false, _) => "paused".to_owned(),
            }
        };
        json!({ "stage": state["stages"]["Build"]["reason"], "schedule": rule(SCHEDULE), "drift": rule(DRIFT) })
    }

    #[track_caller]
    pub fn assert_engaged(&self) {
        let guards = self.guards();
        assert!(guards["stage"].as_str().is_some_and(|r| r.starts_with("Disabled by drift-router")), "{guards}");
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

    /// The operations that were called since the last time, in order.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.simulator.world().calls).into_iter().map(|call| call.operation).collect()
    }

    /// The calls since the last time that would change something.
    pub fn take_writes(&self) -> Vec<String> {
        let reads = [
            "ListPipelineExecutions",
            "DescribePipelineExecution",
            "GetPipelineState",
            "DescribeRule",
            "ListTagsForResource",
        ];
        self.take_calls().into_iter().filter(|operation| !reads.contains(&operation.as_str())).collect()
    }
}

/// The sample event of this name.
pub fn sample_event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("events").join(name).with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The sample with some fields replaced, each by its JSON pointer.
pub fn sample_with(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut event = sample_event(name);
    for (pointer, value) in changes {
        *event.pointer_mut(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}")) = value.clone();
    }
    event
}

/// A status event of an execution.
pub fn status_event(execution_arn: &str, status: &str) -> Value {
    sample_with(
        "execution-executing",
        &[
            ("/detail/pipelineExecutionArn", execution_arn.into()),
            ("/detail/currentPipelineExecutionStatus", status.into()),
        ],
    )
}
