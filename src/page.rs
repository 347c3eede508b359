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

use std::time::{Duration, SystemTime};

use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use crate::config::Config;
use crate::event::Widget;
use crate::model::{FunctionArn, Mode, last_segment};
use crate::outcome::status::{Assessment, ShownFinding, ShownNext, Status};
use crate::outcome::{Action, Outcome};
use crate::page::attention::{attention, has_no_alarm};
use crate::page::link::Console;
use crate::page::tables::badge;
use crate::page::text::{Clock, MOST_TEXT, cut, duration, sentence, spaced};
use crate::page::tone::Tone;
use crate::policy::rfc3339;
use crate::policy::verdict::Verdict;

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
    let now = status.map_or(SystemTime::UNIX_EPOCH, |status| status.time.0);
    let clock = Clock { now, minutes_ahead: widget.minutes_ahead };
    let page = html! {
        div.drift-router.dark[widget.is_dark].narrow[widget.width < NARROW] {
            style { (PreEscaped(STYLE)) }
            @if let Some(notice) = notice { (notice_box(notice, clock)) }
            @match status {
                Some(status) => {
                    @let console = FunctionArn::parse(function_arn).map(|function| Console::beside(&function));
                    @let view = View { status, config, clock, console, function_arn };
                    (view.whole(widget.width.saturating_sub(16)))
                }
                None => p { "The status could not be read in time. Load the dashboard again." }
            }
        }
    };
    page.into_string()
}

fn notice_box(notice: &Notice, clock: Clock) -> Markup {
    let (tone, text) = match notice {
        Notice::Done(outcome) => (tone_of(outcome), done(outcome)),
        Notice::Failed(error) => (Tone::Bad, format!("This failed: {error}")),
    };
    html! {
        p class=(format!("notice {}", tone.class())) role="status" {
            (tone.symbol()) " " span { (clock.localise(&sentence(&cut(&text, 2 * MOST_TEXT)))) }
        }
    }
}

fn tone_of(outcome: &Outcome) -> Tone {
    match outcome.action {
        _ if outcome.dry_run => Tone::Off,
        Some(Action::Started | Action::Engaged | Action::Released | Action::Unchanged | Action::Succeeded) => {
            Tone::Good
        }
        Some(Action::Braked | Action::Held | Action::Failed) => Tone::Warn,
        Some(_) | None => Tone::Off,
    }
}

