//! CodePipeline: the list of deployments.
//!
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListPipelineExecutions.html>

use std::time::SystemTime;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::{ExecutionType, PipelineExecutionStatus, PipelineExecutionSummary};

use crate::aws::call::{CallError, Remedy};
use crate::model::Deployment;

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
    /// The newest 100, or a few more if pages are short.
    pub(crate) async fn list(&self) -> Result<Vec<Deployment>, CallError> {
        let call = self.client.list_pipeline_executions().pipeline_name(&self.pipeline).max_results(PAGE);
        let mut pages = call.into_paginator().send();
        let mut deployments = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                let operation = format!("list the executions of CodePipeline {}", self.pipeline);
                let permission = "codepipeline:ListPipelineExecutions";
                CallError::new(operation, Remedy { setting: "CODE_PIPELINE_NAME", permission }, error)
            })?;
            deployments.extend(page.pipeline_execution_summaries.unwrap_or_default().into_iter().filter_map(read));
            if deployments.len() >= NEWEST {
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
        changed: execution.last_update_time.and_then(|time| SystemTime::try_from(time).ok()),
    })
}
