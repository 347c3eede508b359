//! What may arrive: the wire's shapes in, one [`Event`] out.
//!
//! Payloads are read tolerantly, as AWS adds to them without notice: only the fields that are used are looked at. What is used
//! and missing is an error that names the field's path. Shapes:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html> (alarms),
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html>,
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html> (jobs).

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::executions::Status;

/// What the router was told, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something happened for which the model is retrained.
    Trigger(Occurrence),
    /// The heartbeat: look, and put right what is not.
    Reconcile,
    /// An execution of our pipeline changed its status, or so it is said: look.
    ExecutionStatus(Hint),
    /// An action of a CodePipeline waits for a retraining.
    Job(Job),
    /// A known kind of event that asks for nothing.
    Ignored {
        /// What kind of event it is.
        kind: Kind,
        /// Why it asks for nothing.
        reason: String,
    },
}

/// The kinds of event, in the words of the router's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A CloudWatch alarm changed its state, through EventBridge or its direct Lambda action.
    DriftAlarm,
    /// The CodePipeline's execution changed its state.
    CodePipeline,
    /// A scheduled rule ticked.
    Schedule,
    /// The heartbeat.
    Reconcile,
    /// A SageMaker pipeline execution changed its status.
    ExecutionStatus,
    /// A CodePipeline's Lambda-invoke action has a job for the function.
    CodePipelineJob,
}

/// Why an execution starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// New training code was deployed: it brings a new definition, so it always gets an execution of its own.
    Code,
    /// The retraining schedule: it asks only that a retraining runs.
    Schedule,
    /// A drift alarm: it asks only that a retraining runs.
    Drift,
    /// A CodePipeline's action: as new code, it always gets an execution of its own.
    Job,
}

/// The thing that happened, whatever number of messages report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Why an execution is asked for.
    pub trigger: Trigger,
    /// Names the occurrence, not the message: equal for every repeated delivery and every route.
    pub key: String,
}

/// What a status event says of an execution. Only a hint: SageMaker sends them late, twice or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The execution's ARN.
    pub execution_arn: String,
    /// The status that the event says it has.
    pub status: Status,
}

/// A job of a CodePipeline's Lambda-invoke action. The event that brings it carries credentials: nothing of it but the id is
/// ever logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The job's id, by which it is answered.
    pub id: String,
    /// What it asks for.
    pub request: JobRequest,
}

/// What a job asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobRequest {
    /// Start a retraining.
    Start,
    /// How far is the execution of this ARN, which an earlier call for the same action started?
    Continue {
        /// The execution's ARN, the router's own continuation token.
        execution_arn: String,
    },
    /// What can never be served, so that the action has to fail.
    Impossible {
        /// What is wrong with the action's configuration.
        reason: String,
    },
}

/// An event that cannot be understood. It fails the invocation, and after Lambda's retries it is in the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The payload is not a JSON object.
    #[error(
        "the event is {found}, not a JSON object: invoke the function with an EventBridge event, such as those in events/"
    )]
    NotAnObject {
        /// The kind of JSON value that arrived.
        found: &'static str,
    },
    /// No event that the router knows.
    #[error(
        "unknown event: source {source_name}, detail-type {detail_type}: remove the router from the targets of the rule that sends it"
    )]
    Unknown {
        /// The event's `source`, quoted, or `missing`.
        source_name: String,
        /// The event's `detail-type`, quoted, or `missing`.
        detail_type: String,
    },
    /// A used field is absent or null.
    #[error("the event has no {path}")]
    Missing {
        /// The field's path from the root of the event.
        path: &'static str,
    },
    /// A used field has another type or form than AWS documents.
    #[error("the event's {path} is not {expected}")]
    Malformed {
        /// The field's path from the root of the event.
        path: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The envelope that EventBridge puts around every event cannot be read.
    #[error("the event's {path} cannot be read")]
    Envelope {
        /// The field's path from the root of the event.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Trigger {
    /// The word that a display name begins with.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Schedule => "schedule",
            Self::Drift => "drift",
            Self::Job => "job",
        }
    }

    /// What the pipeline's parameter is told, if one is configured.
    #[must_use]
    pub fn parameter_value(self) -> &'static str {
        match self {
            Self::Code | Self::Job => "CodePipeline",
            Self::Schedule => "Schedule",
            Self::Drift => "Drift",
        }
    }

    /// The kind of event that it comes from.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Code => Kind::CodePipeline,
            Self::Schedule => Kind::Schedule,
            Self::Drift => Kind::DriftAlarm,
            Self::Job => Kind::CodePipelineJob,
        }
    }
}

