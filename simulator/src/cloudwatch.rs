//! CloudWatch's alarms: their states, and the rules that mute them.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>,
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListAlarmMuteRules.html>.

use serde_json::{Value, json};

use crate::place::Place;
use crate::shape::{ALARM_NAME, ApiError, Input};
use crate::time::{Time, milliseconds, seconds, shifted};

/// The types of alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// On a metric or an expression of metrics.
    Metric,
    /// On the states of other alarms.
    Composite,
    /// On a query of logs.
    Log,
}

/// One alarm.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Whether it is a metric alarm, a composite alarm or a log alarm.
    pub kind: AlarmKind,
    /// Whether its actions are enabled.
    pub has_actions: bool,
    /// What suppresses its actions, if they are suppressed: `WaitPeriod`, `ExtensionPeriod` or `Alarm`.
    pub suppressed_by: Option<String>,
    /// Whether an active mute rule names it.
    pub is_muted: bool,
    /// Whether descriptions say when it changed.
    pub has_time: bool,
    /// Every state that it has had, and since when; the last one is the present one.
    pub history: Vec<(Time, String)>,
}

impl Alarm {
    /// Its present state: `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    #[must_use]
    pub fn state(&self) -> &str {
        self.history.last().map_or("INSUFFICIENT_DATA", |(_, state)| state)
    }

    /// When it changed to its present state.
    #[must_use]
    pub fn changed(&self) -> Time {
        self.history.last().map_or(Time::ZERO, |(since, _)| *since)
    }
}

/// The service.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    place: Place,
    /// The alarms.
    pub alarms: Vec<Alarm>,
    /// The maximum number of alarms on a page, even if the request allows more.
    pub page_limit: Option<usize>,
    /// How many milliseconds this service's clock is ahead.
    pub clock_skew: i64,
    /// The time of a change is this many milliseconds later in a description than in the event.
    pub description_skew: i64,
    /// Whether this endpoint knows mute rules.
    pub has_mute_rules: bool,
}

