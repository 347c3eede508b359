//! Is an event relevant? If so, which occurrence does it report?

use std::time::SystemTime;

use crate::model::{
    AddedParameters, AlarmChange, Deployment, DeploymentChange, DeploymentTrigger, FunctionArn, GuardRole, Memory,
    Occurrence, Place, RetrainRequest, Tick, TickSender, Trigger, last_segment,
};
use crate::policy::parameters::Parameters;
use crate::policy::start::description;
use crate::policy::{is_ahead, rfc3339};

/// Whether an event calls for a retraining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relevance {
    Relevant(Occurrence),
    /// CodePipeline's list has to be read first: was this deployment a rollback, or when did it succeed?
    AskTheList(Occurrence),
    /// It does not, for this reason.
    Ignored(String),
}

/// Whether the event states the account and the Region of the function.
pub(crate) fn is_of_home(place: &Place, home: Option<&FunctionArn>) -> bool {
    home.is_some_and(|home| {
        place.account.as_ref() == Some(&home.account) && place.region.as_ref() == Some(&home.region)
    })
}

/// Why an event of another account or Region is ignored: a rule or a CodePipeline of the same name there is not ours. `None` if it
/// is ours, or does not say where it comes from. Alarms are not asked: teams forward them from other accounts.
pub(crate) fn foreign_place(place: &Place, home: Option<&FunctionArn>) -> Option<String> {
    let home = home?;
    let is_other = |stated: &Option<String>, own: &str| stated.as_ref().is_some_and(|stated| stated != own);
    (is_other(&place.account, &home.account) || is_other(&place.region, &home.region)).then(|| {
        let stated = |part: &Option<String>| part.clone().unwrap_or_else(|| "not stated".to_owned());
        format!(
            "the event is of account {} and Region {}, and the function is in account {} and Region {}",
            stated(&place.account),
            stated(&place.region),
            home.account,
            home.region
        )
    })
}

/// Why an event of a known source but another type is ignored.
pub(crate) fn other_type(source: &str, detail_type: &str) -> String {
    format!(
        "the router needs no event of type {detail_type:?} from {source}: a rule that sends only this type can be removed"
    )
}

/// An alarm is relevant if it is listed (where there is a list), in ALARM, not suppressed and not muted. A muted or suppressed alarm
/// still changes its state. A heartbeat finds the listed alarms of the function's own account and Region again (`is_of_home`). It does
/// not find one contributor of an alarm.
pub(crate) fn of_alarm(change: &AlarmChange, listed: &[String], heartbeat_starts: bool, is_of_home: bool) -> Relevance {
    let AlarmChange { name, state, changed, suppressed_by, is_muted, is_contributor } = change;
    let is_listed = listed.contains(name);
    if !is_listed && !listed.is_empty() {
        return Relevance::Ignored(format!("DRIFT_ALARM_NAMES does not list alarm {name}"));
    }
    if state != "ALARM" {
        return Relevance::Ignored(format!("alarm {name} is {state}, not ALARM"));
    }
    if let Some(suppressor) = suppressed_by {
        return Relevance::Ignored(format!("alarm {name} is suppressed by {suppressor}"));
    }
    if *is_muted {
        return Relevance::Ignored(format!("alarm {name} is muted"));
    }
    let is_found_again = is_listed && heartbeat_starts && is_of_home && !is_contributor;
    Relevance::Relevant(drift(name, *changed, if is_found_again { Memory::AwsState } else { Memory::Event }))
}

/// The occurrence of an alarm's change. Its key is the same by every route: EventBridge, the alarm's own action, `DescribeAlarms`.
pub(crate) fn drift(alarm: &str, changed: SystemTime, memory: Memory) -> Occurrence {
    // To the second: the SDK cuts the time of `DescribeAlarms`, a floating-point number, and may lose a millisecond.
    let time = rfc3339(changed);
    let description = description(&format!("CloudWatch alarm {alarm} changed to ALARM at {time}"));
    let key = format!("{alarm} {time}");
    Occurrence {
        trigger: Trigger::Drift,
        key,
        at: Some(changed),
        rule: Some(GuardRole::DriftRule),
        memory,
        description,
        parameters: AddedParameters::new(),
    }
}

/// CodePipeline's trigger types for a rollback
/// (<https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ExecutionTrigger.html>).
const ROLLBACKS: [&str; 2] = ["ManualRollback", "AutomatedRollback"];

