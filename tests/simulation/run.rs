//! Runs one history with the real router, and checks the invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use drift_router::{Config, Router, timeouts};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use simulator::Time;
use simulator::codepipeline::ActionState;
use simulator::sagemaker::Execution;
use simulator::{Fault, Project, Simulator};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::history::{History, Lambda, Outage, Step, StepKind, Weather, asks_again, course, deliveries, rng_for};
use crate::owed::{self, Cause, TOLERANCE};
use crate::wire::{Defect, INVOCATION, Invocation, Wire};

const STAGE: &str = "Build";
const ALARMS: [&str; 3] = ["nyctaxi-prod-threshold", "nyctaxi-staging-threshold", "nyctaxi-batch-prod-threshold"];
const MARK: &str = "Disabled by drift-router";
pub const TAG: &str = "drift-router:paused-by";
pub const OWED_TAG: &str = "drift-router:owed-since";
pub const DRIFT_RULE: &str = "sagemaker-nyctaxi-drift-build";
pub const SCHEDULE_RULE: &str = "sagemaker-nyctaxi-schedule-build";
/// The alarms that the router reads, if it reads any. If so, the third alarm does not count as drift.
pub const LISTED_ALARMS: [&str; 2] = [ALARMS[0], ALARMS[1]];
/// How another router marks a rule.
const OTHER: &str = "fraud-pipeline/abc";
const DAY: Duration = Duration::from_hours(24);
const HOLD: &str = "release freeze";

/// A history that ran to its end without a violation.
#[derive(Debug)]
pub struct Completed {
    pub trace: Vec<String>,
    /// How often an operator had to enable a rule that was disabled without its tag.
    pub stuck: usize,
}

/// The invariant that was violated, and the trace up to it.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub trace: Vec<String>,
}

/// Runs `history`, with `defect` on the wire.
pub fn run(history: &History, defect: Option<Defect>) -> Result<Completed, Violation> {
    // The SDK draws its back-off from this generator.
    fastrand::seed(history.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(history, defect);
        let completed = run.run().await;
        let trace = std::mem::take(&mut *run.trace.lock().unwrap());
        match completed {
            Ok(()) => Ok(Completed { trace, stuck: run.stuck }),
            Err(what) => Err(Violation { what, trace }),
        }
    })
}

/// An event in Lambda's queue.
#[derive(Clone, Debug)]
struct Delivery {
    event: Value,
    name: String,
    /// How often it has been tried.
    tries: usize,
    killed: bool,
    /// Whether another trigger had already used the token of a try.
    refused: bool,
    /// Whether the router drains in this try.
    drains: bool,
    /// When it first came.
    since: Instant,
    ready: Instant,
}

impl Delivery {
    fn new(name: String, event: Value) -> Self {
        let now = Instant::now();
        Self { event, name, tries: 0, killed: false, refused: false, drains: false, since: now, ready: now }
    }
}

/// An action that is planned for a time.
enum ScheduledAction {
    Step(Step),
    Deliver { name: String, event: Value },
    Status { arn: String, status: &'static str },
    Heartbeat,
}

/// Whether an operator disabled a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperatorHold {
    /// Nobody holds it.
    None,
    /// An operator disabled it while no invocation ran.
    Held,
    /// An operator disabled it while an invocation ran, which may have been setting it.
    Contested,
}

struct Run<'h> {
    history: &'h History,
    simulator: Simulator,
    router: Arc<Router>,
    /// The same router with `MODE=drain`.
    draining_router: Arc<Router>,
    /// Whether the router is set to drain.
    drains: bool,
    /// When it was last set to drain.
    drained_at: Option<Time>,
    context: Context,
    rules: [String; 2],
    heartbeat_rule: String,
    agenda: BTreeMap<(Instant, usize), ScheduledAction>,
    acts: usize,
    queue: Vec<Delivery>,
    stage_hold: OperatorHold,
    rule_holds: [OperatorHold; 2],
    /// When an operator last disabled a guard.
    held_at: Instant,
    /// When an operator's hold of each rule began, if no invocation was in flight then.
    rule_held_since: [Option<Time>; 2],
    /// When an owed tick may last have been dropped: by a hold or a replacement of the schedule rule, or by draining.
    ticks_dropped: Time,
    /// The display name that each tick's execution would have, and the tick's time.
    ticks: BTreeMap<String, Time>,
    /// When an alarm's state, mutes or suppression last changed.
    alarms_changed: Time,
    /// When SageMaker was last known to be at its limit.
    limited_until: Option<Instant>,
    /// The ticks that wait for a heartbeat, by their event's time.
    deferred_ticks: Vec<Time>,
    /// The display names of the ticks that were answered without a deferral.
    answered_ticks: BTreeSet<String>,
    /// By execution: whether a heartbeat started it.
    by_heartbeat: Arc<Mutex<BTreeMap<String, bool>>>,
    /// When something other than the running invocation last changed the world, or when another invocation ran at the same time.
    last_disturbance: Instant,
    in_flight: usize,
    invocations: usize,
    executions_seen: usize,
    codes: Vec<String>,
    /// The id of every action's first job.
    first_jobs: Vec<String>,
    /// New code that waits before the stage.
    waiting: Option<usize>,
    stuck: usize,
    started: Arc<Notify>,
    trace: Arc<Mutex<Vec<String>>>,
    begins: Instant,
}

type Ended = (Delivery, Instant, bool, Option<Result<Value, String>>);

