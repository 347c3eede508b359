//! The world of one project: four services, one clock, the events that it emits, and the calls that it receives.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::call::{Call, Observer, Service};
use crate::cloudwatch::CloudWatch;
use crate::codepipeline::CodePipeline;
use crate::emitted::Emitted;
use crate::eventbridge::EventBridge;
use crate::fault::{Called, FaultSource, Symptom};
use crate::place::Place;
use crate::project::Project;
use crate::record;
use crate::sagemaker::SageMaker;
use crate::shape::{ApiError, Input};
use crate::time::{Time, shifted, timestamp};

/// The state of one project.
pub struct World {
    /// SageMaker.
    pub sagemaker: SageMaker,
    /// CodePipeline.
    pub codepipeline: CodePipeline,
    /// EventBridge.
    pub eventbridge: EventBridge,
    /// CloudWatch.
    pub cloudwatch: CloudWatch,
    /// How many milliseconds the clock of the router's machine is ahead.
    pub client_clock_skew: i64,
    /// How long every call takes.
    pub latency: Duration,
    /// Every call so far.
    pub calls: Vec<Call>,
    observer: Option<Observer>,
    faults: Vec<FaultSource>,
    project: Project,
    place: Place,
    began: Instant,
    events: VecDeque<Value>,
    events_so_far: u64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("project", &self.project).finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(project: &Project) -> Self {
        let place = Place::new(&project.region, &project.account);
        let rules = [&project.schedule_rule, &project.drift_rule, &project.heartbeat_rule].map(String::clone);
        Self {
            sagemaker: SageMaker::new(place.clone(), &project.sagemaker_pipeline),
            codepipeline: CodePipeline::new(place.clone(), &project.code_pipeline, &project.stages),
            eventbridge: EventBridge::new(place.clone(), &rules),
            cloudwatch: CloudWatch::new(place.clone()),
            client_clock_skew: 0,
            latency: Duration::ZERO,
            calls: Vec::new(),
            observer: None,
            faults: Vec::new(),
            project: project.clone(),
            place,
            began: Instant::now(),
            events: VecDeque::new(),
            events_so_far: 0,
        }
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.project.begins + self.began.elapsed()
    }

    /// The time on the router's machine.
    #[must_use]
    pub fn client_time(&self) -> Time {
        shifted(self.now(), self.client_clock_skew)
    }

    /// The AWS Region of this world.
    #[must_use]
    pub fn region(&self) -> &str {
        self.place.region()
    }

    /// Adds a source of faults. If several sources have a fault for a call, the first one applies.
    pub fn inject(&mut self, source: FaultSource) {
        self.faults.push(source);
    }

    /// Starts the clock of a copy, on the runtime that calls this.
    pub fn restart(&mut self) {
        self.began = Instant::now();
    }

    /// Whether there is a source of faults.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Removes all sources of faults.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Calls `observer` with every call from now on.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Serves one request. Returns the answer's body, or what the caller sees of an error. `target` names
    /// service and operation, as the header `X-Amz-Target` does. `authorization` is the header of that name.
    ///
    /// # Errors
    /// The [`Symptom`] that the caller sees if the service refuses the call or a fault is simulated.
    pub fn serve(&mut self, target: &str, authorization: &str, body: &[u8]) -> Result<Value, Symptom> {
        let Some((service, operation)) = Service::of_target(target) else {
            return Err(Symptom::Answer(ApiError::refused("UnknownOperationException", target)));
        };
        let input: Result<Value, _> = serde_json::from_slice(body);
        let called = Called { service: service.name(), operation, input: input.as_ref().unwrap_or(&Value::Null) };
        let fault = self.faults.iter_mut().find_map(|source| source(called));
        let (input, answer) = match (input, &fault) {
            (Err(error), _) => (Value::Null, Err(ApiError::refused("SerializationException", error.to_string()))),
            (Ok(input), Some(fault)) if !fault.is_applied() => (input, Ok(Value::Null)),
            (Ok(input), _) => {
                let answer = self
                    .authenticate(service, authorization)
                    .and_then(|()| self.apply(service, operation, Input(&input)));
                (input, answer)
            }
        };
        let answer = match fault {
            Some(fault) => Err(fault.symptom()),
            None => answer.map_err(Symptom::Answer),
        };
        let resource = match service {
            Service::SageMaker => self.sagemaker.resource(Input(&input)),
            Service::CodePipeline => self.codepipeline.resource(Input(&input)),
            Service::EventBridge => self.eventbridge.resource(Input(&input)),
            // Composite alarms can be described with "*" only, so the permission names no alarm.
            Service::CloudWatch => "*".to_owned(),
        };
        let call = Call {
            at: self.now(),
            service: service.name(),
            operation: operation.to_owned(),
            resource,
            input,
            result: answer.clone().map_err(|symptom| match symptom {
                Symptom::Answer(error) => error.code,
                Symptom::Reset => "connection reset".into(),
                Symptom::Silence => "no answer".into(),
            }),
        };
        if let Some(observer) = &mut self.observer {
            observer(&call);
        }
        self.calls.push(call);
        answer
    }

