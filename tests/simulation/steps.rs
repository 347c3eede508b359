//! What happens in a run: the planned steps, the events that follow from them, and the copies in which events arrive.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::cloudwatch::AlarmKind;
use simulator::nyctaxi::{HEARTBEAT_RULE, SAGEMAKER_PIPELINE, SCHEDULE_RULE, STAGE};
use simulator::sagemaker::Execution;
use simulator::samples::{sample_event, sample_with};
use tokio::time::Instant;

use crate::agenda::Planned;
use crate::history::{Step, StepKind, Weather, asks_again, course, deliveries};
use crate::holds::{Hold, Holds};
use crate::marks::{HOLD, TAG};
use crate::names::{ALARMS, OTHER_MARK, RULES};
use crate::people::FAILED_STEP;
use crate::queue::Delivery;
use crate::state::Run;

impl Run<'_> {
    /// Turns SageMaker's events into deliveries, and plans the statuses of every execution that starts.
    pub fn take_events(&mut self) {
        while let Some(event) = { self.simulator.world().next_event() } {
            let detail = &event["detail"];
            let arn = detail["pipelineExecutionArn"].as_str().unwrap().to_owned();
            let status = detail["currentPipelineExecutionStatus"].as_str().unwrap().to_owned();
            let id = event["id"].as_str().unwrap().to_owned();
            if detail["previousPipelineExecutionStatus"].is_null() {
                let mut after = Duration::ZERO;
                for (time, status) in course(&mut self.rng_for(("course", &arn))) {
                    after += time;
                    self.agenda.plan(after, Planned::Status { arn: arn.clone(), status });
                }
            }
            if self.history.loses_status_events && self.rng_for(("lost", &id)).u8(..10) < 4 {
                self.trace.note(&format!("event {status} is lost"));
                continue;
            }
            self.send(&format!("{} {status}", arn.rsplit('/').next().unwrap()), &event, &id);
        }
        while let Some(job) = { self.simulator.world().next_job() } {
            let id = job["CodePipeline.job"]["id"].as_str().unwrap().to_owned();
            let pause = asks_again(&mut self.rng_for(("asks again", &id)));
            self.send_after(pause, "job", &job, &id);
        }
    }

    fn send(&mut self, name: &str, event: &Value, id: &str) {
        self.send_after(Duration::ZERO, name, event, id);
    }

    fn send_after(&mut self, pause: Duration, name: &str, event: &Value, id: &str) {
        let is_lost = match self.history.weather {
            Weather::Lossy => self.rng_for(("lost event", id)).u8(..10) < 3,
            Weather::Silent => true,
            Weather::Ordinary | Weather::Outages | Weather::Limits | Weather::Drained => false,
        };
        if is_lost {
            self.trace.note(&format!("event {name} is lost"));
            return;
        }
        for delay in deliveries(&mut self.rng_for(("deliveries", id))) {
            self.agenda.plan(pause + delay, Planned::Deliver { name: name.to_owned(), event: event.clone() });
        }
    }

    /// Something that was planned happens.
    pub fn happen(&mut self, planned: Planned) {
        match planned {
            Planned::Deliver { name, event } => {
                self.queue.push(Delivery::new(name, event));
                return;
            }
            Planned::Heartbeat => {
                let tick = self.simulator.world().tick(HEARTBEAT_RULE).unwrap();
                self.queue.push(Delivery::new("heartbeat".into(), tick));
                return;
            }
            Planned::Status { arn, .. } if self.is_deleted(&arn) => return,
            Planned::Status { arn, status } => {
                self.trace.note(&format!("* {} is {status}", arn.rsplit('/').next().unwrap()));
                match status {
                    "Failed" => self.simulator.world().fail_step(&arn, FAILED_STEP, "CapacityError"),
                    _ => self.simulator.world().set_execution_status(&arn, status),
                }
                let has_ended = status != "Executing" && status != "Stopping";
                if has_ended && self.history.weather == Weather::Ordinary && self.history.lags() {
                    self.tick_while_lists_lag(&arn);
                }
                let rng = &mut self.rng_for(("echo", &arn, status));
                if self.history.echoes && has_ended && rng.bool() {
                    let number = 1000 + self.agenda.so_far();
                    let at = Duration::from_millis(rng.u64(..300));
                    let code = if self.history.has_actions { StepKind::Action } else { StepKind::Code };
                    let kind = if rng.bool() { code } else { StepKind::StartByHand };
                    self.agenda.plan(at, Planned::Step(Step { number, at, kind }));
                }
            }
            Planned::Step(step) => self.step(step),
        }
        self.disturb();
    }

    /// Sometimes EventBridge Scheduler ticks when an execution has ended and lists still show it as active. No rule is paused for it, and
    /// nothing remembers its tick.
    fn tick_while_lists_lag(&mut self, ended: &str) {
        if self.rng_for(("tick at the end", ended)).u8(..4) == 0 {
            let event = self.simulator.world().scheduler_tick();
            let now = self.simulator.world().now();
            self.ticks.tick(&event, now);
            let pause = self.history.list_lag / 2;
            self.agenda.plan(pause, Planned::Deliver { name: "scheduler's tick".to_owned(), event });
        }
    }

    fn step(&mut self, Step { number, kind, .. }: Step) {
        self.trace.note(&format!("* {kind:?}"));
        let now = self.simulator.world().now();
        match kind {
            // Code that has not passed the stage waits before a disabled transition, until later code supersedes it.
            StepKind::Code if self.stage_is_disabled() && self.rng_for(("waits", number)).bool() => {
                self.requests.waiting = Some(number);
            }
            StepKind::Code => self.deploy(number),
            StepKind::Alarm => self.alarms_go_off(&ALARMS[..1], false, number),
            StepKind::Alarms => self.alarms_go_off(&ALARMS, false, number),
            StepKind::AlarmOnBothRoutes => self.alarms_go_off(&ALARMS[..1], true, number),
            StepKind::Tick => {
                let tick = self.simulator.world().tick(SCHEDULE_RULE);
                if let Some(event) = tick {
                    self.ticks.tick(&event, now);
                    self.send("tick", &event, &format!("tick {number}"));
                }
            }
            StepKind::Action => {
                let job = self.simulator.world().run_action(None).unwrap();
                let id = job["CodePipeline.job"]["id"].as_str().unwrap().to_owned();
                self.send("job", &job, &id);
                self.requests.first_jobs.push(id);
            }
            StepKind::TickAhead(ahead) => {
                let tick = self.simulator.world().tick(SCHEDULE_RULE);
                if let Some(mut event) = tick {
                    self.ticks.date_ahead(&mut event, now, ahead);
                    self.send("tick", &event, &format!("tick {number}"));
                }
            }
            StepKind::StartByHand => {
                self.simulator.world().start_execution(None);
            }
            StepKind::HoldStage | StepKind::FreeStage | StepKind::HoldRule(_) | StepKind::FreeRule(_) => {
                self.operate(kind);
            }
            StepKind::ReplaceRule(rule) => self.replace_rule(rule),
            StepKind::AlarmOk(alarm) => {
                self.changes.alarms = now;
                self.simulator.world().change_alarm(ALARMS[alarm], "OK");
            }
            StepKind::Mute(alarm, is_muted) => {
                self.changes.alarms = now;
                self.simulator.world().cloudwatch.alarm_mut(ALARMS[alarm]).is_muted = is_muted;
            }
            StepKind::Suppress(alarm, is_suppressed) => {
                self.changes.alarms = now;
                let mut world = self.simulator.world();
                let alarm = world.cloudwatch.alarm_mut(ALARMS[alarm]);
                alarm.kind = AlarmKind::Composite;
                alarm.suppressed_by = is_suppressed.then(|| "Alarm".to_owned());
            }
            StepKind::ActionsOff(alarm, is_off) => {
                self.changes.alarms = now;
                self.simulator.world().cloudwatch.alarm_mut(ALARMS[alarm]).has_actions = !is_off;
            }
            StepKind::DeploymentsFail(count) => {
                for failed in 0..count {
                    self.simulator.world().end_code_pipeline(&format!("{number}-failed-{failed}"), "Failed");
                }
            }
            StepKind::DeploymentFails => {
                self.simulator.world().end_code_pipeline(&deployment_id(number), "Failed");
            }
            StepKind::Rollback => {
                let id = deployment_id(number);
                let event = self.simulator.world().code_rolled_back(&id);
                self.send("rollback", &event, &id);
            }
            StepKind::Ask => self.queue.push(Delivery::new("status".to_owned(), sample_event("status"))),
            StepKind::Request(is_forced) => self.request(number, is_forced),
            StepKind::Foreign => self.send_foreign_events(number),
            StepKind::OtherRouter(rule, pauses) => self.act_as_other_router(RULES[rule], pauses),
            StepKind::RemakePipeline(by_hand) => self.remake_pipeline(number, by_hand),
            StepKind::Limit(is_reached) => self.set_limit(is_reached),
            StepKind::Drain(drains) => {
                self.function.set_draining(drains, now);
                self.ticks.drop_all(now);
            }
        }
    }

    /// The events of a tick and of a deployment, as another account or another Region sends them.
    fn send_foreign_events(&mut self, number: usize) {
        let (field, elsewhere) = if self.rng_for(("foreign", number)).bool() {
            ("account", "210987654321")
        } else {
            ("region", "moon-base-1")
        };
        let tick = self.simulator.world().tick(SCHEDULE_RULE);
        let deployment = sample_with("code-deployed", &[("/detail/execution-id", format!("foreign-{number}").into())]);
        for mut event in tick.into_iter().chain([deployment]) {
            event["region"] = self.function.region().into();
            event[field] = elsewhere.into();
            self.send("foreign event", &event, &format!("foreign {number} {}", event["detail-type"]));
        }
    }

    /// The SageMaker pipeline is deleted and made again. SageMaker deletes no pipeline of which an execution runs.
    fn remake_pipeline(&mut self, number: usize, by_hand: Duration) {
        let mut world = self.simulator.world();
        if world.sagemaker.executions.iter().any(Execution::is_active) {
            let kind = StepKind::RemakePipeline(by_hand);
            self.agenda.plan(Duration::from_mins(10), Planned::Step(Step { number, at: by_hand, kind }));
            return;
        }
        world.sagemaker.delete_pipeline(SAGEMAKER_PIPELINE);
        world.sagemaker.add_pipeline(SAGEMAKER_PIPELINE);
        self.changes.was_remade = true;
        let kind = StepKind::StartByHand;
        self.agenda.plan(by_hand, Planned::Step(Step { number: number + 100, at: by_hand, kind }));
    }

    /// Whether the execution was deleted with its pipeline.
    pub fn is_deleted(&self, arn: &str) -> bool {
        let world = self.simulator.world();
        world.sagemaker.executions.iter().any(|execution| execution.arn == arn && execution.is_deleted())
    }

    /// New code is deployed.
    pub fn deploy(&mut self, number: usize) {
        let id = deployment_id(number);
        let event = self.simulator.world().code_deployed(&id);
        self.send("code", &event, &id);
        self.requests.codes.push(id);
    }

    fn alarms_go_off(&mut self, alarms: &[&str], by_action_too: bool, number: usize) {
        self.changes.alarms = self.simulator.world().now();
        for alarm in alarms {
            // An alarm that is in ALARM already may be OK for a moment.
            if self.rng_for(("flaps", alarm, number)).bool() {
                self.simulator.world().change_alarm(alarm, "OK");
            }
            let by_rule = self.simulator.world().change_alarm(alarm, "ALARM");
            let Some(event) = by_rule else { continue };
            let has_actions = self.simulator.world().cloudwatch.alarm_mut(alarm).has_actions;
            if by_action_too && has_actions {
                let action = json!({
                    "source": "aws.cloudwatch",
                    "accountId": event["account"],
                    "region": event["region"],
                    "alarmData": event["detail"],
                });
                self.send("alarm's action", &action, &format!("action {number}"));
            }
            self.send("alarm", &event, &format!("{alarm} {number}"));
        }
    }

    /// An operator disables or enables a guard.
    fn operate(&mut self, kind: StepKind) {
        let mut world = self.simulator.world();
        let hold = Holds::beginning(self.queue.in_flight);
        match kind {
            StepKind::HoldStage => {
                self.holds.begin();
                world.operate_stage(STAGE, Some(HOLD));
                self.holds.stage = hold;
            }
            StepKind::FreeStage => {
                world.operate_stage(STAGE, None);
                self.holds.stage = Hold::None;
            }
            StepKind::HoldRule(rule) => {
                self.holds.begin();
                let name = RULES[rule];
                // A rule with the router's tag belongs to the router. If an operator disables it, that is no hold.
                let tagged = world.eventbridge.rule(name).unwrap().tags.contains_key(TAG);
                world.operate_rule(name, false);
                if !tagged || hold == Hold::Contested {
                    self.holds.hold_rule(rule, hold, world.now());
                }
                if name == SCHEDULE_RULE {
                    self.ticks.drop_all(world.now());
                }
            }
            StepKind::FreeRule(rule) => {
                world.operate_rule(RULES[rule], true);
                self.holds.free_rule(rule);
            }
            _ => {}
        }
    }

    /// A stack update replaces a rule.
    fn replace_rule(&mut self, rule: usize) {
        let mut world = self.simulator.world();
        world.replace_rule(RULES[rule]);
        self.holds.free_rule(rule);
        // Between the router's two writes to the rule, and while reads lag, this removes the tag that the router has just set.
        if self.queue.in_flight > 0 && !self.history.guard_read_lag.is_zero() {
            self.holds.rules[rule] = Hold::Contested;
        }
        if RULES[rule] == SCHEDULE_RULE {
            self.ticks.drop_all(world.now());
        }
    }

    /// The router of another SageMaker pipeline pauses a rule that nobody else has paused, or enables the one that it paused.
    fn act_as_other_router(&mut self, rule: &str, pauses: bool) {
        let mut world = self.simulator.world();
        let found = world.eventbridge.rule(rule).unwrap();
        let mark = found.tags.get(TAG).map(String::as_str);
        if pauses && mark.is_none() && found.is_enabled() && self.queue.in_flight == 0 {
            world.tag_rule(rule, TAG, Some(OTHER_MARK));
            world.operate_rule(rule, false);
        } else if !pauses && mark == Some(OTHER_MARK) {
            world.operate_rule(rule, true);
            world.tag_rule(rule, TAG, None);
        }
    }

    /// SageMaker reaches its limit of executions, or has room again.
    pub fn set_limit(&mut self, is_reached: bool) {
        let was_reached = self.simulator.world().sagemaker.limit.is_some();
        if was_reached || is_reached {
            self.changes.limited = Some(Instant::now());
        }
        self.simulator.world().sagemaker.limit = is_reached.then_some(0);
        self.disturb();
    }
}

fn deployment_id(number: usize) -> String {
    format!("{number:08x}-afff-4465-a5f8-651f1d80bba0")
}
