//! The cases: two events, and the state of the project when they come.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::cloudwatch::AlarmKind;
use simulator::nyctaxi::{ALARM, SAGEMAKER_PIPELINE, STAGE, STAGING_ALARM};
use simulator::sagemaker::{Execution, ReusedToken};
use simulator::samples::{sample_event, sample_with, status_event};
use simulator::{Project, Simulator, Time, sets_guard};
use tokio::time::advance;

use crate::gate::{Invocation, Order, Terms, Trace};
use crate::marks::{HOLD, OWED_TAG};

const ALARMS: [&str; 2] = [ALARM, STAGING_ALARM];

/// An event, and the situation when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// New code is deployed.
    Deployment,
    /// Other code is deployed.
    OtherDeployment,
    /// A drift alarm goes off.
    Drift,
    /// Another drift alarm goes off, one on a query of logs.
    OtherDrift,
    /// The schedule ticks.
    Tick,
    /// The schedule ticks again. The event's time is an hour ahead of the clock.
    OtherTick,
    /// An execution runs: the one that runs already, or one that a person starts.
    Executing,
    /// The last execution has ended.
    Ended,
    /// The heartbeat, and nothing is owed.
    Heartbeat,
    /// The heartbeat, and the event of a deployment was lost.
    CatchUpDeployment,
    /// The heartbeat, and the event of a drift alarm was lost.
    CatchUpDrift,
    /// The heartbeat, and a tick was deferred.
    CatchUpTick,
    /// An action of the CodePipeline requests a retraining.
    Job,
    /// Another action requests one.
    OtherJob,
    /// The next job of the action that waits for the last execution.
    Continuation,
    /// Somebody asks for a retraining.
    Request,
    /// Somebody asks for one, whatever runs.
    ForcedRequest,
    /// Somebody asks for the status.
    Status,
}

impl Event {
    /// Every kind of event.
    pub const ALL: [Self; 13] = [
        Self::Deployment,
        Self::Drift,
        Self::Tick,
        Self::Executing,
        Self::Ended,
        Self::Heartbeat,
        Self::CatchUpDeployment,
        Self::CatchUpDrift,
        Self::CatchUpTick,
        Self::Job,
        Self::Continuation,
        Self::Request,
        Self::Status,
    ];

    /// The same kind of event about something else. A pair of two equal events is the same event, delivered twice.
    fn other(self) -> Option<Self> {
        match self {
            Self::Deployment => Some(Self::OtherDeployment),
            Self::Drift => Some(Self::OtherDrift),
            Self::Tick => Some(Self::OtherTick),
            Self::Job => Some(Self::OtherJob),
            Self::Request => Some(Self::ForcedRequest),
            _ => None,
        }
    }

    fn is_of_action(self) -> bool {
        matches!(self, Self::Job | Self::OtherJob | Self::Continuation)
    }

    /// Heartbeats differ only in what was lost before them. So two heartbeats make one pair, in one order.
    fn heartbeat_number(self) -> Option<usize> {
        [Self::Heartbeat, Self::CatchUpDeployment, Self::CatchUpDrift, Self::CatchUpTick]
            .iter()
            .position(|e| *e == self)
    }

    /// Every ordered pair of events that differs from the others. A pair's second event happens last.
    pub fn pairs() -> Vec<Vec<Self>> {
        let crossed = Self::ALL.iter().flat_map(|first| Self::ALL.map(|second| [*first, second]));
        let others = Self::ALL.iter().filter_map(|first| Some([*first, first.other()?]));
        let is_new = |[first, second]: &[Self; 2]| match (first.heartbeat_number(), second.heartbeat_number()) {
            (Some(0), Some(0)) => true,
            (Some(first), Some(second)) => first < second,
            _ => true,
        };
        // If deployments come by actions, no heartbeat looks for a deployment.
        let is_vacuous =
            |pair: &[Self; 2]| pair.contains(&Self::CatchUpDeployment) && pair.iter().any(|event| event.is_of_action());
        crossed.chain(others).filter(is_new).filter(|pair| !is_vacuous(pair)).map(Vec::from).collect()
    }
}

/// The state of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing has run yet.
    New,
    /// An execution has ended, and the guards are released.
    Idle,
    /// An execution runs, and the guards are engaged.
    Engaged,
    /// The execution has ended, and the guards are still engaged.
    Ended,
    /// An execution runs. The invocation that engaged the guards was killed after this number of its five writes.
    HalfEngaged(usize),
    /// The execution has ended. The invocation that released the guards was killed after this number of its five writes.
    HalfReleased(usize),
    /// Like `Idle`, but an operator holds the stage and the schedule rule.
    Held,
    /// Like `Idle`, but much asks for nothing: a deployment that a rollback has cancelled, 150 executions of the CodePipeline that
    /// failed since, and alarms in ALARM whose actions are disabled, suppressed or muted.
    Cluttered,
    /// Like `Engaged`, but an operator has held the stage and the schedule rule since before the execution.
    HeldWhileRunning,
}