    /// Verifies the scope of a signature, but not the signature. So a request for the wrong Region or service is refused.
    fn authenticate(&self, service: Service, authorization: &str) -> Result<(), ApiError> {
        let scope = format!("/{}/{}/aws4_request", self.place.region(), service.signing_name());
        if authorization.is_empty() {
            Err(ApiError::refused("MissingAuthenticationTokenException", "Missing Authentication Token"))
        } else if !authorization.contains(&scope) {
            let message = format!("Credential should be scoped to {scope}.");
            Err(ApiError { status: 403, ..ApiError::refused("SignatureDoesNotMatch", message) })
        } else {
            Ok(())
        }
    }

    fn apply(&mut self, service: Service, operation: &str, input: Input<'_>) -> Result<Value, ApiError> {
        let now = self.now();
        let answer = match service {
            Service::SageMaker => self.sagemaker.call(operation, input, now),
            Service::CodePipeline => self.codepipeline.call(operation, input, now),
            Service::EventBridge => self.eventbridge.call(operation, input, now),
            Service::CloudWatch => self.cloudwatch.call(operation, input),
        };
        self.collect();
        answer
    }

    /// Records the permission that the last call needed.
    pub(crate) fn record_permission(&self) {
        // Calls on another SageMaker pipeline belong to another stack.
        let ours = self.place.arn("sagemaker", &format!("pipeline/{}", self.project.sagemaker_pipeline));
        let is_ours = |call: &&Call| match call.resource.strip_prefix(&ours) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => call.service != "sagemaker",
        };
        if let Some(call) = self.calls.last().filter(is_ours) {
            record::permission(call, &self.place);
        }
    }

    /// Takes the next event that EventBridge delivers to the router.
    pub fn next_event(&mut self) -> Option<Value> {
        self.events.pop_front()
    }

    /// Takes the next event by which CodePipeline gives the router a job, if there is one.
    pub fn next_job(&mut self) -> Option<Value> {
        self.codepipeline.events.pop_front()
    }

    fn collect(&mut self) {
        for emitted in std::mem::take(&mut self.sagemaker.events) {
            let event = self.envelope(emitted);
            self.events.push_back(event);
        }
    }

    fn envelope(&mut self, emitted: Emitted) -> Value {
        self.events_so_far += 1;
        json!({
            "version": "0",
            "id": format!("00000000-0000-4000-8000-{:012x}", self.events_so_far),
            "detail-type": emitted.detail_type,
            "source": emitted.source,
            "account": self.project.account,
            "time": timestamp(shifted(self.now(), self.eventbridge.clock_skew)),
            "region": self.project.region,
            "resources": emitted.resources,
            "detail": emitted.detail,
        })
    }

    /// An alarm changes its state. Returns the event that EventBridge delivers, or `None` if the alarm has that state already or
    /// the drift rule lets none through. The rule matches the change to ALARM only.
    pub fn change_alarm(&mut self, alarm: &str, state: &str) -> Option<Value> {
        let detail = self.cloudwatch.change(alarm, state, self.now())?;
        let arn = self.cloudwatch.arn(alarm);
        let rule = self.project.drift_rule.clone();
        let matches = state == "ALARM";
        matches.then(|| self.through(&rule, "aws.cloudwatch", "CloudWatch Alarm State Change", arn, detail)).flatten()
    }

    /// The rule of the schedule or of the heartbeat ticks. Returns the event that EventBridge delivers, or `None` while the rule
    /// lets none through.
    pub fn tick(&mut self, rule: &str) -> Option<Value> {
        let arn = self.eventbridge.arn(rule);
        self.through(rule, "aws.events", "Scheduled Event", arn, json!({}))
    }

    /// The schedule of EventBridge Scheduler ticks. Returns the event that it sends by default. No rule is involved.
    pub fn scheduler_tick(&mut self) -> Value {
        let arn = self.place.arn("scheduler", &format!("schedule/default/{}", self.project.schedule));
        let (source, detail_type) = ("aws.scheduler", "Scheduled Event");
        self.envelope(Emitted { source, detail_type, resources: vec![arn], detail: json!("{}") })
    }

    /// An execution of the CodePipeline succeeds. Returns the event that EventBridge delivers.
    pub fn code_deployed(&mut self, execution_id: &str) -> Value {
        self.code_pipeline_succeeds(execution_id, false)
    }

    /// An execution of the CodePipeline that rolls back to earlier code succeeds. Returns the event that EventBridge delivers.
    pub fn code_rolled_back(&mut self, execution_id: &str) -> Value {
        self.code_pipeline_succeeds(execution_id, true)
    }

    fn code_pipeline_succeeds(&mut self, execution_id: &str, is_rollback: bool) -> Value {
        self.codepipeline.end_execution(execution_id, "Succeeded", is_rollback, self.now());
        let pipeline = self.project.code_pipeline.clone();
        let mut detail =
            json!({ "pipeline": pipeline, "execution-id": execution_id, "state": "SUCCEEDED", "version": 1.0 });
        if self.codepipeline.events_have_trigger {
            let trigger = if is_rollback { "AutomatedRollback" } else { "Webhook" };
            detail["execution-trigger"] = json!({ "trigger-type": trigger });
        }
        self.envelope(Emitted {
            source: "aws.codepipeline",
            detail_type: "CodePipeline Pipeline Execution State Change",
            resources: vec![self.place.arn("codepipeline", &pipeline)],
            detail,
        })
    }

    fn through(
        &mut self,
        rule: &str,
        source: &'static str,
        detail_type: &'static str,
        arn: String,
        detail: Value,
    ) -> Option<Value> {
        let lets_through = self.eventbridge.lets_through(rule, self.now());
        lets_through.then(|| self.envelope(Emitted { source, detail_type, resources: vec![arn], detail }))
    }

    /// An execution of the CodePipeline ends without success. The router receives no event.
    pub fn end_code_pipeline(&mut self, execution_id: &str, status: &str) {
        self.codepipeline.end_execution(execution_id, status, false, self.now());
    }

    /// A copy of the services' state and faults as they are now, without the observer. Call [`World::restart`]
    /// before it is used.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            sagemaker: self.sagemaker.clone(),
            codepipeline: self.codepipeline.clone(),
            eventbridge: self.eventbridge.clone(),
            cloudwatch: self.cloudwatch.clone(),
            client_clock_skew: self.client_clock_skew,
            latency: self.latency,
            calls: Vec::new(),
            observer: None,
            faults: self.faults.iter().map(|source| (**source).copy()).collect(),
            project: Project { begins: self.now(), ..self.project.clone() },
            place: self.place.clone(),
            began: Instant::now(),
            events: VecDeque::new(),
            events_so_far: self.events_so_far,
        }
    }

    /// Starts an execution of the project's pipeline, as a person or another program does.
    pub fn start_execution(&mut self, display_name: Option<&str>) -> String {
        let pipeline = self.sagemaker.pipeline_arn();
        self.start_execution_of(&pipeline, display_name)
    }

    /// Starts an execution of a pipeline, given its name or ARN, as a person or another program does.
    pub fn start_execution_of(&mut self, pipeline: &str, display_name: Option<&str>) -> String {
        let arn = self.sagemaker.start(pipeline, display_name, self.now());
        self.collect();
        arn
    }

    /// Gives an execution another status: it stops, ends, or is retried.
    pub fn set_execution_status(&mut self, arn: &str, status: &str) {
        self.sagemaker.set_status(arn, status, self.now());
        self.collect();
    }

    /// Ends an execution: this step fails, for this reason.
    pub fn fail_step(&mut self, arn: &str, step: &str, reason: &str) {
        self.sagemaker.fail_step(arn, step, reason, self.now());
        self.collect();
    }

    /// Sets the state that an event (a sample, for example) reports. Emits no event.
    ///
    /// - An execution event: the execution exists and has this status.
    /// - A job: its action waits for an answer.
    /// - An alarm's event: the alarm has this state.
    /// - A success event of the CodePipeline: the execution has succeeded.
    ///
    /// Other events report no state.
    pub fn force_state(&mut self, event: &Value) {
        if let Some(job_id) = event["CodePipeline.job"]["id"].as_str() {
            self.codepipeline.force_state(job_id);
        }
        let detail = &event["detail"];
        let execution = detail["pipelineExecutionArn"].as_str();
        let status = detail["currentPipelineExecutionStatus"].as_str();
        if let (Some(arn), Some(status)) = (execution, status) {
            self.sagemaker.force_state(arn, status, self.now());
        }
        let alarm = if event["alarmData"].is_null() { detail } else { &event["alarmData"] };
        self.cloudwatch.force_state(alarm, self.now());
        if let (Some(id), "SUCCEEDED") = (detail["execution-id"].as_str(), detail["state"].as_str().unwrap_or_default())
        {
            let trigger = detail["execution-trigger"]["trigger-type"].as_str().unwrap_or_default();
            self.codepipeline.end_execution(id, "Succeeded", trigger.ends_with("Rollback"), self.now());
        }
    }

    /// An action of the CodePipeline invokes the router. Returns the event of its first job.
    pub fn run_action(&mut self, user_parameters: Option<&str>) -> Option<Value> {
        self.codepipeline.run_action(user_parameters);
        self.codepipeline.events.pop_back()
    }

    /// An operator disables (with a reason) or enables a stage's inbound transition.
    pub fn operate_stage(&mut self, stage: &str, disabled_reason: Option<&str>) {
        self.codepipeline.set_transition(stage, disabled_reason, self.now());
    }

    /// An operator enables or disables a rule.
    pub fn operate_rule(&mut self, name: &str, enabled: bool) {
        self.eventbridge.set_enabled(name, enabled, self.now());
    }

    /// Somebody tags a rule, or removes the tag.
    pub fn tag_rule(&mut self, name: &str, key: &str, value: Option<&str>) {
        self.eventbridge.set_tag(name, key, value, self.now());
    }

    /// A stack update replaces a rule: it is enabled, and its tags are gone.
    pub fn replace_rule(&mut self, name: &str) {
        self.eventbridge.replace(name, self.now());
    }

    /// The state that `GET /simulator/state` shows: the guards, the executions from the newest to the oldest, and the alarms.
    #[must_use]
    pub fn state(&self) -> Value {
        let stages: serde_json::Map<String, Value> = self
            .codepipeline
            .stages
            .iter()
            .skip(1)
            .map(|stage| {
                (
                    stage.name.clone(),
                    json!({ "enabled": stage.disabled_reason.is_none(), "reason": stage.disabled_reason }),
                )
            })
            .collect();
        let rules: serde_json::Map<String, Value> = self
            .eventbridge
            .rules
            .iter()
            .map(|rule| (rule.name.clone(), json!({ "enabled": rule.is_enabled(), "tags": rule.tags })))
            .collect();
        let executions: Vec<Value> = self
            .sagemaker
            .executions
            .iter()
            .rev()
            .map(|e| json!({ "arn": e.arn, "displayName": e.display_name, "status": e.status() }))
            .collect();
        let alarms: serde_json::Map<String, Value> =
            self.cloudwatch.alarms.iter().map(|alarm| (alarm.name.clone(), alarm.state().into())).collect();
        json!({ "stages": stages, "rules": rules, "executions": executions, "alarms": alarms })
    }
}
