//! What an invocation did, as CloudWatch metrics: one line of the function's log in CloudWatch's embedded metric format, from which
//! CloudWatch makes metrics of the namespace `DriftRouter` with the dimension `FunctionName`. The template's alarms and dashboard
//! read them. Invocations, errors, throttles and durations are not here: Lambda counts them.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::SystemTime;

use metrique_writer::Entry;
use metrique_writer::format::Format;
use metrique_writer::stream::IoStreamError;
use metrique_writer::unit::AsCount;
use metrique_writer_format_emf::Emf;

use crate::event::Kind;
use crate::router::{Action, Outcome};

const NAMESPACE: &str = "DriftRouter";
const DIMENSION: &str = "FunctionName";

type Count = Option<AsCount<u64>>;

/// One line. A metric that the invocation says nothing of is not in it, and costs nothing.
#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct Line<'n> {
    #[entry(timestamp)]
    time: SystemTime,
    function_name: &'n str,
    drift_triggers: Count,
    schedule_triggers: Count,
    code_triggers: Count,
    job_triggers: Count,
    /// An execution was started.
    started: Count,
    /// The occurrence had its execution already.
    duplicates: Count,
    /// A retraining ran already, which is all that the trigger asked for.
    coalesced: Count,
    /// A drift alarm came within the cooldown.
    cooling_down: Count,
    /// An execution ended in another way than it should, and not because somebody stopped it.
    retrainings_failed: Count,
    /// 1 while the router disables a guard, else 0: whenever the guards were looked at.
    interlock_engaged: Count,
}

/// The line of one invocation of the function of this name, at that time; `None` where there is nothing to count.
///
/// # Errors
/// Where the line cannot be written, which a vector never causes.
pub fn line(outcome: &Outcome, function_name: &str, time: SystemTime) -> Result<Option<Vec<u8>>, IoStreamError> {
    let action = outcome.action;
    let once = |condition: bool| condition.then(|| 1.into());
    // A trigger that is ignored asks for nothing; a job that goes on was counted when it began.
    let triggers = matches!(action, Action::Started | Action::Duplicate | Action::AlreadyRunning | Action::CoolingDown);
    let trigger = |kind| once(triggers && outcome.event == kind);
    let line = Line {
        time,
        function_name,
        drift_triggers: trigger(Kind::DriftAlarm),
        schedule_triggers: trigger(Kind::Schedule),
        code_triggers: trigger(Kind::CodePipeline),
        job_triggers: trigger(Kind::CodePipelineJob),
        started: once(action == Action::Started),
        duplicates: once(action == Action::Duplicate),
        coalesced: once(action == Action::AlreadyRunning),
        cooling_down: once(action == Action::CoolingDown),
        retrainings_failed: once(outcome.retraining_failed),
        interlock_engaged: outcome.interlock.as_ref().map(|report| u64::from(report.is_engaged()).into()),
    };
    if !triggers && outcome.interlock.is_none() && !outcome.retraining_failed {
        return Ok(None);
    }
    let mut written = Vec::with_capacity(512);
    Emf::all_validations(NAMESPACE.to_owned(), vec![vec![DIMENSION.to_owned()]]).format(&line, &mut written)?;
    Ok(Some(written))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_is_in_the_embedded_metric_format_and_has_no_metric_that_says_nothing() {
        let outcome = Outcome {
            event: Kind::DriftAlarm,
            key: None,
            action: Action::AlreadyRunning,
            reason: None,
            execution_arn: None,
            interlock: None,
            retraining_failed: false,
        };
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_548_800);
        let written = line(&outcome, "drift-router-nyctaxi", noon).unwrap().unwrap();
        assert_eq!(written.last(), Some(&b'\n'));
        assert_eq!(
            serde_json::from_slice::<Value>(&written).unwrap(),
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
        assert!(line(&Outcome { action: Action::Ignored, ..outcome }, "f", noon).unwrap().is_none());
    }
}
