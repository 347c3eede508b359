//! The reconcile flow: observe, compare, apply, observe again, until every guard is as the executions ask.

use std::time::Duration;

use crate::aws::{self, Aws, CallError, ObservedGuard, RuleArns};
use crate::config::Config;
use crate::model::{DesiredState, Execution, GuardRole, StatusHint};
use crate::outcome::{Action, GuardReport, Outcome};
use crate::policy;

/// What every flow of one invocation works with.
#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) config: &'a Config,
    pub(crate) aws: &'a Aws,
    pub(crate) rule_arns: Option<RuleArns>,
}

/// Why a flow failed. Lambda tries the event again; what was done so far is found and completed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Calls that failed. The guards that are not named are as they should be.
    #[error("{}", list(.0))]
    Calls(Vec<CallError>),
    #[error(
        "the guards did not converge in {} rounds: look for somebody else who enables and disables them",
        PAUSES.len()
    )]
    DidNotConverge,
    /// SageMaker answered a start with the execution of another occurrence that has ended: the list lags.
    #[error(
        "SageMaker returned {execution_arn}, which an earlier trigger started and which has ended: the list of executions lags; the event will be tried again"
    )]
    ListLags { execution_arn: String },
}

impl Error {
    /// Whether another try may help.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Calls(errors) => errors.iter().all(CallError::is_retryable),
            Self::DidNotConverge | Self::ListLags { .. } => true,
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::Calls(vec![error])
    }
}

fn list(errors: &[CallError]) -> String {
    let errors: Vec<String> = errors.iter().map(|error| chain(error)).collect();
    errors.join("; ")
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |line, source| format!("{line}: {source}"))
}

/// Executions and guards, observed together.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The newest executions, newest first.
    pub(crate) executions: Vec<Execution>,
    /// The execution that a hint names.
    pub(crate) named: Option<Execution>,
    pub(crate) guards: Vec<ObservedGuard>,
}

impl Snapshot {
    fn desired_state(&self) -> DesiredState {
        policy::desired_state(&self.executions, self.named.as_ref())
    }

    fn is_settled(&self) -> bool {
        let desired = self.desired_state();
        self.guards.iter().all(|guard| guard.is_settled(&desired))
    }
}

/// Puts the guards right, whatever the event says.
pub(crate) async fn reconcile(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.execution_arn = hint.map(|hint| hint.arn.as_str().to_owned());
    let snapshot = observe(invocation, hint, None, outcome).await?;
    // Only an event that reports the end counts: a late `Executing` event of a failed execution reports no failure.
    let reports_failure = hint.is_some_and(|hint| hint.status.is_failure());
    let failed = snapshot.named.as_ref().filter(|named| reports_failure && named.status.is_failure());
    outcome.retraining_failed = failed.is_some();
    let failure = failed.and_then(policy::failure_message);

    let snapshot = converge(invocation, hint, snapshot, outcome).await?;
    let (action, reason) = match snapshot.desired_state() {
        DesiredState::Engaged { execution_id } => (Action::Engaged, format!("execution {execution_id} runs")),
        DesiredState::Released => (Action::Released, "no execution runs".to_owned()),
    };
    let has_written = snapshot.guards.iter().any(|guard| guard.written);
    outcome.action = Some(if has_written { action } else { Action::Unchanged });
    outcome.reason = Some(match failure {
        Some(failure) => format!("{reason}; {failure}"),
        None => reason,
    });
    Ok(())
}

/// Reads the executions, the execution that `hint` names, and the guards, all at once. `before` is what this invocation observed
/// last. Lists may lag and an execution's own record is better, so the named execution is described too.
///
/// If the SageMaker pipeline does not exist any more, nothing can run: what this router disabled is enabled, and the error is
/// returned.
pub(crate) async fn observe(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    before: Option<&[ObservedGuard]>,
    outcome: &mut Outcome,
) -> Result<Snapshot, Error> {
    let pipeline = &invocation.aws.pipeline;
    let describe = async {
        match hint {
            Some(hint) => pipeline.describe(&hint.arn).await,
            None => Ok(None),
        }
    };
    let (listed, described, guards) = tokio::join!(pipeline.list(), describe, read_guards(invocation, before));
    report(&guards, outcome);
    let executions = match listed {
        Ok(executions) => executions,
        Err(missing) if missing.is_not_found() => return Err(release(invocation, guards, missing, outcome).await),
        Err(error) => return Err(error.into()),
    };
    let described = described?;
    let named = hint.map(|hint| policy::named_execution(hint, described, &executions));
    Ok(Snapshot { executions, named, guards })
}

async fn read_guards(invocation: &Invocation<'_>, before: Option<&[ObservedGuard]>) -> Vec<ObservedGuard> {
    aws::read_all(&invocation.aws.guards, invocation.rule_arns.as_ref(), before).await
}

fn report(guards: &[ObservedGuard], outcome: &mut Outcome) {
    let found = guards.iter().filter_map(|guard| Some((guard.role, &guard.found.as_ref().ok()?.state)));
    outcome.interlock = Some(GuardReport::new(found));
    outcome.has_unread_guard = guards.iter().any(|guard| guard.found.is_err());
}

/// Enables what this router disabled, as the pipeline is `missing`. Returns every error.
async fn release(
    invocation: &Invocation<'_>,
    mut guards: Vec<ObservedGuard>,
    missing: CallError,
    outcome: &mut Outcome,
) -> Error {
    let failures = aws::set_all(&invocation.aws.guards, &mut guards, &DesiredState::Released).await;
    if guards.iter().any(|guard| guard.written) {
        report(&read_guards(invocation, Some(&guards)).await, outcome);
    }
    Error::Calls(std::iter::once(missing).chain(failures.into_iter().map(|(_, error)| error)).collect())
}

/// How long to wait before a round is repeated: reads may lag behind writes. There are as many rounds.
const PAUSES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Sets the guards as the executions ask and observes again, until an observation finds nothing to set.
pub(crate) async fn converge(
    invocation: &Invocation<'_>,
    hint: Option<&StatusHint>,
    mut snapshot: Snapshot,
    outcome: &mut Outcome,
) -> Result<Snapshot, Error> {
    let mut failures = Vec::new();
    for pause in PAUSES {
        if snapshot.is_settled() {
            break;
        }
        let desired = snapshot.desired_state();
        failures = aws::set_all(&invocation.aws.guards, &mut snapshot.guards, &desired).await;
        snapshot = observe(invocation, hint, Some(&snapshot.guards), outcome).await?;
        if !snapshot.is_settled() {
            tokio::time::sleep(pause).await;
            snapshot = observe(invocation, hint, Some(&snapshot.guards), outcome).await?;
        }
    }
    let desired = snapshot.desired_state();
    let unsettled: Vec<GuardRole> =
        snapshot.guards.iter().filter(|guard| !guard.is_settled(&desired)).map(|guard| guard.role).collect();
    if unsettled.is_empty() && snapshot.guards.iter().all(|guard| guard.found.is_ok()) {
        return Ok(snapshot);
    }
    // Every guard that could not be set is named, and every one that could not be read.
    let mut errors: Vec<CallError> =
        failures.into_iter().filter(|(role, _)| unsettled.contains(role)).map(|(_, error)| error).collect();
    errors.extend(snapshot.guards.into_iter().filter_map(|guard| guard.found.err()));
    Err(if errors.is_empty() { Error::DidNotConverge } else { Error::Calls(errors) })
}
