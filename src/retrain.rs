//! The retrain flow: make sure that an occurrence has its execution, and that the interlock is engaged while it is active.

use std::time::Duration;

use crate::aws::{self, CallError, ObservedGuard};
use crate::model::{
    DesiredState, ExecutionArn, ExecutionStatus, GuardState, Memory, Mode, Occurrence, OwedTag, StatusHint,
};
use crate::outcome::{Action, Outcome};
use crate::policy::{self, Asker, Listed, NoStart, OwedWrite, StartDecision};
use crate::reconcile::{Error, Fault, Invocation, Snapshot, both, converge, observe};

/// Starts or finds the execution of an occurrence that an event reports, and engages the interlock.
///
/// # Errors
/// [`Error`] if the start fails, if the executions or a guard cannot be read, or if a guard cannot be set.
pub(crate) async fn retrain(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let ensured = observe_and_ensure(invocation, occurrence, outcome).await?;
    let is_deferred = outcome.action == Some(Action::Deferred);
    let snapshot = finish_start(invocation, occurrence, ensured, outcome).await?;
    match (occurrence.memory, occurrence.at) {
        // An earlier try may have noted that the tick is owed. The tick is answered now.
        (Memory::OwedTag, Some(at)) if !is_deferred => forget_tick(invocation, &snapshot, &OwedTag::Since(at)).await,
        _ => Ok(()),
    }
}

/// As [`retrain`], for a deployment that needs CodePipeline's list first.
///
/// # Errors
/// As [`retrain`]; also if the list cannot be read, or does not show yet when the deployment succeeded.
pub(crate) async fn retrain_listed(
    invocation: &Invocation<'_>,
    occurrence: Occurrence,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let executions = match &invocation.aws.deployments {
        Some(deployments) => deployments.list().await?,
        // This does not happen: the list is needed only if deployments come by event, and then `deployments` is set.
        None => vec![],
    };
    match policy::listed_deployment(occurrence, &executions, &invocation.config.parameters) {
        Listed::Deployment(occurrence) => retrain(invocation, &occurrence, outcome).await,
        Listed::Rollback(reason) => {
            outcome.ignore(reason);
            Ok(())
        }
        Listed::Lags => Err(Fault::DeploymentListLags.into()),
    }
}

/// Whether an occurrence has its execution, and what was observed.
#[derive(Debug)]
pub(crate) struct Ensured {
    pub(crate) start: Start,
    /// The newest observation. The guards may have been set since.
    pub(crate) snapshot: Snapshot,
}

/// Whether an occurrence has its execution.
#[derive(Debug)]
pub(crate) enum Start {
    /// It was started.
    Started(ExecutionArn),
    /// It was found.
    Found(ExecutionArn),
    /// There is none, and the outcome says why.
    None,
}

