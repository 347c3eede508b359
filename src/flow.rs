//! The context of an invocation, and the flows' error. A flow observes, carries out what `policy` decides, and verifies.
//!
//! - [`observation`]: executions and guards, read at once.
//! - [`interlock`]: observe, compare, apply, observe again, until every guard is as it should be.
//! - [`retrain`]: make sure that an occurrence has its execution.
//! - [`heartbeat`]: set the guards, then carry out the plan.
//! - [`job`]: the protocol of a CodePipeline action that waits.
//! - [`status`]: what the router sees, and what it does next, without any change.

pub(crate) mod heartbeat;
pub(crate) mod interlock;
pub(crate) mod job;
pub(crate) mod observation;
pub(crate) mod retrain;
pub(crate) mod status;

use crate::aws::{Aws, CallError};
use crate::config::Config;
use crate::model::FunctionArn;

/// What every flow of one invocation uses.
#[derive(Debug)]
pub(crate) struct Invocation<'a> {
    pub(crate) config: &'a Config,
    pub(crate) aws: &'a Aws,
    /// `None` if Lambda states no function's ARN, as with local emulators.
    pub(crate) function: Option<FunctionArn>,
}

/// Why a flow failed: all faults. Lambda tries the event again, and that try completes what was done so far.
#[derive(Debug, thiserror::Error)]
#[error("{}", joined(.0))]
pub(crate) struct Error(Vec<Fault>);

/// One fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Call(CallError),
    /// A guard that could not be read or set.
    #[error(transparent)]
    Guard(CallError),
    #[error("the guards did not converge in {rounds} rounds: check whether somebody else enables and disables them")]
    DidNotConverge { rounds: usize },
    /// For a start, SageMaker returned an execution of another occurrence, and that execution has ended: the list lags.
    #[error(
        "SageMaker returned {execution_arn}, which an earlier trigger started and which has ended: the list of executions lags; the event will be tried again"
    )]
    ListLags { execution_arn: String },
    #[error(
        "CodePipeline's list does not show yet when the execution succeeded, and a pipeline parameter needs that time; the event will be tried again"
    )]
    DeploymentListLags,
    /// SageMaker returned the ARN of an execution that it does not find. The pipeline was deleted and made again, for example, and the
    /// start's token is known from before.
    #[error(
        "SageMaker answered the start with {execution_arn}, but finds no such execution: if it does not appear within minutes, start one by hand (aws sagemaker start-pipeline-execution)"
    )]
    NotStarted { execution_arn: String },
    /// A request that can never be served.
    #[error("the request cannot be served: {0}")]
    Request(String),
    #[error("Lambda's deadline is near, and AWS has not answered all calls; the event will be tried again")]
    Deadline,
}

impl Error {
    /// Whether another try may help.
    pub(crate) fn is_retryable(&self) -> bool {
        self.0.iter().all(|fault| match fault {
            Fault::Call(error) => error.is_retryable(),
            Fault::Request(_) => false,
            // A guard's fault does not concern a start.
            Fault::Guard(_)
            | Fault::DidNotConverge { .. }
            | Fault::ListLags { .. }
            | Fault::DeploymentListLags
            | Fault::NotStarted { .. }
            | Fault::Deadline => true,
        })
    }

    /// The ARN of the execution that SageMaker returned and does not find, if that is the only fault.
    pub(crate) fn not_started(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Fault::NotStarted { execution_arn }] => Some(execution_arn),
            _ => None,
        }
    }

    /// Whether a start is in conflict with an earlier one: its token may be known from another request.
    pub(crate) fn is_conflict(&self) -> bool {
        self.0.iter().any(|fault| matches!(fault, Fault::Call(call) if call.is_conflict()))
    }

    /// Whether a call found that its resource does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.0.iter().any(|fault| matches!(fault, Fault::Call(call) if call.is_not_found()))
    }

    /// The name of the first fault, as Lambda reports it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.0.first() {
            Some(Fault::DidNotConverge { .. }) => "DidNotConverge",
            Some(Fault::ListLags { .. } | Fault::DeploymentListLags) => "ListLags",
            Some(Fault::NotStarted { .. }) => "NotStarted",
            Some(Fault::Deadline) => "Deadline",
            // As every other event that is wrong.
            Some(Fault::Request(_)) => "EventError",
            Some(Fault::Call(_) | Fault::Guard(_)) | None => "AwsCallError",
        }
    }

    /// One error for all calls that failed, or `None` if none did.
    pub(crate) fn of_calls(calls: impl IntoIterator<Item = CallError>) -> Option<Self> {
        Self::of(calls.into_iter().map(Fault::Call))
    }

    /// One error for all guards that could not be read or set, or `None` if there is none.
    pub(crate) fn of_guards(guards: impl IntoIterator<Item = CallError>) -> Option<Self> {
        Self::of(guards.into_iter().map(Fault::Guard))
    }

    /// One error with the faults of all, if there is any.
    pub(crate) fn all(errors: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        errors.into_iter().reduce(|error, other| error.and(Some(other))).map_or(Ok(()), Err)
    }

    fn of(faults: impl Iterator<Item = Fault>) -> Option<Self> {
        let faults: Vec<Fault> = faults.collect();
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// The error, with the faults of another.
    pub(crate) fn and(mut self, other: Option<Self>) -> Self {
        self.0.extend(other.into_iter().flat_map(|other| other.0));
        self
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Fault::Call(error).into()
    }
}

/// Joins two results into one. If both failed, the error has the faults of both.
pub(crate) fn both<T, U>(
    one: Result<T, impl Into<Error>>,
    other: Result<U, impl Into<Error>>,
) -> Result<(T, U), Error> {
    match (one.map_err(Into::into), other.map_err(Into::into)) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Err(other)) => Err(error.and(Some(other))),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

fn joined(faults: &[Fault]) -> String {
    let faults: Vec<String> = faults.iter().map(|fault| chain(fault)).collect();
    faults.join("; ")
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |line, source| format!("{line}: {source}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_try_may_help_unless_the_request_itself_is_wrong() {
        let is_retryable = |fault: Fault| Error::from(fault).is_retryable();
        assert!(!is_retryable(Fault::Request("a parameter is too long".to_owned())));
        for fault in [Fault::DidNotConverge { rounds: 3 }, Fault::DeploymentListLags, Fault::Deadline] {
            let text = fault.to_string();
            assert!(is_retryable(fault), "{text}");
        }
    }
}
