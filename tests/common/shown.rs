//! The status before every event of every scenario.
//!
//! [`Lab`](super::Lab) asks for the status before each event, on a copy of the simulator with the same faults, as the dry run does. So
//! every scenario also tests this:
//!
//! - A status calls only operations that change nothing, and writes no metrics. It fails only at Lambda's deadline.
//! - What it names as next, with an earliest time that has come, is what a heartbeat in its place starts. If it names nothing, the
//!   heartbeat starts nothing.
//!
//! A panic of a scenario in the thread of its status comes from here.

use serde_json::Value;
use simulator::nyctaxi::HEARTBEAT_RULE;
use simulator::only_reads;
use simulator::samples::sample_event;

use super::instance::Instance;

/// The status before one event; `None` if the deadline came before it.
pub struct Shown(Option<Value>);

impl Shown {
    /// Asks for the status on a copy of the simulator, and checks its calls and metrics.
    pub fn before(tested: &Instance) -> Self {
        let asked = tested.on(tested.simulator.copy());
        let run = async move {
            asked.simulator.world().restart();
            let status = match asked.handle(sample_event("status")).await {
                Ok(status) => Some(status),
                Err(error) if error.error_type == "Deadline" => None,
                Err(error) => panic!("the status failed: {}", error.error_message),
            };
            for call in asked.take_calls() {
                assert!(only_reads(&call), "a status called {call}");
            }
            assert_eq!(asked.take_metrics(), Vec::<String>::new(), "a status wrote metrics");
            status
        };
        Self(super::on_its_own_clock(run))
    }

    /// Asserts that a heartbeat has started what was shown.
    pub fn assert_done(&self, event: &Value, answer: &Value) {
        let is_heartbeat = event["resources"][0].as_str().is_some_and(|arn| arn.ends_with(HEARTBEAT_RULE));
        let Some(status) = self.0.as_ref().filter(|_| is_heartbeat) else { return };
        let (next, has_started) = (&status["next"], answer["action"] == "started");
        if next["earliest"].as_str().is_some_and(|earliest| Some(earliest) <= status["time"].as_str()) {
            // Only a real start shows SageMaker's limit and the effect of a token that was used before.
            let is_refused =
                ["deferred", "alreadyRunning", "duplicate"].iter().any(|action| answer["action"] == *action);
            assert!(has_started || is_refused, "shown {status}, then {answer}");
            assert_eq!(next["key"], answer["key"], "shown {status}, then {answer}");
        } else {
            assert!(!has_started, "shown {status}, then {answer}");
        }
    }
}
