//! The real binary, as Lambda runs it: spawned with an environment, fed by a Lambda Runtime API over HTTP.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, reason = "tests")]

mod common;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::runtime_api::{Answer, RuntimeApi};
use common::sample_event;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use simulator::{Project, Simulator, server};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// A Lambda Runtime API and a simulated AWS, and the function running between them.
struct Lambda {
    api: RuntimeApi,
    function: Child,
}

impl Lambda {
    async fn start(log_level: &str) -> Self {
        let aws = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let aws_url = format!("http://{}", aws.local_addr().unwrap());
        tokio::spawn(server::serve(Simulator::new(&Project::nyctaxi()), aws));
        Self::start_beside(&aws_url, log_level).await
    }

    /// With AWS at this URL.
    async fn start_beside(aws_url: &str, log_level: &str) -> Self {
        Self::spawn(command().env("AWS_ENDPOINT_URL", aws_url).env("AWS_LAMBDA_LOG_LEVEL", log_level)).await
    }

    /// With this command, which knows where AWS is.
    async fn spawn(command: &mut Command) -> Self {
        let project = Project::nyctaxi();
        let api = RuntimeApi::start(project.function_arn()).await;
        let function = command
            .envs(project.environment())
            .env("AWS_LAMBDA_RUNTIME_API", &api.address)
            // Nothing here is better the second time.
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_REGION", &project.region)
            .env("AWS_ACCESS_KEY_ID", "simulator")
            .env("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-test")
            .spawn()
            .unwrap();
        Self { api, function }
    }

    async fn invoke(&mut self, payload: impl Into<Bytes>) -> Answer {
        self.api.invoke(payload).await
    }

    /// Stops the function, and gives what it logged.
    async fn stop(mut self) -> Vec<Value> {
        self.function.start_kill().unwrap();
        let output = self.function.wait_with_output().await.unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
    }
}

