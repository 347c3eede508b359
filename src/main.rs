//! Cold start: logging, the configuration, the clients; then `lambda_runtime` hands over one event after another.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use drift_router::aws;
use drift_router::config::{Config, Logging, Trust};
use drift_router::metrics;
use drift_router::router::{Error, Outcome, Router, chain};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logging(Logging::from_env());
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error = %error, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let (aws, opener) = match aws::config(&Trust::from_env()).await {
        Ok(aws) => aws,
        Err(error) => {
            tracing::error!(error = chain(&error), "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let router = &Router::new(config, &aws);
    router.open_connections(&opener).await;
    let service = service_fn(async |event: LambdaEvent<Value>| {
        let function_name = event.context.env_config.function_name.clone();
        let outcome = router.handle(event).await?;
        count(&outcome, &function_name);
        Ok::<_, Error>(outcome)
    });
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the Lambda runtime stopped");
            ExitCode::FAILURE
        }
    }
}

/// Writes the invocation's metrics. An event that has been handled is not handled again for a count that is lost.
fn count(outcome: &Outcome, function_name: &str) {
    let written = match metrics::line(outcome, function_name, SystemTime::now()) {
        Ok(Some(line)) => io::stdout().write_all(&line),
        Ok(None) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = written {
        tracing::warn!(error = %error, "the metrics could not be written");
    }
}

/// The router's own lines at the configured level, everybody else's from WARN up: at DEBUG, the runtime and the SDK print
/// payloads and signed requests. `lambda_runtime`'s span at INFO gives every line its request id.
fn start_logging(logging: Logging) {
    let targets = Targets::new()
        .with_target("drift_router", logging.level)
        .with_target("lambda_runtime::layers::trace", logging.level.min(LevelFilter::INFO))
        .with_default(logging.level.min(LevelFilter::WARN));
    let registry = tracing_subscriber::registry().with(targets);
    // CloudWatch stamps every line with its time.
    let lines = tracing_subscriber::fmt::layer().without_time();
    if logging.json {
        let lines = lines.json().flatten_event(true).with_span_list(false);
        registry.with(lines).init();
    } else {
        registry.with(lines.with_ansi(false)).init();
    }
}
