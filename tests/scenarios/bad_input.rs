//! An event that cannot be read gets an error that names the field, and no call is made.

use serde_json::{Value, json};
use simulator::samples::sample_event;

use crate::common::Lab;

async fn refusal(event: Value) -> String {
    let lab = Lab::new();
    let error = lab.refused(event).await;
    assert!(lab.take_calls().is_empty(), "an event that is not understood costs no call");
    error
}

#[tokio::test]
async fn a_payload_that_is_no_object_is_refused() {
    for (payload, found) in
        [(json!(null), "null"), (json!(true), "a boolean"), (json!(7), "a number"), (json!("alarm"), "a string")]
    {
        let error = refusal(payload).await;
        assert!(error.starts_with(&format!("the event is {found}, not a JSON object")), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_event_is_named_by_source_and_detail_type() {
    for (event, expected) in [
        (
            json!({ "source": "aws.s3", "detail-type": "Object Created", "detail": {} }),
            "unknown event: source \"aws.s3\", detail-type \"Object Created\"",
        ),
        (json!({ "source": "aws.events", "detail": {} }), "unknown event: source \"aws.events\", detail-type missing"),
        (json!({ "source": 5, "detail-type": null }), "unknown event: source missing, detail-type missing"),
    ] {
        let error = refusal(event).await;
        assert!(error.starts_with(expected), "{error}");
    }
}

/// What real accounts send when the function gets its events by something else than a rule's plain target.
#[tokio::test]
async fn a_wrapped_event_is_refused_with_the_name_of_its_wrapper_and_what_to_do() {
    let alarm = || sample_event("drift-alarm");
    let text = || alarm().to_string();
    for (payload, parts) in [
        (json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": text() } }] }), ["SNS", "subscription"]),
        (json!({ "Type": "Notification", "TopicArn": "arn", "Message": text() }), ["SNS", "subscription"]),
        (json!({ "Records": [{ "eventSource": "aws:sqs", "body": text() }] }), ["SQS", "message's body"]),
        (json!({ "Messages": [{ "Body": text() }] }), ["SQS", "message's body"]),
        (json!({ "Records": [{ "eventSource": "aws:s3", "s3": {} }] }), ["batch of records", "event source mapping"]),
        (json!([alarm()]), ["EventBridge Pipes", "one by one"]),
        (alarm()["detail"].clone(), ["InputPath", "the whole event"]),
        (json!({ "myField": "my value" }), ["constant input", "the whole event"]),
        (
            json!({ "requestContext": { "condition": "RetriesExhausted" }, "requestPayload": alarm(), "responsePayload": {} }),
            ["Lambda's record", "requestPayload"],
        ),
        (json!({ "requestContext": { "http": {} }, "body": text() }), ["function URL", "aws lambda invoke"]),
        (json!({ "awslogs": { "data": "H4sI" } }), ["log lines", "subscription filter"]),
    ] {
        let error = refusal(payload).await;
        assert!(error.starts_with("this is not an event itself: it "), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
}

#[tokio::test]
async fn a_field_that_is_missing_null_or_empty_is_named_by_its_path() {
    for (sample, path) in [
        ("drift-alarm", "detail"),
        ("drift-alarm", "detail.alarmName"),
        ("drift-alarm", "detail.state"),
        ("drift-alarm", "detail.state.value"),
        ("drift-alarm", "detail.state.timestamp"),
        ("drift-alarm-action", "alarmData.alarmName"),
        ("drift-alarm-action", "alarmData.state.value"),
        ("drift-alarm-action", "alarmData.state.timestamp"),
        ("code-deployed", "detail"),
        ("code-deployed", "detail.pipeline"),
        ("code-deployed", "detail.state"),
        ("code-deployed", "detail.execution-id"),
        ("schedule", "resources"),
        ("codepipeline-job", "CodePipeline.job.id"),
        ("execution-succeeded", "detail"),
        ("execution-succeeded", "detail.pipelineExecutionArn"),
        ("execution-succeeded", "detail.currentPipelineExecutionStatus"),
    ] {
        let pointer = format!("/{}", path.replace('.', "/")).replace("CodePipeline/job", "CodePipeline.job");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut missing = sample_event(sample);
        missing.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        let mut null = sample_event(sample);
        *null.pointer_mut(&pointer).unwrap() = Value::Null;
        for event in [missing, null] {
            let error = refusal(event).await;
            assert!(error.starts_with(&format!("the event has no {path}")), "{sample} without {path}: {error}");
        }
    }
}

#[tokio::test]
async fn a_field_of_another_type_is_named_by_its_path() {
    for (sample, pointer, value, expected) in [
        ("drift-alarm", "/detail/state/value", json!(1), "the event's detail.state.value is not a string"),
        ("drift-alarm", "/detail/alarmName", json!(""), "the event has no detail.alarmName"),
        ("code-deployed", "/detail/execution-id", json!([]), "the event's detail.execution-id is not a string"),
        ("schedule", "/time", json!("noon"), "the event's time cannot be read"),
        ("schedule", "/resources", json!([5]), "the event's resources[0] cannot be read"),
        (
            "execution-succeeded",
            "/detail/pipelineExecutionArn",
            json!("ib87gnc408me"),
            "the event's detail.pipelineExecutionArn is not the ARN of a pipeline execution",
        ),
    ] {
        let mut event = sample_event(sample);
        *event.pointer_mut(pointer).unwrap() = value;
        let error = refusal(event).await;
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn fields_that_are_not_used_may_be_anything() {
    let lab = Lab::new();
    let mut event = sample_event("drift-alarm");
    for name in ["version", "id", "account", "time", "region", "resources"] {
        event[name] = json!({ "of": ["tomorrow", 7] });
    }
    event["detail"]["configuration"] = json!(null);
    assert_eq!(lab.send(event).await["action"], "started");
}

#[tokio::test]
async fn the_largest_event_is_read_and_a_deeply_nested_one_too() {
    let lab = Lab::new();
    let mut event = sample_event("drift-alarm");
    event["detail"]["state"]["reason"] = "x".repeat(256 * 1024).into();
    let mut nested = json!("deep");
    for _ in 0..100 {
        nested = json!([nested]);
    }
    event["detail"]["configuration"] = nested;
    assert_eq!(lab.send(event).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_name_of_any_length_and_any_characters_makes_a_display_name_that_sagemaker_accepts() {
    for name in ["A", "größe ✓ / :", &"long-".repeat(50), &"x".repeat(256 * 1024), "ends-"] {
        let lab = Lab::new();
        let mut event = sample_event("drift-alarm");
        event["detail"]["alarmName"] = name.into();
        assert_eq!(lab.send(event.clone()).await["action"], "started");
        assert_eq!(lab.send(event).await["action"], "duplicate");
    }
}

#[tokio::test]
async fn an_unknown_events_words_are_cut() {
    let error = refusal(json!({ "source": "x".repeat(256 * 1024), "detail-type": "y" })).await;
    assert!(error.len() < 500, "{} characters", error.len());
}
