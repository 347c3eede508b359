//! Reads a payload: private wire shapes in, one [`Event`] out. It states what the event contains; [`policy`](crate::policy) decides
//! what it means.
//!
//! AWS adds fields without notice, so only the fields that are used are read. A used field that is missing is an error that names
//! the field's path. Shapes:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html> (alarms),
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html>,
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html> (EventBridge Scheduler's default
//! payload is the same, with `detail` as a string),
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html> (jobs). The router's own requests
//! have the source `drift-router`; `docs/operations.md` describes them.

use std::time::SystemTime;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::model::{
    AddedParameters, AlarmChange, DeploymentChange, ExecutionArn, ExecutionStatus, Job, Place, RetrainRequest,
    StatusHint, Tick, TickSender, UserParameters, last_segment,
};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A CloudWatch alarm, through EventBridge or by its own Lambda action.
    Alarm(AlarmChange),
    /// An execution of a CodePipeline.
    Deployment(DeploymentChange),
    /// A rule with a schedule, or a schedule of EventBridge Scheduler.
    Tick(Tick),
    /// An execution of the SageMaker pipeline of this name.
    ExecutionStatus { pipeline: String, hint: StatusHint },
    /// A CodePipeline Lambda action.
    Job(Job),
    /// Somebody asks what the router sees, and what it does next.
    Status,
    /// Somebody asks for a retraining.
    Retrain(RetrainRequest),
    /// An event of a known source, but of another type. People list several types in one rule.
    Other { source: String, detail_type: String },
}

/// An event, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) event: Event,
    pub(crate) place: Place,
}

/// An event that cannot be read. It fails the invocation. After Lambda's retries, the event is in the dead-letter queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    #[error(
        "the event is {found}, not a JSON object: invoke the function with an EventBridge event, such as those in events/"
    )]
    NotAnObject { found: &'static str },
    #[error(
        "unknown event: source {source_name}, detail-type {detail_type}: remove the function from the targets of the rule that sends it"
    )]
    Unknown {
        /// Quoted, or `missing`.
        source_name: String,
        /// Quoted, or `missing`.
        detail_type: String,
    },
    #[error("there is no request of type {detail_type}: give the detail-type Status or Retrain")]
    UnknownRequest {
        /// Quoted, or `missing`.
        detail_type: String,
    },
    #[error("the event's detail has {field}, which no request has: give id, reason, parameters and force")]
    UnknownField {
        /// Quoted.
        field: String,
    },
    #[error("this is not an event itself: {wrapper}. {remedy}")]
    Wrapped { wrapper: &'static str, remedy: &'static str },
    #[error("the event has no {path}")]
    Missing { path: &'static str },
    #[error("the event's {path} is not {expected}")]
    Malformed { path: &'static str, expected: &'static str },
    #[error("the event's {path} cannot be read")]
    Envelope { path: String, source: serde_json::Error },
}

/// The source of requests to the router itself.
const OUR_SOURCE: &str = "drift-router";

/// The sources of AWS's events that are handled.
const SOURCES: [&str; 5] = ["aws.cloudwatch", "aws.codepipeline", "aws.events", "aws.sagemaker", "aws.scheduler"];

