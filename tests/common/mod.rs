//! What the tests of the router share: [`Lab`], the router with a simulated AWS that has the project of the sample events.
//!
//! **Every event is handled twice, and a status comes before it**: `Lab::send` asks for the status and gives the event to a router with
//! `MODE=dry-run`, each on a copy of the simulator, and then gives it to the router under test. `shown.rs` and `dry_run.rs` tell what
//! every scenario so tests besides its own subject.

mod dry_run;
mod instance;
mod lab;
pub mod marks;
mod shown;

pub use lab::{DEPLOYED_BY_ACTION, Lab};

/// Runs what uses a copy of the simulator. The copy has a clock of its own, so this has a thread and a runtime of its own.
fn on_its_own_clock<T: Send + 'static>(run: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    std::thread::spawn(move || runtime.block_on(run)).join().expect("see the message of that thread")
}
