//! Decisions. Each function gets all that it needs as arguments: no I/O, no clock, no AWS types.
//!
//! Is an event relevant? Is an occurrence still owed, and does it start an execution? What does a heartbeat start? What should the
//! guards be, and who marked them? Which display name, token and mark does a request carry?

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_seconds, parse_rfc3339};
use sha2::{Digest, Sha256};

use crate::model::{
    Alarm, AlarmChange, CodePipelineExecution, Deployment, DeploymentChange, DeploymentTrigger, DesiredState,
    Execution, ExecutionArn, ExecutionStatus, GuardState, Job, JobParameters, Memory, Mode, Occurrence, OwedTag,
    StatusHint, Tick, TickSender, Trigger, UserParameters, last_segment,
};
use crate::parameters::Parameters;

/// Whether an event calls for a retraining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relevance {
    Relevant(Occurrence),
    /// CodePipeline's list has to be read first: was this deployment a rollback, or when did it succeed?
    AskTheList(Occurrence),
    /// It does not, for this reason.
    Ignored(String),
}

/// An alarm is relevant if it is listed (where there is a list), in ALARM, not suppressed and not muted. A muted or suppressed alarm
/// still changes its state. A heartbeat finds the listed alarms of the function's own account and Region, which `function_arn` names.
pub(crate) fn alarm_relevance(
    change: &AlarmChange,
    listed: &[String],
    heartbeat_starts: bool,
    function_arn: &str,
) -> Relevance {
    let AlarmChange { name, state, changed, account, region, suppressed_by, is_muted } = change;
    let mut own = function_arn.split(':').skip(3).map(str::to_owned);
    let is_found_again = heartbeat_starts && own.next() == *region && own.next() == *account;
    let is_listed = listed.contains(name);
    Relevance::Ignored(if !is_listed && !listed.is_empty() {
        format!("DRIFT_ALARM_NAMES does not list alarm {name}")
    } else if state != "ALARM" {
        format!("alarm {name} is {state}, not ALARM")
    } else if let Some(suppressor) = suppressed_by {
        format!("alarm {name} is suppressed by {suppressor}")
    } else if *is_muted {
        format!("alarm {name} is muted")
    } else {
        let memory = if is_listed && is_found_again { Memory::AwsState } else { Memory::Event };
        return Relevance::Relevant(drift(name, *changed, memory));
    })
}

/// The occurrence of an alarm's change. Its key is the same by every route: EventBridge, the alarm's own action, `DescribeAlarms`.
fn drift(alarm: &str, changed: SystemTime, memory: Memory) -> Occurrence {
    // To the second: the SDK cuts the time of `DescribeAlarms`, a floating-point number, and may lose a millisecond.
    let time = rfc3339(changed);
    let description = describe(&format!("CloudWatch alarm {alarm} changed to ALARM at {time}"));
    let key = format!("{alarm} {time}");
    Occurrence {
        trigger: Trigger::Drift,
        key,
        at: Some(changed),
        memory,
        description,
        parameters: JobParameters::new(),
    }
}

/// CodePipeline's trigger types for a rollback
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ExecutionTrigger.html>).
const ROLLBACKS: [&str; 2] = ["ManualRollback", "AutomatedRollback"];

/// A change of a CodePipeline execution is relevant if deployments come by event, it is of our pipeline, the execution succeeded,
/// and it is no rollback. CodePipeline's list is read if the event does not say what started the execution. It is also read if a
/// pipeline parameter needs the deployment's time: a heartbeat takes the time from the list, and both have to send the same
/// request.
pub(crate) fn deployment_relevance(
    change: &DeploymentChange,
    code_pipeline: Option<&str>,
    trigger: DeploymentTrigger,
    heartbeat_starts: bool,
    parameters: &Parameters,
) -> Relevance {
    let DeploymentChange { pipeline, execution_id, state, changed, trigger_type } = change;
    let is_rollback = trigger_type.as_deref().is_some_and(|word| ROLLBACKS.contains(&word));
    Relevance::Ignored(if code_pipeline != Some(pipeline.as_str()) {
        match code_pipeline {
            Some(ours) => format!("the event is of CodePipeline {pipeline}, and CODE_PIPELINE_NAME is {ours}"),
            None => format!("CODE_PIPELINE_NAME is not set, so the event of CodePipeline {pipeline} is ignored"),
        }
    } else if state != "SUCCEEDED" {
        format!("CodePipeline execution {execution_id} is {state}, not SUCCEEDED")
    } else if trigger == DeploymentTrigger::Action {
        "DEPLOYMENT_TRIGGER is action: an action of the CodePipeline starts the retraining".to_owned()
    } else if trigger == DeploymentTrigger::None {
        "DEPLOYMENT_TRIGGER is none: deployments start nothing".to_owned()
    } else if is_rollback {
        rolled_back(execution_id)
    } else {
        let memory = if heartbeat_starts { Memory::AwsState } else { Memory::Event };
        let occurrence = code(execution_id, *changed, memory);
        return if trigger_type.is_none() || parameters.use_time(&JobParameters::new()) {
            Relevance::AskTheList(occurrence)
        } else {
            Relevance::Relevant(occurrence)
        };
    })
}

/// What CodePipeline's list says about a deployment whose event came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It was new code.
    Deployment(Occurrence),
    /// It was a rollback, which needs no retraining, for this reason.
    Rollback(String),
    /// The list does not show yet when it succeeded, and a pipeline parameter needs that.
    Lags,
}

/// Decides about a deployment with CodePipeline's list. An execution that is not listed (any more) counts as a deployment of the
/// event's time.
pub(crate) fn listed_deployment(
    mut occurrence: Occurrence,
    executions: &[CodePipelineExecution],
    parameters: &Parameters,
) -> Listed {
    match executions.iter().find(|execution| execution.id == occurrence.key) {
        Some(listed) if listed.is_rollback => Listed::Rollback(rolled_back(&listed.id)),
        Some(listed) if listed.has_succeeded => {
            occurrence.at = listed.updated.or(occurrence.at);
            Listed::Deployment(occurrence)
        }
        Some(_) if parameters.use_time(&JobParameters::new()) => Listed::Lags,
        Some(_) | None => Listed::Deployment(occurrence),
    }
}

fn rolled_back(execution_id: &str) -> String {
    format!("CodePipeline execution {execution_id} is a rollback: it deployed no new code")
}

/// The newest deployment: the execution that succeeded last and is no rollback. A later execution that failed does not hide it.
pub(crate) fn newest_deployment(executions: &[CodePipelineExecution]) -> Option<Deployment> {
    let deployments = executions.iter().filter(|execution| execution.has_succeeded && !execution.is_rollback);
    let dated = deployments
        .filter_map(|execution| Some(Deployment { execution_id: execution.id.clone(), succeeded: execution.updated? }));
    dated.max_by_key(|deployment| deployment.succeeded)
}

fn code(execution_id: &str, at: Option<SystemTime>, memory: Memory) -> Occurrence {
    // The event and a heartbeat have to send the same request, so the description has no time.
    let description = describe(&format!("CodePipeline execution {execution_id} succeeded"));
    let key = execution_id.to_owned();
    Occurrence { trigger: Trigger::Code, key, at, memory, description, parameters: JobParameters::new() }
}

/// What a scheduled event means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TickMeaning {
    Retraining(Occurrence),
    Heartbeat,
    Ignored(String),
}

/// The names that distinguish the ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickNames<'n> {
    /// The rule of the retraining schedule.
    pub(crate) schedule_rule: Option<&'n str>,
    /// The schedule of EventBridge Scheduler.
    pub(crate) schedule: Option<&'n str>,
    /// The heartbeat's rule, or its schedule.
    pub(crate) heartbeat: Option<&'n str>,
}

/// Distinguishes the ticks of the retraining schedules from the heartbeat's. A tick of any other name is ignored: otherwise a
/// mistyped name would retrain at every heartbeat. A tick without a time (a person may send one) happens `now`. A tick of a
/// schedule is not found again, as only rules have the tag of an owed tick.
pub(crate) fn tick_meaning(tick: &Tick, names: TickNames<'_>, heartbeat_starts: bool, now: SystemTime) -> TickMeaning {
    let fired = |name: &str| tick.resources.iter().any(|arn| last_segment(arn) == name);
    if names.heartbeat.is_some_and(fired) {
        return TickMeaning::Heartbeat;
    }
    let (name, kind, memory) = match tick.sender {
        TickSender::Rule if heartbeat_starts => (names.schedule_rule, "rule", Memory::OwedTag),
        TickSender::Rule => (names.schedule_rule, "rule", Memory::Event),
        TickSender::Schedule => (names.schedule, "schedule", Memory::Event),
    };
    match name {
        Some(name) if fired(name) => TickMeaning::Retraining(schedule(kind, name, tick.time.unwrap_or(now), memory)),
        _ => TickMeaning::Ignored(format!(
            "a tick of {:?}, which is not SCHEDULE_RULE_NAME ({}), SCHEDULE_NAME ({}) or HEARTBEAT_NAME ({})",
            tick.resources,
            names.schedule_rule.unwrap_or("unset"),
            names.schedule.unwrap_or("unset"),
            names.heartbeat.unwrap_or("unset"),
        )),
    }
}