impl Event {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`EventError`] if the event is of no known source, is wrapped in something else, or lacks a field that is used.
    pub(crate) fn parse(payload: Value) -> Result<Received, EventError> {
        let is_widget = payload.get(WIDGET_CONTEXT).is_some();
        if let Some(wrapped) = wrapper(&payload).filter(|_| !is_widget) {
            return Err(wrapped);
        }
        let fields = match payload {
            Value::Object(fields) => fields,
            other => return Err(EventError::NotAnObject { found: json_type(&other) }),
        };
        let account = if fields.contains_key("alarmData") { "accountId" } else { "account" };
        let text = |name| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let place = Place { account: text(account), region: text("region") };
        Ok(Received { event: Self::read(fields)?, place })
    }

    fn read(fields: Map<String, Value>) -> Result<Self, EventError> {
        if let Some(alarm) = fields.get("alarmData") {
            return read_alarm(alarm, &ALARM_ACTION).map(Self::Alarm);
        }
        if let Some(job) = fields.get("CodePipeline.job") {
            return read_job(job).map(Self::Job);
        }
        let word = |name| fields.get(name).and_then(Value::as_str);
        match (word("source"), word("detail-type")) {
            (Some("aws.cloudwatch"), Some("CloudWatch Alarm State Change")) => {
                read_alarm(&envelope(fields, &[])?.detail, &ALARM_EVENT).map(Self::Alarm)
            }
            (Some("aws.codepipeline"), Some("CodePipeline Pipeline Execution State Change")) => {
                read_deployment(envelope(fields, &["time"])?).map(Self::Deployment)
            }
            (Some("aws.events"), Some("Scheduled Event")) => {
                read_tick(TickSender::Rule, envelope(fields, &["resources", "time"])?).map(Self::Tick)
            }
            (Some("aws.scheduler"), Some("Scheduled Event")) => {
                read_tick(TickSender::Schedule, envelope(fields, &["resources", "time"])?).map(Self::Tick)
            }
            (Some("aws.sagemaker"), Some("SageMaker Model Building Pipeline Execution Status Change")) => {
                read_execution_status(&envelope(fields, &[])?.detail)
            }
            (Some(OUR_SOURCE), Some("Status")) => Ok(Self::Status),
            (Some(OUR_SOURCE), Some("Retrain")) => {
                read_retrain_request(fields.get("detail").unwrap_or(&Value::Null)).map(Self::Retrain)
            }
            (Some(OUR_SOURCE), detail_type) => Err(EventError::UnknownRequest { detail_type: quoted(detail_type) }),
            // The widget's own parameters.
            _ if fields.contains_key(WIDGET_CONTEXT) => Ok(Self::Status),
            (Some(source), Some(detail_type)) if SOURCES.contains(&source) => {
                Ok(Self::Other { source: source.to_owned(), detail_type: cut(detail_type) })
            }
            (None, _) if !fields.contains_key("source") => Err(EventError::Wrapped {
                wrapper: "it has no source, as when the target of a rule has a constant input, an input transformer or an \
                          InputPath",
                remedy: "Remove them from the target: the function needs the whole event",
            }),
            (source, detail_type) => {
                Err(EventError::Unknown { source_name: quoted(source), detail_type: quoted(detail_type) })
            }
        }
    }
}

/// CloudWatch adds this field to every payload that it sends for a custom widget, also when somebody presses a button of it:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html>.
const WIDGET_CONTEXT: &str = "widgetContext";

/// How the dashboard that asks shows the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Widget {
    pub(crate) is_dark: bool,
    /// In pixels.
    pub(crate) width: u32,
    /// How far the viewer's time is ahead of UTC.
    pub(crate) minutes_ahead: i32,
}

/// A widget's width in pixels, if the payload has none.
const USUAL_WIDTH: u32 = 900;

impl Widget {
    /// `None` if the payload is not from a widget. What cannot be read is as usual: an answer is better than none.
    pub(crate) fn of(payload: &Value) -> Option<Self> {
        let context = payload.get(WIDGET_CONTEXT)?;
        let width = context["width"].as_f64().filter(|width| *width >= 1.0 && *width <= 10_000.0);
        Some(Self {
            is_dark: context["theme"] == "dark",
            width: width.map_or(USUAL_WIDTH, |width| width as u32),
            minutes_ahead: context["timezone"]["offsetISO"].as_str().and_then(minutes_ahead).unwrap_or(0),
        })
    }
}

/// The minutes of an offset such as `+02:00` or `-03:30`.
fn minutes_ahead(offset: &str) -> Option<i32> {
    let (sign, rest) = match offset.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours < 24 && minutes < 60).then(|| sign * (i32::from(hours) * 60 + i32::from(minutes)))
}

/// Whether CloudWatch asks for the description of the widget's parameters.
pub(crate) fn asks_for_description(payload: &Value) -> bool {
    payload["describe"] == true
}

/// Says what carries an event to the function in a form that is not the event, and what to do about it. Nothing is unwrapped: a
/// carrier has retries, filters and orders of its own, and most of these events arrive by a rule of the stack too.
fn wrapper(payload: &Value) -> Option<EventError> {
    let record = &payload["Records"][0];
    let is_object = |value: &Value, name: &str| value[name].is_object();
    let (wrapper, remedy) = if payload.is_array() {
        (
            "it is an array, as EventBridge Pipes and SQS send",
            "Send the events one by one, by a rule of EventBridge, as the stack does",
        )
    } else if is_object(record, "Sns") || payload["Type"] == "Notification" {
        (
            "it is a notification of SNS",
            "Remove the function's subscription to the topic: alarms reach the function by the stack's rule",
        )
    } else if record["body"].is_string() || payload["Messages"].is_array() {
        (
            "it is a message of SQS",
            "Remove the event source mapping. To send a dead letter again, invoke the function with the message's body",
        )
    } else if !payload["Records"].is_null() {
        ("it is a batch of records", "Remove the event source mapping or the notification that sends it")
    } else if !payload["requestPayload"].is_null() {
        ("it is Lambda's record of an invocation that failed", "Invoke the function with its requestPayload")
    } else if is_object(payload, "awslogs") {
        ("it is a batch of log lines", "Remove the log group's subscription filter")
    } else if is_object(payload, "requestContext") {
        (
            "it is a request of a function URL, API Gateway or a load balancer",
            "Invoke the function with the event itself, for example with `aws lambda invoke`",
        )
    } else {
        return None;
    };
    Some(EventError::Wrapped { wrapper, remedy })
}

