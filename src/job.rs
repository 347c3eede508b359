//! The job flow: a CodePipeline Lambda action waits until the job that it gave the function is answered.
//!
//! The first call for an action is answered with a continuation token, and so is every further call while the execution is active.
//! The token holds the execution's ARN. CodePipeline calls again, with the token, until an answer has none.
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html>

use crate::aws::{Accepted, CallError, JobResult};
use crate::model::{Execution, ExecutionArn, ExecutionStatus, Job, Occurrence, StatusHint, Trigger};
use crate::outcome::{Action, Outcome};
use crate::policy::{self, ContinuationToken, JobRequest};
use crate::reconcile::{Error, Invocation, chain, converge, observe};
use crate::retrain::{ensure_execution, finish_start};

/// Carries out what a job asks for, and answers it.
pub(crate) async fn handle(invocation: &Invocation<'_>, job: Job, outcome: &mut Outcome) -> Result<(), Error> {
    match policy::job_request(&job.call, invocation.aws.pipeline.name()) {
        JobRequest::Start => start(invocation, job.id, outcome).await,
        JobRequest::Continue(token) => continue_job(invocation, &job.id, token, outcome).await,
        JobRequest::Impossible(reason) => refuse(invocation, &job.id, reason, outcome).await,
    }
}

/// Starts an execution, and answers that the action has to wait for it.
async fn start(invocation: &Invocation<'_>, job_id: String, outcome: &mut Outcome) -> Result<(), Error> {
    let occurrence = Occurrence { trigger: Trigger::Job, key: job_id };
    let job_id = &occurrence.key;
    let started = match ensure_execution(invocation, &occurrence, outcome).await {
        Ok(started) => started,
        // Permanent errors fail the action immediately. It would wait until its timeout.
        Err(error) if !error.is_retryable() => return refuse(invocation, job_id, chain(&error), outcome).await,
        Err(error) => return Err(error),
    };
    let token = ContinuationToken { arn: started.arn().clone(), unknown_since: None }.text();
    let accepted = invocation.aws.jobs.answer(job_id, JobResult::Continue { token: &token }).await;
    // The execution is active, whether or not the answer was accepted.
    finish_start(invocation, &occurrence, started, outcome).await?;
    note_accepted(accepted?, outcome);
    Ok(())
}

/// Answers how far the execution is.
async fn continue_job(
    invocation: &Invocation<'_>,
    job_id: &str,
    token: ContinuationToken,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let arn = token.arn;
    outcome.execution_arn = Some(arn.as_str().to_owned());
    let execution = match find(invocation, &arn).await {
        Ok(Some(execution)) => execution,
        Ok(None) => {
            let now = invocation.aws.now();
            let since = token.unknown_since.unwrap_or(now);
            if !policy::waits_for_unknown(since, now) {
                let reason = format!("SageMaker does not know {}: it was deleted", arn.as_str());
                return refuse(invocation, job_id, reason, outcome).await;
            }
            let reason = format!("SageMaker does not know execution {} yet", arn.id());
            return wait(invocation, job_id, ContinuationToken { arn, unknown_since: Some(since) }, reason, outcome)
                .await;
        }
        Err(error) if !error.is_retryable() => return refuse(invocation, job_id, chain(&error), outcome).await,
        Err(error) => return Err(error.into()),
    };
    let message = policy::failure_message(&execution);
    let execution_arn = arn.as_str();
    let (action, result, reason) = match (&execution.status, &message) {
        (ExecutionStatus::Active, _) => {
            let reason = format!("execution {} runs", arn.id());
            return wait(invocation, job_id, ContinuationToken { arn, unknown_since: None }, reason, outcome).await;
        }
        (_, Some(message)) => (Action::Failed, JobResult::Failed { execution_arn, message }, message.clone()),
        (_, None) => {
            (Action::Succeeded, JobResult::Succeeded { execution_arn }, format!("execution {} succeeded", arn.id()))
        }
    };
    let accepted = invocation.aws.jobs.answer(job_id, result).await;
    if accepted.is_ok() {
        outcome.action = Some(action);
        outcome.reason = Some(reason);
    }
    // The status event may be lost, so the end is reconciled here too, whether or not the answer was accepted.
    let hint = StatusHint { arn: arn.clone(), status: execution.status };
    let snapshot = observe(invocation, Some(&hint), None, outcome).await?;
    converge(invocation, Some(&hint), snapshot, outcome).await?;
    note_accepted(accepted?, outcome);
    Ok(())
}

/// Answers that CodePipeline has to ask again. It asks about every half minute, so nothing else is done.
async fn wait(
    invocation: &Invocation<'_>,
    job_id: &str,
    token: ContinuationToken,
    reason: String,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let accepted = invocation.aws.jobs.answer(job_id, JobResult::Continue { token: &token.text() }).await?;
    outcome.action = Some(Action::Continued);
    outcome.reason = Some(reason);
    note_accepted(accepted, outcome);
    Ok(())
}

/// The execution, or `None` if SageMaker does not know it but does know the pipeline.
async fn find(invocation: &Invocation<'_>, arn: &ExecutionArn) -> Result<Option<Execution>, CallError> {
    let pipeline = &invocation.aws.pipeline;
    match pipeline.describe(arn).await? {
        Some(execution) => Ok(Some(execution)),
        None => Ok(pipeline.list().await?.into_iter().find(|execution| execution.arn == *arn)),
    }
}

/// Fails the action.
async fn refuse(invocation: &Invocation<'_>, job_id: &str, reason: String, outcome: &mut Outcome) -> Result<(), Error> {
    // Set first, so that the log shows it even if the answer fails.
    outcome.reason = Some(reason.clone());
    let accepted = invocation.aws.jobs.answer(job_id, JobResult::Refused { message: &reason }).await?;
    outcome.action = Some(Action::Failed);
    note_accepted(accepted, outcome);
    Ok(())
}

fn note_accepted(accepted: Accepted, outcome: &mut Outcome) {
    if accepted == Accepted::NotInProgress {
        outcome.reason = Some("the job is not in progress any more".to_owned());
    }
}
