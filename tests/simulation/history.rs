//! One project's life, drawn from a seed: what happens when, and how AWS and Lambda behave meanwhile.
//!
//! Every choice is drawn from the seed and the name of the thing that it is about, never from what came before. So a step can be
//! dropped and everything else stays as it is, which is what shrinking needs.

use std::fmt::Debug;
use std::time::Duration;

use fastrand::Rng;
use sha2::{Digest, Sha256};
use simulator::sagemaker::ReusedToken;

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

/// Something that happens to the project from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// New code is deployed.
    Code,
    /// A drift alarm goes off.
    Alarm,
    /// Several drift alarms go off at once, as one drift is seen by several monitors.
    Alarms,
    /// A drift alarm goes off, and reaches the router by its direct Lambda action too.
    AlarmOnBothRoutes,
    /// The schedule ticks.
    Tick,
    /// An action of the CodePipeline asks for a retraining and waits for it.
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
}

/// A step, its time, and its number, which stays its own when others are dropped.
#[derive(Clone, Copy, Debug)]
pub struct Happening {
    pub number: usize,
    pub at: Duration,
    pub step: Step,
}

/// All that a history is.
#[derive(Clone, Debug)]
pub struct History {
    pub seed: u64,
    pub lambda: Lambda,
    /// Status events may be lost.
    pub lossy: bool,
    /// How often the heartbeat ticks, if it does.
    pub heartbeat: Option<Duration>,
    /// The longest that one way of a call takes.
    pub latency: Duration,
    pub list_lag: Duration,
    pub describe_lag: Duration,
    pub rule_delay: Duration,
    pub reused_token: ReusedToken,
    /// How long after a retraining a drift alarm starts none.
    pub cooldown: Option<Duration>,
    /// At times the next execution starts just as another ends.
    pub echoes: bool,
    /// When AWS misbehaves: beginnings and ends.
    pub bursts: Vec<(Duration, Duration)>,
    pub happenings: Vec<Happening>,
}

impl History {
    /// The history of `seed`: invocations are killed in the even ones, and run at once in the odd ones.
    pub fn new(seed: u64) -> Self {
        let rng = &mut dice(seed, "history");
        let lossy = rng.u8(..3) == 0;
        let lags = rng.u8(..4) == 0;
        let lag = |rng: &mut Rng| Duration::from_millis(if lags { rng.u64(..10_000) } else { 0 });
        Self {
            seed,
            lambda: if seed.is_multiple_of(2) { Lambda::Killed } else { Lambda::Concurrent },
            lossy,
            heartbeat: (lossy || rng.bool()).then(|| Duration::from_mins([15, 60, 240][rng.usize(..3)])),
            latency: Duration::from_millis([1, 50, 200][rng.usize(..3)]),
            list_lag: lag(rng),
            describe_lag: lag(rng),
            rule_delay: Duration::from_secs(rng.u64(..60)),
            reused_token: if rng.bool() { ReusedToken::Refused } else { ReusedToken::SameExecution },
            echoes: rng.bool(),
            bursts: bursts(rng),
            cooldown: cooldown(&mut dice(seed, "cooldown")),
            happenings: happenings(rng),
        }
        .with_actions()
    }

    /// In some histories, actions of the CodePipeline ask for retrainings among all the rest.
    fn with_actions(mut self) -> Self {
        let rng = &mut dice(self.seed, "actions");
        if rng.u8(..3) == 0 {
            let last = self.happenings.last().map_or(Duration::ZERO, |h| h.at);
            self.happenings.extend((0..1 + rng.usize(..3)).map(|number| Happening {
                // Numbers that no other happening has.
                number: 100 + number,
                at: last.mul_f64(rng.f64()),
                step: Step::Action,
            }));
            self.happenings.sort_by_key(|happening| happening.at);
        }
        self
    }

    /// Whether lists or descriptions lag.
    pub fn lags(&self) -> bool {
        !self.lag().is_zero()
    }

    /// The longer of the two lags.
    pub fn lag(&self) -> Duration {
        self.list_lag.max(self.describe_lag)
    }
}

/// A generator for the thing that `name` names, in the history of `seed`.
pub fn dice(seed: u64, name: impl Debug) -> Rng {
    let hash = Sha256::digest(format!("{seed} {name:?}"));
    Rng::with_seed(u64::from_le_bytes(hash[..8].try_into().unwrap()))
}

/// Short bursts, far enough apart that Lambda's two retries (after one and two minutes) outlive each: what is lost all the same
/// was lost by the router.
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

/// Up to a dozen happenings within a few hours, many of them crowded together, as trouble comes.
fn happenings(rng: &mut Rng) -> Vec<Happening> {
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
            let step = match rng.u8(..20) {
                0..=3 => Step::Code,
                4 => Step::Alarm,
                5..=6 => Step::Alarms,
                7 => Step::AlarmOnBothRoutes,
                8..=10 => Step::Tick,
                11..=12 => Step::StartByHand,
                13 => Step::HoldStage,
                14 => Step::FreeStage,
                15..=16 => Step::HoldRule(rule),
                17..=18 => Step::FreeRule(rule),
                _ => Step::ReplaceRule(rule),
            };
            Happening { number, at, step }
        })
        .collect()
}

fn cooldown(rng: &mut Rng) -> Option<Duration> {
    (rng.u8(..3) == 0).then(|| Duration::from_mins([10, 120][rng.usize(..2)]))
}

/// How long CodePipeline waits before it asks again for an action. It really asks more often; but nothing else happens then.
pub fn asks_again(rng: &mut Rng) -> Duration {
    Duration::from_secs(30 + rng.u64(..900))
}

/// When the copies of an event arrive after it was sent: one at least, late and out of order at times.
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

/// What becomes of an execution once it runs: the statuses that follow, each after how long.
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
