//! The heartbeat's flow: put the guards right, then start what is owed.
//!
//! Events get lost, and a start may have to wait. So every heartbeat looks at AWS's own state: the newest deployment, the drift
//! alarms, and the tag of an owed tick. It starts one execution at most.

use std::mem;

use futures_util::future::join_all;

use crate::aws::{self, CallError, ObservedAlarms};
use crate::model::{Deployment, DeploymentTrigger, DesiredState, Memory, Occurrence};
use crate::outcome::{Action, Outcome};
use crate::policy::{self, Asker, CatchUp, Debts, Findings};
use crate::reconcile::{Error, Invocation, Snapshot, both, observe, settle};
use crate::retrain::{Start, ensure_execution, finish_start, whole_seconds};

/// Puts the guards right, and starts what is owed if no execution is active.
pub(crate) async fn heartbeat(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Result<(), Error> {
    let (observed, mut looked) = tokio::join!(observe(invocation, None, None, outcome), look(invocation));
    let settled = match observed {
        Ok(snapshot) => settle(invocation, None, snapshot, outcome).await,
        Err(unobserved) => Err(unobserved.into()),
    };
    let caught_up = match settled {
        Ok(snapshot) => catch_up(invocation, snapshot, &mut looked, outcome).await,
        Err(error) => Err(error),
    };
    // A look that failed stops nothing else. It fails the heartbeat at its end.
    both(caught_up, Error::unless_empty(looked.failures)).map(drop)
}

/// What was found that may be owed, apart from the schedule rule's tag.
#[derive(Debug, Default)]
struct Looked {
    deployment: Option<Deployment>,
    alarms: ObservedAlarms,
    failures: Vec<CallError>,
}

/// Looks at the newest deployment and at the alarms.
async fn look(invocation: &Invocation<'_>) -> Looked {
    let Invocation { config, aws, .. } = invocation;
    if !config.heartbeat_starts() {
        return Looked::default();
    }
    let deployment = async {
        match config.deployment_trigger {
            DeploymentTrigger::Event => aws.deployments.newest().await,
            DeploymentTrigger::Action => Ok(None),
        }
    };
    // Boxed, as the SDK's futures are large.
    let (deployment, alarms) = tokio::join!(Box::pin(deployment), Box::pin(aws.alarms.observe()));
    let mut looked = Looked::default();
    match deployment {
        Ok(deployment) => looked.deployment = deployment,
        Err(failure) => looked.failures.push(failure),
    }
    match alarms {
        Ok(alarms) => looked.alarms = alarms,
        Err(failure) => looked.failures.push(failure),
    }
    looked
}

/// Starts what is owed, and removes the tag of a tick that is not owed any more.
async fn catch_up(
    invocation: &Invocation<'_>,
    snapshot: Snapshot,
    looked: &mut Looked,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let Invocation { config, aws, .. } = invocation;
    let debts = debts(invocation, &snapshot, looked).await;
    let situation = snapshot.situation(invocation);
    if config.heartbeat_starts() && looked.failures.is_empty() {
        outcome.owed_seconds = Some(policy::oldest_age(&debts.owed, situation.now).as_secs());
    }
    let next = match snapshot.desired_state() {
        DesiredState::Released => policy::catch_up(&debts.owed, config.catch_up_per_day, &situation),
        DesiredState::Engaged { .. } => CatchUp::Nothing,
    };
    let tagged = aws::schedule_rule(&aws.guards, &snapshot.guards).map(|(rule, found)| (rule, found.resource.clone()));
    let mut tick_is_settled = debts.tick_is_settled;
    match next {
        CatchUp::Start(occurrence) => {
            start(invocation, &occurrence, snapshot, outcome).await?;
            // The tag goes after the start, so that a kill between the two loses nothing.
            tick_is_settled |= occurrence.memory == Memory::OwedTag && outcome.action == Some(Action::Started);
        }
        CatchUp::Braked { started } => {
            outcome.action = Some(Action::Braked);
            outcome.add_reason(&format!(
                "a retraining is owed, but {started} executions started within 24 hours (CATCH_UP_PER_DAY is {})",
                config.catch_up_per_day
            ));
        }
        CatchUp::NoStartTime => {
            outcome.add_reason("a retraining is owed, but SageMaker does not say when the newest execution started");
        }
        CatchUp::Nothing => {}
    }
    if let Some((occurrence, left)) = debts.cooling_down {
        outcome.add_reason(&format!("{} waits for the cooldown, another {}", occurrence.key, whole_seconds(left)));
    }
    for occurrence in debts.expired {
        outcome.add_reason(&format!("{} is older than the catch-up window", occurrence.key));
    }
    if let (true, Some((rule, resource))) = (tick_is_settled, tagged) {
        rule.forget_owed(&resource).await?;
    }
    Ok(())
}

/// Decides what is owed. Asks for mutes only where an alarm would start an execution.
async fn debts(invocation: &Invocation<'_>, snapshot: &Snapshot, looked: &mut Looked) -> Debts {
    let Invocation { aws, .. } = invocation;
    let situation = snapshot.situation(invocation);
    let tick = aws::schedule_rule(&aws.guards, &snapshot.guards)
        .and_then(|(rule, found)| Some((rule.name.clone(), found.owed.clone()?)));
    if !looked.alarms.missing.is_empty() {
        let alarms = looked.alarms.missing.join(", ");
        tracing::warn!(alarms, "DRIFT_ALARM_NAMES lists alarms that do not exist in this account and Region");
    }
    let mut findings =
        Findings { deployment: looked.deployment.take(), tick, alarms: mem::take(&mut looked.alarms.in_alarm) };
    let candidates = policy::debts(&findings, &situation).alarms;
    let mutes = candidates.iter().map(|alarm| async move { (alarm, aws.alarms.is_muted(alarm).await) });
    for (alarm, muted) in join_all(mutes).await {
        // An alarm of which that cannot be read starts nothing.
        let is_muted = muted.unwrap_or_else(|failure| {
            looked.failures.push(failure);
            true
        });
        if is_muted {
            findings.alarms.retain(|candidate| candidate.name != *alarm);
        }
    }
    policy::debts(&findings, &situation)
}

/// Starts the execution of an occurrence whose event was lost, or whose start had to wait.
async fn start(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    snapshot: Snapshot,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    outcome.key = Some(occurrence.key.clone());
    outcome.reason = None;
    let ensured = ensure_execution(invocation, occurrence, Asker::Heartbeat, snapshot, outcome).await?;
    if let Start::Started(_) = ensured.start {
        outcome.reason = Some(format!("a {} trigger was owed", occurrence.trigger.word()));
    }
    finish_start(invocation, occurrence, ensured, outcome).await
}
