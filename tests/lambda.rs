//! The function as Lambda runs it. The test spawns the binary, which gets its events from a Lambda Runtime API over HTTP.
//!
//! `BOOTSTRAP=PATH` tests another binary, such as a release's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub, reason = "tests")]

use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use drift_router::{Config, Router, sdk_config};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use lambda_runtime::service_fn as lambda_service;
use serde_json::{Value, json};
use simulator::lambda::{self, Function};
use simulator::nyctaxi::{ALARM, SCHEDULE_RULE};
use simulator::samples::{sample_event, sample_with, status_event};
use simulator::tls::Tls;
use simulator::{Fault, Project, Simulator, fault, server};
use tokio::net::TcpListener;
use tokio::process::Command;

/// A command that runs the function.
fn command() -> Command {
    let bootstrap = std::env::var_os("BOOTSTRAP").unwrap_or_else(|| env!("CARGO_BIN_EXE_drift-router").into());
    lambda::command(Path::new(&bootstrap))
}

/// Serves a simulator on a free port, and returns its URL.
async fn serve_simulator() -> String {
    serve(Simulator::new(&Project::nyctaxi())).await
}

async fn serve(simulator: Simulator) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server::serve(simulator, listener));
    url
}

/// Spawns the function. It makes every call once, because retries would only take time.
async fn spawn(aws_url: &str, variables: &[(&str, &str)]) -> Function {
    let mut all = vec![("AWS_MAX_ATTEMPTS", "1"), ("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-test")];
    all.extend(variables);
    let mut command = command();
    command.stdout(Stdio::piped());
    Function::spawn(command, aws_url, &all).await
}

/// The line with which a function stops at its start. The only line before it has the version.
fn line_of_the_stop(stdout: Vec<u8>) -> Value {
    let lines = String::from_utf8(stdout).unwrap();
    let (starts, stops) = lines.trim_end().split_once('\n').expect("two lines");
    assert!(starts.contains(env!("CARGO_PKG_VERSION")), "{starts}");
    serde_json::from_str(stops).expect("one JSON line")
}

