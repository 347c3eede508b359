//! The newest invocations of the router: event, answer and calls.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::Value;
use simulator::nyctaxi::HEARTBEAT_RULE;
use simulator::{Call, Time, only_reads};

/// How many rows the journal has.
const ROWS: usize = 50;

/// One call to AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShownCall {
    service: &'static str,
    operation: String,
    only_reads: bool,
    error: Option<String>,
}

impl From<Call> for ShownCall {
    fn from(call: Call) -> Self {
        let only_reads = only_reads(&call.operation);
        Self { service: call.service, operation: call.operation, only_reads, error: call.result.err() }
    }
}

/// One invocation, or several heartbeats in a row that found the same and changed nothing in AWS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invocation {
    /// The number of the row.
    pub(crate) id: u64,
    /// How many invocations the row stands for.
    pub(crate) count: u64,
    /// The times of the first and of the last of them, in milliseconds since the epoch.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// What the event says, for people.
    pub(crate) name: String,
    /// The event of the last one, and what follows from it.
    pub(crate) event: Value,
    pub(crate) action: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) answer: Value,
    pub(crate) calls: Vec<ShownCall>,
}

impl Invocation {
    /// Whether a row can stand for this one and for `next`, the invocation after it.
    fn is_repeated_by(&self, next: &Self) -> bool {
        let result = |it: &Self| (it.action.clone(), it.reason.clone(), it.error.clone(), it.warnings.clone());
        is_heartbeat(&self.event)
            && self.name == next.name
            && result(self) == result(next)
            && self.calls.iter().chain(&next.calls).all(|call| call.only_reads || call.error.is_some())
    }
}

/// The rows, newest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    rows: VecDeque<Invocation>,
    so_far: u64,
}

impl Journal {
    /// Adds an invocation. A heartbeat that repeats the row before it is counted there.
    pub(crate) fn add(&mut self, mut invocation: Invocation) {
        if let Some(newest) = self.rows.front_mut()
            && newest.is_repeated_by(&invocation)
        {
            *newest = Invocation { id: newest.id, count: newest.count + 1, first: newest.first, ..invocation };
            return;
        }
        self.so_far += 1;
        invocation.id = self.so_far;
        self.rows.push_front(invocation);
        self.rows.truncate(ROWS);
    }

    /// The rows, newest first.
    pub(crate) fn rows(&self) -> &VecDeque<Invocation> {
        &self.rows
    }
}

/// Whether it is the event of the heartbeat's rule.
fn is_heartbeat(event: &Value) -> bool {
    event["resources"][0].as_str().is_some_and(|arn| arn.ends_with(HEARTBEAT_RULE))
}

/// What an event says, for people.
pub(crate) fn name_of(event: &Value) -> String {
    let detail = &event["detail"];
    let text = |field: &str| detail[field].as_str().unwrap_or_default();
    let name = match event["source"].as_str() {
        Some("aws.cloudwatch") => {
            format!("Alarm {}: {}", text("alarmName"), detail["state"]["value"].as_str().unwrap_or_default())
        }
        Some("aws.codepipeline") => format!("Deployment {}: {}", text("execution-id"), text("state")),
        Some("aws.sagemaker") => {
            format!("Execution {}: {}", short(text("pipelineExecutionArn")), text("currentPipelineExecutionStatus"))
        }
        Some("aws.events") if is_heartbeat(event) => "Heartbeat".to_owned(),
        Some("aws.events") => "Tick of the schedule".to_owned(),
        _ => event["detail-type"].as_str().unwrap_or("Event").to_owned(),
    };
    if event["widgetContext"].is_null() { name } else { format!("{name}, by a button of the page") }
}

/// The last part of an ARN: the id of an execution.
pub(crate) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A moment in milliseconds since the epoch, as the browser counts time.
pub(crate) fn milliseconds(time: Time) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn invocation(name: &str, event: Value, last: u64) -> Invocation {
        Invocation {
            id: 0,
            count: 1,
            first: last,
            last,
            name: name.to_owned(),
            event,
            action: Some("checked".to_owned()),
            reason: None,
            error: None,
            warnings: vec![],
            answer: Value::Null,
            calls: vec![],
        }
    }

    fn heartbeat(last: u64) -> Invocation {
        let event = json!({ "source": "aws.events", "resources": [format!("rule/{HEARTBEAT_RULE}")] });
        invocation("Heartbeat", event, last)
    }

    #[test]
    fn heartbeats_that_change_nothing_share_a_row() {
        let mut journal = Journal::default();
        (1..=3).for_each(|at| journal.add(heartbeat(at)));
        let row = &journal.rows()[0];
        assert_eq!((journal.rows().len(), row.count, row.first, row.last, row.id), (1, 3, 1, 3, 1));
        let write = ShownCall { service: "events", operation: "DisableRule".into(), only_reads: false, error: None };
        journal.add(Invocation { calls: vec![write], ..heartbeat(4) });
        journal.add(heartbeat(5));
        journal.add(Invocation { action: Some("started".to_owned()), ..heartbeat(6) });
        assert_eq!(journal.rows().iter().map(|row| row.count).collect::<Vec<_>>(), [1, 1, 1, 3]);
    }

    #[test]
    fn the_newest_fifty_are_kept() {
        let mut journal = Journal::default();
        (1..=60).for_each(|at| journal.add(invocation("Tick", json!({}), at)));
        assert_eq!(journal.rows().len(), 50);
        assert_eq!((journal.rows()[0].last, journal.rows()[49].last), (60, 11));
    }

    #[test]
    fn an_event_without_a_known_form_has_a_name_too() {
        assert_eq!(name_of(&json!({})), "Event");
        assert_eq!(name_of(&json!({ "detail-type": "Retrain" })), "Retrain");
        assert_eq!(name_of(&json!([1])), "Event");
    }
}
