//! Deployments that wait for the end of an active execution (`DEPLOYMENT_WHILE_RUNNING=wait`).

use serde_json::{Value, json};
use simulator::nyctaxi::FIRST_EXECUTION_ARN;
use simulator::samples::sample_event;
use simulator::time::{HOUR, MINUTE};

use crate::common::Lab;

const WAIT: (&str, &str) = ("DEPLOYMENT_WHILE_RUNNING", "wait");

impl Lab {
    /// New code is deployed. Returns the event.
    fn deploys(&self, id: &str) -> Value {
        self.simulator.world().code_deployed(id)
    }

    /// The newest execution ends.
    fn newest_ends(&self) {
        let arn = self.simulator.world().sagemaker.executions.last().unwrap().arn.clone();
        self.simulator.world().set_execution_status(&arn, "Succeeded");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_waits_for_the_end_of_an_execution_and_the_newest_one_is_trained_then() {
    let lab = Lab::with(&[WAIT]);
    assert_eq!(lab.send(sample_event("schedule")).await["action"], "started");
    tokio::time::advance(MINUTE).await;
    let mut events = Vec::new();
    for id in ["aaaa", "bbbb"] {
        let event = lab.deploys(id);
        let answer = lab.send(event.clone()).await;
        assert_eq!((&answer["action"], &answer["key"]), (&json!("deferred"), &json!(id)));
        assert_eq!(answer["executionArn"], FIRST_EXECUTION_ARN);
        assert_eq!(answer["reason"], format!("{id} waits for the end of execution ib87gnc408me"));
        events.push(event);
        tokio::time::advance(MINUTE).await;
    }
    let status = lab.send(sample_event("status")).await;
    assert_eq!((&status["findings"][0]["key"], &status["findings"][0]["verdict"]), (&json!("bbbb"), &json!("waiting")));
    assert!(status["summary"].as_str().unwrap().ends_with("1 finding waits for its end."), "{status}");
    tokio::time::advance(10 * MINUTE).await;
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "unchanged");
    assert_eq!(lab.take_metrics()[0], "OwedSeconds 660");

    lab.newest_ends();
    let answer = lab.send(sample_event("heartbeat")).await;
    assert_eq!((&answer["action"], &answer["key"]), (&json!("started"), &json!("bbbb")));
    // The events come again, while it runs and after its end. The older code must not be trained last.
    for answers in [["alreadyServed", "duplicate"], ["alreadyServed", "duplicate"]] {
        for (event, action) in events.iter().zip(answers) {
            assert_eq!(lab.send(event.clone()).await["action"], action);
        }
        lab.newest_ends();
        tokio::time::advance(HOUR).await;
    }
    assert_eq!(lab.executions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_meets_no_execution_is_trained_at_once() {
    let lab = Lab::with(&[WAIT]);
    assert_eq!(lab.send(lab.deploys("aaaa")).await["action"], "started");
    lab.newest_ends();
    tokio::time::advance(MINUTE).await;
    assert_eq!(lab.send(lab.deploys("bbbb")).await["action"], "started");
    assert_eq!(lab.executions(), ["code-aaaa", "code-bbbb"]);
}

#[tokio::test(start_paused = true)]
async fn by_default_a_deployment_does_not_wait() {
    let lab = Lab::new();
    lab.send(sample_event("schedule")).await;
    assert_eq!(lab.send(lab.deploys("aaaa")).await["action"], "started");
    assert_eq!(lab.executions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_under_the_brake_and_a_rollback_cancels_it() {
    let lab = Lab::with(&[WAIT, ("CATCH_UP_PER_DAY", "1")]);
    lab.send(sample_event("schedule")).await;
    tokio::time::advance(MINUTE).await;
    assert_eq!(lab.send(lab.deploys("aaaa")).await["action"], "deferred");
    tokio::time::advance(HOUR).await;
    lab.newest_ends();
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "braked");
    let now = lab.simulator.world().now();
    lab.simulator.world().codepipeline.roll_back("back", "0000", now);
    tokio::time::advance(25 * HOUR).await;
    assert_eq!(lab.send(sample_event("heartbeat")).await["action"], "unchanged");
    assert_eq!(lab.executions().len(), 1);
}
