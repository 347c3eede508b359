//! The state of a run: the simulated AWS, the function under test, what is planned, and what the checks have to know.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use simulator::{Project, Simulator, Time};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::agenda::{Agenda, Planned};
use crate::defect::Defect;
use crate::function::Function;
use crate::history::{History, rng_for};
use crate::holds::Holds;
use crate::queue::Queue;
use crate::ticks::Ticks;
use crate::trace::Trace;
use crate::wire::Wire;
use crate::world::simulate;

/// One history while it runs. `run.rs` drives it; `steps.rs`, `invocations.rs` and `check.rs` have its other methods.
pub struct Run<'h> {
    pub history: &'h History,
    pub simulator: Simulator,
    pub function: Function,
    pub agenda: Agenda,
    pub queue: Queue,
    pub holds: Holds,
    pub ticks: Ticks,
    pub requests: Requests,
    pub starts: Starts,
    pub changes: Changes,
    /// How often an operator had to enable a rule that was disabled without its tag.
    pub stuck: usize,
    pub trace: Trace,
}

/// What needs an execution of its own.
#[derive(Default)]
pub struct Requests {
    /// The deployments.
    pub codes: Vec<String>,
    /// The id of every action's first job.
    pub first_jobs: Vec<String>,
    /// Whether the request of this id is forced.
    pub by_people: BTreeMap<String, bool>,
    /// New code that waits before the stage.
    pub waiting: Option<usize>,
}

/// The executions that were started.
pub struct Starts {
    /// Notified at each of them.
    pub notify: Arc<Notify>,
    /// By execution: whether a heartbeat started it.
    by_heartbeat: Arc<Mutex<BTreeMap<String, bool>>>,
    /// How many are checked.
    pub checked: usize,
}

impl Starts {
    pub fn is_by_heartbeat(&self, arn: &str) -> bool {
        self.by_heartbeat.lock().unwrap().get(arn).copied().unwrap_or_default()
    }
}

/// When something last changed.
pub struct Changes {
    /// When something other than the running invocation last changed the world, or when another invocation ran at the same time.
    pub last: Instant,
    /// When an alarm's state, mutes or suppression last changed.
    pub alarms: Time,
    /// Whether the SageMaker pipeline was deleted and made again.
    pub was_remade: bool,
    /// When SageMaker was last known to be at its limit.
    pub limited: Option<Instant>,
}

impl<'h> Run<'h> {
    /// Builds the world and the function, and plans the history's steps and heartbeats.
    pub fn new(history: &'h History, defect: Option<Defect>) -> Self {
        // The SDK keeps one retry quota for each region, so every history has its own region.
        let project = Project { region: format!("us-sim-{}", history.seed), ..Project::nyctaxi() };
        let trace = Trace::begin();
        let notify = Arc::new(Notify::new());
        let simulator = simulate(history, &project, &trace, &notify);
        let wire = Wire::new(simulator.clone(), history, trace.begins(), defect);
        let by_heartbeat = wire.by_heartbeat.clone();
        let mut run = Self {
            history,
            function: Function::new(history, &project, &simulator, wire),
            simulator,
            agenda: Agenda::default(),
            queue: Queue::default(),
            holds: Holds::none(),
            ticks: Ticks::default(),
            requests: Requests::default(),
            starts: Starts { notify, by_heartbeat, checked: 0 },
            changes: Changes { last: trace.begins(), alarms: Time::ZERO, was_remade: false, limited: None },
            stuck: 0,
            trace,
        };
        for step in &history.steps {
            run.agenda.plan(step.at, Planned::Step(*step));
        }
        if let Some(period) = history.heartbeat {
            let last = history.steps.last().map_or(Duration::ZERO, |h| h.at);
            let mut at = period;
            // The last events may be hours late.
            while at < last + Duration::from_hours(10) {
                run.agenda.plan(at, Planned::Heartbeat);
                at += period;
            }
        }
        run
    }

    /// The generator of a choice of this name.
    pub fn rng_for(&self, name: impl Debug) -> Rng {
        rng_for(self.history.seed, name)
    }

    /// Something other than an invocation changes the world.
    pub fn disturb(&mut self) {
        self.changes.last = Instant::now();
    }

    pub fn stage_is_disabled(&self) -> bool {
        self.simulator.world().codepipeline.stages[1].disabled_reason.is_some()
    }
}