impl<'h> Run<'h> {
    fn new(history: &'h History, defect: Option<Defect>) -> Self {
        // The SDK keeps one retry quota for each region, so every history has its own region.
        let project = Project { region: format!("us-sim-{}", history.seed), ..Project::nyctaxi() };
        let cooldown = history.cooldown.map(|cooldown| format!("{}s", cooldown.as_secs())).unwrap_or_default();
        let alarms = if history.lists_alarms { LISTED_ALARMS.join(",") } else { String::new() };
        let per_day = history.catch_up_per_day.map(|number| number.to_string()).unwrap_or_default();
        let parameters = if history.has_parameters { r#"{"Why": "{trigger} {key} {time}"}"# } else { "" };
        let config = |mode| {
            let config = Config::from_lookup(project.lookup(&[
                ("MODE", mode),
                ("DRIFT_COOLDOWN", &cooldown),
                ("DRIFT_ALARM_NAMES", &alarms),
                ("CATCH_UP_PER_DAY", &per_day),
                ("DEPLOYMENT_TRIGGER", if history.has_actions { "action" } else { "event" }),
                ("PIPELINE_PARAMETERS", parameters),
            ]));
            config.unwrap().0
        };
        let simulator = Simulator::new(&project);
        let begins = Instant::now();
        let trace = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::new(Notify::new());
        {
            let mut world = simulator.world();
            world.sagemaker.list_lag = history.list_lag;
            world.sagemaker.describe_lag = history.describe_lag;
            world.sagemaker.reused_token = history.reused_token;
            world.sagemaker.page_limit = history.page_limit;
            world.codepipeline.read_lag = history.guard_read_lag;
            world.codepipeline.list_lag = history.list_lag;
            world.eventbridge.read_lag = history.guard_read_lag;
            world.eventbridge.tags_lag = history.guard_read_lag;
            world.eventbridge.delay = history.rule_delay;
            world.codepipeline.page_limit = history.page_limit;
            world.codepipeline.events_have_trigger = history.events_have_trigger;
            world.sagemaker.parameters = vec!["Why".to_owned()];
            world.cloudwatch.page_limit = history.page_limit.map(|limit| limit - 2);
            world.sagemaker.start_time_missing = history.start_time_missing;
            world.sagemaker.checks_limit_first = history.checks_limit_first;
            world.client_clock_skew = history.clocks.router;
            world.sagemaker.clock_skew = history.clocks.sagemaker;
            world.codepipeline.clock_skew = history.clocks.codepipeline;
            world.eventbridge.clock_skew = history.clocks.eventbridge;
            world.cloudwatch.clock_skew = history.clocks.cloudwatch;
            world.cloudwatch.description_skew = history.clocks.description;
            for alarm in ALARMS {
                world.change_alarm(alarm, "OK");
            }
            let (started, trace) = (started.clone(), trace.clone());
            world.observe(Box::new(move |call| {
                let result = call.result.as_ref().map_or_else(String::as_str, |_| "ok");
                let resource = call.resource.rsplit(':').next().unwrap_or_default();
                let line = format!("{} {} {resource} {result}", clock(begins), call.operation);
                trace.lock().unwrap().push(line);
                if call.operation == "StartPipelineExecution" {
                    started.notify_one();
                }
            }));
            let bursts = history.bursts.clone();
            let mut rng = rng_for(history.seed, "faults");
            let outages = history.outages.clone();
            world.inject(Box::new(move |called| {
                let now = begins.elapsed();
                let bad = bursts.iter().any(|(from, to)| (*from..*to).contains(&now));
                let is_out = outages.iter().any(|outage| {
                    (outage.from..outage.to).contains(&now) && outage.service.is_none_or(|s| s == called.service)
                });
                if is_out {
                    let faults = [Fault::Throttled, Fault::ErrorBefore, Fault::Reset];
                    return Some(faults[rng.usize(..faults.len())].clone());
                }
                (bad && rng.bool()).then(|| {
                    let faults = [
                        Fault::Throttled,
                        Fault::ErrorBefore,
                        Fault::ErrorAfter,
                        Fault::Reset,
                        Fault::ResetAfter,
                        Fault::Hang,
                        Fault::HangAfter,
                    ];
                    faults[rng.usize(..faults.len())].clone()
                })
            }));
        }
        let wire = Wire::new(simulator.clone(), history, defect);
        let by_heartbeat = wire.by_heartbeat.clone();
        let aws = simulator.sdk_config().timeout_config(timeouts()).http_client(wire.http_client()).build();
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        let mut run = Self {
            history,
            simulator,
            router: Arc::new(Router::new(config("active"), &aws, io::sink())),
            draining_router: Arc::new(Router::new(config("drain"), &aws, io::sink())),
            drains: false,
            drained_at: None,
            context,
            rules: [project.schedule_rule.clone(), project.drift_rule.clone()],
            heartbeat_rule: project.heartbeat_rule.clone(),
            agenda: BTreeMap::new(),
            acts: 0,
            queue: Vec::new(),
            stage_hold: OperatorHold::None,
            rule_holds: [OperatorHold::None; 2],
            held_at: begins,
            rule_held_since: [None; 2],
            ticks_dropped: Time::ZERO,
            ticks: BTreeMap::new(),
            alarms_changed: Time::ZERO,
            limited_until: None,
            deferred_ticks: Vec::new(),
            answered_ticks: BTreeSet::new(),
            by_heartbeat,
            last_disturbance: begins,
            in_flight: 0,
            invocations: 0,
            executions_seen: 0,
            codes: Vec::new(),
            first_jobs: Vec::new(),
            waiting: None,
            stuck: 0,
            started,
            trace,
            begins,
        };
        for step in &history.steps {
            run.plan(step.at, ScheduledAction::Step(*step));
        }
        if let Some(period) = history.heartbeat {
            let last = history.steps.last().map_or(Duration::ZERO, |h| h.at);
            let mut at = period;
            // The last events may be hours late.
            while at < last + Duration::from_hours(10) {
                run.plan(at, ScheduledAction::Heartbeat);
                at += period;
            }
        }
        run
    }

    fn plan(&mut self, after: Duration, act: ScheduledAction) {
        self.acts += 1;
        self.agenda.insert((Instant::now() + after, self.acts), act);
    }

    fn note(&self, line: &str) {
        self.trace.lock().unwrap().push(format!("{} {line}", clock(self.begins)));
    }

    async fn run(&mut self) -> Result<(), String> {
        let history = self.history;
        self.run_until_quiet().await?;
        tokio::time::advance(history.outages_end().saturating_sub(self.begins.elapsed())).await;
        // Nothing is planned any more. If something happened that sends no event, one heartbeat follows.
        let silent = |h: &Step| {
            !matches!(
                h.kind,
                StepKind::Code
                    | StepKind::Alarm
                    | StepKind::Alarms
                    | StepKind::AlarmOnBothRoutes
                    | StepKind::Tick
                    | StepKind::Action
                    | StepKind::StartByHand
            )
        };
        let lag = history.lag().max(history.guard_read_lag);
        if history.loses_status_events
            || history.weather != Weather::Ordinary
            || !lag.is_zero()
            || history.steps.iter().any(silent)
        {
            let seen = |run: &Self| (run.codes.len(), run.simulator.world().sagemaker.executions.len());
            let mut before = None;
            // Waiting code may then be deployed, or the heartbeat may start what is owed. That execution may end while reads lag.
            while before != Some(seen(self)) {
                before = Some(seen(self));
                tokio::time::advance(lag).await;
                self.plan(Duration::ZERO, ScheduledAction::Heartbeat);
                self.run_until_quiet().await?;
            }
        }
        while history.lambda == Lambda::Both && self.unstick() {
            self.plan(Duration::ZERO, ScheduledAction::Heartbeat);
            self.run_until_quiet().await?;
        }
        // A heartbeat may have started an execution whose end no event reports.
        if !history.loses_status_events && history.weather == Weather::Ordinary {
            self.check_guards("at the end")?;
        }
        self.settle().await?;
        self.check_guards("when all is served")?;
        self.check_ticks()?;
        // A deployment that waits at the limit, or whose event is lost, may be superseded by a newer one.
        let least = usize::from(history.weather == Weather::Ordinary);
        for code in &self.codes {
            let name = format!("code-{code}");
            let world = self.simulator.world();
            let count = world.sagemaker.executions.iter().filter(|e| e.display_name.as_ref() == Some(&name)).count();
            if !(least..=1).contains(&count) {
                return Err(format!("invariant 4: {count} executions for new code {code}"));
            }
        }
        self.check_actions()
    }

    /// Sends heartbeats until they have served all that is owed. Checks invariant 10: after that, heartbeats start nothing.
    async fn settle(&mut self) -> Result<(), String> {
        let wait = DAY.max(self.history.kept_cooldown().unwrap_or_default()) + 2 * TOLERANCE;
        self.set_limit(false);
        let mut rounds = 0;
        // Each heartbeat starts one execution. When the execution ends, waiting code may be deployed.
        while self.heartbeat_changes_something(wait).await? {
            rounds += 1;
            if rounds > 20 {
                return Err("invariant 10: heartbeats start one execution after another".to_owned());
            }
        }
        {
            let world = self.simulator.world();
            if self.drains || owed::may_start(&world, self.history, world.now()) {
                if let Some(owed) = owed::owed(&world, self.history, world.now()).pop().filter(|_| !self.drains) {
                    return Err(format!("{owed}, at the end"));
                }
                if let Some(tag) = world.eventbridge.rule(&self.rules[0]).unwrap().tags.get(OWED_TAG) {
                    return Err(format!("a tick is still owed at the end: {tag}"));
                }
            }
        }
        let heartbeats = if self.history.seed.is_multiple_of(50) { 100 } else { 3 };
        for _ in 0..heartbeats {
            if self.heartbeat_changes_something(Duration::from_hours(1)).await? {
                return Err("invariant 10: a heartbeat started something although everything is served".to_owned());
            }
        }
        Ok(())
    }

    /// Sends a heartbeat after this time, and runs until all is quiet again. Returns whether an execution was started, or waiting
    /// code was deployed.
    async fn heartbeat_changes_something(&mut self, later: Duration) -> Result<bool, String> {
        let seen = |run: &Self| (run.simulator.world().sagemaker.executions.len(), run.codes.len());
        let before = seen(self);
        tokio::time::advance(later).await;
        self.plan(Duration::ZERO, ScheduledAction::Heartbeat);
        self.run_until_quiet().await?;
        Ok(seen(self) != before)
    }

    /// Checks that every deferred tick was served, or that somebody removed it.
    fn check_ticks(&self) -> Result<(), String> {
        if self.drains {
            return Ok(());
        }
        let world = self.simulator.world();
        for tick in &self.deferred_ticks {
            let is_served = world.sagemaker.executions.iter().any(|e| e.created + TOLERANCE >= *tick);
            let newest = world.sagemaker.executions.last();
            let has_start_times = newest.is_none_or(|newest| newest.has_start_time);
            if !is_served && self.ticks_dropped + TOLERANCE < *tick && has_start_times {
                return Err(format!("the tick of {tick:?} was deferred and never served"));
            }
        }
        Ok(())
    }

    /// Invariant 4 for actions: each has one execution, and has the same result as the execution.
    fn check_actions(&self) -> Result<(), String> {
        let world = self.simulator.world();
        // Every repeat of a start sends exactly the same request.
        let mut requests: BTreeMap<&str, &Value> = BTreeMap::new();
        for call in world.calls.iter().filter(|call| call.operation == "StartPipelineExecution") {
            let name = call.input["PipelineExecutionDisplayName"].as_str().unwrap();
            if !coalesces(name) && *requests.entry(name).or_insert(&call.input) != &call.input {
                return Err(format!("invariant 4: {name} was started with two requests"));
            }
        }
        for (first_job, action) in self.first_jobs.iter().zip(&world.codepipeline.actions) {
            let name = format!("job-{first_job}");
            let mut executions = world.sagemaker.executions.iter().filter(|e| e.display_name.as_ref() == Some(&name));
            let (execution, second) = (executions.next(), executions.next());
            let is_refused = matches!(&action.state, ActionState::Failed(details)
                if details["message"].as_str().is_some_and(|message| message.starts_with("MODE is drain")));
            // If two invocations of one job cross the switch, one may start the execution, and the other may refuse the action.
            let crossing = Duration::from_mins(5);
            let may_cross = |e: &Execution| self.drained_at.is_some_and(|at| e.created + crossing >= at);
            if execution.is_none() && (is_refused || self.history.weather == Weather::Outages)
                || is_refused && execution.is_some_and(may_cross)
            {
                continue;
            }
            let (Some(execution), None) = (execution, second) else {
                return Err(format!("invariant 4: action {first_job} does not have exactly one execution"));
            };
            let ended_so = match &action.state {
                ActionState::Succeeded(variables) => {
                    variables["PipelineExecutionArn"] == *execution.arn && execution.has_been("Succeeded")
                }
                ActionState::Failed(details) => {
                    let ends = ["Failed", "Stopped", "CompletedWithFailures"];
                    details["externalExecutionId"] == *execution.arn && ends.iter().any(|end| execution.has_been(end))
                }
                ActionState::InProgress | ActionState::Stopped => false,
            };
            // After an outage, an action may wait until its own timeout.
            if !ended_so && self.history.weather != Weather::Outages {
                return Err(format!("invariant 4: {name} is {:?}, its action {:?}", execution.status(), action.state));
            }
        }
        Ok(())
    }

    /// Runs until nothing is planned, queued or in flight.
    async fn run_until_quiet(&mut self) -> Result<(), String> {
        let mut running: FuturesUnordered<Pin<Box<dyn Future<Output = Ended>>>> = FuturesUnordered::new();
        loop {
            self.take_events();
            self.check_starts()?;
            if !self.stage_is_disabled()
                && let Some(number) = self.waiting.take()
            {
                self.note("* the code that waited is deployed");
                self.deploy(number);
            }
            while let Some(delivery) = self.next_delivery(running.len()) {
                running.push(self.invoke(delivery));
            }
            let next_act = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let room = running.len() < self.capacity();
            let next_delivery = self.queue.iter().map(|d| d.ready).min().filter(|_| room);
            let wake = next_act.into_iter().chain(next_delivery).min();
            if wake.is_none() && running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(ended) = running.next() => {
                    self.in_flight = running.len();
                    self.take_events();
                    self.check_starts()?;
                    self.ended(ended)?;
                }
                () = self.started.notified() => {}
                () = sleep_until(wake.unwrap_or(self.begins)), if wake.is_some() => {
                    if let Some(entry) = self.agenda.first_entry()
                        && entry.key().0 <= Instant::now()
                    {
                        let act = entry.remove();
                        self.act(act);
                    }
                }
            }
        }
    }

