//! Sends events to the real router on a simulated AWS, and prints the answers, the calls and the guards.
//!
//! `cargo run --example replay` plays some days, with files in `events/` and with an alarm that no event reports.
//! `cargo run --example replay -- events/drift-alarm.json …` sends the named files, in that order.
//! Before an event is sent, the simulator gets the state that the event reports. The clock is simulated: no real time passes.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its user")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use simulator::nyctaxi::ALARM;
use simulator::samples::sample_path;
use simulator::time::{HOUR, MINUTE};
use simulator::{Call, Project, Simulator};

/// The steps if no file is named: the time since the previous step, the sample event to send, and what the step reports. A step
/// without a sample event (`None`) is an alarm whose event EventBridge does not deliver.
const STORY: [(Duration, Option<&str>, &str); 11] = [
    (Duration::ZERO, Some("code-deployed"), "New training code is deployed"),
    (MINUTE, Some("execution-executing"), "SageMaker reports that the retraining has started"),
    (
        HOUR,
        None,
        "The data drifts while the retraining runs. The router has disabled the drift rule, so no event is delivered",
    ),
    (MINUTE, Some("code-deployed"), "EventBridge delivers the deployment a second time"),
    (HOUR, Some("execution-succeeded"), "The retraining succeeds"),
    (HOUR, Some("heartbeat"), "The heartbeat finds the alarm. The retraining waits for the cooldown"),
    (
        Duration::from_hours(21),
        Some("heartbeat"),
        "The cooldown is over. The heartbeat starts a retraining for the alarm",
    ),
    (HOUR, Some("execution-failed"), "That retraining fails"),
    (
        HOUR,
        Some("heartbeat"),
        "The alarm is still in ALARM. A failed retraining would fail again, so the router does not repeat it",
    ),
    (Duration::from_hours(72), Some("schedule"), "The schedule ticks"),
    (MINUTE, Some("drift-alarm-ok"), "The alarm is OK again"),
];

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const STOPPED: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// One step.
struct Step {
    /// The time since the previous step.
    after: Duration,
    /// The file's name, or the alarm's.
    title: String,
    reports: Option<&'static str>,
    /// The event to send. Without one, the alarm changes to ALARM and no event is delivered.
    event: Option<Value>,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
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
        STORY.into_iter().map(story_step).collect::<Result<Vec<_>, _>>()?
    } else {
        named.into_iter().map(|file| read(file, Duration::ZERO, None)).collect::<Result<Vec<_>, _>>()?
    };

    let project = Project::nyctaxi();
    let simulator = Simulator::new(&project);
    // The story lists its alarm. Named files are sent to a router that accepts any alarm, so that each file has the
    // effect that its name describes.
    let alarms = if steps.iter().any(|step| step.event.is_none()) { ALARM } else { "" };
    let (config, _) = Config::from_lookup(project.lookup(&[("DRIFT_ALARM_NAMES", alarms)]))?;
    let router = Router::new(config, &simulator.sdk_config().timeout_config(timeouts()).build(), std::io::sink());
    let mut context = Context::default();
    context.invoked_function_arn = project.function_arn();

    println!(
        "{STRONG}The real router on a simulated AWS{STRONG:#}: project nyctaxi, nothing runs, nothing is disabled."
    );
    let mut failed = 0;
    for (number, step) in steps.into_iter().enumerate() {
        tokio::time::advance(step.after).await;
        let reports = step.reports.map(|reports| format!("   {reports}.")).unwrap_or_default();
        let later = match step.after.as_secs() / 60 {
            0 => String::new(),
            minutes @ 1..60 => format!("   {minutes} min later."),
            minutes @ 60..2880 => format!("   {} h later.", minutes / 60),
            minutes => format!("   {} days later.", minutes / 1440),
        };
        println!("\n{STRONG}{:>2}  {}{STRONG:#}{FAINT}{later}{reports}{FAINT:#}", number + 1, step.title);
        let Some(event) = step.event else {
            simulator.world().change_alarm(ALARM, "ALARM");
            continue;
        };
        simulator.world().force_state(&event);
        match router.handle(LambdaEvent::new(event, context.clone())).await {
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

fn story_step((after, sample, reports): (Duration, Option<&str>, &'static str)) -> Result<Step, Box<dyn Error>> {
    match sample {
        Some(name) => read(sample_path(name), after, Some(reports)),
        None => Ok(Step { after, title: ALARM.to_owned(), reports: Some(reports), event: None }),
    }
}

fn read(file: PathBuf, after: Duration, reports: Option<&'static str>) -> Result<Step, Box<dyn Error>> {
    let text = std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let event = serde_json::from_slice(&text).map_err(|error| format!("{} is not JSON: {error}", file.display()))?;
    let title = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok(Step { after, title, reports, event: Some(event) })
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
        let (verb, style) = if phase.first().is_some_and(reads) { ("reads ", FAINT) } else { ("writes", Style::new()) };
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
