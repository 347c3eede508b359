//! Somebody asks what the router sees, and what it does next.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::nyctaxi::{ALARM, ALARM_NAMES, DRIFT_RULE, FIRST_EXECUTION_ARN, SCHEDULE_RULE, STAGE, STAGING_ALARM};
use simulator::samples::sample_event;
use simulator::time::{DAY, HOUR, MINUTE};
use simulator::{Fault, fault};

use crate::common::Lab;
use crate::common::marks::HOLD;

const COOLDOWN: (&str, &str) = ("DRIFT_COOLDOWN", "1h");
const ALARMS: (&str, &str) = ("DRIFT_ALARM_NAMES", ALARM_NAMES);

impl Lab {
    async fn status(&self) -> Value {
        self.send(sample_event("status")).await
    }

    /// The summary of the status.
    async fn summary(&self) -> String {
        self.status().await["summary"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_project_in_which_nothing_happened_has_nothing_to_show() {
    let lab = Lab::new();
    let enabled = json!({ "state": "enabled" });
    assert_eq!(
        lab.status().await,
        json!({
            "event": "status",
            "summary": "No execution runs; nothing is owed.",
            "nothing": { "why": "nothingOwed" },
            "guards": { "stage": enabled, "scheduleRule": enabled, "driftRule": enabled },
            "findings": [],
            "executions": [],
            "startsIn24Hours": 0,
            "mode": "active",
            "version": env!("CARGO_PKG_VERSION"),
            "pipeline": "nyctaxi-pipeline",
            "time": "2021-05-28T07:33:21Z",
        })
    );
    assert_eq!(lab.take_metrics(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_running_execution_is_shown_with_what_waits_for_its_end() {
    let lab = Lab::with(&[ALARMS, ("DRIFT_COOLDOWN", "1h")]);
    lab.simulator.world().change_alarm(STAGING_ALARM, "OK");
    lab.send(sample_event("retrain")).await;
    tokio::time::advance(HOUR).await;
    lab.simulator.world().change_alarm(ALARM, "ALARM");
    let status = lab.status().await;
    assert_eq!(
        status["summary"],
        "Execution ib87gnc408me runs for request 2021-06-01-corrected-labels since 2021-05-28T07:33:21Z; 1 finding waits \
         for its end."
    );
    assert_eq!(status["nothing"], json!({ "why": "executionActive" }));
    let mark = "Disabled by drift-router (nyctaxi-pipeline) while SageMaker pipeline execution ib87gnc408me runs. It is \
                enabled again when no execution runs.";
    let rule = json!({ "state": "disabled", "owner": "nyctaxi-pipeline" });
    assert_eq!(
        status["guards"],
        json!({
            "stage": { "state": "disabled", "reason": mark, "owner": "nyctaxi-pipeline" },
            "scheduleRule": rule,
            "driftRule": rule,
        })
    );
    assert_eq!(
        status["findings"],
        json!([{
            "trigger": "drift",
            "key": format!("{ALARM} 2021-05-28T08:33:21Z"),
            "since": "2021-05-28T08:33:21Z",
            "verdict": "running",
            "reason": "execution ib87gnc408me runs",
        }])
    );
    assert_eq!(
        status["executions"],
        json!([{
            "arn": FIRST_EXECUTION_ARN,
            "trigger": "request",
            "key": "2021-06-01-corrected-labels",
            "status": "Executing",
            "started": "2021-05-28T07:33:21Z",
            "description": "Started by drift-router: request 2021-06-01-corrected-labels: the labels of May are corrected.",
        }])
    );
    assert_eq!((&status["startsIn24Hours"], &status["trainingAgeSeconds"]), (&json!(1), &json!(3600)));

    // It stops, and then it has ended.
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Stopping");
    assert_eq!(lab.status().await["executions"][0]["status"], "Stopping");
    tokio::time::advance(MINUTE).await;
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Stopped");
    tokio::time::advance(MINUTE).await;
    let status = lab.status().await;
    assert_eq!(
        (&status["executions"][0]["status"], &status["executions"][0]["ended"]),
        (&json!("Stopped"), &json!("2021-05-28T08:34:21Z"))
    );
    assert_eq!(
        status["next"],
        json!({
            "trigger": "drift",
            "key": format!("{ALARM} 2021-05-28T08:33:21Z"),
            "earliest": "2021-05-28T08:38:21Z",
            "reason": format!("the event of {ALARM} 2021-05-28T08:33:21Z may still come, until 2021-05-28T08:38:21Z"),
        })
    );
    assert_eq!(
        status["summary"],
        format!(
            "No execution runs; a heartbeat starts drift {ALARM} (of 2021-05-28T08:33:21Z) from 2021-05-28T08:38:21Z on."
        )
    );
    tokio::time::advance(5 * MINUTE).await;
    let starts = format!("No execution runs; the next heartbeat starts drift {ALARM} (of 2021-05-28T08:33:21Z).");
    assert_eq!(lab.summary().await, starts);
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shown_with_its_step_until_a_training_succeeds() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(Some("drift-analysis"));
    let now = lab.simulator.world().now();
    lab.simulator.world().sagemaker.fail_step(&arn, "TrainModel", "CapacityError: no instance", now);
    let status = lab.status().await;
    assert_eq!(status["summary"], "No execution runs; the newest retraining failed; nothing is owed.");
    assert_eq!(
        status["executions"][0]["failedSteps"],
        json!([{ "step": "TrainModel", "reason": "CapacityError: no instance" }])
    );
    assert_eq!(status["executions"][0]["trigger"], Value::Null, "a person gave it this name");
    lab.send(sample_event("retrain")).await;
    let status = lab.status().await;
    assert_eq!(status["executions"][1]["failedSteps"][0]["step"], "TrainModel", "while the next one runs, too");
    assert_eq!(status["executions"][0]["failedSteps"], Value::Null);
    let newest = lab.simulator.world().sagemaker.executions[1].arn.clone();
    lab.simulator.world().set_execution_status(&newest, "Succeeded");
    assert_eq!(lab.summary().await, "No execution runs; nothing is owed.");
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_finding_has_its_verdict_and_its_sentence() {
    let lab = Lab::with(&[ALARMS, ("DRIFT_COOLDOWN", "1h")]);
    lab.simulator.world().code_deployed("3f0c");
    lab.simulator.world().change_alarm(ALARM, "ALARM");
    lab.simulator.world().change_alarm(STAGING_ALARM, "ALARM");
    lab.simulator.world().cloudwatch.alarm_mut(STAGING_ALARM).is_muted = true;
    lab.simulator.world().sagemaker.limit = Some(0);
    let tick = lab.simulator.world().tick(SCHEDULE_RULE).unwrap();
    assert_eq!(lab.send(tick).await["action"], "deferred");
    tokio::time::advance(HOUR).await;
    let verdicts = |status: &Value| {
        let findings = status["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| format!("{} {}", finding["trigger"], finding["verdict"]).replace('"', ""))
            .collect::<Vec<_>>()
    };
    let status = lab.status().await;
    assert_eq!(verdicts(&status), ["code owed", "schedule owed", "drift owed", "drift muted"]);
    assert_eq!((&status["next"]["trigger"], &status["next"]["key"]), (&json!("code"), &json!("3f0c")));
    assert_eq!(status["next"]["reason"], "3f0c needs a retraining");

    lab.simulator.world().operate_rule(DRIFT_RULE, false);
    lab.simulator.world().operate_stage(STAGE, Some(HOLD));
    let status = lab.status().await;
    assert_eq!(verdicts(&status), ["code owed", "schedule owed", "drift held", "drift held"]);
    assert_eq!(status["guards"]["stage"], json!({ "state": "held", "reason": HOLD }));
    assert_eq!(status["guards"]["driftRule"], json!({ "state": "held" }));
    let summary = status["summary"].as_str().unwrap();
    assert!(
        summary.ends_with("the next heartbeat starts deployment 3f0c; 2 guards are held by somebody else."),
        "{summary}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_many_alarms_ten_are_asked_for_their_mutes_and_the_others_are_owed_unless_muted() {
    let names: Vec<String> = (0..12).map(|number| format!("alarm-{number:02}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &names.join(","))]);
    for name in &names {
        lab.simulator.world().change_alarm(name, "ALARM");
        lab.simulator.world().cloudwatch.alarm_mut(name).is_muted = true;
        tokio::time::advance(MINUTE).await;
    }
    tokio::time::advance(HOUR).await;
    let status = lab.status().await;
    assert_eq!(lab.take_calls().iter().filter(|call| *call == "ListAlarmMuteRules").count(), 10);
    let verdict = |index: usize| &status["findings"][index]["verdict"];
    assert_eq!(
        (verdict(0), verdict(9), verdict(10), verdict(11)),
        (&json!("muted"), &json!("muted"), &json!("owed"), &json!("owed"))
    );
    let reason = status["findings"][10]["reason"].as_str().unwrap();
    assert!(reason.starts_with("alarm-01 ") && reason.ends_with("needs a retraining, unless its alarm is muted"));
    assert!(status["next"]["key"].as_str().unwrap().starts_with("alarm-01 "), "{status}");
    let summary = status["summary"].as_str().unwrap();
    assert!(summary.ends_with(", unless its alarm is muted."), "{summary}");
    // At the brake, the heartbeat would start none of them.
    let braked = lab.with_variables(&[("DRIFT_ALARM_NAMES", &names.join(",")), ("CATCH_UP_PER_DAY", "1"), COOLDOWN]);
    let arn = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    tokio::time::advance(2 * HOUR).await;
    for name in &names {
        lab.simulator.world().change_alarm(name, "OK");
        lab.simulator.world().change_alarm(name, "ALARM");
        tokio::time::advance(MINUTE).await;
    }
    tokio::time::advance(HOUR).await;
    assert_eq!(braked.status().await["nothing"]["why"], "braked");
    lab.simulator.world().cloudwatch.alarm_mut("alarm-01").is_muted = false;
    assert_eq!(braked.send(sample_event("heartbeat")).await["action"], "braked");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_part_of_the_answer_and_fails_nothing() {
    for (operation, field) in [
        ("GetPipelineState", "guards"),
        ("ListTagsForResource", "guards"),
        ("sagemaker:ListPipelineExecutions", "executions"),
        ("codepipeline:ListPipelineExecutions", "unread"),
        ("DescribeAlarms", "unread"),
        ("ListAlarmMuteRules", "unread"),
        ("DescribePipelineExecution", "unread"),
        ("ListPipelineExecutionSteps", "unread"),
    ] {
        let lab = Lab::with(&[ALARMS]);
        let arn = lab.simulator.world().start_execution(None);
        lab.simulator.world().set_execution_status(&arn, "Failed");
        tokio::time::advance(DAY).await;
        lab.simulator.world().change_alarm(ALARM, "ALARM");
        tokio::time::advance(HOUR).await;
        lab.simulator.world().inject(fault::next(operation, 99, Fault::Refused("AccessDeniedException")));
        let status = lab.status().await;
        let permission =
            format!("check the permission {}", operation.replace("codepipeline:", "").replace("sagemaker:", ""));
        let permission = permission.rsplit(' ').next().unwrap();
        assert!(status.to_string().contains(permission), "{operation}: {status}");
        match field {
            "guards" => {
                assert_eq!(status["nothing"], json!({ "why": "guardUnsettled" }), "{operation}");
                assert!(status["findings"][0]["verdict"].is_string(), "{operation}");
            }
            "executions" => {
                assert_eq!(status["nothing"], json!({ "why": "executionsUnread" }));
                assert_eq!((&status["executions"], &status["findings"]), (&Value::Null, &Value::Null));
                assert_eq!(status["summary"], "The executions cannot be read, so nothing can be decided.");
            }
            _ => {
                assert_eq!(status["unread"].as_array().map(Vec::len), Some(1), "{operation}: {status}");
                assert_eq!(status["executions"][0]["status"], "Failed");
                assert!(status["summary"].as_str().unwrap().ends_with("; 1 read failed."), "{status}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_mode_reads_the_same_and_says_what_it_starts() {
    let with_alarm = async |changed: &[(&str, &str)]| {
        let lab = Lab::with(&[&[ALARMS], changed].concat());
        lab.simulator.world().change_alarm(ALARM, "ALARM");
        tokio::time::advance(HOUR).await;
        let status = lab.status().await;
        assert_eq!(status["findings"][0]["verdict"], "owed", "{changed:?}");
        assert_eq!(status["missingAlarms"], json!([STAGING_ALARM]));
        status
    };
    let status = with_alarm(&[("MODE", "drain")]).await;
    assert_eq!((&status["nothing"]["why"], &status["mode"]), (&json!("drain"), &json!("drain")));
    assert_eq!(status["summary"], "No execution runs; MODE is drain: nothing is started.");
    let status = with_alarm(&[("MODE", "dry-run")]).await;
    assert_eq!(status["next"]["trigger"], "drift");
    let summary = status["summary"].as_str().unwrap();
    assert!(summary.ends_with("MODE is dry-run, so the router only says what it would start."), "{summary}");
    for off in [("CATCH_UP_PER_DAY", "0"), ("HEARTBEAT_NAME", "")] {
        let status = with_alarm(&[off]).await;
        assert_eq!(status["nothing"], json!({ "why": "noHeartbeat" }), "{off:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_brake_is_shown_with_its_end() {
    let lab = Lab::with(&[("CATCH_UP_PER_DAY", "1")]);
    let arn = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    tokio::time::advance(MINUTE).await;
    lab.simulator.world().code_deployed("3f0c");
    tokio::time::advance(MINUTE).await;
    // Its time comes when the brake is off.
    let status = lab.status().await;
    assert_eq!(status["next"]["earliest"], "2021-05-29T07:33:21Z", "{status}");
    tokio::time::advance(HOUR).await;
    let status = lab.status().await;
    assert_eq!(status["nothing"], json!({ "why": "braked", "until": "2021-05-29T07:33:21Z" }));
    assert!(status["summary"].as_str().unwrap().contains("CATCH_UP_PER_DAY is 1"), "{status}");
}

/// A hundred executions and a hundred alarms.
async fn large(is_failed: bool) -> (Lab, Duration, Value) {
    let names: Vec<String> = (0..100).map(|number| format!("alarm-{number:02}")).collect();
    let lab = Lab::with(&[("DRIFT_ALARM_NAMES", &names.join(",")), ("DRIFT_COOLDOWN", "1h")]);
    for _ in 0..100 {
        let arn = lab.simulator.world().start_execution(None);
        lab.simulator.world().set_execution_status(&arn, if is_failed { "Failed" } else { "Succeeded" });
    }
    tokio::time::advance(DAY).await;
    for name in &names {
        lab.simulator.world().change_alarm(name, "ALARM");
    }
    tokio::time::advance(HOUR).await;
    lab.simulator.world().latency = Duration::from_secs(1);
    let begun = tokio::time::Instant::now();
    let status = lab.status().await;
    (lab, begun.elapsed(), status)
}

#[tokio::test(start_paused = true)]
async fn a_status_takes_two_round_trips_however_much_there_is_to_show() {
    for is_failed in [false, true] {
        let (lab, time, status) = large(is_failed).await;
        assert_eq!(time, Duration::from_secs(2));
        assert_eq!(status["executions"].as_array().map(Vec::len), Some(10));
        assert_eq!(status["findings"].as_array().map(Vec::len), Some(100));
        assert_eq!(status["startsIn24Hours"], 0);
        let calls = lab.take_calls();
        assert_eq!(calls.iter().filter(|call| *call == "DescribePipelineExecution").count(), 10);
        assert_eq!(calls.contains(&"ListPipelineExecutionSteps".to_owned()), is_failed);
    }
}
