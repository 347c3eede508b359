//! The retrain flow: make sure that an occurrence has its execution, and that the interlock is engaged while it is active.

use std::time::Duration;

use crate::aws::{self, CallError, ObservedGuard, TagWrite};
use crate::flow::interlock::{converge, observe_again, observe_or_release};
use crate::flow::observation::{Snapshot, Unobserved, distrust_the_list};
use crate::flow::{Error, Fault, Invocation, both};
use crate::model::{
    DesiredState, ExecutionArn, ExecutionStatus, GuardState, Memory, Mode, Occurrence, TickTag, Trigger,
};
use crate::outcome::{Action, Outcome};
use crate::policy::interlock::LookedUp;
use crate::policy::start::{self, Returned, StartRequest};
use crate::policy::trigger::{ListAnswer, ask_the_list};
use crate::policy::verdict::{self, Evidence, Verdict};

/// Starts or finds the execution of an occurrence that an event reports, and engages the interlock.
pub(crate) async fn retrain(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let (ensured, mut snapshot) = observe_and_ensure(invocation, occurrence, outcome).await?;
    let is_deferred = matches!(ensured, Ensured::Deferred);
    finish(invocation, occurrence, ensured, &mut snapshot, outcome).await?;
    // An earlier try may have noted that the tick is owed. The tick is answered now.
    if is_deferred { Ok(()) } else { forget_tick(&snapshot, occurrence).await }
}

/// As [`retrain`], for a deployment that needs CodePipeline's list first. While the list lags, it is read again.
///
/// # Errors
/// As [`retrain`]; also if the list cannot be read, or still does not show when the deployment succeeded.
pub(crate) async fn retrain_listed(
    invocation: &Invocation<'_>,
    occurrence: Occurrence,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let mut pauses = LOOKS.into_iter();
    loop {
        let deployments = invocation.aws.deployments.list_as_far_as(&occurrence.key).await?;
        match ask_the_list(occurrence.clone(), &deployments, &invocation.config.parameters) {
            ListAnswer::NewCode(occurrence) => return retrain(invocation, &occurrence, outcome).await,
            ListAnswer::Rollback(reason) => {
                outcome.ignore(reason);
                return Ok(());
            }
            ListAnswer::Lags => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(Fault::DeploymentListLags.into()),
            },
        }
    }
}

/// Who found an occurrence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finder<'e> {
    Event,
    Heartbeat {
        /// The errors of the findings that this heartbeat tried before.
        earlier: &'e [Error],
    },
}

impl Finder<'_> {
    /// Whether an earlier try got this execution from SageMaker, and SageMaker did not find it.
    fn found_no(self, arn: &ExecutionArn) -> bool {
        match self {
            Self::Event => false,
            Self::Heartbeat { earlier } => earlier.iter().any(|error| error.not_started() == Some(arn.as_str())),
        }
    }
}

/// Whether an occurrence has its execution.
#[derive(Debug)]
pub(crate) enum Ensured {
    /// It was started, and the guards are disabled for it.
    Started(ExecutionArn),
    /// SageMaker returned an execution that an earlier try of this heartbeat looked for in vain. No guard is disabled for it.
    StillAbsent(ExecutionArn),
    /// It was found.
    Found(ExecutionArn),
    /// There is none, and something finds the occurrence again.
    Deferred,
    /// There is none, and the outcome says why.
    Nothing,
}

/// Observes, and finds the occurrence's execution or starts it. Also returns the observation.
pub(crate) async fn observe_and_ensure<'a>(
    invocation: &Invocation<'a>,
    occurrence: &Occurrence,
    outcome: &mut Outcome,
) -> Result<(Ensured, Snapshot<'a>), Error> {
    let mut snapshot = match observe_or_release(invocation, &[], &[], outcome).await {
        Ok(snapshot) => snapshot,
        Err(Unobserved { error, guards }) => {
            let error = remember_and_fail(invocation, occurrence, error, &guards).await;
            return Err(Unobserved { error, guards }.into());
        }
    };
    let verdict = match checked_verdict(invocation, occurrence, &mut snapshot, outcome).await {
        Ok(verdict) => verdict,
        Err(error) => return Err(remember_and_fail(invocation, occurrence, error.into(), &snapshot.guards).await),
    };
    let ensured = match answer(verdict, occurrence, &mut snapshot, outcome)? {
        Some(ensured) => ensured,
        None => start_execution(invocation, occurrence, Finder::Event, &mut snapshot, outcome).await?,
    };
    Ok((ensured, snapshot))
}

