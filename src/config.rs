//! The configuration: the only reader of the environment.
//!
//! Of the AWS SDK's variables, it reads `AWS_REGION` and `AWS_CA_BUNDLE`, which decide whose certificates are trusted, and those that
//! make the SDK panic if they are wrong. The SDK itself reads Region, credentials and endpoints (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use serde_json::{Map, Value};
use tracing_subscriber::filter::LevelFilter;

use crate::model::{DeploymentTrigger, Mode};
use crate::parameters::Parameters;

/// What this function watches, starts and pauses. Every name satisfies its service's documented pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SageMaker pipeline that retrains the model.
    pub(crate) sagemaker_pipeline: String,
    /// What the router may change.
    pub(crate) mode: Mode,
    /// The CodePipeline that builds the model, if there is one.
    pub(crate) code_pipeline: Option<CodePipeline>,
    /// The rule of the retraining schedule, paused while an execution runs.
    pub(crate) schedule_rule: Option<String>,
    /// The rule of the drift alarms, paused while an execution runs.
    pub(crate) drift_rule: Option<String>,
    /// A schedule of EventBridge Scheduler that starts retrainings. It is never paused.
    pub(crate) schedule: Option<String>,
    /// The heartbeat's rule, or its schedule of EventBridge Scheduler, which is never paused.
    pub(crate) heartbeat: Option<String>,
    /// The pipeline parameters of every start.
    pub(crate) parameters: Parameters,
    /// How the CodePipeline requests a retraining.
    pub(crate) deployment_trigger: DeploymentTrigger,
    /// The alarms that count as drift. If empty, every alarm whose event arrives counts.
    pub(crate) drift_alarms: Vec<String>,
    /// Drift starts nothing for this long after the start of any execution.
    pub(crate) drift_cooldown: Option<Duration>,
    /// A heartbeat starts nothing while this many executions started within 24 hours. 0: heartbeats never start anything.
    pub(crate) catch_up_per_day: usize,
    warnings: Vec<String>,
}

/// A CodePipeline and its guarded stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodePipeline {
    pub(crate) name: String,
    /// The stage whose inbound transition is disabled while an execution runs.
    pub(crate) build_stage: String,
}

/// How the function logs, from Lambda's advanced logging controls
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-advanced.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The level of the router's own lines.
    pub level: LevelFilter,
    /// One JSON object a line, instead of text.
    pub json: bool,
}

/// Settings of the AWS SDK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdkSettings {
    pub(crate) trust: Trust,
    pub(crate) retries: Retries,
}

/// How the SDK repeats calls, from `AWS_MAX_ATTEMPTS` and `AWS_RETRY_MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    /// How many times a call is tried, including the first attempt. `None` is the SDK's default.
    pub(crate) max_attempts: Option<NonZeroU32>,
    /// The mode `adaptive`; else `standard`.
    pub(crate) is_adaptive: bool,
}

/// Which certificate authorities the connections to AWS trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Amazon Trust Services, which certifies the endpoints of the partitions `aws` and `aws-us-gov`.
    Amazon,
    /// Those that the machine trusts.
    Machine,
    /// Those in a file in PEM format, which `AWS_CA_BUNDLE` names, as for the AWS CLI.
    Bundle(PathBuf),
}

/// The first words of the Regions of the partition `aws`: `us-east-1`, `eu-central-2`, …
/// (<https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json>).
const AWS_REGIONS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];

impl Trust {
    /// A partition that is not known to use Amazon's certificates takes the machine's, which work everywhere.
    fn of(bundle: Option<String>, region: &str) -> Self {
        if let Some(path) = bundle {
            return Self::Bundle(path.into());
        }
        match region.split('-').collect::<Vec<_>>()[..] {
            [area, _, _] if AWS_REGIONS.contains(&area) => Self::Amazon,
            ["us", "gov", _, _] => Self::Amazon,
            _ => Self::Machine,
        }
    }
}

/// Every fault of the configuration at once, so that one deployment corrects them all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    faults: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the function's environment variables are wrong, so it cannot start: {}", self.faults.join("; "))
    }
}

