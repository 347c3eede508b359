//! [`Instance`]: one instance of the function, in-process. It is the real router with the real SDK clients; only AWS is simulated.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use simulator::{Project, Simulator, record};

/// A router of the sample project, with its environment variables, and the metrics that it writes.
#[derive(Clone)]
pub struct Instance {
    pub simulator: Simulator,
    pub context: Context,
    router: Arc<Router>,
    metrics: Metrics,
    /// The environment variables that differ from the project's.
    changed: Vec<(String, String)>,
}

impl Instance {
    /// An instance that calls this simulator, with some environment variables changed.
    pub fn new(simulator: Simulator, changed: &[(&str, &str)]) -> Self {
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
        let router = Arc::new(Router::new(config.unwrap().0, &aws, metrics.clone()));
        let changed = changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { simulator, context, router, metrics, changed }
    }

    /// The same function on another simulator, with one more environment variable changed.
    pub fn with(&self, simulator: Simulator, variable: (&str, &str)) -> Self {
        let changed = self.changed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let changed: Vec<(&str, &str)> = changed.chain([variable]).collect();
        Self { context: self.context.clone(), ..Self::new(simulator, &changed) }
    }

    /// The same function on another simulator.
    pub fn on(&self, simulator: Simulator) -> Self {
        let changed: Vec<(&str, &str)> =
            self.changed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { context: self.context.clone(), ..Self::new(simulator, &changed) }
    }

    /// Whether the test has changed this environment variable.
    pub fn changes(&self, variable: &str) -> bool {
        self.changed.iter().any(|(name, _)| name == variable)
    }

    /// Handles one event.
    pub async fn handle(&self, event: Value) -> Result<Value, Diagnostic> {
        let outcome = self.router.handle(LambdaEvent::new(event, self.context.clone())).await?;
        Ok(serde_json::to_value(outcome).unwrap())
    }

    /// Takes the metrics of the last invocation that wrote some, as `Name Value`.
    pub fn take_metrics(&self) -> Vec<String> {
        let Some(line) = self.metrics.0.lock().unwrap().pop() else { return vec![] };
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        let name = |metric: &Value| metric["Name"].as_str().unwrap().to_owned();
        metrics.iter().map(name).map(|name| format!("{name} {}", line[&name])).collect()
    }

    /// The operations that were called since the last call of this function, in order.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.simulator.world().calls).into_iter().map(|call| call.operation).collect()
    }
}

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
