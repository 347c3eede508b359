//! The timeline of the page, as SVG: executions as bars, what asked for them as marks, the cooldown as an area, and what comes next.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use crate::model::Trigger;
use crate::outcome::status::{Assessment, ShownExecution, ShownFinding, ShownNext, Status};
use crate::page::text::{Clock, cut, duration, name_of, spaced, what};
use crate::page::tone::Tone;
use crate::policy::start::{display_name_of, name_in, spoken};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// What is older is only in the tables.
const LONGEST: Duration = Duration::from_hours(100 * 24);

/// The distances between two marks of the axis.
const STEPS: [Duration; 9] = [
    HOUR,
    Duration::from_hours(3),
    Duration::from_hours(6),
    Duration::from_hours(12),
    DAY,
    Duration::from_hours(2 * 24),
    Duration::from_hours(7 * 24),
    Duration::from_hours(14 * 24),
    Duration::from_hours(28 * 24),
];

/// More marks would be one above the other.
const MOST_MARKS: usize = 25;

/// The width of a letter at the font's size, in pixels, and a little more.
const LETTER: f64 = 6.6;

const BAR: f64 = 16.0;
const EXECUTIONS: f64 = 38.0;
const MARKS: f64 = 92.0;
const AXIS: f64 = 124.0;
const HEIGHT: f64 = 134.0;

/// The times that are shown, and where they are.
struct Scale {
    from: SystemTime,
    to: SystemTime,
    width: f64,
}

impl Scale {
    fn new(status: &Status, assessment: &Assessment, width: f64) -> Self {
        let now = status.time.0;
        let past = |at: &SystemTime| *at <= now && now.duration_since(*at).is_ok_and(|age| age <= LONGEST);
        let starts = assessment.executions.iter().filter_map(|execution| execution.started);
        let findings = assessment.findings.iter().filter_map(|finding| finding.since);
        let oldest = starts.chain(findings).map(|time| time.0).filter(past).min();
        let age = oldest.and_then(|oldest| now.duration_since(oldest).ok()).unwrap_or_default().max(6 * HOUR);
        let earliest = match &status.next {
            ShownNext::Next { earliest, .. } => Some(earliest.0),
            ShownNext::Nothing { until, .. } => until.map(|until| until.0),
        };
        let later = earliest.into_iter().chain(assessment.cooldown_until.map(|until| until.0)).max();
        let ahead = later.and_then(|later| later.duration_since(now).ok()).unwrap_or_default().min(age);
        // Some room at both sides, for the words there.
        let room = (age + ahead) / 12;
        let from = now.checked_sub(age + room).unwrap_or(SystemTime::UNIX_EPOCH);
        Self { from, to: now + ahead + room, width }
    }

    /// Where a time is, in pixels. One outside of the scale is at its edge.
    fn x(&self, at: SystemTime) -> f64 {
        let all = self.to.duration_since(self.from).unwrap_or(HOUR).as_secs_f64();
        let part = at.duration_since(self.from).unwrap_or_default().as_secs_f64() / all;
        (part.min(1.0) * self.width * 10.0).round() / 10.0
    }

    fn has(&self, at: SystemTime) -> bool {
        self.from <= at && at <= self.to
    }

    /// The marks of the axis: where, and the time.
    fn axis(&self, clock: Clock) -> Vec<(f64, String)> {
        let span = self.to.duration_since(self.from).unwrap_or(HOUR);
        let most = (self.width / 70.0).max(2.0);
        let step = STEPS.into_iter().find(|step| span.as_secs_f64() / step.as_secs_f64() <= most).unwrap_or(LONGEST);
        let behind = clock.local_seconds(self.from) % step.as_secs();
        let first = self.from + step - Duration::from_secs(behind);
        let marks = (0..).map_while(|count| Some(first + step * count).filter(|at| *at <= self.to));
        marks.map(|at| (self.x(at), clock.axis(at))).collect()
    }
}

/// The width of a text, in pixels.
fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// Gives words a place where they do not lie on others.
#[derive(Default)]
struct Words {
    taken: Vec<(f64, f64)>,
}

impl Words {
    /// Where a text begins: right of `x`, else left of it. `None` if there is no room.
    fn place(&mut self, text: &str, x: f64, gap: f64, width: f64) -> Option<f64> {
        let length = width_of(text);
        [x + gap, x - gap - length].into_iter().find(|begin| self.take_if_free(*begin, begin + length, width))
    }

