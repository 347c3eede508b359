//! The interlock's flow: observe, compare, apply, observe again, until every guard has its desired state.
//!
//! With `MODE=dry-run` nothing is applied, and one observation is enough. With `MODE=drain` every guard is enabled, even while an
//! execution is active.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::aws::{self, CallError, ObservedGuard};
use crate::flow::observation::{
    Snapshot, Unobserved, distrust_the_list, failed_steps, note_states, observe, read_errors, read_guards,
};
use crate::flow::{Error, Fault, Invocation, both};
use crate::model::{DesiredState, Execution, GuardRole, Mode, StatusHint, TickTag};
use crate::outcome::{Action, Outcome};
use crate::policy::action::failure_message;
use crate::policy::interlock::LookedUp;

/// Sets the guards after an execution event. The event is only a hint.
pub(crate) async fn reconcile(
    invocation: &Invocation<'_>,
    hint: &StatusHint,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.execution_arn = Some(hint.arn.as_str().to_owned());
    // Only an event that reports the end counts: a late `Executing` event of a failed execution reports no failure.
    let reported = hint.status.is_failure().then_some(&hint.arn);
    // Steps that are slow to read do not delay the guards.
    let (set, (steps, warning)) =
        tokio::join!(set_guards(invocation, hint, outcome), failed_steps(invocation, reported));
    let (found, result) = set?;
    let failed = found.filter(|found| reported.is_some() && found.status.is_failure());
    if let Some(failure) = failed.and_then(|failed| failure_message(&failed, &steps)) {
        outcome.add_reason(&failure);
    }
    outcome.warnings.extend(warning);
    result
}

/// Observes, and sets the guards. Returns the best record of the execution that the hint names, and whether the guards are as they
/// should be.
async fn set_guards(
    invocation: &Invocation<'_>,
    hint: &StatusHint,
    outcome: &mut Outcome,
) -> Result<(Option<Execution>, Result<(), Error>), Error> {
    let named = LookedUp::named(hint.arn.clone(), hint.status.clone());
    let mut snapshot = observe_or_release(invocation, &[named], &[], outcome).await?;
    let found = snapshot.looked_up.first().map(|looked_up| looked_up.execution.clone());
    let distrusted = match hint.status.is_active() {
        true => Ok(()),
        false => distrust_the_list(invocation, &mut snapshot, outcome).await,
    };
    let converged = converge_and_answer(invocation, &mut snapshot, outcome).await;
    Ok((found, both(distrusted, converged).map(drop)))
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
    // A heartbeat may observe twice, and what it did first is not undone.
    let is_done = has_changed || outcome.action == Some(action);
    outcome.action = Some(if is_done { action } else { Action::Unchanged });
    outcome.reason = Some(reason);
    Ok(has_changed)
}

/// Enables what this router has disabled and removes the tag of its owed tick, even while an execution is active (`MODE=drain`).
/// Returns whether it enabled anything.
pub(crate) async fn drain(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<bool, Error> {
    let mut snapshot = observe_or_release(invocation, &[], &[], outcome).await?;
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

/// Observes. If the SageMaker pipeline does not exist any more, nothing can run: what this router disabled is enabled, and the error is
/// returned. A router that drains enables it even if an execution cannot be looked up.
pub(crate) async fn observe_or_release<'a>(
    invocation: &Invocation<'a>,
    looked_up: &[LookedUp],
    before: &[ObservedGuard<'_>],
    outcome: &mut Outcome,
) -> Result<Snapshot<'a>, Unobserved<'a>> {
    match observe(invocation, looked_up, before, outcome).await {
        Err(Unobserved { error, guards }) if invocation.config.mode == Mode::Drain || error.is_not_found() => {
            Err(release(invocation, error, guards, outcome).await)
        }
        observed => observed,
    }
}

/// As [`observe_or_release`], after an earlier observation of this invocation.
pub(crate) async fn observe_again<'a>(
    invocation: &Invocation<'a>,
    before: &Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<Snapshot<'a>, Unobserved<'a>> {
    observe_or_release(invocation, &before.looked_up, &before.guards, outcome).await
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
        *snapshot = match observe_after_writes(invocation, snapshot, pause, outcome).await {
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
async fn observe_after_writes<'a>(
    invocation: &Invocation<'a>,
    before: &Snapshot<'_>,
    pause: Duration,
    outcome: &mut Outcome,
) -> Result<Snapshot<'a>, Unobserved<'a>> {
    let snapshot = observe_again(invocation, before, outcome).await?;
    if snapshot.is_settled() {
        return Ok(snapshot);
    }
    tokio::time::sleep(pause).await;
    observe_again(invocation, &snapshot, outcome).await
}
