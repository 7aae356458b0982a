//! The numbers of the first page. All callers with the same access share one look at the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    api::deps::Deps,
    domain::{account::AccountKey, endpoint::EndpointState, grant::Grant, timestamp::Timestamp, token::Walls},
    error::Error,
    http::single_flight::SingleFlight,
    store::{
        View, alerts,
        overview::{self, Overview},
        webhooks::{self, Report},
    },
};

/// Webhooks that need somebody, of each kind.
const SHOWN: usize = 10;
/// How long what was seen is shown to whoever asks: a look counts all that waits.
const PAUSE: Duration = Duration::from_secs(5);
/// Callers whose looks are remembered.
const MOST: usize = 1000;

/// What was seen, of one caller's walls.
pub(super) struct Seen {
    pub(super) all: Overview,
    pub(super) suspended: Vec<Report>,
    pub(super) failing: Vec<Report>,
    pub(super) unsent: u64,
    pub(super) now: Timestamp,
}

/// Whose walls.
type Whose = (Option<String>, Option<AccountKey>);

/// What all with the same walls share.
type Shared = SingleFlight<Result<Arc<Seen>, Error>>;

/// The last looks at everything: all whose walls are the same share one.
#[derive(Default)]
pub(super) struct Overviews(Mutex<HashMap<Whose, Arc<Shared>>>);

impl Overviews {
    /// What was last seen within these walls. The look is of all who share it; the right of each is checked when it has ended.
    pub(super) async fn last(
        &self,
        deps: &Deps,
        grant: Grant,
        walls: Walls,
        operator: bool,
    ) -> Result<Arc<Seen>, Error> {
        let looks = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST {
                all.clear();
            }
            Arc::clone(all.entry((walls.profile.as_deref().map(str::to_owned), walls.account)).or_default())
        };
        let (db, now) = (deps.db.clone(), deps.clock.now());
        let look = || async move { db.read(move |view| look(view, &walls, operator, now)).await.map(Arc::new) };
        let seen = looks.recent(deps.clock.uptime(), PAUSE, look).await;
        deps.db.check(grant)?;
        seen.unwrap_or_else(|| Err(Error::Internal("a look at everything panicked".to_owned())))
    }
}

fn look(view: &View<'_>, walls: &Walls, operator: bool, now: Timestamp) -> Result<Seen, Error> {
    let state = |state| webhooks::Filter { state, ..webhooks::Filter::default() };
    let (suspended, _) = webhooks::list(view, walls, &state(Some(EndpointState::Suspended)), SHOWN, now)?;
    let failing = webhooks::Filter { failing: true, ..webhooks::Filter::default() };
    let (failing, _) = webhooks::list(view, walls, &failing, SHOWN, now)?;
    let unsent = if operator { alerts::unsent_count(view)? } else { 0 };
    Ok(Seen { all: overview::look(view, walls, now)?, suspended, failing, unsent, now })
}
