//! Systematic crossings. In states of the project, every pair of events runs with every placement of the switches between the two
//! invocations' calls. One invocation is also killed at every possible point.
//!
//! The router and the SDK clients are the real ones. A schedule states how many calls each invocation makes before the other one
//! continues. When both have ended, a heartbeat follows, and the invariants of ARCHITECTURE.md are checked.
//!
//! `SWITCHES=2` sets the number of switches of a schedule, besides the one at an invocation's end. The default is one.
//! Without `CROSSINGS`, two states are run. `CROSSINGS=main` runs one state of each kind. `CROSSINGS=all` runs all states, both
//! behaviours of a reused token, and both orders of calls that are made at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

#[path = "../common/marks.rs"]
mod marks;
#[path = "../common/parallel.rs"]
mod parallel;

mod case;
mod check;
mod gate;

use std::time::Duration;

use simulator::Simulator;
use simulator::sagemaker::ReusedToken;
use tokio::time::advance;

use crate::case::{Case, Event, Prepared, Start, prepare};
use crate::check::{check, check_asks, check_guards, check_starts, check_tag};
use crate::gate::{Answer, Defect, Invocation, Order, Terms, Trace};
use crate::parallel::on_all_cores;

/// How often Lambda tries an event.
const TRIES: usize = 3;

/// A case, and how its invocations make their calls.
#[derive(Debug)]
struct Plan<'c> {
    case: &'c Case,
    prepared: &'c Prepared,
    terms: Terms,
    simulator: Simulator,
    trace: Trace,
}

impl<'c> Plan<'c> {
    /// A plan at its beginning, with its own simulator.
    fn new(case: &'c Case, prepared: &'c Prepared, terms: Terms) -> Self {
        // Other schedules have moved the clock, so it starts again at the time of the events.
        prepared.simulator.world().restart();
        let simulator = prepared.simulator.copy();
        Self { case, prepared, terms, simulator, trace: Trace::default() }
    }

    fn invocation(&self, name: &'static str, event: usize) -> Invocation {
        Invocation::new(name, &self.prepared.events[event], &self.simulator, self.terms, &self.trace)
    }

    /// Tries a failed event again, as Lambda does.
    async fn retried(&self, name: &'static str, event: usize, mut answer: Answer, tries: usize) -> Answer {
        for _ in tries..TRIES {
            if answer.is_ok() {
                break;
            }
            advance(Duration::from_mins(1)).await;
            answer = self.invocation(name, event).finish().await;
        }
        answer
    }

    /// Sends a heartbeat after this time.
    async fn heartbeat(&self, later: Duration) -> Result<(), String> {
        advance(later).await;
        let event = &self.prepared.heartbeat;
        let heartbeat = Invocation::new("heartbeat", event, &self.simulator, self.terms, &self.trace);
        heartbeat.finish().await.map(drop).map_err(|error| format!("the heartbeat failed: {error}"))
    }

    /// Checks the invariants when both invocations have ended, and again after a heartbeat. If an event had to wait for an
    /// execution, also checks that it is served afterwards.
    async fn check(&self, answers: &[Answer]) -> Result<(), String> {
        let Self { case, prepared, simulator, .. } = self;
        if let Some(Err(error)) = answers.iter().find(|answer| answer.is_err()) {
            return Err(format!("invariant 6: an event failed three times: {error}"));
        }
        // The router observes nothing for an event that is ignored.
        if answers.iter().flatten().any(|answer| answer["interlock"].is_object()) {
            check_guards(case, &simulator.world())?;
        }
        self.heartbeat(Duration::from_mins(1)).await?;
        check(case, prepared, &simulator.world())?;
        let waits = prepared.was_active || check_tag(&simulator.world()).is_err();
        if waits { self.check_later().await } else { Ok(()) }
    }

    /// Checks that every event that needs a retraining is served when all executions have ended and the cooldown is over.
    async fn check_later(&self) -> Result<(), String> {
        let Self { case, prepared, simulator, .. } = self;
        if prepared.asks.is_empty() {
            return Ok(());
        }
        {
            let mut world = simulator.world();
            let active = world.sagemaker.executions.iter().filter(|e| e.is_active());
            for arn in active.map(|e| e.arn.clone()).collect::<Vec<_>>() {
                world.set_execution_status(&arn, "Succeeded");
            }
        }
        self.heartbeat(Duration::from_mins(11)).await?;
        check_guards(case, &simulator.world())?;
        check_asks(case, prepared, &simulator.world())?;
        // The execution that was started may also serve a tick. The next heartbeat removes the tag.
        if check_tag(&simulator.world()).is_ok() {
            return Ok(());
        }
        self.heartbeat(Duration::from_mins(1)).await?;
        check_guards(case, &simulator.world())?;
        check_tag(&simulator.world())
    }

