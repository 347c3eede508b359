//! The real router on a simulated AWS, and what each control does there.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use drift_router::{Config, Router, timeouts};
use lambda_runtime::{Context, LambdaEvent};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use simulator::nyctaxi::{ALARM, ALARM_NAMES, DRIFT_RULE, HEARTBEAT_RULE, SCHEDULE_RULE, STAGE, STAGING_ALARM};
use simulator::shape::DISABLED_REASON;
use simulator::time::MINUTE;
use simulator::{Project, Simulator, Time};
use tracing::dispatcher::DefaultGuard;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::control::{CONTROLS, Control, Details, End};
use crate::journal::{Invocation, Journal, milliseconds, name_of, short};

/// The time between two heartbeats, as in the stack.
const HEARTBEAT: Time = Time::from_mins(15);

/// The tag of a rule that the router disabled (docs/operations.md, "Hold a guard").
const RULE_MARK: &str = "drift-router:paused-by";

/// A call of the function, as a dashboard's widget makes it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Call {
    /// The function that a button names. A view names none.
    pub(crate) endpoint: Option<String>,
    /// A button's payload. A view has none.
    #[serde(default)]
    pub(crate) payload: Map<String, Value>,
    /// Theme, time zone and width.
    pub(crate) widget_context: Value,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request is wrong.
    Wrong(String),
    /// It cannot be done now.
    NotNow(String),
    /// The console is broken.
    Broken(String),
}

/// The router, the simulated AWS, and what people see of them.
pub(crate) struct World {
    simulator: Simulator,
    router: Router,
    context: Context,
    log: Log,
    _logs_here: DefaultGuard,
    next_heartbeat: Time,
    /// How many commits there were.
    commits: u32,
    /// The execution of the CodePipeline that waits for the Build stage.
    waiting: Option<String>,
    loses_events: bool,
    journal: Journal,
    /// What happened since the last control, in sentences.
    said: Vec<String>,
}

impl World {
    /// The sample project: nothing runs, and nothing is disabled.
    pub(crate) fn new() -> Result<Self, String> {
        let project = Project::nyctaxi();
        let simulator = Simulator::new(&project);
        let lookup = project.lookup(&[("DRIFT_ALARM_NAMES", ALARM_NAMES)]);
        let (config, _) = Config::from_lookup(lookup).map_err(|error| error.to_string())?;
        let router = Router::new(config, &simulator.sdk_config().timeout_config(timeouts()).build(), io::sink());
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        let log = Log::default();
        let next_heartbeat = {
            let mut world = simulator.world();
            for alarm in [ALARM, STAGING_ALARM] {
                world.change_alarm(alarm, "OK");
            }
            world.now() + HEARTBEAT
        };
        Ok(Self {
            simulator,
            router,
            context,
            _logs_here: log.collect(),
            log,
            next_heartbeat,
            commits: 0,
            waiting: None,
            loses_events: false,
            journal: Journal::default(),
            said: Vec::new(),
        })
    }

    /// Carries out a control, and all that follows from it. Returns what happened, in sentences.
    pub(crate) async fn carry_out(&mut self, control: Control, details: &Details) -> Result<String, Refusal> {
        if let Some(why) = self.why_not(control) {
            return Err(Refusal::NotNow(why));
        }
        self.said.clear();
        match control {
            Control::Deploy => self.deploy(),
            Control::Alarm { alarm, state } => self.change_alarm(alarm, state).await,
            Control::Tick => {
                let event = self.simulator.world().tick(SCHEDULE_RULE);
                self.say("The schedule rule ticks.");
                match event {
                    Some(event) => self.deliver(event).await,
                    None => self.say("The rule is disabled, so EventBridge delivers no event."),
                }
            }
            Control::End(end) => self.end(end, details)?,
            Control::Stage { is_enabled } => self.operate_stage(is_enabled, details)?,
            Control::Rule { rule, is_enabled } => self.operate_rule(rule, is_enabled),
            Control::Events { are_lost } => {
                self.loses_events = are_lost;
                self.say(match are_lost {
                    true => "From now on, only heartbeats reach the router.",
                    false => "From now on, EventBridge delivers events again.",
                });
            }
            Control::Limit { is_reached } => {
                // The account's other pipelines use its whole quota.
                self.simulator.world().sagemaker.limit = is_reached.then_some(0);
                self.say(match is_reached {
                    true => "From now on, SageMaker refuses every start with ResourceLimitExceeded.",
                    false => "SageMaker starts executions again.",
                });
            }
            Control::Advance { minutes } => self.advance(MINUTE * minutes).await,
        }
        self.settle().await;
        Ok(self.said.join(" "))
    }

