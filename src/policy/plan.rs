//! The plan: what a heartbeat found in AWS's state, with a verdict for each finding, and what is started next.
//!
//! The plan is a value. A heartbeat carries it out, and decides nothing itself.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use crate::model::{Alarm, Deployment, ExecutionArn, Memory, Mode, Occurrence, TickSender, TickTag, Trigger};
use crate::policy::training::{self, Brake};
use crate::policy::verdict::{self, Evidence, Verdict};
use crate::policy::{DRAINED, Situation, age, trigger};

/// What a heartbeat found that may ask for a retraining.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The newest deployments of the CodePipeline, in any order.
    pub(crate) deployments: Vec<Deployment>,
    /// The schedule rule's tag, and the rule's name.
    pub(crate) tick: Option<(String, TickTag)>,
    /// The listed alarms that are in ALARM.
    pub(crate) alarms: Vec<Alarm>,
}

impl Found {
    /// Leaves a finding out: SageMaker refuses to start it.
    pub(crate) fn leave_out(&mut self, occurrence: &Occurrence) {
        match occurrence.trigger {
            Trigger::Deployment => self.deployments.clear(),
            Trigger::Schedule => self.tick = None,
            Trigger::Drift => self
                .alarms
                .retain(|alarm| trigger::drift(&alarm.name, alarm.changed, Memory::AwsState).key != occurrence.key),
            // No heartbeat finds them.
            Trigger::Job | Trigger::Request { .. } => {}
        }
    }
}

/// What a heartbeat does, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// When it was made.
    pub(crate) at: SystemTime,
    /// In the order in which they are served: the newest deployment, a tick, drift from the newest to the oldest.
    pub(crate) findings: Vec<Finding>,
    pub(crate) next: Next,
    /// The alarms whose drift is owed unless they are muted, newest first.
    pub(crate) unasked: Vec<String>,
    /// Whether the schedule rule's tag is not needed any more.
    pub(crate) tag_is_obsolete: bool,
    /// For how long the oldest of what is late has been owed; zero if nothing is.
    pub(crate) longest_owed: Duration,
}

/// Something in AWS's state that may ask for a retraining, and what the router decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) occurrence: Occurrence,
    pub(crate) verdict: Verdict,
}

/// What is started next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The execution of this finding, from `earliest` on.
    Start {
        finding: Finding,
        earliest: SystemTime,
    },
    /// This drift is next, unless its alarm is muted. So the mutes of the unasked alarms have to be read first, and then a new plan is
    /// made.
    ReadMutes(Finding),
    Nothing(WhyNothing),
}

/// Why nothing is started next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WhyNothing {
    NothingOwed,
    /// A heartbeat starts nothing beside this execution.
    ExecutionActive(ExecutionArn),
    /// Something is owed, but so many executions started within 24 hours.
    Braked(Brake),
    /// Something is owed, but the newest execution has no start time, so it is unknown what it serves.
    NoStartTime,
    /// A guard cannot be read, so the heartbeat fails.
    GuardUnsettled,
    Drain,
    /// There are no heartbeats, or they may start nothing.
    NoHeartbeat,
}

impl WhyNothing {
    /// The reason in one word, for answers.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NothingOwed => "nothingOwed",
            Self::ExecutionActive(_) => "executionActive",
            Self::Braked(_) => "braked",
            Self::NoStartTime => "noStartTime",
            Self::GuardUnsettled => "guardUnsettled",
            Self::Drain => "drain",
            Self::NoHeartbeat => "noHeartbeat",
        }
    }

    /// Until when, if that is known.
    pub(crate) fn until(&self) -> Option<SystemTime> {
        match self {
            Self::Braked(brake) => brake.until,
            Self::NothingOwed
            | Self::ExecutionActive(_)
            | Self::NoStartTime
            | Self::GuardUnsettled
            | Self::Drain
            | Self::NoHeartbeat => None,
        }
    }

    /// The reason as a sentence for people, without a full stop.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::NothingOwed => "nothing is owed".to_owned(),
            Self::ExecutionActive(arn) => format!("execution {} runs", arn.id()),
            Self::Braked(brake) => {
                format!("a retraining is owed, but {}: a later heartbeat starts it", brake.sentence())
            }
            Self::NoStartTime => {
                "a retraining is owed, but SageMaker returns no start time for the newest execution".to_owned()
            }
            Self::GuardUnsettled => "a guard cannot be read, so heartbeats fail and start nothing".to_owned(),
            Self::Drain => DRAINED.to_owned(),
            Self::NoHeartbeat => {
                "no heartbeat starts anything: HEARTBEAT_NAME is not set, or CATCH_UP_PER_DAY is 0".to_owned()
            }
        }
    }
}

