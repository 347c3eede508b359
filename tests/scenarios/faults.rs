//! Calls to AWS fail or hang: the router retries, or reports an error before the function times out.

use std::time::Duration;

use simulator::nyctaxi::{FIRST_EXECUTION_ARN, SCHEDULE_RULE, STAGE};
use simulator::sagemaker::ReusedToken;
use simulator::samples::sample_event;
use simulator::{Fault, fault};

use crate::common::Lab;

const OPERATIONS: [&str; 11] = [
    "sagemaker:ListPipelineExecutions",
    "DescribePipelineExecution",
    "StartPipelineExecution",
    "GetPipelineState",
    "DisableStageTransition",
    "EnableStageTransition",
    "DescribeRule",
    "ListTagsForResource",
    "TagResource",
    "UntagResource",
    "EnableRule",
];

#[tokio::test(start_paused = true)]
async fn faults_that_pass_are_not_noticed() {
    for fault in [Fault::Throttled, Fault::ErrorBefore, Fault::ErrorAfter, Fault::Reset, Fault::ResetAfter, Fault::Hang]
    {
        for operation in OPERATIONS.into_iter().chain(["DisableRule"]) {
            let lab = Lab::new();
            lab.simulator.world().inject(fault::next(operation, 1, fault.clone()));
            assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "started", "{operation} {fault:?}");
            lab.assert_engaged();
            assert_eq!(lab.deliver("execution-succeeded").await["action"], "released", "{operation} {fault:?}");
            lab.assert_released();
            assert_eq!(lab.executions().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_eventbridge_refuses_for_a_moment_is_made_again() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("DisableRule", 2, Fault::Refused("ConcurrentModificationException")));
    assert_eq!(lab.deliver("execution-executing").await["action"], "engaged");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_is_given_up_and_tried_again_within_the_invocation() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("GetPipelineState", 1, Fault::Hang));
    let begins = tokio::time::Instant::now();
    lab.deliver("execution-executing").await;
    let taken = begins.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&taken), "{taken:?}");
    lab.assert_engaged();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_always_hangs_fails_the_invocation_within_the_operation_timeout() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 99, Fault::Hang));
    let begins = tokio::time::Instant::now();
    let error = lab.refused(sample_event("heartbeat")).await;
    assert!(begins.elapsed() <= Duration::from_secs(20), "{:?}", begins.elapsed());
    assert!(error.contains("cannot list the executions of SageMaker pipeline nyctaxi-pipeline"), "{error}");
    assert!(lab.take_writes().is_empty());
}

/// The pipeline was deleted and made again while its tokens live: SageMaker answers with an execution that does not exist.
#[tokio::test(start_paused = true)]
async fn an_execution_that_sagemaker_does_not_find_is_no_start() {
    let lab = Lab::new();
    assert_eq!(lab.send(sample_event("code-deployed")).await["action"], "started");
    lab.simulator.world().sagemaker.executions.clear();
    let error = lab.try_send(sample_event("code-deployed")).await.unwrap_err();
    assert_eq!(error.error_type, "NotStarted");
    assert!(error.error_message.contains("start one by hand"), "{}", error.error_message);
    lab.assert_released();
    assert!(!lab.take_metrics().contains(&"Started 1".to_owned()));
}

