//! One invocation: payload → event → flow → outcome. The only place that logs, writes metrics and turns errors into a `Diagnostic`.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;

use crate::aws::{Aws, Preconnect};
use crate::config::Config;
use crate::event::{Event, EventError, Received, Widget, asks_for_description};
use crate::flow::heartbeat::heartbeat;
use crate::flow::interlock::{drain, reconcile};
use crate::flow::retrain::{retrain, retrain_listed};
use crate::flow::status::status;
use crate::flow::{self, Fault, Invocation, chain, job};
use crate::metrics;
use crate::model::{FunctionArn, GuardRole, Mode};
use crate::outcome::status::Status;
use crate::outcome::{EventKind, GuardStates, Outcome};
use crate::page::{self, Notice, Page};
use crate::policy::DRAINED;
use crate::policy::trigger::{self, Relevance, TickNames};

/// The Lambda function: starts retrainings for events and holds the interlock. Built once a process. No invocation depends on an
/// earlier one.
pub struct Router {
    config: Config,
    aws: Aws,
    metrics: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What was done.
    Outcome(Outcome),
    /// What the router sees, and what it does next.
    Status(Box<Status>),
    /// The same as HTML, for a widget of a CloudWatch dashboard. Above it stands what was done, if the event did not ask for the status.
    Page(String),
    /// The parameters of the widget.
    Description {
        /// As Markdown.
        markdown: &'static str,
    },
}

/// What an invocation that nears its deadline leaves for its log line and its metrics.
const TIME_TO_REPORT: Duration = Duration::from_secs(2);

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Flow(#[from] flow::Error),
}

impl Router {
    /// Makes the clients from `sdk`, which holds Region, credentials, timeouts and clock. Writes an invocation's metrics to
    /// `metrics`, as one line of JSON. On Lambda this is standard output: CloudWatch reads the log from there.
    pub fn new(config: Config, sdk: &SdkConfig, metrics: impl Write + Send + 'static) -> Self {
        let aws = Aws::new(&config, sdk);
        Self { config, aws, metrics: Mutex::new(Box::new(metrics)) }
    }

    /// Opens the connections to AWS and makes no call. Waits a second at most.
    pub async fn preconnect(&self, preconnect: &Preconnect) {
        self.aws.preconnect(preconnect).await;
    }

