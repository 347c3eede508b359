//! What every guard should be, and whether a guard has to be set.

use crate::model::{DesiredState, Execution, ExecutionArn, ExecutionStatus, GuardState, Mode};

/// An execution that is looked up by its ARN, as lists may lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LookedUp {
    pub(crate) execution: Execution,
    /// Whether SageMaker finds it. If not, only an event, or the answer to a start, says that there is one.
    pub(crate) is_found: bool,
}

impl LookedUp {
    /// An execution that an event or a start names, before it is looked up.
    pub(crate) fn named(arn: ExecutionArn, status: ExecutionStatus) -> Self {
        Self { execution: Execution { arn, status, display_name: None, started: None }, is_found: false }
    }
}

/// The best record of an execution. Its own description comes first. The list comes second. What was known before counts only if
/// SageMaker does not find the execution (yet).
pub(crate) fn look_up(before: &LookedUp, described: Option<Execution>, listed: &[Execution]) -> LookedUp {
    let found = described.or_else(|| listed.iter().find(|listed| listed.arn == before.execution.arn).cloned());
    let is_found = found.is_some();
    LookedUp { execution: found.unwrap_or_else(|| before.execution.clone()), is_found }
}

/// The list, in which the records that were looked up replace its own. The ARNs stay as the list spells them, as tokens are made of them.
pub(crate) fn corrected(mut executions: Vec<Execution>, looked_up: &[LookedUp]) -> Vec<Execution> {
    for LookedUp { execution: record, .. } in looked_up.iter().filter(|looked_up| looked_up.is_found) {
        for listed in executions.iter_mut().filter(|listed| listed.arn == record.arn) {
            *listed = Execution { arn: listed.arn.clone(), ..record.clone() };
        }
    }
    executions
}

/// What every guard should be. A router that drains enables everything, even while an execution is active.
pub(crate) fn desired_state(mode: Mode, executions: &[Execution], looked_up: &[LookedUp]) -> DesiredState {
    match active_execution(executions, looked_up) {
        Some(active) if mode != Mode::Drain => DesiredState::Engaged { execution_id: active.arn.id().to_owned() },
        Some(_) | None => DesiredState::Released,
    }
}

/// The newest active execution. `executions` are the newest ones, newest first, and [`corrected`].
pub(crate) fn active_execution<'e>(executions: &'e [Execution], looked_up: &'e [LookedUp]) -> Option<&'e Execution> {
    let looked_up = looked_up.iter().map(|looked_up| &looked_up.execution);
    executions.iter().chain(looked_up).find(|execution| execution.status.is_active())
}

/// Whether a guard has to be set. A guard that somebody else or another router disabled is left alone.
pub(crate) fn must_be_set(state: &GuardState, desired: &DesiredState) -> bool {
    match (state, desired) {
        (GuardState::Enabled, DesiredState::Released)
        | (GuardState::DisabledByRouter, DesiredState::Engaged { .. }) => false,
        (GuardState::DisabledByOther | GuardState::MarkedByOtherRouter { .. }, _) => false,
        (GuardState::Enabled, DesiredState::Engaged { .. })
        | (GuardState::DisabledByRouter, DesiredState::Released) => true,
        (GuardState::Inconsistent, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExecutionStatus;
    use crate::policy::fixtures::{arn, execution};

    fn found(execution: Execution) -> LookedUp {
        LookedUp { execution, is_found: true }
    }

    #[test]
    fn the_newest_of_several_active_executions_is_named() {
        let executions = [execution("c", false, ""), execution("b", true, ""), execution("a", true, "")];
        let engaged = |id: &str| DesiredState::Engaged { execution_id: id.to_owned() };
        assert_eq!(desired_state(Mode::Active, &executions, &[]), engaged("b"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], &[]), DesiredState::Released);
        assert_eq!(desired_state(Mode::Active, &[], &[]), DesiredState::Released);
        assert_eq!(desired_state(Mode::Drain, &executions, &[found(executions[1].clone())]), DesiredState::Released);
        // The record of an execution that was looked up replaces the list's, which may lag.
        let looked_up = [found(execution("B", false, ""))];
        let list = corrected(executions[..2].to_vec(), &looked_up);
        assert_eq!(desired_state(Mode::Active, &list, &looked_up), DesiredState::Released);
        assert_eq!(list[1].arn.as_str(), executions[1].arn.as_str(), "the list's spelling");
        assert_eq!(desired_state(Mode::Active, &executions[..1], &[found(execution("C", true, ""))]), engaged("C"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], &[found(execution("z", true, ""))]), engaged("z"));
    }

    #[test]
    fn an_event_counts_only_if_sagemaker_does_not_know_the_execution() {
        let event = LookedUp::named(arn("a"), ExecutionStatus::Active);
        let ended = execution("a", false, "");
        assert_eq!(look_up(&event, Some(ended.clone()), &[]), found(ended.clone()));
        assert_eq!(look_up(&event, None, std::slice::from_ref(&ended)), found(ended));
        let unknown = look_up(&event, None, &[]);
        assert!(unknown.execution.status.is_active() && !unknown.is_found);
    }
}
