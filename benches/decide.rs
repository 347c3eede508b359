//! The router's work on an event without I/O: it parses the event, and decides among a hundred executions.
//! `cargo bench --bench decide`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::time::{Duration, SystemTime};

use divan::Bencher;
use drift_router::config::Config;
use drift_router::decision::decide;
use drift_router::event::{Event, Occurrence, Trigger};
use drift_router::executions::{Execution, Status};
use simulator::Project;
use simulator::samples::sample_path;

fn main() {
    divan::main();
}

#[divan::bench(args = ["drift-alarm", "code-deployed", "schedule", "execution-succeeded", "codepipeline-job"])]
fn read(bencher: Bencher<'_, '_>, sample: &str) {
    let config = Config::from_lookup(Project::nyctaxi().lookup(&[])).unwrap();
    let json = std::fs::read(sample_path(sample)).unwrap();
    bencher.bench(|| Event::parse(serde_json::from_slice(divan::black_box(&json)).unwrap(), &config).unwrap());
}

#[divan::bench(args = ["code", "drift"])]
fn decide_among_a_hundred(bencher: Bencher<'_, '_>, trigger: &str) {
    let trigger = if trigger == "code" { Trigger::Code } else { Trigger::Drift };
    let occurrence =
        Occurrence { trigger, key: "sagemaker-nyctaxi-prod-threshold 2021-07-28T07:02:04.149+0000".into() };
    let executions: Vec<Execution> = (0..100)
        .map(|number| Execution {
            arn: format!("arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline/execution/{number:012}"),
            status: Status::Succeeded,
            display_name: Some(format!("code-{number:08}-afff-4465-a5f8-651f1d80bba0")),
            started: Some(SystemTime::UNIX_EPOCH),
        })
        .collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365);
    let cooldown = Some(Duration::from_hours(6));
    bencher.bench(|| decide(divan::black_box(&occurrence), &executions, cooldown, now));
}