/// EventBridge's envelope. Only the detail and the `used` fields are read.
fn envelope(mut fields: Map<String, Value>, used: &[&str]) -> Result<EventBridgeEvent, EventError> {
    fields.retain(|name, _| {
        ["source", "detail-type", "detail"].contains(&name.as_str()) || used.contains(&name.as_str())
    });
    // A missing detail and a null one are the same fault: the first used field below it is missing.
    fields.entry("detail").or_insert(Value::Null);
    serde_path_to_error::deserialize(Value::Object(fields))
        .map_err(|error| EventError::Envelope { path: error.path().to_string(), source: error.into_inner() })
}

/// The paths of the used fields. The two routes of an alarm differ only in these.
struct AlarmPaths {
    name: &'static str,
    value: &'static str,
    timestamp: &'static str,
}

const ALARM_EVENT: AlarmPaths =
    AlarmPaths { name: "detail.alarmName", value: "detail.state.value", timestamp: "detail.state.timestamp" };

const ALARM_ACTION: AlarmPaths =
    AlarmPaths { name: "alarmData.alarmName", value: "alarmData.state.value", timestamp: "alarmData.state.timestamp" };

fn read_alarm(alarm: &Value, paths: &AlarmPaths) -> Result<AlarmChange, EventError> {
    let suppressor = &alarm["state"]["actionsSuppressedBy"];
    Ok(AlarmChange {
        name: text(alarm, paths.name)?.to_owned(),
        state: text(alarm, paths.value)?.to_owned(),
        changed: alarm_time(text(alarm, paths.timestamp)?).ok_or(EventError::Malformed {
            path: paths.timestamp,
            expected: "a time such as 2021-07-28T07:02:04.149+0000",
        })?,
        suppressed_by: (!suppressor.is_null()).then(|| suppressor.to_string()),
        is_muted: !alarm["muteDetail"].is_null(),
        is_contributor: !alarm["alarmContributor"].is_null(),
    })
}

/// Reads an alarm's time: RFC 3339 in UTC, but the offset may have no colon (`+0000`).
fn alarm_time(text: &str) -> Option<SystemTime> {
    let local = ["+0000", "+00:00", "Z"].iter().find_map(|utc| text.strip_suffix(utc))?;
    humantime::parse_rfc3339(&format!("{local}Z")).ok()
}

fn read_deployment(event: EventBridgeEvent) -> Result<DeploymentChange, EventError> {
    let detail = &event.detail;
    Ok(DeploymentChange {
        pipeline: text(detail, "detail.pipeline")?.to_owned(),
        state: text(detail, "detail.state")?.to_owned(),
        execution_id: text(detail, "detail.execution-id")?.to_owned(),
        changed: event.time.map(SystemTime::from),
        trigger_type: detail["execution-trigger"]["trigger-type"].as_str().map(str::to_owned),
    })
}

fn read_tick(sender: TickSender, event: EventBridgeEvent) -> Result<Tick, EventError> {
    let resources = event.resources.ok_or(EventError::Missing { path: "resources" })?;
    Ok(Tick { sender, resources, time: event.time.map(SystemTime::from) })
}

fn read_execution_status(detail: &Value) -> Result<Event, EventError> {
    let arn = text(detail, "detail.pipelineExecutionArn")?;
    let status = ExecutionStatus::from(text(detail, "detail.currentPipelineExecutionStatus")?);
    let expected = "the ARN of a pipeline execution";
    let arn =
        ExecutionArn::parse(arn).ok_or(EventError::Malformed { path: "detail.pipelineExecutionArn", expected })?;
    let pipeline = match &detail["pipelineArn"] {
        Value::Null => arn.pipeline().to_owned(),
        Value::String(empty) if empty.is_empty() => arn.pipeline().to_owned(),
        pipeline => last_segment(string(pipeline, "detail.pipelineArn")?).to_owned(),
    };
    Ok(Event::ExecutionStatus { pipeline, hint: StatusHint { arn, status } })
}