impl Start {
    pub const SOME: [Self; 2] = [Self::Engaged, Self::Ended];

    /// One of each kind.
    pub const MAIN: [Self; 7] = [
        Self::Idle,
        Self::Engaged,
        Self::Ended,
        Self::HalfEngaged(2),
        Self::HalfReleased(2),
        Self::Held,
        Self::Cluttered,
    ];

    pub const ALL: [Self; 15] = [
        Self::New,
        Self::Idle,
        Self::Engaged,
        Self::Ended,
        Self::HalfEngaged(1),
        Self::HalfEngaged(2),
        Self::HalfEngaged(3),
        Self::HalfEngaged(4),
        Self::HalfReleased(1),
        Self::HalfReleased(2),
        Self::HalfReleased(3),
        Self::HalfReleased(4),
        Self::Held,
        Self::Cluttered,
        Self::HeldWhileRunning,
    ];

    pub fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::HeldWhileRunning)
    }
}

/// A state, and the events that come in it.
#[derive(Clone, Debug)]
pub struct Case {
    pub start: Start,
    pub events: Vec<Event>,
    pub reused_token: ReusedToken,
}

impl Case {
    /// Whether the events can come in the state.
    pub fn is_possible(&self) -> bool {
        self.start != Start::New || !self.events.contains(&Event::Continuation)
    }
}

/// A case that is ready to run. Copies of its simulator start at the time of the events.
#[derive(Debug)]
pub struct Prepared {
    pub simulator: Simulator,
    pub events: Vec<Value>,
    pub heartbeat: Value,
    pub variables: &'static [(&'static str, &'static str)],
    /// How many executions there were.
    pub executions: usize,
    /// Whether one was active.
    pub was_active: bool,
    /// The display names of the executions that must exist at the end, one execution for each name.
    pub must_exist: Vec<String>,
    /// The prefixes of the display names of the executions that may start.
    pub may_start: Vec<String>,
    /// Each event that needs a retraining, and when it happened.
    pub asks: Vec<(Event, Time)>,
    /// The ids of the jobs that are delivered.
    pub jobs: Vec<String>,
}

/// The alarms that ask for nothing exist only in the state `Cluttered`.
const LISTED: &str = "sagemaker-nyctaxi-prod-threshold,sagemaker-nyctaxi-staging-threshold,off,suppressed,muted";

const WITH_EVENTS: &[(&str, &str)] =
    &[("DRIFT_ALARM_NAMES", LISTED), ("DRIFT_COOLDOWN", "10m"), ("CATCH_UP_PER_DAY", "100")];

const WITH_ACTIONS: &[(&str, &str)] = &[
    ("DRIFT_ALARM_NAMES", LISTED),
    ("DRIFT_COOLDOWN", "10m"),
    ("CATCH_UP_PER_DAY", "100"),
    ("DEPLOYMENT_TRIGGER", "action"),
];

/// Builds the state that the case describes.
pub async fn prepare(case: &Case) -> Prepared {
    let mut scene = Scene::new(case);
    scene.begin().await;
    advance(Duration::from_mins(14)).await;
    for event in &case.events {
        scene.lose_event(*event);
    }
    advance(Duration::from_mins(6)).await;
    scene.reach_start().await;
    let mut events: Vec<Value> = Vec::new();
    for (index, event) in case.events.iter().enumerate() {
        advance(Duration::from_mins(1)).await;
        // The same event, delivered twice.
        let payload = match case.events[..index].contains(event) {
            true => events[0].clone(),
            false => scene.happen(*event),
        };
        events.push(payload);
    }
    scene.prepared(events)
}

struct Scene<'c> {
    case: &'c Case,
    project: Project,
    simulator: Simulator,
    variables: &'static [(&'static str, &'static str)],
    /// The last execution.
    last: Option<String>,
    continuation: Option<Value>,
    must_exist: Vec<String>,
    may_start: Vec<String>,
    asks: Vec<(Event, Time)>,
}

