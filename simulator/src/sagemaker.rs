//! SageMaker's pipelines: executions, idempotency tokens, lists that lag, execution events.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html> and related operations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::emitted::Emitted;
use crate::place::Place;
use crate::shape::{
    ApiError, IDEMPOTENCY_TOKEN, Input, PIPELINE_EXECUTION_ARN, PIPELINE_EXECUTION_DESCRIPTION,
    PIPELINE_EXECUTION_NAME, PIPELINE_NAME_OR_ARN, PIPELINE_PARAMETER_NAME, PIPELINE_PARAMETER_VALUE,
};
use crate::time::{Time, seconds, shifted, timestamp};

/// One run of the pipeline.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its ARN, in lower case as SageMaker writes it.
    pub arn: String,
    /// The name that it was started with.
    pub display_name: Option<String>,
    /// The parameters that it was started with.
    pub parameters: Value,
    /// Its description, if it was started with one.
    pub description: Option<String>,
    /// When it was created.
    pub created: Time,
    /// Every status it has had, and since when; the last one is the present one.
    history: Vec<(Time, String)>,
    /// Whether its pipeline was deleted.
    deleted: bool,
    /// Whether lists contain its start time.
    pub has_start_time: bool,
    /// The steps that failed: names and reasons.
    pub failed_steps: Vec<(String, String)>,
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

    /// Whether its pipeline was deleted, and the execution with it.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Whether it has or had this status.
    #[must_use]
    pub fn has_been(&self, status: &str) -> bool {
        self.history.iter().any(|(_, past)| past == status)
    }

    /// The time since which it runs; `None` while it does not run.
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

/// What happens if a start uses a token again, with other parameters. AWS does not document it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusedToken {
    /// The start is refused.
    Refused,
    /// The start is refused. From then on, the token is refused with its original request too.
    RefusedForGood,
    /// The answer is the execution that the token started.
    SameExecution,
    /// A second execution is started.
    SecondExecution,
}

/// The service.
#[derive(Clone, Debug)]
pub struct SageMaker {
    place: Place,
    /// The project's pipeline.
    pipeline: String,
    /// The names of all pipelines that exist.
    pipelines: Vec<String>,
    /// The executions of all pipelines, oldest first.
    pub executions: Vec<Execution>,
    /// The parameters that every pipeline's definition has.
    pub parameters: Vec<String>,
    /// The parameters that have no default. A start must contain them.
    pub required_parameters: Vec<String>,
    /// The maximum number of executions on a page of a list, even if the request allows more.
    pub page_limit: Option<usize>,
    /// How far lists lag behind.
    pub list_lag: Duration,
    /// How far descriptions lag behind.
    pub describe_lag: Duration,
    /// What a reused token does.
    pub reused_token: ReusedToken,
    /// How many executions may run at once; more are refused with `ResourceLimitExceeded`.
    pub limit: Option<usize>,
    /// Whether the limit is checked before the token.
    pub checks_limit_first: bool,
    /// How many milliseconds this service's clock is ahead.
    pub clock_skew: i64,
    /// Lists give no start time for an execution whose number, counted from 1, is a multiple of this.
    pub start_time_missing: Option<usize>,
    /// For each token: its request, and the execution that it started.
    tokens: BTreeMap<String, (Value, String)>,
    /// Tokens that are refused permanently.
    refused_tokens: BTreeSet<String>,
    /// Status events that EventBridge has not taken yet.
    pub(crate) events: Vec<Emitted>,
}