    fn capacity(&self) -> usize {
        if self.history.lambda == Lambda::Killed { 1 } else { 4 }
    }

    /// Turns SageMaker's events into deliveries, and plans the statuses of every execution that starts.
    fn take_events(&mut self) {
        while let Some(event) = { self.simulator.world().next_event() } {
            let detail = &event["detail"];
            let arn = detail["pipelineExecutionArn"].as_str().unwrap().to_owned();
            let status = detail["currentPipelineExecutionStatus"].as_str().unwrap().to_owned();
            let id = event["id"].as_str().unwrap().to_owned();
            if detail["previousPipelineExecutionStatus"].is_null() {
                let mut after = Duration::ZERO;
                for (time, status) in course(&mut self.rng_for(("course", &arn))) {
                    after += time;
                    self.plan(after, ScheduledAction::Status { arn: arn.clone(), status });
                }
            }
            if self.history.loses_status_events && self.rng_for(("lost", &id)).u8(..10) < 4 {
                self.note(&format!("event {status} is lost"));
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

    fn rng_for(&self, name: impl std::fmt::Debug) -> fastrand::Rng {
        rng_for(self.history.seed, name)
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
            self.note(&format!("event {name} is lost"));
            return;
        }
        for delay in deliveries(&mut self.rng_for(("deliveries", id))) {
            self.plan(pause + delay, ScheduledAction::Deliver { name: name.to_owned(), event: event.clone() });
        }
    }

    fn act(&mut self, act: ScheduledAction) {
        match act {
            ScheduledAction::Deliver { name, event } => {
                self.queue.push(Delivery::new(name, event));
                return;
            }
            ScheduledAction::Heartbeat => {
                let tick = self.simulator.world().tick(&self.heartbeat_rule).unwrap();
                self.queue.push(Delivery::new("heartbeat".into(), tick));
                return;
            }
            ScheduledAction::Status { arn, status } => {
                self.note(&format!("* {} is {status}", arn.rsplit('/').next().unwrap()));
                self.simulator.world().set_execution_status(&arn, status);
                let rng = &mut self.rng_for(("echo", &arn, status));
                if self.history.echoes && status != "Executing" && status != "Stopping" && rng.bool() {
                    let number = 1000 + self.acts;
                    let at = Duration::from_millis(rng.u64(..300));
                    let code = if self.history.has_actions { StepKind::Action } else { StepKind::Code };
                    let kind = if rng.bool() { code } else { StepKind::StartByHand };
                    self.plan(at, ScheduledAction::Step(Step { number, at, kind }));
                }
            }
            ScheduledAction::Step(step) => self.step(step),
        }
        self.last_disturbance = Instant::now();
    }

    fn step(&mut self, Step { number, kind, .. }: Step) {
        let alarm_steps = [StepKind::Alarm, StepKind::Alarms, StepKind::AlarmOnBothRoutes];
        let changes_alarm = matches!(kind, StepKind::AlarmOk(_) | StepKind::Mute(..) | StepKind::Suppress(..));
        if changes_alarm || alarm_steps.contains(&kind) {
            self.alarms_changed = self.simulator.world().now();
        }
        self.note(&format!("* {kind:?}"));
        let hold = if self.in_flight == 0 { OperatorHold::Held } else { OperatorHold::Contested };
        if matches!(kind, StepKind::HoldStage | StepKind::HoldRule(_)) {
            self.held_at = Instant::now();
        }
        match kind {
            // Code that has not passed the stage waits before a disabled transition, until later code supersedes it.
            StepKind::Code if self.stage_is_disabled() && self.rng_for(("waits", number)).bool() => {
                self.waiting = Some(number)
            }
            StepKind::Code => self.deploy(number),
            StepKind::Alarm | StepKind::Alarms | StepKind::AlarmOnBothRoutes => {
                let alarms = if kind == StepKind::Alarms { &ALARMS[..] } else { &ALARMS[..1] };
                for alarm in alarms {
                    // An alarm that is in ALARM already may be OK for a moment.
                    if self.rng_for(("flaps", alarm, number)).bool() {
                        self.simulator.world().change_alarm(alarm, "OK");
                    }
                    let by_rule = self.simulator.world().change_alarm(alarm, "ALARM");
                    let Some(event) = by_rule else { continue };
                    if kind == StepKind::AlarmOnBothRoutes {
                        let action = serde_json::json!({
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
            StepKind::Tick => {
                let tick = self.simulator.world().tick(&self.rules[0]);
                if let Some(event) = tick {
                    let time = event["time"].as_str().unwrap();
                    self.ticks.insert(owed::tick_name(&self.rules[0], time), self.simulator.world().now());
                    self.send("tick", &event, &format!("tick {number}"));
                }
            }
            StepKind::Action => {
                let job = self.simulator.world().run_action(None).unwrap();
                let id = job["CodePipeline.job"]["id"].as_str().unwrap().to_owned();
                self.send("job", &job, &id);
                self.first_jobs.push(id);
            }
            StepKind::StartByHand => {
                self.simulator.world().start_execution(None);
            }
            StepKind::HoldStage => {
                self.simulator.world().operate_stage(STAGE, Some(HOLD));
                self.stage_hold = hold;
            }
            StepKind::FreeStage => {
                self.simulator.world().operate_stage(STAGE, None);
                self.stage_hold = OperatorHold::None;
            }
            StepKind::HoldRule(rule) => {
                let name = &self.rules[rule];
                let mut world = self.simulator.world();
                // A rule with the router's tag belongs to the router. If an operator disables it, that is no hold.
                let tagged = world.eventbridge.rule(name).unwrap().tags.contains_key(TAG);
                world.operate_rule(name, false);
                if !tagged || hold == OperatorHold::Contested {
                    self.rule_holds[rule] = hold;
                    self.rule_held_since[rule] = (hold == OperatorHold::Held).then(|| world.now());
                }
                self.ticks_dropped = if rule == 0 { world.now() } else { self.ticks_dropped };
            }
            StepKind::FreeRule(rule) => {
                self.simulator.world().operate_rule(&self.rules[rule], true);
                self.rule_holds[rule] = OperatorHold::None;
                self.rule_held_since[rule] = None;
            }
            StepKind::ReplaceRule(rule) => {
                // Between the router's two writes to the rule, and while reads lag, this removes the tag that the router has just set.
                let is_contested = self.in_flight > 0 && !self.history.guard_read_lag.is_zero();
                let mut world = self.simulator.world();
                world.replace_rule(&self.rules[rule]);
                self.rule_holds[rule] = if is_contested { OperatorHold::Contested } else { OperatorHold::None };
                self.rule_held_since[rule] = None;
                self.ticks_dropped = if rule == 0 { world.now() } else { self.ticks_dropped };
            }
            StepKind::AlarmOk(alarm) => drop(self.simulator.world().change_alarm(ALARMS[alarm], "OK")),
            StepKind::Mute(alarm, is_muted) => {
                self.simulator.world().cloudwatch.alarm_mut(ALARMS[alarm]).is_muted = is_muted;
            }
            StepKind::Suppress(alarm, is_suppressed) => {
                let mut world = self.simulator.world();
                let alarm = world.cloudwatch.alarm_mut(ALARMS[alarm]);
                alarm.is_composite = true;
                alarm.suppressed_by = is_suppressed.then(|| "Alarm".to_owned());
            }
            StepKind::DeploymentFails => {
                self.simulator.world().end_code_pipeline(&deployment_id(number), "Failed");
            }
            StepKind::Rollback => {
                let id = deployment_id(number);
                let event = self.simulator.world().code_rolled_back(&id);
                self.send("rollback", &event, &id);
            }
            StepKind::OtherRouter(rule, pauses) => self.act_as_other_router(rule, pauses),
            StepKind::Limit(is_reached) => self.set_limit(is_reached),
            StepKind::Drain(drains) => {
                self.drains = drains;
                if drains {
                    self.drained_at = Some(self.simulator.world().now());
                }
                self.ticks_dropped = self.simulator.world().now();
            }
        }
    }

    /// The router of another SageMaker pipeline pauses a rule that nobody else has paused, or enables the one that it paused.
    fn act_as_other_router(&mut self, rule: usize, pauses: bool) {
        let name = self.rules[rule].clone();
        let mut world = self.simulator.world();
        let found = world.eventbridge.rule(&name).unwrap();
        let mark = found.tags.get(TAG).map(String::as_str);
        if pauses && mark.is_none() && found.is_enabled() && self.in_flight == 0 {
            world.tag_rule(&name, TAG, Some(OTHER));
            world.operate_rule(&name, false);
        } else if !pauses && mark == Some(OTHER) {
            world.operate_rule(&name, true);
            world.tag_rule(&name, TAG, None);
        }
    }

    fn set_limit(&mut self, is_reached: bool) {
        let was_reached = self.simulator.world().sagemaker.limit.is_some();
        if was_reached || is_reached {
            self.limited_until = Some(Instant::now());
        }
        self.simulator.world().sagemaker.limit = is_reached.then_some(0);
        self.last_disturbance = Instant::now();
    }

    fn stage_is_disabled(&self) -> bool {
        self.simulator.world().codepipeline.stages[1].disabled_reason.is_some()
    }

    fn deploy(&mut self, number: usize) {
        let id = deployment_id(number);
        let event = self.simulator.world().code_deployed(&id);
        self.send("code", &event, &id);
        self.codes.push(id);
    }

    /// The next event that Lambda delivers: any ready event, in no order.
    fn next_delivery(&mut self, running: usize) -> Option<Delivery> {
        if running >= self.capacity() {
            return None;
        }
        let now = Instant::now();
        let ready: Vec<usize> = (0..self.queue.len()).filter(|i| self.queue[*i].ready <= now).collect();
        if ready.is_empty() {
            return None;
        }
        let pick = ready[self.rng_for(("pick", self.invocations)).usize(..ready.len())];
        if running > 0 {
            self.last_disturbance = now;
        }
        self.in_flight = running + 1;
        Some(self.queue.remove(pick))
    }

    fn invoke(&mut self, mut delivery: Delivery) -> Pin<Box<dyn Future<Output = Ended>>> {
        self.invocations += 1;
        delivery.tries += 1;
        // An invocation whose reads lag may not see the hold.
        if Instant::now() < self.held_at + self.history.guard_read_lag {
            for hold in [&mut self.stage_hold].into_iter().chain(&mut self.rule_holds) {
                if *hold == OperatorHold::Held {
                    *hold = OperatorHold::Contested;
                }
            }
        }
        self.note(&format!("invoke {} (try {})", delivery.name, delivery.tries));
        if delivery.name == "tick" {
            // A further copy of the event requests the retraining again.
            let time = delivery.event["time"].as_str().unwrap();
            self.answered_ticks.remove(&owed::tick_name(&self.rules[0], time));
        }
        let mut rng = self.rng_for(("kill", self.invocations));
        // At most one kill for each event, and none in its last try. Three killed tries would lose it without a fault of the router.
        let kill =
            self.history.lambda != Lambda::Concurrent && !delivery.killed && delivery.tries < 3 && rng.u8(..8) == 0;
        delivery.killed |= kill;
        let polls = if kill { rng.usize(1..80) } else { usize::MAX };
        let lists_were_current = self.reads_are_current();
        delivery.drains = self.drains;
        let router = if self.drains { self.draining_router.clone() } else { self.router.clone() };
        let event = LambdaEvent::new(delivery.event.clone(), self.context.clone());
        let invocation = Mutex::new(Invocation::new(delivery.event.clone(), self.drains));
        Box::pin(async move {
            let begins = Instant::now();
            let handled = async move {
                match router.handle(event).await {
                    Ok(outcome) => Ok(serde_json::to_value(outcome).unwrap()),
                    Err(error) => Err(error.error_message),
                }
            };
            let handled = CancelAfterPolls { run: Box::pin(INVOCATION.scope(invocation, handled)), polls }.await;
            (delivery, begins, lists_were_current, handled)
        })
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

    /// Whether EventBridge's API failed at any time since then.
    fn eventbridge_was_out(&self, since: Instant) -> bool {
        let (from, to) = (since.duration_since(self.begins), self.begins.elapsed());
        let is_out =
            |outage: &Outage| outage.service.is_none_or(|s| s == "events") && outage.from < to && from < outage.to;
        self.history.outages.iter().any(is_out) || !self.history.bursts.is_empty()
    }

    /// An outage outlasts Lambda's tries. At the limit, no heartbeat finds an alarm that is not listed.
    fn may_be_dead_lettered(&self, delivery: &Delivery) -> bool {
        let (from, to) = (delivery.since.duration_since(self.begins), self.begins.elapsed());
        let is_limited = self.simulator.world().sagemaker.limit.is_some();
        match self.history.weather {
            Weather::Outages => self.history.outages.iter().any(|outage| outage.from < to && from < outage.to),
            Weather::Limits | Weather::Drained => {
                let was_limited = is_limited || self.limited_until.is_some_and(|until| until >= delivery.since);
                delivery.name.starts_with("alarm") && !self.history.lists_alarms && was_limited
            }
            Weather::Ordinary | Weather::Lossy | Weather::Silent => false,
        }
    }

    /// Whether lists, descriptions and reads of guards show the current state.
    fn reads_are_current(&self) -> bool {
        let world = self.simulator.world();
        let changed = world.sagemaker.executions.iter().map(Execution::changed).max();
        let is_write = |operation: &str| operation.contains("able") || operation.contains("agResource");
        let written = world.calls.iter().rev().find(|call| is_write(&call.operation)).map(|call| call.at);
        changed.is_none_or(|changed| changed + self.history.lag() <= world.now())
            && written.is_none_or(|written| written + self.history.guard_read_lag <= world.now())
    }

    /// After a race and a kill together, a rule may be disabled without its tag and look like an operator's hold. An operator then
    /// enables it. Returns whether there was such a rule.
    fn unstick(&mut self) -> bool {
        let before = self.stuck;
        for (name, hold) in self.rules.iter().zip(self.rule_holds) {
            let mut world = self.simulator.world();
            let rule = world.eventbridge.rule(name).unwrap();
            if hold == OperatorHold::None && !rule.is_enabled() && !rule.tags.contains_key(TAG) {
                world.operate_rule(name, true);
                self.stuck += 1;
                self.last_disturbance = Instant::now();
            }
        }
        self.stuck > before
    }

    fn ended(&mut self, (mut delivery, begins, lists_were_current, handled): Ended) -> Result<(), String> {
        if self.history.lambda == Lambda::Both && self.in_flight == 0 && self.unstick() {
            self.note("* an operator enables a rule that is stuck");
        }
        match handled {
            Some(Ok(answer)) => {
                self.note(&format!("answer {} {}", delivery.name, answer["action"]));
                if delivery.drains
                    && ["started", "engaged", "deferred"].iter().any(|action| answer["action"] == *action)
                {
                    return Err(format!("{} was {} while draining", delivery.name, answer["action"]));
                }
                if answer["action"] == "deferred" && delivery.name.starts_with("alarm") && !self.history.lists_alarms {
                    return Err(format!("{} was deferred, and no heartbeat finds it", delivery.name));
                }
                if delivery.name == "tick" {
                    if answer["action"] == "deferred" {
                        self.deferred_ticks.push(tick_time(&delivery.event));
                    } else {
                        let time = delivery.event["time"].as_str().unwrap();
                        self.answered_ticks.insert(owed::tick_name(&self.rules[0], time));
                    }
                }
                // It observed the current state, so the guards must be as the executions require.
                let has_looked = answer["interlock"].is_object();
                if self.in_flight == 0
                    && self.last_disturbance + self.history.guard_read_lag < begins
                    && lists_were_current
                    && has_looked
                {
                    self.check_guards("after an invocation that nothing disturbed")?;
                    if delivery.name == "heartbeat" && !self.drains {
                        let world = self.simulator.world();
                        let at = world.now() - begins.elapsed();
                        if owed::may_start(&world, self.history, at)
                            && let Some(owed) = owed::owed(&world, self.history, at).pop()
                        {
                            return Err(format!("{owed}, and a heartbeat did not start it"));
                        }
                    }
                } else {
                    self.check_holds()?;
                }
            }
            failed => {
                let reason = failed.map_or_else(|| "killed".to_owned(), |failed| failed.unwrap_err());
                self.note(&format!("failed {}: {reason}", delivery.name));
                self.check_holds()?;
                delivery.refused |= reason.contains("ConflictException");
                if delivery.tries == 3 {
                    if self.asked_for_what_another_started(&delivery) || self.may_be_dead_lettered(&delivery) {
                        self.note(&format!("* {} is in the dead-letter queue", delivery.name));
                        // The rule has the tag of the owed tick, unless a retraining ran. A tick needs only that a retraining runs.
                        if delivery.name == "tick"
                            && !self.eventbridge_was_out(delivery.since)
                            && !self.a_retraining_ran(delivery.since)
                        {
                            self.deferred_ticks.push(tick_time(&delivery.event));
                        }
                        return Ok(());
                    }
                    return Err(format!("invariant 6: {} is in the dead-letter queue: {reason}", delivery.name));
                }
                let wait = Duration::from_mins(delivery.tries as u64);
                delivery.ready = Instant::now() + wait;
                self.queue.push(delivery);
            }
        }
        if self.in_flight > 0 {
            self.last_disturbance = Instant::now();
        }
        Ok(())
    }

    /// For every execution since the last check: invariant 3 holds, and no occurrence has two executions.
    fn check_starts(&mut self) -> Result<(), String> {
        let world = self.simulator.world();
        let executions = &world.sagemaker.executions;
        for (index, new) in executions.iter().enumerate().skip(self.executions_seen) {
            let Some(name) = &new.display_name else { continue };
            let earlier = &executions[..index];
            if earlier.iter().any(|e| e.display_name.as_ref() == Some(name)) {
                return Err(format!("two executions are named {name}"));
            }
            let is_by_heartbeat = self.by_heartbeat.lock().unwrap().get(&new.arn).copied().unwrap_or_default();
            let coalesces_itself = coalesces(name);
            if !coalesces_itself && !is_by_heartbeat {
                self.cause(&world, name)?;
                continue;
            }
            // Others may start between the router's observation and its start. This gap is some seconds, or longer while calls fail.
            // But triggers that coalesce start nothing beside each other, however close they are.
            let age = Instant::now().duration_since(self.begins);
            let faulty = |(from, to): &(Duration, Duration)| *from <= age && age <= *to + Duration::from_mins(1);
            let faults = self.history.bursts.iter().any(faulty);
            let gap =
                |e: &Execution| match (faults, coalesces_itself && e.display_name.as_deref().is_some_and(coalesces)) {
                    (true, _) => Duration::from_mins(1),
                    (false, true) => Duration::ZERO,
                    (false, false) => Duration::from_secs(5),
                };
            let visible = |e: &&Execution| {
                e.active_since().is_some_and(|since| since + gap(e) + self.history.lag() < new.created)
            };
            if let Some(active) = earlier.iter().find(visible) {
                return Err(format!("invariant 3: {name} was started beside {}, which runs", active.arn));
            }
            let was_listed = |e: &&Execution| e.created + gap(e) + self.history.lag() < new.created;
            let cooldown = self.history.kept_cooldown().filter(|_| name.starts_with("drift-")).unwrap_or_default();
            let hot =
                |e: &&Execution| e.created + cooldown > new.created + TOLERANCE && was_listed(e) && e.has_start_time;
            if let Some(hot) = earlier.iter().find(hot) {
                return Err(format!("invariant 3: {name} was started within the cooldown after {}", hot.arn));
            }
            let cause = self.cause(&world, name)?;
            if let Some(cause) = cause
                && let Some(served_by) = earlier.iter().find(|e| was_listed(e) && cause.is_served_by(e))
            {
                return Err(format!("invariant 9: {name} was started although {} serves it", served_by.arn));
            }
            let rule = usize::from(name.starts_with("drift-"));
            let is_held = coalesces_itself && self.rule_holds[rule] == OperatorHold::Held;
            let held_since = self.rule_held_since[rule].filter(|_| is_held);
            if held_since
                .is_some_and(|since| since + self.history.guard_read_lag + Duration::from_secs(5) < new.created)
            {
                return Err(format!("invariant 9: {name} was started although its rule is held"));
            }
            if is_by_heartbeat {
                if self.answered_ticks.contains(name) && self.history.guard_read_lag.is_zero() {
                    return Err(format!("invariant 9: a heartbeat started {name}, which was answered before"));
                }
                let calm = if faults { Duration::from_mins(2) } else { TOLERANCE };
                if name.starts_with("drift-")
                    && self.alarms_changed + calm < new.created
                    && !owed::asks_for_drift(&world, self.history, name)
                {
                    return Err(format!("invariant 9: a heartbeat started {name}, and its alarm needs no retraining"));
                }
                if cause.is_some_and(|cause| !owed::is_within_window(self.history, cause, new.created)) {
                    return Err(format!("invariant 9: a heartbeat started {name}, which is too old"));
                }
                let is_recent = |e: &&Execution| was_listed(e) && e.created + DAY > new.created + TOLERANCE;
                let recent = earlier.iter().filter(is_recent).count();
                if recent >= self.history.catch_up_per_day.unwrap_or(4) {
                    return Err(format!("invariant 10: a heartbeat started {name} after {recent} executions in a day"));
                }
                let is_young = |cause: Cause| cause.time() + Duration::from_mins(5) > new.created + TOLERANCE;
                if cause.is_some_and(is_young) {
                    return Err(format!("invariant 10: a heartbeat started {name} before its event could come"));
                }
            }
        }
        self.executions_seen = executions.len();
        Ok(())
    }

    /// Invariant 9: the router names an execution after an occurrence. For a job this is true, because CodePipeline gave it.
    fn cause(&self, world: &simulator::World, name: &str) -> Result<Option<Cause>, String> {
        let cause = match name.split_once('-') {
            Some(("job", _)) => return Ok(None),
            Some(("schedule", _)) => self.ticks.get(name).copied().map(Cause::Tick),
            _ => owed::cause(world, self.history, name),
        };
        cause.map(Some).ok_or_else(|| format!("invariant 9: {name} was started, and no occurrence has that name"))
    }

    /// Invariant 2: what an operator disabled is disabled, with the operator's reason.
    fn check_holds(&self) -> Result<(), String> {
        let world = self.simulator.world();
        let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
        if self.stage_hold == OperatorHold::Held && reason != Some(HOLD) {
            return Err(format!("invariant 2: the operator's hold on the stage is gone: {reason:?}"));
        }
        for (name, hold) in self.rules.iter().zip(self.rule_holds) {
            let rule = world.eventbridge.rule(name).unwrap();
            if hold == OperatorHold::Held && (rule.is_enabled() || rule.tags.contains_key(TAG)) {
                return Err(format!("invariant 2: the operator's hold on {name} is gone: {rule:?}"));
            }
        }
        Ok(())
    }

    /// Invariants 1, 2 and 5: every guard is as the executions require, unless an operator holds it.
    fn check_guards(&self, when: &str) -> Result<(), String> {
        self.check_holds()?;
        let world = self.simulator.world();
        let active = !self.drains && world.sagemaker.executions.iter().any(Execution::is_active);
        let invariant = if active { "invariant 5" } else { "invariant 1" };
        let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
        let marked = reason.is_some_and(|reason| reason.starts_with(MARK));
        let held = self.stage_hold != OperatorHold::None && reason == Some(HOLD);
        if !held && (marked != active || reason.is_some() != active) {
            return Err(format!("{invariant}: {when}, active is {active}, and the stage is disabled for {reason:?}"));
        }
        for (name, hold) in self.rules.iter().zip(self.rule_holds) {
            let rule = world.eventbridge.rule(name).unwrap();
            let tagged = rule.tags.contains_key(TAG);
            if rule.tags.get(TAG).is_some_and(|mark| mark == OTHER) {
                continue;
            }
            let held = hold != OperatorHold::None && !rule.is_enabled() && !tagged;
            if !held && (rule.is_enabled() == active || tagged != active) {
                return Err(format!("{invariant}: {when}, active is {active}, and rule {name} is {rule:?}"));
            }
        }
        Ok(())
    }
}

/// The time that a tick's event gives.
fn tick_time(event: &Value) -> Time {
    let time = humantime::parse_rfc3339(event["time"].as_str().unwrap()).unwrap();
    time.duration_since(std::time::UNIX_EPOCH).unwrap()
}

fn deployment_id(number: usize) -> String {
    format!("{number:08x}-afff-4465-a5f8-651f1d80bba0")
}

/// Whether the execution's name is that of a trigger that needs only that a retraining runs.
fn coalesces(name: &str) -> bool {
    ["drift-", "schedule-"].iter().any(|trigger| name.starts_with(trigger))
}

fn clock(begins: Instant) -> String {
    let elapsed = begins.elapsed();
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, elapsed.subsec_millis())
}

/// Drops a future after this number of polls, as Lambda kills an invocation.
struct CancelAfterPolls<F> {
    run: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for CancelAfterPolls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.run.as_mut().poll(context).map(Some)
    }
}
