//! What is planned to happen, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::history::Step;

/// Something that is planned.
pub enum Planned {
    Step(Step),
    /// Lambda receives a copy of an event.
    Deliver {
        name: String,
        event: Value,
    },
    /// An execution has another status.
    Status {
        arn: String,
        status: &'static str,
    },
    Heartbeat,
}

/// All that is planned, by its time.
#[derive(Default)]
pub struct Agenda {
    entries: BTreeMap<(Instant, usize), Planned>,
    so_far: usize,
}

impl Agenda {
    pub fn plan(&mut self, after: Duration, planned: Planned) {
        self.so_far += 1;
        self.entries.insert((Instant::now() + after, self.so_far), planned);
    }

    /// How much was planned so far.
    pub fn so_far(&self) -> usize {
        self.so_far
    }

    /// The time of the next entry.
    pub fn next(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next entry, if its time has come.
    pub fn take_due(&mut self) -> Option<Planned> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= Instant::now()).then(|| first.remove())
    }
}