impl<'c> Scene<'c> {
    fn new(case: &'c Case) -> Self {
        let project = Project::nyctaxi();
        let simulator = Simulator::new(&project);
        {
            let mut world = simulator.world();
            world.sagemaker.reused_token = case.reused_token;
            // Late events still come through a rule that was disabled.
            world.eventbridge.delay = Duration::from_hours(100);
            for alarm in ALARMS {
                world.change_alarm(alarm, "OK");
            }
        }
        let has_actions = case.events.iter().any(|event| event.is_of_action());
        let variables = if has_actions { WITH_ACTIONS } else { WITH_EVENTS };
        let (must_exist, may_start, asks) = (vec![], vec![], vec![]);
        Self { case, project, simulator, variables, last: None, continuation: None, must_exist, may_start, asks }
    }

    /// An execution starts, and the guards are engaged. In the states idle, half engaged and held, it then ends and they are released.
    async fn begin(&mut self) {
        if self.case.start == Start::New {
            return;
        }
        if self.case.start == Start::HeldWhileRunning {
            self.hold();
        }
        if self.case.events.contains(&Event::Continuation) {
            let job = self.simulator.world().run_action(None).unwrap();
            self.handle(&job).await;
            self.continuation = Some(self.simulator.world().next_job().unwrap());
        } else {
            self.simulator.world().start_execution(None);
        }
        self.last = self.simulator.world().sagemaker.executions.last().map(|e| e.arn.clone());
        let event = self.status_event();
        self.handle(&event).await;
        if matches!(self.case.start, Start::Idle | Start::HalfEngaged(_) | Start::Held | Start::Cluttered) {
            advance(Duration::from_mins(5)).await;
            let ended = self.set_status("Succeeded");
            self.handle(&ended).await;
        }
        if self.case.start == Start::Cluttered {
            // So the execution does not serve what happens now.
            advance(Duration::from_mins(10)).await;
            self.simulator.world().code_deployed("restored");
            self.simulator.world().code_deployed("cancelled");
            advance(Duration::from_mins(1)).await;
            self.clutter();
        }
    }

    fn clutter(&self) {
        let mut world = self.simulator.world();
        world.code_rolled_back("rollback");
        for number in 0..150 {
            world.end_code_pipeline(&format!("failed-{number}"), "Failed");
        }
        for alarm in ["off", "suppressed", "muted"] {
            world.change_alarm(alarm, "ALARM");
        }
        world.cloudwatch.alarm_mut("off").has_actions = false;
        world.cloudwatch.alarm_mut("suppressed").kind = AlarmKind::Composite;
        world.cloudwatch.alarm_mut("suppressed").suppressed_by = Some("WaitPeriod".to_owned());
        world.cloudwatch.alarm_mut("muted").is_muted = true;
    }

    /// Something happens, and its event is lost.
    fn lose_event(&mut self, event: Event) {
        let mut world = self.simulator.world();
        match event {
            Event::CatchUpDeployment => {
                self.may_start.push("code-lost-deployment".to_owned());
                world.code_deployed("lost-deployment");
            }
            Event::CatchUpDrift => {
                self.may_start.push(format!("drift-{}-", ALARMS[0]));
                world.change_alarm(ALARMS[0], "ALARM");
            }
            Event::CatchUpTick => {
                self.may_start.push(format!("schedule-{}-", self.project.schedule_rule));
                let time = humantime_of(world.now());
                world.tag_rule(&self.project.schedule_rule, OWED_TAG, Some(&format!("{SAGEMAKER_PIPELINE}/{time}")));
            }
            _ => return,
        }
        self.asks.push((event, world.now()));
    }

    async fn reach_start(&mut self) {
        match self.case.start {
            Start::New | Start::Idle | Start::Engaged | Start::HeldWhileRunning | Start::Cluttered => {}
            Start::Ended => drop(self.set_status("Succeeded")),
            Start::HalfEngaged(writes) => {
                // The execution is retried.
                let event = self.set_status("Executing");
                self.kill_after_writes(&event, writes).await;
            }
            Start::HalfReleased(writes) => {
                let event = self.set_status("Succeeded");
                self.kill_after_writes(&event, writes).await;
            }
            Start::Held => self.hold(),
        }
    }

