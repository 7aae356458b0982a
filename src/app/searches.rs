//! Looks through stored payloads take turns: one at a time, and for each token one after the other. So they take at
//! most one reading connection and one processor from everybody else.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Access, App, PageRequest, Right};
use crate::{
    domain::search::{Asked, Place, Sought},
    error::{Error, Result},
    keyed_semaphore::KeyedSemaphore,
};

/// How long a page may look through payloads.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// How long a search waits for its turn.
const WAITING: Duration = Duration::from_secs(20);

/// The turns.
pub(super) struct Searches {
    of_token: KeyedSemaphore,
    all: Arc<Semaphore>,
}

impl Default for Searches {
    fn default() -> Self {
        Self { of_token: KeyedSemaphore::new(1), all: Arc::new(Semaphore::new(1)) }
    }
}

/// A turn. The look itself holds it, so that it lasts as long as the look, even if the client has gone.
pub(super) type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl App {
    /// Reads a text to look for, and the page of it that is asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is too long, and for a cursor that no list gave.
    pub(super) fn asked<T>(
        &self,
        text: Option<String>,
        page: &PageRequest,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Asked<T>> {
        let sought = text.map(|text| Sought::parse(&text, &self.0.profiles)).transpose()?.flatten();
        let place = page.after(|cursor| Place::parse(cursor, read))?.unwrap_or(Place::Start);
        Ok(Asked { sought, place, limit: self.page_size(page)?, patience: PATIENCE })
    }

    /// Waits for the turn of a list that may look through payloads; any other list needs none.
    ///
    /// # Errors
    /// [`Error::TooMany`] if it does not come in time.
    pub(super) async fn turn<S: Right, T: Copy>(&self, access: &Access<S>, asked: &Asked<T>) -> Result<Option<Turn>> {
        if !asked.may_look_through_payloads() {
            return Ok(None);
        }
        let Searches { of_token, all } = &self.0.searches;
        let own = of_token.of(&access.token().to_string());
        let turn = async {
            Ok::<_, tokio::sync::AcquireError>((own.acquire_owned().await?, all.clone().acquire_owned().await?))
        };
        match tokio::time::timeout(WAITING, turn).await {
            Ok(turn) => turn.map(Some).map_err(|closed| Error::Internal(closed.to_string())),
            Err(_) => Err(Error::TooMany {
                wait: PATIENCE,
                message: "other searches through payloads are under way: search again in a moment".to_owned(),
            }),
        }
    }
}