impl CloudWatch {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, alarms: Vec::new(), page_limit: None, clock_skew: 0, description_skew: 0, has_mute_rules: true }
    }

    pub(crate) fn call(&mut self, operation: &str, input: Input<'_>) -> Result<Value, ApiError> {
        match operation {
            "DescribeAlarms" => self.describe_alarms(input),
            "ListAlarmMuteRules" if self.has_mute_rules => self.list_alarm_mute_rules(input),
            _ => Err(ApiError::refused("UnknownOperationException", operation)),
        }
    }

    /// The alarm of this name.
    #[must_use]
    pub fn alarm(&self, name: &str) -> Option<&Alarm> {
        self.alarms.iter().find(|alarm| alarm.name == name)
    }

    /// The alarm of this name. Creates a metric alarm if there is none.
    pub fn alarm_mut(&mut self, name: &str) -> &mut Alarm {
        let position = self.alarms.iter().position(|alarm| alarm.name == name).unwrap_or_else(|| {
            self.alarms.push(Alarm {
                name: name.to_owned(),
                kind: AlarmKind::Metric,
                has_actions: true,
                has_time: true,
                suppressed_by: None,
                is_muted: false,
                history: Vec::new(),
            });
            self.alarms.len() - 1
        });
        &mut self.alarms[position]
    }

    /// Gives an alarm another state. Returns the detail of the event that reports it, or `None` if the alarm has that state already.
    pub(crate) fn change(&mut self, name: &str, state: &str, now: Time) -> Option<Value> {
        // CloudWatch's times have a resolution of one millisecond.
        let now = Time::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let stamp = shifted(now, self.clock_skew);
        let alarm = self.alarm_mut(name);
        let previous = alarm.history.last().cloned();
        if alarm.state() == state {
            return None;
        }
        alarm.history.push((now, state.to_owned()));
        let mut detail = json!({ "alarmName": name, "state": { "value": state, "timestamp": event_time(stamp) } });
        if let Some((since, previous)) = previous {
            let since = event_time(shifted(since, self.clock_skew));
            detail["previousState"] = json!({ "value": previous, "timestamp": since });
        }
        Some(detail)
    }

    /// Gives the alarm the state that its event reports.
    pub(crate) fn force_state(&mut self, detail: &Value, now: Time) {
        let (Some(name), Some(state)) = (detail["alarmName"].as_str(), detail["state"]["value"].as_str()) else {
            return;
        };
        let alarm = self.alarm_mut(name);
        if alarm.state() != state {
            alarm.history.push((now, state.to_owned()));
        }
        let is_composite = !detail["configuration"]["alarmRule"].is_null();
        alarm.kind = if is_composite { AlarmKind::Composite } else { AlarmKind::Metric };
        alarm.suppressed_by = detail["state"]["actionsSuppressedBy"].as_str().map(str::to_owned);
        alarm.is_muted = !detail["muteDetail"].is_null();
    }

    /// The ARN of an alarm.
    #[must_use]
    pub fn arn(&self, alarm: &str) -> String {
        self.place.arn("cloudwatch", &format!("alarm:{alarm}"))
    }

    fn describe_alarms(&self, input: Input<'_>) -> Result<Value, ApiError> {
        let names = texts(&input.0["AlarmNames"]);
        for name in &names {
            ALARM_NAME.check("AlarmNames", name)?;
        }
        if names.len() > 100 {
            return Err(ApiError::refused("ValidationException", "AlarmNames must have at most 100 items"));
        }
        // Without types, only metric alarms are described.
        let types = texts(&input.0["AlarmTypes"]);
        let describes = |kind| match kind {
            AlarmKind::Metric => types.is_empty() || types.contains(&"MetricAlarm"),
            AlarmKind::Composite => types.contains(&"CompositeAlarm"),
            AlarmKind::Log => types.contains(&"LogAlarm"),
        };
        let chosen: Vec<&Alarm> = self
            .alarms
            .iter()
            .filter(|alarm| names.is_empty() || names.contains(&alarm.name.as_str()))
            .filter(|alarm| describes(alarm.kind))
            .collect();
        let (page, next) = self.page(input, "MaxRecords", &chosen)?;
        let describe = |kind| -> Vec<Value> {
            page.iter().filter(|alarm| alarm.kind == kind).map(|alarm| self.description(alarm)).collect()
        };
        let mut answer = json!({
            "MetricAlarms": describe(AlarmKind::Metric),
            "CompositeAlarms": describe(AlarmKind::Composite),
            "LogAlarms": describe(AlarmKind::Log),
        });
        answer["NextToken"] = next;
        Ok(answer)
    }

    fn description(&self, alarm: &Alarm) -> Value {
        let changed = seconds(shifted(alarm.changed(), self.clock_skew + self.description_skew));
        let mut description = json!({
            "AlarmName": alarm.name,
            "AlarmArn": self.arn(&alarm.name),
            "StateValue": alarm.state(),
            "ActionsEnabled": alarm.has_actions,
        });
        if alarm.has_time {
            description["StateTransitionedTimestamp"] = changed.into();
            description["StateUpdatedTimestamp"] = changed.into();
        }
        if let Some(suppressor) = &alarm.suppressed_by {
            description["ActionsSuppressedBy"] = suppressor.as_str().into();
        }
        description
    }

    fn list_alarm_mute_rules(&self, input: Input<'_>) -> Result<Value, ApiError> {
        let name = input.required("AlarmName", &ALARM_NAME)?;
        let statuses = texts(&input.0["Statuses"]);
        let asks_for_active = statuses.is_empty() || statuses.contains(&"ACTIVE");
        let is_muted = asks_for_active && self.alarm(name).is_some_and(|alarm| alarm.is_muted);
        let rule = json!({
            "AlarmMuteRuleArn": self.place.arn("cloudwatch", &format!("alarm-mute-rule:mute-{name}")),
            "Status": "ACTIVE",
            "MuteType": "ONE_TIME",
        });
        // A page may be empty although another one follows.
        if self.page_limit.is_some() && input.0["NextToken"].is_null() {
            return Ok(json!({ "AlarmMuteRuleSummaries": [], "NextToken": "1" }));
        }
        Ok(json!({ "AlarmMuteRuleSummaries": if is_muted { vec![rule] } else { vec![] } }))
    }

    /// One page of `all`, and the token of the next.
    fn page<'a, T>(&self, input: Input<'_>, size: &str, all: &'a [T]) -> Result<(&'a [T], Value), ApiError> {
        let asked = input.integer(size, 1, 100)?.unwrap_or(50);
        let size = usize::try_from(asked).unwrap_or(usize::MAX).min(self.page_limit.unwrap_or(usize::MAX));
        let start = input.0["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
        let end = all.len().min(start + size);
        let next = if end < all.len() { end.to_string().into() } else { Value::Null };
        Ok((all.get(start..end).unwrap_or_default(), next))
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A time in an alarm's event.
fn event_time(time: Time) -> String {
    format!("{}+0000", milliseconds(time).trim_end_matches('Z'))
}