fn read_job(job: &Value) -> Result<Job, EventError> {
    let id = string(&job["id"], "CodePipeline.job.id")?.to_owned();
    let data = &job["data"];
    let mut user_parameters = read_user_parameters(&data["actionConfiguration"]["configuration"]["UserParameters"]);
    let continuation_token = match &data["continuationToken"] {
        Value::Null => None,
        Value::String(token) => Some(token.clone()).filter(|token| !token.is_empty()),
        _ => {
            user_parameters = Err("the continuation token is not a string: run the action again".to_owned());
            None
        }
    };
    Ok(Job { id, continuation_token, user_parameters })
}

/// The `UserParameters` that an action may have, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserParametersText {
    #[serde(rename = "PipelineName")]
    pipeline_name: Option<String>,
    #[serde(rename = "Parameters", default)]
    parameters: AddedParameters,
}

/// Reads the action's `UserParameters`. Their text may be secret, so no message repeats it.
fn read_user_parameters(parameters: &Value) -> Result<UserParameters, String> {
    let text = match parameters {
        Value::Null => return Ok(UserParameters::default()),
        Value::String(text) if text.is_empty() => return Ok(UserParameters::default()),
        Value::String(text) => text,
        _ => return Err("the action's UserParameters are not a string".to_owned()),
    };
    match serde_json::from_str::<UserParametersText>(text) {
        Ok(UserParametersText { pipeline_name, parameters }) => Ok(UserParameters { pipeline_name, parameters }),
        Err(error) => {
            let (what, hint) = match error.classify() {
                Category::Data => ("not as expected", ""),
                Category::Syntax | Category::Eof | Category::Io => (
                    "not JSON",
                    ". A variable of CodePipeline whose value has a quote or a newline breaks them, such as a commit's message: \
                     use the commit's id",
                ),
            };
            Err(format!(
                "the action's UserParameters are {what} (line {}, column {}): leave them out, or write \
                 {{\"PipelineName\": \"NAME\", \"Parameters\": {{\"NAME\": \"text\"}}}}, both optional{hint}",
                error.line(),
                error.column()
            ))
        }
    }
}

/// The most characters of a request's id.
const LONGEST_ID: usize = 64;

/// Reads what a request asks for. A field that is misspelled must not change what is started, so every field has to be right. Its
/// parameters may be secret, so no message repeats a value.
fn read_retrain_request(detail: &Value) -> Result<RetrainRequest, EventError> {
    let malformed = |path, expected| EventError::Malformed { path, expected };
    let fields = match detail {
        Value::Null => return Err(EventError::Missing { path: "detail.id" }),
        Value::Object(fields) => fields,
        _ => return Err(malformed("detail", "an object, such as {\"id\": \"2026-11-26-new-labels\"}")),
    };
    let is_field = |name: &str| ["id", "reason", "parameters", "force"].contains(&name);
    if let Some(field) = fields.keys().find(|name| !is_field(name)) {
        return Err(EventError::UnknownField { field: quoted(Some(field)) });
    }
    let id = text(detail, "detail.id")?.to_owned();
    if id.chars().count() > LONGEST_ID {
        return Err(malformed("detail.id", "1 to 64 characters long"));
    }
    let reason = match &detail["reason"] {
        Value::Null => None,
        Value::String(reason) => Some(reason.clone()).filter(|reason| !reason.is_empty()),
        _ => return Err(malformed("detail.reason", "a string")),
    };
    let parameters = match &detail["parameters"] {
        Value::Null => AddedParameters::new(),
        parameters => AddedParameters::deserialize(parameters)
            .map_err(|_| malformed("detail.parameters", "an object whose values are strings"))?,
    };
    let is_forced = match &detail["force"] {
        Value::Null => false,
        Value::Bool(force) => *force,
        _ => return Err(malformed("detail.force", "true or false")),
    };
    Ok(RetrainRequest { id, reason, parameters, is_forced })
}

/// The text at `path`, whose first word names `root`.
fn text<'v>(root: &'v Value, path: &'static str) -> Result<&'v str, EventError> {
    string(path.split('.').skip(1).fold(root, |value, word| &value[word]), path)
}

/// The text of the field at `path`.
fn string<'v>(value: &'v Value, path: &'static str) -> Result<&'v str, EventError> {
    match value {
        Value::String(text) if text.is_empty() => Err(EventError::Missing { path }),
        Value::String(text) => Ok(text),
        Value::Null => Err(EventError::Missing { path }),
        _ => Err(EventError::Malformed { path, expected: "a string" }),
    }
}

/// A word of an unknown event, for a message. It is quoted and cut, as any sender may have written it.
fn quoted(word: Option<&str>) -> String {
    word.map_or("missing".to_owned(), |word| format!("{:?}", cut(word)))
}

fn cut(word: &str) -> String {
    word.chars().take(100).collect()
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