    /// Changes the simulator as the event reports, and returns the event.
    fn happen(&mut self, event: Event) -> Value {
        let now = self.simulator.world().now();
        let schedule_rule = &self.project.schedule_rule;
        match event {
            Event::Deployment | Event::OtherDeployment => {
                let id = format!("deployment-{event:?}").to_lowercase();
                if self.variables == WITH_EVENTS {
                    self.must_exist.push(format!("code-{id}"));
                    self.may_start.push(format!("code-{id}"));
                    self.asks.push((event, now));
                }
                self.simulator.world().code_deployed(&id)
            }
            Event::Drift | Event::OtherDrift => {
                self.asks.push((event, now));
                let mut world = self.simulator.world();
                // The first alarm may be in ALARM already, because its event was lost. So it changes to OK and to ALARM again.
                let alarm = ALARMS[usize::from(event == Event::OtherDrift)];
                self.may_start.push(format!("drift-{alarm}-"));
                world.change_alarm(alarm, "OK");
                if event == Event::OtherDrift {
                    world.cloudwatch.alarm_mut(alarm).kind = AlarmKind::Log;
                }
                world.change_alarm(alarm, "ALARM").unwrap()
            }
            Event::Tick | Event::OtherTick => {
                self.asks.push((event, now));
                self.may_start.push(format!("schedule-{schedule_rule}-"));
                let mut tick = self.simulator.world().tick(schedule_rule).unwrap();
                if event == Event::OtherTick {
                    tick["time"] = humantime_of(now + Duration::from_hours(1)).into();
                }
                tick
            }
            Event::Executing => {
                if !self.is_active() {
                    self.last = Some(self.simulator.world().start_execution(None));
                }
                self.status_event()
            }
            Event::Ended => {
                if self.is_active() {
                    return self.set_status("Succeeded");
                }
                match &self.last {
                    Some(_) => self.status_event(),
                    None => {
                        self.last = Some(self.simulator.world().start_execution(None));
                        self.set_status("Succeeded")
                    }
                }
            }
            Event::Heartbeat | Event::CatchUpDeployment | Event::CatchUpDrift | Event::CatchUpTick => {
                self.simulator.world().tick(&self.project.heartbeat_rule).unwrap()
            }
            Event::Job | Event::OtherJob => {
                let job = self.simulator.world().run_action(None).unwrap();
                let id = job["CodePipeline.job"]["id"].as_str().unwrap();
                self.must_exist.push(format!("job-{id}"));
                self.may_start.push(format!("job-{id}"));
                job
            }
            Event::Continuation => self.continuation.clone().unwrap(),
            Event::Request | Event::ForcedRequest => {
                let is_forced = event == Event::ForcedRequest;
                let id = if is_forced { "forced" } else { "not-forced" };
                self.may_start.push(format!("request-{id}"));
                if is_forced {
                    self.must_exist.push(format!("request-{id}"));
                }
                sample_with("retrain", &[("/detail", json!({ "id": id, "force": is_forced }))])
            }
            Event::Status => sample_event("status"),
        }
    }

    fn prepared(self, events: Vec<Value>) -> Prepared {
        let mut world = self.simulator.world();
        let heartbeat = world.tick(&self.project.heartbeat_rule).unwrap();
        let was_active = world.sagemaker.executions.iter().any(Execution::is_active);
        let executions = world.sagemaker.executions.len();
        drop(world);
        let Self { simulator, variables, must_exist, may_start, asks, .. } = self;
        let simulator = simulator.copy();
        let jobs = events.iter().filter_map(|event| event["CodePipeline.job"]["id"].as_str());
        let jobs = jobs.map(str::to_owned).collect();
        Prepared { simulator, events, heartbeat, variables, executions, was_active, must_exist, may_start, asks, jobs }
    }

    fn hold(&self) {
        let mut world = self.simulator.world();
        world.operate_stage(STAGE, Some(HOLD));
        world.operate_rule(&self.project.schedule_rule, false);
    }

    fn is_active(&self) -> bool {
        self.simulator.world().sagemaker.executions.iter().any(Execution::is_active)
    }

    /// The event of the last execution's status.
    fn status_event(&self) -> Value {
        let world = self.simulator.world();
        let last = world.sagemaker.executions.iter().find(|e| Some(&e.arn) == self.last.as_ref()).unwrap();
        status_event(&last.arn, last.status())
    }

    fn set_status(&self, status: &str) -> Value {
        self.simulator.world().set_execution_status(self.last.as_ref().unwrap(), status);
        self.status_event()
    }

    fn invocation(&self, event: &Value) -> Invocation {
        let terms = Terms { order: Order::OldestFirst, defect: None, variables: self.variables };
        Invocation::new("before", event, &self.simulator, terms, &Trace::default())
    }

    async fn handle(&self, event: &Value) {
        self.invocation(event).finish().await.unwrap();
    }

    async fn kill_after_writes(&self, event: &Value, writes: usize) {
        let mut invocation = self.invocation(event);
        let before = self.writes();
        while self.writes() < before + writes {
            assert_eq!(invocation.make_calls(1).await, 1, "it makes more writes than this");
        }
    }

    fn writes(&self) -> usize {
        self.simulator.world().calls.iter().filter(|call| sets_guard(&call.operation)).count()
    }
}

fn humantime_of(time: Time) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + time).to_string()
}