impl Event {
    /// The event's kind, for the answer and the log.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Trigger(occurrence) => occurrence.trigger.kind(),
            Self::Reconcile => Kind::Reconcile,
            Self::ExecutionStatus(_) => Kind::ExecutionStatus,
            Self::Job(_) => Kind::CodePipelineJob,
            Self::Ignored { kind, .. } => *kind,
        }
    }

    /// The occurrence's key, where the event is a trigger.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Trigger(occurrence) => Some(&occurrence.key),
            Self::Job(job) => Some(&job.id),
            Self::Reconcile | Self::ExecutionStatus(_) | Self::Ignored { .. } => None,
        }
    }

    /// Reads an event.
    ///
    /// # Errors
    /// [`EventError`] where the event is none that the router knows, or lacks a field that is used.
    pub fn parse(payload: Value, config: &Config) -> Result<Self, EventError> {
        let fields = match payload {
            Value::Object(fields) => fields,
            other => return Err(EventError::NotAnObject { found: json_type(&other) }),
        };
        if let Some(alarm) = fields.get("alarmData") {
            return read_alarm(alarm, &ALARM_ACTION);
        }
        if let Some(job) = fields.get("CodePipeline.job") {
            return read_job(job, config);
        }
        let word = |name| fields.get(name).and_then(Value::as_str);
        match (word("source"), word("detail-type")) {
            (Some("aws.cloudwatch"), Some("CloudWatch Alarm State Change")) => {
                read_alarm(&envelope(fields, &[])?.detail, &ALARM_EVENT)
            }
            (Some("aws.codepipeline"), Some("CodePipeline Pipeline Execution State Change")) => {
                read_code_pipeline(&envelope(fields, &[])?.detail, config)
            }
            (Some("aws.events"), Some("Scheduled Event")) => {
                read_scheduled(&envelope(fields, &["resources", "time"])?, config)
            }
            (Some("aws.sagemaker"), Some("SageMaker Model Building Pipeline Execution Status Change")) => {
                read_execution_status(&envelope(fields, &[])?.detail, config)
            }
            (source, detail_type) => {
                Err(EventError::Unknown { source_name: shown(source), detail_type: shown(detail_type) })
            }
        }
    }
}

/// EventBridge's envelope, of which nothing but the detail and the `used` fields is read.
fn envelope(mut fields: Map<String, Value>, used: &[&str]) -> Result<EventBridgeEvent, EventError> {
    fields.retain(|name, _| {
        ["source", "detail-type", "detail"].contains(&name.as_str()) || used.contains(&name.as_str())
    });
    // A missing detail and a null one are the same fault: the first used field below it is missing.
    fields.entry("detail").or_insert(Value::Null);
    serde_path_to_error::deserialize(Value::Object(fields))
        .map_err(|error| EventError::Envelope { path: error.path().to_string(), source: error.into_inner() })
}

/// Where one of the two routes of an alarm keeps the fields that are used.
struct AlarmPaths {
    name: &'static str,
    value: &'static str,
    timestamp: &'static str,
}

const ALARM_EVENT: AlarmPaths =
    AlarmPaths { name: "detail.alarmName", value: "detail.state.value", timestamp: "detail.state.timestamp" };

const ALARM_ACTION: AlarmPaths =
    AlarmPaths { name: "alarmData.alarmName", value: "alarmData.state.value", timestamp: "alarmData.state.timestamp" };

/// Both routes make the same key, so that an alarm that reaches the router on both counts once.
fn read_alarm(alarm: &Value, paths: &AlarmPaths) -> Result<Event, EventError> {
    let name = text(alarm, paths.name)?;
    let value = text(alarm, paths.value)?;
    let timestamp = text(alarm, paths.timestamp)?;
    // A muted or suppressed alarm still changes its state; somebody has said that it is not to be acted upon.
    let suppressor = &alarm["state"]["actionsSuppressedBy"];
    let reason = if value != "ALARM" {
        format!("alarm {name} is {value}, not ALARM")
    } else if !suppressor.is_null() {
        format!("alarm {name} is suppressed by {suppressor}")
    } else if !alarm["muteDetail"].is_null() {
        format!("alarm {name} is muted")
    } else {
        return Ok(Event::Trigger(Occurrence { trigger: Trigger::Drift, key: format!("{name} {timestamp}") }));
    };
    Ok(Event::Ignored { kind: Kind::DriftAlarm, reason })
}

fn read_code_pipeline(detail: &Value, config: &Config) -> Result<Event, EventError> {
    let pipeline = text(detail, "detail.pipeline")?;
    let state = text(detail, "detail.state")?;
    let execution = text(detail, "detail.execution-id")?;
    let reason = if pipeline != config.code_pipeline {
        format!("CodePipeline {pipeline} is not {}", config.code_pipeline)
    } else if state != "SUCCEEDED" {
        format!("CodePipeline execution {execution} is {state}, not SUCCEEDED")
    } else {
        return Ok(Event::Trigger(Occurrence { trigger: Trigger::Code, key: execution.to_owned() }));
    };
    Ok(Event::Ignored { kind: Kind::CodePipeline, reason })
}

