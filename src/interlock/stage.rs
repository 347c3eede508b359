//! The stage's guard: the inbound transition of one CodePipeline stage.
//!
//! State and mark are one write: the reason of a disabled transition says who disabled it.
//! <https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html>

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::types::StageTransitionType;

use super::{GuardError, GuardState};
use crate::BoxError;
use crate::decision::Wanted;

/// What the reason of every transition that the router disables begins with. CodePipeline accepts 1 to 300 characters of
/// `[a-zA-Z0-9!@ ().*?-]` and nothing else.
const MARK: &str = "Disabled by drift-router";

/// One stage of the CodePipeline.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) pipeline: String,
    pub(super) stage: String,
}

impl Stage {
    pub(super) async fn look(&self) -> Result<GuardState, GuardError> {
        self.read().await.map_err(|source| self.error("read", source))
    }

    async fn read(&self) -> Result<GuardState, BoxError> {
        let pipeline = self.client.get_pipeline_state().name(&self.pipeline).send().await?;
        let stage = pipeline
            .stage_states()
            .iter()
            .find(|stage| stage.stage_name() == Some(&self.stage))
            .ok_or("the pipeline has no such stage")?;
        // A stage that nobody ever disabled may have no transition state at all.
        let Some(transition) = stage.inbound_transition_state() else {
            return Ok(GuardState::Enabled);
        };
        Ok(if transition.enabled() {
            GuardState::Enabled
        } else if transition.disabled_reason().unwrap_or_default().starts_with(MARK) {
            GuardState::Paused
        } else {
            GuardState::Held
        })
    }

    pub(super) async fn set(&self, wanted: Wanted<'_>) -> Result<(), GuardError> {
        match wanted {
            Wanted::Engaged { execution_id } => self
                .client
                .disable_stage_transition()
                .pipeline_name(&self.pipeline)
                .stage_name(&self.stage)
                .transition_type(StageTransitionType::Inbound)
                .reason(reason(execution_id))
                .send()
                .await
                .map(drop)
                .map_err(|source| self.error("disabled", source.into())),
            Wanted::Released => self
                .client
                .enable_stage_transition()
                .pipeline_name(&self.pipeline)
                .stage_name(&self.stage)
                .transition_type(StageTransitionType::Inbound)
                .send()
                .await
                .map(drop)
                .map_err(|source| self.error("enabled", source.into())),
        }
    }

    fn error(&self, action: &'static str, source: BoxError) -> GuardError {
        GuardError {
            guard: format!("the inbound transition of stage {} of CodePipeline {}", self.stage, self.pipeline),
            action,
            advice: "CODE_PIPELINE_NAME, BUILD_STAGE_NAME and the permissions codepipeline:GetPipelineState, \
                     DisableStageTransition and EnableStageTransition"
                .to_owned(),
            source,
        }
    }
}

/// The words that a person reads in CodePipeline's console.
fn reason(execution_id: &str) -> String {
    let id: String = execution_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect();
    format!("{MARK} while SageMaker pipeline execution {id} runs. It is enabled again when no execution runs.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_one_that_codepipeline_accepts() {
        for id in ["abc123def456", "a:b/c", &"x".repeat(1000), ""] {
            let reason = reason(id);
            assert!(reason.len() <= 300, "{reason}");
            assert!(reason.starts_with(MARK));
            assert!(reason.chars().all(|c| c.is_ascii_alphanumeric() || "!@ ().*?-".contains(c)), "{reason}");
        }
        assert!(reason("abc123def456").contains("execution abc123def456 runs"));
    }
}
