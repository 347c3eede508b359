//! EventBridge's rules: their state, their tags, and whether they let an event through.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeRule.html> and related operations.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::place::Place;
use crate::shape::{ApiError, Input, RULE_ARN, RULE_NAME, TAG_KEY, TAG_VALUE};
use crate::time::Time;

/// One rule of the default event bus.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The rule's name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Every state it has had (enabled or not), and since when; the last one is the present one.
    history: Vec<(Time, bool)>,
    /// The tags that it had before each change, and when they changed.
    past_tags: Vec<(Time, BTreeMap<String, String>)>,
}

impl Rule {
    /// Whether it is enabled.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.was_enabled(Time::MAX)
    }

    fn was_enabled(&self, time: Time) -> bool {
        let past = self.history.iter().rev().find(|(since, _)| *since <= time);
        past.is_none_or(|(_, enabled)| *enabled)
    }

    /// The tags at that time.
    fn tags_at(&self, time: Time) -> &BTreeMap<String, String> {
        let past = self.past_tags.iter().find(|(until, _)| *until > time);
        past.map_or(&self.tags, |(_, tags)| tags)
    }

    /// Changes the tags, and keeps the old ones for reads that lag.
    fn change_tags(&mut self, now: Time, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        self.past_tags.push((now, self.tags.clone()));
        change(&mut self.tags);
    }
}

/// The service.
#[derive(Clone, Debug)]
pub struct EventBridge {
    place: Place,
    /// The rules.
    pub rules: Vec<Rule>,
    /// How long a change of a rule's state takes to have an effect.
    pub delay: Duration,
    /// How far reads of a rule's state lag behind writes.
    pub read_lag: Duration,
    /// How far reads of a rule's tags lag behind writes.
    pub tags_lag: Duration,
    /// How many milliseconds this service's clock is ahead.
    pub clock_skew: i64,
}

impl EventBridge {
    pub(crate) fn new(place: Place, rules: &[String]) -> Self {
        Self {
            place,
            rules: rules
                .iter()
                .map(|name| Rule {
                    name: name.clone(),
                    tags: BTreeMap::new(),
                    history: Vec::new(),
                    past_tags: Vec::new(),
                })
                .collect(),
            delay: Duration::ZERO,
            read_lag: Duration::ZERO,
            tags_lag: Duration::ZERO,
            clock_skew: 0,
        }
    }

    pub(crate) fn call(&mut self, operation: &str, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        match operation {
            "DescribeRule" => self.describe_rule(input, now),
            "EnableRule" => self.switch(input, true, now),
            "DisableRule" => self.switch(input, false, now),
            "ListTagsForResource" => {
                let seen = now.saturating_sub(self.tags_lag);
                let tags = self.tagged(input)?.tags_at(seen).iter();
                let tags: Vec<Value> = tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
                Ok(json!({ "Tags": tags }))
            }
            "TagResource" => {
                let mut added = BTreeMap::new();
                for tag in input.0["Tags"].as_array().into_iter().flatten() {
                    let tag = Input(tag);
                    let key = tag.required("Key", &TAG_KEY)?;
                    added.insert(key.to_owned(), tag.required("Value", &TAG_VALUE)?.to_owned());
                }
                self.tagged(input)?.change_tags(now, |tags| tags.extend(added));
                Ok(json!({}))
            }
            "UntagResource" => {
                let keys = input.0["TagKeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
                self.tagged(input)?.change_tags(now, |tags| keys.for_each(|key| drop(tags.remove(key))));
                Ok(json!({}))
            }
            _ => Err(ApiError::refused("UnknownOperationException", operation)),
        }
    }

    /// The ARN that a request is about, for IAM.
    pub(crate) fn resource(&self, input: Input<'_>) -> String {
        let arn = input.0["ResourceARN"].as_str();
        arn.map_or_else(|| self.arn(input.0["Name"].as_str().unwrap_or_default()), str::to_owned)
    }

    /// The ARN of the rule of this name.
    #[must_use]
    pub fn arn(&self, rule: &str) -> String {
        self.place.arn("events", &format!("rule/{rule}"))
    }

    /// The rule of this name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// Enables or disables a rule, as a person does. Returns `None` if there is no such rule.
    pub fn set_enabled(&mut self, name: &str, enabled: bool, now: Time) -> Option<()> {
        let rule = self.rules.iter_mut().find(|rule| rule.name == name)?;
        rule.history.push((now, enabled));
        Some(())
    }

    /// Sets a tag of the rule of this name, or removes it.
    pub fn set_tag(&mut self, name: &str, key: &str, value: Option<&str>, now: Time) {
        if let Some(rule) = self.rules.iter_mut().find(|rule| rule.name == name) {
            rule.change_tags(now, |tags| match value {
                Some(value) => drop(tags.insert(key.to_owned(), value.to_owned())),
                None => drop(tags.remove(key)),
            });
        }
    }

    /// Replaces the rule of this name by one that is enabled and has no tags.
    pub fn replace(&mut self, name: &str, now: Time) {
        if let Some(rule) = self.rules.iter_mut().find(|rule| rule.name == name) {
            rule.change_tags(now, BTreeMap::clear);
            rule.history.push((now, true));
        }
    }

    /// Deletes the rule of this name. Calls about it are refused from now on.
    pub fn delete(&mut self, name: &str) {
        self.rules.retain(|rule| rule.name != name);
    }

    /// Whether the rule of this name lets events through: a change of its state takes a while to have an effect.
    #[must_use]
    pub fn lets_through(&self, name: &str, now: Time) -> bool {
        self.rule(name).is_some_and(|rule| rule.was_enabled(now.saturating_sub(self.delay)))
    }

    fn tagged(&mut self, input: Input<'_>) -> Result<&mut Rule, ApiError> {
        let arn = input.required("ResourceARN", &RULE_ARN)?;
        let prefix = self.arn("");
        let name = arn.strip_prefix(&prefix).unwrap_or_default();
        self.rules
            .iter_mut()
            .find(|rule| rule.name == name)
            .ok_or_else(|| ApiError::refused("ResourceNotFoundException", format!("Resource {arn} does not exist.")))
    }

    fn describe_rule(&self, input: Input<'_>, now: Time) -> Result<Value, ApiError> {
        let name = input.required("Name", &RULE_NAME)?;
        let rule = self.rule(name).ok_or_else(|| no_rule(name))?;
        let enabled = rule.was_enabled(now.saturating_sub(self.read_lag));
        Ok(json!({
            "Name": rule.name,
            "Arn": self.arn(&rule.name),
            "EventBusName": "default",
            "State": if enabled { "ENABLED" } else { "DISABLED" },
        }))
    }

    fn switch(&mut self, input: Input<'_>, enabled: bool, now: Time) -> Result<Value, ApiError> {
        let name = input.required("Name", &RULE_NAME)?;
        self.set_enabled(name, enabled, now).map(|()| json!({})).ok_or_else(|| no_rule(name))
    }
}

fn no_rule(name: &str) -> ApiError {
    ApiError::refused("ResourceNotFoundException", format!("Rule {name} does not exist on EventBus default."))
}
