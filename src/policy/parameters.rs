//! The parameters with which the SageMaker pipeline is started: `PIPELINE_PARAMETERS`, and what a job's `UserParameters` or a request adds.
//!
//! A value of `PIPELINE_PARAMETERS` may hold `{trigger}`, `{key}` and `{time}`, which are replaced at each start; `{{` is `{`. A
//! job's values are sent as they are, as CodePipeline may have put a commit's message into them.
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Parameter.html>

use std::collections::BTreeMap;

use crate::model::{AddedParameters, Occurrence};

/// The most parameters that a start takes.
const MOST: usize = 200;

/// SageMaker's longest parameter name, in characters.
const LONGEST_NAME: usize = 256;

/// SageMaker's longest parameter value, in characters.
const LONGEST_VALUE: usize = 1024;

/// The parameters of every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameters(BTreeMap<String, Vec<Part>>);

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Trigger,
    Key,
    Time,
}

impl Parameters {
    /// No parameters.
    pub(crate) const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Reads names and values.
    ///
    /// # Errors
    /// A message for each name or value that is wrong, and one if there are too many.
    pub(crate) fn parse<'v>(values: impl IntoIterator<Item = (&'v str, &'v str)>) -> Result<Self, Vec<String>> {
        let (mut parameters, mut faults) = (BTreeMap::new(), Vec::new());
        for (name, value) in values {
            if !is_name(name) {
                faults.push(format!(
                    "{name:?} is not a parameter name: give 1 to {LONGEST_NAME} letters, digits and - _"
                ));
            }
            match parts(value) {
                Ok(parts) if longest(&parts) > LONGEST_VALUE => faults.push(format!(
                    "the value of {name} may become longer than {LONGEST_VALUE} characters, the most that SageMaker takes"
                )),
                Ok(parts) => drop(parameters.insert(name.to_owned(), parts)),
                Err(placeholder) => faults.push(format!(
                    "the value of {name} has {:?}: give {{trigger}}, {{key}} or {{time}}, and write {{{{ for {{",
                    // Cut: it may be most of the value.
                    placeholder.chars().take(20).collect::<String>()
                )),
            }
        }
        if parameters.len() > MOST {
            faults.push(format!("{} parameters are too many: give at most {MOST}", parameters.len()));
        }
        if faults.is_empty() { Ok(Self(parameters)) } else { Err(faults) }
    }

    /// Returns why SageMaker would refuse a job's parameters, or `None`. The text does not repeat names or values, which may be
    /// secret.
    pub(crate) fn refusal(&self, job: &AddedParameters) -> Option<String> {
        let total = self.0.len() + job.keys().filter(|name| !self.0.contains_key(*name)).count();
        if !job.keys().all(|name| is_name(name)) {
            Some(format!("a parameter's name in it is not 1 to {LONGEST_NAME} letters, digits and - _"))
        } else if job.values().any(|value| value.chars().count() > LONGEST_VALUE) {
            Some(format!("a parameter's value in it is longer than {LONGEST_VALUE} characters"))
        } else if total > MOST {
            Some(format!("with PIPELINE_PARAMETERS there are {total} parameters: give at most {MOST}"))
        } else {
            None
        }
    }

    /// Whether a value depends on the time of the occurrence.
    pub(crate) fn use_time(&self, job: &AddedParameters) -> bool {
        self.0.iter().any(|(name, parts)| parts.contains(&Part::Time) && !job.contains_key(name))
    }

    /// The names and values that are sent for an occurrence. `time` is its time as RFC 3339 writes it.
    pub(crate) fn of(&self, occurrence: &Occurrence, time: &str) -> BTreeMap<String, String> {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Trigger => occurrence.trigger.parameter_value().to_owned(),
            Part::Key => occurrence.key.clone(),
            Part::Time => time.to_owned(),
        };
        let mut values: BTreeMap<String, String> =
            self.0.iter().map(|(name, parts)| (name.clone(), parts.iter().map(text).collect())).collect();
        values.extend(occurrence.parameters.clone());
        values
    }
}

/// SageMaker's `PipelineParameterName`: `[A-Za-z0-9\-_]*`.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Splits a value at its placeholders. The error is a placeholder that is unknown or not closed.
fn parts(value: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            text.push('{');
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}').ok_or_else(|| format!("{{{after}"))?;
        let part = match name {
            "trigger" => Part::Trigger,
            "key" => Part::Key,
            "time" => Part::Time,
            _ => return Err(format!("{{{name}}}")),
        };
        parts.push(Part::Text(std::mem::take(&mut text)));
        parts.push(part);
        rest = after;
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    Ok(parts)
}

