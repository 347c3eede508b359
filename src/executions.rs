//! The SageMaker pipeline's executions: list, describe, start.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutions.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineExecution.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html>.

use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::types::{SortOrder, SortPipelineExecutionsBy};

use crate::BoxError;
use crate::decision::StartRequest;
use crate::event::{Hint, is_active};

/// One run of the SageMaker pipeline, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The execution's ARN.
    pub arn: String,
    /// Whether it runs: its status is `Executing` or `Stopping`.
    pub active: bool,
    /// The name that it was started with.
    pub display_name: Option<String>,
}

/// A call to SageMaker that failed, retries included.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionsError {
    /// The executions could not be listed, so nothing was done.
    #[error(
        "cannot list the executions of SageMaker pipeline {pipeline}: check SAGEMAKER_PIPELINE_NAME and the permission sagemaker:ListPipelineExecutions"
    )]
    List {
        /// The configured pipeline.
        pipeline: String,
        /// What SageMaker or the network said.
        #[source]
        source: BoxError,
    },
    /// The execution that a status event names could not be described.
    #[error("cannot describe {execution_arn}: check the permission sagemaker:DescribePipelineExecution")]
    Describe {
        /// The execution.
        execution_arn: String,
        /// What SageMaker or the network said.
        #[source]
        source: BoxError,
    },
    /// The pipeline could not be started.
    #[error(
        "cannot start SageMaker pipeline {pipeline} as {display_name}: check that every parameter of the pipeline has a default, and the permission sagemaker:StartPipelineExecution"
    )]
    Start {
        /// The configured pipeline.
        pipeline: String,
        /// The display name that the execution would have had.
        display_name: String,
        /// What SageMaker or the network said.
        #[source]
        source: BoxError,
    },
}

/// The executions of one SageMaker pipeline.
#[derive(Clone, Debug)]
pub struct Executions {
    client: Client,
    pipeline: String,
}

/// The most that `ListPipelineExecutions` gives in one page, and so in one round trip.
const NEWEST: i32 = 100;

impl Executions {
    /// The executions of `pipeline`, seen through `client`.
    #[must_use]
    pub fn new(client: Client, pipeline: String) -> Self {
        Self { client, pipeline }
    }

    /// The newest 100 executions, newest first.
    ///
    /// # Errors
    /// [`ExecutionsError::List`].
    pub async fn list(&self) -> Result<Vec<Execution>, ExecutionsError> {
        let page = self
            .client
            .list_pipeline_executions()
            .pipeline_name(&self.pipeline)
            .sort_by(SortPipelineExecutionsBy::CreationTime)
            .sort_order(SortOrder::Descending)
            .max_results(NEWEST)
            .send()
            .await
            .map_err(|source| ExecutionsError::List { pipeline: self.pipeline.clone(), source: source.into() })?;
        let executions = page.pipeline_execution_summaries.unwrap_or_default();
        Ok(executions
            .into_iter()
            .filter_map(|summary| {
                Some(Execution {
                    arn: summary.pipeline_execution_arn?,
                    active: is_active(summary.pipeline_execution_status?.as_str()),
                    display_name: summary.pipeline_execution_display_name,
                })
            })
            .collect())
    }

    /// The newest executions together with the one that `hint` names, which is described at the same time: lists may lag, and
    /// a single execution's own record is the better witness. Where SageMaker does not know the execution (yet), the hint is the
    /// only witness there is.
    ///
    /// # Errors
    /// [`ExecutionsError::List`] or [`ExecutionsError::Describe`].
    pub async fn look(&self, hint: Option<&Hint>) -> Result<Vec<Execution>, ExecutionsError> {
        let Some(hint) = hint else {
            return self.list().await;
        };
        let (listed, described) = tokio::join!(self.list(), self.describe(&hint.execution_arn));
        let mut executions = listed?;
        let witnessed = described?.unwrap_or_else(|| Execution {
            arn: hint.execution_arn.clone(),
            active: hint.active,
            display_name: None,
        });
        executions.retain(|execution| !execution.arn.eq_ignore_ascii_case(&witnessed.arn));
        executions.insert(0, witnessed);
        Ok(executions)
    }

    /// The execution, or `None` where SageMaker knows none of that ARN.
    async fn describe(&self, execution_arn: &str) -> Result<Option<Execution>, ExecutionsError> {
        let answer = self.client.describe_pipeline_execution().pipeline_execution_arn(execution_arn).send().await;
        match answer {
            Ok(execution) => Ok(execution.pipeline_execution_status.map(|status| Execution {
                arn: execution_arn.to_owned(),
                active: is_active(status.as_str()),
                display_name: execution.pipeline_execution_display_name,
            })),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found()) => Ok(None),
            Err(error) => {
                Err(ExecutionsError::Describe { execution_arn: execution_arn.to_owned(), source: error.into() })
            }
        }
    }

    /// Starts the pipeline and gives the execution's ARN; asked again with the same token, SageMaker starts nothing and gives
    /// the same ARN.
    ///
    /// # Errors
    /// [`ExecutionsError::Start`].
    pub async fn start(&self, request: &StartRequest) -> Result<String, ExecutionsError> {
        let failed = |source: BoxError| ExecutionsError::Start {
            pipeline: self.pipeline.clone(),
            display_name: request.display_name.clone(),
            source,
        };
        self.client
            .start_pipeline_execution()
            .pipeline_name(&self.pipeline)
            .pipeline_execution_display_name(&request.display_name)
            .client_request_token(&request.token)
            .send()
            .await
            .map_err(|source| failed(source.into()))?
            .pipeline_execution_arn
            .ok_or_else(|| failed("SageMaker's answer has no PipelineExecutionArn".into()))
    }
}
