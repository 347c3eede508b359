//! The ticks of the schedule rule, and those of EventBridge Scheduler: what each asked for, and how it was answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use simulator::{Time, World};

use crate::owed::{TOLERANCE, tick_name};

#[derive(Default)]
pub struct Ticks {
    /// The display name that each tick's execution would have, and the tick's time.
    times: BTreeMap<String, Time>,
    /// The ticks that wait for a heartbeat, by their event's time.
    deferred: Vec<Time>,
    /// The display names of the ticks that were answered without a deferral.
    answered: BTreeSet<String>,
    /// When an owed tick may last have been dropped: by a hold or a replacement of the schedule rule, or by draining.
    dropped: Time,
}

impl Ticks {
    /// The rule or the schedule ticks.
    pub fn tick(&mut self, event: &Value, now: Time) {
        self.times.insert(name(event), now);
    }

    /// A copy of the event is tried: it requests the retraining again.
    pub fn ask(&mut self, event: &Value) {
        self.answered.remove(&name(event));
    }

    pub fn answer(&mut self, event: &Value) {
        self.answered.insert(name(event));
    }

    /// A heartbeat has to serve the tick.
    pub fn defer(&mut self, event: &Value) {
        let time = humantime::parse_rfc3339(event["time"].as_str().unwrap()).unwrap();
        self.deferred.push(time.duration_since(std::time::UNIX_EPOCH).unwrap());
    }

    /// Something may have dropped an owed tick.
    pub fn drop_all(&mut self, now: Time) {
        self.dropped = now;
    }

    /// The time of the tick whose execution has this name.
    pub fn time(&self, name: &str) -> Option<Time> {
        self.times.get(name).copied()
    }

    pub fn is_answered(&self, name: &str) -> bool {
        self.answered.contains(name)
    }

    /// Checks that every deferred tick was served, or that somebody removed it.
    pub fn check(&self, world: &World) -> Result<(), String> {
        for tick in &self.deferred {
            let is_served = world.sagemaker.executions.iter().any(|e| e.created + TOLERANCE >= *tick);
            let newest = world.sagemaker.executions.last();
            let has_start_times = newest.is_none_or(|newest| newest.has_start_time);
            if !is_served && self.dropped + TOLERANCE < *tick && has_start_times {
                return Err(format!("the tick of {tick:?} was deferred and never served"));
            }
        }
        Ok(())
    }
}

/// The display name that the tick's execution has.
fn name(event: &Value) -> String {
    let sender = event["resources"][0].as_str().unwrap().rsplit('/').next().unwrap();
    tick_name(sender, event["time"].as_str().unwrap())
}