impl Config {
    /// Reads the configuration and the settings of the AWS SDK from the process's environment.
    ///
    /// # Errors
    /// One [`ConfigError`] that names every variable that is missing or unusable.
    pub fn from_env() -> Result<(Self, SdkSettings), ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// As [`Config::from_env`], through `lookup`. An empty value counts as unset, as templates pass it for "none".
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<(Self, SdkSettings), ConfigError> {
        let mut reader = Reader { lookup, faults: Vec::new(), warnings: Vec::new() };
        let sagemaker_pipeline = reader.required("SAGEMAKER_PIPELINE_NAME", &SAGEMAKER_PIPELINE);
        let mode = reader.mode("MODE");
        let code_pipeline = reader.code_pipeline("CODE_PIPELINE_NAME", "BUILD_STAGE_NAME");
        let schedule_rule = reader.optional("SCHEDULE_RULE_NAME", &RULE);
        let schedule = reader.optional("SCHEDULE_NAME", &SCHEDULE);
        let drift_rule = reader.optional("DRIFT_RULE_NAME", &RULE);
        let heartbeat = reader.renamed("HEARTBEAT_NAME", "RECONCILE_RULE_NAME", &RULE);
        let parameters = reader.parameters("PIPELINE_PARAMETERS");
        reader.removed("TRIGGER_PARAMETER_NAME", "PIPELINE_PARAMETERS={\"NAME\": \"{trigger}\"}");
        let deployment_trigger = reader.deployment_trigger("DEPLOYMENT_TRIGGER", code_pipeline.is_some());
        let drift_alarms = reader.alarms("DRIFT_ALARM_NAMES");
        let drift_cooldown = reader.cooldown("DRIFT_COOLDOWN", !drift_alarms.is_empty());
        let catch_up_per_day = reader.catch_up_per_day("CATCH_UP_PER_DAY");
        let named_heartbeat = ("HEARTBEAT_NAME", &heartbeat);
        // A heartbeat that is also a schedule would be paused with it, or start retrainings.
        reader.distinct(&[("SCHEDULE_RULE_NAME", &schedule_rule), ("DRIFT_RULE_NAME", &drift_rule), named_heartbeat]);
        reader.distinct(&[("SCHEDULE_NAME", &schedule), named_heartbeat]);
        let sdk = reader.sdk_settings();
        match sagemaker_pipeline {
            Some(sagemaker_pipeline) if reader.faults.is_empty() => {
                let config = Self {
                    sagemaker_pipeline,
                    mode,
                    code_pipeline,
                    schedule_rule,
                    schedule,
                    drift_rule,
                    heartbeat,
                    parameters,
                    deployment_trigger,
                    drift_alarms,
                    drift_cooldown,
                    catch_up_per_day,
                    warnings: reader.warnings,
                };
                Ok((config, sdk))
            }
            _ => Err(ConfigError { faults: reader.faults }),
        }
    }

    /// What still works, but has to be changed before a later version.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether heartbeats start what is owed. Then an occurrence that a heartbeat finds again may wait for one.
    pub(crate) fn heartbeat_starts(&self) -> bool {
        self.heartbeat.is_some() && self.catch_up_per_day > 0
    }

    /// The CodePipeline's name.
    pub(crate) fn code_pipeline_name(&self) -> Option<&str> {
        self.code_pipeline.as_ref().map(|pipeline| pipeline.name.as_str())
    }
}

impl Logging {
    /// Reads `AWS_LAMBDA_LOG_LEVEL` (`INFO` where unset or unknown: a log level must not keep the function from starting) and
    /// `AWS_LAMBDA_LOG_FORMAT` (`JSON` or text).
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// As [`Logging::from_env`], through `lookup`.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let level = match lookup("AWS_LAMBDA_LOG_LEVEL") {
            // Lambda has a level above ERROR; tracing has none.
            Some(level) if level.eq_ignore_ascii_case("FATAL") => LevelFilter::ERROR,
            Some(level) => level.parse().unwrap_or(LevelFilter::INFO),
            None => LevelFilter::INFO,
        };
        let json = lookup("AWS_LAMBDA_LOG_FORMAT").is_some_and(|f| f.eq_ignore_ascii_case("JSON"));
        Self { level, json }
    }
}

/// What a service accepts as a name.
struct NamePattern {
    max_length: usize,
    punctuation: &'static str,
    starts_and_ends_alphanumeric: bool,
    words: &'static str,
}

/// `CreatePipeline`'s `PipelineName`: `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}`.
const SAGEMAKER_PIPELINE: NamePattern = NamePattern {
    max_length: 256,
    punctuation: "-",
    starts_and_ends_alphanumeric: true,
    words: "1 to 256 letters, digits and inner hyphens (the name, not the ARN)",
};

