//! The types of the domain, with the standard library only. Every other module uses them; this module uses no other module.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// Why an execution starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// New training code was deployed. Unless it waits, its event starts an execution of its own.
    Deployment,
    /// The retraining schedule. It needs only that a retraining runs.
    Schedule,
    /// A drift alarm. It needs only that a retraining runs.
    Drift,
    /// A job of a CodePipeline action. It always gets an execution of its own.
    Job,
    /// A person or a program asks for a retraining.
    Request {
        /// Whether it starts beside an active execution, and however many executions started within 24 hours.
        is_forced: bool,
    },
}

impl Trigger {
    /// The first word of the execution's display name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Deployment => "code",
            Self::Schedule => "schedule",
            Self::Drift => "drift",
            Self::Job => "job",
            Self::Request { .. } => "request",
        }
    }

    /// What `{trigger}` in a pipeline parameter becomes.
    pub(crate) fn parameter_value(self) -> &'static str {
        match self {
            Self::Deployment | Self::Job => "CodePipeline",
            Self::Schedule => "Schedule",
            Self::Drift => "Drift",
            Self::Request { .. } => "Request",
        }
    }
}

/// The thing that happened. Several messages may report the same occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) trigger: Trigger,
    /// Names the occurrence, not the message: every repeated delivery and every route has the same key.
    pub(crate) key: String,
    /// When it happened. A job's event does not contain it, and a deployment's may not.
    pub(crate) at: Option<SystemTime>,
    /// The rule that cancels the occurrence while somebody else has disabled it.
    pub(crate) rule: Option<GuardRole>,
    /// What finds the occurrence again if its event is lost or its start fails.
    pub(crate) memory: Memory,
    /// Why the execution starts, for people. SageMaker Studio shows it.
    pub(crate) description: String,
    /// Pipeline parameters of a job or a request. They replace the configured ones of the same names.
    pub(crate) parameters: AddedParameters,
}

/// Pipeline parameters that a job's `UserParameters` or a request hold: names and values.
pub(crate) type AddedParameters = BTreeMap<String, String>;

/// What the router may change (`MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything: it starts executions, and sets the guards.
    Active,
    /// Nothing but the answers to jobs: it reads, decides, and reports what it would have done.
    DryRun,
    /// It starts nothing, and enables what it has disabled.
    Drain,
}

impl Mode {
    /// The value of `MODE`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::DryRun => "dry-run",
            Self::Drain => "drain",
        }
    }
}

/// A CodePipeline and its guarded stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CodePipeline {
    pub(crate) name: String,
    /// The stage whose inbound transition is disabled while an execution runs.
    pub(crate) build_stage: String,
}

/// How deployments request a retraining (`DEPLOYMENT_TRIGGER`), and the CodePipeline that makes them. Only an event needs one: an
/// action may be of any pipeline that invokes the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeploymentTrigger {
    /// The event that reports the CodePipeline's success.
    Event {
        pipeline: CodePipeline,
        /// Whether a deployment waits for the end of an active execution (`DEPLOYMENT_WHILE_RUNNING`). A heartbeat starts it then.
        waits: bool,
    },
    /// A Lambda action in a CodePipeline, which waits for the retraining.
    Action(Option<CodePipeline>),
    /// They do not: the CodePipeline retrains by itself, or there is none. The router only guards its stage.
    None(Option<CodePipeline>),
}

impl DeploymentTrigger {
    /// The value of `DEPLOYMENT_TRIGGER`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Action(_) => "action",
            Self::None(_) => "none",
        }
    }

    /// Whether deployments wait for the end of an active execution.
    pub(crate) fn waits(&self) -> bool {
        matches!(self, Self::Event { waits: true, .. })
    }

    /// The CodePipeline whose stage is guarded, if there is one.
    pub(crate) fn code_pipeline(&self) -> Option<&CodePipeline> {
        match self {
            Self::Event { pipeline, .. } => Some(pipeline),
            Self::Action(pipeline) | Self::None(pipeline) => pipeline.as_ref(),
        }
    }
}

