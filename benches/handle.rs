//! The router's own work on an event, without I/O: it reads the event, decides, logs, counts and answers.
//! `cargo bench --bench handle`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use divan::Bencher;
use drift_router::{Config, Router};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;
use simulator::nyctaxi::{ALARM, ALARM_NAMES, STAGING_ALARM};
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

/// A status with ten executions and two alarms, as JSON and as a page. The calls to the simulator are in both.
#[divan::bench(args = ["as JSON", "as a page"])]
fn status(bencher: Bencher<'_, '_>, form: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let project = Project::nyctaxi();
    let (config, _) = Config::from_lookup(project.lookup(&[("DRIFT_ALARM_NAMES", ALARM_NAMES)])).unwrap();
    let simulator = runtime.block_on(async { Simulator::new(&project) });
    runtime.block_on(async {
        let mut world = simulator.world();
        for _ in 0..10 {
            let arn = world.start_execution(None);
            world.set_execution_status(&arn, "Succeeded");
        }
        world.change_alarm(ALARM, "ALARM");
        world.change_alarm(STAGING_ALARM, "ALARM");
    });
    let router = Router::new(config, &simulator.sdk_config().build(), std::io::sink());
    let payload = if form == "as JSON" {
        json!({ "source": "drift-router", "detail-type": "Status" })
    } else {
        json!({ "widgetContext": { "width": 900 } })
    };
    bencher.bench(|| {
        let event = LambdaEvent::new(payload.clone(), Context::default());
        simulator.world().calls.clear();
        runtime.block_on(router.handle(event)).unwrap()
    });
}
