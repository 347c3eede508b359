//! The answer to each kind of event, and what the event changes.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::nyctaxi::{ALARM, FIRST_EXECUTION_ARN, SCHEDULE_RULE};
use simulator::samples::{sample_event, sample_with};
use simulator::{Call, Fault, fault};

use crate::common::Lab;

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
            "executionArn": FIRST_EXECUTION_ARN,
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
            "executionArn": FIRST_EXECUTION_ARN,
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
    assert_eq!(
        lab.send(other).await["reason"],
        "the event is of CodePipeline sagemaker-fraud-build, and CODE_PIPELINE_NAME is sagemaker-nyctaxi-build"
    );
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
async fn a_tick_of_eventbridge_scheduler_starts_a_retraining() {
    let lab = Lab::new();
    let answer = lab.send(sample_event("scheduler-tick")).await;
    assert_eq!((&answer["event"], &answer["action"]), (&json!("schedule"), &json!("started")));
    assert_eq!(answer["key"], "sagemaker-nyctaxi-weekly 2021-06-06T12:00:00Z");
    // No rule sends it. So it depends neither on a hold of the schedule rule, nor on whether that rule can be read.
    let held = Lab::new();
    held.simulator.world().operate_rule(SCHEDULE_RULE, false);
    assert_eq!(held.send(sample_event("scheduler-tick")).await["action"], "started");
    let unread = Lab::new();
    unread.simulator.world().inject(fault::next("DescribeRule", 99, Fault::Refused("AccessDeniedException")));
    unread.refused(sample_event("scheduler-tick")).await;
    assert_eq!(unread.executions().len(), 1, "it is started, and the guard's fault is reported");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_any_other_name_starts_nothing() {
    let other = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/sagemaker-nyctaxi-dayly";
    // The name of the rule is not the name of the schedule.
    let rule = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/sagemaker-nyctaxi-schedule-build";
    for arn in [other, rule] {
        let lab = Lab::new();
        let answer = lab.send(sample_with("scheduler-tick", &[("/resources/0", arn.into())])).await;
        assert_eq!(answer["action"], "ignored");
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.contains("SCHEDULE_NAME (sagemaker-nyctaxi-weekly)"), "{reason}");
        assert!(lab.executions().is_empty());
    }
    let unset = Lab::with(&[("SCHEDULE_NAME", "")]);
    assert_eq!(unset.send(sample_event("scheduler-tick")).await["action"], "ignored");
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_may_come_from_eventbridge_scheduler() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    let arn = "arn:aws:scheduler:us-east-1:123456789012:schedule/ops/sagemaker-nyctaxi-reconcile-build";
    let answer = lab.send(sample_with("scheduler-tick", &[("/resources/0", arn.into())])).await;
    assert_eq!((&answer["event"], &answer["action"]), (&json!("heartbeat"), &json!("engaged")));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_nothing_remembers_a_tick_of_eventbridge_scheduler() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.limit = Some(0);
    let error = lab.refused(sample_event("scheduler-tick")).await;
    assert!(error.contains("ResourceLimitExceeded"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_no_deployment() {
    let lab = Lab::new();
    let answer = lab.deliver("code-rolled-back").await;
    assert_eq!(answer["action"], "ignored");
    assert!(answer["reason"].as_str().unwrap().contains("is a rollback"), "{answer}");
    assert!(lab.take_calls().is_empty(), "the event says so itself");

    // If the event does not state it, CodePipeline's list does.
    for pages in [None, Some(3)] {
        let lab = Lab::new();
        lab.simulator.world().codepipeline.page_limit = pages;
        let rolled_back = lab.simulator.world().code_rolled_back("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
        for number in 0..4 {
            lab.simulator.world().end_code_pipeline(&format!("failed-{number}"), "Failed");
        }
        assert_eq!(rolled_back["detail"]["execution-trigger"], Value::Null);
        let answer = lab.send(rolled_back).await;
        assert_eq!(answer["action"], "ignored", "{answer}");
        assert!(lab.executions().is_empty());
    }
}

/// The list was read only as far as 100 executions, so a late event of a rollback started a training. The random histories found it.
#[tokio::test(start_paused = true)]
async fn a_rollback_is_no_deployment_although_hundreds_of_executions_came_since() {
    let lab = Lab::new();
    let rolled_back = lab.simulator.world().code_rolled_back("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    for number in 0..250 {
        lab.simulator.world().end_code_pipeline(&format!("failed-{number}"), "Failed");
    }
    lab.simulator.world().code_deployed("c0de0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    let answer = lab.send(rolled_back).await;
    assert_eq!(answer["action"], "ignored", "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("is a rollback"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_kind_cannot_be_read_is_tried_again() {
    let lab = Lab::new();
    let deployed = lab.simulator.world().code_deployed("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    lab.simulator.world().inject(fault::next("codepipeline:ListPipelineExecutions", 3, Fault::Throttled));
    let error = lab.refused(deployed.clone()).await;
    assert!(error.contains("cannot list the executions of CodePipeline sagemaker-nyctaxi-build"), "{error}");
    assert_eq!(lab.send(deployed).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_says_what_started_the_deployment_needs_no_list() {
    let lab = Lab::new();
    lab.simulator.world().codepipeline.events_have_trigger = true;
    let deployed = lab.simulator.world().code_deployed("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    lab.simulator.world().inject(fault::next("codepipeline:ListPipelineExecutions", 99, Fault::Throttled));
    assert_eq!(lab.send(deployed).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn where_the_build_retrains_by_itself_its_deployments_start_nothing_and_the_stage_is_guarded() {
    let lab = Lab::with(&[("DEPLOYMENT_TRIGGER", "none")]);
    let answer = lab.deliver("code-deployed").await;
    assert_eq!(
        (&answer["action"], &answer["reason"]),
        (&json!("ignored"), &json!("DEPLOYMENT_TRIGGER is none: deployments start nothing"))
    );
    tokio::time::advance(Duration::from_hours(1)).await;
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "unchanged", "no heartbeat starts it either");
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    lab.assert_engaged();
    let world = lab.simulator.world();
    let is_list = |call: &&Call| call.service == "codepipeline" && call.operation == "ListPipelineExecutions";
    assert_eq!(world.calls.iter().filter(is_list).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_team_without_codepipeline_has_no_stage_and_is_never_asked_for_one() {
    let lab = Lab::with(&[("CODE_PIPELINE_NAME", ""), ("BUILD_STAGE_NAME", "")]);
    let answer = lab.send(sample_event("code-deployed")).await;
    assert_eq!(answer["action"], "ignored");
    assert!(answer["reason"].as_str().unwrap().starts_with("CODE_PIPELINE_NAME is not set"), "{answer}");
    let answer = lab.send(sample_event("schedule")).await;
    assert_eq!(answer["action"], "started");
    assert_eq!(answer["interlock"], json!({ "scheduleRule": "disabled", "driftRule": "disabled" }));
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    let answer = lab.send(sample_event("heartbeat")).await;
    assert_eq!(
        (&answer["action"], &answer["interlock"]),
        (&json!("released"), &json!({ "scheduleRule": "enabled", "driftRule": "enabled" }))
    );
    assert!(lab.simulator.world().calls.iter().all(|call| call.service != "codepipeline"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_of_another_account_that_is_forwarded_to_this_one_starts_a_retraining() {
    let listed = ("DRIFT_ALARM_NAMES", ALARM);
    for lab in [Lab::new(), Lab::with(&[listed])] {
        let answer = lab.send(sample_event("drift-alarm-other-account")).await;
        assert_eq!((&answer["event"], &answer["action"]), (&json!("driftAlarm"), &json!("started")));
        assert_eq!(answer["key"], "sagemaker-nyctaxi-prod-threshold 2021-07-29T09:15:30Z");
    }
    let other_list = Lab::with(&[("DRIFT_ALARM_NAMES", "fare-drift")]);
    assert_eq!(other_list.send(sample_event("drift-alarm-other-account")).await["action"], "ignored");
    // No heartbeat finds it again, so it is not deferred.
    let at_the_limit = Lab::with(&[listed]);
    at_the_limit.simulator.world().sagemaker.limit = Some(0);
    let error = at_the_limit.refused(sample_event("drift-alarm-other-account")).await;
    assert!(error.contains("ResourceLimitExceeded"), "{error}");
}

/// People list several types in one rule. Such an event is no error, so it is no dead letter.
#[tokio::test(start_paused = true)]
async fn an_event_of_another_type_of_a_known_source_is_ignored() {
    for (source, detail_type) in [
        ("aws.codepipeline", "CodePipeline Stage Execution State Change"),
        ("aws.codepipeline", "CodePipeline Action Execution State Change"),
        ("aws.sagemaker", "SageMaker Model Building Pipeline Execution Step Status Change"),
        ("aws.cloudwatch", "CloudWatch Alarm Configuration Change"),
        ("aws.cloudwatch", "CloudWatch Alarm Contributor State Change"),
        ("aws.events", "AWS API Call via CloudTrail"),
        ("aws.scheduler", "AWS API Call via CloudTrail"),
    ] {
        let lab = Lab::new();
        let answer = lab.send(json!({ "source": source, "detail-type": detail_type, "detail": { "state": 7 } })).await;
        let reason = format!(
            "the router needs no event of type \"{detail_type}\" from {source}: a rule that sends only this type can be removed"
        );
        assert_eq!(answer, json!({ "event": "other", "action": "ignored", "reason": reason }));
        assert!(lab.take_calls().is_empty() && lab.take_metrics().is_empty());
    }
}

/// A rule or a CodePipeline of the same name in another account is not ours.
#[tokio::test(start_paused = true)]
async fn an_event_of_another_account_or_region_is_ignored_unless_it_is_an_alarms() {
    for (pointer, elsewhere) in [("/account", "210987654321"), ("/region", "eu-west-1")] {
        for sample in ["code-deployed", "schedule", "scheduler-tick", "heartbeat", "execution-executing"] {
            let lab = Lab::new();
            let answer = lab.send(sample_with(sample, &[(pointer, elsewhere.into())])).await;
            assert_eq!(answer["action"], "ignored", "{sample}");
            let reason = answer["reason"].as_str().unwrap();
            assert!(reason.contains(elsewhere) && reason.contains("123456789012"), "{reason}");
            assert!(lab.take_calls().is_empty(), "{sample}");
        }
        let lab = Lab::new();
        assert_eq!(lab.send(sample_with("drift-alarm", &[(pointer, elsewhere.into())])).await["action"], "started");
    }
    // Emulators invent an account, or none; a person's event may have none.
    for arn in ["function-arn", "arn:aws:lambda:us-east-1:012345678912:function:router"] {
        let lab = Lab::new().with_function_arn(arn);
        assert_eq!(lab.send(sample_event("schedule")).await["action"], "started", "{arn}");
    }
    let mut by_hand = sample_event("schedule");
    by_hand.as_object_mut().unwrap().retain(|name, _| !["account", "region"].contains(&name.as_str()));
    assert_eq!(Lab::new().send(by_hand).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_status_event_without_the_pipelines_arn_names_it_by_the_executions() {
    let lab = Lab::new();
    let mut event = sample_event("execution-executing");
    event["detail"].as_object_mut().unwrap().remove("pipelineArn");
    lab.simulator.world().force_state(&event);
    assert_eq!(lab.send(event.clone()).await["action"], "engaged");
    let other = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud-pipeline/execution/abc";
    event["detail"]["pipelineExecutionArn"] = other.into();
    assert_eq!(lab.send(event).await["action"], "ignored");
}

/// `DescribeAlarms` shows the alarm, not which of its time series went off, so no heartbeat finds a contributor again.
#[tokio::test(start_paused = true)]
async fn a_contributor_of_an_alarm_starts_a_retraining_and_is_never_left_to_a_heartbeat() {
    let mut event = sample_event("drift-alarm-action");
    event["alarmData"]["alarmContributor"] = json!({ "id": "6d44", "attributes": { "MonitoringSchedule": "drift" } });
    let listed = [("DRIFT_ALARM_NAMES", ALARM)];
    let lab = Lab::with(&listed);
    assert_eq!(lab.send(event.clone()).await["action"], "started");
    let at_the_limit = Lab::with(&listed);
    at_the_limit.simulator.world().sagemaker.limit = Some(0);
    let error = at_the_limit.refused(event).await;
    assert!(error.contains("ResourceLimitExceeded"), "{error}");
    assert_eq!(at_the_limit.send(sample_event("drift-alarm-action")).await["action"], "deferred", "the alarm itself");
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_finds_nothing_to_do() {
    let lab = Lab::new();
    assert_eq!(
        lab.send(sample_event("heartbeat")).await,
        json!({
            "event": "heartbeat",
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
    let answer = lab.send(sample_event("heartbeat")).await;
    assert_eq!((&answer["action"], &answer["interlock"]), (&json!("engaged"), &engaged()));
    lab.assert_engaged();

    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    let answer = lab.send(sample_event("heartbeat")).await;
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
                "executionArn": FIRST_EXECUTION_ARN,
                "interlock": engaged(),
            })
        );
        lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Stopping");
        let stopping =
            sample_with("execution-executing", &[("/detail/currentPipelineExecutionStatus", "Stopping".into())]);
        assert_eq!(lab.send(stopping).await["action"], "unchanged");
        lab.assert_engaged();

        lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, end);
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
    assert_eq!(
        answer["reason"],
        "the event is of SageMaker pipeline fraud-pipeline, and SAGEMAKER_PIPELINE_NAME is nyctaxi-pipeline"
    );
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn an_upper_case_pipeline_name_is_the_same_pipeline() {
    let lab = Lab::with(&[("SAGEMAKER_PIPELINE_NAME", "NYCtaxi-Pipeline")]);
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    assert_eq!(lab.deliver("execution-succeeded").await["action"], "released");
    assert_eq!(lab.send(sample_event("schedule")).await["action"], "started");
}
