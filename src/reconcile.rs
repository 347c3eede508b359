//! The reconcile flow: observe, compare, apply, observe again, until every guard has its desired state.
//!
//! With `MODE=dry-run` nothing is applied, and one observation is enough. With `MODE=drain` every guard is enabled, even while an
//! execution is active.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::{self, Aws, CallError, ObservedGuard, RuleArns};
use crate::config::Config;
use crate::model::{DesiredState, Execution, GuardRole, GuardState, Mode, OwedTag, StatusHint};
use crate::outcome::{Action, GuardReport, Outcome};
use crate::policy::{self, Hold, Situation};

/// What every flow of one invocation uses.
#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) config: &'a Config,
    pub(crate) aws: &'a Aws,
    /// `None` if the function's ARN does not name an account and a Region.
    pub(crate) rule_arns: Option<RuleArns>,
}

/// Why a flow failed: all faults. Lambda tries the event again, and that try completes what was done so far.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.0))]
pub(crate) struct Error(Vec<Fault>);

/// One fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Call(CallError),
    /// A guard that could not be read or set.
    #[error(transparent)]
    Guard(CallError),
    #[error(
        "the guards did not converge in {} rounds: check whether somebody else enables and disables them",
        PAUSES.len()
    )]
    DidNotConverge,
    /// For a start, SageMaker returned an execution of another occurrence, and that execution has ended: the list lags.
    #[error(
        "SageMaker returned {execution_arn}, which an earlier trigger started and which has ended: the list of executions lags; the event will be tried again"
    )]
    ListLags { execution_arn: String },
    #[error(
        "CodePipeline's list does not show yet when the execution succeeded, and a pipeline parameter needs that time; the event will be tried again"
    )]
    DeploymentListLags,
}

impl Error {
    /// Whether another try may help.
    pub(crate) fn is_retryable(&self) -> bool {
        self.0.iter().all(|fault| match fault {
            Fault::Call(error) => error.is_retryable(),
            // A guard's fault does not concern a start.
            Fault::Guard(_) | Fault::DidNotConverge | Fault::ListLags { .. } | Fault::DeploymentListLags => true,
        })
    }

    /// Whether a call found that its resource does not exist.
    fn is_not_found(&self) -> bool {
        self.0.iter().any(|fault| matches!(fault, Fault::Call(call) if call.is_not_found()))
    }

    /// The name of the first fault, as Lambda reports it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.0.first() {
            Some(Fault::DidNotConverge) => "DidNotConverge",
            Some(Fault::ListLags { .. } | Fault::DeploymentListLags) => "ListLags",
            Some(Fault::Call(_) | Fault::Guard(_)) | None => "AwsCallError",
        }
    }

    /// Turns calls that failed into a result.
    ///
    /// # Errors
    /// [`Error`] that names these calls, unless there are none.
    pub(crate) fn unless_empty(calls: Vec<CallError>) -> Result<(), Self> {
        if calls.is_empty() { Ok(()) } else { Err(Self(vec![]).with(calls)) }
    }

    /// The error, with further calls that failed.
    pub(crate) fn with(mut self, calls: impl IntoIterator<Item = CallError>) -> Self {
        self.0.extend(calls.into_iter().map(Fault::Call));
        self
    }

    /// The error, with guards that could not be read or set.
    fn with_guards(mut self, guards: impl IntoIterator<Item = CallError>) -> Self {
        self.0.extend(guards.into_iter().map(Fault::Guard));
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Fault::Call(error).into()
    }
}

/// Joins two results into one.
///
/// # Errors
/// [`Error`] with the faults of both, if either failed.
pub(crate) fn both<T, U>(
    one: Result<T, impl Into<Error>>,
    other: Result<U, impl Into<Error>>,
) -> Result<(T, U), Error> {
    match (one.map_err(Into::into), other.map_err(Into::into)) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Error(mut faults)), Err(Error(more))) => {
            faults.extend(more);
            Err(Error(faults))
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

fn list(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(|fault| chain(fault)).collect();
    faults.join("; ")
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |line, source| format!("{line}: {source}"))
}

/// Executions and guards, observed together.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) mode: Mode,
    /// The newest executions, newest first.
    pub(crate) executions: Vec<Execution>,
    /// The execution that a hint names.
    pub(crate) named: Option<Execution>,
    pub(crate) guards: Vec<ObservedGuard>,
}

/// An observation that could not read the executions, so no decision is possible.
#[derive(Debug)]
pub(crate) struct Unobserved {
    pub(crate) error: Error,
    pub(crate) guards: Vec<ObservedGuard>,
}

impl From<Unobserved> for Error {
    fn from(unobserved: Unobserved) -> Self {
        unobserved.error.with_guards(unread(unobserved.guards))
    }
}

/// Why guards could not be read.
fn unread(guards: Vec<ObservedGuard>) -> impl Iterator<Item = CallError> {
    guards.into_iter().filter_map(|guard| guard.found.err())
}