/// A deployment's change is relevant if deployments come by event, it is of our CodePipeline, it succeeded, and it is no rollback.
/// CodePipeline's list is read if the event does not say what started the deployment. It is also read if a pipeline parameter needs
/// the deployment's time: a heartbeat takes the time from the list, and both have to send the same request.
pub(crate) fn of_deployment(
    change: &DeploymentChange,
    trigger: &DeploymentTrigger,
    heartbeat_starts: bool,
    parameters: &Parameters,
) -> Relevance {
    let DeploymentChange { pipeline, execution_id, state, changed, trigger_type } = change;
    match trigger.code_pipeline() {
        Some(ours) if ours.name == *pipeline => {}
        Some(ours) => {
            let reason = format!("the event is of CodePipeline {pipeline}, and CODE_PIPELINE_NAME is {}", ours.name);
            return Relevance::Ignored(reason);
        }
        None => {
            let reason = format!("CODE_PIPELINE_NAME is not set, so the event of CodePipeline {pipeline} is ignored");
            return Relevance::Ignored(reason);
        }
    }
    if state != "SUCCEEDED" {
        return Relevance::Ignored(format!("CodePipeline execution {execution_id} is {state}, not SUCCEEDED"));
    }
    match trigger {
        DeploymentTrigger::Event { .. } => {}
        DeploymentTrigger::Action(_) => {
            let reason = "DEPLOYMENT_TRIGGER is action: an action of the CodePipeline starts the retraining";
            return Relevance::Ignored(reason.to_owned());
        }
        DeploymentTrigger::None(_) => {
            return Relevance::Ignored("DEPLOYMENT_TRIGGER is none: deployments start nothing".to_owned());
        }
    }
    if trigger_type.as_deref().is_some_and(|word| ROLLBACKS.contains(&word)) {
        return Relevance::Ignored(rolled_back(execution_id));
    }
    let memory = if heartbeat_starts { Memory::AwsState } else { Memory::Event };
    let occurrence = deployment(execution_id, *changed, memory);
    if trigger_type.is_none() || parameters.use_time(&AddedParameters::new()) {
        Relevance::AskTheList(occurrence)
    } else {
        Relevance::Relevant(occurrence)
    }
}

/// What CodePipeline's list says about a deployment whose event came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListAnswer {
    /// It was new code.
    NewCode(Occurrence),
    /// It was a rollback, which needs no retraining, for this reason.
    Rollback(String),
    /// The list does not show yet when it succeeded, and a pipeline parameter needs that.
    Lags,
}

/// Decides about a deployment with CodePipeline's list. One that is not listed (any more) counts as new code, at the event's time.
pub(crate) fn ask_the_list(
    mut occurrence: Occurrence,
    deployments: &[Deployment],
    parameters: &Parameters,
) -> ListAnswer {
    match deployments.iter().find(|deployment| deployment.execution_id == occurrence.key) {
        Some(listed) if listed.is_rollback => ListAnswer::Rollback(rolled_back(&listed.execution_id)),
        Some(listed) if listed.has_succeeded => {
            occurrence.at = listed.changed.or(occurrence.at);
            ListAnswer::NewCode(occurrence)
        }
        Some(_) if parameters.use_time(&AddedParameters::new()) => ListAnswer::Lags,
        Some(_) | None => ListAnswer::NewCode(occurrence),
    }
}

fn rolled_back(execution_id: &str) -> String {
    format!("CodePipeline execution {execution_id} is a rollback: it deployed no new code")
}

/// The newest deployment of new code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewestDeployment<'d> {
    pub(crate) execution_id: &'d str,
    pub(crate) succeeded: SystemTime,
    /// The rollback that has put earlier code back since.
    pub(crate) rolled_back_by: Option<&'d str>,
}

