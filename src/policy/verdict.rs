//! The verdict on one occurrence: does it still need a retraining, and if not, why, and until when?
//!
//! An execution serves an occurrence, however the execution ended: one that failed would fail again, and if a person stopped one,
//! the router does not start it again.

use std::time::{Duration, SystemTime};

use crate::model::{Alarm, Execution, ExecutionStatus, GuardRole, Memory, Mutes, Occurrence, Trigger};
use crate::policy::start::display_name;
use crate::policy::training::{self, Brake};
use crate::policy::{Hold, Situation, age, is_ahead, rfc3339};

/// What the router decides about one occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It needs a retraining, and nothing is in the way.
    Owed,
    /// Drift that is owed unless a mute rule mutes its alarm, which is not known yet.
    OwedUnlessMuted,
    /// This execution has its display name.
    ServedByName(Execution),
    /// This execution started late enough to serve it.
    ServedByTime(Execution),
    /// This execution is active, and the occurrence needs only that a retraining runs, or waits for its end.
    Running(Execution),
    /// It is a deployment, and waits for the end of this active execution.
    Waiting(Execution),
    /// Somebody else disabled its rule.
    Held,
    /// Its rule could not be read, and somebody may hold it.
    Unread,
    /// It is older than 7 days plus the cooldown, so a heartbeat does not start it.
    Expired,
    /// This execution was started last, and drift starts nothing until the cooldown is over.
    CoolingDown { after: Execution, until: SystemTime },
    /// This rollback has put earlier code back since.
    RolledBack { by: String },
    /// What suppresses its alarm's actions.
    Suppressed { by: String },
    /// Its alarm's actions are disabled.
    ActionsOff,
    /// A mute rule mutes its alarm.
    Muted,
    /// Its alarm's mute rules could not be read.
    MutesNotRead,
    /// Its event may still come.
    TooYoung { until: SystemTime },
    /// So many executions started within 24 hours.
    Braked(Brake),
}

/// An execution serves drift if it started less than this before the alarm's change. Three services' clocks differ, and the same
/// data is not trained twice.
const DRIFT_MARGIN: Duration = Duration::from_mins(10);

/// A heartbeat starts nothing for what is older than this plus the cooldown.
const CATCH_UP_WINDOW: Duration = Duration::from_hours(7 * 24);

/// A younger occurrence is left to its event.
const YOUNGEST: Duration = Duration::from_mins(5);

/// The verdict on an occurrence that an event reports. Its age does not matter. Each deployment, each job and each request that is
/// forced has an execution of its own, also beside an active one. A deployment that waits needs only that a later execution trains its
/// code: otherwise an old event that is repeated would train old code last.
pub(crate) fn of_event(occurrence: &Occurrence, situation: &Situation<'_>) -> Verdict {
    let (coalesces, is_braked) = match occurrence.trigger {
        Trigger::Schedule | Trigger::Drift => (true, false),
        Trigger::Deployment | Trigger::Job => (false, false),
        Trigger::Request { is_forced } => (!is_forced, !is_forced),
    };
    let waits = waits(occurrence, situation);
    served_by_name(occurrence, situation)
        .or_else(|| running(occurrence, situation).filter(|_| coalesces))
        .or_else(|| served_by_time(occurrence, situation).filter(|_| coalesces || waits))
        .or_else(|| running(occurrence, situation).filter(|_| waits))
        .or_else(|| hold(occurrence, situation))
        .or_else(|| cooling_down(occurrence, situation))
        .or_else(|| training::brake(situation).filter(|_| is_braked).map(Verdict::Braked))
        .unwrap_or(Verdict::Owed)
}

