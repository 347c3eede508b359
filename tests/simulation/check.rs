//! The invariants of ARCHITECTURE.md, checked in a run. What is owed is in `owed.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use simulator::World;
use simulator::codepipeline::ActionState;
use simulator::nyctaxi::SCHEDULE;
use simulator::sagemaker::{Execution, ReusedToken};
use simulator::time::DAY;
use tokio::time::Instant;

use crate::history::{Outage, Weather};
use crate::holds::Hold;
use crate::marks::{HOLD, MARK, TAG};
use crate::names::{OTHER_MARK, RULES};
use crate::owed::{self, Cause, TOLERANCE};
use crate::state::Run;

/// The longest time between a router's observation and its start, if no call fails. A heartbeat that read mutes repeats an observation
/// that is older than 5 seconds.
const GAP: Duration = Duration::from_secs(6);

/// A new execution, and what was known when it started.
pub struct Start<'w> {
    pub execution: &'w Execution,
    pub name: &'w str,
    /// The executions before it.
    pub earlier: &'w [Execution],
    pub is_by_heartbeat: bool,
    /// Whether calls fail, or failed within the last minute.
    faults: bool,
    /// Whether calls hang, or hung within the last two minutes.
    hangs: bool,
    /// How far lists and descriptions lag.
    lag: Duration,
    /// Whether triggers that saw the same history start one execution between them.
    token_is_exclusive: bool,
}

impl Start<'_> {
    /// Others may start between the router's observation and its start. This gap is some seconds, or longer while calls fail.
    /// But triggers that coalesce start nothing beside each other, however close they are.
    fn gap(&self, earlier: &Execution) -> Duration {
        let both_coalesce = coalesces(self.name) && earlier.display_name.as_deref().is_some_and(coalesces);
        match (self.faults, both_coalesce && self.token_is_exclusive) {
            _ if self.hangs => Duration::from_mins(2),
            (true, _) => Duration::from_mins(1),
            (false, true) => Duration::ZERO,
            (false, false) => GAP,
        }
    }

    /// Whether the router saw that the earlier execution runs.
    pub fn saw_active(&self, earlier: &Execution) -> bool {
        earlier.active_since().is_some_and(|since| {
            // A token is exclusive for new executions, not for one that is tried again.
            let gap = if since > earlier.created { self.gap(earlier).max(GAP) } else { self.gap(earlier) };
            since + gap + self.lag < self.execution.created
        })
    }

    /// Whether the router's list contained the earlier execution.
    pub fn saw(&self, earlier: &Execution) -> bool {
        earlier.created + self.gap(earlier) + self.lag < self.execution.created
    }
}