/// CodePipeline's `PipelineName` and `StageName`: `[A-Za-z0-9.@\-_]+`, 1 to 100 characters.
const CODE_PIPELINE: NamePattern = NamePattern {
    max_length: 100,
    punctuation: ".@-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 100 letters, digits and . @ - _",
};

/// EventBridge's `RuleName`: `[\.\-_A-Za-z0-9]+`, 1 to 64 characters.
const RULE: NamePattern = NamePattern {
    max_length: 64,
    punctuation: ".-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 64 letters, digits and . - _ (the name, not the ARN)",
};

/// EventBridge Scheduler's `Name`: `[0-9a-zA-Z\-_.]+`, 1 to 64 characters.
const SCHEDULE: NamePattern = NamePattern {
    max_length: 64,
    punctuation: ".-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 64 letters, digits and . - _ (the schedule's name, without its group)",
};

impl NamePattern {
    fn accepts(&self, name: &str) -> bool {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        !name.is_empty()
            && name.len() <= self.max_length
            && name.chars().all(|c| c.is_ascii_alphanumeric() || self.punctuation.contains(c))
            && (!self.starts_and_ends_alphanumeric || (edge(name.chars().next()) && edge(name.chars().next_back())))
    }
}

/// Longer than any model needs from retraining to production.
const LONGEST_COOLDOWN: Duration = Duration::from_hours(24 * 90);

const DEFAULT_COOLDOWN: Duration = Duration::from_hours(24);

/// As many as one call of `DescribeAlarms` takes.
const MOST_ALARMS: usize = 100;

/// CloudWatch's `AlarmName`, in characters.
const LONGEST_ALARM_NAME: usize = 255;

const DEFAULT_CATCH_UP_PER_DAY: usize = 4;

/// Decisions are made from the newest 100 executions.
const MOST_CATCH_UP_PER_DAY: usize = 100;

