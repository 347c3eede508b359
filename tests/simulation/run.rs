//! Runs one history with the real router, and checks the invariants.
//!
//! [`Run`] is its state, and `run_until_quiet` its loop: take what SageMaker and CodePipeline send, check what was started, invoke
//! the function with what is ready, and wait for the next planned thing or the end of an invocation.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use simulator::nyctaxi::SCHEDULE_RULE;
use simulator::time::DAY;
use tokio::time::sleep_until;

use crate::agenda::Planned;
use crate::defect::Defect;
use crate::history::{History, Lambda, Step, StepKind, Weather};
use crate::invocations::Ended;
use crate::marks::OWED_TAG;
use crate::owed::{self, TOLERANCE};
use crate::queue::Queue;
use crate::state::Run;

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
        let trace = run.trace.take();
        match completed {
            Ok(()) => Ok(Completed { trace, stuck: run.stuck }),
            Err(what) => Err(Violation { what, trace }),
        }
    })
}

/// Whether a step sends no event.
fn is_silent(step: &Step) -> bool {
    !matches!(
        step.kind,
        StepKind::Code
            | StepKind::Alarm
            | StepKind::Alarms
            | StepKind::AlarmOnBothRoutes
            | StepKind::Tick
            | StepKind::TickAhead(_)
            | StepKind::Action
            | StepKind::StartByHand
            | StepKind::Ask
            | StepKind::Request(_)
    )
}

impl Run<'_> {
    /// Runs all of the history, then sends heartbeats until all is served, and checks everything.
    async fn run(&mut self) -> Result<(), String> {
        let history = self.history;
        self.run_until_quiet().await?;
        tokio::time::advance(history.outages_end().saturating_sub(self.trace.begins().elapsed())).await;
        // Nothing is planned any more. If something happened that sends no event, one heartbeat follows.
        let lag = history.lag().max(history.guard_read_lag);
        if history.loses_status_events
            || history.weather != Weather::Ordinary
            || !lag.is_zero()
            || history.steps.iter().any(is_silent)
        {
            // Waiting code may then be deployed, or the heartbeat may start what is owed. That execution may end while reads lag.
            while self.heartbeat_changes_something(lag).await? {}
        }
        while history.lambda == Lambda::Both && self.unstick() {
            self.agenda.plan(Duration::ZERO, Planned::Heartbeat);
            self.run_until_quiet().await?;
        }
        // Until all troubles are over, heartbeats serve what they can.
        while self.trace.begins().elapsed() < history.troubles.end() {
            // An execution that it started may end while reads lag, so the last heartbeat has to change nothing.
            while self.heartbeat_changes_something(Duration::from_hours(6)).await? {}
        }
        // A heartbeat may have started an execution whose end no event reports.
        if !history.loses_status_events && history.weather == Weather::Ordinary {
            self.check_guards("at the end")?;
        }
        self.settle().await?;
        self.check_guards("when all is served")?;
        if !self.function.drains {
            self.ticks.check(&self.simulator.world())?;
        }
        self.check_deployments()?;
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
            let drains = self.function.drains;
            if drains || owed::may_start(&world, self.history, world.now()) {
                if let Some(owed) = owed::owed(&world, self.history, world.now()).pop().filter(|_| !drains) {
                    return Err(format!("{}, at the end", owed.what));
                }
                if let Some(tag) = world.eventbridge.rule(SCHEDULE_RULE).unwrap().tags.get(OWED_TAG) {
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
        let seen = |run: &Self| (run.simulator.world().sagemaker.executions.len(), run.requests.codes.len());
        let before = seen(self);
        tokio::time::advance(later).await;
        self.agenda.plan(Duration::ZERO, Planned::Heartbeat);
        self.run_until_quiet().await?;
        Ok(seen(self) != before)
    }

    /// Runs until nothing is planned, queued or in flight.
    async fn run_until_quiet(&mut self) -> Result<(), String> {
        let capacity = Queue::capacity(self.history.lambda);
        let mut running: FuturesUnordered<Pin<Box<dyn Future<Output = Ended>>>> = FuturesUnordered::new();
        loop {
            self.take_events();
            self.check_starts()?;
            if !self.stage_is_disabled()
                && let Some(number) = self.requests.waiting.take()
            {
                self.trace.note("* the code that waited is deployed");
                self.deploy(number);
            }
            while running.len() < capacity
                && let Some(delivery) = self.next_delivery(running.len())
            {
                running.push(Box::pin(self.invoke(delivery)));
            }
            let next_delivery = self.queue.next().filter(|_| running.len() < capacity);
            let wake = self.agenda.next().into_iter().chain(next_delivery).min();
            if wake.is_none() && running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(ended) = running.next() => {
                    self.queue.in_flight = running.len();
                    self.take_events();
                    self.check_starts()?;
                    self.ended(ended)?;
                }
                () = self.starts.notify.notified() => {}
                () = sleep_until(wake.unwrap_or(self.trace.begins())), if wake.is_some() => {
                    if let Some(planned) = self.agenda.take_due() {
                        self.happen(planned);
                    }
                }
            }
        }
    }
}
