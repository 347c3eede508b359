//! The heartbeat's flow: set the guards, then carry out the plan.
//!
//! Events get lost, and a start may have to wait. So every heartbeat reads AWS's own state: the newest deployments, the drift
//! alarms, and the tag of an owed tick. What it starts, and why not more, is the [`Plan`]'s decision. It starts one execution at most.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::aws::{self, CallError, ObservedAlarms};
use crate::flow::interlock::{Snapshot, converge_and_answer, drain, observe};
use crate::flow::retrain::{Finder, Tried, finish, forget_tick, start_execution};
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
    let Sources { deployments, alarms, failures } = sources;
    let ObservedAlarms { in_alarm, undated, has_none } = alarms;
    outcome.has_no_alarm = has_none;
    let caught_up = match observed {
        Ok(observed) => {
            let tick = tick_tag(&observed.snapshot);
            let found = Found { deployments, tick, alarms: in_alarm };
            catch_up(invocation, observed, found, failures.is_empty(), outcome).await
        }
        Err(error) => Err(error),
    };
    for alarm in undated {
        outcome.add_reason(&format!("CloudWatch returns no time of change for alarm {alarm}"));
    }
    // A source that could not be read stops nothing else. It fails the heartbeat at its end.
    join_failures(caught_up, failures)
}