    /// Handles one event. Logs one line, whether it succeeds or fails, and writes the metrics if there are any. A widget of a
    /// CloudWatch dashboard gets a page, also if the event fails.
    ///
    /// # Errors
    /// A [`Diagnostic`] with the error's type and message, if the event cannot be read or its flow fails. Lambda delivers the event
    /// again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Answer, Diagnostic> {
        let LambdaEvent { payload, context } = event;
        if asks_for_description(&payload) {
            tracing::info!(event = "describe", "event handled");
            return Ok(Answer::Description { markdown: page::DESCRIPTION });
        }
        let widget = Widget::of(&payload);
        let handled = self.handle_event(payload, &context).await;
        match (widget, handled) {
            (Some(widget), handled) => Ok(Answer::Page(self.page(&widget, handled, &context).await)),
            (None, Ok((_, Some(status)))) => Ok(Answer::Status(Box::new(status))),
            (None, Ok((outcome, None))) => Ok(Answer::Outcome(outcome)),
            (None, Err(diagnostic)) => Err(diagnostic),
        }
    }

    async fn handle_event(&self, payload: Value, context: &Context) -> Result<(Outcome, Option<Status>), Diagnostic> {
        let received = match Event::parse(payload) {
            Ok(received) => received,
            Err(error) => {
                let error = Error::from(error);
                tracing::error!(error = chain(&error), "event cannot be read");
                return Err(error.into());
            }
        };
        let (kind, key) = kind_and_key(&received.event);
        let mut outcome = Outcome::new(kind, key);
        outcome.dry_run = self.config.mode == Mode::DryRun;
        let result = self.before_deadline(context, self.dispatch(received, context, &mut outcome).boxed()).await;
        log(&outcome, result.as_ref().err());
        self.count(&outcome, &context.env_config.function_name);
        match result {
            Ok(status) => Ok((outcome, status)),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// The page for a widget. After an event that did not ask for the status, it is read too.
    async fn page(
        &self,
        widget: &Widget,
        handled: Result<(Outcome, Option<Status>), Diagnostic>,
        context: &Context,
    ) -> String {
        let (notice, status) = match handled {
            Ok((_, Some(status))) => (None, Some(status)),
            Ok((outcome, None)) => (Some(Notice::Done(outcome)), self.status(context).await),
            Err(diagnostic) => (Some(Notice::Failed(diagnostic.error_message)), self.status(context).await),
        };
        let function_arn = &context.invoked_function_arn;
        page::html(&Page { widget, config: &self.config, function_arn, status: status.as_ref(), notice })
    }

    /// The status, if there is time for it.
    async fn status(&self, context: &Context) -> Option<Status> {
        let invocation = self.invocation(context);
        let outcome = &mut Outcome::new(EventKind::Status, None);
        self.before_deadline(context, status(&invocation, outcome).map(Ok).boxed()).await.ok()
    }

    fn invocation(&self, context: &Context) -> Invocation<'_> {
        let function = FunctionArn::parse(&context.invoked_function_arn);
        Invocation { config: &self.config, aws: &self.aws, function }
    }

    /// Ends what is not done shortly before Lambda's deadline. The flow is boxed, as the SDK's futures are large and nest deeply.
    async fn before_deadline<T>(
        &self,
        context: &Context,
        flow: BoxFuture<'_, Result<T, flow::Error>>,
    ) -> Result<T, flow::Error> {
        match self.time_left(context) {
            Some(left) => tokio::time::timeout(left, flow).await.unwrap_or_else(|_| Err(Fault::Deadline.into())),
            None => flow.await,
        }
    }

    /// Carries out what the event asks for. Returns the status if the event asks for it.
    async fn dispatch(
        &self,
        received: Received,
        context: &Context,
        outcome: &mut Outcome,
    ) -> Result<Option<Status>, flow::Error> {
        let config = &self.config;
        let invocation = &self.invocation(context);
        let heartbeat_starts = config.heartbeat_starts();
        let home = invocation.function.as_ref().filter(|function| !function.is_of_emulator());
        let Received { event, place } = received;
        if !matches!(event, Event::Alarm(_))
            && let Some(reason) = trigger::foreign_place(&place, home)
        {
            outcome.ignore(reason);
            return Ok(None);
        }
        let relevance = match event {
            Event::Alarm(change) => {
                let is_of_home = trigger::is_of_home(&place, home);
                trigger::of_alarm(&change, &config.drift_alarms, heartbeat_starts, is_of_home)
            }
            Event::Deployment(change) => {
                trigger::of_deployment(&change, &config.deployment_trigger, heartbeat_starts, &config.parameters)
            }
            Event::Tick(tick) => {
                let names = TickNames {
                    schedule_rule: config.schedule_rule.as_deref(),
                    schedule: config.schedule.as_deref(),
                    heartbeat: config.heartbeat.as_deref(),
                };
                if trigger::is_heartbeat(&tick, names) {
                    outcome.event = EventKind::Heartbeat;
                    return heartbeat(invocation, outcome).await.map(|()| None);
                }
                trigger::of_tick(&tick, names, heartbeat_starts, self.aws.now())
            }
            Event::ExecutionStatus { pipeline, hint } => {
                match trigger::foreign_status(&pipeline, &config.sagemaker_pipeline) {
                    None => return reconcile(invocation, &hint, outcome).await.map(|()| None),
                    Some(reason) => Relevance::Ignored(reason),
                }
            }
            Event::Job(job) => return job::handle(invocation, job, outcome).await.map(|()| None),
            Event::Status => return Ok(Some(status(invocation, outcome).await)),
            Event::Retrain(request) => {
                let occurrence = trigger::of_request(request, &config.parameters, self.aws.now());
                Relevance::Relevant(occurrence.map_err(Fault::Request)?)
            }
            Event::Other { source, detail_type } => Relevance::Ignored(trigger::other_type(&source, &detail_type)),
        };
        if let Relevance::Relevant(occurrence) | Relevance::AskTheList(occurrence) = &relevance {
            outcome.key = Some(occurrence.key.clone());
        }
        match relevance {
            Relevance::Ignored(reason) => outcome.ignore(reason),
            _ if config.mode == Mode::Drain => {
                let has_enabled = drain(invocation, outcome).await?;
                outcome.ignore(DRAINED.to_owned());
                if has_enabled {
                    outcome.add_reason("the guards that this router disabled are enabled");
                }
            }
            Relevance::Relevant(occurrence) => retrain(invocation, &occurrence, outcome).await?,
            Relevance::AskTheList(occurrence) => retrain_listed(invocation, occurrence, outcome).await?,
        }
        Ok(None)
    }

    /// The time until shortly before Lambda's deadline, after which Lambda would end the invocation without a line in the log. `None`
    /// if the deadline has passed already: emulators send one of 1970.
    fn time_left(&self, context: &Context) -> Option<Duration> {
        let deadline = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(context.deadline))?;
        let left = deadline.duration_since(self.aws.now()).ok()?;
        Some(left.saturating_sub(TIME_TO_REPORT))
    }

    /// Writes the invocation's metrics. A metric that cannot be written does not fail the event.
    fn count(&self, outcome: &Outcome, function_name: &str) {
        let now = self.aws.now();
        let Some(line) = metrics::line(outcome, function_name, now) else { return };
        let written = self.metrics.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        if let Err(error) = written {
            tracing::warn!(error = %error, "the metrics could not be written");
        }
    }
}

