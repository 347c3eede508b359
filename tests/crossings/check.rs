//! What has to be true after the events and one heartbeat.

use std::time::Duration;

use simulator::World;
use simulator::codepipeline::ActionState;
use simulator::sagemaker::Execution;

use crate::case::{Case, Event, HOLD, Prepared};
use crate::gate::Answer;

const MARK: &str = "Disabled by drift-router";
const TAG: &str = "drift-router:paused-by";
const RULES: [&str; 2] = ["sagemaker-nyctaxi-schedule-build", "sagemaker-nyctaxi-drift-build"];

/// Checks everything. The numbers are those of the invariants in ARCHITECTURE.md.
pub fn check(case: &Case, prepared: &Prepared, world: &World, answers: &[Answer]) -> Result<(), String> {
    if let Some(Err(error)) = answers.iter().find(|answer| answer.is_err()) {
        return Err(format!("invariant 6: an event failed three times: {error}"));
    }
    check_guards(case, world)?;
    check_starts(prepared, world)?;
    check_actions(world)?;
    check_asks(case, prepared, world)
}

/// Invariants 1, 2 and 5: the guards are as the executions ask, and an operator's holds stay.
pub fn check_guards(case: &Case, world: &World) -> Result<(), String> {
    let is_active = world.sagemaker.executions.iter().any(Execution::is_active);
    let is_held = case.start.is_held();
    let reason = world.codepipeline.stages[1].disabled_reason.as_deref();
    let is_right = match reason {
        Some(reason) if is_held => reason == HOLD,
        Some(reason) => is_active && reason.starts_with(MARK),
        None => !is_active && !is_held,
    };
    if !is_right {
        return Err(format!("active is {is_active}, and the stage is disabled for {reason:?}"));
    }
    for (name, is_held) in RULES.into_iter().zip([is_held, false]) {
        let rule = world.eventbridge.rule(name).unwrap();
        let (is_enabled, is_tagged) = (rule.is_enabled(), rule.tags.contains_key(TAG));
        let is_right = match is_held {
            true => !is_enabled && !is_tagged,
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
        if coalesces {
            coalesced.push(name);
        } else if name != "code-lost-deployment" && prepared.must_exist.iter().all(|expected| expected != name) {
            return Err(format!("invariant 9: {name} was started, and nothing of that name has happened"));
        }
        if prepared.was_active && (coalesces || name == "code-lost-deployment") {
            return Err(format!("invariant 3: {name} was started beside an active execution"));
        }
    }
    if coalesced.len() > 1 {
        return Err(format!("invariant 3: {coalesced:?} were started beside each other"));
    }
    Ok(())
}

/// Invariant 4 for actions: none ends before its execution, and none ends otherwise.
fn check_actions(world: &World) -> Result<(), String> {
    for action in &world.codepipeline.actions {
        let execution = |arn: &str| world.sagemaker.executions.iter().find(|e| e.arn == arn).unwrap();
        let is_right = match &action.state {
            ActionState::InProgress => true,
            ActionState::Succeeded(variables) => {
                execution(variables["PipelineExecutionArn"].as_str().unwrap()).status() == "Succeeded"
            }
            ActionState::Failed(_) | ActionState::Stopped => false,
        };
        if !is_right {
            return Err(format!("invariant 4: an action ended too early: {:?}", action.state));
        }
    }
    Ok(())
}

/// Invariants 4, 7 and 8: what asks for a retraining has got one.
fn check_asks(case: &Case, prepared: &Prepared, world: &World) -> Result<(), String> {
    for name in &prepared.must_exist {
        if world.sagemaker.executions.iter().all(|e| e.display_name.as_ref() != Some(name)) {
            return Err(format!("invariant 4: {name} was never started"));
        }
    }
    for (event, at) in &prepared.asks {
        let is_tick = matches!(event, Event::Tick | Event::OtherTick | Event::CatchUpTick);
        let is_dropped = is_tick && case.start.is_held()
            // With actions, deployments come by them.
            || *event == Event::CatchUpDeployment && prepared.variables.contains(&("DEPLOYMENT_TRIGGER", "action"));
        let margin = if is_tick { Duration::ZERO } else { Duration::from_mins(10) };
        let is_served = world.sagemaker.executions.iter().any(|e| e.created + margin >= *at);
        if !is_dropped && !prepared.was_active && !is_served {
            return Err(format!("invariant 7 or 8: {event:?} was never served"));
        }
    }
    Ok(())
}
