//! The simulator answers as the services do: the instrument itself is tested.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use simulator::fault::{self, Symptom};
use simulator::sagemaker::ReusedToken;
use simulator::{Fault, Project, Simulator, World};

const PIPELINE: &str = "nyctaxi-pipeline";

fn simulator() -> Simulator {
    Simulator::new(&Project::nyctaxi())
}

/// Calls `Service.Operation`, signed for the right service.
fn call(world: &mut World, target: &str, input: &Value) -> Result<Value, Symptom> {
    let service = match target.split('.').next().unwrap() {
        "SageMaker" => "sagemaker",
        "AWSEvents" => "events",
        _ => "codepipeline",
    };
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential=simulator/20260101/us-east-1/{service}/aws4_request, Signature=x");
    world.serve(target, &authorization, input.to_string().as_bytes())
}

#[track_caller]
fn refused(world: &mut World, target: &str, input: &Value) -> String {
    match call(world, target, input) {
        Err(Symptom::Answer(error)) => error.code,
        other => panic!("{target} {input}: {other:?}"),
    }
}

fn start(token: &str, display_name: &str) -> Value {
    json!({ "PipelineName": PIPELINE, "PipelineExecutionDisplayName": display_name, "ClientRequestToken": token.repeat(32) })
}

#[tokio::test]
async fn inputs_outside_the_documented_patterns_are_refused() {
    let simulator = simulator();
    let world = &mut simulator.world();
    let get = "CodePipeline_20150709.GetPipelineState";
    let disable = "CodePipeline_20150709.DisableStageTransition";
    let transition = |stage: &str, reason: &str| json!({ "pipelineName": "sagemaker-nyctaxi-build", "stageName": stage, "transitionType": "Inbound", "reason": reason });
    for (target, input, code) in [
        ("SageMaker.StartPipelineExecution", start("t", "ends-"), "ValidationException"),
        ("SageMaker.StartPipelineExecution", start("t", &"x".repeat(83)), "ValidationException"),
        ("SageMaker.StartPipelineExecution", json!({ "PipelineName": PIPELINE }), "ValidationException"),
        (
            "SageMaker.StartPipelineExecution",
            json!({ "PipelineName": PIPELINE, "ClientRequestToken": "short" }),
            "ValidationException",
        ),
        (
            "SageMaker.ListPipelineExecutions",
            json!({ "PipelineName": PIPELINE, "MaxResults": 101 }),
            "ValidationException",
        ),
        (
            "SageMaker.ListPipelineExecutions",
            json!({ "PipelineName": PIPELINE, "SortBy": "Name" }),
            "ValidationException",
        ),
        ("SageMaker.ListPipelineExecutions", json!({ "PipelineName": "other" }), "ResourceNotFound"),
        ("SageMaker.DescribePipelineExecution", json!({ "PipelineExecutionArn": "x" }), "ValidationException"),
        ("SageMaker.DeletePipeline", json!({}), "UnknownOperationException"),
        (get, json!({ "name": "other" }), "PipelineNotFoundException"),
        (disable, transition("Build", "arn:aws:x"), "ValidationException"),
        (disable, transition("Build", &"x".repeat(301)), "ValidationException"),
        (disable, transition("Compile", "x"), "StageNotFoundException"),
        ("AWSEvents.DescribeRule", json!({ "Name": "a rule" }), "ValidationException"),
        ("AWSEvents.DisableRule", json!({ "Name": "other" }), "ResourceNotFoundException"),
        (
            "AWSEvents.TagResource",
            json!({ "ResourceARN": "arn:aws:events:us-east-1:123456789012:rule/other", "Tags": [] }),
            "ResourceNotFoundException",
        ),
    ] {
        assert_eq!(refused(world, target, &input), code, "{target} {input}");
    }
    assert!(world.sagemaker.executions.is_empty());
}

