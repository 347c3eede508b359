//! The interlock: the guards that are disabled together while an execution runs, and enabled together when none does.
//!
//! Each kind of guard has a file of its own; here they are looked at and set side by side, so that one guard's failure never
//! stops another and the slowest one sets the pace.

mod rule;
mod stage;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;

pub(crate) use self::rule::RuleArns;
use self::rule::{Rule, RuleSighting};
use self::stage::Stage;
use crate::BoxError;
use crate::config::Config;
use crate::decision::Wanted;

/// What a look found a guard to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GuardState {
    /// Enabled, and without the router's mark.
    Enabled,
    /// Disabled by the router, which says so on it.
    Paused,
    /// Disabled by somebody else: the router leaves it alone.
    Held,
    /// The router's mark and the guard's state contradict each other: an invocation was killed between its two writes, two
    /// invocations crossed, or a person enabled what the router had paused. It is right in neither sense, so it is set anew.
    Halfway,
}

/// What a guard is once it is as wanted, in the words of the router's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Settled {
    /// The router has disabled it.
    Disabled,
    /// It is enabled.
    Enabled,
    /// Somebody else has disabled it.
    Held,
}

impl GuardState {
    /// What the guard is, if that is as `wanted`; `None` if it has to be set.
    fn settled(self, wanted: Wanted<'_>) -> Option<Settled> {
        match (self, wanted) {
            (Self::Enabled, Wanted::Released) => Some(Settled::Enabled),
            (Self::Paused, Wanted::Engaged { .. }) => Some(Settled::Disabled),
            (Self::Held, _) => Some(Settled::Held),
            (Self::Enabled, Wanted::Engaged { .. }) | (Self::Paused, Wanted::Released) | (Self::Halfway, _) => None,
        }
    }
}

/// A guard that could not be looked at or set, retries included.
#[derive(Debug, thiserror::Error)]
#[error("{guard} cannot be {action}: check {advice}")]
pub struct GuardError {
    guard: String,
    action: &'static str,
    advice: String,
    #[source]
    source: BoxError,
}

/// The guards once they are as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The stage's inbound transition.
    pub stage: Settled,
    /// The rules, by name.
    pub rules: BTreeMap<String, Settled>,
}

impl Report {
    /// Whether the router disables any guard.
    #[must_use]
    pub fn is_engaged(&self) -> bool {
        std::iter::once(&self.stage).chain(self.rules.values()).any(|guard| *guard == Settled::Disabled)
    }
}

/// The guards of one project.
#[derive(Clone, Debug)]
pub struct Interlock {
    stage: Stage,
    rules: Vec<Rule>,
}

/// What one look found the guards to be.
#[derive(Debug)]
pub(crate) struct Sightings {
    stage: Result<GuardState, GuardError>,
    rules: Vec<Result<RuleSighting, GuardError>>,
}

/// What one invocation has written so far.
#[derive(Debug)]
pub(crate) struct Written {
    /// Any guard.
    pub(crate) any: bool,
    /// Which of the rules, in their order.
    rules: Vec<bool>,
}

impl Interlock {
    /// The guards that `config` names: the stage's transition, and the rules that are set.
    #[must_use]
    pub fn new(
        config: &Config,
        codepipeline: aws_sdk_codepipeline::Client,
        eventbridge: &aws_sdk_eventbridge::Client,
    ) -> Self {
        let rules = [("SCHEDULE_RULE_NAME", &config.schedule_rule), ("DRIFT_RULE_NAME", &config.drift_rule)];
        Self {
            stage: Stage {
                client: codepipeline,
                pipeline: config.code_pipeline.clone(),
                stage: config.build_stage.clone(),
            },
            rules: rules
                .into_iter()
                .filter_map(|(variable, name)| {
                    Some(Rule { client: eventbridge.clone(), name: name.clone()?, variable })
                })
                .collect(),
        }
    }

    pub(crate) fn nothing_written(&self) -> Written {
        Written { any: false, rules: vec![false; self.rules.len()] }
    }

    /// Looks at every guard at once, in one round trip where `arns` are known.
    pub(crate) async fn look(&self, arns: Option<&RuleArns>, written: &Written) -> Sightings {
        let rules = self.rules.iter().zip(&written.rules).map(|(rule, &written)| rule.look(arns, written));
        let (stage, rules) = tokio::join!(self.stage.look(), join_all(rules));
        Sightings { stage, rules }
    }

    /// Whether nothing is left to set. A guard that cannot be read is for an operator to mend, but a rule that this invocation has
    /// written to may have been left halfway, and is looked at again.
    pub(crate) fn is_set(&self, sightings: &Sightings, wanted: Wanted<'_>, written: &Written) -> bool {
        let stage = sightings.stage.as_ref().map_or(true, |state| state.settled(wanted).is_some());
        let mut rules = sightings.rules.iter().zip(&written.rules);
        stage
            && rules.all(|(sighting, written)| match sighting {
                Ok(rule) => rule.state.settled(wanted).is_some(),
                Err(_) => !written,
            })
    }

    /// Sets every guard that is not as wanted, all at once. Gives the failures; whether a failed call was carried out all the
    /// same is for the next look to say.
    pub(crate) async fn set(
        &self,
        sightings: &Sightings,
        wanted: Wanted<'_>,
        written: &mut Written,
    ) -> Vec<GuardError> {
        let unset = |state: GuardState| state.settled(wanted).is_none();
        let stage = sightings.stage.as_ref().is_ok_and(|&state| unset(state));
        let mut rules = Vec::new();
        for ((rule, sighting), written) in self.rules.iter().zip(&sightings.rules).zip(&mut written.rules) {
            if let Ok(sighting) = sighting
                && unset(sighting.state)
            {
                *written = true;
                rules.push(rule.set(sighting, wanted));
            }
        }
        written.any |= stage || !rules.is_empty();
        let stage = async { if stage { self.stage.set(wanted).await } else { Ok(()) } };
        let (stage, rules) = tokio::join!(stage, join_all(rules));
        std::iter::once(stage).chain(rules).filter_map(Result::err).collect()
    }

    /// What the guards are, all of those that could be read being as `wanted`.
    ///
    /// # Errors
    /// Every guard that could not be read.
    pub(crate) fn report(&self, sightings: Sightings, wanted: Wanted<'_>) -> Result<Report, Vec<GuardError>> {
        let mut faults = Vec::new();
        let mut settled = |state: Result<GuardState, GuardError>| match state {
            Ok(state) => state.settled(wanted),
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        let stage = settled(sightings.stage);
        let rules = self
            .rules
            .iter()
            .zip(sightings.rules)
            .filter_map(|(rule, sighting)| Some((rule.name.clone(), settled(sighting.map(|rule| rule.state))?)));
        let rules = rules.collect();
        match stage {
            Some(stage) if faults.is_empty() => Ok(Report { stage, rules }),
            _ => Err(faults),
        }
    }
}