    /// Takes a place, if it is within the width and lies on no other. Returns whether it did.
    fn take_if_free(&mut self, from: f64, to: f64, width: f64) -> bool {
        let is_free = |(begin, end): &(f64, f64)| to + 4.0 < *begin || *end + 4.0 < from;
        let is_free = from >= 0.0 && to <= width && self.taken.iter().all(is_free);
        if is_free {
            self.take(from, to);
        }
        is_free
    }

    fn take(&mut self, from: f64, to: f64) {
        self.taken.push((from, to));
    }
}

/// Draws the timeline. `None` if there is nothing to draw.
pub(super) fn timeline(status: &Status, assessment: &Assessment, clock: Clock, width: u32) -> Option<Markup> {
    let Assessment { executions, findings, .. } = assessment;
    if executions.is_empty() && findings.is_empty() {
        return None;
    }
    let width = f64::from(width);
    let scale = &Scale::new(status, assessment, width);
    let drawn =
        executions.iter().filter(|execution| execution.started.is_some_and(|started| scale.has(started.0))).count();
    let now = status.time.0;
    let next = match &status.next {
        ShownNext::Next { trigger, earliest, .. } if scale.has(earliest.0) => Some((*trigger, earliest.0)),
        ShownNext::Next { .. } | ShownNext::Nothing { .. } => None,
    };
    let label = format!("{drawn} executions on a time axis, and what asked for them");
    Some(html! {
        svg viewBox=(format!("0 0 {width} {HEIGHT}")) style=(format!("max-width: {width}px")) role="img" aria-label=(label) {
            @for (x, time) in scale.axis(clock) {
                line.grid x1=(x) x2=(x) y1="18" y2=(AXIS - 12.0) {}
                @if x + 40.0 < width { text.quiet x=(x) y=(AXIS + 4.0) { (time) } }
            }
            @if let Some(until) = assessment.cooldown_until {
                (cooldown(scale, executions, until.0, clock))
            }
            (now_line(scale, now))
            @if let Some((trigger, earliest)) = next {
                (next_line(scale, trigger, earliest, clock))
            }
            (bars(scale, executions, clock))
            (marks(scale, executions, findings, clock))
        }
    })
}

fn cooldown(scale: &Scale, executions: &[ShownExecution], until: SystemTime, clock: Clock) -> Markup {
    let last = executions.iter().filter_map(|execution| execution.started).map(|started| started.0).max();
    let (from, to) = (last.map_or(0.0, |last| scale.x(last)), scale.x(until));
    html! {
        rect.cooldown x=(from) width=(to - from) y="26" height=(BAR + 24.0) {
            title { "Cooldown: drift starts nothing until " (clock.time(until)) }
        }
        @if to - from > 9.0 * LETTER {
            text.quiet x=(to - 4.0) y=(EXECUTIONS + BAR + 9.0) text-anchor="end" { "cooldown" }
        }
    }
}

fn now_line(scale: &Scale, now: SystemTime) -> Markup {
    let x = scale.x(now);
    html! {
        line.now x1=(x) x2=(x) y1="14" y2=(AXIS - 12.0) {}
        text.quiet x=(x) y="10" text-anchor="middle" { "now" }
    }
}

fn next_line(scale: &Scale, next: Trigger, earliest: SystemTime, clock: Clock) -> Markup {
    let x = scale.x(earliest);
    let anchor = if x > scale.width / 2.0 { "end" } else { "start" };
    html! {
        line.next x1=(x) x2=(x) y1="26" y2=(AXIS - 12.0) {
            title { "A heartbeat starts " (spoken(next)) " from " (clock.time(earliest)) " on" }
        }
        text.strong x=(x) y=(MARKS - 13.0) text-anchor=(anchor) { "next: " (spoken(next)) }
    }
}