#[tokio::test]
async fn a_token_starts_one_execution_and_what_it_does_with_other_parameters_can_be_chosen() {
    let simulator = simulator();
    let world = &mut simulator.world();
    let target = "SageMaker.StartPipelineExecution";
    let first = call(world, target, &start("t", "one")).unwrap();
    assert_eq!(call(world, target, &start("t", "one")).unwrap(), first);
    assert_eq!(refused(world, target, &start("t", "two")), "ConflictException");
    world.sagemaker.reused_token = ReusedToken::SameExecution;
    assert_eq!(call(world, target, &start("t", "two")).unwrap(), first);
    assert_ne!(call(world, target, &start("u", "two")).unwrap(), first);
    assert_eq!(world.sagemaker.executions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn lists_are_newest_first_paged_and_late() {
    let simulator = simulator();
    for name in ["one", "two", "three"] {
        simulator.world().start_execution(Some(name));
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let world = &mut simulator.world();
    let list = |world: &mut World, token: Value| {
        let input = json!({ "PipelineName": PIPELINE, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 2, "NextToken": token });
        let page = call(world, "SageMaker.ListPipelineExecutions", &input).unwrap();
        let names: Vec<String> = page["PipelineExecutionSummaries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["PipelineExecutionDisplayName"].as_str().unwrap().to_owned())
            .collect();
        (names, page["NextToken"].clone())
    };
    let (names, next) = list(world, Value::Null);
    assert_eq!(names, ["three", "two"]);
    assert_eq!(list(world, next), (vec!["one".to_owned()], Value::Null));
    world.sagemaker.list_lag = Duration::from_secs(15);
    assert_eq!(list(world, Value::Null).0, ["two", "one"]);
}

#[tokio::test(start_paused = true)]
async fn a_rules_change_takes_effect_late() {
    let simulator = simulator();
    let rule = "sagemaker-nyctaxi-drift-build";
    simulator.world().eventbridge.delay = Duration::from_secs(5);
    tokio::time::advance(Duration::from_secs(60)).await;
    simulator.world().operate_rule(rule, false);
    let lets_through = || {
        let world = simulator.world();
        world.eventbridge.lets_through(rule, world.now())
    };
    assert!(lets_through());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!lets_through());
}

#[tokio::test]
async fn every_change_of_an_executions_status_is_an_event() {
    let simulator = simulator();
    let world = &mut simulator.world();
    call(world, "SageMaker.StartPipelineExecution", &start("t", "one")).unwrap();
    let arn = world.sagemaker.executions[0].arn.clone();
    world.set_execution_status(&arn, "Failed");
    world.set_execution_status(&arn, "Failed");
    let events: Vec<Value> = std::iter::from_fn(|| world.next_event()).collect();
    let statuses: Vec<&Value> = events.iter().map(|e| &e["detail"]["currentPipelineExecutionStatus"]).collect();
    assert_eq!(statuses, ["Executing", "Failed"]);
    assert_eq!(events[1]["resources"], json!([world.sagemaker.pipeline_arn(), arn]));
    assert_eq!(events[1]["detail"]["previousPipelineExecutionStatus"], "Executing");
}

#[tokio::test]
async fn a_request_of_the_wrong_region_or_without_a_signature_is_refused() {
    let simulator = simulator();
    let world = &mut simulator.world();
    let body = json!({ "Name": "sagemaker-nyctaxi-drift-build" }).to_string();
    for (authorization, code) in [
        ("", "MissingAuthenticationTokenException"),
        ("AWS4-HMAC-SHA256 Credential=x/20260101/eu-west-1/events/aws4_request", "SignatureDoesNotMatch"),
        ("AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/sagemaker/aws4_request", "SignatureDoesNotMatch"),
    ] {
        let answer = world.serve("AWSEvents.DescribeRule", authorization, body.as_bytes());
        assert!(matches!(answer, Err(Symptom::Answer(error)) if error.code == code), "{code}");
    }
}

#[tokio::test]
async fn a_fault_is_applied_or_not_as_it_says() {
    let rule = json!({ "Name": "sagemaker-nyctaxi-drift-build" });
    for (fault, applied) in [
        (Fault::Throttled, false),
        (Fault::ErrorBefore, false),
        (Fault::ErrorAfter, true),
        (Fault::Reset, false),
        (Fault::ResetAfter, true),
        (Fault::Hang, false),
        (Fault::HangAfter, true),
        (Fault::Refused("AccessDeniedException"), false),
    ] {
        let simulator = simulator();
        let world = &mut simulator.world();
        world.inject(fault::next("DisableRule", 1, fault.clone()));
        assert_eq!(call(world, "AWSEvents.DisableRule", &rule), Err(fault.symptom()));
        assert_eq!(world.eventbridge.rules[1].is_enabled(), !applied, "{fault:?}");
        assert!(call(world, "AWSEvents.DisableRule", &rule).is_ok());
    }
}
