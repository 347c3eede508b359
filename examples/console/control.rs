//! The controls: what AWS or a person does, and the name of each in a request.

use serde::Deserialize;
use simulator::nyctaxi::{ALARM, DRIFT_RULE, SCHEDULE_RULE, STAGING_ALARM};

/// What a control does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// New code goes through the CodePipeline.
    Deploy,
    /// An alarm changes its state.
    Alarm { alarm: &'static str, state: &'static str },
    /// The schedule rule ticks.
    Tick,
    /// A running execution ends.
    End(End),
    /// A person sets the Build stage's inbound transition.
    Stage { is_enabled: bool },
    /// A person sets a rule.
    Rule { rule: &'static str, is_enabled: bool },
    /// EventBridge loses events from now on, or delivers them again.
    Events { are_lost: bool },
    /// SageMaker's limit is reached, or has room again.
    Limit { is_reached: bool },
    /// Time passes.
    Advance { minutes: u32 },
}

/// How an execution ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed,
    Stopped,
}

/// All controls by name.
pub(crate) const CONTROLS: [(&str, Control); 22] = [
    ("deploy", Control::Deploy),
    ("prod-alarm", Control::Alarm { alarm: ALARM, state: "ALARM" }),
    ("prod-ok", Control::Alarm { alarm: ALARM, state: "OK" }),
    ("staging-alarm", Control::Alarm { alarm: STAGING_ALARM, state: "ALARM" }),
    ("staging-ok", Control::Alarm { alarm: STAGING_ALARM, state: "OK" }),
    ("tick", Control::Tick),
    ("succeed", Control::End(End::Succeeded)),
    ("fail", Control::End(End::Failed)),
    ("stop", Control::End(End::Stopped)),
    ("disable-stage", Control::Stage { is_enabled: false }),
    ("enable-stage", Control::Stage { is_enabled: true }),
    ("disable-schedule", Control::Rule { rule: SCHEDULE_RULE, is_enabled: false }),
    ("enable-schedule", Control::Rule { rule: SCHEDULE_RULE, is_enabled: true }),
    ("disable-drift", Control::Rule { rule: DRIFT_RULE, is_enabled: false }),
    ("enable-drift", Control::Rule { rule: DRIFT_RULE, is_enabled: true }),
    ("lose-events", Control::Events { are_lost: true }),
    ("deliver-events", Control::Events { are_lost: false }),
    ("reach-limit", Control::Limit { is_reached: true }),
    ("leave-limit", Control::Limit { is_reached: false }),
    ("advance-15", Control::Advance { minutes: 15 }),
    ("advance-60", Control::Advance { minutes: 60 }),
    ("advance-day", Control::Advance { minutes: 24 * 60 }),
];

/// What some controls need besides their name. A control ignores what it does not need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Details {
    /// The ARN of the execution that ends. Without one, it is the oldest that runs.
    pub(crate) execution: Option<String>,
    /// The step that fails.
    pub(crate) step: Option<String>,
    /// Why the step fails, or why the stage is disabled.
    pub(crate) reason: Option<String>,
}

/// The control of this name.
pub(crate) fn named(name: &str) -> Option<Control> {
    CONTROLS.iter().find(|(known, _)| *known == name).map(|(_, control)| *control)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CONTROLS;

    #[test]
    fn the_shell_page_has_every_control_once() {
        let page = include_str!("console.html");
        let names: Vec<&str> = ["data-control=\"", "data-off=\""]
            .iter()
            .flat_map(|attribute| page.split(attribute).skip(1))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let shown: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(shown.len(), names.len(), "a control is there twice");
        assert_eq!(shown, CONTROLS.iter().map(|(name, _)| *name).collect());
    }
}
