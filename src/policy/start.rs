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

/// What SageMaker returned for a start. For a token that was used before, it may return the execution that the token started then. AWS
/// does not document what it does with such a token and another display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// The occurrence's execution, which was started now.
    Own,
    /// The occurrence's execution, which was started earlier.
    StartedBefore,
    /// The execution of another occurrence.
    OfAnother { is_active: bool },
    /// An execution that SageMaker does not find.
    Absent,
}

/// What SageMaker returned for the occurrence's start: the execution as it was found, if it was. `executions` are the newest ones.
pub(crate) fn returned(found: Option<&Execution>, occurrence: &Occurrence, executions: &[Execution]) -> Returned {
    let Some(found) = found else { return Returned::Absent };
    let is_of_another = found.display_name.as_ref().is_some_and(|name| *name != display_name(occurrence));
    if is_of_another {
        Returned::OfAnother { is_active: found.status.is_active() }
    } else if was_started_before(found, executions) {
        Returned::StartedBefore
    } else {
        Returned::Own
    }
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

/// Whether an execution that SageMaker returned for a start was started before: its token was used then. Another execution started
/// minutes after it. Only SageMaker's own times are compared.
fn was_started_before(execution: &Execution, executions: &[Execution]) -> bool {
    let Some(started) = execution.started else { return false };
    let newest = executions.iter().filter_map(|other| other.started).max();
    newest.is_some_and(|newest| age(started, newest) > CLOCKS_DIFFER)
}

/// SageMaker's longest display name, in characters.
const DISPLAY_NAME_LENGTH: usize = 82;

/// `<trigger>-<key>`, within SageMaker's `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}`. In a key that does not fit, other characters become
/// hyphens, the end is cut, and a hash of the whole key is appended.
pub(crate) fn display_name(occurrence: &Occurrence) -> String {
    display_name_of(occurrence.trigger, &occurrence.key)
}

/// As [`display_name`], given the trigger and the key.
pub(crate) fn display_name_of(trigger: Trigger, key: &str) -> String {
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

/// The trigger and the key in an execution's display name; `None` if no trigger of a router started it. The name does not say whether a
/// request is forced.
pub(crate) fn trigger_and_key(display_name: Option<&str>) -> Option<(Trigger, &str)> {
    let (word, key) = display_name?.split_once('-')?;
    let triggers =
        [Trigger::Deployment, Trigger::Schedule, Trigger::Drift, Trigger::Job, Trigger::Request { is_forced: false }];
    triggers.into_iter().find(|trigger| trigger.word() == word).map(|trigger| (trigger, key))
}

/// A trigger as people say it. Display names and answers have [`Trigger::word`].
pub(crate) fn spoken(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Deployment => "deployment",
        Trigger::Schedule => "tick",
        Trigger::Drift => "drift",
        Trigger::Job => "job",
        Trigger::Request { .. } => "request",
    }
}

/// The name in an execution's key, which is a part of a display name. The key of an alarm or a tick ends with its time, and if it did not
/// fit, with a hash. Then its end is cut, and the time may be cut too.
pub(crate) fn name_in(key: &str) -> &str {
    let is_hash = |hash: &str| hash.len() == HASH_LENGTH && hash.chars().all(|digit| digit.is_ascii_hexdigit());
    let uncut = key.rsplit_once('-').filter(|(_, hash)| is_hash(hash)).map(|(uncut, _)| uncut);
    const TIME: &str = "-0000-00-00T00-00-00Z";
    const DAY: usize = "-0000-00-00".len();
    let least = if uncut.is_some() { DAY } else { TIME.len() };
    let is_time = |text: &str| {
        let fits =
            |(letter, pattern): (char, char)| if pattern == '0' { letter.is_ascii_digit() } else { letter == pattern };
        (least..=TIME.len()).contains(&text.len()) && text.chars().zip(TIME.chars()).all(fits)
    };
    let name = uncut.unwrap_or(key);
    let time = name.match_indices('-').map(|(at, _)| at).find(|at| *at > 0 && is_time(&name[*at..]));
    time.map_or(name, |at| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{execution, noon, occurrence, situation, started};

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
        for (key, name) in [
            ("3f0c", "3f0c"),
            ("", ""),
            ("2026-11-26-labels", "2026-11-26-labels"),
            ("labels-2026-11-26", "labels-2026-11-26"),
            ("prod-2021-05-28T07-33-21Z", "prod"),
            ("prod-2021-05-28T07-33-21Z-61a33293212038d6", "prod"),
            (
                "sagemaker-customer-churn-staging-threshold-2021-05-28T07-61a33293212038d6",
                "sagemaker-customer-churn-staging-threshold",
            ),
            ("a-long-name-that-was-cut-61a33293212038d6", "a-long-name-that-was-cut"),
            ("-2021-05-28T07-33-21Z", "-2021-05-28T07-33-21Z"),
        ] {
            assert_eq!(name_in(key), name);
        }
    }

    #[test]
    fn a_key_that_fits_to_the_last_character_is_kept_and_a_longer_one_is_cut() {
        let name = |length: usize| display_name(&occurrence(Trigger::Deployment, &"x".repeat(length)));
        let longest = DISPLAY_NAME_LENGTH - "code-".len();
        assert_eq!(name(longest), format!("code-{}", "x".repeat(longest)));
        assert_eq!(name(longest + 1).len(), DISPLAY_NAME_LENGTH);
        assert!(!name(longest + 1).ends_with('x'), "it ends with a hash");
    }

    #[test]
    fn an_execution_is_a_routers_by_its_description_and_not_by_its_name() {
        assert!(is_by_router(&description("request 1")));
        assert!(!is_by_router("The labels of May are corrected."));
    }

    #[test]
    fn an_execution_was_started_before_if_another_one_started_more_than_five_minutes_after_it() {
        let was_before =
            |minutes: u32| was_started_before(&started(noon()), &[started(noon() + minutes * CLOCKS_DIFFER / 5)]);
        assert!(!was_before(5) && was_before(6));
        assert!(!was_started_before(&started(noon()), &[]));
        let unknown = Execution { started: None, ..started(noon()) };
        assert!(!was_started_before(&unknown, &[started(noon())]), "its time is not known");
    }
}
