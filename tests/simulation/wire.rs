//! The wire between the SDK clients and the simulator. Calls on it take time. A test may put a [`Defect`] on it.
//!
//! A defect changes requests and answers, so that the router behaves as if its own code had the defect. Production code has no
//! switch for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use fastrand::Rng;
use serde_json::{Value, json};
use simulator::client::{read, respond};
use simulator::fault::{Fault, Symptom};
use simulator::nyctaxi::{HEARTBEAT_RULE, SCHEDULE_RULE};
use simulator::shape::ApiError;
use simulator::time::DAY;
use simulator::{Simulator, Time, only_reads, sets_guard};
use tokio::time::Instant;

use crate::defect::Defect;
use crate::history::{History, rng_for};
use crate::marks::{HOLD, MARK, OWED_TAG, TAG, WHOLE_MARK, WHOLE_RULE_MARK};
use crate::names::LISTED_ALARMS;
use crate::trouble::Troubles;

/// The state of a defect within one invocation.
#[derive(Debug, Default)]
pub struct Invocation {
    /// The event that it handles.
    event: Value,
    /// Whether the router is set to drain.
    drains: bool,
    /// The first answer to each request, for a router that reads only once.
    first: BTreeMap<String, Value>,
    /// How often it has listed the executions.
    lists: usize,
    /// Whether it has written to a guard.
    wrote: bool,
    /// The rules that it has written to, or failed to.
    rules: BTreeSet<String>,
    /// Whether SageMaker has refused a start of it for good.
    was_refused: bool,
    /// A tag that is still to be set.
    held_back: Option<Value>,
}

impl Invocation {
    pub fn new(event: Value, drains: bool) -> Self {
        Self { event, drains, ..Self::default() }
    }
}

tokio::task_local! {
    /// The invocation that makes the current call.
    pub static INVOCATION: Mutex<Invocation>;
}

/// The wire of one history.
#[derive(Clone, Debug)]
pub struct Wire {
    simulator: Simulator,
    latency: Duration,
    troubles: Troubles,
    begins: Instant,
    cooldown: Duration,
    rng: Arc<Mutex<Rng>>,
    defect: Option<Defect>,
    /// For each execution that a start returned: whether a heartbeat started it.
    pub by_heartbeat: Arc<Mutex<BTreeMap<String, bool>>>,
    /// The operations other than reads that a status called.
    pub status_writes: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    pub fn new(simulator: Simulator, history: &History, begins: Instant, defect: Option<Defect>) -> Self {
        let (latency, rng) = (history.latency, rng_for(history.seed, "latency"));
        let cooldown = history.kept_cooldown().unwrap_or_default();
        Self {
            simulator,
            latency,
            troubles: history.troubles.clone(),
            begins,
            cooldown,
            rng: Arc::new(Mutex::new(rng)),
            defect,
            by_heartbeat: Arc::default(),
            status_writes: Arc::default(),
        }
    }

    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    pub fn http_client(self) -> aws_smithy_runtime_api::client::http::SharedHttpClient {
        let connector = SharedHttpConnector::new(self);
        http_client_fn(move |_, _| connector.clone())
    }

    /// The time of the history.
    fn now(&self) -> Duration {
        self.begins.elapsed()
    }

    async fn pass_time(&self) {
        let most = u64::try_from(self.latency.as_millis()).unwrap();
        let taken = self.rng.lock().unwrap().u64(1..=most.max(1));
        tokio::time::sleep(Duration::from_millis(taken)).await;
    }

    async fn exchange(&self, target: &str, authorization: &str, input: Value) -> Result<Value, Symptom> {
        self.pass_time().await;
        let operation = target.split('.').next_back().unwrap();
        let delay = self.troubles.delay(operation, &input, self.now());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if is_status() && !only_reads(operation) {
            self.status_writes.lock().unwrap().push(operation.to_owned());
        }
        let answer = self.simulator.exchange(target, authorization, input.to_string().as_bytes()).await;
        if let Ok(Some(arn)) = answer.as_ref().map(|answer| answer["PipelineExecutionArn"].as_str())
            && target.ends_with(".StartPipelineExecution")
        {
            self.by_heartbeat.lock().unwrap().entry(arn.to_owned()).or_insert_with(is_heartbeat);
        }
        self.pass_time().await;
        answer
    }

