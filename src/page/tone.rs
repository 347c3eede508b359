//! The state of a thing on the page: good, bad, waiting and so on. Each state has a colour and a symbol, so a reader who cannot see the
//! colour sees the symbol.

use crate::policy::verdict::Verdict;

/// The state of a thing on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    /// A person may have to look.
    Warn,
    /// A retraining runs.
    Runs,
    /// Something comes later.
    Waits,
    /// It was done.
    Done,
    /// Nothing is to be done.
    Off,
}

impl Tone {
    /// The class of the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Runs | Self::Waits => "info",
            Self::Done | Self::Off => "off",
        }
    }

    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Good | Self::Done => "✓",
            Self::Bad => "✗",
            Self::Warn => "!",
            Self::Runs => "▶",
            Self::Waits => "…",
            Self::Off => "■",
        }
    }

    /// Of an execution's status, in SageMaker's words.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "Executing" | "Stopping" => Self::Runs,
            "Succeeded" => Self::Good,
            "Stopped" => Self::Off,
            _ => Self::Bad,
        }
    }

    pub(super) fn of_verdict(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::ServedByName(_) | Verdict::ServedByTime(_) => Self::Done,
            Verdict::Running(_) => Self::Runs,
            Verdict::Owed
            | Verdict::OwedUnlessMuted
            | Verdict::Waiting(_)
            | Verdict::CoolingDown { .. }
            | Verdict::TooYoung { .. }
            // No finding is braked: this is the answer to a request.
            | Verdict::Braked(_) => Self::Waits,
            Verdict::Held | Verdict::Unread | Verdict::MutesNotRead => Self::Warn,
            Verdict::Expired
            | Verdict::RolledBack { .. }
            | Verdict::Suppressed { .. }
            | Verdict::ActionsOff
            | Verdict::Muted => Self::Off,
        }
    }
}