/// The executions, from the oldest to the newest. Those that overlap are in two rows.
fn bars(scale: &Scale, executions: &[ShownExecution], clock: Clock) -> Markup {
    let mut words = Words::default();
    let mut ends = [f64::MIN; 2];
    let mut bars = Vec::new();
    for execution in executions.iter().rev() {
        let Some(started) = execution.started.map(|started| started.0).filter(|started| scale.has(*started)) else {
            continue;
        };
        let tone = Tone::of_status(&execution.status);
        let ended = execution.ended.map_or(if tone == Tone::Runs { clock.now } else { started }, |ended| ended.0);
        let x = scale.x(started);
        let length = (scale.x(ended) - x).max(6.0);
        let row = usize::from(ends[0] > x && ends[1] <= x);
        ends[row] = x + length;
        let y = EXECUTIONS + row as f64 * (BAR + 2.0);
        let took = ended.duration_since(started).ok().filter(|took| !took.is_zero()).map(duration);
        let (symbol, middle) = (tone.symbol(), x + length / 2.0);
        // The symbol is always there. The trigger's word stands over the first row, where there is room.
        let is_inside = length >= 14.0;
        let word = execution.trigger.map_or("other", spoken);
        let word = if is_inside { word.to_owned() } else { format!("{symbol} {word}") };
        let has_room = row == 0 && words.take_if_free(x, x + width_of(&word), scale.width);
        let word = if has_room { Some(word) } else { (!is_inside).then(|| symbol.to_owned()) };
        let y_word = if row == 0 { EXECUTIONS - 5.0 } else { y + BAR + 10.0 };
        let class = if matches!(tone, Tone::Good | Tone::Bad) { "inside" } else { "strong" };
        bars.push(html! {
            rect class=(format!("bar {}", tone.class())) x=(x) y=(y) width=(length) height=(BAR) rx="3" {
                title { (what(execution)) ": " (execution.status) ", " (clock.time(started)) @if let Some(took) = took { ", " (took) } }
            }
            @if is_inside { text class=(class) x=(middle) y=(y + 12.0) text-anchor="middle" { (symbol) } }
            @if let Some(word) = word { text x=(x) y=(y_word) { (word) } }
        });
    }
    html! { @for bar in &bars { (bar) } }
}

/// Something that asked for a retraining.
struct Mark {
    trigger: Trigger,
    name: String,
    at: SystemTime,
    /// What is said of it beside its name.
    word: String,
    /// Whether it is so until now: an alarm in ALARM.
    lasts: bool,
}

/// What asks for a retraining now, and what the executions were started for.
fn marks(scale: &Scale, executions: &[ShownExecution], findings: &[ShownFinding], clock: Clock) -> Markup {
    let mut marks: Vec<Mark> = Vec::new();
    for finding in findings {
        let (trigger, name, word) = (finding.trigger, name_of(finding).to_owned(), spaced(finding.verdict.word()));
        let lasts = trigger == Trigger::Drift;
        marks.extend(finding.since.map(|since| Mark { trigger, name, at: since.0, word, lasts }));
    }
    for execution in executions {
        let (Some(trigger), Some(key), Some(started)) = (execution.trigger, &execution.key, execution.started) else {
            continue;
        };
        let name = format!("{}-{key}", trigger.word());
        let is_of = |finding: &ShownFinding| display_name_of(finding.trigger, &finding.key) == name;
        if !findings.iter().any(is_of) {
            let (name, word) = (name_in(key).to_owned(), format!("execution {}", spaced(&execution.status)));
            marks.push(Mark { trigger, name, at: started.0, word, lasts: false });
        }
    }
    marks.retain(|mark| scale.has(mark.at));
    marks.truncate(MOST_MARKS);
    let mut words = Words::default();
    let now = scale.x(clock.now);
    for mark in &marks {
        words.take(scale.x(mark.at) - 6.0, scale.x(mark.at) + 6.0);
    }
    let placed: Vec<_> = marks
        .iter()
        .map(|mark| {
            let text = cut(&mark.name, 28);
            (mark, words.place(&text, scale.x(mark.at), 11.0, scale.width), text)
        })
        .collect();
    html! {
        @for (mark, place, text) in &placed {
            @let x = scale.x(mark.at);
            @if mark.lasts {
                rect class="lasts" x=(x) y=(MARKS + 9.0) width=((now - x).max(0.0)) height="3" {}
            }
            g class=(format!("mark {}", mark.trigger.word())) transform=(format!("translate({x} {MARKS})")) {
                (shape(mark.trigger))
                title { (spoken(mark.trigger)) " " (cut(&mark.name, 100)) ", " (clock.time(mark.at)) ": " (mark.word) }
            }
            @if let Some(begin) = place { text x=(begin) y=(MARKS + 4.0) { (text) } }
        }
    }
}

/// Each trigger has its own shape, for readers who cannot see the colours.
fn shape(trigger: Trigger) -> Markup {
    html! {
        @match trigger {
            Trigger::Drift => path d="M0 -6 L6 5 L-6 5 Z" {},
            Trigger::Schedule => circle r="5" {},
            Trigger::Request { .. } => path d="M-5 -5 H5 V5 H-5 Z" {},
            Trigger::Deployment | Trigger::Job => path d="M0 -6 L6 0 L0 6 L-6 0 Z" {},
        }
    }
}

