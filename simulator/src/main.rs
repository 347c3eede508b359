//! The simulator on a port: give its `AWS_ENDPOINT_URL` to `cargo lambda watch`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its user")]

use lexopt::prelude::{Long, Short, ValueExt};
use simulator::{Call, Project, Simulator, server};
use std::process::ExitCode;
use tokio::net::TcpListener;

const USAGE: &str = "\
SageMaker pipelines, CodePipeline executions and stage transitions, EventBridge rules and
CloudWatch alarms on this machine, with the project of the sample events in them. The clock
starts at the time of the sample events, in 2021.

Usage: simulator [--port PORT]

  --port PORT   listen on 127.0.0.1:PORT (default 4566; 0 takes any free port)
  --help        show this

While it runs:
  curl http://127.0.0.1:4566/simulator/state
      the guards, the executions and the alarms
  curl --data @events/execution-succeeded.json http://127.0.0.1:4566/simulator/event
      set the state that an event reports: the status of its execution, or the state of its alarm";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let Some(port) = port()? else {
        println!("{USAGE}");
        return Ok(());
    };
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}: choose another with --port"))?;
    println!("AWS_ENDPOINT_URL=http://{}", listener.local_addr()?);
    // The clock starts at the time of the sample events, so that each event has the effect that its name describes.
    let simulator = Simulator::new(&Project::nyctaxi());
    simulator.world().observe(Box::new(print));
    tokio::select! {
        served = server::serve(simulator, listener) => Ok(served?),
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

/// The port to listen on, or `None` for `--help`.
fn port() -> Result<Option<u16>, lexopt::Error> {
    let mut port = 4566;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => port = arguments.value()?.parse()?,
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some(port))
}

fn print(call: &Call) {
    let Call { service, operation, resource, result, .. } = call;
    let result = result.as_ref().map_or_else(String::as_str, |_| "ok");
    println!("{service:<12} {operation:<26} {resource} → {result}");
}
