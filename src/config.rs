//! The configuration: the only place that reads the environment.
//!
//! Endpoint, region, credentials and retries are not here: the AWS SDK reads its own variables
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

/// What this deployment watches, starts and pauses. Every name satisfies its service's documented pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SageMaker pipeline that retrains the model.
    pub sagemaker_pipeline: String,
    /// The CodePipeline that builds it.
    pub code_pipeline: String,
    /// The CodePipeline's stage whose inbound transition is disabled while an execution runs.
    pub build_stage: String,
    /// The rule of the retraining schedule, paused while an execution runs.
    pub schedule_rule: Option<String>,
    /// The rule of the drift alarms, paused while an execution runs.
    pub drift_rule: Option<String>,
    /// The heartbeat's rule, which is never paused.
    pub reconcile_rule: Option<String>,
    /// The parameter of the SageMaker pipeline that is told which trigger started an execution.
    pub trigger_parameter: Option<String>,
    /// How long after the start of a retraining a drift alarm starts none.
    pub drift_cooldown: Option<Duration>,
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

/// Whose certificates the connections to AWS trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Amazon Trust Services', which certify the endpoints of most partitions.
    Amazon,
    /// Those that the machine trusts.
    Machine,
    /// Those in a file in PEM format.
    Bundle(PathBuf),
}

/// The Regions of partitions whose endpoints others certify begin so: `aws-cn`, `aws-iso*`, `aws-eusc`.
const CERTIFIED_BY_OTHERS: [&str; 4] = ["cn-", "us-iso", "eu-iso", "eusc-"];

impl Trust {
    /// Reads `AWS_CA_BUNDLE`, by which the AWS CLI and other SDKs are told of certificates (behind a proxy that inspects TLS, say), and
    /// `AWS_REGION`.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// As [`Trust::from_env`], through `lookup`.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let region = lookup("AWS_REGION").unwrap_or_default();
        match lookup("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
            Some(path) => Self::Bundle(path.into()),
            None if CERTIFIED_BY_OTHERS.iter().any(|prefix| region.starts_with(prefix)) => Self::Machine,
            None => Self::Amazon,
        }
    }
}

/// Every fault of the configuration at once, so that one deployment mends them all.
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
    /// Reads the configuration from the process's environment.
    ///
    /// # Errors
    /// One [`ConfigError`] that names every variable that is missing or unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the configuration through `lookup`; an empty value counts as unset, as templates pass it for "none".
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup, faults: Vec::new() };
        let sagemaker_pipeline = reader.required("SAGEMAKER_PIPELINE_NAME", &SAGEMAKER_PIPELINE);
        let code_pipeline = reader.required("CODE_PIPELINE_NAME", &CODE_PIPELINE);
        let build_stage = reader.optional("BUILD_STAGE_NAME", &CODE_PIPELINE);
        let schedule_rule = reader.optional("SCHEDULE_RULE_NAME", &RULE);
        let drift_rule = reader.optional("DRIFT_RULE_NAME", &RULE);
        let reconcile_rule = reader.optional("RECONCILE_RULE_NAME", &RULE);
        let trigger_parameter = reader.optional("TRIGGER_PARAMETER_NAME", &PIPELINE_PARAMETER);
        let drift_cooldown = reader.duration("DRIFT_COOLDOWN");
        reader.distinct([
            ("SCHEDULE_RULE_NAME", &schedule_rule),
            ("DRIFT_RULE_NAME", &drift_rule),
            ("RECONCILE_RULE_NAME", &reconcile_rule),
        ]);
        match (sagemaker_pipeline, code_pipeline) {
            (Some(sagemaker_pipeline), Some(code_pipeline)) if reader.faults.is_empty() => Ok(Self {
                sagemaker_pipeline,
                code_pipeline,
                build_stage: build_stage.unwrap_or_else(|| "Build".to_owned()),
                schedule_rule,
                drift_rule,
                reconcile_rule,
                trigger_parameter,
                drift_cooldown,
            }),
            _ => Err(ConfigError { faults: reader.faults }),
        }
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
            // Lambda knows a level above ERROR that tracing does not have.
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