    /// Why a control cannot be used now.
    fn why_not(&self, control: Control) -> Option<String> {
        let world = self.simulator.world();
        let (what, is_so) = match control {
            Control::Deploy | Control::Tick | Control::Advance { .. } => return None,
            Control::Alarm { alarm, state } => {
                let is_so = world.cloudwatch.alarm(alarm).is_some_and(|alarm| alarm.state() == state);
                (format!("{alarm} is in {state} already."), is_so)
            }
            Control::End(_) => {
                ("No execution runs.".to_owned(), !world.sagemaker.executions.iter().any(|e| e.is_active()))
            }
            // A disabled stage can be disabled again: the new reason replaces the old one.
            Control::Stage { is_enabled } => {
                let is_so = is_enabled && stage_reason(&world).is_none();
                ("The Build stage is enabled already.".to_owned(), is_so)
            }
            Control::Rule { rule, is_enabled: true } => {
                let is_so = world.eventbridge.rule(rule).is_some_and(|rule| rule.is_enabled());
                ("The rule is enabled already.".to_owned(), is_so)
            }
            Control::Rule { rule, is_enabled: false } => {
                let is_held =
                    |rule: &simulator::eventbridge::Rule| !rule.is_enabled() && !rule.tags.contains_key(RULE_MARK);
                (
                    "The rule is disabled by a person already.".to_owned(),
                    world.eventbridge.rule(rule).is_some_and(is_held),
                )
            }
            Control::Events { are_lost } => {
                let what = if are_lost { "Events are lost already." } else { "Events are delivered already." };
                (what.to_owned(), self.loses_events == are_lost)
            }
            Control::Limit { is_reached } => {
                let what = if is_reached { "The limit is reached already." } else { "The limit is not reached." };
                (what.to_owned(), world.sagemaker.limit.is_some() == is_reached)
            }
        };
        is_so.then_some(what)
    }

    /// A commit starts the CodePipeline. It waits before the Build stage, and replaces one that waits there.
    fn deploy(&mut self) {
        self.commits += 1;
        let id = format!("{:08x}-afff-4465-a5f8-651f1d80bba0", 0x0971_4421 + self.commits);
        let is_disabled = stage_reason(&self.simulator.world()).is_some();
        if let Some(older) = self.waiting.replace(id) {
            self.simulator.world().end_code_pipeline(&older, "Superseded");
        }
        if is_disabled {
            self.say("The new code waits in CodePipeline, because the Build stage is disabled.");
        }
    }

    async fn change_alarm(&mut self, alarm: &str, state: &str) {
        let event = self.simulator.world().change_alarm(alarm, state);
        self.say(format!("{alarm} changes to {state}."));
        match event {
            Some(event) => self.deliver(event).await,
            None if state == "ALARM" => self.say("The drift rule is disabled, so EventBridge delivers no event."),
            None => self.say("The drift rule matches changes to ALARM only, so there is no event."),
        }
    }

    /// Ends the execution that is named, or the oldest one that runs.
    fn end(&mut self, end: End, details: &Details) -> Result<(), Refusal> {
        let running = {
            let world = self.simulator.world();
            let mut running = world.sagemaker.executions.iter().filter(|e| e.is_active());
            running.find(|e| details.execution.as_ref().is_none_or(|arn| *arn == e.arn)).map(|e| e.arn.clone())
        };
        let arn = running.ok_or_else(|| Refusal::NotNow("This execution does not run.".to_owned()))?;
        let what = match end {
            End::Succeeded => {
                self.simulator.world().set_execution_status(&arn, "Succeeded");
                "succeeds.".to_owned()
            }
            End::Failed => {
                let (step, reason) = failure(details)?;
                self.simulator.world().fail_step(&arn, step, reason);
                format!("fails in step {step}.")
            }
            End::Stopped => {
                self.simulator.world().set_execution_status(&arn, "Stopping");
                self.simulator.world().set_execution_status(&arn, "Stopped");
                "is stopped.".to_owned()
            }
        };
        self.say(format!("Execution {} {what}", short(&arn)));
        Ok(())
    }

