//! A CodePipeline action invokes the function and waits for the retraining to end.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::codepipeline::ActionState;
use simulator::nyctaxi::FIRST_EXECUTION_ARN;
use simulator::samples::sample_event;
use simulator::{Fault, fault};

use crate::common::{DEPLOYED_BY_ACTION, Lab};

const OUR_ARN: &str = r#"{"PipelineName": "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline"}"#;

impl Lab {
    /// Runs the action, and returns the event of its first job.
    fn action(&self, user_parameters: Option<&str>) -> Value {
        self.simulator.world().run_action(user_parameters).unwrap()
    }

    /// The event of the next job, which CodePipeline sends while the action waits.
    fn next_job(&self) -> Value {
        self.simulator.world().next_job().expect("the action was told to go on waiting")
    }

    fn action_state(&self) -> ActionState {
        self.simulator.world().codepipeline.actions.last().unwrap().state.clone()
    }

    #[track_caller]
    fn assert_action_failed(&self, kind: &str, message: &str) {
        match self.action_state() {
            ActionState::Failed(details) => {
                assert_eq!(details["type"], kind);
                assert!(details["message"].as_str().unwrap().contains(message), "{details}");
            }
            other => panic!("the action is {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_starts_a_retraining_and_waits_until_it_succeeds() {
    let lab = Lab::with_actions();
    let first = lab.action(None);
    let id = first["CodePipeline.job"]["id"].clone();
    let answer = lab.send(first).await;
    assert_eq!((&answer["event"], &answer["key"]), (&json!("codePipelineJob"), &id));
    assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("started"), &json!(FIRST_EXECUTION_ARN)));
    assert_eq!(lab.executions(), [format!("job-{}", id.as_str().unwrap())]);
    lab.assert_engaged();
    assert_eq!(lab.action_state(), ActionState::InProgress);

    let answer = lab.send(lab.next_job()).await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("continued"), &json!("execution ib87gnc408me runs")));
    assert_eq!(lab.action_state(), ActionState::InProgress);

    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    let answer = lab.send(lab.next_job()).await;
    assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("succeeded"), &json!(FIRST_EXECUTION_ARN)));
    assert_eq!(
        lab.action_state(),
        ActionState::Succeeded(json!({ "PipelineExecutionArn": FIRST_EXECUTION_ARN, "Status": "Succeeded" }))
    );
    // The execution event may be lost. So the job also releases the interlock if the execution has ended.
    lab.assert_released();
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_action_fails_with_the_execution_and_its_reason() {
    for (status, message) in [
        ("Failed", "execution ib87gnc408me is Failed: Step failure: One or multiple steps failed."),
        ("Stopped", "execution ib87gnc408me is Stopped: SageMaker returns no reason"),
        ("SomeWordOfTomorrow", "execution ib87gnc408me is SomeWordOfTomorrow"),
    ] {
        let lab = Lab::with_actions();
        lab.send(lab.action(None)).await;
        lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Stopping");
        assert_eq!(lab.send(lab.next_job()).await["action"], "continued");
        lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, status);
        let answer = lab.send(lab.next_job()).await;
        assert_eq!(answer["action"], "failed");
        assert!(answer["reason"].as_str().unwrap().contains(message), "{answer}");
        lab.assert_action_failed("JobFailed", message);
        let ActionState::Failed(details) = lab.action_state() else { unreachable!() };
        assert_eq!(details["externalExecutionId"], FIRST_EXECUTION_ARN);
        lab.assert_released();
    }
}