/// What AWS's state says about a finding, beside that it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence<'a> {
    None,
    /// The deployment was rolled back, by this execution of the CodePipeline.
    RolledBackBy(&'a str),
    /// The alarm that it was found by.
    Alarm(&'a Alarm),
}

/// The verdict on an occurrence that a heartbeat found in AWS's state. A heartbeat starts nothing beside an active execution. It sees
/// only the newest deployment, so a later execution serves that one too.
pub(crate) fn of_finding(occurrence: &Occurrence, evidence: Evidence<'_>, situation: &Situation<'_>) -> Verdict {
    let (alarm, rollback) = match evidence {
        Evidence::None => (None, None),
        Evidence::RolledBackBy(rollback) => (None, Some(rollback)),
        Evidence::Alarm(alarm) => (Some(alarm), None),
    };
    served_by_name(occurrence, situation)
        .or_else(|| rollback.map(|by| Verdict::RolledBack { by: by.to_owned() }))
        .or_else(|| suppressed(alarm))
        .or_else(|| actions_off(alarm))
        .or_else(|| served_by_time(occurrence, situation))
        .or_else(|| running(occurrence, situation))
        .or_else(|| blocked(occurrence, situation))
        .or_else(|| cooling_down(occurrence, situation))
        .or_else(|| muted(alarm))
        .or_else(|| too_young(occurrence, situation))
        .unwrap_or(match alarm.map(|alarm| alarm.mutes) {
            Some(Mutes::NotAsked) => Verdict::OwedUnlessMuted,
            Some(Mutes::None | Mutes::Active | Mutes::NotRead) | None => Verdict::Owed,
        })
}

fn served_by_name(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    let display_name = display_name(occurrence);
    let is_its_own = |execution: &&Execution| execution.display_name.as_deref() == Some(display_name.as_str());
    situation.executions.iter().find(is_its_own).cloned().map(Verdict::ServedByName)
}

fn suppressed(alarm: Option<&Alarm>) -> Option<Verdict> {
    alarm?.suppressed_by.clone().map(|by| Verdict::Suppressed { by })
}

fn actions_off(alarm: Option<&Alarm>) -> Option<Verdict> {
    (!alarm?.has_actions).then_some(Verdict::ActionsOff)
}

fn served_by_time(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    let at = occurrence.at?;
    let serves = |started| match occurrence.trigger {
        Trigger::Drift => age(started, at) < DRIFT_MARGIN,
        Trigger::Schedule | Trigger::Deployment => started >= at,
        Trigger::Job | Trigger::Request { .. } => false,
    };
    let serves = |execution: &&Execution| execution.started.is_some_and(serves);
    situation.executions.iter().find(serves).cloned().map(Verdict::ServedByTime)
}

fn waits(occurrence: &Occurrence, situation: &Situation<'_>) -> bool {
    situation.deployments_wait && occurrence.trigger == Trigger::Deployment
}

/// Running, or waiting.
fn running(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    let active = situation.executions.iter().find(|execution| execution.status.is_active())?.clone();
    Some(if waits(occurrence, situation) { Verdict::Waiting(active) } else { Verdict::Running(active) })
}

/// Held, unread or expired.
fn blocked(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    hold(occurrence, situation).or_else(|| (!is_within_window(occurrence, situation)).then_some(Verdict::Expired))
}

fn hold(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    let hold = match occurrence.rule {
        Some(GuardRole::DriftRule) => situation.drift_rule,
        Some(GuardRole::ScheduleRule) => situation.schedule_rule,
        Some(GuardRole::Stage) | None => Hold::No,
    };
    match hold {
        Hold::Yes => Some(Verdict::Held),
        Hold::Unknown => Some(Verdict::Unread),
        Hold::No => None,
    }
}

/// Whether a heartbeat would still start the occurrence.
fn is_within_window(occurrence: &Occurrence, situation: &Situation<'_>) -> bool {
    let window = CATCH_UP_WINDOW + situation.drift_cooldown.unwrap_or_default();
    occurrence.at.is_some_and(|at| age(at, situation.now) <= window)
}

fn cooling_down(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    let (after, until) = cooldown(situation).filter(|_| occurrence.trigger == Trigger::Drift)?;
    Some(Verdict::CoolingDown { after: after.clone(), until })
}

/// The execution that was started last, and until when drift starts nothing because of it. `None` if there is no cooldown, or it is
/// over.
pub(crate) fn cooldown<'e>(situation: &Situation<'e>) -> Option<(&'e Execution, SystemTime)> {
    let cooldown = situation.drift_cooldown?;
    let (after, started) = last_start(situation)?;
    // SageMaker's clock may be a little ahead of this one.
    let left = cooldown.checked_sub(age(started, situation.now)).filter(|left| !left.is_zero())?;
    Some((after, situation.now + left))
}

