//! The progress of a long run. It is drawn only where standard error is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for `length` pieces of work.
pub fn bar(what: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, another {eta}");
    ProgressBar::new(length).with_style(style.unwrap()).with_message(what.to_owned())
}