#[tokio::test]
async fn the_binary_answers_events_and_reports_errors_as_lambda_wants_them() {
    let mut function = spawn(&serve_simulator().await, &[("AWS_LAMBDA_LOG_LEVEL", "INFO")]).await;

    let (kind, answer) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!((kind.as_str(), &answer["action"]), ("response", &json!("started")));
    let (_, answer) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(answer["action"], "duplicate");

    let (kind, error) =
        function.invoke(json!({ "source": "aws.s3", "detail-type": "Object Created" }).to_string()).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("EventError")));
    assert!(error["errorMessage"].as_str().unwrap().contains("\"aws.s3\""), "{error}");

    for not_json in ["", "alarm!", "{\"source\":", &"[".repeat(1000)] {
        let (kind, error) = function.invoke(not_json.to_owned()).await;
        assert_eq!(kind, "error", "{not_json}");
        assert!(error["errorMessage"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
    }
    // The function still runs.
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged");

    let log = function.stop().await;
    let handled: Vec<&Value> = log.iter().filter(|line| line["message"] == "event handled").collect();
    assert_eq!(handled.len(), 3, "one line an invocation: {log:#?}");
    assert_eq!(handled[0]["event"], "driftAlarm");
    assert_eq!(handled[0]["key"], "sagemaker-nyctaxi-prod-threshold 2021-07-28T07:02:04Z");
    assert_eq!(handled[0]["action"], "started");
    assert!(handled[0]["executionArn"].as_str().unwrap().ends_with("/execution/ib87gnc408me"));
    for guard in ["stage", "scheduleRule", "driftRule"] {
        assert_eq!(handled[0][guard], "disabled");
    }
    assert_eq!(handled[0]["span"]["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    let metrics: Vec<&Value> = log.iter().filter(|line| line["_aws"].is_object()).collect();
    assert_eq!(metrics.len(), 3, "one line an invocation: {log:#?}");
    assert_eq!((&metrics[0]["FunctionName"], &metrics[0]["Started"]), (&json!("drift-router"), &json!(1)));
    let errors: Vec<&Value> = log.iter().filter(|line| line["message"] == "event cannot be read").collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["level"], "ERROR");
}

#[tokio::test]
async fn the_first_line_of_the_log_says_the_version_and_no_other_does() {
    let mut function = spawn(&serve_simulator().await, &[]).await;
    let (_, status) = function.invoke(sample_event("status").to_string()).await;
    let log = function.stop().await;
    assert_eq!((&log[0]["message"], &log[0]["version"]), (&json!("the function starts"), &status["version"]));
    assert_eq!(log.iter().filter(|line| line.get("version").is_some()).count(), 1, "{log:#?}");
}

#[tokio::test]
async fn a_heartbeat_of_the_binary_reads_alarms_and_deployments_over_the_wire() {
    // The function uses the machine's clock: the alarm went off an hour ago.
    let begins = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_hours(1);
    let simulator = Simulator::new(&Project { begins, ..Project::nyctaxi() });
    simulator.world().change_alarm(ALARM, "ALARM");
    let alarms = format!("{ALARM},mistyped");
    let mut function = spawn(&serve(simulator.clone()).await, &[("DRIFT_ALARM_NAMES", &alarms)]).await;
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!((&answer["action"], &answer["event"]), (&json!("started"), &json!("heartbeat")), "{answer}");
    assert!(answer["key"].as_str().unwrap().starts_with(ALARM), "{answer}");
    let called = |operation: &str| simulator.world().calls.iter().filter(|call| call.operation == operation).count();
    assert_eq!((called("DescribeAlarms"), called("ListAlarmMuteRules"), called("ListPipelineExecutions")), (1, 1, 3));
    // Of the default names, some usually do not exist. Only if none does, the names are wrong.
    assert!(function.stop().await.iter().all(|line| line["level"] != "WARN"));
    let mut function = spawn(&serve(simulator).await, &[("DRIFT_ALARM_NAMES", "mistyped")]).await;
    function.invoke(sample_event("heartbeat").to_string()).await;
    let log = function.stop().await;
    let warnings: Vec<&Value> = log.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.starts_with("none of the alarms that DRIFT_ALARM_NAMES lists") && message.ends_with(": mistyped"));
}

#[tokio::test]
async fn a_request_and_a_status_of_the_binary_and_the_warning_of_a_missing_permission() {
    let begins = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let simulator = Simulator::new(&Project { begins, ..Project::nyctaxi() });
    let mut function = spawn(&serve(simulator.clone()).await, &[]).await;
    let (_, answer) = function.invoke(sample_event("retrain").to_string()).await;
    assert_eq!((&answer["action"], &answer["event"]), (&json!("started"), &json!("retrain")), "{answer}");
    let (_, status) = function.invoke(sample_event("status").to_string()).await;
    assert_eq!(status["nothing"], json!({ "why": "executionActive" }), "{status}");
    assert_eq!(status["executions"][0]["trigger"], "request");
    let denied = Fault::Refused("AccessDeniedException");
    let arn = answer["executionArn"].as_str().unwrap().to_owned();
    simulator.world().inject(fault::next("ListPipelineExecutionSteps", 9, denied));
    simulator.world().set_execution_status(&arn, "Failed");
    function.invoke(status_event(&arn, "Failed").to_string()).await;
    let log = function.stop().await;
    let handled: Vec<&Value> = log.iter().filter(|line| line["message"] == "event handled").collect();
    assert_eq!((&handled[1]["event"], &handled[1]["reason"]), (&json!("status"), &status["summary"]));
    let warnings: Vec<&Value> = log.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.contains("check the permission sagemaker:ListPipelineExecutionSteps"), "{message}");
    // The status writes no metrics.
    assert_eq!(log.iter().filter(|line| line["_aws"].is_object()).count(), 2);
}

#[tokio::test]
async fn an_actions_failure_whose_steps_cannot_be_read_is_a_warning_in_the_log() {
    let begins = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let simulator = Simulator::new(&Project { begins, ..Project::nyctaxi() });
    let mut function = spawn(&serve(simulator.clone()).await, &[("DEPLOYMENT_TRIGGER", "action")]).await;
    let job = simulator.world().run_action(None).unwrap();
    let (_, answer) = function.invoke(job.to_string()).await;
    assert_eq!(answer["action"], "started", "{answer}");
    let denied = Fault::Refused("AccessDeniedException");
    simulator.world().inject(fault::next("ListPipelineExecutionSteps", 9, denied));
    simulator.world().set_execution_status(answer["executionArn"].as_str().unwrap(), "Failed");
    let job = simulator.world().next_job().unwrap();
    let (_, answer) = function.invoke(job.to_string()).await;
    assert_eq!(answer["action"], "failed", "{answer}");
    let log = function.stop().await;
    let warnings: Vec<&Value> = log.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{log:#?}");
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.contains("check the permission sagemaker:ListPipelineExecutionSteps"), "{message}");
}