    /// Makes the exchange as a router with the defect would.
    async fn sabotage(
        &self,
        defect: Defect,
        target: &str,
        authorization: &str,
        mut input: Value,
    ) -> Result<Value, Symptom> {
        let operation = target.split('.').next_back().unwrap();
        let request = format!("{operation} {input}");
        let arn = input["PipelineExecutionArn"].clone();
        let rule = input["Name"].as_str().or(input["ResourceARN"].as_str());
        let rule = rule.and_then(|name| name.rsplit('/').next()).map(str::to_owned);
        match (defect, operation) {
            (Defect::AStatusWrites, "DescribeRule") if is_status() => {
                let enable = json!({ "Name": input["Name"] });
                self.exchange("AWSEvents.EnableRule", authorization, enable).await?;
            }
            (Defect::ARequestStartsTwice, "StartPipelineExecution") if is_request() => {
                let number = self.rng.lock().unwrap().u64(..);
                input["ClientRequestToken"] = format!("{number:_<40}").into();
            }
            (Defect::TokenOfTheEvent, "StartPipelineExecution") => {
                let name = input["PipelineExecutionDisplayName"].as_str().unwrap_or_default();
                input["ClientRequestToken"] = format!("{name:_<40}").into();
            }
            (Defect::AnswersTheJobTooSoon, "PutJobSuccessResult") => {
                let token = input["continuationToken"].take();
                if !token.is_null() {
                    input["outputVariables"] = json!({ "PipelineExecutionArn": token });
                }
            }
            (Defect::TagsAfterDisabling, "TagResource") => {
                with_invocation(|i| i.held_back = Some(input));
                return Ok(json!({}));
            }
            (Defect::UntagsBeforeEnabling, "EnableRule") => {
                let arn = self.simulator.world().eventbridge.arn(rule.as_deref().unwrap());
                let untag = json!({ "ResourceARN": arn, "TagKeys": [TAG] });
                self.exchange(&target.replace("EnableRule", "UntagResource"), authorization, untag).await?;
            }
            (Defect::RemovesTheTagBeforeTheStart, "StartPipelineExecution") if is_heartbeat() => {
                let arn = self.simulator.world().eventbridge.arn(SCHEDULE_RULE);
                let untag = json!({ "ResourceARN": arn, "TagKeys": [OWED_TAG] });
                let authorization = authorization.replace("/sagemaker/", "/events/");
                self.exchange("AWSEvents.UntagResource", &authorization, untag).await?;
            }
            (Defect::DrainLeavesTheTag, "UntagResource")
                if input["TagKeys"][0] == OWED_TAG && with_invocation(|i| i.drains) =>
            {
                return Ok(json!({}));
            }
            (Defect::AllOrNothingMutes, "ListAlarmMuteRules")
                if LISTED_ALARMS.iter().any(|alarm| self.troubles.hides_mutes(alarm, self.now()..self.now())) =>
            {
                return Err(Fault::Refused("AccessDeniedException").symptom());
            }
            (Defect::OneRefusalEndsTheHeartbeat, "StartPipelineExecution") if with_invocation(|i| i.was_refused) => {
                return Err(Fault::Refused("ValidationException").symptom());
            }
            (Defect::DoesNotVerify, _) => {
                if let Some(known) = with_invocation(|i| i.first.get(&request).filter(|_| i.wrote).cloned()) {
                    let written = rule.is_none_or(|rule| with_invocation(|i| i.rules.contains(&rule)));
                    return Ok(if written { self.as_if_set(operation, known) } else { known });
                }
            }
            _ => {}
        }
        let answer = self.exchange(target, authorization, input).await;
        if defect == Defect::TagsAfterDisabling
            && operation == "DisableRule"
            && answer.is_ok()
            && let Some(tag) = with_invocation(|i| i.held_back.take())
        {
            self.exchange(&target.replace("DisableRule", "TagResource"), authorization, tag).await?;
        }
        let writes = sets_guard(operation);
        if writes && (defect != Defect::SwallowsAGuardsError || answer.is_err()) {
            with_invocation(|i| {
                i.wrote = true;
                i.rules.extend(rule.clone());
            });
        }
        if writes && defect == Defect::SwallowsAGuardsError && rule.is_some() {
            return Ok(answer.unwrap_or(json!({})));
        }
        let is_code = |code: &str| matches!(&answer, Err(Symptom::Answer(error)) if error.code == code);
        if operation == "StartPipelineExecution" && is_code("ValidationException") {
            with_invocation(|i| i.was_refused = true);
        }
        if defect == Defect::FailsADeferredStart && is_code("ResourceLimitExceeded") {
            return Err(Symptom::Answer(ApiError::internal()));
        }
        if defect == Defect::BelievesADeletedExecution
            && operation == "DescribePipelineExecution"
            && self.simulator.world().sagemaker.executions.iter().any(|e| e.is_deleted() && arn == *e.arn)
        {
            return Ok(json!({ "PipelineExecutionArn": arn, "PipelineExecutionStatus": "Succeeded" }));
        }
        let mut answer = answer?;
        // Two services have an operation of this name.
        let operation = if target.starts_with("CodePipeline") && operation == "ListPipelineExecutions" {
            "ListDeployments"
        } else {
            operation
        };
        self.distort(defect, operation, rule.as_deref(), &mut answer);
        if defect == Defect::DoesNotVerify {
            with_invocation(|i| {
                i.first.entry(request).or_insert_with(|| answer.clone());
            });
        }
        Ok(answer)
    }

