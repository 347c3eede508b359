//! EventBridge: the guard of one rule, which the interlock disables and enables, and the tag of an owed tick.
//!
//! State and mark are two writes, and EventBridge has no compare-and-set. The tag is written before the rule is disabled and removed
//! after it is enabled, so a kill between the two leaves a state that the next observation repairs.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DisableRule.html>

use std::time::{Duration, SystemTime};

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::ProvideErrorMetadata;
use aws_sdk_eventbridge::types::{RuleState, Tag};

use crate::aws::call::{CallError, Remedy};
use crate::aws::mark::{self, RULE_MARK, TICK_TAG};
use crate::model::{DesiredState, FunctionArn, GuardRole, GuardState, TickTag};

/// The pause before a hold is read again. Lags of 0.6 seconds are known.
const HOLD_PAUSE: Duration = Duration::from_secs(1);

/// One rule of the default event bus.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(super) client: Client,
    pub(crate) name: String,
    pub(super) role: GuardRole,
    /// The variable that names the rule, for messages.
    pub(super) variable: &'static str,
    pub(super) owner: String,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObservedRule {
    pub(crate) state: GuardState,
    /// Tags are read and written by ARN.
    pub(crate) arn: String,
    /// The tag of an owed tick.
    pub(crate) tick_tag: Option<TickTag>,
}

impl Rule {
    /// Reads the rule's state and tags. `written` says that this invocation has written to the rule. Then nobody holds a disabled
    /// rule without the tag: two invocations crossed, and one removed the tag that the other had set.
    ///
    /// A hold is read twice. State and tags are two calls, and each may lag behind writes. While another invocation disables or
    /// enables the rule, they may show a disabled rule without a tag, which nobody holds.
    pub(super) async fn read(&self, function: Option<&FunctionArn>, written: bool) -> Result<ObservedRule, CallError> {
        let found = self.read_once(function, written).await?;
        if found.state != GuardState::DisabledByOther {
            return Ok(found);
        }
        tokio::time::sleep(HOLD_PAUSE).await;
        self.read_once(function, written).await
    }

    /// Reads the rule's state and tags at once.
    async fn read_once(&self, function: Option<&FunctionArn>, written: bool) -> Result<ObservedRule, CallError> {
        // Tags are read by ARN, so a known ARN saves a round trip.
        let guess = function.map(|function| function.rule(&self.name));
        let early_tags = async {
            match &guess {
                Some(arn) => Some(self.tags(arn).await),
                None => None,
            }
        };
        let (rule, early_tags) = tokio::join!(self.client.describe_rule().name(&self.name).send(), early_tags);
        let rule = rule.map_err(|error| CallError::new(self.to("read"), self.remedy("events:DescribeRule"), error))?;
        let arn = rule.arn.ok_or_else(|| CallError::unusable(self.to("read"), "EventBridge's answer has no Arn"))?;
        let tags = match early_tags {
            Some(tags) if guess.as_ref() == Some(&arn) => tags?,
            _ => self.tags(&arn).await?,
        };
        let value = |key| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str());
        let is_disabled = rule.state == Some(RuleState::Disabled);
        let state = match value(RULE_MARK).and_then(mark::rule_mark_owner) {
            Some(owner) if owner != self.owner => GuardState::MarkedByOtherRouter { owner: owner.to_owned() },
            Some(_) if is_disabled => GuardState::DisabledByRouter,
            Some(_) => GuardState::Inconsistent,
            None if is_disabled && written => GuardState::Inconsistent,
            None if is_disabled => GuardState::DisabledByOther,
            None => GuardState::Enabled,
        };
        let tick_tag = value(TICK_TAG).map(|value| mark::read_tick_tag(value, &self.owner));
        Ok(ObservedRule { state, arn, tick_tag })
    }

    async fn tags(&self, arn: &str) -> Result<Vec<Tag>, CallError> {
        let answer = self.client.list_tags_for_resource().resource_arn(arn).send().await;
        let tags = answer
            .map_err(|error| CallError::new(self.to("read"), self.remedy("events:ListTagsForResource"), error))?
            .tags;
        Ok(tags.unwrap_or_default())
    }

    /// Notes on the rule that the tick of `at` is owed.
    pub(crate) async fn note_tick(&self, arn: &str, at: SystemTime) -> Result<(), CallError> {
        self.tag(arn, TICK_TAG, mark::tick_tag(&self.owner, at), "note that a tick is owed on").await
    }

    /// Removes the note that a tick is owed.
    pub(crate) async fn forget_tick(&self, arn: &str) -> Result<(), CallError> {
        self.untag(arn, TICK_TAG, "remove the note that a tick is owed from").await
    }

    pub(super) async fn set(&self, arn: &str, desired: &DesiredState) -> Result<(), CallError> {
        match desired {
            DesiredState::Engaged { execution_id } => self.disable(arn, execution_id).await,
            DesiredState::Released => self.enable(arn).await,
        }
    }

    async fn disable(&self, arn: &str, execution_id: &str) -> Result<(), CallError> {
        self.tag(arn, RULE_MARK, mark::rule_mark(&self.owner, execution_id), "disable").await?;
        let disabled = self.client.disable_rule().name(&self.name).send().await;
        disabled.map(drop).map_err(|error| CallError::new(self.to("disable"), self.remedy("events:DisableRule"), error))
    }

    async fn enable(&self, arn: &str) -> Result<(), CallError> {
        let enabled = self.client.enable_rule().name(&self.name).send().await;
        enabled.map_err(|error| CallError::new(self.to("enable"), self.remedy("events:EnableRule"), error))?;
        self.untag(arn, RULE_MARK, "enable").await
    }

    async fn tag(&self, arn: &str, key: &str, value: String, verb: &str) -> Result<(), CallError> {
        let tag = Tag::builder().key(key).value(value).build();
        let tag = tag.map_err(|error| CallError::unusable(self.to(verb), error))?;
        let tagged = self.client.tag_resource().resource_arn(arn).tags(tag).send().await;
        tagged.map(drop).map_err(|error| {
            let mut remedy = self.remedy("events:TagResource");
            let setting =
                format!("{}, and that the rule has fewer than 50 tags, the most that EventBridge takes", self.variable);
            // A rule that AWS manages has another remedy.
            if error.code() != Some("ManagedRuleException") {
                remedy.setting = &setting;
            }
            CallError::new(self.to(verb), remedy, error)
        })
    }

    async fn untag(&self, arn: &str, key: &str, verb: &str) -> Result<(), CallError> {
        let untagged = self.client.untag_resource().resource_arn(arn).tag_keys(key).send().await;
        untagged.map(drop).map_err(|error| CallError::new(self.to(verb), self.remedy("events:UntagResource"), error))
    }

    fn to(&self, verb: &str) -> String {
        format!("{verb} rule {}", self.name)
    }

    fn remedy<'a>(&'a self, permission: &'a str) -> Remedy<'a> {
        Remedy { setting: self.variable, permission }
    }
}
