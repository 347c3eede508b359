//! The heartbeat's flow: set the guards, then carry out the plan.
//!
//! Events get lost, and a start may have to wait. So every heartbeat reads AWS's own state: the newest deployments, the drift
//! alarms, and the tag of an owed tick. What it starts, and why not more, is the [`Plan`]'s decision. It starts one execution at most.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::aws::{self, CallError, ObservedAlarms};
use crate::flow::interlock::{Snapshot, converge_and_answer, drain, observe};
use crate::flow::retrain::{Finder, finish, forget_tick, start_execution};
use crate::flow::{Error, Invocation, both};
use crate::model::{Alarm, Deployment, Memory, Mode, Mutes, Occurrence, TickTag};
use crate::outcome::{Action, Outcome};
use crate::policy::plan::{self, Found, Next, Plan, WhyNothing};
use crate::policy::verdict::Verdict;

/// Sets the guards, and starts what is owed if no execution is active.
pub(crate) async fn heartbeat(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<(), Error> {
    if invocation.config.mode == Mode::Drain {
        return drain(invocation, outcome).await.map(drop);
    }
    // A slow or failing CloudWatch does not delay the interlock.
    let (observed, sources) = tokio::join!(observe_guards(invocation, outcome), read_sources(invocation));
    if !invocation.config.heartbeat_starts() {
        return observed.map(drop);
    }
    let Sources { deployments, alarms, mut failures } = sources;
    let ObservedAlarms { in_alarm, undated, missing } = alarms;
    outcome.missing_alarms = missing;
    let caught_up = match observed {
        Ok(observed) => {
            let found = Found { deployments, tick: None, alarms: in_alarm };
            catch_up(invocation, observed, found, &mut failures, outcome).await
        }
        Err(error) => Err(error),
    };
    for alarm in undated {
        outcome.add_reason(&format!("CloudWatch returns no time of change for alarm {alarm}"));
    }
    // A source that could not be read stops nothing else. It fails the heartbeat at its end.
    match Error::of_calls(failures) {
        Some(unread) => both(caught_up, Err::<(), _>(unread)).map(drop),
        None => caught_up,
    }
}

/// A snapshot, and when it was complete.
#[derive(Debug)]
struct Observed<'g> {
    snapshot: Snapshot<'g>,
    at: Instant,
}

/// Observes and sets the guards.
async fn observe_guards<'a>(invocation: &Invocation<'a>, outcome: &mut Outcome) -> Result<Observed<'a>, Error> {
    let snapshot = observe(invocation, None, &[], outcome).await?;
    let snapshot = converge_and_answer(invocation, None, snapshot, outcome).await?.snapshot;
    Ok(Observed { snapshot, at: Instant::now() })
}

/// Where a heartbeat finds occurrences whose events were lost. The schedule rule's tag is not here: the guards' observation reads
/// it.
#[derive(Debug, Default)]
struct Sources {
    deployments: Vec<Deployment>,
    alarms: ObservedAlarms,
    failures: Vec<CallError>,
}

async fn read_sources(invocation: &Invocation<'_>) -> Sources {
    let Invocation { config, aws, .. } = invocation;
    let mut sources = Sources::default();
    if !config.heartbeat_starts() {
        return sources;
    }
    let deployments = async {
        match &aws.deployments {
            Some(deployments) => deployments.list().await,
            None => Ok(vec![]),
        }
    };
    // Boxed, as the SDK's futures are large.
    let (deployments, alarms) = tokio::join!(Box::pin(deployments), Box::pin(aws.alarms.observe()));
    match deployments {
        Ok(deployments) => sources.deployments = deployments,
        Err(failure) => sources.failures.push(failure),
    }
    match alarms {
        Ok(alarms) => sources.alarms = alarms,
        Err(failure) => sources.failures.push(failure),
    }
    sources
}

/// An observation that is older than this is repeated before it is acted on: a person may have started an execution or disabled a
/// rule since.
const FRESH: Duration = Duration::from_secs(5);

/// Makes the plan and carries it out: starts what is next, and removes the tag of a tick that is not owed any more.
async fn catch_up(
    invocation: &Invocation<'_>,
    observed: Observed<'_>,
    mut found: Found,
    failures: &mut Vec<CallError>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let Observed { mut snapshot, at } = observed;
    let per_day = invocation.config.catch_up_per_day;
    found.tick = tick_tag(&snapshot);
    let mut plan = plan::make(&found, per_day, &snapshot.situation(invocation));
    let mut is_final = true;
    if let Next::ReadMutes(names) = plan.next.clone() {
        failures.extend(read_mutes(invocation, names, &mut found.alarms).await);
        is_final = false;
    }
    if at.elapsed() > FRESH && snapshot.mode == Mode::Active {
        snapshot = observe_guards(invocation, outcome).await?.snapshot;
        found.tick = tick_tag(&snapshot);
        is_final = false;
    }
    if !is_final {
        plan = plan::make(&found, per_day, &snapshot.situation(invocation));
    }
    if failures.is_empty() {
        outcome.owed_seconds = Some(plan.longest_owed.as_secs());
    }
    let waiting = sentences(&plan, invocation);
    let obsolete = aws::schedule_rule(&snapshot.guards)
        .filter(|_| plan.tag_is_obsolete && snapshot.mode == Mode::Active)
        .map(|(rule, found)| (rule.clone(), found.arn.clone()));
    // Do both at once: after the start, this would also remove a tag that another invocation writes in between.
    let forget = async {
        match obsolete {
            Some((rule, arn)) => rule.forget_tick(&arn).await,
            None => Ok(()),
        }
    };
    let tag = found.tick.map(|(_, tag)| tag);
    let (carried_out, forgotten) =
        tokio::join!(carry_out(invocation, plan.next, snapshot, tag.as_ref(), outcome), forget);
    for sentence in waiting {
        outcome.add_reason(&sentence);
    }
    both(carried_out, forgotten).map(drop)
}

