//! The dry run before every event of every scenario.
//!
//! [`Lab`](super::Lab) gives each event to a second router first, one with `MODE=dry-run`. That router calls a copy of the simulator,
//! with the same faults, and ends before the router under test handles the event. So every scenario also tests this:
//!
//! - A dry run calls only operations that change nothing, except to answer a job.
//! - It counts no start in its metrics.
//! - It reports the action that the active router then takes, if nothing else changes the world meanwhile. Its status is the active
//!   router's.
//!
//! A panic of a scenario in the thread of its dry run comes from here.

use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use simulator::{only_reads, record};

use super::instance::Instance;

/// What the dry run of one event answered.
pub struct DryRun(Result<Value, Diagnostic>);

impl DryRun {
    /// Runs the event with `MODE=dry-run` on a copy of the simulator, and checks its calls and metrics. Returns nothing for a job,
    /// because a job's first call is refused.
    pub fn before(event: &Value, tested: &Instance) -> Option<Self> {
        let (event, tested) = (event.clone(), tested.with(tested.simulator.copy(), ("MODE", "dry-run")));
        let is_job = event.get("CodePipeline.job").is_some();
        let run = async move {
            tested.simulator.world().restart();
            let answer = tested.handle(event).await;
            for call in tested.take_calls() {
                record::note("dry-run", &json!(call));
                let is_answer = is_job && ["PutJobSuccessResult", "PutJobFailureResult"].contains(&call.as_str());
                assert!(only_reads(&call) || is_answer, "a dry run called {call}");
            }
            let metrics = tested.take_metrics();
            let counts_start = |metric: &String| metric.starts_with("Started ") || metric.starts_with("CaughtUp ");
            assert!(!metrics.iter().any(counts_start), "a dry run counted a start: {metrics:?}");
            answer
        };
        Some(Self(super::on_its_own_clock(run))).filter(|_| !is_job)
    }

    /// Asserts that the dry run reported the action that the active router has now taken.
    pub fn assert_reported(self, answer: &Value) {
        let reported = self.0.expect("a dry run fails only where the active router fails");
        if reported["event"] == "status" {
            for field in ["next", "nothing", "guards", "findings", "executions"] {
                assert_eq!(reported[field], answer[field], "{field}");
            }
            return;
        }
        assert_eq!(reported["dryRun"], true);
        // Only a real start shows SageMaker's limit and the effect of a token that was used before.
        let tried = reported["action"] == "started" && answer["action"] != "started";
        let is_refused =
            tried && ["deferred", "alreadyRunning", "duplicate"].contains(&answer["action"].as_str().unwrap());
        assert!(is_refused || reported["action"] == answer["action"], "dry run {reported}, then {answer}");
    }
}