impl Snapshot {
    pub(crate) fn desired_state(&self) -> DesiredState {
        policy::desired_state(self.mode, &self.executions, self.named.as_ref())
    }

    /// An error that names every guard that could not be read.
    pub(crate) fn unread(self) -> Error {
        Error(vec![]).with_guards(unread(self.guards))
    }

    fn is_settled(&self) -> bool {
        let desired = self.desired_state();
        self.guards.iter().all(|guard| guard.is_settled(&desired))
    }

    /// The input of decisions about starts.
    pub(crate) fn situation<'s>(&'s self, invocation: &'s Invocation<'_>) -> Situation<'s> {
        let hold = |role| match self.guards.iter().find(|guard| guard.role == role).map(|guard| &guard.found) {
            Some(Ok(found)) if found.state == GuardState::DisabledByOther => Hold::Yes,
            Some(Ok(_)) | None => Hold::No,
            Some(Err(_)) => Hold::Unknown,
        };
        Situation {
            pipeline: invocation.aws.pipeline.name(),
            parameters: &invocation.config.parameters,
            executions: &self.executions,
            schedule_rule: hold(GuardRole::ScheduleRule),
            drift_rule: hold(GuardRole::DriftRule),
            drift_cooldown: invocation.config.drift_cooldown,
            now: invocation.aws.now(),
        }
    }
}

/// Sets the guards after a status event. The event is only a hint.
///
/// # Errors
/// [`Error`] if the executions or a guard cannot be read, or a guard cannot be set.
pub(crate) async fn reconcile(
    invocation: &Invocation<'_>,
    hint: &StatusHint,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.execution_arn = Some(hint.arn.as_str().to_owned());
    let snapshot = observe(invocation, Some(hint), None, outcome).await?;
    // Only an event that reports the end counts: a late `Executing` event of a failed execution reports no failure.
    let reports_failure = hint.status.is_failure();
    let failed = snapshot.named.as_ref().filter(|named| reports_failure && named.status.is_failure());
    outcome.retraining_failed = failed.is_some();
    let failure = failed.and_then(policy::failure_message);
    converge_and_report(invocation, Some(hint), snapshot, outcome).await?;
    if let Some(failure) = failure {
        outcome.add_reason(&failure);
    }
    Ok(())
}

/// Sets the guards, given a first observation, and reports what was done.
///
/// # Errors
/// As [`converge`].
pub(crate) async fn converge_and_report(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    snapshot: Snapshot,
    outcome: &mut Outcome,
) -> Result<Snapshot, Error> {
    let snapshot = converge(invocation, hint, snapshot, outcome).await?;
    let (action, reason) = match snapshot.desired_state() {
        DesiredState::Engaged { execution_id } => (Action::Engaged, format!("execution {execution_id} runs")),
        DesiredState::Released if snapshot.mode == Mode::Drain => {
            (Action::Released, "MODE is drain: every guard that this router disabled is enabled".to_owned())
        }
        DesiredState::Released => (Action::Released, "no execution runs".to_owned()),
    };
    // A dry run writes nothing, so a guard that is not as it should be stays so.
    let changes = snapshot.guards.iter().any(|guard| guard.written) || !snapshot.is_settled();
    outcome.action = Some(if changes { action } else { Action::Unchanged });
    outcome.reason = Some(reason);
    Ok(snapshot)
}

