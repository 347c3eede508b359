//! The request of a start: which display name, token, description and parameters an occurrence's execution gets.
//!
//! The display name makes the execution findable, the token makes its start exclusive (`ARCHITECTURE.md`, "One occurrence, one
//! execution").

use std::collections::BTreeMap;

use crate::model::{Execution, Occurrence, Trigger};
use crate::policy::{CLOCKS_DIFFER, HASH_LENGTH, Situation, age, digest, rfc3339};

/// What is sent to `StartPipelineExecution`
/// (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartRequest {
    /// Names the occurrence, so that a later observation finds its execution.
    pub(crate) display_name: String,
    /// SageMaker's idempotency token (`ClientRequestToken`), 64 characters.
    pub(crate) token: String,
    /// Why, in one line. SageMaker Studio shows it.
    pub(crate) description: String,
    /// The pipeline parameters: names and values.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// The request that starts the execution of an occurrence.
pub(crate) fn request(occurrence: &Occurrence, situation: &Situation<'_>) -> StartRequest {
    let display_name = display_name(occurrence);
    // AWS does not document the scope of a token, so every token contains the pipeline's name.
    let pipeline = situation.pipeline.to_ascii_lowercase();
    let token = match occurrence.trigger {
        // Each occurrence gets one execution, so the token is made of the occurrence.
        Trigger::Deployment | Trigger::Job | Trigger::Request { .. } => {
            digest(&["occurrence", &pipeline, &display_name])
        }
        // A compare-and-swap on the history: routers that saw the same newest execution send the same token.
        Trigger::Schedule | Trigger::Drift => {
            let newest = situation.executions.first().map_or("none", |e| e.arn.as_str());
            digest(&["next after", &pipeline, newest])
        }
    };
    // An event without a time is sent by hand: it happens now.
    let time = rfc3339(occurrence.at.unwrap_or(situation.now));
    let parameters = situation.parameters.of(occurrence, &time);
    StartRequest { display_name, token, description: occurrence.description.clone(), parameters }
}

/// Whether SageMaker returned, for a start, the execution of another occurrence. AWS does not document what SageMaker does with a
/// token that was used before with another display name.
pub(crate) fn is_of_another_occurrence(started: &Execution, occurrence: &Occurrence) -> bool {
    started.display_name.as_ref().is_some_and(|name| *name != display_name(occurrence))
}

/// How every description begins.
const BY_ROUTER: &str = "Started by drift-router: ";

/// A `PipelineExecutionDescription`: why an execution was started, in one line. SageMaker takes 3,072 characters.
pub(crate) fn description(why: &str) -> String {
    let ends_line = |c: char| c.is_control() || ['\u{2028}', '\u{2029}'].contains(&c);
    let why: String = why.chars().take(3000).map(|c| if ends_line(c) { ' ' } else { c }).collect();
    format!("{BY_ROUTER}{why}.")
}

/// Whether a router started the execution with this description. A person may give an execution a name such as `drift-analysis`.
pub(crate) fn is_by_router(description: &str) -> bool {
    description.starts_with(BY_ROUTER)
}

/// Whether an execution, which SageMaker returned for a start, was started before: its token was used then. Another execution started
/// minutes after it. Only SageMaker's own times are compared.
pub(crate) fn was_started_before(execution: &Execution, executions: &[Execution]) -> bool {
    let Some(started) = execution.started else { return false };
    let newest = executions.iter().filter_map(|other| other.started).max();
    newest.is_some_and(|newest| age(started, newest) > CLOCKS_DIFFER)
}

/// SageMaker's longest display name, in characters.
const DISPLAY_NAME_LENGTH: usize = 82;

/// `<trigger>-<key>`, within SageMaker's `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}`. In a key that does not fit, other characters become
/// hyphens, the end is cut, and a hash of the whole key is appended.
pub(crate) fn display_name(occurrence: &Occurrence) -> String {
    let Occurrence { trigger, key, .. } = occurrence;
    let plain = format!("{}-{key}", trigger.word());
    let fits = plain.len() <= DISPLAY_NAME_LENGTH
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !plain.ends_with('-');
    if fits {
        return plain;
    }
    let slug: String = plain
        .chars()
        .take(DISPLAY_NAME_LENGTH - HASH_LENGTH - 1)
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let hash = digest(&[key]);
    format!("{}-{}", slug.trim_end_matches('-'), &hash[..HASH_LENGTH])
}

