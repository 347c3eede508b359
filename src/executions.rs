//! The SageMaker pipeline's executions: list, describe, start.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListPipelineExecutions.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineExecution.html>,
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StartPipelineExecution.html>.

use std::time::SystemTime;

use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sagemaker::types::{Parameter, SortOrder, SortPipelineExecutionsBy};

use crate::BoxError;
use crate::config::Config;
use crate::decision::StartRequest;
use crate::event::Hint;

/// One run of the SageMaker pipeline, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The execution's ARN.
    pub arn: String,
    /// Whether it runs, or how it ended.
    pub status: Status,
    /// The name that it was started with.
    pub display_name: Option<String>,
    /// When it was first started.
    pub started: Option<SystemTime>,
}

/// A `PipelineExecutionStatus`, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs: `Executing` or `Stopping`.
    Active,
    /// It ended as it should.
    Succeeded,
    /// It ended in another way. Any word but the three is an end, so that a status that AWS adds later does not hold the build
    /// line for ever.
    Unsuccessful {
        /// SageMaker's word: `Failed`, `Stopped`, `CompletedWithFailures`, …
        word: String,
        /// SageMaker's reason, where it was asked for and has one.
        reason: Option<String>,
    },
}

impl Execution {
    /// Whether it runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "Executing" | "Stopping" => Self::Active,
            "Succeeded" => Self::Succeeded,
            _ => Self::Unsuccessful { word: word.to_owned(), reason: None },
        }
    }
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
        /// Whether no retry can mend it.
        lasting: bool,
        /// What SageMaker or the network said.
        #[source]
        source: BoxError,
    },
    /// The execution that a status event names could not be described.
    #[error("cannot describe {execution_arn}: check the permission sagemaker:DescribePipelineExecution")]
    Describe {
        /// The execution.
        execution_arn: String,
        /// Whether no retry can mend it.
        lasting: bool,
        /// What SageMaker or the network said.
        #[source]
        source: BoxError,
    },
    /// The pipeline could not be started.
    #[error(
        "cannot start SageMaker pipeline {pipeline} as {display_name}: check {}that every other parameter of the pipeline has a default, and the permission sagemaker:StartPipelineExecution",
        trigger_parameter.as_ref().map(|name| format!("that the pipeline has the parameter {name} which TRIGGER_PARAMETER_NAME names, ")).unwrap_or_default()
    )]
    Start {
        /// The configured pipeline.
        pipeline: String,
        /// The display name that the execution would have had.
        display_name: String,
        /// The parameter that was sent.
        trigger_parameter: Option<String>,
        /// Whether no retry can mend it.
        lasting: bool,
        /// What SageMaker or the network said.
        #[source]
        source: BoxError,
    },
}

impl ExecutionsError {
    /// Whether no retry can mend it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let (Self::List { lasting, .. } | Self::Describe { lasting, .. } | Self::Start { lasting, .. }) = self;
        *lasting
    }
}

/// Whether SageMaker refuses the call for what it asks or for who asks it. All else (throttling, a limit, an internal error, the
/// network) passes.
fn is_lasting<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(
        error.code(),
        Some("AccessDeniedException" | "ResourceNotFound" | "ValidationException" | "ValidationError")
    )
}

/// The executions of one SageMaker pipeline.
#[derive(Clone, Debug)]
pub struct Executions {
    client: Client,
    pipeline: String,
    trigger_parameter: Option<String>,
}

/// The most that `ListPipelineExecutions` gives in one page, and so in one round trip.
const NEWEST: i32 = 100;

impl Executions {
    /// The executions of the pipeline that `config` names, seen through `client`.
    #[must_use]
    pub fn new(config: &Config, client: Client) -> Self {
        Self {
            client,
            pipeline: config.sagemaker_pipeline.clone(),
            trigger_parameter: config.trigger_parameter.clone(),
        }
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
            .map_err(|error| ExecutionsError::List {
                pipeline: self.pipeline.clone(),
                lasting: is_lasting(&error),
                source: error.into(),
            })?;
        let executions = page.pipeline_execution_summaries.unwrap_or_default();
        Ok(executions
            .into_iter()
            .filter_map(|summary| {
                Some(Execution {
                    arn: summary.pipeline_execution_arn?,
                    status: Status::from(summary.pipeline_execution_status?.as_str()),
                    display_name: summary.pipeline_execution_display_name,
                    started: summary.start_time.and_then(|time| SystemTime::try_from(time).ok()),
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
            status: hint.status.clone(),
            display_name: None,
            started: None,
        });
        executions.retain(|execution| !execution.arn.eq_ignore_ascii_case(&witnessed.arn));
        executions.insert(0, witnessed);
        Ok(executions)
    }

    /// The execution, or `None` where SageMaker knows none of that ARN.
    ///
    /// # Errors
    /// [`ExecutionsError::Describe`].
    pub async fn describe(&self, execution_arn: &str) -> Result<Option<Execution>, ExecutionsError> {
        let answer = self.client.describe_pipeline_execution().pipeline_execution_arn(execution_arn).send().await;
        match answer {
            Ok(execution) => Ok(execution.pipeline_execution_status.map(|status| Execution {
                arn: execution_arn.to_owned(),
                status: match Status::from(status.as_str()) {
                    Status::Unsuccessful { word, .. } => {
                        Status::Unsuccessful { word, reason: execution.failure_reason }
                    }
                    status => status,
                },
                display_name: execution.pipeline_execution_display_name,
                started: execution.creation_time.and_then(|time| SystemTime::try_from(time).ok()),
            })),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found()) => Ok(None),
            Err(error) => Err(ExecutionsError::Describe {
                execution_arn: execution_arn.to_owned(),
                lasting: is_lasting(&error),
                source: error.into(),
            }),
        }
    }

    /// Starts the pipeline and gives the execution's ARN; asked again with the same token, SageMaker starts nothing and gives
    /// the same ARN.
    ///
    /// # Errors
    /// [`ExecutionsError::Start`].
    pub async fn start(&self, request: &StartRequest) -> Result<String, ExecutionsError> {
        let failed = |lasting: bool, source: BoxError| ExecutionsError::Start {
            pipeline: self.pipeline.clone(),
            display_name: request.display_name.clone(),
            trigger_parameter: self.trigger_parameter.clone(),
            lasting,
            source,
        };
        let parameter = |name| Parameter::builder().name(name).value(request.trigger.parameter_value()).build();
        self.client
            .start_pipeline_execution()
            .pipeline_name(&self.pipeline)
            .pipeline_execution_display_name(&request.display_name)
            .client_request_token(&request.token)
            .set_pipeline_parameters(self.trigger_parameter.as_ref().map(|name| vec![parameter(name)]))
            .send()
            .await
            .map_err(|error| failed(is_lasting(&error), error.into()))?
            .pipeline_execution_arn
            .ok_or_else(|| failed(false, "SageMaker's answer has no PipelineExecutionArn".into()))
    }
}
