//! Looks through stored payloads take turns: one at a time, and for each token, and the command line, one after the other. So they take at
//! most one reading connection and one processor from everybody else.

use std::{sync::Arc, time::Duration};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::{self, SharedClock},
    domain::audit::Actor,
    error::{Error, Result},
    keyed_semaphore::KeyedSemaphore,
};

/// How long a page may look through payloads, from its turn on.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a search waits for its turn.
const WAITING: Duration = Duration::from_secs(20);

/// The turns.
pub(super) struct Searches {
    of_asker: KeyedSemaphore,
    all: Arc<Semaphore>,
}

/// A turn. The look itself holds it, so that it lasts as long as the look, even if the client has gone.
pub(super) type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Default for Searches {
    fn default() -> Self {
        Self { of_asker: KeyedSemaphore::new(1), all: Arc::new(Semaphore::new(1)) }
    }
}

impl Searches {
    /// Waits for the turn of this asker.
    ///
    /// # Errors
    /// [`Error::TooMany`] if it does not come in time.
    pub(super) async fn turn(&self, clock: &SharedClock, asker: Actor) -> Result<Turn> {
        let (own, all) = (self.of_asker.of(&asker.to_string()), Arc::clone(&self.all));
        let turn = async { Ok::<_, AcquireError>((own.acquire_owned().await?, all.acquire_owned().await?)) };
        let end = clock.uptime() + WAITING;
        tokio::select! {
            biased;
            turn = turn => turn.map_err(|closed| Error::Internal(closed.to_string())),
            () = clock::until(clock, end) => Err(Error::TooMany {
                wait: PATIENCE,
                message: "other searches through payloads are under way: search again in a moment".to_owned(),
            }),
        }
    }
}
