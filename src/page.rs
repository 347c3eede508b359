//! The status as a page: HTML for a custom widget of a CloudWatch dashboard. CloudWatch removes scripts, and shows styles and SVG.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html>
//!
//! Names, reasons and descriptions may be anybody's words. `maud` escapes them, links encode them, and no page is longer than
//! [`MOST_BYTES`].

mod link;
mod text;
mod timeline;
mod tone;

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::config::Config;
use crate::event::Widget;
use crate::outcome::status::{ShownExecution, ShownFinding, ShownGuard, ShownNext, Status};
use crate::outcome::{Outcome, ShownState};
use crate::page::link::Console;
use crate::page::text::{Clock, cut, duration, sentence, spaced, trigger, what};
use crate::page::tone::Tone;
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

/// The most bytes of a page, for CloudWatch's sake.
const MOST_BYTES: usize = 100_000;

/// The bytes of one part of the page. What has no room is counted.
const PART: usize = MOST_BYTES / 6;

/// The characters of a text that anybody may have written.
const MOST_TEXT: usize = 400;

/// Below this width in pixels, tables become lists.
const NARROW: u32 = 640;

const STYLE: &str = include_str!("page/style.css");

/// Writes the page.
pub(crate) fn html(page: &Page<'_>) -> String {
    let Page { widget, config, function_arn, status, notice } = page;
    let classes = [("dark", widget.is_dark), ("narrow", widget.width < NARROW)];
    let classes: Vec<_> = classes.into_iter().filter_map(|(class, applies)| applies.then_some(class)).collect();
    let page = html! {
        div class=(["drift-router"].into_iter().chain(classes).collect::<Vec<_>>().join(" ")) {
            style { (maud::PreEscaped(STYLE)) }
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
        html! {
            div {
                h2 { (status.pipeline) }
                @for (tone, word) in self.badges() { (badge(tone, &word)) }
            }
            p.summary { (clock.localise(&cut(&status.summary, 2 * MOST_TEXT))) }
            p.quiet { (self.facts()) }
            (self.buttons())
            (self.todo())
            h3 { "Guards" }
            div.guards { @for (role, guard) in self.guards() { (self.guard(role, guard)) } }
            @if let Some(timeline) = timeline::timeline(status, *clock, width) {
                h3 { "Timeline" }
                (timeline)
                (legend())
            }
            @if let Some(findings) = &status.findings {
                h3 { "What asks for a retraining" }
                (self.findings(findings))
            }
            @if let Some(executions) = &status.executions {
                h3 { "Newest executions" }
                (self.executions(executions))
            }
        }
    }

    /// What a person wants to know first.
    fn badges(&self) -> Vec<(Tone, String)> {
        let Self { status, .. } = self;
        let mut badges = Vec::new();
        let is_active = self.is_active();
        if is_active {
            badges.push((Tone::Runs, "a retraining runs".to_owned()));
        }
        if status.retraining_failing == Some(true) {
            badges.push((Tone::Bad, "the last retraining failed".to_owned()));
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

    fn is_active(&self) -> bool {
        let is_active = |execution: &ShownExecution| Tone::of_status(&execution.status) == Tone::Runs;
        self.status.executions.iter().flatten().any(is_active)
    }

    fn facts(&self) -> String {
        let Self { status, .. } = self;
        let mut facts =
            vec![format!("version {}", status.version), format!("as of {}", self.clock.time_and_zone(status.time.0))];
        let has_success = status.executions.iter().flatten().any(|execution| execution.status == "Succeeded");
        facts.extend(status.training_age_seconds.map(std::time::Duration::from_secs).map(|age| match has_success {
            true => format!("the last success started {} ago", duration(age)),
            false => format!("no success for {}", duration(age)),
        }));
        if let Some(starts) = status.starts_in_24_hours {
            let brake = match self.config.catch_up_per_day {
                0 => String::new(),
                most => format!(" (heartbeats start none at {most})"),
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
                @if let Some(executions) = self.status.executions.as_ref().filter(|_| !self.is_active() && self.status.mode != "drain") {
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

    /// What is wrong, and what to do about it.
    fn todo(&self) -> Markup {
        let Self { status, clock, .. } = self;
        let mut items = Vec::new();
        if status.retraining_failing == Some(true) {
            let steps = status.executions.iter().flatten().flat_map(|execution| &execution.failed_steps);
            let steps: Vec<_> =
                steps.map(|step| format!("step {} failed: {}", step.step, cut(&step.reason, MOST_TEXT))).collect();
            let what = if steps.is_empty() { "the last retraining failed".to_owned() } else { steps.join("; ") };
            let advice = if self.is_active() {
                "Another one runs. If it succeeds, this notice ends."
            } else {
                "The router does not repeat it. Remove the cause, then press Retrain now. This notice ends when a training succeeds."
            };
            items.push((Tone::Bad, sentence(&what), advice.to_owned()));
        }
        for (role, guard) in self.guards() {
            let name = guard_name(role);
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
                    let reason =
                        reason.as_ref().map(|reason| format!(" ({})", cut(reason, MOST_TEXT))).unwrap_or_default();
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
            items.push((
                Tone::Bad,
                sentence(&cut(unread, MOST_TEXT)),
                "What this says may be missing below.".to_owned(),
            ));
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

    /// In the order in which people think of them.
    fn guards(&self) -> impl Iterator<Item = (&'static str, &ShownGuard)> {
        let roles = ["stage", "scheduleRule", "driftRule"].into_iter();
        roles.filter_map(|role| Some((role, self.status.guards.get(role)?)))
    }

    fn guard(&self, role: &str, guard: &ShownGuard) -> Markup {
        let config = self.config;
        let console = self.console.as_ref();
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
            ShownGuard::Read { state, .. } => match state {
                ShownState::Enabled => (Tone::Good, "enabled"),
                ShownState::Disabled => (Tone::Runs, "disabled while a retraining runs"),
                ShownState::Held => (Tone::Warn, "held: somebody disabled it"),
                ShownState::HeldBy(_) => (Tone::Warn, "held by another router"),
                ShownState::Inconsistent => (Tone::Warn, "state and mark contradict each other"),
            },
        };
        html! {
            div class=(format!("guard {}", tone.class())) {
                span.name { b { (guard_name(role)) } }
                span { (tone.symbol()) " " (word) }
                @if let Some((name, link)) = named { span.quiet { (linked(&name, link)) } }
            }
        }
    }

    fn findings(&self, findings: &[ShownFinding]) -> Markup {
        let clock = self.clock;
        let rows = findings.iter().map(|finding| {
            let at = finding.since.map(|since| format!(" {}", rfc3339(since.0)));
            let key = at.and_then(|at| finding.key.strip_suffix(&at)).unwrap_or(&finding.key);
            let link = self.console.as_ref().filter(|_| finding.trigger == "drift").map(|console| console.alarm(key));
            html! {
                tr {
                    td { (trigger(finding.trigger)) " · " (linked(&cut(key, MOST_TEXT), link)) }
                    td.when { @if let Some(since) = finding.since { (clock.time(since.0)) } }
                    td {
                        (badge(Tone::of_verdict(finding.verdict), &spaced(finding.verdict))) " "
                        (sentence(&clock.localise(&cut(&finding.reason, MOST_TEXT))))
                    }
                }
            }
        });
        if findings.is_empty() {
            return html! { p { "Nothing: no deployment, no tick and no alarm waits." } };
        }
        table(["reason", "since", "verdict"], rows)
    }

    fn executions(&self, executions: &[ShownExecution]) -> Markup {
        let clock = self.clock;
        let rows = executions.iter().map(|execution| {
            let ended = execution.ended.map(|ended| ended.0).or((Tone::of_status(&execution.status) == Tone::Runs).then_some(clock.now));
            let took = execution.started.zip(ended).and_then(|(started, ended)| ended.duration_since(started.0).ok());
            let id = execution.arn.rsplit('/').next().unwrap_or_default();
            html! {
                tr {
                    td.when { @if let Some(started) = execution.started { (clock.time(started.0)) } @else { "unknown" } }
                    td { (clock.localise(&cut(&what(execution), MOST_TEXT))) " " code.quiet { (id) } }
                    td.when {
                        (badge(Tone::of_status(&execution.status), &execution.status)) " "
                        @if let Some(took) = took { (duration(took)) }
                    }
                    td {
                        @for step in &execution.failed_steps { div { b { (step.step) } ": " (cut(&step.reason, MOST_TEXT)) } }
                        @if let (Some(text), true) = (&execution.description, execution.failed_steps.is_empty()) {
                            span.quiet { (clock.localise(&cut(text, MOST_TEXT))) }
                        }
                    }
                }
            }
        });
        if executions.is_empty() {
            return html! { p { "None yet." } };
        }
        table(["started", "why", "status", "details"], rows)
    }
}

fn guard_name(role: &str) -> &'static str {
    match role {
        "stage" => "Build stage",
        "scheduleRule" => "Schedule rule",
        _ => "Drift rule",
    }
}

fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class=(format!("badge {}", tone.class())) { (tone.symbol()) " " (cut(word, 60)) } }
}

fn linked(name: &str, link: Option<String>) -> Markup {
    html! {
        @match link {
            Some(link) => a href=(link) target="_blank" rel="noopener noreferrer" { (name) },
            None => (name),
        }
    }
}

fn table<const COLUMNS: usize>(columns: [&str; COLUMNS], rows: impl Iterator<Item = Markup>) -> Markup {
    let (rows, left_out) = limited(rows);
    html! {
        table {
            thead { tr { @for column in columns { th { (column) } } } }
            tbody { @for row in &rows { (row) } }
        }
        (more(left_out))
    }
}

/// As many as a part of the page has room for, and how many are left out.
fn limited(rows: impl Iterator<Item = Markup>) -> (Vec<Markup>, usize) {
    let (mut shown, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for row in rows {
        bytes += row.0.len();
        if bytes <= PART { shown.push(row) } else { left_out += 1 }
    }
    (shown, left_out)
}

fn more(left_out: usize) -> Markup {
    html! { @if left_out > 0 { p.quiet { "And " (left_out) " more: the status as JSON has all of them." } } }
}

fn legend() -> Markup {
    let shape = |trigger| html! { svg viewBox="-7 -7 14 14" class="legend" { g class=(format!("mark {trigger}")) { (timeline::shape(trigger)) } } };
    html! {
        p class="quiet legend" {
            (shape("code")) " deployment " (shape("schedule")) " tick " (shape("drift")) " alarm " (shape("request")) " request"
            @for (tone, word) in [(Tone::Good, "succeeded"), (Tone::Bad, "failed"), (Tone::Off, "stopped"), (Tone::Runs, "runs")] {
                " · " (tone.symbol()) " " (word)
            }
        }
    }
}
