//! The names in every history, besides those of the sample project.

use simulator::nyctaxi::{DRIFT_RULE, SCHEDULE_RULE};

/// The rules that the router pauses. A step names one by its index.
pub const RULES: [&str; 2] = [SCHEDULE_RULE, DRIFT_RULE];
/// The alarms. Their names are part of the draws, so other names give other histories.
pub const ALARMS: [&str; 3] = ["nyctaxi-prod-threshold", "nyctaxi-staging-threshold", "nyctaxi-batch-prod-threshold"];
/// The alarms that the router reads, if it reads any. If so, the third alarm does not count as drift.
pub const LISTED_ALARMS: [&str; 2] = [ALARMS[0], ALARMS[1]];
/// How another router marks a rule.
pub const OTHER_MARK: &str = "fraud-pipeline/abc";
/// The reason for which an operator disables the stage.
pub const HOLD: &str = "release freeze";
