//! One observation: the newest executions and the guards, read at once. Nothing is written here.

use futures_util::future::try_join_all;

use crate::aws::{self, CallError, ObservedGuard, Pipeline};
use crate::flow::{Error, Fault, Invocation, both, chain};
use crate::model::{DesiredState, Execution, ExecutionArn, FailedStep, GuardRole, GuardState, Mode};
use crate::outcome::{GuardStates, Outcome};
use crate::policy::interlock::{LookedUp, active_execution, corrected, desired_state, look_up};
use crate::policy::{Hold, Situation, training};

/// Executions and guards, observed together.
#[derive(Debug)]
pub(crate) struct Snapshot<'g> {
    pub(crate) mode: Mode,
    /// The newest executions, newest first.
    pub(crate) executions: Vec<Execution>,
    /// The executions that were looked up one by one. Their records are in `executions` too, if the list has them.
    pub(crate) looked_up: Vec<LookedUp>,
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
pub(crate) fn read_errors(guards: Vec<ObservedGuard<'_>>) -> impl Iterator<Item = CallError> {
    guards.into_iter().filter_map(ObservedGuard::into_read_error)
}

impl Snapshot<'_> {
    pub(crate) fn desired_state(&self) -> DesiredState {
        desired_state(self.mode, &self.executions, &self.looked_up)
    }

    /// Replaces the list's record of an execution by its own.
    fn correct(&mut self, record: Execution) {
        self.looked_up.retain(|looked_up| looked_up.execution.arn != record.arn);
        self.looked_up.push(LookedUp { execution: record, is_found: true });
        let executions = std::mem::take(&mut self.executions);
        self.replace_list(executions);
    }

    /// Replaces the list by a newer one. Records that are better than the list's stay.
    pub(crate) fn replace_list(&mut self, executions: Vec<Execution>) {
        self.executions = corrected(executions, &self.looked_up);
    }

    /// Whether SageMaker finds an execution that was looked up.
    pub(crate) fn finds(&self, arn: &ExecutionArn) -> bool {
        self.looked_up.iter().any(|looked_up| looked_up.is_found && looked_up.execution.arn == *arn)
    }

    /// Names every guard that could not be read, of which there is at least one. Takes the guards, as the flow ends.
    pub(crate) fn take_read_error(&mut self) -> Error {
        Error(read_errors(std::mem::take(&mut self.guards)).map(Fault::Guard).collect())
    }

    pub(crate) fn is_read(&self) -> bool {
        self.guards.iter().all(|guard| guard.state().is_some())
    }

    pub(crate) fn is_settled(&self) -> bool {
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

/// Reads the executions and the guards, all at once. Also looks up the executions of `looked_up`, as lists may lag. `before` are the
/// guards as this invocation observed them last. A router that drains needs no list.
pub(crate) async fn observe<'a>(
    invocation: &Invocation<'a>,
    looked_up: &[LookedUp],
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
    let describe = try_join_all(looked_up.iter().map(|looked_up| describe(pipeline, looked_up)));
    let (listed, described, guards) = tokio::join!(list, describe, read_guards(invocation, before));
    note_states(&guards, outcome);
    match both(listed, described) {
        Ok((listed, described)) => {
            let described = looked_up.iter().zip(described);
            let looked_up: Vec<_> = described.map(|(before, described)| look_up(before, described, &listed)).collect();
            let executions = corrected(listed, &looked_up);
            let snapshot = Snapshot { mode, executions, looked_up, guards };
            note_result(&snapshot, outcome);
            Ok(snapshot)
        }
        Err(error) => Err(Unobserved { error, guards }),
    }
}

/// The execution's own description. If SageMaker found the execution before, that record still counts when the call fails.
async fn describe(pipeline: &Pipeline, before: &LookedUp) -> Result<Option<Execution>, CallError> {
    match pipeline.describe(&before.execution.arn).await {
        Err(_) if before.is_found => Ok(Some(before.execution.clone())),
        described => described,
    }
}

pub(crate) async fn read_guards<'a>(
    invocation: &Invocation<'a>,
    before: &[ObservedGuard<'_>],
) -> Vec<ObservedGuard<'a>> {
    aws::read_all(&invocation.aws.guards, invocation.function.as_ref(), before).await
}

/// Notes whether the newest retraining failed. A router that drains does not read the list.
fn note_result(snapshot: &Snapshot<'_>, outcome: &mut Outcome) {
    if snapshot.mode != Mode::Drain {
        outcome.measures.retraining_failing = training::is_failing(&snapshot.executions, &snapshot.looked_up);
    }
}

pub(crate) fn note_states(guards: &[ObservedGuard<'_>], outcome: &mut Outcome) {
    outcome.interlock = Some(GuardStates::new(guards.iter().filter_map(|guard| Some((guard.role(), guard.state()?)))));
    outcome.measures.has_unread_guard = guards.iter().any(|guard| guard.state().is_none());
}

/// How many executions that only the list shows as active are described.
const MOST_DISTRUSTED: usize = 5;

/// Lists lag. Before guards stay disabled for an execution that only the list shows as active, or before an occurrence is refused for it,
/// that execution is described: no event may follow that enables the guards again, or that finds the occurrence again.
///
/// # Errors
/// If the description cannot be read, and another try may help. Otherwise the list counts.
pub(crate) async fn distrust_the_list(
    invocation: &Invocation<'_>,
    snapshot: &mut Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<(), CallError> {
    for _ in 0..MOST_DISTRUSTED {
        let active = active_execution(&snapshot.executions, &snapshot.looked_up);
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

/// The failed steps of an execution, if `failed` names one. If not all of them can be read, a warning says why, and the failure is
/// reported without them.
pub(crate) async fn failed_steps(
    invocation: &Invocation<'_>,
    failed: Option<&ExecutionArn>,
) -> (Vec<FailedStep>, Option<String>) {
    let Some(arn) = failed else { return (vec![], None) };
    let (steps, failure) = invocation.aws.pipeline.failed_steps(arn).await;
    (steps, failure.map(|failure| format!("not all failed steps are named: {}", chain(&failure))))
}
