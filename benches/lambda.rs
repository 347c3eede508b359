//! Measures the function as Lambda runs it: cold start, first event, warm events, processor time and memory. Compares it with a
//! hello world.
//! `cargo bench --bench lambda`; `BOOTSTRAP=path:path` compares binaries that have been built before. `EXTREMES=1` measures only what
//! takes most time and memory.
//!
//! The release binaries call a Runtime API and the simulator on this machine, over plain HTTP, or over TLS with a certificate that the
//! benchmark makes. All rows of a table are measured in turns in one run, because ratios vary less than times.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper_util::rt::TokioIo;
use serde_json::Value;
use simulator::lambda::{self, Function};
use simulator::nyctaxi::ALARM;
use simulator::samples::sample_event;
use simulator::tls::Tls;
use simulator::{Project, Simulator, server};
use tokio::net::TcpListener;

const SPAWNS: usize = 20;
const WARM: usize = 40;
const FIRST: &str = "first after a start: status, nothing changes";

/// How the function reaches AWS.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Aws {
    tls: bool,
    /// How long every call takes.
    latency: Duration,
}

const fn aws(tls: bool, milliseconds: u64) -> Aws {
    Aws { tls, latency: Duration::from_millis(milliseconds) }
}

/// A function, and the simulator that it calls.
struct Lambda {
    function: Function,
    simulator: Simulator,
}

impl Lambda {
    /// A function of the sample project, whose heartbeats read one alarm.
    async fn spawn(binary: &Path, aws: Aws) -> Self {
        let simulator = Simulator::new(&Project::nyctaxi());
        simulator.world().change_alarm(ALARM, "OK");
        Self::with(binary, aws, simulator, ALARM).await
    }

    async fn with(binary: &Path, aws: Aws, simulator: Simulator, alarms: &str) -> Self {
        simulator.world().latency = aws.latency;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if aws.tls { "https" } else { "http" };
        if aws.tls {
            tokio::spawn(serve_tls(simulator.clone(), listener));
        } else {
            tokio::spawn(server::serve(simulator.clone(), listener));
        }
        let variables = [("DRIFT_ALARM_NAMES", alarms), ("AWS_CA_BUNDLE", tls().1.to_str().unwrap())];
        let variables = if aws.tls { &variables[..] } else { &variables[..1] };
        let url = format!("{scheme}://localhost:{port}");
        let mut command = lambda::command(binary);
        command.stdout(Stdio::null());
        let function = Function::spawn(command, &url, variables).await;
        Self { function, simulator }
    }

    /// Milliseconds that one event takes.
    async fn handle(&mut self, event: &Value) -> f64 {
        let payload = event.to_string();
        let begins = Instant::now();
        self.function.api.send(payload);
        let (at, (kind, answer)) = self.function.api.answered().await;
        assert_eq!(kind, "response", "{answer}");
        milliseconds(at - begins)
    }

    /// Processor time of all threads so far, in milliseconds.
    fn processor_time(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.function.process_id())).unwrap();
        let nanoseconds = |task: PathBuf| -> f64 {
            let schedstat = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            schedstat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default()
        };
        tasks.map(|task| nanoseconds(task.unwrap().path())).sum::<f64>() / 1e6
    }

    /// The largest memory use so far, in megabytes.
    fn peak_memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.function.process_id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// TLS, and the file of its certificate.
fn tls() -> &'static (Tls, PathBuf) {
    static TLS: std::sync::OnceLock<(Tls, PathBuf)> = std::sync::OnceLock::new();
    TLS.get_or_init(|| {
        let tls = Tls::of_localhost();
        let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-bundle.pem");
        std::fs::write(&bundle, tls.certificate()).unwrap();
        (tls, bundle)
    })
}

async fn serve_tls(simulator: Simulator, listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let simulator = simulator.clone();
        tokio::spawn(async move {
            if let Ok(stream) = tls().0.accept(stream).await {
                server::serve_connection(&simulator, TokioIo::new(stream)).await;
            }
        });
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Sorted figures.
struct Figures(Vec<f64>);

impl Figures {
    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    fn row(&self, name: &str, floor: &Self) -> String {
        let (least, most) = (self.0[0], self.0[self.0.len() - 1]);
        let median = self.median();
        format!("| {name} | {median:.2} | {least:.2} | {most:.2} | {:.2} |", median / floor.median())
    }
}

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }
}