/// The trigger and the key in an execution's display name; `None` if no trigger of a router started it.
pub(crate) fn trigger_and_key(display_name: Option<&str>) -> Option<(&'static str, &str)> {
    let (word, key) = display_name?.split_once('-')?;
    let triggers =
        [Trigger::Deployment, Trigger::Schedule, Trigger::Drift, Trigger::Job, Trigger::Request { is_forced: false }];
    triggers.into_iter().map(Trigger::word).find(|trigger| *trigger == word).map(|trigger| (trigger, key))
}

/// The name in an execution's key. Such a key is a part of a display name: that of an alarm or a tick ends with its time and a hash.
pub(crate) fn name_in(key: &str) -> &str {
    let is_hash = |hash: &str| hash.len() == 16 && hash.chars().all(|digit| digit.is_ascii_hexdigit());
    let without_hash = key.rsplit_once('-').filter(|(_, hash)| is_hash(hash)).map_or(key, |(name, _)| name);
    const TIME: usize = "-2026-11-27T09-12-00Z".len();
    let (name, time) =
        without_hash.split_at_checked(without_hash.len().saturating_sub(TIME)).unwrap_or((without_hash, ""));
    let is_time = time.starts_with('-') && time.ends_with('Z') && time.as_bytes().get(11) == Some(&b'T');
    if is_time && !name.is_empty() { name } else { without_hash }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{execution, occurrence, situation};

    fn token(occurrence: &Occurrence, executions: &[Execution]) -> String {
        request(occurrence, &situation(executions)).token
    }

    #[test]
    fn triggers_that_saw_the_same_history_share_a_token_and_later_ones_do_not() {
        let history = [execution("two", false, "x"), execution("one", false, "y")];
        let drift = token(&occurrence(Trigger::Drift, "a"), &history);
        let schedule = token(&occurrence(Trigger::Schedule, "b"), &history);
        assert_eq!(drift, schedule);
        let earlier = token(&occurrence(Trigger::Drift, "a"), &history[1..]);
        let first_ever = token(&occurrence(Trigger::Drift, "a"), &[]);
        assert_ne!(drift, earlier);
        assert_ne!(earlier, first_ever);
    }

    #[test]
    fn the_token_of_new_code_is_its_own_whatever_was_seen() {
        let one = token(&occurrence(Trigger::Deployment, "one"), &[]);
        assert_eq!(one, token(&occurrence(Trigger::Deployment, "one"), &[execution("x", true, "y")]));
        assert_ne!(one, token(&occurrence(Trigger::Deployment, "two"), &[]));
        assert!((32..=128).contains(&one.len()));
    }

    #[test]
    fn the_same_history_in_another_pipeline_gives_another_token() {
        for trigger in [Trigger::Deployment, Trigger::Drift] {
            let token = |pipeline| request(&occurrence(trigger, "a"), &Situation { pipeline, ..situation(&[]) }).token;
            assert_ne!(token("p"), token("q"));
            assert_eq!(token("p"), token("P"), "SageMaker's names do not depend on case");
        }
    }

    #[test]
    fn keys_that_look_alike_once_made_to_fit_stay_apart() {
        let keys = ["a.b", "a-b", "a/b", "a b", "a-b-", &"x".repeat(300), &"x".repeat(301), "é", "è", ""];
        let names: std::collections::BTreeSet<String> =
            keys.iter().map(|key| display_name(&occurrence(Trigger::Drift, key))).collect();
        assert_eq!(names.len(), keys.len(), "{names:?}");
        for name in &names {
            assert!(name.len() <= DISPLAY_NAME_LENGTH, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
            assert!(!name.ends_with('-'), "{name}");
        }
        assert_eq!(display_name(&occurrence(Trigger::Deployment, "0971-ab")), "code-0971-ab");
    }

    #[test]
    fn the_name_in_a_key_has_no_time_and_no_hash() {
        let names = ["3f0c", "a-b", "2026-11-26-labels", "drift-0123456789abcdef", "", "-2026-11-27T09-12-00Z"];
        assert_eq!(names.map(name_in), ["3f0c", "a-b", "2026-11-26-labels", "drift", "", "-2026-11-27T09-12-00Z"]);
        assert_eq!(name_in("prod-2021-05-28T07-33-21Z-61a33293212038d6"), "prod");
        assert_eq!(name_in("prod-2021-05-28T07-33-21Z"), "prod");
    }
}
