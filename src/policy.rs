//! Decisions. Each function gets all that it needs as arguments: no I/O, no clock, no AWS types.
//!
//! Is an event relevant? Does an occurrence start an execution? What should the guards be, and who marked them? Which display
//! name, token and mark does a request carry?

use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::model::{
    AlarmChange, DeploymentChange, DesiredState, Execution, ExecutionArn, ExecutionStatus, GuardState, JobCall,
    Occurrence, StatusHint, Tick, Trigger, last_segment,
};

/// Whether an event asks for a retraining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relevance {
    Relevant(Occurrence),
    /// It does not, for this reason.
    Ignored(String),
}

/// An alarm is relevant if it is in ALARM, not suppressed and not muted. A muted or suppressed alarm still changes its state.
pub(crate) fn alarm_relevance(change: &AlarmChange) -> Relevance {
    let AlarmChange { name, state, timestamp, suppressed_by, is_muted } = change;
    Relevance::Ignored(if state != "ALARM" {
        format!("alarm {name} is {state}, not ALARM")
    } else if let Some(suppressor) = suppressed_by {
        format!("alarm {name} is suppressed by {suppressor}")
    } else if *is_muted {
        format!("alarm {name} is muted")
    } else {
        return Relevance::Relevant(Occurrence { trigger: Trigger::Drift, key: format!("{name} {timestamp}") });
    })
}

/// A change of a CodePipeline execution is relevant if it is of our pipeline and the execution succeeded.
pub(crate) fn deployment_relevance(change: &DeploymentChange, code_pipeline: &str) -> Relevance {
    let DeploymentChange { pipeline, execution_id, state } = change;
    Relevance::Ignored(if pipeline != code_pipeline {
        format!("CodePipeline {pipeline} is not {code_pipeline}")
    } else if state != "SUCCEEDED" {
        format!("CodePipeline execution {execution_id} is {state}, not SUCCEEDED")
    } else {
        return Relevance::Relevant(Occurrence { trigger: Trigger::Code, key: execution_id.clone() });
    })
}

/// What a scheduled event means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TickMeaning {
    Retraining(Occurrence),
    Heartbeat,
    Ignored(String),
}

/// Tells the ticks of the retraining schedule from the heartbeat's. A tick of any other rule is ignored.
pub(crate) fn tick_meaning(tick: &Tick, schedule_rule: Option<&str>, heartbeat_rule: Option<&str>) -> TickMeaning {
    let fired = |rule: &str| tick.resources.iter().any(|arn| last_segment(arn) == rule);
    if heartbeat_rule.is_some_and(fired) {
        return TickMeaning::Heartbeat;
    }
    match schedule_rule {
        Some(rule) if fired(rule) => {
            TickMeaning::Retraining(Occurrence { trigger: Trigger::Schedule, key: format!("{rule} {}", tick.time) })
        }
        _ => TickMeaning::Ignored(format!(
            "{:?} names neither SCHEDULE_RULE_NAME ({}) nor RECONCILE_RULE_NAME ({})",
            tick.resources,
            schedule_rule.unwrap_or("unset"),
            heartbeat_rule.unwrap_or("unset"),
        )),
    }
}

/// What a job asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobRequest {
    /// Start an execution.
    Start,
    /// Report on the execution that an earlier call for the same action started.
    Continue(ContinuationToken),
    /// It can never be carried out, for this reason.
    Impossible(String),
}

/// Reads a job's call for the router of `pipeline`.
pub(crate) fn job_request(call: &JobCall, pipeline: &str) -> JobRequest {
    match call {
        JobCall::First { pipeline_name: Some(name) } if !is_pipeline(name, pipeline) => {
            JobRequest::Impossible(format!(
                "the action's UserParameters name another SageMaker pipeline than {pipeline}, the one that this function retrains"
            ))
        }
        JobCall::First { .. } => JobRequest::Start,
        JobCall::Continuation { token } => match ContinuationToken::parse(token) {
            Some(token) if token.arn.is_of_pipeline(pipeline) => JobRequest::Continue(token),
            _ => JobRequest::Impossible(format!(
                "the continuation token names no execution of SageMaker pipeline {pipeline}"
            )),
        },
        JobCall::Malformed { reason } => JobRequest::Impossible(reason.clone()),
    }
}

/// Whether `name` is the name or the ARN of the SageMaker pipeline `pipeline`.
fn is_pipeline(name: &str, pipeline: &str) -> bool {
    let name = if name.starts_with("arn:") { name.split_once(":pipeline/").map_or("", |(_, name)| name) } else { name };
    name.eq_ignore_ascii_case(pipeline)
}