/// The execution that was started last, of those with a start time.
fn last_start<'e>(situation: &Situation<'e>) -> Option<(&'e Execution, SystemTime)> {
    let started = situation.executions.iter().filter_map(|execution| Some((execution, execution.started?)));
    started.max_by_key(|(_, started)| *started)
}

fn muted(alarm: Option<&Alarm>) -> Option<Verdict> {
    match alarm?.mutes {
        Mutes::Active => Some(Verdict::Muted),
        Mutes::NotRead => Some(Verdict::MutesNotRead),
        Mutes::None | Mutes::NotAsked => None,
    }
}

fn too_young(occurrence: &Occurrence, situation: &Situation<'_>) -> Option<Verdict> {
    let (at, now) = (occurrence.at?, situation.now);
    let until = at.checked_add(YOUNGEST).filter(|until| *until > now && !is_ahead(at, now))?;
    Some(Verdict::TooYoung { until })
}

/// From when on a heartbeat may start the finding, if only time is in its way. Drift may still be too young after its cooldown.
pub(crate) fn startable_from(
    verdict: &Verdict,
    occurrence: &Occurrence,
    situation: &Situation<'_>,
) -> Option<SystemTime> {
    let young = too_young(occurrence, situation).and_then(|young| young.until());
    Some(verdict.until()?).max(young)
}

/// Whether something finds the occurrence again when SageMaker is at its limit, so that its start can wait.
pub(crate) fn is_remembered(occurrence: &Occurrence, situation: &Situation<'_>) -> bool {
    match occurrence.memory {
        Memory::Event => false,
        Memory::AwsState | Memory::TickTag => is_within_window(occurrence, situation),
        Memory::Job => true,
    }
}