fn read_scheduled(event: &EventBridgeEvent, config: &Config) -> Result<Event, EventError> {
    let resources = event.resources.as_ref().ok_or(EventError::Missing { path: "resources" })?;
    let fired = |rule: &&String| resources.iter().any(|arn| last_segment(arn) == rule.as_str());
    if config.reconcile_rule.as_ref().is_some_and(|rule| fired(&rule)) {
        Ok(Event::Reconcile)
    } else if let Some(rule) = config.schedule_rule.as_ref().filter(fired) {
        let time = event.time.ok_or(EventError::Missing { path: "time" })?;
        Ok(Event::Trigger(Occurrence {
            trigger: Trigger::Schedule,
            key: format!("{rule} {}", time.format("%Y-%m-%dT%H:%M:%SZ")),
        }))
    } else {
        Ok(Event::Ignored {
            kind: Kind::Schedule,
            reason: format!(
                "{resources:?} names neither SCHEDULE_RULE_NAME ({}) nor RECONCILE_RULE_NAME ({})",
                config.schedule_rule.as_deref().unwrap_or("unset"),
                config.reconcile_rule.as_deref().unwrap_or("unset"),
            ),
        })
    }
}

fn read_execution_status(detail: &Value, config: &Config) -> Result<Event, EventError> {
    let pipeline = last_segment(text(detail, "detail.pipelineArn")?);
    let execution_arn = text(detail, "detail.pipelineExecutionArn")?;
    let status = text(detail, "detail.currentPipelineExecutionStatus")?;
    // SageMaker lower-cases the names in its ARNs.
    if !pipeline.eq_ignore_ascii_case(&config.sagemaker_pipeline) {
        return Ok(Event::Ignored {
            kind: Kind::ExecutionStatus,
            reason: format!("SageMaker pipeline {pipeline} is not {}", config.sagemaker_pipeline),
        });
    }
    if pipeline_of(execution_arn).is_none() {
        return Err(EventError::Malformed {
            path: "detail.pipelineExecutionArn",
            expected: "the ARN of a pipeline execution",
        });
    }
    Ok(Event::ExecutionStatus(Hint { execution_arn: execution_arn.to_owned(), status: Status::from(status) }))
}

fn read_job(job: &Value, config: &Config) -> Result<Event, EventError> {
    let id = string(&job["id"], "CodePipeline.job.id")?.to_owned();
    let data = &job["data"];
    let request = match &data["continuationToken"] {
        Value::Null => read_user_parameters(&data["actionConfiguration"]["configuration"]["UserParameters"], config),
        Value::String(token)
            if pipeline_of(token).is_some_and(|p| p.eq_ignore_ascii_case(&config.sagemaker_pipeline)) =>
        {
            Ok(JobRequest::Continue { execution_arn: token.clone() })
        }
        _ => Err(format!(
            "the continuation token names no execution of SageMaker pipeline {}",
            config.sagemaker_pipeline
        )),
    };
    let request = request.unwrap_or_else(|reason| JobRequest::Impossible { reason });
    Ok(Event::Job(Job { id, request }))
}

/// What an action may be configured with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserParameters {
    #[serde(rename = "PipelineName")]
    pipeline_name: Option<String>,
}

/// Reads the action's `UserParameters`. What they say is not repeated: it is part of the event.
fn read_user_parameters(parameters: &Value, config: &Config) -> Result<JobRequest, String> {
    let text = match parameters {
        Value::Null => return Ok(JobRequest::Start),
        Value::String(text) if text.is_empty() => return Ok(JobRequest::Start),
        Value::String(text) => text,
        _ => return Err("the action's UserParameters are not a string".to_owned()),
    };
    let ours = &config.sagemaker_pipeline;
    let parameters: UserParameters = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!(
            "the action's UserParameters are not as they should be (line {line}, column {column}): leave them out, or write \
             {{\"PipelineName\": \"{ours}\"}}"
        )
    })?;
    match parameters.pipeline_name {
        Some(name) if !name.eq_ignore_ascii_case(ours) => Err(format!(
            "the action's UserParameters name another SageMaker pipeline than {ours}, the one that this function retrains"
        )),
        _ => Ok(JobRequest::Start),
    }
}

/// The name of the pipeline in an execution's ARN, or `None` where the ARN is no execution's.
fn pipeline_of(execution_arn: &str) -> Option<&str> {
    let (pipeline, id) = execution_arn.strip_prefix("arn:")?.split_once("/execution/")?;
    (!id.is_empty()).then(|| last_segment(pipeline))
}

/// The name at the end of an ARN.
pub(crate) fn last_segment(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The text at `path`, whose first word names `root`.
fn text<'v>(root: &'v Value, path: &'static str) -> Result<&'v str, EventError> {
    string(path.split('.').skip(1).fold(root, |value, word| &value[word]), path)
}

/// The text of the field that is at `path`.
fn string<'v>(value: &'v Value, path: &'static str) -> Result<&'v str, EventError> {
    match value {
        Value::String(text) if text.is_empty() => Err(EventError::Missing { path }),
        Value::String(text) => Ok(text),
        Value::Null => Err(EventError::Missing { path }),
        _ => Err(EventError::Malformed { path, expected: "a string" }),
    }
}

/// A word of an unknown event for a message: quoted, and cut, as a stranger wrote it.
fn shown(word: Option<&str>) -> String {
    word.map_or("missing".to_owned(), |word| format!("{:?}", word.chars().take(100).collect::<String>()))
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