/// Looks variables up and collects what is wrong with them.
struct Reader<L> {
    lookup: L,
    faults: Vec<String>,
    warnings: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn value(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn optional(&mut self, name: &str, pattern: &NamePattern) -> Option<String> {
        let value = self.value(name)?;
        if !pattern.accepts(&value) {
            self.faults.push(format!("{name} is {value:?}: give {}", pattern.words));
        }
        Some(value)
    }

    fn required(&mut self, name: &str, pattern: &NamePattern) -> Option<String> {
        let value = self.optional(name, pattern);
        if value.is_none() {
            self.faults.push(format!("{name} is not set: give {}", pattern.words));
        }
        value
    }

    /// A variable that had another name. The old name is still read in this version.
    fn renamed(&mut self, name: &str, old_name: &str, pattern: &NamePattern) -> Option<String> {
        let (value, old) = (self.optional(name, pattern), self.value(old_name));
        match (&value, &old) {
            (_, None) => return value,
            (Some(new), Some(old)) if new != old => {
                self.faults.push(format!("{name} and {old_name} differ, and both are the same thing: unset {old_name}"));
            }
            _ => self.warnings.push(format!("{old_name} is now {name}, and a later version will not read the old name: rename it")),
        }
        value.or_else(|| self.optional(old_name, pattern))
    }

    /// Rejects a variable of the first version. If it were ignored, the pipeline would be started with other parameters.
    fn removed(&mut self, name: &str, instead: &str) {
        if self.value(name).is_some() {
            self.faults.push(format!("{name} is not read any more: unset it, and set {instead}"));
        }
    }

    /// The CodePipeline, if there is one. A stage without a CodePipeline is a fault, as nothing would guard it.
    fn code_pipeline(&mut self, name: &str, stage_name: &str) -> Option<CodePipeline> {
        let pipeline = self.optional(name, &CODE_PIPELINE);
        let stage = self.optional(stage_name, &CODE_PIPELINE);
        if pipeline.is_none() && stage.is_some() {
            self.faults.push(format!("{stage_name} is set, but {name} is not: give the CodePipeline of the stage"));
        }
        let build_stage = stage.unwrap_or_else(|| "Build".to_owned());
        pipeline.map(|name| CodePipeline { name, build_stage })
    }

    fn mode(&mut self, name: &str) -> Mode {
        match self.value(name).as_deref() {
            None | Some("active") => Mode::Active,
            Some("dry-run") => Mode::DryRun,
            Some("drain") => Mode::Drain,
            Some(other) => {
                self.faults.push(format!("{name} is {other:?}: give active, dry-run or drain"));
                Mode::Active
            }
        }
    }

    /// Without a CodePipeline, no event of one starts a retraining.
    fn deployment_trigger(&mut self, name: &str, has_code_pipeline: bool) -> DeploymentTrigger {
        match self.value(name).as_deref() {
            None if has_code_pipeline => DeploymentTrigger::Event,
            Some("event") => {
                if !has_code_pipeline {
                    self.faults
                        .push(format!("{name} is event, but CODE_PIPELINE_NAME is not set: set it, or give none"));
                }
                DeploymentTrigger::Event
            }
            Some("action") => DeploymentTrigger::Action,
            None | Some("none") => DeploymentTrigger::None,
            Some(other) => {
                self.faults.push(format!("{name} is {other:?}: give event, action or none"));
                DeploymentTrigger::None
            }
        }
    }

    fn parameters(&mut self, name: &str) -> Parameters {
        let Some(text) = self.value(name) else { return Parameters::none() };
        let object: Map<String, Value> = match serde_json::from_str(&text) {
            Ok(object) => object,
            Err(error) => {
                self.faults.push(format!("{name} is not a JSON object such as {{\"Name\": \"text\"}}: {error}"));
                return Parameters::none();
            }
        };
        let mut values = Vec::new();
        for (parameter, value) in &object {
            match value {
                Value::String(value) => values.push((parameter.as_str(), value.as_str())),
                _ => self.faults.push(format!("{name}: the value of {parameter} is not a string: write it in quotes")),
            }
        }
        Parameters::parse(values).unwrap_or_else(|faults| {
            self.faults.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
            Parameters::none()
        })
    }

    fn alarms(&mut self, name: &str) -> Vec<String> {
        let mut alarms: Vec<String> = Vec::new();
        for alarm in self.value(name).unwrap_or_default().split(',').map(str::trim).filter(|alarm| !alarm.is_empty()) {
            if alarm.starts_with("arn:") || alarm.chars().count() > LONGEST_ALARM_NAME {
                self.faults.push(format!(
                    "{name} lists {alarm:?}: give names of up to {LONGEST_ALARM_NAME} characters (not ARNs), separated by commas"
                ));
            }
            if !alarms.iter().any(|listed| listed == alarm) {
                alarms.push(alarm.to_owned());
            }
        }
        if alarms.is_empty() && self.value(name).is_some() {
            self.faults.push(format!("{name} lists no alarm: give names, or unset it to take every alarm for drift"));
        }
        if alarms.len() > MOST_ALARMS {
            self.faults.push(format!(
                "{name} lists {} alarms: give at most {MOST_ALARMS}, or combine some in a composite alarm",
                alarms.len()
            ));
        }
        alarms
    }

    /// Drift that a heartbeat finds needs a cooldown: a retrained model is deployed hours later, and its alarm stays in ALARM until
    /// then.
    fn cooldown(&mut self, name: &str, alarms_are_listed: bool) -> Option<Duration> {
        let Some(value) = self.value(name) else { return alarms_are_listed.then_some(DEFAULT_COOLDOWN) };
        match humantime::parse_duration(&value) {
            Ok(Duration::ZERO) if alarms_are_listed => {
                self.faults.push(format!(
                    "{name} is {value:?}, and DRIFT_ALARM_NAMES is set: give a time that is longer than a retraining and its deployment"
                ));
                None
            }
            // A cooldown that never passes would suppress drift permanently.
            Ok(duration) if duration <= LONGEST_COOLDOWN => Some(duration).filter(|duration| !duration.is_zero()),
            Ok(_) => {
                self.faults
                    .push(format!("{name} is {value:?}: give at most {} days", LONGEST_COOLDOWN.as_secs() / 86_400));
                None
            }
            Err(error) => {
                self.faults.push(format!("{name} is {value:?}: give a duration such as 90m, 6h or 1d ({error})"));
                None
            }
        }
    }

    fn catch_up_per_day(&mut self, name: &str) -> usize {
        let Some(value) = self.value(name) else { return DEFAULT_CATCH_UP_PER_DAY };
        match value.parse() {
            Ok(number) if number <= MOST_CATCH_UP_PER_DAY => number,
            _ => {
                self.faults.push(format!("{name} is {value:?}: give a number from 0 (off) to {MOST_CATCH_UP_PER_DAY}"));
                DEFAULT_CATCH_UP_PER_DAY
            }
        }
    }

    fn sdk_settings(&mut self) -> SdkSettings {
        let max_attempts = self.value("AWS_MAX_ATTEMPTS").and_then(|value| {
            let attempts = value.parse().ok();
            if attempts.is_none() {
                self.faults.push(format!("AWS_MAX_ATTEMPTS is {value:?}: give a number from 1"));
            }
            attempts
        });
        let is_adaptive = match self.value("AWS_RETRY_MODE") {
            Some(mode) if mode.eq_ignore_ascii_case("adaptive") => true,
            Some(mode) if !mode.eq_ignore_ascii_case("standard") => {
                self.faults.push(format!("AWS_RETRY_MODE is {mode:?}: give standard or adaptive"));
                false
            }
            _ => false,
        };
        for name in [
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_SAGEMAKER",
            "AWS_ENDPOINT_URL_CODEPIPELINE",
            "AWS_ENDPOINT_URL_EVENTBRIDGE",
            "AWS_ENDPOINT_URL_CLOUDWATCH",
        ] {
            if let Some(url) = self.value(name).filter(|url| !is_endpoint(url)) {
                self.faults.push(format!("{name} is {url:?}: give a URL such as http://127.0.0.1:4566"));
            }
        }
        let region = self.value("AWS_REGION").unwrap_or_default();
        let trust = Trust::of(self.value("AWS_CA_BUNDLE"), &region);
        SdkSettings { trust, retries: Retries { max_attempts, is_adaptive } }
    }

    /// No two of these variables may have one value.
    fn distinct(&mut self, names: &[(&str, &Option<String>)]) {
        for (i, (name, value)) in names.iter().enumerate() {
            for (other_name, other) in &names[..i] {
                if value.is_some() && value == other {
                    self.faults.push(format!("{other_name} and {name} have the same value: each needs its own"));
                }
            }
        }
    }
}

/// Whether the SDK can use the text as an endpoint.
fn is_endpoint(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with(['/', ':', '?', '#']))
        && HttpRequest::get(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Config::from_lookup(lookup).map(|(config, _)| config)
    }