/// What finds an occurrence again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing but the event that reports it.
    Event,
    /// AWS's own state, which every heartbeat reads: a listed alarm, or the CodePipeline's list of executions.
    AwsState,
    /// The tag that the router puts on the schedule rule.
    TickTag,
    /// CodePipeline, which calls again for an action that waits.
    Job,
}

/// The ARN of a pipeline execution. SageMaker writes names in ARNs in lower case, so the comparison ignores case.
#[derive(Clone, Debug)]
pub(crate) struct ExecutionArn(String);

impl ExecutionArn {
    /// `None` if the text is not `arn:…:pipeline/NAME/execution/ID`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pipeline, id) = text.strip_prefix("arn:")?.split_once("/execution/")?;
        let (_, name) = pipeline.split_once(":pipeline/")?;
        let is_valid = !name.is_empty() && !name.contains('/') && !id.is_empty();
        is_valid.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The execution's id, the last part of the ARN.
    pub(crate) fn id(&self) -> &str {
        last_segment(&self.0)
    }

    /// The name of the execution's SageMaker pipeline.
    pub(crate) fn pipeline(&self) -> &str {
        self.0.split_once("/execution/").map_or("", |(pipeline, _)| last_segment(pipeline))
    }

    /// Whether the execution belongs to the SageMaker pipeline of this name.
    pub(crate) fn is_of_pipeline(&self, name: &str) -> bool {
        self.pipeline().eq_ignore_ascii_case(name)
    }
}

impl PartialEq for ExecutionArn {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ExecutionArn {}

/// The last part of an ARN: the name of a rule, a schedule, a pipeline, or the id of an execution.
pub(crate) fn last_segment(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// One run of the SageMaker pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) arn: ExecutionArn,
    pub(crate) status: ExecutionStatus,
    pub(crate) display_name: Option<String>,
    /// When it was first started. A retried execution keeps this time.
    pub(crate) started: Option<SystemTime>,
}

/// A `PipelineExecutionStatus` (<https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribePipelineExecution.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExecutionStatus {
    /// `Executing` or `Stopping`.
    Active,
    Succeeded,
    /// Every other status means ended, including ones that AWS adds later: an unknown status must not block the build stage.
    Unsuccessful {
        /// SageMaker's word: `Failed`, `Stopped`, `CompletedWithFailures`, …
        word: String,
        /// SageMaker's reason, where the call returned one.
        reason: Option<String>,
    },
}

impl ExecutionStatus {
    pub(crate) fn is_active(&self) -> bool {
        *self == Self::Active
    }

    /// Whether it ended in failure. A stopped execution did not fail: somebody stopped it.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Unsuccessful { word, .. } if word != "Stopped")
    }
}

impl From<&str> for ExecutionStatus {
    fn from(word: &str) -> Self {
        match word {
            "Executing" | "Stopping" => Self::Active,
            "Succeeded" => Self::Succeeded,
            _ => Self::Unsuccessful { word: word.to_owned(), reason: None },
        }
    }
}

/// What a message says about one execution. Only a hint: SageMaker sends execution events late, twice or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusHint {
    pub(crate) arn: ExecutionArn,
    pub(crate) status: ExecutionStatus,
}

/// The parts of the function's ARN that say where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionArn {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

impl FunctionArn {
    /// `None` if the text is not a function's ARN, as with local emulators.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let ("arn", partition, "lambda", region, account) = parts else { return None };
        let is_region = !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_region.then(|| Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
        })
    }

    /// Whether the account is that of a local emulator: `sam local` sends `012345678912`, others send zeros or none.
    pub(crate) fn is_of_emulator(&self) -> bool {
        let is_account = self.account.len() == 12 && self.account.chars().all(|c| c.is_ascii_digit());
        !is_account || ["000000000000", "012345678912"].contains(&self.account.as_str())
    }

    /// The ARN of a rule of the default event bus beside the function.
    pub(crate) fn rule(&self, name: &str) -> String {
        format!("arn:{}:events:{}:{}:rule/{name}", self.partition, self.region, self.account)
    }
}