/// Finds the newest deployment in CodePipeline's list: the one that succeeded last. A later one that failed does not hide it. The list is
/// in the order of their starts, newest first. That order decides where a time is ahead of the clock.
///
/// A rollback cancels it, unless it restored this very deployment: when a later one fails, CodePipeline may roll back to it.
pub(crate) fn newest_deployment(deployments: &[Deployment], now: SystemTime) -> Option<NewestDeployment<'_>> {
    let is_later = |(place, changed): (usize, SystemTime), (other_place, other): (usize, SystemTime)| {
        if is_ahead(changed, now) || is_ahead(other, now) { place < other_place } else { changed > other }
    };
    let newest = |is_rollback: bool| {
        let succeeded = deployments.iter().enumerate().filter(|(_, d)| d.has_succeeded && d.is_rollback == is_rollback);
        let timed = succeeded.filter_map(|(place, deployment)| Some((deployment, (place, deployment.changed?))));
        timed.reduce(|newest, other| if is_later(other.1, newest.1) { other } else { newest })
    };
    let (deployment, when) = newest(false)?;
    let rollback = newest(true).filter(|(rollback, rolled_back)| {
        is_later(*rolled_back, when) && rollback.rollback_target.as_ref() != Some(&deployment.execution_id)
    });
    Some(NewestDeployment {
        execution_id: &deployment.execution_id,
        succeeded: when.1,
        rolled_back_by: rollback.map(|(rollback, _)| rollback.execution_id.as_str()),
    })
}

/// The occurrence of a deployment.
pub(crate) fn deployment(execution_id: &str, at: Option<SystemTime>, memory: Memory) -> Occurrence {
    // The event and a heartbeat have to send the same request, so the description has no time.
    let description = description(&format!("CodePipeline execution {execution_id} succeeded"));
    let key = execution_id.to_owned();
    let parameters = AddedParameters::new();
    Occurrence { trigger: Trigger::Deployment, key, at, rule: None, memory, description, parameters }
}

/// The names that distinguish the ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickNames<'n> {
    /// The rule of the retraining schedule.
    pub(crate) schedule_rule: Option<&'n str>,
    /// The schedule of EventBridge Scheduler.
    pub(crate) schedule: Option<&'n str>,
    /// The heartbeat's rule, or its schedule.
    pub(crate) heartbeat: Option<&'n str>,
}

/// Whether a tick is the heartbeat's.
pub(crate) fn is_heartbeat(tick: &Tick, names: TickNames<'_>) -> bool {
    names.heartbeat.is_some_and(|name| is_from(tick, name))
}

/// Whether the rule or the schedule of this name sent a tick.
fn is_from(tick: &Tick, name: &str) -> bool {
    tick.resources.iter().any(|arn| last_segment(arn) == name)
}

/// A tick of a retraining schedule is relevant. A tick of any other name is ignored: otherwise a mistyped name would retrain at every
/// heartbeat. A tick without a time (a person may send one) happens `now`. A tick of a schedule is not found again, as only rules have
/// the tag of an owed tick.
pub(crate) fn of_tick(received: &Tick, names: TickNames<'_>, heartbeat_starts: bool, now: SystemTime) -> Relevance {
    let (name, memory) = match received.sender {
        TickSender::Rule if heartbeat_starts => (names.schedule_rule, Memory::TickTag),
        TickSender::Rule => (names.schedule_rule, Memory::Event),
        TickSender::Schedule => (names.schedule, Memory::Event),
    };
    match name {
        Some(name) if is_from(received, name) => {
            Relevance::Relevant(tick(received.sender, name, received.time.unwrap_or(now), memory))
        }
        _ => Relevance::Ignored(format!(
            "a tick of {:?}, which is not SCHEDULE_RULE_NAME ({}), SCHEDULE_NAME ({}) or HEARTBEAT_NAME ({})",
            received.resources,
            names.schedule_rule.unwrap_or("unset"),
            names.schedule.unwrap_or("unset"),
            names.heartbeat.unwrap_or("unset"),
        )),
    }
}

/// The occurrence of a tick.
pub(crate) fn tick(sender: TickSender, name: &str, at: SystemTime, memory: Memory) -> Occurrence {
    let (kind, rule) = match sender {
        TickSender::Rule => ("rule", Some(GuardRole::ScheduleRule)),
        // No rule sends it, so no rule holds it.
        TickSender::Schedule => ("schedule", None),
    };
    let time = rfc3339(at);
    let description = description(&format!("EventBridge {kind} {name}, tick of {time}"));
    let key = format!("{name} {time}");
    let parameters = AddedParameters::new();
    Occurrence { trigger: Trigger::Schedule, key, at: Some(at), rule, memory, description, parameters }
}

