//! The heartbeat's flow: set the guards, then carry out the plan.
//!
//! Events get lost, and a start may have to wait. So every heartbeat reads AWS's own state: the newest deployments, the drift
//! alarms, and the tag of an owed tick. What it starts, and why not more, is the [`Plan`]'s decision. It starts one execution at most
//! that SageMaker then shows.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::aws::{self, CallError, ObservedAlarms};
use crate::flow::interlock::{converge_and_answer, drain, observe_or_release};
use crate::flow::observation::Snapshot;
use crate::flow::retrain::{Finder, finish, forget_tick, start_execution};
use crate::flow::{Error, Invocation};
use crate::model::{Alarm, Deployment, Mode, Mutes, Occurrence, TickTag, Trigger};
use crate::outcome::{Action, Outcome};
use crate::policy::plan::{self, Found, Next, Plan, WhyNothing};
use crate::policy::training;
use crate::policy::verdict::Verdict;

/// Sets the guards, and starts what is owed if no execution is active.
pub(crate) async fn heartbeat(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<(), Error> {
    if invocation.config.mode == Mode::Drain {
        return drain(invocation, outcome).await.map(drop);
    }
    if !invocation.config.heartbeat_starts() {
        return observe_guards(invocation, outcome).await.map(drop);
    }
    // A slow or failing CloudWatch does not delay the interlock.
    let (observed, sources) = tokio::join!(observe_guards(invocation, outcome), read_sources(invocation));
    let Sources { deployments, alarms, failures } = sources;
    if let Some(alarms) = &alarms {
        note_missing(alarms, &invocation.config.drift_alarms, outcome);
    }
    let ObservedAlarms { in_alarm, undated, .. } = alarms.unwrap_or_default();
    let caught_up = match observed {
        Ok(observed) => {
            let tick = found_tick(&observed.snapshot);
            let found = Found { deployments, tick, alarms: in_alarm };
            catch_up(invocation, observed, found, failures.is_empty(), outcome).await
        }
        Err(error) => Err(error),
    };
    for alarm in undated {
        outcome.add_reason(&format!("CloudWatch returns no time of change for alarm {alarm}"));
    }
    // A source that could not be read stops nothing else. It fails the heartbeat at its end.
    Error::all(caught_up.err().into_iter().chain(Error::of_calls(failures)))
}

/// Notes whether none of the listed alarms exists. Some of the default names usually do not.
fn note_missing(alarms: &ObservedAlarms, listed: &[String], outcome: &mut Outcome) {
    let has_none = (!listed.is_empty()).then_some(alarms.missing.len() == listed.len());
    outcome.measures.has_no_alarm = has_none;
    if has_none == Some(true) {
        outcome.warnings.push(format!(
            "none of the alarms that DRIFT_ALARM_NAMES lists exists in this account and Region, so no heartbeat finds drift: \
             correct the names, unless the alarms are of other accounts: {}",
            listed.join(", ")
        ));
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
    let mut snapshot = observe_or_release(invocation, &[], &[], outcome).await?;
    let age = training::age_of_newest(&snapshot.executions, invocation.aws.now());
    outcome.measures.training_age_seconds = age.map(|age| age.as_secs());
    converge_and_answer(invocation, &mut snapshot, outcome).await?;
    Ok(Observed { snapshot, at: Instant::now() })
}

/// Where a heartbeat finds occurrences whose events were lost. The schedule rule's tag is not here: the guards' observation reads
/// it.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) deployments: Vec<Deployment>,
    /// `None` if they could not be read.
    pub(crate) alarms: Option<ObservedAlarms>,
    pub(crate) failures: Vec<CallError>,
}

pub(crate) async fn read_sources(invocation: &Invocation<'_>) -> Sources {
    let aws = invocation.aws;
    // Boxed, as the SDK's futures are large.
    let (deployments, alarms) = tokio::join!(Box::pin(aws.deployments.list()), Box::pin(aws.alarms.observe()));
    let mut failures = Vec::new();
    let mut note = |failure| failures.push(failure);
    let deployments = deployments.map_err(&mut note).unwrap_or_default();
    let alarms = alarms.map_err(&mut note).ok();
    Sources { deployments, alarms, failures }
}

/// An observation that is older than this is repeated before it is acted on: a person may have started an execution or disabled a
/// rule since.
const FRESH: Duration = Duration::from_secs(5);

/// How many findings a heartbeat tries to start, if SageMaker refuses them for good.
const TRIES: usize = 3;

/// Makes the plan and carries it out. If SageMaker refuses the start for good, or has not carried it out, the following finding is next,
/// and the heartbeat fails at its end: one kind of trigger whose request is wrong does not stop the others. `is_complete` says whether
/// every source could be read.
async fn catch_up<'a>(
    invocation: &Invocation<'a>,
    mut observed: Observed<'a>,
    mut found: Found,
    is_complete: bool,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    // Mutes, refused starts and the tag: none of them stops the others.
    let mut errors: Vec<Error> = Vec::new();
    let mut waiting = None;
    // Another invocation may write a tag after this one has removed it.
    let mut tick_is_done = false;
    for _ in 0..TRIES {
        let plan = match make_plan(invocation, &mut observed, &mut found, tick_is_done, outcome).await {
            Ok((plan, failures)) => {
                errors.extend(Error::of_calls(failures));
                plan
            }
            Err(error) => {
                errors.push(error);
                break;
            }
        };
        if waiting.is_none() {
            outcome.measures.owed_seconds = is_complete.then_some(plan.longest_owed.as_secs());
            waiting = Some(sentences(&plan));
        }
        tick_is_done |= plan.tag_is_obsolete;
        let (started, forgotten) = carry_out(invocation, plan, &mut observed, &errors, outcome).await;
        errors.extend(forgotten.err().map(Error::from));
        match started {
            Ok(()) => break,
            Err(Unstarted::Finding(occurrence, error)) => {
                // Ticks and drift share a token, and so may get the same execution. It is reported once.
                let is_reported = |arn| errors.iter().any(|earlier| earlier.not_started() == Some(arn));
                if !error.not_started().is_some_and(is_reported) {
                    errors.push(error);
                }
                tick_is_done |= occurrence.trigger == Trigger::Schedule;
                found.leave_out(&occurrence);
            }
            Err(Unstarted::All(error)) => {
                errors.push(error);
                break;
            }
        }
    }
    for sentence in waiting.into_iter().flatten() {
        outcome.add_reason(&sentence);
    }
    Error::all(errors)
}

