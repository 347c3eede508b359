//! Lambda's queue of events for the function.

use fastrand::Rng;
use serde_json::Value;
use tokio::time::Instant;

use crate::history::Lambda;

/// An event in Lambda's queue.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub event: Value,
    pub name: String,
    /// How often it has been tried.
    pub tries: usize,
    pub killed: bool,
    /// Whether another trigger had already used the token of a try.
    pub refused: bool,
    /// Whether the start of a try returned an execution that does not exist.
    pub found_none: bool,
    /// Whether the router drains in this try.
    pub drains: bool,
    /// When it first came.
    pub since: Instant,
    pub ready: Instant,
}

impl Delivery {
    pub fn new(name: String, event: Value) -> Self {
        let now = Instant::now();
        Self {
            event,
            name,
            tries: 0,
            killed: false,
            refused: false,
            found_none: false,
            drains: false,
            since: now,
            ready: now,
        }
    }
}

/// Lambda's queue, and the invocations that it has begun.
#[derive(Default)]
pub struct Queue {
    waiting: Vec<Delivery>,
    /// How many invocations run.
    pub in_flight: usize,
    /// How many have begun.
    pub invocations: usize,
}

impl Queue {
    /// How many invocations run at once.
    pub fn capacity(lambda: Lambda) -> usize {
        if lambda == Lambda::Killed { 1 } else { 4 }
    }

    pub fn push(&mut self, delivery: Delivery) {
        self.waiting.push(delivery);
    }

    /// When the next event is ready.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|delivery| delivery.ready).min()
    }

    /// Takes any event that is ready, in no order.
    pub fn take_ready(&mut self, mut rng: Rng) -> Option<Delivery> {
        let now = Instant::now();
        let ready: Vec<usize> = (0..self.waiting.len()).filter(|i| self.waiting[*i].ready <= now).collect();
        if ready.is_empty() {
            return None;
        }
        let pick = ready[rng.usize(..ready.len())];
        Some(self.waiting.remove(pick))
    }
}