/// `kind` is `rule` or `schedule`.
fn schedule(kind: &str, name: &str, at: SystemTime, memory: Memory) -> Occurrence {
    let time = rfc3339(at);
    let description = describe(&format!("EventBridge {kind} {name}, tick of {time}"));
    let key = format!("{name} {time}");
    Occurrence { trigger: Trigger::Schedule, key, at: Some(at), memory, description, parameters: JobParameters::new() }
}

/// A `PipelineExecutionDescription`: why an execution was started, in one line. SageMaker takes 3,072 characters.
fn describe(why: &str) -> String {
    let why: String = why.chars().take(3000).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("Started by drift-router: {why}.")
}

/// Why the status event of another SageMaker pipeline is ignored, or `None` if the event is of our pipeline.
pub(crate) fn foreign_status(pipeline: &str, ours: &str) -> Option<String> {
    (!pipeline.eq_ignore_ascii_case(ours))
        .then(|| format!("the event is of SageMaker pipeline {pipeline}, and SAGEMAKER_PIPELINE_NAME is {ours}"))
}

/// What a job requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobRequest {
    /// Start an execution for this occurrence, or find it.
    Start(Occurrence),
    /// Answer with this token. The next call contains it, and starts the execution.
    Wait(ContinuationToken),
    /// Report on this occurrence's execution if it was started already. Otherwise it is not started, for this reason.
    Find(Occurrence, String),
    /// Report on the execution that an earlier call for the same action started.
    Continue { arn: ExecutionArn, unknown_since: Option<SystemTime> },
    /// It can never be carried out, for this reason.
    Impossible(String),
}

/// `asked` is the time of the action's first call, if it is known.
fn job(first_job: &str, asked: Option<SystemTime>, parameters: JobParameters) -> Occurrence {
    Occurrence {
        trigger: Trigger::Job,
        key: first_job.to_owned(),
        at: asked,
        memory: Memory::Job,
        description: describe(&format!("an action of the CodePipeline asked, job {first_job}")),
        parameters,
    }
}

/// The part of the router's configuration that concerns jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobTerms<'c> {
    /// The SageMaker pipeline's name.
    pub(crate) pipeline: &'c str,
    pub(crate) trigger: DeploymentTrigger,
    pub(crate) parameters: &'c Parameters,
    pub(crate) mode: Mode,
}

/// Decides what a job's call requests. `now` is the time of the call.
///
/// CodePipeline does not say when an action called first, and every try of a start has to send the same request. So if a pipeline
/// parameter needs the time, the first call only notes it in the continuation token, which CodePipeline keeps.
pub(crate) fn job_request(call: &Job, terms: JobTerms<'_>, now: SystemTime) -> JobRequest {
    let token = call.continuation_token.as_deref().map(ContinuationToken::parse);
    let (first_job, asked) = match token {
        None => (call.id.clone(), None),
        Some(Some(ContinuationToken::NotStarted { first_job, asked })) => (first_job, asked),
        Some(Some(ContinuationToken::Execution { arn, unknown_since })) if arn.is_of_pipeline(terms.pipeline) => {
            return JobRequest::Continue { arn, unknown_since };
        }
        Some(_) => {
            let pipeline = terms.pipeline;
            let reason = format!(
                "the continuation token does not name an execution of SageMaker pipeline {pipeline}: run the action again"
            );
            return JobRequest::Impossible(reason);
        }
    };
    let parameters = match &call.user_parameters {
        Ok(UserParameters { pipeline_name: Some(name), .. }) if !is_pipeline(name, terms.pipeline) => {
            return JobRequest::Impossible(format!(
                "the action's UserParameters name another SageMaker pipeline than {}, the one that this function retrains",
                terms.pipeline
            ));
        }
        Ok(UserParameters { parameters, .. }) => parameters.clone(),
        Err(reason) => return JobRequest::Impossible(reason.clone()),
    };
    if terms.trigger != DeploymentTrigger::Action {
        return JobRequest::Impossible(format!(
            "DEPLOYMENT_TRIGGER is {}, so no action of the CodePipeline starts a retraining: set it to action, or remove this action",
            terms.trigger.word()
        ));
    }
    if let Some(refusal) = terms.parameters.refusal(&parameters) {
        return JobRequest::Impossible(format!("the action's UserParameters: {refusal}"));
    }
    let needs_time = asked.is_none() && terms.parameters.use_time(&parameters);
    match terms.mode {
        Mode::DryRun => JobRequest::Find(
            job(&first_job, asked, parameters),
            "MODE is dry-run: the router would have started a retraining for this action".to_owned(),
        ),
        Mode::Drain => JobRequest::Find(job(&first_job, asked, parameters), DRAINED.to_owned()),
        Mode::Active if needs_time => JobRequest::Wait(ContinuationToken::NotStarted { first_job, asked: Some(now) }),
        Mode::Active => JobRequest::Start(job(&first_job, asked, parameters)),
    }
}

/// Why nothing starts while the router drains.
pub(crate) const DRAINED: &str = "MODE is drain: nothing is started";

/// Whether `name` is the name or the ARN of the SageMaker pipeline `pipeline`.
fn is_pipeline(name: &str, pipeline: &str) -> bool {
    let name = if name.starts_with("arn:") { name.split_once(":pipeline/").map_or("", |(_, name)| name) } else { name };
    name.eq_ignore_ascii_case(pipeline)
}

/// The token with which CodePipeline calls again for the same action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContinuationToken {
    /// The action waits for this execution.
    Execution {
        arn: ExecutionArn,
        /// Since when SageMaker does not find the execution; `None` if it does.
        unknown_since: Option<SystemTime>,
    },
    /// SageMaker was at its limit, or the first call only noted the time.
    NotStarted {
        /// The id of the action's first job. It stays the occurrence's key.
        first_job: String,
        /// The time of the action's first call, if a pipeline parameter needs it.
        asked: Option<SystemTime>,
    },
}

const NOT_STARTED: &str = "not started yet: job ";
const ASKED_AT: &str = " asked at ";
const UNKNOWN_SINCE: &str = " unknown since ";

impl ContinuationToken {
    /// `None` if the router did not write this token.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(job) = text.strip_prefix(NOT_STARTED) {
            let (first_job, asked) = with_time(job, ASKED_AT)?;
            return (!first_job.is_empty()).then(|| Self::NotStarted { first_job: first_job.to_owned(), asked });
        }
        let (arn, unknown_since) = with_time(text, UNKNOWN_SINCE)?;
        Some(Self::Execution { arn: ExecutionArn::parse(arn)?, unknown_since })
    }

    pub(crate) fn text(&self) -> String {
        let (words, mark, time) = match self {
            Self::NotStarted { first_job, asked } => (format!("{NOT_STARTED}{first_job}"), ASKED_AT, asked),
            Self::Execution { arn, unknown_since } => (arn.as_str().to_owned(), UNKNOWN_SINCE, unknown_since),
        };
        match time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            Some(time) => format!("{words}{mark}{}", time.as_secs()),
            None => words,
        }
    }
}

/// Splits off the time that may follow after `mark`, in seconds since 1970. `None` if there is a mark and no time.
fn with_time<'t>(text: &'t str, mark: &str) -> Option<(&'t str, Option<SystemTime>)> {
    match text.split_once(mark) {
        None => Some((text, None)),
        Some((words, seconds)) => {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
            Some((words, Some(time)))
        }
    }
}

/// How long a job waits for an execution that neither the list nor its own record shows.
const LONGEST_UNKNOWN: Duration = Duration::from_mins(15);

/// Whether a job still waits for an execution that SageMaker does not find: lists and records may lag, but only for some time.
pub(crate) fn waits_for_unknown(unknown_since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(unknown_since).unwrap_or_default() < LONGEST_UNKNOWN
}

/// The input of decisions about starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'s> {
    /// The SageMaker pipeline's name.
    pub(crate) pipeline: &'s str,
    /// The pipeline parameters of every start.
    pub(crate) parameters: &'s Parameters,
    /// The newest executions, newest first.
    pub(crate) executions: &'s [Execution],
    pub(crate) schedule_rule: Hold,
    pub(crate) drift_rule: Hold,
    /// Drift starts nothing for this long after the start of any execution.
    pub(crate) drift_cooldown: Option<Duration>,
    pub(crate) now: SystemTime,
}