    const NAMES: [(&str, &str); 2] =
        [("SAGEMAKER_PIPELINE_NAME", "nyctaxi-pipeline"), ("CODE_PIPELINE_NAME", "sagemaker-nyctaxi-build")];

    #[test]
    fn the_names_of_the_two_pipelines_are_enough() {
        assert_eq!(
            config(&NAMES).unwrap(),
            Config {
                sagemaker_pipeline: "nyctaxi-pipeline".into(),
                mode: Mode::Active,
                code_pipeline: Some(CodePipeline {
                    name: "sagemaker-nyctaxi-build".into(),
                    build_stage: "Build".into()
                }),
                schedule_rule: None,
                schedule: None,
                drift_rule: None,
                heartbeat: None,
                parameters: Parameters::none(),
                deployment_trigger: DeploymentTrigger::Event,
                drift_alarms: vec![],
                drift_cooldown: None,
                catch_up_per_day: 4,
                warnings: vec![],
            }
        );
    }

    #[test]
    fn a_cooldown_is_a_human_duration() {
        let cooldown = |value| {
            let mut variables = NAMES.to_vec();
            variables.push(("DRIFT_COOLDOWN", value));
            config(&variables).map(|config| config.drift_cooldown)
        };
        for (value, minutes) in [("90m", 90), ("6h", 360), ("1d", 1440), ("1h 30m", 90)] {
            assert_eq!(cooldown(value), Ok(Some(Duration::from_mins(minutes))), "{value}");
        }
        for off in ["", "0s", "0"] {
            assert_eq!(cooldown(off), Ok(None), "{off}");
        }
        for bad in ["6", "six hours", "-1h", "91d", "999999999999999999999d"] {
            let message = cooldown(bad).unwrap_err().to_string();
            assert!(message.contains("DRIFT_COOLDOWN is \""), "{message}");
        }
    }

    fn with(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        config(&[&NAMES, variables].concat())
    }

