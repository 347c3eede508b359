//! The configuration: the only reader of the environment. This file reads the router's own variables; [`sdk`] reads the SDK's and
//! Lambda's.

mod reader;
pub(crate) mod sdk;

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::reader::{CODE_PIPELINE, RULE, Reader, SAGEMAKER_PIPELINE, SCHEDULE};
use crate::config::sdk::SdkSettings;
use crate::model::{CodePipeline, DeploymentTrigger, Mode};
use crate::policy::parameters::Parameters;

/// What this function watches, starts and disables. Every name satisfies its service's documented pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The SageMaker pipeline that retrains the model.
    pub(crate) sagemaker_pipeline: String,
    /// What the router may change.
    pub(crate) mode: Mode,
    /// The rule of the retraining schedule, disabled while an execution runs.
    pub(crate) schedule_rule: Option<String>,
    /// The rule of the drift alarms, disabled while an execution runs.
    pub(crate) drift_rule: Option<String>,
    /// A schedule of EventBridge Scheduler that starts retrainings. It is never disabled.
    pub(crate) schedule: Option<String>,
    /// The heartbeat's rule, or its schedule of EventBridge Scheduler, which is never disabled.
    pub(crate) heartbeat: Option<String>,
    /// The pipeline parameters of every start.
    pub(crate) parameters: Parameters,
    /// How deployments request a retraining, and the CodePipeline that makes them.
    pub(crate) deployment_trigger: DeploymentTrigger,
    /// The alarms that count as drift. If empty, every alarm whose event arrives counts.
    pub(crate) drift_alarms: Vec<String>,
    /// Drift starts nothing for this long after the start of any execution.
    pub(crate) drift_cooldown: Option<Duration>,
    /// A heartbeat starts nothing while this many executions started within 24 hours. 0: heartbeats never start anything.
    pub(crate) catch_up_per_day: usize,
    warnings: Vec<String>,
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
        let reader = &mut Reader::new(&lookup);
        let sagemaker_pipeline = reader.required("SAGEMAKER_PIPELINE_NAME", &SAGEMAKER_PIPELINE);
        let mode = mode(reader);
        let deployment_trigger = deployment_trigger(reader);
        let schedule_rule = reader.optional("SCHEDULE_RULE_NAME", &RULE);
        let schedule = reader.optional("SCHEDULE_NAME", &SCHEDULE);
        let drift_rule = reader.optional("DRIFT_RULE_NAME", &RULE);
        let heartbeat = reader.renamed("HEARTBEAT_NAME", "RECONCILE_RULE_NAME", &RULE);
        let parameters = pipeline_parameters(reader);
        let drift_alarms = drift_alarms(reader);
        let drift_cooldown = drift_cooldown(reader, !drift_alarms.is_empty());
        let catch_up_per_day = catch_up_per_day(reader);
        let named_heartbeat = ("HEARTBEAT_NAME", &heartbeat);
        let waits = deployment_trigger.as_ref().is_some_and(DeploymentTrigger::waits);
        if waits && (heartbeat.is_none() || catch_up_per_day == 0) {
            reader.fault(
                "DEPLOYMENT_WHILE_RUNNING is wait, but no heartbeat would start what waits: set HEARTBEAT_NAME, and \
                 CATCH_UP_PER_DAY to 1 or more",
            );
        }
        // A heartbeat that is also a schedule would be disabled with it, or start retrainings.
        reader.distinct(&[("SCHEDULE_RULE_NAME", &schedule_rule), ("DRIFT_RULE_NAME", &drift_rule), named_heartbeat]);
        reader.distinct(&[("SCHEDULE_NAME", &schedule), named_heartbeat]);
        let sdk = SdkSettings::read(reader);
        match (sagemaker_pipeline, deployment_trigger) {
            (Some(sagemaker_pipeline), Some(deployment_trigger)) if reader.faults.is_empty() => {
                let config = Self {
                    sagemaker_pipeline,
                    mode,
                    deployment_trigger,
                    schedule_rule,
                    schedule,
                    drift_rule,
                    heartbeat,
                    parameters,
                    drift_alarms,
                    drift_cooldown,
                    catch_up_per_day,
                    warnings: std::mem::take(&mut reader.warnings),
                };
                Ok((config, sdk))
            }
            _ => Err(ConfigError { faults: std::mem::take(&mut reader.faults) }),
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
}

