//! The deliberate defects of the router. `wire.rs` puts them on the wire: production code has no switch for them.

use crate::history::History;

/// A deliberate defect of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Only the newest execution is read. So the end of one releases the guards while another runs.
    ReleasesWhileAnotherRuns,
    /// An execution event is used without a check.
    TrustsTheEvent,
    /// A written guard is not read again.
    DoesNotVerify,
    /// Racing triggers send different tokens.
    TokenOfTheEvent,
    /// Display names are not compared, so an occurrence is served twice.
    NoDuplicateCheck,
    /// A guard that an operator disabled counts as disabled by the router.
    IgnoresHolds,
    /// A rule is disabled first and tagged after.
    TagsAfterDisabling,
    /// A rule is enabled after its tag was removed.
    UntagsBeforeEnabling,
    /// The failure to pause a rule counts as success.
    SwallowsAGuardsError,
    /// An execution that is stopping counts as ended.
    StoppingIsEnded,
    /// A start does not engage the guards. Only the execution event does.
    EngagesOnTheStatusEventOnly,
    /// `drift` and `schedule` start beside an active execution.
    StartsBesideAnActiveExecution,
    /// A drift alarm starts an execution within the cooldown too.
    ForgetsTheCooldown,
    /// Only the first page of the list is read.
    ReadsOnePage,
    /// An action is answered with success as soon as its execution has started.
    AnswersTheJobTooSoon,
    /// A heartbeat reads no alarm.
    ReadsNoAlarm,
    /// A tick is served only by an execution of its own name.
    ServedByNameOnly,
    /// An execution that started shortly before an alarm's change does not serve it.
    NoMargin,
    /// Drift within the cooldown is dropped, not delayed.
    CooldownDropsDrift,
    /// A heartbeat starts something beside an active execution.
    CatchesUpBesideAnActiveExecution,
    /// A heartbeat starts drift although an operator holds the drift rule.
    CatchesUpDespiteAHold,
    /// A rollback counts as a deployment.
    CountsRollbacks,
    /// A deployment is not found if a later execution failed.
    LetsTheLastFailureHideADeployment,
    /// A heartbeat removes an owed tick's tag before it starts the execution.
    RemovesTheTagBeforeTheStart,
    /// A start that has to wait for room fails the invocation.
    FailsADeferredStart,
    /// A rule that another router paused counts as held.
    TakesAnotherRoutersMarkForAHold,
    /// A heartbeat starts drift although its alarm is muted.
    IgnoresMutes,
    /// A heartbeat starts executions without a limit for each day.
    HasNoBrake,
    /// A router that drains waits for the end of the execution.
    DrainsOnlyWhenIdle,
    /// A router that drains leaves the tag of an owed tick.
    DrainLeavesTheTag,
    /// A reason that begins like the router's mark counts as a mark.
    TakesFirstWordsForAMark,
    /// A heartbeat starts a deployment that was rolled back.
    RollbackCancelsNothing,
    /// An event of another account or Region counts as the router's own.
    BelievesForeignEvents,
    /// A tick is refused for an execution that has ended, as the list still shows it.
    RefusesOnAStaleList,
    /// If the mutes of one alarm cannot be read, no alarm's are.
    AllOrNothingMutes,
    /// If SageMaker refuses a start for good, the heartbeat starts nothing else.
    OneRefusalEndsTheHeartbeat,
    /// A heartbeat starts drift although its alarm's actions are disabled.
    IgnoresDisabledActions,
    /// Alarms on queries of logs are not read.
    ReadsNoLogAlarm,
    /// A time that is far ahead of the clock is too young.
    WaitsForATimeAhead,
    /// Only the newest 100 executions of the CodePipeline are read, although none of them succeeded.
    ReadsOnly100Deployments,
    /// An invocation does not end before Lambda's deadline.
    IgnoresTheDeadline,
    /// An execution that SageMaker does not find counts as started, if a start returned it.
    BelievesADeletedExecution,
    /// A status enables the rules.
    AStatusWrites,
    /// A status does not see that an execution is active.
    ShowsWhatItDoesNotDo,
    /// The same request starts a second execution.
    ARequestStartsTwice,
    /// A request that is not forced starts beside an active execution.
    ARequestStartsBesideAnActiveExecution,
    /// A deployment that should wait starts beside an active execution.
    ADeploymentDoesNotWait,
    /// A deployment is trained although a later execution has its code.
    OldCodeIsTrainedLast,
    /// A failure is visible only in the invocation of its own event.
    OnlyItsEventCountsAFailure,
}

