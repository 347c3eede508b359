//! The trace of a history: what happened, line by line, with the time since the history's beginning.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

/// The lines. Its copies write to the same lines.
#[derive(Clone)]
pub struct Trace {
    lines: Arc<Mutex<Vec<String>>>,
    begins: Instant,
}

impl Trace {
    pub fn begin() -> Self {
        Self { lines: Arc::default(), begins: Instant::now() }
    }

    /// When the history began.
    pub fn begins(&self) -> Instant {
        self.begins
    }

    pub fn note(&self, line: &str) {
        let elapsed = self.begins.elapsed();
        let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
        let clock = format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.lines.lock().unwrap().push(format!("{clock} {line}"));
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}