/// Makes the plan.
pub(crate) fn make(found: &Found, situation: &Situation<'_>) -> Plan {
    let deployment = trigger::newest_deployment(&found.deployments, situation.now).map(|newest| {
        let occurrence = trigger::deployment(newest.execution_id, Some(newest.succeeded), Memory::AwsState);
        (occurrence, newest.rolled_back_by.map_or(Evidence::None, Evidence::RolledBackBy))
    });
    let tick = match &found.tick {
        Some((rule, TickTag::Since(at))) => {
            Some((trigger::tick(TickSender::Rule, rule, *at, Memory::TickTag), Evidence::None))
        }
        Some((_, TickTag::Unreadable | TickTag::OtherRouter)) | None => None,
    };
    let mut alarms: Vec<&Alarm> = found.alarms.iter().collect();
    alarms.sort_by_key(|alarm| Reverse(alarm.changed));
    let drift = alarms.into_iter().map(|a| (trigger::drift(&a.name, a.changed, Memory::AwsState), Evidence::Alarm(a)));
    let mut findings = Vec::new();
    let mut unasked = Vec::new();
    for (occurrence, evidence) in deployment.into_iter().chain(tick).chain(drift) {
        let verdict = verdict::of_finding(&occurrence, evidence, situation);
        if let (Verdict::OwedUnlessMuted, Evidence::Alarm(alarm)) = (&verdict, evidence) {
            unasked.push(alarm.name.clone());
        }
        findings.push(Finding { occurrence, verdict });
    }
    let is_answered = |finding: &Finding| finding.occurrence.trigger == Trigger::Schedule && finding.verdict.is_final();
    let tag_is_obsolete = matches!(found.tick, Some((_, TickTag::Unreadable))) || findings.iter().any(is_answered);
    let owed_since = |finding: &Finding| finding.verdict.owed_since(&finding.occurrence, situation);
    let longest_owed = findings.iter().filter_map(owed_since).map(|since| age(since, situation.now)).max();
    let next = next(&findings, situation);
    let longest_owed = longest_owed.unwrap_or_default();
    Plan { at: situation.now, findings, next, unasked, tag_is_obsolete, longest_owed }
}

/// Why no heartbeat starts anything, whatever is found.
pub(crate) fn obstacle(mode: Mode, heartbeat_starts: bool) -> Option<WhyNothing> {
    match mode {
        Mode::Drain => Some(WhyNothing::Drain),
        Mode::Active | Mode::DryRun => (!heartbeat_starts).then_some(WhyNothing::NoHeartbeat),
    }
}

fn next(findings: &[Finding], situation: &Situation<'_>) -> Next {
    if let Some(why) = obstacle(situation.mode, situation.heartbeat_starts) {
        return Next::Nothing(why);
    }
    if situation.has_unread_guard {
        return Next::Nothing(WhyNothing::GuardUnsettled);
    }
    if let Some(active) = situation.executions.iter().find(|execution| execution.status.is_active()) {
        return Next::Nothing(WhyNothing::ExecutionActive(active.arn.clone()));
    }
    let first = |verdict: Verdict| findings.iter().find(|finding| finding.verdict == verdict);
    if let Some(owed) = first(Verdict::Owed) {
        return start(owed, situation);
    }
    if let Some(unasked) = first(Verdict::OwedUnlessMuted) {
        return Next::ReadMutes(unasked.clone());
    }
    later(findings, situation).unwrap_or(Next::Nothing(WhyNothing::NothingOwed))
}

