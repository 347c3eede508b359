//! The answer to each kind of event, and what the event changes.

use serde_json::{Value, json};
use simulator::samples::{sample_event, sample_with};

use crate::common::Lab;

const FIRST: &str = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline/execution/ib87gnc408me";

fn engaged() -> Value {
    json!({ "stage": "disabled", "scheduleRule": "disabled", "driftRule": "disabled" })
}

fn released() -> Value {
    json!({ "stage": "enabled", "scheduleRule": "enabled", "driftRule": "enabled" })
}

#[tokio::test(start_paused = true)]
async fn a_drift_alarm_starts_a_retraining() {
    let lab = Lab::new();
    assert_eq!(
        lab.send(sample_event("drift-alarm")).await,
        json!({
            "event": "driftAlarm",
            "key": "sagemaker-nyctaxi-prod-threshold 2021-07-28T07:02:04Z",
            "action": "started",
            "executionArn": FIRST,
            "interlock": engaged(),
        })
    );
    assert_eq!(lab.executions(), ["drift-sagemaker-nyctaxi-prod-threshold-2021-07-28T07-02-04Z-30f5b1e9ed09202c"]);
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_both_routes_counts_once() {
    let lab = Lab::new();
    let by_rule = lab.send(sample_event("drift-alarm")).await;
    let by_action = lab.send(sample_event("drift-alarm-action")).await;
    assert_eq!(by_action["action"], "duplicate");
    assert_eq!(by_action["key"], by_rule["key"]);
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_ok_muted_or_suppressed_is_ignored() {
    for (event, reason) in [
        (sample_event("drift-alarm-ok"), "alarm sagemaker-nyctaxi-prod-threshold is OK, not ALARM"),
        (
            sample_with("drift-alarm", &[("/detail/state/value", "INSUFFICIENT_DATA".into())]),
            "alarm sagemaker-nyctaxi-prod-threshold is INSUFFICIENT_DATA, not ALARM",
        ),
        (
            sample_event("drift-alarm-suppressed"),
            "alarm sagemaker-nyctaxi-batch-prod-threshold is suppressed by \"Alarm\"",
        ),
        (
            as_action(&sample_event("drift-alarm-suppressed")),
            "alarm sagemaker-nyctaxi-batch-prod-threshold is suppressed by \"Alarm\"",
        ),
        (sample_event("drift-alarm-muted"), "alarm sagemaker-nyctaxi-staging-threshold is muted"),
        (as_action(&sample_event("drift-alarm-muted")), "alarm sagemaker-nyctaxi-staging-threshold is muted"),
    ] {
        let lab = Lab::new();
        let answer = lab.send(event).await;
        assert_eq!(answer, json!({ "event": "driftAlarm", "action": "ignored", "reason": reason }));
        assert!(lab.take_calls().is_empty(), "an ignored event costs no call");
    }
}

/// The same change of state, as the alarm's direct Lambda action reports it.
fn as_action(event: &Value) -> Value {
    json!({
        "source": "aws.cloudwatch",
        "alarmArn": event["resources"][0],
        "accountId": event["account"],
        "time": event["detail"]["state"]["timestamp"],
        "region": event["region"],
        "alarmData": event["detail"],
    })
}

#[tokio::test(start_paused = true)]
async fn composite_and_metric_math_alarms_start_a_retraining_by_either_route() {
    for (sample, key) in [
        ("drift-alarm-composite", "sagemaker-nyctaxi-batch-prod-threshold 2021-07-29T07:02:04Z"),
        ("drift-alarm-metric-math", "sagemaker-nyctaxi-staging-threshold 2021-07-30T07:02:04Z"),
    ] {
        let by_rule = sample_event(sample);
        let by_action = as_action(&by_rule);
        for (first, second) in [(&by_rule, &by_action), (&by_action, &by_rule)] {
            let lab = Lab::new();
            let answer = lab.send(first.clone()).await;
            assert_eq!((&answer["action"], &answer["key"]), (&json!("started"), &json!(key)));
            assert_eq!(lab.send(second.clone()).await["action"], "duplicate");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_suppressed_alarm_that_goes_off_for_good_starts_a_retraining() {
    let lab = Lab::new();
    assert_eq!(lab.send(sample_event("drift-alarm-suppressed")).await["action"], "ignored");
    assert_eq!(lab.send(sample_event("drift-alarm-composite")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn deployed_code_starts_a_retraining() {
    let lab = Lab::new();
    assert_eq!(
        lab.send(sample_event("code-deployed")).await,
        json!({
            "event": "codePipeline",
            "key": "09714422-afff-4465-a5f8-651f1d80bba0",
            "action": "started",
            "executionArn": FIRST,
            "interlock": engaged(),
        })
    );
    assert_eq!(lab.executions(), ["code-09714422-afff-4465-a5f8-651f1d80bba0"]);
}

#[tokio::test(start_paused = true)]
async fn code_that_failed_or_is_of_another_pipeline_is_ignored() {
    let lab = Lab::new();
    assert_eq!(
        lab.send(sample_event("code-failed")).await["reason"],
        "CodePipeline execution c53dbd42-b3c9-4b8c-8a0f-2f6a5e9b7d10 is FAILED, not SUCCEEDED"
    );
    let other = sample_with("code-deployed", &[("/detail/pipeline", "sagemaker-fraud-build".into())]);
    assert_eq!(lab.send(other).await["reason"], "CodePipeline sagemaker-fraud-build is not sagemaker-nyctaxi-build");
    assert!(lab.executions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn codepipelines_version_may_be_written_in_three_ways() {
    for version in [json!(1), json!(1.0), json!("1")] {
        let lab = Lab::new();
        let answer = lab.send(sample_with("code-deployed", &[("/detail/version", version)])).await;
        assert_eq!(answer["action"], "started");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_of_the_schedule_starts_a_retraining() {
    let lab = Lab::new();
    let answer = lab.send(sample_event("schedule")).await;
    assert_eq!(answer["event"], "schedule");
    assert_eq!(answer["key"], "sagemaker-nyctaxi-schedule-build 2021-06-01T12:00:00Z");
    assert_eq!(answer["action"], "started");
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tick_of_a_rule_that_is_not_configured_is_ignored() {
    let lab = Lab::with(&[("SCHEDULE_RULE_NAME", "")]);
    let answer = lab.send(sample_event("schedule")).await;
    assert_eq!(answer["action"], "ignored");
    assert!(answer["reason"].as_str().unwrap().contains("SCHEDULE_RULE_NAME (unset)"), "{answer}");
    assert!(lab.executions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_finds_nothing_to_do() {
    let lab = Lab::new();
    assert_eq!(
        lab.send(sample_event("reconcile")).await,
        json!({
            "event": "reconcile",
            "action": "unchanged",
            "reason": "no execution runs",
            "interlock": released(),
        })
    );
    assert!(lab.take_writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_repairs_what_lost_events_left() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    let answer = lab.send(sample_event("reconcile")).await;
    assert_eq!((&answer["action"], &answer["interlock"]), (&json!("engaged"), &engaged()));
    lab.assert_engaged();

    lab.simulator.world().set_execution_status(FIRST, "Succeeded");
    let answer = lab.send(sample_event("reconcile")).await;
    assert_eq!((&answer["action"], &answer["interlock"]), (&json!("released"), &released()));
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_starts_engages_and_every_end_releases() {
    for end in ["Succeeded", "Failed", "Stopped", "CompletedWithFailures", "SomeLaterStatus"] {
        let lab = Lab::new();
        let answer = lab.deliver("execution-executing").await;
        assert_eq!(
            answer,
            json!({
                "event": "executionStatus",
                    "action": "engaged",
                "reason": "execution ib87gnc408me runs",
                "executionArn": FIRST,
                "interlock": engaged(),
            })
        );
        lab.simulator.world().set_execution_status(FIRST, "Stopping");
        let stopping =
            sample_with("execution-executing", &[("/detail/currentPipelineExecutionStatus", "Stopping".into())]);
        assert_eq!(lab.send(stopping).await["action"], "unchanged");
        lab.assert_engaged();

        lab.simulator.world().set_execution_status(FIRST, end);
        let ended = sample_with("execution-succeeded", &[("/detail/currentPipelineExecutionStatus", end.into())]);
        assert_eq!(lab.send(ended).await["action"], "released");
        lab.assert_released();
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_event_without_its_optional_fields_is_read() {
    let lab = Lab::new();
    let mut event = sample_event("execution-succeeded");
    let detail = event["detail"].as_object_mut().unwrap();
    detail.retain(|name, _| {
        ["pipelineArn", "pipelineExecutionArn", "currentPipelineExecutionStatus"].contains(&name.as_str())
    });
    detail.insert("executionEndTime".into(), Value::Null);
    lab.simulator.world().force_state(&event);
    assert_eq!(lab.send(event).await["action"], "unchanged");
}

#[tokio::test(start_paused = true)]
async fn an_execution_of_another_pipeline_is_ignored() {
    let lab = Lab::new();
    let other = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud-pipeline";
    let event = sample_with(
        "execution-executing",
        &[
            ("/detail/pipelineArn", other.into()),
            ("/detail/pipelineExecutionArn", format!("{other}/execution/abc").into()),
        ],
    );
    let answer = lab.send(event).await;
    assert_eq!(answer["action"], "ignored");
    assert_eq!(answer["reason"], "SageMaker pipeline fraud-pipeline is not nyctaxi-pipeline");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn an_upper_case_pipeline_name_is_the_same_pipeline() {
    let lab = Lab::with(&[("SAGEMAKER_PIPELINE_NAME", "NYCtaxi-Pipeline")]);
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    assert_eq!(lab.deliver("execution-succeeded").await["action"], "released");
    assert_eq!(lab.send(sample_event("schedule")).await["action"], "started");
}
