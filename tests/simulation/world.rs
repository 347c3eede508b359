//! The simulated AWS of one history: its lags, limits, clocks and faults.

use std::sync::Arc;

use simulator::cloudwatch::AlarmKind;
use simulator::fault::FaultSource;
use simulator::{Fault, Project, Simulator};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::history::{History, StepKind, rng_for};
use crate::names::ALARMS;
use crate::trace::Trace;

/// The simulator of a history. It notes every call in the trace, and notifies `started` of every call that starts an execution.
pub fn simulate(history: &History, project: &Project, trace: &Trace, started: &Arc<Notify>) -> Simulator {
    let simulator = Simulator::new(project);
    let mut world = simulator.world();
    world.sagemaker.list_lag = history.list_lag;
    world.sagemaker.describe_lag = history.describe_lag;
    world.sagemaker.reused_token = history.reused_token;
    world.sagemaker.page_limit = history.page_limit;
    world.sagemaker.parameters = vec!["Why".to_owned()];
    world.sagemaker.start_time_missing = history.start_time_missing;
    world.sagemaker.checks_limit_first = history.checks_limit_first;
    world.codepipeline.read_lag = history.guard_read_lag;
    world.codepipeline.list_lag = history.list_lag;
    // Hundreds of executions on short pages would take minutes.
    let has_hundreds = history.steps.iter().any(|step| matches!(step.kind, StepKind::DeploymentsFail(_)));
    world.codepipeline.page_limit = history.page_limit.map(|limit| if has_hundreds { 12 * limit } else { limit });
    world.codepipeline.events_have_trigger = history.events_have_trigger;
    world.eventbridge.read_lag = history.guard_read_lag;
    world.eventbridge.tags_lag = history.guard_read_lag;
    world.eventbridge.delay = history.rule_delay;
    world.cloudwatch.page_limit = history.page_limit.map(|limit| limit - 2);
    world.client_clock_skew = history.clocks.router;
    world.sagemaker.clock_skew = history.clocks.sagemaker;
    world.codepipeline.clock_skew =
        history.clocks.codepipeline + i64::try_from(history.codepipeline_ahead.as_millis()).unwrap();
    world.eventbridge.clock_skew = history.clocks.eventbridge;
    world.cloudwatch.clock_skew = history.clocks.cloudwatch;
    world.cloudwatch.description_skew = history.clocks.description;
    for alarm in ALARMS {
        world.change_alarm(alarm, "OK");
    }
    if let Some(alarm) = history.log_alarm {
        world.cloudwatch.alarm_mut(ALARMS[alarm]).kind = AlarmKind::Log;
    }
    let (started, calls) = (started.clone(), trace.clone());
    world.observe(Box::new(move |call| {
        let result = call.result.as_ref().map_or_else(String::as_str, |_| "ok");
        let resource = call.resource.rsplit(':').next().unwrap_or_default();
        calls.note(&format!("{} {resource} {result}", call.operation));
        if call.operation == "StartPipelineExecution" {
            started.notify_one();
        }
    }));
    world.inject(faults(history, trace.begins()));
    drop(world);
    simulator
}

/// Every call to a service that is out fails, and every call that a lasting trouble concerns. In a burst, half of all calls fail.
fn faults(history: &History, begins: Instant) -> FaultSource {
    let (bursts, outages, troubles) = (history.bursts.clone(), history.outages.clone(), history.troubles.clone());
    let mut rng = rng_for(history.seed, "faults");
    Box::new(move |called: simulator::Called<'_>| {
        let now = begins.elapsed();
        let bad = bursts.iter().any(|(from, to)| (*from..*to).contains(&now));
        let out = outages.iter().find(|outage| {
            (outage.from..outage.to).contains(&now) && outage.service.is_none_or(|s| s == called.service)
        });
        if let Some(outage) = out {
            let faults = match outage.hangs {
                true => vec![Fault::Hang, Fault::HangAfter],
                false => vec![Fault::Throttled, Fault::ErrorBefore, Fault::Reset],
            };
            return Some(faults[rng.usize(..faults.len())].clone());
        }
        if let Some(fault) = troubles.fault(called, now) {
            return Some(fault);
        }
        (bad && rng.bool()).then(|| {
            let faults = [
                Fault::Throttled,
                Fault::ErrorBefore,
                Fault::ErrorAfter,
                Fault::Reset,
                Fault::ResetAfter,
                Fault::Hang,
                Fault::HangAfter,
            ];
            faults[rng.usize(..faults.len())].clone()
        })
    })
}