    /// The answer as it would be if the router's own writes were in effect.
    fn as_if_set(&self, operation: &str, mut answer: Value) -> Value {
        let engaged =
            self.simulator.world().sagemaker.executions.iter().any(simulator::sagemaker::Execution::is_active);
        match operation {
            "GetPipelineState" => {
                for_each_transition(&mut answer, |transition| {
                    let reason = transition["disabledReason"].as_str();
                    if reason.is_none_or(|reason| reason.starts_with(MARK) && reason != HOLD) {
                        *transition = json!({ "enabled": !engaged, "disabledReason": WHOLE_MARK });
                    }
                });
            }
            "DescribeRule" => answer["State"] = if engaged { "DISABLED" } else { "ENABLED" }.into(),
            "ListTagsForResource" => answer = tags(engaged),
            _ => {}
        }
        answer
    }

    fn distort(&self, defect: Defect, operation: &str, rule: Option<&str>, answer: &mut Value) {
        let lists = with_invocation(|i| {
            i.lists += usize::from(operation == "ListPipelineExecutions"); // SageMaker's
            i.lists
        });
        let written = rule.is_some_and(|rule| with_invocation(|i| i.rules.contains(rule)));
        match (defect, operation) {
            (Defect::ReleasesWhileAnotherRuns, "ListPipelineExecutions") => {
                if let Some(list) = answer["PipelineExecutionSummaries"].as_array_mut() {
                    list.truncate(1);
                }
            }
            (Defect::ReadsOnePage, "ListPipelineExecutions") => answer["NextToken"] = Value::Null,
            (Defect::TrustsTheEvent, "ListPipelineExecutions" | "DescribePipelineExecution") => {
                let detail = with_invocation(|i| i.event["detail"].clone());
                for_each_execution(answer, |execution| {
                    if execution["PipelineExecutionArn"] == detail["pipelineExecutionArn"] {
                        execution["PipelineExecutionStatus"] = detail["currentPipelineExecutionStatus"].clone();
                    }
                });
            }
            (Defect::StoppingIsEnded, "ListPipelineExecutions" | "DescribePipelineExecution") => {
                for_each_execution(answer, |execution| {
                    if execution["PipelineExecutionStatus"] == "Stopping" {
                        execution["PipelineExecutionStatus"] = "Stopped".into();
                    }
                });
            }
            (Defect::ShowsWhatItDoesNotDo, "ListPipelineExecutions") if is_status() => {
                for_each_execution(answer, |execution| execution["PipelineExecutionStatus"] = "Succeeded".into());
            }
            (Defect::ARequestStartsTwice, "ListPipelineExecutions") if is_request() => {
                for_each_execution(answer, |execution| execution["PipelineExecutionDisplayName"] = Value::Null);
            }
            (Defect::ARequestStartsBesideAnActiveExecution, "ListPipelineExecutions") if lists == 1 && is_request() => {
                for_each_execution(answer, |execution| execution["PipelineExecutionStatus"] = "Succeeded".into());
            }
            (Defect::ADeploymentDoesNotWait, "ListPipelineExecutions") if lists == 1 && is_deployment() => {
                for_each_execution(answer, |execution| execution["PipelineExecutionStatus"] = "Succeeded".into());
            }
            (Defect::OldCodeIsTrainedLast, "ListPipelineExecutions") if is_deployment() => {
                for_each_execution(answer, |execution| start_earlier(execution, (60 * DAY).as_secs_f64()));
            }
            (Defect::OnlyItsEventCountsAFailure, "ListPipelineExecutions") if !is_execution_status() => {
                for_each_execution(answer, |execution| {
                    if ["Failed", "CompletedWithFailures"].iter().any(|it| execution["PipelineExecutionStatus"] == *it)
                    {
                        execution["PipelineExecutionStatus"] = "Stopped".into();
                    }
                });
            }
            (Defect::NoDuplicateCheck, "ListPipelineExecutions") => {
                for_each_execution(answer, |execution| execution["PipelineExecutionDisplayName"] = Value::Null);
            }
            (Defect::ForgetsTheCooldown, "ListPipelineExecutions") => {
                for_each_execution(answer, |execution| execution["StartTime"] = Value::Null);
            }
            (Defect::StartsBesideAnActiveExecution, "ListPipelineExecutions") if lists == 1 && is_trigger() => {
                for_each_execution(answer, |execution| execution["PipelineExecutionStatus"] = "Succeeded".into());
            }
            (Defect::IgnoresHolds, "GetPipelineState") => {
                for_each_transition(answer, |transition| transition["disabledReason"] = WHOLE_MARK.into());
            }
            (Defect::TakesFirstWordsForAMark, "GetPipelineState") => {
                for_each_transition(answer, |transition| {
                    if transition["disabledReason"].as_str().is_some_and(|reason| reason.starts_with(MARK)) {
                        transition["disabledReason"] = WHOLE_MARK.into();
                    }
                });
            }
            (Defect::RefusesOnAStaleList, "DescribePipelineExecution") if is_schedulers_tick() => {
                answer["PipelineExecutionStatus"] = "Executing".into();
            }
            (Defect::RollbackCancelsNothing, "ListDeployments") => {
                let deployments = answer["pipelineExecutionSummaries"].as_array_mut().unwrap();
                deployments.retain(|deployment| deployment["executionType"] != "ROLLBACK");
            }
            (Defect::IgnoresHolds, "ListTagsForResource")
                if !self.simulator.world().eventbridge.rule(rule.unwrap()).unwrap().is_enabled() =>
            {
                *answer = tags(true);
            }
            // The invocation of a trigger reads that every guard is held. So it sets none.
            (Defect::EngagesOnTheStatusEventOnly, "GetPipelineState") if is_trigger() => {
                for_each_transition(answer, |t| *t = json!({ "enabled": false, "disabledReason": "somebody" }));
            }
            (Defect::EngagesOnTheStatusEventOnly, "DescribeRule") if is_trigger() => {
                answer["State"] = "DISABLED".into()
            }
            (Defect::EngagesOnTheStatusEventOnly, "ListTagsForResource") if is_trigger() => *answer = tags(false),
            (Defect::ReadsNoAlarm, "DescribeAlarms") => *answer = json!({}),
            (Defect::ReadsNoLogAlarm, "DescribeAlarms") => answer["LogAlarms"] = Value::Null,
            (Defect::IgnoresDisabledActions, "DescribeAlarms") => {
                for_each_alarm(answer, |alarm| alarm["ActionsEnabled"] = true.into());
            }
            (Defect::WaitsForATimeAhead, "ListDeployments") => {
                let latest = self.simulator.world().client_time().as_secs_f64() + 290.0;
                for deployment in answer["pipelineExecutionSummaries"].as_array_mut().into_iter().flatten() {
                    let changed = deployment["lastUpdateTime"].as_f64().unwrap();
                    deployment["lastUpdateTime"] = changed.min(latest).into();
                }
            }
            (Defect::ReadsOnly100Deployments, "ListDeployments") => {
                let read: Option<usize> = answer["nextToken"].as_str().map(|token| token.parse().unwrap());
                if read.is_some_and(|read| read >= 100) {
                    answer["nextToken"] = Value::Null;
                }
            }
            (Defect::IgnoresMutes, "ListAlarmMuteRules") => *answer = json!({}),
            (Defect::ServedByNameOnly, "ListPipelineExecutions") if !is_heartbeat() && is_tick() => {
                for_each_execution(answer, |execution| start_earlier(execution, (60 * DAY).as_secs_f64()));
            }
            (Defect::NoMargin, "ListPipelineExecutions") => {
                let changed = with_invocation(|i| {
                    let changed = i.event["detail"]["state"]["timestamp"].as_str()?.strip_suffix("+0000")?;
                    let changed = humantime::parse_rfc3339(&format!("{changed}Z")).ok()?;
                    Some(changed.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64())
                });
                for_each_execution(answer, |execution| {
                    let started = execution["StartTime"].as_f64().unwrap_or_default();
                    if changed.is_some_and(|changed| (changed - 600.0..=changed).contains(&started)) {
                        start_earlier(execution, 600.0);
                    }
                });
            }
            (Defect::CooldownDropsDrift, "DescribeAlarms") => {
                let world = self.simulator.world();
                for_each_alarm(answer, |alarm| {
                    let changed = Time::from_secs_f64(alarm["StateTransitionedTimestamp"].as_f64().unwrap());
                    let drops = |started: Time| (started..started + self.cooldown).contains(&changed);
                    if world.sagemaker.executions.iter().any(|execution| drops(execution.created)) {
                        alarm["StateValue"] = "OK".into();
                    }
                });
            }
            (Defect::CatchesUpBesideAnActiveExecution, "ListPipelineExecutions") if lists == 1 && is_heartbeat() => {
                for_each_execution(answer, |execution| execution["PipelineExecutionStatus"] = "Succeeded".into());
            }
            (Defect::CatchesUpDespiteAHold, "DescribeRule") if is_heartbeat() => {
                let is_marked = self.simulator.world().eventbridge.rule(rule.unwrap()).unwrap().tags.contains_key(TAG);
                if !is_marked {
                    answer["State"] = "ENABLED".into();
                }
            }
            (Defect::CountsRollbacks, "ListDeployments") => {
                for deployment in answer["pipelineExecutionSummaries"].as_array_mut().into_iter().flatten() {
                    deployment["executionType"] = "STANDARD".into();
                }
            }
            (Defect::LetsTheLastFailureHideADeployment, "ListDeployments") => {
                let deployments = answer["pipelineExecutionSummaries"].as_array_mut().unwrap();
                deployments.truncate(1);
                deployments.retain(|newest| newest["status"] == "Succeeded");
                answer["nextToken"] = Value::Null;
            }
            (Defect::TakesAnotherRoutersMarkForAHold, "ListTagsForResource") => {
                let tags = answer["Tags"].as_array_mut().unwrap();
                tags.retain(|tag| !tag["Value"].as_str().unwrap().starts_with("fraud-pipeline/"));
            }
            // The router reads that the stage is held while an execution runs.
            (Defect::DrainsOnlyWhenIdle, "GetPipelineState") if with_invocation(|i| i.drains) => {
                let world = self.simulator.world();
                if world.sagemaker.executions.iter().any(simulator::sagemaker::Execution::is_active) {
                    for_each_transition(answer, |transition| transition["disabledReason"] = "somebody".into());
                }
            }
            (Defect::HasNoBrake, "ListPipelineExecutions") if is_heartbeat() => {
                let executions = answer["PipelineExecutionSummaries"].as_array_mut().unwrap();
                executions.iter_mut().skip(1).for_each(|execution| start_earlier(execution, (2 * DAY).as_secs_f64()));
            }
            (Defect::SwallowsAGuardsError, _) if written => *answer = self.as_if_set(operation, answer.take()),
            _ => {}
        }
    }
}

