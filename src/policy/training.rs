//! What the executions say about the retrainings: do they fail, how old is the newest success, how many started within a day?

use std::time::{Duration, SystemTime};

use crate::model::{Execution, ExecutionStatus};
use crate::policy::interlock::LookedUp;
use crate::policy::{Situation, age, rfc3339};

/// Whether the newest result is a failure. `None` if there is none.
pub(crate) fn is_failing(executions: &[Execution], looked_up: &[LookedUp]) -> Option<bool> {
    newest_result(executions, looked_up).map(|newest| newest.status.is_failure())
}

/// The newest retraining that has ended, and that nobody stopped. Every execution of the pipeline counts, a person's too. An
/// execution that SageMaker does not find does not count: only an event reports it.
pub(crate) fn newest_result<'e>(executions: &'e [Execution], looked_up: &'e [LookedUp]) -> Option<&'e Execution> {
    let found = looked_up.iter().filter(|looked_up| looked_up.is_found).map(|looked_up| &looked_up.execution);
    let is_result = |execution: &&Execution| match &execution.status {
        ExecutionStatus::Active => false,
        ExecutionStatus::Succeeded => true,
        ExecutionStatus::Unsuccessful { .. } => execution.status.is_failure(),
    };
    // The list has its own order, also of executions without a start time.
    let newest = executions.iter().find(is_result);
    let unlisted = found.filter(|found| executions.iter().all(|listed| listed.arn != found.arn)).filter(is_result);
    newest
        .into_iter()
        .chain(unlisted)
        .reduce(|newest, other| if other.started > newest.started { other } else { newest })
}

/// The time since the newest successful retraining started. If none is listed, the time since the oldest listed one started, which is
/// a lower bound. `None` if there is none with a start time.
pub(crate) fn age_of_newest(executions: &[Execution], now: SystemTime) -> Option<Duration> {
    let is_success = |execution: &&Execution| execution.status == ExecutionStatus::Succeeded;
    let success = executions.iter().filter(is_success).find_map(|execution| execution.started);
    let oldest = || executions.iter().rev().find_map(|execution| execution.started);
    success.or_else(oldest).map(|started| age(started, now))
}

const DAY: Duration = Duration::from_hours(24);

/// How many executions started within 24 hours. One without a start time counts, if none that is newer is older than a day.
pub(crate) fn starts_within_a_day(executions: &[Execution], now: SystemTime) -> usize {
    let is_recent = |started: SystemTime| age(started, now) < DAY;
    executions.iter().take_while(|execution| execution.started.is_none_or(is_recent)).count()
}

/// So many executions started within 24 hours that heartbeats and requests start nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brake {
    started: usize,
    per_day: usize,
    /// When one more may start, if no other does.
    pub(crate) until: Option<SystemTime>,
}

impl Brake {
    /// The brake as a sentence for people, without a full stop.
    pub(crate) fn sentence(&self) -> String {
        let until = self.until.map(|until| format!(" (until {})", rfc3339(until))).unwrap_or_default();
        let executions = if self.started == 1 { "execution" } else { "executions" };
        format!(
            "{} {executions} started within 24 hours, and CATCH_UP_PER_DAY is {}{until}",
            self.started, self.per_day
        )
    }
}

/// The brake, if `CATCH_UP_PER_DAY` is reached. 0 is no brake: then there are no heartbeats that start something.
pub(crate) fn brake(situation: &Situation<'_>) -> Option<Brake> {
    let Situation { executions, catch_up_per_day: per_day, now, .. } = *situation;
    let started = starts_within_a_day(executions, now);
    let last = executions.get(per_day.checked_sub(1)?)?;
    (started >= per_day).then(|| Brake { started, per_day, until: last.started.and_then(|at| at.checked_add(DAY)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::{HOUR, execution, noon, situation, started};

    fn ended(word: &str, hours_ago: u32) -> Execution {
        let id = format!("{word}{hours_ago}");
        let started = Some(noon() - hours_ago * HOUR);
        Execution { status: ExecutionStatus::from(word), started, ..execution(&id, false, "by hand") }
    }

    fn found(execution: Execution) -> LookedUp {
        LookedUp { execution, is_found: true }
    }

    #[test]
    fn trainings_fail_until_one_succeeds_and_what_runs_or_was_stopped_says_nothing() {
        let [failed, stopped, success] = [ended("Failed", 3), ended("Stopped", 2), ended("Succeeded", 1)];
        let running = Execution { started: Some(noon()), ..execution("x", true, "by hand") };
        let list = [running, success, stopped, failed];
        assert_eq!(is_failing(&list, &[]), Some(false));
        assert_eq!(is_failing(&list[2..], &[]), Some(true));
        assert_eq!(is_failing(&list[..1], &[]), None);
        assert_eq!(is_failing(&[], &[]), None);
        assert_eq!(is_failing(&[ended("CompletedWithFailures", 1)], &[]), Some(true));
    }

    #[test]
    fn an_execution_that_only_its_description_shows_counts_and_an_events_word_alone_does_not() {
        let list = [ended("Succeeded", 2)];
        let newer = found(ended("Failed", 1));
        assert_eq!(is_failing(&list, std::slice::from_ref(&newer)), Some(true), "the list lags");
        assert_eq!(is_failing(&list, &[found(ended("Failed", 3))]), Some(false), "an older one");
        assert_eq!(is_failing(&list, &[LookedUp { is_found: false, ..newer }]), Some(false));
        // Of executions without a start time, the list's order decides.
        let newer = Execution { started: None, ..ended("Failed", 1) };
        assert_eq!(is_failing(&[newer, ended("Succeeded", 2)], &[]), Some(true));
    }

    #[test]
    fn the_newest_training_is_as_old_as_its_start_and_without_a_success_older_than_the_list() {
        let list = [ended("Failed", 1), ended("Succeeded", 2), ended("Succeeded", 5), ended("Failed", 9)];
        assert_eq!(age_of_newest(&list, noon()), Some(2 * HOUR));
        assert_eq!(age_of_newest(&[ended("Failed", 1), ended("Stopped", 9)], noon()), Some(9 * HOUR));
        assert_eq!(age_of_newest(&[], noon()), None);
    }

    #[test]
    fn the_brake_is_on_until_the_oldest_start_that_counts_is_a_day_old() {
        let history = [2, 3, 25].map(|hours| started(noon() - hours * HOUR));
        let brake = |history: &[Execution], catch_up_per_day| {
            brake(&Situation { catch_up_per_day, ..situation(history) }).map(|brake| (brake.started, brake.until))
        };
        assert_eq!(brake(&history, 3), None);
        assert_eq!(brake(&history, 2), Some((2, Some(noon() + 21 * HOUR))));
        assert_eq!(brake(&history, 1), Some((2, Some(noon() + 22 * HOUR))));
        assert_eq!(brake(&history, 0), None);
        assert_eq!(brake(&[], 1), None);
        let [day_old, younger] = [Duration::ZERO, Duration::from_secs(1)].map(|by| started(noon() - DAY + by));
        assert_eq!(brake(&[day_old], 1), None);
        assert_eq!(brake(&[younger], 1), Some((1, Some(noon() + Duration::from_secs(1)))));
        let unknown = Execution { started: None, ..history[1].clone() };
        assert_eq!(brake(&[history[0].clone(), unknown], 2), Some((2, None)));
        let text = Brake { started: 5, per_day: 4, until: Some(noon()) }.sentence();
        assert_eq!(
            text,
            "5 executions started within 24 hours, and CATCH_UP_PER_DAY is 4 (until 2021-06-01T12:00:00Z)"
        );
    }
}