fn done(outcome: &Outcome) -> String {
    let word = |value: Result<Value, _>| value.ok().and_then(|value| value.as_str().map(spaced)).unwrap_or_default();
    let mut text =
        format!("{}: {}", word(serde_json::to_value(outcome.event)), word(serde_json::to_value(outcome.action)));
    if outcome.dry_run {
        text.push_str(" (a dry run only says so)");
    }
    if let Some(id) = outcome.execution_arn.as_deref().map(last_segment) {
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
            (attention(status, self.config, *clock))
            h3 { "Guards" }
            (guards::cards(status, self.config, console))
            @if let Some(assessment @ Assessment { findings, executions, .. }) = &status.assessment {
                @if let Some(timeline) = timeline::timeline(status, assessment, *clock, width) {
                    h3 { "Timeline" }
                    (timeline)
                    (timeline::legend())
                }
                h3 { "What asks for a retraining" }
                @match (findings.is_empty(), status.failed_reads() == 0) {
                    (true, true) => p { "Nothing: no deployment, no tick and no alarm." },
                    (true, false) => p { "Nothing that could be read." },
                    (false, _) => (tables::findings(findings, *clock, console)),
                }
                h3 { "Newest executions" }
                @if executions.is_empty() { p { "None yet." } } @else { (tables::executions(executions, *clock)) }
            }
        }
    }

    /// What a person wants to know first.
    fn badges(&self) -> Vec<(Tone, String)> {
        let Self { status, .. } = self;
        let mut badges = Vec::new();
        let assessment = status.assessment.as_ref();
        if status.is_active() == Some(true) {
            badges.push((Tone::Runs, "a retraining runs".to_owned()));
        }
        if assessment.is_some_and(|it| it.retraining_failing == Some(true)) {
            badges.push((Tone::Bad, "the newest retraining failed".to_owned()));
        }
        if status.failed_reads() > 0 {
            badges.push((Tone::Bad, "something cannot be read".to_owned()));
        }
        if status.held_guards() > 0 {
            badges.push((Tone::Warn, "held".to_owned()));
        }
        if status.guards.values().any(|guard| guards::is_wrong(guard, status)) {
            badges.push((Tone::Warn, "a guard is not as it should be".to_owned()));
        }
        if has_no_alarm(status, self.config) {
            badges.push((Tone::Warn, "no drift alarm exists".to_owned()));
        }
        match &status.next {
            ShownNext::Next { earliest, .. } if earliest.0 <= status.time.0 => {
                badges.push((Tone::Waits, "a retraining is due".to_owned()));
            }
            ShownNext::Next { earliest, .. } => {
                badges.push((Tone::Waits, format!("next from {} on", self.clock.time(earliest.0))));
            }
            ShownNext::Nothing { why: why @ ("braked" | "noStartTime"), .. } => badges.push((Tone::Warn, spaced(why))),
            ShownNext::Nothing { .. } => {}
        }
        let is_owed = |finding: &ShownFinding| matches!(finding.verdict, Verdict::Owed | Verdict::OwedUnlessMuted);
        let is_owed = assessment.is_some_and(|it| it.findings.iter().any(is_owed));
        if is_owed && matches!(status.next, ShownNext::Nothing { why: "noHeartbeat", .. }) {
            badges.push((Tone::Warn, "owed, but no heartbeat starts it".to_owned()));
        }
        if badges.is_empty() && self.config.mode != Mode::Drain {
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
        if let Some(assessment) = &status.assessment {
            let has_success = assessment.executions.iter().any(|execution| execution.status == "Succeeded");
            facts.extend(assessment.training_age_seconds.map(Duration::from_secs).map(|age| match has_success {
                true => format!("the last success started {} ago", duration(age)),
                false => format!("no success for {}", duration(age)),
            }));
            let starts = assessment.starts_in_24_hours;
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
                        &self.heartbeat_question(),
                        &json!({
                            "source": "aws.events",
                            "detail-type": "Scheduled Event",
                            "resources": [format!("rule/{heartbeat}")],
                            "time": rfc3339(self.status.time.0),
                            "detail": {},
                        }),
                    ))
                }
                @let may_start = |it: &&Assessment| !it.is_active && self.config.mode != Mode::Drain;
                @if let Some(assessment) = self.status.assessment.as_ref().filter(may_start) {
                    @let newest = assessment.executions.first().map_or("none", |newest| newest.arn.id());
                    (self.button(
                        "Retrain now",
                        &format!("Start a retraining of {}? {}Cooldown and holds do not apply.", self.status.pipeline, self.cost()),
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

    fn heartbeat_question(&self) -> String {
        let starts = match &self.status.next {
            ShownNext::Next { .. } => {
                format!("It starts what the page names as next, if its time has come. {}", self.cost())
            }
            ShownNext::Nothing { .. } => "The page names nothing to start.".to_owned(),
        };
        format!("Send a heartbeat to the router of {}? It sets the guards. {starts}", self.status.pipeline)
    }

    fn cost(&self) -> &'static str {
        match self.config.mode {
            Mode::Active => "A retraining costs money. ",
            Mode::DryRun | Mode::Drain => "But this router only says so. ",
        }
    }

    fn button(&self, name: &str, confirmation: &str, event: &Value) -> Markup {
        html! {
            a class="btn btn-primary" role="button" tabindex="0" { (name) }
            cwdb-action action="call" display="widget" endpoint=(self.function_arn) confirmation=(confirmation) { (event) }
        }
    }
}