/// Whether somebody else disabled a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody did, or there is no such rule.
    No,
    Yes,
    /// The rule could not be read.
    Unknown,
}

/// What an occurrence was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The event that reports the occurrence. Its age does not matter.
    Event,
    /// A heartbeat, which found the occurrence in AWS's state.
    Heartbeat,
}

/// Whether an occurrence still needs a retraining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim<'e> {
    /// It does.
    Owed,
    /// This execution has its display name.
    ServedByName(&'e Execution),
    /// This execution started late enough to serve it.
    ServedByTime(&'e Execution),
    /// Somebody else disabled its rule.
    Held,
    /// Its rule could not be read, and somebody may hold it.
    RuleUnread,
    /// It is older than 7 days plus the cooldown, so a heartbeat does not start it.
    Expired,
}

/// An execution serves drift if it started less than this before the alarm's change. Three services' clocks differ, and the same
/// data is not trained twice.
const DRIFT_MARGIN: Duration = Duration::from_mins(10);

/// A heartbeat starts nothing for what is older than this plus the cooldown.
const CATCH_UP_WINDOW: Duration = Duration::from_hours(7 * 24);

/// Decides whether an occurrence still needs a retraining, for events and heartbeats alike.
///
/// An execution serves an occurrence, however the execution ended: one that failed would fail again, and one that was stopped is a
/// veto. Each deployment and each job has an execution of its own. Only for a heartbeat, a later execution also serves a
/// deployment, as the heartbeat sees only the newest one.
pub(crate) fn owed<'e>(occurrence: &Occurrence, asker: Asker, situation: &Situation<'e>) -> Claim<'e> {
    let display_name = display_name(occurrence);
    let by_name = situation.executions.iter().find(|e| e.display_name.as_deref() == Some(display_name.as_str()));
    if let Some(execution) = by_name {
        return Claim::ServedByName(execution);
    }
    let started = |is_late_enough: &dyn Fn(SystemTime) -> bool| {
        situation.executions.iter().find(|e| e.started.is_some_and(is_late_enough))
    };
    let by_time = match (occurrence.trigger, occurrence.at) {
        (Trigger::Drift, Some(at)) => started(&|started| age(started, at) < DRIFT_MARGIN),
        (Trigger::Schedule, Some(at)) => started(&|started| started >= at),
        (Trigger::Code, Some(at)) if asker == Asker::Heartbeat => started(&|started| started >= at),
        _ => None,
    };
    if let Some(execution) = by_time {
        return Claim::ServedByTime(execution);
    }
    let hold = match occurrence.trigger {
        Trigger::Drift => situation.drift_rule,
        Trigger::Schedule => situation.schedule_rule,
        Trigger::Code | Trigger::Job => Hold::No,
    };
    match hold {
        Hold::Yes => Claim::Held,
        Hold::Unknown => Claim::RuleUnread,
        Hold::No if asker == Asker::Heartbeat && !is_within_window(occurrence, situation) => Claim::Expired,
        Hold::No => Claim::Owed,
    }
}

/// Whether a heartbeat would still start the occurrence.
fn is_within_window(occurrence: &Occurrence, situation: &Situation<'_>) -> bool {
    let window = CATCH_UP_WINDOW + situation.drift_cooldown.unwrap_or_default();
    occurrence.at.is_some_and(|at| age(at, situation.now) <= window)
}

/// A time as RFC 3339 writes it, to the second. `humantime` panics on years before 1970 and after 9999, so such a time becomes the
/// nearest one that it writes.
fn rfc3339(time: SystemTime) -> String {
    const LATEST: Duration = Duration::from_secs(253_402_300_798);
    let time = time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LATEST);
    format_rfc3339_seconds(time).to_string()
}

/// Zero for a time that is ahead of this clock.
fn age(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or_default()
}

/// The decision about an occurrence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StartDecision {
    Start(StartRequest),
    NoStart(NoStart),
    /// No decision is possible, as its rule could not be read.
    RuleUnread,
}

/// Why an occurrence starts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoStart {
    /// This execution was started for the same occurrence.
    Duplicate(ExecutionArn),
    /// This execution is active, and the occurrence needs only that a retraining runs.
    AlreadyRunning(ExecutionArn),
    /// This execution started after the occurrence, or shortly before it.
    AlreadyServed(ExecutionArn),
    /// Somebody else disabled its rule.
    Held,
    /// This execution was started last, and drift starts nothing until `left` has passed.
    CoolingDown { after: ExecutionArn, left: Duration },
    /// It is older than 7 days plus the cooldown, so a heartbeat does not start it.
    Expired,
}

/// What is sent to `StartPipelineExecution`
/// (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartRequest {
    /// Names the occurrence, so that a later observation finds its execution.
    pub(crate) display_name: String,
    /// SageMaker's idempotency token (`ClientRequestToken`), 64 characters.
    pub(crate) token: String,
    /// Why, in one line. SageMaker Studio shows it.
    pub(crate) description: String,
    /// The pipeline parameters: names and values.
    pub(crate) parameters: BTreeMap<String, String>,
}

/// Decides whether `occurrence` starts an execution.
pub(crate) fn decide_start(occurrence: &Occurrence, asker: Asker, situation: &Situation<'_>) -> StartDecision {
    let coalesces = matches!(occurrence.trigger, Trigger::Schedule | Trigger::Drift);
    let claim = owed(occurrence, asker, situation);
    StartDecision::NoStart(if let Claim::ServedByName(execution) = claim {
        NoStart::Duplicate(execution.arn.clone())
    } else if let Some(active) = situation.executions.iter().find(|e| coalesces && e.status.is_active()) {
        NoStart::AlreadyRunning(active.arn.clone())
    } else if let Claim::ServedByTime(execution) = claim {
        NoStart::AlreadyServed(execution.arn.clone())
    } else if claim == Claim::Held {
        NoStart::Held
    } else if claim == Claim::RuleUnread {
        return StartDecision::RuleUnread;
    } else if claim == Claim::Expired {
        NoStart::Expired
    } else if let Some((execution, left)) = cooling_down(occurrence, situation) {
        NoStart::CoolingDown { after: execution.arn.clone(), left }
    } else {
        return StartDecision::Start(start_request(occurrence, situation));
    })
}

fn start_request(occurrence: &Occurrence, situation: &Situation<'_>) -> StartRequest {
    let display_name = display_name(occurrence);
    // AWS does not document the scope of a token, so every token contains the pipeline's name.
    let pipeline = situation.pipeline.to_ascii_lowercase();
    let token = match occurrence.trigger {
        // Each occurrence gets one execution, so the token is made of the occurrence.
        Trigger::Code | Trigger::Job => digest(&["occurrence", &pipeline, &display_name]),
        // A compare-and-swap on the history: routers that saw the same newest execution send the same token.
        Trigger::Schedule | Trigger::Drift => {
            let newest = situation.executions.first().map_or("none", |e| e.arn.as_str());
            digest(&["next after", &pipeline, newest])
        }
    };
    // An event without a time is sent by hand: it happens now.
    let time = rfc3339(occurrence.at.unwrap_or(situation.now));
    let parameters = situation.parameters.of(occurrence, &time);
    StartRequest { display_name, token, description: occurrence.description.clone(), parameters }
}

/// If drift still waits for the cooldown: the execution that was started last, and the time that is left.
fn cooling_down<'e>(occurrence: &Occurrence, situation: &Situation<'e>) -> Option<(&'e Execution, Duration)> {
    let cooldown = situation.drift_cooldown.filter(|_| occurrence.trigger == Trigger::Drift)?;
    let started = situation.executions.iter().filter_map(|e| Some((e.started?, e)));
    let (started, execution) = started.max_by_key(|(started, _)| *started)?;
    // SageMaker's clock may be a little ahead of this one.
    let left = cooldown.checked_sub(age(started, situation.now)).filter(|left| !left.is_zero())?;
    Some((execution, left))
}

/// Whether something finds the occurrence again when SageMaker is at its limit, so that its start can wait.
pub(crate) fn is_remembered(occurrence: &Occurrence, situation: &Situation<'_>) -> bool {
    match occurrence.memory {
        Memory::Event => false,
        Memory::AwsState | Memory::OwedTag => is_within_window(occurrence, situation),
        Memory::Job => true,
    }
}

/// What a heartbeat found that may be owed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The newest deployment.
    pub(crate) deployment: Option<Deployment>,
    /// The schedule rule's tag, and the rule's name.
    pub(crate) tick: Option<(String, OwedTag)>,
    /// The listed alarms that are in ALARM.
    pub(crate) alarms: Vec<Alarm>,
}

