//! CodePipeline: the guard of one stage's inbound transition, the list of executions, and the answers to jobs.
//!
//! State and mark of a transition are one write: the reason of a disabled transition is the mark.
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListPipelineExecutions.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html>.

use std::time::SystemTime;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::{
    ExecutionType, FailureDetails, FailureType, PipelineExecutionStatus, PipelineExecutionSummary, StageTransitionType,
};

use super::call::{CallError, Check};
use super::guard::Found;
use crate::model::{CodePipelineExecution, DesiredState, GuardState};
use crate::policy;

/// One stage of the CodePipeline.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(super) client: Client,
    pub(super) pipeline: String,
    pub(super) stage: String,
    pub(super) owner: String,
}

impl Stage {
    pub(super) async fn read(&self) -> Result<Found, CallError> {
        let answer = self.client.get_pipeline_state().name(&self.pipeline).send().await;
        let pipeline =
            answer.map_err(|error| CallError::new(self.to("read"), check("codepipeline:GetPipelineState"), error))?;
        let stage =
            pipeline.stage_states().iter().find(|stage| stage.stage_name() == Some(&self.stage)).ok_or_else(|| {
                CallError::not_found(
                    self.to("read"),
                    check("codepipeline:GetPipelineState"),
                    "the pipeline has no such stage",
                )
            })?;
        let state = match stage.inbound_transition_state() {
            Some(transition) if !transition.enabled() => {
                match policy::stage_mark_owner(transition.disabled_reason().unwrap_or_default(), &self.owner) {
                    Some(owner) if owner == self.owner => GuardState::DisabledByRouter,
                    Some(owner) => GuardState::MarkedByOtherRouter { owner: owner.to_owned() },
                    None => GuardState::DisabledByOther,
                }
            }
            // A stage that nobody ever disabled may have no transition state at all.
            _ => GuardState::Enabled,
        };
        Ok(Found { state, resource: self.stage.clone(), owed: None })
    }

    pub(super) async fn set(&self, stage: &str, desired: &DesiredState) -> Result<(), CallError> {
        match desired {
            DesiredState::Engaged { execution_id } => {
                let disable = self.client.disable_stage_transition().pipeline_name(&self.pipeline);
                let disable = disable.stage_name(stage).transition_type(StageTransitionType::Inbound);
                let disabled = disable.reason(policy::stage_mark(&self.owner, execution_id)).send().await;
                disabled.map(drop).map_err(|error| {
                    CallError::new(self.to("disable"), check("codepipeline:DisableStageTransition"), error)
                })
            }
            DesiredState::Released => {
                let enable = self.client.enable_stage_transition().pipeline_name(&self.pipeline);
                let enable = enable.stage_name(stage).transition_type(StageTransitionType::Inbound);
                enable.send().await.map(drop).map_err(|error| {
                    CallError::new(self.to("enable"), check("codepipeline:EnableStageTransition"), error)
                })
            }
        }
    }

    fn to(&self, verb: &str) -> String {
        format!("{verb} the inbound transition of stage {} of CodePipeline {}", self.stage, self.pipeline)
    }
}

fn check(permission: &str) -> Check<'_> {
    Check { setting: "CODE_PIPELINE_NAME and BUILD_STAGE_NAME", permission }
}

/// The executions of the CodePipeline.
#[derive(Clone, Debug)]
pub(crate) struct Deployments {
    pub(super) client: Client,
    pub(super) pipeline: String,
}

/// How many executions of the CodePipeline are read. It is also the most that one page holds.
const NEWEST: usize = 100;
const PAGE: i32 = 100;

impl Deployments {
    /// The newest 100 executions, or a few more if pages are short.
    ///
    /// # Errors
    /// [`CallError`] if a call fails after the SDK's retries.
    pub(crate) async fn list(&self) -> Result<Vec<CodePipelineExecution>, CallError> {
        let mut executions = Vec::new();
        let mut next_token = None;
        loop {
            let page = self
                .client
                .list_pipeline_executions()
                .pipeline_name(&self.pipeline)
                .max_results(PAGE)
                .set_next_token(next_token)
                .send()
                .await
                .map_err(|error| {
                    let operation = format!("list the executions of CodePipeline {}", self.pipeline);
                    CallError::new(operation, check("codepipeline:ListPipelineExecutions"), error)
                })?;
            executions.extend(page.pipeline_execution_summaries.unwrap_or_default().into_iter().filter_map(listed));
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() || executions.len() >= NEWEST {
                return Ok(executions);
            }
        }
    }
}

