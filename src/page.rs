//! The status as a page: HTML for a custom widget of a CloudWatch dashboard. CloudWatch removes scripts, and shows styles and SVG.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html>
//!
//! Names, reasons and descriptions may be anybody's words. `maud` escapes them, links encode them, and long
//! texts and tables are cut, so that no page has 100 KB.

mod attention;
mod guards;
mod link;
mod tables;
mod text;
mod timeline;
mod tone;

use std::time::Duration;

use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use crate::config::Config;
use crate::event::Widget;
use crate::outcome::Outcome;
use crate::outcome::status::{ShownGuard, ShownNext, Status};
use crate::page::attention::attention;
use crate::page::link::Console;
use crate::page::tables::badge;
use crate::page::text::{Clock, MOST_TEXT, cut, duration, sentence, spaced};
use crate::page::tone::{Tone, is_active};
use crate::policy::rfc3339;

/// The answer to `{"describe": true}`, which CloudWatch shows to whoever adds a widget.
pub(crate) const DESCRIPTION: &str = "## drift-router\n\nShows what the router sees and what it does next: the guards, the executions, \
     what asks for a retraining, and why nothing starts. Two buttons send a heartbeat or start a retraining.\n\nThe widget has no \
     parameters. Viewing it and pressing its buttons need `lambda:InvokeFunction` on the function. Whoever has this permission can \
     start a paid retraining.";

/// What a page shows.
#[derive(Debug)]
pub(crate) struct Page<'p> {
    pub(crate) widget: &'p Widget,
    pub(crate) config: &'p Config,
    pub(crate) function_arn: &'p str,
    /// `None` if it could not be read before the deadline.
    pub(crate) status: Option<&'p Status>,
    pub(crate) notice: Option<Notice>,
}

/// What an event did that a widget sent.
#[derive(Debug)]
pub(crate) enum Notice {
    Done(Outcome),
    /// Why it failed.
    Failed(String),
}

/// Below this width in pixels, tables become lists.
const NARROW: u32 = 640;

const STYLE: &str = include_str!("page/style.css");

/// Writes the page.
pub(crate) fn html(page: &Page<'_>) -> String {
    let Page { widget, config, function_arn, status, notice } = page;
    let page = html! {
        div.drift-router.dark[widget.is_dark].narrow[widget.width < NARROW] {
            style { (PreEscaped(STYLE)) }
            @if let Some(notice) = notice { (notice_box(notice)) }
            @match status {
                Some(status) => {
                    @let clock = Clock { now: status.time.0, minutes_ahead: widget.minutes_ahead };
                    @let view = View { status, config, clock, console: Console::of_function(function_arn), function_arn };
                    (view.whole(widget.width.saturating_sub(16)))
                }
                None => p { "The status could not be read in time. Load the dashboard again." }
            }
        }
    };
    page.into_string()
}

fn notice_box(notice: &Notice) -> Markup {
    let (tone, text) = match notice {
        Notice::Done(outcome) => (Tone::Good, done(outcome)),
        Notice::Failed(error) => (Tone::Bad, format!("This failed: {error}")),
    };
    html! {
        p class=(format!("notice {}", tone.class())) role="status" {
            (tone.symbol()) " " span { (sentence(&cut(&text, 2 * MOST_TEXT))) }
        }
    }
}

fn done(outcome: &Outcome) -> String {
    let word = |value: Result<Value, _>| value.ok().and_then(|value| value.as_str().map(spaced)).unwrap_or_default();
    let mut text =
        format!("{}: {}", word(serde_json::to_value(outcome.event)), word(serde_json::to_value(outcome.action)));
    if outcome.dry_run {
        text.push_str(" (a dry run only says so)");
    }
    if let Some(id) = outcome.execution_arn.as_deref().and_then(|arn| arn.rsplit('/').next()) {
        text.push_str(&format!(", execution {id}"));
    }
    if let Some(reason) = &outcome.reason {
        text.push_str(&format!(": {reason}"));
    }
    text
}

/// A page with a status.
struct View<'v> {
    status: &'v Status,
    config: &'v Config,
    clock: Clock,
    console: Option<Console>,
    function_arn: &'v str,
}

