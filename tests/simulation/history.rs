//! A history, drawn from a seed: the steps and their times, and the behaviour of AWS and Lambda meanwhile.
//!
//! Every choice is drawn from the seed and a name, and does not depend on earlier choices. So shrinking can drop a step, and
//! everything else stays the same.

use std::fmt::Debug;
use std::time::Duration;

use fastrand::Rng;
use sha2::{Digest, Sha256};
use simulator::sagemaker::ReusedToken;

use crate::rare;
use crate::trouble::Troubles;

/// How Lambda runs the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lambda {
    /// One invocation at a time, killed at any `await`.
    Killed,
    /// Up to four invocations at once, not killed.
    Concurrent,
    /// Up to four invocations at once, killed at any `await`.
    Both,
}

/// The faults of services and events, in addition to those that every history may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// No additional faults.
    Ordinary,
    /// 30 % of all events except the heartbeat are lost.
    Lossy,
    /// Every event except the heartbeat is lost.
    Silent,
    /// One service or all of them fail for minutes to hours.
    Outages,
    /// SageMaker is at its limit of executions for hours.
    Limits,
    /// The same, and the router is set to drain. In half of the histories, it drains for some hours only.
    Drained,
}

/// When a service, or every service, fails.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// As IAM names it; `None` is every service.
    pub service: Option<&'static str>,
    /// Whether calls are not answered at all.
    pub hangs: bool,
    pub from: Duration,
    pub to: Duration,
}

/// How many milliseconds each clock is ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    pub router: i64,
    pub sagemaker: i64,
    pub codepipeline: i64,
    pub eventbridge: i64,
    pub cloudwatch: i64,
    /// How many milliseconds later the time of an alarm's change is in `DescribeAlarms` than in its event.
    pub description: i64,
}

/// Something that happens to the project from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// New code is deployed.
    Code,
    /// A drift alarm goes off.
    Alarm,
    /// Several drift alarms go off at once, because several monitors find the same drift.
    Alarms,
    /// A drift alarm goes off, and also invokes the router by its direct Lambda action.
    AlarmOnBothRoutes,
    /// The schedule ticks.
    Tick,
    /// An action of the CodePipeline requests a retraining and waits for it.
    Action,
    /// Somebody starts an execution by hand.
    StartByHand,
    /// An operator disables the stage's transition.
    HoldStage,
    /// An operator enables it.
    FreeStage,
    /// An operator disables a rule: the schedule's (0) or the drift rule (1).
    HoldRule(usize),
    /// An operator enables it.
    FreeRule(usize),
    /// A stack update replaces a rule.
    ReplaceRule(usize),
    /// An alarm is OK again.
    AlarmOk(usize),
    /// An active mute rule names an alarm, or no longer does.
    Mute(usize, bool),
    /// An alarm's actions are suppressed, or no longer are.
    Suppress(usize, bool),
    /// An alarm's actions are disabled, or enabled again.
    ActionsOff(usize, bool),
    /// The schedule ticks, and its event's time is ahead of the clock.
    TickAhead(Duration),
    /// An execution of the CodePipeline fails.
    DeploymentFails,
    /// So many of them fail, one after another.
    DeploymentsFail(usize),
    /// The CodePipeline is rolled back.
    Rollback,
    /// Another account or Region has a schedule rule and a CodePipeline of the same names. Their events reach the function.
    Foreign,
    /// The router of another SageMaker pipeline pauses a rule, or enables it.
    OtherRouter(usize, bool),
    /// Somebody asks for the status.
    Ask,
    /// Somebody asks for a retraining, forced or not.
    Request(bool),
    /// SageMaker reaches its limit, or has room again.
    Limit(bool),
    /// The SageMaker pipeline is deleted and made again as soon as none of its executions runs. SageMaker keeps the tokens. A person
    /// starts the first execution after this time.
    RemakePipeline(Duration),
    /// The router is set to drain, or back to active.
    Drain(bool),
}

