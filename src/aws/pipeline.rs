//! The executions of one SageMaker pipeline: list, describe, start, failed steps.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutions.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineExecution.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutionSteps.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html>.

use std::time::SystemTime;

use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::types::{Parameter, PipelineExecutionSummary, SortOrder, SortPipelineExecutionsBy, StepStatus};

use crate::aws::call::{CallError, MOST_PAGES, Remedy, time};
use crate::model::{Execution, ExecutionArn, ExecutionStatus, FailedStep};
use crate::policy::start::StartRequest;

/// The SageMaker pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(super) client: Client,
    pub(super) name: String,
}

/// Decisions use this many of the newest executions.
const NEWEST: usize = 100;

/// The most executions that one page holds.
const PAGE: i32 = 100;

/// So many failed steps of an execution are named.
const MOST_STEPS: usize = 10;

/// The most characters of a step's reason. It may quote a container's log.
const REASON_LENGTH: usize = 300;

/// What SageMaker says of one execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) execution: Execution,
    /// SageMaker's word for the status.
    pub(crate) word: String,
    /// Why it was started.
    pub(crate) text: Option<String>,
    /// When it was last modified. An execution that has ended, ended then.
    pub(crate) changed: Option<SystemTime>,
}

impl Pipeline {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The newest 100 executions, newest first. A page may be shorter than requested, so the next pages are read too.
    pub(crate) async fn list(&self) -> Result<Vec<Execution>, CallError> {
        let call = self.client.list_pipeline_executions().pipeline_name(&self.name).max_results(PAGE);
        let call = call.sort_by(SortPipelineExecutionsBy::CreationTime).sort_order(SortOrder::Descending);
        let mut pages = call.into_paginator().send();
        let mut executions = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|error| {
                let operation = format!("list the executions of SageMaker pipeline {}", self.name);
                CallError::new(operation, remedy("sagemaker:ListPipelineExecutions"), error)
            })?;
            executions.extend(page.pipeline_execution_summaries.unwrap_or_default().into_iter().filter_map(read));
            if executions.len() >= NEWEST {
                break;
            }
        }
        executions.truncate(NEWEST);
        Ok(executions)
    }

    /// The execution, or `None` if SageMaker does not find it.
    pub(crate) async fn describe(&self, arn: &ExecutionArn) -> Result<Option<Execution>, CallError> {
        Ok(self.describe_in_full(arn).await?.map(|description| description.execution))
    }

    /// The execution and what people want to know of it, or `None` if SageMaker does not find it.
    pub(crate) async fn describe_in_full(&self, arn: &ExecutionArn) -> Result<Option<Description>, CallError> {
        let answer = self.client.describe_pipeline_execution().pipeline_execution_arn(arn.as_str()).send().await;
        match answer {
            Ok(execution) => Ok(execution.pipeline_execution_status.map(|status| Description {
                word: status.as_str().to_owned(),
                text: execution.pipeline_execution_description,
                changed: time(execution.last_modified_time),
                execution: Execution {
                    arn: arn.clone(),
                    status: match ExecutionStatus::from(status.as_str()) {
                        ExecutionStatus::Unsuccessful { word, .. } => {
                            ExecutionStatus::Unsuccessful { word, reason: execution.failure_reason }
                        }
                        status => status,
                    },
                    display_name: execution.pipeline_execution_display_name,
                    started: time(execution.creation_time),
                },
            })),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found()) => Ok(None),
            Err(error) => {
                let operation = format!("describe {}", arn.as_str());
                Err(CallError::new(operation, remedy("sagemaker:DescribePipelineExecution"), error))
            }
        }
    }

    /// The steps of an execution that failed, at most 10, each with 300 characters of SageMaker's reason. Also returns why not all of
    /// them could be read.
    pub(crate) async fn failed_steps(&self, arn: &ExecutionArn) -> (Vec<FailedStep>, Option<CallError>) {
        let call = self.client.list_pipeline_execution_steps().pipeline_execution_arn(arn.as_str()).max_results(PAGE);
        let mut pages = call.into_paginator().send();
        let mut failed = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { break };
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    let operation = format!("list the steps of {}", arn.as_str());
                    let permission =
                        "sagemaker:ListPipelineExecutionSteps (for the pipeline's ARN followed by /execution/*)";
                    return (failed, Some(CallError::new(operation, remedy(permission), error)));
                }
            };
            let steps = page.pipeline_execution_steps.unwrap_or_default().into_iter();
            failed.extend(steps.filter(|step| step.step_status == Some(StepStatus::Failed)).map(|step| FailedStep {
                step: step.step_name.unwrap_or_default(),
                reason: match step.failure_reason {
                    Some(reason) => reason.chars().take(REASON_LENGTH).collect(),
                    None => "SageMaker returns no reason".to_owned(),
                },
            }));
            if failed.len() >= MOST_STEPS {
                break;
            }
        }
        failed.truncate(MOST_STEPS);
        (failed, None)
    }

    /// Starts an execution and returns its ARN. A repeated request with the same token starts nothing and returns the same ARN.
    pub(crate) async fn start(&self, request: &StartRequest) -> Result<ExecutionArn, CallError> {
        let operation = || format!("start SageMaker pipeline {} as {}", self.name, request.display_name);
        let parameters = request.parameters.iter();
        let parameters: Vec<Parameter> =
            parameters.map(|(name, value)| Parameter::builder().name(name).value(value).build()).collect();
        let started = self
            .client
            .start_pipeline_execution()
            .pipeline_name(&self.name)
            .pipeline_execution_display_name(&request.display_name)
            .client_request_token(&request.token)
            .pipeline_execution_description(&request.description)
            .set_pipeline_parameters(Some(parameters).filter(|parameters| !parameters.is_empty()))
            .send()
            .await
            .map_err(|error| {
                let setting = "SAGEMAKER_PIPELINE_NAME, that the pipeline has every parameter which PIPELINE_PARAMETERS or the \
                               action's UserParameters name, and that every other parameter has a default";
                let remedy = Remedy { setting, permission: "sagemaker:StartPipelineExecution" };
                CallError::new(operation(), remedy, error)
            })?;
        started
            .pipeline_execution_arn
            .as_deref()
            .and_then(ExecutionArn::parse)
            .ok_or_else(|| CallError::unusable(operation(), "SageMaker's answer has no PipelineExecutionArn"))
    }
}

fn remedy(permission: &str) -> Remedy<'_> {
    Remedy { setting: "SAGEMAKER_PIPELINE_NAME", permission }
}

fn read(summary: PipelineExecutionSummary) -> Option<Execution> {
    Some(Execution {
        arn: ExecutionArn::parse(&summary.pipeline_execution_arn?)?,
        status: ExecutionStatus::from(summary.pipeline_execution_status?.as_str()),
        display_name: summary.pipeline_execution_display_name,
        started: time(summary.start_time),
    })
}