/// Reads or changes the state of the invocation that makes the current call.
fn with_invocation<T>(note: impl FnOnce(&mut Invocation) -> T) -> T {
    INVOCATION.with(|invocation| note(&mut invocation.lock().unwrap()))
}

/// Makes an execution look as if it had started this number of seconds earlier.
fn start_earlier(execution: &mut Value, seconds: f64) {
    if let Some(started) = execution["StartTime"].as_f64() {
        execution["StartTime"] = (started - seconds).into();
    }
}

/// Whether the invocation's event is a tick of a rule: of the schedule or of the heartbeat.
fn is_tick() -> bool {
    with_invocation(|i| i.event["source"] == "aws.events")
}

/// Whether the invocation's event is a tick of EventBridge Scheduler.
fn is_schedulers_tick() -> bool {
    with_invocation(|i| i.event["source"] == "aws.scheduler")
}

/// Whether the invocation's event is a heartbeat.
fn is_heartbeat() -> bool {
    with_invocation(|i| i.event["resources"][0].as_str().is_some_and(|arn| arn.ends_with(HEARTBEAT_RULE)))
}

/// Whether somebody asks for the status.
fn is_status() -> bool {
    with_invocation(|i| i.event["source"] == "drift-router" && i.event["detail-type"] == "Status")
}

