//! One invocation: observe, decide, act, verify.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;

use crate::aws::Opener;
use crate::config::Config;
use crate::decision::{Decision, StartRequest, Wanted, decide, display_name, wanted};
use crate::event::{Event, EventError, Hint, Job, JobRequest, Kind, Occurrence, Trigger, last_segment};
use crate::executions::{Execution, Executions, ExecutionsError, Status};
use crate::interlock::{GuardError, Interlock, Report, RuleArns, Sightings, Written};
use crate::job::{self, Answer, Answered, JobError};

/// How often one invocation sets what it finds wrong before it leaves the rest to Lambda's retry.
const ROUNDS: usize = 3;

/// Turns events into retrainings and holds the interlock. Built once a process; every invocation stands alone.
#[derive(Clone, Debug)]
pub struct Router {
    config: Config,
    executions: Executions,
    interlock: Interlock,
    sagemaker: aws_sdk_sagemaker::Client,
    codepipeline: aws_sdk_codepipeline::Client,
    eventbridge: aws_sdk_eventbridge::Client,
    clock: SharedTimeSource,
}

/// What an invocation did: the answer, and the fields of its log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What kind of event came.
    pub event: Kind,
    /// The occurrence's key, where the event is a trigger.
    pub key: Option<String>,
    /// What the router did.
    pub action: Action,
    /// Why, where the action does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The execution that was started or found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_arn: Option<String>,
    /// The guards, as last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interlock: Option<Report>,
    /// Whether the event was about an execution that failed, for the metrics.
    #[serde(skip)]
    pub retraining_failed: bool,
}

/// What an invocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It started an execution.
    Started,
    /// An execution had been started for this occurrence before.
    Duplicate,
    /// A retraining runs, which is all that the trigger asks for.
    AlreadyRunning,
    /// The model was retrained so short a while ago that a drift alarm starts nothing.
    CoolingDown,
    /// It engaged the interlock.
    Engaged,
    /// It released the interlock.
    Released,
    /// It found everything as it should be.
    Unchanged,
    /// It told a job's action to go on waiting.
    Continued,
    /// It told a job's action that the retraining succeeded.
    Succeeded,
    /// It told a job's action that the retraining failed, or cannot be.
    Failed,
    /// The event asks for nothing.
    Ignored,
}

/// Why an invocation failed. Lambda tries it again; what it has done so far is found and completed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event cannot be understood.
    #[error(transparent)]
    Event(#[from] EventError),
    /// SageMaker could not be asked or would not start the pipeline.
    #[error(transparent)]
    Executions(#[from] ExecutionsError),
    /// SageMaker answered with an execution that had been started for something else and has ended since: lists lag.
    #[error(
        "SageMaker gave {execution_arn}, an execution of an earlier trigger that has ended: the list of executions lags, and the next try sees a newer one"
    )]
    NotServed {
        /// The execution.
        execution_arn: String,
    },
    /// A CodePipeline job could not be answered.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Guards that could not be read or set; the others are as they should be.
    #[error("{}", list_guards(.0))]
    Guards(Vec<GuardError>),
    /// The guards and the executions kept changing while they were being looked at.
    #[error(
        "the interlock did not settle in {ROUNDS} rounds: look for somebody else who enables and disables the guards"
    )]
    Unsettled,
}