/// The schedule rule's name, and its tag.
fn tick_tag(snapshot: &Snapshot<'_>) -> Option<(String, TickTag)> {
    let (rule, found) = aws::schedule_rule(&snapshot.guards)?;
    Some((rule.name.clone(), found.tick_tag.clone()?))
}

/// How many alarms' mutes are read at once.
const MUTES_AT_ONCE: usize = 4;

/// Reads the mutes of the alarms with these names. If one cannot be read, no more are, as more calls would fail as well; then none
/// of the alarms starts anything. Returns the failure.
async fn read_mutes(invocation: &Invocation<'_>, names: Vec<String>, alarms: &mut [Alarm]) -> Option<CallError> {
    let aws = invocation.aws;
    let answers = stream::iter(names).map(|name| async move {
        let is_muted = aws.alarms.is_muted(&name).await;
        (name, is_muted)
    });
    let mut answers = answers.buffered(MUTES_AT_ONCE);
    while let Some((name, is_muted)) = answers.next().await {
        match is_muted {
            Ok(is_muted) => {
                let mutes = if is_muted { Mutes::Active } else { Mutes::None };
                alarms.iter_mut().filter(|alarm| alarm.name == name).for_each(|alarm| alarm.mutes = mutes);
            }
            Err(failure) => {
                alarms.iter_mut().for_each(|alarm| alarm.mutes = Mutes::NotRead);
                return Some(failure);
            }
        }
    }
    None
}

/// Why something waits or is not started any more, for the outcome's reason: the newest drift in the cooldown, and what expired.
fn sentences(plan: &Plan, invocation: &Invocation<'_>) -> Vec<String> {
    let now = invocation.aws.now();
    let cooling = plan.findings.iter().find(|finding| matches!(finding.verdict, Verdict::CoolingDown { .. }));
    let expired = plan.findings.iter().filter(|finding| finding.verdict == Verdict::Expired);
    cooling.into_iter().chain(expired).map(|finding| finding.verdict.sentence(&finding.occurrence, now)).collect()
}

/// Starts what is next if its time has come, or says why nothing starts.
async fn carry_out(
    invocation: &Invocation<'_>,
    next: Next,
    snapshot: Snapshot<'_>,
    tag: Option<&TickTag>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    match next {
        Next::Start { occurrence, earliest } if earliest <= invocation.aws.now() => {
            start_next(invocation, &occurrence, snapshot, tag, outcome).await?;
        }
        // The next heartbeat plans again.
        Next::Start { .. } | Next::ReadMutes(_) => {}
        Next::Nothing(WhyNothing::NothingOwed | WhyNothing::ExecutionActive(_)) => {}
        Next::Nothing(WhyNothing::Braked { started }) => {
            outcome.action = Some(Action::Braked);
            outcome.add_reason(&format!(
                "a retraining is owed, but {started} executions started within 24 hours, and CATCH_UP_PER_DAY is {}: a later heartbeat starts it",
                invocation.config.catch_up_per_day
            ));
        }
        Next::Nothing(WhyNothing::NoStartTime) => {
            outcome.add_reason("a retraining is owed, but SageMaker returns no start time for the newest execution");
        }
    }
    Ok(())
}

/// Starts the execution of an occurrence whose event was lost, or whose start had to wait. Then removes the tick's tag: after the
/// start, so that a kill between the two loses nothing.
async fn start_next(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    snapshot: Snapshot<'_>,
    tag: Option<&TickTag>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.key = Some(occurrence.key.clone());
    outcome.reason = None;
    let attempt = start_execution(invocation, occurrence, Finder::Heartbeat, snapshot, outcome).await?;
    let (snapshot, is_started) = finish(invocation, occurrence, attempt, outcome).await?;
    if !is_started {
        return Ok(());
    }
    outcome.reason = Some(format!("a {} trigger was owed", occurrence.trigger.word()));
    match tag {
        Some(tag) if occurrence.memory == Memory::TickTag => forget_tick(&snapshot, tag).await,
        _ => Ok(()),
    }
}