/// The verdict on an occurrence that an event reports. If nothing finds the occurrence again, it is not refused for an execution that
/// only the list shows as active.
async fn checked_verdict(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    snapshot: &mut Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<Verdict, CallError> {
    let verdict = verdict::of_event(occurrence, &snapshot.situation(invocation));
    let is_lost_if_refused = matches!(occurrence.memory, Memory::Event | Memory::TickTag);
    if !is_lost_if_refused || !matches!(verdict, Verdict::Running(_)) {
        return Ok(verdict);
    }
    distrust_the_list(invocation, snapshot, outcome).await?;
    Ok(verdict::of_event(occurrence, &snapshot.situation(invocation)))
}

/// The error, after noting that a tick is owed if another try may help.
async fn remember_and_fail(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    error: Error,
    guards: &[ObservedGuard<'_>],
) -> Error {
    let remembered = match error.is_retryable() {
        true => remember_tick(invocation, occurrence, guards).await.err(),
        false => None,
    };
    error.and(Error::of_calls(remembered))
}

/// What the answer to a request says whose execution exists.
const ID_IS_USED: &str = "this id has its execution already: nothing more is started, and other parameters than those of its first \
                          request are not used";

/// Answers an occurrence that is not started. Returns `None` if it is owed. Only `Owed` starts an execution: a verdict that is added
/// later does not.
///
/// # Errors
/// If the occurrence's rule could not be read, as somebody may hold it.
fn answer(
    verdict: Verdict,
    occurrence: &Occurrence,
    snapshot: &mut Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<Option<Ensured>, Error> {
    let sentence = verdict.sentence(occurrence);
    let is_request = matches!(occurrence.trigger, Trigger::Request { .. });
    let (action, execution, reason) = match verdict {
        Verdict::Owed => return Ok(None),
        Verdict::Unread => return Err(snapshot.take_read_error()),
        Verdict::ServedByName(execution) => {
            (Action::Duplicate, Some(execution), is_request.then(|| ID_IS_USED.to_owned()))
        }
        Verdict::Running(execution) => (Action::AlreadyRunning, Some(execution), None),
        Verdict::ServedByTime(execution) => (Action::AlreadyServed, Some(execution), None),
        Verdict::Held => (Action::Held, None, Some(sentence)),
        Verdict::CoolingDown { after, .. } => {
            outcome.execution_arn = Some(after.arn.as_str().to_owned());
            (Action::CoolingDown, None, Some(sentence))
        }
        Verdict::Braked(_) => (Action::Braked, None, Some(sentence)),
        Verdict::Waiting(execution) => {
            outcome.execution_arn = Some(execution.arn.as_str().to_owned());
            outcome.action = Some(Action::Deferred);
            outcome.reason = Some(sentence);
            return Ok(Some(Ensured::Deferred));
        }
        // Only a heartbeat gets these.
        Verdict::OwedUnlessMuted
        | Verdict::Expired
        | Verdict::RolledBack { .. }
        | Verdict::Suppressed { .. }
        | Verdict::ActionsOff
        | Verdict::Muted
        | Verdict::MutesNotRead
        | Verdict::TooYoung { .. } => (Action::Ignored, None, Some(sentence)),
    };
    outcome.action = Some(action);
    outcome.reason = reason.or(outcome.reason.take());
    Ok(Some(match execution {
        Some(execution) => {
            outcome.execution_arn = Some(execution.arn.as_str().to_owned());
            Ensured::Found(execution.arn)
        }
        None => Ensured::Nothing,
    }))
}

/// Starts the occurrence's execution. If that fails, looks whether it was started anyway.
///
/// # Errors
/// If SageMaker refuses the start for good, the error is not retryable.
pub(crate) async fn start_execution(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    finder: Finder<'_>,
    snapshot: &mut Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<Ensured, Error> {
    let request = start::request(occurrence, &snapshot.situation(invocation));
    if snapshot.mode == Mode::DryRun {
        outcome.action = Some(Action::Started);
        outcome.reason = Some(format!("MODE is dry-run: the router would have started {}", request.display_name));
        return Ok(Ensured::Nothing);
    }
    let refused = match send(invocation, &request, finder, snapshot, outcome).await {
        Ok(ensured) => return Ok(ensured),
        Err(refused) => refused,
    };
    // Another router may have started it, or the start was carried out and only its answer was lost.
    if let Ok(executions) = invocation.aws.pipeline.list().await {
        snapshot.replace_list(executions);
        let verdict = match finder {
            Finder::Event => checked_verdict(invocation, occurrence, snapshot, outcome).await,
            // The plan has judged the alarm and the rollback already.
            Finder::Heartbeat { .. } => {
                Ok(verdict::of_finding(occurrence, Evidence::None, &snapshot.situation(invocation)))
            }
        };
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                let error = Error::from(refused).and(Some(error.into()));
                return Err(remember_and_fail(invocation, occurrence, error, &snapshot.guards).await);
            }
        };
        if let Some(ensured) = answer(verdict, occurrence, snapshot, outcome)? {
            return Ok(ensured);
        }
    }
    if refused.is_limit() {
        return defer(invocation, occurrence, refused, snapshot, outcome).await;
    }
    Err(remember_and_fail(invocation, occurrence, refused.into(), &snapshot.guards).await)
}

/// Sends the request. The execution event may be late or lost, so the interlock is engaged at once. `converge` repeats what fails here.
async fn send(
    invocation: &Invocation<'_>,
    request: &StartRequest,
    finder: Finder<'_>,
    snapshot: &mut Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<Ensured, CallError> {
    let arn = invocation.aws.pipeline.start(request).await?;
    outcome.action = Some(Action::Started);
    outcome.execution_arn = Some(arn.as_str().to_owned());
    if finder.found_no(&arn) {
        return Ok(Ensured::StillAbsent(arn));
    }
    let engaged = DesiredState::Engaged { execution_id: arn.id().to_owned() };
    aws::set_all(&mut snapshot.guards, &engaged).await;
    Ok(Ensured::Started(arn))
}

/// SageMaker's quota of executions is used up. If something finds the occurrence again, the start waits for that. Otherwise it fails.
async fn defer(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    refused: CallError,
    snapshot: &Snapshot<'_>,
    outcome: &mut Outcome,
) -> Result<Ensured, Error> {
    let is_remembered = verdict::is_remembered(occurrence, &snapshot.situation(invocation))
        && match remember_tick(invocation, occurrence, &snapshot.guards).await {
            Ok(is_remembered) => is_remembered,
            Err(error) => return Err(Error::from(refused).and(Some(error.into()))),
        };
    if !is_remembered {
        return Err(refused.into());
    }
    outcome.action = Some(Action::Deferred);
    outcome.reason = Some("the account runs as many pipeline executions as its quota allows".to_owned());
    Ok(Ensured::Deferred)
}

/// Notes on the schedule rule that its tick is owed. Returns whether it is noted; `true` for an occurrence that needs no note.
async fn remember_tick(
    invocation: &Invocation<'_>,
    occurrence: &Occurrence,
    guards: &[ObservedGuard<'_>],
) -> Result<bool, CallError> {
    let (Memory::TickTag, Some(at)) = (occurrence.memory, occurrence.at) else { return Ok(true) };
    if invocation.config.mode != Mode::Active {
        return Ok(false);
    }
    let Some((rule, found)) = aws::schedule_rule(guards) else { return Ok(false) };
    if found.state == GuardState::DisabledByOther {
        return Ok(false);
    }
    match aws::tag_write(found.tick_tag.as_ref(), at, invocation.aws.now()) {
        TagWrite::Write(at) => rule.note_tick(&found.arn, at).await.map(|()| true),
        TagWrite::Keep => Ok(true),
        TagWrite::Foreign => Ok(false),
    }
}

/// Removes the note that the occurrence's tick is owed. Does nothing if the newest observation found the tag of another tick: a later one,
/// from another invocation.
pub(crate) async fn forget_tick(snapshot: &Snapshot<'_>, occurrence: &Occurrence) -> Result<(), Error> {
    let (Memory::TickTag, Some(at)) = (occurrence.memory, occurrence.at) else { return Ok(()) };
    match aws::schedule_rule(&snapshot.guards) {
        Some((rule, found)) if found.tick_tag == Some(TickTag::Since(at)) && snapshot.mode == Mode::Active => {
            Ok(rule.forget_tick(&found.arn).await?)
        }
        _ => Ok(()),
    }
}

/// The pauses between the looks for what a list does not show yet: an execution that was started, or the success of a deployment. 15
/// seconds in all.
const LOOKS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Engages the interlock while the execution is active, and checks that a started execution is the occurrence's own. Returns whether the
/// occurrence's own execution was started. The snapshot becomes the newest observation.
///
/// # Errors
/// [`Error`] as [`converge`]; if SageMaker returned the ended execution of another occurrence, or one that it does not find.
pub(crate) async fn finish<'a>(
    invocation: &Invocation<'a>,
    occurrence: &Occurrence,
    ensured: Ensured,
    snapshot: &mut Snapshot<'a>,
    outcome: &mut Outcome,
) -> Result<bool, Error> {
    let (arn, looks) = match ensured {
        Ensured::Started(arn) => (arn, &LOOKS[..]),
        Ensured::StillAbsent(arn) => (arn, &[][..]),
        Ensured::Found(_) | Ensured::Deferred | Ensured::Nothing => {
            return converge(invocation, snapshot, outcome).await.map(|()| false);
        }
    };
    snapshot.looked_up.push(LookedUp::named(arn.clone(), ExecutionStatus::Active));
    *snapshot = observe_again(invocation, snapshot, outcome).await?;
    for pause in looks {
        if snapshot.finds(&arn) {
            break;
        }
        tokio::time::sleep(*pause).await;
        *snapshot = observe_again(invocation, snapshot, outcome).await?;
    }
    let found = snapshot.looked_up.iter().find(|looked_up| looked_up.is_found && looked_up.execution.arn == arn);
    let is_own = match start::returned(found.map(|found| &found.execution), occurrence, &snapshot.executions) {
        Returned::Own => Ok(true),
        Returned::StartedBefore => {
            outcome.action = Some(Action::Duplicate);
            outcome.reason = matches!(occurrence.trigger, Trigger::Request { .. }).then(|| ID_IS_USED.to_owned());
            Ok(false)
        }
        Returned::OfAnother { is_active: true } => {
            outcome.action = Some(Action::AlreadyRunning);
            Ok(false)
        }
        Returned::OfAnother { is_active: false } => {
            outcome.action = None;
            let error = Fault::ListLags { execution_arn: arn.as_str().to_owned() }.into();
            Err(remember_and_fail(invocation, occurrence, error, &snapshot.guards).await)
        }
        Returned::Absent => {
            outcome.action = None;
            // The list decides what the guards should be.
            snapshot.looked_up.retain(|looked_up| looked_up.is_found);
            let error = Fault::NotStarted { execution_arn: arn.as_str().to_owned() }.into();
            Err(remember_and_fail(invocation, occurrence, error, &snapshot.guards).await)
        }
    };
    let converged = converge(invocation, snapshot, outcome).await;
    both(is_own, converged).map(|(is_own, ())| is_own)
}
