//! What the router writes on what it changes, as ARCHITECTURE.md states it. The tests do not import it from the router: so they also
//! show that a new version still understands the marks of the one before.

/// The first words of the reason for which the router disables a stage.
pub const MARK: &str = "Disabled by drift-router";
/// The tag of a rule that the router paused.
pub const TAG: &str = "drift-router:paused-by";
/// The tag of the schedule rule while a tick is owed.
pub const OWED_TAG: &str = "drift-router:owed-since";