    #[test]
    fn alarms_are_listed_by_name_and_bring_a_cooldown() {
        let listed = with(&[("DRIFT_ALARM_NAMES", "fare drift, tip-drift,,fare drift,")]).unwrap();
        assert_eq!(listed.drift_alarms, ["fare drift", "tip-drift"]);
        assert_eq!(listed.drift_cooldown, Some(Duration::from_hours(24)));
        let shorter = with(&[("DRIFT_ALARM_NAMES", "a"), ("DRIFT_COOLDOWN", "6h")]).unwrap();
        assert_eq!(shorter.drift_cooldown, Some(Duration::from_hours(6)));
        let hundred: Vec<String> = (0..100).map(|number| format!("alarm-{number}")).collect();
        assert_eq!(with(&[("DRIFT_ALARM_NAMES", &hundred.join(","))]).unwrap().drift_alarms.len(), 100);

        let one_more = hundred.join(",") + ",another";
        for (variables, part) in [
            (vec![("DRIFT_ALARM_NAMES", " , ")], "DRIFT_ALARM_NAMES lists no alarm"),
            (vec![("DRIFT_ALARM_NAMES", one_more.as_str())], "DRIFT_ALARM_NAMES lists 101 alarms"),
            (vec![("DRIFT_ALARM_NAMES", "arn:aws:cloudwatch:us-east-1:1:alarm:a")], "not ARNs"),
            (
                vec![("DRIFT_ALARM_NAMES", "a"), ("DRIFT_COOLDOWN", "0s")],
                "DRIFT_COOLDOWN is \"0s\", and DRIFT_ALARM_NAMES",
            ),
        ] {
            let message = with(&variables).unwrap_err().to_string();
            assert!(message.contains(part), "{part} is not in {message}");
        }
        let longest = "é".repeat(255);
        assert!(with(&[("DRIFT_ALARM_NAMES", &longest)]).is_ok());
        assert!(with(&[("DRIFT_ALARM_NAMES", &format!("{longest}é"))]).is_err());
    }

    #[test]
    fn heartbeats_start_what_is_owed_unless_they_are_off_or_there_are_none() {
        let heartbeat = ("HEARTBEAT_NAME", "heartbeat");
        let starts = |variables: &[(&str, &str)]| with(variables).map(|config| config.heartbeat_starts());
        assert_eq!(starts(&[heartbeat]), Ok(true));
        assert_eq!(starts(&[]), Ok(false));
        assert_eq!(starts(&[heartbeat, ("CATCH_UP_PER_DAY", "0")]), Ok(false));
        assert_eq!(with(&[("CATCH_UP_PER_DAY", "100")]).unwrap().catch_up_per_day, 100);
        for bad in ["101", "-1", "four"] {
            let message = with(&[("CATCH_UP_PER_DAY", bad)]).unwrap_err().to_string();
            assert!(message.contains("CATCH_UP_PER_DAY is \""), "{message}");
        }
    }

    #[test]
    fn the_heartbeats_old_name_is_still_read_with_a_warning() {
        let both = |new, old| with(&[("HEARTBEAT_NAME", new), ("RECONCILE_RULE_NAME", old)]);
        let read = |new, old| both(new, old).map(|config| (config.heartbeat.unwrap(), config.warnings.len()));
        assert_eq!(read("tick", ""), Ok(("tick".to_owned(), 0)));
        assert_eq!(read("", "tick"), Ok(("tick".to_owned(), 1)));
        assert_eq!(read("tick", "tick"), Ok(("tick".to_owned(), 1)));
        let message = read("tick", "tock").unwrap_err().to_string();
        assert!(message.contains("HEARTBEAT_NAME and RECONCILE_RULE_NAME differ"), "{message}");
        let message = read("", "a tick").unwrap_err().to_string();
        assert!(message.contains("RECONCILE_RULE_NAME is \"a tick\""), "{message}");
        let warning = &both("", "tick").unwrap().warnings[0];
        assert!(warning.starts_with("RECONCILE_RULE_NAME is now HEARTBEAT_NAME"), "{warning}");
    }

    #[test]
    fn deployments_come_by_event_unless_an_action_asks() {
        let trigger = |value| with(&[("DEPLOYMENT_TRIGGER", value)]).map(|config| config.deployment_trigger);
        assert_eq!(trigger(""), Ok(DeploymentTrigger::Event));
        assert_eq!(trigger("event"), Ok(DeploymentTrigger::Event));
        assert_eq!(trigger("action"), Ok(DeploymentTrigger::Action));
        assert_eq!(trigger("none"), Ok(DeploymentTrigger::None));
        assert!(trigger("Action").unwrap_err().to_string().contains("DEPLOYMENT_TRIGGER is \"Action\""));
    }

