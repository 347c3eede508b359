//! Pure decisions: an occurrence and the executions seen, in; what to do, out. No I/O and no clock.

use sha2::{Digest, Sha256};

use crate::event::{Occurrence, Trigger, last_segment};
use crate::executions::Execution;

/// What an occurrence asks for, given the executions seen.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start an execution.
    Start(StartRequest),
    /// The execution of this ARN was started for this very occurrence.
    Duplicate(String),
    /// The occurrence asks only that a retraining runs, and the execution of this ARN does.
    AlreadyRunning(String),
}

/// What makes a start happen once, however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRequest {
    /// Names the occurrence, so that a later look finds that it has been served.
    pub display_name: String,
    /// SageMaker's idempotency token (`ClientRequestToken`, 32 to 128 characters).
    pub token: String,
}

/// What the interlock should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'e> {
    /// An execution runs: every guard is disabled.
    Engaged {
        /// The id of the newest active execution, for a person who asks why.
        execution_id: &'e str,
    },
    /// Nothing runs: every guard is enabled.
    Released,
}

/// Decides whether `occurrence` starts an execution, given the newest executions, newest first.
#[must_use]
pub fn decide(occurrence: &Occurrence, executions: &[Execution]) -> Decision {
    let display_name = display_name(occurrence);
    let served = |e: &&Execution| e.display_name.as_deref() == Some(display_name.as_str());
    if let Some(execution) = executions.iter().find(served) {
        return Decision::Duplicate(execution.arn.clone());
    }
    let token = match occurrence.trigger {
        // Its own execution, once: the token is the occurrence's.
        Trigger::Code => digest(&["occurrence", &display_name]),
        // A compare-and-swap on the history: whoever saw the same newest execution asks for the same next one.
        Trigger::Schedule | Trigger::Drift => {
            if let Some(running) = executions.iter().find(|e| e.active) {
                return Decision::AlreadyRunning(running.arn.clone());
            }
            digest(&["next after", executions.first().map_or("none", |e| &e.arn)])
        }
    };
    Decision::Start(StartRequest { display_name, token })
}

/// Decides what the interlock should be, given the newest executions, newest first.
#[must_use]
pub fn wanted(executions: &[Execution]) -> Wanted<'_> {
    executions
        .iter()
        .find(|e| e.active)
        .map_or(Wanted::Released, |e| Wanted::Engaged { execution_id: last_segment(&e.arn) })
}

/// SageMaker's longest display name.
const DISPLAY_NAME_LENGTH: usize = 82;
/// How much of the key's hash a display name carries: 64 bits.
const HASH_LENGTH: usize = 16;

/// `<trigger>-<key>`, within SageMaker's `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}`. A key that does not fit is made to: its other
/// characters become hyphens, its end is cut, and a hash of the whole key keeps it apart from every other.
#[must_use]
pub fn display_name(occurrence: &Occurrence) -> String {
    let Occurrence { trigger, key } = occurrence;
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

/// The SHA-256 of the parts, in 64 hexadecimal digits.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(trigger: Trigger, key: &str) -> Occurrence {
        Occurrence { trigger, key: key.to_owned() }
    }

    fn execution(id: &str, active: bool, display_name: &str) -> Execution {
        Execution {
            arn: format!("arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/{id}"),
            active,
            display_name: Some(display_name.to_owned()),
        }
    }

    fn token(decision: Decision) -> String {
        match decision {
            Decision::Start(request) => request.token,
            other => panic!("{other:?} is no start"),
        }
    }

    #[test]
    fn triggers_that_saw_the_same_history_share_a_token_and_later_ones_do_not() {
        let history = [execution("two", false, "x"), execution("one", false, "y")];
        let drift = token(decide(&occurrence(Trigger::Drift, "a"), &history));
        let schedule = token(decide(&occurrence(Trigger::Schedule, "b"), &history));
        assert_eq!(drift, schedule);
        let earlier = token(decide(&occurrence(Trigger::Drift, "a"), &history[1..]));
        let first_ever = token(decide(&occurrence(Trigger::Drift, "a"), &[]));
        assert_ne!(drift, earlier);
        assert_ne!(earlier, first_ever);
    }

    #[test]
    fn the_token_of_new_code_is_its_own_whatever_was_seen() {
        let one = token(decide(&occurrence(Trigger::Code, "one"), &[]));
        assert_eq!(one, token(decide(&occurrence(Trigger::Code, "one"), &[execution("x", true, "y")])));
        assert_ne!(one, token(decide(&occurrence(Trigger::Code, "two"), &[])));
        assert!((32..=128).contains(&one.len()));
    }

    #[test]
    fn the_same_key_of_another_trigger_is_another_occurrence() {
        let served = [execution("x", false, "code-abc")];
        assert_eq!(decide(&occurrence(Trigger::Code, "abc"), &served), Decision::Duplicate(served[0].arn.clone()));
        assert!(matches!(decide(&occurrence(Trigger::Drift, "abc"), &served), Decision::Start(_)));
    }

    #[test]
    fn the_newest_of_several_active_executions_is_named() {
        let executions = [execution("c", false, ""), execution("b", true, ""), execution("a", true, "")];
        assert_eq!(wanted(&executions), Wanted::Engaged { execution_id: "b" });
        assert_eq!(wanted(&executions[..1]), Wanted::Released);
        assert_eq!(wanted(&[]), Wanted::Released);
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
        assert_eq!(display_name(&occurrence(Trigger::Code, "0971-ab")), "code-0971-ab");
    }
}
