//! The job flow. A CodePipeline Lambda action gives the function a job, and waits until the job is answered.
//!
//! The answer to the first call for an action contains a continuation token. So does every further answer while the execution is
//! active. The token holds the execution's ARN. CodePipeline calls again, with the token, until an answer has none.
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html>

use std::time::SystemTime;

use crate::aws::{Accepted, CallError, JobResult};
use crate::flow::interlock::{converge, observe_or_release};
use crate::flow::observation::{distrust_the_list, failed_steps};
use crate::flow::retrain::{Ensured, finish, observe_and_ensure};
use crate::flow::{Error, Invocation, both, chain};
use crate::model::{Execution, ExecutionArn, ExecutionStatus, Job, Occurrence};
use crate::outcome::{Action, Outcome};
use crate::policy::action::{self, ContinuationToken, JobDecision, JobTerms};
use crate::policy::interlock::LookedUp;
use crate::policy::start::display_name;

/// Carries out a job, and answers it.
///
/// # Errors
/// [`Error`] if the job cannot be answered, if a guard cannot be read or set, or if a call fails and another try may help. What no
/// try can correct fails the action, not the invocation.
pub(crate) async fn handle(invocation: &Invocation<'_>, job: Job, outcome: &mut Outcome) -> Result<(), Error> {
    outcome.measures.is_later_call = job.continuation_token.is_some();
    let Invocation { config, aws, .. } = invocation;
    let terms = JobTerms {
        pipeline: aws.pipeline.name(),
        trigger: &config.deployment_trigger,
        parameters: &config.parameters,
        mode: config.mode,
    };
    match action::job_decision(&job, terms, aws.now()) {
        JobDecision::Start(occurrence) => start_or_find(invocation, &job.id, &occurrence, outcome).await,
        JobDecision::Wait(token) => {
            let reason = "a pipeline parameter needs the time of the first call: the next call starts the execution";
            wait(invocation, &job.id, token, Action::Deferred, reason.to_owned(), outcome).await
        }
        JobDecision::Find(occurrence, reason) => find_started(invocation, &job.id, &occurrence, reason, outcome).await,
        JobDecision::Continue { arn, unknown_since } => {
            continue_job(invocation, &job.id, arn, unknown_since, outcome).await
        }
        JobDecision::Impossible(reason) => refuse(invocation, &job.id, reason, outcome).await.map_err(Error::from),
    }
}

/// Starts an execution, and answers that the action has to wait for it. If the quota of executions is used up, the action has
/// to wait for the start.
async fn start_or_find(
    invocation: &Invocation<'_>,
    job_id: &str,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let (ensured, mut snapshot) = match observe_and_ensure(invocation, occurrence, outcome).await {
        Ok(observed) => observed,
        // Permanent errors fail the action immediately. Otherwise it would wait until its timeout.
        Err(error) if !error.is_retryable() => return Ok(refuse(invocation, job_id, chain(&error), outcome).await?),
        Err(error) => return Err(error),
    };
    let token = match &ensured {
        Ensured::Started(arn) | Ensured::StillAbsent(arn) | Ensured::Found(arn) => {
            ContinuationToken::Execution { arn: arn.clone(), unknown_since: None }
        }
        Ensured::Deferred | Ensured::Nothing => {
            ContinuationToken::NotStarted { first_job: occurrence.key.clone(), asked: occurrence.at }
        }
    };
    let accepted = invocation.aws.jobs.answer(job_id, JobResult::Continue { token: &token.text() }).await;
    // The execution is active, whether or not the answer was accepted.
    let finished = finish(invocation, occurrence, ensured, &mut snapshot, outcome).await;
    let (accepted, _) = both(accepted, finished)?;
    note_accepted(accepted, outcome);
    Ok(())
}