/// Which of a heartbeat's findings are owed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owed {
    /// In the order in which they are served: the newest deployment, a tick, drift from the newest to the oldest.
    pub(crate) occurrences: Vec<Occurrence>,
    /// Drift that waits for the cooldown, and how long.
    pub(crate) cooling_down: Option<(Occurrence, Duration)>,
    /// The occurrences that are older than the catch-up window.
    pub(crate) expired: Vec<Occurrence>,
    /// The alarms whose drift is among what is owed.
    pub(crate) alarms: Vec<String>,
    /// Whether the schedule rule's tag is not needed any more.
    pub(crate) tag_is_obsolete: bool,
}

/// Decides which of a heartbeat's findings are owed.
pub(crate) fn find_owed(findings: &Findings, situation: &Situation<'_>) -> Owed {
    let mut found = Owed::default();
    let deployment = findings.deployment.as_ref();
    let deployment = deployment.map(|d| code(&d.execution_id, Some(d.succeeded), Memory::AwsState));
    let tick = match &findings.tick {
        Some((rule, OwedTag::Since(at))) => Some(schedule("rule", rule, *at, Memory::OwedTag)),
        Some((_, OwedTag::Unreadable)) => {
            found.tag_is_obsolete = true;
            None
        }
        Some((_, OwedTag::OtherRouter)) | None => None,
    };
    let mut alarms: Vec<&Alarm> = findings.alarms.iter().collect();
    alarms.sort_by_key(|alarm| Reverse(alarm.changed));
    let alarms =
        alarms.into_iter().map(|alarm| (drift(&alarm.name, alarm.changed, Memory::AwsState), Some(&alarm.name)));
    let others = deployment.into_iter().chain(tick).map(|occurrence| (occurrence, None));
    for (occurrence, alarm) in others.chain(alarms) {
        let is_tick = occurrence.memory == Memory::OwedTag;
        match owed(&occurrence, Asker::Heartbeat, situation) {
            Claim::Owed => {
                if let Some((_, left)) = cooling_down(&occurrence, situation) {
                    found.cooling_down.get_or_insert((occurrence, left));
                } else {
                    found.alarms.extend(alarm.cloned());
                    found.occurrences.push(occurrence);
                }
            }
            Claim::Expired => {
                found.tag_is_obsolete |= is_tick;
                found.expired.push(occurrence);
            }
            Claim::ServedByName(_) | Claim::ServedByTime(_) | Claim::Held => found.tag_is_obsolete |= is_tick,
            Claim::RuleUnread => {}
        }
    }
    found
}

/// For how long the oldest of the occurrences has been owed; zero if there is none. Drift is not owed until its cooldown is over.
pub(crate) fn longest_owed(occurrences: &[Occurrence], situation: &Situation<'_>) -> Duration {
    let newest_start = situation.executions.iter().filter_map(|e| e.started).max();
    let cooldown_end = newest_start.and_then(|started| started.checked_add(situation.drift_cooldown?));
    let since = |occurrence: &Occurrence| match occurrence.trigger {
        Trigger::Drift => occurrence.at.max(cooldown_end),
        Trigger::Code | Trigger::Schedule | Trigger::Job => occurrence.at,
    };
    occurrences.iter().filter_map(since).map(|since| age(since, situation.now)).max().unwrap_or_default()
}

/// What a heartbeat that found no active execution starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    Start(Occurrence),
    Nothing,
    /// Something is owed, but too many executions started within 24 hours.
    Braked {
        started: usize,
    },
    /// Something is owed, but the newest execution has no start time, so it is unknown what it serves.
    NoStartTime,
}

/// A younger occurrence is left to its event, which may still arrive.
const YOUNGEST: Duration = Duration::from_mins(5);

/// Chooses what a heartbeat starts. `per_day` is the number of executions within 24 hours at which it starts nothing.
pub(crate) fn catch_up(owed: &[Occurrence], per_day: usize, situation: &Situation<'_>) -> CatchUp {
    let age = |at| age(at, situation.now);
    let Some(next) = owed.iter().find(|occurrence| occurrence.at.is_some_and(|at| age(at) >= YOUNGEST)) else {
        return CatchUp::Nothing;
    };
    let executions = situation.executions;
    if executions.first().is_some_and(|newest| newest.started.is_none()) {
        return CatchUp::NoStartTime;
    }
    // An execution without a start time counts, if a newer one is less than a day old.
    let is_recent = |e: &&Execution| e.started.is_none_or(|started| age(started) < Duration::from_hours(24));
    let started = executions.iter().take_while(is_recent).count();
    if started >= per_day { CatchUp::Braked { started } } else { CatchUp::Start(next.clone()) }
}

/// Whether SageMaker returned, for a start, the execution of another occurrence. AWS does not document what SageMaker does with a
/// token that was used before with another display name.
pub(crate) fn is_of_another_occurrence(started: &Execution, occurrence: &Occurrence) -> bool {
    started.display_name.as_ref().is_some_and(|name| *name != display_name(occurrence))
}

/// The best record of the execution that a hint names. Its own description comes first, as lists may lag. The list comes second.
/// The hint itself counts only if SageMaker does not find the execution (yet).
pub(crate) fn named_execution(hint: &StatusHint, described: Option<Execution>, executions: &[Execution]) -> Execution {
    described.or_else(|| executions.iter().find(|e| e.arn == hint.arn).cloned()).unwrap_or_else(|| Execution {
        arn: hint.arn.clone(),
        status: hint.status.clone(),
        display_name: None,
        started: None,
    })
}

/// What every guard should be. `executions` are the newest ones, newest first. `named` is the execution that a hint names; its
/// record replaces the list's. A router that drains enables everything, even while an execution is active.
pub(crate) fn desired_state(mode: Mode, executions: &[Execution], named: Option<&Execution>) -> DesiredState {
    if mode == Mode::Drain {
        return DesiredState::Released;
    }
    let listed = executions.iter().map(|listed| named.filter(|named| named.arn == listed.arn).unwrap_or(listed));
    let active = listed.chain(named).find(|e| e.status.is_active());
    active.map_or(DesiredState::Released, |e| DesiredState::Engaged { execution_id: e.arn.id().to_owned() })
}

/// Whether a guard has to be set. A guard that somebody else or another router disabled is left alone.
pub(crate) fn must_be_set(state: &GuardState, desired: &DesiredState) -> bool {
    match (state, desired) {
        (GuardState::Enabled, DesiredState::Released)
        | (GuardState::DisabledByRouter, DesiredState::Engaged { .. }) => false,
        (GuardState::DisabledByOther | GuardState::MarkedByOtherRouter { .. }, _) => false,
        (GuardState::Enabled, DesiredState::Engaged { .. })
        | (GuardState::DisabledByRouter, DesiredState::Released) => true,
        (GuardState::Inconsistent, _) => true,
    }
}

/// The message about an execution that ended without success: which execution, how it ended, and why. Otherwise `None`.
pub(crate) fn failure_message(execution: &Execution) -> Option<String> {
    match &execution.status {
        ExecutionStatus::Unsuccessful { word, reason } => {
            let why = reason.as_deref().unwrap_or("SageMaker returns no reason");
            Some(format!("execution {} is {word}: {why}", execution.arn.id()))
        }
        ExecutionStatus::Active | ExecutionStatus::Succeeded => None,
    }
}

/// SageMaker's longest display name, in characters.
const DISPLAY_NAME_LENGTH: usize = 82;
/// How many digits of a hash are appended to a name that was cut: 64 bits.
const HASH_LENGTH: usize = 16;

/// `<trigger>-<key>`, within SageMaker's `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}`. In a key that does not fit, other characters become
/// hyphens, the end is cut, and a hash of the whole key is appended.
pub(crate) fn display_name(occurrence: &Occurrence) -> String {
    let Occurrence { trigger, key, .. } = occurrence;
    let plain = format!("{}-{key}", trigger.word());
    let fits = plain.len() <= DISPLAY_NAME_LENGTH
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !plain.ends_with('-');
    if fits {
        return plain;
    }
    let slug: String = plain
        .chars()
        .take(DISPLAY_NAME_LENGTH - HASH_LENGTH - 1)
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let hash = digest(&[key]);
    format!("{}-{}", slug.trim_end_matches('-'), &hash[..HASH_LENGTH])
}

/// The longest owner name in a mark, in characters.
const OWNER_LENGTH: usize = 64;

/// The owner name in a router's marks: the SageMaker pipeline's name in lower case. A name of more than 64 characters is cut to 47,
/// a hyphen and 16 digits of its hash.
pub(crate) fn owner(pipeline: &str) -> String {
    let name = pipeline.to_ascii_lowercase();
    if name.len() <= OWNER_LENGTH {
        return name;
    }
    let kept: String = name.chars().take(OWNER_LENGTH - HASH_LENGTH - 1).collect();
    format!("{kept}-{}", &digest(&[&name])[..HASH_LENGTH])
}

/// The tag key on a rule that a router disabled.
pub(crate) const RULE_MARK: &str = "drift-router:paused-by";