fn mode(reader: &mut Reader<'_>) -> Mode {
    match reader.value("MODE").as_deref() {
        None | Some("active") => Mode::Active,
        Some("dry-run") => Mode::DryRun,
        Some("drain") => Mode::Drain,
        Some(other) => {
            reader.fault(format!("MODE is {other:?}: give active, dry-run or drain"));
            Mode::Active
        }
    }
}

/// The CodePipeline, if there is one. A stage without a CodePipeline is a fault, as nothing would guard it.
fn code_pipeline(reader: &mut Reader<'_>) -> Option<CodePipeline> {
    let pipeline = reader.optional("CODE_PIPELINE_NAME", &CODE_PIPELINE);
    let stage = reader.optional("BUILD_STAGE_NAME", &CODE_PIPELINE);
    if pipeline.is_none() && stage.is_some() {
        reader.fault("BUILD_STAGE_NAME is set, but CODE_PIPELINE_NAME is not: give the CodePipeline of the stage");
    }
    let build_stage = stage.unwrap_or_else(|| "Build".to_owned());
    pipeline.map(|name| CodePipeline { name, build_stage })
}

/// `None` after a fault. Without a CodePipeline, no event of one starts a retraining.
fn deployment_trigger(reader: &mut Reader<'_>) -> Option<DeploymentTrigger> {
    let code_pipeline = code_pipeline(reader);
    let waits = deployments_wait(reader);
    let word = reader.value("DEPLOYMENT_TRIGGER");
    let by_event = matches!((word.as_deref(), &code_pipeline), (None | Some("event"), Some(_)));
    if waits && !by_event {
        reader.fault(
            "DEPLOYMENT_WHILE_RUNNING is wait, but no event of a CodePipeline starts retrainings: set CODE_PIPELINE_NAME and \
             DEPLOYMENT_TRIGGER=event, or unset it",
        );
    }
    match (word.as_deref(), code_pipeline) {
        (None | Some("event"), Some(pipeline)) => Some(DeploymentTrigger::Event { pipeline, waits }),
        (Some("event"), None) => {
            reader.fault("DEPLOYMENT_TRIGGER is event, but CODE_PIPELINE_NAME is not set: set it, or give none");
            None
        }
        (Some("action"), pipeline) => Some(DeploymentTrigger::Action(pipeline)),
        (Some("none"), pipeline) => Some(DeploymentTrigger::None(pipeline)),
        (None, None) => Some(DeploymentTrigger::None(None)),
        (Some(other), _) => {
            reader.fault(format!("DEPLOYMENT_TRIGGER is {other:?}: give event, action or none"));
            None
        }
    }
}

/// Whether a deployment waits for the end of an active execution.
fn deployments_wait(reader: &mut Reader<'_>) -> bool {
    match reader.value("DEPLOYMENT_WHILE_RUNNING").as_deref() {
        None | Some("start") => false,
        Some("wait") => true,
        Some(other) => {
            reader.fault(format!("DEPLOYMENT_WHILE_RUNNING is {other:?}: give start or wait"));
            false
        }
    }
}

