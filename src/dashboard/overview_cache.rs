//! The numbers of the first page. All callers who see the same share one reading of the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    app::{Access, App, Webhooks, overview::Snapshot},
    domain::token::Visible,
    error::Result,
    http::single_flight::SingleFlight,
};

/// Webhooks in trouble that are shown, of each kind.
const SHOWN: usize = 10;
/// How long a reading is shared. A reading counts all waiting deliveries.
const PAUSE: Duration = Duration::from_secs(5);
/// Most readings in memory, one for each view.
const MOST: usize = 1000;

/// The overview of one kind of caller.
type Reading = SingleFlight<Result<Arc<Snapshot>>>;

/// The last reading of each.
#[derive(Default)]
pub(super) struct Overviews(Mutex<HashMap<Visible, Arc<Reading>>>);

impl Overviews {
    /// The last overview within the visible part.
    pub(super) async fn last(&self, app: &App, access: &Access<Webhooks>) -> Result<Arc<Snapshot>> {
        let last = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST {
                all.clear();
            }
            Arc::clone(all.entry(access.visible().clone()).or_default())
        };
        let uptime = app.clock().uptime();
        app.shared_overview(access, SHOWN, move |read| async move { last.recent(uptime, PAUSE, || read).await }).await
    }
}
