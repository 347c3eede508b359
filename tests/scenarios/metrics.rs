//! The CloudWatch metrics of each invocation.

use std::time::Duration;

use serde_json::Value;
use simulator::nyctaxi::{DRIFT_RULE, FIRST_EXECUTION_ARN, STAGE};
use simulator::samples::{sample_event, status_event};
use simulator::time::{HOUR, MINUTE};
use simulator::{Fault, fault};

use crate::common::Lab;
use crate::common::marks::HOLD;

#[tokio::test(start_paused = true)]
async fn every_trigger_is_counted_by_its_kind_and_by_what_came_of_it() {
    for (sample, trigger) in [
        ("drift-alarm", "DriftTriggers 1"),
        ("schedule", "ScheduleTriggers 1"),
        ("code-deployed", "CodeTriggers 1"),
        ("codepipeline-job", "JobTriggers 1"),
        ("retrain", "RequestTriggers 1"),
    ] {
        let lab = if sample == "codepipeline-job" { Lab::with_actions() } else { Lab::new() };
        lab.simulator.world().force_state(&sample_event(sample));
        lab.send(sample_event(sample)).await;
        assert_eq!(lab.take_metrics(), [trigger, "Started 1", "InterlockEngaged 1", "GuardsHeld 0"]);
        lab.send(sample_event(sample)).await;
        assert_eq!(lab.take_metrics(), [trigger, "Duplicates 1", "InterlockEngaged 1", "GuardsHeld 0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn triggers_that_start_nothing_are_counted_as_such() {
    let lab = Lab::with(&[("DRIFT_COOLDOWN", "1d")]);
    lab.deliver("execution-executing").await;
    lab.send(sample_event("drift-alarm")).await;
    assert_eq!(lab.take_metrics(), ["DriftTriggers 1", "Coalesced 1", "InterlockEngaged 1", "GuardsHeld 0"]);
    lab.deliver("execution-succeeded").await;
    lab.send(sample_event("drift-alarm")).await;
    assert_eq!(
        lab.take_metrics(),
        ["DriftTriggers 1", "CoolingDown 1", "RetrainingFailing 0", "InterlockEngaged 0", "GuardsHeld 0"]
    );
}

#[tokio::test(start_paused = true)]
async fn every_heartbeat_says_whether_the_interlock_is_engaged() {
    let lab = Lab::new();
    lab.send(sample_event("heartbeat")).await;
    assert_eq!(lab.take_metrics(), ["OwedSeconds 0", "InterlockEngaged 0", "GuardsHeld 0"]);
    lab.simulator.world().start_execution(None);
    lab.send(sample_event("heartbeat")).await;
    assert_eq!(lab.take_metrics(), ["OwedSeconds 0", "TrainingAgeSeconds 0", "InterlockEngaged 1", "GuardsHeld 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_stays_visible_until_a_training_succeeds_and_a_stopped_one_changes_nothing() {
    let lab = Lab::new();
    let end = async |status: &str| {
        tokio::time::advance(HOUR).await;
        let arn = lab.simulator.world().start_execution(None);
        lab.simulator.world().set_execution_status(&arn, status);
        // Its event is lost. Any later event says it.
        lab.send(sample_event("heartbeat")).await;
        let metrics = lab.take_metrics();
        metrics.into_iter().find(|metric| metric.starts_with("RetrainingFailing"))
    };
    assert_eq!(end("Stopped").await, None);
    assert_eq!(end("Succeeded").await.as_deref(), Some("RetrainingFailing 0"));
    assert_eq!(end("Failed").await.as_deref(), Some("RetrainingFailing 1"));
    assert_eq!(end("Stopped").await.as_deref(), Some("RetrainingFailing 1"));
    lab.send(sample_event("schedule")).await;
    assert!(lab.take_metrics().contains(&"RetrainingFailing 1".to_owned()), "while the next one runs, too");
    assert_eq!(end("Succeeded").await.as_deref(), Some("RetrainingFailing 0"));
}

#[tokio::test(start_paused = true)]
async fn every_heartbeat_says_how_old_the_newest_training_is() {
    let lab = Lab::new();
    let age = async || {
        lab.send(sample_event("heartbeat")).await;
        lab.take_metrics().into_iter().find(|metric| metric.starts_with("TrainingAgeSeconds"))
    };
    assert_eq!(age().await, None, "there is no training");
    let failed = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&failed, "Failed");
    tokio::time::advance(HOUR).await;
    assert_eq!(age().await.as_deref(), Some("TrainingAgeSeconds 3600"), "at least");
    let succeeded = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&succeeded, "Succeeded");
    tokio::time::advance(MINUTE).await;
    assert_eq!(age().await.as_deref(), Some("TrainingAgeSeconds 60"));
}

#[tokio::test(start_paused = true)]
async fn a_retraining_that_fails_is_told_with_its_step_and_one_that_is_stopped_is_not() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    let mut failed = sample_event("execution-failed");
    failed["detail"]["pipelineExecutionArn"] =
        sample_event("execution-executing")["detail"]["pipelineExecutionArn"].clone();
    lab.simulator.world().force_state(&failed);
    // SageMaker lists no failed step.
    let answer = lab.send(failed.clone()).await;
    assert_eq!(lab.take_metrics(), ["RetrainingFailing 1", "InterlockEngaged 0", "GuardsHeld 0"]);
    assert_eq!(
        answer["reason"],
        "no execution runs; execution ib87gnc408me is Failed: Step failure: One or multiple steps failed."
    );
    for (step, reason) in [("TrainModel", "CapacityError: no instance"), ("EvaluateModel", &"x".repeat(301))] {
        let now = lab.simulator.world().now();
        lab.simulator.world().sagemaker.fail_step(FIRST_EXECUTION_ARN, step, reason, now);
    }
    lab.take_calls();
    assert_eq!(
        lab.send(failed.clone()).await["reason"],
        format!(
            "no execution runs; execution ib87gnc408me is Failed: step EvaluateModel failed: {}; \
             step TrainModel failed: CapacityError: no instance",
            "x".repeat(300)
        )
    );
    // The steps are read with all the rest, in one round trip.
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "ListPipelineExecutionSteps").count(), 1);
    for sample in ["execution-stopped", "execution-succeeded"] {
        lab.deliver(sample).await;
        assert!(!lab.take_calls().contains(&"ListPipelineExecutionSteps".to_owned()), "{sample}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_failed_steps_are_named_and_without_the_permission_the_failure_is_told_without_them() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    lab.simulator.world().sagemaker.page_limit = Some(3);
    for step in 0..12 {
        let now = lab.simulator.world().now();
        lab.simulator.world().sagemaker.fail_step(&arn, &format!("Step{step}"), "no reason", now);
    }
    let told = lab.send(status_event(&arn, "Failed")).await["reason"].as_str().unwrap().to_owned();
    assert_eq!(told.matches(" failed: no reason").count(), 10, "{told}");
    let denied = Fault::Refused("AccessDeniedException");
    lab.simulator.world().inject(fault::next("ListPipelineExecutionSteps", 9, denied));
    let told = lab.send(status_event(&arn, "Failed")).await["reason"].as_str().unwrap().to_owned();
    assert!(told.ends_with("Step failure: One or multiple steps failed."), "{told}");
}

#[tokio::test(start_paused = true)]
async fn steps_that_cannot_be_read_in_time_do_not_keep_the_guards_disabled() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    lab.send(status_event(&arn, "Executing")).await;
    lab.simulator.world().set_execution_status(&arn, "Failed");
    lab.simulator.world().inject(fault::next("ListPipelineExecutionSteps", 99, Fault::Hang));
    let lab = lab.with_deadline(Duration::from_secs(10));
    assert_eq!(lab.try_send(status_event(&arn, "Failed")).await.unwrap_err().error_type, "Deadline");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_nothing_is_not_counted() {
    let lab = Lab::new();
    for sample in ["drift-alarm-ok", "code-failed", "drift-alarm-muted"] {
        assert_eq!(lab.send(sample_event(sample)).await["action"], "ignored");
    }
    lab.deliver("codepipeline-job-continued").await;
    assert_eq!(lab.take_metrics(), Vec::<String>::new());
    assert_eq!(lab.send(sample_event("heartbeat")).await["key"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_fails_later_counts_what_it_did() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("DisableRule", 99, Fault::Refused("AccessDeniedException")));
    lab.refused(sample_event("code-deployed")).await;
    assert_eq!(lab.take_metrics(), ["CodeTriggers 1", "Started 1", "InterlockEngaged 1", "GuardsHeld 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_counted_while_a_guard_cannot_be_enabled() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    lab.send(status_event(&arn, "Executing")).await;
    lab.simulator.world().set_execution_status(&arn, "Failed");
    lab.simulator.world().inject(fault::next("EnableStageTransition", 99, Fault::Refused("AccessDeniedException")));
    lab.refused(status_event(&arn, "Failed")).await;
    assert_eq!(lab.take_metrics(), ["RetrainingFailing 1", "InterlockEngaged 1", "GuardsHeld 0"]);
    lab.simulator.world().heal();

    // A late event of the same execution tells nothing of its end.
    let answer = lab.send(status_event(&arn, "Executing")).await;
    assert_eq!((&answer["action"], &answer["reason"]), (&"released".into(), &"no execution runs".into()));
    assert_eq!(lab.take_metrics(), ["RetrainingFailing 1", "InterlockEngaged 0", "GuardsHeld 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_be_read_is_not_counted_as_released() {
    let lab = Lab::with(&[("SCHEDULE_RULE_NAME", ""), ("DRIFT_RULE_NAME", "")]);
    lab.send(sample_event("code-deployed")).await;
    lab.take_metrics();
    lab.simulator.world().inject(fault::next("GetPipelineState", 99, Fault::Throttled));
    lab.refused(sample_event("heartbeat")).await;
    assert!(!lab.take_metrics().iter().any(|metric| metric.starts_with("InterlockEngaged")));
}

#[tokio::test(start_paused = true)]
async fn guards_that_somebody_else_disables_are_counted_at_every_look() {
    let lab = Lab::new();
    lab.simulator.world().operate_stage(STAGE, Some(HOLD));
    lab.simulator.world().operate_rule(DRIFT_RULE, false);
    lab.send(sample_event("heartbeat")).await;
    assert_eq!(lab.take_metrics(), ["OwedSeconds 0", "InterlockEngaged 0", "GuardsHeld 2"]);
    lab.simulator.world().operate_rule(DRIFT_RULE, true);
    lab.send(sample_event("schedule")).await;
    assert_eq!(lab.take_metrics(), ["ScheduleTriggers 1", "Started 1", "InterlockEngaged 1", "GuardsHeld 1"]);
    // Another router's mark counts too. A router that was renamed without draining leaves one permanently.
    let other = Lab::new();
    other.simulator.world().operate_stage(STAGE, Some("Disabled by drift-router (fraud-pipeline) while SageMaker pipeline execution abc runs. It is enabled again when no execution runs."));
    assert_eq!(other.send(sample_event("heartbeat")).await["interlock"]["stage"]["heldBy"], "fraud-pipeline");
    assert_eq!(other.take_metrics(), ["OwedSeconds 0", "InterlockEngaged 0", "GuardsHeld 1"]);
    // While a guard cannot be read, it is not certain that none is held.
    other.simulator.world().operate_stage(STAGE, None);
    other.simulator.world().inject(fault::next("DescribeRule", 99, Fault::Throttled));
    other.refused(sample_event("heartbeat")).await;
    assert_eq!(other.take_metrics(), Vec::<String>::new());
}