impl Router {
    /// A router with its three clients, all built from `aws`, which has their region, credentials, timeouts and clock.
    #[must_use]
    pub fn new(config: Config, aws: &SdkConfig) -> Self {
        let sagemaker = aws_sdk_sagemaker::Client::new(aws);
        let codepipeline = aws_sdk_codepipeline::Client::new(aws);
        let eventbridge = aws_sdk_eventbridge::Client::new(aws);
        Self {
            executions: Executions::new(&config, sagemaker.clone()),
            interlock: Interlock::new(&config, codepipeline.clone(), &eventbridge),
            sagemaker,
            codepipeline,
            eventbridge,
            clock: aws.time_source().unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new())),
            config,
        }
    }

    /// Opens a connection to each of the three services, and makes no call. Lambda gives the init phase a whole processor, so TLS
    /// handshakes are made there, and the first event finds them made.
    pub async fn open_connections(&self, opener: &Opener) {
        let sagemaker = self.sagemaker.list_pipeline_executions().customize().interceptor(opener.clone());
        let codepipeline = self.codepipeline.get_pipeline_state().customize().interceptor(opener.clone());
        let eventbridge = self.eventbridge.describe_rule().customize().interceptor(opener.clone());
        // Each fails, as the opener stops it.
        let _ = Box::pin(async { tokio::join!(sagemaker.send(), codepipeline.send(), eventbridge.send()) }).await;
        opener.opened().await;
    }

    /// Handles one event, and logs one line of what came of it.
    ///
    /// # Errors
    /// [`Error`]; the event is to be delivered again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Outcome, Error> {
        let LambdaEvent { payload, context } = event;
        let event = Event::parse(payload, &self.config)
            .inspect_err(|error| tracing::error!(error = chain(error), "event not understood"))?;
        let kind = event.kind();
        let key = event.key().map(str::to_owned);
        // Boxed, as the SDK's futures are large and nest deeply: a caller's own future stays small.
        Box::pin(self.dispatch(event, &context)).await.inspect(Outcome::log).inspect_err(|error| {
            tracing::error!(event = word(&kind), key, error = chain(error), "event failed");
        })
    }

    async fn dispatch(&self, event: Event, context: &Context) -> Result<Outcome, Error> {
        let pass = Pass {
            router: self,
            rule_arns: RuleArns::beside_function(&context.invoked_function_arn),
            hint: None,
            written: self.interlock.nothing_written(),
        };
        match event {
            Event::Trigger(occurrence) => pass.start(occurrence).await,
            Event::ExecutionStatus(hint) => pass.reconcile(Kind::ExecutionStatus, Some(hint)).await,
            Event::Job(Job { id, request }) => match request {
                JobRequest::Start => pass.start_for_job(id).await,
                JobRequest::Continue { execution_arn } => pass.continue_job(id, execution_arn).await,
                JobRequest::Impossible { reason } => pass.refuse_job(id, reason).await,
            },
            Event::Reconcile => pass.reconcile(Kind::Reconcile, None).await,
            Event::Ignored { kind, reason } => {
                Ok(Outcome { reason: Some(reason), ..Outcome::new(kind, Action::Ignored) })
            }
        }
    }
}

/// One event's way through the router: what it carries from one look to the next.
struct Pass<'r> {
    router: &'r Router,
    rule_arns: Option<RuleArns>,
    /// An execution to look at even where the list does not show it.
    hint: Option<Hint>,
    written: Written,
}

/// Executions and guards, looked at together.
struct Look {
    executions: Vec<Execution>,
    guards: Sightings,
}

