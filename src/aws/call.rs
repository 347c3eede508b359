//! A call to AWS that failed: what was attempted, what to do about it, and whether another try may help.

use std::time::SystemTime;

use aws_sdk_sagemaker::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sagemaker::primitives::DateTime;

/// Any error that an AWS client reports, kept as the source of a typed error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The most pages of one list that are read. A page may be short.
pub(super) const MOST_PAGES: usize = 100;

/// A time in an answer, if there is one that can be represented.
pub(super) fn time(time: Option<DateTime>) -> Option<SystemTime> {
    SystemTime::try_from(time?).ok()
}

/// A call to AWS that failed after the SDK's retries.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}: {advice}")]
pub(crate) struct CallError {
    operation: String,
    advice: String,
    cause: Cause,
    source: BoxError,
}

/// What a person checks when a call is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remedy<'a> {
    /// The variable, or another thing, that may be wrong if the service does not find or does not accept what the call names.
    pub(crate) setting: &'a str,
    /// The permission that may be missing.
    pub(crate) permission: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// A permission is missing.
    Denied,
    /// What the call names does not exist.
    NotFound,
    /// The service does not accept the request.
    Invalid,
    /// AWS itself manages what the call would change.
    Managed,
    /// A quota of the account is used up.
    Limit,
    /// A start is in conflict with an earlier one. AWS does not say more; a token that is known from another request is one cause.
    TokenUsed,
    /// The service throttles the calls.
    Throttled,
    /// The service refuses the call for another reason, such as a conflict with another call. This is temporary.
    Conflict,
    /// An internal error of the service, or the network. This is temporary.
    Unavailable,
}

impl Cause {
    fn of(code: Option<&str>) -> Self {
        match code {
            Some("AccessDeniedException" | "AccessDenied") => Self::Denied,
            Some(code) if code.contains("NotFound") => Self::NotFound,
            Some("ValidationException" | "ValidationError" | "LimitExceededException") => Self::Invalid,
            Some("ManagedRuleException") => Self::Managed,
            Some("ResourceLimitExceeded") => Self::Limit,
            // Of the calls that the router makes, only StartPipelineExecution has this error.
            Some("ConflictException") => Self::TokenUsed,
            Some(code) if code.contains("Throttl") || code == "TooManyRequestsException" => Self::Throttled,
            Some(code) if !code.starts_with("Internal") && !code.contains("Unavailable") => Self::Conflict,
            _ => Self::Unavailable,
        }
    }

    fn advice(self, remedy: Remedy<'_>) -> String {
        match self {
            Self::Denied => format!("check the permission {}", remedy.permission),
            Self::NotFound | Self::Invalid => format!("check {}", remedy.setting),
            Self::Managed => {
                format!("AWS manages this rule, so only AWS changes it: name another one in {}", remedy.setting)
            }
            Self::Limit => {
                "the account runs as many pipeline executions as its quota allows; the event will be tried again".into()
            }
            Self::TokenUsed => "SageMaker may have seen the start's token with another request; the event will be tried again; if this \
                                stays so, start an execution by hand (aws sagemaker start-pipeline-execution)"
                .into(),
            Self::Throttled => "AWS throttles the calls; the event will be tried again".into(),
            Self::Conflict => "AWS refused the call; the event will be tried again".into(),
            Self::Unavailable => "AWS was unavailable; the event will be tried again".into(),
        }
    }
}

impl CallError {
    /// `operation` completes the sentence "cannot …".
    pub(crate) fn new<E, R>(operation: impl Into<String>, remedy: Remedy<'_>, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let cause = Cause::of(error.code());
        Self { operation: operation.into(), advice: cause.advice(remedy), cause, source: error.into() }
    }

    /// The service answered, but the thing that the call looks for does not exist.
    pub(crate) fn not_found(operation: impl Into<String>, remedy: Remedy<'_>, source: impl Into<BoxError>) -> Self {
        let cause = Cause::NotFound;
        Self { operation: operation.into(), advice: cause.advice(remedy), cause, source: source.into() }
    }

    /// The request could not be built, or the answer lacks what the service promises.
    pub(crate) fn unusable(operation: impl Into<String>, source: impl Into<BoxError>) -> Self {
        let advice = "the event will be tried again".to_owned();
        Self { operation: operation.into(), advice, cause: Cause::Unavailable, source: source.into() }
    }

    /// Whether another try may help. A missing permission, a thing that does not exist and a request that is not accepted need a
    /// person.
    pub(crate) fn is_retryable(&self) -> bool {
        !matches!(self.cause, Cause::Denied | Cause::NotFound | Cause::Invalid | Cause::Managed)
    }

    /// Whether a quota of the account is used up.
    pub(crate) fn is_limit(&self) -> bool {
        self.cause == Cause::Limit
    }

    /// Whether a start is in conflict with an earlier one: SageMaker may know its token from another request.
    pub(crate) fn is_conflict(&self) -> bool {
        self.cause == Cause::TokenUsed
    }

    /// Whether the service does not accept the request.
    pub(crate) fn is_invalid(&self) -> bool {
        self.cause == Cause::Invalid
    }

    /// Whether what the call names does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.cause == Cause::NotFound
    }
}
