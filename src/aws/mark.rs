//! Marks and tags: what the router writes on a guard, and how it reads it again.
//!
//! A mark says that this router disabled the guard. It names its owner, the SageMaker pipeline. The tag of a tick says that a
//! retraining is owed.

use std::time::SystemTime;

use humantime::parse_rfc3339;

use crate::model::TickTag;
use crate::policy::{HASH_LENGTH, digest, rfc3339};

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

/// Reads the value of [`RULE_MARK`]. The first version wrote no owner; such a mark is ours.
pub(crate) fn rule_mark_owner<'m>(mark: &'m str, ours: &'m str) -> &'m str {
    mark.split_once('/').map_or(ours, |(owner, _)| owner)
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
    Write,
    /// The tag names this tick or a later one, which serves both.
    Keep,
    /// The tag is another router's and stays.
    Foreign,
}

/// Decides how the owed tick of `at` is noted, given the tag that was found.
pub(crate) fn tag_write(found: Option<&TickTag>, at: SystemTime) -> TagWrite {
    match found {
        Some(TickTag::Since(since)) if *since >= at => TagWrite::Keep,
        Some(TickTag::OtherRouter) => TagWrite::Foreign,
        Some(TickTag::Since(_) | TickTag::Unreadable) | None => TagWrite::Write,
    }
}

/// The first words of the reason of every transition that a router disabled.
const STAGE_MARK: &str = "Disabled by drift-router";

/// The reason of a disabled transition. CodePipeline accepts 1 to 300 characters of `[a-zA-Z0-9!@ ().*?-]`
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html>). People read it in the console.
pub(crate) fn stage_mark(owner: &str, execution_id: &str) -> String {
    let id = printable(execution_id);
    format!(
        "{STAGE_MARK} ({owner}) while SageMaker pipeline execution {id} runs. It is enabled again when no execution runs."
    )
}

/// The owner of a disabled transition, or `None` if no router disabled it. The first version wrote no owner; such a mark is ours.
pub(crate) fn stage_mark_owner<'m>(reason: &'m str, ours: &'m str) -> Option<&'m str> {
    let rest = reason.strip_prefix(STAGE_MARK)?;
    let owner = rest.strip_prefix(" (").and_then(|rest| rest.split_once(')')).map(|(owner, _)| owner);
    Some(owner.unwrap_or(ours))
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
            (None, TagWrite::Write),
            (Some(TickTag::Since(noon() - HOUR)), TagWrite::Write),
            (Some(TickTag::Since(noon())), TagWrite::Keep),
            (Some(TickTag::Since(noon() + HOUR)), TagWrite::Keep),
            (Some(TickTag::Unreadable), TagWrite::Write),
            (Some(TickTag::OtherRouter), TagWrite::Foreign),
        ] {
            assert_eq!(tag_write(found.as_ref(), noon()), write, "{found:?}");
        }
    }

    #[test]
    fn a_mark_names_its_owner_and_one_of_the_first_version_is_ours() {
        let id = "abc123def456";
        for (ours, other) in [("a", "a-b"), ("a-b", "a"), ("nyctaxi-pipeline", "nyctaxi-pipeline-2")] {
            assert_eq!(stage_mark_owner(&stage_mark(ours, id), other), Some(ours));
            assert_eq!(rule_mark_owner(&rule_mark(ours, id), other), ours);
        }
        let first = "Disabled by drift-router while SageMaker pipeline execution abc runs. It is enabled again when no execution runs.";
        assert_eq!(stage_mark_owner(first, "ours"), Some("ours"));
        assert_eq!(rule_mark_owner(id, "ours"), "ours");
        assert_eq!(stage_mark_owner("release freeze", "ours"), None);
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
                assert_eq!(stage_mark_owner(&reason, "other"), Some(owner.as_str()));
            }
        }
    }
}