/// The value of [`RULE_MARK`]: `<owner>/<execution id>`.
pub(crate) fn rule_mark(owner: &str, execution_id: &str) -> String {
    format!("{owner}/{}", printable(execution_id))
}

/// Reads the value of [`RULE_MARK`]. The first version wrote no owner; such a mark is ours.
pub(crate) fn rule_mark_owner<'m>(mark: &'m str, ours: &'m str) -> &'m str {
    mark.split_once('/').map_or(ours, |(owner, _)| owner)
}

/// The tag key on the schedule rule while a tick is owed.
pub(crate) const OWED_TAG: &str = "drift-router:owed-since";

/// The value of [`OWED_TAG`]: `<owner>/<time of the tick>`.
pub(crate) fn owed_tag(owner: &str, tick: SystemTime) -> String {
    format!("{owner}/{}", rfc3339(tick))
}

/// Reads the value of [`OWED_TAG`].
pub(crate) fn read_owed_tag(value: &str, ours: &str) -> OwedTag {
    match value.split_once('/') {
        Some((owner, time)) if owner == ours => parse_rfc3339(time).map_or(OwedTag::Unreadable, OwedTag::Since),
        _ => OwedTag::OtherRouter,
    }
}

/// What is done with the schedule rule's tag when a tick is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwedWrite {
    Write,
    /// The tag names this tick or a later one, which serves both.
    Keep,
    /// The tag is another router's and stays.
    Foreign,
}

/// Decides how the owed tick of `at` is noted, given the tag that was found.
pub(crate) fn owed_write(found: Option<&OwedTag>, at: SystemTime) -> OwedWrite {
    match found {
        Some(OwedTag::Since(since)) if *since >= at => OwedWrite::Keep,
        Some(OwedTag::OtherRouter) => OwedWrite::Foreign,
        Some(OwedTag::Since(_) | OwedTag::Unreadable) | None => OwedWrite::Write,
    }
}

/// The first words of the reason of every transition that a router disabled.
const STAGE_MARK: &str = "Disabled by drift-router";

/// The reason of a disabled transition. CodePipeline accepts 1 to 300 characters of `[a-zA-Z0-9!@ ().*?-]`
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html>). People read it in the console.
pub(crate) fn stage_mark(owner: &str, execution_id: &str) -> String {
    let id = printable(execution_id);
    format!(
        "{STAGE_MARK} ({owner}) while SageMaker pipeline execution {id} runs. It is enabled again when no execution runs."
    )
}

/// The owner of a disabled transition, or `None` if no router disabled it. The first version wrote no owner; such a mark is ours.
pub(crate) fn stage_mark_owner<'m>(reason: &'m str, ours: &'m str) -> Option<&'m str> {
    let rest = reason.strip_prefix(STAGE_MARK)?;
    let owner = rest.strip_prefix(" (").and_then(|rest| rest.split_once(')')).map(|(owner, _)| owner);
    Some(owner.unwrap_or(ours))
}

/// An execution's id, with only the characters that marks may contain, cut to 100.
fn printable(execution_id: &str) -> String {
    execution_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect()
}