impl Defect {
    pub const ALL: [Self; 49] = [
        Self::ReleasesWhileAnotherRuns,
        Self::TrustsTheEvent,
        Self::DoesNotVerify,
        Self::TokenOfTheEvent,
        Self::NoDuplicateCheck,
        Self::IgnoresHolds,
        Self::TagsAfterDisabling,
        Self::UntagsBeforeEnabling,
        Self::SwallowsAGuardsError,
        Self::StoppingIsEnded,
        Self::EngagesOnTheStatusEventOnly,
        Self::StartsBesideAnActiveExecution,
        Self::ForgetsTheCooldown,
        Self::ReadsOnePage,
        Self::AnswersTheJobTooSoon,
        Self::ReadsNoAlarm,
        Self::ServedByNameOnly,
        Self::NoMargin,
        Self::CooldownDropsDrift,
        Self::CatchesUpBesideAnActiveExecution,
        Self::CatchesUpDespiteAHold,
        Self::CountsRollbacks,
        Self::LetsTheLastFailureHideADeployment,
        Self::RemovesTheTagBeforeTheStart,
        Self::FailsADeferredStart,
        Self::TakesAnotherRoutersMarkForAHold,
        Self::IgnoresMutes,
        Self::HasNoBrake,
        Self::DrainsOnlyWhenIdle,
        Self::DrainLeavesTheTag,
        Self::TakesFirstWordsForAMark,
        Self::RollbackCancelsNothing,
        Self::BelievesForeignEvents,
        Self::RefusesOnAStaleList,
        Self::AllOrNothingMutes,
        Self::OneRefusalEndsTheHeartbeat,
        Self::IgnoresDisabledActions,
        Self::ReadsNoLogAlarm,
        Self::WaitsForATimeAhead,
        Self::ReadsOnly100Deployments,
        Self::IgnoresTheDeadline,
        Self::BelievesADeletedExecution,
        Self::AStatusWrites,
        Self::ShowsWhatItDoesNotDo,
        Self::ARequestStartsTwice,
        Self::ARequestStartsBesideAnActiveExecution,
        Self::ADeploymentDoesNotWait,
        Self::OldCodeIsTrainedLast,
        Self::OnlyItsEventCountsAFailure,
    ];

    /// The histories that must catch this defect.
    pub fn histories(self) -> fn(u64) -> History {
        match self {
            Self::ReadsNoAlarm
            | Self::CooldownDropsDrift
            | Self::CatchesUpBesideAnActiveExecution
            | Self::CatchesUpDespiteAHold
            | Self::CountsRollbacks
            | Self::RollbackCancelsNothing
            | Self::LetsTheLastFailureHideADeployment
            | Self::TakesAnotherRoutersMarkForAHold
            | Self::IgnoresMutes
            | Self::HasNoBrake
            | Self::AllOrNothingMutes
            | Self::OneRefusalEndsTheHeartbeat
            | Self::IgnoresDisabledActions
            | Self::ReadsNoLogAlarm
            | Self::WaitsForATimeAhead
            | Self::ReadsOnly100Deployments => History::silent,
            Self::RemovesTheTagBeforeTheStart | Self::FailsADeferredStart => History::limits,
            Self::IgnoresTheDeadline => History::outages,
            Self::DrainsOnlyWhenIdle | Self::DrainLeavesTheTag => History::drained,
            _ => History::new,
        }
    }
}