/// The start of what is owed, or what else is in its way.
pub(crate) fn start(owed: &Finding, situation: &Situation<'_>) -> Next {
    match in_the_way(situation) {
        Some(why) => Next::Nothing(why),
        None => Next::Start { finding: owed.clone(), earliest: situation.now },
    }
}

/// Why nothing that is owed can be started now.
fn in_the_way(situation: &Situation<'_>) -> Option<WhyNothing> {
    if situation.executions.first().is_some_and(|newest| newest.started.is_none()) {
        return Some(WhyNothing::NoStartTime);
    }
    training::brake(situation).map(WhyNothing::Braked)
}

/// When the first of the findings that wait may be started, and which one is served first then. `None` if none waits, or if that time is
/// unknown.
fn later(findings: &[Finding], situation: &Situation<'_>) -> Option<Next> {
    let from = |finding: &Finding| verdict::startable_from(&finding.verdict, &finding.occurrence, situation);
    let waits = || findings.iter().filter_map(|finding| Some((finding, from(finding)?)));
    let first = waits().map(|(_, from)| from).min()?;
    let earliest = match in_the_way(situation) {
        None => first,
        Some(WhyNothing::Braked(Brake { until: Some(until), .. })) => first.max(until),
        Some(_) => return None,
    };
    let (finding, _) = waits().find(|(_, from)| *from <= earliest)?;
    Some(Next::Start { finding: finding.clone(), earliest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Execution, Mutes};
    use crate::policy::Hold;
    use crate::policy::fixtures::{HOUR, MINUTE, execution, noon, situation, started};

    fn alarm(name: &str, age: Duration, mutes: Mutes) -> Alarm {
        Alarm { name: name.to_owned(), changed: noon() - age, suppressed_by: None, has_actions: true, mutes }
    }

    /// A deployment, an owed tick and two alarms that are not muted, each as old as said.
    fn found(deployment: Duration, tick: Duration, alarms: [Duration; 2]) -> Found {
        Found {
            deployments: vec![Deployment {
                execution_id: "new".to_owned(),
                has_succeeded: true,
                is_rollback: false,
                rollback_target: None,
                changed: Some(noon() - deployment),
            }],
            tick: Some(("rule".to_owned(), TickTag::Since(noon() - tick))),
            alarms: vec![alarm("older", alarms[0], Mutes::None), alarm("newer", alarms[1], Mutes::None)],
        }
    }

    fn only_alarms(alarms: Vec<Alarm>) -> Found {
        Found { alarms, ..Found::default() }
    }

    /// The trigger and, if it is not now, the time of what is started next, or why nothing is.
    fn next(plan: &Plan) -> String {
        match &plan.next {
            Next::Start { finding, earliest } if *earliest <= noon() => finding.occurrence.trigger.word().to_owned(),
            Next::Start { finding, earliest } => {
                format!(
                    "{} in {}",
                    finding.occurrence.trigger.word(),
                    humantime::format_duration(age(noon(), *earliest))
                )
            }
            Next::ReadMutes(_) => format!("read mutes of {}", plan.unasked.join(", ")),
            Next::Nothing(WhyNothing::ExecutionActive(arn)) => format!("{} runs", arn.id()),
            Next::Nothing(why) => why.word().to_owned(),
        }
    }

    #[test]
    fn a_heartbeat_serves_the_deployment_first_then_the_tick_then_the_newest_drift() {
        let mut found = found(HOUR, 2 * HOUR, [4 * HOUR, 3 * HOUR]);
        let plan = make(&found, &situation(&[]));
        let keys: Vec<&str> = plan.findings.iter().map(|finding| finding.occurrence.key.as_str()).collect();
        let older = "older 2021-06-01T08:00:00Z";
        assert_eq!(keys, ["new", "rule 2021-06-01T10:00:00Z", "newer 2021-06-01T09:00:00Z", older]);
        assert!(plan.findings.iter().all(|finding| finding.verdict == Verdict::Owed), "{:?}", plan.findings);
        assert_eq!(next(&plan), "code");
        assert_eq!((plan.longest_owed, plan.tag_is_obsolete), (4 * HOUR, false));
        found.deployments.clear();
        assert_eq!(next(&make(&found, &situation(&[]))), "schedule");
        found.tick = None;
        assert_eq!(next(&make(&found, &situation(&[]))), "drift");
        found.alarms.clear();
        let plan = make(&found, &situation(&[]));
        assert_eq!((next(&plan), plan.longest_owed), ("nothingOwed".to_owned(), Duration::ZERO));
    }

    #[test]
    fn a_finding_that_is_left_out_makes_room_for_the_following_one() {
        let mut found = found(HOUR, 2 * HOUR, [4 * HOUR, 3 * HOUR]);
        let mut served = Vec::new();
        for _ in 0..5 {
            let Next::Start { finding, .. } = make(&found, &situation(&[])).next else { break };
            found.leave_out(&finding.occurrence);
            served.push(finding.occurrence.key);
        }
        let drift = ["newer 2021-06-01T09:00:00Z", "older 2021-06-01T08:00:00Z"];
        assert_eq!(served, ["new", "rule 2021-06-01T10:00:00Z", drift[0], drift[1]]);
    }

    #[test]
    fn what_is_younger_than_five_minutes_is_next_when_its_event_cannot_come_any_more() {
        let minutes = |deployment, tick| {
            let found = Found { alarms: vec![], ..found(deployment * MINUTE, tick * MINUTE, [HOUR; 2]) };
            next(&make(&found, &situation(&[])))
        };
        assert_eq!(minutes(5, 5), "code");
        assert_eq!(minutes(4, 5), "schedule");
        assert_eq!(minutes(3, 4), "schedule in 1m");
        assert_eq!(minutes(4, 3), "code in 1m");
    }

    #[test]
    fn the_mutes_are_read_of_what_may_be_started_next_and_only_then_is_drift_started() {
        let drift = |mutes| only_alarms(vec![alarm("older", 2 * HOUR, mutes), alarm("newer", HOUR, Mutes::NotAsked)]);
        let plan = make(&drift(Mutes::NotAsked), &situation(&[]));
        assert_eq!((next(&plan), plan.longest_owed), ("read mutes of newer, older".to_owned(), Duration::ZERO));
        // The older one was asked before. The newer one has become owed since, and is left to the next heartbeat.
        let plan = make(&drift(Mutes::None), &situation(&[]));
        assert!(matches!(&plan.next, Next::Start { finding, .. } if finding.occurrence.key.starts_with("older")));
        assert_eq!(plan.longest_owed, 2 * HOUR, "only what was asked counts");
        let asked = |mutes| only_alarms(vec![alarm("a", HOUR, mutes)]);
        for mutes in [Mutes::Active, Mutes::NotRead] {
            let plan = make(&asked(mutes), &situation(&[]));
            assert_eq!((next(&plan), plan.longest_owed), ("nothingOwed".to_owned(), Duration::ZERO), "{mutes:?}");
        }
        let with_deployment = Found { alarms: asked(Mutes::NotAsked).alarms, ..found(HOUR, HOUR, [HOUR; 2]) };
        assert_eq!(next(&make(&with_deployment, &situation(&[]))), "code", "no mute has to be read for it");
    }

    #[test]
    fn nothing_is_started_beside_an_active_execution_and_what_waits_for_its_end_is_late() {
        let history = [execution("x", true, "by hand")];
        let minutes = |deployment, tick| found(deployment * MINUTE, tick * MINUTE, [5 * MINUTE; 2]);
        let plan = make(&minutes(10, 20), &situation(&history));
        assert_eq!((next(&plan), plan.longest_owed), ("x runs".to_owned(), 20 * MINUTE));
        assert!(plan.findings.iter().all(|finding| finding.verdict == Verdict::Running(history[0].clone())));
    }

    #[test]
    fn a_tick_that_is_served_held_or_expired_is_settled_and_another_routers_is_left_alone() {
        let settled = |tag, situation: &Situation<'_>| {
            let found = Found { tick: Some(("rule".to_owned(), tag)), ..Found::default() };
            make(&found, situation).tag_is_obsolete
        };
        let tick = || TickTag::Since(noon() - HOUR);
        let served = [started(noon())];
        assert!(!settled(tick(), &situation(&[])));
        assert!(settled(tick(), &situation(&served)));
        assert!(settled(tick(), &Situation { schedule_rule: Hold::Yes, ..situation(&[]) }));
        assert!(!settled(tick(), &Situation { schedule_rule: Hold::Unknown, ..situation(&[]) }));
        assert!(settled(tick(), &Situation { now: noon() + 8 * 24 * HOUR, ..situation(&[]) }));
        assert!(settled(TickTag::Unreadable, &situation(&[])));
        assert!(!settled(TickTag::OtherRouter, &situation(&served)));
        // A deployment that is served says nothing of the tick.
        let both = Found { alarms: vec![], ..found(2 * HOUR, HOUR, [HOUR; 2]) };
        let since_the_deployment = [started(noon() - 90 * MINUTE)];
        assert!(!make(&both, &situation(&since_the_deployment)).tag_is_obsolete);
    }

    #[test]
    fn drift_that_waits_for_the_cooldown_is_next_when_it_is_over() {
        let history = [started(noon() - 5 * HOUR)];
        let situation = Situation { drift_cooldown: Some(6 * HOUR), ..situation(&history) };
        let found = only_alarms(vec![alarm("a", HOUR, Mutes::NotAsked), alarm("b", 2 * HOUR, Mutes::NotAsked)]);
        let plan = make(&found, &situation);
        assert_eq!((next(&plan), plan.longest_owed), ("drift in 1h".to_owned(), Duration::ZERO));
        assert_eq!(plan.findings[0].verdict, Verdict::CoolingDown { after: history[0].clone(), until: noon() + HOUR });
    }

    #[test]
    fn so_many_executions_within_a_day_stop_a_heartbeat_and_so_does_a_newest_one_without_a_start_time() {
        let found = only_alarms(vec![alarm("a", HOUR, Mutes::None)]);
        let history = [2, 3, 25].map(|hours| started(noon() - hours * HOUR));
        let next = |history: &[Execution], catch_up_per_day| {
            next(&make(&found, &Situation { catch_up_per_day, ..situation(history) }))
        };
        assert_eq!(next(&history, 3), "drift");
        assert_eq!(next(&history, 2), "braked");
        let unknown = Execution { started: None, ..history[1].clone() };
        assert_eq!(next(&[history[0].clone(), unknown.clone()], 2), "braked");
        assert_eq!(next(&[unknown], 4), "noStartTime");
        assert_eq!(make(&Found::default(), &situation(&history)).next, Next::Nothing(WhyNothing::NothingOwed));
    }

    #[test]
    fn what_waits_for_a_time_is_next_in_the_order_in_which_it_is_served_then() {
        let (executions, minutes) = ([started(noon() - 23 * HOUR)], |count: u32| count * MINUTE);
        let braked = Situation { catch_up_per_day: 1, ..situation(&executions) };
        let found = Found { alarms: vec![], ..found(minutes(3), minutes(4), [HOUR; 2]) };
        assert_eq!(next(&make(&found, &situation(&[]))), "schedule in 1m");
        assert_eq!(next(&make(&found, &braked)), "code in 1h", "both may be started then");
    }

    #[test]
    fn what_lets_no_heartbeat_start_anything_comes_first_and_the_findings_have_their_verdicts() {
        let found = only_alarms(vec![alarm("a", HOUR, Mutes::None)]);
        let history = [execution("x", true, "by hand")];
        let mut situation = Situation { mode: Mode::Drain, heartbeat_starts: false, ..situation(&history) };
        situation.has_unread_guard = true;
        let why = |situation: &Situation<'_>| next(&make(&found, situation));
        assert_eq!(why(&situation), "drain");
        situation.mode = Mode::Active;
        assert_eq!(why(&situation), "noHeartbeat");
        situation.heartbeat_starts = true;
        assert_eq!(why(&situation), "guardUnsettled");
        situation.has_unread_guard = false;
        assert_eq!(why(&situation), "x runs");
        let draining = Situation { mode: Mode::Drain, executions: &[], ..situation };
        assert_eq!(make(&found, &draining).findings[0].verdict, Verdict::Owed);
    }
}