/// The SHA-256 of the parts, in 64 hexadecimal digits.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);

    /// 2021-06-01T12:00:00Z.
    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_548_800)
    }

    static NO_PARAMETERS: Parameters = Parameters::none();

    /// At noon, with nothing held and no cooldown.
    fn situation(executions: &[Execution]) -> Situation<'_> {
        Situation {
            pipeline: "p",
            parameters: &NO_PARAMETERS,
            executions,
            schedule_rule: Hold::No,
            drift_rule: Hold::No,
            drift_cooldown: None,
            now: noon(),
        }
    }

    fn decide(occurrence: &Occurrence, executions: &[Execution]) -> StartDecision {
        decide_start(occurrence, Asker::Event, &situation(executions))
    }

    fn arn(id: &str) -> ExecutionArn {
        ExecutionArn::parse(&format!("arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/{id}")).unwrap()
    }

    /// It happens at noon.
    fn occurrence(trigger: Trigger, key: &str) -> Occurrence {
        Occurrence {
            trigger,
            key: key.to_owned(),
            at: Some(noon()),
            memory: Memory::Event,
            description: String::new(),
            parameters: JobParameters::new(),
        }
    }

    /// It started half an hour before noon.
    fn execution(id: &str, active: bool, display_name: &str) -> Execution {
        Execution {
            arn: arn(id),
            status: if active { ExecutionStatus::Active } else { ExecutionStatus::Succeeded },
            display_name: Some(display_name.to_owned()),
            started: Some(noon() - 30 * MINUTE),
        }
    }

    fn started(at: SystemTime) -> Execution {
        Execution { started: Some(at), ..execution("x", false, "by hand") }
    }

    fn token(decision: StartDecision) -> String {
        match decision {
            StartDecision::Start(request) => request.token,
            other => panic!("{other:?} is no start"),
        }
    }

    #[test]
    fn triggers_that_saw_the_same_history_share_a_token_and_later_ones_do_not() {
        let history = [execution("two", false, "x"), execution("one", false, "y")];
        let drift = token(decide(&occurrence(Trigger::Drift, "a"), &history));
        let schedule = token(decide(&occurrence(Trigger::Schedule, "b"), &history));
        assert_eq!(drift, schedule);
        let earlier = token(decide(&occurrence(Trigger::Drift, "a"), &history[1..]));
        let first_ever = token(decide(&occurrence(Trigger::Drift, "a"), &[]));
        assert_ne!(drift, earlier);
        assert_ne!(earlier, first_ever);
    }

    #[test]
    fn the_token_of_new_code_is_its_own_whatever_was_seen() {
        let one = token(decide(&occurrence(Trigger::Code, "one"), &[]));
        assert_eq!(one, token(decide(&occurrence(Trigger::Code, "one"), &[execution("x", true, "y")])));
        assert_ne!(one, token(decide(&occurrence(Trigger::Code, "two"), &[])));
        assert!((32..=128).contains(&one.len()));
    }

    #[test]
    fn within_the_cooldown_a_drift_alarm_starts_nothing_and_the_schedule_does() {
        let retrained = started(noon() - 5 * HOUR);
        let unknown = Execution { started: None, ..execution("old", false, "y") };
        let history = [retrained, unknown];
        let at = |trigger, cooldown, now| {
            let situation = Situation { drift_cooldown: Some(cooldown), now, ..situation(&history) };
            decide_start(&occurrence(trigger, "a"), Asker::Event, &situation)
        };
        let cooling = |left| StartDecision::NoStart(NoStart::CoolingDown { after: history[0].arn.clone(), left });
        assert_eq!(at(Trigger::Drift, 6 * HOUR, noon()), cooling(HOUR));
        for (trigger, cooldown, now) in [
            (Trigger::Drift, 5 * HOUR, noon()),
            (Trigger::Drift, 6 * HOUR, noon() + HOUR),
            (Trigger::Schedule, 6 * HOUR, noon()),
            (Trigger::Code, 6 * HOUR, noon()),
            (Trigger::Job, 6 * HOUR, noon()),
        ] {
            assert!(matches!(at(trigger, cooldown, now), StartDecision::Start(_)), "{trigger:?} {cooldown:?}");
        }
        // If the clock is behind SageMaker's, the whole cooldown is left.
        assert_eq!(at(Trigger::Drift, 6 * HOUR, noon() - 24 * HOUR), cooling(6 * HOUR));
        let first = Situation { drift_cooldown: Some(HOUR), ..situation(&[]) };
        let first = decide_start(&occurrence(Trigger::Drift, "a"), Asker::Event, &first);
        assert!(matches!(first, StartDecision::Start(_)));
    }

    #[test]
    fn the_same_key_of_another_trigger_is_another_occurrence() {
        let served = [execution("x", false, "code-abc")];
        assert_eq!(
            decide(&occurrence(Trigger::Code, "abc"), &served),
            StartDecision::NoStart(NoStart::Duplicate(served[0].arn.clone()))
        );
        assert!(matches!(decide(&occurrence(Trigger::Drift, "abc"), &served), StartDecision::Start(_)));
    }

    #[test]
    fn the_same_history_in_another_pipeline_gives_another_token() {
        for trigger in [Trigger::Code, Trigger::Drift] {
            let token = |pipeline| {
                let situation = Situation { pipeline, ..situation(&[]) };
                token(decide_start(&occurrence(trigger, "a"), Asker::Event, &situation))
            };
            assert_ne!(token("p"), token("q"));
            assert_eq!(token("p"), token("P"), "SageMaker's names do not depend on case");
        }
    }

    #[test]
    fn an_execution_that_started_since_serves_a_tick_and_drift_with_a_margin_but_code_only_for_a_heartbeat() {
        let served = |trigger, asker, start: SystemTime| {
            let history = [started(start)];
            matches!(owed(&occurrence(trigger, "a"), asker, &situation(&history)), Claim::ServedByTime(_))
        };
        let second = Duration::from_secs(1);
        for asker in [Asker::Event, Asker::Heartbeat] {
            assert!(served(Trigger::Schedule, asker, noon()) && !served(Trigger::Schedule, asker, noon() - second));
            assert!(served(Trigger::Drift, asker, noon() - 10 * MINUTE + second));
            assert!(!served(Trigger::Drift, asker, noon() - 10 * MINUTE));
            assert!(!served(Trigger::Job, asker, noon() + HOUR));
        }
        assert!(
            !served(Trigger::Code, Asker::Event, noon() + HOUR),
            "a deployment's event always gets its own execution"
        );
        assert!(
            served(Trigger::Code, Asker::Heartbeat, noon())
                && !served(Trigger::Code, Asker::Heartbeat, noon() - second)
        );
    }

    #[test]
    fn what_failed_or_was_stopped_serves_as_well() {
        for word in ["Failed", "Stopped"] {
            let history = [Execution { status: ExecutionStatus::from(word), ..started(noon()) }];
            let claim = owed(&occurrence(Trigger::Drift, "a"), Asker::Heartbeat, &situation(&history));
            assert_eq!(claim, Claim::ServedByTime(&history[0]), "{word}");
        }
    }

    #[test]
    fn an_execution_without_a_start_time_serves_only_what_it_is_named_after() {
        let history = [Execution { started: None, ..execution("x", false, "drift-a") }];
        let claim = |key| owed(&occurrence(Trigger::Drift, key), Asker::Event, &situation(&history));
        assert_eq!(claim("a"), Claim::ServedByName(&history[0]));
        assert_eq!(claim("b"), Claim::Owed);
    }

    #[test]
    fn a_hold_on_its_rule_cancels_drift_and_ticks_and_nothing_else() {
        let held = Situation { schedule_rule: Hold::Yes, drift_rule: Hold::Yes, ..situation(&[]) };
        for (trigger, claim) in [
            (Trigger::Drift, Claim::Held),
            (Trigger::Schedule, Claim::Held),
            (Trigger::Code, Claim::Owed),
            (Trigger::Job, Claim::Owed),
        ] {
            assert_eq!(owed(&occurrence(trigger, "a"), Asker::Event, &held), claim);
        }
        let schedule_only = Situation { schedule_rule: Hold::Yes, ..situation(&[]) };
        assert_eq!(owed(&occurrence(Trigger::Drift, "a"), Asker::Event, &schedule_only), Claim::Owed);
        let unread = Situation { drift_rule: Hold::Unknown, ..situation(&[]) };
        assert_eq!(owed(&occurrence(Trigger::Drift, "a"), Asker::Event, &unread), Claim::RuleUnread);
    }

    #[test]
    fn a_heartbeat_serves_what_is_a_week_and_the_cooldown_old_and_an_event_may_be_older() {
        let week = 7 * 24 * HOUR;
        let claim = |asker, age| {
            let situation = Situation { drift_cooldown: Some(HOUR), now: noon() + age, ..situation(&[]) };
            owed(&occurrence(Trigger::Drift, "a"), asker, &situation)
        };
        assert_eq!(claim(Asker::Heartbeat, week + HOUR), Claim::Owed);
        assert_eq!(claim(Asker::Heartbeat, week + HOUR + MINUTE), Claim::Expired);
        assert_eq!(claim(Asker::Event, 1000 * week), Claim::Owed);
        let timeless = Occurrence { at: None, ..occurrence(Trigger::Code, "a") };
        assert_eq!(owed(&timeless, Asker::Heartbeat, &situation(&[])), Claim::Expired);
    }

    #[test]
    fn an_alarm_has_the_same_key_by_every_route() {
        let exact = SystemTime::UNIX_EPOCH + Duration::from_millis(1_627_455_724_149);
        let as_the_sdk_reads_it = exact - Duration::from_millis(1);
        for changed in [exact, as_the_sdk_reads_it] {
            assert_eq!(drift("a", changed, Memory::Event).key, "a 2021-07-28T07:02:04Z");
        }
    }

    #[test]
    fn a_time_that_nobody_can_write_gives_a_key_all_the_same() {
        for years in [-100, -1, 300_000] {
            let length = Duration::from_hours(24 * 365).saturating_mul(i32::abs(years).unsigned_abs());
            let at = if years < 0 { SystemTime::UNIX_EPOCH - length } else { SystemTime::UNIX_EPOCH + length };
            assert!(drift("a", at, Memory::Event).key.starts_with("a "), "{years}");
            assert!(schedule("rule", "a", at, Memory::Event).key.starts_with("a "), "{years}");
        }
    }

    /// Findings, each as old as said: the newest deployment, the owed tick, two alarms.
    fn findings(deployment: Duration, tick: Duration, alarms: [Duration; 2]) -> Findings {
        Findings {
            deployment: Some(Deployment { execution_id: "new".to_owned(), succeeded: noon() - deployment }),
            tick: Some(("rule".to_owned(), OwedTag::Since(noon() - tick))),
            alarms: vec![
                Alarm { name: "older".to_owned(), changed: noon() - alarms[0] },
                Alarm { name: "newer".to_owned(), changed: noon() - alarms[1] },
            ],
        }
    }

    fn triggers(owed: &[Occurrence]) -> Vec<&str> {
        owed.iter().map(|occurrence| occurrence.trigger.word()).collect()
    }

    #[test]
    fn a_heartbeat_serves_the_deployment_first_then_the_tick_then_the_newest_drift() {
        let findings = findings(HOUR, 2 * HOUR, [4 * HOUR, 3 * HOUR]);
        let found = find_owed(&findings, &situation(&[]));
        assert_eq!(triggers(&found.occurrences), ["code", "schedule", "drift", "drift"]);
        assert_eq!(found.alarms, ["newer", "older"]);
        assert_eq!(longest_owed(&found.occurrences, &situation(&[])), 4 * HOUR);
        assert!(!found.tag_is_obsolete);
        assert_eq!(catch_up(&found.occurrences, 4, &situation(&[])), CatchUp::Start(found.occurrences[0].clone()));
    }

    #[test]
    fn a_heartbeat_leaves_what_is_younger_than_five_minutes_to_its_event() {
        let minutes = |deployment, tick| {
            let findings = Findings { alarms: vec![], ..findings(deployment * MINUTE, tick * MINUTE, [HOUR; 2]) };
            let owed = find_owed(&findings, &situation(&[])).occurrences;
            match catch_up(&owed, 4, &situation(&[])) {
                CatchUp::Start(occurrence) => occurrence.trigger.word(),
                CatchUp::Nothing => "nothing",
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(minutes(5, 5), "code");
        assert_eq!(minutes(4, 5), "schedule");
        assert_eq!(minutes(4, 4), "nothing");
    }

    #[test]
    fn a_tick_that_is_served_held_or_expired_is_settled_and_another_routers_is_left_alone() {
        let settled = |tag, situation: &Situation<'_>| {
            let findings = Findings { tick: Some(("rule".to_owned(), tag)), ..Findings::default() };
            find_owed(&findings, situation).tag_is_obsolete
        };
        let tick = || OwedTag::Since(noon() - HOUR);
        let served = [started(noon())];
        assert!(!settled(tick(), &situation(&[])));
        assert!(settled(tick(), &situation(&served)));
        assert!(settled(tick(), &Situation { schedule_rule: Hold::Yes, ..situation(&[]) }));
        assert!(settled(tick(), &Situation { now: noon() + 8 * 24 * HOUR, ..situation(&[]) }));
        assert!(settled(OwedTag::Unreadable, &situation(&[])));
        assert!(!settled(OwedTag::OtherRouter, &situation(&served)));
    }

    #[test]
    fn drift_that_waits_for_the_cooldown_is_neither_owed_nor_forgotten() {
        let history = [started(noon() - 5 * HOUR)];
        let situation = Situation { drift_cooldown: Some(6 * HOUR), ..situation(&history) };
        let findings = Findings { deployment: None, tick: None, ..findings(HOUR, HOUR, [2 * HOUR, HOUR]) };
        let found = find_owed(&findings, &situation);
        assert_eq!((found.occurrences.len(), found.alarms.len()), (0, 0));
        let (waiting, left) = found.cooling_down.unwrap();
        assert!(waiting.key.starts_with("newer "), "{waiting:?}");
        assert_eq!(left, HOUR);
    }

    #[test]
    fn drift_has_been_owed_since_its_cooldown_was_over() {
        let history = [started(noon() - 25 * HOUR)];
        let cooled = Situation { drift_cooldown: Some(24 * HOUR), ..situation(&history) };
        let alarm = [Occurrence { at: Some(noon() - 20 * HOUR), ..occurrence(Trigger::Drift, "a") }];
        assert_eq!(longest_owed(&alarm, &cooled), HOUR);
        let tick = [Occurrence { at: Some(noon() - 20 * HOUR), ..occurrence(Trigger::Schedule, "a") }];
        assert_eq!(longest_owed(&tick, &cooled), 20 * HOUR);
        assert_eq!(longest_owed(&[], &cooled), Duration::ZERO);
    }

    #[test]
    fn a_heartbeat_finds_only_the_alarms_of_its_own_account_and_region() {
        let change = |account: &str, region: &str| AlarmChange {
            name: "a".to_owned(),
            state: "ALARM".to_owned(),
            changed: noon(),
            account: Some(account.to_owned()),
            region: Some(region.to_owned()),
            suppressed_by: None,
            is_muted: false,
        };
        let memory = |change: &AlarmChange, listed: &[String]| {
            let function = "arn:aws:lambda:us-east-1:123456789012:function:drift-router";
            match alarm_relevance(change, listed, true, function) {
                Relevance::Relevant(occurrence) => occurrence.memory,
                other => panic!("{other:?}"),
            }
        };
        let listed = ["a".to_owned()];
        assert_eq!(memory(&change("123456789012", "us-east-1"), &listed), Memory::AwsState);
        assert_eq!(memory(&change("210987654321", "us-east-1"), &listed), Memory::Event);
        assert_eq!(memory(&change("123456789012", "eu-west-1"), &listed), Memory::Event);
        assert_eq!(memory(&change("123456789012", "us-east-1"), &[]), Memory::Event);
        let unknown = AlarmChange { account: None, region: None, ..change("", "") };
        assert_eq!(memory(&unknown, &listed), Memory::Event);
    }

    #[test]
    fn so_many_executions_within_a_day_stop_a_heartbeat_and_so_does_a_newest_one_without_a_start_time() {
        let owed = [Occurrence { at: Some(noon() - HOUR), ..occurrence(Trigger::Drift, "a") }];
        let history = [2, 3, 25].map(|hours| started(noon() - hours * HOUR));
        let catch_up = |history: &[Execution], per_day| catch_up(&owed, per_day, &situation(history));
        assert_eq!(catch_up(&history, 3), CatchUp::Start(owed[0].clone()));
        assert_eq!(catch_up(&history, 2), CatchUp::Braked { started: 2 });
        let [day_old, younger] = [Duration::ZERO, Duration::from_secs(1)].map(|by| started(noon() - 24 * HOUR + by));
        assert_eq!(catch_up(&[day_old], 1), CatchUp::Start(owed[0].clone()));
        assert_eq!(catch_up(&[younger], 1), CatchUp::Braked { started: 1 });
        let unknown = Execution { started: None, ..history[1].clone() };
        assert_eq!(catch_up(&[history[0].clone(), unknown.clone()], 2), CatchUp::Braked { started: 2 });
        assert_eq!(catch_up(&[unknown], 4), CatchUp::NoStartTime);
        assert_eq!(super::catch_up(&[], 0, &situation(&history)), CatchUp::Nothing);
    }

    #[test]
    fn the_tag_of_an_owed_tick_is_read_as_it_was_written_and_the_later_time_wins() {
        let tag = |time| owed_tag("a-b", time);
        assert_eq!(tag(noon()), "a-b/2021-06-01T12:00:00Z");
        assert_eq!(read_owed_tag(&tag(noon()), "a-b"), OwedTag::Since(noon()));
        assert_eq!(read_owed_tag(&tag(noon()), "a"), OwedTag::OtherRouter);
        assert_eq!(read_owed_tag("a/noon", "a"), OwedTag::Unreadable);
        let longest = owed_tag(&owner(&"x".repeat(256)), noon());
        assert!(longest.len() <= 256, "{longest}");
        for (found, write) in [
            (None, OwedWrite::Write),
            (Some(OwedTag::Since(noon() - HOUR)), OwedWrite::Write),
            (Some(OwedTag::Since(noon())), OwedWrite::Keep),
            (Some(OwedTag::Since(noon() + HOUR)), OwedWrite::Keep),
            (Some(OwedTag::Unreadable), OwedWrite::Write),
            (Some(OwedTag::OtherRouter), OwedWrite::Foreign),
        ] {
            assert_eq!(owed_write(found.as_ref(), noon()), write, "{found:?}");
        }
    }

    #[test]
    fn the_newest_of_several_active_executions_is_named() {
        let executions = [execution("c", false, ""), execution("b", true, ""), execution("a", true, "")];
        let engaged = |id: &str| DesiredState::Engaged { execution_id: id.to_owned() };
        assert_eq!(desired_state(Mode::Active, &executions, None), engaged("b"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], None), DesiredState::Released);
        assert_eq!(desired_state(Mode::Active, &[], None), DesiredState::Released);
        assert_eq!(desired_state(Mode::Drain, &executions, Some(&executions[1])), DesiredState::Released);
        // The record of the execution that a hint names replaces the list's, which may lag.
        assert_eq!(
            desired_state(Mode::Active, &executions[..2], Some(&execution("b", false, ""))),
            DesiredState::Released
        );
        assert_eq!(desired_state(Mode::Active, &executions[..1], Some(&execution("C", true, ""))), engaged("C"));
        assert_eq!(desired_state(Mode::Active, &executions[..1], Some(&execution("z", true, ""))), engaged("z"));
    }

    #[test]
    fn the_hint_counts_only_if_sagemaker_does_not_know_the_execution() {
        let hint = StatusHint { arn: arn("a"), status: ExecutionStatus::Active };
        let ended = execution("a", false, "");
        assert_eq!(named_execution(&hint, Some(ended.clone()), &[]), ended);
        assert_eq!(named_execution(&hint, None, std::slice::from_ref(&ended)), ended);
        assert!(named_execution(&hint, None, &[]).status.is_active());
    }

    #[test]
    fn a_mark_names_its_owner_and_one_of_the_first_version_is_ours() {
        let id = "abc123def456";
        for (ours, other) in [("a", "a-b"), ("a-b", "a"), ("nyctaxi-pipeline", "nyctaxi-pipeline-2")] {
            assert_eq!(stage_mark_owner(&stage_mark(ours, id), other), Some(ours));
            assert_eq!(rule_mark_owner(&rule_mark(ours, id), other), ours);
        }
        let first = "Disabled by drift-router while SageMaker pipeline execution abc runs. It is enabled again when no execution runs.";
        assert_eq!(stage_mark_owner(first, "ours"), Some("ours"));
        assert_eq!(rule_mark_owner(id, "ours"), "ours");
        assert_eq!(stage_mark_owner("release freeze", "ours"), None);
    }

    #[test]
    fn marks_are_what_the_services_accept() {
        let owners = [owner("A"), owner(&"x".repeat(64)), owner(&"x".repeat(65)), owner(&"x".repeat(256))];
        assert_eq!(owners[0], "a");
        assert_eq!(owners[1].len(), 64);
        assert_eq!(owners[3].len(), 64);
        assert!(owners[3].starts_with(&format!("{}-", "x".repeat(47))), "{}", owners[3]);
        assert_eq!(rule_mark("a", "ib8-7 (x)"), "a/ib8-7x");
        assert!(stage_mark("a", "ib8-7 (x)").contains(" execution ib8-7x runs."));
        assert_ne!(owners[2], owners[3]);
        for owner in &owners {
            assert!(owner.len() <= 64, "{owner}");
            for id in ["abc123def456", "a:b/c", &"x".repeat(1000), ""] {
                let reason = stage_mark(owner, id);
                assert!(reason.len() <= 300 && rule_mark(owner, id).len() <= 256, "{reason}");
                assert!(reason.chars().all(|c| c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c)), "{reason}");
                assert_eq!(stage_mark_owner(&reason, "other"), Some(owner.as_str()));
            }
        }
    }

    #[test]
    fn a_continuation_token_is_read_as_it_was_written() {
        for unknown_since in [None, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_187_201))] {
            let token = ContinuationToken::Execution { arn: arn("a"), unknown_since };
            assert_eq!(ContinuationToken::parse(&token.text()), Some(token));
        }
        for asked in [None, Some(noon())] {
            let token = ContinuationToken::NotStarted { first_job: "0000-11".to_owned(), asked };
            assert_eq!(ContinuationToken::parse(&token.text()), Some(token));
        }
        let no_time = format!("{} unknown since noon", arn("a").as_str());
        for bad in ["", "abc", NOT_STARTED, &format!("{NOT_STARTED}a asked at noon"), &no_time] {
            assert_eq!(ContinuationToken::parse(bad), None, "{bad}");
        }
    }

    fn terms(trigger: DeploymentTrigger, mode: Mode) -> JobTerms<'static> {
        JobTerms { pipeline: "nyctaxi", trigger, parameters: &NO_PARAMETERS, mode }
    }

    fn call(token: Option<ContinuationToken>, pipeline_name: Option<&str>) -> Job {
        Job {
            id: "the-id".to_owned(),
            continuation_token: token.map(|token| token.text()),
            user_parameters: Ok(UserParameters {
                pipeline_name: pipeline_name.map(str::to_owned),
                parameters: JobParameters::new(),
            }),
        }
    }

    #[test]
    fn a_job_may_name_our_pipeline_by_its_name_or_its_arn() {
        let request =
            |name| job_request(&call(None, Some(name)), terms(DeploymentTrigger::Action, Mode::Active), noon());
        for ours in ["Nyctaxi", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi"] {
            assert!(matches!(request(ours), JobRequest::Start(occurrence) if occurrence.key == "the-id"), "{ours}");
        }
        for other in ["", "fraud", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud", "arn:nyctaxi"] {
            assert!(matches!(request(other), JobRequest::Impossible(_)), "{other}");
        }
    }

    #[test]
    fn an_action_that_waits_for_its_start_keeps_the_key_of_its_first_job() {
        let token = || ContinuationToken::NotStarted { first_job: "first".to_owned(), asked: None };
        let request = |trigger| job_request(&call(Some(token()), None), terms(trigger, Mode::Active), noon());
        let started = request(DeploymentTrigger::Action);
        assert!(matches!(started, JobRequest::Start(occurrence) if occurrence.key == "first"));
        for other in [DeploymentTrigger::Event, DeploymentTrigger::None] {
            assert!(matches!(request(other), JobRequest::Impossible(_)));
        }
    }

    #[test]
    fn an_action_is_asked_for_its_time_once_and_every_try_sends_the_same_request() {
        let parameters = Parameters::parse([("At", "{time}")]).unwrap();
        let terms = JobTerms { parameters: &parameters, ..terms(DeploymentTrigger::Action, Mode::Active) };
        let JobRequest::Wait(token) = job_request(&call(None, None), terms, noon()) else { panic!("it starts") };
        let requests = [1, 2].map(|minutes| {
            let now = noon() + minutes * MINUTE;
            let JobRequest::Start(job) = job_request(&call(Some(token.clone()), None), terms, now) else {
                panic!("it waits")
            };
            decide_start(&job, Asker::Event, &Situation { parameters: &parameters, now, ..situation(&[]) })
        });
        assert_eq!(requests[0], requests[1]);
        let StartDecision::Start(request) = &requests[0] else { panic!("it does not start") };
        assert_eq!(request.parameters["At"], "2021-06-01T12:00:00Z");
        assert_eq!(request.display_name, "job-the-id");
    }

    #[test]
    fn no_mode_but_active_starts_a_job_and_every_mode_reports_on_a_started_one() {
        let started = ContinuationToken::Execution {
            arn: ExecutionArn::parse("arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi/execution/a").unwrap(),
            unknown_since: None,
        };
        for mode in [Mode::DryRun, Mode::Drain] {
            let terms = terms(DeploymentTrigger::Action, mode);
            assert!(matches!(job_request(&call(None, None), terms, noon()), JobRequest::Find(..)), "{mode:?}");
            let request = job_request(&call(Some(started.clone()), None), terms, noon());
            assert!(matches!(request, JobRequest::Continue { .. }), "{mode:?}");
        }
    }

    fn deployed(trigger_type: Option<&str>) -> DeploymentChange {
        DeploymentChange {
            pipeline: "build".to_owned(),
            execution_id: "new".to_owned(),
            state: "SUCCEEDED".to_owned(),
            changed: Some(noon()),
            trigger_type: trigger_type.map(str::to_owned),
        }
    }

    #[test]
    fn codepipelines_list_is_asked_when_the_event_leaves_something_open() {
        let relevance = |trigger_type, parameters: &Parameters| {
            let event = DeploymentTrigger::Event;
            deployment_relevance(&deployed(trigger_type), Some("build"), event, true, parameters)
        };
        assert!(matches!(relevance(Some("Webhook"), &NO_PARAMETERS), Relevance::Relevant(_)));
        assert!(matches!(relevance(None, &NO_PARAMETERS), Relevance::AskTheList(_)));
        let timed = Parameters::parse([("At", "{time}")]).unwrap();
        assert!(matches!(relevance(Some("Webhook"), &timed), Relevance::AskTheList(_)));
        for rollback in ["ManualRollback", "AutomatedRollback"] {
            assert!(matches!(relevance(Some(rollback), &timed), Relevance::Ignored(_)), "{rollback}");
        }
    }

    #[test]
    fn the_list_says_what_was_a_rollback_and_gives_the_time_that_heartbeats_use() {
        let listed = |id: &str, is_rollback| CodePipelineExecution {
            id: id.to_owned(),
            has_succeeded: true,
            is_rollback,
            updated: Some(noon() - MINUTE),
        };
        let timed = Parameters::parse([("At", "{time}")]).unwrap();
        let with = |executions: &[CodePipelineExecution], parameters: &Parameters| {
            listed_deployment(code("new", Some(noon()), Memory::AwsState), executions, parameters)
        };
        let decide = |executions: &[CodePipelineExecution]| with(executions, &timed);
        assert!(matches!(decide(&[listed("new", true)]), Listed::Rollback(_)));
        let at = |listed| match listed {
            Listed::Deployment(occurrence) => occurrence.at,
            other => panic!("{other:?}"),
        };
        let running = [CodePipelineExecution { has_succeeded: false, ..listed("new", false) }];
        assert_eq!(decide(&running), Listed::Lags);
        assert_eq!(at(with(&running, &NO_PARAMETERS)), Some(noon()), "nothing needs the time");
        let executions = [listed("old", true), listed("new", false)];
        assert_eq!(at(decide(&executions)), Some(noon() - MINUTE));
        assert_eq!(at(decide(&executions[..1])), Some(noon()), "not listed any more");
        let heartbeats = newest_deployment(&executions).unwrap();
        assert_eq!((heartbeats.execution_id.as_str(), heartbeats.succeeded), ("new", noon() - MINUTE));
    }

    #[test]
    fn a_tick_is_known_by_its_sender_and_its_name() {
        let names = TickNames { schedule_rule: Some("a"), schedule: Some("b"), heartbeat: Some("c") };
        let meaning = |sender, name: &str| {
            let tick = Tick { sender, resources: vec![format!("arn:aws:x:y:z/{name}")], time: Some(noon()) };
            match tick_meaning(&tick, names, true, noon()) {
                TickMeaning::Retraining(occurrence) if occurrence.memory == Memory::OwedTag => "tick with a tag",
                TickMeaning::Retraining(_) => "tick",
                TickMeaning::Heartbeat => "heartbeat",
                TickMeaning::Ignored(_) => "ignored",
            }
        };
        let meanings = |sender| ["a", "b", "c", "d"].map(|name| meaning(sender, name));
        assert_eq!(meanings(TickSender::Rule), ["tick with a tag", "ignored", "heartbeat", "ignored"]);
        assert_eq!(meanings(TickSender::Schedule), ["ignored", "tick", "heartbeat", "ignored"]);
        let (resources, time) = (vec!["arn:aws:scheduler:x:y:schedule/default/a".to_owned()], Some(noon()));
        let tick = Tick { sender: TickSender::Schedule, resources, time };
        let without_schedule = tick_meaning(&tick, TickNames { schedule: None, ..names }, true, noon());
        assert!(matches!(without_schedule, TickMeaning::Ignored(_)), "a rule of this name is no schedule");
    }

    #[test]
    fn a_description_is_one_line_within_sagemakers_length() {
        let alarm = format!("fare\ndrift\u{7}{}", "é".repeat(244));
        let description = drift(&alarm, noon(), Memory::Event).description;
        assert!(description.starts_with("Started by drift-router: CloudWatch alarm fare drift "), "{description}");
        assert!(description.ends_with(" changed to ALARM at 2021-06-01T12:00:00Z."), "{description}");
        assert!(description.chars().count() <= 3072 && !description.contains(char::is_control));
    }

    #[test]
    fn keys_that_look_alike_once_made_to_fit_stay_apart() {
        let keys = ["a.b", "a-b", "a/b", "a b", "a-b-", &"x".repeat(300), &"x".repeat(301), "é", "è", ""];
        let names: std::collections::BTreeSet<String> =
            keys.iter().map(|key| display_name(&occurrence(Trigger::Drift, key))).collect();
        assert_eq!(names.len(), keys.len(), "{names:?}");
        for name in &names {
            assert!(name.len() <= DISPLAY_NAME_LENGTH, "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
            assert!(!name.ends_with('-'), "{name}");
        }
        assert_eq!(display_name(&occurrence(Trigger::Code, "0971-ab")), "code-0971-ab");
    }
}