/// A step, its time, and its number. The number stays the same when other steps are dropped.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub number: usize,
    pub at: Duration,
    pub kind: StepKind,
}

/// A history.
#[derive(Clone, Debug)]
pub struct History {
    pub seed: u64,
    pub weather: Weather,
    pub lambda: Lambda,
    /// Status events may be lost.
    pub loses_status_events: bool,
    /// The period of the heartbeat, if there is one.
    pub heartbeat: Option<Duration>,
    /// The longest time that one way of a call takes.
    pub latency: Duration,
    pub list_lag: Duration,
    pub describe_lag: Duration,
    /// The most executions on a page of the list, if pages are shorter than requested.
    pub page_limit: Option<usize>,
    /// How far reads of guards lag behind writes.
    pub guard_read_lag: Duration,
    pub rule_delay: Duration,
    pub reused_token: ReusedToken,
    /// How long a drift alarm starts no execution after a retraining.
    pub cooldown: Option<Duration>,
    /// Whether the router reads the alarms.
    pub lists_alarms: bool,
    /// `CATCH_UP_PER_DAY`, if it is set.
    pub catch_up_per_day: Option<usize>,
    pub clocks: Clocks,
    /// Whether SageMaker checks its limit before the token.
    pub checks_limit_first: bool,
    /// Lists give no start time for executions whose number is a multiple of this.
    pub start_time_missing: Option<usize>,
    pub outages: Vec<Outage>,
    pub troubles: Troubles,
    /// After how long Lambda ends an invocation. `None` if invocations run at once: one that is ended is one that is killed.
    pub timeout: Option<Duration>,
    /// How far CodePipeline's clock is ahead, in addition to what all clocks differ by.
    pub codepipeline_ahead: Duration,
    /// The alarm that is on a query of logs, if one is.
    pub log_alarm: Option<usize>,
    /// Deployments come by actions of the CodePipeline, not by event.
    pub has_actions: bool,
    /// Deployments wait for the end of an execution.
    pub deployments_wait: bool,
    /// Deployments' events say what started them.
    pub events_have_trigger: bool,
    /// A pipeline parameter states why an execution was started, and when that happened.
    pub has_parameters: bool,
    /// Sometimes an execution starts at the moment when another ends.
    pub echoes: bool,
    /// The bursts in which calls fail: their beginnings and ends.
    pub bursts: Vec<(Duration, Duration)>,
    pub steps: Vec<Step>,
}

