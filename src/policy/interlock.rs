//! What every guard should be, and whether a guard has to be set.

use crate::model::{DesiredState, Execution, GuardState, Mode, StatusHint};

/// The execution that a hint names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) execution: Execution,
    /// Whether SageMaker finds it. If not, only the hint says that there is one.
    pub(crate) is_found: bool,
}

/// The best record of the execution that a hint names. Its own description comes first, as lists may lag. The list comes second.
/// The hint itself counts only if SageMaker does not find the execution (yet).
pub(crate) fn named_execution(hint: &StatusHint, described: Option<Execution>, executions: &[Execution]) -> Named {
    let found = described.or_else(|| executions.iter().find(|e| e.arn == hint.arn).cloned());
    let is_found = found.is_some();
    let execution = found.unwrap_or_else(|| Execution {
        arn: hint.arn.clone(),
        status: hint.status.clone(),
        display_name: None,
        started: None,
    });
    Named { execution, is_found }
}

/// What every guard should be. A router that drains enables everything, even while an execution is active.
pub(crate) fn desired_state(mode: Mode, executions: &[Execution], named: &[Named]) -> DesiredState {
    match active_execution(executions, named) {
        Some(active) if mode != Mode::Drain => DesiredState::Engaged { execution_id: active.arn.id().to_owned() },
        Some(_) | None => DesiredState::Released,
    }
}

/// The newest active execution. `executions` are the newest ones, newest first. `named` are the executions that hints name; their
/// records replace the list's.
pub(crate) fn active_execution<'e>(executions: &'e [Execution], named: &'e [Named]) -> Option<&'e Execution> {
    let named = || named.iter().map(|named| &named.execution);
    let listed = executions.iter().map(|listed| named().find(|named| named.arn == listed.arn).unwrap_or(listed));
    listed.chain(named()).find(|execution| execution.status.is_active())
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

    fn found(execution: Execution) -> Named {
        Named { execution, is_found: true }
    }

    #[test]
    fn the_newest_of_several_active_executions_is_named() {
        let executions = [execution("c", false, ""), execution("b", true, ""), execution("a", true, "")];
        let engaged = |id: &str| DesiredState::Engaged { execution_id: id.to_owned() };
        assert_eq!(desired_state(Mode::Active, &executions, &[]), engaged("b"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], &[]), DesiredState::Released);
        assert_eq!(desired_state(Mode::Active, &[], &[]), DesiredState::Released);
        assert_eq!(desired_state(Mode::Drain, &executions, &[found(executions[1].clone())]), DesiredState::Released);
        // The record of the execution that a hint names replaces the list's, which may lag.
        assert_eq!(
            desired_state(Mode::Active, &executions[..2], &[found(execution("b", false, ""))]),
            DesiredState::Released
        );
        assert_eq!(desired_state(Mode::Active, &executions[..1], &[found(execution("C", true, ""))]), engaged("C"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], &[found(execution("z", true, ""))]), engaged("z"));
    }

    #[test]
    fn the_hint_counts_only_if_sagemaker_does_not_know_the_execution() {
        let hint = StatusHint { arn: arn("a"), status: ExecutionStatus::Active };
        let ended = execution("a", false, "");
        assert_eq!(named_execution(&hint, Some(ended.clone()), &[]), found(ended.clone()));
        assert_eq!(named_execution(&hint, None, std::slice::from_ref(&ended)), found(ended));
        let unknown = named_execution(&hint, None, &[]);
        assert!(unknown.execution.status.is_active() && !unknown.is_found);
    }
}
