//! The numbers of the first page. All callers with the same access share one look at the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    app::{Access, App, Webhooks, overview::Snapshot},
    domain::token::AccessScope,
    error::Error,
    http::single_flight::SingleFlight,
};

/// Webhooks in trouble that are shown, of each kind.
const SHOWN: usize = 10;
/// How long a look is shared: it counts all waiting deliveries.
const PAUSE: Duration = Duration::from_secs(5);
/// Looks that are kept, one for each access.
const MOST: usize = 1000;

/// One look, for all who see the same.
type Shared = SingleFlight<Result<Arc<Snapshot>, Error>>;

/// The last looks, one for all who see the same.
#[derive(Default)]
pub(super) struct Overviews(Mutex<HashMap<AccessScope, Arc<Shared>>>);

impl Overviews {
    /// The last overview of everything, for callers who see everything. Many share it; each caller's right is checked.
    pub(super) async fn last(&self, app: &App, access: &Access<Webhooks>) -> Result<Arc<Snapshot>, Error> {
        let looks = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST {
                all.clear();
            }
            Arc::clone(all.entry(access.scope().clone()).or_default())
        };
        let (looker, first) = (app.clone(), access.clone());
        let look = || async move { looker.overview_for_all(&first, SHOWN).await.map(Arc::new) };
        let seen = looks.recent(app.clock().uptime(), PAUSE, look).await;
        app.check_access(access)?;
        seen.unwrap_or_else(|| Err(Error::Internal("a look at everything panicked".to_owned())))
    }
}