#[tokio::test]
async fn a_hold_and_a_dry_run_are_fields_of_the_log_line() {
    let simulator = Simulator::new(&Project::nyctaxi());
    simulator.world().operate_rule(SCHEDULE_RULE, false);
    let url = serve(simulator.clone()).await;
    let mut function = spawn(&url, &[]).await;
    let (_, answer) = function.invoke(sample_event("schedule").to_string()).await;
    assert_eq!(answer["action"], "held", "{answer}");
    let log = function.stop().await;
    let handled = log.iter().find(|line| line["message"] == "event handled").unwrap();
    assert_eq!((&handled["scheduleRule"], &handled["driftRule"]), (&json!("held"), &json!("enabled")));
    assert!(handled.get("dryRun").is_none(), "{handled}");

    simulator.world().operate_rule(SCHEDULE_RULE, true);
    let mut function = spawn(&url, &[("MODE", "dry-run")]).await;
    let (_, answer) = function.invoke(sample_event("schedule").to_string()).await;
    assert_eq!((&answer["action"], &answer["dryRun"]), (&json!("started"), &json!(true)), "{answer}");
    let log = function.stop().await;
    let handled = log.iter().find(|line| line["message"] == "event handled").unwrap();
    assert_eq!((&handled["action"], &handled["dryRun"]), (&json!("started"), &json!(true)));
}

