//! EventBridge: the guard of one rule, which the interlock disables and enables.
//!
//! State and mark are two writes, and EventBridge has no compare-and-set. The tag is written before the rule is disabled and removed
//! after it is enabled, so a kill between the two leaves a state that the next observation repairs.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DisableRule.html>

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{RuleState, Tag};

use super::call::{CallError, Check};
use super::guard::Found;
use crate::model::{DesiredState, GuardRole, GuardState};
use crate::policy::{self, RULE_MARK};

/// One rule of the default event bus.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) role: GuardRole,
    /// The variable that names the rule, for messages.
    pub(super) variable: &'static str,
    pub(super) owner: String,
}

/// The account and Region of the rules, taken from the function's own ARN. Tags are read by ARN; to know it saves a round trip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleArns {
    prefix: String,
}

impl RuleArns {
    /// `None` if the ARN is not a function's, as with local emulators.
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

impl Rule {
    /// Reads the rule's state and tags at once. `written` says that this invocation has written to the rule: then a disabled rule
    /// without the tag is not held by anybody. Two invocations crossed, and one removed the tag that the other had set.
    pub(super) async fn read(&self, arns: Option<&RuleArns>, written: bool) -> Result<Found, CallError> {
        let guess = arns.map(|arns| arns.of(&self.name));
        let early_mark = async {
            match &guess {
                Some(arn) => Some(self.mark(arn).await),
                None => None,
            }
        };
        let (rule, early_mark) = tokio::join!(self.client.describe_rule().name(&self.name).send(), early_mark);
        let rule = rule.map_err(|error| CallError::new(self.to("read"), self.check("events:DescribeRule"), error))?;
        let arn = rule.arn.ok_or_else(|| CallError::unusable(self.to("read"), "EventBridge's answer has no Arn"))?;
        let mark = match early_mark {
            Some(mark) if guess.as_ref() == Some(&arn) => mark?,
            _ => self.mark(&arn).await?,
        };
        let is_disabled = rule.state == Some(RuleState::Disabled);
        let state = match mark.as_deref().map(|mark| policy::rule_mark_owner(mark, &self.owner)) {
            Some(owner) if owner != self.owner => GuardState::MarkedByOtherRouter { owner: owner.to_owned() },
            Some(_) if is_disabled => GuardState::DisabledByRouter,
            Some(_) => GuardState::Inconsistent,
            None if is_disabled && written => GuardState::Inconsistent,
            None if is_disabled => GuardState::DisabledByOther,
            None => GuardState::Enabled,
        };
        Ok(Found { state, resource: arn })
    }

    async fn mark(&self, arn: &str) -> Result<Option<String>, CallError> {
        let answer = self.client.list_tags_for_resource().resource_arn(arn).send().await;
        let tags = answer
            .map_err(|error| CallError::new(self.to("read"), self.check("events:ListTagsForResource"), error))?
            .tags;
        Ok(tags.unwrap_or_default().into_iter().find(|tag| tag.key == RULE_MARK).map(|tag| tag.value))
    }

    pub(super) async fn set(&self, arn: &str, desired: &DesiredState) -> Result<(), CallError> {
        match desired {
            DesiredState::Engaged { execution_id } => self.disable(arn, execution_id).await,
            DesiredState::Released => self.enable(arn).await,
        }
    }

    async fn disable(&self, arn: &str, execution_id: &str) -> Result<(), CallError> {
        let error = |permission| move |error| CallError::new(self.to("disable"), self.check(permission), error);
        let tag = Tag::builder().key(RULE_MARK).value(policy::rule_mark(&self.owner, execution_id)).build();
        let tag = tag.map_err(|error| CallError::unusable(self.to("disable"), error))?;
        self.client.tag_resource().resource_arn(arn).tags(tag).send().await.map_err(error("events:TagResource"))?;
        let disabled = self.client.disable_rule().name(&self.name).send().await;
        disabled.map(drop).map_err(|error| CallError::new(self.to("disable"), self.check("events:DisableRule"), error))
    }

    async fn enable(&self, arn: &str) -> Result<(), CallError> {
        let enabled = self.client.enable_rule().name(&self.name).send().await;
        enabled.map_err(|error| CallError::new(self.to("enable"), self.check("events:EnableRule"), error))?;
        let untagged = self.client.untag_resource().resource_arn(arn).tag_keys(RULE_MARK).send().await;
        untagged.map(drop).map_err(|error| CallError::new(self.to("enable"), self.check("events:UntagResource"), error))
    }

    fn to(&self, verb: &str) -> String {
        format!("{verb} rule {}", self.name)
    }

    fn check<'a>(&'a self, permission: &'a str) -> Check<'a> {
        Check { setting: self.variable, permission }
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
