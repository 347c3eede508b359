//! When a trigger starts an execution: redelivered, simultaneous and retried triggers, the cooldown, and the trigger parameter.

use std::time::Duration;

use serde_json::Value;
use simulator::nyctaxi::FIRST_EXECUTION_ARN;
use simulator::sagemaker::ReusedToken;
use simulator::samples::{sample_event, sample_with};
use simulator::{Fault, fault};

use crate::common::Lab;

fn alarm_at(timestamp: &str) -> Value {
    sample_with("drift-alarm", &[("/detail/state/timestamp", timestamp.into())])
}

fn code(execution_id: &str) -> Value {
    sample_with("code-deployed", &[("/detail/execution-id", execution_id.into())])
}

fn end_newest(lab: &Lab) {
    let arn = lab.simulator.world().sagemaker.executions.last().unwrap().arn.clone();
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_event_starts_nothing_new() {
    for sample in ["code-deployed", "schedule", "drift-alarm"] {
        let lab = Lab::new();
        let first = lab.send(sample_event(sample)).await;
        let again = lab.send(sample_event(sample)).await;
        assert_eq!(again["action"], "duplicate", "{sample}");
        assert_eq!(again["executionArn"], first["executionArn"]);
        assert_eq!(lab.executions().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_redelivered_long_after_its_execution_ended_starts_none() {
    let lab = Lab::new();
    lab.send(sample_event("drift-alarm")).await;
    end_newest(&lab);
    lab.send(sample_event("heartbeat")).await;
    tokio::time::advance(Duration::from_hours(24)).await;
    let answer = lab.send(sample_event("drift-alarm")).await;
    assert_eq!(answer["action"], "duplicate");
    assert_eq!(lab.executions().len(), 1);
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn drift_and_schedule_join_a_retraining_that_runs() {
    let lab = Lab::new();
    let first = lab.send(sample_event("code-deployed")).await;
    for sample in ["drift-alarm", "schedule"] {
        let answer = lab.send(sample_event(sample)).await;
        assert_eq!(answer["action"], "alreadyRunning", "{sample}");
        assert_eq!(answer["executionArn"], first["executionArn"]);
    }
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn drift_joins_an_execution_that_is_stopping() {
    let lab = Lab::new();
    let arn = lab.simulator.world().start_execution(Some("by-hand"));
    lab.simulator.world().set_execution_status(&arn, "Stopping");
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "alreadyRunning");
}

#[tokio::test(start_paused = true)]
async fn new_code_beside_an_active_execution_gets_its_own() {
    let lab = Lab::new();
    lab.send(code("11111111-afff-4465-a5f8-651f1d80bba0")).await;
    let answer = lab.send(code("22222222-afff-4465-a5f8-651f1d80bba0")).await;
    assert_eq!(answer["action"], "started");
    assert_eq!(
        lab.executions(),
        ["code-11111111-afff-4465-a5f8-651f1d80bba0", "code-22222222-afff-4465-a5f8-651f1d80bba0"]
    );
}

#[tokio::test(start_paused = true)]
async fn each_new_alarm_after_an_ended_retraining_starts_another() {
    let lab = Lab::new();
    for hour in 1..=3 {
        let answer = lab.send(alarm_at(&format!("2021-07-28T0{hour}:00:00.000+0000"))).await;
        assert_eq!(answer["action"], "started");
        end_newest(&lab);
    }
    assert_eq!(lab.executions().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn racing_triggers_start_one_execution_between_them() {
    for reused_token in [ReusedToken::Refused, ReusedToken::SameExecution] {
        let lab = Lab::new();
        lab.simulator.world().latency = Duration::from_millis(40);
        lab.simulator.world().sagemaker.reused_token = reused_token;
        let answers = tokio::join!(
            lab.send(alarm_at("2021-07-28T01:00:00.000+0000")),
            lab.send(alarm_at("2021-07-28T02:00:00.000+0000")),
            lab.send(sample_event("schedule")),
        );
        let mut actions = [&answers.0, &answers.1, &answers.2].map(|a| a["action"].as_str().unwrap());
        actions.sort_unstable();
        assert_eq!(actions, ["alreadyRunning", "alreadyRunning", "started"], "{reused_token:?}");
        assert_eq!(lab.executions().len(), 1);
        lab.assert_engaged();
    }
}

#[tokio::test(start_paused = true)]
async fn racing_deliveries_of_new_code_start_one_execution() {
    let lab = Lab::new();
    lab.simulator.world().latency = Duration::from_millis(40);
    let (one, two) = tokio::join!(lab.send(sample_event("code-deployed")), lab.send(sample_event("code-deployed")));
    assert_eq!(one["executionArn"], two["executionArn"]);
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_answer_is_lost_is_found_again() {
    for fault in [Fault::ErrorAfter, Fault::ResetAfter, Fault::HangAfter] {
        for sample in ["code-deployed", "drift-alarm"] {
            let lab = Lab::new();
            lab.simulator.world().inject(fault::next("StartPipelineExecution", 1, fault.clone()));
            assert_eq!(lab.send(sample_event(sample)).await["action"], "started");
            assert_eq!(lab.executions().len(), 1);
            lab.assert_engaged();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_never_answered_is_found_in_the_list() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 9, Fault::ErrorAfter));
    assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "duplicate");
    assert_eq!(lab.executions().len(), 1);
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_fails_and_a_retry_completes_it() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("StartPipelineExecution", 1, Fault::Refused("ResourceLimitExceeded")));
    let error = lab.refused(sample_event("drift-alarm")).await;
    assert!(error.contains("cannot start SageMaker pipeline nyctaxi-pipeline as drift-sagemaker"), "{error}");
    assert!(error.contains("ResourceLimitExceeded"), "{error}");
    lab.assert_released();
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_half_done_invocation_engages() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("DisableStageTransition", 99, Fault::Refused("AccessDeniedException")));
    let error = lab.refused(sample_event("code-deployed")).await;
    assert!(error.contains("the inbound transition of stage Build"), "{error}");
    assert_eq!(lab.executions().len(), 1);

    lab.simulator.world().heal();
    assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "duplicate");
    assert_eq!(lab.executions().len(), 1);
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn the_interlock_is_engaged_at_once_without_a_status_event() {
    let lab = Lab::new();
    lab.send(sample_event("schedule")).await;
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lags_neither_starts_twice_nor_releases() {
    for reused_token in [ReusedToken::Refused, ReusedToken::SameExecution] {
        let lab = Lab::new();
        lab.simulator.world().sagemaker.reused_token = reused_token;
        lab.simulator.world().sagemaker.list_lag = Duration::from_secs(12);
        lab.simulator.world().sagemaker.describe_lag = Duration::from_secs(12);
        assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "started");
        assert_eq!(lab.send(sample_event("code-deployed")).await["executionArn"], FIRST_EXECUTION_ARN);
        lab.assert_engaged();
        assert_eq!(lab.executions().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_a_lagging_list_hides_another_start_from_is_tried_again() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.reused_token = ReusedToken::SameExecution;
    lab.send(alarm_at("2021-07-28T01:00:00.000+0000")).await;
    // The execution ends, but lists still show the state before it started.
    end_newest(&lab);
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    let error = lab.refused(alarm_at("2021-07-28T02:00:00.000+0000")).await;
    assert!(error.contains("the list of executions lags"), "{error}");
    assert!(!lab.take_metrics().contains(&"Started 1".to_owned()));

    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(lab.send(alarm_at("2021-07-28T02:00:00.000+0000")).await["action"], "started");
    assert_eq!(lab.executions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn within_the_cooldown_an_alarm_starts_nothing_and_says_until_when() {
    let lab = Lab::with(&[("DRIFT_COOLDOWN", "6h")]);
    lab.send(alarm_at("2021-07-28T01:00:00.000+0000")).await;
    tokio::time::advance(Duration::from_hours(1)).await;
    end_newest(&lab);
    tokio::time::advance(Duration::from_mins(90)).await;

    let answer = lab.send(alarm_at("2021-07-28T03:30:00.000+0000")).await;
    assert_eq!((&answer["action"], &answer["executionArn"]), (&"coolingDown".into(), &FIRST_EXECUTION_ARN.into()));
    let reason = answer["reason"].as_str().unwrap();
    assert!(reason.ends_with("drift starts nothing until 2021-05-28T13:33:21Z"), "{reason}");
    lab.assert_released();
    // A second delivery of the alarm gets the same answer. Another trigger starts an execution.
    assert_eq!(lab.send(alarm_at("2021-07-28T03:30:00.000+0000")).await["action"], "coolingDown");
    assert_eq!(lab.executions().len(), 1);
    assert_eq!(lab.send(sample_event("schedule")).await["action"], "started");
    end_newest(&lab);

    // The cooldown also begins at an execution that the schedule started.
    tokio::time::advance(Duration::from_hours(5)).await;
    assert_eq!(lab.send(alarm_at("2021-07-28T08:30:00.000+0000")).await["action"], "coolingDown");
    tokio::time::advance(Duration::from_hours(1)).await;
    assert_eq!(lab.send(alarm_at("2021-07-28T09:30:00.000+0000")).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_was_served_is_a_duplicate_in_the_cooldown_too() {
    let lab = Lab::with(&[("DRIFT_COOLDOWN", "6h")]);
    lab.send(sample_event("drift-alarm")).await;
    assert_eq!(lab.send(alarm_at("2021-07-28T08:00:00.000+0000")).await["action"], "alreadyRunning");
    end_newest(&lab);
    assert_eq!(lab.send(sample_event("drift-alarm")).await["action"], "duplicate");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_parameter_says_what_started_the_execution() {
    for (sample, value) in [
        ("code-deployed", "CodePipeline"),
        ("codepipeline-job", "CodePipeline"),
        ("schedule", "Schedule"),
        ("drift-alarm", "Drift"),
        ("drift-alarm-action", "Drift"),
    ] {
        let trigger = if sample == "codepipeline-job" { "action" } else { "event" };
        let lab =
            Lab::with(&[("PIPELINE_PARAMETERS", r#"{"InputSource": "{trigger}"}"#), ("DEPLOYMENT_TRIGGER", trigger)]);
        lab.simulator.world().sagemaker.parameters = vec!["InputSource".into()];
        lab.simulator.world().force_state(&sample_event(sample));
        assert_eq!(lab.send(sample_event(sample)).await["action"], "started");
        let parameters = lab.simulator.world().sagemaker.executions[0].parameters.clone();
        assert_eq!(parameters, serde_json::json!([{ "Name": "InputSource", "Value": value }]), "{sample}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parameter_without_a_default_is_given_and_its_placeholders_are_replaced() {
    for (sample, parameter, description) in [
        (
            "drift-alarm",
            "Drift, sagemaker-nyctaxi-prod-threshold 2021-07-28T07:02:04Z, 2021-07-28T07:02:04Z, {}",
            "CloudWatch alarm sagemaker-nyctaxi-prod-threshold changed to ALARM at 2021-07-28T07:02:04Z",
        ),
        (
            "schedule",
            "Schedule, sagemaker-nyctaxi-schedule-build 2021-06-01T12:00:00Z, 2021-06-01T12:00:00Z, {}",
            "EventBridge rule sagemaker-nyctaxi-schedule-build, tick of 2021-06-01T12:00:00Z",
        ),
        (
            "scheduler-tick",
            "Schedule, sagemaker-nyctaxi-weekly 2021-06-06T12:00:00Z, 2021-06-06T12:00:00Z, {}",
            "EventBridge schedule sagemaker-nyctaxi-weekly, tick of 2021-06-06T12:00:00Z",
        ),
        (
            "code-deployed",
            "CodePipeline, 09714422-afff-4465-a5f8-651f1d80bba0, 2021-05-28T07:33:21Z, {}",
            "CodePipeline execution 09714422-afff-4465-a5f8-651f1d80bba0 succeeded",
        ),
    ] {
        let lab = Lab::with(&[("PIPELINE_PARAMETERS", r#"{"Why": "{trigger}, {key}, {time}, {{}"}"#)]);
        {
            let mut world = lab.simulator.world();
            world.sagemaker.parameters = vec!["Why".into(), "Epochs".into()];
            world.sagemaker.required_parameters = vec!["Why".into()];
        }
        lab.send(sample_event(sample)).await;
        let world = lab.simulator.world();
        let execution = &world.sagemaker.executions[0];
        assert_eq!(execution.parameters, serde_json::json!([{ "Name": "Why", "Value": parameter }]));
        assert_eq!(execution.description, Some(format!("Started by drift-router: {description}.")));
    }
}

/// The times in the event and in the list differ. Every route must send the same request with the token of a deployment.
#[tokio::test(start_paused = true)]
async fn the_event_of_a_deployment_and_a_heartbeat_send_the_same_request() {
    let requests = [true, false].map(async |by_event| {
        let lab = Lab::with(&[("PIPELINE_PARAMETERS", r#"{"Why": "{trigger}, {key}, {time}"}"#)]);
        {
            let mut world = lab.simulator.world();
            world.sagemaker.parameters = vec!["Why".into()];
            world.codepipeline.clock_skew = 4321;
            world.codepipeline.events_have_trigger = true;
        }
        let event = lab.simulator.world().code_deployed("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
        if by_event {
            lab.send(event).await;
        } else {
            tokio::time::advance(Duration::from_mins(10)).await;
            lab.send(sample_event("heartbeat")).await;
        }
        let world = lab.simulator.world();
        let mut starts = world.calls.iter().filter(|call| call.operation == "StartPipelineExecution");
        starts.next().unwrap().input.clone()
    });
    let [by_event, by_heartbeat] = requests;
    let (by_event, by_heartbeat) = (by_event.await, by_heartbeat.await);
    assert_eq!(by_event["PipelineParameters"], by_heartbeat["PipelineParameters"]);
    assert_eq!(by_event, by_heartbeat);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_time_is_a_parameter_waits_until_codepipelines_list_shows_it() {
    let timed = [("PIPELINE_PARAMETERS", r#"{"Why": "{time}"}"#)];
    let (soon, late) = (Duration::from_secs(10), Duration::from_secs(30));
    for (lab, list_lag, least) in [
        (Lab::with(&timed), soon, soon),
        (Lab::with(&timed), late, Duration::from_mins(1)),
        (Lab::new(), late, Duration::ZERO),
    ] {
        lab.simulator.world().sagemaker.parameters = vec!["Why".into()];
        lab.simulator.world().codepipeline.list_lag = list_lag;
        let event = lab.simulator.world().code_deployed("5b1f0d7e-2c1a-4f57-8b6e-0c9d3f6f2b11");
        let deployed = tokio::time::Instant::now();
        // Within one invocation, the list is read again for 15 seconds.
        if least > late {
            let error = lab.refused(event.clone()).await;
            assert!(error.contains("CodePipeline's list does not show yet"), "{error}");
            assert!(deployed.elapsed() >= Duration::from_secs(15));
            tokio::time::advance(Duration::from_mins(1)).await;
        }
        assert_eq!(lab.send(event).await["action"], "started");
        assert!(deployed.elapsed() >= least && deployed.elapsed() < least + Duration::from_mins(1));
    }
}

#[tokio::test(start_paused = true)]
async fn without_pipeline_parameters_none_is_sent() {
    let lab = Lab::new();
    lab.send(sample_event("drift-alarm")).await;
    assert_eq!(lab.simulator.world().sagemaker.executions[0].parameters, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_the_pipeline_lacks_is_an_error_that_names_the_variable() {
    let lab = Lab::with(&[("PIPELINE_PARAMETERS", r#"{"InputSource": "{trigger}"}"#)]);
    let error = lab.refused(sample_event("drift-alarm")).await;
    for part in ["has every parameter which PIPELINE_PARAMETERS", "[InputSource] is not defined"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn racing_triggers_with_a_parameter_start_one_execution_between_them() {
    for reused_token in [ReusedToken::Refused, ReusedToken::SameExecution] {
        let lab = Lab::with(&[("PIPELINE_PARAMETERS", r#"{"InputSource": "{trigger}"}"#)]);
        lab.simulator.world().latency = Duration::from_millis(40);
        lab.simulator.world().sagemaker.parameters = vec!["InputSource".into()];
        lab.simulator.world().sagemaker.reused_token = reused_token;
        let (alarm, tick) = tokio::join!(lab.send(sample_event("drift-alarm")), lab.send(sample_event("schedule")));
        assert_eq!(alarm["executionArn"], tick["executionArn"]);
        assert_eq!(lab.executions().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_active_execution_behind_a_short_page_is_seen() {
    let lab = Lab::new();
    let retried = lab.simulator.world().start_execution(None);
    for _ in 0..7 {
        lab.simulator.world().start_execution(None);
        end_newest(&lab);
    }
    lab.simulator.world().sagemaker.page_limit = Some(3);
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "engaged");
    lab.assert_engaged();
    let answer = lab.send(sample_event("drift-alarm")).await;
    assert_eq!((&answer["action"], &answer["executionArn"]), (&"alreadyRunning".into(), &retried.into()));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_hundred_executions_are_read() {
    let lab = Lab::new();
    for _ in 0..130 {
        lab.simulator.world().start_execution(None);
        end_newest(&lab);
    }
    for (page_limit, pages) in [(None, 1), (Some(60), 2)] {
        lab.simulator.world().sagemaker.page_limit = page_limit;
        lab.simulator.world().calls.clear();
        lab.send(sample_event("heartbeat")).await;
        let world = lab.simulator.world();
        let lists = world.calls.iter().filter(|call| call.operation == "ListPipelineExecutions");
        assert_eq!(lists.filter(|call| call.service == "sagemaker").count(), pages);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_retrainings_of_two_pipelines_have_tokens_of_their_own() {
    let lab = Lab::new();
    lab.simulator.world().sagemaker.add_pipeline("fraud-pipeline");
    let other = lab.router_of("fraud-pipeline");
    for sample in ["schedule", "code-deployed"] {
        for reused_token in [ReusedToken::Refused, ReusedToken::SameExecution] {
            lab.simulator.world().sagemaker.reused_token = reused_token;
            assert_eq!(lab.send(sample_event(sample)).await["action"], "started", "{sample}");
            assert_eq!(other.send(sample_event(sample)).await["action"], "started", "{sample}");
            lab.simulator.world().sagemaker.clear();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_reported_even_if_the_look_up_after_it_fails() {
    let lab = Lab::new();
    refuse_start_then_list(&lab);
    let error = lab.refused(sample_event("drift-alarm")).await;
    assert!(error.starts_with("cannot start SageMaker pipeline nyctaxi-pipeline"), "{error}");
    assert!(error.contains("ValidationException"), "{error}");
}

/// The start is refused permanently, and from then on the list fails.
pub fn refuse_start_then_list(lab: &Lab) {
    let mut refused = false;
    lab.simulator.world().inject(Box::new(move |called| {
        refused |= called.operation == "StartPipelineExecution";
        match called.operation {
            "StartPipelineExecution" => Some(Fault::Refused("ValidationException")),
            "ListPipelineExecutions" if refused => Some(Fault::Throttled),
            _ => None,
        }
    }));
}