impl View<'_> {
    fn whole(&self, width: u32) -> Markup {
        let Self { status, clock, .. } = self;
        let console = self.console.as_ref();
        html! {
            div {
                h2 { (status.pipeline) }
                @for (tone, word) in self.badges() { (badge(tone, &word)) }
            }
            p.summary { (clock.localise(&cut(&status.summary, 2 * MOST_TEXT))) }
            p.quiet { (self.facts()) }
            (self.buttons())
            (attention(status, *clock))
            h3 { "Guards" }
            (guards::cards(status, self.config, console))
            @if let Some(timeline) = timeline::timeline(status, *clock, width) {
                h3 { "Timeline" }
                (timeline)
                (timeline::legend())
            }
            @if let Some(findings) = &status.findings {
                h3 { "What asks for a retraining" }
                @match (findings.is_empty(), status.unread.is_empty()) {
                    (true, true) => p { "Nothing: no deployment, no tick and no alarm." },
                    (true, false) => p { "Nothing that could be read." },
                    (false, _) => (tables::findings(findings, *clock, console)),
                }
            }
            @if let Some(executions) = &status.executions {
                h3 { "Newest executions" }
                @if executions.is_empty() { p { "None yet." } } @else { (tables::executions(executions, *clock)) }
            }
        }
    }

    /// What a person wants to know first.
    fn badges(&self) -> Vec<(Tone, String)> {
        let Self { status, .. } = self;
        let mut badges = Vec::new();
        if is_active(status) {
            badges.push((Tone::Runs, "a retraining runs".to_owned()));
        }
        if status.retraining_failing == Some(true) {
            badges.push((Tone::Bad, "the newest training failed".to_owned()));
        }
        let guards = status.guards.values().filter(|guard| matches!(guard, ShownGuard::Unread { .. })).count();
        if guards + status.unread.len() > 0 {
            badges.push((Tone::Bad, "something cannot be read".to_owned()));
        }
        let is_held = |guard: &&ShownGuard| matches!(guard, ShownGuard::Read { state, .. } if state.is_held());
        if status.guards.values().any(|guard| is_held(&guard)) {
            badges.push((Tone::Warn, "held".to_owned()));
        }
        match &status.next {
            ShownNext::Next { earliest, .. } if earliest.0 <= status.time.0 => {
                badges.push((Tone::Waits, "a retraining is due".to_owned()));
            }
            ShownNext::Next { earliest, .. } => {
                badges.push((Tone::Waits, format!("next from {} on", self.clock.time(earliest.0))));
            }
            ShownNext::Nothing { why: "braked", .. } => badges.push((Tone::Warn, "braked".to_owned())),
            ShownNext::Nothing { .. } => {}
        }
        if badges.is_empty() {
            badges.push((Tone::Good, "all quiet".to_owned()));
        }
        if status.mode != "active" {
            badges.push((Tone::Off, format!("MODE is {}", status.mode)));
        }
        badges
    }

    fn facts(&self) -> String {
        let Self { status, .. } = self;
        let mut facts =
            vec![format!("version {}", status.version), format!("as of {}", self.clock.time_and_zone(status.time.0))];
        let has_success = status.executions.iter().flatten().any(|execution| execution.status == "Succeeded");
        facts.extend(status.training_age_seconds.map(Duration::from_secs).map(|age| match has_success {
            true => format!("the last success started {} ago", duration(age)),
            false => format!("no success for {}", duration(age)),
        }));
        if let Some(starts) = status.starts_in_24_hours {
            let brake = match self.config.catch_up_per_day {
                0 => String::new(),
                most => format!(" (brake at {most})"),
            };
            facts.push(format!("{starts} {} in 24 hours{brake}", if starts == 1 { "start" } else { "starts" }));
        }
        facts.join(" · ")
    }

    /// The buttons. Each is an element with a `cwdb-action` after it, whose text is the event. CloudWatch asks for a confirmation,
    /// invokes the function with the viewer's permissions, and shows the answer in the place of this page.
    fn buttons(&self) -> Markup {
        html! {
            div.buttons {
                @if let Some(heartbeat) = &self.config.heartbeat {
                    (self.button(
                        "Heartbeat now",
                        "Send a heartbeat? It starts what the page names as next, if its time has come. A retraining costs money.",
                        &json!({
                            "source": "aws.events",
                            "detail-type": "Scheduled Event",
                            "resources": [format!("rule/{heartbeat}")],
                            "time": rfc3339(self.status.time.0),
                            "detail": {},
                        }),
                    ))
                }
                @if let Some(executions) = self.status.executions.as_ref().filter(|_| !is_active(self.status) && self.status.mode != "drain") {
                    @let newest = executions.first().and_then(|newest| newest.arn.rsplit('/').next()).unwrap_or("none");
                    (self.button(
                        "Retrain now",
                        "Start a retraining? It costs money. Cooldown and holds do not apply.",
                        &json!({
                            "source": "drift-router",
                            "detail-type": "Retrain",
                            "detail": { "id": format!("after-{newest}"), "reason": "Retrain now on the status page" },
                        }),
                    ))
                }
            }
        }
    }

    fn button(&self, name: &str, confirmation: &str, event: &Value) -> Markup {
        html! {
            a class="btn btn-primary" role="button" tabindex="0" { (name) }
            cwdb-action action="call" display="widget" endpoint=(self.function_arn) confirmation=(confirmation) { (event) }
        }
    }
}
