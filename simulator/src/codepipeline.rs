//! CodePipeline's executions and stage transitions, and the jobs of its Lambda-invoke actions.
//!
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetPipelineState.html> and related operations,
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html>.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use crate::place::Place;
use crate::shape::{
    ApiError, CODE_PIPELINE_NAME, CONTINUATION_TOKEN, DISABLED_REASON, EXTERNAL_EXECUTION_ID, FAILURE_MESSAGE,
    FAILURE_TYPE, Input, JOB_ID, OUTPUT_VARIABLE_KEY, TRANSITION_TYPE,
};
use crate::time::{Time, seconds, shifted};

/// One stage's inbound transition.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// Why the transition is disabled; `None` while it is enabled.
    pub disabled_reason: Option<String>,
    /// Every change of the transition: when, and the reason if it was disabled. The last one is the present one.
    history: Vec<(Time, Option<String>)>,
}

/// A run of a Lambda-invoke action.
#[derive(Clone, Debug)]
pub struct Action {
    /// The `UserParameters` of its configuration, if any.
    user_parameters: Option<String>,
    /// Its state.
    pub state: ActionState,
    /// The id of its latest job.
    pub job_id: String,
}

/// The state of a run of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// Its job is not answered.
    InProgress,
    /// It succeeded, with these output variables.
    Succeeded(Value),
    /// It failed, with these details.
    Failed(Value),
    /// A person has stopped it.
    Stopped,
}

/// An execution of the pipeline that has ended.
#[derive(Clone, Debug)]
pub struct EndedExecution {
    /// Its id.
    pub id: String,
    /// How it ended: `Succeeded`, `Failed`, `Stopped` or `Superseded`.
    pub status: String,
    /// Whether it rolled the pipeline back to an earlier execution.
    pub is_rollback: bool,
    /// The execution whose code it put back.
    pub rollback_target: Option<String>,
    /// When it ended.
    pub ended: Time,
}

/// The service, with one pipeline.
#[derive(Clone, Debug)]
pub struct CodePipeline {
    place: Place,
    pipeline: String,
    /// The pipeline's stages, in their order.
    pub stages: Vec<Stage>,
    /// Every execution of the pipeline that has ended, oldest first.
    pub executions: Vec<EndedExecution>,
    /// Whether events contain the trigger of an execution. AWS does not document when they do.
    pub events_have_trigger: bool,
    /// The maximum number of executions on a page, even if the request allows more.
    pub page_limit: Option<usize>,
    /// How many milliseconds this service's clock is ahead.
    pub clock_skew: i64,
    /// Every run of a Lambda-invoke action, oldest first.
    pub actions: Vec<Action>,
    /// How far reads of a transition lag behind writes.
    pub read_lag: Duration,
    /// How far the list of executions lags behind. It shows an execution that ended within this time as in progress.
    pub list_lag: Duration,
    /// Every job so far: its id, and the index of its action.
    jobs: Vec<(String, usize)>,
    /// Events for the function that are not delivered yet.
    pub(crate) events: VecDeque<Value>,
}

