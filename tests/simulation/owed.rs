//! What is owed, computed from the simulator's own history. It shares no code with the router.

use std::time::Duration;

use sha2::{Digest, Sha256};
use simulator::Time;
use simulator::World;
use simulator::cloudwatch::Alarm;
use simulator::codepipeline::EndedExecution;
use simulator::nyctaxi::{DRIFT_RULE, SAGEMAKER_PIPELINE, SCHEDULE_RULE};
use simulator::sagemaker::Execution;
use simulator::time::DAY;

use crate::history::History;
use crate::marks::{OWED_TAG, TAG};
use crate::names::LISTED_ALARMS;

/// The largest difference between two clocks, and between the times of two observations.
pub const TOLERANCE: Duration = Duration::from_secs(15);

const MARGIN: Duration = Duration::from_mins(10);
const YOUNGEST: Duration = Duration::from_mins(5);
const WINDOW: Duration = Duration::from_hours(7 * 24);

/// Why an execution was started, as its name states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An alarm's change, at this time.
    Drift(Time),
    /// A tick, at this time.
    Tick(Time),
    /// A deployment, at this time.
    Deployment(Time),
}

impl Cause {
    pub fn time(self) -> Time {
        let (Self::Drift(time) | Self::Tick(time) | Self::Deployment(time)) = self;
        time
    }

    /// Whether an execution started late enough to serve the cause, whatever the difference of the clocks is.
    pub fn is_served_by(self, execution: &Execution) -> bool {
        let since = match self {
            Self::Drift(changed) => changed.saturating_sub(MARGIN),
            Self::Tick(time) | Self::Deployment(time) => time,
        };
        execution.created > since + TOLERANCE && execution.has_start_time
    }

    /// Whether the cause's own event may still come. A time that is far ahead of the clock does not say so.
    pub fn is_young(self, now: Time) -> bool {
        let is_far_ahead = self.time() + TOLERANCE > now + YOUNGEST;
        self.time() + YOUNGEST > now + TOLERANCE && !is_far_ahead
    }

    /// Whether an execution serves the cause for some difference of the clocks.
    fn may_be_served_by(self, execution: &Execution) -> bool {
        let since = match self {
            Self::Drift(changed) => changed.saturating_sub(MARGIN),
            Self::Tick(time) | Self::Deployment(time) => time,
        };
        execution.created + TOLERANCE > since
    }
}

/// Returns the cause of an execution named `drift-…` or `code-…`, or `None` if no occurrence gives this name.
pub fn cause(world: &World, history: &History, name: &str) -> Option<Cause> {
    if let Some(id) = name.strip_prefix("code-") {
        let mut deployments = world.codepipeline.executions.iter();
        let deployment = deployments.find(|e| e.id == id && e.status == "Succeeded" && !e.is_rollback)?;
        return Some(Cause::Deployment(deployment.ended + history.codepipeline_ahead));
    }
    for alarm in world.cloudwatch.alarms.iter().filter(|alarm| !history.lists_alarms || is_listed(alarm)) {
        for (changed, _) in alarm.history.iter().filter(|(_, state)| state == "ALARM") {
            for skew in [0, history.clocks.description] {
                let stamp = shifted(*changed, history.clocks.cloudwatch + skew);
                if name == drift_name(&alarm.name, stamp) {
                    return Some(Cause::Drift(*changed));
                }
            }
        }
    }
    None
}

fn is_listed(alarm: &Alarm) -> bool {
    LISTED_ALARMS.contains(&alarm.name.as_str())
}

/// The alarm that needs the retraining of this display name, if one does. A heartbeat's execution has the name.
pub fn asks_for_drift<'w>(world: &'w World, history: &History, name: &str) -> Option<&'w Alarm> {
    world.cloudwatch.alarms.iter().filter(asks).find(|alarm| {
        let mut stamps = [0, history.clocks.description].into_iter();
        stamps.any(|skew| name == drift_name(&alarm.name, shifted(alarm.changed(), history.clocks.cloudwatch + skew)))
    })
}

/// Whether a heartbeat starts something for the alarm.
fn asks(alarm: &&Alarm) -> bool {
    alarm.state() == "ALARM" && alarm.has_actions && !alarm.is_muted && alarm.suppressed_by.is_none()
}

fn shifted(time: Time, milliseconds: i64) -> Time {
    let by = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds < 0 { time - by } else { time + by }
}

/// The display name of an alarm's change, as ARCHITECTURE.md describes it.
fn drift_name(alarm: &str, changed: Time) -> String {
    let time = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + changed);
    display_name("drift", &format!("{alarm} {time}"))
}

/// The display name of a tick.
pub fn tick_name(rule: &str, time: &str) -> String {
    display_name("schedule", &format!("{rule} {time}"))
}

fn display_name(trigger: &str, key: &str) -> String {
    let hash = Sha256::digest(format!("{key}\0"));
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let plain: String = format!("{trigger}-{key}").chars().take(65).collect();
    let slug = plain.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{}-{hash}", slug.trim_end_matches('-'))
}

/// The executions that were not deleted with their pipeline, oldest first.
fn existing(world: &World) -> impl DoubleEndedIterator<Item = &Execution> {
    world.sagemaker.executions.iter().filter(|execution| !execution.is_deleted())
}

