//! The tables of the page, and what its parts share.

use maud::{Markup, html};

use crate::model::Trigger;
use crate::outcome::status::{ShownExecution, ShownFinding};
use crate::page::link::Console;
use crate::page::text::{Clock, MOST_TEXT, cut, duration, name_of, spaced, what};
use crate::page::tone::Tone;
use crate::policy::start::spoken;

/// The characters of a name in a table.
const MOST_NAME: usize = 80;

/// The failed steps in a table.
const MOST_STEPS: usize = 3;

/// The bytes of one part of the page. What has no room is counted.
const MOST_BYTES: usize = 16_000;

/// What asks for a retraining, with the verdicts.
pub(super) fn findings(findings: &[ShownFinding], clock: Clock, console: Option<&Console>) -> Markup {
    let rows = findings.iter().map(|finding| {
        let name = name_of(finding);
        let reason = finding.reason.strip_prefix(&format!("{} ", finding.key)).unwrap_or(&finding.reason);
        let link = console.filter(|_| finding.trigger == Trigger::Drift).map(|console| console.alarm(name));
        html! {
            tr {
                td { (spoken(finding.trigger)) " · " (linked(&cut(name, MOST_NAME), link)) }
                td.when { @if let Some(since) = finding.since { (clock.time(since.0)) } }
                td {
                    (badge(Tone::of_verdict(&finding.verdict), &spaced(finding.verdict.word()))) " "
                    (clock.localise(&cut(reason, MOST_TEXT)))
                }
            }
        }
    });
    table(["reason", "since", "verdict"], rows)
}

/// The newest executions.
pub(super) fn executions(executions: &[ShownExecution], clock: Clock) -> Markup {
    let rows = executions.iter().map(|execution| {
        let tone = Tone::of_status(&execution.status);
        let ended = execution.ended.map(|ended| ended.0).or((tone == Tone::Runs).then_some(clock.now));
        let took = execution.started.zip(ended).and_then(|(started, ended)| ended.duration_since(started.0).ok());
        let steps = execution.failed_steps.iter().take(MOST_STEPS);
        html! {
            tr {
                td.when { @if let Some(started) = execution.started { (clock.time(started.0)) } @else { "unknown" } }
                td {
                    (clock.localise(&cut(&what(execution), MOST_TEXT))) " "
                    code.quiet { (execution.arn.id()) }
                }
                td.when { (badge(tone, &execution.status)) " " @if let Some(took) = took { (duration(took)) } }
                td {
                    @for step in steps { div { b { (cut(&step.step, MOST_NAME)) } ": " (cut(&step.reason, MOST_TEXT)) } }
                    @if let (Some(text), true) = (&execution.description, execution.failed_steps.is_empty()) {
                        span.quiet { (clock.localise(&cut(text, MOST_TEXT))) }
                    }
                }
            }
        }
    });
    table(["started", "why", "status", "details"], rows)
}

/// A word with its tone's symbol.
pub(super) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class=(format!("badge {}", tone.class())) { (tone.symbol()) " " (cut(word, 60)) } }
}

/// A name, with a link if there is one.
pub(super) fn linked(name: &str, link: Option<String>) -> Markup {
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
pub(super) fn limited(rows: impl Iterator<Item = Markup>) -> (Vec<Markup>, usize) {
    let (mut shown, mut bytes, mut left_out) = (Vec::new(), 0, 0);
    for row in rows {
        bytes += row.0.len();
        if bytes <= MOST_BYTES { shown.push(row) } else { left_out += 1 }
    }
    (shown, left_out)
}

/// Says how many are left out.
pub(super) fn more(left_out: usize) -> Markup {
    html! { @if left_out > 0 { p.quiet { "And " (left_out) " more: the status as JSON has all of them." } } }
}
