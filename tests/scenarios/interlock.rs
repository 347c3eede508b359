//! When the stage and the rules are disabled and enabled: executions in any order, operators, crashes, concurrent invocations.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::nyctaxi::{DRIFT_RULE, FIRST_EXECUTION_ARN, HEARTBEAT_RULE, SCHEDULE_RULE, STAGE};
use simulator::samples::{sample_event, status_event};
use simulator::{Called, Fault, fault, only_reads};

use crate::common::Lab;
use crate::common::marks::{MARK, TAG, WHOLE_MARK};

#[tokio::test(start_paused = true)]
async fn the_end_of_one_execution_does_not_release_while_another_runs() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    let second = lab.simulator.world().start_execution(None);
    lab.send(status_event(&second, "Executing")).await;

    let answer = lab.deliver("execution-succeeded").await;
    assert_eq!(answer["action"], "unchanged");
    assert_eq!(answer["reason"], format!("execution {} runs", second.rsplit('/').next().unwrap()));
    lab.assert_engaged();

    lab.simulator.world().set_execution_status(&second, "Failed");
    assert_eq!(lab.send(status_event(&second, "Failed")).await["action"], "released");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn ended_before_executing_leaves_the_interlock_released() {
    let lab = Lab::new();
    assert_eq!(lab.deliver("execution-succeeded").await["action"], "unchanged");
    // The event of the start arrives late: the execution has ended.
    assert_eq!(lab.send(sample_event("execution-executing")).await["action"], "unchanged");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_true_releases_nothing() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    assert_eq!(lab.send(sample_event("execution-succeeded")).await["action"], "unchanged");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn repeated_status_events_change_nothing() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    lab.take_calls();
    for _ in 0..3 {
        assert_eq!(lab.send(sample_event("execution-executing")).await["action"], "unchanged");
    }
    assert!(lab.take_writes().is_empty());
    lab.deliver("execution-succeeded").await;
    lab.take_calls();
    for _ in 0..3 {
        assert_eq!(lab.send(sample_event("execution-succeeded")).await["action"], "unchanged");
    }
    assert!(lab.take_writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retried_execution_engages_again_under_the_same_arn() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    lab.deliver("execution-succeeded").await;
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_the_list_does_not_show_yet_engages() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_nothing_shows_yet_is_believed_to_run() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    lab.simulator.world().sagemaker.describe_lag = Duration::from_secs(30);
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn an_execution_older_than_the_hundred_newest_is_described() {
    let lab = Lab::new();
    let oldest = lab.simulator.world().start_execution(None);
    for _ in 0..120 {
        let arn = lab.simulator.world().start_execution(None);
        lab.simulator.world().set_execution_status(&arn, "Succeeded");
    }
    assert_eq!(lab.send(status_event(&oldest, "Executing")).await["action"], "engaged");
}

#[tokio::test(start_paused = true)]
async fn an_operators_hold_on_the_stage_outlives_a_retraining() {
    let lab = Lab::new();
    lab.simulator.world().operate_stage(STAGE, Some("release freeze until Monday"));
    let answer = lab.deliver("execution-executing").await;
    assert_eq!(answer["interlock"]["stage"], "held");
    assert_eq!(answer["interlock"], json!({ "stage": "held", "scheduleRule": "disabled", "driftRule": "disabled" }));

    let answer = lab.deliver("execution-succeeded").await;
    assert_eq!(answer["interlock"]["stage"], "held");
    assert_eq!(
        lab.guards(),
        json!({ "stage": "release freeze until Monday", "schedule": "enabled", "drift": "enabled" })
    );
}

#[tokio::test(start_paused = true)]
async fn an_operators_hold_on_a_rule_outlives_a_retraining() {
    for (held, role, other) in [(SCHEDULE_RULE, "scheduleRule", "driftRule"), (DRIFT_RULE, "driftRule", "scheduleRule")]
    {
        let lab = Lab::new();
        lab.simulator.world().operate_rule(held, false);
        let answer = lab.deliver("execution-executing").await;
        assert_eq!(answer["interlock"], json!({ "stage": "disabled", role: "held", other: "disabled" }));
        let answer = lab.deliver("execution-succeeded").await;
        assert_eq!(answer["interlock"], json!({ "stage": "enabled", role: "held", other: "enabled" }));
        let world = lab.simulator.world();
        assert!(!world.eventbridge.rule(held).unwrap().is_enabled());
        assert!(world.eventbridge.rule(held).unwrap().tags.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_an_operator_takes_over_stays_disabled() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    lab.simulator.world().operate_stage(STAGE, Some("hands off"));
    assert_eq!(lab.deliver("execution-succeeded").await["interlock"]["stage"], "held");
    assert_eq!(lab.guards()["stage"], "hands off");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_enables_during_a_retraining_is_disabled_again() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    lab.simulator.world().operate_stage(STAGE, None);
    lab.simulator.world().operate_rule(DRIFT_RULE, true);
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "engaged");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_tag_and_disable_is_repaired_by_the_next_look() {
    for running in [true, false] {
        let lab = Lab::new();
        let event = sample_event("execution-executing");
        lab.simulator.world().force_state(&event);
        // The invocation is killed while it waits to disable the rules.
        lab.simulator.world().inject(fault::next("DisableRule", 99, Fault::Hang));
        let killed = tokio::time::timeout(Duration::from_secs(1), lab.try_send(event)).await;
        assert!(killed.is_err());
        lab.simulator.world().heal();
        assert!(lab.guards()["drift"].as_str().unwrap().starts_with("enabled, but tagged"));

        if running {
            assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "engaged");
            lab.assert_engaged();
        } else {
            assert_eq!(lab.deliver("execution-succeeded").await["action"], "released");
            lab.assert_released();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_enable_and_untag_is_repaired_by_the_next_look() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    let event = sample_event("execution-succeeded");
    lab.simulator.world().force_state(&event);
    lab.simulator.world().inject(fault::next("UntagResource", 99, Fault::Hang));
    let killed = tokio::time::timeout(Duration::from_secs(1), lab.try_send(event)).await;
    assert!(killed.is_err());
    lab.simulator.world().heal();
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "released");
    lab.assert_released();
}

/// One invocation releases after it read an old state, while another engages. The test tries several delays between the two.
#[tokio::test(start_paused = true)]
async fn invocations_that_cross_leave_the_interlock_as_the_executions_ask() {
    for milliseconds in (0..=400).step_by(5) {
        let lab = Lab::new();
        lab.deliver("execution-executing").await;
        lab.simulator.world().latency = Duration::from_millis(40);
        let ended = sample_event("execution-succeeded");
        lab.simulator.world().force_state(&ended);
        let releasing = lab.send(ended);
        let engaging = async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            lab.send(sample_event("code-deployed")).await
        };
        tokio::join!(releasing, engaging);
        lab.assert_engaged();
    }
}

/// Calls take 40 ms and are applied after half of it: the router reads at 20, tags at 60, disables at 100, and reads again at 140.
#[tokio::test(start_paused = true)]
async fn a_tag_that_a_crossing_invocation_removes_is_set_again() {
    let lab = Lab::new();
    lab.simulator.world().latency = Duration::from_millis(40);
    let crossing = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        lab.simulator.world().eventbridge.rules.iter_mut().for_each(|rule| rule.tags.clear());
    };
    tokio::join!(lab.deliver("execution-executing"), crossing);
    lab.assert_engaged();
}

/// Calls take 40 ms and are applied after half of it: the router reads at 20, enables at 60, untags at 100, and reads again at 140.
#[tokio::test(start_paused = true)]
async fn a_rule_that_a_crossing_invocation_disables_after_its_tag_was_removed_is_tagged_again() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    lab.simulator.world().latency = Duration::from_millis(40);
    let crossing = async {
        tokio::time::sleep(Duration::from_millis(110)).await;
        let mut world = lab.simulator.world();
        world.start_execution(None);
        world.operate_rule(DRIFT_RULE, false);
    };
    tokio::join!(lab.deliver("execution-succeeded"), crossing);
    lab.assert_engaged();
}

/// A race and a kill together: one invocation removes the tag, and the other is killed before it reads again.
#[tokio::test(start_paused = true)]
async fn a_rule_that_a_race_and_a_kill_leave_without_its_tag_is_mended_by_enabling_it() {
    let lab = Lab::new();
    lab.simulator.world().latency = Duration::from_millis(40);
    let crossing = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        lab.simulator.world().eventbridge.rules.iter_mut().for_each(|rule| rule.tags.clear());
    };
    let killed = tokio::time::timeout(Duration::from_millis(125), lab.deliver("execution-executing"));
    assert!(tokio::join!(killed, crossing).0.is_err());
    assert_eq!(lab.guards()["drift"], "disabled, no tag");
    assert_eq!(lab.send(sample_event("heartbeat")).await["interlock"]["driftRule"], "held");

    for rule in [SCHEDULE_RULE, DRIFT_RULE] {
        lab.simulator.world().operate_rule(rule, true);
    }
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "engaged");
    lab.assert_engaged();
    lab.deliver("execution-succeeded").await;
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn a_start_and_an_end_that_cross_leave_the_interlock_as_the_executions_ask() {
    for milliseconds in (0..=400).step_by(5) {
        let lab = Lab::new();
        lab.simulator.world().latency = Duration::from_millis(40);
        let engaging = lab.deliver("execution-executing");
        let releasing = async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Failed");
            lab.send(status_event(FIRST_EXECUTION_ARN, "Failed")).await
        };
        tokio::join!(engaging, releasing);
        lab.assert_released();
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_rule_is_an_error_and_the_other_guards_are_set() {
    let lab = Lab::new();
    lab.simulator.world().eventbridge.rules.retain(|rule| rule.name != SCHEDULE_RULE);
    lab.simulator.world().force_state(&sample_event("execution-executing"));
    let error = lab.refused(sample_event("execution-executing")).await;
    assert!(error.contains(&format!("cannot read rule {SCHEDULE_RULE}: check SCHEDULE_RULE_NAME")), "{error}");
    assert!(error.contains("ResourceNotFoundException"), "{error}");
    let state = lab.simulator.world().state();
    assert!(state["stages"][STAGE]["reason"].as_str().unwrap().starts_with(MARK));
    assert_eq!(state["rules"][DRIFT_RULE]["enabled"], false);
}

#[tokio::test(start_paused = true)]
async fn a_missing_stage_is_an_error_and_the_rules_are_paused() {
    let lab = Lab::new();
    lab.simulator.world().codepipeline.stages.retain(|stage| stage.name != "Build");
    lab.simulator.world().force_state(&sample_event("execution-executing"));
    let error = lab.refused(sample_event("execution-executing")).await;
    assert!(error.contains("stage Build of CodePipeline sagemaker-nyctaxi-build"), "{error}");
    assert!(error.contains("no such stage"), "{error}");
    assert_eq!((&lab.guards()["schedule"], &lab.guards()["drift"]), (&json!("paused"), &json!("paused")));
}

#[tokio::test(start_paused = true)]
async fn every_guard_that_fails_is_named() {
    let lab = Lab::new();
    lab.simulator.world().force_state(&sample_event("execution-executing"));
    for operation in ["DisableStageTransition", "DisableRule"] {
        lab.simulator.world().inject(fault::next(operation, 99, Fault::Refused("AccessDeniedException")));
    }
    let error = lab.refused(sample_event("execution-executing")).await;
    for guard in ["stage Build", SCHEDULE_RULE, DRIFT_RULE, "AccessDeniedException"] {
        assert!(error.contains(guard), "{guard} is not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_rules_configured_leaves_the_stage_as_the_only_guard() {
    let lab = Lab::with(&[("SCHEDULE_RULE_NAME", ""), ("DRIFT_RULE_NAME", ""), ("HEARTBEAT_NAME", "")]);
    assert_eq!(lab.deliver("execution-executing").await["interlock"], json!({ "stage": "disabled" }));
}

#[tokio::test(start_paused = true)]
async fn the_heartbeats_rule_is_never_paused() {
    let lab = Lab::new();
    lab.deliver("execution-executing").await;
    let world = lab.simulator.world();
    assert!(world.eventbridge.rule(HEARTBEAT_RULE).unwrap().is_enabled());
}

#[tokio::test(start_paused = true)]
async fn an_emulators_function_arn_does_not_matter() {
    for arn in ["function-arn", "arn:aws:lambda:us-east-1:012345678912:function:local"] {
        let lab = Lab::new().with_function_arn(arn);
        assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
        lab.assert_engaged();
        assert_eq!(lab.deliver("execution-succeeded").await["action"], "released");
        lab.assert_released();
    }
}

/// Every call takes one second of the paused clock, so an invocation takes as many seconds as it makes calls one after another.
#[tokio::test(start_paused = true)]
async fn a_status_event_takes_at_most_two_round_trips_or_four() {
    let lab = Lab::new();
    lab.simulator.world().latency = Duration::from_secs(1);
    for (is_true, sample, most) in [
        (true, "execution-executing", 4),
        (false, "execution-executing", 2),
        (false, "execution-succeeded", 2), // not true: the list shows it executing
        (true, "execution-succeeded", 4),
        (false, "execution-succeeded", 2),
        (false, "execution-executing", 2), // late
        (true, "execution-failed", 2),
    ] {
        let begins = tokio::time::Instant::now();
        let _: Value = if is_true { lab.deliver(sample).await } else { lab.send(sample_event(sample)).await };
        let round_trips = begins.elapsed().as_secs();
        assert!(round_trips <= most, "{sample}: {round_trips} round trips");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_lag_behind_writes_are_waited_for() {
    for lag in [600, 1_200, 4_000].map(Duration::from_millis) {
        let lab = Lab::new();
        lab.simulator.world().codepipeline.read_lag = lag;
        lab.simulator.world().eventbridge.read_lag = lag;
        lab.simulator.world().eventbridge.tags_lag = lag;
        assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "started", "{lag:?}");
        lab.assert_engaged();
        lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
        tokio::time::advance(lag).await;
        assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "released", "{lag:?}");
        lab.assert_released();
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_was_just_enabled_is_not_taken_for_held_although_its_state_or_its_tag_is_read_late() {
    for (state_lag, tags_lag, is_paused) in [(600, 0, false), (0, 600, true)] {
        let lab = Lab::new();
        {
            let mut world = lab.simulator.world();
            world.eventbridge.read_lag = Duration::from_millis(state_lag);
            world.eventbridge.tags_lag = Duration::from_millis(tags_lag);
            if !is_paused {
                world.operate_rule(SCHEDULE_RULE, false);
            }
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        {
            // Another invocation enables the rule, or disables it for an execution that has just started.
            let mut world = lab.simulator.world();
            world.operate_rule(SCHEDULE_RULE, !is_paused);
            if is_paused {
                world.tag_rule(SCHEDULE_RULE, TAG, Some("nyctaxi-pipeline/ib87gnc408me"));
            }
        }
        let answer = lab.send(sample_event("schedule")).await;
        assert_eq!(answer["action"], "started", "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn guards_that_cannot_be_read_after_they_were_written_are_named() {
    for (fault, advice) in [
        (Fault::Refused("AccessDeniedException"), "check the permission events:DescribeRule"),
        (Fault::Refused("ResourceNotFoundException"), "check SCHEDULE_RULE_NAME"),
        (Fault::Throttled, "AWS throttles the calls"),
    ] {
        let lab = Lab::new();
        let mut reads = 0;
        let rules = fault.clone();
        lab.simulator.world().inject(Box::new(move |called| {
            reads += usize::from(called.operation == "DescribeRule");
            (called.operation == "DescribeRule" && reads > 2).then(|| rules.clone())
        }));
        lab.simulator.world().inject(fault::next("DisableStageTransition", 99, Fault::Throttled));
        let error = lab.refused(sample_event("code-deployed")).await;
        for part in ["cannot disable the inbound transition of stage Build", SCHEDULE_RULE, DRIFT_RULE, advice] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert!(!error.contains("somebody else"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_routers_on_one_stage_leave_each_others_mark_alone() {
    for (ours, theirs) in [("nyctaxi-pipeline", "nyctaxi-pipeline-2"), ("nyctaxi-pipeline-2", "nyctaxi-pipeline")] {
        let lab = Lab::new();
        lab.simulator.world().sagemaker.add_pipeline("nyctaxi-pipeline-2");
        let (ours_name, ours, other) = (ours, lab.router_of(ours), lab.router_of(theirs));
        let started = ours.send(sample_event("code-deployed")).await;
        assert_eq!(started["interlock"]["stage"], "disabled");

        // The other router has no execution. It does not enable a guard that has another router's mark.
        let answer = other.send(sample_event("heartbeat")).await;
        let held_by = json!({ "heldBy": ours_name });
        assert_eq!((&answer["action"], &answer["interlock"]["stage"]), (&json!("unchanged"), &held_by));
        assert_eq!(answer["interlock"]["driftRule"], held_by);
        assert!(lab.guards()["stage"].as_str().unwrap().contains(&format!("({ours_name})")));
        lab.assert_engaged();

        // Another router's mark is not an operator's hold, so it blocks no start.
        assert_eq!(other.send(sample_event("schedule")).await["action"], "started");
        let arn = started["executionArn"].as_str().unwrap().to_owned();
        lab.simulator.world().set_execution_status(&arn, "Succeeded");
        assert_eq!(ours.send(sample_event("heartbeat")).await["action"], "released");
        assert_eq!(other.send(sample_event("heartbeat")).await["action"], "engaged");
        lab.assert_engaged();
    }
}

/// A mark is the router's whole sentence. A person may begin a reason, or a tag, with the same words.
#[tokio::test(start_paused = true)]
async fn what_a_person_disables_with_words_like_the_routers_stays_disabled() {
    for reason in [
        "Disabled by drift-router maintenance, do not enable",
        "Disabled by drift-router (ops) until Friday",
        &format!("{WHOLE_MARK} Do not enable."),
        &format!("Copied. {WHOLE_MARK}"),
        &WHOLE_MARK.replace("(nyctaxi-pipeline)", "(the ops team)"),
        &WHOLE_MARK.replace("abc", "none (really)"),
        // Version 0.1 wrote no owner.
        "Disabled by drift-router while SageMaker pipeline execution ib87gnc408me runs. It is enabled again when no execution runs.",
    ] {
        let lab = Lab::new();
        {
            let mut world = lab.simulator.world();
            world.operate_stage(STAGE, Some(reason));
            world.operate_rule(DRIFT_RULE, false);
            let now = world.now();
            world.eventbridge.set_tag(DRIFT_RULE, TAG, Some("the ops team"), now);
        }
        for sample in ["heartbeat", "execution-executing", "execution-succeeded"] {
            let answer = lab.deliver(sample).await;
            assert_eq!(
                (&answer["interlock"]["stage"], &answer["interlock"]["driftRule"]),
                (&"held".into(), &"held".into())
            );
        }
        assert_eq!(lab.guards()["stage"], reason);
        assert!(!lab.simulator.world().eventbridge.rule(DRIFT_RULE).unwrap().is_enabled());
    }
}

/// SageMaker's list still shows another execution as active, although it has ended and its event is lost.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_execution_opens_the_guards_although_the_list_shows_another_that_has_ended() {
    let lab = Lab::new();
    let first = lab.simulator.world().start_execution(None);
    let second = lab.simulator.world().start_execution(None);
    tokio::time::advance(Duration::from_mins(1)).await;
    lab.send(sample_event("heartbeat")).await;
    lab.assert_engaged();
    {
        let mut world = lab.simulator.world();
        world.set_execution_status(&first, "Succeeded");
        world.set_execution_status(&second, "Succeeded");
        world.sagemaker.list_lag = Duration::from_secs(30);
    }
    let answer = lab.send(status_event(&first, "Succeeded")).await;
    assert_eq!(answer["action"], "released");
    lab.assert_released();
    // What really runs keeps them shut. Each of the two is described once before the guards are set.
    let lab = Lab::new();
    let first = lab.simulator.world().start_execution(None);
    lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&first, "Succeeded");
    assert_eq!(lab.send(status_event(&first, "Succeeded")).await["action"], "engaged");
    lab.assert_engaged();
    let calls = lab.take_calls();
    let before_the_writes = calls.iter().take_while(|call| only_reads(call));
    assert_eq!(before_the_writes.filter(|call| *call == "DescribePipelineExecution").count(), 2);
}

/// No event may follow, so the invocation must not succeed with guards that stay disabled for an execution that has ended.
#[tokio::test(start_paused = true)]
async fn an_end_is_tried_again_if_the_other_execution_cannot_be_described_for_a_reason_that_passes() {
    let lab = Lab::new();
    let first = lab.simulator.world().start_execution(None);
    let second = lab.simulator.world().start_execution(None);
    tokio::time::advance(Duration::from_mins(5)).await;
    lab.send(sample_event("heartbeat")).await;
    lab.simulator.world().set_execution_status(&first, "Succeeded");
    lab.simulator.world().set_execution_status(&second, "Succeeded");
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(90);
    let about_the_second = second.clone();
    let throttled = move |called: Called<'_>| {
        let is_about = called.operation == "DescribePipelineExecution";
        (is_about && called.input.to_string().contains(&about_the_second)).then_some(Fault::Throttled)
    };
    lab.simulator.world().inject(Box::new(throttled));
    let error = lab.refused(status_event(&first, "Succeeded")).await;
    assert!(error.contains("cannot describe"), "{error}");
    lab.simulator.world().heal();
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(lab.send(status_event(&first, "Succeeded")).await["action"], "released");
}

/// Another try would fail as well, so the list counts.
#[tokio::test(start_paused = true)]
async fn an_end_leaves_the_guards_to_the_list_if_the_other_execution_may_not_be_described() {
    let lab = Lab::new();
    let first = lab.simulator.world().start_execution(None);
    let second = lab.simulator.world().start_execution(None);
    lab.send(sample_event("heartbeat")).await;
    lab.simulator.world().set_execution_status(&first, "Succeeded");
    let denied = move |called: Called<'_>| {
        let is_about = called.operation == "DescribePipelineExecution" && called.input.to_string().contains(&second);
        is_about.then_some(Fault::Refused("AccessDeniedException"))
    };
    lab.simulator.world().inject(Box::new(denied));
    assert_eq!(lab.send(status_event(&first, "Succeeded")).await["action"], "unchanged");
    lab.assert_engaged();
}

/// Only its description says that the newest execution has failed, and no guard has to be set.
#[tokio::test(start_paused = true)]
async fn the_result_of_an_execution_that_the_list_shows_as_active_is_counted() {
    let lab = Lab::new();
    let first = lab.simulator.world().start_execution(None);
    tokio::time::advance(Duration::from_mins(1)).await;
    let second = lab.simulator.world().start_execution(None);
    tokio::time::advance(Duration::from_mins(1)).await;
    lab.simulator.world().set_execution_status(&first, "Succeeded");
    lab.simulator.world().set_execution_status(&second, "Failed");
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    assert_eq!(lab.send(status_event(&first, "Succeeded")).await["action"], "unchanged");
    assert!(lab.take_metrics().contains(&"RetrainingFailing 1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_deleted_while_an_execution_runs_releases_the_routers_own_guards() {
    for (sample, is_held) in [
        ("heartbeat", true),
        ("heartbeat", false),
        ("execution-executing", true),
        ("schedule", true),
        ("code-deployed", true),
    ] {
        let lab = Lab::new();
        lab.simulator.world().operate_rule(DRIFT_RULE, !is_held);
        lab.send(sample_event("code-deployed")).await;
        lab.simulator.world().sagemaker.delete_pipeline("nyctaxi-pipeline");
        let error = lab.refused(sample_event(sample)).await;
        assert!(error.contains("check SAGEMAKER_PIPELINE_NAME"), "{error}");
        let (drift, held) = if is_held { ("disabled, no tag", "GuardsHeld 1") } else { ("enabled", "GuardsHeld 0") };
        assert_eq!(lab.guards(), json!({ "stage": null, "schedule": "enabled", "drift": drift }));
        assert_eq!(lab.take_metrics(), ["InterlockEngaged 0", held]);
    }
}

#[tokio::test(start_paused = true)]
async fn executions_that_cannot_be_listed_leave_the_guards_as_they_are() {
    for fault in [Fault::Throttled, Fault::Refused("AccessDeniedException")] {
        let lab = Lab::new();
        lab.send(sample_event("code-deployed")).await;
        lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 99, fault));
        let error = lab.refused(sample_event("heartbeat")).await;
        assert!(error.contains("cannot list the executions"), "{error}");
        lab.assert_engaged();
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_event_of_an_execution_that_the_list_shows_as_ended_engages_nothing() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    lab.simulator.world().inject(fault::next("DescribePipelineExecution", 99, Fault::Refused("ResourceNotFound")));
    assert_eq!(lab.send(status_event(&arn, "Executing")).await["action"], "unchanged");
    lab.assert_released();
}