/// How long a value may become, in characters.
fn longest(parts: &[Part]) -> usize {
    let length = |part: &Part| match part {
        Part::Text(text) => text.chars().count(),
        Part::Trigger => "CodePipeline".len(),
        // An alarm's name of 255 characters, a space and a time.
        Part::Key => 276,
        Part::Time => "2021-05-28T07:33:21Z".len(),
    };
    parts.iter().map(length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Memory, Trigger};

    fn drift() -> Occurrence {
        Occurrence {
            trigger: Trigger::Drift,
            key: "fare-drift 2021-05-28T07:33:21Z".into(),
            at: None,
            rule: None,
            memory: Memory::Event,
            description: String::new(),
            parameters: AddedParameters::new(),
        }
    }

    const TIME: &str = "2021-05-28T07:33:21Z";

    fn value(template: &str) -> String {
        Parameters::parse([("P", template)]).unwrap().of(&drift(), TIME).remove("P").unwrap()
    }

    #[test]
    fn placeholders_are_replaced_and_two_braces_are_one() {
        assert_eq!(
            value("{trigger} by {key} at {time}"),
            "Drift by fare-drift 2021-05-28T07:33:21Z at 2021-05-28T07:33:21Z"
        );
        assert_eq!(value(r#"{{"why": "{trigger}"}"#), r#"{"why": "Drift"}"#);
        assert_eq!(value("{{{trigger}}"), "{Drift}");
        assert_eq!(value("}{{}"), "}{}");
        assert_eq!(value(""), "");
    }

    #[test]
    fn what_sagemaker_would_refuse_is_refused_before() {
        let faults = |name: &str, value: &str| Parameters::parse([(name, value)]).unwrap_err().join("; ");
        assert!(faults("P", "{tigger}").contains("the value of P has \"{tigger}\""));
        assert!(faults("P", "{").contains("\"{\""));
        assert!(faults("P", "{}").contains("\"{}\""));
        for name in ["", "Input Source", &"p".repeat(257)] {
            assert!(faults(name, "x").contains("is not a parameter name"), "{name}");
        }
        assert!(Parameters::parse([("p".repeat(256).as_str(), "x")]).is_ok());
        assert!(faults("P", &"é".repeat(1025)).contains("longer than 1024"));
        assert!(faults("P", &format!("{{key}}{}", "x".repeat(749))).contains("longer than 1024"));
        assert!(Parameters::parse([("P", format!("{{key}}{}", "x".repeat(748)).as_str())]).is_ok());
        let names: Vec<String> = (0..201).map(|number| format!("P{number}")).collect();
        assert!(Parameters::parse(names[..200].iter().map(|name| (name.as_str(), "x"))).is_ok());
        let too_many = Parameters::parse(names.iter().map(|name| (name.as_str(), "x"))).unwrap_err();
        assert!(too_many[0].contains("201 parameters are too many"));
    }

    #[test]
    fn a_jobs_parameters_are_laid_over_and_sent_as_they_are() {
        let parameters = Parameters::parse([("Source", "{trigger}"), ("At", "{time}")]).unwrap();
        let job: AddedParameters =
            [("At".to_owned(), "{time}".to_owned()), ("Commit".to_owned(), "{".to_owned())].into();
        assert!(parameters.use_time(&AddedParameters::new()) && !parameters.use_time(&job));
        assert_eq!(parameters.refusal(&job), None);
        let sent = parameters.of(&Occurrence { parameters: job, ..drift() }, TIME);
        let sent: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(sent, [("At", "{time}"), ("Commit", "{"), ("Source", "Drift")]);
    }

    #[test]
    fn a_jobs_parameters_are_checked_and_not_repeated() {
        let parameters = Parameters::parse([("P", "x")]).unwrap();
        let refusal = |name: &str, value: &str| parameters.refusal(&[(name.to_owned(), value.to_owned())].into());
        assert!(
            refusal("a secret", "x").is_some_and(|refusal| refusal.contains("name") && !refusal.contains("secret"))
        );
        assert!(refusal("Q", &"x".repeat(1025)).is_some_and(|refusal| refusal.contains("1024")));
        assert_eq!(refusal("Q", &"x".repeat(1024)), None);
        let many =
            |count: usize| (0..count).map(|number| (format!("Q{number}"), String::new())).collect::<AddedParameters>();
        assert_eq!(parameters.refusal(&many(199)), None);
        assert!(parameters.refusal(&many(200)).is_some_and(|refusal| refusal.contains("201 parameters")));
    }
}
