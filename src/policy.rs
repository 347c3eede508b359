//! The map of the decisions, and what they share. Each function gets all that it needs as arguments: no I/O, no clock, no AWS types.
//!
//! - [`trigger`]: is an event relevant, and what occurrence does it report?
//! - [`verdict`]: is an occurrence served, held, owed …?
//! - [`plan`]: what a heartbeat found, with a verdict for each finding, and what is started next.
//! - [`start`]: the request of a start: display name, token, description.
//! - [`parameters`]: the pipeline parameters of a start.
//! - [`action`]: what a CodePipeline action asks for, and its continuation tokens.
//! - [`interlock`]: what every guard should be.
//! - [`training`]: what the executions say about the retrainings: do they fail, how old is the newest, how many started within a day?

pub(crate) mod action;
pub(crate) mod interlock;
pub(crate) mod parameters;
pub(crate) mod plan;
pub(crate) mod start;
pub(crate) mod training;
pub(crate) mod trigger;
pub(crate) mod verdict;

use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use sha2::{Digest, Sha256};

use crate::model::{Execution, Mode};
use crate::policy::parameters::Parameters;

/// The input of decisions about starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'s> {
    pub(crate) mode: Mode,
    /// Whether there are heartbeats, and they may start something.
    pub(crate) heartbeat_starts: bool,
    /// Whether deployments wait for the end of an active execution.
    pub(crate) deployments_wait: bool,
    /// At so many executions within 24 hours, heartbeats and requests start nothing.
    pub(crate) catch_up_per_day: usize,
    /// The SageMaker pipeline's name.
    pub(crate) pipeline: &'s str,
    /// The pipeline parameters of every start.
    pub(crate) parameters: &'s Parameters,
    /// The newest executions, newest first.
    pub(crate) executions: &'s [Execution],
    pub(crate) schedule_rule: Hold,
    pub(crate) drift_rule: Hold,
    /// Whether a guard could not be read. Then a heartbeat fails and starts nothing.
    pub(crate) has_unread_guard: bool,
    /// Drift starts nothing for this long after the start of any execution.
    pub(crate) drift_cooldown: Option<Duration>,
    pub(crate) now: SystemTime,
}

/// Whether somebody else disabled a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody did, or there is no such rule.
    No,
    Yes,
    /// The rule could not be read.
    Unknown,
}

/// Why nothing starts while the router drains.
pub(crate) const DRAINED: &str = "MODE is drain: nothing is started";

/// A time as RFC 3339 writes it, to the second. `humantime` panics on years before 1970 and after 9999, so such a time becomes the
/// nearest one that it writes.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    const LATEST: Duration = Duration::from_secs(253_402_300_798);
    let time = time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LATEST);
    format_rfc3339_seconds(time).to_string()
}

/// Zero for a time that is ahead of this clock.
fn age(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or_default()
}

/// Clocks differ by less than this.
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);

/// Whether a time is further ahead of this clock than clocks differ. It is wrong then, and says nothing of what came first.
pub(crate) fn is_ahead(at: SystemTime, now: SystemTime) -> bool {
    at.duration_since(now).is_ok_and(|ahead| ahead > CLOCKS_DIFFER)
}

/// How many digits of a hash are appended to a name that was cut: 64 bits.
pub(crate) const HASH_LENGTH: usize = 16;

/// The SHA-256 of the parts, in 64 hexadecimal digits.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the unit tests of the decisions share.
#[cfg(test)]
mod fixtures {
    use std::time::{Duration, SystemTime};

    use super::{Hold, Situation};
    use crate::model::{
        AddedParameters, Execution, ExecutionArn, ExecutionStatus, GuardRole, Memory, Mode, Occurrence, Trigger,
    };
    use crate::policy::parameters::Parameters;

    pub(super) const HOUR: Duration = Duration::from_hours(1);
    pub(super) const MINUTE: Duration = Duration::from_mins(1);
    pub(super) static NO_PARAMETERS: Parameters = Parameters::none();

    /// 2021-06-01T12:00:00Z.
    pub(super) fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_622_548_800)
    }

    /// At noon, with heartbeats that start 4 a day, nothing held and no cooldown.
    pub(super) fn situation(executions: &[Execution]) -> Situation<'_> {
        Situation {
            mode: Mode::Active,
            heartbeat_starts: true,
            deployments_wait: false,
            catch_up_per_day: 4,
            pipeline: "p",
            parameters: &NO_PARAMETERS,
            executions,
            schedule_rule: Hold::No,
            drift_rule: Hold::No,
            has_unread_guard: false,
            drift_cooldown: None,
            now: noon(),
        }
    }

    pub(super) fn arn(id: &str) -> ExecutionArn {
        ExecutionArn::parse(&format!("arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/{id}")).unwrap()
    }

    /// It happens at noon.
    pub(super) fn occurrence(trigger: Trigger, key: &str) -> Occurrence {
        Occurrence {
            trigger,
            key: key.to_owned(),
            at: Some(noon()),
            rule: match trigger {
                Trigger::Drift => Some(GuardRole::DriftRule),
                Trigger::Schedule => Some(GuardRole::ScheduleRule),
                Trigger::Deployment | Trigger::Job | Trigger::Request { .. } => None,
            },
            memory: Memory::Event,
            description: String::new(),
            parameters: AddedParameters::new(),
        }
    }

    /// It started half an hour before noon.
    pub(super) fn execution(id: &str, is_active: bool, display_name: &str) -> Execution {
        Execution {
            arn: arn(id),
            status: if is_active { ExecutionStatus::Active } else { ExecutionStatus::Succeeded },
            display_name: Some(display_name.to_owned()),
            started: Some(noon() - 30 * MINUTE),
        }
    }

    /// An execution that a person started at this time, and that has ended.
    pub(super) fn started(at: SystemTime) -> Execution {
        Execution { started: Some(at), ..execution("x", false, "by hand") }
    }
}
