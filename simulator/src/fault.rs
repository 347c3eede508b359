//! The simulated faults of calls.

use serde_json::Value;

use crate::shape::ApiError;

/// One fault of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service throttles the call; nothing is applied.
    Throttled,
    /// HTTP 500, and nothing is applied.
    ErrorBefore,
    /// HTTP 500 although the call was applied.
    ErrorAfter,
    /// The service never answers, and nothing is applied.
    Hang,
    /// The service never answers, although the call was applied.
    HangAfter,
    /// The connection is reset, and nothing is applied.
    Reset,
    /// The connection is reset, although the call was applied.
    ResetAfter,
    /// The service refuses the call with this code, such as `AccessDeniedException`; nothing is applied.
    Refused(&'static str),
}

impl Fault {
    /// Whether the call is applied anyway.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::ErrorAfter | Self::HangAfter | Self::ResetAfter)
    }

    /// What the caller sees in place of the service's own answer.
    #[must_use]
    pub fn symptom(&self) -> Symptom {
        match self {
            Self::Throttled => Symptom::Answer(ApiError::refused("ThrottlingException", "Rate exceeded")),
            Self::ErrorBefore | Self::ErrorAfter => Symptom::Answer(ApiError::internal()),
            Self::Hang | Self::HangAfter => Symptom::Silence,
            Self::Reset | Self::ResetAfter => Symptom::Reset,
            Self::Refused(code) => Symptom::Answer(ApiError::refused(code, "refused by a simulated fault")),
        }
    }
}

/// The effect of a fault that the caller sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// The service answers with an error.
    Answer(ApiError),
    /// The connection is reset.
    Reset,
    /// The service never answers.
    Silence,
}

/// The service and the operation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called<'c> {
    /// The service, as IAM names it.
    pub service: &'static str,
    /// The operation.
    pub operation: &'c str,
    /// The request's input.
    pub input: &'c Value,
}

/// A source of faults. It returns the fault of a call, if it has one.
pub type FaultSource = Box<dyn Decide>;

/// A function that returns the fault of a call, if it has one. It can be copied together with the simulator.
pub trait Decide: FnMut(Called<'_>) -> Option<Fault> + Send {
    /// A copy, with the present state.
    fn copy(&self) -> FaultSource;
}

impl<F: FnMut(Called<'_>) -> Option<Fault> + Send + Clone + 'static> Decide for F {
    fn copy(&self) -> FaultSource {
        Box::new(self.clone())
    }
}

/// A source that gives every call of `operation` this fault whose input holds `text`.
#[must_use]
pub fn about(operation: &'static str, text: &'static str, fault: Fault) -> FaultSource {
    Box::new(move |called: Called<'_>| {
        let is_about = called.operation == operation && called.input.to_string().contains(text);
        is_about.then(|| fault.clone())
    })
}

/// A source that gives the next `times` calls of `operation` this fault. `operation` is an operation's name, or
/// `service:Operation` if two services have an operation of this name.
#[must_use]
pub fn next(operation: &'static str, times: usize, fault: Fault) -> FaultSource {
    let mut left = times;
    let (service, operation) = operation.split_once(':').map_or((None, operation), |(s, o)| (Some(s), o));
    Box::new(move |called: Called<'_>| {
        if called.operation == operation && service.is_none_or(|service| service == called.service) && left > 0 {
            left -= 1;
            Some(fault.clone())
        } else {
            None
        }
    })
}