/// Reports on the execution that an earlier call started, as that call's answer may have been lost. `MODE` lets nothing start, so if
/// no execution is found, the action fails.
async fn find_started(
    invocation: &Invocation<'_>,
    job_id: &str,
    occurrence: &Occurrence,
    reason: String,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let name = display_name(occurrence);
    match invocation.aws.pipeline.list().await {
        Ok(executions) => match executions.into_iter().find(|e| e.display_name.as_deref() == Some(&name)) {
            Some(execution) => continue_job(invocation, job_id, execution.arn, None, outcome).await,
            None => refuse_and_reconcile(invocation, job_id, reason, outcome).await,
        },
        Err(error) if !error.is_retryable() => {
            let reason = format!("{reason}; {}", chain(&error));
            refuse_and_reconcile(invocation, job_id, reason, outcome).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Answers with the execution's status.
async fn continue_job(
    invocation: &Invocation<'_>,
    job_id: &str,
    arn: ExecutionArn,
    unknown_since: Option<SystemTime>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.execution_arn = Some(arn.as_str().to_owned());
    let execution = match find(invocation, &arn).await {
        Ok(Some(execution)) => execution,
        Ok(None) => {
            let now = invocation.aws.now();
            let since = unknown_since.unwrap_or(now);
            if !action::waits_for_unknown(since, now) {
                let arn = arn.as_str();
                let reason =
                    format!("SageMaker does not find {arn}: it was deleted or never ran. Run the action again");
                return refuse_and_reconcile(invocation, job_id, reason, outcome).await;
            }
            let reason = format!("SageMaker does not find execution {} yet", arn.id());
            let token = ContinuationToken::Execution { arn, unknown_since: Some(since) };
            return wait(invocation, job_id, token, Action::Continued, reason, outcome).await;
        }
        Err(error) if !error.is_retryable() => {
            return refuse_and_reconcile(invocation, job_id, chain(&error), outcome).await;
        }
        Err(error) => return Err(error.into()),
    };
    let (steps, warning) = failed_steps(invocation, execution.status.is_failure().then_some(&arn)).await;
    outcome.warnings.extend(warning);
    let message = action::failure_message(&execution, &steps);
    let execution_arn = arn.as_str();
    let (done, result, reason) = match (&execution.status, &message) {
        (ExecutionStatus::Active, _) => {
            let reason = format!("execution {} runs", arn.id());
            let token = ContinuationToken::Execution { arn, unknown_since: None };
            return wait(invocation, job_id, token, Action::Continued, reason, outcome).await;
        }
        (_, Some(message)) => (Action::Failed, JobResult::Failed { execution_arn, message }, message.clone()),
        (_, None) => {
            (Action::Succeeded, JobResult::Succeeded { execution_arn }, format!("execution {} succeeded", arn.id()))
        }
    };
    let accepted = invocation.aws.jobs.answer(job_id, result).await;
    if accepted.is_ok() {
        outcome.action = Some(done);
        outcome.reason = Some(reason);
    }
    // The execution event may be lost, so the end is reconciled here too, whether or not the answer was accepted.
    let ended = LookedUp::named(arn.clone(), execution.status);
    let (accepted, ()) = both(accepted, set_guards_after_end(invocation, &[ended], outcome).await)?;
    note_accepted(accepted, outcome);
    Ok(())
}

/// Sets the guards after the end of an execution.
async fn set_guards_after_end(
    invocation: &Invocation<'_>,
    ended: &[LookedUp],
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let mut snapshot = observe_or_release(invocation, ended, &[], outcome).await?;
    let distrusted = distrust_the_list(invocation, &mut snapshot, outcome).await;
    both(distrusted, converge(invocation, &mut snapshot, outcome).await).map(drop)
}

/// Answers that CodePipeline has to call again. It calls about every half minute, so nothing else is done.
async fn wait(
    invocation: &Invocation<'_>,
    job_id: &str,
    token: ContinuationToken,
    action: Action,
    reason: String,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let accepted = invocation.aws.jobs.answer(job_id, JobResult::Continue { token: &token.text() }).await?;
    outcome.action = Some(action);
    outcome.reason = Some(reason);
    note_accepted(accepted, outcome);
    Ok(())
}

/// The execution, or `None` if SageMaker finds the pipeline but not the execution.
async fn find(invocation: &Invocation<'_>, arn: &ExecutionArn) -> Result<Option<Execution>, CallError> {
    let pipeline = &invocation.aws.pipeline;
    match pipeline.describe(arn).await? {
        Some(execution) => Ok(Some(execution)),
        None => Ok(pipeline.list().await?.into_iter().find(|execution| execution.arn == *arn)),
    }
}

/// Fails the action.
async fn refuse(
    invocation: &Invocation<'_>,
    job_id: &str,
    reason: String,
    outcome: &mut Outcome,
) -> Result<(), CallError> {
    // Set first, so that the log shows it even if the answer fails.
    outcome.reason = Some(reason.clone());
    let accepted = invocation.aws.jobs.answer(job_id, JobResult::Refused { message: &reason }).await?;
    outcome.action = Some(Action::Failed);
    note_accepted(accepted, outcome);
    Ok(())
}

/// Fails the action whose execution cannot be read or does not exist, and sets the guards: the execution's event may be lost.
async fn refuse_and_reconcile(
    invocation: &Invocation<'_>,
    job_id: &str,
    reason: String,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let refused = refuse(invocation, job_id, reason, outcome).await;
    both(refused, set_guards_after_end(invocation, &[], outcome).await).map(drop)
}

fn note_accepted(accepted: Accepted, outcome: &mut Outcome) {
    if accepted == Accepted::NotInProgress {
        outcome.reason = Some("CodePipeline did not accept the answer: the job is not in progress any more".to_owned());
    }
}
