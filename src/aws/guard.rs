//! The guards as one list. Each kind of guard has its adapter in a file of its own and a variant here.

use futures_util::future::join_all;

use crate::aws::call::CallError;
use crate::aws::rule::{ObservedRule, Rule};
use crate::aws::stage::{ObservedStage, Stage};
use crate::model::{DesiredState, FunctionArn, GuardRole, GuardState};
use crate::policy::interlock::must_be_set;

/// One guard.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    Stage(Stage),
    Rule(Rule),
}

/// A guard as one observation found it.
#[derive(Debug)]
pub(crate) struct ObservedGuard<'g> {
    reading: Reading<'g>,
    /// Whether this invocation has written to the guard.
    pub(crate) is_written: bool,
}

/// The guard, and what the read found.
#[derive(Debug)]
enum Reading<'g> {
    Stage(&'g Stage, Result<ObservedStage, CallError>),
    Rule(&'g Rule, Result<ObservedRule, CallError>),
}

impl ObservedGuard<'_> {
    pub(crate) fn role(&self) -> GuardRole {
        match &self.reading {
            Reading::Stage(..) => GuardRole::Stage,
            Reading::Rule(rule, _) => rule.role,
        }
    }

    /// The state that was read, or why the guard could not be read.
    pub(crate) fn read(&self) -> Result<&GuardState, &CallError> {
        match &self.reading {
            Reading::Stage(_, found) => found.as_ref().map(|stage| &stage.state),
            Reading::Rule(_, found) => found.as_ref().map(|rule| &rule.state),
        }
    }

    /// The state that was read, or `None` if the guard could not be read.
    pub(crate) fn state(&self) -> Option<&GuardState> {
        self.read().ok()
    }

    /// Why a stage is disabled: a mark, or what a person wrote. A rule has no such text.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.reading {
            Reading::Stage(_, Ok(found)) => found.reason.as_deref(),
            Reading::Stage(_, Err(_)) | Reading::Rule(..) => None,
        }
    }

    /// The owner of the router's mark on the guard, if it has one.
    pub(crate) fn owner(&self) -> Option<&str> {
        let ours = match &self.reading {
            Reading::Stage(stage, _) => &stage.owner,
            Reading::Rule(rule, _) => &rule.owner,
        };
        match self.state()? {
            GuardState::DisabledByRouter | GuardState::Inconsistent => Some(ours),
            GuardState::MarkedByOtherRouter { owner } => Some(owner),
            GuardState::Enabled | GuardState::DisabledByOther => None,
        }
    }

    /// Why the guard could not be read.
    pub(crate) fn into_read_error(self) -> Option<CallError> {
        match self.reading {
            Reading::Stage(_, found) => found.err(),
            Reading::Rule(_, found) => found.err(),
        }
    }

    fn must_be_set(&self, desired: &DesiredState) -> bool {
        self.state().is_some_and(|state| must_be_set(state, desired))
    }

    /// Whether nothing is left to do. A guard that cannot be read needs a person, so nothing is left to do for it. If this
    /// invocation has written to it, its state is unknown, so it is read again.
    pub(crate) fn is_settled(&self, desired: &DesiredState) -> bool {
        if self.state().is_some() { !self.must_be_set(desired) } else { !self.is_written }
    }

    async fn set(&self, desired: &DesiredState) -> Result<(), CallError> {
        match &self.reading {
            Reading::Stage(stage, _) => stage.set(desired).await,
            Reading::Rule(rule, Ok(found)) => rule.set(&found.arn, desired).await,
            // A rule that could not be read is not set.
            Reading::Rule(_, Err(_)) => Ok(()),
        }
    }
}

/// The schedule rule and what was found of it, if it is configured and could be read.
pub(crate) fn schedule_rule<'o>(observed: &'o [ObservedGuard<'_>]) -> Option<(&'o Rule, &'o ObservedRule)> {
    observed.iter().find_map(|guard| match &guard.reading {
        Reading::Rule(rule, Ok(found)) if rule.role == GuardRole::ScheduleRule => Some((*rule, found)),
        Reading::Rule(..) | Reading::Stage(..) => None,
    })
}

/// Reads every guard at once, in one round trip if `function` is given and no rule is held. `before` is what this invocation observed
/// last.
pub(crate) async fn read_all<'g>(
    guards: &'g [Guard],
    function: Option<&FunctionArn>,
    before: &[ObservedGuard<'_>],
) -> Vec<ObservedGuard<'g>> {
    join_all(guards.iter().map(|guard| async move {
        let is_written = |role| before.iter().any(|guard| guard.role() == role && guard.is_written);
        match guard {
            Guard::Stage(stage) => ObservedGuard {
                reading: Reading::Stage(stage, stage.read().await),
                is_written: is_written(GuardRole::Stage),
            },
            Guard::Rule(rule) => {
                let is_written = is_written(rule.role);
                ObservedGuard { reading: Reading::Rule(rule, rule.read(function, is_written).await), is_written }
            }
        }
    }))
    .await
}

/// Sets every guard that is not as desired, all at once, and notes that they were written. One guard's failure does not stop
/// another. Returns the failures. The next observation shows whether a failed call was carried out anyway.
pub(crate) async fn set_all(observed: &mut [ObservedGuard<'_>], desired: &DesiredState) -> Vec<(GuardRole, CallError)> {
    let writes = observed.iter_mut().filter(|guard| guard.must_be_set(desired)).map(|guard| async {
        guard.is_written = true;
        guard.set(desired).await.err().map(|error| (guard.role(), error))
    });
    join_all(writes).await.into_iter().flatten().collect()
}
