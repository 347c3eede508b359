//! A call that was served: which service, which operation, and what the caller received.

use serde_json::Value;

use crate::time::Time;

/// A service that a request names.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    SageMaker,
    CodePipeline,
    EventBridge,
    CloudWatch,
}

impl Service {
    pub(crate) fn of_target(target: &str) -> Option<(Self, &str)> {
        let (prefix, operation) = target.split_once('.')?;
        let service = match prefix {
            "SageMaker" => Self::SageMaker,
            "CodePipeline_20150709" => Self::CodePipeline,
            "AWSEvents" => Self::EventBridge,
            "GraniteServiceVersion20100801" => Self::CloudWatch,
            _ => return None,
        };
        Some((service, operation))
    }

    /// The name in IAM actions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SageMaker => "sagemaker",
            Self::CodePipeline => "codepipeline",
            Self::EventBridge => "events",
            Self::CloudWatch => "cloudwatch",
        }
    }

    /// The name in signatures.
    pub(crate) fn signing_name(self) -> &'static str {
        match self {
            Self::CloudWatch => "monitoring",
            other => other.name(),
        }
    }
}

/// One call that was served.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it was served.
    pub at: Time,
    /// The service, as IAM names it: `sagemaker`, `codepipeline`, `events` or `cloudwatch`.
    pub service: &'static str,
    /// The operation.
    pub operation: String,
    /// The ARN of the resource that it is about.
    pub resource: String,
    /// The request's input.
    pub input: Value,
    /// What the caller received: an answer, an error's code, or nothing.
    pub result: Result<Value, String>,
}

/// A function that is called with every call.
pub type Observer = Box<dyn FnMut(&Call) + Send>;

/// The operations of the four services that change nothing.
const READS: [&str; 8] = [
    "ListPipelineExecutions",
    "ListPipelineExecutionSteps",
    "DescribePipelineExecution",
    "GetPipelineState",
    "DescribeRule",
    "ListTagsForResource",
    "DescribeAlarms",
    "ListAlarmMuteRules",
];

/// Whether an operation changes nothing.
#[must_use]
pub fn only_reads(operation: &str) -> bool {
    READS.contains(&operation)
}

/// The operations that set a stage's transition, or a rule's state or tags.
const GUARD_WRITES: [&str; 6] =
    ["DisableStageTransition", "EnableStageTransition", "DisableRule", "EnableRule", "TagResource", "UntagResource"];

/// Whether an operation sets what the interlock uses: a stage's transition, or a rule's state or tags.
#[must_use]
pub fn sets_guard(operation: &str) -> bool {
    GUARD_WRITES.contains(&operation)
}