impl CodePipeline {
    pub(crate) fn new(place: Place, pipeline: &str, stages: &[String]) -> Self {
        Self {
            place,
            pipeline: pipeline.to_owned(),
            stages: stages
                .iter()
                .map(|name| Stage { name: name.clone(), disabled_reason: None, history: Vec::new() })
                .collect(),
            executions: Vec::new(),
            events_have_trigger: false,
            page_limit: None,
            clock_skew: 0,
            actions: Vec::new(),
            read_lag: Duration::ZERO,
            list_lag: Duration::ZERO,
            jobs: Vec::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn call(&mut self, operation: &str, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        match operation {
            "GetPipelineState" => self.get_pipeline_state(input, now),
            "ListPipelineExecutions" => self.list_pipeline_executions(input, now),
            "DisableStageTransition" => {
                let reason = input.required("reason", &DISABLED_REASON)?;
                self.transition(input, Some(reason), now)
            }
            "EnableStageTransition" => self.transition(input, None, now),
            "PutJobSuccessResult" => self.put_job_success_result(input),
            "PutJobFailureResult" => self.put_job_failure_result(input),
            _ => Err(ApiError::refused("UnknownOperationException", operation)),
        }
    }

    /// The ARN that a request is about, for IAM.
    pub(crate) fn resource(&self, input: Input<'_>) -> String {
        let part = |name: &str| input.0[name].as_str();
        // IAM has no resource type for jobs.
        if part("jobId").is_some() {
            return "*".to_owned();
        }
        let pipeline = part("pipelineName").or(part("name")).unwrap_or_default();
        let stage = part("stageName").map(|stage| format!("/{stage}")).unwrap_or_default();
        self.place.arn("codepipeline", &format!("{pipeline}{stage}"))
    }

    /// Disables (with a reason) or enables a stage's inbound transition, as a person does. Returns `None` if there is no such
    /// stage.
    pub fn set_transition(&mut self, stage: &str, disabled_reason: Option<&str>, now: Time) -> Option<()> {
        let stage = self.stages.iter_mut().find(|s| s.name == stage)?;
        stage.disabled_reason = disabled_reason.map(str::to_owned);
        stage.history.push((now, stage.disabled_reason.clone()));
        Some(())
    }

    /// Deletes a stage. Calls about it are refused from now on.
    pub fn delete_stage(&mut self, stage: &str) {
        self.stages.retain(|s| s.name != stage);
    }

    /// An execution of the pipeline ends. Does nothing if one of this id has ended already. A rollback puts back the code of the
    /// success before the newest one.
    pub fn end_execution(&mut self, id: &str, status: &str, is_rollback: bool, now: Time) {
        let mut successes = self.executions.iter().rev().filter(|e| e.status == "Succeeded" && !e.is_rollback);
        let rollback_target = successes.nth(1).filter(|_| is_rollback).map(|execution| execution.id.clone());
        self.add(EndedExecution {
            id: id.to_owned(),
            status: status.to_owned(),
            is_rollback,
            rollback_target,
            ended: now,
        });
    }

    /// A rollback succeeds: it puts the code of the execution `target` back.
    pub fn roll_back(&mut self, id: &str, target: &str, now: Time) {
        self.add(EndedExecution {
            id: id.to_owned(),
            status: "Succeeded".to_owned(),
            is_rollback: true,
            rollback_target: Some(target.to_owned()),
            ended: now,
        });
    }

    fn add(&mut self, ended: EndedExecution) {
        if self.executions.iter().all(|execution| execution.id != ended.id) {
            self.executions.push(ended);
        }
    }

    /// An action runs: it gives the function a job.
    pub fn run_action(&mut self, user_parameters: Option<&str>) {
        let user_parameters = user_parameters.map(str::to_owned);
        self.actions.push(Action { user_parameters, state: ActionState::InProgress, job_id: String::new() });
        self.give_job(self.actions.len() - 1, None);
    }

    /// Makes an action wait for an answer to the job of this id.
    pub fn force_state(&mut self, job_id: &str) {
        let state = ActionState::InProgress;
        match self.jobs.iter().find(|(id, _)| id == job_id) {
            Some((_, action)) => {
                let action = &mut self.actions[*action];
                (action.state, action.job_id) = (state, job_id.to_owned());
            }
            None => {
                self.jobs.push((job_id.to_owned(), self.actions.len()));
                self.actions.push(Action { user_parameters: None, state, job_id: job_id.to_owned() });
            }
        }
    }

    fn give_job(&mut self, action: usize, continuation_token: Option<&str>) {
        let id = job_id(self.jobs.len());
        self.jobs.push((id.clone(), action));
        let mut configuration = json!({ "FunctionName": "drift-router" });
        if let Some(parameters) = &self.actions[action].user_parameters {
            configuration["UserParameters"] = parameters.as_str().into();
        }
        let mut data = json!({
            "actionConfiguration": { "configuration": configuration },
            "inputArtifacts": [],
            "outputArtifacts": [],
            "artifactCredentials": {
                "accessKeyId": "an-access-key-of-the-artifacts",
                "secretAccessKey": "a-secret-of-the-artifacts",
                "sessionToken": "a-token-of-the-artifacts",
            },
        });
        if let Some(token) = continuation_token {
            data["continuationToken"] = token.into();
        }
        self.events
            .push_back(json!({ "CodePipeline.job": { "id": id, "accountId": self.place.account(), "data": data } }));
        self.actions[action].job_id = id;
    }

    /// The index of the action that waits for an answer to the job of this request.
    fn in_progress(&mut self, input: Input<'_>) -> Result<usize, ApiError> {
        let id = input.required("jobId", &JOB_ID)?;
        let Some(&(_, action)) = self.jobs.iter().find(|(job_id, _)| job_id == id) else {
            return Err(ApiError::refused("JobNotFoundException", format!("Job with id '{id}' not found.")));
        };
        if self.actions[action].job_id == id && self.actions[action].state == ActionState::InProgress {
            Ok(action)
        } else {
            let message = format!("Job '{id}' is not in the state InProgress.");
            Err(ApiError::refused("InvalidJobStateException", message))
        }
    }

    fn put_job_success_result(&mut self, input: Input<'_>) -> Result<Value, ApiError> {
        let token = input.optional("continuationToken", &CONTINUATION_TOKEN)?;
        let variables = &input.0["outputVariables"];
        for key in variables.as_object().into_iter().flat_map(|variables| variables.keys()) {
            OUTPUT_VARIABLE_KEY.check("outputVariables", key)?;
        }
        let action = self.in_progress(input)?;
        match token {
            Some(_) if !variables.is_null() => {
                let message = "outputVariables cannot be specified together with continuationToken";
                Err(ApiError::refused("ValidationException", message))
            }
            Some(token) => {
                self.give_job(action, Some(token));
                Ok(json!({}))
            }
            None => {
                self.actions[action].state = ActionState::Succeeded(variables.clone());
                Ok(json!({}))
            }
        }
    }

    fn put_job_failure_result(&mut self, input: Input<'_>) -> Result<Value, ApiError> {
        let details = &input.0["failureDetails"];
        Input(details).required("type", &FAILURE_TYPE)?;
        Input(details).required("message", &FAILURE_MESSAGE)?;
        Input(details).optional("externalExecutionId", &EXTERNAL_EXECUTION_ID)?;
        let action = self.in_progress(input)?;
        self.actions[action].state = ActionState::Failed(details.clone());
        Ok(json!({}))
    }

    fn check_pipeline(&self, name: &str) -> Result<(), ApiError> {
        if name == self.pipeline {
            Ok(())
        } else {
            let message = format!("Account does not have a pipeline with name '{name}'");
            Err(ApiError::refused("PipelineNotFoundException", message))
        }
    }

    fn list_pipeline_executions(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        self.check_pipeline(input.required("pipelineName", &CODE_PIPELINE_NAME)?)?;
        let asked = input.integer("maxResults", 1, 100)?.unwrap_or(100);
        let page = usize::try_from(asked).unwrap_or(usize::MAX).min(self.page_limit.unwrap_or(usize::MAX));
        let start = input.0["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
        let summaries: Vec<Value> = self
            .executions
            .iter()
            .rev()
            .skip(start)
            .take(page)
            .map(|execution| {
                let is_shown = execution.ended + self.list_lag <= now;
                let began = execution.ended.saturating_sub(Duration::from_mins(1));
                let updated = shifted(if is_shown { execution.ended } else { began }, self.clock_skew);
                json!({
                    "pipelineExecutionId": execution.id,
                    "status": if is_shown { execution.status.as_str() } else { "InProgress" },
                    "rollbackMetadata": execution.rollback_target.as_ref().map(|target| {
                        json!({ "rollbackTargetPipelineExecutionId": target })
                    }),
                    "executionType": if execution.is_rollback { "ROLLBACK" } else { "STANDARD" },
                    "startTime": seconds(shifted(began, self.clock_skew)),
                    "lastUpdateTime": seconds(updated),
                })
            })
            .collect();
        let end = start + summaries.len();
        let mut answer = json!({ "pipelineExecutionSummaries": summaries });
        if end < self.executions.len() {
            answer["nextToken"] = end.to_string().into();
        }
        Ok(answer)
    }

    fn get_pipeline_state(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        self.check_pipeline(input.required("name", &CODE_PIPELINE_NAME)?)?;
        let seen = now.saturating_sub(self.read_lag);
        let stages: Vec<Value> = self
            .stages
            .iter()
            .enumerate()
            .map(|(position, stage)| {
                let mut state = json!({ "stageName": stage.name, "actionStates": [] });
                // The first stage has no inbound transition.
                if position > 0 {
                    let mut transition = json!({ "enabled": true });
                    if let Some((changed, reason)) = stage.history.iter().rev().find(|(since, _)| *since <= seen) {
                        transition["enabled"] = reason.is_none().into();
                        if let Some(reason) = reason {
                            transition["disabledReason"] = reason.as_str().into();
                        }
                        transition["lastChangedAt"] = seconds(*changed).into();
                        transition["lastChangedBy"] = self.place.arn("iam", "user/somebody").into();
                    }
                    state["inboundTransitionState"] = transition;
                }
                state
            })
            .collect();
        Ok(json!({ "pipelineName": self.pipeline, "pipelineVersion": 1, "stageStates": stages }))
    }

    fn transition(&mut self, input: Input<'_>, reason: Option<&str>, now: Time) -> Result<Value, ApiError> {
        let pipeline = input.required("pipelineName", &CODE_PIPELINE_NAME)?;
        let stage = input.required("stageName", &CODE_PIPELINE_NAME)?;
        let direction = input.required("transitionType", &TRANSITION_TYPE)?;
        self.check_pipeline(pipeline)?;
        if direction == "Outbound" {
            return Err(ApiError::refused("ValidationException", "only inbound transitions are simulated"));
        }
        self.set_transition(stage, reason, now).map(|()| json!({})).ok_or_else(|| {
            let message = format!("Pipeline '{pipeline}' does not have a stage with name '{stage}'");
            ApiError::refused("StageNotFoundException", message)
        })
    }
}

/// The id of the job after `before` others. It is the same in every run, so that sample events can name it.
fn job_id(before: usize) -> String {
    format!("{before:08x}-39e6-4b26-9d0c-7a1e5c0f2b11")
}