#[tokio::test]
async fn nothing_secret_and_no_payload_is_logged_even_at_trace() {
    let mut function = spawn(&serve_simulator().await, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    function.invoke(sample_event("drift-alarm").to_string()).await;
    function.invoke(json!({ "source": "aws.s3", "detail": "a payload that nobody should read" }).to_string()).await;
    // Job events contain credentials. These are an action's first job, a further job, and some jobs that fail.
    let mut job = sample_event("codepipeline-job");
    for user_parameters in [json!("not JSON, a-secret-of-the-action"), json!(null), json!(["a-secret-of-the-action"])] {
        job["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]["UserParameters"] = user_parameters;
        function.invoke(job.to_string()).await;
    }
    function.invoke(sample_event("codepipeline-job-continued").to_string()).await;
    job["CodePipeline.job"]["id"] = json!({ "no": "a-secret-of-the-action" });
    function.invoke(job.to_string()).await;
    let mut request = sample_event("retrain");
    for parameters in [json!({ "Token": "a-secret-of-the-action" }), json!(["a-secret-of-the-action"])] {
        request["detail"]["parameters"] = parameters;
        function.invoke(request.to_string()).await;
    }
    let log = Value::from(function.stop().await).to_string();
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
    let mut command = command();
    let output = command.env("DRIFT_RULE_NAME", "no rule").env("MODE", "wet").output().await.unwrap();
    assert!(!output.status.success());
    let line = line_of_the_stop(output.stdout);
    let error = line["error"].as_str().unwrap();
    for variable in ["SAGEMAKER_PIPELINE_NAME", "MODE", "DRIFT_RULE_NAME"] {
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
    let mut function = spawn(&aws_url, &[("AWS_LAMBDA_LOG_LEVEL", "INFO")]).await;
    function.api.asked().await;
    assert_eq!(opened.load(Ordering::Relaxed), 3, "one for each service");
    assert!(simulator.world().calls.is_empty());

    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged");
    let log = function.stop().await;
    assert!(log.iter().all(|line| line["level"] != "ERROR" && line["level"] != "WARN"), "{log:#?}");
}

/// Serves a simulator with TLS, and counts the calls on each connection.
async fn serve_tls(simulator: Simulator, tls: Tls) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let calls: Arc<Mutex<Vec<usize>>> = Arc::default();
    let counted = calls.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (simulator, tls, calls) = (simulator.clone(), tls.clone(), counted.clone());
            let number = calls.lock().unwrap().len();
            calls.lock().unwrap().push(0);
            tokio::spawn(async move {
                let stream = tls.accept(stream).await.unwrap();
                let service = service_fn(|request: Request<Incoming>| {
                    calls.lock().unwrap()[number] += usize::from(request.method() == Method::POST);
                    server::answer(&simulator, request)
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (url, calls)
}

#[tokio::test]
async fn the_first_event_uses_the_tls_connections_that_were_opened_before_it() {
    let tls = Tls::of_localhost();
    let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join("test-bundle.pem");
    std::fs::write(&bundle, tls.certificate()).unwrap();
    // The function waits for the connections for a second at most. On a busy machine they may take longer: then another one is spawned.
    let mut started = None;
    for _ in 0..5 {
        let (url, calls) = serve_tls(Simulator::new(&Project::nyctaxi()), tls.clone()).await;
        let mut function = spawn(&url, &[("AWS_CA_BUNDLE", bundle.to_str().unwrap())]).await;
        function.api.asked().await;
        let opened = calls.lock().unwrap().len();
        started = Some((function, calls));
        if opened == 3 {
            break;
        }
    }
    let (mut function, calls) = started.unwrap();
    assert_eq!(*calls.lock().unwrap(), [0, 0, 0], "one connection for each service, and no call");
    // Events that make no call. Meanwhile the probes are answered, and the answers are read. On Lambda, the next event is later anyway.
    for _ in 0..2 {
        let (_, answer) = function.invoke(sample_event("drift-alarm-ok").to_string()).await;
        assert_eq!(answer["action"], "ignored", "{answer}");
    }

    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");
    let calls = calls.lock().unwrap();
    assert!(calls[..3].iter().all(|calls| *calls > 0), "a connection was opened and not used: {calls:?}");
    // SageMaker's list, CodePipeline's state and list, and state and tags of two rules.
    assert_eq!(calls.iter().sum::<usize>(), 7, "{calls:?}");
}

/// A writer for metrics that panics at the first line.
struct PanicsOnce(bool);

impl Write for PanicsOnce {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        assert!(std::mem::replace(&mut self.0, true), "a panic while metrics are written");
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The function as `main` wires it, but with another writer for its metrics.
async fn function_that_panics_once() {
    let (config, settings) = Config::from_env().unwrap();
    let (sdk, _) = sdk_config(&settings).await.unwrap();
    let router = &Router::new(config, &sdk, PanicsOnce(false));
    lambda_runtime::run(lambda_service(|event| router.handle(event))).await.unwrap();
}

#[tokio::test]
async fn a_panic_fails_its_event_and_the_next_one_is_handled() {
    // No event makes the function's own binary panic. So this test spawns itself.
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return function_that_panics_once().await;
    }
    let mut command = lambda::command(&std::env::current_exe().unwrap());
    command.args(["--exact", "a_panic_fails_its_event_and_the_next_one_is_handled"]).stdout(Stdio::null());
    let mut function = Function::spawn(command, &serve_simulator().await, &[]).await;
    let (kind, error) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(kind, "error");
    assert!(error["errorMessage"].as_str().unwrap().contains("a panic while metrics are written"), "{error}");
    // Lambda tries it again.
    let (_, answer) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(answer["action"], "duplicate", "{answer}");
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");
}

#[tokio::test]
async fn a_function_whose_log_nobody_reads_handles_events_all_the_same() {
    let closed = || std::io::pipe().unwrap().1;
    let mut command = command();
    command.stdout(closed()).stderr(closed());
    let mut function = Function::spawn(command, &serve_simulator().await, &[]).await;
    let (kind, error) = function.invoke(json!({ "source": "aws.s3" }).to_string()).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("EventError")));
    let (_, answer) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(answer["action"], "started", "{answer}");
}

#[tokio::test]
async fn a_payload_of_six_megabytes_is_read_or_refused_and_the_next_event_is_handled() {
    // As much as Lambda accepts in a synchronous invocation.
    let much = "x".repeat(6 * 1024 * 1024 - 10_000);
    let mut function = spawn(&serve_simulator().await, &[]).await;
    let event = sample_with("drift-alarm", &[("/detail/state/reason", much.as_str().into())]);
    let (_, answer) = function.invoke(event.to_string()).await;
    assert_eq!(answer["action"], "started", "{answer}");
    for payload in [json!({ "source": &much }).to_string(), format!("{{\"{much}"), json!([&much]).to_string()] {
        let (kind, error) = function.invoke(payload).await;
        assert_eq!(kind, "error");
        assert!(error["errorMessage"].as_str().unwrap().len() < 1000);
    }
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");
}

#[tokio::test]
async fn an_endpoint_that_was_killed_fails_the_event_and_is_used_again_when_it_is_back() {
    let simulator = Simulator::new(&Project::nyctaxi());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // The server has its own runtime. When that ends, the open connections end too.
    let serve_on = |listener: std::net::TcpListener| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let simulator = simulator.clone();
        runtime.spawn(async move { server::serve(simulator, TcpListener::from_std(listener).unwrap()).await });
        runtime
    };
    let endpoint = serve_on(listener.into_std().unwrap());
    let mut function = spawn(&format!("http://{address}"), &[]).await;
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");

    tokio::task::spawn_blocking(|| endpoint.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
    let (kind, error) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("AwsCallError")));

    let listener = TcpListener::bind(address).await.unwrap();
    let endpoint = serve_on(listener.into_std().unwrap());
    let (_, answer) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(answer["action"], "started", "{answer}");
    endpoint.shutdown_background();
}

#[tokio::test]
async fn an_aws_that_cannot_be_reached_does_not_stop_the_start_but_fails_the_event() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut function = spawn(&format!("http://{nobody}"), &[]).await;
    let (kind, error) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!((kind.as_str(), &error["errorType"]), ("error", &json!("AwsCallError")));
    assert!(error["errorMessage"].as_str().unwrap().starts_with("cannot list the executions"), "{error}");
}

#[tokio::test]
async fn aws_is_reached_through_a_companys_proxy() {
    // The simulator answers requests for any host, so it can stand in for a proxy.
    let proxy = serve_simulator().await;
    let mut function = spawn("http://aws.invalid", &[("HTTP_PROXY", &proxy)]).await;
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");
}

#[tokio::test]
async fn a_failure_is_logged_once_and_without_the_sdks_dump() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut function = spawn(&format!("http://{nobody}"), &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    let (kind, _) = function.invoke(sample_event("drift-alarm").to_string()).await;
    assert_eq!(kind, "error");
    let (kind, _) = function.invoke("[]".to_owned()).await;
    assert_eq!(kind, "error");
    let log = function.stop().await;
    let errors: Vec<&Value> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 2, "one line an invocation: {errors:#?}");
    assert_eq!((&errors[0]["message"], &errors[0]["event"]), (&json!("event failed"), &json!("driftAlarm")));
    assert!(errors[0]["error"].as_str().unwrap().starts_with("cannot list the executions"), "{errors:#?}");
    // Guards that could not be read are absent, not null.
    assert!(errors[0].get("stage").is_none() && errors[0].get("executionArn").is_none(), "{errors:#?}");
    assert!(!Value::from(log.clone()).to_string().contains("DispatchFailure("), "{log:#?}");
}

#[tokio::test]
async fn empty_variables_of_the_sdk_are_unset() {
    let empty = ["AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"];
    let variables: Vec<(&str, &str)> = empty.iter().map(|name| (*name, "")).collect();
    let mut function = spawn(&serve_simulator().await, &variables).await;
    let (_, answer) = function.invoke(sample_event("heartbeat").to_string()).await;
    assert_eq!(answer["action"], "unchanged", "{answer}");
}

#[tokio::test]
async fn variables_on_which_the_sdk_would_panic_are_faults_of_the_configuration() {
    let project = Project::nyctaxi();
    for (name, value) in [("AWS_MAX_ATTEMPTS", "0"), ("AWS_RETRY_MODE", "legacy"), ("AWS_ENDPOINT_URL", "localhost")] {
        let mut command = command();
        command.envs(project.environment()).env(name, value).stderr(Stdio::piped());
        let output = command.output().await.unwrap();
        assert!(!output.status.success());
        let line = line_of_the_stop(output.stdout);
        assert!(line["error"].as_str().unwrap().contains(&format!("{name} is {value:?}")), "{line}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
