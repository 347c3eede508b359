//! The world's thread. Its clock is simulated, and passes only while a control advances it or a simulated call waits.

use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::control::{Control, Details};
use crate::world::{Call, Refusal, World};

/// What the world is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    /// What there is to show.
    State,
    /// To carry out a control.
    Control(Control, Details),
    /// To invoke the function, as a dashboard does.
    Call(Call),
}

/// Where the world is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asks(mpsc::Sender<(Ask, oneshot::Sender<Result<Value, Refusal>>)>);

impl Asks {
    /// The world's answer. A text is HTML.
    pub(crate) async fn answer(&self, ask: Ask) -> Result<Value, Refusal> {
        let gone = || Refusal::Broken("The thread of the simulation has ended: start the console again.".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.send((ask, reply)).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Starts the world on a thread of its own. The simulator's times come from the clock of the runtime there, so everything that uses
/// the simulator runs on it.
///
/// # Errors
/// The reason, if there is no world.
pub(crate) fn start() -> Result<Asks, String> {
    let (asks, asked) = mpsc::channel::<(Ask, oneshot::Sender<Result<Value, Refusal>>)>();
    let (began, begun) = mpsc::channel();
    let live = move || {
        let runtime = match Builder::new_current_thread().enable_time().start_paused(true).build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(began.send(Err(error.to_string()))),
        };
        let mut world = match runtime.block_on(async { World::new() }) {
            Ok(world) => world,
            Err(error) => return drop(began.send(Err(error))),
        };
        drop(began.send(Ok(())));
        // Between two questions the thread waits outside of the runtime, which would let its clock run otherwise.
        while let Ok((ask, reply)) = asked.recv() {
            let answer = runtime.block_on(async {
                match ask {
                    Ask::State => Ok(world.state()),
                    Ask::Control(control, details) => world.carry_out(control, &details).await.map(Value::String),
                    Ask::Call(call) => world.call(call).await,
                }
            });
            // Whoever asked may have gone.
            drop(reply.send(answer));
        }
    };
    thread::Builder::new().name("world".to_owned()).spawn(live).map_err(|error| error.to_string())?;
    begun.recv().map_err(|_| "the thread of the simulation has ended".to_owned())??;
    Ok(Asks(asks))
}
