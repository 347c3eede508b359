//! The documented patterns and lengths of the services' inputs, and functions that check inputs against them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

/// An error that a service returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The error's code, such as `ValidationException`.
    pub code: String,
    /// The error's text.
    pub message: String,
}

impl ApiError {
    /// An error of the request: HTTP 400.
    #[must_use]
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { status: 400, code: code.to_owned(), message: message.into() }
    }

    /// An error of the service: HTTP 500.
    #[must_use]
    pub fn internal() -> Self {
        Self { status: 500, code: "InternalFailure".into(), message: "We encountered an internal error.".into() }
    }

    /// The body of the error in the JSON protocol.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "__type": self.code, "message": self.message })
    }
}

/// The strings that a service accepts.
pub struct Shape {
    min: usize,
    max: usize,
    pattern: LazyLock<Result<Regex, regex::Error>>,
    source: &'static str,
}

/// A [`Shape`] from its documentation: minimum and maximum length in characters, and pattern.
macro_rules! shape {
    ($min:literal, $max:literal, $pattern:literal) => {
        Shape {
            min: $min,
            max: $max,
            pattern: LazyLock::new(|| Regex::new(concat!("^(?:", $pattern, ")$"))),
            source: $pattern,
        }
    };
}

/// SageMaker's `PipelineNameOrArn`.
pub static PIPELINE_NAME_OR_ARN: Shape = shape!(
    1,
    256,
    r"(arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:pipeline/.*)|([a-zA-Z0-9](-*[a-zA-Z0-9]){0,255})"
);
/// SageMaker's `PipelineExecutionArn`.
pub static PIPELINE_EXECUTION_ARN: Shape =
    shape!(1, 256, r"arn:aws[a-z\-]*:sagemaker:[a-z0-9\-]*:[0-9]{12}:pipeline/.*/execution/.*");
/// SageMaker's `PipelineExecutionName`.
pub static PIPELINE_EXECUTION_NAME: Shape = shape!(1, 82, r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}");
/// SageMaker's `PipelineExecutionDescription`.
pub static PIPELINE_EXECUTION_DESCRIPTION: Shape = shape!(0, 3072, r".*");
/// SageMaker's `PipelineParameterName`.
pub static PIPELINE_PARAMETER_NAME: Shape = shape!(1, 256, r"[A-Za-z0-9\-_]*");
/// The value of SageMaker's `Parameter`.
pub static PIPELINE_PARAMETER_VALUE: Shape = shape!(0, 1024, r"(?s).*");
/// SageMaker's `IdempotencyToken`.
pub static IDEMPOTENCY_TOKEN: Shape = shape!(32, 128, r"(?s).*");
/// CodePipeline's `PipelineName` and `StageName`.
pub static CODE_PIPELINE_NAME: Shape = shape!(1, 100, r"[A-Za-z0-9.@\-_]+");
/// CodePipeline's `DisabledReason`.
pub static DISABLED_REASON: Shape = shape!(1, 300, r"[a-zA-Z0-9!@ \(\)\.\*\?\-]+");
/// CodePipeline's `StageTransitionType`.
pub static TRANSITION_TYPE: Shape = shape!(1, 8, r"Inbound|Outbound");
/// CodePipeline's `JobId`.
pub static JOB_ID: Shape = shape!(36, 36, r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}");
/// CodePipeline's `ContinuationToken`.
pub static CONTINUATION_TOKEN: Shape = shape!(1, 2048, r"(?s).*");
/// CodePipeline's `OutputVariablesKey`.
pub static OUTPUT_VARIABLE_KEY: Shape = shape!(1, 100, r"[A-Za-z0-9@\-_]+");
/// CodePipeline's `FailureType`.
pub static FAILURE_TYPE: Shape = shape!(
    1,
    30,
    r"JobFailed|ConfigurationError|PermissionError|RevisionOutOfSync|RevisionUnavailable|SystemUnavailable"
);
/// CodePipeline's `Message`.
pub static FAILURE_MESSAGE: Shape = shape!(1, 5000, r"(?s).*");
/// CodePipeline's `ExecutionId`.
pub static EXTERNAL_EXECUTION_ID: Shape = shape!(1, 1500, r"(?s).*");
/// CloudWatch's `AlarmName`.
pub static ALARM_NAME: Shape = shape!(1, 255, r"(?s).*");
/// EventBridge's `RuleName`.
pub static RULE_NAME: Shape = shape!(1, 64, r"[\.\-_A-Za-z0-9]+");
/// EventBridge's `Arn`.
pub static RULE_ARN: Shape = shape!(1, 1600, r"(?s).*");
/// EventBridge's `TagKey`.
pub static TAG_KEY: Shape = shape!(1, 128, r"(?s).*");
/// EventBridge's `TagValue`.
pub static TAG_VALUE: Shape = shape!(0, 256, r"(?s).*");