#[tokio::test(start_paused = true)]
async fn user_parameters_that_are_absent_empty_or_name_our_pipeline_start_it() {
    for parameters in [None, Some(""), Some("{}"), Some("{\"PipelineName\": \"NYCtaxi-Pipeline\"}"), Some(OUR_ARN)] {
        let lab = Lab::with_actions();
        assert_eq!(lab.send(lab.action(parameters)).await["action"], "started", "{parameters:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn user_parameters_that_can_never_be_served_fail_the_action() {
    for (parameters, message) in [
        ("nyctaxi-pipeline", "UserParameters are not JSON (line 1, column 2): leave them out, or write"),
        // CodePipeline put a commit's message into a variable.
        ("{\"Parameters\": {\"Source\": \"fix: the fare\n\nCo-authored-by: somebody\"}}", "use the commit's id"),
        ("{\"Parameters\": {\"Source\": \"fix \"the\" fare\"}}", "use the commit's id"),
        ("{\"PipelineName\": 7}", "leave them out, or write {\"PipelineName\": \"NAME\", "),
        ("{\"Pipeline\": \"nyctaxi-pipeline\"}", "UserParameters are not as expected"),
        ("{\"PipelineName\": \"fraud-pipeline\"}", "name another SageMaker pipeline than nyctaxi-pipeline"),
    ] {
        let lab = Lab::with_actions();
        let answer = lab.send(lab.action(Some(parameters))).await;
        assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("failed"), &Value::Null));
        assert!(answer["reason"].as_str().unwrap().contains(message), "{answer}");
        lab.assert_action_failed("ConfigurationError", message);
        assert!(lab.executions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_continuation_token_of_another_pipeline_fails_the_action() {
    for token in ["x", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud-pipeline/execution/abc"] {
        let lab = Lab::with_actions();
        let mut job = lab.action(None);
        job["CodePipeline.job"]["data"]["continuationToken"] = token.into();
        assert_eq!(lab.send(job).await["action"], "failed");
        lab.assert_action_failed(
            "ConfigurationError",
            "does not name an execution of SageMaker pipeline nyctaxi-pipeline",
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_delivered_again_while_its_execution_runs_starts_nothing() {
    let lab = Lab::with_actions();
    let job = lab.action(None);
    lab.send(job.clone()).await;
    let answer = lab.send(job.clone()).await;
    assert_eq!((&answer["action"], &answer["executionArn"]), (&json!("duplicate"), &json!(FIRST_EXECUTION_ARN)));
    assert_eq!(answer["reason"], "CodePipeline did not accept the answer: the job is not in progress any more");
    let (one, two) = tokio::join!(lab.send(job.clone()), lab.send(job));
    assert_eq!(one["executionArn"], two["executionArn"]);
    assert_eq!(lab.executions().len(), 1);
    assert_eq!(lab.action_state(), ActionState::InProgress);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_stopped_meanwhile_is_no_error() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    let next = lab.next_job();
    lab.simulator.world().codepipeline.actions[0].state = ActionState::Stopped;
    let answer = lab.send(next.clone()).await;
    assert_eq!(answer["reason"], "CodePipeline did not accept the answer: the job is not in progress any more");
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Failed");
    let answer = lab.send(next).await;
    assert_eq!(answer["action"], "failed");
    assert_eq!(answer["reason"], "CodePipeline did not accept the answer: the job is not in progress any more");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_no_retry_can_mend_fails_the_action() {
    for code in ["AccessDeniedException", "ValidationException", "ResourceNotFound"] {
        for operation in ["sagemaker:ListPipelineExecutions", "StartPipelineExecution"] {
            let lab = Lab::with_actions();
            lab.simulator.world().inject(fault::next(operation, 99, Fault::Refused(code)));
            let answer = lab.send(lab.action(None)).await;
            assert_eq!(answer["action"], "failed", "{operation} {code}");
            lab.assert_action_failed("ConfigurationError", code);
            lab.assert_action_failed("ConfigurationError", "SageMaker pipeline nyctaxi-pipeline");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_a_retry_can_mend_leaves_the_job_open_for_the_retry() {
    for fault in [Fault::Throttled, Fault::ErrorBefore, Fault::Hang] {
        for operation in ["sagemaker:ListPipelineExecutions", "StartPipelineExecution", "PutJobSuccessResult"] {
            let lab = Lab::with_actions();
            let job = lab.action(None);
            lab.simulator.world().inject(fault::next(operation, 9, fault.clone()));
            lab.refused(job.clone()).await;
            assert_eq!(lab.action_state(), ActionState::InProgress, "{operation} {fault:?}");
            assert!(lab.simulator.world().next_job().is_none());

            lab.simulator.world().heal();
            lab.send(job).await;
            assert_eq!(lab.executions().len(), 1);
            lab.assert_engaged();
            lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
            assert_eq!(lab.send(lab.next_job()).await["action"], "succeeded");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_given_again() {
    for operation in ["PutJobSuccessResult", "PutJobFailureResult"] {
        let lab = Lab::with_actions();
        lab.send(lab.action(None)).await;
        let end = if operation == "PutJobSuccessResult" { "Succeeded" } else { "Failed" };
        lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, end);
        lab.simulator.world().inject(fault::next(operation, 1, Fault::ResetAfter));
        lab.send(lab.next_job()).await;
        assert!(matches!(lab.action_state(), ActionState::Succeeded(_) | ActionState::Failed(_)), "{operation}");
        lab.assert_released();
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_fails_does_not_keep_the_action_from_its_answer() {
    let lab = Lab::with_actions();
    lab.simulator.world().inject(fault::next("DisableRule", 99, Fault::Refused("AccessDeniedException")));
    let job = lab.action(None);
    let error = lab.refused(job).await;
    assert!(error.contains("cannot disable rule"), "{error}");
    assert_eq!(lab.send(lab.next_job()).await["action"], "continued");
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_sagemaker_does_not_know_yet_is_waited_for() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(60);
    lab.simulator.world().sagemaker.describe_lag = Duration::from_secs(60);
    assert_eq!(lab.send(lab.next_job()).await["action"], "continued");
    tokio::time::advance(Duration::from_secs(60)).await;
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    lab.simulator.world().sagemaker.describe_lag = Duration::ZERO;
    assert_eq!(lab.send(lab.next_job()).await["action"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_gone_fails_the_action() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    lab.simulator.world().sagemaker.delete_pipeline("nyctaxi-pipeline");
    // The action gets its answer. The invocation fails, because an operator must see the error.
    let error = lab.refused(lab.next_job()).await;
    assert!(error.contains("check SAGEMAKER_PIPELINE_NAME"), "{error}");
    lab.assert_released();
    lab.assert_action_failed("ConfigurationError", "cannot list the executions of SageMaker pipeline nyctaxi-pipeline");
}

#[tokio::test(start_paused = true)]
async fn two_actions_get_an_execution_each() {
    let lab = Lab::with_actions();
    assert_eq!(lab.send(lab.action(None)).await["action"], "started");
    lab.next_job();
    assert_eq!(lab.send(lab.action(None)).await["action"], "started");
    assert_eq!(lab.executions().len(), 2);
}

/// While the action waits, CodePipeline sends a job about every 30 seconds. Each costs two calls.
#[tokio::test(start_paused = true)]
async fn asking_again_costs_two_calls() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    lab.take_calls();
    lab.send(lab.next_job()).await;
    assert_eq!(lab.take_calls(), ["DescribePipelineExecution", "PutJobSuccessResult"]);
}

/// The event contains credentials. The parsed event, the answers and the errors contain only the id from it.
/// `tests/lambda.rs` checks with the real binary that no log line contains more, even at TRACE.
#[tokio::test(start_paused = true)]
async fn the_credentials_of_a_job_reach_no_answer_and_no_error() {
    let spoiled = |pointer: &str, value: Value| {
        let mut event = sample_event("codepipeline-job");
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    let parameters = "/CodePipeline.job/data/actionConfiguration/configuration/UserParameters";
    let secret = "a-secret-of-the-user-parameters";
    let events = [
        sample_event("codepipeline-job"),
        sample_event("codepipeline-job-continued"),
        spoiled("/CodePipeline.job/id", Value::Null),
        spoiled("/CodePipeline.job/id", json!(["an-id-that-is-none"])),
        spoiled("/CodePipeline.job/data", json!("a-token-of-the-artifacts")),
        spoiled(parameters, secret.into()),
        spoiled(parameters, json!({ "PipelineName": secret })),
        spoiled(parameters, format!("{{\"PipelineName\": \"{secret}\"}}").into()),
        spoiled(parameters, format!("{{\"{secret}\": 1}}").into()),
    ];
    for event in events {
        for fault in [
            None,
            Some("sagemaker:ListPipelineExecutions"),
            Some("DescribePipelineExecution"),
            Some("PutJobFailureResult"),
        ] {
            let lab = Lab::with_actions();
            lab.simulator.world().force_state(&event);
            if let Some(operation) = fault {
                lab.simulator.world().inject(fault::next(operation, 9, Fault::Refused("AccessDeniedException")));
            }
            let answer = lab.try_send(event.clone()).await;
            let told = format!("{answer:?} {:?}", lab.simulator.world().calls);
            for secret in ["of-the-artifacts", "of-the-user-parameters"] {
                assert!(!told.contains(secret), "{secret} is in {told}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_samples_are_a_first_and_a_further_call() {
    let lab = Lab::with_actions();
    lab.simulator.world().force_state(&sample_event("codepipeline-job"));
    assert_eq!(lab.send(sample_event("codepipeline-job")).await["executionArn"], FIRST_EXECUTION_ARN);
    lab.simulator.world().force_state(&sample_event("codepipeline-job-continued"));
    assert_eq!(lab.send(sample_event("codepipeline-job-continued")).await["action"], "continued");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_for_good_fails_the_action_even_if_the_look_up_fails() {
    let lab = Lab::with_actions();
    crate::start::refuse_start_then_list(&lab);
    assert_eq!(lab.send(lab.action(None)).await["action"], "failed");
    lab.assert_action_failed("ConfigurationError", "cannot start SageMaker pipeline nyctaxi-pipeline");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_codepipeline_does_not_know_is_no_error() {
    // The second router refuses it.
    for lab in [Lab::with_actions(), Lab::new()] {
        let answer = lab.send(sample_event("codepipeline-job")).await;
        assert_eq!(answer["reason"], "CodePipeline did not accept the answer: the job is not in progress any more");
    }
}

#[tokio::test(start_paused = true)]
async fn the_guards_are_put_right_even_if_the_final_answer_cannot_be_given() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    lab.simulator.world().inject(fault::next("PutJobSuccessResult", 99, Fault::Throttled));
    let job = lab.next_job();
    let error = lab.refused(job.clone()).await;
    assert!(error.starts_with("cannot answer CodePipeline job"), "{error}");
    lab.assert_released();

    lab.simulator.world().heal();
    assert_eq!(lab.send(job).await["action"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_sagemaker_never_knows_fails_the_action_after_15_minutes() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    lab.simulator.world().sagemaker.executions.clear();
    for minute in 0..15 {
        assert_eq!(lab.send(lab.next_job()).await["action"], "continued", "minute {minute}");
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    assert_eq!(lab.send(lab.next_job()).await["action"], "failed");
    lab.assert_action_failed("ConfigurationError", "SageMaker does not find");
}

#[tokio::test(start_paused = true)]
async fn an_empty_continuation_token_is_none() {
    let lab = Lab::with_actions();
    let mut job = lab.action(None);
    job["CodePipeline.job"]["data"]["continuationToken"] = "".into();
    assert_eq!(lab.send(job).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn an_action_waits_while_sagemaker_is_at_its_limit_and_gets_one_execution_when_there_is_room() {
    let lab = Lab::with_actions();
    lab.simulator.world().sagemaker.limit = Some(0);
    let first = lab.action(None);
    let answer = lab.send(first.clone()).await;
    assert_eq!((&answer["action"], &answer["event"]), (&"deferred".into(), &"codePipelineJob".into()));
    assert_eq!(lab.take_metrics(), ["JobTriggers 1", "InterlockEngaged 0", "GuardsHeld 0"]);
    // The first job is delivered once more. It has its answer already.
    assert_eq!(
        lab.send(first.clone()).await["reason"],
        "CodePipeline did not accept the answer: the job is not in progress any more"
    );
    for _ in 0..3 {
        assert_eq!(lab.send(lab.next_job()).await["action"], "deferred");
        assert_eq!((lab.action_state(), lab.executions().len()), (ActionState::InProgress, 0));
    }
    lab.assert_released();

    lab.simulator.world().sagemaker.limit = None;
    lab.take_metrics();
    let job = lab.next_job();
    assert_eq!(lab.send(job.clone()).await["action"], "started");
    assert_eq!(
        lab.take_metrics(),
        ["Started 1", "InterlockEngaged 1", "GuardsHeld 0"],
        "the trigger was counted at the first call"
    );
    lab.assert_engaged();
    let id = first["CodePipeline.job"]["id"].as_str().unwrap();
    assert_eq!(lab.executions(), [format!("job-{id}")]);
    assert_eq!(lab.send(job).await["action"], "duplicate");
    assert_eq!(lab.send(first).await["action"], "duplicate");
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    assert_eq!(lab.send(lab.next_job()).await["action"], "succeeded");
    assert_eq!(lab.executions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_deployments_come_by_event_an_action_is_refused_before_anything_is_started() {
    for lab in [Lab::new(), Lab::with(&[("DEPLOYMENT_TRIGGER", "event")])] {
        assert_eq!(lab.send(lab.action(None)).await["action"], "failed");
        assert_eq!(lab.take_calls(), ["PutJobFailureResult"]);
        lab.assert_action_failed("ConfigurationError", "DEPLOYMENT_TRIGGER is event");
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_waited_when_deployments_changed_to_events_is_answered_truthfully() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    let by_event = lab.with_variables(&[]);
    assert_eq!(by_event.send(lab.next_job()).await["action"], "continued");
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    assert_eq!(by_event.send(lab.next_job()).await["action"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_be_set_does_not_hide_that_the_answer_failed() {
    let lab = Lab::with_actions();
    let job = lab.action(None);
    for operation in ["PutJobSuccessResult", "DisableRule"] {
        lab.simulator.world().inject(fault::next(operation, 99, Fault::Refused("AccessDeniedException")));
    }
    let error = lab.refused(job).await;
    for part in ["cannot answer CodePipeline job", "cannot disable rule"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_whose_execution_was_deleted_fails_and_the_guards_are_enabled() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    lab.assert_engaged();
    lab.simulator.world().sagemaker.executions.clear();
    assert_eq!(lab.send(lab.next_job()).await["action"], "continued");
    tokio::time::advance(Duration::from_mins(16)).await;
    assert_eq!(lab.send(lab.next_job()).await["action"], "failed");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn a_further_call_that_cannot_look_is_tried_again() {
    let lab = Lab::with_actions();
    let first = lab.action(None);
    lab.send(first).await;
    let further = lab.next_job();
    lab.simulator.world().inject(fault::next("DescribePipelineExecution", 99, Fault::Throttled));
    let error = lab.refused(further.clone()).await;
    assert!(error.contains("cannot describe"), "{error}");
    assert_eq!(lab.action_state(), ActionState::InProgress);
    lab.simulator.world().heal();
    assert_eq!(lab.send(further).await["action"], "continued");
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_only_the_list_knows_yet_is_the_one_that_is_answered_for() {
    let lab = Lab::with_actions();
    let first = lab.action(None);
    lab.send(first).await;
    let other = lab.simulator.world().start_execution(None);
    lab.simulator.world().set_execution_status(&other, "Failed");
    lab.simulator.world().sagemaker.describe_lag = Duration::from_hours(1);
    let answer = lab.send(lab.next_job()).await;
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("continued"), &json!("execution ib87gnc408me runs")));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_can_never_be_read_does_not_make_a_passing_error_final() {
    let lab = Lab::with_actions();
    let job = lab.action(None);
    lab.simulator.world().inject(fault::next("DescribeRule", 99, Fault::Refused("AccessDeniedException")));
    lab.simulator.world().inject(fault::next("sagemaker:ListPipelineExecutions", 3, Fault::Throttled));
    lab.refused(job.clone()).await;
    assert_eq!(lab.action_state(), ActionState::InProgress);
    lab.simulator.world().heal();
    assert_eq!(lab.send(job).await["action"], "started");
}

const PARAMETERS: (&str, &str) = ("PIPELINE_PARAMETERS", r#"{"Why": "{trigger}", "Epochs": "3"}"#);

#[tokio::test(start_paused = true)]
async fn an_actions_parameters_are_laid_over_the_configured_ones() {
    let lab = Lab::with(&[DEPLOYED_BY_ACTION, PARAMETERS]);
    lab.simulator.world().sagemaker.parameters = ["Why", "Epochs", "Commit"].map(str::to_owned).into();
    let parameters = r#"{"Parameters": {"Epochs": "7", "Commit": "fix {key} in the parser"}}"#;
    assert_eq!(lab.send(lab.action(Some(parameters))).await["action"], "started");
    let world = lab.simulator.world();
    let execution = &world.sagemaker.executions[0];
    assert_eq!(
        execution.parameters,
        json!([
            { "Name": "Commit", "Value": "fix {key} in the parser" },
            { "Name": "Epochs", "Value": "7" },
            { "Name": "Why", "Value": "CodePipeline" },
        ])
    );
    let description = execution.description.as_ref().unwrap();
    assert!(description.contains("an action of the CodePipeline asked, job 00000000-"), "{description}");
}

#[tokio::test(start_paused = true)]
async fn an_actions_parameters_that_can_never_be_sent_fail_the_action() {
    for (parameters, message) in [
        (r#"{"Parameters": {"In put": "x"}}"#.to_owned(), "a parameter's name"),
        (r#"{"Parameters": {"Epochs": 7}}"#.to_owned(), "UserParameters are not as expected"),
        (r#"{"Parameters": ["Epochs"]}"#.to_owned(), "UserParameters are not as expected"),
        (format!(r#"{{"Parameters": {{"Epochs": "{}"}}}}"#, "7".repeat(1025)), "longer than 1024 characters"),
        (r#"{"Parameters": {"Unknown": "x"}}"#.to_owned(), "[Unknown] is not defined in the pipeline"),
    ] {
        let lab = Lab::with_actions();
        assert_eq!(lab.send(lab.action(Some(&parameters))).await["action"], "failed");
        lab.assert_action_failed("ConfigurationError", message);
        assert!(lab.executions().is_empty());
    }
}

/// CodePipeline does not state when an action requested the retraining. Each try of a start must send the same time and token.
#[tokio::test(start_paused = true)]
async fn an_action_whose_time_is_a_parameter_is_started_at_its_second_call() {
    let lab = Lab::with(&[DEPLOYED_BY_ACTION, ("PIPELINE_PARAMETERS", r#"{"At": "{time}"}"#)]);
    lab.simulator.world().sagemaker.parameters = vec!["At".into()];
    let first = lab.action(None);
    let id = first["CodePipeline.job"]["id"].as_str().unwrap().to_owned();
    let answer = lab.send(first.clone()).await;
    assert_eq!(answer["action"], "deferred");
    assert!(answer["reason"].as_str().unwrap().contains("the next call starts"), "{answer}");
    assert_eq!(lab.take_calls(), ["PutJobSuccessResult"]);

    tokio::time::advance(Duration::from_secs(40)).await;
    // The first job is delivered once more. It starts nothing.
    assert_eq!(
        lab.send(first).await["reason"],
        "CodePipeline did not accept the answer: the job is not in progress any more"
    );
    lab.simulator.world().sagemaker.limit = Some(0);
    let second = lab.next_job();
    assert_eq!(lab.send(second.clone()).await["action"], "deferred");
    lab.simulator.world().sagemaker.limit = None;
    tokio::time::advance(Duration::from_secs(40)).await;
    assert_eq!(lab.send(lab.next_job()).await["action"], "started");
    assert_eq!(lab.executions(), [format!("job-{id}")]);
    let parameters = lab.simulator.world().sagemaker.executions[0].parameters.clone();
    assert_eq!(parameters, json!([{ "Name": "At", "Value": "2021-05-28T07:33:21Z" }]));
    // An action that gives the time itself does not wait.
    let own = lab.action(Some(r#"{"Parameters": {"At": "now"}}"#));
    assert_eq!(lab.send(own).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn where_the_build_retrains_by_itself_an_action_is_refused() {
    let lab = Lab::with(&[("DEPLOYMENT_TRIGGER", "none")]);
    assert_eq!(lab.send(lab.action(None)).await["action"], "failed");
    lab.assert_action_failed("ConfigurationError", "DEPLOYMENT_TRIGGER is none");
}

#[tokio::test(start_paused = true)]
async fn an_action_needs_no_guarded_codepipeline() {
    let lab = Lab::with(&[DEPLOYED_BY_ACTION, ("CODE_PIPELINE_NAME", ""), ("BUILD_STAGE_NAME", "")]);
    assert_eq!(lab.send(lab.action(None)).await["action"], "started");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_finds_the_end_releases_although_the_list_shows_another_execution_that_has_ended() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    let other = lab.simulator.world().start_execution(None);
    tokio::time::advance(Duration::from_secs(60)).await;
    lab.simulator.world().set_execution_status(FIRST_EXECUTION_ARN, "Succeeded");
    lab.simulator.world().set_execution_status(&other, "Succeeded");
    lab.simulator.world().sagemaker.list_lag = Duration::from_secs(30);
    assert_eq!(lab.send(lab.next_job()).await["action"], "succeeded");
    lab.assert_released();
}

#[tokio::test(start_paused = true)]
async fn the_actions_failure_names_the_failed_step() {
    let lab = Lab::with_actions();
    lab.send(lab.action(None)).await;
    let now = lab.simulator.world().now();
    lab.simulator.world().sagemaker.fail_step(FIRST_EXECUTION_ARN, "TrainModel", "CapacityError: no instance", now);
    let answer = lab.send(lab.next_job()).await;
    let reason = "execution ib87gnc408me is Failed: step TrainModel failed: CapacityError: no instance";
    assert_eq!((&answer["action"], &answer["reason"]), (&json!("failed"), &json!(reason)));
    assert!(format!("{:?}", lab.action_state()).contains(reason));
}