/// Lambda would end the invocation without a line in the log.
#[tokio::test(start_paused = true)]
async fn an_invocation_that_nears_its_deadline_ends_with_an_error_of_its_own() {
    let lab = Lab::new().with_deadline(Duration::from_secs(10));
    lab.simulator.world().inject(fault::next("GetPipelineState", 99, Fault::Hang));
    let begins = tokio::time::Instant::now();
    let error = lab.try_send(sample_event("heartbeat")).await.unwrap_err();
    assert_eq!((error.error_type.as_str(), begins.elapsed()), ("Deadline", Duration::from_secs(8)));
    assert!(error.error_message.starts_with("Lambda's deadline is near"), "{}", error.error_message);
    // What was observed before is counted.
    let lab = Lab::new();
    lab.send(sample_event("schedule")).await;
    lab.take_metrics();
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    lab.simulator.world().inject(fault::next("EnableRule", 99, Fault::Hang));
    let lab = lab.with_deadline(Duration::from_secs(10));
    assert_eq!(lab.try_send(sample_event("heartbeat")).await.unwrap_err().error_type, "Deadline");
    assert_eq!(
        lab.take_metrics(),
        ["RetrainingFailing 0", "TrainingAgeSeconds 0", "InterlockEngaged 1", "GuardsHeld 0"]
    );
    // A deadline that has passed is none: emulators send one of 1970.
    lab.simulator.world().heal();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "released");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_changed_says_what_to_change() {
    for (code, advice) in [
        (
            "ManagedRuleException",
            "AWS manages this rule, so only AWS changes it: name another one in SCHEDULE_RULE_NAME",
        ),
        (
            "LimitExceededException",
            "check SCHEDULE_RULE_NAME, and that the rule has fewer than 50 tags, the most that EventBridge takes",
        ),
    ] {
        let lab = Lab::new();
        lab.simulator.world().start_execution(None);
        lab.simulator.world().inject(fault::about("TagResource", SCHEDULE_RULE, Fault::Refused(code)));
        let error = lab.refused(sample_event("heartbeat")).await;
        // The whole advice: the service's message follows it.
        assert!(error.contains(&format!(": {advice}: ")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_says_what_to_look_at() {
    for (operation, sample, advice) in [
        ("sagemaker:ListPipelineExecutions", "heartbeat", "sagemaker:ListPipelineExecutions"),
        ("DescribePipelineExecution", "execution-executing", "sagemaker:DescribePipelineExecution"),
        ("StartPipelineExecution", "schedule", "sagemaker:StartPipelineExecution"),
        ("GetPipelineState", "heartbeat", "codepipeline:GetPipelineState"),
        ("DescribeRule", "heartbeat", "events:DescribeRule"),
    ] {
        let lab = Lab::new();
        lab.simulator.world().inject(fault::next(operation, 99, Fault::Refused("AccessDeniedException")));
        let error = lab.refused(sample_event(sample)).await;
        assert!(error.contains(advice) && error.contains("AccessDeniedException"), "{operation}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_does_not_exist_names_the_variable() {
    for (operation, code, variable) in [
        ("sagemaker:ListPipelineExecutions", "ResourceNotFound", "SAGEMAKER_PIPELINE_NAME"),
        ("GetPipelineState", "PipelineNotFoundException", "CODE_PIPELINE_NAME"),
    ] {
        let lab = Lab::new();
        lab.simulator.world().inject(fault::next(operation, 9, Fault::Refused(code)));
        let error = lab.refused(sample_event("heartbeat")).await;
        assert!(error.contains(&format!("check {variable}")) && error.contains(code), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_keeps_undoing_the_interlock_fails_the_invocation() {
    let lab = Lab::new();
    lab.simulator.world().force_state(&sample_event("execution-executing"));
    lab.simulator.world().latency = Duration::from_millis(40);
    let undoing = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            lab.simulator.world().operate_stage(STAGE, None);
        }
    };
    let error = tokio::select! {
        error = lab.refused(sample_event("execution-executing")) => error,
        () = undoing => unreachable!(),
    };
    assert!(error.contains("did not converge in 3 rounds"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_advice_fits_the_cause() {
    for (fault, advice) in [
        (Fault::Throttled, "AWS throttles the calls; the event will be tried again"),
        (Fault::Refused("ConcurrentModificationException"), "AWS refused the call; the event will be tried again"),
        (Fault::ErrorBefore, "AWS was unavailable; the event will be tried again"),
        (Fault::Reset, "AWS was unavailable; the event will be tried again"),
        (Fault::Hang, "AWS was unavailable; the event will be tried again"),
        (Fault::Refused("AccessDeniedException"), "check the permission codepipeline:GetPipelineState"),
        (Fault::Refused("PipelineNotFoundException"), "check CODE_PIPELINE_NAME and BUILD_STAGE_NAME"),
    ] {
        let lab = Lab::new();
        lab.simulator.world().inject(fault::next("GetPipelineState", 99, fault.clone()));
        let error = lab.refused(sample_event("heartbeat")).await;
        assert!(error.contains(advice), "{fault:?}: {error}");
        assert_eq!(error.contains("check "), advice.contains("check "), "{fault:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn lambda_gets_the_kind_of_an_error() {
    let lab = Lab::new();
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 99, Fault::Throttled));
    let error = lab.try_send(sample_event("heartbeat")).await.unwrap_err();
    assert_eq!(error.error_type, "AwsCallError");

    // Reads do not show writes to the rules for an hour.
    let lab = Lab::new();
    lab.simulator.world().eventbridge.read_lag = Duration::from_hours(1);
    let error = lab.try_send(sample_event("code-deployed")).await.unwrap_err();
    assert_eq!(error.error_type, "DidNotConverge");
    assert!(error.error_message.contains("check whether somebody else"), "{}", error.error_message);

    // The list does not show an execution that has started and ended.
    let lab = Lab::new();
    lab.simulator.world().sagemaker.reused_token = ReusedToken::SameExecution;
    lab.send(sample_event("schedule")).await;
    let arn = lab.simulator.world().sagemaker.executions[0].arn.clone();
    lab.simulator.world().set_execution_status(&arn, "Succeeded");
    lab.simulator.world().sagemaker.list_lag = Duration::from_hours(1);
    let error = lab.try_send(sample_event("drift-alarm")).await.unwrap_err();
    assert_eq!(error.error_type, "ListLags");
}