fn pipeline_parameters(reader: &mut Reader<'_>) -> Parameters {
    // A variable of the first version. If it were ignored, the pipeline would be started with other parameters.
    if reader.value("TRIGGER_PARAMETER_NAME").is_some() {
        reader.fault(
            "TRIGGER_PARAMETER_NAME is not read any more: unset it, and set PIPELINE_PARAMETERS={\"NAME\": \"{trigger}\"}",
        );
    }
    let Some(text) = reader.value("PIPELINE_PARAMETERS") else { return Parameters::none() };
    let object: Map<String, Value> = match serde_json::from_str(&text) {
        Ok(object) => object,
        Err(error) => {
            reader.fault(format!("PIPELINE_PARAMETERS is not a JSON object such as {{\"Name\": \"text\"}}: {error}"));
            return Parameters::none();
        }
    };
    let mut values = Vec::new();
    for (parameter, value) in &object {
        match value {
            Value::String(value) => values.push((parameter.as_str(), value.as_str())),
            _ => reader
                .fault(format!("PIPELINE_PARAMETERS: the value of {parameter} is not a string: write it in quotes")),
        }
    }
    Parameters::parse(values).unwrap_or_else(|faults| {
        reader.faults.extend(faults.into_iter().map(|fault| format!("PIPELINE_PARAMETERS: {fault}")));
        Parameters::none()
    })
}

/// As many as one call of `DescribeAlarms` takes.
const MOST_ALARMS: usize = 100;

/// CloudWatch's `AlarmName`, in characters.
const LONGEST_ALARM_NAME: usize = 255;

fn drift_alarms(reader: &mut Reader<'_>) -> Vec<String> {
    let Some(list) = reader.value("DRIFT_ALARM_NAMES") else { return vec![] };
    let mut alarms: Vec<String> = Vec::new();
    for alarm in list.split(',').map(str::trim).filter(|alarm| !alarm.is_empty()) {
        if alarm.starts_with("arn:") || alarm.chars().count() > LONGEST_ALARM_NAME {
            reader.fault(format!(
                "DRIFT_ALARM_NAMES lists {alarm:?}: give names of up to {LONGEST_ALARM_NAME} characters (not ARNs), separated by commas"
            ));
        }
        if !alarms.iter().any(|listed| listed == alarm) {
            alarms.push(alarm.to_owned());
        }
    }
    if alarms.is_empty() {
        reader.fault("DRIFT_ALARM_NAMES lists no alarm: give names, or unset it to take every alarm for drift");
    }
    if alarms.len() > MOST_ALARMS {
        reader.fault(format!("DRIFT_ALARM_NAMES lists {} alarms: give at most {MOST_ALARMS}", alarms.len()));
    }
    alarms
}

/// Longer than any model needs from retraining to production.
const LONGEST_COOLDOWN: Duration = Duration::from_hours(24 * 90);

const DEFAULT_COOLDOWN: Duration = Duration::from_hours(24);

/// Drift that a heartbeat finds needs a cooldown: a retrained model is deployed hours later, and its alarm stays in ALARM until then.
fn drift_cooldown(reader: &mut Reader<'_>, alarms_are_listed: bool) -> Option<Duration> {
    let Some(value) = reader.value("DRIFT_COOLDOWN") else { return alarms_are_listed.then_some(DEFAULT_COOLDOWN) };
    let fault = match humantime::parse_duration(&value) {
        Ok(Duration::ZERO) if alarms_are_listed => {
            ", and DRIFT_ALARM_NAMES is set: give a time that is longer than a retraining and its deployment".to_owned()
        }
        // A cooldown that never passes would suppress drift permanently.
        Ok(duration) if duration <= LONGEST_COOLDOWN => return Some(duration).filter(|duration| !duration.is_zero()),
        Ok(_) => format!(": give at most {} days", LONGEST_COOLDOWN.as_secs() / 86_400),
        Err(error) => format!(": give a duration such as 90m, 6h or 1d ({error})"),
    };
    reader.fault(format!("DRIFT_COOLDOWN is {value:?}{fault}"));
    None
}

const DEFAULT_CATCH_UP_PER_DAY: usize = 4;

/// Decisions are made from the newest 100 executions.
const MOST_CATCH_UP_PER_DAY: usize = 100;

