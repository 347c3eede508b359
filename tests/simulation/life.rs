//! Lives one history with the real router, and watches the invariants.

use std::collections::BTreeMap;
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
use simulator::codepipeline::ActionState;
use simulator::sagemaker::Execution;
use simulator::{Fault, Project, Simulator};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::history::{Happening, History, Lambda, Step, asks_again, course, deliveries, dice};
use crate::wire::{Defect, INVOCATION, Invocation, Wire};

const STAGE: &str = "Build";
const ALARMS: [&str; 3] = ["nyctaxi-prod-threshold", "nyctaxi-staging-threshold", "nyctaxi-batch-prod-threshold"];
const MARK: &str = "Disabled by drift-router";
const TAG: &str = "drift-router:paused-by";
const HOLD: &str = "release freeze";

/// A history that was lived to its end.
#[derive(Debug)]
pub struct Lived {
    pub trace: Vec<String>,
    /// How often an operator had to enable a rule that was disabled without its tag.
    pub stuck: usize,
}

/// What broke, and what led to it.
#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub trace: Vec<String>,
}

/// Lives `history`, with `defect` on the wire.
pub fn live(history: &History, defect: Option<Defect>) -> Result<Lived, Violation> {
    // The SDK draws its back-off from this generator.
    fastrand::seed(history.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut life = Life::new(history, defect);
        let lived = life.live().await;
        let trace = std::mem::take(&mut *life.trace.lock().unwrap());
        match lived {
            Ok(()) => Ok(Lived { trace, stuck: life.stuck }),
            Err(what) => Err(Violation { what, trace }),
        }
    })
}

/// An event on its way through Lambda's queue.
#[derive(Clone, Debug)]
struct Delivery {
    event: Value,
    name: String,
    /// How often it has been tried.
    tries: usize,
    killed: bool,
    /// Whether a try found its token taken by another trigger.
    refused: bool,
    /// When it first came.
    since: Instant,
    ready: Instant,
}

impl Delivery {
    fn new(name: String, event: Value) -> Self {
        let now = Instant::now();
        Self { event, name, tries: 0, killed: false, refused: false, since: now, ready: now }
    }
}

/// Something that is to happen.
enum Act {
    Step(Happening),
    Deliver { name: String, event: Value },
    Status { arn: String, status: &'static str },
    Heartbeat,
}

/// What an operator has done to a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// Nothing that still counts.
    Off,
    /// Disabled it, with nobody else at it.
    Holds,
    /// Disabled it in the very moment in which an invocation may have been setting it.
    Contested,
}

struct Life<'h> {
    history: &'h History,
    simulator: Simulator,
    router: Arc<Router>,
    context: Context,
    rules: [String; 2],
    reconcile_rule: String,
    agenda: BTreeMap<(Instant, usize), Act>,
    acts: usize,
    queue: Vec<Delivery>,
    stage_hand: Hand,
    rule_hands: [Hand; 2],
    /// Since when nothing but the invocations that run has changed anything.
    undisturbed: Instant,
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

