//! What has to be true after the events and one heartbeat.

use std::time::Duration;

use simulator::World;
use simulator::codepipeline::ActionState;
use simulator::nyctaxi::{DRIFT_RULE, SAGEMAKER_PIPELINE, SCHEDULE_RULE};
use simulator::sagemaker::Execution;

use crate::case::{Case, Event, Prepared};
use crate::marks::{HOLD, MARK, OWED_TAG, TAG};

const RULES: [&str; 2] = [SCHEDULE_RULE, DRIFT_RULE];

/// Checks everything that holds after a heartbeat. The numbers are those of the invariants in ARCHITECTURE.md.
pub fn check(case: &Case, prepared: &Prepared, world: &World) -> Result<(), String> {
    check_guards(case, world)?;
    check_starts(prepared, world)?;
    check_actions(prepared, world)?;
    for name in &prepared.must_exist {
        if world.sagemaker.executions.iter().all(|e| e.display_name.as_ref() != Some(name)) {
            return Err(format!("invariant 4: {name} was never started"));
        }
    }
    // A retraining that waits for an active execution is checked later.
    if prepared.was_active { Ok(()) } else { check_asks(case, prepared, world) }
}

/// Invariants 1, 2 and 5: the guards are as the executions require, and an operator's holds stay.
pub fn check_guards(case: &Case, world: &World) -> Result<(), String> {
    let is_active = world.sagemaker.executions.iter().any(Execution::is_active);
    let is_held = case.start.is_held();
    let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
    let is_right = match reason {
        Some(reason) if is_held => reason == HOLD,
        Some(reason) => is_active && reason.starts_with(&format!("{MARK} ({SAGEMAKER_PIPELINE})")),
        None => !is_active && !is_held,
    };
    if !is_right {
        return Err(format!("active is {is_active}, and the stage is disabled for {reason:?}"));
    }
    for (name, is_held) in RULES.into_iter().zip([is_held, false]) {
        let rule = world.eventbridge.rule(name).unwrap();
        let is_tagged = rule.tags.get(TAG).is_some_and(|mark| mark.starts_with(&format!("{SAGEMAKER_PIPELINE}/")));
        let is_enabled = rule.is_enabled();
        let is_right = match is_held {
            true => !is_enabled && !rule.tags.contains_key(TAG),
            false => is_enabled != is_active && is_tagged == is_active,
        };
        if !is_right {
            return Err(format!("active is {is_active}, and rule {name} is {rule:?}"));
        }
    }
    Ok(())
}

/// Invariants 3, 4 and 9: each occurrence has one execution, and nothing that coalesces starts beside another.
pub fn check_starts(prepared: &Prepared, world: &World) -> Result<(), String> {
    let named = |name: &str| {
        let is_named = |e: &&Execution| e.display_name.as_deref() == Some(name);
        world.sagemaker.executions.iter().filter(is_named).count()
    };
    let new = &world.sagemaker.executions[prepared.executions..];
    let mut coalesced = Vec::new();
    for execution in new {
        let name = execution.display_name.as_deref().unwrap_or_default();
        if named(name) != 1 {
            return Err(format!("invariant 4: {} executions are named {name}", named(name)));
        }
        let coalesces = ["drift-", "schedule-"].iter().any(|trigger| name.starts_with(trigger));
        if !prepared.may_start.iter().any(|expected| name.starts_with(expected)) {
            return Err(format!("invariant 9: {name} was started, and no occurrence has that name"));
        }
        if coalesces {
            coalesced.push(name);
        }
        let needs_no_other = ["code-lost-deployment", "request-not-forced"].contains(&name);
        if prepared.was_active && (coalesces || needs_no_other) {
            return Err(format!("invariant 3: {name} was started beside an active execution"));
        }
    }
    if coalesced.len() > 1 {
        return Err(format!("invariant 3: {coalesced:?} were started beside each other"));
    }
    Ok(())
}

/// Invariant 4 for actions: every job is answered. No action ends before its execution or with another result.
fn check_actions(prepared: &Prepared, world: &World) -> Result<(), String> {
    for action in &world.codepipeline.actions {
        let execution = |arn: &str| world.sagemaker.executions.iter().find(|e| e.arn == arn).unwrap();
        let is_right = match &action.state {
            // If the answer is that the action has to wait, another job follows.
            ActionState::InProgress => !prepared.jobs.contains(&action.job_id),
            ActionState::Succeeded(variables) => {
                execution(variables["PipelineExecutionArn"].as_str().unwrap()).status() == "Succeeded"
            }
            ActionState::Failed(_) | ActionState::Stopped => false,
        };
        if !is_right {
            return Err(format!("invariant 4: the action of job {} is {:?}", action.job_id, action.state));
        }
    }
    Ok(())
}

/// Invariants 4, 7 and 8: every event that needs a retraining has one.
pub fn check_asks(case: &Case, prepared: &Prepared, world: &World) -> Result<(), String> {
    for (event, at) in &prepared.asks {
        let is_tick = matches!(event, Event::Tick | Event::OtherTick | Event::CatchUpTick);
        // An operator's hold drops a tick, and a retraining that runs serves one.
        let is_dropped = is_tick && (case.start.is_held() || prepared.was_active && *event != Event::CatchUpTick);
        let margin = if is_tick { Duration::ZERO } else { Duration::from_mins(10) };
        let is_served = world.sagemaker.executions.iter().any(|e| e.created + margin >= *at);
        if !is_dropped && !is_served {
            return Err(format!("invariant 7 or 8: {event:?} was never served"));
        }
    }
    Ok(())
}

/// Checks that a tick that was served or dropped leaves no tag.
pub fn check_tag(world: &World) -> Result<(), String> {
    match world.eventbridge.rule(SCHEDULE_RULE).unwrap().tags.get(OWED_TAG) {
        Some(tag) => Err(format!("a tick was served or dropped, and its tag is {tag}")),
        None => Ok(()),
    }
}
