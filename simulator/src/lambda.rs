//! A Lambda function as a process on this machine: [`Function`] spawns its binary, [`RuntimeApi`] gives it events over HTTP.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};

use crate::project::Project;
use crate::record;

/// The last segment of the path that the function posted its answer to (`response` or `error`), and the body.
pub type Answer = (String, Value);

/// A running function of the project [`Project::nyctaxi`]. The process is killed when this is dropped.
#[derive(Debug)]
pub struct Function {
    /// The Runtime API that the function gets its events from.
    pub api: RuntimeApi,
    /// When the process was spawned.
    pub spawned: Instant,
    process: Child,
}

impl Function {
    /// Spawns `binary`, a [`command`], with the project's environment and the AWS endpoint `aws_url`. `variables` replaces
    /// environment variables and adds others. The function logs to its standard output; [`Function::stop`] needs it piped.
    ///
    /// # Panics
    /// If the process cannot be spawned, or no port is free.
    pub async fn spawn(mut binary: Command, aws_url: &str, variables: &[(&str, &str)]) -> Self {
        let project = Project::nyctaxi();
        let api = RuntimeApi::start(project.function_arn()).await;
        binary
            .envs(project.environment())
            .env("AWS_LAMBDA_RUNTIME_API", &api.address)
            .env("AWS_ENDPOINT_URL", aws_url)
            .env("AWS_REGION", &project.region)
            .env("AWS_ACCESS_KEY_ID", "simulator")
            .env("AWS_SECRET_ACCESS_KEY", "simulator")
            .envs(variables.iter().copied());
        let spawned = Instant::now();
        let process = binary.spawn().expect("the binary can be spawned");
        Self { api, spawned, process }
    }

    /// Gives the function an event, and waits for its answer.
    ///
    /// # Panics
    /// If the function does not answer within a minute.
    pub async fn invoke(&mut self, payload: impl Into<Bytes>) -> Answer {
        self.api.send(payload);
        self.api.answered().await.1
    }

    /// The process id.
    ///
    /// # Panics
    /// If the process has ended and its exit status was read.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id().expect("the function runs")
    }

    /// Kills the function, and returns the lines that it logged to a piped stdout.
    ///
    /// # Panics
    /// If a line is not JSON.
    pub async fn stop(mut self) -> Vec<Value> {
        self.process.start_kill().unwrap();
        let output = self.process.wait_with_output().await.unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let log: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
        for line in &log {
            record::note("log", line);
        }
        log
    }
}

/// A command that runs `binary` with the environment variables that Lambda sets for every function, and no others.
#[must_use]
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("AWS_LAMBDA_FUNCTION_NAME", "drift-router")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A request of the function.
#[derive(Debug)]
enum Activity {
    /// The function requests an event.
    Asks(Instant),
    /// The function answers an event.
    Answers(Instant, Answer),
}

/// The Lambda Runtime API of one function.
#[derive(Debug)]
pub struct RuntimeApi {
    /// Host and port, as in `AWS_LAMBDA_RUNTIME_API`.
    pub address: String,
    events: mpsc::UnboundedSender<Bytes>,
    activities: mpsc::UnboundedReceiver<Activity>,
}

impl RuntimeApi {
    /// Listens on a free port of this machine, for a function with the ARN `function_arn`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(function_arn: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (events, next) = mpsc::unbounded_channel();
        let (activity, activities) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, Arc::new(Mutex::new(next)), activity, function_arn));
        Self { address, events, activities }
    }

    /// Queues an event until the function requests it.
    ///
    /// # Panics
    /// If the server's task has ended.
    pub fn send(&self, payload: impl Into<Bytes>) {
        self.events.send(payload.into()).unwrap();
    }

    /// Waits until the function requests an event, and returns the time of the request.
    ///
    /// # Panics
    /// If the function makes no request within a minute.
    pub async fn asked(&mut self) -> Instant {
        loop {
            if let Activity::Asks(at) = self.activity().await {
                return at;
            }
        }
    }

    /// Waits until the function answers an event, and returns the time and the answer.
    ///
    /// # Panics
    /// If the function makes no request within a minute.
    pub async fn answered(&mut self) -> (Instant, Answer) {
        loop {
            if let Activity::Answers(at, answer) = self.activity().await {
                return (at, answer);
            }
        }
    }

    async fn activity(&mut self) -> Activity {
        let activity = tokio::time::timeout(Duration::from_mins(1), self.activities.recv()).await;
        activity.expect("the function makes a request within a minute").unwrap()
    }
}

async fn serve(
    listener: TcpListener,
    events: Arc<Mutex<mpsc::UnboundedReceiver<Bytes>>>,
    activity: mpsc::UnboundedSender<Activity>,
    function_arn: String,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (events, activity, function_arn) = (events.clone(), activity.clone(), function_arn.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &events, &activity, &function_arn));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    events: &Mutex<mpsc::UnboundedReceiver<Bytes>>,
    activity: &mpsc::UnboundedSender<Activity>,
    function_arn: &str,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET {
        assert_eq!(path, "/2018-06-01/runtime/invocation/next");
        let _ = activity.send(Activity::Asks(Instant::now()));
        // While there is no event, Lambda does not answer the request.
        let Some(event) = events.lock().await.recv().await else { std::future::pending().await };
        let response = Response::builder()
            .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
            .header("lambda-runtime-deadline-ms", "4102444800000")
            .header("lambda-runtime-invoked-function-arn", function_arn)
            .body(Full::new(event));
        return Ok(response.unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let kind = path.rsplit('/').next().unwrap().to_owned();
    let _ = activity.send(Activity::Answers(Instant::now(), (kind, serde_json::from_slice(&body).unwrap())));
    let accepted = Response::builder().status(202).body(Full::new(Bytes::from("{\"status\":\"OK\"}")));
    Ok(accepted.unwrap())
}
