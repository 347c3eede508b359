//! The ticks of the schedule rule, and those of EventBridge Scheduler: what each asked for, and how it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use simulator::nyctaxi::SCHEDULE_RULE;
use simulator::{Time, World};

use crate::marks::OWED_TAG;
use crate::owed::{TOLERANCE, tick_name};

/// A time that is further ahead than this says nothing about the event.
const FAR: Duration = Duration::from_mins(5);

struct Deferred {
    /// The display name that its execution would have.
    name: String,
    /// What an execution must not be older than, to serve it.
    time: Time,
    /// Since when it waits at the latest. Its time may be ahead of the clock.
    since: Time,
}

#[derive(Default)]
pub struct Ticks {
    /// The display name that each tick's execution would have, and the tick's time.
    times: BTreeMap<String, Time>,
    /// The ticks that wait for a heartbeat.
    deferred: Vec<Deferred>,
    /// The display names of the ticks that were answered without a deferral.
    answered: BTreeSet<String>,
    /// When each tick came whose time was far ahead of the clock.
    far_ahead: Vec<Time>,
    /// When an owed tick may last have been dropped: by a hold or a replacement of the schedule rule, or by draining.
    dropped: Time,
}

impl Ticks {
    /// The rule or the schedule ticks.
    pub fn tick(&mut self, event: &Value, now: Time) {
        self.times.insert(name(event), now);
    }

    /// The rule ticks, and the event's time is ahead of the clock.
    pub fn date_ahead(&mut self, event: &mut Value, now: Time, ahead: Duration) {
        event["time"] = timestamp(time_of(event) + ahead).into();
        self.times.insert(name(event), now + ahead);
        if ahead > FAR {
            self.far_ahead.push(now);
        }
    }

    /// A copy of the event is tried: it requests the retraining again.
    pub fn ask(&mut self, event: &Value) {
        self.answered.remove(&name(event));
    }

    pub fn answer(&mut self, event: &Value) {
        self.answered.insert(name(event));
    }

    /// A later copy of the event meets an execution that runs. So the tick is dropped, and no heartbeat has to serve it.
    pub fn drop_for_a_running_execution(&mut self, event: &Value) {
        let dropped = name(event);
        self.deferred.retain(|tick| tick.name != dropped);
    }

    /// A heartbeat has to serve the tick. If its time is far ahead, it counts as a tick of `now`.
    pub fn defer(&mut self, event: &Value, now: Time) {
        let stated = time_of(event);
        let time = if stated > now + FAR { now } else { stated };
        self.deferred.push(Deferred { name: name(event), time, since: time.min(now) });
    }

    /// Something may have dropped an owed tick.
    pub fn drop_all(&mut self, now: Time) {
        self.dropped = now;
    }

    /// The time of the tick whose execution has this name.
    pub fn time(&self, world: &World, name: &str) -> Option<Time> {
        self.times.get(name).copied().or_else(|| self.time_of_tag(world, name))
    }

    /// A tick whose time is far ahead gets the clock's time in its tag. A heartbeat's execution is named after that.
    fn time_of_tag(&self, world: &World, name: &str) -> Option<Time> {
        world.calls.iter().filter(|call| call.operation == "TagResource").find_map(|call| {
            let tag = call.input["Tags"].as_array()?.iter().find(|tag| tag["Key"] == OWED_TAG)?;
            let stamp = tag["Value"].as_str()?.split_once('/')?.1;
            let time = parsed(stamp);
            let is_the_clocks = time.abs_diff(call.at) < TOLERANCE;
            let was_far_ahead = self.far_ahead.iter().any(|came| *came <= call.at);
            (tick_name(SCHEDULE_RULE, stamp) == name && is_the_clocks && was_far_ahead).then_some(time)
        })
    }

    pub fn is_answered(&self, name: &str) -> bool {
        self.answered.contains(name)
    }

    /// Checks that every deferred tick was served, or that somebody removed it.
    pub fn check(&self, world: &World) -> Result<(), String> {
        for Deferred { time, since, .. } in &self.deferred {
            let is_served = world.sagemaker.executions.iter().any(|e| e.created + TOLERANCE >= *time);
            let newest = world.sagemaker.executions.last();
            let has_start_times = newest.is_none_or(|newest| newest.has_start_time);
            if !is_served && self.dropped + TOLERANCE < *since && has_start_times {
                return Err(format!("the tick of {time:?} was deferred and never served"));
            }
        }
        Ok(())
    }
}

fn time_of(event: &Value) -> Time {
    parsed(event["time"].as_str().unwrap())
}

fn parsed(stamp: &str) -> Time {
    humantime::parse_rfc3339(stamp).unwrap().duration_since(std::time::UNIX_EPOCH).unwrap()
}

fn timestamp(time: Time) -> String {
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + time).to_string()
}

/// The display name that the tick's execution has.
fn name(event: &Value) -> String {
    let sender = event["resources"][0].as_str().unwrap().rsplit('/').next().unwrap();
    tick_name(sender, event["time"].as_str().unwrap())
}
