//! Notes for tests of the deployed stack. With `RECORD=DIRECTORY` in the environment, the other tests write what they see to that
//! directory, each thing once, as JSON lines. So what the template grants, sets and shows is compared with what the function really
//! does.

use std::collections::BTreeSet;
use std::fs::{OpenOptions, create_dir_all};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::world::{Call, Place};

static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Writes `what` to the file `kind.jsonl`, unless this process has done so already. Does nothing if nothing is recorded.
///
/// # Panics
/// If the file cannot be written: an incomplete record would prove nothing.
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
        // One write, so that processes do not mix their lines.
        OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
    };
    if let Err(error) = append() {
        panic!("cannot record to {}: {error}", directory.display());
    }
}

/// Notes the permission that a call needs. Leaves out calls about another account: an emulator's function reads its rules there, and
/// there is no stack.
pub(crate) fn permission(call: &Call, place: &Place) {
    if call.resource == "*" || call.resource.contains(place.account()) {
        // The simulation gives every history a region of its own.
        let resource = call.resource.replacen(place.region(), "${AWS::Region}", 1);
        note("permissions", &json!({ "action": format!("{}:{}", call.service, call.operation), "resource": resource }));
    }
}