/// Enables what this router has disabled and removes the tag of its owed tick, even while an execution is active (`MODE=drain`).
///
/// # Errors
/// [`Error`] if a guard cannot be read or set, or the tag cannot be removed.
pub(crate) async fn drain(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<(), Error> {
    let snapshot = observe(invocation, None, None, outcome).await?;
    // The tag is removed even if a guard cannot be set. A tick that keeps it would be started when the router is active again.
    let forgotten = match aws::schedule_rule(&invocation.aws.guards, &snapshot.guards) {
        Some((rule, found)) if matches!(found.owed, Some(OwedTag::Since(_) | OwedTag::Unreadable)) => {
            rule.forget_owed(&found.resource).await
        }
        _ => Ok(()),
    };
    both(forgotten, converge_and_report(invocation, None, snapshot, outcome).await).map(drop)
}

/// Reads the executions, the execution that `hint` names, and the guards, all at once. `before` is what this invocation observed
/// last. Lists may lag, so the named execution is also described: its own record is better.
///
/// If the SageMaker pipeline does not exist any more, nothing can run: what this router disabled is enabled, and the error is
/// returned. A router that drains needs no list, and enables what it disabled even if the named execution cannot be described.
///
/// # Errors
/// [`Unobserved`], with the observed guards, if the executions or the named execution cannot be read.
pub(crate) async fn observe(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    before: Option<&[ObservedGuard]>,
    outcome: &mut Outcome,
) -> Result<Snapshot, Unobserved> {
    let (pipeline, mode) = (&invocation.aws.pipeline, invocation.config.mode);
    let list = async {
        match mode {
            Mode::Active | Mode::DryRun => pipeline.list().await,
            Mode::Drain => Ok(vec![]),
        }
    };
    let describe = async {
        match hint {
            Some(hint) => pipeline.describe(&hint.arn).await,
            None => Ok(None),
        }
    };
    let (listed, described, guards) = tokio::join!(list, describe, read_guards(invocation, before));
    report(&guards, outcome);
    match both(listed, described) {
        Ok((executions, described)) => {
            let named = hint.map(|hint| policy::named_execution(hint, described, &executions));
            Ok(Snapshot { mode, executions, named, guards })
        }
        Err(error) if mode == Mode::Drain || error.is_not_found() => {
            Err(release(invocation, error, guards, outcome).await)
        }
        Err(error) => Err(Unobserved { error, guards }),
    }
}

async fn read_guards(invocation: &Invocation<'_>, before: Option<&[ObservedGuard]>) -> Vec<ObservedGuard> {
    aws::read_all(&invocation.aws.guards, invocation.rule_arns.as_ref(), before).await
}

fn report(guards: &[ObservedGuard], outcome: &mut Outcome) {
    let found = guards.iter().filter_map(|guard| Some((guard.role, &guard.found.as_ref().ok()?.state)));
    outcome.interlock = Some(GuardReport::new(found));
    outcome.has_unread_guard = guards.iter().any(|guard| guard.found.is_err());
}

/// Enables once what this router disabled. The executions could not be read: `error` says why.
async fn release(
    invocation: &Invocation<'_>,
    error: Error,
    mut guards: Vec<ObservedGuard>,
    outcome: &mut Outcome,
) -> Unobserved {
    if invocation.config.mode == Mode::DryRun {
        return Unobserved { error, guards };
    }
    let failures = aws::set_all(&invocation.aws.guards, &mut guards, &DesiredState::Released).await;
    if guards.iter().any(|guard| guard.written) {
        guards = read_guards(invocation, Some(&guards)).await;
        report(&guards, outcome);
    }
    Unobserved { error: error.with_guards(failures.into_iter().map(|(_, failure)| failure)), guards }
}

/// How long each round waits before it observes again, as reads may lag behind writes. There are as many rounds.
const PAUSES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Sets the guards as the executions require and observes again, until an observation finds nothing to set. A dry run only checks
/// that every guard could be read.
///
/// # Errors
/// [`Error`] if the executions or a guard cannot be read, if a guard cannot be set, or if the guards do not converge.
pub(crate) async fn converge(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    mut snapshot: Snapshot,
    outcome: &mut Outcome,
) -> Result<Snapshot, Error> {
    if snapshot.mode == Mode::DryRun {
        let is_read = snapshot.guards.iter().all(|guard| guard.found.is_ok());
        return if is_read { Ok(snapshot) } else { Err(snapshot.unread()) };
    }
    // The newest failure of each guard.
    let mut failures: BTreeMap<GuardRole, CallError> = BTreeMap::new();
    for pause in PAUSES {
        if snapshot.is_settled() {
            break;
        }
        let desired = snapshot.desired_state();
        failures.extend(aws::set_all(&invocation.aws.guards, &mut snapshot.guards, &desired).await);
        snapshot = match observe_until_current(invocation, hint, &snapshot, pause, outcome).await {
            Ok(snapshot) => snapshot,
            // It is unknown which guards are as they should be, so every failure is named.
            Err(unobserved) => return Err(Error::from(unobserved).with_guards(failures.into_values())),
        };
    }
    let desired = snapshot.desired_state();
    let unsettled: Vec<GuardRole> =
        snapshot.guards.iter().filter(|guard| !guard.is_settled(&desired)).map(|guard| guard.role).collect();
    if unsettled.is_empty() && snapshot.guards.iter().all(|guard| guard.found.is_ok()) {
        return Ok(snapshot);
    }
    // Every guard that could not be set is named, and every one that could not be read.
    let failures = failures.into_iter().filter(|(role, _)| unsettled.contains(role)).map(|(_, error)| error);
    let error = Error(vec![]).with_guards(failures.chain(unread(snapshot.guards)));
    Err(if error.0.is_empty() { Fault::DidNotConverge.into() } else { error })
}

/// Observes. If there is still something to set, waits for `pause` and observes again: reads may lag behind writes.
async fn observe_until_current(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    before: &Snapshot,
    pause: Duration,
    outcome: &mut Outcome,
) -> Result<Snapshot, Unobserved> {
    let snapshot = observe(invocation, hint, Some(&before.guards), outcome).await?;
    if snapshot.is_settled() {
        return Ok(snapshot);
    }
    tokio::time::sleep(pause).await;
    observe(invocation, hint, Some(&snapshot.guards), outcome).await
}
