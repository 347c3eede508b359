//! Pure decisions: an occurrence and the executions seen, in; what to do, out. No I/O and no clock.

use std::time::{Duration, SystemTime};

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
    /// The model was retrained a short while ago.
    CoolingDown {
        /// The execution that did it.
        execution_arn: String,
        /// How long drift alarms still start nothing.
        left: Duration,
    },
}

/// What makes a start happen once, however often it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRequest {
    /// Names the occurrence, so that a later look finds that it has been served.
    pub display_name: String,
    /// SageMaker's idempotency token (`ClientRequestToken`, 32 to 128 characters).
    pub token: String,
    /// Why it starts.
    pub trigger: Trigger,
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

/// Decides whether `occurrence` starts an execution, given the newest executions, newest first, and how long drift alarms start
/// nothing after a retraining that has been started before `now`.
#[must_use]
pub fn decide(
    occurrence: &Occurrence,
    executions: &[Execution],
    drift_cooldown: Option<Duration>,
    now: SystemTime,
) -> Decision {
    let display_name = display_name(occurrence);
    let served = |e: &&Execution| e.display_name.as_deref() == Some(display_name.as_str());
    if let Some(execution) = executions.iter().find(served) {
        return Decision::Duplicate(execution.arn.clone());
    }
    let token = match occurrence.trigger {
        // Its own execution, once: the token is the occurrence's.
        Trigger::Code | Trigger::Job => digest(&["occurrence", &display_name]),
        // A compare-and-swap on the history: whoever saw the same newest execution asks for the same next one.
        Trigger::Schedule | Trigger::Drift => {
            if let Some(running) = executions.iter().find(|e| e.is_active()) {
                return Decision::AlreadyRunning(running.arn.clone());
            }
            if let (Trigger::Drift, Some(cooldown)) = (occurrence.trigger, drift_cooldown)
                && let Some((execution, left)) = cooling_down(executions, cooldown, now)
            {
                return Decision::CoolingDown { execution_arn: execution.arn.clone(), left };
            }
            digest(&["next after", executions.first().map_or("none", |e| &e.arn)])
        }
    };
    Decision::Start(StartRequest { display_name, token, trigger: occurrence.trigger })
}

/// The execution that was started last, if that is less than `cooldown` ago, and the time that is left.
fn cooling_down(executions: &[Execution], cooldown: Duration, now: SystemTime) -> Option<(&Execution, Duration)> {
    let (started, execution) =
        executions.iter().filter_map(|e| Some((e.started?, e))).max_by_key(|(started, _)| *started)?;
    // SageMaker's clock may be a little ahead of this one.
    let elapsed = now.duration_since(started).unwrap_or_default();
    let left = cooldown.checked_sub(elapsed).filter(|left| !left.is_zero())?;
    Some((execution, left))
}

/// Decides what the interlock should be, given the newest executions, newest first.
#[must_use]
pub fn wanted(executions: &[Execution]) -> Wanted<'_> {
    executions
        .iter()
        .find(|e| e.is_active())
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
    use crate::executions::Status;

    const HOUR: Duration = Duration::from_hours(1);
    const NOON: SystemTime = SystemTime::UNIX_EPOCH;

    fn decide(occurrence: &Occurrence, executions: &[Execution]) -> Decision {
        super::decide(occurrence, executions, None, NOON)
    }

    fn occurrence(trigger: Trigger, key: &str) -> Occurrence {
        Occurrence { trigger, key: key.to_owned() }
    }

    fn execution(id: &str, active: bool, display_name: &str) -> Execution {
        Execution {
            arn: format!("arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/{id}"),
            status: if active { Status::Active } else { Status::Succeeded },
            display_name: Some(display_name.to_owned()),
            started: Some(NOON),
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
    fn within_the_cooldown_a_drift_alarm_starts_nothing_and_the_schedule_does() {
        let retrained = Execution { started: Some(NOON - 5 * HOUR), ..execution("new", false, "x") };
        let unknown = Execution { started: None, ..execution("old", false, "y") };
        let history = [retrained, unknown];
        let at = |trigger, cooldown, now| super::decide(&occurrence(trigger, "a"), &history, Some(cooldown), now);
        assert_eq!(
            at(Trigger::Drift, 6 * HOUR, NOON),
            Decision::CoolingDown { execution_arn: history[0].arn.clone(), left: HOUR }
        );
        for (trigger, cooldown, now) in [
            (Trigger::Drift, 5 * HOUR, NOON),
            (Trigger::Drift, 6 * HOUR, NOON + HOUR),
            (Trigger::Schedule, 6 * HOUR, NOON),
            (Trigger::Code, 6 * HOUR, NOON),
            (Trigger::Job, 6 * HOUR, NOON),
        ] {
            assert!(matches!(at(trigger, cooldown, now), Decision::Start(_)), "{trigger:?} {cooldown:?}");
        }
        // A clock that is behind SageMaker's leaves no more than the whole cooldown.
        let early = at(Trigger::Drift, 6 * HOUR, NOON - 24 * HOUR);
        assert_eq!(early, Decision::CoolingDown { execution_arn: history[0].arn.clone(), left: 6 * HOUR });
        assert!(matches!(super::decide(&occurrence(Trigger::Drift, "a"), &[], Some(HOUR), NOON), Decision::Start(_)));
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