    /// Checks the invariants if the event was lost when its only invocation was killed.
    async fn check_loss(&self) -> Result<(), String> {
        let Self { case, prepared, simulator, .. } = self;
        self.heartbeat(Duration::from_mins(1)).await?;
        check_guards(case, &simulator.world())?;
        check_starts(prepared, &simulator.world())?;
        // No heartbeat finds a tick whose event was lost.
        match case.events[0] {
            Event::Tick => Ok(()),
            _ => self.check_later().await,
        }
    }

    fn violation(&self, what: &str, schedule: &str) -> String {
        let trace = self.trace.lock().unwrap().join("\n  ");
        let Plan { case, terms, .. } = self;
        format!("{what}\n{case:?}\n{:?}, {schedule}\n  {trace}", terms.order)
    }
}

/// Runs the two invocations of a case in turns, with the numbers of calls in `turns`, and then runs both to their ends. Returns
/// the number of turns that did not end their invocation.
async fn cross(plan: &Plan<'_>, turns: &[usize]) -> Result<usize, String> {
    const NAMES: [&str; 2] = ["first", "second"];
    let mut invocations = [0, 1].map(|event| plan.invocation(NAMES[event], event));
    let mut unended = 0;
    for calls in turns {
        let invocation = &mut invocations[unended % 2];
        invocation.make_calls(*calls).await;
        if invocation.has_ended() {
            break;
        }
        unended += 1;
    }
    let next = unended % 2;
    let mut answers = [None, None];
    let mut invocations = invocations.map(Some);
    for event in [next, 1 - next] {
        answers[event] = Some(invocations[event].take().unwrap().finish().await);
    }
    let mut retried = Vec::new();
    for (event, answer) in answers.into_iter().enumerate() {
        retried.push(plan.retried(NAMES[event], event, answer.unwrap(), 1).await);
    }
    let checked = plan.check(&retried).await;
    checked.map(|()| unended).map_err(|what| plan.violation(&what, &format!("turns {turns:?}")))
}

/// Runs a case with every placement of `switches` switches. The first switch may come before the first call. Returns the number of
/// schedules.
async fn cross_everywhere(case: &Case, terms: Terms, switches: usize) -> Result<usize, String> {
    let prepared = prepare(case).await;
    let terms = Terms { variables: prepared.variables, ..terms };
    let mut schedules = 0;
    let mut turns = vec![1; switches];
    turns[0] = 0;
    loop {
        let unended = cross(&Plan::new(case, &prepared, terms), &turns).await?;
        schedules += 1;
        // The next schedule: one more call in the last turn that did not end its invocation.
        let Some(last) = unended.checked_sub(1) else { return Ok(schedules) };
        turns.truncate(last + 1);
        turns[last] += 1;
        turns.resize(switches, 1);
    }
}

/// Kills an invocation after every number of calls. The last call has taken effect, and the next one is not made. The event is
/// tried again or lost, and a heartbeat follows. Returns the number of schedules.
async fn kill_everywhere(case: &Case, terms: Terms) -> Result<usize, String> {
    let prepared = prepare(case).await;
    let terms = Terms { variables: prepared.variables, ..terms };
    let mut schedules = 0;
    for calls in 0.. {
        for is_lost in [false, true] {
            let plan = Plan::new(case, &prepared, terms);
            let mut invocation = plan.invocation("killed", 0);
            invocation.make_calls(calls).await;
            if invocation.has_ended() {
                return Ok(schedules);
            }
            drop(invocation);
            let checked = match is_lost {
                true => plan.check_loss().await,
                false => {
                    let answer = plan.retried("retried", 0, Err("killed".to_owned()), 1).await;
                    plan.check(&[answer]).await
                }
            };
            schedules += 1;
            checked.map_err(|what| plan.violation(&what, &format!("killed after {calls} calls, lost: {is_lost}")))?;
        }
    }
    Ok(schedules)
}

