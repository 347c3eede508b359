//! CloudWatch: the drift alarms' states and mutes. The client is made when a heartbeat first needs it, so a cold start does not
//! take longer.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListAlarmMuteRules.html>.

use std::sync::OnceLock;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{AlarmMuteRuleStatus, AlarmType, StateValue};

use crate::aws::call::{CallError, MOST_PAGES, Remedy, time};
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
    /// The listed alarms that do not exist in this account and Region. Some of the default names usually do not.
    pub(crate) missing: Vec<String>,
}

/// The most alarms that one page holds.
const PAGE: i32 = 100;

impl Alarms {
    /// The listed alarms, all pages. Makes no call if none is listed.
    pub(crate) async fn observe(&self) -> Result<ObservedAlarms, CallError> {
        if self.names.is_empty() {
            return Ok(ObservedAlarms::default());
        }
        // Without types, only metric alarms are described.
        match self.describe(&[AlarmType::MetricAlarm, AlarmType::CompositeAlarm, AlarmType::LogAlarm]).await {
            // An endpoint without log alarms, as in a partition that gets them later, accepts no such type.
            Err(error) if error.is_invalid() => {
                self.describe(&[AlarmType::MetricAlarm, AlarmType::CompositeAlarm]).await
            }
            result => result,
        }
    }

    async fn describe(&self, types: &[AlarmType]) -> Result<ObservedAlarms, CallError> {
        let mut observed = ObservedAlarms { missing: self.names.clone(), ..ObservedAlarms::default() };
        let call = self.client().describe_alarms().set_alarm_names(Some(self.names.clone())).max_records(PAGE);
        let call = call.set_alarm_types(Some(types.to_vec()));
        let mut pages = call.into_paginator().send();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { break };
            let remedy = remedy("cloudwatch:DescribeAlarms");
            let page = page.map_err(|error| CallError::new("read the drift alarms", remedy, error))?;
            // The three types have no type in common. Only the actions of a composite alarm can be suppressed.
            macro_rules! add {
                ($alarm:ident, $suppressed_by:expr) => {
                    observed.add(
                        $alarm.alarm_name,
                        $alarm.state_value,
                        $alarm.state_transitioned_timestamp,
                        $suppressed_by,
                        $alarm.actions_enabled.unwrap_or(true),
                    )
                };
            }
            for alarm in page.metric_alarms.unwrap_or_default() {
                add!(alarm, None);
            }
            for alarm in page.log_alarms.unwrap_or_default() {
                add!(alarm, None);
            }
            for alarm in page.composite_alarms.unwrap_or_default() {
                add!(alarm, alarm.actions_suppressed_by.map(|by| by.as_str().to_owned()));
            }
        }
        Ok(observed)
    }

    /// Whether a mute rule that is active now names the alarm.
    pub(crate) async fn mutes(&self, alarm: &str) -> Result<Mutes, CallError> {
        let call = self.client().list_alarm_mute_rules().alarm_name(alarm).statuses(AlarmMuteRuleStatus::Active);
        let mut pages = call.into_paginator().send();
        for _ in 0..MOST_PAGES {
            let Some(page) = pages.next().await else { break };
            let page = match page {
                Ok(page) => page,
                // An endpoint without mute rules, as in a partition that gets them later, mutes nothing.
                Err(error) if error.code().is_some_and(|code| code.starts_with("UnknownOperation")) => {
                    return Ok(Mutes::None);
                }
                Err(error) => {
                    let operation = format!("read the mute rules of alarm {alarm}");
                    return Err(CallError::new(operation, remedy("cloudwatch:ListAlarmMuteRules"), error));
                }
            };
            if page.alarm_mute_rule_summaries.is_some_and(|rules| !rules.is_empty()) {
                return Ok(Mutes::Active);
            }
        }
        Ok(Mutes::None)
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
        has_actions: bool,
    ) {
        let Some(name) = name else { return };
        self.missing.retain(|missing| *missing != name);
        if state != Some(StateValue::Alarm) {
            return;
        }
        match time(changed) {
            Some(changed) => {
                self.in_alarm.push(Alarm { name, changed, suppressed_by, has_actions, mutes: Mutes::NotAsked })
            }
            None if suppressed_by.is_none() => self.undated.push(name),
            None => {}
        }
    }
}

fn remedy(permission: &str) -> Remedy<'_> {
    Remedy { setting: "DRIFT_ALARM_NAMES", permission }
}
