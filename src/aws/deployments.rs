//! CodePipeline: the list of deployments.
//!
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListPipelineExecutions.html>

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{ExecutionType, PipelineExecutionStatus, PipelineExecutionSummary};

use crate::aws::call::{CallError, MOST_PAGES, Remedy, time};
use crate::model::Deployment;

/// The executions of the CodePipeline.
#[derive(Clone, Debug)]
pub(crate) struct Deployments {
    pub(super) client: Client,
    /// `None` if their event starts no retraining. Then there is nothing to read.
    pub(super) pipeline: Option<String>,
}

/// How many executions of the CodePipeline are read. It is also the most that one page holds.
const NEWEST: usize = 100;
const PAGE: i32 = 100;

/// If what is looked for is not among them, so many are read.
const MOST: usize = 500;

impl Deployments {
    /// The newest 100, or a few more if pages are short. Up to 500 if none of them succeeded and was no rollback: so many that failed
    /// must not hide the newest deployment.
    pub(crate) async fn list(&self) -> Result<Vec<Deployment>, CallError> {
        self.list_newest(|deployments| {
            let has_newest = deployments.iter().any(|deployment| deployment.has_succeeded && !deployment.is_rollback);
            deployments.len() >= if has_newest { NEWEST } else { MOST }
        })
        .await
    }

    /// The newest ones, at least as far as the one of this id. Up to 500 if it is not among them.
    pub(crate) async fn list_as_far_as(&self, execution_id: &str) -> Result<Vec<Deployment>, CallError> {
        self.list_newest(|deployments| {
            deployments.len() >= MOST || deployments.iter().any(|deployment| deployment.execution_id == execution_id)
        })
        .await
    }

    /// Page by page, until they are enough.
    async fn list_newest(&self, are_enough: impl Fn(&[Deployment]) -> bool) -> Result<Vec<Deployment>, CallError> {
        let Some(pipeline) = &self.pipeline else { return Ok(vec![]) };
        let call = self.client.list_pipeline_executions().pipeline_name(pipeline).max_results(PAGE);
        let mut pages = call.into_paginator().send();
        let mut deployments: Vec<Deployment> = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { break };
            let page = page.map_err(|error| {
                let operation = format!("list the executions of CodePipeline {pipeline}");
                let permission = "codepipeline:ListPipelineExecutions";
                CallError::new(operation, Remedy { setting: "CODE_PIPELINE_NAME", permission }, error)
            })?;
            deployments.extend(page.pipeline_execution_summaries.unwrap_or_default().into_iter().filter_map(read));
            if are_enough(&deployments) {
                break;
            }
        }
        Ok(deployments)
    }
}

fn read(execution: PipelineExecutionSummary) -> Option<Deployment> {
    Some(Deployment {
        execution_id: execution.pipeline_execution_id?,
        has_succeeded: execution.status == Some(PipelineExecutionStatus::Succeeded),
        is_rollback: execution.execution_type == Some(ExecutionType::Rollback),
        rollback_target: execution.rollback_metadata.and_then(|it| it.rollback_target_pipeline_execution_id),
        changed: time(execution.last_update_time),
    })
}