    #[test]
    fn without_a_codepipeline_there_is_no_stage_and_no_deployment() {
        let alone = |variables: &[(&str, &str)]| config(&[&NAMES[..1], variables].concat());
        let config = alone(&[]).unwrap();
        assert_eq!((config.code_pipeline, config.deployment_trigger), (None, DeploymentTrigger::None));
        let with_action = alone(&[("DEPLOYMENT_TRIGGER", "action")]).unwrap();
        assert_eq!((with_action.code_pipeline, with_action.deployment_trigger), (None, DeploymentTrigger::Action));
        for (variables, part) in [
            (("DEPLOYMENT_TRIGGER", "event"), "DEPLOYMENT_TRIGGER is event, but CODE_PIPELINE_NAME is not set"),
            (("BUILD_STAGE_NAME", "Build"), "BUILD_STAGE_NAME is set, but CODE_PIPELINE_NAME is not"),
        ] {
            let message = alone(&[variables]).unwrap_err().to_string();
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }

    #[test]
    fn the_mode_is_one_of_three_words() {
        let mode = |value| with(&[("MODE", value)]).map(|config| config.mode);
        assert_eq!(mode(""), Ok(Mode::Active));
        assert_eq!(mode("active"), Ok(Mode::Active));
        assert_eq!(mode("dry-run"), Ok(Mode::DryRun));
        assert_eq!(mode("drain"), Ok(Mode::Drain));
        assert!(mode("Drain").unwrap_err().to_string().contains("MODE is \"Drain\": give active, dry-run or drain"));
    }

    #[test]
    fn the_heartbeat_is_no_schedule() {
        let heartbeat = ("HEARTBEAT_NAME", "tick");
        let message = with(&[heartbeat, ("SCHEDULE_NAME", "tick")]).unwrap_err().to_string();
        assert!(message.contains("SCHEDULE_NAME and HEARTBEAT_NAME have the same value"), "{message}");
        // A rule and a schedule of one name are two things.
        assert!(with(&[("SCHEDULE_RULE_NAME", "tick"), ("SCHEDULE_NAME", "tick")]).is_ok());
    }

    #[test]
    fn a_variable_of_the_first_version_is_a_fault_that_says_what_to_set() {
        assert!(with(&[("TRIGGER_PARAMETER_NAME", "")]).is_ok());
        let message = with(&[("TRIGGER_PARAMETER_NAME", "InputSource")]).unwrap_err().to_string();
        assert!(message.contains(r#"set PIPELINE_PARAMETERS={"NAME": "{trigger}"}"#), "{message}");
    }

    #[test]
    fn every_fault_of_the_pipeline_parameters_is_named_at_once() {
        let good = with(&[("PIPELINE_PARAMETERS", r#"{"Source": "{trigger}"}"#)]).unwrap();
        assert_eq!(Ok(good.parameters), Parameters::parse([("Source", "{trigger}")]));
        assert_eq!(with(&[("PIPELINE_PARAMETERS", "{}")]).unwrap().parameters, Parameters::none());
        let faults = |value| with(&[("PIPELINE_PARAMETERS", value)]).unwrap_err().to_string();
        for no_object in ["Source", "[]", r#"{"Source": "x""#] {
            assert!(faults(no_object).contains("PIPELINE_PARAMETERS is not a JSON object"), "{no_object}");
        }
        let message = faults(r#"{"Epochs": 3, "Source": "{tigger}", "In put": "x"}"#);
        for part in [
            "PIPELINE_PARAMETERS: the value of Epochs is not a string",
            "PIPELINE_PARAMETERS: the value of Source has \"{tigger}\"",
            "PIPELINE_PARAMETERS: \"In put\" is not a parameter name",
        ] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }

    #[test]
    fn an_empty_value_counts_as_unset() {
        let mut variables = NAMES.to_vec();
        variables.extend([("BUILD_STAGE_NAME", ""), ("SCHEDULE_RULE_NAME", "")]);
        let config = config(&variables).unwrap();
        assert_eq!(config.code_pipeline.unwrap().build_stage, "Build");
        assert_eq!(config.schedule_rule, None);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let message = config(&[
            ("SAGEMAKER_PIPELINE_NAME", "arn:aws:sagemaker:us-east-1:1:pipeline/x"),
            ("DRIFT_RULE_NAME", "a rule"),
            ("CODE_PIPELINE_NAME", "a pipeline"),
            ("PIPELINE_PARAMETERS", "InputSource"),
            ("MODE", "wet"),
            ("DRIFT_COOLDOWN", "soon"),
            ("SCHEDULE_RULE_NAME", "tick"),
            ("HEARTBEAT_NAME", "tick"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "SAGEMAKER_PIPELINE_NAME is \"arn:aws",
            "CODE_PIPELINE_NAME is \"a pipeline\"",
            "DRIFT_RULE_NAME is \"a rule\"",
            "PIPELINE_PARAMETERS is not a JSON object",
            "MODE is \"wet\"",
            "DRIFT_COOLDOWN is \"soon\"",
            "SCHEDULE_RULE_NAME and HEARTBEAT_NAME have the same value",
        ] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn names_that_a_service_would_refuse_are_refused_at_start_up() {
        let longest = "a".repeat(256);
        assert!(SAGEMAKER_PIPELINE.accepts(&longest));
        for bad in ["", "-a", "a-", "a_b", "a/b", &format!("{longest}a")] {
            assert!(!SAGEMAKER_PIPELINE.accepts(bad), "{bad:?}");
        }
        assert!(CODE_PIPELINE.accepts("-My.Pipe@line_1"));
        assert!(!CODE_PIPELINE.accepts(&"a".repeat(101)));
        assert!(RULE.accepts("A.b-c_d"));
        assert!(!RULE.accepts(&"a".repeat(65)));
    }

    #[test]
    fn only_partitions_that_are_known_to_use_amazons_certificates_trust_them() {
        for region in ["us-east-1", "eu-central-2", "ap-southeast-7", "mx-central-1", "us-gov-west-1"] {
            assert_eq!(Trust::of(None, region), Trust::Amazon, "{region}");
        }
        let others = [
            "cn-north-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eu-isoe-west-1",
            "us-isof-south-1",
            "eusc-de-east-1",
            "moon-base-1",
            "",
        ];
        for region in others {
            assert_eq!(Trust::of(None, region), Trust::Machine, "{region}");
        }
        let bundle = Some("/opt/bundle.pem".to_owned());
        assert_eq!(Trust::of(bundle, "us-east-1"), Trust::Bundle("/opt/bundle.pem".into()));
    }

    #[test]
    fn the_sdks_variables_on_which_it_would_panic_are_faults_and_empty_ones_are_unset() {
        let sdk = |variables: &[(&str, &str)]| {
            let variables = [&NAMES, variables].concat();
            let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            Config::from_lookup(lookup).map(|(_, sdk)| sdk.retries)
        };
        let default = Retries { max_attempts: None, is_adaptive: false };
        assert_eq!(sdk(&[("AWS_MAX_ATTEMPTS", ""), ("AWS_RETRY_MODE", ""), ("AWS_ENDPOINT_URL", "")]), Ok(default));
        let set = Retries { max_attempts: NonZeroU32::new(5), is_adaptive: true };
        assert_eq!(sdk(&[("AWS_MAX_ATTEMPTS", "5"), ("AWS_RETRY_MODE", "Adaptive")]), Ok(set));
        assert_eq!(sdk(&[("AWS_ENDPOINT_URL_SAGEMAKER", "https://localhost:4566/path")]), Ok(default));
        for (name, value) in [
            ("AWS_MAX_ATTEMPTS", "0"),
            ("AWS_MAX_ATTEMPTS", "three"),
            ("AWS_RETRY_MODE", "legacy"),
            ("AWS_ENDPOINT_URL", "localhost:4566"),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", "http://"),
        ] {
            let message = sdk(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(&format!("{name} is {value:?}")), "{message}");
        }
    }

    #[test]
    fn logging_follows_lambdas_variables() {
        let logging = |level: Option<&str>, format: Option<&str>| {
            Logging::from_lookup(|name| {
                let value = if name == "AWS_LAMBDA_LOG_LEVEL" { level } else { format };
                value.map(str::to_owned)
            })
        };
        let info = Logging { level: LevelFilter::INFO, json: false };
        assert_eq!(logging(None, None), info);
        assert_eq!(logging(Some("nonsense"), Some("Text")), info);
        assert_eq!(logging(Some("DEBUG"), Some("JSON")), Logging { level: LevelFilter::DEBUG, json: true });
        assert_eq!(logging(Some("FATAL"), None).level, LevelFilter::ERROR);
    }
}