/// Observes, and finds the occurrence's execution or starts it.
///
/// # Errors
/// [`Error`] if the executions cannot be read, or as [`ensure_execution`].
pub(crate) async fn observe_and_ensure(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<Ensured, Error> {
    match observe(invocation, None, None, outcome).await {
        Ok(snapshot) => ensure_execution(invocation, occurrence, Asker::Event, snapshot, outcome).await,
        Err(unobserved) => {
            let remembered = match unobserved.error.is_retryable() {
                true => remember_tick(invocation, occurrence, &unobserved.guards).await.err(),
                false => None,
            };
            Err(Error::from(unobserved).with(remembered))
        }
    }
}

/// Finds the occurrence's execution, or starts it.
///
/// # Errors
/// [`Error`] if the start fails, or if the rule of the occurrence could not be read.
pub(crate) async fn ensure_execution(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    asker: Asker,
    mut snapshot: Snapshot,
    outcome: &mut Outcome,
) -> Result<Ensured, Error> {
    let request = match policy::decide_start(occurrence, asker, &snapshot.situation(invocation)) {
        StartDecision::Start(request) => request,
        StartDecision::RuleUnread => return Err(snapshot.unread()),
        StartDecision::NoStart(why) => return Ok(Ensured { start: report(why, outcome), snapshot }),
    };
    if snapshot.mode == Mode::DryRun {
        outcome.action = Some(Action::Started);
        outcome.reason = Some(format!("MODE is dry-run: the router would have started {}", request.display_name));
        return Ok(Ensured { start: Start::None, snapshot });
    }
    let pipeline = &invocation.aws.pipeline;
    let refused = match pipeline.start(&request).await {
        Ok(arn) => {
            outcome.action = Some(Action::Started);
            outcome.execution_arn = Some(arn.as_str().to_owned());
            // The status event may be late or lost, so the interlock is engaged at once. `converge` repeats what fails here.
            let engaged = DesiredState::Engaged { execution_id: arn.id().to_owned() };
            aws::set_all(&invocation.aws.guards, &mut snapshot.guards, &engaged).await;
            return Ok(Ensured { start: Start::Started(arn), snapshot });
        }
        Err(refused) => refused,
    };
    // Another router may have started it, or the start was carried out and only its answer was lost.
    if let Ok(executions) = pipeline.list().await {
        let looked_up = Snapshot { executions, ..snapshot };
        if let StartDecision::NoStart(why) = policy::decide_start(occurrence, asker, &looked_up.situation(invocation)) {
            return Ok(Ensured { start: report(why, outcome), snapshot: looked_up });
        }
        snapshot = looked_up;
    }
    if refused.is_limit() {
        return defer(invocation, occurrence, refused, snapshot, outcome).await;
    }
    let remembered = match refused.is_retryable() {
        true => remember_tick(invocation, occurrence, &snapshot.guards).await.err(),
        false => None,
    };
    Err(Error::from(refused).with(remembered))
}

/// SageMaker is at its limit of executions. If something finds the occurrence again, the start waits for that. Otherwise it fails.
async fn defer(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    refused: CallError,
    snapshot: Snapshot,
    outcome: &mut Outcome,
) -> Result<Ensured, Error> {
    let is_remembered = policy::is_remembered(occurrence, &snapshot.situation(invocation))
        && match remember_tick(invocation, occurrence, &snapshot.guards).await {
            Ok(remembered) => remembered,
            Err(error) => return Err(Error::from(refused).with([error])),
        };
    if !is_remembered {
        return Err(refused.into());
    }
    outcome.action = Some(Action::Deferred);
    outcome.reason = Some("the account runs as many pipeline executions as its quota allows".to_owned());
    Ok(Ensured { start: Start::None, snapshot })
}

/// Notes on the schedule rule that its tick is owed. Returns whether it is noted; `true` for an occurrence that needs no note.
async fn remember_tick(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    guards: &[ObservedGuard],
) -> Result<bool, CallError> {
    let (Memory::OwedTag, Some(at)) = (occurrence.memory, occurrence.at) else { return Ok(true) };
    if invocation.config.mode != Mode::Active {
        return Ok(false);
    }
    let Some((rule, found)) = aws::schedule_rule(&invocation.aws.guards, guards) else { return Ok(false) };
    if found.state == GuardState::DisabledByOther {
        return Ok(false);
    }
    match policy::owed_write(found.owed.as_ref(), at) {
        OwedWrite::Write => rule.note_owed(&found.resource, at).await.map(|()| true),
        OwedWrite::Keep => Ok(true),
        OwedWrite::Foreign => Ok(false),
    }
}

/// Removes the tag of an owed tick from the schedule rule. Does nothing if the newest observation found another tag than `tag`
/// there: it is of a later tick, from another invocation.
///
/// # Errors
/// [`Error`] if the tag cannot be removed.
pub(crate) async fn forget_tick(invocation: &Invocation<'_>, snapshot: &Snapshot, tag: &OwedTag) -> Result<(), Error> {
    match aws::schedule_rule(&invocation.aws.guards, &snapshot.guards) {
        Some((rule, found)) if found.owed.as_ref() == Some(tag) && snapshot.mode == Mode::Active => {
            Ok(rule.forget_owed(&found.resource).await?)
        }
        _ => Ok(()),
    }
}

fn report(why: NoStart, outcome: &mut Outcome) -> Start {
    let mut found = |arn: ExecutionArn, action| {
        outcome.execution_arn = Some(arn.as_str().to_owned());
        outcome.action = Some(action);
        Start::Found(arn)
    };
    match why {
        NoStart::Duplicate(arn) => found(arn, Action::Duplicate),
        NoStart::AlreadyRunning(arn) => found(arn, Action::AlreadyRunning),
        NoStart::AlreadyServed(arn) => found(arn, Action::AlreadyServed),
        NoStart::CoolingDown { after, left } => {
            let reason = format!(
                "{} was started a short while ago: drift starts nothing for another {}",
                after.id(),
                whole_seconds(left)
            );
            found(after, Action::CoolingDown);
            outcome.reason = Some(reason);
            Start::None
        }
        NoStart::Held => {
            outcome.action = Some(Action::Held);
            outcome.reason = Some("somebody else disabled the rule of this trigger".to_owned());
            Start::None
        }
        NoStart::Expired => {
            outcome.action = Some(Action::Ignored);
            outcome.reason =
                Some("it is older than 7 days plus the cooldown, so a heartbeat does not start it".to_owned());
            Start::None
        }
    }
}

/// A duration for people: `23h 59m 30s`.
pub(crate) fn whole_seconds(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

/// Engages the interlock while the execution is active, and checks that a started execution is the occurrence's own. Returns the
/// newest observation.
///
/// # Errors
/// [`Error`] as [`converge`], or if SageMaker returned the ended execution of another occurrence.
pub(crate) async fn finish_start(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    ensured: Ensured,
    outcome: &mut Outcome,
) -> Result<Snapshot, Error> {
    let Ensured { start, snapshot } = ensured;
    let Start::Started(arn) = start else { return converge(invocation, None, snapshot, outcome).await };
    let hint = StatusHint { arn: arn.clone(), status: ExecutionStatus::Active };
    let snapshot = observe(invocation, Some(&hint), Some(&snapshot.guards), outcome).await?;
    // For a token that was used before, SageMaker may return the execution that the token started.
    let other = snapshot.named.as_ref().filter(|named| policy::is_of_another_occurrence(named, occurrence));
    let list_lags = match other {
        Some(other) if other.status.is_active() => {
            outcome.action = Some(Action::AlreadyRunning);
            Ok(())
        }
        Some(_) => {
            outcome.action = None;
            Err(Fault::ListLags { execution_arn: arn.as_str().to_owned() })
        }
        None => Ok(()),
    };
    let converged = converge(invocation, Some(&hint), snapshot, outcome).await;
    both(list_lags, converged).map(|((), snapshot)| snapshot)
}