impl Run<'_> {
    /// Checks every execution since the last check.
    pub fn check_starts(&mut self) -> Result<(), String> {
        let world = self.simulator.world();
        let executions = &world.sagemaker.executions;
        for (index, execution) in executions.iter().enumerate().skip(self.starts.checked) {
            let Some(name) = &execution.display_name else { continue };
            let age = Instant::now().duration_since(self.trace.begins());
            let is_bad = |(from, to): &(Duration, Duration)| *from <= age && age <= *to + Duration::from_mins(1);
            let is_hanging = |o: &Outage| o.hangs && o.from <= age && age <= o.to + Duration::from_mins(2);
            let start = Start {
                execution,
                name,
                earlier: &executions[..index],
                is_by_heartbeat: self.starts.is_by_heartbeat(&execution.arn),
                faults: self.history.bursts.iter().any(is_bad),
                hangs: self.history.outages.iter().any(is_hanging),
                lag: self.history.lag(),
                token_is_exclusive: self.history.reused_token != ReusedToken::SecondExecution,
            };
            self.check_start(&world, &start)?;
        }
        self.starts.checked = executions.len();
        Ok(())
    }

    /// Invariants 3 and 9, and no occurrence has two executions.
    fn check_start(&self, world: &World, start: &Start<'_>) -> Result<(), String> {
        let Start { execution: new, name, earlier, is_by_heartbeat, .. } = *start;
        // If it was deleted, nothing shows that drift or a tick was served.
        let is_request = name.starts_with("request-");
        let counts = |e: &Execution| !e.is_deleted() || !(coalesces(name) || is_request);
        if earlier.iter().any(|e| e.display_name.as_deref() == Some(name) && counts(e)) {
            return Err(format!("two executions are named {name}"));
        }
        if is_request {
            return self.check_request(start);
        }
        if !coalesces(name) && !is_by_heartbeat {
            let cause = self.cause(world, name)?;
            return if self.history.deployments_wait { self.check_waited(start, cause) } else { Ok(()) };
        }
        let earlier = || earlier.iter().filter(|e| !e.is_deleted());
        if let Some(active) = earlier().find(|e| start.saw_active(e)) {
            return Err(format!("invariant 3: {name} was started beside {}, which runs", active.arn));
        }
        let cooldown = self.history.kept_cooldown().filter(|_| name.starts_with("drift-")).unwrap_or_default();
        let is_hot =
            |e: &&Execution| e.created + cooldown > new.created + TOLERANCE && start.saw(e) && e.has_start_time;
        if let Some(hot) = earlier().find(is_hot) {
            return Err(format!("invariant 3: {name} was started within the cooldown after {}", hot.arn));
        }
        let cause = self.cause(world, name)?;
        if let Some(cause) = cause
            && let Some(served_by) = earlier().find(|e| start.saw(e) && cause.is_served_by(e))
        {
            return Err(format!("invariant 9: {name} was started although {} serves it", served_by.arn));
        }
        let rule = usize::from(name.starts_with("drift-"));
        // No rule holds a tick of EventBridge Scheduler.
        let has_rule = coalesces(name) && !name.starts_with(&format!("schedule-{SCHEDULE}"));
        let is_held = has_rule && self.holds.rules[rule] == Hold::Held;
        let held_since = self.holds.rules_since[rule].filter(|_| is_held);
        if held_since.is_some_and(|since| since + self.history.guard_read_lag + GAP < new.created) {
            return Err(format!("invariant 9: {name} was started although its rule is held"));
        }
        if is_by_heartbeat { self.check_heartbeats_start(world, start, cause) } else { Ok(()) }
    }

    /// Invariants 9 and 10 for what a heartbeat started.
    fn check_heartbeats_start(&self, world: &World, start: &Start<'_>, cause: Option<Cause>) -> Result<(), String> {
        let Start { execution: new, name, earlier, .. } = *start;
        if self.ticks.is_answered(name) && self.history.guard_read_lag.is_zero() {
            return Err(format!("invariant 9: a heartbeat started {name}, which was answered before"));
        }
        let troubles = &self.history.troubles;
        let unseen = if start.faults || start.hangs { Duration::from_mins(2) } else { TOLERANCE };
        let calm = unseen + troubles.longest_reading();
        if name.starts_with("drift-") && self.changes.alarms + calm < new.created {
            let Some(alarm) = owed::asks_for_drift(world, self.history, name) else {
                return Err(format!("invariant 9: a heartbeat started {name}, and its alarm needs no retraining"));
            };
            let at = self.trace.begins().elapsed().saturating_sub(world.now() - new.created);
            if troubles.hides_mutes_throughout(&alarm.name, at.saturating_sub(calm)..at) {
                return Err(format!("invariant 7: a heartbeat started {name}, and its alarm's mutes cannot be read"));
            }
        }
        if let Some(id) = name.strip_prefix("code-")
            && owed::rolled_back(world, id).is_some_and(|at| at + calm + start.lag < new.created)
        {
            return Err(format!("invariant 9: a heartbeat started {name}, which was rolled back"));
        }
        if cause.is_some_and(|cause| !owed::is_within_window(self.history, cause, new.created)) {
            return Err(format!("invariant 9: a heartbeat started {name}, which is too old"));
        }
        let is_recent = |e: &&Execution| start.saw(e) && e.created + DAY > new.created + TOLERANCE;
        let recent = earlier.iter().filter(|e| !e.is_deleted()).filter(is_recent).count();
        if recent >= owed::catch_up_per_day(self.history) {
            return Err(format!("invariant 10: a heartbeat started {name} after {recent} executions in a day"));
        }
        if cause.is_some_and(|cause| cause.is_young(new.created)) {
            return Err(format!("invariant 10: a heartbeat started {name} before its event could come"));
        }
        Ok(())
    }

    /// Invariant 9: the router names an execution after an occurrence. For a job this is true, because CodePipeline gave it.
    fn cause(&self, world: &World, name: &str) -> Result<Option<Cause>, String> {
        let cause = match name.split_once('-') {
            Some(("job", _)) => return Ok(None),
            Some(("schedule", _)) => self.ticks.time(world, name).map(Cause::Tick),
            _ => owed::cause(world, self.history, name),
        };
        cause.map(Some).ok_or_else(|| format!("invariant 9: {name} was started, and no occurrence has that name"))
    }

    /// Invariant 2: what an operator disabled is disabled, with the operator's reason.
    pub fn check_holds(&self) -> Result<(), String> {
        let world = self.simulator.world();
        let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
        if self.holds.stage == Hold::Held && reason != Some(HOLD) {
            return Err(format!("invariant 2: the operator's hold on the stage is gone: {reason:?}"));
        }
        for (name, hold) in RULES.into_iter().zip(self.holds.rules) {
            let rule = world.eventbridge.rule(name).unwrap();
            if hold == Hold::Held && (rule.is_enabled() || rule.tags.contains_key(TAG)) {
                return Err(format!("invariant 2: the operator's hold on {name} is gone: {rule:?}"));
            }
        }
        Ok(())
    }

    /// Invariants 1, 2 and 5: every guard is as the executions require, unless an operator holds it.
    pub fn check_guards(&self, when: &str) -> Result<(), String> {
        self.check_holds()?;
        let world = self.simulator.world();
        let active = !self.function.drains && world.sagemaker.executions.iter().any(Execution::is_active);
        let invariant = if active { "invariant 5" } else { "invariant 1" };
        let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
        let marked = reason.is_some_and(|reason| reason.starts_with(MARK) && reason != HOLD);
        let held = self.holds.stage != Hold::None && reason == Some(HOLD);
        if !held && (marked != active || reason.is_some() != active) {
            return Err(format!("{invariant}: {when}, active is {active}, and the stage is disabled for {reason:?}"));
        }
        for (name, hold) in RULES.into_iter().zip(self.holds.rules) {
            let rule = world.eventbridge.rule(name).unwrap();
            let tagged = rule.tags.contains_key(TAG);
            if rule.tags.get(TAG).is_some_and(|mark| mark == OTHER_MARK) {
                continue;
            }
            let held = hold != Hold::None && !rule.is_enabled() && !tagged;
            if !held && (rule.is_enabled() == active || tagged != active) {
                return Err(format!("{invariant}: {when}, active is {active}, and rule {name} is {rule:?}"));
            }
        }
        Ok(())
    }

    /// Invariant 4 for deployments: each has one execution.
    pub fn check_deployments(&self) -> Result<(), String> {
        // A deployment that waits at the limit, whose event is lost or whose start is refused may be superseded by a newer one.
        let is_refused = self.history.troubles.refusal.as_ref().is_some_and(|it| it.trigger == "code");
        let may_be_superseded = is_refused || self.history.deployments_wait;
        let least = usize::from(self.history.weather == Weather::Ordinary && !may_be_superseded);
        let world = self.simulator.world();
        for code in &self.requests.codes {
            let name = format!("code-{code}");
            let count = world.sagemaker.executions.iter().filter(|e| e.display_name.as_ref() == Some(&name)).count();
            if !(least..=1).contains(&count) {
                return Err(format!("invariant 4: {count} executions for new code {code}"));
            }
        }
        Ok(())
    }

    /// Invariant 4 for actions: each has one execution, and has the same result as the execution.
    pub fn check_actions(&self) -> Result<(), String> {
        let world = self.simulator.world();
        // Every repeat of a start sends exactly the same request.
        let mut requests: BTreeMap<&str, &Value> = BTreeMap::new();
        for call in world.calls.iter().filter(|call| call.operation == "StartPipelineExecution") {
            let name = call.input["PipelineExecutionDisplayName"].as_str().unwrap();
            // A request may have the time of its call as a parameter.
            let is_constant = !coalesces(name) && !name.starts_with("request-");
            if is_constant && *requests.entry(name).or_insert(&call.input) != &call.input {
                return Err(format!("invariant 4: {name} was started with two requests"));
            }
        }
        for (first_job, action) in self.requests.first_jobs.iter().zip(&world.codepipeline.actions) {
            let name = format!("job-{first_job}");
            let mut executions = world.sagemaker.executions.iter().filter(|e| e.display_name.as_ref() == Some(&name));
            let (execution, second) = (executions.next(), executions.next());
            let is_refused = matches!(&action.state, ActionState::Failed(details)
                if details["message"].as_str().is_some_and(|message| message.starts_with("MODE is drain")));
            // If two invocations of one job cross the switch, one may start the execution, and the other may refuse the action.
            let crossing = Duration::from_mins(5);
            let may_cross = |e: &Execution| self.function.drained_at.is_some_and(|at| e.created + crossing >= at);
            if execution.is_none() && (is_refused || self.history.weather == Weather::Outages)
                || is_refused && execution.is_some_and(may_cross)
            {
                continue;
            }
            let (Some(execution), None) = (execution, second) else {
                return Err(format!("invariant 4: action {first_job} does not have exactly one execution"));
            };
            // After an outage, an action may wait until its own timeout.
            if !ended_as(&action.state, execution) && self.history.weather != Weather::Outages {
                return Err(format!("invariant 4: {name} is {:?}, its action {:?}", execution.status(), action.state));
            }
        }
        Ok(())
    }
}

/// Whether the action ended, and as its execution did.
fn ended_as(action: &ActionState, execution: &Execution) -> bool {
    match action {
        ActionState::Succeeded(variables) => {
            variables["PipelineExecutionArn"] == *execution.arn && execution.has_been("Succeeded")
        }
        ActionState::Failed(details) => {
            let ends = ["Failed", "Stopped", "CompletedWithFailures"];
            details["externalExecutionId"] == *execution.arn && ends.iter().any(|end| execution.has_been(end))
        }
        ActionState::InProgress | ActionState::Stopped => false,
    }
}

/// Whether the execution's name is that of a trigger that needs only that a retraining runs.
fn coalesces(name: &str) -> bool {
    ["drift-", "schedule-"].iter().any(|trigger| name.starts_with(trigger))
}