impl Pass<'_> {
    async fn look(&self) -> Result<Look, Error> {
        let (executions, guards) = tokio::join!(
            self.router.executions.look(self.hint.as_ref()),
            self.router.interlock.look(self.rule_arns.as_ref(), &self.written),
        );
        Ok(Look { executions: executions?, guards })
    }

    /// Puts the interlock right, whatever the event said.
    async fn reconcile(mut self, event: Kind, hint: Option<Hint>) -> Result<Outcome, Error> {
        self.hint = hint;
        let look = self.look().await?;
        let (executions, report) = self.settle(look).await?;
        let (action, mut reason) = match wanted(&executions) {
            Wanted::Engaged { execution_id } => (Action::Engaged, format!("execution {execution_id} runs")),
            Wanted::Released => (Action::Released, "no execution runs".to_owned()),
        };
        let execution_arn = self.hint.map(|hint| hint.execution_arn);
        let hinted = executions.iter().find(|e| execution_arn.as_ref() == Some(&e.arn));
        let failure = hinted.and_then(failure);
        let retraining_failed = failure.is_some();
        if let Some(failure) = failure {
            reason = format!("{reason}; {failure}");
        }
        Ok(Outcome {
            reason: Some(reason),
            execution_arn,
            interlock: Some(report),
            retraining_failed,
            ..Outcome::new(event, if self.written.any { action } else { Action::Unchanged })
        })
    }

    /// Sees to it that the occurrence has its execution, and that the interlock is engaged while it runs.
    async fn start(mut self, occurrence: Occurrence) -> Result<Outcome, Error> {
        let served = self.serve(&occurrence).await?;
        self.secure(occurrence, served).await
    }

    /// Starts an execution for a job, and tells its action to wait for it.
    async fn start_for_job(mut self, job_id: String) -> Result<Outcome, Error> {
        let occurrence = Occurrence { trigger: Trigger::Job, key: job_id };
        let served = match self.serve(&occurrence).await {
            Ok(served) => served,
            // What no retry can mend is said to the action, which would wait for ever.
            Err(Error::Executions(error)) if error.is_lasting() => {
                return self.refuse_job(occurrence.key, chain(&error)).await;
            }
            Err(error) => return Err(error),
        };
        let execution_arn = served.execution_arn.clone();
        let answered = self.answer(&occurrence.key, Answer::Continue(&execution_arn)).await;
        // The execution runs, whatever became of the answer.
        let outcome = self.secure(occurrence, served).await?;
        Ok(Outcome { reason: over(answered?), ..outcome })
    }

    /// Tells a job's action how far its execution is.
    async fn continue_job(mut self, job_id: String, execution_arn: String) -> Result<Outcome, Error> {
        let execution = match self.find(&execution_arn).await {
            Ok(execution) => execution,
            Err(error) if error.is_lasting() => return self.refuse_job(job_id, chain(&error)).await,
            Err(error) => return Err(error.into()),
        };
        // One that SageMaker does not know yet was started a moment ago.
        let status = execution.map_or(Status::Active, |execution| execution.status);
        let execution_id = last_segment(&execution_arn);
        let (action, answered, reason) = match &status {
            Status::Active => {
                let answered = self.answer(&job_id, Answer::Continue(&execution_arn)).await?;
                (Action::Continued, answered, format!("execution {execution_id} runs"))
            }
            Status::Succeeded => {
                let answered = self.answer(&job_id, Answer::Succeed(&execution_arn)).await?;
                (Action::Succeeded, answered, format!("execution {execution_id} succeeded"))
            }
            Status::Unsuccessful { word, reason } => {
                let why = reason.as_deref().unwrap_or("SageMaker gives no reason");
                let message = format!("execution {execution_id} is {word}: {why}");
                let answer = Answer::Fail { execution_arn: &execution_arn, message: &message };
                (Action::Failed, self.answer(&job_id, answer).await?, message)
            }
        };
        // An action asks every half a minute or so: only at the end is more to be seen to than its answer.
        let interlock = if status == Status::Active {
            None
        } else {
            self.hint = Some(Hint { execution_arn: execution_arn.clone(), status });
            let look = self.look().await?;
            Some(self.settle(look).await?.1)
        };
        Ok(Outcome {
            key: Some(job_id),
            reason: over(answered).or(Some(reason)),
            execution_arn: Some(execution_arn),
            interlock,
            ..Outcome::new(Kind::CodePipelineJob, action)
        })
    }

    /// The execution of this ARN, or `None` where SageMaker does not know it, but does know the pipeline.
    async fn find(&self, execution_arn: &str) -> Result<Option<Execution>, ExecutionsError> {
        let executions = &self.router.executions;
        if let Some(execution) = executions.describe(execution_arn).await? {
            return Ok(Some(execution));
        }
        Ok(executions.list().await?.into_iter().find(|e| e.arn.eq_ignore_ascii_case(execution_arn)))
    }

    /// Tells a job's action that it has to fail.
    async fn refuse_job(self, job_id: String, reason: String) -> Result<Outcome, Error> {
        let answered = self.answer(&job_id, Answer::Refuse(&reason)).await?;
        Ok(Outcome {
            key: Some(job_id),
            reason: over(answered).or(Some(reason)),
            ..Outcome::new(Kind::CodePipelineJob, Action::Failed)
        })
    }

    async fn answer(&self, job_id: &str, answer: Answer<'_>) -> Result<Answered, JobError> {
        job::answer(&self.router.codepipeline, job_id, answer).await
    }

    fn decide(&self, occurrence: &Occurrence, executions: &[Execution]) -> Result<Served, StartRequest> {
        match decide(occurrence, executions, self.router.config.drift_cooldown, self.router.clock.now()) {
            Decision::Start(request) => Err(request),
            Decision::Duplicate(execution_arn) => Ok(Served::by(Action::Duplicate, execution_arn)),
            Decision::AlreadyRunning(execution_arn) => Ok(Served::by(Action::AlreadyRunning, execution_arn)),
            Decision::CoolingDown { execution_arn, left } => {
                // Whole seconds are exact enough for a person.
                let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
                let reason =
                    format!("the model was retrained a short while ago: drift alarms start nothing for another {left}");
                Ok(Served { reason: Some(reason), ..Served::by(Action::CoolingDown, execution_arn) })
            }
        }
    }

    /// Finds the execution that serves the occurrence, or starts it.
    async fn serve(&mut self, occurrence: &Occurrence) -> Result<Served, Error> {
        let look = self.look().await?;
        let request = match self.decide(occurrence, &look.executions) {
            Ok(served) => return Ok(Served { look: Some(look), ..served }),
            Err(request) => request,
        };
        match self.router.executions.start(&request).await {
            Ok(execution_arn) => {
                // The status event may be late or lost: engage at once. What fails here is set again by what follows.
                let engaged = Wanted::Engaged { execution_id: last_segment(&execution_arn) };
                self.router.interlock.set(&look.guards, engaged, &mut self.written).await;
                self.hint = Some(Hint { execution_arn: execution_arn.clone(), status: Status::Active });
                Ok(Served::by(Action::Started, execution_arn))
            }
            // Another router may have won, or the start was carried out and only its answer lost.
            Err(refused) => {
                let executions = self.router.executions.list().await?;
                let served = self.decide(occurrence, &executions).map_err(|_| refused)?;
                Ok(Served { look: Some(Look { executions, ..look }), ..served })
            }
        }
    }

    /// Puts the interlock right, now that the occurrence is served.
    async fn secure(mut self, occurrence: Occurrence, served: Served) -> Result<Outcome, Error> {
        let Served { mut action, execution_arn, reason, look } = served;
        let look = match look {
            Some(look) => look,
            None => self.look().await?,
        };
        let (executions, report) = self.settle(look).await?;
        if action == Action::Started {
            // With a token that it has seen before, SageMaker gives the execution which that token started.
            let name = display_name(&occurrence);
            let anothers = executions
                .iter()
                .find(|e| e.arn == execution_arn && e.display_name.as_ref().is_some_and(|n| *n != name));
            match anothers {
                None => {}
                Some(running) if running.is_active() => action = Action::AlreadyRunning,
                Some(_) => return Err(Error::NotServed { execution_arn }),
            }
        }
        Ok(Outcome {
            key: Some(occurrence.key),
            reason,
            execution_arn: Some(execution_arn),
            interlock: Some(report),
            ..Outcome::new(occurrence.trigger.kind(), action)
        })
    }

    /// Sets the guards as the executions ask, and looks at both again, until a look finds nothing to set. Gives what it found.
    async fn settle(&mut self, mut look: Look) -> Result<(Vec<Execution>, Report), Error> {
        let interlock = &self.router.interlock;
        let mut failures = Vec::new();
        for round in 0..=ROUNDS {
            let wanted = wanted(&look.executions);
            if interlock.is_set(&look.guards, wanted, &self.written) {
                let report = interlock.report(look.guards, wanted).map_err(Error::Guards)?;
                return Ok((look.executions, report));
            }
            if round < ROUNDS {
                failures = interlock.set(&look.guards, wanted, &mut self.written).await;
                look = self.look().await?;
            }
        }
        Err(if failures.is_empty() { Error::Unsettled } else { Error::Guards(failures) })
    }
}

