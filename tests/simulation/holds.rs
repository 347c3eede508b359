//! What operators hold: the guards that they disabled.

use std::time::Duration;

use simulator::Time;
use tokio::time::Instant;

/// Whether an operator disabled a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nobody holds it.
    None,
    /// An operator disabled it while no invocation ran.
    Held,
    /// An operator disabled it while an invocation ran, which may have been setting it.
    Contested,
}

/// The holds of the stage, and of the schedule rule (0) and the drift rule (1).
pub struct Holds {
    pub stage: Hold,
    pub rules: [Hold; 2],
    /// When each rule's hold began, if no invocation was in flight then.
    pub rules_since: [Option<Time>; 2],
    /// When an operator last disabled a guard.
    last: Instant,
}

impl Holds {
    pub fn none() -> Self {
        Self { stage: Hold::None, rules: [Hold::None; 2], rules_since: [None; 2], last: Instant::now() }
    }

    /// The kind of a hold that begins while so many invocations run.
    pub fn beginning(in_flight: usize) -> Hold {
        if in_flight == 0 { Hold::Held } else { Hold::Contested }
    }

    /// An operator disables a guard.
    pub fn begin(&mut self) {
        self.last = Instant::now();
    }

    pub fn hold_rule(&mut self, rule: usize, hold: Hold, now: Time) {
        self.rules[rule] = hold;
        self.rules_since[rule] = (hold == Hold::Held).then_some(now);
    }

    pub fn free_rule(&mut self, rule: usize) {
        self.rules[rule] = Hold::None;
        self.rules_since[rule] = None;
    }

    /// An invocation begins, and its reads of guards lag. It may not see a hold that is younger.
    pub fn contest_unseen(&mut self, lag: Duration) {
        if Instant::now() < self.last + lag {
            for hold in [&mut self.stage].into_iter().chain(&mut self.rules) {
                if *hold == Hold::Held {
                    *hold = Hold::Contested;
                }
            }
        }
    }
}
