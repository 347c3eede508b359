//! What people ask for: the status and a retraining. And deployments that wait. The checks share no code with the router.

use serde_json::{Value, json};
use simulator::sagemaker::{Execution, ReusedToken};
use simulator::samples::sample_with;
use simulator::time::DAY;
use tokio::time::Instant;

use crate::agenda::Planned;
use crate::check::Start;
use crate::history::deliveries;
use crate::invocations::Ended;
use crate::owed::{self, Cause, TOLERANCE};
use crate::state::Run;

/// The step that fails in every execution that fails.
pub const FAILED_STEP: &str = "TrainModel";

/// A status that was asked for just before a heartbeat.
pub struct Shown {
    pub begins: Instant,
    pub status: Value,
}

impl Run<'_> {
    /// Somebody asks for a retraining. The request arrives once or several times.
    pub fn request(&mut self, number: usize, is_forced: bool) {
        let id = number.to_string();
        let event = sample_with("retrain", &[("/detail", json!({ "id": id, "force": is_forced }))]);
        let mut copies = deliveries(&mut self.rng_for(("request", number)));
        // While lists lag, another time in a parameter makes it another request for the same token.
        if self.history.reused_token == ReusedToken::SecondExecution {
            copies.truncate(1);
        }
        for delay in copies {
            self.agenda.plan(delay, Planned::Deliver { name: "request".to_owned(), event: event.clone() });
        }
        self.requests.by_people.insert(id, is_forced);
    }

    /// The execution of a request: somebody asked for it. If it is not forced, it starts beside no active execution and within the
    /// brake.
    pub fn check_request(&self, start: &Start<'_>) -> Result<(), String> {
        let Start { execution: new, name, earlier, is_by_heartbeat, .. } = *start;
        let id = name.trim_start_matches("request-");
        let Some(is_forced) = self.requests.by_people.get(id) else {
            return Err(format!("invariant 9: {name} was started, and nobody asked for it"));
        };
        if is_by_heartbeat {
            return Err(format!("invariant 9: a heartbeat started {name}"));
        }
        if *is_forced {
            return Ok(());
        }
        let earlier = || earlier.iter().filter(|e| !e.is_deleted());
        if let Some(active) = earlier().find(|e| start.saw_active(e)) {
            return Err(format!("invariant 11: {name} was started beside {}, which runs", active.arn));
        }
        let is_recent = |e: &&Execution| start.saw(e) && e.created + DAY > new.created + TOLERANCE;
        let recent = earlier().filter(is_recent).count();
        if recent >= owed::catch_up_per_day(self.history) {
            return Err(format!("invariant 11: {name} was started after {recent} executions in a day"));
        }
        Ok(())
    }

    /// A deployment's event starts its execution beside no active one, and only if no later execution has its code.
    pub fn check_waited(&self, start: &Start<'_>, cause: Option<Cause>) -> Result<(), String> {
        let Start { name, earlier, .. } = *start;
        let earlier = || earlier.iter().filter(|e| !e.is_deleted());
        if let Some(active) = earlier().find(|e| start.saw_active(e)) {
            return Err(format!("invariant 12: {name} did not wait for the end of {}", active.arn));
        }
        if let Some(cause) = cause
            && let Some(newer) = earlier().find(|e| start.saw(e) && cause.is_served_by(e))
        {
            return Err(format!("invariant 12: {name} was trained after {}, which has its code", newer.arn));
        }
        Ok(())
    }

    /// The answer to a request.
    pub fn check_requests_answer(&self, ended: &Ended, answer: &Value) -> Result<(), String> {
        let (event, action) = (&ended.delivery.event, answer["action"].as_str().unwrap_or_default());
        let id = event["detail"]["id"].as_str().unwrap_or_default();
        let is_forced = event["detail"]["force"] == true;
        let fits = match action {
            "started" | "duplicate" => true,
            "ignored" => ended.delivery.drains,
            "alreadyRunning" | "braked" => !is_forced,
            _ => false,
        };
        if !fits {
            return Err(format!("invariant 11: request {id}, forced: {is_forced}, was answered {action}"));
        }
        let world = self.simulator.world();
        let name = format!("request-{id}");
        let is_its_own = |e: &Execution| e.display_name.as_ref() == Some(&name) && answer["executionArn"] == *e.arn;
        if ["started", "duplicate"].contains(&action) && !world.sagemaker.executions.iter().any(is_its_own) {
            return Err(format!("invariant 11: request {id} was answered {action}, and has no execution"));
        }
        let is_recent = |e: &&Execution| !e.is_deleted() && e.created + DAY + TOLERANCE > world.now();
        let recent = world.sagemaker.executions.iter().filter(is_recent).count();
        if action == "braked" && recent < owed::catch_up_per_day(self.history) {
            return Err(format!("invariant 11: request {id} was braked after {recent} executions in a day"));
        }
        Ok(())
    }

    /// A status changes nothing.
    pub fn check_statuses(&self) -> Result<(), String> {
        match self.function.status_writes.lock().unwrap().first() {
            Some(operation) => Err(format!("invariant 13: a status called {operation}")),
            None => Ok(()),
        }
    }

    /// What a status shows is what a heartbeat in its place does, if nothing disturbs the two.
    pub fn check_shown(&self, ended: &Ended, answer: &Value) -> Result<(), String> {
        let Some(shown) = &ended.shown else { return Ok(()) };
        let is_calm =
            self.is_undisturbed(ended) && !self.calls_fail(shown.begins) && !self.was_in_trouble(shown.begins);
        if !is_calm {
            return Ok(());
        }
        let status = &shown.status;
        let at = |time: &Value| time.as_str().and_then(|time| humantime::parse_rfc3339(time).ok());
        let now = at(&status["time"]);
        let soon = now.map(|now| now + 4 * TOLERANCE);
        let (next, has_started) = (&status["next"], answer["action"] == "started");
        let earliest = at(&next["earliest"]);
        if earliest.is_some_and(|earliest| Some(earliest) <= now) {
            let is_refused =
                ["deferred", "alreadyRunning", "duplicate"].iter().any(|action| answer["action"] == *action);
            if !(has_started || is_refused) || answer["key"] != next["key"] {
                return Err(format!("invariant 13: the status shows {next}, and the heartbeat answers {answer}"));
            }
            return Ok(());
        }
        // Its time may come between the two.
        let comes_soon =
            [earliest, at(&status["nothing"]["until"])].into_iter().flatten().any(|time| Some(time) <= soon);
        if has_started && !comes_soon {
            return Err(format!(
                "invariant 13: the status shows no start, and the heartbeat answers {answer}: {status}"
            ));
        }
        Ok(())
    }

    /// The gauge says whether the newest training that has ended, and that nobody stopped, failed. The reason names the failed step.
    pub fn check_outcomes(&self, ended: &Ended, answer: &Value) -> Result<(), String> {
        // Without start times, the newest is not known.
        if self.history.start_time_missing.is_some() || ended.delivery.drains {
            return Ok(());
        }
        let world = self.simulator.world();
        let results = ["Succeeded", "Failed", "CompletedWithFailures"];
        let existing = || world.sagemaker.executions.iter().rev().filter(|e| !e.is_deleted());
        let newest = existing().find(|e| results.contains(&e.status()));
        let failing = newest.map(|newest| u64::from(newest.status() != "Succeeded"));
        let counted = ended.metrics.as_ref().and_then(|line| line["RetrainingFailing"].as_u64());
        if ended.metrics.is_some() && counted != failing {
            return Err(format!("invariant 14: RetrainingFailing is {counted:?}, not {failing:?}"));
        }
        let detail = &ended.delivery.event["detail"];
        let reported = existing().find(|e| detail["pipelineExecutionArn"] == *e.arn && e.status() == "Failed");
        let is_reported = reported.is_some() && detail["currentPipelineExecutionStatus"] == "Failed";
        let reason = answer["reason"].as_str().unwrap_or_default();
        if is_reported && !self.calls_fail(ended.begins) && !reason.contains(FAILED_STEP) {
            return Err(format!("invariant 14: the failed step is not named: {reason}"));
        }
        Ok(())
    }
}
