//! Tests of the simulator itself: it answers as the services do.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use simulator::cloudwatch::AlarmKind;
use simulator::fault::{self, Symptom};
use simulator::nyctaxi::{CODE_PIPELINE, DRIFT_RULE, SAGEMAKER_PIPELINE, STAGE};
use simulator::protocol::Request;
use simulator::sagemaker::ReusedToken;
use simulator::{Fault, Project, Simulator, World};

fn simulator() -> Simulator {
    Simulator::new(&Project::nyctaxi())
}

/// Calls `Service.Operation`, signed for the right service.
fn call(world: &mut World, target: &str, input: &Value) -> Result<Value, Symptom> {
    let service = match target.split('.').next().unwrap() {
        "SageMaker" => "sagemaker",
        "AWSEvents" => "events",
        "GraniteServiceVersion20100801" => "monitoring",
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
    json!({ "PipelineName": SAGEMAKER_PIPELINE, "PipelineExecutionDisplayName": display_name, "ClientRequestToken": token.repeat(32) })
}

#[tokio::test]
async fn inputs_outside_the_documented_patterns_are_refused() {
    let simulator = simulator();
    let world = &mut simulator.world();
    let get = "CodePipeline_20150709.GetPipelineState";
    let disable = "CodePipeline_20150709.DisableStageTransition";
    let transition = |stage: &str, reason: &str| json!({ "pipelineName": CODE_PIPELINE, "stageName": stage, "transitionType": "Inbound", "reason": reason });
    for (target, input, code) in [
        ("SageMaker.StartPipelineExecution", start("t", "ends-"), "ValidationException"),
        ("SageMaker.StartPipelineExecution", start("t", &"x".repeat(83)), "ValidationException"),
        ("SageMaker.StartPipelineExecution", json!({ "PipelineName": SAGEMAKER_PIPELINE }), "ValidationException"),
        (
            "SageMaker.StartPipelineExecution",
            json!({ "PipelineName": SAGEMAKER_PIPELINE, "ClientRequestToken": "short" }),
            "ValidationException",
        ),
        (
            "SageMaker.ListPipelineExecutions",
            json!({ "PipelineName": SAGEMAKER_PIPELINE, "MaxResults": 101 }),
            "ValidationException",
        ),
        (
            "SageMaker.ListPipelineExecutions",
            json!({ "PipelineName": SAGEMAKER_PIPELINE, "SortBy": "Name" }),
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
        let input = json!({ "PipelineName": SAGEMAKER_PIPELINE, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 2, "NextToken": token });
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
    let rule = DRIFT_RULE;
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
    let body = json!({ "Name": DRIFT_RULE }).to_string();
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
    let rule = json!({ "Name": DRIFT_RULE });
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

/// The display names on a page of the project's pipeline, newest first, and the token of the next page.
fn list(world: &mut World, pipeline: &str, token: &Value) -> (Vec<String>, Value) {
    let input = json!({ "PipelineName": pipeline, "MaxResults": 100, "NextToken": token });
    let page = call(world, "SageMaker.ListPipelineExecutions", &input).unwrap();
    let executions = page["PipelineExecutionSummaries"].as_array().unwrap();
    let name = |e: &Value| e["PipelineExecutionDisplayName"].as_str().unwrap().to_owned();
    (executions.iter().map(name).collect(), page["NextToken"].clone())
}

#[tokio::test]
async fn a_page_may_be_shorter_than_was_asked_for() {
    let simulator = simulator();
    let world = &mut simulator.world();
    for name in ["one", "two", "three"] {
        world.start_execution(Some(name));
    }
    world.sagemaker.page_limit = Some(2);
    let (names, next) = list(world, SAGEMAKER_PIPELINE, &Value::Null);
    assert_eq!(names, ["three", "two"]);
    assert!(next.is_string());
    assert_eq!(list(world, SAGEMAKER_PIPELINE, &next), (vec!["one".to_owned()], Value::Null));
}

#[tokio::test(start_paused = true)]
async fn reads_of_guards_lag_behind_writes() {
    let simulator = simulator();
    let rule = DRIFT_RULE;
    let tag = |value: &str| json!({ "ResourceARN": simulator.world().eventbridge.arn(rule), "Tags": [{ "Key": "k", "Value": value }] });
    let untag = json!({ "ResourceARN": simulator.world().eventbridge.arn(rule), "TagKeys": ["k"] });
    let read = || {
        let world = &mut simulator.world();
        let input = json!({ "name": CODE_PIPELINE });
        let state = call(world, "CodePipeline_20150709.GetPipelineState", &input).unwrap();
        let state = &state["stageStates"][1]["inboundTransitionState"];
        let described = call(world, "AWSEvents.DescribeRule", &json!({ "Name": rule })).unwrap();
        let arn = json!({ "ResourceARN": world.eventbridge.arn(rule) });
        let tags = call(world, "AWSEvents.ListTagsForResource", &arn).unwrap();
        (state["disabledReason"].clone(), described["State"].clone(), tags["Tags"][0]["Value"].clone())
    };
    let before = (Value::Null, json!("ENABLED"), Value::Null);
    let after = (json!("freeze"), json!("DISABLED"), json!("one"));
    {
        let world = &mut simulator.world();
        world.codepipeline.read_lag = Duration::from_millis(500);
        world.eventbridge.read_lag = Duration::from_millis(500);
        world.eventbridge.tags_lag = Duration::from_millis(500);
    }
    let tag_one = tag("one");
    {
        let world = &mut simulator.world();
        world.operate_stage("Build", Some("freeze"));
        world.operate_rule(rule, false);
        call(world, "AWSEvents.TagResource", &tag_one).unwrap();
        // The world itself has no lag.
        assert_eq!(world.state()["stages"]["Build"]["reason"], "freeze");
        assert_eq!(world.state()["rules"][rule], json!({ "enabled": false, "tags": { "k": "one" } }));
        assert!(world.state()["stages"]["Build"]["enabled"] == false);
    }
    tokio::time::advance(Duration::from_millis(499)).await;
    assert_eq!(read(), before);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(read(), after);
    {
        let world = &mut simulator.world();
        world.operate_stage("Build", None);
        world.operate_rule(rule, true);
        call(world, "AWSEvents.UntagResource", &untag).unwrap();
    }
    assert_eq!(read(), after);
    simulator.world().codepipeline.read_lag = Duration::ZERO;
    simulator.world().eventbridge.read_lag = Duration::ZERO;
    simulator.world().eventbridge.tags_lag = Duration::ZERO;
    assert_eq!(read(), before);
}

#[tokio::test]
async fn pipelines_do_not_see_each_others_executions() {
    let simulator = simulator();
    let world = &mut simulator.world();
    world.sagemaker.add_pipeline("Other-Pipeline");
    let start_of = |pipeline: &str, token: &str, name: &str| json!({ "PipelineName": pipeline, "PipelineExecutionDisplayName": name, "ClientRequestToken": token.repeat(32) });
    let target = "SageMaker.StartPipelineExecution";
    call(world, target, &start_of(SAGEMAKER_PIPELINE, "t", "one")).unwrap();
    let other_arn = world.sagemaker.arn_of("other-pipeline");
    let started = call(world, target, &start_of("OTHER-pipeline", "u", "two")).unwrap();
    let execution = started["PipelineExecutionArn"].as_str().unwrap().to_owned();
    assert!(execution.starts_with(&format!("{other_arn}/execution/")), "{execution}");
    for name in ["other-pipeline", "Other-Pipeline", &other_arn, &other_arn.replace("other", "Other")] {
        assert_eq!(list(world, name, &Value::Null).0, ["two"], "{name}");
    }
    assert_eq!(list(world, SAGEMAKER_PIPELINE, &Value::Null).0, ["one"]);
    let described =
        call(world, "SageMaker.DescribePipelineExecution", &json!({ "PipelineExecutionArn": execution })).unwrap();
    assert_eq!(described["PipelineArn"], *other_arn);
    let events: Vec<Value> = std::iter::from_fn(|| world.next_event()).collect();
    let arns: Vec<&Value> = events.iter().map(|event| &event["detail"]["pipelineArn"]).collect();
    assert_eq!(arns, [&json!(world.sagemaker.pipeline_arn()), &json!(other_arn)]);
    assert_eq!(events[1]["resources"], json!([other_arn, execution]));

    // A token counts for the whole service, not only for its pipeline.
    assert_eq!(refused(world, target, &start_of(SAGEMAKER_PIPELINE, "u", "two")), "ConflictException");
    world.sagemaker.reused_token = ReusedToken::SameExecution;
    assert_eq!(call(world, target, &start_of(SAGEMAKER_PIPELINE, "u", "two")).unwrap(), started);
}

#[tokio::test]
async fn a_status_events_state_can_be_forced_for_every_pipeline_that_exists() {
    let simulator = simulator();
    let world = &mut simulator.world();
    world.sagemaker.add_pipeline("other");
    for (pipeline, known) in [(SAGEMAKER_PIPELINE, true), ("other", true), ("other-still", false)] {
        let arn = format!("{}/execution/abc", world.sagemaker.arn_of(pipeline));
        let detail = json!({ "pipelineExecutionArn": arn, "currentPipelineExecutionStatus": "Failed" });
        world.force_state(&json!({ "detail": detail }));
        let status = world.sagemaker.executions.iter().find(|e| e.arn == arn).map(|e| e.status());
        assert_eq!(status, known.then_some("Failed"), "{pipeline}");
    }
}

#[tokio::test]
async fn what_is_deleted_is_not_found() {
    let simulator = simulator();
    let world = &mut simulator.world();
    world.sagemaker.add_pipeline("other");
    let arn = world.start_execution_of("other", Some("one"));
    let kept = world.start_execution(Some("two"));
    world.sagemaker.delete_pipeline("other");
    let rule = DRIFT_RULE;
    let rule_arn = world.eventbridge.arn(rule);
    world.eventbridge.delete(rule);
    world.codepipeline.delete_stage("Build");
    let token = "t".repeat(32);
    let transition =
        json!({ "pipelineName": CODE_PIPELINE, "stageName": STAGE, "transitionType": "Inbound", "reason": "x" });
    for (target, input, code) in [
        ("SageMaker.ListPipelineExecutions", json!({ "PipelineName": "other" }), "ResourceNotFound"),
        (
            "SageMaker.StartPipelineExecution",
            json!({ "PipelineName": "other", "ClientRequestToken": token }),
            "ResourceNotFound",
        ),
        ("SageMaker.DescribePipelineExecution", json!({ "PipelineExecutionArn": arn }), "ResourceNotFound"),
        ("AWSEvents.DescribeRule", json!({ "Name": rule }), "ResourceNotFoundException"),
        ("AWSEvents.EnableRule", json!({ "Name": rule }), "ResourceNotFoundException"),
        ("AWSEvents.ListTagsForResource", json!({ "ResourceARN": rule_arn }), "ResourceNotFoundException"),
        ("CodePipeline_20150709.DisableStageTransition", transition, "StageNotFoundException"),
    ] {
        assert_eq!(refused(world, target, &input), code, "{target} {input}");
    }
    let describe = json!({ "PipelineExecutionArn": kept });
    assert!(call(world, "SageMaker.DescribePipelineExecution", &describe).is_ok());
    // A new pipeline of the same name has no executions.
    world.sagemaker.add_pipeline("other");
    assert!(list(world, "other", &Value::Null).0.is_empty());
}

const DESCRIBE_ALARMS: &str = "GraniteServiceVersion20100801.DescribeAlarms";

#[tokio::test]
async fn alarms_are_described_by_type_and_in_pages_and_only_a_change_is_an_event() {
    let simulator = simulator();
    let world = &mut simulator.world();
    for alarm in ["one", "two", "three"] {
        world.change_alarm(alarm, "OK");
    }
    world.cloudwatch.alarm_mut("two").kind = AlarmKind::Composite;
    let event = world.change_alarm("one", "ALARM").unwrap();
    assert_eq!(event["detail"]["state"]["value"], "ALARM");
    assert_eq!(event["detail"]["previousState"]["value"], "OK");
    assert!(event["detail"]["state"]["timestamp"].as_str().unwrap().ends_with("+0000"));
    assert_eq!(world.change_alarm("one", "ALARM"), None, "an alarm that stays in ALARM sends nothing");
    assert_eq!(world.change_alarm("one", "OK"), None, "the drift rule matches ALARM alone");

    let answer = call(world, DESCRIBE_ALARMS, &json!({ "AlarmNames": ["one", "two", "unknown"] })).unwrap();
    assert_eq!(answer["MetricAlarms"].as_array().unwrap().len(), 1);
    assert_eq!(answer["CompositeAlarms"], json!([]), "without types, only metric alarms are described");
    world.cloudwatch.page_limit = Some(1);
    let both = json!({ "AlarmNames": ["one", "two"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"] });
    let first = call(world, DESCRIBE_ALARMS, &both).unwrap();
    assert_eq!((&first["MetricAlarms"][0]["AlarmName"], &first["NextToken"]), (&json!("one"), &json!("1")));
    let mut next = both.clone();
    next["NextToken"] = first["NextToken"].clone();
    let second = call(world, DESCRIBE_ALARMS, &next).unwrap();
    assert_eq!((&second["CompositeAlarms"][0]["AlarmName"], &second["NextToken"]), (&json!("two"), &Value::Null));

    let names: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    assert_eq!(refused(world, DESCRIBE_ALARMS, &json!({ "AlarmNames": names })), "ValidationException");
}

#[tokio::test]
async fn a_mute_rule_is_listed_while_it_is_active() {
    let simulator = simulator();
    let world = &mut simulator.world();
    world.change_alarm("one", "ALARM");
    let list = |world: &mut World, alarm: &str| {
        let input = json!({ "AlarmName": alarm, "Statuses": ["ACTIVE"] });
        call(world, "GraniteServiceVersion20100801.ListAlarmMuteRules", &input).unwrap()
    };
    assert_eq!(list(world, "one")["AlarmMuteRuleSummaries"], json!([]));
    world.cloudwatch.alarm_mut("one").is_muted = true;
    assert_eq!(list(world, "one")["AlarmMuteRuleSummaries"][0]["Status"], "ACTIVE");
    assert_eq!(list(world, "two")["AlarmMuteRuleSummaries"], json!([]));
}

#[tokio::test]
async fn executions_of_the_code_pipeline_are_listed_newest_first_and_rollbacks_are_marked() {
    let simulator = simulator();
    let world = &mut simulator.world();
    world.code_deployed("one");
    world.end_code_pipeline("two", "Failed");
    world.code_rolled_back("three");
    world.codepipeline.page_limit = Some(2);
    let list = "CodePipeline_20150709.ListPipelineExecutions";
    let first = call(world, list, &json!({ "pipelineName": CODE_PIPELINE })).unwrap();
    let executions = &first["pipelineExecutionSummaries"];
    assert_eq!((&executions[0]["executionType"], &executions[1]["status"]), (&json!("ROLLBACK"), &json!("Failed")));
    let input = json!({ "pipelineName": CODE_PIPELINE, "nextToken": first["nextToken"] });
    let second = call(world, list, &input).unwrap();
    assert_eq!(second["pipelineExecutionSummaries"][0]["pipelineExecutionId"], "one");
    assert_eq!(refused(world, list, &json!({ "pipelineName": "another" })), "PipelineNotFoundException");
}

#[tokio::test]
async fn at_the_limit_a_start_is_refused_and_a_known_token_is_not() {
    let simulator = simulator();
    let world = &mut simulator.world();
    world.sagemaker.limit = Some(1);
    let target = "SageMaker.StartPipelineExecution";
    let first = call(world, target, &start("a", "one")).unwrap();
    assert_eq!(refused(world, target, &start("b", "two")), "ResourceLimitExceeded");
    assert_eq!(call(world, target, &start("a", "one")).unwrap(), first);
    let arn = first["PipelineExecutionArn"].as_str().unwrap().to_owned();
    world.set_execution_status(&arn, "Succeeded");
    assert!(call(world, target, &start("b", "two")).is_ok());
}

#[tokio::test]
async fn a_token_that_was_refused_can_stay_refused() {
    let simulator = simulator();
    let world = &mut simulator.world();
    let target = "SageMaker.StartPipelineExecution";
    for (reused_token, is_refused) in [(ReusedToken::Refused, false), (ReusedToken::RefusedForGood, true)] {
        world.sagemaker.reused_token = reused_token;
        let token = if is_refused { "a" } else { "b" };
        call(world, target, &start(token, "one")).unwrap();
        assert_eq!(refused(world, target, &start(token, "two")), "ConflictException");
        assert_eq!(call(world, target, &start(token, "one")).is_err(), is_refused, "{reused_token:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_service_has_a_clock_of_its_own() {
    let simulator = simulator();
    let world = &mut simulator.world();
    let now = world.now();
    world.client_clock_skew = -5000;
    assert_eq!(world.client_time(), now - Duration::from_secs(5));
    world.sagemaker.clock_skew = 2000;
    world.sagemaker.start_time_missing = Some(2);
    call(world, "SageMaker.StartPipelineExecution", &start("a", "one")).unwrap();
    call(world, "SageMaker.StartPipelineExecution", &start("b", "two")).unwrap();
    let answer = call(
        world,
        "SageMaker.ListPipelineExecutions",
        &json!({ "PipelineName": SAGEMAKER_PIPELINE, "SortOrder": "Descending" }),
    );
    let answer = answer.unwrap();
    let times = [0, 1].map(|index| answer["PipelineExecutionSummaries"][index]["StartTime"].clone());
    assert_eq!(times, [Value::Null, json!((now + Duration::from_secs(2)).as_secs_f64())]);
}

#[tokio::test]
async fn a_cbor_request_is_read_and_answered_in_cbor() {
    let mut body = Vec::new();
    ciborium::into_writer(&json!({ "AlarmNames": ["one"] }), &mut body).unwrap();
    let header = |name: &str| match name {
        "smithy-protocol" => "rpc-v2-cbor",
        "authorization" => "signed",
        _ => "",
    };
    let path = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms";
    let request = Request::read(header, path, &body);
    assert_eq!((request.target.as_str(), request.authorization.as_str()), (DESCRIBE_ALARMS, "signed"));
    assert_eq!(serde_json::from_slice::<Value>(&request.body).unwrap(), json!({ "AlarmNames": ["one"] }));

    let (status, headers, body) = request.answer(Ok(json!({ "ChangedTimestamp": 1.5, "NextToken": null }))).unwrap();
    assert_eq!(status, 200);
    assert!(headers.contains(&("smithy-protocol", "rpc-v2-cbor")));
    let answer: ciborium::Value = ciborium::from_reader(body.as_slice()).unwrap();
    let time = ciborium::Value::Tag(1, Box::new(ciborium::Value::Float(1.5)));
    assert_eq!(answer, ciborium::Value::Map(vec![("ChangedTimestamp".into(), time)]));
    assert_eq!(request.answer(Err(Symptom::Reset)), Err(Symptom::Reset));
}
