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

/// Webhooks in trouble that are shown, of each kind.
const SHOWN: usize = 10;
/// How long a look is shared: it counts all waiting deliveries.
const PAUSE: Duration = Duration::from_secs(5);
/// Looks that are kept, one for each access.
const MOST: usize = 1000;

/// What a caller with some access sees.
pub(super) struct Seen {
    pub(super) all: Overview,
    pub(super) suspended: Vec<Report>,
    pub(super) failing: Vec<Report>,
    pub(super) unsent: u64,
    pub(super) now: Timestamp,
}

/// The access: a vendor and an account.
type Whose = (Option<String>, Option<AccountKey>);

/// A look that is shared.
type Shared = SingleFlight<Result<Arc<Seen>, Error>>;

/// The last looks. Callers with the same access share one.
#[derive(Default)]
pub(super) struct Overviews(Mutex<HashMap<Whose, Arc<Shared>>>);

impl Overviews {
    /// The last look with this access. The right of each caller is checked after it.
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
