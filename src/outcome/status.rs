//! The status: what the router sees, and what it does next. `docs/reference.md` describes every field.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::model::{ExecutionArn, GuardRole, GuardState, Trigger};
use crate::outcome::{EventKind, by_name};
use crate::policy::rfc3339;
use crate::policy::verdict::Verdict;

/// What the router sees, and what it does next. A field that does not apply or could not be read is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `status`.
    pub(crate) event: EventKind,
    /// One sentence that sums up.
    pub(crate) summary: String,
    /// `next` or `nothing`.
    #[serde(flatten)]
    pub(crate) next: ShownNext,
    /// The guards by role.
    #[serde(serialize_with = "by_name")]
    pub(crate) guards: BTreeMap<GuardRole, ShownGuard>,
    /// `None` if the executions could not be read.
    #[serde(flatten)]
    pub(crate) assessment: Option<Assessment>,
    /// The listed alarms that do not exist in this account and Region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing_alarms: Vec<String>,
    /// What could not be read, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    /// The value of `MODE`.
    pub(crate) mode: &'static str,
    /// The router's version.
    pub(crate) version: &'static str,
    /// The SageMaker pipeline.
    pub(crate) pipeline: String,
    /// When the status was asked for.
    pub(crate) time: Time,
}

/// What the router can say only if it has read the executions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assessment {
    /// In the order in which they are served.
    pub(crate) findings: Vec<ShownFinding>,
    /// Whether an execution is active, as a heartbeat sees it. `next` or `nothing` says so in the answer.
    #[serde(skip)]
    pub(crate) is_active: bool,
    /// The newest ten, newest first.
    pub(crate) executions: Vec<ShownExecution>,
    pub(crate) starts_in_24_hours: usize,
    /// Whether the newest retraining that has ended, and that nobody stopped, failed. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retraining_failing: Option<bool>,
    /// Until when drift starts nothing, as an execution started a short while ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cooldown_until: Option<Time>,
    /// The time since the newest successful retraining started, or a lower bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) training_age_seconds: Option<u64>,
}

impl Status {
    /// Whether an execution is active; `None` if the executions could not be read.
    pub(crate) fn is_active(&self) -> Option<bool> {
        self.assessment.as_ref().map(|assessment| assessment.is_active)
    }

    /// How many guards a person, another program or another router holds.
    pub(crate) fn held_guards(&self) -> usize {
        let is_held = |guard: &&ShownGuard| matches!(guard, ShownGuard::Read { state, .. } if state.is_held());
        self.guards.values().filter(is_held).count()
    }

    /// How many reads failed.
    pub(crate) fn failed_reads(&self) -> usize {
        let is_unread = |guard: &&ShownGuard| matches!(guard, ShownGuard::Unread { .. });
        self.guards.values().filter(is_unread).count() + self.unread.len()
    }
}

/// A time, as RFC 3339 writes it in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

/// What a heartbeat starts next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ShownNext {
    Next {
        trigger: Trigger,
        key: String,
        /// The next heartbeat from this time on starts it.
        earliest: Time,
        reason: String,
    },
    Nothing {
        /// One word.
        why: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Time>,
    },
}

/// One guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum ShownGuard {
    Read {
        state: GuardState,
        /// Why a stage is disabled: the router's mark, or what a person wrote.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The owner of the router's mark on it: a SageMaker pipeline, in lower case.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    Unread {
        /// Why it could not be read.
        unread: String,
    },
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownFinding {
    pub(crate) trigger: Trigger,
    pub(crate) key: String,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Time>,
    pub(crate) verdict: Verdict,
    /// The verdict as a sentence.
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Time>,
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownExecution {
    pub(crate) arn: ExecutionArn,
    /// What started it; absent if no trigger of this router did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trigger: Option<Trigger>,
    /// Its display name after the trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// SageMaker's word.
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Only of the newest retraining that has ended, if it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed_steps: Vec<ShownStep>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ShownStep {
    pub(crate) step: String,
    pub(crate) reason: String,
}
