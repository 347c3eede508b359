//! Records for the tests of the template. With `RECORD=DIRECTORY` in the environment, the other tests write what the function does
//! to that directory, as JSON lines, each record once. The template's tests compare these records with what the template grants,
//! sets and shows.

use std::collections::BTreeSet;
use std::fs::{OpenOptions, create_dir_all};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::call::Call;
use crate::place::Place;

static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Writes `what` to the file `kind.jsonl`, unless this process has done so already. Does nothing without `RECORD`.
///
/// # Panics
/// If the file cannot be written. An incomplete record proves nothing.
#[allow(clippy::panic, reason = "test support")]
pub fn note(kind: &str, what: &Value) {
    let Some(directory) = std::env::var_os("RECORD") else { return };
    let line = format!("{what}\n");
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !written.insert(format!("{kind} {line}")) {
        return;
    }
    let directory = Path::new(&directory);
    let append = || {
        create_dir_all(directory)?;
        let path = directory.join(kind).with_extension("jsonl");
        // One write for each line, so that lines of several processes do not mix.
        OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
    };
    if let Err(error) = append() {
        panic!("cannot record to {}: {error}", directory.display());
    }
}

/// Records the permission that a call needs. Leaves out calls about another account: a function in an emulator reads its rules
/// there, and has no stack.
pub(crate) fn permission(call: &Call, place: &Place) {
    if call.resource == "*" || call.resource.contains(place.account()) {
        // In the simulation, every history has its own Region.
        let resource = call.resource.replacen(place.region(), "${AWS::Region}", 1);
        note("permissions", &json!({ "action": format!("{}:{}", call.service, call.operation), "resource": resource }));
    }
}