/// The token by which CodePipeline asks again for the same action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContinuationToken {
    pub(crate) arn: ExecutionArn,
    /// Since when SageMaker does not know the execution, if it does not.
    pub(crate) unknown_since: Option<SystemTime>,
}

const UNKNOWN_SINCE: &str = " unknown since ";

impl ContinuationToken {
    /// `None` if the router did not write this token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some((arn, seconds)) = text.split_once(UNKNOWN_SINCE) else {
            return Some(Self { arn: ExecutionArn::parse(text)?, unknown_since: None });
        };
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
        Some(Self { arn: ExecutionArn::parse(arn)?, unknown_since: Some(since) })
    }

    pub(crate) fn text(&self) -> String {
        let arn = self.arn.as_str();
        match self.unknown_since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            None => arn.to_owned(),
            Some(since) => format!("{arn}{UNKNOWN_SINCE}{}", since.as_secs()),
        }
    }
}

/// How long a job waits for an execution that neither the list nor its own record shows.
const LONGEST_UNKNOWN: Duration = Duration::from_mins(15);

/// Whether a job still waits for an execution that SageMaker does not know: lists and records may lag, but only for a while.
pub(crate) fn waits_for_unknown(unknown_since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(unknown_since).unwrap_or_default() < LONGEST_UNKNOWN
}

/// What an occurrence asks for, given the executions that were seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StartDecision {
    Start(StartRequest),
    /// This execution is enough.
    Enough(ExecutionArn, Enough),
}

/// Why an execution is enough for an occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    /// It was started for the same occurrence.
    Duplicate,
    /// It is active, and the occurrence asks only that a retraining runs.
    AlreadyRunning,
    /// It was started last, and drift alarms start nothing until `left` has passed.
    CoolingDown { left: Duration },
}

/// What is sent to `StartPipelineExecution`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartRequest {
    /// Names the occurrence, so that a later observation finds its execution.
    pub(crate) display_name: String,
    /// SageMaker's idempotency token (`ClientRequestToken`), 64 characters.
    pub(crate) token: String,
    pub(crate) trigger: Trigger,
}

/// Decides whether `occurrence` starts an execution of `pipeline`. `executions` are the newest ones, newest first. Drift starts
/// nothing for `drift_cooldown` after the start of any execution.
pub(crate) fn decide_start(
    occurrence: &Occurrence,
    pipeline: &str,
    executions: &[Execution],
    drift_cooldown: Option<Duration>,
    now: SystemTime,
) -> StartDecision {
    let display_name = display_name(occurrence);
    if let Some(execution) = executions.iter().find(|e| e.display_name.as_deref() == Some(display_name.as_str())) {
        return StartDecision::Enough(execution.arn.clone(), Enough::Duplicate);
    }
    // AWS does not document the scope of a token, so every token contains the pipeline's name.
    let pipeline = pipeline.to_ascii_lowercase();
    let token = match occurrence.trigger {
        // One execution an occurrence: the token is made of the occurrence.
        Trigger::Code | Trigger::Job => digest(&["occurrence", &pipeline, &display_name]),
        // A compare-and-swap on the history: routers that saw the same newest execution send the same token.
        Trigger::Schedule | Trigger::Drift => {
            if let Some(running) = executions.iter().find(|e| e.status.is_active()) {
                return StartDecision::Enough(running.arn.clone(), Enough::AlreadyRunning);
            }
            if let (Trigger::Drift, Some(cooldown)) = (occurrence.trigger, drift_cooldown)
                && let Some((execution, left)) = cooling_down(executions, cooldown, now)
            {
                return StartDecision::Enough(execution.arn.clone(), Enough::CoolingDown { left });
            }
            let newest = executions.first().map_or("none", |e| e.arn.as_str());
            digest(&["next after", &pipeline, newest])
        }
    };
    StartDecision::Start(StartRequest { display_name, token, trigger: occurrence.trigger })
}

/// The execution that was started last, and the time that is left, if it started less than `cooldown` ago.
fn cooling_down(executions: &[Execution], cooldown: Duration, now: SystemTime) -> Option<(&Execution, Duration)> {
    let (started, execution) =
        executions.iter().filter_map(|e| Some((e.started?, e))).max_by_key(|(started, _)| *started)?;
    // SageMaker's clock may be a little ahead of this one.
    let elapsed = now.duration_since(started).unwrap_or_default();
    let left = cooldown.checked_sub(elapsed).filter(|left| !left.is_zero())?;
    Some((execution, left))
}

