//! Marks and tags: what the router writes on a guard, and how it reads it again.
//!
//! A mark says that this router disabled the guard. It names its owner, the SageMaker pipeline. The tag of a tick says that a
//! retraining is owed.

use std::time::SystemTime;

use humantime::parse_rfc3339;

use crate::model::TickTag;
use crate::policy::{HASH_LENGTH, digest, is_ahead, rfc3339};

/// The longest owner name in a mark, in characters.
const OWNER_LENGTH: usize = 64;

/// The owner name in a router's marks: the SageMaker pipeline's name in lower case. A name of more than 64 characters is cut to 47,
/// a hyphen and 16 digits of its hash.
pub(crate) fn owner(pipeline: &str) -> String {
    let name = pipeline.to_ascii_lowercase();
    if name.len() <= OWNER_LENGTH {
        return name;
    }
    let kept: String = name.chars().take(OWNER_LENGTH - HASH_LENGTH - 1).collect();
    format!("{kept}-{}", &digest(&[&name])[..HASH_LENGTH])
}

/// The tag key on a rule that a router disabled.
pub(crate) const RULE_MARK: &str = "drift-router:paused-by";

/// The value of [`RULE_MARK`]: `<owner>/<execution id>`.
pub(crate) fn rule_mark(owner: &str, execution_id: &str) -> String {
    format!("{owner}/{}", printable(execution_id))
}

/// The owner of a rule's mark, or `None` if no router wrote the value.
pub(crate) fn rule_mark_owner(mark: &str) -> Option<&str> {
    let (owner, execution_id) = mark.split_once('/')?;
    (is_owner(owner) && is_printable(execution_id)).then_some(owner)
}

/// The tag key on the schedule rule while a tick is owed.
pub(crate) const TICK_TAG: &str = "drift-router:owed-since";

/// The value of [`TICK_TAG`]: `<owner>/<time of the tick>`.
pub(crate) fn tick_tag(owner: &str, tick: SystemTime) -> String {
    format!("{owner}/{}", rfc3339(tick))
}

/// Reads the value of [`TICK_TAG`].
pub(crate) fn read_tick_tag(value: &str, ours: &str) -> TickTag {
    match value.split_once('/') {
        Some((owner, time)) if owner == ours => parse_rfc3339(time).map_or(TickTag::Unreadable, TickTag::Since),
        _ => TickTag::OtherRouter,
    }
}

/// What is done with the schedule rule's tag when a tick is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagWrite {
    /// It gets this time.
    Write(SystemTime),
    /// The tag names this tick or a later one, which serves both.
    Keep,
    /// The tag is another router's and stays.
    Foreign,
}

/// Decides how the owed tick of `at` is noted, given the tag that was found. A time that is far ahead of the clock would hide this tick
/// and later ones until then, so such a tick gets the clock's time, and such a tag is replaced.
pub(crate) fn tag_write(found: Option<&TickTag>, at: SystemTime, now: SystemTime) -> TagWrite {
    let at = if is_ahead(at, now) { now } else { at };
    match found {
        Some(TickTag::Since(since)) if *since >= at && !is_ahead(*since, now) => TagWrite::Keep,
        Some(TickTag::OtherRouter) => TagWrite::Foreign,
        Some(TickTag::Since(_) | TickTag::Unreadable) | None => TagWrite::Write(at),
    }
}

/// The three parts of the reason of every transition that a router disabled. Between them are the owner and the execution's id.
const STAGE_MARK: [&str; 3] = [
    "Disabled by drift-router (",
    ") while SageMaker pipeline execution ",
    " runs. It is enabled again when no execution runs.",
];

/// The reason of a disabled transition. CodePipeline accepts 1 to 300 characters of `[a-zA-Z0-9!@ ().*?-]`
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html>). People read it in the console.
pub(crate) fn stage_mark(owner: &str, execution_id: &str) -> String {
    let [before, between, after] = STAGE_MARK;
    format!("{before}{owner}{between}{}{after}", printable(execution_id))
}

/// The owner of a disabled transition, or `None` if no router disabled it. Only the whole sentence is a mark: a person may begin a
/// reason with the same words.
pub(crate) fn stage_mark_owner(reason: &str) -> Option<&str> {
    let [before, between, after] = STAGE_MARK;
    let (owner, execution_id) = reason.strip_prefix(before)?.strip_suffix(after)?.split_once(between)?;
    (is_owner(owner) && is_printable(execution_id)).then_some(owner)
}

/// Whether [`owner`] may have made this name.
fn is_owner(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=OWNER_LENGTH).contains(&name.len()) && name.chars().all(is_part)
}

