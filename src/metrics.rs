//! What an invocation did, as CloudWatch metrics. They are one line of the function's log in CloudWatch's embedded metric format.
//! CloudWatch makes metrics of it, in the namespace `DriftRouter` with the dimension `FunctionName`. The template's alarms and
//! dashboard read them. Lambda itself counts invocations, errors, throttles and durations.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::outcome::{Action, EventKind, Outcome};

const NAMESPACE: &str = "DriftRouter";
const DIMENSION: &str = "FunctionName";

/// The line of one invocation, with its newline, or `None` if there is nothing to count. A metric that does not apply to the
/// invocation is absent, and costs nothing.
pub(crate) fn line(outcome: &Outcome, function_name: &str, time: SystemTime) -> Option<String> {
    let metrics = metrics(outcome);
    if metrics.is_empty() {
        return None;
    }
    let declared: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": declared });
    // Milliseconds since 1970.
    let time = u64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis());
    let mut line = Map::new();
    line.insert("_aws".to_owned(), json!({ "Timestamp": time.unwrap_or_default(), "CloudWatchMetrics": [directive] }));
    line.insert(DIMENSION.to_owned(), function_name.into());
    line.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value.into())));
    Some(format!("{}\n", Value::Object(line)))
}

/// The metrics that apply: names, units and values. `docs/reference.md` says what each one counts.
fn metrics(outcome: &Outcome) -> Vec<(&'static str, &'static str, u64)> {
    let action = outcome.action;
    let once = |condition: bool| condition.then_some(1);
    // An ignored trigger does not count. A job that continues was counted at its first call.
    let triggers = !outcome.measures.is_later_call
        && matches!(
            action,
            Some(
                Action::Started
                    | Action::Duplicate
                    | Action::AlreadyRunning
                    | Action::AlreadyServed
                    | Action::Held
                    | Action::CoolingDown
                    | Action::Deferred
                    | Action::Braked
            )
        );
    let trigger = |kind| once(triggers && outcome.event == kind);
    // A dry run starts nothing.
    let is_started = action == Some(Action::Started) && !outcome.dry_run;
    // While a guard cannot be read, a count of 0 is not certain, so it is left out.
    let count = |number: u64| Some(number).filter(|number| *number > 0 || !outcome.measures.has_unread_guard);
    let guards = outcome.interlock.as_ref();
    let all = [
        ("DriftTriggers", "Count", trigger(EventKind::DriftAlarm)),
        ("ScheduleTriggers", "Count", trigger(EventKind::Schedule)),
        ("CodeTriggers", "Count", trigger(EventKind::CodePipeline)),
        ("JobTriggers", "Count", trigger(EventKind::CodePipelineJob)),
        ("RequestTriggers", "Count", trigger(EventKind::Retrain)),
        ("Started", "Count", once(is_started)),
        ("Duplicates", "Count", once(action == Some(Action::Duplicate))),
        ("Coalesced", "Count", once(action == Some(Action::AlreadyRunning))),
        ("CoolingDown", "Count", once(action == Some(Action::CoolingDown))),
        ("CaughtUp", "Count", once(is_started && outcome.event == EventKind::Heartbeat)),
        ("OwedSeconds", "Seconds", outcome.measures.owed_seconds),
        ("RetrainingFailing", "Count", outcome.measures.retraining_failing.map(u64::from)),
        ("TrainingAgeSeconds", "Seconds", outcome.measures.training_age_seconds),
        // Written if the guards were observed.
        ("InterlockEngaged", "Count", guards.and_then(|guards| count(guards.is_engaged().into()))),
        ("GuardsHeld", "Count", guards.and_then(|guards| count(guards.held() as u64))),
        ("AlarmsMissing", "Count", outcome.measures.has_no_alarm.map(u64::from)),
    ];
    all.into_iter().filter_map(|(name, unit, value)| Some((name, unit, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{GuardStates, Measures};

    #[test]
    fn a_line_is_in_the_embedded_metric_format_and_has_no_metric_that_says_nothing() {
        let outcome = Outcome { action: Some(Action::AlreadyRunning), ..Outcome::new(EventKind::DriftAlarm, None) };
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_548_800);
        let written = line(&outcome, "drift-router-nyctaxi", noon).unwrap();
        assert_eq!(written.matches('\n').count(), 1, "CloudWatch reads one line");
        assert!(written.ends_with('\n'));
        assert_eq!(
            serde_json::from_str::<Value>(&written).unwrap(),
            json!({
                "_aws": {
                    "Timestamp": 1_622_548_800_000_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "DriftRouter",
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [
                            { "Name": "DriftTriggers", "Unit": "Count" },
                            { "Name": "Coalesced", "Unit": "Count" },
                        ],
                    }],
                },
                "FunctionName": "drift-router-nyctaxi",
                "DriftTriggers": 1,
                "Coalesced": 1,
            })
        );
        let ignored = Outcome { action: Some(Action::Ignored), ..outcome };
        assert!(line(&ignored, "f", noon).is_none());
        // No guard could be read.
        let measures = Measures { has_unread_guard: true, ..Measures::default() };
        let failed = Outcome { interlock: Some(GuardStates::default()), measures, ..ignored };
        assert!(line(&failed, "f", noon).is_none());
    }
}