/// How an occurrence is served.
struct Served {
    action: Action,
    execution_arn: String,
    reason: Option<String>,
    /// What was seen, unless something has been written since.
    look: Option<Look>,
}

impl Served {
    fn by(action: Action, execution_arn: String) -> Self {
        Self { action, execution_arn, reason: None, look: None }
    }
}

/// What to say of an answer that came too late.
fn over(answered: Answered) -> Option<String> {
    (answered == Answered::NotInProgress).then(|| "the job is not in progress any more".to_owned())
}

/// How and why an execution failed. One that somebody has stopped did not fail.
fn failure(execution: &Execution) -> Option<String> {
    match &execution.status {
        Status::Unsuccessful { word, reason } if word != "Stopped" => {
            let why = reason.as_deref().unwrap_or("SageMaker gives no reason");
            Some(format!("execution {} is {word}: {why}", last_segment(&execution.arn)))
        }
        _ => None,
    }
}

impl Outcome {
    fn new(event: Kind, action: Action) -> Self {
        Self { event, key: None, action, reason: None, execution_arn: None, interlock: None, retraining_failed: false }
    }

    fn log(&self) {
        tracing::info!(
            event = word(&self.event),
            key = self.key,
            action = word(&self.action),
            reason = self.reason,
            executionArn = self.execution_arn,
            interlock = self.interlock.as_ref().map(word),
            "event handled"
        );
    }
}

/// A value of the answer as it stands there: a bare word, or else JSON.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(json) => json.to_string(),
        Err(error) => error.to_string(),
    }
}

/// An error and everything below it, in one line.
pub fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let _ = write!(line, ": {source}");
        next = source.source();
    }
    line
}

fn list_guards(faults: &[GuardError]) -> String {
    let faults: Vec<_> = faults.iter().map(|fault| chain(fault)).collect();
    faults.join("; ")
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let error_type = match &error {
            Error::Event(_) => "EventError",
            Error::Executions(_) => "ExecutionsError",
            Error::NotServed { .. } => "NotServed",
            Error::Job(_) => "JobError",
            Error::Guards(_) => "InterlockError",
            Error::Unsettled => "Unsettled",
        };
        Self { error_type: error_type.to_owned(), error_message: chain(&error) }
    }
}
