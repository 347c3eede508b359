//! The interlock's flow: observe, compare, apply, observe again, until every guard has its desired state.
//!
//! With `MODE=dry-run` nothing is applied, and one observation is enough. With `MODE=drain` every guard is enabled, even while an
//! execution is active.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;

use crate::aws::{self, CallError, ObservedGuard};
use crate::flow::{Error, Fault, Invocation, both, chain};
use crate::model::{
    DesiredState, Execution, ExecutionArn, FailedStep, GuardRole, GuardState, Mode, StatusHint, TickTag,
};
use crate::outcome::{Action, GuardStates, Outcome};
use crate::policy::action::failure_message;
use crate::policy::interlock::{Named, active_execution, desired_state, named_execution};
use crate::policy::{Hold, Situation, training};

/// Executions and guards, observed together.
#[derive(Debug)]
pub(crate) struct Snapshot<'g> {
    pub(crate) mode: Mode,
    /// The newest executions, newest first.
    pub(crate) executions: Vec<Execution>,
    /// The executions that were looked at one by one, as their own records are better than the list's. Further observations do so too.
    pub(crate) hints: Vec<StatusHint>,
    /// What was found of them.
    pub(crate) named: Vec<Named>,
    pub(crate) guards: Vec<ObservedGuard<'g>>,
}

/// An observation that could not read the executions, so no decision is possible.
#[derive(Debug)]
pub(crate) struct Unobserved<'g> {
    pub(crate) error: Error,
    pub(crate) guards: Vec<ObservedGuard<'g>>,
}

impl From<Unobserved<'_>> for Error {
    fn from(unobserved: Unobserved<'_>) -> Self {
        unobserved.error.and(Self::of_guards(read_errors(unobserved.guards)))
    }
}

/// Why guards could not be read.
fn read_errors(guards: Vec<ObservedGuard<'_>>) -> impl Iterator<Item = CallError> {
    guards.into_iter().filter_map(ObservedGuard::into_read_error)
}

impl Snapshot<'_> {
    pub(crate) fn desired_state(&self) -> DesiredState {
        desired_state(self.mode, &self.executions, &self.named)
    }

    /// Replaces the list's record of an execution by its own.
    pub(crate) fn correct(&mut self, record: Execution) {
        self.hints.push(StatusHint { arn: record.arn.clone(), status: record.status.clone() });
        self.executions
            .iter_mut()
            .filter(|listed| listed.arn == record.arn)
            .for_each(|listed| *listed = record.clone());
        self.named.push(Named { execution: record, is_found: true });
    }

    /// Replaces the list by a newer one. Records that are better than the list's stay.
    pub(crate) fn replace_list(&mut self, executions: Vec<Execution>) {
        let named = |listed: &Execution| self.named.iter().find(|named| named.execution.arn == listed.arn);
        let better = |listed: Execution| named(&listed).map(|named| named.execution.clone()).unwrap_or(listed);
        self.executions = executions.into_iter().map(better).collect();
    }

    /// Whether SageMaker finds an execution that a hint names.
    pub(crate) fn finds(&self, arn: &ExecutionArn) -> bool {
        self.named.iter().any(|named| named.is_found && named.execution.arn == *arn)
    }

    /// Names every guard that could not be read, of which there is at least one. Takes the guards, as the flow ends.
    pub(crate) fn take_read_error(&mut self) -> Error {
        Error(read_errors(std::mem::take(&mut self.guards)).map(Fault::Guard).collect())
    }

    fn is_read(&self) -> bool {
        self.guards.iter().all(|guard| guard.state().is_some())
    }

    fn is_settled(&self) -> bool {
        let desired = self.desired_state();
        self.guards.iter().all(|guard| guard.is_settled(&desired))
    }

    /// The input of decisions about starts.
    pub(crate) fn situation<'s>(&'s self, invocation: &'s Invocation<'_>) -> Situation<'s> {
        let hold = |role| match self.guards.iter().find(|guard| guard.role() == role).map(ObservedGuard::state) {
            Some(Some(GuardState::DisabledByOther)) => Hold::Yes,
            Some(Some(_)) | None => Hold::No,
            Some(None) => Hold::Unknown,
        };
        let config = invocation.config;
        Situation {
            mode: self.mode,
            heartbeat_starts: config.heartbeat_starts(),
            deployments_wait: config.deployment_trigger.waits(),
            catch_up_per_day: config.catch_up_per_day,
            pipeline: invocation.aws.pipeline.name(),
            parameters: &config.parameters,
            executions: &self.executions,
            schedule_rule: hold(GuardRole::ScheduleRule),
            drift_rule: hold(GuardRole::DriftRule),
            has_unread_guard: !self.is_read(),
            drift_cooldown: config.drift_cooldown,
            now: invocation.aws.now(),
        }
    }
}

