//! CodePipeline: the answers to the jobs of Lambda actions.
//!
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobFailureResult.html>.

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::{FailureDetails, FailureType};

use crate::aws::call::{CallError, Remedy};

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
            Err(CallError::new(to_answer(job_id), Remedy { setting, permission }, error))
        }
    }
}