/// The occurrence of a request, which happens `now`. Nothing but the request finds it again. An error says why it can never be
/// served.
pub(crate) fn of_request(
    request: RetrainRequest,
    configured: &Parameters,
    now: SystemTime,
) -> Result<Occurrence, String> {
    let RetrainRequest { id, reason, parameters, is_forced } = request;
    if let Some(refusal) = configured.refusal(&parameters) {
        return Err(refusal);
    }
    let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Ok(Occurrence {
        trigger: Trigger::Request { is_forced },
        description: description(&format!("request {id}{why}")),
        key: id,
        at: Some(now),
        rule: None,
        memory: Memory::Event,
        parameters,
    })
}

/// Why the execution event of another SageMaker pipeline is ignored, or `None` if the event is of our pipeline.
pub(crate) fn foreign_status(pipeline: &str, ours: &str) -> Option<String> {
    (!pipeline.eq_ignore_ascii_case(ours))
        .then(|| format!("the event is of SageMaker pipeline {pipeline}, and SAGEMAKER_PIPELINE_NAME is {ours}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::CodePipeline;
    use crate::policy::fixtures::{MINUTE, NO_PARAMETERS, noon};

    #[test]
    fn an_alarm_has_the_same_key_by_every_route() {
        let exact = SystemTime::UNIX_EPOCH + Duration::from_millis(1_627_455_724_149);
        let as_the_sdk_reads_it = exact - Duration::from_millis(1);
        for changed in [exact, as_the_sdk_reads_it] {
            assert_eq!(drift("a", changed, Memory::Event).key, "a 2021-07-28T07:02:04Z");
        }
    }

    #[test]
    fn a_time_that_nobody_can_write_gives_a_key_all_the_same() {
        for years in [-100, -1, 300_000] {
            let length = Duration::from_hours(24 * 365).saturating_mul(i32::abs(years).unsigned_abs());
            let at = if years < 0 { SystemTime::UNIX_EPOCH - length } else { SystemTime::UNIX_EPOCH + length };
            assert!(drift("a", at, Memory::Event).key.starts_with("a "), "{years}");
            assert!(tick(TickSender::Rule, "a", at, Memory::Event).key.starts_with("a "), "{years}");
        }
    }

    #[test]
    fn a_heartbeat_finds_only_the_alarms_of_its_own_account_and_region() {
        let change = |is_contributor| AlarmChange {
            name: "a".to_owned(),
            state: "ALARM".to_owned(),
            changed: noon(),
            suppressed_by: None,
            is_muted: false,
            is_contributor,
        };
        let place =
            |account: &str, region: &str| Place { account: Some(account.to_owned()), region: Some(region.to_owned()) };
        let ours = place("123456789012", "us-east-1");
        let home = FunctionArn::parse("arn:aws:lambda:us-east-1:123456789012:function:drift-router");
        let memory = |place: &Place, listed: &[String], is_contributor| match of_alarm(
            &change(is_contributor),
            listed,
            true,
            is_of_home(place, home.as_ref()),
        ) {
            Relevance::Relevant(occurrence) => occurrence.memory,
            other => panic!("{other:?}"),
        };
        let listed = ["a".to_owned()];
        assert_eq!(memory(&ours, &listed, false), Memory::AwsState);
        assert_eq!(memory(&place("210987654321", "us-east-1"), &listed, false), Memory::Event);
        assert_eq!(memory(&place("123456789012", "eu-west-1"), &listed, false), Memory::Event);
        assert_eq!(memory(&ours, &[], false), Memory::Event);
        assert_eq!(memory(&Place::default(), &listed, false), Memory::Event);
        assert_eq!(memory(&ours, &listed, true), Memory::Event, "one contributor");
        assert!(!is_of_home(&Place::default(), None), "without a readable function ARN no alarm is ours");
    }

    #[test]
    fn an_emulators_account_is_compared_with_nothing() {
        let place =
            |account: &str, region: &str| Place { account: Some(account.to_owned()), region: Some(region.to_owned()) };
        let home = FunctionArn::parse("arn:aws:lambda:us-east-1:123456789012:function:drift-router:live");
        assert!(!home.as_ref().unwrap().is_of_emulator());
        let is_foreign = |place: &Place| foreign_place(place, home.as_ref()).is_some();
        assert!(!is_foreign(&place("123456789012", "us-east-1")));
        assert!(is_foreign(&place("210987654321", "us-east-1")));
        assert!(is_foreign(&place("123456789012", "eu-west-1")));
        assert!(!is_foreign(&Place::default()), "an event that does not say where it comes from");
        assert!(is_foreign(&Place { account: None, ..place("", "eu-west-1") }));
        for account in ["012345678912", "000000000000", "", "1234"] {
            let emulator = FunctionArn::parse(&format!("arn:aws:lambda:us-east-1:{account}:function:f")).unwrap();
            assert!(emulator.is_of_emulator(), "{account}");
        }
    }

    fn deployed(trigger_type: Option<&str>) -> DeploymentChange {
        DeploymentChange {
            pipeline: "build".to_owned(),
            execution_id: "new".to_owned(),
            state: "SUCCEEDED".to_owned(),
            changed: Some(noon()),
            trigger_type: trigger_type.map(str::to_owned),
        }
    }

    #[test]
    fn codepipelines_list_is_asked_when_the_event_leaves_something_open() {
        let relevance = |trigger_type, parameters: &Parameters| {
            let build = CodePipeline { name: "build".to_owned(), build_stage: "Build".to_owned() };
            of_deployment(
                &deployed(trigger_type),
                &DeploymentTrigger::Event { pipeline: build, waits: false },
                true,
                parameters,
            )
        };
        assert!(matches!(relevance(Some("Webhook"), &NO_PARAMETERS), Relevance::Relevant(_)));
        assert!(matches!(relevance(None, &NO_PARAMETERS), Relevance::AskTheList(_)));
        let timed = Parameters::parse([("At", "{time}")]).unwrap();
        assert!(matches!(relevance(Some("Webhook"), &timed), Relevance::AskTheList(_)));
        for rollback in ["ManualRollback", "AutomatedRollback"] {
            assert!(matches!(relevance(Some(rollback), &timed), Relevance::Ignored(_)), "{rollback}");
        }
    }

    #[test]
    fn the_list_says_what_was_a_rollback_and_gives_the_time_that_heartbeats_use() {
        let listed = |id: &str, is_rollback| Deployment {
            execution_id: id.to_owned(),
            has_succeeded: true,
            is_rollback,
            rollback_target: None,
            changed: Some(noon() - MINUTE),
        };
        let timed = Parameters::parse([("At", "{time}")]).unwrap();
        let with = |deployments: &[Deployment], parameters: &Parameters| {
            ask_the_list(deployment("new", Some(noon()), Memory::AwsState), deployments, parameters)
        };
        let decide = |deployments: &[Deployment]| with(deployments, &timed);
        assert!(matches!(decide(&[listed("new", true)]), ListAnswer::Rollback(_)));
        let at = |answer| match answer {
            ListAnswer::NewCode(occurrence) => occurrence.at,
            other => panic!("{other:?}"),
        };
        let running = [Deployment { has_succeeded: false, ..listed("new", false) }];
        assert_eq!(decide(&running), ListAnswer::Lags);
        assert_eq!(at(with(&running, &NO_PARAMETERS)), Some(noon()), "nothing needs the time");
        let deployments = [listed("old", true), listed("new", false)];
        assert_eq!(at(decide(&deployments)), Some(noon() - MINUTE));
        assert_eq!(at(decide(&deployments[..1])), Some(noon()), "not listed any more");
        let newest = newest_deployment(&deployments, noon()).unwrap();
        assert_eq!((newest.execution_id, newest.succeeded), ("new", noon() - MINUTE));
    }

    #[test]
    fn a_rollback_cancels_the_newest_deployment_unless_it_restored_it() {
        let listed = |id: &str, rollback_target: Option<&str>, minutes: u32| Deployment {
            execution_id: id.to_owned(),
            has_succeeded: true,
            is_rollback: rollback_target.is_some(),
            rollback_target: rollback_target.map(str::to_owned),
            changed: Some(noon() - minutes * MINUTE),
        };
        let failed = |deployment: Deployment| Deployment { has_succeeded: false, ..deployment };
        let cancelled_by = |deployments: &[Deployment]| {
            let newest = newest_deployment(deployments, noon()).unwrap();
            (newest.execution_id.to_owned(), newest.rolled_back_by.map(str::to_owned))
        };
        let cancelled = |id: &str, by: Option<&str>| (id.to_owned(), by.map(str::to_owned));
        let b = || listed("b", None, 30);
        assert_eq!(cancelled_by(&[listed("back", Some("a"), 10), b()]), cancelled("b", Some("back")));
        // C failed, and CodePipeline restored B, the newest success.
        assert_eq!(
            cancelled_by(&[listed("back", Some("b"), 10), failed(listed("c", None, 20)), b()]),
            cancelled("b", None)
        );
        assert_eq!(cancelled_by(&[failed(listed("back", Some("a"), 10)), b()]), cancelled("b", None));
        assert_eq!(cancelled_by(&[b(), listed("back", Some("a"), 40)]), cancelled("b", None), "it came before");
        // Back to A, and forward to B again.
        let there_and_back = [listed("forward", Some("b"), 5), listed("back", Some("a"), 10), b()];
        assert_eq!(cancelled_by(&there_and_back), cancelled("b", None));
    }

    #[test]
    fn among_deployments_that_are_ahead_of_the_clock_the_lists_order_decides() {
        let ahead = |id: &str, minutes: u32| Deployment {
            execution_id: id.to_owned(),
            has_succeeded: true,
            is_rollback: false,
            rollback_target: None,
            changed: Some(noon() + minutes * MINUTE),
        };
        let newest =
            |deployments: &[Deployment]| newest_deployment(deployments, noon()).unwrap().execution_id.to_owned();
        assert_eq!(newest(&[ahead("newer", 1), ahead("older", 60)]), "newer");
        let past = Deployment { changed: Some(noon() - MINUTE), ..ahead("newest", 0) };
        assert_eq!(newest(&[past.clone(), ahead("older", 60)]), "newest", "a wrong time hides nothing");
        assert_eq!(newest(&[past.clone(), ahead("older", 5)]), "older", "clocks differ");
        let succeeded = newest_deployment(&[ahead("newer", 1)], noon()).unwrap().succeeded;
        assert_eq!(succeeded, noon() + MINUTE, "the list's time: every heartbeat sends the same request");
        let rolled_back_by = |deployments: &[Deployment]| {
            newest_deployment(deployments, noon()).and_then(|newest| newest.rolled_back_by.map(str::to_owned))
        };
        let rollback = |minutes| Deployment { is_rollback: true, ..ahead("back", minutes) };
        assert_eq!(rolled_back_by(&[rollback(50), ahead("older", 60)]).as_deref(), Some("back"));
        assert_eq!(rolled_back_by(&[past, rollback(60)]), None);
    }

    #[test]
    fn a_tick_is_known_by_its_sender_and_its_name() {
        let names = TickNames { schedule_rule: Some("a"), schedule: Some("b"), heartbeat: Some("c") };
        let meaning = |sender, name: &str| {
            let tick = Tick { sender, resources: vec![format!("arn:aws:x:y:z/{name}")], time: Some(noon()) };
            match of_tick(&tick, names, true, noon()) {
                _ if is_heartbeat(&tick, names) => "heartbeat",
                Relevance::Relevant(occurrence) if occurrence.memory == Memory::TickTag => "tick with a tag",
                Relevance::Relevant(_) => "tick",
                Relevance::Ignored(_) => "ignored",
                Relevance::AskTheList(_) => "asks the list",
            }
        };
        let meanings = |sender| ["a", "b", "c", "d"].map(|name| meaning(sender, name));
        assert_eq!(meanings(TickSender::Rule), ["tick with a tag", "ignored", "heartbeat", "ignored"]);
        assert_eq!(meanings(TickSender::Schedule), ["ignored", "tick", "heartbeat", "ignored"]);
        let (resources, time) = (vec!["arn:aws:scheduler:x:y:schedule/default/a".to_owned()], Some(noon()));
        let tick = Tick { sender: TickSender::Schedule, resources, time };
        let without_schedule = of_tick(&tick, TickNames { schedule: None, ..names }, true, noon());
        assert!(matches!(without_schedule, Relevance::Ignored(_)), "a rule of this name is no schedule");
    }

    #[test]
    fn a_description_is_one_line_within_sagemakers_length() {
        let alarm = format!("fare\ndrift\u{7}{}", "é".repeat(244));
        let description = drift(&alarm, noon(), Memory::Event).description;
        assert!(description.starts_with("Started by drift-router: CloudWatch alarm fare drift "), "{description}");
        assert!(description.ends_with(" changed to ALARM at 2021-06-01T12:00:00Z."), "{description}");
        assert!(description.chars().count() <= 3072 && !description.contains(char::is_control));
    }
}
