//! The router's own work on an event, without I/O: it reads the event, decides, logs, counts and answers.
//! `cargo bench --bench handle`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use divan::Bencher;
use drift_router::{Config, Router};
use lambda_runtime::{Context, LambdaEvent};
use simulator::samples::sample_path;
use simulator::{Project, Simulator};

fn main() {
    divan::main();
}

/// Events that are ignored, so that no call is made.
#[divan::bench(args = ["drift-alarm-ok", "code-failed", "drift-alarm-suppressed"])]
fn ignored(bencher: Bencher<'_, '_>, sample: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let project = Project::nyctaxi();
    let (config, _) = Config::from_lookup(project.lookup(&[])).unwrap();
    let sdk = runtime.block_on(async { Simulator::new(&project).sdk_config().build() });
    let router = Router::new(config, &sdk, std::io::sink());
    let json = std::fs::read(sample_path(sample)).unwrap();
    bencher.bench(|| {
        let event = LambdaEvent::new(serde_json::from_slice(divan::black_box(&json)).unwrap(), Context::default());
        runtime.block_on(router.handle(event)).unwrap()
    });
}