/// Where an event comes from. Each part is `None` if the event does not state it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
}

/// A CloudWatch alarm changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlarmChange {
    pub(crate) name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub(crate) state: String,
    /// When it changed (`state.timestamp`).
    pub(crate) changed: SystemTime,
    /// What suppresses the alarm's actions, if they are suppressed.
    pub(crate) suppressed_by: Option<String>,
    /// Whether the alarm is muted (the event has a `muteDetail`).
    pub(crate) is_muted: bool,
    /// Whether the alarm's action runs for one of its time series (a contributor). `DescribeAlarms` does not show it.
    pub(crate) is_contributor: bool,
}

/// A deployment changed its state: an execution of a CodePipeline, as an event reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeploymentChange {
    pub(crate) pipeline: String,
    pub(crate) execution_id: String,
    /// CodePipeline's word, such as `SUCCEEDED`.
    pub(crate) state: String,
    /// When it changed, where the event says it.
    pub(crate) changed: Option<SystemTime>,
    /// What started the execution (`trigger-type`), where the event says it.
    pub(crate) trigger_type: Option<String>,
}

/// A deployment: an execution of the CodePipeline, as CodePipeline lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) execution_id: String,
    pub(crate) has_succeeded: bool,
    /// Whether it put earlier code back.
    pub(crate) is_rollback: bool,
    /// The execution whose code a rollback put back.
    pub(crate) rollback_target: Option<String>,
    /// When its status last changed.
    pub(crate) changed: Option<SystemTime>,
}

/// An alarm in ALARM, as CloudWatch describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    pub(crate) name: String,
    /// When it changed to ALARM.
    pub(crate) changed: SystemTime,
    /// What suppresses the alarm's actions, if they are suppressed.
    pub(crate) suppressed_by: Option<String>,
    /// Whether the alarm's actions are enabled (`ActionsEnabled`).
    pub(crate) has_actions: bool,
    pub(crate) mutes: Mutes,
}

/// Whether a mute rule mutes an alarm. CloudWatch is asked for each alarm, so only where the answer matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutes {
    NotAsked,
    /// No mute rule is active.
    None,
    Active,
    /// CloudWatch was asked, and the call failed.
    NotRead,
}

/// The tag on the schedule rule that marks a tick as owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TickTag {
    /// This router's: the time of the tick.
    Since(SystemTime),
    /// This router's, but its time cannot be read.
    Unreadable,
    /// The router of another SageMaker pipeline wrote it.
    OtherRouter,
}

/// A rule with a schedule, or a schedule of EventBridge Scheduler, sent its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) sender: TickSender,
    /// The ARNs of the rules or schedules, usually one.
    pub(crate) resources: Vec<String>,
    /// When it was sent. A person who sends one by hand may leave it out.
    pub(crate) time: Option<SystemTime>,
}

/// What sent a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TickSender {
    /// A rule of EventBridge (source `aws.events`).
    Rule,
    /// A schedule of EventBridge Scheduler (source `aws.scheduler`).
    Schedule,
}

/// A CodePipeline Lambda action calls the function. The event also holds credentials; none of them is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The job's id. The answer names it.
    pub(crate) id: String,
    /// The continuation token of the answer before; `None` at the first call for an action.
    pub(crate) continuation_token: Option<String>,
    /// What the action's `UserParameters` ask for. An error says what is wrong with them, and repeats none of their text.
    pub(crate) user_parameters: Result<UserParameters, String>,
}

/// What an action's `UserParameters` may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserParameters {
    /// The SageMaker pipeline's name or ARN.
    pub(crate) pipeline_name: Option<String>,
    pub(crate) parameters: AddedParameters,
}

