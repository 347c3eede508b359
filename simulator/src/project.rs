//! The names of one project, and the environment variables of its router.

use std::collections::BTreeMap;

use crate::nyctaxi;
use crate::time::Time;

/// The names of one project.
#[derive(Clone, Debug)]
pub struct Project {
    /// The AWS Region.
    pub region: String,
    /// The account's 12 digits.
    pub account: String,
    /// The SageMaker pipeline that retrains the model.
    pub sagemaker_pipeline: String,
    /// The CodePipeline that builds it.
    pub code_pipeline: String,
    /// The CodePipeline's stages, in their order.
    pub stages: Vec<String>,
    /// The rule of the retraining schedule.
    pub schedule_rule: String,
    /// The rule of the drift alarms.
    pub drift_rule: String,
    /// The schedule of EventBridge Scheduler.
    pub schedule: String,
    /// The heartbeat's rule.
    pub heartbeat_rule: String,
    /// The time at which the world begins.
    pub begins: Time,
}

impl Project {
    /// The project of the sample events.
    #[must_use]
    pub fn nyctaxi() -> Self {
        Self {
            region: nyctaxi::REGION.into(),
            account: nyctaxi::ACCOUNT.into(),
            sagemaker_pipeline: nyctaxi::SAGEMAKER_PIPELINE.into(),
            code_pipeline: nyctaxi::CODE_PIPELINE.into(),
            stages: vec!["Source".into(), nyctaxi::STAGE.into()],
            schedule_rule: nyctaxi::SCHEDULE_RULE.into(),
            drift_rule: nyctaxi::DRIFT_RULE.into(),
            schedule: nyctaxi::SCHEDULE.into(),
            heartbeat_rule: nyctaxi::HEARTBEAT_RULE.into(),
            begins: Time::from_secs(1_622_187_201), // 2021-05-28T07:33:21Z
        }
    }

    /// The environment of a router of this project, as its stack sets it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 7] {
        [
            ("SAGEMAKER_PIPELINE_NAME", &self.sagemaker_pipeline),
            ("CODE_PIPELINE_NAME", &self.code_pipeline),
            ("BUILD_STAGE_NAME", nyctaxi::STAGE),
            ("SCHEDULE_RULE_NAME", &self.schedule_rule),
            ("SCHEDULE_NAME", &self.schedule),
            ("DRIFT_RULE_NAME", &self.drift_rule),
            ("HEARTBEAT_NAME", &self.heartbeat_rule),
        ]
    }

    /// The ARN of the router's function.
    #[must_use]
    pub fn function_arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:drift-router", self.region, self.account)
    }

    /// A function that returns the value of each variable of [`Project::environment`]. `changed` replaces variables and adds others.
    /// An empty value stays empty.
    pub fn lookup(&self, changed: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
        let environment = self.environment();
        let variables =
            environment.iter().chain(changed).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables: BTreeMap<String, String> = variables.collect();
        move |name| variables.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_finds_the_projects_variables_and_the_changed_ones() {
        let lookup = Project::nyctaxi().lookup(&[("BUILD_STAGE_NAME", ""), ("DRIFT_COOLDOWN", "1d")]);
        assert_eq!(lookup("SAGEMAKER_PIPELINE_NAME").as_deref(), Some("nyctaxi-pipeline"));
        assert_eq!(lookup("BUILD_STAGE_NAME").as_deref(), Some(""));
        assert_eq!(lookup("DRIFT_COOLDOWN").as_deref(), Some("1d"));
        assert_eq!(lookup("METRICS_NAMESPACE"), None);
    }
}