/// The result, with calls that failed beside it.
fn join_failures(result: Result<(), Error>, failures: Vec<CallError>) -> Result<(), Error> {
    match Error::of_calls(failures) {
        Some(failed) => both(result, Err::<(), _>(failed)).map(drop),
        None => result,
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
    let snapshot = observe(invocation, vec![], &[], outcome).await?;
    let snapshot = converge_and_answer(invocation, snapshot, outcome).await?.snapshot;
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

/// How many findings a heartbeat tries to start, if SageMaker refuses them for good.
const TRIES: usize = 3;

/// Makes the plan and carries it out. If SageMaker refuses the start for good, the following finding is next, and the heartbeat fails at
/// its end: one kind of trigger whose request is wrong does not stop the others. `is_complete` says whether every source could be read.
async fn catch_up<'a>(
    invocation: &Invocation<'a>,
    mut observed: Observed<'a>,
    mut found: Found,
    is_complete: bool,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    // Mutes, refused starts and the tag: none of them stops the others.
    let mut failures = Vec::new();
    let mut waiting = None;
    let mut result = Ok(());
    for _ in 0..TRIES {
        let plan = match make_plan(invocation, &mut observed, &mut found, &mut failures, outcome).await {
            Ok(plan) => plan,
            Err(error) => {
                result = Err(error);
                break;
            }
        };
        if waiting.is_none() {
            outcome.owed_seconds = is_complete.then_some(plan.longest_owed.as_secs());
            waiting = Some(sentences(&plan, invocation));
        }
        let is_obsolete = plan.tag_is_obsolete;
        let (started, forgotten) = carry_out(invocation, plan, observed, found.tick.as_ref(), outcome).await;
        failures.extend(forgotten.err());
        match started {
            Ok(None) => break,
            Ok(Some(refused)) => {
                failures.push(refused.error);
                found.leave_out(&refused.occurrence);
                // It is removed once: another invocation may write one in between.
                found.tick = found.tick.filter(|_| !is_obsolete);
                observed = refused.observed;
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    for sentence in waiting.into_iter().flatten() {
        outcome.add_reason(&sentence);
    }
    join_failures(result, failures)
}

/// Makes the plan. If drift may be started next, reads the mutes first. If the observation has become old, repeats it.
async fn make_plan<'a>(
    invocation: &Invocation<'a>,
    observed: &mut Observed<'a>,
    found: &mut Found,
    failures: &mut Vec<CallError>,
    outcome: &mut Outcome,
) -> Result<Plan, Error> {
    let per_day = invocation.config.catch_up_per_day;
    found.tick = found.tick.take().and(tick_tag(&observed.snapshot));
    let plan = plan::make(found, per_day, &observed.snapshot.situation(invocation));
    let mut is_outdated = false;
    if let Next::ReadMutes(names) = &plan.next {
        failures.extend(read_mutes(invocation, names.clone(), &mut found.alarms).await);
        is_outdated = true;
    }
    if observed.at.elapsed() > FRESH && observed.snapshot.mode == Mode::Active {
        *observed = observe_guards(invocation, outcome).await?;
        found.tick = found.tick.take().and(tick_tag(&observed.snapshot));
        is_outdated = true;
    }
    Ok(if is_outdated { plan::make(found, per_day, &observed.snapshot.situation(invocation)) } else { plan })
}

/// The schedule rule's name, and its tag.
fn tick_tag(snapshot: &Snapshot<'_>) -> Option<(String, TickTag)> {
    let (rule, found) = aws::schedule_rule(&snapshot.guards)?;
    Some((rule.name.clone(), found.tick_tag.clone()?))
}

/// How many alarms' mutes are read at once: 100 alarms that take a second each take 13 seconds.
const MUTES_AT_ONCE: usize = 8;

/// After so many calls that failed for a reason that passes, no more mutes are read: CloudWatch seems to be down.
const MOST_MUTES_FAILED: usize = 3;

/// Reads the mutes of the alarms with these names, newest first, until one is found that is not muted: it can be started, and that
/// execution serves the others. Returns the failures.
async fn read_mutes(invocation: &Invocation<'_>, names: Vec<String>, alarms: &mut [Alarm]) -> Vec<CallError> {
    let mut failures = Vec::new();
    let mut outages = 0;
    let aws = invocation.aws;
    let answers = stream::iter(names).map(|name| async move {
        let is_muted = aws.alarms.is_muted(&name).await;
        (name, is_muted)
    });
    let mut answers = answers.buffered(MUTES_AT_ONCE);
    while let Some((name, is_muted)) = answers.next().await {
        let mutes = match is_muted {
            Ok(true) => Mutes::Active,
            Ok(false) => Mutes::None,
            Err(failure) => {
                outages += usize::from(failure.is_retryable());
                failures.push(failure);
                Mutes::NotRead
            }
        };
        alarms.iter_mut().filter(|alarm| alarm.name == name).for_each(|alarm| alarm.mutes = mutes);
        if mutes == Mutes::None || outages >= MOST_MUTES_FAILED {
            break;
        }
    }
    failures
}

/// Why something waits or is not started any more, for the outcome's reason: the newest drift in the cooldown, and what expired.
fn sentences(plan: &Plan, invocation: &Invocation<'_>) -> Vec<String> {
    let now = invocation.aws.now();
    let cooling = plan.findings.iter().find(|finding| matches!(finding.verdict, Verdict::CoolingDown { .. }));
    let expired = plan.findings.iter().filter(|finding| finding.verdict == Verdict::Expired);
    cooling.into_iter().chain(expired).map(|finding| finding.verdict.sentence(&finding.occurrence, now)).collect()
}

/// A finding that SageMaker refuses to start for good.
#[derive(Debug)]
struct Refused<'g> {
    occurrence: Occurrence,
    error: CallError,
    observed: Observed<'g>,
}

/// Starts what is next, and removes the tag of a tick that is not owed any more. Does both at once: after the start, this would also
/// remove a tag that another invocation writes in between.
async fn carry_out<'a>(
    invocation: &Invocation<'a>,
    plan: Plan,
    observed: Observed<'a>,
    tick: Option<&(String, TickTag)>,
    outcome: &mut Outcome,
) -> (Result<Option<Refused<'a>>, Error>, Result<(), CallError>) {
    let obsolete = aws::schedule_rule(&observed.snapshot.guards)
        .filter(|_| plan.tag_is_obsolete && observed.snapshot.mode == Mode::Active)
        .map(|(rule, found)| (rule.clone(), found.arn.clone()));
    let forget = async {
        match obsolete {
            Some((rule, arn)) => rule.forget_tick(&arn).await,
            None => Ok(()),
        }
    };
    tokio::join!(start_next(invocation, plan, observed, tick, outcome), forget)
}

/// Starts what is next if its time has come, or says why nothing starts. Removes the tick's tag after the start, so that a kill between
/// the two loses nothing.
async fn start_next<'a>(
    invocation: &Invocation<'a>,
    plan: Plan,
    Observed { snapshot, at }: Observed<'a>,
    tick: Option<&(String, TickTag)>,
    outcome: &mut Outcome,
) -> Result<Option<Refused<'a>>, Error> {
    let occurrence = match plan.next {
        // The time of the plan decides, so that nothing becomes due between its decision and here.
        Next::Start { occurrence, earliest } if earliest <= plan.at => occurrence,
        // The next heartbeat plans again.
        Next::Start { .. } | Next::ReadMutes(_) => return Ok(None),
        Next::Nothing(WhyNothing::NothingOwed | WhyNothing::ExecutionActive(_)) => return Ok(None),
        Next::Nothing(WhyNothing::Braked { started }) => {
            outcome.action = Some(Action::Braked);
            outcome.add_reason(&format!(
                "a retraining is owed, but {started} executions started within 24 hours, and CATCH_UP_PER_DAY is {}: a later heartbeat starts it",
                invocation.config.catch_up_per_day
            ));
            return Ok(None);
        }
        Next::Nothing(WhyNothing::NoStartTime) => {
            outcome.add_reason("a retraining is owed, but SageMaker returns no start time for the newest execution");
            return Ok(None);
        }
    };
    outcome.key = Some(occurrence.key.clone());
    outcome.reason = None;
    let attempt = match start_execution(invocation, &occurrence, Finder::Heartbeat, snapshot, outcome).await? {
        Tried::Done(attempt) => attempt,
        Tried::Refused(error, snapshot) => {
            return Ok(Some(Refused { occurrence, error, observed: Observed { snapshot, at } }));
        }
    };
    let (snapshot, is_started) = finish(invocation, &occurrence, attempt, outcome).await?;
    if is_started {
        outcome.reason = Some(format!("a {} trigger was owed", occurrence.trigger.word()));
    }
    match tick {
        Some((_, tag)) if is_started && occurrence.memory == Memory::TickTag => {
            forget_tick(&snapshot, tag).await.map(|()| None)
        }
        _ => Ok(None),
    }
}
