//! Start-up: logging, configuration, clients. Then `lambda_runtime` calls the router for each event.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use drift_router::{Config, Logging, Router, sdk_config};
use lambda_runtime::service_fn;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start_logging(Logging::from_env());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "the function starts");
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = error.source().map(ToString::to_string);
            tracing::error!(error = %error, source, "the function stopped");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (config, settings) = Config::from_env()?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let (sdk, preconnect) = sdk_config(&settings).await?;
    let router = &Router::new(config, &sdk, io::stdout());
    router.preconnect(&preconnect).await;
    lambda_runtime::run(service_fn(|event| router.handle(event))).await
}

/// Logs the router's own lines at the configured level. Of other crates, only WARN and ERROR are logged, as the runtime and the SDK
/// print payloads and signed requests at DEBUG. The span of `lambda_runtime` at INFO gives every line its request id. The line in
/// which `lambda_runtime` repeats an error is left out: the router has already logged it.
fn start_logging(logging: Logging) {
    let targets = Targets::new()
        .with_target("drift_router", logging.level)
        .with_target("lambda_runtime::layers::trace", logging.level.min(LevelFilter::INFO))
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
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
