//! What an invocation did, as CloudWatch metrics. They are one line of the function's log in CloudWatch's embedded metric format.
//! CloudWatch makes metrics of it, in the namespace `DriftRouter` with the dimension `FunctionName`. The template's alarms and
//! dashboard read them. Lambda itself counts invocations, errors, throttles and durations.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::SystemTime;

use metrique_writer::Entry;
use metrique_writer::format::Format;
use metrique_writer::stream::IoStreamError;
use metrique_writer::unit::{AsCount, AsSeconds};
use metrique_writer_format_emf::Emf;

use crate::outcome::{Action, EventKind, Outcome};

const NAMESPACE: &str = "DriftRouter";
const DIMENSION: &str = "FunctionName";

type Count = Option<AsCount<u64>>;

/// One line. A metric that does not apply to the invocation is absent, and costs nothing.
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
    /// An execution was active already, and the trigger needs only that a retraining runs.
    coalesced: Count,
    /// A drift alarm came within the cooldown.
    cooling_down: Count,
    /// The event reports that an execution failed. A stopped execution did not fail.
    retrainings_failed: Count,
    /// A heartbeat started an execution.
    caught_up: Count,
    /// At a heartbeat: the age in seconds of the oldest occurrence that is owed; 0 if none is. Drift that only waits for the
    /// cooldown does not count.
    owed_seconds: Option<AsSeconds<u64>>,
    /// 1 if this router has disabled a guard, else 0. Written if the guards were observed; a 0 only if all could be read.
    interlock_engaged: Count,
    /// How many guards are held. Written if the guards were observed; a 0 only if all could be read.
    guards_held: Count,
}

/// The line of one invocation, or `None` if there is nothing to count.
///
/// # Errors
/// [`IoStreamError`] if the line cannot be formatted.
pub(crate) fn line(outcome: &Outcome, function_name: &str, time: SystemTime) -> Result<Option<Vec<u8>>, IoStreamError> {
    let action = outcome.action;
    let once = |condition: bool| condition.then(|| 1.into());
    // An ignored trigger does not count. A job that continues was counted at its first call.
    let triggers = !outcome.is_later_call
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
            )
        );
    let trigger = |kind| once(triggers && outcome.event == kind);
    // A dry run starts nothing.
    let is_started = action == Some(Action::Started) && !outcome.dry_run;
    // While a guard cannot be read, a count of 0 is not certain, so it is left out.
    let count = |number: u64| Some(number).filter(|number| *number > 0 || !outcome.has_unread_guard).map(Into::into);
    let guards = outcome.interlock.as_ref();
    let interlock_engaged = guards.and_then(|guards| count(guards.is_engaged().into()));
    let guards_held = guards.and_then(|guards| count(guards.held() as u64));
    if !triggers && interlock_engaged.is_none() && guards_held.is_none() && !outcome.retraining_failed {
        return Ok(None);
    }
    let line = Line {
        time,
        function_name,
        drift_triggers: trigger(EventKind::DriftAlarm),
        schedule_triggers: trigger(EventKind::Schedule),
        code_triggers: trigger(EventKind::CodePipeline),
        job_triggers: trigger(EventKind::CodePipelineJob),
        started: once(is_started),
        duplicates: once(action == Some(Action::Duplicate)),
        coalesced: once(action == Some(Action::AlreadyRunning)),
        cooling_down: once(action == Some(Action::CoolingDown)),
        retrainings_failed: once(outcome.retraining_failed),
        caught_up: once(is_started && outcome.event == EventKind::Heartbeat),
        owed_seconds: outcome.owed_seconds.map(Into::into),
        interlock_engaged,
        guards_held,
    };
    let mut written = Vec::with_capacity(512);
    Emf::all_validations(NAMESPACE.to_owned(), vec![vec![DIMENSION.to_owned()]]).format(&line, &mut written)?;
    Ok(Some(written))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::outcome::GuardReport;

    #[test]
    fn a_line_is_in_the_embedded_metric_format_and_has_no_metric_that_says_nothing() {
        let outcome = Outcome { action: Some(Action::AlreadyRunning), ..Outcome::new(EventKind::DriftAlarm, None) };
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
        let ignored = Outcome { action: Some(Action::Ignored), ..outcome };
        assert!(line(&ignored, "f", noon).unwrap().is_none());
        // No guard could be read.
        let failed = Outcome { interlock: Some(GuardReport::default()), has_unread_guard: true, ..ignored };
        assert!(line(&failed, "f", noon).unwrap().is_none());
    }
}