/// What the shapes and symbols mean.
pub(super) fn legend() -> Markup {
    let example = |trigger: Trigger| {
        html! { svg viewBox="-7 -7 14 14" { g class=(format!("mark {}", trigger.word())) { (shape(trigger)) } } }
    };
    html! {
        p class="quiet legend" {
            (example(Trigger::Deployment)) " deployment " (example(Trigger::Schedule)) " tick "
            (example(Trigger::Drift)) " drift (line: still in ALARM) " (example(Trigger::Request { is_forced: false })) " request"
            @for (tone, word) in [(Tone::Good, "succeeded"), (Tone::Bad, "failed"), (Tone::Off, "stopped"), (Tone::Runs, "runs")] {
                " · " (tone.symbol()) " " (word)
            }
            " · dashed area: cooldown · dotted line: what is next"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExecutionArn;
    use crate::outcome::status::Time;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn scale() -> Scale {
        Scale { from: at("2026-11-20T10:00:00Z"), to: at("2026-11-24T10:00:00Z"), width: 800.0 }
    }

    #[test]
    fn a_time_is_at_its_place_and_one_outside_is_at_the_edge() {
        let x = |text| scale().x(at(text));
        assert_eq!(
            ["2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z", "2026-11-24T10:00:00Z"].map(x),
            [0.0, 200.0, 800.0]
        );
        assert_eq!(["2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"].map(x), [0.0, 800.0]);
    }

    #[test]
    fn the_axis_has_marks_at_the_viewers_midnight() {
        let clock = |minutes_ahead| Clock { now: at("2026-11-24T09:00:00Z"), minutes_ahead };
        let days = |minutes_ahead| scale().axis(clock(minutes_ahead));
        let utc: Vec<_> = days(0).into_iter().filter(|(_, text)| text.contains("Nov")).collect();
        let [first, .., last] = &utc[..] else { panic!("{utc:?}") };
        assert_eq!((first, last), (&(116.7, "21 Nov".to_owned()), &(716.7, "24 Nov".to_owned())));
        let ahead: Vec<_> = days(600).into_iter().filter(|(_, text)| text.contains("Nov")).collect();
        assert_eq!(ahead.first(), Some(&(33.3, "21 Nov".to_owned())));
        // There is room for every mark.
        for width in [300.0, 800.0, 1600.0] {
            let marks = Scale { width, ..scale() }.axis(clock(0));
            assert!(marks.len() >= 3 && marks.windows(2).all(|two| two[1].0 - two[0].0 >= 60.0), "{marks:?}");
        }
    }

    #[test]
    fn words_lie_beside_each_other_or_are_left_out() {
        let mut words = Words::default();
        assert_eq!(words.place("ten words!", 10.0, 5.0, 200.0), Some(15.0));
        assert_eq!(words.place("ten words!", 12.0, 5.0, 200.0), None, "no room on either side");
        assert_eq!(words.place("ten words!", 90.0, 5.0, 200.0), Some(95.0));
        assert_eq!(words.place("end", 190.0, 5.0, 200.0), Some(190.0 - 5.0 - 3.0 * LETTER), "left of it");
    }

    #[test]
    fn a_bar_of_the_second_row_takes_no_place_from_the_words_over_the_first_row() {
        let execution = |trigger, started: &str, ended: &str| ShownExecution {
            arn: ExecutionArn::parse("arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/e").unwrap(),
            trigger: Some(trigger),
            key: None,
            status: "Succeeded".to_owned(),
            started: Some(Time(at(started))),
            ended: Some(Time(at(ended))),
            description: None,
            failed_steps: vec![],
        };
        let newest_first = [
            execution(Trigger::Drift, "2026-11-20T21:00:00Z", "2026-11-21T10:00:00Z"),
            execution(Trigger::Deployment, "2026-11-20T15:00:00Z", "2026-11-21T10:00:00Z"),
            execution(Trigger::Schedule, "2026-11-20T10:00:00Z", "2026-11-20T20:00:00Z"),
        ];
        let drawn = bars(&scale(), &newest_first, Clock { now: scale().to, minutes_ahead: 0 }).0;
        let is_drawn = |word: &str| drawn.contains(&format!(">{word}</text>"));
        assert!(is_drawn("tick") && is_drawn("drift") && !is_drawn("deployment"), "{drawn}");
    }
}
