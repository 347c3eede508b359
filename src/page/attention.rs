//! What is wrong, and what to do about it.

use maud::{Markup, html};

use crate::config::Config;
use crate::model::{GuardRole, GuardState, Mode};
use crate::outcome::status::{Assessment, ShownGuard, Status};
use crate::page::guards;
use crate::page::tables::{limited, more};
use crate::page::text::{Clock, MOST_TEXT, cut, sentence};
use crate::page::tone::Tone;

/// One thing that is wrong.
struct Item {
    tone: Tone,
    what: String,
    advice: &'static str,
}

/// Lists what is wrong. Nothing, if nothing is.
pub(super) fn attention(status: &Status, config: &Config, clock: Clock) -> Markup {
    let guards = status.guards.iter().filter_map(|(role, guard)| of_guard(*role, guard, status, config));
    let unread = status.unread.iter().map(|unread| Item {
        tone: Tone::Bad,
        what: cut(unread, MOST_TEXT),
        advice: "What this says may be missing below.",
    });
    let items = of_failure(status, config).into_iter().chain(guards).chain(unread).chain(of_alarms(status, config));
    let items = items.map(|Item { tone, what, advice }| {
        html! { li class=(tone.class()) { (tone.symbol()) " " span { (clock.localise(&sentence(&what))) " " (advice) } } }
    });
    let (items, left_out) = limited(items);
    html! {
        @if !items.is_empty() { ul.todo { @for item in &items { (item) } } }
        (more(left_out))
    }
}

/// The newest retraining failed.
fn of_failure(status: &Status, config: &Config) -> Option<Item> {
    let assessment = status.assessment.as_ref().filter(|it| it.retraining_failing == Some(true))?;
    let steps = assessment.executions.iter().flat_map(|execution| &execution.failed_steps);
    let steps: Vec<_> =
        steps.map(|step| format!("step {} failed: {}", step.step, cut(&step.reason, MOST_TEXT))).collect();
    let what = if steps.is_empty() { "the newest retraining failed".to_owned() } else { steps.join("; ") };
    Some(Item { tone: Tone::Bad, what: cut(&what, 2 * MOST_TEXT), advice: after_a_failure(assessment, config) })
}

/// A guard cannot be read, is held, or is not as it should be.
fn of_guard(role: GuardRole, guard: &ShownGuard, status: &Status, config: &Config) -> Option<Item> {
    let name = guards::name(role);
    let (tone, what, advice) = match guard {
        ShownGuard::Unread { unread } => (
            Tone::Bad,
            format!("{name} cannot be read: {}", cut(unread, MOST_TEXT)),
            "Heartbeats fail and start nothing until it can be read.",
        ),
        ShownGuard::Read { state: GuardState::DisabledByOther, reason, .. } => {
            let reason = reason.as_ref().map(|reason| format!(" ({})", cut(reason, MOST_TEXT))).unwrap_or_default();
            let effect = match role {
                GuardRole::Stage => "new code is not built",
                GuardRole::ScheduleRule => "its ticks start nothing",
                GuardRole::DriftRule => "drift starts nothing",
            };
            (
                Tone::Warn,
                format!("{name} is disabled, and not by this router{reason}: {effect}"),
                "Enable it when the hold ends. The router does not.",
            )
        }
        ShownGuard::Read { state: GuardState::MarkedByOtherRouter { owner }, .. } => {
            let effect = match role {
                GuardRole::Stage => "new code is not built until that router enables it",
                GuardRole::ScheduleRule | GuardRole::DriftRule => "no event of it arrives until that router enables it",
            };
            (
                Tone::Warn,
                format!("{name} is disabled by the router of {}: {effect}", cut(owner, MOST_TEXT)),
                "Heartbeats start what they find nevertheless.",
            )
        }
        ShownGuard::Read { state: GuardState::Inconsistent, .. } => {
            (Tone::Warn, format!("{name}: its state and its mark contradict each other"), who_sets(config))
        }
        ShownGuard::Read { state: GuardState::DisabledByRouter, .. } if status.is_active() == Some(false) => {
            (Tone::Warn, format!("{name} is disabled, and no retraining runs"), who_sets(config))
        }
        ShownGuard::Read { state: GuardState::Enabled | GuardState::DisabledByRouter, .. } => return None,
    };
    Some(Item { tone, what, advice })
}

/// Listed alarms do not exist.
fn of_alarms(status: &Status, config: &Config) -> Option<Item> {
    if status.missing_alarms.is_empty() {
        return None;
    }
    let names = cut(&status.missing_alarms.join(", "), MOST_TEXT);
    let what = format!("these alarms of DRIFT_ALARM_NAMES do not exist in this account and Region: {names}");
    let (tone, advice) = if has_no_alarm(status, config) {
        (Tone::Warn, "So no heartbeat finds drift. Correct the list, or make the alarms.")
    } else {
        (Tone::Off, "Correct the list if one was renamed.")
    };
    Some(Item { tone, what, advice })
}

/// Whether none of the listed alarms exists.
pub(super) fn has_no_alarm(status: &Status, config: &Config) -> bool {
    !config.drift_alarms.is_empty() && status.missing_alarms.len() == config.drift_alarms.len()
}

/// What to do after a failure.
fn after_a_failure(assessment: &Assessment, config: &Config) -> &'static str {
    let most = config.catch_up_per_day;
    let is_braked = most > 0 && assessment.starts_in_24_hours >= most;
    match config.mode {
        _ if assessment.is_active => "Another one runs. If it succeeds, this notice ends.",
        Mode::Drain => "MODE is drain, so the router starts nothing. This notice ends when a retraining succeeds.",
        Mode::DryRun => "MODE is dry-run, so the router starts nothing. This notice ends when a retraining succeeds.",
        Mode::Active if is_braked => {
            "The router does not repeat it. Remove the cause. The brake refuses requests now, but not those with force."
        }
        Mode::Active => {
            "The router does not repeat it. Remove the cause, then press Retrain now. This notice ends when a retraining succeeds."
        }
    }
}

/// Who sets a guard that is not as it should be.
fn who_sets(config: &Config) -> &'static str {
    match (config.mode, &config.heartbeat) {
        (Mode::DryRun, _) => "A dry run sets no guard. Set MODE to drain first.",
        (Mode::Active | Mode::Drain, Some(_)) => "The next heartbeat sets it.",
        (Mode::Active | Mode::Drain, None) => "The next event sets it.",
    }
}
