//! The guards, as one list. Each kind of guard has its adapter in the file of its service and a variant here.

use futures_util::future::join_all;

use super::call::CallError;
use super::codepipeline::Stage;
use super::eventbridge::{Rule, RuleArns};
use crate::model::{DesiredState, GuardRole, GuardState, OwedTag};
use crate::policy;

/// One guard.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    Stage(Stage),
    Rule(Rule),
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) state: GuardState,
    /// The name that a write uses: a rule's ARN, or a stage's name.
    pub(crate) resource: String,
    /// The tag of an owed tick. Only rules have it.
    pub(crate) owed: Option<OwedTag>,
}

/// A guard as one observation found it.
#[derive(Debug)]
pub(crate) struct ObservedGuard {
    pub(crate) role: GuardRole,
    pub(crate) found: Result<Found, CallError>,
    /// Whether this invocation has written to the guard.
    pub(crate) written: bool,
}

impl ObservedGuard {
    fn must_be_set(&self, desired: &DesiredState) -> bool {
        self.found.as_ref().is_ok_and(|found| policy::must_be_set(&found.state, desired))
    }

    /// Whether nothing is left to do. A guard that cannot be read needs an operator, so nothing is left to do for it. If this
    /// invocation has written to it, its state is unknown, so it is read again.
    pub(crate) fn is_settled(&self, desired: &DesiredState) -> bool {
        if self.found.is_ok() { !self.must_be_set(desired) } else { !self.written }
    }
}

impl Guard {
    fn role(&self) -> GuardRole {
        match self {
            Self::Stage(_) => GuardRole::Stage,
            Self::Rule(rule) => rule.role,
        }
    }

    async fn read(&self, arns: Option<&RuleArns>, written: bool) -> Result<Found, CallError> {
        match self {
            Self::Stage(stage) => stage.read().await,
            Self::Rule(rule) => rule.read(arns, written).await,
        }
    }

    async fn set(&self, found: &Found, desired: &DesiredState) -> Result<(), CallError> {
        match self {
            Self::Stage(stage) => stage.set(&found.resource, desired).await,
            Self::Rule(rule) => rule.set(&found.resource, desired).await,
        }
    }
}

/// The schedule rule and what was found of it, if it is configured and could be read.
pub(crate) fn schedule_rule<'g, 'o>(
    guards: &'g [Guard],
    observed: &'o [ObservedGuard],
) -> Option<(&'g Rule, &'o Found)> {
    guards.iter().zip(observed).find_map(|(guard, observed)| match (guard, &observed.found) {
        (Guard::Rule(rule), Ok(found)) if rule.role == GuardRole::ScheduleRule => Some((rule, found)),
        _ => None,
    })
}

/// Reads every guard at once, in one round trip if `arns` is given and no rule is held. `before` is what this invocation observed
/// last.
pub(crate) async fn read_all(
    guards: &[Guard],
    arns: Option<&RuleArns>,
    before: Option<&[ObservedGuard]>,
) -> Vec<ObservedGuard> {
    join_all(guards.iter().enumerate().map(|(index, guard)| async move {
        let written = before.and_then(|before| before.get(index)).is_some_and(|guard| guard.written);
        ObservedGuard { role: guard.role(), found: guard.read(arns, written).await, written }
    }))
    .await
}

/// Sets every guard that is not as desired, all at once, and notes that they were written. One guard's failure does not stop
/// another. Returns the failures. The next observation shows whether a failed call was carried out anyway.
pub(crate) async fn set_all(
    guards: &[Guard],
    observed: &mut [ObservedGuard],
    desired: &DesiredState,
) -> Vec<(GuardRole, CallError)> {
    let writes = guards.iter().zip(observed).filter(|(_, observed)| observed.must_be_set(desired));
    let writes = writes.map(|(guard, observed)| async {
        observed.written = true;
        let Ok(found) = &observed.found else { return None };
        guard.set(found, desired).await.err().map(|error| (observed.role, error))
    });
    join_all(writes).await.into_iter().flatten().collect()
}