impl History {
    /// The history of `seed`. If the seed is even, invocations are killed. If it is odd, they run at once.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Weather::Ordinary)
    }

    pub fn lossy(seed: u64) -> Self {
        Self::with(seed, Weather::Lossy)
    }

    pub fn silent(seed: u64) -> Self {
        Self::with(seed, Weather::Silent)
    }

    pub fn outages(seed: u64) -> Self {
        Self::with(seed, Weather::Outages)
    }

    pub fn limits(seed: u64) -> Self {
        Self::with(seed, Weather::Limits)
    }

    pub fn drained(seed: u64) -> Self {
        Self::with(seed, Weather::Drained)
    }

    fn with(seed: u64, weather: Weather) -> Self {
        let rng = &mut rng_for(seed, "history");
        let loses_status_events = rng.u8(..3) == 0;
        let lags = rng.u8(..4) == 0;
        let lag = |rng: &mut Rng| Duration::from_millis(if lags { rng.u64(..10_000) } else { 0 });
        let lists_alarms = rng_for(seed, "list of alarms").u8(..3) > 0;
        Self {
            seed,
            weather,
            lambda: if seed.is_multiple_of(2) { Lambda::Killed } else { Lambda::Concurrent },
            loses_status_events,
            heartbeat: (loses_status_events || rng.bool() || weather != Weather::Ordinary)
                .then(|| Duration::from_mins([15, 60, 240][rng.usize(..3)])),
            latency: Duration::from_millis([1, 50, 200][rng.usize(..3)]),
            list_lag: lag(rng),
            describe_lag: lag(rng),
            rule_delay: Duration::from_secs(rng.u64(..60)),
            reused_token: match (rng.bool(), rng_for(seed, "sticky").bool()) {
                _ if rare::starts_a_second_execution(seed) => ReusedToken::SecondExecution,
                (true, true) => ReusedToken::Refused,
                (true, false) => ReusedToken::RefusedForGood,
                (false, _) => ReusedToken::SameExecution,
            },
            echoes: rng.bool(),
            bursts: bursts(rng),
            cooldown: cooldown(&mut rng_for(seed, "cooldown")),
            page_limit: page_limit(&mut rng_for(seed, "pages")),
            guard_read_lag: guard_read_lag(&mut rng_for(seed, "guard reads")),
            lists_alarms,
            catch_up_per_day: catch_up_per_day(&mut rng_for(seed, "brake")),
            clocks: clocks(&mut rng_for(seed, "clocks")),
            checks_limit_first: rng_for(seed, "limit first").bool(),
            start_time_missing: start_time_missing(&mut rng_for(seed, "start times")),
            outages: if weather == Weather::Outages {
                rare::hanging(seed, outages(&mut rng_for(seed, "outages")))
            } else {
                vec![]
            },
            timeout: rare::timeout(seed, weather),
            troubles: Troubles::new(seed, lists_alarms),
            codepipeline_ahead: rare::codepipeline_ahead(seed),
            log_alarm: rare::log_alarm(seed),
            has_actions: false,
            deployments_wait: rng_for(seed, "deployments wait").u8(..4) == 0,
            events_have_trigger: rng_for(seed, "trigger of deployments").bool(),
            has_parameters: rng_for(seed, "parameters").bool(),
            steps: steps(rng),
        }
        .with_actions()
        .with_more_steps()
    }

    /// Adds steps that do not request a retraining themselves, and the limits.
    fn with_more_steps(mut self) -> Self {
        let rng = &mut rng_for(self.seed, "more steps");
        let last = self.steps.last().map_or(Duration::ZERO, |step| step.at);
        let mut more = Vec::new();
        for _ in 0..rng.usize(..6) {
            let at = last.mul_f64(rng.f64());
            let later = at + Duration::from_secs(rng.u64(60..14_400));
            let (alarm, rule) = (rng.usize(..3), rng.usize(..2));
            match rng.u8(..8) {
                0..=1 => more.push((at, StepKind::AlarmOk(alarm))),
                2 => more.extend([(at, StepKind::Mute(alarm, true)), (later, StepKind::Mute(alarm, false))]),
                3 => more.extend([(at, StepKind::Suppress(alarm, true)), (later, StepKind::Suppress(alarm, false))]),
                4 => more.push((at, StepKind::DeploymentFails)),
                5 => more.push((at, StepKind::Rollback)),
                _ => {
                    more.extend([(at, StepKind::OtherRouter(rule, true)), (later, StepKind::OtherRouter(rule, false))])
                }
            }
        }
        let foreign = &mut rng_for(self.seed, "foreign events");
        if foreign.u8(..4) == 0 {
            more.push((last.mul_f64(foreign.f64()), StepKind::Foreign));
        }
        if self.weather == Weather::Drained {
            let from = last.mul_f64(rng.f64());
            more.push((from, StepKind::Drain(true)));
            if rng.bool() {
                more.push((from + Duration::from_secs(rng.u64(..14_400)), StepKind::Drain(false)));
            }
        }
        if matches!(self.weather, Weather::Limits | Weather::Drained) {
            let mut from = Duration::from_secs(rng.u64(..3600));
            for _ in 0..1 + rng.usize(..3) {
                let to = from + Duration::from_secs(rng.u64(600..10_800));
                more.extend([(from, StepKind::Limit(true)), (to, StepKind::Limit(false))]);
                from = to + Duration::from_secs(rng.u64(60..7200));
            }
        }
        // Numbers that no other step has.
        let numbered = |first, steps: Vec<(Duration, StepKind)>| {
            steps.into_iter().enumerate().map(move |(number, (at, kind))| Step { number: first + number, at, kind })
        };
        let rare = rare::steps(&self);
        self.steps.extend(numbered(200, more).chain(numbered(300, rare)));
        self.steps.sort_by_key(|step| step.at);
        self
    }

    /// The cooldown that the router keeps.
    pub fn kept_cooldown(&self) -> Option<Duration> {
        self.cooldown.or(self.lists_alarms.then_some(Duration::from_hours(24)))
    }

    /// When the last outage ends.
    pub fn outages_end(&self) -> Duration {
        self.outages.iter().map(|outage| outage.to).max().unwrap_or_default()
    }

    /// In some histories, actions of the CodePipeline request retrainings too.
    fn with_actions(mut self) -> Self {
        let rng = &mut rng_for(self.seed, "actions");
        // An action whose event is lost is never answered.
        let is_lost = matches!(self.weather, Weather::Lossy | Weather::Silent);
        if rng.u8(..3) == 0 && !is_lost {
            self.has_actions = true;
            self.deployments_wait = false;
            // Deployments come by event or by action, never both.
            for step in &mut self.steps {
                if step.kind == StepKind::Code {
                    step.kind = StepKind::Action;
                }
            }
            let last = self.steps.last().map_or(Duration::ZERO, |h| h.at);
            self.steps.extend((0..1 + rng.usize(..3)).map(|number| Step {
                // Numbers that no other step has.
                number: 100 + number,
                at: last.mul_f64(rng.f64()),
                kind: StepKind::Action,
            }));
            self.steps.sort_by_key(|step| step.at);
        }
        self
    }

    /// Whether lists or descriptions lag.
    pub fn lags(&self) -> bool {
        !self.lag().is_zero()
    }

    /// The longer of the two lags of executions.
    pub fn lag(&self) -> Duration {
        self.list_lag.max(self.describe_lag)
    }
}