/// One request's input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a Value);

impl<'a> Input<'a> {
    /// The required member `name`, which must match `shape`.
    ///
    /// # Errors
    /// `ValidationException`, with the services' message, if the member is absent or does not match.
    pub fn required(self, name: &str, shape: &Shape) -> Result<&'a str, ApiError> {
        self.optional(name, shape)?.ok_or_else(|| invalid("null", name, "Member must not be null"))
    }

    /// The optional member `name`, which must match `shape`.
    ///
    /// # Errors
    /// `ValidationException`, with the services' message, if the member does not match.
    pub fn optional(self, name: &str, shape: &Shape) -> Result<Option<&'a str>, ApiError> {
        match &self.0[name] {
            Value::Null => Ok(None),
            Value::String(text) => shape.check(name, text).map(|()| Some(text.as_str())),
            _ => Err(ApiError::refused("SerializationException", format!("{name} is not a string"))),
        }
    }

    /// The optional member `name`, an integer from `min` to `max`.
    ///
    /// # Errors
    /// `ValidationException`, with the services' message, if the member is not such an integer.
    pub fn integer(self, name: &str, min: u64, max: u64) -> Result<Option<u64>, ApiError> {
        match &self.0[name] {
            Value::Null => Ok(None),
            value => value.as_u64().filter(|n| (min..=max).contains(n)).map(Some).ok_or_else(|| {
                invalid(&value.to_string(), name, &format!("Member must have value between {min} and {max}"))
            }),
        }
    }

    /// The optional member `name`, one of `words`.
    ///
    /// # Errors
    /// `ValidationException`, with the services' message, if the member is not one of them.
    pub fn one_of(self, name: &str, words: &[&str]) -> Result<Option<&'a str>, ApiError> {
        match &self.0[name] {
            Value::Null => Ok(None),
            value => value.as_str().filter(|word| words.contains(word)).map(Some).ok_or_else(|| {
                invalid(&value.to_string(), name, &format!("Member must satisfy enum value set: {words:?}"))
            }),
        }
    }
}

impl Shape {
    /// Checks `text`, the member `name` of an input.
    ///
    /// # Errors
    /// `ValidationException`, with the services' message, if the text does not match.
    pub fn check(&self, name: &str, text: &str) -> Result<(), ApiError> {
        let length = text.chars().count();
        if !(self.min..=self.max).contains(&length) {
            let constraint = format!("Member must have length from {} to {}", self.min, self.max);
            return Err(invalid(text, name, &constraint));
        }
        match &*self.pattern {
            Ok(pattern) if pattern.is_match(text) => Ok(()),
            Ok(_) => {
                let constraint = format!("Member must satisfy regular expression pattern: {}", self.source);
                Err(invalid(text, name, &constraint))
            }
            Err(error) => Err(ApiError { message: error.to_string(), ..ApiError::internal() }),
        }
    }
}

fn invalid(value: &str, name: &str, constraint: &str) -> ApiError {
    ApiError::refused(
        "ValidationException",
        format!("1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: {constraint}"),
    )
}
