//! CodePipeline's stage transitions.
//!
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetPipelineState.html> and its neighbours.

use serde_json::{Value, json};

use crate::shape::{ApiError, CODE_PIPELINE_NAME, DISABLED_REASON, Input, TRANSITION_TYPE};
use crate::world::{Place, Time, seconds};

/// One stage's inbound transition.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The stage's name.
    pub name: String,
    /// Why the transition is disabled; `None` while it is enabled.
    pub disabled_reason: Option<String>,
    /// When it was last enabled or disabled; `None` if it never was.
    changed: Option<Time>,
}

/// The service, with one pipeline.
#[derive(Debug)]
pub struct CodePipeline {
    place: Place,
    pipeline: String,
    /// The pipeline's stages, in their order.
    pub stages: Vec<Stage>,
}

impl CodePipeline {
    pub(crate) fn new(place: Place, pipeline: &str, stages: &[String]) -> Self {
        Self {
            place,
            pipeline: pipeline.to_owned(),
            stages: stages
                .iter()
                .map(|name| Stage { name: name.clone(), disabled_reason: None, changed: None })
                .collect(),
        }
    }

    pub(crate) fn call(&mut self, operation: &str, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        match operation {
            "GetPipelineState" => self.get_pipeline_state(input),
            "DisableStageTransition" => {
                let reason = input.required("reason", &DISABLED_REASON)?;
                self.transition(input, Some(reason), now)
            }
            "EnableStageTransition" => self.transition(input, None, now),
            _ => Err(ApiError::refused("UnknownOperationException", operation)),
        }
    }

    /// The ARN that a request is about, for IAM.
    pub(crate) fn resource(&self, input: Input<'_>) -> String {
        let part = |name: &str| input.0[name].as_str();
        let pipeline = part("pipelineName").or(part("name")).unwrap_or_default();
        let stage = part("stageName").map(|stage| format!("/{stage}")).unwrap_or_default();
        self.place.arn("codepipeline", &format!("{pipeline}{stage}"))
    }

    /// Disables (with a reason) or enables a stage's inbound transition, as a person does. Gives `None` where there is no such
    /// stage.
    pub fn set_transition(&mut self, stage: &str, disabled_reason: Option<&str>, now: Time) -> Option<()> {
        let stage = self.stages.iter_mut().find(|s| s.name == stage)?;
        stage.disabled_reason = disabled_reason.map(str::to_owned);
        stage.changed = Some(now);
        Some(())
    }

    fn check_pipeline(&self, name: &str) -> Result<(), ApiError> {
        if name == self.pipeline {
            Ok(())
        } else {
            let message = format!("Account does not have a pipeline with name '{name}'");
            Err(ApiError::refused("PipelineNotFoundException", message))
        }
    }

    fn get_pipeline_state(&self, input: Input<'_>) -> Result<Value, ApiError> {
        self.check_pipeline(input.required("name", &CODE_PIPELINE_NAME)?)?;
        let stages: Vec<Value> = self
            .stages
            .iter()
            .enumerate()
            .map(|(position, stage)| {
                let mut state = json!({ "stageName": stage.name, "actionStates": [] });
                // The first stage has no inbound transition.
                if position > 0 {
                    let mut transition = json!({ "enabled": stage.disabled_reason.is_none() });
                    if let Some(reason) = &stage.disabled_reason {
                        transition["disabledReason"] = reason.as_str().into();
                    }
                    if let Some(changed) = stage.changed {
                        transition["lastChangedAt"] = seconds(changed).into();
                        transition["lastChangedBy"] = self.place.arn("iam", "user/somebody").into();
                    }
                    state["inboundTransitionState"] = transition;
                }
                state
            })
            .collect();
        Ok(json!({ "pipelineName": self.pipeline, "pipelineVersion": 1, "stageStates": stages }))
    }

    fn transition(&mut self, input: Input<'_>, reason: Option<&str>, now: Time) -> Result<Value, ApiError> {
        let pipeline = input.required("pipelineName", &CODE_PIPELINE_NAME)?;
        let stage = input.required("stageName", &CODE_PIPELINE_NAME)?;
        let direction = input.required("transitionType", &TRANSITION_TYPE)?;
        self.check_pipeline(pipeline)?;
        if direction == "Outbound" {
            return Err(ApiError::refused("ValidationException", "only inbound transitions are simulated"));
        }
        self.set_transition(stage, reason, now).map(|()| json!({})).ok_or_else(|| {
            let message = format!("Pipeline '{pipeline}' does not have a stage with name '{stage}'");
            ApiError::refused("StageNotFoundException", message)
        })
    }
}