    fn operate_stage(&mut self, is_enabled: bool, details: &Details) -> Result<(), Refusal> {
        let reason = details.reason.as_deref().unwrap_or_default();
        if is_enabled {
            self.simulator.world().operate_stage(STAGE, None);
            self.say("A person enables the Build stage.");
        } else {
            let is_allowed = DISABLED_REASON.check("reason", reason).is_ok();
            let allowed =
                "CodePipeline's reason has 1 to 300 letters, digits, spaces and these characters: ! @ ( ) . * ? -";
            is_allowed.then_some(()).ok_or_else(|| Refusal::Wrong(allowed.to_owned()))?;
            self.simulator.world().operate_stage(STAGE, Some(reason));
            self.say("A person disables the Build stage.");
        }
        Ok(())
    }

    /// A person sets a rule. A rule that the router has disabled is disabled already, so the person removes the router's tag.
    fn operate_rule(&mut self, rule: &str, is_enabled: bool) {
        let is_the_routers = {
            let world = self.simulator.world();
            world.eventbridge.rule(rule).is_some_and(|rule| !rule.is_enabled() && rule.tags.contains_key(RULE_MARK))
        };
        if is_the_routers && !is_enabled {
            self.simulator.world().tag_rule(rule, RULE_MARK, None);
            self.say(format!("A person removes the router's tag from {rule}, which stays disabled."));
        } else {
            self.simulator.world().operate_rule(rule, is_enabled);
            self.say(format!("A person {} {rule}.", if is_enabled { "enables" } else { "disables" }));
        }
    }

    /// Time passes, with a heartbeat every 15 minutes.
    async fn advance(&mut self, by: Time) {
        let until = self.simulator.world().now() + by;
        let (mut heartbeats, mut changes) = (0, Vec::new());
        while self.next_heartbeat <= until {
            self.wait_until(self.next_heartbeat).await;
            self.next_heartbeat += HEARTBEAT;
            let event = self.simulator.world().tick(HEARTBEAT_RULE);
            if let Some(event) = event {
                heartbeats += 1;
                let earlier = mem::take(&mut self.said);
                self.invoke(event).await;
                self.settle().await;
                // One sentence for heartbeats that say the same.
                let said = mem::replace(&mut self.said, earlier).join(" ");
                if changes.last() != Some(&said) {
                    changes.push(said);
                }
            }
        }
        self.wait_until(until).await;
        let plural = if heartbeats == 1 { "" } else { "s" };
        self.say(format!("{} later, with {heartbeats} heartbeat{plural}.", span(by)));
        self.said.extend(changes);
    }

    async fn wait_until(&self, time: Time) {
        let left = time.saturating_sub(self.simulator.world().now());
        tokio::time::advance(left).await;
    }

    /// Lets AWS do what follows by itself: status events arrive, and code that waits is built as soon as the stage is enabled.
    async fn settle(&mut self) {
        loop {
            let status = self.simulator.world().next_event();
            if let Some(event) = status {
                self.deliver(event).await;
                continue;
            }
            let is_enabled = stage_reason(&self.simulator.world()).is_none();
            if let Some(id) = self.waiting.take_if(|_| is_enabled) {
                let event = self.simulator.world().code_deployed(&id);
                self.say("CodePipeline builds and deploys the new code.");
                self.deliver(event).await;
            } else {
                return;
            }
        }
    }

    /// EventBridge delivers an event, or loses it.
    async fn deliver(&mut self, event: Value) {
        if self.loses_events {
            self.say(format!("The event is lost ({}).", name_of(&event)));
        } else {
            self.invoke(event).await;
        }
    }

    async fn invoke(&mut self, event: Value) {
        drop(self.handle(event, true).await);
    }

