//! [`Lab`]: the router, with a simulated AWS that has the project of the sample events.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use simulator::samples::sample_event;
use simulator::{Project, Simulator, record};

pub const SCHEDULE: &str = "sagemaker-nyctaxi-schedule-build";
pub const DRIFT: &str = "sagemaker-nyctaxi-drift-build";
pub const PIPELINE_ARN: &str = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline";

/// A router and the simulator that it calls.
#[derive(Clone)]
pub struct Lab {
    pub simulator: Simulator,
    pub router: Arc<Router>,
    context: Context,
    metrics: Metrics,
    /// The environment variables that differ from the project's.
    changed: Vec<(String, String)>,
    /// How many invocations began and ended.
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

/// The operations that change nothing.
const READS: [&str; 7] = [
    "ListPipelineExecutions",
    "DescribePipelineExecution",
    "GetPipelineState",
    "DescribeRule",
    "ListTagsForResource",
    "DescribeAlarms",
    "ListAlarmMuteRules",
];

/// Collects the lines of metrics that the router writes.
#[derive(Clone, Default)]
struct Metrics(Arc<Mutex<Vec<Value>>>);

impl Write for Metrics {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let metrics = serde_json::from_slice(line)?;
        record::note("metrics", &metrics);
        self.0.lock().unwrap().push(metrics);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lab {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A lab whose deployments come by an action of the CodePipeline.
    pub fn with_actions() -> Self {
        Self::with(&[("DEPLOYMENT_TRIGGER", "action")])
    }

    /// A lab whose router has some environment variables changed.
    pub fn with(changed: &[(&str, &str)]) -> Self {
        Self::on(Simulator::new(&Project::nyctaxi()), changed)
    }

    /// A lab with this simulator.
    fn on(simulator: Simulator, changed: &[(&str, &str)]) -> Self {
        let project = Project::nyctaxi();
        let lookup = project.lookup(changed);
        let config = Config::from_lookup(|name| {
            // Only the router's own variables are recorded, not those of the SDK and of Lambda.
            if !name.starts_with("AWS_") {
                record::note("variables", &json!(name));
            }
            lookup(name)
        });
        let aws = simulator.sdk_config().timeout_config(timeouts()).build();
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        context.env_config = Arc::new(lambda_runtime::Config {
            function_name: "drift-router-nyctaxi".into(),
            ..lambda_runtime::Config::default()
        });
        let metrics = Metrics::default();
        let router = Router::new(config.unwrap().0, &aws, metrics.clone());
        let changed = changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            simulator,
            router: Arc::new(router),
            context,
            metrics,
            changed,
            begun: Arc::default(),
            ended: Arc::default(),
        }
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
        self.context.invoked_function_arn = arn.to_owned();
        self
    }

    /// Invokes the router with `event`, and returns its answer.
    pub async fn send(&self, event: Value) -> Value {
        serde_json::to_value(self.try_send(event).await.unwrap()).unwrap()
    }

    /// Invokes the router with `event`, and returns its answer or its error.
    ///
    /// Every event of every scenario is also sent to a router with `MODE=dry-run`, on a copy of the simulator. It must change
    /// nothing, and report what the active router does.
    pub async fn try_send(&self, event: Value) -> Result<Value, Diagnostic> {
        let rehearsed = match self.changed.iter().any(|(name, _)| name == "MODE") {
            true => None,
            false => self.rehearse(event.clone()),
        };
        // While calls take time, others may change something between them.
        let is_calm = {
            let world = self.simulator.world();
            !world.has_faults() && world.latency.is_zero()
        };
        let before = self.begun.fetch_add(1, Ordering::Relaxed);
        let was_alone = self.ended.load(Ordering::Relaxed) == before;
        let answer = self.handle(event).await;
        let is_alone = was_alone && self.begun.load(Ordering::Relaxed) == before + 1;
        self.ended.fetch_add(1, Ordering::Relaxed);
        let answer = answer?;
        if let Some(rehearsed) = rehearsed.filter(|_| is_alone && is_calm) {
            let rehearsed = rehearsed.expect("a dry run fails only where the active router fails");
            assert_eq!(rehearsed["dryRun"], true);
            // Only a real start shows SageMaker's limit and the effect of a token that was used before.
            let tried = rehearsed["action"] == "started" && answer["action"] != "started";
            let is_refused = tried && ["deferred", "alreadyRunning"].contains(&answer["action"].as_str().unwrap());
            assert!(is_refused || rehearsed["action"] == answer["action"], "dry run {rehearsed}, then {answer}");
        }
        Ok(answer)
    }

    async fn handle(&self, event: Value) -> Result<Value, Diagnostic> {
        let outcome = self.router.handle(LambdaEvent::new(event, self.context.clone())).await?;
        Ok(serde_json::to_value(outcome).unwrap())
    }

    /// Sends the event to a router in dry-run mode, on a copy of the simulator with its own clock. Checks its calls and metrics.
    /// Returns its answer, but none for a job, because a job's first call is refused.
    fn rehearse(&self, event: Value) -> Option<Result<Value, Diagnostic>> {
        let mut changed = self.changed.clone();
        changed.push(("MODE".to_owned(), "dry-run".to_owned()));
        let (simulator, context) = (self.simulator.copy(), self.context.clone());
        let is_job = event.get("CodePipeline.job").is_some();
        let rehearsal = async move {
            simulator.world().restart();
            let changed: Vec<(&str, &str)> =
                changed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let lab = Self { context, ..Self::on(simulator, &changed) };
            let answer = lab.handle(event).await;
            for call in lab.take_calls() {
                record::note("dry-run", &json!(call));
                let is_answer = is_job && ["PutJobSuccessResult", "PutJobFailureResult"].contains(&call.as_str());
                assert!(READS.contains(&call.as_str()) || is_answer, "a dry run called {call}");
            }
            let metrics = lab.take_metrics();
            let counts_start = |metric: &String| metric.starts_with("Started ") || metric.starts_with("CaughtUp ");
            assert!(!metrics.iter().any(counts_start), "a dry run counted a start: {metrics:?}");
            answer
        };
        let on_its_own_clock = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(rehearsal)
        };
        let answer = std::thread::spawn(on_its_own_clock).join();
        Some(answer.expect("see the message of the dry run's thread")).filter(|_| !is_job)
    }

    /// Takes the metrics of the last invocation that wrote some, as `Name Value`.
    pub fn take_metrics(&self) -> Vec<String> {
        let Some(line) = self.metrics.0.lock().unwrap().pop() else { return vec![] };
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        let name = |metric: &Value| metric["Name"].as_str().unwrap().to_owned();
        metrics.iter().map(name).map(|name| format!("{name} {}", line[&name])).collect()
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

    /// The operations that the router called since the last call of this function, in order.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.simulator.world().calls).into_iter().map(|call| call.operation).collect()
    }

    /// The same without the operations that only read.
    pub fn take_writes(&self) -> Vec<String> {
        self.take_calls().into_iter().filter(|operation| !READS.contains(&operation.as_str())).collect()
    }
}
