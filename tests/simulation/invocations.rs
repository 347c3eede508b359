//! The invocations of the function in a run: which event is tried next, and what follows from its answer or its failure.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;
use simulator::sagemaker::Execution;
use simulator::samples::sample_event;
use simulator::sets_guard;
use tokio::time::Instant;

use crate::history::{Lambda, Outage, Weather};
use crate::holds::Hold;
use crate::marks::TAG;
use crate::names::{ALARMS, LISTED_ALARMS, RULES};
use crate::owed::{self, Owed};
use crate::people::Shown;
use crate::queue::Delivery;
use crate::state::Run;

/// How often Lambda tries an event.
const TRIES: usize = 3;

/// An invocation that has ended.
pub struct Ended {
    pub delivery: Delivery,
    /// When it came. A status may be asked for before it begins.
    came: Instant,
    pub begins: Instant,
    /// Whether reads showed the current state when it came.
    lists_were_current: bool,
    /// The answer or the error; `None` if it was killed.
    handled: Option<Result<Value, String>>,
    /// The status just before it, of some heartbeats.
    pub shown: Option<Shown>,
    /// The last line of metrics.
    pub metrics: Option<Value>,
}

impl Run<'_> {
    /// The next event that Lambda delivers, while so many invocations run.
    pub fn next_delivery(&mut self, running: usize) -> Option<Delivery> {
        let delivery = self.queue.take_ready(self.rng_for(("pick", self.queue.invocations)))?;
        if running > 0 {
            self.disturb();
        }
        self.queue.in_flight = running + 1;
        Some(delivery)
    }

    pub fn invoke(&mut self, mut delivery: Delivery) -> impl Future<Output = Ended> + use<> {
        self.queue.invocations += 1;
        delivery.tries += 1;
        self.holds.contest_unseen(self.history.guard_read_lag);
        self.trace.note(&format!("invoke {} (try {})", delivery.name, delivery.tries));
        if delivery.name == "tick" {
            self.ticks.ask(&delivery.event);
        }
        let mut rng = self.rng_for(("kill", self.queue.invocations));
        // At most one kill for each event, and none in its last try. Three killed tries would lose it without a fault of the router.
        let may_kill = self.history.lambda != Lambda::Concurrent && !delivery.killed && delivery.tries < TRIES;
        let kill = may_kill && rng.u8(..8) == 0;
        delivery.killed |= kill;
        let polls = if kill { rng.usize(1..80) } else { usize::MAX };
        let lists_were_current = self.reads_are_current();
        delivery.drains = self.function.drains;
        let invocation = self.function.invoke(&delivery.event, polls);
        let is_shown = delivery.name == "heartbeat"
            && self.queue.in_flight == 1
            && self.rng_for(("shown", self.queue.invocations)).u8(..3) == 0;
        let status = is_shown.then(|| self.function.invoke(&sample_event("status"), usize::MAX));
        let metrics = self.function.metrics.clone();
        async move {
            let came = Instant::now();
            let mut shown = None;
            if let Some(status) = status {
                let begins = Instant::now();
                shown = status.await.and_then(Result::ok).map(|status| Shown { begins, status });
            }
            let begins = Instant::now();
            let handled = invocation.await;
            Ended { delivery, came, begins, lists_were_current, handled, shown, metrics: metrics.take() }
        }
    }

    /// Checks what an invocation has done, and tries its event again if it failed.
    pub fn ended(&mut self, mut ended: Ended) -> Result<(), String> {
        if self.history.lambda == Lambda::Both && self.queue.in_flight == 0 && self.unstick() {
            self.trace.note("* an operator enables a rule that is stuck");
        }
        self.check_deadline(&ended)?;
        self.check_statuses()?;
        let is_in_queue = match &ended.handled {
            Some(Ok(answer)) => {
                self.answered(&ended, answer)?;
                true
            }
            Some(Err(reason)) => {
                // A heartbeat looks 15 seconds for each of two executions that do not exist: a deployment's, and that of the token
                // which ticks and drift share. Half a minute is too short for that, and for the guards, which each start engaged.
                let is_short = self.history.timeout.is_some_and(|timeout| timeout < Duration::from_mins(1));
                let looked_too_long = is_short
                    && reason.contains("deadline is near")
                    && self.was_answered_with_a_deleted_one(ended.begins);
                if looked_too_long {
                    ended.delivery.found_none = true;
                } else {
                    self.check_failed_heartbeat(&ended)?;
                }
                self.failed(ended.delivery, reason)?
            }
            None => self.failed(ended.delivery, "killed")?,
        };
        if is_in_queue && self.queue.in_flight > 0 {
            self.disturb();
        }
        Ok(())
    }

    /// Lambda does not have to end an invocation: it ends before, with an error of its own. It comes so far only if calls fail.
    fn check_deadline(&self, ended: &Ended) -> Result<(), String> {
        let (name, taken) = (&ended.delivery.name, ended.begins.elapsed());
        if self.history.timeout.is_some_and(|timeout| taken > timeout) {
            return Err(format!("{name} took {taken:?}, and Lambda's deadline came before"));
        }
        let is_late = matches!(&ended.handled, Some(Err(reason)) if reason.contains("deadline is near"));
        // With short pages and lists that lag, half a minute may be too little.
        let is_short = self.history.weather == Weather::Outages;
        if is_late && !is_short && !self.calls_fail(ended.begins) && !self.was_in_trouble(ended.begins) {
            return Err(format!("{name} ran until its deadline, and no call failed"));
        }
        Ok(())
    }

    fn answered(&mut self, ended: &Ended, answer: &Value) -> Result<(), String> {
        let Ended { delivery, begins, .. } = ended;
        let name = &delivery.name;
        self.trace.note(&format!("answer {name} {}", answer["action"]));
        if name == "status" {
            let is_whole =
                answer["summary"].is_string() && (answer["next"].is_object() || answer["nothing"].is_object());
            return if is_whole { Ok(()) } else { Err(format!("invariant 13: a status is {answer}")) };
        }
        if name == "request" {
            self.check_requests_answer(ended, answer)?;
        }
        if delivery.drains && ["started", "engaged", "deferred"].iter().any(|action| answer["action"] == *action) {
            return Err(format!("{name} was {} while draining", answer["action"]));
        }
        if name == "foreign event" && answer["action"] != "ignored" {
            return Err(format!("an event of another account or Region was answered {}", answer["action"]));
        }
        if matches!(name.as_str(), "alarm" | "alarm's action") && answer["action"] == "ignored" && !delivery.drains {
            let listed = if self.history.lists_alarms { &LISTED_ALARMS[..] } else { &ALARMS };
            let event = &delivery.event;
            let detail = if event["alarmData"].is_null() { &event["detail"] } else { &event["alarmData"] };
            let alarm = &detail["alarmName"];
            if listed.iter().any(|name| alarm == name) {
                return Err(format!("the event of alarm {alarm} was ignored"));
            }
        }
        if answer["action"] == "started" && self.is_deleted(answer["executionArn"].as_str().unwrap()) {
            return Err(format!("{name} was answered started, and its execution does not exist"));
        }
        let is_found_again = name.starts_with("alarm") && self.history.lists_alarms;
        if answer["action"] == "alreadyRunning" && !is_found_again {
            self.check_refusal(name, answer["executionArn"].as_str(), *begins)?;
        }
        let is_deferred = answer["action"] == "deferred";
        if is_deferred && name.starts_with("alarm") && !self.history.lists_alarms {
            return Err(format!("{name} was deferred, and no heartbeat finds it"));
        }
        match name.as_str() {
            "tick" if is_deferred => {
                let now = self.simulator.world().now();
                self.ticks.defer(&delivery.event, now);
            }
            "tick" => {
                self.ticks.answer(&delivery.event);
                if answer["action"] == "alreadyRunning" {
                    self.ticks.drop_for_a_running_execution(&delivery.event);
                }
            }
            _ => {}
        }
        // It observed the current state, so the guards must be as the executions require.
        let has_looked = answer["interlock"].is_object();
        // If SageMaker does not find an execution, its event counts. The next event repairs the guards.
        let reported = delivery.event["detail"]["pipelineExecutionArn"].as_str();
        let is_of_deleted = reported.is_some_and(|arn| self.is_deleted(arn));
        if !(self.is_undisturbed(ended) && has_looked) || is_of_deleted {
            return self.check_holds();
        }
        self.check_guards("after an invocation that nothing disturbed")?;
        self.check_outcomes(ended, answer)?;
        self.check_shown(ended, answer)?;
        if name == "heartbeat" && !self.function.drains {
            let world = self.simulator.world();
            let at = world.now() - begins.elapsed();
            if owed::may_start(&world, self.history, at)
                && let Some(owed) = owed::owed(&world, self.history, at).pop()
            {
                return Err(format!("{}, and a heartbeat did not start it", owed.what));
            }
        }
        Ok(())
    }

    /// Whether nothing else changed the world while the invocation ran, and reads showed the current state.
    pub fn is_undisturbed(&self, ended: &Ended) -> bool {
        self.queue.in_flight == 0
            && self.changes.last + self.history.guard_read_lag < ended.came
            && ended.lists_were_current
    }

    /// A heartbeat fails if an alarm's mutes cannot be read, or if SageMaker refuses a start for good. If nothing else was wrong, it
    /// has set the guards all the same, and served whatever else is owed.
    fn check_failed_heartbeat(&self, ended: &Ended) -> Result<(), String> {
        let when = self.since(ended.begins);
        let is_checked = ended.delivery.name == "heartbeat" && !self.function.drains && self.is_undisturbed(ended);
        if !is_checked || self.calls_fail(ended.begins) {
            return Ok(());
        }
        self.check_guards("after a heartbeat that failed")?;
        let world = self.simulator.world();
        let at = world.now() - ended.begins.elapsed();
        if !owed::may_start(&world, self.history, at) {
            return Ok(());
        }
        let troubles = &self.history.troubles;
        let is_hindered = |owed: &Owed| {
            let is_hidden = |alarm: &String| troubles.hides_mutes(alarm, when.clone());
            troubles.refuses(owed.trigger, when.clone()) || owed.alarm.as_ref().is_some_and(is_hidden)
        };
        match owed::owed(&world, self.history, at).into_iter().find(|owed| !is_hindered(owed)) {
            Some(owed) => {
                Err(format!("{}, and a heartbeat that failed for another finding did not start it", owed.what))
            }
            None => Ok(()),
        }
    }

    /// Nothing finds this event again. So it must not be refused for an execution that had ended, although the list still showed it.
    fn check_refusal(&self, name: &str, arn: Option<&str>, begins: Instant) -> Result<(), String> {
        let world = self.simulator.world();
        let began = world.now() - begins.elapsed();
        let refused_for = world.sagemaker.executions.iter().find(|execution| Some(execution.arn.as_str()) == arn);
        match refused_for.filter(|execution| !execution.is_active()) {
            Some(ended) if ended.changed() + self.history.describe_lag < began => {
                Err(format!("{name} was refused for {}, which had ended", ended.arn))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether Lambda tries the event again. If not, the event is in the dead-letter queue, for a reason.
    fn failed(&mut self, mut delivery: Delivery, reason: &str) -> Result<bool, String> {
        self.trace.note(&format!("failed {}: {reason}", delivery.name));
        if delivery.name == "status" && reason != "killed" && !reason.contains("deadline is near") {
            return Err(format!("invariant 13: a status failed: {reason}"));
        }
        self.check_holds()?;
        delivery.refused |= reason.contains("ConflictException");
        delivery.found_none |= reason.contains("start one by hand");
        if delivery.tries < TRIES {
            delivery.ready = Instant::now() + Duration::from_mins(delivery.tries as u64);
            self.queue.push(delivery);
            return Ok(true);
        }
        if !self.asked_for_what_another_started(&delivery)
            && !self.may_be_dead_lettered(&delivery)
            && !self.met_a_used_token(&delivery)
        {
            return Err(format!("invariant 6: {} is in the dead-letter queue: {reason}", delivery.name));
        }
        self.trace.note(&format!("* {} is in the dead-letter queue", delivery.name));
        // The rule has the tag of the owed tick, unless a retraining ran. A tick needs only that a retraining runs.
        if delivery.name == "tick"
            && !self.was_refused(&delivery)
            && !self.eventbridge_was_out(delivery.since)
            && !self.a_retraining_ran(delivery.since)
        {
            let now = self.simulator.world().now();
            self.ticks.defer(&delivery.event, now);
        }
        Ok(false)
    }

    /// If lists lag and two triggers race, the token of one may be used already, but the list may not show the other's execution yet.
    /// Then the try fails. If faults fail the other tries, the event is lost. But the other trigger started the requested retraining.
    fn asked_for_what_another_started(&self, delivery: &Delivery) -> bool {
        let world = self.simulator.world();
        let came = world.now().saturating_sub(delivery.since.elapsed() + self.history.lag());
        delivery.refused
            && self.history.lags()
            && !["code", "job"].contains(&delivery.name.as_str())
            && world.sagemaker.executions.iter().any(|e| e.created >= came)
    }

    /// Whether an execution was active at any time since then.
    fn a_retraining_ran(&self, since: Instant) -> bool {
        let world = self.simulator.world();
        let since = world.now().saturating_sub(since.elapsed());
        world.sagemaker.executions.iter().any(|e| e.is_active() || e.changed() >= since)
    }

    /// Whether calls of every kind failed, in an outage or a burst, at some time since then.
    pub fn calls_fail(&self, since: Instant) -> bool {
        let when = self.since(since);
        self.was_out(since, |_| true)
            || self.history.bursts.iter().any(|(from, to)| *from <= when.end && when.start <= *to)
    }

    /// Whether there was such an outage at any time since then.
    fn was_out(&self, since: Instant, outage: impl Fn(&Outage) -> bool) -> bool {
        let begins = self.trace.begins();
        let (from, to) = (since.duration_since(begins), begins.elapsed());
        self.history.outages.iter().any(|o| outage(o) && o.from < to && from < o.to)
    }

    /// Whether EventBridge's API failed at any time since then.
    fn eventbridge_was_out(&self, since: Instant) -> bool {
        self.was_out(since, |outage| outage.service.is_none_or(|s| s == "events")) || !self.history.bursts.is_empty()
    }

    /// Whether a start met a token that a deleted execution used. The router says to start one by hand, or SageMaker refuses the token
    /// with another request.
    fn met_a_used_token(&self, delivery: &Delivery) -> bool {
        self.changes.was_remade && (delivery.found_none || delivery.refused)
    }

    /// Whether SageMaker answered a start since then with an execution that was deleted with its pipeline.
    fn was_answered_with_a_deleted_one(&self, since: Instant) -> bool {
        let world = self.simulator.world();
        let from = world.now().saturating_sub(since.elapsed());
        let is_deleted = |arn: &Value| world.sagemaker.executions.iter().any(|e| e.is_deleted() && *arn == *e.arn);
        let mut calls = world.calls.iter().rev().take_while(|call| call.at >= from);
        calls.any(|call| {
            let arn = call.result.as_ref().map(|answer| &answer["PipelineExecutionArn"]);
            call.operation == "StartPipelineExecution" && arn.is_ok_and(is_deleted)
        })
    }

    /// Whether SageMaker refused, for good, to start this kind of trigger at some time since the event came.
    fn was_refused(&self, delivery: &Delivery) -> bool {
        let trigger = match delivery.name.as_str() {
            "code" => "code",
            "tick" | "scheduler's tick" => "schedule",
            "alarm" | "alarm's action" => "drift",
            _ => return false,
        };
        self.history.troubles.refuses(trigger, self.since(delivery.since))
    }

    /// Whether there was a trouble that fails heartbeats at some time since then.
    pub fn was_in_trouble(&self, since: Instant) -> bool {
        let (troubles, when) = (&self.history.troubles, self.since(since));
        ["code", "schedule", "drift"].iter().any(|trigger| troubles.refuses(trigger, when.clone()))
            || LISTED_ALARMS.iter().any(|alarm| troubles.hides_mutes(alarm, when.clone()))
    }

    /// From then until now, as times of the history.
    fn since(&self, since: Instant) -> Range<Duration> {
        since.duration_since(self.trace.begins())..self.trace.begins().elapsed()
    }

    /// An outage outlasts Lambda's tries. At the limit, no heartbeat finds an alarm that is not listed.
    fn may_be_dead_lettered(&self, delivery: &Delivery) -> bool {
        let is_limited = self.simulator.world().sagemaker.limit.is_some();
        if self.was_refused(delivery) || delivery.name == "heartbeat" && self.was_in_trouble(delivery.since) {
            return true;
        }
        match self.history.weather {
            Weather::Outages => self.was_out(delivery.since, |_| true),
            Weather::Limits | Weather::Drained => {
                let was_limited = is_limited || self.changes.limited.is_some_and(|until| until >= delivery.since);
                let is_forgotten = delivery.name.starts_with("alarm") && !self.history.lists_alarms;
                (is_forgotten || delivery.name == "request") && was_limited
            }
            Weather::Ordinary | Weather::Lossy | Weather::Silent => false,
        }
    }

    /// Whether lists, descriptions and reads of guards show the current state.
    fn reads_are_current(&self) -> bool {
        let world = self.simulator.world();
        let changed = world.sagemaker.executions.iter().map(Execution::changed).max();
        let written = world.calls.iter().rev().find(|call| sets_guard(&call.operation)).map(|call| call.at);
        changed.is_none_or(|changed| changed + self.history.lag() <= world.now())
            && written.is_none_or(|written| written + self.history.guard_read_lag <= world.now())
    }

    /// After a race and a kill together, a rule may be disabled without its tag and look like an operator's hold. An operator then
    /// enables it. Returns whether there was such a rule.
    pub fn unstick(&mut self) -> bool {
        let before = self.stuck;
        for (name, hold) in RULES.into_iter().zip(self.holds.rules) {
            let mut world = self.simulator.world();
            let rule = world.eventbridge.rule(name).unwrap();
            if hold == Hold::None && !rule.is_enabled() && !rule.tags.contains_key(TAG) {
                world.operate_rule(name, true);
                self.stuck += 1;
                self.changes.last = Instant::now();
            }
        }
        self.stuck > before
    }
}
