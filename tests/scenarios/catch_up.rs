//! No reason to retrain is lost. What a heartbeat starts, what it does not change, and what waits for it.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::cloudwatch::AlarmKind;
use simulator::nyctaxi::{ALARM, ALARM_NAMES, DRIFT_RULE, HEARTBEAT_RULE, SCHEDULE_RULE, STAGING_ALARM};
use simulator::sagemaker::ReusedToken;
use simulator::samples::{sample_event, sample_with};
use simulator::time::{DAY, HOUR, MINUTE};
use simulator::{Called, Fault, fault};

use crate::common::Lab;
use crate::common::marks::OWED_TAG;

const ALARMS: (&str, &str) = ("DRIFT_ALARM_NAMES", ALARM_NAMES);

impl Lab {
    /// A lab whose router reads two alarms, which are OK.
    fn with_alarms(changed: &[(&str, &str)]) -> Self {
        let lab = Self::with(&[&[ALARMS], changed].concat());
        for alarm in [ALARM, STAGING_ALARM] {
            lab.simulator.world().change_alarm(alarm, "OK");
        }
        lab
    }

    /// An alarm goes off, and the event is lost.
    fn goes_off(&self, alarm: &str) {
        self.simulator.world().change_alarm(alarm, "ALARM");
    }

    /// New code is deployed, and the event is lost.
    fn deployed(&self, id: &str) {
        self.simulator.world().code_deployed(id);
    }

    /// A tick of the schedule, as it happens.
    fn tick(&self) -> Value {
        self.simulator.world().tick(SCHEDULE_RULE).unwrap()
    }

    async fn heartbeat(&self) -> Value {
        self.send(sample_event("heartbeat")).await
    }

    /// Sends a heartbeat after this time.
    async fn heartbeat_after(&self, time: Duration) -> Value {
        tokio::time::advance(time).await;
        self.heartbeat().await
    }

    /// Every execution ends.
    fn end_all(&self, status: &str) {
        let arns: Vec<String> =
            self.simulator.world().sagemaker.executions.iter().map(|execution| execution.arn.clone()).collect();
        for arn in arns {
            self.simulator.world().set_execution_status(&arn, status);
        }
    }

    fn at_the_limit(&self, is_at_the_limit: bool) {
        self.simulator.world().sagemaker.limit = is_at_the_limit.then_some(0);
    }

    fn tag(&self) -> Option<String> {
        self.simulator.world().eventbridge.rule(SCHEDULE_RULE).unwrap().tags.get(OWED_TAG).cloned()
    }
}