impl SageMaker {
    pub(crate) fn new(place: Place, pipeline: &str) -> Self {
        Self {
            place,
            pipeline: pipeline.to_owned(),
            pipelines: vec![pipeline.to_owned()],
            executions: Vec::new(),
            parameters: Vec::new(),
            required_parameters: Vec::new(),
            page_limit: None,
            list_lag: Duration::ZERO,
            describe_lag: Duration::ZERO,
            reused_token: ReusedToken::Refused,
            limit: None,
            checks_limit_first: false,
            clock_skew: 0,
            start_time_missing: None,
            tokens: BTreeMap::new(),
            refused_tokens: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn call(&mut self, operation: &str, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        match operation {
            "StartPipelineExecution" => self.start_pipeline_execution(input, now),
            "ListPipelineExecutions" => self.list_pipeline_executions(input, now),
            "ListPipelineExecutionSteps" => self.list_pipeline_execution_steps(input),
            "DescribePipelineExecution" => self.describe_pipeline_execution(input, now),
            _ => Err(ApiError::refused("UnknownOperationException", operation)),
        }
    }

    /// The ARN that a request is about, for IAM.
    pub(crate) fn resource(&self, input: Input<'_>) -> String {
        let execution = input.0["PipelineExecutionArn"].as_str();
        let pipeline = input.0["PipelineName"].as_str().unwrap_or_default();
        execution.map_or_else(|| self.arn_of(pipeline), str::to_owned)
    }

    /// The ARN of the project's pipeline.
    #[must_use]
    pub fn pipeline_arn(&self) -> String {
        self.arn_of(&self.pipeline)
    }

    /// The ARN of a pipeline, given its name or ARN. SageMaker writes the name in it in lower case.
    #[must_use]
    pub fn arn_of(&self, name_or_arn: &str) -> String {
        let lower = name_or_arn.to_lowercase();
        if lower.starts_with("arn:") { lower } else { self.place.arn("sagemaker", &format!("pipeline/{lower}")) }
    }

    /// Creates a pipeline. Does nothing if one of this name exists.
    pub fn add_pipeline(&mut self, name: &str) {
        if !self.has_pipeline(&self.arn_of(name)) {
            self.pipelines.push(name.to_owned());
        }
    }

    /// Deletes a pipeline. Calls about it and about its executions are refused from now on. The executions stay in
    /// [`Self::executions`].
    pub fn delete_pipeline(&mut self, name: &str) {
        let arn = self.arn_of(name);
        self.pipelines.retain(|pipeline| !pipeline.eq_ignore_ascii_case(name));
        for execution in self.executions.iter_mut().filter(|e| pipeline_of(&e.arn) == arn) {
            execution.deleted = true;
        }
    }

    /// Whether a pipeline of this ARN exists.
    fn has_pipeline(&self, arn: &str) -> bool {
        self.pipelines.iter().any(|pipeline| self.arn_of(pipeline) == arn)
    }

    /// Forgets all executions and tokens.
    pub fn clear(&mut self) {
        self.executions.clear();
        self.tokens.clear();
    }

    /// Starts an execution of a pipeline, as a person or another program does, without a token.
    pub fn start(&mut self, pipeline: &str, display_name: Option<&str>, now: Time) -> String {
        let arn = format!("{}/execution/{}", self.arn_of(pipeline), execution_id(self.executions.len()));
        self.add(arn.clone(), display_name, Value::Null, now);
        self.emit(&arn, None, now);
        arn
    }

    /// Gives an execution another status: it stops, ends, or is retried. Does nothing if there is no such execution or it has
    /// that status already.
    pub fn set_status(&mut self, arn: &str, status: &str, now: Time) {
        if let Some(previous) = self.change(arn, status, now) {
            self.emit(arn, Some(&previous), now);
        }
    }

    /// Ends an execution: this step fails, for this reason.
    pub fn fail_step(&mut self, arn: &str, step: &str, reason: &str, now: Time) {
        for execution in self.executions.iter_mut().filter(|e| e.arn == arn) {
            execution.failed_steps.push((step.to_owned(), reason.to_owned()));
        }
        self.set_status(arn, "Failed", now);
    }

    /// Gives the execution of this ARN this status, without an event. Creates the execution if it does not exist. Does
    /// nothing if no pipeline has this ARN's name.
    pub fn force_state(&mut self, arn: &str, status: &str, now: Time) {
        if !arn.contains("/execution/") || !self.has_pipeline(pipeline_of(arn)) {
            return;
        }
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
        let number = self.executions.len() + 1;
        self.executions.push(Execution {
            has_start_time: self.start_time_missing.is_none_or(|every| !number.is_multiple_of(every)),
            arn,
            display_name: display_name.map(str::to_owned),
            parameters,
            description: None,
            created: now,
            history: vec![(now, "Executing".to_owned())],
            deleted: false,
            failed_steps: Vec::new(),
        });
    }

    fn emit(&mut self, arn: &str, previous: Option<&str>, now: Time) {
        let Some(execution) = self.executions.iter().find(|e| e.arn == arn) else {
            return;
        };
        let mut detail = json!({
            "pipelineArn": pipeline_of(arn),
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
            resources: vec![pipeline_of(arn).to_owned(), arn.to_owned()],
            detail,
        });
    }

    /// The ARN of the pipeline that a request names.
    fn named_pipeline(&self, input: Input<'_>) -> Result<String, ApiError> {
        let arn = self.arn_of(input.required("PipelineName", &PIPELINE_NAME_OR_ARN)?);
        if self.has_pipeline(&arn) {
            Ok(arn)
        } else {
            Err(ApiError::refused("ResourceNotFound", format!("Pipeline '{arn}' does not exist.")))
        }
    }

    fn start_pipeline_execution(&mut self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let token = input.required("ClientRequestToken", &IDEMPOTENCY_TOKEN)?.to_owned();
        let display_name = input.optional("PipelineExecutionDisplayName", &PIPELINE_EXECUTION_NAME)?;
        let pipeline = self.named_pipeline(input)?;
        let description = input.optional("PipelineExecutionDescription", &PIPELINE_EXECUTION_DESCRIPTION)?;
        let parameters = &input.0["PipelineParameters"];
        self.check_parameters(parameters)?;
        if self.checks_limit_first {
            self.check_limit()?;
        }
        // A token with another request is another token.
        let token = match self.reused_token {
            ReusedToken::SecondExecution => format!("{token} {}", input.0),
            ReusedToken::Refused | ReusedToken::RefusedForGood | ReusedToken::SameExecution => token,
        };
        if let Some((request, arn)) = self.tokens.get(&token) {
            let is_same = request == input.0 && !self.refused_tokens.contains(&token);
            return if is_same || self.reused_token == ReusedToken::SameExecution {
                Ok(json!({ "PipelineExecutionArn": arn }))
            } else {
                if self.reused_token == ReusedToken::RefusedForGood {
                    self.refused_tokens.insert(token.clone());
                }
                Err(ApiError::refused(
                    "ConflictException",
                    format!("The token {token} was used with other parameters."),
                ))
            };
        }
        self.check_limit()?;
        let arn = self.start(&pipeline, display_name, now);
        if let Some(execution) = self.executions.last_mut() {
            execution.parameters = parameters.clone();
            execution.description = description.map(str::to_owned);
        }
        self.tokens.insert(token, (input.0.clone(), arn.clone()));
        Ok(json!({ "PipelineExecutionArn": arn }))
    }

    fn check_parameters(&self, parameters: &Value) -> Result<(), ApiError> {
        let refuse = |message: String| Err(ApiError::refused("ValidationException", message));
        let given = parameters.as_array().map(Vec::as_slice).unwrap_or_default();
        if given.len() > 200 {
            return refuse("PipelineParameters has more than 200 members.".to_owned());
        }
        for parameter in given {
            let name = Input(parameter).required("Name", &PIPELINE_PARAMETER_NAME)?;
            Input(parameter).required("Value", &PIPELINE_PARAMETER_VALUE)?;
            if !self.parameters.iter().any(|known| known == name) {
                return refuse(format!("Pipeline parameter [{name}] is not defined in the pipeline."));
            }
        }
        match self.required_parameters.iter().find(|name| given.iter().all(|parameter| parameter["Name"] != **name)) {
            Some(missing) => refuse(format!("Pipeline parameter [{missing}] has no default value and is not given.")),
            None => Ok(()),
        }
    }

    fn check_limit(&self) -> Result<(), ApiError> {
        let active = self.executions.iter().filter(|e| e.is_active()).count();
        if self.limit.is_some_and(|limit| active >= limit) {
            let message = "The account-level service limit 'Number of concurrent pipeline executions' is reached.";
            return Err(ApiError::refused("ResourceLimitExceeded", message));
        }
        Ok(())
    }

    fn list_pipeline_executions(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let sort_by = input.one_of("SortBy", &["CreationTime", "PipelineExecutionArn"])?;
        let order = input.one_of("SortOrder", &["Ascending", "Descending"])?;
        let asked = input.integer("MaxResults", 1, 100)?.unwrap_or(10);
        let page = usize::try_from(asked).unwrap_or(usize::MAX).min(self.page_limit.unwrap_or(usize::MAX));
        let pipeline = self.named_pipeline(input)?;
        let seen = now.saturating_sub(self.list_lag);
        let mut executions: Vec<&Execution> = self
            .executions
            .iter()
            .filter(|e| pipeline_of(&e.arn) == pipeline && !e.deleted && e.created <= seen)
            .collect();
        if sort_by == Some("PipelineExecutionArn") {
            executions.sort_by_key(|e| &e.arn);
        }
        if order != Some("Ascending") {
            executions.reverse();
        }
        let start = input.0["NextToken"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
        let end = executions.len().min(start + page);
        let summaries: Vec<Value> = executions
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .map(|e| {
                json!({
                    "PipelineExecutionArn": e.arn,
                    "PipelineExecutionStatus": e.status_at(seen),
                    "PipelineExecutionDisplayName": e.display_name,
                    "StartTime": e.has_start_time.then(|| seconds(shifted(e.created, self.clock_skew))),
                })
            })
            .collect();
        let mut answer = json!({ "PipelineExecutionSummaries": summaries });
        if end < executions.len() {
            answer["NextToken"] = end.to_string().into();
        }
        Ok(answer)
    }

    /// The newest step first, as SageMaker lists them by default. Before the failed steps, one step has succeeded.
    fn list_pipeline_execution_steps(&self, input: Input<'_>) -> Result<Value, ApiError> {
        let arn = input.required("PipelineExecutionArn", &PIPELINE_EXECUTION_ARN)?;
        let asked = input.integer("MaxResults", 1, 100)?.unwrap_or(10);
        let page = usize::try_from(asked).unwrap_or(usize::MAX).min(self.page_limit.unwrap_or(usize::MAX));
        let Some(execution) = self.executions.iter().find(|e| e.arn == arn && !e.deleted) else {
            let message = format!("Pipeline execution '{arn}' does not exist.");
            return Err(ApiError::refused("ResourceNotFound", message));
        };
        let failed = execution.failed_steps.iter().rev();
        let failed =
            failed.map(|(step, reason)| json!({ "StepName": step, "StepStatus": "Failed", "FailureReason": reason }));
        let steps: Vec<Value> =
            failed.chain([json!({ "StepName": "PreprocessData", "StepStatus": "Succeeded" })]).collect();
        let start = input.0["NextToken"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0);
        let end = steps.len().min(start + page);
        let mut answer = json!({ "PipelineExecutionSteps": steps.get(start..end).unwrap_or_default() });
        if end < steps.len() {
            answer["NextToken"] = end.to_string().into();
        }
        Ok(answer)
    }

    fn describe_pipeline_execution(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let arn = input.required("PipelineExecutionArn", &PIPELINE_EXECUTION_ARN)?;
        let seen = now.saturating_sub(self.describe_lag);
        let execution = self.executions.iter().find(|e| e.arn == arn && !e.deleted && e.created <= seen);
        let Some(execution) = execution else {
            let message = format!("Pipeline execution '{arn}' does not exist.");
            return Err(ApiError::refused("ResourceNotFound", message));
        };
        let status = execution.status_at(seen);
        let reason = (status == Some("Failed")).then_some("Step failure: One or multiple steps failed.");
        Ok(json!({
            "FailureReason": reason,
            "PipelineArn": pipeline_of(arn),
            "PipelineExecutionArn": execution.arn,
            "PipelineExecutionStatus": status,
            "PipelineExecutionDisplayName": execution.display_name,
            "PipelineExecutionDescription": execution.description,
            "CreationTime": seconds(shifted(execution.created, self.clock_skew)),
            "LastModifiedTime": seconds(execution.changed()),
        }))
    }
}

/// The ARN of an execution's pipeline.
fn pipeline_of(execution_arn: &str) -> &str {
    execution_arn.split_once("/execution/").map_or(execution_arn, |(pipeline, _)| pipeline)
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
