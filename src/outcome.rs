//! What an invocation did: the function's answer, and the fields of its log line and of its metrics. The status
//! is in [`status`].

pub(crate) mod status;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::model::{ExecutionArn, GuardRole, GuardState, Trigger};
use crate::policy::verdict::Verdict;

/// What an invocation did. The flows fill it in as they go, so it also says what was done before an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The kind of event.
    pub(crate) event: EventKind,
    /// The occurrence's key or the job's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// What was done. Every invocation that succeeds has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<Action>,
    /// Why, where the action does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The execution that was started or found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_arn: Option<String>,
    /// The guards as they were last observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interlock: Option<GuardStates>,
    /// `MODE` is `dry-run`: the action is what would have been done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    /// What a person has to know beside the answer. The log has a line for each.
    #[serde(skip)]
    pub(crate) warnings: Vec<String>,
    #[serde(skip)]
    pub(crate) measures: Measures,
}

/// What only the metrics show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measures {
    /// Whether a guard could not be read. Then it is unknown whether the interlock is released.
    pub(crate) has_unread_guard: bool,
    /// Whether the newest retraining that has ended, and that nobody stopped, failed. `None` if there is none, or the executions were not
    /// read.
    pub(crate) retraining_failing: Option<bool>,
    /// The age in seconds of the newest successful training, or a lower bound. Only a heartbeat sets this.
    pub(crate) training_age_seconds: Option<u64>,
    /// The age in seconds of the oldest occurrence that is owed; 0 if none is. Only a heartbeat that could read all of it sets
    /// this.
    pub(crate) owed_seconds: Option<u64>,
    /// Whether none of the listed alarms exists in this account and Region. Only a heartbeat that could read listed alarms sets this.
    pub(crate) has_no_alarm: Option<bool>,
    /// Whether the trigger was counted already: a job's later calls belong to the same trigger.
    pub(crate) is_later_call: bool,
}

impl Outcome {
    pub(crate) fn new(event: EventKind, key: Option<&str>) -> Self {
        Self {
            event,
            key: key.map(str::to_owned),
            action: None,
            reason: None,
            execution_arn: None,
            interlock: None,
            dry_run: false,
            warnings: Vec::new(),
            measures: Measures::default(),
        }
    }

    /// Sets the action to `Ignored`, for this reason.
    pub(crate) fn ignore(&mut self, reason: String) {
        self.action = Some(Action::Ignored);
        self.reason = Some(reason);
    }

    /// Adds to the reason.
    pub(crate) fn add_reason(&mut self, more: &str) {
        self.reason = Some(match self.reason.take() {
            Some(reason) => format!("{reason}; {more}"),
            None => more.to_owned(),
        });
    }
}

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum EventKind {
    DriftAlarm,
    CodePipeline,
    Schedule,
    Heartbeat,
    ExecutionStatus,
    CodePipelineJob,
    /// Somebody asks what the router sees, and what it does next.
    Status,
    /// Somebody asks for a retraining.
    Retrain,
    /// An event of a known source, but of another type.
    Other,
}

/// What an invocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    /// It started an execution.
    Started,
    /// The occurrence had its execution already.
    Duplicate,
    /// An execution was active, and the trigger needs only that a retraining runs.
    AlreadyRunning,
    /// An execution started after the occurrence, or shortly before it, and so serves it.
    AlreadyServed,
    /// Somebody else disabled the rule of the trigger.
    Held,
    /// An execution started less than `DRIFT_COOLDOWN` ago.
    CoolingDown,
    /// The execution is started later: SageMaker's quota of executions is used up, or the action's next call starts it.
    Deferred,
    /// A heartbeat or a request started nothing, as too many executions started within 24 hours.
    Braked,
    /// It engaged the interlock.
    Engaged,
    /// It released the interlock.
    Released,
    /// Every guard was as it should be.
    Unchanged,
    /// It answered a job: the execution is still active.
    Continued,
    /// It answered a job: the execution succeeded.
    Succeeded,
    /// It answered a job: the execution failed, or there is none and none can be started.
    Failed,
    /// The event starts nothing and sets no guard. The reason says why. (A router that drains may have released guards.)
    Ignored,
}

/// The guards, by role. A guard that is not configured or could not be read is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GuardStates(#[serde(serialize_with = "by_name")] BTreeMap<GuardRole, GuardState>);

impl GuardStates {
    pub(crate) fn new<'g>(guards: impl Iterator<Item = (GuardRole, &'g GuardState)>) -> Self {
        Self(guards.map(|(role, state)| (role, state.clone())).collect())
    }

    /// The state of one guard.
    pub(crate) fn state(&self, role: GuardRole) -> Option<&GuardState> {
        self.0.get(&role)
    }

    /// How many guards are held: by a person, another program, or another router.
    pub(crate) fn held(&self) -> usize {
        self.0.values().filter(|state| state.is_held()).count()
    }

    /// Whether this router has disabled any guard.
    pub(crate) fn is_engaged(&self) -> bool {
        self.0.values().any(|state| *state == GuardState::DisabledByRouter)
    }
}

/// Writes guards in the alphabetical order of their names, which is the reverse of the roles' order.
fn by_name<G: Serialize, S: Serializer>(guards: &BTreeMap<GuardRole, G>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(guards.iter().rev())
}

impl Serialize for GuardRole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for Trigger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl Serialize for ExecutionArn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// One word, or `{"heldBy": "NAME"}`.
impl Serialize for GuardState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Enabled => serializer.serialize_str("enabled"),
            Self::DisabledByRouter => serializer.serialize_str("disabled"),
            Self::DisabledByOther => serializer.serialize_str("held"),
            Self::MarkedByOtherRouter { owner } => serializer.collect_map([("heldBy", owner)]),
            // After an event: the guard could not be set, or this is a dry run.
            Self::Inconsistent => serializer.serialize_str("inconsistent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_written_in_the_alphabetical_order_of_their_names() {
        let other = GuardState::MarkedByOtherRouter { owner: "other".to_owned() };
        let states = [
            (GuardRole::Stage, &GuardState::DisabledByOther),
            (GuardRole::DriftRule, &GuardState::DisabledByRouter),
            (GuardRole::ScheduleRule, &other),
        ];
        assert_eq!(
            serde_json::to_string(&GuardStates::new(states.into_iter())).unwrap(),
            r#"{"driftRule":"disabled","scheduleRule":{"heldBy":"other"},"stage":"held"}"#
        );
    }
}
