//! The answers to CodePipeline's jobs: a Lambda-invoke action waits until the job that it gave the function is answered.
//!
//! The first call for an action is answered with a continuation token, and so is every further one while the execution runs; the
//! token is the execution's ARN. CodePipeline then calls again, with the token, until the answer has none.
//! <https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html>,
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutJobSuccessResult.html>.

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::types::{FailureDetails, FailureType};

use crate::BoxError;

/// What a job is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The execution of this ARN runs: ask again.
    Continue(&'a str),
    /// The execution of this ARN succeeded.
    Succeed(&'a str),
    /// The execution of this ARN ended otherwise.
    Fail {
        /// The execution's ARN.
        execution_arn: &'a str,
        /// How, and why.
        message: &'a str,
    },
    /// There is nothing to wait for, and a retry would change nothing.
    Refuse(&'a str),
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// CodePipeline took it.
    Taken,
    /// The job had been answered before, had timed out, or its action had been stopped.
    NotInProgress,
}

/// A job could not be answered, retries included.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot answer CodePipeline job {job_id}: check the permissions codepipeline:PutJobSuccessResult and PutJobFailureResult"
)]
pub struct JobError {
    job_id: String,
    #[source]
    source: BoxError,
}

/// The longest message that CodePipeline takes, in characters.
const MESSAGE_LENGTH: usize = 5000;

/// Answers the job of this id.
///
/// # Errors
/// [`JobError`]. A job that is not in progress any more is none: there is nobody left to answer.
pub async fn answer(client: &Client, job_id: &str, answer: Answer<'_>) -> Result<Answered, JobError> {
    let success = client.put_job_success_result().job_id(job_id);
    let put = match answer {
        // A continuation token and output variables exclude each other.
        Answer::Continue(execution_arn) => taken(success.continuation_token(execution_arn).send().await),
        Answer::Succeed(execution_arn) => {
            let success = success.output_variables("PipelineExecutionArn", execution_arn);
            taken(success.output_variables("Status", "Succeeded").send().await)
        }
        Answer::Fail { execution_arn, message } => {
            fail(client, job_id, FailureType::JobFailed, message, Some(execution_arn)).await
        }
        Answer::Refuse(message) => fail(client, job_id, FailureType::ConfigurationError, message, None).await,
    };
    put.map_err(|source| JobError { job_id: job_id.to_owned(), source })
}

async fn fail(
    client: &Client,
    job_id: &str,
    kind: FailureType,
    message: &str,
    execution_arn: Option<&str>,
) -> Result<Answered, BoxError> {
    let message: String = message.chars().take(MESSAGE_LENGTH).collect();
    let details = FailureDetails::builder().r#type(kind).message(message);
    let details = details.set_external_execution_id(execution_arn.map(str::to_owned)).build()?;
    taken(client.put_job_failure_result().job_id(job_id).failure_details(details).send().await)
}

fn taken<T, E, R>(put: Result<T, SdkError<E, R>>) -> Result<Answered, BoxError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match put {
        Ok(_) => Ok(Answered::Taken),
        Err(error) if error.code() == Some("InvalidJobStateException") => Ok(Answered::NotInProgress),
        Err(error) => Err(error.into()),
    }
}