/// Whether somebody asks for a retraining.
fn is_request() -> bool {
    with_invocation(|i| i.event["source"] == "drift-router" && i.event["detail-type"] == "Retrain")
}

/// Whether the invocation's event reports a deployment.
fn is_deployment() -> bool {
    with_invocation(|i| i.event["source"] == "aws.codepipeline")
}

/// Whether the invocation's event reports the status of an execution.
fn is_execution_status() -> bool {
    with_invocation(|i| i.event["source"] == "aws.sagemaker")
}

/// Whether the invocation's event requests a retraining.
fn is_trigger() -> bool {
    with_invocation(|i| {
        let schedule = i.event["resources"][0].as_str().is_some_and(|arn| arn.contains("schedule"));
        schedule
            || i.event["source"] == "aws.cloudwatch"
            || i.event["source"] == "aws.codepipeline"
            || i.event["CodePipeline.job"].is_object()
    })
}

fn tags(tagged: bool) -> Value {
    let tags = if tagged { vec![json!({ "Key": TAG, "Value": WHOLE_RULE_MARK })] } else { vec![] };
    json!({ "Tags": tags })
}

fn for_each_execution(answer: &mut Value, mut change: impl FnMut(&mut Value)) {
    if answer["PipelineExecutionSummaries"].is_array() {
        answer["PipelineExecutionSummaries"].as_array_mut().unwrap().iter_mut().for_each(change);
    } else {
        change(answer);
    }
}

fn for_each_alarm(answer: &mut Value, mut change: impl FnMut(&mut Value)) {
    for kind in ["MetricAlarms", "CompositeAlarms", "LogAlarms"] {
        answer[kind].as_array_mut().into_iter().flatten().for_each(&mut change);
    }
}

fn for_each_transition(answer: &mut Value, change: impl FnMut(&mut Value)) {
    let stages = answer["stageStates"].as_array_mut().into_iter().flatten();
    stages.filter_map(|stage| stage.get_mut("inboundTransitionState")).for_each(change);
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wire = self.clone();
        HttpConnectorFuture::new(async move {
            let request = read(&request);
            let (target, authorization) = (&request.target, &request.authorization);
            let input = serde_json::from_slice(&request.body).unwrap();
            let answer = match wire.defect {
                None => wire.exchange(target, authorization, input).await,
                Some(defect) => wire.sabotage(defect, target, authorization, input).await,
            };
            respond(&request, answer)
        })
    }
}