/// The function, with nothing but Lambda's own variables in its environment.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drift-router"));
    command
        .env_clear()
        .env("AWS_LAMBDA_FUNCTION_NAME", "drift-router")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_binary_answers_events_and_reports_errors_as_lambda_wants_them() {
    let mut lambda = Lambda::start("INFO").await;

    let (kind, answer) = lambda.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!((kind.as_str(), &answer["action"]), ("response", &json!("started")));
    let (_, answer) = lambda.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(answer["action"], "duplicate");

    let (kind, error) = lambda.invoke(json!({ "source": "aws.s3", "detail-type": "Object Created" }).to_string()).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("EventError")));
    assert!(error["errorMessage"].as_str().unwrap().contains("\"aws.s3\""), "{error}");

    for not_json in ["", "alarm!", "{\"source\":", &"[".repeat(1000)] {
        let (kind, error) = lambda.invoke(not_json.to_owned()).await;
        assert_eq!(kind, "error", "{not_json}");
        assert!(error["errorMessage"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
    }
    // It is still there.
    let (_, answer) = lambda.invoke(sample_event("reconcile").to_string()).await;
    assert_eq!(answer["action"], "unchanged");

    let log = lambda.stop().await;
    let handled: Vec<&Value> = log.iter().filter(|line| line["message"] == "event handled").collect();
    assert_eq!(handled.len(), 3, "one line an invocation: {log:#?}");
    assert_eq!(handled[0]["event"], "driftAlarm");
    assert_eq!(handled[0]["key"], "sagemaker-nyctaxi-prod-threshold 2021-07-28T07:02:04.149+0000");
    assert_eq!(handled[0]["action"], "started");
    assert!(handled[0]["executionArn"].as_str().unwrap().ends_with("/execution/ib87gnc408me"));
    assert!(handled[0]["interlock"].as_str().unwrap().contains("\"stage\":\"disabled\""));
    assert_eq!(handled[0]["span"]["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    let metrics: Vec<&Value> = log.iter().filter(|line| line["_aws"].is_object()).collect();
    assert_eq!(metrics.len(), 3, "one line an invocation: {log:#?}");
    assert_eq!((&metrics[0]["FunctionName"], &metrics[0]["Started"]), (&json!("drift-router"), &json!(1)));
    let errors: Vec<&Value> = log.iter().filter(|line| line["message"] == "event not understood").collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["level"], "ERROR");
}

#[tokio::test]
async fn nothing_secret_and_no_payload_is_logged_even_at_trace() {
    let mut lambda = Lambda::start("TRACE").await;
    lambda.invoke(sample_event("drift-alarm").to_string()).await;
    lambda.invoke(json!({ "source": "aws.s3", "detail": "a payload that nobody should read" }).to_string()).await;
    // Jobs carry credentials: one that starts, one that goes on, and some that fail, as nobody waits for them.
    let mut job = sample_event("codepipeline-job");
    for user_parameters in [json!("not JSON, a-secret-of-the-action"), json!(null), json!(["a-secret-of-the-action"])] {
        job["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]["UserParameters"] = user_parameters;
        lambda.invoke(job.to_string()).await;
    }
    lambda.invoke(sample_event("codepipeline-job-continued").to_string()).await;
    job["CodePipeline.job"]["id"] = json!({ "no": "a-secret-of-the-action" });
    lambda.invoke(job.to_string()).await;
    let log = Value::from(lambda.stop().await).to_string();
    assert!(log.contains("event handled") && log.contains("codePipelineJob"), "{log}");
    for secret in [
        "a-secret-of-the-test",
        "AWS4-HMAC-SHA256",
        "a payload that nobody",
        "feature_baseline_drift",
        "of-the-artifacts",
        "a-secret-of-the-action",
    ] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test]
async fn a_configuration_with_faults_stops_the_start_with_all_of_them_in_one_line() {
    let output = command().env("DRIFT_RULE_NAME", "no rule").output().await.unwrap();
    assert!(!output.status.success());
    let line: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
    let error = line["error"].as_str().unwrap();
    for variable in ["SAGEMAKER_PIPELINE_NAME", "CODE_PIPELINE_NAME", "DRIFT_RULE_NAME"] {
        assert!(error.contains(variable), "{variable} is not in {error}");
    }
}

#[tokio::test]
async fn connections_are_open_before_the_first_event_and_no_call_is_made_on_them() {
    let simulator = Simulator::new(&Project::nyctaxi());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let aws_url = format!("http://{}", listener.local_addr().unwrap());
    let opened = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let (simulator, opened) = (simulator.clone(), opened.clone());
        async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, Ordering::Relaxed);
                let simulator = simulator.clone();
                tokio::spawn(async move { server::serve_connection(&simulator, TokioIo::new(stream)).await });
            }
        }
    });
    let mut lambda = Lambda::start_beside(&aws_url, "INFO").await;
    lambda.api.asked().await;
    assert_eq!(opened.load(Ordering::Relaxed), 3, "one for each service");
    assert!(simulator.world().calls.is_empty());

    let (_, answer) = lambda.invoke(sample_event("reconcile").to_string()).await;
    assert_eq!(answer["action"], "unchanged");
    let log = lambda.stop().await;
    assert!(log.iter().all(|line| line["level"] != "ERROR" && line["level"] != "WARN"), "{log:#?}");
}

#[tokio::test]
async fn an_aws_that_cannot_be_reached_does_not_stop_the_start_but_fails_the_event() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut lambda = Lambda::start_beside(&format!("http://{nobody}"), "INFO").await;
    let (kind, error) = lambda.invoke(sample_event("reconcile").to_string()).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("ExecutionsError")));
    assert!(error["errorMessage"].as_str().unwrap().starts_with("cannot list the executions"), "{error}");
}

#[tokio::test]
async fn aws_is_reached_through_a_companys_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    // The simulator does not mind for whom it answers.
    tokio::spawn(server::serve(Simulator::new(&Project::nyctaxi()), listener));
    let mut command = command();
    command.env("AWS_ENDPOINT_URL", "http://aws.invalid").env("HTTP_PROXY", proxy);
    let mut lambda = Lambda::spawn(&mut command).await;
    let (_, answer) = lambda.invoke(sample_event("reconcile").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");
}
