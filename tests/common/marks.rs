//! What the router, and a person, write on the guards that they disable, as ARCHITECTURE.md states it. The tests do not import it from the router: so they also
//! show that a new version still understands the marks of the one before.

/// The first words of the reason for which the router disables a stage.
pub const MARK: &str = "Disabled by drift-router";
/// A whole mark of the sample project's router. A person's reason may begin with the same words.
#[allow(dead_code, reason = "the simulation uses it")]
pub const WHOLE_MARK: &str = "Disabled by drift-router (nyctaxi-pipeline) while SageMaker pipeline execution abc runs. It is enabled again when no execution runs.";
/// The same on a rule.
#[allow(dead_code, reason = "the simulation uses it")]
pub const WHOLE_RULE_MARK: &str = "nyctaxi-pipeline/abc";
/// The tag of a rule that the router paused.
pub const TAG: &str = "drift-router:paused-by";
/// The tag of the schedule rule while a tick is owed.
pub const OWED_TAG: &str = "drift-router:owed-since";
/// The reason for which a person disables a stage.
pub const HOLD: &str = "Disabled by drift-router maintenance, do not enable";
