//! The status's flow: read what a heartbeat reads, make the plan, and show it. Nothing is written, nothing is started, and a read
//! that fails is part of the answer.

use futures_util::future::join_all;

use crate::aws::{Description, ObservedGuard};
use crate::flow::heartbeat::{Sources, found_tick, note_mutes, read_sources};
use crate::flow::observation::{Snapshot, failed_steps, read_guards};
use crate::flow::{Invocation, chain};
use crate::model::{Execution, ExecutionStatus, FailedStep, Mode};
use crate::outcome::status::{
    Assessment, ShownExecution, ShownFinding, ShownGuard, ShownNext, ShownStep, Status, Time,
};
use crate::outcome::{EventKind, Outcome};
use crate::policy::plan::{self, Finding, Found, Next, Plan, WhyNothing};
use crate::policy::start::{is_by_router, name_in, spoken, trigger_and_key};
use crate::policy::verdict::{self, Verdict};
use crate::policy::{rfc3339, training};

/// So many of the newest executions are shown.
const NEWEST: usize = 10;

/// Of so many alarms, the mutes are read, all at once. So a page that many people look at does not start hundreds of calls.
const MOST_MUTES: usize = 10;

/// Reads AWS's state, and says what a heartbeat in its place would do. It takes two round trips at most, if no page is short and no
/// rule looks held.
pub(crate) async fn status(invocation: &Invocation<'_>, outcome: &mut Outcome) -> Status {
    let Invocation { config, aws, .. } = invocation;
    let list = Box::pin(aws.pipeline.list());
    let (listed, guards, sources) = tokio::join!(list, read_guards(invocation, &[]), read_sources(invocation));
    let Sources { deployments, alarms, failures } = sources;
    let alarms = alarms.unwrap_or_default();
    let undated = alarms.undated.iter().map(|alarm| format!("CloudWatch returns no time of change for alarm {alarm}"));
    let mut status = Status {
        event: EventKind::Status,
        summary: "The executions cannot be read, so nothing can be decided.".to_owned(),
        next: ShownNext::Nothing {
            why: plan::obstacle(config.mode, config.heartbeat_starts()).map_or("executionsUnread", |why| why.word()),
            until: None,
        },
        guards: guards.iter().map(|guard| (guard.role(), shown_guard(guard))).collect(),
        assessment: None,
        missing_alarms: alarms.missing,
        unread: failures.iter().map(|failure| chain(failure)).chain(undated).collect(),
        mode: config.mode.word(),
        version: env!("CARGO_PKG_VERSION"),
        pipeline: aws.pipeline.name().to_owned(),
        time: Time(aws.now()),
    };
    match listed {
        Ok(executions) => {
            let snapshot = Snapshot { mode: config.mode, executions, looked_up: vec![], guards };
            let found = Found { deployments, tick: found_tick(&snapshot), alarms: alarms.in_alarm };
            show(invocation, &snapshot, found, &mut status).await;
        }
        Err(error) => status.unread.push(chain(&error)),
    }
    outcome.reason = Some(status.summary.clone());
    status
}

/// Reads the rest, makes the plan, and fills in what needs the executions.
async fn show(invocation: &Invocation<'_>, snapshot: &Snapshot<'_>, mut found: Found, status: &mut Status) {
    let situation = snapshot.situation(invocation);
    let newest = snapshot.executions.get(..NEWEST).unwrap_or(&snapshot.executions);
    let newest_result = training::newest_result(&snapshot.executions, &[]);
    let failed = newest_result.filter(|newest| newest.status.is_failure());
    let steps = failed_steps(invocation, failed.map(|failed| &failed.arn));
    let descriptions = newest.iter().map(|execution| invocation.aws.pipeline.describe_in_full(&execution.arn));
    let unasked = plan::make(&found, &situation).unasked;
    let asked = unasked.get(..MOST_MUTES).unwrap_or(&unasked);
    let mutes = join_all(asked.iter().map(|name| invocation.aws.alarms.mutes(name)));
    let ((steps, unread_steps), descriptions, mutes) = tokio::join!(steps, join_all(descriptions), mutes);
    let mut unread_mutes = Vec::new();
    for (name, mutes) in asked.iter().zip(mutes) {
        note_mutes(name, mutes, &mut found.alarms, &mut unread_mutes);
    }
    status.unread.extend(unread_mutes.iter().map(|failure| chain(failure)));
    status.unread.extend(unread_steps);
    let mut shown = Vec::new();
    for (listed, described) in newest.iter().zip(descriptions) {
        let described = described.unwrap_or_else(|failure| {
            status.unread.push(chain(&failure));
            None
        });
        shown.push(shown_execution(listed, described));
    }
    if let Some(failed) = shown.iter_mut().find(|shown| failed.is_some_and(|failed| failed.arn == shown.arn)) {
        failed.failed_steps = steps.into_iter().map(|FailedStep { step, reason }| ShownStep { step, reason }).collect();
    }
    let mut plan = plan::make(&found, &situation);
    // None of the alarms that were asked may start. A heartbeat asks the others, the newest one first.
    if let Next::ReadMutes(unasked) = &plan.next {
        plan.next = plan::start(unasked, &situation);
    }
    status.next = shown_next(&plan);
    status.assessment = Some(Assessment {
        findings: plan.findings.iter().map(shown_finding).collect(),
        is_active: snapshot.executions.iter().any(|execution| execution.status.is_active()),
        executions: shown,
        starts_in_24_hours: training::starts_within_a_day(&snapshot.executions, plan.at),
        retraining_failing: newest_result.map(|_| failed.is_some()),
        cooldown_until: verdict::cooldown(&situation).map(|(_, until)| Time(until)),
        training_age_seconds: training::age_of_newest(&snapshot.executions, plan.at).map(|age| age.as_secs()),
    });
    status.summary = summary(snapshot.mode, &snapshot.executions, failed.is_some(), &plan, status);
}

