//! The handle on a world that clients, servers and tests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::project::Project;
use crate::world::World;

/// A handle on a [`World`] that clients, servers and tests share.
#[derive(Clone, Debug)]
pub struct Simulator {
    world: Arc<Mutex<World>>,
}

impl Simulator {
    /// A new world with `project` in it, and nothing running.
    #[must_use]
    pub fn new(project: &Project) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(project))) }
    }

    /// An independent simulator with a [copy](World::copy) of the world.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { world: Arc::new(Mutex::new(self.world().copy())) }
    }

    /// The world, to read or to change. It must not be kept across an `await`.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