/// The generator of one choice, by the history's seed and the choice's name.
pub fn rng_for(seed: u64, name: impl Debug) -> Rng {
    let hash = Sha256::digest(format!("{seed} {name:?}"));
    Rng::with_seed(u64::from_le_bytes(hash[..8].try_into().unwrap()))
}

/// Short bursts of faults. Lambda's two retries, after one and two minutes, are outside of a burst. So a lost event is a fault of
/// the router.
fn bursts(rng: &mut Rng) -> Vec<(Duration, Duration)> {
    let mut bursts = Vec::new();
    if rng.bool() {
        let mut begin = rng.u64(..1800);
        while begin < 6 * 3600 {
            bursts.push((Duration::from_secs(begin), Duration::from_secs(begin + 1 + rng.u64(..40))));
            begin += 600 + rng.u64(..1200);
        }
    }
    bursts
}

/// Up to a dozen steps within a few hours, many of them close together.
fn steps(rng: &mut Rng) -> Vec<Step> {
    let mut at = Duration::ZERO;
    (0..1 + rng.usize(..12))
        .map(|number| {
            at += Duration::from_millis(match rng.u8(..4) {
                0 => rng.u64(..300),
                1 => rng.u64(..10_000),
                2 => rng.u64(..600_000),
                _ => rng.u64(..3_600_000),
            });
            let rule = rng.usize(..2);
            let kind = match rng.u8(..20) {
                0..=3 => StepKind::Code,
                4 => StepKind::Alarm,
                5..=6 => StepKind::Alarms,
                7 => StepKind::AlarmOnBothRoutes,
                8..=10 => StepKind::Tick,
                11..=12 => StepKind::StartByHand,
                13 => StepKind::HoldStage,
                14 => StepKind::FreeStage,
                15..=16 => StepKind::HoldRule(rule),
                17..=18 => StepKind::FreeRule(rule),
                _ => StepKind::ReplaceRule(rule),
            };
            Step { number, at, kind }
        })
        .collect()
}

