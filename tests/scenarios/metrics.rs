//! The CloudWatch metrics of each invocation.

use serde_json::Value;
use simulator::nyctaxi::{DRIFT_RULE, STAGE};
use simulator::samples::{sample_event, status_event};
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
    assert_eq!(lab.take_metrics(), ["DriftTriggers 1", "CoolingDown 1", "InterlockEngaged 0", "GuardsHeld 0"]);
}

#[tokio::test(start_paused = true)]
async fn every_heartbeat_says_whether_the_interlock_is_engaged() {
    let lab = Lab::new();
    lab.send(sample_event("heartbeat")).await;
    assert_eq!(lab.take_metrics(), ["OwedSeconds 0", "InterlockEngaged 0", "GuardsHeld 0"]);
    lab.simulator.world().start_execution(None);
    lab.send(sample_event("heartbeat")).await;
    assert_eq!(lab.take_metrics(), ["OwedSeconds 0", "InterlockEngaged 1", "GuardsHeld 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_retraining_that_fails_is_counted_and_told_and_one_that_is_stopped_is_not() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    let mut failed = sample_event("execution-failed");
    failed["detail"]["pipelineExecutionArn"] =
        sample_event("execution-executing")["detail"]["pipelineExecutionArn"].clone();
    lab.simulator.world().force_state(&failed);
    let answer = lab.send(failed).await;
    assert_eq!(lab.take_metrics(), ["RetrainingsFailed 1", "InterlockEngaged 0", "GuardsHeld 0"]);
    assert_eq!(
        answer["reason"],
        "no execution runs; execution ib87gnc408me is Failed: Step failure: One or multiple steps failed."
    );
    for sample in ["execution-stopped", "execution-succeeded"] {
        lab.deliver(sample).await;
        assert_eq!(lab.take_metrics(), ["InterlockEngaged 0", "GuardsHeld 0"], "{sample}");
    }
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
async fn a_retraining_that_failed_is_counted_while_a_guard_cannot_be_enabled() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    lab.send(status_event(&arn, "Executing")).await;
    lab.simulator.world().set_execution_status(&arn, "Failed");
    lab.simulator.world().inject(fault::next("EnableStageTransition", 99, Fault::Refused("AccessDeniedException")));
    lab.refused(status_event(&arn, "Failed")).await;
    assert_eq!(lab.take_metrics(), ["RetrainingsFailed 1", "InterlockEngaged 1", "GuardsHeld 0"]);
    lab.simulator.world().heal();

    // A late event of the same execution counts nothing if its own status is not an ended one.
    lab.send(status_event(&arn, "Executing")).await;
    assert_eq!(lab.take_metrics(), ["InterlockEngaged 0", "GuardsHeld 0"]);
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
