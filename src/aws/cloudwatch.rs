//! CloudWatch: the drift alarms' states and mutes. The client is made when a heartbeat first needs it, so a cold start does not
//! take longer.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListAlarmMuteRules.html>.

use std::sync::OnceLock;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmType, StateValue};

use super::call::{CallError, Check};
use crate::model::Alarm;

/// The alarms that `DRIFT_ALARM_NAMES` lists.
#[derive(Debug)]
pub(crate) struct Alarms {
    pub(super) names: Vec<String>,
    pub(super) sdk: SdkConfig,
    pub(super) client: OnceLock<Client>,
}

/// The listed alarms as one observation found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObservedAlarms {
    /// Those that are in ALARM and not suppressed.
    pub(crate) in_alarm: Vec<Alarm>,
    /// Those that are in ALARM and not suppressed, but for which CloudWatch returns no time of change.
    pub(crate) undated: Vec<String>,
    /// Listed names that do not exist in this account and Region.
    pub(crate) missing: Vec<String>,
}

/// The most alarms, and mute rules, that one page holds.
const PAGE: i32 = 100;

impl Alarms {
    /// The listed alarms, all pages. Makes no call if none is listed.
    ///
    /// # Errors
    /// [`CallError`] if a call fails after the SDK's retries.
    pub(crate) async fn observe(&self) -> Result<ObservedAlarms, CallError> {
        let mut observed = ObservedAlarms { missing: self.names.clone(), ..ObservedAlarms::default() };
        if self.names.is_empty() {
            return Ok(observed);
        }
        let mut next_token = None;
        loop {
            let page = self
                .client()
                .describe_alarms()
                .set_alarm_names(Some(self.names.clone()))
                // Without types, only metric alarms are described.
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .max_records(PAGE)
                .set_next_token(next_token)
                .send()
                .await
                .map_err(|error| CallError::new("read the drift alarms", check("cloudwatch:DescribeAlarms"), error))?;
            for alarm in page.metric_alarms.unwrap_or_default() {
                observed.add(alarm.alarm_name, alarm.state_value, alarm.state_transitioned_timestamp, false);
            }
            for alarm in page.composite_alarms.unwrap_or_default() {
                let is_suppressed = alarm.actions_suppressed_by.is_some();
                observed.add(alarm.alarm_name, alarm.state_value, alarm.state_transitioned_timestamp, is_suppressed);
            }
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                return Ok(observed);
            }
        }
    }

    /// Whether a mute rule that is active now names the alarm.
    ///
    /// # Errors
    /// [`CallError`] if a call fails after the SDK's retries.
    pub(crate) async fn is_muted(&self, alarm: &str) -> Result<bool, CallError> {
        let mut next_token = None;
        loop {
            let page = self
                .client()
                .list_alarm_mute_rules()
                .alarm_name(alarm)
                .statuses(AlarmMuteRuleStatus::Active)
                .set_next_token(next_token)
                .send()
                .await
                .map_err(|error| {
                    let operation = format!("read the mute rules of alarm {alarm}");
                    CallError::new(operation, check("cloudwatch:ListAlarmMuteRules"), error)
                })?;
            if page.alarm_mute_rule_summaries.is_some_and(|rules| !rules.is_empty()) {
                return Ok(true);
            }
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                return Ok(false);
            }
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&self.sdk))
    }
}

impl ObservedAlarms {
    fn add(&mut self, name: Option<String>, state: Option<StateValue>, changed: Option<DateTime>, is_suppressed: bool) {
        let Some(name) = name else { return };
        self.missing.retain(|missing| *missing != name);
        if state != Some(StateValue::Alarm) || is_suppressed {
            return;
        }
        match changed.and_then(|changed| SystemTime::try_from(changed).ok()) {
            Some(changed) => self.in_alarm.push(Alarm { name, changed }),
            None => self.undated.push(name),
        }
    }
}

fn check(permission: &str) -> Check<'_> {
    Check { setting: "DRIFT_ALARM_NAMES", permission }
}