/// Builds a package's release binary as it is deployed, and returns its path.
fn release(package: &str) -> PathBuf {
    let build =
        Command::new(env!("CARGO")).args(["build", "--release", "--package", package, "--bin", package]).status();
    assert!(build.unwrap().success(), "{package} does not build");
    let directory = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).join("release").join(package)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    // `cargo test --benches` lists or runs tests. This file has none.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return;
    }
    let routers: Vec<PathBuf> = match std::env::var_os("BOOTSTRAP") {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => vec![release("drift-router")],
    };
    tls();
    if std::env::var_os("EXTREMES").is_some() {
        for router in &routers {
            println!("\n### {}: extremes\n", router.display());
            extremes(router).await;
        }
        return;
    }
    let round_trip = round_trip().await;
    println!("\nA call with a latency of 40 ms takes {round_trip:.2} ms on this machine, as timers are late.");
    cold_starts(&routers, &release("floor"), round_trip).await;
    for router in &routers {
        println!("\n### {}: events over TLS, one after another\n", router.display());
        events(router, round_trip).await;
    }
}

/// The milliseconds that a call with a latency of 40 ms takes. It is more than 40, because the simulator waits twice and timers
/// are late.
async fn round_trip() -> f64 {
    let simulator = Simulator::new(&Project::nyctaxi());
    simulator.world().latency = Duration::from_millis(40);
    let mut times = Vec::new();
    for _ in 0..WARM {
        let begins = Instant::now();
        let _ = simulator.exchange("", "", b"").await;
        times.push(milliseconds(begins.elapsed()));
    }
    times.into_iter().collect::<Figures>().median()
}

/// Measures the times from spawn to the first request for an event, and to the first answer.
async fn cold_starts(routers: &[PathBuf], floor: &Path, round_trip: f64) {
    let mut setups = vec![("hello world (the floor)".to_owned(), floor, aws(false, 0))];
    for router in routers {
        let name = if routers.len() == 1 { "router".to_owned() } else { router.display().to_string() };
        for (tls, latency) in [(false, 0), (true, 0), (false, 40), (true, 40)] {
            let scheme = if tls { "TLS" } else { "HTTP" };
            setups.push((format!("{name}, {scheme}, {latency} ms a call"), router, aws(tls, latency)));
        }
    }
    let mut figures = vec![Vec::new(); setups.len()];
    let status = sample_event("execution-succeeded");
    for _ in 0..SPAWNS {
        for ((_, binary, aws), figures) in setups.iter().zip(&mut figures) {
            let mut lambda = Lambda::spawn(binary, *aws).await;
            lambda.simulator.world().force_state(&status);
            let function = &mut lambda.function;
            function.api.send(status.to_string());
            let asked = function.api.asked().await - function.spawned;
            let (at, (kind, answer)) = function.api.answered().await;
            assert_eq!(kind, "response", "{answer}");
            let answered = at - function.spawned;
            figures.push((milliseconds(asked), milliseconds(answered), lambda.peak_memory()));
        }
    }
    let column = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<Figures> {
        figures.iter().map(|figures| figures.iter().map(pick).collect()).collect()
    };
    let print = |title: &str, figures: &[Figures]| {
        println!("\n### {title}, {SPAWNS} spawns each, in turns\n");
        println!("| | median | min | max | × floor |\n|---|---|---|---|---|");
        for ((name, ..), here) in setups.iter().zip(figures) {
            println!("{}", here.row(name, &figures[0]));
        }
    };
    let answered = column(|f| f.1);
    print("Cold start (ms): spawn to the first request for an event", &column(|f| f.0));
    print("Cold start (ms): spawn to the first answer (a status event, nothing to change: one round trip)", &answered);
    print("Peak memory (MB) after the first answer", &column(|f| f.2));
    println!("\nFirst answer, less the round trip:");
    for ((name, _, aws), figures) in setups.iter().zip(&answered) {
        let own = figures.median() - if aws.latency.is_zero() { 0.0 } else { round_trip };
        println!("- {name}: {own:.2} ms, {:.2} × the floor's", own / answered[0].median());
    }
}

