//! The guards on the page: build stage, schedule rule, drift rule.

use maud::{Markup, html};

use crate::config::Config;
use crate::model::Mode;
use crate::outcome::ShownState;
use crate::outcome::status::{ShownGuard, Status};
use crate::page::link::Console;
use crate::page::tables::linked;
use crate::page::tone::Tone;

/// The build stage, the schedule rule and the drift rule, as far as they are configured.
pub(super) fn ordered(status: &Status) -> impl Iterator<Item = (&'static str, &ShownGuard)> {
    let roles = ["stage", "scheduleRule", "driftRule"].into_iter();
    roles.filter_map(|role| Some((role, status.guards.get(role)?)))
}

/// What people call it.
pub(super) fn name(role: &str) -> &'static str {
    match role {
        "stage" => "Build stage",
        "scheduleRule" => "Schedule rule",
        _ => "Drift rule",
    }
}

/// A card for each guard.
pub(super) fn cards(status: &Status, config: &Config, console: Option<&Console>) -> Markup {
    html! {
        div.guards { @for (role, guard) in ordered(status) { (card(role, guard, status, config, console)) } }
    }
}

/// Whether the router has to set it: it was missed, or it is a dry run.
pub(super) fn is_wrong(guard: &ShownGuard, status: &Status) -> bool {
    match guard {
        ShownGuard::Read { state: ShownState::Inconsistent, .. } => true,
        ShownGuard::Read { state: ShownState::Disabled, .. } => status.is_active() == Some(false),
        ShownGuard::Read { .. } | ShownGuard::Unread { .. } => false,
    }
}

fn card(role: &str, guard: &ShownGuard, status: &Status, config: &Config, console: Option<&Console>) -> Markup {
    let rule =
        |rule: &Option<String>| rule.as_ref().map(|rule| (rule.clone(), console.map(|console| console.rule(rule))));
    let named = match role {
        "stage" => config.deployment_trigger.code_pipeline().map(|pipeline| {
            let name = format!("{} of {}", pipeline.build_stage, pipeline.name);
            (name, console.map(|console| console.code_pipeline(&pipeline.name)))
        }),
        "scheduleRule" => rule(&config.schedule_rule),
        _ => rule(&config.drift_rule),
    };
    let (tone, word) = match guard {
        ShownGuard::Unread { .. } => (Tone::Bad, "cannot be read"),
        ShownGuard::Read { state, .. } => match (state, status.is_active()) {
            (ShownState::Enabled, Some(false) | None) => (Tone::Good, "enabled"),
            (ShownState::Enabled, Some(true)) => match config.mode {
                Mode::Active => (Tone::Warn, "enabled, although a retraining runs"),
                Mode::DryRun | Mode::Drain => (Tone::Off, "enabled, as MODE is not active"),
            },
            (ShownState::Disabled, Some(true)) => (Tone::Runs, "disabled while a retraining runs"),
            (ShownState::Disabled, Some(false)) => (Tone::Warn, "disabled by this router, and none runs"),
            // It is unknown whether a retraining runs.
            (ShownState::Disabled, None) => (Tone::Off, "disabled by this router"),
            (ShownState::Held, _) => (Tone::Warn, "held: somebody disabled it"),
            (ShownState::HeldBy(_), _) => (Tone::Warn, "held by another router"),
            (ShownState::Inconsistent, _) => (Tone::Warn, "state and mark contradict each other"),
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
