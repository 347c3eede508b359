//! What a CodePipeline action asks for, and the continuation tokens with which CodePipeline calls again for it.

use std::time::{Duration, SystemTime};

use crate::model::{
    AddedParameters, DeploymentTrigger, Execution, ExecutionArn, ExecutionStatus, FailedStep, Job, Memory, Mode,
    Occurrence, Trigger, UserParameters,
};
use crate::policy::DRAINED;
use crate::policy::parameters::Parameters;
use crate::policy::start::description;

/// What a job requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobDecision {
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
fn job(first_job: &str, asked: Option<SystemTime>, parameters: AddedParameters) -> Occurrence {
    Occurrence {
        trigger: Trigger::Job,
        key: first_job.to_owned(),
        at: asked,
        rule: None,
        memory: Memory::Job,
        description: description(&format!("an action of the CodePipeline asked, job {first_job}")),
        parameters,
    }
}

/// The part of the router's configuration that concerns jobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobTerms<'c> {
    /// The SageMaker pipeline's name.
    pub(crate) pipeline: &'c str,
    pub(crate) trigger: &'c DeploymentTrigger,
    pub(crate) parameters: &'c Parameters,
    pub(crate) mode: Mode,
}

/// Decides what a job's call requests. `now` is the time of the call.
///
/// CodePipeline does not say when an action called first, and every try of a start has to send the same request. So if a pipeline
/// parameter needs the time, the first call only notes it in the continuation token, which CodePipeline keeps.
pub(crate) fn job_decision(call: &Job, terms: JobTerms<'_>, now: SystemTime) -> JobDecision {
    let token = call.continuation_token.as_deref().map(ContinuationToken::parse);
    let (first_job, asked) = match token {
        None => (call.id.clone(), None),
        Some(Some(ContinuationToken::NotStarted { first_job, asked })) => (first_job, asked),
        Some(Some(ContinuationToken::Execution { arn, unknown_since })) if arn.is_of_pipeline(terms.pipeline) => {
            return JobDecision::Continue { arn, unknown_since };
        }
        Some(_) => {
            let pipeline = terms.pipeline;
            let reason = format!(
                "the continuation token does not name an execution of SageMaker pipeline {pipeline}: run the action again"
            );
            return JobDecision::Impossible(reason);
        }
    };
    let parameters = match &call.user_parameters {
        Ok(UserParameters { pipeline_name: Some(name), .. }) if !is_pipeline(name, terms.pipeline) => {
            return JobDecision::Impossible(format!(
                "the action's UserParameters name another SageMaker pipeline than {}, the one that this function retrains",
                terms.pipeline
            ));
        }
        Ok(UserParameters { parameters, .. }) => parameters.clone(),
        Err(reason) => return JobDecision::Impossible(reason.clone()),
    };
    if !matches!(terms.trigger, DeploymentTrigger::Action(_)) {
        return JobDecision::Impossible(format!(
            "DEPLOYMENT_TRIGGER is {}, so no action of the CodePipeline starts a retraining: set it to action, or remove this action",
            terms.trigger.word()
        ));
    }
    if let Some(refusal) = terms.parameters.refusal(&parameters) {
        return JobDecision::Impossible(format!("the action's UserParameters: {refusal}"));
    }
    let needs_time = asked.is_none() && terms.parameters.use_time(&parameters);
    match terms.mode {
        Mode::DryRun => JobDecision::Find(
            job(&first_job, asked, parameters),
            "MODE is dry-run: the router would have started a retraining for this action".to_owned(),
        ),
        Mode::Drain => JobDecision::Find(job(&first_job, asked, parameters), DRAINED.to_owned()),
        Mode::Active if needs_time => JobDecision::Wait(ContinuationToken::NotStarted { first_job, asked: Some(now) }),
        Mode::Active => JobDecision::Start(job(&first_job, asked, parameters)),
    }
}

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