/// Sets the guards after an execution event. The event is only a hint.
pub(crate) async fn reconcile(
    invocation: &Invocation<'_>,
    hint: &StatusHint,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.execution_arn = Some(hint.arn.as_str().to_owned());
    // Only an event that reports the end counts: a late `Executing` event of a failed execution reports no failure.
    let reports_failure = hint.status.is_failure();
    let steps = async {
        match reports_failure {
            true => failed_steps(invocation, &hint.arn).await,
            false => (vec![], None),
        }
    };
    // Steps that are slow to read do not delay the guards.
    let (set, (steps, warning)) = tokio::join!(set_guards(invocation, hint, outcome), steps);
    let (named, result) = set?;
    let failed = named.iter().map(|named| &named.execution).find(|named| named.status.is_failure());
    if let Some(failure) = failed.filter(|_| reports_failure).and_then(|failed| failure_message(failed, &steps)) {
        outcome.add_reason(&failure);
    }
    outcome.warnings.extend(warning);
    result
}

/// Observes, and sets the guards. Returns what was found of the execution that the hint names, and whether the guards are as they
/// should be.
async fn set_guards(
    invocation: &Invocation<'_>,
    hint: &StatusHint,
    outcome: &mut Outcome,
) -> Result<(Vec<Named>, Result<(), Error>), Error> {
    let mut snapshot = observe(invocation, vec![hint.clone()], &[], outcome).await?;
    let named = snapshot.named.clone();
    let distrusted = match hint.status.is_active() {
        true => Ok(()),
        false => distrust_the_list(invocation, &mut snapshot, outcome).await,
    };
    let converged = converge_and_answer(invocation, &mut snapshot, outcome).await;
    Ok((named, both(distrusted, converged).map(drop)))
}

/// The failed steps of an execution. If not all of them can be read, a warning says why, and the failure is reported without them.
pub(crate) async fn failed_steps(invocation: &Invocation<'_>, arn: &ExecutionArn) -> (Vec<FailedStep>, Option<String>) {
    let (steps, failure) = invocation.aws.pipeline.failed_steps(arn).await;
    (steps, failure.map(|failure| format!("not all failed steps are named: {}", chain(&failure))))
}

/// How many executions that only the list shows as active are described.
pub(crate) const MOST_DISTRUSTED: usize = 5;