/// How many states, tokens and orders are explored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Some,
    Main,
    All,
}

fn scope() -> Scope {
    match std::env::var("CROSSINGS").as_deref() {
        Ok("all") => Scope::All,
        Ok("main") => Scope::Main,
        Ok(other) => panic!("CROSSINGS is {other:?}, not main or all"),
        Err(_) => Scope::Some,
    }
}

/// These events in every state of the scope.
fn cases(events: &[Vec<Event>]) -> Vec<Case> {
    let (states, tokens) = match scope() {
        Scope::Some => (&Start::SOME[..], &[ReusedToken::SameExecution][..]),
        Scope::Main => (&Start::MAIN[..], &[ReusedToken::SameExecution][..]),
        Scope::All => (&Start::ALL[..], &[ReusedToken::SameExecution, ReusedToken::RefusedForGood][..]),
    };
    cases_in(states, tokens, events)
}

fn cases_in(states: &[Start], tokens: &[ReusedToken], events: &[Vec<Event>]) -> Vec<Case> {
    let mut cases = Vec::new();
    for events in events {
        for start in states {
            let case = |reused_token: &ReusedToken| Case {
                start: *start,
                events: events.clone(),
                reused_token: *reused_token,
            };
            cases.extend(tokens.iter().map(case).filter(Case::is_possible));
        }
    }
    cases
}

/// Explores all cases on all cores. Returns the number of schedules, or the violation of the first case that has one.
fn explore(cases: &[Case], explore_case: impl AsyncFn(&Case) -> Result<usize, String> + Sync) -> Result<usize, String> {
    on_all_cores("cases", 0..cases.len() as u64, |number| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(explore_case(&cases[usize::try_from(number).unwrap()]))
    })
}

fn switches() -> usize {
    let switches = std::env::var("SWITCHES").map_or(1, |n| n.parse().expect("SWITCHES is a number"));
    assert!(switches > 0, "SWITCHES must be at least 1");
    switches
}

fn orders() -> &'static [Order] {
    const ORDERS: [Order; 2] = [Order::OldestFirst, Order::NewestFirst];
    if scope() == Scope::All { &ORDERS } else { &ORDERS[..1] }
}

fn terms(order: Order, defect: Option<Defect>) -> Terms {
    Terms { order, defect, variables: &[] }
}

#[test]
fn every_crossing_of_two_events_keeps_the_invariants() {
    let switches = switches();
    for order in orders() {
        let cases = cases(&Event::pairs());
        let explored = explore(&cases, async |case| cross_everywhere(case, terms(*order, None), switches).await);
        let schedules = explored.unwrap_or_else(|violation| panic!("{violation}"));
        println!("{order:?}: {schedules} schedules with {switches} switches, in {} cases", cases.len());
    }
}

#[test]
fn every_kill_point_of_every_event_keeps_the_invariants() {
    for order in orders() {
        let cases = cases(&Event::ALL.map(|event| vec![event]));
        let explored = explore(&cases, async |case| kill_everywhere(case, terms(*order, None)).await);
        let schedules = explored.unwrap_or_else(|violation| panic!("{violation}"));
        println!("{order:?}: {schedules} schedules with a kill, in {} cases", cases.len());
    }
}

#[test]
fn every_defect_is_found() {
    for (defect, events, expected) in [
        (Defect::TokenOfTheEvent, vec![Event::Drift, Event::Tick], "were started beside each other"),
        (Defect::ForgetsItsOwnWrites, vec![Event::Deployment, Event::Ended], "and rule"),
        (Defect::DoesNotLookAgain, vec![Event::Heartbeat, Event::Deployment], "active is true, and"),
        (Defect::TagsAfterDisabling, vec![Event::Deployment], "active is true, and rule"),
    ] {
        let terms = terms(Order::OldestFirst, Some(defect));
        let is_crossing = events.len() == 2;
        let cases = cases_in(&Start::MAIN, &[ReusedToken::SameExecution], &[events]);
        let found = match is_crossing {
            true => explore(&cases, async |case| cross_everywhere(case, terms, 2).await),
            false => explore(&cases, async |case| kill_everywhere(case, terms).await),
        };
        let violation = found.expect_err("the defect violates an invariant");
        assert!(violation.contains(expected), "{violation}");
    }
}
