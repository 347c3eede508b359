//! What is wrong, and what to do about it.

use maud::{Markup, html};

use crate::outcome::ShownState;
use crate::outcome::status::{ShownGuard, Status};
use crate::page::guards;
use crate::page::tables::{limited, more};
use crate::page::text::{Clock, MOST_TEXT, cut, sentence};
use crate::page::tone::{Tone, is_active};

/// Lists what is wrong. Nothing, if nothing is.
pub(super) fn attention(status: &Status, clock: Clock) -> Markup {
    let mut items = Vec::new();
    if status.retraining_failing == Some(true) {
        let steps = status.executions.iter().flatten().flat_map(|execution| &execution.failed_steps);
        let steps: Vec<_> =
            steps.map(|step| format!("step {} failed: {}", step.step, cut(&step.reason, MOST_TEXT))).collect();
        let what = if steps.is_empty() {
            "the newest training failed".to_owned()
        } else {
            cut(&steps.join("; "), 2 * MOST_TEXT)
        };
        let advice = if is_active(status) {
            "Another one runs. If it succeeds, this notice ends."
        } else {
            "The router does not repeat it. Remove the cause, then press Retrain now. This notice ends when a training succeeds."
        };
        items.push((Tone::Bad, sentence(&what), advice.to_owned()));
    }
    for (role, guard) in guards::ordered(status) {
        let name = guards::name(role);
        let effect = match role {
            "stage" => "new code is not built",
            "scheduleRule" => "ticks start nothing",
            _ => "drift starts nothing",
        };
        match guard {
            ShownGuard::Unread { unread } => items.push((
                Tone::Bad,
                sentence(&format!("{name} cannot be read: {}", cut(unread, MOST_TEXT))),
                "Heartbeats fail until it can be read. Correct the name or the permission.".to_owned(),
            )),
            ShownGuard::Read { state: ShownState::Held, reason, .. } => {
                let reason = reason.as_ref().map(|reason| format!(" ({})", cut(reason, MOST_TEXT))).unwrap_or_default();
                items.push((
                    Tone::Warn,
                    sentence(&format!("{name} is disabled, and not by this router{reason}: {effect}")),
                    "Enable it when the hold ends. The router does not.".to_owned(),
                ));
            }
            ShownGuard::Read { state: ShownState::HeldBy(owner), .. } => items.push((
                Tone::Warn,
                sentence(&format!("{name} is disabled by the router of {}: {effect}", cut(owner, MOST_TEXT))),
                "That router enables it.".to_owned(),
            )),
            ShownGuard::Read { state: ShownState::Inconsistent, .. } => items.push((
                Tone::Warn,
                sentence(&format!("{name}: its state and its mark contradict each other")),
                "The next heartbeat sets it, unless this is a dry run.".to_owned(),
            )),
            ShownGuard::Read { state: ShownState::Enabled | ShownState::Disabled, .. } => {}
        }
    }
    for unread in &status.unread {
        items.push((Tone::Bad, sentence(&cut(unread, MOST_TEXT)), "What this says may be missing below.".to_owned()));
    }
    if !status.missing_alarms.is_empty() {
        let names = cut(&status.missing_alarms.join(", "), MOST_TEXT);
        let what = format!("these alarms of DRIFT_ALARM_NAMES do not exist in this account and Region: {names}");
        items.push((Tone::Off, sentence(&what), "Correct the list if one was renamed.".to_owned()));
    }
    let items = items.into_iter().map(|(tone, what, advice)| {
        html! { li class=(tone.class()) { (tone.symbol()) " " span { (clock.localise(&what)) " " (advice) } } }
    });
    let (items, left_out) = limited(items);
    html! {
        @if !items.is_empty() { ul.todo { @for item in &items { (item) } } }
        (more(left_out))
    }
}
