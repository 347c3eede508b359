//! SageMaker's pipelines: executions, idempotency tokens, lists that lag, status events.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html> and its neighbours.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::shape::{
    ApiError, IDEMPOTENCY_TOKEN, Input, PIPELINE_EXECUTION_ARN, PIPELINE_EXECUTION_NAME, PIPELINE_NAME_OR_ARN,
};
use crate::world::{Emitted, Place, Time, seconds, timestamp};

/// One run of the pipeline.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its ARN, in lower case as SageMaker writes it.
    pub arn: String,
    /// The name that it was started with.
    pub display_name: Option<String>,
    /// The parameters that it was started with.
    pub parameters: Value,
    /// When it was created.
    pub created: Time,
    /// Every status it has had, and since when; the last one is the present one.
    history: Vec<(Time, String)>,
}

impl Execution {
    /// Its present `PipelineExecutionStatus`.
    #[must_use]
    pub fn status(&self) -> &str {
        self.status_at(Time::MAX).unwrap_or_default()
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.status(), "Executing" | "Stopping")
    }

    /// Whether it has or had this status.
    #[must_use]
    pub fn has_been(&self, status: &str) -> bool {
        self.history.iter().any(|(_, past)| past == status)
    }

    /// Since when it runs; `None` while it does not.
    #[must_use]
    pub fn active_since(&self) -> Option<Time> {
        let active = |(_, status): &&(Time, String)| matches!(status.as_str(), "Executing" | "Stopping");
        self.history.iter().rev().take_while(active).last().map(|(since, _)| *since)
    }

    /// When its status last changed.
    #[must_use]
    pub fn changed(&self) -> Time {
        self.history.last().map_or(self.created, |(since, _)| *since)
    }

    /// Its status at that time; `None` before it was created.
    fn status_at(&self, time: Time) -> Option<&str> {
        let past = self.history.iter().rev().find(|(since, _)| *since <= time);
        past.map(|(_, status)| status.as_str())
    }
}

/// What a token that was used before does together with other parameters, which AWS does not document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusedToken {
    /// The start is refused.
    Refused,
    /// The execution that the token started is given again.
    SameExecution,
}

/// The service, with one pipeline.
#[derive(Debug)]
pub struct SageMaker {
    place: Place,
    pipeline: String,
    /// The pipeline's executions, oldest first.
    pub executions: Vec<Execution>,
    /// The parameters that the pipeline's definition has.
    pub parameters: Vec<String>,
    /// How far lists lag behind.
    pub list_lag: Duration,
    /// How far descriptions lag behind.
    pub describe_lag: Duration,
    /// What a reused token does.
    pub reused_token: ReusedToken,
    /// By token: the request it came with, and the execution that it started.
    tokens: BTreeMap<String, (Value, String)>,
    /// Status events that EventBridge has not taken yet.
    pub(crate) events: Vec<Emitted>,
}

