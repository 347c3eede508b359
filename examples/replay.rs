//! Sends events to the real router on a simulated AWS, and prints the answers, the calls and the guards.
//!
//! `cargo run --example replay` sends a series of the files in `events/`;
//! `cargo run --example replay -- events/drift-alarm.json …` sends the named files, in that order.
//! Before a status event is sent, the simulator's execution gets the status that the event reports.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its user")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use simulator::samples::sample_path;
use simulator::{Call, Project, Simulator};

/// The sample events that are sent where no file is named, and what each of them reports.
const STORY: [(&str, &str); 10] = [
    ("code-deployed", "New training code is deployed"),
    ("execution-executing", "SageMaker reports that the retraining has started"),
    ("drift-alarm", "The data drifts while the retraining runs"),
    ("code-deployed", "EventBridge delivers the deployment a second time"),
    ("execution-succeeded", "The retraining succeeds"),
    ("schedule", "The schedule ticks"),
    ("drift-alarm", "The data still drifts"),
    ("reconcile", "The heartbeat looks after everything"),
    ("execution-failed", "The scheduled retraining fails"),
    ("drift-alarm-ok", "The data is well again"),
];

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const STOPPED: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// One event to send.
struct Step {
    file: PathBuf,
    tells: Option<&'static str>,
    event: Value,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{BAD}replay:{BAD:#} {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let named: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    // Every file is read before the first event is sent, so that a bad file stops the program at once.
    let steps = if named.is_empty() {
        let read = |(name, tells): &(&str, &'static str)| read(sample_path(name), Some(*tells));
        STORY.iter().map(read).collect::<Result<Vec<_>, _>>()?
    } else {
        named.into_iter().map(|file| read(file, None)).collect::<Result<Vec<_>, _>>()?
    };

    let project = Project::nyctaxi();
    let simulator = Simulator::new(&project);
    let (config, _) = Config::from_lookup(project.lookup(&[]))?;
    let router = Router::new(config, &simulator.sdk_config().timeout_config(timeouts()).build(), std::io::sink());
    let mut context = Context::default();
    context.invoked_function_arn = project.function_arn();

    println!(
        "{STRONG}The real router on a simulated AWS{STRONG:#}: project nyctaxi, nothing runs, nothing is disabled."
    );
    let mut failed = 0;
    for (number, step) in steps.into_iter().enumerate() {
        simulator.world().force_state(&step.event);
        let file = step.file.file_name().unwrap_or(step.file.as_os_str()).to_string_lossy().into_owned();
        let tells = step.tells.map(|tells| format!("   {tells}.")).unwrap_or_default();
        println!("\n{STRONG}{:>2}  {file}{STRONG:#}{FAINT}{tells}{FAINT:#}", number + 1);
        match router.handle(LambdaEvent::new(step.event, context.clone())).await {
            Ok(outcome) => print_answer(&serde_json::to_value(outcome)?),
            Err(error) => {
                failed += 1;
                println!("    router  {BAD}failed{BAD:#}: {}", error.error_message);
            }
        }
        print_calls(&std::mem::take(&mut simulator.world().calls));
        print_guards(&simulator.world().state());
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of the events failed").into()) }
}

fn read(file: PathBuf, tells: Option<&'static str>) -> Result<Step, Box<dyn Error>> {
    let text = std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let event = serde_json::from_slice(&text).map_err(|error| format!("{} is not JSON: {error}", file.display()))?;
    Ok(Step { file, tells, event })
}

fn print_answer(answer: &Value) {
    let text = |name: &str| answer[name].as_str();
    let action = text("action").unwrap_or_default();
    let mut why = Vec::new();
    why.extend(text("reason").map(str::to_owned));
    if let (Some(arn), None) = (text("executionArn"), text("reason")) {
        why.push(format!("execution {}", arn.rsplit('/').next().unwrap_or(arn)));
    }
    why.extend(text("key").map(|key| format!("for {key}")));
    println!("    router  {STRONG}{action}{STRONG:#}: {}", why.join(", "));
}

/// Prints the calls in order, one line for each run of reads or of writes. Calls of one operation in a line are counted.
fn print_calls(calls: &[Call]) {
    let reads = |call: &Call| ["List", "Describe", "Get"].iter().any(|verb| call.operation.starts_with(verb));
    for phase in calls.chunk_by(|one, next| reads(one) == reads(next)) {
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for call in phase {
            match counted.iter_mut().find(|(operation, _)| *operation == call.operation) {
                Some((_, times)) => *times += 1,
                None => counted.push((&call.operation, 1)),
            }
        }
        let times = |times| if times > 1 { format!(" ×{times}") } else { String::new() };
        let words: Vec<String> = counted.into_iter().map(|(word, n)| format!("{word}{}", times(n))).collect();
        let (verb, style) = if phase.first().is_some_and(reads) { ("looks ", FAINT) } else { ("writes", Style::new()) };
        println!("    {verb}  {style}{}{style:#}", words.join(", "));
    }
}

fn print_guards(state: &Value) {
    let word = |enabled: &Value| match enabled.as_bool() {
        Some(true) => format!("{GOOD}enabled{GOOD:#} "),
        _ => format!("{STOPPED}disabled{STOPPED:#}"),
    };
    let project = Project::nyctaxi();
    println!(
        "    guards  Build stage {}   schedule rule {}   drift rule {}",
        word(&state["stages"]["Build"]["enabled"]),
        word(&state["rules"][&project.schedule_rule]["enabled"]),
        word(&state["rules"][&project.drift_rule]["enabled"]),
    );
}