fn catch_up_per_day(reader: &mut Reader<'_>) -> usize {
    let Some(value) = reader.value("CATCH_UP_PER_DAY") else { return DEFAULT_CATCH_UP_PER_DAY };
    match value.parse() {
        Ok(number) if number <= MOST_CATCH_UP_PER_DAY => number,
        _ => {
            reader
                .fault(format!("CATCH_UP_PER_DAY is {value:?}: give a number from 0 (off) to {MOST_CATCH_UP_PER_DAY}"));
            DEFAULT_CATCH_UP_PER_DAY
        }
    }
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

    fn build() -> CodePipeline {
        CodePipeline { name: "sagemaker-nyctaxi-build".to_owned(), build_stage: "Build".to_owned() }
    }

    #[test]
    fn the_names_of_the_two_pipelines_are_enough() {
        assert_eq!(
            config(&NAMES).unwrap(),
            Config {
                sagemaker_pipeline: "nyctaxi-pipeline".into(),
                mode: Mode::Active,
                schedule_rule: None,
                schedule: None,
                drift_rule: None,
                heartbeat: None,
                parameters: Parameters::none(),
                deployment_trigger: DeploymentTrigger::Event { pipeline: build(), waits: false },
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
        assert_eq!(trigger(""), Ok(DeploymentTrigger::Event { pipeline: build(), waits: false }));
        assert_eq!(trigger("event"), Ok(DeploymentTrigger::Event { pipeline: build(), waits: false }));
        assert_eq!(trigger("action"), Ok(DeploymentTrigger::Action(Some(build()))));
        assert_eq!(trigger("none"), Ok(DeploymentTrigger::None(Some(build()))));
        assert!(trigger("Action").unwrap_err().to_string().contains("DEPLOYMENT_TRIGGER is \"Action\""));
    }

    #[test]
    fn deployments_wait_only_where_a_heartbeat_starts_them_and_their_event_asks() {
        let wait = ("DEPLOYMENT_WHILE_RUNNING", "wait");
        let heartbeat = ("HEARTBEAT_NAME", "heartbeat");
        let waits = |variables: &[(&str, &str)]| with(variables).map(|config| config.deployment_trigger.waits());
        assert_eq!(waits(&[wait, heartbeat]), Ok(true));
        assert_eq!(waits(&[("DEPLOYMENT_WHILE_RUNNING", "start")]), Ok(false));
        assert_eq!(waits(&[]), Ok(false));
        for (variables, part) in [
            (vec![wait], "no heartbeat would start what waits"),
            (vec![wait, heartbeat, ("CATCH_UP_PER_DAY", "0")], "no heartbeat would start what waits"),
            (vec![wait, heartbeat, ("DEPLOYMENT_TRIGGER", "action")], "no event of a CodePipeline starts retrainings"),
            (vec![wait, heartbeat, ("DEPLOYMENT_TRIGGER", "none")], "no event of a CodePipeline starts retrainings"),
            (vec![("DEPLOYMENT_WHILE_RUNNING", "Wait")], "DEPLOYMENT_WHILE_RUNNING is \"Wait\": give start or wait"),
        ] {
            let message = with(&variables).unwrap_err().to_string();
            assert!(message.contains(part), "{part} is not in {message}");
        }
    }

    #[test]
    fn without_a_codepipeline_there_is_no_stage_and_no_deployment() {
        let alone = |variables: &[(&str, &str)]| config(&[&NAMES[..1], variables].concat());
        assert_eq!(alone(&[]).unwrap().deployment_trigger, DeploymentTrigger::None(None));
        let with_action = alone(&[("DEPLOYMENT_TRIGGER", "action")]).unwrap();
        assert_eq!(with_action.deployment_trigger, DeploymentTrigger::Action(None));
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
        assert_eq!(config.deployment_trigger.code_pipeline(), Some(&build()));
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
}