impl SageMaker {
    pub(crate) fn new(place: Place, pipeline: &str) -> Self {
        Self {
            place,
            pipeline: pipeline.to_owned(),
            executions: Vec::new(),
            parameters: Vec::new(),
            list_lag: Duration::ZERO,
            describe_lag: Duration::ZERO,
            reused_token: ReusedToken::Refused,
            tokens: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn call(&mut self, operation: &str, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        match operation {
            "StartPipelineExecution" => self.start_pipeline_execution(input, now),
            "ListPipelineExecutions" => self.list_pipeline_executions(input, now),
            "DescribePipelineExecution" => self.describe_pipeline_execution(input, now),
            _ => Err(ApiError::refused("UnknownOperationException", operation)),
        }
    }

    /// The ARN that a request is about, for IAM.
    pub(crate) fn resource(&self, input: Input<'_>) -> String {
        let execution = input.0["PipelineExecutionArn"].as_str();
        let pipeline = input.0["PipelineName"].as_str().unwrap_or_default().to_lowercase();
        execution.map_or_else(|| self.place.arn("sagemaker", &format!("pipeline/{pipeline}")), str::to_owned)
    }

    /// The pipeline's ARN: SageMaker lower-cases the name in it.
    #[must_use]
    pub fn pipeline_arn(&self) -> String {
        self.place.arn("sagemaker", &format!("pipeline/{}", self.pipeline.to_lowercase()))
    }

    /// Starts an execution, as a person or another program does, without a token.
    pub fn start(&mut self, display_name: Option<&str>, now: Time) -> String {
        let arn = format!("{}/execution/{}", self.pipeline_arn(), execution_id(self.executions.len()));
        self.add(arn.clone(), display_name, Value::Null, now);
        self.emit(&arn, None, now);
        arn
    }

    /// Gives an execution another status: it stops, ends, or is retried. Does nothing where there is no such execution or it has
    /// that status already.
    pub fn set_status(&mut self, arn: &str, status: &str, now: Time) {
        if let Some(previous) = self.change(arn, status, now) {
            self.emit(arn, Some(&previous), now);
        }
    }

    /// Makes it true, without another event, that the execution of this ARN has this status.
    pub fn make_true(&mut self, arn: &str, status: &str, now: Time) {
        if self.executions.iter().all(|e| e.arn != arn) {
            self.add(arn.to_owned(), None, Value::Null, now);
        }
        self.change(arn, status, now);
    }

    fn change(&mut self, arn: &str, status: &str, now: Time) -> Option<String> {
        let execution = self.executions.iter_mut().find(|e| e.arn == arn)?;
        let previous = execution.status().to_owned();
        if previous == status {
            return None;
        }
        execution.history.push((now, status.to_owned()));
        Some(previous)
    }

    fn add(&mut self, arn: String, display_name: Option<&str>, parameters: Value, now: Time) {
        self.executions.push(Execution {
            arn,
            display_name: display_name.map(str::to_owned),
            parameters,
            created: now,
            history: vec![(now, "Executing".to_owned())],
        });
    }

    fn emit(&mut self, arn: &str, previous: Option<&str>, now: Time) {
        let Some(execution) = self.executions.iter().find(|e| e.arn == arn) else {
            return;
        };
        let mut detail = json!({
            "pipelineArn": self.pipeline_arn(),
            "pipelineExecutionArn": arn,
            "currentPipelineExecutionStatus": execution.status(),
            "executionStartTime": timestamp(execution.created),
        });
        if let Some(previous) = previous {
            detail["previousPipelineExecutionStatus"] = previous.into();
        }
        if let Some(display_name) = &execution.display_name {
            detail["pipelineExecutionDisplayName"] = display_name.as_str().into();
        }
        if !execution.is_active() {
            detail["executionEndTime"] = timestamp(now).into();
        }
        self.events.push(Emitted {
            source: "aws.sagemaker",
            detail_type: "SageMaker Model Building Pipeline Execution Status Change",
            resources: vec![self.pipeline_arn(), arn.to_owned()],
            detail,
        });
    }

    fn check_pipeline(&self, input: Input<'_>) -> Result<(), ApiError> {
        let name = input.required("PipelineName", &PIPELINE_NAME_OR_ARN)?;
        let known = name.eq_ignore_ascii_case(&self.pipeline) || name == self.pipeline_arn();
        if known {
            Ok(())
        } else {
            let arn = self.place.arn("sagemaker", &format!("pipeline/{}", name.to_lowercase()));
            Err(ApiError::refused("ResourceNotFound", format!("Pipeline '{arn}' does not exist.")))
        }
    }

    fn start_pipeline_execution(&mut self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let token = input.required("ClientRequestToken", &IDEMPOTENCY_TOKEN)?.to_owned();
        let display_name = input.optional("PipelineExecutionDisplayName", &PIPELINE_EXECUTION_NAME)?;
        self.check_pipeline(input)?;
        let parameters = &input.0["PipelineParameters"];
        for parameter in parameters.as_array().into_iter().flatten() {
            let name = parameter["Name"].as_str().unwrap_or_default();
            if !self.parameters.iter().any(|known| known == name) {
                let message = format!("Pipeline parameter [{name}] is not defined in the pipeline.");
                return Err(ApiError::refused("ValidationException", message));
            }
        }
        if let Some((request, arn)) = self.tokens.get(&token) {
            return if request == input.0 || self.reused_token == ReusedToken::SameExecution {
                Ok(json!({ "PipelineExecutionArn": arn }))
            } else {
                Err(ApiError::refused(
                    "ConflictException",
                    format!("The token {token} was used with other parameters."),
                ))
            };
        }
        let arn = self.start(display_name, now);
        if let Some(execution) = self.executions.last_mut() {
            execution.parameters = parameters.clone();
        }
        self.tokens.insert(token, (input.0.clone(), arn.clone()));
        Ok(json!({ "PipelineExecutionArn": arn }))
    }

    fn list_pipeline_executions(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let sort_by = input.one_of("SortBy", &["CreationTime", "PipelineExecutionArn"])?;
        let order = input.one_of("SortOrder", &["Ascending", "Descending"])?;
        let page = input.integer("MaxResults", 1, 100)?.unwrap_or(10);
        self.check_pipeline(input)?;
        let seen = now.saturating_sub(self.list_lag);
        let mut executions: Vec<&Execution> = self.executions.iter().filter(|e| e.created <= seen).collect();
        if sort_by == Some("PipelineExecutionArn") {
            executions.sort_by_key(|e| &e.arn);
        }
        if order != Some("Ascending") {
            executions.reverse();
        }
        let start = input.0["NextToken"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
        let end = executions.len().min(start + usize::try_from(page).unwrap_or(usize::MAX));
        let summaries: Vec<Value> = executions
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .map(|e| {
                json!({
                    "PipelineExecutionArn": e.arn,
                    "PipelineExecutionStatus": e.status_at(seen),
                    "PipelineExecutionDisplayName": e.display_name,
                    "StartTime": seconds(e.created),
                })
            })
            .collect();
        let mut answer = json!({ "PipelineExecutionSummaries": summaries });
        if end < executions.len() {
            answer["NextToken"] = end.to_string().into();
        }
        Ok(answer)
    }

    fn describe_pipeline_execution(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let arn = input.required("PipelineExecutionArn", &PIPELINE_EXECUTION_ARN)?;
        let seen = now.saturating_sub(self.describe_lag);
        let execution = self.executions.iter().find(|e| e.arn == arn && e.created <= seen);
        let Some(execution) = execution else {
            let message = format!("Pipeline execution '{arn}' does not exist.");
            return Err(ApiError::refused("ResourceNotFound", message));
        };
        let status = execution.status_at(seen);
        let reason = (status == Some("Failed")).then_some("Step failure: One or multiple steps failed.");
        Ok(json!({
            "FailureReason": reason,
            "PipelineArn": self.pipeline_arn(),
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionStatus": status,
            "PipelineExecutionDisplayName": execution.display_name,
            "CreationTime": seconds(execution.created),
            "LastModifiedTime": seconds(execution.changed()),
        }))
    }
}

/// The id of the execution that is started after `before` others: 12 lower-case letters and digits, as SageMaker makes them,
/// but the same in every run, so that sample events can name them.
#[must_use]
pub fn execution_id(before: usize) -> String {
    let mut mixed = (before as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    let mut id = String::with_capacity(12);
    for _ in 0..12 {
        id.push(char::from_digit((mixed % 36) as u32, 36).unwrap_or('0'));
        mixed /= 36;
    }
    id
}