    /// Calls the function for a dashboard, and returns its answer. A view is not an event, so it is not in the journal.
    pub(crate) async fn call(&mut self, call: Call) -> Result<Value, Refusal> {
        let Call { endpoint, mut payload, widget_context } = call;
        if let Some(other) = endpoint.filter(|arn| *arn != self.context.invoked_function_arn) {
            let ours = &self.context.invoked_function_arn;
            return Err(Refusal::Wrong(format!("{other} is not the router: the endpoint is {ours}.")));
        }
        let is_view = payload.is_empty();
        payload.insert("widgetContext".to_owned(), widget_context);
        if !is_view {
            self.said.clear();
            self.say("The function is called.");
        }
        let answer = self.handle(Value::Object(payload), !is_view).await?;
        self.settle().await;
        Ok(answer)
    }

    /// Invokes the router. Adds the invocation to the journal, and what it did to what is said.
    async fn handle(&mut self, event: Value, is_noted: bool) -> Result<Value, Refusal> {
        let now = milliseconds(self.simulator.world().now());
        self.simulator.world().calls.clear();
        let answered = self.router.handle(LambdaEvent::new(event.clone(), self.context.clone())).await;
        let answer = match answered {
            Ok(answer) => serde_json::to_value(answer).map_err(|error| error.to_string()),
            Err(error) => Err(error.error_message),
        };
        let lines = self.log.take();
        if is_noted {
            let last = lines.iter().rfind(|line| line["level"] != "WARN").cloned().unwrap_or_default();
            let text = |field: &str| last[field].as_str().map(str::to_owned);
            let warnings = lines.iter().filter(|line| line["level"] == "WARN");
            let invocation = Invocation {
                id: 0,
                count: 1,
                first: now,
                last: now,
                name: name_of(&event),
                event,
                action: text("action"),
                reason: text("reason"),
                error: answer.as_ref().err().cloned().or_else(|| text("error")),
                warnings: warnings.filter_map(|line| line["message"].as_str().map(str::to_owned)).collect(),
                answer: answer.clone().unwrap_or_default(),
                calls: mem::take(&mut self.simulator.world().calls).into_iter().map(Into::into).collect(),
            };
            self.say(sentence(&invocation));
            self.journal.add(invocation);
        }
        answer.map_err(Refusal::Broken)
    }

    fn say(&mut self, sentence: impl Into<String>) {
        self.said.push(sentence.into());
    }

    /// What there is to show.
    pub(crate) fn state(&self) -> Value {
        let controls: Map<String, Value> =
            CONTROLS.iter().map(|(name, control)| ((*name).to_owned(), json!(self.why_not(*control)))).collect();
        let world = self.simulator.world();
        let alarms: Map<String, Value> =
            world.cloudwatch.alarms.iter().map(|alarm| (alarm.name.clone(), alarm.state().into())).collect();
        let running: Vec<Value> = world
            .sagemaker
            .executions
            .iter()
            .filter(|e| e.is_active())
            .map(|e| json!({ "arn": e.arn, "id": short(&e.arn), "name": e.display_name }))
            .collect();
        let is_enabled = |rule| world.eventbridge.rule(rule).is_some_and(|rule| rule.is_enabled());
        json!({
            "now": milliseconds(world.now()),
            "controls": controls,
            "alarms": alarms,
            "running": running,
            "guards": {
                "stage": stage_reason(&world).is_none(),
                "schedule": is_enabled(SCHEDULE_RULE),
                "drift": is_enabled(DRIFT_RULE),
            },
            "codeWaits": self.waiting.is_some(),
            "losesEvents": self.loses_events,
            "limitIsReached": world.sagemaker.limit.is_some(),
            "said": self.said.join(" "),
            "invocations": self.journal.rows(),
        })
    }
}

/// Why the Build stage is disabled; `None` while it is enabled.
fn stage_reason(world: &simulator::World) -> Option<&str> {
    world.codepipeline.stages.iter().find(|stage| stage.name == STAGE)?.disabled_reason.as_deref()
}

/// The step that fails, and why.
fn failure(details: &Details) -> Result<(&str, &str), Refusal> {
    let step = details.step.as_deref().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(1..=64).contains(&step.len()) || !step.chars().all(is_name) {
        return Err(Refusal::Wrong("A step's name has 1 to 64 letters, digits, hyphens and underscores.".to_owned()));
    }
    let reason = details.reason.as_deref().unwrap_or_default();
    if !(1..=1024).contains(&reason.chars().count()) {
        return Err(Refusal::Wrong("The reason of a failed step has 1 to 1,024 characters.".to_owned()));
    }
    Ok((step, reason))
}

