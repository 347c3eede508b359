//! `MODE`: what a dry run reports, what draining releases, and what switching between the modes does.
//!
//! `Lab::try_send` also sends every event of every other scenario to a dry run, which must change nothing.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::codepipeline::ActionState;
use simulator::nyctaxi::{DRIFT_RULE, FIRST_EXECUTION_ARN, SCHEDULE_RULE};
use simulator::samples::sample_event;
use simulator::{Fault, fault};

use crate::common::marks::OWED_TAG;
use crate::common::{DEPLOYED_BY_ACTION, Lab};

const DRY_RUN: (&str, &str) = ("MODE", "dry-run");
const DRAIN: (&str, &str) = ("MODE", "drain");

/// Runs the action, and returns the event of its first job.
fn action(lab: &Lab) -> Value {
    lab.simulator.world().run_action(None).unwrap()
}

fn next_job(lab: &Lab) -> Value {
    lab.simulator.world().next_job().expect("the action waits")
}

#[track_caller]
fn assert_refused(lab: &Lab, reason: &str) {
    let state = lab.simulator.world().codepipeline.actions.last().unwrap().state.clone();
    let ActionState::Failed(details) = state else { panic!("the action is {state:?}") };
    assert_eq!(details["type"], "ConfigurationError");
    assert!(details["message"].as_str().unwrap().contains(reason), "{details}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_have_started_and_changes_nothing() {
    for (sample, name) in [
        ("drift-alarm", "drift-sagemaker-nyctaxi-prod-threshold-2021-07-28T07-02-04Z"),
        ("code-deployed", "code-09714422-afff-4465-a5f8-651f1d80bba0"),
        ("schedule", "schedule-sagemaker-nyctaxi-schedule-build-2021-06-01T12-00-00Z"),
        ("scheduler-tick", "schedule-sagemaker-nyctaxi-weekly-2021-06-06T12-00-00Z"),
    ] {
        let lab = Lab::with(&[DRY_RUN]);
        let answer = lab.send(sample_event(sample)).await;
        assert_eq!((&answer["action"], &answer["dryRun"]), (&json!("started"), &json!(true)));
        let reason = answer["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("MODE is dry-run: the router would have started {name}")), "{reason}");
        assert_eq!(answer["executionArn"], Value::Null);
        assert_eq!(answer["interlock"], json!({"stage": "enabled", "scheduleRule": "enabled", "driftRule": "enabled"}));
        let metrics = lab.take_metrics();
        assert!(metrics.iter().any(|metric| metric.ends_with("Triggers 1")), "{metrics:?}");
        assert!(!metrics.iter().any(|metric| metric.starts_with("Started")), "{metrics:?}");
        assert!(metrics.contains(&"InterlockEngaged 0".to_owned()), "{metrics:?}");
        assert!(lab.take_writes().is_empty() && lab.executions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_looks_once_and_says_what_it_would_have_done_to_the_guards() {
    let lab = Lab::with(&[DRY_RUN]);
    let answer = lab.deliver("execution-executing").await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("engaged"), &json!("execution ib87gnc408me runs")));
    assert_eq!(answer["interlock"]["stage"], "enabled", "what was found");
    let looks = lab.take_calls();
    assert_eq!(looks.iter().filter(|call| *call == "GetPipelineState").count(), 1, "{looks:?}");
    assert_eq!(lab.take_metrics(), ["InterlockEngaged 0", "GuardsHeld 0"]);
    assert_eq!(lab.deliver("execution-succeeded").await["action"], "unchanged");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_reports_every_other_decision_too() {
    let lab = Lab::with(&[DRY_RUN, ("DRIFT_COOLDOWN", "1d")]);
    lab.deliver("execution-executing").await;
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "alreadyRunning");
    lab.deliver("execution-succeeded").await;
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "coolingDown");
    lab.simulator.world().operate_rule(SCHEDULE_RULE, false);
    assert_eq!(lab.send(sample_event("schedule")).await["action"], "held");
    assert_eq!(lab.send(sample_event("drift-alarm-ok")).await["action"], "ignored");
    assert!(lab.take_writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_in_a_dry_run_names_what_it_would_have_caught_up() {
    let lab = Lab::with(&[DRY_RUN]);
    lab.simulator.world().code_deployed("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    lab.simulator.world().tag_rule(SCHEDULE_RULE, OWED_TAG, Some("nyctaxi-pipeline/unreadable"));
    tokio::time::advance(Duration::from_hours(1)).await;
    let answer = lab.send(sample_event("heartbeat")).await;
    assert_eq!((&answer["action"], &answer["dryRun"]), (&json!("started"), &json!(true)));
    assert_eq!(answer["key"], "5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    assert_eq!(lab.take_metrics(), ["OwedSeconds 3600", "InterlockEngaged 0", "GuardsHeld 0"]);
    assert!(lab.take_writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_heartbeat_in_a_dry_run_looks_once_all_the_same() {
    let lab = Lab::with(&[DRY_RUN, ("DRIFT_ALARM_NAMES", "fare-drift,tip-drift")]);
    for alarm in ["fare-drift", "tip-drift"] {
        lab.simulator.world().change_alarm(alarm, "ALARM");
    }
    tokio::time::advance(Duration::from_hours(1)).await;
    lab.simulator.world().cloudwatch.page_limit = Some(1);
    lab.simulator.world().latency = Duration::from_secs(4);
    let answer = lab.send(sample_event("heartbeat")).await;
    assert_eq!((&answer["action"], &answer["dryRun"]), (&json!("started"), &json!(true)));
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "GetPipelineState").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_whose_observation_fails_tags_no_tick_and_releases_nothing() {
    let lab = Lab::with(&[DRY_RUN]);
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 3, Fault::Throttled));
    lab.refused(sample_event("schedule")).await;
    assert!(lab.take_writes().is_empty());
    lab.with_variables(&[]).send(sample_event("code-deployed")).await;
    lab.take_calls();
    lab.simulator.world().sagemaker.delete_pipeline("nyctaxi-pipeline");
    lab.refused(sample_event("heartbeat")).await;
    assert!(lab.take_writes().is_empty());
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_refuses_the_first_call_of_a_job_and_answers_the_later_ones() {
    let active = Lab::with_actions();
    let dry = active.with_variables(&[DRY_RUN, DEPLOYED_BY_ACTION]);
    assert_eq!(dry.send(action(&active)).await["action"], "failed");
    assert_refused(&active, "MODE is dry-run: the router would have started a retraining");
    assert!(active.executions().is_empty());

    // The action started before the switch.
    let first = action(&active);
    active.send(first.clone()).await;
    let later = dry.send(next_job(&active)).await;
    assert_eq!((&later["action"], &later["dryRun"]), (&json!("continued"), &json!(true)));
    active.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    assert_eq!(dry.send(next_job(&active)).await["action"], "succeeded");
    active.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_started_although_its_answer_was_lost_is_found_in_every_mode() {
    for mode in [DRY_RUN, DRAIN] {
        let active = Lab::with_actions();
        let first = action(&active);
        active.simulator.world().inject(fault::next("PutJobSuccessResult", 99, Fault::Throttled));
        active.refused(first.clone()).await;
        active.simulator.world().heal();
        let answer = active.with_variables(&[mode, DEPLOYED_BY_ACTION]).send(first).await;
        assert_eq!(
            (&answer["action"], &answer["executionArn"]),
            (&json!("continued"), &json!(FIRST_EXECUTION_ARN)),
            "{mode:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_room_is_refused_when_nothing_starts_any_more() {
    for (mode, reason) in [(DRY_RUN, "MODE is dry-run"), (DRAIN, "MODE is drain")] {
        let active = Lab::with_actions();
        active.simulator.world().sagemaker.limit = Some(0);
        assert_eq!(active.send(action(&active)).await["action"], "deferred");
        let other = active.with_variables(&[mode, DEPLOYED_BY_ACTION]);
        assert_eq!(other.send(next_job(&active)).await["action"], "failed");
        assert_refused(&active, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn draining_enables_what_the_router_disabled_although_an_execution_runs_and_leaves_holds() {
    let lab = Lab::new();
    lab.simulator.world().operate_rule(DRIFT_RULE, false);
    lab.send(sample_event("code-deployed")).await;
    let drain = lab.with_variables(&[DRAIN]);
    let answer = drain.send(sample_event("heartbeat")).await;
    assert_eq!(answer["action"], "released");
    assert_eq!(answer["reason"], "MODE is drain: every guard that this router disabled is enabled");
    assert_eq!(answer["interlock"], json!({"stage": "enabled", "scheduleRule": "enabled", "driftRule": "held"}));
    assert_eq!(lab.guards(), json!({ "stage": null, "schedule": "enabled", "drift": "disabled, no tag" }));
    for sample in ["heartbeat", "execution-executing"] {
        assert_eq!(drain.send(sample_event(sample)).await["action"], "unchanged", "it never engages");
    }
    assert_eq!(drain.take_metrics(), ["InterlockEngaged 0", "GuardsHeld 1"]);
    // After the switch back, the next event engages the guards.
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "engaged");
}

#[tokio::test(start_paused = true)]
async fn triggers_are_ignored_while_draining_and_release_what_is_left() {
    for sample in ["drift-alarm", "drift-alarm-action", "code-deployed", "schedule", "scheduler-tick"] {
        let lab = Lab::new();
        let world = lab.simulator.clone();
        lab.deliver("execution-executing").await;
        world.world().tag_rule(SCHEDULE_RULE, OWED_TAG, Some("nyctaxi-pipeline/2021-05-28T07:00:00Z"));
        let drain = lab.with_variables(&[DRAIN]);
        let answer = drain.send(sample_event(sample)).await;
        assert_eq!(answer["action"], "ignored");
        let reason = answer["reason"].as_str().unwrap();
        assert_eq!(
            reason, "MODE is drain: nothing is started; the guards that this router disabled are enabled",
            "{sample}"
        );
        assert_eq!(lab.executions().len(), 1, "{sample}");
        lab.assert_released();
        assert!(world.world().eventbridge.rule(SCHEDULE_RULE).unwrap().tags.is_empty(), "{sample}");
    }
}

#[tokio::test(start_paused = true)]
async fn draining_removes_the_tag_of_an_owed_tick_and_leaves_another_routers() {
    for (tag, is_left) in [
        ("nyctaxi-pipeline/2021-05-28T07:00:00Z", false),
        ("nyctaxi-pipeline/noon", false),
        ("fraud-pipeline/2021-05-28T07:00:00Z", true),
    ] {
        let lab = Lab::with(&[DRAIN]);
        lab.simulator.world().tag_rule(SCHEDULE_RULE, OWED_TAG, Some(tag));
        assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "unchanged");
        let world = lab.simulator.world();
        assert_eq!(world.eventbridge.rule(SCHEDULE_RULE).unwrap().tags.contains_key(OWED_TAG), is_left, "{tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_be_read_does_not_keep_draining_from_the_rest() {
    let lab = Lab::new();
    lab.send(sample_event("code-deployed")).await;
    lab.simulator.world().tag_rule(SCHEDULE_RULE, OWED_TAG, Some("nyctaxi-pipeline/2021-05-28T07:00:00Z"));
    lab.simulator.world().codepipeline.delete_stage("Build");
    let error = lab.with_variables(&[DRAIN]).refused(sample_event("heartbeat")).await;
    assert!(error.contains("cannot read the inbound transition of stage Build"), "{error}");
    for rule in [SCHEDULE_RULE, DRIFT_RULE] {
        let world = lab.simulator.world();
        let rule = world.eventbridge.rule(rule).unwrap();
        assert!(rule.is_enabled() && rule.tags.is_empty(), "{rule:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn draining_needs_no_sagemaker() {
    let lab = Lab::new();
    lab.send(sample_event("code-deployed")).await;
    let drain = lab.with_variables(&[DRAIN]);
    lab.simulator.world().sagemaker.delete_pipeline("nyctaxi-pipeline");
    assert_eq!(drain.send(sample_event("heartbeat")).await["action"], "released");
    lab.assert_released();

    // If an execution event cannot be checked, the router still releases the guards, and the invocation fails.
    let lab = Lab::new();
    lab.send(sample_event("code-deployed")).await;
    lab.simulator.world().inject(fault::next("DescribePipelineExecution", 99, Fault::Throttled));
    let error = lab.with_variables(&[DRAIN]).refused(sample_event("execution-executing")).await;
    assert!(error.contains("cannot describe"), "{error}");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn a_retraining_that_fails_is_told_while_draining_and_not_counted_as_the_list_is_not_read() {
    let lab = Lab::with(&[DRAIN]);
    let answer = lab.deliver("execution-failed").await;
    assert_eq!(answer["action"], "unchanged");
    assert!(answer["reason"].as_str().unwrap().contains(" is Failed: "), "{answer}");
    assert_eq!(lab.take_metrics(), ["InterlockEngaged 0", "GuardsHeld 0"]);
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_the_first_call_of_a_job_and_answers_the_later_ones() {
    let active = Lab::with_actions();
    let drain = active.with_variables(&[DRAIN, DEPLOYED_BY_ACTION]);
    assert_eq!(drain.send(action(&active)).await["action"], "failed");
    assert_refused(&active, "MODE is drain: nothing is started");

    active.send(action(&active)).await;
    assert_eq!(drain.send(next_job(&active)).await["action"], "continued");
    active.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    assert_eq!(drain.send(next_job(&active)).await["action"], "succeeded");
    active.assert_released();
    assert_eq!(active.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_looked_up_while_draining_is_refused_or_tried_again_as_the_error_asks() {
    for (fault, is_final) in [(Fault::Throttled, false), (Fault::Refused("AccessDeniedException"), true)] {
        let lab = Lab::with(&[DRAIN, DEPLOYED_BY_ACTION]);
        let job = action(&lab);
        lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 99, fault));
        match is_final {
            true => {
                assert_eq!(lab.send(job).await["action"], "failed");
                assert_refused(&lab, "MODE is drain: nothing is started; cannot list the executions");
            }
            false => {
                let error = lab.refused(job).await;
                assert!(error.starts_with("cannot list the executions"), "{error}");
                assert_eq!(lab.simulator.world().codepipeline.actions[0].state, ActionState::InProgress);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_while_draining_is_caught_up_from_awss_state_afterwards() {
    let lab = Lab::new();
    let drain = lab.with_variables(&[DRAIN]);
    let deployed = lab.simulator.world().code_deployed("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
    assert_eq!(drain.send(deployed).await["action"], "ignored");
    tokio::time::advance(Duration::from_hours(1)).await;
    assert_eq!(drain.send(sample_event("heartbeat")).await["action"], "unchanged");
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "started");
    assert_eq!(lab.executions(), ["code-5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11"]);
}
