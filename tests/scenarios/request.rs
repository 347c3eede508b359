//! A person or a program asks for a retraining.

use serde_json::{Value, json};
use simulator::nyctaxi::{DRIFT_RULE, FIRST_EXECUTION_ARN, SCHEDULE_RULE};
use simulator::sagemaker::ReusedToken;
use simulator::samples::sample_event;
use simulator::time::{DAY, HOUR};
use simulator::{Fault, fault};

use crate::common::Lab;

/// A request with this detail.
fn request(detail: Value) -> Value {
    json!({ "source": "drift-router", "detail-type": "Retrain", "detail": detail })
}

impl Lab {
    /// Every execution ends.
    fn ends(&self) {
        let mut world = self.simulator.world();
        let arns: Vec<String> = world.sagemaker.executions.iter().map(|execution| execution.arn.clone()).collect();
        arns.iter().for_each(|arn| world.set_execution_status(arn, "Succeeded"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_starts_one_training_and_the_same_id_starts_no_other() {
    let lab = Lab::with(&[("PIPELINE_PARAMETERS", r#"{"Why": "{trigger} {key} {time}", "Epochs": "3"}"#)]);
    lab.simulator.world().sagemaker.parameters = vec!["Why".into(), "Epochs".into(), "Rate".into()];
    let detail = json!({ "id": "labels of May", "reason": "corrected", "parameters": { "Epochs": "9", "Rate": "{" } });
    let answer = lab.send(request(detail)).await;
    assert_eq!(
        (&answer["event"], &answer["action"], &answer["key"]),
        (&json!("retrain"), &json!("started"), &json!("labels of May"))
    );
    assert_eq!(answer["executionArn"], FIRST_EXECUTION_ARN);
    lab.assert_engaged();
    let execution = lab.simulator.world().sagemaker.executions[0].clone();
    assert_eq!(execution.description.as_deref(), Some("Started by drift-router: request labels of May: corrected."));
    assert!(execution.display_name.unwrap().starts_with("request-labels-of-May-"));
    assert_eq!(
        execution.parameters,
        json!([
            { "Name": "Epochs", "Value": "9" },
            { "Name": "Rate", "Value": "{" },
            { "Name": "Why", "Value": "Request labels of May 2021-05-28T07:33:21Z" },
        ])
    );
    // The same id, hours later, with other parameters and by force.
    tokio::time::advance(HOUR).await;
    lab.ends();
    tokio::time::advance(30 * HOUR).await;
    for is_forced in [false, true] {
        let answer = lab.send(request(json!({ "id": "labels of May", "force": is_forced }))).await;
        assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("duplicate"), &json!(FIRST_EXECUTION_ARN)));
        let reason = "this id has its execution already: nothing more is started, and other parameters than those of its \
                      first request are not used";
        assert_eq!(answer["reason"], reason);
    }
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn beside_an_active_execution_or_beyond_the_brake_only_a_forced_request_starts() {
    let lab = Lab::with(&[("CATCH_UP_PER_DAY", "2")]);
    assert_eq!(lab.send(request(json!({ "id": "1" }))).await["action"], "started");
    let answer = lab.send(request(json!({ "id": "2" }))).await;
    assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("alreadyRunning"), &json!(FIRST_EXECUTION_ARN)));
    assert_eq!(lab.send(request(json!({ "id": "2", "force": true }))).await["action"], "started");
    assert_eq!(lab.executions(), ["request-1", "request-2"]);
    lab.ends();
    let answer = lab.send(request(json!({ "id": "3" }))).await;
    assert_eq!(answer["action"], "braked");
    assert_eq!(
        answer["reason"],
        "3 is not started: 2 executions started within 24 hours, and CATCH_UP_PER_DAY is 2 (until 2021-05-29T07:33:21Z)"
    );
    assert_eq!(lab.take_metrics()[0], "RequestTriggers 1");
    lab.assert_released();
    assert_eq!(lab.send(request(json!({ "id": "3", "force": true }))).await["action"], "started");
    lab.ends();
    tokio::time::advance(DAY).await;
    assert_eq!(lab.send(request(json!({ "id": "4" }))).await["action"], "started");

    // 0 lets no heartbeat start anything, and brakes no request.
    let lab = Lab::with(&[("CATCH_UP_PER_DAY", "0")]);
    assert_eq!(lab.send(request(json!({ "id": "1" }))).await["action"], "started");
    lab.ends();
    assert_eq!(lab.send(request(json!({ "id": "2" }))).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn neither_a_hold_nor_the_cooldown_stops_a_request() {
    let lab = Lab::with(&[("DRIFT_COOLDOWN", "1d")]);
    lab.send(sample_event("schedule")).await;
    lab.ends();
    lab.simulator.world().operate_rule(DRIFT_RULE, false);
    lab.simulator.world().operate_rule(SCHEDULE_RULE, false);
    assert_eq!(lab.send(request(json!({ "id": "1" }))).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_not_refused_for_an_execution_that_has_ended() {
    let lab = Lab::new();
    lab.send(sample_event("schedule")).await;
    tokio::time::advance(HOUR).await;
    lab.ends();
    lab.simulator.world().sagemaker.list_lag = 30 * simulator::time::MINUTE;
    assert_eq!(lab.send(request(json!({ "id": "1" }))).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn at_sagemakers_limit_a_request_fails_as_nothing_remembers_it() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.limit = Some(0);
    let error = lab.refused(request(json!({ "id": "1" }))).await;
    assert!(error.contains("as many pipeline executions as its quota allows"), "{error}");
    lab.simulator.world().sagemaker.limit = None;
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "unchanged");
    assert_eq!(lab.executions().len(), 0);
}

/// The answer of the first start is lost, and the repeated request has another time in a parameter.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_repeated_after_a_lost_answer_starts_one_training() {
    for reused in [ReusedToken::Refused, ReusedToken::RefusedForGood, ReusedToken::SameExecution] {
        let lab = Lab::with(&[("PIPELINE_PARAMETERS", r#"{"At": "{time}"}"#)]);
        lab.simulator.world().sagemaker.parameters = vec!["At".into()];
        lab.simulator.world().sagemaker.reused_token = reused;
        // The list shows the execution late.
        lab.simulator.world().sagemaker.list_lag = 5 * simulator::time::MINUTE;
        lab.simulator.world().inject(fault::next("StartPipelineExecution", 9, Fault::ErrorAfter));
        lab.refused(sample_event("retrain")).await;
        lab.simulator.world().heal();
        tokio::time::advance(10 * simulator::time::MINUTE).await;
        let answer = lab.send(sample_event("retrain")).await;
        assert_eq!(answer["action"], "duplicate", "{reused:?}");
        assert_eq!(lab.executions(), ["request-2021-06-01-corrected-labels"], "{reused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_each_mode_answers() {
    let drain = Lab::with(&[("MODE", "drain")]);
    let answer = drain.send(sample_event("retrain")).await;
    assert_eq!(
        (&answer["action"], &answer["reason"]),
        (&json!("ignored"), &json!("MODE is drain: nothing is started"))
    );
    let dry = Lab::with(&[("MODE", "dry-run")]);
    let answer = dry.send(sample_event("retrain")).await;
    assert_eq!((&answer["action"], &answer["dryRun"]), (&json!("started"), &json!(true)));
    let reason = "MODE is dry-run: the router would have started request-2021-06-01-corrected-labels";
    assert_eq!(answer["reason"], reason);
    assert_eq!(drain.executions().len() + dry.executions().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_is_an_error_before_any_call() {
    let lab = Lab::new();
    let long = "é".repeat(65);
    for (detail, message) in [
        (Value::Null, "the event has no detail.id"),
        (json!({}), "the event has no detail.id"),
        (json!("1"), "the event's detail is not an object, such as"),
        (json!({ "id": "" }), "the event has no detail.id"),
        (json!({ "id": 1 }), "the event's detail.id is not a string"),
        (json!({ "id": long }), "the event's detail.id is not 1 to 64 characters long"),
        (json!({ "id": "1", "reason": 1 }), "the event's detail.reason is not a string"),
        (json!({ "id": "1", "force": "secret" }), "the event's detail.force is not true or false"),
        (json!({ "id": "1", "parameters": ["secret"] }), "detail.parameters is not an object whose values are strings"),
        (json!({ "id": "1", "parameters": { "A": 1 } }), "detail.parameters is not an object whose values are strings"),
        (json!({ "id": "1", "parameters": { "a secret": "x" } }), "the request cannot be served: a parameter's name"),
        (json!({ "id": "1", "parameters": { "A": "x".repeat(1025) } }), "longer than 1024 characters"),
        (
            json!({ "id": "1", "Force": true }),
            "the event's detail has \"Force\", which no request has: give id, reason",
        ),
    ] {
        let error = lab.try_send(request(detail.clone())).await.unwrap_err();
        assert!(error.error_message.contains(message), "{detail}: {}", error.error_message);
        assert!(!error.error_message.contains("secret"), "{}", error.error_message);
        assert_eq!(error.error_type, "EventError", "{detail}");
    }
    for (detail_type, quoted) in [(json!("Retrain now"), "\"Retrain now\""), (Value::Null, "missing")] {
        let error = lab.refused(json!({ "source": "drift-router", "detail-type": detail_type })).await;
        assert_eq!(error, format!("there is no request of type {quoted}: give the detail-type Status or Retrain"));
    }
    assert_eq!(lab.take_calls(), Vec::<String>::new());
    // 64 characters are enough for everybody, in any script.
    assert_eq!(lab.send(request(json!({ "id": "é".repeat(64) }))).await["action"], "started");
}

/// The list does not show the first execution any more, and SageMaker returns it for the token.
#[tokio::test(start_paused = true)]
async fn an_execution_that_sagemaker_returns_for_a_token_of_hours_ago_is_a_duplicate() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.parameters = vec!["A".into()];
    lab.simulator.world().sagemaker.reused_token = ReusedToken::SameExecution;
    let with = |value: &str| request(json!({ "id": "1", "parameters": { "A": value }, "force": true }));
    assert_eq!(lab.send(with("one")).await["action"], "started");
    tokio::time::advance(HOUR).await;
    for _ in 0..100 {
        lab.simulator.world().start_execution(None);
    }
    lab.ends();
    lab.take_metrics();
    let answer = lab.send(with("two")).await;
    assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("duplicate"), &json!(FIRST_EXECUTION_ARN)));
    assert!(answer["reason"].as_str().unwrap().contains("are not used"), "{answer}");
    assert!(!lab.take_metrics().contains(&"Started 1".to_owned()));
    assert_eq!(lab.executions().len(), 101);
}