impl Verdict {
    /// Whether nothing has to remember the occurrence any more.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::ServedByName(_) | Self::ServedByTime(_) | Self::Held | Self::Expired)
    }

    /// Since when a heartbeat could have started the occurrence, but did not; `None` if nothing is late. What waits for the end of
    /// an execution is late too. Drift is not: it needs only that a retraining runs, and the cooldown follows.
    pub(crate) fn owed_since(&self, occurrence: &Occurrence, situation: &Situation<'_>) -> Option<SystemTime> {
        let is_drift = occurrence.trigger == Trigger::Drift;
        match self {
            Self::Owed if is_drift => {
                let cooled = last_start(situation)
                    .and_then(|(_, started)| started.checked_add(situation.drift_cooldown.unwrap_or_default()));
                occurrence.at.max(cooled)
            }
            Self::Owed => occurrence.at,
            Self::Running(_) | Self::Waiting(_)
                if !is_drift
                    && blocked(occurrence, situation).is_none()
                    && too_young(occurrence, situation).is_none() =>
            {
                occurrence.at
            }
            _ => None,
        }
    }

    /// The verdict in one word, for answers.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Owed | Self::OwedUnlessMuted => "owed",
            Self::ServedByName(_) | Self::ServedByTime(_) => "served",
            Self::Running(_) => "running",
            Self::Waiting(_) => "waiting",
            Self::Held => "held",
            Self::Unread => "unread",
            Self::Expired => "expired",
            Self::CoolingDown { .. } => "coolingDown",
            Self::RolledBack { .. } => "rolledBack",
            Self::Suppressed { .. } => "suppressed",
            Self::ActionsOff => "actionsOff",
            Self::Muted => "muted",
            Self::MutesNotRead => "mutesNotRead",
            Self::TooYoung { .. } => "tooYoung",
            Self::Braked(_) => "braked",
        }
    }

    /// When the occurrence may be started, as far as this verdict says, if that is known.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        match self {
            Self::CoolingDown { until, .. } | Self::TooYoung { until } => Some(*until),
            _ => None,
        }
    }

    /// The verdict as a sentence for people, without a full stop.
    pub(crate) fn sentence(&self, occurrence: &Occurrence) -> String {
        let key = &occurrence.key;
        match self {
            Self::Owed => format!("{key} needs a retraining"),
            Self::OwedUnlessMuted => format!("{key} needs a retraining, unless its alarm is muted"),
            Self::ServedByName(execution) => format!("{key} has its execution {}", ended(execution)),
            Self::ServedByTime(execution) => {
                let started = execution.started.map(rfc3339).unwrap_or_default();
                format!("{key} is served by execution {}, which started at {started}", ended(execution))
            }
            Self::Running(execution) => format!("execution {} runs", execution.arn.id()),
            Self::Waiting(execution) => format!("{key} waits for the end of execution {}", execution.arn.id()),
            Self::Held => format!("somebody else disabled the rule of {key}"),
            Self::Unread => format!("the rule of {key} cannot be read, and somebody may have disabled it"),
            Self::Expired => format!("{key} is older than 7 days plus the cooldown, so no heartbeat starts it"),
            // Nothing finds it again, so the cooldown ends without it.
            Self::CoolingDown { after, until } if occurrence.memory == Memory::Event => {
                let (id, until) = (after.arn.id(), rfc3339(*until));
                format!("{id} was started a short while ago: drift starts nothing until {until}")
            }
            Self::CoolingDown { until, .. } => format!("{key} waits for the cooldown until {}", rfc3339(*until)),
            Self::RolledBack { by } => format!("{key} was rolled back by CodePipeline execution {by}"),
            Self::Suppressed { by } => format!("the alarm of {key} is suppressed by {by}"),
            Self::ActionsOff => format!("the actions of the alarm of {key} are disabled"),
            Self::Muted => format!("the alarm of {key} is muted"),
            Self::MutesNotRead => format!("the mute rules of the alarm of {key} cannot be read"),
            Self::TooYoung { until } => format!("the event of {key} may still come, until {}", rfc3339(*until)),
            Self::Braked(brake) => format!("{key} is not started: {}", brake.sentence()),
        }
    }
}

