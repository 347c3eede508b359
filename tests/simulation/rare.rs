//! What only some histories have. It is drawn apart from the other steps, so that it changes no other draw.

use std::time::Duration;

use crate::history::{History, Outage, StepKind, Weather, rng_for};
use crate::names::ALARMS;

/// Some seconds to some minutes ahead: an event may still come; or so far that the time says nothing. Clocks differ by seconds, so
/// nothing lies close to 5 minutes.
fn some_time_ahead(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_secs(match rng.u8(..3) {
        0 => rng.u64(20..270),
        1 => rng.u64(330..3600),
        _ => rng.u64(3600..36_000),
    })
}

/// How far CodePipeline's clock is ahead.
pub fn codepipeline_ahead(seed: u64) -> Duration {
    let rng = &mut rng_for(seed, "CodePipeline ahead");
    if rng.u8(..6) == 0 { some_time_ahead(rng) } else { Duration::ZERO }
}

/// The outages, of which half hang in half of all histories.
pub fn hanging(seed: u64, mut outages: Vec<Outage>) -> Vec<Outage> {
    let rng = &mut rng_for(seed, "hanging");
    if rng.bool() {
        outages.iter_mut().for_each(|outage| outage.hangs = rng.bool());
    }
    outages
}

/// After how long Lambda ends an invocation: the stack's 3 minutes, or less. While a service hangs, an invocation takes up to a minute,
/// so the least is half a minute in outages. Only where invocations are killed too.
pub fn timeout(seed: u64, weather: Weather) -> Option<Duration> {
    let rng = &mut rng_for(seed, "timeout");
    let least = if weather == Weather::Outages { 30 } else { 60 };
    seed.is_multiple_of(2).then(|| Duration::from_secs(if rng.bool() { 180 } else { least }))
}

/// An alarm on a query of logs, if there is one.
pub fn log_alarm(seed: u64) -> Option<usize> {
    let rng = &mut rng_for(seed, "log alarm");
    (rng.u8(..3) == 0).then(|| rng.usize(..ALARMS.len()))
}

/// Whether a token that is used with another request starts a second execution. Then only one invocation at a time keeps triggers from
/// starting two.
pub fn starts_a_second_execution(seed: u64) -> bool {
    rng_for(seed, "second execution").u8(..6) == 0
}

/// The steps that only some histories have, with their times.
pub fn steps(history: &History) -> Vec<(Duration, StepKind)> {
    let last = history.steps.last().map_or(Duration::ZERO, |step| step.at);
    let mut steps = Vec::new();
    let rng = &mut rng_for(history.seed, "actions off");
    if rng.u8(..4) == 0 {
        let (alarm, from) = (rng.usize(..ALARMS.len()), last.mul_f64(rng.f64()));
        let to = from + Duration::from_secs(rng.u64(60..36_000));
        steps.extend([(from, StepKind::ActionsOff(alarm, true)), (to, StepKind::ActionsOff(alarm, false))]);
    }
    let rng = &mut rng_for(history.seed, "ticks ahead");
    if rng.u8(..4) == 0 {
        for _ in 0..1 + rng.usize(..2) {
            steps.push((last.mul_f64(rng.f64()), StepKind::TickAhead(some_time_ahead(rng))));
        }
    }
    let rng = &mut rng_for(history.seed, "many failures");
    if rng.u8(..8) == 0 {
        steps.push((last.mul_f64(rng.f64()), StepKind::DeploymentsFail(rng.usize(100..300))));
    }
    let rng = &mut rng_for(history.seed, "people");
    if rng.bool() {
        steps.extend((0..1 + rng.usize(..3)).map(|_| (last.mul_f64(rng.f64()), StepKind::Ask)));
    }
    if rng.u8(..3) == 0 {
        steps.extend((0..1 + rng.usize(..3)).map(|_| (last.mul_f64(rng.f64()), StepKind::Request(rng.bool()))));
    }
    let rng = &mut rng_for(history.seed, "remade pipeline");
    if rng.u8(..8) == 0 && !history.has_actions {
        let by_hand = Duration::from_secs(rng.u64(60..14_400));
        steps.push((last.mul_f64(rng.f64()), StepKind::RemakePipeline(by_hand)));
    }
    steps
}
