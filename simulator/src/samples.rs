//! The sample events in the directory `events/` of the workspace.
#![allow(clippy::panic, reason = "test support")]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The file of the sample event `name`: `events/NAME.json`.
#[must_use]
pub fn sample_path(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(""));
    workspace.join("events").join(name).with_extension("json")
}

/// The sample event `name`.
///
/// # Panics
/// If the file cannot be read or is not JSON.
#[must_use]
pub fn sample_event(name: &str) -> Value {
    let path = sample_path(name);
    let json = std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
}

/// The sample event `name` with other values at the JSON pointers in `changes`.
///
/// # Panics
/// If the sample cannot be read, or has nothing at one of the pointers.
#[must_use]
pub fn sample_with(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut event = sample_event(name);
    for (pointer, value) in changes {
        match event.pointer_mut(pointer) {
            Some(field) => *field = value.clone(),
            None => panic!("{} has no {pointer}", sample_path(name).display()),
        }
    }
    event
}

/// The event by which SageMaker reports that the execution `execution_arn` has the status `status`.
///
/// # Panics
/// If the sample `execution-executing` cannot be read or lacks the two fields.
#[must_use]
pub fn status_event(execution_arn: &str, status: &str) -> Value {
    sample_with(
        "execution-executing",
        &[
            ("/detail/pipelineExecutionArn", execution_arn.into()),
            ("/detail/currentPipelineExecutionStatus", status.into()),
        ],
    )
}