impl<'h> Life<'h> {
    fn new(history: &'h History, defect: Option<Defect>) -> Self {
        // A region of its own keeps the SDK's retry quota of one history apart from every other's.
        let project = Project { region: format!("us-sim-{}", history.seed), ..Project::nyctaxi() };
        let environment = project.environment();
        let cooldown = history.cooldown.map(|cooldown| format!("{}s", cooldown.as_secs()));
        let config = Config::from_lookup(|name| {
            if name == "DRIFT_COOLDOWN" {
                return cooldown.clone();
            }
            environment.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        });
        let simulator = Simulator::new(&project);
        let begins = Instant::now();
        let trace = Arc::new(Mutex::new(Vec::new()));
        let started = Arc::new(Notify::new());
        {
            let mut world = simulator.world();
            world.sagemaker.list_lag = history.list_lag;
            world.sagemaker.describe_lag = history.describe_lag;
            world.sagemaker.reused_token = history.reused_token;
            world.eventbridge.delay = history.rule_delay;
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
            let mut rng = dice(history.seed, "faults");
            world.inject(Box::new(move |_| {
                let now = begins.elapsed();
                let bad = bursts.iter().any(|(from, to)| (*from..*to).contains(&now));
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
        let wire = Wire::new(simulator.clone(), history.latency, dice(history.seed, "latency"), defect);
        let aws = simulator.sdk_config().timeout_config(timeouts()).http_client(wire.http_client()).build();
        let mut context = Context::default();
        context.invoked_function_arn = project.function_arn();
        let mut life = Self {
            history,
            simulator,
            router: Arc::new(Router::new(config.unwrap().0, &aws, io::sink())),
            context,
            rules: [project.schedule_rule.clone(), project.drift_rule.clone()],
            reconcile_rule: project.reconcile_rule.clone(),
            agenda: BTreeMap::new(),
            acts: 0,
            queue: Vec::new(),
            stage_hand: Hand::Off,
            rule_hands: [Hand::Off; 2],
            undisturbed: begins,
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
        for happening in &history.happenings {
            life.plan(happening.at, Act::Step(*happening));
        }
        if let Some(period) = history.heartbeat {
            let last = history.happenings.last().map_or(Duration::ZERO, |h| h.at);
            let mut at = period;
            // The last events may be hours late.
            while at < last + Duration::from_hours(10) {
                life.plan(at, Act::Heartbeat);
                at += period;
            }
        }
        life
    }

    fn plan(&mut self, after: Duration, act: Act) {
        self.acts += 1;
        self.agenda.insert((Instant::now() + after, self.acts), act);
    }

    fn note(&self, line: &str) {
        self.trace.lock().unwrap().push(format!("{} {line}", clock(self.begins)));
    }

    async fn live(&mut self) -> Result<(), String> {
        self.run().await?;
        // All is quiet. Where something happened of which AWS tells nobody, one heartbeat sees to it.
        let silent = |h: &Happening| {
            !matches!(
                h.step,
                Step::Code
                    | Step::Alarm
                    | Step::Alarms
                    | Step::AlarmOnBothRoutes
                    | Step::Tick
                    | Step::Action
                    | Step::StartByHand
            )
        };
        let history = self.history;
        if history.lossy || history.lags() || history.happenings.iter().any(silent) {
            let mut deployed = usize::MAX;
            // It may release code that waited, and then there is one more execution to see to.
            while deployed != self.codes.len() {
                deployed = self.codes.len();
                tokio::time::advance(history.lag()).await;
                self.plan(Duration::ZERO, Act::Heartbeat);
                self.run().await?;
            }
        }
        while history.lambda == Lambda::Both && self.unstick() {
            self.plan(Duration::ZERO, Act::Heartbeat);
            self.run().await?;
        }
        self.check_guards("at the end")?;
        for code in &self.codes {
            let name = format!("code-{code}");
            let world = self.simulator.world();
            let count = world.sagemaker.executions.iter().filter(|e| e.display_name.as_ref() == Some(&name)).count();
            if count != 1 {
                return Err(format!("invariant 4: {count} executions for new code {code}"));
            }
        }
        self.check_actions()
    }

    /// Invariant 4 for actions: each got one execution, and its end.
    fn check_actions(&self) -> Result<(), String> {
        let world = self.simulator.world();
        for (first_job, action) in self.first_jobs.iter().zip(&world.codepipeline.actions) {
            let name = format!("job-{first_job}");
            let mut executions = world.sagemaker.executions.iter().filter(|e| e.display_name.as_ref() == Some(&name));
            let (Some(execution), None) = (executions.next(), executions.next()) else {
                return Err(format!("invariant 4: not one execution for action {first_job}"));
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
            if !ended_so {
                return Err(format!("invariant 4: {name} is {:?}, its action {:?}", execution.status(), action.state));
            }
        }
        Ok(())
    }

    /// Runs until nothing is planned, queued or in flight.
    async fn run(&mut self) -> Result<(), String> {
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

    /// What SageMaker tells EventBridge becomes deliveries, and every execution that starts gets its course.
    fn take_events(&mut self) {
        while let Some(event) = { self.simulator.world().next_event() } {
            let detail = &event["detail"];
            let arn = detail["pipelineExecutionArn"].as_str().unwrap().to_owned();
            let status = detail["currentPipelineExecutionStatus"].as_str().unwrap().to_owned();
            let id = event["id"].as_str().unwrap().to_owned();
            if detail["previousPipelineExecutionStatus"].is_null() {
                let mut after = Duration::ZERO;
                for (time, status) in course(&mut self.dice(("course", &arn))) {
                    after += time;
                    self.plan(after, Act::Status { arn: arn.clone(), status });
                }
            }
            if self.history.lossy && self.dice(("lost", &id)).u8(..10) < 4 {
                self.note(&format!("event {status} is lost"));
                continue;
            }
            self.send(&format!("{} {status}", arn.rsplit('/').next().unwrap()), &event, &id);
        }
        while let Some(job) = { self.simulator.world().next_job() } {
            let id = job["CodePipeline.job"]["id"].as_str().unwrap().to_owned();
            let pause = asks_again(&mut self.dice(("asks again", &id)));
            self.send_after(pause, "job", &job, &id);
        }
    }

    fn dice(&self, name: impl std::fmt::Debug) -> fastrand::Rng {
        dice(self.history.seed, name)
    }

    fn send(&mut self, name: &str, event: &Value, id: &str) {
        self.send_after(Duration::ZERO, name, event, id);
    }

    fn send_after(&mut self, pause: Duration, name: &str, event: &Value, id: &str) {
        for delay in deliveries(&mut self.dice(("deliveries", id))) {
            self.plan(pause + delay, Act::Deliver { name: name.to_owned(), event: event.clone() });
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Deliver { name, event } => {
                self.queue.push(Delivery::new(name, event));
                return;
            }
            Act::Heartbeat => {
                let tick = self.simulator.world().tick(&self.reconcile_rule).unwrap();
                self.queue.push(Delivery::new("heartbeat".into(), tick));
                return;
            }
            Act::Status { arn, status } => {
                self.note(&format!("* {} is {status}", arn.rsplit('/').next().unwrap()));
                self.simulator.world().set_execution_status(&arn, status);
                let rng = &mut self.dice(("echo", &arn, status));
                if self.history.echoes && status != "Executing" && status != "Stopping" && rng.bool() {
                    let number = 1000 + self.acts;
                    let at = Duration::from_millis(rng.u64(..300));
                    let step = if rng.bool() { Step::Code } else { Step::StartByHand };
                    self.plan(at, Act::Step(Happening { number, at, step }));
                }
            }
            Act::Step(happening) => self.step(happening),
        }
        self.undisturbed = Instant::now();
    }

    fn step(&mut self, Happening { number, step, .. }: Happening) {
        self.note(&format!("* {step:?}"));
        let hand = if self.in_flight == 0 { Hand::Holds } else { Hand::Contested };
        match step {
            // Code that is not past the stage already waits before a disabled transition, and is superseded by later code.
            Step::Code if self.stage_is_disabled() && self.dice(("waits", number)).bool() => {
                self.waiting = Some(number)
            }
            Step::Code => self.deploy(number),
            Step::Alarm | Step::Alarms | Step::AlarmOnBothRoutes => {
                let alarms = if step == Step::Alarms { &ALARMS[..] } else { &ALARMS[..1] };
                for alarm in alarms {
                    let by_rule = self.simulator.world().drift_alarm(alarm);
                    let Some(event) = by_rule else { continue };
                    if step == Step::AlarmOnBothRoutes {
                        let action = serde_json::json!({ "source": "aws.cloudwatch", "alarmData": event["detail"] });
                        self.send("alarm's action", &action, &format!("action {number}"));
                    }
                    self.send("alarm", &event, &format!("{alarm} {number}"));
                }
            }
            Step::Tick => {
                let tick = self.simulator.world().tick(&self.rules[0]);
                if let Some(event) = tick {
                    self.send("tick", &event, &format!("tick {number}"));
                }
            }
            Step::Action => {
                let job = self.simulator.world().run_action(None).unwrap();
                let id = job["CodePipeline.job"]["id"].as_str().unwrap().to_owned();
                self.send("job", &job, &id);
                self.first_jobs.push(id);
            }
            Step::StartByHand => {
                self.simulator.world().start_execution(None);
            }
            Step::HoldStage => {
                self.simulator.world().operate_stage(STAGE, Some(HOLD));
                self.stage_hand = hand;
            }
            Step::FreeStage => {
                self.simulator.world().operate_stage(STAGE, None);
                self.stage_hand = Hand::Off;
            }
            Step::HoldRule(rule) => {
                let name = &self.rules[rule];
                let mut world = self.simulator.world();
                // A rule that bears the router's tag is the router's: disabling it is no hold.
                let tagged = world.eventbridge.rule(name).unwrap().tags.contains_key(TAG);
                world.operate_rule(name, false);
                if !tagged || hand == Hand::Contested {
                    self.rule_hands[rule] = hand;
                }
            }
            Step::FreeRule(rule) => {
                self.simulator.world().operate_rule(&self.rules[rule], true);
                self.rule_hands[rule] = Hand::Off;
            }
            Step::ReplaceRule(rule) => {
                self.simulator.world().replace_rule(&self.rules[rule]);
                self.rule_hands[rule] = Hand::Off;
            }
        }
    }

    fn stage_is_disabled(&self) -> bool {
        self.simulator.world().codepipeline.stages[1].disabled_reason.is_some()
    }

    fn deploy(&mut self, number: usize) {
        let id = format!("{number:08x}-afff-4465-a5f8-651f1d80bba0");
        let event = self.simulator.world().code_deployed(&id);
        self.send("code", &event, &id);
        self.codes.push(id);
    }

    /// The next event that Lambda invokes the function with: any that is ready, in no order.
    fn next_delivery(&mut self, running: usize) -> Option<Delivery> {
        if running >= self.capacity() {
            return None;
        }
        let now = Instant::now();
        let ready: Vec<usize> = (0..self.queue.len()).filter(|i| self.queue[*i].ready <= now).collect();
        if ready.is_empty() {
            return None;
        }
        let pick = ready[self.dice(("pick", self.invocations)).usize(..ready.len())];
        if running > 0 {
            self.undisturbed = now;
        }
        self.in_flight = running + 1;
        Some(self.queue.remove(pick))
    }

    fn invoke(&mut self, mut delivery: Delivery) -> Pin<Box<dyn Future<Output = Ended>>> {
        self.invocations += 1;
        delivery.tries += 1;
        self.note(&format!("invoke {} (try {})", delivery.name, delivery.tries));
        let mut rng = self.dice(("kill", self.invocations));
        // Once an event, and not in its last try: what kills and faults do three times over is no fault of the router's.
        let kill =
            self.history.lambda != Lambda::Concurrent && !delivery.killed && delivery.tries < 3 && rng.u8(..8) == 0;
        delivery.killed |= kill;
        let polls = if kill { rng.usize(1..80) } else { usize::MAX };
        let settled = self.executions_settled();
        let router = self.router.clone();
        let event = LambdaEvent::new(delivery.event.clone(), self.context.clone());
        let invocation = Mutex::new(Invocation::new(delivery.event.clone()));
        Box::pin(async move {
            let begins = Instant::now();
            let handled = async move {
                match router.handle(event).await {
                    Ok(outcome) => Ok(serde_json::to_value(outcome).unwrap()),
                    Err(error) => Err(error.error_message),
                }
            };
            let handled = Mortal { life: Box::pin(INVOCATION.scope(invocation, handled)), polls }.await;
            (delivery, begins, settled, handled)
        })
    }

    /// Where lists lag, a trigger that races another may find its token taken and not see by whom, so that the try fails. If faults
    /// take the other tries, it is dead; but the retraining that it asked for has been started.
    fn asked_for_what_another_started(&self, delivery: &Delivery) -> bool {
        let world = self.simulator.world();
        let came = world.now().saturating_sub(delivery.since.elapsed() + self.history.lag());
        delivery.refused
            && self.history.lags()
            && !["code", "job"].contains(&delivery.name.as_str())
            && world.sagemaker.executions.iter().any(|e| e.created >= came)
    }

    /// Whether lists and descriptions show what is.
    fn executions_settled(&self) -> bool {
        let world = self.simulator.world();
        let changed = world.sagemaker.executions.iter().map(Execution::changed).max();
        changed.is_none_or(|changed| changed + self.history.lag() <= world.now())
    }

    /// Where invocations race and are killed at once, a rule may end disabled without its tag, and looks like an operator's. The
    /// operator's way out is to enable it. Gives whether there was such a rule.
    fn unstick(&mut self) -> bool {
        let before = self.stuck;
        for (name, hand) in self.rules.iter().zip(self.rule_hands) {
            let mut world = self.simulator.world();
            let rule = world.eventbridge.rule(name).unwrap();
            if hand == Hand::Off && !rule.is_enabled() && !rule.tags.contains_key(TAG) {
                world.operate_rule(name, true);
                self.stuck += 1;
                self.undisturbed = Instant::now();
            }
        }
        self.stuck > before
    }

    fn ended(&mut self, (mut delivery, begins, settled, handled): Ended) -> Result<(), String> {
        if self.history.lambda == Lambda::Both && self.in_flight == 0 && self.unstick() {
            self.note("* an operator enables a rule that is stuck");
        }
        match handled {
            Some(Ok(answer)) => {
                self.note(&format!("answer {} {}", delivery.name, answer["action"]));
                // It has seen the world as it is: then so must the guards be.
                let has_looked = answer["interlock"].is_object();
                if self.in_flight == 0 && self.undisturbed < begins && settled && has_looked {
                    self.check_guards("after an invocation that nothing disturbed")?;
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
                    if self.asked_for_what_another_started(&delivery) {
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
            self.undisturbed = Instant::now();
        }
        Ok(())
    }

    /// Invariant 3, and that no occurrence is served twice, for every execution that has started since the last look.
    fn check_starts(&mut self) -> Result<(), String> {
        let world = self.simulator.world();
        let executions = &world.sagemaker.executions;
        for (index, new) in executions.iter().enumerate().skip(self.executions_seen) {
            let Some(name) = &new.display_name else { continue };
            let earlier = &executions[..index];
            if earlier.iter().any(|e| e.display_name.as_ref() == Some(name)) {
                return Err(format!("two executions are named {name}"));
            }
            if !coalesces(name) {
                continue;
            }
            // Between the router's look and its start others may start: for some seconds, or longer where AWS misbehaves. But
            // triggers that coalesce start nothing beside each other, however close they are.
            let age = Instant::now().duration_since(self.begins);
            let faulty = |(from, to): &(Duration, Duration)| *from <= age && age <= *to + Duration::from_mins(1);
            let faults = self.history.bursts.iter().any(faulty);
            let gap = |e: &Execution| match (faults, e.display_name.as_deref().is_some_and(coalesces)) {
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
            let cooldown = self.history.cooldown.filter(|_| name.starts_with("drift-")).unwrap_or_default();
            let hot = |e: &&Execution| {
                e.created + cooldown > new.created && e.created + gap(e) + self.history.lag() < new.created
            };
            if let Some(hot) = earlier.iter().find(hot) {
                return Err(format!("invariant 3: {name} was started within the cooldown after {}", hot.arn));
            }
        }
        self.executions_seen = executions.len();
        Ok(())
    }

    /// Invariant 2: what an operator disabled is disabled, with the operator's reason.
    fn check_holds(&self) -> Result<(), String> {
        let world = self.simulator.world();
        let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
        if self.stage_hand == Hand::Holds && reason != Some(HOLD) {
            return Err(format!("invariant 2: the operator's hold on the stage is gone: {reason:?}"));
        }
        for (name, hand) in self.rules.iter().zip(self.rule_hands) {
            let rule = world.eventbridge.rule(name).unwrap();
            if hand == Hand::Holds && (rule.is_enabled() || rule.tags.contains_key(TAG)) {
                return Err(format!("invariant 2: the operator's hold on {name} is gone: {rule:?}"));
            }
        }
        Ok(())
    }

    /// Invariants 1, 2 and 5: every guard is as the executions ask, unless an operator holds it.
    fn check_guards(&self, when: &str) -> Result<(), String> {
        self.check_holds()?;
        let world = self.simulator.world();
        let active = world.sagemaker.executions.iter().any(Execution::is_active);
        let invariant = if active { "invariant 5" } else { "invariant 1" };
        let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
        let marked = reason.is_some_and(|reason| reason.starts_with(MARK));
        let held = self.stage_hand != Hand::Off && reason == Some(HOLD);
        if !held && (marked != active || reason.is_some() != active) {
            return Err(format!("{invariant}: {when}, active is {active}, and the stage is disabled for {reason:?}"));
        }
        for (name, hand) in self.rules.iter().zip(self.rule_hands) {
            let rule = world.eventbridge.rule(name).unwrap();
            let tagged = rule.tags.contains_key(TAG);
            let held = hand != Hand::Off && !rule.is_enabled() && !tagged;
            if !held && (rule.is_enabled() == active || tagged != active) {
                return Err(format!("{invariant}: {when}, active is {active}, and rule {name} is {rule:?}"));
            }
        }
        Ok(())
    }
}

/// Whether an execution of this name was started by a trigger that asks only that a retraining runs.
fn coalesces(name: &str) -> bool {
    ["drift-", "schedule-"].iter().any(|trigger| name.starts_with(trigger))
}

fn clock(begins: Instant) -> String {
    let elapsed = begins.elapsed();
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, elapsed.subsec_millis())
}

/// A future that is dropped, as Lambda kills an invocation, when it has been polled so many times.
struct Mortal<F> {
    life: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.life.as_mut().poll(context).map(Some)
    }
}
