//! The guards on the page: build stage, schedule rule, drift rule.

use maud::{Markup, html};

use crate::config::Config;
use crate::model::{GuardRole, GuardState, Mode};
use crate::outcome::status::{ShownGuard, Status};
use crate::page::link::Console;
use crate::page::tables::linked;
use crate::page::tone::Tone;

/// What people call it.
pub(super) fn name(role: GuardRole) -> &'static str {
    match role {
        GuardRole::Stage => "Build stage",
        GuardRole::ScheduleRule => "Schedule rule",
        GuardRole::DriftRule => "Drift rule",
    }
}

/// A card for each guard.
pub(super) fn cards(status: &Status, config: &Config, console: Option<&Console>) -> Markup {
    html! {
        div.guards { @for (role, guard) in &status.guards { (card(*role, guard, status, config, console)) } }
    }
}

/// Whether the router has to set it: it was missed, or it is a dry run.
pub(super) fn is_wrong(guard: &ShownGuard, status: &Status) -> bool {
    match guard {
        ShownGuard::Read { state: GuardState::Inconsistent, .. } => true,
        ShownGuard::Read { state: GuardState::DisabledByRouter, .. } => status.is_active() == Some(false),
        ShownGuard::Read {
            state: GuardState::Enabled | GuardState::DisabledByOther | GuardState::MarkedByOtherRouter { .. },
            ..
        }
        | ShownGuard::Unread { .. } => false,
    }
}

fn card(role: GuardRole, guard: &ShownGuard, status: &Status, config: &Config, console: Option<&Console>) -> Markup {
    let rule =
        |rule: &Option<String>| rule.as_ref().map(|rule| (rule.clone(), console.map(|console| console.rule(rule))));
    let named = match role {
        GuardRole::Stage => config.deployment_trigger.code_pipeline().map(|pipeline| {
            let name = format!("{} of {}", pipeline.build_stage, pipeline.name);
            (name, console.map(|console| console.code_pipeline(&pipeline.name)))
        }),
        GuardRole::ScheduleRule => rule(&config.schedule_rule),
        GuardRole::DriftRule => rule(&config.drift_rule),
    };
    let (tone, word) = match guard {
        ShownGuard::Unread { .. } => (Tone::Bad, "cannot be read"),
        ShownGuard::Read { state, .. } => match (state, status.is_active()) {
            (GuardState::Enabled, Some(false) | None) => (Tone::Good, "enabled"),
            (GuardState::Enabled, Some(true)) => match config.mode {
                Mode::Active => (Tone::Warn, "enabled, although a retraining runs"),
                Mode::DryRun | Mode::Drain => (Tone::Off, "enabled, as MODE is not active"),
            },
            (GuardState::DisabledByRouter, Some(true)) => (Tone::Runs, "disabled while a retraining runs"),
            (GuardState::DisabledByRouter, Some(false)) => (Tone::Warn, "disabled by this router, and none runs"),
            // It is unknown whether a retraining runs.
            (GuardState::DisabledByRouter, None) => (Tone::Off, "disabled by this router"),
            (GuardState::DisabledByOther, _) => (Tone::Warn, "held: somebody disabled it"),
            (GuardState::MarkedByOtherRouter { .. }, _) => (Tone::Warn, "held by another router"),
            (GuardState::Inconsistent, _) => (Tone::Warn, "state and mark contradict each other"),
        },
    };
    html! {
        div class=(format!("guard {}", tone.class())) {
            span.name { b { (name(role)) } }
            span { (tone.symbol()) " " (word) }
            @if let Some((resource, link)) = named { span.quiet { (linked(&resource, link)) } }
        }
    }
}
