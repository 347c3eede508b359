//! The retrain flow: make sure that an occurrence has its execution, and that the interlock is engaged while it is active.

use std::time::Duration;

use crate::aws;
use crate::model::{DesiredState, Execution, ExecutionArn, ExecutionStatus, Occurrence, StatusHint};
use crate::outcome::{Action, Outcome};
use crate::policy::{self, Enough, StartDecision};
use crate::reconcile::{Error, Invocation, Snapshot, converge, observe};

/// Starts or finds the occurrence's execution, and engages the interlock.
pub(crate) async fn retrain(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let started = ensure_execution(invocation, occurrence, outcome).await?;
    finish_start(invocation, occurrence, started, outcome).await
}

/// How an occurrence got its execution.
#[derive(Debug)]
pub(crate) enum StartOutcome {
    /// It was started. The guards have been set since the snapshot.
    Started { arn: ExecutionArn, snapshot: Snapshot },
    /// It was found.
    Found { arn: ExecutionArn, snapshot: Snapshot },
}

impl StartOutcome {
    pub(crate) fn arn(&self) -> &ExecutionArn {
        let (Self::Started { arn, .. } | Self::Found { arn, .. }) = self;
        arn
    }
}

/// Finds the occurrence's execution, or starts it.
pub(crate) async fn ensure_execution(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<StartOutcome, Error> {
    let mut snapshot = observe(invocation, None, None, outcome).await?;
    let request = match decide(invocation, occurrence, &snapshot.executions) {
        StartDecision::Start(request) => request,
        StartDecision::Enough(arn, why) => {
            report_found(&arn, why, outcome);
            return Ok(StartOutcome::Found { arn, snapshot });
        }
    };
    match invocation.aws.pipeline.start(&request).await {
        Ok(arn) => {
            outcome.action = Some(Action::Started);
            outcome.execution_arn = Some(arn.as_str().to_owned());
            // The status event may be late or lost, so the interlock is engaged at once. `converge` repeats what fails here.
            let engaged = DesiredState::Engaged { execution_id: arn.id().to_owned() };
            aws::set_all(&invocation.aws.guards, &mut snapshot.guards, &engaged).await;
            Ok(StartOutcome::Started { arn, snapshot })
        }
        // Another router may have started it, or the start was carried out and only its answer was lost.
        Err(refused) => {
            let Ok(executions) = invocation.aws.pipeline.list().await else { return Err(refused.into()) };
            match decide(invocation, occurrence, &executions) {
                StartDecision::Start(_) => Err(refused.into()),
                StartDecision::Enough(arn, why) => {
                    report_found(&arn, why, outcome);
                    Ok(StartOutcome::Found { arn, snapshot: Snapshot { executions, ..snapshot } })
                }
            }
        }
    }
}

fn decide(invocation: &Invocation<'_>, occurrence: &Occurrence, executions: &[Execution]) -> StartDecision {
    let (pipeline, cooldown) = (invocation.aws.pipeline.name(), invocation.config.drift_cooldown);
    policy::decide_start(occurrence, pipeline, executions, cooldown, invocation.aws.now())
}

fn report_found(arn: &ExecutionArn, why: Enough, outcome: &mut Outcome) {
    outcome.execution_arn = Some(arn.as_str().to_owned());
    outcome.action = Some(match why {
        Enough::Duplicate => Action::Duplicate,
        Enough::AlreadyRunning => Action::AlreadyRunning,
        Enough::CoolingDown { left } => {
            let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
            outcome.reason = Some(format!(
                "{} was started a short while ago: drift alarms start nothing for another {left}",
                arn.id()
            ));
            Action::CoolingDown
        }
    });
}

/// Engages the interlock while the execution is active, and checks that a started execution is the occurrence's own.
pub(crate) async fn finish_start(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    start: StartOutcome,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let (arn, snapshot) = match start {
        StartOutcome::Found { snapshot, .. } => return converge(invocation, None, snapshot, outcome).await.map(drop),
        StartOutcome::Started { arn, snapshot } => (arn, snapshot),
    };
    let hint = StatusHint { arn: arn.clone(), status: ExecutionStatus::Active };
    let snapshot = observe(invocation, Some(&hint), Some(&snapshot.guards), outcome).await?;
    let snapshot = converge(invocation, Some(&hint), snapshot, outcome).await?;
    // With a token that it has seen before, SageMaker may return the execution that the token started.
    if let Some(named) = snapshot.named.filter(|named| policy::is_of_another_occurrence(named, occurrence)) {
        if !named.status.is_active() {
            outcome.action = None;
            return Err(Error::ListLags { execution_arn: arn.as_str().to_owned() });
        }
        outcome.action = Some(Action::AlreadyRunning);
    }
    Ok(())
}