fn listed(execution: PipelineExecutionSummary) -> Option<CodePipelineExecution> {
    Some(CodePipelineExecution {
        id: execution.pipeline_execution_id?,
        has_succeeded: execution.status == Some(PipelineExecutionStatus::Succeeded),
        is_rollback: execution.execution_type == Some(ExecutionType::Rollback),
        updated: execution.last_update_time.and_then(|time| SystemTime::try_from(time).ok()),
    })
}

/// The jobs of Lambda actions.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    pub(super) client: Client,
}

/// The answer to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobResult<'a> {
    /// The execution is active. CodePipeline calls again, with this token.
    Continue { token: &'a str },
    /// The execution of this ARN succeeded.
    Succeeded { execution_arn: &'a str },
    /// The execution of this ARN ended without success.
    Failed { execution_arn: &'a str, message: &'a str },
    /// The action cannot be served, and another try changes nothing: its configuration, a permission or `MODE` is wrong for it.
    Refused { message: &'a str },
}

/// What CodePipeline did with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    Accepted,
    /// The job was answered before, timed out, is unknown, or its action was stopped.
    NotInProgress,
}

/// The longest message that CodePipeline takes, in characters.
const MESSAGE_LENGTH: usize = 5000;

impl Jobs {
    /// Answers a job.
    ///
    /// # Errors
    /// [`CallError`] if the call fails after the SDK's retries. A job that is not in progress any more is no error.
    pub(crate) async fn answer(&self, job_id: &str, result: JobResult<'_>) -> Result<Accepted, CallError> {
        let success = self.client.put_job_success_result().job_id(job_id);
        match result {
            // A continuation token and output variables exclude each other.
            JobResult::Continue { token } => {
                let put = success.continuation_token(token).send().await;
                accepted(job_id, "codepipeline:PutJobSuccessResult", put)
            }
            JobResult::Succeeded { execution_arn } => {
                let success = success.output_variables("PipelineExecutionArn", execution_arn);
                let put = success.output_variables("Status", "Succeeded").send().await;
                accepted(job_id, "codepipeline:PutJobSuccessResult", put)
            }
            JobResult::Failed { execution_arn, message } => {
                self.fail(job_id, FailureType::JobFailed, message, Some(execution_arn)).await
            }
            JobResult::Refused { message } => self.fail(job_id, FailureType::ConfigurationError, message, None).await,
        }
    }

    async fn fail(
        &self,
        job_id: &str,
        kind: FailureType,
        message: &str,
        execution_arn: Option<&str>,
    ) -> Result<Accepted, CallError> {
        let message: String = message.chars().take(MESSAGE_LENGTH).collect();
        let details = FailureDetails::builder().r#type(kind).message(message);
        let details = details.set_external_execution_id(execution_arn.map(str::to_owned)).build();
        let details = details.map_err(|error| CallError::unusable(to_answer(job_id), error))?;
        let put = self.client.put_job_failure_result().job_id(job_id).failure_details(details).send().await;
        accepted(job_id, "codepipeline:PutJobFailureResult", put)
    }
}

fn to_answer(job_id: &str) -> String {
    format!("answer CodePipeline job {job_id}")
}

fn accepted<T, E, R>(job_id: &str, permission: &str, put: Result<T, SdkError<E, R>>) -> Result<Accepted, CallError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match put {
        Ok(_) => Ok(Accepted::Accepted),
        Err(error) if matches!(error.code(), Some("InvalidJobStateException" | "JobNotFoundException")) => {
            Ok(Accepted::NotInProgress)
        }
        Err(error) => {
            let setting = "the job's id: a repeated event may name a job of another account or Region";
            Err(CallError::new(to_answer(job_id), Check { setting, permission }, error))
        }
    }
}