/// A request for a retraining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetrainRequest {
    /// 1 to 64 characters. The same id asks for the same execution.
    pub(crate) id: String,
    /// Why, for people.
    pub(crate) reason: Option<String>,
    pub(crate) parameters: AddedParameters,
    pub(crate) is_forced: bool,
}

/// A step of an execution that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedStep {
    pub(crate) step: String,
    /// SageMaker's reason. It may quote a container's log.
    pub(crate) reason: String,
}

/// What the interlock disables while an execution is active. The page shows the guards in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GuardRole {
    /// The inbound transition of the CodePipeline's build stage.
    Stage,
    /// The rule of the retraining schedule.
    ScheduleRule,
    /// The rule of the drift alarms.
    DriftRule,
}

impl GuardRole {
    /// The name in answers and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::ScheduleRule => "scheduleRule",
            Self::DriftRule => "driftRule",
        }
    }
}

/// The state of a guard, as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GuardState {
    /// Enabled, without a mark.
    Enabled,
    /// Disabled, with this router's mark.
    DisabledByRouter,
    /// Disabled, without any router's mark: somebody else did it.
    DisabledByOther,
    /// With the mark of the router of another SageMaker pipeline.
    MarkedByOtherRouter {
        /// The other router's owner name.
        owner: String,
    },
    /// This router's mark and the guard's state contradict each other: an invocation was killed between its two writes, two
    /// invocations crossed, or a person enabled a guard that the router had disabled. The guard is set again.
    Inconsistent,
}

impl GuardState {
    /// Whether a person, another program or another router holds the guard.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::DisabledByOther | Self::MarkedByOtherRouter { .. })
    }
}

/// What every guard should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DesiredState {
    /// An execution is active: every guard is disabled.
    Engaged {
        /// The id of the newest active execution. People read it in the mark.
        execution_id: String,
    },
    /// No execution is active: every guard is enabled.
    Released,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn execution_arns_compare_without_case_and_name_their_pipeline() {
        let arn = |text: &str| ExecutionArn::parse(text).unwrap();
        let lower = arn("arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi/execution/abc");
        assert_eq!(lower, arn("arn:aws:sagemaker:us-east-1:123456789012:pipeline/NYCtaxi/execution/ABC"));
        assert_ne!(lower, arn("arn:aws:sagemaker:us-east-1:123456789012:pipeline/nyctaxi/execution/abd"));
        assert_eq!(lower.id(), "abc");
        assert!(lower.is_of_pipeline("NYCtaxi"));
        assert!(!lower.is_of_pipeline("nyctaxi-2"));
        for bad in [
            "",
            "abc",
            "arn:aws:sagemaker:r:1:pipeline/p",
            "arn:aws:sagemaker:r:1:pipeline/p/execution/",
            "arn:x/execution/y",
        ] {
            assert_eq!(ExecutionArn::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rules_are_beside_the_function_in_every_partition() {
        let arn = FunctionArn::parse("arn:aws-cn:lambda:cn-north-1:123456789012:function:router:live").unwrap();
        assert_eq!(arn.rule("tick"), "arn:aws-cn:events:cn-north-1:123456789012:rule/tick");
        for no_function in ["", "function-arn", "arn:aws:sqs:us-east-1:1:queue", "arn:aws:lambda:a/b:1:function:f"] {
            assert_eq!(FunctionArn::parse(no_function), None, "{no_function}");
        }
    }

    #[test]
    fn an_unknown_status_means_ended() {
        assert!(ExecutionStatus::from("Executing").is_active() && ExecutionStatus::from("Stopping").is_active());
        for word in ["Succeeded", "Failed", "Stopped", "CompletedWithFailures", "SomeLaterStatus"] {
            assert!(!ExecutionStatus::from(word).is_active(), "{word}");
        }
        assert!(ExecutionStatus::from("Failed").is_failure());
        assert!(!ExecutionStatus::from("Stopped").is_failure());
    }
}
