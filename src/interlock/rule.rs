//! A rule's guard: one EventBridge rule, paused and resumed.
//!
//! State and mark are two writes, and EventBridge has no compare-and-set. The tag is set before the rule is disabled and removed
//! after it is enabled, so a crash in between leaves a state that the next look repairs.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DisableRule.html>

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{RuleState, Tag};

use super::{GuardError, GuardState};
use crate::BoxError;
use crate::decision::Wanted;

/// The tag on a rule that the router has paused; its value is the id of the execution for which it did.
const TAG: &str = "drift-router:paused-by";

/// One rule of the default event bus.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) client: Client,
    pub(super) name: String,
    /// The variable that names the rule, for messages.
    pub(super) variable: &'static str,
}

/// Where the rules live, taken from the function's own ARN: tags are read by ARN, and knowing it saves a round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleArns {
    prefix: String,
}

impl RuleArns {
    /// `None` where the ARN is not a function's, as with local emulators.
    pub(crate) fn beside_function(function_arn: &str) -> Option<Self> {
        let mut parts = function_arn.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("arn"), Some(partition), Some("lambda"), Some(region), Some(account)) => {
                Some(Self { prefix: format!("arn:{partition}:events:{region}:{account}:rule/") })
            }
            _ => None,
        }
    }

    fn of(&self, rule: &str) -> String {
        format!("{}{rule}", self.prefix)
    }
}

/// A rule as one look found it, with the ARN by which it is tagged.
#[derive(Debug)]
pub(super) struct RuleSighting {
    pub(super) state: GuardState,
    arn: String,
}

impl Rule {
    /// Looks at the rule's state and tags at once. `written` says that this very invocation has written to it: then a disabled
    /// rule without the tag is no operator's hold but two invocations that crossed, one having removed the tag that the other
    /// had set.
    pub(super) async fn look(&self, arns: Option<&RuleArns>, written: bool) -> Result<RuleSighting, GuardError> {
        let (disabled, tagged, arn) = self.read(arns).await.map_err(|source| self.error("read", source))?;
        let state = match (disabled, tagged) {
            (false, false) => GuardState::Enabled,
            (false, true) => GuardState::Halfway,
            (true, true) => GuardState::Paused,
            (true, false) if written => GuardState::Halfway,
            (true, false) => GuardState::Held,
        };
        Ok(RuleSighting { state, arn })
    }

    async fn read(&self, arns: Option<&RuleArns>) -> Result<(bool, bool, String), BoxError> {
        let guess = arns.map(|arns| arns.of(&self.name));
        let early_tags = async {
            match &guess {
                Some(arn) => Some(self.is_tagged(arn).await),
                None => None,
            }
        };
        let (rule, early_tags) = tokio::join!(self.client.describe_rule().name(&self.name).send(), early_tags);
        let rule = rule?;
        let arn = rule.arn.ok_or("EventBridge's answer has no Arn")?;
        let tagged = match early_tags {
            Some(tagged) if guess.as_ref() == Some(&arn) => tagged?,
            _ => self.is_tagged(&arn).await?,
        };
        Ok((rule.state == Some(RuleState::Disabled), tagged, arn))
    }

    async fn is_tagged(&self, arn: &str) -> Result<bool, BoxError> {
        let answer = self.client.list_tags_for_resource().resource_arn(arn).send().await?;
        Ok(answer.tags().iter().any(|tag| tag.key() == TAG))
    }

    pub(super) async fn set(&self, sighting: &RuleSighting, wanted: Wanted<'_>) -> Result<(), GuardError> {
        match wanted {
            Wanted::Engaged { execution_id } => {
                self.pause(&sighting.arn, execution_id).await.map_err(|source| self.error("disabled", source))
            }
            Wanted::Released => self.resume(&sighting.arn).await.map_err(|source| self.error("enabled", source)),
        }
    }

    async fn pause(&self, arn: &str, execution_id: &str) -> Result<(), BoxError> {
        let tag = Tag::builder().key(TAG).value(execution_id).build()?;
        self.client.tag_resource().resource_arn(arn).tags(tag).send().await?;
        self.client.disable_rule().name(&self.name).send().await?;
        Ok(())
    }

    async fn resume(&self, arn: &str) -> Result<(), BoxError> {
        self.client.enable_rule().name(&self.name).send().await?;
        self.client.untag_resource().resource_arn(arn).tag_keys(TAG).send().await?;
        Ok(())
    }

    fn error(&self, action: &'static str, source: BoxError) -> GuardError {
        GuardError {
            guard: format!("rule {}", self.name),
            action,
            advice: format!(
                "{} and the permissions events:DescribeRule, ListTagsForResource, TagResource, UntagResource, DisableRule \
                 and EnableRule",
                self.variable
            ),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_beside_the_function_in_every_partition() {
        let arns = RuleArns::beside_function("arn:aws-cn:lambda:cn-north-1:123456789012:function:router:live").unwrap();
        assert_eq!(arns.of("tick"), "arn:aws-cn:events:cn-north-1:123456789012:rule/tick");
        for no_function in ["", "function-arn", "arn:aws:sqs:us-east-1:1:queue"] {
            assert_eq!(RuleArns::beside_function(no_function), None);
        }
    }
}