/// Makes the plan. If drift may be started next, reads the mutes first. If the observation has become old, repeats it. Also returns
/// the failures to read mutes.
async fn make_plan<'a>(
    invocation: &Invocation<'a>,
    observed: &mut Observed<'a>,
    found: &mut Found,
    tick_is_done: bool,
    outcome: &mut Outcome,
) -> Result<(Plan, Vec<CallError>), Error> {
    found.tick = found_tick(&observed.snapshot).filter(|_| !tick_is_done);
    let plan = plan::make(found, &observed.snapshot.situation(invocation));
    let mut failures = Vec::new();
    let mut is_outdated = false;
    if matches!(plan.next, Next::ReadMutes(_)) {
        failures = read_mutes(invocation, &plan.unasked, &mut found.alarms).await;
        is_outdated = true;
    }
    if observed.at.elapsed() > FRESH && observed.snapshot.mode == Mode::Active {
        *observed = observe_guards(invocation, outcome).await?;
        found.tick = found_tick(&observed.snapshot).filter(|_| !tick_is_done);
        is_outdated = true;
    }
    let plan = if is_outdated { plan::make(found, &observed.snapshot.situation(invocation)) } else { plan };
    Ok((plan, failures))
}

/// The schedule rule's name, and its tag.
pub(crate) fn found_tick(snapshot: &Snapshot<'_>) -> Option<(String, TickTag)> {
    let (rule, found) = aws::schedule_rule(&snapshot.guards)?;
    Some((rule.name.clone(), found.tick_tag.clone()?))
}

/// How many alarms' mutes are read at once: 100 alarms that take a second each take 13 seconds.
const MUTES_AT_ONCE: usize = 8;

/// After so many calls in a row that failed for a reason that passes, no more mutes are read: CloudWatch seems to be down.
const MOST_MUTES_FAILED: usize = 8;

/// Reads the mutes of the alarms with these names, newest first, until one is found that is not muted: it can be started, and that
/// execution serves the others. Returns the failures.
async fn read_mutes(invocation: &Invocation<'_>, names: &[String], alarms: &mut [Alarm]) -> Vec<CallError> {
    let mut failures = Vec::new();
    let mut outages = 0;
    let answers = stream::iter(names.to_vec()).map(|name| async move {
        let mutes = invocation.aws.alarms.mutes(&name).await;
        (name, mutes)
    });
    let mut answers = answers.buffered(MUTES_AT_ONCE);
    while let Some((name, mutes)) = answers.next().await {
        match &mutes {
            Ok(_) => outages = 0,
            Err(failure) => outages += usize::from(failure.is_retryable()),
        }
        if note_mutes(&name, mutes, alarms, &mut failures) == Mutes::None || outages >= MOST_MUTES_FAILED {
            break;
        }
    }
    failures
}