/// SageMaker's `PipelineParameterName`: `[A-Za-z0-9\-_]*`, 1 to 256 characters.
const PIPELINE_PARAMETER: NamePattern = NamePattern {
    max_length: 256,
    punctuation: "-_",
    starts_and_ends_alphanumeric: false,
    words: "1 to 256 letters, digits and - _",
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

/// Longer than any model's way from retraining to production.
const LONGEST_COOLDOWN: Duration = Duration::from_hours(24 * 90);

/// Looks variables up and collects what is wrong with them.
struct Reader<L> {
    lookup: L,
    faults: Vec<String>,
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

    fn duration(&mut self, name: &str) -> Option<Duration> {
        let value = self.value(name)?;
        match humantime::parse_duration(&value) {
            // One that never passes would silence the alarms for good; a zero says "off" in another way.
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

    /// A heartbeat that is also a schedule would be paused with it, so no two variables may name one rule.
    fn distinct(&mut self, rules: [(&str, &Option<String>); 3]) {
        for (i, (name, rule)) in rules.iter().enumerate() {
            for (other_name, other) in &rules[..i] {
                if rule.is_some() && rule == other {
                    self.faults.push(format!("{other_name} and {name} name the same rule: each needs its own"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_lookup(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const REQUIRED: [(&str, &str); 2] =
        [("SAGEMAKER_PIPELINE_NAME", "nyctaxi-pipeline"), ("CODE_PIPELINE_NAME", "sagemaker-nyctaxi-build")];

    #[test]
    fn the_required_names_are_enough() {
        assert_eq!(
            config(&REQUIRED).unwrap(),
            Config {
                sagemaker_pipeline: "nyctaxi-pipeline".into(),
                code_pipeline: "sagemaker-nyctaxi-build".into(),
                build_stage: "Build".into(),
                schedule_rule: None,
                drift_rule: None,
                reconcile_rule: None,
                trigger_parameter: None,
                drift_cooldown: None,
            }
        );
    }

    #[test]
    fn a_cooldown_is_a_human_duration() {
        let cooldown = |value| {
            let mut variables = REQUIRED.to_vec();
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

    #[test]
    fn an_empty_value_counts_as_unset() {
        let mut variables = REQUIRED.to_vec();
        variables.extend([("BUILD_STAGE_NAME", ""), ("SCHEDULE_RULE_NAME", "")]);
        let config = config(&variables).unwrap();
        assert_eq!(config.build_stage, "Build");
        assert_eq!(config.schedule_rule, None);
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let message = config(&[
            ("SAGEMAKER_PIPELINE_NAME", "arn:aws:sagemaker:us-east-1:1:pipeline/x"),
            ("DRIFT_RULE_NAME", "a rule"),
            ("TRIGGER_PARAMETER_NAME", "Input Source"),
            ("DRIFT_COOLDOWN", "soon"),
            ("SCHEDULE_RULE_NAME", "tick"),
            ("RECONCILE_RULE_NAME", "tick"),
        ])
        .unwrap_err()
        .to_string();
        for part in [
            "SAGEMAKER_PIPELINE_NAME is \"arn:aws",
            "CODE_PIPELINE_NAME is not set",
            "DRIFT_RULE_NAME is \"a rule\"",
            "TRIGGER_PARAMETER_NAME is \"Input Source\"",
            "DRIFT_COOLDOWN is \"soon\"",
            "SCHEDULE_RULE_NAME and RECONCILE_RULE_NAME name the same rule",
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
    fn trust_follows_the_bundle_then_the_partition() {
        let trust = |bundle: &str, region: &str| {
            Trust::from_lookup(|name| Some(if name == "AWS_CA_BUNDLE" { bundle } else { region }.to_owned()))
        };
        for region in ["us-east-1", "eu-central-2", "us-gov-west-1", ""] {
            assert_eq!(trust("", region), Trust::Amazon, "{region}");
        }
        for region in ["cn-north-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "eusc-de-east-1"] {
            assert_eq!(trust("", region), Trust::Machine, "{region}");
        }
        assert_eq!(trust("/opt/bundle.pem", "us-east-1"), Trust::Bundle("/opt/bundle.pem".into()));
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