fn page_limit(rng: &mut Rng) -> Option<usize> {
    (rng.u8(..3) == 0).then(|| rng.usize(3..=8))
}

fn guard_read_lag(rng: &mut Rng) -> Duration {
    Duration::from_millis(if rng.u8(..4) == 0 { rng.u64(..600) } else { 0 })
}

fn catch_up_per_day(rng: &mut Rng) -> Option<usize> {
    [None, None, None, Some(1), Some(2), Some(100)][rng.usize(..6)]
}

fn clocks(rng: &mut Rng) -> Clocks {
    let mut skew = || if rng.bool() { 0 } else { rng.i64(-5000..=5000) };
    let (router, sagemaker, codepipeline, eventbridge, cloudwatch) = (skew(), skew(), skew(), skew(), skew());
    let description = if rng.bool() { 0 } else { rng.i64(-2000..=2000) };
    Clocks { router, sagemaker, codepipeline, eventbridge, cloudwatch, description }
}

fn start_time_missing(rng: &mut Rng) -> Option<usize> {
    (rng.u8(..10) == 0).then(|| rng.usize(1..=3))
}

fn outages(rng: &mut Rng) -> Vec<Outage> {
    let mut outages = Vec::new();
    let mut from = Duration::from_secs(rng.u64(..3600));
    for _ in 0..1 + rng.usize(..3) {
        let services = [Some("sagemaker"), Some("codepipeline"), Some("events"), Some("cloudwatch"), None];
        let to = from + Duration::from_secs(rng.u64(120..10_800));
        outages.push(Outage { service: services[rng.usize(..services.len())], hangs: false, from, to });
        from = to + Duration::from_secs(rng.u64(60..7200));
    }
    outages
}

fn cooldown(rng: &mut Rng) -> Option<Duration> {
    (rng.u8(..3) == 0).then(|| Duration::from_mins([10, 120][rng.usize(..2)]))
}

/// How long CodePipeline waits before it calls again for an action. The real service calls more often, with the same effect.
pub fn asks_again(rng: &mut Rng) -> Duration {
    Duration::from_secs(30 + rng.u64(..900))
}

/// When the copies of an event arrive after it was sent. There is at least one; some are late and out of order.
pub fn deliveries(rng: &mut Rng) -> Vec<Duration> {
    let copies = match rng.u8(..10) {
        0..=6 => 1,
        7..=8 => 2,
        _ => 3,
    };
    let delay = |rng: &mut Rng| {
        Duration::from_millis(match rng.u8(..20) {
            0..=9 => rng.u64(..50),
            10..=11 => rng.u64(..2_000),
            12..=16 => rng.u64(..60_000),
            17..=18 => rng.u64(..1_200_000),
            _ => rng.u64(..10_800_000),
        })
    };
    (0..copies).map(|_| delay(rng)).collect()
}

/// The statuses of an execution after its start, and the time before each.
pub fn course(rng: &mut Rng) -> Vec<(Duration, &'static str)> {
    let some_time = |rng: &mut Rng| {
        Duration::from_millis(match rng.u8(..4) {
            0 => 10_000 + rng.u64(..20_000),
            1 => 10_000 + rng.u64(..600_000),
            _ => 60_000 + rng.u64(..7_200_000),
        })
    };
    let mut course = vec![];
    // An ended execution may be retried, under the same ARN, once or twice.
    for attempt in 0..3 {
        if attempt > 0 {
            if rng.u8(..8) > 0 {
                break;
            }
            course.push((some_time(rng), "Executing"));
        }
        if rng.u8(..4) == 0 {
            course.push((some_time(rng), "Stopping"));
            course.push((some_time(rng), ["Stopped", "Failed"][rng.usize(..2)]));
        } else {
            course.push((some_time(rng), ["Succeeded", "Failed", "CompletedWithFailures"][rng.usize(..3)]));
        }
    }
    course
}
