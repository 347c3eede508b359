//! CodePipeline: the guard of one stage's inbound transition.
//!
//! State and mark of a transition are one write: the reason of a disabled transition is the mark.
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html>

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::StageTransitionType;

use crate::aws::call::{CallError, Remedy};
use crate::aws::mark;
use crate::model::{DesiredState, GuardState};

/// One stage of the CodePipeline.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(super) client: Client,
    pub(super) pipeline: String,
    pub(super) stage: String,
    pub(super) owner: String,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObservedStage {
    pub(super) state: GuardState,
    /// Why the transition is disabled: a mark, or what a person wrote.
    pub(super) reason: Option<String>,
}

impl Stage {
    pub(super) async fn read(&self) -> Result<ObservedStage, CallError> {
        let answer = self.client.get_pipeline_state().name(&self.pipeline).send().await;
        let pipeline =
            answer.map_err(|error| CallError::new(self.to("read"), remedy("codepipeline:GetPipelineState"), error))?;
        let stage =
            pipeline.stage_states().iter().find(|stage| stage.stage_name() == Some(&self.stage)).ok_or_else(|| {
                CallError::not_found(
                    self.to("read"),
                    remedy("codepipeline:GetPipelineState"),
                    "the pipeline has no such stage",
                )
            })?;
        Ok(match stage.inbound_transition_state() {
            Some(transition) if !transition.enabled() => {
                let reason = transition.disabled_reason();
                let state = match mark::stage_mark_owner(reason.unwrap_or_default()) {
                    Some(owner) if owner == self.owner => GuardState::DisabledByRouter,
                    Some(owner) => GuardState::MarkedByOtherRouter { owner: owner.to_owned() },
                    None => GuardState::DisabledByOther,
                };
                ObservedStage { state, reason: reason.map(str::to_owned) }
            }
            // A stage that nobody ever disabled may have no transition state at all.
            _ => ObservedStage { state: GuardState::Enabled, reason: None },
        })
    }

    pub(super) async fn set(&self, desired: &DesiredState) -> Result<(), CallError> {
        match desired {
            DesiredState::Engaged { execution_id } => {
                let disable = self.client.disable_stage_transition().pipeline_name(&self.pipeline);
                let disable = disable.stage_name(&self.stage).transition_type(StageTransitionType::Inbound);
                let disabled = disable.reason(mark::stage_mark(&self.owner, execution_id)).send().await;
                disabled.map(drop).map_err(|error| {
                    CallError::new(self.to("disable"), remedy("codepipeline:DisableStageTransition"), error)
                })
            }
            DesiredState::Released => {
                let enable = self.client.enable_stage_transition().pipeline_name(&self.pipeline);
                let enable = enable.stage_name(&self.stage).transition_type(StageTransitionType::Inbound);
                enable.send().await.map(drop).map_err(|error| {
                    CallError::new(self.to("enable"), remedy("codepipeline:EnableStageTransition"), error)
                })
            }
        }
    }

    fn to(&self, verb: &str) -> String {
        format!("{verb} the inbound transition of stage {} of CodePipeline {}", self.stage, self.pipeline)
    }
}

fn remedy(permission: &str) -> Remedy<'_> {
    Remedy { setting: "CODE_PIPELINE_NAME and BUILD_STAGE_NAME", permission }
}