/// Whether [`printable`] may have made this id.
fn is_printable(id: &str) -> bool {
    printable(id) == id
}

/// An execution's id, with only the characters that marks may contain, cut to 100.
fn printable(execution_id: &str) -> String {
    execution_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    /// 2021-06-01T12:00:00Z.
    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_548_800)
    }

    #[test]
    fn the_tag_of_an_owed_tick_is_read_as_it_was_written_and_the_later_time_wins() {
        let tag = |time| tick_tag("a-b", time);
        assert_eq!(tag(noon()), "a-b/2021-06-01T12:00:00Z");
        assert_eq!(read_tick_tag(&tag(noon()), "a-b"), TickTag::Since(noon()));
        assert_eq!(read_tick_tag(&tag(noon()), "a"), TickTag::OtherRouter);
        assert_eq!(read_tick_tag("a/noon", "a"), TickTag::Unreadable);
        let longest = tick_tag(&owner(&"x".repeat(256)), noon());
        assert!(longest.len() <= 256, "{longest}");
        for (found, write) in [
            (None, TagWrite::Write(noon())),
            (Some(TickTag::Since(noon() - HOUR)), TagWrite::Write(noon())),
            (Some(TickTag::Since(noon())), TagWrite::Keep),
            (Some(TickTag::Since(noon() + HOUR)), TagWrite::Keep),
            (Some(TickTag::Since(noon() + 3 * HOUR)), TagWrite::Write(noon())),
            (Some(TickTag::Unreadable), TagWrite::Write(noon())),
            (Some(TickTag::OtherRouter), TagWrite::Foreign),
        ] {
            assert_eq!(tag_write(found.as_ref(), noon(), noon() + 2 * HOUR), write, "{found:?}");
        }
        // Clocks differ by seconds. What is further ahead gets the clock's time.
        let minutes = |minutes: u32| noon() + minutes * Duration::from_mins(1);
        assert_eq!(tag_write(None, minutes(5), noon()), TagWrite::Write(minutes(5)));
        assert_eq!(tag_write(None, minutes(6), noon()), TagWrite::Write(noon()));
        assert_eq!(tag_write(Some(&TickTag::Since(minutes(5))), noon(), noon()), TagWrite::Keep);
    }

    #[test]
    fn a_mark_names_its_owner_and_only_the_whole_sentence_is_one() {
        let id = "abc123def456";
        for owner in ["a", "a-b", "nyctaxi-pipeline-2"] {
            assert_eq!(stage_mark_owner(&stage_mark(owner, id)), Some(owner));
            assert_eq!(rule_mark_owner(&rule_mark(owner, id)), Some(owner));
        }
        let sentence = stage_mark("a", id);
        for by_hand in [
            "release freeze",
            "Disabled by drift-router",
            "Disabled by drift-router maintenance, do not enable",
            "Disabled by drift-router (ops) until Friday",
            // Version 0.1 wrote no owner.
            "Disabled by drift-router while SageMaker pipeline execution abc runs. It is enabled again when no execution runs.",
            &format!("{sentence} Do not enable."),
            &format!("Note: {sentence}"),
            &sentence.replace("(a)", "(the ops team)"),
            &sentence.replace(id, "none (really)"),
        ] {
            assert_eq!(stage_mark_owner(by_hand), None, "{by_hand}");
        }
        for by_hand in [id, "", "ops", "/abc", "The Ops/abc", "a/b/c", "a/b c"] {
            assert_eq!(rule_mark_owner(by_hand), None, "{by_hand}");
        }
    }

    #[test]
    fn marks_are_what_the_services_accept() {
        let owners = [owner("A"), owner(&"x".repeat(64)), owner(&"x".repeat(65)), owner(&"x".repeat(256))];
        assert_eq!(owners[0], "a");
        assert_eq!(owners[1].len(), 64);
        assert_eq!(owners[3].len(), 64);
        assert!(owners[3].starts_with(&format!("{}-", "x".repeat(47))), "{}", owners[3]);
        assert_eq!(rule_mark("a", "ib8-7 (x)"), "a/ib8-7x");
        assert!(stage_mark("a", "ib8-7 (x)").contains(" execution ib8-7x runs."));
        assert_ne!(owners[2], owners[3]);
        for owner in &owners {
            assert!(owner.len() <= 64, "{owner}");
            for id in ["abc123def456", "a:b/c", &"x".repeat(1000), ""] {
                let reason = stage_mark(owner, id);
                assert!(reason.len() <= 300 && rule_mark(owner, id).len() <= 256, "{reason}");
                assert!(reason.chars().all(|c| c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c)), "{reason}");
                assert_eq!(stage_mark_owner(&reason), Some(owner.as_str()));
            }
        }
    }
}