/// Measures events of every kind: the first event after a start, and warm events of one function.
async fn events(router: &Path, round_trip: f64) {
    println!("| event | 0 ms a call (ms) | 40 ms a call (ms) | round trips | processor (ms) |\n|---|---|---|---|---|");
    let kinds: [(&str, &[&str]); 6] = [
        (FIRST, &["execution-succeeded"]),
        ("status, nothing changes", &["execution-succeeded"]),
        ("status, interlock changes", &["execution-executing", "execution-succeeded"]),
        ("heartbeat, nothing owed", &["heartbeat"]),
        ("trigger, duplicate", &["code-deployed"]),
        ("trigger, ignored", &["drift-alarm-ok"]),
    ];
    let mut measured = vec![Vec::new(); kinds.len()];
    for latency in [0, 40] {
        let mut lambda = started(router, latency).await;
        for ((name, samples), measured) in kinds.iter().zip(&mut measured) {
            let events: Vec<Value> = samples.iter().map(|name| sample_event(name)).collect();
            let (mut times, mut processor) = (Vec::new(), Vec::new());
            for round in 0..=WARM {
                if *name == FIRST && round > 0 {
                    lambda = started(router, latency).await;
                }
                for event in &events {
                    lambda.simulator.world().force_state(event);
                    let before = lambda.processor_time();
                    let time = lambda.handle(event).await;
                    // The first round is not measured: it sets the state that the others repeat.
                    if round > 0 {
                        times.push(time);
                        processor.push(lambda.processor_time() - before);
                    }
                }
            }
            measured.push([times, processor].map(|figures| figures.into_iter().collect::<Figures>().median()));
        }
        println!("<!-- peak memory, {latency} ms a call: {:.1} MB -->", lambda.peak_memory());
    }
    for ((name, _), measured) in kinds.iter().zip(&measured) {
        let [[quick, processor], [slow, _]] = measured[..] else { unreachable!("two latencies") };
        println!("| {name} | {quick:.2} | {slow:.2} | {:.1} | {processor:.2} |", (slow - quick) / round_trip);
    }
}

/// Measures what takes most: a hundred executions, a hundred alarms whose mutes take a second each, and a payload of 1 MB. Each has a
/// function of its own.
async fn extremes(router: &Path) {
    println!("| event | time (s) | peak memory (MB) |\n|---|---|---|");
    let mut large = sample_event("drift-alarm");
    large["detail"]["state"]["reason"] = "x".repeat(1_000_000).into();
    for (name, event, latency) in [
        ("heartbeat, 100 executions, 100 muted alarms, a second a call", sample_event("heartbeat"), 1000),
        ("request for the status, the same project", sample_event("status"), 1000),
        ("drift alarm with a payload of 1 MB", large, 0),
    ] {
        let mut lambda = of_hundreds(router, latency).await;
        let seconds = lambda.handle(&event).await / 1e3;
        println!("| {name} | {seconds:.1} | {:.1} |", lambda.peak_memory());
    }
}

/// A function of a project with 100 executions that failed and 100 alarms that went off an hour ago and are muted.
async fn of_hundreds(router: &Path, latency: u64) -> Lambda {
    // The function has the machine's clock.
    let begins = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_hours(1);
    let simulator = Simulator::new(&Project { begins, ..Project::nyctaxi() });
    let names: Vec<String> = (0..100).map(|number| format!("{ALARM}-{number:02}")).collect();
    {
        let mut world = simulator.world();
        let days_ago = begins - Duration::from_hours(72);
        for _ in 0..100 {
            let arn = world.start_execution(None);
            world.set_execution_status(&arn, "Failed");
        }
        world.sagemaker.executions.iter_mut().for_each(|execution| execution.created = days_ago);
        for name in &names {
            world.change_alarm(name, "ALARM");
            world.cloudwatch.alarm_mut(name).is_muted = true;
        }
    }
    let mut lambda = Lambda::with(router, aws(false, latency), simulator, &names.join(",")).await;
    lambda.function.api.asked().await;
    lambda
}

/// Starts a function, and gives it time to finish its start before the first event.
async fn started(router: &Path, latency: u64) -> Lambda {
    let mut lambda = Lambda::spawn(router, aws(true, latency)).await;
    lambda.function.api.asked().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    lambda
}