/// An execution ended, and the list shows another one as active. Lists lag, and no event may follow that enables the guards again. So
/// that execution is described before the guards stay disabled for it.
///
/// # Errors
/// If the description cannot be read, and another try may help. Otherwise the list counts.
pub(crate) async fn distrust_the_list(
    invocation: &Invocation<'_>,
    snapshot: &mut Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<(), CallError> {
    for _ in 0..MOST_DISTRUSTED {
        let active = active_execution(&snapshot.executions, &snapshot.named);
        let Some(active) = active.filter(|active| !snapshot.finds(&active.arn)) else { break };
        match invocation.aws.pipeline.describe(&active.arn).await {
            Ok(Some(described)) => {
                snapshot.correct(described);
                note_result(snapshot, outcome);
            }
            Err(error) if error.is_retryable() => return Err(error),
            Ok(None) | Err(_) => break,
        }
    }
    Ok(())
}

/// Sets the guards, given a first observation, and answers what was done. Returns whether a guard was set, or would have been in a dry
/// run.
pub(crate) async fn converge_and_answer<'a>(
    invocation: &Invocation<'a>,
    snapshot: &mut Snapshot<'a>,
    outcome: &mut Outcome,
) -> Result<bool, Error> {
    converge(invocation, snapshot, outcome).await?;
    let (action, reason) = match snapshot.desired_state() {
        DesiredState::Engaged { execution_id } => (Action::Engaged, format!("execution {execution_id} runs")),
        DesiredState::Released if snapshot.mode == Mode::Drain => {
            (Action::Released, "MODE is drain: every guard that this router disabled is enabled".to_owned())
        }
        DesiredState::Released => (Action::Released, "no execution runs".to_owned()),
    };
    // A dry run writes nothing, so a guard that is not as it should be stays so.
    let has_changed = snapshot.guards.iter().any(|guard| guard.is_written) || !snapshot.is_settled();
    outcome.action = Some(if has_changed { action } else { Action::Unchanged });
    outcome.reason = Some(reason);
    Ok(has_changed)
}

/// Enables what this router has disabled and removes the tag of its owed tick, even while an execution is active (`MODE=drain`).
/// Returns whether it enabled anything.
pub(crate) async fn drain(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<bool, Error> {
    let mut snapshot = observe(invocation, vec![], &[], outcome).await?;
    // The tag is removed even if a guard cannot be set. A tick that keeps it would be started when the router is active again.
    let forgotten = match aws::schedule_rule(&snapshot.guards) {
        Some((rule, found)) if matches!(found.tick_tag, Some(TickTag::Since(_) | TickTag::Unreadable)) => {
            rule.forget_tick(&found.arn).await
        }
        _ => Ok(()),
    };
    let converged = converge_and_answer(invocation, &mut snapshot, outcome).await;
    both(forgotten, converged).map(|((), has_changed)| has_changed)
}

/// Reads the executions, those that `hints` name, and the guards, all at once. `before` is what this invocation observed last. Lists
/// may lag, so the named executions are also described: their own records are better.
///
/// If the SageMaker pipeline does not exist any more, nothing can run: what this router disabled is enabled, and the error is
/// returned. A router that drains needs no list, and enables what it disabled even if the named execution cannot be described.
pub(crate) async fn observe<'a>(
    invocation: &Invocation<'a>,
    hints: Vec<StatusHint>,
    before: &[ObservedGuard<'_>],
    outcome: &mut Outcome,
) -> Result<Snapshot<'a>, Unobserved<'a>> {
    let (pipeline, mode) = (&invocation.aws.pipeline, invocation.config.mode);
    let list = async {
        match mode {
            Mode::Active | Mode::DryRun => pipeline.list().await,
            Mode::Drain => Ok(vec![]),
        }
    };
    let describe = try_join_all(hints.iter().map(|hint| pipeline.describe(&hint.arn)));
    let (listed, described, guards) = tokio::join!(list, describe, read_guards(invocation, before));
    note_states(&guards, outcome);
    match both(listed, described) {
        Ok((executions, described)) => {
            let described = hints.iter().zip(described);
            let named = described.map(|(hint, described)| named_execution(hint, described, &executions));
            let named = named.collect();
            let snapshot = Snapshot { mode, executions, hints, named, guards };
            note_result(&snapshot, outcome);
            Ok(snapshot)
        }
        Err(error) if mode == Mode::Drain || error.is_not_found() => {
            Err(release(invocation, error, guards, outcome).await)
        }
        Err(error) => Err(Unobserved { error, guards }),
    }
}

pub(crate) async fn read_guards<'a>(
    invocation: &Invocation<'a>,
    before: &[ObservedGuard<'_>],
) -> Vec<ObservedGuard<'a>> {
    aws::read_all(&invocation.aws.guards, invocation.rule_arns.as_ref(), before).await
}