/// Whether SageMaker answered a start with the execution of another occurrence. AWS does not document what a known token does
/// when it comes with another display name.
pub(crate) fn is_of_another_occurrence(started: &Execution, occurrence: &Occurrence) -> bool {
    started.display_name.as_ref().is_some_and(|name| *name != display_name(occurrence))
}

/// The best record of the execution that a hint names. Its own description comes first, as lists may lag; then the list; the
/// hint itself counts only if SageMaker does not know the execution (yet).
pub(crate) fn named_execution(hint: &StatusHint, described: Option<Execution>, executions: &[Execution]) -> Execution {
    described.or_else(|| executions.iter().find(|e| e.arn == hint.arn).cloned()).unwrap_or_else(|| Execution {
        arn: hint.arn.clone(),
        status: hint.status.clone(),
        display_name: None,
        started: None,
    })
}

/// What every guard should be. `executions` are the newest ones, newest first; `named` is the execution that a hint names. Its
/// record replaces the list's.
pub(crate) fn desired_state(executions: &[Execution], named: Option<&Execution>) -> DesiredState {
    let listed = executions.iter().map(|listed| named.filter(|named| named.arn == listed.arn).unwrap_or(listed));
    let active = listed.chain(named).find(|e| e.status.is_active());
    active.map_or(DesiredState::Released, |e| DesiredState::Engaged { execution_id: e.arn.id().to_owned() })
}

/// Whether a guard has to be set. A guard that somebody else or another router disabled is left alone.
pub(crate) fn must_be_set(state: &GuardState, desired: &DesiredState) -> bool {
    match (state, desired) {
        (GuardState::Enabled, DesiredState::Released)
        | (GuardState::DisabledByRouter, DesiredState::Engaged { .. }) => false,
        (GuardState::DisabledByOther | GuardState::MarkedByOtherRouter { .. }, _) => false,
        (GuardState::Enabled, DesiredState::Engaged { .. })
        | (GuardState::DisabledByRouter, DesiredState::Released) => true,
        (GuardState::Inconsistent, _) => true,
    }
}

/// What a message about an ended execution says: which execution, how it ended, and why.
pub(crate) fn failure_message(execution: &Execution) -> Option<String> {
    match &execution.status {
        ExecutionStatus::Unsuccessful { word, reason } => {
            let why = reason.as_deref().unwrap_or("SageMaker gives no reason");
            Some(format!("execution {} is {word}: {why}", execution.arn.id()))
        }
        ExecutionStatus::Active | ExecutionStatus::Succeeded => None,
    }
}

/// SageMaker's longest display name, in characters.
const DISPLAY_NAME_LENGTH: usize = 82;
/// How many digits of a hash are appended to a name that was cut: 64 bits.
const HASH_LENGTH: usize = 16;