/// Notes the mutes of the alarm with this name. A failure makes them `NotRead`.
pub(crate) fn note_mutes(
    name: &str,
    mutes: Result<Mutes, CallError>,
    alarms: &mut [Alarm],
    failures: &mut Vec<CallError>,
) -> Mutes {
    let mutes = mutes.unwrap_or_else(|failure| {
        failures.push(failure);
        Mutes::NotRead
    });
    alarms.iter_mut().filter(|alarm| alarm.name == name).for_each(|alarm| alarm.mutes = mutes);
    mutes
}

/// Why something waits or is not started any more, for the outcome's reason: the newest drift in the cooldown, and what expired.
fn sentences(plan: &Plan) -> Vec<String> {
    let cooling = plan.findings.iter().find(|finding| matches!(finding.verdict, Verdict::CoolingDown { .. }));
    let expired = plan.findings.iter().filter(|finding| finding.verdict == Verdict::Expired);
    cooling.into_iter().chain(expired).map(|finding| finding.verdict.sentence(&finding.occurrence)).collect()
}

/// Why a heartbeat started nothing.
#[derive(Debug)]
enum Unstarted {
    /// SageMaker refuses this finding's request for good, or has not carried it out. Another finding's may be accepted.
    Finding(Occurrence, Error),
    /// Nothing else is tried.
    All(Error),
}

/// Starts what is next, and removes the tag of a tick that is not owed any more. Does both at once: after the start, this would also
/// remove a tag that another invocation writes in between.
async fn carry_out<'a>(
    invocation: &Invocation<'a>,
    plan: Plan,
    observed: &mut Observed<'a>,
    errors: &[Error],
    outcome: &mut Outcome,
) -> (Result<(), Unstarted>, Result<(), CallError>) {
    let obsolete = aws::schedule_rule(&observed.snapshot.guards)
        .filter(|_| plan.tag_is_obsolete && observed.snapshot.mode == Mode::Active)
        .map(|(rule, found)| (rule.clone(), found.arn.clone()));
    let forget = async {
        match obsolete {
            Some((rule, arn)) => rule.forget_tick(&arn).await,
            None => Ok(()),
        }
    };
    tokio::join!(start_next(invocation, plan, &mut observed.snapshot, errors, outcome), forget)
}

/// Starts what is next if its time has come, or says why nothing starts. Removes the tick's tag after the start, so that a kill between
/// the two loses nothing. `errors` are those of this heartbeat's earlier tries.
async fn start_next<'a>(
    invocation: &Invocation<'a>,
    plan: Plan,
    snapshot: &mut Snapshot<'a>,
    errors: &[Error],
    outcome: &mut Outcome,
) -> Result<(), Unstarted> {
    let occurrence = match plan.next {
        // The time of the plan decides, so that nothing becomes due between its decision and here.
        Next::Start { finding, earliest } if earliest <= plan.at => finding.occurrence,
        // The next heartbeat plans again.
        Next::Start { .. } | Next::ReadMutes(_) => return Ok(()),
        Next::Nothing(why) => {
            match why {
                WhyNothing::Braked(_) => {
                    outcome.action = Some(Action::Braked);
                    outcome.add_reason(&why.sentence());
                }
                WhyNothing::NoStartTime => outcome.add_reason(&why.sentence()),
                // The guards' flow has said it.
                WhyNothing::NothingOwed
                | WhyNothing::ExecutionActive(_)
                | WhyNothing::GuardUnsettled
                | WhyNothing::Drain
                | WhyNothing::NoHeartbeat => {}
            }
            return Ok(());
        }
    };
    outcome.key = Some(occurrence.key.clone());
    outcome.reason = None;
    let finder = Finder::Heartbeat { earlier: errors };
    let ensured = match start_execution(invocation, &occurrence, finder, snapshot, outcome).await {
        Ok(ensured) => ensured,
        // The token of a deployment is its own: another finding's is not in conflict.
        Err(error) if !error.is_retryable() || error.is_conflict() && occurrence.trigger == Trigger::Deployment => {
            return Err(Unstarted::Finding(occurrence, error));
        }
        Err(error) => return Err(Unstarted::All(error)),
    };
    let is_started = match finish(invocation, &occurrence, ensured, snapshot, outcome).await {
        Ok(is_started) => is_started,
        Err(error) if error.not_started().is_some() => return Err(Unstarted::Finding(occurrence, error)),
        Err(error) => return Err(Unstarted::All(error)),
    };
    if is_started {
        outcome.reason = Some(format!("a {} trigger was owed", occurrence.trigger.word()));
        forget_tick(snapshot, &occurrence).await.map_err(Unstarted::All)?;
    }
    Ok(())
}
