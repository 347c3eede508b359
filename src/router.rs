//! One invocation: observe, decide, act, verify.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::decision::{Decision, StartRequest, Wanted, decide, display_name, wanted};
use crate::event::{Event, EventError, Hint, Kind, Occurrence, last_segment};
use crate::executions::{Execution, Executions, ExecutionsError};
use crate::interlock::{GuardError, Interlock, Report, RuleArns, Sightings, Written};

/// How often one invocation sets what it finds wrong before it leaves the rest to Lambda's retry.
const ROUNDS: usize = 3;

/// Turns events into retrainings and holds the interlock. Built once a process; every invocation stands alone.
#[derive(Clone, Debug)]
pub struct Router {
    config: Config,
    executions: Executions,
    interlock: Interlock,
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
    /// It engaged the interlock.
    Engaged,
    /// It released the interlock.
    Released,
    /// It found everything as it should be.
    Unchanged,
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
    /// A router with its three clients, all built from `aws`, which has their region, credentials and timeouts.
    #[must_use]
    pub fn new(config: Config, aws: &SdkConfig) -> Self {
        let sagemaker = aws_sdk_sagemaker::Client::new(aws);
        let codepipeline = aws_sdk_codepipeline::Client::new(aws);
        let eventbridge = aws_sdk_eventbridge::Client::new(aws);
        Self {
            executions: Executions::new(sagemaker, config.sagemaker_pipeline.clone()),
            interlock: Interlock::new(&config, codepipeline, &eventbridge),
            config,
        }
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
            Event::Reconcile => pass.reconcile(Kind::Reconcile, None).await,
            Event::Ignored { kind, reason } => Ok(Outcome {
                event: kind,
                key: None,
                action: Action::Ignored,
                reason: Some(reason),
                execution_arn: None,
                interlock: None,
            }),
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
        let (action, reason) = match wanted(&executions) {
            Wanted::Engaged { execution_id } => (Action::Engaged, format!("execution {execution_id} runs")),
            Wanted::Released => (Action::Released, "no execution runs".to_owned()),
        };
        Ok(Outcome {
            event,
            key: None,
            action: if self.written.any { action } else { Action::Unchanged },
            reason: Some(reason),
            execution_arn: self.hint.map(|hint| hint.execution_arn),
            interlock: Some(report),
        })
    }

    /// Sees to it that the occurrence has its execution, and that the interlock is engaged while it runs.
    async fn start(mut self, occurrence: Occurrence) -> Result<Outcome, Error> {
        let mut look = self.look().await?;
        let (mut action, execution_arn) = match found(decide(&occurrence, &look.executions)) {
            Ok(found) => found,
            Err(request) => match self.router.executions.start(&request).await {
                Ok(execution_arn) => (Action::Started, execution_arn),
                // Another router may have won, or the start was carried out and only its answer lost.
                Err(refused) => {
                    look.executions = self.router.executions.list().await?;
                    found(decide(&occurrence, &look.executions)).map_err(|_| refused)?
                }
            },
        };
        if action == Action::Started {
            // The status event may be late or lost: engage at once. What fails here is set again by what follows.
            let execution_id = last_segment(&execution_arn);
            let engaged = Wanted::Engaged { execution_id };
            self.router.interlock.set(&look.guards, engaged, &mut self.written).await;
            self.hint = Some(Hint { execution_arn: execution_arn.clone(), active: true });
            look = self.look().await?;
        }
        let (executions, report) = self.settle(look).await?;
        if action == Action::Started {
            // With a token that it has seen before, SageMaker gives the execution which that token started.
            let name = display_name(&occurrence);
            let anothers = executions
                .iter()
                .find(|e| e.arn == execution_arn && e.display_name.as_ref().is_some_and(|n| *n != name));
            match anothers {
                None => {}
                Some(running) if running.active => action = Action::AlreadyRunning,
                Some(_) => return Err(Error::NotServed { execution_arn }),
            }
        }
        Ok(Outcome {
            event: occurrence.trigger.kind(),
            key: Some(occurrence.key),
            action,
            reason: None,
            execution_arn: Some(execution_arn),
            interlock: Some(report),
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

/// The execution that serves an occurrence already, or else the request that starts one.
fn found(decision: Decision) -> Result<(Action, String), StartRequest> {
    match decision {
        Decision::Start(request) => Err(request),
        Decision::Duplicate(execution_arn) => Ok((Action::Duplicate, execution_arn)),
        Decision::AlreadyRunning(execution_arn) => Ok((Action::AlreadyRunning, execution_arn)),
    }
}

impl Outcome {
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
fn chain(error: &dyn StdError) -> String {
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
            Error::Guards(_) => "InterlockError",
            Error::Unsettled => "Unsettled",
        };
        Self { error_type: error_type.to_owned(), error_message: chain(&error) }
    }
}

/// How long a call may take, so that one that hangs cannot eat the invocation: 2 seconds to connect, 5 an attempt, 20 with
/// retries.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(20))
        .build()
}