/// What the router did, in a sentence.
fn sentence(invocation: &Invocation) -> String {
    let Invocation { action, reason, error, .. } = invocation;
    match (error, action, reason) {
        (Some(error), ..) => format!("The router fails: {error}."),
        (None, Some(action), Some(reason)) => format!("The router answers {action}: {reason}."),
        (None, Some(action), None) => format!("The router answers {action}."),
        (None, None, _) => "The router answers.".to_owned(),
    }
}

/// A time span for people.
fn span(time: Time) -> String {
    match time.as_secs() / 60 {
        60 => "An hour".to_owned(),
        1440 => "A day".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

/// Collects the router's log.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what this thread logs, until the guard is dropped.
    fn collect(&self) -> DefaultGuard {
        let log = self.clone();
        fmt()
            .json()
            .flatten_event(true)
            .without_time()
            .with_max_level(LevelFilter::INFO)
            .with_writer(move || log.clone())
            .set_default()
    }

    /// Takes the lines since the last call.
    fn take(&self) -> Vec<Value> {
        let text = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::named;

    /// Carries out the control `name` without details.
    async fn press(world: &mut World, name: &str) -> String {
        press_with(world, name, Details::default()).await.unwrap()
    }

    async fn press_with(world: &mut World, name: &str, details: Details) -> Result<String, Refusal> {
        world.carry_out(named(name).unwrap(), &details).await
    }

    fn because(reason: &str) -> Details {
        Details { reason: Some(reason.to_owned()), ..Details::default() }
    }

    /// Whether the stage, the schedule rule and the drift rule are enabled.
    fn guards(world: &World) -> [bool; 3] {
        let guards = &world.state()["guards"];
        ["stage", "schedule", "drift"].map(|guard| guards[guard].as_bool().unwrap())
    }

    fn actions(world: &World) -> Vec<String> {
        world.journal.rows().iter().rev().filter_map(|row| row.action.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deployment_starts_an_execution_and_more_code_waits_for_its_end() {
        let mut world = World::new().unwrap();
        press(&mut world, "deploy").await;
        assert_eq!(guards(&world), [false; 3]);
        assert_eq!(actions(&world), ["started", "unchanged"]);
        // The newest commit replaces the one that waits.
        press(&mut world, "deploy").await;
        assert!(press(&mut world, "deploy").await.contains("waits"));
        assert_eq!(world.state()["codeWaits"], true);
        assert!(press(&mut world, "succeed").await.contains("builds and deploys"));
        assert_eq!(world.state()["codeWaits"], false);
        assert_eq!(actions(&world), ["started", "unchanged", "released", "started", "unchanged"]);
        let statuses: Vec<String> =
            world.simulator.world().codepipeline.executions.iter().map(|it| it.status.clone()).collect();
        assert_eq!(statuses, ["Succeeded", "Superseded", "Succeeded"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_rule_does_not_let_through_is_found_by_a_heartbeat() {
        let mut world = World::new().unwrap();
        press(&mut world, "deploy").await;
        press(&mut world, "advance-60").await;
        assert!(press(&mut world, "prod-alarm").await.contains("drift rule is disabled"));
        press(&mut world, "succeed").await;
        assert_eq!(world.state()["running"], json!([]));
        assert!(press(&mut world, "advance-day").await.starts_with("A day later, with 96 heartbeats."));
        let row = world.journal.rows().iter().find(|row| row.action.as_deref() == Some("started")).unwrap();
        assert!(row.name == "Heartbeat" && row.answer["key"].as_str().unwrap().starts_with(ALARM), "{row:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_fails_for_the_reason_that_is_given() {
        let mut world = World::new().unwrap();
        press(&mut world, "tick").await;
        let details = |step: &str, reason: &str| Details { step: Some(step.to_owned()), ..because(reason) };
        for wrong in
            [details("", "why"), details("a b", "why"), details("Train", ""), details("Train", &"x".repeat(2000))]
        {
            let refused = press_with(&mut world, "fail", wrong).await;
            assert!(matches!(refused, Err(Refusal::Wrong(_))), "{refused:?}");
        }
        let said = press_with(&mut world, "fail", details("Train", "no capacity")).await.unwrap();
        assert!(said.contains("step Train failed: no capacity"), "{said}");
        assert_eq!(
            press_with(&mut world, "stop", Details::default()).await,
            Err(Refusal::NotNow("No execution runs.".to_owned()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_execution_that_is_named_ends() {
        let mut world = World::new().unwrap();
        press(&mut world, "deploy").await;
        press(&mut world, "enable-stage").await;
        press(&mut world, "deploy").await;
        let running = world.state()["running"].clone();
        assert_eq!(running.as_array().unwrap().len(), 2);
        let named = |arn: &Value| Details { execution: arn.as_str().map(str::to_owned), ..Details::default() };
        press_with(&mut world, "stop", named(&running[1]["arn"])).await.unwrap();
        assert_eq!(world.state()["running"], json!([running[0]]));
        let ended = press_with(&mut world, "succeed", named(&running[1]["arn"])).await;
        assert!(matches!(ended, Err(Refusal::NotNow(_))), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_that_a_person_disables_stays_disabled() {
        let mut world = World::new().unwrap();
        assert!(matches!(press_with(&mut world, "disable-stage", because("a/b")).await, Err(Refusal::Wrong(_))));
        press_with(&mut world, "disable-stage", because("Freeze")).await.unwrap();
        assert!(press(&mut world, "deploy").await.contains("waits"));
        press(&mut world, "tick").await;
        // The router has disabled the rule. The person takes it over.
        press(&mut world, "disable-drift").await;
        press(&mut world, "succeed").await;
        assert_eq!(guards(&world), [false, true, false]);
        assert!(press(&mut world, "staging-alarm").await.contains("delivers no event"));
        assert!(press(&mut world, "enable-stage").await.contains("The router answers started"));
    }

    #[tokio::test(start_paused = true)]
    async fn lost_events_and_the_limit_are_made_up_for_by_heartbeats() {
        let mut world = World::new().unwrap();
        press(&mut world, "reach-limit").await;
        assert!(press(&mut world, "tick").await.contains("deferred"));
        press(&mut world, "advance-60").await;
        assert_eq!(world.journal.rows()[0].count, 4, "refused starts share a row");
        press(&mut world, "leave-limit").await;
        press(&mut world, "lose-events").await;
        assert!(
            press(&mut world, "advance-15").await.contains("The event is lost (Execution ib87gnc408me: Executing)")
        );
        assert!(press(&mut world, "succeed").await.contains("The event is lost"));
        assert_eq!(guards(&world), [false; 3]);
        press(&mut world, "advance-15").await;
        assert_eq!(guards(&world), [true; 3]);
        assert!(press(&mut world, "deliver-events").await.contains("delivers events again"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_control_that_does_nothing_says_why() {
        let mut world = World::new().unwrap();
        for (name, control) in CONTROLS {
            if let Some(why) = world.why_not(control) {
                assert_eq!(world.state()["controls"][name], why);
                let refused = world.carry_out(control, &Details::default()).await;
                assert_eq!(refused, Err(Refusal::NotNow(why)), "{name}");
            }
        }
        assert_eq!(world.state()["controls"]["deploy"], Value::Null);
        assert_eq!(world.journal.rows().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_is_html_and_not_in_the_journal_and_a_button_names_the_function() {
        let mut world = World::new().unwrap();
        let call = |endpoint: Option<&str>, payload: Value| Call {
            endpoint: endpoint.map(str::to_owned),
            payload: payload.as_object().cloned().unwrap(),
            widget_context: json!({ "theme": "dark", "width": 400 }),
        };
        let page = world.call(call(None, json!({}))).await.unwrap();
        assert!(page.as_str().unwrap().starts_with("<div class=\"drift-router"), "{page}");
        assert_eq!(world.journal.rows().len(), 0);
        let other = world.call(call(Some("arn:aws:lambda:other"), json!({}))).await;
        assert!(matches!(other, Err(Refusal::Wrong(_))), "{other:?}");
        let request = json!({ "source": "drift-router", "detail-type": "Retrain", "detail": { "id": "1" } });
        let arn = world.context.invoked_function_arn.clone();
        world.call(call(Some(&arn), request)).await.unwrap();
        assert_eq!(actions(&world), ["started", "unchanged"]);
        assert_eq!(guards(&world), [false; 3]);
    }
}