/// The event's kind, and the key that is known before a decision is made.
fn kind_and_key(event: &Event) -> (EventKind, Option<&str>) {
    match event {
        Event::Alarm(_) => (EventKind::DriftAlarm, None),
        Event::Deployment(_) => (EventKind::CodePipeline, None),
        Event::Tick(_) => (EventKind::Schedule, None),
        Event::ExecutionStatus { .. } => (EventKind::ExecutionStatus, None),
        Event::Job(job) => (EventKind::CodePipelineJob, Some(&job.id)),
        Event::Status => (EventKind::Status, None),
        Event::Retrain(request) => (EventKind::Retrain, Some(&request.id)),
        Event::Other { .. } => (EventKind::Other, None),
    }
}

/// Logs one line: the outcome's fields, the guards by role, and the error if there is one. Before it come the outcome's warnings, and one
/// for a dry run that finds guards disabled by this router.
fn log(outcome: &Outcome, error: Option<&flow::Error>) {
    let guard = |role| outcome.interlock.as_ref().and_then(|guards| guards.state(role)).map(word);
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                event = word(&outcome.event),
                key = outcome.key,
                action = outcome.action.as_ref().map(word),
                reason = outcome.reason,
                dryRun = outcome.dry_run.then_some(true),
                executionArn = outcome.execution_arn,
                stage = guard(GuardRole::Stage),
                scheduleRule = guard(GuardRole::ScheduleRule),
                driftRule = guard(GuardRole::DriftRule),
                error = error.map(|error| chain(error)),
                $message
            )
        };
    }
    for warning in &outcome.warnings {
        tracing::warn!("{warning}");
    }
    if outcome.dry_run && outcome.interlock.as_ref().is_some_and(GuardStates::is_engaged) {
        tracing::warn!(
            "MODE is dry-run, but guards that this router disabled earlier are still disabled: set MODE to drain first"
        );
    }
    match error {
        None => line!(info, "event handled"),
        Some(_) => line!(error, "event failed"),
    }
}

/// A value as the answer contains it: one word, or `heldBy` and a name.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(" "),
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let error_type = match &error {
            Error::Event(_) => "EventError",
            Error::Flow(error) => error.kind(),
        };
        Self { error_type: error_type.to_owned(), error_message: chain(&error) }
    }
}