fn shown_guard(guard: &ObservedGuard<'_>) -> ShownGuard {
    match guard.read() {
        Ok(state) => ShownGuard::Read {
            state: state.clone(),
            reason: guard.reason().map(str::to_owned),
            owner: guard.owner().map(str::to_owned),
        },
        Err(error) => ShownGuard::Unread { unread: chain(error) },
    }
}

fn shown_execution(listed: &Execution, described: Option<Description>) -> ShownExecution {
    let is_ours = |described: &Description| described.text.as_deref().is_some_and(is_by_router);
    let name = trigger_and_key(listed.display_name.as_deref()).filter(|_| described.as_ref().is_none_or(is_ours));
    let shown = ShownExecution {
        arn: listed.arn.clone(),
        trigger: name.map(|(trigger, _)| trigger),
        key: name.map(|(_, key)| key.to_owned()),
        status: match &listed.status {
            ExecutionStatus::Active => "Executing".to_owned(),
            ExecutionStatus::Succeeded => "Succeeded".to_owned(),
            ExecutionStatus::Unsuccessful { word, .. } => word.clone(),
        },
        started: listed.started.map(Time),
        ended: None,
        description: None,
        failed_steps: vec![],
    };
    match described {
        Some(Description { execution, word, text, changed }) => ShownExecution {
            status: word,
            ended: changed.filter(|_| !execution.status.is_active()).map(Time),
            description: text,
            ..shown
        },
        None => shown,
    }
}

fn shown_finding(Finding { occurrence, verdict }: &Finding) -> ShownFinding {
    ShownFinding {
        trigger: occurrence.trigger,
        key: occurrence.key.clone(),
        since: occurrence.at.map(Time),
        verdict: verdict.clone(),
        reason: verdict.sentence(occurrence),
        until: verdict.until().map(Time),
    }
}

/// What a heartbeat starts next.
fn shown_next(plan: &Plan) -> ShownNext {
    let next = |Finding { occurrence, verdict }: &Finding, earliest| ShownNext::Next {
        trigger: occurrence.trigger,
        key: occurrence.key.clone(),
        earliest: Time(earliest),
        reason: verdict.sentence(occurrence),
    };
    match &plan.next {
        Next::Start { finding, earliest } => next(finding, *earliest),
        Next::ReadMutes(finding) => next(finding, plan.at),
        Next::Nothing(why) => ShownNext::Nothing { why: why.word(), until: why.until().map(Time) },
    }
}

/// One sentence that sums up.
fn summary(mode: Mode, executions: &[Execution], is_failing: bool, plan: &Plan, status: &Status) -> String {
    let mut parts = Vec::new();
    match executions.iter().find(|execution| execution.status.is_active()) {
        Some(active) => {
            let name = trigger_and_key(active.display_name.as_deref());
            let what =
                name.map(|(trigger, key)| format!(" for {} {}", spoken(trigger), name_in(key))).unwrap_or_default();
            let since = active.started.map(|started| format!(" since {}", rfc3339(started))).unwrap_or_default();
            parts.push(format!("execution {} runs{what}{since}", active.arn.id()));
        }
        None => parts.push("no execution runs".to_owned()),
    }
    if is_failing {
        parts.push("the newest retraining failed".to_owned());
    }
    match &plan.next {
        Next::Nothing(WhyNothing::ExecutionActive(_)) => {
            let waiting = plan
                .findings
                .iter()
                .filter(|finding| matches!(finding.verdict, Verdict::Running(_) | Verdict::Waiting(_)));
            match waiting.count() {
                0 => {}
                count => parts.push(format!("{} for its end", counted(count, "finding waits", "findings wait"))),
            }
        }
        Next::Nothing(why) => parts.push(why.sentence()),
        Next::Start { finding, earliest } if *earliest > plan.at => {
            parts.push(format!("a heartbeat starts {} from {} on", named(finding), rfc3339(*earliest)));
        }
        Next::Start { finding, .. } if finding.verdict == Verdict::Owed => {
            parts.push(format!("the next heartbeat starts {}", named(finding)));
        }
        Next::Start { finding, .. } | Next::ReadMutes(finding) => {
            parts.push(format!("the next heartbeat starts {}, unless its alarm is muted", named(finding)));
        }
    }
    match status.held_guards() {
        0 => {}
        count => parts.push(format!("{} held by somebody else", counted(count, "guard is", "guards are"))),
    }
    match status.failed_reads() {
        0 => {}
        count => parts.push(format!("{} failed", counted(count, "read", "reads"))),
    }
    if mode == Mode::DryRun {
        parts.push("MODE is dry-run, so the router only says what it would start".to_owned());
    }
    let sentence = parts.join("; ");
    let mut letters = sentence.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

fn named(Finding { occurrence, .. }: &Finding) -> String {
    let trigger = spoken(occurrence.trigger);
    let at = occurrence.at.map(rfc3339).unwrap_or_default();
    match occurrence.key.strip_suffix(&format!(" {at}")) {
        Some(name) => format!("{trigger} {name} (of {at})"),
        None => format!("{trigger} {}", occurrence.key),
    }
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
