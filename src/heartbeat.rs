//! The heartbeat's flow: set the guards, then start what is owed.
//!
//! Events get lost, and a start may have to wait. So every heartbeat reads AWS's own state: the newest deployment, the drift
//! alarms, and the tag of an owed tick. It starts one execution at most.

use std::mem;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::aws::{self, CallError, ObservedAlarms};
use crate::model::{Deployment, DesiredState, Memory, Mode, Occurrence, OwedTag, Trigger};
use crate::outcome::{Action, Outcome};
use crate::policy::{self, Asker, CatchUp, Findings, Owed};
use crate::reconcile::{Error, Invocation, Snapshot, both, converge_and_report, drain, observe};
use crate::retrain::{Start, ensure_execution, finish_start, forget_tick, whole_seconds};

/// Sets the guards, and starts what is owed if no execution is active.
///
/// # Errors
/// [`Error`] if something cannot be read, if a guard cannot be set, or if the start fails.
pub(crate) async fn heartbeat(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<(), Error> {
    if invocation.config.mode == Mode::Drain {
        return drain(invocation, outcome).await;
    }
    // A slow or failing CloudWatch does not delay the interlock.
    let (observed, mut sources) = tokio::join!(observe_guards(invocation, outcome), observe_sources(invocation));
    let caught_up = match observed {
        Ok(observed) if invocation.config.heartbeat_starts() => {
            catch_up(invocation, observed, &mut sources, outcome).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    // A source that could not be read stops nothing else. It fails the heartbeat at its end.
    both(caught_up, Error::unless_empty(sources.failures)).map(drop)
}

/// A snapshot, and when it was complete.
#[derive(Debug)]
struct Observed {
    snapshot: Snapshot,
    at: Instant,
}

/// Observes and sets the guards.
async fn observe_guards(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<Observed, Error> {
    let snapshot = observe(invocation, None, None, outcome).await?;
    let snapshot = converge_and_report(invocation, None, snapshot, outcome).await?;
    Ok(Observed { snapshot, at: Instant::now() })
}

/// Where a heartbeat finds occurrences whose events were lost. The schedule rule's tag is not here: the guards' observation reads
/// it.
#[derive(Debug, Default)]
struct Sources {
    deployment: Option<Deployment>,
    alarms: ObservedAlarms,
    failures: Vec<CallError>,
}

async fn observe_sources(invocation: &Invocation<'_>) -> Sources {
    let Invocation { config, aws, .. } = invocation;
    let mut sources = Sources::default();
    if !config.heartbeat_starts() {
        return sources;
    }
    let deployment = async {
        match &aws.deployments {
            Some(deployments) => Ok(policy::newest_deployment(&deployments.list().await?)),
            None => Ok(None),
        }
    };
    // Boxed, as the SDK's futures are large.
    let (deployment, alarms) = tokio::join!(Box::pin(deployment), Box::pin(aws.alarms.observe()));
    match deployment {
        Ok(deployment) => sources.deployment = deployment,
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

/// Starts what is owed, and removes the tag of a tick that is not owed any more.
async fn catch_up(
    invocation: &Invocation<'_>,
    observed: Observed,
    sources: &mut Sources,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let Observed { mut snapshot, at } = observed;
    let mut findings =
        Findings { deployment: sources.deployment.take(), tick: None, alarms: mem::take(&mut sources.alarms.in_alarm) };
    let mut owed = find_owed(invocation, &snapshot, &mut findings, sources).await;
    if at.elapsed() > FRESH && snapshot.mode == Mode::Active {
        snapshot = observe_guards(invocation, outcome).await?.snapshot;
        findings.tick = owed_tick(invocation, &snapshot);
        let before = mem::replace(&mut owed, policy::find_owed(&findings, &snapshot.situation(invocation)));
        // What was not owed before is left out, as its mutes may be unknown.
        owed.occurrences.retain(|occurrence| before.occurrences.contains(occurrence));
    }
    let per_day = invocation.config.catch_up_per_day;
    let situation = snapshot.situation(invocation);
    if sources.failures.is_empty() {
        outcome.owed_seconds = Some(policy::longest_owed(&owed.occurrences, &situation).as_secs());
    }
    let tag = findings.tick.map(|(_, tag)| tag);
    let obsolete = aws::schedule_rule(&invocation.aws.guards, &snapshot.guards)
        .filter(|_| owed.tag_is_obsolete && snapshot.mode == Mode::Active)
        .map(|(rule, found)| (rule, found.resource.clone()));
    let next = next(invocation, &snapshot, &owed);
    // Beside the start, not after it: it would also remove a tag that another invocation writes in between.
    let forget = async {
        match obsolete {
            Some((rule, resource)) => rule.forget_owed(&resource).await,
            None => Ok(()),
        }
    };
    let act = async {
        match next {
            CatchUp::Start(occurrence) => start(invocation, &occurrence, snapshot, tag.as_ref(), outcome).await,
            CatchUp::Braked { started } => {
                outcome.action = Some(Action::Braked);
                outcome.add_reason(&format!(
                    "a retraining is owed, but {started} executions started within 24 hours, and CATCH_UP_PER_DAY is {per_day}: a later heartbeat starts it"
                ));
                Ok(())
            }
            CatchUp::NoStartTime => {
                outcome
                    .add_reason("a retraining is owed, but SageMaker returns no start time for the newest execution");
                Ok(())
            }
            CatchUp::Nothing => Ok(()),
        }
    };
    let (started, forgotten) = tokio::join!(act, forget);
    explain(&owed, sources, outcome);
    both(started, forgotten).map(drop)
}

/// What the heartbeat starts. Nothing beside an active execution.
fn next(invocation: &Invocation<'_>, snapshot: &Snapshot, owed: &Owed) -> CatchUp {
    let per_day = invocation.config.catch_up_per_day;
    match snapshot.desired_state() {
        DesiredState::Released => policy::catch_up(&owed.occurrences, per_day, &snapshot.situation(invocation)),
        DesiredState::Engaged { .. } => CatchUp::Nothing,
    }
}

/// The schedule rule's name and the tag of its owed tick.
fn owed_tick(invocation: &Invocation<'_>, snapshot: &Snapshot) -> Option<(String, OwedTag)> {
    let (rule, found) = aws::schedule_rule(&invocation.aws.guards, &snapshot.guards)?;
    Some((rule.name.clone(), found.owed.clone()?))
}

/// Adds to the outcome's reason what is not served, and why.
fn explain(owed: &Owed, sources: &Sources, outcome: &mut Outcome) {
    if let Some((occurrence, left)) = &owed.cooling_down {
        outcome.add_reason(&format!("{} waits for the cooldown, another {}", occurrence.key, whole_seconds(*left)));
    }
    for occurrence in &owed.expired {
        outcome.add_reason(&format!(
            "{} is older than 7 days plus the cooldown, so no heartbeat starts it",
            occurrence.key
        ));
    }
    for alarm in &sources.alarms.undated {
        outcome.add_reason(&format!("CloudWatch returns no time of change for alarm {alarm}"));
    }
    outcome.missing_alarms.clone_from(&sources.alarms.missing);
}

/// How many alarms' mutes are read at once.
const MUTES_AT_ONCE: usize = 4;

/// Decides what is owed. Reads the alarms' mutes only if drift may be started next. Otherwise drift is left out: it may be muted,
/// and the deployment or the tick that is started next serves it too.
async fn find_owed(
    invocation: &Invocation<'_>,
    snapshot: &Snapshot,
    findings: &mut Findings,
    sources: &mut Sources,
) -> Owed {
    let aws = invocation.aws;
    let situation = snapshot.situation(invocation);
    findings.tick = owed_tick(invocation, snapshot);
    let mut owed = policy::find_owed(findings, &situation);
    let is_idle = snapshot.desired_state() == DesiredState::Released;
    let serves_other = |next| matches!(next, CatchUp::Start(occurrence) if occurrence.trigger != Trigger::Drift);
    if !is_idle || serves_other(next(invocation, snapshot, &owed)) {
        owed.occurrences.retain(|occurrence| occurrence.trigger != Trigger::Drift);
        return owed;
    }
    let mutes = mem::take(&mut owed.alarms).into_iter().map(|alarm| async move {
        let is_muted = aws.alarms.is_muted(&alarm).await;
        (alarm, is_muted)
    });
    let mut mutes = stream::iter(mutes).buffered(MUTES_AT_ONCE);
    while let Some((alarm, is_muted)) = mutes.next().await {
        match is_muted {
            Ok(false) => {}
            Ok(true) => findings.alarms.retain(|candidate| candidate.name != alarm),
            // An alarm whose mutes could not be read starts nothing. More calls would fail as well.
            Err(failure) => {
                sources.failures.push(failure);
                findings.alarms.clear();
                break;
            }
        }
    }
    policy::find_owed(findings, &situation)
}

/// Starts the execution of an occurrence whose event was lost, or whose start had to wait. Then removes the tick's tag: after the
/// start, so that a kill between the two loses nothing.
async fn start(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    snapshot: Snapshot,
    tag: Option<&OwedTag>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.key = Some(occurrence.key.clone());
    outcome.reason = None;
    let ensured = ensure_execution(invocation, occurrence, Asker::Heartbeat, snapshot, outcome).await?;
    let is_started = matches!(ensured.start, Start::Started(_));
    let snapshot = finish_start(invocation, occurrence, ensured, outcome).await?;
    if !is_started || outcome.action != Some(Action::Started) {
        return Ok(());
    }
    outcome.reason = Some(format!("a {} trigger was owed", occurrence.trigger.word()));
    match tag {
        Some(tag) if occurrence.memory == Memory::OwedTag => forget_tick(invocation, &snapshot, tag).await,
        _ => Ok(()),
    }
}
