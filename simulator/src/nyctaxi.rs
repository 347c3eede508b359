//! The names of the project of the sample events, as constants. `Project::nyctaxi` is this project as a value.

/// The AWS Region.
pub const REGION: &str = "us-east-1";
/// The account's 12 digits.
pub const ACCOUNT: &str = "123456789012";
/// The SageMaker pipeline that retrains the model.
pub const SAGEMAKER_PIPELINE: &str = "nyctaxi-pipeline";
/// Its ARN.
pub const SAGEMAKER_PIPELINE_ARN: &str = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline";
/// The ARN of its first execution in a new simulator.
pub const FIRST_EXECUTION_ARN: &str =
    "arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi-pipeline/execution/ib87gnc408me";
/// The CodePipeline that builds it.
pub const CODE_PIPELINE: &str = "sagemaker-nyctaxi-build";
/// The stage of the CodePipeline that waits while a retraining runs.
pub const STAGE: &str = "Build";
/// The rule of the retraining schedule.
pub const SCHEDULE_RULE: &str = "sagemaker-nyctaxi-schedule-build";
/// The rule of the drift alarms.
pub const DRIFT_RULE: &str = "sagemaker-nyctaxi-drift-build";
/// The heartbeat's rule.
pub const HEARTBEAT_RULE: &str = "sagemaker-nyctaxi-reconcile-build";
/// The schedule of EventBridge Scheduler.
pub const SCHEDULE: &str = "sagemaker-nyctaxi-weekly";
/// The alarm of the sample `drift-alarm`: drift in production.
pub const ALARM: &str = "sagemaker-nyctaxi-prod-threshold";
/// An alarm of other samples: drift in staging.
pub const STAGING_ALARM: &str = "sagemaker-nyctaxi-staging-threshold";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sagemaker::execution_id;

    #[test]
    fn the_arns_are_those_of_the_names() {
        assert_eq!(
            SAGEMAKER_PIPELINE_ARN,
            format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/{SAGEMAKER_PIPELINE}")
        );
        assert_eq!(FIRST_EXECUTION_ARN, format!("{SAGEMAKER_PIPELINE_ARN}/execution/{}", execution_id(0)));
    }
}