/// Notes whether the newest retraining failed. A router that drains does not read the list.
fn note_result(snapshot: &Snapshot<'_>, outcome: &mut Outcome) {
    if snapshot.mode != Mode::Drain {
        outcome.retraining_failing = training::is_failing(&snapshot.executions, &snapshot.named);
    }
}

fn note_states(guards: &[ObservedGuard<'_>], outcome: &mut Outcome) {
    outcome.interlock = Some(GuardStates::new(guards.iter().filter_map(|guard| Some((guard.role(), guard.state()?)))));
    outcome.has_unread_guard = guards.iter().any(|guard| guard.state().is_none());
}

/// Enables once what this router disabled. The executions could not be read: `error` says why.
async fn release<'a>(
    invocation: &Invocation<'a>,
    error: Error,
    mut guards: Vec<ObservedGuard<'a>>,
    outcome: &mut Outcome,
) -> Unobserved<'a> {
    if invocation.config.mode == Mode::DryRun {
        return Unobserved { error, guards };
    }
    let failures = aws::set_all(&mut guards, &DesiredState::Released).await;
    if guards.iter().any(|guard| guard.is_written) {
        guards = read_guards(invocation, &guards).await;
        note_states(&guards, outcome);
    }
    let error = error.and(Error::of_guards(failures.into_iter().map(|(_, failure)| failure)));
    Unobserved { error, guards }
}

/// How long each round waits before it observes again, as reads may lag behind writes. There are as many rounds.
const PAUSES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Sets the guards as the executions require and observes again, until an observation finds nothing to set. A dry run only checks
/// that every guard could be read.
///
/// # Errors
/// [`Error`] names every guard that could not be read or set. If there is none, the guards did not converge.
pub(crate) async fn converge<'a>(
    invocation: &Invocation<'a>,
    snapshot: &mut Snapshot<'a>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    if snapshot.mode == Mode::DryRun {
        return if snapshot.is_read() { Ok(()) } else { Err(snapshot.take_read_error()) };
    }
    // The newest failure of each guard.
    let mut failures: BTreeMap<GuardRole, CallError> = BTreeMap::new();
    for pause in PAUSES {
        if snapshot.is_settled() {
            break;
        }
        let desired = snapshot.desired_state();
        failures.extend(aws::set_all(&mut snapshot.guards, &desired).await);
        *snapshot = match observe_until_current(invocation, snapshot, pause, outcome).await {
            Ok(snapshot) => snapshot,
            // It is unknown which guards are as they should be, so every failure is named.
            Err(unobserved) => return Err(Error::from(unobserved).and(Error::of_guards(failures.into_values()))),
        };
    }
    let desired = snapshot.desired_state();
    let unsettled: Vec<GuardRole> =
        snapshot.guards.iter().filter(|guard| !guard.is_settled(&desired)).map(ObservedGuard::role).collect();
    if unsettled.is_empty() && snapshot.is_read() {
        return Ok(());
    }
    // Every guard that could not be set is named, and every one that could not be read.
    let failures = failures.into_iter().filter(|(role, _)| unsettled.contains(role)).map(|(_, error)| error);
    let error = Error::of_guards(failures.chain(read_errors(std::mem::take(&mut snapshot.guards))));
    Err(error.unwrap_or_else(|| Fault::DidNotConverge { rounds: PAUSES.len() }.into()))
}

/// Observes. If there is still something to set, waits for `pause` and observes again: reads may lag behind writes.
async fn observe_until_current<'a>(
    invocation: &Invocation<'a>,
    before: &Snapshot<'_>,
    pause: Duration,
    outcome: &mut Outcome,
) -> Result<Snapshot<'a>, Unobserved<'a>> {
    let snapshot = observe(invocation, before.hints.clone(), &before.guards, outcome).await?;
    if snapshot.is_settled() {
        return Ok(snapshot);
    }
    tokio::time::sleep(pause).await;
    observe(invocation, snapshot.hints, &snapshot.guards, outcome).await
}