/// `<trigger>-<key>`, within SageMaker's `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}`. In a key that does not fit, other characters become
/// hyphens, the end is cut, and a hash of the whole key is appended.
pub(crate) fn display_name(occurrence: &Occurrence) -> String {
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

/// The longest owner name in a mark, in characters.
const OWNER_LENGTH: usize = 64;

/// The name by which a router signs its marks: the SageMaker pipeline's name in lower case. A name of more than 64 characters is
/// cut to 47, a hyphen and 16 digits of its hash.
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

/// The first words of the reason of every transition that a router disabled.
const STAGE_MARK: &str = "Disabled by drift-router";

/// The reason of a disabled transition. CodePipeline accepts 1 to 300 characters of `[a-zA-Z0-9!@ ().*?-]`. People read it in the
/// console.
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

/// An execution's id, within what marks may hold.
fn printable(execution_id: &str) -> String {
    execution_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect()
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

    const HOUR: Duration = Duration::from_hours(1);
    const NOON: SystemTime = SystemTime::UNIX_EPOCH;

    fn decide(occurrence: &Occurrence, executions: &[Execution]) -> StartDecision {
        decide_start(occurrence, "p", executions, None, NOON)
    }

    fn arn(id: &str) -> ExecutionArn {
        ExecutionArn::parse(&format!("arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/{id}")).unwrap()
    }

    fn occurrence(trigger: Trigger, key: &str) -> Occurrence {
        Occurrence { trigger, key: key.to_owned() }
    }

    fn execution(id: &str, active: bool, display_name: &str) -> Execution {
        Execution {
            arn: arn(id),
            status: if active { ExecutionStatus::Active } else { ExecutionStatus::Succeeded },
            display_name: Some(display_name.to_owned()),
            started: Some(NOON),
        }
    }

    fn token(decision: StartDecision) -> String {
        match decision {
            StartDecision::Start(request) => request.token,
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
        let at = |trigger, cooldown, now| decide_start(&occurrence(trigger, "a"), "p", &history, Some(cooldown), now);
        assert_eq!(
            at(Trigger::Drift, 6 * HOUR, NOON),
            StartDecision::Enough(history[0].arn.clone(), Enough::CoolingDown { left: HOUR })
        );
        for (trigger, cooldown, now) in [
            (Trigger::Drift, 5 * HOUR, NOON),
            (Trigger::Drift, 6 * HOUR, NOON + HOUR),
            (Trigger::Schedule, 6 * HOUR, NOON),
            (Trigger::Code, 6 * HOUR, NOON),
            (Trigger::Job, 6 * HOUR, NOON),
        ] {
            assert!(matches!(at(trigger, cooldown, now), StartDecision::Start(_)), "{trigger:?} {cooldown:?}");
        }
        // If the clock is behind SageMaker's, the whole cooldown is left.
        let early = at(Trigger::Drift, 6 * HOUR, NOON - 24 * HOUR);
        assert_eq!(early, StartDecision::Enough(history[0].arn.clone(), Enough::CoolingDown { left: 6 * HOUR }));
        assert!(matches!(
            decide_start(&occurrence(Trigger::Drift, "a"), "p", &[], Some(HOUR), NOON),
            StartDecision::Start(_)
        ));
    }

    #[test]
    fn the_same_key_of_another_trigger_is_another_occurrence() {
        let served = [execution("x", false, "code-abc")];
        assert_eq!(
            decide(&occurrence(Trigger::Code, "abc"), &served),
            StartDecision::Enough(served[0].arn.clone(), Enough::Duplicate)
        );
        assert!(matches!(decide(&occurrence(Trigger::Drift, "abc"), &served), StartDecision::Start(_)));
    }

    #[test]
    fn the_same_history_in_another_pipeline_gives_another_token() {
        for trigger in [Trigger::Code, Trigger::Drift] {
            let token = |pipeline| token(decide_start(&occurrence(trigger, "a"), pipeline, &[], None, NOON));
            assert_ne!(token("p"), token("q"));
            assert_eq!(token("p"), token("P"), "SageMaker's names do not depend on case");
        }
    }

    #[test]
    fn the_newest_of_several_active_executions_is_named() {
        let executions = [execution("c", false, ""), execution("b", true, ""), execution("a", true, "")];
        let engaged = |id: &str| DesiredState::Engaged { execution_id: id.to_owned() };
        assert_eq!(desired_state(&executions, None), engaged("b"));
        assert_eq!(desired_state(&executions[..1], None), DesiredState::Released);
        assert_eq!(desired_state(&[], None), DesiredState::Released);
        // The record of the execution that a hint names replaces the list's, which may lag.
        assert_eq!(desired_state(&executions[..2], Some(&execution("b", false, ""))), DesiredState::Released);
        assert_eq!(desired_state(&executions[..1], Some(&execution("C", true, ""))), engaged("C"));
        assert_eq!(desired_state(&executions[..1], Some(&execution("z", true, ""))), engaged("z"));
    }

    #[test]
    fn the_hint_counts_only_if_sagemaker_does_not_know_the_execution() {
        let hint = StatusHint { arn: arn("a"), status: ExecutionStatus::Active };
        let ended = execution("a", false, "");
        assert_eq!(named_execution(&hint, Some(ended.clone()), &[]), ended);
        assert_eq!(named_execution(&hint, None, std::slice::from_ref(&ended)), ended);
        assert!(named_execution(&hint, None, &[]).status.is_active());
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

    #[test]
    fn a_continuation_token_is_read_as_it_was_written() {
        for unknown_since in [None, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_187_201))] {
            let token = ContinuationToken { arn: arn("a"), unknown_since };
            assert_eq!(ContinuationToken::parse(&token.text()), Some(token));
        }
        for bad in ["", "abc", &format!("{} unknown since noon", arn("a").as_str())] {
            assert_eq!(ContinuationToken::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_job_may_name_our_pipeline_by_its_name_or_its_arn() {
        let first = |name: &str| JobCall::First { pipeline_name: Some(name.to_owned()) };
        for ours in ["Nyctaxi", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi"] {
            assert_eq!(job_request(&first(ours), "nyctaxi"), JobRequest::Start, "{ours}");
        }
        for other in ["", "fraud", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud", "arn:nyctaxi"] {
            assert!(matches!(job_request(&first(other), "nyctaxi"), JobRequest::Impossible(_)), "{other}");
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
        assert_eq!(display_name(&occurrence(Trigger::Code, "0971-ab")), "code-0971-ab");
    }
}