#[tokio::test(start_paused = true)]
async fn drift_while_a_retraining_runs_is_served_once_the_cooldown_is_over() {
    let lab = Lab::with_alarms(&[]);
    lab.send(sample_event("code-deployed")).await;
    tokio::time::advance(HOUR).await;
    // The drift rule is paused, so EventBridge delivers nothing.
    assert_eq!(lab.simulator.world().change_alarm(ALARM, "ALARM"), None);
    lab.end_all("Succeeded");
    let answer = lab.heartbeat_after(MINUTE).await;
    assert_eq!(answer["action"], "released");
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains("waits for the cooldown until 2021-05-29T07:33:21Z"), "{reason}");
    assert_eq!(
        lab.take_metrics(),
        [
            "OwedSeconds 0",
            "RetrainingFailing 0",
            "TrainingAgeSeconds 3660",
            "InterlockEngaged 0",
            "GuardsHeld 0",
            "AlarmsMissing 0"
        ],
        "what waits for the cooldown is not owed"
    );
    assert_eq!(lab.heartbeat_after(22 * HOUR).await["action"], "unchanged");

    let answer = lab.heartbeat_after(HOUR).await;
    assert_eq!((&answer["action"], &answer["event"]), (&json!("started"), &json!("heartbeat")));
    assert_eq!(answer["key"], format!("{ALARM} 2021-05-28T08:33:21Z"));
    assert_eq!(
        lab.take_metrics(),
        [
            "Started 1",
            "CaughtUp 1",
            "OwedSeconds 60",
            "RetrainingFailing 0",
            "TrainingAgeSeconds 86460",
            "InterlockEngaged 1",
            "GuardsHeld 0",
            "AlarmsMissing 0"
        ]
    );
    lab.assert_engaged();
    // The alarm stays in ALARM. It is answered once, however the retraining ends.
    lab.end_all("Failed");
    for _ in 0..100 {
        lab.heartbeat_after(HOUR).await;
    }
    assert_eq!(lab.executions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_alarms_lost_event_is_made_good_under_the_name_that_the_event_would_have_used() {
    let lab = Lab::with_alarms(&[]);
    let event = lab.simulator.world().change_alarm(ALARM, "ALARM").unwrap();
    assert_eq!(lab.heartbeat_after(4 * MINUTE).await["action"], "unchanged", "its event is on the way");
    assert_eq!(lab.heartbeat_after(MINUTE).await["action"], "started");
    // The event comes late.
    assert_eq!(lab.send(event).await["action"], "duplicate");
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_catches_up_makes_one_round_trip_more_than_a_start_by_event_and_one_that_finds_nothing_makes_one()
 {
    async fn round_trips(lab: &Lab, event: Value, action: &str) -> u64 {
        lab.simulator.world().latency = Duration::from_secs(1);
        let begins = tokio::time::Instant::now();
        assert_eq!(lab.send(event).await["action"], action);
        begins.elapsed().as_secs()
    }
    let lab = Lab::with_alarms(&[]);
    assert_eq!(round_trips(&lab, sample_event("heartbeat"), "unchanged").await, 1);
    lab.deployed("3f0c");
    let by_event = round_trips(&Lab::with_alarms(&[]), sample_event("drift-alarm"), "started").await;
    assert_eq!(by_event, 5);
    for owes in ["code", "drift", "tick", "tick drift", "code tick drift", "obsolete tick, drift"] {
        let lab = Lab::with_alarms(&[("DRIFT_COOLDOWN", "1s")]);
        if owes.contains("tick") {
            lab.at_the_limit(true);
            lab.send(lab.tick()).await;
            lab.at_the_limit(false);
        }
        if owes.contains("obsolete") {
            tokio::time::advance(MINUTE).await;
            lab.simulator.world().start_execution(None);
            lab.end_all("Succeeded");
            tokio::time::advance(HOUR).await;
        }
        if owes.contains("code") {
            lab.deployed("3f0c");
        }
        if owes.contains("drift") {
            lab.goes_off(ALARM);
        }
        tokio::time::advance(HOUR).await;
        let caught_up = round_trips(&lab, sample_event("heartbeat"), "started").await;
        assert!(caught_up <= by_event + 1, "{owes}: {caught_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_list_of_alarms_nothing_of_cloudwatch_is_called() {
    let lab = Lab::new();
    lab.goes_off(ALARM);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    lab.send(sample_event("drift-alarm")).await;
    assert!(lab.simulator.world().calls.iter().all(|call| call.service != "cloudwatch"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_not_listed_is_no_drift() {
    let lab = Lab::with_alarms(&[]);
    let event = sample_with("drift-alarm", &[("/detail/alarmName", "cpu".into())]);
    let answer = lab.send(event).await;
    assert_eq!(
        (&answer["action"], &answer["reason"]),
        (&json!("ignored"), &json!("DRIFT_ALARM_NAMES does not list alarm cpu"))
    );
    lab.goes_off("cpu");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    assert_eq!(lab.executions().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn every_listed_alarm_is_seen_however_short_the_pages_and_whatever_its_type() {
    for kind in [AlarmKind::Metric, AlarmKind::Composite, AlarmKind::Log] {
        let lab = Lab::with_alarms(&[]);
        lab.simulator.world().cloudwatch.page_limit = Some(1);
        lab.simulator.world().cloudwatch.alarm_mut(STAGING_ALARM).kind = kind;
        lab.goes_off(STAGING_ALARM);
        let answer = lab.heartbeat_after(HOUR).await;
        assert_eq!(answer["action"], "started");
        assert!(answer["key"].as_str().unwrap().starts_with(STAGING_ALARM), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_ok_again_muted_suppressed_without_actions_or_held_asks_for_nothing() {
    for state in ["ok", "muted", "suppressed", "actions off", "held"] {
        let lab = Lab::with_alarms(&[]);
        lab.goes_off(ALARM);
        lab.simulator.world().cloudwatch.page_limit = Some(2);
        {
            let mut world = lab.simulator.world();
            match state {
                "ok" => drop(world.change_alarm(ALARM, "OK")),
                "actions off" => world.cloudwatch.alarm_mut(ALARM).has_actions = false,
                "muted" => world.cloudwatch.alarm_mut(ALARM).is_muted = true,
                "suppressed" => {
                    let alarm = world.cloudwatch.alarm_mut(ALARM);
                    (alarm.kind, alarm.suppressed_by) = (AlarmKind::Composite, Some("Alarm".to_owned()));
                }
                _ => world.operate_rule(DRIFT_RULE, false),
            }
        }
        assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged", "{state}");
        let held = if state == "held" { "GuardsHeld 1" } else { "GuardsHeld 0" };
        assert_eq!(lab.take_metrics(), ["OwedSeconds 0", "InterlockEngaged 0", held, "AlarmsMissing 0"], "{state}");
        assert_eq!(lab.executions().len(), 0, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn mutes_are_asked_for_only_where_an_alarm_would_start_an_execution() {
    let lab = Lab::with_alarms(&[]);
    let asked = || lab.take_calls().iter().filter(|call| *call == "ListAlarmMuteRules").count();
    lab.goes_off(ALARM);
    lab.goes_off(STAGING_ALARM);
    lab.simulator.world().cloudwatch.alarm_mut(STAGING_ALARM).is_muted = true;
    let answer = lab.heartbeat_after(HOUR).await;
    assert!(answer["key"].as_str().unwrap().starts_with(ALARM), "{answer}");
    assert_eq!(asked(), 2);
    lab.end_all("Succeeded");
    lab.heartbeat_after(HOUR).await;
    assert_eq!(asked(), 0, "both are served");
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_started_shortly_before_the_alarm_serves_it() {
    for (minutes, action) in [(9, "unchanged"), (11, "started")] {
        let lab = Lab::with_alarms(&[("DRIFT_COOLDOWN", "1h")]);
        lab.simulator.world().start_execution(None);
        tokio::time::advance(minutes * MINUTE).await;
        lab.goes_off(ALARM);
        lab.end_all("Stopped");
        assert_eq!(lab.heartbeat_after(2 * HOUR).await["action"], action, "{minutes} minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_deployment_is_retrained_and_so_many_later_failures_do_not_hide_it() {
    for (page_limit, failures) in [(Some(3), 120), (None, 499)] {
        let lab = Lab::new();
        lab.simulator.world().codepipeline.page_limit = page_limit;
        lab.deployed("3f0c");
        {
            let mut world = lab.simulator.world();
            let now = world.now() + MINUTE;
            for number in 0..failures {
                world.codepipeline.end_execution(&format!("failed-{number}"), "Failed", false, now);
            }
        }
        assert_eq!(lab.heartbeat_after(4 * MINUTE).await["action"], "unchanged");
        let answer = lab.heartbeat_after(MINUTE).await;
        assert_eq!((&answer["action"], &answer["key"]), (&json!("started"), &json!("3f0c")));
        assert_eq!(answer["reason"], "a code trigger was owed");
        assert_eq!(lab.executions(), ["code-3f0c"]);
        lab.end_all("Failed");
        assert_eq!(lab.heartbeat_after(HOUR).await["action"], "released");
        assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged", "what failed is not repeated");
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_deployment_alone_is_made_good() {
    let lab = Lab::new();
    lab.deployed("older");
    tokio::time::advance(HOUR).await;
    lab.deployed("newer");
    lab.heartbeat_after(HOUR).await;
    lab.end_all("Succeeded");
    lab.heartbeat_after(HOUR).await;
    assert_eq!(lab.executions(), ["code-newer"]);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_another_execution_trained_is_not_trained_again_by_a_heartbeat() {
    let lab = Lab::new();
    lab.deployed("3f0c");
    tokio::time::advance(MINUTE).await;
    lab.simulator.world().start_execution(None);
    lab.end_all("Stopped");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    // Its own event still gets its own execution.
    assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn where_an_action_deploys_no_deployment_is_looked_for() {
    let lab = Lab::with_actions();
    lab.deployed("3f0c");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    assert!(
        lab.simulator
            .world()
            .calls
            .iter()
            .all(|call| call.operation != "ListPipelineExecutions" || call.service == "sagemaker")
    );
    let answer = lab.send(sample_event("code-deployed")).await;
    assert_eq!(answer["action"], "ignored");
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_a_tick_is_noted_on_its_rule_and_started_when_there_is_room() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    let tick = lab.tick();
    let answer = lab.send(tick.clone()).await;
    assert_eq!((&answer["action"], &answer["event"]), (&json!("deferred"), &json!("schedule")));
    assert_eq!(answer["reason"], "the account runs as many pipeline executions as its quota allows");
    assert_eq!(lab.take_metrics(), ["ScheduleTriggers 1", "InterlockEngaged 0", "GuardsHeld 0"]);
    assert_eq!(lab.tag().unwrap(), "nyctaxi-pipeline/2021-05-28T07:33:21Z");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "deferred");
    assert_eq!(lab.take_metrics(), ["OwedSeconds 3600", "InterlockEngaged 0", "GuardsHeld 0"]);
    assert!(lab.tag().is_some());

    lab.at_the_limit(false);
    let answer = lab.heartbeat_after(HOUR).await;
    assert_eq!(
        (&answer["action"], &answer["key"]),
        (&json!("started"), &json!(format!("{SCHEDULE_RULE} 2021-05-28T07:33:21Z")))
    );
    assert_eq!(lab.tag(), None);
    lab.assert_engaged();
    assert_eq!(lab.send(tick).await["action"], "duplicate");
}

#[tokio::test(start_paused = true)]
async fn of_two_owed_ticks_the_later_one_is_remembered() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    let first = lab.tick();
    tokio::time::advance(HOUR).await;
    assert_eq!(lab.send(lab.tick()).await["action"], "deferred");
    assert_eq!(lab.send(first).await["action"], "deferred");
    assert_eq!(lab.tag().unwrap(), "nyctaxi-pipeline/2021-05-28T08:33:21Z");
    lab.at_the_limit(false);
    lab.heartbeat_after(HOUR).await;
    lab.end_all("Succeeded");
    lab.heartbeat_after(HOUR).await;
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tick_whose_start_fails_for_a_reason_that_passes_is_remembered_and_the_invocation_still_fails() {
    for (operation, fault, is_remembered) in [
        ("StartPipelineExecution", Fault::ErrorBefore, true),
        ("sagemaker:ListPipelineExecutions", Fault::Throttled, true),
        ("StartPipelineExecution", Fault::Refused("AccessDeniedException"), false),
        ("StartPipelineExecution", Fault::Refused("ValidationException"), false),
    ] {
        let lab = Lab::new();
        lab.simulator.world().inject(fault::next(operation, 99, fault.clone()));
        lab.refused(lab.tick()).await;
        assert_eq!(lab.tag().is_some(), is_remembered, "{operation} {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_cannot_be_noted_fails_the_invocation() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    lab.simulator.world().inject(fault::next("TagResource", 99, Fault::Refused("AccessDeniedException")));
    let error = lab.refused(lab.tick()).await;
    for part in
        ["as many pipeline executions as its quota allows", "events:TagResource", "cannot note that a tick is owed"]
    {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_owed_tick_is_forgotten_once_it_is_served_held_or_expired() {
    for end in ["served", "held", "expired"] {
        let lab = Lab::new();
        lab.at_the_limit(true);
        lab.send(lab.tick()).await;
        let (age, reason) = match end {
            "served" => {
                lab.simulator.world().start_execution(None);
                lab.end_all("Succeeded");
                (HOUR, "no execution runs")
            }
            "held" => {
                lab.simulator.world().operate_rule(SCHEDULE_RULE, false);
                (HOUR, "no execution runs")
            }
            _ => (8 * DAY, "is older than 7 days plus the cooldown, so no heartbeat starts it"),
        };
        let answer = lab.heartbeat_after(age).await;
        assert_eq!(answer["action"], "unchanged", "{end}");
        assert!(answer["reason"].as_str().unwrap().ends_with(reason), "{end}: {answer}");
        assert_eq!(lab.tag(), None, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_routers_owed_tick_is_left_alone() {
    let lab = Lab::new();
    let other = lab.router_of("fraud-pipeline");
    lab.simulator.world().sagemaker.add_pipeline("fraud-pipeline");
    lab.at_the_limit(true);
    other.send(lab.tick()).await;
    let tag = lab.tag().unwrap();
    assert!(tag.starts_with("fraud-pipeline/"), "{tag}");
    // This router cannot record that its tick is owed, so its invocation fails.
    let error = lab.refused(lab.tick()).await;
    assert!(error.contains("ResourceLimitExceeded"), "{error}");
    lab.at_the_limit(false);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    assert_eq!(lab.tag(), Some(tag));
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_a_tick_that_is_delivered_twice_stays_noted() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    let tick = lab.tick();
    for _ in 0..2 {
        assert_eq!(lab.send(tick.clone()).await["action"], "deferred");
        assert!(lab.tag().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_what_a_heartbeat_finds_again_is_deferred_and_anything_else_fails() {
    let now = json!("2021-05-28T07:33:21.000+0000");
    let alarm = sample_with("drift-alarm", &[("/detail/state/timestamp", now)]);
    let old_alarm = sample_with("drift-alarm", &[("/detail/state/timestamp", "2021-05-01T07:33:21.000+0000".into())]);
    let old_code = sample_with("code-deployed", &[("/time", "2021-05-01T07:33:21Z".into())]);
    let code = sample_event("code-deployed");
    let tick = sample_with("schedule", &[("/time", "2021-05-28T07:33:21Z".into())]);
    let off = ("CATCH_UP_PER_DAY", "0");
    for (case, variables, event, is_deferred) in [
        ("a listed alarm", vec![ALARMS], &alarm, true),
        ("a listed alarm that is too old", vec![ALARMS], &old_alarm, false),
        ("an alarm without a list", vec![], &alarm, false),
        ("a listed alarm, catching up is off", vec![ALARMS, off], &alarm, false),
        ("a listed alarm, no heartbeat", vec![ALARMS, ("HEARTBEAT_NAME", "")], &alarm, false),
        ("a deployment", vec![], &code, true),
        ("a deployment that is too old", vec![], &old_code, false),
        ("a deployment, catching up is off", vec![off], &code, false),
        ("a tick", vec![], &tick, true),
        ("a tick, catching up is off", vec![off], &tick, false),
    ] {
        let lab = Lab::with(&variables);
        lab.at_the_limit(true);
        match lab.try_send(event.clone()).await {
            Ok(answer) => assert!(is_deferred && answer["action"] == "deferred", "{case}: {answer}"),
            Err(error) => assert!(!is_deferred && error.error_message.contains("quota"), "{case}: {error:?}"),
        }
        lab.assert_released();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deferred_at_the_limit_starts_once_there_is_room() {
    let lab = Lab::with_alarms(&[]);
    lab.at_the_limit(true);
    let event = lab.simulator.world().change_alarm(ALARM, "ALARM").unwrap();
    assert_eq!(lab.send(event.clone()).await["action"], "deferred");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "deferred");
    lab.at_the_limit(false);
    assert_eq!(lab.heartbeat_after(MINUTE).await["action"], "started");
    assert_eq!(lab.send(event).await["action"], "duplicate");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_starts_one_execution_the_deployment_before_the_tick_before_the_drift() {
    let lab = Lab::with_alarms(&[("DRIFT_COOLDOWN", "1s")]);
    lab.at_the_limit(true);
    lab.goes_off(ALARM);
    lab.send(lab.tick()).await;
    lab.deployed("3f0c");
    lab.at_the_limit(false);
    lab.heartbeat_after(HOUR).await;
    assert_eq!(lab.executions(), ["code-3f0c"]);
    // The execution started after all of them, so it serves them all.
    lab.end_all("Succeeded");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "released");
    assert_eq!(lab.executions().len(), 1);
    assert_eq!(lab.tag(), None);
}

#[tokio::test(start_paused = true)]
async fn beside_an_active_execution_a_heartbeat_starts_nothing() {
    let lab = Lab::with_alarms(&[("DRIFT_COOLDOWN", "1h")]);
    lab.simulator.world().start_execution(None);
    tokio::time::advance(HOUR).await;
    lab.goes_off(ALARM);
    lab.deployed("3f0c");
    let answer = lab.heartbeat_after(HOUR).await;
    assert_eq!(answer["action"], "engaged");
    assert_eq!(lab.executions().len(), 1);
    assert!(!lab.take_calls().contains(&"ListAlarmMuteRules".to_owned()), "no drift can be started");
    assert_eq!(
        lab.take_metrics(),
        ["OwedSeconds 3600", "TrainingAgeSeconds 7200", "InterlockEngaged 1", "GuardsHeld 0", "AlarmsMissing 0"]
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_executions_within_a_day_brake_the_heartbeat_and_not_the_events() {
    let lab = Lab::with(&[("CATCH_UP_PER_DAY", "2")]);
    for _ in 0..2 {
        lab.simulator.world().start_execution(None);
    }
    lab.end_all("Succeeded");
    tokio::time::advance(MINUTE).await;
    lab.deployed("3f0c");
    let answer = lab.heartbeat_after(HOUR).await;
    assert_eq!(answer["action"], "braked");
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.contains("2 executions started within 24 hours, and CATCH_UP_PER_DAY is 2"), "{reason}");
    assert_eq!(
        lab.take_metrics(),
        ["OwedSeconds 3600", "RetrainingFailing 0", "TrainingAgeSeconds 3660", "InterlockEngaged 0", "GuardsHeld 0"]
    );
    for sample in ["schedule", "code-deployed"] {
        assert_eq!(lab.send(sample_event(sample)).await["action"], "started", "{sample}");
        lab.end_all("Succeeded");
    }
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "released");
    tokio::time::advance(DAY).await;
    lab.deployed("b1d2");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn with_catching_up_off_a_heartbeat_looks_at_nothing_more() {
    let lab = Lab::with_alarms(&[("CATCH_UP_PER_DAY", "0")]);
    lab.goes_off(ALARM);
    lab.deployed("3f0c");
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    assert_eq!(lab.take_metrics(), ["InterlockEngaged 0", "GuardsHeld 0"]);
    let world = lab.simulator.world();
    assert!(world.calls.iter().all(|call| call.service != "cloudwatch"));
    assert_eq!(world.calls.iter().filter(|call| call.operation == "ListPipelineExecutions").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_newest_execution_without_a_start_time_stops_the_heartbeat() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().start_execution(None);
    lab.simulator.world().sagemaker.executions[0].has_start_time = false;
    lab.end_all("Succeeded");
    tokio::time::advance(HOUR).await;
    lab.goes_off(ALARM);
    let answer = lab.heartbeat_after(2 * DAY).await;
    assert_eq!(answer["action"], "unchanged");
    assert!(answer["reason"].as_str().unwrap().contains("returns no start time for the newest execution"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_never_stops_the_interlock_and_fails_the_heartbeat_at_its_end() {
    for (operation, permission, served) in [
        ("DescribeAlarms", "cloudwatch:DescribeAlarms", "code-3f0c"),
        ("codepipeline:ListPipelineExecutions", "codepipeline:ListPipelineExecutions", "drift-"),
    ] {
        let lab = Lab::with_alarms(&[]);
        // An execution ended and its event was lost.
        lab.simulator.world().start_execution(None);
        lab.heartbeat().await;
        lab.assert_engaged();
        lab.end_all("Succeeded");
        tokio::time::advance(DAY).await;
        lab.goes_off(ALARM);
        lab.deployed("3f0c");
        tokio::time::advance(HOUR).await;
        lab.take_metrics();
        lab.simulator.world().inject(fault::next(operation, 99, Fault::Refused("AccessDeniedException")));
        let error = lab.refused(sample_event("heartbeat")).await;
        assert!(error.contains(&format!("check the permission {permission}")), "{error}");
        // The causes that could be read are served.
        lab.assert_engaged();
        assert!(lab.executions()[1].starts_with(served), "{operation}: {:?}", lab.executions());
        let mut metrics = vec![
            "Started 1",
            "CaughtUp 1",
            "RetrainingFailing 0",
            "TrainingAgeSeconds 90000",
            "InterlockEngaged 1",
            "GuardsHeld 0",
        ];
        metrics.extend((operation != "DescribeAlarms").then_some("AlarmsMissing 0"));
        assert_eq!(lab.take_metrics(), metrics, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_whose_mutes_cannot_be_read_starts_nothing() {
    let lab = Lab::with_alarms(&[]);
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("ListAlarmMuteRules", 99, Fault::Throttled));
    lab.refused(sample_event("heartbeat")).await;
    assert_eq!(lab.executions().len(), 0);
    lab.simulator.world().heal();
    assert_eq!(lab.heartbeat().await["action"], "started");
}

/// One alarm's mutes cannot be read. The others are decided.
#[tokio::test(start_paused = true)]
async fn an_alarm_whose_mutes_cannot_be_read_does_not_stop_the_others() {
    let lab = Lab::with_alarms(&[("DRIFT_ALARM_NAMES", &format!("{ALARM_NAMES}, oldest"))]);
    for alarm in ["oldest", STAGING_ALARM, ALARM] {
        lab.goes_off(alarm);
        tokio::time::advance(MINUTE).await;
    }
    tokio::time::advance(HOUR).await;
    // The newest alarm is asked first.
    let denied = Fault::Refused("AccessDeniedException");
    lab.simulator.world().inject(fault::about("ListAlarmMuteRules", ALARM, denied));
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.contains("cloudwatch:ListAlarmMuteRules"), "{error}");
    assert_eq!(lab.executions().len(), 1);
    assert!(lab.executions()[0].contains(STAGING_ALARM), "{:?}", lab.executions());
    assert!(lab.take_metrics().contains(&"OwedSeconds 3720".to_owned()), "only what was asked counts");
}

/// However many alarms' mutes are denied, and however new these alarms are, the one that can be read is started.
#[tokio::test(start_paused = true)]
async fn many_alarms_whose_mutes_are_denied_do_not_starve_an_older_one() {
    let alarms: Vec<String> = (0..6).map(|number| format!("denied-{number}")).chain([ALARM.to_owned()]).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &alarms.join(","))]);
    lab.goes_off(ALARM);
    tokio::time::advance(MINUTE).await;
    alarms[..6].iter().for_each(|alarm| lab.goes_off(alarm));
    tokio::time::advance(HOUR).await;
    let denied = Fault::Refused("AccessDeniedException");
    lab.simulator.world().inject(fault::about("ListAlarmMuteRules", "denied-", denied));
    lab.refused(sample_event("heartbeat")).await;
    assert_eq!(lab.executions().len(), 1);
    assert!(lab.executions()[0].contains(ALARM), "{:?}", lab.executions());
}

/// The list shows executions as active that have ended. Five of them are described.
#[tokio::test(start_paused = true)]
async fn a_tick_is_not_lost_to_a_list_that_shows_up_to_five_executions_that_have_ended() {
    for (executions, action) in [(2, "started"), (5, "started"), (6, "alreadyRunning")] {
        let lab = Lab::new();
        for _ in 0..executions {
            lab.simulator.world().start_execution(None);
        }
        tokio::time::advance(HOUR).await;
        lab.end_all("Succeeded");
        lab.simulator.world().sagemaker.list_lag = 10 * MINUTE;
        let event = lab.simulator.world().scheduler_tick();
        assert_eq!(lab.send(event).await["action"], action, "{executions}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_not_lost_to_a_list_that_lags_after_a_start_that_failed() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(10);
    let arn = lab.simulator.world().start_execution(None);
    tokio::time::advance(Duration::from_secs(8)).await;
    lab.simulator.world().set_execution_status(&arn, "Failed");
    // The SDK's tries take some seconds, and then the list shows the execution, as it was.
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 1, Fault::Hang));
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 2, Fault::ErrorBefore));
    let event = lab.tick();
    let answer = lab.try_send(event.clone()).await;
    assert!(answer.is_err(), "the event is tried again, not refused: {answer:?}");
    assert_eq!(lab.send(event).await["action"], "started");
}

/// The list that is read after a refused start lags too. What was described before it counts, and is not described again.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_better_than_the_lists_stays_after_a_start_that_failed() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    lab.simulator.world().sagemaker.list_lag = HOUR;
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 3, Fault::ErrorBefore));
    let error = lab.refused(lab.tick()).await;
    assert!(error.contains("cannot start SageMaker pipeline"), "{error}");
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "DescribePipelineExecution").count(), 1);
    assert!(lab.tag().is_some(), "the tick is owed");
}

/// Eight mutes are read at once, so those of 16 alarms take two round trips.
#[tokio::test(start_paused = true)]
async fn an_observation_is_repeated_before_a_start_if_it_is_older_than_five_seconds() {
    let alarms: Vec<String> = (0..16).map(|number| format!("drift-{number:02}")).collect();
    for (milliseconds, lists) in [(2_500, 2), (2_501, 3)] {
        let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &alarms.join(","))]);
        for alarm in alarms.iter().rev() {
            lab.goes_off(alarm);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        for alarm in &alarms[..15] {
            lab.simulator.world().cloudwatch.alarm_mut(alarm).is_muted = true;
        }
        tokio::time::advance(HOUR).await;
        lab.take_calls();
        lab.simulator.world().latency = Duration::from_millis(milliseconds);
        let answer = lab.heartbeat().await;
        assert!(answer["key"].as_str().unwrap().starts_with("drift-15"), "{answer}");
        // One list before the start, one after it, and one more if the first is old.
        let calls = lab.simulator.world().calls.clone();
        let listed = calls.iter().filter(|c| c.service == "sagemaker" && c.operation == "ListPipelineExecutions");
        assert_eq!(listed.count(), lists, "{milliseconds} ms a call");
    }
}

/// Sixteen alarms are muted, and their mutes take two round trips, so the heartbeat observes twice.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_enabled_the_guards_says_so_after_slow_mutes() {
    let alarms: Vec<String> = (0..16).map(|number| format!("drift-{number:02}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &alarms.join(","))]);
    assert_eq!(lab.send(lab.tick()).await["action"], "started");
    lab.end_all("Succeeded");
    tokio::time::advance(2 * DAY).await;
    for alarm in &alarms {
        lab.goes_off(alarm);
        lab.simulator.world().cloudwatch.alarm_mut(alarm).is_muted = true;
    }
    tokio::time::advance(HOUR).await;
    lab.simulator.world().latency = Duration::from_secs(3);
    assert_eq!(lab.heartbeat().await["action"], "released");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_mute_rules_mutes_nothing() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().cloudwatch.has_mute_rules = false;
    lab.goes_off(ALARM);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "started");
}

/// Each mute takes a second to read. All alarms but the oldest are muted.
#[tokio::test(start_paused = true)]
async fn the_mutes_of_a_hundred_alarms_are_read_within_the_functions_time() {
    let alarms: Vec<String> = (0..100).map(|number| format!("drift-{number:03}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &alarms.join(","))]);
    for alarm in &alarms {
        lab.goes_off(alarm);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    for alarm in &alarms[1..] {
        lab.simulator.world().cloudwatch.alarm_mut(alarm).is_muted = true;
    }
    tokio::time::advance(HOUR).await;
    lab.simulator.world().latency = Duration::from_secs(1);
    let begins = tokio::time::Instant::now();
    let answer = lab.heartbeat().await;
    assert!(answer["key"].as_str().unwrap().starts_with("drift-000"), "{answer}");
    assert!(begins.elapsed() < Duration::from_secs(30), "{:?}", begins.elapsed());
    // If CloudWatch is down, the heartbeat ends too.
    lab.end_all("Succeeded");
    tokio::time::advance(HOUR).await;
    for alarm in &alarms {
        lab.simulator.world().change_alarm(alarm, "OK");
        lab.goes_off(alarm);
    }
    tokio::time::advance(2 * DAY).await;
    lab.simulator.world().inject(fault::next("ListAlarmMuteRules", 999, Fault::Hang));
    let begins = tokio::time::Instant::now();
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(begins.elapsed() < Duration::from_secs(60), "{:?}", begins.elapsed());
    let unread = alarms.iter().filter(|alarm| error.contains(alarm.as_str()));
    assert_eq!(unread.count(), 8, "eight calls in a row failed: {error}");
}

/// SageMaker refuses the request of one kind of trigger for good, for example because a parameter is wrong for it.
#[tokio::test(start_paused = true)]
async fn a_finding_that_sagemaker_refuses_for_good_does_not_stop_the_following_one() {
    let lab = Lab::with_alarms(&[]);
    lab.deployed("3f0c");
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    let refused = Fault::Refused("ValidationException");
    lab.simulator.world().inject(fault::about("StartPipelineExecution", "code-3f0c", refused));
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.starts_with("cannot start SageMaker pipeline nyctaxi-pipeline as code-3f0c"), "{error}");
    assert_eq!(lab.executions().len(), 1);
    assert!(lab.executions()[0].starts_with("drift-"), "{:?}", lab.executions());
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn three_findings_are_tried_if_sagemaker_refuses_them_for_good() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().sagemaker.limit = Some(0);
    assert_eq!(lab.send(lab.tick()).await["action"], "deferred");
    lab.simulator.world().sagemaker.limit = None;
    lab.deployed("3f0c");
    lab.goes_off(ALARM);
    tokio::time::advance(MINUTE).await;
    lab.goes_off(STAGING_ALARM);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 99, Fault::Refused("ValidationException")));
    lab.take_calls();
    let error = lab.refused(sample_event("heartbeat")).await;
    for tried in ["as code-3f0c", "as schedule-", &format!("as drift-{STAGING_ALARM}")] {
        assert!(error.contains(tried), "{tried}: {error}");
    }
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "StartPipelineExecution").count(), 3);
}

/// The pipeline was deleted and made again, and the deployment's token is known from before.
#[tokio::test(start_paused = true)]
async fn a_deployment_that_sagemaker_does_not_start_does_not_stop_the_drift() {
    let lab = Lab::with_alarms(&[]);
    lab.deployed("3f0c");
    tokio::time::advance(HOUR).await;
    assert_eq!(lab.heartbeat().await["action"], "started");
    lab.simulator.world().sagemaker.executions.clear();
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.contains("but finds no such execution"), "{error}");
    assert!(lab.executions()[0].starts_with("drift-"), "{:?}", lab.executions());
    lab.assert_engaged();
    assert!(lab.take_metrics().contains(&"Started 1".to_owned()));
}

/// The pipeline was deleted and made again, with another parameter. SageMaker knows the deployment's token with the old request.
#[tokio::test(start_paused = true)]
async fn a_deployment_whose_token_is_known_from_another_request_does_not_stop_the_drift() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().sagemaker.reused_token = ReusedToken::Refused;
    lab.deployed("3f0c");
    tokio::time::advance(HOUR).await;
    assert_eq!(lab.heartbeat().await["action"], "started");
    lab.simulator.world().sagemaker.executions.clear();
    lab.simulator.world().sagemaker.parameters = vec!["Rate".to_owned()];
    let lab = lab.with_variables(&[ALARMS, ("PIPELINE_PARAMETERS", r#"{"Rate": "1"}"#)]);
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.contains("may have seen the start's token with another request"), "{error}");
    assert!(lab.executions()[0].starts_with("drift-"), "{:?}", lab.executions());
    lab.assert_engaged();
}

/// Nothing else remembers a tick. A person starts an execution, as the error says, and that serves it.
#[tokio::test(start_paused = true)]
async fn a_tick_whose_execution_sagemaker_does_not_find_is_owed() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().sagemaker.reused_token = ReusedToken::SameExecution;
    lab.send(lab.tick()).await;
    lab.end_all("Succeeded");
    lab.heartbeat_after(HOUR).await;
    lab.simulator.world().sagemaker.executions.clear();
    tokio::time::advance(DAY).await;
    let error = lab.refused(lab.tick()).await;
    assert!(error.contains("but finds no such execution"), "{error}");
    assert!(lab.tag().is_some(), "the tick is owed");
    lab.simulator.world().start_execution(None);
    lab.end_all("Succeeded");
    lab.heartbeat_after(HOUR).await;
    assert_eq!(lab.tag(), None);
    // A guard that cannot be read changes nothing about it.
    lab.simulator.world().sagemaker.executions.clear();
    lab.simulator.world().inject(fault::next("GetPipelineState", 99, Fault::Refused("AccessDeniedException")));
    tokio::time::advance(DAY).await;
    lab.refused(lab.tick()).await;
    assert!(lab.tag().is_some(), "the tick is owed");
}

/// A guard reads as it was before the last write, for as long as the router waits for reads elsewhere.
#[tokio::test(start_paused = true)]
async fn guards_are_enabled_after_two_starts_of_which_no_execution_appears_and_reads_that_lag() {
    for lag in [600, 1_500, 4_000].map(Duration::from_millis) {
        let lab = two_alarms_whose_token_is_known(ReusedToken::SameExecution).await;
        lab.simulator.world().codepipeline.read_lag = lag;
        lab.simulator.world().eventbridge.read_lag = lag;
        lab.simulator.world().eventbridge.tags_lag = lag;
        let error = lab.refused(sample_event("heartbeat")).await;
        assert_eq!(error.matches("but finds no such execution").count(), 1, "{error}");
        assert_eq!(lab.guards(), json!({ "stage": null, "schedule": "enabled", "drift": "enabled" }), "{lag:?}");
    }
}

/// Two alarms are owed, and SageMaker knows the token of their start from an execution that was deleted.
async fn two_alarms_whose_token_is_known(reused_token: ReusedToken) -> Lab {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().sagemaker.reused_token = reused_token;
    lab.goes_off(STAGING_ALARM);
    tokio::time::advance(MINUTE).await;
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    assert_eq!(lab.heartbeat().await["action"], "started");
    lab.end_all("Succeeded");
    lab.heartbeat_after(MINUTE).await;
    lab.assert_released();
    lab.simulator.world().sagemaker.executions.clear();
    lab
}

/// Two alarms share a token that the deleted execution used. What SageMaker does with the second alarm's request is not documented. If
/// it returns the deleted execution again, the heartbeat does not look 15 seconds for it a second time.
#[tokio::test(start_paused = true)]
async fn an_execution_that_sagemaker_does_not_find_is_looked_for_once_and_the_next_finding_is_tried() {
    for (reused_token, starts) in [(ReusedToken::SameExecution, 0), (ReusedToken::SecondExecution, 1)] {
        let lab = two_alarms_whose_token_is_known(reused_token).await;
        lab.take_calls();
        let begins = tokio::time::Instant::now();
        let error = lab.refused(sample_event("heartbeat")).await;
        assert!(begins.elapsed() < Duration::from_secs(25), "{:?}", begins.elapsed());
        assert!(error.contains("but finds no such execution"), "{error}");
        assert_eq!(lab.take_calls().iter().filter(|call| *call == "StartPipelineExecution").count(), 2);
        let of_staging = |name: &String| name.starts_with(&format!("drift-{STAGING_ALARM}"));
        assert_eq!(lab.executions().iter().filter(|name| of_staging(name)).count(), starts, "{reused_token:?}");
        if starts == 0 { lab.assert_released() } else { lab.assert_engaged() }
    }
}

/// A tick was answered since it was owed, and the first finding is refused: the heartbeat plans a second time.
#[tokio::test(start_paused = true)]
async fn a_tag_that_is_not_needed_is_removed_once() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().sagemaker.limit = Some(0);
    assert_eq!(lab.send(lab.tick()).await["action"], "deferred");
    lab.simulator.world().sagemaker.limit = None;
    tokio::time::advance(MINUTE).await;
    lab.simulator.world().start_execution(None);
    lab.end_all("Succeeded");
    tokio::time::advance(HOUR).await;
    lab.deployed("3f0c");
    lab.goes_off(ALARM);
    tokio::time::advance(DAY).await;
    let refused = Fault::Refused("ValidationException");
    lab.simulator.world().inject(fault::about("StartPipelineExecution", "code-3f0c", refused));
    lab.take_calls();
    lab.refused(sample_event("heartbeat")).await;
    assert!(lab.executions()[1].starts_with("drift-"), "{:?}", lab.executions());
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "UntagResource").count(), 1);
    assert_eq!(lab.tag(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_young_is_not_owed_beside_an_active_execution_either() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    tokio::time::advance(MINUTE).await;
    lab.deployed("3f0c");
    let owed = async |after| {
        lab.heartbeat_after(after).await;
        lab.take_metrics()[0].clone()
    };
    assert_eq!(owed(4 * MINUTE).await, "OwedSeconds 0");
    assert_eq!(owed(MINUTE).await, "OwedSeconds 300");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_log_alarms_describes_the_others() {
    let lab = Lab::with_alarms(&[]);
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::about("DescribeAlarms", "LogAlarm", Fault::Refused("ValidationError")));
    assert_eq!(lab.heartbeat().await["action"], "started");
}

/// CloudWatch fails for the three newest alarms, and the oldest one is not muted.
#[tokio::test(start_paused = true)]
async fn alarms_whose_mutes_keep_failing_do_not_starve_an_older_one() {
    let alarms: Vec<String> = (0..4).map(|number| format!("drift-{number}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &alarms.join(","))]);
    for alarm in &alarms {
        lab.goes_off(alarm);
        tokio::time::advance(MINUTE).await;
    }
    tokio::time::advance(HOUR).await;
    for alarm in ["drift-1", "drift-2", "drift-3"] {
        lab.simulator.world().inject(fault::about("ListAlarmMuteRules", alarm, Fault::ErrorBefore));
    }
    let status = lab.send(sample_event("status")).await;
    assert_eq!(status["next"]["key"], "drift-0 2021-05-28T07:33:21Z");
    lab.refused(sample_event("heartbeat")).await;
    assert!(lab.executions()[0].starts_with("drift-drift-0"), "what the status names: {:?}", lab.executions());
}

/// CloudWatch throttles some calls among many that succeed.
#[tokio::test(start_paused = true)]
async fn throttled_calls_that_are_not_in_a_row_do_not_hide_an_older_alarm() {
    let names: Vec<String> = (0..12).map(|number| format!("alarm-{number:02}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &names.join(","))]);
    for (number, name) in names.iter().enumerate() {
        lab.goes_off(name);
        lab.simulator.world().cloudwatch.alarm_mut(name).is_muted = number > 0;
        tokio::time::advance(MINUTE).await;
    }
    tokio::time::advance(HOUR).await;
    for throttled in ["alarm-10", "alarm-08", "alarm-06", "alarm-04"] {
        lab.simulator.world().inject(fault::about("ListAlarmMuteRules", throttled, Fault::Throttled));
    }
    lab.refused(sample_event("heartbeat")).await;
    assert!(lab.executions()[0].starts_with("drift-alarm-00"), "{:?}", lab.executions());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_cancels_a_deployment_that_waited() {
    let lab = Lab::new();
    lab.deployed("aaaa");
    lab.simulator.world().sagemaker.limit = Some(0);
    let event = lab.simulator.world().code_deployed("bbbb");
    assert_eq!(lab.send(event).await["action"], "deferred");
    tokio::time::advance(MINUTE).await;
    let now = lab.simulator.world().now();
    lab.simulator.world().codepipeline.roll_back("back", "aaaa", now);
    lab.simulator.world().sagemaker.limit = None;
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    assert_eq!(lab.take_metrics()[0], "OwedSeconds 0");
    assert_eq!(lab.executions().len(), 0);
}

/// C fails, and CodePipeline rolls back to B, the newest success.
#[tokio::test(start_paused = true)]
async fn a_rollback_to_the_newest_deployment_does_not_cancel_it() {
    let lab = Lab::new();
    lab.deployed("bbbb");
    tokio::time::advance(MINUTE).await;
    let now = lab.simulator.world().now();
    lab.simulator.world().codepipeline.end_execution("cccc", "Failed", false, now);
    lab.simulator.world().codepipeline.roll_back("back", "bbbb", now + MINUTE);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "started");
    assert_eq!(lab.executions(), ["code-bbbb"]);
}

/// A tick is refused for an execution that has ended: nothing would find the tick again.
#[tokio::test(start_paused = true)]
async fn a_tick_is_not_lost_to_a_list_that_lags() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(None);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    let answer = lab.send(lab.tick()).await;
    assert_eq!(answer["action"], "started", "{answer}");
    assert_eq!(lab.executions().len(), 2);
    // One that really runs refuses the tick. It is described for that, and again when the guards are observed after the writes.
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    assert_eq!(lab.send(lab.tick()).await["action"], "alreadyRunning");
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "DescribePipelineExecution").count(), 2);
}

/// Both times counted as now, so the rollback did not look later. The random histories found it.
#[tokio::test(start_paused = true)]
async fn a_rollback_cancels_a_deployment_whose_time_is_ahead_of_the_clock() {
    let lab = Lab::new();
    lab.simulator.world().codepipeline.clock_skew = 6 * 3_600_000;
    lab.deployed("aaaa");
    lab.deployed("bbbb");
    tokio::time::advance(HOUR).await;
    lab.simulator.world().code_rolled_back("back");
    lab.heartbeat_after(HOUR).await;
    assert!(lab.executions().is_empty(), "{:?}", lab.executions());
}

/// A tick whose time is ahead of the clock used to hide every later one until then.
#[tokio::test(start_paused = true)]
async fn the_tag_of_a_tick_that_is_ahead_of_the_clock_has_the_clocks_time() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    let mut ahead = lab.tick();
    ahead["time"] = "2031-01-01T00:00:00Z".into();
    assert_eq!(lab.send(ahead).await["action"], "deferred");
    assert_eq!(lab.tag().as_deref(), Some("nyctaxi-pipeline/2021-05-28T07:33:21Z"));
    lab.at_the_limit(false);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "started");
    assert_eq!(lab.tag(), None);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_be_set_keeps_the_heartbeat_from_starting() {
    let lab = Lab::new();
    lab.deployed("3f0c");
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("DescribeRule", 99, Fault::Throttled));
    lab.refused(sample_event("heartbeat")).await;
    assert_eq!(lab.executions().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn late_repeated_and_replayed_drift_and_ticks_that_an_execution_answered_start_nothing() {
    let lab = Lab::new();
    let (tick, alarm) = (lab.tick(), lab.simulator.world().change_alarm(ALARM, "ALARM").unwrap());
    // More executions than the router reads.
    for _ in 0..130 {
        tokio::time::advance(HOUR).await;
        lab.simulator.world().start_execution(None);
        lab.end_all("Succeeded");
    }
    for event in [tick, alarm] {
        let answer = lab.send(event).await;
        assert_eq!(answer["action"], "alreadyServed");
        assert!(answer["executionArn"].is_string(), "{answer}");
    }
    assert_eq!(lab.executions().len(), 130);
    assert_eq!(lab.take_metrics()[0], "DriftTriggers 1");
}

#[tokio::test(start_paused = true)]
async fn a_held_rule_cancels_its_trigger_by_every_route() {
    let lab = Lab::new();
    for rule in [SCHEDULE_RULE, DRIFT_RULE] {
        lab.simulator.world().operate_rule(rule, false);
    }
    for sample in ["drift-alarm", "drift-alarm-action", "schedule"] {
        let answer = lab.send(sample_event(sample)).await;
        assert_eq!(answer["action"], "held", "{sample}");
    }
    assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_whose_rule_cannot_be_read_starts_nothing_and_is_tried_again() {
    let lab = Lab::new();
    for sample in ["drift-alarm", "schedule"] {
        lab.simulator.world().inject(fault::next("DescribeRule", 99, Fault::Throttled));
        let error = lab.refused(sample_event(sample)).await;
        assert!(error.contains("cannot read rule"), "{error}");
        assert_eq!(lab.executions().len(), 0);
        lab.simulator.world().heal();
    }
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn another_routers_mark_on_a_rule_is_no_hold() {
    let lab = Lab::new();
    let other = lab.router_of("fraud-pipeline");
    lab.simulator.world().sagemaker.add_pipeline("fraud-pipeline");
    other.send(sample_event("code-deployed")).await;
    for sample in ["schedule", "drift-alarm"] {
        assert_eq!(lab.send(sample_event(sample)).await["action"], "started", "{sample}");
        lab.end_all("Succeeded");
        tokio::time::advance(DAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_a_person_sends_without_a_time_happens_now() {
    let lab = Lab::new();
    let mut tick = sample_event("schedule");
    tick.as_object_mut().unwrap().remove("time");
    let answer = lab.send(tick).await;
    assert_eq!(
        (&answer["action"], &answer["key"]),
        (&json!("started"), &json!(format!("{SCHEDULE_RULE} 2021-05-28T07:33:21Z")))
    );
    let heartbeat = json!({
        "source": "aws.events", "detail-type": "Scheduled Event", "resources": [HEARTBEAT_RULE],
    });
    assert_eq!(lab.send(heartbeat).await["action"], "unchanged");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_already_made_good_is_not_repeated_after_a_lost_answer() {
    let lab = Lab::new();
    lab.deployed("3f0c");
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 1, Fault::ResetAfter));
    let answer = lab.heartbeat().await;
    assert!(["started", "duplicate"].contains(&answer["action"].as_str().unwrap()), "{answer}");
    assert_eq!(lab.executions(), ["code-3f0c"]);
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_was_answered_at_its_second_try_is_not_owed_any_more() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    tokio::time::advance(MINUTE).await;
    let tick = lab.tick();
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 3, Fault::Throttled));
    lab.refused(tick.clone()).await;
    assert!(lab.tag().is_some());
    assert_eq!(lab.send(tick).await["action"], "alreadyRunning");
    assert_eq!(lab.tag(), None);
    lab.end_all("Succeeded");
    lab.heartbeat_after(HOUR).await;
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tick_of_a_held_rule_is_not_remembered() {
    let lab = Lab::new();
    let tick = lab.tick();
    lab.simulator.world().operate_rule(SCHEDULE_RULE, false);
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 9, Fault::Throttled));
    lab.refused(tick).await;
    assert_eq!(lab.tag(), None);
}

/// Another invocation notes a later tick while a heartbeat starts the earlier one.
#[tokio::test(start_paused = true)]
async fn a_later_tick_that_is_noted_during_a_heartbeat_stays_noted() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    lab.send(lab.tick()).await;
    lab.at_the_limit(false);
    tokio::time::advance(HOUR).await;
    let simulator = lab.simulator.clone();
    lab.simulator.world().latency = Duration::from_millis(100);
    let other = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        simulator.world().tag_rule(SCHEDULE_RULE, OWED_TAG, Some("nyctaxi-pipeline/2021-05-28T08:33:00Z"));
    };
    let (answer, ()) = tokio::join!(lab.heartbeat(), other);
    assert_eq!(answer["action"], "started");
    assert_eq!(lab.tag().unwrap(), "nyctaxi-pipeline/2021-05-28T08:33:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_listed_alarm_of_another_account_is_not_deferred_as_no_heartbeat_finds_it() {
    let lab = Lab::with_alarms(&[]);
    lab.at_the_limit(true);
    let now = json!("2021-05-28T07:33:21.000+0000");
    for (sample, account) in [("drift-alarm", "/account"), ("drift-alarm-action", "/accountId")] {
        let time = if sample == "drift-alarm" { "/detail/state/timestamp" } else { "/alarmData/state/timestamp" };
        assert_eq!(lab.send(sample_with(sample, &[(time, now.clone())])).await["action"], "deferred");
        let error = lab.refused(sample_with(sample, &[(time, now.clone()), (account, "210987654321".into())])).await;
        assert!(error.contains("ResourceLimitExceeded"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_cloudwatch_does_not_delay_the_interlock() {
    let lab = Lab::with_alarms(&[]);
    let arn = lab.simulator.world().start_execution(None);
    lab.heartbeat().await;
    lab.assert_engaged();
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    lab.simulator.world().inject(fault::next("DescribeAlarms", 99, Fault::Hang));
    let router = lab.clone();
    let heartbeat = tokio::spawn(async move { router.try_send(sample_event("heartbeat")).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    lab.assert_released();
    assert!(heartbeat.await.unwrap().unwrap_err().error_message.contains("cannot read the drift alarms"));
}

#[tokio::test(start_paused = true)]
async fn many_alarms_at_once_are_asked_for_their_mutes_and_start_one_execution() {
    let alarms: Vec<String> = (0..30).map(|number| format!("drift-{number:02}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &alarms.join(","))]);
    for alarm in &alarms {
        lab.goes_off(alarm);
    }
    lab.simulator.world().latency = Duration::from_millis(100);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "started");
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn listed_alarms_that_do_not_exist_start_nothing() {
    let lab = Lab::with(&[ALARMS]);
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "unchanged");
    assert_eq!(lab.executions().len(), 0);
    assert_eq!(lab.take_metrics().last().unwrap(), "AlarmsMissing 1");
    // Of the default names, some usually do not exist.
    lab.simulator.world().change_alarm(ALARM, "OK");
    lab.heartbeat().await;
    assert_eq!(lab.take_metrics().last().unwrap(), "AlarmsMissing 0");
}

/// CloudWatch answers late. Meanwhile a person starts an execution, or disables the drift rule.
#[tokio::test(start_paused = true)]
async fn what_happens_while_cloudwatch_is_slow_is_seen_before_the_start() {
    for (happens, action) in [("nothing", "started"), ("start", "engaged"), ("hold", "unchanged")] {
        let lab = Lab::with_alarms(&[]);
        lab.goes_off(ALARM);
        tokio::time::advance(HOUR).await;
        lab.simulator.world().inject(fault::next("DescribeAlarms", 1, Fault::Hang));
        let simulator = lab.simulator.clone();
        let person = async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            match happens {
                "start" => drop(simulator.world().start_execution(None)),
                "hold" => simulator.world().operate_rule(DRIFT_RULE, false),
                _ => {}
            }
        };
        let (answer, ()) = tokio::join!(lab.heartbeat(), person);
        assert_eq!(answer["action"], action, "{happens}");
        assert_eq!(lab.executions().len(), usize::from(happens != "hold"), "{happens}");
    }
}

#[tokio::test(start_paused = true)]
async fn mutes_that_cannot_be_read_do_not_keep_a_deployment_from_its_start() {
    let lab = Lab::with_alarms(&[]);
    lab.goes_off(ALARM);
    lab.deployed("3f0c");
    lab.simulator.world().inject(fault::next("ListAlarmMuteRules", 99, Fault::Hang));
    assert_eq!(lab.heartbeat_after(HOUR).await["action"], "started");
    assert_eq!(lab.executions(), ["code-3f0c"]);
}

/// SageMaker may check the limit before the token. Then the repeated call of a start whose answer was lost is refused.
#[tokio::test(start_paused = true)]
async fn a_start_that_reached_the_limit_itself_is_found_and_not_deferred() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.limit = Some(1);
    lab.simulator.world().sagemaker.checks_limit_first = true;
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 1, Fault::ResetAfter));
    let answer = lab.send(lab.tick()).await;
    assert_eq!(answer["action"], "duplicate");
    assert_eq!(lab.executions().len(), 1);
    lab.assert_engaged();
}

/// The start of the deployment fails for a reason that passes. A later heartbeat repeats it.
#[tokio::test(start_paused = true)]
async fn after_a_start_that_fails_for_a_reason_that_passes_nothing_else_is_tried() {
    let lab = Lab::with_alarms(&[]);
    lab.deployed("3f0c");
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::about("StartPipelineExecution", "code-3f0c", Fault::ErrorBefore));
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.starts_with("cannot start SageMaker pipeline nyctaxi-pipeline as code-3f0c"), "{error}");
    let starts = lab.take_calls().into_iter().filter(|call| call == "StartPipelineExecution").count();
    assert_eq!(starts, 3, "one start, with the SDK's tries");
    assert!(lab.executions().is_empty(), "{:?}", lab.executions());
    lab.simulator.world().heal();
    assert_eq!(lab.heartbeat().await["key"], "3f0c");
}

/// The deployment is started, and then the observation fails. So this heartbeat does not see that an execution is active.
#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_be_observed_is_followed_by_no_other_start() {
    let lab = Lab::with_alarms(&[]);
    lab.deployed("3f0c");
    lab.goes_off(ALARM);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("DescribePipelineExecution", 99, Fault::Throttled));
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.contains("cannot describe"), "{error}");
    assert_eq!(lab.executions(), ["code-3f0c"]);
}

/// CloudWatch answers late, so the guards are observed again before the start.
#[tokio::test(start_paused = true)]
async fn an_owed_tick_is_started_after_a_second_observation_too() {
    let lab = Lab::with_alarms(&[]);
    lab.at_the_limit(true);
    assert_eq!(lab.send(lab.tick()).await["action"], "deferred");
    lab.at_the_limit(false);
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("DescribeAlarms", 1, Fault::Hang));
    let answer = lab.heartbeat().await;
    assert_eq!(answer["action"], "started", "{answer}");
    assert!(lab.executions()[0].starts_with("schedule-"), "{:?}", lab.executions());
    assert_eq!(lab.tag(), None);
}

/// CloudWatch answers late, so the guards are observed again before the start. That fails.
#[tokio::test(start_paused = true)]
async fn a_second_observation_that_fails_starts_nothing_and_fails_the_heartbeat() {
    let lab = Lab::with_alarms(&[]);
    lab.deployed("3f0c");
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("DescribeAlarms", 1, Fault::Hang));
    let mut lists = 0;
    lab.simulator.world().inject(Box::new(move |called: Called<'_>| {
        let is_list = called.service == "sagemaker" && called.operation == "ListPipelineExecutions";
        lists += usize::from(is_list);
        (is_list && lists > 1).then_some(Fault::Refused("AccessDeniedException"))
    }));
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.contains("check the permission sagemaker:ListPipelineExecutions"), "{error}");
    assert!(lab.executions().is_empty(), "{:?}", lab.executions());
}

/// CloudWatch answers late. What was planned before counts no more.
#[tokio::test(start_paused = true)]
async fn a_deployment_and_a_tick_are_planned_again_if_cloudwatch_is_slow() {
    let later = "2021-05-28T08:03:21Z";
    for (found, action, key) in
        [("deployment", "engaged", Value::Null), ("tick", "started", json!(format!("{SCHEDULE_RULE} {later}")))]
    {
        let lab = Lab::with_alarms(&[]);
        if found == "deployment" {
            lab.deployed("3f0c");
        } else {
            lab.at_the_limit(true);
            assert_eq!(lab.send(lab.tick()).await["action"], "deferred");
            lab.at_the_limit(false);
        }
        tokio::time::advance(HOUR).await;
        lab.simulator.world().inject(fault::next("DescribeAlarms", 1, Fault::Hang));
        let simulator = lab.simulator.clone();
        let others = async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if found == "deployment" {
                // A person starts an execution.
                simulator.world().start_execution(None);
            } else {
                // Another invocation notes a later tick.
                simulator.world().tag_rule(SCHEDULE_RULE, OWED_TAG, Some(&format!("nyctaxi-pipeline/{later}")));
            }
        };
        let (answer, ()) = tokio::join!(lab.heartbeat(), others);
        assert_eq!((&answer["action"], &answer["key"]), (&json!(action), &key), "{found}");
        assert_eq!(lab.executions().len(), 1, "{found}");
        assert_eq!(lab.tag(), None, "{found}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_not_needed_and_cannot_be_removed_fails_the_heartbeat() {
    let lab = Lab::new();
    lab.at_the_limit(true);
    lab.send(lab.tick()).await;
    tokio::time::advance(MINUTE).await;
    lab.simulator.world().start_execution(None);
    lab.end_all("Succeeded");
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("UntagResource", 99, Fault::Refused("AccessDeniedException")));
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(error.contains("check the permission events:UntagResource"), "{error}");
    assert!(lab.tag().is_some());
}

/// The answer to the start is lost every time, and the list shows the execution.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_finds_what_it_started_says_nothing_of_executions_that_do_not_run() {
    let lab = Lab::new();
    lab.deployed("3f0c");
    tokio::time::advance(HOUR).await;
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 9, Fault::ErrorAfter));
    let answer = lab.heartbeat().await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("duplicate"), &Value::Null));
    assert_eq!(lab.executions(), ["code-3f0c"]);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_without_a_time_of_change_is_named_and_starts_nothing() {
    let lab = Lab::with_alarms(&[]);
    lab.goes_off(ALARM);
    lab.simulator.world().cloudwatch.alarm_mut(ALARM).has_time = false;
    let answer = lab.heartbeat_after(HOUR).await;
    assert_eq!(answer["action"], "unchanged");
    let reason = format!("no execution runs; CloudWatch returns no time of change for alarm {ALARM}");
    assert_eq!(answer["reason"], reason);
    let status = lab.send(sample_event("status")).await;
    assert_eq!(status["unread"], json!([format!("CloudWatch returns no time of change for alarm {ALARM}")]));
    assert_eq!(status["summary"], "No execution runs; nothing is owed; 1 read failed.");
    assert!(lab.executions().is_empty());
}

/// The list shows an execution as active. Whether it has ended cannot be looked up.
#[tokio::test(start_paused = true)]
async fn a_tick_whose_other_execution_cannot_be_described_is_refused_or_tried_again_as_the_error_asks() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    lab.simulator.world().inject(fault::next("DescribePipelineExecution", 99, Fault::Refused("AccessDeniedException")));
    assert_eq!(lab.send(lab.tick()).await["action"], "alreadyRunning", "another try would fail as well");
    assert_eq!(lab.tag(), None);
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    lab.simulator.world().inject(fault::next("DescribePipelineExecution", 99, Fault::Throttled));
    let error = lab.refused(lab.tick()).await;
    assert!(error.contains("cannot describe"), "{error}");
    assert!(lab.tag().is_some(), "the tick is owed");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_a_heartbeat_finds_again_is_refused_without_a_further_look() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().start_execution(None);
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "alreadyRunning");
    assert!(!lab.take_calls().contains(&"DescribePipelineExecution".to_owned()));
}

/// For the tick's token, SageMaker returns the execution of an alarm, which the list does not show yet.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_gets_the_execution_of_another_trigger_starts_nothing_and_keeps_the_tick() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.reused_token = ReusedToken::SameExecution;
    lab.at_the_limit(true);
    lab.send(lab.tick()).await;
    lab.at_the_limit(false);
    tokio::time::advance(HOUR).await;
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "started");
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    let answer = lab.heartbeat().await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("alreadyRunning"), &Value::Null));
    assert_eq!(lab.executions().len(), 1);
    assert!(lab.tag().is_some());
    lab.assert_engaged();
}

/// The list is so late that it shows neither the deployment's execution nor a later one. It is up to date after the start.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_gets_the_deployments_execution_of_earlier_has_started_nothing() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.reused_token = ReusedToken::SameExecution;
    let event = lab.simulator.world().code_deployed("3f0c");
    tokio::time::advance(10 * MINUTE).await;
    assert_eq!(lab.send(event).await["action"], "started");
    tokio::time::advance(10 * MINUTE).await;
    lab.simulator.world().start_execution(None);
    lab.end_all("Succeeded");
    assert_eq!(lab.heartbeat().await["action"], "released");
    tokio::time::advance(MINUTE).await;
    lab.simulator.world().sagemaker.list_lag = 15 * MINUTE;
    lab.simulator.world().latency = Duration::from_millis(100);
    let simulator = lab.simulator.clone();
    let catches_up = async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        simulator.world().sagemaker.list_lag = Duration::ZERO;
    };
    let (answer, ()) = tokio::join!(lab.heartbeat(), catches_up);
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("duplicate"), &Value::Null));
    assert_eq!(lab.executions().len(), 2);
}

/// The cooldown ends before the alarm is 5 minutes old.
#[tokio::test(start_paused = true)]
async fn drift_that_is_young_at_the_end_of_the_cooldown_is_next_when_it_is_old_enough() {
    let lab = Lab::with_alarms(&[("DRIFT_COOLDOWN", "1h")]);
    lab.simulator.world().start_execution(None);
    lab.end_all("Succeeded");
    tokio::time::advance(59 * MINUTE).await;
    lab.goes_off(ALARM);
    let status = lab.send(sample_event("status")).await;
    assert_eq!(status["time"], "2021-05-28T08:32:21Z");
    assert_eq!(status["next"]["earliest"], "2021-05-28T08:37:21Z", "{}", status["summary"]);
    assert_eq!(lab.heartbeat_after(4 * MINUTE).await["action"], "unchanged");
    assert_eq!(lab.heartbeat_after(MINUTE).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_finding_that_waits_is_not_next_if_the_newest_execution_has_no_start_time() {
    let lab = Lab::with_alarms(&[]);
    lab.simulator.world().sagemaker.start_time_missing = Some(1);
    lab.simulator.world().start_execution(None);
    lab.end_all("Succeeded");
    tokio::time::advance(HOUR).await;
    lab.deployed("3f0c");
    tokio::time::advance(3 * MINUTE).await;
    let status = lab.send(sample_event("status")).await;
    assert_eq!(status["nothing"]["why"], "nothingOwed", "{}", status["summary"]);
    assert_eq!(lab.heartbeat().await["action"], "unchanged");
    // Once it is owed, both say why it does not start.
    let answer = lab.heartbeat_after(HOUR).await;
    assert!(answer["reason"].as_str().unwrap().contains("no start time"), "{answer}");
    assert_eq!(lab.send(sample_event("status")).await["nothing"]["why"], "noStartTime");
}

/// The brake's end is not known, and drift only cools down.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_not_braked_if_nothing_is_owed() {
    let lab = Lab::with_alarms(&[("CATCH_UP_PER_DAY", "2"), ("DRIFT_COOLDOWN", "6h")]);
    lab.simulator.world().sagemaker.start_time_missing = Some(2);
    for _ in 0..3 {
        lab.simulator.world().start_execution(None);
        lab.end_all("Succeeded");
        tokio::time::advance(HOUR).await;
    }
    lab.goes_off(ALARM);
    assert_ne!(lab.heartbeat_after(10 * MINUTE).await["action"], "braked");
}

/// The newest alarm is not muted. An older one's mutes hang or are denied.
#[tokio::test(start_paused = true)]
async fn mutes_that_are_not_needed_do_not_delay_a_start() {
    for fault in [Fault::Hang, Fault::Refused("AccessDeniedException")] {
        let lab = Lab::with_alarms(&[]);
        lab.goes_off(STAGING_ALARM);
        tokio::time::advance(MINUTE).await;
        lab.goes_off(ALARM);
        tokio::time::advance(HOUR).await;
        lab.simulator.world().inject(fault::about("ListAlarmMuteRules", STAGING_ALARM, fault));
        let begins = tokio::time::Instant::now();
        assert_eq!(lab.heartbeat().await["action"], "started");
        assert!(begins.elapsed() < Duration::from_secs(5), "{:?}", begins.elapsed());
    }
}

/// The execution that runs was described once. That SageMaker then fails to describe it again does not fail the event.
#[tokio::test(start_paused = true)]
async fn a_tick_is_refused_although_the_execution_cannot_be_described_again() {
    let lab = Lab::new();
    lab.simulator.world().start_execution(None);
    let mut calls = 0;
    lab.simulator.world().inject(Box::new(move |called: Called<'_>| {
        calls += usize::from(called.operation == "DescribePipelineExecution");
        let is_again = called.operation == "DescribePipelineExecution" && calls > 1;
        is_again.then_some(Fault::Refused("AccessDeniedException"))
    }));
    assert_eq!(lab.send(lab.tick()).await["action"], "alreadyRunning");
    lab.assert_engaged();
}
