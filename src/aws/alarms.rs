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

use crate::aws::call::{CallError, Remedy};
use crate::model::{Alarm, Mutes};

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
    /// Those that are in ALARM. Their mutes are not asked for.
    pub(crate) in_alarm: Vec<Alarm>,
    /// Those that are in ALARM and not suppressed, but for which CloudWatch returns no time of change.
    pub(crate) undated: Vec<String>,
    /// Listed names that do not exist in this account and Region.
    pub(crate) missing: Vec<String>,
}

/// The most alarms that one page holds.
const PAGE: i32 = 100;

impl Alarms {
    /// The listed alarms, all pages. Makes no call if none is listed.
    pub(crate) async fn observe(&self) -> Result<ObservedAlarms, CallError> {
        let mut observed = ObservedAlarms { missing: self.names.clone(), ..ObservedAlarms::default() };
        if self.names.is_empty() {
            return Ok(observed);
        }
        let call = self.client().describe_alarms().set_alarm_names(Some(self.names.clone())).max_records(PAGE);
        // Without types, only metric alarms are described.
        let call = call.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let remedy = remedy("cloudwatch:DescribeAlarms");
            let page = page.map_err(|error| CallError::new("read the drift alarms", remedy, error))?;
            for alarm in page.metric_alarms.unwrap_or_default() {
                observed.add(alarm.alarm_name, alarm.state_value, alarm.state_transitioned_timestamp, None);
            }
            for alarm in page.composite_alarms.unwrap_or_default() {
                let suppressor = alarm.actions_suppressed_by.map(|by| by.as_str().to_owned());
                observed.add(alarm.alarm_name, alarm.state_value, alarm.state_transitioned_timestamp, suppressor);
            }
        }
        Ok(observed)
    }

    /// Whether a mute rule that is active now names the alarm.
    pub(crate) async fn is_muted(&self, alarm: &str) -> Result<bool, CallError> {
        let call = self.client().list_alarm_mute_rules().alarm_name(alarm).statuses(AlarmMuteRuleStatus::Active);
        let mut pages = call.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                let operation = format!("read the mute rules of alarm {alarm}");
                CallError::new(operation, remedy("cloudwatch:ListAlarmMuteRules"), error)
            })?;
            if page.alarm_mute_rule_summaries.is_some_and(|rules| !rules.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::new(&self.sdk))
    }
}

impl ObservedAlarms {
    fn add(
        &mut self,
        name: Option<String>,
        state: Option<StateValue>,
        changed: Option<DateTime>,
        suppressed_by: Option<String>,
    ) {
        let Some(name) = name else { return };
        self.missing.retain(|missing| *missing != name);
        if state != Some(StateValue::Alarm) {
            return;
        }
        match changed.and_then(|changed| SystemTime::try_from(changed).ok()) {
            Some(changed) => self.in_alarm.push(Alarm { name, changed, suppressed_by, mutes: Mutes::NotAsked }),
            None if suppressed_by.is_none() => self.undated.push(name),
            None => {}
        }
    }
}

fn remedy(permission: &str) -> Remedy<'_> {
    Remedy { setting: "DRIFT_ALARM_NAMES", permission }
}
