//! Times, durations and words as a person reads them.

use std::time::{Duration, SystemTime};

use crate::outcome::status::{ShownExecution, ShownFinding};
use crate::policy::rfc3339;
use crate::policy::start::{name_in, spoken};

/// The characters of a text that anybody may have written.
pub(super) const MOST_TEXT: usize = 400;

/// Writes times in the viewer's time zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: SystemTime,
    pub(super) minutes_ahead: i32,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A time in the viewer's zone, in parts.
struct Parts {
    year: String,
    /// Such as `27 Nov`.
    day: String,
    /// Such as `09:12`.
    minute: String,
}

impl Clock {
    /// Such as `27 Nov 09:12`, with the year if it is another one than now.
    pub(super) fn time(self, at: SystemTime) -> String {
        let Parts { year, day, minute } = self.parts(at);
        if year == self.parts(self.now).year { format!("{day} {minute}") } else { format!("{day} {year} {minute}") }
    }

    /// Such as `27 Nov 2026 09:12 UTC+01:00`.
    pub(super) fn time_and_zone(self, at: SystemTime) -> String {
        let Parts { year, day, minute } = self.parts(at);
        let (sign, ahead) = (if self.minutes_ahead < 0 { '-' } else { '+' }, self.minutes_ahead.unsigned_abs());
        match ahead {
            0 => format!("{day} {year} {minute} UTC"),
            _ => format!("{day} {year} {minute} UTC{sign}{:02}:{:02}", ahead / 60, ahead % 60),
        }
    }

    /// A mark of a time axis: the day at midnight, else the hour.
    pub(super) fn axis(self, at: SystemTime) -> String {
        let Parts { day, minute, .. } = self.parts(at);
        if minute == "00:00" { day } else { minute }
    }

    /// The seconds since 1970-01-01T00:00 in the viewer's zone, at least 0.
    pub(super) fn local_seconds(self, at: SystemTime) -> u64 {
        self.local(at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Writes each time of a sentence as [`Clock::time`] does. The router's sentences have times as RFC 3339 writes them in UTC.
    pub(super) fn localise(self, sentence: &str) -> String {
        const LENGTH: usize = "2026-11-27T09:12:00Z".len();
        let mut text = String::new();
        let mut rest = sentence;
        while let Some(letter) = rest.chars().next() {
            let written = rest.get(..LENGTH).filter(|word| letter.is_ascii_digit() && word.ends_with('Z'));
            match written.and_then(|word| humantime::parse_rfc3339(word).ok()) {
                Some(at) => {
                    text.push_str(&self.time(at));
                    rest = &rest[LENGTH..];
                }
                None => {
                    text.push(letter);
                    rest = &rest[letter.len_utf8()..];
                }
            }
        }
        text
    }

    fn parts(self, at: SystemTime) -> Parts {
        let text = rfc3339(self.local(at));
        let part = |range| text.get(range).unwrap_or_default();
        let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
        Parts {
            year: part(0..4).to_owned(),
            day: format!("{} {}", part(8..10).trim_start_matches('0'), month.unwrap_or(&"")),
            minute: part(11..16).to_owned(),
        }
    }

    /// The time that a clock in the viewer's zone shows, as if it were UTC.
    fn local(self, at: SystemTime) -> SystemTime {
        let ahead = Duration::from_secs(u64::from(self.minutes_ahead.unsigned_abs()) * 60);
        let local = if self.minutes_ahead < 0 { at.checked_sub(ahead) } else { at.checked_add(ahead) };
        local.unwrap_or(at)
    }
}

/// Such as `41 min`, `3 h 12 min` or `12 days`.
pub(super) fn duration(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    match minutes {
        0 => "less than a minute".to_owned(),
        1..=59 => format!("{minutes} min"),
        60..=2879 if minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        60..=2879 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days", minutes / 1440),
    }
}

/// A word of the answer as people write it: `coolingDown` as `cooling down`.
pub(super) fn spaced(word: &str) -> String {
    let mut text = String::new();
    for letter in word.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// A text with a capital at its beginning, and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// What an execution was started for.
pub(super) fn what(execution: &ShownExecution) -> String {
    match (execution.trigger, &execution.key) {
        (Some(trigger), Some(key)) => format!("{} · {}", spoken(trigger), name_in(key)),
        (Some(trigger), None) => spoken(trigger).to_owned(),
        (None, _) => "not by this router".to_owned(),
    }
}

/// The name in a finding's key: without its time, which stands beside it.
pub(super) fn name_of(finding: &ShownFinding) -> &str {
    let time = finding.since.map(|since| format!(" {}", rfc3339(since.0)));
    time.and_then(|time| finding.key.strip_suffix(&time)).unwrap_or(&finding.key)
}

/// The beginning of a text that anybody may have written.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn clock(minutes_ahead: i32) -> Clock {
        Clock { now: at("2026-11-27T14:05:00Z"), minutes_ahead }
    }

    #[test]
    fn a_time_is_written_in_the_viewers_zone_and_with_a_year_that_is_not_this_one() {
        assert_eq!(clock(0).time(at("2026-11-07T09:12:59Z")), "7 Nov 09:12");
        assert_eq!(clock(120).time(at("2026-11-27T23:12:00Z")), "28 Nov 01:12");
        assert_eq!(clock(-210).time(at("2026-11-27T02:00:00Z")), "26 Nov 22:30");
        assert_eq!(clock(0).time(at("2025-12-31T09:12:00Z")), "31 Dec 2025 09:12");
        assert_eq!(clock(60).time(at("2025-12-31T23:30:00Z")), "1 Jan 00:30");
        assert_eq!(clock(-210).time_and_zone(clock(0).now), "27 Nov 2026 10:35 UTC-03:30");
        assert_eq!(clock(60).time_and_zone(clock(0).now), "27 Nov 2026 15:05 UTC+01:00");
        assert_eq!(clock(0).time_and_zone(clock(0).now), "27 Nov 2026 14:05 UTC");
        assert_eq!(clock(0).time(SystemTime::UNIX_EPOCH), "1 Jan 1970 00:00");
    }

    #[test]
    fn the_times_of_a_sentence_are_written_in_the_viewers_zone() {
        let localised = |text| clock(60).localise(text);
        assert_eq!(
            localised("a waits from 2026-11-27T13:05:00Z until 2026-11-28T09:12:00Z."),
            "a waits from 27 Nov 14:05 until 28 Nov 10:12."
        );
        for unchanged in ["", "no time", "2026-11-27", "2026-99-27T13:05:00Z", "é2026-11-27T13:05:00", "🚕🚕🚕🚕🚕🚕"]
        {
            assert_eq!(localised(unchanged), unchanged);
        }
        assert_eq!(localised("é2026-11-27T13:05:00Zé"), "é27 Nov 14:05é");
    }

    #[test]
    fn a_duration_has_two_units_at_most() {
        let text = |minutes: u64| duration(Duration::from_mins(minutes));
        assert_eq!(
            [0, 1, 59, 60, 61, 2879, 2880, 17_280].map(text),
            ["less than a minute", "1 min", "59 min", "1 h", "1 h 1 min", "47 h 59 min", "2 days", "12 days"]
        );
    }

    #[test]
    fn words_are_spaced_and_long_texts_are_cut() {
        assert_eq!(
            ["coolingDown", "served", "alreadyRunning"].map(spaced),
            ["cooling down", "served", "already running"]
        );
        assert_eq!((cut("éàü", 2), cut("éàü", 3)), ("éà…".to_owned(), "éàü".to_owned()));
        assert_eq!(["", "no.", "é"].map(sentence), [".", "No.", "É."]);
    }
}
