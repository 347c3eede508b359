//! Lasting faults that concern only some calls of a history: the mutes of one alarm cannot be read or are slow, and SageMaker refuses
//! the starts of one kind of trigger.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use simulator::{Called, Fault};

use crate::history::rng_for;
use crate::names::LISTED_ALARMS;

/// What is wrong with the mutes of one alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuteFault {
    /// The permission for this alarm is missing.
    Denied,
    /// Every call fails.
    Failing,
    /// No call is answered.
    Hanging,
    /// Every call takes this much longer.
    Slow(Duration),
}

/// A span in which the mutes of one alarm cannot be read, or only slowly.
#[derive(Clone, Debug)]
pub struct MuteTrouble {
    pub alarm: &'static str,
    pub fault: MuteFault,
    pub span: Range<Duration>,
}

/// A span in which SageMaker refuses, for good, to start what one kind of trigger asks for: its request is not valid.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The first word of the display names.
    pub trigger: &'static str,
    pub span: Range<Duration>,
}

/// The lasting faults of a history.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    pub mutes: Option<MuteTrouble>,
    pub refusal: Option<Refusal>,
}

impl Troubles {
    /// The troubles of a seed: in a quarter of all histories, one alarm's mutes; in a quarter, one kind of start.
    pub fn new(seed: u64, lists_alarms: bool) -> Self {
        let rng = &mut rng_for(seed, "mute trouble");
        let mutes = (lists_alarms && rng.u8(..4) == 0).then(|| MuteTrouble {
            alarm: LISTED_ALARMS[rng.usize(..LISTED_ALARMS.len())],
            fault: [
                MuteFault::Denied,
                MuteFault::Failing,
                MuteFault::Hanging,
                MuteFault::Slow(Duration::from_secs(1)),
                MuteFault::Slow(Duration::from_secs(4)),
            ][rng.usize(..5)],
            span: span(rng),
        });
        let rng = &mut rng_for(seed, "refusal");
        // Deployments are served first, so what follows them is at stake most often.
        let triggers = ["code", "code", "schedule", "drift"];
        let refusal =
            (rng.u8(..3) == 0).then(|| Refusal { trigger: triggers[rng.usize(..triggers.len())], span: span(rng) });
        Self { mutes, refusal }
    }

    /// When the last one is over.
    pub fn end(&self) -> Duration {
        let ends = [self.mutes.as_ref().map(|it| it.span.end), self.refusal.as_ref().map(|it| it.span.end)];
        ends.into_iter().flatten().max().unwrap_or_default()
    }

    /// The fault of a call at this time, if it has one. A slow call has none.
    pub fn fault(&self, called: Called<'_>, at: Duration) -> Option<Fault> {
        let name = called.input["PipelineExecutionDisplayName"].as_str().unwrap_or_default();
        match called.operation {
            "ListAlarmMuteRules" => match self.mutes_of(called.input, at)? {
                MuteFault::Denied => Some(Fault::Refused("AccessDeniedException")),
                MuteFault::Failing => Some(Fault::ErrorBefore),
                MuteFault::Hanging => Some(Fault::Hang),
                MuteFault::Slow(_) => None,
            },
            "StartPipelineExecution" if self.refuses(name, at..at) => Some(Fault::Refused("ValidationException")),
            _ => None,
        }
    }

    /// How much longer a call at this time takes.
    pub fn delay(&self, operation: &str, input: &Value, at: Duration) -> Duration {
        match self.mutes_of(input, at).filter(|_| operation == "ListAlarmMuteRules") {
            Some(MuteFault::Slow(delay)) => delay,
            _ => Duration::ZERO,
        }
    }

    fn mutes_of(&self, input: &Value, at: Duration) -> Option<MuteFault> {
        let trouble = self.mutes.as_ref().filter(|it| input["AlarmName"] == it.alarm && it.span.contains(&at))?;
        Some(trouble.fault)
    }

    /// Whether the mutes of this alarm cannot be read at some time of `when`.
    pub fn hides_mutes(&self, alarm: &str, when: Range<Duration>) -> bool {
        let is_hidden = |it: &&MuteTrouble| !matches!(it.fault, MuteFault::Slow(_)) && overlaps(&it.span, &when);
        self.mutes.as_ref().filter(is_hidden).is_some_and(|it| it.alarm == alarm)
    }

    /// Whether the mutes of this alarm cannot be read at any time of `when`.
    pub fn hides_mutes_throughout(&self, alarm: &str, when: Range<Duration>) -> bool {
        let span = self.mutes.as_ref().map(|it| it.span.clone()).unwrap_or_default();
        self.hides_mutes(alarm, when.clone()) && span.start <= when.start && when.end <= span.end
    }

    /// Whether SageMaker refuses, at some time of `when`, the start of an execution whose display name begins like this.
    pub fn refuses(&self, name: &str, when: Range<Duration>) -> bool {
        self.refusal.as_ref().is_some_and(|it| name.starts_with(it.trigger) && overlaps(&it.span, &when))
    }

    /// How long it may take to read all mutes: a call that fails or hangs is repeated for 20 seconds at most.
    pub fn longest_reading(&self) -> Duration {
        match self.mutes.as_ref().map(|it| it.fault) {
            None | Some(MuteFault::Denied) => Duration::ZERO,
            // Two pages.
            Some(MuteFault::Slow(delay)) => 2 * delay,
            Some(MuteFault::Failing | MuteFault::Hanging) => Duration::from_secs(20),
        }
    }
}

fn overlaps(span: &Range<Duration>, when: &Range<Duration>) -> bool {
    span.start <= when.end && when.start < span.end
}

/// It begins within the history, and lasts for hours, or until a day after it.
fn span(rng: &mut Rng) -> Range<Duration> {
    let from = Duration::from_secs(rng.u64(..7200));
    from..from + Duration::from_secs(if rng.bool() { rng.u64(3600..36_000) } else { rng.u64(36_000..180_000) })
}