/// The message about an execution that ended without success: which execution, how it ended, and why. Otherwise `None`.
pub(crate) fn failure_message(execution: &Execution, failed_steps: &[FailedStep]) -> Option<String> {
    match &execution.status {
        ExecutionStatus::Unsuccessful { word, reason } => {
            let steps = failed_steps.iter().map(|FailedStep { step, reason }| format!("step {step} failed: {reason}"));
            let why = match (failed_steps, reason) {
                ([], Some(reason)) => reason.clone(),
                ([], None) => "SageMaker returns no reason".to_owned(),
                _ => steps.collect::<Vec<_>>().join("; "),
            };
            Some(format!("execution {} is {word}: {why}", execution.arn.id()))
        }
        ExecutionStatus::Active | ExecutionStatus::Succeeded => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CodePipeline;
    use crate::policy::Situation;
    use crate::policy::fixtures::{MINUTE, NO_PARAMETERS, arn, noon, situation};
    use crate::policy::start;

    const BY_ACTION: DeploymentTrigger = DeploymentTrigger::Action(None);

    fn terms(trigger: &DeploymentTrigger, mode: Mode) -> JobTerms<'_> {
        JobTerms { pipeline: "nyctaxi", trigger, parameters: &NO_PARAMETERS, mode }
    }

    fn call(token: Option<ContinuationToken>, pipeline_name: Option<&str>) -> Job {
        Job {
            id: "the-id".to_owned(),
            continuation_token: token.map(|token| token.text()),
            user_parameters: Ok(UserParameters {
                pipeline_name: pipeline_name.map(str::to_owned),
                parameters: AddedParameters::new(),
            }),
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

    #[test]
    fn a_job_waits_for_an_unknown_execution_for_less_than_15_minutes() {
        assert!(waits_for_unknown(noon(), noon() + 15 * MINUTE - Duration::from_secs(1)));
        assert!(!waits_for_unknown(noon(), noon() + 15 * MINUTE));
        assert!(waits_for_unknown(noon(), noon() - MINUTE), "clocks differ");
    }

    #[test]
    fn a_job_may_name_our_pipeline_by_its_name_or_its_arn() {
        let request = |name| job_decision(&call(None, Some(name)), terms(&BY_ACTION, Mode::Active), noon());
        for ours in ["Nyctaxi", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi"] {
            assert!(matches!(request(ours), JobDecision::Start(occurrence) if occurrence.key == "the-id"), "{ours}");
        }
        for other in ["", "fraud", "arn:aws:sagemaker:us-east-1:123456789012:pipeline/fraud", "arn:nyctaxi"] {
            assert!(matches!(request(other), JobDecision::Impossible(_)), "{other}");
        }
    }

    #[test]
    fn an_action_that_waits_for_its_start_keeps_the_key_of_its_first_job() {
        let token = || ContinuationToken::NotStarted { first_job: "first".to_owned(), asked: None };
        let request = |trigger| job_decision(&call(Some(token()), None), terms(trigger, Mode::Active), noon());
        let started = request(&BY_ACTION);
        assert!(matches!(started, JobDecision::Start(occurrence) if occurrence.key == "first"));
        let pipeline = CodePipeline { name: "build".to_owned(), build_stage: "Build".to_owned() };
        let others = [DeploymentTrigger::Event { pipeline, waits: false }, DeploymentTrigger::None(None)];
        assert!(others.iter().all(|other| matches!(request(other), JobDecision::Impossible(_))));
    }

    #[test]
    fn an_action_is_asked_for_its_time_once_and_every_try_sends_the_same_request() {
        let parameters = Parameters::parse([("At", "{time}")]).unwrap();
        let terms = JobTerms { parameters: &parameters, ..terms(&BY_ACTION, Mode::Active) };
        let JobDecision::Wait(token) = job_decision(&call(None, None), terms, noon()) else { panic!("it starts") };
        let requests = [1, 2].map(|minutes| {
            let now = noon() + minutes * MINUTE;
            let JobDecision::Start(job) = job_decision(&call(Some(token.clone()), None), terms, now) else {
                panic!("it waits")
            };
            start::request(&job, &Situation { parameters: &parameters, now, ..situation(&[]) })
        });
        assert_eq!(requests[0], requests[1]);
        assert_eq!(requests[0].parameters["At"], "2021-06-01T12:00:00Z");
        assert_eq!(requests[0].display_name, "job-the-id");
    }

    #[test]
    fn no_mode_but_active_starts_a_job_and_every_mode_reports_on_a_started_one() {
        let started = ContinuationToken::Execution {
            arn: ExecutionArn::parse("arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi/execution/a").unwrap(),
            unknown_since: None,
        };
        for mode in [Mode::DryRun, Mode::Drain] {
            let terms = terms(&BY_ACTION, mode);
            assert!(matches!(job_decision(&call(None, None), terms, noon()), JobDecision::Find(..)), "{mode:?}");
            let request = job_decision(&call(Some(started.clone()), None), terms, noon());
            assert!(matches!(request, JobDecision::Continue { .. }), "{mode:?}");
        }
    }
}