/// An execution's id, and how it ended.
fn ended(execution: &Execution) -> String {
    let id = execution.arn.id();
    match &execution.status {
        ExecutionStatus::Active => format!("{id} (it runs)"),
        ExecutionStatus::Succeeded => format!("{id} (Succeeded)"),
        ExecutionStatus::Unsuccessful { word, .. } => format!("{id} ({word})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{HOUR, MINUTE, execution, noon, occurrence, situation, started};

    const SECOND: Duration = Duration::from_secs(1);

    fn alarm(mutes: Mutes) -> Alarm {
        Alarm { name: "a".to_owned(), changed: noon(), suppressed_by: None, has_actions: true, mutes }
    }

    #[test]
    fn within_the_cooldown_a_drift_alarm_starts_nothing_and_the_schedule_does() {
        let retrained = started(noon() - 5 * HOUR);
        let unknown = Execution { started: None, ..execution("old", false, "y") };
        let history = [retrained, unknown];
        let at = |trigger, cooldown, now| {
            let situation = Situation { drift_cooldown: Some(cooldown), now, ..situation(&history) };
            of_event(&occurrence(trigger, "a"), &situation)
        };
        let cooling = |until| Verdict::CoolingDown { after: history[0].clone(), until };
        assert_eq!(at(Trigger::Drift, 6 * HOUR, noon()), cooling(noon() + HOUR));
        for (trigger, cooldown, now) in [
            (Trigger::Drift, 5 * HOUR, noon()),
            (Trigger::Drift, 6 * HOUR, noon() + HOUR),
            (Trigger::Schedule, 6 * HOUR, noon()),
            (Trigger::Deployment, 6 * HOUR, noon()),
            (Trigger::Job, 6 * HOUR, noon()),
        ] {
            assert_eq!(at(trigger, cooldown, now), Verdict::Owed, "{trigger:?} {cooldown:?}");
        }
        // If the clock is behind SageMaker's, the whole cooldown is left.
        assert_eq!(at(Trigger::Drift, 6 * HOUR, noon() - 24 * HOUR), cooling(noon() - 18 * HOUR));
        let first = Situation { drift_cooldown: Some(HOUR), ..situation(&[]) };
        assert_eq!(of_event(&occurrence(Trigger::Drift, "a"), &first), Verdict::Owed);
    }

    #[test]
    fn the_same_key_of_another_trigger_is_another_occurrence() {
        let served = [execution("x", false, "code-abc")];
        let verdict = |trigger| of_event(&occurrence(trigger, "abc"), &situation(&served));
        assert_eq!(verdict(Trigger::Deployment), Verdict::ServedByName(served[0].clone()));
        assert_eq!(verdict(Trigger::Drift), Verdict::Owed);
    }

    #[test]
    fn an_execution_that_started_since_serves_a_tick_and_drift_with_a_margin_but_a_deployment_only_for_a_heartbeat() {
        let served = |trigger, judge: &dyn Fn(&Occurrence, &Situation<'_>) -> Verdict, start: SystemTime| {
            let history = [started(start)];
            matches!(judge(&occurrence(trigger, "a"), &situation(&history)), Verdict::ServedByTime(_))
        };
        let heartbeat =
            |occurrence: &Occurrence, situation: &Situation<'_>| of_finding(occurrence, Evidence::None, situation);
        for judge in [&of_event as &dyn Fn(&Occurrence, &Situation<'_>) -> Verdict, &heartbeat] {
            assert!(served(Trigger::Schedule, judge, noon()) && !served(Trigger::Schedule, judge, noon() - SECOND));
            assert!(served(Trigger::Drift, judge, noon() - 10 * MINUTE + SECOND));
            assert!(!served(Trigger::Drift, judge, noon() - 10 * MINUTE));
            assert!(!served(Trigger::Job, judge, noon() + HOUR));
        }
        let code = Trigger::Deployment;
        assert!(!served(code, &of_event, noon() + HOUR), "a deployment's event always gets its own execution");
        assert!(served(code, &heartbeat, noon()) && !served(code, &heartbeat, noon() - SECOND));
    }

    #[test]
    fn what_failed_or_was_stopped_serves_as_well() {
        for word in ["Failed", "Stopped"] {
            let history = [Execution { status: ExecutionStatus::from(word), ..started(noon()) }];
            let verdict = of_finding(&occurrence(Trigger::Drift, "a"), Evidence::None, &situation(&history));
            assert_eq!(verdict, Verdict::ServedByTime(history[0].clone()), "{word}");
        }
    }

    #[test]
    fn an_execution_without_a_start_time_serves_only_what_it_is_named_after() {
        let history = [Execution { started: None, ..execution("x", false, "drift-a") }];
        let verdict = |key| of_event(&occurrence(Trigger::Drift, key), &situation(&history));
        assert_eq!(verdict("a"), Verdict::ServedByName(history[0].clone()));
        assert_eq!(verdict("b"), Verdict::Owed);
    }

    #[test]
    fn a_hold_on_its_rule_cancels_drift_and_ticks_and_nothing_else() {
        let held = Situation { schedule_rule: Hold::Yes, drift_rule: Hold::Yes, ..situation(&[]) };
        for (trigger, verdict) in [
            (Trigger::Drift, Verdict::Held),
            (Trigger::Schedule, Verdict::Held),
            (Trigger::Deployment, Verdict::Owed),
            (Trigger::Job, Verdict::Owed),
        ] {
            assert_eq!(of_event(&occurrence(trigger, "a"), &held), verdict);
        }
        let schedule_only = Situation { schedule_rule: Hold::Yes, ..situation(&[]) };
        assert_eq!(of_event(&occurrence(Trigger::Drift, "a"), &schedule_only), Verdict::Owed);
        let unread = Situation { drift_rule: Hold::Unknown, ..situation(&[]) };
        assert_eq!(of_event(&occurrence(Trigger::Drift, "a"), &unread), Verdict::Unread);
    }

    #[test]
    fn a_heartbeat_serves_what_is_a_week_and_the_cooldown_old_and_an_event_may_be_older() {
        let week = 7 * 24 * HOUR;
        let after = |age| Situation { drift_cooldown: Some(HOUR), now: noon() + age, ..situation(&[]) };
        let drift = occurrence(Trigger::Drift, "a");
        assert_eq!(of_finding(&drift, Evidence::None, &after(week + HOUR)), Verdict::Owed);
        assert_eq!(of_finding(&drift, Evidence::None, &after(week + HOUR + SECOND)), Verdict::Expired);
        assert_eq!(of_event(&drift, &after(1000 * week)), Verdict::Owed);
        let timeless = Occurrence { at: None, ..occurrence(Trigger::Deployment, "a") };
        assert_eq!(of_finding(&timeless, Evidence::None, &situation(&[])), Verdict::Expired);
    }

    #[test]
    fn a_finding_that_is_younger_than_five_minutes_is_left_to_its_event() {
        let after = |age| {
            of_finding(
                &occurrence(Trigger::Deployment, "a"),
                Evidence::None,
                &Situation { now: noon() + age, ..situation(&[]) },
            )
        };
        assert_eq!(after(5 * MINUTE), Verdict::Owed);
        assert_eq!(after(5 * MINUTE - SECOND), Verdict::TooYoung { until: noon() + 5 * MINUTE });
        // Clocks differ by seconds. A time that is further ahead is no reason to wait.
        let ahead = |by| Occurrence { at: Some(noon() + by), ..occurrence(Trigger::Deployment, "a") };
        let verdict = |by| of_finding(&ahead(by), Evidence::None, &situation(&[]));
        assert_eq!(verdict(5 * MINUTE), Verdict::TooYoung { until: noon() + 10 * MINUTE });
        assert_eq!(verdict(5 * MINUTE + SECOND), Verdict::Owed);
    }

    /// Every reason at once; then the first one is taken away, and so on.
    #[test]
    fn the_first_reason_in_the_order_of_the_design_is_the_verdict() {
        let own = Execution { status: ExecutionStatus::from("Failed"), ..execution("own", false, "drift-a") };
        let later = Execution { started: Some(noon()), ..execution("later", false, "by hand") };
        let active = Execution { started: Some(noon() - 12 * MINUTE), ..execution("active", true, "by hand") };
        let before = started(noon() - 30 * MINUTE);
        let rolled_back = of_finding(
            &occurrence(Trigger::Deployment, "a"),
            Evidence::RolledBackBy("back"),
            &situation(std::slice::from_ref(&later)),
        );
        assert_eq!(rolled_back, Verdict::RolledBack { by: "back".to_owned() }, "before served by time");
        let mut history = vec![own.clone(), later.clone(), active.clone(), before.clone()];
        let mut alarm = Alarm { suppressed_by: Some("b".to_owned()), ..alarm(Mutes::Active) };
        let verdict = |drift_rule, history: &[Execution], alarm: &Alarm, age| {
            let (drift_cooldown, now) = (Some(40 * MINUTE), noon() + age);
            let situation = Situation { drift_rule, drift_cooldown, now, ..situation(history) };
            of_finding(&occurrence(Trigger::Drift, "a"), Evidence::Alarm(alarm), &situation)
        };
        assert_eq!(verdict(Hold::Yes, &history, &alarm, MINUTE), Verdict::ServedByName(own));
        history.remove(0);
        assert_eq!(verdict(Hold::Yes, &history, &alarm, MINUTE), Verdict::Suppressed { by: "b".to_owned() });
        alarm.suppressed_by = None;
        alarm.has_actions = false;
        assert_eq!(verdict(Hold::Yes, &history, &alarm, MINUTE), Verdict::ActionsOff);
        alarm.has_actions = true;
        assert_eq!(verdict(Hold::Yes, &history, &alarm, MINUTE), Verdict::ServedByTime(later));
        history.remove(0);
        assert_eq!(verdict(Hold::Yes, &history, &alarm, MINUTE), Verdict::Running(active));
        history.remove(0);
        assert_eq!(verdict(Hold::Yes, &history, &alarm, MINUTE), Verdict::Held);
        assert_eq!(verdict(Hold::Unknown, &history, &alarm, MINUTE), Verdict::Unread);
        assert_eq!(verdict(Hold::No, &history, &alarm, 8 * 24 * HOUR), Verdict::Expired);
        let cooling = Verdict::CoolingDown { after: before, until: noon() + 10 * MINUTE };
        assert_eq!(verdict(Hold::No, &history, &alarm, MINUTE), cooling);
        history.clear();
        assert_eq!(verdict(Hold::No, &history, &alarm, MINUTE), Verdict::Muted);
        alarm.mutes = Mutes::NotRead;
        assert_eq!(verdict(Hold::No, &history, &alarm, MINUTE), Verdict::MutesNotRead);
        alarm.mutes = Mutes::NotAsked;
        assert_eq!(verdict(Hold::No, &history, &alarm, MINUTE), Verdict::TooYoung { until: noon() + 5 * MINUTE });
        assert_eq!(verdict(Hold::No, &history, &alarm, 5 * MINUTE), Verdict::OwedUnlessMuted);
        alarm.mutes = Mutes::None;
        assert_eq!(verdict(Hold::No, &history, &alarm, 5 * MINUTE), Verdict::Owed);
    }

    #[test]
    fn an_event_hears_that_a_retraining_runs_before_it_hears_that_it_is_served() {
        let running = Execution { started: Some(noon()), ..execution("x", true, "by hand") };
        let history = [running.clone()];
        for trigger in [Trigger::Drift, Trigger::Schedule] {
            assert_eq!(of_event(&occurrence(trigger, "a"), &situation(&history)), Verdict::Running(running.clone()));
        }
        for trigger in [Trigger::Deployment, Trigger::Job] {
            assert_eq!(of_event(&occurrence(trigger, "a"), &situation(&history)), Verdict::Owed, "it gets its own");
        }
    }

    #[test]
    fn a_deployment_that_waits_is_served_by_a_later_execution_and_waits_for_an_earlier_one() {
        let at = |minutes: u32, is_active| {
            let started = Some(noon() - 30 * MINUTE + minutes * MINUTE);
            Execution { started, ..execution("x", is_active, "by hand") }
        };
        let waits = |trigger, history: &[Execution]| {
            let situation = Situation { deployments_wait: true, ..situation(history) };
            of_event(&occurrence(trigger, "a"), &situation).word()
        };
        let deployment = Trigger::Deployment;
        assert_eq!(waits(deployment, &[at(0, true)]), "waiting");
        assert_eq!(waits(deployment, &[at(0, false)]), "owed");
        assert_eq!(waits(deployment, &[at(30, true)]), "served", "it has the code");
        assert_eq!(waits(deployment, &[at(31, false), at(0, true)]), "served");
        assert_eq!(waits(Trigger::Job, &[at(0, true)]), "owed", "a job is not affected");
        let history = [at(0, true)];
        let situation = Situation { deployments_wait: true, ..situation(&history) };
        let finding = of_finding(&occurrence(deployment, "a"), Evidence::None, &situation);
        assert_eq!(finding, Verdict::Waiting(history[0].clone()));
        let own = [execution("own", true, "code-a")];
        assert_eq!(
            of_event(&occurrence(deployment, "a"), &Situation { executions: &own, ..situation }).word(),
            "served"
        );
    }

    #[test]
    fn a_start_may_wait_if_something_finds_the_occurrence_again_within_the_window() {
        let remembered = |memory, age| {
            let occurrence = Occurrence { memory, ..occurrence(Trigger::Drift, "a") };
            is_remembered(&occurrence, &Situation { now: noon() + age, ..situation(&[]) })
        };
        let (young, old) = (HOUR, 8 * 24 * HOUR);
        assert!(!remembered(Memory::Event, young) && remembered(Memory::Job, old));
        for memory in [Memory::AwsState, Memory::TickTag] {
            assert!(remembered(memory, young) && !remembered(memory, old), "{memory:?}");
        }
    }

    #[test]
    fn drift_has_been_owed_since_its_cooldown_was_over() {
        let history = [started(noon() - 25 * HOUR)];
        let cooled = Situation { drift_cooldown: Some(24 * HOUR), ..situation(&history) };
        let since = |trigger, verdict: Verdict| {
            let occurrence = Occurrence { at: Some(noon() - 20 * HOUR), ..occurrence(trigger, "a") };
            verdict.owed_since(&occurrence, &cooled).map(|since| age(since, noon()))
        };
        assert_eq!(since(Trigger::Drift, Verdict::Owed), Some(HOUR));
        assert_eq!(since(Trigger::Schedule, Verdict::Owed), Some(20 * HOUR));
        // What waits for the end of an execution is late; drift needs only that one runs.
        assert_eq!(since(Trigger::Deployment, Verdict::Running(history[0].clone())), Some(20 * HOUR));
        assert_eq!(since(Trigger::Drift, Verdict::Running(history[0].clone())), None);
        assert_eq!(since(Trigger::Drift, Verdict::OwedUnlessMuted), None);
        let held = Situation { schedule_rule: Hold::Yes, ..cooled };
        let tick = Occurrence { at: Some(noon() - HOUR), ..occurrence(Trigger::Schedule, "a") };
        assert_eq!(Verdict::Running(history[0].clone()).owed_since(&tick, &held), None);
    }

    #[test]
    fn every_verdict_is_a_sentence_with_names_and_times() {
        let remembered = Occurrence { memory: Memory::AwsState, ..occurrence(Trigger::Drift, "fare 12:00") };
        let by = || execution("abc", false, "x");
        let failed = Execution { status: ExecutionStatus::from("Failed"), ..by() };
        for (verdict, sentence) in [
            (Verdict::Owed, "fare 12:00 needs a retraining"),
            (Verdict::OwedUnlessMuted, "fare 12:00 needs a retraining, unless its alarm is muted"),
            (Verdict::ServedByName(by()), "fare 12:00 has its execution abc (Succeeded)"),
            (
                Verdict::ServedByTime(failed),
                "fare 12:00 is served by execution abc (Failed), which started at 2021-06-01T11:30:00Z",
            ),
            (Verdict::Running(by()), "execution abc runs"),
            (Verdict::Waiting(by()), "fare 12:00 waits for the end of execution abc"),
            (Verdict::Held, "somebody else disabled the rule of fare 12:00"),
            (Verdict::Unread, "the rule of fare 12:00 cannot be read, and somebody may have disabled it"),
            (Verdict::Expired, "fare 12:00 is older than 7 days plus the cooldown, so no heartbeat starts it"),
            (
                Verdict::CoolingDown { after: by(), until: noon() + HOUR },
                "fare 12:00 waits for the cooldown until 2021-06-01T13:00:00Z",
            ),
            (
                Verdict::RolledBack { by: "ef01".to_owned() },
                "fare 12:00 was rolled back by CodePipeline execution ef01",
            ),
            (Verdict::Suppressed { by: "deploys".to_owned() }, "the alarm of fare 12:00 is suppressed by deploys"),
            (Verdict::ActionsOff, "the actions of the alarm of fare 12:00 are disabled"),
            (Verdict::Muted, "the alarm of fare 12:00 is muted"),
            (Verdict::MutesNotRead, "the mute rules of the alarm of fare 12:00 cannot be read"),
            (
                Verdict::TooYoung { until: noon() + 3 * MINUTE },
                "the event of fare 12:00 may still come, until 2021-06-01T12:03:00Z",
            ),
        ] {
            assert_eq!(verdict.sentence(&remembered), sentence);
        }
        let forgotten = occurrence(Trigger::Drift, "fare 12:00");
        let cooling = Verdict::CoolingDown { after: by(), until: noon() + HOUR };
        assert_eq!(
            cooling.sentence(&forgotten),
            "abc was started a short while ago: drift starts nothing until 2021-06-01T13:00:00Z"
        );
    }
}