/// Whether a start may meet a token that a deleted execution used. While the pipeline that was made again has no execution, drift and
/// ticks may. The deployments that were trained before do always.
fn may_meet_a_used_token(world: &World, newest_deployment: Option<&EndedExecution>) -> bool {
    let was_remade = world.sagemaker.executions.iter().any(Execution::is_deleted);
    let is_its_own =
        |e: &Execution| newest_deployment.is_some_and(|n| e.display_name == Some(format!("code-{}", n.id)));
    was_remade && existing(world).next().is_none()
        || world.sagemaker.executions.iter().any(|execution| execution.is_deleted() && is_its_own(execution))
}

/// After how many executions in 24 hours a heartbeat starts no more.
pub fn catch_up_per_day(history: &History) -> usize {
    history.catch_up_per_day.unwrap_or(4)
}

/// Whether a heartbeat at `now` may start an execution: no execution is active, there is room, and no brake applies.
pub fn may_start(world: &World, history: &History, now: Time) -> bool {
    let is_recent = |e: &&Execution| !e.has_start_time || e.created + DAY + TOLERANCE > now;
    let recent = existing(world).rev().take_while(is_recent).count();
    !existing(world).any(Execution::is_active)
        && world.sagemaker.limit.is_none()
        && existing(world).next_back().is_none_or(|newest| newest.has_start_time)
        && recent < catch_up_per_day(history)
}

/// Whether a heartbeat at `now` may still serve the cause.
pub fn is_within_window(history: &History, cause: Cause, now: Time) -> bool {
    cause.time() + WINDOW + history.kept_cooldown().unwrap_or_default() + TOLERANCE > now
}

/// When a rollback put earlier code back after this deployment, if one did. A rollback to the deployment itself cancels nothing.
pub fn rolled_back(world: &World, id: &str) -> Option<Time> {
    let executions = &world.codepipeline.executions;
    let deployment = executions.iter().find(|e| e.id == id)?;
    let later = |e: &&EndedExecution| e.is_rollback && e.status == "Succeeded" && e.ended > deployment.ended;
    let newest = executions.iter().rev().find(later)?;
    (newest.rollback_target.as_deref() != Some(id)).then_some(newest.ended)
}

/// Something that a heartbeat must serve.
#[derive(Clone, Debug)]
pub struct Owed {
    /// The first word of its execution's display name.
    pub trigger: &'static str,
    /// The alarm, if it is drift.
    pub alarm: Option<String>,
    /// What it is, for people.
    pub what: String,
}

/// Returns what a heartbeat at `now` must serve, by invariants 7 and 8, and the same for an owed tick.
pub fn owed(world: &World, history: &History, now: Time) -> Vec<Owed> {
    let window = WINDOW + history.kept_cooldown().unwrap_or_default();
    let is_old = |at: Time| at + YOUNGEST + TOLERANCE <= now || at > now + YOUNGEST + TOLERANCE;
    let has_age = |at: Time| is_old(at) && at + window > now + TOLERANCE;
    let is_open = |cause: Cause| has_age(cause.time()) && !existing(world).any(|e| cause.may_be_served_by(e));
    let is_cool =
        history.kept_cooldown().is_none_or(|cooldown| existing(world).all(|e| e.created + cooldown + TOLERANCE <= now));
    let is_held = |rule: &str| {
        let rule = world.eventbridge.rule(rule).unwrap();
        !rule.is_enabled() && !rule.tags.contains_key(TAG)
    };
    let mut owed = Vec::new();
    if history.lists_alarms && is_cool && !is_held(DRIFT_RULE) {
        let alarms = world.cloudwatch.alarms.iter().filter(|alarm| is_listed(alarm)).filter(asks);
        let open = alarms.filter(|alarm| is_open(Cause::Drift(alarm.changed())));
        owed.extend(open.map(|alarm| {
            let what = format!("invariant 7: alarm {} is in ALARM", alarm.name);
            Owed { trigger: "drift", alarm: Some(alarm.name.clone()), what }
        }));
    }
    let tag = world.eventbridge.rule(SCHEDULE_RULE).unwrap().tags.get(OWED_TAG);
    if let Some(tag) = tag.filter(|_| !is_held(SCHEDULE_RULE)) {
        let (owner, time) = tag.split_once('/').unwrap();
        let time = humantime::parse_rfc3339(time).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        if owner == SAGEMAKER_PIPELINE && is_open(Cause::Tick(time)) {
            owed.push(Owed { trigger: "schedule", alarm: None, what: format!("the tick of {time:?} is owed") });
        }
    }
    let mut deployments = world.codepipeline.executions.iter().rev();
    let newest = deployments.find(|e| e.status == "Succeeded" && !e.is_rollback);
    if may_meet_a_used_token(world, newest) {
        return vec![];
    }
    if !history.has_actions {
        // The heartbeat itself may release code that waits before the stage. Only the next one finds that it is deployed.
        let newest = newest.filter(|newest| newest.ended <= now && rolled_back(world, &newest.id).is_none());
        let cause = |newest: &&EndedExecution| Cause::Deployment(newest.ended + history.codepipeline_ahead);
        let open = newest.filter(|newest| is_open(cause(newest)));
        let name = |id: &str| Some(format!("code-{id}"));
        let open = open.filter(|newest| existing(world).all(|e| e.display_name != name(&newest.id)));
        owed.extend(open.map(|newest| {
            let what = format!("invariant 8: deployment {} was not trained", newest.id);
            Owed { trigger: "code", alarm: None, what }
        }));
    }
    owed
}
