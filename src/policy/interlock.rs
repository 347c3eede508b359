//! What every guard should be, and whether a guard has to be set.

use crate::model::{DesiredState, Execution, GuardState, Mode, StatusHint};

/// The best record of the execution that a hint names. Its own description comes first, as lists may lag. The list comes second.
/// The hint itself counts only if SageMaker does not find the execution (yet).
pub(crate) fn named_execution(hint: &StatusHint, described: Option<Execution>, executions: &[Execution]) -> Execution {
    described.or_else(|| executions.iter().find(|e| e.arn == hint.arn).cloned()).unwrap_or_else(|| Execution {
        arn: hint.arn.clone(),
        status: hint.status.clone(),
        display_name: None,
        started: None,
    })
}

/// What every guard should be. `executions` are the newest ones, newest first. `named` is the execution that a hint names; its
/// record replaces the list's. A router that drains enables everything, even while an execution is active.
pub(crate) fn desired_state(mode: Mode, executions: &[Execution], named: Option<&Execution>) -> DesiredState {
    if mode == Mode::Drain {
        return DesiredState::Released;
    }
    let listed = executions.iter().map(|listed| named.filter(|named| named.arn == listed.arn).unwrap_or(listed));
    let active = listed.chain(named).find(|e| e.status.is_active());
    active.map_or(DesiredState::Released, |e| DesiredState::Engaged { execution_id: e.arn.id().to_owned() })
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

    #[test]
    fn the_newest_of_several_active_executions_is_named() {
        let executions = [execution("c", false, ""), execution("b", true, ""), execution("a", true, "")];
        let engaged = |id: &str| DesiredState::Engaged { execution_id: id.to_owned() };
        assert_eq!(desired_state(Mode::Active, &executions, None), engaged("b"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], None), DesiredState::Released);
        assert_eq!(desired_state(Mode::Active, &[], None), DesiredState::Released);
        assert_eq!(desired_state(Mode::Drain, &executions, Some(&executions[1])), DesiredState::Released);
        // The record of the execution that a hint names replaces the list's, which may lag.
        assert_eq!(
            desired_state(Mode::Active, &executions[..2], Some(&execution("b", false, ""))),
            DesiredState::Released
        );
        assert_eq!(desired_state(Mode::Active, &executions[..1], Some(&execution("C", true, ""))), engaged("C"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], Some(&execution("z", true, ""))), engaged("z"));
    }

    #[test]
    fn the_hint_counts_only_if_sagemaker_does_not_know_the_execution() {
        let hint = StatusHint { arn: arn("a"), status: ExecutionStatus::Active };
        let ended = execution("a", false, "");
        assert_eq!(named_execution(&hint, Some(ended.clone()), &[]), ended);
        assert_eq!(named_execution(&hint, None, std::slice::from_ref(&ended)), ended);
        assert!(named_execution(&hint, None, &[]).status.is_active());
    }
}
